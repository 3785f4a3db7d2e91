"""What is a class, a split and a photo in a folder or an archive.

```
photos/cat/*.jpg, photos/dog/*.jpg                      classes
photos/train/cat/*.jpg, photos/validation/cat/*.jpg, …  given splits; `test` as well
data/PetImages/Cat/*.jpg, …                             either, wrapped in single folders
```
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from pawprint.data.archives import LINK, NO_FILE, Limits
from pawprint.data.wording import os_reason, shown
from pawprint.errors import SourceError

_PHOTOS = ".jpg .jpeg .jpe .jfif .png .gif .bmp .dib .webp .tif .tiff .avif .heic .heif"
_JUNK = "thumbs.db ehthumbs.db desktop.ini __macosx @eadir __pycache__ $recycle.bin lost+found"
PHOTO_SUFFIXES = frozenset(_PHOTOS.split())
IGNORED_NAMES = frozenset([*_JUNK.split(), "icon\r", "system volume information"])
SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {"val": "validation", "valid": "validation"} | {name: name for name in SPLITS}
MAX_SKIPPED_OF_A_KIND = 100

_EXPECTED = "expected a folder for each class, as in photos/cat/*.jpg, photos/dog/*.jpg"

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """One photo of a source.

    Args:
        path: its name, unique: on disk, or inside the archive.
        label: its class.
        split: "train", "validation" or "test" where the source gives splits, or None.
        group: what it belongs to, such as one animal's photos, where that was asked for.
    """

    path: str
    label: str
    split: str | None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in a source that is not used.

    Args:
        path: its name, like that of a photo.
        reason: why not, in a few words.
        count: the files that it stands for.
        kind: of finding, in one word.
    """

    path: str
    reason: str
    count: int = 1
    kind: str = "not-used"


Found = tuple[list[SourcePhoto], list[Skipped]]
Join = Callable[[Iterable[str]], str]


@dataclass(slots=True)
class Listing:
    """All that a folder or archive holds, by path parts, without the junk of systems."""

    photos: list[Parts] = field(default_factory=list)
    others: list[Parts] = field(default_factory=list)
    folders: dict[Parts, set[str]] = field(default_factory=lambda: defaultdict(set))
    odd: dict[Parts, str] = field(default_factory=dict)

    def add_file(self, parts: Parts) -> None:
        self.add_folder(parts[:-1])
        is_photo = os.path.splitext(parts[-1])[1].lower() in PHOTO_SUFFIXES
        (self.photos if is_photo else self.others).append(parts)

    def add_folder(self, parts: Parts) -> None:
        while parts and parts[-1] not in self.folders.get(parts[:-1], ()):
            self.folders[parts[:-1]].add(parts[-1])
            parts = parts[:-1]

    def inside(self, base: Parts) -> set[str]:
        return self.folders.get(base, set())


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED_NAMES


def wanted(member: str) -> Parts:
    """Give the parts of a member's name; none for junk."""
    parts = tuple(member.split("/")) if member else ()
    return () if any(map(_ignored, parts)) else parts


def walk_folder(top: str, limits: Limits) -> Listing:
    """List a folder, following links; a link back to a folder it lies in is not followed."""
    listing = Listing()
    count = 0
    todo: list[tuple[Parts, frozenset[tuple[int, int]]]] = [((), frozenset())]
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


def arrange(path: str, listing: Listing, join: Join, group_by: int = 0) -> Found:
    """Give every photo its class and split, and say what is left over.

    With `group_by` photos in the same folders below their class, so many of them, are a group.
    """
    split_of = _find_layout(path, listing)
    depth = max(map(len, split_of))
    photos = []
    left: dict[Parts, str] = {}
    used: set[Parts] = set()
    for parts in sorted(listing.photos):
        if len(parts) > depth + 1 and parts[:depth] in split_of:
            group = "/".join(parts[depth + 1 : -1][:group_by]) or None
            photos.append(SourcePhoto(join(parts), parts[depth], split_of[parts[:depth]], group))
            used.add(parts[: depth + 1])
        else:
            left[parts] = "not in a class folder"
    for folder in split_of:
        for name in listing.inside(folder):
            if (*folder, name) not in used:
                left[*folder, name] = "class folder without photos"
    left |= listing.odd  # rather why a folder cannot be read than that it has no photos
    skipped = capped(left, join) + other_files(path, listing, depth, join)
    if {photo.split for photo in photos} == {"train"}:  # the others hold no class folders
        photos = [replace(photo, split=None) for photo in photos]
    _check_classes(path, photos, skipped, in_splits=None not in split_of.values())
    return photos, skipped


def capped(
    left: Mapping[Parts, str], join: Join, most: int = MAX_SKIPPED_OF_A_KIND
) -> list[Skipped]:
    """List what is left over, and of each kind no more than anyone would read."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for parts, reason in sorted(left.items()):
        kinds[reason].append(join(parts))
    skipped = []
    for reason, paths in sorted(kinds.items()):
        skipped += [Skipped(path, reason) for path in paths[:most]]
        if more := len(paths[most:]):
            skipped.append(Skipped(f"{more:,} more", reason, more))
    return skipped


def other_files(path: str, listing: Listing, depth: int, join: Join) -> list[Skipped]:
    """Count the files that are no photos by their names, for each folder down to a depth."""
    others = Counter(parts[: min(depth + 1, len(parts) - 1)] for parts in listing.others)
    skipped = []
    for folder, count in sorted(others.items()):
        files = f"{count:,} files that are no photos by their names"
        if count == 1:
            files = "1 file that is no photo by its name"
        skipped.append(Skipped(join(folder) or os.path.basename(path), files, count))
    return skipped


def _find_layout(path: str, listing: Listing) -> dict[Parts, str | None]:
    """Go down through single folders to those that hold the classes, each with its split."""
    base: Parts = ()
    while True:
        if splits := _find_splits(path, listing, base):
            return splits
        names = listing.inside(base)
        if len(names) != 1 or not _is_wrapper(listing, inner := (*base, *names)):
            return {base: None}
        base = inner


def _is_wrapper(listing: Listing, folder: Parts) -> bool:
    """Tell a folder around classes from one class: its photos are in folders, but for strays."""
    depth = len(folder)
    within = [parts for parts in listing.photos if parts[:depth] == folder]
    strays = sum(len(parts) == depth + 1 for parts in within)
    return bool(listing.inside(folder)) and 2 * strays <= len(within)


def _find_splits(path: str, listing: Listing, base: Parts) -> dict[Parts, str | None]:
    """Find the folders of splits, if any; "train" may also be a class, among others."""
    names = listing.inside(base)
    found: dict[str, list[Parts]] = defaultdict(list)
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


def check_splits(path: str, photos: Iterable[SourcePhoto], ask: str) -> dict[str | None, set[str]]:
    """Refuse splits whose classes differ, and give the classes of each."""
    classes: dict[str | None, set[str]] = defaultdict(set)
    for photo in photos:
        classes[photo.split].add(photo.label)
    known = classes.get(None) or classes.get("train") or set()
    for split in ("validation", "test"):
        if known and classes.get(split, known) != known:
            train, other = _differing(known, classes[split]), _differing(classes[split], known)
            what = f"train has {train}; {split} has {other}"
            raise SourceError(f"{shown(path)}: {what}; {ask}")
    return classes


def _check_classes(
    path: str, photos: list[SourcePhoto], skipped: list[Skipped], *, in_splits: bool
) -> None:
    """Refuse what cannot be a dataset, saying what was found instead."""
    classes = check_splits(path, photos, "give both the same class folders")
    known = classes.get(None) or classes.get("train") or set()
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
