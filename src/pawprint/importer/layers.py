"""Layers that only imported networks have, as nodes of an ONNX graph.

The others are translated as those of pawprint's own networks (`model/onnx_layers.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pawprint.errors import BundleError, RecipeError
from pawprint.importer.stock import TRAINING_ONLY
from pawprint.model.onnx_graph import Graph


class Scoped:
    """A graph in which every new name begins with a prefix, so that networks within do not clash.

    Args:
        graph: where to.
        prefix: of names.
    """

    def __init__(self, graph: Graph, prefix: str) -> None:
        self._graph, self._prefix = graph, prefix

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node and give its output's name."""
        return self._graph.add(op, inputs, self._prefix + output, **attributes)

    def constant(self, name: str, values: Any) -> str:
        """Add a constant and give its name."""
        return self._graph.constant(self._prefix + name, values)

    def number(self, value: float) -> str:
        """Add a plain number as a constant."""
        return self._graph.number(value)


def translate(graph: Graph, layer: Any, scope: str, sources: Sequence[str]) -> str:
    """Add a layer to a graph and give its output's name.

    Args:
        graph: where to.
        layer: a built Keras layer.
        scope: what its names begin with.
        sources: names of the tensors that go in.

    Raises:
        BundleError: a layer of a kind, or with a setting, that has no translation.
    """
    kind = type(layer).__name__
    inside: Any = Scoped(graph, scope)
    if kind in TRAINING_ONLY:
        return sources[0]
    rank = None if kind in ("Flatten", "Reshape") else len(layer.output.shape)
    if rank is not None and None in layer.output.shape[1:]:
        raise BundleError(
            f"layer {layer.name!r} gives maps whose size the file does not tell; save the network "
            "with a fixed size of photos"
        )
    try:
        if kind in _LAYERS:
            return _LAYERS[kind](inside, layer, list(sources))
        return Graph.layer(inside, layer, *sources)
    except RecipeError as error:
        raise BundleError(
            f"{error}; build the network without it, or train one with pawprint train"
        ) from None


def _softmax(graph: Any, layer: Any, sources: list[str]) -> str:
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    rank = len(layer.output.shape)
    if [axis % rank for axis in axes] != [rank - 1]:
        raise RecipeError(f"layer {layer.name!r} works along axis {layer.axis}")
    return str(graph.add("Softmax", sources, layer.name, axis=1))


def _leaky_relu(graph: Any, layer: Any, sources: list[str]) -> str:
    slope = float(layer.negative_slope)
    return str(graph.add("LeakyRelu", sources, layer.name, alpha=slope))


def _elu(graph: Any, layer: Any, sources: list[str]) -> str:
    return str(graph.add("Elu", sources, layer.name, alpha=float(layer.alpha)))


def _relu(graph: Any, layer: Any, sources: list[str]) -> str:
    slope = float(layer.negative_slope)
    if not slope:
        return Graph.layer(graph, layer, *sources)
    if layer.max_value is not None or layer.threshold:
        raise RecipeError(
            f"layer {layer.name!r} has negative_slope together with max_value or threshold, which "
            "cannot be translated"
        )
    return str(graph.add("LeakyRelu", sources, layer.name, alpha=slope))


def _global_max(graph: Any, layer: Any, sources: list[str]) -> str:
    if layer.data_format != "channels_last":
        raise RecipeError(f"layer {layer.name!r} has its channels first")
    pooled = graph.add("GlobalMaxPool", sources, f"{layer.name}/places")
    if layer.keepdims:
        return str(pooled)
    return str(graph.add("Flatten", [pooled], layer.name))


def _reshape(graph: Any, layer: Any, sources: list[str]) -> str:
    """Values in another shape, in the order that Keras has them in: channels last."""
    given, wanted = layer.input.shape, layer.output.shape
    if not {len(given), len(wanted)} <= {2, 4} or None in (*given[1:], *wanted[1:]):
        raise RecipeError(
            f"layer {layer.name!r} makes {wanted} of {given}, which cannot be translated; only "
            "vectors and maps can"
        )
    found = sources[0]
    if len(given) == 4:
        found = graph.add("Transpose", [found], f"{layer.name}/last", perm=[0, 2, 3, 1])
    shape = graph.constant(f"{layer.name}/shape", np.array([0, *wanted[1:]], np.int64))
    if len(wanted) == 2:
        return str(graph.add("Reshape", [found, shape], layer.name))
    found = graph.add("Reshape", [found, shape], f"{layer.name}/channels_last")
    return str(graph.add("Transpose", [found], layer.name, perm=[0, 3, 1, 2]))


def _joined(op: str) -> Callable[[Any, Any, list[str]], str]:
    def join(graph: Any, layer: Any, sources: list[str]) -> str:
        shapes = {tuple(tensor.shape) for tensor in _list(layer.input)}
        if len(shapes) != 1 or len(sources) < 2:
            raise RecipeError(
                f"layer {layer.name!r} joins tensors of different shapes, which cannot be "
                "translated"
            )
        return str(graph.add(op, sources, layer.name))

    return join


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


_LAYERS: dict[str, Callable[[Any, Any, list[str]], str]] = {
    "Average": _joined("Mean"),
    "ELU": _elu,
    "Flatten": _reshape,
    "GlobalMaxPooling2D": _global_max,
    "LeakyReLU": _leaky_relu,
    "Maximum": _joined("Max"),
    "Minimum": _joined("Min"),
    "ReLU": _relu,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Subtract": _joined("Sub"),
}
