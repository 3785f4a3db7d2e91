"""Lists of photos to leave out: text that a person reads, changes and hands to `train --exclude`.

```
# a line of a person's own, or of pawprint's
cat/17.jpg
"cat/two\\nlines.jpg"
```

A line is a photo's path as seen from the source's folder, or in its archive; one that could be
taken for something else stands in quotes, as JSON writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pawprint.data.cache import written
from pawprint.data.sources import Source
from pawprint.data.wording import os_reason, shown
from pawprint.errors import SourceError
from pawprint.progress import SILENT, Progress

_MAX_BYTES = 256 * 2**20


def as_line(path: str) -> str:
    """A path as a line of a list.

    >>> as_line("cat/1.jpg"), as_line("# 1.jpg")
    ('cat/1.jpg', '"# 1.jpg"')
    """
    plain = path.isprintable() and path.strip() == path and path[:1] not in ("#", '"', "")
    return path if plain else json.dumps(path)


def write(path: Path, lines: Iterable[str]) -> None:
    """Write a list, whole or not at all; one that is there is replaced.

    Args:
        path: the file.
        lines: of it, paths as `as_line` gives them, and comments.

    Raises:
        OutputError: it cannot be written.
    """
    with written(path) as file:
        for line in lines:
            file.write(f"{line}\n".encode("utf-8", "surrogateescape"))


def read(path: Path) -> list[str]:
    """Read the paths of a list.

    Args:
        path: the file.

    Returns:
        The paths, as seen from the source's folder.

    Raises:
        SourceError: it cannot be read, or a line is none.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SourceError(f"{path} has over {_MAX_BYTES:,} bytes and cannot be a list of paths")
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise SourceError(
            f"the list {path} cannot be read ({os_reason(error)}); expected a text file with a "
            "photo's path a line, as `pawprint check SOURCE --quarantine FILE` writes it"
        ) from error
    if "\0" in text:
        raise SourceError(f"the list {path} is no text; expected a photo's path a line")
    paths = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line.startswith('"'):
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if not isinstance(value, str):
                raise SourceError(
                    f"the list {path}, line {number:,}: {shown(line[:80])} begins with a quote and "
                    "is no JSON text"
                )
            paths.append(value)
        elif line and not line.startswith("#"):
            paths.append(line)
    return paths


def leave_out(source: Source, list_file: Path, progress: Progress = SILENT) -> None:
    """Take the photos of a list out of a source.

    Args:
        source: the photos; those of the list become skipped ones.
        list_file: names them, as seen from the source's folder or as they are told.
        progress: is told how many of the list are not in the source.

    Raises:
        SourceError: the list cannot be read, or none of its paths is in the source.
    """
    named = set(read(list_file))
    found: dict[str, str] = {}  # by a photo's path, how the list calls it
    for name_of in (source.relative, str):  # a name that could mean two photos means the first
        left = named - set(found.values())
        found |= {p.path: name for p in source.photos if (name := name_of(p.path)) in left}
    if named and not found:
        like = shown(source.relative(source.photos[0].path))
        raise SourceError(
            f"none of the {len(named):,} path(s) in {list_file} is in {source.name}, such as "
            f"{shown(min(named))}; expected paths like {like}: is it a list of another dataset?"
        )
    met = {name for path in found for name in (path, source.relative(path))}
    source.leave_out(found.keys(), f"listed in {list_file}")
    if unmet := named - met:
        progress.say(
            f"{len(unmet):,} of {len(named):,} path(s) in {list_file} are not among the photos of "
            f"{source.name}, such as {shown(min(unmet))}"
        )
