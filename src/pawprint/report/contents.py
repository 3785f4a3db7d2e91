"""What a report page shows, as plain values; a part that is not there is left out of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pawprint.evaluation.calibration import Calibration
from pawprint.evaluation.metrics import Figures
from pawprint.evaluation.paired import Comparison
from pawprint.pages.thumbnails import Small


@dataclass(frozen=True)
class Decision:
    """How a probability becomes an answer: by which rule, and from where on."""

    rule: str
    threshold: float


@dataclass(frozen=True)
class Judged:
    """How well the photos of a side are answered.

    Args:
        figures: of these.
        calibration: of the probabilities, where that was measured.
        decision: how they become answers, where that is known.
        folds: how many networks judged, each the photos that it had not seen; 0 for the one.
    """

    figures: Figures
    calibration: Calibration | None = None
    decision: Decision | None = None
    folds: int = 0


@dataclass(frozen=True)
class Unknown:
    """How often the answer is "don't know".

    Args:
        refuses: the share of ordinary photos that was to be refused, where that is known.
        photos: that it was tried on,
        refused: and how many of them were refused.
        right: how many were not, and answered rightly.
    """

    refuses: float | None
    photos: int
    refused: int
    right: int


@dataclass(frozen=True)
class Before:
    """How the run does beside an earlier one, on the same photos."""

    run: str
    comparison: Comparison


@dataclass(frozen=True)
class Worry:
    """Something a reader should know before trusting the figures.

    Args:
        level: `error`, `warning` or `note`.
        text: what, in a sentence.
        section: of the page, that tells more; may be empty.
    """

    level: str
    text: str
    section: str = ""


@dataclass(frozen=True)
class Count:
    """How many findings of a kind there are."""

    title: str
    level: str
    count: int
    advice: str


@dataclass(frozen=True)
class Stage:
    """A stage of the training, in words.

    Args:
        number: from 1.
        trains: what.
        told: what became of it.
        undone: it is not in the model.
    """

    number: int
    trains: str
    told: tuple[str, ...]
    undone: bool


@dataclass(frozen=True)
class Plot:
    """A drawing.

    Args:
        section: of the page, that it stands in.
        title: what it is called.
        address: that holds it.
        alt: what it shows, in numbers.
    """

    section: str
    title: str
    address: str
    alt: str


@dataclass(frozen=True)
class Tile:
    """A photo with what is to be said of it.

    Args:
        name: of the photo.
        heading: a few words.
        detail: some more.
        photo: the picture.
        heat: the picture with what the answer rests on, if that is known.
    """

    name: str
    heading: str
    detail: str
    photo: Small
    heat: Small | None = None


@dataclass(frozen=True)
class Gallery:
    """Photos of a kind.

    Args:
        name: of the section.
        title: its heading.
        advice: what it is about, in a sentence or two.
        count: of all photos of the kind.
        tiles: some of them.
    """

    name: str
    title: str
    advice: str
    count: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Report:
    """All that a report page shows.

    Args:
        made_by: the command that it is of.
        title: whose it is.
        about: what it is of, in a few words each.
        judged: by side, how well it does; the first is the one to go by.
        held_out: none of the photos that judge was trained on.
        worries: what a reader should know first.
        photos: by class and side, how many.
        left_out: files that were not used, and why.
        left_out_count: how many there are of these.
        findings: about the photos.
        corrections: of labels that were applied, in words.
        plots: drawings.
        stages: of the training.
        unknown: how "don't know" is said.
        galleries: photos to look at.
        before: how an earlier run does.
        seconds: by part, and `total`.
        versions: of the software.
        recipe: its text.
        command: that does it again.
        fingerprint: of the photos.
        created: when, in UTC.
    """

    made_by: str
    title: str
    about: tuple[str, ...]
    judged: Mapping[str, Judged]
    held_out: bool = False
    worries: tuple[Worry, ...] = ()
    photos: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()
    left_out_count: int = 0
    findings: tuple[Count, ...] = ()
    corrections: str = ""
    plots: tuple[Plot, ...] = ()
    stages: tuple[Stage, ...] = ()
    unknown: Unknown | None = None
    galleries: tuple[Gallery, ...] = ()
    before: Before | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    recipe: str = ""
    command: str = ""
    fingerprint: str = ""
    created: str = ""

    @property
    def main(self) -> Judged:
        """What to go by."""
        return next(iter(self.judged.values()))
