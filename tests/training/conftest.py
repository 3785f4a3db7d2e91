"""What the tests of training share: drawn photos as a stage gets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pawprint.data import dataset as datasets
from pawprint.data.dataset import Dataset
from pawprint.data.sources import open_source
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.model.prefix import NoPrefix
from pawprint.progress import SILENT
from pawprint.testing import drawn_photos
from pawprint.training.batches import Side
from pawprint.training.recipe import Recipe
from pawprint.training.views import Views


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 drawn cats and dogs without faults. Not to be changed."""
    return drawn_photos(tmp_path_factory.mktemp("few") / "photos", 40)


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
            reads, _ = datasets.read_all(source)
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
