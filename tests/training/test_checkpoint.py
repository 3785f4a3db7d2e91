"""What interrupts a training costs an epoch at most: resumed, it ends with the same weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pawprint
from pawprint.data.dataset import Dataset, Photo
from pawprint.errors import OutputError, RecipeError, SourceError
from pawprint.model import backbones, network
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.progress import SILENT
from pawprint.testing import tiny_recipe
from pawprint.training import stages
from pawprint.training.checkpoint import (
    Checkpoints,
    Kept,
    Progressed,
    expect_free,
    expect_recipe,
    newest,
    unfinished,
)
from pawprint.training.gradient import Material
from pawprint.training.recipe import GradientStage, Recipe
from pawprint.training.recipe_files import to_toml

SMALL = tiny_recipe().backbone


def photo(number: int, side: str = "train", label: str = "cat") -> Photo:
    return Photo(f"{label}/{number}.jpg", label, side, f"{number:016x}" * 4, 1, 8, 8)


PHOTOS = Dataset("pets", tuple(photo(n) for n in range(6)))
LINEAR = tiny_recipe()
KEPT = Kept(
    Progressed(
        stage=2,
        epoch=3,
        rate=0.1,
        best_loss=0.5,
        history=[{"stage": 1.0, "loss": 0.7}],
        stands=1,
        outcomes=[{"stage": 2, "undone": True, "comparison": None}],
    ),
    [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.uint32)],
    [np.array(3, np.int64), np.ones(4, np.float32)],
    [],
    [np.full((3, 2), 0.5, np.float32)],
    [np.array([[0.25, 0.75]])],
)


def checkpoints(
    place: Path, recipe: Recipe = LINEAR, weights: str = "ab", photos: Dataset = PHOTOS
):  # type: ignore[no-untyped-def]
    return Checkpoints(place / "run", recipe, weights, photos)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The file of a checkpoint."""
    own = checkpoints(tmp_path)
    own.save(KEPT)
    (file,) = own.folder.iterdir()
    return Path(file)


def test_what_is_kept_is_found_again(kept: Path, tmp_path: Path, listener: Any) -> None:
    found = checkpoints(tmp_path).begin(True, listener)
    assert found.progressed == KEPT.progressed
    for kind in ("network", "optimizer", "best", "before", "given"):
        before, after = getattr(KEPT, kind), getattr(found, kind)
        assert [a.dtype for a in after] == [b.dtype for b in before]
        assert [a.tolist() for a in after] == [b.tolist() for b in before]
    assert listener.said == []


def test_many_arrays_keep_their_order(tmp_path: Path) -> None:
    many = [np.full(1, n) for n in range(1200)]
    checkpoints(tmp_path).save(replace(KEPT, network=many))
    assert [int(a[0]) for a in checkpoints(tmp_path).load().network] == list(range(1200))


def test_a_later_one_takes_the_place_of_the_one_before(kept: Path, tmp_path: Path) -> None:
    own = checkpoints(tmp_path)
    own.save(replace(KEPT, progressed=Progressed(stage=3, epoch=1)))
    assert [path.name for path in own.folder.iterdir()] == [kept.name]
    assert own.load().progressed == Progressed(stage=3, epoch=1)


def test_with_nothing_to_go_on_from_it_begins_anew_and_says_so(
    tmp_path: Path, listener: Any
) -> None:
    assert checkpoints(tmp_path).begin(True, listener) is None
    assert listener.said == [
        f"{tmp_path / 'run.unfinished'} has nothing to go on from; beginning anew"
    ]


def test_where_it_could_go_on_nothing_begins_anew(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"run\.unfinished holds.*--resume.*another --out"):
        expect_free(tmp_path / "run")
    kept.unlink()
    expect_free(tmp_path / "run")
    expect_free(tmp_path / "other")


def changed(recipe: Recipe, **values: Any) -> Recipe:
    return Recipe.model_validate({**recipe.model_dump(), **values})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"head": [{"layer": "average_pool"}, {"layer": "dropout", "rate": 0.5}]},
            r"head\.2\.layer: nothing then, dropout now",
        ),
        ({"data": {"size": 96, "seed": 3}}, r"data\.seed: 0 then, 3 now; data\.size: 64 then, 96"),
        (
            {"stage": [{"train": "head"}]},
            r"stage\.1\.batch_size: nothing then, 32 now.*and \d+ more",
        ),
        ({"augment": [{"layer": "flip"}]}, r"augment\.1\.layer: nothing then, flip now"),
        (
            {"stage": [{"train": "head", "fit": "logistic"}, {"train": "all"}]},
            r"stage\.2\.[a-z_]+: nothing then",
        ),
    ],
)
def test_another_recipe_is_not_resumed(
    kept: Path, tmp_path: Path, listener: Any, other: dict[str, Any], message: str
) -> None:
    before = kept.read_bytes()
    own = checkpoints(tmp_path, changed(LINEAR, **other))
    with pytest.raises(RecipeError, match=message):
        expect_recipe(tmp_path / "run", changed(LINEAR, **other))
    with pytest.raises(RecipeError, match=message) as error:
        own.begin(True, listener)
    assert str(kept.parent) in str(error.value)
    assert "begin anew with another --out" in str(error.value)
    assert kept.read_bytes() == before


