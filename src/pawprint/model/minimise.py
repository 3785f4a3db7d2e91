"""L-BFGS that asks for values instead of computing them, so that many runs share one pass.

A run is a generator: it yields a point and is sent what was found there. Its approximate inverse
of the Hessian may be given, and steps of length 1 are then right from the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Point = NDArray[np.float64]

_REMEMBERED = 10  # steps
_MOST_STEPS = 200
_SHORTEST = 1e-6  # of a step; below, rounding hides all descent
_DESCENT = 1e-4  # of what the slope promises, that a step must keep
_ROUNDING = 1e-9  # of a value


class Found(Protocol):
    """A convex function at a point."""

    @property
    def point(self) -> Point: ...
    @property
    def value(self) -> float: ...
    @property
    def gradient(self) -> Point: ...


At = TypeVar("At", bound=Found)


def minimise(
    start: Point, newton: Callable[[Point], Point], tolerance: float
) -> Generator[Point, At, At]:
    """Ask for one point after the other, and return what was found at the lowest.

    Args:
        start: float64, any shape.
        newton: multiplies a gradient by an approximate inverse of the Hessian.
        tolerance: how much lower the value may still get, as far as the curvature tells.
    """
    at = yield start
    steps: deque[tuple[Point, Point]] = deque(maxlen=_REMEMBERED)  # with the change of gradient
    for _ in range(_MOST_STEPS):
        direction = -_inverse_hessian(at.gradient, steps, newton)
        slope = float(np.vdot(direction, at.gradient))
        if -slope / 2 <= tolerance:
            break
        length = 1.0
        while True:
            gone = yield at.point + length * direction
            allowed = at.value + _DESCENT * length * slope + _ROUNDING * abs(at.value)
            if gone.value <= allowed:
                break
            # The lowest point of the parabola through what is known, within reason.
            excess = gone.value - at.value - slope * length
            length *= min(0.5, max(0.1, -slope * length / (2 * excess)))
            if length < _SHORTEST:
                return at
        step, change = gone.point - at.point, gone.gradient - at.gradient
        if np.vdot(step, change) > 0:
            steps.append((step, change))
        at = gone
    return at


def _inverse_hessian(
    gradient: Point, steps: deque[tuple[Point, Point]], newton: Callable[[Point], Point]
) -> Point:
    """The gradient times the inverse Hessian, as the steps correct what `newton` makes of it."""
    shares = []
    for step, change in reversed(steps):
        share = np.vdot(step, gradient) / np.vdot(step, change)
        gradient = gradient - share * change
        shares.append(share)
    direction = newton(gradient)
    if steps:
        step, change = steps[-1]
        direction = direction * (np.vdot(step, change) / np.vdot(change, newton(change)))
    for (step, change), share in zip(steps, reversed(shares), strict=True):
        back = np.vdot(change, direction) / np.vdot(step, change)
        direction = direction + (share - back) * step
    return direction
