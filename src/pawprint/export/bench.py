"""How fast a bundle and its exports are on this machine, each in its own runtime."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pawprint import bundle, isolation
from pawprint.data.wording import os_reason, shown
from pawprint.errors import BundleError, PawprintError
from pawprint.evaluation.metrics import Plain
from pawprint.export.export import VERIFICATION
from pawprint.export.formats import FORMATS
from pawprint.progress import SILENT, Progress

BUNDLE = "bundle"  # the format of what is no export, answered by pawprint's own engine
ROUNDS = 3


@dataclass(frozen=True)
class Subject:
    """What is to be measured: a bundle, or an export.

    Args:
        folder: where it is.
        format: `bundle`, or the export's; None where that is not to be known.
        precision: of its weights; None as well.
        file: in the folder, the model.
        bytes: of the model's files.
        model: the seal of the bundle that it is, or was made of.
        other: whether it was made of another model than the bundle that it lies with.
        fault: why it cannot be measured, or None.
    """

    folder: Path
    format: str | None = None
    precision: str | None = None
    file: Path | None = None
    bytes: int | None = None
    model: str | None = None
    other: bool = False
    fault: str | None = None


@dataclass(frozen=True)
class Speed(Plain):
    """How fast something is.

    Args:
        folder: where it is.
        format: `bundle`, or the export's; None where that is not to be known.
        precision: of its weights; None as well.
        bytes: of the model's files.
        other_model: whether it was made of another model than the bundle that it lies with.
        mirror: whether an answer is of a photo and its mirror image.
        load_seconds: from nothing to the first answer, the runtime's import included: the median
            of the rounds.
        p50_ms: milliseconds of one photo, decoding excluded: half of the calls took longer,
        p90_ms: a tenth,
        p99_ms: a hundredth.
        calls: that these are of, all rounds together.
        batch: photos at once,
        batches: so many times,
        photos_per_second: and that is how many a second.
        memory_mb: the most that a process had, in millions of bytes; None where the system does
            not say.
        runtime: with its version.
        error: why it could not be measured; then there are no figures.
    """

    folder: str
    format: str | None
    precision: str | None
    bytes: int | None
    other_model: bool = False
    mirror: bool = False
    load_seconds: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    calls: int = 0
    batch: int | None = None
    batches: int = 0
    photos_per_second: float | None = None
    memory_mb: float | None = None
    runtime: str | None = None
    error: str | None = None


def subjects(
    models: Sequence[str | os.PathLike[str]], *, progress: Progress = SILENT
) -> list[Subject]:
    """Find what there is to measure.

    Args:
        models: runs and bundles, which bring the exports that lie with them, and folders of
            exports.
        progress: is told of models without exports.

    Returns:
        Each once. What is broken is there too, with its fault.

    Raises:
        BundleError: one is none of these.
    """
    found: dict[Path, Subject] = {}
    for model in map(Path, models):
        if _is_export(model):
            some = [_export(model)]
        else:
            some = list(_with_exports(model))
            if len(some) == 1:
                name = shlex.quote(shown(str(model)))
                progress.say(
                    f"{shown(str(model))} has no exports; pawprint export {name} --format onnx "
                    "writes one"
                )
        for one in some:
            found.setdefault(one.folder.resolve(), one)
    return list(found.values())


def _with_exports(model: Path) -> Iterator[Subject]:
    """A bundle, and then its exports.

    They are in `exports` of a run, or beside a bundle that lies alone, as `pawprint export` put
    them; there only what was made of it is its own.
    """
    try:
        path = bundle.find(model)
    except BundleError as error:
        raise BundleError(f"{error}, or the folder of an export") from None
    own = _bundle(path)
    yield own
    whole = path.absolute()
    if whole.name == "model":
        folder = path.parent if path.name else whole.parent
        for export in filter(_is_export, _listed(folder / "exports")):
            found = _export(export)
            other = None not in (found.model, own.model) and found.model != own.model
            yield Subject(**{**vars(found), "other": other})
        return
    for export in _listed(whole.parent if path.name in ("", "..") else path.parent):
        if export.name.startswith(f"{whole.name}-") and _is_export(export):
            found = _export(export)
            if found.model == own.model:
                yield found


def _bundle(path: Path) -> Subject:
    try:
        card, onnx = bundle.read(path)
    except BundleError as error:
        return Subject(path, BUNDLE, fault=str(error))
    return Subject(path, BUNDLE, "float32", path, len(onnx), card.seal)


def _is_export(folder: Path) -> bool:
    return not folder.name.startswith(".") and os.path.isfile(folder / VERIFICATION)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _export(folder: Path) -> Subject:
    """An export, as its `verification.json` has it."""
    path = folder / VERIFICATION
    try:
        told = json.loads(path.read_text("utf-8"))
        facts: dict[str, Any] = {key: told[key] for key in ("format", "precision", "file", "model")}
        if not all(isinstance(value, str) for value in facts.values()):
            raise ValueError("a value of another kind")
        format, file = FORMATS[facts["format"]], folder / facts["file"]
    except OSError as error:
        return Subject(folder, fault=f"{path} cannot be read ({os_reason(error)})")
    except (ValueError, KeyError, TypeError, RecursionError):
        return Subject(folder, fault=f"{path} is not as pawprint export writes it; export again")
    known = Subject(folder, format.name, facts["precision"], file, None, facts["model"])
    try:
        file.resolve().relative_to(folder.resolve())
        return Subject(**{**vars(known), "bytes": format.size(file)})
    except ValueError:
        fault = f"{path} names a file outside its folder, {facts['file']}; export again"
    except OSError as error:
        fault = f"{error.filename or file} cannot be read ({os_reason(error)}); export again"
    return Subject(**{**vars(known), "fault": fault})


def measure(
    these: Sequence[Subject],
    *,
    seconds: float = 5.0,
    batch: int = 32,
    rounds: int = ROUNDS,
    progress: Progress = SILENT,
) -> list[Speed]:
    """Time each, in a fresh process of its own.

    All take their turns in a few rounds, every other one backwards, and the calls of all rounds are
    put together: what else the machine does then falls on all alike. What is timed stands in
    `runtimes.speed`.

    Args:
        these: what to measure.
        seconds: of each, for one photo at a time, and as many for batches, all rounds together.
        batch: photos at once for the throughput.
        rounds: how many.
        progress: where to show how it goes.

    Returns:
        The fastest first, by the median of one photo; last those that cannot be measured, with the
        reason.

    Raises:
        PawprintError: none can be.
    """
    told: list[list[dict[str, Any]]] = [[] for _ in these]
    faults = [one.fault for one in these]
    with progress.step("Measuring", rounds * len(these)) as advance:
        for number in range(rounds):
            places = range(len(these))
            for place in reversed(places) if number % 2 else places:
                one = these[place]
                if faults[place] is None:
                    try:
                        told[place].append(_timed(one, seconds / rounds, batch))
                    except PawprintError as error:
                        faults[place] = str(error)
                advance(1, note=one.folder.name)
    if all(faults):
        reasons = "; ".join(f"{one.folder}: {why}" for one, why in zip(these, faults, strict=True))
        raise PawprintError(f"nothing could be measured. {reasons}")
    speeds = [
        _speed(one, rounds_told, fault, batch)
        for one, rounds_told, fault in zip(these, told, faults, strict=True)
    ]
    return sorted(speeds, key=lambda speed: (speed.p50_ms is None, speed.p50_ms))


def _timed(one: Subject, seconds: float, batch: int) -> dict[str, Any]:
    path = os.path.abspath(str(one.file))
    asked = {"format": one.format, "path": path, "seconds": seconds, "batch": batch}
    # What Keras and TensorFlow open may be a program, and may come from anybody.
    limits = isolation.Limits() if one.format in ("keras", "h5", "savedmodel") else None
    found: dict[str, Any] = isolation.run(
        "pawprint.export.runtimes:speed", asked, what="measuring", limits=limits
    )
    return found


def _speed(one: Subject, rounds: list[dict[str, Any]], fault: str | None, batch: int) -> Speed:
    known = (str(one.folder), one.format, one.precision, one.bytes, one.other)
    if fault is not None:
        return Speed(*known, error=fault)
    alone = np.concatenate([found["alone"] for found in rounds])
    together = np.concatenate([found["together"] for found in rounds])
    memories = [found["memory"] for found in rounds if found["memory"] is not None]
    p50, p90, p99 = (float(value) for value in np.percentile(alone, [50, 90, 99]))
    return Speed(
        *known,
        mirror=rounds[0]["mirror"],
        load_seconds=float(np.median([found["load"] for found in rounds])),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        calls=len(alone),
        batch=batch,
        batches=len(together),
        photos_per_second=float(1000 * batch * len(together) / together.sum()),
        memory_mb=max(memories, default=None),
        runtime=rounds[0]["runtime"],
    )
