"""`pawprint predict`: a row for every photo that was meant, in three forms."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pawprint
from pawprint.classifier import Classifier
from pawprint.training.run import Run

Cli = Callable[..., Any]


@pytest.fixture
def cats(photos: Path) -> list[str]:
    return sorted(map(str, photos.glob("cat/cat_*.jpg")))[:5]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_table_has_a_line_a_photo(
    cli: Cli, run: Run, cats: list[str], classifier: Classifier
) -> None:
    ran = cli("predict", run.path, *cats)
    head, *rows = ran.out.splitlines()
    assert head.split() == ["label", "probability", "photo"]
    expected = classifier.predict(list(cats))
    assert [row.split(maxsplit=2) for row in rows] == [
        [answer.label, f"{answer.probability:.4f}", answer.path] for answer in expected
    ]
    assert (ran.code, ran.err) == (0, "")


def test_json_is_one_object_a_line_with_exactly_these_keys(
    cli: Cli, run: Run, cats: list[str], classifier: Classifier
) -> None:
    ran = cli("predict", run.path, *cats, "--json")
    found = objects(ran.out)
    assert [set(one) for one in found] == [
        {"path", "label", "probability", "probabilities", "novelty", "error"}
    ] * len(cats)
    for one, answer in zip(found, classifier.predict(list(cats)), strict=True):
        assert one["path"] == answer.path
        assert one["label"] == answer.label
        assert one["probability"] == answer.probability
        assert one["probabilities"] == answer.probabilities
        assert one["error"] is None
    assert (ran.code, ran.err) == (0, "")


def test_csv_has_a_header_and_a_column_a_class(
    cli: Cli, run: Run, cats: list[str], classifier: Classifier, tmp_path: Path
) -> None:
    missing = str(tmp_path / "a, b.jpg")
    ran = cli("predict", run.path, *cats, missing, "--csv")
    rows = list(csv.DictReader(io.StringIO(ran.out, newline="")))
    assert list(rows[0]) == ["path", "label", "probability", "novelty", "error", "cat", "dog"]
    for row, answer in zip(rows, classifier.predict(list(cats)), strict=False):
        assert row["path"] == answer.path
        assert float(row["dog"]) == answer.probabilities["dog"]
        assert float(row["probability"]) == answer.probability
        assert row["error"] == ""
    assert rows[-1]["path"] == missing
    assert rows[-1]["error"]
    assert [rows[-1][key] for key in ("label", "probability", "cat", "dog")] == [""] * 4


def test_two_forms_at_once_are_refused(cli: Cli, run: Run, cats: list[str]) -> None:
    ran = cli("predict", run.path, *cats, "--json", "--csv")
    assert ran.code == 1
    assert ran.out == ""
    assert "choose one" in ran.err


def test_a_missing_file_is_a_row_and_the_exit_code_is_3(
    cli: Cli, run: Run, cats: list[str], tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone.jpg")
    ran = cli("predict", run.path, cats[0], gone, cats[1], "--json")
    first, row, last = objects(ran.out)
    assert ran.code == 3
    assert (row["path"], row["label"], row["probability"]) == (gone, None, None)
    assert "no such file" in row["error"].lower()
    assert first["error"] is last["error"] is None
    assert ran.err.splitlines() == ["1 of 3 could not be read (exit code 3)"]
    table = cli("predict", run.path, gone)
    assert table.code == 3
    assert gone in table.out


def test_a_folder_is_searched_for_photos(cli: Cli, run: Run, photos: Path) -> None:
    ran = cli("predict", run.path, photos, "--json")
    found = [one["path"] for one in objects(ran.out)]
    visible = [path for path in photos.glob("*/[!.]*") if path.suffix != ".db"]
    assert found == sorted(map(str, visible))
    assert ran.code == 3  # for the damaged ones
    assert sum(one["error"] is not None for one in objects(ran.out)) == 5


def test_a_pattern_that_no_shell_expanded_is_expanded(
    cli: Cli, run: Run, cats: list[str], photos: Path
) -> None:
    ran = cli("predict", run.path, photos / "cat" / "cat_000[1-5].jpg", "--json")
    assert [one["path"] for one in objects(ran.out)] == cats
    assert ran.code == 0


def test_an_empty_folder_is_a_row_with_its_reason(cli: Cli, run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = cli("predict", run.path, tmp_path / "empty", "--json")
    (row,) = objects(ran.out)
    assert row["path"] == str(tmp_path / "empty")
    assert "without photos" in row["error"]
    assert ran.code == 3


def test_a_list_on_standard_input_is_read(cli: Cli, run: Run, cats: list[str]) -> None:
    ran = cli("predict", run.path, "-", "--json", stdin="\n".join(cats) + "\n")
    assert [one["path"] for one in objects(ran.out)] == cats
    assert ran.code == 0


def test_the_output_of_find_print0_is_a_row_and_no_crash(
    cli: Cli, run: Run, cats: list[str]
) -> None:
    ran = cli("predict", run.path, "-", "--json", stdin="\0".join(cats) + "\0")
    (row,) = objects(ran.out)
    assert row["error"]
    assert ran.code == 3


ODD = ["with space.jpg", "naïve 猫.jpg", "🐾.jpg", "-dash.jpg", "[a]*?.jpg", "x" * 251 + ".jpg"]


@pytest.mark.parametrize("name", ODD, ids=["space", "unicode", "emoji", "dash", "magic", "long"])
def test_photos_of_any_name_are_answered(
    cli: Cli, run: Run, cats: list[str], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(Path(cats[0]).read_bytes())
    monkeypatch.chdir(tmp_path)
    for given in (["--", name], [tmp_path / name], [tmp_path], ["."]):
        ran = cli("predict", run.path, "--json", *given)
        (row,) = objects(ran.out)
        assert ran.code == 0
        assert row["error"] is None
        assert os.path.basename(row["path"]) == name


def test_names_that_are_no_utf8_come_out_as_they_went_in(
    process: Callable[..., subprocess.CompletedProcess[bytes]],
    run: Run,
    cats: list[str],
    tmp_path: Path,
) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")
    with open(name, "wb") as file:
        file.write(Path(cats[0]).read_bytes())
    utf8 = {**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": "", "LC_ALL": "C.UTF-8"}
    for arguments, given in (([os.fsdecode(name)], b""), (["-"], name + b"\n")):
        ran = process("predict", run.path, *arguments, input=given, env=utf8)
        assert ran.returncode == 0, ran.stderr
        assert name in ran.stdout
    ran = process("predict", run.path, tmp_path, "--json", env=utf8)
    assert os.fsencode(json.loads(ran.stdout)["path"]) == name
    ran = process("predict", run.path, tmp_path, "--csv", env=utf8)
    assert name in ran.stdout


def test_names_on_standard_input_need_not_be_utf8_in_any_locale(
    process: Callable[..., subprocess.CompletedProcess[bytes]],
    run: Run,
    cats: list[str],
    tmp_path: Path,
) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")
    with open(name, "wb") as file:
        file.write(Path(cats[0]).read_bytes())
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # as in most locales
    ran = process("predict", run.path, "-", input=name + b"\n", env=strict)
    assert ran.returncode == 0, ran.stderr
    assert name in ran.stdout


def test_a_reader_that_has_seen_enough_is_no_error(
    run: Run, cats: list[str], tmp_path: Path
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(cats * 2000))
    code = "from pawprint.cli import main; main()"
    with (
        listed.open("rb") as lines,
        (tmp_path / "err.txt").open("wb") as err,
        subprocess.Popen(
            [sys.executable, "-c", code, "predict", str(run.path), "-", "--json"],
            stdin=lines,
            stdout=subprocess.PIPE,
            stderr=err,
        ) as started,
    ):
        assert started.stdout is not None
        assert started.stdout.readline()
        started.stdout.close()
        started.wait(30)
    assert (tmp_path / "err.txt").read_text() == ""
    assert started.returncode == 0


@pytest.mark.parametrize("bundle", ["none", "text"])
def test_no_bundle_is_one_line_and_exit_code_1(
    cli: Cli, tmp_path: Path, cats: list[str], bundle: str
) -> None:
    (tmp_path / "text").write_text("text")
    ran = cli("predict", tmp_path / bundle, *cats)
    assert (ran.code, ran.out) == (1, "")
    assert "expected a bundle or a run" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.fixture
def real_photo(shared: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(shared / "data" / "pets_fullsize.zip") as archive:
        name = next(name for name in archive.namelist() if "/dogs/" in name)
        (tmp_path / "real.jpg").write_bytes(archive.read(name))
    return tmp_path / "real.jpg"


def test_without_a_model_the_starter_answers_and_says_so(
    cli: Cli, cats: list[str], photos: Path
) -> None:
    expected = pawprint.load().predict(list(cats))
    for given in (cats, ["starter", *cats], [photos / "cat" / "cat_000[1-5].jpg"]):
        ran = cli("predict", *given, "--json")
        assert [one["probabilities"] for one in objects(ran.out)] == [
            answer.probabilities for answer in expected
        ]
        told = ["no model was named, so the starter answers: cat or dog"]
        assert ran.err.splitlines() == told * (given[0] != "starter")
        assert ran.code == 0
    ran = cli("predict", "-", "--json", stdin="\n".join(cats))
    assert [one["path"] for one in objects(ran.out)] == cats


def test_the_starter_knows_a_real_dog(cli: Cli, real_photo: Path) -> None:
    (one,) = objects(cli("predict", real_photo, "--json").out)
    assert one["label"] == "dog"
    nameless = real_photo.rename(real_photo.with_name("no suffix"))
    rows = objects(cli("predict", nameless, nameless, "--json").out)
    assert [row["label"] for row in rows] == ["dog", "dog"]


def test_a_run_of_that_name_comes_before_the_starter(
    cli: Cli, run: Run, cats: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run.model, tmp_path / "starter")
    monkeypatch.chdir(tmp_path)
    (one,) = objects(cli("predict", "starter", cats[0], "--json").out)
    assert one["probabilities"] == pawprint.load(run.path).predict(cats[0]).probabilities


def test_what_was_meant_as_a_model_is_not_answered_by_the_starter(
    cli: Cli, run: Run, cats: list[str], tmp_path: Path
) -> None:
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run.path / "plots", unfinished / "plots")
    (unfinished / "recipe.toml").write_text("")
    (tmp_path / "empty").mkdir()
    for meant in (unfinished, tmp_path / "empty", tmp_path / "typo", run.model / "model.onnx"):
        ran = cli("predict", meant, cats[0])
        assert (ran.code, ran.out) == (1, "")
        assert "expected a bundle or a run" in ran.err
    ran = cli("predict", run.path)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == [f"pawprint: error: {run.path} is a model; name photos after it"]


def test_predicting_is_the_library_s_predicting(run: Run, cats: list[str], cli: Cli) -> None:
    by_library = pawprint.load(run.path).predict(cats[0])
    (by_cli,) = objects(cli("predict", run.path, cats[0], "--json").out)
    assert by_cli["probabilities"] == by_library.probabilities
