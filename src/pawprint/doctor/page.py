"""What a look at a dataset found, as one HTML file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pawprint.data.cache import written
from pawprint.data.layout import SPLITS
from pawprint.data.wording import shown
from pawprint.doctor.findings import KINDS, Checkup, Finding, Kind, Level
from pawprint.errors import OutputError
from pawprint.pages.template import template
from pawprint.pages.thumbnails import thumbnails

_FINDINGS, _PHOTOS = 100, 12  # shown of a kind, and of a group
_BUFFER = 256  # pieces of the page that are written together

# Of these there is nothing to be seen, or nothing that is one photo.
_UNSEEN = frozenset(("unreadable", "empty", "not-an-image", "too-large", "not-used"))


@dataclass
class _Section:
    """What is shown of a kind.

    Args:
        kind: of which.
        count: of all its findings.
        rows: findings in words alone.
        tiles: findings about one photo.
        groups: findings about several.
    """

    kind: Kind
    count: int
    rows: list[Finding] = field(default_factory=list)
    tiles: list[Finding] = field(default_factory=list)
    groups: list[Finding] = field(default_factory=list)

    @property
    def shown(self) -> tuple[Finding, ...]:
        """All that is."""
        return (*self.rows, *self.tiles, *self.groups)

    @property
    def more(self) -> int:
        """How many are not shown."""
        return max(0, self.count - sum(finding.count for finding in self.shown))

    def add(self, finding: Finding) -> None:
        """Show a finding the way it is best seen, unless there are enough."""
        if finding.kind in _UNSEEN or not finding.paths:
            if len(self.rows) < _FINDINGS:
                self.rows.append(finding)
        elif len(self.tiles) + len(self.groups) < _FINDINGS:
            (self.groups if len(finding.paths) > 1 else self.tiles).append(finding)

    def photos(self) -> Iterator[str]:
        """The photos to be seen."""
        for finding in (*self.tiles, *self.groups):
            yield from finding.paths[:_PHOTOS]


def write_page(path: Path, checkup: Checkup, read: Callable[[str], bytes]) -> None:
    """Write what was found as one HTML file, with the photos in it that it is about.

    >>> import tempfile
    >>> found = (Finding("empty", "0 bytes", ("cat/1.jpg",)),)
    >>> checkup = Checkup("pets", {"cat": {"all": 2}}, found, 0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = Path(folder, "check.html")
    ...     write_page(page, checkup, lambda path: b"")
    ...     "<h1>pets</h1>" in page.read_text("utf-8")
    True

    Args:
        path: the file; one that is there is replaced.
        checkup: what was found.
        read: gives a photo's bytes, from any thread, or raises PhotoError; a photo that cannot be
            shown is told of in its place.

    Raises:
        OutputError: it cannot be written; nothing is left of it then.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it, such as {path / 'check.html'}")
    sections = _sections(checkup)
    photos = dict.fromkeys(photo for section in sections for photo in section.photos())
    base = _base(checkup.findings)

    def named(photo: str) -> str:
        return shown(photo.removeprefix(base) or photo)

    page = template("pawprint.doctor", "page.html.j2").stream(
        base=base,
        checkup=checkup,
        levels={level: sum(s.count for s in sections if s.kind.level == level) for level in Level},
        most=_PHOTOS,
        named=named,
        sections=sections,
        sides=_sides(checkup),
        small=thumbnails(photos, read),
    )
    page.enable_buffering(_BUFFER)
    with written(path) as file:
        page.dump(file, "utf-8", "replace")


def _sections(checkup: Checkup) -> list[_Section]:
    """What is shown, the worst kind first."""
    counted = checkup.counts()
    sections = {name: _Section(kind, counted.get(name, 0)) for name, kind in KINDS.items()}
    for finding in checkup.findings:
        sections[finding.kind].add(finding)
    return [section for section in sections.values() if section.shown]


def _sides(checkup: Checkup) -> list[str]:
    """The sides that any class has photos on, those of a split in their order."""
    sides = dict.fromkeys(side for counts in checkup.photos.values() for side in counts)
    return sorted(sides, key=lambda side: SPLITS.index(side) if side in SPLITS else len(SPLITS))


def _base(findings: Iterable[Finding]) -> str:
    """The folder that all photos lie in, but for the one right above each."""
    # What is not used may lie anywhere, and is not always a path.
    paths = [path for found in findings if found.kind != "not-used" for path in found.paths]
    base = _folder(os.path.commonprefix(paths))  # noqa: RUF071, for it is cut here
    if any(_folder(path) == base for path in paths):
        base = _folder(base[:-1])
    return base


def _folder(path: str) -> str:
    return path[: 1 + max(path.rfind("/"), path.rfind(os.sep))]
