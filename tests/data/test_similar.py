"""Near pairs of hashes: those that are planted are found, and no others, however many there are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pawprint.data.glance import BITS, MIRRORED, distances
from pawprint.data.similar import Forest, near

TENTH = BITS // 10


def random_hashes(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, BITS // 8), np.uint8)


def changed(one: NDArray[np.uint8], bits: int, random: np.random.Generator) -> NDArray[np.uint8]:
    flipped = np.zeros(BITS, np.uint8)
    flipped[random.choice(BITS, bits, replace=False)] = 1
    result: NDArray[np.uint8] = one ^ np.packbits(flipped)
    return result


def planted(count: int = 5000) -> tuple[NDArray[np.uint8], list[list[int]]]:
    """Random hashes, and the pairs among them that differ in few bits, half of them mirrored."""
    random = np.random.default_rng(1)
    hashes, pairs = random_hashes(count), []
    numbers = random.permutation(count)[:200].reshape(-1, 2)
    for place, (one, other) in enumerate(numbers.tolist()):
        bits = place % (TENTH + 1)
        hashes[other] = changed(hashes[one], bits, random)
        if place % 2:
            hashes[other] ^= MIRRORED
        pairs.append([min(one, other), max(one, other), bits])
    return hashes, sorted(pairs)


def test_all_that_differ_in_a_tenth_of_the_bits_are_found_and_no_others() -> None:
    hashes, pairs = planted()
    found = near(hashes, sure=TENTH, unsure=72)
    assert sorted(found.sure.tolist()) == pairs
    assert found.unsure.shape == (0, 3)


def test_those_farther_apart_are_told_as_unsure_the_nearest_first() -> None:
    hashes, pairs = planted()
    found = near(hashes, sure=10, unsure=72)
    assert sorted(found.sure.tolist()) == [pair for pair in pairs if pair[2] <= 10]
    assert sorted(found.unsure.tolist()) == [pair for pair in pairs if pair[2] > 10]
    assert found.unsure[:, 2].tolist() == sorted(found.unsure[:, 2].tolist())


def test_what_is_linked_by_sure_pairs_is_not_told_as_unsure() -> None:
    random = np.random.default_rng(2)
    hashes = random_hashes(100)
    for number in range(1, 5):  # a chain whose ends are farther apart than its links
        hashes[number] = changed(hashes[number - 1], 12, random)
    found = near(hashes, sure=15, unsure=72)
    assert distances(hashes[0], hashes[4]) > 15
    assert found.unsure.tolist() == []
    forest = Forest(100)
    forest.join(found.sure)
    assert forest.groups().tolist() == [0] * 5 + list(range(5, 100))


def test_none_are_found_among_random_hashes() -> None:
    found = near(random_hashes(5000, seed=3), sure=24, unsure=72)
    assert (len(found.sure), len(found.unsure)) == (0, 0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_very_many_alike_are_all_linked(mirrored: bool) -> None:
    count = 20_000
    hashes = np.repeat(random_hashes(1), count, axis=0)
    hashes[:, 9] = np.arange(count) % 256
    if mirrored:
        hashes[::2] ^= MIRRORED
    found = near(hashes, sure=24, unsure=72)
    assert len(found.sure) == count - 1  # no more than it takes
    forest = Forest(count)
    forest.join(found.sure)
    assert not forest.groups().any()


def test_the_answer_is_the_same_every_time() -> None:
    hashes, _ = planted(2000)
    one, other = (near(hashes, sure=10, unsure=72) for _ in range(2))
    assert np.array_equal(one.sure, other.sure)
    assert np.array_equal(one.unsure, other.unsure)


@pytest.mark.parametrize("count", [0, 1])
def test_of_none_or_one_no_pair_is_made(count: int) -> None:
    found = near(random_hashes(count), sure=24, unsure=72)
    assert found.sure.shape == found.unsure.shape == (0, 3)


def test_two_alike_are_a_pair_whatever_they_are() -> None:
    for value in (0, 255, 0b10101010):
        hashes = np.full((2, BITS // 8), value, np.uint8)
        assert near(hashes, sure=24, unsure=72).sure.tolist() == [[0, 1, 0]]


def test_hashes_need_not_lie_side_by_side() -> None:
    hashes, pairs = planted()
    wide = np.zeros((len(hashes), BITS // 8 + 5), np.uint8)
    wide[:, 3 : 3 + BITS // 8] = hashes
    found = near(wide[:, 3 : 3 + BITS // 8], sure=TENTH, unsure=72)
    assert sorted(found.sure.tolist()) == pairs


# Forest


def pairs_of(*pairs: tuple[int, int]) -> NDArray[np.int64]:
    return np.array([(*pair, 0) for pair in pairs], np.int64).reshape(-1, 3)


def test_a_forest_links_through_others_and_says_which_pairs_did_it() -> None:
    forest = Forest(8)
    made = forest.join(pairs_of((6, 7), (2, 6), (2, 7), (3, 3), (1, 2)))
    assert made[:, :2].tolist() == [[6, 7], [2, 6], [1, 2]]
    assert forest.groups().tolist() == [0, 1, 1, 3, 4, 5, 1, 1]
    assert forest.join(pairs_of((0, 7), (7, 0)))[:, :2].tolist() == [[0, 7]]
    assert forest.groups().tolist() == [0, 0, 0, 3, 4, 5, 0, 0]


def test_apart_are_those_that_are_not_linked() -> None:
    forest = Forest(5)
    forest.join(pairs_of((0, 1), (1, 2)))
    first, second = np.array([0, 0, 3, 4]), np.array([2, 3, 4, 4])
    assert forest.apart(first, second).tolist() == [False, True, True, False]


@pytest.mark.parametrize("order", ["up", "down", "mixed"])
def test_a_long_chain_is_one_group_in_whatever_order_it_comes(order: str) -> None:
    links = [(number, number + 1) for number in range(3000)]
    if order == "down":
        links.reverse()
    elif order == "mixed":
        np.random.default_rng(0).shuffle(links)
    forest = Forest(3001)
    assert len(forest.join(pairs_of(*links))) == 3000
    assert not forest.groups().any()


def test_a_forest_of_nothing() -> None:
    forest = Forest(0)
    assert forest.join(pairs_of()).shape == (0, 3)
    assert forest.groups().tolist() == []
