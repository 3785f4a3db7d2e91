"""Who computes which part: one small interface, and the engine that needs nothing else."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from pawprint.scale.worker import Assignment, Done, Worker


class Lost(Exception):
    """An engine lost what it works with; what it computed is there."""


class Engine(Protocol):
    """Has workers compute parts.

    A part may be computed twice, which gives the same file, or not at all, which the job notices.

    Attributes:
        where: in a few words, for people.
    """

    where: str

    def start(self) -> None:
        """Get ready, unless that is done; not before there is something to compute.

        Raises:
            PawprintError: nothing can be computed.
        """
        ...

    def run(self, assignment: Assignment, parts: Sequence[int]) -> Generator[Done, None, None]:
        """Compute parts.

        Args:
            assignment: what the workers are told.
            parts: their numbers.

        Returns:
            What became of each, in any order, as they are done.

        Raises:
            Lost: some will not come, and another try may go well.
        """
        ...


class LocalEngine:
    """This process, on all its cores."""

    where = "on this machine"

    def start(self) -> None:
        """Nothing is to be done."""

    def run(self, assignment: Assignment, parts: Sequence[int]) -> Generator[Done, None, None]:
        """As of `Engine`."""
        worker = Worker(assignment)
        yield from map(worker, parts)
