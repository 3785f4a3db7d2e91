"""The photos as a stage wants them: plain, augmented once, or augmented anew each time."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data import augment
from pawprint.data.glance import Glances
from pawprint.data.images import Pixels, mirrored
from pawprint.data.reading import Fault, Read
from pawprint.data.sources import Source
from pawprint.model import features, head
from pawprint.model.backbones import Backbone
from pawprint.model.feature_store import FeatureStore, Stores
from pawprint.model.head import Head
from pawprint.model.network import TAKEN
from pawprint.model.prefix import Prefix, compile_prefix, compile_together, prefix_key
from pawprint.progress import Progress
from pawprint.training.batches import Side, epoch_batches
from pawprint.training.feeds import Batch
from pawprint.training.recipe import MIRROR, GradientStage, LogisticStage, Recipe, View


@dataclass(frozen=True)
class Part:
    """A prefix as a recipe needs it, whether compiled or not.

    Args:
        cut: the last frozen layer; None for the pixels themselves.
        pooled: averaged over all places.
        exact: as the bundle will compute it, in float32.
    """

    cut: str | None
    pooled: bool
    exact: bool = False


class Views:
    """Features of a source's photos, through any prefix.

    View 0 is the photo as it is, `mirror` its mirror image; view 1 and up are augmented, each in
    its own way, always the same.
    """

    def __init__(
        self, source: Source, recipe: Recipe, root: Path | None, progress: Progress
    ) -> None:
        self._source, self._root, self._progress = source, root, progress
        self._preprocessing = recipe.data.preprocessing
        self._augment, self._seed = recipe.augment, recipe.data.seed
        self._stores: dict[str, FeatureStore] = {}
        self._prefixes: dict[str, Prefix] = {}
        self.exact_only = False  # where the same photos train and judge
        self.glances = Glances(root, self._preprocessing.size, progress)

    def prefix(
        self, backbone: Backbone, cut: str | None, *, pooled: bool, exact: bool = False
    ) -> Prefix:
        """A compiled prefix, see `compile_prefix`; compiled once as long as its weights stay."""
        exact = exact or self.exact_only
        name = repr(prefix_key(backbone, cut, pooled=pooled, exact=exact))
        if name not in self._prefixes:
            self._prefixes[name] = compile_prefix(backbone, cut, pooled=pooled, exact=exact)
        return self._prefixes[name]

    def store(self, prefix: Prefix, view: View = 0) -> FeatureStore:
        """Where a view's features lie; opened once."""
        key = features.key_of(prefix, self._preprocessing)
        if view == MIRROR:
            key |= {"view": view}
        elif view:
            drawn = [one.model_dump() for one in self._augment]
            key |= {"view": view, "seed": self._seed, "augment": drawn, "by": augment.VERSION}
        name = repr(sorted(key.items()))
        if name not in self._stores:
            self._stores[name] = FeatureStore(
                self._root, key, prefix.shape, prefix.dtype, self._progress
            )
        return self._stores[name]

    def bring(
        self, reads: Sequence[Read], prefix: Prefix, view: View = 0
    ) -> tuple[dict[str, tuple[int, int]], list[Fault]]:
        """Bring a view's store up to date with some photos; see `features.embed`."""
        return self._embed(reads, prefix, self.store(prefix, view), view)

    def lacking(
        self, reads: Sequence[Read], backbone: Backbone, parts: Sequence[Part]
    ) -> list[Read]:
        """The photos that were not glanced at, or not all these features of them are there."""
        stores = [
            self.store(self.prefix(backbone, part.cut, pooled=part.pooled, exact=part.exact))
            for part in parts
        ]
        hashes = [read.sha256 for read in reads]
        held = Stores(stores).holds(hashes) & self.glances.holds(hashes)
        return [read for read, there in zip(reads, held, strict=True) if not there]

    def bring_parts(
        self, reads: Sequence[Read], backbone: Backbone, parts: Sequence[Part], view: View = 0
    ) -> tuple[dict[str, tuple[int, int]], list[Fault]]:
        """As `bring` for several prefixes, which share one pass over the photos where they can."""
        prefixes = [
            self.prefix(backbone, part.cut, pooled=part.pooled, exact=part.exact) for part in parts
        ]
        stores = [self.store(prefix, view) for prefix in prefixes]
        hashes = [read.sha256 for read in reads]
        lacking = [number for number, s in enumerate(stores) if not s.holds(hashes).all()]
        cuts = [(part.cut, part.pooled) for part in (parts[n] for n in lacking) if part.cut]
        if len(lacking) > 1 and len(cuts) == len(lacking):
            exact = parts[lacking[0]].exact or self.exact_only
            together = self._together(backbone, tuple(cuts), exact)
            if together is not None:
                return self._embed(reads, together, Stores([stores[n] for n in lacking]), view)
        found: dict[str, tuple[int, int]] = {}
        faults: dict[str, Fault] = {}
        for prefix in prefixes:
            sizes, wrong = self.bring(reads, prefix, view)
            found |= sizes
            faults |= {fault.path: fault for fault in wrong}
        return found, list(faults.values())

    def _together(
        self, backbone: Backbone, cuts: tuple[tuple[str, bool], ...], exact: bool
    ) -> Prefix | None:
        keys = [prefix_key(backbone, cut, pooled=pooled, exact=exact) for cut, pooled in cuts]
        name = repr(keys)
        if name not in self._prefixes:
            together = compile_together(backbone, cuts, exact=exact)
            if together is None:
                return None
            self._prefixes[name] = together
        return self._prefixes[name]

    def _embed(
        self, reads: Sequence[Read], prefix: Prefix, store: FeatureStore | Stores, view: View
    ) -> tuple[dict[str, tuple[int, int]], list[Fault]]:
        return features.embed(
            self._source,
            reads,
            prefix,
            self._preprocessing,
            store,
            glances=None if view else self.glances,
            change=(lambda pixels, sha256: self._changed(pixels, sha256, view)) if view else None,
            progress=self._progress,
        )

    def need(self, reads: Sequence[Read], prefix: Prefix, view: View = 0) -> None:
        """As `bring`, for photos that could be read before.

        Raises:
            SourceError: one cannot be read now.
        """
        _, faults = self.bring(reads, prefix, view)
        if faults:
            raise features.gone(faults[0])

    def prepare(self, stage: GradientStage, side: Side, prefix: Prefix, seed: int) -> None:
        """Have ready what the batches of a stage need of a side, as `need`."""
        for view in stage.cached_views:
            self.need(side.reads, prefix, view)

    def chunks(self, side: Side, prefix: Prefix, view: View = 0) -> Iterator[NDArray[Any]]:
        """Features of a side's photos in order, some at a time, in the prefix's dtype."""
        self.need(side.reads, prefix, view)
        store, hashes = self.store(prefix, view), [read.sha256 for read in side.reads]
        for start in range(0, len(hashes), TAKEN):
            yield store.take(hashes[start : start + TAKEN], prefix.dtype)

    def batches(
        self,
        stage: GradientStage,
        side: Side,
        prefix: Prefix,
        classes: int,
        moment: tuple[int, int, int],
    ) -> Generator[Batch, None, None]:
        """As of `epoch_batches`."""
        return epoch_batches(stage, side, self, prefix, classes, moment)

    def fit_head(self, stage: LogisticStage, side: Side, prefix: Prefix, seed: int) -> Head:
        """Fit a logistic head on a side's photos."""
        order = head.spread(side.labels, seed)
        hashes = [side.reads[row].sha256 for row in order]
        with self._progress.step("Fitting the head", None):
            seen = [self.store(prefix, view).take(hashes) for view in stage.cached_views]
            return head.fit(np.stack(seen, axis=1), side.labels[order], seed=seed)

    def fresh(
        self, reads: Sequence[Read], prefix: Prefix, *moment: int
    ) -> Iterator[list[NDArray[Any]]]:
        """Features of photos in order, augmented as only at this moment (stage, epoch)."""
        return features.stream(
            self._source,
            reads,
            prefix,
            self._preprocessing,
            lambda pixels, sha256: self._changed(pixels, sha256, *moment),
        )

    def pixels(self, read: Read) -> Pixels:
        """A photo as the network sees it, unchanged."""
        return self._preprocessing.from_bytes(self._source.read(read.photo), read.photo.path)

    def augmented(self, read: Read, view: View) -> Pixels:
        """A photo as a view has it."""
        return self._changed(self.pixels(read), read.sha256, view)

    def _changed(self, pixels: Pixels, sha256: str, *moment: View) -> Pixels:
        if moment == (MIRROR,):
            return mirrored(pixels)
        # What is drawn follows from photo and moment alone, not from which thread came first.
        random = np.random.default_rng([self._seed, *map(int, moment), int(sha256[:16], 16)])
        return augment.augment(pixels, self._augment, random)
