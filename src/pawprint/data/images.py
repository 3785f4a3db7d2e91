"""Bytes to pixels: the only place where that happens, for training, prediction and serving alike.

Whatever a photo's format, orientation tag, colour model or depth, what comes out is the same kind
of array, so that a model sees at prediction time what it saw in training. This module does not
know where bytes come from, nor what a network makes of the pixels.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Literal

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import (  # the plugins by name: Pillow registers a format only once its plugin is there
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)
from pydantic import BaseModel, ConfigDict, Field

from pawprint.errors import DamagedPhoto, EmptyPhoto, NotAPhoto, TooManyPixels

Pixels = NDArray[np.uint8]

# Pillow knows many more; some of them (EPS, PSD, FITS ...) run programs or were never meant as
# photos. The JPEG plugin also opens MPO, a JPEG with further pictures behind the first.
FORMATS = (
    JpegImagePlugin.JpegImageFile.format,
    PngImagePlugin.PngImageFile.format,
    GifImagePlugin.GifImageFile.format,
    BmpImagePlugin.BmpImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
    TiffImagePlugin.TiffImageFile.format,
    AvifImagePlugin.AvifImageFile.format,
)
FORMAT_NAMES = "JPEG, PNG, GIF, BMP, WebP, TIFF or AVIF"

# 100 megapixels decode to 300 MB; a phone's largest photos are about half of that.
MAX_PIXELS = 100_000_000

# Bumped whenever the same bytes would give other pixels, so that cached features are not reused.
VERSION = 1
DECODED_BY = f"{VERSION}, Pillow {PIL.__version__}"

_DEEP = re.compile(";16[BLNS]")  # how Pillow calls 16 bits that it reads as 8
# How files of the formats begin, but for BMP's two letters, which are no proof.
_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF.{4}WEBP|II\*\0|MM\0\*|.{4}ftypavi[fs]", re.DOTALL
)

_WHITE = (255, 255, 255)
_GREY = (127, 127, 127)  # what a network that scales to [-1, 1] sees as nothing

# Pillow speaks of large pictures and odd tags by warnings; the cap here is our own, and whether a
# file can be decoded is all that counts.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class Trait(IntFlag):
    """How a photo is stored, where that is out of the ordinary."""

    ANIMATED = 1
    TRANSPARENT = 2
    CMYK = 4
    DEEP = 8  # more than 8 bits a channel, or floats
    TURNED = 16  # upright only by its orientation tag


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoded photo.

    Args:
        picture: upright, in mode RGB; smaller than the photo where `near` allowed it.
        width: of the photo itself, upright, in pixels.
        height: of the same.
        format: its place in `FORMATS`.
        traits: how it is stored.
    """

    picture: Image.Image
    width: int
    height: int
    format: int
    traits: Trait


def open_photo(
    data: bytes, name: str, *, near: int | None = None, max_pixels: int = MAX_PIXELS
) -> Opened:
    """Decode a photo's bytes to an upright RGB picture.

    >>> buffer = io.BytesIO()
    >>> Image.new("L", (20, 10), 128).save(buffer, "PNG")
    >>> opened = open_photo(buffer.getvalue(), "grey.png")
    >>> opened.picture.mode, opened.width, FORMATS[opened.format]
    ('RGB', 20, 'PNG')

    Args:
        data: the file's bytes.
        name: what to call the photo in errors.
        near: a side in pixels that will be asked for next. A JPEG far larger than twice that is
            decoded at a half, a quarter or an eighth of its size, which is several times faster.
        max_pixels: a cap below the house's own.

    Returns:
        The picture in mode RGB, with the orientation tag applied, the first frame of an animation,
        transparency laid on white, 16 bits and floats brought down to 8; and what it was before.

    Raises:
        EmptyPhoto: there are no bytes.
        NotAPhoto: no format that is read here.
        TooManyPixels: over the cap; seen in the header, before anything is decoded.
        DamagedPhoto: it breaks off or cannot be decoded.
    """
    picture = _header(data, name, min(max_pixels, MAX_PIXELS))
    width, height = picture.size
    kind = FORMATS.index("JPEG" if picture.format == "MPO" else picture.format)
    try:
        if picture.format == "PNG":  # decoding alone does not look at the checksums
            Image.open(io.BytesIO(data), formats=("PNG",)).verify()
        traits = _traits(picture, data)
        if near is not None:
            picture.draft("RGB", (2 * near, 2 * near))
        orientation = picture.getexif().get(0x0112, 1)
        if orientation in range(2, 9):
            traits |= Trait.TURNED
        # Rows and columns are exchanged; of a TIFF, Pillow gives the size already turned.
        if picture.format != "TIFF" and orientation in (5, 6, 7, 8):
            width, height = height, width
        # An upright one would only be copied.
        upright = picture if orientation == 1 else ImageOps.exif_transpose(picture)
        return Opened(_to_rgb(upright), width, height, kind, traits)
    except Exception as fault:  # whatever a decoder raises, the photo is not usable
        raise DamagedPhoto(name, f"it cannot be decoded ({_short(fault)})") from None


