"""The whole story of a training on features in parts, top-down: `pawprint train --features`.

The stages are those of `run.py`; what differs is where features come from, and that nothing is kept
of a photo but its label, its side and where its features are. So any number of photos will do.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pawprint import bundle
from pawprint.data.cache import cache_folder
from pawprint.data.images import Pixels
from pawprint.data.split import TEST, TRAIN, VALIDATION
from pawprint.data.wording import os_reason
from pawprint.errors import OutputError, PawprintError, PhotoError, RecipeError, SourceError
from pawprint.evaluation import decision
from pawprint.model import network
from pawprint.model.framework import load_keras
from pawprint.parts.features import FeatureParts
from pawprint.parts.inputs import opener
from pawprint.parts.places import Place, place
from pawprint.progress import SILENT, Progress
from pawprint.training import gathered as rows
from pawprint.training import recipe_changes, recipe_files, stages, strangers
from pawprint.training.answers import Settled, settle
from pawprint.training.clock import Clock
from pawprint.training.gathered import Gathered
from pawprint.training.gradient import Material
from pawprint.training.needs import load_backbone
from pawprint.training.origin import command_on_features
from pawprint.training.part_views import PartViews
from pawprint.training.recipe import Recipe
from pawprint.training.run import Run, tell_oddities
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
from pawprint.training.to_features import RECIPE, expect_computable
from pawprint.training.trial import NoPhotos, try_bundle

_REPORTED = 200_000  # photos: a page reads all rows of its run into memory


@dataclass(frozen=True)
class _Trained:
    """What a training leaves to be written."""

    parts: FeatureParts
    command: str
    gathered: Gathered
    recipe: Recipe
    left_out: list[str]
    material: Material
    fitted: Fitted
    judged: dict[str, Judged]
    settled: Settled
    strange: Strangers | None
    progress: Progress


def train_on_features(
    features: str | os.PathLike[str],
    *,
    recipe: str | os.PathLike[str] | None = None,
    changes: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    validation: float | None = None,
    offline: bool = False,
    report: bool = True,
    progress: Progress = SILENT,
) -> Run:
    """Train a classifier on features that `pawprint embed` computed.

    Copies of the same bytes are kept on one side of the split; near copies are not looked for. An
    interrupted training begins anew.

    Args:
        features: the folder, or its address.
        recipe: the name of a recipe, or a TOML file; by default the one that was embedded with.
        changes: values in place of the recipe's.
        out: the run's folder; by default `runs/<features>-<time>`.
        backbone: as of `run.train`; the one that was embedded with.
        weights: as of `run.train`; those that were embedded with.
        seed: of the split and everything else drawn at random; by default the recipe's.
        validation: the part of each class to hold out; by default the recipe's.
        offline: never download weights.
        report: draw `plots/` and `report.html`; of more than 200,000 photos none are drawn.
        progress: where to show how it goes.

    Returns:
        The run. Its folder holds what `run.train` writes, but for findings, suspects and plots of
        photos, which need the photos.

    Raises:
        SourceError: the features cannot be used.
        RecipeError: the recipe has faults, or needs other features.
        WeightsError: pretrained weights are not to be had.
        OutputError: the run's folder exists or cannot be written.
    """
    clock = Clock()
    changed = recipe_changes.said(
        changes, backbone=backbone, weights=weights, seed=seed, validation=validation
    )
    with clock.part("reading"), progress.step("Reading labels", None):
        parts = FeatureParts(place(features))
        chosen = _recipe(parts, recipe, changed)
        gathered = rows.gather(parts, chosen)
    named = f"{_name(parts.folder.place)[:50]}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path("runs", named) if out is None else Path(out)
    bundle.check_writable(folder)
    tell_oddities(chosen, gathered.classes, progress)
    lacking = _lacking(parts, gathered)
    for note in lacking:
        progress.say(note)
    photos = sum(len(side.rows) for side in gathered.sides.values())
    chosen, left_out = chosen.for_photos(photos)
    decision.parse(chosen.decision, gathered.classes)
    with clock.part("loading the network"):
        views = PartViews(parts, _scratch(), progress)
        material = _material(views, gathered, chosen, offline, progress)
    command = command_on_features(str(parts.folder.place), recipe, changed)
    with closing(views):
        trained = _train(parts, command, gathered, chosen, [*left_out, *lacking], material, clock)
    drawn = report and photos <= _REPORTED
    with progress.step("Writing the run", None):
        record = _write(folder, trained, clock, plots=drawn)
    if drawn:
        draw_report(folder, None, progress)
    sides, fitted = trained.settled.judged, trained.fitted
    test = sides[TEST].figures if TEST in sides else None
    found = sides[VALIDATION].figures
    return Run(folder, found, test, record, (), fitted.history, fitted.outcomes)


def _lacking(parts: FeatureParts, gathered: Gathered) -> list[str]:
    """What is to be told of photos without features."""
    if not gathered.errors:
        return []
    try:
        manifest = parts.folder.manifest() or {}
    except OSError:
        manifest = {}
    told = f"{gathered.errors:,} photos could not be read when they were embedded"
    if unreachable := manifest.get("unreachable"):
        told += (
            f", {unreachable:,} of them because their store failed: the same pawprint embed "
            "command tries those again"
        )
    return [told]


def _train(
    parts: FeatureParts,
    command: str,
    gathered: Gathered,
    recipe: Recipe,
    left_out: list[str],
    material: Material,
    clock: Clock,
) -> _Trained:
    """Train stage after stage, and judge."""
    with clock.part("training"):
        fitted = stages.fit(recipe.stage, material)
    with clock.part("evaluation"):
        judged = {
            of: Judged(range(len(side.rows)), side.labels.astype(np.int64), fitted.predict(of))
            for of, side in gathered.sides.items()
            if of != TRAIN
        }
        strange = strangers.fit(fitted.stands, material, recipe.refuse, None)
        settled = settle(judged, recipe, gathered.classes)
    return _Trained(
        parts,
        command,
        gathered,
        recipe,
        left_out,
        material,
        fitted,
        judged,
        settled,
        strange,
        material.progress,
    )


def _recipe(
    parts: FeatureParts,
    recipe: str | os.PathLike[str] | None,
    changes: Mapping[str, Any] | None,
) -> Recipe:
    """The recipe, which must be one for these features."""
    if recipe is None:
        copy = parts.folder.plan / RECIPE
        try:
            text = copy.read().decode("utf-8-sig", "replace")
        except OSError as error:
            raise SourceError(
                f"{copy} cannot be read ({os_reason(error)}); name the recipe with --recipe"
            ) from error
        chosen = recipe_files.validate_text(text, str(copy), changes)
    else:
        chosen = recipe_files.validate(recipe, changes)
    expect_computable(chosen)
    made, wanted = parts.job["computes"]["preprocessing"], chosen.data.preprocessing.model_dump()
    if made != wanted:
        raise RecipeError(
            f"{parts.folder.place} was made from photos of {made['size']} px ({made['policy']}), "
            f"and the recipe {chosen.name} wants {wanted['size']} px ({wanted['policy']}); leave "
            "--recipe out, or embed the photos anew"
        )
    if chosen.data.test:
        raise RecipeError(
            "data.test is not for --features; give the photos of a test a split of their own"
        )
    if chosen.data.group_by:
        raise RecipeError(
            "data.group_by is not for --features, which knows no groups; give the photos splits "
            "that keep them together"
        )
    return chosen


def _material(
    views: PartViews, gathered: Gathered, recipe: Recipe, offline: bool, progress: Progress
) -> Material:
    """What the stages work with."""
    with progress.step("Loading the network", None):
        load_keras().utils.set_random_seed(recipe.data.seed)
        built = load_backbone(recipe, offline)
    classes = len(gathered.classes)
    return Material(
        network=network.build(built, recipe.head, classes),
        views=views,
        sides=gathered.sides,
        classes=classes,
        seed=recipe.data.seed,
        checkpoints=None,
        progress=progress,
        mirror=recipe.mirror,
    )


def _scratch() -> Path:
    """A folder for features that are read many times."""
    scratch = cache_folder()
    try:
        scratch.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{scratch} cannot be made ({os_reason(error)}); name another in PAWPRINT_CACHE"
        ) from error
    return scratch


def _write(folder: Path, trained: _Trained, clock: Clock, *, plots: bool) -> dict[str, Any]:
    """Write the run's folder, whole or not at all; what its `run.json` says."""
    gathered, settled, fitted = trained.gathered, trained.settled, trained.fitted
    with bundle.whole_folder(folder) as partial:
        with clock.part("bundle"):
            card, checked = _write_bundle(partial, trained)
        if plots:
            with clock.part("plots"):
                draw_plots(partial / "plots", gathered.classes, fitted, settled)
        (partial / "recipe.toml").write_text(recipe_files.to_toml(trained.recipe), "utf-8")
        rows.write_manifest(trained.parts, gathered, partial)
        paths = {side: rows.paths_of(trained.parts, of) for side, of in gathered.sides.items()}
        write_predictions(partial, paths, gathered.classes, settled, trained.strange)
        write_json(partial / "findings.json", {"findings": []})
        write_json(partial / "suspects.json", Suspects("nothing", 0, 0, 0, ()).to_dict())
        write_json(partial / "metrics.json", make_metrics(fitted, settled))
        record = _record(trained, card) | {"bundle": checked, "seconds": clock.seconds}
        write_json(partial / "run.json", record)
    return record


