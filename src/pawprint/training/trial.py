"""The bundle, tried before it is handed over: held to Keras, and to what was measured."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint import engine
from pawprint.bundle import Card
from pawprint.classifier import Classifier, at_temperature
from pawprint.data.dataset import Dataset
from pawprint.data.images import Pixels, Preprocessing
from pawprint.data.sources import Source
from pawprint.errors import BundleError, PhotoError
from pawprint.evaluation.predictions import answers
from pawprint.model import network
from pawprint.parallel import map_chunks
from pawprint.training.recipe import Recipe
from pawprint.training.stages import Judged

_TRIED_IN_ENGINE = 200
_TRIED_IN_KERAS = 16
_CHUNK = 16  # photos a thread takes at once
_TOLERANCE = 1e-3  # in a probability, between the bundle's two networks
_TOLERANCE_TO_FIGURES = 0.02  # to what was measured on features, which are kept in float16


class NoPhotos(BundleError):
    """There is no photo to ask the bundle about."""


def try_bundle(
    folder: Path,
    model: Any,
    recipe: Recipe,
    decode: Callable[[int], Pixels],
    judged: Judged,
    novelty: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """Compare what the bundle gives with Keras and with what was measured.

    Probabilities are compared before the temperature: a high one would make much of the last digits
    of very small ones.

    Args:
        folder: the bundle.
        model: the Keras model that it was made of.
        recipe: of the training.
        decode: gives the pixels of the judged photo in a place, or raises PhotoError.
        judged: what the trained network gave to some of them.
        novelty: float64, shape (n,), of these, where it is known.

    Returns:
        How many photos were tried, how many labels differ, and the largest differences.

    Raises:
        BundleError: it answers otherwise, or no photo is there to ask about.
    """
    classifier = Classifier(folder)
    step = max(1, len(judged.rows) // _TRIED_IN_ENGINE)
    places, pixels = _pixels(decode, range(0, len(judged.rows), step)[:_TRIED_IN_ENGINE])
    seen = np.stack(pixels[:_TRIED_IN_KERAS])
    by_keras = network.probabilities(model, seen)
    if recipe.mirror:
        by_keras = (by_keras + network.probabilities(model, seen[:, :, ::-1])) / 2
    differences = {}
    if engine.available():
        given, scores = _measured(classifier, pixels)
        if novelty is not None:
            size = np.maximum(novelty[places], 1.0)  # some photos are many times too new
            differences["measured, in novelty"] = _largest((scores - novelty[places]) / size)
    else:  # Keras computed the features as well, and nothing here can run the ONNX network
        given, places = by_keras, places[: len(by_keras)]
    meant = judged.probabilities[places]
    to_keras, to_figures = _largest(by_keras - given[: len(by_keras)]), _largest(given - meant)
    differences["measured, in a probability"] = to_figures
    _expect("model.keras, in a probability", to_keras, _TOLERANCE)
    for what, found in differences.items():
        _expect(f"what was {what}", found, _TOLERANCE_TO_FIGURES)
    answered = [_decided(classifier.card, some) for some in (given, meant)]
    return {
        "photos": len(places),
        "labels_differing": int((answered[0] != answered[1]).sum()),
        "largest_difference": to_figures,
        "photos_in_keras": len(by_keras),
        "largest_difference_to_keras": to_keras,
    }


def decoder(
    source: Source, preprocessing: Preprocessing, dataset: Dataset, judged: Judged
) -> Callable[[int], Pixels]:
    """What decodes a judged photo of a source again, by its place."""
    by_path = {photo.path: photo for photo in source.photos}

    def decode(place: int) -> Pixels:
        path = dataset.photos[judged.rows[place]].path
        return preprocessing.from_bytes(source.read(by_path[path]), path)

    return decode


def _pixels(
    decode: Callable[[int], Pixels], places: Sequence[int]
) -> tuple[list[int], list[Pixels]]:
    """Decode some of the judged photos again; those that have gone meanwhile are left out."""

    def decode_some(some: Sequence[int]) -> list[tuple[int, Pixels]]:
        decoded = []
        for place in some:
            with contextlib.suppress(PhotoError):
                decoded.append((place, decode(place)))
        return decoded

    found = [one for some in map_chunks(decode_some, places, size=_CHUNK) for one in some]
    if not found:
        raise NoPhotos("the photos have gone while training; run it again")
    return [place for place, _ in found], [square for _, square in found]


def _measured(
    classifier: Classifier, pixels: Sequence[Pixels]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the bundle gives, opened as a user would open it: probabilities, and novelty or NaN."""

    def measure(some: Sequence[Pixels]) -> list[tuple[NDArray[np.float64], float | None]]:
        return [classifier.measure(square) for square in some]

    rows = [row for rows in map_chunks(measure, pixels, size=_CHUNK) for row in rows]
    return np.vstack([given for given, _ in rows]), np.array([far for _, far in rows], dtype=float)


def _decided(card: Card, given: NDArray[np.float64]) -> NDArray[np.int64]:
    """The answers that follow, by the bundle's temperature and threshold."""
    return answers(at_temperature(given, card.temperature), card.threshold)


def _largest(differences: NDArray[np.float64]) -> float:
    return float(np.abs(differences).max())


def _expect(what: str, found: float, most: float) -> None:
    if not found <= most:
        raise BundleError(
            f"model.onnx differs from {what} by {found:.4f}, more than {most}; nothing was "
            "written. This is a fault of pawprint: please report it"
        )
