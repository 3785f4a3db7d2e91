"""A local HTTP server that does as a test says, well or ill."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request, and ways to answer it."""

    server: Served

    def do_GET(self) -> None:
        """Answer as the test says."""
        self.server.asked.append(self)
        with contextlib.suppress(ConnectionError):
            self.server.answers[self.path.split("?")[0]](self)

    def log_message(self, *what: object) -> None:
        """Stay silent."""

    def head(self, status: int, **headers: object) -> None:
        """Send a status and headers; underscores in their names are dashes."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def give(self, data: bytes, *, etag: str = '"one"', upto: int | None = None) -> None:
        """Serve a file as a good server does, but break off after so many bytes of the file."""
        start = 0
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found and self.headers.get("If-Range", etag) == etag:
            start = int(found[1])
        if start >= len(data) > 0:
            self.head(416, Content_Range=f"bytes */{len(data)}", Content_Length=0)
            return
        length = {"Content_Length": len(data) - start, "ETag": etag}
        if start:
            self.head(206, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}", **length)
        else:
            self.head(200, **length)
        self.wfile.write(data[start:upto])


class Served(ThreadingHTTPServer):
    """A server of what `answers` says, which remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answers: dict[str, Answer] = {}
        self.asked: list[Request] = []

    def __call__(self, path: str, answer: Answer | bytes) -> str:
        """Say how a path is answered, and give its address."""
        if isinstance(answer, bytes):
            data = answer
            self.answers[path] = lambda request: request.give(data)
        else:
            self.answers[path] = answer
        return f"http://127.0.0.1:{self.server_port}{path}"

    def ranges(self) -> list[str | None]:
        """The Range header of each request so far."""
        return [request.headers.get("Range") for request in self.asked]


@pytest.fixture
def server() -> Iterator[Served]:
    """A local HTTP server."""
    with Served() as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@dataclass
class Turns:
    """Answers of which each is given once, and the last for ever."""

    answers: list[Answer]
    given: int = field(default=0)

    def __call__(self, request: Request) -> None:
        answer = self.answers[min(self.given, len(self.answers) - 1)]
        self.given += 1
        answer(request)


@pytest.fixture
def turns() -> Callable[..., Turns]:
    """Make answers that take turns."""
    return lambda *answers: Turns(list(answers))
