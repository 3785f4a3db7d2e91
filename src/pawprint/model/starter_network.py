"""The starter's network: plain convolutions where maps are large, inverted residuals where small.

Against MobileNetV2 at width 0.35: four times the multiplications, and still two thirds of the time
to train on a processor, which is slow at convolutions by channel.
"""

from __future__ import annotations

from typing import Any

from pawprint.model.framework import load_keras

SIZE = 136  # pixels: more than in training, as what is on crops looks larger there
SCALE, OFFSET = 1 / 127.5, -1.0
_MOMENTUM = 0.97  # of running statistics: a training has some thousand steps


def build(size: int | None) -> Any:
    """The network without a head.

    Args:
        size: height and width of its input, in pixels; None for any.

    Returns:
        A Keras model: scaled pixels (n, size, size, 3) to a map (n, size / 16, size / 16, 512).
    """
    keras = load_keras()
    photo = keras.Input((size, size, 3), name="scaled")
    maps = _convolved(photo, 24, stride=2, name="stem")
    maps = _convolved(maps, 32, stride=2, name="block_1")
    maps = _residual(maps, "block_2")
    maps = _convolved(maps, 56, stride=2, name="block_3")
    maps = _residual(maps, "block_4")
    maps = _residual(maps, "block_5")
    maps = _convolved(maps, 96, stride=2, name="block_6")
    for number in (7, 8, 9):
        maps = _inverted_residual(maps, 288, f"block_{number}")
    maps = _convolved(maps, 512, kernel=1, name="top")
    return keras.Model(photo, maps, name="starter")


def _convolved(
    maps: Any, filters: int, *, kernel: int = 3, stride: int = 1, name: str, active: bool = True
) -> Any:
    convolution = load_keras().layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv"
    )
    maps = convolution(maps)
    return _normed(maps, name, active=active)


def _normed(maps: Any, name: str, *, active: bool = True) -> Any:
    keras = load_keras()
    maps = keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(maps)
    return keras.layers.ReLU(name=f"{name}_relu")(maps) if active else maps


def _residual(maps: Any, name: str) -> Any:
    keras = load_keras()
    filters = maps.shape[-1]
    inner = _convolved(maps, filters, name=f"{name}_a")
    inner = _convolved(inner, filters, name=f"{name}_b", active=False)
    added = keras.layers.Add(name=f"{name}_add")([maps, inner])
    return keras.layers.ReLU(name=f"{name}_relu")(added)


def _inverted_residual(maps: Any, wide: int, name: str) -> Any:
    keras = load_keras()
    filters = maps.shape[-1]
    inner = _convolved(maps, wide, kernel=1, name=f"{name}_expand")
    inner = keras.layers.DepthwiseConv2D(
        3, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(inner)
    inner = _normed(inner, f"{name}_depthwise")
    inner = _convolved(inner, filters, kernel=1, name=f"{name}_project", active=False)
    return keras.layers.Add(name=f"{name}_add")([maps, inner])
