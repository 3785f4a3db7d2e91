"""Few photos: each is judged by a network that has not seen it, and then all of them train.

Sources:
    M. Stone, "Cross-validatory choice and assessment of statistical predictions", Journal of the
    Royal Statistical Society B 36 (1974), 111-147.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pawprint.data.dataset import Dataset
from pawprint.data.reading import Read
from pawprint.data.split import TEST, TRAIN, VALIDATION
from pawprint.progress import Advance, Progress
from pawprint.training import stages as one_by_one
from pawprint.training.checkpoint import Arrays, Progressed
from pawprint.training.gradient import Diverged, Material, Reporter, assign, values_of
from pawprint.training.recipe import DataPart, Stage
from pawprint.training.rollback import Outcome, outcome
from pawprint.training.stages import Fitted, Judged, rolls_back


def wanted(data: DataPart, reads: Sequence[Read]) -> bool:
    """Whether photos are judged in folds: the recipe says so, and they are few and not split.

    >>> wanted(DataPart(folds=5), []), wanted(DataPart(), [])
    (True, False)
    """
    sides = [read.photo.split for read in reads]
    few = sum(side not in (VALIDATION, TEST) for side in sides) < data.folds_below
    return bool(data.folds) and few and VALIDATION not in sides


@dataclass(frozen=True)
class Folded:
    """What came out of a training in folds.

    Args:
        fitted: how the network was trained on all photos.
        judged: what each of them was answered by a network that has not seen it, trained by the
            stages that stand.
    """

    fitted: Fitted
    judged: Judged


def fit(
    stages: Sequence[Stage],
    material: Material,
    dataset: Dataset,
    fold_of: NDArray[np.int64],
    *,
    report: Reporter = lambda row: None,
) -> Folded:
    """Judge the stages in folds, then train the network on all photos by those that stand.

    A stage is undone in all folds or in none: by the photos of all of them.

    Args:
        stages: what trains, and how.
        material: the network, whose weights change, and the photos, none of them for validation.
        dataset: the same photos.
        fold_of: int, shape (n,), the fold that each photo is judged in, from 0.
        report: is given the row of each finished epoch of the training on all photos.

    Returns:
        What came out.

    Raises:
        Diverged: the first stage did, or one that is not to be undone.
    """
    material = replace(material, limit=None)  # all folds train alike, however long it takes
    variables, labels = material.network.variables, material.sides[TRAIN].labels.astype(np.int64)
    start = values_of(variables)
    networks: list[Arrays] = [start] * (int(fold_of.max()) + 1)
    pooled: NDArray[np.float64] | None = None
    outcomes: list[Outcome] = []
    for number, stage in enumerate(stages, 1):
        roll_back = rolls_back(stage) and pooled is not None
        given, trained = _fit_in_folds(number, stage, material, fold_of, networks, roll_back)
        if pooled is not None:
            outcomes.append(outcome(number, labels, pooled, given, roll_back=roll_back))
            material.progress.log(f"stage {number} {outcomes[-1].in_words()}")
        if given is not None and not (outcomes and outcomes[-1].undone):
            pooled, networks = given, trained
    assign(variables, start)
    undone = {found.stage for found in outcomes if found.undone}
    fitted = one_by_one.fit(stages, material, without=undone, report=report)
    assert pooled is not None, "no stage"
    judged = Judged(dataset.rows(TRAIN), labels, pooled, fold_of)
    return Folded(replace(fitted, outcomes=tuple(outcomes)), judged)


def _fit_in_folds(
    number: int,
    stage: Stage,
    material: Material,
    fold_of: NDArray[np.int64],
    networks: Sequence[Arrays],
    roll_back: bool,
) -> tuple[NDArray[np.float64] | None, list[Arrays]]:
    """Train one stage in each fold; the held photos' probabilities, and the networks after it."""
    photos, variables = material.sides[TRAIN], material.network.variables
    given = np.empty((len(photos.reads), material.classes))
    trained: list[Arrays] = []
    for fold, weights in enumerate(networks):
        assign(variables, weights)
        held = fold_of == fold
        part = replace(
            material,
            sides={TRAIN: photos.part(~held), VALIDATION: photos.part(held)},
            checkpoints=None,
            progress=_InFold(material.progress, f"fold {fold + 1} of {len(networks)}"),
        )
        try:
            predict = one_by_one.fit_stage(stage, part, Progressed().begin(number))
        except Diverged:
            if not roll_back:
                raise
            return None, []
        given[held] = predict(VALIDATION)
        trained.append(values_of(variables))
    return given, trained


class _InFold:
    """Progress that says in which fold it is."""

    def __init__(self, progress: Progress, where: str) -> None:
        self._progress, self._where = progress, where

    def step(self, what: str, total: int | None) -> AbstractContextManager[Advance]:
        return self._progress.step(f"{what}, {self._where}", total)

    def say(self, message: str) -> None:
        self._progress.say(message)

    def log(self, line: str) -> None:
        self._progress.log(f"{self._where}, {line}")
