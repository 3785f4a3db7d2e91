"""Few photos are judged by networks that have not seen them, and all of them train the model."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pawprint
from pawprint.data.dataset import Dataset
from pawprint.data.split import TRAIN, VALIDATION, assign_folds
from pawprint.errors import RecipeError
from pawprint.evaluation.metrics import Figures
from pawprint.model import backbones, network
from pawprint.model.framework import load_keras
from pawprint.model.head_layers import AveragePool, Dense
from pawprint.testing import tiny_recipe
from pawprint.training import folds, stages
from pawprint.training.batches import Side
from pawprint.training.gradient import Material, values_of
from pawprint.training.recipe import DataPart, GradientStage, LogisticStage, Recipe
from pawprint.training.recipe_files import to_toml
from pawprint.training.run import Run

PLAIN = (AveragePool(),)
IN_FOLDS = {"data.folds": 4}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# one stage after the other


@pytest.fixture(scope="module")
def backbone() -> Any:
    return backbones.build("starter", size=64, weights="random")


@pytest.fixture(scope="module")
def look(tinted: Path, scene: Any) -> Any:
    found = scene(tinted, tiny_recipe())
    found.views.exact_only = True
    return found


@pytest.fixture
def material(backbone: Any, look: Any, listener: Any) -> Callable[..., Material]:
    """All photos on the training side."""

    def make(labels: NDArray[np.int64] | None = None, head: Any = PLAIN) -> Material:
        load_keras().utils.set_random_seed(3)
        one, other = look.sides[TRAIN], look.sides[VALIDATION]
        whole = Side([*one.reads, *other.reads], np.concatenate([one.labels, other.labels]))
        side = whole if labels is None else Side(whole.reads, labels)
        made = network.build(backbone, head, 3)
        return Material(made, look.views, {TRAIN: side}, 3, 5, None, listener)

    return make


def fold_of(made: Material) -> NDArray[np.int64]:
    side = made.sides[TRAIN]
    names = [str(label) for label in side.labels]
    return np.array(assign_folds(names, [read.sha256 for read in side.reads], folds=3))


def all_train(look: Any) -> Dataset:
    photos = look.dataset.photos
    return Dataset("tinted", tuple(replace(photo, split=TRAIN) for photo in photos))


GOOD = GradientStage(train="head", rate=0.02, epochs=6, batch_size=7)
# Towards labels that are mostly smoothed away, at a huge rate: it hurts whatever the features are.
HURTS = GradientStage(
    train="head", optimizer="sgd", rate=1.0, epochs=2, batch_size=7, label_smoothing=0.9
)


def test_a_photos_own_label_does_not_reach_what_it_is_answered(
    material: Callable[..., Material], look: Any
) -> None:
    made = material()
    in_fold = fold_of(made)
    changed = made.sides[TRAIN].labels.copy()
    changed[in_fold == 2] = (changed[in_fold == 2] + 1) % 3
    for stage in (LogisticStage(), GOOD.model_copy(update={"epochs": 2})):
        plain = folds.fit([stage], material(), all_train(look), in_fold).judged
        other = folds.fit([stage], material(changed), all_train(look), in_fold).judged
        same = (plain.probabilities == other.probabilities).all(axis=1)
        assert same[in_fold == 2].all()
        assert not same[in_fold != 2].any()


def test_labels_at_random_are_not_foretold(material: Callable[..., Material], look: Any) -> None:
    labels = np.random.default_rng(0).permutation(material().sides[TRAIN].labels)
    made = material(labels)
    stage = GradientStage(train="head", rate=0.1, epochs=25, batch_size=15)
    found = folds.fit([stage], made, all_train(look), fold_of(made))
    own = found.fitted.predict(TRAIN).argmax(axis=1) == labels
    assert own.mean() >= 0.7  # the model knows its photos by heart,
    right = found.judged.probabilities.argmax(axis=1) == labels
    assert right.mean() <= 0.55  # which its figures are free of
    assert len(right) == len(labels)


def test_the_model_is_trained_on_all_photos(material: Callable[..., Material], look: Any) -> None:
    alone, made = material(), material()
    stages.fit([GOOD], alone)
    found = folds.fit([GOOD], made, all_train(look), fold_of(made))
    for one, other in zip(
        values_of(made.network.variables), values_of(alone.network.variables), strict=True
    ):
        assert np.array_equal(one, other)
    assert [row["epoch"] for row in found.fitted.history] == [1, 2, 3, 4, 5, 6]
    assert "val_loss" not in found.fitted.history[0]


def test_a_stage_that_does_not_help_is_undone_in_all_folds(
    material: Callable[..., Material], look: Any, listener: Any
) -> None:
    alone, made = material(), material()
    in_fold = fold_of(made)
    first = folds.fit([GOOD], alone, all_train(look), in_fold)
    found = folds.fit([GOOD, HURTS], made, all_train(look), in_fold)
    (outcome,) = found.fitted.outcomes
    assert (outcome.stage, outcome.undone) == (2, True)
    assert outcome.comparison is not None
    assert outcome.comparison.count == len(in_fold)
    assert np.array_equal(found.judged.probabilities, first.judged.probabilities)
    assert np.array_equal(found.fitted.predict(TRAIN), first.fitted.predict(TRAIN))
    assert {row["stage"] for row in found.fitted.history} == {1}
    assert any(line.startswith("fold 3 of 3, stage 2, epoch 2 of 2") for line in listener.lines)


def test_a_stage_that_helps_or_may_not_be_undone_is_in_the_model(
    material: Callable[..., Material], look: Any
) -> None:
    made = material()
    plan = [HURTS, GOOD, HURTS.model_copy(update={"roll_back": False})]
    found = folds.fit(plan, made, all_train(look), fold_of(made))
    assert [outcome.undone for outcome in found.fitted.outcomes] == [False, False]
    assert [row["stage"] for row in found.fitted.history] == [1] * 2 + [2] * 6 + [3] * 2
    last = found.fitted.outcomes[-1].comparison
    assert last is not None
    judged = found.judged
    assert last.right_after == (judged.probabilities.argmax(axis=1) == judged.truth).sum()


def test_a_stage_that_diverges_in_a_fold_is_undone(
    material: Callable[..., Material], look: Any
) -> None:
    deep = (AveragePool(), *(Dense(units=512) for _ in range(4)))
    made = material(head=deep)
    still = GOOD.model_copy(update={"optimizer": "sgd", "rate": 1e-9, "epochs": 1})
    diverges = HURTS.model_copy(update={"epochs": 50, "label_smoothing": 0.0})
    found = folds.fit([still, diverges], made, all_train(look), fold_of(made))
    assert [(one.undone, one.comparison) for one in found.fitted.outcomes] == [(True, None)]
    with pytest.raises(RecipeError, match="stage 1 diverged"):
        folds.fit([diverges], material(head=deep), all_train(look), fold_of(made))


# a whole run


@pytest.fixture(scope="module")
def run(photos: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Drawn photos with faults and copies among them, in folds."""
    out = tmp_path_factory.mktemp("folds") / "run"
    return pawprint.train(photos, recipe=recipe, changes=IN_FOLDS, out=out, report=False)


