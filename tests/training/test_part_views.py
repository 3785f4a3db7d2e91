"""Features in parts as stages ask for them: whole, shuffled, and never many at once."""

from __future__ import annotations

import os
import resource
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pawprint.errors import OutputError, SourceError
from pawprint.model import backbones, head
from pawprint.model.prefix import network_key
from pawprint.parts.features import Block, FeatureParts
from pawprint.progress import SILENT
from pawprint.training.batches import Told, steps
from pawprint.training.feeds import Batch
from pawprint.training.gathered import PartSide
from pawprint.training.part_views import Column, PartViews
from pawprint.training.recipe import MIRROR, GradientStage, LogisticStage

SHAPE = (2, 3, 2)
KEY: dict[str, str | int | float] = {"backbone": "made", "cut": "here"}
PREFIX = Column(KEY, SHAPE)
STAGE = GradientStage(train="last:3", batch_size=8)
BOTH = GradientStage(train="last:3", batch_size=8, views="mirrored")
MOMENT = (0, 2, 1)


def column(view: str, shape: Sequence[int], key: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"f_{view}", "view": view, "shape": list(shape), "key": key}


class Made(FeatureParts):
    """Features that say whose they are: a row's number and its view, then noise.

    Args:
        rows: how many.
        block: of them are read at once.
        size: numbers a row.
        views: that there are.
        key: of what they were computed by.
    """

    def __init__(
        self,
        rows: int,
        block: int = 16,
        size: int = 12,
        views: Sequence[str] = ("plain", "mirror"),
        key: dict[str, Any] = KEY,
    ) -> None:
        shape = SHAPE if size == 12 else (size,)
        columns = [column(view, shape, key) for view in views]
        self.job = {"computes": {"columns": columns}}
        self.folder = type("Folder", (), {"place": "made"})  # type: ignore[assignment]
        starts = range(0, rows, block)
        self.rows, self._size = rows, size
        self._noise = np.random.default_rng(0).standard_normal((rows, 9))
        self.blocks = [Block(0, n, s, min(block, rows - s)) for n, s in enumerate(starts)]

    def vectors(self, block: Block, column: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        found = np.zeros((len(rows), self._size), np.float16)
        numbers = block.start + rows
        high, low = np.divmod(numbers, 1024)
        found[:, 0], found[:, 1] = high / 1024, low / 1024  # exact in float16
        found[:, 2] = column == "f_mirror"
        found[:, 3:12] = self._noise[numbers] + found[:, 2:3]
        return found


def side_of(parts: Made, every: int = 1, classes: int = 2) -> PartSide:
    rows = np.arange(0, parts.rows, every)
    labels = (rows % 5 % classes).astype(np.int64)
    return PartSide(rows, labels, (rows * 977 % 7919).astype(np.uint64))


def learnable(parts: Made, every: int) -> PartSide:
    """A side of three classes that the noise tells, mostly."""
    rows = np.arange(0, parts.rows, every)
    found = parts.vectors(Block(0, 0, 0, parts.rows), "f_plain", rows).astype(float)
    scores = found[:, 3:6] + 0.5 * found[:, 6:9]
    return PartSide(rows, scores.argmax(axis=1), rows.astype(np.uint64))


def views_of(parts: Made, scratch: Path, **more: Any) -> PartViews:
    return PartViews(parts, scratch, SILENT, **more)


def numbers(batch: Batch) -> list[tuple[int, int]]:
    """The row and the view of each photo of a batch."""
    flat = batch[0].reshape(len(batch[0]), -1)
    return [(int(1024 * (1024 * high + low)), int(view)) for high, low, view in flat[:, :3]]


@pytest.mark.parametrize("window", [1, 2000, 2**30])
@pytest.mark.parametrize("stage", [STAGE, BOTH])
def test_an_epoch_has_every_photo_of_its_side_once_in_each_view(
    stage: GradientStage, window: int, tmp_path: Path
) -> None:
    parts = Made(203)
    side = side_of(parts, every=3)
    views = views_of(parts, tmp_path, window=window)
    batches = list(views.batches(stage, side, PREFIX, 2, MOMENT))
    assert len(batches) == steps(stage, side)
    sizes = [len(features) for features, _, _ in batches]
    whole = len(side.rows) * len(stage.cached_views)
    assert sizes[:-1] == [8] * (len(batches) - 1)
    assert sizes[-1] == whole % 8 or 8
    seen = [one for batch in batches for one in numbers(batch)]
    expected = [(row, int(v == MIRROR)) for row in side.rows for v in stage.cached_views]
    assert len(seen) == len(expected)
    assert set(seen) == set(expected)


def test_a_batch_says_of_each_photo_its_features_truth_and_weight(tmp_path: Path) -> None:
    parts = Made(120)
    for classes in (2, 3):
        side = side_of(parts, classes=classes)
        told = Told(side.labels, classes, weighed=True)
        for features, truth, weight in views_of(parts, tmp_path).batches(
            BOTH, side, PREFIX, classes, MOMENT
        ):
            assert features.dtype == truth.dtype == weight.dtype == np.float32
            assert features.shape[1:] == SHAPE
            for row, one in zip(numbers((features,)), features, strict=True):
                name = "f_mirror" if row[1] else "f_plain"
                (own,) = parts.vectors(Block(0, 0, 0, 120), name, np.array([row[0]]))
                np.testing.assert_array_equal(one.reshape(-1), own)
            expected = told(np.array([row for row, _ in numbers((features,))]))
            np.testing.assert_array_equal(truth, expected[0])
            np.testing.assert_array_equal(weight, expected[1])


def test_uneven_classes_are_weighed_where_the_stage_says_so(tmp_path: Path) -> None:
    parts = Made(100)
    side = side_of(parts)  # 3 to 2
    uneven = PartSide(side.rows, (side.rows % 10 == 0).astype(np.int64), side.content)
    for stage, expected in (
        (STAGE, {0.0: 100 / (2 * 90), 1.0: 100 / (2 * 10)}),
        (STAGE.model_copy(update={"class_weights": False}), {0.0: 1.0, 1.0: 1.0}),
    ):
        views = views_of(parts, tmp_path)
        for _, truth, weight in views.batches(stage, uneven, PREFIX, 2, MOMENT):
            np.testing.assert_allclose(weight, [expected[float(one)] for (one,) in truth])


def order(parts: Made, scratch: Path, moment: tuple[int, int, int], window: int) -> list[Any]:
    views = views_of(parts, scratch, window=window)
    return [numbers(batch) for batch in views.batches(STAGE, side_of(parts), PREFIX, 2, moment)]


def test_the_order_follows_from_the_moment_alone(tmp_path: Path) -> None:
    orders = [
        order(Made(200), tmp_path, moment, 64 * 24)
        for moment in ((0, 2, 1), (0, 2, 1), (0, 2, 2), (0, 1, 1), (1, 2, 1))
    ]
    assert orders[0] == orders[1]
    assert len({str(one) for one in orders}) == 4


def test_every_window_is_a_fair_sample_of_a_listing_sorted_by_class(tmp_path: Path) -> None:
    """Of forty classes, of which a window of neighbours would have five."""
    parts, window = Made(4000), 400
    side = PartSide(np.arange(4000), np.arange(4000) // 100, np.arange(4000).astype(np.uint64))
    views = views_of(parts, tmp_path, window=window * 24)
    for epoch in (1, 2):
        batches = views.batches(STAGE, side, PREFIX, 40, (0, 2, epoch))
        labels = np.concatenate([truth.argmax(axis=1) for _, truth, _ in batches])
        for start in range(0, 4000, window):
            counts = np.bincount(labels[start : start + window], minlength=40)
            assert counts.min() >= 1
            assert counts.max() <= 25  # 10 on average


def test_a_batch_may_be_larger_than_a_window(tmp_path: Path) -> None:
    parts, stage = Made(100), STAGE.model_copy(update={"batch_size": 30})
    views = views_of(parts, tmp_path, window=7 * 24)
    batches = list(views.batches(stage, side_of(parts), PREFIX, 2, MOMENT))
    assert [len(features) for features, _, _ in batches] == [30, 30, 30, 10]
    assert {row for batch in batches for row, _ in numbers(batch)} == set(range(100))


def test_one_window_for_all_is_a_shuffle_of_all(tmp_path: Path) -> None:
    batches = order(Made(400), tmp_path, MOMENT, 2**30)
    rows = np.array([row for batch in batches for row, _ in batch])
    # Neighbours in the listing are 133 apart on average in a true shuffle.
    assert np.abs(np.diff(rows)).mean() == pytest.approx(400 / 3, rel=0.15)


def test_never_more_than_a_window_is_in_memory(tmp_path: Path) -> None:
    parts, window = Made(20_000, block=256, size=512), 2**21  # 20 MB in all
    side, prefix = side_of(parts), Column(KEY, (512,))
    views = views_of(parts, tmp_path, window=window)
    list(views_of(Made(20), tmp_path).batches(STAGE, side_of(Made(20)), PREFIX, 2, MOMENT))
    tracemalloc.start()
    try:
        views.prepare(STAGE, side, prefix, 0)
        copying = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        for _ in views.batches(STAGE, side, prefix, 2, MOMENT):
            pass
        training = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A block and its parts as they are written; the numbers of all rows.
    assert copying < 4 * 256 * 1024 + 20_000 * 8
    # The window; batches; the numbers of its rows and of all.
    assert window < training < 1.2 * window + 20_000 * 16


class Counted(Made):
    """Features that count how often a block is read."""

    reads = 0

    def vectors(self, block: Block, column: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        self.reads += 1
        return super().vectors(block, column, rows)


def test_parts_are_read_once_for_all_epochs_and_stages_of_the_same_features(tmp_path: Path) -> None:
    parts = Counted(160)
    side, views = side_of(parts), views_of(parts, tmp_path)
    views.prepare(STAGE, side, PREFIX, 0)
    assert parts.reads == 10
    for moment in ((0, 2, 1), (0, 2, 2), (0, 3, 1)):
        batches = list(views.batches(STAGE, side, PREFIX, 2, moment))
        assert len(batches) == 20
    assert parts.reads == 10
    for reads, stage, of in ((30, BOTH, side), (40, STAGE, side), (50, STAGE, side_of(parts))):
        views.prepare(stage, of, PREFIX, 0)  # of other views, or another side
        assert parts.reads == reads
    views.close()


def test_what_was_copied_takes_no_room_once_another_is_or_none(tmp_path: Path) -> None:
    def held() -> int:
        names = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        return sum(name.startswith(f"{tmp_path}/") for name in names)

    parts = Made(100)
    views = views_of(parts, tmp_path)
    views.prepare(STAGE, side_of(parts), PREFIX, 0)
    views.prepare(BOTH, side_of(parts), PREFIX, 0)
    assert held() == 1
    views.close()
    assert held() == 0
    views.prepare(STAGE, side_of(parts), PREFIX, 0)
    del views
    assert held() == 0


def test_a_training_may_end_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    parts = Made(100)
    batches = views_of(parts, tmp_path).batches(STAGE, side_of(parts), PREFIX, 2, MOMENT)
    next(batches)
    batches.close()
    with pytest.raises(StopIteration):
        next(batches)


def test_chunks_are_in_the_order_of_the_side(tmp_path: Path) -> None:
    parts = Made(100)
    side, views = side_of(parts, every=3), views_of(parts, tmp_path)
    for view, mirrored in ((0, 0), (MIRROR, 1)):
        chunks = list(views.chunks(side, PREFIX, view))
        assert len(chunks) == len(parts.blocks)
        assert all(chunk.dtype == np.float16 for chunk in chunks)
        assert [one for chunk in chunks for one in numbers((chunk,))] == [
            (row, mirrored) for row in side.rows
        ]
    some = side.part(side.rows > 95)
    (chunk,) = views.chunks(some, PREFIX)
    assert [row for row, _ in numbers((chunk,))] == [96, 99]


def test_views_that_were_not_computed_are_refused(tmp_path: Path) -> None:
    parts = Made(20, views=["plain"])
    side, views = side_of(parts), views_of(parts, tmp_path)
    views.need(side.reads, PREFIX)
    told = "made has no features of the view 'mirror'; embed the photos with the recipe"
    with pytest.raises(SourceError, match=told):
        views.need(side.reads, PREFIX, MIRROR)
    with pytest.raises(SourceError, match="no features of the view"):
        views.prepare(BOTH, side, PREFIX, 0)
    with pytest.raises(SourceError, match="no features of the view"):
        next(views.batches(BOTH, side, PREFIX, 2, MOMENT))
    with pytest.raises(SourceError, match="has no features of the view 3"):
        next(views.chunks(side, PREFIX, 3))


def test_the_column_of_a_prefix_is_known_by_its_network_cut_and_weights(tmp_path: Path) -> None:
    built = [backbones.build("starter", size=32, weights="random", seed=seed) for seed in (0, 1)]
    key = network_key(built[0], "block_7_add", pooled=False)
    views = views_of(Made(20, key=key), tmp_path)
    found = views.prefix(built[0], "block_7_add", pooled=False)
    assert (found.key, found.shape, found.dtype) == (key, SHAPE, "float16")
    assert views.prefix(built[0], "block_7_add", pooled=False, exact=True) == found
    for backbone, cut, pooled in (
        (built[1], "block_7_add", False),
        (built[0], "top_relu", False),
        (built[0], "block_7_add", True),
    ):
        with pytest.raises(SourceError, match=r"(?s)it has f_plain, f_mirror of .*train with the"):
            views.prefix(backbone, cut, pooled=pooled)


def test_the_head_is_the_one_that_is_fitted_in_memory(tmp_path: Path) -> None:
    parts, prefix = Made(300), Column(KEY, (12,))
    side = learnable(parts, every=2)
    found = views_of(parts, tmp_path).fit_head(LogisticStage(), side, prefix, 4)
    everything = parts.vectors(Block(0, 0, 0, 300), "f_plain", side.rows).astype(np.float32)
    spread = head.spread(side.labels, 4)
    expected = head.fit(everything[spread], side.labels[spread], seed=4)
    np.testing.assert_array_equal(found.kernel, expected.kernel)
    np.testing.assert_array_equal(found.bias, expected.bias)
    assert found.choice == expected.choice
    assert (found.probabilities(everything).argmax(axis=1) == side.labels).mean() > 0.9
    assert list(tmp_path.iterdir()) == []  # what was read many times is gone


@pytest.fixture
def small_files(tmp_path: Path) -> Any:
    """Let no file become larger than 4 KiB, as where a disk is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(work: Callable[[], Any]) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            work()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    yield limited
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


Copying = Callable[[PartViews, PartSide, Column], Any]


def fit(views: PartViews, side: PartSide, prefix: Column) -> Any:
    return views.fit_head(LogisticStage(), side, prefix, 0)


def shuffle(views: PartViews, side: PartSide, prefix: Column) -> Any:
    return views.prepare(STAGE, side, prefix, 0)


@pytest.mark.parametrize("copying", [fit, shuffle])
def test_a_full_place_for_what_is_read_many_times_is_told(
    tmp_path: Path, small_files: Any, copying: Copying
) -> None:
    parts, prefix = Made(1000, size=64), Column(KEY, (64,))
    told = r"cannot hold 0\.0 GiB of features \(File too large\); make room, or set PAWPRINT_CACHE"
    with pytest.raises(OutputError, match=told):
        small_files(lambda: copying(views_of(parts, tmp_path), side_of(parts), prefix))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("copying", [fit, shuffle])
def test_a_place_without_room_is_told_before_anything_is_read(
    tmp_path: Path, copying: Copying
) -> None:
    parts = Counted(1000)
    told = r"cannot hold 1862\.6 GiB of features \(there is no room\); make room, or set"
    with pytest.raises(OutputError, match=told):
        copying(views_of(parts, tmp_path), side_of(parts), Column(KEY, (1000, 1000, 1000)))
    assert list(tmp_path.iterdir()) == []
    assert parts.reads == 0


@pytest.mark.parametrize("copying", [fit, shuffle])
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, copying: Copying) -> None:
    parts, prefix = Made(40), Column(KEY, (12,))
    with pytest.raises(OutputError, match=r"No such file or directory.*; make room"):
        copying(views_of(parts, tmp_path / "none"), side_of(parts), prefix)


class Broken(Made):
    """Features of which one of the third block is no number."""

    wrong = float("nan")

    def __init__(self, wrong: float) -> None:
        super().__init__(60)
        self.wrong = wrong
        self.folder.part = lambda number: f"part-{number}.parquet"  # type: ignore[assignment]

    def vectors(self, block: Block, column: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        found = super().vectors(block, column, rows)
        if block.start == 32:
            found[-1, 5] = self.wrong
        return found


def judge(views: PartViews, side: PartSide, prefix: Column) -> Any:
    return list(views.chunks(side, prefix))


@pytest.mark.parametrize("use", [fit, shuffle, judge])
@pytest.mark.parametrize("wrong", [float("nan"), float("-inf")])
def test_features_that_are_no_numbers_are_told_with_their_part(
    use: Copying, wrong: float, tmp_path: Path
) -> None:
    parts = Broken(wrong)
    views, side, prefix = views_of(parts, tmp_path), side_of(parts), Column(KEY, SHAPE)
    told = r"part-0.parquet has features that are not finite .* in the column f_plain; .*delete it"
    with pytest.raises(SourceError, match=told):
        use(views, side, prefix)
    assert judge(views, side.part(side.rows < 32), prefix)


def test_sides_have_no_pixels_to_compute() -> None:
    with pytest.raises(AssertionError, match="read, not computed"):
        PREFIX([np.zeros((8, 8, 3), np.uint8)])
