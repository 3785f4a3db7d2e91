"""The formats that a bundle is exported to: what each file is called, and what writes it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pawprint import isolation
from pawprint.export.stated import Precision, Stated


@dataclass(frozen=True)
class Material:
    """What an export is made of.

    Args:
        bundle: its folder.
        onnx: the bytes of its `model.onnx`.
        about: what the export is to be, and will say of itself.
        calibration: for `int8`, photos as pixels, uint8, shape (n, size, size, 3).
    """

    bundle: Path
    onnx: bytes
    about: Stated
    calibration: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Format:
    """A format.

    Args:
        name: as it is asked for.
        file: what the file is called, or the folder.
        beside: of further files, what replaces the name's ending.
        precisions: that it is written in.
        write: writes the file.
    """

    name: str
    file: str
    write: Callable[[Material, Path], None]
    precisions: tuple[Precision, ...] = ("float32",)
    beside: tuple[str, ...] = ()

    def size(self, path: Path) -> int:
        """The bytes of an export of this format, all its files together."""
        if path.is_dir():
            return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return sum(p.stat().st_size for p in (path, *map(path.with_suffix, self.beside)))


def _onnx(material: Material) -> bytes:
    from pawprint.export import onnx_file

    whole = onnx_file.network(material.onnx, material.about)
    if material.calibration is not None:
        return onnx_file.quantized(whole, material.calibration, material.about)
    return whole


def _write_onnx(material: Material, path: Path) -> None:
    from pawprint.export import onnx_file

    found = _onnx(material)
    path.write_bytes(onnx_file.halved(found) if material.about.precision == "float16" else found)


def _write_openvino(material: Material, path: Path) -> None:
    from pawprint.export import openvino_ir

    openvino_ir.write(_onnx(material), path, material.about)


def _write_by_keras(material: Material, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="pawprint-") as place:
        photos = ""
        if material.calibration is not None:
            photos = str(Path(place, "photos.npy"))
            np.save(photos, material.calibration)
        asked = {
            "bundle": str(material.bundle.absolute()),
            "out": str(path.absolute()),
            "about": material.about.model_dump_json(),
            "calibration": photos,
        }
        what = f"writing the export to {material.about.format}"
        isolation.run("pawprint.export.keras_files:write", asked, what=what, limits=_LIMITS)


# A bundle may come from anybody, and Keras opens its `model.keras`.
_LIMITS = isolation.Limits(seconds=3600, cpu_seconds=3600, memory=16 * 2**30)
_ALL: tuple[Precision, ...] = ("float32", "float16", "int8")

FORMATS = {
    found.name: found
    for found in (
        Format("onnx", "model.onnx", _write_onnx, _ALL),
        Format("litert", "model.tflite", _write_by_keras, _ALL),
        Format("openvino", "model.xml", _write_openvino, _ALL, (".bin",)),
        Format("savedmodel", "saved_model", _write_by_keras),
        Format("keras", "model.keras", _write_by_keras),
        Format("h5", "model.h5", _write_by_keras),
    )
}
