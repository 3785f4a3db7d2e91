"""The split: stratified, seeded, by content, and hardly moved by photos that are added."""

from __future__ import annotations

from collections import Counter

import pytest

from pawprint.data.split import TRAIN, VALIDATION, assign, assign_folds
from pawprint.errors import SourceError

LABELS = ["cat"] * 137 + ["dog"] * 64 + ["fox"] * 9
HASHES = [f"{n:064x}" for n in range(len(LABELS))]


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.77])
def test_each_class_is_held_out_in_the_same_part(fraction: float) -> None:
    sides = assign(LABELS, HASHES, fraction=fraction)
    held = Counter(label for label, side in zip(LABELS, sides, strict=True) if side == VALIDATION)
    for label, count in Counter(LABELS).items():
        assert abs(held[label] - max(1, count * fraction)) <= 0.5
    assert set(sides) == {TRAIN, VALIDATION}


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_every_class_is_on_both_sides_whatever_the_fraction(fraction: float) -> None:
    sides = assign(LABELS, HASHES, fraction=fraction)
    assert {*zip(LABELS, sides, strict=True)} == {
        (label, side) for label in ("cat", "dog", "fox") for side in (TRAIN, VALIDATION)
    }


def test_the_seed_decides_and_nothing_else() -> None:
    assert assign(LABELS, HASHES, seed=3) == assign(LABELS, HASHES, seed=3)
    drawn = {tuple(assign(LABELS, HASHES, seed=seed)) for seed in range(10)}
    assert len(drawn) == 10


def test_the_order_of_photos_does_not_matter() -> None:
    forward = dict(zip(HASHES, assign(LABELS, HASHES), strict=True))
    backward = dict(zip(HASHES[::-1], assign(LABELS[::-1], HASHES[::-1]), strict=True))
    assert forward == backward


def test_adding_photos_moves_few() -> None:
    before = dict(zip(HASHES, assign(LABELS, HASHES), strict=True))
    more = [f"{n:064x}" for n in range(10_000, 10_050)]
    labels = [*LABELS, *(["cat"] * 50)]
    after = dict(zip([*HASHES, *more], assign(labels, [*HASHES, *more]), strict=True))
    moved = [content for content in HASHES if before[content] != after[content]]
    # 10 of the 50 new ones should be held out, so no more than these few make room.
    assert len(moved) <= 10
    assert all(LABELS[HASHES.index(content)] == "cat" for content in moved)


def test_removing_one_photo_moves_one_at_most() -> None:
    before = dict(zip(HASHES, assign(LABELS, HASHES), strict=True))
    for gone in range(0, 200, 17):
        labels, hashes = LABELS[:gone] + LABELS[gone + 1 :], HASHES[:gone] + HASHES[gone + 1 :]
        after = dict(zip(hashes, assign(labels, hashes), strict=True))
        assert sum(before[content] != after[content] for content in hashes) <= 1


def test_same_bytes_stay_on_one_side_also_across_classes() -> None:
    labels = [*LABELS, *(["dog"] * 60), *(["cat"] * 60)]
    copies = [*HASHES, *HASHES[:60], *HASHES[:60]]  # cats again, as dogs and as cats
    for seed in range(5):
        sides = assign(labels, copies, seed=seed)
        of: dict[str, set[str]] = {}
        for content, side in zip(copies, sides, strict=True):
            of.setdefault(content, set()).add(side)
        assert all(len(found) == 1 for found in of.values())
        assert set(sides) == {TRAIN, VALIDATION}


def test_a_class_of_one_photo_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"class 'owl' has 1 different photo.*at least 2"):
        assign(["cat", "cat", "owl"], ["a", "b", "c"])


def test_a_class_of_copies_of_one_photo_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"class 'owl' has 1 different photo"):
        assign(["cat", "cat", "owl", "owl"], ["a", "b", "c", "c"])


def test_a_class_of_copies_of_another_class_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"class 'owl' has 0 different photo"):
        assign(["cat", "cat", "owl", "owl"], ["a", "b", "a", "b"])


# folds


@pytest.mark.parametrize("folds", [2, 3, 5, 9])
def test_each_class_is_spread_evenly_over_the_folds(folds: int) -> None:
    fold_of = assign_folds(LABELS, HASHES, folds=folds)
    assert set(fold_of) == set(range(folds))
    for label in ("cat", "dog", "fox"):
        held = Counter(f for one, f in zip(LABELS, fold_of, strict=True) if one == label)
        assert len(held) == folds
        assert max(held.values()) - min(held.values()) <= 1
    sizes = Counter(fold_of).values()
    assert max(sizes) - min(sizes) <= 1


def test_the_folds_follow_from_content_and_seed() -> None:
    forward = dict(zip(HASHES, assign_folds(LABELS, HASHES, folds=5), strict=True))
    backward = assign_folds(LABELS[::-1], HASHES[::-1], folds=5)
    assert dict(zip(HASHES[::-1], backward, strict=True)) == forward
    drawn = {tuple(assign_folds(LABELS, HASHES, folds=5, seed=seed)) for seed in range(10)}
    assert len(drawn) == 10


def test_copies_are_in_one_fold() -> None:
    hashes = [HASHES[n // 3 * 3] for n in range(len(HASHES))]  # three of each, some across classes
    fold_of = assign_folds(LABELS, hashes, folds=4)
    folds: dict[str, set[int]] = {}
    for content, fold in zip(hashes, fold_of, strict=True):
        folds.setdefault(content, set()).add(fold)
    assert {len(found) for found in folds.values()} == {1}
    assert set(fold_of) == {0, 1, 2} or set(fold_of) == {0, 1, 2, 3}


def test_a_class_of_few_photos_makes_fewer_folds_and_of_one_none() -> None:
    labels, hashes = ["cat"] * 9 + ["dog"] * 3, [str(n) for n in range(12)]
    assert set(assign_folds(labels, hashes, folds=5)) == {0, 1, 2}
    assert set(assign_folds(labels, [*hashes[:10], "x", "x"], folds=5)) == {0, 1}
    with pytest.raises(SourceError, match=r"class 'dog' has 1 different photo"):
        assign_folds(labels, [*hashes[:9], "x", "x", "x"], folds=5)
