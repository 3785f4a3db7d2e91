"""Thumbnails: small, in proportion, and nothing in them but pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pawprint.data.samples import draw
from pawprint.data.thumbnails import thumbnail
from pawprint.errors import DamagedPhoto, EmptyPhoto, NotAPhoto


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data):
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((400, 200), (160, 80)),
        ((200, 400), (80, 160)),
        ((3000, 2000), (160, 107)),
        ((5000, 4), (160, 1)),
        ((24, 18), (24, 18)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_it_fits_and_keeps_its_proportions(size, expected, kind):
    small = opened(thumbnail(encoded(Image.new("RGB", size), kind), "photo", 160))
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", expected)


def test_it_looks_like_the_photo():
    photo = draw("cat", 0)
    small = opened(thumbnail(encoded(photo), "cat.png", 64))
    want = np.asarray(photo.resize(small.size, Image.Resampling.LANCZOS), float)
    assert np.abs(np.asarray(small, float) - want).mean() < 6


def test_a_tag_turns_it_and_nothing_that_the_file_told_is_left():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8298] = "somebody"
    photo = encoded(Image.new("RGB", (400, 200)), "JPEG", exif=exif, comment=b"at home")
    small = thumbnail(photo, "turned.jpg", 160)
    assert opened(small).size == (80, 160)
    assert b"somebody" not in small
    assert b"at home" not in small


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyPhoto),
        (b"no photo at all", NotAPhoto),
        (encoded(draw("dog", 1), "JPEG")[:2000], DamagedPhoto),
    ],
)
def test_what_is_no_photo_is_refused_by_name(data, error):
    with pytest.raises(error, match=r"^odd\.jpg: "):
        thumbnail(data, "odd.jpg", 160)
