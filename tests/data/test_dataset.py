"""Datasets: what is read, which side it is on, and the tables that say so."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from pathlib import Path

import pytest

from pawprint.data.dataset import (
    Dataset,
    Photo,
    assign_sides,
    build,
)
from pawprint.data.reading import Fault, Read, read_all
from pawprint.data.sources import SourcePhoto, open_source
from pawprint.errors import SourceError


def read(path: str, content: str, side: str | None = None) -> Read:
    """A photo that was read; its class is its folder."""
    label = path.split("/")[-2]
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Read(SourcePhoto(path, label, side), digest, len(content))


def folder_of(side: str, count: int, *, start: int = 0) -> list[Read]:
    return [
        read(f"{side}/{label}/{n}.jpg", f"{label} {n}", side)
        for label in ("cat", "dog")
        for n in range(start, start + count)
    ]


def sides(reads: list[Read]) -> dict[str, str | None]:
    return {read.photo.path: read.photo.split for read in reads}


def test_every_photo_is_read_hashed_and_counted(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for n in range(150):  # more than one task's worth
            (tmp_path / label / f"{n:03}.jpg").write_bytes(f"{label}{n}".encode())
    with open_source(tmp_path) as source:
        reads, faults = read_all(source)
    assert faults == []
    assert [read.photo for read in reads] == list(source.photos)
    assert len(reads) == 300
    for read in reads:
        data = Path(read.photo.path).read_bytes()
        assert (read.sha256, read.bytes) == (hashlib.sha256(data).hexdigest(), len(data))


def test_what_cannot_be_read_is_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for n in range(3):
            (tmp_path / label / f"{n}.jpg").write_bytes(f"{label}{n}".encode())
    (tmp_path / "cat" / "1.jpg").write_bytes(b"")
    with open_source(tmp_path) as source:
        (tmp_path / "dog" / "2.jpg").unlink()
        reads, faults = read_all(source)
    assert {os.path.relpath(fault.path, tmp_path): fault.reason for fault in faults} == {
        "cat/1.jpg": "the file is empty (0 bytes)",
        "dog/2.jpg": "cannot be read (no such file or directory)",
    }
    assert len(reads) == 4


def test_given_sides_are_kept() -> None:
    given = folder_of("train", 6) + folder_of("validation", 2, start=100)
    given += folder_of("test", 3, start=200)
    sided, copies = assign_sides("pets", given)
    assert sides(sided) == {read.photo.path: read.photo.split for read in given}
    assert copies == []


def test_without_validation_it_is_drawn_from_train_and_test_is_kept() -> None:
    given = folder_of("train", 10) + folder_of("test", 3, start=200)
    sided, copies = assign_sides("pets", given, fraction=0.3)
    found = sides(sided)
    assert copies == []
    for label in ("cat", "dog"):
        drawn = [found[f"train/{label}/{n}.jpg"] for n in range(10)]
        assert set(drawn) == {"train", "validation"}
        assert 2 <= drawn.count("validation") <= 6
        assert all(found[f"test/{label}/{n}.jpg"] == "test" for n in range(200, 203))


def test_copies_across_given_sides_judge_and_do_not_train() -> None:
    given = folder_of("train", 6) + folder_of("validation", 3, start=3)  # 3 of each are copies
    given += [read("test/cat/a.jpg", "cat 0", "test"), read("test/dog/a.jpg", "dog 5", "test")]
    sided, copies = assign_sides("pets", given)
    on: dict[str, set[str | None]] = {}
    for one in sided:
        on.setdefault(one.sha256, set()).add(one.photo.split)
    assert all(len(found) == 1 for found in on.values())
    assert {fault.path for fault in copies} == {
        "train/cat/0.jpg",
        *(f"train/{label}/{n}.jpg" for label in ("cat", "dog") for n in (3, 4, 5)),
        "validation/dog/5.jpg",
    }
    first = next(fault for fault in copies if fault.path == "train/cat/3.jpg")
    assert first.reason == "same bytes as validation/cat/3.jpg in validation; left out of train"
    assert {one.photo.path for one in sided} | {fault.path for fault in copies} == {
        one.photo.path for one in given
    }


def test_copies_on_one_side_stay() -> None:
    given = [*folder_of("train", 4), read("train/cat/copy.jpg", "cat 0", "train")]
    given += folder_of("validation", 2, start=50)
    sided, copies = assign_sides("pets", given)
    assert len(sided) == len(given)
    assert copies == []


def test_one_class_left_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"pets: photos of 1 class.*cat.*at least 2 classes"):
        assign_sides("pets", [read("cat/1.jpg", "a"), read("cat/2.jpg", "b")])


def test_a_class_missing_on_a_given_side_is_refused_by_name() -> None:
    given = [*folder_of("train", 4), read("validation/cat/9.jpg", "cat 9", "validation")]
    with pytest.raises(SourceError, match="no readable validation photo of dog"):
        assign_sides("pets", given)


def test_a_class_that_copies_take_out_of_training_is_refused_by_name() -> None:
    given = folder_of("train", 4) + folder_of("validation", 2, start=50)
    given += [read(f"test/dog/{n}.jpg", f"dog {n}", "test") for n in range(4)]
    with pytest.raises(SourceError, match="no readable train photo of dog"):
        assign_sides("pets", given)


def test_the_fingerprint_is_of_contents_labels_and_sides_not_of_names() -> None:
    def made(*changes: tuple[str, str]) -> str:
        reads = [
            read("a/cat/1.jpg", "1", "train"),
            read("a/cat/2.jpg", "2", "validation"),
            read("a/dog/3.jpg", "3", "train"),
            read("a/dog/4.jpg", "4", "validation"),
        ]
        text = {r.photo.path: r for r in reads}
        for old, new in changes:
            was = text[old]
            label = new.split("/")[-2]
            text[old] = Read(SourcePhoto(new, label, was.photo.split), was.sha256, was.bytes)
        return build("pets", list(text.values()), {r.sha256: (8, 8) for r in reads}, []).fingerprint

    assert made() == made(("a/cat/1.jpg", "b/cat/other.jpg"))
    assert made() != made(("a/cat/1.jpg", "a/dog/1.jpg"))
    forward = [Photo(f"{n}", "cat", "train", f"{n:064x}", 1, 1, 1) for n in range(4)]
    assert (
        Dataset("a", tuple(forward)).fingerprint == Dataset("b", tuple(forward[::-1])).fingerprint
    )


@pytest.mark.parametrize(
    "name",
    [
        "plain.jpg",
        'with "quotes", commas\nand lines.jpg',
        "naïve 猫 🐾.jpg",
        os.fsdecode(b"caf\xe9.jpg"),  # Latin-1, no UTF-8
    ],
)
def test_the_manifest_reads_back_whatever_the_names(tmp_path: Path, name: str) -> None:
    photo = Photo(f"cat/{name}", "cat", "train", "ab" * 32, 123, 640, 480)
    fault = Fault(f"dog/{name}", 'it cannot be decoded, "truly"')
    Dataset("pets", (photo,), (fault,)).write_manifest(tmp_path)

    def rows(file: str) -> list[dict[str, str]]:
        text = (tmp_path / file).read_bytes().decode("utf-8", "surrogateescape")
        return list(csv.DictReader(io.StringIO(text, newline="")))

    assert rows("manifest.csv") == [
        {
            "path": photo.path,
            "label": "cat",
            "split": "train",
            "width": "640",
            "height": "480",
            "bytes": "123",
            "sha256": "ab" * 32,
        }
    ]
    assert rows("left_out.csv") == [{"path": fault.path, "reason": fault.reason}]
