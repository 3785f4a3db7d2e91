"""Prediction: one photo from a cold start, and 400 photos against the same model in plain Keras.

Every figure is a whole process, from its start to its end. Both sides read the same files at their
original size; Keras runs `model.keras` of the same bundle (benchmarks/peers/keras_predict.py). The
pairs are measured in turns, each side first in every other pair. File caches of the system are
warm: each command has run once before it is measured. MB are millions of bytes.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import common
from common import PAWPRINT, members, say, shared, workplace
from processes import Measured, measure

TRAINING, PHOTOS = "data/cats_vs_dogs_16k.zip", "data/pets_fullsize.zip"
PEER = Path(__file__).with_name("peers") / "keras_predict.py"


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--model", type=Path, help="a run; by default one is trained first")
    parser.add_argument(
        "--train-photos", type=int, default=4000, help="that it is trained on (default 4000)"
    )
    parser.add_argument("--photos", type=int, default=400, help="to classify (default 400)")
    parser.add_argument("--repeats", type=int, default=15, help="of one photo (default 15)")
    parser.add_argument("--pairs", type=int, default=5, help="pawprint and Keras (default 5)")
    chosen = parser.parse_args()
    archive = shared(PHOTOS)
    with workplace() as place:
        run = chosen.model or train(place, chosen.train_photos)
        folder = common.write_folder(archive, members(archive, chosen.photos), place / "photos")
        count = sum(path.is_file() for path in folder.rglob("*"))
        one = _one_photo(run, min(folder.rglob("*.jpg")), chosen.repeats)
        many = _pairs(run, folder, chosen.pairs)
    _report(count, one, many)


def train(place: Path, photos: int) -> Path:
    """Train a model to predict with."""
    archive = shared(TRAINING)
    part = common.write_zip(archive, members(archive, photos), place / "training.zip")
    measure([PAWPRINT, "train", part, "--out", place / "run"])
    say(f"trained on {photos:,} photos")
    return place / "run"


def _one_photo(run: Path, photo: Path, repeats: int) -> list[Measured]:
    command: list[str | Path] = [PAWPRINT, "predict", run, photo]
    measure(command)
    found = [measure(command) for _ in range(repeats)]
    say(f"one photo: {statistics.median(one.seconds for one in found):.3f} s")
    return found


def _pairs(run: Path, folder: Path, pairs: int) -> dict[str, Any]:
    commands: dict[str, list[str | Path]] = {
        "pawprint": [PAWPRINT, "predict", run, folder, "--json"],
        "keras": [common.PYTHON, PEER, run / "model" / "model.keras", folder],
    }
    found: dict[str, list[Measured]] = {
        side: [measure(command)] for side, command in commands.items()
    }
    for pair in range(pairs):
        order = ["pawprint", "keras"] if pair % 2 == 0 else ["keras", "pawprint"]
        for side in order:
            found[side].append(measure(commands[side]))
        ours, peers = found["pawprint"][-1], found["keras"][-1]
        say(f"pair {pair + 1}: pawprint {ours.seconds:.2f} s, Keras {peers.seconds:.2f} s")
    kept = {side: runs[1:] for side, runs in found.items()}
    return {**kept, "agreeing": _agreeing(kept["pawprint"][0], kept["keras"][0])}


def _agreeing(ours: Measured, peers: Measured) -> int:
    """How many photos both sides answer alike: that both did the work."""
    second = {path: float(value) for path, value in (line.split("\t") for line in peers.lines)}
    alike = 0
    for line in ours.lines:
        answer = json.loads(line)
        label = list(answer["probabilities"])[second[answer["path"]] >= 0.5]
        alike += answer["label"] == label
    return alike


def _report(count: int, one: list[Measured], many: dict[str, Any]) -> None:
    single = statistics.median(run.seconds for run in one)
    single_mb = max(run.peak_mb for run in one)
    ours, peers = many["pawprint"], many["keras"]
    ratios = [peer.seconds / own.seconds for own, peer in zip(ours, peers, strict=True)]
    ratio = statistics.median(ratios)

    table = common.Table()
    spread = f"{min(run.seconds for run in one):.3f} to {max(run.seconds for run in one):.3f}"
    table.add("one photo, median", f"{single:.3f} s ({spread})", "<= 0.7 s", single <= 0.7)
    table.add("one photo, CPU", f"{statistics.median(run.cpu for run in one):.3f} s")
    table.add("one photo, peak memory", f"{single_mb:.0f} MB", "<= 220 MB", single_mb <= 220)
    for side, runs in (("pawprint", ours), ("Keras", peers)):
        seconds = statistics.median(run.seconds for run in runs)
        cpu = statistics.median(run.cpu for run in runs)
        table.add(f"{count} photos, {side}", f"{seconds:.2f} s (CPU {cpu:.1f} s)")
        table.add(f"{count} photos, {side}, peak", f"{max(run.peak_mb for run in runs):,.0f} MB")
    shown = ", ".join(f"{value:.1f}" for value in ratios)
    table.add("Keras / pawprint, by pair", f"{ratio:.1f} x (of {shown})", ">= 5 x", ratio >= 5)
    table.add("photos answered alike", f"{many['agreeing']} of {count}")
    results = {
        "one_photo": {"seconds": [run.seconds for run in one], "peak_mb": round(single_mb)},
        "photos": count,
        "pawprint_seconds": [run.seconds for run in ours],
        "keras_seconds": [run.seconds for run in peers],
        "ratios": ratios,
        "answered_alike": many["agreeing"],
    }
    common.finish("predict", table, results)


if __name__ == "__main__":
    main()
