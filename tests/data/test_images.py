"""Bytes to pixels: every kind of photo comes out as upright RGB, or is refused with a reason."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pawprint.data.images import MAX_PIXELS, Preprocessing, Trait, open_photo
from pawprint.data.samples import draw
from pawprint.errors import DamagedPhoto, EmptyPhoto, NotAPhoto, PhotoError, TooManyPixels

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
POLICIES = ("squash", "crop", "pad")


def quarters(width: int = 48, height: int = 32) -> NDArray[np.uint8]:
    """Four colours, so that any turn or mirroring shows."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = YELLOW
    return pixels


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> NDArray[np.uint8]:
    picture = open_photo(data, "photo").picture
    assert picture.mode == "RGB"
    return np.asarray(picture)


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    check = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a size; its data would fail when looked at."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"bogus", crc=1) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_formats_without_loss_give_the_very_pixels(kind: str, options: dict[str, Any]) -> None:
    assert np.array_equal(opened(encoded(Image.fromarray(quarters()), kind, **options)), quarters())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("JPEG", {"quality": 95, "progressive": True, "subsampling": 0}),
        ("WEBP", {"quality": 95}),
        ("AVIF", {"quality": 95}),
    ],
)
def test_formats_with_loss_give_nearly_the_pixels(kind: str, options: dict[str, Any]) -> None:
    found = opened(encoded(Image.fromarray(quarters()), kind, **options))
    assert found.shape == quarters().shape
    assert np.abs(found.astype(int) - quarters()).mean() < 6


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    first, second = Image.fromarray(quarters()), Image.new("RGB", (48, 32), (9, 9, 9))
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(first, kind, save_all=True, append_images=[second, second], **lossless)
    assert np.array_equal(opened(data), quarters())


# How the rows are stored for each orientation tag, so that the upright picture is `quarters()`.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_comes_out_upright(kind: str, orientation: int) -> None:
    tag = Image.Exif()
    tag[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](quarters())))
    options: dict[str, Any] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
    }.get(kind, {})
    data = encoded(stored, kind, exif=tag, **options)
    found = opened(data)
    assert found.shape == quarters().shape
    assert np.abs(found.astype(int) - quarters()).mean() < 6
    found_near = open_photo(data, "photo", near=32)
    assert (found_near.width, found_near.height) == (48, 32)
    assert (Trait.TURNED in found_near.traits) == (orientation != 1)


def test_an_unknown_orientation_is_as_none() -> None:
    tag = Image.Exif()
    tag[0x0112] = 77
    assert np.array_equal(opened(encoded(Image.fromarray(quarters()), "PNG", exif=tag)), quarters())


def test_palette_and_grey_become_rgb() -> None:
    palette = Image.fromarray(quarters()).quantize(4)
    assert np.array_equal(opened(encoded(palette, "PNG")), quarters())
    grey = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(opened(encoded(Image.fromarray(grey), "PNG")), np.dstack([grey] * 3))


def test_one_bit_becomes_black_and_white() -> None:
    bits = np.indices((16, 16)).sum(axis=0) % 2 == 0
    for kind in ("PNG", "TIFF", "BMP"):
        found = opened(encoded(Image.fromarray(bits), kind))
        assert np.array_equal(found, np.dstack([bits * np.uint8(255)] * 3))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind: str) -> None:
    wide = np.array([[0, 257, 100 * 257, 200 * 257, 65535]], np.uint16)
    found = opened(encoded(Image.fromarray(wide), kind))
    assert found[0, :, 0].tolist() == [0, 1, 100, 200, 255]


def test_float_tiff_is_read_by_its_range() -> None:
    unit = np.array([[0.0, 0.5, 1.0]], np.float32)
    assert opened(encoded(Image.fromarray(unit), "TIFF"))[0, :, 1].tolist() == [0, 128, 255]
    bytes_like = np.array([[0.0, 128.0, 255.0]], np.float32)
    assert opened(encoded(Image.fromarray(bytes_like), "TIFF"))[0, :, 1].tolist() == [0, 128, 255]
    free = np.array([[-1000.0, 0.0, 1000.0]], np.float32)
    assert opened(encoded(Image.fromarray(free), "TIFF"))[0, :, 1].tolist() == [0, 128, 255]


