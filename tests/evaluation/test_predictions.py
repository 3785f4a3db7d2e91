"""Predictions that cannot be judged are refused, and answers are those of the classifier."""

import numpy as np
import pytest

from pawprint.evaluation.calibration import brier, calibrate, expected_calibration_error
from pawprint.evaluation.metrics import figures
from pawprint.evaluation.predictions import answers, check_predictions

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


@pytest.mark.parametrize("function", [calibrate, brier, expected_calibration_error])
def test_nameless_predictions_are_checked_too(function):
    for truth, probabilities, message in (
        (TRUTH, EVEN[:2], r"\(3,\) and \(2, 2\)"),
        (TRUTH[:0], EVEN[:0], "no photos"),
        (TRUTH, EVEN * np.nan, "NaN"),
        (TRUTH + 1, EVEN, "outside 0 to 1"),
        (TRUTH * 0, np.ones((3, 1)), "two classes or more"),
    ):
        with pytest.raises(ValueError, match=message):
            function(truth, probabilities)


def test_two_classes_are_answered_from_the_threshold_on():
    given = np.array([[0.3, 0.7], [0.31, 0.69], [1.0, 0.0], [0.0, 1.0]])
    assert answers(given, 0.7).tolist() == [1, 0, 0, 1]
    assert answers(np.full((1, 2), 0.5)).tolist() == [1]


def test_of_more_classes_the_first_of_the_most_probable_is_answered():
    assert answers(np.array([[0.2, 0.4, 0.4], [0.1, 0.0, 0.9]])).tolist() == [1, 2]
