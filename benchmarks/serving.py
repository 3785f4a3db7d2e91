"""The service: its throughput, what overload does to it, how it ends, its start and its memory.

Photos are full-size pets, asked for over loopback by a load generator (benchmarks/load.py) that
shares the cores with what it measures.

throughput: 16 clients, each with its next photo when its answer is there, as raw bodies and as
            multipart, against `predict_many` on the same bytes in a process without HTTP, and
            against a server as people write it around plain Keras (peers/keras_server.py, which
            needs fastapi, uvicorn and python-multipart). In turns; ratios are of each round.
overload:   the capacity is what 16 clients get, before and after; between them photos come at four
            times that rate, at random. Latencies count from when a photo was due.
shutdown:   SIGTERM when 32 requests are sent and none is answered.
start:      from the start of the process to the first 200 of the readiness probe; memory of the
            largest process and of all, with 1 and 2 workers. MB are millions of bytes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import common
import servers
from common import Table, members, say, shared, workplace
from load import percentile
from predict import train
from servers import MemoryWatch, load

PHOTOS = "data/pets_fullsize.zip"
STARTER = common.REPOSITORY / "src/pawprint/starter/bundle"
CLIENTS, TIMES = 16, 4  # of the closed loop; what overload is of the capacity
IN_FLIGHT = 32
COMPARED = 64  # photos that Keras answers too
LONGEST = 300  # seconds for a number of requests
REFUSALS = {"overloaded", "deadline_exceeded"}

Results = dict[str, Any]


def main() -> None:
    parser = common.options(__doc__)
    add = parser.add_argument
    add("sections", nargs="*", help=f"of {', '.join(SECTIONS)} (default: all)")
    add("--model", type=Path, help="a run or bundle; by default a run is trained first")
    add("--train-photos", type=int, default=4000, help="that it is trained on (default 4000)")
    add("--photos", type=int, default=400, help="to send in turns (default 400)")
    add("--seconds", type=float, default=10, help="of a closed loop (default 10)")
    add("--rounds", type=int, default=5, help="of throughput (default 5)")
    add("--overload-seconds", type=float, default=60, help="(default 60)")
    add("--shutdowns", type=int, default=5, help="(default 5)")
    add("--starts", type=int, default=10, help="of each model (default 10)")
    chosen = parser.parse_args()
    if unknown := set(chosen.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    table, results = Table(), Results()
    with workplace() as place:
        model = (chosen.model or train(place, chosen.train_photos)).resolve()
        archive = shared(PHOTOS)
        photos = common.write_folder(archive, members(archive, chosen.photos), place / "photos")
        for name in chosen.sections or SECTIONS:
            results[name] = SECTIONS[name](table, model, photos, chosen)
    common.finish("serving", table, results)


def throughput(table: Table, model: Path, photos: Path, chosen: argparse.Namespace) -> Results:
    place, rates = photos.parent, dict[str, list[float]]()
    keras = next(path for path in (model / "model", model) if (path / "model.keras").exists())
    with (
        servers.pawprint(model, place) as service,
        servers.keras(keras / "model.keras", place) as peer,
    ):
        alike = _warmed(table, service, peer, model, photos)
        closed = ["--clients", CLIENTS, "--seconds", chosen.seconds]
        loads = {
            "service": partial(load, service, photos, *closed),
            "service, multipart": partial(load, service, photos, *closed, "--form"),
            "Keras": partial(load, peer, photos, *closed, "--form", "--probe", ""),
        }
        cpu, generator = dict[str, list[float]](), list[float]()
        sides = ["predict_many", *loads]
        for number in range(chosen.rounds):
            for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                if side == "predict_many":
                    apart = _apart(model, photos, chosen.seconds)
                    rate, spent = apart.rate, apart.cpu
                else:
                    asked = peer if side == "Keras" else service
                    spent = -asked.cpu()
                    found = loads[side]()
                    rate = _rate(found, chosen.seconds)
                    spent = (spent + asked.cpu()) / found["records"]["status"].count(200)
                    generator.append(found["cpu"] / found["seconds"])
                rates.setdefault(side, []).append(rate)
                cpu.setdefault(side, []).append(spent)
            told = ", ".join(f"{side} {values[-1]:.0f}/s" for side, values in rates.items())
            say(f"round {number + 1}: {told}")
    for side, found_rates in rates.items():
        spread = f"({min(found_rates):,.0f} to {max(found_rates):,.0f})"
        each = f"CPU of a photo {1000 * statistics.median(cpu[side]):.1f} ms"
        table.add(f"{side}, photos/s", f"{statistics.median(found_rates):,.0f} {spread}, {each}")
    for side, base, least in (
        ("service", "predict_many", 0.7),
        ("service, multipart", "predict_many", None),
        ("service, multipart", "Keras", 5.0),
        ("service", "Keras", 5.0),
    ):
        ratios = [a / b for a, b in zip(rates[side], rates[base], strict=True)]
        middle, shown = statistics.median(ratios), ", ".join(f"{ratio:.2f}" for ratio in ratios)
        met = None if least is None else middle >= least
        target = "" if least is None else f">= {least}"
        table.add(f"{side} / {base}", f"{middle:.2f} (of {shown})", target, met)
    table.add("load generator, of one core", f"{max(generator):.0%}")
    return {"photos_per_second": rates, "cpu": cpu, "alike": alike, "generator_cpu": generator}


def _warmed(
    table: Table, service: servers.Service, peer: servers.Service, model: Path, photos: Path
) -> Results:
    """Ask each side once, the peer by one client first, and count the answers that are alike."""
    expected = _apart(model, photos, 0.0).answers
    count = len(expected)
    few = min(COMPARED, count)
    load(peer, photos, "--requests", 4, "--clients", 1, "--form", "--probe", "")
    once = ["--seconds", LONGEST, "--bodies"]
    ours = _bodies(load(service, photos, *once, "--requests", count))
    theirs = _bodies(load(peer, photos, *once, "--requests", few, "--form", "--probe", ""))
    same = sum(
        ours[number]["predictions"][0]["label"] == label
        for number, (label, _) in enumerate(expected)
    )
    alike = sum(
        (theirs[number]["second"] >= 0.5) == (expected[number][1] >= 0.5) for number in range(few)
    )
    table.add("answered as predict_many does", f"{same} of {count}", "all", same == count)
    table.add("answered alike by Keras", f"{alike} of {few}")
    return {"service": [same, count], "keras": [alike, few]}


def _bodies(found: Results) -> dict[int, Any]:
    """The answers by the photos' numbers."""
    records = found["records"]
    return {
        number: json.loads(body)
        for number, body in zip(records["photo"], records["bodies"], strict=True)
    }


