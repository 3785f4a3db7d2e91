"""How far chance may have moved a figure: Wilson's interval of a share, the bootstrap of the rest.

The bootstrap draws the photos of each class anew from that class, as many as there are: how many
cats and dogs there are was someone's choice, not chance. So each figure is defined in each draw.
What did not happen on n photos may still happen on the next: two photos are added that are answered
rightly and two wrongly, shared out evenly among the classes, so that an interval has a width where
nothing is wrong. Where scores count, they have those of the middle photo of their own or of another
class.

Sources:
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927), 209-212.
    B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979),
    1-26; the intervals are its percentiles.
    R. M. Price and D. G. Bonett, "An improved confidence interval for a linear function of binomial
    proportions", Computational Statistics & Data Analysis 45 (2004), 449-456; what is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.evaluation.curves import area_under_precision, area_under_roc, counts_above, rank

Interval = tuple[float, float]

_DRAWS, _FEWEST_DRAWS = 1000, 100
_WORK, _MOST_WORK = 10_000_000, 100_000_000  # numbers to draw, before there are fewer draws; none
_ADDED = 2  # photos answered rightly, and as many wrongly
_BLOCK = 1_000_000  # numbers in memory at once


def wilson_interval(successes: int, count: int, confidence: float = 0.95) -> Interval:
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


def percentile_interval(drawn: NDArray[np.float64], value: float, confidence: float) -> Interval:
    """Bound a figure by the percentiles of its draws (Efron 1979).

    >>> percentile_interval(np.arange(9.0), 4.0, 0.5)
    (2.0, 6.0)

    Args:
        drawn: (draws,) float, the figure in each draw.
        value: the figure itself, which the interval always contains.
        confidence: between 0 and 1, both excluded.

    Returns:
        the lower and the upper end.
    """
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return min(float(low), value), max(float(high), value)


def draw_recalls(hits: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Draw the recall of each class anew (Efron 1979).

    >>> drawn = draw_recalls(np.array([90, 80]), np.array([100, 100]))
    >>> drawn.shape, drawn.mean(axis=0).round(2).tolist()
    ((1000, 2), [0.89, 0.8])

    Args:
        hits: (k,) int, how many photos of each class were answered as it,
        counts: (k,) int, of how many, at least 1.

    Returns:
        (draws, k) float64.
    """
    added = _ADDED / counts.size
    rng = np.random.default_rng(0)
    size = (_draws(counts.size), counts.size)
    return rng.binomial(counts, (hits + added) / (counts + 2 * added), size=size) / counts


def draw_f1(
    hits: NDArray[np.int64], counts: NDArray[np.int64], answered: NDArray[np.int64], total: int
) -> NDArray[np.float64]:
    """Draw the F1 of each class against the rest anew (Efron 1979).

    >>> drawn = draw_f1(np.array([90]), np.array([100]), np.array([110]), 200)
    >>> drawn.shape, drawn.mean().round(2).item()
    ((1000, 1), 0.85)

    Args:
        hits: (k,) int, how many photos of each class were answered as it,
        counts: (k,) int, of how many, at least 1,
        answered: (k,) int, and how many photos in all were answered as it.
        total: of all photos.

    Returns:
        (draws, k) float64.
    """
    added = _ADDED / 2  # the class and the rest
    rng, size = np.random.default_rng(0), (_draws(2 * counts.size), counts.size)
    others = total - counts
    found = rng.binomial(counts, (hits + added) / (counts + 2 * added), size=size)
    false = rng.binomial(others, (answered - hits + added) / (others + 2 * added), size=size)
    return np.asarray(2 * found / (counts + found + false))


def draw_areas(
    truth: NDArray[np.int64], probabilities: NDArray[Any], columns: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Draw the area under the ROC curve and the average precision anew (Efron 1979).

    >>> truth, sure = np.array([0, 1] * 50), np.eye(2)[[0, 1] * 50]
    >>> areas, precisions = draw_areas(truth, sure, [1])
    >>> areas.shape, round(float(areas.mean()), 2)
    ((1000,), 0.98)

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1, at least two of them present.
        probabilities: (n, k) float.
        columns: classes that are present; the figures are the means over these.

    Returns:
        both (draws,) float64; None where so many photos and columns would take too long.
    """
    draws = _draws(truth.size * len(columns))
    if draws * truth.size * len(columns) > _MOST_WORK:
        return None
    labels, rows = _with_added(truth, probabilities)
    rankings = [rank(labels == c, probabilities[rows, c]) for c in columns]
    areas, precisions = [], []
    for weights in _weights(labels, np.unique(truth).size, draws):
        counts = [counts_above(ranking, weights) for ranking in rankings]
        areas.append(np.mean([area_under_roc(*pair) for pair in counts], axis=0))
        precisions.append(np.mean([area_under_precision(*pair) for pair in counts], axis=0))
    return np.concatenate(areas), np.concatenate(precisions)


def _with_added(
    truth: NDArray[np.int64], probabilities: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels of the photos and of those added, and whose probabilities each has."""
    middle = []
    present = np.unique(truth)
    for label in present:
        photos = np.flatnonzero(truth == label)
        middle.append(photos[np.argsort(probabilities[photos, label])[photos.size // 2]])
    labels = np.concatenate([truth, present, present])
    return labels, np.concatenate([np.arange(truth.size), middle, np.roll(middle, -1)])


def _weights(labels: NDArray[np.int64], classes: int, draws: int) -> Iterator[NDArray[np.int64]]:
    """How often each photo is drawn, in blocks of (some, n); the last two of a class are added."""
    rng, size = np.random.default_rng(0), labels.size
    of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    # Whole numbers that are to each other as the weights are: 1 and `_ADDED` of so many classes.
    lots = [
        np.concatenate([np.repeat(p[:-2], classes), np.repeat(p[-2:], _ADDED)]) for p in of_class
    ]
    block = max(1, _BLOCK // size)
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = [
            lot[rng.integers(lot.size, size=(rows, photos.size - 2), dtype=np.int32)]
            for lot, photos in zip(lots, of_class, strict=True)
        ]
        places = np.concatenate(drawn, axis=1) + size * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * size).reshape(rows, size)


def _draws(numbers: int) -> int:
    """How many draws of so many numbers each are to be had in bounded time."""
    return min(_DRAWS, max(_FEWEST_DRAWS, _WORK // numbers))
