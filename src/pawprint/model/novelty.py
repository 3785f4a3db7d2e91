"""How unlike the training photos a photo is, from its embedding.

The embedding's square roots, less their mean over the training photos, are split in two: what lies
in the space of these photos' first principal components, and the rest. A photo of something else
has more of the rest. Square roots because large activations vary more than small ones (M. S.
Bartlett, "The use of transformations", Biometrics 3 (1947), 39-52); what they and the number of
components are worth is in benchmarks/RESULTS.md.

Sources:
    H. Wang et al., "ViM: out-of-distribution with virtual-logit matching", CVPR 2022, whose
    residual this is.
    V. Vovk, A. Gammerman and G. Shafer, "Algorithmic learning in a random world", Springer 2005:
    a limit that the stated part of further photos exceeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pawprint.model.onnx_graph import Graph

COMPONENTS = 64
_PHOTOS_A_COMPONENT = 3  # fewer would fit the photos themselves
_LEAST = 0.02  # of a limit, in the length of rooted embeddings: of less, float16's rounding is much

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Novelty:
    """What gives a photo's novelty.

    Args:
        mean: float32, shape (features,), of the training photos' rooted embeddings.
        components: float32, shape (features, k), their principal components, orthonormal.
        limit: the rest that counts as 1.
    """

    mean: Floats
    components: Floats
    limit: float = 1.0

    def scores(self, embeddings: Floats) -> NDArray[np.float64]:
        """The novelty of some photos; above 1 where they are less like those trained on than usual.

        >>> flat = Novelty(np.zeros(2, "float32"), np.eye(2, 1, dtype="float32"))
        >>> flat.scores(np.array([[9, 0], [9, 4]], "float32")).tolist()
        [0.0, 2.0]

        Args:
            embeddings: float32, shape (n, features).

        Returns:
            float64, shape (n,).
        """
        centred = rooted(embeddings) - self.mean
        within = centred @ self.components
        rest = np.square(centred).sum(axis=1) - np.square(within).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(rest, 0.0), dtype=np.float64) / self.limit)

    def limited(self, held_out: NDArray[np.float64], refuse: float) -> Novelty:
        """The same with its limit set on photos that it was not fitted on.

        Args:
            held_out: float64, shape (n,), their scores.
            refuse: the part of such photos that may lie above the limit.
        """
        length = math.hypot(self.limit, float(np.linalg.norm(self.mean)))
        return replace(self, limit=max(self.limit * limit_of(held_out, refuse), _LEAST * length))

    def add_to(self, graph: Graph, embedding: str) -> None:
        """Add the output `novelty`, (n, 1), to a network's graph.

        Args:
            graph: the network's.
            embedding: the tensor that it is computed from.
        """
        size = graph.add("Abs", [embedding], "novelty/size")
        root = graph.add("Sqrt", [size], "novelty/root")
        sign = graph.add("Sign", [embedding], "novelty/sign")
        signed = graph.add("Mul", [sign, root], "novelty/rooted")
        mean = graph.constant("novelty/mean", self.mean)
        centred = graph.add("Sub", [signed, mean], "novelty/centred")
        basis = graph.constant("novelty/components", self.components)
        within = graph.add("MatMul", [centred, basis], "novelty/within")
        of_all = graph.add("ReduceSumSquare", [centred], "novelty/of_all", axes=[1], keepdims=1)
        of_within = graph.add("ReduceSumSquare", [within], "novelty/of_within", axes=[1])
        rest = graph.add("Sub", [of_all, of_within], "novelty/rest")
        positive = graph.add("Relu", [rest], "novelty/positive")
        length = graph.add("Sqrt", [positive], "novelty/length")
        graph.add("Div", [length, graph.number(self.limit)], "novelty")
        graph.output("novelty", ["n", 1])


def rooted(embeddings: Floats) -> Floats:
    """Square roots that keep the sign.

    >>> rooted(np.array([4, -9], "float32")).tolist()
    [2.0, -3.0]
    """
    return np.sign(embeddings) * np.sqrt(np.abs(embeddings))


def fit(embeddings: Floats) -> Novelty:
    """Fit to training photos.

    >>> fit(np.random.default_rng(0).random((30, 8), "float32")).components.shape
    (8, 4)

    Args:
        embeddings: float32, shape (n, features).

    Returns:
        The novelty, its limit not yet set: 1 is how far these photos lie from their mean. There are
        at most 64 components, and fewer where photos or features are few.
    """
    values = rooted(embeddings)
    mean = values.mean(axis=0)
    photos, features = values.shape
    count = max(1, min(COMPONENTS, photos // _PHOTOS_A_COMPONENT, features // 2))
    centred = (values - mean).astype(np.float64)
    if photos < features:  # the smaller of the two matrices that have the same eigenvalues
        _, vectors = np.linalg.eigh(centred @ centred.T)
        spans = centred.T @ vectors[:, -count:]
        components, _ = np.linalg.qr(spans)
    else:
        _, vectors = np.linalg.eigh(centred.T @ centred)
        components = vectors[:, -count:]
    spread = math.sqrt(float(np.square(centred).sum()) / photos)
    return Novelty(mean, np.ascontiguousarray(components, dtype=np.float32), spread or 1.0)


def limit_of(scores: NDArray[np.float64], refuse: float) -> float:
    """The score that the stated part of further photos of the same kind is above, at most.

    >>> limit_of(np.arange(1.0, 200.0), 0.01), limit_of(np.array([1.0, 3.0]), 0.01)
    (198.0, 3.0)

    Args:
        scores: float64, shape (n,), of held-out photos.
        refuse: the part, between 0 and 1.

    Returns:
        One of the scores: the highest where photos are too few for so small a part.
    """
    place = math.ceil((len(scores) + 1) * (1 - refuse) - 1e-9)
    return float(np.sort(scores)[min(place, len(scores)) - 1])
