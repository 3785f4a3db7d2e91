"""The columns of results, and what a part says of itself. Written down in docs/scale.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

VERSION = 1
PREDICTIONS, FEATURES = "predictions", "features"  # what a job may compute
PLAIN, MIRROR = "plain", "mirror"  # the views of a photo that features may be of
EMBEDDING = "embedding"
_ABOUT = b"pawprint"  # the key, in a file's metadata, of what it says of itself


@dataclass(frozen=True)
class About:
    """What a part says of itself.

    Args:
        job: the digest of the job that it is of.
        part: its number.
        rows: how many.
        errors: how many of them have one,
        unreachable: of these, for how many the store failed at every try: another day may do.
        labels: by label, how many rows have it.
    """

    job: str
    part: int
    rows: int
    errors: int
    unreachable: int
    labels: dict[str, int]

    def add_to(self, table: pyarrow.Table) -> pyarrow.Table:
        """The table with this in its metadata."""
        more = {_ABOUT: json.dumps(vars(self), ensure_ascii=False)}
        return table.replace_schema_metadata({**(table.schema.metadata or {}), **more})

    @classmethod
    def of(cls, metadata: Mapping[bytes, bytes] | None) -> About | None:
        """What a file's metadata say, or None where no part wrote them."""
        try:
            return cls(**json.loads((metadata or {})[_ABOUT]))
        except (KeyError, ValueError, TypeError):
            return None


def predictions(classes: Sequence[str], embedding: int) -> pyarrow.Schema:
    """The columns of predictions.

    Args:
        classes: names, in the order of the probabilities; they stand in the schema's metadata.
        embedding: how many numbers an embedding has; 0 where the model gives none.
    """
    fields = [
        pyarrow.field("path", pyarrow.string(), nullable=False),
        pyarrow.field("label", pyarrow.string()),
        pyarrow.field("probability", pyarrow.float64()),
        pyarrow.field("probabilities", pyarrow.list_(pyarrow.float64(), len(classes))),
        pyarrow.field("novelty", pyarrow.float64()),
        *([vector(EMBEDDING, embedding)] if embedding else []),
        pyarrow.field("error", pyarrow.string()),
    ]
    named = {"classes": json.dumps(list(classes), ensure_ascii=False)}
    return pyarrow.schema(fields, metadata=named)


def features(columns: Mapping[str, int]) -> pyarrow.Schema:
    """The columns of features.

    Args:
        columns: the names of features, and how many numbers each has.
    """
    fields = [
        pyarrow.field("path", pyarrow.string(), nullable=False),
        pyarrow.field("label", pyarrow.string()),
        pyarrow.field("split", pyarrow.string()),
        pyarrow.field("sha256", pyarrow.string()),
        pyarrow.field("bytes", pyarrow.int64()),
        pyarrow.field("width", pyarrow.int32()),
        pyarrow.field("height", pyarrow.int32()),
        *(vector(name, size) for name, size in columns.items()),
        pyarrow.field("error", pyarrow.string()),
    ]
    return pyarrow.schema(fields)


def vector(name: str, size: int) -> pyarrow.Field:
    """A column of float16 vectors, null where there is an error."""
    return pyarrow.field(name, pyarrow.list_(pyarrow.float16(), size))


def vectors(rows: Sequence[NDArray[Any] | None], field: pyarrow.Field) -> pyarrow.Array:
    """Vectors as a column.

    >>> field = vector("embedding", 2)
    >>> vectors([np.array([1, 2]), None], field).to_pylist()
    [[1.0, 2.0], None]

    Args:
        rows: each of the field's size, or None.
        field: the column's.
    """
    size, kind = field.type.list_size, field.type.value_type
    flat = np.zeros((len(rows), size), kind.to_pandas_dtype())
    missing = np.array([row is None for row in rows], dtype=bool)
    for place, row in enumerate(rows):
        if row is not None:
            flat[place] = row.reshape(-1)
    values = pyarrow.array(flat.reshape(-1), kind)
    mask = pyarrow.array(missing) if missing.any() else None
    return pyarrow.FixedSizeListArray.from_arrays(values, type=field.type, mask=mask)


def matrix(column: pyarrow.ChunkedArray | pyarrow.Array) -> NDArray[Any]:
    """A column of vectors without nulls as an array, (n, size), in the column's own dtype."""
    if isinstance(column, pyarrow.ChunkedArray):
        column = column.combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(len(column), column.type.list_size))