@dataclass(frozen=True)
class Apart:
    """What `predict_many` did in a process of its own.

    Args:
        rate: photos a second, from their bytes.
        cpu: seconds on all cores together, a photo.
        answers: of each photo its label and its last class's probability.
    """

    rate: float
    cpu: float
    answers: list[tuple[str, float]]


def _apart(model: Path, photos: Path, seconds: float) -> Apart:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_in_process, model, photos, seconds).result()


def _in_process(model: Path, photos: Path, seconds: float) -> Apart:
    import pawprint

    data = [file.read_bytes() for file in sorted(photos.rglob("*.jpg"))]
    classifier = pawprint.load(model)
    begun = time.perf_counter()
    first = list(classifier.predict_many(data))
    passes = math.ceil(seconds / (time.perf_counter() - begun))
    begun, spent = time.perf_counter(), time.process_time()
    count = sum(1 for _ in classifier.predict_many(itertools.chain(*[data] * passes)))
    rate = count / (time.perf_counter() - begun)
    cpu = (time.process_time() - spent) / max(count, 1)
    answers = [(str(one.label), list(one.probabilities.values())[-1]) for one in first]
    return Apart(rate, cpu, answers)


def _rate(found: Results, seconds: float) -> float:
    """Photos answered with 200 a second, in as many seconds."""
    records = found["records"]
    answers = zip(records["status"], records["at"], strict=True)
    return sum(1 for status, at in answers if status == 200 and at <= seconds) / seconds


