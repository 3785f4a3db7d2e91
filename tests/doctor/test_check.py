"""The whole check: what was planted is found, nothing else is, and nothing is changed."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import pawprint
from pawprint.data import exclusions
from pawprint.data.samples import Fault, Planted, draw
from pawprint.doctor.check import check
from pawprint.doctor.findings import KINDS, Checkup, Level
from pawprint.errors import OutputError, SourceError
from pawprint.testing import drawn_photos

FORMATS = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "WEBP": "webp", "TIFF": "tif"}


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def cut(kind: str, part: float = 2 / 3) -> bytes:
    data = encoded(draw("dog", 70), kind)
    return data[: int(len(data) * part)]


def flipped() -> bytes:
    """A PNG with one wrong bit in its pixels; their checksum tells."""
    data = bytearray(encoded(draw("dog", 71), "PNG"))
    data[data.index(b"IDAT") + 2000] ^= 1
    return bytes(data)


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("photo.jpg", encoded(draw("dog", 72), "JPEG"))
    return buffer.getvalue()


DAMAGED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty.jpg": ("empty", lambda: b""),
    "text.jpg": ("not-an-image", lambda: b"404 Not Found\n"),
    "page.jpg": ("not-an-image", lambda: b"\n<!DOCTYPE html><html>moved</html>"),
    "paper.png": ("not-an-image", lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
    "archive.jpg": ("not-an-image", archive),
    "zeros.jpg": ("not-an-image", lambda: bytes(30_000)),
    "cut.jpg": ("unreadable", lambda: cut("JPEG")),
    "only a header.jpg": ("unreadable", lambda: cut("JPEG", 0.02)),
    "cut.png": ("unreadable", lambda: cut("PNG")),
    "flipped.png": ("unreadable", flipped),
    "cut.gif": ("unreadable", lambda: cut("GIF")),
    "cut.bmp": ("unreadable", lambda: cut("BMP")),
    "cut.webp": ("unreadable", lambda: cut("WEBP")),
    "cut.tif": ("unreadable", lambda: cut("TIFF")),
}


def put(path: Path, content: bytes | Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.save(path, **options)
    return path


def found_in(checkup: Checkup) -> dict[str, str]:
    """The kind of each file that is in a finding, by its name."""
    return {Path(path).name: one.kind for one in checkup.findings for path in one.paths}


def of_kind(checkup: Checkup, kind: str) -> list[tuple[set[str], set[str]]]:
    """The paths of each finding of a kind, and which of them can go, from their class on."""
    return [
        ({here(path) for path in one.paths}, {here(path) for path in one.out})
        for one in checkup.findings
        if one.kind == kind
    ]


def here(path: str) -> str:
    return "/".join(Path(path).parts[-3 if Path(path).parts[-3] in SIDES else -2 :])


SIDES = ("train", "validation", "test")


def state(folder: Path) -> dict[str, tuple[Any, ...]]:
    """All that a check might change in a folder."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        about = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(about.st_mode) else b""
        times = (about.st_mtime_ns, about.st_ctime_ns)
        found[str(path)] = (about.st_mode, about.st_size, about.st_ino, times, content)
    return found


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory, drawn: tuple[Path, list[Planted]]) -> Path:
    """Good photos in every format, and among them files with every kind of damage."""
    folder = drawn_photos(tmp_path_factory.mktemp("damaged") / "photos", 12)
    for number, (kind, ending) in enumerate(FORMATS.items()):
        put(folder / "cat" / f"good.{ending}", encoded(draw("cat", 80 + number), kind))
    for place, (name, (_, made)) in enumerate(DAMAGED.items()):
        put(folder / ("cat", "dog")[place % 2] / name, made())
    garbled = [plant.path for plant in drawn[1] if plant.fault == Fault.DAMAGED]
    for path in garbled:
        shutil.copy(drawn[0] / path, folder / "dog" / f"garbled{Path(path).suffix}")
    return folder


EXPECTED = {name: kind for name, (kind, _) in DAMAGED.items()} | {
    "garbled.jpg": "unreadable",
    "garbled.png": "unreadable",
}


def test_every_damaged_file_is_found_and_no_valid_one(damaged: Path) -> None:
    found = check(damaged, cache=False)
    assert found_in(found) == EXPECTED
    assert found.photos == {"cat": {"all": 12}, "dog": {"all": 6}}
    for one in found.findings:
        assert one.out == one.paths
        assert one.detail
    levels = [list(KINDS).index(one.kind) for one in found.findings]
    assert levels == sorted(levels)


