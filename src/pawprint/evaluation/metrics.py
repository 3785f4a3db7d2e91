"""Figures of a classifier from its probabilities, with NumPy alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from pawprint.evaluation.curves import area_under_precision, area_under_roc, counts_above, rank
from pawprint.evaluation.intervals import (
    Interval,
    draw_areas,
    draw_f1,
    draw_recalls,
    percentile_interval,
    wilson_interval,
)
from pawprint.evaluation.predictions import answers, check_predictions

_Bounded = tuple[float | None, Interval | None]


class Plain:
    """A dataclass that is written as JSON and read back."""

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain numbers, strings, lists and dicts, ready for JSON.

        Returns:
            a dict with one entry per field; tuples become lists.
        """
        fields: dict[str, Any] = to_jsonable_python(self)
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Read back what `to_dict` gave.

        Args:
            fields: the dict, possibly after a trip through JSON; other entries are passed over.

        Returns:
            what equals that which was written.

        Raises:
            ValueError: an entry is missing or is not of the expected kind.

        >>> Figures.from_dict({})
        Traceback (most recent call last):
        ValueError: not a dict of Figures: count: Field required
        """
        try:
            return TypeAdapter(cls).validate_python(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise ValueError(f"not a dict of {cls.__name__}: {where}: {first['msg']}") from error


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is told from the others.

    Args:
        label: the name of the class.
        count: how many photos truly are of this class.
        precision: share of the photos answered as this class that are; None if there are none.
        precision_interval: Wilson's, lower and upper end; None where the precision is.
        recall: share of this class's photos that were found; None if there are none.
        recall_interval: Wilson's; None where the recall is.
        f1: harmonic mean of the two; None if the class is neither present nor answered.
        f1_interval: of the bootstrap; None if the class is not present.

    >>> ClassFigures("cat", 4, 1.0, (0.34, 1.0), 0.5, (0.15, 0.85), 2 / 3, (0.33, 1.0)).recall
    0.5
    """

    label: str
    count: int
    precision: float | None
    precision_interval: Interval | None
    recall: float | None
    recall_interval: Interval | None
    f1: float | None
    f1_interval: Interval | None


@dataclass(frozen=True)
class Figures(Plain):
    """How well a classifier did on a set of photos.

    Args:
        count: how many photos.
        accuracy: share of the photos whose answer is the true class.
        accuracy_interval: Wilson's interval of the accuracy, lower and upper end.
        balanced_accuracy: mean recall of the classes present.
        balanced_accuracy_interval: of the bootstrap.
        confidence: the confidence of all intervals, between 0 and 1.
        classes: figures of each class, in the order of the probabilities' columns.
        confusion: k rows of k counts; rows are true classes, columns answered ones.
        roc_auc: area under the ROC curve, of the second class where there are two, else the mean
            over the classes present, each against the rest; None if only one class is present.
        roc_auc_interval: of the bootstrap; None where the area is, or where so many photos of so
            many classes (over a million scores) would take too long.
        average_precision: area under the precision-recall curve, of the same classes.
        average_precision_interval: as that of the ROC curve.
        log_loss: mean negative natural logarithm of the true class's probability.

    >>> one = figures(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), ["cat", "dog"])
    >>> Figures.from_dict(one.to_dict()) == one
    True
    """

    count: int
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    balanced_accuracy_interval: Interval
    confidence: float
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    roc_auc: float | None
    roc_auc_interval: Interval | None
    average_precision: float | None
    average_precision_interval: Interval | None
    log_loss: float


