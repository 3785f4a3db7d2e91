"""The reliability diagram, drawn by matplotlib: whether a probability means what it says.

Sources:
    M. H. DeGroot and S. E. Fienberg, "The comparison and evaluation of forecasters", The
    Statistician 32 (1983), 12-22.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pawprint.evaluation.calibration import Calibration, Reliability
from pawprint.report.style import BLUE, GREY, PALE, laid_out, style, subplots


def reliability_diagram(calibration: Calibration) -> Figure:
    """Draw how many photos are right at each confidence, before and after the temperature.

    Args:
        calibration: as of `evaluation.calibration.calibrate`.

    Returns:
        a figure with two axes, before and after: a point with its interval for each bin of the
        confidence; bars with numbers tell how many photos it is of.

    Raises:
        ValueError: there are no photos.

    >>> from pawprint.evaluation.calibration import calibrate
    >>> found, _ = calibrate(np.array([0, 0, 0, 1] * 50), np.array([[0.99, 0.01]] * 200))
    >>> [axes.get_title(loc="left").splitlines()[0] for axes in reliability_diagram(found).axes]
    ['Before: calibration error 24.0 %', 'After: calibration error 1.6 %']
    """
    after = f"After: calibration error {calibration.after.ece:.1%}"
    before = f"Before: calibration error {calibration.before.ece:.1%}"
    with style():
        figure, panels = subplots(9.0, 4.9, columns=2)
        _draw(panels[0], calibration.before, before, "as trained")
        _draw(panels[1], calibration.after, after, f"temperature {calibration.temperature:.2f}")
        return laid_out(figure)


def _draw(axes: Axes, found: Reliability, title: str, how: str) -> None:
    counts = np.array([one.count for one in found.bins])
    if not counts.sum():
        raise ValueError(f"no photos to draw: bins {counts.shape}")
    shares = counts / counts.sum()
    left = [one.low for one in found.bins]
    widths = [one.high - one.low for one in found.bins]
    axes.bar(left, shares, widths, align="edge", color=PALE, edgecolor="white", linewidth=0.8)
    for one, share in zip(found.bins, shares, strict=True):
        top, inside = ((one.low + one.high) / 2, share), share > 0.8
        look: Any = {"ha": "center", "va": "top" if inside else "bottom", "rotation": 90}
        above = (0, -3 if inside else 3)
        count = f"{one.count:,}"
        axes.annotate(count, top, above, textcoords="offset points", size=7, **look)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    confidence = np.array([one.confidence for one in found.bins])
    accuracy = np.array([one.accuracy for one in found.bins])
    ends = np.array([one.interval for one in found.bins]).T
    axes.vlines(confidence, *ends, color=BLUE, linewidth=1.2, clip_on=False)
    axes.plot(confidence, accuracy, "o-", color=BLUE, markersize=4.5, clip_on=False)
    axes.set_title(f"{title.replace('%', ' %')}\n{how}, log loss {found.log_loss:.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="confidence", ylabel="share right (points), of all photos (bars)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.grid()
