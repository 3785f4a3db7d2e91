"""Novelty: what it tells apart, its limit, and that the network computes the same."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from pawprint.model import novelty
from pawprint.model.novelty import Novelty
from pawprint.model.onnx_graph import Graph

FEATURES = 40


def plane(photos: int, seed: int = 0) -> np.ndarray:
    """Embeddings whose roots lie near a plane of five dimensions."""
    random = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(99).normal(size=(FEATURES, 5)))[0]
    roots = 2 + random.normal(size=(photos, 5)) @ axes.T * 3
    roots += 0.1 * random.normal(size=roots.shape)
    return (np.sign(roots) * roots**2).astype(np.float32)


def elsewhere(photos: int) -> np.ndarray:
    """Embeddings that lie anywhere."""
    roots = 2 + np.random.default_rng(5).normal(size=(photos, FEATURES))
    return (np.sign(roots) * roots**2).astype(np.float32)


@pytest.mark.parametrize("photos", [12, 30, 200])
def test_what_lies_elsewhere_is_newer(photos: int) -> None:
    fitted = novelty.fit(plane(photos))
    if photos >= 15:  # fewer allow fewer components than the plane has dimensions
        assert fitted.scores(plane(100, seed=1)).max() < fitted.scores(elsewhere(100)).min()
    gram = fitted.components.T @ fitted.components
    assert np.abs(gram - np.eye(len(gram))).max() < 1e-5
    assert fitted.components.shape == (FEATURES, min(photos // 3, FEATURES // 2))


def test_both_ways_to_the_components_agree() -> None:
    """Fewer photos than features, and more, go through different matrices."""
    many = plane(FEATURES + 20)
    few, all_of_them = novelty.fit(many[: FEATURES - 1]), novelty.fit(many)
    others = plane(50, seed=2)
    assert np.corrcoef(few.scores(others), all_of_them.scores(others))[0, 1] > 0.5
    spanned = few.components[:, -5:].T @ all_of_them.components
    assert np.square(spanned).sum() > 4.5  # of five dimensions that hold nearly everything


def test_photos_that_are_all_the_same_have_no_rest() -> None:
    same = np.ones((10, FEATURES), np.float32)
    fitted = novelty.fit(same).limited(np.zeros(10), 0.01)
    assert fitted.limit > 0
    assert fitted.scores(same).max() <= 1
    assert fitted.scores(elsewhere(3)).min() > 1


def test_what_only_rounding_adds_is_not_new() -> None:
    """As where most units of a hidden layer are dead: the components leave nothing over."""
    flat = plane(200)
    flat[:, 3:] = 1.0
    held = flat[100:].astype(np.float16).astype(np.float32)
    fitted = novelty.fit(flat[:100])
    limited = fitted.limited(fitted.scores(held), 0.01)
    again = (held * np.float32(1.0004)).astype(np.float32)
    assert limited.scores(again).max() <= 1
    assert limited.scores(elsewhere(20)).min() > 1


def test_photos_that_are_all_alike_make_no_rounding_of_features_new() -> None:
    """The limit follows the length of the embeddings, not only how far they lie apart."""
    alike = np.tile(plane(1) + 5, (100, 1)) * np.linspace(1, 1.0001, 100, dtype=np.float32)[:, None]
    fitted = novelty.fit(alike)
    limited = fitted.limited(fitted.scores(alike), 0.01)
    rounded = alike.astype(np.float16).astype(np.float32)
    assert np.abs(limited.scores(rounded) - limited.scores(alike)).max() < 0.02


def test_one_photo_is_enough_to_fit_to() -> None:
    fitted = novelty.fit(plane(1))
    assert np.isfinite(fitted.scores(plane(5))).all()


@pytest.mark.parametrize(("refuse", "expected"), [(0.1, 9.0), (0.5, 5.0), (0.001, 10.0)])
def test_the_limit_is_one_of_the_scores(refuse: float, expected: float) -> None:
    shuffled = np.random.default_rng(0).permutation(np.arange(1.0, 11.0))
    found = novelty.limit_of(shuffled, refuse)
    assert found == pytest.approx(expected, abs=1.0)
    assert (shuffled > found).mean() <= refuse


def test_so_many_of_further_photos_are_refused() -> None:
    random = np.random.default_rng(1)
    parts = [
        (random.normal(size=4000) > novelty.limit_of(random.normal(size=500), 0.02)).mean()
        for _ in range(200)
    ]
    assert 0.015 < np.mean(parts) <= 0.0205


@pytest.mark.parametrize("limit", [1.0, 0.37])
def test_the_network_computes_the_same(limit: float) -> None:
    fitted = novelty.fit(plane(60))
    fitted = Novelty(fitted.mean, fitted.components, limit)
    graph = Graph("novelty alone")
    image = graph.photo(32, 1.0, 0.0)
    pooled = graph.add("GlobalAveragePool", [image], "pooled")
    flat = graph.add("Flatten", [pooled], "flat")
    spread = np.random.default_rng(3).normal(size=(3, FEATURES)).astype(np.float32)
    embedding = graph.add("MatMul", [flat, graph.constant("spread", spread)], "embedding")
    fitted.add_to(graph, embedding)
    graph.output("embedding", ["n", FEATURES])
    session = onnxruntime.InferenceSession(graph.to_bytes())
    photos = np.random.default_rng(4).integers(0, 256, (6, 32, 32, 3), np.uint8)
    score, seen = session.run(["novelty", "embedding"], {"image": photos})
    assert (seen < 0).any()  # signs are kept
    assert score.shape == (6, 1)
    assert score[:, 0] == pytest.approx(fitted.scores(seen), rel=1e-4)
