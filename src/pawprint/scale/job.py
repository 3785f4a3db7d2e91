"""The whole story of a job, top-down: list the inputs, compute what is missing, account for all."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from pawprint.data.cache import UNFINISHED
from pawprint.data.wording import shown
from pawprint.errors import OutputError, PawprintError
from pawprint.parts.folder import MANIFEST, PARTS, JobFolder, unwritable
from pawprint.parts.places import Place
from pawprint.parts.schema import FEATURES, PREDICTIONS, VERSION
from pawprint.progress import SILENT, Progress
from pawprint.scale.beginning import PLAN, Computes, begin, expect_still, now
from pawprint.scale.engines import Engine, Lost
from pawprint.scale.worker import Assignment

_FRUITLESS = 3  # times that an engine may end without a single new part


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
        folder = begin(computes, source, out, part_size, progress, engine.start)
        todo = [n for n, about in folder.there() if about is None or about.unreachable]
        if todo:  # until all are there again, nothing says that they are
            (out / MANIFEST).remove()
            engine.start()
        computed = _compute(folder, source, engine, todo, progress)
        manifest, said = _account(folder), folder.manifest()
        if said is None or any(said.get(name) != value for name, value in manifest.items()):
            seconds = round(time.perf_counter() - start, 3)
            manifest |= {"engine": engine.where, "seconds": seconds, "finished": now()}
            _finish(folder, manifest)
        else:  # when and by whom it was computed is told there
            manifest = said
    except OSError as error:
        raise unwritable(out, error) from error
    return Finished(out, manifest, computed, time.perf_counter() - start)


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
    expect_still(folder)
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
    """Write the manifest, and remove what killed workers and interrupted beginnings left."""
    folder.write_json(MANIFEST, manifest)
    if folder.place.is_local:
        top = folder.place.local
        for left in (*top.glob(f"{UNFINISHED}*"), *(top / PARTS).glob(f"{UNFINISHED}*")):
            left.unlink(missing_ok=True)
        for left in top.iterdir():
            if PLAN.fullmatch(left.name) and left != folder.plan.local:
                shutil.rmtree(left, ignore_errors=True)
