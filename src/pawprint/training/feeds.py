"""What stages train on: features of photos (`views.py`), or of parts (`part_views.py`)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pawprint.model.backbones import Backbone
from pawprint.model.head import Head
from pawprint.model.prefix import Prefix
from pawprint.training.recipe import GradientStage, LogisticStage, View

Batch = tuple[NDArray[Any], ...]


class Photos(Protocol):
    """The photos of one side of the dataset, n of them."""

    @property
    def reads(self) -> Sequence[Any]:
        """One for each photo, in order."""
        ...

    @property
    def labels(self) -> NDArray[np.integer[Any]]:
        """Their classes; int, shape (n,)."""
        ...

    @property
    def by_content(self) -> NDArray[np.int64]:
        """Their numbers in an order that follows from what they contain; int, shape (n,)."""
        ...

    def part(self, picked: NDArray[np.bool_]) -> Photos:
        """Some of them: those that are true in `picked`, of shape (n,)."""
        ...


class Feeds(Protocol):
    """Features of photos, as stages ask for them."""

    def prefix(
        self, backbone: Backbone, cut: str | None, *, pooled: bool, exact: bool = False
    ) -> Prefix:
        """What makes features of photos; `exact` as the bundle will."""
        ...

    def need(self, reads: Sequence[Any], prefix: Prefix, view: View = 0) -> None:
        """Have a view's features of some photos ready.

        Raises:
            SourceError: they are not to be had.
        """
        ...

    def prepare(self, stage: GradientStage, side: Any, prefix: Prefix, seed: int) -> None:
        """Have ready what the batches of a stage need of a side.

        Raises:
            SourceError: it is not to be had.
        """
        ...

    def chunks(self, side: Any, prefix: Prefix, view: View = 0) -> Iterator[NDArray[Any]]:
        """Features of a side's photos in order, some at a time, in the prefix's dtype."""
        ...

    def batches(
        self,
        stage: GradientStage,
        side: Any,
        prefix: Prefix,
        classes: int,
        moment: tuple[int, int, int],
    ) -> Generator[Batch, None, None]:
        """The batches of an epoch, as of `batches.epoch_batches`."""
        ...

    def fit_head(self, stage: LogisticStage, side: Any, prefix: Prefix, seed: int) -> Head:
        """Fit a logistic head on a side's photos."""
        ...
