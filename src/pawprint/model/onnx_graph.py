"""A Keras network as an ONNX graph, layer by layer.

This one graph is what the prefix is compiled from and what the bundle ships, so features and
answers cannot come from different networks. Layers are translated one to one; folding is left to
the engines. Why not Keras' own exporter: docs/design.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import MissingExtra, RecipeError
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    raise MissingExtra("training", "onnx", "train") from None

# Bumped whenever the same network would be translated otherwise, so that cached features go.
VERSION = 1
OPSET = 17
IR_VERSION = 8  # what runtimes of the last three years read


class Graph:
    """An ONNX graph under construction."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self.tensors: dict[str, str] = {}  # by layer of a network, what it gives

    def photo(self, size: int, scale: float, offset: float) -> str:
        """Add the input `image`, uint8 (n, size, size, 3), and give its scaled (n, 3, h, w)."""
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", size, size, 3])
        self._inputs.append(image)
        pixels = self.add("Cast", ["image"], "pixels", to=TensorProto.FLOAT)
        scaled = self.add("Mul", [pixels, self.constant("scale", np.float32(scale))], "times")
        scaled = self.add("Add", [scaled, self.constant("offset", np.float32(offset))], "scaled")
        return self.add("Transpose", [scaled], "channels_first", perm=[0, 3, 1, 2])

    def constant(self, name: str, values: NDArray[Any] | np.float32) -> str:
        """Add a constant under its name."""
        self._constants[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node and give its output's name."""
        self._nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def output(self, name: str, shape: Sequence[int | str]) -> None:
        """Make a tensor an output of the graph."""
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def to_bytes(self, metadata: dict[str, str] | None = None) -> bytes:
        """Check the graph and serialise it."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._constants.values())
        )
        model = helper.make_model(
            graph,
            producer_name="pawprint",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        helper.set_model_props(model, metadata or {})
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

    def network(self, backbone: Backbone, source: str, cut: str) -> str:
        """Add a backbone's layers up to and with the layer named `cut`.

        Args:
            backbone: whose layers.
            source: the tensor that goes in, scaled, channels first.
            cut: the layer to stop after.

        Returns:
            The name of the cut's output, channels first.

        Raises:
            RecipeError: a layer of a kind that has no translation.
        """
        tensors: dict[int, str] = {id(backbone.network.inputs[0]): source}
        for layer in layers_up_to(backbone.network, cut):
            inputs = layer.input if isinstance(layer.input, list) else [layer.input]
            names = [tensors[id(tensor)] for tensor in inputs]
            self.tensors[layer.name] = self.layer(layer, *names)
            tensors[id(layer.output)] = self.tensors[layer.name]
        return tensors[id(backbone.network.get_layer(cut).output)]

    def layer(self, layer: Any, *sources: str) -> str:
        """Add one layer and give its output's name.

        Args:
            layer: a built Keras layer.
            sources: the tensors that go in; maps with channels first, or vectors.

        Raises:
            RecipeError: a layer of a kind that has no translation.
        """
        kind = type(layer).__name__
        if kind not in _LAYERS:
            raise RecipeError(
                f"layer {layer.name!r} is a {kind}, which cannot be translated; known: "
                f"{', '.join(sorted(_LAYERS))}"
            )
        return _LAYERS[kind](self, layer, list(sources))


def layers_up_to(network: Any, cut: str) -> list[Any]:
    """The layers of a Keras network that one depends on and itself, in order, without the input."""
    wanted = {id(network.get_layer(cut).output)}
    chosen = []
    for layer in reversed(network.layers[1:]):
        if id(layer.output) in wanted:
            chosen.append(layer)
            inputs = layer.input if isinstance(layer.input, list) else [layer.input]
            wanted.update(id(tensor) for tensor in inputs)
    return chosen[::-1]


def _padding(layer: Any) -> list[int]:
    """Explicit padding (top, left, bottom, right) of a convolution, as Keras' `same` means it."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    before, after = [], []
    for side, kernel, stride in zip(
        layer.input.shape[1:3], layer.kernel_size, layer.strides, strict=True
    ):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    return before + after


def _expect(layer: Any, **values: Any) -> None:
    """Refuse a layer with settings that its translation does not carry."""
    for name, value in values.items():
        found = getattr(layer, name)
        if found != value:
            raise RecipeError(
                f"layer {layer.name!r} has {name} {found!r}, which cannot be translated; only "
                f"{value!r} can"
            )


def _convolution(graph: Graph, layer: Any, inputs: list[str]) -> str:
    _expect(layer, groups=1)
    return _convolve(graph, layer, inputs, layer.get_weights()[0].transpose(3, 2, 0, 1), 1)


def _depthwise(graph: Graph, layer: Any, inputs: list[str]) -> str:
    kernel = layer.get_weights()[0]  # (h, w, channels, multiplier)
    height, width, channels, multiplier = kernel.shape
    kernel = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return _convolve(graph, layer, inputs, kernel, channels)


def _convolve(
    graph: Graph, layer: Any, inputs: list[str], kernel: NDArray[np.float32], groups: int
) -> str:
    linear = load_keras().activations.linear
    _expect(layer, activation=linear, dilation_rate=(1, 1), data_format="channels_last")
    operands = [*inputs, graph.constant(f"{layer.name}/kernel", kernel)]
    if layer.use_bias:
        operands.append(graph.constant(f"{layer.name}/bias", layer.get_weights()[1]))
    return graph.add(
        "Conv",
        operands,
        layer.name,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.strides),
        pads=_padding(layer),
        group=groups,
    )


