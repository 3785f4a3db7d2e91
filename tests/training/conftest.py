"""What the tests of training share: drawn photos as a stage gets them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pawprint.data import dataset as datasets
from pawprint.data.augment import Flip, Rotation
from pawprint.data.dataset import Dataset
from pawprint.data.reading import read_all
from pawprint.data.sources import open_source
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.model import backbones
from pawprint.model.head_layers import AveragePool, BatchNorm, Dense, Dropout
from pawprint.model.prefix import NoPrefix
from pawprint.progress import SILENT, Advance, Silent
from pawprint.testing import drawn_photos, tiny_recipe
from pawprint.training.batches import Side
from pawprint.training.recipe import GradientStage, Recipe
from pawprint.training.recipe_files import to_toml
from pawprint.training.run import Run, train
from pawprint.training.views import Views


@pytest.fixture(scope="session")
def few(once: Any) -> Path:
    """40 drawn cats and dogs without faults. Not to be changed."""
    found: Path = once("few", lambda place: drawn_photos(place / "photos", 40))
    return found


@dataclass(frozen=True)
class Scene:
    """Photos as a training has looked at them."""

    recipe: Recipe
    dataset: Dataset
    sides: dict[str, Side]
    views: Views


@pytest.fixture(scope="session")
def scene() -> Iterator[Callable[..., Scene]]:
    """Look at a folder of photos as a training does; features stay in memory."""
    with ExitStack() as stack:

        def look(folder: Path, recipe: Recipe) -> Scene:
            source = stack.enter_context(open_source(folder))
            views = Views(source, recipe, None, SILENT)
            reads, _ = read_all(source)
            sided, _ = datasets.assign_sides(source.name, reads)
            sizes, faults = views.bring(sided, NoPrefix())
            found = datasets.build(source.name, sided, sizes, faults)
            sides = {}
            for side in (TRAIN, VALIDATION):
                on_side = [read for read in sided if read.photo.split == side]
                labels = [found.classes.index(read.photo.label) for read in on_side]
                sides[side] = Side(on_side, np.array(labels, np.int64))
            return Scene(recipe, found, sides, views)

        yield look


_RESUMABLE = Recipe(
    name="resumed",
    data={"size": 64, "seed": 3},
    backbone=tiny_recipe().backbone,
    head=(AveragePool(), Dense(units=8), BatchNorm(), Dropout(rate=0.5)),
    augment=(Flip(mode="horizontal"), Rotation(factor=0.1)),
    stage=(
        GradientStage(
            train="head",
            epochs=3,
            batch_size=7,
            views="fresh",
            schedule="cosine",
            warm_up=1,
            rate=0.01,
        ),
        GradientStage(
            train="last:15",
            epochs=4,
            batch_size=8,
            views=2,
            optimizer="rmsprop",
            rate=0.01,
            schedule="plateau",
            reduce_patience=1,
            patience=3,
            best_weights=True,
            roll_back=False,
        ),
        GradientStage(train="last:6", epochs=2, batch_size=8, optimizer="adam", rate=1.0),
    ),
)


@pytest.fixture(scope="session")
def resumable() -> Recipe:
    """Stages in which much happens that a checkpoint must remember; the last one is undone."""
    return _RESUMABLE


# Trains in one forked process after the other, as what is imported takes long; each kills itself
# without a word before a step of the progress is told. What it had kept is copied.
_KILLED = """
import contextlib, os, shutil, signal, sys
import sklearn.linear_model, tensorboard, tensorflow
from pathlib import Path
from pawprint.progress import Silent
from pawprint.training.checkpoint import unfinished
from pawprint.training.run import train

source, recipe, out, kept, *moments = sys.argv[1:]

class Deadly(Silent):
    def __init__(self, step, batch):
        self.at, self.batch = step, batch

    @contextlib.contextmanager
    def step(self, what, total):
        told = 0
        def advance(done, /, note=""):
            nonlocal told
            told += done
            if what == self.at and told >= self.batch:
                os.kill(os.getpid(), signal.SIGKILL)
        yield advance

for number in range(0, len(moments), 2):
    child = os.fork()
    if not child:
        deadly = Deadly(moments[number], int(moments[number + 1]))
        train(source, recipe=recipe, out=out, resume=number > 0, tensorboard=True, progress=deadly)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL or os.path.exists(out):
        sys.exit(f"moment {number // 2}: {status}")
    shutil.copy(unfinished(Path(out)) / "checkpoint.npz", f"{kept}/{number // 2}.npz")
"""


class Heard(Silent):
    """Progress that remembers what it was told; as `listener`, for a whole session."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[str] = []

    @contextlib.contextmanager
    def step(self, what: str, total: int | None) -> Iterator[Advance]:
        self.steps.append(what)
        with super().step(what, total) as advance:
            yield advance

    def say(self, message: str) -> None:
        self.said.append(message)


