"""The whole classifier in the two forms that a bundle carries: a Keras model and ONNX."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.head import Head
from pawprint.model.onnx_graph import Graph

OUTPUTS = ("probabilities", "embedding", "heatmap")


def keras_classifier(backbone: Backbone, classes: int, head: Head | None = None) -> Any:
    """A Keras model from raw 0-255 RGB pixels to probabilities, scaling inside.

    Args:
        backbone: its lower part, shared with the model.
        classes: how many; two give one sigmoid unit, more a softmax.
        head: the top layer's weights; random ones otherwise.

    Returns:
        A model that takes (n, size, size, 3) and gives (n, 1) for two classes, the probability of
        the second one, or (n, classes).
    """
    keras = load_keras()
    photo = keras.Input((backbone.size, backbone.size, 3), name="photo")
    scaled = keras.layers.Rescaling(backbone.scale, backbone.offset, name="scaling")(photo)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooling")(backbone.network(scaled))
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    top = keras.layers.Dense(units, activation=activation, name="head")
    model = keras.Model(photo, top(pooled), name="pawprint")
    if head is not None:
        top.set_weights([head.kernel, head.bias])
    return model


def keras_probabilities(model: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Probabilities of every class, from a model that `keras_classifier` made.

    Args:
        model: the Keras model.
        pixels: uint8, shape (n, size, size, 3).

    Returns:
        float64, shape (n, classes).
    """
    # Not `model(pixels)`, which takes 1.4 GB of memory for 16 photos with TensorFlow.
    given = np.asarray(model.predict_on_batch(pixels.astype(np.float32)), dtype=np.float64)
    return np.hstack([1 - given, given]) if given.shape[1] == 1 else given


def onnx_classifier(backbone: Backbone, head: Head, classes: Sequence[str]) -> bytes:
    """The classifier as an ONNX network.

    Args:
        backbone: its lower part.
        head: its top layer.
        classes: names, kept in the file's metadata.

    Returns:
        The network's bytes. In: `image`, uint8 RGB (n, size, size, 3). Out, all float32:
        `probabilities` (n, classes); `embedding` (n, channels), what the head sees; `heatmap`
        (n, classes, h, w), how much each place of the photo speaks for each class (Zhou et al.,
        "Learning deep features for discriminative localization", 2016; exact for a pooled head).
    """
    graph = Graph("pawprint")
    scaled = graph.photo(backbone.size, backbone.scale, backbone.offset)
    features = graph.network(backbone, scaled, backbone.last)
    _, height, width, channels = backbone.network.output.shape
    pooled = graph.add("GlobalAveragePool", [features], "pooled")
    embedding = graph.add("Flatten", [pooled], "embedding")

    # Two classes are one logit for the second class; its negative speaks for the first.
    binary = head.kernel.shape[1] == 1
    kernel = np.hstack([-head.kernel, head.kernel]) if binary else head.kernel
    bias = np.hstack([-head.bias, head.bias]) if binary else head.bias
    weights = graph.constant("head/kernel", kernel.astype(np.float32))
    logits = graph.add("Gemm", [embedding, weights, graph.constant("head/bias", bias)], "logits")
    graph.add("Sigmoid" if binary else "Softmax", [logits], "probabilities")
    per_place = graph.constant("heatmap/kernel", kernel.T[:, :, np.newaxis, np.newaxis])
    graph.add("Conv", [features, per_place], "heatmap", kernel_shape=[1, 1])

    graph.output("probabilities", ["n", len(classes)])
    graph.output("embedding", ["n", channels])
    graph.output("heatmap", ["n", len(classes), height, width])
    return graph.to_bytes({"classes": json.dumps(list(classes), ensure_ascii=False)})
