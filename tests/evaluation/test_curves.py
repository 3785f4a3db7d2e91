"""ROC and precision-recall curves against scikit-learn's."""

import numpy as np
import pytest

from pawprint.evaluation.curves import (
    area_under_precision,
    area_under_roc,
    average_precision,
    counts_above,
    precision_recall_points,
    rank,
    roc_auc,
    roc_points,
)

CLOSE = {"rel": 0, "abs": 1e-9}
EACH = [roc_auc, roc_points, average_precision, precision_recall_points]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("decimals", [1, 12])
def test_roc_matches_sklearn(seed, decimals):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    positive = rng.random(50) < 0.3
    positive[:2] = True, False
    score = np.round(rng.random(50) + 0.2 * positive, decimals)
    assert roc_auc(positive, score) == pytest.approx(
        metrics.roc_auc_score(positive, score), **CLOSE
    )
    false, true = roc_points(positive, score)
    # Both drop points on straight stretches, not by the same rule: compare the curve itself.
    theirs_false, theirs_true, _ = metrics.roc_curve(positive, score, drop_intermediate=False)
    ours = set(zip(false.round(9), true.round(9), strict=True))
    assert ours <= set(zip(theirs_false.round(9), theirs_true.round(9), strict=True))
    assert np.trapezoid(true, false) == pytest.approx(np.trapezoid(theirs_true, theirs_false))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("decimals", [1, 12])
def test_precision_and_recall_match_sklearn(seed, decimals):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    positive = rng.random(50) < 0.3
    positive[:2] = True, False
    score = np.round(rng.random(50) + 0.2 * positive, decimals)
    area = average_precision(positive, score)
    assert area == pytest.approx(metrics.average_precision_score(positive, score), **CLOSE)
    recall, precision = precision_recall_points(positive, score)
    theirs_precision, theirs_recall, _ = metrics.precision_recall_curve(positive, score)
    ours = set(zip(recall.round(9), precision.round(9), strict=True))
    theirs = list(zip(theirs_recall.round(9), theirs_precision.round(9), strict=True))
    assert ours <= set(theirs)
    # Only what lies on a straight fall of precision is left out.
    assert set(recall.round(9)) == set(theirs_recall.round(9))
    assert (recall[0], precision[0], recall[-1]) == (0.0, 1.0, 1.0)
    assert precision[-1] == positive.mean()
    # The area under the steps.
    assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(area, **CLOSE)


@pytest.mark.parametrize("function", EACH)
def test_what_is_of_one_class_only_is_unknown(function):
    for positive in (np.ones(3, dtype=bool), np.zeros(3, dtype=bool)):
        assert function(positive, np.arange(3.0)) is None


@pytest.mark.parametrize("seed", range(10))
def test_photos_that_count_twice_are_two_photos(seed):
    rng = np.random.default_rng(seed)
    positive, score = rng.random(30) < 0.4, rng.integers(6, size=30) / 6
    positive[:2] = True, False
    weights = rng.integers(4, size=(3, 30))
    weights[:, :2] += 1
    true, false = counts_above(rank(positive, score), weights)
    for row, one in enumerate(weights):
        again = np.repeat(positive, one), np.repeat(score, one)
        assert area_under_roc(true, false)[row] == pytest.approx(roc_auc(*again), **CLOSE)
        precision = area_under_precision(true, false)[row]
        assert precision == pytest.approx(average_precision(*again), **CLOSE)


def test_infinite_scores_tie_like_any_other():
    positive = np.array([True, False, True, False])
    score = np.array([np.inf, np.inf, 0.0, -np.inf])
    false, true = roc_points(positive, score)
    assert (false.tolist(), true.tolist()) == ([0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    assert roc_auc(positive, score) == 0.625


@pytest.mark.parametrize(
    ("positive", "score", "message"),
    [
        (np.ones(3, dtype=bool), np.ones(2), r"\(3,\) and \(2,\)"),
        (np.ones((2, 2), dtype=bool), np.ones((2, 2)), r"\(2, 2\)"),
        (np.ones(0, dtype=bool), np.ones(0), r"\(0,\)"),
        (np.array([0, 1]), np.ones(2), "as bool"),
        (np.array([True, False]), np.array([0.1, np.nan]), r"\(2,\) has NaN"),
    ],
)
@pytest.mark.parametrize("function", EACH)
def test_wrong_arrays_are_refused(function, positive, score, message):
    with pytest.raises(ValueError, match=message):
        function(positive, score)
