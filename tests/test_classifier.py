"""The classifier: however a photo is given, and whatever runs the network, the answer is one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

import pawprint
from pawprint import bundle
from pawprint.classifier import Classifier, at_temperature
from pawprint.data.samples import Planted
from pawprint.errors import BundleError, EmptyPhoto, NotAPhoto, PhotoError
from pawprint.model.framework import load_keras
from pawprint.training.run import Run


@pytest.fixture(scope="module")
def good(photos: Path) -> list[Path]:
    return sorted(photos.glob("*/[cd]*_00*.jpg"))[::6]


@pytest.fixture(scope="module", params=["run", "run_of_three"])
def made(request: pytest.FixtureRequest) -> Run:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Run)
    return found


def squares(made: Run, good: list[Path]) -> NDArray[np.uint8]:
    preprocessing = made.classifier().card.preprocessing
    return np.stack([preprocessing.from_bytes(path.read_bytes(), path.name) for path in good])


def test_an_answer_is_a_label_with_its_probability(made: Run, good: list[Path]) -> None:
    classifier = made.classifier()
    for answer in classifier.predict([str(path) for path in good]):
        assert tuple(answer.probabilities) == classifier.classes
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.error is None
        assert answer.novelty is not None
        assert answer.unknown is (answer.novelty > 1)
        if answer.unknown:
            assert (answer.label, answer.probability) == ("unknown", None)
        else:
            assert answer.label in classifier.classes
            assert answer.probability == answer.probabilities[answer.label]
            assert answer.probability == max(answer.probabilities.values())


def test_path_bytes_picture_and_array_give_the_very_same_answer(
    classifier: Classifier, tmp_path: Path, good: list[Path]
) -> None:
    for number, path in enumerate(good):
        lossless = tmp_path / f"{number}.png"
        with Image.open(path) as picture:
            picture.save(lossless)
        with Image.open(lossless) as picture:
            given = [
                str(lossless),
                lossless,
                lossless.read_bytes(),
                picture,
                np.asarray(picture),
            ]
            one_by_one = [classifier.predict(photo).probabilities for photo in given]
            listed = [answer.probabilities for answer in classifier.predict(given)]
            as_tuple = [answer.probabilities for answer in classifier.predict(tuple(given))]
        assert all(found == one_by_one[0] for found in [*one_by_one, *listed, *as_tuple])


def test_answers_name_what_they_are_for(classifier: Classifier, good: list[Path]) -> None:
    with Image.open(good[0]) as picture:
        given = [str(good[0]), good[0], good[0].read_bytes(), picture, np.asarray(picture)]
        names = [answer.path for answer in classifier.predict(given)]
    assert names == [str(good[0]), str(good[0]), "<bytes>", "<image>", "<array>"]


def test_a_list_has_a_row_for_a_bad_photo_and_answers_the_rest(
    classifier: Classifier, good: list[Path], tmp_path: Path
) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("not a photo")
    bad = [b"", str(tmp_path / "none.jpg"), text, tmp_path, np.zeros((4, 4)), "nul\0.jpg"]
    answers = classifier.predict([good[0], *bad, good[1]])
    assert [answer.error is None for answer in answers] == [True, *([False] * len(bad)), True]
    assert answers[0] == classifier.predict(good[0])
    assert answers[-1] == classifier.predict(good[1])
    for answer in answers[1:-1]:
        assert (answer.label, answer.probability, answer.probabilities) == (None, None, {})
        assert answer.error


def test_a_single_bad_photo_raises(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a photo")
    with pytest.raises(EmptyPhoto):
        classifier.predict(b"")
    with pytest.raises(NotAPhoto, match=r"text\.jpg"):
        classifier.predict(tmp_path / "text.jpg")
    with pytest.raises(PhotoError, match=r"none\.jpg: .*(?i:no such file)"):
        classifier.predict(tmp_path / "none.jpg")
    with pytest.raises(PhotoError, match="folder"):
        classifier.predict(tmp_path)
    with pytest.raises(PhotoError, match="nul"):
        classifier.predict("nul\0.jpg")


def test_planted_faults_are_refused_and_the_rest_answered(
    classifier: Classifier, drawn: tuple[Path, list[Planted]]
) -> None:
    folder, planted = drawn
    answers = classifier.predict([folder / plant.path for plant in planted])
    refused = {Path(a.path).relative_to(folder).as_posix() for a in answers if a.error}
    readable = ("wrong-label", "duplicate")
    assert refused == {plant.path for plant in planted if plant.fault not in readable}


def test_many_photos_come_in_order_and_an_endless_list_is_no_trouble(
    classifier: Classifier,
) -> None:
    shades = (np.full((8, 8, 3), n % 256, np.uint8) for n in count())
    some = list(islice(classifier.predict_many(shades), 100))
    for n in (0, 17, 99):
        expected = classifier.predict(np.full((8, 8, 3), n, np.uint8))
        assert some[n].probabilities == expected.probabilities


def test_an_empty_list_gives_an_empty_list(classifier: Classifier) -> None:
    assert classifier.predict([]) == []


def with_card(folder: Path, **changes: Any) -> Classifier:
    card = folder / "pawprint.json"
    text = json.dumps({**json.loads(card.read_text("utf-8")), **changes}, indent=2)
    card.write_bytes(bundle._sealed(text.encode()))
    return pawprint.load(folder)


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.7, 0.99])
def test_the_threshold_decides_between_two_classes(
    own_bundle: Path, classifier: Classifier, good: list[Path], threshold: float
) -> None:
    plain = classifier.predict([str(path) for path in good])
    moved = with_card(own_bundle, threshold=threshold).predict([str(path) for path in good])
    for before, after in zip(plain, moved, strict=True):
        assert after.probabilities == before.probabilities
        if not before.unknown:
            assert after.label == ("dog" if before.probabilities["dog"] >= threshold else "cat")
            assert after.probability == after.probabilities[after.label]


@pytest.mark.parametrize("temperature", [0.5, 2.0, 10.0])
def test_the_temperature_divides_the_logits(
    own_bundle: Path, good: list[Path], temperature: float
) -> None:
    plain = with_card(own_bundle, temperature=1.0).predict([str(path) for path in good])
    tempered = with_card(own_bundle, temperature=temperature).predict([str(p) for p in good])
    for before, after in zip(plain, tempered, strict=True):
        logits = np.log(list(before.probabilities.values())) / temperature
        expected = np.exp(logits) / np.exp(logits).sum()
        assert list(after.probabilities.values()) == pytest.approx(list(expected), abs=1e-6)


def test_other_preprocessing_in_the_card_is_used(own_bundle: Path, classifier: Classifier) -> None:
    padded = with_card(own_bundle, preprocessing={"size": 64, "policy": "pad"})
    wide = np.random.default_rng(0).integers(0, 256, (20, 90, 3), np.uint8)
    assert padded.predict(wide) != classifier.predict(wide)
    square = wide[:, :20]
    assert padded.predict(square) == classifier.predict(square)


def run_in_onnxruntime(made: Run, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(made.model / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": pixels}), strict=True))


def test_onnxruntime_gives_the_same_probabilities_in_one_batch(made: Run, good: list[Path]) -> None:
    pixels = squares(made, good)
    found = run_in_onnxruntime(made, pixels)
    own = made.classifier()
    expected = np.stack([own.probabilities(square) for square in pixels])
    # Two engines add up in two orders: up to 1.2e-5 on one processor, less on another.
    calibrated = at_temperature(found["probabilities"], own.card.temperature)
    assert np.abs(calibrated - expected).max() <= 5e-5


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def test_embedding_and_heatmap_mean_what_they_say(made: Run, good: list[Path]) -> None:
    pixels = squares(made, good)
    found = run_in_onnxruntime(made, pixels)
    assert set(found) == {"probabilities", "embedding", "novelty", "heatmap"}
    classes, (n, channels) = len(made.record["classes"]), found["embedding"].shape
    assert n == len(pixels)
    assert found["heatmap"].shape == (n, classes, 4, 4)
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}

    model = load_keras().models.load_model(made.model / "model.keras")
    kernel, bias = model.get_layer("head").get_weights()
    assert kernel.shape[0] == channels
    if classes == 2:
        kernel, bias = np.hstack([-kernel, kernel]), np.hstack([-bias, bias])
    logits = found["embedding"].astype(np.float64) @ kernel + bias
    by_heatmap = found["heatmap"].astype(np.float64).mean(axis=(2, 3)) + bias
    scale = np.abs(logits).max()
    assert np.abs(by_heatmap - logits).max() <= 1e-4 * scale
    # Two classes have one logit, told from both sides.
    expected = softmax(logits / 2) if classes == 2 else softmax(logits)
    assert np.abs(found["probabilities"] - expected).max() <= 1e-4


def own_bias(made: Run) -> NDArray[np.float32]:
    network = onnx.load(made.model / "model.onnx")
    (bias,) = (held for held in network.graph.initializer if held.name == "head/bias")
    return np.asarray(onnx.numpy_helper.to_array(bias))


def test_the_heatmap_s_mean_and_the_bias_are_the_answer_s_logit(
    made: Run, good: list[Path]
) -> None:
    own, bias = made.classifier(), own_bias(made)
    for square in squares(made, good):
        maps = [own.heatmap(square, label) for label in own.classes]
        logits = np.array([[found.mean() for found in maps if found is not None]]) + bias
        # Two classes have one logit, told from both sides.
        logits /= own.card.temperature * (2 if len(own.classes) == 2 else 1)
        expected = softmax(logits)[0]
        found = own.probabilities(square)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_heatmaps_are_those_of_the_network_and_stay(made: Run, good: list[Path]) -> None:
    own, pixels = made.classifier(), squares(made, good)
    found = [[own.heatmap(square, label) for label in own.classes] for square in pixels]
    expected = run_in_onnxruntime(made, pixels)["heatmap"]
    assert {heat.dtype for heats in found for heat in heats if heat is not None} == {expected.dtype}
    np.testing.assert_allclose(np.array(found), expected, atol=1e-3 * np.abs(expected).max())


def test_a_mirrored_answer_s_heatmap_is_the_mean_of_both_sides(
    own_bundle: Path, classifier: Classifier, run: Run, good: list[Path]
) -> None:
    both = with_card(own_bundle, mirror=True)
    (square,) = squares(run, good[:1])
    flipped = np.ascontiguousarray(square[:, ::-1])
    for label in classifier.classes:
        one, other = classifier.heatmap(square, label), classifier.heatmap(flipped, label)
        assert one is not None
        assert other is not None
        found = both.heatmap(square, label)
        np.testing.assert_allclose(found, (one + other[:, ::-1]) / 2, rtol=1e-4, atol=1e-5)
        again = both.heatmap(flipped, label)
        assert again is not None
        np.testing.assert_allclose(found, again[:, ::-1], rtol=1e-4, atol=1e-5)


def test_a_bundle_that_was_replaced_meanwhile_has_no_heatmap(
    own_bundle: Path, run_of_three: Run, good: list[Path]
) -> None:
    opened = pawprint.load(own_bundle)
    square = np.zeros((64, 64, 3), np.uint8)
    shutil.rmtree(own_bundle)
    with pytest.raises(BundleError, match="is not a folder"):
        opened.heatmap(square, "cat")
    shutil.copytree(run_of_three.model, own_bundle)
    with pytest.raises(BundleError, match="was replaced after it was opened; load it again"):
        opened.heatmap(square, "cat")
    assert opened.predict(good[0]).label in ("cat", "dog")


def test_a_class_that_is_none_has_no_heatmap(classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="not in"):
        classifier.heatmap(np.zeros((64, 64, 3), np.uint8), "bird")


def test_the_network_names_its_classes(made: Run) -> None:
    session = onnxruntime.InferenceSession(made.model / "model.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == made.record["classes"]
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape[1:]) == ("image", "tensor(uint8)", [64, 64, 3])


STOCK = """
import sys
import keras
import numpy as np

for model, given, found in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    np.save(found, keras.models.load_model(model).predict_on_batch(np.load(given)))
assert not any(name.startswith("pawprint") for name in sys.modules)
"""


def test_stock_keras_opens_the_model_and_agrees(
    run: Run, run_of_three: Run, good: list[Path], tmp_path: Path
) -> None:
    arguments: list[Path] = []
    for number, made in enumerate((run, run_of_three)):
        given, found = tmp_path / f"in{number}.npy", tmp_path / f"out{number}.npy"
        np.save(given, squares(made, good))
        arguments += [made.model / "model.keras", given, found]
    subprocess.run([sys.executable, "-c", STOCK, *arguments], check=True, timeout=240)
    for number, made in enumerate((run, run_of_three)):
        by_keras = np.load(tmp_path / f"out{number}.npy")
        if by_keras.shape[1] == 1:
            by_keras = np.hstack([1 - by_keras, by_keras])
        own = made.classifier()
        expected = np.stack([own.probabilities(square) for square in squares(made, good)])
        calibrated = at_temperature(by_keras, own.card.temperature)
        assert np.abs(calibrated - expected).max() <= 1e-4
