"""The notebook runs top to bottom on drawn photos; its first cell installs only our project."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

from pawprint.testing import drawn_photos

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "cats_vs_dogs.ipynb"
SMALL = {
    "data.size": 64,
    "backbone.alpha": 0.35,
    "backbone.weights": "random",
    "stage.1.epochs": 1,
    "stage.2.epochs": 1,
}


@pytest.fixture
def notebook() -> Any:
    """The notebook as it is in the project."""
    return nbformat.read(NOTEBOOK, as_version=4)


def _cell(notebook: Any, name: str) -> Any:
    return next(cell for cell in notebook.cells if cell.id == name)


@pytest.mark.timeout(600)
def test_it_runs_top_to_bottom_on_drawn_photos(
    notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    photos = drawn_photos(tmp_path / "photos", 40)
    (changed,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    mine = sorted(photos.glob("dog/*.jpg"))[0]
    changed.source = f"SOURCE, PHOTO, CHANGES = {str(photos)!r}, {str(mine)!r}, {SMALL!r}"
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()

    assert re.search(r"dog +20 photos", _text(_cell(notebook, "look")))
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "cats_dogs_finetuned.h5").is_file()
    rows = [line.split() for line in _text(_cell(notebook, "history")).splitlines()[1:3]]
    assert [row[:2] for row in rows] == [["1", "1"], ["2", "1"]]
    assert _text(_cell(notebook, "predict")).startswith(f"{mine}: ")
    assert "by Keras" in _text(_cell(notebook, "keras"))
    pictures = {"samples": 2, "history": 1, "confusion": 1, "predict": 1}
    assert {name: _pictures(_cell(notebook, name)) for name in pictures} == pictures


def _text(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


def _pictures(cell: Any) -> int:
    shown = [output.data for output in cell.outputs if "data" in output]
    return sum("image/png" in data or "image/jpeg" in data for data in shown)


def test_it_is_kept_valid_and_without_outputs(notebook: Any) -> None:
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].id == "install"
    assert [cell.id for cell in code if cell.outputs or cell.execution_count] == []


@pytest.fixture
def install(notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the first cell in a folder of its own, without pawprint; gives what it installs."""
    monkeypatch.setitem(sys.modules, "pawprint", None)  # importing it now fails
    monkeypatch.chdir(tmp_path)
    code = TransformerManager().transform_cell(_cell(notebook, "install").source)

    def run() -> str:
        asked: list[tuple[str, str]] = []
        shell = SimpleNamespace(run_line_magic=lambda *magic: asked.append(magic))
        scope: dict[str, Any] = {"get_ipython": lambda: shell}
        exec(code, scope)
        assert asked == [("pip", 'install --quiet "{project}"')]  # IPython puts the value in
        return str(scope["project"])

    return run


@pytest.mark.parametrize("place", ["..", ".", "pawprint"])
def test_its_first_cell_installs_from_the_project(
    place: str, install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "note book"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / place / "src" / "pawprint" / "training").mkdir(parents=True)
    assert install() == f"{(here / place).resolve()}[train]"


def test_its_first_cell_never_installs_by_name(install: Any, tmp_path: Path) -> None:
    (tmp_path / "pawprint").mkdir()  # some other folder of that name
    with pytest.raises(RuntimeError, match="put the project's folder beside this notebook"):
        install()


def test_its_first_cell_does_nothing_where_pawprint_is(notebook: Any) -> None:
    code = TransformerManager().transform_cell(_cell(notebook, "install").source)
    exec(code, {})  # would fail at %pip: there is no IPython here