def _header(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """Open a photo without decoding it."""
    if not data:
        raise EmptyPhoto(name, "the file is empty (0 bytes)")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if _MAGIC.match(data):
            raise DamagedPhoto(name, "its header is damaged or breaks off") from None
        raise NotAPhoto(name, _what_instead(data)) from None
    except Image.DecompressionBombError:
        raise TooManyPixels(name, f"more than {max_pixels:,} pixels; make it smaller") from None
    except Exception as fault:  # Pillow's parsers raise nearly anything on hostile headers
        raise DamagedPhoto(name, f"its header cannot be read ({_short(fault)})") from None
    width, height = picture.size
    if width * height > max_pixels:
        reason = f"{width} x {height} is more than {max_pixels:,} pixels; make it smaller"
        raise TooManyPixels(name, reason)
    if width < 1 or height < 1:
        raise DamagedPhoto(name, f"its header says {width} x {height} pixels")
    return picture


def _traits(picture: Image.Image, data: bytes) -> Trait:
    """What a header says of how the photo is stored."""
    found = Trait(0)
    if picture.format in ("GIF", "PNG", "WEBP", "AVIF"):
        # What comes after the first picture may be damaged. To know, a GIF must be sought through.
        with contextlib.suppress(Exception):
            again = Image.open(io.BytesIO(data)) if picture.format == "GIF" else picture
            if getattr(again, "is_animated", False):
                found |= Trait.ANIMATED
    if picture.has_transparency_data:
        found |= Trait.TRANSPARENT
    if picture.mode == "CMYK":
        found |= Trait.CMYK
    if picture.mode[0] in "IF" or any(
        _DEEP.search(str(tile.args)) for tile in getattr(picture, "tile", ())
    ):
        found |= Trait.DEEP
    return found


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB" and "transparency" not in picture.info:
        picture.load()
        return picture
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _to_8_bits(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (*_WHITE, 255))
        picture = Image.alpha_composite(ground, picture)
    return picture.convert("RGB")


def _to_8_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or of floats, scaled to 8 bits by its depth, not clipped to it."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float32), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if picture.mode == "F" and low >= 0.0 and high <= 1.0:
        values = values * 255.0
    elif picture.mode != "F" and low >= 0.0 and high <= 65535.0:
        values = values / 257.0
    elif low < 0.0 or high > 255.0:  # no depth to go by: the values' own range
        values = (values - low) * (255.0 / (high - low))
    return Image.fromarray((values + 0.5).astype(np.uint8))


def _what_instead(data: bytes) -> str:
    """Why bytes are no photo, in the words of somebody who looked."""
    head = data[:64].lstrip()
    tell: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: data[4:8] == b"ftyp" and data[8:11] in (b"hei", b"hev", b"mif"), "a HEIC photo"),
        (lambda: head[:5].lower().startswith((b"<?xml", b"<svg")), "an SVG or XML text"),
        (lambda: head[:5].lower() in (b"<html", b"<!doc"), "a web page"),
        (lambda: data[:4] == b"%PDF", "a PDF"),
        (lambda: data[:4] == b"PK\x03\x04", "a zip archive"),
        (lambda: not data.strip(b"\0"), "nothing but zero bytes"),
    )
    found = next((what for test, what in tell if test()), None)
    if found is None:
        return f"it is no image that can be read; expected {FORMAT_NAMES}"
    return f"it is {found}, not an image that can be read; convert it to JPEG or PNG"


def _short(fault: Exception) -> str:
    text = str(fault).strip() or type(fault).__name__
    return text.splitlines()[0][:120]


