"""A bundle's network in the formats that Keras writes; run in a process of its own.

TensorFlow takes a gigabyte and writes to standard error as it likes, and a bundle may come from
anybody: what opens its `model.keras` has limits, and is not the process that the user talks to.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.bundle import KERAS, ONNX
from pawprint.classifier import SMALLEST
from pawprint.errors import BundleError
from pawprint.export import litert_metadata
from pawprint.export.stated import INPUT, NOVELTY, OUTPUT, Stated
from pawprint.model.framework import load_keras


def write(bundle: str, out: str, about: str, calibration: str = "") -> None:
    """Write a bundle's network in the format that is asked for.

    Args:
        bundle: its folder.
        out: the file, or for `savedmodel` the folder.
        about: a Stated as JSON: the format, and what the export says of itself.
        calibration: for `int8`, a .npy of uint8 photos, shape (n, size, size, 3).
    """
    said = Stated.model_validate_json(about)
    model, path = whole(Path(bundle), said), Path(out)
    if said.format == "litert":
        _write_litert(model, path, said, calibration)
    elif said.format == "savedmodel":
        _write_savedmodel(model, path)
        extra = path / "assets.extra"  # which TensorFlow keeps for the like and does not read
        extra.mkdir()
        (extra / "pawprint.json").write_text(about, "utf-8", newline="\n")
        (extra / "labels.txt").write_text("\n".join(said.classes) + "\n", "utf-8", newline="\n")
    else:
        model.save(path)
        _say(path, about)


def whole(bundle: Path, about: Stated) -> Any:
    """The bundle's Keras model with all that the Classifier does after it, of Keras' own layers.

    Args:
        bundle: its folder.
        about: what it is to give.

    Returns:
        A model from uint8 photos, (n, size, size, 3), to a dict of what `about` lists.
    """
    keras = load_keras()
    ops, layers = keras.ops, keras.layers
    inner = keras.saving.load_model(bundle / KERAS, compile=False)
    old = about.format == "h5"  # which carries layers, but no operations between them
    if old and about.temperature != 1.0:
        _temper(inner, about.temperature)
    side, classes = about.preprocessing.size, len(about.classes)
    photo = keras.Input((side, side, 3), dtype="uint8", name=INPUT)
    pixels = layers.Rescaling(1.0, name="pixels")(photo)  # to floats, as they are
    if about.mirror:
        turned = ops.flip(pixels, axis=2)
        pixels = layers.Concatenate(axis=0, name="both")([pixels, turned])
    embedding, given = _embedding(keras, inner)(pixels)
    if given.shape[-1] == 1 and classes == 2:
        first = layers.Rescaling(-1.0, 1.0, name="first_class")(given)
        given = layers.Concatenate(name="both_classes")([first, given])
    found = {OUTPUT: given}
    if NOVELTY in about.outputs:
        found[NOVELTY] = _novelty(keras, bundle, embedding)
    if about.mirror:
        pairs = {name: ops.reshape(x, (2, -1, x.shape[-1])) for name, x in found.items()}
        found[OUTPUT] = ops.mean(pairs[OUTPUT], axis=0)
        if NOVELTY in pairs:
            found[NOVELTY] = ops.take(pairs[NOVELTY], 0, axis=0)
    if about.temperature != 1.0 and not old:
        clipped = ops.clip(found[OUTPUT], SMALLEST, 1.0)
        ratio = ops.divide(clipped, ops.max(clipped, axis=1, keepdims=True))
        powers = ops.power(ratio, 1 / about.temperature)
        found[OUTPUT] = ops.divide(powers, ops.sum(powers, axis=1, keepdims=True))
    named = {name: layers.Identity(name=name)(x) for name, x in found.items()}
    return keras.Model(photo, named, name="pawprint")


def _temper(model: Any, temperature: float) -> None:
    """Divide the logits of a model by a temperature, in the weights of its last layer."""
    last = model.layers[-1]
    if type(last).__name__ != "Dense" or last.activation.__name__ not in ("sigmoid", "softmax"):
        raise BundleError(f"h5 needs a Dense layer that ends the model; {last.name!r} is none")
    last.set_weights([values / temperature for values in last.get_weights()])


def _embedding(keras: Any, model: Any) -> Any:
    """The model, giving also what its last layer sees."""
    return keras.Model(model.inputs, [model.layers[-1].input, model.outputs[0]], name="network")


def _novelty(keras: Any, bundle: Path, embedding: Any) -> Any:
    """What `model.onnx` computes for `novelty`, with its numbers."""
    ops, constants = keras.ops, _constants(bundle / ONNX)
    mean, components = constants["novelty/mean"], constants["novelty/components"]
    rooted = ops.multiply(ops.sign(embedding), ops.sqrt(ops.abs(embedding)))
    ones = np.ones_like(mean)
    centring = keras.layers.Normalization(mean=mean, variance=ones, name="novelty_mean")
    centred = centring(rooted)
    basis = keras.layers.Dense(components.shape[1], use_bias=False, name="novelty_components")
    within = basis(centred)
    basis.set_weights([components])
    rest = ops.subtract(
        ops.sum(ops.square(centred), axis=1, keepdims=True),
        ops.sum(ops.square(within), axis=1, keepdims=True),
    )
    return ops.divide(ops.sqrt(ops.relu(rest)), float(constants["novelty/limit"]))


def _constants(path: Path) -> dict[str, NDArray[Any]]:
    """A network's constants, and by `novelty/limit` what the novelty is divided by."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    found = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    divisor = next(node.input[1] for node in graph.node if node.output[0] == NOVELTY)
    return {**found, "novelty/limit": found[divisor]}


def _write_savedmodel(model: Any, path: Path) -> None:
    """Write with one signature, whose inputs and outputs bear their names."""
    import tensorflow as tf

    def serve(image: Any) -> Any:
        return model(image, training=False)

    archive = load_keras().export.ExportArchive()
    archive.track(model)
    shape = [None, *model.input_shape[1:]]
    archive.add_endpoint("serve", serve, [tf.TensorSpec(shape, tf.uint8, name=INPUT)])
    archive.write_out(str(path), verbose=False)


def _write_litert(model: Any, path: Path, about: Stated, calibration: str) -> None:
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="pawprint-") as place:
        _write_savedmodel(model, Path(place))
        converter = tf.lite.TFLiteConverter.from_saved_model(place, signature_keys=["serve"])
        if about.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if about.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if about.precision == "int8":
            converter.representative_dataset = lambda: _representative(calibration)
        written = converter.convert()
    path.write_bytes(litert_metadata.added(written, about))


def _representative(calibration: str) -> Iterator[dict[str, NDArray[np.uint8]]]:
    for photo in np.load(calibration):
        yield {INPUT: photo[np.newaxis]}


def _say(path: Path, about: str) -> None:
    """Put what an export says of itself into a .keras or .h5 file."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path, "a") as archive:  # Keras reads its own names only
            archive.writestr("pawprint.json", about)
        return
    import h5py

    with h5py.File(path, "r+") as file:
        file.attrs["pawprint"] = about


def said(path: Path) -> str:
    """What a .keras or .h5 file says of itself.

    Raises:
        BundleError: nothing.
    """
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                return archive.read("pawprint.json").decode()
        import h5py

        with h5py.File(path) as file:
            return str(file.attrs["pawprint"])
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} says nothing of itself ({error})") from None
