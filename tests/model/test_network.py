"""The whole classifier: every head means the same in Keras, in ONNX Runtime and in OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import pytest

from pawprint import engine
from pawprint.errors import RecipeError
from pawprint.model import backbones, network
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.head import Head
from pawprint.model.head_layers import AveragePool, BatchNorm, Dense, Dropout, Flatten, HeadLayer
from pawprint.model.network import Network
from pawprint.model.onnx_graph import Graph

PHOTOS = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), np.uint8)
CHANNELS = 1280

# Each head, what its answering layer sees, and whether it has a heatmap.
HEADS: dict[str, tuple[tuple[HeadLayer, ...], int, bool]] = {
    "average": ((AveragePool(),), CHANNELS, True),
    "dropped": ((AveragePool(), Dropout(rate=0.5)), CHANNELS, True),
    "flat": ((Flatten(),), 4 * CHANNELS, False),
    "relu": ((AveragePool(), Dense(units=7, l2=0.01)), 7, False),
    "linear": ((AveragePool(), Dense(units=7, activation="linear")), 7, False),
    "normalised": ((AveragePool(), BatchNorm()), CHANNELS, False),
    "all": ((Flatten(), Dense(units=9, l2=0.1), BatchNorm(), Dropout(rate=0.3)), 9, False),
    "deep": ((AveragePool(), Dense(units=8), Dense(units=5), BatchNorm(), BatchNorm()), 5, False),
}


@cache
def backbone() -> Backbone:
    return backbones.build(size=64, alpha=0.35, weights="random", seed=3)


def with_head(layers: Sequence[HeadLayer], classes: int) -> Network:
    """A network in which no weight has a value that hides a fault, such as 0 or 1."""
    made = network.build(backbone(), layers, classes)
    random = np.random.default_rng(classes)
    for layer in made.head:
        weights = [random.uniform(0.5, 1.5, w.shape) * random.choice([-1, 1], w.shape)
                   for w in layer.get_weights()]  # fmt: skip
        if type(layer).__name__ == "BatchNormalization":
            weights[-1] = np.abs(weights[-1])
        elif weights:
            weights[0] /= np.sqrt(len(weights[0]))
        layer.set_weights(weights)
    return made


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", HEADS)
def test_keras_onnxruntime_and_openvino_agree(kind: str, classes: int) -> None:
    layers, width, heatmap = HEADS[kind]
    made = with_head(layers, classes)
    expected = network.probabilities(network.whole_model(made), PHOTOS)
    assert expected.shape == (len(PHOTOS), classes)
    assert np.abs(expected.sum(axis=1) - 1).max() <= 1e-6
    assert expected.std(axis=0).max() > 1e-3  # the photos differ

    onnx = network.to_onnx(made, [f"class {n}" for n in range(classes)])
    session = onnxruntime.InferenceSession(onnx)
    names = [output.name for output in session.get_outputs()]
    assert names == ["probabilities", "embedding", *["heatmap"] * heatmap]
    found = dict(zip(names, session.run(names, {"image": PHOTOS}), strict=True))
    assert np.abs(found["probabilities"] - expected).max() <= 1e-4
    assert found["embedding"].shape == (len(PHOTOS), width)

    compiled = engine.Network(onnx, names)
    for photo, by_keras, embedding in zip(PHOTOS, expected, found["embedding"], strict=True):
        given = [values.copy() for values in compiled(photo)]
        assert np.abs(given[0] - by_keras).max() <= 1e-4
        assert np.abs(given[1] - embedding).max() <= 1e-3 * np.abs(embedding).max()


@pytest.mark.parametrize("kind", [kind for kind, (_, _, heatmap) in HEADS.items() if heatmap])
def test_the_heatmap_averages_to_the_logits(kind: str) -> None:
    made = with_head(HEADS[kind][0], 3)
    session = onnxruntime.InferenceSession(network.to_onnx(made, "abc"))
    heatmap, embedding = session.run(["heatmap", "embedding"], {"image": PHOTOS})
    assert heatmap.shape == (len(PHOTOS), 3, 2, 2)
    kernel, _ = made.top.get_weights()
    logits = embedding @ kernel
    assert np.abs(heatmap.mean(axis=(2, 3)) - logits).max() <= 1e-4 * np.abs(logits).max()


@pytest.mark.parametrize("count", [1, 63, 64, 65, 130])
def test_batches_of_any_number_give_what_each_photo_gives(count: int) -> None:
    made = with_head((AveragePool(), Dense(units=4), BatchNorm()), 3)
    model = network.upper_model(made, backbone().last)
    features = np.random.default_rng(count).normal(size=(count, CHANNELS)).astype(np.float16)
    together = network.probabilities(model, features)
    assert together.shape == (count, 3)
    assert together.dtype == np.float64
    some = range(0, count, 9)
    one_by_one = np.vstack([network.probabilities(model, features[n : n + 1]) for n in some])
    assert np.abs(together[::9] - one_by_one).max() <= 1e-6


def test_two_classes_have_both_probabilities() -> None:
    made = with_head((AveragePool(),), 2)
    model = network.upper_model(made, backbone().last)
    features = np.random.default_rng(0).normal(size=(5, CHANNELS)).astype(np.float32)
    given = network.probabilities(model, features)
    assert np.abs(given[:, 1] - np.asarray(model(features))[:, 0]).max() <= 1e-6
    assert np.array_equal(given[:, 0], 1 - given[:, 1])


@pytest.mark.parametrize("classes", [2, 3])
def test_weights_fitted_elsewhere_become_the_answering_layers(classes: int) -> None:
    made = network.build(backbone(), (AveragePool(),), classes)
    units = 1 if classes == 2 else classes
    random = np.random.default_rng(0)
    kernel = random.normal(size=(CHANNELS, units)).astype(np.float32)
    fitted = Head(kernel, random.normal(size=units).astype(np.float32))
    made.set_top(fitted)
    features = random.normal(size=(4, CHANNELS)).astype(np.float32)
    given = network.probabilities(network.upper_model(made, backbone().last), features)
    assert np.abs(given - fitted.probabilities(features)).max() <= 1e-5


def test_the_penalty_is_part_of_the_loss() -> None:
    made = with_head((AveragePool(), Dense(units=7, l2=0.01)), 2)
    model = network.upper_model(made, backbone().last)
    features = np.random.default_rng(0).normal(size=(8, CHANNELS)).astype(np.float32)
    model.compile("sgd", "binary_crossentropy", metrics=["binary_crossentropy"])
    loss, entropy = model.evaluate(features, np.ones((8, 1)), verbose=0)
    kernel = made.head[1].get_weights()[0]
    assert loss - entropy == pytest.approx(0.01 * float((kernel**2).sum()), rel=1e-4)


def test_every_variable_is_listed_once() -> None:
    made = with_head((Flatten(), Dense(units=4), BatchNorm(), Dropout(rate=0.5)), 3)
    variables = {id(variable) for variable in made.variables}
    assert len(variables) == len(made.variables)
    model = network.whole_model(made)
    assert {id(variable) for variable in model.variables} == variables
    assert any("seed" in variable.path for variable in made.variables)  # of dropout


def test_what_has_no_translation_is_refused_by_its_name() -> None:
    keras = load_keras()

    def translate(layer: Any, shape: tuple[int, ...]) -> None:
        layer(keras.Input(shape))
        Graph("test").layer(layer, "in")

    with pytest.raises(RecipeError, match=r"'mine' is a PReLU, which cannot.*Dense, .*ReLU"):
        translate(keras.layers.PReLU(name="mine"), (4,))
    with pytest.raises(RecipeError, match=r"'mine' has the activation mish.*known: linear, relu"):
        translate(keras.layers.Dense(3, activation="mish", name="mine"), (4,))
    with pytest.raises(RecipeError, match=r"'mine' has negative_slope 0\.5.*only 0\.0"):
        translate(keras.layers.ReLU(negative_slope=0.5, name="mine"), (4,))
    with pytest.raises(RecipeError, match=r"'mine' works along axis 1.*only along the last"):
        translate(keras.layers.BatchNormalization(axis=1, name="mine"), (2, 3, 4))
    with pytest.raises(RecipeError, match=r"'mine' reshapes .*only a vector to a map"):
        translate(keras.layers.Reshape((4, 1, 4), name="mine"), (2, 2, 4))
