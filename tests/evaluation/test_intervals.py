"""Intervals against values known by hand, and how often they cover the truth."""

import math

import numpy as np
import pytest

from pawprint.evaluation.intervals import draw_areas, draw_f1, draw_recalls, wilson_interval
from pawprint.evaluation.metrics import figures


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


def drawn(rng, per_class, k, shift):
    """Photos whose own logit is higher by `shift`, as many of each class."""
    truth = np.repeat(np.arange(k), per_class)
    logits = rng.normal(size=(truth.size, k))
    logits[np.arange(truth.size), truth] += shift
    exp = np.exp(logits)
    return truth, exp / exp.sum(axis=1, keepdims=True)


# With 100 samples, 0.86 is four standard errors below 0.95.
@pytest.mark.parametrize(
    ("per_class", "k", "shift"), [(10, 2, 2.0), (50, 2, 1.0), (100, 2, 2.0), (5, 10, 2.0)]
)
def test_intervals_cover_the_truth_as_often_as_they_say(per_class, k, shift):
    rng, names = np.random.default_rng(7), [str(c) for c in range(k)]
    all_photos = figures(*drawn(rng, 60_000 // k, k, shift), names)

    def values(found):
        one = found.classes[0]
        return found.balanced_accuracy, found.roc_auc, found.average_precision, one.f1, one.recall

    def intervals(found):
        one = found.classes[0]
        return (
            found.balanced_accuracy_interval,
            found.roc_auc_interval,
            found.average_precision_interval,
            one.f1_interval,
            one.recall_interval,
        )

    covered = []
    for _ in range(100):
        found = intervals(figures(*drawn(rng, per_class, k, shift), names))
        inside = zip(values(all_photos), found, strict=True)
        covered.append([low <= true <= high for true, (low, high) in inside])
    assert np.mean(covered, axis=0).min() > 0.86


def test_few_photos_without_a_mistake_promise_little():
    perfect = figures(np.array([0, 0, 0, 1, 1]), np.eye(2)[[0, 0, 0, 1, 1]], "ab")
    one = perfect.classes[0]
    for low, high in (
        perfect.balanced_accuracy_interval,
        perfect.roc_auc_interval,
        perfect.average_precision_interval,
        one.f1_interval,
        one.precision_interval,
    ):
        assert 0.2 < low < 0.9
        assert high == 1.0


def test_intervals_narrow_with_the_square_root_of_the_photos():
    rng = np.random.default_rng(3)
    widths = []
    for per_class in (100, 1600):
        found = figures(*drawn(rng, per_class, 2, 1.0), "ab")
        ends = (found.balanced_accuracy_interval, found.roc_auc_interval)
        widths.append([high - low for low, high in ends])
    assert np.divide(*widths) == pytest.approx([4, 4], rel=0.25)


def test_one_photo_of_a_class_and_scores_all_alike_have_intervals():
    for truth in ([0, 1], [0, 1, 1, 1]):
        found = figures(np.array(truth), np.full((len(truth), 2), 0.5), "ab")
        assert found.roc_auc == 0.5
        low, high = found.roc_auc_interval
        assert 0 <= low <= 0.5 <= high <= 1


def test_work_is_bounded():
    truth = np.arange(2_000) % 2
    probabilities = np.full((2_000, 2), 0.5)
    areas, precisions = draw_areas(truth, probabilities, [1])
    assert areas.shape == precisions.shape == (1000,)
    many = np.tile(truth, 20)
    areas, _ = draw_areas(many, np.tile(probabilities, (20, 1)), [1])
    assert areas.shape == (250,)
    assert draw_areas(many, np.tile(probabilities, (20, 1)), [1] * 26) is None
    classes = np.ones(100_000, dtype=np.int64)
    assert draw_recalls(classes, classes).shape == (100, 100_000)
    assert draw_f1(classes[:3], classes[:3], classes[:3], 3).shape == (1000, 3)
