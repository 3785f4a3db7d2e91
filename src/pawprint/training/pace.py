"""How fast this machine is at a recipe, seen on its first photos; what then fits into a time."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from pawprint.data.reading import Read
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.model import network
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.suffix import shallower
from pawprint.parallel import cores
from pawprint.progress import Progress
from pawprint.training import folds
from pawprint.training.gradient import assign, compiled_model, values_of
from pawprint.training.needs import first_parts
from pawprint.training.recipe import GradientStage, Recipe
from pawprint.training.time_limit import Costs, TimeLimit, fitting, some
from pawprint.training.views import Views

# Photos whose features are computed before, and while, it is measured: a chunk for each thread.
_WARM, _TRIED = 8, 64 * (cores() + 1)
_STEPS = 4  # of training; the first one traces the network


def keep_within(
    limit: TimeLimit,
    recipe: Recipe,
    reads: Sequence[Read],
    views: Views,
    backbone: Backbone,
    progress: Progress,
) -> tuple[Recipe, list[Read]]:
    """Leave out of a training what would not end in time, and say what.

    Args:
        limit: the time; it is told what is left out.
        recipe: as it was asked for.
        reads: the photos.
        views: compute their features.
        backbone: the network.
        progress: where it is said.

    Returns:
        The recipe and the photos that fit.
    """
    with progress.step("Measuring this machine", None):
        costs, cuts = _measure(limit, recipe, reads, views, backbone)
    made, count, told = fitting(recipe, len(reads), limit.left, costs, cuts)
    for line in told:
        progress.say(f"to keep the time limit of {limit.limit:g} s: {line}")
    limit.left_out += told
    kept = list(reads) if count >= len(reads) else some(reads, count, recipe.data.seed)
    return made, kept


def _measure(
    limit: TimeLimit, recipe: Recipe, reads: Sequence[Read], views: Views, backbone: Backbone
) -> tuple[Costs, list[str]]:
    """What this machine takes; and by how much less a last stage could train."""
    photo = _photo_seconds(recipe, reads, views, backbone)
    in_folds = folds.wanted(recipe.data, reads)
    held = 1.0 if in_folds else _held_out(recipe, reads)
    trains = 1.0 if in_folds else 1.0 - held
    judged = held * (2 if recipe.mirror else 1)
    count = recipe.data.folds + 1 if in_folds else 1
    last, classes = recipe.stage[-1], len({read.photo.label for read in reads})
    head_alone = recipe.model_copy(update={"stage": recipe.stage[:1]})
    without = Costs(photo, trains, judged, 0.0, lambda _: 0.0, count)
    fits = fitting(head_alone, len(reads), limit.left, without, ())[1] == len(reads)
    if not fits or not isinstance(last, GradientStage):  # no stage of gradient descent has a chance
        return Costs(photo, trains, judged, limit.left, lambda _: 1.0, count), []
    begin, step = _step_seconds(last, recipe, backbone, classes)
    parts = shallower(backbone, last.train)
    share = {last.train: 1.0, **parts}

    def of(stage: GradientStage) -> float:
        return step * share.get(stage.train, 1.0)

    return Costs(photo, trains, judged, begin, of, count), list(parts)


def _held_out(recipe: Recipe, reads: Sequence[Read]) -> float:
    """The part of the photos that judge."""
    given = sum(read.photo.split not in (None, TRAIN) for read in reads)
    return given / len(reads) if given else recipe.data.validation


def _photo_seconds(
    recipe: Recipe, reads: Sequence[Read], views: Views, backbone: Backbone
) -> float:
    """Seconds for the features of a photo in one view, on average over those that are cached."""
    parts = first_parts(recipe, backbone)[VALIDATION][0]
    lacking = views.lacking(reads, backbone, parts)
    drawn = lacking[:: max(1, len(lacking) // (_WARM + _TRIED))]
    views.bring_parts(drawn[:_WARM], backbone, parts)
    tried = drawn[_WARM : _WARM + _TRIED]
    if not tried:
        return 0.0
    start = time.perf_counter()
    views.bring_parts(tried, backbone, parts)
    each = (time.perf_counter() - start) / len(tried)
    return each * len(lacking) / len(reads)


def _step_seconds(
    stage: GradientStage, recipe: Recipe, backbone: Backbone, classes: int
) -> tuple[float, float]:
    """Seconds to begin a stage, and for a photo's part of its steps; leaves the weights alone."""
    start = time.perf_counter()
    kept = values_of(backbone.network.variables)
    built = network.build(backbone, recipe.head, classes)
    model = compiled_model(stage, built, classes, steps=_STEPS)
    random = np.random.default_rng(0)
    features = random.random((stage.batch_size, *model.input.shape[1:]), np.float32)
    truth = np.zeros((stage.batch_size, 1 if classes == 2 else classes), np.float32)
    took = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        model.train_on_batch(features, truth)
        took.append(time.perf_counter() - began)
    begin = time.perf_counter() - start - sum(took[1:])
    assign(backbone.network.variables, kept)
    load_keras().utils.set_random_seed(recipe.data.seed)  # as if nothing had been drawn
    return begin, float(np.median(took[1:])) / stage.batch_size
