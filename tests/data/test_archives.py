"""Archives: what is read, and what hostile, damaged and odd ones come to."""

import gzip
import io
import os
import random
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pawprint.data.archives import Limits, open_archive, shown
from pawprint.errors import ArchiveError, PhotoError, SourceError

PHOTOS = {"pets/cat/1.jpg": b"a cat", "pets/cat/2.jpg": b"", "pets/dog/1.jpg": b"a dog" * 1000}


def make_zip(path: Path, files, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in files.items() if isinstance(files, dict) else files:
            made.writestr(name, data)
    return path


def tar_member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data)
    return info


def make_tar(path: Path, files, mode: str = "w", **options) -> Path:
    with tarfile.open(path, mode, **options) as made:
        for name, data in files.items() if isinstance(files, dict) else files:
            info = name if isinstance(name, tarfile.TarInfo) else tar_member(name, data)
            made.addfile(info, io.BytesIO(data))
    return path


def make(path: Path, files) -> Path:
    if path.suffix == ".zip":
        return make_zip(path, files)
    return make_tar(path, files, "w" if path.suffix == ".tar" else "w:gz")


def named_in_zip(path: Path, name: bytes) -> Path:
    """Make a zip whose second member has any bytes for a name."""
    held = b"x" * len(name)
    make_zip(path, {"cat/1.jpg": b"1", held.decode(): b"2"})
    path.write_bytes(path.read_bytes().replace(held, name))
    return path


KINDS = ["pets.zip", "pets.tar", "pets.tar.gz", "pets.tgz"]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_names_and_bytes(tmp_path, name):
    archive = open_archive(str(make(tmp_path / name, PHOTOS)))
    assert {member: archive.read(member) for member in archive.files} == PHOTOS
    archive.close()
    with pytest.raises(ValueError, match="closed"):
        archive.read("pets/cat/1.jpg")


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2], ids=str
)
def test_packing_methods_of_zip(tmp_path, method):
    archive = open_archive(str(make_zip(tmp_path / "a.zip", PHOTOS, method)))
    assert {member: archive.read(member) for member in archive.files} == PHOTOS
    archive.close()


def test_a_packing_method_not_read_is_an_error_of_the_photo(tmp_path):
    archive = open_archive(str(make_zip(tmp_path / "a.zip", PHOTOS, zipfile.ZIP_LZMA)))
    with pytest.raises(PhotoError, match="method 14"):
        archive.read("pets/dog/1.jpg")
    archive.close()


def test_content_and_not_the_suffix_tells_the_kind(tmp_path):
    path = make_zip(tmp_path / "a.zip", PHOTOS).rename(tmp_path / "a.tar")
    archive = open_archive(str(path))
    assert set(archive.files) == set(PHOTOS)
    archive.close()


def test_a_zip_behind_other_bytes_is_read(tmp_path):
    path = make_zip(tmp_path / "a.zip", PHOTOS)
    path.write_bytes(b"#!/bin/sh\n" * 50 + path.read_bytes())
    archive = open_archive(str(path))
    assert archive.read("pets/cat/1.jpg") == b"a cat"
    archive.close()


