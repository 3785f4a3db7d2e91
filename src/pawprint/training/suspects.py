"""Labels that may be wrong: every photo judged by a model that has not seen it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.dataset import Dataset
from pawprint.data.split import TRAIN, assign_folds
from pawprint.errors import SourceError
from pawprint.evaluation.label_errors import label_errors
from pawprint.model import head
from pawprint.model.backbones import Backbone
from pawprint.model.feature_store import FeatureStore
from pawprint.model.head import Head
from pawprint.model.network import Network
from pawprint.training.batches import Side
from pawprint.training.look import Looked
from pawprint.training.stages import Fitted, Judged
from pawprint.training.views import Views

_FOLDS = 5
_MOST = 1000  # that are told


@dataclass(frozen=True)
class Suspects:
    """Photos whose labels may be wrong.

    Args:
        judged_by: what by, in words.
        photos: how many were judged.
        count: how many are suspect.
        expected: about how many labels are wrong.
        rows: plain values for each, the most suspect first; at most 1,000.
    """

    judged_by: str
    photos: int
    count: int
    expected: int
    rows: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """What `suspects.json` says."""
        return {
            "judged_by": self.judged_by,
            "photos": self.photos,
            "count": self.count,
            "expected": self.expected,
            "suspects": list(self.rows),
        }


def plain_features(views: Views, backbone: Backbone, looked: Looked) -> dict[str, FeatureStore]:
    """By side, where the pretrained network's features of all its photos lie; or nothing.

    To be asked before stages change the network's weights.

    Args:
        views: the photos' features.
        backbone: the network.
        looked: the photos.
    """
    recipe = looked.recipe
    if looked.fold_of is not None or not recipe.linear_head or recipe.backbone.weights == "random":
        return {}
    stores = {
        side: views.store(views.prefix(backbone, backbone.last, pooled=True, exact=side != TRAIN))
        for side in looked.sides
    }
    there = [stores[side].holds(_hashes(photos)).all() for side, photos in looked.sides.items()]
    return stores if all(there) else {}


def find(
    looked: Looked,
    stores: dict[str, FeatureStore],
    fitted: Fitted,
    network: Network,
    judged: dict[str, Judged],
) -> Suspects:
    """Find labels that may be wrong.

    Args:
        looked: the photos.
        stores: as of `plain_features`.
        fitted: how the training went.
        network: as it was trained.
        judged: by side, what networks answered that have not seen the photos.

    Returns:
        The suspects: among all photos where there are folds or plain features, else among those
        that judge.
    """
    dataset = looked.dataset
    rows = np.array([row for side in stores for row in dataset.rows(side)], dtype=np.int64)
    fold_of = _folds(looked, rows)
    if fold_of is None:
        return _among_judged(dataset, judged)
    labels = np.concatenate([looked.sides[side].labels for side in stores])
    features = np.vstack(
        [stores[side].take(_hashes(looked.sides[side])) for side in stores],
    )
    given = head.out_of_fold(
        features,
        labels,
        fold_of,
        strength=next((row["strength"] for row in fitted.choice if row["chosen"]), head.DEFAULT),
        start=Head(*network.top.get_weights()),
    )
    name, folds = looked.recipe.backbone.name, int(fold_of.max()) + 1
    who = f"logistic regression on {name}'s features, in {folds} folds"
    return _told(dataset, rows, labels, given, who)


def _folds(looked: Looked, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The fold that each of these photos is judged in; None where a class cannot be parted."""
    photos = [looked.dataset.photos[row] for row in rows]
    if not photos:
        return None
    labels, keys = [p.label for p in photos], [looked.keys[p.path] for p in photos]
    try:
        return np.array(assign_folds(labels, keys, folds=_FOLDS, seed=looked.recipe.data.seed))
    except SourceError:
        return None


def _among_judged(dataset: Dataset, judged: dict[str, Judged]) -> Suspects:
    rows = np.concatenate([found.rows for found in judged.values()])
    labels = np.concatenate([found.truth for found in judged.values()])
    given = np.vstack([found.probabilities for found in judged.values()])
    folds = max(found.folds for found in judged.values())
    who = f"the networks of {folds} folds" if folds else "the network, on photos held out"
    return _told(dataset, rows, labels, given, who)


def _told(
    dataset: Dataset,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    given: NDArray[np.float64],
    judged_by: str,
) -> Suspects:
    found = label_errors(labels, given)
    told = []
    for place, suggested in zip(found.rows[:_MOST], found.suggested[:_MOST], strict=True):
        photo = dataset.photos[rows[place]]
        told.append(
            {
                "path": photo.path,
                "sha256": photo.sha256,
                "split": photo.split,
                "given": photo.label,
                "suggested": dataset.classes[suggested],
                "given_probability": round(float(given[place, labels[place]]), 6),
                "suggested_probability": round(float(given[place, suggested]), 6),
            }
        )
    return Suspects(judged_by, len(labels), len(found.rows), found.expected, tuple(told))


def _hashes(photos: Side) -> list[str]:
    return [read.sha256 for read in photos.reads]
