"""The rows of features in parts that can be trained on: labels, sides, nothing of the features.

A photo's side follows from its content hash and the seed, as in `data/split.py`, so that copies of
the same bytes are on one side; where the source gives sides, copies of photos that judge are left
out. Near copies are not known here.
"""

from __future__ import annotations

import csv
import hashlib
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.split import TEST, TRAIN, VALIDATION, draw
from pawprint.errors import SourceError
from pawprint.parts.features import Block, FeatureParts
from pawprint.training.recipe import Recipe

SIDES = (TRAIN, VALIDATION, TEST)
_COLUMNS = ["label", "split", "sha256", "error"]
_NO_CLASS = -1
_NO_LABEL = "it has no label"
_STRETCH = 2**20  # rows
_NAMED = 8  # classes in an error


@dataclass(frozen=True)
class PartSide:
    """The photos of one side, as `batches.Side`.

    Args:
        rows: int32 or, beyond two billion, int64, shape (n,), their numbers among all, ascending.
        labels: int32, shape (n,), their classes.
        content: uint64, shape (n,), the first 8 bytes of their content hashes.
    """

    rows: NDArray[np.integer[Any]]
    labels: NDArray[np.integer[Any]]
    content: NDArray[np.uint64]

    @property
    def reads(self) -> Sequence[int]:
        """One for each photo."""
        return range(len(self.rows))

    @property
    def by_content(self) -> NDArray[np.int64]:
        """As of `batches.Side`."""
        return np.argsort(self.content, kind="stable")

    def part(self, picked: NDArray[np.bool_]) -> PartSide:
        """As of `batches.Side`."""
        return PartSide(self.rows[picked], self.labels[picked], self.content[picked])

    def within(self, block: Block) -> NDArray[np.int64]:
        """The numbers within the side of the photos of a block."""
        ends = np.array([block.start, block.end], self.rows.dtype)  # of another, rows are copied
        return np.arange(*np.searchsorted(self.rows, ends))


@dataclass(frozen=True)
class Gathered:
    """What can be trained on.

    Args:
        classes: names, in alphabetical order.
        sides: by side, its photos.
        left_out: how many photos have no features or no label, or are copies of one that judges.
        errors: how many of these could not be read.
        fingerprint: SHA-256 over what each photo contains, its label and its side.
    """

    classes: tuple[str, ...]
    sides: dict[str, PartSide]
    left_out: int
    errors: int
    fingerprint: str

    def counts(self, side: str) -> dict[str, int]:
        """How many photos each class has on one side."""
        labels = self.sides[side].labels if side in self.sides else np.empty(0, np.int64)
        counted = np.bincount(labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counted, strict=True))


def gather(parts: FeatureParts, recipe: Recipe) -> Gathered:
    """Read the labels, and settle which photos train and which judge.

    Args:
        parts: the features.
        recipe: how many photos judge, and by which seed.

    Raises:
        SourceError: there are fewer than two classes, or one has no photo on a side.
    """
    read = _read(parts, recipe)
    classes, labels, side, content = read.classes, read.labels, read.side, read.content
    if recipe.data.leaks == "drop":
        labels[_leaks(side, content, labels != _NO_CLASS)] = _NO_CLASS
    known = labels != _NO_CLASS
    if not (known & (side == SIDES.index(VALIDATION))).any():
        trains = known & (side == SIDES.index(TRAIN))
        side[_held_out(labels, read.draws, trains, recipe.data.validation)] = SIDES.index(
            VALIDATION
        )
    del read.draws  # eight bytes a photo
    digest = _fingerprint(classes, labels, side, content)
    sides = {}
    number_type = np.int32 if parts.rows < 2**31 else np.int64
    for number, of in enumerate(SIDES):
        found = np.flatnonzero(known & (side == number))
        if len(found):
            rows: NDArray[np.integer[Any]] = found.astype(number_type)
            sides[of] = PartSide(rows, labels[rows], content[rows])
    errors = read.errors
    gathered = Gathered(classes, sides, int((~known).sum()), sum(errors.values()), digest)
    _expect_all_classes(str(parts.folder.place), gathered, errors)
    return gathered


