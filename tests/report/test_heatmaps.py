"""Explaining: the answer is the classifier's, the drawing is of it, files keep to their folder."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pawprint
from pawprint import bundle
from pawprint.classifier import Classifier, Prediction
from pawprint.data.images import Preprocessing
from pawprint.data.overlay import draw_heatmap
from pawprint.errors import BundleError, OutputError, PhotoError
from pawprint.model import backbones, network
from pawprint.model.framework import load_keras
from pawprint.model.grad_cam import GradCam
from pawprint.model.head_layers import AveragePool, Dense, Flatten, HeadLayer
from pawprint.report.heatmaps import Explainer, _Names, write_heatmaps


def write_bundle(folder: Path, *layers: HeadLayer, **card: Any) -> Classifier:
    """A classifier of random weights."""
    backbone = backbones.build(size=64, alpha=0.35, weights="random", seed=1)
    made = network.build(backbone, layers, 2)
    facts = bundle.Card(
        classes=("cat", "dog"),
        preprocessing=Preprocessing(size=64),
        metrics={},
        training={},
        versions={"keras": "3.0"},
        created="",
        **card,
    )
    onnx = network.to_onnx(made, facts.classes)
    return Classifier(bundle.write(folder, facts, onnx, network.whole_model(made)))


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    folder = tmp_path_factory.mktemp("dense") / "bundle"
    return write_bundle(folder, Flatten(), Dense(units=8), mirror=True)


@pytest.fixture
def cats(photos: Path) -> list[str]:
    return sorted(map(str, photos.glob("cat/cat_*.jpg")))[:6]


def opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture


def test_the_answer_is_the_classifier_s_and_the_drawing_of_its_label(
    classifier: Classifier, cats: list[str]
) -> None:
    explain = Explainer(classifier)
    for path in cats:
        data = Path(path).read_bytes()
        answer, drawn = explain(data, path)
        assert answer == classifier.predict(path)
        preprocessing = classifier.card.preprocessing
        by_label = {
            label: draw_heatmap(
                data,
                path,
                classifier.heatmap(preprocessing.from_bytes(data, path), label),
                preprocessing,
            )
            for label in ("cat", "dog")
        }
        assert drawn == by_label[answer.label or ""]
        assert by_label["cat"] != by_label["dog"]
        for label, expected in by_label.items():
            assert explain(data, path, label) == (answer, expected)


def test_a_moved_threshold_moves_what_is_drawn(own_bundle: Path, cats: list[str]) -> None:
    """The class that is the answer, not the most probable one."""
    card = bundle.read(own_bundle)[0]
    data = Path(cats[0]).read_bytes()
    for threshold, label in ((1e-9, "dog"), (1 - 1e-9, "cat")):
        text = card.model_copy(update={"threshold": threshold}).model_dump_json().encode()
        text = text.replace(b'"seal":"', b'"seal": "')
        (own_bundle / bundle.CARD).write_bytes(bundle._sealed(text))
        explain = Explainer(pawprint.load(own_bundle))
        answer, drawn = explain(data, cats[0])
        assert answer.label == label
        assert drawn == explain(data, cats[0], label)[1]


def test_drawings_fit_into_what_was_asked(classifier: Classifier) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (900, 300), "grey").save(buffer, "PNG")
    for side, size in ((640, (640, 213)), (90, (90, 30))):
        _, drawn = Explainer(classifier, side=side)(buffer.getvalue(), "grey.png")
        assert opened(drawn).size == size


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\0"])
def test_what_is_no_photo_is_refused_by_name(classifier: Classifier, data: bytes) -> None:
    with pytest.raises(PhotoError, match=r"^odd\.jpg: "):
        Explainer(classifier)(data, "odd.jpg")


def test_an_unknown_class_is_refused(classifier: Classifier, cats: list[str]) -> None:
    with pytest.raises(ValueError, match="not in"):
        Explainer(classifier)(Path(cats[0]).read_bytes(), cats[0], "bird")


def test_a_dense_head_is_explained_by_keras(dense: Classifier, cats: list[str]) -> None:
    model = load_keras().models.load_model(dense.path / "model.keras", compile=False)
    maps, explain = GradCam(model), Explainer(dense)
    for path in cats[:3]:
        data = Path(path).read_bytes()
        answer, drawn = explain(data, path)
        assert answer == dense.predict(path)
        pixels = dense.card.preprocessing.from_bytes(data, path)
        assert dense.heatmap(pixels, "cat") is None
        number = dense.classes.index(answer.label or "")
        mirrored = maps(np.ascontiguousarray(pixels[:, ::-1]), number)[:, ::-1]
        heat = (maps(pixels, number) + mirrored) / 2
        expected = opened(draw_heatmap(data, path, heat, dense.card.preprocessing))
        difference = np.asarray(opened(drawn), int) - np.asarray(expected, int)
        assert np.abs(difference).max() <= 3


def test_a_hidden_layer_after_pooling_is_explained_by_keras_too(
    tmp_path: Path, cats: list[str]
) -> None:
    made = write_bundle(tmp_path / "bundle", AveragePool(), Dense(units=4))
    answer, drawn = Explainer(made)(Path(cats[0]).read_bytes(), cats[0])
    assert answer == made.predict(cats[0])
    assert opened(drawn).format == "JPEG"


def test_a_model_that_keras_cannot_open_is_told_of(tmp_path: Path) -> None:
    made = write_bundle(tmp_path / "bundle", Flatten())
    (made.path / "model.keras").write_bytes(b"of another version")
    with pytest.raises(BundleError, match=r"model\.keras was changed"):
        Explainer(made)

    class Odd:
        def save(self, path: Path) -> None:
            path.write_bytes(b"of another version")

    again = Classifier(bundle.write(tmp_path / "odd", made.card, bundle_onnx(made), Odd()))
    with pytest.raises(BundleError, match=r"model\.keras cannot be opened by Keras .*3\.0"):
        Explainer(again)


def bundle_onnx(made: Classifier) -> bytes:
    return (made.path / "model.onnx").read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_drawing_a_photo_in_order_and_none_for_a_bad_one(
    classifier: Classifier, cats: list[str], tmp_path: Path
) -> None:
    gone, out = str(tmp_path / "gone.jpg"), tmp_path / "a" / "out"
    given = [*cats[:2], gone, "nul\0.jpg", *cats[2:]]
    rows = list(write_heatmaps(classifier, given, out))
    answers = classifier.predict(list(given))
    assert [answer for answer, _ in rows] == answers
    assert [path is None for _, path in rows] == [answer.error is not None for answer in answers]
    files = [path for _, path in rows if path]
    assert names(out) == sorted(path.name for path in files)
    for answer, path in rows:
        if path:
            assert path == out / f"{Path(answer.path).stem}-{answer.label}.jpg"
            assert opened(path.read_bytes()).format == "JPEG"


@pytest.mark.parametrize("head", ["pooling", "dense"])
def test_many_threads_draw_what_one_draws(
    request: pytest.FixtureRequest, photos: Path, tmp_path: Path, head: str
) -> None:
    made: Classifier = request.getfixturevalue("classifier" if head == "pooling" else "dense")
    given = [str(path) for path in sorted(photos.glob("*/[cd]*_00*.jpg"))]
    explain = Explainer(made)
    rows = list(write_heatmaps(made, given, tmp_path / "out"))
    assert [answer.path for answer, _ in rows] == given
    for answer, path in rows[::5]:
        assert path is not None
        expected = explain(Path(answer.path).read_bytes(), answer.path)[1]
        difference = np.asarray(opened(path.read_bytes()), int) - np.asarray(opened(expected), int)
        assert np.abs(difference).max() <= 3


def test_photos_of_one_name_have_each_their_file(
    classifier: Classifier, cats: list[str], tmp_path: Path
) -> None:
    given = []
    for number, name in enumerate(["x.jpg", "X.JPG", "x.png", "x-cat-2.jpg", "x.jpg"]):
        (tmp_path / str(number)).mkdir()
        given.append(shutil.copy(cats[0], tmp_path / str(number) / name))
    rows = list(write_heatmaps(classifier, given, tmp_path / "out"))
    made = [path.name.casefold() for _, path in rows if path]
    assert len(set(made)) == len(given)
    assert len(names(tmp_path / "out")) == len(given)


def test_an_endless_list_is_no_trouble_and_what_is_drawn_is_not_explained_again(
    classifier: Classifier, cats: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def endless() -> Iterator[str]:
        while True:
            yield cats[0]
            yield from sorted(map(str, out.iterdir()))

    rows = write_heatmaps(classifier, endless(), out)
    assert {next(rows)[0].path for _ in range(40)} == {cats[0]}
    rows.close()  # type: ignore[attr-defined]


def test_a_folder_that_holds_something_is_refused_and_left_alone(
    classifier: Classifier, cats: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(OutputError, match=r"name a new folder"):
            write_heatmaps(classifier, cats, out)
    assert names(tmp_path) == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert next(write_heatmaps(classifier, cats, tmp_path / "empty"))[1] is not None


def test_a_folder_that_went_away_is_told_of(
    classifier: Classifier, cats: list[str], tmp_path: Path
) -> None:
    rows = write_heatmaps(classifier, cats * 5, tmp_path / "out")
    next(rows)
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(OutputError, match=r"cat_000.*\.jpg cannot be written \(no such file"):
        list(rows)


ODD = [
    ("a/b.jpg", "cat", "b-cat"),
    ("naïve 猫 🐾.jpg", "Katze/ä", "naïve 猫 🐾-Katze_ä"),
    ("..jpg", "..", ".-.."),
    (".hidden.jpg", "cat", "hidden-cat"),
    ("a:b*?.jpg", 'c<d>"|', "a_b__-c_d___"),
    ("two\nlines\0\x1b.jpg", "cat", "two_lines__-cat"),
    ("half\udc80.jpg", "\u202egnp", "half_-_gnp"),
    ("CON.jpg", "cat", "CON-cat"),
    ("x" * 251 + ".jpg", "y" * 300, "x" * 150 + "-" + "y" * 60),
    ("猫" * 80 + ".jpg", "🐾" * 40, "猫" * 50 + "-" + "🐾" * 15),
]


@pytest.mark.parametrize(("path", "label", "expected"), ODD)
def test_any_name_gives_one_that_any_system_takes(
    path: str, label: str, expected: str, tmp_path: Path
) -> None:
    name = _Names().free(Prediction(path, label, 1.0, {}))
    assert name.lstrip(".") == expected.lstrip(".")
    file = tmp_path / f"{name}.jpg"
    file.write_bytes(b"")
    assert file.parent == tmp_path
    assert len(os.fsencode(file.name)) <= 255


def test_names_never_clash_whatever_they_are() -> None:
    random, made = np.random.default_rng(0), _Names()
    answer = Prediction("", "", 1.0, {})
    stems, labels = (
        ["a", "A", "a-2", "a-cat", "é", "e\u0301"],
        ["cat", "Cat", "2", "cat-2", "cat-3"],
    )
    given = [
        made.free(
            replace(answer, path=f"{random.choice(stems)}.jpg", label=str(random.choice(labels)))
        )
        for _ in range(500)
    ]
    assert len({name.casefold() for name in given}) == 500


def test_a_place_that_cannot_be_written_is_told_of_before_any_work(
    unprivileged: Callable[..., Any],
    shut: Callable[[Path, int], Path],
    own_bundle: Path,
    cats: list[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "shut" / "empty").mkdir(parents=True)
    shut(tmp_path / "shut" / "empty", 0o555)
    shut(tmp_path / "shut", 0o555)
    for out in (tmp_path / "shut" / "empty", tmp_path / "shut" / "new"):
        ran = unprivileged("predict", own_bundle, cats[0], "--explain", out)
        assert (ran.returncode, ran.stdout) == (1, b"")
        (line,) = ran.stderr.decode().splitlines()
        assert f"{out} cannot be written (permission denied)" in line


def test_an_answer_that_is_no_class_is_explained_by_the_most_probable_one() -> None:
    given = {"cat": 0.3, "dog": 0.7}
    assert Prediction("x.jpg", "unknown", None, given).nearest == "dog"
    assert Prediction("x.jpg", "cat", 0.3, given).nearest == "cat"
