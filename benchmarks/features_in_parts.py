"""Training on features in Parquet parts against training on the photos: accuracy, time, memory.

The same photos, recipe and seed; copies of the same bytes are on one side (data.duplicates =
"exact") and none are folds, so that both have the same split. Both are whole processes, the one
that trains on photos with an empty cache, so it computes the features as well. From 13,108 photos
that train on, the head is streamed: --photos 16000 --set data.validation=0.1.

With --made N also N rows of made features, 1,280 random projections of two classes that overlap, in
parts as `embed` writes them, and a whole `pawprint train --features` on these. No photos belong to
them, so the model is tried on none, and its accuracy says nothing but that it learned.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

import common
import trainings
from common import PAWPRINT, members, shared, workplace
from pawprint.parts import schema
from pawprint.parts.folder import JOB, LISTING, MANIFEST, JobFolder, digest_of
from pawprint.parts.listing import Input, write_listing
from pawprint.parts.places import Place
from processes import measure

ARCHIVE = "data/cats_vs_dogs_16k.zip"
FEATURES, PART = 1280, 1024
MOST_MB = 2000
CHANGES = ("data.duplicates=exact", "data.folds=0")


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--photos", type=int, default=4000, help="(default 4000)")
    parser.add_argument("--recipes", default="quick,best", help="(default quick,best; - for none)")
    parser.add_argument(
        "--set", action="append", default=[], help="KEY=VALUE, as of pawprint train"
    )
    parser.add_argument("--made", type=int, default=0, help="rows of made features (default none)")
    parser.add_argument("--folder", type=Path, help="for these, which take 2.7 kB a row")
    chosen = parser.parse_args()
    archive, table, results = shared(ARCHIVE), common.Table(last=""), dict[str, Any]()
    with workplace() as place:
        photos = common.write_folder(archive, members(archive, chosen.photos), place / "photos")
        for recipe in chosen.recipes.strip("-").split(",") if chosen.recipes != "-" else []:
            changes = (*CHANGES, *chosen.set)
            results[recipe] = _both(recipe, changes, photos, place, table)
        if chosen.made:
            with tempfile.TemporaryDirectory(dir=chosen.folder) as made:
                results["made"] = _on_made(photos, Path(made), chosen.made, table)
    common.finish("features_in_parts", table, results)


def _both(
    recipe: str, changes: Sequence[str], photos: Path, place: Path, table: common.Table
) -> dict[str, Any]:
    """Train both ways by a recipe."""
    run = place / f"{recipe}-photos"
    plain = trainings.pawprint(photos, recipe, run, changes=changes)
    features, again = place / f"{recipe}-features", place / f"{recipe}-parts"
    options = ["--recipe", recipe]
    for change in changes:
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


def _on_made(photos: Path, place: Path, count: int, table: common.Table) -> dict[str, Any]:
    """Train on made features by `quick`."""
    few = place / "few.txt"
    few.write_text("\n".join(map(str, sorted(photos.rglob("*.jpg"))[:2])))
    measure([PAWPRINT, "embed", few, "--out", place / "made"])
    common.say(f"making {count:,} rows ...")
    _make(JobFolder(Place(str(place / "made"))), count)
    os.environ["PAWPRINT_CACHE"] = str(place / "cache")
    found = measure([PAWPRINT, "train", "--features", place / "made", "--out", place / "run"])
    metrics = json.loads((place / "run" / "metrics.json").read_text("utf-8"))["validation"]
    parts = json.loads((place / "run" / "run.json").read_text("utf-8"))["seconds"]
    size = sum(file.stat().st_size for file in (place / "made" / "parts").iterdir())
    name = f"made, {count:,} x {FEATURES:,}"
    table.add(name, f"{size / 1e9:.1f} GB of Parquet")
    table.add(f"{name}: train on features", f"{found.seconds:.1f} s, CPU {found.cpu:.1f} s")
    peak = found.peak_mb
    table.add(f"{name}: peak memory", f"{peak:,.0f} MB", "<= 2,000 MB", peak <= MOST_MB)
    judged = trainings.share(metrics["accuracy"], metrics["count"])
    table.add(f"{name}: validation of {metrics['count']:,}", judged)
    return {"rows": count, "bytes": size, "train": trainings.figures(found), "seconds": parts}


def _make(folder: JobFolder, count: int) -> None:
    """Put made rows in place of a job's."""
    random = np.random.default_rng(0)
    projection = random.normal(size=(32, FEATURES)).astype(np.float32) / 8
    names = [Input(f"{number:08d}.jpg") for number in range(count)]
    listed = write_listing(folder.plan / LISTING, iter(names), PART)
    job = {key: value for key, value in folder.job.items() if key not in ("digest", "begun")}
    job |= {"inputs": listed.inputs, "listing": listed.digest, "part_size": PART}
    digest = digest_of(job)
    folder.write_json(JOB, {"digest": digest, "begun": "", **job})
    made = JobFolder(folder.place)
    columns = schema.features({schema.EMBEDDING: FEATURES})
    for part, start in enumerate(range(0, count, PART)):
        rows = min(PART, count - start)
        labels = random.integers(0, 2, rows)
        hidden = random.normal(size=(rows, 32)).astype(np.float32)
        hidden[:, 0] += 2.0 * labels - 1.0
        features = (hidden @ projection).astype(np.float16)
        hashes = random.bytes(32 * rows).hex()
        values = {
            "path": [one.path for one in names[start : start + rows]],
            "label": [("cat", "dog")[label] for label in labels],
            "sha256": [hashes[64 * row : 64 * row + 64] for row in range(rows)],
            **dict.fromkeys(("bytes", "width", "height"), [1] * rows),
            **dict.fromkeys(("split", "error"), [None] * rows),
            schema.EMBEDDING: schema.vectors(list(features), columns.field(schema.EMBEDDING)),
        }
        table = pyarrow.table([values[name] for name in columns.names], columns)
        made.write_part(part, table, schema.About(digest, part, rows, 0, 0, {}))
    made.write_json(MANIFEST, {"job": digest})


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
