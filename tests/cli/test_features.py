"""`pawprint embed`, then `pawprint train --features`: what is said, and what takes the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawprint.parts.places import place
from pawprint.scale.engines import LocalEngine
from pawprint.scale.job import run_job
from pawprint.scale.predicting import Predictions
from pawprint.training.from_features import train_on_features
from pawprint.training.run import Run
from pawprint.training.to_features import FeaturesOf

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def features(photos: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the drawn photos. Not to be changed."""
    out = tmp_path_factory.mktemp("features") / "pets"
    run_job(FeaturesOf(str(recipe)), place(photos), place(out), LocalEngine(), part_size=16)
    return out


@pytest.fixture(scope="module")
def trained(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on them, without its page."""
    return train_on_features(features, out=tmp_path_factory.mktemp("trained") / "run", report=False)


def test_photos_are_embedded_and_trained_on(
    cli: Cli, photos: Path, recipe: Path, tmp_path: Path
) -> None:
    parts, out = tmp_path / "parts", tmp_path / "run"
    embedding = ("embed", photos, "--out", parts, "--recipe", recipe, "--part-size", 16)
    ran = cli(*embedding)
    assert ran.code == 3
    manifest = json.loads((parts / "manifest.json").read_text())
    rows, errors = manifest["rows"], manifest["errors"]
    assert f"photos       {rows}: {rows} computed now\n" in ran.out
    assert f"labels       cat {manifest['labels']['cat']}, dog" in ran.out
    assert f"{errors} of {rows} could not be read (exit code 3); the column" in ran.err
    ran = cli(*embedding)
    assert f"photos       {rows}: 0 computed now, {rows} were there\n" in ran.out

    ran = cli("train", "--features", parts, "--out", out)
    assert ran.code == 0, ran.err
    record = json.loads((out / "run.json").read_text("utf-8"))
    counts = [sum(record["photos"][side].values()) for side in ("train", "validation")]
    assert sum(counts) + errors == rows
    assert f": {counts[0]} to train on + {counts[1]} to validate\n" in ran.out
    assert f"left out     {errors} (see left_out.csv)\nvalidation   " in ran.out
    assert f"model        answers as measured on {counts[1]} of {counts[1]} photos" in ran.out
    assert f"report       {out / 'report.html'}" in ran.out
    assert {path.stem for path in (out / "plots").glob("*.png")} >= {
        "confusion_matrix",
        "roc_curve",
        "reliability",
    }
    page = (out / "report.html").read_text("utf-8")
    assert "<title>parts " in page
    assert "Most confident mistakes" in page  # the photos were found where they were


def test_other_commands_take_the_run(cli: Cli, trained: Run, photos: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(trained.path, tmp_path / "run"))
    ran = cli("predict", out, photos / "cat" / "cat_0001.jpg", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["label"] in ("cat", "dog", "unknown")

    ran = cli("evaluate", out, photos)
    assert ran.code == 0, ran.err
    used = sum(sum(side.values()) for side in trained.record["photos"].values())
    assert f"right on {used} photos" in ran.out

    ran = cli("compare", out, trained.path)
    assert ran.code == 0, ran.err
    assert f"{trained.figures.accuracy:.2%}" in ran.out
    assert f"on {trained.figures.count}; better on 0, worse on 0" in ran.out

    ran = cli("report", out)
    assert (ran.code, ran.out) == (0, f"{out / 'report.html'}\n"), ran.err
    assert "<title>pets " in (out / "report.html").read_text("utf-8")


def test_the_run_is_exported(cli: Cli, trained: Run, tmp_path: Path) -> None:
    ran = cli("export", trained.path, "--format", "onnx", "--out", tmp_path / "exported")
    assert ran.code == 0, ran.err
    assert f"tried on     {trained.figures.count} photos held out of" in ran.out
    assert (tmp_path / "exported" / "model.onnx").is_file()


def test_without_a_page_the_next_step_is_to_draw_it(
    cli: Cli, features: Path, tmp_path: Path
) -> None:
    options = ("--no-report", "--seed", 0, "--validation", 0.4, "--decision", "recall:cat=0.9")
    ran = cli("train", "--features", features, "--out", tmp_path / "run", *options)
    assert ran.code == 0, ran.err
    assert f"  pawprint report {tmp_path / 'run'}\n" in ran.out
    assert not (tmp_path / "run" / "report.html").exists()
    assert not (tmp_path / "run" / "plots").exists()
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    held, rest = (sum(record["photos"][side].values()) for side in ("validation", "train"))
    assert held > rest / 3
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))
    assert metrics["validation"]["decision"]["rule"] == "recall:cat=0.9"


@pytest.mark.parametrize(("options", "named"), [
    (["PHOTOS"], "SOURCE"),
    (["--group-by", "folder"], "--group-by"),
    (["--exclude", "list.txt"], "--exclude"),
    (["--corrections", "list.csv"], "--corrections"),
    (["--strict", "--resume"], "--strict, --resume"),
    (["--time-limit", "60s"], "--time-limit"),
    (["--tensorboard"], "--tensorboard"),
    (["--no-cache"], "--no-cache"),
])  # fmt: skip
def test_options_that_are_for_photos_are_refused(
    cli: Cli, features: Path, tmp_path: Path, options: list[str], named: str
) -> None:
    ran = cli("train", "--features", features, "--out", tmp_path / "run", *options)
    told = f"pawprint: error: {named} is for photos, and --features has none; leave out\n"
    assert (ran.code, ran.out, ran.err) == (1, "", told)
    assert not (tmp_path / "run").exists()


def refused(cli: Cli, *arguments: object) -> str:
    """The one line that is said instead."""
    ran = cli(*arguments)
    assert (ran.code, ran.out) == (1, "")
    lines = [line for line in ran.err.splitlines() if line.startswith("pawprint: error: ")]
    assert len(lines) == 1, ran.err
    return str(lines[0])


def test_features_that_cannot_be_trained_on_are_one_line(
    cli: Cli, features: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(features, tmp_path / "own"))
    (own / "manifest.json").unlink()
    train = ("train", "--out", tmp_path / "run", "--features")
    told = f"{own} is not finished; run the same pawprint embed command again, which goes on"
    assert told in refused(cli, *train, own)
    part = own / "parts" / "part-000001.parquet"
    part.unlink()
    (own / "manifest.json").write_text("{}")
    told = f"{part} is missing or damaged; run the same pawprint embed command again, which comp"
    assert told in refused(cli, *train, own)
    assert f"{tmp_path} has no job.json; expected a folder" in refused(cli, *train, tmp_path)
    ran = cli("train")  # mistyped, as of tests/cli/test_commands.py
    assert (ran.code, ran.out) == (2, "")
    assert "missing SOURCE, the photos to train on, or --features DIR" in ran.err
    assert not (tmp_path / "run").exists()


def test_embed_computes_again_what_is_damaged(
    cli: Cli, features: Path, photos: Path, recipe: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(features, tmp_path / "own"))
    part = own / "parts" / "part-000001.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:-9])
    ran = cli("embed", photos, "--out", own, "--recipe", recipe)
    assert ran.code == 3
    assert ": 16 computed now, " in ran.out
    assert part.read_bytes() == content


def test_a_byte_that_changed_in_features_is_found(cli: Cli, features: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(features, tmp_path / "own"))
    part = own / "parts" / "part-000001.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1  # among the embeddings, which are most of it
    part.write_bytes(data)
    told = refused(cli, "train", "--features", own, "--out", tmp_path / "run")
    assert f"{part} cannot be read (" in told
    assert not (tmp_path / "run").exists()


def test_predictions_are_no_features(
    cli: Cli, trained: Run, few_photos: Path, tmp_path: Path
) -> None:
    out = place(tmp_path / "predictions")
    run_job(Predictions(trained.model), place(few_photos), out, LocalEngine())
    told = refused(cli, "train", "--features", tmp_path / "predictions", "--out", tmp_path / "run")
    assert "predictions holds predictions; expected features, as pawprint embed writes" in told


@pytest.fixture
def few_photos(photos: Path, tmp_path: Path) -> Path:
    (tmp_path / "few").mkdir()
    shutil.copy(photos / "cat" / "cat_0001.jpg", tmp_path / "few")
    return tmp_path / "few"


def test_recipes_that_need_the_photos_are_one_line(
    cli: Cli, photos: Path, features: Path, tmp_path: Path
) -> None:
    embed = ("embed", photos, "--out", tmp_path / "parts", "--offline", "--recipe", "two-stage")
    told = refused(cli, *embed)
    assert "two-stage needs the photos while it trains: stage 1 augments photos" in told
    assert "such as quick or best" in told
    assert not (tmp_path / "parts").exists()
    told = refused(cli, "train", "--features", features, "--set", "data.size=96")
    assert "made from photos of 64 px (squash), and the recipe tiny wants 96 px (squash)" in told
