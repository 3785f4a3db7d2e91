"""The whole story of a job, top-down: list the inputs, compute what is missing, account for all."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from pawprint.data.wording import shown
from pawprint.errors import OutputError, PawprintError, SourceError
from pawprint.parts.folder import (
    JOB,
    LISTING,
    MANIFEST,
    PARTS,
    PLAN,
    JobFolder,
    digest_of,
    unwritable,
)
from pawprint.parts.inputs import inputs_of, is_list
from pawprint.parts.listing import write_listing
from pawprint.parts.places import Place
from pawprint.parts.schema import FEATURES, PREDICTIONS, VERSION
from pawprint.progress import SILENT, Progress
from pawprint.scale.engines import Engine, Lost
from pawprint.scale.worker import Assignment, expect_versions, versions

PART_SIZE = 1024
_UNFINISHED = ".part-"  # how names of files begin that are not whole, as data/cache.py has it
_FRUITLESS = 3  # times that an engine may end without a single new part


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


@dataclass(frozen=True)
class Finished:
    """A job that has answered for every input.

    Args:
        place: its folder.
        manifest: what `manifest.json` says.
        computed: how many photos were computed now; the others were there.
        seconds: since the command began.
    """

    place: Place
    manifest: dict[str, Any]
    computed: int
    seconds: float


def run_job(
    computes: Computes,
    source: Place,
    out: Place,
    engine: Engine,
    *,
    part_size: int | None = None,
    progress: Progress = SILENT,
) -> Finished:
    """Compute something of every photo of a source, or go on where that was interrupted.

    Args:
        computes: what.
        source: a folder or a list.
        out: the folder of results: a new one, or one of the same job.
        engine: who computes.
        part_size: photos a part; by default 1,024, or as the job has it that is gone on with.
        progress: where to show how it goes.

    Raises:
        SourceError: there are no photos, or they cannot be listed.
        OutputError: the folder holds something else, or cannot be written.
        PawprintError: the workers cannot work.
    """
    start = time.perf_counter()
    try:
        folder = _begun(computes, source, out, part_size, progress)
        todo = [n for n, about in folder.there() if about is None or about.unreachable]
        computed = _compute(folder, source, engine, todo, progress)
        manifest = _account(folder)
        if computed or not (out / MANIFEST).exists():
            seconds = round(time.perf_counter() - start, 3)
            manifest |= {"engine": engine.where, "seconds": seconds, "finished": _now()}
            _finish(folder, manifest)
        else:  # when and by whom it was computed is told there
            manifest = json.loads((out / MANIFEST).read())
    except OSError as error:
        raise unwritable(out, error) from error
    return Finished(out, manifest, computed, time.perf_counter() - start)


def _begun(
    computes: Computes, source: Place, out: Place, part_size: int | None, progress: Progress
) -> JobFolder:
    """The job's folder: the one that is there, if it is of this job, or a new one."""
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
    inputs = inputs_of(source, labelled=computes.labelled)
    size = part_size or PART_SIZE
    listed = write_listing(out / PLAN / LISTING, inputs, size, progress)
    if not listed.inputs:
        raise SourceError(f"{source} holds no photos")
    computes.write(folder.plan)
    job = {
        "schema_version": VERSION,
        "source": str(source),
        "listed": is_list(source),
        "inputs": listed.inputs,
        "listing": listed.digest,
        "part_size": size,
        "computes": computes.facts,
        "versions": versions(),
    }
    folder.write_json(JOB, {"digest": digest_of(job), "begun": _now(), **job})
    return folder


def _others(out: Place) -> bool:
    """Whether a folder holds anything but what an interrupted beginning left."""
    left = (name == PLAN or name.startswith(_UNFINISHED) for name, _ in out.entries())
    return not all(left)


