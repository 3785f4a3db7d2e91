"""The frozen part of a network, compiled, with a key made of everything that shapes its output."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pawprint import engine
from pawprint.data.images import Pixels
from pawprint.errors import RecipeError
from pawprint.model.backbones import Backbone, Scale, weights_digest
from pawprint.model.framework import has_gpu, load_keras
from pawprint.model.layer_graph import has_weights, steps_up_to
from pawprint.model.onnx_graph import VERSION as GRAPH_VERSION
from pawprint.model.onnx_graph import Graph


class Prefix(Protocol):
    """What turns pixels into features; any thread may call it.

    Attributes:
        key: everything that shapes its output but the pixels, as plain values.
        shape: of one photo's features.
        dtype: that keeps them without loss that matters: float16, or uint8 for plain pixels.
    """

    key: dict[str, str | int | float]
    shape: tuple[int, ...]
    dtype: str

    def __call__(self, photos: list[Pixels]) -> list[Any]:
        """Features of each photo; photos are uint8, shape (size, size, 3)."""
        ...


_BY_KERAS = "keras float32"


class PixelPrefix:
    """The empty prefix: every layer trains, and the features are the pixels themselves."""

    def __init__(self, size: int) -> None:
        self.key: dict[str, str | int | float] = {"cut": "pixels"}
        self.shape: tuple[int, ...] = (size, size, 3)
        self.dtype = "uint8"

    def __call__(self, photos: list[Pixels]) -> list[NDArray[Any]]:
        """The photos as they are."""
        return list(photos)


class EnginePrefix:
    """A prefix compiled by the inference engine."""

    def __init__(
        self, backbone: Backbone, cut: str, precision: engine.Precision, *, pooled: bool = False
    ) -> None:
        self._network = engine.Network(
            prefix_onnx(backbone, cut, pooled=pooled), ["features"], precision=precision
        )
        self.key = _key(backbone, cut, pooled, _by_engine(precision))
        self.shape = self._network.shape()
        self.dtype = "float16"

    def __call__(self, photos: list[Pixels]) -> list[NDArray[Any]]:
        """Features, float16; one photo at a time, which is what the engine does fastest."""
        return [self._network(photo)[0].astype(np.float16) for photo in photos]


class EnginePrefixes:
    """Several prefixes of one network, computed in one pass over the photos.

    A photo's features are a tuple, for `feature_store.Stores`, whose parts have the keys.
    """

    def __init__(
        self, backbone: Backbone, cuts: Sequence[tuple[str, bool]], precision: engine.Precision
    ) -> None:
        names = [f"features_{number}" for number in range(len(cuts))]
        onnx = prefixes_onnx(backbone, dict(zip(names, cuts, strict=True)))
        self._network = engine.Network(onnx, names, precision=precision)
        self.key: dict[str, str | int | float] = {}
        self.shape: tuple[int, ...] = (
            sum(math.prod(self._network.shape(n)) for n in range(len(cuts))),
        )
        self.dtype = "float16"

    def __call__(self, photos: list[Pixels]) -> list[Any]:
        """Features of each photo, float16, in the order of the cuts."""
        return [tuple(f.astype(np.float16) for f in self._network(photo)) for photo in photos]


class KerasPrefix:
    """A prefix run by Keras: for a GPU, and where there is no inference engine."""

    def __init__(self, backbone: Backbone, cut: str, *, pooled: bool = False) -> None:
        keras = load_keras()
        output = backbone.output(cut)
        if pooled:
            output = keras.layers.GlobalAveragePooling2D()(output)
        self._backbone = backbone
        self._model = keras.Model(backbone.network.input, output)
        self._lock = threading.Lock()  # Keras' predict functions are not made for threads
        self.key = _key(backbone, cut, pooled, _BY_KERAS)
        self.shape = tuple(output.shape[1:])
        self.dtype = "float16"

    def __call__(self, photos: list[Pixels]) -> list[NDArray[Any]]:
        """Features, float16; all photos in one batch."""
        scaled = np.stack(photos) * np.asarray(self._backbone.scale, np.float32)
        scaled += np.asarray(self._backbone.offset, np.float32)
        with self._lock:
            features = self._model.predict_on_batch(scaled)
        return list(np.asarray(features, dtype=np.float16))


class NoPrefix(PixelPrefix):
    """Nothing is computed: for photos that are only to be looked at, to see if they decode."""

    def __init__(self) -> None:
        self.key = {"cut": "nothing"}
        self.shape = (0,)
        self.dtype = "uint8"

    def __call__(self, photos: list[Pixels]) -> list[NDArray[Any]]:
        """An empty array for each photo."""
        return [np.empty(0, np.uint8) for _ in photos]


def compile_prefix(
    backbone: Backbone, cut: str | None, *, pooled: bool = False, exact: bool = False
) -> Prefix:
    """Compile the layers up to a cut for this machine, with the weights they have now.

    Args:
        backbone: whose layers.
        cut: the name of the last frozen layer; None for the empty prefix.
        pooled: average the map over all places to one vector, as a head of average pooling sees it.
        exact: compute as the bundle will, in float32. Training photos can do with bfloat16, which
            is nearly twice as fast; photos that judge the model are to be seen as it will see them.

    Returns:
        The prefix: on a GPU or without OpenVINO by Keras, else compiled by OpenVINO, in bfloat16
        where the processor has it, unless it is to be exact.

    Raises:
        RecipeError: the backbone has no such layer.
    """
    if cut is None:
        return PixelPrefix(backbone.size)
    if cut not in backbone.cuts:
        raise RecipeError(
            f"{backbone.name} has no layer {cut!r} to cut after; the last ones are "
            f"{', '.join(backbone.cuts[-5:])}"
        )
    if not _engine_computes():
        return KerasPrefix(backbone, cut, pooled=pooled)
    return EnginePrefix(backbone, cut, _precision(exact), pooled=pooled)


def compile_together(
    backbone: Backbone, cuts: Sequence[tuple[str, bool]], *, exact: bool = False
) -> Prefix | None:
    """Compile several prefixes as one, which computes what they share once.

    Args:
        backbone: whose layers.
        cuts: two or more; the name of each last frozen layer, and whether its map is pooled.
        exact: as of `compile_prefix`.

    Returns:
        What gives for each photo a tuple of features, in the order of the cuts; None where the
        inference engine does not compute.
    """
    if not _engine_computes():
        return None
    return EnginePrefixes(backbone, cuts, _precision(exact))


def prefix_key(
    backbone: Backbone, cut: str | None, *, pooled: bool = False, exact: bool = False
) -> dict[str, str | int | float]:
    """The key that `compile_prefix` would give its prefix, without compiling it."""
    if cut is None:
        return PixelPrefix(backbone.size).key
    by = _by_engine(_precision(exact)) if _engine_computes() else _BY_KERAS
    return _key(backbone, cut, pooled, by)


def _engine_computes() -> bool:
    return engine.available() and not has_gpu()


def _precision(exact: bool) -> engine.Precision:
    return "float32" if exact else engine.fastest_precision()


def _by_engine(precision: engine.Precision) -> str:
    return f"openvino {engine.version()} {precision}, graph {GRAPH_VERSION}"


def prefix_onnx(backbone: Backbone, cut: str, *, pooled: bool = False) -> bytes:
    """The layers up to a cut as an ONNX network: `image` uint8 in, `features` out."""
    return prefixes_onnx(backbone, {"features": (cut, pooled)})


def prefixes_onnx(backbone: Backbone, outputs: Mapping[str, tuple[str, bool]]) -> bytes:
    """An ONNX network from `image` to features by their names, each of a cut, pooled or not."""
    places = {step.name: number for number, step in enumerate(backbone.steps)}
    highest = max((cut for cut, _ in outputs.values()), key=places.__getitem__)
    graph = Graph(f"{backbone.name} up to {highest}")
    photo = graph.photo(backbone.size, backbone.scale, backbone.offset)
    graph.network(backbone, photo, highest)
    for name, (cut, pooled) in outputs.items():
        _, height, width, channels = backbone.output(cut).shape
        if pooled:
            pool = graph.add("GlobalAveragePool", [graph.tensors[cut]], f"{name}/pooled")
            graph.add("Flatten", [pool], name)
            graph.output(name, ["n", channels])
        else:
            graph.add("Transpose", [graph.tensors[cut]], name, perm=[0, 2, 3, 1])
            graph.output(name, ["n", height, width, channels])
    return graph.to_bytes()


def _key(
    backbone: Backbone, cut: str, pooled: bool, computed_by: str
) -> dict[str, str | int | float]:
    return {**network_key(backbone, cut, pooled=pooled), "computed_by": computed_by}


def network_key(
    backbone: Backbone, cut: str, *, pooled: bool = False
) -> dict[str, str | int | float]:
    """The part of a prefix's key that says what is computed, whoever computes it."""
    return {
        "backbone": backbone.name,
        # Of these layers alone: what is above the cut may have been trained meanwhile.
        "weights": weights_digest(
            step.operation for step in steps_up_to(backbone.steps, cut) if has_weights(step)
        ),
        "scale": _one(backbone.scale),
        "offset": _one(backbone.offset),
        "cut": cut,
        "pooled": str(pooled),
    }


def _one(values: Scale) -> float | str:
    return values if isinstance(values, float) else " ".join(map(str, values))
