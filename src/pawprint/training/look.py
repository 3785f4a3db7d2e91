"""Every photo looked at once: its content, its side or fold, its first features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pawprint.data import dataset as datasets
from pawprint.data.copies import copies_among
from pawprint.data.dataset import Dataset
from pawprint.data.reading import Fault, Read, read_all, skipped
from pawprint.data.sources import Source
from pawprint.data.split import TEST, TRAIN, VALIDATION, assign_folds
from pawprint.doctor.examine import examine
from pawprint.doctor.findings import Finding
from pawprint.errors import SourceError
from pawprint.model.backbones import Backbone
from pawprint.model.prefix import NoPrefix
from pawprint.progress import Progress
from pawprint.training import folds
from pawprint.training.batches import Side
from pawprint.training.clock import Clock
from pawprint.training.needs import Wanted, first_parts
from pawprint.training.pace import keep_within
from pawprint.training.recipe import Recipe
from pawprint.training.time_limit import TimeLimit
from pawprint.training.views import Views


@dataclass(frozen=True)
class Looked:
    """The photos as a training needs them.

    Args:
        recipe: the one that was asked for, without what is not for so many photos or so much time.
        left_out: what the number of photos left out, in sentences.
        dataset: the photos as a table.
        findings: what is odd about them.
        sides: and by side.
        fold_of: int, shape (n,), the fold of each that trains, where none are held out.
        keys: by path, what a photo shares with its copies and its group.
    """

    recipe: Recipe
    left_out: tuple[str, ...]
    dataset: Dataset
    findings: tuple[Finding, ...]
    sides: dict[str, Side]
    fold_of: NDArray[np.int64] | None
    keys: dict[str, str]


def look(
    source: Source,
    recipe: Recipe,
    views: Views,
    backbone: Backbone,
    clock: Clock,
    *,
    strict: bool,
    limit: TimeLimit | None,
    root: Path | None,
    progress: Progress,
) -> Looked:
    """Look at every photo once.

    Sides are drawn first by the photos' bytes alone, so that each is decoded, computed and glanced
    at in one pass; then near copies are known, and those that must are brought together.

    Args:
        source: the photos.
        recipe: what is to be made of them.
        views: compute their features.
        backbone: the network.
        clock: is told how long it took.
        strict: make a photo that cannot be read an error.
        limit: the time that the training may take, if any.
        root: the cache folder, if any.
        progress: where to show how it goes.

    Returns:
        What was found, and what of the recipe is for so many photos and so much time.

    Raises:
        SourceError: the photos cannot be used.
    """
    with clock.part("reading"):
        reads, faults = read_all(source, root=root, progress=progress)
    with clock.part("features"):
        recipe, left_out = recipe.for_photos(len(reads))
        found = len(reads)
        if limit:
            recipe, reads = keep_within(limit, recipe, reads, views, backbone, progress)
        unseen = _unseen(source, found - len(reads), limit)
        wanted = first_parts(recipe, backbone)
        near = recipe.data.duplicates == "near"
        copies = copies_among(source, reads, views.glances, near=near, progress=progress)
        while True:
            if strict:
                _refuse(faults)
            views.exact_only = folds.wanted(recipe.data, reads)
            in_folds = views.exact_only
            key_of = dict(zip([r.photo.path for r in reads], copies.keys(reads), strict=True))
            sided, leaks, fold_of = _divide(source, recipe, reads, key_of, in_folds=in_folds)
            sizes, undecoded = _embed(sided, views, backbone, wanted)
            undecoded += _glance_at_the_others(source, reads, undecoded, views, progress)
            if not undecoded and copies.final:
                break
            # Split again without them, so that proportions hold for photos that can be read.
            gone = {fault.path for fault in undecoded}
            reads = [read for read in reads if read.photo.path not in gone]
            faults += undecoded
            copies = copies_among(source, reads, views.glances, near=near, progress=progress)
        seen = views.glances.take([read.sha256 for read in reads])
        findings = examine(reads, seen, copies, [*faults, *skipped(source)])
    left = [*faults, *leaks, *skipped(source), *unseen]
    dataset = datasets.build(source.name, sided, sizes, left)
    sides = _sides(dataset, sided)
    return Looked(recipe, tuple(left_out), dataset, findings, sides, fold_of, key_of)


def _unseen(source: Source, count: int, limit: TimeLimit | None) -> list[Fault]:
    """What a time limit left no time to look at."""
    if limit is None or not count:
        return []
    return [
        Fault(source.name, f"not looked at, to keep the time limit of {limit.limit:g} s", count)
    ]


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise SourceError(
            f"{len(faults)} photo(s) cannot be read and --strict is set; the first is "
            f"{faults[0].path}: {faults[0].reason}"
        )


def _glance_at_the_others(
    source: Source, reads: list[Read], undecoded: list[Fault], views: Views, progress: Progress
) -> list[Fault]:
    """Look at photos that are on no side, being copies or of a group that judges."""
    gone = {fault.path for fault in undecoded}
    left = [read for read in reads if read.photo.path not in gone]
    return views.glances.bring(source, left, progress=progress)


def _sides(dataset: Dataset, sided: list[Read]) -> dict[str, Side]:
    """The photos of each side that has some, with the numbers of their classes."""
    number = {label: index for index, label in enumerate(dataset.classes)}
    sides = {}
    for side in (TRAIN, VALIDATION, TEST):
        if on_side := [read for read in sided if read.photo.split == side]:
            labels = [number[read.photo.label] for read in on_side]
            sides[side] = Side(on_side, np.array(labels, dtype=np.int64))
    return sides


def _divide(
    source: Source, recipe: Recipe, reads: list[Read], key_of: dict[str, str], *, in_folds: bool
) -> tuple[list[Read], list[Fault], NDArray[np.int64] | None]:
    """The photos on their sides, the copies taken out, and the folds where none are held out."""
    data = recipe.data
    sided, leaks = datasets.assign_sides(
        source.name,
        reads,
        [key_of[read.photo.path] for read in reads],
        fraction=data.validation,
        test=data.test,
        seed=data.seed,
        hold_out=not in_folds,
        keep_leaks=data.leaks == "keep",
    )
    if not in_folds:
        return sided, leaks, None
    trains = [read.photo for read in sided if read.photo.split == TRAIN]
    labels, own = [photo.label for photo in trains], [key_of[photo.path] for photo in trains]
    return sided, leaks, np.array(assign_folds(labels, own, folds=data.folds, seed=data.seed))


def _embed(
    reads: list[Read], views: Views, backbone: Backbone, wanted: dict[str, Wanted]
) -> tuple[dict[str, tuple[int, int]], list[Fault]]:
    """Bring every store up to date; the photos' sizes, and those that cannot be decoded."""
    sizes: dict[str, tuple[int, int]] = {}
    faults: list[Fault] = []
    for side in (TRAIN, VALIDATION, TEST):
        on_side = [read for read in reads if read.photo.split == side]
        for view, parts in wanted[side if side == TRAIN else VALIDATION].items():
            if parts:
                found, undecoded = views.bring_parts(on_side, backbone, parts, view)
            else:  # see only if they decode
                found, undecoded = views.bring(on_side, NoPrefix(), view)
            if view == 0:
                sizes |= found
                faults += undecoded
    return sizes, faults
