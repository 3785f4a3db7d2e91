"""A dataset of drawn photos: for the tests and for a demo without a network.

No image files are shipped: `pawprint.data.faces` draws every photo from its seed. On request faults
are planted among them, so that what looks for faults can be held against what is there.
"""

import io
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pawprint.data.faces import KINDS, draw
from pawprint.errors import OutputError

__all__ = ["KINDS", "Fault", "Planted", "draw", "write_samples"]


class Fault(StrEnum):
    """What `write_samples` can plant.

    >>> Fault("wrong-label").name
    'WRONG_LABEL'
    """

    TRUNCATED = "truncated"
    EMPTY = "empty"
    NOT_AN_IMAGE = "not-an-image"
    DAMAGED = "damaged"
    WRONG_LABEL = "wrong-label"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Planted:
    """One fault planted in one file.

    >>> Planted("cat/extra_0001.jpg", Fault.EMPTY).fault == "empty"
    True

    Args:
        path: the file, relative to the folder of the photos, with `/` between its parts.
        fault: one of `Fault`.
    """

    path: str
    fault: str


def _derived(seed: int, name: str) -> int:
    """A seed that depends on the photo's own name and not on how many others there are."""
    return random.Random(f"{seed}/{name}").getrandbits(48)


def _jpeg(kind: str, seed: int) -> bytes:
    buffer = io.BytesIO()
    draw(kind, seed).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _cut_jpeg(kind: str, seed: int) -> bytes:
    photo = _jpeg(kind, seed)
    return photo[: len(photo) * 2 // 3]


def _cut_png(kind: str, seed: int) -> bytes:
    buffer = io.BytesIO()
    draw(kind, seed).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()[: buffer.tell() // 2]


def _garbled_jpeg(kind: str, seed: int) -> bytes:
    """A JPEG with its size still legible; garbage pixels alone would decode, garbage tables not."""
    photo = _jpeg(kind, seed)
    tables = photo.index(b"\xff\xc4") + 4
    scan = photo.index(b"\xff\xda") + 14
    # 0xff is left out: it would start another marker.
    garbage = bytes(random.Random(seed).randrange(128, 255) for _ in range(len(photo) - scan))
    return photo[:tables] + b"\xfe" * 17 + photo[tables + 17 : scan] + garbage


def _text(kind: str, seed: int) -> bytes:
    return f"404 Not Found: the photo of a {kind} has moved (request {seed}).\n".encode()


def _other(kind: str) -> str:
    return KINDS[1 - KINDS.index(kind)]


# What is written in place of a good photo of this kind, and the ending its file gets.
_BROKEN: tuple[tuple[Fault, str, Callable[[str, int], bytes]], ...] = (
    (Fault.TRUNCATED, "jpg", _cut_jpeg),
    (Fault.EMPTY, "jpg", lambda kind, seed: b""),
    (Fault.NOT_AN_IMAGE, "jpg", _text),
    (Fault.DAMAGED, "png", _cut_png),
    (Fault.DAMAGED, "jpg", _garbled_jpeg),
)


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _plant(folder: Path, rounds: int, seed: int, classes: tuple[str, ...]) -> list[Planted]:
    """Add the faults, `rounds` times each, and what a reader has to ignore."""
    planted: list[Planted] = []

    def plant(kind: str, fault: Fault, content: bytes, ending: str = "jpg") -> None:
        path = f"{kind}/extra_{len(planted) + 1:04d}.{ending}"
        _write(folder / path, content)
        planted.append(Planted(path, fault))

    for k in range(rounds):
        for n, (fault, ending, broken) in enumerate(_BROKEN):
            kind = classes[(k + n) % len(classes)]
            plant(kind, fault, broken(kind, _derived(seed, f"{fault}/{ending}/{k}")), ending)
        for kind in classes:
            wrong = _derived(seed, f"{Fault.WRONG_LABEL}/{kind}/{k}")
            plant(kind, Fault.WRONG_LABEL, _jpeg(_other(kind), wrong))
        kind, elsewhere = classes[k % len(classes)], classes[(k + 1) % len(classes)]
        again = (folder / kind / f"{kind}_{k + 1:04d}.jpg").read_bytes()
        plant(kind, Fault.DUPLICATE, again)
        if elsewhere != kind:
            # Another original: two copies of one photo would blur what each of them shows.
            across = (folder / elsewhere / f"{elsewhere}_{k + 1:04d}.jpg").read_bytes()
            plant(kind, Fault.DUPLICATE, across)
    for kind in classes:
        _write(folder / kind / "Thumbs.db", b"\xd0\xcf\x11\xe0 thumbnails")
        _write(folder / kind / ".hidden.jpg", _text(kind, seed))
    return planted


def write_samples(
    folder: str | Path,
    photos: int = 400,
    *,
    seed: int = 0,
    faults: bool = False,
    classes: tuple[str, ...] = KINDS,
) -> list[Planted]:
    """Write drawn photos into a new folder, one folder for each class.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     write_samples(place, photos=2)
    ...     sorted(path.name for path in Path(place).glob("*/*"))
    []
    ['cat_0001.jpg', 'dog_0001.jpg']

    Args:
        folder: is made here, or is there and empty.
        photos: how many good photos, shared out evenly; the faults come on top.
        seed: photo 7 of one seed is the same however many photos there are.
        faults: add damaged files, wrong labels, duplicates, and files to be ignored.
        classes: `cat`, `dog` or both; also the names of the folders.

    Returns:
        What was planted, in the order of writing; nothing without `faults`.

    Raises:
        OutputError: the folder is not empty or cannot be written.
        ValueError: a class that cannot be drawn, or fewer photos than classes.
    """
    if not classes or len(set(classes)) < len(classes) or not set(classes) <= set(KINDS):
        raise ValueError(f"cannot draw the classes {classes!r}: give cat, dog or both, once each")
    if photos < len(classes):
        raise ValueError(f"{photos} photos for {len(classes)} classes: ask for one each or more")
    folder = Path(folder)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(
                f"{folder}: is not an empty folder, and nothing in it is replaced; "
                "name a new folder, or empty this one first"
            )
        for n, kind in enumerate(classes):
            (folder / kind).mkdir(parents=True)
            for i in range(1, (photos - n - 1) // len(classes) + 2):
                name = f"{kind}_{i:04d}.jpg"
                _write(folder / kind / name, _jpeg(kind, _derived(seed, name)))
        return _plant(folder, max(1, photos // 200), seed, classes) if faults else []
    except OSError as error:
        raise OutputError(
            f"{folder}: the photos cannot be written ({error}); "
            "see that the disk has room and that you may write there"
        ) from error
