"""Stores that fsspec opens: what fails is not taken for what is not there, and nothing is stale."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from pawprint.errors import SourceError
from pawprint.parts.places import Place, place


class Strange(Exception):
    """What a store's own library raises."""


class Failing(AbstractFileSystem):
    """fsspec's own ways over a few bytes, with faults that come one after the other."""

    protocol = "failing"
    cachable = False
    files: ClassVar[dict[str, bytes]] = {}
    faults: ClassVar[list[Exception]] = []

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        self._fail()
        inner = self._strip_protocol(path).strip("/")
        if inner in self.files:
            return {"name": inner, "size": len(self.files[inner]), "type": "file"}
        if any(name.startswith(f"{inner}/") for name in self.files):
            return {"name": inner, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        self._fail()
        inner = self._strip_protocol(path).strip("/")
        if inner not in self.dircache:
            names = [name for name in self.files if name.startswith(f"{inner}/")]
            self.dircache[inner] = [self.info(name) for name in names]
        return list(self.dircache[inner])

    def invalidate_cache(self, path: str | None = None) -> None:
        self.dircache.clear()

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self._fail()
        inner = self._strip_protocol(path).strip("/")
        if inner not in self.files:
            raise FileNotFoundError(path)
        return _Opened(self.files[inner], self._fail)


class _Opened:
    def __init__(self, data: bytes, fail: Any) -> None:
        self._data, self._fail, self._at = data, fail, 0

    def read(self, size: int = -1) -> bytes:
        self._fail()
        stop = len(self._data) if size < 0 else self._at + size
        found, self._at = self._data[self._at : stop], stop
        return found

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        """Nothing is held."""

    def readable(self) -> bool:
        return True

    writable = seekable = lambda self: False


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder with a file of five bytes."""
    fsspec.register_implementation("failing", Failing, clobber=True)
    monkeypatch.setattr(Failing, "files", {"top/a.jpg": b"photo"})
    monkeypatch.setattr(Failing, "faults", [])
    monkeypatch.setattr("pawprint.parts.patience.WAITS", (0.0, 0.0, 0.0))
    return place("failing://top")


FAULTS = [ConnectionResetError("reset"), Strange("payload"), TimeoutError()]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_what_fails_once_is_read_all_the_same(fault: Exception, failing: Place) -> None:
    Failing.faults.append(fault)
    assert (failing / "a.jpg").read() == b"photo"
    assert not Failing.faults


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_what_always_fails_is_not_said_to_be_missing(fault: Exception, failing: Place) -> None:
    for work in (failing.entries, (failing / "a.jpg").kind, (failing / "a.jpg").read):
        Failing.faults.extend([fault] * 4)
        with pytest.raises(OSError) as raised:  # noqa: PT011 - of which kind is below
            work()
        assert not isinstance(raised.value, FileNotFoundError)
        assert not Failing.faults, "it was tried four times"


def test_what_is_not_there_is_asked_for_once(failing: Place) -> None:
    with pytest.raises(FileNotFoundError):
        (failing / "b.jpg").read()
    assert (failing / "b.jpg").kind() == "nothing"
    assert failing.kind() == "folder"


def test_what_others_write_meanwhile_is_seen(failing: Place) -> None:
    assert failing.entries() == [("a.jpg", False)]
    Failing.files["top/b.jpg"] = b"new"  # as another process does
    assert failing.entries() == [("a.jpg", False), ("b.jpg", False)]


def test_a_file_is_no_folder_and_files_can_be_removed() -> None:
    MemoryFileSystem.store.clear()
    one = place("memory://top") / "one.txt"
    one.write(b"1")
    with pytest.raises(NotADirectoryError):
        one.entries()
    one.remove()
    one.remove()  # it is not there, which is what was wanted
    assert one.kind() == "nothing"


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.strip("/")
        if name == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
        elif name.isdecimal():
            self.send_error(int(name))
        else:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"photo" * (self.command == "GET"))

    do_HEAD = do_GET  # noqa: N815 - as the library has it

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of photos, which answers numbers with that status, and cuts one off."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    monkeypatch.setattr("pawprint.parts.patience.WAITS", (0.0, 0.0, 0.0))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_photos_of_the_web_are_read(web: str) -> None:
    assert place(f"{web}/a.jpg").read() == b"photo"


@pytest.mark.parametrize("name", ["500", "503", "cut"])
def test_the_web_s_failures_are_not_for_good(web: str, name: str) -> None:
    with pytest.raises(OSError) as raised:  # noqa: PT011 - of which kind is below
        place(f"{web}/{name}").read()
    assert not isinstance(raised.value, FileNotFoundError)


@pytest.mark.parametrize("name", ["404", "410"])
def test_what_the_web_has_not_is_not_there(web: str, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        place(f"{web}/{name}").read()


def test_addresses_whose_package_is_missing_are_refused_in_a_line() -> None:
    with pytest.raises(SourceError, match="hf://datasets cannot be opened") as raised:
        place("hf://datasets/user/photos")
    assert "package" in str(raised.value)
