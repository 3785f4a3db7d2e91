"""A training from end to end: what is written is whole, true, and the same again."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pawprint
from pawprint.data.samples import Fault, Planted
from pawprint.errors import OutputError, RecipeError, SourceError
from pawprint.evaluation.metrics import Figures, figures
from pawprint.model import backbones
from pawprint.testing import write_tiny_recipe
from pawprint.training import recipe_files
from pawprint.training.run import Run

UNREADABLE = {Fault.TRUNCATED, Fault.EMPTY, Fault.NOT_AN_IMAGE, Fault.DAMAGED}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def values(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def answers(run: Run) -> dict[str, dict[str, float]]:
    """What a run predicted, by the photos' own names."""
    classes = run.record["classes"]
    return {
        "/".join(Path(row["path"]).parts[-2:]): {label: float(row[label]) for label in classes}
        for row in table(run.path / "predictions.csv")
    }


@pytest.fixture(params=["run", "run_of_three"])
def any_run(request: pytest.FixtureRequest) -> Run:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Run)
    return found


def test_a_run_has_all_its_files_and_no_others(any_run: Run) -> None:
    assert set(snapshot(any_run.path)) == {
        "model/model.onnx",
        "model/model.keras",
        "model/pawprint.json",
        "model/MODEL_CARD.md",
        "report.html",
        "suspects.json",
        "metrics.json",
        "predictions.csv",
        "manifest.csv",
        "left_out.csv",
        "findings.json",
        "recipe.toml",
        "run.json",
        *(
            f"plots/{plot}.{kind}"
            for plot in (
                "confusion_matrix",
                "roc_curve",
                "precision_recall_curve",
                "reliability",
                "head_strength",
                "samples",
            )
            for kind in ("png", "svg")
        ),
    }
    assert [path.name for path in any_run.path.parent.iterdir()] == [any_run.path.name]


def test_others_may_read_a_run(any_run: Run) -> None:
    assert any_run.path.stat().st_mode & 0o055 == 0o055
    assert any_run.model.stat().st_mode & 0o055 == 0o055