def test_every_photo_trains_and_is_judged_in_one_fold(run: Run) -> None:
    listed, judged = table(run.path / "manifest.csv"), table(run.path / "predictions.csv")
    assert {row["split"] for row in listed} == {TRAIN}
    assert [row["path"] for row in judged] == [row["path"] for row in listed]
    assert {row["split"] for row in judged} == {"fold 1", "fold 2", "fold 3", "fold 4"}
    in_fold: dict[str, set[str]] = {}
    for photo, row in zip(listed, judged, strict=True):
        in_fold.setdefault(photo["sha256"], set()).add(row["split"])
    assert len(in_fold) < len(listed)  # there are copies
    assert {len(found) for found in in_fold.values()} == {1}


def test_the_figures_are_of_all_photos_and_say_how_they_came(run: Run) -> None:
    metrics = json.loads((run.path / "metrics.json").read_text("utf-8"))
    assert metrics["validation"]["folds"] == run.record["folds"] == 4
    assert Figures.from_dict(metrics["validation"]) == run.figures
    judged = table(run.path / "predictions.csv")
    right = [row["label"] == row["predicted"] for row in judged]
    assert (run.figures.count, run.figures.accuracy) == (len(right), np.mean(right))
    card = run.classifier().card
    assert (card.metrics["validation_photos"], card.metrics["folds"]) == (len(right), 4)
    assert run.record["photos"][VALIDATION] == {"cat": 0, "dog": 0}


