"""Labels that may be wrong: which are told, by what, and that none is judged by its own photo."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pawprint.data.dataset import Dataset, Photo
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.model import backbones, network
from pawprint.model.head_layers import AveragePool, Dense
from pawprint.testing import tiny_recipe
from pawprint.training import stages, suspects
from pawprint.training.gradient import Material
from pawprint.training.look import Looked
from pawprint.training.recipe import LogisticStage
from pawprint.training.run import Run
from pawprint.training.stages import Judged

ROW = {
    "path",
    "sha256",
    "split",
    "given",
    "suggested",
    "given_probability",
    "suggested_probability",
}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def told(run: Run) -> Any:
    return json.loads((run.path / "suspects.json").read_text("utf-8"))


def mistakes(run: Run) -> set[str]:
    """The photos of which another class is the most probable."""
    classes = run.record["classes"]
    return {
        row["path"]
        for row in table(run.path / "predictions.csv")
        if row["label"] != max(classes, key=lambda label: float(row[label]))
    }


@pytest.fixture(params=["run", "run_of_three", "reviewed", "coloured_in_folds"])
def any_run(request: pytest.FixtureRequest) -> Run:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Run)
    return found


def test_every_row_is_a_photo_of_the_manifest_with_a_likelier_class(any_run: Run) -> None:
    found = told(any_run)
    assert set(found) == {"judged_by", "photos", "count", "expected", "suspects"}
    assert found["count"] == len(found["suspects"]) == any_run.record["suspects"] > 0
    assert found["count"] <= found["photos"]
    listed = {row["path"]: row for row in table(any_run.path / "manifest.csv")}
    for row in found["suspects"]:
        assert set(row) == ROW
        photo = listed.pop(row["path"])  # none is told twice
        assert (row["given"], row["split"]) == (photo["label"], photo["split"])
        assert row["sha256"] == hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest()
        assert row["suggested"] in set(any_run.record["classes"]) - {row["given"]}
        assert 0 <= row["given_probability"] < row["suggested_probability"] <= 1
    margins = [row["given_probability"] - row["suggested_probability"] for row in found["suspects"]]
    assert margins == sorted(margins)


# judged by the pretrained network's own features


def test_photos_in_the_wrong_folder_are_at_the_top(reviewed: Run, coloured: Path) -> None:
    wrong = {
        str(path) for path in coloured.glob("*/*.png") if not path.name.startswith(path.parent.name)
    }
    assert len(wrong) == 7
    found = told(reviewed)
    assert wrong == {row["path"] for row in found["suspects"][:7]}
    assert {row["split"] for row in found["suspects"][:7]} == {TRAIN, VALIDATION}
    for row in found["suspects"][:7]:
        assert Path(row["path"]).name.startswith(row["suggested"])
    assert 5 <= found["expected"] <= 10


def test_all_photos_are_judged_by_a_regression_on_plain_features(reviewed: Run) -> None:
    found = told(reviewed)
    assert found["judged_by"] == "logistic regression on MobileNetV2's features, in 5 folds"
    assert found["photos"] == len(table(reviewed.path / "manifest.csv")) == 61


def test_a_copy_with_the_same_wrong_label_does_not_excuse_it(reviewed: Run) -> None:
    names = [Path(row["path"]).name for row in told(reviewed)["suspects"]]
    assert {"blue_00.png", "blue_00_again.png"} <= set(names[:7])


# judged by the networks that are judged anyhow


@pytest.mark.parametrize("name", ["run", "run_of_three"])
def test_without_pretrained_features_photos_held_out_are_judged(
    name: str, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(name)
    found = told(run)
    assert found["judged_by"] == "the network, on photos held out"
    assert found["photos"] == run.figures.count
    assert {row["path"] for row in found["suspects"]} == mistakes(run)


def test_in_folds_every_photo_is_judged_by_the_network_of_its_fold(
    coloured_in_folds: Run,
) -> None:
    found = told(coloured_in_folds)
    assert found["judged_by"] == "the networks of 3 folds"
    assert found["photos"] == 61
    assert {row["path"] for row in found["suspects"]} == mistakes(coloured_in_folds)


# which photos there are features of


@pytest.fixture(scope="module")
def seen(tinted: Path, scene: Any, own_weights: Path) -> tuple[Any, Any, Looked]:
    """Tinted photos, the network, and a look at them that asks for its weights by file."""
    recipe = tiny_recipe()
    named = recipe.backbone.model_copy(update={"weights": str(own_weights)})
    recipe = recipe.model_copy(update={"backbone": named})
    found = scene(tinted, recipe)
    keys = {photo.path: photo.sha256 for photo in found.dataset.photos}
    built = backbones.build(size=64, alpha=0.35, weights=own_weights)
    return found.views, built, Looked(recipe, (), found.dataset, (), found.sides, None, keys)


def test_features_are_asked_for_only_once_they_are_there(seen: Any, listener: Any) -> None:
    views, built, looked = seen
    assert suspects.plain_features(views, built, looked) == {}
    made = network.build(built, (AveragePool(),), 3)
    material = Material(made, views, looked.sides, 3, 0, None, listener)
    fitted = stages.fit([LogisticStage()], material)
    stores = suspects.plain_features(views, built, looked)
    assert list(stores) == [TRAIN, VALIDATION]
    found = suspects.find(looked, stores, fitted, made, {})
    assert (found.photos, found.count) == (60, len(found.rows))
    assert {row["split"] for row in found.rows} <= {TRAIN, VALIDATION}

    kin = {photo.path: photo.label for photo in looked.dataset.photos}
    alone = suspects.find(replace(looked, keys=kin), stores, fitted, made, {})
    assert alone.count == 60 > found.count  # kin are judged without each other
    assert {row["given_probability"] for row in alone.rows} == {0.0}

    dense = looked.recipe.model_copy(update={"head": (AveragePool(), Dense(units=4))})
    random = looked.recipe.model_copy(update={"backbone": tiny_recipe().backbone})
    fold_of = np.zeros(60, np.int64)
    for other in (
        replace(looked, recipe=dense),  # another regression than the network's own
        replace(looked, recipe=random),  # features that mean nothing
        replace(looked, fold_of=fold_of),  # judged already
    ):
        assert suspects.plain_features(views, built, other) == {}


# very many


def test_at_most_a_thousand_are_told_and_all_are_counted() -> None:
    photos = tuple(
        Photo(f"{label}/{n}.jpg", label, VALIDATION, f"{label}{n}", 9, 8, 8)
        for label in ("cat", "dog")
        for n in range(600)
    )
    truth = np.repeat([0, 1], 600)
    wrong = np.linspace(0.51, 0.99, 1200)
    given = np.stack([1 - wrong, wrong], axis=1)
    given[truth == 1] = given[truth == 1][:, ::-1]
    looked = Looked(tiny_recipe(), (), Dataset("pets", photos), (), {}, None, {})
    judged = {VALIDATION: Judged(list(range(1200)), truth, given)}
    found = suspects.find(looked, {}, None, None, judged)  # type: ignore[arg-type] - not asked
    assert (found.photos, found.count, len(found.rows)) == (1200, 1200, 1000)
    assert found.rows[0]["path"] == "dog/599.jpg"
    assert found.rows[-1]["path"] == photos[200].path
    assert json.loads(json.dumps(found.to_dict()))["count"] == 1200
