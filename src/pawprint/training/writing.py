"""A finished training on photos to its folder, whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pawprint import bundle
from pawprint.data.corrections import APPLIED
from pawprint.data.sources import Source
from pawprint.data.split import TEST, TRAIN, VALIDATION
from pawprint.doctor.findings import counts, told
from pawprint.errors import MissingExtra, PhotoError
from pawprint.training import recipe_files
from pawprint.training.answers import Settled
from pawprint.training.clock import Clock
from pawprint.training.gradient import Material
from pawprint.training.look import Looked
from pawprint.training.origin import Origin, before
from pawprint.training.run_folder import (
    Made,
    draw_plots,
    draw_report,
    how_it_went,
    make_metrics,
    notes,
    write_bundle,
    write_json,
    write_predictions,
)
from pawprint.training.stages import Fitted, Judged
from pawprint.training.strangers import Strangers
from pawprint.training.suspects import Suspects
from pawprint.training.trial import decoder, try_bundle
from pawprint.training.views import Views

try:
    from pawprint.report import photos, plots
except ImportError as error:
    raise MissingExtra("training", error.name, "train") from None

_SAMPLED = 4  # photos a row of the grids,
_SAMPLED_CLASSES = 8  # and classes at most


@dataclass(frozen=True)
class Finished:
    """What a training leaves to be written.

    Args:
        material: the trained network and the photos.
        views: the photos as the network sees them.
        fitted: how it went.
        settled: by side, what is answered; or, where there are folds, by others in its place.
        tried: what it predicts of some photos, for the bundle to be held against.
        strangers: how unknown photos are told.
        suspects: labels that may be wrong.
        looked: the photos, and what is odd about them.
        board: the folder of its TensorBoard logs, if any.
        resumed: epochs that were finished before this process began.
    """

    material: Material
    views: Views
    fitted: Fitted
    settled: Settled
    tried: Judged
    strangers: Strangers | None
    suspects: Suspects
    looked: Looked
    board: Path | None
    resumed: int = 0


def write_run(
    folder: Path,
    source: Source,
    origin: Origin,
    finished: Finished,
    clock: Clock,
    *,
    report: bool,
) -> dict[str, Any]:
    """Write the run's folder, whole or not at all; what its `run.json` says.

    Plots and the page are for people; without `report` there are none.
    """
    settled, looked = finished.settled, finished.looked
    recipe, dataset = looked.recipe, looked.dataset
    with bundle.whole_folder(folder) as partial:
        with clock.part("bundle"):
            card, checked = _write_bundle(partial, source, finished)
        if report:
            with clock.part("plots"):
                draw_plots(partial / "plots", dataset.classes, finished.fitted, settled)
                _plot_photos(partial / "plots", finished)
        if finished.board is not None:
            shutil.copytree(finished.board, partial / finished.board.name)
        (partial / "recipe.toml").write_text(recipe_files.to_toml(recipe), "utf-8")
        dataset.write_manifest(partial)
        paths = {
            side: [dataset.photos[row].path for row in found.rows]
            for side, found in settled.judged.items()
        }
        write_predictions(partial, paths, dataset.classes, settled, finished.strangers)
        write_json(partial / "findings.json", {"findings": told(looked.findings)})
        write_json(partial / "suspects.json", finished.suspects.to_dict())
        write_json(partial / "metrics.json", make_metrics(finished.fitted, settled))
        record = _record(source, origin, finished, card)
        record |= {"bundle": checked, "seconds": clock.seconds}
        write_json(partial / "run.json", record)
        if origin.corrected:
            (partial / APPLIED).write_bytes(origin.corrected.content)
    if report:
        with clock.part("report"):
            draw_report(folder, source, finished.material.progress)
    return record


def _write_bundle(
    folder: Path, source: Source, finished: Finished
) -> tuple[bundle.Card, dict[str, Any]]:
    """Write the bundle and try it; its card, and how it compares with what was measured."""
    recipe, dataset = finished.looked.recipe, finished.looked.dataset
    strange = finished.strangers
    # In folds each score is by a novelty of its own.
    scores = strange.scores if strange and finished.looked.fold_of is None else None
    decode = decoder(source, recipe.data.preprocessing, dataset, finished.tried)
    return write_bundle(
        folder,
        Made(recipe, dataset.classes, finished.material.network, finished.settled, strange),
        {
            "source": dataset.name,
            "dataset": dataset.fingerprint,
            "photos": {side: dataset.counts(side) for side in (TRAIN, VALIDATION, TEST)},
        },
        lambda path, model: try_bundle(path, model, recipe, decode, finished.tried, scores),
    )


def _record(
    source: Source, origin: Origin, finished: Finished, card: bundle.Card
) -> dict[str, Any]:
    """What `run.json` says of the photos, of the software and of how the training went."""
    looked, limit = finished.looked, finished.material.limit
    dataset, validation = looked.dataset, finished.settled.judged[VALIDATION]
    return {
        "source": source.name,
        "from": origin.place,
        "command": origin.command,
        "recipe": looked.recipe.name,
        "classes": list(dataset.classes),
        "photos": {side: dataset.counts(side) for side in (TRAIN, VALIDATION, TEST)},
        "left_out": sum(fault.count for fault in dataset.faults),
        "findings": counts(looked.findings),
        "suspects": finished.suspects.count,
        "fingerprint": dataset.fingerprint,
        "notes": _notes(finished, origin),
        **how_it_went(card, finished.fitted, finished.settled, finished.strangers),
        "corrections": origin.corrected and origin.corrected.to_dict(),
        "before": before(origin, looked.recipe, dataset, validation),
        "resumed_after_epochs": finished.resumed,
        "time_limit": limit and {"seconds": limit.limit, "left_out": limit.left_out},
    }


def _notes(finished: Finished, origin: Origin) -> list[str]:
    """What is to be told of a run besides its figures."""
    strange = finished.strangers
    told = notes(finished.looked.left_out, finished.fitted, finished.settled)
    told += strange.notes if strange else ()
    if origin.corrected and origin.corrected.changed:
        told.append(
            "labels were corrected where a model doubted them, those of photos that judge, too: "
            "the figures may be a little too good"
        )
    return told


def _plot_photos(folder: Path, finished: Finished) -> None:
    """Some photos that were trained on, and what augmentation makes of one."""
    views, side = finished.views, finished.material.sides[TRAIN]
    shown, titles = [], []
    for number, label in enumerate(finished.looked.dataset.classes[:_SAMPLED_CLASSES]):
        for row in np.flatnonzero(side.labels == number)[:_SAMPLED]:
            with contextlib.suppress(PhotoError):  # it went away meanwhile
                shown.append(views.pixels(side.reads[row]))
                titles.append(label)
    if shown:
        grid = photos.photo_grid(shown, titles, columns=_SAMPLED, title="Photos trained on")
        plots.save(grid, folder, "samples")
    if finished.looked.recipe.augments:
        with contextlib.suppress(PhotoError):
            one = side.reads[0]
            changed = [views.augmented(one, view) for view in range(1, 2 * _SAMPLED)]
            grid = photos.photo_grid(
                [views.pixels(one), *changed],
                ["as it is", *("augmented" for _ in changed)],
                columns=_SAMPLED,
                title="One photo and what augmentation makes of it",
            )
            plots.save(grid, folder, "augmentations")
