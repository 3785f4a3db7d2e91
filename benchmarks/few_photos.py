"""Accuracy from few photos: quick and best on 10, 50, 100 and 500 photos a class.

Five draws of each size from one part of the archive, every draw trained on by both recipes, every
network judged on the same photos of another part. What a training says of itself, from folds or
held-out photos, stands beside what the other photos say. The others' maps below the last block
are computed once for each recipe; only the layers above are run anew for each network, from its
own `model.onnx`.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import common
from common import say, shared, workplace

ARCHIVE = "data/cats_vs_dogs_16k.zip"
CUT = "block_15_add"  # neither recipe trains what is below
DRAWN_FROM, JUDGED_FROM = range(3000, 6500), range(6500, 8000)  # by the photos' numbers


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--size", type=int, action="append", help="photos a class; may be repeated")
    parser.add_argument("--draws", type=int, default=5, help="of each size (default 5)")
    parser.add_argument("--others", type=int, default=3000, help="photos to judge (default 3000)")
    chosen = parser.parse_args()
    archive = shared(ARCHIVE)
    rows: list[dict[str, Any]] = []
    with workplace() as place:
        names = common.members(archive)
        others = [name for name in names if _number(name) in JUDGED_FROM]
        half = chosen.others // 2
        judged = [n for c in ("Cat", "Dog") for n in [o for o in others if f"/{c}/" in o][:half]]
        common.write_folder(archive, judged, place / "others")
        judges = {recipe: _Judge(recipe, place / "others") for recipe in ("quick", "best")}
        for size in chosen.size or (10, 50, 100, 500):
            for draw in range(chosen.draws):
                photos = _draw(archive, names, size, draw, place)
                for recipe, judge in judges.items():
                    row = _train(photos, recipe, place / f"run-{size}-{draw}-{recipe}", judge)
                    rows.append({"size": size, "draw": draw, "recipe": recipe, **row})
                    say(f"{size} a class, draw {draw}, {recipe}: {row['accuracy']:.2%}")
    _report(rows, len(judged))


def _number(name: str) -> int:
    return int(Path(name).stem)


def _draw(archive: Path, names: list[str], size: int, draw: int, place: Path) -> Path:
    random = np.random.default_rng([size, draw])
    drawn: list[str] = []
    for label in ("Cat", "Dog"):
        of = [n for n in names if f"/{label}/" in n and _number(n) in DRAWN_FROM]
        drawn += random.choice(of, size, replace=False).tolist()
    return common.write_folder(archive, drawn, place / f"photos-{size}-{draw}")


class _Judge:
    """Photos seen by the layers that no recipe here trains, and whoever is above them."""

    def __init__(self, recipe: str, folder: Path) -> None:
        from pawprint import engine
        from pawprint.data.images import mirrored
        from pawprint.model import backbones
        from pawprint.model.prefix import prefix_onnx
        from pawprint.parallel import map_chunks
        from pawprint.training import recipe_files

        chosen = recipe_files.load(recipe)
        backbone = backbones.build(size=chosen.data.size)
        network = engine.Network(prefix_onnx(backbone, CUT), ["features"])
        paths = sorted(folder.glob("*/*.jpg"))
        self.truth = np.array([int(path.parent.name == "Dog") for path in paths])

        def maps(some: Any) -> list[list[NDArray[np.float32]]]:
            found = []
            for path in some:
                pixels = chosen.data.preprocessing.from_bytes(path.read_bytes(), path.name)
                views = [pixels, mirrored(pixels)] if chosen.mirror else [pixels]
                found.append([network(view)[0].transpose(2, 0, 1).copy() for view in views])
            return found

        start = time.perf_counter()
        rows = [row for chunk in map_chunks(maps, paths, size=32) for row in chunk]
        self._views = [np.stack(view) for view in zip(*rows, strict=True)]
        say(f"{recipe}: the others' maps took {time.perf_counter() - start:.0f} s")

    def accuracy(self, model: Path, scratch: Path) -> float:
        """The part of the photos that a bundle's network is right on."""
        import onnx
        import onnxruntime

        onnx.utils.extract_model(str(model), str(scratch), [CUT], ["probabilities"])
        session = onnxruntime.InferenceSession(str(scratch))
        given = []
        for view in self._views:
            parts = [view[n : n + 50] for n in range(0, len(view), 50)]
            given.append(np.concatenate([session.run(None, {CUT: part})[0] for part in parts]))
        return float((np.mean(given, axis=0).argmax(axis=1) == self.truth).mean())


def _train(photos: Path, recipe: str, run: Path, judge: _Judge) -> dict[str, Any]:
    import pawprint

    start = time.perf_counter()
    made = pawprint.train(photos, recipe=recipe, out=run)
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "accuracy": judge.accuracy(made.model / "model.onnx", run / "upper.onnx"),
        "told": made.figures.accuracy,
        "told_interval": list(made.figures.accuracy_interval),
        "undone": made.record["undone"],
        "notes": made.record["notes"],
    }


def _report(rows: list[dict[str, Any]], others: int) -> None:
    table = common.Table("aim, over quick")
    means: dict[str, float] = {}
    for size in sorted({row["size"] for row in rows}):
        for recipe in ("quick", "best"):
            some = [row for row in rows if (row["size"], row["recipe"]) == (size, recipe)]
            found = [row["accuracy"] for row in some]
            mean, low, high = statistics.mean(found), min(found), max(found)
            means[f"{size} {recipe}"] = mean
            aim, met = "", None
            gain = mean - means[f"{size} quick"]
            if recipe == "best":
                wanted = {10: 0.01, 100: 0.005}.get(size)
                aim, met = f"{gain:+.2%}", None if wanted is None else gain >= wanted
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            told = statistics.mean(row["told"] for row in some)
            inside = sum(
                row["told_interval"][0] <= row["accuracy"] <= row["told_interval"][1]
                for row in some
            )
            table.add(
                f"{size} a class, {recipe}",
                f"{mean:.2%} ({low:.2%} to {high:.2%}, s.d. {spread:.2%}); told {told:.2%}, "
                f"{inside} of {len(some)} intervals hold it",
                aim,
                met,
            )
    table.add("photos that judge", f"{others:,}")
    common.finish("few_photos", table, {"others": others, "means": means, "rows": rows})


if __name__ == "__main__":
    main()
