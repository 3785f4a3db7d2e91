"""One head on each of several backbones: how right each is, and what it costs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pawprint.errors import WeightsError
from pawprint.model import applications
from pawprint.model.measure import forward_ms
from pawprint.progress import SILENT, Progress
from pawprint.training.run import Run, train


@dataclass(frozen=True)
class Compared:
    """A backbone with a logistic head on it.

    Args:
        backbone: its name, with its width.
        error: why there are no figures: its weights are not to be had.
        photos: that judged it; the same for all backbones.
        accuracy: the part of them that it was right on,
        low: with the interval that it lies in,
        high: up to here.
        features_ms: for a photo, decoding included, on all cores; compiling the network, too.
        training_s: of the head.
        forward_ms: for a photo: float32, one photo a call, on one core.
        file_bytes: of the classifier as float32 ONNX.
    """

    backbone: str
    error: str | None = None
    photos: int = 0
    accuracy: float = 0.0
    low: float = 0.0
    high: float = 0.0
    features_ms: float = 0.0
    training_s: float = 0.0
    forward_ms: float = 0.0
    file_bytes: int = 0


def compare(
    source: str | os.PathLike[str],
    spelled: Sequence[str],
    *,
    changes: Mapping[str, Any] | None = None,
    weights: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    offline: bool = False,
    progress: Progress = SILENT,
) -> Iterator[Compared]:
    """Train the recipe `quick` on each of several backbones, on the same split.

    Args:
        source: as of `train`.
        spelled: the backbones' names, with a width or without.
        changes: values in place of the recipe's, as of `train`.
        weights: as of `train`; `random` needs none.
        out: a folder for the runs, each under its backbone's name; by default they are not kept.
        offline: never download weights or photos.
        progress: where to show how it goes.

    Returns:
        A row for each, as it is done. Features are computed anew, so that their times compare.

    Raises:
        RecipeError: there is no such backbone; before any is trained.
        PawprintError: as of `train`, but for weights that are not to be had.
    """
    names = [applications.spell(*applications.parse(each)) for each in dict.fromkeys(spelled)]

    def rows() -> Iterator[Compared]:
        with tempfile.TemporaryDirectory(prefix="pawprint-") as folder:
            for number, name in enumerate(names, 1):
                progress.log(f"{name} ({number} of {len(names)})")
                try:
                    run = train(
                        source,
                        changes=changes,
                        backbone=name,
                        weights=weights,
                        out=Path(out or folder, name),
                        offline=offline,
                        cache=False,
                        progress=progress,
                    )
                except WeightsError as error:
                    yield Compared(name, str(error))
                else:
                    yield _compared(name, run)

    return rows()


def _compared(name: str, run: Run) -> Compared:
    low, high = run.figures.accuracy_interval
    seconds = run.record["seconds"]
    photos = sum(sum(side.values()) for side in run.record["photos"].values())
    onnx = (run.model / "model.onnx").read_bytes()
    return Compared(
        name,
        None,
        run.figures.count,
        run.figures.accuracy,
        low,
        high,
        seconds["features"] / photos * 1000,
        seconds["training"],
        forward_ms(onnx, "probabilities"),
        len(onnx),
    )
