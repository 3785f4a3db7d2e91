"""The load generator: sends photos to a service, by closed or open loop, and times every answer.

closed: each of N clients sends its next photo when its answer is there.
open:   photos arrive at a rate, whatever the answers do; a latency counts from the scheduled
        arrival, so a service that makes its clients wait is not spared.
burst:  N requests at once, all whole but for their last byte; then the last bytes, then SIGTERM to
        a process: each is in flight when the signal comes, and none is answered.

It is a process of its own, with one thread, that shares the cores with what it measures: raw
HTTP/1.1, requests made once, answers hardly parsed. What it took itself is in `cpu`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import itertools
import json
import math
import os
import random
import resource
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import common
from connection import Answer, Connection, prepare

READY = "/v2/health/ready"
_PROBE_LIMIT = 5.0  # seconds
_PAUSE = 0.05  # seconds before a client whose connection failed tries again
_SETTLE = 0.3  # seconds in which a service reads what a burst has sent so far


@dataclass
class Records:
    """A row for each request, as columns.

    Args:
        photo: its number, in the order of the files' names.
        at: when it was answered, in seconds since the beginning.
        latency: seconds from when it was due until its answer.
        lag: how much of that it took to begin sending it: the generator's own delay, and with
            the open loop the wait for a connection.
    """

    begun: float = field(default_factory=time.perf_counter)
    photo: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    retry_after: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    def add(self, photo: int, due: float, sent: float, answer: Answer) -> None:
        now = time.perf_counter()
        self.photo.append(photo)
        self.status.append(answer.status)
        self.code.append(answer.code)
        self.retry_after.append(answer.retry_after)
        self.at.append(round(now - self.begun, 6))
        self.latency.append(round(now - due, 6))
        self.lag.append(round(sent - due, 6))


@dataclass
class Load:
    """What is sent where, and what came of it."""

    host: str
    port: int
    requests: list[bytes]
    records: Records = field(default_factory=Records)
    keep_bodies: bool = False

    def __post_init__(self) -> None:
        self._photos = itertools.cycle(range(len(self.requests)))

    def connection(self) -> Connection:
        return Connection(self.host, self.port)

    async def send(self, connection: Connection, due: float) -> Answer:
        """Send the next photo and record what became of it, also where it is given up."""
        photo, sent, answer = next(self._photos), time.perf_counter(), Answer(0, "no_answer")
        try:
            answer = await connection.ask(self.requests[photo])
        finally:
            self.records.add(photo, due, sent, answer)
            if self.keep_bodies:
                self.records.bodies.append(answer.body.decode("utf-8", "replace"))
        return answer


async def closed_loop(
    load: Load, *, clients: int, seconds: float, most: int | None, grace: float
) -> None:
    """Clients that each send the next photo when their answer is there.

    Args:
        load: what to send.
        clients: how many.
        seconds: after which nothing more is sent.
        most: requests in all; None for as many as there is time for.
        grace: seconds to wait for the last answers.
    """
    left = itertools.count() if most is None else iter(range(most))
    end = time.perf_counter() + seconds

    async def client() -> None:
        connection = load.connection()
        for _ in left:
            if time.perf_counter() >= end:
                break
            answer = await load.send(connection, time.perf_counter())
            if answer.status == 0:
                await asyncio.sleep(_PAUSE)
        connection.close()

    await _all([asyncio.create_task(client()) for _ in range(clients)], seconds + grace)


async def open_loop(
    load: Load, *, arrivals: Iterator[float], connections: int, grace: float
) -> None:
    """Photos that arrive when they do, on any free connection, or on a new one.

    Args:
        load: what to send.
        arrivals: their moments, in seconds since the beginning, rising.
        connections: at most; an arrival that finds none free waits for one.
        grace: seconds to wait for the last answers.
    """
    begun = time.perf_counter()
    waiting: deque[float] = deque()
    idle: list[asyncio.Future[float | None]] = []
    senders: list[asyncio.Task[None]] = []
    ended = False

    async def sender(due: float | None) -> None:
        connection = load.connection()
        while due is not None:
            await load.send(connection, due)
            if waiting:
                due = waiting.popleft()
            elif ended:
                break
            else:
                idle.append(asyncio.get_running_loop().create_future())
                due = await idle[-1]
        connection.close()

    for arrival in arrivals:
        due = begun + arrival
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        if idle:
            idle.pop().set_result(due)
        elif len(senders) < connections:
            senders.append(asyncio.create_task(sender(due)))
        else:
            waiting.append(due)
    ended = True
    for future in idle:
        future.set_result(None)
    await _all(senders, grace)
    for due in waiting:
        load.records.add(-1, due, time.perf_counter(), Answer(0, "not_sent"))


async def burst(load: Load, *, count: int, process: int, grace: float) -> float:
    """Requests that are all in flight, none of them answered, when a process gets SIGTERM.

    Args:
        load: what to send.
        count: how many.
        process: whom to signal.
        grace: seconds to wait for the answers.

    Returns:
        When the signal was sent, in seconds since the beginning.
    """
    connections = [load.connection() for _ in range(count)]
    requests = list(itertools.islice(itertools.cycle(load.requests), count))
    for connection, request in zip(connections, requests, strict=True):
        await connection.open()
        connection.write(request[:-1])
    await asyncio.sleep(_SETTLE)
    sent = time.perf_counter()
    answers = [connection.answer() for connection in connections]
    for connection, request in zip(connections, requests, strict=True):
        connection.write(request[-1:])
    os.kill(process, signal.SIGTERM)

    async def record(photo: int, answer: asyncio.Future[Answer]) -> None:
        found = Answer(0, "no_answer")
        try:
            found = await answer
        finally:
            load.records.add(photo, sent, sent, found)

    await _all([asyncio.create_task(record(*of)) for of in enumerate(answers)], grace)
    return sent - load.records.begun


async def _all(tasks: list[asyncio.Task[None]], limit: float) -> None:
    """Wait for tasks to end, no longer than the limit in seconds, then end them."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=limit)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def probed(load: Load, path: str, every: float) -> AsyncIterator[Records]:
    """Meanwhile ask whether the service is ready, on a connection of its own.

    Args:
        load: whose service.
        path: what to get; nothing is asked where it is empty.
        every: seconds.
    """
    records = Records(begun=load.records.begun)

    async def probe() -> None:
        connection, due = load.connection(), time.perf_counter()
        while True:
            sent = time.perf_counter()
            try:
                answer = await asyncio.wait_for(connection.ask(_get(load, path)), _PROBE_LIMIT)
            except TimeoutError:
                connection.close()
                answer = Answer(0, "no_answer")
            records.add(-1, due, sent, answer)
            due = max(due + every, time.perf_counter())
            await asyncio.sleep(due - time.perf_counter())

    task = asyncio.create_task(probe()) if path else None
    try:
        yield records
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _get(load: Load, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\n\r\n".encode()


def poisson(rate: float, seconds: float, seed: int = 0) -> Iterator[float]:
    """Arrivals that know nothing of each other, in seconds since the beginning."""
    drawn, moment = random.Random(seed), 0.0
    while (moment := moment + drawn.expovariate(rate)) < seconds:
        yield moment


def even(rate: float, seconds: float) -> Iterator[float]:
    """Arrivals at equal distances, in seconds since the beginning."""
    return (number / rate for number in range(int(rate * seconds)))


async def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line asks for."""
    site = urlsplit(chosen.address)
    host, port = site.hostname or "127.0.0.1", site.port or 80
    load = Load(host, port, prepare(chosen.photos, site.netloc, chosen.path, chosen.form))
    load.keep_bodies = chosen.bodies
    load.records.begun = time.perf_counter()
    before, signalled = _cpu(), None
    async with probed(load, chosen.probe, chosen.probe_every) as health:
        if chosen.mode == "closed":
            await closed_loop(
                load,
                clients=chosen.clients,
                seconds=chosen.seconds,
                most=chosen.requests,
                grace=chosen.grace,
            )
        elif chosen.mode == "open":
            arrivals = {"poisson": poisson, "even": even}[chosen.arrivals]
            await open_loop(
                load,
                arrivals=arrivals(chosen.rate, chosen.seconds),
                connections=chosen.connections,
                grace=chosen.grace,
            )
        else:
            signalled = await burst(
                load, count=chosen.clients, process=chosen.signal, grace=chosen.grace
            )
    seconds = time.perf_counter() - load.records.begun
    return {
        "seconds": seconds,
        "cpu": _cpu() - before,
        "signalled": signalled,
        "records": vars(load.records),
        "health": vars(health),
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that a share of all are not above; nan where there are none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else math.nan


def _summary(result: dict[str, Any]) -> str:
    """A line for each status, to be read."""
    records = result["records"]
    rows = list(zip(records["status"], records["code"], records["latency"], strict=True))
    lines = [f"{len(rows):,} requests in {result['seconds']:.2f} s, CPU {result['cpu']:.2f} s"]
    for kind in sorted({row[:2] for row in rows}):
        found = [latency for *of, latency in rows if tuple(of) == kind]
        middle, late = (1000 * percentile(found, share) for share in (0.5, 0.99))
        rate = len(found) / result["seconds"]
        lines.append(f"{kind}: {rate:,.0f}/s, p50 {middle:.1f} ms, p99 {late:.1f} ms")
    late = 1000 * percentile(records["lag"], 0.99)
    ready = 1000 * percentile(result["health"]["latency"], 0.99)
    return "\n".join([*lines, f"lag p99 {late:.1f} ms; readiness p99 {ready:.1f} ms"])


def main() -> None:
    parser = common.options(__doc__)
    add = parser.add_argument
    add("--address", required=True, help="of the service, such as http://127.0.0.1:8000/")
    add("--photos", type=Path, required=True, help="a folder; its photos are sent in turns")
    add("--path", default="/predict", help="what to post to (default /predict)")
    add("--form", action="store_true", help="send multipart/form-data, not the bytes alone")
    add("--mode", choices=["closed", "open", "burst"], default="closed")
    add("--clients", type=int, default=16, help="closed, burst: how many (default 16)")
    add("--seconds", type=float, default=20, help="to send for (default 20)")
    add("--requests", type=int, help="closed: at most; by default only time ends it")
    add("--rate", type=float, default=100, help="open: arrivals a second (default 100)")
    add("--arrivals", choices=["poisson", "even"], default="poisson", help="open")
    add("--connections", type=int, default=256, help="open: at most (default 256)")
    add("--signal", type=int, help="burst: the process that gets SIGTERM")
    add("--grace", type=float, default=30, help="seconds to wait for the last answers (default 30)")
    add("--probe", default=READY, help=f"what to ask meanwhile; '' for nothing (default {READY})")
    add("--probe-every", type=float, default=0.1, help="seconds (default 0.1)")
    add("--bodies", action="store_true", help="give the answers' bodies too")
    add("--json", action="store_true", help="every record, for a program")
    chosen = parser.parse_args()
    if chosen.mode == "burst" and not chosen.signal:
        parser.error("--mode burst needs --signal")
    with contextlib.suppress(ImportError):
        importlib.import_module("uvloop").install()
    result = asyncio.run(run(chosen))
    print(json.dumps(result) if chosen.json else _summary(result))


if __name__ == "__main__":
    main()
