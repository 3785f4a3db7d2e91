"""Whether a probability means what it says, and the temperature that mends it; NumPy alone.

Sources:
    G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather
    Review 78 (1950), 1-3.
    M. P. Naeini, G. F. Cooper and M. Hauskrecht, "Obtaining well calibrated probabilities using
    Bayesian binning", AAAI Conference on Artificial Intelligence (2015), 2901-2907; the expected
    calibration error.
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On calibration of modern neural networks",
    International Conference on Machine Learning (2017), 1321-1330; that error of the most probable
    class in 15 bins, and the temperature.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.classifier import SMALLEST, at_temperature
from pawprint.evaluation.cross_fitting import cross_fitted
from pawprint.evaluation.intervals import Interval, wilson_interval
from pawprint.evaluation.metrics import Plain, log_loss
from pawprint.evaluation.predictions import answers, check_predictions

BINS = 15

_COLDEST, _HOTTEST = 0.05, 20.0
_PRIOR = 4.0  # of 1 / T: a Gamma distribution of shape 1 + 4 with its peak at 1
_HALVINGS = 30


@dataclass(frozen=True)
class Bin:
    """Photos answered with much the same confidence.

    Args:
        low: the confidence above which,
        high: and up to which they are here.
        count: how many photos, at least 1.
        confidence: the mean probability of their most probable class.
        accuracy: share of them of which that class is the true one.
        interval: Wilson's interval of the accuracy, at 95 %, lower and upper end.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    interval: Interval


@dataclass(frozen=True)
class Reliability(Plain):
    """How far probabilities can be taken at their word.

    Args:
        ece: expected calibration error, as of `expected_calibration_error`.
        brier: Brier score, as of `brier`.
        log_loss: mean negative natural logarithm of the true class's probability.
        bins: of the confidence, in order, without those that have no photos.

    >>> one = reliability(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    >>> Reliability.from_dict(one.to_dict()) == one
    True
    """

    ece: float
    brier: float
    log_loss: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Calibration(Plain):
    """What a temperature does for the probabilities.

    Args:
        temperature: fitted on all photos; above 1 where the classifier was too sure of itself.
        before: the probabilities as they were,
        after: and at temperatures, each fitted on other photos than those it is judged on.

    >>> truth, given = np.array([0, 1] * 50), np.array([[0.9, 0.1], [0.2, 0.8]] * 50)
    >>> found, _ = calibrate(truth, given)
    >>> Calibration.from_dict(found.to_dict()) == found
    True
    """

    temperature: float
    before: Reliability
    after: Reliability


def calibrate(
    truth: NDArray[Any], probabilities: NDArray[Any]
) -> tuple[Calibration, NDArray[np.float64]]:
    """Fit the temperature, and judge it on photos that it was not fitted on (Guo et al. 2017).

    >>> truth, given = np.array([0, 0, 0, 1] * 50), np.array([[0.99, 0.01]] * 200)
    >>> found, _ = calibrate(truth, given)
    >>> found.temperature > 3, found.before.ece > 10 * found.after.ece
    (True, True)

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.

    Returns:
        The calibration, and the probabilities (n, k) that its `after` is of: in 5 folds, each at
        the temperature of the other four.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.
    """
    truth, probabilities = _checked(truth, probabilities)
    fitted = cross_fitted(truth, probabilities, fit_temperature, at_temperature)
    calibration = Calibration(
        temperature=fit_temperature(truth, probabilities),
        before=reliability(truth, probabilities),
        after=reliability(truth, fitted),
    )
    return calibration, fitted


