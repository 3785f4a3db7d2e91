"""A Keras network as an ONNX graph, layer by layer.

This one graph is what the prefix is compiled from and what the bundle ships, so features and
answers cannot come from different networks. Layers are translated one to one (`onnx_layers.py`);
folding is left to the engines. Why not Keras' own exporter: docs/design.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import MissingExtra
from pawprint.model import onnx_layers
from pawprint.model.backbones import Backbone, Scale
from pawprint.model.layer_graph import is_tensor, steps_up_to

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

    def photo(self, size: int, scale: Scale, offset: Scale) -> str:
        """Add the input `image`, uint8 (n, size, size, 3), and give its scaled (n, 3, h, w)."""
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", size, size, 3])
        self._inputs.append(image)
        pixels = self.add("Cast", ["image"], "pixels", to=TensorProto.FLOAT)
        scaled = self.add(
            "Mul", [pixels, self.constant("scale", np.asarray(scale, np.float32))], "times"
        )
        scaled = self.add(
            "Add", [scaled, self.constant("offset", np.asarray(offset, np.float32))], "scaled"
        )
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
        for step in steps_up_to(backbone.steps, cut):
            inputs = [tensors[id(x)] if is_tensor(x) else self.number(x) for x in step.inputs]
            self.tensors[step.name] = self.layer(step.operation, *inputs)
            tensors[id(step.output)] = self.tensors[step.name]
        return self.tensors[cut]

    def number(self, value: float) -> str:
        """Add a plain number as a constant, once."""
        return self.constant(f"number {value!r}", np.float32(value))

    def layer(self, layer: Any, *sources: str) -> str:
        """Add one layer and give its output's name.

        Args:
            layer: a built Keras layer, or another operation of Keras.
            sources: the tensors that go in; maps with channels first, or vectors.

        Raises:
            RecipeError: a layer of a kind, or with a setting, that has no translation.
        """
        return onnx_layers.translate(self, layer, list(sources))
