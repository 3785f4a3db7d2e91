"""A finished training to its folder: bundle, figures, plots, manifest; whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import math
import platform
import shutil
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

from pawprint import bundle, engine
from pawprint.classifier import Classifier
from pawprint.data.dataset import Dataset
from pawprint.data.images import Pixels, Preprocessing
from pawprint.data.sources import Source
from pawprint.data.split import TEST, TRAIN, VALIDATION
from pawprint.doctor.findings import Finding, counts, told
from pawprint.errors import BundleError, MissingExtra, PhotoError
from pawprint.evaluation.overfitting import overfitting
from pawprint.model import network
from pawprint.parallel import map_chunks
from pawprint.training import recipe_files
from pawprint.training.batches import Side
from pawprint.training.gradient import Material
from pawprint.training.recipe import Recipe
from pawprint.training.stages import Fitted, Judged
from pawprint.training.views import Views

try:
    from pawprint.report import photos, plots
except ImportError as error:
    raise MissingExtra("training", error.name, "train") from None

# The bundle is tried on some held-out photos before it is handed over.
_TRIED_IN_ENGINE = 200
_TRIED_IN_KERAS = 16
_CHUNK = 16  # photos a thread takes at once
_TOLERANCE = 1e-3  # in a probability, between the bundle's two networks
_TOLERANCE_TO_FIGURES = 0.02  # to what was measured on features, which are kept in float16

_SAMPLED = 4  # photos a row of the grids,
_SAMPLED_CLASSES = 8  # and classes at most

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


@dataclass
class Clock:
    """Seconds that each part of a run took, and all of it so far."""

    parts: dict[str, float] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> dict[str, float]:
        return {**self.parts, "total": round(time.perf_counter() - self.start, 3)}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.parts[name] = round(time.perf_counter() - start, 3)


@dataclass(frozen=True)
class Finished:
    """What a training leaves to be written.

    Args:
        material: the trained network and the photos.
        fitted: how it went.
        judged: by side, what it predicts; or, where there are folds, others in its place.
        tried: what it predicts of some photos, for the bundle to be held against.
        left_out: what of the recipe was, in sentences.
        findings: what is odd about the photos.
        board: the folder of its TensorBoard logs, if any.
        resumed: epochs that were finished before this process began.
    """

    material: Material
    fitted: Fitted
    judged: dict[str, Judged]
    tried: Judged
    left_out: Sequence[str]
    findings: Sequence[Finding]
    board: Path | None
    resumed: int = 0


def write_run(
    folder: Path,
    source: Source,
    recipe: Recipe,
    dataset: Dataset,
    finished: Finished,
    clock: Clock,
) -> dict[str, Any]:
    """Write the run's folder, whole or not at all."""
    fitted, judged, views = finished.fitted, finished.judged, finished.material.views
    validation = judged[VALIDATION]
    with bundle.whole_folder(folder) as partial:
        with clock.part("bundle"):
            trained = finished.material.network
            card = _card(recipe, dataset, trained.backbone.digest, validation)
            model = network.whole_model(trained)
            bundle.write(partial / "model", card, network.to_onnx(trained, dataset.classes), model)
            checked = _try_bundle(partial / "model", model, source, recipe, dataset, finished.tried)
            if recipe.keras_h5:
                save_h5(model, partial / recipe.keras_h5)
        with clock.part("plots"):
            _plot(partial / "plots", fitted, validation, dataset.classes)
            trained_on = finished.material.sides[TRAIN]
            _plot_photos(partial / "plots", trained_on, views, dataset.classes, recipe.augments)
        if finished.board is not None:
            shutil.copytree(finished.board, partial / finished.board.name)
        (partial / "recipe.toml").write_text(recipe_files.to_toml(recipe), "utf-8")
        dataset.write_manifest(partial)
        _write_predictions(partial / "predictions.csv", dataset, judged)
        _write_json(partial / "findings.json", {"findings": told(finished.findings)})
        _write_json(partial / "metrics.json", _metrics(fitted, judged))
        record = _record(source, recipe, dataset, finished, card)
        record |= {"bundle": checked, "seconds": clock.seconds}
        _write_json(partial / "run.json", record)
    return record


