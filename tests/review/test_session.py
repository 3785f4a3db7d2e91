"""What is said in a review is in the file at once, and only of what was judged."""

from __future__ import annotations

import os
import shutil
import threading
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


def kept(run: Path) -> list[tuple[str, str, str]]:
    """What the file of corrections says."""
    return [(c.path, c.verdict, c.label) for c in corrections.read(run / "corrections.csv")]


def names(some: list[Path]) -> list[str]:
    return [f"{photo.parent.name}/{photo.name}" for photo in some]


def test_each_verdict_is_written_at_once(
    doubting: Path, session_of: SessionOf, some: list[Path]
) -> None:
    session, (first, second, third, _) = session_of(doubting), names(some)
    assert not (doubting / "corrections.csv").exists()
    session.decide(0, KEEP)
    assert kept(doubting) == [(first, "keep", "")]
    session.decide(1, RELABEL, "dog")
    session.decide(2, EXCLUDE)
    session.decide(0, EXCLUDE)
    assert kept(doubting) == [
        (first, "exclude", ""),
        (second, "relabel", "dog"),
        (third, "exclude", ""),
    ]
    session.decide(1, None)
    assert kept(doubting) == [(first, "exclude", ""), (third, "exclude", "")]
    assert session.counts() == {EXCLUDE: 2}
    assert sorted(os.listdir(doubting)) == ["corrections.csv", "run.json", "suspects.json"]


def test_a_later_session_goes_on(doubting: Path, session_of: SessionOf) -> None:
    session_of(doubting).decide(1, RELABEL, "dog")
    rows = session_of(doubting).state()["suspects"]
    assert [(row["verdict"], row["label"]) for row in rows] == [
        (None, ""),
        ("relabel", "dog"),
        (None, ""),
        (None, ""),
    ]


def test_the_file_can_be_applied(doubting: Path, session_of: SessionOf, photos: Path) -> None:
    session = session_of(doubting)
    for number, verdict in enumerate((KEEP, RELABEL, EXCLUDE)):
        session.decide(number, verdict, "dog" if verdict is RELABEL else "")
    with open_source(photos) as source:
        count = len(source.photos)
        assert corrections.apply(source, session.file) == Applied(1, 1, 1)
        assert len(source.photos) == count - 1


def test_what_is_in_the_file_of_other_photos_stays(
    doubting: Path, session_of: SessionOf, some: list[Path]
) -> None:
    other = Correction("cat/other.jpg", "cat", EXCLUDE)
    told = Correction(str(some[0]), "cat", RELABEL, "dog")  # by hand, in full
    corrections.write(doubting / "corrections.csv", [other, told])
    session = session_of(doubting)
    assert session.state()["suspects"][0]["verdict"] == "relabel"
    corrections.write(session.file, [*corrections.read(session.file), Correction("x", "y", KEEP)])
    session.decide(0, KEEP)
    assert kept(doubting) == [
        ("cat/other.jpg", "exclude", ""),
        (names(some)[0], "keep", ""),
        ("x", "keep", ""),
    ]


def test_another_file_is_not_overwritten(doubting: Path, session_of: SessionOf) -> None:
    (doubting / "corrections.csv").write_text("my notes\n")
    with pytest.raises(SourceError, match=r"corrections\.csv begins with 'my notes'"):
        session_of(doubting)
    (doubting / "corrections.csv").unlink()
    session = session_of(doubting)
    (doubting / "corrections.csv").write_text("my notes\n")
    with pytest.raises(SourceError, match="begins with 'my notes'"):
        session.decide(0, KEEP)
    assert (doubting / "corrections.csv").read_text() == "my notes\n"


def test_a_verdict_that_cannot_be_written_is_none(
    doubting: Path, session_of: SessionOf, tmp_path: Path
) -> None:
    found = suspects.read(doubting)
    with open_source(found.location) as source:
        session = Session(found, source, found.location, tmp_path / "missing" / "c.csv")
        with pytest.raises(OutputError, match="cannot be written"):
            session.decide(0, KEEP)
        assert session.state()["suspects"][0]["verdict"] is None
        assert not session.counts()


@pytest.mark.parametrize("prefix", ["", "./photos/", "/elsewhere/my photos/", "../photos/"])
def test_photos_are_found_however_the_source_was_called_in_training(
    write_run: Any, suspect: Any, session_of: SessionOf, some: list[Path], prefix: str
) -> None:
    run = write_run(suspect(some[0], path=f"{prefix}cat/{some[0].name}"))
    session = session_of(run)
    assert session.photo(0).startswith(b"\xff\xd8\xff")
    assert session.state()["suspects"][0]["name"] == names(some)[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"path": "photos/cat/gone.jpg"}, "is not among the photos of photos"),
        ({"given": "dog", "suggested": "cat"}, "is labelled cat in photos, and was dog in train"),
        ({"sha256": "0" * 64}, "the file has changed since the training"),
    ],
)
def test_what_is_not_what_was_judged_gets_a_reason_and_no_verdict(
    write_run: Any,
    suspect: Any,
    session_of: SessionOf,
    some: list[Path],
    change: dict[str, str],
    told: str,
) -> None:
    run = write_run(suspect(some[0], **change), suspect(some[1]))
    session = session_of(run)
    with pytest.raises(PhotoError, match=told):
        session.photo(0)
    with pytest.raises(PhotoError, match=told):
        session.decide(0, KEEP)
    assert not session.file.exists()
    session.decide(1, KEEP)
    session.decide(0, None)  # of what was never said, nothing is taken back
    assert kept(run) == [(names(some)[1], "keep", "")]


def test_a_photo_that_goes_while_it_is_looked_at_gets_its_reason(
    doubting: Path, photos: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "photos"))
    found = suspects.read(doubting)
    with open_source(copy) as source:
        session = Session(found, source, str(copy), tmp_path / "c.csv")
        shutil.rmtree(copy)
        with pytest.raises(PhotoError, match="no such file"):
            session.photo(0)


def test_the_command_can_be_typed(write_run: Any, tmp_path: Path, photos: Path) -> None:
    found = suspects.read(write_run())
    with open_source(photos) as source:
        session = Session(found, source, "my photos", tmp_path / "it's.csv")
        file = str(session.file).replace("'", "'\"'\"'")
        assert session.command == f"pawprint train 'my photos' --corrections '{file}'"


def test_verdicts_from_many_threads_are_all_kept(doubting: Path, session_of: SessionOf) -> None:
    session = session_of(doubting)
    threads = [
        threading.Thread(target=session.decide, args=(number, verdict))
        for verdict in (EXCLUDE, KEEP)
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.counts().total() == len(kept(doubting)) == 4
