"""The head: logistic regression on features, as the weights of a Keras Dense layer.

How strongly it is regularised is chosen on a split of the training photos alone; validation photos
are never asked.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import MissingExtra

Floats = NDArray[np.float32]

# Relative to the features' mean square, so that a strength means the same for every backbone.
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
DEFAULT = 1e-2
_ONE_SPLIT_FROM = 1000  # with fewer photos the choice is made by cross-validation
_AT_ONCE = 2  # folds, each with a copy of its photos' features
_UNEVEN = 1.5  # largest class over smallest, from where on classes are weighted


@dataclass(frozen=True)
class Head:
    """A linear layer on features.

    Args:
        kernel: float32, shape (features, units); one unit for two classes, else one a class.
        bias: float32, shape (units,).
        choice: a row for each strength tried: strength, log_loss, accuracy, chosen.
    """

    kernel: Floats
    bias: Floats
    choice: tuple[dict[str, Any], ...] = ()

    def probabilities(self, features: Floats) -> NDArray[np.float64]:
        """Probability of each class.

        >>> head = Head(np.eye(2, 1, dtype="float32"), np.zeros(1, "float32"))
        >>> head.probabilities(np.zeros((1, 2), "float32"))
        array([[0.5, 0.5]])

        Args:
            features: float32, shape (n, features).

        Returns:
            float64, shape (n, classes), rows summing to 1.
        """
        logits = (features @ self.kernel + self.bias).astype(np.float64)
        if logits.shape[1] == 1:  # sigmoid is softmax over (0, logit)
            logits = np.hstack([np.zeros_like(logits), logits])
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def spread(labels: NDArray[np.integer[Any]], seed: int) -> NDArray[np.int64]:
    """An order at random in which every class is spread evenly, so that any part is stratified.

    >>> labels = np.array([0] * 6 + [1] * 3)
    >>> sorted(labels[spread(labels, seed=0)[:3]].tolist())
    [0, 0, 1]
    """
    place = np.empty(len(labels))
    for rows, places in spread_by_class(labels, seed):
        place[rows] = places
    return np.argsort(place)


def spread_by_class(
    labels: NDArray[np.integer[Any]], seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """The photos of each class in the order of `spread`, and where they come in it, from 0 to 1."""
    random = np.random.default_rng(seed)
    ends = np.bincount(labels).cumsum().tolist()
    by_class = np.argsort(labels, kind="stable")
    for start, end in pairwise([0, *ends]):
        if count := end - start:
            rows = by_class[start:end]
            random.shuffle(rows)
            places = 1e-6 * random.random(count)
            places += np.arange(0.5, count)
            places /= count
            yield rows, places


def uneven(labels: NDArray[np.integer[Any]]) -> bool:
    """Whether classes differ so much in number that they are weighted.

    >>> uneven(np.array([0, 0, 0, 1])), uneven(np.array([0, 0, 0, 1, 1]))
    (True, False)
    """
    counts = np.bincount(labels)
    return bool(counts.max() > _UNEVEN * counts.min())


def fit(features: Floats, labels: NDArray[np.int64], *, seed: int = 0) -> Head:
    """Fit logistic regression, its strength chosen on a split of these same photos.

    Args:
        features: float32, shape (n, features) or (n, views, features), photos in the order that
            `spread` gives.
        labels: int, shape (n,), values 0 to classes - 1, every class present.
        seed: of the folds.

    Returns:
        The head. Classes are weighted when they are uneven.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    if features.ndim == 2:
        features = features[:, np.newaxis]
    weight, unit = "balanced" if uneven(labels) else None, _unit(features)
    with solving():
        choice = _choose(features, labels, weight, unit, seed)
        strength = next((row["strength"] for row in choice if row["chosen"]), DEFAULT)
        regression = _regression(strength / unit, weight)
        regression.fit(*_rows(features, labels))
    return Head(
        np.ascontiguousarray(regression.coef_.T, dtype=np.float32),
        np.asarray(regression.intercept_, dtype=np.float32),
        tuple(choice),
    )


