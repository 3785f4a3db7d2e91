"""A glance at a photo: a hash that copies share, light and detail; and glances that are kept."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from pawprint.data.glance import BITS, GLANCE, MIRRORED, Glances, distances, glance
from pawprint.data.images import FORMATS, Trait, open_photo
from pawprint.data.reading import Fault, Read, read_all
from pawprint.data.samples import KINDS, draw
from pawprint.data.sources import Source, open_source

NEAR = 224
FEW = 26  # bits: a tenth

Change = Callable[[Image.Image], Image.Image]


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def seen(data: bytes) -> Any:
    return glance(open_photo(data, "photo", near=NEAR))


def hash_of(picture: Image.Image) -> NDArray[np.uint8]:
    return np.ascontiguousarray(seen(encoded(picture, "BMP"))["hash"])


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [draw(kind, seed) for kind in KINDS for seed in range(15)]


@pytest.fixture(scope="module")
def known(pictures: list[Image.Image]) -> NDArray[np.uint8]:
    """Their hashes."""
    return np.stack([hash_of(picture) for picture in pictures])


def resized(by: float, height: float | None = None) -> Change:
    def change(picture: Image.Image) -> Image.Image:
        return picture.resize((round(picture.width * by), round(picture.height * (height or by))))

    return change


def re_encoded(picture: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(encoded(picture, "JPEG", quality=50)))


def brightened(picture: Image.Image) -> Image.Image:
    return picture.point(lambda value: min(255, value * 5 // 4))


CHANGES: dict[str, Change] = {
    "JPEG 50": re_encoded,
    "half": resized(0.5),
    "one and a half": resized(1.5),
    "other proportions": resized(0.9, 0.5),
    "brighter": brightened,
    "darker": lambda picture: picture.point(lambda value: value // 2),
    "grey": lambda picture: ImageOps.grayscale(picture).convert("RGB"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_copy_has_nearly_the_same_hash(
    pictures: list[Image.Image], known: NDArray[np.uint8], change: Change
) -> None:
    apart = distances(np.stack([hash_of(change(picture)) for picture in pictures]), known)
    assert apart.max() <= FEW
    assert apart.mean() <= FEW / 2


def test_of_a_mirrored_copy_the_odd_waves_are_turned(
    pictures: list[Image.Image], known: NDArray[np.uint8]
) -> None:
    mirrored = np.stack([hash_of(ImageOps.mirror(picture)) for picture in pictures])
    assert distances(mirrored, known ^ MIRRORED).max() <= 4
    assert distances(mirrored, known).min() > 40


def test_other_photos_have_other_hashes(known: NDArray[np.uint8]) -> None:
    first, second = np.triu_indices(len(known), 1)
    for theirs in (known, known ^ MIRRORED):
        assert distances(known[first], theirs[second]).min() > 40


def test_a_large_jpeg_decoded_small_has_nearly_the_same_hash() -> None:
    for kind in KINDS:
        picture = draw(kind, 3)
        large = encoded(picture.resize((8 * picture.width, 8 * picture.height)), "JPEG")
        assert open_photo(large, "large", near=NEAR).picture.width < 8 * picture.width
        found = seen(large)
        assert (found["width"], found["height"]) == (8 * picture.width, 8 * picture.height)
        assert distances(np.ascontiguousarray(found["hash"]), hash_of(picture)) <= FEW


def test_distances_are_counted_in_bits() -> None:
    one = np.zeros((3, BITS // 8), np.uint8)
    other = one.copy()
    other[1, 5] = 0b101
    other[2] = 255
    assert distances(one, other).tolist() == [0, 2, BITS]


@pytest.mark.parametrize("value", [0, 90, 255])
def test_of_one_shade_only_the_light_is_not_zero(value: int) -> None:
    found = seen(encoded(Image.new("RGB", (70, 50), (value, value, value))))
    assert found["light"] == value
    assert (found["contrast"], found["detail"]) == (0, 0)


def test_half_black_and_half_white_is_all_contrast_and_hardly_any_detail() -> None:
    picture = Image.new("L", (128, 128), 0)
    picture.paste(255, (64, 0, 128, 128))
    found = seen(encoded(picture))
    assert (found["light"], found["contrast"]) == (127.5, 127.5)
    assert 0 < found["detail"] < 5


def test_a_blurred_photo_has_less_detail_and_much_of_its_contrast() -> None:
    for kind in KINDS:
        sharp = draw(kind, 4, (256, 256))
        blurred = sharp.filter(ImageFilter.GaussianBlur(6))
        one, other = seen(encoded(sharp)), seen(encoded(blurred))
        assert other["detail"] < one["detail"] / 4
        assert other["contrast"] > one["contrast"] / 2


def test_it_tells_how_the_photo_is_stored() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    found = seen(encoded(draw("cat", 1, (90, 60)), "JPEG", exif=turned))
    assert (found["width"], found["height"]) == (60, 90)
    assert FORMATS[found["format"]] == "JPEG"
    assert found["traits"] == Trait.TURNED
    clear = seen(encoded(Image.new("RGBA", (90, 60), (1, 2, 3, 4))))
    assert (FORMATS[clear["format"]], clear["traits"]) == ("PNG", Trait.TRANSPARENT)


# the store


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """140 small photos of noise, whose glances are quickly had."""
    random = np.random.default_rng(0)
    for number in range(140):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).save(path)
    return open_source(tmp_path / "photos")


def hashes(reads: list[Read]) -> list[str]:
    return [read.sha256 for read in reads]


def test_glances_are_kept_in_a_folder(source: Source, tmp_path: Path, listener: Any) -> None:
    reads, _ = read_all(source)
    first = Glances(tmp_path / "cache", NEAR)
    assert not first.holds(hashes(reads)).any()
    assert first.bring(source, reads, progress=listener) == []
    assert listener.steps == {"Looking at photos": 140}
    taken = first.take(hashes(reads))
    assert taken.dtype == GLANCE
    for read, found in zip(reads[::20], taken[::20], strict=True):
        assert found.tobytes() == seen(source.read(read.photo)).tobytes()

    again = Glances(tmp_path / "cache", NEAR)
    assert again.bring(source, reads, progress=listener) == []
    assert listener.steps == {"Looking at photos": 140}  # none was looked at again
    backwards = hashes(reads)[::-1]
    assert again.take(backwards).tobytes() == taken[::-1].tobytes()
    assert not Glances(tmp_path / "cache", 2 * NEAR).holds(hashes(reads)).any()


def test_without_a_folder_glances_are_kept_in_memory(source: Source, tmp_path: Path) -> None:
    reads, _ = read_all(source)
    glances = Glances(None, NEAR)
    glances.bring(source, reads[:10])
    assert glances.holds(hashes(reads)).tolist() == [True] * 10 + [False] * 130
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    with pytest.raises(KeyError):
        glances.take(hashes(reads))


def test_an_interruption_keeps_what_was_done(source: Source, tmp_path: Path, listener: Any) -> None:
    reads, _ = read_all(source)
    by_path = {read.photo.path: read.photo for read in reads}

    def until(path: str) -> bytes:
        if path == reads[135].photo.path:
            raise KeyboardInterrupt
        return source.read(by_path[path])

    broken = Source("broken", (list(source.photos), []), until, source.close)
    with pytest.raises(KeyboardInterrupt):
        Glances(tmp_path / "cache", NEAR).bring(broken, reads, workers=1)
    done = int(Glances(tmp_path / "cache", NEAR).holds(hashes(reads)).sum())
    assert 64 <= done < 140
    Glances(tmp_path / "cache", NEAR).bring(source, reads, progress=listener)
    assert listener.steps == {"Looking at photos": 140 - done}
    assert Glances(tmp_path / "cache", NEAR).holds(hashes(reads)).all()


def test_what_cannot_be_decoded_is_a_fault_of_its_kind(tmp_path: Path, photos: Path) -> None:
    good = photos / "cat" / "cat_0001.jpg"
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        shutil.copy(good, tmp_path / name / "good.jpg")
        (tmp_path / name / "text.jpg").write_text("no photo at all")
    (tmp_path / "cat" / "cut.jpg").write_bytes(good.read_bytes()[:4000])
    Image.new("1", (10_001, 10_000)).save(tmp_path / "dog" / "huge.png")
    with open_source(tmp_path) as source:
        reads, faults = read_all(source)
        assert faults == []
        glances = Glances(None, NEAR)
        for _ in range(2):  # what cannot be decoded is tried again, and told again
            found = glances.bring(source, reads)
            assert {(Path(fault.path).name, fault.kind) for fault in found} == {
                ("text.jpg", "not-an-image"),
                ("cut.jpg", "unreadable"),
                ("huge.png", "too-large"),
            }
            assert len(found) == 4  # two files of the same bytes, each told
            assert all(isinstance(fault, Fault) and fault.reason for fault in found)
        held = glances.holds(hashes(reads))
        assert {Path(r.photo.path).name for r, ok in zip(reads, held, strict=True) if ok} == {
            "good.jpg"
        }
