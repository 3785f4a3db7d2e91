"""Near copies among 16,000 photos: how many planted ones are found, and what else is called one.

Each way of copying is done to photos of its own, so that no copy is found through another. Then
the ways to confirm what the hashes say are held against each other on the same pairs: the
correlation of colour thumbnails, which pawprint uses, and the cosine of MobileNetV2's embeddings.
What is reported among the photos themselves is listed and, with --sheet, drawn, to be looked at.
"""

from __future__ import annotations

import io
import itertools
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

import common
from common import say, shared

ARCHIVE = "data/cats_vs_dogs_16k.zip"
TARGETS = {"re-encoded": 0.95, "resized": 0.95, "mirrored": 0.95}
PRECISION = 0.95
_NEAREST = 300  # unrelated pairs, the nearest by hash

Change = Callable[[Image.Image], Image.Image]


def _scaled(across: float, down: float | None = None) -> Change:
    def change(picture: Image.Image) -> Image.Image:
        size = round(picture.width * across), round(picture.height * (down or across))
        return picture.resize(size, Image.Resampling.BICUBIC)

    return change


def _cut(left: float, top: float, right: float, bottom: float) -> Change:
    def change(picture: Image.Image) -> Image.Image:
        wide, high = picture.size
        box = (left * wide, top * high, wide - right * wide, high - bottom * high)
        return picture.crop(tuple(round(side) for side in box))  # type: ignore[arg-type]

    return change


