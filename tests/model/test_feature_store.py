"""The feature store: what was computed is kept whole, found again, and never believed blindly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pawprint.data import rows as cached
from pawprint.model.feature_store import FeatureStore

KEY: dict[str, Any] = {"cut": "demo", "size": 32, "policy": "squash"}


def hashes(start: int, stop: int) -> list[str]:
    return [f"{n:064x}" for n in range(start, stop)]


def rows(start: int, stop: int) -> list[np.ndarray]:
    return [np.array([n, n + 0.5], np.float16) for n in range(start, stop)]


def opened(root: Path | None, progress: Any = None, key: dict[str, Any] = KEY) -> FeatureStore:
    more = {} if progress is None else {"progress": progress}
    return FeatureStore(root, key, (2,), "float16", **more)


def filled(root: Path, start: int = 0, stop: int = 10) -> Path:
    """Add one shard and give its file."""
    before = set(root.rglob("*.npy"))
    sizes = [(n + 1, 2 * n + 1) for n in range(start, stop)]
    opened(root).add(hashes(start, stop), sizes, rows(start, stop))
    (shard,) = set(root.rglob("*.npy")) - before
    return shard


def test_features_and_sizes_are_found_again_in_any_order(tmp_path: Path) -> None:
    filled(tmp_path, 0, 600)
    filled(tmp_path, 600, 900)
    store = opened(tmp_path)
    asked = np.random.default_rng(0).permutation(900)
    found = store.take([f"{n:064x}" for n in asked])
    assert found.dtype == np.float32
    assert np.array_equal(found, np.stack([rows(n, n + 1)[0] for n in asked]).astype(np.float32))
    assert store.sizes_of([f"{n:064x}" for n in (0, 5, 899)]) == [(1, 1), (6, 11), (900, 1799)]


def test_what_is_not_there_is_not_claimed(tmp_path: Path) -> None:
    filled(tmp_path)
    store = opened(tmp_path)
    assert hashes(9, 10)[0] in store
    assert hashes(10, 11)[0] not in store
    with pytest.raises(KeyError):
        store.take(hashes(10, 11))


def test_taking_nothing_gives_no_rows(tmp_path: Path) -> None:
    assert opened(tmp_path).take([]).shape == (0, 2)


@pytest.mark.parametrize(
    "change", [{"policy": "crop"}, {"size": 64}, {"cut": "other"}, {"decoding": 2}]
)
def test_another_key_is_another_store(tmp_path: Path, change: dict[str, Any]) -> None:
    filled(tmp_path)
    assert hashes(0, 1)[0] not in opened(tmp_path, key={**KEY, **change})
    assert hashes(0, 1)[0] in opened(tmp_path, key=dict(reversed(KEY.items())))


def test_another_shape_or_type_is_another_store(tmp_path: Path) -> None:
    filled(tmp_path)
    assert hashes(0, 1)[0] not in FeatureStore(tmp_path, KEY, (3,), "float16")
    assert hashes(0, 1)[0] not in FeatureStore(tmp_path, KEY, (2,), "uint8")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_text(path: Path) -> None:
    path.write_bytes(b"not an array")


@pytest.mark.parametrize("damage", [flip, cut, empty, replace_by_text])
def test_a_damaged_shard_is_noticed_removed_and_rebuilt(
    tmp_path: Path, damage: Callable[[Path], None], listener: Any
) -> None:
    whole, broken = filled(tmp_path, 0, 10), filled(tmp_path, 10, 20)
    intact = broken.read_bytes()
    damage(broken)
    store = opened(tmp_path, listener)
    assert [str(broken) in said and "damaged" in said for said in listener.said] == [True]
    assert not broken.exists()
    assert whole.exists()
    assert [h in store for h in (*hashes(9, 10), *hashes(10, 11))] == [True, False]
    filled(tmp_path, 10, 20)
    assert broken.read_bytes() == intact
    assert np.array_equal(opened(tmp_path).take(hashes(10, 20)), np.stack(rows(10, 20)))


def test_a_half_written_shard_of_a_process_that_died_is_not_read(tmp_path: Path) -> None:
    shard = filled(tmp_path)
    shutil.copy(shard, shard.with_name(".part-dead"))
    (shard.parent / ".part-dead").write_bytes(shard.read_bytes()[:40])
    store = opened(tmp_path)
    assert np.array_equal(store.take(hashes(0, 10)), np.stack(rows(0, 10)))


def test_a_file_in_place_of_the_folder_goes_on_in_memory_and_says_so(
    tmp_path: Path, listener: Any
) -> None:
    root = tmp_path / "cache"
    root.write_text("a file")
    store = opened(root, listener)
    store.add(hashes(0, 3), [(1, 1)] * 3, rows(0, 3))
    assert np.array_equal(store.take(hashes(0, 3)), np.stack(rows(0, 3)))
    assert len(listener.said) == 1
    assert "cannot be used" in listener.said[0]
    assert "PAWPRINT_CACHE" in listener.said[0]
    assert root.read_text() == "a file"


def test_a_cache_that_vanishes_goes_on_in_memory_and_says_so(tmp_path: Path, listener: Any) -> None:
    root = tmp_path / "cache"
    store = opened(root, listener)
    shutil.rmtree(root)
    for start in (0, 3):
        store.add(hashes(start, start + 3), [(1, 1)] * 3, rows(start, start + 3))
    assert np.array_equal(store.take(hashes(0, 6)), np.stack(rows(0, 6)))
    assert len(listener.said) == 1
    assert "cannot be written" in listener.said[0]


def test_without_a_root_nothing_is_written(tmp_path: Path, cache: Path) -> None:
    before = set(cache.rglob("*"))
    store = opened(None)
    store.add(hashes(0, 3), [(1, 1)] * 3, rows(0, 3))
    assert np.array_equal(store.take(hashes(0, 3)), np.stack(rows(0, 3)))
    assert set(cache.rglob("*")) == before


WRITER = """
import sys
from pathlib import Path
import numpy as np
from pawprint.model.feature_store import FeatureStore

