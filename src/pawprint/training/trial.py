"""The bundle, tried before it is handed over: held to Keras, and to what was measured."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint import engine
from pawprint.classifier import Classifier, at_temperature
from pawprint.data.dataset import Dataset
from pawprint.data.images import Pixels, Preprocessing
from pawprint.data.sources import Source
from pawprint.errors import BundleError, PhotoError
from pawprint.model import network
from pawprint.parallel import map_chunks
from pawprint.training.recipe import Recipe
from pawprint.training.stages import Judged

_TRIED_IN_ENGINE = 200
_TRIED_IN_KERAS = 16
_CHUNK = 16  # photos a thread takes at once
_TOLERANCE = 1e-3  # in a probability, between the bundle's two networks
_TOLERANCE_TO_FIGURES = 0.02  # to what was measured on features, which are kept in float16


def try_bundle(
    folder: Path,
    model: Any,
    source: Source,
    recipe: Recipe,
    dataset: Dataset,
    judged: Judged,
) -> dict[str, Any]:
    """Compare the bundle's answers with Keras' and with what was measured.

    Args:
        folder: the bundle.
        model: the Keras model that it was made of.
        source: the photos.
        recipe: of the training.
        dataset: the photos as a table.
        judged: what the trained network gave to some of them.

    Returns:
        How many photos were tried, how many labels differ, and the largest differences.

    Raises:
        BundleError: it answers otherwise.
    """
    classifier = Classifier(folder)
    temperature = classifier.card.temperature
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
    by_keras = at_temperature(by_keras, temperature)
    if engine.available():
        answers = _answers(classifier, pixels)
    else:  # Keras computed the features as well, and nothing here can run the ONNX network
        answers, places = by_keras, places[: len(by_keras)]
    to_keras = float(np.abs(by_keras - answers[: len(by_keras)]).max())
    meant = at_temperature(judged.probabilities[places], temperature)
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


def _answers(classifier: Classifier, pixels: Sequence[Pixels]) -> NDArray[np.float64]:
    """What the bundle answers, opened as a user would open it."""

    def answer(some: Sequence[Pixels]) -> list[NDArray[np.float64]]:
        return [classifier.probabilities(square) for square in some]

    return np.vstack([row for rows in map_chunks(answer, pixels, size=_CHUNK) for row in rows])
