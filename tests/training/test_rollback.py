"""A stage after which the network is not better is undone, as if it had not been."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pawprint
from pawprint.data.split import VALIDATION
from pawprint.errors import RecipeError
from pawprint.evaluation.paired import compare
from pawprint.model import backbones, network
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.head_layers import AveragePool, Dense, Dropout, HeadLayer
from pawprint.testing import tiny_recipe
from pawprint.training import stages
from pawprint.training.checkpoint import Checkpoints, Kept
from pawprint.training.gradient import Material, values_of
from pawprint.training.recipe import GradientStage, LogisticStage, Recipe, Stage
from pawprint.training.recipe_files import to_toml
from pawprint.training.rollback import Outcome
from pawprint.training.run import Run


def head_stage(**values: Any) -> GradientStage:
    return GradientStage(train="head", **{"epochs": 2, "batch_size": 7, **values})


GOOD = head_stage(rate=0.02, epochs=6)
# Towards labels that are mostly smoothed away, at a huge rate: it hurts whatever the features are.
HURTS = head_stage(optimizer="sgd", rate=1.0, label_smoothing=0.9)
LAYERS_HURT = HURTS.model_copy(update={"train": "last:12", "rate": 0.03})
STILL = head_stage(optimizer="sgd", rate=1e-9, epochs=1)


def recipe_file(place: Path, *several: Stage, **values: Any) -> Path:
    """The tiny recipe with other stages, as a file."""
    tiny = tiny_recipe().model_dump()
    path = place / f"{len(several)}.toml"
    made = Recipe.model_validate({**tiny, "stage": several, "keras_h5": "whole.h5", **values})
    path.write_text(to_toml(made), "utf-8")
    return path


def test_where_fine_tuning_hurts_the_run_is_that_of_the_head(
    run_of_three: Run, tinted: Path, tmp_path: Path
) -> None:
    """On a tiny set, at a huge rate."""
    head, both = run_of_three, recipe_file(tmp_path, LogisticStage(), LAYERS_HURT)
    made = pawprint.train(tinted, recipe=both, out=tmp_path / "both", report=False)

    (found,) = made.outcomes
    assert (found.stage, found.undone) == (2, True)
    assert found.comparison is not None
    assert found.comparison.right_before == round(head.figures.accuracy * head.figures.count)
    plain = json.loads((head.path / "metrics.json").read_text("utf-8"))["validation"]["calibration"]
    assert found.comparison.log_loss_before == pytest.approx(plain["before"]["log_loss"])
    assert not found.comparison.better
    assert made.record["undone"] == [2]
    metrics = json.loads((made.path / "metrics.json").read_text("utf-8"))
    assert [Outcome.from_dict(row) for row in metrics["stages"]] == [found]
    assert [row["stage"] for row in made.history] == [2] * len(made.history) != []
    assert not any("overfits" in note for note in made.record["notes"])

    assert made.figures == head.figures
    for name in ("model/model.onnx", "predictions.csv"):
        assert (made.path / name).read_bytes() == (head.path / name).read_bytes(), name
    whole = load_keras().models.load_model(head.path / "model" / "model.keras")
    for name in ("model/model.keras", "whole.h5"):
        one = load_keras().models.load_model(made.path / name)
        for weights in zip(one.get_weights(), whole.get_weights(), strict=True):
            assert np.array_equal(*weights)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return backbones.build("starter", size=64, weights="random")


@pytest.fixture(scope="module")
def look(tinted: Path, scene: Any) -> Any:
    return scene(tinted, tiny_recipe())


@pytest.fixture
def material(
    backbone: Backbone, look: Any, tmp_path: Path, listener: Any
) -> Callable[..., Material]:
    def make(head: tuple[HeadLayer, ...] = (AveragePool(),)) -> Material:
        load_keras().utils.set_random_seed(3)
        own = Checkpoints(tmp_path / "run", look.recipe, backbone.digest, look.dataset)
        made = network.build(backbone, head, 3)
        return Material(made, look.views, look.sides, 3, 5, own, listener)

    return make


@pytest.fixture(scope="module")
def of_good() -> dict[str, Any]:
    """What the good stage alone comes to, once it was trained."""
    return {}


@pytest.fixture
def good(material: Callable[..., Material], of_good: dict[str, Any]) -> dict[str, Any]:
    """The good stage alone: its weights, and what it answers the validation photos."""
    if not of_good:
        alone = material()
        of_good["given"] = stages.fit([GOOD], alone).predict(VALIDATION)
        of_good["weights"] = weights(alone)
    return of_good


def weights(made: Material) -> list[NDArray[Any]]:
    return list(values_of(made.network.variables))


def same(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> bool:
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def test_a_stage_that_helps_is_kept_and_told_so(
    material: Callable[..., Material], listener: Any
) -> None:
    made = material()
    fitted = stages.fit([STILL, GOOD], made)
    (found,) = fitted.outcomes
    assert not found.undone
    assert fitted.undone == ()
    assert found.comparison is not None
    assert found.comparison.better
    labels = made.sides[VALIDATION].labels
    right = (fitted.predict(VALIDATION).argmax(axis=1) == labels).sum()
    assert found.comparison.right_after == right
    assert listener.lines[-1].startswith("stage 2 kept: ")


def test_what_is_undone_leaves_no_trace_but_its_epochs(
    material: Callable[..., Material], good: dict[str, Any], listener: Any
) -> None:
    made = material()
    fitted = stages.fit([GOOD, HURTS], made)
    assert fitted.undone == (2,)
    assert same(weights(made), good["weights"])
    assert np.array_equal(fitted.predict(VALIDATION), good["given"])
    assert [row["stage"] for row in fitted.history] == [1] * 6 + [2] * 2
    assert listener.lines[-1].startswith("stage 2 undone: ")


def test_a_later_stage_goes_on_from_what_stands(
    material: Callable[..., Material], good: dict[str, Any]
) -> None:
    made = material()
    fitted = stages.fit([GOOD, HURTS, STILL.model_copy(update={"roll_back": False})], made)
    second, third = fitted.outcomes
    assert (second.undone, third.undone) == (True, False)
    labels = made.sides[VALIDATION].labels
    assert third.comparison == compare(labels, good["given"], fitted.predict(VALIDATION))
    assert np.abs(fitted.predict(VALIDATION) - good["given"]).max() < 1e-5


def test_one_after_another_can_be_undone(
    material: Callable[..., Material], good: dict[str, Any]
) -> None:
    made = material()
    fitted = stages.fit([GOOD, HURTS, HURTS], made)
    assert fitted.undone == (2, 3)
    assert same(weights(made), good["weights"])


def test_without_roll_back_it_is_compared_and_stays(material: Callable[..., Material]) -> None:
    made = material()
    fitted = stages.fit([GOOD, HURTS.model_copy(update={"roll_back": False})], made)
    (found,) = fitted.outcomes
    assert found.comparison is not None
    assert not found.comparison.better
    assert not found.undone
    labels = made.sides[VALIDATION].labels
    right = (fitted.predict(VALIDATION).argmax(axis=1) == labels).sum()
    assert found.comparison.right_after == right


DIVERGES = head_stage(optimizer="sgd", rate=1.0, epochs=50)
DEEP = (AveragePool(), *(Dense(units=512) for _ in range(4)))


def test_a_stage_that_diverges_is_undone_and_told(
    material: Callable[..., Material], listener: Any
) -> None:
    alone, made = material(DEEP), material(DEEP)
    stages.fit([STILL], alone)
    fitted = stages.fit([STILL, DIVERGES], made)
    assert fitted.outcomes == (Outcome(2, None, undone=True),)
    assert same(weights(made), weights(alone))
    assert np.isfinite(fitted.predict(VALIDATION)).all()
    assert listener.lines[-1] == "stage 2 undone: it diverged"
    with pytest.raises(RecipeError, match=r"stage 2 diverged in epoch \d+:"):
        stages.fit([STILL, DIVERGES.model_copy(update={"roll_back": False})], material(DEEP))


@pytest.mark.parametrize("head", [(AveragePool(), Dropout(rate=0.2)), None])
def test_resumed_before_and_after_a_roll_back_it_ends_the_same(
    material: Callable[..., Material], head: tuple[HeadLayer, ...] | None
) -> None:
    first: Stage = GOOD if head else LogisticStage()
    plan = [first, HURTS, GOOD.model_copy(update={"roll_back": False, "epochs": 2}), HURTS]

    left: dict[tuple[float, float], Any] = {}

    def fit(kept: Kept | None = None) -> tuple[Any, ...]:
        made = material(head) if head else material()

        def report(row: dict[str, float]) -> None:
            if kept is None:  # what it would leave if it were killed now
                left[row["stage"], row["epoch"]] = made.checkpoints.load()

        fitted = stages.fit(plan, made, kept, report=report)
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in fitted.history]
        return weights(made), (rows, fitted.outcomes, fitted.predict(VALIDATION).tolist())

    expected, told = fit()
    assert [found.undone for found in told[1]] == [True, False, True]
    for moment in ((2, 1), (2, 2), (3, 1)):
        found, told_again = fit(left[moment])
        assert told_again == told, moment
        assert same(found, expected), moment
