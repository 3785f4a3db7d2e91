"""Batches or streams: how a service had best feed the engine, tried on the engine alone.

One photo a call and one stream a core, against batches of 2, 4 and 8 photos in a call, on one
stream that uses all cores or on one a core. First on pixels that are ready, in as many threads as
streams. Then as a service has it: 16 clients, each with its next photo as soon as it has its
answer, and the photos' bytes in a queue. One photo a call: there is a thread more than cores, and
each takes 1, 4 or 16 photos that wait, decodes them and then infers one by one. Batches: a thread
more than cores decodes, and a thread a stream infers as many as wait, up to the batch, by the
network of the largest size that they fill. All in one process, in turns; medians over the rounds.
"""

from __future__ import annotations

import itertools
import queue
import statistics
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import common
from common import members, say, shared
from load import percentile
from pawprint import bundle, starter
from pawprint.data.images import Pixels
from pawprint.engine import import_openvino
from pawprint.parallel import cores

PHOTOS = "data/pets_fullsize.zip"
SIZES = (8, 4, 2, 1)  # photos in a call
TAKES = (1, 4, 16)  # waiting photos that a thread takes at once
CLIENTS = 16

Decode = Callable[[bytes], Pixels]
Item = TypeVar("Item")
Photo = tuple[bytes, float]  # its bytes, and when its client asked


@dataclass(frozen=True)
class Way:
    """How photos are brought to the engine.

    Args:
        streams: how many calls at once.
        batch: photos in a call, at most.
        take: waiting photos that a thread decodes at once.
    """

    streams: int
    batch: int = 1
    take: int = 1

    def __str__(self) -> str:
        streams = f"{self.streams} stream{'s' * (self.streams > 1)}"
        photos = f"batches of {self.batch}" if self.batch > 1 else "one a call"
        return f"{photos}, {streams}" + (f", taking {self.take}" if self.batch == 1 else "")