@dataclass(frozen=True)
class Killed:
    """A training that was killed four times and resumed, and one that was left alone."""

    resumed: Run
    whole: Run
    about: list[str]
    listener: Heard


@pytest.fixture(scope="session")
def killed(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """Kill a training in the middle of its stages and between them. Runs not to be changed."""
    place = tmp_path_factory.mktemp("killed")
    recipe, out = place / "resumable.toml", place / "runs" / "killed"
    recipe.write_text(to_toml(_RESUMABLE), "utf-8")
    moments = [
        *("Stage 1, epoch 2 of 3", "3"),
        *("Stage 2, epoch 1 of 4", "2"),
        *("Stage 2, epoch 3 of 4", "4"),
        *("Stage 3, epoch 2 of 2", "1"),
    ]
    command = [sys.executable, "-c", _KILLED, few, recipe, out, place, *moments]
    ended = subprocess.run(command, capture_output=True, timeout=800, check=False)
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    about = []
    for number in range(4):
        with np.load(place / f"{number}.npz") as file:
            about.append(file["about"].tobytes().decode())
    heard = Heard()
    resumed = train(
        few, recipe=recipe, out=out, resume=True, tensorboard=True, progress=heard, report=False
    )
    whole = train(few, recipe=recipe, out=place / "whole", tensorboard=True, report=False)
    return Killed(resumed, whole, about, heard)


COLOURS = {"blue": (0, 0, 255), "yellow": (255, 255, 0)}


@pytest.fixture(scope="session")
def coloured(once: Any) -> Path:
    """30 blue and 30 yellow photos, three of each in the other's folder, one of them twice."""
    found: Path = once("coloured", _coloured)
    return found


def _coloured(place: Path) -> Path:
    folder = place / "my photos"
    random = np.random.default_rng(0)
    for label in COLOURS:
        (folder / label).mkdir(parents=True)
    for name, tint in COLOURS.items():
        (other,) = COLOURS.keys() - {name}
        for number in range(30):
            blotches = random.integers(0, 256, (6, 6, 3))
            pixels = (0.15 * blotches + 0.85 * np.array(tint)).astype(np.uint8)
            place = folder / (other if number < 3 else name) / f"{name}_{number:02}.png"
            Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(place)
    shutil.copy(folder / "yellow" / "blue_00.png", folder / "yellow" / "blue_00_again.png")
    return folder


@pytest.fixture(scope="session")
def own_weights(once: Any) -> Path:
    """Weights for the tiny recipe's backbone as a file, as pretrained ones are."""
    found: Path = once("weights", _own_weights)
    return found


def _own_weights(place: Path) -> Path:
    path = place / "own.weights.h5"
    made = backbones.build("starter", size=64, weights="random", seed=3)
    made.network.save_weights(path)
    return path


@pytest.fixture(scope="session")
def reviewed(coloured: Path, recipe: Path, own_weights: Path, once: Any) -> Run:
    """A run on the coloured photos that refuses some, with a rule. Not to be changed."""
    found: Run = once(
        "reviewed",
        lambda place: train(
            coloured,
            recipe=recipe,
            weights=own_weights,
            validation=0.4,
            changes={"refuse": 0.1, "decision": "recall:blue=0.95"},
            out=place / "run",
        ),
    )
    return found


@pytest.fixture(scope="session")
def coloured_in_folds(coloured: Path, recipe: Path, once: Any) -> Run:
    """The same photos judged in folds, by random weights; no plots. Not to be changed."""
    found: Run = once(
        "coloured_in_folds",
        lambda place: train(
            coloured,
            recipe=recipe,
            changes={"data.folds": 3, "refuse": 0.1},
            out=place / "run",
            report=False,
        ),
    )
    return found


@pytest.fixture(scope="session")
def contrary(coloured: Path, recipe: Path, own_weights: Path, once: Any) -> Run:
    """A run whose validation photos all lie in the other's folder; no plots. Not to be changed."""
    found: Run = once("contrary", lambda place: _contrary(place, coloured, recipe, own_weights))
    return found


def _contrary(place: Path, coloured: Path, recipe: Path, own_weights: Path) -> Run:
    for number, path in enumerate(sorted(coloured.glob("*/*_[0-9][0-9].png"))):
        own = path.name.split("_")[0]
        (other,) = COLOURS.keys() - {own}
        side, label = ("validation", other) if number % 3 == 0 else ("train", own)
        (place / "photos" / side / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / "photos" / side / label)
    return train(
        place / "photos",
        recipe=recipe,
        weights=own_weights,
        changes={"refuse": 0, "decision": "precision:blue=1"},
        out=place / "run",
        report=False,
    )
