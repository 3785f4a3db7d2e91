"""A Keras network that may hold other networks, as one list of calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pawprint.errors import BundleError
from pawprint.importer.stock import TRAINING_ONLY
from pawprint.model.layer_graph import is_tensor, steps_of

PHOTO = -1


@dataclass(frozen=True)
class Call:
    """A layer in its place.

    Args:
        layer: of Keras.
        scope: the names of the networks that it stands in, each with a `/`.
        inputs: the numbers of the calls that give what goes in; `PHOTO` for the photo.
    """

    layer: Any
    scope: str
    inputs: tuple[int, ...]

    @property
    def kind(self) -> str:
        """The layer's class."""
        return type(self.layer).__name__


def calls_of(network: Any) -> list[Call]:
    """The layers of a network and of those within it, each after those it depends on.

    Args:
        network: a built Functional or Sequential Keras model of one input and one output.

    Returns:
        The calls; the last one answers.

    Raises:
        BundleError: it has several inputs or outputs, or calls a layer twice.
    """
    found: list[Call] = []
    if _add(network, PHOTO, "", found) != len(found) - 1:
        raise BundleError("its last layer is not what answers; save it without what is not used")
    return found


def _add(model: Any, given: int, scope: str, found: list[Call]) -> int:
    """Add a network's calls; the number of the one that answers."""
    network = getattr(model, "_functional", None) or model  # within a Sequential
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise BundleError(
            f"network {model.name!r} has {len(network.inputs)} inputs and {len(network.outputs)} "
            "outputs; only one photo in and one answer out can be imported"
        )
    numbers = {id(network.inputs[0]): given}
    try:
        steps = steps_of(network)
    except KeyError:  # of a call that leads to another of the same layer
        raise _twice("a layer") from None
    for step in steps:
        tensors = [tensor for tensor in step.inputs if is_tensor(tensor)]
        if not tensors or any(id(tensor) not in numbers for tensor in tensors):
            raise _twice(f"layer {step.name!r}")
        inputs = tuple(numbers[id(tensor)] for tensor in tensors)
        if hasattr(step.operation, "layers"):
            number = _add(step.operation, inputs[0], f"{scope}{step.name}/", found)
        else:
            number = len(found)
            found.append(Call(step.operation, scope, inputs))
        numbers[id(step.output)] = number
    return numbers[id(network.outputs[0])]


def _twice(what: str) -> BundleError:
    return BundleError(
        f"{what} is called twice or in a way that is not known; build the network with a layer for "
        "each call"
    )


@dataclass(frozen=True)
class Ending:
    """How a network answers.

    Args:
        activation: the last one: `softmax`, `sigmoid`, `linear` or another.
        dense: the number of the dense layer that answers, where there is one.
        pooled: the number of the call that gives the map which is averaged for it, where it sees
            nothing else.
    """

    activation: str
    dense: int | None
    pooled: int | None


def ending(calls: Sequence[Call]) -> Ending:
    """How a network answers, from its last calls."""
    activation, place = "linear", len(calls) - 1
    while place >= 0:
        call = calls[place]
        told = _activation(call)
        if told != "linear":
            if activation != "linear":
                break  # one upon another: what is below is no head
            activation = told
        if call.kind in ("Dense", "Conv2D") or not _passes(call) or len(call.inputs) != 1:
            break
        place = call.inputs[0]
    answering = calls[place] if place >= 0 else None
    if answering is None or answering.kind != "Dense" or len(answering.layer.output.shape) != 2:
        return Ending(activation, None, None)
    below = answering.inputs[0]
    while below >= 0 and calls[below].kind in TRAINING_ONLY:
        below = calls[below].inputs[0]
    pools = below >= 0 and calls[below].kind == "GlobalAveragePooling2D"
    pooled = calls[below].inputs[0] if pools and not calls[below].layer.keepdims else None
    return Ending(activation, place, pooled if pooled != PHOTO else None)


def _activation(call: Call) -> str:
    if call.kind == "Softmax":
        return "softmax"
    if call.kind not in ("Activation", "Dense", "Conv2D"):
        return "linear"
    function = call.layer.activation
    return str(getattr(function, "__name__", type(function).__name__)).lower()


def _passes(call: Call) -> bool:
    """Whether it leaves the values as they are, but for an activation."""
    return call.kind in TRAINING_ONLY or call.kind in (
        *("Activation", "Softmax", "Flatten", "Reshape"),
    )
