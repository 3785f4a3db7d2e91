"""What a reader should know before trusting the figures, the worst first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from math import sqrt

from pawprint.data.wording import shown
from pawprint.pages.words import counted, percent, percents
from pawprint.report.contents import Count, Judged, Worry

_WIDE = 0.08  # an interval that leaves open what matters
_WEAK = 0.1  # by so much less a class is found than photos are right
_OFF = 0.05  # by so much probabilities differ from how often they are right,
_CHANCE = 1.55  # and by this, over the root of the photos, 15 bins of them by chance alone
_SUSPECT = 0.002  # of the labels


def worries_of(judged: Judged) -> Iterator[Worry]:
    """What the figures themselves give reason to worry about.

    >>> import numpy as np
    >>> from pawprint.evaluation.metrics import figures
    >>> few = figures(np.array([0, 1] * 2), np.array([[0.9, 0.1], [0.2, 0.8]] * 2), ["cat", "dog"])
    >>> [worry.text for worry in worries_of(Judged(few))]
    ['4 photos are few to judge by: the true figure may lie anywhere from 51.01 to 100\\xa0%.']
    """
    figures, calibration = judged.figures, judged.calibration
    low, high = figures.accuracy_interval
    largest = max(figures.classes, key=lambda one: one.count)
    always = largest.count / figures.count
    if low <= always:
        yield Worry(
            "warning",
            f"Not clearly better than always answering {shown(largest.label)}, which would be "
            f"right on {percent(always)}.",
            "figures",
        )
    if high - low > _WIDE:
        yield Worry(
            "warning",
            f"{counted(figures.count, 'photo')} are few to judge by: the true figure may lie "
            f"anywhere from {percents(figures.accuracy_interval)}.",
            "figures",
        )
    found = [one for one in figures.classes if one.recall is not None]
    weakest = min(found, key=lambda one: one.recall or 0.0)
    if weakest.recall is not None and weakest.recall < figures.accuracy - _WEAK:
        yield Worry(
            "warning",
            f"Of {counted(weakest.count, 'photo')} of {shown(weakest.label)}, only "
            f"{percent(weakest.recall)} are found.",
            "figures",
        )
    most = max(_OFF, _CHANCE / sqrt(figures.count))
    if calibration is not None and calibration.after.ece > most:
        yield Worry(
            "warning",
            f"Probabilities are off by {percent(calibration.after.ece)} on average: do not take "
            "them at their word.",
            "calibration",
        )


def worries_of_data(
    findings: tuple[Count, ...], left_out: int, suspects: int, photos: int
) -> Iterator[Worry]:
    """What the photos give reason to worry about.

    Args:
        findings: about them.
        left_out: how many files were not used.
        suspects: how many labels may be wrong,
        photos: out of how many.
    """
    if suspects:
        yield Worry(
            "warning" if suspects > _SUSPECT * photos else "note",
            f"{counted(suspects, 'label')} of {photos:,} may be wrong: look at the photos.",
            "suspects",
        )
    for level in ("error", "warning"):
        if told := [f"{one.count:,} {one.title}" for one in findings if one.level == level]:
            yield Worry(level, f"Among the photos: {', '.join(told)}.", "data")
    if left_out:
        yield Worry("note", f"{counted(left_out, 'file')} could not be used.", "data")


def worst_first(*worries: Iterable[Worry]) -> tuple[Worry, ...]:
    """Errors, then warnings, then notes.

    >>> [worry.level for worry in worst_first([Worry("note", "b")], [Worry("warning", "a")])]
    ['warning', 'note']
    """
    levels = ("error", "warning", "note")
    return tuple(sorted(chain(*worries), key=lambda worry: levels.index(worry.level)))
