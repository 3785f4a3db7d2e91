"""Photos through decoding, augmentation and prefix: kept in a store, or streamed anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data import images
from pawprint.data.dataset import Fault, Read
from pawprint.data.images import Pixels, Preprocessing
from pawprint.data.sources import Source
from pawprint.errors import PhotoError, SourceError
from pawprint.model.feature_store import FeatureStore, Stores
from pawprint.model.prefix import Prefix
from pawprint.parallel import map_chunks
from pawprint.progress import SILENT, Progress

_CHUNK = 64  # photos decoded, then inferred, by one thread: larger gains nothing, only memory
_STREAMED = 32  # the same when streamed: a batch or two are wanted at a time
_SHARD_PHOTOS = 1024  # photos a shard at least, so what an interruption costs;
_SHARDS = 16  # more where there would be more shards than this,
_SHARD_BYTES = 64 * 2**20  # and fewer where they would take more memory than this

# What is done to a photo's pixels on the way, given its content hash.
Change = Callable[[Pixels, str], Pixels]

_Embedded = tuple[list[tuple[str, tuple[int, int], Any]], dict[str, str]]


def key_of(prefix: Prefix, preprocessing: Preprocessing) -> dict[str, Any]:
    """Everything that shapes features but the photo itself."""
    return {**prefix.key, "decoding": images.DECODED_BY, **preprocessing.model_dump()}


def _shard_size(prefix: Prefix, photos: int) -> int:
    row = 40 + np.dtype(prefix.dtype).itemsize * int(np.prod(prefix.shape))
    return min(max(_SHARD_PHOTOS, photos // _SHARDS), max(1, _SHARD_BYTES // row))


def _embed_some(
    source: Source,
    prefix: Prefix,
    preprocessing: Preprocessing,
    change: Change | None,
    chunk: Sequence[Read],
) -> _Embedded:
    """Decode all photos of a chunk, then compute all; and the reasons of those that cannot be."""
    found, pixels, wrong = [], [], {}
    for read in chunk:
        try:
            data = source.read(read.photo)
            square, width, height = preprocessing.measured(data, read.photo.path)
        except PhotoError as error:
            wrong[read.sha256] = error.reason
            continue
        found.append((read.sha256, (width, height)))
        pixels.append(change(square, read.sha256) if change else square)
    features = prefix(pixels) if pixels else []
    rows = [(h, size, row) for (h, size), row in zip(found, features, strict=True)]
    return rows, wrong


def embed(
    source: Source,
    reads: Sequence[Read],
    prefix: Prefix,
    preprocessing: Preprocessing,
    store: FeatureStore | Stores,
    *,
    change: Change | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> tuple[dict[str, tuple[int, int]], list[Fault]]:
    """Bring the store up to date with some photos.

    Args:
        source: where the photos are.
        reads: the photos, with their content hashes.
        prefix: what makes features of pixels.
        preprocessing: what makes pixels of bytes.
        store: where features go; those it has are not computed again.
        change: what is done to the pixels before, such as an augmentation.
        workers: threads; by default one more than cores.
        progress: where to show how it goes.

    Returns:
        By content hash, the upright (width, height) of every photo that could be decoded; and a
        fault for each that could not.
    """

    missing = list({read.sha256: read for read in reads if read.sha256 not in store}.values())
    reasons: dict[str, str] = {}
    waiting: list[tuple[str, tuple[int, int], Any]] = []

    def flush() -> None:
        if waiting:
            hashes, sizes, features = zip(*waiting, strict=True)
            store.add(hashes, sizes, features)
            waiting.clear()

    shard = _shard_size(prefix, len(missing))
    work = partial(_embed_some, source, prefix, preprocessing, change)
    if missing:
        with progress.step("Computing features", len(missing)) as advance:
            try:
                for rows, wrong in map_chunks(work, missing, size=_CHUNK, workers=workers):
                    waiting += rows
                    reasons |= wrong
                    advance(len(rows) + len(wrong))
                    if len(waiting) >= shard:
                        flush()
            finally:
                flush()  # what is done is kept, also when interrupted
    sizes = {read.sha256: store.size_of(read.sha256) for read in reads if read.sha256 in store}
    faults = [
        Fault(read.photo.path, reasons[read.sha256]) for read in reads if read.sha256 in reasons
    ]
    return sizes, faults


def stream(
    source: Source,
    reads: Sequence[Read],
    prefix: Prefix,
    preprocessing: Preprocessing,
    change: Change | None = None,
    *,
    workers: int | None = None,
) -> Iterator[list[NDArray[Any]]]:
    """Features of photos in order, computed as they are asked for and kept nowhere.

    Args:
        source: where the photos are.
        reads: the photos, in the order wanted.
        prefix: what makes features of pixels.
        preprocessing: what makes pixels of bytes.
        change: what is done to the pixels before, such as an augmentation.
        workers: threads; by default one more than cores.

    Returns:
        Features of some photos at a time.

    Raises:
        SourceError: a photo that could be read before cannot be read now.
    """
    work = partial(_embed_some, source, prefix, preprocessing, change)
    for rows, wrong in map_chunks(work, reads, size=_STREAMED, workers=workers):
        if wrong:
            paths = {read.sha256: read.photo.path for read in reads}
            sha256, reason = next(iter(wrong.items()))
            raise gone(Fault(paths[sha256], reason))
        yield [features for _, _, features in rows]


def gone(fault: Fault) -> SourceError:
    """The error for a photo that could be read when the training began and cannot be now."""
    return SourceError(
        f"{fault.path} could be read when the training began and cannot now: {fault.reason}; put "
        "it back and run the same command with --resume"
    )
