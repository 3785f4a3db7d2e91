"""ROC and precision-recall curves: what they draw and what they say."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pawprint.evaluation.curves import average_precision, roc_auc
from pawprint.evaluation.metrics import figures
from pawprint.report import plots
from pawprint.report.curves import precision_recall_curve, roc_curve

BOTH = [roc_curve, precision_recall_curve]


def predictions(k, count=60):
    rng = np.random.default_rng(k)
    truth = np.arange(count) % k
    exp = np.exp(rng.normal(size=(count, k)) + 2 * np.eye(k)[truth])
    return truth, exp / exp.sum(axis=1, keepdims=True)


def title(figure):
    return figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize("draw", BOTH)
@pytest.mark.parametrize(
    "classes",
    [
        ["кошка", "猫", "犬"],
        ["$5 vs $10", "_private", r"\alpha $x^2$"],
        ["<b> & co", "a 'quote'", "100 %"],
        ["🐈", "ไทย", "हिन्दी"],
        ["قطة", "חתול", "ねこ"],
    ],
)
def test_any_class_name_is_written_in_the_svg(draw, classes, tmp_path):
    _, path = plots.save(draw(*predictions(len(classes)), classes), tmp_path, "plot")
    text = "\n".join(ET.parse(path).getroot().itertext())
    for name in classes:
        assert name in text


def test_roc_of_two_classes_is_of_the_second():
    truth, probabilities = predictions(2)
    drawn = roc_curve(truth, probabilities, ["cat", "dog"])
    area = roc_auc(truth == 1, probabilities[:, 1])
    assert title(drawn) == f"Area under the ROC curve {area:.3f}\nof dog"
    x, y = drawn.axes[0].lines[1].get_data()
    assert np.trapezoid(y, x) == pytest.approx(area)


def test_roc_of_many_classes_names_the_lowest():
    truth, probabilities = predictions(20, count=400)
    names = [f"n{i:02}" for i in range(20)]
    drawn = roc_curve(truth, probabilities, names)
    areas = [roc_auc(truth == c, probabilities[:, c]) for c in range(20)]
    worst = sorted(range(20), key=areas.__getitem__)[:5]
    legend = [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]
    assert legend == [f"{areas[c]:.3f}  {names[c]}" for c in worst]
    assert title(drawn).startswith(f"Area under the ROC curve {np.mean(areas):.3f}\nmean of 20")
    assert len(drawn.axes[0].lines) == 21


def test_roc_names_classes_apart_even_where_their_curves_and_names_are_alike():
    even = np.full((6, 3), 1 / 3)
    drawn = roc_curve(np.arange(6) % 3, even, ["_same", "_same", "other"])
    legend = [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]
    assert legend == ["0.500  _same", "0.500  _same", "0.500  other"]


@pytest.mark.parametrize("draw", BOTH)
@pytest.mark.parametrize("k", [2, 3])
def test_curves_of_one_class_present_say_so(draw, k):
    truth, probabilities = predictions(k)
    drawn = draw(truth[truth == 0], probabilities[truth == 0], "abc"[:k])
    assert title(drawn).endswith(" unknown\nall photos are of one class")


@pytest.mark.parametrize("draw", BOTH)
def test_wrong_shapes_are_refused(draw):
    with pytest.raises(ValueError, match=r"got \(60,\) and \(60, 3\)"):
        draw(*predictions(3), ["cat", "dog"])


def test_precision_is_drawn_in_steps_whose_area_is_its_average():
    truth, probabilities = predictions(2)
    drawn = precision_recall_curve(truth, probabilities, ["cat", "dog"])
    area = average_precision(truth == 1, probabilities[:, 1])
    assert title(drawn) == f"Average precision {area:.3f}\nof dog"
    line = drawn.axes[0].lines[0]
    assert line.get_drawstyle() == "steps-pre"
    recall, precision = line.get_data()
    assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(area)
    share = drawn.axes[0].lines[1].get_ydata()
    assert set(share) == {0.5}  # of the photos that are dogs


def test_precision_of_many_classes_names_the_lowest():
    truth, probabilities = predictions(20, count=400)
    drawn = precision_recall_curve(truth, probabilities, [f"n{i:02}" for i in range(20)])
    areas = [average_precision(truth == c, probabilities[:, c]) for c in range(20)]
    legend = [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]
    assert legend == [f"{areas[c]:.3f}  n{c:02}" for c in np.argsort(areas)[:5]]
    assert title(drawn).startswith(f"Average precision {np.mean(areas):.3f}\nmean of 20")


@pytest.mark.parametrize("k", [2, 3])
def test_intervals_are_told_where_they_are_known(k):
    truth, probabilities = predictions(k)
    found = figures(truth, probabilities, "abc"[:k], confidence=0.9)
    for draw, (low, high) in (
        (roc_curve, found.roc_auc_interval),
        (precision_recall_curve, found.average_precision_interval),
    ):
        said = title(draw(truth, probabilities, "abc"[:k], found)).splitlines()
        assert said[2:] == [f"90 % interval {low:.3f} to {high:.3f}"]
    one = truth == 0
    alone = figures(truth[one], probabilities[one], "abc"[:k])
    for draw in BOTH:
        assert "interval" not in title(draw(truth[one], probabilities[one], "abc"[:k], alone))


@pytest.mark.parametrize("draw", BOTH)
def test_titles_fit_on_the_figure(draw):
    truth, probabilities = predictions(12, count=240)
    names = [f"a very long name of class {c}" for c in range(12)]
    for k in (2, 12):
        some = truth < k
        given = probabilities[some][:, :k] / probabilities[some][:, :k].sum(axis=1, keepdims=True)
        found = figures(truth[some], given, names[:k])
        drawn = draw(truth[some], given, names[:k], found)
        text = drawn.axes[0].title, drawn.axes[0]._left_title
        for box in (one.get_window_extent() for one in text):
            assert box.x1 <= drawn.bbox.x1


@pytest.mark.parametrize("draw", BOTH)
def test_curves_of_many_photos_stay_light(draw):
    truth, probabilities = predictions(2, count=20_000)
    drawn = draw(truth, probabilities, ["cat", "dog"])
    x = max((line.get_xdata() for line in drawn.axes[0].lines), key=len)
    assert 100 < len(x) <= 1000
    assert (min(x), max(x)) == (0.0, 1.0)
