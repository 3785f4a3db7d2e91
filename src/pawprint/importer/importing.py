"""A stock Keras classifier brought in as a bundle, from the file to the verified folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pawprint import bundle, isolation
from pawprint.classifier import UNKNOWN
from pawprint.data.images import Preprocessing
from pawprint.data.wording import shown
from pawprint.errors import BundleError, PawprintError
from pawprint.importer import scalings
from pawprint.importer.agreement import Agreement, compare, photos_to_try, write_probe
from pawprint.importer.files import Given, take
from pawprint.importer.handed_back import Handed, handed_back
from pawprint.isolation import Limits
from pawprint.progress import SILENT, Progress

LIMITS = Limits()
_LOOK, _CARRY = "pawprint.importer.look:look", "pawprint.importer.network:carry_over"
# Of an export of Teachable Machine, whatever its classes.
_ITS_SIZE, _ITS_SCALING, _ITS_POLICY = 224, "-1..1", "crop"


@dataclass(frozen=True)
class Imported:
    """A network that was brought in.

    Args:
        path: the bundle.
        card: what it says.
        agreement: how it answers, beside the original.
        network: what the process that opened it told: `kind`, `layers`, `weights` and more.
        guards: the limits that were in force then.
        notes: what else is to be told.
    """

    path: Path
    card: bundle.Card
    agreement: Agreement
    network: dict[str, Any]
    guards: tuple[str, ...]
    notes: tuple[str, ...]


def import_keras(
    file: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    size: int | None = None,
    scaling: str | None = None,
    policy: str | None = None,
    outputs: str = "probabilities",
    verify: str | os.PathLike[str] | None = None,
    limits: Limits = LIMITS,
    progress: Progress = SILENT,
) -> Imported:
    """Bring in a stock Keras classifier as a bundle that answers as it does.

    The file is opened in processes of their own, with limits. Nothing stands under the final name
    before the bundle, opened as users will, was held against the original.

    Args:
        file: a `.keras` or `.h5` file with a whole network, or a Keras export of Teachable Machine,
            as a folder or zip.
        out: the bundle's folder; must not exist.
        classes: names, in the order of the outputs; an export tells them.
        size: height and width of photos in pixels, where the network takes any.
        scaling: how pixels are scaled before the network: a name in `scalings.SCALINGS`.
        policy: as of `Preprocessing`; by default `squash`, of an export `crop`.
        outputs: `probabilities`, or `logits` of a network that ends without activation.
        verify: labelled photos, as of `evaluate`; up to 200 are answered by both, and where the
            labels are the classes, accuracy is measured.
        limits: for each process.
        progress: where to show how it goes.

    Returns:
        What was brought in.

    Raises:
        BundleError: the file is not stock, cannot be translated, is not what was stated, or the
            bundle does not agree with it.
        OutputError: the place cannot be written.
        SourceError: the photos of `verify` cannot be used.
    """
    path, folder = Path(file), Path(out)
    if outputs not in ("probabilities", "logits"):
        raise BundleError(f"--outputs {outputs!r} is not known; expected probabilities or logits")
    bundle.check_writable(folder)
    with tempfile.TemporaryDirectory(prefix="pawprint-") as temporary:
        # A folder for each process, so that none finds what another left.
        first, second, made = (Path(temporary) / name for name in ("look", "carry", "bundle"))
        first.mkdir()
        second.mkdir()
        given = take(path, first / "given")
        stated = _Stated.of(given, classes, size, scaling, policy)
        with progress.step("Looking at the file", None):
            seen = _look(first, given, stated, limits)
        preprocessing = Preprocessing(size=seen["size"], policy=stated.policy)
        tried = photos_to_try(preprocessing, verify, progress)
        write_probe(second, tried)
        asked = {
            "file": seen["file"],
            "place": str(second),
            "size": preprocessing.size,
            "scaling": stated.scaling,
            "classes": list(stated.classes),
            "logits": outputs == "logits",
        }
        with progress.step("Carrying it over", None):
            told = _isolated(_CARRY, asked, given, limits, second)
        handed = handed_back(second, len(tried.pixels), len(stated.classes))
        card = _card(given, stated, preprocessing, outputs, seen, told)
        with progress.step("Comparing the answers", None):
            agreement = compare(bundle.write(made, card, handed.onnx, handed), handed, tried)
        verified = card.training | {"verified": agreement.to_dict()}
        _hand_over(folder, card.model_copy(update={"training": verified}), handed)
    notes = (*seen["notes"], *agreement.notes)
    guards = tuple(map(str, told["guards"]))
    return Imported(folder, bundle.read(folder)[0], agreement, told, guards, notes)


@dataclass(frozen=True)
class _Stated:
    """What is known of a network besides itself."""

    classes: tuple[str, ...]
    size: int | None
    scaling: str
    policy: Any

    @classmethod
    def of(
        cls,
        given: Given,
        classes: Sequence[str] | None,
        size: int | None,
        scaling: str | None,
        policy: str | None,
    ) -> _Stated:
        """Put together what the user says and what an export tells."""
        if given.labels is not None:
            if classes is not None and len(classes) != len(given.labels):
                raise BundleError(
                    f"--classes has {len(classes)} names and the export's labels.txt has "
                    f"{len(given.labels)} ({', '.join(given.labels[:9])}); leave --classes out"
                )
            classes = given.labels if classes is None else classes
            scaling, policy = scaling or _ITS_SCALING, policy or _ITS_POLICY
            size = size or _ITS_SIZE
        if classes is None:
            raise BundleError(
                f"{given.name} does not tell its classes; say them with --classes, in the order of "
                "its outputs, such as --classes cat,dog"
            )
        if scaling is None:
            known = ", ".join(scalings.SCALINGS)
            raise BundleError(
                f"{given.name} does not tell how pixels are scaled before the network; say it with "
                f"--scaling, one of {known} (0..255 where the network scales them itself)"
            )
        if policy not in (None, "squash", "crop", "pad"):
            raise BundleError(f"--policy {policy!r} is not known; expected squash, crop or pad")
        if size is not None and not 32 <= size <= 1024:
            raise BundleError(f"--size {size} is out of range; expected 32 to 1024")
        _check_classes(classes)
        name = scalings.find(scaling).name
        return cls(tuple(classes), size, name, policy or "squash")


def _check_classes(classes: Sequence[str]) -> None:
    faults = {
        "fewer than two": len(classes) < 2,
        "an empty one": any(not name.strip() for name in classes),
        "one twice": len(set(classes)) < len(classes),
        f"{UNKNOWN!r}, which is kept for photos of no class": UNKNOWN in classes,
        "one that cannot be printed": any(not name.isprintable() for name in classes),
    }
    for fault, found in faults.items():
        if found:
            raise BundleError(
                f"the classes {', '.join(map(repr, classes))} have {fault}; expected a name for "
                "each output, such as --classes cat,dog"
            )


def _look(place: Path, given: Given, stated: _Stated, limits: Limits) -> dict[str, Any]:
    """What the first process finds, and the copy that it makes for the second."""
    clean = place / "clean"
    asked = {"given": str(given.copy), "clean": str(clean), "size": stated.size}
    seen = _isolated(_LOOK, asked, given, limits, place)
    file = clean.with_suffix(".h5" if str(seen["file"]).endswith(".h5") else ".keras")
    return {
        "size": _whole(seen, "size"),
        "file": str(file),
        "keras": shown(str(seen["keras"])),
        "notes": [shown(str(note)) for note in seen["notes"]],
    }


def _isolated(
    entry: str, asked: dict[str, Any], given: Given, limits: Limits, place: Path
) -> dict[str, Any]:
    try:
        found = isolation.run(
            entry, asked, what=f"importing {shown(given.name)}", limits=limits, place=place
        )
    except PawprintError as error:
        raise BundleError(str(error)) from None
    wanted = {"keras", "guards"} | ({"file", "size", "notes"} if entry == _LOOK else {"layers"})
    lists = [found.get(name, []) for name in ("guards", "notes")] if isinstance(found, dict) else []
    if not isinstance(found, dict) or not wanted <= set(found) or not _all_lists(lists):
        raise BundleError(f"importing {given.name} failed: its process gave nonsense")
    return found


def _all_lists(values: list[Any]) -> bool:
    return all(isinstance(value, list) for value in values)


def _whole(found: dict[str, Any], name: str) -> int:
    value = found.get(name)
    if type(value) is not int:
        raise BundleError(f"the process that opened the file gave {value!r} as {name}")
    return value


def _card(
    given: Given,
    stated: _Stated,
    preprocessing: Preprocessing,
    outputs: str,
    seen: dict[str, Any],
    told: dict[str, Any],
) -> bundle.Card:
    """What the bundle says of itself: nothing was measured, and nothing is known of the photos."""
    return bundle.Card(
        classes=stated.classes,
        preprocessing=preprocessing,
        metrics={},
        training={
            "imported_from": given.name,
            "sha256": given.sha256,
            "written_by_keras": seen["keras"],
            "scaling": stated.scaling,
            "outputs": outputs,
            "layers": _whole(told, "layers"),
            "weights": _whole(told, "weights"),
            "notes": seen["notes"],
        },
        versions={"pawprint": metadata.version("pawprint"), "keras": shown(str(told["keras"]))},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _hand_over(folder: Path, card: bundle.Card, handed: Handed) -> None:
    """Write the verified bundle under its final name, whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="pawprint-") as temporary:
        made = bundle.write(Path(temporary) / "bundle", card, handed.onnx, handed)
        with bundle.whole_folder(folder) as partial:
            for path in made.iterdir():
                shutil.copyfile(path, partial / path.name)
            bundle.read(partial)
