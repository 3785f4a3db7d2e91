"""A loaded bundle: photos in, answers out. Needs the engine, Pillow and NumPy; never Keras."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pawprint import bundle
from pawprint.data.images import Pixels, mirrored
from pawprint.engine import Network
from pawprint.errors import PhotoError
from pawprint.parallel import map_chunks

Photo = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]

_CHUNK = 16  # photos a thread decodes, then answers: few, so that the last one is not left alone


@dataclass(frozen=True)
class Prediction:
    """The answer for one photo.

    Args:
        path: the photo's path, or what stands for it.
        label: the class; None when the photo could not be read.
        probability: of that class.
        probabilities: of every class, by name.
        error: why there is no answer, or None.
    """

    path: str
    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    error: str | None = None


class Classifier:
    """A trained classifier.

    Args:
        folder: a bundle, or a run with a bundle in `model/`.
        streams: how many photos to compute at once; by default one a core.

    Raises:
        BundleError: there is none, or any byte of it was changed.
    """

    def __init__(self, folder: str | os.PathLike[str], *, streams: int | None = None) -> None:
        self.path = bundle.find(folder)
        self.card, onnx = bundle.read(self.path)
        # Compiled beside what follows: the first photos are decoded meanwhile.
        pool = ThreadPoolExecutor(1)
        self._network = pool.submit(Network, onnx, ["probabilities"], streams=streams)
        pool.shutdown(wait=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the probabilities."""
        return self.card.classes

    @overload
    def predict(self, photos: list[Photo] | tuple[Photo, ...]) -> list[Prediction]: ...

    @overload
    def predict(self, photos: Photo) -> Prediction: ...

    def predict(
        self, photos: Photo | list[Photo] | tuple[Photo, ...]
    ) -> Prediction | list[Prediction]:
        """Classify one photo or a list of them.

        Args:
            photos: a path, a file's bytes, a Pillow image, an array of pixels (uint8, RGB, shape
                (height, width, 3) or grey (height, width)), or a list of any of these.

        Returns:
            A Prediction, or a list of them in the same order. In a list, a photo that cannot be
            read has its reason in `error` and the others are answered.

        Raises:
            PhotoError: a single photo cannot be read.
        """
        if isinstance(photos, list | tuple):
            return list(self.predict_many(photos))
        return self._answer(self._pixels(photos), _name(photos))

    def predict_many(
        self, photos: Iterable[Photo], *, workers: int | None = None
    ) -> Iterator[Prediction]:
        """Classify any number of photos, in order, decoding and computing on every core.

        Args:
            photos: as for `predict`; may be endless, only a few are taken ahead.
            workers: threads; by default one more than cores.

        Returns:
            A Prediction for each photo; one that cannot be read has its reason in `error`.
        """
        named = ((_name(photo), partial(self._pixels, photo)) for photo in photos)
        for predictions in map_chunks(self._work, named, size=_CHUNK, workers=workers):
            yield from predictions

    def predict_reads(
        self, reads: Iterable[tuple[str, Callable[[], bytes]]], *, workers: int | None = None
    ) -> Iterator[Prediction]:
        """Like `predict_many`, for photos that are not files: names, and what reads their bytes."""

        def pixels(name: str, read: Callable[[], bytes]) -> Pixels:
            return self.card.preprocessing.from_bytes(read(), name)

        named = ((name, partial(pixels, name, read)) for name, read in reads)
        for predictions in map_chunks(self._work, named, size=_CHUNK, workers=workers):
            yield from predictions

    def probabilities(self, pixels: Pixels) -> NDArray[np.float64]:
        """Probabilities of a photo that is preprocessed already.

        Args:
            pixels: uint8, shape (size, size, 3).

        Returns:
            float64, shape (classes,).
        """
        network = self._network.result()
        given = network(pixels)[0].astype(np.float64)
        if self.card.mirror:
            given = (given + network(mirrored(pixels))[0]) / 2
        if self.card.temperature != 1.0:
            given = np.clip(given, 1e-12, 1.0) ** (1.0 / self.card.temperature)
        return np.asarray(given / given.sum())

    def _work(self, photos: Sequence[tuple[str, Callable[[], Pixels]]]) -> list[Prediction]:
        """Decode all, then answer all: a core is quicker when it stays at one kind of work."""
        decoded: list[tuple[str, Pixels | PhotoError]] = []
        for name, pixels in photos:
            try:
                decoded.append((name, pixels()))
            except PhotoError as error:
                decoded.append((name, error))
        return [
            Prediction(name, None, None, {}, found.reason)
            if isinstance(found, PhotoError)
            else self._answer(found, name)
            for name, found in decoded
        ]

    def _answer(self, pixels: Pixels, name: str) -> Prediction:
        given = self.probabilities(pixels)
        over = given[1] >= self.card.threshold if len(given) == 2 else given.argmax()
        best = int(over)
        by_class = {label: float(p) for label, p in zip(self.classes, given, strict=True)}
        return Prediction(name, self.classes[best], float(given[best]), by_class)

    def _pixels(self, photo: Photo) -> Pixels:
        preprocessing, name = self.card.preprocessing, _name(photo)
        if isinstance(photo, bytes):
            return preprocessing.from_bytes(photo, name)
        if isinstance(photo, Image.Image):
            return preprocessing.from_image(photo, name)
        if isinstance(photo, np.ndarray):
            return preprocessing.from_array(photo, name)
        return preprocessing.from_bytes(read_file(photo), name)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """A file's bytes.

    Raises:
        PhotoError: it is missing, a folder, or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except IsADirectoryError:
        what = "a folder without photos, or one that cannot be read"
        raise PhotoError(os.fspath(path), f"it is {what}") from None
    except OSError as error:
        raise PhotoError(os.fspath(path), f"it cannot be read ({error.strerror})") from None
    except ValueError:  # a NUL, as in the output of find -print0
        raise PhotoError(os.fspath(path), "it cannot be read (no name of a file)") from None


def _name(photo: Any) -> str:
    if isinstance(photo, str | os.PathLike):
        return os.fspath(photo)
    return {bytes: "<bytes>", np.ndarray: "<array>"}.get(type(photo), "<image>")
