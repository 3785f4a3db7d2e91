"""Figures of a classifier from its probabilities, with NumPy alone.

Sources:
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927), 209-212.
    T. Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27 (2006), 861-874.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

# Room for half-precision softmax; scores that are no probabilities are much further off.
_SUM_TOLERANCE = 1e-2


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is told from the others.

    Args:
        label: the name of the class.
        count: how many photos truly are of this class.
        precision: share of the photos predicted as this class that are; None if there are none.
        recall: share of this class's photos that were found; None if there are none.
        f1: harmonic mean of the two; None if the class is neither present nor predicted.

    >>> ClassFigures("cat", 4, 1.0, 0.5, 2 / 3).recall
    0.5
    """

    label: str
    count: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Figures:
    """How well a classifier did on a set of photos.

    Args:
        count: how many photos.
        accuracy: share of the photos whose most probable class is the true one.
        accuracy_interval: Wilson's interval of the accuracy, lower and upper end.
        confidence: the confidence of that interval, between 0 and 1.
        classes: figures of each class, in the order of the probabilities' columns.
        confusion: k rows of k counts; rows are true classes, columns predicted ones.
        roc_auc: area under the ROC curve, of the second class where there are two, else the mean
            over the classes present, each against the rest; None if only one class is present.
        log_loss: mean negative natural logarithm of the true class's probability.

    >>> one = figures(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), ["cat", "dog"])
    >>> Figures.from_dict(one.to_dict()) == one
    True
    """

    count: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    confidence: float
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    roc_auc: float | None
    log_loss: float

    def to_dict(self) -> dict[str, object]:
        """Give the figures as plain numbers, strings, lists and dicts, ready for JSON.

        Returns:
            a dict with one entry per field; tuples become lists.

        >>> two = figures(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), ["cat", "dog"])
        >>> two.to_dict()["confusion"]
        [[1, 0], [0, 1]]
        """
        return {
            "count": self.count,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "confidence": self.confidence,
            "classes": [asdict(one) for one in self.classes],
            "confusion": [list(row) for row in self.confusion],
            "roc_auc": self.roc_auc,
            "log_loss": self.log_loss,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Figures":
        """Read figures back from what `to_dict` gave.

        Args:
            fields: the dict, possibly after a trip through JSON.

        Returns:
            figures equal to those written.

        Raises:
            ValueError: an entry is missing or is not of the expected kind.

        >>> Figures.from_dict({})
        Traceback (most recent call last):
        ValueError: not a dict of figures: KeyError('accuracy_interval')
        """
        try:
            low, high = fields["accuracy_interval"]
            return cls(
                count=int(fields["count"]),
                accuracy=float(fields["accuracy"]),
                accuracy_interval=(float(low), float(high)),
                confidence=float(fields["confidence"]),
                classes=tuple(
                    ClassFigures(
                        label=str(one["label"]),
                        count=int(one["count"]),
                        precision=_optional(one["precision"]),
                        recall=_optional(one["recall"]),
                        f1=_optional(one["f1"]),
                    )
                    for one in fields["classes"]
                ),
                confusion=tuple(tuple(int(n) for n in row) for row in fields["confusion"]),
                roc_auc=_optional(fields["roc_auc"]),
                log_loss=float(fields["log_loss"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a dict of figures: {error!r}") from error


def wilson_interval(successes: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bound a proportion by Wilson's score interval (1927).

    Args:
        successes: how many of the trials succeeded, 0 to `count`.
        count: how many trials, at least 1.
        confidence: between 0 and 1, both excluded.

    Returns:
        the lower and the upper end, both within 0 and 1.

    Raises:
        ValueError: an argument is out of its range.

    >>> low, high = wilson_interval(5, 10)
    >>> round(low, 4), round(high, 4)
    (0.2366, 0.7634)
    """
    if not (count >= 1 and 0 <= successes <= count):
        raise ValueError(f"expected 0 <= successes <= count, 1 <= count; got {successes}, {count}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / count
    scale = 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    # Exact at the ends, where rounding would leave a trace of either sign.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == count else min(1.0, centre + half)
    return low, high


def roc_auc(positive: npt.NDArray[np.bool_], score: npt.NDArray[Any]) -> float | None:
    """Compute the area under the ROC curve by ranks (Fawcett 2006), ties counting half.

    Args:
        positive: (n,) bool, which photos are of the class.
        score: (n,) float, higher for photos more likely of the class.

    Returns:
        the area, 0 to 1; None where all photos are of the class, or none.

    Raises:
        ValueError: shapes differ, are not one-dimensional or empty, or a score is NaN.

    >>> roc_auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.7]))
    0.75
    """
    positive, score = _checked_scores(positive, score)
    positives = int(positive.sum())
    negatives = positive.size - positives
    if positives == 0 or negatives == 0:
        return None
    _, place, repeats = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(repeats) - (repeats - 1) / 2)[place]
    above = float(ranks[positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def roc_points(
    positive: npt.NDArray[np.bool_], score: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Trace the ROC curve (Fawcett 2006), keeping only the points where it bends.

    Args:
        positive: (n,) bool, which photos are of the class.
        score: (n,) float, higher for photos more likely of the class.

    Returns:
        the false and the true positive rates, each (m,) float64, from (0, 0) to (1, 1);
        None where all photos are of the class, or none.

    Raises:
        ValueError: shapes differ, are not one-dimensional or empty, or a score is NaN.

    >>> false_rate, true_rate = roc_points(np.array([False, True]), np.array([0.1, 0.7]))
    >>> false_rate.tolist(), true_rate.tolist()
    ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0])
    """
    positive, score = _checked_scores(positive, score)
    if positive.all() or not positive.any():
        return None
    order = np.argsort(-score, kind="stable")
    hits, ranked = np.cumsum(positive[order]), score[order]
    # Photos with the same score pass the threshold together.
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), order.size - 1)
    true = np.concatenate(([0], hits[last]))
    false = np.concatenate(([0], last + 1 - hits[last]))
    bends = np.ones(true.size, dtype=bool)
    bends[1:-1] = (np.diff(true, 2) != 0) | (np.diff(false, 2) != 0)
    return false[bends] / false[-1], true[bends] / true[-1]


