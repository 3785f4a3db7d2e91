"""Where photos come from: what is a class, a split and a photo in a folder or an archive.

```
photos/cat/*.jpg, photos/dog/*.jpg                      classes
photos/train/cat/*.jpg, photos/validation/cat/*.jpg, …  given splits; `test` as well
data/PetImages/Cat/*.jpg, …                             either, wrapped in single folders
```
"""

import os
import re
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

from pawprint.data.archives import LINK, NO_FILE, Limits, open_archive, os_reason, shown
from pawprint.errors import PhotoError, SourceError

_PHOTOS = ".jpg .jpeg .jpe .jfif .png .gif .bmp .dib .webp .tif .tiff .avif .heic .heif"
_JUNK = "thumbs.db ehthumbs.db desktop.ini __macosx @eadir __pycache__ $recycle.bin lost+found"
PHOTO_SUFFIXES = frozenset(_PHOTOS.split())
IGNORED_NAMES = frozenset([*_JUNK.split(), "icon\r", "system volume information"])
SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {"val": "validation", "valid": "validation"} | {name: name for name in SPLITS}
MAX_SKIPPED_OF_A_KIND = 100

_EXPECTED = "expected a folder for each class, as in photos/cat/*.jpg, photos/dog/*.jpg"
_URL = re.compile("[a-z][a-z0-9+.-]+:/", re.IGNORECASE)

_Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """One photo of a source.

    Args:
        path: its name, unique: on disk, or inside the archive.
        label: its class.
        split: "train", "validation" or "test" where the source gives splits, or None.
    """

    path: str
    label: str
    split: str | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in a source that is not used.

    Args:
        path: its name, like that of a photo.
        reason: why not, in a few words.
    """

    path: str
    reason: str


_Found = tuple[list[SourcePhoto], list[Skipped]]


class Source:
    """The photos of a folder or archive; a context manager, made by `open_source`.

    It has a short `name`, all `photos` sorted by path, their sorted `classes`, and in `skipped`
    what is not used though the user may think it is.
    """

    def __init__(
        self, name: str, found: _Found, read: Callable[[str], bytes], close: Callable[[], None]
    ) -> None:
        self.name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.photos = tuple(sorted(found[0], key=lambda photo: photo.path))
        self.classes = tuple(sorted({photo.label for photo in self.photos}))
        self.skipped = tuple(found[1])
        self._read = read
        self._close = close

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


@dataclass(slots=True)
class _Listing:
    """All that a folder or archive holds, by path parts, without the junk of systems."""

    photos: list[_Parts] = field(default_factory=list)
    others: list[_Parts] = field(default_factory=list)
    folders: dict[_Parts, set[str]] = field(default_factory=lambda: defaultdict(set))
    odd: dict[_Parts, str] = field(default_factory=dict)

    def add_file(self, parts: _Parts) -> None:
        self.add_folder(parts[:-1])
        is_photo = os.path.splitext(parts[-1])[1].lower() in PHOTO_SUFFIXES
        (self.photos if is_photo else self.others).append(parts)

    def add_folder(self, parts: _Parts) -> None:
        while parts and parts[-1] not in self.folders.get(parts[:-1], ()):
            self.folders[parts[:-1]].add(parts[-1])
            parts = parts[:-1]

    def inside(self, base: _Parts) -> set[str]:
        return self.folders.get(base, set())


def open_source(location: str | os.PathLike[str], limits: Limits | None = None) -> Source:
    """Find the photos and classes of a folder or a .zip, .tar, .tar.gz or .tgz archive.

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
        location: the folder or archive.
        limits: the caps; ample ones when not given.

    Returns:
        The open source; a context manager.

    Raises:
        SourceError: nothing is there, or it holds no two classes of photos.
        ArchiveError: the archive is damaged, encrypted or not safe to read.
    """
    path = os.fspath(location)
    limits = limits or Limits()
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError) as error:  # ValueError: a NUL
        raise _missing(path, error) from error
    name = os.path.basename(os.path.abspath(path))
    if is_folder:
        return _open_folder(path, name, limits)
    if not os.path.isfile(path):
        raise SourceError(f"{shown(path)} {NO_FILE}; give a folder or archive of photos")
    return _open_archive(path, name, limits)


def _open_archive(path: str, name: str, limits: Limits) -> Source:
    archive = open_archive(path, limits)
    listing = _Listing()
    for file in archive.files:
        if parts := _wanted(file):
            listing.add_file(parts)
    for folder in archive.folders:
        listing.add_folder(_wanted(folder))
    for odd, reason in archive.odd.items():
        if parts := _wanted(odd):
            listing.odd[parts] = reason
    try:
        found = _arrange(path, listing, "/".join)
    except BaseException:
        archive.close()
        raise
    stem = re.sub(r"(?i)(?<=.)(\.tar)?\.\w+$", "", name)
    return Source(stem, found, archive.read, archive.close)


def _missing(path: str, error: OSError | ValueError) -> SourceError:
    if _URL.match(path):
        what = f"{shown(path)} is an address, and downloads are not supported yet"
        return SourceError(f"{what}; download it yourself and give the folder or archive")
    why = "does not exist"
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | NotADirectoryError):
        why = f"cannot be read ({os_reason(error)})"
    return SourceError(f"'{shown(path)}' {why}; give a folder or archive of photos that is there")


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED_NAMES


def _wanted(member: str) -> _Parts:
    """Give the parts of a member's name; none for junk."""
    parts = tuple(member.split("/")) if member else ()
    return () if any(map(_ignored, parts)) else parts


