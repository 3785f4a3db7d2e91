"""Labels that may be wrong: which are told, by what, and that none is judged by its own photo."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pawprint.data.dataset import Dataset, Photo
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.model import backbones, head, network
from pawprint.model.backbones import Backbone
from pawprint.model.feature_store import FeatureStore
from pawprint.model.head_layers import AveragePool, Dense
from pawprint.model.network import Network
from pawprint.progress import SILENT
from pawprint.testing import tiny_recipe
from pawprint.training import stages, suspects
from pawprint.training.gradient import Material
from pawprint.training.look import Looked
from pawprint.training.recipe import LogisticStage
from pawprint.training.run import Run
from pawprint.training.stages import Fitted, Judged
from pawprint.training.suspects import Suspects
from pawprint.training.views import Views

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
    assert found["judged_by"] == "logistic regression on starter's features, in 5 folds"
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


@dataclass(frozen=True)
class Seen:
    """Photos whose features by some weights are there, and a head fitted to them."""

    views: Views
    built: Backbone
    looked: Looked
    made: Network
    fitted: Fitted

    @property
    def stores(self) -> dict[str, FeatureStore]:
        return suspects.plain_features(self.views, self.built, self.looked)

    def find(self, keys: dict[str, str]) -> Suspects:
        """With what photos share."""
        looked = replace(self.looked, keys=keys)
        held = stages.judge(looked.dataset, VALIDATION, looked.sides[VALIDATION], self.fitted)
        return suspects.find(looked, self.stores, self.fitted, self.made, {VALIDATION: held})


@pytest.fixture(scope="module")
def seen(tinted: Path, scene: Any, own_weights: Path) -> Seen:
    recipe = tiny_recipe()
    named = recipe.backbone.model_copy(update={"weights": str(own_weights)})
    recipe = recipe.model_copy(update={"backbone": named})
    found = scene(tinted, recipe)
    looked = Looked(recipe, (), found.dataset, (), found.sides, None, {})
    built = backbones.build("starter", size=64, weights=own_weights)
    assert suspects.plain_features(found.views, built, looked) == {}  # not there yet
    made = network.build(built, (AveragePool(),), 3)
    material = Material(made, found.views, found.sides, 3, 0, None, SILENT)
    return Seen(found.views, built, looked, made, stages.fit([LogisticStage()], material))


def test_features_that_mean_nothing_or_judge_already_are_not_asked_for(seen: Seen) -> None:
    assert list(seen.stores) == [TRAIN, VALIDATION]
    recipe = seen.looked.recipe
    dense = recipe.model_copy(update={"head": (AveragePool(), Dense(units=4))})
    random = recipe.model_copy(update={"backbone": tiny_recipe().backbone})
    for other in (
        replace(seen.looked, recipe=dense),
        replace(seen.looked, recipe=random),
        replace(seen.looked, fold_of=np.zeros(60, np.int64)),
    ):
        assert suspects.plain_features(seen.views, seen.built, other) == {}


def halves(looked: Looked) -> dict[str, str]:
    return {photo.path: str(n % 2) for n, photo in enumerate(looked.dataset.photos)}


def test_photos_that_belong_together_do_not_judge_each_other(seen: Seen) -> None:
    looked, half = seen.looked, halves(seen.looked)
    found = seen.find(half)
    assert 0 < found.count < found.photos == 60
    reads = [read for side in looked.sides.values() for read in side.reads]
    labels = np.concatenate([side.labels for side in looked.sides.values()])
    features = np.vstack(
        [
            store.take([read.sha256 for read in looked.sides[side].reads])
            for side, store in seen.stores.items()
        ]
    )
    strength = next(row["strength"] for row in seen.fitted.choice if row["chosen"])
    fold_of = np.array([int(half[read.photo.path]) for read in reads])
    start = head.Head(*seen.made.top.get_weights())  # where it starts shows in the third place
    given = head.out_of_fold(features, labels, fold_of, strength=strength, start=start)
    place = {read.photo.path: number for number, read in enumerate(reads)}
    for row in found.rows:
        own = given[place[row["path"]], labels[place[row["path"]]]]
        assert row["given_probability"] == pytest.approx(own, abs=1e-5)


def test_as_many_folds_are_told_as_there_were(seen: Seen) -> None:
    assert seen.find(halves(seen.looked)).judged_by.endswith("in 2 folds")


def test_a_class_that_cannot_be_parted_is_no_error(seen: Seen) -> None:
    """As one whose only photo was left on both sides by data.leaks."""
    found = seen.find({p.path: p.label for p in seen.looked.dataset.photos})
    assert found.photos == len(seen.looked.sides[VALIDATION].labels)
    assert found.judged_by == "the network, on photos held out"


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
