"""Datasets that are known by name: where they are had, what is taken of them, what is not.

A named dataset is taken by the names its files have, wherever its folder lies in the archive or
the unpacked copy, so that nothing else in it becomes a photo.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pawprint.data.download import downloaded, downloads_folder, fetch
from pawprint.data.layout import Found, Join, Listing, SourcePhoto, capped, other_files
from pawprint.data.wording import os_reason, shown
from pawprint.errors import PhotoError, SourceError
from pawprint.progress import SILENT, Progress

Head = Callable[[str, int], bytes]

# What `peek` of a file in a zip looks at, however few bytes it is asked for.
_PEEKED = 512
_NO_MARKER = "no JFIF marker in its first 512 bytes"


@dataclass(frozen=True)
class Named:
    """A dataset known by name.

    Args:
        name: what it is asked for by.
        about: what it holds, in a line.
        url: of its official archive.
        size: of the archive, in bytes.
        sha256: of the archive, or None where nobody has registered one.
        photos: how many are taken of the official archive.
        pattern: of the last three parts of a photo's path, with groups `label` and maybe `split`.
        groups: the folders that must hold photos.
        jfif: whether photos without a JFIF marker are left out.
    """

    name: str
    about: str
    url: str
    size: int
    sha256: str | None
    photos: int
    pattern: str
    groups: tuple[str, ...]
    jfif: bool = False

    def here(self) -> Path | None:
        """Where its archive is, once it was downloaded."""
        return downloaded(self.url, downloads_folder(), self.size)

    def fetch(self, *, offline: bool = False, progress: Progress = SILENT) -> Path:
        """Download its archive, or find it where it is kept."""
        return fetch(
            self.url,
            downloads_folder(),
            size=self.size,
            sha256=self.sha256,
            offline=offline,
            progress=progress,
        )

    def arrange(self, path: str, root: str, listing: Listing, join: Join, head: Head) -> Found:
        """Give every photo its class and split, and say what is left over.

        Args:
            path: what the user gave, for messages.
            root: the name of the folder itself; nothing for an archive.
            listing: all that is there.
            join: makes a photo's name of its parts.
            head: gives so many first bytes of a photo.

        Returns:
            The photos, and everything that is not used, one by one.

        Raises:
            SourceError: a folder that it must have is missing or holds no photos of it.
        """
        photos, left = [], dict(listing.odd)
        found: set[str] = set()
        taken: set[str] = set()
        for parts in listing.photos:
            tail = (root, *parts)[-3:]
            match = re.fullmatch(self.pattern, "/".join(tail))
            if match is None:
                left[parts] = f"not named like a photo of {self.name}"
                continue
            found.add("/".join(tail[:2]))
            if self.jfif and (fault := _without_marker(join(parts), head)):
                left[parts] = fault
                continue
            taken.add("/".join(tail[:2]))
            split = match.groupdict().get("split")
            photos.append(SourcePhoto(join(parts), match["label"].lower(), split))
        if missing := [group for group in self.groups if group not in found]:
            raise SourceError(
                f"{shown(path)} is no copy of {self.name}: it has no photos in "
                f"{', '.join(missing)}; expected photos in {', '.join(self.groups)} (to use it as "
                f"it is, give it without '{self.name}:')"
            )
        if found != taken:
            gone = f"every photo in {', '.join(sorted(found - taken))} is left out"
            raise SourceError(
                f"{shown(path)}: {gone} ({', '.join(sorted(set(left.values()))[:3])})"
            )
        depth = max(len(parts) for parts in listing.photos) - 1
        return photos, capped(left, join, len(left)) + other_files(path, listing, depth, join)

    def difference(self, path: str) -> str:
        """Say why a local copy is not the official archive; nothing when it is."""
        try:
            if os.path.isdir(path):
                return (
                    f"is a folder, which cannot be held against the official archive of {self.name}"
                )
            size = os.path.getsize(path)
            if size != self.size:
                return f"has {size:,} bytes, and the official archive of {self.name} {self.size:,}"
            if self.sha256 is not None:
                with open(path, "rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != self.sha256:
                        return f"has not the SHA-256 of the official archive of {self.name}"
        except OSError as error:
            raise SourceError(f"{shown(path)} cannot be read ({os_reason(error)})") from error
        return ""

    def told(self, found: Found, *, official: bool) -> str:
        """What to tell of the photos that its rule leaves out; nothing when there are none."""
        photos, skipped = found
        left = sum(skip.count for skip in skipped if skip.reason == _NO_MARKER)
        odd = official and len(photos) != self.photos
        if not left and not odd:
            return ""
        told = f"{self.name}: {len(photos):,} photos taken, {left:,} left out ({_NO_MARKER})"
        return f"{told}; {self.photos:,} were expected of the official archive" if odd else told


def _without_marker(photo: str, head: Head) -> str:
    """Say why a photo is left out as TensorFlow Datasets does it; nothing when it is taken.

    That asks for ten bytes of what `zipfile` opens, which gives 512 however few are asked for. So
    a marker behind a short EXIF header counts, and one behind a long header does not.
    """
    try:
        return "" if b"JFIF" in head(photo, _PEEKED) else _NO_MARKER
    except PhotoError as error:
        return error.reason


CATS_VS_DOGS = Named(
    name="cats_vs_dogs",
    about="cats and dogs of all sizes, from the Asirra captcha (Microsoft)",
    # Address, size and SHA-256 as TensorFlow Datasets 4.9 registers them for version 4.0.1.
    url="https://download.microsoft.com/download/3/E/1/"
    "3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
    size=824_887_076,
    sha256="b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
    photos=23_262,
    pattern=r"PetImages/(?P<label>Cat|Dog)/\d+\.jpg",
    groups=("PetImages/Cat", "PetImages/Dog"),
    jfif=True,
)

CATS_AND_DOGS_FILTERED = Named(
    name="cats_and_dogs_filtered",
    about="2,000 cats and dogs to train on and 1,000 to validate on (Google)",
    url="https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip",
    # As the server announces it; nobody has registered a hash. Each photo has its checksum.
    size=68_606_236,
    sha256=None,
    photos=3_000,
    pattern=r"(?P<split>train|validation)/(?P<label>cats|dogs)/(cat|dog)\.\d+\.jpg",
    groups=("train/cats", "train/dogs", "validation/cats", "validation/dogs"),
)

CATALOGUE = {named.name: named for named in (CATS_VS_DOGS, CATS_AND_DOGS_FILTERED)}


def find(name: str) -> Named:
    """Find a dataset by its name.

    >>> find("cats_vs_dogs").photos
    23262

    Args:
        name: as it is listed.

    Raises:
        SourceError: there is none of that name.
    """
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        known = ", ".join(CATALOGUE)
        raise SourceError(f"there is no dataset {shown(name)!r} here; known: {known}{hint}")
    return CATALOGUE[name]