def test_long_extra_field_in_the_local_header(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        info = zipfile.ZipInfo("cat/1.jpg")
        info.extra = struct.pack("<HH", 0x7777, 3000) + b"e" * 3000
        made.writestr(info, b"a cat")
        made.writestr("cat/2.jpg", b"another")
    archive = open_archive(str(path))
    assert archive.read("cat/1.jpg") == b"a cat"
    archive.close()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_many_threads_read_the_right_bytes(tmp_path, kind):
    rng = random.Random(7)
    files = {f"cat/{i}.jpg": rng.randbytes(rng.randrange(20_000)) for i in range(200)}
    archive = open_archive(str(make(tmp_path / f"a.{kind}", files)))
    with ThreadPoolExecutor(8) as pool:
        names = list(files) * 5
        assert list(pool.map(archive.read, names)) == [files[name] for name in names]
    archive.close()


HOSTILE = [
    "/etc/1.jpg",
    "../1.jpg",
    "cat/../../1.jpg",
    "cat/..",
    "C:/1.jpg",
    "c:1.jpg",
    "\\share\\1.jpg",
    "cat\\..\\..\\1.jpg",
]


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_out_refuse_the_archive(tmp_path, name, kind):
    path = make(tmp_path / f"bad.{kind}", {**PHOTOS, name: b"x"})
    with pytest.raises(ArchiveError) as caught:
        open_archive(str(path))
    assert f"bad.{kind}" in str(caught.value)
    assert f"'{shown(name)}'" in str(caught.value)


@pytest.mark.parametrize("name", ["a..b/c.jpg", "...", "cat/..jpg", "cat/a: b.jpg"])
def test_harmless_names_with_dots_are_read(tmp_path, name):
    archive = open_archive(str(make_zip(tmp_path / "a.zip", {name: b"x"})))
    assert archive.read(name) == b"x"
    archive.close()


def test_nul_in_a_name_refuses_the_archive(tmp_path):
    zipped = named_in_zip(tmp_path / "a.zip", b"dog/1.jpg\0.exe")
    packed = make_tar(
        tmp_path / "a.tar", [("cat/1.jpg", b"1"), ("dog/é\0x.jpg", b"2")], format=tarfile.PAX_FORMAT
    )
    for path in (zipped, packed):
        with pytest.raises(ArchiveError, match=r"\\x00"):
            open_archive(str(path))


def test_names_are_brought_to_one_form(tmp_path):
    named = [("./cat//1.jpg", b"1"), ("./dog/./1.jpg", b"2"), ("./", b"")]
    archive = open_archive(str(make_tar(tmp_path / "a.tar", named)))
    assert list(archive.files) == ["cat/1.jpg", "dog/1.jpg"]
    archive.close()


def test_backslashes_part_folders_in_zip_only(tmp_path):
    archive = open_archive(str(named_in_zip(tmp_path / "a.zip", b"pets\\dog\\1.jpg")))
    assert list(archive.files) == ["cat/1.jpg", "pets/dog/1.jpg"]
    assert archive.read("pets/dog/1.jpg") == b"2"
    archive.close()
    archive = open_archive(str(make_tar(tmp_path / "a.tar", {"dog/a\\b.jpg": b"x"})))
    assert list(archive.files) == ["dog/a\\b.jpg"]
    archive.close()


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"cat/\xff\xfe.jpg")
    path = make_tar(tmp_path / "a.tar", {name: b"x"}, format=tarfile.GNU_FORMAT)
    archive = open_archive(str(path))
    assert list(archive.files) == [name]
    archive.close()


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_the_last_of_one_name_wins(tmp_path, kind):
    path = make(tmp_path / f"a.{kind}", [("cat/1.jpg", b"old"), ("cat/1.jpg", b"newer")])
    archive = open_archive(str(path))
    assert archive.read("cat/1.jpg") == b"newer"
    assert len(archive.files) == 1
    archive.close()


def test_links_and_devices_of_tar_are_never_followed(tmp_path):
    odd = {
        "cat/soft.jpg": tarfile.SYMTYPE,
        "cat/hard.jpg": tarfile.LNKTYPE,
        "cat/block.jpg": tarfile.BLKTYPE,
        "cat/char.jpg": tarfile.CHRTYPE,
        "cat/fifo.jpg": tarfile.FIFOTYPE,
    }
    members = [(tar_member(name, b"", kind), b"") for name, kind in odd.items()]
    for info, _ in members:
        info.linkname = "/etc/passwd"
    archive = open_archive(str(make_tar(tmp_path / "a.tar", [("cat/1.jpg", b"1"), *members])))
    assert list(archive.files) == ["cat/1.jpg"]
    assert set(archive.odd) == set(odd)
    assert archive.odd["cat/soft.jpg"] == archive.odd["cat/hard.jpg"] == "is a link"
    assert "device" in archive.odd["cat/char.jpg"]
    with pytest.raises(PhotoError, match="not in"):
        archive.read("cat/soft.jpg")
    archive.close()


