"""A review of a run that was trained with corrections keeps these, and changes them if asked."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawprint.data import corrections
from pawprint.data.corrections import Applied, Correction, Verdict
from pawprint.data.sources import open_source
from pawprint.errors import OutputError, PhotoError, SourceError
from pawprint.review import suspects
from pawprint.review.session import Session

KEEP, RELABEL, EXCLUDE = Verdict
SessionOf = Callable[[Path], Session]


@pytest.fixture
def named(photos: Path, some: list[Path]) -> list[str]:
    """The names of two cats and two dogs, and of a third cat."""
    paths = [*some, sorted(photos.glob("cat/cat_*"))[2]]
    return [f"{photo.parent.name}/{photo.name}" for photo in paths]


@pytest.fixture
def applied(named: list[str]) -> list[Correction]:
    """What was said in the first round: both first cats are dogs, a dog is one, a cat is bad."""
    first, second, third, _, fifth = named
    return [
        Correction(first, "cat", RELABEL, "dog"),
        Correction(second, "cat", RELABEL, "dog"),
        Correction(third, "dog", KEEP),
        Correction(fifth, "cat", EXCLUDE),
    ]


@pytest.fixture
def second(write_run: Any, suspect: Any, some: list[Path], applied: list[Correction]) -> Path:
    """A run that was trained with this, and doubts the two cats and two dogs."""
    cats = [suspect(photo, given="dog", suggested="cat") for photo in some[:2]]
    run: Path = write_run(*cats, *map(suspect, some[2:]), classes=("cat", "dog", "owl"))
    corrections.write(run / "applied.csv", applied)
    return run


def rows(session: Session) -> dict[str, tuple[str, str, str]]:
    """What the file of corrections says."""
    return {row.path: (row.given, row.verdict, row.label) for row in corrections.read(session.file)}


def verdicts(session: Session) -> list[tuple[str | None, str]]:
    """What the page shows."""
    return [(row["verdict"], row["label"]) for row in session.state()["suspects"]]


def test_it_begins_with_the_first_round_and_no_verdict(
    second: Path, session_of: SessionOf, applied: list[Correction]
) -> None:
    session = session_of(second)
    assert corrections.read(session.file) == applied
    assert verdicts(session) == [(None, "")] * 4
    assert session.counts() == {RELABEL: 2, KEEP: 1, EXCLUDE: 1}
    assert session.photo(0).startswith(b"\xff\xd8\xff")
    assert corrections.read(second / "applied.csv") == applied


@pytest.mark.parametrize(
    ("number", "said", "row"),
    [
        (0, (KEEP, ""), ("cat", "relabel", "dog")),
        (0, (RELABEL, "cat"), ("cat", "keep", "")),
        (0, (RELABEL, "owl"), ("cat", "relabel", "owl")),
        (0, (EXCLUDE, ""), ("cat", "exclude", "")),
        (2, (KEEP, ""), ("dog", "keep", "")),
        (2, (RELABEL, "cat"), ("dog", "relabel", "cat")),
        (3, (KEEP, ""), ("dog", "keep", "")),
        (3, (RELABEL, "cat"), ("dog", "relabel", "cat")),
    ],
)
def test_a_verdict_is_written_on_the_source_s_own_label(
    second: Path,
    session_of: SessionOf,
    named: list[str],
    number: int,
    said: tuple[Verdict, str],
    row: tuple[str, str, str],
) -> None:
    session = session_of(second)
    before = rows(session)
    session.decide(number, *said)
    assert rows(session) == {**before, named[number]: row}
    assert verdicts(session)[number] == said
    assert verdicts(session_of(second))[number] == said  # by the bytes that were looked at
    session.decide(number, None)
    assert rows(session) == before
    assert verdicts(session) == [(None, "")] * 4


def test_a_row_that_stays_wholly_as_it_was_counts_as_decided(
    second: Path, session_of: SessionOf
) -> None:
    first = session_of(second)
    first.decide(0, KEEP)  # now with its hash
    (second / "applied.csv").write_bytes(first.file.read_bytes())
    session = session_of(second)
    assert verdicts(session)[0] == (None, "")
    session.decide(0, KEEP)
    assert verdicts(session)[0] == ("keep", "")
    assert first.file.read_bytes() == (second / "applied.csv").read_bytes()
    session.decide(0, None)
    assert verdicts(session)[0] == (None, "")


def test_a_file_that_is_there_keeps_its_rows_and_gets_those_it_lacks(
    second: Path, session_of: SessionOf, named: list[str], applied: list[Correction]
) -> None:
    own = [Correction(named[1], "cat", EXCLUDE), Correction("dog/other.jpg", "dog", KEEP)]
    corrections.write(second / "corrections.csv", own)
    session = session_of(second)
    everything = {row.path: row for row in [*applied, *own]}
    assert {row.path: row for row in corrections.read(session.file)} == everything
    assert verdicts(session) == [(None, ""), ("exclude", ""), (None, ""), (None, "")]
    session.file.unlink()
    session.decide(3, EXCLUDE)  # whatever becomes of the file, the first round is in it
    assert set(rows(session)) == {*(row.path for row in applied), named[3]}


def test_the_new_table_gives_the_source_the_right_labels(
    second: Path, session_of: SessionOf, named: list[str], photos: Path
) -> None:
    session = session_of(second)
    session.decide(0, RELABEL, "cat")
    session.decide(1, KEEP)
    session.decide(2, EXCLUDE)
    session.decide(3, RELABEL, "cat")
    with open_source(photos) as source:
        labels = {source.relative(photo.path): photo.label for photo in source.photos}
        told = {named[1]: "dog", named[3]: "cat"}
        right = {**labels, **told}
        del right[named[2]], right[named[4]]
        assert corrections.apply(source, session.file) == Applied(2, 2, 1)
        found = {source.relative(photo.path): photo.label for photo in source.photos}
    assert found == right


def test_rows_that_call_photos_as_the_manifest_does_are_theirs(
    second: Path, session_of: SessionOf, named: list[str]
) -> None:
    row = Correction(f"photos/{named[0]}", "cat", RELABEL, "dog")
    corrections.write(second / "applied.csv", [row])
    session = session_of(second)
    assert session.photo(0).startswith(b"\xff\xd8\xff")
    session.decide(0, EXCLUDE)
    assert rows(session) == {named[0]: ("cat", "exclude", "")}
    session.decide(0, None)
    assert corrections.read(session.file) == [row]


@pytest.mark.parametrize(
    "row",
    [
        Correction("cat/other.jpg", "cat", RELABEL, "dog"),
        Correction("NAME", "cat", KEEP),
        Correction("NAME", "owl", RELABEL, "dog"),  # the source calls it otherwise now
    ],
    ids=["of another", "keep", "of another label"],
)
def test_a_label_that_the_first_round_does_not_explain_is_refused(
    second: Path, session_of: SessionOf, named: list[str], row: Correction
) -> None:
    path = row.path.replace("NAME", named[0])
    corrections.write(second / "applied.csv", [Correction(path, row.given, row.verdict, row.label)])
    session = session_of(second)
    before = rows(session)
    with pytest.raises(PhotoError, match="it is labelled cat in photos, and was dog in training"):
        session.decide(0, KEEP)
    assert rows(session) == before


@pytest.mark.parametrize("content", [b"", b"my notes\n", b"path,given,verdict,label\na,b,c,d\n"])
def test_a_damaged_first_round_is_told(second: Path, content: bytes) -> None:
    (second / "applied.csv").write_bytes(content)
    with pytest.raises(SourceError, match=r"applied\.csv"):
        suspects.read(second)


def test_an_empty_first_round_is_none(second: Path, session_of: SessionOf) -> None:
    corrections.write(second / "applied.csv", [])
    assert not session_of(second).file.exists()


def test_a_file_that_cannot_be_written_is_told_at_once(second: Path, tmp_path: Path) -> None:
    found = suspects.read(second)
    with open_source(found.location) as source, pytest.raises(OutputError, match="cannot be wri"):
        Session(found, source, found.location, tmp_path / "missing" / "c.csv")


@pytest.mark.parametrize(
    ("typed", "options"),
    [
        ("", []),
        ("pawprint train photos", []),
        ("pawprint train photos --recipe quick", ["--recipe", "quick"]),
        ("pawprint train 'my photos' --corrections it.csv --recipe best", ["--recipe", "best"]),
        (
            "pawprint train photos --recipe best --set 'name=\"кот 1\"' --exclude 'bad list.csv' "
            "--corrections 'runs/a b/c.csv' --time-limit 60s",
            [
                *("--recipe", "best", "--set", 'name="кот 1"', "--exclude", "bad list.csv"),
                *("--time-limit", "60s"),
            ],
        ),
        ("pawprint train 'photos", []),  # no line that pawprint wrote
        ("pawprint train photos --corrections", []),
    ],
)
def test_the_command_is_the_run_s_own_with_the_new_file(
    write_run: Any, photos: Path, tmp_path: Path, typed: str, options: list[str]
) -> None:
    found = suspects.read(write_run(command=typed))
    with open_source(photos) as source:
        session = Session(found, source, "moved photos", tmp_path / "new ones.csv")
    new = ["--corrections", str(session.file)]
    assert shlex.split(session.command) == ["pawprint", "train", "moved photos", *options, *new]
    assert session.state()["command"] == session.command
