"""The split: stratified, seeded, by key, and not moved by photos that are added."""

from __future__ import annotations

from collections import Counter

import pytest

from pawprint.data.split import assign, assign_folds
from pawprint.errors import SourceError

LABELS = ["cat"] * 1370 + ["dog"] * 640 + ["fox"] * 9
HASHES = [f"{n:064x}" for n in range(len(LABELS))]


def held(labels: list[str], keys: list[str], **options: float) -> Counter[str]:
    """How many of each class are held out."""
    drawn = assign(labels, keys, **options)  # type: ignore[arg-type]
    return Counter(label for label, out in zip(labels, drawn, strict=True) if out)


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.77])
def test_each_class_is_held_out_in_the_same_part_as_well_as_chance_allows(fraction: float) -> None:
    found = held(LABELS, HASHES, fraction=fraction)
    for label, count in Counter(LABELS).items():
        chance = (count * fraction * (1 - fraction)) ** 0.5
        assert abs(found[label] - count * fraction) <= max(1, 4 * chance)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [2, 3, 5, 12, 40])
def test_in_a_small_class_chance_is_held_within_half_and_double(count: int, seed: int) -> None:
    labels = ["cat"] * count + ["dog"] * 100
    found = held(labels, HASHES[: len(labels)], fraction=0.3, seed=seed)["cat"]
    assert max(1, count * 0.15 - 1e-9) <= found <= max(1, count * 0.6)
    assert found < count


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_every_class_is_on_both_sides_whatever_the_fraction(fraction: float) -> None:
    drawn = assign(LABELS, HASHES, fraction=fraction)
    assert {*zip(LABELS, drawn, strict=True)} == {
        (label, out) for label in ("cat", "dog", "fox") for out in (False, True)
    }


def test_the_seed_and_the_purpose_decide_and_nothing_else() -> None:
    assert assign(LABELS, HASHES, seed=3) == assign(LABELS, HASHES, seed=3)
    drawn = {tuple(assign(LABELS, HASHES, seed=seed)) for seed in range(10)}
    drawn.add(tuple(assign(LABELS, HASHES, purpose="test")))
    assert len(drawn) == 11


def test_the_order_of_photos_does_not_matter() -> None:
    forward = dict(zip(HASHES, assign(LABELS, HASHES), strict=True))
    backward = dict(zip(HASHES[::-1], assign(LABELS[::-1], HASHES[::-1]), strict=True))
    assert forward == backward


@pytest.mark.parametrize("seed", range(10))
def test_adding_photos_moves_none_of_the_old_ones(seed: int) -> None:
    labels, hashes = LABELS[:-9], HASHES[:-9]  # without the class of nine
    before = dict(zip(hashes, assign(labels, hashes, seed=seed), strict=True))
    for count in (1, 50, 5000):
        more = [f"{n:064x}" for n in range(10_000, 10_000 + count)]
        after = assign([*labels, *(["cat"] * count)], [*hashes, *more], seed=seed)
        assert dict(zip(hashes, after, strict=False)) == before
        kept = assign(labels[count:], hashes[count:], seed=seed) if count < 100 else []
        assert kept == [before[key] for key in hashes[count:]][: len(kept)]


def test_what_has_one_key_stays_on_one_side_also_across_classes() -> None:
    labels = [*LABELS, *(["dog"] * 60), *(["cat"] * 60)]
    copies = [*HASHES, *HASHES[:60], *HASHES[:60]]  # cats again, as dogs and as cats
    for seed in range(5):
        sides: dict[str, set[bool]] = {}
        for key, out in zip(copies, assign(labels, copies, seed=seed), strict=True):
            sides.setdefault(key, set()).add(out)
        assert all(len(found) == 1 for found in sides.values())
        assert {True, False} == {out for found in sides.values() for out in found}


def test_a_group_too_large_to_be_held_out_trains() -> None:
    labels = ["cat"] * 100 + ["dog"] * 50
    for seed in range(20):
        keys = ["the same"] * 60 + HASHES[:40] + HASHES[100:150]
        drawn = assign(labels, keys, seed=seed)
        assert sum(drawn[:60]) == 0
        assert 10 <= sum(drawn[:100]) <= 40


def test_a_class_of_one_photo_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"class 'owl' has 1 different photo.*at least 2"):
        assign(["cat", "cat", "owl"], ["a", "b", "c"])


def test_a_class_of_copies_of_one_photo_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"class 'owl' has 1 different photo"):
        assign(["cat", "cat", "owl", "owl"], ["a", "b", "c", "c"])


@pytest.mark.parametrize("seed", range(20))
def test_classes_that_share_all_their_groups_are_split_by_groups(seed: int) -> None:
    keys = [f"person {number}" for number in range(10) for _ in range(4)]
    labels = ["cat", "cat", "cat", "dog"] * 10
    drawn = assign(labels, keys, seed=seed)
    assert {*zip(labels, drawn, strict=True)} == {(c, o) for c in ("cat", "dog") for o in (0, 1)}
    assert len({*zip(keys, drawn, strict=True)}) == 10
    assert 4 <= sum(drawn) <= 16
    fold_of = assign_folds(labels, keys, folds=5, seed=seed)
    assert len({*zip(keys, fold_of, strict=True)}) == 10
    assert Counter(fold_of) == dict.fromkeys(range(5), 8)


def test_shared_groups_leave_every_class_on_both_sides() -> None:
    labels, keys = ["cat", "cat", "owl", "owl"], ["a", "b", "a", "b"]
    drawn = assign(labels, keys)
    assert {*zip(labels, drawn, strict=True)} == {(c, o) for c in ("cat", "owl") for o in (0, 1)}
    fold_of = assign_folds(labels, keys, folds=5)
    assert fold_of in ([0, 1, 0, 1], [1, 0, 1, 0])


@pytest.mark.parametrize("seed", range(20))
def test_where_only_a_small_group_can_be_held_out_it_is(seed: int) -> None:
    labels, keys = ["a"] * 101 + ["b"] * 50, ["large"] * 100 + ["small"] + HASHES[:50]
    drawn = assign(labels, keys, seed=seed)
    assert sum(drawn[:101]) == 1


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
