"""What a recipe needs computed of every photo, to be computed elsewhere: `pawprint embed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pawprint.engine import Precision
from pawprint.errors import RecipeError
from pawprint.model.backbones import Backbone
from pawprint.model.prefix import network_key, prefixes_onnx
from pawprint.parts import schema
from pawprint.parts.folder import NETWORK
from pawprint.parts.places import Place
from pawprint.training import recipe_files
from pawprint.training.needs import first_parts, load_backbone
from pawprint.training.recipe import MIRROR, Recipe, View
from pawprint.training.views import Part

RECIPE = "recipe.toml"
VIEWS: dict[View, str] = {0: schema.PLAIN, MIRROR: schema.MIRROR}


class FeaturesOf:
    """The features that a recipe's training needs, as `scale.job.Computes`.

    Args:
        recipe: a recipe's name, or a TOML file.
        changes: values in place of the recipe's.
        precision: float32, or bfloat16, which takes half the time on processors that have it.
        offline: never download weights.

    Raises:
        RecipeError: it has faults, or its training needs the photos themselves.
        WeightsError: pretrained weights are not to be had.
    """

    labelled = True

    def __init__(
        self,
        recipe: str,
        *,
        changes: Mapping[str, Any] | None = None,
        precision: Precision = "float32",
        offline: bool = False,
    ) -> None:
        self._recipe = recipe_files.validate(recipe, changes)
        expect_computable(self._recipe)
        self._backbone = load_backbone(self._recipe, offline)
        columns = _columns(self._recipe, self._backbone)
        self._outputs = {c["output"]: (c["key"]["cut"], c["pooled"]) for c in columns}
        self.facts: dict[str, Any] = {
            "what": schema.FEATURES,
            "recipe": self._recipe.name,
            "preprocessing": self._recipe.data.preprocessing.model_dump(),
            "precision": precision,
            "columns": columns,
        }

    def write(self, plan: Place) -> None:
        """Write the network, which workers compute without Keras, and the recipe."""
        (plan / NETWORK).write(prefixes_onnx(self._backbone, self._outputs))
        (plan / RECIPE).write(recipe_files.to_toml(self._recipe).encode())


def expect_computable(recipe: Recipe) -> None:
    """Refuse recipes whose training needs more than features that are computed once.

    Raises:
        RecipeError: it does.
    """
    wanting = ""
    for number, stage in enumerate(recipe.stage, 1):
        if stage.views not in (1, "mirrored"):
            wanting = f"stage {number} augments photos (views = {stage.views!r})"
        elif stage.fit == "logistic" and stage.views == "mirrored":
            wanting = f"stage {number} fits a head to mirror images, too"
        elif stage.train == "all":
            wanting = f"stage {number} trains all layers"
        elif number < len(recipe.stage) and stage.train != "head":
            wanting = f"stage {number + 1} comes after one that trains the network's layers"
        if wanting:
            break
    if wanting:
        raise RecipeError(
            f"the recipe {recipe.name} needs the photos while it trains: {wanting}; take one that "
            "trains on features computed once, such as quick or best"
        )


def column_of(part: Part, view: View) -> str:
    """What the features of a part and a view are called."""
    name = schema.EMBEDDING if part.pooled else str(part.cut)
    return name if view == 0 else f"{name}_{VIEWS[view]}"


def _columns(recipe: Recipe, backbone: Backbone) -> list[dict[str, Any]]:
    """What is computed of every photo: any may be one that trains, or one that judges."""
    columns: dict[str, dict[str, Any]] = {}
    outputs: dict[str, str] = {}
    for wanted in first_parts(recipe, backbone).values():
        for view, parts in wanted.items():
            for part in parts:
                assert part.cut is not None
                name = column_of(part, view)
                output = outputs.setdefault(column_of(part, 0), f"features_{len(outputs)}")
                shape = backbone.output(part.cut).shape[1:]
                columns[name] = {
                    "name": name,
                    "output": output,
                    "view": VIEWS[view],
                    "pooled": part.pooled,
                    "shape": list(shape[-1:] if part.pooled else shape),
                    "key": network_key(backbone, part.cut, pooled=part.pooled),
                }
    return list(columns.values())
