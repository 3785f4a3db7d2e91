"""Grids of photos: each photo and name in its place, and nothing over its neighbour."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from pawprint.report import plots
from pawprint.report.photos import photo_grid
from pawprint.report.style import style

ODD = ["W" * 40, "猫" * 30, "_private $x^2$", "two\nlines", "", "half\udc80", "🐈 ไทย", "<b> & co"]


def pictures(count, shape=(64, 64, 3)):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape).astype(np.uint8) for _ in range(count)]


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def boxes(figure):
    """Of the title of the whole, and of every photo with its title, in inches."""
    with style():
        texts = [figure.texts[0].get_window_extent()]
        photos = [axes.get_tightbbox() for axes in figure.axes]
    return [box.transformed(figure.dpi_scale_trans.inverted()) for box in texts + photos]


def test_photos_are_in_rows_with_their_titles():
    photos = pictures(5)
    drawn = photo_grid(photos, list("abcde"), columns=2, title="Some")
    assert titles(drawn) == list("abcde")
    for axes, photo in zip(drawn.axes, photos, strict=True):
        np.testing.assert_array_equal(axes.get_images()[0].get_array(), photo)
    corners = [axes.get_position().p0.round(6).tolist() for axes in drawn.axes]
    lefts, bottoms = sorted({x for x, _ in corners}), sorted({y for _, y in corners}, reverse=True)
    assert corners == [
        [lefts[column], bottoms[row]] for row, column in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    ]
    assert drawn.texts[0].get_text() == "Some"


@pytest.mark.parametrize("columns", [1, 4, 9])
@pytest.mark.parametrize(
    "title", ["A title of some length: " + "word " * 30, "x" * 90, "W" * 90, ""]
)
def test_nothing_overlaps_and_all_is_inside(columns, title):
    names = [name for name in ODD for _ in range(2)]
    drawn = photo_grid(pictures(16), names, columns=columns, title=title)
    width, height = drawn.get_size_inches()
    places = boxes(drawn)
    for number, box in enumerate(places):
        if not (number == 0 and title == ""):
            assert 0 <= box.x0 < box.x1 <= width
            assert 0 <= box.y0 < box.y1 <= height
        for other in places[:number]:
            apart = max(box.x0 - other.x1, other.x0 - box.x1, box.y0 - other.y1, other.y0 - box.y1)
            assert apart > -0.01


def test_photos_of_several_shapes_keep_their_proportions():
    shapes = [(40, 80, 3), (80, 40, 3), (1, 1, 3)]
    photos = [np.zeros(shape, np.uint8) for shape in shapes]
    drawn = photo_grid(photos, list("abc"), columns=3, title="")
    for axes, (height, width, _) in zip(drawn.axes, shapes, strict=True):
        box = axes.get_window_extent()
        assert box.height / box.width == pytest.approx(height / width)
    assert len({round(axes.get_window_extent().y1) for axes in drawn.axes}) == 1


def test_any_name_is_written_and_the_files_open(tmp_path):
    def draw():
        return photo_grid(pictures(8), ODD, columns=4, title="odd\x00 $x^2$")

    png, svg = plots.save(draw(), tmp_path, "first")
    with Image.open(png) as image:
        image.load()
    text = "\n".join(ET.parse(svg).getroot().itertext())
    assert all(f"{number}: {name}" in text for number, name in [(4, "two�lines"), (6, "half�")])
    assert all(name in text for name in ["odd� $x^2$", "_private $x^2$", "🐈 ไทย", "<b> & co"])
    again = plots.save(draw(), tmp_path, "second")
    assert [path.read_bytes() for path in again] == [png.read_bytes(), svg.read_bytes()]


def test_photos_of_one_class_have_one_name():
    unknown = "\U0001f9ff\U000e0041"
    drawn = photo_grid(pictures(4), ["cat", unknown, "cat", unknown], columns=2, title="")
    assert titles(drawn) == ["cat", f"2: {unknown}"] * 2


@pytest.mark.parametrize(
    ("photos", "names", "columns", "message"),
    [
        ([], [], 2, "0 photos, 0 titles and 2 columns"),
        (pictures(2), ["a"], 2, "2 photos, 1 titles and 2 columns"),
        (pictures(2), ["a", "b"], 0, "2 photos, 2 titles and 0 columns"),
        ([np.zeros((8, 8, 3))], ["a"], 1, r"got float64 \(8, 8, 3\) as photo 0"),
        (pictures(1) + pictures(1, (8, 8)), ["a", "b"], 1, r"got uint8 \(8, 8\) as photo 1"),
        (pictures(1, (8, 8, 4)), ["a"], 1, r"got uint8 \(8, 8, 4\)"),
        (pictures(1, (0, 8, 3)), ["a"], 1, r"got uint8 \(0, 8, 3\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(photos, names, columns, message):
    with pytest.raises(ValueError, match=message):
        photo_grid(photos, names, columns=columns, title="")
