"""A finished training to its folder: bundle, figures, plots, manifest; whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import math
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pawprint import bundle
from pawprint.classifier import Classifier
from pawprint.data.corrections import APPLIED
from pawprint.data.dataset import Dataset
from pawprint.data.sources import Source
from pawprint.data.split import TEST, TRAIN, VALIDATION
from pawprint.doctor.findings import counts, told
from pawprint.errors import MissingExtra, PawprintError, PhotoError
from pawprint.evaluation.overfitting import overfitting
from pawprint.model import network
from pawprint.progress import Progress
from pawprint.training import recipe_files
from pawprint.training.answers import Answered, Settled
from pawprint.training.clock import Clock
from pawprint.training.gradient import Material
from pawprint.training.look import Looked
from pawprint.training.origin import Origin, before
from pawprint.training.recipe import Recipe
from pawprint.training.stages import Fitted, Judged
from pawprint.training.strangers import Strangers
from pawprint.training.suspects import Suspects
from pawprint.training.trial import decoder, try_bundle
from pawprint.training.views import Views

try:
    from pawprint.report import photos, plots
    from pawprint.report.answer_plots import answer_plots
    from pawprint.report.heatmaps import explaining
    from pawprint.report.model_card import NAME as MODEL_CARD
    from pawprint.report.model_card import model_card
    from pawprint.report.write import write_report
except ImportError as error:
    raise MissingExtra("training", error.name, "train") from None

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


@dataclass(frozen=True)
class Finished:
    """What a training leaves to be written.

    Args:
        material: the trained network and the photos.
        views: the photos as the network sees them.
        fitted: how it went.
        settled: by side, what is answered; or, where there are folds, by others in its place.
        tried: what it predicts of some photos, for the bundle to be held against.
        strangers: how unknown photos are told.
        suspects: labels that may be wrong.
        looked: the photos, and what is odd about them.
        board: the folder of its TensorBoard logs, if any.
        resumed: epochs that were finished before this process began.
    """

    material: Material
    views: Views
    fitted: Fitted
    settled: Settled
    tried: Judged
    strangers: Strangers | None
    suspects: Suspects
    looked: Looked
    board: Path | None
    resumed: int = 0


def write_run(
    folder: Path,
    source: Source,
    origin: Origin,
    finished: Finished,
    clock: Clock,
    *,
    report: bool,
) -> dict[str, Any]:
    """Write the run's folder, whole or not at all; what its `run.json` says.

    Plots and the page are for people; without `report` there are none.
    """
    settled, looked = finished.settled, finished.looked
    recipe, dataset = looked.recipe, looked.dataset
    with bundle.whole_folder(folder) as partial:
        with clock.part("bundle"):
            card, checked = _write_bundle(partial, source, finished)
        if report:
            with clock.part("plots"):
                _plot(partial / "plots", finished)
                _plot_photos(partial / "plots", finished)
        if finished.board is not None:
            shutil.copytree(finished.board, partial / finished.board.name)
        (partial / "recipe.toml").write_text(recipe_files.to_toml(recipe), "utf-8")
        dataset.write_manifest(partial)
        _write_predictions(partial / "predictions.csv", dataset, settled, finished.strangers)
        write_json(partial / "findings.json", {"findings": told(looked.findings)})
        write_json(partial / "suspects.json", finished.suspects.to_dict())
        write_json(partial / "metrics.json", make_metrics(finished.fitted, settled))
        record = _record(source, origin, finished, card)
        record |= {"bundle": checked, "seconds": clock.seconds}
        write_json(partial / "run.json", record)
        if origin.corrected:
            (partial / APPLIED).write_bytes(origin.corrected.content)
    if report:
        with clock.part("report"):
            draw_report(folder, source, finished.material.progress)
    return record


def draw_report(folder: Path, source: Source | None, progress: Progress) -> None:
    """Draw the run's page; the run is there already, and is not lost by what goes wrong here."""
    try:
        explain = explaining(Classifier(folder / "model"))
        write_report(folder, source=source, explain=explain, progress=progress)
    except (PawprintError, OSError, KeyboardInterrupt) as error:
        why = "it was interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        progress.say(f"the run is whole, but its report is not drawn: {why}; run pawprint report")


