"""Two sets of answers on the same photos, compared photo by photo, with NumPy alone.

Sources:
    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12 (1947), 153-157.
    D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data", Journal of Educational and Behavioral Statistics 37 (2012),
    479-488.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from pawprint.evaluation.metrics import log_loss
from pawprint.evaluation.predictions import answers


@dataclass(frozen=True)
class Comparison:
    """How the same photos were answered before and after something was done.

    >>> Comparison(10, 8, 9, 0, 1, (-0.16, 0.32), 0.95, 1.0, 0.4, 0.3).better
    True

    Args:
        count: how many photos.
        right_before: how many of them were answered rightly before,
        right_after: and after.
        only_before: how many were right before and wrong after,
        only_after: and the other way round.
        interval: of the difference of the two shares, after less before; lower and upper end.
        confidence: of that interval, between 0 and 1.
        p_value: of McNemar's exact test, two-sided: how often chance alone would part the photos
            that changed so unevenly.
        log_loss_before: the mean over all photos before,
        log_loss_after: and after.
    """

    count: int
    right_before: int
    right_after: int
    only_before: int
    only_after: int
    interval: tuple[float, float]
    confidence: float
    p_value: float
    log_loss_before: float
    log_loss_after: float

    @property
    def better(self) -> bool:
        """Whether more photos are right than before or, where as many are, log loss is lower."""
        if self.right_after != self.right_before:
            return self.right_after > self.right_before
        return self.log_loss_after < self.log_loss_before

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain numbers and lists, ready for JSON."""
        return {**asdict(self), "interval": list(self.interval)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Comparison:
        """Read back what `to_dict` gave.

        >>> one = Comparison(10, 8, 9, 0, 1, (-0.16, 0.32), 0.95, 1.0, 0.4, 0.3)
        >>> Comparison.from_dict(one.to_dict()) == one
        True
        """
        low, high = fields["interval"]
        return cls(**{**fields, "interval": (low, high)})


def compare(
    truth: npt.NDArray[np.int64],
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    *,
    answered: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two sets of probabilities on the same photos.

    >>> truth, sure = np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> found = compare(truth, before=sure[::-1], after=sure)
    >>> found.right_before, found.right_after, found.p_value
    (0, 2, 0.5)

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        before: (n, k) float, each row summing to 1,
        after: and the same for afterwards.
        answered: (n,) int each, the classes that were answered before and after; by default the
            most probable ones.
        confidence: of the interval, between 0 and 1.

    Returns:
        The comparison.

    Raises:
        ValueError: the shapes differ, or there are no photos.
    """
    if before.shape != after.shape or truth.shape != before.shape[:1] or not truth.size:
        raise ValueError(
            f"expected truth (n,) and probabilities (n, k) of the same photos, got {truth.shape}, "
            f"{before.shape} and {after.shape}"
        )
    first, then = answered or (answers(before), answers(after))
    was, now = first == truth, then == truth
    only_before, only_after = int((was & ~now).sum()), int((now & ~was).sum())
    return Comparison(
        count=truth.size,
        right_before=int(was.sum()),
        right_after=int(now.sum()),
        only_before=only_before,
        only_after=only_after,
        interval=difference_interval(only_before, only_after, truth.size, confidence),
        confidence=float(confidence),
        p_value=mcnemar(only_before, only_after),
        log_loss_before=log_loss(truth, before),
        log_loss_after=log_loss(truth, after),
    )


def difference_interval(
    only_before: int, only_after: int, count: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Bound the difference of two paired proportions (Bonett and Price 2012).

    Wald's interval after one more photo of each kind that changed, which covers what it should on
    few photos too, and has a width where no photo changed.

    >>> low, high = difference_interval(7, 1, 21)
    >>> round(low, 3), round(high, 3)
    (-0.508, -0.013)

    Args:
        only_before: how many photos were right before and wrong after,
        only_after: and the other way round.
        count: of all photos, at least 1.
        confidence: between 0 and 1, both excluded.

    Returns:
        the lower and the upper end of after less before, both within -1 and 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    lost, won = (only_before + 1) / (count + 2), (only_after + 1) / (count + 2)
    half = z * sqrt((lost + won - (won - lost) ** 2) / (count + 2))
    return max(-1.0, won - lost - half), min(1.0, won - lost + half)


def mcnemar(only_before: int, only_after: int) -> float:
    """The p-value of McNemar's test (1947), exact and two-sided.

    >>> round(mcnemar(7, 1), 4), mcnemar(0, 0)
    (0.0703, 1.0)

    Args:
        only_before: how many photos were right before and wrong after,
        only_after: and the other way round.
    """
    changed = only_before + only_after
    ways = tail = 1
    for place in range(min(only_before, only_after)):
        ways = ways * (changed - place) // (place + 1)  # binomial coefficients, one from the other
        tail += ways
    return min(1.0, float(2 * tail / 2**changed))


def in_words(found: Comparison) -> str:
    """A comparison as people read it.

    >>> in_words(Comparison(80, 78, 73, 6, 1, (-0.1271, 0.0051), 0.95, 0.125, 0.1, 0.2))
    '91.2% right of 80 after, 97.5% before (difference -6.2 points, 95% interval -12.7 to +0.5)'
    """
    before, after = found.right_before / found.count, found.right_after / found.count
    low, high = (100 * end for end in found.interval)
    said = (
        f"{after:.1%} right of {found.count:,} after, {before:.1%} before (difference "
        f"{100 * (after - before):+.1f} points, {found.confidence:.0%} interval {low:+.1f} to "
        f"{high:+.1f})"
    )
    if found.right_before != found.right_after:
        return said
    return f"{said}; log loss {found.log_loss_after:.4f} after, {found.log_loss_before:.4f} before"
