"""The penalised log loss of linear heads on photos, of several heads in one pass over features.

Points are heads' weights in units of the features' root mean square, so that neither the penalty
nor the Hessian knows how large features are: float64, shape (features + 1, units), the bias last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import PawprintError
from pawprint.model import halves, head
from pawprint.model.head import Floats
from pawprint.model.minimise import Point
from pawprint.parallel import map_chunks

Features = NDArray[np.float16] | NDArray[np.float32]

_BLOCK = 2**18  # values, about what a core's own cache holds as float32
_STRETCH = 16  # blocks that a thread adds up at a time
_FLATTEST = 1e-7  # curvature, of the largest; less is rounding
_WORST = -math.log(1e-12)  # loss of one judged photo, as in `head`


class Rows(Protocol):
    """Features that are read again in every pass."""

    @property
    def labels(self) -> NDArray[np.integer[Any]]:
        """Of each photo: int, shape (n,), values 0 to classes - 1, every class present."""
        ...

    @property
    def features(self) -> int:
        """How many a photo has."""
        ...

    def read(self, start: int, stop: int) -> Features:
        """Some photos' features; called by several threads at once.

        Returns:
            float16 or float32, shape (stop - start, features).
        """
        ...


@dataclass(frozen=True)
class InMemory:
    """Photos whose features are held: labels, shape (n,), and values, shape (n, features)."""

    labels: NDArray[np.integer[Any]]
    values: Features

    @property
    def features(self) -> int:
        return int(self.values.shape[1])

    def read(self, start: int, stop: int) -> Features:
        return self.values[start:stop]


@dataclass(frozen=True)
class Found:
    """What a pass finds at a point.

    Args:
        point: where.
        value: mean weighted log loss of the photos that train, and the penalty.
        gradient: of the value, shaped as the point.
        log_loss: mean of the photos that judge, 0 if there are none.
        accuracy: of the photos that judge.
    """

    point: Point
    value: float
    gradient: Point
    log_loss: float
    accuracy: float


class LogLoss:
    """The function that a head minimises, on photos of which some only judge.

    Args:
        rows: the photos.
        size: the features' root mean square.
        judges: bool, shape (n,): photos that do not train.
    """

    def __init__(self, rows: Rows, size: float, judges: NDArray[np.bool_]) -> None:
        self._rows, self._size, self._judges = rows, size, judges
        every = np.bincount(rows.labels)
        counts = every - np.bincount(rows.labels[judges], minlength=len(every))
        self.total = int(counts.sum())  # of the weights, too
        self._of_class = np.ones(len(counts))
        if head.uneven(rows.labels):
            self._of_class = self.total / (len(counts) * np.maximum(counts, 1))

    def weights(self, block: slice) -> NDArray[np.float64]:
        """How much some photos count, those that judge nothing; not kept for all."""
        return np.asarray(self._of_class[self._rows.labels[block]] * ~self._judges[block])

    def at(self, points: Sequence[Point], ridges: Sequence[float]) -> list[Found]:
        """Compute value and gradient at several points in one pass.

        Args:
            points: each of the same shape.
            ridges: for each, the factor of half its squared length without the bias.
        """
        together = np.stack(points, axis=-1)  # (features + 1, units, points)
        kernels = (together[:-1] / self._size).reshape(self._rows.features, -1).astype(np.float32)
        sums = _Sums.nothing(together.shape)
        size, count = max(16, _BLOCK // max(kernels.shape)), len(self._judges)

        def stretch(starts: Sequence[int]) -> _Sums:
            sums = _Sums.nothing(together.shape)
            for start in starts:
                block = slice(start, min(start + size, count))
                sums.add(self._block(block, kernels, together[-1]))
            return sums

        for part in map_chunks(stretch, range(0, count, size), size=_STRETCH):
            sums.add(part)
        sums.gradient[:-1] /= self._size
        return [
            self._found(point, ridge, sums, place)
            for place, (point, ridge) in enumerate(zip(points, ridges, strict=True))
        ]

    def _block(self, block: slice, kernels: Floats, biases: Point) -> _Sums:
        """Sums over some photos; `biases` has shape (units, points)."""
        features = floats(self._rows.read(block.start, block.stop))
        labels, judges, weights = self._rows.labels[block], self._judges[block], self.weights(block)
        each = np.arange(len(labels))
        logits = (features @ kernels).reshape(len(labels), *biases.shape) + biases
        logs = log_probabilities(np.moveaxis(logits, 1, 0))  # (classes, photos, points)
        losses = -logs[labels, each]
        right = logs[:, judges].argmax(axis=0) == labels[judges, np.newaxis]
        residual = np.exp(logs)
        residual[labels, each] -= 1
        residual = residual[-len(biases) :] * weights[:, np.newaxis]
        flat = np.moveaxis(residual, 0, 1).reshape(len(labels), -1).astype(np.float32)
        gradient = (features.T @ flat).reshape(-1, *biases.shape)
        return _Sums(
            np.concatenate([gradient, residual.sum(axis=1)[np.newaxis]]),
            weights @ losses,
            np.minimum(losses[judges], _WORST).sum(axis=0),
            right.sum(axis=0),
        )

    def _found(self, point: Point, ridge: float, sums: _Sums, place: int) -> Found:
        gradient = sums.gradient[..., place] / self.total
        gradient[:-1] += ridge * point[:-1]
        judged = max(1, len(self._judges) - self.total)
        return Found(
            point,
            float(sums.loss[place] / self.total + ridge / 2 * np.square(point[:-1]).sum()),
            gradient,
            float(sums.judged[place] / judged),
            float(sums.right[place] / judged),
        )


@dataclass
class _Sums:
    """Over photos, for each of some points: shapes (features + 1, units, points) and (points,)."""

    gradient: NDArray[np.float64]
    loss: NDArray[np.float64]
    judged: NDArray[np.float64]
    right: NDArray[np.float64]

    @classmethod
    def nothing(cls, shape: tuple[int, ...]) -> _Sums:
        return cls(np.zeros(shape), *(np.zeros(shape[-1]) for _ in range(3)))

    def add(self, other: _Sums) -> None:
        self.gradient += other.gradient
        self.loss += other.loss
        self.judged += other.judged
        self.right += other.right


class Curvature:
    """The Hessian at a point as a sample of photos knows it, one matrix for all units.

    Args:
        sample: photos.
        size: the features' root mean square.
        point: where.
    """

    def __init__(self, sample: Rows, size: float, point: Point) -> None:
        loss = LogLoss(sample, size, np.zeros(len(sample.labels), bool))
        hessian = np.zeros((sample.features + 1,) * 2)
        kernel = (point[:-1] / size).astype(np.float32)
        for block in blocks(sample, 4 * _BLOCK):
            features = floats(sample.read(block.start, block.stop))
            own = np.exp(log_probabilities((features @ kernel + point[-1]).T))
            # Of the classes' curvatures p (1 - p) the mean; for two it is the curvature.
            bend = loss.weights(block) * (own * (1 - own)).mean(axis=0)
            root = np.sqrt(bend)[:, np.newaxis].astype(np.float32)
            rooted = np.hstack([features * (root / np.float32(size)), root])
            hessian += rooted.T @ rooted
        hessian /= loss.total
        # The bias has no penalty; with centred features it and the kernel are apart.
        self._of_bias = max(float(hessian[-1, -1]), np.finfo(float).tiny)
        self._centre = hessian[:-1, -1:] / self._of_bias
        centred = hessian[:-1, :-1] - self._of_bias * self._centre @ self._centre.T
        values, self._directions = np.linalg.eigh(centred)
        self._values = np.maximum(values, _FLATTEST * values[-1])

    def newton(self, gradient: Point, ridge: float) -> Point:
        """The gradient times the inverse of the Hessian with a penalty."""
        kernel, bias = gradient[:-1], gradient[-1:]
        along = self._directions.T @ (kernel - self._centre @ bias)
        kernel = self._directions @ (along / (self._values + ridge)[:, np.newaxis])
        return np.concatenate([kernel, bias / self._of_bias - self._centre.T @ kernel])


def blocks(rows: Rows, size: int = _BLOCK) -> Iterator[slice]:
    """The photos as ranges of about so many values."""
    step = max(16, size // rows.features)
    count = len(rows.labels)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def floats(features: Features) -> Floats:
    """Finite features as float32."""
    if features.dtype == np.float16:
        return halves.to_float32(features.view(np.float16))
    return features.astype(np.float32, copy=False)


def check(features: Features) -> None:
    """Look at every value.

    Raises:
        PawprintError: one is not finite.
    """
    if features.dtype == np.float16:
        fine = halves.finite(features.view(np.float16))
    else:
        fine = bool(np.isfinite(features).all())
    if not fine:
        raise PawprintError(
            "features of some photos are not finite (infinite, or not a number), so no head can be "
            "fitted on them: compute them again, and look for values beyond float16's 65504"
        )


def log_probabilities(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Logarithms of the classes' probabilities.

    >>> np.exp(log_probabilities(np.zeros(1))), np.exp(log_probabilities(np.zeros(4)))
    (array([0.5, 0.5]), array([0.25, 0.25, 0.25, 0.25]))

    Args:
        logits: shape (units, ...), one unit for two classes.

    Returns:
        float64, shape (classes, ...).
    """
    logits = np.ascontiguousarray(logits, np.float64)
    if len(logits) == 1:  # sigmoid is softmax over (0, logit)
        logits = np.concatenate([np.zeros_like(logits), logits])
    logits = logits - logits.max(axis=0)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=0)))
