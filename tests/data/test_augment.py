"""Augmentations: the same pixels as Keras' layers, exact flips, ranges kept, faults refused."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import atan2, pi

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pydantic import TypeAdapter, ValidationError

from pawprint.data.augment import (
    Augmentation,
    Flip,
    Rotation,
    Shear,
    Translation,
    Zoom,
    augment,
)
from pawprint.data.samples import write_samples

WIDE = (90, 130)  # sides that differ, as mixed-up axes would not show in a square


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A drawn photo, smooth, so that half a pixel of error would show as a shift and no more."""
    folder = tmp_path_factory.mktemp("photo")
    write_samples(folder, 2)
    with Image.open(next(folder.glob("*/*.jpg"))) as picture:
        small = picture.convert("RGB").resize(WIDE[::-1]).filter(ImageFilter.GaussianBlur(1))
    return np.asarray(small)


def random(seed=0):
    return np.random.default_rng(seed)


def keras_layer(name, **options):
    return getattr(pytest.importorskip("keras").layers, name)(**options)


def thrown(operation, heads):
    """A generator whose first throw for this operation falls as asked."""
    start = np.eye(3)
    for seed in range(100):
        moved = not np.array_equal(operation.matrix(*WIDE, random(seed)), start)
        if moved == heads:
            return random(seed)
    raise AssertionError("every seed falls the same way")


FIXED = {
    "counter-clockwise": (Rotation, "RandomRotation", {"factor": (0.07, 0.07)}),
    "clockwise": (Rotation, "RandomRotation", {"factor": (-0.3, -0.3)}),
    "full turn": (Rotation, "RandomRotation", {"factor": (1, 1)}),
    "out": (Zoom, "RandomZoom", {"height": (0.3, 0.3)}),
    "in": (Zoom, "RandomZoom", {"height": (-0.3, -0.3)}),
    "farthest out": (Zoom, "RandomZoom", {"height": (1, 1)}),
    "in and out": (Zoom, "RandomZoom", {"height": (-0.2, -0.2), "width": (0.4, 0.4)}),
    "down and right": (
        Translation,
        "RandomTranslation",
        {"height": (0.13, 0.13), "width": (0.27, 0.27)},
    ),
    "up": (Translation, "RandomTranslation", {"height": (-0.13, -0.13), "width": (0, 0)}),
    "far out": (Translation, "RandomTranslation", {"height": (1, 1), "width": (-1, -1)}),
}


@pytest.mark.parametrize("fill", ["reflect", "nearest", "constant"])
@pytest.mark.parametrize("case", FIXED.values(), ids=FIXED)
def test_fixed_parameters_give_keras_pixels(case, fill, photo):
    ours, theirs, factors = case
    layer = keras_layer(
        theirs,
        fill_mode=fill,
        **{k if k == "factor" else f"{k}_factor": list(v) for k, v in factors.items()},
    )
    expected = layer(photo.astype(np.float32), training=True).numpy()
    got = augment(photo, [ours(**factors, fill=fill)], random())
    # Ours are rounded to whole numbers; the rest is Keras' coordinates in float32.
    assert np.abs(got - expected)[2:-2, 2:-2].max() < 0.6
    assert np.abs(got - expected).mean() < 0.3


