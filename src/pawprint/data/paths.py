"""Which photos a person means by the paths, folders and patterns they typed."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator

from pawprint.data.archives import Limits
from pawprint.data.layout import walk_folder
from pawprint.errors import SourceError


def find_photos(arguments: Iterable[str], listed: Iterable[str]) -> Iterator[str]:
    """Turn what was typed into photo paths, in order.

    >>> list(find_photos(["a.jpg", "-"], ["b.jpg\\n", "\\n"]))
    ['a.jpg', 'b.jpg']

    Args:
        arguments: photos, folders (searched through, in order of names), patterns with `*`, `?`
            or `**` that no shell has expanded, or `-`.
        listed: what `-` stands for: a path a line.

    Returns:
        Paths. What does not exist, or holds no photo, is given as it is, so that it is answered
        with a reason and not lost.
    """
    for argument in arguments:
        if argument == "-":
            for line in listed:
                if path := line.rstrip("\r\n"):
                    yield from _expand(path)
        else:
            yield from _expand(argument)


def _below(folder: str) -> list[str]:
    """The photos in a folder and the folders in it that cannot be read, or itself if none."""
    try:
        listing = walk_folder(folder, Limits())
    except SourceError:
        return [folder]
    shut = [parts for parts, why in listing.odd.items() if "cannot be read" in why]
    return [os.path.join(folder, *parts) for parts in sorted([*listing.photos, *shut])] or [folder]


def _expand(path: str) -> Iterator[str]:
    if os.path.isdir(path):
        yield from _below(path)
    elif not os.path.lexists(path) and glob.has_magic(path):
        matches = sorted(glob.glob(path, recursive=True))
        files = [match for match in matches if not os.path.isdir(match)]
        if files or not matches:
            yield from files or [path]
        else:  # a pattern of folders
            for folder in matches:
                yield from _below(folder)
    else:
        yield path
