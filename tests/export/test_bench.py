"""Speeds: what is found and measured, and what is said of what cannot be. No time is judged."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pawprint.errors import BundleError, PawprintError
from pawprint.export.bench import Speed, measure, subjects
from pawprint.export.export import VERIFICATION, Exported
from pawprint.export.runtimes import opened
from pawprint.export.stated import Stated

ROUNDS, BATCH = 2, 5

Export = Callable[..., Exported]


def changed(folder: Path, **facts: object) -> None:
    """Say something else in an export's `verification.json`."""
    path = folder / VERIFICATION
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | facts), "utf-8")


@pytest.fixture(scope="module")
def place(kept: Path, export: Export, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose bundle has exports, whole ones and others."""
    run = tmp_path_factory.mktemp("bench") / "my rün"
    shutil.copytree(kept, run / "model")
    exports = run / "exports"
    onnx = shutil.copytree(export("onnx").folder, exports / "onnx")
    served = shutil.copytree(export("openvino").folder, exports / "openvino-model-server")
    (served / "1").mkdir()
    for end in ("xml", "bin"):
        (served / f"model.{end}").rename(served / "1" / f"model.{end}")
    changed(served, file="1/model.xml")
    changed(shutil.copytree(onnx, exports / "of-another"), model="0" * 64)
    damaged = shutil.copytree(onnx, exports / "damaged") / "model.onnx"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    (shutil.copytree(onnx, exports / "gone") / "model.onnx").unlink()
    changed(shutil.copytree(onnx, exports / "outside"), file="../onnx/model.onnx")
    (shutil.copytree(onnx, exports / "scribbled") / VERIFICATION).write_text("{", "utf-8")
    changed(shutil.copytree(onnx, exports / "later"), format="a later one")
    shutil.copytree(onnx, exports / ".half-written")
    (exports / "something else").mkdir()
    return run


@pytest.fixture(scope="module")
def speeds(place: Path) -> list[Speed]:
    """All of that run, measured once."""
    return measure(subjects([place]), seconds=0.1, batch=BATCH, rounds=ROUNDS)


def test_a_run_is_its_bundle_and_each_export_once(place: Path) -> None:
    found = subjects([place, place / "model", place / "exports" / "onnx"])
    names = [one.folder.name for one in found]
    whole = ["onnx", "openvino-model-server"]
    faulty = ["damaged", "gone", "later", "outside", "scribbled"]
    assert names == ["model", *sorted([*faulty, "of-another", *whole])]
    assert [one.folder.name for one in found if one.other] == ["of-another"]
    served = found[names.index("openvino-model-server")]
    sizes = sum((served.folder / "1" / f"model.{end}").stat().st_size for end in ("xml", "bin"))
    assert (served.format, served.precision, served.bytes) == ("openvino", "float32", sizes)
    assert (found[0].format, found[0].bytes) == (
        "bundle",
        (place / "model" / "model.onnx").stat().st_size,
    )


def test_all_that_runs_has_its_figures_the_fastest_first(speeds: list[Speed], place: Path) -> None:
    good = [one for one in speeds if one.error is None]
    assert speeds[: len(good)] == good
    assert {Path(one.folder).name: one.format for one in good} == {
        "model": "bundle",
        "onnx": "onnx",
        "of-another": "onnx",
        "openvino-model-server": "openvino",
    }
    assert [one.p50_ms for one in good] == sorted(one.p50_ms or 0 for one in good)
    runtimes = {"bundle": "OpenVINO ", "onnx": "ONNX Runtime ", "openvino": "OpenVINO "}
    for one in good:
        assert 0 < (one.p50_ms or 0) <= (one.p90_ms or 0) <= (one.p99_ms or 0)
        assert (one.load_seconds or 0) > 0
        assert (one.photos_per_second or 0) > 0
        assert min(one.calls, one.batches) >= ROUNDS
        assert one.batch == BATCH
        assert one.mirror
        assert (one.runtime or "").startswith(runtimes[str(one.format)])
    assert [Path(one.folder).name for one in good if one.other_model] == ["of-another"]


def test_what_cannot_be_measured_is_told_with_its_reason(speeds: list[Speed]) -> None:
    reasons = {Path(one.folder).name: one.error for one in speeds if one.error is not None}
    assert set(reasons) == {"damaged", "gone", "later", "outside", "scribbled"}
    assert "measuring failed: its process ended with code 1" in str(reasons["damaged"])
    assert "model.onnx cannot be read (no such file or directory)" in str(reasons["gone"])
    assert "outside its folder, ../onnx/model.onnx" in str(reasons["outside"])
    for name in ("later", "scribbled"):
        assert "is not as pawprint export writes it; export again" in str(reasons[name])
    for one in speeds:
        if one.error is not None:
            assert (one.p50_ms, one.photos_per_second, one.calls) == (None, None, 0)


def test_a_changed_bundle_is_no_end_of_its_exports(place: Path, tmp_path: Path) -> None:
    run = shutil.copytree(place, tmp_path / "run")
    with (run / "model" / "model.onnx").open("ab") as file:
        file.write(b"!")
    first, *others = subjects([run])
    assert "was changed after it was written" in str(first.fault)
    assert {one.folder.name: one.other for one in others}["onnx"] is False


def test_beside_a_bundle_only_what_was_made_of_it_is_its_own(
    kept: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(kept, tmp_path / "pets")
    shutil.copytree(place / "exports" / "onnx", tmp_path / "pets-onnx")
    shutil.copytree(place / "exports" / "of-another", tmp_path / "pets-2-onnx")
    assert [one.folder for one in subjects([tmp_path / "pets"])] == [
        tmp_path / "pets",
        tmp_path / "pets-onnx",
    ]
    monkeypatch.chdir(tmp_path / "pets")
    assert [one.folder.resolve().name for one in subjects(["."])] == ["pets", "pets-onnx"]


def test_a_model_without_exports_is_told_what_to_type(
    kept: Path, tmp_path: Path, listener: Any
) -> None:
    model = shutil.copytree(kept, tmp_path / "my pets" / "model").parent
    (alone,) = subjects([model], progress=listener)
    assert alone.folder == model / "model"
    (said,) = listener.said
    assert f"pawprint export '{model}' --format onnx" in said


def test_what_is_neither_run_nor_bundle_nor_export_is_an_error(place: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no pawprint.json.*, or the folder of an export"):
        subjects([place, tmp_path])
    with pytest.raises(BundleError, match="is not a folder"):
        subjects([place / "exports" / "onnx" / "model.onnx"])


def test_a_runtime_that_is_not_installed_is_named(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime.py").write_text(
        "raise ModuleNotFoundError('no such package', name='onnxruntime')", "utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PawprintError, match=r"nothing could be measured\. .*needs onnxruntime"):
        measure(subjects([place / "exports" / "onnx"]), seconds=0.01, batch=1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux' own counting")
def test_memory_is_not_that_of_the_process_that_asks(place: Path) -> None:
    mine = np.ones(50_000_000)  # which Linux counts in its children too
    (found,) = measure(subjects([place / "exports" / "onnx"]), seconds=0.01, batch=1, rounds=1)
    assert found.memory_mb is not None
    assert 20 < found.memory_mb < 0.75 * mine.nbytes / 1e6


@pytest.mark.parametrize(
    ("format", "where"),
    [("bundle", "model"), ("openvino", "exports/openvino-model-server/1/model.xml")],
)
def test_many_photos_at_once_are_answered_as_each_alone(
    format: str, where: str, place: Path
) -> None:
    said, predict = opened(format, place / where)
    side = Stated.model_validate_json(said).preprocessing.size
    photos = np.random.default_rng(0).integers(0, 256, (11, side, side, 3), np.uint8)
    photos[::2] //= 4  # that they be answered variously
    together = predict(photos)
    alone = [predict(photo[np.newaxis]) for photo in photos]
    for name, values in together.items():
        assert np.unique(values[:, 0]).size > len(photos) / 2
        assert np.abs(values - np.vstack([one[name] for one in alone])).max() < 1e-5
