"""What answers rest on: photos with the heat-map of their answer over them."""

from __future__ import annotations

import os
import tempfile
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pawprint import bundle
from pawprint.classifier import Classifier, Prediction, read_file
from pawprint.data.cache import written
from pawprint.data.images import Pixels, mirrored
from pawprint.data.overlay import draw_heatmap
from pawprint.data.wording import os_reason
from pawprint.errors import BundleError, MissingExtra, OutputError, PhotoError
from pawprint.parallel import map_chunks

_CHUNK = 4  # photos a thread explains
_STEM, _LABEL = 150, 60  # bytes of a name, which may have 255

Heatmap = Callable[[Pixels, str], NDArray[np.float32] | None]


class Explainer:
    """Answers with a drawing of what each answer rests on.

    The heat-map is the network's own where it has one (Zhou et al. 2016), else Grad-CAM (Selvaraju
    et al. 2017), which takes Keras.

    Args:
        classifier: whose answers.
        side: that a drawing fits into, in pixels.

    Raises:
        MissingExtra: Grad-CAM is needed, and Keras is not installed.
        BundleError: Keras cannot open the bundle's model.
    """

    def __init__(self, classifier: Classifier, *, side: int = 640) -> None:
        self._classifier, self._side = classifier, side
        size = classifier.card.preprocessing.size
        blank = np.zeros((size, size, 3), np.uint8)
        missing = classifier.heatmap(blank, classifier.classes[0]) is None
        self._heatmap: Heatmap = _grad_cam(classifier) if missing else classifier.heatmap

    def __call__(
        self, data: bytes, name: str, label: str | None = None
    ) -> tuple[Prediction, bytes]:
        """Answer for a photo, and draw what of it speaks for the answer.

        Args:
            data: the file's bytes; any thread may call.
            name: what to call the photo.
            label: another class to draw; by default the answer, or where that is no class, the most
                probable one.

        Returns:
            The answer, and a JPEG.

        Raises:
            PhotoError: the photo cannot be read.
            ValueError: there is no such class.
        """
        preprocessing = self._classifier.card.preprocessing
        pixels = preprocessing.from_bytes(data, name)
        answer = replace(self._classifier.predict(pixels), path=name)
        heat = self._heatmap(pixels, label or answer.nearest)
        assert heat is not None
        return answer, draw_heatmap(data, name, heat, preprocessing, side=self._side)


def explaining(
    classifier: Classifier, *, side: int = 320
) -> Callable[[bytes, str, str], bytes | None]:
    """What draws heat-maps for a page.

    Args:
        classifier: whose answers.
        side: that a drawing fits into, in pixels.

    Returns:
        Of a photo's bytes, its name and a class, a JPEG of what speaks for that class.

    Raises:
        MissingExtra: as `Explainer` does.
    """
    explainer = Explainer(classifier, side=side)
    return lambda data, name, label: explainer(data, name, label)[1]


def write_heatmaps(
    classifier: Classifier, photos: Iterable[str], folder: Path
) -> Iterator[tuple[Prediction, Path | None]]:
    """Answer for photos and write what each answer rests on.

    Args:
        classifier: whose answers.
        photos: paths; may be endless, only a few are taken ahead. Those below the folder are
            passed over.
        folder: for the drawings; must be new or empty.

    Returns:
        For each photo, in order, the answer and the drawing's file; None for a photo that cannot be
        read.

    Raises:
        MissingExtra: as `Explainer` does.
        OutputError: the folder holds something, or cannot be written; now, or once it is full.
    """
    explain = Explainer(classifier)
    _make_empty(folder)
    below = os.path.join(os.path.abspath(folder), "")
    others = (photo for photo in photos if not os.path.abspath(photo).startswith(below))
    chunks = map_chunks(partial(_explain_all, explain), others, size=_CHUNK)
    return _write_all((row for chunk in chunks for row in chunk), folder)


def _explain_all(explain: Explainer, paths: Sequence[str]) -> list[tuple[Prediction, bytes | None]]:
    rows: list[tuple[Prediction, bytes | None]] = []
    for path in paths:
        try:
            rows.append(explain(read_file(path), path))
        except PhotoError as error:
            rows.append((Prediction(path, None, None, {}, error=error.reason), None))
    return rows


def _write_all(
    rows: Iterable[tuple[Prediction, bytes | None]], folder: Path
) -> Iterator[tuple[Prediction, Path | None]]:
    names = _Names()
    for answer, jpeg in rows:
        if jpeg is None:
            yield answer, None
            continue
        path = folder / f"{names.free(answer)}.jpg"
        with written(path) as file:
            file.write(jpeg)
        yield answer, path


def _make_empty(folder: Path) -> None:
    """Make sure of a folder with nothing in it that can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        taken = any(folder.iterdir())
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({os_reason(error)}); name a new folder for the heat-maps "
            "in a place that you may write to"
        ) from None
    if taken:
        raise OutputError(
            f"{folder} is not empty, and nothing in it is replaced; name a new folder for the "
            "heat-maps, or empty this one first"
        )


class _Names:
    """Names of files: of the photo and its label, and a number where there is one already.

    >>> names, cat = _Names(), Prediction("a/IMG 1.png", "cat", 0.9, {})
    >>> names.free(cat), names.free(replace(cat, path="b/img 1.jpg", label="Cat"))
    ('IMG 1-cat', 'img 1-Cat-2')
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}  # number given to a name, as a file system may fold it

    def free(self, answer: Prediction) -> str:
        """A name that is not taken, without the file's ending."""
        label = _cut(_safe(answer.label or ""), _LABEL)
        wanted = f"{_cut(_safe(Path(answer.path).stem).lstrip('.'), _STEM)}-{label}"
        number = self._last.get(_folded(wanted), 0) + 1
        while _folded(name := wanted if number == 1 else f"{wanted}-{number}") in self._last:
            number += 1
        self._last[_folded(wanted)] = number
        self._last.setdefault(_folded(name), 1)
        return name


def _safe(name: str) -> str:
    """Replace what cannot be seen, or what some systems do not take in a file's name."""
    return "".join(c if c.isprintable() and c not in '\\/:*?"<>|' else "_" for c in name)


def _cut(name: str, most: int) -> str:
    return name.encode()[:most].decode(errors="ignore")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _grad_cam(classifier: Classifier) -> Heatmap:
    """Heat-maps by Keras, one thread at a time, which is all that it is made for."""
    from pawprint.model.framework import load_keras
    from pawprint.model.grad_cam import GradCam

    try:
        keras = load_keras()
    except MissingExtra:
        need = "a heat-map for a head that does not average over places (Grad-CAM)"
        raise MissingExtra(need, "Keras", "train") from None
    classifier.read_again()
    path = classifier.path / bundle.KERAS
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises nearly anything on what another version wrote
        raise BundleError(
            f"{path} cannot be opened by Keras {keras.__version__} ({error}); use the version "
            f"that wrote it, {classifier.card.versions.get('keras', 'which is not known')}"
        ) from None
    maps, one_at_a_time = GradCam(model), threading.Lock()

    def heatmap(pixels: Pixels, label: str) -> NDArray[np.float32]:
        number = classifier.classes.index(label)
        with one_at_a_time:
            heat = maps(pixels, number)
            if classifier.card.mirror:
                heat = (heat + maps(mirrored(pixels), number)[:, ::-1]) / np.float32(2)
        return np.asarray(heat)

    return heatmap
