"""What every request passes: who may ask, whether there is room, and how every answer is sent."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pawprint.serve.refusals import Refusal
from pawprint.serve.service import PLACE, Service, to_refusal
from pawprint.serve.settings import Settings

_LOG = logging.getLogger(__name__)

OTHER = "other"  # the route of all that asks for no photo's answer
LAST = (b"connection", b"close")
HEADERS = (  # of every answer that says nothing else
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Gate:
    """Stands before the application.

    Args:
        app: it.
        service: whose.
        open_to_all: paths that need no token.
    """

    def __init__(self, app: ASGIApp, service: Service, open_to_all: set[str]) -> None:
        self._app, self._service, self._open = app, service, open_to_all
        token = service.settings.token
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before any of its body is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        route = route_of(scope["path"])
        status = 499  # as is said of a client that has gone
        headers = Headers(scope=scope)
        body = _Unread(receive, headers, self._service.settings)
        refused = counted = False

        def count() -> None:
            nonlocal counted
            if not counted:
                counted = True
                self._service.metrics.requests.labels(route, status).inc()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._complete(message["headers"])
                # After a refusal, who was told to go on only with leave may or may not send it.
                if self._service.draining or (refused and "expect" in headers):
                    message["headers"].append(LAST)
            elif not message.get("more_body"):
                count()  # before the client has its answer, and may look at the figures
                if body.would_be_cut(scope):
                    await send({**message, "more_body": True})
                    await body.pass_over()
                    message = {"type": "http.response.body"}
            await send(message)

        try:
            self._admit(scope, headers, route)
        except Refusal as refusal:
            refused = True
            await to_refusal(self._service, refusal)(scope, body.receive, sending)
        else:
            if scope["method"] == "HEAD":  # as GET; the server leaves the body out
                scope = {**scope, "method": "GET"}
            await self._answer(scope, body.receive, sending)
        count()
        self._service.metrics.seconds.labels(route).observe(time.perf_counter() - begun)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:  # answered already, as `internal`
            _LOG.exception("a request failed")
        finally:
            if PLACE in scope:
                scope[PLACE].free()

    def _admit(self, scope: Scope, headers: Headers, route: str) -> None:
        if len(headers.getlist("host")) != 1 and scope["http_version"] == "1.1":
            raise Refusal("bad_request", "expected one Host header")
        if self._token is not None and scope["path"] not in self._open:
            kind, _, shown = headers.get("authorization", "").partition(" ")
            known = hmac.compare_digest(shown.strip().encode(), self._token)
            if kind.lower() != "bearer" or not known:
                raise Refusal(
                    "unauthorized",
                    "expected the header Authorization: Bearer TOKEN with this service's token",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        if scope["method"] == "POST":
            if _from_elsewhere(headers):
                raise Refusal("cross_site", "pages of other sites may not ask here")
            if route != OTHER:
                scope[PLACE] = self._service.pool.reserve()

    @staticmethod
    def _complete(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        there = {name.lower() for name, _ in headers}
        return [*headers, *((name, value) for name, value in HEADERS if name not in there)]


class _Unread:
    """A request's body, and whether all of it was read.

    Where the connection ends with the answer while more of the body is on its way, the client's
    system throws the answer away unread. So the answer is sent, and the rest passed over first.
    """

    def __init__(self, receive: Receive, headers: Headers, settings: Settings) -> None:
        self._receive, self._headers, self._settings = receive, headers, settings
        self._left = "content-length" in headers or "transfer-encoding" in headers

    async def receive(self) -> Message:
        """As of the request."""
        message = await self._receive()
        self._left &= message["type"] == "http.request" and message.get("more_body", False)
        return message

    def would_be_cut(self, scope: Scope) -> bool:
        """Whether the client still sends what nobody will read."""
        last = "close" in self._headers.get("connection", "").lower()
        one = scope["http_version"] == "1.0"
        return self._left and (last or one) and "expect" not in self._headers

    async def pass_over(self) -> None:
        """Read the rest, within limits."""
        passed = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.patience):
                while self._left and passed <= 2 * self._settings.body_bytes:
                    passed += len((await self.receive()).get("body", b""))


def route_of(path: str) -> str:
    """What a path asks for, as the figures count it."""
    if path == "/predict":
        return "predict"
    return "infer" if path.startswith("/v2/models/") and path.endswith("/infer") else OTHER


def _from_elsewhere(headers: Headers) -> bool:
    """Whether a page of another site sends this, which a browser tells."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host")
