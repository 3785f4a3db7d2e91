"""Functions in processes of their own, and what these may not do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pawprint.errors import PawprintError
from pawprint.isolation import Limits, run

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has this")

CODE = """
import os, socket, sys, time
from pathlib import Path
from pawprint import isolation
from pawprint.errors import PawprintError

def tell():
    return {"here": os.getcwd(), "names": dict(os.environ), "guards": isolation.GUARDS}

def fail():
    raise PawprintError("it is so")

def crash():
    raise KeyError("gone")

def eat(size):
    return len(bytearray(size))

def spin():
    while True:
        pass

def write(size):
    Path("large").write_bytes(bytes(size))

def open_many(count):
    return len([open(os.devnull) for _ in range(count)])

def connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError as error:
        return str(error)

def chatter():
    sys.stdout.write("x" * 10_000_000)
    os.close(2)

def garbage():
    Path(sys.argv[2]).write_text("[1, 2]")
    os._exit(0)
"""


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions to run, where only other processes find them."""
    (tmp_path / "isolated_code.py").write_text(CODE, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def called(name: str, limits: Limits | None = None, **asked: Any) -> Any:
    """Run one of the functions."""
    return run(f"isolated_code:{name}", asked, what="a test", limits=limits)


def fails(told: str, name: str, limits: Limits | None = None, **asked: Any) -> None:
    """It fails, and the reason says so."""
    with pytest.raises(PawprintError) as error:
        called(name, limits, **asked)
    assert str(error.value).startswith("a test failed: ")
    assert told in str(error.value)


@pytest.mark.parametrize("limits", [None, Limits()])
def test_what_it_gives_and_what_it_raises(limits: Limits | None) -> None:
    assert called("eat", limits, size=5) == 5
    assert called("chatter", limits) is None
    fails("a test failed: it is so", "fail", limits)
    fails("KeyError: 'gone'", "crash", limits)
    fails("ended with code 0", "garbage", limits)


def test_without_limits_it_is_as_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_NAME_OF_OURS", "1")
    found = called("tell")
    assert found["here"] == str(Path.cwd())
    assert found["names"]["A_NAME_OF_OURS"] == "1"
    assert found["guards"] == []


def test_with_limits_it_knows_little(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("A_NAME_OF_OURS", "1")
    found = called("tell", Limits())
    assert "A_NAME_OF_OURS" not in found["names"]
    assert found["names"]["HOME"] == found["names"]["TMPDIR"] == found["here"]
    assert not Path(found["here"]).exists()
    place = tmp_path / "place"
    place.mkdir()
    asked: dict[str, Any] = {"what": "a test", "limits": Limits(), "place": place}
    assert run("isolated_code:tell", {}, **asked)["here"] == str(place)


def test_time_ends() -> None:
    fails("longer than 0.5 seconds", "spin", Limits(seconds=0.5))


@linux
def test_memory_processor_files(tmp_path: Path) -> None:
    assert called("eat", Limits(memory=2**29), size=2**20) == 2**20
    fails("more than the 0.5 GiB of memory", "eat", Limits(memory=2**29), size=2**30)
    fails("more than 1 seconds of processor time", "spin", Limits(cpu_seconds=1))
    fails("File too large", "write", Limits(file_bytes=2**20), size=2**21)
    fails("Too many open files", "open_many", Limits(open_files=32), count=40)


@linux
def test_the_network_is_out_of_reach_where_that_is_said() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert called("connect", port=port) is None
        if "no network" not in called("tell", Limits())["guards"]:
            pytest.skip("this system gives nobody a network of their own")
        assert "unreachable" in called("connect", Limits(), port=port)
