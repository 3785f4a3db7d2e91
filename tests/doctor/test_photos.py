"""Findings about single photos: each kind on a photo made for it, and none on a good one."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from pawprint.data.glance import GLANCE, glance
from pawprint.data.images import open_photo
from pawprint.data.layout import SourcePhoto
from pawprint.data.reading import Read
from pawprint.data.samples import KINDS, draw
from pawprint.doctor.findings import Finding
from pawprint.doctor.photos import examine_photos

SIZE = (160, 120)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def findings(**photos: bytes) -> list[Finding]:
    """What is found in photos; the last `_` of a name begins its ending."""
    names = {".".join(name.rsplit("_", 1)): data for name, data in photos.items()}
    reads = [Read(SourcePhoto(name, "cat", None), "0" * 64, 1) for name in names]
    seen = [glance(open_photo(data, name, near=224)) for name, data in names.items()]
    return list(examine_photos(reads, np.stack(seen)))


def kinds(data: bytes, ending: str = "png") -> list[str]:
    return [finding.kind for finding in findings(**{f"photo_{ending}": data})]


def photo(size: tuple[int, int] = SIZE) -> Image.Image:
    return draw("cat", 5, size)


def scaled(low: int, high: int) -> bytes:
    """A photo whose lightest and darkest values are these."""
    grey = np.asarray(ImageOps.autocontrast(photo().convert("L")), float)
    return encoded(Image.fromarray((low + grey / 255 * (high - low)).astype(np.uint8)))


def oriented(tag: int, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = tag
    return encoded(photo(), kind, exif=exif)


def animation(kind: str) -> bytes:
    frames = [draw("dog", seed, SIZE) for seed in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def deep() -> NDArray[np.uint16]:
    grey = np.asarray(photo().convert("L")).astype(np.uint16)
    return grey * np.uint16(256) + np.uint16(128)


def palette_with_hole() -> bytes:
    return encoded(photo().quantize(64), "PNG", transparency=3)


def test_drawn_photos_are_good() -> None:
    good = {f"{kind}{n}_jpg": encoded(draw(kind, n), "JPEG") for kind in KINDS for n in range(40)}
    assert findings(**good) == []


MADE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "one shade": ("blank", lambda: encoded(Image.new("RGB", SIZE, "grey")), "png"),
    "black": ("blank", lambda: encoded(Image.new("RGB", SIZE, "black")), "png"),
    "white": ("blank", lambda: encoded(Image.new("L", SIZE, 255)), "png"),
    "all transparent": ("blank", lambda: encoded(Image.new("LA", SIZE, (0, 0))), "png"),
    "faint": ("blank", lambda: scaled(100, 120), "png"),
    "underexposed": ("dark", lambda: scaled(0, 45), "png"),
    "overexposed": ("bright", lambda: encoded(on_white()), "png"),
    "out of focus": ("blurred", lambda: encoded(out_of_focus()), "png"),
    "a thumbnail": ("tiny", lambda: encoded(photo((40, 31))), "png"),
    "a banner": ("extreme-shape", lambda: encoded(photo((410, 100))), "png"),
    "a strip": ("extreme-shape", lambda: encoded(photo((100, 410))), "png"),
    "GIF animation": ("animated", lambda: animation("GIF"), "gif"),
    "PNG animation": ("animated", lambda: animation("PNG"), "png"),
    "WebP animation": ("animated", lambda: animation("WEBP"), "webp"),
    "CMYK": ("not-rgb", lambda: encoded(photo().convert("CMYK"), "JPEG"), "jpg"),
    "RGBA": ("not-rgb", lambda: encoded(photo().convert("RGBA")), "png"),
    "palette with a hole": ("not-rgb", palette_with_hole, "png"),
    "16 bits": ("not-rgb", lambda: encoded(Image.fromarray(deep())), "png"),
    "floats": ("not-rgb", lambda: encoded(photo().convert("F"), "TIFF"), "tif"),
    "upside down": ("turned", lambda: oriented(3), "jpg"),
    "on its side": ("turned", lambda: oriented(6), "jpg"),
    "PNG on its side": ("turned", lambda: oriented(8, "PNG"), "png"),
    "PNG in the name of a JPEG": ("wrong-type", lambda: encoded(photo()), "jpg"),
    "WebP in the name of a PNG": ("wrong-type", lambda: encoded(photo(), "WEBP"), "PNG"),
    "JPEG in the name of a GIF": ("wrong-type", lambda: encoded(photo(), "JPEG"), "gif"),
}


def on_white() -> Image.Image:
    """A small picture on a white ground, as of a shop."""
    ground = Image.new("RGB", SIZE, "white")
    ground.paste(photo((30, 30)), (60, 40))
    return ground


def out_of_focus() -> Image.Image:
    return photo((256, 256)).filter(ImageFilter.GaussianBlur(24))


@pytest.mark.parametrize(("kind", "made", "ending"), MADE.values(), ids=list(MADE))
def test_each_kind_is_found(kind: str, made: Callable[[], bytes], ending: str) -> None:
    found = kinds(made(), ending)
    assert kind in found
    # A picture without colours of its own may be stored in odd ways, and nothing else is odd.
    assert set(found) <= {kind, "not-rgb"}


FINE: dict[str, tuple[Callable[[], bytes], str]] = {
    "grey": (lambda: encoded(photo().convert("L")), "png"),
    "palette": (lambda: encoded(photo().quantize(64)), "png"),
    "GIF": (lambda: encoded(photo(), "GIF"), "gif"),
    "rather dark": (lambda: scaled(0, 110), "png"),
    "rather bright": (lambda: scaled(120, 255), "png"),
    "rather faint": (lambda: scaled(90, 150), "png"),
    "rather blurred": (lambda: encoded(photo().filter(ImageFilter.GaussianBlur(1))), "png"),
    "just large enough": (lambda: encoded(photo((40, 32))), "png"),
    "just not too wide": (lambda: encoded(photo((400, 100))), "png"),
    "upright by its tag": (lambda: oriented(1), "jpg"),
    "a tag that means nothing": (lambda: oriented(9), "jpg"),
    "several pages": (
        lambda: encoded(photo(), "TIFF", save_all=True, append_images=[photo()]),
        "tiff",
    ),
    "two pictures of a phone": (
        lambda: encoded(photo(), "MPO", save_all=True, append_images=[photo()]),
        "jpg",
    ),
    "an unusual ending": (lambda: encoded(photo(), "JPEG"), "JFIF"),
    "an ending that says nothing": (lambda: encoded(photo(), "JPEG"), "photo"),
    "an ending of another world": (lambda: encoded(photo(), "JPEG"), "heic"),
    "AVIF": (lambda: encoded(photo(), "AVIF"), "avif"),
    "BMP": (lambda: encoded(photo(), "BMP"), "dib"),
}


@pytest.mark.parametrize(("made", "ending"), FINE.values(), ids=list(FINE))
def test_what_is_just_unusual_is_not_found(made: Callable[[], bytes], ending: str) -> None:
    assert kinds(made(), ending) == []


def test_the_details_say_what_was_seen() -> None:
    found = findings(
        wide_png=encoded(photo((410, 100))),
        thumb_png=encoded(photo((40, 31))),
        grey_png=encoded(Image.new("RGB", SIZE, "grey")),
        night_png=scaled(0, 45),
        print_jpg=encoded(photo().convert("CMYK"), "JPEG"),
        scan_png=encoded(Image.fromarray(deep()), transparency=128),
        odd_jpg=encoded(photo(), "WEBP"),
        side_jpg=oriented(6),
    )
    told = {(finding.kind, finding.paths[0]): finding.detail for finding in found}
    night = told.pop(("dark", "night.png"))
    assert night.startswith("brightness ")
    assert night.endswith(" of 255")
    assert told == {
        ("extreme-shape", "wide.png"): "410 x 100 pixels",
        ("tiny", "thumb.png"): "40 x 31 pixels",
        ("blank", "grey.png"): "contrast 0.0 of 255",
        ("not-rgb", "print.jpg"): "CMYK",
        ("not-rgb", "scan.png"): "more than 8 bits a channel, transparency",
        ("wrong-type", "odd.jpg"): "it is WEBP",
        ("turned", "side.jpg"): "",
    }


def test_nothing_is_proposed_to_be_left_out() -> None:
    """What is odd about a photo may be what the photo is about."""
    found = findings(**{f"a{n}_{end}": made() for n, (_, made, end) in enumerate(MADE.values())})
    assert len(found) >= len(MADE)
    for finding in found:
        assert (len(finding.paths), finding.out, finding.count) == (1, (), 1)


def test_several_oddities_of_a_photo_are_all_told() -> None:
    turned = Image.Exif()
    turned[0x0112] = 8
    data = encoded(photo((150, 24)).convert("CMYK"), "JPEG", exif=turned)
    assert set(kinds(data, "png")) == {"tiny", "extreme-shape", "not-rgb", "turned", "wrong-type"}
    (long,) = (one for one in findings(a_png=data) if one.kind == "extreme-shape")
    assert long.detail == "24 x 150 pixels"  # as it is seen


def test_no_photos_no_findings() -> None:
    assert list(examine_photos([], np.empty(0, GLANCE))) == []
