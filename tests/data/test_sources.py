"""Sources: what is a class, a split and a photo, and what the user is told otherwise."""

import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pawprint.data.archives import Limits
from pawprint.data.sources import MAX_SKIPPED_OF_A_KIND, Skipped, SourcePhoto, open_source
from pawprint.errors import ArchiveError, DownloadError, PhotoError, SourceError

REAL = Path(__file__).parents[3] / "shared" / "data" / "cats_vs_dogs_16k.zip"


def grow(top: Path, *paths: str) -> Path:
    """Make files, each with its own path as content, and folders (names that end in /)."""
    for path in paths:
        place = top / path
        if path.endswith("/"):
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.encode("utf-8", "surrogateescape"))
    return top


def pack(top: Path, target: Path) -> Path:
    """Pack a grown folder as its name says."""
    found = sorted(top.rglob("*"))
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as made:
            for path in found:
                made.write(path, path.relative_to(top))
    else:
        with tarfile.open(target, "w" if target.suffix == ".tar" else "w:gz") as made:
            for path in found:
                made.add(path, path.relative_to(top), recursive=False)
    return target


def triples(location: Path, top: Path | None = None) -> set[tuple[str, str, str | None]]:
    """Open a source and give its photos, folder ones relative; the bytes are checked too."""
    with open_source(location) as source:
        found = set()
        for photo in source.photos:
            path = os.path.relpath(photo.path, top) if top else photo.path
            assert source.read(photo).decode("utf-8", "surrogateescape") == path
            found.add((path, photo.label, photo.split))
        assert len(found) == len(source.photos)
        assert [photo.path for photo in source.photos] == sorted(p.path for p in source.photos)
        assert source.classes == tuple(sorted({photo.label for photo in source.photos}))
        return found


def reasons(location: Path, top: Path) -> dict[str, str]:
    with open_source(location) as source:
        return {os.path.relpath(item.path, top): item.reason for item in source.skipped}


PLAIN = ["cat/1.jpg", "cat/deep/er/2.PNG", "dog/1.jpeg"]
SPLIT = [
    "Train/cat/1.jpg",
    "Train/dog/1.jpg",
    "VAL/cat/1.jpg",
    "VAL/dog/1.jpg",
    "test/cat/1.jpg",
    "test/dog/1.jpg",
]
SPLIT_OF = {"Train": "train", "VAL": "validation", "test": "test"}


@pytest.mark.parametrize("wrap", ["", "data/", "data/Pet Images/x/"])
@pytest.mark.parametrize("packed", ["", "a.zip", "a.tar", "a.tar.gz", "a.tgz"])
@pytest.mark.parametrize("kind", ["plain", "split"])
def test_layouts(tmp_path, wrap, packed, kind):
    top = grow(tmp_path / "top", *(wrap + path for path in (PLAIN if kind == "plain" else SPLIT)))
    if kind == "plain":
        expected = {(wrap + path, path.split("/")[0], None) for path in PLAIN}
    else:
        parts = {path: path.split("/") for path in SPLIT}
        expected = {(wrap + path, where[1], SPLIT_OF[where[0]]) for path, where in parts.items()}
    if packed:
        assert triples(pack(top, tmp_path / packed)) == expected
    else:
        assert triples(top, top) == expected


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("cats_vs_dogs.zip", "cats_vs_dogs"),
        ("a.b.tar.gz", "a.b"),
        ("x.TGZ", "x"),
        ("y.tar", "y"),
        ("v1.2", "v1.2"),
    ],
)
def test_the_name_of_a_source(tmp_path, location, name):
    top = grow(tmp_path / "v1.2", *PLAIN)
    if location != "v1.2":
        pack(top, tmp_path / location)
    with open_source(tmp_path / location) as source:
        assert source.name == name


