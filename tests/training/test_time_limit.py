"""A time limit: durations, what is left out in which order, and trainings that keep to it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pawprint
from pawprint.data.layout import SourcePhoto
from pawprint.data.reading import Read
from pawprint.errors import RecipeError
from pawprint.model import backbones
from pawprint.model.suffix import cut_below, first_trained, shallower
from pawprint.testing import tiny_recipe
from pawprint.training.recipe import GradientStage, LogisticStage, Recipe
from pawprint.training.recipe_files import to_toml
from pawprint.training.time_limit import Costs, fitting, seconds, some

TWO = Recipe(
    name="two",
    stage=(LogisticStage(), GradientStage(train="last:9", epochs=4, warm_up=2, schedule="cosine")),
)
COSTS = Costs(photo=0.01, trains=0.8, judged=0.2, begin=5.0, step=lambda stage: 0.01)


@pytest.mark.parametrize("text", ["", "soon", "5", "-60s", "60s5m", "1d", "9.9s", "1e9s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"60s|10 s or more"):
        seconds(text)


def left_out(left: float, photos: int = 1000, costs: Costs = COSTS, **more: Any) -> Any:
    made, count, told = fitting(TWO, photos, left, costs, more.get("shallower", ()))
    return made.stage, count, told


def test_what_fits_is_left_as_it_is() -> None:
    assert left_out(1000) == (TWO.stage, 1000, [])


def test_epochs_are_left_out_first_and_the_warm_up_shrinks_with_them() -> None:
    stages, count, told = left_out(40)
    assert (count, told) == (1000, ["stage 2 has 2 of 4 epochs"])
    assert (stages[1].epochs, stages[1].warm_up) == (2, 1)
    Recipe(name="valid", stage=stages)


def test_then_layers_then_the_stage_then_photos() -> None:
    costs = Costs(0.01, 0.8, 0.2, 5.0, lambda stage: 0.01 if stage.train == "last:9" else 0.002)
    stages, _, told = left_out(20, costs=costs, shallower=["last:3"])
    assert (stages[1].train, stages[1].epochs) == ("last:3", 1)
    assert told == ["stage 2 trains last:3 only", "stage 2 has 1 of 4 epochs"]
    stages, count, told = left_out(15)
    assert (stages, count, told) == (TWO.stage[:1], 1000, ["stage 2 was left out"])
    stages, count, told = left_out(7)
    assert stages == TWO.stage[:1]
    assert 300 < count < 600
    assert told[0] == "stage 2 was left out"
    assert f"{1000 - count:,} of 1,000 photos" in told[1]


def test_more_time_never_gives_less() -> None:
    tried = [left_out(left) for left in np.linspace(1, 80, 80)]
    counts = [count for _, count, _ in tried]
    epochs = [stages[1].epochs if len(stages) > 1 else 0 for stages, _, _ in tried]
    assert counts == sorted(counts)
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 5


def test_folds_cost_a_training_each() -> None:
    folded = Costs(COSTS.photo, 1.0, 1.0, COSTS.begin, COSTS.step, fits=6)
    assert left_out(100)[2] == []
    assert left_out(100, costs=folded)[2] != []


def reads(counts: dict[str, int]) -> list[Read]:
    return [
        Read(SourcePhoto(f"{label}/{n}.jpg", label, None), f"{ord(label[0]):02x}{n:062x}", 1)
        for label, count in counts.items()
        for n in range(count)
    ]


def test_some_photos_are_of_every_class_in_proportion() -> None:
    drawn = some(reads({"cat": 300, "mouse": 100, "yak": 3}), 40, seed=0)
    counts = Counter(read.photo.label for read in drawn)
    assert counts == {"cat": 30, "mouse": 10, "yak": 2}
    assert drawn == some(reads({"cat": 300, "mouse": 100, "yak": 3}), 40, seed=0)
    assert drawn != some(reads({"cat": 300, "mouse": 100, "yak": 3}), 40, seed=1)


def test_a_copy_is_drawn_with_its_original() -> None:
    photos = reads({"cat": 50})
    copies = [
        Read(SourcePhoto(f"cat/b{n}.jpg", "cat", None), r.sha256, 1) for n, r in enumerate(photos)
    ]
    drawn = Counter(read.sha256 for read in some([*photos, *copies], 20, seed=0))
    assert set(drawn.values()) == {2}


def test_shallower_values_train_less_and_less() -> None:
    backbone = backbones.build(size=32, alpha=0.35, weights="random")
    found = shallower(backbone, "from:block_13_expand")
    assert len(found) == 2
    half, quarter = found
    assert 0 < found[quarter] <= 0.25 < found[half] <= 0.5
    firsts = [first_trained(backbone, t) for t in ("from:block_13_expand", half, quarter)]
    assert firsts == sorted(set(firsts))
    assert cut_below(backbone, firsts[1]) != cut_below(backbone, firsts[0])
    assert shallower(backbone, "head") == {}


def test_a_training_tells_what_it_left_out(few: Path, tmp_path: Path, cli: Any) -> None:
    recipe = tiny_recipe().model_copy(
        update={"stage": (LogisticStage(), GradientStage(train="last:20", epochs=5000))}
    )
    (tmp_path / "long.toml").write_text(to_toml(recipe), "utf-8")
    ran = cli(
        "train", few, "--recipe", tmp_path / "long.toml", "--out", tmp_path / "run",
        "--time-limit", "12s", "--no-cache", "--no-report",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "time limit   12 s: stage 2 " in ran.out
    assert "to keep the time limit of 12 s: stage 2 " in ran.err
    record = (tmp_path / "run" / "run.json").read_text("utf-8")
    assert '"seconds": 12.0' in record
    pawprint.load(tmp_path / "run")


def test_a_limit_is_not_for_resuming(few: Path, recipe: Path, cli: Any) -> None:
    ran = cli("train", few, "--recipe", recipe, "--time-limit", "60s", "--resume")
    assert ran.code != 0
    assert "cannot be resumed" in ran.err