def overload(table: Table, model: Path, photos: Path, chosen: argparse.Namespace) -> Results:
    closed = ["--clients", CLIENTS, "--seconds", chosen.seconds]
    with servers.pawprint(model, photos.parent) as service:
        queue = service.get("/model")["limits"]["queue"]
        load(service, photos, *closed)
        alone = load(service, photos, "--clients", 1, "--seconds", chosen.seconds / 2)
        before = _rate(load(service, photos, *closed), chosen.seconds)
        seconds, rate = chosen.overload_seconds, TIMES * before
        say(f"capacity {before:.0f}/s, then {rate:.0f}/s for {seconds:.0f} s")
        options = ["--mode", "open", "--rate", f"{rate:.1f}", "--seconds", seconds]
        with MemoryWatch(service) as memory:
            found = load(service, photos, *options)
        after = _rate(load(service, photos, *closed), chosen.seconds)
    unloaded = percentile(alone["records"]["latency"], 0.5)
    told = _overloaded(found) | {
        "capacity": [before, after],
        "goodput": _rate(found, seconds),
        "unloaded_p50": unloaded,
        "queue": queue,
        "memory": memory.samples,
    }
    _add_overload(table, told)
    return told


def _overloaded(found: Results) -> Results:
    """What came of an open loop."""
    records, health = found["records"], found["health"]
    rows = list(
        zip(*(records[key] for key in ("status", "code", "retry_after", "latency")), strict=True)
    )
    kinds: dict[str, int] = {}
    for status, code, *_ in rows:
        kinds[f"{status} {code}".strip()] = kinds.get(f"{status} {code}".strip(), 0) + 1
    sent = [late - lag for late, lag in zip(records["latency"], records["lag"], strict=True)]
    refused = [number for number, row in enumerate(rows) if row[0] == 503]
    return {
        "kinds": kinds,
        "other": sum(status not in (200, 503) for status, *_ in rows),
        "bare": sum(
            status == 503 and (code not in REFUSALS or not after.isdecimal())
            for status, code, after, _ in rows
        ),
        "refused_p99": percentile([rows[number][3] for number in refused], 0.99),
        "refused_p99_from_sending": percentile([sent[number] for number in refused], 0.99),
        "accepted_p99": percentile([row[3] for row in rows if row[0] == 200], 0.99),
        "accepted_p50": percentile([row[3] for row in rows if row[0] == 200], 0.5),
        "lag_p99": percentile(records["lag"], 0.99),
        "health_p99": percentile(health["latency"], 0.99),
        "health_not_200": sum(status != 200 for status in health["status"]),
        "generator_cpu": found["cpu"] / found["seconds"],
    }


def _add_overload(table: Table, told: Results) -> None:
    before, after = told["capacity"]
    capacity = statistics.mean(told["capacity"])
    share = told["goodput"] / capacity
    most = 2 * (told["queue"] / capacity + told["unloaded_p50"])
    first, last = told["memory"][0], told["memory"][-1]
    highest = max(told["memory"])
    kinds = ", ".join(f"{count:,} of {kind}" for kind, count in sorted(told["kinds"].items()))
    refused, sent = told["refused_p99"], told["refused_p99_from_sending"]
    accepted, health = told["accepted_p99"], told["health_p99"]
    table.add("capacity, before and after", f"{before:,.0f} and {after:,.0f} photos/s")
    table.add("answers under overload", kinds)
    wrong = told["other"] + told["bare"]
    table.add("neither 200 nor a whole 503", f"{wrong}", "none", wrong == 0)
    table.add("goodput / capacity", f"{share:.1%}", ">= 95 %", share >= 0.95)
    table.add("refused, p99", f"{1000 * refused:.1f} ms", "<= 50 ms", refused <= 0.05)
    table.add("refused, p99 from sending", f"{1000 * sent:.1f} ms")
    target = f"<= {1000 * most:.0f} ms"
    table.add("answered, p99", f"{1000 * accepted:.1f} ms", target, accepted <= most)
    table.add("answered, p50", f"{1000 * told['accepted_p50']:.1f} ms")
    table.add("unloaded, p50", f"{1000 * told['unloaded_p50']:.1f} ms")
    table.add("readiness, p99", f"{1000 * health:.1f} ms", "<= 100 ms", health <= 0.1)
    grown = f"{first:.0f} to {last:.0f} MB, at most {highest:.0f}"
    table.add("resident memory", grown, "<= +10 %", highest <= 1.1 * first)
    table.add("load generator, of one core", f"{told['generator_cpu']:.0%}")


