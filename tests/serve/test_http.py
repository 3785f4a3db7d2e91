"""Bad HTTP: it is refused in JSON, and what is only unusual is answered."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

HOST = b"Host: localhost\r\n"
GET = b"GET /model HTTP/1.1\r\n" + HOST
POST = b"POST /predict HTTP/1.1\r\n" + HOST
LIVE = b"GET /v2/health/live HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture(autouse=True)
def goes_on(served: Any, photo: bytes) -> Iterator[None]:
    """After every test the service answers as it did before."""
    yield
    answer = served.ask("POST", "/predict", photo)
    assert answer.status == 200
    assert answer.json["predictions"][0]["label"] == "cat"


def headers(count: int, value: bytes = b"y") -> bytes:
    return b"".join(b"X-%d: %s\r\n" % (number, value) for number in range(count))


def chunked(data: bytes) -> bytes:
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + data


def sized(length: bytes, data: bytes = b"abc") -> bytes:
    return POST + b"Content-Length: " + length + b"\r\n\r\n" + data


BAD = "bad_request"
BEHIND = b"0\r\n\r\n" + LIVE  # to whom the length counts, a body; to whom the chunks, a request
REQUESTS: dict[str, tuple[bytes, str]] = {
    "TLS": (bytes.fromhex("160301020001fc0303") + bytes(200), BAD),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    "HTTP/3.7": (b"GET /model HTTP/3.7\r\n\r\n", BAD),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", BAD),
    "NULs": (bytes(1000), BAD),
    "rubbish": (b"e3b0c44298fc1c149afbf4c8996fb924\r\n\r\n", BAD),
    "CONNECT": (b"CONNECT example.org:443 HTTP/1.1\r\n" + HOST + b"\r\n", "method_not_allowed"),
    "TRACE": (b"TRACE /model HTTP/1.1\r\n" + HOST + b"\r\n", "method_not_allowed"),
    "OPTIONS": (b"OPTIONS /predict HTTP/1.1\r\n" + HOST + b"\r\n", "method_not_allowed"),
    "OPTIONS of all": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", "not_found"),
    "PUT": (b"PUT /predict HTTP/1.1\r\n" + HOST + b"\r\n", "method_not_allowed"),
    "DELETE": (b"DELETE /model HTTP/1.1\r\n" + HOST + b"\r\n", "method_not_allowed"),
    "GET of /predict": (b"GET /predict HTTP/1.1\r\n" + HOST + b"\r\n", "method_not_allowed"),
    "lower case": (b"get /model HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    "unknown method": (b"BREW /model HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    "a space before": (b" GET /model HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    "two slashes": (b"GET //model HTTP/1.1\r\n" + HOST + b"\r\n", "not_found"),
    "upwards": (b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", "not_found"),
    "upwards, encoded": (b"GET /..%2f..%2fetc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", "not_found"),
    "encoded twice": (b"GET /%252e%252e/app.py HTTP/1.1\r\n" + HOST + b"\r\n", "not_found"),
    "source": (b"GET /app.py HTTP/1.1\r\n" + HOST + b"\r\n", "not_found"),
    "NUL in the path": (b"GET /page.css%00 HTTP/1.1\r\n" + HOST + b"\r\n", "not_found"),
    "path not UTF-8": (b"GET /%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n", "not_found"),
    "path not ASCII": (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    "bad query": (
        b"POST /predict?heatmap=%ff HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\na",
        BAD,
    ),
    "long address": (b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\n\r\n", "headers_too_large"),
    "1,000 long headers": (GET + headers(1000, b"y" * 99) + b"\r\n", "headers_too_large"),
    "10,000 headers": (GET + headers(10_000) + b"\r\n", "headers_too_large"),
    "header of 100 kB": (GET + b"X: " + b"y" * 100_000 + b"\r\n\r\n", "headers_too_large"),
    "name of 100 kB": (GET + b"y" * 100_000 + b": z\r\n\r\n", "headers_too_large"),
    "NUL in a header": (GET + b"X: a\0b\r\n\r\n", BAD),
    "header on two lines": (GET + b"X: a\r\n b\r\n\r\n", BAD),
    "line feeds": (b"GET /model HTTP/1.1\nHost: localhost\n\n", BAD),
    "no host": (b"GET /model HTTP/1.1\r\n\r\n", BAD),
    "two hosts": (GET + HOST + b"\r\n", BAD),
    "length below nothing": (sized(b"-3"), BAD),
    "length with a sign": (sized(b"+3"), BAD),
    "length in hexadecimal": (sized(b"0x3"), BAD),
    "two lengths": (sized(b"3\r\nContent-Length: 4"), BAD),
    "a list of lengths": (sized(b"3, 4"), BAD),
    "huge length": (sized(b"999999999999999999"), "body_too_large"),
    "length beyond 63 bits": (sized(b"9999999999999999999"), "body_too_large"),
    "length beyond 64 bits": (sized(b"9" * 30), BAD),
    "length and chunks": (sized(b"5\r\nTransfer-Encoding: chunked", BEHIND), BAD),
    "chunks and length": (chunked(b"")[:-2] + b"Content-Length: 5\r\n\r\n" + BEHIND, BAD),
    "a coding like chunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n" + BEHIND, BAD),
    "chunked, hidden": (sized(b"5\r\nTransfer-Encoding : chunked", BEHIND), BAD),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + BEHIND, BAD),
    "chunked, not last": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + BEHIND, BAD),
    "chunks of garbage": (chunked(b"zz\r\nabc"), BAD),
    "chunk below nothing": (chunked(b"-1\r\nabc"), BAD),
    "chunk beyond 64 bits": (chunked(b"f" * 17 + b"\r\nabc"), BAD),
    "chunk longer than said": (chunked(b"3\r\nabcdef\r\n0\r\n\r\n"), BAD),
    "endless trailers": (
        chunked(b"3\r\nabc\r\n0\r\n" + headers(10_000) + b"\r\n"),
        "headers_too_large",
    ),
    "refused with a body to come": (
        POST + b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n",
        "body_too_large",
    ),
    "from elsewhere with a body to come": (
        POST + b"Origin: null\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        "cross_site",
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_bad_request_is_refused_in_json(served: Any, case: str, wire: Any) -> None:
    data, code = REQUESTS[case]
    with wire(served.port) as client:
        client.say(data)
        status, said, told = client.hear()
        assert 400 <= status < 500, (status, said)
        assert said["code"] == code
        assert said["error"]
        assert told["content-type"] == "application/json"
        assert told["x-content-type-options"] == "nosniff"
        if told.get("connection") == "close":
            assert client.is_closed(5)


@pytest.mark.parametrize("lead", [b"", b"\r\n", b"\r\n\r\n"])
def test_lines_before_a_request_are_passed_over(served: Any, lead: bytes, wire: Any) -> None:
    with wire(served.port) as client:
        client.say(lead + LIVE)
        assert client.hear()[0] == 200


OLD = {
    "HTTP/0.9": b"GET /model\r\n\r\n",
    "HTTP/1.0": b"GET /model HTTP/1.0\r\n\r\n",
    "HTTP/1.0, kept": b"GET /model HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "to be closed": GET + b"Connection: close\r\n\r\n",
    "absolute": b"GET http://localhost/model HTTP/1.1\r\n" + HOST + b"\r\n",
    "WebSocket": GET
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    + b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n",
    "HTTP/2 by h2c": GET
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    "1,000 headers": GET + headers(1000) + b"\r\n",
}


@pytest.mark.parametrize("case", OLD)
def test_old_and_unusual_requests_are_answered(served: Any, case: str, wire: Any) -> None:
    with wire(served.port) as client:
        client.say(OLD[case])
        status, said, _ = client.hear()
        assert (status, said["name"]) == (200, "starter")


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"TLS/1.2", b"nonsense"])
@pytest.mark.parametrize("at_once", [True, False])
def test_an_upgrade_that_is_not_made_leaves_the_body_a_body(
    served: Any, photo: bytes, upgrade: bytes, at_once: bool, wire: Any
) -> None:
    head = POST + b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\nContent-Length: "
    for body, expected in ((photo, 200), (LIVE, 422)):
        with wire(served.port) as client:
            whole = head + str(len(body)).encode() + b"\r\n\r\n"
            if at_once:
                client.say(whole + body)
            else:
                client.say(whole)
                time.sleep(0.2)
                client.say(body)
            status, said, _ = client.hear()
            assert status == expected, said
            client.say(LIVE.replace(b"live", b"ready"))
            status, said, _ = client.hear()
            assert status == 0 or said == {"ready": True}  # not {"live": True}, from the body


def test_requests_in_one_go_are_answered_in_order(served: Any, photo: bytes, wire: Any) -> None:
    ask = POST + b"Content-Length: %d\r\n\r\n" % len(photo) + photo
    with wire(served.port) as client:
        client.say((ask + LIVE + sized(b"3")) * 20)
        for _ in range(20):
            assert client.hear()[1]["predictions"][0]["label"] == "cat"
            assert client.hear()[1] == {"live": True}
            assert client.hear()[1]["code"] == "unreadable"


def test_a_request_in_single_bytes_is_answered(served: Any, photo: bytes, wire: Any) -> None:
    with wire(served.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        data += b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in photo[:2000]) + b"0\r\n\r\n"
        for place in range(len(data)):
            client.say(data[place : place + 1])
        status, said, _ = client.hear()
        assert (status, said["code"]) == (422, "unreadable")


def test_leave_is_given_to_a_body_that_is_awaited(served: Any, photo: bytes, wire: Any) -> None:
    with wire(served.port) as client:
        client.say(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(photo))
        leave = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.socket.recv(len(leave), socket.MSG_WAITALL) == leave
        client.say(photo)
        assert client.hear()[0] == 200
