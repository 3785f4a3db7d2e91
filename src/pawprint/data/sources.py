"""Where photos come from, whatever a person calls it, as one kind of Source.

```
photos/, photos.zip, photos.tar.gz     class folders, as `layout.py` finds them
photos.csv, photos.jsonl               a path and a label a line: `tables.py`
cats_vs_dogs, cats_vs_dogs:FILE        a dataset known by name, or a local copy: `catalogue.py`
https://host/photos.zip                an archive, downloaded once: `download.py`
tfds:NAME, tfds:NAME:SPLIT             of tensorflow-datasets, exported once: `tfds.py`
```
"""

import difflib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from pawprint.data import layout, tables, tfds
from pawprint.data.archives import NO_FILE, Archive, Limits, open_archive
from pawprint.data.catalogue import CATALOGUE, Named
from pawprint.data.download import downloads_folder, fetch, is_address
from pawprint.data.layout import MAX_SKIPPED_OF_A_KIND, Found, Listing, Skipped, SourcePhoto
from pawprint.data.wording import os_reason, shown
from pawprint.errors import ArchiveError, PhotoError, SourceError
from pawprint.progress import SILENT, Progress

__all__ = ["MAX_SKIPPED_OF_A_KIND", "Skipped", "Source", "SourcePhoto", "open_source"]

_SCHEME = re.compile("[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_GIVE = "give a folder or archive of photos that is there"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file that was not changed still has.

    Args:
        text: its place, size and times.
        changed_ns: when it was last changed, nanoseconds since the epoch.
    """

    text: str
    changed_ns: int


def _stamp(found: os.stat_result) -> Stamp:
    changed = max(found.st_mtime_ns, found.st_ctime_ns)
    parts = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return Stamp(":".join(map(str, parts)), changed)


class Source:
    """The photos of a folder, archive or table; a context manager, made by `open_source`.

    It has a short `name`, all `photos` sorted by path, their sorted `classes`, and in `skipped`
    what is not used though the user may think it is. `place` is where it lies, in full.
    """

    def __init__(
        self,
        name: str,
        found: Found,
        read: Callable[[str], bytes],
        close: Callable[[], None],
        *,
        place: str | None = None,
        folder: str = "",
        archive: os.stat_result | None = None,
    ) -> None:
        self.name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.photos = tuple(sorted(found[0], key=lambda photo: photo.path))
        self.classes = tuple(sorted({photo.label for photo in self.photos}))
        self.skipped = tuple(found[1])
        self.place = None if place is None else os.path.abspath(place)
        self._read = read
        self._close = close
        self._here = os.path.abspath(os.curdir)
        self._inside = os.path.join(folder, "") if folder else ""
        self._of_archive = None if archive is None else _stamp(archive)

    def relative(self, path: str) -> str:
        """A photo's path as seen from the source's folder, with `/`: the same wherever that lies.

        Args:
            path: of one of `photos`.
        """
        inside = path.removeprefix(self._inside)
        if os.path.isabs(inside) and self._of_archive is None:  # as a table may name it
            folder = os.path.join(os.path.abspath(os.path.join(self._here, self._inside)), "")
            inside = os.path.abspath(inside).removeprefix(folder)
        return inside.replace(os.sep, "/")

    def leave_out(self, paths: Collection[str], reason: str) -> None:
        """Skip some photos.

        Args:
            paths: of some of `photos`.
            reason: why, in a few words.
        """
        stay = [photo for photo in self.photos if photo.path not in paths]
        self.skipped += tuple(Skipped(path, reason, kind="excluded") for path in sorted(paths))
        self.photos, self.classes = tuple(stay), tuple(sorted({photo.label for photo in stay}))

    def relabel(self, labels: Mapping[str, str]) -> None:
        """Give some photos another label.

        Args:
            labels: by path, of some of `photos`.
        """
        self.photos = tuple(
            replace(photo, label=labels[photo.path]) if photo.path in labels else photo
            for photo in self.photos
        )
        self.classes = tuple(sorted({photo.label for photo in self.photos}))

    def stamp(self, photo: SourcePhoto) -> Stamp | None:
        """What tells whether a photo was changed, without reading it; None where nothing does."""
        if self._of_archive is not None:
            return self._of_archive
        try:
            return _stamp(os.stat(os.path.join(self._here, photo.path)))
        except OSError:
            return None

    def read(self, photo: SourcePhoto) -> bytes:
        """Read one photo's bytes, undecoded, from any thread.

        Args:
            photo: one of `photos`.

        Returns:
            The bytes; none at all for an empty file.

        Raises:
            PhotoError: the file is gone, not permitted, damaged in the archive or over the cap.
        """
        return self._read(photo.path)

    def close(self) -> None:
        """Let go of the archive; the photos cannot be read afterwards."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_source(
    location: str | os.PathLike[str],
    limits: Limits | None = None,
    *,
    group_by: str = "",
    offline: bool = False,
    progress: Progress = SILENT,
) -> Source:
    """Find the photos and classes of whatever holds photos.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         photo = pathlib.Path(folder, "photos", name, "1.jpg")
    ...         photo.parent.mkdir(parents=True)
    ...         size = photo.write_bytes(b"a photo")
    ...     with open_source(folder) as source:
    ...         source.classes, source.read(source.photos[0])
    (('cat', 'dog'), b'a photo')

    Args:
        location: a folder; a .zip, .tar, .tar.gz or .tgz archive; a .csv or .jsonl table; the
            https address of an archive; a dataset's name, or `NAME:FILE` for a local copy of it;
            or `tfds:NAME[:SPLIT]`. What is on disk under that very name goes first.
        limits: the caps; ample ones when not given.
        group_by: `folder` makes a group of the photos in each folder below a class's, `folder:2`
            goes two folders deep; of a table, a column. A split keeps groups whole.
        offline: download nothing.
        progress: where to show downloads, and to say what is out of the ordinary.

    Returns:
        The open source; a context manager.

    Raises:
        SourceError: nothing is there, or it holds no two classes of photos.
        ArchiveError: the archive is damaged, encrypted or not safe to read.
        DownloadError: it has to be downloaded, and that cannot be done.
        MissingExtra: it needs tensorflow-datasets, which is not installed.
    """
    path = os.fspath(location)
    source = _open(path, limits or Limits(), group_by, offline, progress)
    if group_by and not any(photo.group for photo in source.photos):
        source.close()
        raise SourceError(
            f"{shown(path)} has no groups by {shown(group_by)!r}: no photo lies in a folder below "
            "its class's, or none has a value in that column"
        )
    return source


