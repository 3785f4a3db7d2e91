"""Services to ask, each in a process of its own as people start them."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pawprint.data.samples import write_samples

PAWPRINT = Path(sys.executable).with_name("pawprint")


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A running service."""

    process: subprocess.Popen[str]
    host: str
    port: int

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}/"

    def connect(self, timeout: float = 60) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """Send one request and read its answer."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {}, **more)
            found = connection.getresponse()
            # Names in lower case, as they mean the same.
            told = {name.lower(): value for name, value in found.getheaders()}
            return Answer(found.status, told, found.read())
        finally:
            connection.close()

    def send(self, files: list[tuple[str, bytes]], query: str = "") -> Answer:
        """Send photos as a form, as browsers do."""
        parts = [
            f'--edge\r\nContent-Disposition: form-data; name="photos"; filename="{name}"\r\n'
            "Content-Type: image/jpeg\r\n\r\n".encode()
            + data
            + b"\r\n"
            for name, data in files
        ]
        kind = {"Content-Type": "multipart/form-data; boundary=edge"}
        return self.ask("POST", f"/predict{query}", b"".join(parts) + b"--edge--\r\n", kind)

    def metric(self, line: str) -> float:
        """The value of one line of the figures; 0 where it is not there yet."""
        text = self.ask("GET", "/metrics").body.decode()
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0


Start = Callable[..., AbstractContextManager[Served]]


@contextmanager
def _served(*options: str, token: str | None = None) -> Iterator[Served]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("PAWPRINT_TOKEN", None)
    if token is not None:
        environment["PAWPRINT_TOKEN"] = token
    command = [PAWPRINT, "serve", "--port", "0", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if found := re.match(r"address +http://(\S+):([0-9]+)/", line):
                break
        else:
            pytest.fail(f"it did not start: {process.stderr.read()}")
        yield Served(process, found[1], int(found[2]))
        if process.poll() is None:
            process.terminate()
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 0, said
        assert "Traceback" not in said
    finally:
        process.kill()
        process.communicate(timeout=60)  # its workers end, too, and with them what they write to


@pytest.fixture(scope="session")
def serve_with() -> Start:
    """Starts a service with options of its own; it must end in order."""
    return _served


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """The starter, served."""
    with _served("--drain", "0") as found:
        yield found


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A drawn cat or dog, as a JPEG."""
    folder = tmp_path_factory.mktemp("photo")
    write_samples(folder, 2)
    return min(folder.rglob("*.jpg")).read_bytes()


@pytest.fixture(scope="session")
def large() -> bytes:
    """A photo that takes a while to decode: 20 megapixels, PNG, in few bytes."""
    buffer = io.BytesIO()
    gradient = Image.linear_gradient("L").resize((5000, 4000))
    gradient.convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class Wire:
    """A connection that says what it is told to, byte by byte."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.answers = self.socket.makefile("rb")

    def say(self, data: bytes) -> None:
        """Send; what the other side does not take any more is left."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def hear(self) -> tuple[int, Any, dict[str, str]]:
        """The next answer: status, JSON and headers, with the status 0 where there is none."""
        try:
            line = self.answers.readline()
            if not line:
                return 0, None, {}
            found = http.client.parse_headers(self.answers)
            body = self.answers.read(int(found["Content-Length"]))
        except ConnectionResetError:
            return 0, None, {}
        headers = {name.lower(): value for name, value in found.items()}
        return int(line.split()[1]), json.loads(body), headers

    def is_closed(self, seconds: float) -> bool:
        """Whether the other side closes within a time; what it says before is thrown away."""
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self.socket.recv(65536):
                    return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            pass
        return False

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self.answers.close()
        self.socket.close()


@pytest.fixture(scope="session")
def wire() -> type[Wire]:
    """A connection to a port, for what no HTTP library sends."""
    return Wire


# The command line has no option for patience, nor for the number of connections.
IMPATIENT = """
from pawprint import starter
from pawprint.serve.server import bind, serve
from pawprint.serve.settings import Settings

settings = Settings(
    str(starter.BUNDLE), starter.NAME, patience=0.5, connections=20, body_bytes=2**20, drain=0
)
listener = bind("127.0.0.1", 0)
print(listener.getsockname()[1])
serve(settings, listener, lambda: print("ready", flush=True))
"""


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A service that waits half a second, with room for twenty: its port."""
    errors = tmp_path_factory.mktemp("impatient") / "errors.txt"
    with (
        errors.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-c", IMPATIENT], stdout=subprocess.PIPE, stderr=file, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            assert process.stdout.readline() == "ready\n", errors.read_text()
            yield port
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0, errors.read_text()
            assert "Traceback" not in errors.read_text()
        finally:
            process.kill()
