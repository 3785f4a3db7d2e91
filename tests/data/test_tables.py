"""Tables of photos: what columns may be called, and what is told of each faulty line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pawprint.data.archives import Limits
from pawprint.data.sources import Skipped, SourcePhoto, open_source
from pawprint.data.tables import read_table
from pawprint.errors import SourceError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with files to name in tables, each with its path as content."""
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "in/e.jpg", "no suffix", "Über ß.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, "utf-8")
    return tmp_path


def table(folder: Path, text: str | bytes, name: str = "pets.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def triples(path: Path) -> list[tuple[str, str, str | None]]:
    with open_source(path) as source:
        for photo in source.photos:
            name = os.path.relpath(photo.path, path.parent)
            assert source.read(photo).decode("utf-8") == name
        return [
            (os.path.relpath(photo.path, path.parent), photo.label, photo.split)
            for photo in source.photos
        ]


def refused(path: Path, *parts: str, limits: Limits | None = None) -> str:
    """The message with which a table is refused; it is one line and names the file."""
    with pytest.raises(SourceError) as caught:
        open_source(path, limits)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    for part in parts:
        assert part in said, said
    return said


AB = [("a.jpg", "cat", None), ("b.jpg", "dog", None)]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.jpg,cat\nb.jpg,dog\n",
        "label,path\ncat,a.jpg\ndog,b.jpg",
        "File,Class\r\na.jpg,cat\r\nb.jpg,dog\r\n",
        " FILENAME , category \na.jpg, cat \n b.jpg,dog\n",
        "image;label;size\na.jpg;cat;1\nb.jpg;dog;2\n",
        "file_name\tclass_name\na.jpg\tcat\nb.jpg\tdog\n",
        "\ufeffpath,label\na.jpg,cat\nb.jpg,dog\n",
        'path,label\n"a.jpg","cat"\n\n"b.jpg",dog\n ,\n',
        "path,label,split\na.jpg,cat,\nb.jpg,dog,\n",
        "path,label,split\na.jpg,cat,train\nb.jpg,dog,training\n",
        "path,label\n./a.jpg,cat\nin/../b.jpg,dog\n",
    ],
)
def test_columns_by_their_usual_names(photos, text):
    found = [(os.path.normpath(path), *rest) for path, *rest in triples(table(photos, text))]
    assert found == AB


@pytest.mark.parametrize(
    "text",
    [
        '{"path": "a.jpg", "label": "cat"}\n{"label": "dog", "path": "b.jpg"}\n',
        '{"image": "a.jpg", "class": "cat", "box": [1, 2]}\n\n{"FILE": "b.jpg", "Label": "dog"}',
        '{"path": "a.jpg", "label": "cat", "split": null}\n{"path": "b.jpg", "label": "dog"}\n',
        '\ufeff{"path": "a.jpg", "label": "cat"}\r\n{"path": "b.jpg", "label": "dog"}\r\n',
    ],
)
def test_lines_of_json(photos, text):
    assert triples(table(photos, text, "pets.jsonl")) == AB


def test_numbers_are_labels_too(photos):
    rows = [{"path": "a.jpg", "label": 0}, {"path": "b.jpg", "label": 1}]
    path = table(photos, "\n".join(map(json.dumps, rows)), "pets.JSONL")
    assert [label for _, label, _ in triples(path)] == ["0", "1"]


def test_splits(photos):
    path = table(
        photos,
        "path,label,split\na.jpg,cat,train\nb.jpg,dog,TRAIN\nc.jpg,cat,val\nd.jpg,dog,valid\n"
        "in/e.jpg,cat,test\nno suffix,dog,testing\n",
    )
    assert [split for _, _, split in triples(path)] == [
        "train", "train", "validation", "validation", "test", "test",
    ]  # fmt: skip