def _write_bundle(folder: Path, trained: _Trained) -> tuple[bundle.Card, dict[str, Any]]:
    """Write the bundle and try it; its card, and how it compares with what was measured."""
    gathered, recipe, strange = trained.gathered, trained.recipe, trained.strange
    source, judged = trained.parts.job["source"], trained.judged[VALIDATION]
    scores = strange.scores if strange else None

    def trying(path: Path, model: Any) -> dict[str, Any]:
        try:
            return try_bundle(path, model, recipe, _decoder(trained), judged, scores)
        except NoPhotos:
            trained.progress.say(
                f"the photos are not at {source} any more, as they were: the model was not tried "
                "on any; try it with pawprint predict"
            )
            return {"photos": 0, "labels_differing": 0}

    made = Made(recipe, gathered.classes, trained.material.network, trained.settled, strange)
    about = {
        "source": _name(place(source)),
        "dataset": gathered.fingerprint,
        "photos": {side: gathered.counts(side) for side in (TRAIN, VALIDATION, TEST)},
    }
    return write_bundle(folder, made, about, trying)


def _decoder(trained: _Trained) -> Any:
    """What decodes a photo that judges, by its place, where photos can be reached."""
    preprocessing = trained.recipe.data.preprocessing
    try:
        find = opener(place(trained.parts.job["source"]), listed=trained.parts.job["listed"])
    except (PawprintError, OSError):
        find = None
    side = trained.gathered.sides[VALIDATION]

    def decode(number: int) -> Pixels:
        path = rows.path_of(trained.parts, int(side.rows[number]))
        if find is None:
            raise PhotoError(path, "it is not to be reached")
        try:
            data = find(path).read()
        except (OSError, ValueError, SourceError) as error:
            raise PhotoError(path, str(error)) from None
        if int.from_bytes(hashlib.sha256(data).digest()[:8]) != side.content[number]:
            raise PhotoError(path, "it is another than was embedded")
        return preprocessing.from_bytes(data, path)

    return decode


