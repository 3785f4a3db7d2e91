"""Our figures against scikit-learn's, and against values known by hand."""

import json
import math

import numpy as np
import pytest

from pawprint.evaluation.metrics import (
    Figures,
    check_predictions,
    figures,
    roc_auc,
    roc_points,
    wilson_interval,
)

CLOSE = {"rel": 0, "abs": 1e-9}


def predictions(seed, k, count=200, *, ties=False, absent=()):
    """Random truth and probabilities that lean towards it; `absent` classes are never true."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([c for c in range(k) if c not in absent], size=count)
    logits = rng.normal(size=(count, k))
    logits[np.arange(count), truth] += 1.0
    if ties:
        logits = np.round(logits)
    exp = np.exp(logits)
    return truth, exp / exp.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_matches_known_values(successes, count, low, high):
    assert wilson_interval(successes, count) == pytest.approx((low, high), abs=5.1e-5)


def test_wilson_is_exact_at_the_ends_and_wider_with_more_confidence():
    for count in (1, 3, 7, 1000):
        assert wilson_interval(0, count)[0] == 0.0
        assert wilson_interval(count, count)[1] == 1.0
    narrow, wide = wilson_interval(8, 10, 0.8), wilson_interval(8, 10, 0.99)
    assert wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1]


@pytest.mark.parametrize(
    "arguments", [(1, 0), (-1, 3), (4, 3), (1, 3, 0.0), (1, 3, 1.0), (1, 3, math.nan)]
)
def test_wilson_refuses_what_is_out_of_range(arguments):
    with pytest.raises(ValueError, match="expected"):
        wilson_interval(*arguments)


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


def test_roc_of_one_class_is_unknown():
    for positive in (np.ones(3, dtype=bool), np.zeros(3, dtype=bool)):
        assert roc_auc(positive, np.arange(3.0)) is None
        assert roc_points(positive, np.arange(3.0)) is None


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
@pytest.mark.parametrize("function", [roc_auc, roc_points])
def test_roc_refuses_wrong_arrays(function, positive, score, message):
    with pytest.raises(ValueError, match=message):
        function(positive, score)


@pytest.mark.parametrize(
    ("k", "absent"), [(2, ()), (3, ()), (5, ()), (5, (1, 4)), (20, (0,)), (2, (0,)), (2, (1,))]
)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_figures_match_sklearn(k, absent, ties, dtype):
    metrics = pytest.importorskip("sklearn.metrics")
    truth, probabilities = predictions(k, k, ties=ties, absent=absent)
    probabilities = probabilities.astype(dtype)
    ours = figures(truth, probabilities, [f"c{i}" for i in range(k)])
    predicted = probabilities.argmax(axis=1)

    assert ours.count == 200
    assert ours.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted), **CLOSE)
    theirs = metrics.confusion_matrix(truth, predicted, labels=range(k))
    assert ours.confusion == tuple(map(tuple, theirs.tolist()))
    by_class = metrics.precision_recall_fscore_support(
        truth, predicted, labels=range(k), zero_division=np.nan
    )
    for one, (precision, recall, f1, count) in zip(
        ours.classes, zip(*by_class, strict=True), strict=True
    ):
        assert one.count == count
        for figure, expected in ((one.precision, precision), (one.recall, recall), (one.f1, f1)):
            if np.isnan(expected):
                assert figure is None
            else:
                assert figure == pytest.approx(expected, **CLOSE)
    # float64 on their side too: they would sum in float32, to 1e-7.
    smallest = np.finfo(dtype).eps
    wide = np.clip(probabilities.astype(np.float64), smallest, 1 - smallest)
    wide /= wide.sum(axis=1, keepdims=True)
    expected = metrics.log_loss(truth, wide, labels=range(k))
    assert ours.log_loss == pytest.approx(expected, abs=1e-9 if dtype is np.float64 else 1e-7)

    present = [c for c in range(k) if (truth == c).any()]
    if len(present) == 1:
        assert ours.roc_auc is None
    else:
        columns = [1] if k == 2 else present
        areas = [metrics.roc_auc_score(truth == c, probabilities[:, c]) for c in columns]
        assert ours.roc_auc == pytest.approx(np.mean(areas), **CLOSE)


def test_macro_auc_is_sklearns_one_against_the_rest():
    metrics = pytest.importorskip("sklearn.metrics")
    truth, probabilities = predictions(7, 5)
    expected = metrics.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro")
    assert figures(truth, probabilities, "abcde").roc_auc == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_loss_of_certain_mistakes_is_finite_and_sklearns(dtype):
    metrics = pytest.importorskip("sklearn.metrics")
    truth, certain = np.array([0, 1, 1]), np.array([[0, 1], [0, 1], [0, 1]], dtype=dtype)
    expected = metrics.log_loss(truth, certain, labels=[0, 1])
    tolerance = 1e-9 if dtype is np.float64 else 1e-5
    assert figures(truth, certain, "ab").log_loss == pytest.approx(expected, abs=tolerance)


def test_small_integers_do_not_overflow():
    k = 20
    truth = np.arange(k, dtype=np.uint8)
    assert figures(truth, np.eye(k), [str(i) for i in range(k)]).accuracy == 1.0


def test_undefined_figures_are_none():
    # Three classes: one present, one only predicted, one neither.
    truth, probabilities = np.array([0, 0]), np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    a, b, c = figures(truth, probabilities, "abc").classes
    assert (a.precision, a.recall) == (1.0, 0.5)
    assert (b.precision, b.recall, b.f1) == (0.0, None, 0.0)
    assert (c.count, c.precision, c.recall, c.f1) == (0, None, None, None)


@pytest.mark.parametrize(("k", "absent"), [(2, ()), (5, (2,)), (2, (1,))])
def test_figures_survive_json(k, absent):
    before = figures(*predictions(3, k, absent=absent), [f"кошка{i}" for i in range(k)])
    text = json.dumps(before.to_dict(), allow_nan=False)
    assert Figures.from_dict(json.loads(text)) == before


@pytest.mark.parametrize(
    "change",
    [{"accuracy_interval": [0.1]}, {"count": "many"}, {"classes": [{"label": "a"}]}, {"count": []}],
)
def test_from_dict_refuses_what_is_not_figures(change):
    fields = figures(*predictions(3, 2), "ab").to_dict() | change
    with pytest.raises(ValueError, match="not a dict of figures"):
        Figures.from_dict(fields)


EVEN = np.full((3, 2), 0.5)
TRUTH = np.array([0, 1, 0])


@pytest.mark.parametrize(
    ("truth", "probabilities", "classes", "message"),
    [
        (TRUTH, EVEN[:2], "ab", r"\(n, 2\), got \(3,\) and \(2, 2\)"),
        (TRUTH, EVEN, "abc", r"\(n, 3\), got \(3,\) and \(3, 2\)"),
        (TRUTH[:, None], EVEN, "ab", r"\(3, 1\) and \(3, 2\)"),
        (TRUTH, np.full(3, 0.5), "ab", r"\(3,\) and \(3,\)"),
        (TRUTH[:0], EVEN[:0], "ab", r"no photos: truth \(0,\), probabilities \(0, 2\)"),
        (TRUTH, np.ones((3, 1)), "a", "two classes or more"),
        (TRUTH + 1, EVEN, "ab", r"\(3,\) has a class outside 0 to 1"),
        (TRUTH - 1, EVEN, "ab", r"\(3,\) has a class outside 0 to 1"),
        (TRUTH * 1.0, EVEN, "ab", "whole numbers"),
        (TRUTH, EVEN * np.nan, "ab", r"\(3, 2\) have NaN"),
        (TRUTH, np.array([[1.5, -0.5]] * 3), "ab", "outside 0 to 1"),
        (TRUTH, EVEN / 2, "ab", r"\(3, 2\) have rows that do not sum"),
    ],
)
@pytest.mark.parametrize("function", [figures, check_predictions])
def test_wrong_predictions_are_refused(function, truth, probabilities, classes, message):
    with pytest.raises(ValueError, match=message):
        function(truth, probabilities, classes)