def _metrics(fitted: Fitted, judged: dict[str, Judged]) -> dict[str, Any]:
    """What `metrics.json` says."""
    metrics = {side: found.figures.to_dict() for side, found in judged.items()}
    metrics[VALIDATION]["folds"] = judged[VALIDATION].folds
    return {
        **metrics,
        "head": fitted.choice,
        "stages": [found.to_dict() for found in fitted.outcomes],
        "history": [_finite(row) for row in fitted.history],
    }


def _record(
    source: Source, recipe: Recipe, dataset: Dataset, finished: Finished, card: bundle.Card
) -> dict[str, Any]:
    """What `run.json` says of the photos, of the software and of how the training went."""
    fitted, validation = finished.fitted, finished.judged[VALIDATION]
    limit, photos = finished.material.limit, len(validation.rows)
    noticed = overfitting(fitted.history, fitted.restored, photos, fitted.undone)
    return {
        "source": source.name,
        "recipe": recipe.name,
        "classes": list(dataset.classes),
        "photos": {side: dataset.counts(side) for side in (TRAIN, VALIDATION, TEST)},
        "left_out": sum(fault.count for fault in dataset.faults),
        "findings": counts(finished.findings),
        "fingerprint": dataset.fingerprint,
        "created": card.created,
        "versions": card.versions,
        "notes": [*finished.left_out, *noticed],
        "folds": validation.folds,
        "restored": list(fitted.restored),
        "undone": list(fitted.undone),
        "resumed_after_epochs": finished.resumed,
        "time_limit": limit and {"seconds": limit.limit, "left_out": limit.left_out},
    }


