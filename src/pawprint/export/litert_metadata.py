"""What a LiteRT file says of itself, in the places that its format has for that.

A model's named buffers hold a `TFLITE_METADATA` table, which MediaPipe's tasks and Android Studio
read, and behind the model a zip archive holds the labels. The table's layout is TensorFlow Lite's
`metadata_schema.fbs`, version 1; field numbers below are its.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from pawprint.errors import BundleError
from pawprint.export.stated import INPUT, NOVELTY, OUTPUT, Stated

LABELS, OWN = "labels.txt", "pawprint.json"
_TABLE = "TFLITE_METADATA"
_LABELS_OF_AXIS, _IMAGE, _RGB, _NORMALIZATION = 2, 2, 1, 1


def added(model: bytes, about: Stated) -> bytes:
    """Add to a model what it says of itself.

    Args:
        model: the file's bytes.
        about: goes in whole as `pawprint.json`, and in parts where other tools look.

    Returns:
        The new file's bytes; also a zip archive with `labels.txt` and `pawprint.json`.
    """
    whole = schema.ModelT.InitFromPackedBuf(model, 0)
    for tensor in whole.subgraphs[0].tensors:
        tensor.shapeSignature = None  # one photo, unless resized: LiteRT.js refuses "any number"
    buffer = schema.BufferT()
    buffer.data = list(_table(about, _outputs(whole)))
    whole.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _TABLE, len(whole.buffers) - 1
    whole.metadata = [*(whole.metadata or []), entry]
    builder = flatbuffers.Builder(len(model) + 65536)
    builder.Finish(whole.Pack(builder), b"TFL3")
    behind = io.BytesIO(bytes(builder.Output()))
    with zipfile.ZipFile(behind, "a") as archive:
        for name, text in ((LABELS, "\n".join(about.classes)), (OWN, about.model_dump_json())):
            archive.writestr(zipfile.ZipInfo(name), text)
    return behind.getvalue()


def said(path: Path) -> str:
    """What a LiteRT file says of itself.

    Raises:
        BundleError: nothing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(OWN).decode()
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} says nothing of itself ({error})") from None


def _outputs(model: schema.ModelT) -> list[str]:
    """The outputs in the file's order, by the names that its signature gives them."""
    names = {each.tensorIndex: each.name.decode() for each in model.signatureDefs[0].outputs}
    return [names[index] for index in model.subgraphs[0].outputs]


class _Builder:
    """Writes tables of a flat buffer."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    def text(self, value: str) -> int:
        return int(self._builder.CreateString(value))

    def numbers(self, values: Sequence[float]) -> int:
        self._builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self._builder.PrependFloat32(value)
        return int(self._builder.EndVector())

    def several(self, tables: Sequence[int]) -> int:
        self._builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table)
        return int(self._builder.EndVector())

    def table(
        self,
        offsets: Mapping[int, int],
        small: Mapping[int, int] | None = None,
        whole: Mapping[int, int] | None = None,
    ) -> int:
        """Write a table: by field number, parts written before, bytes, and 32-bit numbers."""
        small, whole = small or {}, whole or {}
        self._builder.StartObject(max([*offsets, *small, *whole]) + 1)
        for number, offset in offsets.items():
            self._builder.PrependUOffsetTRelativeSlot(number, offset, 0)
        for number, value in whole.items():
            self._builder.PrependUint32Slot(number, value, 0)
        for number, value in small.items():
            self._builder.PrependUint8Slot(number, value, 0)
        return int(self._builder.EndObject())

    def finished(self, root: int) -> bytes:
        self._builder.Finish(root, b"M001")
        return bytes(self._builder.Output())


def _table(about: Stated, outputs: Sequence[str]) -> bytes:
    """The `TFLITE_METADATA` of a classifier."""
    to = _Builder()
    side = about.preprocessing.size
    size = to.table({}, whole={0: side, 1: side})
    image = to.table({1: size}, {0: _RGB})
    # Scaling is inside: values go in as they are.
    normalization = to.table({0: to.numbers([0.0]), 1: to.numbers([1.0])})
    unit = to.table({1: normalization}, {0: _NORMALIZATION})
    photo = to.table(
        {
            0: to.text(INPUT),
            1: to.text("; ".join(about.steps)),
            3: to.table({1: image}, {0: _IMAGE}),
            4: to.several([unit]),
        }
    )
    labels = to.table(
        {0: to.text(LABELS), 1: to.text("the classes in order")}, {2: _LABELS_OF_AXIS}
    )
    told = {
        OUTPUT: {0: to.text(OUTPUT), 1: to.text("of each class"), 6: to.several([labels])},
        NOVELTY: {0: to.text(NOVELTY), 1: to.text("how unlike the photos it was trained on")},
    }
    answers = [to.table(told[name]) for name in outputs]
    parts = {2: to.several([photo]), 3: to.several(answers)}
    fields = {0: to.text("pawprint"), 3: to.several([to.table(parts)]), 7: to.text("1.0.0")}
    return to.finished(to.table(fields))
