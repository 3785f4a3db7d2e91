"""A network at rest: the same answers and gradients as Keras' own layers, and nothing moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from pawprint.model import backbones
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.still import still
from pawprint.model.suffix import suffix_model


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """A tiny network whose normalisation has statistics, gammas and betas of its own."""
    made = backbones.build(size=64, alpha=0.35, weights="random")
    random = np.random.default_rng(0)
    for layer in made.network.layers:
        if type(layer).__name__ == "BatchNormalization":
            gamma, beta, mean, variance = layer.get_weights()
            gamma = random.uniform(0.5, 1.5, gamma.shape)
            layer.set_weights([gamma, random.normal(0, 0.3, beta.shape), mean, variance])
    return made


def features(backbone: Backbone, cut: str) -> NDArray[np.float32]:
    shape = backbone.network.get_layer(cut).output.shape[1:]
    return np.random.default_rng(1).normal(0, 1, (4, *shape)).astype(np.float32)


def gradients(model: Any, call: Any, inputs: NDArray[np.float32]) -> tuple[Any, list[Any]]:
    """The answers, and the gradients of a loss that weighs them unevenly."""
    with tf.GradientTape() as tape:
        given = call(tf.constant(inputs))
        weights = np.random.default_rng(2).normal(0, 1, given.shape).astype(np.float32)
        loss = tf.reduce_sum(given * weights)
    variables = [variable.value for variable in model.trainable_variables]
    return given.numpy(), [g.numpy() for g in tape.gradient(loss, variables)]


@pytest.mark.parametrize("cut", ["expanded_conv_project_BN", "block_5_add", "block_12_add"])
def test_answers_and_gradients_are_those_of_the_plain_layers(backbone: Backbone, cut: str) -> None:
    model = suffix_model(backbone, cut)
    model.trainable = True
    inputs = features(backbone, cut)
    plain, expected = gradients(model, lambda x: model(x, training=False), inputs)
    folded, found = gradients(model, still(backbone, cut), inputs)
    np.testing.assert_allclose(folded, plain, rtol=1e-2, atol=1e-3)
    assert len(found) == len(expected) > 20
    for variable, one, other in zip(model.trainable_variables, found, expected, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-3 * scale, err_msg=variable.path)


def test_fit_moves_no_statistics(backbone: Backbone) -> None:
    keras = load_keras()
    model = suffix_model(backbone, "block_15_add")
    model.trainable = True
    inputs = features(backbone, "block_15_add")
    photo = keras.Input(inputs.shape[1:])
    trained = keras.Model(photo, keras.layers.Flatten()(still(backbone, "block_15_add")(photo)))
    before = [(v.path, np.array(v)) for v in model.variables]
    trained.compile("sgd", "mse")
    trained.fit(inputs, np.zeros((4, trained.output.shape[1])), epochs=1, verbose=0)
    moved = {
        path
        for (path, value), v in zip(before, model.variables, strict=True)
        if not np.array_equal(value, np.array(v))
    }
    assert moved
    assert moved == {v.path for v in model.trainable_variables}


def test_a_layer_of_normalisation_alone_is_left_as_it_is() -> None:
    keras = load_keras()
    photo = keras.Input((6, 6, 3))
    tensor = keras.layers.Conv2D(4, 3, activation="relu")(photo)  # not linear: cannot be folded
    tensor = keras.layers.BatchNormalization()(tensor)
    both = keras.layers.Conv2D(5, 1, use_bias=True)(tensor)
    normal = keras.layers.BatchNormalization(scale=False)(both)
    model = keras.Model(photo, keras.layers.Add()([both, normal]))  # read twice: neither
    made = Backbone("drawn", 6, model, 1.0, 0.0, "")
    inputs = np.random.default_rng(0).normal(0, 1, (2, 6, 6, 3)).astype(np.float32)
    plain = np.asarray(model(inputs, training=False))
    np.testing.assert_allclose(np.asarray(still(made)(inputs)), plain, rtol=1e-5, atol=1e-5)
