"""Threads over chunks of items, in order and never far ahead. Imports no other room.

Decoding and inference both leave Python's lock, so threads use every core. A worker takes a chunk
through all its work (decode it, then infer it) and there is one worker more than there are cores:
while one waits, another computes, and each core keeps its caches warm for a whole chunk.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_chunks(
    work: Callable[[Sequence[Item]], Result],
    items: Iterable[Item],
    *,
    size: int,
    workers: int | None = None,
) -> Iterator[Result]:
    """Run `work` on chunks of the items and give the results in the items' order.

    >>> list(map_chunks(sum, range(10), size=4))
    [6, 22, 17]

    Args:
        work: takes a chunk; called in several threads at once.
        items: may be endless; at most two chunks a worker are taken ahead.
        size: items a chunk.
        workers: threads; by default one more than there are cores.

    Returns:
        An iterator of what `work` returned. An exception in `work` is raised here, and when the
        iterator is left early, chunks not begun are dropped.
    """
    workers = workers or cores() + 1
    iterator = iter(items)
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while chunk := list(itertools.islice(iterator, size)):
                pending.append(pool.submit(work, chunk))
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
