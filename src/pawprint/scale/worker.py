"""One worker: opens a job's folder, then computes parts and writes them. Engines make them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata

from pawprint import engine
from pawprint.data import images
from pawprint.data.archives import Limits
from pawprint.data.wording import os_reason
from pawprint.errors import PawprintError, PhotoError, SourceError
from pawprint.parallel import cores
from pawprint.parts.folder import JobFolder, unwritable
from pawprint.parts.inputs import opener
from pawprint.parts.listing import Input
from pawprint.parts.patience import WAITS, another_day, may_pass
from pawprint.parts.places import Place, place
from pawprint.parts.schema import About
from pawprint.scale.work import Work, open_work

_MOST_BYTES = Limits().photo_bytes
_READS_AT_ONCE, _READS_A_CPU = 16, 4  # of a store, which is slow to answer but answers many


@dataclass(frozen=True)
class Assignment:
    """What every worker of a job is told.

    Args:
        out: the address of the job's folder.
        source: of the photos.
        digest: the job's.
    """

    out: str
    source: str
    digest: str


@dataclass(frozen=True)
class Done:
    """What became of a part.

    Args:
        part: its number.
        photos: its rows.
        errors: how many of them have one.
        seconds: that it took the worker.
        failure: why there is no part, where nobody but a person can mend that.
    """

    part: int
    photos: int = 0
    errors: int = 0
    seconds: float = 0.0
    failure: str = ""


class Worker:
    """Computes parts, one after the other.

    Args:
        assignment: of which job.
        cpus: how many to use; by default all of this machine's.
    """

    def __init__(self, assignment: Assignment, cpus: int | None = None) -> None:
        self._failure = ""
        try:
            self._open(assignment, cpus)
        except (PawprintError, OSError) as error:  # told for the first part: an answer, not a crash
            self._failure = str(error)

    def _open(self, assignment: Assignment, cpus: int | None) -> None:
        self._folder = JobFolder(place(assignment.out))
        job = self._folder.job
        if job["digest"] != assignment.digest:
            raise SourceError(
                f"{self._folder.place} is another folder on this node than where the job began; "
                "name a folder that all nodes share, or an address such as s3://..."
            )
        expect_versions(job["versions"])
        source = place(assignment.source)
        if not job["listed"] and source.kind() != "folder":
            raise SourceError(
                f"{source} is not there, or not on this node; bring it back or mount it, and run "
                "the same command again"
            )
        self._find = opener(source, listed=job["listed"])
        at_once = max(_READS_AT_ONCE, _READS_A_CPU * (cpus or cores()))
        self._pool = None if source.is_local else ThreadPoolExecutor(at_once)
        self._work: Work = open_work(job["computes"], self._folder.plan, cpus)

    def __call__(self, part: int) -> Done:
        """Compute a part and write it, unless it is there.

        Only what cannot be mended by trying again comes back as a failure.
        """
        if self._failure:
            return Done(part, failure=self._failure)
        start = time.perf_counter()
        try:
            about = self._folder.look(part)  # by another that died before it could say so
            if about is None or about.unreachable:
                about = self._compute(part)
        except OSError as error:
            return Done(part, failure=str(unwritable(self._folder.place, error)))
        except PawprintError as error:  # of the listing
            return Done(part, failure=str(error))
        return Done(part, about.rows, about.errors, time.perf_counter() - start)

    def _compute(self, part: int) -> About:
        inputs = self._folder.inputs(part)
        failures = _Failures()
        reads = self._reads(inputs, failures)
        table = self._work.table(inputs, reads)
        labels = table.column("label").value_counts().to_pylist()
        about = About(
            self._folder.job["digest"],
            part,
            table.num_rows,
            table.num_rows - table.column("error").null_count,
            failures.to_try_again(),
            {one["values"]: one["counts"] for one in labels if one["values"] is not None},
        )
        try:
            self._folder.write_part(part, table, about)
        except FileNotFoundError:  # the same command elsewhere has finished, and cleared up
            if self._folder.look(part) is None:
                raise
        return about

    def _reads(
        self, inputs: Sequence[Input], failures: _Failures
    ) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """For each input what gives its bytes; from a store many are under way at once."""
        for one in inputs:
            read = _Reading(one, self._find, failures)
            if self._pool is None:
                yield one.path, read
            else:  # begun as soon as a chunk is made up, which is before a thread wants it
                yield one.path, self._pool.submit(read).result


class _Failures:
    """How many files of a part could not be read, and which of these another day may be."""

    def __init__(self) -> None:
        self._gone = self._unreachable = 0
        self._there: Place | None = None
        self._lock = threading.Lock()

    def found(self, photo: Place) -> None:
        """Remember one that was read."""
        self._there = photo

    def add(self, error: OSError) -> None:
        """Count one that was not; several threads may."""
        with self._lock:
            if another_day(error):
                self._unreachable += 1
            else:
                self._gone += 1

    def to_try_again(self) -> int:
        """How many another day may be read; of those that are gone all, if their disk is, too."""
        return self._unreachable + self._gone * (self._gone > 0 and not self._still_there())

    def _still_there(self) -> bool:
        try:
            return self._there is not None and self._there.exists()
        except OSError:
            return False


@dataclass(frozen=True)
class _Reading:
    """Reads one input's bytes."""

    one: Input
    find: Callable[[str], Place]
    failures: _Failures

    def __call__(self) -> bytes:
        path = self.one.path
        if self.one.error is not None:
            raise PhotoError(path, self.one.error)
        try:
            photo = self.find(path)
            content = photo.read(_MOST_BYTES)
            self.failures.found(photo)
            return content
        except PawprintError as error:
            raise PhotoError(path, str(error)) from None
        except IsADirectoryError as error:
            self.failures.add(error)
            raise PhotoError(path, "it is a folder") from None
        except OSError as error:
            self.failures.add(error)
            tries = f", at each of {len(WAITS) + 1} tries" if may_pass(error) else ""
            why = os_reason(error) + tries
            raise PhotoError(path, f"it cannot be read ({why})") from None
        except ValueError as error:
            raise PhotoError(path, f"it cannot be read ({error})") from None


def versions() -> dict[str, str]:
    """What decides how photos become numbers, besides the network."""
    return {
        "pawprint": metadata.version("pawprint"),
        "decoding": images.DECODED_BY,
        "openvino": engine.version(),
    }


def expect_versions(meant: dict[str, str]) -> None:
    """Refuse to go on where others began: their numbers would differ.

    Raises:
        PawprintError: a version differs.
    """
    for name, here in versions().items():
        if meant.get(name) != here:
            raise PawprintError(
                f"the job was begun with {name} {meant.get(name)}, and here is {here}; install the "
                "same on all nodes, or begin a new job with another --out"
            )
