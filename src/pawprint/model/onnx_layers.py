"""Keras layers as nodes of an ONNX graph: a function for each kind of layer.

Maps have their channels first in ONNX and last in Keras. Settings that a translation does not
carry are refused, not ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import RecipeError
from pawprint.model.onnx_activations import activated

if TYPE_CHECKING:
    from pawprint.model.onnx_graph import Graph


def translate(graph: Graph, layer: Any, inputs: list[str]) -> str:
    """Add one layer to a graph and give its output's name.

    Args:
        graph: where to.
        layer: a built Keras layer, or another operation of Keras.
        inputs: names of the tensors that go in.

    Raises:
        RecipeError: a layer of a kind, or with a setting, that has no translation.
    """
    kind = type(layer).__name__
    if kind not in _LAYERS:
        raise RecipeError(
            f"layer {layer.name!r} is a {kind}, which cannot be translated; known: "
            f"{', '.join(sorted(_LAYERS))}"
        )
    return _LAYERS[kind](graph, layer, inputs)


def _expect(layer: Any, **values: Any) -> None:
    """Refuse a layer with settings that its translation does not carry."""
    for name, value in values.items():
        found = getattr(layer, name)
        if found != value:
            raise RecipeError(
                f"layer {layer.name!r} has {name} {found!r}, which cannot be translated; only "
                f"{value!r} can"
            )


def _expect_channels(layer: Any, axis: Any) -> None:
    """Refuse a layer that works along another axis than that of the channels."""
    rank = len(layer.output.shape)
    axes = [axis] if isinstance(axis, int) else list(axis)
    if [each % rank for each in axes] != [rank - 1]:
        raise RecipeError(
            f"layer {layer.name!r} works along axis {axis}, which cannot be translated; only along "
            "the last one"
        )


def _is_map(layer: Any) -> bool:
    return len(layer.output.shape) == 4


def _per_channel(graph: Graph, layer: Any, name: str, values: Any) -> str:
    """A constant with a value for each channel, in the shape that goes with the layer's output."""
    values = np.asarray(values, np.float32).reshape(-1)
    shape = (len(values), 1, 1) if _is_map(layer) else (len(values),)
    return graph.constant(f"{layer.name}/{name}", values.reshape(shape))


# Convolutions


def _padding(layer: Any, kernel_size: Sequence[int]) -> list[int]:
    """Explicit padding (top, left, bottom, right), as Keras' `same` means it."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    _expect(layer, padding="same")
    before, after = [], []
    for side, kernel, stride in zip(
        layer.input.shape[1:3], kernel_size, layer.strides, strict=True
    ):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    return before + after


def _convolution(graph: Graph, layer: Any, inputs: list[str]) -> str:
    kernel = layer.get_weights()[0].transpose(3, 2, 0, 1)
    return _convolve(graph, layer, inputs, kernel, layer.groups)


def _depthwise(graph: Graph, layer: Any, inputs: list[str]) -> str:
    kernel, channels = _by_channel(layer.get_weights()[0])
    return _convolve(graph, layer, inputs, kernel, channels)


def _by_channel(kernel: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """A depthwise kernel (h, w, channels, multiplier) in ONNX' form, and the channels."""
    height, width, channels, multiplier = kernel.shape
    first = kernel.transpose(2, 3, 0, 1)
    return first.reshape(channels * multiplier, 1, height, width), channels


def _convolve(
    graph: Graph, layer: Any, inputs: list[str], kernel: NDArray[np.float32], groups: int
) -> str:
    _expect(layer, data_format="channels_last")
    dilation = list(layer.dilation_rate)
    covered = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, dilation, strict=True)]
    operands = [*inputs, graph.constant(f"{layer.name}/kernel", kernel)]
    if layer.use_bias:
        operands.append(graph.constant(f"{layer.name}/bias", layer.get_weights()[-1]))
    dilated = {} if dilation == [1, 1] else {"dilations": dilation}
    return activated(
        graph,
        layer,
        lambda name: graph.add(
            "Conv",
            operands,
            name,
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.strides),
            pads=_padding(layer, covered),
            group=groups,
            **dilated,
        ),
    )


