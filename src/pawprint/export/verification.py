"""An export held to its bundle: the same photos, from the files on, in two processes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint import isolation
from pawprint.classifier import Classifier, at_temperature
from pawprint.data.images import Pixels
from pawprint.errors import BundleError
from pawprint.evaluation.intervals import Interval, wilson_interval
from pawprint.evaluation.metrics import Plain
from pawprint.evaluation.predictions import answers
from pawprint.export.photos import Photos
from pawprint.export.stated import NOVELTY, OUTPUT, Precision, Stated
from pawprint.parallel import map_chunks

_ON_LIMIT = 1e-3  # of the novelty's limit: the photo that set it lies on it, and rounding decides
_UNKNOWN = -1  # among the numbers of classes
_CHUNK = 16  # photos a thread takes at once


@dataclass(frozen=True)
class Tolerance(Plain):
    """How far an export may be from its bundle.

    Args:
        largest: the largest difference in a probability of any photo.
        mean: the mean over all photos and classes.
        agreement: the part of photos with the same label; None where the differences above leave
            room for ties only. An export is refused once it is certain to fall short: of few photos
            a chance one may differ.
        novelty: the largest difference in a novelty, as a part of it or, below 1, of 1.
    """

    largest: float
    mean: float
    agreement: float | None
    novelty: float


# What float32 differs by is the order of additions. float16 keeps 11 bits of a weight, int8 8.
TOLERANCES: dict[Precision, Tolerance] = {
    "float32": Tolerance(largest=1e-3, mean=1e-4, agreement=None, novelty=0.01),
    "float16": Tolerance(largest=0.1, mean=0.01, agreement=0.993, novelty=0.1),
    "int8": Tolerance(largest=1.0, mean=0.03, agreement=0.993, novelty=1.0),
}


@dataclass(frozen=True)
class Share(Plain):
    """A part of some photos.

    Args:
        count: so many,
        of: of so many.
        interval: of the part, at 95 %; (0, 1) of none.
    """

    count: int
    of: int
    interval: Interval

    @property
    def part(self) -> float:
        """As a number; of none, 1."""
        return self.count / self.of if self.of else 1.0


def share(those: NDArray[np.bool_]) -> Share:
    """Count those that hold.

    >>> share(np.array([True, True, False])).count
    2
    """
    count, of = int(those.sum()), len(those)
    return Share(count, of, wilson_interval(count, of) if of else (0.0, 1.0))


@dataclass(frozen=True)
class ClassChange(Plain):
    """What became of the photos of a class.

    Args:
        label: the class.
        before: those that the bundle answers rightly,
        after: and the export.
    """

    label: str
    before: Share
    after: Share


@dataclass(frozen=True)
class Verification(Plain):
    """What came of trying an export.

    Args:
        photos: it was tried on, in words.
        labels: those with the same label: a class or, where the export can say so, unknown.
        never_unknown: those that the model calls unknown and that get a class from the export,
            which cannot; None where it can, or the model cannot.
        spread: how far apart the model's answers lie: near 0 these photos show little.
        largest_difference: in a probability.
        mean_difference: of all probabilities.
        novelty_difference: the largest, as of `Tolerance`; None where it gives no novelty.
        unknown: of the photos that one of the two calls unknown, those that both do; of photos on
            the very limit, as that which set it, nothing is asked.
        before: photos with a known class that the bundle answers rightly,
        after: and the export.
        classes: the same of each class.
        milliseconds: a photo took, the median, decoding excluded.
        runtime: that it was tried in, with its version.
        tolerance: what it was held to.
    """

    photos: str
    labels: Share
    never_unknown: int | None
    spread: float
    largest_difference: float
    mean_difference: float
    novelty_difference: float | None
    unknown: Share | None
    before: Share | None
    after: Share | None
    classes: tuple[ClassChange, ...]
    milliseconds: float
    runtime: str
    tolerance: Tolerance

    @property
    def faults(self) -> list[str]:
        """Where it is beyond tolerance, in words."""
        most, found = self.tolerance, []
        if not self.largest_difference <= most.largest:  # as NaN is
            found.append(
                f"a probability differs by {self.largest_difference:.4f}, at most {most.largest} "
                "is allowed"
            )
        if not self.mean_difference <= most.mean:
            found.append(
                f"probabilities differ by {self.mean_difference:.4f} on average, at most "
                f"{most.mean} is allowed"
            )
        if most.agreement is not None and self.labels.interval[1] < most.agreement:
            found.append(
                f"{self.labels.count:,} of {self.labels.of:,} labels are the same, at least "
                f"{most.agreement:.1%} should be"
            )
        both = [("photos", self.before, self.after)]
        both += [(f"photos of {one.label}", one.before, one.after) for one in self.classes]
        for what, before, after in both:
            if before and after and after.interval[1] < before.interval[0]:
                found.append(
                    f"{after.count:,} of {after.of:,} {what} are right, {before.count:,} were"
                )
        if self.novelty_difference is not None and not self.novelty_difference <= most.novelty:
            found.append(
                f"a novelty differs by {self.novelty_difference:.4f}, at most {most.novelty} is "
                "allowed"
            )
        return found


def verify(
    classifier: Classifier, about: Stated, path: str, photos: Photos, squares: Sequence[Pixels]
) -> Verification:
    """Run an export in its own runtime and compare it with its bundle.

    Args:
        classifier: the bundle.
        about: what the export should say of itself.
        path: the export's file, or folder for `savedmodel`.
        photos: to try it on.
        squares: of each, decoded for the bundle: uint8, shape (size, size, 3).

    Returns:
        What came of it, within tolerance.

    Raises:
        BundleError: it says something else of itself, or answers otherwise than allowed.
    """
    told, outputs = _by_export(about, path, photos)
    by_bundle, novelty = _by_bundle(classifier, squares)
    by_export = outputs[OUTPUT]
    if by_export.shape != by_bundle.shape:
        raise BundleError(
            f"the export to {about.format} gives {by_export.shape} probabilities, expected "
            f"{by_bundle.shape}; nothing was written"
        )
    said = Stated.model_validate_json(told["about"])
    labels = answers(by_bundle, classifier.card.threshold), answers(by_export, said.threshold)
    differences = np.abs(by_bundle - by_export)
    found = Verification(
        photos=f"{len(photos):,} photos {photos.what}",
        **_labels(classifier, said, labels, novelty, outputs.get(NOVELTY)),
        spread=float(np.ptp(by_bundle, axis=0).max()),
        largest_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        **_accuracies(classifier.classes, photos, *labels),
        milliseconds=told["milliseconds"],
        runtime=told["runtime"],
        tolerance=TOLERANCES[about.precision],
    )
    faults = found.faults
    others = [name for name, value in about if getattr(said, name) != value]
    if others:
        faults.append(f"of itself it says another {', another '.join(others)}")
    if faults:
        raise BundleError(
            f"the export to {about.format} was tried on {found.photos} and does not answer as the "
            f"model does: {'; '.join(faults)}. Nothing was written"
        )
    return found


def _by_export(
    about: Stated, path: str, photos: Photos
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """What a fresh process tells of the export, and the export's outputs by name."""
    with tempfile.TemporaryDirectory(prefix="pawprint-") as place:
        out = Path(place, "outputs.npz")
        asked = {
            "format": about.format,
            "path": path,
            "place": photos.place,
            "photos": photos.paths,
            "hashes": photos.known_hashes,
            "out": str(out),
        }
        what = f"trying the export to {about.format}"
        told: dict[str, Any] = isolation.run("pawprint.export.runtimes:answer", asked, what=what)
        with np.load(out) as rows:
            return told, {name: rows[name].astype(np.float64) for name in rows.files}


