"""Threads over chunks of items, in order and never far ahead. Imports no other room.

Decoding and inference both leave Python's lock, so threads use every core. A worker takes a chunk
through all its work (decode it, then infer it) and there is one worker more than there are cores:
while one waits, another computes, and each core keeps its caches warm for a whole chunk.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # Linux' cgroup v2, as containers see it


def cores() -> int:
    """How many processors this process may use, in a container with a limit no more than that."""
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    else:
        there = os.cpu_count() or 1
    return min(there, quota(_QUOTA) or there)


def quota(file: Path) -> int | None:
    """The processors' worth of time that a control group gives, rounded up.

    Args:
        file: its `cpu.max`: microseconds of every so many, or "max".

    Returns:
        At least 1; None where there is no limit.
    """
    try:
        given, _, period = file.read_text("ascii").partition(" ")
        return max(1, math.ceil(int(given) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return None


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
