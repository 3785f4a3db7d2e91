"""Where a run comes from: a command that does it again, corrections, and the run before them."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

import pawprint
from pawprint.data import corrections
from pawprint.data.corrections import Applied, Correction, Verdict
from pawprint.data.dataset import Dataset, Photo
from pawprint.data.sources import open_source
from pawprint.data.split import VALIDATION
from pawprint.errors import RunError
from pawprint.evaluation.metrics import figures
from pawprint.progress import SILENT
from pawprint.report.run_files import read_run
from pawprint.testing import tiny_recipe
from pawprint.training import recipe_files
from pawprint.training.answers import Answered
from pawprint.training.origin import Corrected, Origin, before, command
from pawprint.training.recipe_files import parse_change
from pawprint.training.run import Run

Cli = Callable[..., Any]
SOME = Applied(1, 0, 0)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# the command


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mirror": True, "data.size": 96, "refuse": 1e-05},
        {"decision": "cost:a b>c'd=5,c'd>a b=1"},
        {"decision": 'f1:"café" # 😀'},
        {"name": "two\nlines", "data.group_by": ""},
        {"backbone.weights": "my weights/$HOME.h5", "stage.1.views": "mirrored"},
    ],
)
def test_a_change_is_typed_so_that_it_is_read_back(changes: dict[str, Any]) -> None:
    words = shlex.split(command("photos", "quick", changes, None, None))
    assert words[:5] == ["pawprint", "train", "photos", "--recipe", "quick"]
    assert words[5::2] == ["--set"] * len(changes)
    assert dict(map(parse_change, words[6::2])) == changes


@pytest.mark.parametrize(
    "changes",
    [{"data.group_by": "2024"}, {"name": "true"}, {"augment": [{"layer": "flip"}]}],
)
def test_a_change_that_needs_toml_is_typed_as_such(changes: dict[str, Any]) -> None:
    words = shlex.split(command("photos", "quick", changes, None, None))
    assert dict(map(parse_change, words[6::2])) == changes


def test_files_are_named_as_they_were() -> None:
    typed = command(Path("my photos"), Path("a b.toml"), {}, "out's.csv", Path("run", "fix.csv"))
    assert shlex.split(typed) == [
        *("pawprint", "train", "my photos", "--recipe", "a b.toml"),
        *("--exclude", "out's.csv", "--corrections", "run/fix.csv"),
    ]


def test_photos_are_found_from_any_folder_and_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my photos").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Origin("my photos", "").place == str(tmp_path / "my photos")
    for name in ("cats_vs_dogs", "tfds:beans", "https://example.org/photos.zip"):
        assert Origin(name, "").place == name


def test_a_run_says_how_it_was_started(reviewed: Run, coloured: Path, own_weights: Path) -> None:
    record = reviewed.record
    assert record["from"] == str(coloured)
    assert Path(record["from"]).is_absolute()
    words = shlex.split(record["command"])
    assert words[2] == str(coloured)
    assert dict(map(parse_change, words[6::2])) == {
        "refuse": 0.1,
        "decision": "recall:blue=0.95",
        "backbone.weights": str(own_weights),
        "data.validation": 0.4,
        "data.folds": 0,
    }
    assert (record["corrections"], record["before"]) == (None, None)


# corrections


def correct(folder: Path, coloured: Path) -> Path:
    """Write corrections of the coloured photos: two relabelled, one excluded, one kept."""
    rows = [
        Correction("yellow/blue_00.png", "yellow", Verdict.RELABEL, "blue"),
        Correction("yellow/blue_00_again.png", "yellow", Verdict.EXCLUDE),
        Correction("yellow/blue_01.png", "yellow", Verdict.RELABEL, "blue"),
        Correction("blue/blue_10.png", "blue", Verdict.KEEP),
    ]
    assert all((coloured / row.path).is_file() for row in rows)
    corrections.write(folder / "corrections.csv", rows)
    return folder / "corrections.csv"


@pytest.fixture(scope="module")
def again(
    reviewed: Run, coloured: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A copy of the reviewed run with its corrections."""
    old = tmp_path_factory.mktemp("again") / "old run"
    shutil.copytree(reviewed.path, old)
    return old, correct(old, coloured)


