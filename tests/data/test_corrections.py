"""Corrections: any name survives, the labels change, and a table of something else is refused."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pawprint.data import corrections, exclusions
from pawprint.data.corrections import Applied, Correction, Verdict
from pawprint.data.layout import Skipped
from pawprint.data.sources import Source, open_source
from pawprint.errors import OutputError, SourceError

KEEP, RELABEL, EXCLUDE = Verdict
HEADER = "path,given,verdict,label\n"
NAMES = (
    "cat/1.jpg",
    "two words.jpg",
    "кошка/猫 ñ.jpg",
    'it\'s "quoted", twice.jpg',
    "# no comment.jpg",
    " leading and trailing ",
    "two\nlines.jpg",
    "tab\tand\r\nreturn.jpg",
    "return\r.jpg",
    "line\u2028separator.jpg",
    "=1+1.jpg",
    os.fsdecode(b"not \xff utf-8.jpg"),
)


def table(folder: Path, content: str | bytes, name: str = "corrections.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes) -> list[Correction]:
    return corrections.read(table(folder, content))


def test_every_name_survives(tmp_path: Path) -> None:
    rows = [Correction(name, "cat", RELABEL, f"a, {name}", "ab" * 32) for name in NAMES]
    rows += [Correction("kept", "катя", KEEP), Correction("out", "dog", EXCLUDE)]
    corrections.write(tmp_path / "corrections.csv", rows)
    assert corrections.read(tmp_path / "corrections.csv") == rows
    assert os.listdir(tmp_path) == ["corrections.csv"]


def test_nothing_to_correct_is_a_table_too(tmp_path: Path) -> None:
    corrections.write(tmp_path / "corrections.csv", [])
    assert corrections.read(tmp_path / "corrections.csv") == []


def test_a_table_that_went_through_a_spreadsheet_is_read(tmp_path: Path) -> None:
    text = '\ufeffLabel;"Verdict";given;path;note\r\ndog; Relabel ;cat;cat/1.jpg;x\r\n;;;;\r\n\r\n'
    assert read(tmp_path, text) == [Correction("cat/1.jpg", "cat", RELABEL, "dog")]
    assert read(tmp_path, text.replace(";", "\t")) == read(tmp_path, text)


def test_the_same_row_twice_is_one(tmp_path: Path) -> None:
    row = "cat/1.jpg,cat,keep,\n"
    assert read(tmp_path, HEADER + row + row) == [Correction("cat/1.jpg", "cat", KEEP)]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("a,cat,keep,\nb,cat,drop,\n", r"line 3: the verdict 'drop'; expected keep, relabel, excl"),
        ("a,cat,,\n", "line 2: the verdict ''; expected keep"),
        ("a,cat,relabel,\n", "line 2: relabel needs another label than cat, in the column label"),
        ("a,cat,relabel,cat\n", "line 2: relabel needs another label than cat"),
        ("a,cat,exclude,dog\n", "line 2: exclude takes no label, and dog is one"),
        (",cat,keep,\n", "line 2: no path"),
        ("a,,keep,\n", "line 2: no label that was given"),
        ("a,cat,keep\n", "line 2: 3 cells, and the first line names 4"),
        ('a,cat,keep,\n"a"b,cat,keep,\n', r"line 3: no CSV \("),
        ('"two\nlines",cat,keep,\n"a,cat,keep,\n', r"line 4: no CSV \(unexpected end of data\)"),
        ("a,cat,keep,\n\nb,cat,keep,\na,cat,exclude,\n", "line 5: a is in line 2 too, with anothe"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, rows: str, told: str) -> None:
    with pytest.raises(SourceError, match=rf"corrections\.csv, {told}"):
        read(tmp_path, HEADER + rows)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty; expected a table under a line path,given,verdict,label"),
        (b"\xef\xbb\xbf\n\n", "is empty"),
        (b"path,label\na.jpg,cat\n", "begins with 'path,label'; expected a table"),
        (b"cat/1.jpg\n", "begins with 'cat/1.jpg'"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is no text"),
        ((HEADER + "a,cat,keep,\n").encode("utf-16"), "is no text"),
        (b"x" * 300_000, "begins with 'xxxx"),
        (HEADER.encode() + b"x" * 300_000, r"line 2: no CSV \(field larger than"),
    ],
)
def test_what_is_no_table_of_corrections_is_refused(
    tmp_path: Path, content: bytes, told: str
) -> None:
    with pytest.raises(SourceError, match=told):
        read(tmp_path, content)


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.csv cannot be read \(no such file or directory"):
        corrections.read(tmp_path / "none.csv")
    with pytest.raises(SourceError, match=r"cannot be read \(is a directory\)"):
        corrections.read(tmp_path)
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(2**28 + 1)  # takes no room
    with pytest.raises(SourceError, match="268,435,456 bytes and cannot be corrections"):
        corrections.read(tmp_path / "huge.csv")


def test_a_table_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = table(tmp_path, "the one before")

    def breaks_off() -> Any:
        yield Correction("cat/1.jpg", "cat", KEEP)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corrections.write(path, breaks_off())
    assert path.read_bytes() == b"the one before"
    with pytest.raises(OutputError, match=r"cannot be written \(no such file or directory\)"):
        corrections.write(tmp_path / "missing" / "corrections.csv", [])
    assert os.listdir(tmp_path) == ["corrections.csv"]


# applying to a source


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label in ("cat", "dog", "owl"):
        for number in "123":
            path = tmp_path / "photos" / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{label} {number}".encode())
    return tmp_path / "photos"


def labels(source: Source) -> dict[str, str]:
    return {source.relative(photo.path): photo.label for photo in source.photos}


def apply(source: Source, folder: Path, rows: str, header: str = HEADER) -> Applied:
    return corrections.apply(source, table(folder, header + rows))


def test_labels_change_and_excluded_photos_are_skipped(photos: Path, tmp_path: Path) -> None:
    rows = "cat/1.jpg,cat,relabel,dog\ndog/2.jpg,dog,exclude,\nowl/3.jpg,owl,keep,\n"
    with open_source(photos) as source:
        before = labels(source)
        assert apply(source, tmp_path, rows) == Applied(relabelled=1, excluded=1, kept=1)
        del before["dog/2.jpg"]
        assert labels(source) == before | {"cat/1.jpg": "dog"}
        assert source.classes == ("cat", "dog", "owl")
        reason = f"excluded in {tmp_path / 'corrections.csv'}"
        assert source.skipped == (Skipped(str(photos / "dog/2.jpg"), reason, kind="excluded"),)
        (first, *_) = source.photos
        assert source.read(first) == b"cat 1"


def test_no_verdict_changes_nothing(photos: Path, tmp_path: Path) -> None:
    with open_source(photos) as source:
        before = source.photos
        assert apply(source, tmp_path, "") == Applied(0, 0, 0)
        assert source.photos == before
        assert source.skipped == ()


@pytest.mark.parametrize("spelling", ["photos", "./photos", "absolute"])
def test_a_photo_may_be_named_as_it_is_told(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(photos) if spelling == "absolute" else spelling
    told = os.path.join(folder, "cat", "1.jpg")
    with open_source(folder) as source:
        assert apply(source, tmp_path, f"{told},cat,relabel,owl\n").relabelled == 1
        assert labels(source)["cat/1.jpg"] == "owl"


def test_members_of_an_archive_and_rows_of_a_table_are_corrected(
    photos: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos.rglob("*.jpg"):
            archive.write(path, Path("pets", path.relative_to(photos)))
    with open_source(tmp_path / "photos.zip") as source:
        apply(source, tmp_path, "pets/cat/1.jpg,cat,relabel,dog\n")
        assert labels(source)["pets/cat/1.jpg"] == "dog"
    listed = table(
        tmp_path, "path,label\nphotos/cat/1.jpg,a\nphotos/cat/2.jpg,a\nphotos/cat/3.jpg,b", "t.csv"
    )
    with open_source(listed) as source:
        apply(source, tmp_path, "photos/cat/1.jpg,a,relabel,b\n")
        assert list(labels(source).values()) == ["b", "a", "b"]


def test_what_was_excluded_before_is_passed_over(photos: Path, tmp_path: Path) -> None:
    listed = table(tmp_path, "cat/1.jpg\n", "list.txt")
    with open_source(photos) as source:
        exclusions.leave_out(source, listed)
        rows = "cat/1.jpg,cat,relabel,dog\ncat/2.jpg,cat,relabel,dog\n"
        assert apply(source, tmp_path, rows) == Applied(1, 0, 0)
        assert "cat/1.jpg" not in labels(source)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            "a/two words.jpg,cat,keep,\ncat/1.jpg,cat,keep,\n",
            r"1 of 2 photo\(s\) in .*corrections\.csv are not among the photos of photos, such as "
            r"a/two words\.jpg; expected paths like cat/1\.jpg: is it a list of another dataset\?",
        ),
        (
            "cat/1.jpg,cat,relabel,dgo\n",
            r"cat/1\.jpg is to be labelled dgo, which is no class of photos; expected cat, dog, "
            r"owl \(did you mean dog\?\)",
        ),
        ("cat/1.jpg,cat,relabel,Д\n", "labelled Д, which is no class of photos; expected cat, dog"),
        ("cat/1.jpg,dog,keep,\n", r"cat/1\.jpg is labelled cat in photos, and dog when it was rev"),
        ("".join(f"owl/{n}.jpg,owl,exclude,\n" for n in "123"), "would leave no photo of owl in"),
        ("".join(f"owl/{n}.jpg,owl,relabel,dog\n" for n in "123"), "would leave no photo of owl "),
    ],
)
def test_a_table_of_something_else_is_refused_and_changes_nothing(
    photos: Path, tmp_path: Path, rows: str, told: str
) -> None:
    with open_source(photos) as source:
        before = source.photos
        with pytest.raises(SourceError, match=told):
            apply(source, tmp_path, rows)
        assert source.photos == before
        assert source.skipped == ()


def test_one_photo_under_two_names_has_one_verdict(photos: Path, tmp_path: Path) -> None:
    rows = f"cat/1.jpg,cat,keep,\n{photos / 'cat' / '1.jpg'},cat,exclude,\n"
    with open_source(photos) as source, pytest.raises(SourceError, match="one photo with two verd"):
        apply(source, tmp_path, rows)


def test_a_photo_that_changed_since_is_not_corrected(photos: Path, tmp_path: Path) -> None:
    header = "path,given,verdict,label,sha256\n"
    sha256 = "d1fa13ea5a3a1d02fb6a49b3f0d8f1df3b1e4ae7d0e0ad1d0e0ad1d0e0ad1d0e"
    with open_source(photos) as source:
        with pytest.raises(SourceError, match=r"cat/1\.jpg has changed since it was reviewed"):
            apply(source, tmp_path, f"cat/1.jpg,cat,relabel,dog,{sha256}\n", header)
        assert apply(source, tmp_path, f"cat/1.jpg,cat,keep,,{sha256}\n", header).kept == 1
        (photos / "cat" / "1.jpg").unlink()  # which training tells of
        rows = f"cat/1.jpg,cat,relabel,dog,{sha256}\n"
        assert apply(source, tmp_path, rows, header).relabelled == 1
