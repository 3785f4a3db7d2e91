"""What one decoding tells of a photo: a perceptual hash, light and sharpness, how it was stored.

It does not know which of that is a fault, nor what other photos look like.

Sources:
    The hash keeps the signs of a photo's low frequencies, as C. Zauner, "Implementation and
    Benchmarking of Perceptual Image Hash Functions" (2010), describes for 64 bits; here are 256.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pawprint.data import images
from pawprint.data.images import Opened
from pawprint.data.reading import Fault, Read, faults_of
from pawprint.data.rows import Rows
from pawprint.data.sources import Source
from pawprint.errors import PhotoError
from pawprint.parallel import map_chunks
from pawprint.progress import SILENT, Progress

_TOGETHER = 64  # photos a task, so that handing tasks out costs little
_SHARD = 4096  # photos a shard

BITS = 256
_SIDE = 128  # of the grey thumbnail that all is read off

# A glance, as it lies in memory and on disk. `light` and `contrast` are the mean and the standard
# deviation of the grey thumbnail, `detail` the mean size of its second differences, all of 0-255
# values.
GLANCE = np.dtype(
    [
        ("width", "<u4"),
        ("height", "<u4"),
        ("hash", "u1", (BITS // 8,)),
        ("light", "<f2"),
        ("contrast", "<f2"),
        ("detail", "<f2"),
        ("format", "u1"),
        ("traits", "u1"),
    ]
)
VERSION = 1  # bumped whenever the same pixels would give another glance

_WAVE_COUNT = 24  # each way, enough to hold the lowest

# The BITS lowest frequencies but the mean: rows, then columns.
_LOWEST = sorted(
    ((row, column) for row in range(_WAVE_COUNT) for column in range(_WAVE_COUNT) if row + column),
    key=lambda at: (at[0] + at[1], at),
)[:BITS]
_ROWS, _COLUMNS = np.array(_LOWEST).T
_WAVES = np.cos(
    np.pi * (2 * np.arange(_SIDE // 2) + 1) * np.arange(_WAVE_COUNT)[:, None] / _SIDE
).astype(np.float32)

# What mirroring a photo does to its hash: waves that are odd across change sign.
MIRRORED = np.packbits(_COLUMNS % 2 == 1)


def glance(opened: Opened) -> Any:
    """Describe a decoded photo.

    >>> grey = Image.new("RGB", (40, 30), (90, 90, 90))
    >>> seen = glance(Opened(grey, 40, 30, 0, images.Trait(0)))
    >>> int(seen["width"]), float(seen["light"]), float(seen["contrast"])
    (40, 90.0, 0.0)

    Args:
        opened: the photo, as `open_photo` gives it.

    Returns:
        A record of dtype `GLANCE`.
    """
    grey = opened.picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    values = np.asarray(grey).astype(np.int16)
    # Half the side: over a certain size matrix products would take threads from each other.
    half = (values[::2] + values[1::2]).astype(np.float32)
    half = half[:, ::2] + half[:, 1::2]
    waves = _WAVES @ half @ _WAVES.T
    flat = half.ravel() / 4
    light = float(flat.mean())
    record = np.zeros((), GLANCE)
    record["width"], record["height"] = opened.width, opened.height
    record["hash"] = np.packbits(waves[_ROWS, _COLUMNS] > 0)
    record["light"] = light
    record["contrast"] = max(0.0, float(flat @ flat) / len(flat) - light**2) ** 0.5
    record["detail"] = (_bends(values) + _bends(np.ascontiguousarray(values.T))) / 2
    record["format"], record["traits"] = opened.format, opened.traits
    return record


def distances(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> NDArray[np.int64]:
    """By how many bits hashes differ.

    >>> int(distances(np.zeros(32, np.uint8), MIRRORED)) == int((_COLUMNS % 2).sum())
    True

    Args:
        ours: uint8, shape (..., 32).
        theirs: the same.

    Returns:
        int, shape (...): 0 to `BITS`.
    """
    differing = np.bitwise_count(ours.view("<u8") ^ theirs.view("<u8"))
    total: NDArray[np.int64] = differing.sum(axis=-1, dtype=np.int64)
    return total


def _bends(values: NDArray[np.int16]) -> float:
    """The mean size of the second differences down the columns."""
    steps = values[1:] - values[:-1]
    bends = steps[1:] - steps[:-1]
    return float(np.abs(bends, out=bends).mean())


class Glances:
    """Glances at photos, found by their content.

    Args:
        root: the cache folder; None keeps everything in memory.
        near: the side in pixels that photos are decoded for, as of `open_photo`.
        progress: is told when the cache is damaged or cannot be written.
    """

    def __init__(self, root: Path | None, near: int, progress: Progress = SILENT) -> None:
        key = {"version": VERSION, "near": near, "decoding": images.DECODED_BY}
        self._rows = Rows(root, "glances", key, [("glance", GLANCE)], progress)
        self._near = near

    def holds(self, hashes: Sequence[str]) -> NDArray[np.bool_]:
        """Which photos were glanced at; bool, shape (n,)."""
        return self._rows.holds(hashes)

    def take(self, hashes: Sequence[str]) -> NDArray[Any]:
        """The glances at some photos; `GLANCE`, shape (n,)."""
        return self._rows.take(hashes, "glance")

    def add(self, hashes: Sequence[str], glances: Sequence[Any]) -> None:
        """Keep the glances at n photos."""
        self._rows.add(hashes, glance=glances)

    def bring(
        self,
        source: Source,
        reads: Sequence[Read],
        *,
        workers: int | None = None,
        progress: Progress = SILENT,
    ) -> list[Fault]:
        """Glance at the photos that are new, each decoded once.

        Args:
            source: where the photos are.
            reads: the photos.
            workers: threads; by default one more than cores.
            progress: where to show how it goes.

        Returns:
            A fault for each photo that cannot be decoded.
        """
        new = _without_copies(reads, self.holds([read.sha256 for read in reads]))
        waiting: dict[str, Any] = {}
        wrong: dict[str, PhotoError] = {}

        def glance_at(some: Sequence[Read]) -> tuple[dict[str, Any], dict[str, PhotoError]]:
            seen, bad = {}, {}
            for read in some:
                try:
                    data = source.read(read.photo)
                    opened = images.open_photo(data, read.photo.path, near=self._near)
                    seen[read.sha256] = glance(opened)
                except PhotoError as error:
                    bad[read.sha256] = error
            return seen, bad

        def flush() -> None:
            if waiting:
                self.add(list(waiting), list(waiting.values()))
                waiting.clear()

        if new:
            with progress.step("Looking at photos", len(new)) as advance:
                try:
                    for seen, bad in map_chunks(glance_at, new, size=_TOGETHER, workers=workers):
                        waiting |= seen
                        wrong |= bad
                        advance(len(seen) + len(bad))
                        if len(waiting) >= _SHARD:
                            flush()
                finally:
                    flush()  # what is done is kept, also when interrupted
        return faults_of(reads, wrong)


def _without_copies(reads: Sequence[Read], known: NDArray[np.bool_]) -> list[Read]:
    """The photos that are not known, of the same bytes one."""
    met: set[str] = set()
    new = []
    for read, held in zip(reads, known.tolist(), strict=True):
        if not held and read.sha256 not in met:
            met.add(read.sha256)
            new.append(read)
    return new
