"""How a network's probabilities become answers, and how good these are.

Temperature and threshold are fitted on the photos that judge. So that these photos' figures are
not better for it, each photo is judged with values that were fitted on others; what goes into the
bundle is fitted on all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawprint.classifier import at_temperature
from pawprint.data.split import VALIDATION
from pawprint.evaluation import decision
from pawprint.evaluation.calibration import Calibration, calibrate
from pawprint.evaluation.metrics import Figures, figures
from pawprint.evaluation.predictions import answers
from pawprint.training.recipe import Recipe
from pawprint.training.stages import Judged


@dataclass(frozen=True)
class Answered:
    """What is answered to the photos of one side.

    Args:
        rows: the numbers of the photos, n of them.
        truth: int, shape (n,), their classes.
        probabilities: float64, shape (n, classes), calibrated.
        predicted: int, shape (n,), the answers.
        figures: what follows from these.
        fold_of: as of `Judged`.
    """

    rows: Sequence[int]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    predicted: NDArray[np.int64]
    figures: Figures
    fold_of: NDArray[np.int64] | None = None

    @property
    def folds(self) -> int:
        """How many folds there were; 0 where the network itself was judged."""
        return 0 if self.fold_of is None else int(self.fold_of.max()) + 1


@dataclass(frozen=True)
class Settled:
    """How the bundle answers.

    Args:
        judged: by side, what is answered.
        calibration: its temperature, and what that does.
        rule: how the threshold was chosen, as the recipe says.
        threshold: with two classes, the probability of the second from which it is the answer.
        notes: what is to be told of it.
    """

    judged: dict[str, Answered]
    calibration: Calibration
    rule: str
    threshold: float
    notes: tuple[str, ...]


def settle(judged: dict[str, Judged], recipe: Recipe, classes: Sequence[str]) -> Settled:
    """Fit temperature and threshold, and judge with them.

    Args:
        judged: by side, what the network gives; `validation` is there.
        recipe: says how to decide.
        classes: names.

    Returns:
        How the bundle answers, and how well.
    """
    main = judged[VALIDATION]
    calibration, calibrated = calibrate(main.truth, main.probabilities)
    rule = decision.parse(recipe.decision, classes)
    shipped = at_temperature(main.probabilities, calibration.temperature)
    chosen = decision.choose_threshold(rule, main.truth, shipped)
    settled = {}
    for side, found in judged.items():
        if side == VALIDATION:
            given = calibrated
            predicted = decision.decided(found.truth, given, rule)
        else:
            given = at_temperature(found.probabilities, calibration.temperature)
            predicted = answers(given, chosen.value)
        settled[side] = Answered(
            found.rows,
            found.truth,
            given,
            predicted,
            figures(found.truth, given, classes, predicted=predicted),
            found.fold_of,
        )
    notes = () if chosen.reached else (chosen.in_words,)
    return Settled(settled, calibration, recipe.decision, chosen.value, notes)
