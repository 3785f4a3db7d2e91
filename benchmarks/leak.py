"""What a leak does to a figure: validation photos of which a fifth are copies of training photos.

The copies are saved again as JPEG at another quality and half the size, so their bytes differ. The
naive accuracy is that of a training that keeps them (data.leaks = "keep", as other tools do), the
honest one that of the default, which takes the copies out of training; beside them stands the
accuracy on photos that neither training has to do with. The label of a tenth of the photos is
wrong, and copies carry the label of their original, as in collections made by searching the web:
what was learned by heart then counts as right.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

import common
import trainings
from common import say, shared

ARCHIVE = "data/cats_vs_dogs_16k.zip"
LEAKED, WRONG = 0.2, 0.1
# A dense head that is trained long enough to know its photos.
BY_HEART = """
name = "by-heart"
[[head]]
layer = "average_pool"
[[head]]
layer = "dense"
units = 256
[[stage]]
train = "head"
epochs = 60
"""


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--photos", type=int, default=600, help="that train (default 600)")
    parser.add_argument("--judged", type=int, default=1000, help="validation photos (default 1000)")
    chosen = parser.parse_args()
    table = common.Table("photos")
    results: dict[str, Any] = {}
    with common.workplace() as place:
        leaky, clean = _write(place, chosen.photos, chosen.judged)
        by_heart = place / "by-heart.toml"
        by_heart.write_text(BY_HEART, "utf-8")
        for recipe in ("quick", str(by_heart)):
            results[Path(recipe).stem] = _compare(place, recipe, leaky, clean, table)
    common.finish("leak", table, results)


def _write(place: Path, trains: int, judged: int) -> tuple[Path, Path]:
    """Splits with leaks, and other photos with right labels."""
    archive = shared(ARCHIVE)
    random = np.random.default_rng(0)
    names = random.permutation(common.members(archive)).tolist()
    train, rest = names[:trains], names[trains:]
    copied = int(judged * LEAKED)
    own, rest = rest[: judged - copied], rest[judged - copied :]
    wrong = set(random.permutation(train + own)[: int(WRONG * (trains + judged))].tolist())
    leaky, clean = place / "leaky.zip", place / "clean.zip"
    common.write_zip(archive, rest[:3000], clean)
    with zipfile.ZipFile(archive) as opened, zipfile.ZipFile(leaky, "w") as out:
        for side, some in (("train", train), ("validation", own)):
            for name in some:
                out.writestr(_place(side, name, wrong), opened.read(name))
        for name in random.permutation(train)[:copied].tolist():
            with Image.open(io.BytesIO(opened.read(name))) as picture:
                small = picture.resize((picture.width // 2, picture.height // 2))
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=70)
            out.writestr(_place("validation", name, wrong, "copy_"), buffer.getvalue())
    return leaky, clean


def _place(side: str, name: str, wrong: set[str], prefix: str = "") -> str:
    path = PurePosixPath(name)
    label = path.parent.name
    if name in wrong:
        label = "Dog" if label == "Cat" else "Cat"
    return f"{side}/{label}/{prefix}{path.parent.name}{path.name}"


def _compare(
    place: Path, recipe: str, leaky: Path, clean: Path, table: common.Table
) -> dict[str, Any]:
    from pawprint.evaluation.evaluate import evaluate

    found: dict[str, Any] = {}
    called = Path(recipe).stem
    for name, leaks in (("naive", "keep"), ("honest", "drop")):
        run = place / f"{called}-{name}"
        ran = trainings.pawprint(leaky, recipe, run, changes=[f"data.leaks={leaks}"])
        judged = ran["judged"]["validation"]
        others = evaluate(run, clean).figures
        found[name] = {"validation": judged, "others": others.to_dict()}
        low, high = judged["accuracy_interval"]
        table.add(
            f"{called}, {name}: validation",
            f"{judged['accuracy']:.2%} ({low:.2%} to {high:.2%})",
            f"{judged['count']:,}",
        )
        table.add(
            f"{called}, {name}: others, right labels", f"{others.accuracy:.2%}", f"{others.count:,}"
        )
        say(f"{called} {name}: {judged['accuracy']:.2%}")
    gap = found["naive"]["validation"]["accuracy"] - found["honest"]["validation"]["accuracy"]
    table.add(f"{called}: the leak's part of the figure", f"{100 * gap:+.2f} points")
    return found


if __name__ == "__main__":
    main()
