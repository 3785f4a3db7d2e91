"""Training on features in parts: the runs that training on the photos gives, or a reason."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pawprint
from pawprint.data.split import TRAIN, VALIDATION, assign
from pawprint.errors import OutputError, RecipeError, SourceError
from pawprint.evaluation.metrics import Figures
from pawprint.model import backbones
from pawprint.model.framework import load_keras
from pawprint.parts.places import place
from pawprint.report.compare_runs import compare_runs
from pawprint.report.run_files import read_run
from pawprint.scale.engines import LocalEngine
from pawprint.scale.job import run_job
from pawprint.testing import tiny_recipe
from pawprint.training.from_features import train_on_features
from pawprint.training.recipe import DataPart, GradientStage, LogisticStage, Recipe, Stage
from pawprint.training.recipe_files import to_toml
from pawprint.training.run import Run
from pawprint.training.to_features import FeaturesOf, expect_computable

LAYERS = GradientStage(
    train="from:top_conv", epochs=2, batch_size=8, views="mirrored", rate=1e-3, roll_back=False
)

COPIES = "of copies only those of the same bytes are kept on one side, not near ones"
FOLDS = "photos are held out, however few: features in parts are not judged in folds"
COARSE = "figures are of bfloat16 features; the model computes in float32"


def embed(source: Path, out: Path, computes: FeaturesOf) -> Path:
    """What `pawprint embed` writes, in parts of 16 photos."""
    run_job(computes, place(source), place(out), LocalEngine(), part_size=16)
    return out


def recipe_of(path: Path, *stages: Stage, **values: Any) -> Path:
    """The tiny recipe with other stages, as a file."""
    made = Recipe.model_validate({**tiny_recipe().model_dump(), "stage": stages, **values})
    path.write_text(to_toml(made), "utf-8")
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def answers(run: Run) -> dict[str, list[float]]:
    """What a run predicted, by the photos' own names."""
    return {
        "/".join(Path(row["path"]).parts[-2:]): [float(row[c]) for c in run.record["classes"]]
        for row in table(run.path / "predictions.csv")
    }


@pytest.fixture(scope="module")
def tiny(recipe: Path) -> FeaturesOf:
    """What the tiny recipe needs."""
    return FeaturesOf(str(recipe))


