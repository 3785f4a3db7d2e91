"""What can be wrong with photos, in words: how bad it is and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pawprint.errors import SourceError


class Level(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # the file cannot be used, or the figures would be wrong
    WARNING = "warning"  # likely to do harm: look at it
    NOTE = "note"  # dealt with, and good to know


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Args:
        name: for `--fail-on` and JSON.
        level: how bad it is.
        title: what it is, in a few words.
        advice: what to do, in a sentence.
    """

    name: str
    level: Level
    title: str
    advice: str


_KINDS = (
    Kind(
        "unreadable",
        Level.ERROR,
        "cannot be decoded",
        "The file breaks off or is damaged, and is left out: get it again from where it came from, "
        "or delete it.",
    ),
    Kind("empty", Level.ERROR, "empty files", "Left out: copy the file again, or delete it."),
    Kind(
        "not-an-image",
        Level.ERROR,
        "not images",
        "Left out: something else has the name of a photo. Convert it to JPEG or PNG, or delete "
        "it.",
    ),
    Kind("too-large", Level.ERROR, "too many pixels", "Left out: save it smaller."),
    Kind(
        "split",
        Level.ERROR,
        "cannot be trained on",
        "Training refuses these photos as they are: do as it says.",
    ),
    Kind(
        "leak",
        Level.ERROR,
        "copies across splits",
        "A model is not to be judged on what it was trained on: training leaves out the copies on "
        "the training side (data.leaks in a recipe). Better remove them from the dataset.",
    ),
    Kind(
        "label-conflict",
        Level.ERROR,
        "one picture, several classes",
        "At most one of the labels is right. A quarantine list leaves out every copy: take from "
        "it the line of the one in the right class.",
    ),
    Kind(
        "duplicate",
        Level.WARNING,
        "the same file twice",
        "Copies count as if there were more photos than there are: keep one. They are kept on one "
        "side of a split.",
    ),
    Kind(
        "near-duplicate",
        Level.WARNING,
        "nearly the same picture",
        "Re-encoded, resized, mirrored, cropped or taken moments apart: one of them is enough. "
        "They are kept on one side of a split.",
    ),
    Kind(
        "imbalance",
        Level.WARNING,
        "classes of very different size",
        "The small class is learned badly and judged on few photos: add photos of it.",
    ),
    Kind(
        "class-name",
        Level.WARNING,
        "suspicious class names",
        "Every folder is taken for a class: rename, merge or move away what is none.",
    ),
    Kind(
        "blank",
        Level.WARNING,
        "nearly blank",
        "There is next to nothing to see: remove it, unless blank is what the class is about.",
    ),
    Kind("dark", Level.WARNING, "very dark", "Look whether anything can be made out."),
    Kind(
        "bright",
        Level.WARNING,
        "very bright",
        "Look whether it is a photo at all: logos, drawings and cut-outs on white are found here.",
    ),
    Kind("blurred", Level.WARNING, "very blurred", "Look whether anything can be made out."),
    Kind(
        "tiny",
        Level.WARNING,
        "tiny",
        "There are fewer pixels than a network needs: use the original in place of the thumbnail.",
    ),
    Kind(
        "extreme-shape",
        Level.WARNING,
        "very long or very wide",
        "What is squeezed into a square is hard to recognise: crop it, or set data.policy to "
        '"pad".',
    ),
    Kind(
        "wrong-type",
        Level.NOTE,
        "another type than the name says",
        "Read by its content, so it works here; other programs may refuse it: rename it.",
    ),
    Kind("animated", Level.NOTE, "animated", "The first picture is used, the others are not."),
    Kind(
        "not-rgb",
        Level.NOTE,
        "not plain RGB",
        "Brought to 8-bit RGB, the same way in training and use: CMYK is converted, transparency "
        "laid on white, 16 bits scaled.",
    ),
    Kind(
        "turned",
        Level.NOTE,
        "turned by a tag",
        "Turned upright here; programs that ignore the tag see it lying on its side.",
    ),
    Kind(
        "excluded",
        Level.NOTE,
        "left out by a list",
        "As the list says: take the line out of it to use the photo again.",
    ),
    Kind(
        "not-used",
        Level.NOTE,
        "not used",
        "Not taken for photos of a class: move what should be into a class folder.",
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}

# What a person means who says one of these.
_MEANT = {"unreadable": ("unreadable", "empty", "not-an-image", "too-large")}


@dataclass(frozen=True)
class Finding:
    """Something about one photo, some photos or a class.

    Args:
        kind: its name, one of `KINDS`.
        detail: what was found, in a few words.
        paths: the files; of copies all, first the one to keep. None where it is about a class.
        out: those of them that it would help to leave out.
        count: of files, where more are meant than are named.
    """

    kind: str
    detail: str
    paths: tuple[str, ...] = ()
    out: tuple[str, ...] = ()
    count: int = 1

    @property
    def level(self) -> Level:
        """How bad it is."""
        return KINDS[self.kind].level


@dataclass(frozen=True)
class Checkup:
    """What a look at a dataset found.

    Args:
        source: its name.
        photos: that can be used, by class and side: `{"cat": {"train": 80, "validation": 20}}`;
            the side is `all` where none are given.
        findings: the worst kind first.
        seconds: that it took.
    """

    source: str
    photos: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def count(self) -> int:
        """How many photos can be used."""
        return sum(sum(sides.values()) for sides in self.photos.values())

    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind that there are any of, the worst first."""
        return counts(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "source": self.source,
            "photos": self.photos,
            "counts": self.counts(),
            "findings": told(self.findings),
            "seconds": round(self.seconds, 3),
        }


def kinds_of(names: Iterable[str]) -> frozenset[str]:
    """The kinds that a person means.

    >>> sorted(kinds_of(["leak", "unreadable"]))
    ['empty', 'leak', 'not-an-image', 'too-large', 'unreadable']

    Args:
        names: kinds, or levels. `unreadable` means every file that cannot be used, and `warning`
            errors, too.

    Raises:
        SourceError: there is no such kind.
    """
    wanted: set[str] = set()
    levels = list(Level)
    for name in (name.strip().lower() for name in names):
        if name in levels:
            worse = levels[: levels.index(Level(name)) + 1]
            wanted |= {kind.name for kind in _KINDS if kind.level in worse}
        elif name in KINDS:
            wanted |= {*_MEANT.get(name, (name,))}
        else:
            known = ", ".join([*levels, *KINDS])
            raise SourceError(f"{name!r} is no kind of finding; expected {known}")
    return frozenset(wanted)


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each kind that there are any of, the worst first."""
    counted = Counter[str]()
    for finding in findings:
        counted[finding.kind] += finding.count
    return {name: counted[name] for name in KINDS if counted[name]}


def told(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as plain values, for JSON."""
    return [
        {
            "kind": finding.kind,
            "level": str(finding.level),
            "detail": finding.detail,
            "paths": list(finding.paths),
            "leave_out": list(finding.out),
            "count": finding.count,
            "advice": KINDS[finding.kind].advice,
        }
        for finding in findings
    ]
