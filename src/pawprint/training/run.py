"""The whole story of a training, top-down: photos in, a run with its bundle out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pawprint import bundle
from pawprint.classifier import Classifier
from pawprint.data import dataset as datasets
from pawprint.data.dataset import Dataset, Fault, Read
from pawprint.data.sources import Source, open_source
from pawprint.data.split import TEST, TRAIN, VALIDATION
from pawprint.errors import SourceError
from pawprint.evaluation.metrics import Figures
from pawprint.model import backbones, features
from pawprint.model.backbones import Backbone
from pawprint.model.feature_store import FeatureStore, cache_folder
from pawprint.model.prefix import compile_prefix
from pawprint.progress import SILENT, Progress
from pawprint.training import recipe as recipes
from pawprint.training import stages
from pawprint.training.recipe import HeadStage, Recipe
from pawprint.training.stages import Stores
from pawprint.training.writing import Clock, write_run


@dataclass(frozen=True)
class Run:
    """A finished training.

    Args:
        path: its folder.
        figures: on the validation photos.
        test_figures: on the test photos, where the source has some.
        record: what `run.json` says: counts, seconds, versions.
        faults: files that were left out, each with its reason.
    """

    path: Path
    figures: Figures
    test_figures: Figures | None
    record: dict[str, Any]
    faults: tuple[Fault, ...]

    @property
    def model(self) -> Path:
        """The bundle's folder."""
        return self.path / "model"

    def classifier(self) -> Classifier:
        """The trained classifier, loaded from the bundle."""
        return Classifier(self.model)


def train(
    source: str | os.PathLike[str],
    *,
    recipe: str | os.PathLike[str] = "quick",
    out: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    validation: float | None = None,
    strict: bool = False,
    offline: bool = False,
    cache: bool = True,
    progress: Progress = SILENT,
) -> Run:
    """Train a classifier on a folder or an archive of photos.

    >>> import tempfile
    >>> from pawprint.testing import drawn_photos, write_tiny_recipe
    >>> with tempfile.TemporaryDirectory() as place:
    ...     photos = drawn_photos(Path(place, "photos"), 40)
    ...     tiny = write_tiny_recipe(Path(place, "tiny.toml"))
    ...     run = train(photos, recipe=tiny, out=Path(place, "run"), cache=False)
    ...     answer = run.classifier().predict(photos / "cat" / "cat_0001.jpg")
    >>> run.figures.count, sorted(answer.probabilities)
    (8, ['cat', 'dog'])

    Args:
        source: a folder of class folders, one with `train/` and `validation/` of class folders, or
            a zip or tar archive of either.
        recipe: the name of a recipe, or a TOML file.
        out: the run's folder; by default `runs/<source>-<time>`.
        weights: a file with the backbone's weights; by default as the recipe says.
        seed: of the split and everything else drawn at random; by default the recipe's.
        validation: the part of each class to hold out; by default the recipe's.
        strict: make a photo that cannot be read an error.
        offline: never download weights.
        cache: keep features in the user's cache folder, and use those that are there.
        progress: where to show how it goes.

    Returns:
        The run. Its folder holds `model/` (the bundle), `metrics.json`, `predictions.csv`,
        `manifest.csv`, `left_out.csv`, `recipe.toml`, `run.json` and `plots/`.

    Raises:
        SourceError: the photos cannot be used.
        RecipeError: the recipe has faults.
        WeightsError: pretrained weights are not to be had.
        OutputError: the run's folder exists or cannot be written.
    """
    chosen = _adapted(recipes.load(recipe), weights, seed, validation)
    clock = Clock()
    with open_source(source) as opened:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folder = Path(out) if out is not None else Path("runs") / f"{opened.name[:50]}-{stamp}"
        bundle.check_writable(folder)
        root = cache_folder() if cache else None
        dataset, stores, backbone = _look(opened, chosen, root, strict, offline, progress, clock)
        with clock.part("training"):
            fitted = stages.fit(
                chosen.stage[0], dataset, stores, backbone, seed=chosen.data.seed, progress=progress
            )
        with clock.part("evaluation"):
            judged = {
                side: stages.judge(dataset, side, stores[side], fitted)
                for side in (VALIDATION, TEST)
                if dataset.rows(side)
            }
        with progress.step("Writing the run", None):
            record = write_run(folder, opened, chosen, dataset, backbone, fitted, judged, clock)
    test = judged[TEST].figures if TEST in judged else None
    return Run(folder, judged[VALIDATION].figures, test, record, dataset.faults)


