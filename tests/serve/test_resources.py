"""What one request or one client may take of memory and time, however it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

import pawprint
from pawprint import starter
from pawprint.serve.answers import Answers
from pawprint.serve.bodies import Bodies
from pawprint.serve.metrics import Metrics
from pawprint.serve.refusals import Refusal
from pawprint.serve.service import Service
from pawprint.serve.settings import Settings

SETTINGS = Settings(str(starter.BUNDLE), starter.NAME)
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
UPGRADE = b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.mark.parametrize("last", [b"0\r\nX: ", b"0\r\nX", b"5;x="])
def test_a_line_of_a_body_that_does_not_end_is_refused(served: Any, wire: Any, last: bytes) -> None:
    with wire(served.port) as client:
        client.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + last)
        for _ in range(20):
            client.say(b"y" * 100_000)
        status, said, _ = client.hear()
        assert (status, said["code"]) == (431, "headers_too_large")
    assert served.ask("GET", "/v2/health/live").status == 200


def test_a_long_head_may_come_in_pieces(served: Any, wire: Any) -> None:
    with wire(served.port) as client:
        client.say(b"GET /model HTTP/1.1\r\nHost: localhost\r\nX: ")
        for _ in range(3):
            client.say(b"y" * 9_000)
            time.sleep(0.05)
        client.say(b"\r\n\r\n")
        assert client.hear()[0] == 200


def test_upgrades_in_one_go_are_each_one_request(served: Any, wire: Any) -> None:
    inner = b"X: " + b"a" * 200 + b" GET /v2 HTTP/1.1\r\n"
    with wire(served.port) as client:
        client.say(b"GET /model HTTP/1.1\r\n" + UPGRADE + b"\r\n")
        client.say(
            (b"GET /model HTTP/1.1\r\n" + UPGRADE + inner + b"\r\n") * 2
            + b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        told = [client.hear()[1] for _ in range(4)]
        assert [one.get("name") for one in told] == ["starter"] * 3 + [None]
        assert told[3] == {"live": True}
        assert client.hear()[0] == 0


def test_bodies_that_come_slowly_are_counted_together(serve_with: Any, wire: Any) -> None:
    with serve_with("--max-body", "1", "--drain", "0") as service, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(wire(service.port)) for _ in range(20)]
        for client in clients:
            client.say(HEAD + b"Content-Length: 1048576\r\n\r\n")
        for client in clients:
            client.say(b"y" * 1_000_000)
        deadline = time.monotonic() + 20
        refused = 'pawprint_refusals_total{code="overloaded"}'
        while service.metric(refused) < 11 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert 11 <= service.metric(refused) <= 13  # eight of a MiB fit
    assert service.process.returncode == 0


def test_what_is_unpacked_counts_too() -> None:
    bodies = Bodies(replace(SETTINGS, body_bytes=1000))
    with bodies.hold(7000), bodies.hold(1000):
        with pytest.raises(Refusal) as refused, bodies.hold(1000):
            pass
        assert refused.value.code == "overloaded"
    with bodies.hold(8000):
        pass


def test_who_reads_too_slowly_is_cut_off(impatient: int) -> None:
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50
    with socket.create_connection(("127.0.0.1", impatient)) as client:
        client.setblocking(False)
        end = time.monotonic() + 30
        try:
            while time.monotonic() < end:
                with contextlib.suppress(BlockingIOError):
                    client.send(ask)
                with contextlib.suppress(BlockingIOError):
                    client.recv(1000)
                time.sleep(0.05)
        except ConnectionError:
            return
    pytest.fail("20 kB a second were enough")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service in this process, with half a second for each request."""
    made = Service(replace(SETTINGS, seconds=0.5))
    made.answers.warm()
    yield made
    made.pool.close()


def test_a_request_has_one_deadline_for_all_of_its_work(service: Service) -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    async def main() -> None:
        request = Request({"type": "http"}, never)
        assert await service.work(request, [lambda wanted: time.sleep(0.3)]) == [None]
        begun = time.monotonic()
        with pytest.raises(Refusal) as refused:
            await service.work(request, [lambda wanted: time.sleep(0.4)])
        assert refused.value.code == "deadline_exceeded"
        assert time.monotonic() - begun < 0.35

    asyncio.run(main())


def test_a_large_photo_is_answered_as_any(service: Service, large: bytes) -> None:
    row = service.answers.row(large, "large.png", lambda: True, heatmap=True)
    expected = pawprint.load().predict(large)
    assert row["probabilities"] == expected.probabilities
    assert row["heatmap"].startswith("data:image/jpeg")
    capped = Answers(replace(SETTINGS, pixels=17_000_000), Metrics(1))
    told = capped.row(large, "large.png", lambda: True, heatmap=False)["error"]
    assert told == "5000 x 4000 is more than 17,000,000 pixels; make it smaller"


def test_heat_maps_are_those_of_the_bundle_as_it_was(tmp_path: Path, photo: bytes) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(starter.BUNDLE, bundle)
    answers = Answers(replace(SETTINGS, model=str(bundle)), Metrics(1))
    answers.warm_heatmaps()
    shutil.rmtree(bundle)
    assert answers.row(photo, "a.jpg", lambda: True, heatmap=True)["heatmap"] is not None
