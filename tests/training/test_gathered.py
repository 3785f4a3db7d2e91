"""Rows of features in parts: who trains, who judges, who is left out."""

from __future__ import annotations

import csv
import hashlib
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import pytest

from pawprint.data.split import TEST, TRAIN, VALIDATION, assign, draw
from pawprint.errors import SourceError
from pawprint.parts.features import Block, FeatureParts
from pawprint.parts.schema import features
from pawprint.testing import tiny_recipe
from pawprint.training.gathered import (
    SIDES,
    Gathered,
    PartSide,
    gather,
    path_of,
    paths_of,
    write_manifest,
)
from pawprint.training.recipe import DataPart, Recipe

Row = dict[str, Any]


class Made(FeatureParts):
    """Rows in memory, in blocks of seven."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._table = pyarrow.Table.from_pylist(list(rows), features({}))
        self.folder = SimpleNamespace(place="made")  # type: ignore[assignment]
        self.rows = len(rows)
        starts = range(0, len(rows), 7)
        self.blocks = [Block(0, n, start, len(rows[start:][:7])) for n, start in enumerate(starts)]

    def table(self, block: Block, columns: Sequence[str]) -> pyarrow.Table:
        return self._table.slice(block.start, block.rows).select(list(columns))


def photo(label: str | None, number: int, split: str | None = None, **values: Any) -> Row:
    """A photo; those of one number have the same bytes."""
    return {
        "path": f"{split or ''}/{label}/{number}.jpg",
        "label": label,
        "split": split,
        "sha256": hashlib.sha256(b"%d" % number).hexdigest(),
        "bytes": 10 + number,
        "width": 8,
        "height": 6,
        "error": None,
        **values,
    }


def pets(counts: Mapping[str, int], *, split: str | None = None, start: int = 0) -> list[Row]:
    """So many photos of each class, all different."""
    numbers = iter(range(start, start + sum(counts.values())))
    return [photo(label, next(numbers), split) for label, n in counts.items() for _ in range(n)]


def judged_by(**data: Any) -> Recipe:
    return tiny_recipe().model_copy(update={"data": DataPart(**data)})


def sides_of(gathered: Gathered, rows: Sequence[Row]) -> list[str | None]:
    """Each row's side, None where it is left out."""
    found: list[str | None] = [None] * len(rows)
    for name, side in gathered.sides.items():
        for row, label, content in zip(side.rows, side.labels, side.content, strict=True):
            assert found[row] is None
            assert rows[row]["label"] == gathered.classes[label]
            assert f"{content:016x}" == rows[row]["sha256"][:16]
            found[row] = name
    return found


def by_content(gathered: Gathered, rows: Sequence[Row]) -> dict[str, set[str | None]]:
    found = defaultdict(set)
    for row, side in zip(rows, sides_of(gathered, rows), strict=True):
        found[row["sha256"]].add(side)
    return found


@pytest.mark.parametrize("data", [{}, {"seed": 7}, {"validation": 0.35, "seed": 1}])
def test_large_classes_are_split_as_photos_are(data: dict[str, Any]) -> None:
    rows = pets({"dog": 300, "cat": 200, "bird": 250})
    # Copies, of the same class and of another.
    rows += [photo("cat", n) for n in range(480, 500)] + [photo("dog", n) for n in range(300, 320)]
    recipe = judged_by(**data)
    held = assign(
        [row["label"] for row in rows],
        [row["sha256"] for row in rows],
        fraction=recipe.data.validation,
        seed=recipe.data.seed,
    )
    found = gather(Made(rows), recipe)
    assert found.classes == ("bird", "cat", "dog")
    assert sides_of(found, rows) == [VALIDATION if one else TRAIN for one in held]
    assert found.counts(VALIDATION) == {
        label: sum(one for one, row in zip(held, rows, strict=True) if row["label"] == label)
        for label in found.classes
    }
    assert found.counts(TEST) == dict.fromkeys(found.classes, 0)
    assert found.left_out == 0


def test_another_seed_holds_out_others() -> None:
    rows = pets({"cat": 100, "dog": 100})
    one, two = (sides_of(gather(Made(rows), judged_by(seed=n)), rows) for n in (0, 1))
    assert one != two


