"""`pawprint check`: words, JSON or files of what was found, exit codes, errors of one line."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pawprint.data import exclusions
from pawprint.data.samples import draw
from pawprint.doctor.check import check
from pawprint.doctor.findings import KINDS
from pawprint.testing import drawn_photos

Cli = Callable[..., Any]


def check_one_line(ran: Any, code: int, *parts: str) -> None:
    """An error is one line on standard error, with its code, and no traceback."""
    assert ran.code == code, ran
    (line,) = ran.err.splitlines()
    assert line.startswith("pawprint: error: ")
    for part in parts:
        assert part in line, line
    assert ran.out == ""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos with nothing wrong."""
    return drawn_photos(tmp_path_factory.mktemp("good") / "photos", 8)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos, and seven of the same kind of damage."""
    folder = drawn_photos(tmp_path_factory.mktemp("many") / "photos", 8)
    for number in range(7):
        (folder / "cat" / f"empty {number}.jpg").write_bytes(b"")
    return folder


# what it prints


def test_it_says_in_words_what_was_found(cli: Cli, photos: Path) -> None:
    ran = cli("check", photos)
    assert (ran.code, ran.err) == (0, "")
    first, *lines = ran.out.splitlines()
    found = check(photos)
    cats, dogs = found.photos["cat"]["all"], found.photos["dog"]["all"]
    assert first == f"photos       {found.count} (cat {cats}, dog {dogs})"
    for kind, count in found.counts().items():
        about = KINDS[kind]
        line = lines.index(f"{about.level:<8} {kind}: {count} {about.title}")
        assert lines[line + 1].strip() == about.advice
    for finding in found.findings:
        for path in finding.paths:
            assert path in ran.out
    assert lines[-1].startswith("time         ")


def test_it_says_so_when_nothing_is_wrong(cli: Cli, good: Path) -> None:
    ran = cli("check", good)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(
        "photos       8 (cat 4, dog 4)\nfound        nothing that is wrong with them\n"
    )


def test_few_of_a_kind_are_listed_or_all(cli: Cli, many: Path) -> None:
    few, every = cli("check", many).out, cli("check", many, "--all").out
    assert few.count(".jpg: the file is empty") == 3
    assert "and 4 more (--all, --html FILE or --json has them)" in few
    assert every.count(".jpg: the file is empty") == 7
    assert " more" not in every


def test_many_classes_are_not_all_listed(cli: Cli, tmp_path: Path) -> None:
    for number in range(12):
        for seed in range(2):
            path = tmp_path / "photos" / f"{'abcdefghijkl'[number] * 4}" / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw("cat", 2 * number + seed, (64, 64)).save(path)
    first = cli("check", tmp_path / "photos").out.splitlines()[0]
    assert first.startswith("photos       24 (aaaa 2, bbbb 2, ")
    assert first.endswith("hhhh 2 and 4 more classes)")


def test_names_with_control_characters_stay_on_their_line(cli: Cli, tmp_path: Path) -> None:
    folder = drawn_photos(tmp_path / "photos", 8)
    (folder / "cat").rename(folder / "ca\nt")
    (folder / "dog" / "a\nb\x1b[31m.jpg").write_bytes(b"")
    ran = cli("check", folder)
    assert ran.code == 0
    assert "a\\nb\\x1b[31m.jpg: the file is empty" in ran.out
    assert "\x1b" not in ran.out
    assert ran.out.splitlines()[0] == "photos       8 (ca\\nt 4, dog 4)"


def test_a_name_that_is_no_utf_8_is_no_traceback(
    process: Callable[..., Any], tmp_path: Path
) -> None:
    folder = drawn_photos(tmp_path / "photos", 8)
    (folder / "cat").rename(folder / os.fsdecode(b"c\xfft"))
    for options in ([], ["--json"], ["--all", "--html", tmp_path / "page.html"]):
        ran = process("check", folder, *options)
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert b"no UTF-8 name; rename it" in ran.stdout


def test_json_has_all_of_it_on_one_line(cli: Cli, photos: Path, many: Path) -> None:
    for folder in (photos, many):
        ran = cli("check", folder, "--json")
        assert (ran.code, ran.err) == (0, "")
        (line,) = ran.out.splitlines()
        found, expected = json.loads(line), check(folder).to_dict()
        assert found.pop("seconds") > 0
        del expected["seconds"]
        assert found == expected
        assert sum(one["count"] for one in found["findings"]) == sum(found["counts"].values())


# exit codes


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ("leak,unreadable", "3 unreadable, 1 empty, 1 not-an-image"),
        ("label-conflict", "1 label-conflict"),
        (" Empty , leak", "1 empty"),
        ("error", "3 unreadable, 1 empty, 1 not-an-image, 1 label-conflict"),
        ("warning", "3 unreadable, 1 empty, 1 not-an-image, 1 label-conflict, 1 duplicate"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_may_not_be_ends_with_exit_code_3(
    cli: Cli, photos: Path, kinds: str, told: str, as_json: bool
) -> None:
    options = ["--json"] * as_json
    ran = cli("check", photos, "--fail-on", kinds, *options)
    assert ran.code == 3
    assert ran.err == f"pawprint: found {told} (--fail-on)\n"
    until = '"seconds"' if as_json else "time  "  # which differ
    plain = cli("check", photos, *options)
    assert plain.code == 0
    assert ran.out.partition(until)[0] == plain.out.partition(until)[0] != ran.out


@pytest.mark.parametrize("kinds", ["leak", "near-duplicate,blank,split", "too-large"])
def test_what_was_not_found_does_not_fail(cli: Cli, photos: Path, kinds: str) -> None:
    ran = cli("check", photos, "--fail-on", kinds)
    assert (ran.code, ran.err) == (0, "")


def test_good_photos_never_fail(cli: Cli, good: Path) -> None:
    assert cli("check", good, "--fail-on", "note").code == 0


@pytest.mark.parametrize("kinds", ["leaks", "leak,", "error;leak", ","])
def test_an_unknown_kind_is_one_line_before_anything_is_read(
    cli: Cli, tmp_path: Path, kinds: str
) -> None:
    ran = cli("check", tmp_path / "missing", "--fail-on", kinds)
    check_one_line(ran, 1, "is no kind of finding; expected error, warning, note, unreadable")


# files


def test_a_page_and_a_list_are_written(cli: Cli, photos: Path, tmp_path: Path) -> None:
    page, listed = tmp_path / "my page.html", tmp_path / "list.txt"
    ran = cli("check", photos, "--html", page, "--quarantine", listed)
    assert (ran.code, ran.err) == (0, "")
    assert f"wrote        {page}\nwrote        {listed}\n" in ran.out
    text = page.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    for path in exclusions.read(listed):
        assert path in text
    assert len(exclusions.read(listed)) == 8
    again = cli("check", photos, "--exclude", listed, "--json")
    assert json.loads(again.out)["counts"] == {"excluded": 8}


def test_files_are_written_also_where_it_fails(cli: Cli, many: Path, tmp_path: Path) -> None:
    page, listed = tmp_path / "page.html", tmp_path / "list.txt"
    options = ["--html", page, "--quarantine", listed, "--fail-on", "error", "--json"]
    ran = cli("check", many, *options)
    assert ran.code == 3
    assert json.loads(ran.out)["counts"] == {"empty": 7}  # and not a word besides
    assert len(exclusions.read(listed)) == 7
    assert page.is_file()


@pytest.mark.parametrize("option", ["--quarantine", "--html"])
def test_a_place_that_cannot_be_written_is_one_line(
    cli: Cli, good: Path, tmp_path: Path, option: str
) -> None:
    place = tmp_path / "missing" / "file"
    check_one_line(cli("check", good, option, place), 1, f"{place} cannot be written")
    check_one_line(cli("check", good, option, tmp_path), 1, str(tmp_path), "is a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--quarantine", "--html"])
def test_a_place_that_may_not_be_written_to_is_one_line(
    unprivileged: Callable[..., Any],
    shut: Callable[..., Path],
    good: Path,
    tmp_path: Path,
    option: str,
) -> None:
    shut(tmp_path, 0o555)
    ran = unprivileged("check", good, option, tmp_path / "file")
    assert ran.returncode == 1
    (line,) = ran.stderr.decode().splitlines()
    told = f"pawprint: error: {tmp_path / 'file'} cannot be written (permission denied)"
    assert line.startswith(told)


# what it is given


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda at: None, "does not exist"),
        (lambda at: at.mkdir(), "is empty"),
        (lambda at: at.write_text("text"), "is neither a folder nor"),
        (lambda at: (at / "cat").mkdir(parents=True), "no photos"),
        (lambda at: shutil.rmtree(drawn_photos(at, 4) / "dog"), "one class"),
    ],
    ids=["missing", "empty", "text", "no photos", "one class"],
)
def test_what_is_no_dataset_is_one_line(
    cli: Cli, tmp_path: Path, make: Callable[[Path], Any], told: str
) -> None:
    make(tmp_path / "my photos")
    check_one_line(cli("check", tmp_path / "my photos"), 1, "my photos", told)


def test_what_training_would_refuse_is_a_finding(cli: Cli, tmp_path: Path) -> None:
    folder = drawn_photos(tmp_path / "photos", 4)
    for path in (folder / "dog").iterdir():
        path.write_bytes(b"")
    ran = cli("check", folder, "--fail-on", "split")
    assert ran.code == 3
    assert "error    split: 1 cannot be trained on\n" in ran.out
    assert "photos of 1 class(es) can be read (cat)" in ran.out
    assert ran.err == "pawprint: found 1 split (--fail-on)\n"


def test_options_are_passed_on(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: Path
) -> None:
    number = 0
    for side in ("train", "validation"):
        for label in ("cat", "dog"):
            for animal in ("a", "b"):
                path = tmp_path / "photos" / side / label / f"{animal} {side} {label}" / "1.png"
                path.parent.mkdir(parents=True)
                draw(label, number := number + 1, (90, 80)).save(path)
    with Image.open(tmp_path / "photos/train/cat/a train cat/1.png") as picture:
        picture.save(tmp_path / "photos/validation/cat/again.jpg", quality=60)
    for folder in ("train", "validation"):
        path = tmp_path / "photos" / folder / "dog" / "rex" / "1.png"
        path.parent.mkdir()
        draw("dog", number := number + 1, (90, 80)).save(path)
    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path / "cache"))

    def counts(*options: str) -> dict[str, int]:
        counted: dict[str, int] = json.loads(
            cli("check", tmp_path / "photos", "--json", *options).out
        )["counts"]
        return counted

    assert counts("--no-cache") == {"leak": 1}
    assert not (tmp_path / "cache").exists()
    assert counts("--group-by", "folder") == {"leak": 2}
    assert (tmp_path / "cache").exists()
    assert counts("--exact", "--offline") == {}
    assert counts("--exact", "--group-by", "folder") == {"leak": 1}
    check_one_line(
        cli("check", good, "--group-by", "folder"), 1, "has no groups by 'folder'", str(good)
    )
    check_one_line(cli("check", good, "--group-by", "name"), 1, "cannot be grouped by 'name'")


def test_a_list_that_is_none_is_one_line(cli: Cli, good: Path, tmp_path: Path) -> None:
    missing = cli("check", good, "--exclude", tmp_path / "list.txt")
    check_one_line(missing, 1, "list.txt cannot be read (no such file or directory)")
    (tmp_path / "list.txt").write_text("fox/1.jpg\n")
    other = cli("check", good, "--exclude", tmp_path / "list.txt")
    check_one_line(other, 1, "expected paths like cat/cat_0001.jpg")
    (tmp_path / "list.txt").write_text("cat/cat_0001.jpg\nfox/1.jpg\n")
    partly = cli("check", good, "--exclude", tmp_path / "list.txt", "--json")
    assert partly.code == 0
    assert partly.err.startswith("note: 1 of 2 path(s) in ")
    assert json.loads(partly.out)["counts"] == {"excluded": 1}


def test_an_archive_is_checked(cli: Cli, many: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as made:
        for path in many.rglob("*.jpg"):
            made.write(path, path.relative_to(many))
    ran = cli("check", tmp_path / "photos.zip", "--fail-on", "empty")
    assert ran.code == 3
    assert "cat/empty 0.jpg: the file is empty (0 bytes)" in ran.out


@pytest.mark.parametrize("arguments", [[], ["photos", "--html"], ["photos", "--hmtl", "page"]])
def test_a_mistyped_command_is_one_line_and_exit_code_2(cli: Cli, arguments: list[str]) -> None:
    check_one_line(cli("check", *arguments), 2, "--help")