def _write_bundle(
    folder: Path, source: Source, finished: Finished
) -> tuple[bundle.Card, dict[str, Any]]:
    """Write the bundle and try it; its card, and how it compares with what was measured."""
    recipe, dataset, settled = finished.looked.recipe, finished.looked.dataset, finished.settled
    trained, strange = finished.material.network, finished.strangers
    backbone = finished.material.network.backbone
    counts = {side: dataset.counts(side) for side in (TRAIN, VALIDATION, TEST)}
    made_of = {
        "source": dataset.name,
        "recipe": recipe.model_dump(),
        "dataset": dataset.fingerprint,
        "photos": counts,
        "backbone_weights": backbone.digest,
    }
    card = make_card(recipe, dataset.classes, settled, strange, made_of)
    main = settled.judged[VALIDATION]
    about = model_card(card, main.figures, settled.calibration, main.folds)
    onnx = network.to_onnx(trained, dataset.classes, strange.novelty if strange else None)
    model = network.whole_model(trained)
    bundle.write(folder / "model", card, onnx, model, {MODEL_CARD: about})
    # In folds each score is by a novelty of its own.
    scores = strange.scores if strange and finished.looked.fold_of is None else None
    decode = decoder(source, recipe.data.preprocessing, dataset, finished.tried)
    checked = try_bundle(folder / "model", model, recipe, decode, finished.tried, scores)
    if recipe.keras_h5:
        save_h5(model, folder / recipe.keras_h5)
    return card, checked


def make_metrics(fitted: Fitted, settled: Settled) -> dict[str, Any]:
    """What `metrics.json` says."""
    metrics = {side: found.figures.to_dict() for side, found in settled.judged.items()}
    metrics[VALIDATION] |= {
        "folds": settled.judged[VALIDATION].folds,
        "calibration": settled.calibration.to_dict(),
        "decision": {"rule": settled.rule, "threshold": settled.threshold},
    }
    return {
        **metrics,
        "head": fitted.choice,
        "stages": [found.to_dict() for found in fitted.outcomes],
        "history": [_finite(row) for row in fitted.history],
    }


def _record(
    source: Source, origin: Origin, finished: Finished, card: bundle.Card
) -> dict[str, Any]:
    """What `run.json` says of the photos, of the software and of how the training went."""
    fitted, looked = finished.fitted, finished.looked
    dataset, validation = looked.dataset, finished.settled.judged[VALIDATION]
    limit, photos = finished.material.limit, len(validation.rows)
    noticed = overfitting(fitted.history, fitted.restored, photos, fitted.undone)
    return {
        "source": source.name,
        "from": origin.place,
        "command": origin.command,
        "recipe": looked.recipe.name,
        "classes": list(dataset.classes),
        "photos": {side: dataset.counts(side) for side in (TRAIN, VALIDATION, TEST)},
        "left_out": sum(fault.count for fault in dataset.faults),
        "findings": counts(looked.findings),
        "suspects": finished.suspects.count,
        "fingerprint": dataset.fingerprint,
        "created": card.created,
        "versions": card.versions,
        "notes": _notes(finished, origin, noticed),
        "folds": validation.folds,
        "restored": list(fitted.restored),
        "undone": list(fitted.undone),
        "unknown": card.unknown
        and card.unknown.model_dump() | {"right": right_and_known(validation, finished.strangers)},
        "corrections": origin.corrected and origin.corrected.to_dict(),
        "before": before(origin, looked.recipe, dataset, validation),
        "resumed_after_epochs": finished.resumed,
        "time_limit": limit and {"seconds": limit.limit, "left_out": limit.left_out},
    }