def test_the_manifest_lists_every_photo_as_it_is_on_disk(run: Run) -> None:
    rows = table(run.path / "manifest.csv")
    for row in rows:
        data = Path(row["path"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert int(row["bytes"]) == len(data)
        with Image.open(row["path"]) as picture:
            assert (int(row["width"]), int(row["height"])) == picture.size
        assert row["label"] == Path(row["path"]).parent.name
        assert row["split"] in ("train", "validation")
    assert len({row["path"] for row in rows}) == len(rows)


def test_every_file_is_either_in_the_manifest_or_left_out(
    run: Run, drawn: tuple[Path, list[Planted]]
) -> None:
    folder, planted = drawn
    used = {row["path"] for row in table(run.path / "manifest.csv")}
    left_out = {row["path"]: row["reason"] for row in table(run.path / "left_out.csv")}
    for plant in planted:
        path = str(folder / plant.path)
        assert (path in left_out, path in used) == (
            plant.fault in UNREADABLE,
            plant.fault not in UNREADABLE,
        ), plant
    assert all(left_out.values())
    assert {(fault.path, fault.reason) for fault in run.faults} == set(left_out.items())
    visible = {str(path) for path in folder.glob("*/[!.]*") if path.suffix != ".db"}
    assert used | set(left_out) == visible


def test_copies_are_on_one_side(run: Run) -> None:
    sides: dict[str, set[str]] = {}
    for row in table(run.path / "manifest.csv"):
        sides.setdefault(row["sha256"], set()).add(row["split"])
    assert len(sides) < len(table(run.path / "manifest.csv"))  # there are copies
    assert all(len(found) == 1 for found in sides.values())


def test_the_record_counts_what_the_manifest_lists(any_run: Run) -> None:
    record = values(any_run.path / "run.json")
    assert record == json.loads(json.dumps(any_run.record))
    counts = Counter((r["split"], r["label"]) for r in table(any_run.path / "manifest.csv"))
    assert record["photos"] == {
        side: {label: counts[side, label] for label in record["classes"]}
        for side in ("train", "validation", "test")
    }
    assert record["left_out"] == len(table(any_run.path / "left_out.csv"))
    assert record["recipe"] == "tiny"
    assert record["classes"] == sorted(record["classes"])
    assert record["versions"]["pawprint"] == pawprint.__version__
    assert record["seconds"]["total"] >= sum(record["seconds"].values()) / 2 - 0.1
    assert record["bundle"]["largest_difference_to_keras"] <= 1e-4
    assert record["bundle"]["labels_differing"] == 0


def test_about_a_fifth_of_each_class_is_held_out(any_run: Run) -> None:
    photos = any_run.record["photos"]
    for label in any_run.record["classes"]:
        count = photos["train"][label] + photos["validation"][label]
        assert count / 10 <= photos["validation"][label] <= count * 2 / 5


def test_the_figures_follow_from_the_predictions(any_run: Run) -> None:
    rows = table(any_run.path / "predictions.csv")
    held = [r for r in table(any_run.path / "manifest.csv") if r["split"] == "validation"]
    assert [(r["path"], r["label"]) for r in rows] == [(r["path"], r["label"]) for r in held]
    classes = any_run.record["classes"]
    truth = np.array([classes.index(row["label"]) for row in rows])
    given = np.array([[float(row[label]) for label in classes] for row in rows])
    assert [row["predicted"] for row in rows] == [classes[i] for i in given.argmax(axis=1)]
    again = figures(truth, given, classes)
    metrics = values(any_run.path / "metrics.json")
    written = Figures.from_dict(metrics["validation"])
    assert written == any_run.figures
    assert written.confusion == again.confusion
    assert written.accuracy == again.accuracy
    assert written.log_loss == pytest.approx(again.log_loss, abs=1e-5)
    assert sum(row["chosen"] for row in metrics["head"]) == 1
    card = pawprint.load(any_run.path).card
    assert card.metrics["accuracy"] == again.accuracy
    assert card.metrics["validation_photos"] == len(rows)


def test_the_bundle_answers_as_was_measured(any_run: Run) -> None:
    """But for its temperature: that of the figures is fitted on other photos."""
    rows = table(any_run.path / "predictions.csv")
    classifier = any_run.classifier()
    found = classifier.predict([row["path"] for row in rows])
    written = np.array([[float(row[label]) for label in classifier.classes] for row in rows])
    answered = np.array([list(prediction.probabilities.values()) for prediction in found])
    assert not any(prediction.error for prediction in found)
    odds = [np.log(given[:, 0] / given[:, -1]) for given in (written, answered)]
    sure = np.abs(odds[1]) > 0.5
    ratios = odds[0][sure] / odds[1][sure]
    assert len(set(ratios.round(2))) <= 5  # one temperature a fold
    assert 0.5 < ratios.min(initial=1) <= ratios.max(initial=1) < 2
    novelty = [prediction.novelty for prediction in found]
    assert novelty == pytest.approx([float(row["novelty"]) for row in rows], rel=2e-2)


def test_three_classes_that_differ_are_learned(run_of_three: Run) -> None:
    assert run_of_three.record["classes"] == ["blue", "green", "red"]
    assert run_of_three.figures.roc_auc is not None
    assert run_of_three.figures.roc_auc >= 0.7  # as far as random weights go


def test_the_written_recipe_is_the_one_used(run: Run, recipe: Path) -> None:
    assert recipe_files.load(run.path / "recipe.toml") == recipe_files.load(recipe)


def test_the_same_again_gives_the_same_network_and_figures(
    run: Run,
    photos: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listener: Any,
) -> None:
    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path / "cache"))
    again = pawprint.train(
        photos, recipe=recipe, out=tmp_path / "again", cache=False, progress=listener, report=False
    )
    assert listener.steps["Computing features"] > 0
    assert not (tmp_path / "cache").exists()
    for name in ("model/model.onnx", "predictions.csv", "manifest.csv", "left_out.csv"):
        assert (again.path / name).read_bytes() == (run.path / name).read_bytes(), name
    assert again.figures == run.figures
    assert again.record["fingerprint"] == run.record["fingerprint"]