def _batch_norm(graph: Graph, layer: Any, inputs: list[str]) -> str:
    _expect(layer, scale=True, center=True)
    names = ("gamma", "beta", "mean", "variance")
    constants = [
        graph.constant(f"{layer.name}/{name}", values)
        for name, values in zip(names, layer.get_weights(), strict=True)
    ]
    return graph.add(
        "BatchNormalization", [*inputs, *constants], layer.name, epsilon=float(layer.epsilon)
    )


def _relu(graph: Graph, layer: Any, inputs: list[str]) -> str:
    _expect(layer, negative_slope=0.0, threshold=0.0)
    if layer.max_value is None:
        return graph.add("Relu", inputs, layer.name)
    low = graph.constant("zero", np.float32(0.0))
    high = graph.constant(f"{layer.name}/max", np.float32(layer.max_value))
    return graph.add("Clip", [*inputs, low, high], layer.name)


def _zero_padding(graph: Graph, layer: Any, inputs: list[str]) -> str:
    (top, bottom), (left, right) = layer.padding
    pads = np.array([0, 0, top, left, 0, 0, bottom, right], dtype=np.int64)
    return graph.add("Pad", [*inputs, graph.constant(f"{layer.name}/pads", pads)], layer.name)


def _sum(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return graph.add("Add", inputs, layer.name)


def _average_pool(graph: Graph, layer: Any, inputs: list[str]) -> str:
    _expect(layer, keepdims=False)
    pooled = graph.add("GlobalAveragePool", inputs, f"{layer.name}/places")
    return graph.add("Flatten", [pooled], layer.name)


def _flatten(graph: Graph, layer: Any, inputs: list[str]) -> str:
    # Keras' order, channels last, is what the weights above were trained with.
    last = graph.add("Transpose", inputs, f"{layer.name}/channels_last", perm=[0, 2, 3, 1])
    return graph.add("Flatten", [last], layer.name)


def _dense(graph: Graph, layer: Any, inputs: list[str]) -> str:
    activations = load_keras().activations
    if layer.activation not in (activations.relu, activations.linear):
        raise RecipeError(f"layer {layer.name!r}: only relu and linear can be translated")
    kernel, bias = layer.get_weights()
    operands = [
        *inputs,
        graph.constant(f"{layer.name}/kernel", kernel),
        graph.constant(f"{layer.name}/bias", bias),
    ]
    if layer.activation is activations.linear:
        return graph.add("Gemm", operands, layer.name)
    return graph.add("Relu", [graph.add("Gemm", operands, f"{layer.name}/logits")], layer.name)


def _nothing(graph: Graph, layer: Any, inputs: list[str]) -> str:
    """What acts in training only."""
    return inputs[0]


_LAYERS: dict[str, Callable[[Graph, Any, list[str]], str]] = {
    "Add": _sum,
    "BatchNormalization": _batch_norm,
    "Conv2D": _convolution,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Dropout": _nothing,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _average_pool,
    "ReLU": _relu,
    "ZeroPadding2D": _zero_padding,
}