def shutdown(table: Table, model: Path, photos: Path, chosen: argparse.Namespace) -> Results:
    rows = []
    for _ in range(chosen.shutdowns):
        with servers.pawprint(model, photos.parent) as service:
            load(service, photos, "--requests", IN_FLIGHT)
            options = ["--mode", "burst", "--clients", IN_FLIGHT, "--probe-every", 0.005]
            found = load(service, photos, *options, "--signal", service.process.pid)
            code = service.wait()
        records, health = found["records"], found["health"]
        probes = zip(health["status"], health["at"], strict=True)
        unready = [at for status, at in probes if at > found["signalled"] and status == 503]
        early = sum(at <= found["signalled"] for at in records["at"])
        answered = records["status"].count(200)
        last = max(records["at"])
        rows.append(
            {
                "answered": answered,
                "before_signal": early,
                "unready_first": bool(unready) and unready[0] < last,
                "seconds": last - found["signalled"],
                "exit_code": code,
            }
        )
        say(f"shutdown: {rows[-1]}")
    whole = sum(row["answered"] == IN_FLIGHT and not row["before_signal"] for row in rows)
    unready_rows = sum(bool(row["unready_first"]) for row in rows)
    clean = sum(row["exit_code"] == 0 for row in rows)
    count = len(rows)
    answered_of = ", ".join(str(row["answered"]) for row in rows)
    table.add(f"of {IN_FLIGHT} in flight answered", answered_of, "all", whole == count)
    seen = unready_rows == count
    table.add("seen not ready before the last answer", f"{unready_rows} of {count}", "all", seen)
    table.add("ended with exit code 0", f"{clean} of {count}", "all", clean == count)
    return {"ends": rows}


def start(table: Table, model: Path, photos: Path, chosen: argparse.Namespace) -> Results:
    results = Results()
    for name, one in {"the model": model, "the starter": STARTER}.items():
        seconds = []
        for _ in range(chosen.starts):
            with servers.pawprint(one, photos.parent) as service:
                seconds.append(service.start_seconds)
        middle = statistics.median(seconds)
        spread = f"({min(seconds):.2f} to {max(seconds):.2f})"
        found = f"{middle:.2f} s {spread}"
        table.add(f"{name}: start to ready", found, "<= 1.5 s", middle <= 1.5)
        memory = {workers: _memory(table, name, one, photos, workers) for workers in (1, 2)}
        results[name] = {"seconds": seconds, "memory": memory}
    return results


def _memory(table: Table, name: str, model: Path, photos: Path, workers: int) -> Results:
    """MB of each process, when it is ready and after each photo was asked for once."""
    with servers.pawprint(model, photos.parent, "--workers", str(workers)) as service:
        time.sleep(1)
        idle = service.memory()
        count = sum(file.is_file() for file in photos.rglob("*"))
        load(service, photos, "--seconds", LONGEST, "--requests", count)
        time.sleep(1)
        used = service.memory()
    for when, found in (("idle", idle), ("after photos", used)):
        most = max(one["rss"] for one in found)
        total = sum(one["pss"] for one in found)
        shown = f"{most:.0f} MB a process, {total:.0f} MB in all"
        target, met = ("<= 250 MB", most <= 250) if when == "idle" else ("", None)
        table.add(f"{name}: {workers} workers, {when}", shown, target, met)
    return {"idle": idle, "used": used}


SECTIONS = {"throughput": throughput, "overload": overload, "shutdown": shutdown, "start": start}

if __name__ == "__main__":
    main()