def check_predictions(
    truth: npt.NDArray[Any], probabilities: npt.NDArray[Any], classes: Sequence[str]
) -> None:
    """Refuse predictions that no figure can be computed from.

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.
        classes: the k names of the classes, at least two.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.

    >>> check_predictions(np.array([0]), np.array([[0.5, 0.5, 0.0]]), ["cat", "dog"])
    Traceback (most recent call last):
    ValueError: expected truth (n,) and probabilities (n, 2), got (1,) and (1, 3)
    """
    truth, probabilities = np.asarray(truth), np.asarray(probabilities)
    k = len(classes)
    if k < 2:
        raise ValueError(f"expected two classes or more, got {k}")
    if truth.ndim != 1 or probabilities.shape != (truth.size, k):
        raise ValueError(
            f"expected truth (n,) and probabilities (n, {k}), "
            f"got {truth.shape} and {probabilities.shape}"
        )
    if truth.size == 0:
        raise ValueError(f"no photos: truth {truth.shape}, probabilities {probabilities.shape}")
    if truth.dtype.kind not in "iu":
        raise ValueError(f"expected whole numbers as truth {truth.shape}, got {truth.dtype}")
    if truth.min() < 0 or truth.max() >= k:
        raise ValueError(f"truth {truth.shape} has a class outside 0 to {k - 1}")
    # Written so that NaN fails them too.
    if not (np.all(probabilities >= 0) and np.all(probabilities <= 1 + _SUM_TOLERANCE)):
        raise ValueError(f"probabilities {probabilities.shape} have NaN or values outside 0 to 1")
    if not np.all(np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1) <= _SUM_TOLERANCE):
        raise ValueError(f"probabilities {probabilities.shape} have rows that do not sum to 1")


def figures(
    truth: npt.NDArray[Any],
    probabilities: npt.NDArray[Any],
    classes: Sequence[str],
    *,
    confidence: float = 0.95,
) -> Figures:
    """Compute all figures of a classifier from its probabilities.

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.
        classes: the k names of the classes, at least two.
        confidence: of the accuracy's interval, between 0 and 1.

    Returns:
        the figures; equal probabilities count for the earlier class.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.

    >>> some = figures(np.array([0, 1, 1]), np.array([[1, 0], [0.2, 0.8], [0.6, 0.4]]), "ab")
    >>> round(some.accuracy, 3), some.confusion, some.roc_auc
    (0.667, ((1, 0), (1, 1)), 1.0)
    """
    truth, probabilities = np.asarray(truth), np.asarray(probabilities)
    check_predictions(truth, probabilities, classes)
    k = len(classes)
    # As int64: a uint8 truth would overflow in the product below.
    truth = truth.astype(np.int64)
    predicted = probabilities.argmax(axis=1)
    confusion = np.bincount(truth * k + predicted, minlength=k * k).reshape(k, k)
    correct = int(confusion.trace())
    return Figures(
        count=truth.size,
        accuracy=correct / truth.size,
        accuracy_interval=wilson_interval(correct, truth.size, confidence),
        confidence=float(confidence),
        classes=tuple(_class_figures(confusion, index, str(c)) for index, c in enumerate(classes)),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        roc_auc=_mean_roc_auc(truth, probabilities),
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


def _class_figures(confusion: npt.NDArray[np.int64], index: int, label: str) -> ClassFigures:
    hits = int(confusion[index, index])
    count, predicted = int(confusion[index].sum()), int(confusion[:, index].sum())
    return ClassFigures(
        label=label,
        count=count,
        precision=hits / predicted if predicted else None,
        recall=hits / count if count else None,
        f1=2 * hits / (count + predicted) if count + predicted else None,
    )


def _mean_roc_auc(truth: npt.NDArray[np.int64], probabilities: npt.NDArray[Any]) -> float | None:
    k = probabilities.shape[1]
    columns = [1] if k == 2 else range(k)
    areas = [roc_auc(truth == column, probabilities[:, column]) for column in columns]
    known = [area for area in areas if area is not None]
    return sum(known) / len(known) if known else None


def _checked_scores(
    positive: npt.NDArray[np.bool_], score: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    positive, score = np.asarray(positive), np.asarray(score, dtype=np.float64)
    if positive.ndim != 1 or positive.shape != score.shape or positive.size == 0:
        raise ValueError(
            f"expected positive and score of one shape (n,), got {positive.shape} and {score.shape}"
        )
    if positive.dtype != np.bool_:
        raise ValueError(f"expected positive {positive.shape} as bool, got {positive.dtype}")
    if np.isnan(score).any():
        raise ValueError(f"score {score.shape} has NaN")
    return positive, score


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)
