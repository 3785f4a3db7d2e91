"""A whole export: tried before it has its name, refused where it answers otherwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pawprint.errors import BundleError, OutputError, PawprintError, SourceError
from pawprint.evaluation.intervals import wilson_interval
from pawprint.export import onnx_file
from pawprint.export.export import Exported, export_model
from pawprint.export.formats import FORMATS, Format, Material
from pawprint.export.layouts import LAYOUTS
from pawprint.export.runtimes import opened
from pawprint.export.stated import Stated
from pawprint.export.verification import TOLERANCES, ClassChange, Share, Verification
from pawprint.training.run import Run

# An export


def test_an_export_has_all_that_its_user_needs(export: Callable[..., Exported]) -> None:
    exported = export("onnx")
    names = {path.name for path in exported.folder.iterdir()}
    assert {"model.onnx", "README.md", "labels.txt", "verification.json"} <= names
    assert (exported.folder / "labels.txt").read_text("utf-8") == "blue\nrosé\n"
    told = json.loads((exported.folder / "verification.json").read_text("utf-8"))
    assert told["labels"]["count"] == told["labels"]["of"] == 60
    assert 0 < told["largest_difference"] < 1e-5
    assert told["bytes"] == exported.file.stat().st_size
    assert told["runtime"].startswith("ONNX Runtime ")
    # The photos are of blue, green and red; green and red are no classes of the model.
    assert told["before"]["of"] == told["after"]["of"] == 20
    assert [one["label"] for one in told["classes"]] == ["blue"]


def test_photos_held_out_of_the_run_are_taken_unless_others_are_named(
    run: Run, tmp_path: Path
) -> None:
    exported = export_model(run.path, "openvino", out=tmp_path / "out", most=5)
    assert exported.verification.photos == f"5 photos held out of {run.path.name}"
    assert exported.verification.after is not None
    assert exported.verification.after.of == 5


def test_the_photo_that_set_the_limit_of_novelty_counts_as_the_same(
    run: Run, tmp_path: Path
) -> None:
    """It lies on the limit, and on which side of it is rounding's choice."""
    found = export_model(run.path, "onnx", out=tmp_path / "out").verification
    assert found.labels.count == found.labels.of == run.figures.count
    assert found.unknown is not None
    assert found.unknown.count == found.unknown.of


def test_int8_is_calibrated_on_the_training_photos_of_the_run(run: Run, tmp_path: Path) -> None:
    # LiteRT, as what it answers in 8 bits does not go by the processor.
    exported = export_model(run.path, "litert", precision="int8", out=tmp_path / "out")
    assert exported.verification.novelty_difference is None
    text = (exported.folder / "README.md").read_text("utf-8")
    assert "cannot tell that a photo is of no class" in text
    assert "novelty" not in text.split("## ")[1]


def test_without_the_mirror_image_it_is_held_to_the_model_without(
    kept: Path, photos: Path, tmp_path: Path
) -> None:
    exported = export_model(kept, "onnx", mirror=False, verify_on=str(photos), out=tmp_path / "one")
    assert exported.verification.largest_difference < 1e-5
    names = {node.name for node in onnx.load(exported.file).graph.node}
    assert not any("mirrored" in name for name in names)


# A broken export


def broken(how: Callable[[onnx.ModelProto], None]) -> Format:
    """ONNX, but for a fault that is put into the file."""

    def write(material: Material, path: Path) -> None:
        model = onnx.load_from_string(onnx_file.network(material.onnx, material.about))
        how(model)
        path.write_bytes(model.SerializeToString())

    return replace(FORMATS["onnx"], write=write)


def constant(model: onnx.ModelProto, name: str) -> Any:
    return next(each for each in model.graph.initializer if each.name == name)


def with_other_scaling(model: onnx.ModelProto) -> None:
    """As if 0 to 1 went in, where the network was trained on -1 to 1."""
    scale = constant(model, "scale")
    half = numpy_helper.to_array(scale) / 2
    scale.CopyFrom(numpy_helper.from_array(half, "scale"))
    offset = constant(model, "offset")
    offset.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(offset)), "offset"))


