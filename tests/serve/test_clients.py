"""Clients that are slow, deaf or gone: none of them keeps the service from others."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pawprint.parallel import cores

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


def chunked(data: bytes) -> bytes:
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + data


def sized(length: bytes, data: bytes = b"abc") -> bytes:
    return POST + b"Content-Length: " + length + b"\r\n\r\n" + data


def test_a_head_that_does_not_end_is_not_kept(served: Any, wire: Any) -> None:
    for start in (b"GET /", GET + b"X: ", GET + b"X"):
        before = served.metric("process_resident_memory_bytes")
        with wire(served.port) as client:
            client.socket.settimeout(5)
            client.say(start + b"y" * 10**7)
            try:
                status, said, _ = client.hear()
            except TimeoutError:
                pytest.fail("it waits for more")
            assert (status, said["code"]) == (431, "headers_too_large")
        assert served.metric("process_resident_memory_bytes") - before < 10e6


SLOW = {
    "nothing": b"",
    "half a word": b"GE",
    "half a line": b"GET /mod",
    "half a header": GET + b"X: ",
    "no end of the head": GET,
    "no body": sized(b"10", b""),
    "half a body": sized(b"10"),
    "half a chunk": chunked(b"a\r\nabc"),
    "half a length": chunked(b"a"),
    "no last chunk": chunked(b"3\r\nabc\r\n"),
    "no end of the trailers": chunked(b"3\r\nabc\r\n0\r\nA: b\r\n"),
}


@pytest.mark.parametrize("case", SLOW)
def test_who_stops_half_way_is_not_waited_for(impatient: int, wire: Any, case: str) -> None:
    with wire(impatient) as client:
        client.say(SLOW[case])
        status, said, _ = client.hear()
        if status == 0:
            assert len(SLOW[case]) < 3  # nothing that could be answered
        else:
            assert (status, said["code"]) == (408, "too_slow")
        assert client.is_closed(5)


@pytest.mark.parametrize("start", [GET + b"X: ", sized(b"99999", b""), chunked(b"fffff\r\n")])
def test_who_drips_is_not_waited_for(impatient: int, start: bytes, wire: Any) -> None:
    with wire(impatient) as client:
        client.say(start)
        client.socket.settimeout(0.05)
        for _ in range(200):  # ten seconds
            client.say(b"y")
            try:
                if client.socket.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                pass
            except ConnectionResetError:
                break
        else:
            pytest.fail("it still waits")
        client.socket.settimeout(5)
        assert client.hear()[1]["code"] == "too_slow"


def test_who_drips_empty_lines_between_requests_is_not_waited_for(
    impatient: int, wire: Any
) -> None:
    with wire(impatient) as client:
        client.say(LIVE)
        assert client.hear()[0] == 200
        client.say(b"\r\n")
        assert client.is_closed(7)  # an idle connection is closed after 5 s


def test_connections_beyond_the_limit_are_refused(impatient: int, photo: bytes, wire: Any) -> None:
    port = impatient
    idle = []
    try:
        for _ in range(20):
            idle.append(wire(port))
        with wire(port) as one_more:
            status, said, told = one_more.hear()
            assert (status, said["code"]) == (503, "overloaded")
            assert int(told["retry-after"]) >= 1
            assert one_more.is_closed(5)
    finally:
        for client in idle:
            client.close()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with wire(port) as client:
            client.say(POST + b"Content-Length: %d\r\n\r\n" % len(photo) + photo)
            if client.hear()[0] == 200:
                return
    pytest.fail("there is no room again")


def test_who_does_not_read_the_answers_keeps_nobody_out(impatient: int, wire: Any) -> None:
    port = impatient
    ask = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(20):  # all the room there is
            stack.enter_context(wire(port)).say(ask * 400)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with wire(port) as other:
                other.socket.settimeout(5)
                other.say(LIVE)
                if other.hear()[0] == 200:
                    return
            time.sleep(0.2)
        pytest.fail("those who do not read have all the room, for ever")


def test_who_asks_for_much_at_once_and_leaves_takes_little(
    serve_with: Any, wire: Any, photo: bytes
) -> None:
    ask = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
    with serve_with("--drain", "0") as service:
        assert service.ask("POST", "/predict?heatmap=true", photo).status == 200  # all is there
        before = service.metric("process_resident_memory_bytes")
        with wire(service.port) as client:
            client.socket.settimeout(2)
            with contextlib.suppress(TimeoutError):
                client.say(ask * 10_000)
            assert service.metric("process_resident_memory_bytes") - before < 10e6
        assert service.ask("POST", "/predict", photo).status == 200
    # It ends without a word of an error: nothing is sent to who is not there.


def wait_for_metric(served: Any, line: str, value: float) -> None:
    end = time.monotonic() + 20
    while served.metric(line) < value:
        assert time.monotonic() < end, f"{line} is {served.metric(line)}, not {value}"
        time.sleep(0.05)


@pytest.mark.parametrize("start", [sized(b"1000000"), chunked(b"fffff\r\nabc")])
def test_who_leaves_within_the_body_is_forgotten(served: Any, start: bytes, wire: Any) -> None:
    gone = 'pawprint_requests_total{route="predict",status="499"}'
    before = served.metric(gone)
    with wire(served.port) as client:
        client.say(start)
        time.sleep(0.1)
    wait_for_metric(served, gone, before + 1)


def test_who_leaves_while_waiting_is_not_computed(
    serve_with: Any, photo: bytes, large: bytes, wire: Any
) -> None:
    with serve_with("--drain", "0", "--timeout", "60") as service:
        busy = [wire(service.port) for _ in range(cores() + 3)]
        for client in busy:
            client.say(POST + b"Content-Length: %d\r\n\r\n" % len(large) + large)
        wait_for_metric(service, "pawprint_queue_photos", 1)
        for _ in range(10):
            with wire(service.port) as leaving:
                leaving.say(POST + b"Content-Length: %d\r\n\r\n" % len(photo) + photo)
                time.sleep(0.01)
        statuses = [client.hear()[0] for client in busy]
        for client in busy:
            client.close()
        assert statuses == [200] * len(busy)
        wait_for_metric(service, "pawprint_unwanted_photos_total", 1)
        unwanted = service.metric("pawprint_unwanted_photos_total")
        others = sum(
            service.metric(f'pawprint_photos_total{{outcome="{outcome}"}}')
            for outcome in ("answered", "unknown", "unreadable")
        )
        assert unwanted >= 1
        assert others <= len(busy) + 10 - unwanted
        assert service.metric("pawprint_queue_photos") == 0