def _adapted(
    recipe: Recipe,
    weights: str | os.PathLike[str] | None,
    seed: int | None,
    validation: float | None,
) -> Recipe:
    """The recipe with what the caller said in place of what it says."""
    values = recipe.model_dump()
    if weights is not None:
        values["backbone"]["weights"] = os.fspath(weights)
    if seed is not None:
        values["data"]["seed"] = seed
    if validation is not None:
        values["data"]["validation"] = validation
    return recipes.parse(values, f"recipe {recipe.name} as changed by options")


def _look(
    source: Source,
    recipe: Recipe,
    root: Path | None,
    strict: bool,
    offline: bool,
    progress: Progress,
    clock: Clock,
) -> tuple[Dataset, Stores, Backbone]:
    """Look at every photo: what it contains, which side it is on, its features."""
    with clock.part("loading the network"), progress.step("Loading the network", None):
        backbone = backbones.build(
            recipe.backbone.name,
            size=recipe.data.size,
            alpha=recipe.backbone.alpha,
            weights=recipe.backbone.weights,
            offline=offline,
            seed=recipe.data.seed,
        )
    with clock.part("reading"):
        reads, faults = datasets.read_all(source, progress=progress)
    with clock.part("features"):
        embedder = _Embedder(source, recipe, backbone, root, progress)
        while True:
            if strict and faults:
                raise SourceError(
                    f"{len(faults)} photo(s) cannot be read and --strict is set; the first is "
                    f"{faults[0].path}: {faults[0].reason}"
                )
            sided, copies = datasets.assign_sides(
                source.name, reads, fraction=recipe.data.validation, seed=recipe.data.seed
            )
            sizes, undecoded = embedder.embed(sided)
            if not undecoded:
                break
            # Split again without them, so that proportions hold for photos that can be read.
            gone = {fault.path for fault in undecoded}
            reads = [read for read in reads if read.photo.path not in gone]
            faults += undecoded
    skipped = [Fault(skip.path, skip.reason) for skip in source.skipped]
    dataset = datasets.build(source.name, sided, sizes, [*faults, *copies, *skipped])
    return dataset, embedder.stores, backbone


class _Embedder:
    """Features of photos, with the prefix and the store of their side."""

    def __init__(
        self,
        source: Source,
        recipe: Recipe,
        backbone: Backbone,
        root: Path | None,
        progress: Progress,
    ) -> None:
        self._source, self._progress = source, progress
        self._preprocessing = recipe.data.preprocessing
        cut = backbone.last if isinstance(recipe.stage[0], HeadStage) else None
        fast = compile_prefix(backbone, cut)
        exact = compile_prefix(backbone, cut, exact=True)
        if fast.key == exact.key:
            exact = fast
        stores = {
            id(prefix): FeatureStore(
                root,
                features.key_of(prefix, self._preprocessing),
                prefix.shape,
                prefix.dtype,
                progress,
            )
            for prefix in (fast, exact)
        }
        self._prefixes = {TRAIN: fast, VALIDATION: exact, TEST: exact}
        self.stores = {side: stores[id(prefix)] for side, prefix in self._prefixes.items()}

    def embed(self, reads: Sequence[Read]) -> tuple[dict[str, tuple[int, int]], list[Fault]]:
        """Bring every store up to date; the photos' sizes, and those that cannot be decoded."""
        sizes: dict[str, tuple[int, int]] = {}
        faults: list[Fault] = []
        for side, store in self.stores.items():
            on_side = [read for read in reads if read.photo.split == side]
            found, undecoded = features.embed(
                self._source,
                on_side,
                self._prefixes[side],
                self._preprocessing,
                store,
                progress=self._progress,
            )
            sizes |= found
            faults += undecoded
        return sizes, faults
