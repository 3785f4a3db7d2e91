"""Features in parts, read again: in order, in blocks, and refused where they are not whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from pawprint.errors import SourceError
from pawprint.parts import schema
from pawprint.parts.features import FeatureParts
from pawprint.parts.folder import JOB, LISTING, MANIFEST, JobFolder
from pawprint.parts.listing import Input, write_listing
from pawprint.parts.places import place
from pawprint.parts.schema import About

PART, ROWS, SIZE = 1500, 3700, 4  # a part has two row groups; the last one is shorter
FAULTY = 2  # a row
COLUMNS = {"embedding": SIZE, "embedding_mirror": SIZE}


def vector(row: int) -> list[float]:
    return [row % 64, row // 64, 0.5, -1]


def table(start: int, stop: int) -> pyarrow.Table:
    fields = schema.features(COLUMNS)
    some = range(start, stop)
    given = [None if row == FAULTY else np.array(vector(row), np.float16) for row in some]
    values = {
        "path": [f"{row}.jpg" for row in some],
        "label": [f"kind {row % 3}" for row in some],
        "error": ["it is broken" if row == FAULTY else None for row in some],
        "embedding": schema.vectors(given, fields.field("embedding")),
        "embedding_mirror": schema.vectors(
            [None if one is None else -one for one in given], fields.field("embedding_mirror")
        ),
    }
    empty = [None] * len(some)
    return pyarrow.table([values.get(name, empty) for name in fields.names], fields)


PLAN = "plan-0"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job of three parts. Not to be changed."""
    path = tmp_path_factory.mktemp("made") / "features"
    folder = JobFolder(place(path))
    inputs = (Input(f"{row}.jpg", f"kind {row % 3}") for row in range(ROWS))
    listed = write_listing(folder.place / PLAN / LISTING, inputs, PART)
    job = {
        "schema_version": schema.VERSION,
        "digest": "this job",
        "plan": PLAN,
        "inputs": listed.inputs,
        "listing": listed.digest,
        "computes": {"what": "features", "columns": [{"name": name} for name in COLUMNS]},
    }
    folder.write_json(JOB, job)
    for number, start in enumerate(range(0, ROWS, PART)):
        stop = min(start + PART, ROWS)
        about = About("this job", number, stop - start, int(number == 0), 0, {})
        folder.write_part(number, table(start, stop), about)
    folder.write_json(MANIFEST, {"rows": ROWS})
    return path


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy, to be changed at will."""
    return Path(shutil.copytree(made, tmp_path / "features"))


def test_blocks_are_row_groups_one_after_the_other(made: Path) -> None:
    parts = FeatureParts(place(made))
    found = [(block.part, block.group, block.start, block.end) for block in parts.blocks]
    assert found == [
        (0, 0, 0, 1024),
        (0, 1, 1024, 1500),
        (1, 0, 1500, 2524),
        (1, 1, 2524, 3000),
        (2, 0, 3000, 3700),
    ]
    assert parts.rows == ROWS


def test_tables_have_the_rows_of_their_blocks_and_no_other_columns(made: Path) -> None:
    parts = FeatureParts(place(made))
    seen = 0
    for block, some in parts.tables(["label", "path"]):
        assert set(some.column_names) == {"label", "path"}
        assert block.start == seen
        expected = [f"{row}.jpg" for row in range(block.start, block.end)]
        assert some.column("path").to_pylist() == expected
        seen += len(some)
    assert seen == ROWS


@pytest.mark.parametrize("name", COLUMNS)
def test_vectors_are_those_of_the_rows_that_are_asked_for(made: Path, name: str) -> None:
    parts = FeatureParts(place(made))
    sign = -1 if name == "embedding_mirror" else 1
    for block in parts.blocks:
        rows = np.array([row for row in (0, 1, 5, 475) if row < block.rows])
        found = parts.vectors(block, name, rows)
        assert found.dtype == np.float16
        assert found.shape == (len(rows), SIZE)
        expected = [vector(block.start + row) for row in rows]
        np.testing.assert_array_equal(found, sign * np.array(expected))
    none = parts.vectors(parts.blocks[0], name, np.array([], np.int64))
    assert none.shape == (0, SIZE)


def test_a_row_with_an_error_has_no_features_and_harms_no_other(made: Path) -> None:
    parts = FeatureParts(place(made))
    first = parts.table(parts.blocks[0], ["embedding", "error"])
    assert first.column("embedding")[FAULTY].as_py() is None
    assert first.column("error")[FAULTY].as_py() == "it is broken"
    rows = np.array([FAULTY - 1, FAULTY + 1])
    found = parts.vectors(parts.blocks[0], "embedding", rows)
    np.testing.assert_array_equal(found, [vector(row) for row in rows])


def chunk(path: Path, column: str, group: int = 0) -> tuple[int, int]:
    """Where a column's data of a row group begin in a file, and how many bytes they are."""
    about = parquet.ParquetFile(path).metadata
    place_of = about.schema.to_arrow_schema().get_field_index(column)
    # Of columns of lists the leaf has the same place: each has one.
    found = about.row_group(group).column(place_of)
    start = found.dictionary_page_offset or found.data_page_offset
    return start, found.total_compressed_size