def _expect_all_classes(name: str, gathered: Gathered, errors: Mapping[str | None, int]) -> None:
    """Refuse features without any of a class on a side; `errors` are photos without, by class."""
    for of in (TRAIN, VALIDATION):
        missing = [label for label, count in gathered.counts(of).items() if not count]
        if missing:
            lost = sum(errors[label] for label in missing)
            named = ", ".join(missing[:_NAMED])
            named += f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
            told = f" ({lost:,} could not be read: see the column error)" if lost else ""
            raise SourceError(
                f"{name}: no {of} photo of {named} has features{told}; every class needs at least "
                "one on each side: add photos, and embed them"
            )


@dataclass
class _Labels:
    """What was read.

    Args:
        classes: names, in alphabetical order; also those of which no photo has features.
        labels: int32, shape (n,), of every row its class, or -1.
        side: int8, shape (n,), its place in `SIDES`.
        draws: float64, shape (n,), what decides whether it is held out.
        content: uint64, shape (n,), the first 8 bytes of its content hash.
        errors: how many rows of each label have no features.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int32]
    side: NDArray[np.int8]
    draws: NDArray[np.float64]
    content: NDArray[np.uint64]
    errors: Counter[str | None]


def _read(parts: FeatureParts, recipe: Recipe) -> _Labels:
    """Read all rows but their features."""
    labels = np.full(parts.rows, _NO_CLASS, np.int32)
    side = np.zeros(parts.rows, np.int8)
    draws, content = np.ones(parts.rows), np.zeros(parts.rows, np.uint64)
    number: dict[str, int] = {}
    errors = Counter[str | None]()
    salt = f"{recipe.data.seed}:{VALIDATION}"
    for block, table in parts.tables(_COLUMNS):
        for row, one in enumerate(table.to_pylist(), block.start):
            label = one["label"]
            if label is not None:
                number.setdefault(label, len(number))
            if one["error"] is not None:
                errors[label] += 1
            elif label is not None:
                labels[row] = number[label]
                side[row] = SIDES.index(one["split"] or TRAIN)
                content[row] = int(one["sha256"][:16], 16)
                draws[row] = draw(one["sha256"], salt)
    if len(number) < 2:
        raise SourceError(
            f"{parts.folder.place} has photos of {len(number)} class(es) "
            f"({', '.join(number) or 'none'}); at least 2 are needed: embed a folder of class "
            "folders, or a list with labels"
        )
    classes = tuple(sorted(number))
    place = {label: of for of, label in enumerate(classes)}
    renumbered = np.array([*(place[label] for label in number), _NO_CLASS], np.int32)
    for part in _stretches(parts.rows):
        labels[part] = renumbered[labels[part]]
    return _Labels(classes, labels, side, draws, content, errors)


def _stretches(rows: int) -> Iterator[slice]:
    """Ranges of rows, so that what is computed of them takes no memory to speak of."""
    return (slice(start, start + _STRETCH) for start in range(0, rows, _STRETCH))


def _fingerprint(
    classes: Sequence[str],
    labels: NDArray[np.int32],
    side: NDArray[np.int8],
    content: NDArray[np.uint64],
) -> str:
    """As of `Gathered`."""
    digest = hashlib.sha256("\n".join(classes).encode())
    columns = (content, labels, side)
    order = np.lexsort(columns)  # so that names do not matter
    for column in columns:
        for part in _stretches(len(order)):
            some = order[part]
            digest.update(column[some[labels[some] != _NO_CLASS]].tobytes())
    return digest.hexdigest()


def _leaks(
    side: NDArray[np.int8], content: NDArray[np.uint64], known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which rows are copies of one that the source gives to a side that judges before theirs."""
    found = np.zeros(len(side), bool)
    for number in range(len(SIDES) - 1):
        judges = np.unique(content[known & (side > number)])
        found |= known & (side == number) & _among(content, judges)
    return found


