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
_SAME = "the same bytes"


def examine_copies(
    reads: Sequence[Read], glances: NDArray[Any], copies: Copies
) -> Iterator[Finding]:
    """Tell what copies do harm to.

    Args:
        reads: n photos.
        glances: `GLANCE`, shape (n,), of the same photos.
        copies: among these photos.

    Returns:
        A finding for each leak, copies or a group on several given sides; and for all other copies
        in one class, or in several.
    """
    area = glances["width"].astype(np.int64) * glances["height"]
    if any(read.photo.split for read in reads):
        together: dict[str, list[Read]] = defaultdict(list)
        for read, key in zip(reads, copies.keys(reads), strict=True):
            together[key].append(read)
        for members in together.values():
            yield from _leak(members)
    for group in copies.groups:
        # The largest is the one to keep; of equals the first.
        order = sorted(group, key=lambda number: (-area[number], reads[number].photo.path))
        yield from _of_one_picture([reads[number] for number in order])


def _of_one_picture(members: Sequence[Read]) -> Iterator[Finding]:
    """The finding of copies, unless all that is wrong with them is that they leak."""
    paths = tuple(read.photo.path for read in members)
    labels = sorted({read.photo.label for read in members})
    same = _how_alike(members)
    if len(labels) > 1:
        yield Finding("label-conflict", f"{same}, in {_listed(labels)}", paths, paths)
    elif len({read.photo.split for read in members}) == 1:
        kind = "duplicate" if same == _SAME else "near-duplicate"
        yield Finding(kind, f"{len(paths)} copies in {labels[0]}", paths, paths[1:])


def _leak(members: Sequence[Read]) -> Iterator[Finding]:
    """The finding of photos on several given sides; those of them that would train can go."""
    sides = [side for side in _JUDGING_FIRST if any(r.photo.split == side for r in members)]
    if len(sides) < 2:
        return
    names = sorted({read.photo.group for read in members if read.photo.group is not None})
    what = f"group {', '.join(names)}" if names else _how_alike(members)
    ordered = sorted(members, key=lambda read: _JUDGING_FIRST.index(str(read.photo.split)))
    out = tuple(read.photo.path for read in ordered if read.photo.split != sides[0])
    paths = tuple(read.photo.path for read in ordered)
    yield Finding("leak", f"{what}, in {_listed(sides)}", paths, out)


def _how_alike(members: Sequence[Read]) -> str:
    return _SAME if len({read.sha256 for read in members}) == 1 else "nearly the same"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
