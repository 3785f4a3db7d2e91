"""Embedding: only what is new is computed, and what is done survives an interruption."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pawprint.data.images import Pixels, Preprocessing
from pawprint.data.reading import Read, read_all
from pawprint.data.sources import Source, open_source
from pawprint.model.feature_store import FeatureStore
from pawprint.model.features import embed, key_of
from pawprint.model.prefix import PixelPrefix

SQUARE = Preprocessing(size=32)


class Counting(PixelPrefix):
    """Gives pixels and counts photos; stops with an interruption after some."""

    def __init__(self, until: int | None = None) -> None:
        super().__init__(32)
        self.count, self._until = 0, until

    def __call__(self, photos: list[Pixels]) -> list[NDArray[Any]]:
        self.count += len(photos)
        if self._until is not None and self.count > self._until:
            raise KeyboardInterrupt
        return super().__call__(photos)


def draw(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(name.encode()) * 1000 + len(name)
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue() + name.encode())  # no two files are alike


def looked(
    folder: Path, prefix: Counting, root: Path, preprocessing: Preprocessing = SQUARE, **more: Any
) -> tuple[Source, list[Read], FeatureStore, Any]:
    with open_source(folder) as source:
        reads, _ = read_all(source)
        store = FeatureStore(root, key_of(prefix, preprocessing), prefix.shape, prefix.dtype)
        found = embed(source, reads, prefix, preprocessing, store, **more)
    return source, reads, store, found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw(tmp_path / "photos", *(f"{label}/{n:03}.png" for label in "ab" for n in range(100)))
    return tmp_path / "photos"


def test_features_are_those_of_each_photo(folder: Path, tmp_path: Path) -> None:
    _, reads, store, (sizes, faults) = looked(folder, Counting(), tmp_path / "cache")
    assert faults == []
    taken = store.take([read.sha256 for read in reads], "uint8")
    for read, features in zip(reads, taken, strict=True):
        expected = SQUARE.from_bytes(Path(read.photo.path).read_bytes(), "photo")
        assert np.array_equal(features, expected)
        assert sizes[read.sha256] == (30, 20)


def test_only_new_photos_are_computed(folder: Path, tmp_path: Path) -> None:
    first = Counting()
    looked(folder, first, tmp_path / "cache")
    assert first.count == 200
    draw(folder, "b/new1.png", "b/new2.png")
    second = Counting()
    _, reads, store, _ = looked(folder, second, tmp_path / "cache")
    assert second.count == 2
    assert all(read.sha256 in store for read in reads)


def test_renamed_and_copied_photos_are_not_computed_again(folder: Path, tmp_path: Path) -> None:
    looked(folder, Counting(), tmp_path / "cache")
    folder.rename(tmp_path / "moved")
    (tmp_path / "moved" / "a").rename(tmp_path / "moved" / "c")
    (tmp_path / "moved" / "c" / "copy.png").write_bytes(
        (tmp_path / "moved" / "b" / "000.png").read_bytes()
    )
    again = Counting()
    looked(tmp_path / "moved", again, tmp_path / "cache")
    assert again.count == 0


def test_copies_are_computed_once(tmp_path: Path) -> None:
    draw(tmp_path / "photos", "a/1.png", "b/1.png")
    for n in range(5):
        copy = tmp_path / "photos" / "a" / f"copy{n}.png"
        copy.write_bytes((tmp_path / "photos" / "a" / "1.png").read_bytes())
    prefix = Counting()
    looked(tmp_path / "photos", prefix, tmp_path / "cache")
    assert prefix.count == 2


@pytest.mark.parametrize("other", [Preprocessing(size=40), Preprocessing(size=32, policy="crop")])
def test_another_preprocessing_is_computed_anew(
    folder: Path, tmp_path: Path, other: Preprocessing
) -> None:
    prefix = Counting()
    assert key_of(prefix, SQUARE) != key_of(prefix, other)
    assert key_of(prefix, SQUARE) == key_of(Counting(), Preprocessing(size=32))


def test_what_cannot_be_decoded_is_a_fault_for_every_copy_of_it(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("a/bad.png", "b/bad.png"):
        (folder / name).write_bytes((folder / "a" / "000.png").read_bytes()[:60])
    _, _, _, (sizes, faults) = looked(folder, Counting(), tmp_path / "cache")
    assert {Path(fault.path).relative_to(folder).as_posix() for fault in faults} == {
        "a/bad.png",
        "b/bad.png",
    }
    assert all("decoded" in fault.reason for fault in faults)
    assert len(sizes) == 200


def test_a_photo_that_goes_away_meanwhile_is_a_fault(folder: Path, tmp_path: Path) -> None:
    with open_source(folder) as source:
        reads, _ = read_all(source)
        (folder / "a" / "007.png").unlink()
        store = FeatureStore(None, {}, (32, 32, 3), "uint8")
        sizes, faults = embed(source, reads, Counting(), SQUARE, store)
    assert [Path(fault.path).name for fault in faults] == ["007.png"]
    assert len(sizes) == 199


def test_an_interruption_keeps_what_is_done(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        looked(folder, Counting(until=130), tmp_path / "cache", workers=1)
    rest = Counting()
    _, reads, store, _ = looked(folder, rest, tmp_path / "cache")
    assert rest.count == 200 - 128  # two chunks were whole
    taken = store.take([read.sha256 for read in reads], "uint8")
    for read, features in list(zip(reads, taken, strict=True))[::20]:
        expected = SQUARE.from_bytes(Path(read.photo.path).read_bytes(), "photo")
        assert np.array_equal(features, expected)


def test_progress_is_told_of_what_is_computed_only(
    folder: Path, tmp_path: Path, listener: Any
) -> None:
    looked(folder, Counting(), tmp_path / "cache", progress=listener)
    assert listener.steps == {"Computing features": 200}
    looked(folder, Counting(), tmp_path / "cache", progress=listener)
    assert listener.steps == {"Computing features": 200}
