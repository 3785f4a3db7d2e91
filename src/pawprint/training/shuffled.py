"""Rows of features in an order at random, more of them than fit into memory.

Once, they are dealt into buckets of a file, each a fair sample of all rows that fits into memory.
An epoch takes the buckets in an order at random and shuffles each by itself. Listings are sorted by
class, so that what lies together in them would be of a few classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.training.scratch import Scratch

Some = tuple[NDArray[np.integer[Any]], NDArray[Any]]


class Shuffled:
    """Rows, dealt.

    Args:
        folder: for the file that they are in.
        rows: how many.
        features: of each.
        window: bytes of a bucket.
        seed: of what is dealt where.

    Raises:
        OutputError: there is no room, or the folder cannot be written.
    """

    def __init__(self, folder: Path, rows: int, features: int, window: int, seed: int) -> None:
        count = min(max(1, -(-2 * rows * features // window)), max(1, rows))
        # As even as can be, and as small numbers as will do: there may be very many.
        rounds = np.empty((-(-rows // count), count), np.min_scalar_type(count))
        rounds[:] = np.arange(count)
        self._bucket_of = rounds.reshape(-1)[:rows]
        np.random.default_rng(seed).shuffle(self._bucket_of)
        sizes = np.full(count, rows // count)
        sizes[: rows % count] += 1
        self._borders = np.concatenate([[0], sizes.cumsum()])
        self._tags = np.empty(rows, np.min_scalar_type(rows))
        self._file = Scratch(folder, rows, features)

    def fill(self, blocks: Iterable[Some]) -> None:
        """Deal all rows.

        Args:
            blocks: in an order that is always the same, of each its rows' tags, int, shape (n,),
                below the number of rows, and features, float16, shape (n, ...).

        Raises:
            OutputError: they cannot be written.
        """
        free, begun = self._borders[:-1].copy(), 0  # the next place of each bucket
        for tags, features in blocks:
            own = self._bucket_of[begun : begun + len(tags)]
            order = np.argsort(own, kind="stable")
            buckets, starts = np.unique(own[order], return_index=True)
            for bucket, (start, end) in zip(buckets, pairwise([*starts, len(own)]), strict=True):
                some, place = order[start:end], int(free[bucket])
                self._file.write(features[some], place)
                self._tags[place : place + len(some)] = tags[some]
                free[bucket] += len(some)
            begun += len(tags)
        assert begun == len(self._bucket_of), (begun, len(self._bucket_of))
        del self._bucket_of

    def batches(self, size: int, random: np.random.Generator) -> Iterator[Some]:
        """All rows once, so many at a time, tags and features; fewer only at the end.

        A bucket is in memory at a time. A batch that crosses into the next is a copy.

        Raises:
            OutputError: they cannot be read.
        """
        largest = int(np.diff(self._borders).max())
        buffer = np.empty((largest, self._file.features), np.float16)
        held_tags, held = self._tags[:0], buffer[:0].copy()
        for bucket in random.permutation(len(self._borders) - 1):
            begin, end = self._borders[bucket : bucket + 2].tolist()
            self._file.read_into(buffer[: end - begin], begin)
            order = random.permutation(end - begin)
            for start, stop in pairwise(
                [0, *range(size - len(held), len(order), size), len(order)]
            ):
                some = order[start:stop]
                held_tags = np.concatenate([held_tags, self._tags[begin:end][some]])
                held = np.concatenate([held, buffer[some]])
                if len(held) == size:
                    yield held_tags, held
                    held_tags, held = held_tags[:0], buffer[:0].copy()
        if len(held):
            yield held_tags, held

    def close(self) -> None:
        """Give the room back."""
        self._file.close()
