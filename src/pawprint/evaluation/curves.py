"""ROC and precision-recall: how well a score alone parts one class from the rest, NumPy alone.

Sources:
    T. Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27 (2006), 861-874.
    J. Davis and M. Goadrich, "The relationship between precision-recall and ROC curves",
    Proceedings of the 23rd International Conference on Machine Learning (2006), 233-240.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


def roc_auc(positive: NDArray[np.bool_], score: NDArray[Any]) -> float | None:
    """Compute the area under the ROC curve (Fawcett 2006), ties counting half.

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
    counts = _both_sides(positive, score)
    return None if counts is None else float(area_under_roc(*counts))


def roc_points(
    positive: NDArray[np.bool_], score: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
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
    counts = _both_sides(positive, score)
    if counts is None:
        return None
    true, false = (np.concatenate(([0], side)) for side in counts)
    bends = np.ones(true.size, dtype=bool)
    bends[1:-1] = (np.diff(true, 2) != 0) | (np.diff(false, 2) != 0)
    return false[bends] / false[-1], true[bends] / true[-1]


def average_precision(positive: NDArray[np.bool_], score: NDArray[Any]) -> float | None:
    """Compute the area under the precision-recall curve, as steps (Davis and Goadrich 2006).

    The mean of the precisions at each threshold, weighed by how much recall it adds; photos of one
    score pass together.

    Args:
        positive: (n,) bool, which photos are of the class.
        score: (n,) float, higher for photos more likely of the class.

    Returns:
        the area, above 0 and at most 1; None where all photos are of the class, or none.

    Raises:
        ValueError: shapes differ, are not one-dimensional or empty, or a score is NaN.

    >>> average_precision(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    0.8333333333333333
    """
    counts = _both_sides(positive, score)
    return None if counts is None else float(area_under_precision(*counts))


def precision_recall_points(
    positive: NDArray[np.bool_], score: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Trace the precision-recall curve (Davis and Goadrich 2006), where it bends.

    Args:
        positive: (n,) bool, which photos are of the class.
        score: (n,) float, higher for photos more likely of the class.

    Returns:
        the recall and the precision, each (m,) float64, from the highest score down; before it, no
        recall at precision 1; None where all photos are of the class, or none.

    Raises:
        ValueError: shapes differ, are not one-dimensional or empty, or a score is NaN.

    >>> recall, precision = precision_recall_points(np.array([False, True]), np.array([0.1, 0.7]))
    >>> recall.tolist(), precision.tolist()
    ([0.0, 1.0, 1.0], [1.0, 1.0, 0.5])
    """
    counts = _both_sides(positive, score)
    if counts is None:
        return None
    true, false = counts
    recall, precision = true / true[-1], true / (true + false)
    return np.concatenate(([0.0], recall)), np.concatenate(([1.0], precision))


class Ranking(NamedTuple):
    """Photos from the highest score down, and the thresholds between them that bend the curves.

    Args:
        order: (n,) int, the photos.
        positive: (n,) bool, which of them, in that order, are of the class.
        starts: (m,) int, the place of the first photo above each threshold and not above the one
            before; photos of one score are never parted.
    """

    order: NDArray[np.int64]
    positive: NDArray[np.bool_]
    starts: NDArray[np.int64]


def rank(positive: NDArray[np.bool_], score: NDArray[Any]) -> Ranking:
    """Put photos in order of their score.

    >>> rank(np.array([True, False, True]), np.array([0.9, 0.5, 0.5])).starts.tolist()
    [0, 1]

    Args:
        positive: (n,) bool, which photos are of the class.
        score: (n,) float, without NaN.
    """
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], positive[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), order.size - 1)
    # Of scores that only others have, one after another, the lowest is enough.
    gains = np.diff(np.cumsum(hits)[last], prepend=0) > 0
    last = last[gains | np.append(gains[1:], True)]
    return Ranking(order, hits, np.append(0, last[:-1] + 1))


def counts_above(
    ranking: Ranking, weights: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the photos of the class, and the others, above each threshold.

    >>> ranking = rank(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    >>> true, false = counts_above(ranking, np.array([1, 1, 2]))
    >>> true.tolist(), false.tolist()
    ([1, 3], [0, 1])

    Args:
        ranking: of n photos, with m thresholds.
        weights: (..., n) int, how often each photo counts.

    Returns:
        both (..., m) int64, from the highest threshold down.
    """
    weighed = weights[..., ranking.order]
    every = np.add.reduceat(weighed, ranking.starts, axis=-1)
    weighed *= ranking.positive
    true = np.add.reduceat(weighed, ranking.starts, axis=-1)
    return np.cumsum(true, axis=-1), np.cumsum(every - true, axis=-1)


def area_under_roc(true: NDArray[np.int64], false: NDArray[np.int64]) -> NDArray[np.float64]:
    """The area under ROC curves from what `counts_above` gave.

    >>> area_under_roc(np.array([1, 2]), np.array([0, 1])).item()
    0.75

    Args:
        true: (..., m) int, photos of the class above each threshold; the last is not 0.
        false: (..., m) int, and of the others.

    Returns:
        (...) float64.
    """
    halves = 2 * true - np.diff(true, prepend=0)
    doubled = (np.diff(false, prepend=0) * halves).sum(axis=-1)
    return np.asarray(doubled / (2.0 * true[..., -1] * false[..., -1]))


def area_under_precision(true: NDArray[np.int64], false: NDArray[np.int64]) -> NDArray[np.float64]:
    """The average precision from what `counts_above` gave.

    >>> area_under_precision(np.array([1, 2]), np.array([0, 2])).item()
    0.75

    Args:
        true: (..., m) int, photos of the class above each threshold; the last is not 0.
        false: (..., m) int, and of the others.

    Returns:
        (...) float64.
    """
    precision = true / np.maximum(true + false, 1)  # a photo may be weighed with 0
    return np.asarray((np.diff(true, prepend=0) * precision).sum(axis=-1) / true[..., -1])


def _both_sides(
    positive: NDArray[np.bool_], score: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The counts above each score; None where all photos are of the class, or none."""
    positive, score = np.asarray(positive), np.asarray(score, dtype=np.float64)
    if positive.ndim != 1 or positive.shape != score.shape or positive.size == 0:
        raise ValueError(
            f"expected positive and score of one shape (n,), got {positive.shape} and {score.shape}"
        )
    if positive.dtype != np.bool_:
        raise ValueError(f"expected positive {positive.shape} as bool, got {positive.dtype}")
    if np.isnan(score).any():
        raise ValueError(f"score {score.shape} has NaN")
    if positive.all() or not positive.any():
        return None
    return counts_above(rank(positive, score), np.ones(positive.size, dtype=np.int64))
