"""Features as stages want them, read from parts: what `views.py` is for photos.

Nothing is computed, and never more than some rows are in memory. Heads are fitted in many passes,
and batches come in an order at random, so what trains is first copied to a file of this machine.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import SourceError
from pawprint.model import halves, streamed_head
from pawprint.model.backbones import Backbone
from pawprint.model.head import Head
from pawprint.model.prefix import Prefix, network_key
from pawprint.parts.features import Block, FeatureParts
from pawprint.progress import Advance, Progress
from pawprint.training.batches import Told
from pawprint.training.feeds import Batch
from pawprint.training.gathered import PartSide
from pawprint.training.recipe import GradientStage, LogisticStage, View
from pawprint.training.scratch import Scratch
from pawprint.training.shuffled import Shuffled
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
        self._copy: _Copy | None = None

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
        for block, picked in self._blocks(side):
            yield self._read(block, side, picked, name, prefix)

    def fit_head(self, stage: LogisticStage, side: PartSide, prefix: Prefix, seed: int) -> Head:
        """As of `views.Views`; a stage of mirrored views was refused when they were embedded."""
        labels, features = side.labels, int(np.prod(prefix.shape))
        file, done = Scratch(self._scratch, len(labels), features), 0
        try:
            with self._progress.step("Reading features", len(labels)) as advance:
                for some in self.chunks(side, prefix):
                    file.write(some, done)
                    done += len(some)
                    advance(len(some))
            return streamed_head.fit(_OnDisk(file, labels), seed=seed, progress=self._progress)
        finally:
            file.close()

    def prepare(self, stage: GradientStage, side: PartSide, prefix: Prefix, seed: int) -> None:
        """Copy a stage's features of a side to this machine, shuffled, if they are not there.

        Raises:
            SourceError: they cannot be read.
            OutputError: there is no room for them.
        """
        self._shuffled(stage, side, prefix, seed)

    def _shuffled(
        self, stage: GradientStage, side: PartSide, prefix: Prefix, seed: int
    ) -> Shuffled:
        """The copy that was made last, if it is that; else another in its place."""
        names = [self._name(prefix, view) for view in stage.cached_views]
        asked = (names, seed)
        if self._copy is not None:
            if self._copy.side is side and self._copy.asked == asked:
                return self._copy.rows
            self.close()
        count, features = len(names) * len(side.rows), int(np.prod(prefix.shape))
        rows = Shuffled(self._scratch, count, features, self._window, seed)
        self._copy = _Copy(side, asked, rows)
        try:
            with self._progress.step("Reading features", count) as advance:
                rows.fill(self._every(side, prefix, names, advance))
        except BaseException:
            self.close()
            raise
        return rows

    def _every(
        self, side: PartSide, prefix: Prefix, names: Sequence[str], advance: Advance
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Several views of a side's photos, block by block, each with its number in the side."""
        for block, picked in self._blocks(side):
            for name in names:
                yield picked, self._read(block, side, picked, name, prefix)
                advance(len(picked))

    def batches(
        self,
        stage: GradientStage,
        side: PartSide,
        prefix: Prefix,
        classes: int,
        moment: tuple[int, int, int],
    ) -> Generator[Batch, None, None]:
        """As of `batches.epoch_batches`, a bucket of `Shuffled` after the other."""
        copy = self._shuffled(stage, side, prefix, moment[0])
        told = Told(side.labels, classes, weighed=stage.class_weights)
        for picked, features in copy.batches(stage.batch_size, np.random.default_rng(moment)):
            yield features.reshape(-1, *prefix.shape).astype(np.float32), *told(picked)

    def close(self) -> None:
        """Give back the room of what was copied for batches."""
        if self._copy is not None:
            self._copy.rows.close()
            self._copy = None

    def _blocks(self, side: PartSide) -> Iterator[tuple[Block, NDArray[np.int64]]]:
        """Blocks that have photos of a side, each with their numbers within the side."""
        for block in self._parts.blocks:
            if len(picked := side.within(block)):
                yield block, picked

    def _read(
        self, block: Block, side: PartSide, picked: NDArray[np.int64], name: str, prefix: Prefix
    ) -> NDArray[Any]:
        """Features of some photos of a side that are in one block.

        Raises:
            SourceError: they cannot be read, or are no numbers.
        """
        found = self._parts.vectors(block, name, side.rows[picked].astype(np.int64) - block.start)
        if not halves.finite(found):
            raise SourceError(
                f"{self._parts.folder.part(block.part)} has features that are not finite "
                f"(infinite, or not a number) in the column {name}; expected numbers: delete it, "
                "and run the same pawprint embed command again, which computes it again; if they "
                "come again, this network goes beyond float16's 65504, so take another"
            )
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


@dataclass(frozen=True)
class _Copy:
    """What was copied for batches: of which side, which columns by which seed."""

    side: PartSide
    asked: tuple[list[str], int]
    rows: Shuffled


class _OnDisk:
    """Rows in a file of this machine, as `streamed_head.Rows`."""

    def __init__(self, file: Scratch, labels: NDArray[np.integer[Any]]) -> None:
        self.labels, self.features, self.read = labels, file.features, file.read
