"""Parts on a Ray cluster: the same results, also when its processes are killed."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

pytest.importorskip("ray", reason="ray is not installed")

from .conftest import Few, Run, parts, rows, times

CLUSTER = """
import logging, sys
import ray

ray.init(
    "local",
    num_cpus=2,
    include_dashboard=False,
    object_store_memory=100_000_000,
    log_to_driver=False,
    logging_level=logging.ERROR,
)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""
COMMAND = (sys.executable, "-c", "from pawprint.cli import main; main()")
LONG = 120.0  # seconds that nothing takes
NOTED = "no model was named, so the starter answers\n"


class Cluster(NamedTuple):
    """A cluster of one node with two CPUs."""

    address: str
    process: subprocess.Popen[str]
    environment: dict[str, str]

    def start(self, *arguments: object, **options: str) -> subprocess.Popen[str]:
        """Begin a command in a process of its own."""
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments), "--engine", "ray"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment | options,
        )

    def actors(self) -> list[psutil.Process]:
        """The processes that compute parts."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if "MapWorker" in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.Error:
                continue  # it has ended
        return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that lasts as long as this file's tests."""
    # A secret of its own: what a home holds counts for some of Ray's processes only.
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = os.environ | secret | {"RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Cluster(process.stdout.readline().strip(), process, environment)
        process.stdin.close()
        process.wait(LONG)


@pytest.fixture
def many(few: Few, tmp_path: Path) -> Path:
    """A list of so many photos that something can happen meanwhile."""
    paths = [str(path) for path in sorted(few.folder.glob("*/*.jpg"))] * 15
    (tmp_path / "list.txt").write_text("\n".join(paths))
    return tmp_path / "list.txt"


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something is so; fail where the process ends before."""
    deadline = time.monotonic() + LONG
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def test_results_are_those_of_this_machine_bit_for_bit(
    cluster: Cluster, few: Few, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = cluster.start(
        *("predict", few.folder, "--out", out, "--part-size", 4, "--address", cluster.address)
    )
    said, told = process.communicate(timeout=LONG)
    assert process.returncode == 3, told
    assert told.startswith(NOTED)
    assert told.splitlines()[1:] == [
        "4 of 19 could not be read (exit code 3); the column `error` says why"
    ]
    assert "engine       on 1 node with 2 CPUs\n" in said
    ours, theirs = ([path.read_bytes() for path in parts(one)] for one in (out, finished))
    assert ours == theirs


def test_an_actor_that_is_killed_costs_no_rows(
    cluster: Cluster, many: Path, job: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = cluster.start(
        *("predict", many, "--out", out, "--part-size", 8, "--address", cluster.address)
    )
    wait_for(lambda: parts(out), process)
    killed = cluster.actors()[0]
    killed.kill()
    told = process.communicate(timeout=LONG)[1]
    assert process.returncode == 3, told
    assert len(parts(out)) == -(-len(many.read_text().splitlines()) // 8)
    assert "Traceback" not in told
    assert not killed.is_running()
    job(tmp_path / "local", many, part_size=8)
    assert rows(out) == rows(tmp_path / "local")


def test_a_driver_that_is_killed_goes_on_with_what_is_missing(
    cluster: Cluster, many: Path, job: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = cluster.start(
        *("predict", many, "--out", out, "--part-size", 8), RAY_ADDRESS=cluster.address
    )
    wait_for(lambda: parts(out), process)
    process.kill()
    process.communicate(timeout=LONG)
    assert process.returncode == -signal.SIGKILL
    wait_for(lambda: not cluster.actors(), cluster.process)  # they end with the driver
    before, paths = times(out), many.read_text().splitlines()
    assert 0 < len(before) < len(paths) / 8, "it was over before it was killed"
    ran = job(out, many, part_size=None)
    assert ran.computed == len(paths) - 8 * len(before)
    assert {name: when for name, when in times(out).items() if name in before} == before
    assert [row["path"] for row in rows(out)] == paths


def test_actors_that_no_node_has_room_for_are_refused(
    cluster: Cluster, few: Few, tmp_path: Path
) -> None:
    process = cluster.start(
        *("predict", few.folder, "--out", tmp_path / "out", "--actor-cpus", 3),
        RAY_ADDRESS=cluster.address,
    )
    said, told = process.communicate(timeout=LONG)
    assert (process.returncode, said) == (1, "")
    assert told == (
        "pawprint: error: the cluster has 2 CPUs and an actor is to have 3; lower --actor-cpus\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("ray://127.0.0.1:10001", "ray://127.0.0.1:10001 is for Ray's client, which Ray Data"),
        ("127.0.0.1:1", "there is no Ray cluster at 127.0.0.1:1 ("),
    ],
)
def test_addresses_without_a_cluster_are_refused(
    address: str, why: str, cluster: Cluster, few: Few, tmp_path: Path
) -> None:
    process = cluster.start(
        *("predict", few.folder, "--out", tmp_path / "out", "--address", address)
    )
    said, told = process.communicate(timeout=LONG)
    assert (process.returncode, said) == (1, "")
    assert told.startswith(f"pawprint: error: {why}")
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "out").exists()
