"""A run that doubts some labels of the drawn photos, and a server that shows them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pawprint.data.sources import Source, open_source
from pawprint.review import suspects
from pawprint.review.server import Server
from pawprint.review.session import Session


@pytest.fixture
def suspect() -> Callable[..., dict[str, Any]]:
    """Make a row of `suspects.json` about a photo in a class folder."""

    def make(photo: Path, **changes: Any) -> dict[str, Any]:
        given = photo.parent.name
        return {
            "path": f"photos/{given}/{photo.name}",
            "sha256": hashlib.sha256(photo.read_bytes()).hexdigest(),
            "split": "train",
            "given": given,
            "suggested": "dog" if given == "cat" else "cat",
            "given_probability": 0.02,
            "suggested_probability": 0.98,
            **changes,
        }

    return make


@pytest.fixture
def write_run(photos: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a run's folder, as far as a review reads it."""

    def write(
        *rows: dict[str, Any], classes: tuple[str, ...] = ("cat", "dog"), command: str = ""
    ) -> Path:
        run = tmp_path / "run"
        run.mkdir()
        record = {
            "source": "photos",
            "from": str(photos),
            "classes": classes,
            "command": command,
            **dict.fromkeys(("recipe", "fingerprint", "created"), ""),
            **{key: {} for key in ("photos", "findings", "versions", "seconds")},
            "left_out": 0,
            "notes": [],
        }
        judged = {"judged_by": "a model, in 5 folds", "photos": 1234, "expected": 3}
        judged |= {"count": len(rows), "suspects": rows}
        (run / "run.json").write_text(json.dumps(record))
        (run / "suspects.json").write_text(json.dumps(judged))
        return run

    return write


@pytest.fixture
def some(photos: Path) -> list[Path]:
    """Two drawn cats and two drawn dogs."""
    return [
        photo for label in ("cat", "dog") for photo in sorted(photos.glob(f"{label}/{label}_*"))[:2]
    ]


@pytest.fixture
def doubting(write_run: Callable[..., Path], suspect: Any, some: list[Path]) -> Path:
    """A run that doubts these."""
    return write_run(*map(suspect, some))


@pytest.fixture
def session_of() -> Iterator[Callable[[Path], Session]]:
    """Begin the review of a run, or go on with it."""
    opened: list[Source] = []

    def begin(run: Path) -> Session:
        found = suspects.read(run)
        opened.append(open_source(found.location))
        return Session(found, opened[-1], found.location, run / "corrections.csv")

    yield begin
    for source in opened:
        source.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Session], Server]]:
    """Serve a review from a thread."""
    with ExitStack() as stack:

        def start(session: Session) -> Server:
            server = stack.enter_context(Server(session))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture
def server(
    doubting: Path,
    session_of: Callable[[Path], Session],
    serve: Callable[[Session], Server],
) -> Server:
    """The review of that run, served."""
    return serve(session_of(doubting))
