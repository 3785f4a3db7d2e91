"""Photos to the small pictures of a page; one that cannot be shown tells why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from pawprint.data.thumbnails import thumbnail
from pawprint.errors import PhotoError
from pawprint.pages import data_uri
from pawprint.parallel import map_chunks

SIDE = 160  # of a thumbnail, in pixels
_TOGETHER = 8  # photos a task


@dataclass(frozen=True)
class Small:
    """A thumbnail's address, or why there is none."""

    address: str = ""
    reason: str = ""


def thumbnails(
    photos: Iterable[str], read: Callable[[str], bytes], side: int = SIDE
) -> dict[str, Small]:
    """Make the small pictures of some photos.

    >>> thumbnails(["cat/1.jpg"], lambda path: b"")["cat/1.jpg"].reason
    'the file is empty (0 bytes)'

    Args:
        photos: their paths.
        read: gives a photo's bytes, from any thread, or raises PhotoError.
        side: that a picture fits into, in pixels.

    Returns:
        By path, its picture.
    """
    made: dict[str, Small] = {}
    for some in map_chunks(partial(_shrink, read, side), photos, size=_TOGETHER):
        made |= some
    return made


def _shrink(read: Callable[[str], bytes], side: int, photos: Sequence[str]) -> dict[str, Small]:
    return {photo: _small(read, photo, side) for photo in photos}


def _small(read: Callable[[str], bytes], photo: str, side: int) -> Small:
    try:
        return Small(address=data_uri.jpeg(thumbnail(read(photo), photo, side)))
    except PhotoError as error:
        return Small(reason=error.reason)