def with_swapped_channels(model: onnx.ModelProto) -> None:
    """Blue, green and red, as OpenCV has them."""
    node = next(node for node in model.graph.node if node.op_type == "Cast")
    order = numpy_helper.from_array(np.array([2, 1, 0]), "order")
    model.graph.initializer.append(order)
    swap = onnx.helper.make_node("Gather", [node.input[0], "order"], ["swapped"], axis=3)
    node.input[0] = "swapped"
    place = list(model.graph.node).index(node)
    model.graph.node.insert(place, swap)


def saying(change: Callable[[dict[str, Any]], None]) -> Callable[[onnx.ModelProto], None]:
    """Something else said of itself."""

    def fault(model: onnx.ModelProto) -> None:
        prop = next(prop for prop in model.metadata_props if prop.key == "pawprint")
        about = json.loads(prop.value)
        change(about)
        prop.value = json.dumps(about)

    return fault


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (with_other_scaling, "a probability differs by"),
        (with_swapped_channels, "a probability differs by"),
        (saying(lambda it: it["preprocessing"].update(policy="squash")), "a probability differs"),
        (saying(lambda it: it.update(threshold=0.9)), "another threshold"),
        (saying(lambda it: it.update(classes=["rosé", "blue"])), "another classes"),
        (saying(lambda it: it.update(decoding=2)), "decoding 2"),
        (saying(lambda it: it.update(unknown_above=1e9)), "another unknown_above"),
        (saying(lambda it: it.update(threshold=0.22)), "another threshold"),
    ],
)
def test_a_broken_export_is_refused_and_leaves_nothing(
    fault: Callable[[onnx.ModelProto], None],
    told: str,
    kept: Path,
    tinted: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "exports" / "onnx"
    with pytest.raises(PawprintError, match=told):
        export_model(kept, broken(fault), verify_on=str(tinted), out=out)
    assert not out.parent.exists()


def test_a_file_that_takes_another_size_is_refused(
    kept: Path, tinted: Path, tmp_path: Path
) -> None:
    fault = saying(lambda it: it["preprocessing"].update(size=96))
    with pytest.raises(PawprintError, match="trying the export to onnx failed"):
        export_model(kept, broken(fault), verify_on=str(tinted), out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# What is refused before any work


def test_a_bundle_that_lies_alone_needs_photos_to_be_named(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="--verify SOURCE"):
        export_model(kept, "onnx", out=tmp_path / "out")


def test_int8_of_a_bundle_that_lies_alone_needs_photos_to_calibrate(
    kept: Path, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="--calibrate SOURCE"):
        export_model(kept, "onnx", precision="int8", verify_on=str(photos), out=tmp_path / "out")


def test_photos_that_are_gone_are_told(run: Run, tmp_path: Path) -> None:
    own = shutil.copytree(run.path, tmp_path / "run")
    record = json.loads((own / "run.json").read_text("utf-8"))
    record["from"] = str(tmp_path / "gone")
    (own / "run.json").write_text(json.dumps(record), "utf-8")
    with pytest.raises(SourceError, match=r"gone' does not exist.*--verify SOURCE"):
        export_model(own, "onnx")
    assert not (own / "exports").exists()


def test_a_format_without_the_precision_names_those_with(kept: Path) -> None:
    with pytest.raises(PawprintError, match="keras is not written in int8; onnx, litert, openvino"):
        export_model(kept, "keras", precision="int8")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"format": "tflite"}, "no format 'tflite'; expected onnx, litert"),
        ({"format": "onnx", "layout": "seldon"}, "no layout 'seldon'; expected tf-serving"),
    ],
)
def test_what_is_not_known_is_told(asked: dict[str, str], told: str, kept: Path) -> None:
    with pytest.raises(PawprintError, match=told):
        export_model(kept, **asked)


def test_h5_cannot_carry_the_mirror_image(kept: Path) -> None:
    with pytest.raises(PawprintError, match=r"--format keras.*--no-mirror"):
        export_model(kept, "h5")