def out_of_fold(
    features: Floats,
    labels: NDArray[np.int64],
    fold_of: NDArray[np.int64],
    *,
    strength: float = DEFAULT,
    start: Head | None = None,
) -> NDArray[np.float64]:
    """Probabilities of each photo by logistic regression on the photos of the other folds.

    Args:
        features: float32, shape (n, features).
        labels: int, shape (n,), values 0 to classes - 1, every class present.
        fold_of: int, shape (n,), from 0.
        strength: as `fit` chose it.
        start: where to start from, for speed: such as what `fit` gave for all photos. What is
            found hardly depends on it.

    Returns:
        float64, shape (n, classes).

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    classes = int(labels.max()) + 1
    weight, unit = "balanced" if uneven(labels) else None, _unit(features)
    given = np.zeros((len(labels), classes))

    def judge(fold: int) -> None:
        held = fold_of == fold
        x, y = features[~held], labels[~held]
        there = np.unique(y)
        if len(there) < 2:
            given[np.ix_(held, there)] = 1.0
            return
        regression = _regression(strength / unit, weight)
        if start is not None and len(there) == classes:
            regression.classes_, regression.coef_ = there, start.kernel.T.copy()
            regression.intercept_ = start.bias.copy()
        regression.fit(x, y)
        given[np.ix_(held, there)] = regression.predict_proba(features[held])

    with solving(), ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(judge, np.unique(fold_of).tolist()))
    return given


def _unit(features: Floats) -> float:
    """The features' mean square."""
    flat = features.reshape(-1)
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64)) / features.size or 1.0


@contextmanager
def solving() -> Iterator[None]:
    """One thread, and no warnings of the weakest strengths, which the log loss judges as found."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise MissingExtra("training", "scikit-learn", "train") from None
    # L-BFGS is many small products: on two cores one thread was 2.5 (16,000 photos) to 13 (500)
    # times faster than two that wait for each other.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # at the iteration limit
        # Few photos of many classes are no regression.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield


def _rows(features: Floats, labels: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Every view of every photo as a row of its own, with its label."""
    views = features.shape[1]
    return features.reshape(-1, features.shape[2]), np.repeat(labels, views)


def _regression(c: float, weight: str | None) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=c, class_weight=weight, max_iter=1000, warm_start=True)


def _choose(
    features: Floats, labels: NDArray[np.int64], weight: str | None, unit: float, seed: int
) -> list[dict[str, Any]]:
    """Try every strength; empty where a class has too few photos to hold one out."""
    if np.bincount(labels).min() < 2:
        return []
    losses = np.zeros(len(STRENGTHS))
    right = np.zeros(len(STRENGTHS))
    total = 0
    for fit_rows, judge_rows in _folds(labels, seed):
        regression = _regression(1.0, weight)
        x, y = _rows(features[fit_rows], labels[fit_rows])
        judged, truth = _rows(features[judge_rows], labels[judge_rows])
        for place, strength in enumerate(STRENGTHS):  # each starts where the one before ended
            regression.C = strength / unit
            regression.fit(x, y)
            given = regression.predict_proba(judged)
            own = np.clip(given[np.arange(len(truth)), truth], 1e-12, 1.0)
            losses[place] -= float(np.log(own).sum())
            right[place] += int((given.argmax(axis=1) == truth).sum())
        total += len(truth)
    return compared((losses / total).tolist(), (right / total).tolist())


def compared(losses: Sequence[float], accuracies: Sequence[float]) -> list[dict[str, Any]]:
    """A row for each of `STRENGTHS`, as a `Head` keeps them; that of the least loss is chosen."""
    best = int(np.argmin(losses))
    return [
        {
            "strength": strength,
            "log_loss": losses[place],
            "accuracy": accuracies[place],
            "chosen": place == best,
        }
        for place, strength in enumerate(STRENGTHS)
    ]


def _folds(
    labels: NDArray[np.int64], seed: int
) -> Iterator[tuple[slice | Sequence[int], slice | Sequence[int]]]:
    """Slices for many photos, as they cost no copy; stratified folds for few."""
    count = len(labels)
    if count >= _ONE_SPLIT_FROM:
        border = count * 4 // 5
        yield slice(0, border), slice(border, count)
        return
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(min(5, int(np.bincount(labels).min())), shuffle=True, random_state=seed)
    yield from folds.split(np.zeros(count), labels)
