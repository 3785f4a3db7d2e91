"""A training that ends in time: what of a recipe fits, reckoned from what this machine shows.

The network's loading, the features of the first photos and a few steps of training are measured;
what would not fit is left out before it is begun, and told.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pawprint.data.reading import Read
from pawprint.errors import RecipeError
from pawprint.training.recipe import GradientStage, LogisticStage, Recipe, Stage

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_LEAST = 10.0  # seconds: the network alone takes some to load

# What measurement on two machines found, with room: seconds of what comes after the last stage for
# each second until the network was there, and of logistic regression for each second of features.
_END = 1.6
_HEAD = 0.15
_FEWEST = 20  # photos
_ROOM = 1.15  # steps go on slower than the first ones that are measured


def seconds(text: str) -> float:
    """Read a duration as it is typed.

    >>> seconds("90s"), seconds("5m"), seconds("1h30m"), seconds("45")
    (90.0, 300.0, 5400.0, 45.0)

    Args:
        text: numbers with `h`, `m` or `s` after them, largest first; a number alone is seconds.

    Raises:
        RecipeError: it is none, or under 10 seconds.
    """
    text = text.strip().lower()
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text)
    if not text or parts is None:
        raise RecipeError(f"{text!r} is no duration; expected one such as 60s, 5m or 1h30m")
    hours, minutes, rest = (float(part or 0) for part in parts.groups())
    found = hours * _UNITS["h"] + minutes * _UNITS["m"] + rest
    if found < _LEAST:
        raise RecipeError(f"a time limit of {found:g} s is too short; give {_LEAST:g} s or more")
    return found


@dataclass
class TimeLimit:
    """How long a training may take, and what was left out to keep it.

    Args:
        limit: seconds, from `start` to the finished run.
        start: of the training, as `time.perf_counter` tells it.
        reserve: seconds that are needed after the last stage.
        left_out: what was, in sentences.
    """

    limit: float
    start: float = field(default_factory=time.perf_counter)
    reserve: float = 0.0
    left_out: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds for features and stages from now on."""
        return self.limit - self.reserve - (time.perf_counter() - self.start)

    def loaded(self) -> None:
        """Take note that the network is there: writing the run takes about as long as that did."""
        self.reserve = 1.0 + _END * (time.perf_counter() - self.start)


@dataclass(frozen=True)
class Costs:
    """What this machine takes, in seconds.

    Args:
        photo: the features of a photo in one view.
        trains: the part of the photos that train.
        judged: views that are answered, for each photo: 0.4 where a fifth validate, in two views.
        begin: the start of a gradient stage, before its first step.
        step: by a gradient stage's cut and batch size, a photo's part of a training step.
        fits: how often a stage is trained: once, or for each fold and once more.
    """

    photo: float
    trains: float
    judged: float
    begin: float
    step: Callable[[GradientStage], float]
    fits: int = 1


def fitting(
    recipe: Recipe, photos: int, left: float, costs: Costs, shallower: Sequence[str]
) -> tuple[Recipe, int, list[str]]:
    """The most of a recipe that fits: all; fewer epochs; fewer layers; fewer stages; fewer photos.

    Args:
        recipe: as it was asked for.
        photos: how many there are.
        left: seconds for features and stages.
        costs: what this machine takes.
        shallower: other values of a last stage's `train`, each training fewer layers.

    Returns:
        The recipe, how many photos to use, and what was left out, in sentences.
    """
    for stages, told in _choices(recipe.stage, shallower):
        if _seconds(stages, photos, costs) <= left:
            return recipe.model_copy(update={"stage": stages}), photos, told
    used, least = photos, min(photos, _FEWEST)
    while used > least and _seconds(stages, used, costs) > left:
        used = max(least, int(used * 0.95))
    if used < photos:
        told.append(f"{photos - used:,} of {photos:,} photos, drawn at random, were not looked at")
    return recipe.model_copy(update={"stage": stages}), used, told


def _choices(
    stages: tuple[Stage, ...], shallower: Sequence[str]
) -> Iterator[tuple[tuple[Stage, ...], list[str]]]:
    """A recipe's stages, then less and less of them, with what is missing."""
    yield stages, []
    for count in range(len(stages), 0, -1):
        gone = [_without(number) for number in range(count + 1, len(stages) + 1)]
        *before, last = stages[:count]
        if isinstance(last, LogisticStage):
            yield stages[:count], gone
            continue
        for train in (last.train, *(shallower if count == len(stages) else ())):
            layers = [] if train == last.train else [f"stage {count} trains {train} only"]
            for epochs in range(last.epochs, 0, -1):
                fewer = [f"stage {count} has {epochs} of {last.epochs} epochs"]
                told = [*layers, *(fewer if epochs < last.epochs else []), *gone]
                warm_up = last.warm_up * epochs / last.epochs
                change = {"train": train, "epochs": epochs, "warm_up": warm_up}
                yield (*before, last.model_copy(update=change)), told


def _without(number: int) -> str:
    return f"stage {number} was left out"


def _seconds(stages: Sequence[Stage], photos: int, costs: Costs) -> float:
    views = {view for stage in stages for view in stage.cached_views}
    passes = costs.trains * len(views) + costs.judged
    if costs.trains == 1:  # in folds, the same views of the same photos train and judge
        passes = max(len(views), costs.judged)
    total = costs.photo * photos * passes
    for stage in stages:
        if isinstance(stage, LogisticStage):
            rows = photos * costs.trains * len(stage.cached_views)
            total += 1.0 + _HEAD * costs.photo * rows * costs.fits
            continue
        # Answering takes a third of a step.
        seen = costs.trains * max(1, len(stage.cached_views)) + costs.judged / 3
        epoch = photos * seen * costs.step(stage)
        if not stage.cached_views:
            epoch += photos * costs.trains * costs.photo
        total += costs.fits * (costs.begin + stage.epochs * epoch * _ROOM)
    return total


def some(reads: Sequence[Read], count: int, seed: int) -> list[Read]:
    """Some of the photos, of every class and side in proportion, two of each at least.

    Which ones follows from their content and the seed, so copies of a file come together.

    Args:
        reads: the photos.
        count: how many, about.
        seed: another one draws others.
    """
    groups: dict[tuple[str, str | None], list[Read]] = defaultdict(list)
    for read in reads:
        groups[read.photo.label, read.photo.split].append(read)
    kept: set[str] = set()
    for group in groups.values():
        drawn = sorted({read.sha256 for read in group}, key=lambda sha: _draw(sha, seed))
        kept.update(drawn[: max(2, round(len(drawn) * count / len(reads)))])
    return [read for read in reads if read.sha256 in kept]


def _draw(sha256: str, seed: int) -> bytes:
    return hashlib.sha256(f"some {seed}:{sha256}".encode()).digest()
