"""What is computed of photos: a part's inputs in, a table of results out. Knows no engines."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow
from numpy.typing import NDArray

from pawprint.classifier import Classifier
from pawprint.data.images import Preprocessing, mirrored, open_photo
from pawprint.engine import Network
from pawprint.errors import PhotoError
from pawprint.parallel import map_chunks
from pawprint.parts import schema
from pawprint.parts.folder import NETWORK
from pawprint.parts.listing import Input
from pawprint.parts.places import Place

MODEL = "model"
_CHUNK = 16  # photos a thread decodes, then computes, as in `classifier.py`

Reads = Iterable[tuple[str, Callable[[], bytes]]]


class Work(Protocol):
    """What computes; each worker has one of its own."""

    def table(self, inputs: Sequence[Input], reads: Reads) -> pyarrow.Table:
        """The results for some inputs.

        Args:
            inputs: n of them.
            reads: for each its path, and what reads its bytes or raises PhotoError.

        Returns:
            n rows, in the inputs' order.
        """
        ...


class Predicting:
    """A bundle's answers and embeddings.

    Args:
        plan: the folder that holds the bundle.
        cpus: how many to use; by default all.
    """

    def __init__(self, plan: Place, cpus: int | None) -> None:
        with _here(plan / MODEL) as folder:
            self._classifier = Classifier(folder, streams=cpus, embeds=True)
        self._workers = _workers(cpus)
        size = self._classifier.embedding_size
        self._schema = schema.predictions(self._classifier.classes, size)

    def table(self, inputs: Sequence[Input], reads: Reads) -> pyarrow.Table:
        """As of `Work`."""
        answers = list(self._classifier.embed_reads(reads, workers=self._workers))
        given = [answer for answer, _ in answers]
        values: dict[str, Any] = {
            name: [getattr(answer, name) for answer in given]
            for name in ("path", "label", "probability", "novelty", "error")
        }
        shares = [
            np.array([answer.probabilities[label] for label in self._classifier.classes])
            if answer.error is None
            else None
            for answer in given
        ]
        values["probabilities"] = schema.vectors(shares, self._schema.field("probabilities"))
        if schema.EMBEDDING in self._schema.names:
            field = self._schema.field(schema.EMBEDDING)
            values[schema.EMBEDDING] = schema.vectors([found for _, found in answers], field)
        return pyarrow.table([values[name] for name in self._schema.names], self._schema)


class _Row(NamedTuple):
    """What is known of a photo."""

    values: dict[str, Any]
    features: list[NDArray[Any]] | None


class Embedding:
    """Features of a frozen network.

    Args:
        plan: the folder that holds the network.
        facts: what is computed: `preprocessing`, `precision`, and `columns`, each with its `name`,
            the network's `output`, the `view` ("plain" or "mirror") and the `shape`.
        cpus: as of `Predicting`.
    """

    def __init__(self, plan: Place, facts: dict[str, Any], cpus: int | None) -> None:
        self._columns = facts["columns"]
        self._outputs = list(dict.fromkeys(column["output"] for column in self._columns))
        self._mirrors = any(column["view"] == schema.MIRROR for column in self._columns)
        self._preprocessing = Preprocessing(**facts["preprocessing"])
        self._network = Network(
            (plan / NETWORK).read(),
            self._outputs,
            precision=facts["precision"],
            streams=cpus,
        )
        self._workers = _workers(cpus)
        sizes = {column["name"]: int(np.prod(column["shape"])) for column in self._columns}
        self._schema = schema.features(sizes)

    def table(self, inputs: Sequence[Input], reads: Reads) -> pyarrow.Table:
        """As of `Work`."""
        found = [row for rows in self._rows(reads) for row in rows]
        values: dict[str, Any] = {
            name: [row.values.get(name) for row in found]
            for name in ("path", "sha256", "bytes", "width", "height", "error")
        }
        values |= {name: [getattr(one, name) for one in inputs] for name in ("label", "split")}
        for number, column in enumerate(self._columns):
            rows = [None if row.features is None else row.features[number] for row in found]
            values[column["name"]] = schema.vectors(rows, self._schema.field(column["name"]))
        return pyarrow.table([values[name] for name in self._schema.names], self._schema)

    def _rows(self, reads: Reads) -> Iterator[list[_Row]]:
        return map_chunks(self._some, reads, size=_CHUNK, workers=self._workers)

    def _some(self, reads: Sequence[tuple[str, Callable[[], bytes]]]) -> list[_Row]:
        """Decode all, then compute all."""
        decoded: list[tuple[dict[str, Any], NDArray[np.uint8] | None]] = []
        for path, read in reads:
            values: dict[str, Any] = {"path": path}
            try:
                data = read()
                values |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
                opened = open_photo(data, path, near=self._preprocessing.size)
                values |= {"width": opened.width, "height": opened.height}
                decoded.append((values, self._preprocessing.fit(opened.picture)))
            except PhotoError as error:
                decoded.append((values | {"error": error.reason}, None))
        rows = []
        for values, pixels in decoded:
            features = None if pixels is None else self._compute(pixels)
            if features is not None and not all(np.isfinite(one).all() for one in features):
                values["error"], features = "its features are no numbers that float16 holds", None
            rows.append(_Row(values, features))
        return rows

    def _compute(self, pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """A photo's features, float16, in the order of the columns."""
        seen = {schema.PLAIN: pixels}
        if self._mirrors:
            seen[schema.MIRROR] = mirrored(pixels)
        given = {}
        for view, shown in seen.items():
            for output, features in zip(self._outputs, self._network(shown), strict=True):
                with np.errstate(over="ignore"):  # told of the photo, not as a warning
                    given[output, view] = features.astype(np.float16)
        return [given[column["output"], column["view"]] for column in self._columns]


def open_work(facts: dict[str, Any], plan: Place, cpus: int | None) -> Work:
    """What computes what a job says.

    Args:
        facts: what `job.json` says is computed.
        plan: the folder of what computes.
        cpus: as of `Predicting`.
    """
    if facts["what"] == schema.PREDICTIONS:
        return Predicting(plan, cpus)
    return Embedding(plan, facts, cpus)


def _workers(cpus: int | None) -> int | None:
    """Threads: one more than cores, so that none waits while a photo is read."""
    return None if cpus is None else cpus + 1


@contextmanager
def _here(folder: Place) -> Iterator[Path]:
    """A folder as one of this machine, copied if it is elsewhere."""
    if folder.is_local:
        yield folder.local
        return
    with tempfile.TemporaryDirectory() as copy:
        for name, _ in folder.entries():
            Path(copy, name).write_bytes((folder / name).read())
        yield Path(copy)