def test_float_tiff_with_no_numbers_in_it_is_still_a_photo() -> None:
    odd = np.array([[0.0, np.nan, np.inf, 1.0]], np.float32)
    found = opened(encoded(Image.fromarray(odd), "TIFF"))[0, :, 0]
    assert found[[0, 1, 3]].tolist() == [0, 0, 255]


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow make red
    found = opened(encoded(inks, kind))
    assert np.abs(found.astype(int) - RED).max() < 6


@pytest.mark.parametrize(
    ("mode", "seen", "hidden", "expected"),
    [
        ("RGBA", (10, 20, 30, 255), (10, 20, 30, 0), (10, 20, 30)),
        ("LA", (40, 255), (40, 0), (40, 40, 40)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_on_white(
    kind: str, mode: str, seen: Any, hidden: Any, expected: Any
) -> None:
    picture = Image.new(mode, (2, 1))
    picture.putpixel((0, 0), seen)
    picture.putpixel((1, 0), hidden)
    found = opened(encoded(picture, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert found.tolist() == [[list(expected), [255, 255, 255]]]


def test_half_transparency_is_mixed_with_white() -> None:
    found = opened(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "PNG"))
    assert np.abs(found.astype(int) - 127).max() <= 1


def test_transparent_colours_of_palettes_and_rgb_lie_on_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        found = opened(encoded(palette, kind, transparency=1))
        assert found.tolist() == [[[255, 0, 0], [255, 255, 255]]]
    rgb = Image.fromarray(np.array([[RED, GREEN]], np.uint8))
    found = opened(encoded(rgb, "PNG", transparency=GREEN))
    assert found.tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_squash_takes_the_whole_photo() -> None:
    found = Preprocessing(size=32, policy="squash").from_array(quarters(96, 48))
    assert found.shape == (32, 32, 3)
    assert found.dtype == np.uint8
    inner = [slice(0, 14), slice(18, 32)]  # away from the borders, which are blurred
    for row, column, colour in ((0, 0, RED), (0, 1, GREEN), (1, 0, BLUE), (1, 1, YELLOW)):
        assert (found[inner[row], inner[column]] == colour).all()


def test_crop_takes_the_middle_square() -> None:
    stripes = np.repeat(np.array([[RED, GREEN, BLUE]], np.uint8), 32, axis=1).repeat(32, axis=0)
    crop = Preprocessing(size=32, policy="crop")
    assert (crop.from_array(stripes) == GREEN).all()
    assert (crop.from_array(np.ascontiguousarray(stripes.swapaxes(0, 1))) == GREEN).all()


def test_pad_keeps_proportions_on_grey() -> None:
    pad = Preprocessing(size=32, policy="pad")
    wide = pad.from_array(np.full((32, 64, 3), 255, np.uint8))
    assert (wide[8:24] == 255).all()
    assert (wide[:8] == 127).all()
    assert (wide[24:] == 127).all()
    tall = pad.from_array(np.full((64, 32, 3), 255, np.uint8))
    assert np.array_equal(tall, wide.swapaxes(0, 1))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_photo_of_the_right_size_is_not_touched(policy: Any) -> None:
    pixels = noise(40, 40)
    assert np.array_equal(Preprocessing(size=40, policy=policy).from_array(pixels), pixels)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [(128, 64), (64, 256), (90, 90), (33, 200)])
def test_the_window_is_what_becomes_the_square(policy: Any, size: tuple[int, int]) -> None:
    photo = draw("cat", 0).resize(size)
    preprocessing = Preprocessing(size=32, policy=policy)
    width, height = size
    canvas = Image.new("RGB", (3 * width + 600, 3 * height + 600), (127, 127, 127))
    canvas.paste(photo, (width + 300, height + 300))
    left, top, right, bottom = preprocessing.window(width, height)
    box = (left + width + 300, top + height + 300, right + width + 300, bottom + height + 300)
    expected = np.asarray(canvas.resize((32, 32), Image.Resampling.BILINEAR, box=box), int)
    assert np.abs(preprocessing.fit(photo) - expected).mean() < 4


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (33, 47), (300, 200)])
def test_any_proportions_give_the_square(policy: Any, size: tuple[int, int]) -> None:
    found = Preprocessing(size=32, policy=policy).from_array(np.full((*size, 3), 200, np.uint8))
    assert found.shape == (32, 32, 3)
    assert (found == 200).any()
    assert np.isin(found, (127, 200)).all()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [(57, 91), (32, 32), (640, 31)])
