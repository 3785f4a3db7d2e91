"""Which photos are copies of each other: the same bytes, or nearly the same picture.

What is called a copy was re-encoded, resized, mirrored, made brighter or darker, or cut a little at
its edges. It does not know of classes and sides, nor what is to be done about copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pawprint.data.glance import Glances
from pawprint.data.images import open_photo
from pawprint.data.reading import Read
from pawprint.data.similar import Forest, near
from pawprint.data.sources import Source
from pawprint.errors import PhotoError
from pawprint.parallel import map_chunks
from pawprint.progress import SILENT, Progress

# In bits of 256. Measured on 16,000 photos: copies differ by up to 17 after re-encoding, resizing
# and mirroring, by 36 on average when cut at the edges, and no two others by fewer than 73.
SURE, UNSURE = 24, 72
# How much the pixels of those in between must agree: photos of one scene, colours changed, count as
# copies where hardly any photos are alike; of digits or scans, which all are, only true copies do.
ALIKE, THE_SAME = 0.84, 0.985
_RARE = 0.05  # pairs in between for each photo, up to which hardly any are alike
_MOST = 0.1  # and pairs that are compared at most

_SIDE = 48  # of the colour thumbnails that are compared, in pixels
_CUTS = ((0.0, 0.0), (0.025, 0.025), (0.05, 0.0), (0.0, 0.05))  # at both ends, parts of a side
_TOGETHER = 16  # pairs a task

_BLANK = 6.0  # contrast below which noise alone makes the hash


@dataclass(frozen=True)
class Copies:
    """Copies among some photos.

    Args:
        groups: for each group of two photos or more their numbers, in order.
        final: near copies were looked for, if they were wanted.
        unsettled: pairs that may be copies and were not compared, being too many.
    """

    groups: tuple[tuple[int, ...], ...] = ()
    final: bool = True
    unsettled: int = 0

    def keys(self, reads: Sequence[Read]) -> list[str]:
        """For each photo what it shares with all that must stay on its side of a split.

        Those are its copies, the others of its group where the source has groups, their copies,
        and so on.

        Args:
            reads: the photos that these are the copies among.

        Returns:
            The first name of a group among them or, without, the first content hash.
        """
        named: dict[str, list[int]] = {}
        for number, read in enumerate(reads):
            if read.photo.group is not None:
                named.setdefault(read.photo.group, []).append(number)
        forest = Forest(len(reads))
        for group in (*self.groups, *named.values()):
            forest.link(group)
        keys = [read.photo.group or read.sha256 for read in reads]
        of = forest.groups()
        joined = np.isin(of, of[of != np.arange(len(of))])
        members: dict[int, list[int]] = {}
        for number in np.flatnonzero(joined).tolist():
            members.setdefault(int(of[number]), []).append(number)
        for together in members.values():
            names = [name for number in together if (name := reads[number].photo.group) is not None]
            key = min(names, default="") or min(keys[number] for number in together)
            for number in together:
                keys[number] = key
        return keys


def exact_copies(reads: Sequence[Read], *, final: bool = True) -> Copies:
    """Group photos of the same bytes.

    Args:
        reads: the photos.
        final: only these are wanted.
    """
    return Copies(_grouped(_of_bytes(reads)), final)


def near_copies(
    source: Source,
    reads: Sequence[Read],
    glances: NDArray[Any],
    *,
    progress: Progress = SILENT,
) -> Copies:
    """Group photos that are copies or copies of copies.

    Those whose hashes differ little are copies; where they differ more, the two are decoded once
    more and their pixels compared. Photos that are nearly blank are copies only by their bytes.

    Args:
        source: where the photos are.
        reads: n photos.
        glances: `GLANCE`, shape (n,), of the same photos.
        progress: where to show how it goes.

    Returns:
        The groups.
    """
    usable = glances["contrast"] >= _BLANK
    found = near(glances["hash"], sure=SURE, unsure=UNSURE, usable=usable)
    compared = found.unsure[: max(500, int(_MOST * len(reads)))]
    pairs = [(reads[one], reads[other]) for one, other, _ in compared.tolist()]
    many = len(found.unsure) > max(20, _RARE * len(reads))
    alike = _likenesses(source, pairs, progress) >= (THE_SAME if many else ALIKE)
    forest = Forest(len(reads))
    for group in _grouped(_of_bytes(reads)):
        forest.link(group)
    forest.join(found.sure)
    forest.join(compared[alike])
    return Copies(_grouped(forest.groups()), unsettled=len(found.unsure) - len(compared))


def copies_among(
    source: Source,
    reads: Sequence[Read],
    glances: Glances,
    *,
    near: bool,
    progress: Progress = SILENT,
) -> Copies:
    """Copies among photos, by what is known of them.

    Args:
        source: the photos.
        reads: some of them.
        glances: if some are not glanced at yet, only the same bytes are found.
        near: look for near copies, too.
        progress: where to show how it goes.
    """
    hashes = [read.sha256 for read in reads]
    if not near or not glances.holds(hashes).all():
        return exact_copies(reads, final=not near)
    return near_copies(source, reads, glances.take(hashes), progress=progress)


def likeness(one: Image.Image, other: Image.Image) -> float:
    """How much two pictures agree, whatever their light, also mirrored or cut at the edges.

    >>> ramp = Image.linear_gradient("L").convert("RGB")
    >>> round(likeness(ramp, ramp.point(lambda value: value // 2)), 2)
    1.0

    Args:
        one: RGB.
        other: RGB.

    Returns:
        The correlation of their colours on thumbnails: 1 for the same picture.
    """
    twice = (2 * _SIDE, 2 * _SIDE)
    one, other = (each.resize(twice, Image.Resampling.BILINEAR) for each in (one, other))
    ours, theirs = _thumbnail(one), _thumbnail(other)
    if float((ours * theirs[:, ::-1]).sum()) > float((ours * theirs).sum()):
        other, theirs = ImageOps.mirror(other), theirs[:, ::-1]
    best = float((ours * theirs).sum())
    for left, right in _CUTS:
        for top, bottom in _CUTS:
            if best >= THE_SAME:
                return best
            cut = (left, top, right, bottom)
            best = max(
                best,
                float((_thumbnail(one, cut) * theirs).sum()),
                float((ours * _thumbnail(other, cut)).sum()),
            )
    return best


def _thumbnail(
    picture: Image.Image, cut: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
) -> NDArray[np.float32]:
    """Colours around their mean, of length 1 all together, with parts of the sides cut off."""
    wide, high = picture.size
    left, top, right, bottom = cut
    box = (left * wide, top * high, wide - right * wide, high - bottom * high)
    small = picture.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, box=box)
    values: NDArray[np.float32] = np.array(small, np.float32)
    values -= values.mean(axis=(0, 1))
    return values / max(float(np.linalg.norm(values)), 1e-6)


def _likenesses(
    source: Source, pairs: Sequence[tuple[Read, Read]], progress: Progress
) -> NDArray[np.float64]:
    """How alike the two of each pair are when looked at again."""

    def compare(some: Sequence[tuple[Read, Read]]) -> list[float]:
        return [_likeness_of(source, *pair) for pair in some]

    found: list[float] = []
    if pairs:
        with progress.step("Comparing photos", len(pairs)) as advance:
            for some in map_chunks(compare, pairs, size=_TOGETHER):
                found += some
                advance(len(some))
    return np.array(found, np.float64)


def _likeness_of(source: Source, one: Read, other: Read) -> float:
    try:
        ours, theirs = (
            open_photo(source.read(read.photo), read.photo.path, near=2 * _SIDE).picture
            for read in (one, other)
        )
    except PhotoError:  # it has gone meanwhile
        return 0.0
    return likeness(ours, theirs)


def _of_bytes(reads: Sequence[Read]) -> NDArray[np.uint64]:
    """The first 64 bits of each content hash: of a million photos no two will share them."""
    return np.fromiter((int(read.sha256[:16], 16) for read in reads), np.uint64, len(reads))


def _grouped(names: NDArray[Any]) -> tuple[tuple[int, ...], ...]:
    """The numbers of what has the same name, where there are two or more."""
    _, name_of, counts = np.unique(names, return_inverse=True, return_counts=True)
    members: dict[int, list[int]] = {}
    for number in np.flatnonzero(counts[name_of] > 1).tolist():
        members.setdefault(int(name_of[number]), []).append(number)
    return tuple(map(tuple, members.values()))
