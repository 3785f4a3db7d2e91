"""Findings about classes: sizes that differ much, names that look like no class."""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pawprint.data.reading import Read
from pawprint.doctor.findings import Finding

_TIMES = 10  # as many photos in the largest class as in a small one
_FEW = 300  # names

# Folders that hold something else than one class; "other" and "unknown" may well be classes.
_NO_CLASS = (
    "annotations backup backups data dataset duplicates images image img imgs jpegimages labels "
    "masks misc miscellaneous new old output photo photos picture pictures raw results sample "
    "samples temp test testing thumbnails thumbs tmp train training trash unsorted untitled val "
    "valid validation"
)
_COPY = re.compile(r"(?i)(^copy of |[ _-]+(copy|kopie|copie)( ?\(?\d+\)?)?$| ?\(\d+\)$)")
_NEW = re.compile(r"(?i)^(new|untitled) ?folder|^neuer ordner|^nouveau dossier|^nueva carpeta")


def examine_classes(reads: Sequence[Read]) -> Iterator[Finding]:
    """Find what is odd about the classes.

    Args:
        reads: the photos that can be used.
    """
    counted = Counter(read.photo.label for read in reads)
    yield from _imbalance(counted)
    names = sorted(counted)
    for name in names:
        if why := _suspicion(name):
            yield Finding("class-name", f"{name!r} {why} ({counted[name]:,} photos)")
    if len(names) <= _FEW:  # else each with each would take long
        for name, other in itertools.combinations(names, 2):
            if why := _likeness(name, other):
                sizes = f"{counted[name]:,} and {counted[other]:,} photos"
                yield Finding("class-name", f"{name!r} and {other!r} {why} ({sizes})")


def _imbalance(counted: Mapping[str, int]) -> Iterator[Finding]:
    if not counted:
        return
    largest = max(counted, key=lambda name: counted[name])
    for name, count in sorted(counted.items()):
        if counted[largest] >= _TIMES * count:
            photos = f"{count:,} photo" + "s" * (count != 1)
            detail = f"{name!r} has {photos}, and {largest!r} has {counted[largest]:,}"
            yield Finding("imbalance", detail)


def _suspicion(name: str) -> str:
    """Why a name may be no class's; nothing where it may.

    >>> _suspicion("New folder (2)"), _suspicion("cat")
    ('is what a new folder is called', '')
    """
    if name != name.strip():
        return "begins or ends with a space"
    if _NEW.search(name):
        return "is what a new folder is called"
    if _COPY.search(name):
        return "is what a copied folder is called"
    if name.casefold() in _NO_CLASS.split():
        return "is no name of a class"
    return ""


def _likeness(name: str, other: str) -> str:
    """Why two names may mean one class; nothing where they do not.

    >>> _likeness("cat", "Cats"), _likeness("cat 1", "cat 2"), _likeness("daisy", "daisys-")
    ('may be one class', '', 'may be one class')
    """
    ours, theirs = _plain(name), _plain(other)
    if ours == theirs:
        return "may be one class"
    if re.sub(r"\D", "", name) != re.sub(r"\D", "", other) or min(len(ours), len(theirs)) < 5:
        return ""
    near = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    if near.real_quick_ratio() >= 0.9 and near.ratio() >= 0.9:
        return "differ by little"
    return ""


def _plain(name: str) -> str:
    """A name without what people spell in several ways: case, spaces, plural."""
    plain = re.sub(r"[\s_.-]+", "", name.casefold())
    return plain.removesuffix("s") if len(plain) > 3 else plain
