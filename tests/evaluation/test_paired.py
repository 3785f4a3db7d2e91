"""Paired comparisons give the figures of the literature, and decide as they say."""

import json

import numpy as np
import pytest

from pawprint.evaluation.paired import Comparison, compare, difference_interval, in_words, mcnemar


def answers(right, sure=0.9):
    """Probabilities of photos of class 0, of which some are right."""
    own = np.where(right, sure, 1 - sure)
    return np.stack([own, 1 - own], axis=1)


def compared(before, after, **values):
    before, after = np.array(before, bool), np.array(after, bool)
    return compare(np.zeros(len(before), np.int64), answers(before), answers(after, **values))


# Fagerland, Lydersen and Laake, "Recommended tests and confidence intervals for paired binomial
# proportions", Statistics in Medicine 33 (2014), 2850-2875: airway reactivity of 21 children.
def test_published_figures_are_found():
    low, high = difference_interval(7, 1, 21)
    assert (low, high) == (pytest.approx(-0.508, abs=5e-4), pytest.approx(-0.013, abs=5e-4))
    assert mcnemar(7, 1) == pytest.approx(0.0703, abs=5e-5)


@pytest.mark.parametrize(
    ("lost", "won", "p"),
    [(0, 0, 1), (3, 3, 1), (0, 1, 1), (0, 5, 2 / 32), (5, 0, 2 / 32), (2, 8, 112 / 1024)],
)
def test_mcnemar_is_the_binomial_test_of_what_changed(lost, won, p):
    assert mcnemar(lost, won) == pytest.approx(p)


def test_many_changes_are_no_trouble():
    assert 0 < mcnemar(4900, 5100) < 0.05
    assert mcnemar(0, 10_000) == 0


@pytest.mark.parametrize(("lost", "won", "count"), [(0, 0, 1), (0, 9, 9), (30, 3, 80), (1, 1, 500)])
def test_the_interval_holds_the_difference_and_mirrors(lost, won, count):
    low, high = difference_interval(lost, won, count)
    assert -1 <= low < (won - lost) / count <= high <= 1
    assert difference_interval(won, lost, count) == pytest.approx((-high, -low))
    wide = difference_interval(lost, won, count, confidence=0.99)
    assert wide[0] <= low
    assert wide[1] >= high


def test_the_interval_covers_what_it_should():
    random = np.random.default_rng(0)
    for share in ([0.9, 0.06, 0.02, 0.02], [0.6, 0.2, 0.1, 0.1]):
        covered = 0
        for _ in range(1000):
            _, lost, won, _ = random.multinomial(80, share)
            low, high = difference_interval(int(lost), int(won), 80)
            covered += low <= share[2] - share[1] <= high
        assert covered >= 930


def test_photos_are_counted_one_by_one():
    found = compared([1, 1, 1, 0, 0, 0], [1, 0, 1, 1, 1, 0])
    assert (found.count, found.right_before, found.right_after) == (6, 3, 4)
    assert (found.only_before, found.only_after) == (1, 2)
    assert found.interval == difference_interval(1, 2, 6)
    assert found.p_value == mcnemar(1, 2)
    assert found.log_loss_before == pytest.approx(-np.log([0.9, 0.1]).mean())
    assert found.better


def test_more_right_is_better_whatever_the_log_loss():
    assert compared([1, 1, 0], [1, 1, 1], sure=0.51).better
    assert not compared([1, 1, 1], [1, 1, 0], sure=0.9999).better


def test_where_as_many_are_right_the_log_loss_decides():
    assert compared([1, 0], [0, 1], sure=0.6).better
    assert not compared([1, 0], [0, 1], sure=0.95).better
    assert not compared([1, 0], [1, 0]).better  # nothing gained


def test_other_shapes_are_refused():
    truth = np.zeros(2, np.int64)
    for before, after in [(2, 3), (3, 3), (0, 0)]:
        with pytest.raises(ValueError, match="of the same photos"):
            compare(
                truth[:before] if not before else truth, np.ones((before, 2)), np.ones((after, 2))
            )


def test_it_survives_json():
    found = compared([1, 1, 0], [1, 1, 1])
    assert Comparison.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_in_words_says_both_figures_and_what_decided():
    assert in_words(compared([1] * 78 + [0] * 2, [1] * 73 + [0] * 7)).startswith(
        "91.2% right of 80 after, 97.5% before (difference -6.2 points, 95% interval -12."
    )
    assert in_words(compared([1, 0], [0, 1], sure=0.6)).endswith(
        "; log loss 0.7136 after, 1.2040 before"
    )
