"""`pawprint datasets`, and what other commands take for a source."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pawprint.data.catalogue import CATALOGUE
from pawprint.data.download import downloads_folder, place
from pawprint.training.run import Run

Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PAWPRINT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *what: object) -> None:
        pass


@pytest.fixture
def address(photos: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a folder with `pets.zip`, the drawn photos."""
    served = tmp_path / "served"
    served.mkdir()
    with zipfile.ZipFile(served / "pets.zip", "w") as archive:
        for path in photos.rglob("*.jpg"):
            archive.write(path, path.relative_to(photos))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def check_one_line(ran: Any, *parts: str) -> None:
    assert ran.code == 1, ran
    (line,) = ran.err.splitlines()
    assert line.startswith("pawprint: error: ")
    for part in parts:
        assert part in line, line


def test_the_list_says_what_there_is_and_where(cli: Cli) -> None:
    lines = cli("datasets", "list").out.splitlines()
    assert len(lines) == 2 * len(CATALOGUE)
    assert "23,262 photos" in lines[0]
    assert "824.9 MB" in lines[0]
    assert {line.strip() for line in lines[1::2]} == {"not downloaded"}
    named = CATALOGUE["cats_and_dogs_filtered"]
    path = place(named.url, downloads_folder())
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(named.size)
    lines = cli("datasets", "list").out.splitlines()
    assert [line.strip() for line in lines[1::2]] == ["not downloaded", str(path)]
    with path.open("wb") as file:
        file.truncate(named.size - 1)
    assert str(path) not in cli("datasets", "list").out


@pytest.mark.parametrize("arguments", [[], ["-h"], ["list", "-h"], ["fetch", "--help"]])
def test_help(cli: Cli, arguments: list[str]) -> None:
    ran = cli("datasets", *arguments)
    assert "Usage: pawprint datasets" in ran.out
    assert ran.err == ""


def test_fetch_downloads_once_and_copies(cli: Cli, address: str, tmp_path: Path) -> None:
    data = (tmp_path / "served" / "pets.zip").read_bytes()
    path = Path(cli("datasets", "fetch", f"{address}/pets.zip").out.strip())
    assert path.read_bytes() == data
    (tmp_path / "served" / "pets.zip").unlink()
    ran = cli("datasets", "fetch", f"{address}/pets.zip", "--to", tmp_path / "mine.zip")
    assert ran.out.splitlines() == [str(path), str(tmp_path / "mine.zip")]
    assert (tmp_path / "mine.zip").read_bytes() == data


def test_fetch_writes_over_nothing(cli: Cli, address: str, tmp_path: Path) -> None:
    (tmp_path / "mine.zip").write_text("mine")
    ran = cli("datasets", "fetch", f"{address}/pets.zip", "--to", tmp_path / "mine.zip")
    check_one_line(ran, "mine.zip exists already")
    assert (tmp_path / "mine.zip").read_text() == "mine"
    assert not (tmp_path / "cache").exists()
    ran = cli("datasets", "fetch", f"{address}/pets.zip", "--to", tmp_path / "no" / "mine.zip")
    check_one_line(ran, "no/mine.zip cannot be written (no such file or directory)")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("cats_vs_dog", "there is no dataset 'cats_vs_dog' here; known: cats_vs_dogs, "),
        ("nonesuch", "known: cats_vs_dogs, cats_and_dogs_filtered"),
        ("http://example.org/a.zip", "is not https"),
        ("https://", "is no address"),
    ],
)
def test_fetch_of_what_is_not_there(cli: Cli, asked: str, told: str) -> None:
    check_one_line(cli("datasets", "fetch", asked), told)


def test_fetch_of_what_the_server_has_not(cli: Cli, address: str) -> None:
    check_one_line(cli("datasets", "fetch", f"{address}/x.zip"), "the server answers 404")


def test_fetch_into_a_folder_that_is_read_only(
    unprivileged: Any, shut: Any, address: str, own_cache: Path
) -> None:
    own_cache.mkdir()
    shut(own_cache, 0o555)
    ran = unprivileged("datasets", "fetch", f"{address}/pets.zip")
    assert ran.returncode == 1
    (line,) = ran.stderr.decode().splitlines()
    assert f"cannot be kept in {own_cache}/downloads (permission denied); make room there" in line
    assert "set PAWPRINT_CACHE" in line


def test_evaluate_takes_an_address_and_a_table(
    cli: Cli, run: Run, photos: Path, address: str, tmp_path: Path
) -> None:
    plain = json.loads(cli("evaluate", run.path, photos, "--json").out)
    sent = json.loads(cli("evaluate", run.path, f"{address}/pets.zip", "--json").out)
    assert sent["confusion"] == plain["confusion"]
    lines = [f"{path},{path.parent.name}" for path in sorted(photos.rglob("*.jpg"))]
    (tmp_path / "pets.csv").write_text("\n".join(["path,label", *lines]), "utf-8")
    listed = json.loads(cli("evaluate", run.path, tmp_path / "pets.csv", "--json").out)
    assert listed["confusion"] == plain["confusion"]
    (tmp_path / "pets.csv").write_text("path,label\nx.jpg\n", "utf-8")
    check_one_line(cli("evaluate", run.path, tmp_path / "pets.csv"), "line 2: 1 cells")
