"""Paths, folders and patterns: every photo that was meant, in order, and nothing lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pawprint.data.paths import find_photos


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.png", "notes.txt", "in/c.JPEG", "in/deep/d.gif", "[odd]*.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def found(place: Path, *arguments: str, listed: tuple[str, ...] = ()) -> list[str]:
    given = [argument if argument == "-" else str(place / argument) for argument in arguments]
    return [os.path.relpath(path, place) for path in find_photos(given, listed)]


def test_folders_are_searched_for_photos_in_order_of_names(place: Path) -> None:
    assert found(place, ".") == ["[odd]*.jpg", "a.png", "b.jpg", "in/c.JPEG", "in/deep/d.gif"]


def test_files_come_as_they_are_in_the_order_given(place: Path) -> None:
    assert found(place, "notes.txt", "b.jpg", "a.png") == ["notes.txt", "b.jpg", "a.png"]


def test_patterns_that_no_shell_expanded_are_expanded(place: Path) -> None:
    assert found(place, "*.png") == ["a.png"]
    assert found(place, "?.*") == ["a.png", "b.jpg"]
    assert found(place, "**/*.gif") == ["in/deep/d.gif"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(place: Path) -> None:
    assert found(place, "[odd]*.jpg") == ["[odd]*.jpg"]


def test_what_is_not_there_is_given_as_it_is(place: Path) -> None:
    (place / "empty").mkdir()
    assert found(place, "none.jpg", "*.bmp", "empty") == ["none.jpg", "*.bmp", "empty"]


def test_a_list_may_hold_files_and_folders_and_blank_lines(place: Path) -> None:
    lines = (f"{place}/b.jpg\n", "\n", f"{place}/in\r\n", f"{place}/a.png")
    assert found(place, "-", listed=lines) == ["b.jpg", "in/c.JPEG", "in/deep/d.gif", "a.png"]


def test_a_loop_of_links_ends(place: Path) -> None:
    (place / "in" / "deep" / "up").symlink_to(place / "in")
    assert found(place, "in") == ["in/c.JPEG", "in/deep/d.gif"]


def test_photos_are_found_as_they_are_asked_for(place: Path) -> None:
    def endless() -> object:
        while True:
            yield f"{place}/b.jpg\n"

    paths = find_photos(["-"], endless())  # type: ignore[arg-type]
    assert [next(paths) for _ in range(5)] == [f"{place}/b.jpg"] * 5