def test_the_bundle_is_held_against_its_own_network(run: Run) -> None:
    tried = run.record["bundle"]
    assert tried["photos"] == run.figures.count
    assert tried["labels_differing"] == 0
    assert tried["largest_difference"] <= 2e-3


def test_the_summary_says_it(
    photos: Path, recipe: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    out = tmp_path / "run"
    ran = cli(
        "train", photos, "--recipe", recipe, "--out", out, "--set", "data.folds=2", "--no-report"
    )
    assert ran.code == 0
    assert " to train on, judged in 2 folds\n" in ran.out
    assert " photos, each judged by a network that had not seen it (2 folds; 95% interv" in ran.out
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.parametrize(
    "values",
    [
        {"validation": 0.25},
        {"changes": {**IN_FOLDS, "data.folds_below": 20}},
        {"changes": {"data.validation": 0.25}},
    ],
)
def test_photos_are_held_out_where_they_are_many_or_that_is_asked_for(
    photos: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(with_folds(tiny_recipe(size=32))), "utf-8")
    made = pawprint.train(photos, recipe=path, out=tmp_path / "run", **values, report=False)
    assert made.record["folds"] == 0
    assert all(made.record["photos"][VALIDATION].values())


def with_folds(recipe: Recipe, folds: int = 3) -> Recipe:
    data = DataPart(size=recipe.data.size, folds=folds)
    return Recipe.model_validate({**recipe.model_dump(), "data": data})


def test_given_validation_photos_are_used(few: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(few.glob("*/*.jpg"))):
        place = tmp_path / "photos" / ("train" if number % 4 else VALIDATION) / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(with_folds(tiny_recipe(size=32))), "utf-8")
    made = pawprint.train(tmp_path / "photos", recipe=path, out=tmp_path / "run", report=False)
    assert (made.record["folds"], made.figures.count) == (0, 10)
    shutil.move(tmp_path / "photos" / VALIDATION, tmp_path / "photos" / "test")
    made = pawprint.train(tmp_path / "photos", recipe=path, out=tmp_path / "tested", report=False)
    assert (made.record["folds"], made.figures.count) == (3, 30)
    assert made.test_figures is not None
    assert made.test_figures.count == 10


def test_layers_of_the_backbone_can_be_trained_in_folds(few: Path, tmp_path: Path) -> None:
    """On augmented photos, with everything that a run leaves; two folds show it."""
    stage = GradientStage(train="last:12", epochs=1, views="fresh", roll_back=False)
    made = Recipe.model_validate(
        {
            **with_folds(tiny_recipe(size=32), 2).model_dump(),
            "augment": [{"layer": "flip"}],
            "stage": [LogisticStage(), stage],
        }
    )
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(made), "utf-8")
    run = pawprint.train(few, recipe=path, out=tmp_path / "run", resume=True)
    assert (run.path / "plots" / "training_curves.svg").is_file()
    assert [row["stage"] for row in run.history] == [2]
    assert [outcome.stage for outcome in run.outcomes] == [2]
    assert run.record["bundle"]["labels_differing"] == 0
    assert not list(tmp_path.glob("*.unfinished"))
