"""Calibration: against scikit-learn, and on photos whose miscalibration is known."""

import json

import numpy as np
import pytest

from pawprint.classifier import at_temperature
from pawprint.evaluation.calibration import (
    Calibration,
    Reliability,
    brier,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from pawprint.evaluation.cross_fitting import stratified_folds
from pawprint.evaluation.metrics import log_loss


def honest(seed, count, k, spread=2.0):
    """Photos whose true classes are drawn by their probabilities."""
    rng = np.random.default_rng(seed)
    probabilities = np.exp(spread * rng.normal(size=(count, k)))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    truth = (rng.random((count, 1)) > np.cumsum(probabilities, axis=1)).sum(axis=1)
    return np.minimum(truth, k - 1), probabilities


@pytest.mark.parametrize("k", [2, 3, 10])
@pytest.mark.parametrize("decimals", [1, 12])
def test_brier_score_and_log_loss_match_sklearn(k, decimals):
    metrics = pytest.importorskip("sklearn.metrics")
    truth, probabilities = honest(k, 300, k)
    probabilities = np.round(probabilities, decimals) + 10.0**-decimals
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    found, labels = reliability(truth, probabilities), list(range(k))
    expected = metrics.brier_score_loss(truth, probabilities, labels=labels)
    assert found.brier == brier(truth, probabilities) == pytest.approx(expected, abs=1e-9, rel=0)
    expected = metrics.log_loss(truth, probabilities, labels=labels)
    assert found.log_loss == pytest.approx(expected, abs=1e-9, rel=0)


def test_brier_score_of_two_classes_is_of_the_second():
    metrics = pytest.importorskip("sklearn.metrics")
    truth, probabilities = honest(0, 100, 2)
    expected = metrics.brier_score_loss(truth, probabilities[:, 1])
    assert brier(truth, probabilities) == pytest.approx(expected, abs=1e-9, rel=0)
    assert brier(np.array([0, 1]), np.eye(2)[::-1]) == 1.0
    assert brier(np.array([0, 1]), np.eye(3)[[1, 2]]) == 2.0


@pytest.mark.parametrize("k", [2, 3, 10])
def test_the_calibration_error_is_as_defined(k):
    truth, probabilities = honest(k, 400, k)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    expected = 0.0
    for m in range(15):
        here = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if here.any():
            expected += here.mean() * abs(right[here].mean() - confidence[here].mean())
    assert expected_calibration_error(truth, probabilities) == pytest.approx(expected, abs=1e-12)
    assert reliability(truth, probabilities).ece == pytest.approx(expected, abs=1e-12)


def test_bins_leave_no_photo_out():
    truth, probabilities = honest(1, 500, 4)
    bins = reliability(truth, probabilities).bins
    assert sum(one.count for one in bins) == 500
    right = (probabilities.argmax(axis=1) == truth).mean()
    assert sum(one.count * one.accuracy for one in bins) / 500 == pytest.approx(right)
    for one in bins:
        assert one.low < one.confidence <= one.high
        assert one.interval[0] <= one.accuracy <= one.interval[1]
    assert [one.low for one in bins] == sorted({one.low for one in bins})
    certain = reliability(np.array([0, 1]), np.eye(2)).bins
    assert [(one.count, one.high, one.accuracy) for one in certain] == [(2, 1.0, 1.0)]


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(k, temperature):
    truth, probabilities = honest(k, 8000, k)
    skewed = at_temperature(probabilities, 1 / temperature)
    assert fit_temperature(truth, skewed) == pytest.approx(temperature, rel=0.06)
    found, fitted = calibrate(truth, skewed)
    assert found.temperature == fit_temperature(truth, skewed)
    assert fitted == pytest.approx(probabilities, abs=0.05)
    if temperature == 1.0:
        assert abs(found.after.log_loss - found.before.log_loss) < 0.001
    else:
        assert found.after.ece < found.before.ece / 2
        assert found.after.brier < found.before.brier
        assert found.after.log_loss < found.before.log_loss


def test_the_temperature_has_the_lowest_log_loss():
    truth, probabilities = honest(3, 20_000, 3)
    skewed = at_temperature(probabilities, 0.6)
    best = fit_temperature(truth, skewed)
    losses = [log_loss(truth, at_temperature(skewed, best * f)) for f in (0.97, 1.0, 1.03)]
    assert losses[1] == min(losses)


def test_a_few_photos_all_right_do_not_ask_for_certainty():
    truth = np.array([0, 1, 0, 1, 0])
    for sure in (0.6, 0.9, 0.999):
        given = np.where(np.eye(2)[truth] == 1, sure, 1 - sure)
        assert 0.6 < fit_temperature(truth, given) <= 1.0
    wrong = np.where(np.eye(2)[truth] == 1, 1e-6, 1 - 1e-6)
    assert 1 < fit_temperature(truth, wrong) <= 20
    assert fit_temperature(truth, np.eye(2)[1 - truth]) <= 20
    assert fit_temperature(np.tile(truth, 10_000), np.eye(2)[np.tile(truth, 10_000)]) >= 0.05


def test_photos_that_cannot_tell_leave_the_probabilities_alone():
    given = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]])
    for truth, some in ((np.zeros(3, dtype=int), given), (np.array([1]), given[:1])):
        found, fitted = calibrate(truth, some)
        assert found.temperature == 1.0
        assert fitted == pytest.approx(some)
    assert fit_temperature(np.zeros(0, dtype=int), np.zeros((0, 2))) == 1.0
    found, fitted = calibrate(np.array([0, 1]), given[:2])
    assert np.isfinite(fitted).all()


