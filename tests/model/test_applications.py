"""Every known network: cut anywhere, its parts are the whole; Keras asks for the file we name."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from pawprint import engine
from pawprint.errors import RecipeError, WeightsError
from pawprint.model import applications, backbones, network
from pawprint.model.applications import APPLICATIONS
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.head_layers import AveragePool
from pawprint.model.prefix import prefix_onnx
from pawprint.model.suffix import cut_below, first_trained, set_trained, suffix_model

SIZE = 64
NAMES = tuple(APPLICATIONS)
SIBLINGS = ("EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3")  # the first one, larger


def leaves(model: Any) -> Iterator[Any]:
    """Layers of a model, those of models in it too."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from leaves(layer)
        else:
            yield layer


@cache
def built(name: str) -> Backbone:
    """A network in which no weight has a value that hides a fault, such as 0, 1 or 1e-6."""
    alpha = APPLICATIONS[name].alphas[0]
    made = backbones.build(name, size=SIZE, alpha=alpha, weights="random", seed=1)
    random = np.random.default_rng(0)
    for layer in leaves(made.network):
        values = layer.get_weights()
        for place, variable in enumerate(layer.weights):
            kind = variable.path.split("/")[-1]
            if kind in ("beta", "bias"):
                values[place] = random.normal(0, 0.05, values[place].shape)
            elif kind == "gamma" or type(layer).__name__ == "LayerScale":
                values[place] = random.uniform(0.9, 1.1, values[place].shape)
        layer.set_weights(values)
    return made