def test_bytes_picture_and_array_give_the_same_pixels(policy: Any, size: tuple[int, int]) -> None:
    preprocessing = Preprocessing(size=32, policy=policy)
    pixels = noise(*size)
    data = encoded(Image.fromarray(pixels), "PNG")
    expected = preprocessing.from_array(pixels)
    assert np.array_equal(preprocessing.from_bytes(data, "photo"), expected)
    assert np.array_equal(preprocessing.from_image(Image.fromarray(pixels)), expected)
    with Image.open(io.BytesIO(data)) as lazily:
        assert np.array_equal(preprocessing.from_image(lazily), expected)


@pytest.mark.parametrize("policy", POLICIES)
def test_grey_and_rgba_arrays_give_what_their_pictures_give(policy: Any) -> None:
    preprocessing = Preprocessing(size=32, policy=policy)
    grey = noise(50, 40)[..., 0]
    rgba = np.dstack([noise(50, 40), noise(50, 40, 1)[..., 0]])
    for pixels in (grey, rgba):
        data = encoded(Image.fromarray(np.ascontiguousarray(pixels)), "PNG")
        expected = preprocessing.from_bytes(data, "photo")
        assert np.array_equal(preprocessing.from_array(pixels), expected)


def test_a_small_jpeg_gives_the_same_from_bytes_and_from_its_picture() -> None:
    data = encoded(Image.fromarray(quarters(60, 44)), "JPEG")
    preprocessing = Preprocessing(size=32)
    with Image.open(io.BytesIO(data)) as picture:
        expected = preprocessing.from_image(picture)
    assert np.array_equal(preprocessing.from_bytes(data, "photo"), expected)


