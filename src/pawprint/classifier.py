"""A loaded bundle: photos in, answers out. Needs the engine, Pillow and NumPy; never Keras."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pawprint import bundle, starter
from pawprint.data.images import Pixels, mirrored
from pawprint.engine import Network
from pawprint.errors import BundleError, PhotoError
from pawprint.parallel import map_chunks

_Answer = TypeVar("_Answer")
_Named = tuple[str, Callable[[], Pixels]]  # a photo's name, and what decodes it
Photo = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]

UNKNOWN = "unknown"  # the label of a photo of no class
# Of a probability that has a logit: below it float32 knows none, where 1 - p is computed.
SMALLEST = 1e-7
_CHUNK = 16  # photos a thread decodes, then answers: few, so that the last one is not left alone


@dataclass(frozen=True)
class Prediction:
    """The answer for one photo.

    Args:
        path: the photo's path, or what stands for it.
        label: the class; `unknown` for a photo that is too unlike those trained on; None when it
            could not be read.
        probability: of that class; None where there is none.
        probabilities: of every class, by name, also for an unknown photo.
        novelty: how unlike the photos trained on; None where the model cannot tell.
        error: why there is no answer, or None.
    """

    path: str
    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    novelty: float | None = None
    error: str | None = None

    @property
    def unknown(self) -> bool:
        """Whether it was refused as too unlike the photos trained on."""
        return self.error is None and self.probability is None

    @property
    def nearest(self) -> str:
        """The class of a photo that was read: its label, or of an unknown one the likeliest."""
        given = self.probabilities
        return self.label if self.label in given else max(given, key=given.__getitem__)


class Classifier:
    """A trained classifier.

    Args:
        folder: a bundle, or a run with a bundle in `model/`; by default the starter, which comes
            with pawprint and tells cats from dogs.
        streams: how many photos to compute at once, each on one core; by default one a core.
        embeds: compute embeddings, too, for `embed_reads`.

    Raises:
        BundleError: there is none, or any byte of it was changed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] = starter.BUNDLE,
        *,
        streams: int | None = None,
        embeds: bool = False,
    ) -> None:
        self.path = bundle.find(folder)
        self.card, onnx = bundle.read(self.path)
        # Compiled beside what follows: the first photos are decoded meanwhile.
        pool = ThreadPoolExecutor(1)
        outputs = ["probabilities", *(["novelty"] if self.card.unknown else [])]
        more = ["embedding"] if embeds else []
        self._network = pool.submit(Network, onnx, outputs, more=more, streams=streams)
        pool.shutdown(wait=False)
        self._streams = streams
        self._heatmap_network: Network | None = None
        self._one_compiles = threading.Lock()

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
        return self.answer(self._pixels(photos), _name(photos))

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

        named = ((name, partial(self._read, name, read)) for name, read in reads)
        for predictions in map_chunks(self._work, named, size=_CHUNK, workers=workers):
            yield from predictions

    def embed_reads(
        self, reads: Iterable[tuple[str, Callable[[], bytes]]], *, workers: int | None = None
    ) -> Iterator[tuple[Prediction, NDArray[np.float16] | None]]:
        """As `predict_reads`, with embeddings: what the answering layer sees of each photo.

        The classifier was made with `embeds`.

        Returns:
            With each Prediction the embedding, float16, shape (features,); None where the photo
            cannot be read, or an imported network has none.
        """

        has_any = self.embedding_size > 0

        def answer(pixels: Pixels, name: str) -> tuple[Prediction, NDArray[np.float16] | None]:
            given, novelty, last = self._found(pixels)
            embedding = last.astype(np.float16) if has_any else None
            return self._answer(given, novelty, name), embedding

        def work(photos: Sequence[_Named]) -> list[tuple[Prediction, NDArray[np.float16] | None]]:
            return _all(photos, answer, lambda error, name: (_unanswered(error, name), None))

        named = ((name, partial(self._read, name, read)) for name, read in reads)
        for answers in map_chunks(work, named, size=_CHUNK, workers=workers):
            yield from answers

    @property
    def embedding_size(self) -> int:
        """How many numbers an embedding has; 0 where the network gives none, or was not asked."""
        network = self._network.result()
        return network.shape(-1)[0] if network.names[-1] == "embedding" else 0

    def answer(self, pixels: Pixels, name: str) -> Prediction:
        """Answer for a photo that is preprocessed already; any thread may call.

        Args:
            pixels: uint8, shape (size, size, 3).
            name: what the answer calls the photo.
        """
        return self._answer(*self.measure(pixels), name)

    def _answer(self, plain: NDArray[np.float64], novelty: float | None, name: str) -> Prediction:
        """What the network's probabilities and novelty say of a photo."""
        given = at_temperature(plain, self.card.temperature)
        over = given[1] >= self.card.threshold if len(given) == 2 else given.argmax()
        best = int(over)
        by_class = {label: float(p) for label, p in zip(self.classes, given, strict=True)}
        unknown = self.card.unknown
        if unknown is not None and novelty is not None and novelty > unknown.threshold:
            return Prediction(name, UNKNOWN, None, by_class, novelty)
        return Prediction(name, self.classes[best], float(given[best]), by_class, novelty)

    def probabilities(self, pixels: Pixels) -> NDArray[np.float64]:
        """Probabilities of a photo that is preprocessed already.

        Args:
            pixels: uint8, shape (size, size, 3).

        Returns:
            float64, shape (classes,).
        """
        return at_temperature(self.measure(pixels)[0], self.card.temperature)

    def measure(self, pixels: Pixels) -> tuple[NDArray[np.float64], float | None]:
        """What the network itself makes of a photo.

        Args:
            pixels: as of `probabilities`.

        Returns:
            Its probabilities before the temperature, float64, shape (classes,), and its novelty,
            where the network has it.
        """
        given, novelty, _ = self._found(pixels)
        return given, novelty

    def _found(self, pixels: Pixels) -> tuple[NDArray[np.float64], float | None, NDArray[Any]]:
        """As `measure`, and the last of the network's outputs."""
        network = self._network.result()
        found = network(pixels)
        given, last = found[0].astype(np.float64), found[-1].copy()
        novelty = float(found[1][0]) if self.card.unknown else None
        if self.card.mirror:
            given = (given + network(mirrored(pixels))[0]) / 2
        return given, novelty, last

    def heatmap(self, pixels: Pixels, label: str) -> NDArray[np.float32] | None:
        """How much each place of a photo speaks for a class (Zhou et al. 2016).

        The places' mean and the class's bias are its logit at temperature 1. Where answers are
        averaged with the mirror image, so are the maps.

        Args:
            pixels: preprocessed, uint8, shape (size, size, 3).
            label: the class.

        Returns:
            float32, shape (h, w), negative where a place speaks against the class; None where the
            network has no such map, as its head does not average over places.

        Raises:
            BundleError: the bundle was changed since it was opened.
            ValueError: there is no such class.
        """
        number = self.classes.index(label)
        network = self._heatmaps
        if network is None:
            return None
        heat = network(pixels)[0][number].copy()
        if self.card.mirror:
            heat = (heat + network(mirrored(pixels))[0][number][:, ::-1]) / np.float32(2)
        return np.asarray(heat)

    @property
    def has_heatmaps(self) -> bool:
        """Whether `heatmap` gives any: whether the network's head averages over places."""
        return "heatmap" in self._network.result().offers

    @property
    def _heatmaps(self) -> Network | None:
        """The network once more, for its heat-maps alone: most who predict ask for none."""
        if not self.has_heatmaps:
            return None
        with self._one_compiles:
            if self._heatmap_network is None:
                onnx = self.read_again()
                self._heatmap_network = Network(onnx, ["heatmap"], streams=self._streams)
            return self._heatmap_network

    def read_again(self) -> bytes:
        """Check the bundle once more.

        Returns:
            The ONNX network's bytes.

        Raises:
            BundleError: the bundle was changed since it was opened.
        """
        card, onnx = bundle.read(self.path)
        if card.seal != self.card.seal:
            raise BundleError(f"{self.path} was replaced after it was opened; load it again")
        return onnx

    def _work(self, photos: Sequence[_Named]) -> list[Prediction]:
        return _all(photos, self.answer, _unanswered)

    def _read(self, name: str, read: Callable[[], bytes]) -> Pixels:
        return self.card.preprocessing.from_bytes(read(), name)

    def _pixels(self, photo: Photo) -> Pixels:
        preprocessing, name = self.card.preprocessing, _name(photo)
        if isinstance(photo, bytes):
            return preprocessing.from_bytes(photo, name)
        if isinstance(photo, Image.Image):
            return preprocessing.from_image(photo, name)
        if isinstance(photo, np.ndarray):
            return preprocessing.from_array(photo, name)
        return preprocessing.from_bytes(read_file(photo), name)


