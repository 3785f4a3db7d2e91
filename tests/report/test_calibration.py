"""The reliability diagram draws what was measured, before and after."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pawprint.evaluation.calibration import calibrate
from pawprint.report.calibration import reliability_diagram


def calibration(seed=0, count=500, k=2, sharp=2.0):
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % k
    exp = np.exp(sharp * (rng.normal(size=(count, k)) + 1.5 * np.eye(k)[truth]))
    return calibrate(truth, exp / exp.sum(axis=1, keepdims=True))[0]


def test_of_no_photos_nothing_is_drawn():
    found = calibration()
    with pytest.raises(ValueError, match="no photos"):
        reliability_diagram(replace(found, after=replace(found.after, bins=())))


@pytest.mark.parametrize("k", [2, 10])
def test_both_sides_are_drawn_as_they_were_measured(k):
    found = calibration(k=k)
    drawn = reliability_diagram(found)
    assert len(drawn.axes) == 2
    for axes, side in zip(drawn.axes, (found.before, found.after), strict=True):
        diagonal, points = axes.lines
        assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
        assert points.get_xdata().tolist() == [one.confidence for one in side.bins]
        assert points.get_ydata().tolist() == [one.accuracy for one in side.bins]
        (intervals,) = axes.collections
        ends = [tuple(segment[:, 1]) for segment in intervals.get_segments()]
        assert ends == [one.interval for one in side.bins]
        bars = [bar.get_height() for bar in axes.patches]
        assert bars == [one.count / 500 for one in side.bins]
        assert [text.get_text() for text in axes.texts] == [f"{one.count:,}" for one in side.bins]


def test_titles_tell_the_error_and_the_temperature():
    found = calibration()
    before, after = (axes.get_title(loc="left") for axes in reliability_diagram(found).axes)
    assert before == (
        f"Before: calibration error {100 * found.before.ece:.1f} %\n"
        f"as trained, log loss {found.before.log_loss:.3f}"
    )
    assert after == (
        f"After: calibration error {100 * found.after.ece:.1f} %\n"
        f"temperature {found.temperature:.2f}, log loss {found.after.log_loss:.3f}"
    )


@pytest.mark.parametrize("count", [1, 2, 100_000])
def test_counts_stay_within_the_axes(count):
    truth = np.arange(count) % 2
    drawn = reliability_diagram(calibrate(truth, np.eye(2)[truth])[0])
    for axes in drawn.axes:
        (text,) = axes.texts
        assert text.get_text() == f"{count:,}"
        box, frame = text.get_window_extent(), axes.get_window_extent()
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
