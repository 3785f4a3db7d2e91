"""The rows of features in parts that can be trained on: labels, sides, nothing of the features.

A photo's side follows from its content hash and the seed, as in `data/split.py`, so that copies of
the same bytes are on one side; where the source gives sides, copies of photos that judge are left
out. Near copies are not known here.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pawprint.data.split import TEST, TRAIN, VALIDATION, draw
from pawprint.errors import SourceError
from pawprint.parts.features import FeatureParts
from pawprint.training.recipe import Recipe

SIDES = (TRAIN, VALIDATION, TEST)
_COLUMNS = ["path", "label", "split", "sha256", "error"]
_NO_CLASS = -1
_NO_LABEL = "it has no label"


@dataclass(frozen=True)
class PartSide:
    """The photos of one side, as `batches.Side`.

    Args:
        rows: int, shape (n,), their numbers among all rows, ascending.
        labels: int, shape (n,), their classes.
        content: uint64, shape (n,), the first 8 bytes of their content hashes.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
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


@dataclass(frozen=True)
class Gathered:
    """What can be trained on.

    Args:
        classes: names, in alphabetical order.
        sides: by side, its photos.
        left_out: how many photos have no features or no label, or are copies of one that judges.
        fingerprint: SHA-256 over what each photo contains, its label and its side.
    """

    classes: tuple[str, ...]
    sides: dict[str, PartSide]
    left_out: int
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
    name = str(parts.folder.place)
    classes, labels, given, content = _read(parts, recipe)
    side = given.side
    if recipe.data.leaks == "drop":
        labels[_leaks(side, content, labels != _NO_CLASS)] = _NO_CLASS
    known = labels != _NO_CLASS
    if not (side[known] == SIDES.index(VALIDATION)).any():
        trains = known & (side == SIDES.index(TRAIN))
        held = _held_out(labels, given.draws, trains, recipe.data.validation)
        side[held] = SIDES.index(VALIDATION)
    sides = {}
    for number, of in enumerate(SIDES):
        rows = np.flatnonzero(known & (side == number))
        if len(rows):
            sides[of] = PartSide(rows, labels[rows].astype(np.int64), content[rows])
    for of in (TRAIN, VALIDATION):
        there = np.bincount(sides[of].labels, minlength=len(classes)) if of in sides else 0
        if missing := [
            c for c, n in zip(classes, np.broadcast_to(there, len(classes)), strict=True) if not n
        ]:
            raise SourceError(
                f"{name}: no {of} photo of {', '.join(missing)} has features; every class needs at "
                "least one on each side: add photos, and embed them"
            )
    digest = hashlib.sha256("\n".join(classes).encode())
    columns = [column[known] for column in (content, labels, side)]
    order = np.lexsort(columns)  # so that names do not matter
    for column in columns:
        digest.update(column[order].tobytes())
    return Gathered(classes, sides, int((~known).sum()), digest.hexdigest())


@dataclass(frozen=True)
class _Given:
    side: NDArray[np.int8]
    draws: NDArray[np.float64]


def _read(
    parts: FeatureParts, recipe: Recipe
) -> tuple[tuple[str, ...], NDArray[np.int32], _Given, NDArray[np.uint64]]:
    """Classes; and for every row its class or -1, its side and draw, and its content."""
    labels = np.full(parts.rows, _NO_CLASS, np.int32)
    side = np.zeros(parts.rows, np.int8)
    draws, content = np.ones(parts.rows), np.zeros(parts.rows, np.uint64)
    number: dict[str, int] = {}
    salt = f"{recipe.data.seed}:{VALIDATION}"
    for block, table in parts.tables(_COLUMNS[1:]):
        for row, one in enumerate(table.to_pylist(), block.start):
            if one["error"] is not None or one["label"] is None:
                continue
            labels[row] = number.setdefault(one["label"], len(number))
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
    place = np.array([classes.index(label) for label in number], np.int32)
    known = labels != _NO_CLASS
    labels[known] = place[labels[known]]
    return classes, labels, _Given(side, draws), content


def _leaks(
    side: NDArray[np.int8], content: NDArray[np.uint64], known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which rows are copies of one that the source gives to a side that judges before theirs."""
    found = np.zeros(len(side), bool)
    for number in range(len(SIDES) - 1):
        if len(judges := np.unique(content[known & (side > number)])):
            own = np.flatnonzero(known & (side == number))
            found[own] = np.isin(content[own], judges)
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
    for label in np.flatnonzero(np.bincount(labels[held], minlength=len(counts)) < least):
        if counts[label]:  # so small that chance fails it
            lowest = np.unique(draws[trains & (labels == label)])[: least[label]]
            held |= trains & np.isin(draws, lowest)
    for label in np.flatnonzero(np.bincount(labels[held], minlength=len(counts)) == counts):
        if counts[label]:
            highest = draws[trains & (labels == label)].max()
            held &= draws != highest
    return held


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


def paths_of(parts: FeatureParts, rows: NDArray[np.int64]) -> Iterator[str]:
    """The paths of some rows, whose numbers ascend."""
    for block in parts.blocks:
        first, last = np.searchsorted(rows, [block.start, block.end])
        if first < last:
            paths = parts.table(block, ["path"]).column("path")
            yield from (paths[int(row) - block.start].as_py() for row in rows[first:last])
