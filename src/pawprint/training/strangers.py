"""What the bundle needs to say "unknown": the novelty of photos, its limit set on held-out ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawprint.bundle import Unknown
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.model import network, novelty
from pawprint.model.novelty import Novelty
from pawprint.training.feeds import Photos
from pawprint.training.gradient import Material, stage_part, stage_prefixes
from pawprint.training.recipe import Stage

_MOST = 2048  # photos that it is fitted on: more change little

Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class Strangers:
    """How photos are told that are unlike those trained on.

    Args:
        novelty: goes into the bundle's network.
        scores: float64, shape (n,), of the photos that judge, each by a novelty that was fitted
            without it.
        refuse: the part of such photos that may be refused.
        learned: the network has learned from the photos that judge.
    """

    novelty: Novelty
    scores: NDArray[np.float64]
    refuse: float
    learned: bool = False

    @property
    def facts(self) -> Unknown:
        """What the bundle says of it."""
        photos, refused = len(self.scores), int((self.scores > 1.0).sum())
        # Nothing smaller can be promised of so few: the limit is the highest of their scores.
        return Unknown(refuses=max(self.refuse, 1 / (photos + 1)), photos=photos, refused=refused)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be told of it."""
        if not self.learned:
            return ()
        return (
            "the limit from which a photo is unknown was set on photos that the fine-tuned network "
            "has learned from: of others like them more than stated may be refused",
        )


def fit(
    stage: Stage, material: Material, refuse: float, fold_of: NDArray[np.int64] | None
) -> Strangers | None:
    """Fit to the trained network's embeddings.

    Args:
        stage: the last one that the network was trained by.
        material: the network and the photos.
        refuse: the part of held-out photos that may be refused; 0 refuses none, ever.
        fold_of: int, shape (n,), the fold of each photo that trains, where none are held out.

    Returns:
        What came out; None where none are to be refused.
    """
    if not refuse:
        return None
    sides = material.sides
    some = _some(sides[TRAIN])
    if fold_of is None:
        found = novelty.fit(embeddings(stage, material, TRAIN, sides[TRAIN].part(some)))
        judged = _chunks(stage, material, VALIDATION, sides[VALIDATION])
        scores = np.concatenate([found.scores(some) for some in judged])
    else:
        own = embeddings(stage, material, TRAIN, sides[TRAIN])
        found, scores = novelty.fit(own[some]), np.empty(len(own))
        for fold in np.unique(fold_of):
            held = fold_of == fold
            scores[held] = novelty.fit(own[some & ~held]).scores(own[held])
    limited = found.limited(scores, refuse)
    learned = fold_of is not None and stage.train != "head"
    return Strangers(limited, scores * (found.limit / limited.limit), refuse, learned)


def _some(side: Photos) -> NDArray[np.bool_]:
    """Which photos to fit to: at most so many, chosen by what they contain."""
    picked = np.zeros(len(side.reads), dtype=bool)
    picked[side.by_content[:_MOST]] = True
    return picked


def embeddings(stage: Stage, material: Material, side: str, photos: Photos) -> Embeddings:
    """What the answering layer sees of some photos.

    Args:
        stage: the last one that the network was trained by, whose features are mostly there.
        material: the network.
        side: that the photos are on: those that judge are seen as the bundle will see them.
        photos: which.

    Returns:
        Shape (n, features).
    """
    return np.vstack(list(_chunks(stage, material, side, photos)))


def _chunks(stage: Stage, material: Material, side: str, photos: Photos) -> Iterator[Embeddings]:
    """As `embeddings`, some photos at a time."""
    views, trained = material.views, material.network
    backbone = trained.backbone
    fast, exact = stage_prefixes(stage, views, backbone, pools=trained.pools)
    prefix = fast if side == TRAIN else exact
    chunks = views.chunks(photos, prefix)
    part = stage_part(stage, backbone, pools=trained.pools)
    if part.pooled and trained.is_linear:
        yield from (some.astype(np.float32) for some in chunks)
        return
    model = network.upper_model(trained, part.cut, to_embedding=True)
    yield from (network.outputs(model, some) for some in chunks)