def test_it_says_what_was_found_instead_of_a_photo(damaged: Path) -> None:
    details = {Path(one.paths[0]).name: one.detail for one in check(damaged, cache=False).findings}
    told = {"page.jpg": "a web page", "paper.png": "a PDF", "archive.jpg": "a zip archive"}
    told |= {"zeros.jpg": "nothing but zero bytes", "empty.jpg": "0 bytes"}
    for name, words in told.items():
        assert words in details[name]


def test_good_photos_have_no_findings(tmp_path: Path) -> None:
    found = check(drawn_photos(tmp_path / "photos", 40), cache=False)
    assert found.findings == ()
    assert (found.source, found.count, found.counts()) == ("photos", 40, {})
    assert found.seconds > 0


def test_a_second_check_finds_the_same_in_the_cache(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Any
) -> None:
    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path / "cache"))
    first = check(damaged, progress=listener)
    looked_at = listener.steps["Looking at photos"]
    second = check(damaged, progress=listener)
    assert (second.findings, second.photos) == (first.findings, first.photos)
    undecodable = sum(kind != "empty" for kind in EXPECTED.values())
    assert looked_at == first.count + undecodable
    assert listener.steps["Looking at photos"] == looked_at + undecodable
    assert check(damaged, cache=False).findings == first.findings


def test_without_a_cache_none_is_made(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path / "cache"))
    check(damaged, cache=False)
    assert not (tmp_path / "cache").exists()


# copies


@pytest.fixture
def sided(tmp_path: Path) -> Path:
    """Given splits of different photos."""
    number = 0
    for side, count in (("train", 4), ("validation", 2), ("test", 2)):
        for label in ("cat", "dog"):
            for place in range(count):
                number += 1
                put(tmp_path / "sided" / side / label / f"{place}.png", draw(label, number))
    return tmp_path / "sided"


def test_the_same_photo_in_two_classes_is_a_conflict_of_labels(tmp_path: Path) -> None:
    folder = drawn_photos(tmp_path / "photos", 20)
    shutil.copy(folder / "cat" / "cat_0001.jpg", folder / "dog" / "swapped.jpg")
    picture = Image.open(folder / "dog" / "dog_0002.jpg")
    put(folder / "cat" / "swapped.jpg", picture.resize((150, 130)), quality=60)
    found = check(folder, cache=False)
    assert found.counts() == {"label-conflict": 2}
    one = {"cat/cat_0001.jpg", "dog/swapped.jpg"}
    other = {"dog/dog_0002.jpg", "cat/swapped.jpg"}
    conflicts = of_kind(found, "label-conflict")
    assert (one, one) in conflicts
    assert (other, other) in conflicts


def test_copies_across_given_splits_are_leaks(sided: Path) -> None:
    assert check(sided, cache=False).findings == ()
    shutil.copy(sided / "validation" / "cat" / "0.png", sided / "train" / "cat" / "same.png")
    with Image.open(sided / "test" / "dog" / "1.png") as picture:
        put(sided / "train" / "dog" / "re-encoded.jpg", picture.copy(), quality=50)
        put(sided / "validation" / "dog" / "half.jpg", picture.resize((90, 80)), quality=80)
    found = check(sided, cache=False)
    assert found.counts() == {"leak": 2}
    train, validation = "train/dog/re-encoded.jpg", "validation/dog/half.jpg"
    leaks = of_kind(found, "leak")
    assert ({"validation/cat/0.png", "train/cat/same.png"}, {"train/cat/same.png"}) in leaks
    assert ({"test/dog/1.png", train, validation}, {train, validation}) in leaks
    assert found.photos["dog"] == {"test": 2, "train": 5, "validation": 3}


def test_only_the_same_bytes_are_copies_where_near_ones_are_not_asked_for(sided: Path) -> None:
    shutil.copy(sided / "test" / "cat" / "0.png", sided / "train" / "cat" / "same.png")
    with Image.open(sided / "test" / "dog" / "1.png") as picture:
        put(sided / "train" / "dog" / "re-encoded.jpg", picture.copy(), quality=50)
    assert check(sided, cache=False).counts() == {"leak": 2}
    exact = check(sided, near=False, cache=False)
    assert of_kind(exact, "leak") == [
        ({"test/cat/0.png", "train/cat/same.png"}, {"train/cat/same.png"})
    ]
    assert exact.counts() == {"leak": 1}


