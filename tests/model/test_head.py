"""The head: logistic regression, its strength chosen by the training photos."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pawprint.model import head
from pawprint.model.head import Head

Made = tuple[NDArray[np.float32], NDArray[np.int64]]


def clouds(counts: list[int], distance: float, seed: int = 0, width: int = 20) -> Made:
    """Classes as round clouds around centres a distance apart, in the order of `spread`."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((len(counts), width))
    centres *= distance / np.linalg.norm(centres, axis=1, keepdims=True)
    labels = np.repeat(np.arange(len(counts)), counts)
    features = centres[labels] + random.standard_normal((len(labels), width))
    order = head.spread(labels, seed)
    return features[order].astype(np.float32), labels[order].astype(np.int64)


def chosen(fitted: Head) -> float:
    (strength,) = (row["strength"] for row in fitted.choice if row["chosen"])
    return float(strength)


@pytest.mark.parametrize("counts", [[60, 60], [50, 50, 50], [700, 700]])
def test_classes_far_apart_are_told_apart(counts: list[int]) -> None:
    fitted = head.fit(*clouds(counts, 8.0))
    features, labels = clouds(counts, 8.0, seed=1)
    given = fitted.probabilities(features)
    assert given.shape == (len(labels), len(counts))
    assert np.allclose(given.sum(axis=1), 1)
    assert (given.argmax(axis=1) == labels).mean() > 0.98


@pytest.mark.parametrize("counts", [[60, 60], [50, 50, 50], [90, 20], [80, 20, 20], [600, 600]])
def test_probabilities_are_those_of_scikit_learn(counts: list[int]) -> None:
    features, labels = clouds(counts, 1.5)
    fitted = head.fit(features, labels)
    regression = LogisticRegression(
        C=chosen(fitted) / float(np.square(features, dtype=np.float64).mean()),
        class_weight="balanced" if max(counts) > 1.5 * min(counts) else None,
        max_iter=1000,
    ).fit(features, labels)
    asked, _ = clouds(counts, 1.5, seed=1)
    assert np.abs(fitted.probabilities(asked) - regression.predict_proba(asked)).max() < 1e-4


@pytest.mark.parametrize("counts", [[40, 40], [900, 900]])
def test_the_strength_with_the_least_loss_is_chosen(counts: list[int]) -> None:
    fitted = head.fit(*clouds(counts, 1.0))
    assert [row["strength"] for row in fitted.choice] == list(head.STRENGTHS)
    best = min(fitted.choice, key=lambda row: row["log_loss"])
    assert chosen(fitted) == best["strength"]
    assert all(0 <= row["accuracy"] <= 1 for row in fitted.choice)


def test_noise_is_regularised_more_than_what_can_be_told_apart() -> None:
    features, labels = clouds([100, 100], 5.0)
    noise = np.random.default_rng(1).permutation(labels)
    assert chosen(head.fit(features, noise)) < chosen(head.fit(features, labels))


def test_the_scale_of_features_does_not_matter() -> None:
    features, labels = clouds([60, 60], 2.0)
    small, large = head.fit(features, labels), head.fit(features * 100, labels)
    assert chosen(small) == chosen(large)


def test_the_same_seed_gives_the_same_head() -> None:
    features, labels = clouds([60, 60], 2.0)
    one, two = (head.fit(features, labels, seed=4) for _ in range(2))
    assert np.array_equal(one.kernel, two.kernel)
    assert one.choice == two.choice


def test_the_rarer_class_is_not_drowned() -> None:
    features, labels = clouds([400, 40], 1.5)
    given = head.fit(features, labels).probabilities(clouds([400, 40], 1.5, seed=1)[0])
    truth = clouds([400, 40], 1.5, seed=1)[1]
    found = [(given.argmax(axis=1) == truth)[truth == label].mean() for label in (0, 1)]
    assert abs(found[0] - found[1]) < 0.2


def test_a_class_of_one_photo_can_be_fitted() -> None:
    fitted = head.fit(*clouds([10, 1], 3.0))
    assert fitted.choice == ()
    assert np.isfinite(fitted.kernel).all()
    assert fitted.probabilities(clouds([10, 1], 3.0)[0]).shape == (11, 2)


def test_features_that_are_all_zero_are_fitted() -> None:
    fitted = head.fit(np.zeros((20, 4), np.float32), np.arange(20, dtype=np.int64) % 2)
    assert np.allclose(fitted.probabilities(np.zeros((1, 4), np.float32)), 0.5, atol=1e-3)


def test_huge_logits_give_probabilities_and_no_warnings() -> None:
    one = Head(np.full((1, 1), 1e4, np.float32), np.zeros(1, np.float32))
    given = one.probabilities(np.array([[1.0], [-1.0]], np.float32))
    assert given.tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("counts", [[50, 50], [90, 10], [30, 60, 210]])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_any_part_of_the_spread_order_is_stratified(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    order = head.spread(labels, seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    for part in (0.1, 0.5, 0.8):
        head_of_it = labels[order[: int(len(labels) * part)]]
        for label, count in enumerate(counts):
            assert abs((head_of_it == label).sum() - count * part) <= 1


def test_the_spread_order_is_drawn_by_the_seed() -> None:
    labels = np.repeat([0, 1], 30)
    orders = {tuple(head.spread(labels, seed).tolist()) for seed in range(5)}
    assert len(orders) == 5
    assert head.spread(labels, 3).tolist() == head.spread(labels, 3).tolist()


def test_where_a_regression_starts_hardly_shows() -> None:
    features, labels = clouds([40, 40, 40], 1.5)
    fold_of, start = np.arange(120) % 3, head.fit(features, labels)
    plain = head.out_of_fold(features, labels, fold_of)
    assert np.abs(plain - head.out_of_fold(features, labels, fold_of, start=start)).max() < 0.01
