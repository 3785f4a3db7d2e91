"""What a classifier gave for labelled photos: whether it can be judged, and what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Room for half-precision softmax; scores that are no probabilities are much further off.
_SUM_TOLERANCE = 1e-2


def check_predictions(
    truth: NDArray[Any], probabilities: NDArray[Any], classes: Sequence[str] | None = None
) -> None:
    """Refuse predictions that no figure can be computed from.

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.
        classes: the k names of the classes, at least two; by default one a column, nameless.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.

    >>> check_predictions(np.array([0]), np.array([[0.5, 0.5, 0.0]]), ["cat", "dog"])
    Traceback (most recent call last):
    ValueError: expected truth (n,) and probabilities (n, 2), got (1,) and (1, 3)
    """
    truth, probabilities = np.asarray(truth), np.asarray(probabilities)
    k = len(classes) if classes is not None else probabilities.shape[-1]
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


def answers(probabilities: NDArray[Any], threshold: float = 0.5) -> NDArray[np.int64]:
    """Tell which class is answered, as the classifier does.

    >>> answers(np.array([[0.5, 0.5], [0.6, 0.4]])).tolist()
    [1, 0]

    Args:
        probabilities: (n, k) float.
        threshold: with two classes, the probability of the second from which it is the answer.

    Returns:
        (n,) int, the second of two classes from the threshold on; of more, the most probable, and
        of those that are equally so the first.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.shape[1] == 2:
        return np.asarray(probabilities[:, 1] >= threshold, dtype=np.int64)
    return np.asarray(probabilities.argmax(axis=1))
