"""The plots: what they say, that they can be opened, and that they appear whole or not at all."""

import os
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.colors import to_rgb
from PIL import Image

from pawprint.errors import OutputError
from pawprint.evaluation.calibration import calibrate
from pawprint.evaluation.metrics import figures
from pawprint.report import curves, plots, style
from pawprint.report.calibration import reliability_diagram

HISTORY = [
    {
        "stage": 1 if epoch < 4 else 2,
        "epoch": epoch,
        "loss": 1 / epoch,
        "accuracy": 1 - 0.5 / epoch,
        "val_loss": 1.2 / epoch,
        "val_accuracy": 1 - 0.6 / epoch,
    }
    for epoch in range(1, 8)
]
STRENGTHS = [
    {"strength": c, "log_loss": 0.2 + abs(np.log10(c)), "accuracy": 0.9, "chosen": c == 1.0}
    for c in (10.0, 0.1, 1.0)
]


def predictions(k, count=60):
    rng = np.random.default_rng(k)
    truth = np.arange(count) % k
    exp = np.exp(rng.normal(size=(count, k)) + 2 * np.eye(k)[truth])
    return truth, exp / exp.sum(axis=1, keepdims=True)


def confusion(classes):
    return plots.confusion_matrix(figures(*predictions(len(classes)), classes))


def title(figure, panel=0, loc="left"):
    return figure.axes[panel].get_title(loc=loc)


def svg_text(figure, folder):
    _, path = plots.save(figure, folder, "plot")
    return "\n".join(ET.parse(path).getroot().itertext())


