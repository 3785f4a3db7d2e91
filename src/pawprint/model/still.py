"""A part of a network with its batch normalisation at rest, folded into the convolutions.

At rest, batch normalisation multiplies each channel by one number and adds another. Multiplied into
the small kernel of the convolution below rather than into its large output, that is the same
function of the same variables, with the same gradients, and a pass over the photos' maps less in
either direction (B. Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", 2018, section 3.2).
"""

from __future__ import annotations

from inspect import signature
from typing import Any

from pawprint.model.framework import load_keras


def still(network: Any, cut: str | None = None) -> Any:
    """A Keras layer that runs a network as for predicting, also in training; its weights may train.

    Calling the network with `training=False` is not enough: `fit` overrides that (Keras issue
    20285).

    Args:
        network: a functional Keras model of one input and one output.
        cut: the name of the layer to begin after, which alone hands over to what follows; None for
            the whole network.

    Returns:
        A layer from the cut's output to the network's, sharing its weights.
    """
    begin = network.get_layer(cut).output if cut else network.inputs[0]
    steps = _steps(network, begin)

    class Still(load_keras().layers.Layer):  # type: ignore[misc]  # Keras comes late
        def __init__(self) -> None:
            super().__init__(name="still")
            self.parts = [part for step in steps for part in step if part is not None]

        def call(self, inputs: Any) -> Any:
            tensors = {id(begin): inputs}
            for layer, norm in steps:
                given = [tensors[id(source)] for source in inputs_of(layer)]
                if norm is not None:
                    tensors[id(norm.output)] = _folded(layer, norm, given[0])
                else:
                    tensors[id(layer.output)] = _at_rest(layer, given)
            return tensors[id(network.outputs[0])]

    return Still()


def inputs_of(layer: Any) -> list[Any]:
    """The tensors that go into a layer of a functional model; none into its input."""
    if type(layer).__name__ == "InputLayer":
        return []
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _steps(network: Any, begin: Any) -> list[tuple[Any, Any]]:
    """The layers above a tensor in order, a convolution with the normalisation to fold into it."""
    readers: dict[int, list[Any]] = {}
    reached, above = {id(begin)}, []
    for layer in network.layers:
        if any(id(source) in reached for source in inputs_of(layer)):
            above.append(layer)
            reached.add(id(layer.output))
        for source in inputs_of(layer):
            readers.setdefault(id(source), []).append(layer)
    folded = {id(layer): _foldable(layer, readers.get(id(layer.output), [])) for layer in above}
    gone = {id(norm) for norm in folded.values() if norm is not None}
    return [(layer, folded[id(layer)]) for layer in above if id(layer) not in gone]


def _foldable(layer: Any, readers: list[Any]) -> Any | None:
    """The batch normalisation that alone reads a linear convolution, if that is what there is."""
    if type(layer).__name__ not in ("Conv2D", "DepthwiseConv2D"):
        return None
    if layer.activation is not load_keras().activations.linear or len(readers) != 1:
        return None
    norm = readers[0]
    fits = type(norm).__name__ == "BatchNormalization" and norm.axis in (3, -1)
    return norm if fits else None


def _at_rest(layer: Any, given: list[Any]) -> Any:
    told = {"training": False} if "training" in signature(layer.call).parameters else {}
    return layer(given[0] if len(given) == 1 else given, **told)


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
