"""What of an unfinished training is kept, so that it can go on: one file, replaced as a whole.

`<run>.unfinished/checkpoint.npz` beside the run's folder to be holds every weight, the optimizer,
the history and what the training was made from, as plain arrays and JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.dataset import Dataset
from pawprint.errors import OutputError, RecipeError, SourceError
from pawprint.progress import Progress
from pawprint.training.recipe import Recipe

SUFFIX = ".unfinished"
LOGS = "tensorboard"  # the folder in it for these
_FILE = "checkpoint.npz"
_PART = f".{_FILE}"
_SHOWN = 5
_NOT_DECIDING = ("name", "description", "keras_h5", "backbone.weights")
_ELSEWHERE = "with another --out, or with this folder removed"
_KINDS = ("network", "optimizer", "best", "before", "given")  # of arrays, in `Kept`'s order
_LONGEST_NAME = 255  # bytes, on the file systems of today

Arrays = Sequence[NDArray[Any]]


@dataclass
class Progressed:
    """How far a training has come.

    Args:
        stage: the stage in work, from 1.
        epoch: its last finished epoch; 0 before the first.
        stopped: it was stopped early and has no more epochs.
        rate: the learning rate, where it changes by what happens.
        best_loss: the stage's lowest validation loss,
        best_epoch: and its epoch.
        plateau: the validation loss that a lower one must be clearly below,
        plateau_since: and the epoch of it, or of the last reduction of the rate.
        history: a row for each epoch of all stages.
        choice: what the logistic stage tried.
        stands: the last stage that was not undone; 0 before the first has ended.
        outcomes: what became of each stage after the first that has ended.
    """

    stage: int = 1
    epoch: int = 0
    stopped: bool = False
    rate: float = 0.0
    best_loss: float = float("inf")
    best_epoch: int = 0
    plateau: float = float("inf")
    plateau_since: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    choice: list[dict[str, Any]] = field(default_factory=list)
    stands: int = 0
    outcomes: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, stage: int) -> Progressed:
        """The same training at the beginning of a stage.

        >>> begun = Progressed(stage=1, epoch=3, stands=1).begin(2)
        >>> begun.stage, begun.epoch, begun.stands
        (2, 0, 1)
        """
        return Progressed(
            stage=stage,
            history=self.history,
            choice=self.choice,
            stands=self.stands,
            outcomes=self.outcomes,
        )


@dataclass(frozen=True)
class Kept:
    """A checkpoint: how far it was, and the values of all variables then.

    Args:
        progressed: how far it was.
        network: the values of its variables,
        optimizer: of the optimizer's,
        best: and of the network's after the stage's best epoch, where that may be gone back to.
        before: the same before the stage, where it may be undone.
        given: one array, what the network answered then; none in the first stage.
    """

    progressed: Progressed
    network: Arrays
    optimizer: Arrays
    best: Arrays
    before: Arrays = ()
    given: Arrays = ()


class Checkpoints:
    """The checkpoint of one training.

    Args:
        run: the run's folder to be.
        recipe: what decides the training,
        backbone: the digest of the weights it starts from,
        dataset: and the photos; another one of these is not resumed.
    """

    def __init__(self, run: Path, recipe: Recipe, backbone: str, dataset: Dataset) -> None:
        self.folder = unfinished(run)
        self._about: dict[str, Any] = {
            "recipe": _deciding(recipe),
            "backbone": backbone,
            "photos": _photos(dataset),
        }

    def load(self) -> Kept | None:
        """The checkpoint, or None where there is none.

        Raises:
            RecipeError: it is of another recipe or other weights.
            SourceError: it is of other photos.
            OutputError: it cannot be read.
        """
        read = _read(self.folder / _FILE)
        if read is None:
            return None
        progressed, about, arrays = read
        self._compare(about)

        def of(kind: str) -> Arrays:
            return [arrays[name] for name in sorted(arrays) if name.startswith(f"{kind}/")]

        return Kept(progressed, *map(of, _KINDS))

    def save(self, kept: Kept) -> None:
        """Put a checkpoint in place of the one before.

        Raises:
            OutputError: it cannot be written.
        """
        about = json.dumps({**self._about, "progressed": asdict(kept.progressed)}).encode()
        arrays = {"about": np.frombuffer(about, np.uint8)}
        for kind in _KINDS:
            for index, values in enumerate(getattr(kept, kind)):
                arrays[f"{kind}/{index:05}"] = values
        part = self.folder / _PART
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stubs
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.folder / _FILE)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise OutputError(
                f"{self.folder} cannot be written ({error.strerror}); make room, then run the "
                "same command with --resume to go on from the epoch before"
            ) from None

    def begin(self, resume: bool, progress: Progress) -> Kept | None:
        """The checkpoint to go on from; None begins anew.

        Raises:
            PawprintError: as `load` does.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(
                f"{self.folder} is a file, where the checkpoint is to lie; move it, or name "
                "another place with --out"
            )
        if resume:
            kept = self.load()
            if kept is None:
                progress.say(f"{self.folder} has nothing to go on from; beginning anew")
            return kept
        self.remove()  # logs at most: expect_free has seen that there is no checkpoint
        return None

    def remove(self) -> None:
        """Forget the training: it is finished."""
        with contextlib.suppress(OSError):
            for name in (_FILE, _PART):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / LOGS, ignore_errors=True)
            self.folder.rmdir()  # unless somebody put more into it

    def _compare(self, about: dict[str, Any]) -> None:
        _compare_recipes(self.folder, about["recipe"], self._about["recipe"])
        if about["backbone"] != self._about["backbone"]:
            raise RecipeError(
                f"{self.folder} began from other weights of the backbone and cannot be resumed; "
                f"give the same weights, or begin anew {_ELSEWHERE}"
            )
        then, now = Counter(about["photos"]), Counter(self._about["photos"])
        gone, new = list((then - now).elements()), list((now - then).elements())
        if gone or new:
            raise SourceError(
                f"{self.folder} is of other photos and cannot be resumed: "
                f"{len(about['photos']):,} then, {len(self._about['photos']):,} now; "
                f"{len(gone):,} have gone and {len(new):,} are new, or changed their content, "
                f"class or side{_examples(gone, new)}. Give the same photos, or begin anew "
                f"{_ELSEWHERE}"
            )


