"""The plots of what photos were answered: confusion, curves, reliability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from pawprint.evaluation.calibration import Calibration
from pawprint.evaluation.metrics import Figures
from pawprint.report.calibration import reliability_diagram
from pawprint.report.curves import precision_recall_curve, roc_curve
from pawprint.report.plots import confusion_matrix


def answer_plots(
    truth: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    figures: Figures,
    calibration: Calibration | None,
) -> dict[str, Figure]:
    """Draw what there is to see of some answers.

    Args:
        truth: (n,) int, the true class of each photo.
        probabilities: (n, k) float, each row summing to 1.
        classes: the k names.
        figures: what follows from these.
        calibration: of the probabilities, where that was measured.

    Returns:
        By name, the plots.
    """
    drawn = {
        "confusion_matrix": confusion_matrix(figures),
        "roc_curve": roc_curve(truth, probabilities, classes, figures),
        "precision_recall_curve": precision_recall_curve(truth, probabilities, classes, figures),
    }
    if calibration is not None:
        drawn["reliability"] = reliability_diagram(calibration)
    return drawn
