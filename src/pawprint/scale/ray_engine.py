"""Parts on a Ray cluster: Ray Data hands them to a pool of actors, each with a network of its own.

An actor that dies is made again, and its part is computed again, by Ray. What Ray gives up, the job
asks for once more.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from pawprint.errors import MissingExtra, PawprintError
from pawprint.scale.engines import Lost
from pawprint.scale.worker import Assignment, Done, Worker

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported unasked
try:
    import ray
    import ray.data
    from ray.exceptions import RayError
except ModuleNotFoundError as error:
    raise MissingExtra("--engine ray", error.name, "scale") from None

_WAITING = 2  # parts that wait at an actor, so that it never waits for one


class RayEngine:
    """A Ray cluster.

    Args:
        address: of one that runs, as `ray start --head` tells it; by default the one that
            RAY_ADDRESS or this machine knows, or else one of this machine alone, for as long as
            the process lasts.
        cpus: for each actor.

    Raises:
        PawprintError: there is no cluster at the address.
    """

    def __init__(self, address: str | None = None, *, cpus: int = 1) -> None:
        self._cpus = cpus
        if address is not None and address.startswith("ray://"):
            raise PawprintError(
                f"{address} is for Ray's client, which Ray Data does not go through; run the "
                "command on a node of the cluster, or with ray job submit, and name HOST:6379"
            )
        if not ray.is_initialized():
            try:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
            except (RayError, ConnectionError, RuntimeError, ValueError) as error:
                raise PawprintError(
                    f"there is no Ray cluster at {address or 'RAY_ADDRESS'} ({_short(error)}); "
                    "start one with ray start --head, or leave --address out"
                ) from None
        total = int(ray.cluster_resources().get("CPU", 0))
        self._actors = max(1, total // cpus)
        if total < cpus:
            raise PawprintError(
                f"the cluster has {total} CPUs and an actor is to have {cpus}; lower --actor-cpus"
            )
        nodes = len([node for node in ray.nodes() if node["Alive"]])
        self.where = f"on {nodes} node{'s' * (nodes != 1)} with {total} CPUs"

    def run(self, assignment: Assignment, parts: Sequence[int]) -> Iterator[Done]:
        """As of `engines.Engine`."""
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = False  # none waits for another
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        numbered = ray.data.from_items(
            [{"part": part} for part in parts], override_num_blocks=len(parts)
        )
        pool = ray.data.ActorPoolStrategy(
            min_size=1,
            max_size=min(self._actors, len(parts)),
            max_tasks_in_flight_per_actor=_WAITING,
        )
        results = numbered.map_batches(
            _Actor,
            fn_constructor_args=(asdict(assignment), self._cpus),
            batch_size=1,
            compute=pool,
            num_cpus=self._cpus,
        )
        try:
            for row in results.iter_rows():
                yield Done(**row)
        except RayError as error:
            raise Lost(f"Ray gave up some parts ({_short(error)})") from error


class _Actor:
    """A worker, as Ray Data calls it."""

    def __init__(self, assignment: dict[str, str], cpus: int) -> None:
        self._worker = Worker(Assignment(**assignment), cpus)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        done = [asdict(self._worker(int(part))) for part in batch["part"]]
        return {name: [one[name] for one in done] for name in done[0]}


def _short(error: Exception) -> str:
    """An error's first line with something in it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
