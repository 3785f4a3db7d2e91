"""The whole story of a training, top-down: photos in, a run with its bundle out."""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint import bundle
from pawprint.classifier import Classifier
from pawprint.data import dataset as datasets
from pawprint.data.dataset import Dataset, Fault
from pawprint.data.sources import Source, open_source
from pawprint.data.split import TEST, VALIDATION
from pawprint.errors import BundleError, PhotoError, SourceError
from pawprint.evaluation.metrics import Figures, figures
from pawprint.model import backbones, features, network
from pawprint.model.backbones import Backbone
from pawprint.model.feature_store import FeatureStore, cache_folder
from pawprint.model.prefix import compile_prefix
from pawprint.progress import SILENT, Progress
from pawprint.training import recipe as recipes
from pawprint.training import stages
from pawprint.training.recipe import HeadStage, Recipe
from pawprint.training.stages import Fitted

# The bundle is tried on some held-out photos before it is handed over.
_TRIED_IN_ENGINE = 200
_TRIED_IN_KERAS = 16
_TOLERANCE = 1e-3

_PACKAGES = (
    "pawprint",
    "keras",
    "tensorflow",
    "openvino",
    "onnx",
    "scikit-learn",
    "numpy",
    "pillow",
)


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
    clock = _Clock()
    with open_source(source) as opened:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folder = Path(out) if out is not None else Path("runs") / f"{opened.name}-{stamp}"
        _check_writable(folder)
        root = cache_folder() if cache else None
        looked = _look(opened, chosen, root, strict, offline, progress, clock)
        dataset, store, backbone = looked
        with clock.part("training"):
            fitted = stages.fit(
                chosen.stage[0], dataset, store, backbone, seed=chosen.data.seed, progress=progress
            )
        with clock.part("evaluation"):
            judged = {
                side: _judge(dataset, side, store, fitted)
                for side in (VALIDATION, TEST)
                if dataset.rows(side)
            }
        with progress.step("Writing the run", 1) as advance:
            record = _write(folder, opened, chosen, dataset, backbone, fitted, judged, clock)
            advance(1)
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
    clock: _Clock,
) -> tuple[Dataset, FeatureStore, Backbone]:
    """Look at every photo once: what it contains, whether it can be read, its features."""
    with clock.part("reading"):
        reads, unread = datasets.read_all(source, progress=progress)
    with clock.part("loading the network"):
        backbone = backbones.build(
            recipe.backbone.name,
            size=recipe.data.size,
            alpha=recipe.backbone.alpha,
            weights=recipe.backbone.weights,
            offline=offline,
            seed=recipe.data.seed,
        )
        cut = backbone.last if isinstance(recipe.stage[0], HeadStage) else None
        prefix = compile_prefix(backbone, cut)
    with clock.part("features"):
        preprocessing = recipe.data.preprocessing
        key = features.key_of(prefix, preprocessing)
        store = FeatureStore(root, key, prefix.shape, prefix.dtype, progress)
        sizes, undecoded = features.embed(
            source, reads, prefix, preprocessing, store, progress=progress
        )
    unreadable = [*unread, *undecoded]
    if strict and unreadable:
        raise SourceError(
            f"{len(unreadable)} photo(s) cannot be read and --strict is set; the first is "
            f"{unreadable[0].path}: {unreadable[0].reason}"
        )
    faults = [*unreadable, *(Fault(skip.path, skip.reason) for skip in source.skipped)]
    dataset = datasets.build(
        source.name, reads, sizes, faults, fraction=recipe.data.validation, seed=recipe.data.seed
    )
    return dataset, store, backbone


@dataclass(frozen=True)
class _Judged:
    """One side's photos, what was predicted for them, and the figures."""

    rows: list[int]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    figures: Figures


def _judge(dataset: Dataset, side: str, store: FeatureStore, fitted: Fitted) -> _Judged:
    rows = dataset.rows(side)
    number = {label: index for index, label in enumerate(dataset.classes)}
    truth = np.array([number[dataset.photos[row].label] for row in rows], dtype=np.int64)
    probabilities = fitted.predict([dataset.photos[row].sha256 for row in rows])
    return _Judged(rows, truth, probabilities, figures(truth, probabilities, dataset.classes))


