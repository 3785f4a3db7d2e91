"""Which photos a folder or a list names: everywhere, under any name, and none of it lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from pawprint.errors import SourceError
from pawprint.parts.inputs import LISTS, inputs_of, opener
from pawprint.parts.listing import Input
from pawprint.parts.places import place

from ..scale.object_store import Store

FILES = ["cat/1.jpg", "cat/Käse 猫.PNG", "cat/deep/2.jpg", "dog/what? #1 100%.jpg"]
Shut = Callable[[Path, int], Path]


def put(folder: Path, *names: str) -> Path:
    """Put files into a folder; each holds its name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def listed(source: object, *, labelled: bool = False) -> list[Input]:
    return list(inputs_of(place(os.fspath(source)), labelled=labelled))  # type: ignore[call-overload]


def labels(source: object) -> dict[str, tuple[str | None, str | None]]:
    return {one.path: (one.label, one.split) for one in listed(source, labelled=True)}


@pytest.fixture(params=["disk", "store", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same files on several file systems."""
    put(tmp_path / "photos", *FILES, "cat/notes.txt", ".hidden/3.jpg", "dog/.4.jpg", "Thumbs.db")
    if request.param == "disk":
        yield str(tmp_path / "photos")
    elif request.param == "store":
        store: Store = request.getfixturevalue("store")
        store.put_folder(tmp_path)
        yield store.address("photos")
    else:
        top = place(f"memory://{tmp_path.name}")
        for path in (tmp_path / "photos").rglob("*"):
            if path.is_file():
                (top / str(path.relative_to(tmp_path))).write(path.read_bytes())
        yield f"{top.address}/photos"


def test_folders_are_searched_in_order_of_names(folder: str) -> None:
    assert listed(folder) == [Input(name) for name in FILES]


def test_what_is_listed_is_found(folder: str) -> None:
    find = opener(place(folder), listed=False)
    assert [find(name).read().decode() for name in FILES] == FILES


def test_lists_name_files_beside_them(folder: str) -> None:
    beside = place(folder) / "lists?" / "some.txt"
    names = ["../cat/1.jpg", "../dog/what? #1 100%.jpg", "own.jpg"]
    (place(folder) / "lists?" / "own.jpg").write(b"own")
    beside.write("\n".join(names).encode())
    assert list(inputs_of(beside)) == [Input(name) for name in names]
    find = opener(beside, listed=True)
    assert find("own.jpg").read() == b"own"
    if beside.is_local:
        assert [find(name).read().decode() for name in names[:2]] == ["cat/1.jpg", FILES[-1]]


def test_lists_name_absolute_paths_and_addresses(tmp_path: Path, store: Store) -> None:
    put(tmp_path, "far/a b.jpg")
    store.put("in store.jpg", b"stored")
    far = tmp_path / "far/a b.jpg"
    for names in (tmp_path / "list.txt", tmp_path / "list.csv"):
        names.write_text("path\n" * (names.suffix == ".csv") + f"{far}\n{far.as_uri()}\n")
        find = opener(place(names), listed=True)
        found = [find(one.path).read() for one in listed(names)]
        assert found == [b"far/a b.jpg"] * 2
    address = store.address("in store.jpg").replace("%20", " ")
    assert opener(place(tmp_path / "list.txt"), listed=True)(address).read() == b"stored"


TABLE: list[dict[str, object]] = [
    {"path": "a, b.jpg", "label": "cat", "split": "train"},
    {"path": "é.jpg", "label": None, "split": None},
    {"path": "0.jpg", "label": 0, "split": " VAL "},
]
MEANT = [
    Input("a, b.jpg", "cat", "train"),
    Input("é.jpg"),
    Input("0.jpg", "0", "validation"),
]


def test_the_forms_of_lists_say_the_same(tmp_path: Path) -> None:
    as_text = [{name: "" if v is None else str(v) for name, v in row.items()} for row in TABLE]
    rows = [f'"{row["path"]}",{row["label"]},{row["split"]},more' for row in as_text]
    (tmp_path / "l.csv").write_text("\ufeff" + "\r\n".join(["path,label,split,other", *rows]))
    (tmp_path / "l.jsonl").write_text("\n\n".join(map(json.dumps, TABLE)))
    parquet.write_table(pyarrow.Table.from_pylist(as_text), tmp_path / "l.parquet")
    for name in ("l.csv", "l.jsonl", "l.parquet"):
        assert listed(tmp_path / name) == MEANT


def test_numbers_are_labels_in_parquet_lists(tmp_path: Path) -> None:
    table = pyarrow.table({"path": ["a.jpg", "b.jpg", "c.jpg"], "label": [0, 1, None]})
    parquet.write_table(table, tmp_path / "l.parquet")
    assert [one.label for one in listed(tmp_path / "l.parquet")] == ["0", "1", None]


def test_long_parquet_lists_are_read_in_pieces(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(9000)]
    parquet.write_table(pyarrow.table({"path": names}), tmp_path / "l.parquet")
    assert [one.path for one in listed(tmp_path / "l.parquet")] == names


def test_lines_of_text_are_names_with_all_their_spaces(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\n b .jpg \n  \nc.jpg")
    assert [one.path for one in listed(tmp_path / "l.txt")] == ["a.jpg", " b .jpg ", "c.jpg"]


BAD: list[tuple[str, Any, str]] = [
    ("l.txt", b"caf\xe9.jpg", "can't decode byte"),
    ("l.csv", b"path\ncaf\xe9.jpg", "can't decode byte"),
    ("l.csv", b"file,label\na.jpg,cat", "has no path in line 2"),
    ("l.csv", b"label,path\ncat", "has no path in line 2"),
    ("l.csv", b"path,split\na.jpg,train\nb.jpg,holdout", "has the split holdout in line 3"),
    ("l.csv", b"path\n" + b"a" * 200_000, "field larger than field limit"),
    ("l.jsonl", b'{"path": "a.jpg"}\n{"path": "b', "is no list that can be read"),
    ("l.jsonl", b"[1]", "has no path in line 1"),
    ("l.jsonl", b'{"path": ["a.jpg"]}', "has no path in line 1"),
    ("l.jsonl", b'{"path": "a.jpg", "split": 1}', "has the split 1 in line 1"),
    ("l.jsonl", b"[" * 100_000, "recursion"),
    ("l.parquet", b"", "is no Parquet file"),
    ("l.parquet", b"PAR1 and no more PAR1", "is no Parquet file"),
    ("photos.zip", b"PK", "is neither a folder nor a list"),
    ("photo.jpg", b"", "is neither a folder nor a list"),
]


@pytest.mark.parametrize(("name", "content", "why"), BAD, ids=[why for _, _, why in BAD])
def test_bad_lists_are_refused(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as raised:
        listed(tmp_path / name)
    assert why in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path / name} ")


@pytest.mark.parametrize("column", [[b"a.jpg"], [1], ["a.jpg", None]], ids=str)
def test_parquet_lists_without_paths_are_refused(column: list[Any], tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"path": column}), tmp_path / "l.parquet")
    with pytest.raises(SourceError, match="has no path in line"):
        listed(tmp_path / "l.parquet")


KEYS = ["s3://key:secret@bucket/a.jpg", "s3://key:sec/ret@bucket/a.jpg", "gs://key@bucket/a.jpg"]


@pytest.mark.parametrize("address", KEYS)
@pytest.mark.parametrize("suffix", LISTS)
def test_keys_in_lists_are_refused_and_not_said(suffix: str, address: str, tmp_path: Path) -> None:
    paths = ["a.jpg", "s3://bucket/me@home.jpg", address]
    source = tmp_path / f"l{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pyarrow.table({"path": paths}), source)
    else:
        rows = {".csv": ["path", *paths], ".jsonl": [json.dumps({"path": p}) for p in paths]}
        source.write_text("\n".join(rows.get(suffix, paths)))
    found = inputs_of(place(source))
    assert [next(found), next(found)] == [Input(path) for path in paths[:2]]
    line = 4 if suffix == ".csv" else 3
    with pytest.raises(SourceError, match=f"has a key in the address in line {line}, ") as raised:
        next(found)
    assert "key:" not in str(raised.value)
    assert "sec" not in str(raised.value)


def test_damaged_parquet_lists_are_refused(tmp_path: Path) -> None:
    names = [os.urandom(20).hex() for _ in range(1000)]
    parquet.write_table(pyarrow.table({"path": names}), tmp_path / "l.parquet")
    content = bytearray((tmp_path / "l.parquet").read_bytes())
    content[100:4000] = bytes(3900)
    (tmp_path / "l.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"l\.parquet "):
        listed(tmp_path / "l.parquet")


def test_names_in_lists_that_are_no_text_are_errors(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text('{"path": "\\ud800.jpg"}\n{"path": "b.jpg"}\n')
    first, second = listed(tmp_path / "l.jsonl")
    assert (first.path, first.error) == ("\\ud800.jpg", "its name is not UTF-8; rename it")
    assert second == Input("b.jpg")


def test_sources_that_are_not_there_are_said_to_be(tmp_path: Path, store: Store) -> None:
    for source in (tmp_path / "typo", tmp_path / "typo.csv", store.address("typo")):
        with pytest.raises(SourceError, match=r"typo(\.csv)? is not there"):
            listed(source)


def test_empty_folders_and_lists_name_nothing(tmp_path: Path) -> None:
    for name in ("l.txt", "l.csv", "l.jsonl"):
        (tmp_path / name).write_text("")
        assert listed(tmp_path / name) == []
    assert listed(put(tmp_path / "photos", "readme.md")) == []


def test_names_of_files_that_are_no_text_are_errors(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.jpg")
    for name in (b"cat/\xff.jpg", b"\xfe/2.jpg"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        try:
            path.write_bytes(b"1")
        except OSError:
            pytest.skip("this file system wants names to be text")
    found = {one.path: (one.label, one.error) for one in listed(tmp_path, labelled=True)}
    assert found == {
        "cat/1.jpg": ("cat", None),
        "cat/\\udcff.jpg": (None, "its name is not UTF-8; rename it"),
        "\\udcfe/2.jpg": (None, "its name is not UTF-8; rename it"),
    }


def test_links_are_followed_and_never_in_circles(tmp_path: Path) -> None:
    put(tmp_path / "photos", "cat/1.jpg")
    put(tmp_path / "more", "2.jpg")
    (tmp_path / "photos/self.jpg").symlink_to("self.jpg")
    (tmp_path / "photos/dead.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "photos/linked").symlink_to("../more")
    (tmp_path / "photos/cat/up").symlink_to("..")
    found = [one.path for one in listed(tmp_path / "photos")]
    assert found == ["dead.jpg", "self.jpg", "cat/1.jpg", "linked/2.jpg"]


def test_folders_too_deep_are_answered_for(tmp_path: Path) -> None:
    deepest = "/".join("f" * 64)
    put(tmp_path, f"{deepest}/1.jpg", f"{deepest}/too/deep/2.jpg", f"{deepest}/.hidden/3.jpg")
    assert listed(tmp_path) == [
        Input(f"{deepest}/1.jpg"),
        Input(f"{deepest}/too", error="it is over 64 folders deep"),
    ]


def test_folders_that_cannot_be_read_are_answered_for(
    tmp_path: Path, shut: Shut, bound: list[str]
) -> None:
    if bound:
        pytest.skip("root reads every folder; tests/cli/test_jobs.py has this in a process")
    put(tmp_path, "cat/1.jpg", "dog/2.jpg")
    shut(tmp_path / "cat", 0)
    first, second = listed(tmp_path)
    assert first == Input("cat", error="it is a folder that cannot be read (permission denied)")
    assert second == Input("dog/2.jpg")


LAYOUTS: dict[str, tuple[list[str], dict[str, tuple[str | None, str | None]]]] = {
    "classes": (
        ["cat/1.jpg", "cat/rex/2.jpg", "dog/3.jpg", "stray.jpg"],
        {
            "stray.jpg": (None, None),
            "cat/1.jpg": ("cat", None),
            "cat/rex/2.jpg": ("cat", None),
            "dog/3.jpg": ("dog", None),
        },
    ),
    "wrapped": (
        ["data/Pets/cat/1.jpg", "data/Pets/dog/2.jpg", "data/readme.txt"],
        {"data/Pets/cat/1.jpg": ("cat", None), "data/Pets/dog/2.jpg": ("dog", None)},
    ),
    "splits": (
        ["train/cat/1.jpg", "Val/cat/2.jpg", "test/dog/3.jpg", "train/4.jpg", "other/5.jpg"],
        {
            "Val/cat/2.jpg": ("cat", "validation"),
            "other/5.jpg": (None, None),
            "test/dog/3.jpg": ("dog", "test"),
            "train/4.jpg": (None, None),
            "train/cat/1.jpg": ("cat", "train"),
        },
    ),
    "wrapped splits": (
        ["data/train/cat/1.jpg", "data/validation/dog/2.jpg"],
        {
            "data/train/cat/1.jpg": ("cat", "train"),
            "data/validation/dog/2.jpg": ("dog", "validation"),
        },
    ),
    "a class called train": (
        ["train/1.jpg", "car/2.jpg"],
        {"car/2.jpg": ("car", None), "train/1.jpg": ("train", None)},
    ),
    "one class": (["cat/1.jpg"], {"cat/1.jpg": ("cat", None)}),
    "none": (["1.jpg", "2.jpg"], {"1.jpg": (None, None), "2.jpg": (None, None)}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_give_labels_and_splits(layout: str, tmp_path: Path, store: Store) -> None:
    files, meant = LAYOUTS[layout]
    put(tmp_path / "photos", *files)
    assert labels(tmp_path / "photos") == meant
    store.put_folder(tmp_path)
    assert labels(store.address("photos")) == meant


def test_labels_are_given_where_they_are_asked_for(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.jpg", "dog/2.jpg")
    assert [one.label for one in listed(tmp_path)] == [None, None]


def test_a_store_is_listed_page_by_page(tmp_path: Path) -> None:
    with Store(page=7) as store:
        for number in range(50):
            store.put(f"photos/{number % 3}/{number:03}.jpg", b"1")
        found = [one.path for one in listed(store.address("photos"))]
        assert found == [f"{n % 3}/{n:03}.jpg" for k in range(3) for n in range(k, 50, 3)]


def test_markers_of_folders_in_stores_are_no_photos(store: Store) -> None:
    store.put("photos/", b"")
    store.put("photos/cat/", b"")
    store.put("photos/cat/1.jpg", b"1")
    assert [one.path for one in listed(store.address("photos"))] == ["cat/1.jpg"]
