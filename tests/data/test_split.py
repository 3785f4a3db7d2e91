"""The split: stratified, seeded, by content, and hardly moved by photos that are added."""

from __future__ import annotations

from collections import Counter

import pytest

from pawprint.data.split import TRAIN, VALIDATION, assign
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
