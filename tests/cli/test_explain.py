"""`pawprint predict --explain`: the rows are as without it, and the drawings are where they say."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pawprint.training.run import Run

Cli = Callable[..., Any]


@pytest.fixture
def cats(photos: Path) -> list[str]:
    return sorted(map(str, photos.glob("cat/cat_*.jpg")))[:5]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_rows_name_the_drawings(cli: Cli, run: Run, cats: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    plain = objects(cli("predict", run.path, *cats, "--json").out)
    ran = cli("predict", run.path, *cats, "--json", "--explain", out)
    found = objects(ran.out)
    drawings = [row.pop("explained") for row in found]
    assert found == plain
    assert sorted(drawings) == sorted(map(str, out.iterdir()))
    for path in drawings:
        with Image.open(path) as picture:
            picture.load()
    assert ran.code == 0
    assert ran.err.splitlines() == [f"5 heat-maps in {out}: what glows speaks for the answer"]


def test_csv_has_a_column_more_and_the_table_none(
    cli: Cli, run: Run, cats: list[str], tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone.jpg")
    ran = cli("predict", run.path, cats[0], gone, "--csv", "--explain", tmp_path / "csv")
    first, last = csv.DictReader(io.StringIO(ran.out, newline=""))
    told = ["path", "label", "probability", "novelty", "error", "explained"]
    assert list(first) == [*told, "cat", "dog"]
    assert Path(first["explained"]).is_file()
    assert last["explained"] == ""
    assert ran.code == 3
    assert ran.err.splitlines()[0].startswith("1 heat-map in ")
    assert ran.err.splitlines()[1] == "1 of 2 could not be read (exit code 3)"
    table = cli("predict", run.path, *cats, "--explain", tmp_path / "table")
    assert table.out == cli("predict", run.path, *cats).out
    assert len(list((tmp_path / "table").iterdir())) == 5


def test_a_folder_with_damaged_photos_is_explained_as_far_as_it_can_be(
    cli: Cli, run: Run, photos: Path, tmp_path: Path
) -> None:
    ran = cli("predict", run.path, photos, "--json", "--explain", tmp_path / "out")
    rows = objects(ran.out)
    assert ran.code == 3
    assert [row["explained"] is None for row in rows] == [row["error"] is not None for row in rows]
    files = {row["explained"] for row in rows} - {None}
    assert files == set(map(str, (tmp_path / "out").iterdir()))
    assert len(files) == len(rows) - 5


def test_drawings_written_among_the_photos_are_not_taken_for_photos(
    cli: Cli, run: Run, cats: list[str], tmp_path: Path
) -> None:
    for path in cats:
        (tmp_path / Path(path).name).write_bytes(Path(path).read_bytes())
    out = tmp_path / "out"
    ran = cli("predict", run.path, tmp_path, tmp_path, "--json", "--explain", out)
    rows = objects(ran.out)
    assert len(rows) == len(set(out.iterdir())) == 10
    assert {Path(row["path"]).parent for row in rows} == {tmp_path}


@pytest.mark.parametrize(
    "name", ["with space.jpg", "naïve 猫.jpg", "-dash.jpg", "x" * 251 + ".jpg"]
)
def test_photos_of_any_name_are_explained(
    cli: Cli,
    run: Run,
    cats: list[str],
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(Path(cats[0]).read_bytes())
    monkeypatch.chdir(tmp_path)
    ran = cli("predict", run.path, "in", "--json", "--explain", "out")
    (row,) = objects(ran.out)
    (file,) = Path("out").iterdir()
    assert row["explained"] == os.fspath(file)
    assert file.name.startswith(Path(name).stem[:150])


def test_no_photos_leave_an_empty_folder(cli: Cli, run: Run, tmp_path: Path) -> None:
    ran = cli("predict", run.path, "-", "--json", "--explain", tmp_path / "out", stdin="")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("0 heat-maps in ")


def test_a_folder_that_is_not_empty_is_one_line_before_any_work(
    cli: Cli, run: Run, cats: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.jpg").write_text("mine")
    for out in (tmp_path, tmp_path / "mine.jpg"):
        ran = cli("predict", run.path, *cats, "--explain", out)
        assert (ran.code, ran.out) == (1, "")
        (line,) = ran.err.splitlines()
        assert str(out) in line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jpg"]


def test_a_disk_that_is_full_is_one_line_and_no_half_file(
    run: Run, cats: list[str], tmp_path: Path
) -> None:
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from pawprint.cli import main; main()"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", code, "predict", run.path, *cats, "--explain", out]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert f"{out}/cat_0001-" in line
    assert "cannot be written (file too large)" in line
    assert list(out.iterdir()) == []


def test_explaining_needs_nothing_of_the_training_extra(
    run: Run, cats: list[str], tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "for name in ('keras', 'tensorflow', 'onnx', 'cv2', 'sklearn', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from pawprint.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "predict", run.path, cats[0], "--explain"]
    ran = subprocess.run(
        [*command, tmp_path / "out"], capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert len(list((tmp_path / "out").iterdir())) == 1
