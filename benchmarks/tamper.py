"""A bundle that was changed: a byte, an end, a file; all of it noticed, and by name.

Every change is done to a copy of a bundle and undone again. Single bytes are changed at places that
are spread over all its files, as many in each; of its card, every byte as well.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
from common import shared

ARCHIVE = "data/cats_vs_dogs_16k.zip"
PHOTOS = 200
# What is done, as words and as a function, and to which files.
Changes = Iterator[tuple[str, Callable[[], None], tuple[str, ...]]]
ENDS = 25  # cut and extended, for each file


@dataclass
class Tally:
    """How changes were answered.

    Args:
        noticed: refused by a BundleError,
        named: which also names a file that was changed.
        passed: what was not noticed.
    """

    noticed: int = 0
    named: int = 0
    passed: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """How many changes there were."""
        return self.noticed + len(self.passed)


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--bundle", type=Path, help="by default one trained on a few photos")
    parser.add_argument("--changes", type=int, default=1000, help="of a byte (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the places (default 0)")
    chosen = parser.parse_args()
    table = common.Table()
    with common.workplace() as place:
        bundle = chosen.bundle or _trained(place)
        copy = Path(shutil.copytree(bundle, place / "copy"))
        results = _tamper(copy, chosen.changes, chosen.seed, table)
    common.finish("tamper", table, results)


def _trained(place: Path) -> Path:
    import pawprint

    archive = shared(ARCHIVE)
    photos = common.write_zip(archive, common.members(archive, PHOTOS), place / "photos.zip")
    return pawprint.train(photos, recipe="quick", out=place / "run").model


def _tamper(folder: Path, changes: int, seed: int, table: common.Table) -> dict[str, Any]:
    intact = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    size = sum(map(len, intact.values()))
    _expect_intact(folder)
    draw = random.Random(seed)
    kinds: dict[str, Changes] = {
        f"changes of one byte, over {len(intact)} files of {size / 1e6:.1f} MB": _bytes(
            folder, _spread(intact, changes, draw), draw
        ),
        "the same of every byte of pawprint.json": _bytes(
            folder, [("pawprint.json", at) for at in range(len(intact["pawprint.json"]))], draw
        ),
        "files cut short": _cut(folder, intact, draw),
        "files with something after their end": _extended(folder, intact, draw),
        "files missing": _missing(folder, intact),
        "pairs of files exchanged": _exchanged(folder, intact),
    }
    results: dict[str, Any] = {"bytes": {name: len(data) for name, data in intact.items()}}
    for what, ways in kinds.items():
        common.say(what)
        tally = Tally()
        for told, change, names in ways:
            change()
            _count(folder, told, names, tally)
            for name in names:
                (folder / name).write_bytes(intact[name])
        _expect_intact(folder)
        found = f"{tally.noticed:,} of {tally.tried:,} noticed, {tally.named:,} by name"
        table.add(what, found, "all", tally.named == tally.tried)
        results[what] = {"tried": tally.tried, "noticed": tally.noticed, "named": tally.named}
        if tally.passed:
            results[what]["passed"] = tally.passed[:20]
    (folder / "notes.txt").write_text("laid beside")
    _expect_intact(folder)
    table.add("a further file in the folder", "opens: it is no part of the bundle", "opens", True)
    return results


def _expect_intact(folder: Path) -> None:
    from pawprint import bundle

    bundle.read(folder)


def _count(folder: Path, told: str, names: tuple[str, ...], tally: Tally) -> None:
    from pawprint import bundle
    from pawprint.errors import BundleError

    try:
        bundle.read(folder)
    except BundleError as error:
        tally.noticed += 1
        tally.named += any(name in str(error) for name in names)
    except Exception as error:
        tally.passed.append(f"{told}: {type(error).__name__}")
    else:
        tally.passed.append(told)


def _spread(intact: dict[str, bytes], count: int, draw: random.Random) -> list[tuple[str, int]]:
    """Places over all files, as many in each: one in each of equal stretches."""
    places = []
    for number, (name, data) in enumerate(intact.items()):
        each = count // len(intact) + (number < count % len(intact))
        ends = [len(data) * step // each for step in range(each + 1)]
        places += [(name, draw.randrange(*ends[step : step + 2])) for step in range(each)]
    return places


def _bytes(folder: Path, places: list[tuple[str, int]], draw: random.Random) -> Changes:
    for name, at in places:
        flip = draw.randrange(1, 256)

        def change(path: Path = folder / name, at: int = at, flip: int = flip) -> None:
            with path.open("r+b") as file:
                file.seek(at)
                old = file.read(1)[0]
                file.seek(at)
                file.write(bytes([old ^ flip]))

        yield f"{name}: byte {at} ^ {flip}", change, (name,)


def _cut(folder: Path, intact: dict[str, bytes], draw: random.Random) -> Changes:
    for name, data in intact.items():
        for length in [0, len(data) - 1, *(draw.randrange(len(data)) for _ in range(ENDS - 2))]:
            part = data[:length]
            yield f"{name}: {length} bytes", _writer(folder / name, part), (name,)


def _extended(folder: Path, intact: dict[str, bytes], draw: random.Random) -> Changes:
    for name, data in intact.items():
        for tail in [
            b"\n",
            b"\0",
            *(draw.randbytes(draw.randint(1, 999)) for _ in range(ENDS - 2)),
        ]:
            yield f"{name}: {len(tail)} more", _writer(folder / name, data + tail), (name,)


def _missing(folder: Path, intact: dict[str, bytes]) -> Changes:
    for name in intact:
        yield f"{name}: missing", (folder / name).unlink, (name,)


def _exchanged(folder: Path, intact: dict[str, bytes]) -> Changes:
    for one, other in itertools.combinations(intact, 2):

        def change(one: str = one, other: str = other) -> None:
            (folder / one).write_bytes(intact[other])
            (folder / other).write_bytes(intact[one])

        yield f"{one} and {other}", change, (one, other)


def _writer(path: Path, data: bytes) -> Callable[[], None]:
    def change() -> None:
        path.write_bytes(data)

    return change


if __name__ == "__main__":
    main()
