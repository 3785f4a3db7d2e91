"""What only a process of its own can show: imports, sockets, permissions, Ctrl-C and kill -9."""

from __future__ import annotations

import io
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

import numpy as np
import pytest
from PIL import Image

import pawprint
from pawprint.testing import write_tiny_recipe
from pawprint.training.run import Run

Process = Callable[..., subprocess.CompletedProcess[bytes]]

# What is noted goes to a file and not to a list, so that forked children note theirs as well.
WATCHED = """
import json, os, sys

notes = os.open(sys.argv[1] + ".sockets", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

def note(event, told):
    if event.startswith("socket."):
        os.write(notes, f"{event} {told}\\n".encode())

sys.addaudithook(note)
from pawprint.cli import main

try:
    main(sys.argv[2:])
except SystemExit as end:
    code = end.code or 0
modules = sorted({name.partition(".")[0] for name, module in sys.modules.items() if module})
with open(sys.argv[1], "w") as file:
    json.dump({"code": code, "modules": modules}, file)
"""


def sockets(told: Path) -> list[str]:
    """What the process and its children did with sockets."""
    return Path(f"{told}.sockets").read_text().splitlines()


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_neither_training_code_nor_a_socket_is_needed(
    command: str, run: Run, photos: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told.json"
    arguments = [told, command, run.path, photos, "--json"]
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, arguments)],
        capture_output=True,
        timeout=240,
        check=True,
    )
    assert ran.stdout
    found = json.loads(told.read_text())
    assert found["code"] == (3 if command == "predict" else 0)
    assert "openvino" in found["modules"]
    heavy = {
        "keras",
        "tensorflow",
        "sklearn",
        "matplotlib",
        "onnx",
        "torch",
        "jax",
        "scipy",
        "h5py",
    }
    assert heavy & set(found["modules"]) == set()
    assert sockets(told) == []


def test_help_and_version_import_nothing_large(tmp_path: Path) -> None:
    for arguments in (["--version"], ["train", "--help"], ["predict", "--help"]):
        told = tmp_path / "told.json"
        subprocess.run(
            [sys.executable, "-c", WATCHED, str(told), *arguments],
            capture_output=True,
            timeout=240,
            check=True,
        )
        found = json.loads(told.read_text())
        assert found["code"] == 0
        assert {"keras", "tensorflow", "openvino", "numpy", "PIL"} & set(found["modules"]) == set()


# permissions