@pytest.fixture(scope="module")
def embedded(photos: Path, tiny: FeaturesOf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the drawn photos, of which some cannot be read. Not to be changed."""
    return embed(photos, tmp_path_factory.mktemp("embedded") / "pets", tiny)


@pytest.fixture(scope="module")
def trained(embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on these features."""
    out = tmp_path_factory.mktemp("trained") / "run"
    return train_on_features(embedded, out=out, changes={"keras_h5": "whole.h5"}, report=False)


@pytest.fixture(scope="module")
def on_photos(photos: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the photos themselves, where only the same bytes are copies."""
    out = tmp_path_factory.mktemp("on_photos") / "run"
    exact = {"data.duplicates": "exact", "data.folds": 0}
    return pawprint.train(photos, recipe=recipe, out=out, changes=exact, report=False)


def test_the_sides_are_those_of_a_training_on_the_photos(trained: Run, on_photos: Run) -> None:
    rows = table(trained.path / "manifest.csv")
    held = assign([row["label"] for row in rows], [row["sha256"] for row in rows])
    assert [row["split"] for row in rows] == [VALIDATION if one else TRAIN for one in held]
    sides = [
        {
            "/".join(Path(row["path"]).parts[-2:]): row["split"]
            for row in table(one / "manifest.csv")
        }
        for one in (trained.path, on_photos.path)
    ]
    assert sides[0] == sides[1]


def test_the_head_is_that_of_a_training_on_the_photos(trained: Run, on_photos: Run) -> None:
    assert trained.figures.accuracy == on_photos.figures.accuracy
    assert trained.figures.confusion == on_photos.figures.confusion
    found, expected = answers(trained), answers(on_photos)
    assert found.keys() == expected.keys()
    for name, given in found.items():
        assert given == pytest.approx(expected[name], abs=1e-3)
    heads = [
        load_keras().models.load_model(run.model / "model.keras").get_weights()[-2:]
        for run in (trained, on_photos)
    ]
    for one, two in zip(*heads, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def test_both_are_compared_on_the_same_photos(trained: Run, on_photos: Run) -> None:
    found = compare_runs([trained.path, on_photos.path])[1].against_first
    assert found is not None
    assert found.count == trained.figures.count
    assert found.right_before == found.right_after


def test_a_run_has_the_files_of_one_on_photos(embedded: Path, trained: Run, on_photos: Run) -> None:
    files = [
        {path.relative_to(run.path) for path in run.path.rglob("*") if path.is_file()}
        for run in (trained, on_photos)
    ]
    assert files[0] - files[1] == {Path("whole.h5")}
    assert files[1] - files[0] == set()
    record = json.loads((trained.path / "run.json").read_text("utf-8"))
    assert record == json.loads(json.dumps(trained.record))
    assert record.keys() == on_photos.record.keys()
    for name in ("classes", "photos", "left_out", "recipe", "folds"):
        assert record[name] == on_photos.record[name], name
    assert record["source"] == "pets"
    assert record["command"] == f"pawprint train --features {embedded} --set keras_h5=whole.h5"
    assert {"training", "bundle", "total"} <= record["seconds"].keys()
    metrics = json.loads((trained.path / "metrics.json").read_text("utf-8"))
    assert Figures.from_dict(metrics["validation"]) == trained.figures
    assert read_run(trained.path).record.source == "pets"


def test_the_model_predicts_what_was_measured(trained: Run, photos: Path) -> None:
    assert trained.record["bundle"]["labels_differing"] == 0
    assert trained.record["bundle"]["photos"] == trained.figures.count
    assert trained.record["bundle"]["largest_difference"] < 1e-3
    classifier = trained.classifier()
    rows = table(trained.path / "predictions.csv")
    found = classifier.predict([photos / row["path"] for row in rows])
    novelty = [float(row["novelty"]) for row in rows]
    assert [one.novelty for one in found] == pytest.approx(novelty, rel=2e-2)
    assert not any(one.error for one in found)


def test_photos_with_errors_are_left_out_and_told(trained: Run, on_photos: Run) -> None:
    told, expected = (
        {"/".join(Path(row["path"]).parts[-2:]): row["reason"] for row in table(path)}
        for path in (trained.path / "left_out.csv", on_photos.path / "left_out.csv")
    )
    assert told == expected
    assert len(told) == trained.record["left_out"] >= 4


def test_copies_stay_on_one_side(trained: Run) -> None:
    sides: dict[str, set[str]] = {}
    rows = table(trained.path / "manifest.csv")
    for row in rows:
        sides.setdefault(row["sha256"], set()).add(row["split"])
    assert len(sides) < len(rows)  # there are copies
    assert all(len(found) == 1 for found in sides.values())


def test_a_recipe_that_is_named_gives_the_same_where_it_says_the_same(
    embedded: Path, trained: Run, tmp_path: Path, listener: Any
) -> None:
    """Its second stage, for which no features are there, is for more photos."""
    many = LAYERS.model_copy(update={"least_photos": 1000})
    recipe = recipe_of(tmp_path / "named.toml", LogisticStage(), many)
    own = Path(shutil.copytree(embedded, tmp_path / "parts"))
    manifest = json.loads((own / "manifest.json").read_text())
    (own / "manifest.json").write_text(json.dumps(manifest | {"unreachable": 2}))
    next(own.glob("plan-*/recipe.toml")).unlink()
    with pytest.raises(SourceError, match=r"recipe.toml cannot be read .*; name the recipe with"):
        train_on_features(own, out=tmp_path / "run")
    again = train_on_features(
        own, recipe=recipe, out=tmp_path / "run", report=False, progress=listener
    )
    for name in ("model/model.onnx", "predictions.csv", "manifest.csv", "left_out.csv"):
        assert (again.path / name).read_bytes() == (trained.path / name).read_bytes(), name
    assert again.record["fingerprint"] == trained.record["fingerprint"]
    note, lacking, copies = again.record["notes"]
    assert copies == COPIES
    errors = trained.record["left_out"]
    told = f"{errors} photos could not be read when they were embedded"
    assert trained.record["notes"] == [told, COPIES]
    told += ", 2 of them because their store failed: the same pawprint embed command tries those "
    assert lacking == f"{told}again"
    assert listener.said == [lacking]
    assert note.startswith("stage 2 was left out: it is for 1,000 photos and more, and there are")
    assert "least_photos" not in (again.path / "recipe.toml").read_text("utf-8")


def test_a_list_gives_labels_and_sides(
    tinted: Path, tiny: FeaturesOf, tmp_path: Path, listener: Any
) -> None:
    sides = ("test", "valid", "train", "train", "train")
    lines = ["path,label,split"]
    for folder in sorted(tinted.iterdir()):
        for number, path in enumerate(sorted(folder.iterdir())):
            label = folder.name.replace("red", "unknown")
            lines.append(f"{path},{label},{sides[number % 5]}")
    lines.append(f"{lines[1].split(',')[0]},blue,train")  # one of the test's
    (tmp_path / "photos.csv").write_text("\n".join(lines))
    parts = embed(tmp_path / "photos.csv", tmp_path / "parts", tiny)
    flips = {"augment": [{"layer": "flip", "mode": "horizontal"}]}
    run = train_on_features(
        parts, changes=flips, out=tmp_path / "run", report=False, progress=listener
    )
    assert listener.said == [
        '[[augment]] does nothing here: no stage has views = "fresh" or above 1',
        'a class is called "unknown", as photos of no class are: rename it, or set refuse = 0',
    ]
    assert run.test_figures is not None
    assert (run.test_figures.count, run.figures.count) == (12, 12)
    assert run.record["photos"]["train"] == {"blue": 12, "green": 12, "unknown": 12}
    assert table(run.path / "left_out.csv") == [
        {"path": lines[1].split(",")[0], "reason": "same bytes as a photo that judges"}
    ]
    judged = [row["split"] for row in table(run.path / "predictions.csv")]
    assert sorted(judged) == ["test"] * 12 + ["validation"] * 12
    assert run.record["bundle"]["photos"] == 12


def change(folder: Path) -> None:
    """Make all photos that of one cat, and of that none."""
    for path in folder.glob("*/*"):
        if path.stem != "cat_0001":
            shutil.copy(folder / "cat" / "cat_0001.jpg", path)
    (folder / "cat" / "cat_0001.jpg").write_bytes(b"")


@pytest.fixture(scope="module")
def coarse(recipe: Path) -> FeaturesOf:
    return FeaturesOf(str(recipe), precision="bfloat16")


@pytest.mark.parametrize("harm", [shutil.rmtree, change])
def test_where_the_photos_are_gone_or_changed_the_model_is_not_tried(
    few: Path, coarse: FeaturesOf, tmp_path: Path, listener: Any, harm: Callable[[Path], None]
) -> None:
    own = Path(shutil.copytree(few, tmp_path / "photos"))
    parts = embed(own, tmp_path / "parts", coarse)
    harm(own)
    run = train_on_features(
        parts,
        changes={"data.folds": 5},
        out=tmp_path / "run",
        report=False,
        progress=listener,
    )
    (said,) = listener.said
    assert said.startswith(f"the photos are not at {own} any more, as they were: the model was not")
    assert run.record["bundle"] == {"photos": 0, "labels_differing": 0}
    assert run.classifier().predict(few / "dog" / "dog_0002.jpg").label in ("cat", "dog", "unknown")
    assert read_run(run.path).record.place == str(own)
    assert run.record["notes"] == [COPIES, FOLDS, COARSE]


# --- Stages that train layers of the network ---

# At a huge rate, towards labels that are mostly smoothed away.
HURTS = {"epochs": 1, "rate": 1.0, "optimizer": "sgd", "label_smoothing": 0.9, "roll_back": True}
HURT = {f"stage.2.{name}": value for name, value in HURTS.items()}


@pytest.fixture(scope="module")
def two_stages(tinted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe that trains the last layers, mirrored answers, and the features it needs."""
    folder = tmp_path_factory.mktemp("two_stages")
    path = recipe_of(folder / "two.toml", LogisticStage(), LAYERS, mirror=True)
    return path, embed(tinted, folder / "parts", FeaturesOf(str(path)))


def test_the_features_of_all_stages_and_views_are_computed(two_stages: tuple[Path, Path]) -> None:
    job = json.loads((two_stages[1] / "job.json").read_text())
    columns = {c["name"]: (c["view"], c["pooled"]) for c in job["computes"]["columns"]}
    (cut,) = {c["key"]["cut"] for c in job["computes"]["columns"] if not c["pooled"]}
    assert columns == {
        "embedding": ("plain", True),
        "embedding_mirror": ("mirror", True),
        cut: ("plain", False),
        f"{cut}_mirror": ("mirror", False),
    }


def test_a_stage_trains_layers_in_batches_from_the_parts(
    two_stages: tuple[Path, Path], tmp_path: Path, listener: Any
) -> None:
    run = train_on_features(two_stages[1], out=tmp_path / "run", report=False, progress=listener)
    photos = sum(run.record["photos"]["train"].values())
    batches = -(-2 * photos // 8)  # each view
    assert listener.steps["Stage 2, epoch 1 of 2"] == batches
    assert [(row["stage"], row["epoch"]) for row in run.history] == [(2, 1), (2, 2)]
    assert run.history[1]["loss"] < run.history[0]["loss"]
    (outcome,) = run.outcomes
    assert (outcome.stage, outcome.undone) == (2, False)
    assert outcome.comparison is not None
    assert run.record["undone"] == []
    assert run.record["bundle"]["largest_difference"] < 0.02
    assert run.record["bundle"]["labels_differing"] == 0
    classifier = run.classifier()
    assert classifier.card.mirror
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    there, back = classifier.probabilities(pixels), classifier.probabilities(pixels[:, ::-1].copy())
    np.testing.assert_allclose(there, back, atol=1e-6)
    whole = load_keras().models.load_model(run.model / "model.keras")
    start = backbones.build("starter", size=64, weights="random").network
    moved = [
        layer.name
        for layer, own in zip(whole.get_layer("starter").layers, start.layers, strict=True)
        if any(map(np.any, map(np.subtract, layer.get_weights(), own.get_weights())))
    ]
    assert moved == ["top_conv", "top_norm"]


def test_a_stage_that_hurts_is_undone_as_on_photos(
    two_stages: tuple[Path, Path], tinted: Path, tmp_path: Path
) -> None:
    recipe, parts = two_stages
    made = train_on_features(parts, changes=HURT, out=tmp_path / "made", report=False)
    expected = pawprint.train(
        tinted,
        recipe=recipe,
        changes={**HURT, "data.duplicates": "exact"},
        out=tmp_path / "expected",
        report=False,
    )
    for run in (made, expected):
        assert [(one.stage, one.undone) for one in run.outcomes] == [(2, True)]
        assert run.record["undone"] == [2]
    assert made.figures.confusion == expected.figures.confusion
    for name, given in answers(made).items():
        assert given == pytest.approx(answers(expected)[name], abs=1e-3)


# --- What is refused ---


@pytest.mark.parametrize(("stages", "told"), [
    ([GradientStage(train="head", views="fresh")], r"stage 1 augments photos \(views = 'fresh'\)"),
    ([LogisticStage(), GradientStage(train="last:3", views=4)], r"stage 2 augments photos"),
    ([LogisticStage(), GradientStage(train="all")], "stage 2 trains all layers"),
    ([GradientStage(train="last:3"), GradientStage(train="last:9")],
     "stage 2 comes after one that trains the network's layers"),
])  # fmt: skip
def test_recipes_that_need_the_photos_are_refused(
    embedded: Path, tmp_path: Path, stages: list[Stage], told: str
) -> None:
    augment = [{"layer": "flip", "mode": "horizontal"}]
    path = recipe_of(tmp_path / "other.toml", *stages, augment=augment)
    with pytest.raises(RecipeError, match=told):
        FeaturesOf(str(path))
    with pytest.raises(RecipeError, match=told):
        train_on_features(embedded, recipe=path, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("changes", "told"), [
    ({"data.size": 32}, r"made from photos of 64 px \(squash\), and the recipe tiny wants 32 px"),
    ({"data.policy": "crop"}, r"made from photos of 64 px \(squash\).*wants 64 px \(crop\)"),
    ({"data.test": 0.5}, "data.test is not for --features; give the photos of a test a split"),
    ({"data.group_by": "folder"}, "data.group_by is not for --features, which knows no groups"),
    ({"decision": "recall:bird=0.9"}, "bird"),
    ({"data.folds": 1}, "at least 2"),
])  # fmt: skip
def test_what_does_not_fit_the_features_is_refused(
    embedded: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError, match=told):
        train_on_features(embedded, changes=changes, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_part_to_hold_out_is_a_keyword(embedded: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe.toml with data.validation=1.5: .*"):
        train_on_features(embedded, validation=1.5, out=tmp_path / "run")


def test_faults_of_the_recipe_are_told_with_its_own_file(embedded: Path, tmp_path: Path) -> None:
    (recipe,) = embedded.glob("plan*/recipe.toml")
    told = f"{recipe}.* with stage.9.epochs=3: there is no stage 9"
    with pytest.raises(RecipeError, match=told):
        train_on_features(embedded, changes={"stage.9.epochs": 3}, out=tmp_path / "run")
    own = Path(shutil.copytree(embedded, tmp_path / "parts"))
    (recipe,) = own.glob("plan*/recipe.toml")
    recipe.write_bytes(b"\xff = ")
    with pytest.raises(RecipeError, match=f"{recipe} is not TOML"):
        train_on_features(own, out=tmp_path / "run")


def seeded(folder: Path) -> dict[str, Any]:
    return {"seed": 1}  # other random weights


def other_network(folder: Path) -> dict[str, Any]:
    return {"backbone": "MobileNetV2", "weights": "random"}


def layers(folder: Path) -> dict[str, Any]:
    return {"recipe": recipe_of(folder / "layers.toml", LogisticStage(), LAYERS)}


def mirrored(folder: Path) -> dict[str, Any]:
    return {"changes": {"mirror": True}}


@pytest.mark.parametrize("asked", [seeded, other_network, layers, mirrored])
def test_what_needs_other_features_is_refused(
    embedded: Path, tmp_path: Path, asked: Callable[[Path], dict[str, Any]]
) -> None:
    with pytest.raises(SourceError, match=f"{embedded} has no features of .*embed the photos"):
        train_on_features(embedded, **asked(tmp_path), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_classes_too_small_and_single_ones_are_refused(
    few: Path, tiny: FeaturesOf, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(few, tmp_path / "photos"))
    for path in sorted((own / "dog").iterdir())[1:]:
        path.unlink()
    parts = embed(own, tmp_path / "parts", tiny)
    with pytest.raises(SourceError, match=f"{parts}: no (train|validation) photo of dog has"):
        train_on_features(parts, out=tmp_path / "run")
    shutil.rmtree(own / "dog")
    (own / "dog").mkdir()
    parts = embed(own, tmp_path / "one", tiny)
    with pytest.raises(SourceError, match=r"photos of 1 class\(es\) \(cat\); at least 2"):
        train_on_features(parts, out=tmp_path / "run")
    (tmp_path / "list.txt").write_text("\n".join(str(path) for path in own.glob("cat/*")))
    parts = embed(tmp_path / "list.txt", tmp_path / "none", tiny)
    with pytest.raises(SourceError, match=r"photos of 0 class\(es\) \(none\).*a list with labels"):
        train_on_features(parts, out=tmp_path / "run")


def test_a_place_for_features_that_cannot_be_made_is_told(
    embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match=r"cache cannot be made .* another in PAWPRINT_CACHE"):
        train_on_features(embedded, out=tmp_path / "run")


def test_a_folder_that_is_there_is_not_replaced(embedded: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("kept")
    with pytest.raises(OutputError, match="run exists"):
        train_on_features(embedded, out=tmp_path / "run")
    assert (tmp_path / "run" / "mine.txt").read_text() == "kept"


def test_the_data_part_of_a_recipe_knows_no_more_than_is_handled() -> None:
    handled = {"test", "group_by"}  # refused
    handled |= {"size", "policy", "validation", "seed", "leaks"}  # followed
    handled |= {"duplicates", "folds", "folds_below"}  # near copies and folds are not known
    assert set(DataPart.model_fields) == handled


def test_a_head_of_mirrored_views_is_refused() -> None:
    recipe = Recipe(name="both", stage=(LogisticStage(views="mirrored"),))
    with pytest.raises(RecipeError, match="stage 1 fits a head to mirror images, too"):
        expect_computable(recipe)
