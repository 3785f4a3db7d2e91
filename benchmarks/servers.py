"""(services as processes of their own: started, watched and ended; nothing to run)"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from common import PAWPRINT, PYTHON, spelled

LOAD = Path(__file__).with_name("load.py")
KERAS = Path(__file__).with_name("peers") / "keras_server.py"
_START_LIMIT, _END_LIMIT = 120.0, 60.0  # seconds
_LOOK_EVERY = 0.005  # seconds, while it starts
_SAMPLE_EVERY = 0.5  # seconds, of memory
_MB = 1_000_000


class Service:
    """A service that is ready to be asked, until the end of a with statement.

    Args:
        command: that starts it.
        log: the file for what it says.
        ready: a path that is answered with 200 once it is ready; None if any answer will do.
        address: where it will be; None to read it from the line that says so.
    """

    def __init__(
        self, command: Sequence[str | Path], log: Path, *, ready: str | None, address: str = ""
    ) -> None:
        self._command, self._log, self._ready = command, log, ready
        self.address = address
        begun = time.perf_counter()
        with log.open("wb") as said:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )
        try:
            while not self._is_ready():
                if self.process.poll() is not None or time.perf_counter() > begun + _START_LIMIT:
                    raise SystemExit(f"{spelled(command)} is not ready\n{self._said()[-2000:]}")
                time.sleep(_LOOK_EVERY)
        except BaseException:
            self.process.kill()
            raise
        self.start_seconds = time.perf_counter() - begun

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.wait()

    def wait(self) -> int | None:
        """Its exit code once it has ended by itself; None if it had to be killed."""
        try:
            return self.process.wait(_END_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def get(self, path: str) -> Any:
        """What it answers to a GET, from JSON."""
        with urllib.request.urlopen(self.address.rstrip("/") + path, timeout=10) as answer:
            return json.load(answer)

    def cpu(self) -> float:
        """Seconds that its processes have computed so far."""
        return sum(_cpu(pid) for pid in _tree(self.process.pid))

    def memory(self) -> list[dict[str, float]]:
        """Resident ("rss") and proportional ("pss") MB of each of its processes."""
        return [found for pid in _tree(self.process.pid) if (found := _memory(pid))]

    def _is_ready(self) -> bool:
        if not self.address:
            lines = (line.split() for line in self._said().splitlines())
            self.address = next((words[1] for words in lines if words[:1] == ["address"]), "")
        if not self.address:
            return False
        try:
            with urllib.request.urlopen(self.address.rstrip("/") + (self._ready or "/"), timeout=5):
                return True
        except urllib.error.HTTPError:
            return self._ready is None
        except OSError:
            return False

    def _said(self) -> str:
        return self._log.read_text("utf-8", "replace")


def pawprint(model: Path, place: Path, *options: str) -> Service:
    """`pawprint serve` of a run or bundle, on a free port."""
    command: list[str | Path] = [PAWPRINT, "serve", model, "--port", "0", *options]
    return Service(command, place / "serve.log", ready="/v2/health/ready")


def keras(model: Path, place: Path) -> Service:
    """The server that is written around plain Keras, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    command: list[str | Path] = [PYTHON, KERAS, model, str(port)]
    return Service(command, place / "keras.log", ready=None, address=address)


def load(service: Service, photos: Path, *options: object) -> dict[str, Any]:
    """What the load generator found: benchmarks/load.py in a process of its own."""
    command: list[str | Path] = [
        PYTHON,
        LOAD,
        "--address",
        service.address,
        "--photos",
        photos,
        "--json",
    ]
    command += map(str, options)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if ended.returncode != 0:
        sys.exit(f"{spelled(command)} failed\n{ended.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


class MemoryWatch:
    """Sums up the resident MB of a service's processes from a thread, twice a second."""

    def __init__(self, service: Service) -> None:
        self.samples: list[float] = []
        self._service, self._done = service, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_EVERY):
            self.samples.append(sum(one["rss"] for one in self._service.memory()))


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        below = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has ended
        return [pid]
    children = [int(child) for text in below for child in text.split()]
    return [pid, *(one for child in children for one in _tree(child))]


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user and system


def _memory(pid: int) -> dict[str, float]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:  # it has ended
        return {}
    found = {name: int(rest.split()[0]) for name, _, rest in (row.partition(":") for row in lines)}
    return {"rss": found["Rss"] * 1024 / _MB, "pss": found["Pss"] * 1024 / _MB}