def expect_free(run: Path) -> None:
    """Refuse to begin anew where an interrupted training could go on: it may have taken hours.

    Raises:
        OutputError: there is a checkpoint of this run.
    """
    folder = unfinished(run)
    if (folder / _FILE).exists():
        raise OutputError(
            f"{folder} holds the finished epochs of a training that was interrupted; add --resume "
            f"to go on with it, or begin anew {_ELSEWHERE}"
        )


def expect_recipe(run: Path, recipe: Recipe) -> None:
    """Refuse to go on with another recipe, before any work; `load` refuses all that differs.

    Raises:
        RecipeError: the run's checkpoint is of another recipe.
        OutputError: it cannot be read.
    """
    if read := _read(unfinished(run) / _FILE):
        _compare_recipes(unfinished(run), read[1]["recipe"], _deciding(recipe))


def _read(path: Path) -> tuple[Progressed, dict[str, Any], dict[str, NDArray[Any]]] | None:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
            arrays = {name: file[name] for name in file.files if "/" in name}
        return Progressed(**about["progressed"]), about, arrays
    except FileNotFoundError:
        return None
    except Exception as error:  # zipfile and NumPy raise many kinds for a damaged file
        raise OutputError(
            f"{path} is no checkpoint that can be read ({error}); begin anew {_ELSEWHERE}"
        ) from None


def _compare_recipes(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    differing = [
        f"{place}: {then.get(place, 'nothing')} then, {now.get(place, 'nothing')} now"
        for place in sorted({*then, *now})
        if then.get(place) != now.get(place)
    ]
    if differing:
        raise RecipeError(
            f"{folder} is of another recipe and cannot be resumed: "
            f"{'; '.join(differing[:_SHOWN])}{_more(differing)}. Give the same recipe, or begin "
            f"anew {_ELSEWHERE}"
        )


def _deciding(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe decides the training, by its place."""
    values = _flat(recipe.model_dump(mode="json"))
    # Of the weights the digest is compared, wherever their file lies now.
    return {place: v for place, v in values.items() if place not in _NOT_DECIDING}


def unfinished(run: Path) -> Path:
    """Where the checkpoint of a run lies.

    >>> unfinished(Path("runs/pets")).name
    'pets.unfinished'
    """
    name = run.name
    if len(os.fsencode(name + SUFFIX)) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return run.with_name(name + SUFFIX)


def newest(folder: Path, prefix: str, recipe: Recipe) -> Path | None:
    """The unfinished run of a recipe that was worked on last; without one, of any recipe.

    Args:
        folder: where runs lie.
        prefix: what its name begins with; what follows is the time.
        recipe: which it is to be of.
    """
    named = re.compile(re.escape(prefix) + r"[0-9]{8}-[0-9]{6}" + re.escape(SUFFIX))
    try:
        found = [path / _FILE for path in folder.iterdir() if named.fullmatch(path.name)]
        found = [path for path in found if path.is_file() and not _run_of(path).exists()]
        runs = [_run_of(p) for p in sorted(found, key=lambda path: -path.stat().st_mtime)]
    except OSError:
        return None
    for run in runs:
        with contextlib.suppress(RecipeError, OutputError):
            expect_recipe(run, recipe)
            return run
    return runs[0] if runs else None


def _run_of(file: Path) -> Path:
    return file.parent.with_name(file.parent.name.removesuffix(SUFFIX))


def _photos(dataset: Dataset) -> list[str]:
    """A line a photo, whatever its name."""
    return sorted(f"{p.sha256[:16]} {p.split} {p.label}" for p in dataset.photos)


def _examples(gone: Sequence[str], new: Sequence[str]) -> str:
    def told(lines: Sequence[str]) -> str:
        _, side, label = min(lines).split(" ", 2)
        return f"one of {label} in {side}"

    parts = [f"{what}: {told(lines)}" for what, lines in (("gone", gone), ("new", new)) if lines]
    return f" ({'; '.join(parts)})" if parts else ""


def _more(lines: Sequence[str]) -> str:
    return f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""


def _flat(values: Any, place: str = "") -> dict[str, Any]:
    """Nested values by their place, lists counted from 1 as users do."""
    if isinstance(values, dict):
        items = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list):
        items = [(str(number), value) for number, value in enumerate(values, 1)]
    else:
        return {place: values}
    return {
        inner: value
        for key, part in items
        for inner, value in _flat(part, f"{place}.{key}" if place else key).items()
    }
