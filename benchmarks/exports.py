"""Exports: what each format and precision keeps of the model, its size, and its speed.

Every format and precision of a run is written by `pawprint export`, which tries each on the run's
held-out photos in its own runtime. Then the bundle and all exports are timed as `pawprint bench`
does it, in rounds and in fresh processes, on pixels that are ready. MB are millions of bytes. With
a model that answers by the mean with the mirror image, an answer is of two photos; --no-mirror
leaves that out of the exports.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import common
import trainings
from common import PAWPRINT, say, shared, workplace

ARCHIVE = "data/cats_vs_dogs_16k.zip"
FORMATS = ("onnx", "litert", "openvino", "savedmodel", "keras", "h5")
OPTIONS: dict[str, list[str]] = {"float32": [], "float16": ["--fp16"], "int8": ["--int8"]}
THREE = ("onnx", "litert", "openvino")  # written in every precision
MOST_DIFFERENCE = 1e-3  # of float32
MOST_DROP, LEAST_AGREEMENT, MOST_MB = 0.3, 99.3, 2.8  # of int8
MOST_MS = 2.5  # one photo, in the fastest

Row = dict[str, Any]


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--run", type=Path, help="a run; by default one is trained first")
    parser.add_argument("--recipe", default="quick", help="to train it with (default quick)")
    parser.add_argument("--no-mirror", action="store_true", help="exports without the mirror image")
    parser.add_argument("--photos", type=int, default=1000, help="to try each on (default 1000)")
    parser.add_argument("--rounds", type=int, default=5, help="of timing (default 5)")
    parser.add_argument(
        "--seconds", type=float, default=10, help="of timing, for one photo and for batches"
    )
    parser.add_argument("--batch", type=int, default=32, help="photos at once (default 32)")
    chosen = parser.parse_args()
    table = common.Table()
    with workplace() as place:
        run = chosen.run
        if run is None:
            run = place / "run"
            trainings.pawprint(shared(ARCHIVE), chosen.recipe, run)
        more = ["--photos", str(chosen.photos), *["--no-mirror"] * chosen.no_mirror]
        exports = [
            _export(run, format, precision, place / "exports", more)
            for precision in OPTIONS
            for format in (FORMATS if precision == "float32" else THREE)
        ]
        for export in exports:
            _add(table, export)
        speeds = _speeds(run, exports, chosen)
    for speed in speeds:
        _add_speed(table, speed)
    first, fastest = speeds[0], speeds[0]["p50_ms"]
    told = f"{fastest:.2f} ms ({first['format']}, {first['precision']})"
    table.add("one photo, the fastest", told, f"<= {MOST_MS} ms", fastest <= MOST_MS)
    for export in exports:
        del export["folder"]
    common.finish("exports", table, {"exports": exports, "speeds": speeds})


def _export(run: Path, format: str, precision: str, place: Path, more: list[str]) -> Row:
    """Export in one way; what `pawprint export` tells, or its error."""
    folder = place / f"{format}-{precision}"
    options = [*OPTIONS[precision], *more]
    command: list[str | Path] = [PAWPRINT, "export", run, "--format", format, *options]
    ran = subprocess.run(
        [*command, "--out", folder, "--json"], capture_output=True, text=True, check=False
    )
    found: Row = {"format": format, "precision": precision, "folder": folder, "error": None}
    if ran.returncode:
        found["error"] = (ran.stderr.strip().splitlines() or ["silent"])[-1]
        say(f"{format}, {precision}: {found['error']}")
        return found
    say(f"{format}, {precision}: tried")
    return {**found, **json.loads(ran.stdout)}


def _add(table: common.Table, export: Row) -> None:
    name = f"{export['format']}, {export['precision']}"
    if export["error"] is not None:
        table.add(name, export["error"], "written", False)
        return
    whole, small = export["precision"] == "float32", export["precision"] == "int8"
    agreement = 100 * _part(export["labels"])
    target, met = "", None
    if whole:
        target, met = "100 %", export["labels"]["count"] == export["labels"]["of"]
    elif small:
        target, met = f">= {LEAST_AGREEMENT} %", agreement >= LEAST_AGREEMENT
    table.add(f"{name}: labels as the model's", _share(export["labels"]), target, met)
    largest, mean = export["largest_difference"], export["mean_difference"]
    target, met = (f"<= {MOST_DIFFERENCE}", largest <= MOST_DIFFERENCE) if whole else ("", None)
    told = f"{largest:.2g}; on average {mean:.2g}"
    table.add(f"{name}: largest difference of a probability", told, target, met)
    before, after = export["before"], export["after"]
    drop = 100 * (_part(before) - _part(after))
    told = f"{_share(before)}; {_share(after)}; {0 - drop:+.2f} points"
    # Counts are whole: 0.3 points of 1,000 photos are three, whatever the division gives.
    target, met = (
        (f"drop <= {MOST_DROP} points", round(drop, 6) <= MOST_DROP) if small else ("", None)
    )
    table.add(f"{name}: right, before and after", told, target, met)
    size = export["bytes"] / 1e6
    target, met = (f"<= {MOST_MB} MB", size <= MOST_MB) if small else ("", None)
    table.add(f"{name}: files", f"{size:.3f} MB", target, met)


def _speeds(run: Path, exports: list[Row], chosen: Any) -> list[Row]:
    """Time the bundle and what was exported."""
    from pawprint.export.bench import measure, subjects  # after what was run as a user runs it

    folders = [export["folder"] for export in exports if export["error"] is None]
    # Exports that the run has already are not measured a second time.
    bundle = [one for one in subjects([run]) if one.format == "bundle"]
    say("timing")
    found = measure(
        [*bundle, *(subjects(folders) if folders else [])],
        seconds=chosen.seconds,
        batch=chosen.batch,
        rounds=chosen.rounds,
    )
    rows = [speed.to_dict() for speed in found]
    for row in rows:
        del row["folder"], row["other_model"]
    return rows


def _add_speed(table: common.Table, speed: Row) -> None:
    name = f"{speed['format']}, {speed['precision']}: "
    if speed["error"] is not None:
        table.add(f"{name}time", speed["error"])
        return
    memory = "" if speed["memory_mb"] is None else f"; {speed['memory_mb']:,.0f} MB of memory"
    two = ", mirror image too" * speed["mirror"]
    table.add(
        f"{name}one photo, p50, p90, p99{two}",
        f"{speed['p50_ms']:.2f}, {speed['p90_ms']:.2f}, {speed['p99_ms']:.2f} ms of "
        f"{speed['calls']:,} calls",
    )
    table.add(
        f"{name}{speed['batch']} at once",
        f"{speed['photos_per_second']:,.0f} photos/s; opened in {speed['load_seconds']:.2f} s"
        f"{memory}",
    )


def _part(share: Row) -> float:
    return float(share["count"] / share["of"]) if share["of"] else 1.0


def _share(share: Row) -> str:
    low, high = share["interval"]
    return f"{_part(share):.2%} ({low:.2%} to {high:.2%}) of {share['of']:,}"


if __name__ == "__main__":
    main()
