"""What is fitted on some photos is tried on others only."""

import numpy as np
import pytest

from pawprint.evaluation.cross_fitting import cross_fitted, stratified_folds


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_have_their_share_of_each_class(folds):
    truth = np.random.default_rng(0).choice([0, 1, 4], p=[0.7, 0.25, 0.05], size=303)
    fold_of = stratified_folds(truth, folds)
    assert set(np.unique(fold_of)) == set(range(folds))
    for label in (0, 1, 4):
        counts = np.bincount(fold_of[truth == label], minlength=folds)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(fold_of)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("count", [2, 3, 7, 100])
def test_no_photo_is_among_those_fitted_on(count):
    truth = np.arange(count) % 2
    numbers = np.arange(count)[:, None] * np.ones((1, 2))

    def fit(labels, given):
        assert (truth[given[:, 0].astype(int)] == labels).all()
        return set(given[:, 0])

    def apply(given, fitted):
        assert not fitted & set(given[:, 0])
        assert len(fitted) + len(given) == count
        return given

    assert (cross_fitted(truth, numbers, fit, apply) == numbers).all()
    assert cross_fitted(truth, numbers, fit, lambda p, _: p[:, 0] > 3).dtype == bool


def test_one_photo_is_fitted_on_none():
    one = cross_fitted(
        np.array([1]), np.array([[0.2, 0.8]]), lambda t, _: t.size, lambda p, n: p + n
    )
    assert one.tolist() == [[0.2, 0.8]]
