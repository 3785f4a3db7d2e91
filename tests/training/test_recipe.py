"""Recipes: every fault is told at once, with its line and the name that was probably meant."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pawprint.data.augment import Flip, Zoom
from pawprint.errors import OutputError, RecipeError
from pawprint.model.head_layers import AveragePool, Dense, Dropout, Flatten
from pawprint.training import recipe_files
from pawprint.training.recipe import (
    BackbonePart,
    DataPart,
    GradientStage,
    LogisticStage,
    Recipe,
)

NAME = 'name = "m"\n'
HEAD = '[[stage]]\ntrain = "head"\n'
FULL = """\
name = "m"
[data]
size = 96

[backbone]
weights = "random"

[[head]]
layer = "average_pool"
[[head]]
layer = "dropout"
rate = 0.2

[[augment]]
layer = "flip"

[[stage]]
fit = "logistic"

[[stage]]
train = "last:100"
epochs = 3
"""


def faults(tmp_path: Path, text: str, changes: dict[str, Any] | None = None) -> tuple[str, ...]:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(RecipeError) as error:
        recipe_files.load(path, changes)
    assert str(error.value).startswith(str(path))
    for fault in error.value.faults:
        assert fault in str(error.value)
    return error.value.faults


def fault(tmp_path: Path, text: str, changes: dict[str, Any] | None = None) -> str:
    (only,) = faults(tmp_path, text, changes)
    return only


# those that come along


def test_the_recipes_that_come_along_can_be_loaded() -> None:
    assert {"quick", "two-stage", "small-dense", "rmsprop-128"} <= set(recipe_files.names())
    for name in recipe_files.names():
        made = recipe_files.load(name)
        assert made.name == name
        assert made.description


def test_the_layers_that_they_name_are_there() -> None:
    for name in recipe_files.names():
        assert recipe_files.validate(name) == recipe_files.load(name)


# faults and their lines


def test_all_faults_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """\
[data]
size = 7
policy = "Crop"
[backbone]
name = "VGG16"
wieghts = "random"
[[head]]
layer = "dropuot"
[[augment]]
layer = "rotation"
factor = 3
[[stage]]
train = "haed"
optimizer = "admam"
epochs = 0
[[stage]]
train = "last:10"
rate = -1
views = "fersh"
"""
    assert faults(tmp_path, text) == (
        "line 1: name is missing",
        "line 2: data.size: must be at least 32 (found 7)",
        'line 3: data.policy: must be "squash", "crop" or "pad" (found "Crop"), did you mean '
        '"crop"?',
        'line 5: backbone.name: must be "starter", "MobileNetV2", "MobileNetV3Small", '
        '"MobileNetV3Large", '
        '"EfficientNetV2B0", "EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3", '
        '"ConvNeXtTiny", "ResNet50V2", "DenseNet121" or "NASNetMobile" (found "VGG16")',
        "line 6: backbone.wieghts: unknown key, did you mean 'weights'?",
        'line 8: head.1.layer: must be "average_pool", "flatten", "dense", "batch_norm" or '
        '"dropout" (found "dropuot"), did you mean "dropout"?',
        "line 11: augment.1.factor: expected a number or [low, high] within [-1, 1] (found 3)",
        'line 13: stage.1.train: must be "head" or "all" or "last:N" (N at least 1) or '
        '"from:LAYER" (found "haed"), did you mean "head"?',
        'line 14: stage.1.optimizer: must be "adam", "adamw", "rmsprop" or "sgd" (found '
        '"admam"), did you mean "adam"?',
        "line 15: stage.1.epochs: must be at least 1 (found 0)",
        "line 18: stage.2.rate: must be more than 0 (found -1)",
        'line 19: stage.2.views: must be a whole number or "mirrored" or "fresh" (found "fersh"), '
        'did you mean "fresh"?',
    )


def test_one_fault_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"{NAME}{HEAD}epochs = 0\n", "utf-8")
    with pytest.raises(RecipeError) as error:
        recipe_files.load(path)
    assert str(error.value) == f"{path} line 4: stage.1.epochs: must be at least 1 (found 0)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{NAME}descripton = 1\n{HEAD}", "line 2: descripton: unknown key, did you mean 'desc"),
        (f"{NAME}[data]\nsise = 96\n{HEAD}", "line 3: data.sise: unknown key, did you mean 'size'"),
        (f"{NAME}data.sise = 96\n{HEAD}", "line 2: data.sise: unknown key, did you mean 'size'?"),
        (f"{NAME}{HEAD}epoch = 3\n", 'line 4: stage.1.epoch: unknown key for fit = "gradient", '),
        (f"{NAME}{HEAD}epoch = 3\n", "did you mean 'epochs'?"),
        (
            f'{NAME}[[stage]]\nfit = "logistic"\nepochs = 3\n',
            'line 4: stage.1.epochs: unknown key for fit = "logistic"; known: train, fit',
        ),
        (
            f'{NAME}[[head]]\nlayer = "average_pool"\n[[head]]\nlayer = "dense"\nunits = 3\n'
            f"unit = 3\n{HEAD}",
            "line 7: head.2.unit: unknown key for layer = \"dense\", did you mean 'units'?",
        ),
        (
            f'{NAME}[[augment]]\nlayer = "rotation"\nfactor = 0.1\nheight = 0.1\n{HEAD}',
            'line 5: augment.1.height: unknown key for layer = "rotation"; known: fill, layer, ',
        ),
        (f'{NAME}"a.b\\n" = 1\n{HEAD}', 'line 2: "a.b\\n": unknown key; known: name, '),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_of_its_table(
    tmp_path: Path, text: str, told: str
) -> None:
    assert told in fault(tmp_path, text)


@pytest.mark.parametrize("key", ["gradient", "fit.x", "stage", "zebra"])
def test_a_key_named_as_something_else_is_still_unknown(tmp_path: Path, key: str) -> None:
    text = f'{NAME}[[stage]]\ntrain = "head"\n"{key}" = 1\nepochs = 0\n'
    unknown, epochs = faults(tmp_path, text)
    assert unknown.startswith("line 4: ")
    assert "unknown key" in unknown
    assert epochs.startswith("line 5: stage.1.epochs: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (NAME, "line 1: stage is missing"),
        (f"{NAME}stage = []\n", "line 2: stage: must be there at least once"),
        (f'{NAME}[stage]\ntrain = "head"\n', "line 2: stage: must be written as [[stage]]"),
        (f"{NAME}stage = [3]\n", "line 2: stage.1: must be a table (found 3)"),
        (f'{NAME}head = ["flatten"]\n{HEAD}', "line 2: head.1: must be a table"),
        (f"{NAME}data = 3\n{HEAD}", "line 2: data: must be a table (found 3)"),
        (f"name = 3\n{HEAD}", "line 1: name: must be text in quotes (found 3)"),
        (f'name = ""\n{HEAD}', "line 1: name: must not be empty"),
        (f'{NAME}keras_h5 = "../a.h5"\n{HEAD}', "line 2: keras_h5: must be a file's name that"),
        (f"{NAME}[[stage]]\nepochs = 3\n", "line 2: stage.1: train is missing"),
        (f"{NAME}[[stage]]\nfit = 3\n", 'line 3: stage.1.fit: must be "gradient" or "logistic"'),
        (f'{NAME}[[stage]]\nfit = "logstic"\n', 'did you mean "logistic"?'),
        (f'{NAME}[[stage]]\ntrain = "last:0"\n', 'line 3: stage.1.train: must be "head" or'),
        (f'{NAME}[[stage]]\nfit = "logistic"\ntrain = "all"\n', 'must be "head" (found "all")'),
        (f"{NAME}[[head]]\nrate = 0.1\n{HEAD}", "line 2: head.1: layer is missing; expected "),
        (f'{NAME}[[augment]]\nlayer = "zoom"\n{HEAD}', "line 2: augment.1: height is missing"),
        (f"{NAME}{HEAD}epochs = 3.0\n", "line 4: stage.1.epochs: must be a whole number (fou"),
        (f'{NAME}{HEAD}epochs = "3"\n', 'must be a whole number (found "3")'),
        (f"{NAME}{HEAD}epochs = true\n", "must be a whole number (found true)"),
        (f"{NAME}{HEAD}rate = true\n", "line 4: stage.1.rate: must be a number (found true)"),
        (f"{NAME}{HEAD}rate = nan\n", "line 4: stage.1.rate: must be"),
        (f"{NAME}{HEAD}patience = -1\n", "line 4: stage.1.patience: must be at least 0"),
        (f"{NAME}{HEAD}best_weights = 1\n", "must be true or false (found 1)"),
        (f"{NAME}[data]\nseed = 4294967296\n{HEAD}", "must be less than 4294967296"),
        (f"{NAME}data.size = 2000\n{HEAD}", "line 2: data.size: must be at most 1024"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_line(
    tmp_path: Path, text: str, told: str
) -> None:
    assert told in fault(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{NAME}[backbone]\nalpha = 0.4\n{HEAD}", "line 3: backbone.alpha: must be one of 0.35"),
        (f"{NAME}{HEAD}weight_decay = 0.1\n", 'line 4: stage.1.weight_decay: is for optimizer = "'),
        (f"{NAME}{HEAD}warm_up = 1\n", 'line 4: stage.1.warm_up: is for schedule = "cosine"'),
        (
            f'{NAME}{HEAD}schedule = "cosine"\nwarm_up = 3\n',
            "line 5: stage.1.warm_up: must be less than the stage's 3 epochs",
        ),
        (f"{NAME}{HEAD}views = 2\n", "line 4: stage.1.views: must be 1 without any [[augment]]"),
        (f"{NAME}head = []\n{HEAD}", "line 2: head.1: must be average_pool or flatten"),
        (
            f'{NAME}[[head]]\nlayer = "batch_norm"\n[[head]]\nlayer = "flatten"\n{HEAD}',
            "line 2: head.1: must be average_pool or flatten",
        ),
        (
            f'{NAME}[[head]]\nlayer = "flatten"\n[[head]]\nlayer = "flatten"\n{HEAD}',
            "line 4: head.2: must not be average_pool or flatten again",
        ),
        (
            f'{NAME}[[head]]\nlayer = "flatten"\n[[stage]]\nfit = "logistic"\n',
            'line 5: stage.1.fit: "logistic" needs a head of average_pool',
        ),
        (
            f'{NAME}{HEAD}[[stage]]\nfit = "logistic"\n',
            'line 5: stage.2.fit: "logistic" is for the first stage',
        ),
    ],
)
def test_values_that_do_not_go_together_are_told_with_a_line(
    tmp_path: Path, text: str, told: str
) -> None:
    assert told in fault(tmp_path, text)


def test_faults_within_parts_and_between_them_come_together(tmp_path: Path) -> None:
    text = f'{NAME}[data]\nsize = 7\n{HEAD}views = "fresh"\n[[stage]]\nfit = "logistic"\n'
    assert [told.split(":")[0] for told in faults(tmp_path, text)] == ["line 3", "line 6", "line 8"]


def test_parts_that_do_not_go_together_are_refused_in_python_too() -> None:
    with pytest.raises(ValidationError, match="first stage"):
        Recipe(name="m", stage=(LogisticStage(), LogisticStage()))


def test_layers_that_the_backbone_has_not_are_told_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        FULL.replace("last:100", "from:block_15_expnd") + '[[stage]]\ntrain = "last:200"\n'
        '[[stage]]\ntrain = "from:block_15_expand"\n[[stage]]\ntrain = "from:out_relu"\n',
        "utf-8",
    )
    assert len(recipe_files.load(path).stage) == 5
    with pytest.raises(RecipeError) as error:
        recipe_files.validate(path)
    unknown, many, above = error.value.faults
    assert unknown.startswith("line 21: stage.2.train: MobileNetV2 has no layer 'block_15_expnd'")
    assert "block_15_expand" in unknown
    assert many.startswith("line 24: stage.3.train: ")
    assert above.startswith("line 28: stage.5.train: ")


# files


def test_an_unknown_recipe_is_told_with_the_nearest_and_all() -> None:
    with pytest.raises(RecipeError, match=r"two-stge: no recipe.*did you mean 'two-stage'\?") as e:
        recipe_files.load("two-stge")
    assert all(name in str(e.value) for name in recipe_files.names())


def test_a_recipe_like_no_other_is_told_without_a_guess(tmp_path: Path) -> None:
    for name in ("no/such.toml", str(tmp_path), ""):
        with pytest.raises(RecipeError, match="no recipe of that name") as error:
            recipe_files.load(name)
        assert "did you mean" not in str(error.value)


@pytest.mark.parametrize("text", ["size = = 3", "[data\n", 'name = "a"\nname = "b"\n'])
def test_text_that_is_not_toml_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(RecipeError, match=r"mine\.toml is not TOML: .*line"):
        recipe_files.load(path)


@pytest.mark.parametrize("text", [f"a = {'9' * 5000}", f"a = {'[' * 100_000}"])
def test_toml_beyond_what_python_reads_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(RecipeError, match=r"mine\.toml has a number or brackets too long"):
        recipe_files.load(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(RecipeError, match="not UTF-8 text"):
        recipe_files.load(tmp_path / "mine.toml")


def test_a_file_as_windows_editors_write_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + FULL.replace("\n", "\r\n").encode())
    assert recipe_files.load(path).data.size == 96
    path.write_bytes(path.read_bytes().replace(b"epochs = 3", b"epochs = 0"))
    with pytest.raises(RecipeError, match=r"line 22: stage\.2\.epochs"):
        recipe_files.load(path)


# changes


def test_changes_take_the_place_of_the_recipes_values(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FULL, "utf-8")
    made = recipe_files.load(
        path,
        {
            "name": "other",
            "data.size": 128,
            "data.seed": 7,
            "backbone.weights": Path("some/file.h5"),
            "head.2.rate": 0.5,
            "augment.1": {"layer": "zoom", "height": [-0.1, 0.0]},
            "augment.1.width": 0.1,
            "stage.2.epochs": 9,
        },
    )
    assert (made.name, made.data.size, made.data.seed) == ("other", 128, 7)
    assert made.backbone.weights == str(Path("some/file.h5"))
    assert made.head == (AveragePool(), Dropout(rate=0.5))
    assert made.augment == (Zoom(height=(-0.1, 0.0), width=0.1),)
    assert made.stage == (LogisticStage(), GradientStage(train="last:100", epochs=9))


def test_changes_reach_what_the_recipe_leaves_to_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"{NAME}{HEAD}", "utf-8")
    made = recipe_files.load(path, {"data.size": 64, "head.1.layer": "flatten"})
    assert (made.data.size, made.head) == (64, (Flatten(),))


def test_changes_leave_what_they_were_given_as_it_was() -> None:
    given = {"augment": [{"layer": "flip"}], "augment.1.mode": "vertical"}
    assert recipe_files.load("quick", given).augment == (Flip(mode="vertical"),)
    assert given["augment"] == [{"layer": "flip"}]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("stage.2.epoch", "there is no such place, did you mean 'stage.2.epochs'?"),
        ("stages.2.epochs", "did you mean 'stage.2.epochs'?"),
        ("epochs", "did you mean 'stage.2.epochs'?"),
        ("size", "did you mean 'data.size'?"),
        ("data.sise", "did you mean 'data.size'?"),
        ("stage.first.rate", "did you mean 'stage.2.rate'?"),
        ("stage.1.rate.2", "there is no such place"),
        ("name.1", "there is no such place"),
        ("zebra", "there is no such place; places are such as stage.1.epochs"),
        ("", "there is no such place"),
        ("stage.3.epochs", "there is no stage 3: the recipe has 2, the last is stage.2"),
        ("stage.0.epochs", "there is no stage 0: the recipe has 2"),
        ("stage.-1.epochs", "there is no such place"),
        ("head.3", "there is no head layer 3: the recipe has 2, the last is head.2"),
        ("augment.99999.mode", "there is no augmentation 99999: the recipe has 1"),
    ],
)
def test_a_place_that_is_not_there_is_told_with_the_nearest(
    tmp_path: Path, place: str, told: str
) -> None:
    found = fault(tmp_path, FULL, {place: 1})
    assert found.startswith(f"with {place}=1: ")
    assert told in found


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stage.2.epochs": 0}, "with stage.2.epochs=0: must be at least 1 (found 0)"),
        ({"data.policy": "corp"}, 'with data.policy="corp": must be "squash", "crop" or "pad" ('),
        (
            {"head.2": {"layer": "dropout", "rate": 2}},
            'with head.2={layer = "dropout", rate = 2}: head.2.rate: must be less than 1 (found 2)',
        ),
        ({"stage.1.epochs": 3}, 'with stage.1.epochs=3: unknown key for fit = "logistic"'),
        ({"stage.2.warm_up": 1}, 'with stage.2.warm_up=1: is for schedule = "cosine"'),
        ({"stage.2": 3}, "with stage.2=3: must be a table"),
        ({"backbone.weights": "a\udc80"}, 'with backbone.weights="a\udc80": must be text in UTF-8'),
        ({"stage.2.train": "frm:3"}, 'with stage.2.train="frm:3": must be "head" or "all" or'),
    ],
)
def test_a_fault_in_a_change_names_the_change(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    assert fault(tmp_path, FULL, changes).startswith(told)


def test_faults_of_changes_and_of_the_file_come_together(tmp_path: Path) -> None:
    text = FULL.replace("size = 96", "size = 7")
    found = faults(tmp_path, text, {"stage.2.epochs": 0, "stage.9.epochs": 1, "head": []})
    starts = ["with stage.9.epochs=1: ", "line 3: ", "with head=[]: ", "with stage.2.epochs=0: "]
    assert [told.startswith(start) for told, start in zip(found, starts, strict=True)] == [True] * 4


def test_a_later_change_replaces_an_earlier_one_and_its_faults(tmp_path: Path) -> None:
    found = fault(tmp_path, FULL, {"data.size": "big", "data": {"size": 5}})
    assert found == "with data={size = 5}: data.size: must be at least 32 (found 5)"


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("stage.1.epochs=5", ("stage.1.epochs", 5)),
        ("stage.1.rate = 1e-3", ("stage.1.rate", 1e-3)),
        ("a=true", ("a", True)),
        ('a="5"', ("a", "5")),
        ("a=[0.1, 0.2]", ("a", [0.1, 0.2])),
        ('a={layer = "flip"}', ("a", {"layer": "flip"})),
        ("data.policy=crop", ("data.policy", "crop")),
        ("backbone.weights=/a b/c=d.h5", ("backbone.weights", "/a b/c=d.h5")),
        ("a=", ("a", "")),
        ("a=2024-01-01", ("a", "2024-01-01")),
        ("a=1\nb=2", ("a", "1\nb=2")),
        ("a=" + "[" * 100_000, ("a", "[" * 100_000)),
    ],
)
def test_a_typed_change_has_a_toml_value_or_plain_text(text: str, change: tuple[str, Any]) -> None:
    place, value = recipe_files.parse_change(text)
    assert (place, value) == change
    assert type(value) is type(change[1])


@pytest.mark.parametrize("text", ["stage.1.epochs", "=5", " = 5", ""])
def test_a_typed_change_without_a_place_or_value_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"expected PLACE=VALUE, such as stage\.1\.epochs=5"):
        recipe_files.parse_change(text)


# written out


ODD = 'C:\\weights\\"mine" — naïve.h5'
MADE = [
    Recipe(
        name=ODD,
        description='two\nlines, a "quote", a tab\t and a bell \x07',
        keras_h5="a-b_c.h5",
        data=DataPart(size=75, policy="pad", validation=0.05, test=0.5, seed=2**32 - 1),
        backbone=BackbonePart(alpha=0.4, weights=ODD),
        head=(Flatten(), Dense(units=3, activation="linear", l2=1e-7), Dropout(rate=0.5)),
        augment=(Flip(mode="vertical"), Zoom(height=(-0.1, 0.2)), Zoom(height=0.1, width=0.2)),
        stage=(
            GradientStage(train="head", schedule="cosine", warm_up=0.5, views="fresh"),
            GradientStage(train="from:block_3_expand", rate=1e-7, views=3, best_weights=True),
        ),
    ),
    Recipe(name="'", description="'''\r\n\\", stage=(LogisticStage(),)),
    *map(recipe_files.load, recipe_files.names()),
]


@pytest.mark.parametrize("made", MADE)
def test_a_recipe_written_out_is_read_back_the_same(made: Recipe, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(recipe_files.to_toml(made), "utf-8")
    assert recipe_files.load(tmp_path / "mine.toml") == made


@pytest.mark.parametrize("made", MADE)
def test_a_recipe_written_out_shows_every_default(made: Recipe) -> None:
    written = tomllib.loads(recipe_files.to_toml(made))
    for part in ("data", "backbone"):
        assert set(written[part]) == set(getattr(made, part).model_dump())
    for part in ("head", "augment", "stage"):
        meant = [set(one.model_dump(exclude_none=True)) for one in getattr(made, part)]
        assert [set(one) for one in written.get(part, [])] == meant


# copies


def test_a_copy_is_the_recipe_with_its_comments(tmp_path: Path) -> None:
    recipe_files.copy("two-stage", tmp_path / "mine.toml")
    assert (tmp_path / "mine.toml").read_text("utf-8") == recipe_files.text_of("two-stage")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_a_copy_replaces_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.toml"
    if kind == "file":
        path.write_text("mine", "utf-8")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    with pytest.raises(OutputError, match=r"name another file|is a folder; name a file in it"):
        recipe_files.copy("quick", path)
    assert kind != "file" or path.read_text("utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_a_copy_makes_no_folders(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no is not a folder; make it first"):
        recipe_files.copy("quick", tmp_path / "no" / "mine.toml")
    assert not list(tmp_path.iterdir())


# folds


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        ("patience = 2", "stage.1.patience"),
        ("best_weights = true", "stage.1.best_weights"),
        ('schedule = "plateau"', "stage.1.schedule"),
    ],
)
def test_folds_leave_no_photos_to_decide_by(tmp_path: Path, extra: str, place: str) -> None:
    text = f"{NAME}[data]\nfolds = 5\n{HEAD}{extra}\n"
    told = fault(tmp_path, text)
    assert f"{place}: needs held-out photos" in told
    assert "set data.folds to 0" in told
    path = tmp_path / "mine.toml"
    assert recipe_files.load(path, {"data.folds": 0}).data.folds == 0


def test_folds_are_none_or_several_and_go_with_no_test(tmp_path: Path) -> None:
    assert fault(tmp_path, f"{NAME}[data]\nfolds = 1\n{HEAD}").startswith(
        "line 3: data.folds: must be 0 or at least 2"
    )
    assert "must be 0 with a data.test" in fault(
        tmp_path, f"{NAME}[data]\ntest = 0.2\nfolds = 5\n{HEAD}"
    )
