"""Datasets of tensorflow-datasets: exported once, as the bytes that they are stored as."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pawprint.data.sources import open_source
from pawprint.data.tfds import export
from pawprint.errors import DownloadError, SourceError

try:
    import tensorflow_datasets as tfds
except ImportError:
    tfds = None

needs_tfds = pytest.mark.skipif(tfds is None, reason="the extra tfds is not installed")
# What tensorflow-datasets and what it imports remark on is theirs.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def encoded(number: int, kind: str) -> bytes:
    target = io.BytesIO()
    Image.fromarray(np.full((9, 8, 3), 5 * number, np.uint8)).save(target, kind)
    return target.getvalue()


PHOTOS = {
    ("train" if number < 12 else "test", number): encoded(number, "PNG" if number % 3 else "JPEG")
    for number in range(20)
}

if tfds is not None:

    class _Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[misc]
        VERSION = tfds.core.Version("1.0.0")
        splits = ("train", "test")
        names = ("cat", "dog")

        def features(self) -> Any:
            return {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=self.names),
                "note": tfds.features.Text(),
            }

        def _info(self) -> Any:
            features = tfds.features.FeaturesDict(self.features())
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager: Any) -> Any:
            return {split: self._generate_examples(split) for split in self.splits}

        def label(self, split: str, number: int) -> Any:
            return self.names[number % 2]

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
            for (_, number), data in PHOTOS.items():
                if split in ("every", _):
                    given = {"label": self.label(split, number), "note": "x"}
                    image = {"image": io.BytesIO(data)}
                    full = {**image, **given}
                    yield number, {key: full[key] for key in self.features()}

    class TinyPets(_Tiny):
        """Two classes, two splits."""

    class TinyWhole(_Tiny):
        """One split, and names that are no names of folders."""

        splits = ("every",)
        names = ("a/b", ".hidden")

    class TinyTrain(_Tiny):
        """Only a split train."""

        splits = ("train",)

    class TinyUnlabelled(_Tiny):
        """Photos without a class in the test split."""

        def label(self, split: str, number: int) -> Any:
            return -1 if split == "test" else number % 2

    class TinyDiffering(_Tiny):
        """A class that is only in the test split."""

        names = ("cat", "dog", "bird")

        def label(self, split: str, number: int) -> Any:
            return 2 if split == "test" and number % 2 else number % 2

    class TinyBoxes(_Tiny):
        """No class for a photo."""

        def features(self) -> Any:
            return {"image": tfds.features.Image(), "note": tfds.features.Text()}

    class TinyBroken(_Tiny):
        """A dataset whose own code fails."""

        def _split_generators(self, dl_manager: Any) -> Any:
            raise AssertionError("put the files into manual/ yourself\nand more")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))


@needs_tfds
def test_splits_and_bytes_are_kept(listener):
    with open_source("tfds:tiny_pets", progress=listener) as source:
        assert source.name == "tiny_pets"
        assert source.classes == ("cat", "dog")
        assert Counter(photo.split for photo in source.photos) == {"train": 12, "test": 8}
        read = {(photo.split, source.read(photo)): photo for photo in source.photos}
    assert {data for _, data in read} == set(PHOTOS.values())
    for (split, number), data in PHOTOS.items():
        photo = read[split, data]
        assert photo.label == ("cat", "dog")[number % 2]
        assert photo.path.endswith(".png" if number % 3 else ".jpg")
    assert listener.steps == {"Preparing tiny_pets": 0, "Exporting train": 12, "Exporting test": 8}


@needs_tfds
def test_it_is_exported_once_and_then_had_offline(listener):
    path = export("tiny_pets")
    before = path.stat().st_mtime_ns
    assert export("tiny_pets", offline=True, progress=listener) == path
    assert path.stat().st_mtime_ns == before
    assert listener.steps == {}
    assert {item.name for item in path.parent.iterdir()} == {"tiny_pets.zip", ".lock"}


@needs_tfds
@pytest.mark.parametrize(
    ("asked", "count"), [("test", 8), ("train[:50%]", 6), ("train+test", 20), ("train[2:]", 10)]
)
def test_a_split_of_it(asked, count):
    with open_source(f"tfds:tiny_pets:{asked}") as source:
        assert {photo.split for photo in source.photos} == {None}
        assert len(source.photos) == count


@needs_tfds
def test_one_split_of_another_name_and_odd_classes():
    with pytest.raises(SourceError, match="no split train, only every; name one: tfds:tiny_whole:"):
        open_source("tfds:tiny_whole")
    with open_source("tfds:tiny_whole:every") as source:
        assert source.classes == ("_.hidden", "a_b")
        assert len(source.photos) == 20
    with open_source("tfds:tiny_train") as source:
        assert {photo.split for photo in source.photos} == {None}


@needs_tfds
def test_photos_without_a_class_are_left_out_and_told(listener):
    with open_source("tfds:tiny_unlabelled", progress=listener) as source:
        assert len(source.photos) == 12
    assert listener.said == ["tfds:tiny_unlabelled: 8 photos have no class and are left out"]


@needs_tfds
def test_classes_that_differ_between_splits():
    with pytest.raises(
        SourceError, match=r"^tfds:tiny_differing: train has dog, cat; test has bird, cat;"
    ):
        open_source("tfds:tiny_differing")


@needs_tfds
def test_what_has_no_photos_with_a_class():
    with pytest.raises(SourceError) as caught:
        open_source("tfds:tiny_boxes")
    assert "expected the features image (Image) and label (ClassLabel)" in str(caught.value)
    assert "it has image (Image), note (Text)" in str(caught.value)


@needs_tfds
@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ("tiny_pets:nonesuch", SourceError, r"no split 'nonesuch'; it has train, test"),
        ("tiny_pets:train[", SourceError, r"no split 'train\['"),
        ("nonesuch", SourceError, "has no dataset 'nonesuch'"),
        ("", SourceError, "cannot prepare ''"),
        ("../x", SourceError, "dataset|prepare"),
        ("tiny_broken", SourceError, r"cannot prepare 'tiny_broken' \(put the files into manual/"),
    ],
)
def test_what_cannot_be_had(asked, error, told, tmp_path):
    with pytest.raises(error, match=told) as caught:
        open_source(f"tfds:{asked}")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.zip"))
    assert not list((tmp_path / "cache").rglob(".part-*"))


@needs_tfds
def test_offline_and_not_prepared():
    with pytest.raises(DownloadError, match=r"tfds:tiny_train is not prepared in .*data"):
        export("tiny_train", offline=True)


@needs_tfds
def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(SourceError, match=r"cannot be kept in .*set PAWPRINT_CACHE"):
        export("tiny_pets")


WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None  # so that importing it fails, as where it is not installed
from pawprint.cli import main
main(["evaluate", sys.argv[2], "tfds:mnist"])
"""


def test_without_the_extra(run):
    command = [sys.executable, "-c", WITHOUT, "tensorflow_datasets", str(run.path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 1
    assert ran.stderr == (
        "pawprint: error: a source tfds:NAME needs tensorflow_datasets, which is not installed; "
        "in pawprint's own folder run pip install '.[tfds]'\n"
    )


@needs_tfds
def test_the_export_is_a_plain_zip():
    with zipfile.ZipFile(export("tiny_pets:train")) as made:
        assert {Path(name).parts[0] for name in made.namelist()} == {"cat", "dog"}
        assert {info.compress_type for info in made.infolist()} == {zipfile.ZIP_STORED}
