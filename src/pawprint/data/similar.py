"""Near pairs among very many hashes, without comparing each with each. Knows bits, never photos.

Photos whose hashes agree in some bits, drawn at random, are put side by side by sorting, and
compared; then by other bits, and so on. Of random hashes hardly two meet, and those that differ
in few bits meet again and again.

Source:
    P. Indyk and R. Motwani, "Approximate nearest neighbors: towards removing the curse of
    dimensionality", STOC 1998 (sampling bits).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawprint.data.glance import BITS, MIRRORED, distances

_SORTS = 48
_SAMPLED = BITS // 2  # bits are drawn from the lowest frequencies, which copies keep best
_KEY = 31  # bits that are sorted by; fewer must agree, the others bring the most alike together
_AHEAD = 8  # neighbours in a sorting that a hash is compared with, however many agree
_KEPT = 1000  # pairs, and one for each hash, that are remembered at most
_TOGETHER = 16_384  # places of a sorting that are looked at together, at least
_NUMBER = np.uint64(33)  # bits below the key: which hash it is, and whether mirrored

Pairs = NDArray[np.int64]  # shape (m, 3): two numbers, the smaller first, and their distance


@dataclass(frozen=True)
class Near:
    """Which hashes are near each other.

    Args:
        sure: int, shape (m, 3): numbers of two hashes and their distance. Not every pair: enough
            to link all that are near, directly or through others.
        unsure: the same for pairs that are farther from each other and not yet linked; the closest
            first, and not many more than there are hashes.
    """

    sure: Pairs
    unsure: Pairs


def near(
    hashes: NDArray[np.uint8],
    *,
    sure: int,
    unsure: int,
    usable: NDArray[np.bool_] | None = None,
) -> Near:
    """Find hashes that differ in few bits, also of the mirror image.

    >>> random = np.random.default_rng(0)
    >>> hashes = random.integers(0, 256, (1000, BITS // 8), np.uint8)
    >>> hashes[7] = hashes[3] ^ MIRRORED
    >>> near(hashes, sure=24, unsure=72).sure.tolist()
    [[3, 7, 0]]

    Args:
        hashes: uint8, shape (n, 32).
        sure: the largest distance that needs no confirmation.
        unsure: the largest one that is given at all.
        usable: bool, shape (n,), False for hashes that mean nothing; without it all do.

    Returns:
        The pairs: of those that differ in 24, 32, 48 and 64 bits at random places among 16,000
        hashes 100, 99, 79 and 39 %, among a million 98, 87, 39 and 9 %. Copies keep the lowest
        frequencies best, which are looked at, so more of them are found. Takes a time that grows
        like n log n.
    """
    count = len(hashes)
    forest = Forest(count)
    linked: list[Pairs] = []
    loose = np.empty((0, 3), np.int64)
    random = np.random.default_rng(0)
    width = int(np.clip(np.ceil(np.log2(2 * count + 1)), 10, _KEY))
    columns = np.ascontiguousarray(hashes[:, : _SAMPLED // 8].T)
    for _ in range(_SORTS):
        order = _sorted(columns, random.choice(_SAMPLED, _KEY, replace=False))
        for pairs in _meetings(order, width):
            pairs = pairs[forest.apart(pairs[:, 0], pairs[:, 1])]
            if usable is not None:
                pairs = pairs[usable[pairs[:, 0]] & usable[pairs[:, 1]]]
            first, second, turned = pairs.T
            theirs = hashes[second] ^ (MIRRORED * turned[:, None].astype(np.uint8))
            found = np.column_stack([first, second, distances(hashes[first], theirs)])
            linked.append(forest.join(found[found[:, 2] <= sure]))
            farther = found[(found[:, 2] > sure) & (found[:, 2] <= unsure)]
            loose = np.concatenate([loose, farther])
        if len(loose) > 2 * (count + _KEPT):  # where all are alike there are very many
            loose = _closest(loose)[: count + _KEPT]
    loose = _closest(loose)[: count + _KEPT]
    loose = loose[forest.apart(loose[:, 0], loose[:, 1])]
    return Near(np.concatenate([np.empty((0, 3), np.int64), *linked]), loose)


def _sorted(columns: NDArray[np.uint8], bits: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Each hash and its mirror image, in the order of some bits: bits, number, whether mirrored."""
    count = columns.shape[1]
    order = np.zeros((2, count), np.uint64)
    key, mirror = np.zeros(count, np.uint32), 0
    for bit in bits.tolist():
        byte, place = divmod(bit, 8)
        key <<= np.uint32(1)
        key |= (columns[byte] >> np.uint8(7 - place)) & np.uint8(1)
        mirror = (mirror << 1) | int(MIRRORED[byte] >> (7 - place)) & 1
    order[0], order[1] = key, key ^ np.uint32(mirror)
    order <<= _NUMBER
    order |= np.arange(count, dtype=np.uint64) << np.uint64(1)
    order[1] |= np.uint64(1)
    flat = order.reshape(-1)
    flat.sort()
    return flat


def _meetings(order: NDArray[np.uint64], width: int) -> Iterator[Pairs]:
    """Pairs that agree in the first bits of a sorting, some at a time."""
    together = max(_TOGETHER, len(order) // 16)  # bounds the memory
    for start in range(0, len(order), together):
        for ahead in range(1, _AHEAD + 1):
            pairs = _meeting(order[start : start + together + ahead], ahead, width)
            if not len(pairs):
                break
            yield pairs


def _meeting(order: NDArray[np.uint64], ahead: int, width: int) -> Pairs:
    """Pairs so far apart in a sorting that agree in its first bits; and whether one is mirrored."""
    ours, theirs = order[:-ahead], order[ahead:]
    same = np.flatnonzero((ours ^ theirs) < np.uint64(2 ** (33 + _KEY - width)))
    mask = np.uint64(2**33 - 1)
    first, second = (ours[same] & mask).astype(np.int64), (theirs[same] & mask).astype(np.int64)
    turned = (first ^ second) & 1
    # Two mirror images are as far from each other as the hashes themselves.
    wanted = (first >> 1 != second >> 1) & ((first & 1 == 0) | (turned == 1))
    first, second, turned = first[wanted] >> 1, second[wanted] >> 1, turned[wanted]
    return np.column_stack([np.minimum(first, second), np.maximum(first, second), turned])


def _closest(pairs: Pairs) -> Pairs:
    """Each pair once, with its smallest distance; the closest first."""
    pairs = pairs[np.lexsort(pairs.T[[2, 1, 0]])]
    new = np.ones(len(pairs), bool)
    new[1:] = (pairs[1:, :2] != pairs[:-1, :2]).any(axis=1)
    pairs = pairs[new]
    return pairs[np.argsort(pairs[:, 2], kind="stable")]


class Forest:
    """Which numbers are linked, directly or through others.

    >>> forest = Forest(4)
    >>> forest.join(np.array([[0, 1, 5], [1, 2, 6], [0, 2, 7]])).tolist()
    [[0, 1, 5], [1, 2, 6]]
    >>> forest.groups().tolist()
    [0, 0, 0, 3]

    Args:
        count: of numbers.
    """

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)
        self._flat = True  # every parent is a root

    def groups(self) -> NDArray[np.int64]:
        """For each number the smallest that it is linked with; int, shape (count,)."""
        while not self._flat:
            above = self._parent[self._parent]
            self._flat = np.array_equal(above, self._parent)
            self._parent = above
        return self._parent

    def apart(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs are not linked yet."""
        groups = self.groups()
        return np.not_equal(groups[first], groups[second])

    def link(self, numbers: Sequence[int]) -> None:
        """Link several numbers."""
        self.join(np.array([(numbers[0], number, 0) for number in numbers[1:]]).reshape(-1, 3))

    def join(self, pairs: Pairs) -> Pairs:
        """Link pairs; give those that linked what was apart."""
        parent, joined = self._parent, []
        for number, (first, second, _) in enumerate(pairs.tolist()):
            while parent[first] != first:
                first = parent[first]
            while parent[second] != second:
                second = parent[second]
            if first != second:
                parent[max(first, second)] = min(first, second)
                joined.append(number)
        self._flat = self._flat and not joined
        return pairs[joined]
