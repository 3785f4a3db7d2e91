"""One worker: what it computes, what it leaves alone, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawprint.parts.listing import Input, write_listing
from pawprint.parts.places import place
from pawprint.scale.worker import Assignment, Worker, expect_versions, versions

from .conftest import PART_SIZE, Few, parts, plan_of, times
from .object_store import Store

Assign = Callable[..., Assignment]


@pytest.fixture
def assignment(own: Path, few: Few) -> Assignment:
    """Of the copy of the finished job."""
    digest = json.loads((own / "job.json").read_text())["digest"]
    return Assignment(str(own), str(few.folder), digest)


def test_parts_that_are_there_are_left_alone(assignment: Assignment, own: Path) -> None:
    before = times(own)
    done = Worker(assignment)(4)
    assert (done.part, done.photos, done.errors, done.failure) == (4, 3, 2, "")
    assert times(own) == before


@pytest.mark.parametrize("cpus", [None, 1, 2])
def test_what_is_computed_again_is_the_same_file(
    cpus: int | None, assignment: Assignment, own: Path, finished: Path
) -> None:
    worker = Worker(assignment, cpus)
    for number in (3, 0):
        (own / "parts" / f"part-{number:06}.parquet").unlink()
        assert worker(number).photos == 4
    for one, other in zip(parts(own), parts(finished), strict=True):
        assert one.read_bytes() == other.read_bytes()


def changed(assignment: Assignment, **values: str) -> Assignment:
    return Assignment(**{**vars(assignment), **values})


def test_another_folder_of_the_same_name_is_refused(assignment: Assignment) -> None:
    done = Worker(changed(assignment, digest="another"))(0)
    assert done.failure == (
        f"{assignment.out} is another folder on this node than where the job began; name a folder "
        "that all nodes share, or an address such as s3://..."
    )
    assert done.photos == 0


def test_a_folder_that_this_node_has_not_is_refused(assignment: Assignment, tmp_path: Path) -> None:
    failure = Worker(changed(assignment, out=str(tmp_path / "none")))(0).failure
    assert failure.startswith(f"{tmp_path / 'none'} has no job.json; expected")


def test_keys_are_not_in_failures(assignment: Assignment, own: Path, store: Store) -> None:
    store.put_folder(own.parent)
    out = store.address("own")
    assert Worker(changed(assignment, out=out))(0).failure == ""
    failure = Worker(changed(assignment, out=out, digest="another"))(0).failure
    assert failure.startswith("s3://bucket/own is another folder")
    assert "secret" not in failure


def test_what_cannot_compute_says_so_for_every_part(assignment: Assignment, own: Path) -> None:
    (plan_of(own) / "model/model.onnx").write_bytes(b"damaged")
    worker = Worker(assignment)
    failures = {worker(number).failure for number in (0, 1)}
    assert len(failures) == 1
    assert "model.onnx" in failures.pop()


def test_a_listing_of_another_job_is_a_failure(assignment: Assignment, own: Path) -> None:
    parts(own)[0].unlink()
    inputs = [Input(f"{number}.jpg") for number in range(19)]
    write_listing(place(plan_of(own) / "listing.parquet"), inputs, PART_SIZE)
    failure = Worker(assignment)(0).failure
    assert failure.startswith(
        f"{plan_of(own)}/listing.parquet cannot be read (it is of another job)"
    )
    assert len(parts(own)) == 4


@pytest.mark.parametrize("kind", ["nothing", "file"])
def test_photos_that_this_node_has_not_are_refused(
    kind: str, assignment: Assignment, own: Path, tmp_path: Path
) -> None:
    parts(own)[0].unlink()
    if kind == "file":
        (tmp_path / "photos").write_bytes(b"")
    failure = Worker(changed(assignment, source=str(tmp_path / "photos")))(0).failure
    assert failure == (
        f"{tmp_path / 'photos'} is not there, or not on this node; bring it back or mount it, and "
        "run the same command again"
    )
    assert len(parts(own)) == 4


def other(job: dict[str, Any], name: str) -> dict[str, Any]:
    return job | {"versions": job["versions"] | {name: "0.0"}}


@pytest.mark.parametrize("name", ["pawprint", "decoding", "openvino"])
def test_other_versions_are_refused(name: str, assignment: Assignment, own: Path) -> None:
    job = json.loads((own / "job.json").read_text())
    (own / "job.json").write_text(json.dumps(other(job, name)))
    here = versions()[name]
    assert Worker(assignment)(0).failure.startswith(
        f"the job was begun with {name} 0.0, and here is {here}; install the same on all nodes"
    )


def test_the_same_versions_will_do() -> None:
    expect_versions(versions())