def pictures(count: int = 2) -> NDArray[np.uint8]:
    """Blotches, as photos have. Noise drives random networks to where nothing is stable."""
    random, total = np.random.default_rng(5), np.zeros((count, SIZE, SIZE, 3))
    for cells in (2, 4, 8, 16):
        coarse = random.standard_normal((count, cells, cells, 3))
        total += coarse.repeat(SIZE // cells, axis=1).repeat(SIZE // cells, axis=2)
    return (np.clip(total / 3, -1, 1) * 127.5 + 127.5).astype(np.uint8)


def scaled(backbone: Backbone, photos: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (photos * np.array(backbone.scale) + np.array(backbone.offset)).astype(np.float32)


@cache
def by_keras(name: str) -> NDArray[np.float32]:
    made = built(name)
    return np.asarray(made.network(scaled(made, pictures()), training=False))


def check_same(found: NDArray[Any], expected: NDArray[Any], told: str) -> None:
    assert found.shape == expected.shape, told
    largest = np.abs(expected).max()
    assert largest > 1e-3  # nothing would agree with nothing
    assert np.abs(found - expected).max() <= 1e-3 * largest, told


def by_parts(name: str, cut: str) -> NDArray[np.float32]:
    """What ONNX Runtime and Keras give together, cut in two."""
    session = onnxruntime.InferenceSession(prefix_onnx(built(name), cut))
    (features,) = session.run(["features"], {"image": pictures()})
    if cut == built(name).last:
        return np.asarray(features)
    return np.asarray(suffix_model(built(name), cut)(features, training=False))


def test_the_names_of_a_recipe_are_those_of_the_table() -> None:
    assert get_args(applications.Name) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_cut_anywhere_both_parts_are_the_whole(name: str) -> None:
    expected = by_keras(name)
    assert expected.std(axis=0).mean() > 1e-3  # the photos differ
    cuts = built(name).cuts
    assert cuts[-1] == built(name).last
    some = {0, len(cuts) // 2, len(cuts) - 1}
    if name in SIBLINGS:
        some = {len(cuts) // 2}
    for cut in (cuts[place] for place in sorted(some)):
        check_same(by_parts(name, cut), expected, cut)


def test_every_fourth_cut_of_the_smallest_leaves_the_whole() -> None:
    cuts = built("MobileNetV2").cuts
    assert len(cuts) == 73
    for cut in cuts[::4]:  # all of them take half a minute
        check_same(by_parts("MobileNetV2", cut), by_keras("MobileNetV2"), cut)


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_gives_what_keras_gives(name: str) -> None:
    compiled = engine.Network(prefix_onnx(built(name), built(name).last), ["features"])
    found = np.stack([compiled(photo)[0].copy() for photo in pictures()])
    check_same(found, by_keras(name), name)


def test_odd_sizes_are_padded_as_keras_pads_them() -> None:
    name = "MobileNetV3Small"
    made = backbones.build(name, size=75, weights="random")
    photos = np.resize(pictures(), (2, 75, 75, 3))
    expected = np.asarray(made.network(scaled(made, photos), training=False))
    session = onnxruntime.InferenceSession(prefix_onnx(made, made.last))
    check_same(session.run(["features"], {"image": photos})[0], expected, name)


@pytest.mark.parametrize("name", NAMES[1:])  # the starter is not Keras'
def test_pixels_are_scaled_as_keras_scales_them(name: str) -> None:
    module = getattr(load_keras().applications, APPLICATIONS[name].module)
    scale, offset = backbones.scaling(name)
    photos = pictures().astype(np.float64)
    found = photos * np.array(scale) + np.array(offset)
    assert np.abs(found - module.preprocess_input(photos.copy())).max() <= 1e-9


def test_scaling_is_one_number_where_channels_agree() -> None:
    assert backbones.scaling("MobileNetV2") == (1 / 127.5, -1.0)
    assert backbones.scaling("ConvNeXtTiny") == (1.0, 0.0)
    scale, offset = backbones.scaling("DenseNet121")
    assert isinstance(scale, tuple)
    assert isinstance(offset, tuple)
    assert len(set(scale)) == len(set(offset)) == 3


def test_names_and_cuts_are_the_same_in_every_build() -> None:
    one, again = (backbones.build("MobileNetV3Small", size=32, weights="random") for _ in "ab")
    assert one.cuts == again.cuts
    assert one.last == "activation_17"


@pytest.mark.parametrize(
    ("name", "train", "cut"),
    [
        # What squeezes and excites hands over two tensors, the map and its gate.
        ("MobileNetV3Small", "from:expanded_conv_3_project", "expanded_conv_3_squeeze_excite_mul"),
        ("MobileNetV3Small", "from:expanded_conv_4_project", "expanded_conv_3_project_bn"),
        ("EfficientNetV2B0", "from:block6a_se_expand", "block6a_activation"),
        ("EfficientNetV2B0", "all", None),  # what scales the pixels has no weights
        ("ConvNeXtTiny", "from:convnext_tiny_stage_3_block_2_layernorm", "add_16"),
        ("ResNet50V2", "from:conv5_block3_1_conv", "conv5_block2_out"),
        ("ResNet50V2", "from:conv1_conv", None),
        ("DenseNet121", "from:conv5_block16_1_conv", "conv5_block15_concat"),
        # A cell of this network sees the two before it, so it can hardly be cut.
        ("NASNetMobile", "from:normal_conv_1_12", "stem_bn1"),
    ],
)
def test_the_cut_is_below_what_trains(name: str, train: str, cut: str | None) -> None:
    made = built(name)
    first = first_trained(made, train)
    assert cut_below(made, first) == cut
    set_trained(made, first)
    whole = network.build(made, (AveragePool(),), 2)
    model = network.upper_model(whole, cut)
    layers = [*made.network.layers[first:], *whole.head]
    expected = {id(variable) for layer in layers for variable in layer.trainable_variables}
    assert {id(variable) for variable in model.trainable_variables} == expected


def test_a_name_may_carry_a_width() -> None:
    for spelled in applications.spelled():
        assert applications.spell(*applications.parse(spelled)) == spelled
    assert len(applications.spelled()) == 19
    with pytest.raises(RecipeError, match=r"'VGG16'.*MobileNetV2, .*NASNetMobile"):
        applications.parse("VGG16")
    for wrong in ("MobileNetV2-0.9", "MobileNetV2-wide", "MobileNetV2-"):
        with pytest.raises(RecipeError, match=r"MobileNetV2-0\.35, .*MobileNetV2-1\.4"):
            applications.parse(wrong)
    with pytest.raises(RecipeError, match=r"'ResNet50V2-0\.5'.* as ResNet50V2$"):
        applications.parse("ResNet50V2-0.5")


def test_a_width_is_refused_where_there_is_one_only() -> None:
    with pytest.raises(RecipeError, match=r"ResNet50V2 has one width, 1\.0"):
        backbones.build("ResNet50V2", size=32, alpha=0.5, weights="random")


@pytest.mark.parametrize(
    "spelled",
    ["MobileNetV2-0.35", "MobileNetV3Small-0.75", *(n for n in NAMES[3:] if n not in SIBLINGS[:2])],
)
def test_keras_asks_for_the_file_that_is_named(
    spelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what is said where the network is out of reach: here every address is."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    # What urllib made of the environment, it keeps for the whole process.
    monkeypatch.setattr(urllib.request, "_opener", None)
    name, alpha = applications.parse(spelled)
    try:
        backbones.build(name, size=SIZE, alpha=alpha)
    except WeightsError as error:
        text = str(error)
    else:
        pytest.skip("Keras, which looked for its folder when it was imported, has these weights")
    file = APPLICATIONS[name].weights_file(SIZE, alpha)
    assert f"the ImageNet weights of {name} are not to be had: the download failed" in text
    for part in ("connect to the internet", "--weights FILE", f"put {file} into", "KERAS_HOME"):
        assert part in text
    (asked,) = (word for word in text.split() if "https://storage.googleapis.com" in word)
    if name == "NASNetMobile":  # which Keras keeps under another name than it is fetched by
        file = "NASNet-mobile-no-top.h5"
    assert asked.rstrip(":").rpartition("/")[2] == file
