"""Cat and dog faces, drawn at random with Pillow.

Coats, eye colours, backgrounds and light come from the same lists for both kinds, so a model has
to look at the shapes: pointed ears, slit pupils and whiskers, or hanging ears, a long muzzle and a
big dark nose.
"""

import colorsys
import math
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFilter

KINDS = ("cat", "dog")

Colour = tuple[int, int, int]
Point = tuple[float, float]
# Where the head is, as parts of width and height; its radius; its turn in radians.
Pose = tuple[float, float, float, float]

# Fur, markings and the pale parts; shared by both kinds on purpose.
_COATS = (
    ("#de944e", "#ac602c", "#fae8ce"),
    ("#8c8e94", "#54565e", "#e2e2e4"),
    ("#3a3638", "#1e1c20", "#c6c0bc"),
    ("#eee8de", "#bea080", "#fcfaf6"),
    ("#e2c698", "#a67c4e", "#faf0dc"),
    ("#7a5236", "#462e20", "#e2caae"),
    ("#b08458", "#5c402c", "#f0dec4"),
    ("#f4f0ec", "#423c3c", "#fffcf8"),
)
_EYES = ("#966028", "#c49430", "#7ea652", "#749eba", "#6e4a2c")
_INK: Colour = (34, 26, 26)
_WHITE: Colour = (255, 255, 255)
_PINK: Colour = (226, 140, 146)
_UNIT = np.array([(math.cos(a), math.sin(a)) for a in np.linspace(0, math.tau, 33)[:-1]])


def _spline_steps(steps: int = 7) -> NDArray[np.float64]:
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    # Catmull-Rom: runs through its points, and a point given twice makes a corner.
    basis = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
    weights: NDArray[np.float64] = np.hstack([t**0, t, t**2, t**3]) @ basis
    return weights


_SPLINE = _spline_steps()


