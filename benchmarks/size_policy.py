"""Squash, crop or pad: how photos should be brought to a square, by accuracy.

Each policy trains the `quick` recipe on each set, with several seeds; a seed draws the same
validation photos for every policy. Half of each set is held out, since two of the sets are small.

- pets: 400 cats and dogs at their original sizes and proportions.
- flowers: 500 photos of five kinds, squares of 128 x 128.
- cats and dogs: 4,000 of the large archive, squashed to 180 x 180 when the archive was made. On
  squares the three policies are one and the same, so these two sets say nothing of them and only
  check the measurement: the figures must be equal.
- carried over: trained on those squares, without numbers 1 to 200, and judged on the pets, which
  are these numbers at their original proportions. Training has seen squashed photos only.

The interval is for the photos that one seed holds out, around the mean over the seeds: wider than
all seeds together would give, since they share photos. The last columns pair each answer with
squash's for the same photo: only this policy right, only squash right, over all seeds.
"""

from __future__ import annotations

import csv
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
from common import members, say, shared, workplace

LARGE, PETS, FLOWERS = (
    f"data/{name}.zip" for name in ("cats_vs_dogs_16k", "pets_fullsize", "flowers_500")
)
POLICIES = ("squash", "crop", "pad")
HELD_OUT = 0.5
PETS_NUMBERS = 200


@dataclass
class _Found:
    """One policy on one set: a figure a seed, and whether each answer was right."""

    accuracy: list[float] = field(default_factory=list)
    log_loss: list[float] = field(default_factory=list)
    count: int = 0
    right: dict[tuple[int, str], bool] = field(default_factory=dict)

    def add(self, figures: Any, seed: int, right: dict[str, bool]) -> None:
        self.accuracy.append(figures.accuracy)
        self.log_loss.append(figures.log_loss)
        self.count = figures.count
        self.right |= {(seed, path): value for path, value in right.items()}


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--photos", type=int, help="of each set, to try the script")
    parser.add_argument("--large", type=int, default=4000, help="of the archive (default 4000)")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    chosen = parser.parse_args()
    found: dict[str, dict[str, _Found]] = {}
    with workplace() as place:
        sets = _sets(place, chosen.photos, chosen.photos or chosen.large)
        pets = _pets_as_the_archive_names_them(place, chosen.photos)
        for name, source in sets.items():
            found[name] = {policy: _Found() for policy in POLICIES}
            for policy in POLICIES:
                recipe = _recipe(place, policy)
                for seed in range(chosen.seeds):
                    run = place / f"{source.stem}-{policy}-{seed}"
                    _train(source, recipe, seed, run, found[name][policy])
                    if name == "cats and dogs":
                        carried = found.setdefault("carried over", {p: _Found() for p in POLICIES})
                        _carry_over(run, pets, seed, carried[policy])
                say(f"{name}, {policy}: {statistics.mean(found[name][policy].accuracy):.2%}")
    _report(chosen.seeds, found)


def _sets(place: Path, small: int | None, large: int) -> dict[str, Path]:
    archives = {"pets": shared(PETS), "flowers": shared(FLOWERS), "cats and dogs": shared(LARGE)}
    names = {
        "pets": members(archives["pets"], small),
        "flowers": members(archives["flowers"], small),
        "cats and dogs": members(archives["cats and dogs"], large, above=PETS_NUMBERS),
    }
    return {
        name: common.write_zip(archive, names[name], place / archive.name)
        for name, archive in archives.items()
    }


def _pets_as_the_archive_names_them(place: Path, count: int | None) -> Path:
    archive = shared(PETS)
    rename = {"cats": "Cat", "dogs": "Dog"}
    return common.write_folder(archive, members(archive, count), place / "pets", rename)


def _recipe(place: Path, policy: str) -> Path:
    from pawprint.training import recipe_files

    changes = {
        "name": f"quick, {policy}",
        "data.policy": policy,
        "data.validation": HELD_OUT,
        "data.folds": 0,
    }
    path = place / f"{policy}.toml"
    path.write_text(recipe_files.to_toml(recipe_files.load("quick", changes)), "utf-8")
    return path


def _train(source: Path, recipe: Path, seed: int, out: Path, found: _Found) -> None:
    from pawprint.training.run import train

    run = train(source, recipe=recipe, seed=seed, out=out, offline=True)
    with (out / "predictions.csv").open(encoding="utf-8") as file:
        right = {row["path"]: row["label"] == row["predicted"] for row in csv.DictReader(file)}
    found.add(run.figures, seed, right)


def _carry_over(run: Path, pets: Path, seed: int, found: _Found) -> None:
    from pawprint import Classifier
    from pawprint.evaluation.evaluate import evaluate

    answers = Classifier(run).predict_many(sorted(pets.rglob("*.jpg")))
    right = {one.path: one.label == Path(one.path).parent.name for one in answers}
    found.add(evaluate(run, pets).figures, seed, right)


def _report(seeds: int, found: dict[str, dict[str, _Found]]) -> None:
    from pawprint.evaluation.intervals import wilson_interval

    table = common.Table(last="paired with squash")
    results: dict[str, Any] = {"seeds": seeds, "held_out": HELD_OUT}
    for name, by_policy in found.items():
        squash = by_policy["squash"]
        results[name] = {}
        for policy, one in by_policy.items():
            accuracy, loss = statistics.mean(one.accuracy), statistics.mean(one.log_loss)
            low, high = wilson_interval(round(accuracy * one.count), one.count)
            gained = sum(right and not squash.right[place] for place, right in one.right.items())
            lost = sum(squash.right[place] and not right for place, right in one.right.items())
            table.add(
                f"{name}, {policy}",
                f"{accuracy:.2%} ({low:.2%} to {high:.2%}) of {one.count:,}, log loss {loss:.4f}",
                "" if policy == "squash" else f"only it right {gained}, only squash right {lost}",
            )
            results[name][policy] = {
                "accuracy": one.accuracy,
                "log_loss": one.log_loss,
                "photos": one.count,
                "interval": [low, high],
                "only_it_right": gained,
                "only_squash_right": lost,
            }
    common.finish("size_policy", table, results)


if __name__ == "__main__":
    main()
