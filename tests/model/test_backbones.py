"""Backbones: random ones by their seed, pretrained ones from a file, and what is said otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pawprint.errors import RecipeError, WeightsError
from pawprint.model import backbones, network
from pawprint.model.head_layers import AveragePool

NAME = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_{}_no_top.h5"


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def test_random_weights_follow_the_seed() -> None:
    one, again, other = (
        backbones.build(size=32, alpha=0.35, weights="random", seed=seed) for seed in (5, 5, 6)
    )
    assert one.digest == again.digest != other.digest


def test_random_weights_let_photos_differ_at_the_end() -> None:
    built = backbones.build(size=64, alpha=0.35, weights="random")
    photos = np.random.default_rng(0).uniform(-1, 1, (4, 64, 64, 3)).astype(np.float32)
    features = np.asarray(built.network(photos, training=False)).mean(axis=(1, 2))
    assert features.std(axis=0).mean() > 0.01


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"'VGG16'.*MobileNetV2"):
        backbones.build("VGG16")


def test_a_width_without_imagenet_weights_is_refused_with_those_that_have(empty_home: Path) -> None:
    with pytest.raises(RecipeError, match=r"alpha 0\.9.*0\.35, 0\.5, 0\.75, 1\.0"):
        backbones.build(alpha=0.9, offline=True)


@pytest.mark.parametrize(
    ("size", "alpha", "file"),
    [
        (224, 1.0, NAME.format("1.0", 224)),
        (160, 0.35, NAME.format("0.35", 160)),
        (75, 1.4, NAME.format("1.4", 224)),
    ],
)
def test_weights_missing_offline_names_the_file_and_three_ways_out(
    empty_home: Path, size: int, alpha: float, file: str
) -> None:
    with pytest.raises(WeightsError) as error:
        backbones.build(size=size, alpha=alpha, offline=True)
    text = str(error.value)
    assert str(empty_home / "models" / file) in text
    for way in ("connect to the internet", "--weights FILE", "KERAS_HOME"):
        assert way in text
    assert error.value.exit_code == 4


def test_a_weights_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.h5: there is no such weights file"):
        backbones.build(size=32, alpha=0.35, weights=tmp_path / "gone.h5")


@pytest.mark.parametrize("name", ["text.h5", "empty.h5", "text.txt", "text.weights.h5", "x.keras"])
def test_a_file_that_holds_no_weights_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"" if name.startswith("empty") else b"these are no weights\n" * 50)
    with pytest.raises(WeightsError, match=rf"{name}: these weights do not fit"):
        backbones.build(size=32, alpha=0.35, weights=path)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.weights.h5"
    backbones.build(size=32, alpha=0.5, weights="random").network.save_weights(path)
    with pytest.raises(WeightsError, match=r"other\.weights\.h5: these weights do not fit"):
        backbones.build(size=32, alpha=0.35, weights=path)


def test_weights_from_a_file_are_the_ones_used(tmp_path: Path) -> None:
    path = tmp_path / "own.weights.h5"
    given = backbones.build(size=32, alpha=0.35, weights="random", seed=8)
    given.network.save_weights(path)
    assert backbones.build(size=32, alpha=0.35, weights=path).digest == given.digest


def test_keras_home_is_where_imagenet_weights_are_looked_for(empty_home: Path) -> None:
    given = backbones.build(size=96, alpha=0.35, weights="random", seed=8)
    (empty_home / "models").mkdir()
    stored = empty_home / "own.weights.h5"
    given.network.save_weights(stored)
    shutil.move(stored, empty_home / "models" / NAME.format("0.35", 96))
    with pytest.raises(WeightsError, match=r"0\.35_96_no_top\.h5"):  # found, in the wrong form
        backbones.build(size=96, alpha=0.35, offline=True)


def test_the_classifier_shares_the_backbone_it_is_built_on() -> None:
    built = backbones.build(size=32, alpha=0.35, weights="random")
    for classes, outputs in ((2, 1), (3, 3)):
        model = network.whole_model(network.build(built, (AveragePool(),), classes))
        assert model.get_layer(built.network.name) is built.network
        assert model.output_shape == (None, outputs)


@pytest.mark.shared
def test_real_imagenet_weights_are_read_offline(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(shared / "keras"))
    by_home = backbones.build(offline=True)
    by_file = backbones.build(weights=shared / "keras" / "models" / NAME.format("1.0", 224))
    assert by_home.digest == by_file.digest
    assert by_home.last == "out_relu"