@pytest.mark.parametrize(
    "factors", [{"x": (0.2, 0.2)}, {"y": (0.1, 0.1)}, {"x": (0.2, 0.2), "y": (0.1, 0.1)}]
)
def test_shear_is_keras_in_both_signs(factors, photo):
    layer = keras_layer("RandomShear", **{f"{k}_factor": v for k, v in factors.items()}, seed=0)
    theirs = {layer(photo.astype(np.float32), training=True).numpy().tobytes() for _ in range(12)}
    ours = {augment(photo, [Shear(**factors)], random(seed)).tobytes() for seed in range(12)}
    assert len(theirs) == len(ours) == 2
    left = [np.frombuffer(one, np.float32) for one in theirs]
    for one in ours:
        assert min(np.abs(np.frombuffer(one, np.uint8) - other).mean() for other in left) < 0.3


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("horizontal", lambda pixels: pixels[:, ::-1]),
        ("vertical", lambda pixels: pixels[::-1]),
        ("horizontal_and_vertical", lambda pixels: pixels[::-1, ::-1]),
    ],
)
def test_flips_are_exact_and_keras(mode, expected, photo):
    operation = Flip(mode=mode)
    got = augment(photo, [operation], thrown(operation, True))
    np.testing.assert_array_equal(got, expected(photo))
    assert augment(photo, [operation], thrown(operation, False)) is photo
    layer = keras_layer("RandomFlip", mode=mode, seed=0)
    theirs = {layer(photo.astype(np.uint8), training=True).numpy().tobytes() for _ in range(12)}
    ours = {one.astype(np.float32).tobytes() for one in (photo, got)}
    assert theirs == ours


def test_any_number_of_flips_is_exact(photo):
    operations = [Flip(mode="horizontal"), Flip(mode="vertical")] * 3
    places = {
        pixels.tobytes() for turned in (photo, photo[::-1]) for pixels in (turned, turned[:, ::-1])
    }
    assert {augment(photo, operations, random(seed)).tobytes() for seed in range(40)} == places


def test_about_half_are_flipped():
    matrices = [Flip(mode="horizontal").matrix(8, 8, g) for g in [random(1)] for _ in range(1000)]
    assert 430 < sum(matrix[0, 0] < 0 for matrix in matrices) < 570


def test_no_operation_and_none_that_moves_give_the_pixels_themselves(photo):
    assert augment(photo, [], random()) is photo
    still = [Rotation(factor=0), Zoom(height=0), Translation(height=0, width=0), Shear()]
    assert augment(photo, still, random()) is photo


SEVERAL = [
    Flip(mode="horizontal"),
    Rotation(factor=(0.05, 0.05)),
    Zoom(height=(0.2, 0.2), width=(-0.1, -0.1)),
    Translation(height=(0.1, 0.1), width=(-0.05, -0.05)),
    Shear(x=(0.1, 0.1)),
]


@pytest.mark.parametrize("seed", range(4))
def test_one_resampling_gives_what_one_after_the_other_gives(seed, photo):
    together = augment(photo, SEVERAL, random(seed))
    generator, one_by_one = random(seed), photo
    for operation in SEVERAL:
        one_by_one = augment(one_by_one, [operation], generator)
    # Reflecting at every step differs at the border; blurring at every step differs a little.
    apart = np.abs(together.astype(int) - one_by_one)[20:-20, 20:-20]
    assert apart.mean() < 1.5
    other_order = augment(photo, SEVERAL[::-1], random(seed)).astype(int)
    assert np.abs(together - other_order)[20:-20, 20:-20].mean() > 3


def test_each_operation_keeps_its_fill(photo):
    down = Translation(height=(0.5, 0.5), width=(0, 0), fill="constant")
    right = Translation(height=(0, 0), width=(0.5, 0.5), fill="nearest")
    got = augment(photo, [down, right], random())
    assert not got[:45].any()
    np.testing.assert_array_equal(got[45:, :65], np.repeat(photo[:45, :1], 65, axis=1))
    np.testing.assert_array_equal(got[45:, 65:], photo[:45, :65])


def test_a_flip_takes_the_fill_of_its_neighbours(photo):
    down = Translation(height=(0.5, 0.5), width=(0, 0), fill="constant")
    flip = Flip(mode="vertical")
    for operations, black in (([flip, down], {0}), ([down, flip], {0, 45})):
        starts = set()
        for seed in range(12):
            got = augment(photo, operations, random(seed))
            (start,) = (i for i in (0, 45) if not got[i : i + 45].any())
            starts.add(start)
        assert starts == black


