"""The lines of a recipe's values, however its TOML is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from pawprint.training import recipe_files
from pawprint.training.toml_lines import Place, find_lines, line_of, toml_value

ODD = '''# [data] of a comment
name = """a [data]
size = 1
\\"""quoted\\"""
and "closed""""" # [not.a.table]
"keras h5".'d.e' = 'C:\\'
data.size = 96

[backbone] # weights = 3
weights = \'\'\'
[[stage]]
train = "all"\'\'\'

augment = [ # the first
  {layer = "flip", note = "}]"},

  {layer = "rotation", factor = [
             0.1,
             0.2]}, # ]
]
[[stage]]
train = "head"
[stage.more]
deep.er = 1979-05-27 07:32:00
[[stage]]
[[stage.inner]]
a = ""
[[stage.inner]]
b = \'\'
'''
PLACES: dict[Place, int] = {
    ("name",): 2,
    ("keras h5", "d.e"): 6,
    ("data",): 7,
    ("data", "size"): 7,
    ("backbone",): 9,
    ("backbone", "weights"): 10,
    ("backbone", "augment"): 14,
    ("backbone", "augment", 0): 15,
    ("backbone", "augment", 0, "note"): 15,
    ("backbone", "augment", 1): 17,
    ("backbone", "augment", 1, "factor"): 17,
    ("backbone", "augment", 1, "factor", 1): 19,
    ("stage",): 21,
    ("stage", 0): 21,
    ("stage", 0, "train"): 22,
    ("stage", 0, "more"): 23,
    ("stage", 0, "more", "deep", "er"): 24,
    ("stage", 1): 25,
    ("stage", 1, "inner", 0, "a"): 27,
    ("stage", 1, "inner", 1): 28,
    ("stage", 1, "inner", 1, "b"): 29,
}


def test_every_way_to_write_a_value_has_its_line() -> None:
    lines = find_lines(ODD)
    assert {place: lines.get(place) for place in PLACES} == PLACES


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Every place in parsed TOML."""
    yield at
    held = dict(enumerate(value)) if isinstance(value, list) else value
    if isinstance(held, dict):
        for key, inner in held.items():
            yield from places(inner, (*at, key))


@pytest.mark.parametrize("text", [ODD, *map(recipe_files.text_of, recipe_files.names())])
def test_all_that_tomllib_reads_is_found_and_nothing_else(text: str) -> None:
    found = find_lines(text)
    assert set(found) == set(places(tomllib.loads(text)))
    rows = text.splitlines()
    for place, line in found.items():
        if place and isinstance(place[-1], str):
            assert place[-1] in rows[line - 1]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((), 1),
        (("nothing",), 1),
        (("backbone", "alpha"), 9),
        (("stage", 0, "epochs"), 21),
        (("stage", 1, "inner", 1, "c", 3), 28),
    ],
)
def test_what_is_not_there_has_the_line_of_the_table_around_it(place: Place, line: int) -> None:
    assert line_of(find_lines(ODD), place) == line


@pytest.mark.parametrize("text", ["", "\n\n", "# only this", "[a]", "a=1"])
def test_short_texts_have_their_lines(text: str) -> None:
    assert set(find_lines(text).values()) == {1}


@pytest.mark.parametrize(
    "value",
    [
        True,
        5,
        -0.1,
        1e-7,
        1e300,
        [0.1, [2, "x"]],
        {"a b": {"c": []}},
        'a "b"\n\\\x07\x7f\u2028',
        "",
    ],
)
def test_a_value_is_written_so_that_it_is_read_back(value: object) -> None:
    text = f"value = {toml_value(value)}"
    assert "\n" not in text
    assert tomllib.loads(text)["value"] == value
