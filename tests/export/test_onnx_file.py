"""One ONNX file that answers as the Classifier does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from pawprint import bundle
from pawprint.classifier import Classifier
from pawprint.export import onnx_file
from pawprint.export.stated import stated
from pawprint.model.onnx_graph import OPSET

PHOTOS = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), np.uint8)


def answered(network: bytes, photos: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": photos}), strict=True))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.4, 3.0])
def test_it_answers_as_the_classifier(classifier: Any, mirror: bool, temperature: float) -> None:
    own = Classifier(classifier.path)
    own.card = own.card.model_copy(update={"mirror": mirror, "temperature": temperature})
    _, network = bundle.read(own.path)
    found = answered(onnx_file.network(network, stated(own.card, "onnx", "float32")), PHOTOS)
    meant = [own.measure(photo) for photo in PHOTOS]
    given = np.stack([own.probabilities(photo) for photo in PHOTOS])
    assert np.abs(found["probabilities"] - given).max() < 1e-5
    assert found["novelty"][:, 0] == pytest.approx([far for _, far in meant], rel=1e-4)


def test_a_sure_answer_is_as_sure_at_a_high_temperature(classifier: Any) -> None:
    """The Classifier takes no probability below 1e-7 for what it says."""
    card = classifier.card.model_copy(update={"temperature": 5.0})
    _, network = bundle.read(classifier.path)
    model = onnx.load_from_string(network)
    bias = next(each for each in model.graph.initializer if each.name == "head/bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.array([-40, 40], np.float32), "head/bias"))
    whole = onnx_file.network(model.SerializeToString(), stated(card, "onnx", "float32"))
    least = 1e-7 ** (1 / 5)
    assert answered(whole, PHOTOS)["probabilities"][:, 0] == pytest.approx(least / (1 + least))


def test_what_it_says_of_itself_is_in_the_file(classifier: Any) -> None:
    about = stated(classifier.card, "onnx", "float32")
    model = onnx.load_from_string(onnx_file.network(bundle.read(classifier.path)[1], about))
    props = {prop.key: prop.value for prop in model.metadata_props}
    assert type(about).model_validate_json(props["pawprint"]) == about
    assert props["labels"] == ",".join(classifier.classes)
    assert [value.name for value in model.graph.output] == ["probabilities", "novelty"]
    assert model.opset_import[0].version == OPSET


def test_half_the_bytes_answer_nearly_the_same(classifier: Any) -> None:
    _, network = bundle.read(classifier.path)
    whole = onnx_file.network(network, stated(classifier.card, "onnx", "float32"))
    half = onnx_file.halved(whole)
    assert len(half) < 0.6 * len(whole)
    one, two = answered(whole, PHOTOS), answered(half, PHOTOS)
    assert 0 < np.abs(one["probabilities"] - two["probabilities"]).max() < 0.02


def test_a_quarter_of_the_bytes_answer_nearly_the_same(classifier: Any) -> None:
    _, network = bundle.read(classifier.path)
    card = classifier.card.model_copy(update={"mirror": True, "temperature": 1.5})
    whole = onnx_file.network(network, stated(card, "onnx", "float32"))
    about = stated(card, "onnx", "int8")
    small = onnx_file.quantized(onnx_file.network(network, about), PHOTOS, about)
    assert len(small) < 0.45 * len(whole)  # the network is tiny, and half of it is the graph
    found = answered(small, PHOTOS)
    assert set(found) == {"probabilities"}
    # What makes the answer of the network's output stays in floats, not in 256 steps.
    assert np.abs(found["probabilities"] - answered(whole, PHOTOS)["probabilities"]).mean() < 0.05
    assert found["probabilities"].sum(axis=1) == pytest.approx(np.ones(len(PHOTOS)), abs=1e-6)