def _card(recipe: Recipe, dataset: Dataset, weights: str, validation: Judged) -> bundle.Card:
    found = validation.figures
    return bundle.Card(
        classes=dataset.classes,
        preprocessing=recipe.data.preprocessing,
        mirror=recipe.mirror,
        metrics={
            "validation_photos": found.count,
            "folds": validation.folds,
            "accuracy": found.accuracy,
            "accuracy_interval": list(found.accuracy_interval),
        },
        training={
            "source": dataset.name,
            "recipe": recipe.model_dump(),
            "dataset": dataset.fingerprint,
            "photos": {side: dataset.counts(side) for side in (TRAIN, VALIDATION, TEST)},
            "backbone_weights": weights,
        },
        versions=_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _try_bundle(
    folder: Path,
    model: Any,
    source: Source,
    recipe: Recipe,
    dataset: Dataset,
    judged: Judged,
) -> dict[str, Any]:
    """Compare the bundle's answers with Keras' and with what was measured."""
    step = max(1, len(judged.rows) // _TRIED_IN_ENGINE)
    places, pixels = _pixels(
        source,
        recipe.data.preprocessing,
        dataset,
        judged,
        range(0, len(judged.rows), step)[:_TRIED_IN_ENGINE],
    )
    seen = np.stack(pixels[:_TRIED_IN_KERAS])
    by_keras = network.probabilities(model, seen)
    if recipe.mirror:
        by_keras = (by_keras + network.probabilities(model, seen[:, :, ::-1])) / 2
    if engine.available():
        answers = _answers(folder, pixels)
    else:  # Keras computed the features as well, and nothing here can run the ONNX network
        answers, places = by_keras, places[: len(by_keras)]
    to_keras = float(np.abs(by_keras - answers[: len(by_keras)]).max())
    meant = judged.probabilities[places]
    to_figures = float(np.abs(answers - meant).max())
    for what, found, most in (
        ("model.keras", to_keras, _TOLERANCE),
        ("what was measured", to_figures, _TOLERANCE_TO_FIGURES),
    ):
        if not found <= most:
            raise BundleError(
                f"model.onnx differs from {what} by {found:.4f} in a probability, more than "
                f"{most}; nothing was written. This is a fault of pawprint: please report it"
            )
    return {
        "photos": len(places),
        "labels_differing": int((answers.argmax(axis=1) != meant.argmax(axis=1)).sum()),
        "largest_difference": to_figures,
        "photos_in_keras": len(by_keras),
        "largest_difference_to_keras": to_keras,
    }


def _pixels(
    source: Source,
    preprocessing: Preprocessing,
    dataset: Dataset,
    judged: Judged,
    places: Sequence[int],
) -> tuple[list[int], list[Pixels]]:
    """Decode some of the judged photos again; those that have gone meanwhile are left out."""
    by_path = {photo.path: photo for photo in source.photos}

    def decode(some: Sequence[int]) -> list[tuple[int, Pixels]]:
        decoded = []
        for place in some:
            path = dataset.photos[judged.rows[place]].path
            with contextlib.suppress(PhotoError):
                square = preprocessing.from_bytes(source.read(by_path[path]), path)
                decoded.append((place, square))
        return decoded

    found = [one for some in map_chunks(decode, places, size=_CHUNK) for one in some]
    if not found:
        raise BundleError(f"{dataset.name}: the photos have gone while training; run it again")
    return [place for place, _ in found], [square for _, square in found]


def _answers(folder: Path, pixels: Sequence[Pixels]) -> NDArray[np.float64]:
    """What the bundle answers, opened as a user would open it."""
    classifier = Classifier(folder)

    def answer(some: Sequence[Pixels]) -> list[NDArray[np.float64]]:
        return [classifier.probabilities(square) for square in some]

    return np.vstack([row for rows in map_chunks(answer, pixels, size=_CHUNK) for row in rows])


def _plot(folder: Path, fitted: Fitted, judged: Judged, classes: Sequence[str]) -> None:
    folder.mkdir()
    plots.save(plots.confusion_matrix(judged.figures), folder, "confusion_matrix")
    plots.save(plots.roc_curve(judged.truth, judged.probabilities, classes), folder, "roc_curve")
    if fitted.choice:
        plots.save(plots.strength_curve(fitted.choice), folder, "head_strength")
    if fitted.history:
        plots.save(plots.training_curves(fitted.history, fitted.undone), folder, "training_curves")


def _plot_photos(
    folder: Path, side: Side, views: Views, classes: Sequence[str], augments: bool
) -> None:
    """Some photos that were trained on, and what augmentation makes of one."""
    shown, titles = [], []
    for number, label in enumerate(classes[:_SAMPLED_CLASSES]):
        for row in np.flatnonzero(side.labels == number)[:_SAMPLED]:
            with contextlib.suppress(PhotoError):  # it went away meanwhile
                shown.append(views.pixels(side.reads[row]))
                titles.append(label)
    if shown:
        grid = photos.photo_grid(shown, titles, columns=_SAMPLED, title="Photos trained on")
        plots.save(grid, folder, "samples")
    if augments:
        with contextlib.suppress(PhotoError):
            one = side.reads[0]
            changed = [views.augmented(one, view) for view in range(1, 2 * _SAMPLED)]
            grid = photos.photo_grid(
                [views.pixels(one), *changed],
                ["as it is", *("augmented" for _ in changed)],
                columns=_SAMPLED,
                title="One photo and what augmentation makes of it",
            )
            plots.save(grid, folder, "augmentations")


def save_h5(model: Any, path: Path) -> None:
    """Save a whole Keras model as HDF5, for those who want one file that any Keras opens."""
    logger = logging.getLogger("absl")  # where Keras calls the format legacy
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        model.save(path)
    finally:
        logger.setLevel(level)


def _write_predictions(path: Path, dataset: Dataset, judged: dict[str, Judged]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "split", "label", "predicted", *dataset.classes])
        for side, found in judged.items():
            for place, (row, given) in enumerate(zip(found.rows, found.probabilities, strict=True)):
                photo = dataset.photos[row]
                split = side if found.fold_of is None else f"fold {found.fold_of[place] + 1}"
                predicted = dataset.classes[int(given.argmax())]
                shown = [f"{probability:.6f}" for probability in given]
                writer.writerow([photo.path, split, photo.label, predicted, *shown])


def _write_json(path: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, "utf-8", errors="surrogateescape")  # names need not be text


def _finite(row: dict[str, float]) -> dict[str, float | None]:
    """A row as JSON can say it, which has no word for what is not a number.

    >>> _finite({"loss": float("nan"), "rate": 0.1})
    {'loss': None, 'rate': 0.1}
    """
    return {name: value if math.isfinite(value) else None for name, value in row.items()}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
