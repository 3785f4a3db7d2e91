"""Labels flipped at random among 16,000 photos, found again among the first suspects.

100 photos of cats_vs_dogs_16k stand in the other class's folder. A training tells its suspects; how
many of the 100 are among the first 100, 200 and 300 is counted, and what the search cost. With
cleanlab installed (pip install cleanlab), its ranking of the same probabilities stands beside ours.
`--own DIR` trains on the archive as it is instead, and writes its first 30 suspects as pictures to
look at.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

import common
import trainings
from common import say, shared

ARCHIVE, FLIPPED = "data/cats_vs_dogs_16k.zip", 100
OTHER = {"Cat": "Dog", "Dog": "Cat"}


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="sets of flips (default 3)")
    parser.add_argument("--own", type=Path, help="look at the archive's own suspects instead")
    chosen = parser.parse_args()
    table, results = common.Table(), dict[str, Any]()
    with common.workplace() as place:
        if chosen.own:
            _own(place, chosen.own)
            return
        for seed in range(chosen.seeds):
            results[str(seed)] = _flip(place, seed, table)
    common.finish("label_errors", table, results)


def _flip(place: Path, seed: int, table: common.Table) -> dict[str, Any]:
    names = common.members(shared(ARCHIVE))
    random = np.random.default_rng(seed)
    flipped = set(random.permutation(names)[:FLIPPED].tolist())
    source, moved = place / f"flipped-{seed}.zip", set()
    with zipfile.ZipFile(shared(ARCHIVE)) as opened, zipfile.ZipFile(source, "w") as out:
        for name in names:
            path = PurePosixPath(name)
            label = path.parent.name
            told = OTHER[label] if name in flipped else label
            moved |= {f"{told}/{label}{path.name}"} if name in flipped else set()
            out.writestr(f"{told}/{label}{path.name}", opened.read(name))
    run = place / f"run-{seed}"
    ran = trainings.pawprint(source, "quick", run)
    told = json.loads((run / "suspects.json").read_text("utf-8"))
    ours = [PurePosixPath(one["path"]) for one in told["suspects"]]
    hits = np.array([f"{path.parent.name}/{path.name}" in moved for path in ours])
    found = {f"first {first}": int(hits[:first].sum()) for first in (100, 200, 300)}
    parts = ran["parts"]
    say(f"seed {seed}: {found}")
    table.add(
        f"seed {seed}: of {FLIPPED} flipped, in the first 200",
        str(found["first 200"]),
        ">= 90",
        found["first 200"] >= 90,
    )
    table.add(f"seed {seed}: in the first 100, 300", f"{found['first 100']}, {found['first 300']}")
    table.add(
        f"seed {seed}: suspects; labels expected to be wrong",
        f"{told['count']} of {told['photos']:,}; {told['expected']}",
    )
    table.add(
        f"seed {seed}: seconds of the search, of the training",
        f"{parts['suspects']:.1f}, {parts['total']:.1f}",
    )
    beside = _cleanlab(run, moved)
    if beside is not None:
        table.add(f"seed {seed}: cleanlab's ranking, in the first 200", str(beside))
    return {**found, "count": told["count"], "expected": told["expected"], "cleanlab": beside}


def _cleanlab(run: Path, moved: set[str]) -> int | None:
    """How many of the flipped are in the first 200 of cleanlab's ranking of the same photos."""
    try:
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        return None
    told = json.loads((run / "suspects.json").read_text("utf-8"))["suspects"]
    classes = sorted({one["given"] for one in told})
    labels = np.array([classes.index(one["given"]) for one in told])
    given = np.array([one["given_probability"] for one in told])
    second = np.where(labels == 1, given, 1 - given)
    scores = get_label_quality_scores(labels, np.stack([1 - second, second], axis=1))
    first = np.argsort(scores, kind="stable")[:200]
    paths = [PurePosixPath(told[row]["path"]) for row in first]
    return sum(f"{path.parent.name}/{path.name}" in moved for path in paths)


def _own(place: Path, out: Path) -> None:
    run = place / "run"
    trainings.pawprint(shared(ARCHIVE), "quick", run)
    told = json.loads((run / "suspects.json").read_text("utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(shared(ARCHIVE)) as opened:
        names = {"/".join(PurePosixPath(n).parts[-2:]): n for n in opened.namelist()}
        for number, one in enumerate(told["suspects"][:30], 1):
            path = PurePosixPath(one["path"])
            data = opened.read(names["/".join(path.parts[-2:])])
            (out / f"{number:02} {one['given']} maybe {one['suggested']}.jpg").write_bytes(data)
    say(f"{told['count']} suspects, about {told['expected']} labels wrong; the first 30 in {out}")


if __name__ == "__main__":
    main()
