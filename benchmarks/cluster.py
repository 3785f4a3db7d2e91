"""(a Ray cluster on this machine, its nodes as processes of their own; nothing to run)"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from common import PYTHON

_RAY = Path(PYTHON).with_name("ray")
_HOST = "127.0.0.1"
_STORE = 300_000_000  # bytes of each node's object store
_START_LIMIT, _LOOK_EVERY = 120.0, 0.1  # seconds
_ACTOR = b"ray::MapWorker"
_MB = 1_000_000


@dataclass
class Node:
    """A node of a cluster.

    Args:
        process: that started the others, which are of its session.
        cpus: that Ray may use of it.
        log: the file for what it says.
    """

    process: subprocess.Popen[bytes]
    cpus: int
    log: Path

    def pids(self) -> list[int]:
        """Its processes, also those whose parents have gone."""
        stats = {pid: _stat(pid) for pid in map(int, filter(str.isdecimal, os.listdir("/proc")))}
        session = str(self.process.pid).encode()
        return [pid for pid, stat in stats.items() if stat[3:4] == [session] and stat[0] != b"Z"]

    def actors(self) -> list[int]:
        """Its workers, those that compute."""
        return [pid for pid in self.pids() if _read(pid, "cmdline").startswith(_ACTOR)]

    def kill(self) -> None:
        """End it as a power cut does: SIGKILL for all, until none is left."""
        while pids := self.pids():
            for pid in pids:
                kill(pid)
            time.sleep(0.02)
        self.process.wait()


class Cluster:
    """A Ray cluster whose nodes are ready, until the end of a with statement.

    Args:
        cpus: of each node; the first is the head.
    """

    def __init__(self, cpus: Sequence[int]) -> None:
        self.nodes: list[Node] = []
        self._started = 0
        # A secret of its own, for its nodes and all commands from here on: what the user's home
        # holds counts for some of Ray's commands only.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # Sockets lie in it, whose paths may have 107 characters: it cannot be deep.
        self._folder = tempfile.TemporaryDirectory(prefix="pp-ray-", dir="/tmp")
        self.address = f"{_HOST}:{_free_port()}"
        try:
            for some in cpus:
                self.add(some)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill all nodes and remove their files."""
        for node in reversed(self.nodes):
            node.kill()
        self._folder.cleanup()

    def add(self, cpus: int) -> Node:
        """Start a node and wait until the cluster knows it."""
        self._started += 1
        log = Path(self._folder.name, f"{self._started}.log")
        port = self.address.rpartition(":")[2]
        head = ["--head", f"--port={port}", "--include-dashboard=false"]
        head.append(f"--ray-client-server-port={_free_port()}")  # there is no way to have none
        role = [f"--address={self.address}"] if self.nodes else head
        with log.open("wb") as said:
            process = subprocess.Popen(
                [_RAY, "start", *role, *self._options(cpus)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        node = Node(process, cpus, log)
        self.nodes.append(node)
        begun = time.perf_counter()
        while b"--block" not in log.read_bytes():  # what it says when it has started
            if process.poll() is not None or time.perf_counter() > begun + _START_LIMIT:
                raise SystemExit(f"a node did not start\n{log.read_text('utf-8', 'replace')}")
            time.sleep(_LOOK_EVERY)
        return node

    def kill(self, node: Node) -> None:
        """End a node as a power cut does; it is none of the cluster any more."""
        node.kill()
        self.nodes.remove(node)

    def actors(self) -> list[int]:
        """The workers of all nodes, those that compute."""
        return [pid for node in self.nodes for pid in node.actors()]

    def cpu(self) -> float:
        """Seconds that the processes which are there have computed so far."""
        return sum(cpu_seconds(pid) for node in self.nodes for pid in node.pids())

    def _options(self, cpus: int) -> list[str]:
        return [
            "--block",
            f"--num-cpus={cpus}",
            f"--object-store-memory={_STORE}",
            f"--temp-dir={self._folder.name}",
            "--include-log-monitor=false",
            "--dashboard-agent-listen-port=0",
            "--min-worker-port=0",  # any that is free: nodes of one machine share its ports
            "--max-worker-port=0",
        ]


def kill(pid: int) -> None:
    """SIGKILL for a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def cpu_seconds(pid: int) -> float:
    """Seconds that a process has computed, with its children that ended; 0 once it has gone."""
    ticks = sum(int(field) for field in _stat(pid)[11:15])  # user and system, own and children's
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> dict[str, float]:
    """Resident ("rss") and own ("uss") MB of a process; nothing once it has gone."""
    rows = [line.partition(b":") for line in _read(pid, "smaps_rollup").splitlines()[1:]]
    found = {name.decode(): int(rest.split()[0]) * 1024 / _MB for name, _, rest in rows}
    if not found:
        return {}
    return {"rss": found["Rss"], "uss": found["Private_Clean"] + found["Private_Dirty"]}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((_HOST, 0))
        return int(free.getsockname()[1])


def _stat(pid: int) -> list[bytes]:
    """What the system says of a process from its state on; nothing once it has gone."""
    return _read(pid, "stat").rpartition(b")")[2].split()


def _read(pid: int, file: str) -> bytes:
    """What the system says of a process; nothing once it has gone."""
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:
        return b""
