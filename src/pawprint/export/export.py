"""A bundle exported: written, tried, explained, and only then given its name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pawprint import bundle, starter
from pawprint.classifier import Classifier
from pawprint.data.images import Pixels
from pawprint.data.wording import shown
from pawprint.errors import BundleError, PawprintError
from pawprint.export import photos as chosen
from pawprint.export import readme
from pawprint.export.formats import FORMATS, Format, Material
from pawprint.export.layouts import LABELS, LAYOUTS, Layout
from pawprint.export.photos import Photos
from pawprint.export.stated import Precision, Stated, stated
from pawprint.export.verification import Verification, verify
from pawprint.progress import SILENT, Progress
from pawprint.report.run_files import RunFiles, read_run

PHOTOS = 1000  # that an export is tried on, unless said otherwise
VERIFICATION = "verification.json"
_VERIFY, _CALIBRATE = "--verify", "--calibrate"
_SUFFIXES: dict[str, str] = {"float32": "", "float16": "-fp16", "int8": "-int8"}
_MEMORY = 2**30  # bytes of pixels that are held at once, at most
_LITTLE = 0.05  # between the lowest and the highest probability of a class
_CALIBRATION = 200  # photos that ranges are taken from: more changed little

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Exported:
    """An export.

    Args:
        folder: where it is.
        file: in it, the model; for `savedmodel` a folder.
        format: of the model.
        precision: of its weights.
        bytes: of the model's files.
        verification: what came of trying it.
    """

    folder: Path
    file: Path
    format: str
    precision: Precision
    bytes: int
    verification: Verification

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain numbers, strings, lists and dicts, ready for JSON."""
        return {
            "format": self.format,
            "precision": self.precision,
            "file": self.file.relative_to(self.folder).as_posix(),
            "bytes": self.bytes,
            **self.verification.to_dict(),
        }


def export_model(
    model: str | os.PathLike[str],
    format: str | Format,
    *,
    precision: Precision = "float32",
    out: str | os.PathLike[str] | None = None,
    verify_on: str | os.PathLike[str] | None = None,
    calibrate_on: str | os.PathLike[str] | None = None,
    layout: str | None = None,
    mirror: bool = True,
    most: int = PHOTOS,
    progress: Progress = SILENT,
) -> Exported:
    """Write a bundle in another format, and hold it to the bundle before handing it over.

    Args:
        model: a run or a bundle.
        format: `onnx`, `litert`, `openvino`, `savedmodel`, `keras` or `h5`.
        precision: `float16` halves the file, `int8` quarters it and computes in 8 bits.
        out: the folder to write; by default beside the model.
        verify_on: the source of photos to try it on; by default those held out of the run.
        calibrate_on: for `int8`, the source of photos that ranges are taken from; by default those
            that the run was trained on.
        layout: `tf-serving`, `triton` or `openvino-model-server`, to write it as these expect.
        mirror: whether a model that answers by the mean with the mirror image is to do so; without
            it takes half the time, and is compared with what the model answers without.
        most: photos to try it on.
        progress: where to show how it goes.

    Returns:
        The export.

    Raises:
        BundleError: there is no bundle, or the export does not answer as it does.
        SourceError: there are no photos to try it on, or to take ranges from.
        OutputError: the folder exists, or cannot be written.
        MissingExtra: what writes the format or runs it is not installed.
        PawprintError: the format has no such precision or layout, or cannot carry the model.
    """
    wanted = _known("format", FORMATS, format) if isinstance(format, str) else format
    _known("precision", _SUFFIXES, precision)
    shape = None if layout is None else _layout(layout, wanted)
    if precision not in wanted.precisions:
        can = ", ".join(name for name, one in FORMATS.items() if precision in one.precisions)
        raise PawprintError(f"{wanted.name} is not written in {precision}; {can} are")
    classifier = Classifier(model)
    if not mirror:
        classifier.card = classifier.card.model_copy(update={"mirror": False})
    elif classifier.card.mirror and wanted.name == "h5":
        raise PawprintError(
            "this model answers by the mean with the mirror image, which h5, Keras' old format, "
            "cannot carry; take --format keras, or leave the mirror image out with --no-mirror"
        )
    place = _named(classifier.path)
    ending = _SUFFIXES[precision] + "-no-mirror" * (not mirror)
    folder = Path(out) if out is not None else _beside(place, wanted, layout, ending)
    run = _run_of(place)
    with _wanted(folder):
        with progress.step("Choosing photos", None):
            tried, squares = _chosen(_VERIFY, classifier, run, verify_on, most, progress)
            calibration = None
            if precision == "int8":
                asked = (_CALIBRATE, classifier, run, calibrate_on, _CALIBRATION)
                calibration = np.stack(_chosen(*asked, progress)[1])
        about = stated(classifier.card, wanted.name, precision)
        _, onnx = bundle.read(classifier.path)
        with bundle.whole_folder(folder) as partial:
            file = partial / (shape.places[wanted.name] if shape else wanted.file)
            file.parent.mkdir(exist_ok=True)
            with progress.step(f"Writing {wanted.name}", None):
                wanted.write(Material(classifier.path, onnx, about, calibration), file)
            with progress.step(f"Trying {wanted.name}", None):
                found = verify(classifier, about, str(file), tried, squares)
            exported = Exported(partial, file, wanted.name, precision, wanted.size(file), found)
            _explain(exported, about, classifier, shape, folder.absolute().name)
    if found.spread < _LITTLE:
        progress.say(
            "the model answers all these photos nearly alike, so that they show little of whether "
            "the export answers as it does; try it on others with --verify SOURCE"
        )
    return replace(exported, folder=folder, file=folder / file.relative_to(partial))