def test_a_zip_of_the_photos_gives_the_same_from_the_same_cache(
    run: Run, drawn: tuple[Path, list[Planted]], recipe: Path, tmp_path: Path, listener: Any
) -> None:
    photos, planted = drawn
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos.rglob("*"):
            archive.write(path, path.relative_to(photos.parent))
    zipped = pawprint.train(
        tmp_path / "photos.zip",
        recipe=recipe,
        out=tmp_path / "run",
        progress=listener,
        report=False,
    )
    undecodable = [plant for plant in planted if plant.fault in UNREADABLE - {Fault.EMPTY}]
    assert listener.steps["Computing features"] == len(undecodable)  # no features to be kept
    assert answers(zipped) == answers(run)
    assert zipped.figures == run.figures
    assert zipped.record["fingerprint"] == run.record["fingerprint"]


def test_without_unreadable_files_it_is_the_same_and_a_warm_cache_computes_nothing(
    run: Run, drawn: tuple[Path, list[Planted]], recipe: Path, tmp_path: Path, listener: Any
) -> None:
    folder, planted = drawn
    shutil.copytree(folder, tmp_path / "photos")
    for plant in planted:
        if plant.fault in UNREADABLE:
            (tmp_path / "photos" / plant.path).unlink()
    out = tmp_path / "run"
    clean = pawprint.train(
        tmp_path / "photos", recipe=recipe, out=out, strict=True, progress=listener, report=False
    )
    assert "Computing features" not in listener.steps
    assert clean.faults == ()
    assert answers(clean) == answers(run)
    assert clean.record["fingerprint"] == run.record["fingerprint"]


def test_strict_refuses_photos_that_cannot_be_read(
    photos: Path, recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=r"cannot be read and --strict is set; the first is .*:"):
        pawprint.train(photos, recipe=recipe, out=tmp_path / "run", strict=True)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_left_as_it_is(photos: Path, recipe: Path, tmp_path: Path) -> None:
    taken = tmp_path / "run"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"run exists already and is not replaced"):
        pawprint.train(photos, recipe=recipe, out=taken)
    file = tmp_path / "file"
    file.write_text("mine too")
    with pytest.raises(OutputError, match="exists already"):
        pawprint.train(photos, recipe=recipe, out=file)
    assert snapshot(tmp_path) == {"run/mine.txt": b"mine", "file": b"mine too"}


def test_an_option_out_of_range_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.validation"):
        pawprint.train(tmp_path / "none", validation=1.5, out=tmp_path / "run")
    with pytest.raises(RecipeError, match=r"data\.seed"):
        pawprint.train(tmp_path / "none", seed=-1, out=tmp_path / "run")


def with_splits(tinted: Path, place: Path, validation: bool) -> Path:
    for folder in tinted.iterdir():
        for number, path in enumerate(sorted(folder.iterdir())):
            side = ("test", "validation" if validation else "train", "train", "train")[number % 4]
            (place / side / folder.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place / side / folder.name)
    return place