def test_groups_on_several_given_sides_are_leaks(sided: Path) -> None:
    for side in ("train", "test"):
        folder = sided / side / "cat" / "tom"
        put(folder / f"{side}.png", draw("cat", 50 + len(side)))
    found = check(sided, group_by="folder", cache=False)
    (leak,) = found.findings
    assert leak.detail == "group tom, in test and train"
    assert [Path(path).name for path in leak.out] == ["train.png"]
    assert check(sided, cache=False).findings == ()
    with pytest.raises(SourceError, match="cannot be grouped by 'animal'"):
        check(sided, group_by="animal", cache=False)


# what is left out


def test_the_list_has_what_can_go_and_comments_on_the_rest(
    drawn: tuple[Path, list[Planted]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(drawn[0], tmp_path / "photos"))
    put(folder / "dog" / "blank.png", Image.new("RGB", (60, 60)))
    put(folder / "dog" / "wrong type.png", encoded(draw("dog", 60), "JPEG"))
    put(folder / "dog" / "two\nlines.jpg", b"")
    found = check(folder, quarantine=tmp_path / "list.txt", cache=False)
    text = (tmp_path / "list.txt").read_text("utf-8")
    broken = (Fault.TRUNCATED, Fault.EMPTY, Fault.NOT_AN_IMAGE, Fault.DAMAGED)
    out = {plant.path for plant in drawn[1] if plant.fault in broken}
    copies = [plant.path for plant in drawn[1] if plant.fault == Fault.DUPLICATE]
    out |= {*copies, "dog/two\nlines.jpg", "dog/dog_0001.jpg"}
    assert set(exclusions.read(tmp_path / "list.txt")) == out
    lines = text.splitlines()
    assert '"dog/two\\nlines.jpg"' in lines
    assert "# dog/blank.png" in lines
    assert "# cat/cat_0001.jpg" in lines
    for kind in KINDS.values():
        told = f"# {kind.name}: {kind.title}. {kind.advice}" in lines
        assert told == (kind.name in found.counts() and kind.level is not Level.NOTE)
    assert "wrong type" not in text
    assert "'photos'. Nothing was changed" in lines[0]


def test_what_was_left_out_is_not_found_again(
    drawn: tuple[Path, list[Planted]], tmp_path: Path
) -> None:
    folder, quarantine = drawn[0], tmp_path / "list.txt"
    first = check(folder, quarantine=quarantine, cache=False)
    again = check(folder, exclude=quarantine, quarantine=tmp_path / "again.txt", cache=False)
    assert set(first.counts()) > {"unreadable", "label-conflict", "duplicate"}
    assert set(again.counts()) == {"excluded"}
    assert again.count == first.count - 3  # the copies and one original
    assert exclusions.read(tmp_path / "again.txt") == []


def test_a_list_is_what_training_leaves_out(
    drawn: tuple[Path, list[Planted]], recipe: Path, tmp_path: Path
) -> None:
    quarantine = tmp_path / "a list.txt"
    found = check(drawn[0], quarantine=quarantine)
    run = pawprint.train(
        drawn[0], recipe=recipe, out=tmp_path / "run", exclude=quarantine, report=False
    )
    with (run.path / "left_out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    listed = {str(drawn[0] / path) for path in exclusions.read(quarantine)}
    assert {row["path"] for row in rows} == listed
    assert {row["reason"] for row in rows} == {f"listed in {quarantine}"}
    assert sum(sum(side.values()) for side in run.record["photos"].values()) == found.count - 3
    assert {one.kind for one in run.findings} == {"excluded"}


# what may be given, and what is left alone


def test_nothing_in_the_folder_is_changed(damaged: Path, tmp_path: Path) -> None:
    before = state(damaged)
    check(damaged, html=tmp_path / "check.html", quarantine=tmp_path / "list.txt")
    check(damaged, exclude=tmp_path / "list.txt", near=False)
    assert state(damaged) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check.html", "list.txt"]


def test_a_folder_that_cannot_be_written_to_is_checked(
    damaged: Path, tmp_path: Path, unprivileged: Callable[..., Any], shut: Callable[..., Path]
) -> None:
    folder = Path(shutil.copytree(damaged, tmp_path / "photos"))
    for path in [*folder.rglob("*"), folder]:
        shut(path, 0o555 if path.is_dir() else 0o444)
    ran = unprivileged("check", folder, "--quarantine", tmp_path / "list.txt")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert len(exclusions.read(tmp_path / "list.txt")) == len(EXPECTED)


def test_a_photo_that_may_not_be_read_is_found(
    damaged: Path, tmp_path: Path, unprivileged: Callable[..., Any], shut: Callable[..., Path]
) -> None:
    folder = Path(shutil.copytree(damaged, tmp_path / "photos"))
    shut(folder / "cat" / "good.png", 0)
    ran = unprivileged("check", folder, "--all")
    assert ran.returncode == 0
    assert b"cat/good.png: cannot be read (permission denied)" in ran.stdout


def test_paths_may_have_spaces_and_other_scripts(tmp_path: Path) -> None:
    folder = drawn_photos(tmp_path / "meine Fotos" / "кошки & 犬 ñ", 8)
    (folder / "cat").rename(folder / "кошка №1")
    odd = put(folder / "dog" / "so süß 🐶.jpg", b"")
    undecodable = folder / "dog" / os.fsdecode(b"not \xff utf-8.jpg")
    put(undecodable, encoded(draw("dog", 90), "JPEG")[:3000])
    quarantine, page = tmp_path / "что убрать.txt", tmp_path / "страница №1.html"
    found = check(folder, quarantine=quarantine, html=page)
    assert found.photos == {"dog": {"all": 4}, "кошка №1": {"all": 4}}
    assert [one.paths for one in found.findings] == [(str(undecodable),), (str(odd),)]
    assert check(folder, exclude=quarantine).counts() == {"excluded": 2}
    assert "so süß 🐶.jpg" in page.read_text("utf-8")


def test_an_archive_is_checked_like_a_folder(damaged: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as made:
        for path in damaged.rglob("*"):
            made.write(path, path.relative_to(damaged))
    quarantine = tmp_path / "list.txt"
    found = check(tmp_path / "photos.zip", quarantine=quarantine)
    assert found_in(found) == EXPECTED
    names = {os.path.relpath(damaged / path, damaged) for path in exclusions.read(quarantine)}
    assert {Path(name).name for name in names} == set(EXPECTED)
    assert check(tmp_path / "photos.zip", exclude=quarantine).counts() == {"excluded": 16}
    assert check(damaged, exclude=quarantine).counts() == {"excluded": 16}  # the same paths


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], "is empty"),
        (["cat/1.jpg", "cat/2.jpg"], "holds one class, 'cat' .photos: 2."),
        (["1.jpg"], "holds no photos in class folders"),
    ],
)
def test_what_is_no_dataset_is_refused(tmp_path: Path, files: list[str], told: str) -> None:
    (tmp_path / "photos").mkdir()
    for name in files:
        put(tmp_path / "photos" / name, draw("cat", len(name)))
    with pytest.raises(SourceError, match=told):
        check(tmp_path / "photos", quarantine=tmp_path / "list.txt")
    with pytest.raises(SourceError, match="does not exist"):
        check(tmp_path / "missing")
    assert not (tmp_path / "list.txt").exists()


