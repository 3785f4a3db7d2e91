"""A Dataset: an immutable table of photos with label, side, size and content hash.

It is made once all photos have been looked at, and is what training, evaluation and the report
speak of. It does not know how photos are decoded or embedded.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pawprint.data import split
from pawprint.data.sources import Source, SourcePhoto
from pawprint.errors import EmptyPhoto, PhotoError, SourceError
from pawprint.parallel import map_chunks
from pawprint.progress import SILENT, Progress

_READ_TOGETHER = 128  # photos a task, so that handing tasks out costs little


@dataclass(frozen=True, slots=True)
class Photo:
    """One image file with a label.

    Args:
        path: where it lies in its source.
        label: the name of its class.
        split: `train`, `validation` or `test`.
        sha256: of its bytes, in hexadecimal.
        bytes: the size of the file.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
    """

    path: str
    label: str
    split: str
    sha256: str
    bytes: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that was left out, and why; or, by `count`, several that are told in one."""

    path: str
    reason: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Read:
    """A photo whose bytes were read and hashed, not yet decoded."""

    photo: SourcePhoto
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Dataset:
    """Photos with classes and sides.

    >>> photos = tuple(
    ...     Photo(f"{label}/{n}.jpg", label, side, f"{n:064x}", 10, 8, 8)
    ...     for label in ("cat", "dog") for n, side in enumerate(["train", "validation"]))
    >>> Dataset("pets", photos).counts("train")
    {'cat': 1, 'dog': 1}

    Args:
        name: of the source.
        photos: every readable photo, in the source's order.
        faults: files left out, each with its reason.
    """

    name: str
    photos: tuple[Photo, ...]
    faults: tuple[Fault, ...] = ()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names in alphabetical order; a class's number is its place here."""
        return tuple(sorted({photo.label for photo in self.photos}))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over what each photo contains, its label and its side, whatever its name."""
        digest = hashlib.sha256()
        for line in sorted(f"{p.sha256} {p.split} {p.label}\n" for p in self.photos):
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def rows(self, side: str) -> list[int]:
        """The numbers of the photos on one side, in order."""
        return [row for row, photo in enumerate(self.photos) if photo.split == side]

    def counts(self, side: str) -> dict[str, int]:
        """How many photos each class has on one side."""
        counted = Counter(photo.label for photo in self.photos if photo.split == side)
        return {label: counted[label] for label in self.classes}

    def write_manifest(self, folder: Path) -> None:
        """Write `manifest.csv` (every photo) and `left_out.csv` (every fault) into a folder."""
        fields = ["path", "label", "split", "width", "height", "bytes", "sha256"]
        _write_csv(
            folder / "manifest.csv",
            fields,
            ([getattr(photo, field) for field in fields] for photo in self.photos),
        )
        _write_csv(
            folder / "left_out.csv",
            ["path", "reason"],
            ([fault.path, fault.reason] for fault in self.faults),
        )


def read_all(
    source: Source, *, workers: int | None = None, progress: Progress = SILENT
) -> tuple[list[Read], list[Fault]]:
    """Read and hash every photo of a source.

    Args:
        source: an open source.
        workers: threads; by default one more than cores.
        progress: where to show how it goes.

    Returns:
        What could be read, in the source's order, and what could not, with the reason.
    """

    def read_some(photos: Sequence[SourcePhoto]) -> tuple[list[Read], list[Fault]]:
        good, bad = [], []
        for photo in photos:
            try:
                data = source.read(photo)
                if not data:
                    raise EmptyPhoto(photo.path, "the file is empty (0 bytes)")
                good.append(Read(photo, hashlib.sha256(data).hexdigest(), len(data)))
            except PhotoError as error:
                bad.append(Fault(photo.path, error.reason))
        return good, bad

    reads: list[Read] = []
    faults: list[Fault] = []
    with progress.step("Reading photos", len(source.photos)) as advance:
        for good, bad in map_chunks(read_some, source.photos, size=_READ_TOGETHER, workers=workers):
            reads += good
            faults += bad
            advance(len(good) + len(bad))
    return reads, faults


def assign_sides(
    name: str,
    reads: Sequence[Read],
    *,
    fraction: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    hold_out: bool = True,
) -> tuple[list[Read], list[Fault]]:
    """Settle for every photo whether it trains or judges.

    Sides that the source gives are kept. Where it gives no validation photos, they are drawn from
    the training photos; where it gives no test photos and some are asked for, from the validation
    photos. Bytes that stand on two given sides stay on the side that judges.

    Args:
        name: of the source.
        reads: the photos, with their content hashes.
        fraction: the part of each class to hold out.
        test: the part of each class's validation photos to set aside for a test.
        seed: of the draw.
        hold_out: draw validation photos; without, all that the source does not set apart train.

    Returns:
        The photos, each with a side as its `split`; and a fault for each copy that was taken out.

    Raises:
        SourceError: fewer than two classes are left, or a class is missing on a side.
    """
    sided = [_on(read, read.photo.split or split.TRAIN) for read in reads]
    classes = sorted({read.photo.label for read in sided})
    if len(classes) < 2:
        raise SourceError(
            f"{name}: photos of {len(classes)} class(es) can be read "
            f"({', '.join(classes) or 'none'}); at least 2 classes are needed, each a folder of "
            "photos that open in an image viewer"
        )
    if odd := [label for label in classes if label.encode("utf-8", "replace").decode() != label]:
        raise SourceError(f"{name}: the class folder {odd[0]!r} has no UTF-8 name; rename it")
    sided, copies = _without_leaks(sided)
    if hold_out and not any(read.photo.split == split.VALIDATION for read in sided):
        sided = _draw(sided, split.TRAIN, split.VALIDATION, fraction, seed)
    if test and not any(read.photo.split == split.TEST for read in sided):
        try:
            sided = _draw(sided, split.VALIDATION, split.TEST, test, seed)
        except SourceError:
            raise SourceError(
                f"{name}: the recipe sets {test:.0%} of the validation photos aside for a test, "
                "and a class has only one photo to validate with; add photos, hold out more of "
                "them (data.validation), or set data.test to 0"
            ) from None
    for side in (split.TRAIN, *([split.VALIDATION] if hold_out else [])):
        missing = set(classes) - {r.photo.label for r in sided if r.photo.split == side}
        if missing:
            raise SourceError(
                f"{name}: no readable {side} photo of {', '.join(sorted(missing))}; every class "
                f"needs at least one: add some, or leave the {side} folder out"
            )
    return sided, copies


def build(
    name: str,
    reads: Sequence[Read],
    sizes: Mapping[str, tuple[int, int]],
    faults: Iterable[Fault],
) -> Dataset:
    """Put together what was read, decoded and split.

    Args:
        name: of the source.
        reads: the photos, each with its side.
        sizes: by content hash, the upright (width, height) of every photo.
        faults: what was left out.
    """
    photos = (
        Photo(
            read.photo.path,
            read.photo.label,
            str(read.photo.split),
            read.sha256,
            read.bytes,
            *sizes[read.sha256],
        )
        for read in reads
    )
    return Dataset(name, tuple(photos), tuple(faults))


def _on(read: Read, side: str) -> Read:
    return replace(read, photo=replace(read.photo, split=side))


def _without_leaks(reads: list[Read]) -> tuple[list[Read], list[Fault]]:
    """Keep bytes that stand on two sides only where they judge the model."""
    kept_in: dict[str, SourcePhoto] = {}
    for side in (split.TEST, split.VALIDATION, split.TRAIN):
        for read in reads:
            if read.photo.split == side:
                kept_in.setdefault(read.sha256, read.photo)
    kept, faults = [], []
    for read in reads:
        first = kept_in[read.sha256]
        if first.split == read.photo.split:
            kept.append(read)
        else:
            reason = f"same bytes as {first.path} in {first.split}; left out of {read.photo.split}"
            faults.append(Fault(read.photo.path, reason))
    return kept, faults


def _draw(reads: list[Read], side: str, to: str, fraction: float, seed: int) -> list[Read]:
    """Move a part of each class from one side to another."""
    rows = [row for row, read in enumerate(reads) if read.photo.split == side]
    labels = [reads[row].photo.label for row in rows]
    hashes = [reads[row].sha256 for row in rows]
    drawn = split.assign(labels, hashes, fraction=fraction, seed=seed)
    result = list(reads)
    for row, found in zip(rows, drawn, strict=True):
        if found == split.VALIDATION:
            result[row] = _on(reads[row], to)
    return result


def _write_csv(path: Path, header: list[str], rows: Iterable[list[object]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