DRAWN = {
    "confusion2": lambda: confusion(["cat", "dog"]),
    "confusion20": lambda: confusion([f"class {i}" for i in range(20)]),
    "confusion60": lambda: confusion([f"class {i}" for i in range(60)]),
    "roc2": lambda: curves.roc_curve(*predictions(2), ["cat", "dog"]),
    "roc20": lambda: curves.roc_curve(*predictions(20), [f"class {i}" for i in range(20)]),
    "precision": lambda: curves.precision_recall_curve(*predictions(2), ["cat", "dog"]),
    "reliability": lambda: reliability_diagram(calibrate(*predictions(2))[0]),
    "training": lambda: plots.training_curves(HISTORY),
    "strength": lambda: plots.strength_curve(STRENGTHS),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_files_open_and_are_the_same_each_time(draw, tmp_path):
    first = plots.save(draw(), tmp_path / "new" / "folder", "plot")
    assert [path.name for path in first] == ["plot.png", "plot.svg"]
    assert sorted(os.listdir(tmp_path / "new" / "folder")) == ["plot.png", "plot.svg"]
    with Image.open(first[0]) as image:
        image.load()
        assert min(image.size) >= 400
        assert len(image.convert("RGB").getcolors(1 << 20)) > 10
    assert ET.parse(first[1]).getroot().tag.endswith("svg")
    assert b"<dc:date>" not in first[1].read_bytes()

    figure = draw()
    for name in ("second", "third"):
        again = plots.save(figure, tmp_path, name)
        assert [path.read_bytes() for path in again] == [path.read_bytes() for path in first]


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
def test_any_class_name_is_written_in_the_svg(classes, tmp_path):
    text = svg_text(confusion(classes), tmp_path)
    for name in classes:
        assert name in text


def test_names_no_font_here_can_draw_carry_their_number(tmp_path):
    unknown = "\U0001f9ff\U000e0041"
    assert style.short_names(["cat", unknown]) == ["cat", f"2: {unknown}"]
    assert f"2: {unknown}" in svg_text(confusion(["cat", unknown]), tmp_path)


def test_names_illegal_in_xml_are_made_legal(tmp_path):
    text = svg_text(confusion(["two\nlines", "nul\x00", "half\udc80", "non\uffff"]), tmp_path)
    for name in ("1: two�lines", "2: nul�", "3: half�", "4: non�"):
        assert name in text


def test_long_names_are_shortened_and_stay_apart(tmp_path):
    names = [f"a very long name of a class that ends in {end}" for end in "abcdef"]
    short = style.short_names(names)
    assert len(set(short)) == 6
    assert max(map(len, short)) == 24
    assert style.short_names(["x" * 24]) == ["x" * 24]
    drawn = confusion(names)
    text = svg_text(drawn, tmp_path)
    assert all(name in text for name in short)
    labels = drawn.axes[0].get_xticklabels()
    assert {label.get_rotation() for label in labels} == {45.0}
    for label in labels:
        box = label.get_window_extent().transformed(drawn.transFigure.inverted())
        assert box.x0 >= 0
        assert box.y0 >= 0


def test_confusion_says_accuracy_interval_counts_and_shares(tmp_path):
    truth = np.array([0] * 8 + [1] * 2)
    probabilities = np.eye(2)[[0] * 6 + [1] * 4]
    drawn = plots.confusion_matrix(figures(truth, probabilities, ["cat", "dog"]))
    lines = title(drawn).splitlines()
    assert lines == ["Accuracy 80.0 %", "95 % interval 49.0 to 94.3 %, 10 photos"]
    cells = [text.get_text() for text in drawn.axes[0].texts]
    assert cells == ["6\n75 %", "2\n25 %", "0", "2\n100 %"]


@pytest.mark.parametrize("k", [2, 8, 15])
def test_cell_text_fits(k):
    axes = confusion([f"c{i}" for i in range(k)]).axes[0]
    assert len(axes.texts) == k * k
    side = axes.get_window_extent().width / k
    for text in axes.texts:
        extent = text.get_window_extent()
        assert max(extent.width, extent.height) < side


@pytest.mark.parametrize("share", range(5, 100, 5))
def test_cell_text_stands_out(share):
    right = np.array([0] * share + [1] * (100 - share))
    axes = plots.confusion_matrix(figures(right * 0, np.eye(2)[right], "ab")).axes[0]
    colours = axes.collections[0].to_rgba(axes.collections[0].get_array()).reshape(-1, 4)
    assert len(axes.texts) == 2
    for text, colour in zip(axes.texts, colours, strict=False):
        dark, light = sorted((luminance(colour[:3]), luminance(to_rgb(text.get_color()))))
        assert (light + 0.05) / (dark + 0.05) > 3.0  # WCAG 2, large text


def luminance(rgb):
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_many_classes_have_no_cell_text_and_few_labels():
    assert len(confusion([str(i) for i in range(16)]).axes[0].texts) == 0
    drawn = confusion([str(i) for i in range(60)])
    assert [label.get_text() for label in drawn.axes[0].get_yticklabels()] == [
        str(i) for i in range(0, 60, 2)
    ]


def test_classes_without_photos_are_left_blank():
    truth, probabilities = predictions(3)
    only = truth == 0
    drawn = plots.confusion_matrix(figures(truth[only], probabilities[only], "abc"))
    assert len(drawn.axes[0].texts) == 3
    assert np.ma.getmaskarray(drawn.axes[0].collections[0].get_array()).sum() == 6


def test_confusion_of_another_shape_is_refused():
    two, three = figures(*predictions(2), "ab"), figures(*predictions(3), "abc")
    wrong = type(two).from_dict({**two.to_dict(), "confusion": three.to_dict()["confusion"]})
    with pytest.raises(ValueError, match=r"\(2, 2\), got \(3, 3\)"):
        plots.confusion_matrix(wrong)


def test_training_draws_both_stages_and_parts_them(tmp_path):
    drawn = plots.training_curves(HISTORY)
    accuracy, loss = drawn.axes
    for axes, key in ((accuracy, "accuracy"), (loss, "loss")):
        training, validation, between = axes.lines
        assert training.get_ydata().tolist() == [row[key] for row in HISTORY]
        assert validation.get_ydata().tolist() == [row[f"val_{key}"] for row in HISTORY]
        assert training.get_xdata().tolist() == list(range(1, 8))
        assert set(between.get_xdata()) == {3.5}
        assert training.get_linestyle() != validation.get_linestyle()
    text = svg_text(drawn, tmp_path)
    assert all(word in text for word in ("stage 1", "stage 2", "training", "validation"))


def test_an_undone_stage_stands_on_grey_and_is_named(tmp_path):
    plain, drawn = plots.training_curves(HISTORY), plots.training_curves(HISTORY, undone=[2])
    for axes, before in zip(drawn.axes, plain.axes, strict=True):
        (grey,) = axes.patches
        assert (grey.get_x(), grey.get_width()) == (3.5, 4)
        assert len(before.patches) == 0
    assert "stage 2, undone" in svg_text(drawn, tmp_path)
    assert "stage 1, undone" not in svg_text(drawn, tmp_path)


def test_stages_that_were_read_from_a_file_are_named_the_same(tmp_path):
    rows = [{**row, "stage": float(row["stage"])} for row in HISTORY]
    drawn = svg_text(plots.training_curves(rows, undone=[2]), tmp_path)
    assert drawn == svg_text(plots.training_curves(HISTORY, undone=[2]), tmp_path)


def test_training_counts_on_where_epochs_start_anew():
    rows = [{**row, "epoch": i % 3 + 1} for i, row in enumerate(HISTORY)]
    assert plots.training_curves(rows).axes[0].lines[0].get_xdata().tolist() == list(range(1, 8))


def test_training_with_gaps(tmp_path):
    rows = [
        {"stage": 1, "epoch": 1, "loss": float("inf"), "accuracy": None},
        {"stage": 1, "epoch": 2, "loss": 0.5, "accuracy": 0.7},
    ]
    drawn = plots.training_curves(rows)
    (accuracy,), (loss,) = (axes.lines for axes in drawn.axes)
    np.testing.assert_array_equal(accuracy.get_ydata(), [np.nan, 0.7])
    np.testing.assert_array_equal(loss.get_ydata(), [np.nan, 0.5])
    assert "validation" not in svg_text(drawn, tmp_path)


def test_no_history_is_refused():
    with pytest.raises(ValueError, match="no epochs"):
        plots.training_curves([])


def test_strength_is_drawn_in_order_on_a_log_axis_with_the_choice():
    drawn = plots.strength_curve(STRENGTHS)
    for axes in drawn.axes:
        assert axes.get_xscale() == "log"
        assert axes.lines[0].get_xdata().tolist() == [0.1, 1.0, 10.0]
        assert set(axes.lines[1].get_xdata()) == {1.0}
    assert drawn.axes[0].lines[0].get_ydata() == pytest.approx([1.2, 0.2, 1.2])
    assert title(drawn, loc="right") == "chosen: 1"


def test_one_strength_is_enough(tmp_path):
    plain = [{**STRENGTHS[0], "chosen": False}]
    drawn = plots.strength_curve(plain)
    assert title(drawn, loc="right") == ""
    assert "Log loss" in svg_text(drawn, tmp_path)


@pytest.mark.parametrize("rows", [[], [{**STRENGTHS[0], "strength": 0.0}], [{"accuracy": 1.0}]])
def test_strengths_that_fit_no_log_axis_are_refused(rows):
    with pytest.raises(ValueError, match="strengths above 0"):
        plots.strength_curve(rows)


@pytest.mark.parametrize("failing", ["png", "svg"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_nothing_half_written_is_left(failing, error, tmp_path, monkeypatch):
    drawn = plots.training_curves(HISTORY)
    before = [path.read_bytes() for path in plots.save(drawn, tmp_path, "plot")]
    other = plots.training_curves(HISTORY[:2])
    real = other.savefig

    def breaks_off(path, **options):
        if options["format"] == failing:
            path.write_bytes(b"half")
            raise error
        real(path, **options)

    monkeypatch.setattr(other, "savefig", breaks_off)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        plots.save(other, tmp_path, "plot")
    assert sorted(os.listdir(tmp_path)) == ["plot.png", "plot.svg"]
    assert [(tmp_path / f"plot.{ending}").read_bytes() for ending in ("png", "svg")] == before


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=re.escape(str(tmp_path / "file"))):
        plots.save(plots.training_curves(HISTORY), tmp_path / "file", "plot")
    assert (tmp_path / "file").read_text() == "mine"


def test_settings_of_matplotlib_are_left_alone(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.save(confusion(["cat", "dog"]), tmp_path, "plot")
    assert dict(matplotlib.rcParams) == before
