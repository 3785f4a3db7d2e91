"""Datasets by name: which photos are taken, which are not, and what is told of it."""

from __future__ import annotations

import hashlib
import random
import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from pawprint.data.catalogue import CATALOGUE, CATS_AND_DOGS_FILTERED, CATS_VS_DOGS, Named, find
from pawprint.data.download import downloads_folder, place
from pawprint.data.sources import Skipped, open_source
from pawprint.errors import ArchiveError, DownloadError, SourceError

JFIF = b"\xff\xd8\xff\xe0\x00\x10JFIF"
BARE = b"\xff\xd8\xff\xdb\x00\x10"
NO_MARKER = "no JFIF marker in its first 512 bytes"
FEW = {
    "PetImages/Cat/0.jpg": JFIF + b"cat",
    "PetImages/Cat/1.jpg": BARE + b"cat",
    "PetImages/Dog/0.jpg": JFIF + b"dog",
    "PetImages/Dog/666.jpg": b"",
}
FILTERED = {
    f"cats_and_dogs_filtered/{split}/{name}s/{name}.{number}.jpg": f"{split}{name}".encode()
    for split in ("train", "validation")
    for name in ("cat", "dog")
    for number in range(2)
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path / "cache"))


def pack(path: Path, files: dict[str, bytes], size: int = 0, method: int = zipfile.ZIP_DEFLATED):
    """Make a zip, of just so many bytes if asked: a hole in front fills it up."""
    hole = 0
    while True:
        with path.open("wb") as file:
            file.truncate(hole)
        with zipfile.ZipFile(path, "a", method) as made:
            for name, data in files.items():
                made.writestr(name, data)
        if hole or not size:
            return path
        hole = size - path.stat().st_size


