"""Keras networks carried over, in this process: they answer as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pawprint.engine import Network
from pawprint.errors import BundleError, PawprintError
from pawprint.importer.look import look
from pawprint.importer.network import carry_over, open_network
from pawprint.model.framework import load_keras
from pawprint.model.grad_cam import GradCam

THREE = ["a", "b", "c"]
SIZE = 32


def carried(model: Any, place: Path, classes: list[str], **asked: Any) -> dict[str, Any]:
    """Save a network, look at it and carry it over; how far its answers are from the original."""
    size = asked.pop("size", SIZE)
    path = place / ("net" + asked.pop("suffix", ".keras"))
    model.save(path)
    seen = look(str(path), str(place / "clean"), size)
    return compared(seen["file"], place, classes, size, **asked)


def compared(
    file: str,
    place: Path,
    classes: list[str],
    size: int,
    *,
    scaling: str = "0..1",
    logits: bool = False,
) -> dict[str, Any]:
    """Carry a clean copy over, and hold the ONNX network against what the original gave."""
    random = np.random.default_rng(0)
    cells = random.integers(0, 256, (20, 4, 4, 3), np.uint8)
    np.save(place / "probe.npy", cells.repeat(size // 4, axis=1).repeat(size // 4, axis=2))
    found = carry_over(file, str(place), size, scaling, classes, logits)
    outputs = ["probabilities", *[name for name in ("embedding", "heatmap") if found[name]]]
    network = Network((place / "model.onnx").read_bytes(), outputs)
    rows = [[part.copy() for part in network(photo)] for photo in np.load(place / "probe.npy")]
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    original, keras = np.load(place / "given.npy"), np.load(place / "keras.npy")
    assert original.shape == (20, len(classes))
    assert np.ptp(original, axis=0).max() > 1e-2, "a network that answers the same for all"
    found["difference"] = float(np.abs(columns[0] - original).max())
    found["keras_difference"] = float(np.abs(keras - original[:16]).max())
    return found | dict(zip(outputs, columns, strict=True))


def agrees(found: dict[str, Any]) -> None:
    """The two networks of the bundle answer as the original."""
    assert found["difference"] < 1e-5
    assert found["keras_difference"] < 1e-5


def small(*layers: Any, channels: int = 6) -> Any:
    """A small network that ends with the layers, with weights that make something of a photo."""
    keras = load_keras()
    keras.utils.set_random_seed(3)
    begin = [keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(channels, 5, strides=3)]
    model = keras.Sequential([*begin, *layers])
    random = np.random.default_rng(0)
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.get_weights()]
        layer.set_weights([random.normal(0, 1 / np.prod(s[:-1]) ** 0.5, s) for s in shapes])
    return model


@pytest.fixture(scope="module")
def layers() -> Any:
    """Keras' layers."""
    return load_keras().layers


def test_a_sigmoid_is_two_classes(layers: Any, tmp_path: Path) -> None:
    pool = layers.GlobalAveragePooling2D()
    dense = layers.Dense(1, "sigmoid")
    model = small(layers.LeakyReLU(), pool, dense)
    found = carried(model, tmp_path, ["a", "b"])
    agrees(found)
    # The mean of the heat-map and the bias are the logit.
    bias = float(dense.get_weights()[1][0])
    logit = found["heatmap"][:, 1].mean(axis=(1, 2)) + bias
    assert np.allclose(1 / (1 + np.exp(-logit)), found["probabilities"][:, 1], atol=1e-5)
    assert found["embedding"].shape == (20, 6)


@pytest.mark.parametrize(
    ("scaling", "strength"), [("-1..1", 1), ("0..1", 1), ("caffe", 0.01), ("torch", 1)]
)
def test_scalings_go_into_the_network(
    layers: Any, tmp_path: Path, scaling: str, strength: float
) -> None:
    model = small(layers.ReLU(), layers.Flatten(), layers.Dense(3))
    model.layers[-1].set_weights([weight * strength for weight in model.layers[-1].get_weights()])
    found = carried(model, tmp_path, THREE, scaling=scaling, logits=True)
    agrees(found)
    assert not found["heatmap"]  # it is not a mean that its head sees


def test_logits_of_one_unit(layers: Any, tmp_path: Path) -> None:
    model = small(layers.GlobalMaxPooling2D(), layers.Dropout(0.5), layers.Dense(1))
    agrees(carried(model, tmp_path, ["a", "b"], logits=True))


def test_a_head_without_a_dense_layer(layers: Any, tmp_path: Path) -> None:
    model = small(
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Conv2D(3, 1),
        layers.Reshape((3,)),
        layers.Softmax(),
    )
    found = carried(model, tmp_path, THREE)
    agrees(found)
    assert not found["embedding"]
    keras_model = load_keras().models.load_model(tmp_path / "model.keras")
    with pytest.raises(PawprintError, match="ends with a Softmax"):
        GradCam(keras_model)