def test_the_same_recipe_and_none_at_all_are_expected(kept: Path, tmp_path: Path) -> None:
    expect_recipe(tmp_path / "run", LINEAR)
    expect_recipe(tmp_path / "run", changed(LINEAR, name="mine", description="of my own"))
    expect_recipe(tmp_path / "other", LINEAR)


def test_other_weights_are_not_resumed(kept: Path, tmp_path: Path, listener: Any) -> None:
    with pytest.raises(RecipeError, match=r"began from other weights.*begin anew"):
        checkpoints(tmp_path, weights="cd").begin(True, listener)
    assert kept.exists()


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ((*PHOTOS.photos, photo(99)), r"6 then, 7 now; 0 have gone and 1 are new.*new: one of cat"),
        (PHOTOS.photos[1:], r"6 then, 5 now; 1 have gone and 0 are new.*gone: one of cat in train"),
        (
            (*PHOTOS.photos[1:], replace(PHOTOS.photos[0], label="dog")),
            r"6 then, 6 now; 1 have gone and 1 are new.*gone: one of cat.*new: one of dog in train",
        ),
        (
            (*PHOTOS.photos[1:], replace(PHOTOS.photos[0], split="validation")),
            r"1 have gone and 1 are new.*new: one of cat in validation",
        ),
        ((*PHOTOS.photos, PHOTOS.photos[0]), r"6 then, 7 now; 0 have gone and 1 are new"),
    ],
)
def test_other_photos_are_not_resumed(
    kept: Path, tmp_path: Path, listener: Any, photos: tuple[Photo, ...], message: str
) -> None:
    before = kept.read_bytes()
    with pytest.raises(SourceError, match=message):
        checkpoints(tmp_path, photos=Dataset("pets", photos)).begin(True, listener)
    assert kept.read_bytes() == before


def test_renamed_photos_are_the_same_photos(kept: Path, tmp_path: Path) -> None:
    renamed = [replace(one, path=f"elsewhere/{one.path}") for one in reversed(PHOTOS.photos)]
    assert checkpoints(tmp_path, photos=Dataset("other", tuple(renamed))).load() is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not a checkpoint",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-10],
        lambda data: data[100:],
        lambda data: data.replace(b"about", b"abuot"),
        lambda data: data.replace(b'"epoch"', b'"epocH"'),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(
    kept: Path, tmp_path: Path, listener: Any, damage: Callable[[bytes], bytes]
) -> None:
    kept.write_bytes(damage(kept.read_bytes()))
    before = kept.read_bytes()
    with pytest.raises(OutputError, match=r"checkpoint\.npz is no checkpoint.*begin anew"):
        checkpoints(tmp_path).begin(True, listener)
    assert kept.read_bytes() == before


