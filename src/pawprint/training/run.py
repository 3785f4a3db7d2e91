"""The whole story of a training, top-down: photos in, a run with its bundle out."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pawprint import bundle
from pawprint.classifier import UNKNOWN, Classifier
from pawprint.data import exclusions
from pawprint.data.cache import cache_folder
from pawprint.data.reading import Fault
from pawprint.data.sources import Source, open_source
from pawprint.data.split import TEST, TRAIN, VALIDATION
from pawprint.doctor.findings import Finding
from pawprint.errors import RecipeError
from pawprint.evaluation import decision
from pawprint.evaluation.metrics import Figures
from pawprint.model import network
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.progress import SILENT, Progress
from pawprint.training import (
    checkpoint,
    folds,
    recipe_changes,
    recipe_files,
    stages,
    strangers,
    suspects,
)
from pawprint.training.answers import settle
from pawprint.training.checkpoint import Checkpoints, Kept
from pawprint.training.clock import Clock
from pawprint.training.gradient import Material, Reporter
from pawprint.training.look import Looked, look
from pawprint.training.needs import load_backbone
from pawprint.training.origin import Corrected, Origin, command
from pawprint.training.recipe import Recipe
from pawprint.training.rollback import Outcome
from pawprint.training.stages import Fitted, Judged
from pawprint.training.tensorboard import Board, load_writer
from pawprint.training.time_limit import TimeLimit
from pawprint.training.views import Views
from pawprint.training.writing import Finished, write_run


@dataclass(frozen=True)
class Run:
    """A finished training.

    Args:
        path: its folder.
        figures: on the validation photos.
        test_figures: on the test photos, where the source has some or the recipe sets some aside.
        record: what `run.json` says: counts, seconds, versions, notes.
        faults: files that were left out, each with its reason.
        history: a row an epoch: stage, epoch, loss, accuracy, val_loss, val_accuracy, rate,
            seconds.
        outcomes: what became of each stage after the first: how it compares with what stood
            before it, and whether it was undone.
        findings: what is odd about the photos, as `pawprint.check` tells it.
    """

    path: Path
    figures: Figures
    test_figures: Figures | None
    record: dict[str, Any]
    faults: tuple[Fault, ...]
    history: list[dict[str, float]]
    outcomes: tuple[Outcome, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def model(self) -> Path:
        """The bundle's folder."""
        return self.path / "model"

    def classifier(self) -> Classifier:
        """The trained classifier, loaded from the bundle."""
        return Classifier(self.model)