def test_many_kinds_of_layers(layers: Any, tmp_path: Path) -> None:
    keras = load_keras()
    keras.utils.set_random_seed(4)
    photo = keras.Input((SIZE, SIZE, 3))
    scaled = (photo * 2.0 - 1.0) / 0.5
    first = layers.Conv2D(4, 3, padding="same", activation="tanh")(layers.RandomFlip()(scaled))
    second = layers.SeparableConv2D(4, 3, padding="same", activation="elu")(scaled)
    joined = [layer([first, second]) for layer in (layers.Maximum(), layers.Minimum())]
    joined += [layers.Average()([first, second]), layers.Subtract()([first, second])]
    tensor = layers.Concatenate()(joined)
    tensor = layers.ReLU(negative_slope=0.2)(layers.MaxPooling2D()(tensor)) + 0.25
    tensor = layers.ELU()(layers.BatchNormalization()(tensor))
    tensor = layers.Dense(8, "softplus")(layers.Flatten()(tensor))
    model = keras.Model(photo, layers.Activation("softmax")(layers.Dense(3)(tensor)))
    found = carried(model, tmp_path, THREE)
    agrees(found)
    assert found["embedding"].shape == (20, 8)


def test_networks_within_networks_with_the_same_names(layers: Any, tmp_path: Path) -> None:
    keras = load_keras()

    def part(*inside: Any) -> Any:
        return keras.Sequential(list(inside))

    model = small(
        part(layers.Conv2D(5, 2, name="same"), layers.ReLU(name="probabilities")),
        part(layers.Conv2D(5, 2, name="same"), part(layers.GlobalAveragePooling2D(name="photo"))),
        layers.Dense(3, "softmax", name="embedding"),
    )
    agrees(carried(model, tmp_path, THREE))


def test_an_open_size_in_hdf5(layers: Any, tmp_path: Path) -> None:
    keras = load_keras()
    keras.utils.set_random_seed(5)
    inner = [keras.Input((None, None, 3)), layers.Conv2D(8, 3, strides=2, padding="same")]
    body = keras.Sequential([*inner, layers.GlobalMaxPooling2D()])
    model = keras.Sequential([keras.Input((None, None, 3)), body, layers.Dense(3, "softmax")])
    for suffix in (".keras", ".h5"):
        agrees(carried(model, tmp_path, THREE, size=48, suffix=suffix))


def test_a_network_of_keras_2(export: Path, tmp_path: Path) -> None:
    seen = look(str(export / "keras_model.h5"), str(tmp_path / "clean"), 224)
    found = compared(seen["file"], tmp_path, THREE, 224, scaling="-1..1")
    agrees(found)
    assert found["embedding"].shape == (20, 100)


@pytest.mark.parametrize(
    ("head", "classes", "logits", "told"),
    [
        (lambda la: [la.Dense(3, "softmax")], ["a", "b"], False, "expected 3 names"),
        (lambda la: [la.Dense(1, "sigmoid")], THREE, False, "1 output and .* expected 2 names"),
        (lambda la: [la.Dense(3)], THREE, False, "say --outputs logits"),
        (lambda la: [la.Dense(3, "softmax")], THREE, True, "gives no logits"),
        (lambda la: [la.Dense(3, "sigmoid")], THREE, False, "on its own"),
        (lambda la: [la.Dense(1, "softmax")], ["a", "b"], False, "which is 1 of one output"),
        (lambda la: [la.Dense(3, "relu")], THREE, False, "gives no probabilities"),
        (lambda la: [la.Reshape((6, 1)), la.Conv1D(1, 1)], THREE, False, "is a Conv1D"),
        (lambda la: [la.Reshape((2, 3))], THREE, False, "of a classifier"),
        (lambda la: [la.RepeatVector(2)], THREE, False, "is a RepeatVector"),
    ],
)
def test_what_does_not_fit_is_refused(
    layers: Any,
    tmp_path: Path,
    head: Callable[[Any], list[Any]],
    classes: list[str],
    logits: bool,
    told: str,
) -> None:
    model = small(layers.GlobalAveragePooling2D(), *head(layers))
    with pytest.raises(BundleError, match=told):
        carried(model, tmp_path, classes, logits=logits)


def test_a_layer_called_twice_is_refused(layers: Any, tmp_path: Path) -> None:
    keras, dense = load_keras(), layers.Dense(3, "relu")
    photo = keras.Input((SIZE, SIZE, 3))
    pooled = layers.GlobalAveragePooling2D()(photo)
    model = keras.Model(photo, layers.Dense(3, "softmax")(dense(dense(pooled))))
    with pytest.raises(BundleError, match="called twice"):
        carried(model, tmp_path, THREE)


def test_weights_that_would_go_to_another_layer_are_noticed(export: Path, tmp_path: Path) -> None:
    import h5py

    seen = look(str(export / "keras_model.h5"), str(tmp_path / "clean"), 224)
    with h5py.File(seen["file"], "r+") as file:
        group = file["model_weights"]["sequential_1"]
        names = list(group.attrs["weight_names"])
        gamma, beta = (names.index(f"bn_Conv1/{part}:0") for part in ("gamma", "beta"))
        names[gamma], names[beta] = names[beta], names[gamma]
        group.attrs["weight_names"] = names
    with pytest.raises(BundleError, match="in another order"):
        open_network(Path(seen["file"]))


def test_what_keras_cannot_open_is_told(rewritten: Callable[..., Path], tmp_path: Path) -> None:
    def change(network: dict[str, Any]) -> None:
        network["config"]["layers"][-1]["config"]["units"] = 3

    seen = look(str(rewritten(change)), str(tmp_path / "clean"), None)
    with pytest.raises(BundleError, match="cannot open it"):
        open_network(Path(seen["file"]))