def test_no_damaged_byte_is_a_surprise(kept: Path, tmp_path: Path) -> None:
    whole = kept.read_bytes()
    random = np.random.default_rng(0)
    for place in random.choice(len(whole), 300, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        kept.write_bytes(damaged)
        try:
            found = checkpoints(tmp_path).load()
        except OutputError:
            continue
        assert found.progressed == KEPT.progressed, place  # a byte that means nothing


def test_what_others_put_there_stays(kept: Path, tmp_path: Path, listener: Any) -> None:
    (kept.parent / "mine.txt").write_text("mine")
    (kept.parent / "tensorboard").mkdir()
    checkpoints(tmp_path).begin(False, listener)
    assert [path.name for path in kept.parent.iterdir()] == ["mine.txt"]


def test_a_file_in_its_place_is_refused_at_once(tmp_path: Path, listener: Any) -> None:
    (tmp_path / "run.unfinished").write_text("mine")
    for resume in (True, False):
        with pytest.raises(OutputError, match=r"run\.unfinished is a file.*--out"):
            checkpoints(tmp_path).begin(resume, listener)
    assert (tmp_path / "run.unfinished").read_text() == "mine"


def test_a_place_that_cannot_be_written_says_what_to_do(kept: Path, tmp_path: Path) -> None:
    own = checkpoints(tmp_path)
    (own.folder / ".checkpoint.npz").mkdir()
    before = kept.read_bytes()
    with pytest.raises(OutputError, match=r"run\.unfinished cannot be written.*--resume"):
        own.save(replace(KEPT, progressed=Progressed(stage=3)))
    assert kept.read_bytes() == before


def test_the_run_worked_on_last_is_the_one_to_go_on_with(tmp_path: Path) -> None:
    assert newest(tmp_path / "none", "pets-", LINEAR) is None
    assert newest(tmp_path, "pets-", LINEAR) is None
    times = {
        "pets-20260101-000000": 300,
        "pets-20260102-000000": 500,
        "pets-20260103-000000": 400,
        "pets-small-20260104-000000": 900,  # another source
        "pets-20260105-000000": 900,
        "birds-20260104-000000": 900,
    }
    for name, time in times.items():
        file = unfinished(tmp_path / name) / "checkpoint.npz"
        file.parent.mkdir()
        file.write_bytes(b"")
        os.utime(file, (time, time))
    unfinished(tmp_path / "pets-20260109-000000").mkdir()  # nothing in it
    (tmp_path / "pets-20260105-000000").mkdir()  # finished, and killed while it cleaned up
    assert newest(tmp_path, "pets-", LINEAR) == tmp_path / "pets-20260102-000000"
    assert newest(tmp_path, "birds-", LINEAR) == tmp_path / "birds-20260104-000000"
    assert newest(tmp_path, "cows-", LINEAR) is None

    older = tmp_path / "pets-20260101-000000"
    Checkpoints(older, LINEAR, "ab", PHOTOS).save(KEPT)
    os.utime(unfinished(older) / "checkpoint.npz", (300, 300))
    assert newest(tmp_path, "pets-", LINEAR) == older
    other = changed(LINEAR, data={"size": 96})
    assert newest(tmp_path, "pets-", other) == tmp_path / "pets-20260102-000000"


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return backbones.build("starter", size=64, weights="random")


@pytest.fixture(scope="module")
def looked(few: Path, scene: Any, resumable: Recipe) -> Any:
    return scene(few, resumable)


class Interrupted(Exception):
    """Not an error of any kind that is handled."""


@pytest.mark.parametrize(
    "values",
    [
        {"views": 2, "optimizer": "adamw", "weight_decay": 0.1, "epochs": 3},
        {"patience": 1, "best_weights": True, "rate": 0.5, "epochs": 9},
    ],
)
def test_resumed_after_any_epoch_it_ends_with_the_same_weights(
    backbone: Backbone, looked: Any, resumable: Recipe, tmp_path: Path, values: dict[str, Any]
) -> None:
    stage = GradientStage(**{"train": "head", "epochs": 4, "rate": 0.05, "batch_size": 7, **values})

    def fit(until: int | None, kept: Kept | None = None) -> tuple[Any, Any]:
        def report(row: dict[str, float]) -> None:
            if row["epoch"] == until:
                raise Interrupted

        load_keras().utils.set_random_seed(3)
        own = Checkpoints(tmp_path / "run", resumable, backbone.digest, looked.dataset)
        made = Material(
            network.build(backbone, resumable.head, 2),
            looked.views,
            looked.sides,
            2,
            5,
            own,
            SILENT,
        )
        fitted = stages.fit([stage], made, kept, report=report)
        weights = [np.array(v) for layer in made.network.head for v in layer.variables]
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in fitted.history]
        return weights, (rows, fitted.restored)

    weights, told = fit(None)
    count = len(told[0])
    for until in (1, count):
        with pytest.raises(Interrupted):
            fit(until)
        kept = Checkpoints(tmp_path / "run", resumable, backbone.digest, looked.dataset).load()
        assert kept is not None
        assert kept.progressed.epoch == until
        again, told_again = fit(None, kept)
        assert told_again == told
        assert all(np.array_equal(*pair) for pair in zip(again, weights, strict=True))


def test_photos_that_changed_meanwhile_are_not_resumed(
    few: Path, resumable: Recipe, tmp_path: Path, listener: Any
) -> None:
    """Through the whole training, with photos that are truly moved."""
    photos = Path(shutil.copytree(few, tmp_path / "photos"))
    recipe = changed(
        resumable, head=[{"layer": "average_pool"}], stage=[resumable.stage[0].model_dump()]
    )
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe), "utf-8")

    class Stop(type(listener)):  # type: ignore[misc]
        def log(self, line: str) -> None:
            raise Interrupted

    with pytest.raises(Interrupted):
        pawprint.train(photos, recipe=path, out=tmp_path / "run", progress=Stop())
    file = unfinished(tmp_path / "run") / "checkpoint.npz"
    before = file.read_bytes()
    moved = min((photos / "cat").iterdir())
    moved.rename(photos / "dog" / "moved.jpg")
    with pytest.raises(SourceError, match="other photos and cannot be resumed: 40 then, 40 now"):
        pawprint.train(photos, recipe=path, out=tmp_path / "run", resume=True)
    (photos / "dog" / "moved.jpg").rename(moved)
    with pytest.raises(RecipeError, match=r"stage\.1\.rate: 0\.01 then, 0\.02 now"):
        pawprint.train(
            photos,
            recipe=path,
            out=tmp_path / "run",
            resume=True,
            changes={"stage.1.rate": 0.02},
        )
    assert file.read_bytes() == before
    assert not (tmp_path / "run").exists()
