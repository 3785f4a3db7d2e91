"""The stages of a recipe, one after the other, and how well the network then does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.dataset import Dataset
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.model.head import Head
from pawprint.training.checkpoint import Kept, Progressed
from pawprint.training.feeds import Photos
from pawprint.training.gradient import (
    Diverged,
    GradientFit,
    Material,
    Reporter,
    assign,
    stage_prefixes,
    values_of,
)
from pawprint.training.recipe import GradientStage, LogisticStage, Stage
from pawprint.training.rollback import Outcome, Standing, outcome

Predict = Callable[[str], NDArray[np.float64]]


@dataclass(frozen=True)
class Fitted:
    """What the stages gave; the network's weights are those of the last one that stands.

    Args:
        history: a row an epoch: stage, epoch, loss, accuracy, val_loss, val_accuracy, rate,
            seconds.
        choice: a row for each strength that the logistic stage tried.
        restored: the stages that went back to their best epoch.
        predict: a side's name to probabilities, float64, shape (n, classes).
        stands: the last stage that stands.
        outcomes: what became of each stage after the first.
    """

    history: list[dict[str, float]]
    choice: list[dict[str, Any]]
    restored: tuple[int, ...]
    predict: Predict
    stands: Stage
    outcomes: tuple[Outcome, ...] = ()

    @property
    def undone(self) -> tuple[int, ...]:
        """The stages that were undone."""
        return tuple(found.stage for found in self.outcomes if found.undone)


def fit(
    stages: Sequence[Stage],
    material: Material,
    kept: Kept | None = None,
    *,
    without: Collection[int] = (),
    report: Reporter = lambda row: None,
) -> Fitted:
    """Train stage after stage, and undo those after which the network is not better.

    Args:
        stages: what trains, and how.
        material: the network, whose weights change, and the photos.
        kept: the checkpoint to go on from.
        without: numbers of stages to pass over.
        report: is given the row of each finished epoch.

    Returns:
        What came out. Without validation photos nothing is compared or undone.

    Raises:
        Diverged: the first stage did, or one that is not to be undone.
    """
    so_far = kept.progressed if kept else Progressed()
    variables, begin = material.network.variables, so_far.stage
    judges = VALIDATION in material.sides
    if kept:
        assign(variables, kept.network)
    predict: Predict | None = None
    for number, stage in enumerate(stages, 1):
        if number < begin or number in without:
            continue
        resumed = kept if number == begin else None
        if resumed:
            before = Standing(resumed.before, resumed.given[0]) if resumed.given else None
        else:
            if number > 1 and _no_time(number, material):
                break
            so_far = so_far.begin(number)
            before = _standing(stage, material, predict) if predict and judges else None
        trained = _unless_diverged(stage, material, so_far, before, resumed, report)
        if before is not None and _ended(stage, material, so_far, before, trained).undone:
            assign(variables, before.network)
            predict = predictor(stages[so_far.stands - 1], material)
        elif trained is not None:
            so_far.stands, predict = number, trained
    assert predict is not None, "no stage"
    outcomes = tuple(map(Outcome.from_dict, so_far.outcomes))
    restored = _restored(stages, so_far.history)
    stands = stages[so_far.stands - 1]
    return Fitted(so_far.history, so_far.choice, restored, predict, stands, outcomes)


def fit_stage(
    stage: Stage,
    material: Material,
    so_far: Progressed,
    *,
    before: Standing | None = None,
    kept: Kept | None = None,
    report: Reporter = lambda row: None,
) -> Predict:
    """Train one stage.

    Args:
        stage: what trains, and how.
        material: the network, whose weights change, and the photos.
        so_far: how far the training has come; it is kept up to date.
        before: what stood before the stage, to be kept with each epoch.
        kept: the checkpoint to go on from, where it is one of this stage.
        report: is given the row of each finished epoch.

    Returns:
        What gives a side's probabilities.

    Raises:
        Diverged: not every weight and every answer is a number.
    """
    if isinstance(stage, LogisticStage):
        so_far.choice = _fit_logistic(stage, material)
        return predictor(stage, material)
    fitted = GradientFit(stage, material, so_far, before)
    fitted.run(kept, report)
    return fitted.predict


def predictor(stage: Stage, material: Material) -> Predict:
    """What gives a side's probabilities by the network as it is now.

    Args:
        stage: the last one that it was trained by, whose features are there already.
        material: the network and the photos.
    """
    if isinstance(stage, GradientStage):
        return GradientFit(stage, material, Progressed()).predict
    _, exact = stage_prefixes(stage, material.views, material.network.backbone, pools=True)
    answering = Head(*material.network.top.get_weights())

    def predict(side: str) -> NDArray[np.float64]:
        given = []
        for view in material.judged_views:
            chunks = material.views.chunks(material.sides[side], exact, view)
            given.append(
                np.vstack([answering.probabilities(some.astype(np.float32)) for some in chunks])
            )
        return np.asarray(np.mean(given, axis=0))

    return predict


def _no_time(number: int, material: Material) -> bool:
    """Whether the time limit is reached before a stage."""
    if material.limit is None or material.limit.left > 0:
        return False
    material.limit.left_out.append(f"stage {number} was left out: no time was left")
    return True


def _standing(stage: Stage, material: Material, predict: Predict) -> Standing:
    """What stands before a stage, its weights only where they may be gone back to."""
    weights = values_of(material.network.variables) if rolls_back(stage) else ()
    return Standing(weights, predict(VALIDATION))


def _unless_diverged(
    stage: Stage,
    material: Material,
    so_far: Progressed,
    before: Standing | None,
    kept: Kept | None,
    report: Reporter,
) -> Predict | None:
    """Train one stage; None where it diverged and can be undone."""
    try:
        return fit_stage(stage, material, so_far, before=before, kept=kept, report=report)
    except Diverged:
        if before is None or not rolls_back(stage):
            raise
        return None


def _ended(
    stage: Stage, material: Material, so_far: Progressed, before: Standing, after: Predict | None
) -> Outcome:
    """Compare a stage with what stood before it, and tell and note what becomes of it."""
    labels = material.sides[VALIDATION].labels.astype(np.int64)
    given = after and after(VALIDATION)
    found = outcome(so_far.stage, labels, before.given, given, roll_back=rolls_back(stage))
    so_far.outcomes.append(found.to_dict())
    material.progress.log(f"stage {found.stage} {found.in_words()}")
    return found


def rolls_back(stage: Stage) -> bool:
    """Whether a stage after the first may be undone."""
    return isinstance(stage, GradientStage) and stage.roll_back


def _restored(stages: Sequence[Stage], history: Sequence[dict[str, float]]) -> tuple[int, ...]:
    """Which stages did not end with their last epoch's weights."""
    restored: list[int] = []
    for number, stage in enumerate(stages, 1):
        rows = [row for row in history if row["stage"] == number]
        if rows and isinstance(stage, GradientStage) and stage.best_weights:
            best = min(rows, key=lambda row: np.nan_to_num(row["val_loss"], nan=np.inf))
            if best is not rows[-1]:
                restored.append(number)
    return tuple(restored)


