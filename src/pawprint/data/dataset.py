"""A Dataset: an immutable table of photos with label, side, size and content hash.

It is made once all photos have been looked at, and is what training, evaluation and the report
speak of. It does not know how photos are decoded or embedded.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pawprint.data import split
from pawprint.data.reading import Fault, Read
from pawprint.data.sources import SourcePhoto
from pawprint.errors import SourceError


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


def assign_sides(
    name: str,
    reads: Sequence[Read],
    keys: Sequence[str] | None = None,
    *,
    fraction: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    hold_out: bool = True,
    keep_leaks: bool = False,
) -> tuple[list[Read], list[Fault]]:
    """Settle for every photo whether it trains or judges.

    Sides that the source gives are kept. Where it gives no validation photos, they are drawn from
    the training photos; where it gives no test photos and some are asked for, from the validation
    photos. Of copies that stand on two given sides those stay that judge.

    Args:
        name: of the source.
        reads: the photos, with their content hashes.
        keys: of each photo, the same for what must stay on one side; by default its content hash.
        fraction: the part of each class to hold out.
        test: the part of each class's validation photos to set aside for a test.
        seed: of the draw.
        hold_out: draw validation photos; without, all that the source does not set apart train.
        keep_leaks: leave copies where the source has them, on whatever sides.

    Returns:
        The photos, each with a side as its `split`; and a fault for each copy that was taken out.

    Raises:
        SourceError: fewer than two classes are left, or a class is missing on a side.
    """
    sides, leaks = settle(
        name,
        reads,
        [read.sha256 for read in reads] if keys is None else keys,
        fraction=fraction,
        test=test,
        seed=seed,
        hold_out=hold_out,
        keep_leaks=keep_leaks,
    )
    both = zip(reads, sides, strict=True)
    return [_on(read, side) for read, side in both if side is not None], leaks


def settle(
    name: str,
    reads: Sequence[Read],
    keys: Sequence[str],
    *,
    fraction: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    hold_out: bool = True,
    keep_leaks: bool = False,
) -> tuple[list[str | None], list[Fault]]:
    """As `assign_sides`, giving for each photo only its side, None where it was taken out."""
    labels = [read.photo.label for read in reads]
    classes = _checked(name, labels)
    sides: list[str | None] = [read.photo.split or split.TRAIN for read in reads]
    leaks = [] if keep_leaks else _take_leaks_out(reads, keys, sides)
    given = set(sides)
    if hold_out and split.VALIDATION not in given:
        _draw(labels, keys, sides, (split.TRAIN, split.VALIDATION), fraction, seed)
    if test and split.TEST not in given:
        try:
            _draw(labels, keys, sides, (split.VALIDATION, split.TEST), test, seed)
        except SourceError:
            raise SourceError(
                f"{name}: the recipe sets {test:.0%} of the validation photos aside for a test, "
                "and a class has only one photo to validate with; add photos, hold out more of "
                "them (data.validation), or set data.test to 0"
            ) from None
    there = set(zip(sides, labels, strict=True))
    for side in (split.TRAIN, *([split.VALIDATION] if hold_out else [])):
        if missing := [label for label in classes if (side, label) not in there]:
            taken = " that is no copy of a photo that judges" if leaks else ""
            raise SourceError(
                f"{name}: no readable {side} photo of {', '.join(missing)}{taken}; every class "
                f"needs at least one: add some, or leave the {side} folder out"
            )
    return sides, leaks


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
    photo = read.photo
    if photo.split == side:
        return read
    # Not `replace`, which takes ten times as long.
    return Read(SourcePhoto(photo.path, photo.label, side, photo.group), read.sha256, read.bytes)


def _checked(name: str, labels: Sequence[str]) -> list[str]:
    """The classes, of which there must be two, with names that can be written."""
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise SourceError(
            f"{name}: photos of {len(classes)} class(es) can be read "
            f"({', '.join(classes) or 'none'}); at least 2 classes are needed, each a folder of "
            "photos that open in an image viewer"
        )
    if odd := [label for label in classes if label.encode("utf-8", "replace").decode() != label]:
        raise SourceError(f"{name}: the class folder {odd[0]!r} has no UTF-8 name; rename it")
    return classes


def _take_leaks_out(
    reads: Sequence[Read], keys: Sequence[str], sides: list[str | None]
) -> list[Fault]:
    """Keep what stands on two sides only where it judges the model."""
    if len(set(sides)) < 2:
        return []
    kept_in: dict[str, Read] = {}
    for side in (split.TEST, split.VALIDATION, split.TRAIN):
        for read, key, own in zip(reads, keys, sides, strict=True):
            if own == side:
                kept_in.setdefault(key, read)
    leaks = []
    for number, (read, key) in enumerate(zip(reads, keys, strict=True)):
        first = kept_in[key]
        if first.photo.split != read.photo.split:
            same = "same bytes as" if first.sha256 == read.sha256 else "a copy or of the group of"
            where = f"{first.photo.path} in {first.photo.split}; left out of {read.photo.split}"
            leaks.append(Fault(read.photo.path, f"{same} {where}", kind="leak"))
            sides[number] = None
    return leaks


def _draw(
    labels: Sequence[str],
    keys: Sequence[str],
    sides: list[str | None],
    between: tuple[str, str],
    fraction: float,
    seed: int,
) -> None:
    """Move a part of each class from one side to another."""
    side, to = between
    rows = [row for row, own in enumerate(sides) if own == side]
    held = split.assign(
        [labels[row] for row in rows],
        [keys[row] for row in rows],
        fraction=fraction,
        seed=seed,
        purpose=to,
    )
    for row, moves in zip(rows, held, strict=True):
        if moves:
            sides[row] = to


def _write_csv(path: Path, header: list[str], rows: Iterable[list[object]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
