"""Features as stages want them, read from parts: what `views.py` is for photos.

Nothing is computed, and never more than some rows are in memory. Heads are fitted in many passes,
so their features are first copied to a file of this machine; batches come straight from the parts,
and are shuffled within a window of some thousand photos of parts drawn at random.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import OutputError, SourceError
from pawprint.model import streamed_head
from pawprint.model.backbones import Backbone
from pawprint.model.head import Head
from pawprint.model.prefix import Prefix, network_key
from pawprint.parts.features import Block, FeatureParts
from pawprint.progress import Progress
from pawprint.training.batches import Told
from pawprint.training.feeds import Batch
from pawprint.training.gathered import PartSide
from pawprint.training.recipe import GradientStage, LogisticStage, View
from pawprint.training.to_features import VIEWS

_WINDOW = 256 * 2**20


@dataclass
class Column:
    """A prefix whose features are there, in the place of one that computes them.

    Args:
        key: of what computed them.
        shape: of one photo's features.
        dtype: that they are kept in.
    """

    key: dict[str, str | int | float]
    shape: tuple[int, ...]
    dtype: str = "float16"

    def __call__(self, photos: list[Any]) -> list[Any]:
        """Nothing is computed here."""
        raise AssertionError("features of parts are read, not computed")


class PartViews:
    """Features of the photos of a finished job.

    Args:
        parts: they.
        scratch: a folder for what is read many times.
        progress: where to show how it goes.
        window: bytes of features that are shuffled together.
    """

    def __init__(
        self, parts: FeatureParts, scratch: Path, progress: Progress, *, window: int = _WINDOW
    ) -> None:
        self._parts, self._scratch, self._progress = parts, scratch, progress
        self._window = window
        self._columns = parts.job["computes"]["columns"]

    def prefix(
        self, backbone: Backbone, cut: str | None, *, pooled: bool, exact: bool = False
    ) -> Column:
        """The features of a prefix; computed once, so also where they are to be exact.

        Raises:
            SourceError: they are not there.
        """
        key = network_key(backbone, str(cut), pooled=pooled)
        for column in self._columns:
            if column["key"] == key:
                return Column(key, tuple(column["shape"]))
        there = ", ".join(column["name"] for column in self._columns)
        raise SourceError(
            f"{self._parts.folder.place} has no features of {backbone.name} after {cut} with these "
            f"weights; it has {there} of {self._columns[0]['key']['backbone']}: train with the "
            "recipe, network and weights that they were made with, or embed the photos anew"
        )

    def need(self, reads: Sequence[Any], prefix: Prefix, view: View = 0) -> None:
        """Make sure that a view is there.

        Raises:
            SourceError: it is not.
        """
        self._name(prefix, view)

    def chunks(self, side: PartSide, prefix: Prefix, view: View = 0) -> Iterator[NDArray[Any]]:
        """As of `views.Views`."""
        name = self._name(prefix, view)
        for block, picked in self._blocks(side, range(len(self._parts.blocks))):
            yield self._read(block, side, picked, name, prefix)

    def fit_head(self, stage: LogisticStage, side: PartSide, prefix: Prefix, seed: int) -> Head:
        """As of `views.Views`; a stage of mirrored views was refused when they were embedded."""
        labels, size = side.labels, 2 * len(side.labels) * int(np.prod(prefix.shape))
        try:
            if shutil.disk_usage(self._scratch).free < size:
                raise OSError("there is no room")
            with tempfile.TemporaryFile(dir=self._scratch, prefix="pawprint-") as file:
                with self._progress.step("Reading features", len(labels)) as advance:
                    for some in self.chunks(side, prefix):
                        file.write(np.ascontiguousarray(some).data)
                        advance(len(some))
                rows = _OnDisk(file, labels, int(np.prod(prefix.shape)))
                return streamed_head.fit(rows, seed=seed, progress=self._progress)
        except OSError as error:
            raise OutputError(
                f"{self._scratch} cannot hold {size / 2**30:.1f} GiB of features "
                f"({error.strerror or error}); make room, or set PAWPRINT_CACHE to a larger disk"
            ) from error

    def batches(
        self,
        stage: GradientStage,
        side: PartSide,
        prefix: Prefix,
        classes: int,
        moment: tuple[int, int, int],
    ) -> Generator[Batch, None, None]:
        """As of `batches.epoch_batches`, shuffled within windows."""
        random = np.random.default_rng(moment)
        told = Told(side.labels, classes, weighed=stage.class_weights)
        names = [self._name(prefix, view) for view in stage.cached_views]
        window = max(stage.batch_size, self._window // (2 * int(np.prod(prefix.shape))))
        rows: list[NDArray[np.int64]] = []
        seen: list[NDArray[Any]] = []
        order = random.permutation(len(self._parts.blocks))
        left = len(side.rows)
        for block, picked in self._blocks(side, order):
            left -= len(picked)
            for name in names:
                rows.append(picked)
                seen.append(self._read(block, side, picked, name, prefix))
            last = left == 0
            if sum(map(len, rows)) < window and not last:
                continue
            all_rows, features = np.concatenate(rows), np.concatenate(seen)
            order = random.permutation(len(all_rows))
            whole = len(order) if last else len(order) - len(order) % stage.batch_size
            for start in range(0, whole, stage.batch_size):
                some = order[start : min(start + stage.batch_size, whole)]
                yield features[some].astype(np.float32), *told(all_rows[some])
            rows, seen = [all_rows[order[whole:]]], [features[order[whole:]]]

    def _blocks(
        self, side: PartSide, numbers: Sequence[int] | NDArray[np.int64]
    ) -> Iterator[tuple[Block, NDArray[np.int64]]]:
        """Blocks that have photos of a side, each with their numbers within the side."""
        for number in numbers:
            block = self._parts.blocks[number]
            first, last = np.searchsorted(side.rows, [block.start, block.end])
            if first < last:
                yield block, np.arange(first, last)

    def _read(
        self, block: Block, side: PartSide, picked: NDArray[np.int64], name: str, prefix: Prefix
    ) -> NDArray[Any]:
        """Features of some photos of a side that are in one block."""
        found = self._parts.vectors(block, name, side.rows[picked] - block.start)
        return found.reshape(-1, *prefix.shape)

    def _name(self, prefix: Prefix, view: View) -> str:
        """The column of a view."""
        for column in self._columns:
            if column["key"] == prefix.key and column["view"] == VIEWS.get(view):
                return str(column["name"])
        raise SourceError(
            f"{self._parts.folder.place} has no features of the view {VIEWS.get(view, view)!r}; "
            "embed the photos with the recipe that is to train on them"
        )


class _OnDisk:
    """Rows in a file of this machine, as `streamed_head.Rows`."""

    def __init__(self, file: BinaryIO, labels: NDArray[np.int64], features: int) -> None:
        file.flush()
        self._number, self.labels, self.features = file.fileno(), labels, features

    def read(self, start: int, stop: int) -> NDArray[np.float16]:
        """Features of some rows, float16, shape (stop - start, features)."""
        wanted, begin = (stop - start) * self.features * 2, start * self.features * 2
        data = bytearray(wanted)
        view, done = memoryview(data), 0
        while done < wanted:  # at most 2 GiB a call
            count = os.preadv(self._number, [view[done:]], begin + done)
            if not count:
                raise OSError("the file of features became shorter")
            done += count
        return np.frombuffer(data, np.float16).reshape(-1, self.features)
