"""Parts on a Ray cluster: the same results, also when its processes are killed."""

from __future__ import annotations

import dataclasses
import os
import pickle
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

from pawprint.scale.ray_engine import _Sealed
from pawprint.scale.worker import Assignment

from .conftest import Few, Run, parts, rows, times
from .object_store import Store

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
about = ray.get_runtime_context()
print(about.gcs_address, about.get_session_name(), flush=True)
sys.stdin.read()
ray.shutdown()
"""
DEADLY = """
import os, signal
from fsspec import AbstractFileSystem

class Deadly(AbstractFileSystem):
    def info(self, path, **options):
        return {"name": path, "size": 1, "type": "file"}

    def _open(self, path, *arguments, **options):
        os.kill(os.getpid(), signal.SIGKILL)
"""
COMMAND = (sys.executable, "-c", "from pawprint.cli import main; main()")
LONG = 120.0  # seconds that nothing takes
NOTED = "no model was named, so the starter answers\n"


class Cluster(NamedTuple):
    """A cluster of one node with two CPUs."""

    address: str
    logs: Path
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
def deadly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes fsspec open addresses deadly://..., whose reading ends the process that does it.

    As a photo does for which there is not enough memory.
    """
    folder = tmp_path_factory.mktemp("deadly")
    (folder / "deadly.py").write_text(DEADLY)
    (folder / "deadly-1.0.dist-info").mkdir()
    about = {
        "METADATA": "Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n",
        "entry_points.txt": "[fsspec.specs]\ndeadly = deadly:Deadly\n",
    }
    for name, text in about.items():
        (folder / "deadly-1.0.dist-info" / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def cluster(deadly: Path) -> Iterator[Cluster]:
    """A cluster that lasts as long as this file's tests."""
    # A secret of its own: what a home holds counts for some of Ray's processes only.
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = os.environ | secret | {"RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    paths = [str(deadly), environment.get("PYTHONPATH")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
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
        address, session = process.stdout.readline().split()
        logs = Path(environment.get("RAY_TMPDIR", "/tmp"), "ray", session, "logs")
        yield Cluster(address, logs, process, environment)
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


def test_a_photo_that_ends_its_workers_is_told_and_costs_no_other_part(
    cluster: Cluster, few: Few, tmp_path: Path
) -> None:
    good = [str(path) for path in sorted(few.folder.glob("*/*.jpg"))[:11]]
    paths = [*good[:5], "deadly://photo.jpg", *good[5:]]
    (tmp_path / "list.txt").write_text("\n".join(paths))
    out = tmp_path / "out"
    process = cluster.start(
        *("predict", tmp_path / "list.txt", "--out", out, "--part-size", 4),
        RAY_ADDRESS=cluster.address,
    )
    told = process.communicate(timeout=2 * LONG)[1]
    assert process.returncode == 1, told
    *rounds, last = told.removeprefix(NOTED).splitlines()
    rounds = [line for line in rounds if not line.startswith("Predicting ")]  # where it takes long
    assert len(rounds) >= 3
    for line in rounds:
        assert line.startswith("note: Ray gave up some parts (")
        assert line.endswith("); going on with what is missing")
    assert last.startswith(
        "pawprint: error: on 1 node with 2 CPUs part 1 could not be computed in 3 rounds: "
    )
    assert f"If one of its photos ends them ({paths[4]} to {paths[7]}), take it out" in last
    assert [path.name for path in parts(out)] == ["part-000000.parquet", "part-000002.parquet"]
    assert [row["path"] for row in rows(out)] == [*paths[:4], *paths[8:]]


def test_keys_of_stores_are_not_in_what_ray_writes(
    cluster: Cluster, store: Store, finished: Path, tmp_path: Path
) -> None:
    process = cluster.start(
        *("predict", store.address("photos"), "--out", tmp_path / "out", "--part-size", 4),
        RAY_ADDRESS=cluster.address,
    )
    told = process.communicate(timeout=LONG)[1]
    assert process.returncode == 3, told
    assert len(rows(tmp_path / "out")) == len(rows(finished)) - 1  # there are no links in stores
    logs = {path.name: path.read_bytes() for path in cluster.logs.rglob("*") if path.is_file()}
    assert any(b"MapBatches(_Actor)" in text for text in logs.values())
    assert not [name for name, text in logs.items() if b"key:secret" in text]


def test_what_actors_are_given_is_shown_without_keys(store: Store) -> None:
    assignment = Assignment(store.address("out"), store.address("photos"), "digest")
    assert "secret" in repr(assignment)
    sealed = _Sealed(assignment)
    assert not dataclasses.is_dataclass(sealed)  # Ray shows the values of those
    for text in (repr(sealed), str(sealed), repr([sealed])):
        assert "secret" not in text
    assert pickle.loads(pickle.dumps(sealed)).assignment == assignment


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
        f"{NOTED}pawprint: error: no node of the cluster has the 3 CPUs that an actor is to have "
        "(the largest has 2); lower --actor-cpus, or add a node\n"
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
    assert told.startswith(f"{NOTED}pawprint: error: {why}")
    assert len(told.splitlines()) == 2
    assert not (tmp_path / "out").exists()