def _fit_logistic(stage: LogisticStage, material: Material) -> list[dict[str, Any]]:
    fast, exact = stage_prefixes(stage, material.views, material.network.backbone, pools=True)
    for side, photos in material.sides.items():
        trains = side == TRAIN
        for view in stage.cached_views if trains else material.judged_views:
            material.views.need(photos.reads, fast if trains else exact, view)
    fitted = material.views.fit_head(stage, material.sides[TRAIN], fast, material.seed)
    material.network.set_top(fitted)
    return list(fitted.choice)


@dataclass(frozen=True)
class Judged:
    """How the trained network does on one side of the dataset, or others do in its place.

    Args:
        rows: the numbers of the photos, n of them.
        truth: int, shape (n,), their classes.
        probabilities: float64, shape (n, classes), as the network gives them.
        fold_of: int, shape (n,), from 0: the fold that each photo was held out in, where it was
            judged by a network that was trained on the others.
    """

    rows: Sequence[int]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    fold_of: NDArray[np.int64] | None = None

    @property
    def folds(self) -> int:
        """How many folds there were; 0 where the network itself was judged."""
        return 0 if self.fold_of is None else int(self.fold_of.max()) + 1


def judge(dataset: Dataset, side: str, photos: Photos, fitted: Fitted) -> Judged:
    """Predict the photos of one side."""
    return Judged(dataset.rows(side), photos.labels.astype(np.int64), fitted.predict(side))
