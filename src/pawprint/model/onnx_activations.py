"""Keras' activation functions as nodes of an ONNX graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pawprint.errors import RecipeError

if TYPE_CHECKING:
    from pawprint.model.onnx_graph import Graph


def activated(graph: Graph, layer: Any, add: Callable[[str], str]) -> str:
    """Add a layer's own node, then its activation, so that the last of them has the layer's name.

    Args:
        graph: where to.
        layer: a Keras layer with an `activation`.
        add: adds the layer's own node under a name, and gives its output.

    Returns:
        The output's name.

    Raises:
        RecipeError: the activation has no translation.
    """
    name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
    if name == "linear":
        return add(layer.name)
    if name not in _ACTIVATIONS:
        raise RecipeError(
            f"layer {layer.name!r} has the activation {name}, which cannot be translated; known: "
            f"linear, {', '.join(_ACTIVATIONS)}"
        )
    return _ACTIVATIONS[name](graph, add(f"{layer.name}/before"), layer.name)


def _silu(graph: Graph, source: str, name: str) -> str:
    return graph.add("Mul", [source, graph.add("Sigmoid", [source], f"{name}/gate")], name)


def _relu6(graph: Graph, source: str, name: str) -> str:
    return graph.add("Clip", [source, graph.number(0.0), graph.number(6.0)], name)


def _hard_sigmoid(graph: Graph, source: str, name: str) -> str:
    return graph.add("HardSigmoid", [source], name, alpha=1 / 6, beta=0.5)


def _gelu(graph: Graph, source: str, name: str) -> str:
    """Half of x times 1 + erf(x / root of 2): operations of this version have no Gelu."""
    scaled = graph.add("Div", [source, graph.number(math.sqrt(2))], f"{name}/scaled")
    erf = graph.add("Erf", [scaled], f"{name}/erf")
    gate = graph.add("Add", [erf, graph.number(1.0)], f"{name}/gate")
    gated = graph.add("Mul", [source, gate], f"{name}/gated")
    return graph.add("Mul", [gated, graph.number(0.5)], name)


# By the names of Keras' functions.
_ACTIVATIONS: dict[str, Callable[[Graph, str, str], str]] = {
    "relu": lambda graph, source, name: graph.add("Relu", [source], name),
    "relu6": _relu6,
    "sigmoid": lambda graph, source, name: graph.add("Sigmoid", [source], name),
    "hard_sigmoid": _hard_sigmoid,
    "silu": _silu,
    "hard_silu": lambda graph, source, name: graph.add("HardSwish", [source], name),
    "gelu": _gelu,
    "elu": lambda graph, source, name: graph.add("Elu", [source], name),
    "softplus": lambda graph, source, name: graph.add("Softplus", [source], name),
    "tanh": lambda graph, source, name: graph.add("Tanh", [source], name),
    # Over the channels, which maps have where vectors have their values.
    "softmax": lambda graph, source, name: graph.add("Softmax", [source], name, axis=1),
}