def test_what_may_not_be_read_or_cached_is_told_and_the_rest_is_trained(
    bound: list[str], tinted: Path, recipe: Path, tmp_path: Path, shut: Any
) -> None:
    photos = shutil.copytree(tinted, tmp_path / "photos")
    photo = min((photos / "blue").iterdir())
    (tmp_path / "cache").mkdir()
    shut(tmp_path / "cache", 0o555)
    shut(photo, 0o000)
    shut(photos / "red", 0o000)
    (photos / "blue" / "up").symlink_to(photos)
    told = tmp_path / "told.json"
    arguments = [told, "train", photos, "--recipe", recipe, "--out", tmp_path / "run"]
    ran = subprocess.run(
        [*bound, sys.executable, "-c", WATCHED, *map(str, arguments)],
        env={**os.environ, "PAWPRINT_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        timeout=240,
        check=True,
    )
    found = json.loads(told.read_text())
    assert found["code"] == 0, ran.stderr
    # urllib3, which Keras imports, binds one to see whether there is IPv6.
    events = {line.split()[0] for line in sockets(told)}
    assert events <= {"socket.__new__", "socket.bind"}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["classes"] == ["blue", "green"]
    left_out = (tmp_path / "run" / "left_out.csv").read_text().splitlines()
    assert f"{photos / 'red'},folder cannot be read (permission denied)" in left_out
    assert f"{photo},cannot be read (permission denied)" in left_out
    assert any("up,is a link back" in line for line in left_out)
    (line,) = ran.stderr.decode().splitlines()
    assert "the cache cannot be used" in line
    assert list((tmp_path / "cache").iterdir()) == []


def test_unreadable_class_folders_that_leave_one_class_are_one_line(
    unprivileged: Process, tinted: Path, recipe: Path, tmp_path: Path, shut: Any
) -> None:
    photos = shutil.copytree(tinted, tmp_path / "photos")
    for label in ("red", "green"):
        shut(photos / label, 0o000)
    ran = unprivileged("train", photos, "--recipe", recipe, "--out", tmp_path / "run")
    (line,) = ran.stderr.decode().splitlines()
    assert ran.returncode == 1
    assert "holds one class, 'blue'" in line
    assert "folder cannot be read (permission denied)" in line
    assert not (tmp_path / "run").exists()


def test_a_photo_and_a_folder_that_may_not_be_read_are_rows(
    unprivileged: Process, run: Run, photos: Path, tmp_path: Path, shut: Any
) -> None:
    photo = Path(shutil.copy(next(photos.glob("cat/cat_*")), tmp_path / "shut.jpg"))
    shut(photo, 0o000)
    ran = unprivileged("predict", run.path, photo, "--json")
    assert ran.returncode == 3
    assert "denied" in json.loads(ran.stdout)["error"].lower()
    (tmp_path / "folder").mkdir()
    shut(tmp_path / "folder", 0o000)
    ran = unprivileged("predict", run.path, photo, tmp_path / "folder", "--json")
    assert ran.returncode in (1, 3)
    assert b"Traceback" not in ran.stderr
    assert b"unexpected" not in ran.stderr
    assert b"denied" in (ran.stderr + ran.stdout).lower()


def test_a_bundle_that_may_not_be_read_is_one_line(
    unprivileged: Process, own_bundle: Path, photos: Path, shut: Any
) -> None:
    shut(own_bundle / "model.onnx", 0o000)
    ran = unprivileged("predict", own_bundle, photos)
    (line,) = ran.stderr.decode().splitlines()
    assert ran.returncode == 1
    assert "model.onnx cannot be read (Permission denied)" in line


def test_a_run_folder_that_may_not_be_entered_is_one_line(
    unprivileged: Process, own_bundle: Path, photos: Path, shut: Any
) -> None:
    shut(own_bundle, 0o000)
    ran = unprivileged("predict", own_bundle, photos)
    (line,) = ran.stderr.decode().splitlines()
    assert ran.returncode == 1
    assert "unexpected" not in line
    assert str(own_bundle) in line


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    bound: list[str],
    unprivileged: Process,
    tinted: Path,
    recipe: Path,
    tmp_path: Path,
    shut: Any,
) -> None:
    place, told = tmp_path / "place", tmp_path / "told.json"
    place.mkdir()
    shut(place, 0o555)
    for out in (place / "run", place / "deep" / "run"):
        arguments = [told, "train", tinted, "--recipe", recipe, "--out", out]
        ran = subprocess.run(
            [*bound, sys.executable, "-c", WATCHED, *map(str, arguments)],
            capture_output=True,
            timeout=240,
            check=True,
        )
        (line,) = ran.stderr.decode().splitlines()
        assert "cannot be written (Permission denied); choose another place with --out" in line
        found = json.loads(told.read_text())
        assert found["code"] == 1
        assert {"keras", "tensorflow"} & set(found["modules"]) == set()
    assert list(place.iterdir()) == []
    ran = unprivileged("samples", place / "drawn", "--photos", 4)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1


# Ctrl-C and kill -9

QUICK, SLOW = 1500, 100


