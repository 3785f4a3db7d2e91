"""Lists of photos to leave out: any name survives, and a list of something else is refused."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pawprint.data import exclusions
from pawprint.data.layout import Skipped
from pawprint.data.sources import open_source
from pawprint.errors import OutputError, SourceError

PLAIN = ("cat/1.jpg", "two words.jpg", "кошка/猫 ñ.jpg", 'it\'s "quoted".jpg', "a#b.jpg", "-.jpg")
HOSTILE = (
    "two\nlines.jpg",
    "tab\tand\r\nreturn.jpg",
    "# no comment.jpg",
    '"quoted".jpg',
    '"',
    " leading.jpg",
    "trailing.jpg ",
    "\ufeffmark.jpg",
    "line\u2028separator.jpg",
    "next\x85line.jpg",
    "no-break\u00a0space.jpg",
    "back\\slash.jpg\n",
    "\x1b[31mred.jpg",
    os.fsdecode(b"not \xff utf-8.jpg"),
    os.fsdecode(b"\xe9"),
)


def listed(folder: Path, content: bytes) -> Path:
    path = folder / "list.txt"
    path.write_bytes(content)
    return path


def read(folder: Path, content: bytes) -> list[str]:
    return exclusions.read(listed(folder, content))


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_is_its_own_line(name: str) -> None:
    assert exclusions.as_line(name) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_what_could_be_taken_for_something_else_is_quoted(name: str) -> None:
    line = exclusions.as_line(name)
    assert line.isprintable()
    assert line.startswith('"')


def test_every_name_survives_and_comments_are_no_names(tmp_path: Path) -> None:
    names = [*PLAIN, *HOSTILE]
    lines = ["# a comment", "", *map(exclusions.as_line, names), "   ", "  # another"]
    exclusions.write(tmp_path / "list.txt", lines)
    assert exclusions.read(tmp_path / "list.txt") == names
    assert [path.name for path in tmp_path.iterdir()] == ["list.txt"]


def test_a_list_written_by_hand_may_be_untidy(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf# mine\r\n\r\n  cat/1.jpg\t\r\ndog/2 b.jpg\r\n \r\n"dog/\\u00e9.jpg" '
    assert read(tmp_path, content) == ["cat/1.jpg", "dog/2 b.jpg", "dog/é.jpg"]
    assert read(tmp_path, b"cat/1.jpg\rdog/2.jpg") == ["cat/1.jpg", "dog/2.jpg"]
    assert read(tmp_path, b"cat/\xff.jpg\n") == [os.fsdecode(b"cat/\xff.jpg")]
    assert read(tmp_path, b"") == read(tmp_path, b"# nothing\n\n") == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"cat/1.jpg\0", r"list\.txt is no text; expected a photo's path a line"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is no text"),
        ("cat/1.jpg\n".encode("utf-16"), "is no text"),
        (b'cat/1.jpg\n\n"cat/2.jpg\n', r'line 3: "cat/2\.jpg begins with a quote and is no JSON'),
        (b'"cat/1.jpg", "cat/2.jpg"\n', "line 1: .* is no JSON text"),
        (b'"cat/1.jpg" # mine\n', "line 1: .* is no JSON text"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        read(tmp_path, content)


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.txt cannot be read \(no such file or directory"):
        exclusions.read(tmp_path / "none.txt")
    with pytest.raises(SourceError, match=r"cannot be read \(is a directory\)"):
        exclusions.read(tmp_path)
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(2**28 + 1)  # takes no room
    with pytest.raises(SourceError, match="268,435,456 bytes and cannot be a list"):
        exclusions.read(tmp_path / "huge.txt")


def test_a_list_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = listed(tmp_path, b"the one before")

    def breaks_off() -> Any:
        yield "cat/1.jpg"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exclusions.write(path, breaks_off())
    assert path.read_bytes() == b"the one before"
    exclusions.write(path, ["cat/1.jpg"])
    assert path.read_bytes() == b"cat/1.jpg\n"
    with pytest.raises(OutputError, match=r"cannot be written \(no such file or directory\)"):
        exclusions.write(tmp_path / "missing" / "list.txt", [])
    with pytest.raises(OutputError, match=r"cannot be written \(is a directory\)"):
        exclusions.write(tmp_path, ["cat/1.jpg"])
    assert [path.name for path in tmp_path.iterdir()] == ["list.txt"]


# taking photos out of a source


def put(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a photo")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return put(
        tmp_path / "photos", *(f"{label}/{n}.jpg" for label in ("cat", "dog") for n in "123")
    )


def names(folder: Path, content: bytes, source: str | Path, progress: Any = None) -> list[str]:
    """What of a source stays, as its list calls it."""
    more = {} if progress is None else {"progress": progress}
    with open_source(source) as opened:
        exclusions.leave_out(opened, listed(folder, content), **more)
        return [opened.relative(photo.path) for photo in opened.photos]


def test_the_photos_of_a_list_become_skipped(photos: Path, tmp_path: Path) -> None:
    path = listed(tmp_path, b"cat/2.jpg\ncat/1.jpg\n")
    with open_source(photos) as source:
        exclusions.leave_out(source, path)
        stay = [Path(photo.path).relative_to(photos).as_posix() for photo in source.photos]
        assert stay == ["cat/3.jpg", "dog/1.jpg", "dog/2.jpg", "dog/3.jpg"]
        assert source.classes == ("cat", "dog")
        assert source.skipped == tuple(
            Skipped(str(photos / "cat" / name), f"listed in {path}", kind="excluded")
            for name in ("1.jpg", "2.jpg")
        )


def test_a_line_that_could_mean_two_photos_means_the_one_seen_from_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("pets/pets/pets", "pets/pets", "pets/dog"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, "x.jpg").write_bytes(folder.encode())
    path = listed(tmp_path, b"pets/pets/x.jpg\n")
    with open_source("pets") as source:
        exclusions.leave_out(source, path)
        assert [skip.path for skip in source.skipped] == ["pets/pets/pets/x.jpg"]


def test_a_class_may_go_as_a_whole(photos: Path, tmp_path: Path) -> None:
    with open_source(photos) as source:
        path = listed(tmp_path, b"cat/1.jpg\ncat/2.jpg\ncat/3.jpg\n")
        exclusions.leave_out(source, path)
        assert source.classes == ("dog",)


def test_hostile_names_in_a_folder_are_left_out(tmp_path: Path) -> None:
    odd = [f"cat/{name}.jpg" for name in HOSTILE] + [" #cat/1.jpg", '"cat"/1.jpg']
    photos = put(tmp_path / "photos", "cat/stays.jpg", "dog/1.jpg", *odd)
    exclusions.write(tmp_path / "odd.txt", map(exclusions.as_line, odd))
    content = (tmp_path / "odd.txt").read_bytes()
    assert names(tmp_path, content, photos) == ["cat/stays.jpg", "dog/1.jpg"]


@pytest.mark.parametrize("spelling", ["photos", "./photos", "photos/", "absolute"])
def test_the_folder_may_be_spelled_in_any_way(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source = str(photos) if spelling == "absolute" else spelling
    rest = ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg", "dog/3.jpg"]
    assert names(tmp_path, b"cat/3.jpg\n", source) == rest
    told = os.path.join(source, "cat", "3.jpg")  # as messages and left_out.csv call it
    assert names(tmp_path, told.encode(), source) == rest


def test_members_of_an_archive_are_left_out(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos.rglob("*.jpg"):
            archive.write(path, Path("pets", path.relative_to(photos)))
    stay = names(tmp_path, b"pets/cat/1.jpg\npets/dog/3.jpg\n", tmp_path / "photos.zip")
    assert stay == ["pets/cat/2.jpg", "pets/cat/3.jpg", "pets/dog/1.jpg", "pets/dog/2.jpg"]


def test_photos_of_a_table_are_left_out(photos: Path, tmp_path: Path) -> None:
    absolute = photos / "dog" / "2.jpg"
    rows = ["photos/cat/1.jpg,cat", "photos/cat/2.jpg,cat", "photos/dog/1.jpg,dog"]
    table = tmp_path / "pets.csv"
    table.write_text("\n".join(["path,label", *rows, f"{absolute},dog"]))
    content = f"photos/cat/2.jpg\n{absolute}\n".encode()
    assert names(tmp_path, content, table) == ["photos/cat/1.jpg", "photos/dog/1.jpg"]


def test_a_list_of_another_dataset_is_refused_with_what_was_expected(
    photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceError) as caught:
        names(tmp_path, b"b/2.jpg\na/two\\nlines.jpg\n", photos)
    assert str(caught.value) == (
        f"none of the 2 path(s) in {tmp_path / 'list.txt'} is in photos, such as "
        "a/two\\nlines.jpg; expected paths like cat/1.jpg: is it a list of another dataset?"
    )


def test_what_is_not_there_is_told_where_others_are(
    photos: Path, tmp_path: Path, listener: Any
) -> None:
    content = b"dog/9.jpg\ncat/1.jpg\ncat/1.jpg\ndog/8.jpg\n"
    assert len(names(tmp_path, content, photos, listener)) == 5
    (said,) = listener.said
    assert said == (
        f"2 of 3 path(s) in {tmp_path / 'list.txt'} are not among the photos of photos, such as "
        "dog/8.jpg"
    )


def test_an_empty_list_leaves_out_nothing(photos: Path, tmp_path: Path, listener: Any) -> None:
    assert len(names(tmp_path, b"# nothing\n", photos, listener)) == 6
    assert listener.said == []
