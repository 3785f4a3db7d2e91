"""Photos through decoding, augmentation and prefix: kept in a store, or streamed anew."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pawprint.data import images
from pawprint.data.glance import Glances, glance
from pawprint.data.images import Pixels, Preprocessing, open_photo
from pawprint.data.reading import Fault, Read, faults_of
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

_Embedded = tuple[list["_Row"], dict[str, PhotoError]]


class _Row(NamedTuple):
    """What is known of a photo once it went through the network."""

    sha256: str
    size: tuple[int, int]
    glance: Any  # None where it was glanced at before
    features: Any


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
    unseen: Container[str],
    chunk: Sequence[Read],
) -> _Embedded:
    """Decode all photos of a chunk, then compute all; and what is wrong with those that fail.

    Photos in `unseen` are also glanced at.
    """
    found, pixels, wrong = [], [], {}
    for read in chunk:
        sha256 = read.sha256
        try:
            opened = open_photo(source.read(read.photo), read.photo.path, near=preprocessing.size)
        except PhotoError as error:
            wrong[sha256] = error
            continue
        seen = glance(opened) if sha256 in unseen else None
        found.append((sha256, (opened.width, opened.height), seen))
        square = preprocessing.fit(opened.picture)
        pixels.append(change(square, sha256) if change else square)
    features = prefix(pixels) if pixels else []
    rows = [_Row(*known, row) for known, row in zip(found, features, strict=True)]
    return rows, wrong


def embed(
    source: Source,
    reads: Sequence[Read],
    prefix: Prefix,
    preprocessing: Preprocessing,
    store: FeatureStore | Stores,
    *,
    glances: Glances | None = None,
    change: Change | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> tuple[dict[str, tuple[int, int]], list[Fault]]:
    """Bring the store up to date with some photos, each decoded once.

    Args:
        source: where the photos are.
        reads: the photos, with their content hashes.
        prefix: what makes features of pixels.
        preprocessing: what makes pixels of bytes.
        store: where features go; those it has are not computed again.
        glances: where photos that are new to it are glanced at on the way, if anywhere.
        change: what is done to the pixels before, such as an augmentation.
        workers: threads; by default one more than cores.
        progress: where to show how it goes.

    Returns:
        By content hash, the upright (width, height) of every photo that could be decoded; and a
        fault for each that could not.
    """

    by_hash = {read.sha256: read for read in reads}
    missing = _lacking(by_hash, store)
    unseen = {read.sha256 for read in _lacking(by_hash, glances)} if glances else set[str]()
    wrong: dict[str, PhotoError] = {}
    waiting: list[_Row] = []

    def flush() -> None:
        if waiting:
            hashes = [row.sha256 for row in waiting]
            store.add(hashes, [row.size for row in waiting], [row.features for row in waiting])
            seen = [row for row in waiting if row.glance is not None]
            if glances and seen:
                glances.add([row.sha256 for row in seen], [row.glance for row in seen])
            waiting.clear()

    shard = _shard_size(prefix, len(missing))
    work = partial(_embed_some, source, prefix, preprocessing, change, unseen)
    if missing:
        with progress.step("Computing features", len(missing)) as advance:
            try:
                for rows, bad in map_chunks(work, missing, size=_CHUNK, workers=workers):
                    waiting += rows
                    wrong |= bad
                    advance(len(rows) + len(bad))
                    if len(waiting) >= shard:
                        flush()
            finally:
                flush()  # what is done is kept, also when interrupted
    if glances:  # of photos whose features were there already
        left = [read for sha256, read in by_hash.items() if sha256 not in wrong]
        glances.bring(source, left, workers=workers, progress=progress)
    hashes = [sha256 for sha256 in by_hash if sha256 not in wrong]
    return dict(zip(hashes, store.sizes_of(hashes), strict=True)), faults_of(reads, wrong)


def _lacking(by_hash: Mapping[str, Read], store: FeatureStore | Stores | Glances) -> list[Read]:
    """The photos that a store has not."""
    held = store.holds(list(by_hash))
    return [read for read, there in zip(by_hash.values(), held, strict=True) if not there]


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
    work = partial(_embed_some, source, prefix, preprocessing, change, ())
    for rows, wrong in map_chunks(work, reads, size=_STREAMED, workers=workers):
        if wrong:
            raise gone(Fault.of(next(iter(wrong.values()))))
        yield [row.features for row in rows]


def gone(fault: Fault) -> SourceError:
    """The error for a photo that could be read when the training began and cannot be now."""
    return SourceError(
        f"{fault.path} could be read when the training began and cannot now: {fault.reason}; put "
        "it back and run the same command with --resume"
    )