ALL_ALIKE = ("--set", "data.duplicates=exact")  # else there would be one photo of each class


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class of small photos, quickly looked at, and one of large ones, which take their time."""
    folder = tmp_path_factory.mktemp("many") / "photos"
    for label, side, count in (("a", 8, QUICK), ("b", 1200, SLOW)):
        (folder / label).mkdir(parents=True)
        buffer = io.BytesIO()
        pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((side, side)).save(buffer, "PNG", compress_level=1)
        for n in range(count):  # what follows a PNG's end makes another file of it
            (folder / label / f"{n:04}.png").write_bytes(buffer.getvalue() + str(n).encode())
    return folder


def shards(cache: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in cache.glob("features/*/*.npy")
        if len(path.stem) == 64
    }


def cached(cache: Path) -> list[tuple[str, bytes]]:
    """Every photo in the cache, once for each time that it was computed."""
    return [
        (path.parent.name, row.tobytes())
        for path in shards(cache)
        for row in np.load(path)["sha256"]
    ]


def stopped(many: Path, place: Path, number: int, when: Callable[[Path], bool]) -> Any:
    """Start a training, send it a signal once something holds, and wait for its end."""
    environment = {**os.environ, "PAWPRINT_CACHE": str(place / "cache")}
    recipe = write_tiny_recipe(place / "tiny.toml", size=32)
    code = "from pawprint.cli import main; main()"
    arguments = ["train", many, "--recipe", recipe, "--out", place / "runs" / "run", *ALL_ALIKE]
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A test run in a shell's background has Ctrl-C ignored, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as started:
        limit = time.monotonic() + 60
        while not when(place / "cache"):
            assert started.poll() is None, "it ended before it could be stopped"
            assert time.monotonic() < limit
            time.sleep(0.01)
        started.send_signal(number)
        out, err = started.communicate(timeout=240)
    return started.returncode, out, err


def check_goes_on(many: Path, place: Path, monkeypatch: pytest.MonkeyPatch, listener: Any) -> None:
    """Train to the end and see that nothing was computed twice."""
    kept, before = shards(place / "cache"), cached(place / "cache")
    assert before
    fewer = Path(shutil.copytree(many, place / "photos"))
    for path in sorted((fewer / "b").iterdir())[8:]:
        path.unlink()
    monkeypatch.setenv("PAWPRINT_CACHE", str(place / "cache"))
    recipe = write_tiny_recipe(place / "tiny.toml", size=32)
    pawprint.train(
        fewer,
        recipe=recipe,
        changes={"data.duplicates": "exact"},
        out=place / "runs" / "run",
        progress=listener,
        report=False,
    )
    assert listener.said == []
    after = cached(place / "cache")
    assert {path: shards(place / "cache")[path] for path in kept} == kept
    assert len(after) == len(set(after))
    assert listener.steps.get("Computing features", 0) == len(after) - len(before)
    assert [path.name for path in (place / "runs").iterdir()] == ["run"]


def test_ctrl_c_leaves_no_run_and_the_next_one_goes_on(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Any
) -> None:
    started: list[float] = []

    def some_are_done(cache: Path) -> bool:
        if not started and list(cache.glob("features/*/key.json")):
            started.append(time.monotonic())
        return bool(started) and time.monotonic() > started[0] + 0.5

    code, out, err = stopped(many, tmp_path, signal.SIGINT, some_are_done)
    assert code == 130
    assert out == b""
    (line,) = err.decode().splitlines()
    assert line.startswith("pawprint: error: interrupted")
    assert list((tmp_path / "runs").iterdir()) == []
    assert list((tmp_path / "cache").rglob(".part-*")) == []
    check_goes_on(many, tmp_path, monkeypatch, listener)


def test_kill_leaves_no_run_and_the_next_one_goes_on(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Any
) -> None:
    code, _, _ = stopped(many, tmp_path, signal.SIGKILL, lambda cache: bool(shards(cache)))
    assert code == -signal.SIGKILL
    assert list((tmp_path / "runs").iterdir()) == []
    assert len(cached(tmp_path / "cache")) >= 1024
    check_goes_on(many, tmp_path, monkeypatch, listener)
