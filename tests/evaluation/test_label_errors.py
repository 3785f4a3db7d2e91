"""Which labels are suspect, in which order, and how many are expected to be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from pawprint.evaluation.label_errors import label_errors


def noisy(count: int, classes: int, wrong: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Labels of which a part is wrong, the true ones, and probabilities that know these."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, count)
    flips = random.random(count) < wrong
    labels = np.where(flips, (truth + random.integers(1, classes, count)) % classes, truth)
    logits = random.normal(size=(count, classes)) + 4 * np.eye(classes)[truth]
    given = np.exp(logits)
    return labels, truth, given / given.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 5])
def test_flipped_labels_come_first(classes: int) -> None:
    labels, truth, given = noisy(2000, classes, 0.05)
    found = label_errors(labels, given)
    wrong = labels != truth
    assert wrong[found.rows[: wrong.sum()]].mean() > 0.8
    assert (truth[found.rows[:50]] == found.suggested[:50]).mean() > 0.9
    assert found.expected == pytest.approx(wrong.sum(), rel=0.5)


def test_only_photos_that_are_more_probably_something_else_are_suspect() -> None:
    labels, _, given = noisy(300, 3, 0.1)
    found = label_errors(labels, given)
    assert set(found.rows.tolist()) == set(np.flatnonzero(given.argmax(axis=1) != labels).tolist())
    assert (found.suggested == given[found.rows].argmax(axis=1)).all()
    margin = given[found.rows, labels[found.rows]] - given[found.rows].max(axis=1)
    assert (np.diff(margin) >= 0).all()


def test_right_labels_give_no_suspects() -> None:
    labels = np.array([0, 1, 2, 0])
    found = label_errors(labels, np.eye(3)[labels] * 0.9 + 0.1 / 3)
    assert found.rows.size == 0
    assert found.expected == 0


def test_an_absent_class_does_no_harm() -> None:
    labels = np.array([0, 0, 1, 1])
    given = np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.7], [0.1, 0.9, 0.0], [0.2, 0.8, 0.0]])
    found = label_errors(labels, given)
    assert found.rows.tolist() == [1]
    assert found.suggested.tolist() == [2]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and \(2, 2\)"):
        label_errors(np.zeros(3, np.int64), np.full((2, 2), 0.5))
