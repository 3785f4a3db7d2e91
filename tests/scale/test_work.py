"""What is computed of photos, where their features are no numbers that are kept."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from pawprint.parts.folder import NETWORK
from pawprint.parts.listing import Input
from pawprint.parts.places import Place, place
from pawprint.scale.work import Embedding

SIZE = 32
FACTS = {
    "preprocessing": {"size": SIZE, "policy": "squash"},
    "precision": "float32",
    "columns": [{"name": "embedding", "output": "given", "view": "plain", "shape": [3]}],
}


@pytest.fixture
def plan(tmp_path: Path) -> Place:
    """A network that gives, for each colour's largest value, 10,000 √(value - 10)."""
    values = {"ten": 10.0, "much": 10_000.0}
    nodes = [
        helper.make_node("Cast", ["photo"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["numbers"], ["largest"], axes=[1, 2], keepdims=0),
        helper.make_node("Sub", ["largest", "ten"], ["less"]),
        helper.make_node("Sqrt", ["less"], ["root"]),
        helper.make_node("Mul", ["root", "much"], ["given"]),
    ]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("photo", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor(name, TensorProto.FLOAT, [], [one]) for name, one in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    (tmp_path / NETWORK).write_bytes(onnx.ModelProto.SerializeToString(model))
    return place(tmp_path)


def photo(*colour: int) -> bytes:
    with io.BytesIO() as file:
        Image.new("RGB", (SIZE, SIZE), colour).save(file, "PNG")
        return file.getvalue()


def test_features_that_float16_cannot_hold_are_errors(plan: Place) -> None:
    photos = {
        "held.png": photo(10, 11, 46),
        "too large.png": photo(10, 11, 255),
        "no number.png": photo(10, 0, 11),
        "at the edge.png": photo(10, 52, 14),
    }
    inputs = [Input(name, "cat") for name in photos]
    reads = [(name, lambda data=data: data) for name, data in photos.items()]
    found = Embedding(plan, FACTS, 1).table(inputs, reads).to_pylist()
    told = "its features are no numbers that float16 holds"
    assert [row["error"] for row in found] == [None, told, told, None]
    assert [row["label"] for row in found] == ["cat"] * 4
    assert all(row["sha256"] is not None and row["width"] == SIZE for row in found)
    given = [row["embedding"] for row in found]
    assert given[0] == [0, 10_000, 60_000]
    assert given[1:3] == [None, None]
    np.testing.assert_allclose(given[3], [0, 64_807, 20_000], rtol=1e-3)
