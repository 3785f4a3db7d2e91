"""Grad-CAM: what it is by definition, the network's own map where the head pools, and in place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pawprint import engine
from pawprint.data.images import Pixels
from pawprint.model import backbones, network
from pawprint.model.framework import load_keras
from pawprint.model.grad_cam import GradCam
from pawprint.model.head_layers import AveragePool, BatchNorm, Dense, Dropout, Flatten, HeadLayer
from pawprint.model.network import Network

PHOTOS = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)

POOLING: dict[str, tuple[HeadLayer, ...]] = {
    "average": (AveragePool(),),
    "dropped": (AveragePool(), Dropout(rate=0.5)),
}
DENSE: dict[str, tuple[HeadLayer, ...]] = {
    "flat": (Flatten(),),
    "all": (Flatten(), Dense(units=9, l2=0.1), BatchNorm(), Dropout(rate=0.3)),
}


@cache
def made(kind: str, classes: int) -> Network:
    backbone = backbones.build(size=64, alpha=0.35, weights="random", seed=3)
    return network.build(backbone, {**POOLING, **DENSE}[kind], classes)


def plain(layers: Sequence[Any], classes: int) -> Any:
    """A network all of whose layers lie side by side: 8 x 8 places, 6 channels, then a head."""
    keras = load_keras()
    keras.utils.set_random_seed(1)
    photo = tensor = keras.Input((64, 64, 3))
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    for layer in (
        keras.layers.Rescaling(1 / 128, -1),
        keras.layers.Conv2D(6, 8, 8, activation="relu", name="map"),
        *layers,
        keras.layers.Dense(units, activation, name="answer"),
    ):
        tensor = layer(tensor)
    return keras.Model(photo, tensor)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", POOLING)
def test_for_a_head_that_pools_it_is_the_network_s_own_map(kind: str, classes: int) -> None:
    built = made(kind, classes)
    maps = GradCam(network.whole_model(built))
    own = engine.Network(network.to_onnx(built, "abc"[:classes]), ["heatmap"])
    for photo in PHOTOS:
        expected = own(photo)[0].copy()
        found = np.stack([maps(photo, label) for label in range(classes)])
        assert found.dtype == np.float32
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999
        assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_place_counts_by_how_far_the_logit_follows_its_channels(classes: int) -> None:
    """The gradient, found by trying: each value of the map a little higher, and a little lower."""
    keras = load_keras()
    layers = [keras.layers.Flatten(), keras.layers.Dense(5, "relu", name="hidden")]
    model = plain(layers, classes)
    hidden, answer = (
        [np.asarray(w, np.float64) for w in model.get_layer(name).get_weights()]
        for name in ("hidden", "answer")
    )

    def logits(features: NDArray[np.float64]) -> NDArray[np.float64]:
        given = np.maximum(features.ravel() @ hidden[0] + hidden[1], 0) @ answer[0] + answer[1]
        return np.concatenate([-given, given]) if classes == 2 else given

    below = keras.Model(model.input, model.get_layer("map").output)
    features = np.asarray(below.predict_on_batch(PHOTOS[:1].astype(np.float32))[0], np.float64)
    steps = 1e-6 * np.eye(features.size).reshape(-1, *features.shape)
    slopes = np.stack([logits(features + s) - logits(features - s) for s in steps]) / 2e-6
    maps = GradCam(model)
    for label in range(classes):
        expected = 64 * (features * slopes[:, label].reshape(features.shape)).sum(axis=-1)
        assert np.abs(maps(PHOTOS[0], label) - expected).max() <= 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("classes", [2, 3])
def test_the_mean_and_the_bias_are_the_logit_of_a_head_on_the_flat_map(classes: int) -> None:
    model = plain([load_keras().layers.Flatten()], classes)
    _, bias = model.layers[-1].get_weights()
    bias = np.concatenate([-bias, bias]) if classes == 2 else bias
    maps = GradCam(model)
    for photo in PHOTOS:
        logits = np.array([maps(photo, label).mean() for label in range(classes)]) + bias
        logits = logits / 2 if classes == 2 else logits  # one logit, told from both sides
        expected = np.exp(logits) / np.exp(logits).sum()
        answers = network.probabilities(model, photo[np.newaxis])[0]
        np.testing.assert_allclose(answers, expected, rtol=1e-4)


@pytest.mark.parametrize("kind", DENSE)
def test_dense_heads_have_a_map_for_every_class(kind: str) -> None:
    maps = GradCam(network.whole_model(made(kind, 3)))
    found = np.stack([maps(PHOTOS[0], label) for label in range(3)])
    assert found.shape == (3, 2, 2)
    assert np.isfinite(found).all()
    assert np.abs(found[0] - found[1]).max() > 0
    two = GradCam(network.whole_model(made(kind, 2)))
    np.testing.assert_allclose(two(PHOTOS[0], 0), -two(PHOTOS[0], 1), rtol=1e-5)


def test_a_saved_model_gives_the_same(tmp_path: Path) -> None:
    model = network.whole_model(made("all", 3))
    model.save(tmp_path / "model.keras")
    loaded = load_keras().models.load_model(tmp_path / "model.keras", compile=False)
    expected = GradCam(model)(PHOTOS[0], 2)
    np.testing.assert_allclose(GradCam(loaded)(PHOTOS[0], 2), expected, rtol=1e-4)


def spotted(random: np.random.Generator, corner: int | None) -> Pixels:
    """A blotchy photo, with a red square in one of its corners or in none."""
    photo = random.normal(128, 25, (64, 64, 3))
    if corner is not None:
        top, left = 32 * (corner // 2) + 8, 32 * (corner % 2) + 8
        photo[top : top + 16, left : left + 16] += (80, -60, -60)
    return np.asarray(photo.clip(0, 255), np.uint8)


@pytest.mark.parametrize("head", ["pooling", "dense"])
def test_what_was_planted_glows(head: str) -> None:
    """Trained on photos that differ in one corner, it shows that corner."""
    keras, random = load_keras(), np.random.default_rng(0)
    layers = {
        "pooling": [keras.layers.GlobalAveragePooling2D()],
        "dense": [keras.layers.Flatten(), keras.layers.Dense(8, "relu")],
    }[head]
    model = plain(layers, 2)
    corners = [0, None, 1, None, 2, None, 3, None] * 40
    photos = np.stack([spotted(random, corner) for corner in corners])
    truth = np.array([corner is not None for corner in corners], np.float32)[:, np.newaxis]
    model.compile(keras.optimizers.Adam(0.003), "binary_crossentropy", metrics=["accuracy"])
    model.fit(photos, truth, batch_size=32, epochs=12, verbose=0)
    assert model.evaluate(photos, truth, verbose=0)[1] > 0.95
    maps = GradCam(model)
    for corner in range(4):
        heat = maps(spotted(random, corner), 1).clip(0)
        quarters = heat.reshape(2, 4, 2, 4).sum(axis=(1, 3)).ravel()
        assert quarters.argmax() == corner
        assert quarters[corner] > 0.5 * quarters.sum()
