"""Rows on disk by a SHA-256: written once, memory-mapped, never changed.

```
<cache>/<kind>/<key>/key.json            what shaped these rows, to be read by people
<cache>/<kind>/<key>/<sha256>.npy        a shard: some rows, each behind its own SHA-256
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
from numpy.typing import DTypeLike, NDArray

from pawprint.data.cache import UNFINISHED, cache_folder, replacing
from pawprint.progress import SILENT, Progress

KINDS = ("features", "glances", "reads")
_SHA256 = ("sha256", "u1", (32,))
_SCHEMA = 1
_LOOKED_UP = 4096  # hashes at once, which bounds what they take in other forms
_COPIED = 256  # rows taken out of a shard at once, which bounds the copy


class Rows:
    """Rows of one dtype under one key, each found by a SHA-256 of its own.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = Rows(Path(folder), "glances", {"of": "demo"}, [("light", "<f4")])
    ...     rows.add(["ab" * 32], light=[0.5])
    ...     again = Rows(Path(folder), "glances", {"of": "demo"}, [("light", "<f4")])
    ...     again.holds(["ab" * 32, "cd" * 32]).tolist(), again.take(["ab" * 32], "light").tolist()
    ([True, False], [0.5])

    Args:
        root: the cache folder; None keeps everything in memory.
        kind: one of `KINDS`.
        key: everything that shapes a row but what its SHA-256 is of, as plain values.
        fields: of a row, as NumPy's structured dtypes name them.
        progress: is told when the cache is damaged or cannot be written.
    """

    def __init__(
        self,
        root: Path | None,
        kind: str,
        key: dict[str, Any],
        fields: Sequence[tuple[Any, ...]],
        progress: Progress = SILENT,
    ) -> None:
        self._row = np.dtype([_SHA256, *fields])
        self._progress = progress
        self._key = {"schema": _SCHEMA, **key}
        self._shards: list[NDArray[Any]] = []
        self._index: tuple[NDArray[np.bytes_], NDArray[np.uint32]] | None = None
        self._root = root
        self._folder: Path | None = None
        if root is not None:
            text = json.dumps(self._key, sort_keys=True)
            self._folder = root / kind / hashlib.sha256(text.encode()).hexdigest()[:24]
            self._open()

    def __contains__(self, sha256: str) -> bool:
        return bool(self.holds([sha256])[0])

    def holds(self, hashes: Sequence[str]) -> NDArray[np.bool_]:
        """Which of these there are rows of; bool, shape (n,)."""
        return self._places(hashes)[1]

    def take(
        self, hashes: Sequence[str], field: str, dtype: DTypeLike | None = None
    ) -> NDArray[Any]:
        """Copy a field of some rows out.

        Args:
            hashes: all of rows that are there.
            field: which.
            dtype: of the copy; by default the field's own.

        Returns:
            Shape (n, *shape of the field), in the order asked for.
        """
        kind = self._row[field]
        out = np.empty((len(hashes), *kind.shape), dtype or kind.base)
        places, found = self._places(hashes)
        if not found.all():
            raise KeyError(hashes[int(np.argmin(found))])
        for shard in np.unique(places[:, 0]):
            asked = np.flatnonzero(places[:, 0] == shard)
            for part in np.array_split(asked, max(1, len(asked) // _COPIED)):
                out[part] = self._shards[shard][field][places[part, 1]]
        return out

    def add(self, hashes: Sequence[str], **fields: Any) -> None:
        """Keep some rows, as one shard.

        Args:
            hashes: of n rows.
            fields: n values for each field.
        """
        shard = np.empty(len(hashes), self._row)
        shard["sha256"] = _digests(hashes).view(np.uint8).reshape(-1, 32)
        for field, values in fields.items():
            for row, value in enumerate(values):
                shard[field][row] = value
        if self._folder is not None:
            try:
                shard = self._write(shard)
            except OSError as error:
                self._progress.say(
                    f"the cache cannot be written ({self._root}: {error.strerror}); going on "
                    "without it, so the next run computes again what this one does"
                )
                self._folder = None
        self._keep(shard)

    def _keep(self, shard: NDArray[Any]) -> None:
        self._shards.append(shard)
        self._index = None

    def _places(self, hashes: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """For each its shard and row, and whether it is there at all."""
        if self._index is None:
            counts = [len(shard) for shard in self._shards]
            places = np.empty((sum(counts), 2), np.uint32)
            places[:, 0] = np.repeat(np.arange(len(counts)), counts)
            places[:, 1] = np.concatenate([np.arange(0), *map(np.arange, counts)])
            digests = [_as_text(np.ascontiguousarray(shard["sha256"])) for shard in self._shards]
            keys = np.concatenate([np.empty(0, "S32"), *digests])
            order = np.argsort(keys, kind="stable")
            self._index = keys[order], places[order]
        keys, places = self._index
        found = np.zeros((len(hashes), 2), np.uint32)
        held = np.zeros(len(hashes), bool)
        for start in range(0, len(hashes) if len(keys) else 0, _LOOKED_UP):
            asked = _digests(hashes[start : start + _LOOKED_UP])
            at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
            found[start : start + _LOOKED_UP] = places[at]
            held[start : start + _LOOKED_UP] = keys[at] == asked
        return found, held

    def _open(self) -> None:
        assert self._folder is not None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            key_file = self._folder / "key.json"
            if not key_file.exists():
                with replacing(key_file) as file:
                    file.write(json.dumps(self._key, indent=2).encode())
            os.utime(key_file)  # when these rows were last used, for `cache info`
        except OSError as error:
            self._progress.say(
                f"the cache cannot be used ({self._root}: {error.strerror}); set PAWPRINT_CACHE to "
                "a folder that can be written to keep what is computed between runs"
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
        self._progress.say(f"{path} is damaged and not used; what it held is computed again")
        with contextlib.suppress(OSError):  # where the cache is read only
            path.unlink(missing_ok=True)
        return None

    def _write(self, shard: NDArray[Any]) -> NDArray[Any]:
        assert self._folder is not None
        handle, temporary = tempfile.mkstemp(prefix=UNFINISHED, dir=self._folder)
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


@dataclass(frozen=True)
class CacheEntry:
    """Rows of one key in the cache.

    Args:
        folder: where they lie.
        kind: one of `KINDS`.
        key: what shaped them.
        photos: how many rows there are.
        bytes: on disk.
        used: when they were last used, seconds since the epoch.
    """

    folder: Path
    kind: str
    key: dict[str, Any]
    photos: int
    bytes: int
    used: float


def entries(root: Path | None = None) -> list[CacheEntry]:
    """What the cache holds, last used first.

    Args:
        root: the cache folder; by default the user's.
    """
    found = []
    for kind in KINDS:
        for key_file in ((root or cache_folder()) / kind).glob("*/key.json"):
            shards = list(key_file.parent.glob("*.npy"))
            try:
                key = json.loads(key_file.read_text("utf-8"))
                used = key_file.stat().st_mtime
                photos = sum(len(np.load(path, mmap_mode="r")) for path in shards)
                size = sum(path.stat().st_size for path in shards)
            except (OSError, ValueError):
                continue  # being cleared, or not ours
            if "schema" not in key:
                continue
            found.append(CacheEntry(key_file.parent, kind, key, photos, size, used))
    return sorted(found, key=lambda entry: -entry.used)


def clear(root: Path | None = None) -> int:
    """Remove all rows of all kinds.

    Args:
        root: the cache folder; by default the user's.

    Returns:
        The number of bytes freed.
    """
    freed = sum(entry.bytes for entry in entries(root))
    for kind in KINDS:
        # A training may be writing beside us.
        shutil.rmtree((root or cache_folder()) / kind, ignore_errors=True)
    return freed


def _digests(hashes: Sequence[str]) -> NDArray[np.bytes_]:
    """Hashes in hexadecimal as strings of their 32 bytes, which sort; shape (n,)."""
    return _as_text(np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, 32))


def _as_text(digests: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    return digests.view("S32").reshape(-1)
