"""Bundles that earlier versions wrote open for ever and answer the same, to others' readers too.

A folder of `fixtures` is never made anew: where a test here fails, it is pawprint that has changed.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pawprint
from pawprint import bundle
from pawprint.data.images import Preprocessing
from pawprint.engine import Network
from pawprint.errors import BundleError

HERE = Path(__file__).parent
KEPT = sorted((HERE / "fixtures").glob("bundle-*"))
PROGRAMS = re.findall(
    r"^```python\n(.*?)^```$",
    (HERE.parent / "docs" / "bundle.md").read_text("utf-8"),
    re.DOTALL | re.MULTILINE,
)
TOLERANCE = 1e-4

each_kept = pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)


def answers_of(kept: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((kept / "answers.json").read_text("utf-8"))
    return found


def resealed(folder: Path, **changes: Any) -> Path:
    """Change a card's values and seal it again, as a writer of it would have."""
    card = folder / bundle.CARD
    text = json.dumps({**json.loads(card.read_text("utf-8")), **changes}, indent=2)
    card.write_bytes(bundle._sealed(text.encode()))
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A kept bundle's copy, to be changed at will."""
    return Path(shutil.copytree(KEPT[0] / "model", tmp_path / "bundle"))


def test_there_are_bundles_of_every_schema_that_is_known() -> None:
    kept = {bundle.read(path)[0].schema_version for path in KEPT}
    assert kept == set(range(1, bundle.SCHEMA + 1))
    assert len(KEPT) >= 2


@each_kept
def test_a_kept_bundle_answers_as_it_did(kept: Path) -> None:
    classifier = pawprint.load(kept)
    for name, meant in answers_of(kept).items():
        found = classifier.predict(kept / name)
        assert found.label == meant["label"], name
        assert list(found.probabilities) == list(meant["probabilities"])
        assert found.probabilities == pytest.approx(meant["probabilities"], abs=TOLERANCE), name
        assert found.probability == pytest.approx(meant["probability"], abs=TOLERANCE), name
        small = [
            np.log(list(told.values())) for told in (found.probabilities, meant["probabilities"])
        ]
        assert small[0] == pytest.approx(small[1], abs=1e-2), name
        assert found.novelty == pytest.approx(meant["novelty"], rel=1e-3), name


@each_kept
def test_a_kept_bundle_draws_its_heat_maps_as_it_did(kept: Path) -> None:
    classifier = pawprint.load(kept)
    for name, meant in answers_of(kept).items():
        pixels = classifier.card.preprocessing.from_bytes((kept / name).read_bytes(), name)
        heatmap = classifier.heatmap(pixels, classifier.classes[1])
        assert heatmap is not None
        assert heatmap[::8, ::8] == pytest.approx(np.array(meant["heatmap"]), rel=1e-3, abs=1e-3)


def test_the_kept_answers_need_every_step() -> None:
    cards = [bundle.read(path)[0] for path in KEPT]
    answers = [answers_of(path) for path in KEPT]
    assert all(card.temperature != 1 and card.unknown for card in cards)
    assert {card.mirror for card in cards} == {True, False}
    assert {len(card.classes) > 2 for card in cards} == {True, False}
    two, given = next((c, a) for c, a in zip(cards, answers, strict=True) if len(c.classes) == 2)
    told = [row["probability"] for row in given.values() if row["label"] == two.classes[1]]
    assert any(two.threshold <= probability < 0.5 for probability in told)
    assert all("unknown" in [row["label"] for row in some.values()] for some in answers)
    assert all(min(some["flat.png"]["probabilities"].values()) < 1e-6 for some in answers)


@each_kept
def test_a_reader_made_from_the_page_alone_agrees(kept: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    (program,) = [text for text in PROGRAMS if "def answer(" in text]
    assert "pawprint" not in program.replace("pawprint.json", "")
    reader: dict[str, Any] = {}
    exec(program, reader)
    for name, meant in answers_of(kept).items():
        label, probabilities = reader["answer"](kept / "model", kept / name)
        assert label == meant["label"], name
        assert probabilities == pytest.approx(meant["probabilities"], abs=TOLERANCE), name


@pytest.mark.parametrize("policy", ["squash", "crop", "pad"])
@pytest.mark.parametrize("name", ["turned.jpg", "small.png", "clear.png"])
def test_the_page_makes_the_same_pixels(policy: Any, name: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    (program,) = [text for text in PROGRAMS if "def pixels_of(" in text]
    reader: dict[str, Any] = {}
    exec(program, reader)
    photo = KEPT[0] / name
    for size in (32, 75):
        ours = Preprocessing(size=size, policy=policy).from_bytes(photo.read_bytes(), name)
        assert (reader["pixels_of"](photo, size, policy) == ours).all()


def test_the_seal_can_be_checked_as_the_page_says(copy: Path) -> None:
    (program,) = [text for text in PROGRAMS if "zeros" in text]
    program = re.sub(r'Path\(".*"\)', f"Path({str(copy)!r})", program)
    exec(program, {})
    for name in ("pawprint.json", "model.onnx"):
        intact = (copy / name).read_bytes()
        (copy / name).write_bytes(intact.replace(b"class", b"Class", 1))
        with pytest.raises((AssertionError, KeyError)):
            exec(program, {})
        (copy / name).write_bytes(intact)


@each_kept
def test_keras_still_opens_a_kept_bundle(kept: Path) -> None:
    keras = pytest.importorskip("keras", reason="keras is not installed")
    model = keras.saving.load_model(kept / "model" / bundle.KERAS)
    card, onnx = bundle.read(kept)
    network = Network(onnx, ["probabilities"])
    for name in answers_of(kept):
        pixels = card.preprocessing.from_bytes((kept / name).read_bytes(), name)
        given = np.asarray(model(pixels[np.newaxis].astype(np.float32)))[0]
        given = np.array([1 - given[0], given[0]]) if len(card.classes) == 2 else given
        assert given == pytest.approx(network(pixels)[0], abs=TOLERANCE), name


def test_what_may_change_within_the_version_is_borne(copy: Path) -> None:
    card = json.loads((copy / bundle.CARD).read_text("utf-8"))
    (copy / "more.txt").write_text("more")
    changes = {
        "metrics": {**card["metrics"], "f9": [0.5, None]},
        "training": {"new": {"deep": True}},
        "versions": {"something": "9"},
        "files": {**card["files"], "more.txt": bundle._facts(b"more").model_dump()},
    }
    opened = pawprint.load(resealed(copy, **changes))
    assert opened.predict(KEPT[0] / "small.png").label == "rosé"
    (copy / "more.txt").write_text("less")
    with pytest.raises(BundleError, match=r"more\.txt was changed"):
        bundle.read(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": bundle.SCHEMA + 1},
        {"schema_version": bundle.SCHEMA + 1, "classes": {"by": "another form"}},
        {"schema_version": bundle.SCHEMA + 1, "ensemble": []},
        {"softer": 0.5},
        {"decoding": 99},
    ],
)
def test_what_only_a_later_version_knows_asks_for_it(copy: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="update pawprint"):
        bundle.read(resealed(copy, **changes))


def test_a_bundle_says_which_rules_made_its_pixels(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "DECODING_VERSION", 2)  # and the rules of 1 forgotten
    with pytest.raises(BundleError, match=r"decoding 1, this pawprint knows 1 and 2; .*0\.1\.0"):
        bundle.read(copy)
