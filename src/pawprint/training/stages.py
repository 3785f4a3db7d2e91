"""The stages of a recipe, one after the other, and how well the network then does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.dataset import Dataset
from pawprint.data.split import TRAIN
from pawprint.evaluation.metrics import Figures, figures
from pawprint.model import head
from pawprint.training.batches import Side
from pawprint.training.checkpoint import Kept, Progressed
from pawprint.training.gradient import GradientFit, Material, Reporter, assign, stage_prefixes
from pawprint.training.recipe import GradientStage, LogisticStage, Stage


@dataclass(frozen=True)
class Fitted:
    """What the stages gave; the network's weights are those of the last one.

    Args:
        history: a row an epoch: stage, epoch, loss, accuracy, val_loss, val_accuracy, rate,
            seconds.
        choice: a row for each strength that the logistic stage tried.
        restored: the stages that went back to their best epoch.
        predict: a side's name to probabilities, float64, shape (n, classes).
    """

    history: list[dict[str, float]]
    choice: list[dict[str, Any]]
    restored: tuple[int, ...]
    predict: Callable[[str], NDArray[np.float64]]


def fit(
    stages: Sequence[Stage],
    material: Material,
    kept: Kept | None = None,
    *,
    report: Reporter = lambda row: None,
) -> Fitted:
    """Train stage after stage.

    Args:
        stages: what trains, and how.
        material: the network, whose weights change, and the photos.
        kept: the checkpoint to go on from.
        report: is given the row of each finished epoch.

    Returns:
        What came out.
    """
    so_far = kept.progressed if kept else Progressed()
    if kept:
        assign(material.network.variables, kept.network)
    begin = so_far.stage
    restored: list[int] = []
    predict: Callable[[str], NDArray[np.float64]]
    for number, stage in enumerate(stages, 1):
        if number < begin:
            continue
        if isinstance(stage, LogisticStage):
            predict, so_far.choice = _fit_logistic(stage, material)
            continue
        if number > so_far.stage or not so_far.epoch:
            so_far = Progressed(stage=number, history=so_far.history, choice=so_far.choice)
        fitted = GradientFit(stage, material, so_far)
        fitted.run(kept if number == begin else None, report)
        predict = fitted.predict
    for number, stage in enumerate(stages, 1):
        rows = [row for row in so_far.history if row["stage"] == number]
        if rows and isinstance(stage, GradientStage) and stage.best_weights:
            best = min(rows, key=lambda row: np.nan_to_num(row["val_loss"], nan=np.inf))
            if best is not rows[-1]:
                restored.append(number)
    return Fitted(so_far.history, so_far.choice, tuple(restored), predict)


def _fit_logistic(
    stage: LogisticStage, material: Material
) -> tuple[Callable[[str], NDArray[np.float64]], list[dict[str, Any]]]:
    fast, exact = stage_prefixes(stage, material.views, material.network.backbone, pools=True)
    for side, photos in material.sides.items():
        trains = side == TRAIN
        for view in stage.cached_views if trains else material.judged_views:
            material.views.need(photos.reads, fast if trains else exact, view)
    photos = material.sides[TRAIN]
    order = head.spread(photos.labels, material.seed)
    hashes = [photos.reads[row].sha256 for row in order]
    with material.progress.step("Fitting the head", None):
        seen = [material.views.store(fast, view).take(hashes) for view in stage.cached_views]
        fitted = head.fit(np.stack(seen, axis=1), photos.labels[order], seed=material.seed)
    material.network.set_top(fitted)

    def predict(side: str) -> NDArray[np.float64]:
        asked = [read.sha256 for read in material.sides[side].reads]
        stores = [material.views.store(exact, view) for view in material.judged_views]
        given = [fitted.probabilities(store.take(asked)) for store in stores]
        return np.asarray(np.mean(given, axis=0))

    return predict, list(fitted.choice)


@dataclass(frozen=True)
class Judged:
    """How the trained network does on one side of the dataset.

    Args:
        rows: the numbers of the photos, n of them.
        truth: int, shape (n,), their classes.
        probabilities: float64, shape (n, classes).
        figures: what follows from these.
    """

    rows: list[int]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    figures: Figures


def judge(dataset: Dataset, side: str, photos: Side, fitted: Fitted) -> Judged:
    """Predict the photos of one side and compare with their labels."""
    given = fitted.predict(side)
    return Judged(
        dataset.rows(side), photos.labels, given, figures(photos.labels, given, dataset.classes)
    )
