"""Whether a stage made the network better than what stood before it, and what to say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.evaluation.paired import Comparison, compare, in_words


@dataclass(frozen=True)
class Standing:
    """What stood before a stage.

    Args:
        network: the values of all its variables; empty where they are not to be gone back to.
        given: float64, shape (n, classes), its probabilities of the validation photos.
    """

    network: Sequence[NDArray[Any]]
    given: NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What became of a stage after the first.

    >>> Outcome(2, None, undone=True).in_words()
    'undone: it diverged'

    Args:
        stage: its number, from 1.
        comparison: with what stood before it, on the same photos; None where it diverged.
        undone: the network is again what it was before it.
    """

    stage: int
    comparison: Comparison | None
    undone: bool

    def in_words(self) -> str:
        """What became of it, with both figures."""
        word = "undone" if self.undone else "kept"
        return f"{word}: {in_words(self.comparison) if self.comparison else 'it diverged'}"

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values, ready for JSON."""
        compared = self.comparison.to_dict() if self.comparison else None
        return {"stage": self.stage, "undone": self.undone, "comparison": compared}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Outcome:
        """Read back what `to_dict` gave.

        >>> one = Outcome(2, None, undone=True)
        >>> Outcome.from_dict(one.to_dict()) == one
        True
        """
        compared = fields["comparison"]
        found = None if compared is None else Comparison.from_dict(compared)
        return cls(fields["stage"], found, fields["undone"])


def outcome(
    stage: int,
    truth: NDArray[np.int64],
    before: NDArray[np.float64],
    after: NDArray[np.float64] | None,
    *,
    roll_back: bool,
) -> Outcome:
    """Decide whether a stage is undone.

    >>> truth, sure = np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> outcome(2, truth, sure, sure[::-1], roll_back=True).undone
    True

    Args:
        stage: its number.
        truth: int, shape (n,), the classes of the photos that judge.
        before: float64, shape (n, classes), their probabilities before it,
        after: and after it; None where it diverged.
        roll_back: whether it may be undone.

    Returns:
        What becomes of it: undone where it diverged or is not better, and it may be.
    """
    if after is None:
        return Outcome(stage, None, undone=roll_back)
    found = compare(truth, before, after)
    return Outcome(stage, found, undone=roll_back and not found.better)
