"""`pawprint review` in a process of its own: it serves until Ctrl-C, and says what comes next."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.fixture
def doubting(photos: Path, tmp_path: Path) -> Path:
    """A run that doubts one label of the drawn photos."""
    photo = min(photos.glob("cat/cat_*"))
    row = {
        "path": f"photos/cat/{photo.name}",
        "sha256": hashlib.sha256(photo.read_bytes()).hexdigest(),
        "split": "train",
        "given": "cat",
        "suggested": "dog",
        "given_probability": 0.02,
        "suggested_probability": 0.98,
    }
    write_run(tmp_path / "run", photos, row)
    return tmp_path / "run"


def write_run(run: Path, photos: Path, *rows: dict[str, Any]) -> None:
    run.mkdir()
    record = {
        "source": "photos",
        "from": str(photos),
        "classes": ["cat", "dog"],
        **dict.fromkeys(("recipe", "fingerprint", "created"), ""),
        **{key: {} for key in ("photos", "findings", "versions", "seconds")},
        "left_out": 0,
        "notes": [],
    }
    judged = {"judged_by": "a model", "photos": 48, "expected": 1}
    judged |= {"count": len(rows), "suspects": rows}
    (run / "run.json").write_text(json.dumps(record))
    (run / "suspects.json").write_text(json.dumps(judged))


DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def reviewed(run: Path, number: int, *verdicts: bytes, options: tuple[str, ...] = ()) -> str:
    """Review a run, give verdicts on its first suspect, send a signal, and give what was said."""
    code = "from pawprint.cli import main; main()"
    command = [sys.executable, "-u", "-c", code, "review", str(run), "--no-browser", *options]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as started:
        assert started.stdout is not None
        lines = [started.stdout.readline()]
        while "Ctrl-C" not in lines[-1]:
            lines.append(started.stdout.readline())
            assert lines[-1], started.communicate()[1]
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/\S+/", "".join(lines))
        for body in verdicts:
            kind = {"Content-Type": "application/json"}
            asked = urllib.request.Request(f"{address}verdict/0", body, kind)
            with DIRECTLY.open(asked, timeout=10) as answer:
                assert answer.status == 200
        started.send_signal(number)
        out, err = started.communicate(timeout=60)
    assert (started.returncode, err) == (0, "")
    return "".join(lines) + out


def test_ctrl_c_ends_it_with_what_was_said_and_what_comes_next(
    doubting: Path, photos: Path
) -> None:
    told = reviewed(doubting, signal.SIGINT, b'{"verdict": "relabel", "label": "dog"}')
    file = doubting / "corrections.csv"
    assert f"verdicts     1 in {file} (0 kept, 1 relabelled, 0 excluded)" in told
    assert told.endswith(f"next\n  pawprint train {photos} --corrections {file}\n")
    assert "dog" in file.read_text()
    again = reviewed(doubting, signal.SIGTERM)
    assert f"{file} (1 there already)" in again
    assert f"verdicts     1 in {file}" in again


def test_a_second_round_goes_on_from_the_first(doubting: Path, photos: Path) -> None:
    record = json.loads((doubting / "run.json").read_text())
    record["command"] = "pawprint train photos --recipe best --corrections first.csv"
    (doubting / "run.json").write_text(json.dumps(record))
    judged = json.loads((doubting / "suspects.json").read_text())
    judged["suspects"][0] |= {"given": "dog", "suggested": "cat"}
    (doubting / "suspects.json").write_text(json.dumps(judged))
    one, other = sorted(photos.glob("cat/cat_*"))[:2]
    (doubting / "applied.csv").write_text(
        f"path,given,verdict,label\ncat/{one.name},cat,relabel,dog\ncat/{other.name},cat,exclude,\n"
    )
    told = reviewed(doubting, signal.SIGINT, b'{"verdict": "relabel", "label": "cat"}')
    file = doubting / "corrections.csv"
    assert f"{file} (2 there already)" in told
    assert f"verdicts     2 in {file} (1 kept, 0 relabelled, 1 excluded)" in told
    assert told.endswith(f"next\n  pawprint train {photos} --recipe best --corrections {file}\n")


def test_nothing_said_is_told(doubting: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    told = reviewed(doubting, signal.SIGINT, options=("--out", str(file)))
    assert told.endswith(f"verdicts     none in {file}\n")
    assert not file.exists()


def test_a_run_without_suspects_ends_at_once(cli: Cli, photos: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "run", photos)
    ran = cli("review", tmp_path / "run")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{tmp_path / 'run'} doubts none of the 48 labels it judged\n"


def test_photos_that_moved_are_told_where_to_say_so(
    cli: Cli, doubting: Path, tmp_path: Path
) -> None:
    ran = cli("review", doubting, "--source", tmp_path / "gone", "--no-browser")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "gone' does not exist" in ran.err
    assert "say where the photos are now with --source" in ran.err
    record = json.loads((doubting / "run.json").read_text())
    del record["from"]
    (doubting / "run.json").write_text(json.dumps(record))
    ran = cli("review", doubting, "--no-browser")
    assert "does not say where its photos are; say it with --source SOURCE" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["none"], 1, "none is not a folder; expected a run"),
        (["."], 1, "has no run.json; expected a run"),
        ([], 2, "Missing argument"),
        (["RUN", "--port", "70000"], 2, "--port"),
    ],
)
def test_what_cannot_be_reviewed_is_one_line(
    cli: Cli, tmp_path: Path, monkeypatch: Any, arguments: list[str], code: int, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("review", *arguments)
    assert ran.code == code
    assert told in ran.err
    assert ran.err.count("\n") == 1