@pytest.mark.parametrize("part", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_of_small_classes_some_train_and_some_judge(count: int, part: float) -> None:
    rows = pets({"cat": count, "dog": count, "bird": 40})
    for seed in range(60):
        found = gather(Made(rows), judged_by(seed=seed, validation=part))
        for side in (TRAIN, VALIDATION):
            assert min(found.counts(side).values()) >= 1, (seed, side)


def test_copies_are_on_one_side_whatever_their_labels() -> None:
    rows = pets({"cat": 12, "dog": 12})
    rows += [photo("dog", 0), photo("dog", 1), photo("cat", 2), photo("cat", 12)]
    for seed in range(60):
        found = gather(Made(rows), judged_by(seed=seed, validation=0.3))
        assert all(len(sides) == 1 for sides in by_content(found, rows).values()), seed


def test_given_sides_are_kept() -> None:
    rows = [
        *pets({"cat": 5, "dog": 5}, split=VALIDATION),
        *pets({"cat": 9, "dog": 9}, split=TRAIN, start=100),
        *pets({"cat": 3}, split=TEST, start=200),
    ]
    found = gather(Made(rows), judged_by())
    assert sides_of(found, rows) == [row["split"] for row in rows]
    assert found.counts(TEST) == {"cat": 3, "dog": 0}


def test_photos_that_judge_are_drawn_from_those_that_train() -> None:
    rows = [
        *pets({"cat": 60, "dog": 60}, split=TRAIN),
        *pets({"cat": 20, "dog": 20}, split=TEST, start=500),
    ]
    found = sides_of(gather(Made(rows), judged_by()), rows)
    held = assign([r["label"] for r in rows[:120]], [r["sha256"] for r in rows[:120]])
    assert found == [VALIDATION if one else TRAIN for one in held] + [TEST] * 40


def leaking() -> tuple[list[Row], list[int]]:
    """Given sides, and the numbers of rows that are copies of one that judges."""
    rows = [
        *pets({"cat": 9, "dog": 9}, split=TRAIN),
        *pets({"cat": 5, "dog": 5}, split=VALIDATION, start=100),
        *pets({"cat": 3, "dog": 3}, split=TEST, start=200),
    ]
    copies = [photo("cat", 100, TRAIN), photo("dog", 200, TRAIN), photo("cat", 205, VALIDATION)]
    return rows + copies, [len(rows), len(rows) + 1, len(rows) + 2]


def test_copies_of_photos_that_judge_are_left_out(tmp_path: Path) -> None:
    rows, copies = leaking()
    parts = Made(rows)
    found = gather(parts, judged_by())
    assert [n for n, side in enumerate(sides_of(found, rows)) if side is None] == copies
    assert found.left_out == 3
    write_manifest(parts, found, tmp_path)
    with (tmp_path / "left_out.csv").open(newline="") as file:
        told = list(csv.reader(file))
    assert told[1:] == [[rows[n]["path"], "same bytes as a photo that judges"] for n in copies]


def test_they_stay_where_the_recipe_keeps_them() -> None:
    rows, _ = leaking()
    found = gather(Made(rows), judged_by(leaks="keep"))
    assert sides_of(found, rows) == [row["split"] for row in rows]


def test_what_has_an_error_or_no_label_is_left_out_and_told(tmp_path: Path) -> None:
    rows = pets({"cat": 20, "dog": 20})
    rows[3] |= {"error": "it is broken", "sha256": None, "bytes": None, "width": None}
    rows[17] |= {"error": 'a "quoted", reason'}
    rows[30] |= {"label": None}
    parts = Made(rows)
    found = gather(parts, judged_by())
    sides = sides_of(found, rows)
    assert [n for n, side in enumerate(sides) if side is None] == [3, 17, 30]
    assert (found.left_out, found.errors) == (3, 2)
    write_manifest(parts, found, tmp_path)
    with (tmp_path / "left_out.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "reason"],
            [rows[3]["path"], "it is broken"],
            [rows[17]["path"], 'a "quoted", reason'],
            [rows[30]["path"], "it has no label"],
        ]
    with (tmp_path / "manifest.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    fields = ("path", "label", "width", "height", "bytes", "sha256")
    assert listed == [
        {name: str(row[name]) for name in fields} | {"split": side}
        for row, side in zip(rows, sides, strict=True)
        if side is not None
    ]
    counted = Counter((row["split"], row["label"]) for row in listed)
    for side in SIDES:
        assert found.counts(side) == {label: counted[side, label] for label in found.classes}


@pytest.mark.parametrize(("rows", "told"), [
    (pets({"cat": 20}), r"has photos of 1 class\(es\) \(cat\); at least 2 are needed"),
    ([photo(None, n) for n in range(9)], r"0 class\(es\) \(none\); .*a list with labels"),
    ([photo("cat", n, error="broken") for n in range(9)], r"1 class\(es\) \(cat\)"),
    (pets({"cat": 20, "dog": 20}) + [photo("eel", n, error="broken") for n in range(1200)],
     r"no train photo of eel has features \(1,200 could not be read: see the column error\); "
     "every class needs"),
    (pets({f"c{n:02d}": 1 for n in range(12)}, split=VALIDATION) + pets({"dog": 1}, split=TRAIN,
     start=90), "no train photo of c00, c01, c02, c03, c04, c05, c06, c07 and 4 more has features"),
    ([*pets({"cat": 20, "dog": 20}), photo("cat", 90, error="broken"), photo("eel", 91)],
     "no (train|validation) photo of eel has features; every class"),
    (pets({"cat": 20, "dog": 1}), "no (train|validation) photo of dog has features"),
    (pets({"cat": 9}) + [photo("dog", 50)] * 4, "no (train|validation) photo of dog has"),
    (pets({"cat": 9, "dog": 9, "eel": 9}, split=TRAIN)
     + pets({"cat": 3}, split=VALIDATION, start=90), "no validation photo of dog, eel has"),
    (pets({"cat": 9}, split=TRAIN) + pets({"cat": 3, "dog": 3}, split=VALIDATION, start=90),
     "no train photo of dog has features"),
    (pets({"cat": 9, "dog": 9}, split=VALIDATION), "no train photo of cat, dog has features"),
])  # fmt: skip
def test_what_cannot_be_trained_on_is_refused(rows: list[Row], told: str) -> None:
    with pytest.raises(SourceError, match=told):
        gather(Made(rows), judged_by())


def test_many_small_classes_are_split_as_each_of_them_alone() -> None:
    """Of two hundred classes, of which chance holds out none or all of most."""
    random = np.random.default_rng(0)
    drawn = np.concatenate([np.arange(400) % 200, random.integers(0, 200, 500)])
    labels = [f"c{number:03d}" for number in drawn]
    rows = [photo(label, number) for number, label in enumerate(labels)]
    for part in (0.02, 0.9):
        sides = sides_of(gather(Made(rows), judged_by(validation=part)), rows)
        for label in set(labels):
            own = [n for n, row in enumerate(rows) if row["label"] == label]
            own.sort(key=lambda n: draw(rows[n]["sha256"], "0:validation"))
            least = max(1, int(len(own) * part / 2))
            held = max(least, sum(draw(rows[n]["sha256"], "0:validation") < part for n in own))
            held = min(held, len(own) - 1)
            assert [sides[n] for n in own] == [VALIDATION] * held + [TRAIN] * (len(own) - held)


def test_little_is_held_of_each_photo() -> None:
    rows = [photo("cat" if n % 3 else "dog", n) for n in range(20_000)]
    parts = Made(rows)
    gather(Made(rows[:50]), judged_by())
    tracemalloc.start()
    try:
        found = gather(parts, judged_by())
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    arrays = [a for s in found.sides.values() for a in (s.rows, s.labels, s.content)]
    assert sum(array.nbytes for array in arrays) == 16 * 20_000
    assert kept < 18 * 20_000
    assert peak < 50 * 20_000


def test_the_fingerprint_is_of_contents_labels_and_sides() -> None:
    rows = pets({"cat": 30, "dog": 30})
    own = gather(Made(rows), judged_by()).fingerprint
    renamed = [row | {"path": f"other/{n}.jpg"} for n, row in enumerate(reversed(rows))]
    assert gather(Made(renamed), judged_by()).fingerprint == own
    relabelled = [rows[0] | {"label": "dog"}, *rows[1:]]
    other = [
        gather(Made(relabelled), judged_by()),
        gather(Made(rows), judged_by(seed=5)),
        gather(Made(rows[1:]), judged_by()),
        gather(Made([*rows[:-1], photo("dog", 999)]), judged_by()),
    ]
    assert len({own, *(found.fingerprint for found in other)}) == 5


def test_the_paths_of_rows_are_found_in_their_blocks() -> None:
    rows = pets({"cat": 15, "dog": 15})
    wanted = np.array([0, 6, 7, 8, 20, 29])  # of blocks of seven
    side = PartSide(wanted, wanted % 2, wanted.astype(np.uint64))
    assert list(paths_of(Made(rows), side)) == [rows[n]["path"] for n in wanted]
    assert list(paths_of(Made(rows), side.part(wanted < 0))) == []
    assert [path_of(Made(rows), int(n)) for n in wanted] == [rows[n]["path"] for n in wanted]


def test_a_side_is_one_as_stages_want_it() -> None:
    rows = pets({"cat": 15, "dog": 15})
    side = gather(Made(rows), judged_by()).sides[TRAIN]
    assert len(side.reads) == len(side.rows) == len(side.labels)
    hashes = [rows[row]["sha256"] for row in side.rows]
    assert [hashes[n] for n in side.by_content] == sorted(hashes)
    picked = side.labels == 1
    some = side.part(picked)
    assert [rows[row]["label"] for row in some.rows] == ["dog"] * int(picked.sum())
    assert len(some.reads) == len(some.content) == picked.sum()
