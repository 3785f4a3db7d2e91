"""Files and folders at addresses: the same on a disk, in an object store and in fsspec's memory."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from pawprint.errors import SourceError
from pawprint.parts.places import Place, place

from ..scale.object_store import Store

NAMES = [
    "plain.jpg",
    "two words.jpg",
    "Käse 猫.jpg",
    "a#b.jpg",
    "100%.jpg",
    "%41.jpg",
    "what?.jpg",
    "a?b=c&d.jpg",
    "a+b@c.jpg",
]


@pytest.fixture(params=["disk", "store", "memory"])
def top(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder that is not there yet."""
    if request.param == "store":
        store: Store = request.getfixturevalue("store")
        return place(store.address("deep/folder"))
    address = f"memory://{tmp_path.name}/folder" if request.param == "memory" else tmp_path / "new"
    return place(address)


def test_what_is_written_is_read_under_any_name(top: Place) -> None:
    for name in NAMES:
        (top / "inner" / name).write(name.encode())
    assert top.entries() == [("inner", True)]
    assert (top / "inner").entries() == [(name, False) for name in sorted(NAMES)]
    for name in NAMES:
        found = top / f"inner/{name}"
        assert found.read() == name.encode()
        with found.reading() as file:
            assert file.read() == name.encode()


def test_kinds(top: Place) -> None:
    assert (top.kind(), top.exists()) == ("nothing", False)
    (top / "a/b.jpg").write(b"1")
    kinds = {name: (top / name).kind() for name in ("a", "a/b.jpg", "a/c.jpg", "b/c/d")}
    assert kinds == {"a": "folder", "a/b.jpg": "file", "a/c.jpg": "nothing", "b/c/d": "nothing"}


def test_what_is_there_is_replaced(top: Place) -> None:
    (top / "a").write(b"first")
    (top / "a").write(b"2")
    assert (top / "a").read() == b"2"
    assert top.entries() == [("a", False)]


def test_what_is_missing_is_said_at_once(top: Place) -> None:
    with pytest.raises(FileNotFoundError):
        (top / "missing.jpg").read()
    with pytest.raises(FileNotFoundError):
        (top / "missing.jpg").reading()


def test_a_folder_is_no_file(top: Place) -> None:
    (top / "a/b.jpg").write(b"1")
    with pytest.raises(OSError):  # noqa: PT011 - of every system another
        (top / "a").read()


def test_what_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    (place(tmp_path) / "a").write(b"whole")

    def write() -> None:
        with (place(tmp_path) / "a").writing() as file:
            file.write(b"ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_the_folder_a_place_is_in() -> None:
    assert (place("/tmp/what?/list.txt").parent.path, place("/list.txt").parent.path) == (
        "/tmp/what?",
        "/",
    )
    assert (place("memory://a/b") / "c/d").parent.path == "/a/b/c"
    assert place("memory://a/b.txt").parent.path == "/a"
    address = "s3://k:s@bucket/lists/a.txt?region=eu-west-1"
    assert place(address).parent == Place("s3://k:s@bucket/lists?region=eu-west-1")


def test_slashes_at_the_end_do_not_matter(store: Store, tmp_path: Path) -> None:
    assert place(f"{tmp_path}/") == place(tmp_path)
    assert place(store.address("photos//")) == place(store.address("photos"))
    assert str(place("s3://key:secret@bucket/a/?region=eu-west-1")) == "s3://bucket/a"


def test_paths_are_of_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place("photos").path == str(tmp_path / "photos")


def test_addresses_of_local_files(tmp_path: Path) -> None:
    found = tmp_path / "a b#c%.txt"
    found.write_bytes(b"1")
    assert place(found.as_uri()).local == found
    assert place(found.as_uri().replace("file://", "file://localhost")).read() == b"1"


@pytest.mark.parametrize("address", ["", "file://", "file://elsewhere/photos"])
def test_addresses_of_nothing_are_not_the_folder_one_is_in(address: str) -> None:
    with pytest.raises(SourceError, match="names nothing on this machine; expected a folder"):
        place(address)


def test_names_that_are_no_text_are_refused() -> None:
    with pytest.raises(SourceError, match=r"/caf\\udce9 has a name that is not UTF-8; rename it"):
        place(os.fsdecode(b"/caf\xe9"))


@pytest.mark.parametrize(
    "address",
    [
        "s3://key:secret@bucket/photos?no_such=option",
        "s3://key:secret@bucket:port/photos",
        "nothing://key:secret@bucket/photos",
        "gs://key:secret@bucket/photos?secret=secret",
    ],
)
def test_what_cannot_be_opened_is_said_without_keys(address: str) -> None:
    with pytest.raises(SourceError, match=r"cannot be opened \(.+\); expected") as raised:
        place(address)
    assert "sec" not in str(raised.value)


@pytest.mark.parametrize(
    "address", ["s3://key:sec/ret@bucket/photos", "s3://key:/secret@bucket", "gs://k:s3c/r@b?a=b"]
)
def test_keys_with_a_slash_are_refused_and_not_said(address: str) -> None:
    told = r"^(s3|gs)://\.\.\. has a key with / in it; write %2F in its place, or give keys by"
    with pytest.raises(SourceError, match=told) as raised:
        place(address)
    assert not [part for part in ("sec", "ret", "s3c") if part in str(raised.value)]


def test_at_signs_below_a_host_are_no_keys(store: Store) -> None:
    store.put("photos/me@home.jpg", b"1")
    found = place(store.address("photos/me@home.jpg").replace("%40", "@"))
    assert found.read() == b"1"
    assert place("memory://me:1/at@home.jpg").path.endswith("at@home.jpg")


def test_a_place_is_shown_without_keys_and_options(store: Store) -> None:
    assert str(place(store.address("photos")) / "what?.jpg") == "s3://bucket/photos/what?.jpg"


def test_a_file_is_read_up_to_a_cap(top: Place) -> None:
    (top / "a.jpg").write(b"12345")
    for most in (5, 6, None):
        assert (top / "a.jpg").read(most) == b"12345"
    with pytest.raises(ValueError, match="it has more bytes than the cap of 4"):
        (top / "a.jpg").read(4)


def test_what_is_above_the_cap_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**40)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more bytes than the cap of 1,048,576"):
            place(tmp_path / "huge.jpg").read(2**20)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.timeout(60)
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", "/dev/zero"):
        with pytest.raises(ValueError, match="it is no file"):
            place(path).read()


def test_links_that_go_in_circles_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "photos").mkdir()
    (tmp_path / "linked").symlink_to("photos")
    found = place(tmp_path).entries()
    assert found == [("linked", True), ("photos", True), ("self", False)]


def test_a_store_that_fails_once_has_not_failed(store: Store) -> None:
    store.put("photos/a.jpg", b"1")
    store.faults = lambda method, key, number: "drop" if number == 1 else None
    top = place(store.address("photos"))
    assert top.entries() == [("a.jpg", False)]
    assert (top / "a.jpg").read() == b"1"
    (top / "b.jpg").write(b"2")
    assert store.objects["photos/b.jpg"].data == b"2"


def test_what_a_store_refuses_is_asked_for_once(store: Store) -> None:
    store.put("a.jpg", b"1")
    store.faults = lambda method, key, number: 403
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        place(store.address("a.jpg")).read()
    assert store.requests.total() == 1
