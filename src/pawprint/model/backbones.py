"""Pretrained networks with the points where they can be cut."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pawprint import starter
from pawprint.errors import RecipeError
from pawprint.model import applications, pretrained, starter_network
from pawprint.model.framework import load_keras, numbered_anew
from pawprint.model.layer_graph import Step, cut_points, steps_of

# From scratch the running statistics of a small training must keep up with it; Keras' 0.999 is
# made for a million steps.
_MOMENTUM_FROM_SCRATCH = 0.9

Scale = float | tuple[float, ...]


@dataclass(frozen=True)
class Backbone:
    """A network without its top.

    Args:
        name: as `keras.applications` calls it.
        size: height and width of its input, in pixels.
        network: the Keras model; scaled pixels (n, size, size, 3) to a map (n, h, w, channels).
        scale: what raw 0-255 pixels are multiplied with, in all channels or in each,
        offset: and what is then added.
        digest: SHA-256 over its weights.
    """

    name: str
    size: int
    network: Any
    scale: Scale
    offset: Scale
    digest: str

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The network's operations, in order."""
        return steps_of(self.network)

    @property
    def cuts(self) -> tuple[str, ...]:
        """The names of the operations after which one map alone is handed over."""
        return tuple(self.steps[number].name for number in cut_points(self.steps))

    @property
    def last(self) -> str:
        """The name of the last operation."""
        return self.steps[-1].name

    def output(self, name: str) -> Any:
        """The tensor that an operation gives in the network, by its name."""
        return next(step.output for step in self.steps if step.name == name)


def build(
    name: str = "MobileNetV2",
    *,
    size: int = 224,
    alpha: float = 1.0,
    weights: str | Path = "imagenet",
    offline: bool = False,
    seed: int = 0,
) -> Backbone:
    """Build a backbone with its weights.

    Args:
        name: one of `applications.APPLICATIONS`.
        size: height and width of the input, in pixels; at least 32.
        alpha: width multiplier, for those that have one.
        weights: `imagenet`, or `starter` for the network of that name, which come with pawprint;
            `random`; or a weights file (`.h5`, no top).
        offline: never download.
        seed: of random weights.

    Returns:
        The backbone.

    Raises:
        RecipeError: an unknown name or width.
        WeightsError: the weights are not to be had, or do not fit.
    """
    known = applications.find(name)
    widths = len(known.alphas) > 1
    if alpha != 1.0 and not widths:
        raise RecipeError(f"{name} has one width, 1.0, and was asked for {alpha}; leave alpha out")
    keras = load_keras()
    if name == starter.NAME:
        return _starter(size, weights, seed)
    given = None
    if weights != "random":
        given = pretrained.find_weights(weights, name, size, alpha, offline=offline)
    keras.utils.set_random_seed(seed)

    def make(source: str | None) -> Any:
        more = {"alpha": alpha} if widths else {}
        with warnings.catch_warnings(), numbered_anew():
            # Keras remarks on sizes that have no file of their own.
            warnings.simplefilter("ignore", UserWarning)
            return getattr(keras.applications, name)(
                input_shape=(size, size, 3), include_top=False, weights=source, **more
            )

    if given is None and weights != "random":
        try:
            with contextlib.redirect_stdout(sys.stderr):  # where Keras shows the download
                network = make("imagenet")
        except Exception as error:  # urllib, ssl, HTTP, a proxy's page in place of the file ...
            print(file=sys.stderr)  # ends Keras' line
            why = f"the download failed ({error})"
            raise pretrained.unavailable(name, size, alpha, why) from None
    else:
        network = make(None)
        if given is not None:
            pretrained.load_weights(network, given)
    scale, offset = scaling(name)
    if weights == "random":
        _calibrate(network, size, seed, scale, offset)
    return Backbone(name, size, network, scale, offset, weights_digest([network]))


def _starter(size: int, weights: str | Path, seed: int) -> Backbone:
    keras, name = load_keras(), starter.NAME
    scale, offset = scaling(name)
    keras.utils.set_random_seed(seed)
    network = starter_network.build(size)
    if weights == "random":
        _calibrate(network, size, seed, scale, offset)
    elif weights == starter.NAME:
        network.set_weights(pretrained.starter_weights())
    elif given := pretrained.find_weights(weights, name, size, 1.0, offline=True):
        pretrained.load_weights(network, given)
    return Backbone(name, size, network, scale, offset, weights_digest([network]))


def scaling(name: str) -> tuple[Scale, Scale]:
    """What a network's pixels are multiplied with, and what is then added.

    >>> scaling("MobileNetV2") == (1 / 127.5, -1.0)
    True

    Args:
        name: of the network; Keras' own function for it is tried on pixels.

    Raises:
        RecipeError: the function does more than that, or mixes channels.
    """
    if name == starter.NAME:
        return starter_network.SCALE, starter_network.OFFSET
    module = getattr(load_keras().applications, applications.find(name).module)
    pixels = np.array([[0, 0, 0], [255, 255, 255], [7, 90, 201]], np.float64)
    black, white, mixed = np.array(module.preprocess_input(pixels[:, np.newaxis].copy()))[:, 0]
    scale, offset = (white - black) / 255, black
    if not np.allclose(pixels[2] * scale + offset, mixed, rtol=1e-9, atol=1e-9):
        raise RecipeError(f"{name} does not scale its pixels channel by channel, as is needed here")
    return _plain(scale), _plain(offset)


def _plain(values: Any) -> Scale:
    one, *others = map(float, values)
    return one if others == [one, one] else (one, *others)


def _calibrate(network: Any, size: int, seed: int, scale: Scale, offset: Scale) -> None:
    """Set a random network's running statistics, without which its output fades to nothing."""
    keras = load_keras()
    norms = [la for la in network.layers if isinstance(la, keras.layers.BatchNormalization)]
    if not norms:
        return
    for layer in norms:
        layer.momentum = 0.0
    # Blotches of all scales, as photos have: plain noise would average out on the way up.
    random, noise = np.random.default_rng(seed), np.zeros((16, size, size, 3), np.float32)
    for cells in (2, 4, 8, 16):
        side = -(-size // cells)
        coarse = random.standard_normal((16, cells, cells, 3), np.float32)
        noise += coarse.repeat(side, axis=1).repeat(side, axis=2)[:, :size, :size]
    grey, reach = 127.5 * np.array(scale) + np.array(offset), 127.5 * np.array(scale)
    blotches = np.clip(noise / 3, -1, 1) * reach + grey
    network(blotches.astype(np.float32), training=True)
    for layer in norms:
        layer.momentum = _MOMENTUM_FROM_SCRATCH


def weights_digest(layers: Iterable[Any]) -> str:
    """SHA-256 over the weights of Keras layers, in their order."""
    digest = hashlib.sha256()
    for layer in layers:
        for values in layer.get_weights():
            digest.update(str(values.shape).encode())
            digest.update(values.tobytes())
    return digest.hexdigest()
