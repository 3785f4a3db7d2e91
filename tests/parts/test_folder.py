"""A job's folder: which parts are there, whole, and of this job."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from pawprint.errors import OutputError, SourceError
from pawprint.parts.folder import JOB, LISTING, JobFolder, digest_of
from pawprint.parts.listing import Input, Listed, write_listing
from pawprint.parts.places import Place, place
from pawprint.parts.schema import VERSION, About

from ..scale.object_store import Store

SIZES = (4, 4, 2)
PLAN = "plan-0"


def begin(top: Place, digest: str = "f00") -> JobFolder:
    """A job of ten inputs in three parts, none of them there."""
    folder = JobFolder(top)
    listed = list_inputs(folder)
    said = {"digest": digest, "plan": PLAN, "inputs": listed.inputs, "listing": listed.digest}
    folder.write_json(JOB, {"schema_version": VERSION, **said})
    return JobFolder(top)


def list_inputs(folder: JobFolder, name: str = "{}.jpg", inputs: int = sum(SIZES)) -> Listed:
    some = [Input(name.format(number)) for number in range(inputs)]
    return write_listing(folder.place / PLAN / LISTING, some, SIZES[0])


def table(part: int, rows: int | None = None) -> pyarrow.Table:
    values = [f"{part} {row}" for row in range(SIZES[part] if rows is None else rows)]
    return pyarrow.table({"path": values, "label": values, "split": values, "error": values})


def about(part: int, job: str = "f00") -> About:
    return About(job, part, SIZES[part], 0, 0, {})


def finish(folder: JobFolder) -> JobFolder:
    for part in range(len(SIZES)):
        folder.write_part(part, table(part), about(part))
    return folder


@pytest.fixture(params=["disk", "store", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> JobFolder:
    """A job that has begun, on several file systems."""
    if request.param == "store":
        store: Store = request.getfixturevalue("store")
        return begin(place(store.address("out")))
    return begin(place(f"memory://{tmp_path.name}" if request.param == "memory" else tmp_path))


def test_parts_are_there_once_they_are_written(folder: JobFolder) -> None:
    assert list(folder.there()) == [(0, None), (1, None), (2, None)]
    folder.write_part(1, table(1), about(1))
    assert list(folder.there()) == [(0, None), (1, about(1)), (2, None)]
    finish(folder)
    assert list(folder.there([2, 0])) == [(2, about(2)), (0, about(0))]
    with folder.part(2).reading() as file:
        assert parquet.read_table(file).replace_schema_metadata().equals(table(2))


@pytest.fixture
def whole(tmp_path: Path) -> JobFolder:
    """A job all of whose parts are there, on disk."""
    return finish(begin(place(tmp_path)))


def test_damaged_parts_are_not_there(whole: JobFolder) -> None:
    file = whole.part(1).local
    content = file.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little")
    damaged = [
        b"",
        content[:-1],
        content[:100],
        content[: -8 - footer] + bytes(footer) + content[-8:],
        content[: -8 - footer] + b"\xff" * footer + content[-8:],
        b"PAR1 and no more PAR1",
        b"no Parquet at all",
    ]
    for what in damaged:
        file.write_bytes(what)
        assert list(whole.there()) == [(0, about(0)), (1, None), (2, about(2))]
    file.write_bytes(content)
    assert whole.look(1) == about(1)


def test_parts_of_others_are_not_there(whole: JobFolder) -> None:
    shutil.copy(whole.part(0).local, whole.part(1).local)
    assert whole.look(1) is None, "another number"
    whole.write_part(1, table(1), about(1, job="another"))
    assert whole.look(1) is None, "another job"
    whole.write_part(1, table(1, rows=3), about(1))
    assert whole.look(1) is None, "rows missing"
    parquet.write_table(table(1), whole.part(1).local)
    assert whole.look(1) is None, "another program"
    whole.part(1).local.unlink()
    whole.part(1).local.mkdir()
    assert list(whole.there()) == [(0, about(0)), (1, None), (2, about(2))], "a folder"


def test_what_else_lies_beside_parts_does_not_matter(whole: JobFolder) -> None:
    parts = whole.part(0).parent.local
    for name in (".part-123", "part-1.parquet", "part-000001.parquet.bak", "part-000009.parquet"):
        (parts / name).write_bytes(b"left")
    assert list(whole.there()) == [(number, about(number)) for number in range(3)]


def test_a_store_that_does_not_answer_does_not_mean_that_nothing_is_there(store: Store) -> None:
    whole = finish(begin(place(store.address("out"))))
    store.faults = lambda method, key, number: 403 if key.endswith("1.parquet") else None
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        list(whole.there())


@pytest.mark.parametrize(
    "said", [b"", b"{", b"[]", b"{}", b"\xff", b'{"digest": "f00", "schema_version": 2}']
)
def test_a_job_that_cannot_be_read_is_refused(said: bytes, whole: JobFolder) -> None:
    (whole.place / JOB).write(said)
    with pytest.raises(SourceError, match=r"job\.json is not one that this pawprint wrote"):
        _ = JobFolder(whole.place).job


def test_a_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no job\.json; expected a folder that"):
        _ = JobFolder(place(tmp_path)).job


@pytest.mark.parametrize("content", [None, b"", b"no Parquet"])
def test_a_listing_that_is_gone_or_damaged_is_said_to_be(
    content: bytes | None, whole: JobFolder
) -> None:
    listing = whole.plan / LISTING
    listing.local.unlink()
    if content is not None:
        listing.write(content)
    told = r"listing\.parquet cannot be read \(.+\); where it is missing or damaged begin a new job"
    with pytest.raises(SourceError, match=told):
        list(JobFolder(whole.place).there())


@pytest.mark.parametrize(
    "other", [{"name": "other {}.jpg"}, {"inputs": 9}, {"inputs": 11}], ids=str
)
def test_a_listing_of_another_job_is_refused(other: dict[str, Any], whole: JobFolder) -> None:
    list_inputs(whole, **other)
    with pytest.raises(
        SourceError, match=r"listing\.parquet cannot be read \(it is of another job"
    ):
        list(JobFolder(whole.place).there())
    list_inputs(whole)
    assert list(JobFolder(whole.place).there()) == [(part, about(part)) for part in range(3)]


def test_a_listing_whose_rows_are_damaged_is_said_to_be(whole: JobFolder) -> None:
    listing = whole.plan / LISTING
    content = bytearray(listing.read())
    content[4:100] = bytes(96)
    listing.write(bytes(content))
    with pytest.raises(SourceError, match=r"listing\.parquet cannot be read \(.+begin a new job"):
        JobFolder(whole.place).inputs(0)


def test_what_cannot_be_written_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(OutputError, match=r"file cannot be written \(.+\); make room or give acc"):
        JobFolder(place(tmp_path / "file")).write_json(JOB, {})


def test_digests_follow_from_values_and_not_from_their_order() -> None:
    one = digest_of({"a": 1, "b": [1, 2]})
    assert one == digest_of({"b": [1, 2], "a": 1})
    assert one != digest_of({"a": 1, "b": [2, 1]})
