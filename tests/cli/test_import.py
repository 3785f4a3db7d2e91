"""`pawprint import`: what the line takes, and what it says when something is wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


def fails(ran: Any, *told: str, code: int = 1) -> None:
    """An error is one line on standard error."""
    assert (ran.code, ran.out) == (code, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("pawprint: error: ")
    for part in told:
        assert part in line


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "does not exist; give a .keras or .h5 file"),
        (["--scaling", "-1..1", "--classes", "cat,dog"], "no file.keras does not exist"),
        (["--outputs", "scores"], "expected probabilities or logits"),
    ],
)
def test_errors_are_one_line(cli: Cli, tmp_path: Path, asked: list[str], told: str) -> None:
    fails(cli("import", tmp_path / "no file.keras", *asked, "--out", tmp_path / "out"), told)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_lacks_something(cli: Cli) -> None:
    fails(cli("import", "file.keras"), "--out", code=2)
    fails(cli("import"), "FILE", code=2)


def test_a_file_that_is_no_network(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "two\nlines.h5"
    file.write_bytes(b"\x80\x04N.")
    asked = ("--classes", "cat, dog", "--scaling=0..1", "--out", tmp_path / "out")
    fails(cli("import", file, *asked), "neither a zip (.keras) nor HDF5")
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_there_already(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    fails(cli("import", tmp_path / "x.keras", "--out", out), "exists already and is not replaced")
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_a_place_that_cannot_be_written(
    unprivileged: Callable[..., subprocess.CompletedProcess[bytes]],
    shut: Callable[[Path, int], Path],
    tmp_path: Path,
) -> None:
    place = tmp_path / "shut"
    place.mkdir()
    shut(place, 0o555)
    ran = unprivileged("import", tmp_path / "x.keras", "--out", place / "out")
    assert ran.returncode == 1
    assert b"cannot be written" in ran.stderr