def _expect_same(
    folder: JobFolder, computes: Computes, source: Place, part_size: int | None
) -> None:
    """Refuse to go on with another job.

    Raises:
        OutputError: it is another.
    """
    job = folder.job
    asked: dict[str, Any] = {"source": str(source), "computes": computes.facts}
    if part_size:
        asked["part_size"] = part_size
    for name, value in asked.items():
        if job.get(name) != value:
            what = {"source": "of other photos", "part_size": "in parts of another size"}
            raise OutputError(
                f"{folder.place} holds a job {what.get(name, 'that computes something else')}; "
                "name another folder with --out, or remove it"
            )
    expect_versions(job["versions"])


def _compute(
    folder: JobFolder, source: Place, engine: Engine, todo: list[int], progress: Progress
) -> int:
    """Compute parts until all are there; how many photos that were."""
    assignment = Assignment(folder.place.address, source.address, folder.job["digest"])
    fruitless, total = 0, sum(map(folder.listing.rows, todo))
    verb = {PREDICTIONS: "Predicting", FEATURES: "Embedding"}[folder.job["computes"]["what"]]
    with progress.step(f"{verb} {engine.where}", total) as advance:
        while todo:
            done: set[int] = set()
            try:
                with closing(engine.run(assignment, todo)) as each:
                    for one in each:
                        if one.failure:
                            raise PawprintError(one.failure)
                        if one.part not in done:
                            done.add(one.part)
                            advance(one.photos)
            except Lost as error:
                progress.say(f"{error}; going on with what is missing")
            # What is there counts, not what was said; but for what was there to be tried again.
            there = {n for n, about in folder.there(todo) if about is not None}
            left = [n for n in todo if n not in there or n not in done]
            fruitless = fruitless + 1 if len(left) == len(todo) else 0
            if fruitless == _FRUITLESS:
                raise _stuck(folder, engine, min(left))
            todo = left[1:] + left[:1]  # the first may be what ends workers; now none waits for it
    return total


def _stuck(folder: JobFolder, engine: Engine, part: int) -> PawprintError:
    """The error for parts that nobody computes."""
    inputs = folder.inputs(part)
    return PawprintError(
        f"{engine.where} part {part} could not be computed in {_FRUITLESS} rounds: its workers "
        "died, or what they wrote is not there. If one of its photos ends them "
        f"({shown(inputs[0].path)} to {shown(inputs[-1].path)}), take it out and begin anew; what "
        "is there is kept, and the same command goes on"
    )


def _account(folder: JobFolder) -> dict[str, Any]:
    """Look at every part once more, and say what became of every input."""
    job, labels = folder.job, Counter[str]()
    sums, parts = Counter[str](), []
    for number, about in folder.there():
        if about is None:
            raise OutputError(
                f"{folder.part(number)} was there and is gone; run the same command again"
            )
        one = {"rows": about.rows, "errors": about.errors, "unreachable": about.unreachable}
        sums.update(one)
        labels.update(about.labels)
        name = folder.part(number).path.rpartition("/")[2]
        parts.append({"file": name, "rows": about.rows, "errors": about.errors})
    if sums["rows"] != job["inputs"]:
        raise OutputError(
            f"{folder.place} has {sums['rows']:,} rows for {job['inputs']:,} inputs; begin a new "
            "job in another folder"
        )
    return {
        "schema_version": VERSION,
        "job": job["digest"],
        "source": job["source"],
        "computes": job["computes"],
        "inputs": job["inputs"],
        "rows": sums["rows"],
        "errors": sums["errors"],
        "unreachable": sums["unreachable"],
        "labels": dict(sorted(labels.items())),
        "parts": parts,
        "begun": job["begun"],
        "versions": job["versions"],
    }


def _finish(folder: JobFolder, manifest: dict[str, Any]) -> None:
    """Write the manifest, and remove what workers left that were killed while they wrote."""
    folder.write_json(MANIFEST, manifest)
    if folder.place.is_local:
        for left in (folder.place / PARTS).local.glob(f"{_UNFINISHED}*"):
            left.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
