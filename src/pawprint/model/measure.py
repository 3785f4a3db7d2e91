"""What a backbone costs on this machine: parameters, file size, forward time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from pawprint import engine, starter
from pawprint.model import applications, backbones, pretrained, starter_network
from pawprint.model.framework import load_keras
from pawprint.model.prefix import prefix_onnx

_SECONDS = 0.5  # of calls to take the fastest of: others are slow for what else goes on
_CALLS = 7  # at least


@dataclass(frozen=True)
class Cost:
    """What a backbone costs.

    Args:
        backbone: its name, with its width.
        default_size: the input size in pixels that it is built for when not told one.
        cuts: how many places it can be cut at.
        parameters: without top.
        file_bytes: of the network as float32 ONNX.
        size: of the input that was timed.
        forward_ms: for a photo, decoded already: float32, one photo a call, on one core. None where
            it was not measured.
        weights_here: whether the pretrained weights are on this machine, for this size.
    """

    backbone: str
    default_size: int
    cuts: int
    parameters: int
    file_bytes: int
    size: int
    forward_ms: float | None
    weights_here: bool


def costs(
    spelled: Iterable[str] | None = None, *, size: int = 224, timed: bool = True
) -> Iterator[Cost]:
    """Build backbones with random weights, and measure them as they come.

    Args:
        spelled: names, with a width or without; by default all.
        size: height and width of the input, in pixels.
        timed: measure forward times.

    Raises:
        RecipeError: there is no such backbone.
    """
    parsed = [applications.parse(each) for each in spelled or applications.spelled()]
    return (_cost(name, alpha, size, timed) for name, alpha in parsed)


def _cost(name: str, alpha: float, size: int, timed: bool) -> Cost:
    built = backbones.build(name, size=size, alpha=alpha, weights="random")
    onnx = prefix_onnx(built, built.last, pooled=True)
    return Cost(
        applications.spell(name, alpha),
        default_size(name),
        len(built.cuts),
        built.network.count_params(),
        len(onnx),
        size,
        forward_ms(onnx, "features") if timed else None,
        name == starter.NAME or pretrained.imagenet_path(name, size, alpha).is_file(),
    )


@cache
def default_size(name: str) -> int:
    """The input size that a network is built for when not told one.

    Args:
        name: of the network. Keras leaves MobileNetV3's open, whose weights were made at 224 px.
    """
    if name == starter.NAME:
        return starter_network.SIZE
    whole = getattr(load_keras().applications, name)(weights=None, classes=1)
    return int(whole.input_shape[1] or applications.find(name).sizes[-1])


def forward_ms(onnx: bytes, output: str) -> float:
    """Milliseconds that a network takes for a photo: float32, one photo a call, on one core.

    Args:
        onnx: a network from uint8 pixels.
        output: which output to compute.

    Returns:
        The fastest of at least half a second of calls.
    """
    network = engine.Network(onnx, [output])
    photo = np.random.default_rng(0).integers(0, 256, network.photo_shape(), np.uint8)
    for _ in range(2):
        network(photo)
    taken: list[float] = []
    while len(taken) < _CALLS or sum(taken) < _SECONDS:
        start = time.perf_counter()
        network(photo)
        taken.append(time.perf_counter() - start)
    return min(taken) * 1000
