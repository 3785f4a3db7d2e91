"""(raw HTTP/1.1 connections, and requests made ready to be sent on them; nothing to run)"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

_BOUNDARY = "photo-boundary-7f1c2e"
_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_LIMIT = 5.0  # seconds to wait for a connection


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the HTTP status, or 0 and in `code` what went wrong with the connection."""

    status: int
    code: str = ""
    retry_after: str = ""
    body: bytes = b""


class Connection(asyncio.Protocol):
    """A kept connection with one request at a time, opened again where the service closed it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._received = b""
        self._head = b""
        self._length = 0

    async def ask(self, request: bytes) -> Answer:
        """Send a request and wait for its answer."""
        if self._transport is None:
            try:
                await self.open()
            except (OSError, TimeoutError):
                return Answer(0, "not_connected")
        self.write(request)
        return await self.answer()

    async def open(self) -> None:
        opening = asyncio.get_running_loop().create_connection(lambda: self, self._host, self._port)
        await asyncio.wait_for(opening, _LIMIT)

    def write(self, part: bytes) -> None:
        if self._transport is not None:
            self._transport.write(part)

    def answer(self) -> asyncio.Future[Answer]:
        """The answer to what was written."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None:
            self._settle(Answer(0, "closed"))
        return self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = self._head = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._head:
            head, mark, rest = self._received.partition(b"\r\n\r\n")
            if not mark:
                return
            self._head, self._received = head.lower(), rest
            self._length = int(self._header(b"content-length") or 0)
        if len(self._received) >= self._length:
            self._complete()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._settle(Answer(0, "closed"))

    def _complete(self) -> None:
        status, body, code = int(self._head[9:12]), self._received[: self._length], ""
        if status != 200:
            with contextlib.suppress(ValueError, AttributeError):
                code = str(json.loads(body).get("code", ""))
        answer = Answer(status, code, self._header(b"retry-after"), body)
        if self._header(b"connection") == "close":
            self.close()
        self._received = self._head = b""
        self._settle(answer)

    def _settle(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _header(self, name: bytes) -> str:
        """A header's value, or nothing."""
        _, mark, rest = self._head.partition(b"\r\n" + name + b":")
        return rest.partition(b"\r\n")[0].strip().decode("latin-1") if mark else ""


def prepare(folder: Path, host: str, path: str, form: bool) -> list[bytes]:
    """The whole request for each photo of a folder, in the order of their names.

    Args:
        folder: of photos, at any depth.
        host: the service's, with its port.
        path: what to post to.
        form: as multipart/form-data, with one field `file`; otherwise the photo is the body.
    """
    requests = []
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        kind, body = _TYPES.get(file.suffix, "application/octet-stream"), file.read_bytes()
        if form:
            disposition = f'form-data; name="file"; filename="{file.name}"'
            opening = f"--{_BOUNDARY}\r\nContent-Disposition: {disposition}\r\nContent-Type: {kind}"
            body = opening.encode() + b"\r\n\r\n" + body + f"\r\n--{_BOUNDARY}--\r\n".encode()
            kind = f"multipart/form-data; boundary={_BOUNDARY}"
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    if not requests:
        sys.exit(f"{folder} has no files")
    return requests
