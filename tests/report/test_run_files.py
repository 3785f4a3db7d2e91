"""A run's files: read as they were written, and refused with a reason where they are not."""

from __future__ import annotations

import json

import pytest

from pawprint.errors import RunError
from pawprint.report.run_files import read_run


def test_a_run_says_what_training_wrote(run):
    files = read_run(run.path)
    assert files.record.source == "photos"
    assert files.record.classes == ("cat", "dog")
    assert files.metrics.validation.figures == run.figures
    assert len(files.answers) == run.figures.count
    assert {answer.path for answer in files.answers} <= set(files.hashes)
    assert len(files.left_out) == len(run.faults)
    assert {"confusion_matrix", "roc_curve"} <= set(files.plots)
    right = sum(answer.predicted == answer.label for answer in files.answers)
    assert right == round(run.figures.accuracy * run.figures.count)


def test_what_a_run_does_not_say_is_not_there(make_run):
    files = read_run(make_run())
    assert files.record.unknown is None
    assert files.record.before is None
    assert files.metrics.validation.calibration is None
    assert files.suspects.ranked == ()
    assert files.answers[0].novelty is None


def test_what_only_some_runs_say_is_read(full_run):
    files = read_run(full_run)
    assert files.record.unknown.refused == 6
    assert files.record.before.comparison.only_after == 3
    assert files.metrics.validation.calibration.temperature == 1.25
    assert files.metrics.validation.decision.threshold == 0.375
    assert files.metrics.stages[0].undone
    assert files.suspects.ranked[0].suggested == "dog"
    assert [stage["train"] for stage in files.stages] == ["head", "last:100"]


def test_novelty_is_a_column_of_its_own(make_run):
    folder = make_run()
    path = folder / "predictions.csv"
    header, *rows = path.read_text("utf-8").splitlines()
    novel = [",".join([*row.split(",")[:4], "2.5", *row.split(",")[4:]]) for row in rows]
    novel[1] = novel[1].replace(",2.5,", ",,")
    header = header.replace("predicted,", "predicted,novelty,")
    path.write_text("\n".join([header, *novel]), "utf-8")
    answer, second, *_ = read_run(folder).answers
    assert answer.novelty == 2.5
    assert second.novelty is None
    assert len(answer.probabilities) == 2
    assert sum(answer.probabilities) == pytest.approx(1)


def test_a_class_may_be_called_novelty(make_run):
    answer = read_run(make_run(classes=["novelty", "dog"])).answers[0]
    assert answer.novelty is None
    assert len(answer.probabilities) == 2


def test_names_that_are_not_text_are_kept(make_run):
    odd = "cat/\udc80猫.jpg"
    suspect = {"path": odd, "sha256": "", "split": "train", "given": "cat", "suggested": "dog"}
    suspect |= {"given_probability": 0.1, "suggested_probability": 0.9}
    folder = make_run(more={"suspects.json": {"suspects": [suspect]}, "run.json": {"from": odd}})
    files = read_run(folder)
    assert files.suspects.ranked[0].path == odd
    assert files.record.place == odd


@pytest.mark.parametrize("name", ["nothing", "empty", "file"])
def test_what_is_no_run_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    with pytest.raises(
        RunError, match=rf"{name} (is not a folder|has no run.json); expected a run"
    ):
        read_run(tmp_path / name)


def test_what_is_missing_is_named(make_run):
    folder = make_run()
    (folder / "metrics.json").unlink()
    (folder / "manifest.csv").unlink()
    with pytest.raises(RunError, match=r"metrics\.json, manifest\.csv missing; take a whole copy"):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("run.json", "{", "it is no JSON"),
        ("run.json", "[]", "the whole: "),
        ("run.json", "null", "the whole: "),
        ("run.json", '{"source": "a"}', "recipe: Field required"),
        ("run.json", "[" * 100_000, "it is no JSON"),
        ("metrics.json", '{"validation": {"accuracy": NaN}}', "NaN is not a number"),
        ("metrics.json", "{}", "validation: Field required"),
        ("metrics.json", '{"validation": []}', "validation: Input should be"),
        ("metrics.json", '{"validation": {}}', "validation.figures.count: Field required"),
        ("predictions.csv", "", "it is no CSV with a header"),
        ("predictions.csv", "path,split,label,predicted,a,b\n", "its header is not"),
        ("predictions.csv", "path,split,label,predicted,cat,dog\na,b,cat,dog,0.1\n", "line 2 "),
        ("predictions.csv", "path,split,label,predicted,cat,dog\na,b,cat,cow,0,1\n", "line 2 "),
        ("predictions.csv", "path,split,label,predicted,cat,dog\na,b,cat,cat,x,1\n", "line 2: "),
        ("predictions.csv", "path,split,label,predicted,cat,dog\na,b,cat,cat,nan,1\n", "line 2 "),
        ("manifest.csv", "path,label\na,b\n", "its header has not path,sha256"),
        ("manifest.csv", "path,sha256\na\n", "line 2 has too few fields"),
        ("manifest.csv", "", "its header has not path,sha256"),
        ("left_out.csv", 'path,reason\n"a', "it is no CSV: "),
        ("recipe.toml", "name = ", "it is no TOML"),
        ("suspects.json", '{"judged_by": 3}', "judged_by: Input should be a valid string"),
    ],
)
def test_malformed_contents_are_told_with_the_file(make_run, name, text, reason):
    folder = make_run()
    (folder / name).write_text(text, "utf-8")
    with pytest.raises(RunError, match="is not what pawprint train writes") as caught:
        read_run(folder)
    assert str(folder / name) in str(caught.value)
    assert reason in str(caught.value)


def test_figures_must_be_of_the_classes(make_run):
    folder = make_run()
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    metrics["validation"]["confusion"] = [[1]]
    (folder / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    with pytest.raises(RunError, match="its classes are not those of"):
        read_run(folder)
