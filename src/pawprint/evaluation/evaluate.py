"""A trained classifier on labelled photos: predictions, figures, and what could not be read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.classifier import Classifier, Prediction, at_temperature
from pawprint.data.reading import Fault, skipped
from pawprint.data.sources import Source, SourcePhoto, open_source
from pawprint.errors import SourceError
from pawprint.evaluation.calibration import Calibration, reliability
from pawprint.evaluation.metrics import Figures, figures
from pawprint.evaluation.predictions import answers
from pawprint.progress import SILENT, Progress


@dataclass(frozen=True)
class Evaluation:
    """How well a classifier does.

    Args:
        split: which part of the source was judged; None for all of it.
        figures: accuracy and the rest, of the class that each photo is most like.
        faults: files that were left out, each with its reason.
        calibration: what the model's temperature does to these photos' probabilities.
        known: bool, shape (n,), which of these it does not call unknown; None where it never does.
        photos: those that were judged, n of them.
        truth: int, shape (n,), their classes.
        predicted: int, shape (n,), the classes that they are most like, by the model's threshold.
        probabilities: float64, shape (n, classes).
        novelty: float64, shape (n,), how unlike the photos trained on; None as `known`.
    """

    split: str | None
    figures: Figures
    faults: tuple[Fault, ...]
    calibration: Calibration
    known: NDArray[np.bool_] | None
    photos: tuple[SourcePhoto, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    novelty: NDArray[np.float64] | None

    @property
    def refused(self) -> int | None:
        """How many photos it calls unknown; None where it never does."""
        return None if self.known is None else int((~self.known).sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        left_out = [
            {"path": fault.path, "reason": fault.reason, "count": fault.count}
            for fault in self.faults
        ]
        return {
            **self.figures.to_dict(),
            "calibration": self.calibration.to_dict(),
            "refused": self.refused,
            "split": self.split,
            "left_out": left_out,
        }


def evaluate(
    model: str | os.PathLike[str],
    source: str | os.PathLike[str],
    *,
    split: str | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Judge a bundle on labelled photos.

    Args:
        model: a bundle, or a run's folder.
        source: as of `train`; its classes are named as the model's.
        split: which part of a source with given splits; by default `test`, else `validation`.
        progress: where to show how it goes.

    Returns:
        The evaluation.

    Raises:
        BundleError: the model cannot be opened.
        SourceError: the photos cannot be used, or have a class that the model has not.
    """
    with open_source(source, progress=progress) as opened:
        return evaluate_source(Classifier(model), opened, split=split, progress=progress)


def evaluate_source(
    classifier: Classifier,
    opened: Source,
    *,
    split: str | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """As `evaluate`, for what is open already."""
    unknown = sorted(set(opened.classes) - set(classifier.classes))
    if unknown:
        raise SourceError(
            f"{opened.name} has classes that the model has not: {', '.join(unknown)}; it knows "
            f"{', '.join(classifier.classes)}: rename or remove those folders"
        )
    split, photos = _part(opened, split)
    found = _predict(classifier, opened, photos, progress)
    faults = [Fault(a.path, a.error) for a in found if a.error is not None]
    judged = [(p, a) for p, a in zip(photos, found, strict=True) if a.error is None]
    if not judged:
        raise SourceError(f"{opened.name}: none of its {len(photos)} photos can be read")
    truth = np.array([classifier.classes.index(photo.label) for photo, _ in judged])
    given = np.array([[a.probabilities[label] for label in classifier.classes] for _, a in judged])
    predicted = answers(given, classifier.card.threshold)
    temperature = classifier.card.temperature
    plain = at_temperature(given, 1 / temperature)
    novelty = [a.novelty for _, a in judged if a.novelty is not None]
    return Evaluation(
        split,
        figures(truth, given, classifier.classes, predicted=predicted),
        (*faults, *skipped(opened)),
        Calibration(temperature, reliability(truth, plain), reliability(truth, given)),
        np.array([not a.unknown for _, a in judged]) if novelty else None,
        tuple(photo for photo, _ in judged),
        truth,
        predicted,
        given,
        np.array(novelty) if novelty else None,
    )


def _part(source: Source, split: str | None) -> tuple[str | None, Sequence[SourcePhoto]]:
    given = {photo.split for photo in source.photos} - {None}
    if split is None:
        split = next((name for name in ("test", "validation") if name in given), None)
        if split is None:
            return None, source.photos
    if split not in given:
        has = ", ".join(sorted(map(str, given))) or "no splits"
        raise SourceError(f"{source.name} has no {split!r} folder; it has {has}")
    return split, [photo for photo in source.photos if photo.split == split]


def _predict(
    classifier: Classifier, source: Source, photos: Sequence[SourcePhoto], progress: Progress
) -> list[Prediction]:
    reads = ((photo.path, partial(source.read, photo)) for photo in photos)
    found: list[Prediction] = []
    with progress.step("Predicting", len(photos)) as advance:
        for prediction in classifier.predict_reads(reads):
            found.append(prediction)
            advance(1)
    return found