def _all(
    photos: Sequence[_Named],
    answer: Callable[[Pixels, str], _Answer],
    unanswered: Callable[[PhotoError, str], _Answer],
) -> list[_Answer]:
    """Decode all, then answer all: a core is quicker when it stays at one kind of work."""
    decoded: list[tuple[str, Pixels | PhotoError]] = []
    for name, pixels in photos:
        try:
            decoded.append((name, pixels()))
        except PhotoError as error:
            decoded.append((name, error))
    return [
        unanswered(found, name) if isinstance(found, PhotoError) else answer(found, name)
        for name, found in decoded
    ]


def _unanswered(error: PhotoError, name: str) -> Prediction:
    return Prediction(name, None, None, {}, error=error.reason)


def at_temperature(probabilities: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """Divide the logits of probabilities by a temperature (Guo et al. 2017).

    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On calibration of modern neural networks",
    International Conference on Machine Learning (2017), 1321-1330.

    >>> at_temperature(np.array([0.9, 0.1]), 2.0).round(3).tolist()
    [0.75, 0.25]

    Args:
        probabilities: (..., k) float, not all 0.
        temperature: above 0; above 1 for less certainty.

    Returns:
        (..., k) float64, each row summing to 1.

    Raises:
        ValueError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"expected a temperature above 0, got {temperature}")
    given = np.asarray(probabilities, dtype=np.float64)
    if temperature != 1.0:
        given = np.clip(given, SMALLEST, 1.0)
        # By the largest first: it stays 1, however small the temperature.
        given = (given / given.max(axis=-1, keepdims=True)) ** (1.0 / temperature)
    return np.asarray(given / given.sum(axis=-1, keepdims=True))


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
