"""Peak memory of training on 4,000, 8,000 and 16,000 photos, each with an empty cache.

Each figure is of a whole `pawprint train`. The kernel's is the largest resident memory of the
process, files it has mapped included; the other is the sum over its process tree, sampled every
50 ms. MB are millions of bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import common
from common import PAWPRINT, members, say, shared, workplace
from processes import measure

ARCHIVE = "data/cats_vs_dogs_16k.zip"
MOST_MB = 1500
MOST_GROWTH = 1.15  # from a quarter of the photos to all of them


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument(
        "--photos", type=int, default=16_000, help="the most (default 16000); also half, a quarter"
    )
    chosen = parser.parse_args()
    archive = shared(ARCHIVE)
    found: list[dict[str, Any]] = []
    with workplace() as place:
        for count in (chosen.photos // 4, chosen.photos // 2, chosen.photos):
            part = common.write_zip(archive, members(archive, count), place / f"{count}.zip")
            command: list[str | Path] = [PAWPRINT, "train", part, "--out", place / f"run-{count}"]
            took = measure(command, cache=place / f"cache-{count}", sample=True)
            say(f"{count:,} photos: {took.peak_mb:,.0f} MB, {took.seconds:.1f} s")
            found.append(
                {
                    "photos": count,
                    "peak_mb": round(took.peak_mb),
                    "tree_mb": round(took.tree_mb),
                    "seconds": round(took.seconds, 2),
                }
            )
    table = common.Table()
    for one in found:
        most = max(one["peak_mb"], one["tree_mb"])
        table.add(
            f"{one['photos']:,} photos",
            f"{one['peak_mb']:,} MB (tree {one['tree_mb']:,} MB), {one['seconds']:.1f} s",
            f"<= {MOST_MB:,} MB",
            most <= MOST_MB,
        )
    growth = found[-1]["peak_mb"] / found[0]["peak_mb"]
    what = f"{found[-1]['photos']:,} / {found[0]['photos']:,} photos"
    table.add(what, f"{growth:.3f}", f"<= {MOST_GROWTH}", growth <= MOST_GROWTH)
    common.finish("memory", table, {"runs": found, "growth": growth})


if __name__ == "__main__":
    main()
