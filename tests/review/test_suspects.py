"""What a run doubts is read as it was written, and anything else is refused by name."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawprint.errors import RunError
from pawprint.report.run_files import Suspect
from pawprint.review import suspects

WriteRun = Callable[..., Path]
ROW = {
    "path": "photos/cat/1.jpg",
    "sha256": "ab" * 32,
    "split": "train",
    "given": "cat",
    "suggested": "dog",
    "given_probability": 0,
    "suggested_probability": 0.98,
}


def test_suspects_are_read_in_their_order(write_run: WriteRun, photos: Path) -> None:
    found = suspects.read(write_run(ROW, {**ROW, "path": "photos/кот/猫.jpg"}))
    assert found.ranked == (
        Suspect("photos/cat/1.jpg", "ab" * 32, "train", "cat", "dog", 0.0, 0.98),
        Suspect("photos/кот/猫.jpg", "ab" * 32, "train", "cat", "dog", 0.0, 0.98),
    )
    assert (found.source, found.location, found.classes) == ("photos", str(photos), ("cat", "dog"))
    assert (found.judged_by, found.photos) == ("a model, in 5 folds", 1234)
    assert (found.count, found.expected) == (2, 3)


def test_a_run_may_doubt_nothing(write_run: WriteRun) -> None:
    assert suspects.read(write_run()).ranked == ()


def test_a_name_that_is_not_utf_8_is_read(write_run: WriteRun) -> None:
    run = write_run({**ROW, "path": "cat/odd.jpg"})
    path = run / "suspects.json"
    path.write_bytes(path.read_bytes().replace(b"odd", b"\xff"))
    assert suspects.read(run).ranked[0].path == os.fsdecode(b"cat/\xff.jpg")


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none is not a folder; expected a run, such as runs/NA"):
        suspects.read(tmp_path / "none")
    with pytest.raises(RunError, match=r"has no run\.json; expected a run, such as runs/NAME"):
        suspects.read(tmp_path)


def test_a_run_of_before_there_were_suspects_is_told_what_to_do(write_run: WriteRun) -> None:
    run = write_run()
    (run / "suspects.json").unlink()
    with pytest.raises(RunError, match=r"whole run: suspects\.json missing; .* or train again"):
        suspects.read(run)


def test_a_run_that_does_not_say_where_its_photos_are_is_read(write_run: WriteRun) -> None:
    run = write_run(ROW)
    record = json.loads((run / "run.json").read_text())
    del record["from"]
    (run / "run.json").write_text(json.dumps(record))
    assert suspects.read(run).location == ""


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 9, b'"' + b"[" * 9, b"[" * 10**5], ids=repr)
def test_a_damaged_file_is_told(write_run: WriteRun, content: bytes) -> None:
    run = write_run()
    (run / "suspects.json").write_bytes(content)
    with pytest.raises(RunError, match=r"suspects\.json is not what .* \(it is no JSON: .*intact"):
        suspects.read(run)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"given_probability": float("nan")}, "NaN is not a number"),
        ({"given_probability": -0.01}, "0.given_probability: Input should be greater than or eq"),
        ({"suggested_probability": 1.01}, "0.suggested_probability: Input should be less than or"),
        ({"suggested_probability": "high"}, "0.suggested_probability: Input should be a valid num"),
        ({"suggested": "owl"}, "its classes are not those of run.json"),
        ({"path": None}, "0.path: Input should be an instance of str"),
        ({"split": 3}, "0.split: Input should be a valid string"),
    ],
)
def test_a_suspect_that_cannot_be_is_told(
    write_run: WriteRun, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(RunError, match=rf"suspects\.json is not what .*{re.escape(told)}"):
        suspects.read(write_run({**ROW, **change}))


@pytest.mark.parametrize("name", ROW)
def test_a_suspect_that_lacks_something_is_told(write_run: WriteRun, name: str) -> None:
    row = {key: value for key, value in ROW.items() if key != name}
    with pytest.raises(RunError, match=rf"suspects\.0\.{name}: Field required"):
        suspects.read(write_run(row))


@pytest.mark.parametrize("rows", [None, 3, [3], ["path"], {"a": 1}])
def test_suspects_that_are_no_list_of_objects_are_told(write_run: WriteRun, rows: Any) -> None:
    run = write_run()
    values = json.loads((run / "suspects.json").read_text())
    (run / "suspects.json").write_text(json.dumps({**values, "suspects": rows}))
    with pytest.raises(RunError, match=r"\(suspects.*: Input should be"):
        suspects.read(run)
