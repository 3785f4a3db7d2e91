"""How the probabilities of two classes become an answer: from which threshold on it is the second.

Sources:
    C. Elkan, "The foundations of cost-sensitive learning", International Joint Conference on
    Artificial Intelligence (2001), 973-978.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import RecipeError
from pawprint.evaluation.cross_fitting import cross_fitted
from pawprint.evaluation.predictions import answers, check_predictions

DEFAULT = 0.5

_ROUNDING = 1e-12  # in a share that is to be reached


@dataclass(frozen=True)
class Decision:
    """What the threshold is to be best at.

    Args:
        rule: "default", "accuracy", "f1", "precision", "recall" or "cost".
        classes: their names.
        label: the class that F1, precision or recall is of, else None.
        goal: the precision or recall to reach, above 0 and at most 1, else None.
        costs: what it costs when the first class is taken for the second, and the other way
            round, both above 0, else None.
    """

    rule: str
    classes: tuple[str, ...]
    label: str | None = None
    goal: float | None = None
    costs: tuple[float, float] | None = None


@dataclass(frozen=True)
class Threshold:
    """From which probability on the second class is the answer.

    Args:
        value: between 0 and 1, both excluded.
        reached: whether the photos it was chosen on have the precision or recall asked for.
        in_words: the value, and what it does on those photos.
    """

    value: float
    reached: bool
    in_words: str


def parse(text: str, classes: Sequence[str]) -> Decision:
    """Read how to decide, as it stands in a recipe.

    >>> parse("recall:dog=0.95", ["cat", "dog"]).goal
    0.95
    >>> parse("cost:cat>dog=5,dog>cat=1", ["cat", "dog"]).costs
    (5.0, 1.0)

    Args:
        text: `default`, `accuracy`, `f1:CLASS`, `precision:CLASS=0.99`, `recall:CLASS=0.95`, or
            `cost:ONE>OTHER=5,OTHER>ONE=1`, where a ONE that is taken for an OTHER costs 5.
        classes: the names of the classes, in order.

    Returns:
        The decision.

    Raises:
        RecipeError: it is none of these, or not of these classes.
    """
    classes, text = tuple(classes), text.strip()
    if text == "default":
        return Decision(text, classes)
    if len(classes) != 2:
        raise RecipeError(
            f"decision {text!r} needs two classes, and there are {len(classes)}; expected 'default'"
        )
    rule, _, rest = text.partition(":")
    if text == "accuracy":
        return Decision(rule, classes)
    if rule == "f1":
        return Decision(rule, classes, _label(rest, text, classes))
    if rule in ("precision", "recall"):
        # A number has no "=": the last one ends the name, whatever is in it.
        name, _, number = rest.rpartition("=")
        label = _label(name, text, classes)
        return Decision(rule, classes, label, _number(number, text, "above 0 and at most 1", 1.0))
    if rule == "cost":
        return Decision(rule, classes, costs=_costs(rest, text, classes))
    first, second = classes
    raise RecipeError(
        f"decision {text!r} is not known; expected default, accuracy, f1:{second}, "
        f"precision:{second}=0.99, recall:{second}=0.95 or "
        f"cost:{first}>{second}=5,{second}>{first}=1"
    )


def choose_threshold(
    decision: Decision, truth: NDArray[Any], probabilities: NDArray[Any]
) -> Threshold:
    """Find the threshold that does on these photos what was decided.

    It lies in the middle between two neighbouring probabilities, or is 0.5; of those that are
    equally good it is the one nearest 0.5. Costs need no photos (Elkan 2001).

    >>> truth, given = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    >>> choose_threshold(parse("accuracy", ["cat", "dog"]), truth, given).in_words
    '0.2000: 100.0% right of 3 photos'

    Args:
        decision: as of `parse`.
        truth: (n,) int, the true class of each photo, 0 or 1.
        probabilities: (n, 2) float, each row summing to 1.

    Returns:
        The threshold. Where a precision or recall cannot be reached, the nearest to it; 0.5 where
        there are no photos to choose on, or none of a class.

    Raises:
        ValueError: a shape, kind or value is wrong.
    """
    if decision.rule == "default":
        return Threshold(DEFAULT, True, f"{DEFAULT}, the default")
    if decision.costs is not None:
        return _cheapest(decision.classes, decision.costs)
    if np.unique(truth).size < 2:
        return Threshold(DEFAULT, False, f"{DEFAULT}, for want of photos of both classes")
    truth, probabilities = np.asarray(truth), np.asarray(probabilities)
    check_predictions(truth, probabilities, decision.classes)
    cuts = _Cuts.of(decision, truth, probabilities[:, 1].astype(np.float64))
    if decision.rule == "accuracy":
        best = cuts.best(cuts.accuracy)
        words = f"{cuts.accuracy[best]:.1%} right of {_photos(truth.size)}"
        return Threshold(float(cuts.values[best]), True, f"{cuts.values[best]:.4f}: {words}")
    return _for_class(decision, cuts)


def decided(
    truth: NDArray[Any], probabilities: NDArray[Any], decision: Decision
) -> NDArray[np.int64]:
    """Answer each photo at a threshold that was chosen on other photos.

    >>> truth, given = np.array([0, 1] * 5), np.array([[0.9, 0.1], [0.7, 0.3]] * 5)
    >>> decided(truth, given, parse("accuracy", ["cat", "dog"])).tolist()
    [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.
        decision: as of `parse`.

    Returns:
        (n,) int, the answers: in 5 folds, each at the threshold of the other four.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.
    """
    truth, probabilities = np.asarray(truth), np.asarray(probabilities)
    check_predictions(truth, probabilities, decision.classes)

    def chosen(others: NDArray[np.int64], given: NDArray[Any]) -> float:
        return choose_threshold(decision, others, given).value

    return cross_fitted(truth, probabilities, chosen, answers)


@dataclass(frozen=True)
class _Cuts:
    """Thresholds, ascending, and what each does; for one class, of which recall and so on are."""

    values: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    precision: NDArray[np.float64]  # 0 where the class is never answered
    recall: NDArray[np.float64]

    @classmethod
    def of(cls, decision: Decision, truth: NDArray[Any], score: NDArray[np.float64]) -> _Cuts:
        distinct = np.unique(score)
        low, high = np.append(0.0, distinct), np.append(distinct, 1.0)
        middle = (low + high) / 2
        # Between neighbouring floats there is none: the upper parts them as well.
        values = np.unique(np.append(np.where(middle > low, middle, high), DEFAULT))
        values = values[(values > 0) & (values < 1)]
        second = truth == 1
        # The photos of each class that are answered as the second.
        found = second.sum() - np.searchsorted(np.sort(score[second]), values)
        false = (~second).sum() - np.searchsorted(np.sort(score[~second]), values)
        right = found + (~second).sum() - false
        if decision.label == decision.classes[0]:
            own, said, every = right - found, truth.size - found - false, (~second).sum()
        else:
            own, said, every = found, found + false, second.sum()
        return cls(values, right / truth.size, own / np.maximum(said, 1), own / every)

    @property
    def f1(self) -> NDArray[np.float64]:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / np.where(total > 0, total, 1.0)

    def best(self, *figures: NDArray[np.float64], among: NDArray[np.bool_] | None = None) -> int:
        """The place of the highest first figure, of those the highest second, nearest 0.5."""
        left = np.arange(self.values.size) if among is None else np.flatnonzero(among)
        for figure in figures:
            left = left[figure[left] >= figure[left].max() - _ROUNDING]
        return int(left[np.argmin(np.abs(self.values[left] - DEFAULT))])


def _for_class(decision: Decision, cuts: _Cuts) -> Threshold:
    """The threshold for the F1, precision or recall of a class."""
    reached = True
    if decision.goal is None:
        best = cuts.best(cuts.f1)
        words = f"F1 of {decision.label} {cuts.f1[best]:.4f}"
    else:
        pair = (cuts.precision, cuts.recall)
        asked, other = pair if decision.rule == "precision" else pair[::-1]
        enough = asked >= decision.goal - _ROUNDING
        reached = bool(enough.any())
        best = cuts.best(other, among=enough) if reached else cuts.best(asked, other)
        words = f"{decision.rule} of {decision.label} {asked[best]:.2%}"
        words += "" if reached else f", not the {decision.goal:.2%} asked for"
    both = f"(precision {cuts.precision[best]:.2%}, recall {cuts.recall[best]:.2%})"
    value = float(cuts.values[best])
    return Threshold(value, reached, f"{value:.4f}: {words} {both}")


def _cheapest(classes: Sequence[str], costs: tuple[float, float]) -> Threshold:
    """Where both answers cost the same on the mean (Elkan 2001)."""
    smallest = np.finfo(np.float64).eps
    value = float(np.clip(costs[0] / sum(costs), smallest, 1 - smallest))
    first, second = classes
    return Threshold(
        value,
        True,
        f"{value:.4f}: {first} taken for {second} costs {costs[0]:g}, "
        f"{second} taken for {first} {costs[1]:g}",
    )


def _label(name: str, text: str, classes: Sequence[str]) -> str:
    if name not in classes:
        known = " or ".join(map(repr, classes))
        raise RecipeError(f"decision {text!r} names the class {name!r}; expected {known}")
    return name


def _number(number: str, text: str, what: str, most: float) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (0 < value <= most and math.isfinite(value)):
        raise RecipeError(f"decision {text!r} has the number {number!r}; expected one {what}")
    return value


def _costs(rest: str, text: str, classes: Sequence[str]) -> tuple[float, float]:
    """Both costs, in the order of the classes; names are known, so that they may hold any mark."""
    there, back = (">".join(map(re.escape, pair)) for pair in (classes, classes[::-1]))
    number = "([^,=>]*)"
    straight = re.fullmatch(f"{there}={number}, *{back}={number}", rest)
    turned = re.fullmatch(f"{back}={number}, *{there}={number}", rest)
    readings = [(found[1], found[2]) for found in [straight] if found]
    readings += [(found[2], found[1]) for found in [turned] if found]
    if len(readings) != 1:
        first, second = classes
        raise RecipeError(
            f"decision {text!r} does not tell both costs; expected "
            f"cost:{first}>{second}=5,{second}>{first}=1, where a {first} taken for a {second} "
            "costs 5"
        )
    one, other = (_number(each, text, "above 0", math.inf) for each in readings[0])
    return one, other


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count:,} photos"
