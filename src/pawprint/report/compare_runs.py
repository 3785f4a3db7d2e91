"""Runs beside each other: how right each is, and how they differ on the same photos."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import RunError
from pawprint.evaluation import paired
from pawprint.evaluation.paired import Comparison
from pawprint.report.run_files import RunFiles, read_run


@dataclass(frozen=True)
class Pairs:
    """What a run answered to photos that another one was judged by, too.

    Args:
        places: which of the other's photos these are, m of them.
        probabilities: float64, shape (m, classes).
        predicted: int, shape (m,).
    """

    places: list[int]
    probabilities: NDArray[np.float64]
    predicted: NDArray[np.int64]

    @classmethod
    def of(cls, run: RunFiles, hashes: Sequence[str]) -> Pairs:
        """Find the photos of a run among others, by what they contain.

        Args:
            run: whose answers.
            hashes: the SHA-256 of the others.
        """
        by_hash = {run.hashes[answer.path]: answer for answer in run.answers}
        places = [place for place, sha256 in enumerate(hashes) if sha256 in by_hash]
        found = [by_hash[hashes[place]] for place in places]
        probabilities = np.array([answer.probabilities for answer in found])
        return cls(places, probabilities, run.numbers([answer.predicted for answer in found]))

    def compare(
        self,
        truth: NDArray[np.int64],
        probabilities: NDArray[np.float64],
        predicted: NDArray[np.int64],
    ) -> Comparison:
        """Compare with the other's answers to the same photos.

        Args:
            truth: int, shape (m,), the classes of the photos.
            probabilities: float64, shape (m, classes), the other's,
            predicted: int, shape (m,), and its answers.
        """
        answered = (self.predicted, predicted)
        return paired.compare(truth, self.probabilities, probabilities, answered=answered)


@dataclass(frozen=True)
class ComparedRun:
    """A run, and how it compares with the first of several.

    Args:
        run: its folder.
        recipe: its recipe's name.
        photos: that judged it.
        accuracy: the part of them that it was right on,
        low: with the interval that it lies in,
        high: up to here.
        seconds: that the training took.
        against_first: on the photos that judged both; None for the first, and where there are none.
    """

    run: str
    recipe: str
    photos: int
    accuracy: float
    low: float
    high: float
    seconds: float
    against_first: Comparison | None = None


def compare_runs(folders: Sequence[str | os.PathLike[str]]) -> list[ComparedRun]:
    """Compare runs with the first of them, photo by photo.

    >>> compare_runs(["no/run", "nor/this"])
    Traceback (most recent call last):
    pawprint.errors.RunError: no/run is not a folder; expected a run, such as runs/NAME that \
pawprint train wrote

    Args:
        folders: two runs or more, of the same classes.

    Returns:
        A row for each, in their order. Photos are the same where their bytes and their labels are.

    Raises:
        RunError: one is no run, there are fewer than two, or their classes differ.
    """
    runs = [read_run(Path(folder)) for folder in folders]
    if len(runs) < 2:
        raise RunError(f"{len(runs)} run to compare; name two or more")
    first = runs[0]
    for run in runs[1:]:
        if run.record.classes != first.record.classes:
            raise RunError(
                f"{run.folder} tells {', '.join(run.record.classes)} apart and {first.folder} "
                f"{', '.join(first.record.classes)}; only runs of the same classes can be compared"
            )
    return [_row(run, None if run is first else _against(first, run)) for run in runs]


def _row(run: RunFiles, against: Comparison | None) -> ComparedRun:
    record, figures = run.record, run.metrics.validation.figures
    low, high = figures.accuracy_interval
    return ComparedRun(
        os.fspath(run.folder),
        record.recipe,
        figures.count,
        figures.accuracy,
        low,
        high,
        record.seconds.get("total", 0.0),
        against,
    )


def _against(first: RunFiles, run: RunFiles) -> Comparison | None:
    labels = {first.hashes[answer.path]: answer.label for answer in first.judging}
    same = [a for a in run.judging if labels.get(run.hashes[a.path]) == a.label]
    if not same:
        return None
    pairs = Pairs.of(first, [run.hashes[answer.path] for answer in same])
    return pairs.compare(
        run.numbers([answer.label for answer in same]),
        np.array([answer.probabilities for answer in same]),
        run.numbers([answer.predicted for answer in same]),
    )