def _write(
    folder: Path,
    source: Source,
    recipe: Recipe,
    dataset: Dataset,
    backbone: Backbone,
    fitted: Fitted,
    judged: dict[str, _Judged],
    clock: _Clock,
) -> dict[str, Any]:
    """Write the run's folder, whole or not at all."""
    validation = judged[VALIDATION]
    with bundle.whole_folder(folder) as partial:
        with clock.part("bundle"):
            card = _card(recipe, dataset, backbone, validation.figures)
            model = network.keras_classifier(backbone, len(dataset.classes), fitted.head)
            onnx = network.onnx_classifier(backbone, fitted.head, dataset.classes)
            bundle.write(partial / "model", card, onnx, model)
            checked = _try_bundle(partial / "model", model, source, dataset, validation)
        with clock.part("plots"):
            _plot(partial / "plots", fitted, validation, dataset.classes)
        (partial / "recipe.toml").write_text(recipe.to_toml(), "utf-8")
        dataset.write_manifest(partial)
        _write_predictions(partial / "predictions.csv", dataset, judged)
        metrics = {side: side_judged.figures.to_dict() for side, side_judged in judged.items()}
        _write_json(
            partial / "metrics.json",
            {
                **metrics,
                "bundle": checked,
                "head": list(fitted.head.choice),
                "history": fitted.history,
            },
        )
        record = {
            "source": source.name,
            "recipe": recipe.name,
            "classes": list(dataset.classes),
            "photos": {side: dataset.counts(side) for side in ("train", VALIDATION, TEST)},
            "left_out": len(dataset.faults),
            "fingerprint": dataset.fingerprint,
            "created": card.created,
            "versions": card.versions,
            "seconds": clock.seconds,
        }
        _write_json(partial / "run.json", record)
    return record


def _card(recipe: Recipe, dataset: Dataset, backbone: Backbone, found: Figures) -> bundle.Card:
    return bundle.Card(
        classes=dataset.classes,
        preprocessing=recipe.data.preprocessing,
        metrics={
            "validation_photos": found.count,
            "accuracy": found.accuracy,
            "accuracy_interval": list(found.accuracy_interval),
        },
        training={
            "source": dataset.name,
            "recipe": recipe.model_dump(),
            "dataset": dataset.fingerprint,
            "photos": {side: dataset.counts(side) for side in ("train", VALIDATION, TEST)},
            "backbone_weights": backbone.digest,
        },
        versions=_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _try_bundle(
    folder: Path, model: Any, source: Source, dataset: Dataset, judged: _Judged
) -> dict[str, Any]:
    """Open the bundle as a user would and compare its answers with Keras' and with the figures'."""
    classifier = Classifier(folder)
    step = max(1, len(judged.rows) // _TRIED_IN_ENGINE)
    places = list(range(0, len(judged.rows), step))[:_TRIED_IN_ENGINE]
    by_path = {photo.path: photo for photo in source.photos}
    preprocessing = classifier.card.preprocessing
    pixels, answers, expected = [], [], []
    for place in places:
        photo = dataset.photos[judged.rows[place]]
        try:
            square = preprocessing.from_bytes(source.read(by_path[photo.path]), photo.path)
        except PhotoError:
            continue  # it has gone since it was looked at
        pixels.append(square)
        answers.append(classifier.probabilities(square))
        expected.append(judged.probabilities[place])
    if not pixels:
        raise BundleError(f"{dataset.name}: the photos have gone while training; run it again")
    few = np.stack(pixels[:_TRIED_IN_KERAS])
    by_keras = np.abs(network.keras_probabilities(model, few) - answers[: len(few)]).max()
    if not by_keras <= _TOLERANCE:
        raise BundleError(
            f"model.onnx and model.keras differ by {by_keras:.4f} in a probability, more than "
            f"{_TOLERANCE}; nothing was written. This is a fault of pawprint: please report it"
        )
    own, meant = np.array(answers), np.array(expected)
    return {
        "photos": len(pixels),
        "labels_differing": int((own.argmax(axis=1) != meant.argmax(axis=1)).sum()),
        "largest_difference": float(np.abs(own - meant).max()),
        "photos_in_keras": len(few),
        "largest_difference_to_keras": float(by_keras),
    }


def _plot(folder: Path, fitted: Fitted, judged: _Judged, classes: Sequence[str]) -> None:
    from pawprint.report import plots

    folder.mkdir()
    plots.save(plots.confusion_matrix(judged.figures), folder, "confusion_matrix")
    plots.save(plots.roc_curve(judged.truth, judged.probabilities, classes), folder, "roc_curve")
    if fitted.head.choice:
        plots.save(plots.strength_curve(fitted.head.choice), folder, "head_strength")
    if fitted.history:
        plots.save(plots.training_curves(fitted.history), folder, "training_curves")


def _write_predictions(path: Path, dataset: Dataset, judged: dict[str, _Judged]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "split", "label", "predicted", *dataset.classes])
        for side, found in judged.items():
            for row, given in zip(found.rows, found.probabilities, strict=True):
                photo = dataset.photos[row]
                predicted = dataset.classes[int(given.argmax())]
                shown = [f"{probability:.6f}" for probability in given]
                writer.writerow([photo.path, side, photo.label, predicted, *shown])


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _check_writable(folder: Path) -> None:
    """Fail now rather than after the work: try what writing the run will do."""
    try:
        with bundle.whole_folder(folder):
            raise _Enough
    except _Enough:
        pass


class _Enough(Exception):  # noqa: N818 - not an error, a way out
    pass


@dataclass
class _Clock:
    """Seconds that each part of a run took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 3)
