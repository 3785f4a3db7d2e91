"""Reading: every photo once, unchanged ones not again, and nothing that changed is believed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawprint.data.reading import Fault, Read, read_all, skipped
from pawprint.data.sources import Source, open_source

SETTLED = 2.1  # seconds after which a file counts as unchanged
LONG_AGO = 1_600_000_000
NAMES = tuple(f"{label}/{number}.jpg" for label in ("cat", "dog") for number in range(5))


def put(folder: Path, *names: str) -> Path:
    """Files that are no photos, which reading does not ask for; their times are long ago."""
    for name in names or NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"bytes of {name}".encode())
        os.utime(path, (LONG_AGO, LONG_AGO))
    return folder


def packed(folder: Path, archive: Path) -> Path:
    """A zip or tar archive of a folder, as its name says."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as made:
            for name in NAMES:
                made.write(folder / name, name)
    else:
        with tarfile.open(archive, "w:gz") as made:
            made.add(folder, ".")
    return archive


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos and archives of them that have not changed for a while, some for one test each."""
    place = tmp_path_factory.mktemp("settled")
    put(place / "photos")
    for archive in ("photos.zip", "photos.tar.gz"):
        packed(place / "photos", place / archive)
    (place / "pets.csv").write_text(
        "\n".join(["path,label", *(f"photos/{name},{name[:3]}" for name in NAMES)])
    )
    (place / "link").symlink_to(place / "photos")
    for name in ("in place", "renamed", "moves", "away"):
        put(place / name / "photos")
    time.sleep(SETTLED)
    return place


@pytest.fixture
def count(tmp_path: Path, listener: Any) -> Callable[..., int]:
    """Read a source with a cache, and give how many photos were read for it."""

    def read(source: str | Path) -> int:
        before: int = listener.steps.get("Reading photos", 0)
        with open_source(source) as opened:
            reads, faults = read_all(opened, root=tmp_path / "cache", progress=listener)
            plain, same = read_all(opened)
        assert (reads, faults) == (plain, same)
        after: int = listener.steps.get("Reading photos", 0)
        return after - before

    return read


def watched(folder: Path, asked: list[str]) -> Source:
    """A source that notes which photos are read."""
    source = open_source(folder)
    photo_of = {photo.path: photo for photo in source.photos}

    def read(path: str) -> bytes:
        asked.append(path)
        return source.read(photo_of[path])

    found = (list(source.photos), list(source.skipped))
    return Source(source.name, found, read, source.close, place=source.place, folder=str(folder))


def test_each_photo_is_read_and_hashed_in_the_sources_order(place: Path) -> None:
    with open_source(place / "photos") as source:
        reads, faults = read_all(source)
    assert faults == []
    assert [read.photo for read in reads] == list(source.photos)
    for name, read in zip(NAMES, reads, strict=True):
        data = (place / "photos" / name).read_bytes()
        assert (read.sha256, read.bytes) == (hashlib.sha256(data).hexdigest(), len(data))


def test_what_cannot_be_read_is_a_fault_of_its_kind(tmp_path: Path) -> None:
    folder = put(tmp_path / "photos")
    (folder / "cat" / "empty.jpg").write_bytes(b"")
    (folder / "dog" / "0.jpg").unlink()
    (folder / "dog" / "0.jpg").symlink_to("1.jpg")
    (folder / "notes.txt").write_text("mine")
    with open_source(folder) as source:
        (folder / "cat" / "2.jpg").unlink()
        reads, faults = read_all(source, root=tmp_path / "cache")
        assert len(reads) == 9
        assert [(Path(fault.path).name, fault.kind) for fault in faults] == [
            ("2.jpg", "unreadable"),
            ("empty.jpg", "empty"),
        ]
        assert faults[0].reason == "cannot be read (no such file or directory)"
        (other,) = skipped(source)
        assert other == Fault(str(folder), "1 file that is no photo by its name")


def test_unchanged_photos_are_not_read_again(place: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    with watched(place / "photos", asked) as source:
        first = read_all(source, root=tmp_path / "cache")
        assert asked == [photo.path for photo in source.photos]
    asked.clear()
    with watched(place / "photos", asked) as source:
        assert read_all(source, root=tmp_path / "cache") == first
        assert asked == []
        assert read_all(source) == first  # without a cache
        assert len(asked) == len(NAMES)


@pytest.mark.parametrize("name", ["photos", "photos.zip", "photos.tar.gz", "pets.csv", "link"])
def test_any_source_is_read_once(place: Path, count: Callable[..., int], name: str) -> None:
    assert [count(place / name) for _ in range(3)] == [len(NAMES), 0, 0]


def test_another_spelling_of_the_same_place_is_the_same(
    place: Path, count: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert count(place / "photos") == len(NAMES)
    monkeypatch.chdir(place)
    spellings = ["photos", "./photos", "photos/", "photos//", "away/../photos", f"{place}/photos/"]
    assert [count(spelling) for spelling in spellings] == [0] * 6
    monkeypatch.chdir(place / "photos")
    assert count(".") == 0


def test_a_folder_in_the_place_of_another_is_read(place: Path, count: Callable[..., int]) -> None:
    one, other = place / "moves", place / "away"
    assert count(one / "photos") == len(NAMES)
    (one / "photos").rename(place / "moved")
    assert count(place / "moved") == len(NAMES)
    (other / "photos").rename(one / "photos")  # the same names, sizes and times of change
    assert count(one / "photos") == len(NAMES)


@pytest.mark.parametrize("how", ["in place", "renamed"])
def test_a_photo_that_changed_is_read_though_its_size_and_time_are_the_same(
    place: Path, tmp_path: Path, listener: Any, how: str
) -> None:
    folder = place / how / "photos"
    with open_source(folder) as source:
        photo = source.photos[3]
        path = Path(photo.path)
        before, stamp = path.stat(), source.stamp(photo)
        known, _ = read_all(source, root=tmp_path / "cache")
        data = path.read_bytes()[::-1]
        target = path if how == "in place" else tmp_path / "new"
        target.write_bytes(data)
        target.rename(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = path.stat()
        assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        assert stamp is not None
        assert source.stamp(photo) != stamp
        found, _ = read_all(source, root=tmp_path / "cache", progress=listener)
    assert listener.steps == {"Reading photos": 1}
    assert found[:3] + found[4:] == known[:3] + known[4:]
    assert found[3] == Read(photo, hashlib.sha256(data).hexdigest(), len(data))


def test_what_changed_only_just_now_is_not_remembered(
    tmp_path: Path, count: Callable[..., int]
) -> None:
    folder = put(tmp_path / "photos")  # times long ago, but for that of the change itself
    assert [count(folder) for _ in range(2)] == [len(NAMES)] * 2
    assert [count(packed(folder, tmp_path / "photos.zip")) for _ in range(2)] == [len(NAMES)] * 2
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_times_to_come_are_not_trusted(place: Path, tmp_path: Path, listener: Any) -> None:
    folder = Path(shutil.copytree(place / "photos", tmp_path / "photos"))
    for path in folder.glob("*/*"):
        os.utime(path, (time.time() + 1e6, time.time() + 1e6))
    with open_source(folder) as source:
        for _ in range(2):
            read_all(source, root=tmp_path / "cache", progress=listener)
    assert listener.steps == {"Reading photos": 2 * len(NAMES)}


def test_new_photos_alone_are_read(place: Path, tmp_path: Path, listener: Any) -> None:
    with open_source(place / "photos") as source:
        source.leave_out([photo.path for photo in source.photos[1::3]], "not wanted")
        few, _ = read_all(source, root=tmp_path / "cache", progress=listener)
        assert listener.steps == {"Reading photos": 7}
    with open_source(place / "photos") as source:
        found, _ = read_all(source, root=tmp_path / "cache", progress=listener)
        assert listener.steps == {"Reading photos": 10}
        assert [read.photo for read in found] == list(source.photos)
        assert [read for read in found if read in few] == few


def test_a_file_that_is_gone_or_empty_is_told_each_time(
    place: Path, tmp_path: Path, listener: Any
) -> None:
    with open_source(place / "photos") as source:
        read_all(source, root=tmp_path / "cache")
    table = tmp_path / "pets.csv"
    (tmp_path / "empty.jpg").write_bytes(b"")
    os.utime(tmp_path / "empty.jpg", (LONG_AGO, LONG_AGO))
    rows = [f"{place}/photos/{name},{name[:3]}" for name in NAMES]
    table.write_text("\n".join(["path,label", *rows, "empty.jpg,cat"]))
    told = []
    for _ in range(2):
        with open_source(table) as source:
            told.append(read_all(source, root=tmp_path / "cache", progress=listener))
    assert told[0] == told[1]
    assert [fault.kind for fault in told[0][1]] == ["empty"]
    assert listener.steps == {"Reading photos": 12}


def test_a_cache_that_cannot_be_written_is_told_and_done_without(
    place: Path, tmp_path: Path, listener: Any
) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with open_source(place / "photos") as source:
        plain = read_all(source)
        assert read_all(source, root=tmp_path / "file", progress=listener) == plain
    (said,) = listener.said
    assert f"cannot be used ({tmp_path / 'file'}: Not a directory)" in said
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_damaged_cache_is_told_and_made_anew(
    place: Path, tmp_path: Path, count: Callable[..., int], listener: Any
) -> None:
    assert count(place / "photos") == len(NAMES)
    (shard,) = (tmp_path / "cache").rglob("*.npy")
    data = bytearray(shard.read_bytes())
    data[-40] ^= 1  # in a content's hash
    shard.write_bytes(data)
    assert [count(place / "photos") for _ in range(2)] == [len(NAMES), 0]
    (said,) = listener.said
    assert said == f"{shard} is damaged and not used; what it held is computed again"


def test_two_places_with_the_same_names_are_told_apart(
    place: Path, tmp_path: Path, count: Callable[..., int]
) -> None:
    """Hashes of one place say nothing of another, also where the files are the very same."""
    for name in NAMES:
        (tmp_path / "linked" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "linked" / name).symlink_to(place / "photos" / name)
    assert count(place / "photos") == len(NAMES)
    assert count(tmp_path / "linked") == len(NAMES)
    assert count(tmp_path / "linked") == 0
    (tmp_path / "linked" / NAMES[0]).unlink()
    (tmp_path / "linked" / NAMES[0]).symlink_to(place / "photos" / NAMES[1])
    assert count(tmp_path / "linked") == 1