def train(
    source: str | os.PathLike[str],
    *,
    recipe: str | os.PathLike[str] = "quick",
    changes: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    validation: float | None = None,
    group_by: str | None = None,
    exclude: str | os.PathLike[str] | None = None,
    corrections: str | os.PathLike[str] | None = None,
    strict: bool = False,
    offline: bool = False,
    cache: bool = True,
    resume: bool = False,
    tensorboard: bool = False,
    time_limit: float | None = None,
    report: bool = True,
    progress: Progress = SILENT,
) -> Run:
    """Train a classifier on a folder or an archive of photos.

    >>> import tempfile
    >>> from pawprint.testing import drawn_photos, write_tiny_recipe
    >>> with tempfile.TemporaryDirectory() as place:
    ...     photos = drawn_photos(Path(place, "photos"), 40)
    ...     tiny = write_tiny_recipe(Path(place, "tiny.toml"))
    ...     run = train(photos, recipe=tiny, out=Path(place, "run"), cache=False)
    ...     answer = run.classifier().predict(photos / "cat" / "cat_0001.jpg")
    >>> run.figures.count, sorted(answer.probabilities)
    (8, ['cat', 'dog'])

    Args:
        source: a folder of class folders, one with `train/` and `validation/` of class folders, a
            zip or tar archive of either or its https address, a `.csv` or `.jsonl` of path and
            label, the name of a public dataset such as `cats_vs_dogs`, or `tfds:NAME`.
        recipe: the name of a recipe, or a TOML file.
        changes: values in place of the recipe's, such as `{"stage.1.epochs": 5}`.
        out: the run's folder; by default `runs/<source>-<time>`.
        backbone: the network to start from, such as `ResNet50V2`, `MobileNetV2-0.35` or `starter`,
            which needs no download, brings its weights and sets `data.size` to 136; by default
            the recipe's.
        weights: `imagenet`, `random`, or a file with the backbone's weights; by default as the
            recipe says.
        seed: of the split and everything else drawn at random; by default the recipe's.
        validation: the part of each class to hold out; by default the recipe's. Where it is given,
            here or in `changes`, photos are held out however few there are.
        group_by: keep photos that belong together on one side: `folder` for those in one folder
            below their class's, or a table's column; by default as the recipe says.
        exclude: a list of photos to leave out, as `pawprint check --quarantine` writes it.
        corrections: labels to change and photos to leave out, as `pawprint review` writes them.
            Where the file lies in a run's folder, the new run is compared with that one.
        strict: make a photo that cannot be read an error.
        offline: never download weights or photos.
        cache: keep features in the user's cache folder, and use those that are there.
        resume: go on where the same training was interrupted, after its last finished epoch. With
            no `out`, the newest unfinished run of this source in `runs/`.
        tensorboard: also log every epoch for TensorBoard, in the run's folder.
        time_limit: seconds within which the run is to be there: stages, epochs and, where even
            their features would take longer, photos are left out, and told in `run.json`.
        report: draw `plots/` and `report.html`. Without, the run is there some seconds earlier,
            and `pawprint report` draws the page when it is wanted.
        progress: where to show how it goes.

    Returns:
        The run. Its folder holds `model/` (the bundle), `report.html`, `metrics.json`,
        `predictions.csv`, `manifest.csv`, `left_out.csv`, `findings.json`, `suspects.json`,
        `recipe.toml`, `run.json` and `plots/`.
        While stages of several epochs train, `<run>.unfinished/` beside it holds what `resume`
        goes on from.

    Raises:
        SourceError: the photos cannot be used.
        RecipeError: the recipe has faults.
        WeightsError: pretrained weights are not to be had.
        OutputError: the run's folder exists or cannot be written.
        MissingExtra: a package that is needed is not installed.
    """
    clock = Clock()
    limit = TimeLimit(time_limit, clock.start) if time_limit else None
    changed = recipe_changes.said(
        changes,
        backbone=backbone,
        weights=weights,
        seed=seed,
        validation=validation,
        group_by=group_by,
    )
    chosen = recipe_files.validate(recipe, changed)
    if time_limit and resume:
        raise RecipeError("a training with a time limit cannot be resumed: leave one of them out")
    if tensorboard:
        load_writer()  # know now, not after the photos were looked at
    group_by = chosen.data.group_by
    with open_source(source, group_by=group_by, offline=offline, progress=progress) as opened:
        decision.parse(chosen.decision, opened.classes)
        tell_oddities(chosen, opened.classes, progress)
        if exclude is not None:
            exclusions.leave_out(opened, Path(exclude), progress)
        corrected = corrections and Corrected.apply(opened, Path(corrections), progress)
        folder = _folder(out, opened.name, chosen if resume else None)
        bundle.check_writable(folder)
        if resume:
            checkpoint.expect_recipe(folder, chosen)
        else:
            checkpoint.expect_free(folder)
        origin = Origin(
            os.fspath(source),
            command(source, recipe, changed, exclude, corrections, time_limit),
            corrected or None,
        )
        asked = _Asked(
            chosen, clock, limit, strict, offline, cache, resume, tensorboard, report, progress
        )
        return _run(opened, folder, origin, asked)


def tell_oddities(recipe: Recipe, classes: Collection[str], progress: Progress) -> None:
    """Say what of a recipe does nothing, and where its answers may be misread."""
    if recipe.augment and not recipe.augments:
        progress.say('[[augment]] does nothing here: no stage has views = "fresh" or above 1')
    if UNKNOWN in classes and recipe.refuse:
        progress.say(
            f'a class is called "{UNKNOWN}", as photos of no class are: rename it, or set '
            "refuse = 0"
        )


@dataclass(frozen=True)
class _Asked:
    """What a training is asked for, besides its photos."""

    recipe: Recipe
    clock: Clock
    limit: TimeLimit | None
    strict: bool
    offline: bool
    cache: bool
    resume: bool
    tensorboard: bool
    report: bool
    progress: Progress


