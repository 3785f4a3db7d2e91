"""Networks imported whole, through processes of their own, to a bundle held against them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import pawprint
from pawprint import bundle
from pawprint.classifier import Classifier
from pawprint.errors import BundleError
from pawprint.importer.agreement import Tried, compare
from pawprint.importer.handed_back import Handed, check_keras, check_onnx, handed_back
from pawprint.importer.importing import import_keras
from pawprint.isolation import Limits
from pawprint.training.run import Run

PETS = ["cat", "dog"]
COLOURS = ["blue", "green", "red"]


def left(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def imported(run_of_three: Run, tinted: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The Keras model of a run, imported as if it were somebody else's."""
    out = tmp_path_factory.mktemp("imported") / "a bundle ü"
    file = run_of_three.model / "model.keras"
    return import_keras(file, out, classes=COLOURS, scaling="0..255", verify=tinted)


def test_it_answers_as_the_original(imported: Any, run_of_three: Run, tinted: Path) -> None:
    ours, theirs = Classifier(imported.path), Classifier(run_of_three.path)
    assert left(imported.path) == ["model.keras", "model.onnx", "pawprint.json"]
    for path in sorted(tinted.glob("*/*.png"))[::20]:
        pixels = ours.card.preprocessing.from_bytes(path.read_bytes(), path.name)
        assert np.allclose(ours.measure(pixels)[0], theirs.measure(pixels)[0], atol=1e-5)
        heat, other = (each.heatmap(pixels, "red") for each in (ours, theirs))
        assert heat is not None
        assert np.allclose(heat, other, atol=1e-4)


def test_the_card_says_where_it_is_from(imported: Any, run_of_three: Run) -> None:
    card, _ = bundle.read(imported.path)
    assert (card.classes, card.metrics, card.unknown) == (("blue", "green", "red"), {}, None)
    assert (card.temperature, card.threshold, card.preprocessing.size) == (1.0, 0.5, 64)
    assert card.training["imported_from"] == "model.keras"
    original = (run_of_three.model / "model.keras").read_bytes()
    assert card.training["sha256"] == hashlib.sha256(original).hexdigest()
    assert card.training["verified"]["labels_differing"] == 0
    assert card.training["verified"]["largest_difference"] < 1e-4
    assert imported.agreement.photos == 60
    assert imported.agreement.accuracy > 0.9
    assert imported.notes == ()