def test_nothing_is_replaced(kept: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        export_model(kept, "onnx", verify_on=str(photos), out=tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


# Servers


@pytest.mark.parametrize(
    ("layout", "format", "file"),
    [
        ("triton", "onnx", "1/model.onnx"),
        ("openvino-model-server", "openvino", "1/model.xml"),
    ],
)
def test_a_layout_is_the_folder_that_a_server_expects(
    layout: str, format: str, file: str, kept: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "my pets"
    exported = export_model(kept, format, layout=layout, verify_on=str(photos), out=out)
    assert exported.file == out / file
    assert exported.file.is_file()
    assert LAYOUTS[layout].start_of("my pets") in (out / "README.md").read_text("utf-8")
    assert (out / "config.pbtxt").is_file() == (layout == "triton")
    if layout == "triton":
        text = (out / "config.pbtxt").read_text("utf-8")
        assert "my" not in text  # without a name in it, the folder's is the model's
        assert 'label_filename: "labels.txt"' in text
        assert (out / "labels.txt").is_file()
    said, _ = opened(format, exported.file)
    assert Stated.model_validate_json(said).classes == ("blue", "rosé")


def test_a_server_that_does_not_serve_the_format_says_which_it_does(kept: Path) -> None:
    with pytest.raises(PawprintError, match="tf-serving serves savedmodel, not onnx"):
        export_model(kept, "onnx", layout="tf-serving")


# Photos that are no longer what they were, or say little


def test_photos_that_were_changed_are_counted(
    run: Run, photos: Path, listener: Any, tmp_path: Path
) -> None:
    own = shutil.copytree(run.path, tmp_path / "run")
    source = shutil.copytree(photos, tmp_path / "photos")
    record = json.loads((own / "run.json").read_text("utf-8"))
    record["from"] = str(source)
    (own / "run.json").write_text(json.dumps(record), "utf-8")
    for path in source.glob("cat/*.jpg"):
        path.write_bytes(path.read_bytes() + b"0")
    found = export_model(own, "openvino", progress=listener).verification
    lost = run.figures.count - found.labels.of
    assert 0 < lost < run.figures.count
    assert f"({lost} more are gone, changed or unreadable)" in found.photos
    assert any(f"; {lost} more are gone, changed" in line for line in listener.said)


def test_photos_that_are_all_answered_alike_are_told_of(
    kept: Path, tinted: Path, listener: Any, tmp_path: Path
) -> None:
    same = tmp_path / "photos"
    for label in ("blue", "rosé"):
        (same / label).mkdir(parents=True)
        for number, path in enumerate(sorted((tinted / "blue").iterdir())[:1] * 3):
            shutil.copy(path, same / label / f"{number}.png")
    export_model(kept, "openvino", verify_on=same, out=tmp_path / "out", progress=listener)
    assert any("nearly alike" in line for line in listener.said)


def share_of(count: int, of: int) -> Share:
    return Share(count, of, wilson_interval(count, of))


def test_a_class_that_is_lost_is_a_fault_though_few_labels_differ() -> None:
    lost = ClassChange("rare", share_of(10, 10), share_of(0, 10))
    found = Verification(
        photos="1,000 photos",
        labels=share_of(995, 1000),
        never_unknown=None,
        spread=1.0,
        largest_difference=0.9,
        mean_difference=0.01,
        novelty_difference=None,
        unknown=None,
        before=share_of(990, 1000),
        after=share_of(985, 1000),
        classes=(lost,),
        milliseconds=1.0,
        runtime="none",
        tolerance=TOLERANCES["int8"],
    )
    assert found.faults == ["0 of 10 photos of rare are right, 10 were"]
    assert replace(found, classes=()).faults == []
    assert len(replace(found, classes=(), labels=share_of(980, 1000)).faults) == 1


def test_modules_beside_the_photos_are_not_run(
    kept: Path, tinted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino.py").write_text("raise SystemExit('run')", "utf-8")
    monkeypatch.chdir(tmp_path)
    export_model(kept, "openvino", verify_on=tinted, out="out")
    assert (tmp_path / "out" / "model.xml").is_file()


def test_a_model_is_found_where_one_stands_in_it(
    kept: Path, tinted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(kept, tmp_path / "pets" / "own")
    monkeypatch.chdir(tmp_path / "pets" / "own")
    exported = export_model(".", "openvino", verify_on=tinted)
    assert exported.folder == tmp_path / "pets" / "own-openvino"
