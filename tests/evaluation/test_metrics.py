"""Our figures against scikit-learn's, and against values known by hand."""

import json

import numpy as np
import pytest

from pawprint.evaluation.metrics import Figures, figures

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
    ("k", "absent"), [(2, ()), (3, ()), (5, ()), (5, (1, 4)), (20, (0,)), (2, (0,)), (2, (1,))]
)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_figures_match_sklearn(k, absent, ties, dtype):
    metrics = pytest.importorskip("sklearn.metrics")
    truth, probabilities = predictions(k, k, ties=ties, absent=absent)
    probabilities = probabilities.astype(dtype)
    ours = figures(truth, probabilities, [f"c{i}" for i in range(k)])
    # Of two equally probable classes the classifier answers the second.
    predicted = probabilities[:, 1] >= 0.5 if k == 2 else probabilities.argmax(axis=1)

    assert ours.count == 200
    assert ours.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted), **CLOSE)
    theirs = metrics.confusion_matrix(truth, predicted, labels=range(k))
    assert ours.confusion == tuple(map(tuple, theirs.tolist()))
    given = [int((truth == c).sum()) for c in range(k)]
    recalls = [theirs[c, c] / given[c] for c in range(k) if given[c]]
    assert ours.balanced_accuracy == pytest.approx(np.mean(recalls), **CLOSE)
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
        assert ours.roc_auc is ours.average_precision is None
        assert ours.roc_auc_interval is ours.average_precision_interval is None
    else:
        columns = [1] if k == 2 else present
        for found, score in (
            (ours.roc_auc, metrics.roc_auc_score),
            (ours.average_precision, metrics.average_precision_score),
        ):
            areas = [score(truth == c, probabilities[:, c]) for c in columns]
            assert found == pytest.approx(np.mean(areas), **CLOSE)


@pytest.mark.parametrize(("k", "absent"), [(2, ()), (5, ()), (5, (0, 3)), (2, (1,))])
def test_balanced_accuracy_is_sklearns(k, absent):
    metrics = pytest.importorskip("sklearn.metrics")
    truth, probabilities = predictions(11, k, absent=absent)
    # Answered among the classes present: of others sklearn warns.
    predicted = np.random.default_rng(0).choice(np.unique(truth), size=truth.size)
    ours = figures(truth, probabilities, "abcde"[:k], predicted=predicted)
    if len(np.unique(truth)) > 1:
        expected = metrics.balanced_accuracy_score(truth, predicted)
        assert ours.balanced_accuracy == pytest.approx(expected, **CLOSE)
    assert ours.accuracy == (truth == predicted).mean()


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
    assert (b.recall_interval, b.f1_interval) == (None, None)
    assert b.precision_interval[0] == 0.0 < b.precision_interval[1]
    assert (c.count, c.precision, c.recall, c.f1) == (0, None, None, None)
    assert c.precision_interval is None


def test_answers_given_count_instead_of_the_most_probable_class():
    truth, probabilities = predictions(5, 2)
    plain = figures(truth, probabilities, "ab")
    told = figures(truth, probabilities, "ab", predicted=truth)
    assert plain.accuracy < told.accuracy == told.balanced_accuracy == 1.0
    assert [one.f1 for one in told.classes] == [1.0, 1.0]
    assert (told.roc_auc, told.log_loss) == (plain.roc_auc, plain.log_loss)


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (np.array([0, 1]), r"\(2,\) and \(3, 2\)"),
        (np.array([0, 1, 2]), "outside 0 to 1"),
        (np.array([0.0, 1.0, 1.0]), "whole numbers"),
    ],
)
def test_answers_that_are_none_are_refused(predicted, message):
    with pytest.raises(ValueError, match=message):
        figures(np.array([0, 1, 0]), np.full((3, 2), 0.5), "ab", predicted=predicted)


@pytest.mark.parametrize("k", [2, 3, 12])
@pytest.mark.parametrize("count", [12, 500])
@pytest.mark.parametrize("ties", [False, True])
def test_intervals_hold_what_they_are_of_and_narrow_with_less_confidence(k, count, ties):
    given = predictions(k, k, count=count, ties=ties)
    wide, narrow = (figures(*given, [f"c{i}" for i in range(k)], confidence=c) for c in (0.99, 0.5))
    for ours in (wide, narrow):
        pairs = [
            (ours.accuracy, ours.accuracy_interval),
            (ours.balanced_accuracy, ours.balanced_accuracy_interval),
            (ours.roc_auc, ours.roc_auc_interval),
            (ours.average_precision, ours.average_precision_interval),
        ]
        for one in ours.classes:
            pairs += [
                (one.precision, one.precision_interval),
                (one.recall, one.recall_interval),
                (one.f1, one.f1_interval if one.count else None),
            ]
        for value, interval in pairs:
            if interval is not None:
                assert 0 <= interval[0] <= value <= interval[1] <= 1
    for name in ("accuracy", "balanced_accuracy", "roc_auc", "average_precision"):
        (low, high), (lower, higher) = (getattr(f, f"{name}_interval") for f in (narrow, wide))
        assert higher - lower > high - low


def test_the_same_predictions_have_the_same_intervals():
    given = predictions(1, 3)
    assert figures(*given, "abc") == figures(*given, "abc")


@pytest.mark.parametrize(("k", "absent"), [(2, ()), (5, (2,)), (2, (1,))])
def test_figures_survive_json(k, absent):
    before = figures(*predictions(3, k, absent=absent), [f"кошка{i}" for i in range(k)])
    text = json.dumps(before.to_dict(), allow_nan=False)
    assert Figures.from_dict(json.loads(text)) == before


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy_interval": [0.1]},
        {"roc_auc_interval": 0.5},
        {"count": "many"},
        {"classes": [{"label": "a"}]},
        {"count": []},
    ],
)
def test_from_dict_refuses_what_is_not_figures(change):
    fields = figures(*predictions(3, 2), "ab").to_dict() | change
    with pytest.raises(ValueError, match="not a dict of Figures: "):
        Figures.from_dict(fields)