def test_links_of_zip_are_never_followed(tmp_path):
    link = zipfile.ZipInfo("cat/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    pipe = zipfile.ZipInfo("cat/pipe.jpg")
    pipe.external_attr = stat.S_IFIFO << 16
    named = [(link, b"/etc/passwd"), (pipe, b""), ("cat/1.jpg", b"1")]
    archive = open_archive(str(make_zip(tmp_path / "a.zip", named)))
    assert list(archive.files) == ["cat/1.jpg"]
    assert archive.odd["cat/link.jpg"] == "is a link"
    assert "pipe" in archive.odd["cat/pipe.jpg"]
    archive.close()


def test_a_link_in_place_of_a_file_hides_the_file(tmp_path):
    link = tar_member("cat/1.jpg", b"", tarfile.SYMTYPE)
    archive = open_archive(str(make_tar(tmp_path / "a.tar", [("cat/1.jpg", b"1"), (link, b"")])))
    assert not archive.files
    assert set(archive.odd) == {"cat/1.jpg"}
    archive.close()


@pytest.mark.parametrize("name", KINDS)
def test_cap_on_members(tmp_path, name):
    path = str(make(tmp_path / name, PHOTOS))
    open_archive(path, Limits(members=3)).close()
    with pytest.raises(ArchiveError, match="more than 2 members"):
        open_archive(path, Limits(members=2))


@pytest.mark.parametrize("name", KINDS)
def test_cap_on_the_bytes_of_a_photo(tmp_path, name):
    path = str(make(tmp_path / name, PHOTOS))
    archive = open_archive(path, Limits(photo_bytes=4999))
    assert archive.read("pets/cat/1.jpg") == b"a cat"
    with pytest.raises(PhotoError, match="cap of 4,999") as caught:
        archive.read("pets/dog/1.jpg")
    assert caught.value.path == "pets/dog/1.jpg"
    archive.close()


def test_cap_on_depth(tmp_path):
    path = str(make_zip(tmp_path / "a.zip", {"a/" * 30_000 + "1.jpg": b"x"}))
    with pytest.raises(ArchiveError, match="64 folders deep") as caught:
        open_archive(path)
    assert len(str(caught.value)) < 1000


def test_cap_on_unpacked_bytes(tmp_path):
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(bytes(30_000_000)))
    with pytest.raises(ArchiveError, match="more than 20,000,000 bytes"):
        open_archive(str(path), Limits(unpacked_bytes=20_000_000))


def test_cap_on_the_ratio_of_a_zip_member(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"cat/bomb.jpg": bytes(60_000_000), "cat/1.jpg": bytes(9)})
    archive = open_archive(str(path))
    assert archive.read("cat/1.jpg") == bytes(9)
    with pytest.raises(PhotoError, match="200 times"):
        archive.read("cat/bomb.jpg")
    archive.close()
    archive = open_archive(str(path), Limits(ratio=2000))
    assert len(archive.read("cat/bomb.jpg")) == 60_000_000
    archive.close()


def patch_central(path: Path, at: int, value: bytes) -> None:
    """Change the first member's entry in the central directory."""
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\x01\x02") + at
    data[start : start + len(value)] = value
    path.write_bytes(data)


