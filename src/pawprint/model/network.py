"""The whole classifier: a backbone and a head in Keras, and what a bundle carries of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.head import Head
from pawprint.model.head_layers import HeadLayer, build_head
from pawprint.model.novelty import Novelty
from pawprint.model.onnx_graph import Graph
from pawprint.model.still import still
from pawprint.model.suffix import suffix_model

TAKEN = 512  # photos whose features are in memory at once when only predicting
_PREDICT = 64  # photos a batch then


@dataclass(frozen=True)
class Network:
    """A backbone with the layers of a head on it; models made of them share their weights.

    Args:
        backbone: the lower part.
        head: Keras layers, built; the first makes a vector of the map, the last answers.
    """

    backbone: Backbone
    head: tuple[Any, ...]

    @property
    def pools(self) -> bool:
        """Whether the head begins with average pooling."""
        return type(self.head[0]).__name__ == "GlobalAveragePooling2D"

    @property
    def is_linear(self) -> bool:
        """Whether the answering layer sees averaged channels as they are."""
        return self.pools and all(type(la).__name__ == "Dropout" for la in self.head[1:-1])

    @property
    def top(self) -> Any:
        """The layer that answers."""
        return self.head[-1]

    @property
    def variables(self) -> list[Any]:
        """Every variable of it, those of random generators too, in a fixed order."""
        return [v for part in (self.backbone.network, *self.head) for v in part.variables]

    def set_top(self, head: Head) -> None:
        """Give the answering layer weights that were fitted outside Keras."""
        self.top.set_weights([head.kernel, head.bias])


def build(backbone: Backbone, layers: Sequence[HeadLayer], classes: int) -> Network:
    """Put a new head on a backbone.

    Args:
        backbone: the lower part.
        layers: what stands between it and the answering layer.
        classes: how many; two give one sigmoid unit, more a softmax.

    Returns:
        The network, its head with random weights (of Keras' seed).
    """
    head = build_head(layers, classes)
    tensor = load_keras().Input(backbone.network.output.shape[1:])
    for layer in head:
        tensor = layer(tensor)
    return Network(backbone, tuple(head))


def whole_model(network: Network) -> Any:
    """A Keras model from raw 0-255 RGB pixels to probabilities, scaling inside.

    Args:
        network: whose weights it shares.

    Returns:
        A model that takes (n, size, size, 3) and gives (n, 1) for two classes, the probability of
        the second one, or (n, classes).
    """
    photo, tensor = _scaled(network.backbone)
    tensor = network.backbone.network(tensor)
    return load_keras().Model(photo, _answer(network.head, tensor), name="pawprint")


def upper_model(
    network: Network,
    cut: str | None,
    *,
    batch_norm_moves: bool = False,
    to_embedding: bool = False,
) -> Any:
    """A Keras model from the features after a cut to probabilities; to be trained, not saved.

    Args:
        network: whose weights it shares.
        cut: the layer below; after the backbone's last one, features are pooled where the head
            pools. None for all of it, from raw pixels.
        batch_norm_moves: let the backbone's batch normalisation follow the photos in training.
        to_embedding: end with what the answering layer sees.

    Returns:
        A model that gives what `whole_model` gives, or embeddings, (n, features).
    """
    keras = load_keras()
    backbone, head = network.backbone, network.head[:-1] if to_embedding else network.head
    if cut is None:
        features, tensor = _scaled(backbone)
    else:
        shape = backbone.output(cut).shape[1:]
        if cut == backbone.last:
            pooled = network.pools
            features = keras.Input(shape[-1:] if pooled else shape, name="features")
            return keras.Model(features, _answer(head[pooled:], features))
        features = tensor = keras.Input(shape, name="features")
    if not batch_norm_moves:
        suffix = still(backbone, cut)
    else:
        suffix = suffix_model(backbone, cut) if cut else backbone.network
    return keras.Model(features, _answer(head, suffix(tensor)))


def _scaled(backbone: Backbone) -> tuple[Any, Any]:
    """The input for photos, and what the backbone takes."""
    keras = load_keras()
    photo = keras.Input((backbone.size, backbone.size, 3), name="photo")
    return photo, keras.layers.Rescaling(backbone.scale, backbone.offset, name="scaling")(photo)


def _answer(layers: Sequence[Any], tensor: Any) -> Any:
    for layer in layers:
        tensor = layer(tensor)
    return tensor


def probabilities(model: Any, inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of every class, from a model that was made here.

    Args:
        model: the Keras model.
        inputs: raw pixels or features, n of them.

    Returns:
        float64, shape (n, classes).
    """
    given = outputs(model, inputs).astype(np.float64)
    return np.hstack([1 - given, given]) if given.shape[1] == 1 else given


def outputs(model: Any, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """What a model that was made here gives, a batch at a time.

    Args:
        model: the Keras model.
        inputs: raw pixels or features, n of them.

    Returns:
        float32, shape (n, units).
    """
    parts = []
    for start in range(0, len(inputs), _PREDICT):
        part = inputs[start : start + _PREDICT].astype(np.float32)
        # The last batch is filled up: a batch of another size would be traced anew.
        short = min(_PREDICT, len(inputs)) - len(part)
        padded = np.concatenate([part, np.zeros((short, *part.shape[1:]), np.float32)])
        # Not `model(padded)`, which takes 1.4 GB of memory for 16 photos with TensorFlow.
        parts.append(np.asarray(model.predict_on_batch(padded))[: len(part)])
    return np.vstack(parts)


def to_onnx(network: Network, classes: Sequence[str], novelty: Novelty | None = None) -> bytes:
    """The classifier as an ONNX network.

    Args:
        network: the classifier.
        classes: names, kept in the file's metadata.
        novelty: what tells photos that are unlike those trained on.

    Returns:
        The network's bytes. In: `image`, uint8 RGB (n, size, size, 3). Out, all float32:
        `probabilities` (n, classes); `embedding` (n, features), what the answering layer sees;
        with a novelty, `novelty` (n, 1); and where that layer sits on averaged channels, `heatmap`
        (n, classes, h, w), how much each place of the photo speaks for each class (Zhou et al.,
        "Learning deep features for discriminative localization", 2016; exact for such a head).
    """
    graph, backbone = Graph("pawprint"), network.backbone
    scaled = graph.photo(backbone.size, backbone.scale, backbone.offset)
    features = graph.network(backbone, scaled, backbone.last)
    tensor = features
    for layer in network.head[:-1]:
        tensor = graph.layer(layer, tensor)
    embedding = graph.add("Identity", [tensor], "embedding")

    # Two classes are one logit for the second class; its negative speaks for the first.
    kernel, bias = network.top.get_weights()
    binary = kernel.shape[1] == 1
    kernel = np.hstack([-kernel, kernel]) if binary else kernel
    bias = np.hstack([-bias, bias]) if binary else bias
    weights = graph.constant("head/kernel", kernel.astype(np.float32))
    logits = graph.add("Gemm", [embedding, weights, graph.constant("head/bias", bias)], "logits")
    graph.add("Sigmoid" if binary else "Softmax", [logits], "probabilities")
    graph.output("probabilities", ["n", len(classes)])
    graph.output("embedding", ["n", kernel.shape[0]])
    if novelty:
        novelty.add_to(graph, embedding)
    if network.is_linear:
        _, height, width, _ = backbone.network.output.shape
        per_place = graph.constant("heatmap/kernel", kernel.T[:, :, np.newaxis, np.newaxis])
        graph.add("Conv", [features, per_place], "heatmap", kernel_shape=[1, 1])
        graph.output("heatmap", ["n", len(classes), height, width])
    return graph.to_bytes({"classes": json.dumps(list(classes), ensure_ascii=False)})
