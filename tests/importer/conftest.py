"""Networks to import: made with today's Keras, and written as Keras 2 wrote them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pawprint.model.framework import load_keras

# What Keras 2 did not yet write down.
_NEWER = {"renorm", "renorm_clipping", "renorm_momentum", "synchronized", "quantization_config"}


@pytest.fixture(scope="session")
def body() -> Callable[[int], Any]:
    """The smallest MobileNetV2 for photos of a size, with random weights that answer variously."""
    from pawprint.model import backbones

    def make(size: int) -> Any:
        return backbones.build(size=size, alpha=0.35, weights="random").network

    return make


@pytest.fixture(scope="session")
def classifier_of(body: Callable[[int], Any]) -> Callable[..., Any]:
    """A Functional network of a MobileNetV2 and a head."""

    def make(*head: Any, size: int = 64, scaling: bool = False) -> Any:
        keras = load_keras()
        photo = tensor = keras.Input((size, size, 3))
        if scaling:
            tensor = keras.layers.Rescaling(1 / 127.5, -1.0)(tensor)
        tensor = body(size)(tensor)
        for layer in (keras.layers.GlobalAveragePooling2D(), *head):
            tensor = layer(tensor)
        return keras.Model(photo, tensor)

    return make


@pytest.fixture(scope="session")
def two_classes(
    classifier_of: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A `.keras` file with one sigmoid unit, that takes pixels from -1 to 1. Not to be changed."""
    layers = load_keras().layers
    load_keras().utils.set_random_seed(1)
    model = classifier_of(layers.Dropout(0.2), layers.Dense(1, activation="sigmoid"))
    path = tmp_path_factory.mktemp("files") / "two classes ü.keras"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def export(body: Callable[[int], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as Teachable Machine exports it for Keras. Not to be changed."""
    keras = load_keras()
    layers = keras.layers
    keras.utils.set_random_seed(2)
    network, inner = body(224), "global_average_pooling2d_GlobalAveragePooling2D1"
    lower = keras.Sequential(
        [network, layers.GlobalAveragePooling2D(name=inner)], name="sequential_1"
    )
    upper = keras.Sequential(
        [
            layers.Dense(100, activation="relu", name="dense_Dense1"),
            layers.Dense(3, activation="softmax", use_bias=False, name="dense_Dense2"),
        ],
        name="sequential_3",
    )
    model = keras.Sequential([keras.Input((224, 224, 3)), lower, upper], name="sequential_4")
    folder = tmp_path_factory.mktemp("export") / "converted_keras"
    folder.mkdir()
    write_keras_2(folder / "keras_model.h5", model)
    (folder / "labels.txt").write_text("0 Cat\n1 Dog\n2 No pet\n", "utf-8")
    return folder


def write_keras_2(path: Path, model: Any) -> None:
    """Write a network to HDF5 as tf.keras 2.4 did."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.4.0", "tensorflow"
        file.attrs["model_config"] = json.dumps(old(model))
        file.attrs["training_config"] = json.dumps({"loss": "categorical_crossentropy"})
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        weights.attrs["keras_version"], weights.attrs["backend"] = b"2.4.0", b"tensorflow"
        for layer in model.layers:
            group = weights.create_group(layer.name)
            names = []
            for owner, part in _weights_of(layer):
                called = part.name
                if type(owner).__name__ == "DepthwiseConv2D" and called == "kernel":
                    called = "depthwise_kernel"
                names.append(f"{owner.name}/{called}:0")
                group.create_dataset(names[-1], data=np.asarray(part))
            group.attrs["weight_names"] = [name.encode() for name in names]


def _weights_of(layer: Any) -> list[tuple[Any, Any]]:
    """Those that train and then those that do not, as Keras 2 kept them."""
    single = _single(layer)
    train = [(one, weight) for one in single for weight in one.trainable_weights]
    return train + [(one, weight) for one in single for weight in one.non_trainable_weights]


def _single(layer: Any) -> list[Any]:
    inside = getattr(layer, "layers", None)
    return [layer] if inside is None else [one for part in inside for one in _single(part)]


def old(layer: Any) -> dict[str, Any]:
    """A layer's or network's description in the words of Keras 2."""
    kind = type(layer).__name__
    if kind == "Sequential":
        shape = [None, *layer.input_shape[1:]]
        begin = {"batch_input_shape": shape, "dtype": "float32", "sparse": False, "ragged": False}
        begin["name"] = f"{layer.name}_input"
        first = {"class_name": "InputLayer", "config": begin}
        layers = [first, *(old(one) for one in layer.layers)]
        return {"class_name": kind, "config": {"name": layer.name, "layers": layers}}
    if kind == "Functional":
        ends = {
            "input_layers": [[layer.inputs[0]._keras_history.operation.name, 0, 0]],
            "output_layers": [[layer.outputs[0]._keras_history.operation.name, 0, 0]],
        }
        layers = [
            {**old(one), "name": one.name, "inbound_nodes": _calls(one)} for one in layer.layers
        ]
        return {"class_name": kind, "config": {"name": layer.name, "layers": layers, **ends}}
    config = {key: _plain(value) for key, value in layer.get_config().items() if key not in _NEWER}
    if kind == "InputLayer":
        config["batch_input_shape"] = list(config.pop("batch_shape"))
        config.pop("optional", None)
    if kind == "DepthwiseConv2D":
        config["groups"] = 1
    if kind == "BatchNormalization":
        config["axis"] = [3]
    return {"class_name": kind, "config": config}


def _calls(layer: Any) -> list[Any]:
    tensors = layer._inbound_nodes[0].input_tensors
    return [[[each._keras_history.operation.name, 0, 0, {}] for each in tensors]] * bool(tensors)


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and value.get("class_name") == "DTypePolicy":
        return value["config"]["name"]
    if isinstance(value, dict) and "class_name" in value:
        return {"class_name": value["class_name"], "config": _plain(value["config"])}
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value


@pytest.fixture
def rewritten(two_classes: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the file of two classes with its description changed, or other members."""

    def rewrite(change: Callable[[dict[str, Any]], None] | None = None, **members: bytes) -> Path:
        path = tmp_path / "changed.keras"
        with zipfile.ZipFile(two_classes) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        if change is not None:
            description = json.loads(parts["config.json"])
            change(description)
            parts["config.json"] = json.dumps(description).encode()
        parts |= {name.replace("__", "."): data for name, data in members.items()}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        path.write_bytes(buffer.getvalue())
        return path

    return rewrite
