"""Recipes: every fault is told at once, with the name that was probably meant."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from pawprint.errors import RecipeError
from pawprint.testing import tiny_recipe, write_tiny_recipe
from pawprint.training import recipe as recipes
from pawprint.training.recipe import BackbonePart, DataPart, HeadStage, Recipe, WholeStage

HEAD = '[[stage]]\ntrain = "head"\n'


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(RecipeError) as error:
        recipes.load(path)
    assert str(error.value).startswith(str(path))
    return str(error.value).removeprefix(str(path))


def test_the_recipes_that_come_along_can_be_loaded() -> None:
    assert "quick" in recipes.names()
    for name in recipes.names():
        assert recipes.load(name).name == name


@pytest.mark.parametrize(
    ("text", "where", "near"),
    [
        (f'name = "m"\n[data]\nsise = 96\n{HEAD}', "data.sise", "size"),
        (f'name = "m"\n[backbone]\nalhpa = 0.5\n{HEAD}', "backbone.alhpa", "alpha"),
        (f'name = "m"\ndescripton = "x"\n{HEAD}', "descripton", "description"),
        ('name = "m"\n[[stage]]\ntrain = "all"\nepoch = 3\n', "stage.epoch", "epochs"),
        (f'name = "m"\n{HEAD}trian = "all"\n', "stage.trian", "train"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_one(
    tmp_path: Path, text: str, where: str, near: str
) -> None:
    assert f"{where}: unknown key, did you mean '{near}'?" in refused(tmp_path, text)


@pytest.mark.parametrize("key", ["head", "all", "zebra"])
def test_an_unknown_key_like_no_other_is_told_by_its_name(tmp_path: Path, key: str) -> None:
    assert f"{key}: unknown key" in refused(tmp_path, f'name = "m"\n{key} = 1\n{HEAD}')
    text = f'name = "m"\n{HEAD}{key} = 1\n'
    assert f"stage.{key}: unknown key" in refused(tmp_path, text)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = (
        'name = "m"\n[data]\nsize = 7\npolicy = "zoom"\nvalidation = 1.0\n'
        '[backbone]\nname = "VGG16"\nalpha = -1\nwieghts = "random"\n' + HEAD
    )
    found = refused(tmp_path, text)
    for what in (
        "data.size",
        "(found 7)",
        "data.policy",
        "'zoom'",
        "data.validation",
        "backbone.name",
        "'VGG16'",
        "backbone.alpha",
        "backbone.wieghts: unknown key, did you mean 'weights'?",
    ):
        assert what in found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('name = "m"\n', "stage: "),
        ('name = "m"\nstage = []\n', "stage"),
        (f'name = "m"\n{HEAD}{HEAD}', "stage: "),
        ('name = "m"\n[stage]\ntrain = "head"\n', "stage: "),
        ('name = "m"\n[[stage]]\ntrain = "haed"\n', "stage: "),
        ('name = "m"\n[[stage]]\nepochs = 3\n', "stage: "),
        ('name = "m"\n[[stage]]\ntrain = "all"\nepochs = 0\n', "stage.epochs: "),
        (HEAD, "name: "),
        (f"name = 3\n{HEAD}", "name: "),
        (f'name = "m"\ndata = 3\n{HEAD}', "data: "),
    ],
)
def test_values_that_do_not_fit_are_told_by_their_place(
    tmp_path: Path, text: str, told: str
) -> None:
    assert told in refused(tmp_path, text)


def test_an_unknown_recipe_is_told_with_the_nearest_and_all() -> None:
    with pytest.raises(RecipeError, match=r"qiuck: no recipe.*did you mean 'quick'\?") as error:
        recipes.load("qiuck")
    assert all(name in str(error.value) for name in recipes.names())


def test_a_recipe_like_no_other_is_told_without_a_guess() -> None:
    with pytest.raises(RecipeError, match="no recipe of that name") as error:
        recipes.load("no/such.toml")
    assert "did you mean" not in str(error.value)


@pytest.mark.parametrize("text", ["size = = 3", "[data\n", 'name = "a"\nname = "b"\n'])
def test_text_that_is_not_toml_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    assert "is not TOML" in refused(tmp_path, text)
    assert "line" in refused(tmp_path, text)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(RecipeError, match="not UTF-8 text"):
        recipes.load(tmp_path / "mine.toml")


ODD = 'C:\\weights\\"mine" — naïve.h5'


@pytest.mark.parametrize(
    "made",
    [
        tiny_recipe(),
        tiny_recipe(size=96, whole=True),
        recipes.load("quick"),
        recipes.load("scratch"),
        Recipe(
            name=ODD,
            description='two\nlines, a "quote", a tab\t and a bell \x07',
            data=DataPart(size=75, policy="pad", validation=0.05, seed=2**32 - 1),
            backbone=BackbonePart(alpha=0.5, weights=ODD),
            stage=(WholeStage(train="all", rate=1e-7, epochs=3, batch_size=7, mirror=False),),
        ),
        Recipe(name="'", description="'''\r\n\\", stage=(HeadStage(train="head"),)),
    ],
)
def test_a_recipe_written_out_is_read_back_the_same(made: Recipe, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(made.to_toml(), "utf-8")
    assert recipes.load(tmp_path / "mine.toml") == made


def test_a_recipe_written_out_shows_every_default() -> None:
    def keys(values: dict[str, Any]) -> set[str]:
        return {
            key if not isinstance(value, dict) else f"{key}.{inner}"
            for key, value in values.items()
            for inner in (value if isinstance(value, dict) else [""])
        }

    for made in (tiny_recipe(), tiny_recipe(whole=True)):
        written = tomllib.loads(made.to_toml())
        meant = made.model_dump()
        assert keys(written) == keys(meant)
        assert keys(written["stage"][0]) == keys(meant["stage"][0])


def test_the_tiny_recipe_of_the_tests_is_written_as_it_is(tmp_path: Path) -> None:
    assert recipes.load(write_tiny_recipe(tmp_path / "tiny.toml", size=96)) == tiny_recipe(size=96)
