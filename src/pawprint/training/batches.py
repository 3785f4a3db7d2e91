"""The batches of an epoch: which photos, in which view, in which order. Knows no Keras."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.reading import Read
from pawprint.model import head
from pawprint.model.prefix import Prefix
from pawprint.training.feeds import Batch, Photos
from pawprint.training.recipe import GradientStage, View

if TYPE_CHECKING:
    from pawprint.training.views import Views


@dataclass(frozen=True)
class Side:
    """The photos of one side of the dataset.

    Args:
        reads: n photos.
        labels: int, shape (n,), their classes.
    """

    reads: Sequence[Read]
    labels: NDArray[np.int64]

    @property
    def by_content(self) -> NDArray[np.int64]:
        """The photos' numbers in an order that follows from what they contain; int, shape (n,)."""
        return np.argsort([read.sha256 for read in self.reads], kind="stable")

    def part(self, picked: NDArray[np.bool_]) -> Side:
        """Some of its photos: those that are true in `picked`, of shape (n,)."""
        reads = [read for read, wanted in zip(self.reads, picked, strict=True) if wanted]
        return Side(reads, self.labels[picked])


def steps(stage: GradientStage, side: Photos) -> int:
    """How many batches an epoch has."""
    return -(-_seen(stage, side) // stage.batch_size)


def _seen(stage: GradientStage, side: Photos) -> int:
    """How many photos an epoch shows, each view counted."""
    return max(1, len(stage.cached_views)) * len(side.reads)


def row_shapes(prefix: Prefix, classes: int) -> list[tuple[int, ...]]:
    """The shapes of one row of what `epoch_batches` gives: features, truth, weight."""
    return [prefix.shape, (1 if classes == 2 else classes,), ()]


def epoch_batches(
    stage: GradientStage,
    side: Side,
    views: Views,
    prefix: Prefix,
    classes: int,
    moment: tuple[int, int, int],
) -> Generator[Batch, None, None]:
    """Shuffle the photos of an epoch and give them batch by batch.

    Args:
        stage: batch size, views, weights.
        side: the photos.
        views: where their features come from,
        prefix: and what makes them.
        classes: how many.
        moment: seed, stage and epoch: all that decides the order and the augmentations.

    Returns:
        Float32 arrays: features; the truth as the loss wants it, (n, 1) or (n, classes); and a
        weight for each photo.

    Raises:
        SourceError: a photo that could be read before cannot be read now.
    """
    order = np.random.default_rng(moment).permutation(_seen(stage, side))
    # By what the photos contain, so that renaming one does not change the order.
    ranked = side.by_content
    view_of, places = np.divmod(order, len(side.reads))
    rows = ranked[places]
    starts = range(0, len(order), stage.batch_size)
    if stage.views == "fresh":
        stream = views.fresh([side.reads[row] for row in rows], prefix, *moment[1:])
        each = itertools.chain.from_iterable(stream)
        batches = (np.stack(list(itertools.islice(each, stage.batch_size))) for _ in starts)
    else:
        ends = [start + stage.batch_size for start in starts]
        batches = (
            _stored(side, views, prefix, rows[start:end], view_of[start:end], stage.cached_views)
            for start, end in zip(starts, ends, strict=True)
        )
    told = Told(side.labels, classes, weighed=stage.class_weights)
    for start, batch in zip(starts, batches, strict=True):
        yield batch.astype(np.float32), *told(rows[start : start + stage.batch_size])


def _stored(
    side: Side,
    views: Views,
    prefix: Prefix,
    rows: NDArray[np.int64],
    view_of: NDArray[np.int64],
    cached: Sequence[View],
) -> NDArray[Any]:
    """Features of some photos, each from the store of its view."""
    batch = np.empty((len(rows), *prefix.shape), prefix.dtype)
    for view in np.unique(view_of):
        places = np.flatnonzero(view_of == view)
        hashes = [side.reads[rows[place]].sha256 for place in places]
        batch[places] = views.store(prefix, cached[view]).take(hashes, prefix.dtype)
    return batch


class Told:
    """What a batch is told of its photos, besides their features.

    Args:
        labels: int, shape (n,), of all photos.
        classes: how many.
        weighed: weigh classes where their numbers differ much.
    """

    def __init__(self, labels: NDArray[np.integer[Any]], classes: int, *, weighed: bool) -> None:
        self._labels, self._classes = labels, classes
        counts = np.bincount(labels, minlength=classes)
        self._weights = np.ones(classes, np.float32)
        if weighed and head.uneven(labels):  # 1 on average
            self._weights = (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)

    def __call__(
        self, rows: NDArray[np.integer[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The truth as the loss wants it, (n, 1) or (n, classes), and a weight for each photo."""
        labels = self._labels[rows]
        if self._classes == 2:
            return labels[:, np.newaxis].astype(np.float32), self._weights[labels]
        return np.eye(self._classes, dtype=np.float32)[labels], self._weights[labels]


class Handed:
    """An iterator that another thread runs, with its exceptions brought back to this one.

    Keras iterates over it in a thread of TensorFlow's, where an exception would lose its type.
    """

    def __init__(self, batches: Iterator[tuple[NDArray[Any], ...]]) -> None:
        self._batches = batches
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[tuple[NDArray[Any], ...]]:
        while True:
            try:
                with self._lock:
                    batch = next(self._batches)
            except StopIteration:
                return
            except BaseException as error:
                self._error = error
                raise
            yield batch

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with self._lock:  # not while the other thread is in it
            self._batches.close()  # type: ignore[attr-defined]  # it is a generator
        if kind is not None and self._error is not None:
            raise self._error
