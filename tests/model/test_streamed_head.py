"""The head on features that are streamed: what `head.fit` finds, a few blocks at a time."""

from __future__ import annotations

import contextlib
import threading
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pawprint.errors import PawprintError
from pawprint.model import halves, head, streamed_head
from pawprint.model.head import Head
from pawprint.model.log_loss import InMemory, LogLoss
from pawprint.model.minimise import minimise
from pawprint.progress import Advance, Silent

WIDTH = 20
COUNTS = [[13000, 12000], [21000, 5000], [9000, 8000, 8000], [17000, 5000, 4000]]


class Counting:
    """Rows that know what was read of them."""

    def __init__(self, values: NDArray[np.float16], labels: NDArray[np.int64]) -> None:
        self.labels, self.features, self._values = labels, values.shape[1], values
        self.most, self.total, self._lock = 0, 0, threading.Lock()

    def read(self, start: int, stop: int) -> NDArray[np.float16]:
        with self._lock:
            self.most, self.total = max(self.most, stop - start), self.total + stop - start
        return self._values[start:stop].copy()


class Listening(Silent):
    """Progress that counts what steps tell of themselves."""

    done = 0

    @contextlib.contextmanager
    def step(self, what: str, total: int | None) -> Iterator[Advance]:
        def advance(done: int, /, note: str = "") -> None:
            self.done += done

        yield advance


def clouds(counts: list[int], seed: int = 0, distance: float = 1.5) -> Counting:
    """Classes as overlapping clouds, stretched and off the origin, one class after the other."""
    random = np.random.default_rng(seed)
    fixed = np.random.default_rng(99)
    centres = distance * fixed.standard_normal((len(counts), WIDTH)) / np.sqrt(WIDTH)
    labels = np.repeat(np.arange(len(counts)), counts)
    features = centres[labels] + random.standard_normal((len(labels), WIDTH))
    features = features * np.geomspace(0.02, 2, WIDTH) + fixed.standard_normal(WIDTH)
    return Counting(features.astype(np.float16), labels)


def chosen(fitted: Head) -> float:
    (strength,) = (row["strength"] for row in fitted.choice if row["chosen"])
    return float(strength)


def everything(rows: Counting) -> NDArray[np.float32]:
    return rows.read(0, len(rows.labels)).astype(np.float32)


@pytest.mark.parametrize("counts", COUNTS)
def test_probabilities_are_those_of_scikit_learn(counts: list[int]) -> None:
    rows = clouds(counts)
    features = everything(rows).astype(np.float64)
    fitted = streamed_head.fit(rows)
    regression = LogisticRegression(
        C=chosen(fitted) / float(np.square(features).mean()),
        class_weight="balanced" if max(counts) > 1.5 * min(counts) else None,
        solver="newton-cholesky",
        tol=1e-8,
    ).fit(features, rows.labels)
    asked = everything(clouds([500] * len(counts), seed=1))
    off = np.abs(fitted.probabilities(asked) - regression.predict_proba(asked.astype(np.float64)))
    assert off.max() < 1e-3


@pytest.mark.parametrize("counts", [[21000, 5000], [8000, 7000, 6000]])
def test_strengths_are_compared_on_the_split_of_the_head_in_memory(counts: list[int]) -> None:
    rows = clouds(counts)
    order = head.spread(rows.labels, 3)
    held = head.fit(everything(rows)[order], rows.labels[order], seed=3)
    fitted = streamed_head.fit(rows, seed=3)
    assert [row["strength"] for row in fitted.choice] == list(head.STRENGTHS)
    assert sum(row["chosen"] for row in fitted.choice) == 1
    for name, near in (("log_loss", 3e-3), ("accuracy", 5e-3)):
        pairs = zip(fitted.choice, held.choice, strict=True)
        assert all(abs(one[name] - other[name]) < near for one, other in pairs)


def test_photos_are_read_a_block_at_a_time_and_passes_are_shown() -> None:
    rows, heard = clouds([15000, 15000]), Listening()
    streamed_head.fit(rows, progress=heard)
    passes = (rows.total - 1) / len(rows.labels)  # a photo is read alone, for the dtype
    assert rows.most * WIDTH <= 2**18
    assert passes == round(passes)
    assert 3 < passes < min(40, heard.done)  # some of them over the part that is guessed on


def test_little_is_held_of_each_photo() -> None:
    labels = (np.arange(200_000) % 3 == 0).astype(np.int32)
    rows = InMemory(labels, np.zeros((len(labels), 1), np.float16))
    for work in (
        lambda: head.spread(labels, 0),
        lambda: streamed_head._sampled(labels, 0, 1000),
        lambda: LogLoss(rows, 1.0, labels == 1),
    ):
        tracemalloc.start()
        try:
            work()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 32 * len(labels)


