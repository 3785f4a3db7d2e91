"""The server answers this page, on this computer, with the token; and nobody else anything."""

from __future__ import annotations

import http.client
import io
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pawprint.data import corrections
from pawprint.errors import OutputError
from pawprint.review.server import Server

JSON = {"Content-Type": "application/json"}


def ask(
    server: Server,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    *,
    token: str | None = None,
    **headers: str,
) -> tuple[int, bytes, dict[str, str]]:
    """Ask for something of the review."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    token = server.token if token is None else token
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/{token}/{path}", body, named)
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def say(server: Server, number: object, value: Any, **headers: str) -> tuple[int, Any]:
    """Give a verdict."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    kind = {"Content_Type": "application/json", **headers}
    status, data, _ = ask(server, f"verdict/{number}", "POST", body, **kind)
    return status, json.loads(data)


def file_of(server: Server) -> Path:
    return server.session.file


def test_the_page_and_its_parts_are_given(server: Server) -> None:
    css, js = "text/css", "text/javascript"
    parts = {"": "text/html", "base.css": css, "page.css": css, "page.js": js}
    for path, kind in parts.items():
        status, data, headers = ask(server, path)
        assert status == 200
        assert headers["Content-Type"].startswith(kind)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert not any(part in data for part in (b"http:", b"https:", b"@import", b"innerHTML"))
        assert not any(part in data for part in (b"{{", b"{%"))  # nothing is left to render


def test_the_state_tells_all_but_the_photos(server: Server, some: list[Path]) -> None:
    status, data, _ = ask(server, "state")
    state = json.loads(data)
    assert status == 200
    assert (state["source"], state["classes"]) == ("photos", ["cat", "dog"])
    assert (state["photos"], state["expected"]) == (1234, 3)
    assert state["suspects"][0] == {
        "name": f"cat/{some[0].name}",
        "split": "train",
        "given": "cat",
        "suggested": "dog",
        "given_probability": 0.02,
        "suggested_probability": 0.98,
        "verdict": None,
        "label": "",
    }


def test_a_photo_is_a_jpeg_of_its_pixels(server: Server, some: list[Path]) -> None:
    status, data, headers = ask(server, "photo/2")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(data)) as shown, Image.open(some[2]) as photo:
        assert shown.size == photo.size


@pytest.mark.parametrize(
    "path",
    [
        *(
            "photo/4",
            "photo/-1",
            "photo/",
            "photo/0x0",
            "photo/٣",
            "photo/0/",
            "photo/999999999999",
        ),
        *(
            "verdict/0",
            "photo/../state",
            "%2e%2e/run.json",
            "page.html",
            "../page.js",
            "favicon.ico",
        ),
        *("photo/0?path=/etc/passwd", "/etc/passwd", "state/"),
    ],
)
def test_there_is_nothing_else(server: Server, path: str) -> None:
    path = path.encode().decode("latin-1")
    connection = socket.create_connection(server.server_address[:2], timeout=10)
    request = f"GET /{server.token}/{path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
    connection.sendall(request.encode("latin-1"))
    with connection, connection.makefile("rb") as file:
        answer = file.read()
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.endswith(b'{"error": "there is nothing here"}')


@pytest.mark.parametrize("token", ["", "wrong", "..", "%00", "\u00fc"])
def test_without_the_token_there_is_nothing(server: Server, token: str) -> None:
    token = token.encode().decode("latin-1") if token.isascii() else "%C3%BC"
    for path in ("", "state", "photo/0", "page.js"):
        assert ask(server, path, token=token)[0] == 404
    status, _, _ = ask(server, "verdict/0", "POST", b'{"verdict": "keep"}', token=token, **JSON)
    assert status == 404
    assert not file_of(server).exists()


