"""A part of a network with its batch normalisation at rest, folded into the convolutions.

At rest, batch normalisation multiplies each channel by one number and adds another. Multiplied into
the small kernel of the convolution below rather than into its large output, that is the same
function of the same variables, with the same gradients, and a pass over the photos' maps less in
either direction (B. Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", 2018, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.layer_graph import Step, has_weights, is_tensor


def still(backbone: Backbone, cut: str | None = None) -> Any:
    """A Keras layer that runs a network as for predicting, also in training; its weights may train.

    Calling the network with `training=False` is not enough: `fit` overrides that (Keras issue
    20285).

    Args:
        backbone: whose layers.
        cut: the name of the operation to begin after; None for the whole network.

    Returns:
        A layer from the cut's output to the network's, sharing its weights.
    """
    begin = backbone.output(cut) if cut else backbone.network.inputs[0]
    pairs = _paired(backbone.steps, begin)

    class Still(load_keras().layers.Layer):  # type: ignore[misc]  # Keras comes late
        def __init__(self) -> None:
            super().__init__(name="still")
            # Keras finds the weights of what stands in an attribute.
            self.parts = [step.operation for pair in pairs for step in pair if has_weights(step)]

        def call(self, inputs: Any) -> Any:
            tensors = {id(begin): inputs}
            for step, *norms in pairs:
                given = [tensors[id(x)] if is_tensor(x) else x for x in step.inputs]
                if norms:
                    folded = _folded(step.operation, norms[0].operation, given[0])
                    tensors[id(norms[0].output)] = folded
                else:
                    tensors[id(step.output)] = _at_rest(step.operation, given)
            return tensors[id(backbone.network.outputs[0])]

    return Still()


def _paired(steps: Sequence[Step], begin: Any) -> list[tuple[Step, ...]]:
    """The steps above a tensor in order, a convolution with the normalisation to fold into it."""
    readers: dict[int, list[Step]] = {}
    reached, above = {id(begin)}, []
    for step in steps:
        for tensor in step.tensors:
            readers.setdefault(id(tensor), []).append(step)
        if any(id(tensor) in reached for tensor in step.tensors):
            above.append(step)
            reached.add(id(step.output))
    norms = {step.name: _foldable(step, readers.get(id(step.output), [])) for step in above}
    gone = {norm.name for norm in norms.values() if norm is not None}
    pairs = [(step, norms[step.name]) for step in above if step.name not in gone]
    return [(step,) if norm is None else (step, norm) for step, norm in pairs]


def _foldable(step: Step, readers: Sequence[Step]) -> Step | None:
    """The batch normalisation that alone reads a linear convolution, if that is what there is."""
    if type(step.operation).__name__ not in ("Conv2D", "DepthwiseConv2D") or len(readers) != 1:
        return None
    norm = readers[0].operation
    linear = step.operation.activation is load_keras().activations.linear
    fits = type(norm).__name__ == "BatchNormalization" and norm.axis in (3, -1)
    return readers[0] if linear and fits else None


def _at_rest(operation: Any, given: list[Any]) -> Any:
    if not isinstance(operation, load_keras().layers.Layer):
        return operation(*given)
    told = {"training": False} if "training" in signature(operation.call).parameters else {}
    return operation(given[0] if len(given) == 1 else given, **told)


def _folded(layer: Any, norm: Any, inputs: Any) -> Any:
    """What a convolution and the normalisation after it give together."""
    ops = load_keras().ops
    scale = ops.rsqrt(norm.moving_variance + norm.epsilon)
    if norm.scale:
        scale = scale * norm.gamma
    shift = -norm.moving_mean * scale
    if norm.center:
        shift = shift + norm.beta
    if layer.use_bias:
        shift = shift + layer.bias * scale
    if type(layer).__name__ == "DepthwiseConv2D":
        kernel = layer.kernel * ops.reshape(scale, (1, 1, *layer.kernel.shape[2:]))
        convolved = ops.depthwise_conv(
            inputs, kernel, layer.strides, layer.padding, dilation_rate=layer.dilation_rate
        )
    elif layer.kernel.shape[:2] == (1, 1) and layer.strides == (1, 1) and layer.groups == 1:
        convolved = _product(inputs, (layer.kernel * scale)[0, 0])
    else:
        convolved = ops.conv(
            inputs,
            layer.kernel * scale,
            layer.strides,
            layer.padding,
            dilation_rate=layer.dilation_rate,
        )
    return convolved + shift


def _product(maps: Any, kernel: Any) -> Any:
    """A convolution of one pixel, as the one matrix product that it is: faster to differentiate."""
    ops = load_keras().ops
    height, width, channels = maps.shape[1:]
    rows = ops.matmul(ops.reshape(maps, (-1, channels)), kernel)
    return ops.reshape(rows, (-1, height, width, kernel.shape[1]))
