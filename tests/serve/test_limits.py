"""Limits hold to the byte, the file and the pixel; the token is asked for where it should be."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

LIMIT = 65_536  # bytes of a body
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}
CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.fixture(scope="module")
def small(serve_with: Any) -> Iterator[Any]:
    """A service with low limits."""
    limits = ("--max-body", "0.0625", "--max-files", "3", "--max-megapixels", "0.04")
    with serve_with("--drain", "0", *limits) as service:
        said = service.ask("GET", "/model").json["limits"]
        assert (said["body_bytes"], said["files"], said["pixels"]) == (LIMIT, 3, 40_000)
        yield service


@pytest.fixture(scope="module")
def padded() -> Callable[[int], bytes]:
    """Makes a photo of so many bytes; what is behind its end is not looked at."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((120, 90)).save(buffer, "JPEG")
    noise = random.Random(0).randbytes(LIMIT)

    def make(length: int) -> bytes:
        found = buffer.getvalue() + noise
        assert len(buffer.getvalue()) < length <= len(found)
        return found[:length]

    return make


def is_read(answer: Any) -> bool:
    """Whether its photos were read; else it was too large."""
    if answer.status == 200:
        assert all(row["error"] is None for row in answer.json["predictions"])
        return True
    assert (answer.status, answer.json["code"]) == (413, "body_too_large")
    assert "65,536 bytes" in answer.json["error"]
    return False


def in_chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def in_form(data: bytes, length: int) -> bytes:
    """A form of so many bytes, most of them the data's."""
    head = b'--edge\r\nContent-Disposition: form-data; name="a"; filename="a.jpg"\r\n\r\n'
    tail = b"\r\n--edge--\r\n"
    return head + data[: length - len(head) - len(tail)] + tail


def packed_to(length: int, pack: Callable[[bytes], bytes], make: Callable[[int], bytes]) -> bytes:
    """A photo that is so long once packed, and shorter by itself."""
    for inner in range(length, length - 100, -1):
        found = pack(make(inner))
        if len(found) == length:
            return found
    raise AssertionError("no photo packs to that length")


@pytest.mark.parametrize("over", [0, 1])
class TestABodyIsReadToItsLimit:
    def test_with_its_length(self, small: Any, padded: Any, over: int) -> None:
        body = padded(LIMIT + over)
        assert is_read(small.ask("POST", "/predict", body)) == (not over)

    @pytest.mark.parametrize("size", [7, 1000, 4096, LIMIT - 1, LIMIT, LIMIT + 1])
    def test_in_chunks(self, small: Any, padded: Any, over: int, size: int) -> None:
        chunks = in_chunks(padded(LIMIT + over), size)
        answer = small.ask("POST", "/predict", chunks, CHUNKED, encode_chunked=True)
        assert is_read(answer) == (not over)

    def test_as_a_form(self, small: Any, padded: Any, over: int) -> None:
        body = in_form(padded(LIMIT), LIMIT + over)
        assert len(body) == LIMIT + over
        assert is_read(small.ask("POST", "/predict", body, FORM)) == (not over)

    @pytest.mark.parametrize(
        ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
    )
    def test_unpacked(self, small: Any, padded: Any, over: int, encoding: str, pack: Any) -> None:
        zeros = padded(4000) + bytes(LIMIT + over - 4000)
        headers = {"Content-Encoding": encoding}
        body = pack(zeros)
        assert len(body) < LIMIT / 2
        assert is_read(small.ask("POST", "/predict", body, headers)) == (not over)
        chunks = in_chunks(body, 500)
        answer = small.ask("POST", "/predict", chunks, {**headers, **CHUNKED}, encode_chunked=True)
        assert is_read(answer) == (not over)

    @pytest.mark.parametrize(
        ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
    )
    def test_packed(self, small: Any, padded: Any, over: int, encoding: str, pack: Any) -> None:
        body = packed_to(LIMIT + over, lambda data: pack(data, 0), padded)
        headers = {"Content-Encoding": encoding}
        assert is_read(small.ask("POST", "/predict", body, headers)) == (not over)
        chunks = in_chunks(body, 999)
        answer = small.ask("POST", "/predict", chunks, {**headers, **CHUNKED}, encode_chunked=True)
        assert is_read(answer) == (not over)

    def test_of_the_protocol(self, small: Any, over: int) -> None:
        answer = small.ask("POST", "/v2/models/starter/infer", b" " * (LIMIT + over))
        expected = "body_too_large" if over else "bad_tensor"
        assert answer.json["code"] == expected

    def test_of_pixels(self, small: Any, over: int) -> None:
        buffer = io.BytesIO()
        Image.linear_gradient("L").resize((200, 200 + over)).save(buffer, "PNG")
        answer = small.ask("POST", "/predict", buffer.getvalue())
        assert answer.status == (422 if over else 200)
        (row,) = answer.json["predictions"]
        assert ("pixels" in (row["error"] or "")) == bool(over)

    def test_of_files(self, small: Any, photo: bytes, over: int) -> None:
        answer = small.send([("a.jpg", photo)] * (3 + over))
        if over:
            assert (answer.status, answer.json["code"]) == (413, "too_many_files")
        else:
            assert len(answer.json["predictions"]) == 3

    @pytest.mark.parametrize("first", [True, False])
    def test_of_fields(self, small: Any, padded: Any, over: int, first: bool) -> None:
        fields = b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * (16 + over)
        file = in_form(padded(5000), 5000)
        ended = file.removesuffix(b"--edge--\r\n")
        body = fields + file if first else ended + fields + b"--edge--\r\n"
        answer = small.ask("POST", "/predict", body, FORM)
        if over:
            assert (answer.status, answer.json["code"]) == (413, "too_many_fields")
        else:
            assert answer.status == 200