def _rgb(text: str) -> Colour:
    red, green, blue = ImageColor.getrgb(text)[:3]
    return red, green, blue


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _mix(a: Colour, b: Colour, part: float) -> Colour:
    red, green, blue = (round(x + (y - x) * part) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _points(path: str, side: int = 1) -> list[Point]:
    """The points of a path such as `0 -.8, .5 -.7`; `side=-1` turns left and right round."""
    pairs = (pair.split() for pair in path.split(","))
    return [(side * float(x), float(y)) for x, y in pairs]


def _mirrored(half: Sequence[Point]) -> list[Point]:
    """The closed outline of a right half given from top to bottom."""
    return [*half, *((-x, y) for x, y in reversed(half) if x)]


class _Pen:
    """Draws in face units: the head has radius 1 around (0, 0), y points down."""

    def __init__(self, image: Image.Image, pose: Pose) -> None:
        x, y, scale, turn = pose
        self.draw = ImageDraw.Draw(image)
        self.origin = np.array((x, y)) * image.size
        self.scale = scale * min(image.size)
        cos, sin = math.cos(turn) * self.scale, math.sin(turn) * self.scale
        self.matrix = np.array(((cos, sin), (-sin, cos)))

    def polygon(self, points: NDArray[np.float64], colour: Colour) -> None:
        flat = (points @ self.matrix + self.origin).ravel().tolist()
        self.draw.polygon(flat, fill=colour)

    def curve(self, points: Sequence[Point], colour: Colour) -> None:
        knots = np.asarray(points, float)
        spans = np.stack([np.roll(knots, k, axis=0) for k in (1, 0, -1, -2)], axis=1)
        self.polygon((_SPLINE @ spans).reshape(-1, 2), colour)

    def oval(self, at: Point, rx: float, ry: float, colour: Colour, turn: float = 0.0) -> None:
        cos, sin = math.cos(turn), math.sin(turn)
        rotate = np.array(((rx * cos, rx * sin), (-ry * sin, ry * cos)))
        self.polygon(_UNIT @ rotate + at, colour)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        flat = (np.asarray(points) @ self.matrix + self.origin).ravel().tolist()
        self.draw.line(flat, fill=colour, width=max(1, round(width * self.scale)), joint="curve")


class _Face:
    """The choices made for one face; the parts of it that both kinds share."""

    def __init__(self, pen: _Pen, rng: random.Random) -> None:
        self.pen, self.rng = pen, rng
        tint: Colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        fur, dark, pale = (_mix(_rgb(c), tint, rng.uniform(0, 0.07)) for c in rng.choice(_COATS))
        self.fur, self.dark, self.pale = fur, dark, pale
        self.shade = _mix(fur, _INK, 0.25)
        self.eye = _mix(_rgb(rng.choice(_EYES)), tint, 0.08)
        # The features move more than the outline: the head seems to turn.
        self.dx, self.dy = rng.uniform(-0.14, 0.14), rng.uniform(-0.06, 0.06)

    def at(self, x: float, y: float) -> Point:
        return x + self.dx, y + self.dy

    def all_at(self, points: Sequence[Point]) -> list[Point]:
        return [self.at(x, y) for x, y in points]

    def strokes(self, count: int, colours: Sequence[Colour], rim: float = 0.9) -> None:
        """Short hairs that point away from the nose."""
        uniform = self.rng.uniform
        for _ in range(count):
            angle, far = uniform(0, math.tau), math.sqrt(uniform(0.1, 1)) * rim
            x, y = math.cos(angle) * far, math.sin(angle) * far * 0.85
            length = uniform(0.06, 0.16)
            end = (x + math.cos(angle) * length, y + math.sin(angle) * length)
            self.pen.line([(x, y), end], self.rng.choice(colours), 0.015)

    def body(self, width: float) -> None:
        pen, rng = self.pen, self.rng
        coat = _mix(self.fur, self.shade, 0.5)
        sides = [(0.0, 0.4), (0.6, 0.7), (width * 0.95, 1.5), (width * 1.2, 2.6), (width, 5.0)]
        pen.curve(_mirrored([*sides, (0, 5.2)]), self.shade)
        pen.curve(_mirrored([*((x * 0.92, y) for x, y in sides), (0, 5.1)]), coat)
        if rng.random() < 0.6:
            pen.curve(_mirrored(_points("0 .7, .45 .9, .4 1.5, 0 1.95")), self.pale)
        if rng.random() < 0.45:
            band = _points("-.72 .95, -.35 1.14, 0 1.2, .35 1.14, .72 .95")
            pen.line(band, _hsv(rng.random(), 0.75, 0.8), 0.15)
            pen.oval((0, 1.32), 0.11, 0.12, (240, 204, 92))

    def fur_on_head(self) -> None:
        light, deep = _mix(self.fur, self.pale, 0.2), _mix(self.fur, self.dark, 0.25)
        self.strokes(130, (light, deep, self.fur))

    def glint(self, x: float, y: float, size: float) -> None:
        self.pen.oval((x - 0.05, y - 0.06), size, size, _WHITE)
        self.pen.oval((x + 0.06, y + 0.06), size * 0.45, size * 0.45, _mix(self.eye, _WHITE, 0.6))


def _cat_ears(face: _Face) -> None:
    rng, tall, wide = face.rng, face.rng.uniform(1.3, 1.6), face.rng.uniform(0.72, 0.95)
    colour = face.dark if rng.random() < 0.35 else face.shade
    pink = _mix(_PINK, face.fur, 0.35)
    for side in (-1, 1):
        tip = (side * wide + face.dx * 0.3, -tall)
        hollow = (tip[0] - side * 0.04, 0.24 - tall)
        outer, inner = _points("1 -.1, 1 -.75", side), _points(".42 -1.1, .14 -.78", side)
        face.pen.curve([*outer, tip, tip, tip, *inner], colour)
        outer, inner = _points(".86 -.4, .88 -.75", side), _points(".5 -.98, .36 -.72", side)
        face.pen.curve([*outer, hollow, hollow, hollow, *inner], pink)


def _cat_coat(face: _Face) -> None:
    pen, rng = face.pen, face.rng
    half = "0 -.84, .55 -.76, .93 -.28, 1.04 .12, 1.16 .36, .92 .5, .62 .76, 0 .9"
    pen.curve(_mirrored(_points(half)), face.fur)
    face.fur_on_head()
    pattern = rng.choice(("tabby", "tabby", "patch", "mask", "plain"))
    if pattern == "patch":
        patch = "0 -.82, .6 -.72, .88 -.2, .6 .15, .15 -.1"
        pen.curve(_points(patch, rng.choice((-1, 1))), face.dark)
    if pattern == "mask":
        pen.oval(face.at(0, 0.2), 0.55, 0.55, _mix(face.fur, face.dark, 0.6))
    if pattern == "tabby":
        for x, low in ((0.0, -0.38), (0.24, -0.45), (-0.24, -0.45)):
            stripe = [(x, -0.83), (x + 0.07, -0.7), (x * 0.8 + face.dx, low), (x - 0.07, -0.7)]
            pen.curve(stripe, face.dark)
        for side in (-1, 1):
            for stripes in (
                "1.05 .14, .85 .06, .6 .18, .85 .15",
                "1.05 .34, .85 .26, .6 .38, .85 .35",
            ):
                pen.curve(_points(stripes, side), face.dark)


def _cat_whiskers(face: _Face) -> None:
    # Dark on pale fur, else they would not be seen.
    hair = _mix(_WHITE, face.pale, 0.3) if sum(face.fur) < 560 else (120, 110, 104)
    for side in (-1, 1):
        for k in range(3):
            far, droop = face.rng.uniform(1.2, 1.5), face.rng.uniform(-0.08, 0.08)
            root = face.at(side * 0.3, 0.4 + 0.06 * k)
            bend, end = (side * far * 0.65, 0.28 + 0.15 * k), (side * far, 0.25 + 0.24 * k + droop)
            face.pen.line([root, bend, end], hair, 0.02)


def _cat(face: _Face) -> None:
    pen, rng = face.pen, face.rng
    face.body(rng.uniform(0.95, 1.15))
    _cat_ears(face)
    _cat_coat(face)
    slit, tilt, size = rng.uniform(0.035, 0.085), rng.uniform(0.1, 0.35), rng.uniform(0.2, 0.25)
    for side in (-1, 1):
        x, y = face.at(side * 0.43, -0.12)
        pen.oval((x, y), size * 1.25 + 0.03, size + 0.035, _INK, -side * tilt)
        pen.oval((x, y), size * 1.25, size, face.eye, -side * tilt)
        pen.oval((x, y + 0.04), size * 0.9, size * 0.7, _mix(face.eye, _WHITE, 0.25), -side * tilt)
        pen.oval((x, y), slit, size * 0.94, _INK)
        face.glint(x, y, 0.05)
    pen.oval(face.at(0, 0.62), 0.24, 0.2, _mix(face.pale, face.shade, 0.15))
    for side in (-1, 1):
        pen.oval(face.at(side * 0.19, 0.44), 0.27, 0.2, face.pale, side * 0.15)
    nose = [face.at(x, y) for x, y in _mirrored(_points("0 .2, .11 .2, .1 .27, 0 .36"))]
    pen.curve(nose, _mix(_PINK, _INK, rng.uniform(0, 0.3)))
    for side in (-1, 1):
        mouth = ((0, 0.34), (0, 0.46), (side * 0.1, 0.54), (side * 0.24, 0.5))
        pen.line(face.all_at(mouth), _mix(_INK, face.pale, 0.2), 0.028)
    _cat_whiskers(face)


def _dog_coat(face: _Face) -> None:
    pen, rng = face.pen, face.rng
    half = "0 -.92, .5 -.86, .84 -.5, .86 0, .72 .5, .45 .85, 0 .95"
    pen.curve(_mirrored(_points(half)), face.fur)
    face.fur_on_head()
    pattern = rng.choice(("blaze", "blaze", "patch", "brows", "plain"))
    if pattern == "patch":
        pen.oval(face.at(rng.choice((-1, 1)) * 0.38, -0.18), 0.33, 0.42, face.dark)
    if pattern == "blaze":
        blaze = _mirrored(_points("0 -.9, .12 -.7, .1 -.2, .3 .3, 0 .6"))
        pen.curve(face.all_at(blaze), face.pale)
    if pattern == "brows":
        for side in (-1, 1):
            pen.oval(face.at(side * 0.32, -0.42), 0.13, 0.08, face.pale, side * 0.4)


def _dog_ears(face: _Face) -> None:
    rng, low, out = face.rng, face.rng.uniform(0.4, 1.0), face.rng.uniform(1.0, 1.3)
    colour = face.dark if rng.random() < 0.65 else face.shade
    for side in (-1, 1):
        sway = rng.uniform(-0.1, 0.1)
        tip = [(out + 0.06 + sway, low - 0.2), (out - 0.2 + sway, low), (0.82, low - 0.3)]
        shape = [(0.42, -0.88), (0.85, -0.86), (out, -0.3), *tip, (0.76, -0.3)]
        face.pen.curve([(side * x + face.dx * 0.4, y) for x, y in shape], colour)
        for k in range(3):
            x = 0.88 + (out - 0.98) * k / 2
            wave = [(side * x, -0.35), (side * (x + sway * 0.5), low - 0.4)]
            face.pen.line(wave, _mix(colour, face.pale, 0.1), 0.02)


def _dog_mouth(face: _Face, end: float) -> None:
    pen, rng = face.pen, face.rng
    if rng.random() < 0.5:
        pen.oval(face.at(0, end - 0.1), 0.25, 0.17, (92, 34, 40))
        long = rng.uniform(0.2, 0.32)
        pen.oval(face.at(rng.uniform(-0.05, 0.05), end + 0.08), 0.17, long, (232, 116, 128))
        pen.line([face.at(0, end - 0.08), face.at(0, end + long - 0.1)], (196, 82, 98), 0.025)
    for side in (-1, 1):
        pen.oval(face.at(side * 0.2, end - 0.32), 0.27, 0.27, face.pale, side * 0.3)
        lips = ((0, 0.45), (0, end - 0.2), (side * 0.16, end - 0.08), (side * 0.4, end - 0.22))
        pen.line(face.all_at(lips), _mix(_INK, face.pale, 0.15), 0.035)
        for x, y in ((0.22, 0.36), (0.32, 0.3), (0.3, 0.4)):
            pen.oval(face.at(side * x, end - y), 0.016, 0.016, _mix(_INK, face.pale, 0.3))


def _dog(face: _Face) -> None:
    pen, rng = face.pen, face.rng
    face.body(rng.uniform(0.95, 1.2))
    _dog_coat(face)
    _dog_ears(face)
    size, end = rng.uniform(0.14, 0.18), rng.uniform(0.98, 1.15)
    pen.oval(face.at(0, end - 0.24), 0.36, 0.3, _mix(face.pale, face.shade, 0.35))
    pen.oval(face.at(0, end - 0.52), 0.42, 0.5, _mix(face.pale, face.fur, 0.12))
    _dog_mouth(face, end)
    for side in (-1, 1):
        x, y = face.at(side * 0.37, -0.16)
        pen.oval((x, y), size + 0.05, size + 0.035, _INK)
        pen.oval((x, y), size, size, face.eye)
        pen.oval((x, y), size * 0.68, size * 0.68, _INK)
        face.glint(x, y, 0.05)
    nose = _mirrored(_points("0 .2, .2 .22, .25 .34, .14 .47, 0 .52"))
    pen.curve(face.all_at(nose), _mix(_INK, face.dark, rng.uniform(0, 0.2)))
    pen.oval(face.at(-0.05, 0.27), 0.1, 0.035, (150, 144, 148))
    for side in (-1, 1):
        pen.oval(face.at(side * 0.11, 0.4), 0.045, 0.03, (8, 6, 8), side * 0.5)


def _random_colour(rng: random.Random) -> Colour:
    return _hsv(rng.random(), rng.uniform(0.05, 0.5), rng.uniform(0.25, 0.95))


def _background(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """A blurred room or garden; drawn small, for it is out of focus anyway."""
    width, height = max(8, size[0] // 3), max(8, size[1] // 3)
    ends = np.array((_random_colour(rng), _random_colour(rng)), float)
    angle = rng.uniform(0, math.tau)
    across = np.linspace(-1, 1, width) * math.cos(angle)
    down = np.linspace(-1, 1, height) * math.sin(angle)
    ramp = np.add.outer(down, across)[..., None] / 2.9 + 0.5
    image = Image.fromarray((ends[0] + (ends[1] - ends[0]) * ramp).clip(0, 255).astype(np.uint8))
    pen = _Pen(image, (0.5, 0.5, 0.5, rng.uniform(-0.3, 0.3)))
    style = rng.choice(("blobs", "stripes", "floor", "leaves", "plain"))
    if style == "stripes":
        step, colour = rng.uniform(0.2, 0.5), _random_colour(rng)
        for k in range(-8, 9):
            pen.line([(k * step, -3), (k * step, 3)], colour, step * 0.45)
    if style == "floor":
        left, right = (-4, rng.uniform(0, 0.6)), (4, rng.uniform(0, 0.6))
        pen.curve([left, right, (4, 4), (-4, 4)], _random_colour(rng))
    if style in ("blobs", "leaves"):
        shades, thin = [_random_colour(rng) for _ in range(3)], 1.0 if style == "blobs" else 0.3
        for _ in range(24 if style == "leaves" else 12):
            far = rng.uniform(0.1, 0.4)
            spot = (rng.uniform(-1.8, 1.8), rng.uniform(-1.8, 1.8))
            pen.oval(spot, far, far * thin, rng.choice(shades), rng.uniform(0, 3))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(1.2, 2.5)))


def _lit(image: Image.Image, pose: Pose, rng: random.Random) -> Image.Image:
    """Light from one side, a shadow around the head, and the grain of a sensor."""
    small = Image.new("RGB", (max(8, image.width // 6), max(8, image.height // 6)), (150, 150, 150))
    pen, side = _Pen(small, pose), rng.uniform(-0.5, 0.5)
    pen.oval((-side * 0.6, 0.25), 1.25, 1.25, (110, 110, 110))
    pen.oval((side * 0.4, -0.15), 0.95, 0.95, (168, 168, 168))
    pen.oval((side, -0.4), 0.5, 0.45, (182, 182, 182))
    soft = small.filter(ImageFilter.GaussianBlur(0.28 * pen.scale)).convert("L")
    light = np.asarray(soft.resize(image.size, Image.Resampling.BILINEAR), np.float32) / 150
    light *= np.linspace(1 + side * 0.4, 1 - side * 0.4, image.width, dtype=np.float32)
    grain = np.random.default_rng(rng.getrandbits(32)).standard_normal(
        (image.height, image.width), np.float32
    ) * rng.uniform(1, 8)
    warmth = rng.uniform(-0.08, 0.08)
    gain = np.array((1 + warmth, 1, 1 - warmth), np.float32) * rng.uniform(0.75, 1.12)
    pixels = np.asarray(image, np.float32) * light[..., None] * gain + grain[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def draw(kind: str, seed: int, size: tuple[int, int] | None = None) -> Image.Image:
    """Draw the face of a cat or a dog, the same one for the same seed.

    >>> draw("cat", 7, (160, 120)).size
    (160, 120)

    Args:
        kind: `cat` or `dog`.
        seed: decides everything that is left to chance.
        size: width and height in pixels; without it 120 to 320 each, as the seed has it.

    Returns:
        The photo, in RGB.

    Raises:
        ValueError: `kind` is neither, or the size leaves no pixels.
    """
    if kind not in KINDS:
        raise ValueError(f"cannot draw {kind!r}: kind is one of {', '.join(KINDS)}")
    rng = random.Random(f"{kind}/{seed}")
    long = rng.randint(160, 320)
    short = max(120, round(long * rng.uniform(0.6, 1)))
    width, height = size or rng.choice(((long, short), (short, long)))
    pose = (
        rng.uniform(0.4, 0.6),
        rng.uniform(0.42, 0.58),
        rng.uniform(0.22, 0.37),
        rng.gauss(0, 0.17),
    )
    finer = 3 if max(width, height) <= 200 else 2
    canvas = _background((width, height), rng).resize(
        (width * finer, height * finer), Image.Resampling.BILINEAR
    )
    face = _Face(_Pen(canvas, pose), rng)
    (_cat if kind == "cat" else _dog)(face)
    return _lit(canvas.reduce(finer), pose, rng)