@pytest.mark.parametrize(("size", "said"), [(4000, "more"), (6000, "fewer"), (0, "more")])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_member_that_lies_about_its_size(tmp_path, size, said, method):
    files = {"dog/1.jpg": b"a dog" * 1000, "cat/1.jpg": b"1"}
    path = make_zip(tmp_path / "a.zip", files, method)
    patch_central(path, 24, struct.pack("<I", size))
    archive = open_archive(str(path))
    with pytest.raises(PhotoError, match=f"{said} bytes than the {size:,} declared"):
        archive.read("dog/1.jpg")
    assert archive.read("cat/1.jpg") == b"1"
    archive.close()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_bomb_that_declares_little_takes_little_memory(tmp_path, method):
    path = make_zip(tmp_path / "a.zip", {"cat/1.jpg": bytes(40_000_000)}, method)
    patch_central(path, 24, struct.pack("<I", 4000))
    archive = open_archive(str(path))
    tracemalloc.start()
    try:
        with pytest.raises(PhotoError, match="more bytes than the 4,000 declared"):
            archive.read("cat/1.jpg")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    archive.close()


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (16, b"\1\2\3\4", "checksum"),
        (42, b"\7\0\0\0", "not where the archive says"),
        (42, b"\xff\xff\xff\x0f", "not where the archive says"),
    ],
    ids=["crc", "offset", "beyond"],
)
def test_a_damaged_member_of_zip_costs_that_photo_only(tmp_path, at, value, said):
    path = make_zip(tmp_path / "a.zip", PHOTOS)
    patch_central(path, at, value)
    archive = open_archive(str(path))
    with pytest.raises(PhotoError, match=said):
        archive.read("pets/cat/1.jpg")
    assert archive.read("pets/dog/1.jpg") == PHOTOS["pets/dog/1.jpg"]
    archive.close()


def test_damaged_deflate_data(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"cat/1.jpg": bytes(range(256)) * 40})
    data = bytearray(path.read_bytes())
    data[39:60] = b"\xff" * 21
    path.write_bytes(data)
    archive = open_archive(str(path))
    with pytest.raises(PhotoError, match="damaged"):
        archive.read("cat/1.jpg")
    archive.close()


def test_overlapping_members_of_zip(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"1", "cat/2.jpg": b"2"})
    patch_central(path, 20, struct.pack("<I", 10_000))
    with pytest.raises(ArchiveError, match="overlap"):
        open_archive(str(path))


def test_encrypted_zip(tmp_path):
    path = make_zip(tmp_path / "secret.zip", PHOTOS)
    patch_central(path, 8, b"\1\0")
    with pytest.raises(ArchiveError, match=r"secret\.zip is encrypted .*password"):
        open_archive(str(path))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.8])
def test_a_broken_off_archive(tmp_path, name, part):
    rng = random.Random(1)
    path = make(tmp_path / name, {f"cat/{i}.jpg": rng.randbytes(3000) for i in range(20)})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ArchiveError, match=name):
        open_archive(str(path))


def test_a_broken_header_inside_a_tar_is_no_silent_end(tmp_path):
    path = make_tar(tmp_path / "a.tar", {f"cat/{i}.jpg": b"x" for i in range(5)})
    data = bytearray(path.read_bytes())
    data[2048:2100] = b"?" * 52
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="byte 2,048"):
        open_archive(str(path))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100], ids=["empty", "other"])
def test_a_file_that_only_has_the_name_of_an_archive(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="expected a complete"):
        open_archive(str(path))


@pytest.mark.parametrize("content", [b"", b"text\n" * 300], ids=["empty", "text"])
def test_a_file_that_is_no_archive(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"notes\.txt is neither a folder nor") as caught:
        open_archive(str(path))
    assert not isinstance(caught.value, ArchiveError)


def test_a_gzipped_file_that_is_no_tar(tmp_path):
    path = tmp_path / "photo.jpg.gz"
    path.write_bytes(gzip.compress(b"\xff\xd8 photo" * 300))
    with pytest.raises(ArchiveError, match="damaged"):
        open_archive(str(path))


def test_a_gzip_with_a_wrong_checksum(tmp_path):
    path = make_tar(tmp_path / "a.tgz", PHOTOS, "w:gz")
    data = bytearray(path.read_bytes())
    data[-8:-4] = b"\0\1\2\3"
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="CRC"):
        open_archive(str(path))


