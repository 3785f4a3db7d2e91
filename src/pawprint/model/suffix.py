"""The trained part of a network: which layers a recipe means, and where to cut below them.

A cut must leave one tensor to hand over. Inside a residual block there are two, so the cut goes
below the block, and the layers between cut and first trained layer stay frozen in the suffix.
"""

from __future__ import annotations

import difflib
from typing import Any

from pawprint.errors import RecipeError
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.layer_graph import Step, cut_points, has_weights


def first_trained(backbone: Backbone, train: str) -> int:
    """The first layer that trains, as its number in the Keras network's `layers`.

    Args:
        backbone: whose layers.
        train: `head`, `all`, `last:N` or `from:LAYER` (a name, or a number in `layers`).

    Returns:
        Its number; that after the last layer for `head`.

    Raises:
        RecipeError: no such layer, or none from there on has weights.
    """
    layers = backbone.network.layers
    if train == "head":
        return len(layers)
    if train == "all":
        return 1
    kind, _, what = train.partition(":")
    if kind == "last":
        first = len(layers) - int(what)
        if first < 1:
            raise RecipeError(
                f'train = "{train}": {backbone.name} has {len(layers) - 1} layers to train; give '
                f"fewer, or all"
            )
    elif what.isdecimal():
        first = int(what)
        if not 1 <= first < len(layers):
            raise RecipeError(
                f'train = "{train}": the layers of {backbone.name} are numbered 1 to '
                f"{len(layers) - 1}"
            )
    else:
        names = [layer.name for layer in layers]
        if what not in names[1:]:
            near = difflib.get_close_matches(what, names[1:], 3) or names[-5:]
            raise RecipeError(
                f'train = "{train}": {backbone.name} has no layer {what!r}; did you mean '
                f"{' or '.join(near)}?"
            )
        first = names.index(what)
    if not any(layer.weights for layer in layers[first:]):
        raise RecipeError(
            f'train = "{train}": no layer of {backbone.name} from {layers[first].name!r} on has '
            'weights to train; begin earlier, or give train = "head"'
        )
    return first


def cut_below(backbone: Backbone, first: int) -> str | None:
    """The last layer below the first trained one that alone hands over to what follows.

    Args:
        backbone: whose layers.
        first: the number of the first layer that trains, as `first_trained` gives it.

    Returns:
        The name of the operation to cut after; None where no weights would be below it.
    """
    layers, steps = backbone.network.layers, backbone.steps
    while first < len(layers) and not layers[first].weights:
        first += 1  # a layer without weights may as well be frozen
    places = {id(step.operation): number for number, step in enumerate(steps)}
    limit = places[id(layers[first])] if first < len(layers) else len(steps)
    below = [number for number in cut_points(steps) if number < limit]
    if not below or not any(has_weights(step) for step in steps[: below[-1] + 1]):
        return None
    return steps[below[-1]].name


def shallower(backbone: Backbone, train: str) -> dict[str, float]:
    """Other values of `train` that train fewer layers: for about half and a quarter of the work.

    Args:
        backbone: whose layers.
        train: as of `first_trained`.

    Returns:
        By value, its part of the multiplications above the cut of `train`.
    """
    cut = cut_below(backbone, first_trained(backbone, train))
    steps = backbone.steps
    begin = next((n for n, step in enumerate(steps) if step.name == cut), -1) + 1
    work = [_multiplications(step) for step in steps]
    whole = sum(work[begin:])
    layers = {id(layer): number for number, layer in enumerate(backbone.network.layers)}
    found: dict[str, float] = {}
    for part in (0.5, 0.25):
        for place in cut_points(steps):
            above = sum(work[place + 1 :])
            if place >= begin and 0 < above <= part * whole:
                number = layers.get(id(steps[place + 1].operation))
                if number is not None:
                    found.setdefault(f"from:{number}", above / whole)
                    break
    return found


def _multiplications(step: Step) -> int:
    """About how many an operation makes for a photo: each weight once a place of its output."""
    if not has_weights(step) or len(step.output.shape) != 4:
        return 0
    _, height, width, _ = step.output.shape
    return int(height * width * step.operation.count_params())


def set_trained(backbone: Backbone, first: int) -> None:
    """Let the layers from a number on train, and no others.

    Args:
        backbone: whose layers.
        first: the number of the first one.
    """
    backbone.network.trainable = True
    # One by one: setting the network alone does nothing to layers that were set before.
    for index, layer in enumerate(backbone.network.layers):
        layer.trainable = index >= first


def suffix_model(backbone: Backbone, cut: str) -> Any:
    """The layers above a cut as a Keras model, sharing the backbone's weights.

    Args:
        backbone: whose layers.
        cut: the name of the layer below.

    Returns:
        A model from the cut's output, channels last, to the backbone's map.
    """
    return load_keras().Model(backbone.output(cut), backbone.network.output, name="suffix")
