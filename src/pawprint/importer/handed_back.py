"""What the process that opened a file leaves behind, checked before it is used.

That process met the file, so what it says is not taken on trust either: only plain files of a
sensible size are read, the ONNX network may do nothing but compute, and the Keras model may name
nothing but stock parts.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import BundleError, MissingExtra
from pawprint.importer import look
from pawprint.importer.network import GIVEN, IN_KERAS, KERAS_GIVEN

try:
    import onnx
except ImportError:
    raise MissingExtra("importing a Keras network", "onnx", "train") from None

_MOST_BYTES = 2 * look.MOST_BYTES


@dataclass(frozen=True)
class Handed:
    """A network carried over.

    Args:
        onnx: the ONNX network,
        keras: the file of the Keras model,
        given: what the original gave to the photos tried, float64 (n, classes),
        keras_given: and the Keras model to the first of them.
    """

    onnx: bytes
    keras: bytes
    given: NDArray[np.float64]
    keras_given: NDArray[np.float64]

    def save(self, path: Path) -> None:
        """Write the Keras model's file, as Keras' own models do."""
        path.write_bytes(self.keras)


def handed_back(place: Path, photos: int, classes: int) -> Handed:
    """Read what was left in a folder.

    Args:
        place: the folder.
        photos: how many were to be tried.
        classes: how many there are.

    Raises:
        BundleError: it is not what was asked for.
    """
    network, model = (_bytes(place / name) for name in ("model.onnx", "model.keras"))
    check_onnx(network)
    check_keras(model)
    given = _array(place / GIVEN, (photos, classes))
    return Handed(
        network, model, given, _array(place / KERAS_GIVEN, (min(photos, IN_KERAS), classes))
    )


def _bytes(path: Path) -> bytes:
    """A plain file's bytes; no link is followed."""
    try:
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | _NOT_WAITING)
        with os.fdopen(opened, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_BYTES:
                return file.read(_MOST_BYTES)
    except OSError:
        pass
    raise _distrusted(f"no usable {path.name}")


_NOT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def _array(path: Path, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        found = np.load(io.BytesIO(_bytes(path)), allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise _distrusted(f"no usable {path.name}") from None
    if not isinstance(found, np.ndarray) or found.shape != shape or found.dtype != np.float64:
        raise _distrusted(f"another {path.name} than was asked for")
    if not np.isfinite(found).all():
        raise BundleError(
            "the network answers with what is no number (NaN or infinite) on some photos; it "
            "cannot be imported"
        )
    return found


def check_onnx(network: bytes) -> None:
    """Make sure that an ONNX network is whole in itself and only computes.

    Raises:
        BundleError: it reads other files, or calls what is not ONNX' own.
    """
    try:
        model = onnx.load_from_string(network)
    except Exception:  # protobuf's errors are of its own
        raise _distrusted("no ONNX network") from None
    graph = model.graph
    foreign = any(node.domain for node in graph.node) or len(model.functions)
    nested = any(part.type in _WITH_GRAPHS for node in graph.node for part in node.attribute)
    elsewhere = any(
        tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data
        for tensor in graph.initializer
    )
    if foreign or nested or elsewhere or len(graph.sparse_initializer):
        raise _distrusted("an ONNX network that does more than compute")


_WITH_GRAPHS = (
    *(onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS),
    *(onnx.AttributeProto.TENSOR, onnx.AttributeProto.TENSORS),
)


def check_keras(model: bytes) -> None:
    """Make sure that a Keras file names nothing but stock parts.

    Raises:
        BundleError: it does not.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            names = set(archive.namelist())
            text = archive.read(look.DESCRIPTION)
    except (*look.DAMAGED, KeyError):
        raise _distrusted("no Keras file") from None
    if not names <= {look.DESCRIPTION, look.METADATA, look.WEIGHTS}:
        raise _distrusted("a Keras file with more in it than a network")
    look.described(text, None)


def _distrusted(what: str) -> BundleError:
    return BundleError(
        f"the process that opened the file left {what}; nothing was imported. Where the file is "
        "not your own, do not open it with Keras either"
    )
