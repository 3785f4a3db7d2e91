"""The columns of results, and what a part says of itself."""

from __future__ import annotations

import json

import numpy as np
import pyarrow
import pytest

from pawprint.parts.schema import (
    EMBEDDING,
    About,
    features,
    matrix,
    predictions,
    vector,
    vectors,
)

ABOUT = About("f00", 3, 10, 2, 1, {"Käse": 4, "dog": 4})


def test_what_a_part_says_of_itself_is_read_again() -> None:
    table = ABOUT.add_to(pyarrow.table({"a": [1]}).replace_schema_metadata({"classes": "kept"}))
    assert About.of(table.schema.metadata) == ABOUT
    assert table.schema.metadata[b"classes"] == b"kept"


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {b"pawprint": b""},
        {b"pawprint": b"\xff"},
        {b"pawprint": b"[]"},
        {b"pawprint": b"{}"},
        {b"pawprint": json.dumps({**vars(ABOUT), "more": 1}).encode()},
    ],
)
def test_what_no_part_wrote_says_nothing(metadata: dict[bytes, bytes] | None) -> None:
    assert About.of(metadata) is None


def test_predictions_have_these_columns() -> None:
    schema = predictions(["cat", "Käse"], 48)
    assert schema.names == [
        *("path", "label", "probability", "probabilities", "novelty", EMBEDDING, "error")
    ]
    assert schema.field("probabilities").type == pyarrow.list_(pyarrow.float64(), 2)
    assert schema.field(EMBEDDING).type == pyarrow.list_(pyarrow.float16(), 48)
    assert json.loads(schema.metadata[b"classes"]) == ["cat", "Käse"]
    assert EMBEDDING not in predictions(["cat"], 0).names


def test_features_have_these_columns() -> None:
    schema = features({"embedding": 4, "17_mirror": 8})
    assert schema.names == [
        *("path", "label", "split", "sha256", "bytes", "width", "height"),
        *("embedding", "17_mirror", "error"),
    ]
    assert schema.field("17_mirror").type == pyarrow.list_(pyarrow.float16(), 8)


@pytest.mark.parametrize("missing", [[], [1], [0, 1, 2]])
def test_vectors_are_kept_bit_for_bit(missing: list[int]) -> None:
    numbers = np.array([[1, 1e-7, np.inf], [-0.0, 65504, 1 / 3], [5, 6, 7]], np.float16)
    rows = [None if place in missing else row for place, row in enumerate(numbers)]
    column = vectors(rows, vector("v", 3))
    assert column.null_count == len(missing)
    assert [value is None for value in column.to_pylist()] == [row is None for row in rows]
    kept = matrix(column.drop_null()) if len(missing) < 3 else np.empty((0, 3), np.float16)
    there = [place for place in range(3) if place not in missing]
    assert kept.tobytes() == numbers[there].tobytes()
    assert kept.dtype == np.float16


def test_columns_in_pieces_are_one_matrix() -> None:
    first, second = np.arange(6, dtype=np.float16).reshape(2, 3), np.ones((1, 3), np.float16)
    field = vector("v", 3)
    column = pyarrow.chunked_array([vectors(list(first), field), vectors(list(second), field)])
    assert np.array_equal(matrix(column), np.concatenate([first, second]))
