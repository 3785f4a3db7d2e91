"""Computing features, against the floor: nothing but inference plus nothing but decoding.

In one process and in turns, over blocks of 4,000 photos, every core busy in each:

- infer: the compiled prefix on pixels that are ready in memory, by the fastest of three ways: the
  same pool of threads as pawprint's, as many threads as cores, and OpenVINO's AsyncInferQueue on
  the same network compiled for throughput;
- decode: decoding and resizing by pawprint's own code, in the same pool, from bytes in memory;
- embed: `features.embed`, from reading in the zip to features in a store that begins empty and is
  kept in memory.

The floor is infer + decode. Embed also reads from the zip, which the floor does not; what reading
alone takes is measured beside it. The hashing of the photos, which training does before, is in
neither.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import common
from common import members, say, shared, workplace

if TYPE_CHECKING:
    from pawprint.data.images import Pixels
    from pawprint.data.reading import Read
    from pawprint.model.feature_store import FeatureStore

ARCHIVE = "data/cats_vs_dogs_16k.zip"
MOST = 1.2
READY = 1024  # photos whose pixels are ready; inference goes round them


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--photos", type=int, default=16_000, help="how many (default 16000)")
    parser.add_argument("--block", type=int, default=4000, help="photos a round (default 4000)")
    parser.add_argument("--passes", type=int, default=2, help="over all photos (default 2)")
    chosen = parser.parse_args()
    archive = shared(ARCHIVE)
    with workplace() as place:
        from pawprint.data.reading import read_all
        from pawprint.data.sources import open_source

        part = common.write_zip(archive, members(archive, chosen.photos), place / "photos.zip")
        with open_source(part) as source:
            reads, faults = read_all(source)
            assert not faults
            bench = _Bench(source, reads)
            rounds = [
                bench.round(reads[start : start + chosen.block], number % 2 == 1)
                for number in range(chosen.passes)
                for start in range(0, len(reads), chosen.block)
            ]
    _report(len(reads), chosen.block, rounds)


class _Bench:
    """What each part does to a block of photos."""

    def __init__(self, source: Any, reads: Sequence[Read]) -> None:
        from pawprint import engine
        from pawprint.data.images import Preprocessing
        from pawprint.model import backbones, features, prefix
        from pawprint.model.feature_store import FeatureStore

        backbone = backbones.build("MobileNetV2", offline=True)
        compiled = prefix.compile_prefix(backbone, backbone.last)
        self._prefix, self._preprocessing = compiled, Preprocessing()
        self._source = source
        key = features.key_of(compiled, self._preprocessing)
        self._new_store: Callable[[], FeatureStore] = lambda: FeatureStore(
            None, key, compiled.shape, compiled.dtype
        )
        self._ready: list[Pixels] = [
            self._preprocessing.from_bytes(source.read(read.photo), read.photo.path)
            for read in reads[:READY]
        ]
        compiled(self._ready[:4])

        import openvino  # now that the engine has imported it without what reports its use

        model = openvino.Core().read_model(prefix.prefix_onnx(backbone, backbone.last))
        model.reshape([1, *self._ready[0].shape])
        precision = "bf16" if engine.fastest_precision() == "bfloat16" else "f32"
        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
        self._queue = openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", hints))
        self._embed(reads[:256])
        self._infer_in_queue(self._ready[:256])

    def round(self, reads: Sequence[Read], backwards: bool) -> dict[str, float]:
        """Milliseconds a photo that each part takes; every other time in the opposite order."""
        ready = [self._ready[number % len(self._ready)] for number in range(len(reads))]
        data = [self._source.read(read.photo) for read in reads]
        parts: dict[str, Callable[[], None]] = {
            "infer, pool": lambda: self._infer_in_pool(ready, None),
            "infer, a thread a core": lambda: self._infer_in_pool(ready, _cores()),
            "infer, queue": lambda: self._infer_in_queue(ready),
            "decode": lambda: self._decode(data),
            "read": lambda: self._read(reads),
            "embed": lambda: self._embed(reads),
        }
        took = {}
        for name in reversed(parts) if backwards else parts:
            start = time.perf_counter()
            parts[name]()
            took[name] = (time.perf_counter() - start) * 1000 / len(reads)
        say(", ".join(f"{name} {took[name]:.3f} ms" for name in parts))
        return took

    def _infer_in_pool(self, ready: list[Pixels], workers: int | None) -> None:
        _through_pool(lambda chunk: self._prefix(list(chunk)), ready, workers)

    def _infer_in_queue(self, ready: list[Pixels]) -> None:
        for photo in ready:
            self._queue.start_async([photo[None]], share_inputs=True)
        self._queue.wait_all()

    def _decode(self, data: list[bytes]) -> None:
        decode = self._preprocessing.from_bytes
        _through_pool(lambda chunk: [decode(one, "a photo").shape for one in chunk], data)

    def _read(self, reads: Sequence[Read]) -> None:
        read = self._source.read
        _through_pool(lambda chunk: [len(read(one.photo)) for one in chunk], reads)

    def _embed(self, reads: Sequence[Read]) -> None:
        from pawprint.model import features

        store = self._new_store()
        sizes, faults = features.embed(
            self._source, reads, self._prefix, self._preprocessing, store
        )
        assert len(sizes) == len({read.sha256 for read in reads})
        assert not faults


def _through_pool(
    work: Callable[[Sequence[Any]], object], items: Sequence[Any], workers: int | None = None
) -> None:
    from pawprint.parallel import map_chunks

    for _ in map_chunks(work, items, size=64, workers=workers):
        pass


def _cores() -> int:
    from pawprint.parallel import cores

    return cores()


def _report(photos: int, block: int, rounds: list[dict[str, float]]) -> None:
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    fastest = min((name for name in medians if name.startswith("infer")), key=medians.__getitem__)
    ratios = [one["embed"] / (one[fastest] + one["decode"]) for one in rounds]
    reading = [one["embed"] / (one[fastest] + one["decode"] + one["read"]) for one in rounds]
    ratio = statistics.median(ratios)

    table = common.Table()
    table.add("photos", f"{photos:,}, {len(rounds)} rounds of {block:,}")
    for name, value in medians.items():
        low, high = min(one[name] for one in rounds), max(one[name] for one in rounds)
        chosen = " (in the floor)" if name in (fastest, "decode") else ""
        table.add(f"{name}, a photo", f"{value:.3f} ms ({low:.3f} to {high:.3f}){chosen}")
    table.add("embed / (infer + decode)", _spread(ratios), f"<= {MOST}", ratio <= MOST)
    table.add("embed / (infer + decode + read)", _spread(reading))
    results = {"photos": photos, "medians_ms": medians, "fastest": fastest, "ratios": ratios}
    common.finish("embedding", table, {**results, "ratio": ratio, "rounds": rounds})


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