def test_relative_folders_keep_their_spelling_and_stay_readable(tmp_path, monkeypatch):
    grow(tmp_path / "photos", *PLAIN)
    monkeypatch.chdir(tmp_path)
    with open_source("photos") as source:
        assert source.photos[0] == SourcePhoto(os.path.join("photos", "cat/1.jpg"), "cat", None)
        monkeypatch.chdir("/")
        assert source.read(source.photos[0]) == b"cat/1.jpg"
    monkeypatch.chdir(tmp_path / "photos")
    with open_source(".") as source:
        assert source.name == "photos"


def test_train_and_test_only(tmp_path):
    top = grow(tmp_path, *(path for path in SPLIT if not path.startswith("VAL")))
    assert {split for _, _, split in triples(top, top)} == {"train", "test"}


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_names_of_the_validation_folder(tmp_path, name):
    top = grow(tmp_path, *(f"{a}/{b}/1.jpg" for a in ("train", name) for b in ("cat", "dog")))
    assert {split for _, _, split in triples(top, top)} == {"train", "validation"}


def test_a_train_folder_alone_is_a_wrapper(tmp_path):
    top = grow(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg")
    assert triples(top, top) == {
        ("train/cat/1.jpg", "cat", None),
        ("train/dog/1.jpg", "dog", None),
    }


def test_a_test_folder_without_classes_gives_no_split(tmp_path):
    top = grow(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/77.jpg")
    assert {(label, split) for _, label, split in triples(top, top)} == {
        ("cat", None),
        ("dog", None),
    }
    assert reasons(top, top) == {"test/77.jpg": "not in a class folder"}


@pytest.mark.parametrize("inner", ["1.jpg", "steam/1.jpg"])
def test_a_class_may_be_called_train(tmp_path, inner):
    top = grow(tmp_path, f"train/{inner}", "bus/1.jpg", "test/1.jpg")
    assert {(label, split) for _, label, split in triples(top, top)} == {
        ("train", None),
        ("bus", None),
        ("test", None),
    }


def test_splits_of_loose_photos_are_no_classes(tmp_path):
    top = grow(tmp_path, "train/cat.1.jpg", "train/dog.1.jpg", "test/1.jpg")
    with pytest.raises(SourceError, match="no photos in class folders in its train folder"):
        open_source(top)


def test_two_folders_for_one_split(tmp_path):
    top = grow(tmp_path, *SPLIT, "valid/cat/1.jpg")
    with pytest.raises(SourceError, match="several folders for validation: VAL and valid"):
        open_source(top)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_classes_that_differ_between_splits(tmp_path, split):
    top = grow(tmp_path, *(f"train/{name}/1.jpg" for name in ("cat", "dog")))
    grow(top, *(f"{split}/{name}/1.jpg" for name in ("cat", "bird")))
    with pytest.raises(SourceError) as caught:
        open_source(top)
    assert "train has dog, cat" in str(caught.value)
    assert f"{split} has bird, cat" in str(caught.value)


def test_many_differing_classes_are_cut(tmp_path):
    top = grow(tmp_path, *(f"train/c{i:03}/1.jpg" for i in range(300)), "test/c000/1.jpg")
    with pytest.raises(SourceError, match="and 290 more; test has c000;"):
        open_source(top)


JUNK = [
    ".hidden/1.jpg",
    "__MACOSX/cat/1.jpg",
    "@eaDir/1.jpg",
    "__pycache__/1.jpg",
    "$RECYCLE.BIN/1.jpg",
    "System Volume Information/1.jpg",
    "cat/.ipynb_checkpoints/1.jpg",
    "cat/._1.jpg",
    "cat/.DS_Store",
    "cat/Thumbs.db",
    "dog/THUMBS.DB",
    "dog/desktop.ini",
    "dog/@eaDir/1.jpg",
]


@pytest.mark.parametrize("packed", [False, True])
def test_junk_of_systems_is_ignored_in_silence(tmp_path, packed):
    top = grow(tmp_path / "top", *PLAIN, *JUNK)
    with open_source(pack(top, tmp_path / "a.zip") if packed else top) as source:
        assert len(source.photos) == len(PLAIN)
        assert source.classes == ("cat", "dog")
        assert source.skipped == ()


def test_a_hidden_folder_above_does_not_matter(tmp_path):
    top = grow(tmp_path / ".cache" / "photos", *PLAIN)
    assert len(triples(top, top)) == 3


def test_photos_are_known_by_suffix(tmp_path):
    suffixes = "jpg jpeg jpe jfif png gif bmp dib webp tif tiff avif heic heif JPG HeIc"
    photo = suffixes.split()
    other = ["txt", "csv", "svg", "jpg.part", "mp4"]
    files = [f"cat/{i}.{suffix}" for i, suffix in enumerate([*photo, *other])]
    top = grow(tmp_path, *files, "cat/jpg", "dog/1.jpg")
    assert {path for path, _, _ in triples(top, top)} == {*files[: len(photo)], "dog/1.jpg"}


def test_other_files_are_counted_once_for_each_folder(tmp_path):
    top = grow(tmp_path, *PLAIN, "README.txt", "cat/a.csv", "cat/deep/b.csv", "dog/x/y/c.csv")
    assert reasons(top, top) == {
        ".": "1 file that is no photo by its name",
        "cat": "2 files that are no photos by their names",
        "dog": "1 file that is no photo by its name",
    }


@pytest.mark.parametrize("packed", [False, True])
def test_photos_outside_of_class_folders_and_classes_without_photos(tmp_path, packed):
    top = grow(tmp_path / "top", *("w/" + path for path in PLAIN), "w/1.jpg", "2.jpg")
    grow(top, "w/empty/", "w/notes/a.txt")
    location = pack(top, tmp_path / "a.zip") if packed else top
    with open_source(location) as source:
        start = "" if packed else f"{top}/"
        assert set(source.skipped) == {
            Skipped(start + "2.jpg", "not in a class folder"),
            Skipped(start + "w/1.jpg", "not in a class folder"),
            Skipped(start + "w/empty", "class folder without photos"),
            Skipped(start + "w/notes", "class folder without photos"),
            Skipped(start + "w/notes", "1 file that is no photo by its name"),
        }
        assert source.classes == ("cat", "dog")


def test_the_list_of_skipped_photos_is_capped(tmp_path):
    count = MAX_SKIPPED_OF_A_KIND + 23
    top = grow(tmp_path, *PLAIN, *(f"{i}.jpg" for i in range(count)))
    with open_source(top) as source:
        assert len(source.skipped) == MAX_SKIPPED_OF_A_KIND + 1
        assert source.skipped[-1] == Skipped("23 more", "not in a class folder", 23)
        assert sum(skip.count for skip in source.skipped) == count


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([], "is empty"),
        ([".hidden/cat/1.jpg"], "is empty"),
        (["a.txt"], "no photos in class folders"),
        (["cat/", "dog/"], "no photos in class folders"),
        (["1.jpg", "2.jpg"], "no photos in class folders"),
        (["Cat/1.jpg"], r"one class, 'Cat' \(photos: 1\)"),
        (["x/y/Cat/1.jpg", "x/y/Cat/2.jpg"], r"one class, 'Cat' \(photos: 2\)"),
        (["Cat/1.jpg", "Cat/2.jpg", "Cat/a/1.jpg"], r"one class, 'Cat' \(photos: 3\)"),
        (["Cat/1.jpg", "Dog/a.txt"], "one class, 'Cat'.*Dog: class folder without photos"),
        (["Cat/a/1.jpg", "Cat/b/1.jpg", "Dog/"], "one class, 'Cat'"),
        (["train/Cat/1.jpg", "val/Cat/1.jpg"], "one class, 'Cat'"),
        (["val/Cat/1.jpg", "val/Dog/1.jpg", "train/x/"], "in its train folder"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_no_dataset(tmp_path, paths, said, packed):
    top = grow(tmp_path / "top", *paths)
    top.mkdir(exist_ok=True)
    location = pack(top, tmp_path / "top.zip") if packed else top
    with pytest.raises(SourceError, match=said) as caught:
        open_source(location)
    message = str(caught.value)
    assert message.startswith(str(location))
    assert "photos/cat/*.jpg, photos/dog/*.jpg" in message
    assert "\n" not in message


@pytest.mark.parametrize("location", ["nowhere", "", "a\0b", "nowhere/x.zip"])
def test_a_missing_path(location):
    with pytest.raises(SourceError, match="does not exist"):
        open_source(location)


@pytest.mark.parametrize("location", ["s3://bucket/cats", Path("gs://bucket/cats.zip")])
def test_an_address_of_another_kind(location):
    with pytest.raises(SourceError, match="of a kind that is not read; expected https://"):
        open_source(location)


@pytest.mark.parametrize(
    "location", ["http://example.org/cats.zip", Path("http://example.org/cats.zip")]
)
def test_an_address_that_is_not_safe(location):
    with pytest.raises(DownloadError, match="not https"):
        open_source(location)


def test_a_file_that_is_no_archive(tmp_path):
    path = grow(tmp_path, "1.jpg") / "1.jpg"
    with pytest.raises(SourceError, match=r"1\.jpg is neither a folder nor"):
        open_source(path)


def test_a_damaged_archive(tmp_path):
    path = pack(grow(tmp_path / "top", *PLAIN), tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ArchiveError, match=r"a\.zip is a damaged archive"):
        open_source(path)


def test_links_in_archives_are_listed(tmp_path):
    top = grow(tmp_path / "top", *PLAIN)
    (top / "cat" / "link.jpg").symlink_to("/etc/passwd")
    with open_source(pack(top, tmp_path / "a.tar")) as source:
        assert source.skipped == (Skipped("cat/link.jpg", "is a link"),)
        assert len(source.photos) == 3


def test_links_in_folders_are_followed(tmp_path):
    top = grow(tmp_path / "top", *PLAIN)
    grow(tmp_path / "else", "b/1.jpg", "2.jpg")
    (top / "bird").symlink_to(tmp_path / "else" / "b")
    (top / "cat" / "linked.jpg").symlink_to(tmp_path / "else" / "2.jpg")
    with open_source(top) as source:
        read = {os.path.relpath(photo.path, top): source.read(photo) for photo in source.photos}
        assert source.classes == ("bird", "cat", "dog")
    assert read["bird/1.jpg"] == b"b/1.jpg"
    assert read["cat/linked.jpg"] == b"2.jpg"
    (tmp_path / "link").symlink_to(top)
    assert len(open_source(tmp_path / "link").photos) == len(read)


def test_loops_and_dead_links_are_listed(tmp_path):
    top = grow(tmp_path, *PLAIN)
    (top / "cat" / "up").symlink_to("..")
    (top / "self").symlink_to(".")
    (top / "dog" / "dead.jpg").symlink_to("nowhere.jpg")
    (top / "dog" / "round.jpg").symlink_to("round.jpg")
    (top / "dog" / "same").symlink_to(top / "cat" / "deep")  # no loop: not on its own path
    found = reasons(top, top)
    assert found.pop("dog/round.jpg").startswith("is a link that cannot be followed")
    assert found == {
        "cat/up": "is a link back to a folder that it is in",
        "self": "is a link back to a folder that it is in",
        "dog/dead.jpg": "is a link that leads nowhere",
    }
    with open_source(top) as source:
        assert len(source.photos) == len(PLAIN) + 1


def test_a_pipe_among_photos_is_listed_and_not_opened(tmp_path):
    top = grow(tmp_path, *PLAIN)
    os.mkfifo(top / "cat" / "pipe.jpg")
    assert reasons(top, top) == {"cat/pipe.jpg": "is a pipe or device, not a file"}
    with pytest.raises(SourceError, match="is a pipe or device"):
        open_source(top / "cat" / "pipe.jpg")


def test_names_of_all_sorts(tmp_path):
    names = [
        "with space/a b.jpg",
        "日本/ねこ🐈.jpg",
        os.fsdecode(b"\xff\xfe/\xe9.jpg"),
        "long/" + "x" * 251 + ".jpg",
        "new\nline/1.jpg",
    ]
    top = grow(tmp_path, *names)
    assert {path for path, _, _ in triples(top, top)} == set(names)


def test_odd_class_names_stay_printable_in_messages(tmp_path):
    top = grow(tmp_path, os.fsdecode(b"\xff\n/1.jpg"))
    with pytest.raises(SourceError) as caught:
        open_source(top)
    assert "\\udcff\\n" in str(caught.value)
    assert str(caught.value).encode("utf-8")


AS_NOBODY = """
import os, sys
from pawprint.data.sources import open_source
from pawprint.errors import PhotoError, SourceError
if os.geteuid() == 0:
    os.seteuid(65534)
with open_source(sys.argv[1]) as source:
    for item in source.skipped:
        print("skipped", os.path.basename(item.path), item.reason)
    for photo in source.photos:
        try:
            source.read(photo)
        except PhotoError as error:
            print("unread", os.path.basename(error.path), error.reason)
for closed in ("locked", "locked.zip"):
    try:
        open_source(os.path.join(sys.argv[1], "..", closed))
    except SourceError as error:
        print(error)
"""


def test_what_is_not_permitted():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        here = Path(folder)
        here.chmod(0o755)
        top = grow(here / "top", *PLAIN, "cat/private.jpg", "closed/1.jpg")
        pack(grow(here / "locked", *PLAIN), here / "locked.zip").chmod(0)
        closed = [top / "cat" / "private.jpg", top / "closed", here / "locked"]
        for path in closed:
            path.chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(top)], capture_output=True, text=True, check=False
        )
        for path in closed:
            path.chmod(0o700)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "skipped closed folder cannot be read (permission denied)",
        "unread private.jpg cannot be read (permission denied)",
    ]
    assert "locked cannot be read (permission denied)" in lines[2]
    assert "locked.zip cannot be read (permission denied)" in lines[3]
    assert len(lines) == 4