@contextmanager
def _wanted(folder: Path) -> Iterator[None]:
    """Know now that a folder can be written; where it is not, none is left that was to hold it.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    above = folder.parent
    new = not above.exists()
    bundle.check_writable(folder)
    try:
        yield
    except BaseException:
        if new:
            with suppress(OSError):
                above.rmdir()
        raise


def _explain(
    exported: Exported, about: Stated, classifier: Classifier, shape: Layout | None, name: str
) -> None:
    """Write what stands beside the file: how it was tried, and how it is used."""
    folder, knows = exported.folder, classifier.card.unknown is not None
    created = datetime.now(UTC).isoformat(timespec="seconds")
    told = {**exported.to_dict(), "created": created, "model": classifier.card.seal}
    start = shape.start_of(name) if shape else ""
    texts = {
        VERIFICATION: json.dumps(told, indent=2) + "\n",
        LABELS: "".join(f"{label}\n" for label in about.classes),
        **readme.files(about, exported, knows=knows, start=start),
    }
    for file, text in texts.items():
        (folder / file).write_text(text, "utf-8", newline="\n")
    if shape:
        shape.configure(folder, about)


def _known(what: str, things: Mapping[str, Thing], name: str) -> Thing:
    """What is known by a name.

    Raises:
        PawprintError: nothing is.
    """
    if name not in things:
        raise PawprintError(f"there is no {what} {name!r}; expected {', '.join(things)}")
    return things[name]


def _layout(name: str, format: Format) -> Layout:
    """The layout that is asked for.

    Raises:
        PawprintError: there is none, or it does not serve the format.
    """
    found = _known("layout", LAYOUTS, name)
    if format.name not in found.places:
        raise PawprintError(
            f"{name} serves {' and '.join(found.formats)}, not {format.name}; leave out --format, "
            f"or give --format {found.formats[0]}"
        )
    return found


def _named(path: Path) -> Path:
    """A path that ends with the name of what it leads to: not `.` or `..`."""
    return path if path.name not in ("", "..") else Path(os.path.abspath(path))


def _beside(path: Path, format: Format, layout: str | None, ending: str) -> Path:
    """Where an export goes unless somebody says: into `exports` of a run, or beside a bundle.

    The starter's go into the current folder.
    """
    usual = layout is None or LAYOUTS[layout].formats[0] == format.name
    name = f"{layout or format.name}{'' if usual else f'-{format.name}'}{ending}"
    if path == starter.BUNDLE:
        return Path(f"{starter.NAME}-{name}")
    if path.name == "model":
        return _named(path.parent) / "exports" / name
    return path.with_name(f"{path.name}-{name}")


def _run_of(path: Path) -> RunFiles | None:
    """The run that a bundle lies in; None where it lies alone."""
    folder = _named(path.parent)
    return read_run(folder) if (folder / "run.json").is_file() else None


def _chosen(
    option: str,
    classifier: Classifier,
    run: RunFiles | None,
    source: str | os.PathLike[str] | None,
    most: int,
    progress: Progress,
) -> tuple[Photos, list[Pixels]]:
    """The photos of a source or, without one, of the run, and their pixels as the bundle sees them.

    Args:
        option: of the command line, that names the source: what the photos are for.
    """
    preprocessing = classifier.card.preprocessing
    most = min(most, _MEMORY // (3 * preprocessing.size**2))
    if source is not None:
        photos = chosen.of_source(os.fspath(source), classifier.classes, most, progress)
    elif run is not None:
        photos = (chosen.held_out if option == _VERIFY else chosen.trained_on)(run, most)
    else:
        raise BundleError(
            f"{shown(str(classifier.path))} lies in no run, whose photos would do; name photos "
            f"with {option} SOURCE"
        )
    return chosen.pixels(photos, preprocessing, progress, option)
