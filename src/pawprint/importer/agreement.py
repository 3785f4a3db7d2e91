"""Whether an imported bundle answers as the network that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.classifier import Classifier
from pawprint.data.faces import KINDS, draw
from pawprint.data.images import Pixels, Preprocessing
from pawprint.data.sources import Source, SourcePhoto, open_source
from pawprint.errors import BundleError, PhotoError, SourceError
from pawprint.evaluation.intervals import wilson_interval
from pawprint.evaluation.predictions import answers
from pawprint.importer.handed_back import Handed
from pawprint.importer.network import PROBE
from pawprint.parallel import map_chunks
from pawprint.progress import Progress

TOLERANCE = 1e-3  # in a probability
_DRAWN, _NOISY = 12, 12
_PHOTOS = 200
_MOST_BYTES = 2**28  # of pixels in memory
_CHUNK = 16


@dataclass(frozen=True)
class Tried:
    """Photos that both are asked about.

    Args:
        pixels: each uint8, shape (size, size, 3); drawn ones and noise first.
        photos: how many of them, the last ones, are the user's.
        labels: of these.
        classes: that these labels are of.
        source: what the user calls them.
    """

    pixels: list[Pixels]
    photos: int = 0
    labels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Agreement:
    """How an imported bundle answers, beside the original; on the same pixels.

    Args:
        drawn: how many drawn photos and noise they were asked about,
        photos: and how many of the user's.
        labels_differing: for how many they answer otherwise.
        largest_difference: in a probability.
        keras_difference: the same of the bundle's Keras model, on some of them.
        right: how many of the user's photos are answered as labelled; None where the labels are
            not the classes.
        accuracy: of these,
        accuracy_interval: and its 95 % interval.
        notes: what else is to be told.
    """

    drawn: int
    photos: int
    labels_differing: int
    largest_difference: float
    keras_difference: float
    right: int | None
    accuracy: float | None
    accuracy_interval: tuple[float, float] | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"notes": list(self.notes)}


def photos_to_try(preprocessing: Preprocessing, verify: Any, progress: Progress) -> Tried:
    """Get pixels to ask about: drawn photos, noise, and photos of the user.

    Args:
        preprocessing: how photos become pixels.
        verify: where the user's photos are, as of `open_source`; None for none.
        progress: where to show how it goes.

    Raises:
        SourceError: there are none, or none can be read.
    """
    pixels = [
        preprocessing.from_image(draw(KINDS[number % len(KINDS)], number))
        for number in range(_DRAWN)
    ]
    pixels += _noise(preprocessing.size)
    if verify is None:
        return Tried(pixels)
    most = max(1, min(_PHOTOS, _MOST_BYTES // pixels[0].nbytes))
    with open_source(verify, progress=progress) as source:
        step = max(1, -(-len(source.photos) // most))
        chosen = source.photos[::step]
        found = _decoded(source, chosen, preprocessing, progress)
        if not found:
            raise SourceError(f"{source.name}: none of {len(chosen)} photos can be read")
        labels, more = zip(*found, strict=True)
        return Tried([*pixels, *more], len(more), labels, source.classes, source.name)


def _noise(size: int) -> list[Pixels]:
    """Black, white, and noise of all scales: what a network may meet, and seldom learns from."""
    random = np.random.default_rng(0)
    found = [np.full((size, size, 3), value, np.uint8) for value in (0, 255)]
    for number in range(_NOISY - len(found)):
        cells = min(size, 2 ** (1 + number))
        side = -(-size // cells)
        coarse = random.integers(0, 256, (cells, cells, 3), np.uint8)
        found.append(
            np.ascontiguousarray(coarse.repeat(side, axis=0).repeat(side, axis=1)[:size, :size])
        )
    return found


def _decoded(
    source: Source,
    photos: Sequence[SourcePhoto],
    preprocessing: Preprocessing,
    progress: Progress,
) -> list[tuple[str, Pixels]]:
    def decode(some: Sequence[SourcePhoto]) -> list[tuple[str, Pixels] | None]:
        return [one(photo) for photo in some]

    def one(photo: SourcePhoto) -> tuple[str, Pixels] | None:
        try:
            return photo.label, preprocessing.from_bytes(source.read(photo), photo.path)
        except PhotoError:
            return None

    found: list[tuple[str, Pixels]] = []
    with progress.step("Reading photos", len(photos)) as advance:
        for rows in map_chunks(decode, photos, size=_CHUNK):
            found += [row for row in rows if row is not None]
            advance(len(rows))
    return found


def write_probe(place: Path, tried: Tried) -> None:
    """Write the pixels for the process that has the original."""
    np.save(place / PROBE, np.stack(tried.pixels))


def compare(folder: Path, handed: Handed, tried: Tried) -> Agreement:
    """Hold a bundle, opened as users will, against what the original gave.

    Args:
        folder: the bundle.
        handed: what the original gave.
        tried: the photos.

    Returns:
        How they agree.

    Raises:
        BundleError: they do not.
    """
    classifier = Classifier(folder)
    chunks = map_chunks(partial(_answered, classifier), tried.pixels, size=_CHUNK)
    given = np.vstack([row for rows in chunks for row in rows])
    differs = answers(given) != answers(handed.given)
    # Where the original has two classes alike, either answer is its own.
    first, second = np.sort(handed.given, axis=1)[:, -2:].T[::-1]
    differing = int((differs & (first - second > 2 * TOLERANCE)).sum())
    largest = float(np.abs(given - handed.given).max())
    in_keras = len(handed.keras_given)
    keras = float(np.abs(handed.keras_given - handed.given[:in_keras]).max())
    for what, found in (("model.onnx", largest), ("model.keras", keras)):
        if not found <= TOLERANCE:
            raise BundleError(
                f"{what} differs from the original network by {found:.4f} in a probability, more "
                f"than {TOLERANCE}; nothing was written. This is a fault of pawprint: please "
                "report it"
            )
    if differing:
        raise BundleError(
            f"the bundle answers otherwise than the original network for {differing} of "
            f"{len(given)} photos; nothing was written. This is a fault of pawprint: please report "
            "it"
        )
    right, accuracy, interval, notes = _judged(classifier, answers(given), tried)
    if np.ptp(handed.given, axis=0).max() < TOLERANCE:
        notes += (
            "the network answers nearly the same for every photo tried, so that agreement says "
            "little: is the scaling as stated?",
        )
    return Agreement(
        len(tried.pixels) - tried.photos,
        tried.photos,
        differing,
        largest,
        keras,
        right,
        accuracy,
        interval,
        notes,
    )


def _answered(classifier: Classifier, some: Sequence[Pixels]) -> list[NDArray[np.float64]]:
    return [classifier.measure(pixels)[0] for pixels in some]


def _judged(
    classifier: Classifier, answered: NDArray[np.int64], tried: Tried
) -> tuple[int | None, float | None, tuple[float, float] | None, tuple[str, ...]]:
    """How many of the user's photos are answered rightly, where their labels tell."""
    if not tried.photos:
        return None, None, None, ()
    unknown = sorted(set(tried.classes) - set(classifier.classes))
    if unknown:
        return (
            None,
            None,
            None,
            (
                f"the accuracy on {tried.source} is not known: {', '.join(unknown[:5])} among its "
                "labels are none of the classes",
            ),
        )
    names = [classifier.classes[number] for number in answered[-tried.photos :]]
    right = sum(name == label for name, label in zip(names, tried.labels, strict=True))
    low, high = wilson_interval(right, tried.photos)
    notes: tuple[str, ...] = ()
    if low <= 1 / len(classifier.classes):
        notes = (
            f"{right} of {tried.photos} right is not clearly better than guessing: see whether "
            "--scaling, --policy and the order of --classes are as the network was trained with",
        )
    return right, right / tried.photos, (low, high), notes
