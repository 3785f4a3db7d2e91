"""Files that are looked at before Keras opens them."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pawprint.errors import BundleError
from pawprint.importer import look as looking
from pawprint.importer.files import take
from pawprint.importer.look import look

h5py = pytest.importorskip("h5py")


def refused(path: Path, told: str, size: int | None = None) -> None:
    """A file is not taken, and the reason says so."""
    with pytest.raises(BundleError) as error:
        look(str(path), str(path.parent / "clean"), size)
    assert told in str(error.value)


def test_a_stock_file_becomes_a_clean_copy(two_classes: Path, tmp_path: Path) -> None:
    before = two_classes.read_bytes()
    found = look(str(two_classes), str(tmp_path / "clean"), None)
    assert found["size"] == 64
    assert found["keras"].startswith("3.")
    with zipfile.ZipFile(found["file"]) as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        assert json.loads(archive.read("config.json"))["class_name"] == "Functional"
    assert two_classes.read_bytes() == before


def test_an_export_is_read_and_not_changed(export: Path, tmp_path: Path) -> None:
    before = (export / "keras_model.h5").read_bytes()
    found = look(str(export / "keras_model.h5"), str(tmp_path / "clean"), 224)
    assert (found["size"], found["keras"]) == (224, "2.4.0")
    with h5py.File(found["file"]) as file:
        assert "training_config" not in file.attrs
        network = json.loads(file.attrs["model_config"])["config"]["layers"][1]["config"]
    inside = {layer["config"]["name"]: layer for layer in network["layers"][1]["config"]["layers"]}
    assert "groups" not in inside["expanded_conv_depthwise"]["config"]
    assert inside["bn_Conv1"]["config"]["axis"] == 3
    assert (export / "keras_model.h5").read_bytes() == before


def test_files_that_are_none(tmp_path: Path, two_classes: Path) -> None:
    path = tmp_path / "file.keras"
    for data, told in ((b"", "is empty"), (b"\x80\x04N.", "neither a zip")):
        path.write_bytes(data)
        refused(path, told)
    data = two_classes.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused(path, "it is damaged")
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    path.write_bytes(damaged)
    refused(path, "it is damaged")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat.jpg", b"")
    refused(path, "without config.json")


def test_what_becomes_much_larger_is_not_unpacked(rewritten: Callable[..., Path]) -> None:
    refused(rewritten(model__weights__h5=bytes(200 * 2**20)), "would become 209,715,200 bytes")
    refused(rewritten(config__json=b" " * 2**27), "not unpacked")


def test_descriptions_that_are_none(rewritten: Callable[..., Path]) -> None:
    refused(rewritten(config__json=b"{"), "no JSON")
    refused(rewritten(config__json=b"[" * 100_000), "no JSON")

    def change(network: dict[str, Any]) -> None:
        network["config"]["layers"][1]["module"] = ["keras.layers"]

    refused(rewritten(change), "damaged")


def test_hdf5_that_reaches_elsewhere_or_is_larger_than_it_is(tmp_path: Path) -> None:
    def write(add: Callable[[Any], Any]) -> Path:
        path = tmp_path / "file.h5"
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = "{}"
            add(file)
        return path

    def twice(file: Any) -> None:
        file["a"] = np.zeros(3)
        file["b"] = file["a"]

    virtual = h5py.VirtualLayout((3,), "f4")
    virtual[:] = h5py.VirtualSource("other.h5", "a", (3,))
    cases: dict[str, Callable[[Any], Any]] = {
        "a link to elsewhere": lambda file: file.update({"a": h5py.ExternalLink("/x.h5", "a")}),
        "lies in another file": lambda file: file.create_dataset(
            "a", (3,), "f4", external=[("/etc/hostname", 0, 12)]
        ),
        "'/v' in it lies in another": lambda file: file.create_virtual_dataset("v", virtual),
        "would become more than": lambda file: file.create_dataset("a", (2**20, 2**20), "f4"),
        "stands there twice": twice,
        "no array of numbers that": lambda file: file.create_dataset(
            "a", data=np.zeros(3), compression="lzf"
        ),
    }
    for told, add in cases.items():
        refused(write(add), told)


def test_hdf5_without_a_network(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
    refused(path, "only weights")
    path.write_bytes(path.read_bytes()[:300])
    refused(path, "damaged")


@pytest.mark.parametrize(
    ("shape", "size", "told"),
    [
        ([None, 64, 64, 1], None, "pictures of 1 channels"),
        ([None, 3, 64, 64], None, "pictures of 64 channels"),
        ([None, 64, 96, 3], None, "photos of 96 x 64 px; only squares"),
        ([None, None, None, 3], None, "say with --size"),
        ([None, 64, 64, 3], 96, "photos of 64 x 64 px and --size says 96"),
        ([None, 16, 16, 3], None, "expected 32 to 1024"),
    ],
)
def test_photos_that_are_none_to_take(
    rewritten: Callable[..., Path], shape: list[Any], size: int | None, told: str
) -> None:
    def change(network: dict[str, Any]) -> None:
        network["config"]["layers"][0]["config"]["batch_shape"] = shape

    refused(rewritten(change), told, size)


# What the user gives


def test_an_export_whose_packed_bytes_are_broken_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "export.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("keras_model.h5", b"a network" * 100)
        archive.writestr("labels.txt", "0 Cat\n1 Dog\n")
    data = bytearray(file.read_bytes())
    start = data.index(b"keras_model.h5") + len("keras_model.h5")
    data[start : start + 8] = b"\xff" * 8
    file.write_bytes(data)
    with pytest.raises(BundleError, match=r"export\.zip is damaged \(Error -3 .*intact copy"):
        take(file, tmp_path / "copy")


def test_an_export_as_a_folder_and_zipped(export: Path, tmp_path: Path) -> None:
    zipped = Path(shutil.make_archive(str(tmp_path / "my export"), "zip", export.parent))
    one, other = (take(path, tmp_path / "copy") for path in (export, zipped))
    assert one.labels == other.labels == ("Cat", "Dog", "No pet")
    assert one.sha256 == other.sha256
    assert (one.name, other.name) == ("converted_keras", "my export.zip")


@pytest.mark.parametrize("text", ["Cat\nDog\n", "1 Cat\n2 Dog\n", "0 Cat\n\n2 Dog\n"])
def test_labels_that_are_not_numbered(export: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "export").mkdir()
    shutil.copy(export / "keras_model.h5", tmp_path / "export")
    (tmp_path / "export" / "labels.txt").write_text(text, "utf-8")
    with pytest.raises(BundleError, match=r"expected '\d NAME'"):
        take(tmp_path / "export", tmp_path / "copy")


def test_nothing_to_take(tmp_path: Path) -> None:
    for path, told in (
        (tmp_path, "folder without keras_model.h5"),
        (tmp_path / "no.keras", "does not exist"),
        (Path("/dev/null"), "a pipe or device"),
    ):
        with pytest.raises(BundleError, match=told):
            take(path, tmp_path / "copy")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "file.h5").open("wb") as file:
        file.truncate(looking.MOST_BYTES + 1)
    with pytest.raises(BundleError, match="no image classifier needs"):
        take(tmp_path / "file.h5", tmp_path / "copy")
