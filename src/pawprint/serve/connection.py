"""HTTP/1.1 connections with limits: on heads, on how long all takes, on how many there are.

uvicorn's own connections wait for clients without end and keep whatever heads they send.
"""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pawprint.serve.bodies import SLOWEST
from pawprint.serve.gate import HEADERS, LAST, OTHER, route_of
from pawprint.serve.refusals import Refusal
from pawprint.serve.service import Service, to_json
from pawprint.serve.settings import Settings

MAX_HEAD = 32 * 1024  # bytes of a request's line and headers, and of trailers
MAX_PIPELINED = 128  # requests sent before the answer to the first

_OF_UPGRADES = (b"upgrade", b"http2-settings", b"connection")
_LAST_SECONDS = 1.0  # for a client to take its refusal, while what it sends is passed over


class _Answered:
    """Stands for a request that the application never sees; what comes of its body is ignored."""

    response_complete = more_body = True
    message_event = asyncio.Event()


_ANSWERED = _Answered()


class Connection(HttpToolsProtocol):
    """A client's connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, if there is room for one."""
        super().connection_made(transport)
        self._settings: Settings = self.app_state["settings"]
        self._head = self._ignored = 0  # bytes
        self._silent = 0  # bytes since the parser last told of any: of a line that does not end
        self._in_head, self._refused = True, False
        self._running: Any = None  # the cycle that is being answered
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        if len(self.connections) > self._settings.connections:
            self._refuse(
                Refusal("overloaded", "too many connections; try again in 1 s", retry_after=1)
            )
            transport.close()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it, and tell whoever works for it."""
        for clock in (self._reading, self._writing):
            if clock is not None:
                clock.cancel()
        for cycle in (self._running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    # What comes

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._refused:
            self._pass_over(data)
            return
        self._silent += len(data)
        self._data = data
        super().data_received(data)
        self._data = b""
        self._count(0)
        if self._is_idle() and self.timeout_keep_alive_task is None and self._reading is None:
            self._wait()  # of what came nothing was a request

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head = self._ignored = self._silent = 0
        self._in_head = True
        self._wait()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's line."""
        super().on_url(url)
        self._silent = 0
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        super().on_header(name, value)
        self._silent = 0
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """Hand the request over; from here on its reader minds the time."""
        self._silent = 0
        self._stop_waiting()
        self._in_head = False
        if self._refused or self.parser.should_upgrade() or self._refuse_photos():
            return
        super().on_headers_complete()
        if len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; of one that is not read, only so much."""
        self._silent = 0
        if self._refused:
            return
        if self.cycle.response_complete:
            self._pass_over(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._stop_waiting()
        if not self._refused and not self.parser.should_upgrade():
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Read a request on as if it had not asked for another protocol.

        Clients that could do more ask so with every request, and the parser stops at its head.
        """
        method, behind = self.parser.get_method(), sys.exception()
        if method == b"CONNECT":
            self._refuse(Refusal("method_not_allowed", "not with this method"))
            return
        assert behind is not None
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % pair for pair in self.headers if pair[0] not in _OF_UPGRADES]
        if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
            lines.append(b"connection: close")
        self._data = b"\r\n".join([*lines, b"", self._data[behind.args[0] :]])
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        super().data_received(self._data)

    # What is answered

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """End an answer; the rest of a body that was not read comes soon or not at all."""
        super().on_response_complete()
        self._watch()
        if self._running.more_body:
            self._wait()

    def pause_writing(self) -> None:
        """Wait for a client that does not read; not for ever."""
        super().pause_writing()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless it was refused already."""
        if not self._refused:
            self._refuse(Refusal("bad_request", "this is not an HTTP/1.1 request"))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer without the application, and end soon; after an answer that is under way."""
        self._stop_waiting()
        self._refused = True
        running = self._running
        if running is not None and not running.response_complete:
            self.pipeline.clear()
            if running.response_started or not running.more_body:
                running.keep_alive = False
                return
            running.disconnected = True  # who reads its body is told so
            running.message_event.set()
        self.transport.write(_message(to_json(refusal.body, refusal.status, refusal.headers), LAST))
        self.transport.write_eof()
        # Closed at once, a client's system would throw the answer away with what it still sends.
        self._reading = self.loop.call_later(_LAST_SECONDS, self.transport.abort)

    def _refuse_photos(self) -> bool:
        """Refuse photos while the queue is full, for a fraction of what the application takes."""
        service: Service = self.app_state["service"]
        route = route_of(self.url.partition(b"?")[0].decode("latin-1"))
        plain = self.parser.should_keep_alive() and not self.expect_100_continue
        first = self.cycle is None or self.cycle.response_complete
        asks = self.parser.get_method() == b"POST" and route != OTHER
        if not (asks and first and plain) or service.draining:
            return False
        try:
            service.pool.check()
        except Refusal as refusal:
            service.metrics.refusals.labels(refusal.code).inc()
            service.metrics.requests.labels(route, refusal.status.value).inc()
            self._running = self.cycle = _ANSWERED  # type: ignore[assignment]
            self.transport.write(_overloaded(str(refusal), int(refusal.headers["Retry-After"])))
            self.on_response_complete()
            return True
        return False

    # Limits

    def _is_idle(self) -> bool:
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self._in_head and not self.transport.is_closing()

    def _count(self, length: int) -> None:
        self._head += length
        if self._head + self._silent > MAX_HEAD and not self._refused:
            message = f"the request's line and headers have more than {MAX_HEAD:,} bytes"
            self._refuse(Refusal("headers_too_large", message))

    def _pass_over(self, data: bytes) -> None:
        self._ignored += len(data)
        if self._ignored > 2 * self._settings.body_bytes:
            self.transport.abort()

    def _wait(self) -> None:
        self._stop_waiting()
        self._reading = self.loop.call_later(self._settings.patience, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._reading is not None and not self._refused:
            self._reading.cancel()
            self._reading = None

    def _too_slow(self) -> None:
        self._reading = None
        if self.transport.is_closing():
            self.transport.abort()
        elif self.cycle is not None and not self.cycle.response_complete:
            self._wait()  # the answer to the request before comes first
        elif self._in_head and self._head:
            seconds = self._settings.patience
            message = f"the request's line and headers did not come within {seconds:g} s"
            self._refuse(Refusal("too_slow", message))
        else:
            self.transport.close()

    def _watch(self) -> None:
        """See that what is written is read."""
        left = self.transport.get_write_buffer_size()
        if left and self._writing is None:
            patience = self._settings.patience
            self._writing = self.loop.call_later(patience, self._read_too_little, left)

    def _read_too_little(self, before: int) -> None:
        self._writing = None
        least = self._settings.patience * SLOWEST
        if self.transport.get_write_buffer_size() > before - least:
            self.transport.abort()
        else:
            self._watch()


def _message(response: Response, *more: tuple[bytes, bytes]) -> bytes:
    """A whole answer, as it goes over the wire."""
    status = HTTPStatus(response.status_code)
    headers = b"".join(b"%s: %s\r\n" % pair for pair in (*response.raw_headers, *HEADERS, *more))
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, status.phrase.encode(), headers, response.body)


@lru_cache
def _overloaded(message: str, seconds: int) -> bytes:
    refusal = Refusal("overloaded", message, retry_after=seconds)
    return _message(to_json(refusal.body, refusal.status, refusal.headers))
