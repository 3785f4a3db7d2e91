"""The whole story of a report, top-down: a run's folder in, one HTML file out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pawprint.data.cache import written
from pawprint.data.sources import Source
from pawprint.errors import OutputError
from pawprint.evaluation.evaluate import Evaluation
from pawprint.progress import SILENT, Progress
from pawprint.report import plots
from pawprint.report.answer_plots import answer_plots
from pawprint.report.contents import Report
from pawprint.report.of_evaluation import answers_of, of_evaluation
from pawprint.report.of_run import of_run
from pawprint.report.originals import originals
from pawprint.report.page import page
from pawprint.report.pictures import Explain, Pictures
from pawprint.report.run_files import RunFiles, read_run

NAME = "report.html"


def write_report(
    run: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | Source | None = None,
    out: str | os.PathLike[str] | None = None,
    explain: Explain | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Write the page of a run, one HTML file that needs nothing else.

    A run that has no plots has them drawn for its page, from its files.

    >>> write_report("no/run")
    Traceback (most recent call last):
    pawprint.errors.RunError: no/run is not a folder; expected a run, such as runs/NAME that \
pawprint train wrote

    Args:
        run: its folder.
        source: where its photos are now, or these themselves, open; by default where they were.
        out: the file, which is replaced; by default `report.html` in the run's folder.
        explain: given a photo's bytes and name and the class that was answered, a JPEG of it with
            what that answer rests on, or None; by default no such pictures are shown.
        progress: where to show how it goes.

    Returns:
        The file.

    Raises:
        RunError: the folder is no run, or not one that can be read.
        OutputError: the file cannot be written.
    """
    folder = Path(run)
    files = read_run(folder)
    path = checked(folder / NAME if out is None else Path(out))
    if not files.plots:
        with progress.step("Drawing the plots", None):
            files = replace(files, plots=_drawn_again(files, progress))
    place = files.record.place if source is None else source
    if not isinstance(place, Source):
        place = os.fspath(place)
    with originals(place, files.hashes, progress) as read:
        pictures = Pictures(read, explain, progress)
        galleries = [
            *pictures.of_answers(files.answers, files.record.classes),
            *pictures.of_suspects(files.suspects),
        ]
    return write_page(of_run(files, galleries), path)


def write_evaluation(
    evaluation: Evaluation,
    source: Source,
    path: Path,
    *,
    model: str,
    command: str = "",
    explain: Explain | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Write the page of an evaluation, one HTML file that needs nothing else.

    Args:
        evaluation: what was found.
        source: the photos, still open.
        path: the file, which is replaced.
        model: as it was typed.
        command: that does it again.
        explain: as of `write_report`.
        progress: where to show how it goes.

    Returns:
        The file.

    Raises:
        OutputError: it cannot be written.
    """
    checked(path)
    photos = {photo.path: photo for photo in evaluation.photos}
    pictures = Pictures(lambda name: source.read(photos[name]), explain, progress)
    classes = [one.label for one in evaluation.figures.classes]
    galleries = pictures.of_answers(answers_of(evaluation), classes)
    drawn = _drawn(evaluation, classes)
    report = of_evaluation(evaluation, model, source.name, galleries, drawn, command)
    return write_page(report, path)


def _drawn(evaluation: Evaluation, classes: Sequence[str]) -> dict[str, bytes]:
    """The plots of an evaluation, as SVGs by name."""
    drawn = answer_plots(
        evaluation.truth,
        evaluation.probabilities,
        classes,
        evaluation.figures,
        evaluation.calibration,
    )
    return _svgs(drawn)


def _drawn_again(files: RunFiles, progress: Progress) -> dict[str, bytes]:
    """The plots of a run, as SVGs by name; none where its files do not fit together."""
    metrics, judging = files.metrics, files.judging
    truth = files.numbers([answer.label for answer in judging])
    given = np.array([answer.probabilities for answer in judging])
    found, classes = metrics.validation, files.record.classes
    choice = [asdict(row) for row in metrics.head]
    undone = [outcome.stage for outcome in metrics.stages if outcome.undone]
    try:
        drawn = answer_plots(truth, given, classes, found.figures, found.calibration)
        return _svgs(drawn | plots.training_plots(choice, metrics.history, undone))
    except ValueError as error:
        progress.say(f"the page is without plots: {error}")
        return {}


def _svgs(drawn: Mapping[str, Figure]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for name, figure in drawn.items():
            plots.save(figure, Path(folder), name)
        return {name: Path(folder, f"{name}.svg").read_bytes() for name in drawn}


def checked(path: Path) -> Path:
    """Refuse a folder's name for a page, before the work.

    Raises:
        OutputError: it is one.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it, such as {path / NAME}")
    return path


def write_page(report: Report, path: Path) -> Path:
    """Write a page, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with written(path) as file:
        file.write(page(report).encode("utf-8", "replace"))
    return path
