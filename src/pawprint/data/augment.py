"""Random changes to training photos, with the meaning of Keras' preprocessing layers.

Each operation is a matrix from the pixels of the result to those of the photo; their product is
applied at once, so that a photo is resampled once however many operations there are. Keras
resamples it once for each, which blurs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from math import cos, pi, sin
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from pawprint.data.images import Pixels
from pawprint.errors import MissingExtra

# Bumped whenever the same draw would give other pixels, so that cached features are not reused.
VERSION = 1

Matrix = NDArray[np.float64]  # (3, 3): of (x, y, 1), pixel centres at whole numbers
Factor = float | tuple[float, float]  # a number f stands for -f to f
Fill = Literal["reflect", "nearest", "constant"]


def _within(low: float, high: float, *, ends: str = "[]") -> BeforeValidator:
    """What a factor may be, said in one sentence rather than in one for each kind of value."""

    def fits(value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return low <= value <= high and (ends[0] == "[" or value != low)

    def check(value: Any) -> Any:
        pair = isinstance(value, list | tuple)
        if not (len(value) == 2 and all(map(fits, value)) if pair else fits(value)):
            raise PydanticCustomError(
                "factor",
                "expected a number or [low, high] within {within}",
                {"within": f"{ends[0]}{low:g}, {high:g}{ends[1]}"},
            )
        return value

    return BeforeValidator(check)


class _Layer(BaseModel, ABC):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def matrix(self, height: int, width: int, random: np.random.Generator) -> Matrix:
        """Draw the operation's parameters.

        Args:
            height: of the photo, in pixels.
            width: of the photo, in pixels.
            random: where to draw from.

        Returns:
            The matrix from a pixel (x, y, 1) of the result to its place in the photo.
        """


class _Resampling(_Layer):
    fill: Fill = "reflect"


class Flip(_Layer):
    """Mirror half of the photos, as `keras.layers.RandomFlip`.

    >>> Flip(mode="horizontal").layer
    'flip'

    Args:
        mode: exchange left and right, top and bottom, or both at once.
    """

    layer: Literal["flip"] = "flip"
    mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal_and_vertical"

    def matrix(self, height: int, width: int, random: np.random.Generator) -> Matrix:
        """See `_Layer.matrix`."""
        # As in Keras 3, one throw decides on both directions.
        if random.random() >= 0.5:
            return np.eye(3)
        x, y = -1.0 if "horizontal" in self.mode else 1.0, -1.0 if "vertical" in self.mode else 1.0
        return _about_centre(x, 0.0, 0.0, y, height, width)


class Rotation(_Resampling):
    """Turn about the centre, as `keras.layers.RandomRotation`.

    >>> Rotation(factor=10 / 360).fill
    'reflect'

    Args:
        factor: part of a full turn, counter-clockwise where positive: a number, or (low, high),
            within -1 to 1.
        fill: what lies outside: `reflect` (the photo mirrored), `nearest` (its last pixels drawn
            out) or `constant` (black).
    """

    layer: Literal["rotation"] = "rotation"
    factor: Annotated[Factor, _within(-1, 1)]

    def matrix(self, height: int, width: int, random: np.random.Generator) -> Matrix:
        """See `_Layer.matrix`."""
        angle = 2 * pi * _draw(self.factor, random)
        return _about_centre(cos(angle), -sin(angle), sin(angle), cos(angle), height, width)


class Zoom(_Resampling):
    """Zoom about the centre, as `keras.layers.RandomZoom`.

    >>> Zoom(height=(-0.2, 0.0)).width is None
    True

    Args:
        height: how much more of the photo's height is seen: positive zooms out, negative zooms in;
            a number, or (low, high), above -1 and at most 1.
        width: the same of its width, drawn on its own; None keeps the proportions.
        fill: as of `Rotation`.
    """

    layer: Literal["zoom"] = "zoom"
    height: Annotated[Factor, _within(-1, 1, ends="(]")]
    width: Annotated[Factor, _within(-1, 1, ends="(]")] | None = None

    def matrix(self, height: int, width: int, random: np.random.Generator) -> Matrix:
        """See `_Layer.matrix`."""
        y = 1.0 + _draw(self.height, random)
        x = y if self.width is None else 1.0 + _draw(self.width, random)
        return _about_centre(x, 0.0, 0.0, y, height, width)


class Translation(_Resampling):
    """Shift, as `keras.layers.RandomTranslation`.

    >>> Translation(height=0.1, width=(0.0, 0.2)).width
    (0.0, 0.2)

    Args:
        height: downwards where positive, as a part of the height: a number, or (low, high), within
            -1 to 1.
        width: to the right where positive, as a part of the width.
        fill: as of `Rotation`.
    """

    layer: Literal["translation"] = "translation"
    height: Annotated[Factor, _within(-1, 1)]
    width: Annotated[Factor, _within(-1, 1)]

    def matrix(self, height: int, width: int, random: np.random.Generator) -> Matrix:
        """See `_Layer.matrix`."""
        down, right = _draw(self.height, random) * height, _draw(self.width, random) * width
        return np.array([[1.0, 0.0, -right], [0.0, 1.0, -down], [0.0, 0.0, 1.0]])


class Shear(_Resampling):
    """Slant, as `keras.layers.RandomShear`: about the top left pixel, not the centre.

    >>> Shear(x=0.2).y
    0.0

    Args:
        x: how far a row moves for each row below the top: a number, or (low, high), within 0 to 1.
            The sign is drawn too, one for both directions.
        y: how far a column moves for each column right of the left edge.
        fill: as of `Rotation`.
    """

    layer: Literal["shear"] = "shear"
    x: Annotated[Factor, _within(0, 1)] = 0.0
    y: Annotated[Factor, _within(0, 1)] = 0.0

    def matrix(self, height: int, width: int, random: np.random.Generator) -> Matrix:
        """See `_Layer.matrix`."""
        sign = -1.0 if random.random() > 0.5 else 1.0
        y, x = sign * _draw(self.y, random), sign * _draw(self.x, random)
        return np.array([[1.0, x, 0.0], [y, 1.0, 0.0], [0.0, 0.0, 1.0]])


Augmentation = Annotated[Flip | Rotation | Zoom | Translation | Shear, Field(discriminator="layer")]


def augment(
    pixels: Pixels, operations: Sequence[Augmentation], random: np.random.Generator
) -> Pixels:
    """Change a photo at random; may be called from several threads, each with its own generator.

    >>> photo = np.zeros((32, 32, 3), np.uint8)
    >>> changes = [Flip(mode="horizontal"), Rotation(factor=0.03), Zoom(height=0.1)]
    >>> augment(photo, changes, np.random.default_rng(0)).shape
    (32, 32, 3)

    Args:
        pixels: uint8, shape (height, width, 3).
        operations: applied in this order; those with the same `fill` in one resampling.
        random: where every parameter is drawn from.

    Returns:
        Pixels of the same dtype and shape: `pixels` itself where nothing changes it, the very same
        values in other places where it is only mirrored, else bilinear values.

    Raises:
        MissingExtra: OpenCV is not installed.
        ValueError: pixels of another dtype or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(
            f"expected uint8 pixels of shape (height, width, 3), got {pixels.dtype} {pixels.shape}"
        )
    height, width = pixels.shape[:2]
    matrix, fill = np.eye(3), None
    for operation in operations:
        its = operation.fill if isinstance(operation, _Resampling) else fill
        if fill is not None and its != fill:
            pixels, matrix = _resample(pixels, matrix, fill), np.eye(3)
        fill = its
        matrix = matrix @ operation.matrix(height, width, random)
    return _resample(pixels, matrix, fill or "reflect")


