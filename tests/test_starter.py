"""The starter: a bundle that pawprint brings, and a backbone of that name with its weights."""

from __future__ import annotations

import json
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pawprint
from pawprint import bundle, starter
from pawprint.data.images import Preprocessing
from pawprint.engine import Network
from pawprint.errors import RecipeError, WeightsError
from pawprint.model import backbones, prefix, starter_network
from pawprint.testing import drawn_photos
from pawprint.training import recipe_files

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be had from anywhere."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "no weights"))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")


def test_its_bundle_is_small_and_names_no_place() -> None:
    files = sorted(starter.BUNDLE.iterdir())
    assert sum(path.stat().st_size for path in files) <= 4_000_000
    card = json.loads((starter.BUNDLE / "pawprint.json").read_text("utf-8"))
    assert {path.name for path in files} == {*card["files"], "pawprint.json"}
    assert (card["training"]["source"], card["mirror"]) == ("photos", False)
    assert not re.search(r'"[^"]*/(?:home|tmp|root|work)/', json.dumps(card))


def test_its_card_tells_what_the_results_tell() -> None:
    card = (starter.BUNDLE / "MODEL_CARD.md").read_text("utf-8")
    assert card == (REPOSITORY / "starter" / "MODEL_CARD.md").read_text("utf-8")
    results = (REPOSITORY / "benchmarks" / "RESULTS.md").read_text("utf-8")
    measured = set(re.findall(r"\d\d\.\d\d %", card))
    assert len(measured) >= 3
    assert all(figure in results for figure in measured)


def test_it_tells_real_cats_from_dogs(shared: Path, tmp_path: Path) -> None:
    """Numbers 1 to 200 of each were held out of its training; 0.93 leaves room for chance alone."""
    with zipfile.ZipFile(shared / "data" / "pets_fullsize.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".jpg"):
                label = Path(name).parent.name.removesuffix("s")
                path = tmp_path / "photos" / label / Path(name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))
    found = pawprint.evaluate("starter", tmp_path / "photos")
    assert found.figures.count == 400
    assert found.figures.accuracy >= 0.93


@pytest.mark.parametrize("size", [starter_network.SIZE, 96])
def test_the_backbone_has_the_bundles_weights_at_any_size(size: int, tmp_path: Path) -> None:
    photo = min(drawn_photos(tmp_path / "photos", 2).glob("cat/*.jpg"))
    made = backbones.build("starter", size=size, weights="starter")
    assert made.network.input_shape == (None, size, size, 3)
    pixels = Preprocessing(size=size).from_bytes(photo.read_bytes(), "a photo")
    network = Network(prefix.prefix_onnx(made, made.last, pooled=True), ["features"])
    features = network(pixels)[0].copy()
    by_keras = np.array(made.network(pixels[np.newaxis] / np.float32(127.5) - np.float32(1)))
    np.testing.assert_allclose(features, by_keras.mean(axis=(1, 2))[0], atol=1e-4)
    if size == starter_network.SIZE:
        bundled = Network((starter.BUNDLE / "model.onnx").read_bytes(), ["embedding"])
        np.testing.assert_allclose(features, bundled(pixels)[0], atol=1e-4)


def test_weights_are_its_own_random_or_a_files(tmp_path: Path) -> None:
    own = backbones.build("starter", size=32, weights="starter")
    random = backbones.build("starter", size=32, weights="random", seed=1)
    assert own.digest != random.digest
    assert random.digest == backbones.build("starter", size=32, weights="random", seed=1).digest
    file = tmp_path / "mine.weights.h5"
    random.network.save_weights(file)
    assert backbones.build("starter", size=64, weights=file).digest == random.digest
    with pytest.raises(RecipeError, match="no ImageNet weights"):
        backbones.build("starter", size=32)
    with pytest.raises(WeightsError, match="no such weights file"):
        backbones.build("starter", size=32, weights=tmp_path / "none.h5")


def test_a_training_from_it_needs_nothing(tmp_path: Path) -> None:
    photos = drawn_photos(tmp_path / "photos", 40)
    run = pawprint.train(
        photos, backbone="starter", out=tmp_path / "run", offline=True, report=False
    )
    written = tomllib.loads((run.path / "recipe.toml").read_text("utf-8"))
    assert written["backbone"] == {"name": "starter", "weights": "starter", "alpha": 1.0}
    assert written["data"]["size"] == starter_network.SIZE
    assert run.figures.accuracy >= 0.9
    assert run.record["bundle"]["labels_differing"] == 0


def test_the_error_without_weights_names_it(tmp_path: Path) -> None:
    photos = drawn_photos(tmp_path / "photos", 4)
    with pytest.raises(WeightsError, match="--backbone starter"):
        pawprint.train(photos, out=tmp_path / "run", offline=True)


def changed(**changes: Any) -> Any:
    return recipe_files.load("quick", {f"backbone.{k}": v for k, v in changes.items()}).backbone


def test_a_recipe_says_its_weights_by_its_name(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'name = "mine"\nstage = [{train = "head"}]\n[backbone]\nname = "starter"\n', "utf-8"
    )
    assert recipe_files.load(str(recipe)).backbone.weights == "starter"
    assert changed(name="starter", weights="random").weights == "random"
    with pytest.raises(RecipeError, match='must be "starter", "random" or a file'):
        changed(name="starter")  # `quick` says imagenet
    with pytest.raises(RecipeError, match='must be "imagenet", "random" or a file'):
        changed(weights="starter")
    with pytest.raises(RecipeError, match=r"must be 1\.0, the only width of starter"):
        changed(name="starter", weights="starter", alpha=0.5)


def test_other_verbs_take_it_by_name_and_write_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter").mkdir()  # a folder of that name is no bundle yet
    assert bundle.find("starter") == bundle.find(Path("starter")) == starter.BUNDLE
    photos = drawn_photos(tmp_path / "photos", 6)
    exported = pawprint.export_model("starter", "onnx", verify_on=photos)
    assert exported.folder == Path("starter-onnx")
    assert (tmp_path / exported.file).is_file()
    assert {path.name for path in starter.BUNDLE.parent.iterdir()} >= {"bundle", "__init__.py"}
    assert not any(path.name.startswith("bundle-") for path in starter.BUNDLE.parent.iterdir())