def test_the_name_and_paths_of_a_table(photos, monkeypatch, tmp_path):
    names = "file,class\n" + f"{photos / 'a.jpg'},cat\nÜber ß.jpg,dog\n"
    table(photos, names, "my.pets.csv")
    monkeypatch.chdir(photos.parent)
    with open_source(Path(photos.name, "my.pets.csv")) as source:
        assert source.name == "my.pets"
        assert set(source.photos) == {
            SourcePhoto(str(photos / "a.jpg"), "cat", None),
            SourcePhoto(os.path.join(photos.name, "Über ß.jpg"), "dog", None),
        }
        monkeypatch.chdir("/")
        assert [source.read(photo).decode() for photo in source.photos] == ["a.jpg", "Über ß.jpg"]


def test_missing_photos_are_listed_and_the_others_used(photos):
    os.mkfifo(photos / "pipe.jpg")
    path = table(
        photos,
        "path,label\na.jpg,cat\ngone.jpg,cat\nb.jpg,dog\nin,dog\npipe.jpg,dog\na.jpg/x.jpg,dog\n",
    )
    with open_source(path) as source:
        assert len(source.photos) == 2
        assert source.skipped == (
            Skipped(str(photos / "gone.jpg"), "there is no such file (line 3)"),
            Skipped(str(photos / "in"), "is a pipe or device, not a file (line 5)"),
            Skipped(str(photos / "pipe.jpg"), "is a pipe or device, not a file (line 6)"),
            Skipped(str(photos / "a.jpg/x.jpg"), "cannot be read (not a directory) (line 7)"),
        )


def test_nothing_remains(photos):
    path = table(photos, "path,label\nx.jpg,cat\ny.jpg,dog\nz.jpg,dog\n")
    refused(path, "names no photos that can be used", "3 not used", "x.jpg: there is no such file")
    path = table(photos, "path,label\na.jpg,cat\ny.jpg,dog\n")
    refused(path, "photos of one class, 'cat'", "two are needed", "y.jpg")


def test_a_line_that_is_there_twice_counts_once(photos):
    path = table(photos, "path,label\na.jpg,cat\nb.jpg,dog\n./a.jpg,cat\n")
    with open_source(path) as source:
        assert len(source.photos) == 2
        assert source.skipped == (Skipped(f"{photos}/./a.jpg", "in line 4 as in line 2"),)


def test_a_photo_with_two_labels_or_splits_is_refused(photos):
    path = table(photos, "path,label\na.jpg,cat\nb.jpg,dog\nin/../a.jpg,dog\na.jpg,bird\n")
    refused(
        path, "has 2 faults: line 4: ", "a.jpg has label dog, and in line 2 cat; keep one", "line 5"
    )
    path = table(photos, "path,label,split\na.jpg,cat,train\nb.jpg,dog,train\na.jpg,cat,test\n")
    refused(path, "line 4: ", "has split test, and in line 2 train")


FAULTY = """path,label,split
a.jpg,cat,train
b.jpg,dog,trian
,cat,train
c.jpg,,train
d.jpg,cat
d.jpg,cat,train,more
https://example.org/a.jpg,cat,train
in/e.jpg,cat,
"""


def test_several_faults_are_told_at_once(photos):
    path = table(photos, FAULTY)
    refused(
        path,
        "has 7 faults: ",
        "line 3: split trian; expected train, validation or test",
        "line 4: no path",
        "line 5: no label",
        "line 6: 2 cells, and the first line names 3",
        "line 7: 4 cells",
        "line 8: https://example.org/a.jpg is an address",
        "line 9: no split, and line 2 has one; give all or none",
        "expected a path and a label a line",
    )


def test_faults_in_json(photos):
    lines = [
        '{"path": "a.jpg", "label": "cat"}',
        "{",
        "[]",
        '"a.jpg"',
        '{"path": "a.jpg"}',
        '{"label": "cat"}',
        '{"path": 7, "label": "cat"}',
        '{"path": "b.jpg", "label": ["cat"]}',
        '{"path": "b.jpg", "label": true}',
        '{"path": "b.jpg", "image": "a.jpg", "label": "cat"}',
        "[" * 100_000,
        '{"path": "b\\u0000.jpg", "label": "cat"}',
    ]
    said = refused(table(photos, "\n".join(lines), "pets.jsonl"), "has 11 faults", "and 1 more")
    for line, what in [
        (2, "no JSON"),
        (3, "no object"),
        (4, "no object"),
        (5, "no label"),
        (6, "no path"),
        (7, "the path is no text"),
        (8, "the label is no text"),
        (9, "the label is no text"),
        (10, "path and image both give the path"),
        (11, "no JSON"),
    ]:
        assert f"line {line}: {what}" in said
    assert len(said) < 1500