@pytest.mark.parametrize("validation", [True, False])
def test_given_splits_are_used_and_the_test_photos_only_judged(
    tinted: Path, recipe: Path, tmp_path: Path, validation: bool
) -> None:
    source = with_splits(tinted, tmp_path / "photos", validation)
    leaked = min((source / "test" / "red").iterdir())
    shutil.copy(leaked, source / "train" / "red" / "leak.png")
    made = pawprint.train(source, recipe=recipe, out=tmp_path / "run", report=False)
    (fault,) = made.faults
    assert fault.path == str(source / "train" / "red" / "leak.png")
    assert fault.reason == f"same bytes as {leaked} in test; left out of train"
    rows = table(made.path / "manifest.csv")
    given = {row["path"]: Path(row["path"]).parts[-3] for row in rows}
    assert fault.path not in given
    for row in rows:
        if validation or given[row["path"]] == "test":
            assert row["split"] == given[row["path"]]
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    assert made.test_figures is not None
    assert made.test_figures.count == 15
    judged = Counter(row["split"] for row in table(made.path / "predictions.csv"))
    assert judged == {"test": 15, "validation": made.figures.count}
    metrics = values(made.path / "metrics.json")
    assert Figures.from_dict(metrics["test"]) == made.test_figures
    if validation:
        found = pawprint.evaluate(made.path, source)
        assert found.split == "test"
        assert found.figures.confusion == made.test_figures.confusion


def test_what_the_validation_photos_are_does_not_reach_the_network(
    tinted: Path, recipe: Path, tmp_path: Path
) -> None:
    source = with_splits(tinted, tmp_path / "photos", True)
    one = pawprint.train(source, recipe=recipe, out=tmp_path / "one", report=False)
    judges = source / "validation"
    for old, new in (("blue", "swap"), ("green", "blue"), ("swap", "green")):
        (judges / old).rename(judges / new)
    two = pawprint.train(source, recipe=recipe, out=tmp_path / "two", report=False)
    assert one.figures.confusion != two.figures.confusion
    assert (one.model / "model.onnx").read_bytes() == (two.model / "model.onnx").read_bytes()


def test_all_layers_can_be_trained(photos: Path, tmp_path: Path) -> None:
    whole = write_tiny_recipe(tmp_path / "whole.toml", size=32, whole=True)
    made = pawprint.train(photos, recipe=whole, out=tmp_path / "run", report=False)
    metrics = values(made.path / "metrics.json")
    (epoch,) = metrics["history"]
    assert {"stage", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"} <= set(epoch)
    assert np.isfinite(list(epoch.values())).all()
    assert made.record["bundle"]["largest_difference_to_keras"] <= 1e-4
    assert made.record["bundle"]["largest_difference"] <= 1e-4
    found = made.classifier().predict([r["path"] for r in table(made.path / "predictions.csv")])
    for prediction, given in zip(found, answers(made).values(), strict=True):
        assert max(given, key=given.__getitem__) == max(
            prediction.probabilities, key=prediction.probabilities.__getitem__
        )
    start = backbones.build("starter", size=32, weights="random")
    card = made.classifier().card
    assert card.training["backbone_weights"] == start.digest  # what it started from


@pytest.mark.parametrize(
    "break_it",
    [
        lambda folder: shutil.rmtree(folder / "dog"),
        lambda folder: [path.unlink() for path in (folder / "dog").glob("*_000[2-9]*")],
        lambda folder: [path.write_bytes(b"") for path in (folder / "dog").iterdir()],
        lambda folder: [path.write_bytes(b"text") for path in (folder / "dog").iterdir()],
    ],
)
def test_photos_that_are_no_dataset_leave_nothing_behind(
    break_it: Callable[[Path], Any], recipe: Path, tmp_path: Path
) -> None:
    from pawprint.testing import drawn_photos

    folder = drawn_photos(tmp_path / "photos", 8)
    break_it(folder)
    with pytest.raises(SourceError, match=r"dog|cat"):
        pawprint.train(folder, recipe=recipe, out=tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.shared
def test_real_photos_are_learned_with_real_weights(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(shared / "keras"))
    made = pawprint.train(shared / "data" / "pets_fullsize.zip", out=tmp_path / "run", offline=True)
    assert made.record["folds"] == 5
    assert made.figures.count == 400
    assert made.figures.accuracy >= 0.93
    assert made.record["bundle"]["labels_differing"] == 0
    assert made.record["bundle"]["largest_difference_to_keras"] <= 1e-4
