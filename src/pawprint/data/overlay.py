"""A heat-map drawn over its photo: what speaks for an answer glows, the rest is grey and dim."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pawprint.data.images import Pixels, Preprocessing, open_photo

Window = tuple[float, float, float, float]  # left, top, right, bottom, in a photo's pixels

# From violet over red and orange to pale yellow: each lighter than the one before, so that their
# order is seen with any kind of colour vision, and in grey.
_HEAT = (0.0, 0.3, 0.55, 0.8, 1.0)
_COLOURS = np.array([(72, 20, 110), (160, 32, 108), (226, 84, 56), (250, 156, 30), (255, 228, 110)])

_STRONGEST = 0.68  # how much of a pixel the colour takes at most: the photo shines through
_COLOUR_LEFT = 0.35  # of the photo's own colours
_LIGHT_LEFT = 0.7  # and of its light
_QUALITY = 85


def overlay(picture: Pixels, heat: NDArray[Any], window: Window) -> Pixels:
    """Colour the places of a photo that speak for an answer.

    >>> grey, heat = np.full((4, 8, 3), 200, np.uint8), np.array([[1.0, -1.0]])
    >>> drawn = overlay(grey, heat, (0, 0, 8, 4))
    >>> drawn[0, 0].tolist(), drawn[0, 7].tolist()
    ([218, 200, 120], [140, 140, 140])

    Colours go from nothing at zero to the strongest at the map's own maximum; two maps' colours do
    not compare. What is zero or less, and what lies outside the window, has none.

    Args:
        picture: RGB, uint8, shape (height, width, 3).
        heat: finite, shape (h, w): how much each place speaks for the answer; negative, against.
        window: the part of the picture that the map lies over, in pixels; may reach beyond it.

    Returns:
        Pixels of the picture's shape.

    Raises:
        ValueError: a picture or a map of another kind, or an empty window.
    """
    left, top, right, bottom = window
    if picture.dtype != np.uint8 or picture.shape[2:] != (3,) or not picture.size:
        raise ValueError(
            f"expected uint8 pixels of shape (height, width, 3), got {picture.dtype} "
            f"{picture.shape}"
        )
    if heat.ndim != 2 or not heat.size or not np.isfinite(heat).all():
        raise ValueError(f"expected a heat-map of shape (h, w), all finite, got {heat.shape}")
    if not (left < right and top < bottom):
        raise ValueError(f"expected a window with an area, got {window}")
    strength = _spread(_strength(heat), picture.shape[1], picture.shape[0], window)[..., np.newaxis]
    light = (picture @ np.array([0.299, 0.587, 0.114], np.float32))[..., np.newaxis]  # of JPEG
    dim = _LIGHT_LEFT * (light + _COLOUR_LEFT * (picture - light))
    colours = np.stack([np.interp(strength[..., 0], _HEAT, c) for c in _COLOURS.T], axis=-1)
    opacity = _STRONGEST * strength
    return np.asarray(dim * (1 - opacity) + colours * opacity + 0.5).astype(np.uint8)


def to_jpeg(pixels: Pixels, quality: int = _QUALITY) -> bytes:
    """Encode pixels as a JPEG.

    >>> to_jpeg(np.zeros((8, 8, 3), np.uint8))[:3]
    b'\\xff\\xd8\\xff'

    Args:
        pixels: RGB, uint8, shape (height, width, 3).
        quality: 1 to 95.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def draw_heatmap(
    data: bytes, name: str, heat: NDArray[Any], preprocessing: Preprocessing, *, side: int = 640
) -> bytes:
    """Draw a heat-map over the photo that it belongs to.

    Args:
        data: the file's bytes.
        name: what to call the photo in errors.
        heat: of the square that the network saw, as `overlay` takes it.
        preprocessing: how the photo became that square.
        side: that the drawing fits into, in pixels; a smaller photo keeps its size.

    Returns:
        A JPEG of the photo, upright and in its own proportions.

    Raises:
        PhotoError: as `open_photo` does.
    """
    picture = open_photo(data, name, near=side).picture
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return to_jpeg(overlay(np.asarray(picture), heat, preprocessing.window(*picture.size)))


def _strength(heat: NDArray[Any]) -> NDArray[np.float32]:
    """What speaks for the answer as parts of the maximum; what speaks against it, down to -1."""
    most = heat.max()
    return np.asarray(heat.clip(-most) / most if most > 0 else np.zeros(heat.shape), np.float32)


def _spread(
    values: NDArray[np.float32], width: int, height: int, window: Window
) -> NDArray[np.float32]:
    """A map smoothly over a picture, 0 to 1; zero outside the window."""
    rows, columns = values.shape
    left, top, right, bottom = window
    across, down = columns / (right - left), rows / (bottom - top)
    spread = Image.fromarray(values).transform(
        (width, height),
        Image.Transform.AFFINE,
        (across, 0, -left * across, 0, down, -top * down),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(spread, np.float32).clip(
        0, 1
    )  # negative ones last, so that zero lies in its place