def test_a_large_jpeg_decoded_small_looks_the_same_and_keeps_its_size() -> None:
    data = encoded(Image.fromarray(quarters(1200, 800)), "JPEG", quality=95)
    preprocessing = Preprocessing(size=32)
    near = open_photo(data, "photo", near=32)
    assert (near.width, near.height) == (1200, 800)
    assert near.picture.width < 200
    found = preprocessing.fit(near.picture)
    with Image.open(io.BytesIO(data)) as picture:
        exact = preprocessing.from_image(picture)
    assert np.abs(found.astype(int) - exact).mean() < 3


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((8,), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_an_array_of_another_kind_is_refused_with_both_kinds(pixels: NDArray[Any]) -> None:
    with pytest.raises(NotAPhoto, match="expected uint8 with shape") as error:
        Preprocessing().from_array(pixels, "mine")
    assert str(pixels.dtype) in str(error.value)
    assert str(pixels.shape) in str(error.value)
    assert str(error.value).startswith("mine: ")


@pytest.mark.parametrize("side", [(100_000, 100_000), (10_001, 10_000), (1, MAX_PIXELS + 1)])
def test_pixels_over_the_cap_are_seen_in_the_header(side: tuple[int, int]) -> None:
    # Were it decoded, it would be found damaged.
    with pytest.raises(TooManyPixels, match=r"big\.png: .*100,000,000 pixels"):
        Preprocessing().from_bytes(claiming(*side), "big.png")


def test_pixels_at_the_cap_are_not_too_many() -> None:
    with pytest.raises(DamagedPhoto):
        Preprocessing().from_bytes(claiming(10_000, 10_000), "big.png")


def test_a_picture_over_the_cap_is_refused() -> None:
    with (
        Image.open(io.BytesIO(claiming(10_001, 10_000))) as picture,
        pytest.raises(TooManyPixels, match=r"big: .*100,000,000 pixels"),
    ):
        Preprocessing().from_image(picture, "big")


def test_no_bytes_are_no_photo() -> None:
    with pytest.raises(EmptyPhoto, match=r"a/b\.jpg: .*empty"):
        Preprocessing().from_bytes(b"", "a/b.jpg")


def test_text_is_no_photo() -> None:
    with pytest.raises(NotAPhoto, match=r"a/b\.jpg: .*expected JPEG, PNG"):
        Preprocessing().from_bytes(b"404 Not Found: the photo has moved\n" * 20, "a/b.jpg")


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(100), "HEIC"),
        (b'<?xml version="1.0"?>\n<svg width="8"></svg>', "SVG"),
        (b'\n <svg xmlns="http://www.w3.org/2000/svg"></svg>', "SVG"),
        (b"<svg\n   width='8'></svg>", "SVG"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"<!DOCTYPE html><html><body>403</body></html>", "web page"),
        (b"<html><head></head></html>", "web page"),
        (b"PK\x03\x04" + bytes(60), "zip"),
        (bytes(4096), "zero bytes"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_kind(data: bytes, hint: str) -> None:
    with pytest.raises(NotAPhoto, match=hint) as error:
        Preprocessing().from_bytes(data, "cat.jpg")
    assert str(error.value).startswith("cat.jpg: ")
    assert "convert it to JPEG or PNG" in str(error.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "AVIF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_photo_that_breaks_off_is_refused(kind: str, part: float) -> None:
    data = encoded(Image.fromarray(noise(80, 60)), kind)
    with pytest.raises(PhotoError, match=r"^cut: "):
        Preprocessing().from_bytes(data[: int(len(data) * part)], "cut")


def test_a_jpeg_or_png_that_breaks_off_is_called_damaged() -> None:
    for kind in ("JPEG", "PNG"):
        data = encoded(Image.fromarray(noise(80, 60)), kind)
        with pytest.raises(DamagedPhoto):
            Preprocessing().from_bytes(data[: len(data) // 2], "cut")


def test_a_changed_byte_in_a_png_is_noticed() -> None:
    data = bytearray(encoded(Image.fromarray(noise(40, 40)), "PNG", compress_level=0))
    data[len(data) // 2] ^= 1
    with pytest.raises(DamagedPhoto, match=r"^one\.png: "):
        Preprocessing().from_bytes(bytes(data), "one.png")


def test_formats_that_are_not_photos_are_refused_though_pillow_reads_them() -> None:
    for kind in ("PPM", "PCX", "TGA", "ICO", "EPS"):
        data = encoded(Image.fromarray(quarters()), kind)
        with pytest.raises(NotAPhoto):
            Preprocessing().from_bytes(data, "odd")


@pytest.mark.shared
def test_hostile_files_decode_or_are_refused_and_nothing_else(shared: Path) -> None:
    preprocessing = Preprocessing(size=64)
    fate: Counter[str] = Counter()
    with zipfile.ZipFile(shared / "data" / "hostile_images.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        for name in names:
            kind = next((k for k in ("must_accept", "must_reject") if k in name), "pillow")
            try:
                pixels = preprocessing.from_bytes(archive.read(name), name)
            except PhotoError as error:
                fate[f"{kind} refused" if str(error).startswith(name) else "unnamed"] += 1
            else:
                assert pixels.shape == (64, 64, 3)
                fate[f"{kind} decoded"] += 1
    assert len(names) == 349
    assert fate["must_accept decoded"] == 161
    assert fate["must_accept refused"] == 0
    assert fate["must_reject refused"] == 14
    assert fate["must_reject decoded"] == 0
    assert fate["pillow decoded"] + fate["pillow refused"] == 174


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_damage_behind_the_first_picture_does_not_matter_or_is_told_as_before(kind: str) -> None:
    frames = [Image.fromarray(noise(40, 40, seed)) for seed in range(4)]
    whole = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    traits = open_photo(whole, "photo").traits
    assert (Trait.ANIMATED in traits) == (kind != "TIFF")
    first = encoded(frames[0], kind)
    for cut in range(len(first) + 60, len(whole), 97):
        try:
            with Image.open(io.BytesIO(whole[:cut]), formats=(kind,)) as picture:
                picture.load()
            if kind == "PNG":
                Image.open(io.BytesIO(whole[:cut])).verify()
        except Exception:  # the first picture cannot be had either
            continue
        assert open_photo(whole[:cut], "photo").picture.size == (40, 40)
