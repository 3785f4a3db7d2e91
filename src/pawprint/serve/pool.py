"""A bounded queue before a few threads: what does not fit is refused at once, not kept waiting.

Decoding and inference leave Python's lock, so threads use every core, and the event loop that
hands them work stays quick. What nobody waits for any more is passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pawprint.serve.metrics import Metrics
from pawprint.serve.refusals import Refusal

Result = TypeVar("Result")
Wanted = Callable[[], bool]
Work = Callable[[Wanted], Result]

_NICE = 10  # how far computing steps back behind the event loop
_KEPT = 1.0  # seconds that a place is kept for a request
_SMOOTHING = 0.05  # of the seconds a photo takes


class Unwanted(Exception):
    """Raised by work that stops as nobody waits for it."""


class Place:
    """A place in the queue that is kept, not for long: who sends slowly must not keep others out.

    Args:
        pool: whose.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool: Pool | None = pool
        self._timer = asyncio.get_running_loop().call_later(_KEPT, self.free)

    def free(self) -> None:
        """Give it up; for the work itself, or as there is none."""
        if self._pool is not None:
            self._timer.cancel()
            self._pool._coming -= 1
            self._pool = None


class Pool:
    """Threads that work for one event loop.

    Args:
        threads: how many.
        bound: pieces of work that may wait.
        metrics: what is told of it.
    """

    def __init__(self, threads: int, bound: int, metrics: Metrics) -> None:
        self._bound, self._metrics = bound, metrics
        self._coming = self._busy = 0
        self._waiting: deque[tuple[Work[Any], asyncio.Future[Any], float]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._pace = 0.02  # seconds for a piece of work in one thread, at first a guess
        self._threads = [
            threading.Thread(target=self._serve, name=f"photos-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def reserve(self) -> Place:
        """Keep a place for a request whose body is to be read.

        Else all that come while a few bodies are read would be let in, and refused afterwards.

        Raises:
            Refusal: as `overloaded`.
        """
        self.check()
        self._coming += 1
        return Place(self)

    def check(self, pieces: int = 1) -> None:
        """Make sure that so much work would be taken now.

        Raises:
            Refusal: as `overloaded`.
        """
        waiting = len(self._waiting)
        idle = len(self._threads) - self._busy
        if waiting + self._coming + pieces > self._bound + idle:
            seconds = max(1, math.ceil(waiting * self._pace / len(self._threads)))
            raise Refusal(
                "overloaded",
                f"the queue of {self._bound} photos is full; send again in {seconds} s",
                retry_after=seconds,
            )

    async def run(self, work: Sequence[Work[Result]]) -> list[Result]:
        """Do pieces of work, all or none.

        Args:
            work: each is called in a thread with what tells whether it is still wanted.

        Returns:
            Their results, in order. Cancelled, what has not begun is not done.

        Raises:
            Refusal: as `overloaded`.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        futures: list[asyncio.Future[Result]] = [loop.create_future() for _ in work]
        with self._changed:
            self.check(len(work))
            self._waiting.extend((piece, to, now) for piece, to in zip(work, futures, strict=True))
            self._metrics.queue.set(len(self._waiting))
            self._changed.notify(len(work))
        try:
            return await asyncio.gather(*futures)
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """End the threads after what they are at."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        step_back()
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                work, future, since = self._waiting.popleft()
                self._busy += 1
                self._metrics.queue.set(len(self._waiting))
            self._do(work, future, since)
            with self._changed:
                self._busy -= 1

    def _do(self, work: Work[Any], future: asyncio.Future[Any], since: float) -> None:
        if future.done():  # its client has gone, or its time is over
            self._metrics.unwanted.inc()
            return
        begun = time.monotonic()
        self._metrics.waited.observe(begun - since)
        result = error = None
        try:
            result = work(lambda: not future.done())
        except Unwanted:
            self._metrics.unwanted.inc()
            return
        except BaseException as raised:  # told to whoever waits; the thread goes on
            error = raised
        self._pace += _SMOOTHING * (time.monotonic() - begun - self._pace)
        loop = future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_tell, future, result, error)


def step_back() -> None:
    """Let the event loop go before this thread and what it starts, where a system can do so.

    Else under load its answers, refusals and health wait for their turn on a core.
    """
    if sys.platform == "linux":  # elsewhere this would be of the whole process
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            nice = max(os.getpriority(os.PRIO_PROCESS, thread), _NICE)
            os.setpriority(os.PRIO_PROCESS, thread, nice)


def _tell(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