def _open(path: str, limits: Limits, group_by: str, offline: bool, progress: Progress) -> Source:
    if not os.path.lexists(path):
        name, colon, rest = path.partition(":")
        if is_address(path):
            return _open_address(path, limits, group_by, offline, progress)
        if colon and name == "tfds":
            exported = os.fspath(tfds.export(rest, offline=offline, progress=progress))
            archive = open_archive(exported, limits)
            return _open_archive(archive, path, group_by, name=_stem(exported))
        if name in CATALOGUE and (rest or not colon):
            return _open_named(CATALOGUE[name], rest, limits, offline, progress)
    elif path in CATALOGUE:
        progress.say(f"{path} here is used, not the dataset of that name")
    return _open_local(path, limits, group_by)


def _open_address(
    url: str, limits: Limits, group_by: str, offline: bool, progress: Progress
) -> Source:
    url = re.sub("^(https?):/+", r"\1://", url)  # a pathlib.Path has made one slash of two
    path = fetch(url, downloads_folder(), offline=offline, progress=progress)
    try:
        archive = open_archive(os.fspath(path), limits)
    except SourceError as error:
        if isinstance(error, ArchiveError) or not isinstance(error.__cause__, OSError):
            path.unlink(missing_ok=True)  # the next try is to download it again
        raise type(error)(f"what {shown(url)} gave: {error}") from error
    return _open_archive(archive, url, group_by, name=_stem(os.fspath(path)))


def _open_named(
    named: Named, copy: str, limits: Limits, offline: bool, progress: Progress
) -> Source:
    path = copy
    if not copy:
        path = os.fspath(named.fetch(offline=offline, progress=progress))
    elif os.path.exists(copy) and (difference := named.difference(copy)):
        progress.say(f"{shown(copy)} {difference}; it is used all the same")
    try:
        source = _open_local(path, limits, "", named)
    except ArchiveError:
        if not copy:
            os.unlink(path)  # the next try is to download it again
        raise
    if told := named.told((list(source.photos), list(source.skipped)), official=not copy):
        progress.say(told)
    return source