def mirrored(pixels: Pixels) -> Pixels:
    """Exchange left and right.

    >>> mirrored(np.arange(6, dtype=np.uint8).reshape(1, 2, 3)).tolist()
    [[[3, 4, 5], [0, 1, 2]]]

    Args:
        pixels: uint8, shape (height, width, 3).

    Returns:
        A copy of the same shape.
    """
    return np.ascontiguousarray(pixels[:, ::-1])


class Preprocessing(BaseModel):
    """How a photo becomes the square of pixels that a network takes.

    >>> grey = Image.new("L", (20, 10), 128)
    >>> Preprocessing(size=32).from_image(grey).shape
    (32, 32, 3)

    Args:
        size: height and width of the square, in pixels.
        policy: `squash` resizes each side on its own (the whole photo, proportions changed);
            `crop` keeps the proportions and cuts the longer side to the middle square; `pad`
            keeps the proportions and fills the rest with grey.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=224, ge=32, le=1024)
    policy: Literal["squash", "crop", "pad"] = "squash"

    def from_bytes(self, data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Pixels:
        """Decode and resize a photo's bytes.

        Args:
            data: the file's bytes.
            name: what to call the photo in errors.
            max_pixels: a cap below the house's own.

        Returns:
            RGB pixels, uint8, shape (size, size, 3).

        Raises:
            PhotoError: as `open_photo` does.
        """
        return self.fit(open_photo(data, name, near=self.size, max_pixels=max_pixels).picture)

    def from_image(self, picture: Image.Image, name: str = "the picture") -> Pixels:
        """Resize an open Pillow picture; the same pixels as from its bytes, but for `draft`.

        Args:
            picture: of any mode.
            name: what to call it in errors.

        Returns:
            RGB pixels, uint8, shape (size, size, 3).

        Raises:
            TooManyPixels: over `MAX_PIXELS`.
            DamagedPhoto: it cannot be decoded.
        """
        if picture.width * picture.height > MAX_PIXELS:
            raise TooManyPixels(name, f"more than {MAX_PIXELS:,} pixels; make it smaller")
        try:
            return self.fit(_to_rgb(ImageOps.exif_transpose(picture)))
        except Exception as fault:  # a lazily opened picture is decoded only here
            raise DamagedPhoto(name, f"it cannot be decoded ({_short(fault)})") from None

    def from_array(self, pixels: NDArray[Any], name: str = "the array") -> Pixels:
        """Resize an array of pixels.

        Args:
            pixels: uint8 with values 0-255; shape (height, width), (height, width, 3) RGB or
                (height, width, 4) RGBA.
            name: what to call it in errors.

        Returns:
            RGB pixels, uint8, shape (size, size, 3).

        Raises:
            NotAPhoto: another shape or dtype, found and expected both named.
        """
        channels = pixels.shape[2:] if pixels.ndim in (2, 3) else (0,)
        if pixels.dtype != np.uint8 or channels not in ((), (3,), (4,)) or 0 in pixels.shape:
            raise NotAPhoto(
                name,
                f"an array of {pixels.dtype} with shape {pixels.shape}; expected uint8 with shape "
                "(height, width), (height, width, 3) or (height, width, 4)",
            )
        return self.from_image(Image.fromarray(pixels), name)

    def window(self, width: int, height: int) -> tuple[float, float, float, float]:
        """What of a photo becomes the square.

        >>> Preprocessing(policy="crop").window(40, 20)
        (10.0, 0.0, 30.0, 20.0)
        >>> Preprocessing(policy="pad").window(40, 20)
        (0.0, -10.0, 40.0, 30.0)

        Args:
            width: of the upright photo, in pixels.
            height: of the same.

        Returns:
            Left, top, right and bottom in the photo's pixels; outside of it where grey is added.
        """
        if self.policy == "squash":
            return 0.0, 0.0, float(width), float(height)
        side = min(width, height) if self.policy == "crop" else max(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side

    def fit(self, picture: Image.Image) -> Pixels:
        """Resize an upright RGB picture; uint8, shape (size, size, 3)."""
        side, (width, height) = self.size, picture.size
        if self.policy == "crop":
            box = self.window(width, height)
            picture = picture.resize((side, side), Image.Resampling.BILINEAR, box=box)
        elif self.policy == "pad":
            scale = side / max(width, height)
            inner = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = picture.resize(inner, Image.Resampling.BILINEAR)
            picture = Image.new("RGB", (side, side), _GREY)
            picture.paste(small, ((side - inner[0]) // 2, (side - inner[1]) // 2))
        else:
            picture = picture.resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(picture)