# A photo that trains and judges, and is the only one of its class to train on.
SHARED = [
    ("train", "cat/1", 1),
    ("train", "dog/1", 2),
    ("validation", "cat/1", 1),
    ("validation", "dog/1", 3),
]


@pytest.mark.parametrize(
    ("contents", "told", "count"),
    [
        ({"cat/1.jpg": 1, "dog/1.jpg": 2, "dog/2.jpg": 3}, "class 'cat' has 1 different photo", 3),
        ({"cat/1.jpg": 1, "cat/2.jpg": 1, "dog/1.jpg": 2, "dog/2.jpg": 3}, "class 'cat' has 1", 4),
        ({"cat/1.jpg": 1, "cat/2.jpg": 2, "dog/1.jpg": None}, r"photos of 1 class\(es\)", 2),
        ({"cat/1.jpg": None, "dog/1.jpg": None}, r"photos of 0 class\(es\)", 0),
        (
            {f"{side}/{label}.jpg": n for side, label, n in SHARED},
            "no readable train photo of cat that is no copy of a photo that judges",
            4,
        ),
    ],
)
def test_what_training_would_refuse_is_found_and_all_else_too(
    tmp_path: Path, contents: dict[str, int | None], told: str, count: int
) -> None:
    for name, seed in contents.items():
        put(tmp_path / "photos" / name, b"" if seed is None else draw("cat", seed))
    found = check(tmp_path / "photos", html=tmp_path / "check.html", cache=False)
    refusal, *_ = found.findings
    assert refusal.kind == "split"
    assert refusal.paths == ()
    assert re.search(told, refusal.detail)
    assert found.count == count
    assert found.counts().get("empty", 0) == sum(seed is None for seed in contents.values())
    assert (tmp_path / "check.html").is_file()


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    folder = drawn_photos(tmp_path / "photos", 4)
    for option in ("html", "quarantine"):
        for place in (tmp_path / "missing" / "file", tmp_path):
            with pytest.raises(OutputError, match=str(place)):
                check(folder, **{option: place})  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
