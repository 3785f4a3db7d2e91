"""A file that is said to be a Keras network, looked at before Keras opens it.

Runs in a process of its own, with limits. What it leaves for Keras is a copy with the same weights
and a description in which everything is stock; the file itself is only read.
"""

from __future__ import annotations

import json
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pawprint.errors import BundleError, MissingExtra
from pawprint.importer import stock
from pawprint.importer.older import CONTAINERS
from pawprint.isolation import GUARDS

# What zipfile raises of an archive that is broken, encrypted or packed in a way of its own.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
MOST_BYTES = 2**30  # of a file, and of the weights in it
DESCRIPTION, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_MOST_DESCRIPTION = 64 * 2**20
_MOST_RATIO = 100  # times that a member of a zip may become larger; weights hardly shrink
_MOST_OBJECTS = 100_000
_HDF5 = b"\x89HDF\r\n\x1a\n"


def look(given: str, clean: str, size: int | None) -> dict[str, Any]:
    """Check a file and write a copy that Keras may open.

    Args:
        given: a copy of the user's file.
        clean: where to, without an ending.
        size: height and width of photos, where the user said.

    Returns:
        `file`, the copy; `size`; `keras`, the version that wrote it; `notes`; and `guards`, the
        limits that were in force.

    Raises:
        BundleError: it is no such file, or not one to open.
        MissingExtra: HDF5 cannot be read here.
    """
    path = Path(given)
    with path.open("rb") as file:
        head = file.read(8)
    if head == _HDF5:
        found = _look_at_hdf5(path, Path(f"{clean}.h5"), size)
    elif head[:4] == b"PK\x03\x04":
        found = _look_at_zip(path, Path(f"{clean}.keras"), size)
    else:
        what = "is empty" if not head else "is neither a zip (.keras) nor HDF5 (.h5)"
        raise BundleError(f"it {what}; expected a whole network, as Keras' model.save writes it")
    return {**found, "guards": list(GUARDS)}


def described(text: bytes | str, size: int | None) -> tuple[stock.Stock, int]:
    """A description as it stands in a file, and the size of photos that the network takes.

    Args:
        text: JSON.
        size: as of `look`.

    Raises:
        BundleError: it is not to be read, not stock, or takes something else than such photos.
    """
    try:
        description = json.loads(text)
        found = stock.cleaned(description, size)
        sides = _photo(found.description)
    except (ValueError, RecursionError):
        raise BundleError("its description is damaged (no JSON)") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError):  # nothing is where it should
        raise BundleError("its description is damaged; take an intact copy") from None
    if sides is None:
        raise BundleError(
            "it does not say what it takes; call it once on a photo before it is saved"
        )
    *sides, channels = sides
    if channels != 3:
        raise BundleError(
            f"it takes pictures of {channels} channels, channels last; only 3 (red, green, blue) "
            "can be imported"
        )
    if None in sides:
        raise BundleError("it takes photos of any size; say with --size which it was trained with")
    if sides[0] != sides[1]:
        raise BundleError(f"it takes photos of {sides[1]} x {sides[0]} px; only squares are read")
    if size is not None and size != sides[0]:
        raise BundleError(
            f"it takes photos of {sides[0]} x {sides[0]} px and --size says {size}; leave --size "
            "out"
        )
    if not 32 <= sides[0] <= 1024:
        raise BundleError(f"it takes photos of {sides[0]} px; expected 32 to 1024")
    return found, int(sides[0])


def _photo(network: dict[str, Any]) -> list[Any] | None:
    """The shape of what a network takes, from the first of its layers that tells."""
    config = network["config"]
    inputs = config.get("input_layers", [])
    # One input as it was written by Keras 3, or a list of one.
    wanted = inputs[0][0] if inputs and isinstance(inputs[0], list) else (inputs or [None])[0]
    if inputs and isinstance(inputs[0], list) and len(inputs) > 1:
        raise BundleError(f"it takes {len(inputs)} inputs; only one photo can be imported")
    layers = config["layers"]
    for layer in layers if wanted is not None else layers[:1]:
        name = layer.get("name", layer["config"].get("name"))
        if wanted is not None and name != wanted:
            continue
        if layer["class_name"] in CONTAINERS:
            return _photo(layer)
        shape = layer["config"].get("batch_shape")
        if isinstance(shape, list) and len(shape) == 4:
            return shape[1:]
    shape = config.get("build_input_shape")
    return shape[1:] if isinstance(shape, list) and len(shape) == 4 else None


# .keras


