"""`pawprint export`, as it is typed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KEPT = Path(__file__).parents[1] / "fixtures" / "bundle-1" / "model"
COMMAND = (sys.executable, "-c", "from pawprint.cli import main; main()")


def test_it_says_what_was_tried_and_where_the_file_is(
    cli: Callable[..., Any], tinted: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(KEPT, tmp_path / "my pëts")
    ran = cli("export", model, "--format", "onnx", "--verify", tinted, "--photos", 7)
    assert ran.code == 0, ran.err
    out = tmp_path / "my pëts-onnx"
    assert f"tried on     7 photos of {tinted.name}" in ran.out
    assert f"export       {out / 'model.onnx'} (onnx, float32, " in ran.out
    assert "labels       100.00% (7 of 7;" in ran.out
    again = cli("export", model, "--format", "onnx", "--verify", tinted)
    assert again.code == 1
    assert again.err.count("\n") == 1
    assert "my pëts-onnx exists already and is not replaced" in again.err


def test_json_is_one_object(cli: Callable[..., Any], tinted: Path, tmp_path: Path) -> None:
    arguments = ("--format", "openvino", "--fp16", "--verify", tinted, "--out", tmp_path / "out")
    ran = cli("export", KEPT, *arguments, "--json")
    told = json.loads(ran.out)
    assert (told["format"], told["precision"], told["file"]) == ("openvino", "float16", "model.xml")
    sizes = sum((tmp_path / "out" / f"model.{end}").stat().st_size for end in ("xml", "bin"))
    assert told["bytes"] == sizes
    assert told["labels"]["of"] == 60


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((KEPT,), "name a --format: onnx, litert, "),
        ((KEPT, "--format", "onnx", "--int8", "--fp16"), "give one of them"),
        ((KEPT, "--format", "onnx"), "name photos with --verify SOURCE"),
        ((KEPT, "--format", "onnx", "--verify", "no/such"), "'no/such' does not exist"),
        ((KEPT, "--format", "h5", "--int8"), "h5 is not written in int8"),
        (("no/such", "--format", "onnx"), "no/such is not a folder"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: tuple[object, ...], told: str, cli: Callable[..., Any]
) -> None:
    ran = cli("export", *arguments)
    assert ran.code == 1
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    assert line.startswith("pawprint: error: ")
    assert told in line


def test_an_empty_folder_of_photos_and_unreadable_ones_are_told(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    for label in ("blue", "rosé"):
        (tmp_path / "photos" / label).mkdir(parents=True)
    arguments = ("export", KEPT, "--format", "onnx", "--verify", tmp_path / "photos")
    assert cli(*arguments).err.count("\n") == 1
    for label in ("blue", "rosé"):
        (tmp_path / "photos" / label / "1.jpg").write_bytes(b"no photo")
    ran = cli(*arguments, "--out", tmp_path / "out")
    (line,) = ran.err.splitlines()
    assert "can be read (blue/1.jpg: it is no image that can be read" in line
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    unprivileged: Callable[..., Any], tinted: Path, shut: Any, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    shut(place, 0o555)
    arguments = ("export", KEPT, "--format", "onnx", "--verify", tinted, "--out", place / "out")
    ran = unprivileged(*arguments)
    assert ran.returncode == 1
    (line,) = ran.stderr.decode().splitlines()
    assert f"{place} cannot be written (Permission denied)" in line


def test_ctrl_c_leaves_nothing_and_nobody(tinted: Path, tmp_path: Path) -> None:
    out = tmp_path / "place" / "out"
    arguments = ["export", KEPT, "--format", "keras", "--verify", tinted, "--out", out]
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as started:
        limit = time.monotonic() + 60
        while not _children(started.pid):  # what writes the file, in a process of its own
            assert started.poll() is None, started.communicate()
            assert time.monotonic() < limit
            time.sleep(0.02)
        children = _children(started.pid)
        started.send_signal(signal.SIGINT)
        out_bytes, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert out_bytes == b""
    assert err.decode().splitlines() == ["pawprint: error: interrupted"]
    assert not out.parent.exists()
    # One that had only just been begun ends by itself, as nobody tells it what to do.
    limit = time.monotonic() + 30
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < limit
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    """The processes that a process has begun."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found