def _open_local(path: str, limits: Limits, group_by: str, named: Named | None = None) -> Source:
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError) as error:  # ValueError: a NUL
        raise _missing(path, error) from error
    if is_folder:
        return _open_folder(path, limits, group_by, named)
    if not os.path.isfile(path):
        raise SourceError(f"{shown(path)} {NO_FILE}; give a folder or archive of photos")
    if named is None and path.lower().endswith(tables.SUFFIXES):
        read = partial(_read_file, os.path.abspath(os.curdir), limits.photo_bytes)
        found = tables.read_table(path, limits, group_by)
        folder = os.path.dirname(path)
        return Source(_stem(path), found, read, lambda: None, place=path, folder=folder)
    return _open_archive(open_archive(path, limits), path, group_by, named)


def _open_archive(
    archive: Archive[Any],
    path: str,
    group_by: str,
    named: Named | None = None,
    name: str | None = None,
) -> Source:
    """Find the photos of an archive, which the user knows as `path`."""
    listing = Listing()
    for file in archive.files:
        if parts := layout.wanted(file):
            listing.add_file(parts)
    for folder in archive.folders:
        listing.add_folder(layout.wanted(folder))
    for odd, reason in archive.odd.items():
        if parts := layout.wanted(odd):
            listing.odd[parts] = reason
    try:
        if named is None:
            found = layout.arrange(path, listing, "/".join, _depth(path, group_by))
        else:
            found = named.arrange(path, "", listing, "/".join, archive.read)
    except BaseException:
        archive.close()
        raise
    name = name or (named.name if named else _stem(path))
    place, status = archive.path, archive.status
    return Source(name, found, archive.read, archive.close, place=place, archive=status)


def _depth(path: str, group_by: str) -> int:
    """How many folders below a class's make a group's name."""
    match = re.fullmatch(r"folder(?::([1-9]))?", group_by.strip().lower())
    if group_by and match is None:
        raise SourceError(
            f"{shown(path)} cannot be grouped by {shown(group_by)!r}: expected folder or folder:2 "
            "(a column's name is for a .csv or .jsonl)"
        )
    return int(match[1] or 1) if match else 0


def _stem(path: str) -> str:
    return re.sub(r"(?i)(?<=.)(\.tar)?\.\w+$", "", os.path.basename(os.path.abspath(path)))


def _missing(path: str, error: OSError | ValueError) -> SourceError:
    if _SCHEME.match(path):
        what = f"{shown(path)} is an address of a kind that is not read; expected https://"
        return SourceError(f"{what}, or download it yourself and give the folder or archive")
    why = "does not exist"
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | NotADirectoryError):
        why = f"cannot be read ({os_reason(error)})"
    near = difflib.get_close_matches(path.partition(":")[0], CATALOGUE, 1, 0.8)
    hint = f", or a dataset's name (did you mean {near[0]}?)" if near else ""
    return SourceError(f"'{shown(path)}' {why}; {_GIVE}{hint}")


def _open_folder(path: str, limits: Limits, group_by: str, named: Named | None) -> Source:
    listing = layout.walk_folder(path, limits)
    # Photos stay readable when the process goes elsewhere.
    read = partial(_read_file, os.path.abspath(os.curdir), limits.photo_bytes)

    def join(parts: Iterable[str]) -> str:
        return os.path.join(path, *parts)

    name = os.path.basename(os.path.abspath(path))
    if named is None:
        found = layout.arrange(path, listing, join, _depth(path, group_by))
    else:
        found = named.arrange(path, name, listing, join, read)
        name = named.name
    return Source(name or "photos", found, read, lambda: None, place=path, folder=path)


def _read_file(here: str, cap: int, path: str, count: int | None = None) -> bytes:
    """Read a photo, or only so many bytes of its beginning."""
    try:
        with open(os.path.join(here, path), "rb") as file:
            if count is not None:
                return file.read(count)
            size = os.fstat(file.fileno()).st_size
            if size > cap:
                raise PhotoError(path, f"has {size:,} bytes, more than the cap of {cap:,}")
            return file.read(size)
    except OSError as error:
        raise PhotoError(path, f"cannot be read ({os_reason(error)})") from error
