"""Which photos a person means by the paths, folders and patterns they typed."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator

from pawprint.data.archives import Limits
from pawprint.data.sources import walk_folder


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


def _expand(path: str) -> Iterator[str]:
    if os.path.isdir(path):
        found = sorted(walk_folder(path, Limits()).photos)
        yield from (os.path.join(path, *parts) for parts in found)
        if not found:
            yield path
    elif not os.path.lexists(path) and glob.has_magic(path):
        matches = sorted(glob.glob(path, recursive=True))
        if not matches:
            yield path
        for match in matches:
            if not os.path.isdir(match):
                yield match
    else:
        yield path
