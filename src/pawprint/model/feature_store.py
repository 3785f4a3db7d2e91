"""Features of photos by what a photo contains, with its size, in rows as `data/rows.py` keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.rows import Rows
from pawprint.progress import SILENT, Progress


class FeatureStore:
    """Features of photos under one key.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = FeatureStore(Path(folder), {"cut": "demo"}, (2,), "float16")
    ...     store.add(["ab" * 32], [(640, 480)], [np.array([1, 2], "float16")])
    ...     again = FeatureStore(Path(folder), {"cut": "demo"}, (2,), "float16")
    ...     again.sizes_of(["ab" * 32]), again.take(["ab" * 32]).tolist()
    ([(640, 480)], [[1.0, 2.0]])

    Args:
        root: the cache folder; None keeps everything in memory.
        key: everything that shapes the features but the photo, as plain values.
        shape: of one photo's features.
        dtype: of the features.
        progress: is told when the cache is damaged or cannot be written.
    """

    def __init__(
        self,
        root: Path | None,
        key: dict[str, Any],
        shape: tuple[int, ...],
        dtype: str,
        progress: Progress = SILENT,
    ) -> None:
        fields = [
            ("width", "<u4"),
            ("height", "<u4"),
            ("features", np.dtype(dtype).newbyteorder("<"), shape),
        ]
        key = {**key, "shape": list(shape), "dtype": dtype}
        self._rows = Rows(root, "features", key, fields, progress)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._rows

    def holds(self, hashes: Sequence[str]) -> NDArray[np.bool_]:
        """Which photos there are features of; bool, shape (n,)."""
        return self._rows.holds(hashes)

    def sizes_of(self, hashes: Sequence[str]) -> list[tuple[int, int]]:
        """The upright (width, height) of photos in the store, in pixels."""
        widths, heights = (self._rows.take(hashes, side) for side in ("width", "height"))
        return list(zip(widths.tolist(), heights.tolist(), strict=True))

    def take(self, hashes: Sequence[str], dtype: str = "float32") -> NDArray[Any]:
        """Copy the features of some photos out.

        Args:
            hashes: content hashes, all of photos in the store.
            dtype: of the copy.

        Returns:
            Shape (n, *shape), in the order asked for.
        """
        return self._rows.take(hashes, "features", dtype)

    def add(
        self,
        hashes: Sequence[str],
        sizes: Sequence[tuple[int, int]],
        features: Sequence[NDArray[Any]],
    ) -> None:
        """Keep some photos' features, as one shard.

        Args:
            hashes: content hashes of n photos.
            sizes: their upright (width, height), in pixels.
            features: n arrays of the store's shape.
        """
        widths, heights = ([size[side] for size in sizes] for side in (0, 1))
        self._rows.add(hashes, width=widths, height=heights, features=features)


class Stores:
    """Several stores that are filled in one pass over the photos.

    Args:
        stores: each for one of the features that a photo is given.
    """

    def __init__(self, stores: Sequence[FeatureStore]) -> None:
        self._stores = stores

    def holds(self, hashes: Sequence[str]) -> NDArray[np.bool_]:
        """As `FeatureStore.holds`: in all of the stores."""
        held: NDArray[np.bool_] = np.all([store.holds(hashes) for store in self._stores], axis=0)
        return held

    def sizes_of(self, hashes: Sequence[str]) -> list[tuple[int, int]]:
        """As `FeatureStore.sizes_of`."""
        return self._stores[0].sizes_of(hashes)

    def add(
        self,
        hashes: Sequence[str],
        sizes: Sequence[tuple[int, int]],
        features: Sequence[tuple[NDArray[Any], ...]],
    ) -> None:
        """As `FeatureStore.add`, with a tuple of features for each photo; none is kept twice."""
        for number, store in enumerate(self._stores):
            new = np.flatnonzero(~store.holds(hashes)).tolist()
            if new:
                store.add(
                    [hashes[row] for row in new],
                    [sizes[row] for row in new],
                    [features[row][number] for row in new],
                )
