"""Every tutorial's recipe against its claim, and against the same recipe in plain Keras.

Both sides train on the same photos of the archive, in one folder with train/ and validation/, one
after the other: a whole `pawprint train` with an empty cache of its own, then
peers/keras_recipes.py. two-stage and rmsprop-128 get all photos (or --photos), a fifth of them to
validate; small-dense and tutorial-160 get 2,000 to train and 1,000 to validate, as many as
cats_and_dogs_filtered has. tutorial-160 keeps a fifth of its validation photos for its test; each
side draws them itself.

Accuracies are on validation, at the end of each stage (of its best epoch, where a recipe goes back
to it), with 95 % Wilson intervals; "as handed over" is the written bundle's network. pawprint's
time is its whole process; Keras' is the sum of its `fit`s, on photos that are unpacked already, and
its whole process stands beside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import trainings
from common import REPOSITORY, Table, members, say, shared, workplace
from trainings import Row, share

ARCHIVE = "data/cats_vs_dogs_16k.zip"
PEER = REPOSITORY / "benchmarks" / "peers" / "keras_recipes.py"
SMALL = 3_000  # photos, of which a third validates
ROSE = 1.1  # a validation loss at the end of so much more than its lowest


@dataclass(frozen=True)
class Goal:
    """What a recipe is to reach.

    Args:
        claim: what its tutorial says.
        least: accuracy on validation, for each stage or only at the end.
        each_stage: which of the two.
        every: each so many-th photo validates.
        best: the recipe ends with its best epoch, not its last.
    """

    claim: str
    least: float
    each_stage: bool = False
    every: int = 5
    best: bool = False


GOALS = {
    "two-stage": Goal("85-90 %, then 92-96 %, in 1-3 h", 0.96, each_stage=True),
    "small-dense": Goal("97 %", 0.97, every=3, best=True),
    "rmsprop-128": Goal("97.3 %, validation loss rising", 0.973),
    "tutorial-160": Goal("97 %", 0.97, every=3),
}


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--only", action="append", choices=list(GOALS), help="may be repeated")
    parser.add_argument("--photos", type=int, help="for two-stage and rmsprop-128; by default all")
    parser.add_argument("--no-keras", action="store_true", help="leave plain Keras out")
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change pawprint's recipes; plain Keras does not follow",
    )
    chosen = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    with workplace() as place:
        for name in chosen.only or GOALS:
            count = chosen.photos if GOALS[name].every == 5 else SMALL
            with tempfile.TemporaryDirectory(dir=place) as own:
                results[name] = _measure(name, count, Path(own), chosen.changes, chosen.no_keras)
    table = Table()
    for name, found in results.items():
        _add(table, name, found)
    common.finish("recipes", table, {"set": chosen.changes, "recipes": results})


def _measure(
    name: str, count: int | None, place: Path, changes: Sequence[str], no_keras: bool
) -> dict[str, Any]:
    archive, every = shared(ARCHIVE), GOALS[name].every
    names = members(archive, count)
    sides = {"train": [n for i, n in enumerate(names) if i % every], "validation": names[::every]}
    folder = place / "photos"
    for side, some in sides.items():
        common.write_folder(archive, some, folder / side)
    photos = {side: len(some) for side, some in sides.items()}
    say(f"{name}: {photos['train']:,} to train, {photos['validation']:,} to validate")
    found = {
        "photos": photos,
        "pawprint": trainings.pawprint(folder, name, place / "run", changes=changes),
    }
    if not no_keras:
        found["keras"], _ = trainings.keras(PEER, [folder / "train", folder / "validation", name])
    return found


def _add(table: Table, name: str, found: dict[str, Any]) -> None:
    """A recipe's rows."""
    goal, ours, peer = GOALS[name], found["pawprint"], found.get("keras")
    judged = ours["judged"]["validation"]
    table.add(f"{name}, photos", " + ".join(f"{n:,}" for n in found["photos"].values()))
    table.add(f"{name}, claim", goal.claim)
    for number, rows in enumerate(ours["stages"], 1):
        right = _end(rows, goal.best)["val_accuracy"]
        _accuracy(table, f"{name}, stage {number}", right, judged["count"], goal.each_stage, goal)
    _accuracy(table, f"{name}, as handed over", judged["accuracy"], judged["count"], True, goal)
    if "test" in ours["judged"]:
        test = ours["judged"]["test"]
        table.add(f"{name}, test", f"{share(test['accuracy'], test['count'])} of {test['count']:,}")
    if name == "rmsprop-128" and ours["stages"]:
        _add_overfitting(table, name, ours)
    table.add(f"{name}, time", f"{ours['seconds']:.1f} s, {ours['peak_mb']:,} MB")
    if peer:
        _add_peer(table, name, ours, peer)


def _accuracy(table: Table, what: str, right: float, count: int, binding: bool, goal: Goal) -> None:
    target = f">= {100 * goal.least:g} %" if binding else ""
    met = right >= goal.least if binding else None
    table.add(what, f"{share(right, count)} of {count:,}", target, met)


def _add_overfitting(table: Table, name: str, ours: dict[str, Any]) -> None:
    """Whether the validation loss rose in the last stage and, if so, the run says it."""
    rose, path = _rose(ours["stages"])
    noticed = [note for note in ours["notes"] if "overfit" in note.lower()]
    said = "noticed" if noticed else "nothing said"
    what = f"{'rose' if rose else 'did not rise'} ({path}); {said}"
    table.add(f"{name}, validation loss", what, "noticed if it rose", bool(noticed) or not rose)
    for note in noticed:
        table.add(f"{name}, note", note)


def _add_peer(table: Table, name: str, ours: dict[str, Any], peer: dict[str, Any]) -> None:
    count = peer["validation_photos"]
    for number, stage in enumerate(peer["stages"], 1):
        seconds = f"{stage['seconds']:.1f} s"
        table.add(f"{name}, Keras, stage {number}", f"{share(stage['accuracy'], count)}, {seconds}")
    if "test_accuracy" in peer:
        right = share(peer["test_accuracy"], peer["test_photos"])
        table.add(f"{name}, Keras, test", f"{right} of {peer['test_photos']:,}")
    if name == "rmsprop-128":
        rose, path = _rose([stage["history"] for stage in peer["stages"]])
        what = f"{'rose' if rose else 'did not rise'} ({path})"
        table.add(f"{name}, Keras, validation loss", what)
    whole = f"whole process {peer['process']['seconds']:.1f} s, {peer['process']['peak_mb']:,} MB"
    table.add(f"{name}, Keras, time", f"{peer['seconds']:.1f} s ({whole})")
    table.add(f"{name}, Keras / pawprint", f"{peer['seconds'] / ours['seconds']:.1f} x")


def _end(rows: Sequence[Row], best: bool) -> Row:
    """The epoch whose weights a stage ends with."""
    return min(rows, key=lambda row: float(row["val_loss"])) if best else rows[-1]


def _rose(stages: Sequence[Sequence[Row]]) -> tuple[bool, str]:
    """Whether the loss ends well over its lowest, and its way through the last stage."""
    losses = [float(row["val_loss"]) for rows in stages for row in rows]
    return losses[-1] > ROSE * min(losses), " ".join(f"{row['val_loss']:.3f}" for row in stages[-1])


if __name__ == "__main__":
    main()
