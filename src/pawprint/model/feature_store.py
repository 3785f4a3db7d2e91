"""Features on disk, by what a photo contains: written once, memory-mapped, never changed.

```
<cache>/features/<key>/key.json            what shaped these features, to be read by people
<cache>/features/<key>/<sha256>.npy        a shard: photo hash, width, height and features in rows
```

A shard is written under a temporary name and renamed to the hash of its own bytes. So a process
that dies loses at most the shard it was filling, two processes write side by side without knowing
of each other, and a shard that was damaged is noticed, because its name no longer fits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.cache import cache_folder as cache_folder  # also had from here
from pawprint.progress import SILENT, Progress

_SCHEMA = 1


class FeatureStore:
    """Features of photos under one key.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = FeatureStore(Path(folder), {"cut": "demo"}, (2,), "float16")
    ...     store.add(["ab" * 32], [(640, 480)], [np.array([1, 2], "float16")])
    ...     again = FeatureStore(Path(folder), {"cut": "demo"}, (2,), "float16")
    ...     again.size_of("ab" * 32), again.take(["ab" * 32]).tolist()
    ((640, 480), [[1.0, 2.0]])

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
        self._row = np.dtype(
            [
                ("sha256", "u1", (32,)),
                ("width", "<u4"),
                ("height", "<u4"),
                ("features", np.dtype(dtype).newbyteorder("<"), shape),
            ]
        )
        self._key = {"schema": _SCHEMA, **key, "shape": list(shape), "dtype": dtype}
        self._progress = progress
        self._shards: list[NDArray[Any]] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        self._root = root
        self._folder: Path | None = None
        if root is not None:
            text = json.dumps(self._key, sort_keys=True)
            name = hashlib.sha256(text.encode()).hexdigest()[:24]
            self._folder = root / "features" / name
            self._open()

    def __contains__(self, sha256: str) -> bool:
        return bytes.fromhex(sha256) in self._places

    def size_of(self, sha256: str) -> tuple[int, int]:
        """The upright (width, height) of a photo in the store, in pixels."""
        shard, row = self._places[bytes.fromhex(sha256)]
        record = self._shards[shard][row]
        return int(record["width"]), int(record["height"])

    def take(self, hashes: Sequence[str], dtype: str = "float32") -> NDArray[Any]:
        """Copy the features of some photos out.

        Args:
            hashes: content hashes, all of photos in the store.
            dtype: of the copy.

        Returns:
            Shape (n, *shape), in the order asked for.
        """
        out = np.empty((len(hashes), *self._row["features"].shape), dtype)
        places = np.array([self._places[bytes.fromhex(h)] for h in hashes], np.int64).reshape(-1, 2)
        for shard in np.unique(places[:, 0]):
            asked = np.flatnonzero(places[:, 0] == shard)
            for part in np.array_split(asked, max(1, len(asked) // 256)):  # bounds the copy
                out[part] = self._shards[shard]["features"][places[part, 1]]
        return out

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
        shard = np.empty(len(hashes), self._row)
        shard["sha256"] = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, 32)
        shard["width"] = [width for width, _ in sizes]
        shard["height"] = [height for _, height in sizes]
        for row, values in enumerate(features):
            shard["features"][row] = values
        if self._folder is not None:
            try:
                shard = self._write(shard)
            except OSError as error:
                self._progress.say(
                    f"the feature cache cannot be written ({self._root}: {error.strerror}); "
                    "going on without it, so the next run computes these features again"
                )
                self._folder = None
        self._keep(shard)

    def _keep(self, shard: NDArray[Any]) -> None:
        number = len(self._shards)
        self._shards.append(shard)
        for row, digest in enumerate(shard["sha256"]):
            self._places[digest.tobytes()] = (number, row)

    def _open(self) -> None:
        assert self._folder is not None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            key_file = self._folder / "key.json"
            if not key_file.exists():
                _write_whole(key_file, json.dumps(self._key, indent=2).encode())
            os.utime(key_file)  # when these features were last used, for `cache info`
        except OSError as error:
            self._progress.say(
                f"the feature cache cannot be used ({self._root}: {error.strerror}); set "
                "PAWPRINT_CACHE to a folder that can be written to keep features between runs"
            )
            if not self._folder.is_dir():
                self._folder = None
                return
        for path in sorted(self._folder.glob("*.npy")):
            shard = self._map(path)
            if shard is not None:
                self._keep(shard)

    def _map(self, path: Path) -> NDArray[Any] | None:
        """Memory-map a shard, or remove it where it is not what its name says."""
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest == path.stem:
                shard: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
                if shard.dtype == self._row:
                    return shard
        except FileNotFoundError:  # `cache clear` beside us
            return None
        except OSError as error:
            self._progress.say(f"{path} cannot be read ({error.strerror}) and is not used")
            return None
        except ValueError:
            pass
        self._progress.say(f"{path} is damaged and not used; its features are computed again")
        with contextlib.suppress(OSError):  # where the cache is read only
            path.unlink(missing_ok=True)
        return None

    def _write(self, shard: NDArray[Any]) -> NDArray[Any]:
        assert self._folder is not None
        handle, temporary = tempfile.mkstemp(prefix=".part-", dir=self._folder)
        try:
            with os.fdopen(handle, "w+b") as file:
                np.save(file, shard, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                path = self._folder / f"{hashlib.file_digest(file, 'sha256').hexdigest()}.npy"
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped


class Stores:
    """Several stores that are filled in one pass over the photos.

    Args:
        stores: each for one of the features that a photo is given.
    """

    def __init__(self, stores: Sequence[FeatureStore]) -> None:
        self._stores = stores

    def __contains__(self, sha256: str) -> bool:
        return all(sha256 in store for store in self._stores)

    def size_of(self, sha256: str) -> tuple[int, int]:
        """As `FeatureStore.size_of`."""
        return self._stores[0].size_of(sha256)

    def add(
        self,
        hashes: Sequence[str],
        sizes: Sequence[tuple[int, int]],
        features: Sequence[tuple[NDArray[Any], ...]],
    ) -> None:
        """As `FeatureStore.add`, with a tuple of features for each photo; none is kept twice."""
        for number, store in enumerate(self._stores):
            new = [row for row, sha256 in enumerate(hashes) if sha256 not in store]
            if new:
                store.add(
                    [hashes[row] for row in new],
                    [sizes[row] for row in new],
                    [features[row][number] for row in new],
                )


def _write_whole(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class CacheEntry:
    """One set of features in the cache.

    Args:
        folder: where it lies.
        key: what shaped it.
        photos: how many rows its shards hold.
        bytes: on disk.
        used: when it was last used, seconds since the epoch.
    """

    folder: Path
    key: dict[str, Any]
    photos: int
    bytes: int
    used: float


def entries(root: Path | None = None) -> list[CacheEntry]:
    """What the feature cache holds, last used first.

    Args:
        root: the cache folder; by default the user's.
    """
    found = []
    for key_file in ((root or cache_folder()) / "features").glob("*/key.json"):
        try:
            key = json.loads(key_file.read_text("utf-8"))
            used = key_file.stat().st_mtime
            row = np.dtype(key["dtype"]).itemsize * int(np.prod(key["shape"])) + 40
            shards = [path.stat().st_size for path in key_file.parent.glob("*.npy")]
        except (OSError, ValueError, KeyError):
            continue  # being cleared, or not ours
        photos = sum(size // row for size in shards)
        found.append(CacheEntry(key_file.parent, key, photos, sum(shards), used))
    return sorted(found, key=lambda entry: -entry.used)


def clear(root: Path | None = None) -> int:
    """Remove all cached features.

    Args:
        root: the cache folder; by default the user's.

    Returns:
        The number of bytes freed.
    """
    freed = sum(entry.bytes for entry in entries(root))
    features = (root or cache_folder()) / "features"
    if features.is_dir():
        shutil.rmtree(features, ignore_errors=True)  # a training may be writing beside us
    return freed
