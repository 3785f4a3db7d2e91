"""A bundle's network as one ONNX file that answers as the bundle does.

`model.onnx` of the bundle gives what its network makes of one photo; the Classifier then averages
with the mirror image and applies the temperature. Here these are nodes of the graph.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.classifier import SMALLEST
from pawprint.errors import MissingExtra
from pawprint.export.stated import INPUT, NOVELTY, OUTPUT, Stated

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    raise MissingExtra("an export", "onnx", "export") from None

_PLAIN = "network/"  # before the names of what the network gives, where more is done with it
# Not quantised: what scales the pixels, and what makes the answer of the last layer's output.
_EXACT = ("pixels", "times", "scaled", OUTPUT, "answer/")
_LEAST_HALF = 64  # values of a constant: smaller ones stay float32


def network(onnx_bytes: bytes, about: Stated) -> bytes:
    """Make the whole answer of a bundle's network.

    Args:
        onnx_bytes: the bundle's `model.onnx`.
        about: what the export says of itself; goes into the file's metadata.

    Returns:
        A network: `image`, uint8 RGB (n, size, size, 3), to `probabilities`, float32 (n, classes),
        and where it can tell `novelty`, float32 (n, 1).
    """
    outputs = list(about.outputs)
    part = onnx.utils.Extractor(onnx.load_from_string(onnx_bytes))
    model = part.extract_model([INPUT], outputs)
    if about.mirror or about.temperature != 1.0:
        _answer(model.graph, about)
    return _finished(model, about)


def _finished(model: Any, about: Stated) -> bytes:
    """Serialise with what it says of itself."""
    classes = list(about.classes)
    for name, shape in {**about.inputs, **about.outputs}.items():
        (value,) = (v for v in (*model.graph.input, *model.graph.output) if v.name == name)
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(name, kind, shape["shape"]))
    model.producer_name, model.producer_version = "pawprint", about.pawprint
    props = {"pawprint": about.model_dump_json()}
    if not any("," in label for label in classes):
        props["labels"] = ",".join(classes)
    helper.set_model_props(model, props)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _answer(graph: Any, about: Stated) -> None:
    """Add the mean with the mirror image, and the temperature."""
    add = _Adding(graph)
    given = {name: _PLAIN + name for name in about.outputs}
    _rename(graph, given)
    if about.mirror:
        _rename(graph, {INPUT: "answer/both"})
        side = about.preprocessing.size
        photos = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["n", side, side, 3])
        graph.input[0].CopyFrom(photos)
        from_end = [add.whole([value]) for value in (-1, -(2**31), 2, -1)]  # start, end, axis, step
        turned = add("Slice", [INPUT, *from_end], "answer/mirrored")
        add("Concat", [INPUT, turned], "answer/both", axis=0)
        for name, tensor in given.items():
            pairs = add.whole([2, -1, about.outputs[name]["shape"][1]])
            given[name] = add("Reshape", [tensor, pairs], f"answer/{name}/pairs")
        given[OUTPUT] = add("ReduceMean", [given[OUTPUT]], "answer/mean", axes=[0], keepdims=0)
        if NOVELTY in given:
            given[NOVELTY] = add("Gather", [given[NOVELTY], add.whole(0)], "answer/first", axis=0)
    if about.temperature != 1.0:
        least, most = add.number(SMALLEST), add.number(1.0)
        clipped = add("Clip", [given[OUTPUT], least, most], "answer/clipped")
        highest = add("ReduceMax", [clipped], "answer/highest", axes=[1], keepdims=1)
        ratio = add("Div", [clipped, highest], "answer/ratio")
        powers = add("Pow", [ratio, add.number(1 / about.temperature)], "answer/powers")
        total = add("ReduceSum", [powers, add.whole([1])], "answer/total", keepdims=1)
        given[OUTPUT] = add("Div", [powers, total], "answer/tempered")
    _rename(graph, {tensor: name for name, tensor in given.items()})
    _sort(graph)


class _Adding:
    """Adds nodes and constants to a graph."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def __call__(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        node = helper.make_node(op, list(inputs), [output], name=f"answer/{output}", **attributes)
        self._graph.node.append(node)
        return output

    def number(self, value: float) -> str:
        return self._constant(np.float32(value))

    def whole(self, value: Any) -> str:
        return self._constant(np.asarray(value, np.int64))

    def _constant(self, value: Any) -> str:
        name = f"answer/constant/{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Give tensors other names wherever nodes name them."""
    for node in graph.node:
        for places in (node.input, node.output):
            for index, name in enumerate(places):
                places[index] = names.get(name, name)


def _sort(graph: Any) -> None:
    """Bring the nodes into an order in which each finds its inputs made."""
    made = {INPUT, "", *(value.name for value in graph.initializer)}
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if made.issuperset(node.input)]
        made |= {name for node in ready for name in node.output}
        ordered += ready
        waiting = [node for node in waiting if not made.issuperset(node.output)]
    del graph.node[:]
    graph.node.extend(ordered)


def halved(onnx_bytes: bytes) -> bytes:
    """Keep the weights in half the bytes: float16, computed with in float32.

    Args:
        onnx_bytes: a network of float32.

    Returns:
        The network; runtimes bring the weights back to float32 when they open it.
    """
    model = onnx.load_from_string(onnx_bytes)
    kept, casts = [], []
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype != np.float32 or values.size < _LEAST_HALF:
            kept.append(constant)
            continue
        small = f"{constant.name}/float16"
        limit = np.finfo(np.float16).max
        kept.append(
            numpy_helper.from_array(np.clip(values, -limit, limit).astype(np.float16), small)
        )
        cast = helper.make_node("Cast", [small], [constant.name], to=TensorProto.FLOAT)
        casts.append(cast)
    nodes = [*casts, *model.graph.node]
    for field, values in ((model.graph.initializer, kept), (model.graph.node, nodes)):
        del field[:]
        field.extend(values)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def quantized(onnx_bytes: bytes, calibration: NDArray[np.uint8], about: Stated) -> bytes:
    """Bring a network to 8 bits, its ranges taken from photos.

    By ONNX Runtime's static quantisation: a scale for each channel of a weight, activations of 8
    bits without sign. What else was tried is in benchmarks/RESULTS.md.

    Args:
        onnx_bytes: a network of float32.
        calibration: uint8, shape (n, size, size, 3), photos of the kind that it will see.
        about: what the export says of itself.

    Returns:
        The network.
    """
    try:
        import onnxruntime
        from onnxruntime import quantization
    except ImportError as error:
        raise MissingExtra("an export to int8", error.name, "export") from None

    class Photos(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._photos: Iterator[NDArray[np.uint8]] = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            photo = next(self._photos, None)
            return None if photo is None else {INPUT: photo[np.newaxis]}

    with tempfile.TemporaryDirectory(prefix="pawprint-") as place:
        folded, small = Path(place, "folded.onnx"), Path(place, "small.onnx")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # it remarks that the file is for one machine; basic is not
        # Batch normalisation goes into the convolutions: what is left is what is to be quantised.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
        nodes = [node.name for node in onnx.load(folded).graph.node]
        logging.disable(logging.WARNING)  # it asks for a preparation that this is
        try:
            quantization.quantize_static(
                folded,
                small,
                Photos(),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                nodes_to_exclude=[name for name in nodes if name.startswith(_EXACT)],
            )
        finally:
            logging.disable(logging.NOTSET)
        return _finished(onnx.load(small), about)