def _look_at_zip(path: Path, clean: Path, size: int | None) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            if DESCRIPTION not in members or WEIGHTS not in members:
                raise BundleError(
                    f"it is a zip without {DESCRIPTION} and {WEIGHTS}; expected a whole network as "
                    "Keras' model.save writes it, or an export of Teachable Machine"
                )
            found, side = described(archive.read(members[DESCRIPTION]), size)
            metadata = archive.read(members[METADATA]) if METADATA in members else b"{}"
            weights = clean.with_suffix(".weights.h5")
            with archive.open(members[WEIGHTS]) as packed, weights.open("wb") as file:
                shutil.copyfileobj(packed, file, 2**20)
    except (*DAMAGED, ValueError) as error:
        raise BundleError(f"it is damaged ({_short(error)}); take an intact copy") from None
    _check_hdf5(weights)
    with zipfile.ZipFile(clean, "w") as archive:
        archive.writestr(DESCRIPTION, json.dumps(found.description))
        archive.writestr(METADATA, metadata)
        archive.write(weights, WEIGHTS)
    weights.unlink()
    try:
        version = json.loads(metadata).get("keras_version")
    except (ValueError, AttributeError):
        version = None
    notes = found.notes
    return {"file": str(clean), "size": side, "keras": _version(version), "notes": notes}


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by name, none of them larger than it can well be."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        most = MOST_BYTES if info.filename == WEIGHTS else _MOST_DESCRIPTION
        ratio = info.file_size / max(info.compress_size, 1)
        if info.file_size > most or (info.file_size > 2**20 and ratio > _MOST_RATIO):
            raise BundleError(
                f"{info.filename!r} in it would become {info.file_size:,} bytes of "
                f"{info.compress_size:,}, which no network does; it is not unpacked"
            )
        if info.filename in members:
            raise BundleError(f"it has {info.filename!r} twice; take another copy")
        members[info.filename] = info
    return members


# .h5


def hdf5() -> Any:
    """What reads HDF5.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import h5py  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise MissingExtra("importing a Keras network", "h5py", "train") from None
    return h5py


def _look_at_hdf5(path: Path, clean: Path, size: int | None) -> dict[str, Any]:
    h5py = hdf5()
    _check_hdf5(path)
    shutil.copyfile(path, clean)
    with h5py.File(clean, "r+") as file:
        if "model_config" not in file.attrs:
            only = "only weights" if "layer_names" in file.attrs else "no Keras network"
            raise BundleError(
                f"it holds {only} (no model_config); expected a whole network, as Keras' "
                "model.save writes it"
            )
        try:
            text, version = file.attrs["model_config"], file.attrs.get("keras_version")
        except (OSError, RuntimeError, ValueError) as error:
            raise BundleError(f"it is damaged ({_short(error)}); take an intact copy") from None
        if not isinstance(text, str | bytes):
            raise BundleError("its description is damaged (no text)")
        found, side = described(text, size)
        for name in list(file.attrs):
            if name not in ("keras_version", "backend"):
                del file.attrs[name]
        file.attrs["model_config"] = json.dumps(found.description)
        if "optimizer_weights" in file:
            del file["optimizer_weights"]
    notes = found.notes
    return {"file": str(clean), "size": side, "keras": _version(version), "notes": notes}


def _check_hdf5(path: Path) -> None:
    """Refuse what reads other files, or becomes much larger than it is."""
    h5py = hdf5()
    total = 0
    try:
        with h5py.File(path, "r") as file:
            for name, found in _objects(h5py, file):
                if isinstance(found, h5py.Group):
                    continue
                if not isinstance(found, h5py.Dataset):
                    raise BundleError(f"{name!r} in it is no array of numbers")
                if found.is_virtual or found.external:
                    raise BundleError(f"{name!r} in it lies in another file; it is not opened")
                if found.dtype.kind not in "fiubSO" or found.compression not in (None, "gzip"):
                    raise BundleError(f"{name!r} in it is no array of numbers that Keras writes")
                total += found.size * found.dtype.itemsize
                if total > MOST_BYTES:
                    raise BundleError(
                        f"its weights would become more than {MOST_BYTES:,} bytes; it is not opened"
                    )
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise BundleError(f"it is damaged ({_short(error)}); take an intact copy") from None


def _objects(h5py: Any, file: Any) -> Iterator[tuple[str, Any]]:
    """Every object of a file, each once."""
    waiting, seen = [("", file)], set()
    while waiting:
        above, group = waiting.pop()
        for key in group:
            name = f"{above}/{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise BundleError(f"{name!r} in it is a link to elsewhere; it is not followed")
            found = group[key]
            place = h5py.h5o.get_info(found.id).addr
            if place in seen:
                raise BundleError(f"{name!r} in it stands there twice; take another copy")
            seen.add(place)
            if len(seen) > _MOST_OBJECTS:
                raise BundleError("it holds more parts than a network has")
            yield name, found
            if isinstance(found, h5py.Group):
                waiting.append((name, found))


def _version(found: Any) -> str:
    text = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
    return "".join(c for c in text if c.isprintable())[:40]


def _short(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
