"""`pawprint recipes`: list, show, copy, validate."""

from __future__ import annotations

import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawprint.training import recipe_files

Cli = Callable[..., Any]

FAULTY = 'name = "m"\n[data]\nsise = 96\n[[stage]]\ntrain = "head"\nepochs = 0\n'


def test_every_recipe_is_listed_with_what_it_is(cli: Cli) -> None:
    ran = cli("recipes", "list")
    rows = [line.split(maxsplit=1) for line in ran.out.splitlines()]
    assert tuple(name for name, _ in rows) == recipe_files.names()
    assert all(told == recipe_files.load(name).description for name, told in rows)
    assert (ran.code, ran.err) == (0, "")


def test_a_recipe_is_shown_with_its_comments(cli: Cli, tmp_path: Path) -> None:
    ran = cli("recipes", "show", "two-stage")
    assert ran.out == recipe_files.text_of("two-stage")
    assert ran.out.startswith("# pawprint train cats_vs_dogs --recipe two-stage\n")
    (tmp_path / "mine.toml").write_text("# mine", "utf-8")
    assert cli("recipes", "show", tmp_path / "mine.toml").out == "# mine"


@pytest.mark.parametrize("command", ["show", "validate"])
def test_an_unknown_recipe_is_told_with_the_nearest(cli: Cli, command: str) -> None:
    ran = cli("recipes", command, "two-stge")
    assert (ran.code, ran.out) == (1, "")
    (line,) = ran.err.splitlines()
    assert "did you mean 'two-stage'?" in line


def test_a_copy_is_made_and_what_comes_next_can_be_typed(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "my own.toml"
    ran = cli("recipes", "copy", "small-dense", path)
    assert (ran.code, ran.err) == (0, "")
    assert path.read_text("utf-8") == recipe_files.text_of("small-dense")
    umask_allows = stat.S_IMODE((tmp_path / "my own.toml").stat().st_mode)
    (tmp_path / "other").touch()
    assert umask_allows == stat.S_IMODE((tmp_path / "other").stat().st_mode)
    validate, train = [shlex.split(line) for line in ran.out.splitlines()[1:]]
    assert train == ["pawprint", "train", "SOURCE", "--recipe", str(path)]
    assert validate[:3] == ["pawprint", "recipes", "validate"]
    assert "ok: 1 stage: head for 10 epochs" in cli(*validate[1:]).out


def test_a_copy_named_as_a_recipe_is_found_as_a_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("recipes", "copy", "two-stage", "quick")
    assert ran.out.endswith("pawprint train SOURCE --recipe ./quick\n")
    assert recipe_files.load("./quick").name == "two-stage"


def test_a_copy_never_overwrites(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("mine", "utf-8")
    ran = cli("recipes", "copy", "quick", path)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"pawprint: error: {path} exists and is left as it is; name another file\n"
    assert path.read_text("utf-8") == "mine"


def test_a_folder_that_cannot_be_written_is_told(
    unprivileged: Callable[..., Any], shut: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "shut"
    folder.mkdir()
    ran = unprivileged("recipes", "copy", "quick", shut(folder, 0o555) / "mine.toml")
    assert ran.returncode == 1
    (line,) = ran.stderr.decode().splitlines()
    assert "mine.toml cannot be written (Permission denied)" in line


def test_a_recipe_without_faults_is_ok(cli: Cli, tmp_path: Path) -> None:
    ran = cli("recipes", "validate", "two-stage")
    assert ran.out == "two-stage: ok: 2 stages: head for 3 epochs, then last:100 for 3 epochs\n"
    assert ran.code == 0
    assert "ok: 1 stage: head by logistic regression" in cli("recipes", "validate", "quick").out


def test_without_keras_all_but_the_layers_is_looked_at() -> None:
    program = (
        "import sys\n"
        "sys.modules['keras'] = None\n"
        "from pawprint.cli import main\n"
        "main(['recipes', 'validate', 'two-stage'])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("two-stage: ok: 2 stages: ")
    assert "not looked up in the network: training needs keras" in ran.stdout
    assert ran.stderr == ""


def test_one_fault_is_one_line(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FAULTY.replace("sise", "size"), "utf-8")
    ran = cli("recipes", "validate", path)
    assert (ran.code, ran.out) == (1, "")
    told = f"pawprint: error: {path} line 6: stage.1.epochs: must be at least 1 (found 0)\n"
    assert ran.err == told


@pytest.mark.parametrize(
    "command", [["recipes", "validate"], ["train", "no-photos-needed", "--recipe"]]
)
def test_several_faults_have_a_line_each(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FAULTY, "utf-8")
    ran = cli(*command, path)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        f"pawprint: error: {path} has 2 faults:",
        "  line 3: data.sise: unknown key, did you mean 'size'?",
        "  line 6: stage.1.epochs: must be at least 1 (found 0)",
    ]


def test_a_layer_that_is_not_there_is_a_fault(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "m"\n[[stage]]\ntrain = "from:block_15_expnd"\n', "utf-8")
    ran = cli("recipes", "validate", path)
    assert ran.code == 1
    (line,) = ran.err.splitlines()
    assert f"{path} line 3: stage.1.train: MobileNetV2 has no layer 'block_15_expnd'" in line
    assert "block_15_expand" in line
