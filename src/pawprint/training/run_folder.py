"""What any run's folder holds, wherever its features came from: bundle, figures, answers, plots."""

from __future__ import annotations

import csv
import json
import logging
import math
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pawprint import bundle
from pawprint.classifier import Classifier
from pawprint.data.sources import Source
from pawprint.data.split import VALIDATION
from pawprint.errors import MissingExtra, PawprintError
from pawprint.evaluation.overfitting import overfitting
from pawprint.model import network
from pawprint.model.network import Network
from pawprint.progress import Progress
from pawprint.training.answers import Answered, Settled
from pawprint.training.recipe import Recipe
from pawprint.training.stages import Fitted
from pawprint.training.strangers import Strangers

try:
    from pawprint.report import plots
    from pawprint.report.answer_plots import answer_plots
    from pawprint.report.heatmaps import explaining
    from pawprint.report.model_card import NAME as MODEL_CARD
    from pawprint.report.model_card import model_card
    from pawprint.report.write import write_report
except ImportError as error:
    raise MissingExtra("training", error.name, "train") from None

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
class Made:
    """What a bundle is made of.

    Args:
        recipe: that it was trained by.
        classes: names.
        network: trained.
        settled: how it answers.
        strange: how unknown photos are told.
    """

    recipe: Recipe
    classes: tuple[str, ...]
    network: Network
    settled: Settled
    strange: Strangers | None


def write_bundle(
    folder: Path,
    made: Made,
    made_of: dict[str, Any],
    trying: Callable[[Path, Any], dict[str, Any]],
) -> tuple[bundle.Card, dict[str, Any]]:
    """Write a run's bundle, and the model as HDF5 where the recipe asks for it.

    Args:
        folder: the run's.
        made: what the bundle is made of.
        made_of: what it says of the photos.
        trying: given the bundle's folder and the Keras model, holds them to what was measured.

    Returns:
        Its card, and what `trying` gave.
    """
    recipe, strange, backbone = made.recipe, made.strange, made.network.backbone
    card = make_card(
        recipe,
        made.classes,
        made.settled,
        strange,
        {**made_of, "recipe": recipe.model_dump(), "backbone_weights": backbone.digest},
    )
    main = made.settled.judged[VALIDATION]
    about = model_card(card, main.figures, made.settled.calibration, main.folds)
    onnx = network.to_onnx(made.network, made.classes, strange.novelty if strange else None)
    model = network.whole_model(made.network)
    bundle.write(folder / "model", card, onnx, model, {MODEL_CARD: about})
    checked = trying(folder / "model", model)
    if recipe.keras_h5:
        save_h5(model, folder / recipe.keras_h5)
    return card, checked


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


def how_it_went(
    card: bundle.Card, fitted: Fitted, settled: Settled, strange: Strangers | None
) -> dict[str, Any]:
    """What `run.json` says of the training and its network, wherever features came from."""
    validation = settled.judged[VALIDATION]
    return {
        "created": card.created,
        "versions": card.versions,
        "folds": validation.folds,
        "restored": list(fitted.restored),
        "undone": list(fitted.undone),
        "unknown": card.unknown
        and card.unknown.model_dump() | {"right": _right_and_known(validation, strange)},
    }


def _right_and_known(judged: Answered, strange: Strangers | None) -> int:
    """How many photos that judge are answered, not refused, and rightly so."""
    known = strange.scores <= 1.0 if strange else np.ones(len(judged.truth), dtype=bool)
    return int((known & (judged.predicted == judged.truth)).sum())


def notes(left_out: Sequence[str], fitted: Fitted, settled: Settled) -> list[str]:
    """What is to be told of any run: stages left out, thresholds not reached, overfitting."""
    photos = len(settled.judged[VALIDATION].rows)
    noticed = overfitting(fitted.history, fitted.restored, photos, fitted.undone)
    return [*left_out, *settled.notes, *noticed]


def draw_plots(folder: Path, classes: Sequence[str], fitted: Fitted, settled: Settled) -> None:
    """Draw what needs no photos: answers, and how the training went."""
    judged = settled.judged[VALIDATION]
    given, calibration = judged.probabilities, settled.calibration
    drawn = answer_plots(judged.truth, given, classes, judged.figures, calibration)
    drawn |= plots.training_plots(fitted.choice, fitted.history, fitted.undone)
    folder.mkdir()
    for name, figure in drawn.items():
        plots.save(figure, folder, name)


def draw_report(folder: Path, source: Source | None, progress: Progress) -> None:
    """Draw the run's page; the run is there already, and is not lost by what goes wrong here."""
    try:
        explain = explaining(Classifier(folder / "model"))
        write_report(folder, source=source, explain=explain, progress=progress)
    except (PawprintError, OSError, KeyboardInterrupt) as error:
        why = "it was interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        progress.say(f"the run is whole, but its report is not drawn: {why}; run pawprint report")


def write_predictions(
    folder: Path,
    paths: Mapping[str, Iterable[str]],
    classes: Sequence[str],
    settled: Settled,
    strange: Strangers | None,
) -> None:
    """Write `predictions.csv`: what is answered to each photo that judges.

    Args:
        folder: the run's.
        paths: by side, those of its photos, in order.
        classes: names.
        settled: what is answered.
        strange: how new the validation photos are.
    """
    path = folder / "predictions.csv"
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "split", "label", "predicted", "novelty", *classes])
        for side, found in settled.judged.items():
            scores = strange.scores if strange and side == VALIDATION else None
            each = zip(paths[side], found.truth, found.predicted, found.probabilities, strict=True)
            for place, (photo, truth, predicted, given) in enumerate(each):
                split = side if found.fold_of is None else f"fold {found.fold_of[place] + 1}"
                far = "" if scores is None else f"{scores[place]:.6f}"
                shown = [f"{probability:.6f}" for probability in given]
                writer.writerow([photo, split, classes[truth], classes[predicted], far, *shown])


def save_h5(model: Any, path: Path) -> None:
    """Save a whole Keras model as HDF5, for those who want one file that any Keras opens."""
    logger = logging.getLogger("absl")  # where Keras calls the format legacy
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        model.save(path)
    finally:
        logger.setLevel(level)


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