def angle(m):
    return atan2(m[1, 0], m[0, 0]) / (2 * pi)


RANGES = {
    "rotation": (Rotation(factor=0.2), angle, -0.2, 0.2),
    "one-sided rotation": (Rotation(factor=(0.1, 0.3)), angle, 0.1, 0.3),
    "exchanged ends": (Rotation(factor=(0.3, 0.1)), angle, 0.1, 0.3),
    "a number below zero": (Rotation(factor=-0.2), angle, -0.2, 0.2),
    "zoom height": (Zoom(height=(-0.3, 0.1)), lambda m: m[1, 1], 0.7, 1.1),
    "zoom width": (Zoom(height=0, width=0.5), lambda m: m[0, 0], 0.5, 1.5),
    "down": (Translation(height=0.4, width=0), lambda m: -m[1, 2] / WIDE[0], -0.4, 0.4),
    "right": (Translation(height=0, width=(0, 1)), lambda m: -m[0, 2] / WIDE[1], 0.0, 1.0),
    "shear x": (Shear(x=0.3), lambda m: m[0, 1], -0.3, 0.3),
    "shear y": (Shear(y=(0.1, 0.3)), lambda m: abs(m[1, 0]), 0.1, 0.3),
}


@pytest.mark.parametrize("case", RANGES.values(), ids=RANGES)
def test_random_parameters_cover_their_range_and_never_leave_it(case):
    operation, read, low, high = case
    generator = random(2)
    drawn = np.array([read(operation.matrix(*WIDE, generator)) for _ in range(2000)])
    assert drawn.min() >= low - 1e-9
    assert drawn.max() <= high + 1e-9
    counts, _ = np.histogram(drawn, bins=10, range=(low, high))
    assert counts.min() > 130  # of 200 on average: 5 standard deviations
    assert counts.max() < 270


def test_proportions_are_kept_without_a_width():
    m = Zoom(height=0.5).matrix(*WIDE, random())
    assert m[0, 0] == m[1, 1]
    m = Zoom(height=0.5, width=0.5).matrix(*WIDE, random())
    assert m[0, 0] != m[1, 1]


def test_shear_turns_both_directions_by_one_sign():
    signs = {
        tuple(np.sign([m[0, 1], m[1, 0]]))
        for m in (Shear(x=(0.1, 0.2), y=(0.1, 0.2)).matrix(8, 8, random(s)) for s in range(20))
    }
    assert signs == {(1, 1), (-1, -1)}


def test_the_same_generator_gives_the_same_photo_also_in_threads(photo):
    def changed(seed):
        return augment(photo, [*SEVERAL[:1], Rotation(factor=0.2)], random(seed))

    alone = [changed(seed) for seed in range(32)]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(changed, range(32)), strict=True):
            np.testing.assert_array_equal(one, other)
    assert len({one.tobytes() for one in alone}) == 32


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (32, 32, 3), (300, 400, 3)])
def test_any_photo_keeps_its_shape_and_dtype(shape):
    pixels = random().integers(0, 256, shape).astype(np.uint8)
    pixels.flags.writeable = False
    before = pixels.copy()
    for source in (pixels, pixels[:, ::-1], np.asfortranarray(pixels)):
        for seed in range(3):
            got = augment(source, SEVERAL, random(seed))
            assert (got.dtype, got.shape) == (np.uint8, shape)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ValueError, match=f"got {pixels.dtype} ") as raised:
        augment(pixels, SEVERAL, random())
    assert str(pixels.shape) in str(raised.value)


READ = TypeAdapter(Augmentation)