def unpack(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def downloaded(named: Named, files: dict[str, bytes]) -> None:
    """Put an archive of the official one's size where a download would have left it."""
    path = place(named.url, downloads_folder())
    path.parent.mkdir(parents=True)
    pack(path, files, named.size)
    assert path.stat().st_size == named.size


def found(location: object, listener=None) -> tuple[dict[str, str], dict[str, str]]:
    """Open a source: the label of each photo, and the reason of each file not used."""
    told = {"progress": listener} if listener else {}
    with open_source(str(location), **told) as source:
        return (
            {photo.path: photo.label for photo in source.photos},
            {skip.path: skip.reason for skip in source.skipped},
        )


def test_cats_vs_dogs_by_name_needs_no_connection_once_it_is_there(listener):
    downloaded(CATS_VS_DOGS, FEW)
    with open_source("cats_vs_dogs", offline=True, progress=listener) as source:
        assert source.name == "cats_vs_dogs"
        assert {photo.path: photo.label for photo in source.photos} == {
            "PetImages/Cat/0.jpg": "cat",
            "PetImages/Dog/0.jpg": "dog",
        }
        assert source.read(source.photos[1]) == JFIF + b"dog"
        assert set(source.skipped) == {
            Skipped("PetImages/Cat/1.jpg", NO_MARKER),
            Skipped("PetImages/Dog/666.jpg", NO_MARKER),
        }
    assert listener.said == [
        f"cats_vs_dogs: 2 photos taken, 2 left out ({NO_MARKER}); 23,262 were expected of the "
        "official archive"
    ]


def test_as_many_as_the_official_archive_has(listener):
    """25,000 photos of which 1,738 have no marker, in the official names."""
    without = set(random.Random(0).sample(range(25_000), 1738))
    files = {
        f"PetImages/{('Cat', 'Dog')[n % 2]}/{n // 2}.jpg": (BARE if n in without else JFIF)
        for n in range(25_000)
    }
    others = {"PetImages/Cat/Thumbs.db": b"", "readme[1].txt": b"", "MSR-LA - 3467.docx": b""}
    downloaded(CATS_VS_DOGS, files | others)
    with open_source("cats_vs_dogs", offline=True, progress=listener) as source:
        assert len(source.photos) == 23_262
        assert Counter(skip.reason for skip in source.skipped) == {
            NO_MARKER: 1738,
            "2 files that are no photos by their names": 1,
        }
        assert all(skip.count == 1 for skip in source.skipped if skip.reason == NO_MARKER)
        assert source.classes == ("cat", "dog")
    assert listener.said == [f"cats_vs_dogs: 23,262 photos taken, 1,738 left out ({NO_MARKER})"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_the_marker_is_sought_where_tensorflow_datasets_seeks_it(tmp_path, method):
    """Its rule is `b"JFIF" in file.peek(10)` on what zipfile opens: here it is, on the same zip."""
    draw = random.Random(1)
    files = {}
    for number, before in enumerate([*range(12), 100, *range(500, 520), 4000, 5000, 9000]):
        noise = draw.randbytes(before).replace(b"JFIF", b"jfif")
        for kind, data in enumerate([noise + b"JFIF", noise + b"JFIF" + draw.randbytes(20_000)]):
            files[f"PetImages/{('Cat', 'Dog')[kind]}/{number}.jpg"] = data
    files |= {"PetImages/Cat/900.jpg": b"", "PetImages/Dog/900.jpg": bytes(50_000)}
    path = pack(tmp_path / "a.zip", files, method=method)
    with zipfile.ZipFile(path) as archive:
        taken = {name for name in files if b"JFIF" in archive.open(name).peek(10)}
    photos, skipped = found(f"cats_vs_dogs:{path}")
    if method == zipfile.ZIP_BZIP2:  # zipfile gives a first block of any length; the rule is 512
        taken = {name for name, data in files.items() if b"JFIF" in data[:512]}
    assert set(photos) == taken == {name for name, data in files.items() if b"JFIF" in data[:512]}
    assert set(skipped) == set(files) - taken
    assert 0 < len(taken) < len(files)
    folder = unpack(tmp_path / "unpacked", files)
    photos, _ = found(f"cats_vs_dogs:{folder}")
    assert {str(Path(photo).relative_to(folder)) for photo in photos} == taken


def test_only_files_named_as_the_rule_says(tmp_path):
    odd = [
        "PetImages/Cat/1.JPG",
        "PetImages/Cat/x1.jpg",
        "PetImages/Cat/1.jpg.png",
        "PetImages/cat/1.jpg",
        "PetImages/Bird/1.jpg",
        "PetImages/Cat/deep/1.jpg",
        "Other/Cat/1.jpg",
        "Cat/1.jpg",
        "1.jpg",
    ]
    pack(tmp_path / "a.zip", FEW | dict.fromkeys(odd, JFIF))
    photos, skipped = found(f"cats_vs_dogs:{tmp_path / 'a.zip'}")
    assert set(photos) == {"PetImages/Cat/0.jpg", "PetImages/Dog/0.jpg"}
    assert {skipped[name] for name in odd} == {"not named like a photo of cats_vs_dogs"}
    rule = re.compile(r"^PetImages[\\/](Cat|Dog)[\\/]\d+\.jpg$")
    assert not any(rule.match(name) for name in odd)


def test_more_than_a_hundred_left_out_are_all_listed(tmp_path, listener):
    files = FEW | {f"PetImages/Cat/{number}.jpg": BARE for number in range(1000, 1250)}
    path = pack(tmp_path / "a.zip", files)
    _, skipped = found(f"cats_vs_dogs:{path}", listener)
    assert list(skipped.values()).count(NO_MARKER) == 252
    assert "252 left out" in listener.said[-1]


@pytest.mark.parametrize("inner", ["", "PetImages", "wrapped"])
def test_an_unpacked_copy(tmp_path, inner, listener):
    folder = unpack(tmp_path / "wrapped" / "x", FEW)
    location = {"": folder, "PetImages": folder / "PetImages", "wrapped": folder.parent}[inner]
    photos, skipped = found(f"cats_vs_dogs:{location}", listener)
    assert set(photos.values()) == {"cat", "dog"}
    assert list(skipped.values()) == [NO_MARKER, NO_MARKER]
    assert listener.said[0] == (
        f"{location} is a folder, which cannot be held against the official archive of "
        "cats_vs_dogs; it is used all the same"
    )


def test_a_copy_that_is_not_the_official_file_is_used_with_a_note(tmp_path, listener):
    path = pack(tmp_path / "a.zip", FEW)
    photos, _ = found(f"cats_vs_dogs:{path}", listener)
    assert len(photos) == 2
    size = f"{path.stat().st_size:,}"
    assert listener.said[0] == (
        f"{path} has {size} bytes, and the official archive of cats_vs_dogs 824,887,076; it is "
        "used all the same"
    )
    assert len(listener.said) == 2


def test_a_copy_is_held_against_size_and_hash(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"official")
    digest = hashlib.sha256(b"official").hexdigest()
    named = Named("pets", "", "https://example.org/a.zip", 8, digest, 0, "", ())
    assert named.difference(str(path)) == ""
    path.write_bytes(b"OFFICIAL")
    assert "SHA-256" in named.difference(str(path))
    path.write_bytes(b"official ")
    assert "9 bytes" in named.difference(str(path))


def test_a_photo_damaged_in_the_archive_is_left_out_with_its_reason(tmp_path):
    path = pack(tmp_path / "a.zip", FEW | {"PetImages/Dog/7.jpg": JFIF + bytes(999)})
    data = bytearray(path.read_bytes())
    start = data.index(b"PetImages/Dog/7.jpg")
    data[start + 19 : start + 25] = b"\xff" * 6
    path.write_bytes(data)
    photos, skipped = found(f"cats_vs_dogs:{path}")
    assert "PetImages/Dog/7.jpg" not in photos
    assert "is the archive damaged?" in skipped["PetImages/Dog/7.jpg"]


def test_cats_and_dogs_filtered_by_name(listener):
    downloaded(CATS_AND_DOGS_FILTERED, FILTERED | {"cats_and_dogs_filtered/vectorize.py": b""})
    with open_source("cats_and_dogs_filtered", offline=True, progress=listener) as source:
        assert len(source.photos) == 8
        assert source.classes == ("cats", "dogs")
        for photo in source.photos:
            assert f"/{photo.split}/{photo.label}/" in photo.path
            assert source.read(photo) == f"{photo.split}{photo.label[:-1]}".encode()
        (other,) = source.skipped
        assert other.reason == "1 file that is no photo by its name"


def test_cats_and_dogs_filtered_from_a_copy(tmp_path):
    top = unpack(tmp_path, FILTERED) / "cats_and_dogs_filtered"
    for location in (tmp_path, top, pack(tmp_path / "a.zip", FILTERED)):
        with open_source(f"cats_and_dogs_filtered:{location}") as source:
            assert Counter((photo.split, photo.label) for photo in source.photos) == {
                (split, label): 2 for split in ("train", "validation") for label in ("cats", "dogs")
            }


@pytest.mark.parametrize(
    ("name", "files", "missing"),
    [
        ("cats_vs_dogs", FILTERED, "PetImages/Cat, PetImages/Dog"),
        ("cats_vs_dogs", {"PetImages/Cat/1.jpg": JFIF}, "PetImages/Dog"),
        ("cats_vs_dogs", {"Cat/1.jpg": JFIF, "Dog/1.jpg": JFIF}, "PetImages/Cat, PetImages/Dog"),
        ("cats_vs_dogs", {"a.txt": b""}, "PetImages/Cat, PetImages/Dog"),
        ("cats_vs_dogs", {}, "PetImages/Cat, PetImages/Dog"),
        ("cats_and_dogs_filtered", FEW, "train/cats, train/dogs, validation/cats"),
        (
            "cats_and_dogs_filtered",
            {name: data for name, data in FILTERED.items() if "validation/dogs" not in name},
            "validation/dogs",
        ),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_a_copy_without_the_expected_folders(tmp_path, name, files, missing, packed):
    location = pack(tmp_path / "a.zip", files) if packed else unpack(tmp_path / "top", files)
    location.exists() or location.mkdir()
    with pytest.raises(SourceError) as caught:
        found(f"{name}:{location}")
    said = str(caught.value)
    assert f"{location} is no copy of {name}: it has no photos in {missing}" in said
    assert f"expected photos in {', '.join(CATALOGUE[name].groups)}" in said


def test_photos_that_all_lack_the_marker(tmp_path):
    path = pack(tmp_path / "a.zip", dict.fromkeys(FEW, BARE))
    with pytest.raises(
        SourceError, match=r"every photo in PetImages/Cat, PetImages/Dog is left out \(no JFIF"
    ):
        found(f"cats_vs_dogs:{path}")


def test_offline_and_not_there():
    with pytest.raises(DownloadError, match=r"kagglecatsanddogs_5340\.zip was not downloaded yet"):
        open_source("cats_vs_dogs", offline=True)


def test_copies_that_are_not_there_or_no_archives(tmp_path):
    with pytest.raises(SourceError, match=r"nowhere\.zip' does not exist"):
        open_source(f"cats_vs_dogs:{tmp_path}/nowhere.zip")
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ArchiveError, match="damaged"):
        open_source(f"cats_vs_dogs:{tmp_path}/a.zip")


def test_what_lies_here_under_a_datasets_name_goes_first(tmp_path, monkeypatch, listener):
    monkeypatch.chdir(tmp_path)
    unpack(tmp_path / "cats_vs_dogs", {"a/1.jpg": b"1", "b/1.jpg": b"2"})
    photos, _ = found("cats_vs_dogs", listener)
    assert set(photos.values()) == {"a", "b"}
    assert listener.said == ["cats_vs_dogs here is used, not the dataset of that name"]


def test_a_name_nearly_right(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"did you mean cats_vs_dogs\?"):
        open_source("cat_vs_dogs")
    with pytest.raises(SourceError, match=r"known: cats_vs_dogs, .*did you mean cats_vs_dogs\?"):
        find("cat_vs_dogs")
    with pytest.raises(SourceError, match=r"known: cats_vs_dogs, cats_and_dogs_filtered$"):
        find("\n")


def test_what_is_registered_is_what_tensorflow_datasets_registers():
    tfds = pytest.importorskip("tensorflow_datasets", reason="the extra tfds is not installed")
    folder = Path(tfds.__file__).parent
    lines = (folder / "url_checksums" / "cats_vs_dogs.txt").read_text("utf-8").splitlines()
    assert [CATS_VS_DOGS.url, str(CATS_VS_DOGS.size), CATS_VS_DOGS.sha256] in [
        line.split("\t")[:3] for line in lines
    ]
    code = (folder / "image_classification" / "cats_vs_dogs.py").read_text("utf-8")
    assert f"_NUM_CORRUPT_IMAGES = {25_000 - CATS_VS_DOGS.photos}" in code


@pytest.mark.shared
def test_a_real_copy(shared, listener):
    """Cut down and written anew, all with markers but for the empty 666.jpg."""
    photos, skipped = found(f"cats_vs_dogs:{shared / 'data' / 'cats_vs_dogs_16k.zip'}", listener)
    assert Counter(photos.values()) == {"cat": 7999, "dog": 8000}
    assert skipped == {"PetImages/Cat/666.jpg": NO_MARKER}
    assert "15,999 photos taken, 1 left out" in listener.said[-1]
