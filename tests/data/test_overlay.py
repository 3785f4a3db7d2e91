"""Overlays: colour lies where the map says, on the photo as the network's square lies on it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pawprint.data.images import Preprocessing
from pawprint.data.overlay import _COLOURS, draw_heatmap, overlay, to_jpeg
from pawprint.errors import DamagedPhoto, EmptyPhoto, NotAPhoto

LIGHT = np.array([0.299, 0.587, 0.114])


def grey(width, height, value=128):
    return np.full((height, width, 3), value, np.uint8)


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def colourful(pixels):
    """How far each pixel is from grey; on a grey photo, how much colour was laid on it."""
    values = np.asarray(pixels, int)
    return values.max(axis=-1) - values.min(axis=-1)


def over_all(picture, heat):
    height, width, _ = picture.shape
    return overlay(picture, np.array(heat, np.float32), (0, 0, width, height))


def test_only_what_speaks_for_the_answer_is_coloured():
    drawn = over_all(grey(90, 30), [[1, 0, -1]])
    strength = colourful(drawn)[15]
    assert strength[5] > 80
    assert strength[46:].max() == 0
    assert np.abs(np.diff(strength)).max() < 15  # it fades without steps


def test_what_has_no_colour_is_dimmed_and_keeps_its_order():
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
    drawn = over_all(ramp, [[-1.0]])
    assert colourful(drawn).max() == 0
    assert (np.diff(drawn[0, :, 0].astype(int)) >= 0).all()
    assert drawn[0, 255, 0] < 255
    red = np.zeros((4, 4, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    assert 0 < colourful(over_all(red, [[0.0]])).max() < 128


@pytest.mark.parametrize("factor", [1e-30, 0.01, 1, 1e6, 1e30])
def test_the_scale_is_the_map_s_own_maximum(factor):
    heat = np.array([[0.2, 1.0], [-3.0, 0.0]])
    expected = over_all(grey(40, 40), heat)
    found = over_all(grey(40, 40), heat * factor)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_map_that_speaks_against_everywhere_colours_nothing():
    for heat in ([[-1, -2], [-3, 0]], [[0, 0], [0, 0]], [[-1e38]]):
        assert colourful(over_all(grey(20, 20), heat)).max() == 0


def test_a_strong_no_beside_a_faint_yes_does_not_spoil_it():
    drawn = over_all(grey(60, 60), [[1e-40, -1e38], [-1e38, -1e38]])
    assert colourful(drawn[:20, :20]).max() > 60
    assert colourful(drawn[32:, 32:]).max() == 0


def test_the_colours_are_told_apart_by_their_light_alone():
    assert (np.diff(_COLOURS @ LIGHT) > 25).all()
    light = over_all(grey(256, 1, 60), [np.linspace(0, 1, 64)])[0] @ LIGHT
    assert (np.diff(light) > -2).all()
    assert light[-1] > light[0] + 60


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 5), (640, 480)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 7), (40, 3)])
def test_any_map_lies_over_any_photo(size, shape):
    drawn = over_all(grey(*size), np.random.default_rng(0).normal(size=shape))
    assert drawn.shape == (size[1], size[0], 3)
    assert drawn.dtype == np.uint8
    assert colourful(over_all(grey(*size), np.ones(shape))).min() > 60


@pytest.mark.parametrize("corner", [(0, 0), (0, 6), (6, 0), (6, 6), (3, 3)])
def test_a_place_keeps_its_place(corner):
    heat = np.zeros((7, 7))
    heat[corner] = 1
    strength = colourful(over_all(grey(280, 140), heat))
    rows, columns = np.mgrid[:140, :280] + 0.5
    found = (
        (rows * strength).sum() / strength.sum() / 20,
        (columns * strength).sum() / strength.sum() / 40,
    )
    assert found == pytest.approx((corner[0] + 0.5, corner[1] + 0.5), abs=0.25)


# A photo of 400 x 200 on which only the square that a policy cuts out, or all of it, is white.
WIDE = {"squash": (0, 0, 400, 200), "crop": (100, 0, 300, 200), "pad": (0, 0, 400, 200)}


@pytest.mark.parametrize("policy", WIDE)
@pytest.mark.parametrize("turned", [False, True])
def test_a_spot_s_heat_lies_on_the_spot_by_every_policy(policy, turned):
    """The map is made from the very pixels that the network gets: bright where the spot is."""
    picture = Image.new("RGB", (400, 200), (60, 60, 60))
    picture.paste((255, 255, 255), (230, 20, 270, 60))
    picture = picture.transpose(Image.Transpose.ROTATE_90) if turned else picture
    preprocessing = Preprocessing(size=224, policy=policy)
    square = preprocessing.fit(picture).astype(np.float32)
    heat = (square - 130).clip(-1, None).reshape(56, 4, 56, 4, 3).mean(axis=(1, 3, 4))
    data = draw_heatmap(encoded(picture), "spot.png", heat, preprocessing)
    with Image.open(io.BytesIO(data)) as drawn:
        assert drawn.size == picture.size
        strong = colourful(drawn) > 60
    spot = np.asarray(picture.convert("L")) > 200
    assert (strong & spot).sum() > 0.9 * spot.sum()
    assert (strong & ~spot).sum() < 0.4 * spot.sum()


@pytest.mark.parametrize(("policy", "seen"), WIDE.items())
def test_what_the_network_did_not_see_has_no_colour(policy, seen):
    preprocessing = Preprocessing(size=64, policy=policy)
    coloured = overlay(grey(400, 200), np.ones((4, 4)), preprocessing.window(400, 200))
    expected = np.zeros((200, 400), bool)
    expected[seen[1] : seen[3], seen[0] : seen[2]] = True
    np.testing.assert_array_equal(colourful(coloured) > 0, expected)


def test_the_grey_of_padding_is_left_off():
    """Heat on the borders alone is on no photo."""
    heat = np.zeros((8, 8))
    heat[0], heat[-1] = 1, 1
    drawn = overlay(grey(400, 200), heat, Preprocessing(policy="pad").window(400, 200))
    assert colourful(drawn).max() < 20


def test_it_is_upright_small_and_tells_nothing_else():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8298] = "somebody"
    photo = encoded(Image.new("RGB", (3000, 2000)), "JPEG", exif=exif, comment=b"at home")
    for side, size in ((640, (427, 640)), (160, (107, 160))):
        data = draw_heatmap(photo, "turned.jpg", np.ones((2, 2)), Preprocessing(), side=side)
        with Image.open(io.BytesIO(data)) as drawn:
            assert (drawn.format, drawn.mode, drawn.size) == ("JPEG", "RGB", size)
        assert b"somebody" not in data
        assert b"at home" not in data


@pytest.mark.parametrize(
    ("data", "error"), [(b"", EmptyPhoto), (b"text", NotAPhoto), (b"\xff\xd8\xff\0", DamagedPhoto)]
)
def test_what_is_no_photo_is_refused_by_name(data, error):
    with pytest.raises(error, match=r"^odd\.jpg: "):
        draw_heatmap(data, "odd.jpg", np.ones((2, 2)), Preprocessing())


@pytest.mark.parametrize(
    "heat",
    [np.ones(4), np.ones((0, 4)), np.ones((1, 2, 2)), np.array([[np.nan]]), np.array([[np.inf]])],
)
def test_maps_of_another_kind_are_refused(heat):
    with pytest.raises(ValueError, match="expected a heat-map"):
        overlay(grey(4, 4), heat, (0, 0, 4, 4))


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_pictures_of_another_kind_are_refused(picture):
    with pytest.raises(ValueError, match="expected uint8 pixels"):
        overlay(picture, np.ones((2, 2)), (0, 0, 4, 4))


@pytest.mark.parametrize("window", [(0, 0, 0, 4), (4, 0, 0, 4), (0, 4, 4, 4), (0, 0, np.nan, 4)])
def test_a_window_without_an_area_is_refused(window):
    with pytest.raises(ValueError, match="expected a window"):
        overlay(grey(4, 4), np.ones((2, 2)), window)


def test_a_jpeg_is_the_pixels_but_for_a_little():
    pixels = np.asarray(Image.linear_gradient("L").convert("RGB"))
    with Image.open(io.BytesIO(to_jpeg(pixels))) as drawn:
        assert np.abs(np.asarray(drawn, int) - pixels).max() <= 4
    assert len(to_jpeg(pixels, quality=20)) < len(to_jpeg(pixels, quality=95))
