"""An exported file in its own runtime, run in a process that has imported nothing else for it.

The file is read as a stranger would: what it is called, what goes in and how photos become that
are taken from the file itself, not from the bundle that it was made of.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.images import VERSION, Pixels
from pawprint.errors import BundleError, MissingExtra
from pawprint.export.stated import INPUT, Stated
from pawprint.parallel import cores, map_chunks
from pawprint.report.originals import Read, originals

# From photos, uint8 (n, size, size, 3), to the file's outputs by name.
Predict = Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.float32]]]

_CHUNK = 16  # photos a thread decodes at once
_AT_ONCE = 64  # photos decoded before they are predicted: the two are timed apart
_WARM = 5  # calls before any is timed


def answer(
    format: str, path: str, place: str, photos: Sequence[str], hashes: Mapping[str, str], out: str
) -> dict[str, Any]:
    """Predict photos with an exported file, one by one, each decoded as the file says.

    Args:
        format: the file's.
        path: where it is.
        place: the source of the photos.
        photos: their paths in it.
        hashes: of those where it is known, by path, the SHA-256.
        out: a .npz that the outputs go into, by name, a row a photo.

    Returns:
        `about`, what the file says of itself; `milliseconds`, the median of a photo, decoding
        excluded; `runtime` and its version.

    Raises:
        BundleError: the file says nothing of itself, or has other outputs than it says.
    """
    said, predict = opened(format, Path(path))
    about = Stated.model_validate_json(said)
    if about.decoding != VERSION:
        raise BundleError(f"{path} asks for decoding {about.decoding}, this is {VERSION}")
    found: list[Mapping[str, NDArray[np.float32]]] = []
    seconds: list[float] = []
    with originals(place, hashes) as read:
        for squares in _decoded(about, read, photos):
            for _ in range(0 if found else _WARM):
                predict(squares[0][np.newaxis])
            for square in squares:
                begun = time.perf_counter()
                given = predict(square[np.newaxis])
                seconds.append(time.perf_counter() - begun)
                found.append(given)
    if set(found[0]) != set(about.outputs):
        raise BundleError(f"{path} gives {sorted(found[0])}; it says {sorted(about.outputs)}")
    rows = {name: np.vstack([one[name] for one in found]) for name in about.outputs}
    np.savez(out, allow_pickle=False, **rows)
    return {
        "about": said,
        "milliseconds": statistics.median(seconds) * 1000,
        "runtime": _version(format),
    }


def _decoded(about: Stated, read: Read, paths: Sequence[str]) -> Iterator[list[Pixels]]:
    """The photos as the file wants them, some at a time."""

    def decode(some: Sequence[str]) -> list[Pixels]:
        return [about.preprocessing.from_bytes(read(path), path) for path in some]

    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        yield [square for part in map_chunks(decode, some, size=_CHUNK) for square in part]


def speed(format: str, path: str, *, seconds: float, batch: int) -> dict[str, Any]:
    """Time an exported file, or a bundle, on pixels of no meaning.

    Each runtime may use every core, and gives all its outputs. One photo is one call. Many photos
    are one call as well, but with OpenVINO, which answers them singly on a stream a core: that
    is how it is fastest, and how a Classifier does it, which for one photo uses one core.

    Args:
        format: the file's, or `bundle`.
        path: where it is.
        seconds: to spend on each of the two measurements.
        batch: photos at once for the throughput.

    Returns:
        `load`, seconds until the first answer, importing the runtime included; `alone`,
        milliseconds of each call with one photo; `together`, of each with `batch` photos;
        `memory`, the most in millions of bytes, None where that cannot be known; `mirror`, whether
        an answer is of a photo and its mirror image; `runtime`.
    """
    begun = time.perf_counter()
    said, predict = opened(format, Path(path))
    about = Stated.model_validate_json(said)
    side = about.preprocessing.size
    photos = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
    predict(photos[:1])
    load = time.perf_counter() - begun
    alone = _timed(lambda: predict(photos[:1]), seconds)
    together = _timed(lambda: predict(photos), seconds)
    return {
        "load": load,
        "alone": [round(1000 * each, 4) for each in alone],
        "together": [round(1000 * each, 4) for each in together],
        "memory": _memory(),
        "mirror": about.mirror,
        "runtime": _version(format),
    }


def _memory() -> float | None:
    """The most memory that this process has had, in millions of bytes."""
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    try:  # Linux' own getrusage counts the process that began this one as well
        status = Path("/proc/self/status").read_text("utf-8")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None


def _timed(call: Callable[[], object], seconds: float) -> list[float]:
    """Call again and again for some time; how long each took, in seconds."""
    for _ in range(_WARM):
        call()
    found: list[float] = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return found


def opened(format: str, path: Path) -> tuple[str, Predict]:
    """Open an exported file in its runtime.

    Args:
        format: the file's.
        path: where it is.

    Returns:
        What it says of itself, as JSON, and what predicts.

    Raises:
        MissingExtra: its runtime is not installed.
    """
    open_file = _OPEN[format]
    try:
        return open_file(path)
    except ImportError as error:
        raise MissingExtra(f"an export to {format}", error.name, "export") from None


def _open_onnx(path: Path) -> tuple[str, Predict]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def predict(photos: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        return dict(zip(names, session.run(names, {INPUT: photos}), strict=True))

    return session.get_modelmeta().custom_metadata_map["pawprint"], predict


def _open_openvino(path: Path) -> tuple[str, Predict]:
    from pawprint.engine import import_openvino

    openvino = import_openvino()
    core = openvino.Core()
    model = core.read_model(path)
    # A shape that is known is computed faster.
    model.reshape([1, *list(model.input(0).partial_shape)[1:]])
    names = [output.get_any_name() for output in model.outputs]
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    alone = core.compile_model(model, "CPU", {**options, "PERFORMANCE_HINT": "LATENCY"})
    first = alone.create_infer_request()
    others: list[Any] = []  # for many photos, one a thread: callbacks of a queue can end in a jam

    def answer(request: Any, photo: Pixels) -> list[NDArray[np.float32]]:
        given = request.infer([photo[np.newaxis]])
        return [np.array(given[name]) for name in names]

    def answer_some(photos: Sequence[Pixels]) -> list[list[NDArray[np.float32]]]:
        request = others.pop()
        found = [answer(request, photo) for photo in photos]
        others.append(request)
        return found

    def predict(photos: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        if len(photos) == 1:
            return dict(zip(names, answer(first, photos[0]), strict=True))
        if not others:
            many = core.compile_model(model, "CPU", {**options, "NUM_STREAMS": cores()})
            others.extend(many.create_infer_request() for _ in range(cores() + 1))
        rows = _in_threads(answer_some, photos)
        return dict(zip(names, map(np.vstack, zip(*rows, strict=True)), strict=True))

    return str(model.get_rt_info("pawprint").value), predict


def _open_litert(path: Path) -> tuple[str, Predict]:
    from ai_edge_litert.interpreter import Interpreter

    from pawprint.export import litert_metadata

    reader = Interpreter(str(path), num_threads=cores())
    (photo,) = reader.get_input_details()
    outputs = reader.get_signature_runner("serve").get_output_details()
    shapes: list[tuple[int, ...]] = []

    def predict(photos: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        if shapes[-1:] != [photos.shape]:
            reader.resize_tensor_input(photo["index"], photos.shape)
            reader.allocate_tensors()
            shapes.append(photos.shape)
        reader.set_tensor(photo["index"], photos)
        reader.invoke()
        return {name: reader.get_tensor(found["index"]) for name, found in outputs.items()}

    return litert_metadata.said(path), predict


def _open_savedmodel(path: Path) -> tuple[str, Predict]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # held by `predict`: its variables go with it
    signature = loaded.signatures["serving_default"]

    def predict(photos: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        given = signature(image=tf.constant(photos))
        return {name: values.numpy() for name, values in given.items()} if loaded else {}

    return (path / "assets.extra" / "pawprint.json").read_text("utf-8"), predict


def _open_keras(path: Path) -> tuple[str, Predict]:
    import keras

    from pawprint.export import keras_files

    model = keras.saving.load_model(path, compile=False)

    def predict(photos: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        given: Mapping[str, NDArray[np.float32]] = model.predict_on_batch(photos)
        return given

    return keras_files.said(path), predict


def _open_bundle(path: Path) -> tuple[str, Predict]:
    from pawprint.classifier import Classifier
    from pawprint.export.stated import OUTPUT, stated

    classifier = Classifier(path)

    def predict(photos: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        if len(photos) == 1:  # as Classifier.predict, in no further thread
            return {OUTPUT: classifier.probabilities(photos[0])[np.newaxis].astype(np.float32)}
        given = _in_threads(lambda some: list(map(classifier.probabilities, some)), photos)
        return {OUTPUT: np.vstack(given).astype(np.float32)}

    return stated(classifier.card, "bundle", "float32").model_dump_json(), predict


def _in_threads(
    work: Callable[[Sequence[Pixels]], list[Any]], photos: NDArray[np.uint8]
) -> list[Any]:
    """What is made of photos one by one, on every core, in their order."""
    size = max(1, len(photos) // (4 * cores()))  # a few turns for each core
    return [row for some in map_chunks(work, photos, size=size) for row in some]


_OPEN: dict[str, Callable[[Path], tuple[str, Predict]]] = {
    "onnx": _open_onnx,
    "litert": _open_litert,
    "openvino": _open_openvino,
    "savedmodel": _open_savedmodel,
    "keras": _open_keras,
    "h5": _open_keras,
    "bundle": _open_bundle,
}
_PACKAGES = {
    "onnx": ("ONNX Runtime", "onnxruntime"),
    "litert": ("LiteRT", "ai-edge-litert"),
    "openvino": ("OpenVINO", "openvino"),
    "savedmodel": ("TensorFlow", "tensorflow"),
    "keras": ("Keras", "keras"),
    "h5": ("Keras", "keras"),
    "bundle": ("OpenVINO", "openvino"),
}


def _version(format: str) -> str:
    """The runtime's name and version."""
    from importlib.metadata import version

    name, package = _PACKAGES[format]
    return f"{name} {version(package)}"
