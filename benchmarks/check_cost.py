"""What a look at the photos costs: on top of embedding them, again, in memory, at a million.

Embedding with and without glances goes in turns over blocks of the same photos, everything decoded
and computed anew. Memory is what Python and NumPy hold at most for the check itself, with its cache
on disk as it is by default, beside what it takes to list and hash the photos. The search for near
copies goes over random hashes, of which a twentieth is copied with a few bits changed, each tenth
of these mirrored.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

import common
from common import PYTHON, say, shared, workplace

ARCHIVE = "data/cats_vs_dogs_16k.zip"
EXTRA, AGAIN, BYTES = 0.20, 1.0, 200
SEARCHED = (16_000, 100_000, 1_000_000)


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="pairs of blocks (default 8)")
    parser.add_argument("--block", type=int, default=1000, help="photos a block (default 1000)")
    parser.add_argument("--memory", type=Path, help="(what a process of its own is given)")
    chosen = parser.parse_args()
    if chosen.memory is not None:
        print(json.dumps(_memory(chosen.memory)))
        return
    table = common.Table()
    results: dict[str, Any] = {}
    with workplace() as place:
        archive = shared(ARCHIVE)
        results["embedding"] = _on_top(archive, chosen.rounds, chosen.block, table)
        results["again"] = _again(archive, table)
        results["memory"] = _bytes_a_photo(archive, place, table)
        results["search"] = [_search(count, table) for count in SEARCHED]
    common.finish("check_cost", table, results)


def _on_top(archive: Path, rounds: int, block: int, table: common.Table) -> dict[str, Any]:
    """Embedding with glances against embedding without, in turns, and the search on top."""
    from pawprint.data.copies import near_copies
    from pawprint.data.glance import Glances
    from pawprint.data.images import Preprocessing
    from pawprint.data.reading import read_all
    from pawprint.data.sources import open_source
    from pawprint.model import backbones
    from pawprint.model.feature_store import FeatureStore
    from pawprint.model.features import embed, key_of
    from pawprint.model.prefix import compile_prefix

    backbone, preprocessing = backbones.build(), Preprocessing()
    prefix = compile_prefix(backbone, backbone.last, pooled=True)
    key = key_of(prefix, preprocessing)
    with open_source(archive) as source:
        reads, _ = read_all(source)

        def seconds(some: Any, glances: Any) -> float:
            store = FeatureStore(None, key, prefix.shape, prefix.dtype)
            start = time.perf_counter()
            embed(source, some, prefix, preprocessing, store, glances=glances)
            return time.perf_counter() - start

        seconds(reads[:block], Glances(None, 224))  # both warm
        ratios, plain = [], []
        for number in range(rounds):
            some = reads[number * block : (number + 1) * block]
            first = number % 2 == 0
            took = {
                on: seconds(some, Glances(None, 224) if on else None) for on in (first, not first)
            }
            ratios.append(took[True] / took[False])
            plain.append(took[False] / len(some))
            say(f"block {number + 1}: {took[False]:.2f} s, with glances {took[True]:.2f} s")
        glances = Glances(None, 224)
        glances.bring(source, reads)
        start = time.perf_counter()
        near_copies(source, reads, glances.take([read.sha256 for read in reads]))
        search = (time.perf_counter() - start) / len(reads)
    ratio, each = statistics.median(ratios), statistics.median(plain)
    extra = ratio - 1 + search / each
    table.add("embedding a photo, alone", f"{each * 1000:.2f} ms")
    table.add("with a glance / without", f"{ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    table.add("search for near copies, a photo", f"{search * 1000:.3f} ms")
    table.add("check on top of embedding", f"{extra:.1%}", f"<= {EXTRA:.0%}", extra <= EXTRA)
    return {"ratios": ratios, "embedding_s": each, "search_s": search, "extra": extra}


def _again(archive: Path, table: common.Table) -> dict[str, Any]:
    """A check of photos that have not changed since the last."""
    from pawprint.doctor.check import check

    first = check(archive)
    again = [check(archive).seconds for _ in range(5)]
    found = statistics.median(again)
    table.add(f"first check, {first.count:,} photos", f"{first.seconds:.1f} s")
    table.add(
        "second check",
        f"{found:.2f} s ({min(again):.2f} to {max(again):.2f})",
        f"<= {AGAIN:g} s",
        found <= AGAIN,
    )
    return {"first_s": first.seconds, "again_s": again}


def _bytes_a_photo(archive: Path, place: Path, table: common.Table) -> dict[str, Any]:
    """Memory at its most, of 16,000 photos against 4,000, without what listing them takes."""
    names = common.members(archive)
    found = {}
    for count in (4000, len(names)):
        part = common.write_zip(
            archive, names[:: len(names) // count][:count], place / f"{count}.zip"
        )
        command: list[str | Path] = [PYTHON, __file__, "--memory", part]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        found[count] = json.loads(ran.stdout.splitlines()[-1])
    few, many = sorted(found)
    each = (found[many]["check"] - found[few]["check"]) / (many - few)
    listed = (found[many]["listed"] - found[few]["listed"]) / (many - few)
    table.add("listing and hashing, a photo", f"{listed:.0f} bytes")
    table.add("the check, a photo", f"{each:.0f} bytes", f"<= {BYTES}", each <= BYTES)
    return {"bytes": found, "each": each, "listed": listed}


def _memory(archive: Path) -> dict[str, int]:
    """What Python and NumPy hold: after listing, and at most more while the rest is done."""
    import tracemalloc

    from pawprint.data.copies import near_copies
    from pawprint.data.glance import Glances
    from pawprint.data.reading import read_all
    from pawprint.data.sources import open_source
    from pawprint.doctor.examine import examine

    with open_source(archive) as source:
        reads, _ = read_all(source)
        glances = Glances(None, 224)
        glances.bring(source, reads[:200])  # what is loaded late is loaded
        tracemalloc.start()
        with open_source(archive) as again:
            kept = read_all(again)
            listed = tracemalloc.get_traced_memory()[0]
        del kept, again
        glances = Glances(archive.with_suffix(""), 224)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        glances.bring(source, reads)
        seen = glances.take([read.sha256 for read in reads])
        copies = near_copies(source, reads, seen)
        examine(reads, seen, copies, [])
        most = tracemalloc.get_traced_memory()[1]
    return {"listed": listed, "check": most - before}


def _search(count: int, table: common.Table) -> dict[str, Any]:
    """Near pairs among random hashes, some of them planted."""
    from pawprint.data.copies import SURE, UNSURE
    from pawprint.data.glance import BITS, MIRRORED
    from pawprint.data.similar import near

    random = np.random.default_rng(count)
    hashes = random.integers(0, 256, (count, BITS // 8), np.uint8)
    planted = count // 20
    originals, copies = random.permutation(count)[: 2 * planted].reshape(2, -1)
    changed = random.integers(0, SURE + 1, planted)
    for original, copy, bits in zip(originals, copies, changed, strict=True):
        flips = np.zeros(BITS, np.uint8)
        flips[random.choice(BITS, bits, replace=False)] = 1
        hashes[copy] = hashes[original] ^ np.packbits(flips)
    hashes[copies[::10]] ^= MIRRORED
    start = time.perf_counter()
    found = near(hashes, sure=SURE, unsure=UNSURE)
    took = time.perf_counter() - start
    pairs = {(one, other) for one, other, _ in found.sure.tolist()}
    wanted = {
        (min(pair), max(pair)) for pair in zip(originals.tolist(), copies.tolist(), strict=True)
    }
    hit, false = len(wanted & pairs), len(pairs - wanted)
    table.add(
        f"search among {count:,} hashes",
        f"{took:.2f} s; {hit:,} of {planted:,} copies, {false} others",
    )
    return {"count": count, "seconds": took, "planted": planted, "found": hit, "false": false}


if __name__ == "__main__":
    main()
