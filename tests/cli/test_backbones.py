"""`pawprint backbones`, `pawprint compare` and `pawprint train --backbone`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawprint.errors import RecipeError
from pawprint.model.applications import spelled
from pawprint.testing import drawn_photos
from pawprint.training import recipe_files
from pawprint.training.compare import compare
from pawprint.training.run import train

Cli = Callable[..., Any]
SMALL = ("--weights", "random", "--set", "data.size=32")


def test_backbones_are_tabled_with_what_they_cost(cli: Cli) -> None:
    ran = cli("backbones", "MobileNetV2-0.35", "MobileNetV3Small", "--size", 64)
    assert (ran.code, ran.err) == (0, "")
    head, *rows = ran.out.splitlines()
    assert "forward at 64 px" in head
    assert [row.split()[0] for row in rows] == ["MobileNetV2-0.35", "MobileNetV3Small"]
    assert "224 px" in rows[0]
    assert "410,208" in rows[0]
    assert float(rows[0].split(" ms")[0].split()[-1]) > 0


def test_backbones_in_json_are_an_object_each(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    ran = cli("backbones", "MobileNetV2-0.35", "--no-time", "--size", 96, "--json")
    (found,) = map(json.loads, ran.out.splitlines())
    size = found.pop("file_bytes")
    assert 4 * 0.9 * found["parameters"] < size < 4 * 1.2 * found["parameters"]
    assert found == {
        "backbone": "MobileNetV2-0.35",
        "default_size": 224,
        "cuts": 73,
        "parameters": 410_208,
        "size": 96,
        "forward_ms": None,
        "weights_here": False,
    }


@pytest.mark.parametrize("command", [("backbones",), ("train", "photos", "--backbone")])
def test_an_unknown_backbone_is_refused_with_those_there_are(
    cli: Cli, command: tuple[str, ...]
) -> None:
    ran = cli(*command, "VGG16")
    assert ran.code == 1
    assert "no backbone 'VGG16'" in ran.err
    assert "NASNetMobile" in ran.err


def test_compare_tables_each_backbone_however_it_is_typed(cli: Cli, photos: Path) -> None:
    ran = cli("compare", photos, "--backbone", "MobileNetV2-0.35", "MobileNetV3Small", *SMALL)
    assert ran.code == 0, ran.err
    head, *rows = ran.out.splitlines()
    assert head.split()[:2] == ["backbone", "right"]
    assert [row.split()[0] for row in rows] == ["MobileNetV2-0.35", "MobileNetV3Small"]
    for row in rows:
        assert row.count("%") == 3
        assert row.endswith("MB")


def test_compare_keeps_runs_where_it_is_told_to(photos: Path, tmp_path: Path) -> None:
    changes = {"data.size": 32}
    (row,) = compare(photos, ["starter"] * 2, changes=changes, weights="random", out=tmp_path)
    kept = json.loads((tmp_path / row.backbone / "metrics.json").read_text("utf-8"))
    assert json.dumps(kept).count(str(row.accuracy))
    assert row.file_bytes == os.path.getsize(tmp_path / row.backbone / "model" / "model.onnx")
    assert row.low < row.accuracy < row.high
    assert min(row.features_ms, row.training_s, row.forward_ms) > 0


def test_missing_weights_are_told_in_a_row_and_do_not_stop_the_others(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    names = ["MobileNetV3Small", "ResNet50V2"]
    ran = cli("compare", photos, "--backbone", ",".join(names), "--offline", "--json")
    assert ran.code == 4
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["backbone"] for row in rows] == names
    for row in rows:
        assert "are not to be had" in row["error"]


def test_compare_looks_at_all_names_before_it_begins(photos: Path) -> None:
    with pytest.raises(RecipeError, match="VGG16"):
        compare(photos, ["MobileNetV2-0.35", "VGG16"], weights="random")


def test_compare_without_backbones_says_what_to_type(cli: Cli, photos: Path) -> None:
    ran = cli("compare", photos)
    assert ran.code == 1
    assert "--backbone MobileNetV2 ResNet50V2" in ran.err


def test_another_backbone_is_trained_written_and_answers(tmp_path: Path) -> None:
    """Head first, then from within its last block, on newly flipped photos."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        """
        name = "two"
        data = {size = 64}
        backbone = {name = "MobileNetV2", alpha = 0.35, weights = "random"}
        augment = [{layer = "flip", mode = "horizontal"}]
        stage = [
            {train = "head", epochs = 1},
            {train = "from:expanded_conv_10_project", epochs = 1, views = "fresh"},
        ]
        """,
        "utf-8",
    )
    photos = drawn_photos(tmp_path / "photos", 24)
    run = train(
        photos, recipe=recipe, backbone="MobileNetV3Small", out=tmp_path / "run", report=False
    )
    written = recipe_files.load(run.path / "recipe.toml").backbone
    assert (written.name, written.alpha) == ("MobileNetV3Small", 1.0)
    assert run.record["bundle"]["labels_differing"] == 0
    assert run.record["bundle"]["largest_difference_to_keras"] < 1e-3
    assert run.classifier().predict(photos / "cat" / "cat_0001.jpg").label in ("cat", "dog")


def test_a_width_may_be_changed_by_itself(photos: Path) -> None:
    with pytest.raises(RecipeError, match=r"must be 1\.0, the only width of ResNet50V2"):
        train(photos, backbone="ResNet50V2", changes={"backbone.alpha": 0.5})
    with pytest.raises(RecipeError, match=r"one of 0\.75, 1\.0 with weights"):
        train(photos, backbone="MobileNetV3Small", changes={"backbone.alpha": 0.35})


def test_every_backbone_is_a_recipes_backbone() -> None:
    for name in spelled():
        base, _, alpha = name.partition("-")
        changes = {"backbone.name": base, "backbone.alpha": float(alpha or 1)}
        changes["backbone.weights"] = "random"
        assert recipe_files.load("quick", changes).backbone.name == base