def test_the_photos_judged_are_not_those_fitted_on():
    truth, probabilities = honest(5, 100, 2)
    found, fitted = calibrate(truth, probabilities)
    assert found.after == reliability(truth, fitted)
    other = probabilities.copy()
    other[0] = 0.01, 0.99
    # Another answer to one photo changes what the others get, but not those of its own fold.
    changed = (calibrate(truth, other)[1] != fitted).any(axis=1)
    same_fold = stratified_folds(truth) == stratified_folds(truth)[0]
    assert changed[~same_fold].all()
    assert not changed[same_fold][1:].any()


def test_the_answer_stays_whatever_the_temperature():
    _, probabilities = honest(2, 200, 4)
    for temperature in (0.05, 0.3, 7.0, 20.0):
        given = at_temperature(probabilities, temperature)
        assert given.sum(axis=1) == pytest.approx(1)
        assert (given.argmax(axis=1) == probabilities.argmax(axis=1)).all()


@pytest.mark.parametrize("temperature", [1e-6, 0.05, 1.0, 20.0, 1e6])
def test_temperatures_are_stable_where_probabilities_are_not(temperature):
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        for row in ([1.0, 0.0], [1e-300, 1.0], [0.5, 0.5], [1e-13] * 3 + [1 - 3e-13]):
            given = at_temperature(np.array(row, dtype=np.float32), temperature)
            assert given.dtype == np.float64
            assert given.sum() == pytest.approx(1)


def test_temperature_works_on_one_row_as_on_many_and_undoes_itself():
    _, probabilities = honest(4, 20, 3)
    many = at_temperature(probabilities, 3.0)
    for row, given in zip(probabilities, many, strict=True):
        assert at_temperature(row, 3.0) == pytest.approx(given)
    assert at_temperature(many, 1 / 3) == pytest.approx(probabilities)
    logits = np.log(probabilities)
    expected = np.exp(logits / 3)
    assert many == pytest.approx(expected / expected.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_no_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="above 0"):
        at_temperature(np.array([0.5, 0.5]), temperature)


def test_calibrations_survive_json():
    found, _ = calibrate(*honest(6, 90, 3))
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert Calibration.from_dict(json.loads(text)) == found


@pytest.mark.parametrize("change", [{"bins": [{}]}, {"ece": None}, {"bins": 3}])
def test_from_dict_refuses_what_is_no_calibration(change):
    found, _ = calibrate(*honest(6, 90, 3))
    fields = found.to_dict()
    with pytest.raises(ValueError, match="not a dict of Reliability: "):
        Reliability.from_dict(fields["after"] | change)
    for broken in (fields | {"after": fields["after"] | change}, fields | {"temperature": []}, {}):
        with pytest.raises(ValueError, match="not a dict of Calibration: "):
            Calibration.from_dict(broken)