def test_each_server_has_its_own_token(server: Server) -> None:
    with Server(server.session) as other:
        assert other.token != server.token
        assert len(other.token) >= 32
        assert other.address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "0.0.0.0", "localhost.x"]
)
def test_a_name_of_somebody_else_is_not_served(server: Server, host: str) -> None:
    for path in ("", "state", "photo/0"):
        status, data, _ = ask(server, path, Host=host)
        assert status == 421
        assert b"evil" not in data
    assert say(server, 0, {"verdict": "keep"}, Host=host)[0] == 421
    assert ask(server, "state", Host="localhost:1")[0] == 200


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://127.0.0.1:1"])
def test_other_pages_may_not_ask(server: Server, origin: str) -> None:
    assert ask(server, "state", Origin=origin)[0] == 403
    assert say(server, 0, {"verdict": "keep"}, Origin=origin)[0] == 403
    assert not file_of(server).exists()
    own = server.address.removesuffix(f"/{server.token}/")
    assert say(server, 0, {"verdict": "keep"}, Origin=own)[0] == 200


def test_a_verdict_is_written(server: Server, some: list[Path]) -> None:
    assert say(server, 1, {"verdict": "relabel", "label": "dog"}) == (
        200,
        {"verdict": "relabel", "label": "dog"},
    )
    (row,) = corrections.read(file_of(server))
    assert (row.path, row.given, row.label) == (f"cat/{some[1].name}", "cat", "dog")
    assert json.loads(ask(server, "state")[1])["suspects"][1]["verdict"] == "relabel"
    assert say(server, 1, {"verdict": None})[0] == 200
    assert corrections.read(file_of(server)) == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"3", b"null", b"{}", b"\xff", b"[" * 4000),
        *({"verdict": "drop"}, {"verdict": 3}, {"verdict": ["keep"]}, {"label": "dog"}),
        *({"verdict": "relabel"}, {"verdict": "relabel", "label": "cat"}),
        *({"verdict": "relabel", "label": "owl"}, {"verdict": "relabel", "label": ["dog"]}),
        *({"verdict": "keep", "label": "dog"}, {"verdict": None, "label": "dog"}),
    ],
    ids=str,
)
def test_what_is_no_verdict_is_refused(server: Server, body: Any) -> None:
    status, told = say(server, 0, body)
    assert status == 400
    assert told["error"].startswith("expected a")
    assert not file_of(server).exists()


def test_a_verdict_is_small_json_of_a_known_length(server: Server) -> None:
    good = b'{"verdict": "keep"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert say(server, 0, good, Content_Type=kind)[0] == 415
    assert say(server, 0, good + b" " * 4096)[0] == 413
    assert say(server, 0, good, Content_Length="10000000000")[0] == 413
    for length in ("-1", "x", "+19", "٣".encode().decode("latin-1")):
        assert say(server, 0, good, Content_Length=length)[0] == 411
    assert not file_of(server).exists()
    assert say(server, 0, good, Content_Type="application/json; charset=utf-8")[0] == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "<B>"])
def test_other_methods_are_refused_and_nothing_is_repeated(server: Server, method: str) -> None:
    status, data, headers = ask(server, "", method)
    assert status == 501
    assert b"<B>" not in data
    assert not any(name.startswith("Access-Control") for name in headers)
    assert "Python" not in headers["Server"]


def test_a_file_that_became_something_else_is_told(server: Server) -> None:
    (server.session.suspects.run / "corrections.csv").write_text("my notes\n")
    status, told = say(server, 0, {"verdict": "keep"})
    assert status == 500
    assert "begins with 'my notes'" in told["error"]


def test_a_photo_that_has_changed_is_answered_with_its_reason(
    write_run: Any, suspect: Any, session_of: Any, serve: Any, some: list[Path]
) -> None:
    server = serve(session_of(write_run(suspect(some[0], sha256="0" * 64))))
    status, data, _ = ask(server, "photo/0")
    told = {"error": "the file has changed since the training"}
    assert (status, json.loads(data)) == (404, told)
    assert say(server, 0, {"verdict": "keep"}) == (409, told)


def test_a_browser_that_goes_away_is_not_told_of(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    for request in (
        b"",
        b"nonsense\r\n\r\n",
        b"POST /x/verdict/0 HTTP/1.1\r\nContent-Length: 9\r\n",
    ):
        with socket.create_connection(server.server_address[:2], timeout=10) as connection:
            connection.sendall(request)
    assert ask(server, "state")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_told(server: Server) -> None:
    port = server.server_address[1]
    with pytest.raises(OutputError, match=rf"port {port} of this computer cannot be used \(.*--po"):
        Server(server.session, port)