def _separable(graph: Graph, layer: Any, inputs: list[str]) -> str:
    _expect(layer, data_format="channels_last", dilation_rate=(1, 1))
    kernel, channels = _by_channel(layer.get_weights()[0])
    depthwise = graph.add(
        "Conv",
        [*inputs, graph.constant(f"{layer.name}/depthwise_kernel", kernel)],
        f"{layer.name}/depthwise",
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.strides),
        pads=_padding(layer, layer.kernel_size),
        group=channels,
    )
    pointwise = layer.get_weights()[1].transpose(3, 2, 0, 1)
    operands = [depthwise, graph.constant(f"{layer.name}/kernel", pointwise)]
    if layer.use_bias:
        operands.append(graph.constant(f"{layer.name}/bias", layer.get_weights()[-1]))
    return activated(
        graph, layer, lambda name: graph.add("Conv", operands, name, kernel_shape=[1, 1])
    )


def _dense(graph: Graph, layer: Any, inputs: list[str]) -> str:
    kernel, *bias = layer.get_weights()
    if _is_map(layer):  # the same at every place: a convolution of 1 x 1
        kernel = kernel.T[:, :, np.newaxis, np.newaxis]
    operands = [*inputs, graph.constant(f"{layer.name}/kernel", kernel)]
    operands += [graph.constant(f"{layer.name}/bias", values) for values in bias]
    op, more = ("Conv", {"kernel_shape": [1, 1]}) if _is_map(layer) else ("Gemm", {})
    return activated(graph, layer, lambda name: graph.add(op, operands, name, **more))


# Activations that are layers


