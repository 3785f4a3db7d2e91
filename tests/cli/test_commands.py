"""The other commands, and what the command line says when something is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pawprint
from pawprint.data import rows
from pawprint.data.samples import write_samples
from pawprint.model import feature_store
from pawprint.testing import drawn_photos, write_tiny_recipe
from pawprint.training.run import Run

Cli = Callable[..., Any]


def check_one_line(ran: Any, code: int, *parts: str) -> None:
    """An error is one line on standard error, with its code, and no traceback."""
    assert ran.code == code, ran
    (line,) = ran.err.splitlines()
    assert line.startswith("pawprint: error: ")
    assert "Traceback" not in line
    for part in parts:
        assert part in line, line


def test_the_version_is_told(cli: Cli) -> None:
    ran = cli("--version")
    assert (ran.code, ran.out, ran.err) == (0, f"pawprint {pawprint.__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["cache"]])
def test_no_command_shows_help(cli: Cli, arguments: list[str]) -> None:
    ran = cli(*arguments)
    assert "Commands:" in ran.out
    assert len(ran.out.splitlines()) > 5
    assert ran.err == ""


@pytest.mark.parametrize("command", ["", "train", "predict", "evaluate", "samples", "cache"])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_to_be_had_everywhere(cli: Cli, command: str, option: str) -> None:
    ran = cli(*command.split(), option)
    assert ran.code == 0
    assert f"Usage: pawprint {command}".strip() in ran.out
    assert ran.err == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["prdict"], "prdict"),
        (["predict"], "MODEL"),
        (["train"], "SOURCE"),
        (["train", "photos", "--sed", "1"], "--sed"),
        (["train", "photos", "--seed", "one"], "--seed"),
        (["samples", "folder", "--photos", "1"], "--photos"),
    ],
)
def test_a_mistyped_command_is_one_line_and_exit_code_2(
    cli: Cli, arguments: list[str], told: str
) -> None:
    check_one_line(cli(*arguments), 2, told, "--help")


# evaluate


def test_evaluate_in_json_has_the_figures(cli: Cli, run: Run, photos: Path) -> None:
    ran = cli("evaluate", run.path, photos, "--json")
    found = json.loads(ran.out)
    assert {"accuracy", "accuracy_interval", "count"} <= set(found)
    assert found["count"] == sum(sum(side.values()) for side in run.record["photos"].values())
    low, high = found["accuracy_interval"]
    assert 0 <= low <= found["accuracy"] <= high <= 1
    assert sum(map(sum, found["confusion"])) == found["count"]
    assert {one["path"] for one in found["left_out"]} == {fault.path for fault in run.faults}
    assert ran.code == 0


def test_evaluate_agrees_with_predict(cli: Cli, run_of_three: Run, tinted: Path) -> None:
    found = json.loads(cli("evaluate", run_of_three.path, tinted, "--json").out)
    lines = cli("predict", run_of_three.path, tinted, "--json").out.splitlines()
    rows = [json.loads(line) for line in lines]
    alike = [max(row["probabilities"], key=row["probabilities"].get) for row in rows]
    right = [Path(row["path"]).parent.name == label for row, label in zip(rows, alike, strict=True)]
    assert found["count"] == len(right) == 60
    assert found["accuracy"] == pytest.approx(sum(right) / len(right))


def test_evaluate_says_it_in_words(cli: Cli, run: Run, photos: Path) -> None:
    ran = cli("evaluate", run.path, photos)
    figures = pawprint.evaluate(run.path, photos).figures
    assert f"{figures.accuracy:.2%} right on {figures.count} photos" in ran.out
    for word in ("cat", "dog", "precision", "recall", "left out"):
        assert word in ran.out


def test_evaluate_takes_an_archive(cli: Cli, run: Run, photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos.rglob("*.jpg"):
            archive.write(path, path.relative_to(photos))
    zipped = json.loads(cli("evaluate", run.path, tmp_path / "photos.zip", "--json").out)
    plain = json.loads(cli("evaluate", run.path, photos, "--json").out)
    assert zipped["confusion"] == plain["confusion"]


def test_evaluate_refuses_classes_that_the_model_has_not(cli: Cli, run: Run, tinted: Path) -> None:
    ran = cli("evaluate", run.path, tinted, "--json")
    check_one_line(ran, 1, "classes that the model has not: blue, green, red", "cat, dog")
    assert ran.out == ""


def test_evaluate_refuses_a_split_that_is_not_there(cli: Cli, run: Run, photos: Path) -> None:
    check_one_line(cli("evaluate", run.path, photos, "--split", "test"), 1, "'test'", "no splits")


def test_evaluate_takes_the_split_asked_for(
    cli: Cli, run: Run, photos: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(photos.glob("*/[cd]*_00*.jpg"))):
        side = ("train", "validation", "test")[min(number % 6, 2)]
        (tmp_path / side / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / side / path.parent.name)
    counts = {side: len(list((tmp_path / side).glob("*/*"))) for side in ("train", "test")}
    for asked, expected in ((["--split", "train"], "train"), ([], "test")):
        found = json.loads(cli("evaluate", run.path, tmp_path, *asked, "--json").out)
        assert (found["split"], found["count"]) == (expected, counts[expected])


# samples and cache


def test_samples_are_drawn_where_asked(cli: Cli, tmp_path: Path) -> None:
    ran = cli("samples", tmp_path / "new", "--photos", 6, "--seed", 3)
    assert ran.code == 0
    write_samples(tmp_path / "same", 6, seed=3)
    drawn = {p.relative_to(tmp_path / "new"): p for p in (tmp_path / "new").rglob("*.jpg")}
    assert len(drawn) == 6
    for name, path in drawn.items():
        assert path.read_bytes() == (tmp_path / "same" / name).read_bytes()


def test_samples_with_faults_lists_them(cli: Cli, tmp_path: Path) -> None:
    ran = cli("samples", tmp_path / "new", "--photos", 6, "--faults")
    planted = [line.split()[1] for line in ran.out.splitlines() if "planted" in line]
    assert planted
    assert all((tmp_path / "new" / path).is_file() for path in planted)


def test_samples_replace_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    check_one_line(cli("samples", tmp_path, "--photos", 6), 1, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_cache_can_be_looked_at_and_cleared(
    cli: Cli, tinted: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path / "cache"))
    empty = cli("cache", "info")
    assert (empty.code, empty.out) == (0, f"{tmp_path / 'cache'}: 0 B\n")
    pawprint.train(tinted, recipe=recipe, out=tmp_path / "run", report=False)
    info = cli("cache", "info")
    entries = rows.entries()
    assert {entry.kind for entry in entries} == set(rows.KINDS)
    for kind in ("features", "glances"):
        assert sum(entry.photos for entry in entries if entry.kind == kind) == 60
    assert len(info.out.splitlines()) == 1 + len(entries)
    for word in ("starter after top_relu", "64 px squash", "60 photos", "what a check saw"):
        assert word in info.out
    cleared = cli("cache", "clear")
    assert cleared.code == 0
    assert "kB freed" in cleared.out
    assert rows.entries() == []
    assert cli("cache", "info").out == empty.out


def test_the_cache_of_pixels_is_called_so(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pawprint.data.images import Preprocessing
    from pawprint.model.features import key_of
    from pawprint.model.prefix import PixelPrefix

    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path))
    prefix = PixelPrefix(32)
    feature_store.FeatureStore(
        tmp_path, key_of(prefix, Preprocessing(size=32)), prefix.shape, prefix.dtype
    )
    out = cli("cache", "info").out
    assert "pixels" in out
    assert "pixels after pixels" not in out


# train


def test_train_says_what_came_out_and_what_to_type_next(
    cli: Cli, tinted: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "my run"
    ran = cli("train", tinted, "--recipe", recipe, "--out", out)
    assert ran.code == 0
    record = json.loads((out / "run.json").read_text())
    count = {side: sum(classes.values()) for side, classes in record["photos"].items()}
    told = f"{count['train']} to train on + {count['validation']} to validate"
    assert f"60 (blue 20, green 20, red 20): {told}" in ran.out
    assert count["train"] + count["validation"] == 60
    assert f"pawprint predict '{out}' PHOTO..." in ran.out
    assert all(2 <= held <= 8 for held in record["photos"]["validation"].values())
    assert "Traceback" not in ran.err


def test_train_lists_what_was_left_out(
    cli: Cli, photos: Path, recipe: Path, tmp_path: Path, run: Run
) -> None:
    ran = cli("train", photos, "--recipe", recipe, "--out", tmp_path / "run", "--no-report")
    assert f"left out     {len(run.faults)} (see left_out.csv)" in ran.out
    assert sum(fault.path in ran.out for fault in run.faults) == 5


def test_train_passes_its_options_on(
    cli: Cli, tinted: Path, recipe: Path, tmp_path: Path, run_of_three: Run
) -> None:
    options = ["--validation", 0.5, "--seed", 7, "--no-cache", "--no-report"]
    assert cli("train", tinted, "-r", recipe, "-o", tmp_path / "run", *options).code == 0
    used = (tmp_path / "run" / "recipe.toml").read_text()
    assert "validation = 0.5" in used
    assert "seed = 7" in used
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert all(5 <= held <= 15 for held in record["photos"]["validation"].values())
    assert record["fingerprint"] != run_of_three.record["fingerprint"]


def test_train_strict_is_one_line(cli: Cli, photos: Path, recipe: Path, tmp_path: Path) -> None:
    ran = cli("train", photos, "--recipe", recipe, "--out", tmp_path / "run", "--strict")
    check_one_line(ran, 1, "photo(s) cannot be read", "--strict")
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_offline_are_one_line_and_exit_code_4(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    ran = cli("train", photos, "--out", tmp_path / "run", "--offline")
    check_one_line(ran, 4, "connect to the internet", "--weights FILE", "KERAS_HOME")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_fit_are_one_line_and_exit_code_4(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "mine.h5"
    weights.write_text("no weights")
    ran = cli("train", photos, "--out", tmp_path / "run", "--weights", weights)
    check_one_line(ran, 4, str(weights))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.h5"]


def test_an_output_that_exists_is_one_line_and_left_alone(
    cli: Cli, photos: Path, recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    ran = cli("train", photos, "--recipe", recipe, "--out", tmp_path / "run")
    check_one_line(ran, 1, f"{tmp_path / 'run'} exists already")
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "mine.txt"]


def emptied(at: Path, pattern: str, text: str | None) -> None:
    """Drawn photos, of which those that match are removed or are text, each its own."""
    for path in drawn_photos(at, 8).glob(pattern):
        path.unlink()
        if text is not None:
            path.write_text(f"{text} {path}")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda at: None, "does not exist"),
        (lambda at: at.mkdir(), "is empty"),
        (lambda at: at.write_text("text"), ""),
        (lambda at: (at / "cat").mkdir(parents=True), "no photos"),
        (lambda at: emptied(at, "dog/*", None), "one class"),
        (
            lambda at: [p.unlink() for p in drawn_photos(at, 8).glob("dog/*[2-9].jpg")],
            "'dog' has 1",
        ),
        (
            lambda at: [p.write_text(str(p)) for p in drawn_photos(at, 8).glob("dog/*.jpg")],
            "1 class",
        ),
    ],
    ids=["missing", "empty", "text", "no-photos", "one-class", "one-photo", "all-unreadable"],
)
def test_a_source_that_is_no_dataset_is_one_line(
    cli: Cli, recipe: Path, tmp_path: Path, make: Callable[[Path], Any], told: str
) -> None:
    source = tmp_path / "my photos"
    make(source)
    ran = cli("train", source, "--recipe", recipe, "--out", tmp_path / "run")
    check_one_line(ran, 1, "my photos" if told != "'dog' has 1" else "dog", told)
    assert not (tmp_path / "run").exists()
    assert ran.out == ""


@pytest.mark.parametrize(
    "recipe_text", ["name = 'n'\nsise = 1\n[[stage]]\ntrain = 'head'\n", "= no toml"]
)
def test_a_recipe_with_one_fault_is_one_line(
    cli: Cli, photos: Path, tmp_path: Path, recipe_text: str
) -> None:
    (tmp_path / "r.toml").write_text(recipe_text)
    ran = cli("train", photos, "--recipe", tmp_path / "r.toml", "--out", tmp_path / "run")
    check_one_line(ran, 1, "r.toml")


def test_debug_shows_where_an_error_came_from(
    cli: Cli, process: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    for arguments in (["--debug", "predict"], ["predict", "--debug"]):
        ran = process(*arguments, tmp_path / "none", "photo.jpg")
        assert ran.returncode == 1
        assert b"Traceback (most recent call last)" in ran.stderr
        assert b"BundleError" in ran.stderr
    plain = process("predict", tmp_path / "none", "photo.jpg")
    assert plain.returncode == 1
    assert b"Traceback" not in plain.stderr


def test_debug_after_a_double_dash_is_a_name(cli: Cli, run: Run) -> None:
    ran = cli("predict", run.path, "--json", "--", "--debug")
    assert json.loads(ran.out)["path"] == "--debug"
    assert ran.code == 3


NAMES = {
    "of-people": ("two words, naïve", "🐈 猫"),
    "of-markup": ("$a_b^{$", '[red]%s{}\\"'),
    "longest": ("c" * 255, "🐾" * 62),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_folders_and_files_of_any_name_train_and_predict(
    cli: Cli, names: tuple[str, str], tinted: Path, tmp_path: Path, recipe: Path
) -> None:
    folder = tmp_path / names[1]
    for old, new in zip(("blue", "red"), names, strict=True):
        (folder / new).mkdir(parents=True)
        for number, path in enumerate(sorted((tinted / old).iterdir())[:8]):
            stem = new[: (250 - len(str(number))) // len(new[0].encode())]
            shutil.copy(path, folder / new / f"{stem}{number}.png")
    out = tmp_path / f"run of {names[0]}"[:255]
    ran = cli("train", folder, "--recipe", recipe, "--out", out)
    assert ran.code == 0, ran.err
    assert set(json.loads((out / "run.json").read_text("utf-8"))["classes"]) == set(names)
    lines = cli("predict", out, folder, "--json").out.splitlines()
    assert len(lines) == 16
    for line in map(json.loads, lines):
        assert line["error"] is None
        assert set(line["probabilities"]) == set(names)
        assert os.path.exists(line["path"])
    assert json.loads(cli("evaluate", out, folder, "--json").out)["count"] == 16


def test_a_run_gets_a_name_by_default_also_from_the_longest(
    cli: Cli, tinted: Path, tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = shutil.copytree(tinted, tmp_path / ("x" * 255))
    ran = cli("train", source, "--recipe", recipe, "--no-report")
    assert ran.code == 0, ran.err
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("xxx")
    assert (run / "run.json").is_file()
    assert f"runs/{run.name}" in ran.out


def test_a_class_whose_name_is_no_utf8_is_refused_and_all_else_may_be_so_named(
    cli: Cli, process: Any, tinted: Path, tmp_path: Path, recipe: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"photos\xe9")
    shutil.copytree(tinted, folder)
    (folder / "blue").rename(folder / os.fsdecode(b"bl\xfc"))
    for path in list((folder / "red").iterdir()):
        path.rename(path.with_name(os.fsdecode(b"r\xf6t ") + path.name))
    ran = cli("train", folder, "--recipe", recipe, "--out", tmp_path / "run")
    check_one_line(ran, 1, "UTF-8", "rename it")
    assert not (tmp_path / "run").exists()
    (folder / os.fsdecode(b"bl\xfc")).rename(folder / "blau")
    assert cli("train", folder, "--recipe", recipe, "--out", tmp_path / "run").code == 0
    assert b"r\xf6t " in (tmp_path / "run" / "manifest.csv").read_bytes()
    row = process("predict", tmp_path / "run", next((folder / "red").iterdir()), "--json")
    assert row.returncode == 0


def test_a_whole_recipe_may_be_given_by_file(cli: Cli, tmp_path: Path) -> None:
    path = write_tiny_recipe(tmp_path / "with space.toml")
    ran = cli("train", tmp_path / "none", "--recipe", path)
    check_one_line(ran, 1, "none")
