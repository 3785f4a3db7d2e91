"""Public doubles for tests: a recipe on a tiny backbone, and a small folder of drawn photos.

With these the real code runs whole in seconds, so no test replaces parts of it.
"""

from __future__ import annotations

from pathlib import Path

from pawprint.data.samples import write_samples
from pawprint.training.recipe import (
    BackbonePart,
    DataPart,
    GradientStage,
    LogisticStage,
    Recipe,
    Stage,
)
from pawprint.training.recipe_files import to_toml


def tiny_recipe(*, size: int = 64, whole: bool = False) -> Recipe:
    """A recipe whose backbone is the starter's network, with random weights.

    >>> tiny_recipe().backbone.weights
    'random'

    Args:
        size: of its input, in pixels.
        whole: train every layer for an epoch, rather than the head alone.
    """
    stage: Stage = LogisticStage()
    if whole:
        stage = GradientStage(train="all", epochs=1, batch_norm="moving")
    return Recipe(
        name="tiny",
        data=DataPart(size=size),
        backbone=BackbonePart(name="starter", weights="random"),
        stage=(stage,),
    )


def write_tiny_recipe(path: Path, *, size: int = 64, whole: bool = False) -> Path:
    """Write `tiny_recipe` to a TOML file, for the command line."""
    path.write_text(to_toml(tiny_recipe(size=size, whole=whole)), "utf-8")
    return path


def drawn_photos(folder: Path, photos: int = 60, *, faults: bool = False) -> Path:
    """Draw cats and dogs into a folder, always the same ones, and give the folder."""
    write_samples(folder, photos, faults=faults)
    return folder
