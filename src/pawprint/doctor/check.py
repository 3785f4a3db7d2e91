"""The whole story of a check: photos in, findings out; nothing is changed."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pawprint.data import exclusions
from pawprint.data.cache import cache_folder
from pawprint.data.copies import Copies, copies_among
from pawprint.data.dataset import settle
from pawprint.data.glance import Glances
from pawprint.data.images import Preprocessing
from pawprint.data.reading import Read, read_all, skipped
from pawprint.data.sources import Source, open_source
from pawprint.data.wording import shown
from pawprint.doctor.examine import examine
from pawprint.doctor.findings import KINDS, Checkup, Finding, Level
from pawprint.doctor.page import write_page
from pawprint.errors import OutputError, SourceError
from pawprint.progress import SILENT, Progress


def check(
    source: str | os.PathLike[str],
    *,
    exclude: str | os.PathLike[str] | None = None,
    group_by: str = "",
    near: bool = True,
    html: str | os.PathLike[str] | None = None,
    quarantine: str | os.PathLike[str] | None = None,
    offline: bool = False,
    cache: bool = True,
    progress: Progress = SILENT,
) -> Checkup:
    """Look at every photo once and tell what is wrong.

    >>> import tempfile
    >>> from pawprint.testing import drawn_photos
    >>> with tempfile.TemporaryDirectory() as place:
    ...     photos = drawn_photos(Path(place, "photos"), 40, faults=True)
    ...     found = check(photos, cache=False)
    >>> found.count, found.counts()["unreadable"], found.counts()["label-conflict"]
    (44, 3, 1)

    Args:
        source: as of `train`.
        exclude: a list of photos to leave out, as `quarantine` is one.
        group_by: as of `open_source`; groups on several given sides are leaks.
        near: look for copies that are not the same bytes, too.
        html: a file for a page with thumbnails; one that is there is replaced.
        quarantine: a file for a list of what is better left out, for `train --exclude`; one that
            is there is replaced.
        offline: download nothing.
        cache: keep what is seen in the user's cache folder, and use what is there.
        progress: where to show how it goes.

    Returns:
        What was found.

    Raises:
        SourceError: the photos cannot be used at all.
        OutputError: a file cannot be written.
    """
    start = time.perf_counter()
    if exclude is not None and quarantine is not None and _same(exclude, quarantine):
        raise OutputError(f"{quarantine} is the list that is read; name another for the new one")
    with open_source(source, group_by=group_by, offline=offline, progress=progress) as opened:
        if exclude is not None:
            exclusions.leave_out(opened, Path(exclude), progress)
        root = cache_folder() if cache else None
        reads, faults = read_all(opened, root=root, progress=progress)
        glances = Glances(root, Preprocessing().size, progress)
        damaged = glances.bring(opened, reads, progress=progress)
        gone = {fault.path for fault in damaged}
        reads = [read for read in reads if read.photo.path not in gone]
        copies = copies_among(opened, reads, glances, near=near, progress=progress)
        faults += [*damaged, *skipped(opened)]
        seen = glances.take([read.sha256 for read in reads])
        findings = (*_refusal(opened, reads, copies), *examine(reads, seen, copies, faults))
        found = Checkup(opened.name, _counted(reads), findings, time.perf_counter() - start)
        if quarantine is not None:
            exclusions.write(Path(quarantine), _quarantined(found, opened.relative))
        if html is not None:
            by_path = {photo.path: photo for photo in opened.photos}
            with progress.step("Writing the page", None):
                write_page(Path(html), found, lambda path: opened.read(by_path[path]))
    return found


def _same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _refusal(source: Source, reads: Sequence[Read], copies: Copies) -> Iterator[Finding]:
    """Why training would refuse the photos, if it would."""
    try:
        settle(source.name, reads, copies.keys(reads))
    except SourceError as error:
        yield Finding("split", str(error))


def _counted(reads: Sequence[Read]) -> dict[str, dict[str, int]]:
    counted: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for read in reads:
        counted[read.photo.label][read.photo.split or "all"] += 1
    return {label: dict(counted[label]) for label in sorted(counted)}


def _quarantined(found: Checkup, relative: Callable[[str], str]) -> Iterator[str]:
    """The lines of a list of what is better left out; what only may be is commented out."""
    yield f"# What `pawprint check` found in {found.source!r}. Nothing was changed or deleted."
    yield "# `pawprint train SOURCE --exclude THIS_FILE` leaves out every path that is a line here."
    yield "# Put a # before a line to keep its photo, or take the # away to leave it out."
    for kind in KINDS.values():
        findings = [one for one in found.findings if one.kind == kind.name and one.paths]
        if not findings or kind.level is Level.NOTE:
            continue
        yield ""
        yield f"# {kind.name}: {kind.title}. {kind.advice}"
        for finding in findings:
            yield from _lines(finding, relative)


def _lines(finding: Finding, relative: Callable[[str], str]) -> Iterator[str]:
    out = [exclusions.as_line(relative(path)) for path in finding.out]
    leaving = set(finding.out)
    kept = [path for path in finding.paths if path not in leaving]
    if len(finding.paths) > 1:
        yield f"#   {shown(finding.detail)}:"
    yield from (f"# {exclusions.as_line(relative(path))}" for path in kept)
    yield from out