def _by_bundle(
    classifier: Classifier, squares: Sequence[Pixels]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities, (n, classes), and novelties, (n,), NaN where there are none."""

    def measure(some: Sequence[Pixels]) -> list[tuple[NDArray[np.float64], float | None]]:
        return [classifier.measure(one) for one in some]

    rows = [row for part in map_chunks(measure, squares, size=_CHUNK) for row in part]
    given = at_temperature(np.vstack([given for given, _ in rows]), classifier.card.temperature)
    return given, np.array([far for _, far in rows], dtype=float)


def _labels(
    classifier: Classifier,
    said: Stated,
    labels: tuple[NDArray[np.int64], NDArray[np.int64]],
    novelty: NDArray[np.float64],
    by_export: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """How the labels compare, with "unknown" among them where both can say so."""
    unknown = classifier.card.unknown
    found: dict[str, Any] = dict.fromkeys(("never_unknown", "novelty_difference", "unknown"))
    if unknown is None:
        return {**found, "labels": share(labels[0] == labels[1])}
    refused = novelty > unknown.threshold
    if by_export is None or said.unknown_above is None:
        never = int(refused.sum())
        return {**found, "labels": share(labels[0] == labels[1]), "never_unknown": never}
    other = by_export[:, 0]
    on_limit = np.abs(novelty - unknown.threshold) <= _ON_LIMIT * unknown.threshold
    refused_too = np.where(on_limit, refused, other > said.unknown_above)
    mine, theirs = (
        np.where(those, _UNKNOWN, classes)
        for those, classes in zip((refused, refused_too), labels, strict=True)
    )
    return {
        "never_unknown": None,
        "novelty_difference": float((np.abs(other - novelty) / np.maximum(novelty, 1)).max()),
        "unknown": share((refused & refused_too)[refused | refused_too]),
        "labels": share(mine == theirs),
    }


def _accuracies(
    classes: Sequence[str], photos: Photos, *labels: NDArray[np.int64]
) -> dict[str, Any]:
    """What is right before and after, of all photos with a class and of each class."""
    known = np.array([label is not None for label in photos.labels])
    truth = np.array([-1 if label is None else label for label in photos.labels])
    if not known.any():
        return {"before": None, "after": None, "classes": ()}
    right = [found == truth for found in labels]
    of_class = [(name, truth == number) for number, name in enumerate(classes)]
    return {
        "before": share(right[0][known]),
        "after": share(right[1][known]),
        "classes": tuple(
            ClassChange(name, share(right[0][those]), share(right[1][those]))
            for name, those in of_class
            if those.any()
        ),
    }
