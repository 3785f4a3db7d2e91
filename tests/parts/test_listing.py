"""The file of all inputs: its row groups are the parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import parquet

from pawprint.parts.listing import SCHEMA, Input, Listed, Listing, write_listing
from pawprint.parts.places import place

INPUTS = [
    Input("a\nb.jpg", "cat", "train"),
    Input("é 猫.jpg"),
    Input("c.jpg", error="it cannot be asked for"),
    *(Input(f"{number}.jpg", str(number)) for number in range(8)),
]


def written(to: Path, inputs: list[Input], size: int) -> tuple[Listed, Listing]:
    listed = write_listing(place(to), inputs, size)
    return listed, Listing(place(to))


@pytest.mark.parametrize("size", [1, 4, 11, 12, 1000])
def test_what_is_written_is_read_part_by_part(size: int, tmp_path: Path) -> None:
    listed, listing = written(tmp_path / "l", INPUTS, size)
    assert listed.inputs == len(INPUTS)
    assert listing.parts == -(-len(INPUTS) // size)
    parts = [listing.inputs(number) for number in range(listing.parts)]
    assert [one for part in parts for one in part] == INPUTS
    assert [len(part) for part in parts] == [listing.rows(n) for n in range(listing.parts)]
    assert max(map(len, parts)) <= size
    assert parquet.read_schema(tmp_path / "l").equals(SCHEMA)


def test_the_digest_is_of_the_paths_in_order(tmp_path: Path) -> None:
    digest = written(tmp_path / "l", INPUTS, 4)[0].digest
    assert digest == written(tmp_path / "l", INPUTS, 5)[0].digest
    assert digest != written(tmp_path / "l", INPUTS[::-1], 4)[0].digest
    assert digest != written(tmp_path / "l", INPUTS[1:], 4)[0].digest


def test_nothing_is_written_of_nothing(tmp_path: Path) -> None:
    assert write_listing(place(tmp_path / "new/l"), [], 4).inputs == 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_listing_that_breaks_off(tmp_path: Path) -> None:
    def inputs() -> Iterator[Input]:
        yield from INPUTS
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_listing(place(tmp_path / "l"), inputs(), 4)
    assert list(tmp_path.iterdir()) == []


def test_inputs_are_taken_a_part_at_a_time(tmp_path: Path) -> None:
    taken: list[int] = []
    sizes: list[int] = []

    def inputs() -> Iterator[Input]:
        for number in range(1000):
            taken.append(number)
            if (tmp_path / "l").exists() or list(tmp_path.glob(".part-*")):
                sizes.append(number)
            yield Input(f"{number}.jpg")

    write_listing(place(tmp_path / "l"), inputs(), 10)
    assert (len(taken), sizes[0]) == (1000, 10)