@pytest.mark.parametrize("column", ["path", "label", "embedding"])
def test_a_flipped_byte_is_found_or_does_no_harm(own: Path, column: str) -> None:
    path = own / "parts" / "part-000001.parquet"
    parts = FeatureParts(place(own))
    damaged = next(block for block in parts.blocks if block.part == 1)
    whole, content = parts.table(damaged, [column]), path.read_bytes()
    start, size = chunk(path, column)
    told = []
    for flip in np.linspace(start, start + size - 1, 60).astype(int):
        data = bytearray(content)
        data[flip] ^= 0xFF
        path.write_bytes(data)
        try:
            assert parts.table(damaged, [column]).equals(whole)  # a byte of a page's header
        except SourceError as error:
            told.append(str(error))
    assert len(told) > 40
    assert all(one.startswith(f"{path} cannot be read (") for one in told)
    assert all("delete it and run the same pawprint embed command again" in one for one in told)
    others = [block for block in parts.blocks if block.part != 1]
    assert [len(parts.table(block, [column])) for block in others] == [b.rows for b in others]


def test_a_column_that_is_not_there_is_told(made: Path) -> None:
    parts = FeatureParts(place(made))
    with pytest.raises(SourceError, match=r"cannot be read \(part 0 has no column other\)"):
        parts.vectors(parts.blocks[0], "other", np.arange(3))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def of_another_job(path: Path) -> None:
    JobFolder(place(path.parent.parent)).write_part(
        1, table(1500, 3000), About("another job", 1, 1500, 0, 0, {})
    )


def of_another_place(path: Path) -> None:
    shutil.copy(path.with_name("part-000000.parquet"), path)


@pytest.mark.parametrize("harm", [Path.unlink, cut, empty, of_another_job, of_another_place])
def test_a_part_that_is_not_whole_is_named(own: Path, harm: Callable[[Path], None]) -> None:
    path = own / "parts" / "part-000001.parquet"
    harm(path)
    with pytest.raises(SourceError, match=rf"{path} is missing or damaged; run the same pawprint"):
        FeatureParts(place(own))


def test_a_damaged_end_of_a_part_is_told(own: Path) -> None:
    path = own / "parts" / "part-000001.parquet"
    content = path.read_bytes()
    for harm in (bytes(360), b"\xff" * 360):
        path.write_bytes(content[:-400] + harm + content[-40:])
        with pytest.raises(SourceError, match=rf"{own}.* (cannot be read|is missing or damaged)"):
            FeatureParts(place(own))


def test_a_part_that_goes_away_later_is_told(own: Path) -> None:
    parts = FeatureParts(place(own))
    (own / "parts" / "part-000002.parquet").unlink()
    with pytest.raises(SourceError, match=r"part-000002\.parquet cannot be read \(.*no such file"):
        list(parts.tables(["path"]))


def test_a_job_that_is_not_finished_is_refused(own: Path) -> None:
    (own / MANIFEST).unlink()
    with pytest.raises(SourceError, match="is not finished; run the same pawprint embed command"):
        FeatureParts(place(own))


def test_what_holds_no_features_is_refused(own: Path, tmp_path: Path) -> None:
    job = json.loads((own / JOB).read_text())
    (own / JOB).write_text(json.dumps(job | {"computes": {"what": "predictions"}}))
    with pytest.raises(SourceError, match="holds predictions; expected features, as pawprint"):
        FeatureParts(place(own))
    for text in ("{}", "[]", "no JSON", json.dumps(job | {"schema_version": 99})):
        (own / JOB).write_text(text)
        with pytest.raises(SourceError, match=r"job\.json is not one that this pawprint wrote"):
            FeatureParts(place(own))
    with pytest.raises(SourceError, match=r"has no job\.json; expected a folder that pawprint"):
        FeatureParts(place(tmp_path / "none"))


def test_without_its_listing_nothing_is_read(own: Path) -> None:
    (own / PLAN / LISTING).unlink()
    with pytest.raises(
        SourceError, match=f"{own / PLAN / LISTING} cannot be read .+begin a new job"
    ):
        FeatureParts(place(own))