def right_and_known(judged: Answered, strange: Strangers | None) -> int:
    """How many photos that judge are answered, not refused, and rightly so."""
    known = strange.scores <= 1.0 if strange else np.ones(len(judged.truth), dtype=bool)
    return int((known & (judged.predicted == judged.truth)).sum())


def _notes(finished: Finished, origin: Origin, noticed: Sequence[str]) -> list[str]:
    """What is to be told of a run besides its figures."""
    strange = finished.strangers
    told = [*finished.looked.left_out, *finished.settled.notes, *noticed]
    told += strange.notes if strange else ()
    if origin.corrected and origin.corrected.changed:
        told.append(
            "labels were corrected where a model doubted them, those of photos that judge, too: "
            "the figures may be a little too good"
        )
    return told


def make_card(
    recipe: Recipe,
    classes: tuple[str, ...],
    settled: Settled,
    strange: Strangers | None,
    made_of: dict[str, Any],
) -> bundle.Card:
    """What the bundle says of itself.

    Args:
        recipe: that it was trained by.
        classes: names.
        settled: how it answers.
        strange: how unknown photos are told.
        made_of: what it was made from, for people.
    """
    validation = settled.judged[VALIDATION]
    found = validation.figures
    return bundle.Card(
        classes=classes,
        preprocessing=recipe.data.preprocessing,
        threshold=settled.threshold,
        mirror=recipe.mirror,
        temperature=settled.calibration.temperature,
        unknown=strange.facts if strange else None,
        metrics={
            "validation_photos": found.count,
            "folds": validation.folds,
            "accuracy": found.accuracy,
            "accuracy_interval": list(found.accuracy_interval),
        },
        training=made_of,
        versions=_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _plot(folder: Path, finished: Finished) -> None:
    fitted, classes = finished.fitted, finished.looked.dataset.classes
    judged = finished.settled.judged[VALIDATION]
    given, settled = judged.probabilities, finished.settled
    drawn = answer_plots(judged.truth, given, classes, judged.figures, settled.calibration)
    drawn |= plots.training_plots(fitted.choice, fitted.history, fitted.undone)
    folder.mkdir()
    for name, figure in drawn.items():
        plots.save(figure, folder, name)


def _plot_photos(folder: Path, finished: Finished) -> None:
    """Some photos that were trained on, and what augmentation makes of one."""
    views, side = finished.views, finished.material.sides[TRAIN]
    shown, titles = [], []
    for number, label in enumerate(finished.looked.dataset.classes[:_SAMPLED_CLASSES]):
        for row in np.flatnonzero(side.labels == number)[:_SAMPLED]:
            with contextlib.suppress(PhotoError):  # it went away meanwhile
                shown.append(views.pixels(side.reads[row]))
                titles.append(label)
    if shown:
        grid = photos.photo_grid(shown, titles, columns=_SAMPLED, title="Photos trained on")
        plots.save(grid, folder, "samples")
    if finished.looked.recipe.augments:
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


def _write_predictions(
    path: Path, dataset: Dataset, settled: Settled, strange: Strangers | None
) -> None:
    novelty = {}
    if strange:
        rows = settled.judged[VALIDATION].rows
        novelty = dict(zip(rows, strange.scores.tolist(), strict=True))
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "split", "label", "predicted", "novelty", *dataset.classes])
        for side, found in settled.judged.items():
            for place, (row, given) in enumerate(zip(found.rows, found.probabilities, strict=True)):
                photo = dataset.photos[row]
                split = side if found.fold_of is None else f"fold {found.fold_of[place] + 1}"
                predicted = dataset.classes[found.predicted[place]]
                far = f"{novelty[row]:.6f}" if row in novelty else ""
                shown = [f"{probability:.6f}" for probability in given]
                writer.writerow([photo.path, split, photo.label, predicted, far, *shown])


def write_json(path: Path, values: dict[str, Any]) -> None:
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