root, first = Path(sys.argv[1]), int(sys.argv[2])
sys.stdin.readline()
for start in range(first, first + 200, 10):
    store = FeatureStore(root, {"cut": "demo", "size": 32, "policy": "squash"}, (2,), "float16")
    some = range(start, start + 10)
    store.add([f"{n:064x}" for n in some], [(n + 1, 1) for n in some],
              [np.array([n, n + 0.5], np.float16) for n in some])
    assert store.take([f"{n:064x}" for n in some])[:, 0].tolist() == list(some)
"""


def test_two_processes_write_at_once(tmp_path: Path, listener: Any) -> None:
    firsts = (0, 100)  # half of what they write is the same
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(first)], stdin=subprocess.PIPE
        )
        for first in firsts
    ]
    for writer in writers:
        writer.communicate(b"go\n", timeout=240)
    assert [writer.returncode for writer in writers] == [0, 0]
    store = opened(tmp_path, listener)
    assert listener.said == []
    assert np.array_equal(store.take(hashes(0, 300)), np.stack(rows(0, 300)).astype(np.float32))
    assert list(tmp_path.rglob(".part-*")) == []


def wide(root: Path, cut: str, count: int) -> None:
    """Features as wide as real ones are."""
    store = FeatureStore(root, {**KEY, "cut": cut}, (1280,), "float16")
    if count:
        store.add(hashes(0, count), [(1, 1)] * count, [np.zeros(1280, np.float16)] * count)


def test_entries_say_what_the_cache_holds_last_used_first(tmp_path: Path) -> None:
    wide(tmp_path, "demo", 7)
    wide(tmp_path, "demo", 3)
    wide(tmp_path, "other", 0)
    old = cached.entries(tmp_path)
    os.utime(next(e for e in old if e.key["cut"] == "demo").folder / "key.json", (0, 0))
    other, demo = cached.entries(tmp_path)
    assert (other.key["cut"], other.photos, other.bytes) == ("other", 0, 0)
    assert (demo.key["cut"], demo.photos) == ("demo", 10)
    assert demo.bytes == sum(path.stat().st_size for path in demo.folder.glob("*.npy"))


def test_clearing_leaves_nothing_and_says_how_much_it_was(tmp_path: Path) -> None:
    size = filled(tmp_path).stat().st_size
    (tmp_path / "mine.txt").write_text("not the cache's")
    assert cached.clear(tmp_path) == size
    assert cached.entries(tmp_path) == []
    assert [path.name for path in tmp_path.rglob("*")] == ["mine.txt"]
    assert cached.clear(tmp_path) == 0


def test_a_foreign_folder_in_the_cache_does_not_matter(tmp_path: Path) -> None:
    wide(tmp_path, "demo", 10)
    for name, text in (("a", "{}"), ("b", "no json"), ("c", '{"dtype": "float16"}')):
        (tmp_path / "features" / name).mkdir()
        (tmp_path / "features" / name / "key.json").write_text(text)
    assert [entry.photos for entry in cached.entries(tmp_path)] == [10]


READ_ONLY = """
import sys
from pathlib import Path
from pawprint.model.feature_store import FeatureStore
from pawprint.progress import Terminal

store = FeatureStore(Path(sys.argv[1]), {"cut": "demo", "size": 32, "policy": "squash"}, (2,),
                     "float16", Terminal())
print([f"{n:064x}" in store for n in (0, 10)])
"""


def test_a_damaged_shard_in_a_cache_that_is_read_only_is_passed_over(
    tmp_path: Path, bound: list[str], shut: Callable[[Path, int], Path]
) -> None:
    filled(tmp_path, 0, 10)
    broken = filled(tmp_path, 10, 20)
    flip(broken)
    shut(broken.parent, 0o555)
    ran = subprocess.run(
        [*bound, sys.executable, "-c", READ_ONLY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ran.stdout.strip() == "[True, False]", ran.stderr
