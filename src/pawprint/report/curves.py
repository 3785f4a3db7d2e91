"""ROC and precision-recall curves, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pawprint.evaluation.curves import (
    average_precision,
    precision_recall_points,
    roc_auc,
    roc_points,
)
from pawprint.evaluation.intervals import Interval
from pawprint.evaluation.metrics import Figures
from pawprint.evaluation.predictions import check_predictions
from pawprint.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    laid_out,
    short_names,
    style,
    subplots,
)

_CURVES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (PURPLE, ":"), (SKY, (0, (5, 1, 1, 1))))
_MOST_POINTS = 1000

_Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def roc_curve(
    truth: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    figures: Figures | None = None,
) -> Figure:
    """Draw the ROC curve (Fawcett 2006) of the second of two classes, or of each of more.

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.
        classes: the k names of the classes, at least two.
        figures: of the same photos, for the interval of the area.

    Returns:
        a figure with one axes; of more than five classes, the five of lowest area are named.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.

    >>> drawn = roc_curve(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), ["cat", "dog"])
    >>> drawn.axes[0].get_title(loc="left").splitlines()[0]
    'Area under the ROC curve 1.000'
    """
    check_predictions(truth, probabilities, classes)
    names = short_names(classes)
    curves = _curves(truth, probabilities, names, roc_auc, roc_points)
    with style():
        figure, (axes,) = subplots(5.2, 5.4)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        lines = _draw(axes, curves, "default")
        if len(names) == 2 and curves:
            axes.fill_between(*curves[0][2], color=BLUE, alpha=0.08, linewidth=0)
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        bounds = "" if figures is None else _told(figures.roc_auc_interval, figures.confidence)
        _finish(axes, "Area under the ROC curve", curves, names, bounds)
        _legend(axes, curves, lines, names, "lower right")
        return laid_out(figure)


def precision_recall_curve(
    truth: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    figures: Figures | None = None,
) -> Figure:
    """Draw precision over recall (Davis and Goadrich 2006), of the classes of `roc_curve`.

    Args:
        truth: (n,) int, the true class of each photo, 0 to k - 1.
        probabilities: (n, k) float, each row summing to 1.
        classes: the k names of the classes, at least two.
        figures: of the same photos, for the interval of the average precision.

    Returns:
        a figure with one axes; of more than five classes, the five of lowest average precision
        are named.

    Raises:
        ValueError: a shape, kind or value is wrong, or there are no photos.

    >>> given = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> drawn = precision_recall_curve(np.array([0, 1]), given, ["cat", "dog"])
    >>> drawn.axes[0].get_title(loc="left").splitlines()[0]
    'Average precision 1.000'
    """
    check_predictions(truth, probabilities, classes)
    names = short_names(classes)
    curves = _curves(truth, probabilities, names, average_precision, precision_recall_points)
    with style():
        figure, (axes,) = subplots(5.2, 5.4)
        # Steps: the average precision is the area under these.
        lines = _draw(axes, curves, "steps-pre")
        if len(names) == 2 and curves:
            share = float((np.asarray(truth) == 1).mean())
            axes.axhline(share, color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
            axes.fill_between(*curves[0][2], step="pre", color=BLUE, alpha=0.08, linewidth=0)
        axes.set(xlabel="recall", ylabel="precision")
        bounds = ""
        if figures is not None:
            bounds = _told(figures.average_precision_interval, figures.confidence)
        _finish(axes, "Average precision", curves, names, bounds)
        _legend(axes, curves, lines, names, "lower left")
        return laid_out(figure)


_Curve = tuple[float, str, _Points]  # area, name, where it goes


def _curves(
    truth: NDArray[Any],
    probabilities: NDArray[Any],
    names: Sequence[str],
    area_of: Callable[[NDArray[np.bool_], NDArray[Any]], float | None],
    points_of: Callable[[NDArray[np.bool_], NDArray[Any]], _Points | None],
) -> list[_Curve]:
    """The curves of the second of two classes, or of each present, the lowest area first."""
    curves = []
    for column in [1] if len(names) == 2 else range(len(names)):
        positive, score = np.asarray(truth) == column, np.asarray(probabilities)[:, column]
        area, points = area_of(positive, score), points_of(positive, score)
        if area is not None and points is not None:
            # More than can be told apart would only be heavy in the SVG.
            some = np.linspace(0, points[0].size - 1, min(points[0].size, _MOST_POINTS)).astype(int)
            curves.append((area, names[column], (points[0][some], points[1][some])))
    return sorted(curves, key=lambda curve: curve[0])


def _draw(axes: Axes, curves: Sequence[_Curve], drawstyle: Any) -> list[Line2D]:
    """The lines that have a label, the lowest area first."""
    lines: list[Line2D] = []
    # Lowest area last, so that what needs attention lies on top.
    for place, (area, name, points) in reversed(list(enumerate(curves))):
        colour, dashes = _CURVES[place] if place < len(_CURVES) else (PALE, "-")
        look: Any = {"color": colour, "linestyle": dashes, "drawstyle": drawstyle}
        (line,) = axes.plot(*points, clip_on=False, **look)
        if place < len(_CURVES):
            # Area first: matplotlib leaves out labels that begin with "_".
            line.set_label(f"{area:.3f}  {name}")
            lines.append(line)
    return lines[::-1]


def _told(interval: Interval | None, confidence: float) -> str:
    if interval is None:
        return ""
    low, high = interval
    return f"\n{100 * confidence:g} % interval {low:.3f} to {high:.3f}"


def _finish(
    axes: Axes, what: str, curves: Sequence[_Curve], names: Sequence[str], bounds: str
) -> None:
    if not curves:
        axes.set_title(f"{what} unknown\nall photos are of one class")
    elif len(names) == 2:
        axes.set_title(f"{what} {curves[0][0]:.3f}\nof {names[1]}{bounds}")
    else:
        mean = sum(area for area, _, _ in curves) / len(curves)
        axes.set_title(f"{what} {mean:.3f}\nmean of {len(curves)}, each against the rest{bounds}")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.grid()


def _legend(
    axes: Axes, curves: Sequence[_Curve], lines: list[Line2D], names: Sequence[str], place: Any
) -> None:
    if curves and len(names) > 2:
        heading = "area  class" + (" (the five lowest)" if len(curves) > len(_CURVES) else "")
        axes.legend(handles=lines, loc=place, title=heading, alignment="left")
