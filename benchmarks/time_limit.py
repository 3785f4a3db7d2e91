"""Whether --time-limit is kept: best within a minute on 16,000 photos and on 400, empty caches.

Measured is the whole process, Python's start included; it may take a tenth longer than the limit.
"""

from __future__ import annotations

import json

import common
from common import PAWPRINT, members, say, shared, workplace
from processes import measure

ARCHIVE = "data/cats_vs_dogs_16k.zip"


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--photos", type=int, action="append", help="by default 16000 and 400")
    parser.add_argument("--seconds", type=int, default=60, help="the limit (default 60)")
    parser.add_argument("--recipe", default="best")
    chosen = parser.parse_args()
    archive, most = shared(ARCHIVE), chosen.seconds * 1.1
    table, results = common.Table(), []
    with workplace() as place:
        for photos in chosen.photos or (16000, 400):
            names = members(archive, photos)
            used = common.write_zip(archive, names, place / f"{photos}.zip")
            run = place / f"run-{photos}"
            limit = ["--recipe", chosen.recipe, "--time-limit", f"{chosen.seconds}s"]
            command = [PAWPRINT, "train", used, "--out", run, *limit]
            found = measure(command, cache=place / f"cache-{photos}")
            record = json.loads((run / "run.json").read_text("utf-8"))
            metrics = json.loads((run / "metrics.json").read_text("utf-8"))["validation"]
            what = f"{chosen.recipe}, {len(names):,} photos, {chosen.seconds} s"
            say(f"{what}: {found.seconds:.1f} s")
            took = f"{found.seconds:.1f} s, CPU {found.cpu:.1f} s"
            table.add(what, took, f"<= {most:g} s", found.seconds <= most)
            for told in [*record["time_limit"]["left_out"], *record["notes"]]:
                table.add("", told)
            low, high = metrics["accuracy_interval"]
            right = f"{metrics['accuracy']:.2%} ({low:.2%} to {high:.2%}) of {metrics['count']:,}"
            table.add("", right)
            results.append({"photos": len(names), "seconds": found.seconds, **record["time_limit"]})
    common.finish("time_limit", table, {"limit": chosen.seconds, "runs": results})


if __name__ == "__main__":
    main()
