"""Training on 16,000 photos, cold and warm, against the same recipe in plain Keras.

Measured in one run, in turns: `pawprint train` with an empty cache, stage 1 (three epochs) of
shared/bench/plain_keras_baseline.py on the same photos, `pawprint train` with an empty cache again,
then twice with the cache that left. Each pawprint figure is a whole process, from the zip to the
finished run; Keras' is `fit` alone, on photos that are unpacked already, so its start, its reading
of the folder and its second stage are not counted. File caches of the system are warm for both.

Each side draws its own 20 % of the photos for validation, so the two accuracies are on different
photos of the same kind.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import common
from common import PAWPRINT, members, say, shared, workplace
from processes import Measured, measure

ARCHIVE = "data/cats_vs_dogs_16k.zip"
WEIGHTS = "keras/models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--photos", type=int, help="a part of the photos; by default all")
    parser.add_argument("--epochs", type=int, default=3, help="of Keras' stage 1 (default 3)")
    parser.add_argument("--cold", type=int, default=2, help="cold runs (default 2)")
    parser.add_argument("--warm", type=int, default=2, help="warm runs (default 2)")
    chosen = parser.parse_args()
    archive = shared(ARCHIVE)
    with workplace() as place:
        names = members(archive, chosen.photos)
        unpacked = common.write_folder(archive, names, place / "unpacked")
        if chosen.photos is not None:
            archive = common.write_zip(archive, names, place / "some.zip")
        cold = [_pawprint(archive, place, "cold", 1)]
        peer = _keras(unpacked, chosen.epochs)
        cold += [_pawprint(archive, place, "cold", n) for n in range(2, chosen.cold + 1)]
        warm = [_pawprint(archive, place, "warm", n) for n in range(1, chosen.warm + 1)]
    _report(len(names), chosen.epochs, cold, warm, peer)


def _pawprint(archive: Path, place: Path, cache: str, number: int) -> dict[str, Any]:
    """One whole `pawprint train`; a cold one has a cache of its own, a warm one the first's."""
    run = place / f"{cache}-{number}"
    used = place / ("cache-1" if cache == "warm" else f"cache-{number}")
    found = measure([PAWPRINT, "train", archive, "--out", run], cache=used)
    say(f"pawprint, {cache} {number}: {found.seconds:.1f} s")
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))["validation"]
    parts = json.loads((run / "run.json").read_text("utf-8"))["seconds"]
    accuracy = {key: metrics[key] for key in ("accuracy", "accuracy_interval", "count")}
    return {**_figures(found), **accuracy, "parts": parts}


def _keras(unpacked: Path, epochs: int) -> dict[str, Any]:
    script, weights = shared("bench/plain_keras_baseline.py"), shared(WEIGHTS)
    command: list[str | Path] = [common.PYTHON, script, unpacked, "s000", "--weights", weights]
    found = measure([*command, "--epochs1", str(epochs)], until='"stage1_s"', limit=3600)
    told = json.loads(found.lines[-1])
    say(f"Keras, stage 1: {told['stage1_s']:.1f} s, whole process {found.seconds:.1f} s")
    return {**_figures(found), **told}


def _figures(found: Measured) -> dict[str, Any]:
    return {
        "seconds": round(found.seconds, 2),
        "cpu_seconds": round(found.cpu, 2),
        "peak_mb": round(found.peak_mb),
    }


def _report(
    photos: int,
    epochs: int,
    cold: list[dict[str, Any]],
    warm: list[dict[str, Any]],
    peer: dict[str, Any],
) -> None:
    from pawprint.evaluation.intervals import wilson_interval

    cold_s = statistics.median(run["seconds"] for run in cold)
    warm_s = statistics.median(run["seconds"] for run in warm)
    ratio, whole = peer["stage1_s"] / cold_s, peer["seconds"] / cold_s
    accuracy, interval = cold[0]["accuracy"], cold[0]["accuracy_interval"]
    peers, held = peer["stage1_val"][-1], int(photos * 0.2)
    peers_interval = wilson_interval(round(peers * held), held)

    table = common.Table()
    table.add("photos", f"{photos:,}")
    table.add("pawprint, cold cache", _seconds(cold), "<= 60 s", cold_s <= 60)
    table.add("pawprint, warm cache", _seconds(warm), "<= 15 s", warm_s <= 15)
    table.add(f"Keras, {epochs} epochs of stage 1", f"{peer['stage1_s']:.1f} s")
    table.add("Keras / pawprint cold", f"{ratio:.1f} x", ">= 12 x, aim 15 x", ratio >= 12)
    table.add("the same, Keras' start counted", f"{whole:.1f} x")
    table.add("pawprint, validation", _share(accuracy, interval), ">= 98.2 %", accuracy >= 0.982)
    table.add("Keras, validation (its own)", _share(peers, peers_interval))
    for name, runs in (("pawprint cold", cold[:1]), ("pawprint warm", warm[:1]), ("Keras", [peer])):
        for run in runs:
            table.add(f"{name}, CPU", f"{run['cpu_seconds']:.1f} s")
            table.add(f"{name}, peak memory", f"{run['peak_mb']:,} MB")
    for part, seconds in cold[0]["parts"].items():
        table.add(f"cold 1, {part}", f"{seconds:.1f} s")
    results = {"photos": photos, "epochs": epochs, "ratio": ratio, "ratio_whole_process": whole}
    common.finish("train_speed", table, {**results, "cold": cold, "warm": warm, "keras": peer})


def _seconds(runs: list[dict[str, Any]]) -> str:
    median = statistics.median(run["seconds"] for run in runs)
    return f"{median:.1f} s (of {', '.join(format(run['seconds'], '.1f') for run in runs)})"


def _share(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2%} ({interval[0]:.2%} to {interval[1]:.2%})"


if __name__ == "__main__":
    main()
