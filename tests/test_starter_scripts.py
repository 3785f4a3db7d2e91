"""How the starter is made: the scripts of starter/, on few photos."""

from __future__ import annotations

import csv
import doctest
import importlib
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pawprint.model import backbones, starter_network
from pawprint.testing import drawn_photos

SCRIPTS = Path(__file__).parents[1] / "starter"
NAMES = ("photos", "views", "distil")


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield {name: importlib.import_module(name) for name in NAMES}
        for name in NAMES:
            del sys.modules[name]


@pytest.mark.parametrize("name", NAMES)
def test_its_examples_run(scripts: dict[str, Any], name: str) -> None:
    assert doctest.testmod(scripts[name]).failed == 0


def test_numbers_decide_what_is_held_out(scripts: dict[str, Any], tmp_path: Path) -> None:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name in ("Cat/1.jpg", "Dog/1249.jpg", "Cat/1250.jpg", "Dog/1500.jpg", "Dog/Thumbs.db"):
            out.writestr(f"PetImages/{name}", name)
    photos = scripts["photos"].lay_out(archive, tmp_path / "work")
    found = {str(path.relative_to(photos)) for path in photos.rglob("*.*")}
    assert found == {
        "test/cat/1.jpg",
        "test/dog/1249.jpg",
        "validation/cat/1250.jpg",
        "train/dog/1500.jpg",
    }
    archive.unlink()
    assert scripts["photos"].lay_out(archive, tmp_path / "work") == photos  # once is enough


def test_the_first_view_is_the_photo_and_others_are_drawn_from_their_numbers(
    scripts: dict[str, Any],
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    draw, photo = scripts["views"].draw, Image.fromarray(noise)
    assert draw(photo, None) is photo
    one, again, other = (draw(photo, np.random.default_rng([1, n])) for n in (5, 5, 6))
    assert one.size == (224, 224)
    assert one.tobytes() == again.tobytes() != other.tobytes()


def test_components_hold_most_of_a_map(scripts: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    plane = random.standard_normal((50, 3, 3, 2)) @ random.standard_normal((2, 8)) + 5
    maps = (plane + random.normal(0, 0.01, plane.shape)).astype(np.float16)
    found = scripts["views"].Components.fit(maps, 2)
    inside = found.of(maps).astype(np.float64).reshape(-1, 2)
    assert inside.mean(axis=0) == pytest.approx([0, 0], abs=0.02)
    assert inside.var(axis=0).mean() == pytest.approx(1, abs=0.05)
    assert abs(np.corrcoef(inside.T)[0, 1]) < 0.05


@pytest.fixture
def work(scripts: dict[str, Any], tmp_path: Path) -> Path:
    """What distil.py begins with: two views of 128 photos, and some to watch."""
    random, components = np.random.default_rng(0), scripts["views"].COMPONENTS
    for view in range(2):
        folder = tmp_path / "views" / str(view)
        folder.mkdir(parents=True)
        np.save(folder / "pixels.npy", random.integers(0, 256, (128, 128, 128, 3), np.uint8))
        np.save(folder / "logits.npy", random.standard_normal(128, np.float32))
        for name, side in (("middle", 14), ("last", 7)):
            maps = random.standard_normal((128, side, side, components[name]))
            np.save(folder / f"{name}.npy", maps.astype(np.float16))
    (tmp_path / "views" / "2.part").mkdir()  # as an interruption leaves it
    photos = sorted(drawn_photos(tmp_path / "photos", 4).glob("*/*.jpg"))
    (tmp_path / "teacher").mkdir()
    with (tmp_path / "teacher" / "manifest.csv").open("w", newline="") as rows:
        writer = csv.writer(rows)
        writer.writerow(["path", "label", "split"])
        writer.writerows([path, path.parent.name, "validation"] for path in photos)
    return tmp_path


def test_a_training_goes_on_after_its_last_whole_epoch(
    scripts: dict[str, Any], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(finish: str) -> list[dict[str, str]]:
        options = ["--schedule", "32x1", "--finish", finish]
        monkeypatch.setattr(sys, "argv", ["distil.py", str(work), *options])
        scripts["distil"].main()
        with (work / "history.csv").open(newline="") as rows:
            return list(csv.DictReader(rows))

    first = train("32x0")
    assert [row["epoch"] for row in first] == ["1"]
    (work / "starter.weights.h5").unlink()
    both = train("32x1")
    assert both[0] == first[0]
    assert [row["epoch"] for row in both] == ["1", "2"]
    made = backbones.build("starter", size=64, weights=work / "starter.weights.h5")
    assert made.network.count_params() == starter_network.build(None).count_params()
    fresh = backbones.build("starter", size=64, weights="random")
    assert made.digest != fresh.digest