def test_what_reads_bundles_reads_it(
    cli: Callable[..., Any], imported: Any, tinted: Path, tmp_path: Path
) -> None:
    ran = cli("evaluate", imported.path, tinted, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["accuracy"] == imported.agreement.accuracy
    some = sorted(tinted.glob("red/*.png"))[:2]
    assert cli("predict", imported.path, *some, "--explain", tmp_path / "maps").code == 0
    for command in ("report", "review"):
        ran = cli(command, imported.path)
        assert ran.code == 1
        assert len(ran.err.splitlines()) == 1, ran.err


def test_a_wrong_scaling_agrees_and_is_seen_by_the_accuracy(
    cli: Callable[..., Any], run_of_three: Run, tinted: Path, tmp_path: Path
) -> None:
    file = run_of_three.model / "model.keras"
    asked = ("--classes", "blue,green, red", "--scaling=0..1", "--verify", tinted)
    ran = cli("import", file, *asked, "--out", tmp_path / "out")
    assert (ran.code, ran.err) == (0, "")
    assert "agreement  the same answers" in ran.out
    assert "not clearly better than guessing" in ran.out
    assert "pawprint predict" in ran.out


def test_an_export_of_teachable_machine(export: Path, tmp_path: Path) -> None:
    found = import_keras(export, tmp_path / "out")
    card = pawprint.load(tmp_path / "out").card
    assert card.classes == ("Cat", "Dog", "No pet")
    assert card.preprocessing.model_dump() == {"size": 224, "policy": "crop"}
    assert card.training["scaling"] == "-1..1"
    assert card.training["written_by_keras"] == "2.4.0"
    assert found.agreement.largest_difference < 1e-4
    assert found.agreement.accuracy is None


# What is refused leaves nothing


def refused(tmp_path: Path, told: str, file: Path, **asked: Any) -> None:
    """An import fails for a reason, and nothing is left."""
    out = tmp_path / "results" / "out"
    with pytest.raises(BundleError) as error:
        import_keras(file, out, **{"classes": PETS, "scaling": "-1..1", **asked})
    assert told in str(error.value)
    assert left(out.parent) == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"classes": None}, "say them with --classes"),
        ({"scaling": None}, "say it with --scaling"),
        ({"scaling": "0-1"}, "expected one of: -1..1 (x / 127.5 - 1"),
        ({"policy": "zoom"}, "expected squash, crop or pad"),
        ({"outputs": "scores"}, "expected probabilities or logits"),
        ({"size": 5000}, "expected 32 to 1024"),
        ({"classes": ["cat"]}, "fewer than two"),
        ({"classes": ["cat", "cat"]}, "one twice"),
        ({"classes": ["cat", " "]}, "an empty one"),
        ({"classes": ["cat", "unknown"]}, "kept for photos of no class"),
        ({"classes": ["cat", "d\nog"]}, "cannot be printed"),
    ],
)
def test_what_is_stated_wrongly(
    two_classes: Path, tmp_path: Path, asked: dict[str, Any], told: str
) -> None:
    (tmp_path / "results").mkdir()
    with pytest.raises(BundleError) as error:
        import_keras(
            two_classes, tmp_path / "out", **{"classes": PETS, "scaling": "-1..1", **asked}
        )
    assert told in str(error.value)
    assert left(tmp_path) == ["results"]


def test_classes_that_an_export_has_not(export: Path, tmp_path: Path) -> None:
    refused(tmp_path, "labels.txt has 3 (Cat, Dog, No pet)", export)


def test_what_names_code_is_refused_before_keras_sees_it(
    rewritten: Callable[..., Path], tmp_path: Path
) -> None:
    def change(network: dict[str, Any]) -> None:
        network["config"]["layers"][-1] |= {"class_name": "system", "module": "os"}

    refused(tmp_path, "is a system of os, which is no stock layer", rewritten(change))


def test_a_process_that_takes_too_long_is_ended(two_classes: Path, tmp_path: Path) -> None:
    refused(tmp_path, "longer than 0.05 seconds", two_classes, limits=Limits(seconds=0.05))


def test_a_process_that_needs_too_much_memory_is_ended(
    rewritten: Callable[..., Path], tmp_path: Path
) -> None:
    numbers = np.random.default_rng(0).integers(0, 10**9, 2_000_000)
    path = rewritten(config__json=json.dumps(numbers.tolist()).encode())
    refused(tmp_path, "the 0.1 GiB of memory", path, limits=Limits(memory=2**26 + 2**25))


def test_ctrl_c_leaves_nothing(two_classes: Path, tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("temporary", "results")]
    for place in places:
        place.mkdir()
    code = "from pawprint.cli import main; main()"
    asked = [two_classes, "--classes", "cat,dog", "--scaling=-1..1", "--out", places[1] / "out"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "import", *map(str, asked)],
        env={**os.environ, "TMPDIR": str(places[0])},
        stderr=subprocess.PIPE,
    )
    begun = psutil.Process(process.pid)
    try:
        # Not while NumPy writes the file, which forgets what is raised there.
        wait_for(lambda: any(places[0].glob("*/carry/probe.npy")) and begun.children())
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, told) == (130, b"pawprint: error: interrupted\n")
    assert [left(place) for place in places] == [[], []]


def wait_for(there: Callable[[], object]) -> None:
    """Wait until something is so."""
    for _ in range(3000):
        if there():
            return
        time.sleep(0.02)
    pytest.fail("it never came")


