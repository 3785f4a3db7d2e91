"""What is fitted on some photos, tried on the others: figures of it that are not flattered.

Sources:
    M. Stone, "Cross-validatory choice and assessment of statistical predictions", Journal of the
    Royal Statistical Society B 36 (1974), 111-147.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

FOLDS = 5

_Fitted = TypeVar("_Fitted")


def stratified_folds(truth: NDArray[np.int64], folds: int = FOLDS) -> NDArray[np.int64]:
    """Deal photos out to folds in their order, class by class.

    >>> stratified_folds(np.array([0, 0, 0, 1, 1]), 2).tolist()
    [0, 1, 0, 1, 0]

    Args:
        truth: (n,) int, the true class of each photo.
        folds: how many, at least 2.

    Returns:
        (n,) int, the fold of each photo, from 0.
    """
    fold_of = np.empty(truth.size, dtype=np.int64)
    fold_of[np.argsort(truth, kind="stable")] = np.arange(truth.size) % folds
    return fold_of


def cross_fitted(
    truth: NDArray[np.int64],
    probabilities: NDArray[Any],
    fit: Callable[[NDArray[np.int64], NDArray[Any]], _Fitted],
    apply: Callable[[NDArray[Any], _Fitted], NDArray[Any]],
    folds: int = FOLDS,
) -> NDArray[Any]:
    """Apply to the photos of each fold what was fitted on those of the others (Stone 1974).

    >>> truth, probabilities = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1]] * 4)
    >>> cross_fitted(truth, probabilities, lambda t, _: t.size, lambda p, n: p * n, 2)[0].tolist()
    [1.8, 0.2]

    Args:
        truth: (n,) int, the true class of each photo.
        probabilities: (n, k) float, each row summing to 1.
        fit: is given both for the photos of the other folds; none, where there is one photo.
        apply: is given the probabilities of a fold's photos, and what was fitted.
        folds: how many, at least 2.

    Returns:
        (n, ...), what `apply` gave for each photo.
    """
    fold_of = stratified_folds(truth, folds)
    held = [np.flatnonzero(fold_of == fold) for fold in np.unique(fold_of)]
    found = []
    for photos in held:
        others = np.delete(np.arange(truth.size), photos)
        found.append(apply(probabilities[photos], fit(truth[others], probabilities[others])))
    return np.concatenate(found)[np.argsort(np.concatenate(held))]
