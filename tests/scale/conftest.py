"""What the tests of this room share: a few photos, what computes, and a finished job."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pyarrow import parquet

from pawprint import starter
from pawprint.parts.places import place
from pawprint.scale.beginning import Computes
from pawprint.scale.engines import Engine, LocalEngine
from pawprint.scale.job import Finished, run_job
from pawprint.scale.predicting import Predictions
from pawprint.testing import drawn_photos

from .object_store import Store

PART_SIZE = 4
Rows = list[dict[str, Any]]


class Few(NamedTuple):
    """A few photos, and names of those that cannot be read."""

    folder: Path
    bad: dict[str, str]
    total: int


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Few:
    """18 photos, four of them bad: five parts. Not to be changed."""
    folder = drawn_photos(tmp_path_factory.mktemp("few") / "photos", 14)
    first = next(folder.glob("cat/*.jpg"))
    shutil.copy(first, folder / "cat/Käse 猫 #1?.jpg")
    (folder / "cat/cut.jpg").write_bytes(first.read_bytes()[:300])
    (folder / "dog/empty.jpg").write_bytes(b"")
    (folder / "dog/words.png").write_text("no picture")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    bad = {
        "cat/cut.jpg": "",
        "dog/empty.jpg": "the file is empty (0 bytes)",
        "dog/words.png": "",
        "gone.jpg": "it cannot be read (no such file or directory)",
    }
    total = sum(path.suffix in (".jpg", ".png") for path in folder.rglob("*"))
    return Few(folder, bad, total)


@pytest.fixture(scope="session")
def computes() -> Predictions:
    """What the starter answers."""
    return Predictions(starter.BUNDLE)


Run = Callable[..., Finished]


@pytest.fixture(scope="session")
def job(few: Few, computes: Predictions) -> Run:
    """Runs a job, by default of the few photos; options are those of `run_job`."""

    def run(
        out: str | os.PathLike[str],
        source: str | os.PathLike[str] = few.folder,
        *,
        engine: Engine | None = None,
        what: Computes = computes,
        part_size: int | None = PART_SIZE,
        **options: Any,
    ) -> Finished:
        engine = engine or LocalEngine()
        return run_job(what, place(source), place(out), engine, part_size=part_size, **options)

    return run


@pytest.fixture(scope="session")
def finished(job: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job of the few photos. Not to be changed."""
    return job(tmp_path_factory.mktemp("finished") / "out").place.local


@pytest.fixture
def own(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished job, with its times, to be changed at will."""
    return Path(shutil.copytree(finished, tmp_path / "own"))


@pytest.fixture
def store(few: Few) -> Iterator[Store]:
    """An object store that holds the few photos, below `photos`."""
    with Store() as store:
        store.put_folder(few.folder.parent)
        yield store


def parts(out: Path) -> list[Path]:
    """The files of a job's parts."""
    return sorted((out / "parts").glob("part-*.parquet"))


def plan_of(out: Path) -> Path:
    """The folder of what computes."""
    (found,) = out.glob("plan-*")
    return found


def times(out: Path) -> dict[str, int]:
    """When each part was written."""
    return {path.name: path.stat().st_mtime_ns for path in parts(out)}


def rows(out: str | os.PathLike[str]) -> Rows:
    """All results of a job."""
    top = place(out) / "parts"
    found: Rows = []
    for name, _ in top.entries():
        if name.startswith("part-"):  # what was killed while it wrote leaves others
            with (top / name).reading() as file:
                found += parquet.read_table(file).to_pylist()
    return found


def same(found: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Whether results are the same to the last bit; NaN would not be."""
    return json.dumps(found) == json.dumps(other)
