"""(whole processes, measured; nothing to run)"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import spelled

_SAMPLE_EVERY = 0.05  # seconds
_MB = 1_000_000


@dataclass(frozen=True)
class Measured:
    """What a whole process took.

    Args:
        seconds: from its start to its end.
        cpu: seconds on all cores together, children included.
        peak_mb: the largest resident memory of any one process of the tree, from the kernel.
        tree_mb: the largest sum over the tree, sampled; 0 where it was not.
        lines: what it printed.
    """

    seconds: float
    cpu: float
    peak_mb: float
    tree_mb: float
    lines: list[str]


def measure(
    command: Sequence[str | Path],
    *,
    cache: Path | None = None,
    sample: bool = False,
    until: str | None = None,
    limit: float = 600,
) -> Measured:
    """Run a command as a process of its own and measure all of it.

    Args:
        command: the program and its arguments.
        cache: pawprint's, if not the workplace's.
        sample: also sum up the memory of its process tree, every 50 ms.
        until: end it at the first line it prints that contains this.
        limit: seconds after which it is killed, and the benchmark gives up.

    Linux reports a new process's peak memory as no less than that of the process that started it,
    so a script that measures memory must itself stay small: import nothing large before.
    """
    surroundings = os.environ | ({"PAWPRINT_CACHE": str(cache)} if cache else {})
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=surroundings,
        )
        sampler = _Sampler(process.pid) if sample else None
        killer = threading.Timer(limit, process.kill)
        killer.start()
        assert process.stdout is not None
        lines, ended = [], False
        with process.stdout:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if until is not None and until in line:
                    process.terminate()
                    ended = True
                    break
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        tree = sampler.stop() if sampler else 0
        if process.returncode != 0 and not ended:
            errors.seek(0)
            how = f"took over {limit:.0f} s" if seconds >= limit else "failed"
            sys.exit(f"{spelled(command)} {how}\n{errors.read()[-2000:]}")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert usage.ru_maxrss > own, "the benchmark itself is larger than what it measures"
    peak = usage.ru_maxrss * 1024 / _MB
    return Measured(seconds, usage.ru_utime + usage.ru_stime, peak, tree / _MB, lines)


class _Sampler:
    """Watches a process tree from a thread."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._done = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_EVERY):
            self._most = max(self._most, _tree_bytes(self._pid))


def _tree_bytes(pid: int) -> int:
    """Resident bytes of a process and all below it; 0 for one that has gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        below = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except (OSError, IndexError, ValueError):
        return 0
    children = [int(child) for text in below for child in text.split()]
    return pages * resource.getpagesize() + sum(_tree_bytes(child) for child in children)