# What comes back is not taken on trust


@pytest.fixture
def handed(run: Run) -> Handed:
    """What a process would have left of the run's own network."""
    tried = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    classifier = Classifier(run.path)
    given = np.stack([classifier.measure(pixels)[0] for pixels in tried])
    onnx, keras = ((run.model / name).read_bytes() for name in ("model.onnx", "model.keras"))
    return Handed(onnx, keras, given, given[:16])


def test_a_bundle_that_answers_otherwise_is_refused(run: Run, handed: Handed) -> None:
    pixels = list(np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8))
    assert compare(run.model, handed, Tried(pixels)).largest_difference < 1e-6
    for name in ("given", "keras_given"):
        other = getattr(handed, name).copy()
        other[3] += (0.002, -0.002)
        changed = Handed(**{**vars(handed), name: other})
        with pytest.raises(BundleError, match=r"differs from the original network by 0\.0020"):
            compare(run.model, changed, Tried(pixels))
    swapped = Handed(**{**vars(handed), "given": handed.given[:, ::-1]})
    with pytest.raises(BundleError, match=r"model\.onnx differs"):
        compare(run.model, swapped, Tried(pixels))


def test_only_what_was_asked_for_is_taken(run: Run, handed: Handed, tmp_path: Path) -> None:
    def leave() -> None:
        (tmp_path / "model.keras").unlink(missing_ok=True)  # which may be a link
        (tmp_path / "model.onnx").write_bytes(handed.onnx)
        (tmp_path / "model.keras").write_bytes(handed.keras)
        np.save(tmp_path / "given.npy", handed.given)
        np.save(tmp_path / "keras.npy", handed.keras_given)

    leave()
    assert handed_back(tmp_path, 20, 2).onnx == handed.onnx
    for name, put in {
        "no usable model.onnx": lambda: (tmp_path / "model.onnx").unlink(),
        "no usable model.keras": lambda: _link(tmp_path / "model.keras", run.model / "model.keras"),
        "no usable given.npy": lambda: np.save(
            tmp_path / "given.npy", np.array([{}]), allow_pickle=True
        ),
        "another keras.npy": lambda: np.save(tmp_path / "keras.npy", np.zeros((16, 3))),
        "no number": lambda: np.save(tmp_path / "given.npy", handed.given * np.nan),
        "no ONNX": lambda: (tmp_path / "model.onnx").write_bytes(b"\xff" * 99),
        "no Keras": lambda: (tmp_path / "model.keras").write_bytes(b"PK"),
    }.items():
        put()
        with pytest.raises(BundleError, match=name):
            handed_back(tmp_path, 20, 2)
        leave()


def _link(path: Path, to: Path) -> None:
    path.unlink()
    path.symlink_to(to)


def test_onnx_that_does_more_than_compute(handed: Handed) -> None:
    import onnx

    def changed(change: Callable[[Any], None]) -> bytes:
        model = onnx.load_from_string(handed.onnx)
        change(model)
        return bytes(model.SerializeToString())

    def outside(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/hostname")

    def foreign(model: Any) -> None:
        model.graph.node[0].domain = "mine"

    check_onnx(handed.onnx)
    for change in (outside, foreign):
        with pytest.raises(BundleError, match="more than compute"):
            check_onnx(changed(change))


def test_keras_with_code_in_it(handed: Handed, tmp_path: Path, rewritten: Any) -> None:
    def change(network: dict[str, Any]) -> None:
        network["config"]["layers"][-1]["class_name"] = "Lambda"

    check_keras(handed.keras)
    with pytest.raises(BundleError, match="is a Lambda"):
        check_keras(rewritten(change).read_bytes())
    path = rewritten()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/x", b"")
    with pytest.raises(BundleError, match="more in it"):
        check_keras(path.read_bytes())
