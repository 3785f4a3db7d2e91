"""The head, fitted on features that are read again in every pass and never all in memory.

What is minimised, the strengths and how one is chosen are those of `head`. Passes are what costs,
so all strengths share them, and few are needed: a guess is fitted on a sample first, and from it
steps are those of Newton's method as the sample knows the Hessian, corrected by L-BFGS.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.model import head
from pawprint.model.head import Floats, Head
from pawprint.model.log_loss import (
    Curvature,
    Features,
    Found,
    InMemory,
    LogLoss,
    Rows,
    blocks,
    check,
    floats,
)
from pawprint.model.minimise import Point, minimise
from pawprint.parallel import map_chunks
from pawprint.progress import SILENT, Advance, Progress

__all__ = ["Rows", "fit"]

_FEW = 20_000  # photos that are fitted in memory,
_SMALL = 2**24  # of no more values than this
_SAMPLE = 2**27  # values, 256 MB of float16
_GUESSED_ON = 4  # is one part in so many; on photos that were fitted the Hessian looks too small
_OF_EACH = 8  # photos of a class that are in a sample, if there are as many
_AT_ONCE = 1024  # units of all the strengths tried together, which bounds what the search keeps
_TO_CHOOSE, _TO_KEEP = 1e-5, 1e-8  # how much lower the mean log loss may still get


def fit(rows: Rows, *, seed: int = 0, progress: Progress = SILENT) -> Head:
    """Fit what `head.fit` fits on the same photos in the order that `head.spread` gives.

    Up to 20,000 photos of no more than 2**24 values are simply given to it. Of more, a sample of
    256 MB (of float32, 512) is held, the blocks at work, and what the search keeps: some 20 times
    the weights of up to 1,024 units.

    Args:
        rows: the photos' features, in any order.
        seed: of the split.
        progress: counts the passes.

    Returns:
        The head. Classes are weighted when they are uneven.

    Raises:
        PawprintError: a feature is not finite.
        MissingExtra: scikit-learn is not installed.
    """
    labels = rows.labels
    if len(labels) <= _FEW and len(labels) * rows.features <= _SMALL:
        order = head.spread(labels, seed)
        return head.fit(_everything(rows)[order], labels[order].astype(np.int64), seed=seed)
    classes = int(labels.max()) + 1
    with head.solving(), progress.step("Fitting the head", None) as advance:
        size, sample = _first_look(rows, _sampled(labels, seed, _SAMPLE // rows.features))
        advance(1)
        search = _Search(size, seed, advance)
        few = _few(sample, seed)
        nowhere = np.zeros((rows.features + 1, 1 if classes == 2 else classes))
        guess, _ = search.best(few, few, nowhere, _TO_CHOOSE)
        point, choice = search.best(rows, sample, guess, _TO_KEEP)
    return Head(
        np.ascontiguousarray(point[:-1] / size, dtype=np.float32),
        point[-1].astype(np.float32),
        choice,
    )


def _everything(rows: Rows) -> Floats:
    values = np.empty((len(rows.labels), rows.features), np.float32)
    for part in blocks(rows):
        features = rows.read(part.start, part.stop)
        check(features)
        values[part] = floats(features)
    return values


def _first_look(rows: Rows, wanted: NDArray[np.bool_]) -> tuple[float, InMemory]:
    """The features' root mean square, and some photos to keep."""

    def look(parts: Sequence[slice]) -> tuple[float, Features]:
        (part,) = parts
        features = rows.read(part.start, part.stop)
        check(features)
        flat = floats(features).reshape(-1)
        return float(np.vdot(flat, flat)), features[wanted[part]]

    values = np.empty((int(wanted.sum()), rows.features), rows.read(0, 1).dtype)
    squares, filled = 0.0, 0
    for some, kept in map_chunks(look, blocks(rows), size=1):
        squares += some
        values[filled : filled + len(kept)] = kept
        filled += len(kept)
    size = float(np.sqrt(squares / (len(wanted) * rows.features))) or 1.0
    return size, InMemory(rows.labels[wanted], values)


def _sampled(labels: NDArray[np.integer[Any]], seed: int, size: int) -> NDArray[np.bool_]:
    """Which photos are in a stratified sample of about a size, with some of every class."""
    within = np.zeros(len(labels), bool)
    for own, _ in head.spread_by_class(labels, seed):
        within[own[: max(_OF_EACH, math.ceil(len(own) * (size / len(labels))))]] = True
    return within


def _last_fifth(labels: NDArray[np.integer[Any]], seed: int) -> NDArray[np.bool_]:
    """The photos at the end of the order at random, which judge."""
    judges = np.zeros(len(labels), bool)
    judges[head.spread(labels, seed)[len(labels) * 4 // 5 :]] = True
    return judges


def _few(sample: InMemory, seed: int) -> InMemory:
    """A part of the sample, to guess on."""
    within = _sampled(sample.labels, seed, len(sample.labels) // _GUESSED_ON)
    return InMemory(sample.labels[within], sample.values[within])


@dataclass(frozen=True)
class _Search:
    """How heads are found.

    Args:
        size: the features' root mean square.
        seed: of the split.
        advance: is told of every pass.
    """

    size: float
    seed: int
    advance: Advance

    def best(
        self, rows: Rows, sample: Rows, start: Point, tolerance: float
    ) -> tuple[Point, tuple[dict[str, Any], ...]]:
        """The head of the best strength, fitted on all photos, and how strengths compared.

        Args:
            rows: the photos.
            sample: some of them, or all, that tell the Hessian.
            start: where to start from.
            tolerance: how much lower the mean log loss may still get.
        """
        labels = rows.labels
        curvature = Curvature(sample, self.size, start)
        judges = np.zeros(len(labels), bool)
        strength, choice = head.DEFAULT, []
        if np.bincount(labels).min() >= 2:
            judges = _last_fifth(labels, self.seed)
            loss = LogLoss(rows, self.size, judges)
            tried: list[Found] = []
            at_once = max(1, _AT_ONCE // start.shape[1])
            for place in range(0, len(head.STRENGTHS), at_once):
                some = head.STRENGTHS[place : place + at_once]
                tried += self._minima(loss, curvature, some, start, _TO_CHOOSE)
            choice = head.compared([at.log_loss for at in tried], [at.accuracy for at in tried])
            best = int(np.argmin([at.log_loss for at in tried]))
            strength, start = head.STRENGTHS[best], tried[best].point
            judges[:] = False
            curvature = Curvature(sample, self.size, start)
        loss = LogLoss(rows, self.size, judges)
        (found,) = self._minima(loss, curvature, [strength], start, tolerance)
        return found.point, tuple(choice)

    def _minima(
        self,
        loss: LogLoss,
        curvature: Curvature,
        strengths: Sequence[float],
        start: Point,
        tolerance: float,
    ) -> list[Found]:
        """The lowest point of each strength; in a pass all that are still sought are computed."""
        ridges = [1 / (strength * loss.total) for strength in strengths]
        runs: list[Generator[Point, Found, Found]] = [
            minimise(start, partial(curvature.newton, ridge=ridge), tolerance) for ridge in ridges
        ]
        asked = {place: next(run) for place, run in enumerate(runs)}
        found: dict[int, Found] = {}
        while asked:
            passed = loss.at(list(asked.values()), [ridges[place] for place in asked])
            self.advance(1)
            for place, at in zip(list(asked), passed, strict=True):
                try:
                    asked[place] = runs[place].send(at)
                except StopIteration as ended:
                    found[place] = ended.value
                    del asked[place]
        return [found[place] for place in range(len(runs))]
