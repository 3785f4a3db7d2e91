"""A Keras network opened, carried over to ONNX, and asked for its own answers.

Runs in a process of its own, with limits, on the copy that `look.py` left.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import BundleError
from pawprint.importer import scalings
from pawprint.importer.calls import PHOTO, Call, Ending, calls_of, ending
from pawprint.importer.layers import translate
from pawprint.importer.look import hdf5
from pawprint.importer.scalings import Scaling
from pawprint.isolation import GUARDS
from pawprint.model.framework import load_keras
from pawprint.model.network import outputs
from pawprint.model.onnx_graph import Graph

PROBE, GIVEN, KERAS_GIVEN = "probe.npy", "given.npy", "keras.npy"
IN_KERAS = 16  # photos that the Keras model of the bundle is tried on
_BATCH = 64


def carry_over(
    file: str, place: str, size: int, scaling: str, classes: list[str], logits: bool
) -> dict[str, Any]:
    """Open a network and write what a bundle needs of it.

    Args:
        file: the copy to open.
        place: a folder; has the pixels to try in `probe.npy`, uint8 (n, size, size, 3), and gets
            `model.onnx`, `model.keras`, what the original gives in `given.npy`, float64 (n,
            classes), and what `model.keras` gives in `keras.npy`, of the first `IN_KERAS`.
        size: height and width of photos.
        scaling: how pixels are scaled before it.
        classes: names.
        logits: whether it gives logits.

    Returns:
        `layers` and `weights`, how many; `kind`; `keras`, the version here; `embedding` and
        `heatmap`, whether there are such outputs; and `guards`.

    Raises:
        BundleError: it cannot be opened or translated, or does not fit the classes.
    """
    folder, scaled = Path(place), scalings.find(scaling)
    network = open_network(Path(file))
    calls = calls_of(network)
    answers = ending(calls)
    binary = fit(network.output_shape, answers, classes, logits)
    onnx, extras = to_onnx(calls, answers, classes, size, scaled, logits=logits)
    (folder / "model.onnx").write_bytes(onnx)

    probe = np.load(folder / PROBE, mmap_mode="r", allow_pickle=False)
    np.save(folder / GIVEN, original(network, probe, scaled, logits=logits, binary=binary))
    found = {
        "kind": type(network).__name__,
        "layers": len(calls),
        "weights": int(network.count_params()),
        "keras": str(load_keras().__version__),
        "guards": list(GUARDS),
        **extras,
    }
    model = keras_model(calls, answers, size, scaled, logits=logits, binary=binary)
    model.save(folder / "model.keras")
    np.save(folder / KERAS_GIVEN, _of_two(outputs(model, np.array(probe[:IN_KERAS]))))
    return found


def open_network(path: Path) -> Any:
    """Open a Keras file whose description is known to be stock.

    Raises:
        BundleError: Keras cannot, or would put weights into other layers than they are from.
    """
    keras = load_keras()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras remarks on settings of older versions
            network = keras.models.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # Keras raises nearly anything on what it does not expect
        text = " ".join(str(error).split())[:300]
        if "OOM when allocating" in text:  # TensorFlow's own
            raise MemoryError(text) from None
        raise BundleError(
            f"Keras {keras.__version__} cannot open it ({text}); save it again with the Keras that "
            "made it, as .h5 or .keras"
        ) from None
    if path.suffix == ".h5":
        check_names(path, network)
    return network


def check_names(path: Path, network: Any) -> None:
    """Make sure that each of HDF5's weights went to the layer and the part that it is called for.

    Keras takes them in their order alone, which was not the same in all versions.

    Raises:
        BundleError: one did not.
    """
    with hdf5().File(path, "r") as file:
        group = file["model_weights"]
        in_file = {name: _names(group[name], "weight_names") for name in _names(group)}
    in_file = {name: weights for name, weights in in_file.items() if weights}
    layers = {
        layer.name: [v.name for v in (*layer.trainable_weights, *layer.non_trainable_weights)]
        for layer in network.layers
        if layer.weights
    }
    for (name, weights), (layer, parts) in zip(in_file.items(), layers.items(), strict=True):
        for weight, part in zip(weights, parts, strict=True):
            called = weight.rpartition("/")[2].partition(":")[0]
            same = called == part or (called, part) == ("depthwise_kernel", "kernel")
            if name != layer or not same:
                raise BundleError(
                    f"its weights are in another order than Keras {load_keras().__version__} reads "
                    f"them in ({name}: {weight} would become {layer}: {part}); save it as .keras "
                    "with the Keras that made it"
                )


def _names(group: Any, attribute: str = "layer_names") -> list[str]:
    """Names as Keras keeps them: in an attribute, or in several where one would be too long."""
    parts = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]


def fit(shape: Sequence[Any], answers: Ending, classes: Sequence[str], logits: bool) -> bool:
    """Hold what a network gives to what the user says of it.

    Args:
        shape: of its output.
        answers: how it answers.
        classes: names.
        logits: whether it gives logits, as the user says.

    Returns:
        Whether it is one unit for two classes.

    Raises:
        BundleError: they do not fit.
    """
    if len(shape) != 2 or shape[1] is None:
        raise BundleError(f"it gives {tuple(shape)}; expected (photos, classes), of a classifier")
    units, activation = int(shape[1]), answers.activation
    if units != len(classes) and (units, len(classes)) != (1, 2):
        expected = "2 names" if units == 1 else f"{units} names"
        raise BundleError(
            f"it has {units} output{'s' * (units != 1)} and --classes has {len(classes)} names "
            f"({', '.join(classes[:9])}); expected {expected}"
        )
    told = {"linear"} if logits else {"softmax"} if units > 1 else {"sigmoid"}
    if activation in told:
        return units == 1
    if activation == "linear":
        raise BundleError(
            "its last layer has no activation, so that it seems to give logits; if so, say "
            "--outputs logits"
        )
    if logits:
        raise BundleError(
            f"its last layer is a {activation}, so it gives no logits; leave that out"
        )
    why = {
        ("sigmoid", False): "which says of each class on its own whether it is there; a bundle has "
        "one answer for a photo",
        ("softmax", True): "which is 1 of one output, whatever the photo",
    }.get((activation, units == 1), "which gives no probabilities")
    raise BundleError(
        f"its last layer is a {activation} over {units} output{'s' * (units != 1)}, {why}; such a "
        "network cannot be imported"
    )


def to_onnx(
    calls: Sequence[Call],
    answers: Ending,
    classes: Sequence[str],
    size: int,
    scaling: Scaling,
    *,
    logits: bool,
) -> tuple[bytes, dict[str, bool]]:
    """The network as ONNX, in the form of pawprint's own (`model/network.py`).

    Args:
        calls: of the network.
        answers: how it answers.
        classes: names.
        size: height and width of photos.
        scaling: of pixels.
        logits: whether it gives logits.

    Returns:
        The bytes, and whether there are the outputs `embedding` and `heatmap`.

    Raises:
        BundleError: a layer has no translation.
    """
    graph = Graph("pawprint")
    photo = graph.photo(size, scaling.scale, scaling.offset)
    if scaling.blue_first:
        turned = graph.constant("blue_first", np.array([2, 1, 0], np.int64))
        photo = graph.add("Gather", [photo, turned], "channels_turned", axis=1)
    given: list[str] = []
    for call in calls:
        sources = [photo if number == PHOTO else given[number] for number in call.inputs]
        given.append(translate(graph, call.layer, f"network/{call.scope}", sources))

    last = given[-1]
    binary = calls[-1].layer.output.shape[1] == 1
    if binary:
        one = graph.number(1.0 if not logits else 0.0)
        other = graph.add("Sub", [one, last], "other")
        last = graph.add("Concat", [other, last], "both", axis=1)
    if logits:
        graph.add("Sigmoid" if binary else "Softmax", [last], "probabilities")
    else:
        graph.add("Identity", [last], "probabilities")
    graph.output("probabilities", ["n", len(classes)])
    extras = {"embedding": False, "heatmap": False}
    if answers.dense is not None:
        extras = _add_head(graph, calls, answers, given, photo)
    return graph.to_bytes({"classes": json.dumps(list(classes), ensure_ascii=False)}), extras


def _add_head(
    graph: Graph, calls: Sequence[Call], answers: Ending, given: Sequence[str], photo: str
) -> dict[str, bool]:
    """Add what the answering layer sees, and where it averages a map, what each place says."""
    assert answers.dense is not None
    dense = calls[answers.dense]
    below = dense.inputs[0]
    graph.add("Identity", [photo if below == PHOTO else given[below]], "embedding")
    kernel = dense.layer.get_weights()[0]
    graph.output("embedding", ["n", kernel.shape[0]])
    if answers.pooled is None:
        return {"embedding": True, "heatmap": False}
    kernel = np.hstack([-kernel, kernel]) if kernel.shape[1] == 1 else kernel
    _, height, width, _ = calls[answers.pooled].layer.output.shape
    places = graph.constant("heatmap/kernel", kernel.T[:, :, np.newaxis, np.newaxis])
    graph.add("Conv", [given[answers.pooled], places], "heatmap", kernel_shape=[1, 1])
    graph.output("heatmap", ["n", kernel.shape[1], height, width])
    return {"embedding": True, "heatmap": True}


def original(
    network: Any, pixels: NDArray[np.uint8], scaling: Scaling, *, logits: bool, binary: bool
) -> NDArray[np.float64]:
    """The probabilities that the network itself gives, scaling and activation done by NumPy.

    Args:
        network: as Keras opened it.
        pixels: uint8, shape (n, size, size, 3).
        scaling: of pixels.
        logits: whether it gives logits.
        binary: whether it is one unit for two classes.

    Returns:
        float64, shape (n, classes).
    """
    parts = []
    for start in range(0, len(pixels), _BATCH):
        scaled = scaling.numpy(np.asarray(pixels[start : start + _BATCH]))
        parts.append(outputs(network, scaled))
    given = np.vstack(parts).astype(np.float64)
    if logits and binary:
        given = 1 / (1 + np.exp(-given))
    elif logits:
        powers = np.exp(given - given.max(axis=1, keepdims=True))
        given = powers / powers.sum(axis=1, keepdims=True)
    return _of_two(given)


def _of_two(given: NDArray[Any]) -> NDArray[np.float64]:
    given = given.astype(np.float64)
    return np.hstack([1 - given, given]) if given.shape[1] == 1 else given


def keras_model(
    calls: Sequence[Call],
    answers: Ending,
    size: int,
    scaling: Scaling,
    *,
    logits: bool,
    binary: bool,
) -> Any:
    """The network as a Keras model from raw 0-255 RGB pixels to probabilities.

    One flat network of the same layers, that ends with the dense layer where one answers, as
    pawprint's own do.

    Args:
        calls: of the network; their layers are called once more, so this comes last.
        answers: how it answers.
        size: height and width of photos.
        scaling: of pixels.
        logits: whether the network gives logits.
        binary: whether it is one unit for two classes.
    """
    keras = load_keras()
    photo = keras.Input((size, size, 3), name="photo")
    tensor = _scaled(photo, scaling)
    _name_apart(calls)
    given: list[Any] = []
    for call in calls[: answers.dense]:
        tensors = [tensor if number == PHOTO else given[number] for number in call.inputs]
        joins = len(tensors) > 1 and isinstance(call.layer, keras.layers.Layer)
        given.append(call.layer(tensors) if joins else call.layer(*tensors))
    activation = "sigmoid" if binary else "softmax"
    if answers.dense is None:
        found = given[-1]
        if logits:
            found = keras.layers.Activation(activation, name="probabilities")(found)
    else:
        dense = calls[answers.dense]
        below = dense.inputs[0]
        settings = dense.layer.get_config() | {"activation": activation}
        head = keras.layers.Dense.from_config(settings)
        found = head(tensor if below == PHOTO else given[below])
        head.set_weights(dense.layer.get_weights())
    return keras.Model(photo, found, name="pawprint")


def _scaled(photo: Any, scaling: Scaling) -> Any:
    layers = load_keras().layers
    if not scaling.blue_first:
        scale, offset = (list(values) for values in (scaling.scale, scaling.offset))
        return layers.Rescaling(scale, offset, name="photo_scaling")(photo)
    # A convolution of one pixel is what a stock layer has to change the order of channels.
    layer = layers.Conv2D(3, 1, name="photo_scaling", trainable=False)
    scaled = layer(photo)
    turned = np.zeros((1, 1, 3, 3), np.float32)
    for colour in range(3):
        turned[0, 0, colour, 2 - colour] = scaling.scale[colour]
    layer.set_weights([turned, np.array(scaling.offset[::-1], np.float32)])
    return scaled


def _name_apart(calls: Sequence[Call]) -> None:
    """Give layers of networks within one another names that are all different."""
    taken = {"photo", "photo_scaling", "probabilities"}
    for call in calls:
        name, number = call.layer.name, 1
        while call.layer.name in taken:
            number += 1
            call.layer.name = f"{name}_{number}"
        taken.add(call.layer.name)
