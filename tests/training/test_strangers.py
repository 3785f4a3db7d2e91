"""What a run knows of photos unlike its own: how many it refuses, and that the bundle does so."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pawprint
from pawprint.classifier import UNKNOWN
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.engine import Network as Engine
from pawprint.errors import RecipeError
from pawprint.model import backbones, network
from pawprint.model.head_layers import AveragePool, Dense, Flatten
from pawprint.testing import tiny_recipe
from pawprint.training import stages, strangers
from pawprint.training.gradient import Material
from pawprint.training.recipe import GradientStage, LogisticStage
from pawprint.training.run import Run


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def above(count: int, refuse: float) -> int:
    """How many of so many different scores lie above the limit that is set on them."""
    return count - min(count, math.ceil((count + 1) * (1 - refuse) - 1e-9))


@pytest.fixture(scope="module")
def noise() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(5)
    return [random.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(8)]


@pytest.mark.parametrize("name", ["reviewed", "coloured_in_folds"])
def test_about_as_many_are_refused_as_may_be(name: str, request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue(name)
    rows = table(run.path / "predictions.csv")
    scores = np.array([float(row["novelty"]) for row in rows])
    found = run.record["unknown"]
    assert found["photos"] == len(rows) == run.figures.count
    assert found["refused"] == (scores > 1).sum() == above(len(rows), 0.1) > 0
    assert (found["refuses"], found["threshold"]) == (0.1, 1.0)
    assert scores.max() < 2  # they are photos of the same kind


def test_the_record_and_the_bundle_say_the_same(run: Run, reviewed: Run) -> None:
    for one in (run, reviewed):
        card = json.loads((one.model / "pawprint.json").read_text("utf-8"))
        told = one.record["unknown"]
        assert card["unknown"] == {key: told[key] for key in card["unknown"]}
        # Less cannot be promised of so few.
        asked = card["training"]["recipe"]["refuse"]
        assert told["refuses"] == max(asked, 1 / (told["photos"] + 1))
        assert 0 <= told["right"] <= told["photos"] - told["refused"]
    assert run.record["unknown"]["refused"] == 0  # of so few photos


def test_the_bundle_refuses_the_photos_that_were_counted(reviewed: Run) -> None:
    rows = table(reviewed.path / "predictions.csv")
    found = reviewed.classifier().predict([row["path"] for row in rows])
    for row, answer in zip(rows, found, strict=True):
        far = float(row["novelty"])
        assert answer.novelty == pytest.approx(far, abs=2e-3)
        if abs(far - 1) > 2e-3:
            assert answer.unknown == (answer.label == UNKNOWN) == (far > 1)


def test_noise_is_unknown_and_keeps_its_probabilities(
    reviewed: Run, noise: list[NDArray[np.uint8]]
) -> None:
    for answer in reviewed.classifier().predict(list(noise)):
        assert answer.unknown
        assert (answer.label, answer.probability, answer.error) == (UNKNOWN, None, None)
        assert answer.novelty is not None
        assert answer.novelty > 1.1
        assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_who_refuses_nothing_has_no_novelty_anywhere(
    contrary: Run, noise: list[NDArray[np.uint8]]
) -> None:
    assert contrary.record["unknown"] is None
    assert {row["novelty"] for row in table(contrary.path / "predictions.csv")} == {""}
    assert json.loads((contrary.model / "pawprint.json").read_text("utf-8"))["unknown"] is None
    assert b"novelty" not in (contrary.model / "model.onnx").read_bytes()
    for answer in contrary.classifier().predict(list(noise)):
        assert (answer.unknown, answer.novelty) == (False, None)
        assert answer.label in ("blue", "yellow")


@pytest.mark.parametrize("value", [-0.1, 0.6, math.nan])
def test_a_part_that_cannot_be_is_refused_before_anything_is_read(
    value: float, recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="refuse"):
        pawprint.train(tmp_path / "none", recipe=recipe, changes={"refuse": value})


# networks of other kinds than the plain linear head

HEAD = GradientStage(train="head", epochs=1)
UPPER = GradientStage(train="last:12", epochs=1)


@pytest.fixture(scope="module")
def backbone() -> Any:
    return backbones.build("starter", size=64, weights="random")


@pytest.fixture(scope="module")
def look(tinted: Path, scene: Any) -> Any:
    return scene(tinted, tiny_recipe())


@pytest.mark.parametrize(
    ("head", "stage"),
    [
        ((AveragePool(),), LogisticStage()),
        ((AveragePool(), Dense(units=24)), HEAD),
        ((Flatten(),), HEAD),
        ((AveragePool(),), UPPER),
    ],
)
def test_the_network_in_the_bundle_scores_as_was_measured(
    head: Any, stage: Any, backbone: Any, look: Any, listener: Any
) -> None:
    made = network.build(backbone, head, 3)
    material = Material(made, look.views, look.sides, 3, 0, None, listener)
    stages.fit([stage], material)
    found = strangers.fit(stage, material, 0.2, None)
    assert found is not None
    side = look.sides[VALIDATION]
    assert found.scores.shape == (len(side.reads),)
    assert (found.facts.photos, found.facts.refuses) == (len(side.reads), 0.2)
    assert found.facts.refused == (found.scores > 1).sum() == above(len(side.reads), 0.2) > 0

    engine = Engine(network.to_onnx(made, "abc", found.novelty), ["embedding", "novelty"])
    given = strangers.embeddings(stage, material, VALIDATION, side)
    for place, read in enumerate(side.reads):
        embedding, novelty = engine(look.views.pixels(read))
        assert embedding == pytest.approx(given[place], abs=0.01 * float(given.max()))
        assert float(novelty[0]) == pytest.approx(found.scores[place], rel=0.02)


def test_in_folds_a_photo_is_scored_by_others(backbone: Any, look: Any, listener: Any) -> None:
    made = network.build(backbone, (AveragePool(),), 3)
    side = look.sides[TRAIN]
    material = Material(made, look.views, {TRAIN: side}, 3, 0, None, listener)
    stages.fit([LogisticStage()], material)
    fold_of = np.arange(len(side.reads)) % 3
    found = strangers.fit(LogisticStage(), material, 0.1, fold_of)
    assert found is not None
    own = strangers.embeddings(LogisticStage(), material, TRAIN, side)
    # The novelty that ships was fitted on these very photos, to which they are less strange.
    assert (found.scores > found.novelty.scores(own)).mean() > 0.9
    assert found.facts.refused == above(len(side.reads), 0.1)
    assert strangers.fit(LogisticStage(), material, 0.0, fold_of) is None
