"""Whether probabilities mean what they say, before and after the temperature; a report's cost.

`quick` (or another recipe) on cats_vs_dogs_16k, over several seeds and so several splits. The
figures after the temperature are of photos that it was not fitted on. Then the report is drawn
again from the last run's files, photos and heat-maps included, as a process of its own.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import common
import trainings
from common import PAWPRINT, shared
from processes import measure

ARCHIVE = "data/cats_vs_dogs_16k.zip"


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--recipe", default="quick", help="(default quick)")
    parser.add_argument("--seeds", type=int, default=5, help="trainings (default 5)")
    parser.add_argument("--reports", type=int, default=5, help="times to draw it (default 5)")
    chosen = parser.parse_args()
    table, results = common.Table(), list[dict[str, Any]]()
    with common.workplace() as place:
        for seed in range(chosen.seeds):
            run = place / f"run-{seed}"
            ran = trainings.pawprint(
                shared(ARCHIVE), chosen.recipe, run, options=["--seed", str(seed)]
            )
            results.append(_calibration(run, seed, table) | {"parts": ran["parts"]})
        worst = max(found["after"]["ece"] for found in results)
        table.add("largest error after, all seeds", f"{worst:.4f}", "<= 0.01", worst <= 0.01)
        drawn = _report(run, chosen.reports, table)
    common.finish("calibration", table, {"seeds": results, "report": drawn})


def _calibration(run: Path, seed: int, table: common.Table) -> dict[str, Any]:
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))["validation"]
    found: dict[str, Any] = metrics["calibration"]
    before, after = found["before"], found["after"]
    table.add(
        f"seed {seed}: calibration error before, after",
        f"{before['ece']:.4f}, {after['ece']:.4f} of {metrics['count']:,}",
    )
    table.add(
        f"seed {seed}: log loss before, after; temperature",
        f"{before['log_loss']:.4f}, {after['log_loss']:.4f}; {found['temperature']:.3f}",
    )
    for side in (before, after):
        del side["bins"]
    return {**found, "accuracy": metrics["accuracy"], "count": metrics["count"]}


def _report(run: Path, times: int, table: common.Table) -> dict[str, Any]:
    seconds = [measure([PAWPRINT, "report", run]).seconds for _ in range(times)]
    size = (run / "report.html").stat().st_size
    middle = statistics.median(seconds)
    told = f"{middle:.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"
    table.add("report from the run's files, whole process", told, "< 15 s", middle < 15)
    table.add("its size", f"{size / 1e6:.2f} MB", "< 4 MB", size < 4e6)
    return {"seconds": seconds, "bytes": size}


if __name__ == "__main__":
    main()
