"""Training on features in Parquet parts against training on the photos: accuracy, time, memory.

The same photos, recipe and seed; copies of the same bytes are on one side (data.duplicates =
"exact") and none are folds, so that both have the same split. Both are whole processes, the one
that trains on photos with an empty cache, so it computes the features as well.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import common
import trainings
from common import PAWPRINT, members, shared, workplace
from processes import measure

ARCHIVE = "data/cats_vs_dogs_16k.zip"
CHANGES = ("data.duplicates=exact", "data.folds=0")


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--photos", type=int, default=4000, help="(default 4000)")
    parser.add_argument("--recipes", default="quick,best", help="(default quick,best)")
    chosen = parser.parse_args()
    archive, table, results = shared(ARCHIVE), common.Table(last=""), dict[str, Any]()
    with workplace() as place:
        photos = common.write_folder(archive, members(archive, chosen.photos), place / "photos")
        for recipe in chosen.recipes.split(","):
            results[recipe] = _both(recipe, photos, place, table)
    common.finish("features_in_parts", table, results)


def _both(recipe: str, photos: Path, place: Path, table: common.Table) -> dict[str, Any]:
    """Train both ways by a recipe."""
    run = place / f"{recipe}-photos"
    plain = trainings.pawprint(photos, recipe, run, changes=CHANGES)
    features, again = place / f"{recipe}-features", place / f"{recipe}-parts"
    options = ["--recipe", recipe]
    for change in CHANGES:
        options += ["--set", change]
    embedded = measure([PAWPRINT, "embed", photos, "--out", features, *options])
    trained = measure([PAWPRINT, "train", "--features", features, "--out", again])
    metrics = json.loads((again / "metrics.json").read_text("utf-8"))
    judged = metrics["validation"]
    size = sum(file.stat().st_size for file in (features / "parts").iterdir())
    same, differing, largest = _compare(run, again, photos)
    count = plain["judged"]["validation"]["count"]
    table.add(
        f"{recipe}, on photos: validation of {count:,}",
        trainings.share(plain["judged"]["validation"]["accuracy"], count),
    )
    table.add(
        f"{recipe}, on features: validation of {judged['count']:,}",
        trainings.share(judged["accuracy"], judged["count"]),
    )
    table.add(f"{recipe}: photos judged by both", f"{same:,}")
    table.add(f"{recipe}: answered otherwise", f"{differing:,}; probabilities {largest:.4f} apart")
    table.add(f"{recipe}: train on photos", f"{plain['seconds']:.1f} s, {plain['peak_mb']:,} MB")
    table.add(f"{recipe}: embed", f"{embedded.seconds:.1f} s, {embedded.peak_mb:,.0f} MB")
    table.add(f"{recipe}: train on features", f"{trained.seconds:.1f} s, {trained.peak_mb:,.0f} MB")
    table.add(f"{recipe}: bytes a photo", f"{size / sum(1 for _ in photos.rglob('*.jpg')):,.0f}")
    return {
        "photos": plain,
        "features": {
            "embed": trainings.figures(embedded),
            "train": trainings.figures(trained),
            "bytes": size,
            "accuracy": judged["accuracy"],
            "count": judged["count"],
            "stages": metrics["stages"],
        },
        "judged_by_both": same,
        "answered_otherwise": differing,
        "largest_difference": largest,
    }


def _compare(one: Path, other: Path, photos: Path) -> tuple[int, int, float]:
    """How many photos both runs judged, how many answers differ, and how far probabilities do."""
    first, second = _answers(one, photos), _answers(other, photos)
    both = first.keys() & second.keys()
    differing = sum(first[path][0] != second[path][0] for path in both)
    return len(both), differing, max(abs(first[path][1] - second[path][1]) for path in both)


def _answers(run: Path, photos: Path) -> dict[str, tuple[str, float]]:
    """By path within the photos' folder, a run's answer and the probability of the last class."""
    with (run / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return {_within(row[0], photos): (row[3], float(row[-1])) for row in rows}


def _within(path: str, photos: Path) -> str:
    return str(Path(path).relative_to(photos)) if Path(path).is_absolute() else path


if __name__ == "__main__":
    main()
