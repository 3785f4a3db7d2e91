"""Findings about single photos, from one glance at each.

The limits were set by looking at the extremes of 16,000 photos of cats and dogs: what lies beyond
them is a blank, a logo, a drawing or next to nothing to see, and hardly ever a good photo.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.images import FORMATS, Trait
from pawprint.data.reading import Read
from pawprint.doctor.findings import Finding

BLANK = 8.0  # contrast below this, of 0-255 values; faint but good photos begin at 14
DARK, BRIGHT = 25.0, 235.0  # light below and above
BLURRED = 0.03  # detail below this part of the contrast; smooth black cats begin at 0.033
TINY = 32  # pixels of the shorter side
EXTREME = 4.0  # times as long as wide

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
}
_NOT_RGB = {
    Trait.CMYK: "CMYK",
    Trait.DEEP: "more than 8 bits a channel",
    Trait.TRANSPARENT: "transparency",
}


def examine_photos(reads: Sequence[Read], glances: NDArray[Any]) -> Iterator[Finding]:
    """Find what is odd about single photos.

    Args:
        reads: n photos.
        glances: `GLANCE`, shape (n,), of the same photos.

    Returns:
        The findings, photo by photo of each kind.
    """
    light, contrast, detail = (
        glances[field].astype(np.float32) for field in ("light", "contrast", "detail")
    )
    short = np.minimum(glances["width"], glances["height"]).astype(np.float32)
    long = np.maximum(glances["width"], glances["height"]).astype(np.float32)
    traits = glances["traits"]
    shown = contrast >= BLANK
    found: dict[str, NDArray[np.bool_]] = {
        "blank": ~shown,
        "dark": shown & (light < DARK),
        "bright": shown & (light > BRIGHT),
        "blurred": shown & (detail < BLURRED * contrast),
        "tiny": short < TINY,
        "extreme-shape": long > EXTREME * short,
        "animated": (traits & Trait.ANIMATED) > 0,
        "not-rgb": (traits & sum(_NOT_RGB)) > 0,
        "turned": (traits & Trait.TURNED) > 0,
        "wrong-type": _misnamed(reads, glances["format"]),
    }
    for kind, where in found.items():
        for row in np.flatnonzero(where).tolist():
            yield Finding(kind, _detail(kind, glances[row]), (reads[row].photo.path,))


def _misnamed(reads: Sequence[Read], formats: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whose name ends like that of another format."""
    known = {suffix for suffixes in _SUFFIXES.values() for suffix in suffixes}
    ends = (os.path.splitext(read.photo.path)[1].lower() for read in reads)
    odd = (
        end in known and end not in _SUFFIXES[FORMATS[number]]
        for end, number in zip(ends, formats, strict=True)
    )
    return np.fromiter(odd, bool, len(reads))


def _detail(kind: str, seen: Any) -> str:
    width, height = int(seen["width"]), int(seen["height"])
    if kind in ("tiny", "extreme-shape"):
        return f"{width} x {height} pixels"
    if kind in ("dark", "bright"):
        return f"brightness {float(seen['light']):.0f} of 255"
    if kind == "blank":
        return f"contrast {float(seen['contrast']):.1f} of 255"
    if kind == "not-rgb":
        return ", ".join(name for trait, name in _NOT_RGB.items() if seen["traits"] & trait)
    if kind == "wrong-type":
        return f"it is {FORMATS[int(seen['format'])]}"
    return f"{width} x {height} pixels" if kind == "blurred" else ""