class Engine:
    """A network, compiled for a size of batch and a number of streams."""

    def __init__(self, onnx: bytes, outputs: Sequence[str], batch: int, streams: int) -> None:
        openvino = import_openvino()
        model = openvino.Core().read_model(onnx)
        wanted = [model.output(name) for name in outputs]
        model = openvino.Model(wanted, model.get_parameters(), "pawprint")
        model.reshape([batch, *list(model.input(0).partial_shape)[1:]])
        hints = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": streams}
        self._compiled = openvino.Core().compile_model(model, "CPU", hints)
        self._requests = threading.local()
        self(np.zeros(tuple(self._compiled.input(0).shape), np.uint8))

    def __call__(self, photos: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities, (batch, classes), of photos, (batch, size, size, 3)."""
        request: Any = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        results = request.infer([photos], share_inputs=True, share_outputs=True)
        return np.array(results[0])  # a copy: the next call writes over what is shared


Engines = dict[tuple[int, int], Engine]  # by batch and streams


@dataclass(frozen=True)
class Measured:
    """What a way did in a round.

    Args:
        rate: photos a second.
        cpu: seconds on all cores together, a photo.
        latencies: seconds from a client's asking to its answer; none where there are no clients.
    """

    rate: float
    cpu: float
    latencies: list[float] = field(default_factory=list)


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument(
        "--model", type=Path, default=starter.BUNDLE, help="a run or bundle (default: the starter)"
    )
    parser.add_argument("--photos", type=int, default=400, help="in turns (default 400)")
    parser.add_argument("--seconds", type=float, default=3, help="a measurement (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="of all of them (default 3)")
    chosen = parser.parse_args()
    archive = shared(PHOTOS)
    with zipfile.ZipFile(archive) as opened:
        photos = [opened.read(name) for name in members(archive, chosen.photos)]
    _report(_measure(chosen.model, photos, chosen))


def _measure(model: Path, photos: list[bytes], chosen: Any) -> dict[str, Any]:
    card, onnx = bundle.read(bundle.find(model))
    outputs = ["probabilities", *(["novelty"] if card.unknown else [])]
    counts = (1, cores()) if cores() > 1 else (1,)
    engines = {
        (size, streams): Engine(onnx, outputs, size, streams)
        for size, streams in itertools.product(SIZES, counts)
    }
    plain = [Way(streams, batch) for batch in reversed(SIZES) for streams in counts]
    serving = [Way(cores(), take=take) for take in TAKES] + [way for way in plain if way.batch > 1]

    def decode(data: bytes) -> Pixels:
        return card.preprocessing.from_bytes(data, "photo")

    pixels = np.stack([decode(data) for data in photos[: 8 * max(SIZES)]])
    say(f"answers differ by at most {_differ(engines, pixels):.1e} between sizes of batch")
    inferred: dict[Way, list[Measured]] = {way: [] for way in plain}
    served: dict[Way, list[Measured]] = {way: [] for way in serving}
    for number in range(chosen.rounds):
        for way in plain:
            inferred[way].append(_infer(engines[way.batch, way.streams], way, pixels, chosen))
        for way in serving:
            served[way].append(_serve(engines, way, photos, decode, chosen.seconds))
        say(f"round {number + 1} of {chosen.rounds}")
    return {
        "pixels": {
            str(way).partition(", taking")[0]: _summary(rounds) for way, rounds in inferred.items()
        },
        "served": {str(way): _summary(rounds) for way, rounds in served.items()},
    }


def _differ(engines: Engines, pixels: Pixels) -> float:
    """How far the probabilities of any two engines differ on the same photos."""
    answers = [
        np.concatenate([engine(pixels[at : at + size]) for at in range(0, len(pixels), size)])
        for (size, _), engine in engines.items()
    ]
    return float(max(np.abs(answer - answers[0]).max() for answer in answers))


def _infer(engine: Engine, way: Way, pixels: Pixels, chosen: Any) -> Measured:
    """Pixels that are ready, in a thread a stream."""
    counts = [0] * way.streams
    end = time.perf_counter() + chosen.seconds

    def work(number: int) -> None:
        starts = itertools.cycle(range(0, len(pixels), way.batch))
        while time.perf_counter() < end:
            at = next(starts)
            engine(pixels[at : at + way.batch])
            counts[number] += way.batch

    begun, spent = time.perf_counter(), time.process_time()
    with _threads([partial(work, number) for number in range(way.streams)]):
        pass
    seconds, spent = time.perf_counter() - begun, time.process_time() - spent
    return Measured(sum(counts) / seconds, spent / sum(counts))


def _serve(
    engines: Engines, way: Way, photos: list[bytes], decode: Decode, seconds: float
) -> Measured:
    """Photos' bytes, with 16 clients that wait in turn."""
    asked: queue.SimpleQueue[Photo | None] = queue.SimpleQueue()
    decoded: queue.SimpleQueue[tuple[Pixels, float] | None] = queue.SimpleQueue()
    following, latencies = itertools.cycle(photos), list[float]()
    begun, spent = time.perf_counter(), time.process_time()

    def answered(since: float) -> None:
        now = time.perf_counter()
        if now < begun + seconds:
            latencies.append(now - since)
            asked.put((next(following), now))

    def infer(found: list[tuple[Pixels, float]]) -> None:
        while found:
            size = next(size for size in SIZES if size <= min(len(found), way.batch))
            now, found = found[:size], found[size:]
            engines[size, way.streams](np.stack([pixels for pixels, _ in now]))
            for _, since in now:
                answered(since)

    def take_whole() -> None:
        for taken in _taken(asked, way.take):
            infer([(decode(data), since) for data, since in taken])

    def take_to_decode() -> None:
        for taken in _taken(asked, 1):
            decoded.put((decode(taken[0][0]), taken[0][1]))

    def take_decoded() -> None:
        for taken in _taken(decoded, way.batch):
            infer(taken)

    decoders = [take_whole if way.batch == 1 else take_to_decode] * (cores() + 1)
    inferrers = [take_decoded] * way.streams if way.batch > 1 else []
    with _threads([*decoders, *inferrers]):
        for _ in range(CLIENTS):
            asked.put((next(following), begun))
        time.sleep(seconds)
        for _ in decoders:
            asked.put(None)
        for _ in inferrers:
            decoded.put(None)
    spent = time.process_time() - spent
    return Measured(len(latencies) / seconds, spent / max(len(latencies), 1), latencies)


def _taken(waiting: queue.SimpleQueue[Item | None], most: int) -> Iterator[list[Item]]:
    """What waits, up to so many at once; ends at a None."""
    while (first := waiting.get()) is not None:
        taken, ended = [first], False
        while len(taken) < most and not ended:
            try:
                more = waiting.get_nowait()
            except queue.Empty:
                break
            if more is None:
                ended = True
            else:
                taken.append(more)
        yield taken
        if ended:
            return


@contextmanager
def _threads(works: Sequence[Callable[[], None]]) -> Iterator[None]:
    """Threads that are waited for at the end."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


def _summary(rounds: list[Measured]) -> dict[str, float]:
    """Medians over the rounds."""
    return {
        "photos_per_second": statistics.median(one.rate for one in rounds),
        "cpu": statistics.median(one.cpu for one in rounds),
    } | {
        f"p{percent}": statistics.median(percentile(one.latencies, percent / 100) for one in rounds)
        for percent in (50, 95)
        if rounds[0].latencies
    }


def _report(results: dict[str, Any]) -> None:
    table = common.Table("latency p50, p95")
    for kind in ("pixels", "served"):
        for name, row in results[kind].items():
            found = (
                f"{row['photos_per_second']:,.0f} photos/s, CPU of one {1000 * row['cpu']:.2f} ms"
            )
            late = f"{1000 * row['p50']:.1f} ms, {1000 * row['p95']:.1f} ms" if "p50" in row else ""
            table.add(f"{kind}: {name}", found, late)
    common.finish("serving_batches", table, results)


if __name__ == "__main__":
    main()
