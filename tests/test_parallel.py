"""How many processors there are, also where a container gives fewer."""

from __future__ import annotations

from pathlib import Path

import pytest

from pawprint.parallel import cores, quota


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("max 100000\n", None),
        ("", None),
        ("1 0", None),
    ],
)
def test_a_control_group_limits_processors(tmp_path: Path, said: str, expected: int | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(said)
    assert quota(file) == expected


def test_without_a_control_group_there_is_no_limit(tmp_path: Path) -> None:
    assert quota(tmp_path / "none") is None
    assert cores() >= 1
