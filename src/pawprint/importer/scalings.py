"""How pixels of 0 to 255 become what a network was trained with, as people state it.

Each stands here twice: as the multiplication and addition that go into the network, and as the
NumPy that the original is judged with, so that a slip in one is noticed by the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import BundleError

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red first
_BLUE_FIRST = (103.939, 116.779, 123.68)  # its mean in pixels, as Caffe had it


@dataclass(frozen=True)
class Scaling:
    """What is done to pixels.

    Args:
        name: as `--scaling` takes it.
        told: what it is, in a few words.
        scale: what red, green and blue are multiplied with,
        offset: and what is then added.
        blue_first: whether the channels are then turned round.
        numpy: the same for pixels (n, h, w, 3).
    """

    name: str
    told: str
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    blue_first: bool
    numpy: Callable[[NDArray[np.uint8]], NDArray[np.float64]]


def _caffe(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(pixels[..., ::-1].astype(np.float64) - np.array(_BLUE_FIRST))


def _torch(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray((pixels / 255.0 - np.array(_MEAN)) / np.array(_DEVIATION))


def _three(value: float) -> tuple[float, float, float]:
    return (value, value, value)


_RED_MEAN, _GREEN_MEAN, _BLUE_MEAN = _MEAN
_RED, _GREEN, _BLUE = _DEVIATION
SCALINGS = {
    scaling.name: scaling
    for scaling in (
        Scaling(
            "-1..1",
            "x / 127.5 - 1, as MobileNetV2 and Teachable Machine",
            _three(1 / 127.5),
            _three(-1.0),
            False,
            lambda pixels: pixels / 127.5 - 1.0,
        ),
        Scaling(
            "0..1", "x / 255", _three(1 / 255), _three(0.0), False, lambda pixels: pixels / 255.0
        ),
        Scaling(
            "0..255",
            "as they are: the network scales them itself",
            _three(1.0),
            _three(0.0),
            False,
            lambda pixels: pixels.astype(np.float64),
        ),
        Scaling(
            "caffe",
            "blue first, less the mean, as Keras' VGG16 and ResNet50",
            _three(1.0),
            (-_BLUE_FIRST[2], -_BLUE_FIRST[1], -_BLUE_FIRST[0]),
            True,
            _caffe,
        ),
        Scaling(
            "torch",
            "0..1, less the mean, over the deviation, as DenseNet and torchvision",
            (1 / (255 * _RED), 1 / (255 * _GREEN), 1 / (255 * _BLUE)),
            (-_RED_MEAN / _RED, -_GREEN_MEAN / _GREEN, -_BLUE_MEAN / _BLUE),
            False,
            _torch,
        ),
    )
}


def find(name: str) -> Scaling:
    """A scaling by its name.

    >>> find("0..1").told
    'x / 255'

    Raises:
        BundleError: there is none of that name.
    """
    if name not in SCALINGS:
        known = "; ".join(f"{each.name} ({each.told})" for each in SCALINGS.values())
        raise BundleError(f"--scaling {name!r} is not known; expected one of: {known}")
    return SCALINGS[name]
