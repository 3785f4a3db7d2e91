"""A function run in a fresh Python process: nothing that this one has imported or set is in it."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pawprint.errors import PawprintError

_LAST_LINES = 3  # of a child's error output that are told


def run(entry: str, asked: Mapping[str, Any], *, what: str) -> Any:
    """Run a function in a fresh process.

    >>> run("json:dumps", {"obj": [1, 2]}, what="a test")
    '[1, 2]'

    Args:
        entry: `module:function`, which takes keyword arguments and gives what JSON can say.
        asked: the arguments, of what JSON can say.
        what: what it does, for errors.

    Returns:
        What the function gave.

    Raises:
        PawprintError: it raised one, with its message; or it ended in another way.
    """
    with tempfile.TemporaryDirectory(prefix="pawprint-") as place:
        answer = Path(place) / "answer.json"
        ran = subprocess.run(
            [sys.executable, "-m", "pawprint.isolation", entry, answer],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        try:
            found = json.loads(answer.read_text("utf-8"))
        except (OSError, ValueError):
            said = " / ".join(ran.stderr.strip().splitlines()[-_LAST_LINES:])
            raise PawprintError(
                f"{what} failed: its process ended with code {ran.returncode} ({said or 'silent'})"
            ) from None
    if "error" in found:
        raise PawprintError(f"{what} failed: {found['error']}")
    return found["given"]


def _main(entry: str, answer: str) -> None:
    """Be the fresh process."""
    module, _, name = entry.partition(":")
    asked = json.loads(sys.stdin.read())
    try:
        found = {"given": getattr(importlib.import_module(module), name)(**asked)}
    except PawprintError as error:
        found = {"error": str(error)}
    Path(answer).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
