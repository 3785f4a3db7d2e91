"""What the documents say is so: the file tree, the public names, the command reference."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pawprint

ROOT = Path(__file__).parents[1]


def test_the_readme_shows_every_source_file() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    tree = re.search(r"```\nsrc/pawprint/\n(.*?)\nbenchmarks/", text, re.DOTALL)
    assert tree
    shown, folders = set(), [""]
    for line in tree[1].splitlines():
        name, depth = line.split()[0], (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], folders[depth - 1] + name]
        if not name.endswith("/"):
            shown.add(folders[depth])
    package = ROOT / "src" / "pawprint"
    files = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*")
        if path.suffix in (".py", ".toml")
        and (path.parent == package or path.name != "__init__.py")
    }
    assert shown == files


def test_all_public_names_can_be_had_and_are_documented() -> None:
    for name in pawprint.__all__:
        assert getattr(pawprint, name).__doc__, name
    assert set(pawprint.__all__) <= set(dir(pawprint))


def test_the_readme_names_every_public_name() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [name for name in pawprint.__all__ if name not in text] == []


def test_the_command_reference_is_what_the_commands_say(tmp_path: Path) -> None:
    made = tmp_path / "cli.md"
    command = "typer pawprint.cli utils docs --name pawprint --output"
    subprocess.run(
        [sys.executable, "-m", *command.split(), str(made)], check=True, capture_output=True
    )
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == made.read_text("utf-8")


def test_contributing_names_files_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`(src/pawprint/[\w/.]+)`", text)
    assert len(named) > 15
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_nothing_names_a_machine_or_a_package_index() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert listed
    address = re.compile(r"index-url\s*=?\s*\S+://|/home/\w+/|/Users/\w+/")
    for name in listed:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".txt", "") and path.is_file():
            text = path.read_text("utf-8", errors="ignore")
            if path != Path(__file__):
                assert not address.search(text), name


def test_the_recipe_reference_names_every_key() -> None:
    from pydantic import BaseModel

    from pawprint.data import augment
    from pawprint.model import head_layers
    from pawprint.training import recipe

    text = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    parts = [value for room in (augment, head_layers, recipe) for value in vars(room).values()]
    parts = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
    keys = {key for part in parts for key in part.model_fields}
    assert {"reduce_patience", "units", "factor", "policy"} <= keys
    told = set(re.findall(r"`\[*([a-z_0-9]+)\]*`", text))
    assert keys - told == set()
