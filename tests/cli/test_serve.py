"""`pawprint serve` says in one line what keeps it from starting, and plainly who can come in."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawprint import starter
from pawprint.cli.serve import _is_loopback, _name, _seen_by_others, _shown, _warn


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["no/such/run"], "no/such/run is not a folder; expected a bundle or a run"),
        (["--max-files", "65"], "--max-files 65 do not fit into --queue 64"),
        (["--host", "203.0.113.7"], "of 203.0.113.7 cannot be used"),
        (["--host", "no such host"], "of no such host cannot be used"),
        (["--port", "70000"], "Invalid value for '--port'"),
        (["--token-file", "no-such-file"], "no-such-file cannot be read for the token"),
        (["--timeout", "0"], "Invalid value for '--timeout'"),
        (["--name", "team/pets"], "--name 'team/pets' fits into no address"),
        (["--workers", "0"], "Invalid value for '--workers'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    cli: Callable[..., Any], options: list[str], said: str
) -> None:
    ran = cli("serve", *options)
    assert ran.code != 0
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_taken_port_is_said(cli: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = cli("serve", "--port", port)
    assert ran.code == 1
    assert f"port {port} of 127.0.0.1 cannot be used" in ran.err
    assert "--port" in ran.err


@pytest.mark.parametrize("text", ["", " \n", "two words", "ümlaut"])
def test_a_token_that_no_header_carries_is_refused(
    cli: Callable[..., Any], tmp_path: Path, text: str
) -> None:
    file = tmp_path / "token"
    file.write_text(text, "utf-8")
    ran = cli("serve", "--token-file", file)
    assert ran.code == 1
    assert f"{file} holds no token" in ran.err


def test_a_damaged_bundle_is_said_before_anything_is_served(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(starter.BUNDLE, tmp_path / "bundle")
    card = tmp_path / "bundle" / "pawprint.json"
    card.write_text(card.read_text().replace("dog", "cow", 1))
    ran = cli("serve", tmp_path / "bundle", "--port", "0")
    assert ran.code == 1
    assert "was changed after it was written" in ran.err
    assert "address" not in ran.out


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from pawprint.cli import main; main(['serve', '--port', '0'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("pawprint: error: the service needs uvicorn")
    assert ".[serve]" in ran.stderr


def test_a_model_is_called_as_its_run(tmp_path: Path) -> None:
    assert _name(tmp_path / "pets" / "model") == "pets"
    assert _name(tmp_path / "bundle") == "bundle"


def test_addresses_are_told_as_they_can_be_opened() -> None:
    assert [_shown(one) for one in ("0.0.0.0", "::", "10.1.2.3", "fe80::1")] == [
        "127.0.0.1",
        "[::1]",
        "10.1.2.3",
        "[fe80::1]",
    ]
    assert _seen_by_others("127.0.0.1") is None
    assert _seen_by_others("0.0.0.0") != "0.0.0.0"


def test_who_can_come_in_is_said_plainly(capsys: pytest.CaptureFixture[str]) -> None:
    assert [_is_loopback(one) for one in ("127.0.0.1", "::1", "0.0.0.0", "10.1.2.3")] == [
        True,
        True,
        False,
        False,
    ]
    _warn("0.0.0.0", token=False)
    assert "any address of this computer, unencrypted, open to everyone who reaches it" in (
        capsys.readouterr().err
    )
    _warn("10.1.2.3", token=True)
    assert "10.1.2.3, unencrypted, open to everyone who shows the token" in capsys.readouterr().err
