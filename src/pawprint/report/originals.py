"""The photos of a run, found again where they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pawprint.data.sources import Source, open_source
from pawprint.errors import PawprintError, PhotoError
from pawprint.progress import SILENT, Progress

Read = Callable[[str], bytes]


@contextmanager
def originals(
    place: str | Source, hashes: Mapping[str, str], progress: Progress = SILENT
) -> Iterator[Read]:
    """Open the source of a run for reading its photos; nothing is downloaded.

    >>> with originals("not/there.zip", {}) as read:
    ...     read("cat/1.jpg")
    Traceback (most recent call last):
    pawprint.errors.PhotoError: cat/1.jpg: its source is gone; name it with --source

    Args:
        place: what was typed as the source, or where it is now; or the source itself, open.
        hashes: by path as the run knows it, the SHA-256 of every photo.
        progress: is told where the source cannot be opened.

    Returns:
        A context that gives what reads a photo by its path, from any thread; it raises PhotoError
        where the photo is gone or changed, or the source is gone.
    """
    if isinstance(place, Source):
        yield _reader(place, hashes)
        return
    try:
        source = open_source(place, offline=True, progress=progress)
    except PawprintError as error:
        why = f"its source cannot be opened: {error}" if place else "the run names no source"
        progress.say(f"the photos are not shown, for {why}")
        yield _gone
        return
    with source:
        yield _reader(source, hashes)


def _gone(path: str) -> bytes:
    raise PhotoError(path, "its source is gone; name it with --source")


def _reader(source: Source, hashes: Mapping[str, str]) -> Read:
    inside = {source.relative(photo.path): photo for photo in source.photos}

    def read(path: str) -> bytes:
        # The source may lie elsewhere than it did: below, its paths are the same.
        parts = path.replace("\\", "/").split("/")
        for start in range(len(parts)):
            if photo := inside.get("/".join(parts[start:])):
                data = source.read(photo)
                if hashes.get(path) not in (None, hashlib.sha256(data).hexdigest()):
                    raise PhotoError(path, "the file was changed after the training")
                return data
        raise PhotoError(path, "it is no longer in the source")

    return read
