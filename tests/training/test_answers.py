"""How probabilities become answers, and that the figures are none the better for it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pawprint
from pawprint.classifier import at_temperature
from pawprint.data.split import TEST, VALIDATION
from pawprint.errors import RecipeError
from pawprint.evaluation import calibration, decision
from pawprint.evaluation.calibration import Calibration
from pawprint.testing import tiny_recipe
from pawprint.training.answers import settle
from pawprint.training.run import Run
from pawprint.training.stages import Judged

PETS = ("cat", "dog")


def judged(count: int = 200, seed: int = 0, classes: int = 2) -> Judged:
    """A classifier that is too sure of itself."""
    random = np.random.default_rng(seed)
    truth = np.arange(count) % classes
    logits = random.normal(size=(count, classes)) * 4
    logits[np.arange(count), truth] += 4
    powers = np.exp(logits)
    return Judged(list(range(count)), truth, powers / powers.sum(axis=1, keepdims=True))


def asking(rule: str) -> Any:
    return tiny_recipe().model_copy(update={"decision": rule})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def validation(run: Run) -> Any:
    return json.loads((run.path / "metrics.json").read_text("utf-8"))["validation"]


# settled


def test_what_ships_is_fitted_on_all_photos_that_judge() -> None:
    main = judged()
    found = settle({VALIDATION: main}, asking("f1:dog"), PETS)
    temperature = calibration.fit_temperature(main.truth, main.probabilities)
    assert found.calibration.temperature == temperature > 1.2
    shipped = at_temperature(main.probabilities, temperature)
    chosen = decision.choose_threshold(decision.parse("f1:dog", PETS), main.truth, shipped)
    assert (found.rule, found.threshold, found.notes) == ("f1:dog", chosen.value, ())


def test_photos_that_judge_are_answered_by_what_others_gave() -> None:
    main = judged()
    found = settle({VALIDATION: main}, asking("accuracy"), PETS)
    own = found.judged[VALIDATION]
    again, calibrated = calibration.calibrate(main.truth, main.probabilities)
    assert found.calibration == again
    assert np.array_equal(own.probabilities, calibrated)
    shipped = at_temperature(main.probabilities, found.calibration.temperature)
    assert not np.array_equal(own.probabilities, shipped)
    rule = decision.parse("accuracy", PETS)
    assert np.array_equal(own.predicted, decision.decided(main.truth, calibrated, rule))
    assert own.figures.accuracy == np.mean(own.predicted == main.truth)


def test_test_photos_are_answered_as_the_bundle_will() -> None:
    main, other = judged(), judged(80, seed=1)
    found = settle({VALIDATION: main, TEST: other}, asking("cost:cat>dog=9,dog>cat=1"), PETS)
    given = at_temperature(other.probabilities, found.calibration.temperature)
    tested = found.judged[TEST]
    assert found.threshold == pytest.approx(0.9)
    assert np.array_equal(tested.probabilities, given)
    assert np.array_equal(tested.predicted, given[:, 1] >= 0.9)
    assert tested.figures.count == 80
    alone = settle({VALIDATION: main}, asking("cost:cat>dog=9,dog>cat=1"), PETS)
    assert alone.calibration == found.calibration  # test photos have no say


def test_what_cannot_be_reached_is_told() -> None:
    truth = np.array([1, 0] * 10)
    second = np.where(truth == 1, 0.6, 0.8)  # the surest dogs are cats
    main = Judged(list(range(20)), truth, np.stack([1 - second, second], axis=1))
    found = settle({VALIDATION: main}, asking("precision:dog=0.9"), PETS)
    (note,) = found.notes
    assert "precision of dog 50.00%, not the 90.00% asked for" in note
    assert 0 < found.threshold < 1


@pytest.mark.parametrize("rule", ["default", "accuracy", "f1:cat", "recall:dog=1"])
def test_one_photo_or_one_class_is_answered_at_the_default(rule: str) -> None:
    for truth in ([1], [0, 0, 0]):
        given = np.array([[0.2, 0.8]] * len(truth))
        main = Judged(list(range(len(truth))), np.array(truth), given)
        found = settle({VALIDATION: main}, asking(rule), PETS)
        assert (found.threshold, found.calibration.temperature) == (0.5, 1.0)
        assert found.judged[VALIDATION].predicted.tolist() == [1] * len(truth)
        assert bool(found.notes) == (rule != "default")


def test_of_three_classes_the_most_probable_is_the_answer() -> None:
    main = judged(classes=3)
    found = settle({VALIDATION: main}, asking("default"), ("a", "b", "c"))
    own = found.judged[VALIDATION]
    assert np.array_equal(own.predicted, main.probabilities.argmax(axis=1))
    assert found.threshold == 0.5


def test_folds_are_counted() -> None:
    plain = judged(9)
    folded = Judged(plain.rows, plain.truth, plain.probabilities, np.arange(9) % 3)
    for given, folds in ((plain, 0), (folded, 3)):
        assert (
            settle({VALIDATION: given}, asking("default"), PETS).judged[VALIDATION].folds == folds
        )


# a run


def test_metrics_and_bundle_tell_the_same_temperature_and_threshold(
    run: Run, run_of_three: Run, reviewed: Run
) -> None:
    rules = ("default", "default", "recall:blue=0.95")
    for one, rule in zip((run, run_of_three, reviewed), rules, strict=True):
        found, card = validation(one), one.classifier().card
        assert found["decision"] == {"rule": rule, "threshold": card.threshold}
        assert (card.threshold == 0.5) == (rule == "default")
        fitted = Calibration.from_dict(found["calibration"])
        assert fitted.temperature == card.temperature != 1.0
        assert fitted.after.log_loss == pytest.approx(one.figures.log_loss)
        assert sum(part.count for part in fitted.after.bins) == one.figures.count
        assert (one.path / "plots" / "reliability.svg").is_file()


def test_the_bundle_keeps_the_rule_on_the_photos_it_was_set_on(reviewed: Run) -> None:
    classifier = reviewed.classifier()
    blue = [r["path"] for r in table(reviewed.path / "predictions.csv") if r["label"] == "blue"]
    found = classifier.predict(list(blue))
    threshold = classifier.card.threshold
    answered = [answer.probabilities["yellow"] < threshold for answer in found]
    assert np.mean(answered) >= 0.95
    for answer, is_blue in zip(found, answered, strict=True):
        assert answer.unknown or answer.label == ("blue" if is_blue else "yellow")


def test_what_a_run_did_not_reach_is_in_its_notes(contrary: Run) -> None:
    (note,) = contrary.record["notes"]
    threshold = validation(contrary)["decision"]["threshold"]
    assert note.startswith(f"{threshold:.4f}: precision of blue ")
    assert "not the 100.00% asked for" in note


@pytest.mark.parametrize(
    ("photos_of", "rule", "told"),
    [
        ("photos", "recall:bird=0.9", r"names the class 'bird'; expected 'cat' or 'dog'"),
        ("photos", "recall:dog=2", r"has the number '2'; expected one above 0 and at most 1"),
        ("photos", "cost:cat>dog=1", "does not tell both costs"),
        ("photos", "sometimes", "is not known; expected default, accuracy, f1:dog"),
        ("tinted", "accuracy", "needs two classes, and there are 3; expected 'default'"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused_before_any_work(
    photos_of: str,
    rule: str,
    told: str,
    recipe: Path,
    tmp_path: Path,
    listener: Any,
    request: pytest.FixtureRequest,
) -> None:
    source = request.getfixturevalue(photos_of)
    out, changes = tmp_path / "runs" / "run", {"decision": rule}
    with pytest.raises(RecipeError, match=told):
        pawprint.train(source, recipe=recipe, changes=changes, out=out, progress=listener)
    assert listener.steps == {}
    assert not out.parent.exists()
