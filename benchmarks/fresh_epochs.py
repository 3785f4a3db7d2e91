"""An epoch of two-stage on freshly augmented photos, against plain Keras.

In one run, on the same photos: shared/bench/plain_keras_baseline.py and `pawprint train --recipe
two-stage`, each with --epochs epochs a stage (by default two), each validating on its own 20 %.
Compared are the epochs after the first, which pays for tracing and compiling; their median if there
are several. The first is shown as well. An epoch's seconds include its validation on both sides,
but pawprint's are of the layers above the cut alone: what is below is computed once, before the
first epoch. Keras prints whole seconds, so its own are right to half a second.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import trainings
from common import members, shared, workplace

ARCHIVE = "data/cats_vs_dogs_16k.zip"
LEAST = (3.0, 1.5)  # times as fast, by stage
_EPOCH = re.compile(r"(\d+)/\1 - (\d+)s - ")  # what verbose=2 prints when an epoch ends


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--photos", type=int, help="a part of the photos; by default all")
    parser.add_argument("--epochs", type=int, default=2, help="a stage, 2 or more (default 2)")
    chosen = parser.parse_args()
    if chosen.epochs < 2:
        parser.error("--epochs: expected 2 or more, as the first is not compared")
    archive = shared(ARCHIVE)
    with workplace() as place:
        names = members(archive, chosen.photos)
        photos = common.write_folder(archive, names, place / "photos")
        ours = _pawprint(photos, place / "run", chosen.epochs)
        peer, peers_epochs = _keras(photos, chosen.epochs)
    _report(len(names), ours, peer, peers_epochs)


def _pawprint(photos: Path, run: Path, epochs: int) -> dict[str, Any]:
    changes = [f"stage.{number}.epochs={epochs}" for number in (1, 2)]
    options = ["--validation", "0.2"]
    return trainings.pawprint(photos, "two-stage", run, changes=changes, options=options)


def _keras(photos: Path, epochs: int) -> tuple[dict[str, Any], list[list[float]]]:
    arguments: list[str | Path] = [photos, "s000"]
    for number in (1, 2):
        arguments += [f"--epochs{number}", str(epochs)]
    told, lines = trainings.keras(shared("bench/plain_keras_baseline.py"), arguments)
    seconds = [float(match[2]) for line in lines if (match := _EPOCH.match(line))]
    assert len(seconds) == 2 * epochs, f"{len(seconds)} epochs among the lines of Keras"
    return told, [seconds[:epochs], seconds[epochs:]]


def _report(
    photos: int, ours: dict[str, Any], peer: dict[str, Any], peers_epochs: list[list[float]]
) -> None:
    table = common.Table()
    table.add("photos", f"{photos:,}")
    ratios = []
    for number, (rows, theirs, least) in enumerate(
        zip(ours["stages"], peers_epochs, LEAST, strict=True), 1
    ):
        own = [float(row["seconds"]) for row in rows]
        ratio = statistics.median(theirs[1:]) / statistics.median(own[1:])
        ratios.append(ratio)
        table.add(f"stage {number}, pawprint's epochs", _seconds(own))
        table.add(f"stage {number}, Keras' epochs", _seconds(theirs))
        target = f">= {least:g} x"
        table.add(f"stage {number}, Keras / pawprint", f"{ratio:.2f} x", target, ratio >= least)
        table.add(f"stage {number}, the same, first epoch", f"{theirs[0] / own[0]:.2f} x")
        held = ours["judged"]["validation"]["count"]
        table.add(f"stage {number}, pawprint", trainings.share(rows[-1]["val_accuracy"], held))
        its = peer[f"stage{number}_val"][-1]
        table.add(f"stage {number}, Keras", trainings.share(its, int(photos * 0.2)))
    for name, process in (("pawprint", ours), ("Keras", peer["process"])):
        what = f"{process['seconds']:.1f} s, CPU {process['cpu_seconds']:.1f} s"
        table.add(f"{name}, whole process", f"{what}, {process['peak_mb']:,} MB")
    results = {"photos": photos, "ratios": ratios, "pawprint": ours}
    common.finish("fresh_epochs", table, {**results, "keras": {**peer, "epochs": peers_epochs}})


def _seconds(epochs: Sequence[float]) -> str:
    return ", ".join(f"{one:.1f}" for one in epochs) + " s"


if __name__ == "__main__":
    main()
