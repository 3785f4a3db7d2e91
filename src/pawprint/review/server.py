"""A review as a web page for this computer's own user: http.server, on the loopback alone.

```
GET  /TOKEN/            the page; its page.css, page.js, and the base.css of all pages
GET  /TOKEN/state       the suspects and what was said of them
GET  /TOKEN/photo/N     the photo of suspect N, as a JPEG; or why there is none
POST /TOKEN/verdict/N   {"verdict": "keep" | "relabel" | "exclude" | null, "label": "dog"}
```

The random token keeps other users and other pages out, and the Host that is asked for must be the
loopback, so that no name of somebody else's leads here. A photo has a number; no path is taken.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import socketserver
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib import resources
from typing import Any

from pawprint.data.corrections import Verdict
from pawprint.errors import OutputError, PawprintError, PhotoError
from pawprint.review.session import Session

_HOST = "127.0.0.1"
_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?")
_NUMBERED = re.compile(r"(photo|verdict)/([0-9]{1,9})")
_FILES = {
    "": ("pawprint.review", "page.html", "text/html; charset=utf-8"),
    "base.css": ("pawprint.pages", "base.css.j2", "text/css; charset=utf-8"),
    "page.css": ("pawprint.review", "page.css", "text/css; charset=utf-8"),
    "page.js": ("pawprint.review", "page.js", "text/javascript; charset=utf-8"),
}
_MAX_BODY = 4096  # bytes
_POLL = 0.1  # seconds until a wish to end is noticed
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src 'self' data:; "
    "script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server(socketserver.ThreadingTCPServer):
    """Serves one review until it is told to stop; not an HTTPServer, which looks up host names.

    Args:
        session: the review.
        port: to listen on; 0 takes any that is free.

    Raises:
        OutputError: the port is taken or not allowed.
    """

    allow_reuse_address = sys.platform != "win32"  # where it would let others listen, too
    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((_HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise OutputError(
                f"port {port} of this computer cannot be used ({error}); name another with "
                "--port, or none"
            ) from error

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{_HOST}:{self.server_address[1]}/{self.token}/"

    def serve(self) -> None:
        """Answer until `shutdown` or Ctrl-C."""
        self.serve_forever(_POLL)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what is unexpected; a browser that goes away is not."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    """A request that is not answered as it wishes: a status, and a few words."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """Answers one browser's requests."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds for a request to come
    server: Server

    def do_GET(self) -> None:
        """Give the page, a part of it or a photo."""
        try:
            asked = self._asked()
            if asked in _FILES:
                package, name, kind = _FILES[asked]
                data = (resources.files(package) / name).read_bytes()
                self._send(HTTPStatus.OK, data, kind)
            elif asked == "state":
                self._tell(HTTPStatus.OK, self.server.session.state())
            else:
                photo = self.server.session.photo(self._number(asked, "photo"))
                self._send(HTTPStatus.OK, photo, "image/jpeg")
        except PhotoError as error:
            self._tell(HTTPStatus.NOT_FOUND, {"error": error.reason})
        except _Refused as refused:
            self._refuse(refused)

    def do_POST(self) -> None:
        """Take a verdict."""
        try:
            number = self._number(self._asked(), "verdict")
            verdict, label = self._verdict(number)
            self.server.session.decide(number, verdict, label)
            self._tell(HTTPStatus.OK, {"verdict": verdict, "label": label})
        except PhotoError as error:
            self._tell(HTTPStatus.CONFLICT, {"error": error.reason})
        except PawprintError as error:
            self._tell(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(error)})
        except _Refused as refused:
            self._refuse(refused)

    def _asked(self) -> str:
        """What of the review is asked for, by somebody who may."""
        hosts = self.headers.get_all("Host") or [""]
        if len(hosts) > 1 or not _LOOPBACK.fullmatch(hosts[0]):
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, "this host is not served here")
        if self.headers.get("Origin", f"http://{hosts[0]}") != f"http://{hosts[0]}":
            raise _Refused(HTTPStatus.FORBIDDEN, "other pages may not ask")
        _, token, asked = (*self.path.split("/", 2), "", "")[:3]
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
        return asked

    def _number(self, asked: str, what: str) -> int:
        found = _NUMBERED.fullmatch(asked)
        number = int(found[2]) if found and found[1] == what else -1
        if not 0 <= number < len(self.server.session.suspects.ranked):
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
        return number

    def _verdict(self, number: int) -> tuple[Verdict | None, str]:
        """The verdict in a request's body."""
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # which another page could not send unasked
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,18}", length):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if int(length) > _MAX_BODY:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {_MAX_BODY} B")
        try:
            body = json.loads(self.rfile.read(int(length)))
            said, label = body["verdict"], body.get("label", "")
            verdict = None if said is None else Verdict(said)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            raise _Refused(HTTPStatus.BAD_REQUEST, "expected a verdict and a label") from None
        suspects = self.server.session.suspects
        others = [name for name in suspects.classes if name != suspects.ranked[number].given]
        if label not in (others if verdict is Verdict.RELABEL else [""]):
            raise _Refused(HTTPStatus.BAD_REQUEST, "expected another class as the label")
        return verdict, label

    def _refuse(self, refused: _Refused) -> None:
        self.close_connection = True  # its body was not read
        self._tell(refused.status, {"error": str(refused)})

    def _tell(self, status: HTTPStatus, values: dict[str, Any]) -> None:
        self._send(status, json.dumps(values).encode(), "application/json")

    def _send(self, status: HTTPStatus, data: bytes, kind: str) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(data)), **_HEADERS}
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request of this page, without repeating any of it."""
        self._refuse(_Refused(HTTPStatus(code), "this is not answered here"))

    def version_string(self) -> str:
        """Name no versions."""
        return "pawprint"

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""
