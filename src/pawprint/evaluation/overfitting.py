"""Overfitting and divergence, read from the losses of a run and said in sentences."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from typing import Any

# By how much the validation loss must rise to be spoken of: by this share of its lowest value and
# by this step, on 200 photos. On so few it goes up and down with those that are wrong, and the
# lowest of several epochs is partly luck. Of simulated logistic regressions that did not overfit,
# judged on 200 photos, at most 1 in 30 rose by both; by half of either, up to 1 in 5. With more
# photos chance shrinks with their square root.
_SHARE, _STEP, _PHOTOS = 0.2, 0.02, 200

_FRESH = '`views = "fresh"` with [[augment]]'


@dataclass(frozen=True)
class _Point:
    """The losses somewhere in a run, and where that is: in which epoch of the stage, if any."""

    where: str
    epoch: int | None
    loss: float
    val_loss: float


def overfitting(
    history: Sequence[Mapping[str, Any]],
    restored: Collection[int] = (),
    photos: int = _PHOTOS,
    rolled_back: Collection[int] = (),
) -> list[str]:
    """Tell which stages overfitted or diverged, from training against validation loss.

    >>> losses = [(0.30, 0.25), (0.12, 0.20), (0.03, 0.33)]
    >>> rows = [
    ...     {"stage": 1.0, "epoch": epoch, "loss": loss, "val_loss": val_loss}
    ...     for epoch, (loss, val_loss) in enumerate(losses, start=1)
    ... ]
    >>> print(overfitting(rows)[0].split(";")[0])
    Stage 1 overfits: validation loss was lowest in epoch 2 (0.2000)
    >>> print(overfitting(rows, restored=[1])[0].split(":")[0])
    Stage 1 overfitted, which was undone

    Args:
        history: a row per epoch, in order, with "stage", "epoch", "loss" and "val_loss"; rows
            without one of the losses are passed over.
        restored: numbers of stages whose epoch of lowest validation loss was gone back to.
        photos: how many the validation loss is a mean of.
        rolled_back: numbers of stages that were undone as a whole.

    Returns:
        A sentence or two for each stage with something to tell, in order; none is good.
    """
    told: list[str] = []
    chance = (_PHOTOS / max(photos, 1)) ** 0.5
    start: _Point | None = None
    for number, rows in groupby(history, key=lambda row: int(row.get("stage", 1))):
        points, fault = _points(list(rows))
        undone = number in restored and bool(points)
        best = min(points, key=lambda point: point.val_loss, default=None)
        if number in rolled_back:
            told += _rolled_back(number, fault, best, points, chance)
            continue  # and the next stage begins where this one did
        if fault is not None:
            told.append(_diverged(number, fault, best if undone else None))
        elif best is not None:
            told += _overfitted(number, start, best, points[-1], chance, undone=undone)
        end = best if undone else points[-1] if points and fault is None else None
        start = end and _Point(f"where stage {number} ended", None, end.loss, end.val_loss)
    return told


def _points(rows: Sequence[Mapping[str, Any]]) -> tuple[list[_Point], str | None]:
    """The epochs of one stage up to where a loss is no number any more, and that place."""
    points: list[_Point] = []
    for place, row in enumerate(rows, start=1):
        epoch = int(row.get("epoch", place))
        losses = {key: row[key] for key in ("loss", "val_loss") if row.get(key) is not None}
        for key, value in losses.items():
            if not isfinite(value):
                kind = "training" if key == "loss" else "validation"
                return points, f"in epoch {epoch}, where the {kind} loss became {float(value)}"
        if len(losses) == 2:
            points.append(_Point(f"in epoch {epoch}", epoch, **losses))
    return points, None


def _diverged(number: int, where: str, best: _Point | None) -> str:
    undone = f"; {_restored(best)}" if best else ""
    return f"Stage {number} diverged {where}{undone}. Use a lower `rate`, as a tenth of it."


def _rolled_back(
    number: int, fault: str | None, best: _Point | None, points: Sequence[_Point], chance: float
) -> list[str]:
    """What to say of a stage that is not in the model."""
    if fault is not None:
        return [
            f"Stage {number} diverged {fault}; the stage was undone. Use a lower `rate`, as a "
            "tenth of it."
        ]
    if best is not None and _rose(best, points[-1], chance):
        course = _course(best, points[-1])
        return [f"Stage {number} overfitted, and all of it was undone: {course}."]
    return []


def _restored(best: _Point) -> str:
    return f"the weights of epoch {best.epoch} were restored"


def _overfitted(
    number: int,
    start: _Point | None,
    best: _Point,
    last: _Point,
    chance: float,
    *,
    undone: bool,
) -> list[str]:
    """What to say of a stage whose losses are all finite."""
    said = []
    if undone and _rose(best, last, chance):
        course = _course(best, last)
        said = [f"Stage {number} overfitted, which was undone: {course}; {_restored(best)}."]
    lowest = start if start is not None and start.val_loss <= best.val_loss else best
    end = best if undone else last
    if _rose(lowest, end, chance):
        said.append(f"Stage {number} overfits: {_course(lowest, end)}. {_advice(lowest)}")
    return said


def _rose(lowest: _Point, end: _Point, chance: float) -> bool:
    """Whether validation got clearly worse while training got better."""
    margin = chance * max(_STEP, _SHARE * lowest.val_loss)
    return end.val_loss > lowest.val_loss + margin and end.loss < lowest.loss


def _course(lowest: _Point, end: _Point) -> str:
    return (
        f"validation loss was lowest {lowest.where} ({lowest.val_loss:.4f}); {end.where} it was "
        f"{end.val_loss:.4f}, while training loss fell from {lowest.loss:.4f} to {end.loss:.4f}"
    )


def _advice(lowest: _Point) -> str:
    if lowest.epoch is None:
        return f"Use a lower `rate`, as a tenth of it, or {_FRESH}, or leave this stage out."
    return (
        f"Use `epochs = {lowest.epoch}` or a lower `rate`; or keep the best epoch with "
        f"`best_weights = true` and end early with `patience`; or {_FRESH}."
    )
