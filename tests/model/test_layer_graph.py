"""A network's graph: what `layers` does not tell, and where one map alone is handed over."""

from __future__ import annotations

import re
from typing import Any

from pawprint.model.framework import load_keras, numbered_anew
from pawprint.model.layer_graph import cut_points, steps_of, steps_up_to


def with_an_operation() -> Any:
    """A network with a residual block of plain operations around a nested model."""
    keras = load_keras()
    photo = keras.Input((8, 8, 3))
    below = keras.layers.Conv2D(4, 1, name="below")(photo)
    nested = keras.Sequential([keras.layers.Conv2D(4, 1), keras.layers.ReLU()], name="nested")
    gate = keras.layers.GlobalAveragePooling2D(name="gate")(below)
    joined = nested(below) * 0.5 + below
    return keras.Model(photo, keras.layers.Multiply(name="gated")([joined, gate[:, None, None]]))


def test_operations_that_are_no_layers_are_steps() -> None:
    steps = steps_of(with_an_operation())
    kinds = [type(step.operation).__name__ for step in steps]
    assert sorted(kinds) == sorted(
        ["Conv2D", "Sequential", "Multiply", "Add", "GlobalAveragePooling2D", "GetItem", "Multiply"]
    )
    places = {id(step.output): place for place, step in enumerate(steps)}
    for place, step in enumerate(steps):
        assert all(places.get(id(tensor), -1) < place for tensor in step.tensors)
    (times,) = (step for step in steps if 0.5 in step.inputs)
    assert [step.name for step in steps if step.output is times.tensors[0]] == ["nested"]


def test_a_cut_is_where_one_map_alone_is_handed_over() -> None:
    steps = steps_of(with_an_operation())
    assert [steps[place].name for place in cut_points(steps)] == ["below", "gated"]


def test_a_vector_is_no_cut() -> None:
    keras = load_keras()
    photo = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU(name="map")(photo))
    steps = steps_of(keras.Model(photo, keras.layers.Dense(2)(pooled)))
    assert [steps[place].name for place in cut_points(steps)] == ["map"]


def test_only_what_a_step_depends_on_is_below_it() -> None:
    steps = steps_of(with_an_operation())
    assert [step.name for step in steps_up_to(steps, "gate")] == ["below", "gate"]
    assert [step.name for step in steps_up_to(steps, "nested")] == ["below", "nested"]
    assert len(steps_up_to(steps, "gated")) == len(steps)


def test_layers_are_numbered_as_in_a_new_process_and_keras_counts_on_afterwards() -> None:
    keras = load_keras()
    before = int(re.sub(r"\D", "", keras.layers.PReLU().name) or 0)
    for _ in range(2):
        with numbered_anew():
            assert [keras.layers.PReLU().name for _ in range(2)] == ["p_re_lu", "p_re_lu_1"]
    assert keras.layers.PReLU().name == f"p_re_lu_{before + 1}"
