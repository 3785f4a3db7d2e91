"""Photos to rows: what `pawprint predict --json` says, and the heat-map where it is asked for."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint import bundle
from pawprint.classifier import Classifier, Prediction, at_temperature
from pawprint.data.images import Pixels
from pawprint.data.overlay import draw_heatmap
from pawprint.errors import PhotoError, TooManyPixels
from pawprint.pages import data_uri
from pawprint.serve.metrics import Metrics
from pawprint.serve.pool import Unwanted, Wanted
from pawprint.serve.settings import Settings

Row = dict[str, Any]

_DRAWING_SIDE = 480  # pixels
_MANY_AT_ONCE = 16_000_000  # pixels of a photo; one may take 25 bytes for each


class Answers:
    """What is asked of the network, one photo a call; any thread may call.

    Args:
        settings: with the model and the cap of pixels.
        metrics: what is told of the answers.

    Raises:
        BundleError: there is no such bundle, or it was changed.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.classifier = Classifier(bundle.find(settings.model), streams=settings.streams)
        self._max_pixels, self._metrics = settings.pixels, metrics
        self._large = threading.Lock()  # of photos so large that one at a time is enough memory

    @property
    def card(self) -> bundle.Card:
        """What the bundle says of itself."""
        return self.classifier.card

    def warm(self) -> None:
        """Wait until the network is compiled and has answered once."""
        size = self.card.preprocessing.size
        self.classifier.measure(np.zeros((size, size, 3), np.uint8))

    def warm_heatmaps(self) -> None:
        """Have the network for heat-maps ready, from the bundle as it is now."""
        size = self.card.preprocessing.size
        self.classifier.heatmap(np.zeros((size, size, 3), np.uint8), self.card.classes[0])

    def row(self, data: bytes, name: str, wanted: Wanted, *, heatmap: bool) -> Row:
        """Answer for a photo.

        Args:
            data: the file's bytes.
            name: what to call it.
            wanted: whether anyone waits for it still; asked again before the network is.
            heatmap: add `heatmap`, the address of a JPEG that shows what the answer rests on; None
                where the photo cannot be read or the network has no such map.

        Returns:
            The fields of a `Prediction`.

        Raises:
            Unwanted: nobody waits for it.
        """
        try:
            return self._row(data, name, wanted, heatmap, min(_MANY_AT_ONCE, self._max_pixels))
        except TooManyPixels:
            with self._large:
                return self._row(data, name, wanted, heatmap, self._max_pixels)

    def _row(self, data: bytes, name: str, wanted: Wanted, heatmap: bool, most: int) -> Row:
        if not wanted():
            raise Unwanted
        preprocessing = self.card.preprocessing
        try:
            pixels = preprocessing.from_bytes(data, name, max_pixels=most)
        except PhotoError as error:
            if isinstance(error, TooManyPixels) and most < self._max_pixels:
                raise
            self._metrics.photos.labels("unreadable").inc()
            row = vars(Prediction(name, None, None, {}, error=error.reason))
            return {**row, "heatmap": None} if heatmap else {**row}
        if not wanted():
            raise Unwanted
        answer = self.classifier.answer(pixels, name)
        self._metrics.photos.labels("unknown" if answer.unknown else "answered").inc()
        row = {**vars(answer)}
        if heatmap:
            row["heatmap"] = self._drawing(data, pixels, answer)
        return row

    def _drawing(self, data: bytes, pixels: Pixels, answer: Prediction) -> str | None:
        """What of a photo speaks for its answer, or for the most probable class."""
        heat = self.classifier.heatmap(pixels, answer.nearest)
        if heat is None:
            return None
        preprocessing = self.card.preprocessing
        return data_uri.jpeg(
            draw_heatmap(data, answer.path, heat, preprocessing, side=_DRAWING_SIDE)
        )

    def outputs(self, pixels: Pixels, wanted: Wanted) -> tuple[NDArray[np.float64], float | None]:
        """What the network makes of a photo that is preprocessed already.

        Args:
            pixels: uint8, shape (size, size, 3).
            wanted: whether anyone waits for it still.

        Returns:
            Probabilities, shape (classes,), and the novelty where the network has it.

        Raises:
            Unwanted: nobody waits for it.
        """
        if not wanted():
            raise Unwanted
        given, novelty = self.classifier.measure(pixels)
        return at_temperature(given, self.card.temperature), novelty