def test_the_same_seed_gives_the_same_head() -> None:
    one, two = (streamed_head.fit(clouds([13000, 12000]), seed=4) for _ in range(2))
    assert np.array_equal(one.kernel, two.kernel)
    assert np.array_equal(one.bias, two.bias)
    assert one.choice == two.choice


def test_few_photos_are_fitted_in_memory() -> None:
    rows = clouds([80, 70])
    order = head.spread(rows.labels, 2)
    held = head.fit(everything(rows)[order], rows.labels[order], seed=2)
    fitted = streamed_head.fit(rows, seed=2)
    assert np.array_equal(fitted.kernel, held.kernel)
    assert fitted.choice == held.choice


def test_a_class_of_one_photo_can_be_fitted() -> None:
    fitted = streamed_head.fit(clouds([25000, 1, 5000]))
    assert fitted.choice == ()
    assert fitted.kernel.shape == (WIDTH, 3)
    assert np.isfinite(fitted.kernel).all()


@pytest.mark.parametrize("times", [0.01, 50])
def test_the_scale_of_features_does_not_matter(times: float) -> None:
    rows = clouds([13000, 12000])
    values = everything(rows)
    fitted = streamed_head.fit(InMemory(rows.labels, values))
    scaled = streamed_head.fit(InMemory(rows.labels, values * np.float32(times)))
    asked = everything(clouds([500, 500], seed=1))
    off = fitted.probabilities(asked) - scaled.probabilities(asked * np.float32(times))
    assert chosen(fitted) == chosen(scaled)
    assert np.abs(off).max() < 1e-3


def test_float16_and_float32_give_the_same_head() -> None:
    rows = clouds([13000, 12000])
    halved = streamed_head.fit(rows)
    floats = streamed_head.fit(InMemory(rows.labels, everything(rows)))
    assert np.array_equal(halved.kernel, floats.kernel)


def test_features_that_are_all_zero_are_fitted() -> None:
    rows = InMemory(np.arange(24000) % 2, np.zeros((24000, 4), np.float16))
    fitted = streamed_head.fit(rows)
    assert np.allclose(fitted.probabilities(np.zeros((1, 4), np.float32)), 0.5, atol=1e-3)


@pytest.mark.parametrize("count", [100, 24000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(count: int, dtype: type, wrong: float) -> None:
    values = np.ones((count, 4), dtype)
    values[count // 2, 1] = wrong
    with pytest.raises(PawprintError, match="not finite"):
        streamed_head.fit(InMemory(np.arange(count) % 2, values))


def test_every_finite_half_becomes_the_same_float32() -> None:
    patterns = np.arange(2**16, dtype=np.uint16).view(np.float16)
    numbers = patterns[np.isfinite(patterns)]
    made = halves.to_float32(numbers)
    assert np.array_equal(made, numbers.astype(np.float32))
    assert np.array_equal(np.signbit(made), np.signbit(numbers))
    assert halves.finite(numbers)
    others = patterns[~np.isfinite(patterns)]
    assert not any(halves.finite(others[place : place + 1]) for place in range(len(others)))


@pytest.mark.parametrize("counts", [[60, 40], [30, 40, 50]])
def test_gradients_are_the_slopes_of_values(counts: list[int]) -> None:
    rows = clouds(counts)
    loss = LogLoss(rows, 0.8, np.arange(len(rows.labels)) % 5 == 0)
    random = np.random.default_rng(0)
    point, way = random.standard_normal((2, WIDTH + 1, 1 if len(counts) == 2 else len(counts)))
    near = [point + step * way for step in (-1e-3, 0, 1e-3)]
    below, at, above = loss.at(near, [0.3] * 3)
    slope = (above.value - below.value) / 2e-3
    assert slope == pytest.approx(float(np.vdot(at.gradient, way)), rel=1e-3)
    (alone,) = loss.at([point], [0.3])
    assert alone.value == pytest.approx(at.value, rel=1e-6)


class Bowl:
    """A quadratic function at a point, its lowest value 0 at ones."""

    def __init__(self, point: NDArray[np.float64], bend: NDArray[np.float64]) -> None:
        self.point, self.gradient = point, bend * (point - 1)
        self.value = float(self.gradient @ (point - 1)) / 2


@pytest.mark.parametrize(("known", "most"), [(1.0, 2), (0.5, 40), (0.0, 100)])
def test_the_better_the_hessian_is_known_the_fewer_points_are_asked(
    known: float, most: int
) -> None:
    bend = np.geomspace(1, 100, 30)
    run = minimise(np.zeros(30), lambda gradient: gradient / bend**known, 1e-10)
    asked, lowest = [next(run)], None
    while lowest is None:
        try:
            asked.append(run.send(Bowl(asked[-1], bend)))
        except StopIteration as ended:
            lowest = ended.value
    assert len(asked) <= most
    assert lowest.value < 1e-8
