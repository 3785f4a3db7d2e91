"""What long steps tell of themselves where there is no terminal."""

from __future__ import annotations

import pytest

from pawprint.progress import SILENT, Terminal, _Lines

MINUTE = 60.0


def later(lines: _Lines, seconds: float) -> None:
    """Let time pass, without waiting for it."""
    lines._begun -= seconds
    lines._next -= seconds


def test_a_short_step_logs_nothing() -> None:
    logged: list[str] = []
    lines = _Lines("Predicting", 1000, logged.append)
    for _ in range(10):
        lines(100)
    assert logged == []


def test_a_long_step_logs_how_far_how_fast_and_how_long_still() -> None:
    logged: list[str] = []
    lines = _Lines("Predicting here", 100_000, logged.append)
    later(lines, MINUTE)
    lines(6_000, "a note")
    lines(6_000)
    assert logged == ["Predicting here: 6,000 of 100,000, 100/s, 0:15:40 left"]
    later(lines, MINUTE)
    lines(0)
    assert logged[1:] == ["Predicting here: 12,000 of 100,000, 100/s, 0:14:40 left"]


def test_no_rate_yet_is_no_fault() -> None:
    logged: list[str] = []
    lines = _Lines("Predicting", 10, logged.append)
    later(lines, MINUTE)
    lines(0)
    (line,) = logged
    assert line.startswith("Predicting: 0 of 10, 0/s, ")


@pytest.mark.parametrize("total", [None, 0, 10])
def test_without_a_terminal_nothing_is_drawn(
    total: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with Terminal().step("Listing", total) as advance:
        advance(1)
    with SILENT.step("Listing", total) as advance:
        advance(1, "note")
    assert capsys.readouterr() == ("", "")


def test_what_is_said_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.say("[one] of them")
    terminal.say("[one] of them")
    terminal.log("a line")
    assert capsys.readouterr().err == "note: [one] of them\na line\n"
