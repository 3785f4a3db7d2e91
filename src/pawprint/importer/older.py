"""What older versions of Keras wrote in other words, in those of today. Imports no Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pawprint.errors import BundleError

CONTAINERS = frozenset({"Functional", "Model", "Sequential"})
_WITH_INPUT = CONTAINERS | {"InputLayer"}
# Arithmetic between layers, as in `x / 127.5`.
OPERATIONS = frozenset({"Add", "Divide", "Multiply", "Subtract", "TrueDivide"})
# Arithmetic with a number as what a Rescaling does, its scale and its offset: by the names of Keras
# 3 and of TensorFlow, whose operations Keras 2 wrote down.
_ARITHMETIC: dict[str, Callable[[float], tuple[float, float]]] = {
    "Add": lambda number: (1.0, number),
    "Divide": lambda number: (1.0 / number, 0.0),
    "Multiply": lambda number: (number, 0.0),
    "Subtract": lambda number: (1.0, -number),
}
_ARITHMETIC |= {
    "TrueDivide": _ARITHMETIC["Divide"],
    "math.truediv": _ARITHMETIC["Divide"],
    "math.divide": _ARITHMETIC["Divide"],
    "math.multiply": _ARITHMETIC["Multiply"],
    "math.add": _ARITHMETIC["Add"],
    "__operators__.add": _ARITHMETIC["Add"],
    "math.subtract": _ARITHMETIC["Subtract"],
}


def rescaling(
    given: dict[str, Any], kind: Any, config: dict[str, Any], name: Any
) -> dict[str, Any] | None:
    """Arithmetic with a number, or one for each channel, as the stock layer that does the same.

    Args:
        given: the description of a layer or operation,
        kind: its class,
        config: its settings,
        name: and its name.

    Returns:
        That of a Rescaling; None for what is no such arithmetic.

    Raises:
        BundleError: TensorFlow computes something else with the number.
    """
    function = config.get("function") if kind == "TFOpLambda" else kind
    number = number_of(given)
    if number is None or (kind != "TFOpLambda" and kind not in OPERATIONS):
        return None
    if function not in _ARITHMETIC:
        raise BundleError(
            f"layer {str(name)[:80]!r} computes {str(function)[:80]!r} of TensorFlow inside the "
            "network, which is not taken over; leave it out and state what it does with --scaling"
        )
    several = number if isinstance(number, list) else [number]
    pairs = [_ARITHMETIC[function](float(one)) for one in several]
    scale, offset = ([pair[place] for pair in pairs] for place in (0, 1))
    settings: dict[str, Any] = {"name": name, "trainable": True, "dtype": "float32"}
    if isinstance(number, list):
        settings |= {"scale": scale, "offset": offset}
    else:
        settings |= {"scale": scale[0], "offset": offset[0]}
    (call,) = given["inbound_nodes"]
    if isinstance(call, dict):
        calls: list[Any] = [{"args": call["args"][:1], "kwargs": {}}]
    else:
        first = call if isinstance(call[0], str) else call[0]
        calls = [[[*first[:3], {}]]]
    found = {**given, "class_name": "Rescaling", "config": settings, "inbound_nodes": calls}
    if "module" in given:
        found |= {"module": "keras.layers", "registered_name": None}
    found.pop("build_config", None)
    return found


def number_of(node: dict[str, Any]) -> float | list[float] | None:
    """The number, not 0, or numbers that a tensor is computed with, where that is what is done."""
    calls = node.get("inbound_nodes")
    call = calls[0] if isinstance(calls, list) and len(calls) == 1 else None
    number = None
    if isinstance(call, dict):
        args = call.get("args")
        if isinstance(args, list) and len(args) == 2 and isinstance(args[0], dict):
            number = args[1]
    elif isinstance(call, list) and call:
        first = call if isinstance(call[0], str) else call[0]
        if isinstance(first, list) and len(first) == 4 and isinstance(first[3], dict):
            number = first[3].get("y")
    several = number if isinstance(number, list) else [number]
    if not several or not all(type(one) in (int, float) and one for one in several):
        return None
    return number


def input_of(first: dict[str, Any]) -> list[dict[str, Any]]:
    """The input layer that Keras 2 wrote into a Sequential's first layer, where there is none."""
    config = first.get("config")
    shape = config.get("batch_input_shape") if isinstance(config, dict) else None
    if not shape or first.get("class_name") in _WITH_INPUT:
        return []
    settings = {"name": f"{first['config'].get('name')}_input", "batch_input_shape": shape}
    return [{"class_name": "InputLayer", "config": settings}]


def renumber(config: dict[str, Any]) -> None:
    """Let references to networks within one be to their one call, which Keras 2 numbered 1."""
    kinds = {layer["config"].get("name"): layer["class_name"] for layer in config["layers"]}
    inside = {name for name, kind in kinds.items() if kind in CONTAINERS}
    for layer in config["layers"]:
        if "inbound_nodes" in layer:
            layer["inbound_nodes"] = _called_once(layer["inbound_nodes"], inside)
    if "output_layers" in config:  # where Keras 3 knows of Functional ones
        sequential = {name for name in inside if kinds[name] == "Sequential"}
        config["output_layers"] = _called_once(config["output_layers"], sequential)


def _called_once(calls: Any, names: set[Any]) -> Any:
    if isinstance(calls, list) and len(calls) > 2 and isinstance(calls[0], str):
        return [calls[0], 0, *calls[2:]] if calls[0] in names else calls
    return [_called_once(one, names) for one in calls] if isinstance(calls, list) else calls


def as_keras(module: Any) -> Any:
    """A module of Keras 2 as it is still kept, by the name that it had."""
    return module.removeprefix("tf_") if isinstance(module, str) else module
