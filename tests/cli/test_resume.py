"""A training on the command line that is told to end in the middle, and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("tensorboard")

COMMAND = [sys.executable, "-c", "from pawprint.cli import main; main()", "train"]
SMALL = [
    *("--recipe", "two-stage", "--tensorboard"),
    *("--backbone", "starter", "--weights", "random", "--set", "data.size=32", "--no-report"),
    *("--set", "stage.1.epochs=20", "--set", "stage.2.epochs=1", "--set", "stage.2.train=last:3"),
    *("--set", "stage.2.optimizer=sgd", "--set", "stage.2.rate=1e-9"),  # no photo changes its label
]


def test_terminated_between_epochs_it_goes_on_where_it_was(photos: Path, tmp_path: Path) -> None:
    command = [*COMMAND, str(photos), *SMALL]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as started:
        limit = time.monotonic() + 100
        while not list(tmp_path.glob("runs/*.unfinished/checkpoint.npz")):
            assert started.poll() is None, "it ended before it could be stopped"
            assert time.monotonic() < limit
            time.sleep(0.01)
        started.send_signal(signal.SIGTERM)
        _, err = started.communicate(timeout=240)
    assert started.returncode == 130
    last = err.decode().splitlines()[-1]
    assert last.startswith("pawprint: error: interrupted; no run was written.")
    assert "--resume" in last
    (left,) = os.listdir(tmp_path / "runs")
    assert left.endswith(".unfinished")

    done = subprocess.run(
        [*command, "--resume"], cwd=tmp_path, capture_output=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    (run,) = os.listdir(tmp_path / "runs")
    assert run == left.removesuffix(".unfinished")
    record = json.loads((tmp_path / "runs" / run / "run.json").read_text("utf-8"))
    history = json.loads((tmp_path / "runs" / run / "metrics.json").read_text("utf-8"))["history"]
    assert 1 <= record["resumed_after_epochs"] < len(history) == 21
    assert (tmp_path / "runs" / run / "tensorboard").is_dir()
    told = done.stdout.decode()
    assert "since it was resumed" in told
    assert "\nstage 1      20 epoch(s)" in told
    outcome = "undone" if record["undone"] else "kept"
    assert f"\nstage 2      {outcome}: " in told
    assert done.stderr.decode().count("stage 1, epoch") == 20 - record["resumed_after_epochs"]
