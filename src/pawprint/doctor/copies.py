"""Findings about copies: twice in a class, in several classes, on several sides of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.copies import Copies
from pawprint.data.reading import Read
from pawprint.data.split import TEST, TRAIN, VALIDATION
from pawprint.doctor.findings import Finding

_JUDGING_FIRST = (TEST, VALIDATION, TRAIN)


def examine_copies(
    reads: Sequence[Read], glances: NDArray[Any], copies: Copies
) -> Iterator[Finding]:
    """Tell what copies do harm to.

    Args:
        reads: n photos.
        glances: `GLANCE`, shape (n,), of the same photos.
        copies: among these photos.

    Returns:
        For each group of copies a finding, or two where it stands in several classes and on
        several sides; and one for each other group that is on several sides.
    """
    area = glances["width"].astype(np.int64) * glances["height"]
    for group in copies.groups:
        # The largest is the one to keep; of equals the first.
        members = sorted(group, key=lambda number: (-area[number], reads[number].photo.path))
        yield from _of_one_picture([reads[number] for number in members])
    seen = {number for group in copies.groups for number in group}
    by_key: dict[str, list[Read]] = defaultdict(list)
    for number, (read, key) in enumerate(zip(reads, copies.keys(reads), strict=True)):
        if read.photo.group is not None and number not in seen:
            by_key[key].append(read)
    for members_of in by_key.values():
        if leak := _leak(members_of, f"group {members_of[0].photo.group}"):
            yield leak


def _of_one_picture(members: Sequence[Read]) -> Iterator[Finding]:
    paths = tuple(read.photo.path for read in members)
    same = "the same bytes" if len({read.sha256 for read in members}) == 1 else "nearly the same"
    labels = sorted({read.photo.label for read in members})
    leak = _leak(members, same)
    if leak:
        yield leak
    if len(labels) > 1:
        yield Finding("label-conflict", f"{same}, in {_listed(labels)}", paths, paths)
    elif not leak:
        kind = "duplicate" if same == "the same bytes" else "near-duplicate"
        yield Finding(kind, f"{len(paths)} copies in {labels[0]}", paths, paths[1:])


def _leak(members: Sequence[Read], what: str) -> Finding | None:
    """The finding of photos on several given sides; the copies that would train can go."""
    sides = [side for side in _JUDGING_FIRST if any(r.photo.split == side for r in members)]
    if len(sides) < 2:
        return None
    ordered = sorted(members, key=lambda read: _JUDGING_FIRST.index(str(read.photo.split)))
    out = tuple(read.photo.path for read in ordered if read.photo.split != sides[0])
    paths = tuple(read.photo.path for read in ordered)
    return Finding("leak", f"{what}, in {_listed(sides)}", paths, out)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