def test_unpacking_stops_at_the_limit(small: Any) -> None:
    bomb = gzip.compress(bytes(60_000_000), 9)
    assert len(bomb) < LIMIT
    before = small.metric("process_resident_memory_bytes")
    for _ in range(3):
        assert not is_read(small.ask("POST", "/predict", bomb, {"Content-Encoding": "gzip"}))
    assert small.metric("process_resident_memory_bytes") - before < 20e6


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
@pytest.mark.parametrize("chunks", [True, False])
def test_who_sends_all_before_reading_is_told(served: Any, chunks: bool, connection: str) -> None:
    body: Any = bytes(60_000_000)
    headers = {"Connection": connection}
    if chunks:
        body, headers = in_chunks(body, 10**6), {**headers, **CHUNKED}
    answer = served.ask("POST", "/predict", body, headers, encode_chunked=chunks)
    assert (answer.status, answer.json["code"]) == (413, "body_too_large")


def test_after_a_refused_body_the_connection_is_of_use(small: Any, padded: Any) -> None:
    connection = small.connect()
    try:
        for _ in range(3):
            connection.request("POST", "/predict", bytes(LIMIT + 1))
            answer = connection.getresponse()
            assert (answer.status, len(answer.read()) > 0) == (413, True)
            connection.request("POST", "/predict", padded(5000))
            answer = connection.getresponse()
            assert (answer.status, len(answer.read()) > 0) == (200, True)
    finally:
        connection.close()


TOKEN = "a-Token_0123456789"
OPEN = (
    *("/", "/page.css", "/page.js", "/base.css", "/photos.js", "/cards.js", "/camera.js"),
    *("/model", "/v2/health/live", "/v2/health/ready"),
)
SHUT = (
    *("/predict", "/metrics", "/openapi.json", "/v2", "/v2/models/starter", "/nothing"),
    *("/v2/models/starter/ready", "/v2/models/starter/infer", "/v2/models/starter/versions/1"),
    *("//", "//predict", "/%70redict", "/model/", "/MODEL", "/model/../metrics", "/page.js/"),
    *("/page.js/..%2fmetrics", "/v2/health", "/model%00", "/metrics?/model", "/;/model"),
)


@pytest.fixture(scope="module")
def guarded(serve_with: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service that asks for a token, which a file holds."""
    file = tmp_path_factory.mktemp("token") / "token.txt"
    file.write_text(f"{TOKEN}\n")
    with serve_with("--drain", "0", "--token-file", str(file)) as service:
        yield service


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", OPEN)
def test_what_is_open_needs_no_token(guarded: Any, path: str) -> None:
    for method in ("GET", "HEAD"):
        answer = guarded.ask(method, path)
        assert answer.status == 200
        assert TOKEN.encode() not in answer.body


def test_the_token_is_announced(guarded: Any, served: Any) -> None:
    assert guarded.ask("GET", "/model").json["token"] is True
    assert served.ask("GET", "/model").json["token"] is False


@pytest.mark.parametrize("path", SHUT)
def test_what_is_shut_needs_the_token(guarded: Any, path: str) -> None:
    for method in ("GET", "POST", "HEAD", "OPTIONS"):
        answer = guarded.ask(method, path)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            assert answer.json["code"] == "unauthorized"
        assert guarded.ask(method, path, headers=bearing(TOKEN)).status != 401


WRONG = {
    "none": {},
    "empty": {"Authorization": ""},
    "no token": {"Authorization": "Bearer"},
    "empty token": {"Authorization": "Bearer  "},
    "another": bearing("x" * len(TOKEN)),
    "another case": bearing(TOKEN.upper()),
    "its start": bearing(TOKEN[:-1]),
    "more than it": bearing(TOKEN + "x"),
    "twice": bearing(f"{TOKEN} {TOKEN}"),
    "as a password": {"Authorization": f"Basic {TOKEN}"},
    "alone": {"Authorization": TOKEN},
    "in another header": {"X-Token": TOKEN, "Cookie": f"token={TOKEN}"},
    "no ASCII": bearing("\xe9" * len(TOKEN)),
    "very long": bearing("x" * 20_000),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_token_is_refused(guarded: Any, photo: bytes, case: str) -> None:
    answer = guarded.ask("POST", "/predict", photo, WRONG[case])
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_the_right_token_is_let_in(guarded: Any, photo: bytes, kind: str) -> None:
    answer = guarded.ask("POST", "/predict", photo, {"Authorization": f"{kind} {TOKEN}"})
    assert answer.status == 200


def test_a_token_in_the_address_is_none(guarded: Any) -> None:
    for query in (f"token={TOKEN}", f"access_token={TOKEN}"):
        assert guarded.ask("GET", f"/metrics?{query}").status == 401


BAD_TOKENS = {
    "empty": b"",
    "only lines": b"\n\n",
    "two words": b"sesame street",
    "two lines": b"sesame\nstreet\n",
    "no ASCII": "schlüssel".encode(),
    "no UTF-8": b"\xff\xfe\x00",
    "a NUL": b"sesame\0street",
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_a_file_without_a_token_is_refused(cli: Any, tmp_path: Path, case: str) -> None:
    file = tmp_path / "token.txt"
    file.write_bytes(BAD_TOKENS[case])
    ran = cli("serve", "--port", "0", "--token-file", file)
    assert ran.code == 1
    assert "token.txt" in ran.err.replace("\n", "")
    assert "Traceback" not in ran.err
    assert "sesame" not in ran.err


def test_a_file_that_cannot_be_read_is_refused(cli: Any, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.txt"):
        ran = cli("serve", "--port", "0", "--token-file", path)
        assert ran.code != 0
        assert "Traceback" not in ran.err
