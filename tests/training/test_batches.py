"""Batches: each photo as often as the stage says, in an order that only the moment decides."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pawprint.data.augment import Flip, Rotation
from pawprint.data.split import TRAIN
from pawprint.errors import SourceError
from pawprint.model import backbones
from pawprint.model.prefix import PixelPrefix, compile_prefix
from pawprint.training.batches import Handed, Side, epoch_batches, steps
from pawprint.training.recipe import DataPart, GradientStage, LogisticStage, Recipe

Look = Callable[..., Any]

RECIPE = Recipe(
    name="batches",
    data=DataPart(size=32, seed=5),
    augment=(Flip(mode="horizontal"), Rotation(factor=0.1)),
    stage=(LogisticStage(),),
)
PIXELS = PixelPrefix(32)
NOW = (5, 1, 1)


def stage(**values: Any) -> GradientStage:
    return GradientStage(train="head", **{"batch_size": 7, **values})


def given(look: Any, stage_: GradientStage, moment: Any = NOW, classes: int = 2) -> list[Any]:
    """All batches of an epoch, of pixels."""
    side = look.sides[TRAIN]
    if stage_.views != "fresh":
        for view in range(stage_.views):
            look.views.need(side.reads, PIXELS, view)
    return list(epoch_batches(stage_, side, look.views, PIXELS, classes, moment))


def prints(features: NDArray[Any]) -> Counter[bytes]:
    """What photos there are, whatever their order."""
    return Counter(row.astype(np.uint8).tobytes() for row in features)


def joined(batches: list[Any], column: int = 0) -> NDArray[Any]:
    return np.concatenate([batch[column] for batch in batches])


def test_one_view_is_every_photo_once_as_it_is(few: Path, scene: Look) -> None:
    look = scene(few, RECIPE)
    batches = given(look, stage())
    assert [len(batch[0]) for batch in batches] == [7, 7, 7, 7, 4]
    assert len(batches) == steps(stage(), look.sides[TRAIN])
    expected = np.stack([look.views.pixels(read) for read in look.sides[TRAIN].reads])
    assert prints(joined(batches)) == prints(expected)
    assert {batch[0].dtype for batch in batches} == {np.dtype(np.float32)}


@pytest.mark.parametrize("views", [2, 3])
def test_several_views_are_every_photo_once_in_each(few: Path, scene: Look, views: int) -> None:
    look = scene(few, RECIPE)
    batches = given(look, stage(views=views))
    assert len(batches) == steps(stage(views=views), look.sides[TRAIN])
    expected = [look.views.pixels(read) for read in look.sides[TRAIN].reads]
    for view in range(1, views):
        expected += [look.views.augmented(read, view) for read in look.sides[TRAIN].reads]
    assert prints(joined(batches)) == prints(np.stack(expected))
    again = given(look, stage(views=views), (5, 1, 2))  # the next epoch has the same copies
    assert prints(joined(again)) == prints(np.stack(expected))


def test_fresh_is_every_photo_once_changed_anew_each_epoch(few: Path, scene: Look) -> None:
    look = scene(few, RECIPE)
    first, second = (given(look, stage(views="fresh"), (5, 1, epoch)) for epoch in (1, 2))
    assert sum(prints(joined(first)).values()) == len(look.sides[TRAIN].reads)
    assert not prints(joined(first)) & prints(joined(second))
    stage_two = given(look, stage(views="fresh"), (5, 2, 1))
    assert not prints(joined(first)) & prints(joined(stage_two))


def test_fresh_features_are_those_of_the_augmented_pixels(few: Path, scene: Look) -> None:
    look = scene(few, RECIPE)
    side = look.sides[TRAIN]
    backbone = backbones.build(size=32, alpha=0.35, weights="random")
    prefix = compile_prefix(backbone, "block_3_project_BN")
    pixels = np.concatenate(list(map(np.stack, look.views.fresh(side.reads, PIXELS, 2, 3))))
    found = np.concatenate(list(map(np.stack, look.views.fresh(side.reads, prefix, 2, 3))))
    assert np.array_equal(found, np.stack(prefix(list(pixels))))
    kept = np.concatenate(list(map(np.stack, look.views.fresh(side.reads, PIXELS, 4))))
    augmented = np.stack([look.views.augmented(read, 4) for read in side.reads])
    assert np.array_equal(kept, augmented)  # a moment of one number is a view


@pytest.mark.parametrize("views", [1, 2, "fresh"])
def test_the_moment_alone_decides_what_comes_when(few: Path, scene: Look, views: Any) -> None:
    look, other = scene(few, RECIPE), scene(few, RECIPE)
    first = joined(given(look, stage(views=views)))
    assert np.array_equal(joined(given(other, stage(views=views))), first)
    for moment in ((6, 1, 1), (5, 2, 1), (5, 1, 2)):
        assert not np.array_equal(joined(given(look, stage(views=views), moment)), first), moment


def test_the_truth_stays_with_its_photo(few: Path, scene: Look) -> None:
    look = scene(few, RECIPE)
    side = look.sides[TRAIN]
    label_of = {
        look.views.pixels(read).tobytes(): label
        for read, label in zip(side.reads, side.labels, strict=True)
    }
    two = given(look, stage())
    for row, truth in zip(joined(two), joined(two, 1), strict=True):
        assert truth.tolist() == [label_of[row.astype(np.uint8).tobytes()]]
    three = given(look, stage(), classes=3)
    for row, truth in zip(joined(three), joined(three, 1), strict=True):
        assert truth.tolist() == np.eye(3)[label_of[row.astype(np.uint8).tobytes()]].tolist()


@pytest.mark.parametrize("views", [1, 2])
def test_uneven_classes_weigh_alike_and_photos_one_on_average(
    few: Path, scene: Look, views: int
) -> None:
    look = scene(few, RECIPE)
    side = look.sides[TRAIN]
    rows = [*np.flatnonzero(side.labels == 0), *np.flatnonzero(side.labels == 1)[:5]]
    look.sides[TRAIN] = Side([side.reads[row] for row in rows], side.labels[rows])
    batches = given(look, stage(views=views))
    truth, weights = joined(batches, 1)[:, 0], joined(batches, 2)
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(1)
    assert weights[truth == 0].sum() == pytest.approx(weights[truth == 1].sum())
    unweighed = given(look, stage(views=views, class_weights=False))
    assert set(joined(unweighed, 2)) == {1.0}


def test_classes_that_are_nearly_even_are_not_weighed(few: Path, scene: Look) -> None:
    assert set(joined(given(scene(few, RECIPE), stage()), 2)) == {1.0}


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


@pytest.mark.parametrize("views", [1, "fresh"])
def test_an_epoch_that_is_left_leaves_no_thread(few: Path, scene: Look, views: Any) -> None:
    look, before = scene(few, RECIPE), threads()
    side = look.sides[TRAIN]
    look.views.need(side.reads, PIXELS)
    batches = epoch_batches(stage(views=views), side, look.views, PIXELS, 2, NOW)
    with Handed(batches) as _:
        next(iter(batches))
    assert threads() == before
    assert list(batches) == []


class InAnotherThread:
    """Takes all batches in another thread, and turns its exceptions into one of its own."""

    def __init__(self, batches: Handed) -> None:
        self.taken = 0
        thread = threading.Thread(target=self._take, args=(iter(batches),))
        thread.start()
        thread.join()

    def _take(self, batches: Iterator[Any]) -> None:
        try:
            for _ in batches:
                self.taken += 1
        except Exception:
            self.failed = True


def test_an_error_in_the_other_thread_comes_back_as_itself(
    few: Path, scene: Look, tmp_path: Path
) -> None:
    photos = Path(shutil.copytree(few, tmp_path / "photos"))
    look = scene(photos, RECIPE)
    side, before = look.sides[TRAIN], threads()
    lost = Path(side.reads[3].photo.path)
    lost.unlink()
    batches = Handed(epoch_batches(stage(views="fresh"), side, look.views, PIXELS, 2, NOW))

    def train() -> None:
        with batches:
            if InAnotherThread(batches).failed:
                raise RuntimeError("what TensorFlow makes of it")

    with pytest.raises(SourceError, match=rf"{lost.name} could be read when.*--resume"):
        train()
    assert threads() == before


def test_an_error_of_this_thread_stays_what_it_is(few: Path, scene: Look) -> None:
    look = scene(few, RECIPE)
    look.views.need(look.sides[TRAIN].reads, PIXELS)
    batches = epoch_batches(stage(), look.sides[TRAIN], look.views, PIXELS, 2, NOW)

    def train() -> None:
        with Handed(batches) as _:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()


def test_a_photo_gone_before_a_view_is_made_is_named(
    few: Path, scene: Look, tmp_path: Path
) -> None:
    look = scene(Path(shutil.copytree(few, tmp_path / "photos")), RECIPE)
    side = look.sides[TRAIN]
    lost = Path(side.reads[3].photo.path)
    lost.unlink()
    with pytest.raises(SourceError, match=rf"{lost.name} could be read when.*--resume"):
        look.views.need(side.reads, PIXELS, 1)
