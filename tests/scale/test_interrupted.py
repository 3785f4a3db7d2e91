"""Jobs that are interrupted go on, and compute only what is missing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import PART_SIZE, Few, Run, parts, rows, same, times


def test_a_finished_job_is_not_computed_again(job: Run, own: Path, listener: Any) -> None:
    before = times(own)
    again = job(own, part_size=None, progress=listener)
    assert (again.computed, times(own)) == (0, before)
    assert listener.said == [
        f"{own} was begun {again.manifest['begun']}; going on with what is missing"
    ]


def damage(out: Path) -> set[str]:
    """Undo parts of a job in several ways; which."""
    first, second, third, fourth, _ = parts(out)
    first.unlink()
    second.write_bytes(second.read_bytes()[:-100])
    shutil.copy(third, fourth)
    (out / "manifest.json").unlink()
    (out / "parts/.part-0123").write_bytes(b"left")
    return {first.name, second.name, fourth.name}


def test_only_what_is_missing_is_computed(
    job: Run, own: Path, finished: Path, listener: Any
) -> None:
    undone, before = damage(own), times(own)
    ran = job(own, progress=listener)
    changed = {name for name, time in times(own).items() if time != before.get(name)}
    assert changed == undone
    assert ran.computed == sum(listener.steps.values()) == 12
    for one, other in zip(parts(own), parts(finished), strict=True):
        assert one.read_bytes() == other.read_bytes()
    mended, manifest = (json.loads((out / "manifest.json").read_text()) for out in (own, finished))
    for name in ("finished", "seconds"):
        del mended[name], manifest[name]
    assert mended == manifest


def test_parts_of_another_job_are_computed_again(
    job: Run, own: Path, few: Few, finished: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(few.folder, tmp_path / "other", symlinks=True)
    job(tmp_path / "another", other)
    shutil.copy(parts(tmp_path / "another")[2], parts(own)[2])
    assert job(own).computed == PART_SIZE
    assert same(rows(own), rows(finished))


def test_an_interrupted_beginning_is_begun_again(job: Run, tmp_path: Path) -> None:
    (tmp_path / "plan-0123abcd/model").mkdir(parents=True)
    (tmp_path / "plan-0123abcd/listing.parquet").write_bytes(b"half")
    (tmp_path / ".part-0123").write_bytes(b"half of job.json")
    assert job(tmp_path).manifest["errors"] == 4
    assert len(os.listdir(tmp_path)) == 4  # what was left is cleared up


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from pawprint.cli import main
main(sys.argv[2:])
"""


def test_a_disk_without_room_is_said_and_gone_on_from(
    job: Run, few: Few, own: Path, finished: Path
) -> None:
    parts(own)[0].unlink()
    arguments = ["predict", few.folder, "--out", own]
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, "2000", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        f"pawprint: error: {own} cannot be written (file too large); make room or give access and "
        "run the same command again, which goes on from the parts that are there"
    )
    assert not list(own.rglob(".part-*"))
    assert len(parts(own)) == 4
    assert job(own).computed == PART_SIZE
    assert same(rows(own), rows(finished))


COMMAND = (sys.executable, "-c", "from pawprint.cli import main; main()")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_what_is_interrupted_goes_on(
    how: signal.Signals, job: Run, few: Few, tmp_path: Path
) -> None:
    paths = [str(path) for path in sorted(few.folder.glob("*/*.jpg"))] * 15
    (tmp_path / "list.txt").write_text("\n".join(paths))
    out = tmp_path / "out"
    arguments = ["predict", tmp_path / "list.txt", "--out", out, "--part-size", "8"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not parts(out) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    said, told = process.communicate(timeout=120)
    before = times(out)
    total = -(-len(paths) // 8)
    assert 0 < len(before) < total, "it was over before it was interrupted"
    if how == signal.SIGINT:
        assert (process.returncode, said) == (130, "")
        assert told.splitlines()[-1] == "pawprint: error: interrupted"
        assert "Traceback" not in told
        assert not list(out.rglob(".part-*"))
    ran = job(out, tmp_path / "list.txt", part_size=None)
    after = times(out)
    assert len(after) == total
    assert ran.computed == len(paths) - 8 * len(before)
    assert {name: after[name] for name in before} == before
    assert [row["path"] for row in rows(out)] == paths