def figures(
    truth: npt.NDArray[Any],
    probabilities: npt.NDArray[Any],
    classes: Sequence[str],
    *,
    predicted: npt.NDArray[np.int64] | None = None,
    confidence: float = 0.95,
) -> Figures:
    """Compute all figures of a classifier from its probabilities.

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.
        classes: the k names of the classes, at least two.
        predicted: (n,) int, the class answered for each photo; by default the most probable one,
            of two equally probable the second, as the classifier answers.
        confidence: of the intervals, between 0 and 1.

    Returns:
        the figures.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.

    >>> some = figures(np.array([0, 1, 1]), np.array([[1, 0], [0.2, 0.8], [0.6, 0.4]]), "ab")
    >>> round(some.accuracy, 3), some.confusion, some.roc_auc
    (0.667, ((1, 0), (1, 1)), 1.0)
    """
    truth, probabilities = np.asarray(truth), np.asarray(probabilities)
    check_predictions(truth, probabilities, classes)
    predicted = answers(probabilities) if predicted is None else np.asarray(predicted)
    check_predictions(predicted, probabilities, classes)
    k = len(classes)
    # As int64: a uint8 truth would overflow in the product below.
    truth = truth.astype(np.int64)
    confusion = np.bincount(truth * k + predicted, minlength=k * k).reshape(k, k)
    correct = int(confusion.trace())
    balanced = _balanced_accuracy(confusion, confidence)
    roc, precision = _areas(truth, probabilities, confidence)
    return Figures(
        count=truth.size,
        accuracy=correct / truth.size,
        accuracy_interval=wilson_interval(correct, truth.size, confidence),
        balanced_accuracy=balanced[0],
        balanced_accuracy_interval=balanced[1],
        confidence=float(confidence),
        classes=_class_figures(confusion, classes, confidence),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        roc_auc=roc[0],
        roc_auc_interval=roc[1],
        average_precision=precision[0],
        average_precision_interval=precision[1],
        log_loss=log_loss(truth, probabilities),
    )


def log_loss(truth: npt.NDArray[np.int64], probabilities: npt.NDArray[Any]) -> float:
    """Mean negative natural logarithm of the true class's probability.

    >>> round(log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.0, 1.0]])), 4)
    0.3466

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.

    Returns:
        the mean, at least 0 and never infinite.
    """
    dtype = probabilities.dtype if probabilities.dtype.kind == "f" else np.dtype(np.float64)
    # A probability that rounded to 0 must not make the mean infinite.
    smallest = float(np.finfo(dtype).eps)
    given = probabilities[np.arange(truth.size), truth].astype(np.float64)
    return float(-np.log(np.clip(given, smallest, 1 - smallest)).mean())


def _balanced_accuracy(
    confusion: npt.NDArray[np.int64], confidence: float
) -> tuple[float, Interval]:
    counts = confusion.sum(axis=1)
    present = counts > 0
    hits, counts = confusion.diagonal()[present], counts[present]
    value = float((hits / counts).mean())
    return value, percentile_interval(draw_recalls(hits, counts).mean(axis=1), value, confidence)


def _class_figures(
    confusion: npt.NDArray[np.int64], classes: Sequence[str], confidence: float
) -> tuple[ClassFigures, ...]:
    hits, counts, answered = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    present = np.flatnonzero(counts)
    drawn = draw_f1(hits[present], counts[present], answered[present], int(counts.sum()))
    f1s = dict(zip(present.tolist(), drawn.T, strict=True))

    def share(right: int, count: int) -> _Bounded:
        return (right / count, wilson_interval(right, count, confidence)) if count else (None, None)

    found = []
    for place, label in enumerate(classes):
        right, true, said = int(hits[place]), int(counts[place]), int(answered[place])
        f1 = 2 * right / (true + said) if true + said else None
        bounds = (
            percentile_interval(f1s[place], f1, confidence) if f1 is not None and true else None
        )
        found.append(
            ClassFigures(str(label), true, *share(right, said), *share(right, true), f1, bounds)
        )
    return tuple(found)


def _areas(
    truth: npt.NDArray[np.int64], probabilities: npt.NDArray[Any], confidence: float
) -> tuple[_Bounded, _Bounded]:
    """The area under the ROC curve and the average precision, each with its interval."""
    present = np.unique(truth)
    if present.size < 2:
        return (None, None), (None, None)
    columns = [1] if probabilities.shape[1] == 2 else present.tolist()
    once = np.ones(truth.size, dtype=np.int64)
    counts = [counts_above(rank(truth == c, probabilities[:, c]), once) for c in columns]
    drawn = draw_areas(truth, probabilities, columns)
    found: list[_Bounded] = []
    for place, area in enumerate((area_under_roc, area_under_precision)):
        value = float(np.mean([area(*pair) for pair in counts]))
        interval = None if drawn is None else percentile_interval(drawn[place], value, confidence)
        found.append((value, interval))
    return found[0], found[1]