def _run(source: Source, folder: Path, origin: Origin, asked: _Asked) -> Run:
    """From an open source to a finished run."""
    recipe, clock, progress = asked.recipe, asked.clock, asked.progress
    root = cache_folder() if asked.cache else None
    views = Views(source, recipe, root, progress)
    built = _network(asked)
    looked = look(
        source,
        recipe,
        views,
        built,
        clock,
        strict=asked.strict,
        limit=asked.limit,
        root=root,
        progress=progress,
    )
    dataset, plain = looked.dataset, suspects.plain_features(views, built, looked)
    checkpoints = Checkpoints(folder, recipe, built.digest, dataset)
    kept = checkpoints.begin(asked.resume, progress)
    material = _material(looked, views, built, checkpoints, asked)
    before = tuple(kept.progressed.history) if kept else ()
    board = Board(checkpoints.folder if asked.tensorboard else None, before)
    with board, clock.part("training"):
        fitted, in_folds = _fit(material, looked, kept, board.log)
    with clock.part("evaluation"):
        judged, tried = _judge(looked, fitted, in_folds)
        strange = strangers.fit(fitted.stands, material, recipe.refuse, looked.fold_of)
        settled = settle(judged, recipe, dataset.classes)
    with clock.part("suspects"):
        suspect = suspects.find(looked, plain, fitted, material.network, judged)
    with progress.step("Writing the run", None):
        finished = Finished(
            material,
            views,
            fitted,
            settled,
            tried,
            strange,
            suspect,
            looked,
            board.folder,
            len(before),
        )
        record = write_run(folder, source, origin, finished, clock, report=asked.report)
    checkpoints.remove()
    sides, faults = settled.judged, dataset.faults
    test = sides[TEST].figures if TEST in sides else None
    found, history = sides[VALIDATION].figures, fitted.history
    outcomes = fitted.outcomes
    return Run(folder, found, test, record, faults, history, outcomes, looked.findings)


def _network(asked: _Asked) -> Backbone:
    """The pretrained network, loaded."""
    with asked.clock.part("loading the network"), asked.progress.step("Loading the network", None):
        load_keras().utils.set_random_seed(asked.recipe.data.seed)
        built = load_backbone(asked.recipe, asked.offline)
    if asked.limit:
        asked.limit.loaded()
    return built


def _material(
    looked: Looked, views: Views, built: Backbone, checkpoints: Checkpoints, asked: _Asked
) -> Material:
    """What the stages work with."""
    recipe, classes = asked.recipe, len(looked.dataset.classes)
    return Material(
        network=network.build(built, recipe.head, classes),
        views=views,
        sides=looked.sides,
        classes=classes,
        seed=recipe.data.seed,
        # Few photos are soon trained on again.
        checkpoints=checkpoints if looked.fold_of is None else None,
        progress=asked.progress,
        mirror=recipe.mirror,
        limit=asked.limit,
    )


def _fit(
    material: Material, looked: Looked, kept: Kept | None, report: Reporter
) -> tuple[Fitted, Judged | None]:
    """Train; where there are folds, also how the networks of these did."""
    if looked.fold_of is None:
        return stages.fit(looked.recipe.stage, material, kept, report=report), None
    made = folds.fit(looked.recipe.stage, material, looked.dataset, looked.fold_of, report=report)
    return made.fitted, made.judged


def _judge(
    looked: Looked, fitted: Fitted, in_folds: Judged | None
) -> tuple[dict[str, Judged], Judged]:
    """By side, how the network does; and how this very network does, for its bundle's trial.

    Where there are folds, the figures are of their networks.
    """
    judged = {
        side: stages.judge(looked.dataset, side, photos, fitted)
        for side, photos in looked.sides.items()
        if side != TRAIN or in_folds
    }
    tried = judged.pop(TRAIN) if in_folds else judged[VALIDATION]
    return {VALIDATION: in_folds or tried, **judged}, tried


def _folder(out: str | os.PathLike[str] | None, name: str, resumed: Recipe | None) -> Path:
    """The run's folder, as said, or found among the unfinished ones, or named by the time."""
    if out is not None:
        return Path(out)
    runs, prefix = Path("runs"), f"{name[:50]}-"
    found = checkpoint.newest(runs, prefix, resumed) if resumed else None
    return found or runs / f"{prefix}{time.strftime('%Y%m%d-%H%M%S')}"
