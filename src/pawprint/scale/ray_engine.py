"""Parts on a Ray cluster: Ray Data hands them to a pool of actors, each with a network of its own.

An actor that dies is made again, and its part is computed again, by Ray. What Ray gives up, the job
asks for once more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from pawprint.errors import MissingExtra, PawprintError
from pawprint.scale.engines import Lost
from pawprint.scale.worker import Assignment, Done, Worker

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported unasked
try:
    import ray
    import ray.data
    from ray.exceptions import RayError
    from ray.util.annotations import RayDeprecationWarning
except ModuleNotFoundError as error:
    raise MissingExtra("--engine ray", error.name, "scale") from None

_RETRIES = 1  # of a part whose actor died; a photo may be what kills it
_WAITING = 2  # tasks that wait at an actor, so that it never waits for one
_TASKS, _TASKS_AN_ACTOR = 4096, 8  # that parts are handed out in, at most
_ANSWERS_WITHIN = 10.0  # seconds


class RayEngine:
    """A Ray cluster.

    Args:
        address: of one that runs, as `ray start --head` tells it; by default the one that
            RAY_ADDRESS or this machine knows, or else one of this machine alone, until a run has
            ended.
        cpus: for each actor.

    Raises:
        PawprintError: the address is of another kind.
    """

    def __init__(self, address: str | None = None, *, cpus: int = 1) -> None:
        self._address, self._cpus = address, cpus
        if address is not None and address.startswith("ray://"):
            raise PawprintError(
                f"{address} is for Ray's client, which Ray Data does not go through; run the "
                "command on a node of the cluster, or with ray job submit, and name HOST:6379"
            )
        self._connects = not ray.is_initialized()  # or else whoever did that ends it, too
        self._actors = 0
        self.where = "on a Ray cluster"

    def start(self) -> None:
        """As of `engines.Engine`."""
        if self._actors:
            return
        self._connect()
        cpus = [int(one["Resources"].get("CPU", 0)) for one in ray.nodes() if one["Alive"]]
        self._actors = sum(count // self._cpus for count in cpus)
        if not self._actors:
            raise PawprintError(
                f"no node of the cluster has the {self._cpus} CPUs that an actor is to have (the "
                f"largest has {max(cpus, default=0)}); lower --actor-cpus, or add a node"
            )
        nodes = f"{len(cpus)} node{'s' * (len(cpus) != 1)}"
        self.where = f"on {nodes} with {sum(cpus)} CPU{'s' * (sum(cpus) != 1)}"

    def _connect(self) -> None:
        """Connect to the cluster, unless that is done."""
        if ray.is_initialized():
            return
        ended = signal.getsignal(signal.SIGTERM)
        try:
            _expect_listening(self._address or os.environ.get("RAY_ADDRESS", ""))
            with _silent_core():
                ray.init(self._address, log_to_driver=False, logging_level=logging.ERROR)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, ended)  # Ray's would print where its core was
        except (RayError, OSError, RuntimeError, ValueError) as error:
            raise PawprintError(
                f"there is no Ray cluster at {self._address or 'RAY_ADDRESS'} ({_short(error)}); "
                "start one with ray start --head, or leave --address out"
            ) from None

    def run(self, assignment: Assignment, parts: Sequence[int]) -> Generator[Done, None, None]:
        """As of `engines.Engine`."""
        # Ray prints every death of an actor, from a thread of its own, until it is shut down.
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            try:
                self._connect()
                yield from self._run(assignment, parts)
            finally:
                if self._connects:
                    ray.shutdown()

    def _run(self, assignment: Assignment, parts: Sequence[int]) -> Iterator[Done]:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = False  # none waits for another
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it raises is told
        tasks = _tasks(parts, self._actors)
        listed = ray.data.from_items(
            [{"parts": some} for some in tasks], override_num_blocks=len(tasks)
        )
        actors = min(self._actors, len(tasks))
        pool = ray.data.ActorPoolStrategy(
            min_size=1,  # nodes may go for good
            max_size=actors,
            initial_size=actors,  # or else the second is made when the first works
            max_tasks_in_flight_per_actor=_WAITING,
        )
        with warnings.catch_warnings():  # of max_task_retries, which has no other name yet
            warnings.simplefilter("ignore", RayDeprecationWarning)
            results = listed.map_batches(
                _Actor,
                fn_constructor_args=(_Sealed(assignment), self._cpus),
                batch_size=1,
                compute=pool,
                num_cpus=self._cpus,
                max_task_retries=_RETRIES,
            )
        try:
            for row in results.iter_rows():
                yield Done(**row)
        except RayError as error:
            raise Lost(f"Ray gave up some parts ({_cause(error)})") from error


def _tasks(parts: Sequence[int], actors: int) -> list[list[int]]:
    """Parts that are handed out together: one by one, unless there are very many.

    Ray holds some kilobytes of each task where the command runs, from the beginning on.

    >>> _tasks(range(3), 2)
    [[0], [1], [2]]
    """
    most = max(_TASKS, _TASKS_AN_ACTOR * actors)
    count = min(len(parts), most)
    # Of an even share, those that come one after the other; the listing is read in order.
    edges = [len(parts) * number // count for number in range(count + 1)]
    return [list(parts[start:stop]) for start, stop in pairwise(edges)]


class _Sealed:
    """An assignment that Ray, which shows actors' arguments, cannot show: it may have keys."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment


class _Actor:
    """A worker, as Ray Data calls it."""

    def __init__(self, sealed: _Sealed, cpus: int) -> None:
        self._worker = Worker(sealed.assignment, cpus)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        (parts,) = batch["parts"]
        done = [asdict(self._worker(int(part))) for part in parts]
        return {name: [one[name] for one in done] for name in done[0]}


def _expect_listening(address: str) -> None:
    """Find out in seconds that nobody is at HOST:PORT; Ray itself takes minutes.

    Raises:
        OSError: nobody is.
    """
    host, _, port = address.rpartition(":")
    if port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS_WITHIN).close()


@contextlib.contextmanager
def _silent_core() -> Iterator[None]:
    """While Ray starts, have its core say nothing on standard error, then and later.

    Else it warns of every pool of actors of Ray Data (Ray's issue 57733). The core reads its level
    once, and says so; RAY_BACKEND_LOG_LEVEL still counts where somebody has set it.
    """
    name = "RAY_BACKEND_LOG_LEVEL"
    if name in os.environ:
        yield
        return
    os.environ[name] = "fatal"
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        del os.environ[name]


def _short(error: Exception) -> str:
    """An error's first line with something in it."""
    lines = _lines(str(error))
    return lines[0] if lines else type(error).__name__


def _cause(error: Exception) -> str:
    """What was raised at a node: the last line of the first of an error's tracebacks."""
    lines = _lines(str(error).partition("\nThe above exception was")[0])
    return lines[-1] if lines else type(error).__name__


def _lines(text: str) -> list[str]:
    return [line.strip()[:200] for line in text.splitlines() if line.strip()]
