"""What does not fit is refused at once; what nobody waits for is not done; an end is in order."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psutil
import pytest

from pawprint.parallel import cores

RAW = {"Content-Type": "application/octet-stream"}


def wait_for(condition: Any, seconds: float = 20) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def test_beyond_the_queue_requests_are_refused_at_once(serve_with: Any, large: bytes) -> None:
    with serve_with("--queue", "2", "--max-files", "2", "--timeout", "120") as service:
        room = 2 + cores() + 1  # waiting, and in a thread
        with ThreadPoolExecutor(room + 6) as clients:
            asked = [
                clients.submit(service.ask, "POST", "/predict", large, RAW) for _ in range(room + 6)
            ]
            while not all(one.done() for one in asked):
                assert service.ask("GET", "/v2/health/ready").status == 200
        answers = [one.result() for one in asked]
        refused = [answer for answer in answers if answer.status != 200]
        assert 1 <= len(refused) <= 6
        for answer in refused:
            assert (answer.status, answer.json["code"]) == (503, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
        assert service.metric('pawprint_refusals_total{code="overloaded"}') == len(refused)
        assert service.metric("pawprint_queue_photos") == 0
        assert service.metric("pawprint_queue_limit") == 2


def test_many_photos_of_one_request_fit_or_are_refused_together(
    serve_with: Any, photo: bytes
) -> None:
    with serve_with("--queue", "4", "--max-files", "4") as service:
        assert service.send([("a.jpg", photo)] * 4).status == 200
        five = service.send([("a.jpg", photo)] * 5)
        assert (five.status, five.json["code"]) == (413, "too_many_files")


def test_after_its_deadline_a_request_is_refused_and_not_done(
    serve_with: Any, large: bytes
) -> None:
    with serve_with("--timeout", "0.2") as service:
        answer = service.send([("large.png", large)] * 12)
        assert (answer.status, answer.json["code"]) == (503, "deadline_exceeded")
        assert int(answer.headers["retry-after"]) >= 1
        wait_for(lambda: service.metric("pawprint_unwanted_photos_total") >= 9)
        done = service.metric('pawprint_photos_total{outcome="answered"}')
        assert done + service.metric('pawprint_photos_total{outcome="unknown"}') <= 3


def test_what_a_client_left_waiting_is_not_done(serve_with: Any, large: bytes) -> None:
    with serve_with("--timeout", "120") as service:
        connection = service.connect()
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(large)}\r\n\r\n"
        connections = []
        for _ in range(12):
            connection = socket.create_connection((service.host, service.port))
            connection.sendall(head.encode() + large)
            connections.append(connection)
        wait_for(lambda: service.metric("pawprint_queue_photos") >= 6)
        for connection in connections:
            connection.close()
        wait_for(lambda: service.metric("pawprint_unwanted_photos_total") >= 6)
        assert service.metric('pawprint_requests_total{route="predict",status="200"}') <= 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_answered_before_the_end(
    serve_with: Any, large: bytes, number: signal.Signals
) -> None:
    with serve_with("--timeout", "120", "--drain", "1.5") as service:
        with ThreadPoolExecutor(8) as clients:
            asked = [clients.submit(service.ask, "POST", "/predict", large, RAW) for _ in range(8)]
            wait_for(lambda: service.metric("pawprint_queue_photos") >= 4)
            service.process.send_signal(number)
            if number == signal.SIGTERM:
                wait_for(lambda: service.ask("GET", "/v2/health/ready").status == 503, 1)
                assert service.ask("GET", "/v2/models/starter/ready").status == 503
                assert service.ask("GET", "/v2/health/live").status == 200
            statuses = [one.result().status for one in asked]
        assert statuses == [200] * 8
        assert service.process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            service.ask("GET", "/v2/health/live")


def test_workers_share_a_port_and_one_that_dies_is_replaced(serve_with: Any, photo: bytes) -> None:
    with serve_with("--workers", "2") as service:
        children = psutil.Process(service.process.pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        assert len(workers) == 2
        for _ in range(6):
            assert service.ask("POST", "/predict", photo, RAW).status == 200
        assert service.metric('pawprint_requests_total{route="predict",status="200"}') == 6
        assert service.metric("pawprint_queue_limit") == 128
        workers[0].kill()
        wait_for(lambda: not workers[0].is_running())
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:  # the one that is left answers meanwhile
            assert service.ask("POST", "/predict", photo, RAW).status == 200
            if service.metric("pawprint_queue_limit") == 128:
                break
        assert service.metric("pawprint_queue_limit") == 128


def test_workers_end_with_a_service_that_is_killed(serve_with: Any) -> None:
    with suppress(AssertionError), serve_with("--workers", "2") as service:  # it ends badly
        workers = psutil.Process(service.process.pid).children()
        service.process.kill()
        left = psutil.wait_procs(workers, timeout=30)[1]
    assert len(workers) >= 2
    assert left == []


def test_a_connection_is_kept_for_further_requests(served: Any, photo: bytes) -> None:
    connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
    connection.connect()
    before = connection.sock.getsockname()
    for _ in range(3):
        connection.request("POST", "/predict", photo, RAW)
        assert connection.getresponse().read()
    assert connection.sock.getsockname() == before
    connection.close()


def test_health_is_quick_while_photos_are_decoded(served: Any, large: bytes) -> None:
    stop = threading.Event()
    asked: list[int] = []

    def probe() -> None:
        while not stop.is_set():
            asked.append(served.ask("GET", "/v2/health/live").status)

    prober = threading.Thread(target=probe)
    prober.start()
    answer = served.ask("POST", "/predict", large, RAW)
    stop.set()
    prober.join()
    assert answer.status == 200
    assert len(asked) > 3
    assert set(asked) == {200}
