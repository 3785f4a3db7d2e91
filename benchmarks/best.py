"""best against plain Keras' two-stage: accuracy and time, the same photos, in one run.

First best with an empty cache, then shared/bench/plain_keras_baseline.py whole (three epochs a
stage), then best with other seeds: another split, and what features are there already. Times that
are compared are whole processes with an empty cache; pawprint's reads a zip, Keras' a folder.
Each side validates on 20 % of its own drawing; with --baseline-epochs 1 Keras trains one epoch a
stage and its time is three times that, which is said.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import common
import trainings
from common import members, shared, workplace

ARCHIVE = "data/cats_vs_dogs_16k.zip"
LEAST, AIM = 6.0, 8.0  # times as fast
ACCURACY = 0.99


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--photos", type=int, help="a part of the photos; by default all")
    parser.add_argument("--above", type=int, default=-1, help="only photos numbered above this")
    parser.add_argument("--seeds", type=int, default=3, help="of best (default 3)")
    parser.add_argument("--baseline-epochs", type=int, default=3, help="a stage (default 3)")
    parser.add_argument("--no-baseline", action="store_true", help="leave Keras out")
    chosen = parser.parse_args()
    archive = shared(ARCHIVE)
    with workplace() as place:
        names = members(archive, chosen.photos, above=chosen.above)
        used = archive
        if len(names) < len(members(archive)):
            used = common.write_zip(archive, names, place / "some.zip")
        runs = [_best(used, place, 0, place / "run-0")]
        peer: dict[str, Any] = {}
        if not chosen.no_baseline:
            photos = common.write_folder(archive, names, place / "photos")
            peer = _keras(photos, chosen.baseline_epochs)
        for seed in range(1, chosen.seeds):
            runs.append(_best(used, place, seed, place / f"run-{seed}"))
    _report(len(names), runs, peer)


def _best(source: Path, place: Path, seed: int, run: Path) -> dict[str, Any]:
    """A training; the first one's cache is empty, the others use what it left."""
    run.with_name(f"{run.name}-cache").symlink_to(place / "features", target_is_directory=True)
    (place / "features").mkdir(exist_ok=True)
    told = trainings.pawprint(source, "best", run, options=["--seed", str(seed)])
    return {**told, "seed": seed}


def _keras(photos: Path, epochs: int) -> dict[str, Any]:
    arguments: list[str | Path] = [photos, "s000"]
    for number in (1, 2):
        arguments += [f"--epochs{number}", str(epochs)]
    told, _ = trainings.keras(shared("bench/plain_keras_baseline.py"), arguments)
    fits = told["stage1_s"] + told["stage2_s"]
    start = told["process"]["seconds"] - fits
    return {**told, "epochs": epochs, "three_epochs_s": start + fits * 3 / epochs}


def _report(photos: int, runs: list[dict[str, Any]], peer: dict[str, Any]) -> None:
    table = common.Table()
    table.add("photos", f"{photos:,}")
    accuracies = []
    for run in runs:
        judged = run["judged"]["validation"]
        accuracies.append(judged["accuracy"])
        what = f"best, seed {run['seed']}, validation of {judged['count']:,}"
        table.add(what, trainings.share(judged["accuracy"], judged["count"]))
        for told in run["outcomes"]:
            table.add(f"best, seed {run['seed']}, stages", told)
    mean = statistics.mean(accuracies)
    table.add("best, mean of the seeds", f"{mean:.2%}", f">= {ACCURACY:.1%}", mean >= ACCURACY)
    first = runs[0]
    table.add("best, empty cache", f"{first['seconds']:.1f} s, CPU {first['cpu_seconds']:.1f} s")
    for part, seconds in first["parts"].items():
        table.add(f"best, {part}", f"{seconds:.1f} s")
    for run in runs[1:]:
        table.add(f"best, seed {run['seed']}, with what was cached", f"{run['seconds']:.1f} s")
    if peer:
        _compare(table, photos, mean, first["seconds"], peer)
    common.finish("best", table, {"photos": photos, "best": runs, "keras": peer})


def _compare(
    table: common.Table, photos: int, mean: float, seconds: float, peer: dict[str, Any]
) -> None:
    its, ratio = peer["stage2_val"][-1], peer["three_epochs_s"] / seconds
    epochs = peer["epochs"]
    reckoned = "" if epochs == 3 else f", reckoned from {epochs} epoch(s) a stage"
    table.add("Keras two-stage, validation (its own)", trainings.share(its, int(photos * 0.2)))
    if epochs == 3:
        table.add("best above Keras", f"{mean - its:+.2%}", "> 0", mean > its)
    table.add("Keras two-stage, whole process", f"{peer['three_epochs_s']:.1f} s{reckoned}")
    table.add("Keras / best", f"{ratio:.2f} x", f">= {LEAST:g} x, aim {AIM:g} x", ratio >= LEAST)


if __name__ == "__main__":
    main()
