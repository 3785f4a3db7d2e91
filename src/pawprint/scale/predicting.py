"""What a job of predictions computes: a bundle's answers."""

from __future__ import annotations

import os

from pawprint import bundle
from pawprint.data.wording import os_reason
from pawprint.errors import BundleError
from pawprint.parts.places import Place
from pawprint.parts.schema import PREDICTIONS
from pawprint.scale.work import MODEL


class Predictions:
    """A bundle's answers and embeddings, as `job.Computes`.

    Args:
        model: a bundle, or a run.

    Raises:
        BundleError: there is none, or it was changed.
    """

    labelled = False

    def __init__(self, model: str | os.PathLike[str]) -> None:
        self._folder = bundle.find(model)
        self._card, _ = bundle.read(self._folder)
        self.facts = {
            "what": PREDICTIONS,
            "model": self._card.seal,
            "classes": list(self._card.classes),
        }

    def write(self, plan: Place) -> None:
        """Copy the bundle, so that every node has it, and the same for as long as the job lasts."""
        for name in (*self._card.files, bundle.CARD):
            try:
                content = (self._folder / name).read_bytes()
            except OSError as error:
                raise BundleError(
                    f"{self._folder / name} cannot be read ({os_reason(error)})"
                ) from error
            (plan / MODEL / name).write(content)
