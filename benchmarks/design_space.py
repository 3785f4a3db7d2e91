"""What was tried on the way to the recipe best, on photos that confirm nothing.

Photos numbered 0 to 2,999 of each class, of which a fifth validate; one seed, one cache, so that a
row costs little more than its training. A row is best with some values changed; what a stage is
worth is told beside what stood before it, on the same photos. --only NAME runs some of the rows.
"""

from __future__ import annotations

from typing import Any

import common
import trainings
from common import members, shared, workplace
from trainings import share

ARCHIVE = "data/cats_vs_dogs_16k.zip"
_DEEP = "stage.2.train=from:block_13_expand"
_MIRRORED = ("stage.1.views=mirrored", "stage.2.views=mirrored")

ROWS: dict[str, tuple[str, ...]] = {
    "best": (),
    "224 px": ("data.size=224",),
    "256 px": ("data.size=256",),
    "320 px": ("data.size=320",),
    "mirrored views": _MIRRORED,
    "rate 1e-5": ("stage.2.rate=1e-5",),
    "rate 1e-4": ("stage.2.rate=1e-4",),
    "rate 3e-4": ("stage.2.rate=3e-4",),
    "1 epoch": ("stage.2.epochs=1",),
    "4 epochs": ("stage.2.epochs=4",),
    "batches of 32": ("stage.2.batch_size=32",),
    "smoothing 0.1": ("stage.2.label_smoothing=0.1",),
    "cut after block_12": (_DEEP,),
    "cut after block_12, rate 1e-4": (_DEEP, "stage.2.rate=1e-4"),
    "cut after block_9": ("stage.2.train=from:block_10_expand",),
}


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--only", action="append", choices=list(ROWS), help="may be repeated")
    parser.add_argument("--photos", type=int, default=6000, help="of both classes (default 6000)")
    chosen = parser.parse_args()
    archive = shared(ARCHIVE)
    table = common.Table("stage 2")
    results: dict[str, Any] = {}
    with workplace() as place:
        names = members(archive, chosen.photos)
        used = common.write_zip(archive, names, place / "some.zip")
        (place / "features").mkdir()
        for number, name in enumerate(chosen.only or ROWS):
            run = place / f"run-{number}"
            run.with_name(f"{run.name}-cache").symlink_to(place / "features")
            told = trainings.pawprint(used, "best", run, changes=ROWS[name])
            results[name] = told
            judged = told["judged"]["validation"]
            seconds = sum(row["seconds"] for rows in told["stages"] for row in rows)
            right = share(judged["accuracy"], judged["count"])
            table.add(name, f"{right}, {seconds:.0f} s of epochs", "; ".join(told["outcomes"]))
    common.finish("design_space", table, results)


if __name__ == "__main__":
    main()
