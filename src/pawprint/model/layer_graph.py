"""A Keras network as the graph of its operations: in order, with what goes in and what comes out.

Its `layers` do not tell all: `x + 3.0` in a network is an operation and no layer, and the `output`
of a nested model is a tensor of that model, not of the network it stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pawprint.model.framework import load_keras


@dataclass(frozen=True)
class Step:
    """An operation of a network, in its place.

    Args:
        operation: of Keras; most are layers.
        inputs: what it is called with: tensors of the graph, and plain numbers.
        output: the tensor it gives.
    """

    operation: Any
    inputs: tuple[Any, ...]
    output: Any

    @property
    def name(self) -> str:
        """The operation's name, unique in the network."""
        return str(self.operation.name)

    @property
    def tensors(self) -> tuple[Any, ...]:
        """Those of its inputs that are tensors."""
        return tuple(given for given in self.inputs if is_tensor(given))


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of a Keras graph."""
    return isinstance(value, load_keras().KerasTensor)


def has_weights(step: Step) -> bool:
    """Whether an operation is a layer that has weights."""
    return bool(getattr(step.operation, "weights", ()))


def steps_of(network: Any) -> tuple[Step, ...]:
    """The operations of a functional network but its input, each after those it depends on.

    Args:
        network: a Keras model that calls each of its layers once.
    """
    calls: dict[int, Any] = {}
    waiting = list(network.outputs)
    while waiting:
        operation, node, _ = waiting.pop()._keras_history
        if id(operation) not in calls:
            calls[id(operation)] = call = operation._inbound_nodes[node]
            waiting += call.input_tensors
    found = [(operation, calls[id(operation)]) for operation in network.operations]
    flatten = load_keras().tree.flatten
    return tuple(
        Step(operation, tuple(flatten(call.arguments.args)), call.output_tensors[0])
        for operation, call in found
        if call.input_tensors
    )


def steps_up_to(steps: Sequence[Step], name: str) -> list[Step]:
    """The steps that one depends on and itself, in order.

    Args:
        steps: of a network.
        name: of the last one wanted.
    """
    wanted = {id(step.output) for step in steps if step.name == name}
    chosen = []
    for step in reversed(steps):
        if id(step.output) in wanted:
            chosen.append(step)
            wanted.update(id(tensor) for tensor in step.tensors)
    return chosen[::-1]


def cut_points(steps: Sequence[Step]) -> list[int]:
    """The places of the steps after which one map alone is handed over to what follows.

    Args:
        steps: of a network.

    Returns:
        Their numbers in `steps`; the last step is among them.
    """
    place = {id(step.output): number for number, step in enumerate(steps)}
    last_use: dict[int, int] = {}
    for number, step in enumerate(steps):
        for tensor in step.tensors:
            last_use[place.get(id(tensor), -1)] = number
    cuts, needed_until = [], last_use[-1]
    for number, step in enumerate(steps):
        if needed_until <= number and len(step.output.shape) == 4:
            cuts.append(number)
        needed_until = max(needed_until, last_use.get(number, number))
    return cuts