@pytest.fixture(scope="module")
def corrected(
    again: tuple[Path, Path], coloured: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """The same training after the corrections."""
    old, file = again
    return pawprint.train(
        coloured,
        recipe=old / "recipe.toml",
        corrections=file,
        out=tmp_path_factory.mktemp("corrected") / "run",
        report=False,
    )


def test_labels_are_corrected_before_the_training(
    corrected: Run, reviewed: Run, again: tuple[Path, Path]
) -> None:
    found = corrected.record["corrections"]
    assert found == {"file": str(again[1]), "relabelled": 2, "excluded": 1}
    labels = {
        Path(row["path"]).name: row["label"] for row in table(corrected.path / "manifest.csv")
    }
    assert labels["blue_00.png"] == labels["blue_01.png"] == labels["blue_10.png"] == "blue"
    assert labels["blue_02.png"] == "yellow"
    assert "blue_00_again.png" not in labels
    (left,) = table(corrected.path / "left_out.csv")
    assert Path(left["path"]).name == "blue_00_again.png"
    assert left["reason"] == f"excluded in {again[1]}"
    assert corrected.record["fingerprint"] != reviewed.record["fingerprint"]
    suspects = json.loads((corrected.path / "suspects.json").read_text("utf-8"))["suspects"]
    assert {"blue_00.png", "blue_01.png"}.isdisjoint(Path(row["path"]).name for row in suspects)


def test_both_runs_are_compared_on_the_same_photos(
    corrected: Run, again: tuple[Path, Path]
) -> None:
    answers = []
    for folder in (again[0], corrected.path):
        hashes = {row["path"]: row["sha256"] for row in table(folder / "manifest.csv")}
        answers.append({hashes[r["path"]]: r for r in table(folder / "predictions.csv")})
    old, new = answers
    common = old.keys() & new.keys()
    was = {one: old[one]["predicted"] == new[one]["label"] for one in common}
    now = {one: new[one]["predicted"] == new[one]["label"] for one in common}
    found = corrected.record["before"]
    assert found["run"] == "old run"
    told = found["comparison"]
    assert told["count"] == len(common) > 10
    assert told["right_before"] == sum(was.values())
    assert told["right_after"] == sum(now.values())
    lost = sum(was[one] and not now[one] for one in common)
    won = sum(now[one] and not was[one] for one in common)
    assert (told["only_before"], told["only_after"]) == (lost, won)
    expected = binomtest(lost, lost + won).pvalue if lost + won else 1.0
    assert told["p_value"] == pytest.approx(expected)
    for key, one in (("log_loss_before", old), ("log_loss_after", new)):
        own = [float(one[photo][new[photo]["label"]]) for photo in common]
        assert told[key] == pytest.approx(-np.log(own).mean(), abs=1e-4)


def test_the_command_in_the_record_does_the_same_again(
    corrected: Run, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(corrected.record["command"])
    ran = cli(*words, "--out", "again", "--no-report")
    assert (program, ran.code) == ("pawprint", 0)
    for name in ("model/model.onnx", "predictions.csv", "manifest.csv", "suspects.json"):
        first, second = corrected.path / name, tmp_path / "again" / name
        assert second.read_bytes() == first.read_bytes(), name
    assert "corrected    old run on the same photos: " in ran.out
    record = json.loads((tmp_path / "again" / "run.json").read_text("utf-8"))
    for key in ("before", "command", "corrections", "fingerprint", "from", "unknown"):
        assert record[key] == corrected.record[key], key


# when there is nothing to compare with


def answered(dataset: Dataset) -> Answered:
    truth = np.arange(len(dataset.photos)) % len(dataset.classes)
    given = np.eye(len(dataset.classes))[truth] * 0.8 + 0.1
    given /= given.sum(axis=1, keepdims=True)
    found = figures(truth, given, dataset.classes)
    return Answered(list(range(len(truth))), truth, given, truth, found)


def pets(*labels: str, hashes: tuple[str, ...] = ("a", "b", "c")) -> Dataset:
    photos = zip(hashes, labels * 3, strict=False)
    return Dataset("pets", tuple(Photo(h, label, VALIDATION, h, 9, 8, 8) for h, label in photos))


def after(run: Run | None, dataset: Dataset, applied: Applied = SOME, **recipe: Any) -> Any:
    """What is told of a run where its photos were corrected and trained on again."""
    old = run and read_run(run.path)
    origin = Origin("pets", "", Corrected(Path("corrections.csv"), b"", applied, old))
    same = recipe_files.load(run.path / "recipe.toml") if run else tiny_recipe()
    return before(origin, same.model_copy(update=recipe), dataset, answered(dataset))


def test_a_run_of_other_classes_photos_or_recipe_is_not_compared_with(run: Run) -> None:
    assert after(run, pets("cat", "fox")) is None
    assert after(run, pets("cat", "dog", "fox")) is None
    assert after(run, pets("cat", "dog")) is None  # none of its photos
    known = {row["path"]: row["sha256"] for row in table(run.path / "manifest.csv")}
    one = known[table(run.path / "predictions.csv")[0]["path"]]
    both = pets("cat", "dog", hashes=("a", one))
    found = after(run, both)
    assert found["comparison"]["count"] == 1
    assert found["run"] == run.path.name
    assert after(run, both, mirror=True) is None  # it would not be the corrections alone
    assert after(run, both, Applied(0, 0, 5)) is None  # nothing was corrected


def test_corrections_outside_of_a_run_are_not_compared() -> None:
    both = pets("cat", "dog")
    assert after(None, both) is None
    assert before(Origin("pets", ""), tiny_recipe(), both, answered(both)) is None


def test_the_run_is_that_which_the_file_lies_in_also_from_within_it(
    reviewed: Run, tinted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(shutil.copytree(reviewed.path, tmp_path / "old")) / "fix.csv"
    file.write_text("path,given,verdict,label\n", "utf-8")
    for place, name in ((".", "fix.csv"), ("model", "../fix.csv")):
        monkeypatch.chdir(file.parent / place)
        with open_source(tinted) as opened:
            found = Corrected.apply(opened, Path(name), SILENT)
        assert found.before is not None
        assert found.before.folder.name == "old"
        assert found.content == file.read_bytes()


# corrections that cannot be used


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,given,verdict,label\ncat/none.jpg,cat,exclude,\n", "are not among the photos of"),
        ("path,given,verdict,label\n{photo},cat,relabel,wolf\n", "is no class of photos"),
        ("path,given,verdict,label\n{photo},dog,exclude,\n", "is labelled cat in photos, and dog"),
        ("path,given,verdict,label\n{photo},cat,perhaps,\n", "line 2: the verdict 'perhaps'"),
        ("\x89PNG no table", "expected a table under a line path,given,verdict,label"),
        ("", "expected a table under a line path,given,verdict,label"),
        (None, "cannot be read"),
    ],
)
def test_a_table_that_does_not_fit_is_told_before_any_work(
    text: str | None, told: str, photos: Path, recipe: Path, tmp_path: Path, cli: Cli
) -> None:
    file, photo = tmp_path / "corrections.csv", min((photos / "cat").glob("cat_*.jpg"))
    if text is not None:
        file.write_text(text.replace("{photo}", f"cat/{photo.name}"), "utf-8")
    listed = sorted(tmp_path.iterdir())
    out = tmp_path / "runs" / "run"
    ran = cli("train", photos, "--recipe", recipe, "--corrections", file, "--out", out)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert ran.err.startswith("pawprint: error: ")
    assert told in ran.err
    assert str(file) in ran.err
    assert sorted(tmp_path.iterdir()) == listed


def test_a_run_that_is_not_whole_is_told_before_any_work(
    again: tuple[Path, Path], coloured: Path, tmp_path: Path, listener: Any
) -> None:
    old = Path(shutil.copytree(again[0], tmp_path / "old"))
    os.remove(old / "predictions.csv")
    with pytest.raises(RunError, match=r"is not a whole run: predictions\.csv missing"):
        pawprint.train(
            coloured,
            recipe=old / "recipe.toml",
            corrections=old / "corrections.csv",
            out=tmp_path / "run",
            progress=listener,
        )
    assert set(listener.steps) <= {"Checking corrections"}
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
