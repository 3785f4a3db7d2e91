"""Cuts below what trains: each leaves the network what it was, and lets just that train."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from pawprint import engine
from pawprint.errors import RecipeError
from pawprint.model import backbones, network
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.head_layers import AveragePool, Dropout
from pawprint.model.network import Network
from pawprint.model.prefix import prefix_onnx
from pawprint.model.suffix import cut_below, first_trained, set_trained

PHOTOS = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)


@cache
def whole() -> Network:
    built = backbones.build(size=64, alpha=0.35, weights="random", seed=3)
    return network.build(built, (AveragePool(), Dropout(rate=0.2)), 3)


@pytest.fixture
def backbone() -> Backbone:
    """One network for all; its weights are not to be changed."""
    return whole().backbone


def test_the_head_alone_begins_after_the_last_layer(backbone: Backbone) -> None:
    assert first_trained(backbone, "head") == len(backbone.network.layers)
    assert cut_below(backbone, first_trained(backbone, "head")) == "out_relu"


def test_all_layers_leave_no_prefix(backbone: Backbone) -> None:
    assert first_trained(backbone, "all") == 1
    assert cut_below(backbone, 1) is None


@pytest.mark.parametrize(
    ("train", "first", "cut"),
    [
        ("last:3", "Conv_1", "block_16_project_BN"),
        ("last:100", "block_6_expand", "block_5_add"),
        ("last:153", "Conv1", None),
        ("from:100", "block_11_expand_relu", "block_10_project_BN"),
        ("from:block_13_expand", "block_13_expand", "block_12_add"),
        ("from:block_16_expand", "block_16_expand", "block_15_add"),
        ("from:block_6_depthwise", "block_6_depthwise", "block_6_pad"),
        # Within a residual block two tensors would have to be handed over.
        ("from:block_15_depthwise", "block_15_depthwise", "block_14_add"),
        ("from:block_15_add", "block_15_add", "block_15_add"),
        # From a layer without weights on is from the next with some.
        ("from:block_3_pad", "block_3_pad", "block_3_pad"),
        ("from:Conv1", "Conv1", None),
    ],
)
def test_a_recipe_says_where_training_begins(
    backbone: Backbone, train: str, first: str, cut: str | None
) -> None:
    names = [layer.name for layer in backbone.network.layers]
    found = first_trained(backbone, train)
    assert names[found] == first
    assert cut_below(backbone, found) == cut


def test_numbers_and_names_mean_the_same_layers(backbone: Backbone) -> None:
    layers = backbone.network.layers
    for number in (1, 54, 100, 152):
        assert first_trained(backbone, f"from:{number}") == number
        assert first_trained(backbone, f"from:{layers[number].name}") == number
        assert first_trained(backbone, f"last:{len(layers) - number}") == number


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("from:block_13_expnd", r"no layer 'block_13_expnd'; did you mean block_13_expand "),
        ("from:top", r"no layer 'top'; did you mean .*out_relu"),
        ("from:input_layer", r"no layer 'input_layer"),
        ("from:0", r"numbered 1 to 153"),
        ("from:154", r"numbered 1 to 153"),
        ("last:154", r"has 153 layers.*fewer, or all"),
        ("last:1", r"no layer.*from 'out_relu' on has weights.*train = \"head\""),
        ("from:out_relu", r"from 'out_relu' on has weights"),
        ("from:153", r"from 'out_relu' on has weights"),
    ],
)
def test_layers_that_are_not_there_are_refused(
    backbone: Backbone, train: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        first_trained(backbone, train)
    assert f'train = "{train}"' in str(error.value)


def by_both_parts(cut: str | None) -> NDArray[np.float64]:
    """What engine and Keras give together, cut in two."""
    upper = network.upper_model(whole(), cut)
    if cut is None:
        return network.probabilities(upper, PHOTOS)
    pooled = cut == whole().backbone.last
    onnx = prefix_onnx(whole().backbone, cut, pooled=pooled)
    lower = engine.Network(onnx, ["features"])
    features = np.stack([lower(photo)[0].copy() for photo in PHOTOS])
    return network.probabilities(upper, features)


def test_both_parts_together_are_the_whole_at_every_cut(backbone: Backbone) -> None:
    layers = backbone.network.layers
    cuts = {cut_below(backbone, first) for first in range(1, len(layers) + 1)}
    assert len(cuts) == 55
    expected = network.probabilities(network.whole_model(whole()), PHOTOS)
    assert expected.std(axis=0).min() > 1e-3  # the photos differ
    # All of them take a minute; these are of every kind.
    some = [None, *sorted(cut for cut in cuts if cut is not None)[::18], "block_5_add", "out_relu"]
    for cut in some:
        assert np.abs(by_both_parts(cut) - expected).max() <= 1e-3, cut


def test_a_cut_is_never_within_a_residual_block(backbone: Backbone) -> None:
    """Cutting there would need two tensors: what is summed, and what it is summed with."""
    keras, layers = load_keras(), backbone.network.layers
    places = {layer.name: place for place, layer in enumerate(layers)}
    found = {places.get(cut_below(backbone, first) or "", 0) for first in range(1, len(layers))}
    for place in found - {len(layers) - 1}:
        above = keras.Model(layers[place].output, backbone.network.output)
        # For a second tensor Keras would walk down past the cut.
        assert [layer.name for layer in above.layers[1:]] == list(places)[place + 1 :]


@pytest.mark.parametrize("train", ["head", "last:3", "last:100", "from:block_15_depthwise", "all"])
def test_exactly_the_layers_from_there_on_train(backbone: Backbone, train: str) -> None:
    first = first_trained(backbone, train)
    set_trained(backbone, first)
    model = network.upper_model(whole(), cut_below(backbone, first))
    layers = [*backbone.network.layers[first:], *whole().head]
    expected = {id(variable) for layer in layers for variable in layer.trainable_variables}
    assert {id(variable) for variable in model.trainable_variables} == expected
    assert len(expected) >= 2


def test_set_trained_forgets_what_was_set_before(backbone: Backbone) -> None:
    for train in ("all", "head", "last:100", "last:3", "all"):
        first = first_trained(backbone, train)
        set_trained(backbone, first)
        flags = [layer.trainable for layer in backbone.network.layers]
        assert flags == [place >= first for place in range(len(flags))]


@pytest.mark.parametrize(
    ("train", "moves"),
    [
        ("head", True),
        ("from:block_15_depthwise", False),
        ("from:block_15_depthwise", True),
        ("all", False),
    ],
)
def test_training_changes_what_trains_and_nothing_else(train: str, moves: bool) -> None:
    built = backbones.build(size=32, alpha=0.35, weights="random", seed=4)
    own = network.build(built, (AveragePool(),), 2)
    first = first_trained(built, train)
    set_trained(built, first)
    model = network.upper_model(own, cut_below(built, first), batch_norm_moves=moves)
    features = np.random.default_rng(1).uniform(0, 2, (16, *model.input_shape[1:]))
    before = {layer.name: layer.get_weights() for layer in built.network.layers}
    top = own.top.get_weights()
    model.compile("sgd", "binary_crossentropy")
    model.fit(features.astype(np.float32), np.arange(16).reshape(-1, 1) % 2, verbose=0)

    assert not np.array_equal(own.top.get_weights()[0], top[0])
    for place, layer in enumerate(built.network.layers):
        now = layer.get_weights()
        names = [weight.path.split("/")[-1] for weight in layer.weights]
        same = [np.array_equal(*pair) for pair in zip(before[layer.name], now, strict=True)]
        for name, unchanged in zip(names, same, strict=True):
            moved = moves if name.startswith("moving_") else True
            assert unchanged is not (place >= first and moved), (layer.name, name)