def _draw(factor: Factor, random: np.random.Generator) -> float:
    low, high = factor if isinstance(factor, tuple) else (-factor, factor)
    return low + (high - low) * random.random()


def _about_centre(a: float, b: float, c: float, d: float, height: int, width: int) -> Matrix:
    """The matrix whose linear part is [[a, b], [c, d]] and that keeps the photo's middle."""
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array([[a, b, x - a * x - b * y], [c, d, y - c * x - d * y], [0.0, 0.0, 1.0]])


def _resample(pixels: Pixels, matrix: Matrix, fill: Fill) -> Pixels:
    height, width = pixels.shape[:2]
    right, bottom = width - 1.0, height - 1.0
    # Where whole pixels change places, each keeps its value to the last bit.
    mirrored = {
        (-1.0, 0.0, right, 0.0, 1.0, 0.0): 1,
        (1.0, 0.0, 0.0, 0.0, -1.0, bottom): 0,
        (-1.0, 0.0, right, 0.0, -1.0, bottom): -1,
    }
    values = tuple(matrix[:2].ravel().tolist())
    if values == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0):
        return pixels
    cv2 = _opencv()
    if values in mirrored:
        return cv2.flip(pixels, mirrored[values])  # type: ignore[no-any-return]
    return cv2.warpAffine(  # type: ignore[no-any-return]
        pixels,
        matrix[:2],
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,  # the matrix leads back to the photo
        borderMode={
            "reflect": cv2.BORDER_REFLECT,
            "nearest": cv2.BORDER_REPLICATE,
            "constant": cv2.BORDER_CONSTANT,
        }[fill],
    )


@lru_cache(maxsize=1)
def _opencv() -> Any:
    # Late, as it belongs to training: Pillow, which is always there, takes five times as long.
    try:
        import cv2
    except ImportError:
        raise MissingExtra("augmentation", "opencv-python-headless", "train") from None
    return cv2