def _open_folder(path: str, name: str, limits: Limits) -> Source:
    listing = walk_folder(path, limits)
    here = os.path.abspath(os.curdir)  # photos stay readable when the process goes elsewhere

    def join(parts: Iterable[str]) -> str:
        return os.path.join(path, *parts)

    def read(photo: str) -> bytes:
        return _read_file(photo, os.path.join(here, photo), limits.photo_bytes)

    return Source(name or "photos", _arrange(path, listing, join), read, lambda: None)


def _read_file(path: str, place: str, cap: int) -> bytes:
    try:
        with open(place, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > cap:
                raise PhotoError(path, f"has {size:,} bytes, more than the cap of {cap:,}")
            return file.read(size)
    except OSError as error:
        raise PhotoError(path, f"cannot be read ({os_reason(error)})") from error


def walk_folder(top: str, limits: Limits) -> _Listing:
    """List a folder, following links; a link back to a folder it lies in is not followed."""
    listing = _Listing()
    count = 0
    todo: list[tuple[_Parts, frozenset[tuple[int, int]]]] = [((), frozenset())]
    while todo:
        parts, above = todo.pop()
        folder = os.path.join(top, *parts)
        try:
            status = os.stat(folder)
            with os.scandir(folder) as scan:
                entries = [entry for entry in scan if not _ignored(entry.name)]
        except OSError as error:
            if not parts:
                raise SourceError(f"{shown(top)} cannot be read ({os_reason(error)})") from error
            listing.add_folder(parts)
            listing.odd[parts] = f"folder cannot be read ({os_reason(error)})"
            continue
        if (count := count + len(entries)) > limits.members:
            too_many = f"more than {limits.members:,} files and folders, the cap"
            raise SourceError(f"{shown(top)} holds {too_many}; give a folder of photos only")
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            listing.odd[parts] = "is a link back to a folder that it is in"
            continue
        listing.add_folder(parts)
        for entry in entries:
            inner = (*parts, entry.name)
            kind = _kind(entry)
            if kind == "file":
                listing.add_file(inner)
            elif kind == "folder" and len(inner) <= limits.depth:
                todo.append((inner, above | {identity}))
            else:
                deep = f"is over {limits.depth} folders deep"
                listing.odd[inner] = deep if kind == "folder" else kind
    return listing


def _kind(entry: os.DirEntry[str]) -> str:
    """Tell "file", "folder" or the reason why it is neither; asks the disk about links only."""
    try:
        if entry.is_dir():
            return "folder"
        dead = f"{LINK} that leads nowhere" if entry.is_symlink() else NO_FILE
        return "file" if entry.is_file() else dead
    except OSError as error:
        return f"{LINK} that cannot be followed ({os_reason(error)})"


def _arrange(path: str, listing: _Listing, join: Callable[[Iterable[str]], str]) -> _Found:
    """Give every photo its class and split, and say what is left over."""
    split_of = _find_layout(path, listing)
    depth = max(map(len, split_of))
    photos = []
    left: dict[_Parts, str] = {}
    used: set[_Parts] = set()
    for parts in sorted(listing.photos):
        if len(parts) > depth + 1 and parts[:depth] in split_of:
            photos.append(SourcePhoto(join(parts), parts[depth], split_of[parts[:depth]]))
            used.add(parts[: depth + 1])
        else:
            left[parts] = "not in a class folder"
    for folder in split_of:
        for name in listing.inside(folder):
            if (*folder, name) not in used:
                left[*folder, name] = "class folder without photos"
    left |= listing.odd  # rather why a folder cannot be read than that it has no photos
    others = Counter(parts[: min(depth + 1, len(parts) - 1)] for parts in listing.others)
    skipped = _capped(left, join)
    for folder, count in sorted(others.items()):
        files = f"{count:,} files that are no photos by their names"
        if count == 1:
            files = "1 file that is no photo by its name"
        skipped.append(Skipped(join(folder) or os.path.basename(path), files))
    if {photo.split for photo in photos} == {"train"}:  # the others hold no class folders
        photos = [SourcePhoto(photo.path, photo.label, None) for photo in photos]
    _check_classes(path, photos, skipped, in_splits=None not in split_of.values())
    return photos, skipped


def _capped(left: dict[_Parts, str], join: Callable[[Iterable[str]], str]) -> list[Skipped]:
    """List what is left over, and of each kind no more than anyone would read."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for parts, reason in sorted(left.items()):
        kinds[reason].append(join(parts))
    skipped = []
    for reason, paths in sorted(kinds.items()):
        skipped += [Skipped(path, reason) for path in paths[:MAX_SKIPPED_OF_A_KIND]]
        if more := len(paths[MAX_SKIPPED_OF_A_KIND:]):
            skipped.append(Skipped(f"{more:,} more", reason))
    return skipped


def _find_layout(path: str, listing: _Listing) -> dict[_Parts, str | None]:
    """Go down through single folders to those that hold the classes, each with its split."""
    base: _Parts = ()
    while True:
        if splits := _find_splits(path, listing, base):
            return splits
        names = listing.inside(base)
        if len(names) != 1 or not _is_wrapper(listing, inner := (*base, *names)):
            return {base: None}
        base = inner


def _is_wrapper(listing: _Listing, folder: _Parts) -> bool:
    """Tell a folder around classes from one class: its photos are in folders, but for strays."""
    depth = len(folder)
    within = [parts for parts in listing.photos if parts[:depth] == folder]
    strays = sum(len(parts) == depth + 1 for parts in within)
    return bool(listing.inside(folder)) and 2 * strays <= len(within)


def _find_splits(path: str, listing: _Listing, base: _Parts) -> dict[_Parts, str | None]:
    """Find the folders of splits, if any; "train" may also be a class, among others."""
    names = listing.inside(base)
    found: dict[str, list[_Parts]] = defaultdict(list)
    for name in sorted(names):
        if split := SPLIT_NAMES.get(name.lower()):
            found[split].append((*base, name))
    if "train" not in found or len(found) == 1:
        return {}
    nested = [split for split, same in found.items() if any(map(listing.inside, same))]
    if sum(map(len, found.values())) < len(names) and not ("train" in nested and len(nested) > 1):
        return {}
    for split, same in found.items():
        if len(same) > 1:
            both = " and ".join(shown(folder[-1]) for folder in same)
            raise SourceError(f"{shown(path)} has several folders for {split}: {both}; keep one")
    return {same[0]: split for split, same in found.items()}


def _check_classes(
    path: str, photos: list[SourcePhoto], skipped: list[Skipped], *, in_splits: bool
) -> None:
    """Refuse what cannot be a dataset, saying what was found instead."""
    classes: dict[str | None, set[str]] = defaultdict(set)
    for photo in photos:
        classes[photo.split].add(photo.label)
    known = classes.get(None) or classes.get("train") or set()
    for split in ("validation", "test"):
        if known and classes.get(split, known) != known:
            train, other = _differing(known, classes[split]), _differing(classes[split], known)
            what = f"train has {train}; {split} has {other}"
            raise SourceError(f"{shown(path)}: {what}; give both the same class folders")
    if len(known) > 1:
        return
    if known:
        one = f"'{shown(min(known))}' (photos: {len(photos):,})"
        found = f"holds one class, {one}, and two are needed"
    elif in_splits:
        found = "holds no photos in class folders in its train folder"
    elif skipped:
        found = "holds no photos in class folders"
    else:
        found = "is empty"
    also = ", ".join(f"{shown(item.path)}: {item.reason}" for item in skipped[:2])
    also = also and f" (not used: {also})"
    raise SourceError(f"{shown(path)} {found}; {_EXPECTED}{also}")


def _differing(classes: set[str], others: set[str]) -> str:
    """List classes, first those that the others lack, and no more than one can read."""
    names = [shown(name) for name in (*sorted(classes - others), *sorted(classes & others))]
    more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
