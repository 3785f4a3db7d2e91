"""`pawprint predict --out` and `embed`: what they say, refuse and leave."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from pyarrow import compute, parquet

from pawprint.data.images import Preprocessing, mirrored, open_photo
from pawprint.parts.schema import matrix
from pawprint.testing import drawn_photos

Cli = Callable[..., Any]
Shut = Callable[[Path, int], Path]
Unprivileged = Callable[..., subprocess.CompletedProcess[bytes]]

BUNDLE = Path(__file__).parents[1] / "fixtures/bundle-1"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos that can be read. Not to be changed."""
    return drawn_photos(tmp_path_factory.mktemp("jobs") / "photos", 12)


@pytest.fixture
def mixed(good: Path, tmp_path: Path) -> Path:
    """A copy of them, with one that cannot be read."""
    folder = Path(shutil.copytree(good, tmp_path / "mixed"))
    (folder / "cat/empty.jpg").write_bytes(b"")
    return folder


def rows(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parquet.read_table(out / "parts").to_pylist()
    return found


def test_predictions_are_summed_up(cli: Cli, good: Path, tmp_path: Path) -> None:
    ran = cli("predict", good, "--out", tmp_path / "out", "--part-size", 5)
    assert (ran.code, ran.err) == (0, "no model was named, so the starter answers\n")
    said = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    found = rows(tmp_path / "out")
    labels = [row["label"] for row in found]
    counts = sorted(((labels.count(label), label) for label in set(labels)), reverse=True)
    assert said["photos"] == "12: 12 computed now"
    assert said["labels"] == ", ".join(f"{label} {count}" for count, label in counts)
    assert said["errors"] == "0"
    assert said["engine"] == "on this machine"
    assert said["results"] == f"{tmp_path / 'out' / 'parts'} (3 Parquet files)"


def test_a_bundle_answers_as_without_parts(cli: Cli, good: Path, tmp_path: Path) -> None:
    assert cli("predict", BUNDLE, good, "--out", tmp_path / "out").code == 0
    plain = map(json.loads, cli("predict", BUNDLE, good, "--json").out.splitlines())
    by_path = {one["path"]: one for one in plain}
    found = rows(tmp_path / "out")
    assert len(found) == len(by_path) == 12
    for row in found:
        one = by_path[str(good / row["path"])]
        assert row["probabilities"] == list(one["probabilities"].values())
        assert [row[k] for k in ("label", "novelty")] == [one[k] for k in ("label", "novelty")]


def test_photos_that_cannot_be_read_end_with_code_3(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    manifests = []
    for _ in range(2):  # also where all was there
        ran = cli("predict", mixed, "--out", tmp_path / "out")
        assert ran.code == 3
        assert ran.err.splitlines()[-1] == (
            "1 of 13 could not be read (exit code 3); the column `error` says why"
        )
        assert "errors       1\n" in ran.out
        manifests.append((tmp_path / "out" / "manifest.json").read_bytes())
    assert "photos       13: 0 computed now, 13 were there" in ran.out
    assert manifests[0] == manifests[1]  # it tells when and by whom it was computed


def unreachable(out: Path) -> int:
    return int(json.loads((out / "manifest.json").read_text())["unreachable"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["a", "b", "c", "--out", "o"], "with --out expected [MODEL] and one SOURCE, got 3"),
        (["a", "--out", "o", "--json"], "--out writes Parquet files, without --json"),
        (["a", "--out", "o", "--csv"], "--out writes Parquet files, without --json"),
        (["a", "--out", "o", "--explain", "e"], "--out writes Parquet files, without --json"),
        (["a", "--part-size", "4"], "--engine and --part-size need --out DIR"),
        (["a", "--engine", "ray"], "--engine and --part-size need --out DIR"),
        (["a", "--out", "o", "--address", "h:1"], "--address is for --engine ray"),
        (["a", "--address", "h:1"], "--address is for --engine ray; give both or neither"),
        (["a", "--out", "o", "--actor-cpus", "2"], "--actor-cpus is for --engine ray; give both"),
        (["a", "--actor-cpus", "2"], "--actor-cpus is for --engine ray; give both or neither"),
        (["typo", "--out", "o"], "typo is not there"),
        ([str(BUNDLE), "--out", "o"], "is a model; name photos after it"),
        (["", "--out", "o"], "'' names nothing on this machine"),
        (["typo", "photos", "--out", "o"], "typo is not a folder; expected a bundle or a run"),
        (["zz://k:secret@b/p", "--out", "o"], "zz://b cannot be opened"),
        (["photos", "--out", "zz://k:secret@b/p"], "zz://b cannot be opened"),
        (["photos", "--out", "photos"], "photos holds something else, and nothing is replaced"),
    ],
)
def test_what_is_refused(
    arguments: list[str],
    why: str,
    cli: Cli,
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(good)
    ran = cli("predict", *arguments)
    assert (ran.code, ran.out) == (1, "")
    error = ran.err.splitlines()[-1]
    assert error.startswith("pawprint: error: ")
    assert why in error
    assert "secret" not in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


@pytest.mark.parametrize("option", [["--part-size", "0"], ["--engine", "spark"], ["--out"]])
def test_options_that_cannot_be_end_with_code_2(option: list[str], cli: Cli) -> None:
    assert cli("predict", "photos", "--out", "o", *option).code == 2


def test_places_that_cannot_be_written_or_read(
    unprivileged: Unprivileged, shut: Shut, mixed: Path, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    shut(closed, 0o555)
    ran = unprivileged("predict", mixed, "--out", closed / "out")
    assert ran.returncode == 1
    assert ran.stderr.decode().splitlines()[-1] == (
        f"pawprint: error: {closed / 'out'} cannot be written (permission denied); make room or "
        "give access and run the same command again, which goes on from the parts that are there"
    )
    shut(mixed / "dog", 0)
    photo = shut(next(mixed.glob("cat/*_0*.jpg")), 0)
    ran = unprivileged("predict", mixed, "--out", tmp_path / "out")
    assert ran.returncode == 3
    errors = {row["path"]: row["error"] for row in rows(tmp_path / "out") if row["error"]}
    assert errors.pop("dog") == "it is a folder that cannot be read (permission denied)"
    assert errors.pop("cat/empty.jpg") == "the file is empty (0 bytes)"
    assert errors == {f"cat/{photo.name}": "it cannot be read (permission denied)"}
    assert unreachable(tmp_path / "out") == 1
    photo.chmod(0o644)
    ran = unprivileged("predict", mixed, "--out", tmp_path / "out")  # it is tried again
    assert ran.returncode == 3
    assert unreachable(tmp_path / "out") == 0
    assert {row["path"] for row in rows(tmp_path / "out") if row["error"]} == {
        "dog",
        "cat/empty.jpg",
    }
    shut(mixed, 0)
    ran = unprivileged("predict", mixed, "--out", tmp_path / "none")
    assert ran.returncode == 1
    assert f"{mixed} cannot be read (permission denied)" in ran.stderr.decode()
    assert not (tmp_path / "none").exists()
    shut(tmp_path, 0)
    ran = unprivileged("predict", mixed, "--out", "out", cwd="/")
    assert ran.returncode == 1
    told = ran.stderr.decode().splitlines()[-1]
    assert told.startswith(f"pawprint: error: {mixed} cannot be read (")
    assert "permission denied" in told


def given(network: Path, pixels: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """A network's outputs for a photo, as another runtime computes them."""
    session = onnxruntime.InferenceSession(network)
    (wanted,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {wanted.name: pixels[np.newaxis]})
    return dict(zip(names, (values[0] for values in found), strict=True))


def test_features_are_what_the_network_gives(
    cli: Cli, mixed: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = cli("embed", mixed, "--recipe", recipe, "--out", out, "--part-size", 5)
    assert ran.code == 3
    facts = json.loads((out / "job.json").read_text())["computes"]
    table = parquet.read_table(out / "parts")
    good = table.filter(compute.is_null(table.column("error")))
    assert (table.num_rows, good.num_rows) == (13, 12)
    preprocessing = Preprocessing(**facts["preprocessing"])
    for number, row in enumerate(good.to_pylist()):
        data = (mixed / row["path"]).read_bytes()
        opened = open_photo(data, row["path"], near=preprocessing.size)
        pixels = preprocessing.fit(opened.picture)
        assert (row["bytes"], row["width"], row["height"]) == (
            len(data),
            opened.width,
            opened.height,
        )
        assert (row["label"], row["split"]) == (row["path"].partition("/")[0], None)
        for column in facts["columns"]:
            seen = pixels if column["view"] == "plain" else mirrored(pixels)
            meant = given(next(out.glob("plan-*/network.onnx")), seen)[column["output"]].reshape(-1)
            found = matrix(good.column(column["name"]))[number]
            np.testing.assert_allclose(found, meant, rtol=2e-3, atol=2e-3)
    (bad,) = [row for row in table.to_pylist() if row["error"]]
    filled = {name for name, value in bad.items() if value is not None}
    assert filled == {"path", "label", "sha256", "bytes", "error"}


def test_labels_and_splits_of_lists_are_in_the_results(
    cli: Cli, good: Path, recipe: Path, tmp_path: Path
) -> None:
    names = sorted(path.relative_to(good).as_posix() for path in good.glob("*/*.jpg"))
    lines = [
        f"{good / name},{number % 3},{'val' if number % 2 else 'train'}"
        for number, name in enumerate(names)
    ]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *lines]))
    arguments = ["embed", tmp_path / "list.csv", "--recipe", recipe, "--out", tmp_path / "out"]
    assert cli(*arguments).code == 0
    found = [(row["label"], row["split"]) for row in rows(tmp_path / "out")]
    splits = ("train", "validation")
    assert found == [(str(number % 3), splits[number % 2]) for number in range(len(names))]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["labels"] == {"0": 4, "1": 4, "2": 4}
    assert "photos       12: 0 computed now, 12 were there" in cli(*arguments).out


def test_other_features_are_refused(cli: Cli, good: Path, recipe: Path, tmp_path: Path) -> None:
    arguments = ["embed", good, "--recipe", recipe, "--out", tmp_path / "out"]
    assert cli(*arguments).code == 0
    for more in (["--set", "data.size=32"], ["--precision", "bfloat16"]):
        ran = cli(*arguments, *more)
        assert ran.code == 1
        assert "holds a job that computes something else; name another folder" in ran.err
    ran = cli("predict", good, "--out", tmp_path / "out")
    assert "holds a job that computes something else; name another folder" in ran.err


def test_recipes_that_need_the_photos_while_they_train_are_refused(
    cli: Cli, good: Path, tmp_path: Path
) -> None:
    ran = cli("embed", good, "--recipe", "scratch", "--out", tmp_path / "out")
    assert ran.code == 1
    assert "needs the photos while it trains" in ran.err
    assert not (tmp_path / "out").exists()