def _among(values: NDArray[np.generic], wanted: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which values are among some that are sorted; `np.isin` takes many times the memory."""
    found = np.zeros(len(values), bool)
    if len(wanted):
        for part in _stretches(len(values)):
            near = np.searchsorted(wanted, values[part])
            found[part] = wanted[np.minimum(near, len(wanted) - 1)] == values[part]
    return found


def _held_out(
    labels: NDArray[np.int32], draws: NDArray[np.float64], trains: NDArray[np.bool_], part: float
) -> NDArray[np.bool_]:
    """Which rows judge: those with a draw below the part; of every class some, and not all.

    Copies have one draw, and are on one side, whatever their labels.
    """
    held = trains & (draws < part)
    counts = np.bincount(labels[trains])
    least = np.maximum(1, (counts * part / 2).astype(np.int64))
    few = (np.bincount(labels[held], minlength=len(counts)) < least) & (counts > 0)
    lowest = [own[: least[label]] for label, own in _draws_of(few, labels, draws, trains)]
    if lowest:  # of classes so small that chance fails them
        held |= trains & _among(draws, np.unique(np.concatenate(lowest)))
    whole = (np.bincount(labels[held], minlength=len(counts)) == counts) & (counts > 0)
    highest = [own[-1] for _, own in _draws_of(whole, labels, draws, trains)]
    return held & ~_among(draws, np.unique(highest))


def _draws_of(
    wanted: NDArray[np.bool_],
    labels: NDArray[np.int32],
    draws: NDArray[np.float64],
    trains: NDArray[np.bool_],
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Of some classes, those that are true in `wanted`, the draws in order, each once."""
    if not wanted.any():
        return
    rows = np.flatnonzero(trains)
    rows = rows[wanted[labels[rows]]]
    rows = rows[np.argsort(labels[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[rows], prepend=-1))
    for start, end in pairwise([*starts, len(rows)]):
        yield int(labels[rows[start]]), np.unique(draws[rows[start:end]])


def write_manifest(parts: FeatureParts, gathered: Gathered, folder: Path) -> None:
    """Write `manifest.csv` and `left_out.csv` into a run's folder, as `Dataset` does."""
    side = np.full(parts.rows, -1, np.int8)
    for number, of in enumerate(SIDES):
        if of in gathered.sides:
            side[gathered.sides[of].rows] = number
    columns = ["path", "label", "width", "height", "bytes", "sha256", "error"]
    with (
        (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as used,
        (folder / "left_out.csv").open("w", encoding="utf-8", newline="") as left,
    ):
        writer, faults = csv.writer(used), csv.writer(left)
        writer.writerow(["path", "label", "split", "width", "height", "bytes", "sha256"])
        faults.writerow(["path", "reason"])
        for block, table in parts.tables(columns):
            for row, one in enumerate(table.to_pylist(), block.start):
                if side[row] < 0:
                    reason = "same bytes as a photo that judges" if one["label"] else _NO_LABEL
                    faults.writerow([one["path"], one["error"] or reason])
                    continue
                facts = [one[name] for name in ("width", "height", "bytes", "sha256")]
                writer.writerow([one["path"], one["label"], SIDES[side[row]], *facts])


def paths_of(parts: FeatureParts, side: PartSide) -> Iterator[str]:
    """The paths of a side's photos, in order."""
    for block in parts.blocks:
        if len(numbers := side.within(block)):
            paths = parts.table(block, ["path"]).column("path")
            yield from (paths[int(row) - block.start].as_py() for row in side.rows[numbers])


def path_of(parts: FeatureParts, row: int) -> str:
    """The path of one row."""
    block = parts.blocks[bisect(parts.blocks, row, key=lambda block: block.start) - 1]
    return str(parts.table(block, ["path"]).column("path")[row - block.start].as_py())
