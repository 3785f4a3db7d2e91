"""Mirrored views: trained on, averaged over, computed in one pass; the bundle answers alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pawprint
from pawprint.data.split import TRAIN
from pawprint.model import backbones, head
from pawprint.testing import tiny_recipe
from pawprint.training.recipe import MIRROR, GradientStage, LogisticStage, Recipe
from pawprint.training.recipe_files import to_toml
from pawprint.training.views import Part


def mirroring(*stages: Any) -> Recipe:
    return tiny_recipe().model_copy(update={"mirror": True, "stage": stages})


def test_the_mirror_view_has_left_and_right_exchanged(few: Path, scene: Callable[..., Any]) -> None:
    look = scene(few, tiny_recipe())
    read = look.sides[TRAIN].reads[0]
    pixels = look.views.pixels(read)
    assert not np.array_equal(pixels, pixels[:, ::-1])
    np.testing.assert_array_equal(look.views.augmented(read, MIRROR), pixels[:, ::-1])


def test_several_parts_in_one_pass_are_those_computed_alone(
    few: Path, scene: Callable[..., Any]
) -> None:
    parts = [Part("block_7_add", pooled=False), Part("top_relu", pooled=True)]
    backbone = backbones.build("starter", size=64, weights="random")
    together, alone = scene(few, tiny_recipe()), scene(few, tiny_recipe())
    reads = together.sides[TRAIN].reads
    hashes = [read.sha256 for read in reads]
    sizes, faults = together.views.bring_parts(reads, backbone, parts, MIRROR)
    assert (sorted(sizes), faults) == (sorted(hashes), [])
    for part in parts:
        prefix = alone.views.prefix(backbone, part.cut, pooled=part.pooled)
        alone.views.need(reads, prefix, MIRROR)
        expected = alone.views.store(prefix, MIRROR).take(hashes)
        found = together.views.store(prefix, MIRROR).take(hashes)
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(found, expected, rtol=2e-2, atol=2e-2)
    assert together.views.lacking(reads, backbone, parts) == list(
        reads
    )  # of the photos as they are
    together.views.bring_parts(reads, backbone, parts)
    assert together.views.lacking(reads, backbone, parts) == []


def test_views_of_a_photo_are_never_on_both_sides_of_the_choice_of_strength() -> None:
    random = np.random.default_rng(0)
    photos = random.standard_normal((40, 1, 30)).astype(np.float32)
    labels = np.arange(40) % 2  # nothing to be learned
    twice = np.repeat(photos, 2, axis=1)
    once, doubled = head.fit(photos, labels), head.fit(twice, labels)
    # A copy on the other side would be recognised: the weakest strength would look right.
    assert max(row["accuracy"] for row in doubled.choice) < 0.75
    np.testing.assert_allclose(
        [row["accuracy"] for row in doubled.choice], [row["accuracy"] for row in once.choice],
        atol=0.15,
    )  # fmt: skip


@pytest.mark.parametrize("stages", [
    (LogisticStage(views="mirrored"),),
    (LogisticStage(), GradientStage(train="last:20", epochs=1, views="mirrored", roll_back=False)),
])  # fmt: skip
def test_a_bundle_answers_with_the_mean_over_photo_and_mirror_image(
    few: Path, tmp_path: Path, stages: Any
) -> None:
    path = tmp_path / "mirror.toml"
    path.write_text(to_toml(mirroring(*stages)), "utf-8")
    run = pawprint.train(few, recipe=path, out=tmp_path / "run", cache=False)
    classifier = run.classifier()
    assert classifier.card.mirror
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    there, back = classifier.probabilities(pixels), classifier.probabilities(pixels[:, ::-1].copy())
    np.testing.assert_allclose(there, back, atol=1e-6)
    found = run.record["bundle"]
    assert found["largest_difference"] < 0.02
    assert found["largest_difference_to_keras"] < 1e-3
    card = json.loads((run.model / "pawprint.json").read_text("utf-8"))
    assert card["mirror"] is True


def test_stages_for_more_photos_are_left_out_and_told(few: Path, tmp_path: Path, cli: Any) -> None:
    recipe = tiny_recipe().model_copy(
        update={"stage": (LogisticStage(), GradientStage(train="last:20", least_photos=41))}
    )
    path = tmp_path / "many.toml"
    path.write_text(to_toml(recipe), "utf-8")
    ran = cli(
        "train", few, "--recipe", path, "--out", tmp_path / "run", "--no-cache", "--no-report"
    )
    assert ran.code == 0, ran.err
    assert "note         stage 2 was left out: it is for 41 photos and more, and there are 40" in (
        ran.out
    )
    assert "least_photos" not in (tmp_path / "run" / "recipe.toml").read_text("utf-8")


def test_the_first_stage_is_for_any_number_of_photos() -> None:
    with pytest.raises(ValueError, match="is for stages after the first"):
        Recipe(name="wrong", stage=(GradientStage(train="head", least_photos=5),))