def _activation(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return activated(graph, layer, lambda _: inputs[0])


def _relu(graph: Graph, layer: Any, inputs: list[str]) -> str:
    _expect(layer, negative_slope=0.0, threshold=0.0)
    if layer.max_value is None:
        return graph.add("Relu", inputs, layer.name)
    low = graph.constant("zero", np.float32(0.0))
    high = graph.constant(f"{layer.name}/max", np.float32(layer.max_value))
    return graph.add("Clip", [*inputs, low, high], layer.name)


# Normalisation and scaling


def _batch_norm(graph: Graph, layer: Any, inputs: list[str]) -> str:
    _expect_channels(layer, layer.axis)
    *learned, mean, variance = layer.get_weights()
    gamma = learned.pop(0) if layer.scale else np.ones_like(mean)
    beta = learned.pop(0) if layer.center else np.zeros_like(mean)
    names = ("gamma", "beta", "mean", "variance")
    constants = [
        graph.constant(f"{layer.name}/{name}", values)
        for name, values in zip(names, (gamma, beta, mean, variance), strict=True)
    ]
    return graph.add(
        "BatchNormalization", [*inputs, *constants], layer.name, epsilon=float(layer.epsilon)
    )


def _layer_norm(graph: Graph, layer: Any, inputs: list[str]) -> str:
    _expect_channels(layer, layer.axis)
    _expect(layer, scale=True, center=True, rms_scaling=False)
    gamma, beta = layer.get_weights()
    source = inputs[0]
    if _is_map(layer):
        source = graph.add("Transpose", [source], f"{layer.name}/last", perm=[0, 2, 3, 1])
    normed = graph.add(
        "LayerNormalization",
        [
            source,
            graph.constant(f"{layer.name}/gamma", gamma),
            graph.constant(f"{layer.name}/beta", beta),
        ],
        f"{layer.name}/normed" if _is_map(layer) else layer.name,
        axis=-1,
        epsilon=float(layer.epsilon),
    )
    if not _is_map(layer):
        return normed
    return graph.add("Transpose", [normed], layer.name, perm=[0, 3, 1, 2])


def _normalization(graph: Graph, layer: Any, inputs: list[str]) -> str:
    _expect_channels(layer, layer.axis)
    _expect(layer, invert=False)
    mean, variance = (np.asarray(values, np.float32) for values in (layer.mean, layer.variance))
    least = np.float32(1e-7)  # as Keras guards itself against a variance of nothing
    deviation = _per_channel(graph, layer, "deviation", np.maximum(np.sqrt(variance), least))
    centred = graph.add(
        "Sub", [*inputs, _per_channel(graph, layer, "mean", mean)], f"{layer.name}/centred"
    )
    return graph.add("Div", [centred, deviation], layer.name)


def _rescaling(graph: Graph, layer: Any, inputs: list[str]) -> str:
    scale, offset = (
        _per_channel(graph, layer, name, getattr(layer, name)) for name in ("scale", "offset")
    )
    scaled = graph.add("Mul", [*inputs, scale], f"{layer.name}/scaled")
    return graph.add("Add", [scaled, offset], layer.name)


def _layer_scale(graph: Graph, layer: Any, inputs: list[str]) -> str:
    gamma = _per_channel(graph, layer, "gamma", layer.get_weights()[0])
    return graph.add("Mul", [*inputs, gamma], layer.name)


# Pooling, and what changes a map's shape


def _pool(graph: Graph, layer: Any, inputs: list[str], op: str, **more: Any) -> str:
    _expect(layer, data_format="channels_last")
    return graph.add(
        op,
        inputs,
        layer.name,
        kernel_shape=list(layer.pool_size),
        strides=list(layer.strides),
        pads=_padding(layer, layer.pool_size),
        **more,
    )


def _max_pool(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return _pool(graph, layer, inputs, "MaxPool")


def _mean_pool(graph: Graph, layer: Any, inputs: list[str]) -> str:
    return _pool(graph, layer, inputs, "AveragePool", count_include_pad=0)  # as TensorFlow


def _global_average(graph: Graph, layer: Any, inputs: list[str]) -> str:
    if layer.keepdims:
        return graph.add("GlobalAveragePool", inputs, layer.name)
    pooled = graph.add("GlobalAveragePool", inputs, f"{layer.name}/places")
    return graph.add("Flatten", [pooled], layer.name)


def _zero_padding(graph: Graph, layer: Any, inputs: list[str]) -> str:
    (top, bottom), (left, right) = layer.padding
    pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
    return graph.add("Pad", [*inputs, graph.constant(f"{layer.name}/pads", pads)], layer.name)


def _cropping(graph: Graph, layer: Any, inputs: list[str]) -> str:
    (top, bottom), (left, right) = layer.cropping
    _, height, width, _ = layer.input.shape
    edges = {"starts": [top, left], "ends": [height - bottom, width - right], "axes": [2, 3]}
    operands = [
        graph.constant(f"{layer.name}/{name}", np.array(values, np.int64))
        for name, values in edges.items()
    ]
    return graph.add("Slice", [*inputs, *operands], layer.name)


def _flatten(graph: Graph, layer: Any, inputs: list[str]) -> str:
    # Keras' order, channels last, is what the weights above were trained with.
    last = graph.add("Transpose", inputs, f"{layer.name}/channels_last", perm=[0, 2, 3, 1])
    return graph.add("Flatten", [last], layer.name)


def _reshape(graph: Graph, layer: Any, inputs: list[str]) -> str:
    """A vector as a map, such as what squeeze and excitation multiplies with."""
    given, wanted = layer.input.shape, layer.output.shape
    if (len(given), len(wanted)) != (2, 4):
        raise RecipeError(
            f"layer {layer.name!r} reshapes {given} to {wanted}, which cannot be translated; only "
            "a vector to a map can"
        )
    shape = graph.constant(f"{layer.name}/shape", np.array([0, *wanted[1:]], np.int64))
    last = graph.add("Reshape", [*inputs, shape], f"{layer.name}/channels_last")
    return graph.add("Transpose", [last], layer.name, perm=[0, 3, 1, 2])


# What joins tensors, and what holds layers


def _joined(op: str) -> Callable[[Graph, Any, list[str]], str]:
    """Two or more tensors, or a tensor and a number, with a node for each pair."""

    def join(graph: Graph, layer: Any, inputs: list[str]) -> str:
        joined = inputs[0]
        for number, other in enumerate(inputs[1:], 2):
            name = layer.name if number == len(inputs) else f"{layer.name}/{number}"
            joined = graph.add(op, [joined, other], name)
        return joined

    return join


def _concatenate(graph: Graph, layer: Any, inputs: list[str]) -> str:
    _expect_channels(layer, layer.axis)
    return graph.add("Concat", inputs, layer.name, axis=1)


def _sequential(graph: Graph, layer: Any, inputs: list[str]) -> str:
    for inner in layer.layers:
        inputs = [translate(graph, inner, inputs)]
    return inputs[0]


def _nothing(graph: Graph, layer: Any, inputs: list[str]) -> str:
    """What acts in training only."""
    return inputs[0]


_LAYERS: dict[str, Callable[[Graph, Any, list[str]], str]] = {
    "Activation": _activation,
    "Add": _joined("Add"),
    "AveragePooling2D": _mean_pool,
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenate,
    "Conv2D": _convolution,
    "Cropping2D": _cropping,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Dropout": _nothing,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_average,
    "LayerNormalization": _layer_norm,
    "LayerScale": _layer_scale,
    "MaxPooling2D": _max_pool,
    "Multiply": _joined("Mul"),
    "Normalization": _normalization,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SeparableConv2D": _separable,
    "Sequential": _sequential,
    "StochasticDepth": _nothing,
    "ZeroPadding2D": _zero_padding,
}
