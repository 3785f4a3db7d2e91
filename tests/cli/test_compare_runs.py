"""`pawprint compare RUN RUN`: what is said of runs beside each other, in words and in JSON."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawprint.report.compare_runs import compare_runs
from pawprint.training.run import Run

Cli = Callable[..., Any]


@pytest.fixture
def turned(run: Run, tmp_path: Path) -> Path:
    """A copy of a run that answers every second photo otherwise."""
    folder = Path(shutil.copytree(run.path, tmp_path / "turned run"))
    path = folder / "predictions.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    for row in rows[::2]:
        row[3] = "dog" if row[3] == "cat" else "cat"
        row[-2:] = row[:-3:-1]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


def test_runs_are_tabled_with_how_they_differ_from_the_first(
    cli: Cli, run: Run, turned: Path
) -> None:
    ran = cli("compare", run.path, turned, run.path)
    assert (ran.code, ran.err) == (0, "")
    header, first, second, same = ran.out.splitlines()
    assert header.split()[:3] == ["run", "recipe", "right"]
    found = compare_runs([run.path, turned])[1].against_first
    assert found is not None
    assert first.startswith(str(run.path))
    assert f"{run.figures.accuracy:.2%}" in first
    assert first.endswith(" s")
    points = 100 * (found.right_after - found.right_before) / found.count
    assert second.startswith(str(turned))
    assert f"{points:+.2f} points (" in second
    assert f"better on {found.only_after}, worse on {found.only_before}; p = " in second
    assert f" on {run.figures.count}; " in second
    assert "+0.00 points (" in same
    assert same.endswith("better on 0, worse on 0; p = 1")
    assert header.index("right") == first.index("%") - len("righ")


def test_in_json_each_run_is_an_object(cli: Cli, run: Run, turned: Path) -> None:
    ran = cli("compare", run.path, turned, "--json")
    first, second = map(json.loads, ran.out.splitlines())
    assert (ran.code, ran.err, first["against_first"]) == (0, "", None)
    assert [one["run"] for one in (first, second)] == [str(run.path), str(turned)]
    assert first["accuracy"] == run.figures.accuracy
    assert [first["low"], first["high"]] == list(run.figures.accuracy_interval)
    found = compare_runs([run.path, turned])[1].against_first
    assert found is not None
    assert second["against_first"] == found.to_dict()


def test_runs_of_other_photos_are_told_to_have_none_in_common(
    cli: Cli, run: Run, turned: Path
) -> None:
    path = turned / "manifest.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    place = header.index("sha256")
    for row in rows:
        row[place] = row[place][::-1]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    ran = cli("compare", run.path, turned)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1].endswith("  no photo judged both")
    ran = cli("compare", run.path, turned, "--json")
    assert json.loads(ran.out.splitlines()[-1])["against_first"] is None


def test_what_cannot_be_compared_is_one_line(
    cli: Cli, run: Run, run_of_three: Run, turned: Path, tmp_path: Path
) -> None:
    (turned / "predictions.csv").unlink()
    for arguments, told in (
        ([run.path], "nothing to compare with; name further runs, or backbones"),
        ([run.path, run_of_three.path], "only runs of the same classes can be compared"),
        ([run.path, turned], "is not a whole run: predictions.csv missing"),
        ([run.path, tmp_path], "has no run.json; expected a run"),
        ([tmp_path / "none", run.path], "is not a folder; expected a run"),
    ):
        ran = cli("compare", *arguments)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("pawprint: error: ")
        assert told in ran.err
        assert ran.err.count("\n") == 1
