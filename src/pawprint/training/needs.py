"""What the first look at the photos computes, so that each is decoded and computed once.

Stages that train the head alone leave the backbone as it is, so the features of all of them and of
the first stage after them come from the same weights, and from one pass over the photos.
"""

from __future__ import annotations

from dataclasses import replace

from pawprint.data.split import TRAIN, VALIDATION
from pawprint.model import backbones
from pawprint.model.backbones import Backbone
from pawprint.model.head_layers import AveragePool
from pawprint.training.gradient import stage_part
from pawprint.training.recipe import MIRROR, Recipe, View
from pawprint.training.views import Part

Wanted = dict[View, list[Part]]  # by view, what is to be computed of it; view 0 is always there


def load_backbone(recipe: Recipe, offline: bool = False) -> Backbone:
    """A recipe's pretrained network.

    Args:
        recipe: names it.
        offline: never download its weights.

    Raises:
        WeightsError: they are not to be had.
    """
    return backbones.build(
        recipe.backbone.name,
        size=recipe.data.size,
        alpha=recipe.backbone.alpha,
        weights=recipe.backbone.weights,
        offline=offline,
        seed=recipe.data.seed,
    )


def first_parts(recipe: Recipe, backbone: Backbone) -> dict[str, Wanted]:
    """What is computed of photos that train, and of photos that judge.

    Args:
        recipe: its stages decide.
        backbone: whose layers.

    Returns:
        For `train` and `validation`, by view, the parts without repetition; none for photos of
        which only is to be known whether they decode.
    """
    train: Wanted = {0: []}
    judge: Wanted = {0: []}
    pools = isinstance(recipe.head[0], AveragePool)
    for stage in recipe.stage:
        part = stage_part(stage, backbone, pools=pools)
        for view in stage.cached_views:
            _add(train, view, part)
        for view in (0, MIRROR) if recipe.mirror else (0,):
            _add(judge, view, replace(part, exact=True))
        if stage.train != "head":
            break
    return {TRAIN: train, VALIDATION: judge}


def _add(wanted: Wanted, view: View, part: Part) -> None:
    parts = wanted.setdefault(view, [])
    if part not in parts:
        parts.append(part)
