"""`pawprint bench`, as it is typed. No time is judged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawprint.export.export import export_model

KEPT = Path(__file__).parents[1] / "fixtures" / "bundle-1" / "model"

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def exported(tinted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the kept bundle, far from it."""
    out = tmp_path_factory.mktemp("bench") / "onnx"
    return export_model(KEPT, "onnx", verify_on=str(tinted), most=5, out=out).folder


def test_a_table_has_what_ran_and_what_did_not(cli: Cli, exported: Path, tmp_path: Path) -> None:
    model = shutil.copytree(KEPT, tmp_path / "pets")
    broken = shutil.copytree(exported, tmp_path / "broken")
    (broken / "model.onnx").unlink()
    ran = cli("bench", broken, model, "--seconds", 0.03, "--batch", 3)
    assert ran.code == 0
    (note,) = ran.err.splitlines()
    assert note.startswith(f"note: {model} has no exports; pawprint export ")
    header, good, bad, blank, legend = ran.out.splitlines()
    assert header.split() == [
        *("format", "precision", "MB", "load", "s", "p50", "ms", "p90", "ms", "p99", "ms"),
        *("calls", "photos/s", "memory", "MB", "runtime", "folder"),
    ]
    assert good.split()[:2] == ["bundle", "float32"]
    assert good.endswith(f"{model} (each answer of two photos, the mirror image too)")
    assert header.index("folder") == good.index(str(model))
    assert bad.startswith(f"onnx    float32    {broken}: {broken / 'model.onnx'} cannot be read")
    assert blank == ""
    assert "3 at once" in legend


def test_json_is_an_object_each(cli: Cli, exported: Path) -> None:
    ran = cli("bench", exported, "--seconds", 0.03, "--batch", 2, "--json")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out)
    assert (told["format"], told["precision"], told["folder"]) == ("onnx", "float32", str(exported))
    assert told["bytes"] == (exported / "model.onnx").stat().st_size
    assert told["calls"] >= 3
    assert told["batch"] == 2
    assert told["error"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "MODEL"),
        (("no/such",), 1, "no/such is not a folder"),
        ((KEPT.parents[1],), 1, "or the folder of an export"),
        ((KEPT, "--seconds", "0"), 2, "--seconds"),
        ((KEPT, "--batch", "0"), 2, "--batch"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: tuple[object, ...], code: int, told: str, cli: Cli
) -> None:
    ran = cli("bench", *arguments)
    assert (ran.code, ran.out) == (code, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("pawprint: error: ")
    assert told in line


def test_where_nothing_runs_all_reasons_are_told(cli: Cli, exported: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (shutil.copytree(exported, tmp_path / name) / "model.onnx").unlink()
    ran = cli("bench", tmp_path / "one", tmp_path / "two", "--json")
    assert (ran.code, ran.out) == (1, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("pawprint: error: nothing could be measured. ")
    for name in ("one", "two"):
        assert f"{tmp_path / name / 'model.onnx'} cannot be read" in line