def test_many_faults_are_cut(photos):
    said = refused(table(photos, "path,label\n" + ",\n,cat\n" * 5000), "5,000 faults", "4,990 more")
    assert len(said) < 1000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty; its first line must name the columns (path: path, file"),
        ("\n\n", "is empty"),
        ("a.jpg,cat\nb.jpg,dog\n", "begins with 'a.jpg,cat'; its first line must name"),
        ("path\na.jpg\n", "begins with 'path'"),
        ("path,label\n", "names no photos that can be used"),
        ("path,label\na.jpg,cat\n", "photos of one class, 'cat'"),
        ("path,file,label\na.jpg,a.jpg,cat\n", "path and file both give the path"),
        ('path,label\n"a.jpg,cat\n' + "b.jpg,dog\n" * 20_000, "line 2: no CSV"),
        ("path,label\n" + "x" * 2**20, "line 2 is too long"),
        ("path,label,split\na.jpg,cat,test\nb.jpg,dog,test\n", "none of them is train"),
        (b"\xff\xfe" + "path,label\na.jpg,cat\n".encode("utf-16-le"), "save the table as UTF-8"),
        ("path,label\na.jpg,Löwe\nb.jpg,dog\n".encode("latin-1"), "line 2: the label is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "its first line must name the columns"),
    ],
)
def test_what_is_no_table(photos, text, told):
    refused(table(photos, text), told)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_classes_that_differ_between_splits_are_refused_with_both_lists(photos, split, kind):
    rows = [("a.jpg", "cat", "train"), ("b.jpg", "dog", "train")]
    rows += [("c.jpg", "cat", split), ("d.jpg", "bird", split)]
    text = "\n".join(",".join(row) for row in [("path", "label", "split"), *rows])
    if kind == "jsonl":
        names = ("path", "label", "split")
        text = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows)
    path = table(photos, text, f"pets.{kind}")
    refused(path, f"train has dog, cat; {split} has bird, cat")


def test_lines_are_capped(photos):
    path = table(photos, "path,label\n" + "a.jpg,cat\n" * 20)
    refused(path, "more than 10 lines", limits=Limits(members=10))


def test_a_photo_over_the_cap_or_gone_is_its_own_fault(photos):
    path = table(photos, "path,label\na.jpg,cat\nb.jpg,dog\n")
    with open_source(path, Limits(photo_bytes=3)) as source, pytest.raises(Exception, match="cap"):
        source.read(source.photos[0])


def test_the_table_itself_cannot_be_read(tmp_path):
    with pytest.raises(SourceError, match=r"pets\.csv' does not exist"):
        open_source(tmp_path / "pets.csv")
    (tmp_path / "pets.csv").mkdir()
    with pytest.raises(SourceError, match="is empty"):  # a folder, whatever its name
        open_source(tmp_path / "pets.csv")


def test_a_group_may_be_zero_and_only_nothing_is_none(tmp_path: Path) -> None:
    values = ["0", "1", "false", '""', "null"]
    lines = [
        f'{{"path": "{n}.jpg", "label": "{"cat" if n % 2 else "dog"}", "patient": {value}}}'
        for n, value in enumerate(values)
    ]
    for n in range(len(values)):
        (tmp_path / f"{n}.jpg").write_bytes(b"a photo")
    table = tmp_path / "t.jsonl"
    table.write_text("\n".join(lines))
    photos, _ = read_table(str(table), Limits(), "patient")
    assert [photo.group for photo in photos] == ["0", "1", "False", None, None]