def fit_temperature(truth: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Find the temperature at which the true classes are most probable (Guo et al. 2017).

    A few photos, all of them answered rightly, would ask for certainty. So a weak opinion that
    nothing needs to change, a Gamma prior of 1 / T with its peak at 1, is heard as well: it holds
    T near 1 on five photos and is hardly noticed on a thousand.

    >>> round(fit_temperature(np.array([0, 0, 0, 1] * 500), np.array([[0.9, 0.1]] * 2000)), 1)
    2.0

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.

    Returns:
        the temperature, 0.05 to 20; 1 for photos of one class, which cannot tell, and for none.

    Raises:
        ValueError: a shape, kind or value is wrong.
    """
    if np.unique(truth).size < 2:
        return 1.0
    truth, probabilities = _checked(truth, probabilities)
    logs = np.log(np.clip(probabilities, SMALLEST, 1.0))
    logs -= logs.max(axis=1, keepdims=True)
    true = float(logs[np.arange(truth.size), truth].sum())
    low, high = log(1 / _HOTTEST), log(1 / _COLDEST)
    # In 1 / T the loss and the prior are both convex: where their slope is 0 is the one minimum.
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inverse = exp(middle)
        odds = np.exp(inverse * logs)
        expected = float(((odds * logs).sum(axis=1) / odds.sum(axis=1)).sum())
        if expected - true + _PRIOR * (1 - 1 / inverse) > 0:
            high = middle
        else:
            low = middle
    return exp(-(low + high) / 2)


def reliability(truth: NDArray[Any], probabilities: NDArray[Any], bins: int = BINS) -> Reliability:
    """Judge probabilities by what they promised.

    >>> reliability(np.array([0, 1]), np.array([[0.9, 0.1], [0.7, 0.3]])).bins[0].accuracy
    0.0

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.
        bins: how many the range of the confidence is cut into, all of one width.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.
    """
    truth, probabilities = _checked(truth, probabilities)
    edges = np.arange(bins + 1) / bins
    confidence, right = probabilities.max(axis=1), answers(probabilities) == truth
    place = np.digitize(confidence, edges[1:-1], right=True)
    found = []
    for one in np.unique(place):
        here = place == one
        count, hits = int(here.sum()), int(right[here].sum())
        found.append(
            Bin(
                low=float(edges[one]),
                high=float(edges[one + 1]),
                count=count,
                confidence=float(confidence[here].mean()),
                accuracy=hits / count,
                interval=wilson_interval(hits, count),
            )
        )
    gaps = sum(one.count * abs(one.accuracy - one.confidence) for one in found)
    return Reliability(
        ece=gaps / truth.size,
        brier=brier(truth, probabilities),
        log_loss=log_loss(truth, probabilities),
        bins=tuple(found),
    )


def expected_calibration_error(
    truth: NDArray[Any], probabilities: NDArray[Any], bins: int = BINS
) -> float:
    """Compute how far confidence is from accuracy, on the mean (Naeini et al. 2015).

    The confidence is the probability of the most probable class (Guo et al. 2017); photos of much
    the same confidence are taken together.

    >>> expected_calibration_error(np.array([0, 1]), np.array([[0.75, 0.25], [0.75, 0.25]]))
    0.25

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.
        bins: how many the range of the confidence is cut into, all of one width.

    Returns:
        the error, 0 to 1.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.
    """
    return reliability(truth, probabilities, bins).ece


def brier(truth: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Compute the mean squared error of the probabilities (Brier 1950).

    >>> round(brier(np.array([0, 1]), np.array([[0.9, 0.1], [0.7, 0.3]])), 3)
    0.25

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.

    Returns:
        of two classes, that of the second, 0 to 1; of more, summed over all of them, 0 to 2.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.
    """
    truth, probabilities = _checked(truth, probabilities)
    wrong = probabilities.copy()
    wrong[np.arange(truth.size), truth] -= 1
    squares = (wrong**2).sum(axis=1)
    return float(squares.mean() / (2 if probabilities.shape[1] == 2 else 1))


def _checked(
    truth: NDArray[Any], probabilities: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    truth, probabilities = np.asarray(truth), np.asarray(probabilities)
    check_predictions(truth, probabilities)
    return truth.astype(np.int64), probabilities.astype(np.float64)
