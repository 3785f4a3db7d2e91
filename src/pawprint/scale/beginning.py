"""How a job begins, once: its inputs are listed, what computes is written, and then `job.json`.

Each attempt writes into a folder of its own; the one whose `job.json` is there has begun the job.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from pawprint.data.cache import UNFINISHED
from pawprint.errors import OutputError, SourceError
from pawprint.parts.folder import JOB, LISTING, JobFolder, digest_of
from pawprint.parts.inputs import digest_of_list, inputs_of, is_list
from pawprint.parts.listing import Listed, write_listing
from pawprint.parts.places import Place
from pawprint.parts.schema import VERSION
from pawprint.progress import Progress
from pawprint.scale.worker import expect_versions, versions

PART_SIZE = 1024
PLAN = re.compile("plan-[0-9a-f]{8}")  # the folders of attempts


class Computes(Protocol):
    """What is to be computed, before any worker computes it.

    Attributes:
        facts: everything that the results follow from but the photos, as plain values; `what` they
            are.
        labelled: whether results have the labels that the source gives.
    """

    facts: dict[str, Any]
    labelled: bool

    def write(self, plan: Place) -> None:
        """Write what workers need into a folder.

        Raises:
            OSError: it cannot be written.
        """
        ...


def begin(
    computes: Computes,
    source: Place,
    out: Place,
    part_size: int | None,
    progress: Progress,
    before_listing: Callable[[], None],
) -> JobFolder:
    """The job's folder: the one that is there, if it is of this job, or a new one.

    Args:
        computes: what is to be computed.
        source: of which photos.
        out: the folder.
        part_size: photos a part, or None for whatever the job has.
        progress: where to show how it goes.
        before_listing: what is to go well before hours may be spent on listing.

    Raises:
        SourceError: there are no photos, or they cannot be listed.
        OutputError: the folder holds something else, or another command begins a job there, too.
        OSError: the folder cannot be written.
    """
    folder = JobFolder(out)
    if (out / JOB).exists():
        _expect_same(folder, computes, source, part_size)
        progress.say(f"{out} was begun {folder.job['begun']}; going on with what is missing")
        return folder
    kind = out.kind()
    if kind == "file" or (kind == "folder" and _others(out)):
        raise OutputError(
            f"{out} holds something else, and nothing is replaced; name another with --out"
        )
    before_listing()
    inputs = inputs_of(source, labelled=computes.labelled)
    size, plan = part_size or PART_SIZE, f"plan-{secrets.token_hex(4)}"
    listed = write_listing(out / plan / LISTING, inputs, size, progress)
    if not listed.inputs:
        raise SourceError(f"{source} holds no photos")
    computes.write(out / plan)
    job = _described(computes, source, listed, size)
    if (out / JOB).exists():
        raise OutputError(f"another command has begun a job in {out}; {_AGAIN}")
    folder.write_json(JOB, {"digest": digest_of(job), "begun": now(), "plan": plan, **job})
    return folder


_AGAIN = "run the same command again, which goes on with it if it is the same"


def expect_still(folder: JobFolder) -> None:
    """Refuse to speak for a folder in which another command began a job at the same moment.

    Raises:
        OutputError: one did.
    """
    if JobFolder(folder.place).job["plan"] != folder.job["plan"]:
        raise OutputError(
            f"another command began a job in {folder.place} at the same moment; {_AGAIN}"
        )


def now() -> str:
    """The time, for people."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _described(computes: Computes, source: Place, listed: Listed, size: int) -> dict[str, Any]:
    """Everything that the results follow from."""
    of_list = is_list(source)
    return {
        "schema_version": VERSION,
        "source": str(source),
        "address": source.identity,
        "listed": of_list,
        "list": digest_of_list(source) if of_list else None,
        "inputs": listed.inputs,
        "listing": listed.digest,
        "part_size": size,
        "computes": computes.facts,
        "versions": versions(),
    }


def _others(out: Place) -> bool:
    """Whether a folder holds anything but what interrupted beginnings left."""
    left = (PLAN.fullmatch(name) or name.startswith(UNFINISHED) for name, _ in out.entries())
    return not all(left)


def _expect_same(
    folder: JobFolder, computes: Computes, source: Place, part_size: int | None
) -> None:
    """Refuse to go on with another job.

    Raises:
        OutputError: it is another.
    """
    job = folder.job
    asked: dict[str, Any] = {"address": source.identity, "computes": computes.facts}
    if part_size:
        asked["part_size"] = part_size
    if job["listed"] and is_list(source):  # it may be gone
        asked["list"] = digest_of_list(source)
    for name, value in asked.items():
        if job.get(name) != value:
            raise OutputError(
                f"{folder.place} holds a job {_OTHER[name]}; name another folder with --out, or "
                "remove it"
            )
    expect_versions(job["versions"])


_OTHER = {
    "address": "of other photos",
    "computes": "that computes something else",
    "list": "of that list as it was before it was changed",
    "part_size": "in parts of another size",
}