def test_layers_are_read_by_name_and_written_back():
    written = [
        {"layer": "flip", "mode": "horizontal"},
        {"layer": "rotation", "factor": 0.1},
        {"layer": "zoom", "height": [-0.2, 0], "fill": "nearest"},
        {"layer": "translation", "height": 0, "width": [0.1, 0.2]},
        {"layer": "shear", "x": 1},
    ]
    read = [READ.validate_python(one) for one in written]
    assert [type(one) for one in read] == [Flip, Rotation, Zoom, Translation, Shear]
    assert read[2] == Zoom(height=(-0.2, 0.0), fill="nearest")
    assert [READ.validate_python(READ.dump_python(one)) for one in read] == read
    with pytest.raises(ValidationError, match="frozen"):
        read[1].factor = 0.2


TURNS = "expected a number or [low, high] within [-1, 1]"
ZOOMS = "expected a number or [low, high] within (-1, 1]"
SHEARS = "expected a number or [low, high] within [0, 1]"


@pytest.mark.parametrize(
    ("values", "where", "message"),
    [
        ({"layer": "blur"}, (), "'blur' found using 'layer'"),
        ({"factor": 0.1}, (), "discriminator 'layer'"),
        ({"layer": "flip", "mode": "diagonal"}, ("mode",), "'horizontal'"),
        ({"layer": "flip", "factor": 0.1}, ("factor",), "Extra inputs"),
        ({"layer": "rotation"}, ("factor",), "Field required"),
        ({"layer": "rotation", "factor": 1.01}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": -10}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": [-2, 2]}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": [0.1]}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": [0.1, 0.2, 0.3]}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": []}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": [0.1, "0.2"]}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": "0.1"}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": True}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": None}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": float("nan")}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": [0, float("inf")]}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": {"low": 0}}, ("factor",), TURNS),
        ({"layer": "rotation", "factor": 0.1, "fill": "wrap"}, ("fill",), "'nearest'"),
        ({"layer": "zoom"}, ("height",), "Field required"),
        ({"layer": "zoom", "height": -1}, ("height",), ZOOMS),
        ({"layer": "zoom", "height": 1.1}, ("height",), ZOOMS),
        ({"layer": "zoom", "height": 0, "width": [-1, 0]}, ("width",), ZOOMS),
        ({"layer": "translation", "height": 0.1}, ("width",), "Field required"),
        ({"layer": "translation", "height": 0, "width": 1.5}, ("width",), TURNS),
        ({"layer": "translation", "height": 40, "width": 0}, ("height",), TURNS),
        ({"layer": "shear", "x": -0.1}, ("x",), SHEARS),
        ({"layer": "shear", "y": [-0.1, 0.1]}, ("y",), SHEARS),
        ({"layer": "shear", "y": 1.1}, ("y",), SHEARS),
    ],
)
def test_faults_are_refused_each_in_one_sentence(values, where, message):
    with pytest.raises(ValidationError) as raised:
        READ.validate_python(values)
    (fault,) = raised.value.errors()
    assert fault["loc"][1:] == where
    assert message in fault["msg"]


def test_keras_refuses_what_is_refused_here():
    for name, options in [
        ("RandomRotation", {"factor": 1.01}),
        ("RandomZoom", {"height_factor": -1}),
        ("RandomZoom", {"height_factor": 1.1}),
        ("RandomTranslation", {"height_factor": 0, "width_factor": 1.5}),
        ("RandomShear", {"x_factor": -0.1}),
        ("RandomShear", {"y_factor": 1.1}),
    ]:
        with pytest.raises(ValueError, match="in the range"):
            keras_layer(name, **options)


def test_importing_needs_no_opencv_and_using_it_says_what_to_install():
    program = (
        "import sys; sys.modules['cv2'] = None\n"
        "import numpy as np\n"
        "from pawprint.data.augment import Rotation, augment\n"
        "from pawprint.errors import MissingExtra\n"
        "photo, random = np.zeros((8, 8, 3), np.uint8), np.random.default_rng()\n"
        "try: augment(photo, [Rotation(factor=1)], random)\n"
        "except MissingExtra as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "opencv-python-headless" in done.stdout
    assert "pip install '.[train]'" in done.stdout
