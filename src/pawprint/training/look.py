"""Every photo looked at once: its content, its side or fold, its first features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawprint.data import dataset as datasets
from pawprint.data.dataset import Dataset, Fault, Read
from pawprint.data.sources import Source
from pawprint.data.split import TEST, TRAIN, VALIDATION, assign_folds
from pawprint.errors import SourceError
from pawprint.model.backbones import Backbone
from pawprint.model.prefix import NoPrefix
from pawprint.progress import Progress
from pawprint.training import folds
from pawprint.training.batches import Side
from pawprint.training.needs import Wanted, first_parts
from pawprint.training.pace import keep_within
from pawprint.training.recipe import Recipe
from pawprint.training.time_limit import TimeLimit
from pawprint.training.views import Views
from pawprint.training.writing import Clock


@dataclass(frozen=True)
class Looked:
    """The photos as a training needs them.

    Args:
        recipe: the one that was asked for, without what is not for so many photos or so much time.
        left_out: what the number of photos left out, in sentences.
        dataset: the photos as a table.
        sides: and by side.
        fold_of: int, shape (n,), the fold of each that trains, where none are held out.
    """

    recipe: Recipe
    left_out: tuple[str, ...]
    dataset: Dataset
    sides: dict[str, Side]
    fold_of: NDArray[np.int64] | None


def look(
    source: Source,
    recipe: Recipe,
    views: Views,
    backbone: Backbone,
    clock: Clock,
    *,
    strict: bool,
    limit: TimeLimit | None,
    progress: Progress,
) -> Looked:
    """Look at every photo once.

    Args:
        source: the photos.
        recipe: what is to be made of them.
        views: compute their features.
        backbone: the network.
        clock: is told how long it took.
        strict: make a photo that cannot be read an error.
        limit: the time that the training may take, if any.
        progress: where to show how it goes.

    Returns:
        What was found, and what of the recipe is for so many photos and so much time.

    Raises:
        SourceError: the photos cannot be used.
    """
    with clock.part("reading"):
        reads, faults = datasets.read_all(source, progress=progress)
    with clock.part("features"):
        recipe, left_out = recipe.for_photos(len(reads))
        unseen: list[Fault] = []
        if limit:
            found = len(reads)
            recipe, reads = keep_within(limit, recipe, reads, views, backbone, progress)
            if len(reads) < found:
                why = f"not looked at, to keep the time limit of {limit.limit:g} s"
                unseen.append(Fault(source.name, why, found - len(reads)))
        wanted = first_parts(recipe, backbone)
        while True:
            if strict and faults:
                raise SourceError(
                    f"{len(faults)} photo(s) cannot be read and --strict is set; the first is "
                    f"{faults[0].path}: {faults[0].reason}"
                )
            views.exact_only = folds.wanted(recipe.data, reads)
            sided, copies, fold_of = _divide(source, recipe, reads, held_out=not views.exact_only)
            sizes, undecoded = _embed(sided, views, backbone, wanted)
            if not undecoded:
                break
            # Split again without them, so that proportions hold for photos that can be read.
            gone = {fault.path for fault in undecoded}
            reads = [read for read in reads if read.photo.path not in gone]
            faults += undecoded
    skipped = [Fault(skip.path, skip.reason, skip.count) for skip in source.skipped]
    dataset = datasets.build(source.name, sided, sizes, [*faults, *copies, *skipped, *unseen])
    return Looked(recipe, tuple(left_out), dataset, _sides(dataset, sided), fold_of)


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
    source: Source, recipe: Recipe, reads: list[Read], *, held_out: bool
) -> tuple[list[Read], list[Fault], NDArray[np.int64] | None]:
    """The photos on their sides, the copies taken out, and the folds where none are held out."""
    data = recipe.data
    sided, copies = datasets.assign_sides(
        source.name,
        reads,
        fraction=data.validation,
        test=data.test,
        seed=data.seed,
        hold_out=held_out,
    )
    if held_out:
        return sided, copies, None
    trains = [read for read in sided if read.photo.split == TRAIN]
    labels, hashes = [read.photo.label for read in trains], [read.sha256 for read in trains]
    fold_of = assign_folds(labels, hashes, folds=data.folds, seed=data.seed)
    return sided, copies, np.array(fold_of)


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