def _name(of: Place) -> str:
    """What features or photos are called, wherever they lie."""
    return os.path.basename(str(of).rstrip("/")) or "features"


def _record(trained: _Trained, card: bundle.Card) -> dict[str, Any]:
    """What `run.json` says, with the keys that a run on photos has."""
    parts, gathered, fitted = trained.parts, trained.gathered, trained.fitted
    told = notes(trained.left_out, fitted, trained.settled)
    told.append("of copies only those of the same bytes are kept on one side, not near ones")
    if trained.recipe.data.folds:
        told.append("photos are held out, however few: features in parts are not judged in folds")
    if parts.job["computes"]["precision"] != "float32":
        told.append("figures are of bfloat16 features; the model computes in float32")
    return {
        "source": _name(parts.folder.place),
        "from": parts.job["source"],
        "command": trained.command,
        "recipe": trained.recipe.name,
        "classes": list(gathered.classes),
        "photos": {side: gathered.counts(side) for side in (TRAIN, VALIDATION, TEST)},
        "left_out": gathered.left_out,
        "findings": {},
        "suspects": 0,
        "fingerprint": gathered.fingerprint,
        "notes": told,
        **how_it_went(card, fitted, trained.settled, trained.strange),
        "corrections": None,
        "before": None,
        "resumed_after_epochs": 0,
        "time_limit": None,
    }