def test_a_photo_that_vanished_or_grew(tmp_path):
    top = grow(tmp_path, *PLAIN)
    with open_source(top, Limits(photo_bytes=100)) as source:
        first, _, last = source.photos
        Path(first.path).unlink()
        with pytest.raises(PhotoError, match="no such file") as caught:
            source.read(first)
        assert caught.value.path == first.path
        Path(last.path).write_bytes(bytes(101))
        with pytest.raises(PhotoError, match="more than the cap of 100"):
            source.read(last)
        Path(last.path).write_bytes(b"")
        assert source.read(last) == b""


def test_caps_on_folders(tmp_path):
    top = grow(tmp_path, *PLAIN, "cat/a/b/c/1.jpg")
    with pytest.raises(SourceError, match="more than 5 files and folders"):
        open_source(top, Limits(members=5))
    with open_source(top, Limits(depth=3)) as source:
        assert source.skipped == (Skipped(f"{top}/cat/a/b/c", "is over 3 folders deep"),)


def test_a_closed_archive_is_not_read(tmp_path):
    with open_source(pack(grow(tmp_path / "top", *PLAIN), tmp_path / "a.zip")) as source:
        pass
    with pytest.raises(ValueError, match="closed"):
        source.read(source.photos[0])


@pytest.mark.shared
@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not here")
def test_cats_and_dogs():
    start = time.perf_counter()
    with open_source(REAL) as source:
        opened = time.perf_counter() - start
        with ThreadPoolExecutor(2) as pool:
            sizes = list(pool.map(lambda photo: len(source.read(photo)), source.photos))
        assert source.name == "cats_vs_dogs_16k"
        assert source.classes == ("Cat", "Dog")
        assert source.skipped == ()
        by_path = dict(zip((photo.path for photo in source.photos), sizes, strict=True))
    assert Counter(path.split("/")[1] for path in by_path) == {"Cat": 8000, "Dog": 8000}
    assert by_path["PetImages/Cat/666.jpg"] == 0
    assert opened < 1
