"""The starter: what it is worth on real photos, as a backbone, and in time.

It was trained on numbers 1,500 to 7,999 of each class of the archive (starter/photos.py), without
copies of what is judged here. As a backbone its features stay as they are and a logistic head is
fitted, by the recipe `quick`; beside it the same with random weights, and MobileNetV2 1.0 of
ImageNet at 224 px. MB are millions of bytes.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

import common
from common import PAWPRINT, say, shared, workplace
from processes import measure

sys.path.append(str(common.REPOSITORY / "starter"))
from photos import TEST, split_of

ARCHIVE, FULL_SIZE = "data/cats_vs_dogs_16k.zip", "data/pets_fullsize.zip"
FLOWERS = "data/flowers_500.zip"
NAMES = {"Cat": "cat", "Dog": "dog", "cats": "cat", "dogs": "dog"}
PEERS: dict[str, dict[str, Any]] = {
    "starter": {"backbone": "starter"},
    "starter, random": {"backbone": "starter", "weights": "random"},
    "MobileNetV2": {"backbone": "MobileNetV2"},
}


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--draws", type=int, default=5, help="of training photos (default 5)")
    parser.add_argument("--repeats", type=int, default=15, help="of one photo (default 15)")
    chosen = parser.parse_args()
    table, results = common.Table(), dict[str, Any]()
    held_out = [name for name in common.members(shared(ARCHIVE)) if _held_out(name)]
    with workplace() as place:
        results["cold_s"] = _cold(place, chosen.repeats, table)  # while this process is small
        results["size"] = _size(table)
        results["speed"] = _speed(table)
        results["classifier"] = _classifier(held_out, place, table)
        for what, archive, names, each, least in (
            ("cats and dogs", ARCHIVE, held_out, 100, 0.95),
            ("flowers", FLOWERS, common.members(shared(FLOWERS)), 50, None),
        ):
            found = _as_backbone(archive, names, each, chosen.draws, place / what, table, least)
            results[what] = found
    common.finish("starter", table, results)


def _held_out(name: str) -> bool:
    return split_of(int(PurePosixPath(name).stem)) == TEST


def _size(table: common.Table) -> int:
    from pawprint import starter

    total = sum(path.stat().st_size for path in starter.BUNDLE.iterdir())
    table.add("all its files", f"{total / 1e6:.2f} MB", "<= 4 MB", total <= 4e6)
    return total


def _classifier(held_out: Sequence[str], place: Path, table: common.Table) -> dict[str, Any]:
    import pawprint

    results = {}
    for what, archive, names in (
        ("held-out photos", ARCHIVE, held_out),
        ("photos in full size", FULL_SIZE, common.members(shared(FULL_SIZE))),
    ):
        photos = common.write_folder(shared(archive), names, place / what, NAMES)
        found = pawprint.evaluate("starter", photos)
        figures = found.figures
        low, high = figures.accuracy_interval
        target = (">= 96.5 %", figures.accuracy >= 0.965) if archive == ARCHIVE else ("the same",)
        table.add(
            f"right on {figures.count:,} {what}",
            f"{figures.accuracy:.2%} ({low:.2%} to {high:.2%}), {found.refused} unknown",
            *target,
        )
        results[what] = {
            "photos": figures.count,
            "accuracy": figures.accuracy,
            "interval": [low, high],
            "unknown": found.refused,
        }
        say(f"{what}: {figures.accuracy:.2%}")
    unlike = common.write_folder(shared(FLOWERS), common.members(shared(FLOWERS)), place / "unlike")
    answers = list(pawprint.load().predict_many(unlike.rglob("*.jpg")))
    refused = sum(answer.unknown for answer in answers)
    table.add(f"unknown, of {len(answers)} photos of flowers", f"{refused}")
    return {**results, "flowers_unknown": [refused, len(answers)]}


def _as_backbone(
    archive: str,
    names: Sequence[str],
    each: int,
    draws: int,
    place: Path,
    table: common.Table,
    least: float | None,
) -> dict[str, list[float]]:
    """Accuracy by backbone, of each draw of training photos, on all the others."""
    import pawprint

    found = defaultdict[str, list[float]](list)
    judged = 0
    for draw in range(draws):
        photos = _split(archive, names, each, draw, place / f"{draw}")
        for name, options in PEERS.items():
            run = pawprint.train(
                photos, out=place / f"{draw}-{name}", report=False, offline=True, **options
            )
            found[name].append(run.figures.accuracy)
            judged = run.figures.count
            say(f"{place.name}, draw {draw}, {name}: {run.figures.accuracy:.2%}")
    for name, values in found.items():
        mean = statistics.mean(values)
        spread = f"{mean:.2%} ({min(values):.2%} to {max(values):.2%})"
        what = f"{place.name}, {each} a class, {judged:,} others: {name}"
        if least is not None and name == "starter":
            table.add(what, spread, f">= {least:.0%}", mean >= least)
        else:
            table.add(what, spread)
    return dict(found)


def _split(archive: str, names: Sequence[str], each: int, draw: int, place: Path) -> Path:
    random, by_class = np.random.default_rng(draw), defaultdict[str, list[str]](list)
    for name in names:
        by_class[PurePosixPath(name).parent.name].append(name)
    drawn = {n for of in by_class.values() for n in random.choice(of, each, replace=False)}
    others = [name for name in names if name not in drawn]
    common.write_folder(shared(archive), sorted(drawn), place / "train")
    common.write_folder(shared(archive), others, place / "validation")
    return place


def _speed(table: common.Table) -> dict[str, Any]:
    """How many times as fast as MobileNetV2 it gives an embedding of a decoded photo."""
    from pawprint import engine
    from pawprint.model import backbones
    from pawprint.model.prefix import prefix_onnx
    from pawprint.model.starter_network import SIZE
    from pawprint.parallel import cores

    sides = {}
    for name, size, weights in (("starter", SIZE, "starter"), ("MobileNetV2", 224, "imagenet")):
        built = backbones.build(name, size=size, weights=weights, offline=True)
        sides[name] = engine.Network(prefix_onnx(built, built.last, pooled=True), ["features"])
    results: dict[str, Any] = {}
    ways: dict[str, Callable[..., Iterable[Any]]] = {
        "one after the other": map,
        "one a core": ThreadPoolExecutor(cores()).map,
    }
    for what, spread in ways.items():
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(15):
            for name, network in sides.items():
                taken[name].append(_ms(network, spread))
        ratios = [a / b for a, b in zip(taken["MobileNetV2"], taken["starter"], strict=True)]
        ratio = statistics.median(ratios)
        ms = {name: statistics.median(values) for name, values in taken.items()}
        table.add(
            f"embedding, {what}: MobileNetV2 / starter",
            f"{ratio:.1f} x ({ms['MobileNetV2']:.2f} / {ms['starter']:.2f} ms)",
            ">= 4 x",
            ratio >= 4,
        )
        results[what] = {"ms": ms, "ratios": ratios}
    return results


def _ms(network: Any, spread: Callable[..., Iterable[Any]], calls: int = 64) -> float:
    photo = np.random.default_rng(0).integers(0, 256, network.photo_shape(), np.uint8)
    start = time.perf_counter()
    for _ in spread(lambda _: network(photo)[0][0], range(calls)):
        pass
    return (time.perf_counter() - start) / calls * 1000


def _cold(place: Path, repeats: int, table: common.Table) -> list[float]:
    archive = shared(FULL_SIZE)
    one = common.write_folder(archive, common.members(archive, 2)[:1], place / "one")
    command: list[str | Path] = [PAWPRINT, "predict", min(one.rglob("*.jpg"))]
    measure(command)
    seconds = [measure(command).seconds for _ in range(repeats)]
    median = statistics.median(seconds)
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    table.add(
        "pawprint predict PHOTO, cold", f"{median:.2f} s ({spread})", "<= 0.8 s", median <= 0.8
    )
    return seconds


if __name__ == "__main__":
    main()