def _mirrored(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


# What is done, how it is saved, and which target it belongs to.
WAYS: dict[str, tuple[Change, str, int, str]] = {
    "JPEG, quality 50": (lambda p: p, "JPEG", 50, "re-encoded"),
    "JPEG, quality 20": (lambda p: p, "JPEG", 20, "re-encoded"),
    "WebP, quality 60": (lambda p: p, "WEBP", 60, "re-encoded"),
    "half the size": (_scaled(0.5), "JPEG", 85, "resized"),
    "a quarter of the size": (_scaled(0.25), "JPEG", 85, "resized"),
    "1.5 times the size": (_scaled(1.5), "JPEG", 85, "resized"),
    "three quarters as high": (_scaled(1.0, 0.75), "JPEG", 85, "resized"),
    "mirrored": (_mirrored, "JPEG", 90, "mirrored"),
    "mirrored, quality 50": (_mirrored, "JPEG", 50, "mirrored"),
    "5 % cut, all around": (_cut(0.025, 0.025, 0.025, 0.025), "JPEG", 85, ""),
    "5 % cut, two sides": (_cut(0, 0, 0.05, 0.05), "JPEG", 85, ""),
    "brighter by 30 %": (lambda p: ImageEnhance.Brightness(p).enhance(1.3), "JPEG", 85, ""),
    "darker by 30 %": (lambda p: ImageEnhance.Brightness(p).enhance(0.7), "JPEG", 85, ""),
    "more contrast, 40 %": (lambda p: ImageEnhance.Contrast(p).enhance(1.4), "JPEG", 85, ""),
    "grey": (lambda p: p.convert("L"), "JPEG", 85, ""),
}


@dataclass(frozen=True)
class Planted:
    """A copy in the archive.

    Args:
        way: one of `WAYS`.
        original: its name in the archive.
        copy: the copy's name.
    """

    way: str
    original: str
    copy: str


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--copies", type=int, default=400, help="of each way (default 400)")
    parser.add_argument("--sheet", type=Path, help="a picture of all reported pairs")
    chosen = parser.parse_args()
    table = common.Table()
    with common.workplace() as place:
        archive, planted = _plant(place / "photos.zip", chosen.copies)
        say(f"{len(planted):,} copies planted")
        results = _measure(archive, planted, table, chosen.sheet)
    common.finish("copies", table, results)


def _plant(target: Path, count: int) -> tuple[Path, list[Planted]]:
    """All photos, and copies of photos that are each copied once."""
    archive = shared(ARCHIVE)
    names = common.members(archive)
    common.write_zip(archive, names, target)
    random = np.random.default_rng(0)
    drawn = iter(random.permutation(names).tolist())
    planted = []
    with zipfile.ZipFile(archive) as opened, zipfile.ZipFile(target, "a") as out:
        for number, way in enumerate(WAYS):
            change, kind, quality, _ = WAYS[way]
            for original in itertools.islice(drawn, count):
                buffer = io.BytesIO()
                with Image.open(io.BytesIO(opened.read(original))) as picture:
                    change(picture.convert("RGB")).save(buffer, kind, quality=quality)
                path = PurePosixPath(original)
                copy = f"{path.parent}/{path.stem}_way{number}.{kind.lower()}"
                out.writestr(copy, buffer.getvalue())
                planted.append(Planted(way, original, copy))
    return target, planted


def _measure(
    archive: Path, planted: Sequence[Planted], table: common.Table, sheet: Path | None
) -> dict[str, Any]:
    from pawprint.data.copies import near_copies
    from pawprint.data.glance import Glances
    from pawprint.data.reading import read_all
    from pawprint.data.sources import open_source

    results: dict[str, Any] = {"copies": {}}
    with open_source(archive) as source:
        reads, faults = read_all(source)
        assert not faults
        glances = Glances(None, 224)
        assert not glances.bring(source, reads)
        seen = glances.take([read.sha256 for read in reads])
        start = time.perf_counter()
        found = near_copies(source, reads, seen)
        took = time.perf_counter() - start
        groups = [{reads[number].photo.path for number in group} for group in found.groups]
        _recall(groups, planted, table, results)
        _precision(groups, planted, archive, table, results, sheet)
        number_of = {read.photo.path: number for number, read in enumerate(reads)}
        pairs = [(number_of[one.original], number_of[one.copy]) for one in planted]
        _confirmations(source, reads, seen["hash"], planted, pairs, table, results)
    results |= {"photos": len(reads), "seconds": took}
    table.add("search, photos", f"{len(reads):,} in {took:.2f} s")
    return results


def _recall(
    groups: Sequence[set[str]], planted: Sequence[Planted], table: common.Table, results: Any
) -> None:
    group_of = {path: number for number, group in enumerate(groups) for path in group}
    hits: dict[str, list[bool]] = {way: [] for way in WAYS}
    for one in planted:
        group = group_of.get(one.original)
        hits[one.way].append(group is not None and group == group_of.get(one.copy))
    by_target: dict[str, list[bool]] = {}
    for way, found in hits.items():
        share, target = float(np.mean(found)), WAYS[way][3]
        by_target.setdefault(target, []).extend(found)
        results["copies"][way] = {"found": sum(found), "of": len(found)}
        table.add(f"found: {way}", f"{sum(found):,} of {len(found):,} ({share:.1%})")
    for target, least in TARGETS.items():
        share = float(np.mean(by_target[target]))
        table.add(f"recall, {target}", f"{share:.2%}", f">= {least:.0%}", share >= least)


def _precision(
    groups: Sequence[set[str]],
    planted: Sequence[Planted],
    archive: Path,
    table: common.Table,
    results: Any,
    sheet: Path | None,
) -> None:
    """What is called a copy and was not planted: it is to be looked at."""
    copies = {one.copy for one in planted}
    natural = sorted(sorted(group - copies) for group in groups if len(group - copies) > 1)
    results["among the photos"] = natural
    table.add(
        "groups among the photos themselves",
        str(len(natural)),
        f"looked at: >= {PRECISION:.0%} are copies",
    )
    for group in natural:
        say(" = ".join(group))
    if sheet is not None:
        _draw(archive, natural, sheet)


def _draw(archive: Path, groups: Sequence[Sequence[str]], target: Path) -> None:
    side, columns = 120, 4
    rows = -(-len(groups) // columns)
    drawn = Image.new("RGB", (columns * (2 * side + 12), rows * (side + 16)), "white")
    pen = ImageDraw.Draw(drawn)
    with zipfile.ZipFile(archive) as opened:
        for place, group in enumerate(groups):
            left, top = place % columns * (2 * side + 12), place // columns * (side + 16)
            pen.text((left, top), " ".join(name.split("/", 1)[1] for name in group[:2]), "black")
            for number, name in enumerate(group[:2]):
                with Image.open(io.BytesIO(opened.read(name))) as picture:
                    small = picture.convert("RGB").resize((side, side))
                drawn.paste(small, (left + number * side, top + 14))
    drawn.save(target)


def _confirmations(
    source: Any,
    reads: Sequence[Any],
    hashes: Any,
    planted: Sequence[Planted],
    pairs: Sequence[tuple[int, int]],
    table: common.Table,
    results: Any,
) -> None:
    """How well each way to confirm tells planted pairs from the nearest unrelated ones."""
    unrelated = _unrelated(hashes, {number for pair in pairs for number in pair})
    known = _likenesses(source, reads, pairs)
    others = _likenesses(source, reads, unrelated)
    results["confirmations"] = {}
    for place, name in enumerate(("colour thumbnails", "embeddings")):
        limit = float(np.max(others[:, place]))
        kept = known[:, place] > limit
        by_way = {
            way: float(np.mean([k for k, one in zip(kept, planted, strict=True) if one.way == way]))
            for way in WAYS
        }
        results["confirmations"][name] = {"limit": limit, "recall": by_way}
        worst = sorted(by_way, key=by_way.__getitem__)[:3]
        told = ", ".join(f"{way} {by_way[way]:.1%}" for way in worst)
        table.add(
            f"confirmed by {name}",
            f"{float(np.mean(kept)):.1%} of planted pairs above all {len(unrelated)} unrelated",
            f"least: {told}",
        )


def _unrelated(hashes: Any, planted: set[int]) -> list[tuple[int, int]]:
    """The nearest pairs of photos that have no copy: each with each, a block at a time."""
    from pawprint.data.copies import SURE
    from pawprint.data.glance import MIRRORED, distances

    rows = np.array([n for n in range(len(hashes)) if n not in planted])
    bits = hashes[rows]
    nearest: list[tuple[int, int, int]] = []
    limit = 256
    for place in range(len(rows) - 1):
        rest = bits[place + 1 :]
        both = np.minimum(distances(bits[place], rest), distances(bits[place] ^ MIRRORED, rest))
        for at in np.flatnonzero((both > SURE) & (both < limit)).tolist():
            nearest.append((int(both[at]), int(rows[place]), int(rows[place + 1 + at])))
        if len(nearest) > 4 * _NEAREST:
            nearest = sorted(nearest)[:_NEAREST]
            limit = nearest[-1][0]
    return [(one, other) for _, one, other in sorted(nearest)[:_NEAREST]]


def _likenesses(source: Any, reads: Sequence[Any], pairs: Sequence[tuple[int, int]]) -> Any:
    """For each pair the correlation of thumbnails and the cosine of embeddings."""
    from pawprint.data.copies import likeness
    from pawprint.data.images import Preprocessing, mirrored, open_photo
    from pawprint.model import backbones
    from pawprint.model.prefix import compile_prefix

    backbone = backbones.build()
    prefix = compile_prefix(backbone, backbone.last, pooled=True, exact=True)
    squared = Preprocessing()

    def cosine(ours: Any, theirs: Any) -> float:
        one, other, turned = (
            np.asarray(row, np.float32).ravel() for row in prefix([ours, theirs, mirrored(theirs)])
        )
        norm = float(np.linalg.norm(one))
        return max(
            float(one @ two) / (norm * float(np.linalg.norm(two)) or 1.0) for two in (other, turned)
        )

    found = []
    for pair in pairs:
        one, other = (
            open_photo(source.read(reads[n].photo), "a photo", near=224).picture for n in pair
        )
        found.append((likeness(one, other), cosine(squared.fit(one), squared.fit(other))))
    return np.array(found)


if __name__ == "__main__":
    main()
