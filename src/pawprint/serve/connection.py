"""HTTP/1.1 connections with limits: on heads, on how long they take, and on how many there are."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pawprint.serve.refusals import Refusal
from pawprint.serve.service import to_json
from pawprint.serve.settings import Settings

MAX_HEAD = 32 * 1024  # bytes of a request's line and headers, and of trailers


class Connection(HttpToolsProtocol):
    """A client's connection; uvicorn's own has no limits on heads or on their time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there is room for one."""
        super().connection_made(transport)
        self._head = self._ignored = 0
        self._in_head = True
        self._clock: asyncio.TimerHandle | None = None
        self._settings: Settings = self.app_state["settings"]
        if len(self.connections) > self._settings.connections:
            self._refuse(
                Refusal("overloaded", "too many connections; try again in 1 s", retry_after=1)
            )
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head = self._ignored = 0
        self._in_head = True
        self._wait()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request over; from here on its reader minds the time."""
        self._stop_waiting()
        self._in_head = False
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; of one that is not read, only so much."""
        if self.transport.is_closing():
            return
        if self.cycle.response_complete:
            self._ignored += len(body)
            if self._ignored > 2 * self._settings.body_bytes:
                self.transport.close()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._stop_waiting()
        if not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """End an answer; the rest of a body that was not read comes soon or not at all."""
        super().on_response_complete()
        if self.cycle.more_body:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless it was refused already."""
        if not self.transport.is_closing():
            self._refuse(Refusal("bad_request", "this is not an HTTP/1.1 request"))

    def _count(self, length: int) -> None:
        self._head += length
        if self._head > MAX_HEAD and not self.transport.is_closing():
            message = f"the request's line and headers have more than {MAX_HEAD:,} bytes"
            self._refuse(Refusal("headers_too_large", message))

    def _wait(self) -> None:
        self._stop_waiting()
        self._clock = self.loop.call_later(self._settings.patience, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait()  # the answer to the request before comes first
        elif self._in_head and self._head:
            seconds = self._settings.patience
            message = f"the request's line and headers did not come within {seconds:g} s"
            self._refuse(Refusal("too_slow", message))
        else:
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer without the application, and close."""
        response = to_json(refusal.body, refusal.status, refusal.headers)
        head: list[Any] = [f"HTTP/1.1 {refusal.status.value} {refusal.status.phrase}".encode()]
        head += [b": ".join(pair) for pair in response.raw_headers]
        head += [b"x-content-type-options: nosniff", b"connection: close", b"", b""]
        self.transport.write(b"\r\n".join(head) + bytes(response.body))
        self.transport.close()
