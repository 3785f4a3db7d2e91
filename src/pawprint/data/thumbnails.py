"""A photo's bytes to those of a small JPEG, for showing."""

from __future__ import annotations

import io

from PIL import Image

from pawprint.data.images import open_photo

_QUALITY = 80


def thumbnail(data: bytes, name: str, side: int) -> bytes:
    """Make a photo small, keeping its proportions.

    >>> buffer = io.BytesIO()
    >>> Image.new("RGB", (400, 100), "red").save(buffer, "PNG")
    >>> small = thumbnail(buffer.getvalue(), "red.png", 160)
    >>> Image.open(io.BytesIO(small)).size
    (160, 40)

    Args:
        data: the file's bytes.
        name: what to call the photo in errors.
        side: that it fits into, in pixels; a smaller photo keeps its size.

    Returns:
        A JPEG of the pixels alone, without what else the file told.

    Raises:
        PhotoError: as `open_photo` does.
    """
    picture = open_photo(data, name, near=side).picture
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Without being told, Pillow takes over a comment.
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True, comment=b"")
    return buffer.getvalue()
