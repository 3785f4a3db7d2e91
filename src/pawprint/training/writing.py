"""A finished training to its folder: bundle, figures, plots, manifest; whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import json
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
from pawprint.data.dataset import Dataset
from pawprint.data.images import Pixels
from pawprint.data.sources import Source
from pawprint.data.split import TEST, TRAIN, VALIDATION
from pawprint.errors import BundleError, MissingExtra, PhotoError
from pawprint.evaluation.metrics import Figures
from pawprint.model import network
from pawprint.model.backbones import Backbone
from pawprint.parallel import map_chunks
from pawprint.training.recipe import Recipe
from pawprint.training.stages import Fitted, Judged

try:
    from pawprint.report import plots
except ImportError as error:
    raise MissingExtra("training", error.name, "train") from None

# The bundle is tried on some held-out photos before it is handed over.
_TRIED_IN_ENGINE = 200
_TRIED_IN_KERAS = 16
_CHUNK = 16  # photos a thread takes at once
_TOLERANCE = 1e-3  # in a probability, between the bundle's two networks
_TOLERANCE_TO_FIGURES = 0.02  # to what was measured on features, which are kept in float16

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


def write_run(
    folder: Path,
    source: Source,
    recipe: Recipe,
    dataset: Dataset,
    backbone: Backbone,
    fitted: Fitted,
    judged: dict[str, Judged],
    clock: Clock,
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
                "head": list(fitted.head.choice),
                "history": fitted.history,
            },
        )
        record = {
            "source": source.name,
            "recipe": recipe.name,
            "classes": list(dataset.classes),
            "photos": {side: dataset.counts(side) for side in (TRAIN, VALIDATION, TEST)},
            "left_out": len(dataset.faults),
            "fingerprint": dataset.fingerprint,
            "created": card.created,
            "versions": card.versions,
            "bundle": checked,
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
            "photos": {side: dataset.counts(side) for side in (TRAIN, VALIDATION, TEST)},
            "backbone_weights": backbone.digest,
        },
        versions=_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _try_bundle(
    folder: Path, model: Any, source: Source, dataset: Dataset, judged: Judged
) -> dict[str, Any]:
    """Open the bundle as a user would and compare its answers with Keras' and with the figures'."""
    classifier = Classifier(folder)
    step = max(1, len(judged.rows) // _TRIED_IN_ENGINE)
    places = list(range(0, len(judged.rows), step))[:_TRIED_IN_ENGINE]
    by_path = {photo.path: photo for photo in source.photos}
    preprocessing = classifier.card.preprocessing

    def answer(some: Sequence[int]) -> list[tuple[int, Pixels, NDArray[np.float64]]]:
        answers = []
        for place in some:
            path = dataset.photos[judged.rows[place]].path
            with contextlib.suppress(PhotoError):  # it has gone since it was looked at
                square = preprocessing.from_bytes(source.read(by_path[path]), path)
                answers.append((place, square, classifier.probabilities(square)))
        return answers

    answered = [one for some in map_chunks(answer, places, size=_CHUNK) for one in some]
    if not answered:
        raise BundleError(f"{dataset.name}: the photos have gone while training; run it again")
    few = np.stack([square for _, square, _ in answered[:_TRIED_IN_KERAS]])
    own = np.array([given for _, _, given in answered])
    meant = judged.probabilities[[place for place, _, _ in answered]]
    by_keras = np.abs(network.keras_probabilities(model, few) - own[: len(few)]).max()
    if not by_keras <= _TOLERANCE:
        raise BundleError(
            f"model.onnx and model.keras differ by {by_keras:.4f} in a probability, more than "
            f"{_TOLERANCE}; nothing was written. This is a fault of pawprint: please report it"
        )
    by_figures = np.abs(own - meant).max()
    if not by_figures <= _TOLERANCE_TO_FIGURES:
        raise BundleError(
            f"model.onnx differs from what was measured by {by_figures:.4f} in a probability; "
            "nothing was written. This is a fault of pawprint: please report it"
        )
    return {
        "photos": len(answered),
        "labels_differing": int((own.argmax(axis=1) != meant.argmax(axis=1)).sum()),
        "largest_difference": float(by_figures),
        "photos_in_keras": len(few),
        "largest_difference_to_keras": float(by_keras),
    }


def _plot(folder: Path, fitted: Fitted, judged: Judged, classes: Sequence[str]) -> None:
    folder.mkdir()
    plots.save(plots.confusion_matrix(judged.figures), folder, "confusion_matrix")
    plots.save(plots.roc_curve(judged.truth, judged.probabilities, classes), folder, "roc_curve")
    if fitted.head.choice:
        plots.save(plots.strength_curve(fitted.head.choice), folder, "head_strength")
    if fitted.history:
        plots.save(plots.training_curves(fitted.history), folder, "training_curves")


def _write_predictions(path: Path, dataset: Dataset, judged: dict[str, Judged]) -> None:
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
