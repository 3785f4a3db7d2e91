"""The compiled network is the Keras network: at its end and at every kind of cut."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from pawprint import engine
from pawprint.errors import RecipeError
from pawprint.model import backbones
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.prefix import (
    KerasPrefix,
    PixelPrefix,
    compile_prefix,
    prefix_key,
    prefix_onnx,
)

CUTS = (
    "Conv1",
    "Conv1_relu",
    "expanded_conv_project_BN",
    "block_1_pad",
    "block_2_add",
    "block_3_expand_relu",
    "block_3_depthwise",
    "block_6_project_BN",
    "block_13_expand_relu",
    "block_16_project_BN",
    "Conv_1_bn",
)


@cache
def backbone(size: int) -> Backbone:
    return backbones.build(size=size, alpha=0.35, weights="random", seed=1)


def pictures(size: int, count: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(size).integers(0, 256, (count, size, size, 3), np.uint8)


def by_keras(
    size: int, cut: str, photos: NDArray[np.uint8], *, pooled: bool = False
) -> NDArray[np.float32]:
    keras = load_keras()
    network = backbone(size).network
    output = network.get_layer(cut).output
    if pooled:
        output = keras.layers.GlobalAveragePooling2D()(output)
    model = keras.Model(network.input, output)
    scaled = photos.astype(np.float32) / 127.5 - 1.0
    return np.asarray(model(scaled, training=False))


def by_engine(
    size: int, cut: str, photos: NDArray[np.uint8], *, pooled: bool = False
) -> NDArray[np.float32]:
    network = engine.Network(prefix_onnx(backbone(size), cut, pooled=pooled), ["features"])
    return np.stack([network(photo)[0].copy() for photo in photos])


def check_same(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    assert scale > 1e-3  # nothing would agree with nothing
    assert np.abs(found - expected).max() <= 1e-3 * scale


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("size", [32, 75, 96, 161])
def test_the_whole_network_gives_what_keras_gives(size: int, pooled: bool) -> None:
    last, photos = backbone(size).last, pictures(size)
    found = by_engine(size, last, photos, pooled=pooled)
    assert found.ndim == (2 if pooled else 4)
    check_same(found, by_keras(size, last, photos, pooled=pooled))


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_gives_what_keras_gives(cut: str) -> None:
    photos = pictures(75)
    check_same(by_engine(75, cut, photos), by_keras(75, cut, photos))


@pytest.mark.parametrize("size", [64, 224])
def test_strided_layers_after_an_even_side_give_what_keras_gives(size: int) -> None:
    photos = pictures(size, 1)
    check_same(
        by_engine(size, "block_3_project_BN", photos), by_keras(size, "block_3_project_BN", photos)
    )


def test_the_network_is_plain_onnx_with_a_batch_of_any_size() -> None:
    model = onnx.load_from_string(prefix_onnx(backbone(75), "block_3_expand_relu"))
    onnx.checker.check_model(model, full_check=True)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["n", 75, 75, 3]
    assert {opset.domain for opset in model.opset_import} == {""}


def test_nothing_above_the_cut_is_in_the_network() -> None:
    lower, whole = (prefix_onnx(backbone(75), cut) for cut in ("block_2_add", "out_relu"))
    assert len(lower) < len(whole) / 10


ENDS = [("block_6_project_BN", False), ("out_relu", False), ("out_relu", True)]


@pytest.mark.parametrize(("cut", "pooled"), ENDS)
def test_compiled_exactly_it_agrees_with_keras_and_keeps_half_precision(
    cut: str, pooled: bool
) -> None:
    photos = pictures(75)
    prefix = compile_prefix(backbone(75), cut, pooled=pooled, exact=True)
    found = prefix(list(photos))
    assert len(found) == len(photos)
    for features in found:
        assert features.shape == prefix.shape
        assert str(features.dtype) == prefix.dtype == "float16"
    check_same(np.stack(found).astype(np.float32), by_keras(75, cut, photos, pooled=pooled))


@pytest.mark.parametrize(("cut", "pooled"), ENDS)
def test_compiled_for_speed_it_agrees_as_far_as_bfloat16_goes(cut: str, pooled: bool) -> None:
    photos = pictures(75)
    prefix = compile_prefix(backbone(75), cut, pooled=pooled)
    found, expected = np.stack(prefix(list(photos))), by_keras(75, cut, photos, pooled=pooled)
    assert found.shape == expected.shape
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.97


@pytest.mark.parametrize(("cut", "pooled"), ENDS)
def test_the_prefix_run_by_keras_gives_the_same(cut: str, pooled: bool) -> None:
    photos = pictures(75)
    prefix = KerasPrefix(backbone(75), cut, pooled=pooled)
    found = prefix(list(photos))
    assert found[0].shape == prefix.shape
    check_same(np.stack(found).astype(np.float32), by_keras(75, cut, photos, pooled=pooled))


def test_the_features_do_not_change_under_later_calls() -> None:
    prefix = compile_prefix(backbone(75), "out_relu")
    first, second = pictures(75, 2)
    kept = prefix([first])[0]
    before = kept.copy()
    prefix([second])
    assert np.array_equal(kept, before)
    assert np.array_equal(prefix([first])[0], before)


def test_the_empty_prefix_gives_the_pixels() -> None:
    prefix = compile_prefix(backbone(75), None)
    assert isinstance(prefix, PixelPrefix)
    photos = pictures(75)
    assert np.array_equal(np.stack(prefix(list(photos))), photos)
    assert (prefix.shape, prefix.dtype) == ((75, 75, 3), "uint8")


def test_a_cut_that_is_no_layer_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match=r"no layer 'block_99'.*out_relu"):
        compile_prefix(backbone(75), "block_99")


def test_all_that_shapes_features_is_in_the_key() -> None:
    other = backbones.build(size=75, alpha=0.35, weights="random", seed=2)
    keys = [
        compile_prefix(backbone(75), "out_relu").key,
        compile_prefix(backbone(75), "out_relu", pooled=True).key,
        compile_prefix(backbone(75), "Conv_1_bn").key,
        compile_prefix(backbone(75), None).key,
        compile_prefix(other, "out_relu").key,
        KerasPrefix(backbone(75), "out_relu").key,
    ]
    assert len({tuple(sorted(key.items())) for key in keys}) == len(keys)
    again = backbones.build(size=75, alpha=0.35, weights="random", seed=1)
    assert compile_prefix(again, "out_relu").key == keys[0]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("cut", "pooled"), [*ENDS, (None, False)])
def test_the_key_is_known_before_compiling(cut: str | None, pooled: bool, exact: bool) -> None:
    compiled = compile_prefix(backbone(75), cut, pooled=pooled, exact=exact)
    assert prefix_key(backbone(75), cut, pooled=pooled, exact=exact) == compiled.key


def test_what_is_trained_above_the_cut_does_not_change_the_key() -> None:
    other = backbones.build(size=75, alpha=0.35, weights="random", seed=1)
    kernel = other.network.get_layer("Conv_1").kernel
    kernel.assign(kernel + 1)
    for cut, same in (("block_6_project_BN", True), ("out_relu", False)):
        assert (prefix_key(other, cut) == prefix_key(backbone(75), cut)) is same