def raw_header(name: str, size: bytes, kind: bytes) -> bytes:
    """Make a tar header with any size field."""
    header = bytearray(tar_member(name, b"", kind).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def test_sparse_members_are_refused(tmp_path):
    path = tmp_path / "a.tar"
    header = raw_header("cat/1.jpg", b"%011o\0" % 0, tarfile.GNUTYPE_SPARSE)
    path.write_bytes(header + bytes(1024))
    with pytest.raises(ArchiveError, match="sparse"):
        open_archive(str(path))


def test_a_negative_size_ends_with_an_error(tmp_path):
    """Without a check tarfile goes back and forth over such headers for ever."""
    negative = b"\xff" * 10 + struct.pack(">h", -1024)
    good = tar_member("cat/1.jpg").tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / "a.tar"
    path.write_bytes(good * 2 + raw_header("cat/2.jpg", negative, tarfile.REGTYPE) + bytes(1024))
    with pytest.raises(ArchiveError, match="damaged"):
        open_archive(str(path))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_claims_much_is_not_read(tmp_path, kind):
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.write(raw_header("x", b"%011o\0" % (2 * 2**30), kind))
        file.truncate(2 * 2**30 + 4096)  # a hole; takes no room
    with pytest.raises(ArchiveError, match="header of"):
        open_archive(str(path))


def test_chained_tar_headers_end_with_an_error(tmp_path):
    name = raw_header("x", b"%011o\0" % 5, tarfile.GNUTYPE_LONGNAME) + b"name".ljust(512, b"\0")
    path = tmp_path / "a.tar"
    path.write_bytes(name * 5000)
    with pytest.raises(ArchiveError, match="damaged"):
        open_archive(str(path))


def test_changed_bytes_never_raise_anything_else(tmp_path):
    """Seeded fuzz: only our own errors come out, and bytes that come out of a zip are right."""
    rng = random.Random(3)
    outcomes = set()
    for name in ("a.zip", "a.tar", "a.tgz"):
        good = make(tmp_path / name, PHOTOS).read_bytes()
        path = tmp_path / f"bad-{name}"
        for _ in range(300):
            data = bytearray(good)
            for _ in range(rng.choice([1, 3, 20])):
                data[rng.randrange(len(data))] = rng.randrange(256)
            path.write_bytes(data)
            try:
                archive = open_archive(str(path))
            except SourceError:
                outcomes.add("refused")
                continue
            for member in archive.files:
                try:
                    photo = archive.read(member)
                except PhotoError:
                    outcomes.add("photo refused")
                    continue
                outcomes.add("read")
                if name == "a.zip":
                    assert photo in PHOTOS.values()
            archive.close()
    assert outcomes == {"refused", "photo refused", "read"}


def test_unpacking_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    archive = open_archive(str(make_tar(tmp_path / "a.tgz", PHOTOS, "w:gz")))
    assert archive.read("pets/cat/1.jpg") == b"a cat"
    assert not list((tmp_path / "tmp").iterdir())
    archive.close()


def test_names_in_messages_stay_on_one_line():
    assert shown("a\nb\x1b[31m\udcff é") == "a\\nb\\x1b[31m\\udcff é"
    assert len(shown("x" * 5000)) < 300


def test_sixteen_thousand_members_open_and_read_quickly(tmp_path):
    files = {f"pets/cat/{i}.jpg": b"%d" % i * 500 for i in range(16_000)}
    path = str(make_zip(tmp_path / "a.zip", files, zipfile.ZIP_STORED))
    start = time.perf_counter()
    archive = open_archive(path)
    opened = time.perf_counter() - start
    with ThreadPoolExecutor(2) as pool:
        total = sum(zlib.crc32(data) for data in pool.map(archive.read, archive.files))
    read = time.perf_counter() - start - opened
    archive.close()
    assert total == sum(map(zlib.crc32, files.values()))
    assert opened < 1
    assert read < 10
