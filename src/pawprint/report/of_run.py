"""A run's files to the contents of its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from pawprint.data.wording import shown
from pawprint.doctor.findings import KINDS
from pawprint.evaluation.paired import in_words
from pawprint.pages.words import counted, number, percent
from pawprint.report.contents import Count, Gallery, Report, Stage, Worry
from pawprint.report.drawings import drawings
from pawprint.report.run_files import RunFiles
from pawprint.report.worries import worries_of, worries_of_data, worst_first

_LEFT_OUT = 50  # files that are named


def of_run(files: RunFiles, galleries: Sequence[Gallery] = ()) -> Report:
    """Put together what the page of a run shows.

    Args:
        files: the run's.
        galleries: photos to look at.
    """
    record, metrics = files.record, files.metrics
    findings = tuple(_findings(record.findings))
    used = {side: counts for side, counts in record.photos.items() if any(counts.values())}
    total = sum(chain.from_iterable(counts.values() for counts in used.values()))
    return Report(
        made_by="pawprint train",
        title=record.source,
        about=(
            f"recipe {record.recipe}",
            counted(total, "photo"),
            counted(len(record.classes), "class"),
        ),
        judged=metrics.sides,
        held_out=True,
        worries=_worries(files, findings),
        photos={
            label: {side: counts.get(label, 0) for side, counts in used.items()}
            for label in record.classes
        },
        left_out=files.left_out[:_LEFT_OUT],
        left_out_count=record.left_out,
        findings=findings,
        corrections=_corrections(files),
        plots=drawings(files.plots, metrics),
        stages=tuple(_stages(files)),
        unknown=record.unknown,
        galleries=tuple(galleries),
        before=record.before,
        seconds=record.seconds,
        versions=record.versions,
        recipe=files.recipe,
        command=record.command,
        fingerprint=record.fingerprint,
        created=record.created.partition("+")[0].replace("T", " "),
    )


def _worries(files: RunFiles, findings: tuple[Count, ...]) -> tuple[Worry, ...]:
    record, suspects = files.record, files.suspects
    return worst_first(
        worries_of(files.metrics.validation),
        worries_of_data(findings, record.left_out, suspects.count, suspects.photos),
        (Worry("note", note) for note in record.notes),
    )


def _findings(counts: Mapping[str, int]) -> Iterator[Count]:
    for name, count in counts.items():
        if kind := KINDS.get(name):  # a later version may know more
            yield Count(kind.title, str(kind.level), count, kind.advice)


def _corrections(files: RunFiles) -> str:
    made = files.record.corrections
    if made is None:
        return ""
    return (
        f"{counted(made.relabelled, 'photo')} relabelled and {made.excluded:,} excluded, as "
        f"{shown(made.file)} says"
    )


def _stages(files: RunFiles) -> Iterator[Stage]:
    outcomes = {outcome.stage: outcome for outcome in files.metrics.stages}
    for place, stage in enumerate(files.stages, 1):
        told = [*_fitted(files, place)]
        outcome = outcomes.get(place)
        if outcome is not None:
            found = outcome.comparison
            word = "undone" if outcome.undone else "kept"
            told.append(f"{word}: {in_words(found) if found else 'it diverged'}")
        yield Stage(place, _trains(stage), tuple(told), outcome is not None and outcome.undone)


def _trains(stage: Mapping[str, Any]) -> str:
    train = str(stage.get("train", ""))
    if train == "all":
        return "every layer"
    if train.startswith("last:"):
        return f"the head and the last {train.removeprefix('last:')} layers"
    if train == "head":
        return "the head, by logistic regression" if stage.get("fit") == "logistic" else "the head"
    return f"the head and the layers from {train.removeprefix('from:')} on"


def _fitted(files: RunFiles, place: int) -> Iterator[str]:
    """How a stage went: its epochs, or the strength that was chosen."""
    metrics = files.metrics
    rows = [row for row in metrics.history if row.get("stage") == place]
    if not rows:
        if place == 1:
            yield from (
                f"strength {row.strength:g} of {len(metrics.head)} tried"
                for row in metrics.head
                if row.chosen
            )
        return
    kept = rows[-1]
    if place in files.record.restored:
        kept = min(rows, key=lambda row: _or_infinite(row.get("val_loss")))
    said = counted(len(rows), "epoch")
    if kept is not rows[-1]:
        said += f", back to epoch {kept.get('epoch') or 0:g}"
    if kept.get("val_accuracy") is not None:
        said += f"; validation {percent(kept['val_accuracy'])} right, loss "
        said += number(kept.get("val_loss"))
    yield said


def _or_infinite(value: float | None) -> float:
    return float("inf") if value is None else value
