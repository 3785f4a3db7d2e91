"""Every photo's bytes read once and hashed; those of unchanged files not even once.

A file that has not changed since it was read, by its size, place and times, is not read again: its
hash is remembered in the cache. What a photo shows is not known here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pawprint.data.rows import Rows
from pawprint.data.sources import Source, SourcePhoto
from pawprint.errors import EmptyPhoto, PhotoError
from pawprint.parallel import map_chunks
from pawprint.progress import SILENT, Progress

_TOGETHER = 128  # photos a task, so that handing tasks out costs little
# Within this of a change there may be another that leaves the times as they are.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that was left out, and why; or, by `count`, several that are told in one.

    Args:
        path: the file.
        reason: why.
        count: of files.
        kind: of finding, in one word.
    """

    path: str
    reason: str
    count: int = 1
    kind: str = "not-used"

    @classmethod
    def of(cls, error: PhotoError) -> Fault:
        """The fault that an error tells of."""
        return cls(error.path, error.reason, kind=error.kind)


@dataclass(frozen=True, slots=True)
class Read:
    """A photo whose bytes were read and hashed, not yet decoded."""

    photo: SourcePhoto
    sha256: str
    bytes: int


def read_all(
    source: Source,
    *,
    root: Path | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> tuple[list[Read], list[Fault]]:
    """Read and hash every photo of a source.

    Args:
        source: an open source.
        root: the cache folder, where hashes of unchanged files are remembered; None reads all.
        workers: threads; by default one more than cores.
        progress: where to show how it goes.

    Returns:
        What could be read, in the source's order, and what could not, with the reason.
    """
    remembered = _Remembered(source, root, progress)
    known = remembered.reads()
    new = [photo for photo in source.photos if photo.path not in known]

    def read_some(photos: Sequence[SourcePhoto]) -> tuple[list[Read], list[Fault]]:
        good, bad = [], []
        for photo in photos:
            try:
                data = source.read(photo)
                if not data:
                    raise EmptyPhoto(photo.path, "the file is empty (0 bytes)")
                good.append(Read(photo, hashlib.sha256(data).hexdigest(), len(data)))
            except PhotoError as error:
                bad.append(Fault.of(error))
        return good, bad

    found: list[Read] = []
    faults: list[Fault] = []
    if new:
        with progress.step("Reading photos", len(new)) as advance:
            for good, bad in map_chunks(read_some, new, size=_TOGETHER, workers=workers):
                found += good
                faults += bad
                advance(len(good) + len(bad))
        remembered.keep(found)
    if known:
        known |= {read.photo.path: read for read in found}
        found = [known[photo.path] for photo in source.photos if photo.path in known]
    return found, faults


def faults_of(reads: Sequence[Read], wrong: Mapping[str, PhotoError]) -> list[Fault]:
    """The faults of photos, by content hash what is wrong with some of them."""
    return [
        Fault(read.photo.path, wrong[read.sha256].reason, kind=wrong[read.sha256].kind)
        for read in reads
        if read.sha256 in wrong
    ]


def skipped(source: Source) -> list[Fault]:
    """What a source does not use, as faults."""
    return [Fault(skip.path, skip.reason, skip.count, skip.kind) for skip in source.skipped]


class _Remembered:
    """Hashes of files as they were when they were read."""

    def __init__(self, source: Source, root: Path | None, progress: Progress) -> None:
        self._source, self._rows = source, None
        self._names: dict[str, str] = {}
        if root is None or source.place is None:
            return
        fields = [("content", "u1", (32,)), ("bytes", "<u8")]
        self._rows = Rows(root, "reads", {"source": source.place}, fields, progress)
        now = time.time_ns()
        for photo in source.photos:
            stamp = source.stamp(photo)
            if stamp is not None and stamp.changed_ns + _SETTLED_NS < now:
                name = f"{source.relative(photo.path)}\0{stamp.text}"
                digest = hashlib.sha256(name.encode("utf-8", "surrogateescape"))
                self._names[photo.path] = digest.hexdigest()

    def reads(self) -> dict[str, Read]:
        """By path, the photos that need not be read."""
        if self._rows is None:
            return {}
        photos = [photo for photo in self._source.photos if photo.path in self._names]
        names = [self._names[photo.path] for photo in photos]
        held = self._rows.holds(names)
        photos = [photo for photo, there in zip(photos, held, strict=True) if there]
        names = [name for name, there in zip(names, held, strict=True) if there]
        contents, sizes = (self._rows.take(names, field) for field in ("content", "bytes"))
        return {
            photo.path: Read(photo, content.tobytes().hex(), int(size))
            for photo, content, size in zip(photos, contents, sizes, strict=True)
        }

    def keep(self, reads: Sequence[Read]) -> None:
        """Remember what was read, but for what changed only just now."""
        kept = [read for read in reads if read.photo.path in self._names]
        if self._rows is not None and kept:
            contents = [list(bytes.fromhex(read.sha256)) for read in kept]
            self._rows.add(
                [self._names[read.photo.path] for read in kept],
                content=contents,
                bytes=[read.bytes for read in kept],
            )
