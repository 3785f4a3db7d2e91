"""Which labels may be wrong, from probabilities by models that have not seen the photos.

Sources:
    C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident learning: estimating uncertainty in
    dataset labels", Journal of Artificial Intelligence Research 70 (2021), 1373-1411.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class LabelErrors:
    """Photos whose labels may be wrong, the most suspect first.

    Args:
        rows: int, shape (m,), their numbers among n photos: those that another class is more
            probable for than their label.
        suggested: int, shape (m,), that class.
        expected: about how many labels are wrong in all, by confident learning.
    """

    rows: npt.NDArray[np.int64]
    suggested: npt.NDArray[np.int64]
    expected: int


def label_errors(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]
) -> LabelErrors:
    """Rank the photos that are more probably of another class than of their label's.

    >>> labels = np.array([0, 0, 0, 1, 1, 1])
    >>> second = np.array([0.1, 0.1, 0.99, 0.9, 0.9, 0.4])
    >>> found = label_errors(labels, np.stack([1 - second, second], axis=1))
    >>> found.rows.tolist(), found.suggested.tolist()
    ([2, 5], [1, 0])

    Args:
        labels: int, shape (n,), the classes that the photos are said to be of, 0 to k - 1.
        probabilities: float64, shape (n, k), each row by a model that has not seen the photo.

    Returns:
        The suspects, by how much less probable their label is than the other class.

    Raises:
        ValueError: the shapes differ.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            f"expected labels (n,) and probabilities (n, k), got {labels.shape} and "
            f"{probabilities.shape}"
        )
    numbers = np.arange(len(labels))
    own = probabilities[numbers, labels]
    others = probabilities.copy()
    others[numbers, labels] = -1.0
    suggested = others.argmax(axis=1)
    margin = own - others[numbers, suggested]
    rows = np.flatnonzero(margin < 0)
    rows = rows[np.argsort(margin[rows], kind="stable")]
    return LabelErrors(rows, suggested[rows], _expected(labels, probabilities))


def _expected(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> int:
    """How many labels are wrong: the confident joint, scaled to how many photos there are."""
    k = probabilities.shape[1]
    total = np.bincount(labels, minlength=k)
    own = np.bincount(labels, probabilities[np.arange(len(labels)), labels], minlength=k)
    # As sure of a class as of those that are labelled so, on average; of an absent class never.
    sure = np.divide(own, total, out=np.full(k, np.inf), where=total > 0)
    masked = np.where(probabilities >= sure, probabilities, -1.0)
    counted = masked.max(axis=1) >= 0
    joint = np.bincount(
        labels[counted] * k + masked[counted].argmax(axis=1), minlength=k * k
    ).reshape(k, k)
    confident = joint.sum(axis=1)
    wrong = confident - joint.diagonal()
    return round(float((total * wrong / np.maximum(confident, 1)).sum()))
