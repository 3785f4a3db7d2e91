"""The trained model on disk: `model.onnx`, `model.keras` and `pawprint.json`, sealed by hashes.

A bundle is written whole or not at all, and a bundle of which any byte changed is refused. Opening
one needs neither Keras nor the training code, and runs no code from it.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pawprint import starter
from pawprint.data.images import VERSION as DECODING_VERSION
from pawprint.data.images import Preprocessing
from pawprint.errors import BundleError, OutputError

SCHEMA = 1
CARD, ONNX, KERAS = "pawprint.json", "model.onnx", "model.keras"

_SEAL = re.compile(rb'("seal": ")([0-9a-f]{64})(")')
_ARGUMENT = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)  # of a docstring

_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_FileName = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f]+$")]  # nothing outside the folder


class FileFacts(BaseModel):
    """What a file of the bundle must be.

    Args:
        sha256: of its bytes, in hexadecimal digits.
        bytes: how many.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: _Digest
    bytes: int = Field(ge=0)


class Unknown(BaseModel):
    """From where on a photo is said to be of no class.

    Args:
        threshold: the novelty, an output of the network, above which no answer is given,
        refuses: the part of photos like those that judged the model that this refuses,
        photos: set on so many of them,
        refused: of which so many are above it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = 1.0
    refuses: float = Field(gt=0, lt=1)
    photos: int
    refused: int


class Card(BaseModel):
    """What `pawprint.json` says: all that is needed to answer as the model was trained.

    Args:
        schema_version: of this file's form.
        classes: names, in the order of the network's outputs.
        preprocessing: how a photo becomes pixels.
        decoding: the version of the rules for that.
        threshold: with two classes, the probability of the second from which it is the answer.
        mirror: whether an answer is the mean over a photo and its mirror image.
        temperature: what the logits are divided by.
        unknown: when a photo is of no class; None where every photo is answered.
        metrics: figures on the held-out photos; for people, further ones may come.
        training: what it was made from: recipe, backbone, the dataset's fingerprint and counts;
            for people, as the figures.
        versions: of the software that made it, by name.
        created: when, in UTC, ISO 8601.
        files: every other file of the bundle, by name.
        seal: SHA-256 of this file with these 64 digits as zeros.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = Field(default=SCHEMA, json_schema_extra={"const": SCHEMA})
    classes: tuple[str, ...] = Field(min_length=2)
    preprocessing: Preprocessing
    decoding: int = Field(default=DECODING_VERSION, ge=1)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    mirror: bool = False
    temperature: float = Field(default=1.0, gt=0)
    unknown: Unknown | None = None
    metrics: dict[str, Any]
    training: dict[str, Any]
    versions: dict[str, str]
    created: str
    files: dict[_FileName, FileFacts] = Field(
        default={}, json_schema_extra={"required": [ONNX, KERAS], "additionalProperties": False}
    )
    seal: _Digest = "0" * 64


def schema() -> dict[str, Any]:
    """The JSON schema of `pawprint.json`, in the words of `Card`; docs/bundle.schema.json.

    >>> schema()["properties"]["temperature"]["description"]
    'what the logits are divided by.'
    """
    made = Card.model_json_schema()
    parts = {"Card": made, **made["$defs"]}
    for model in (Card, Preprocessing, Unknown, FileFacts):
        part, told = parts[model.__name__], inspect.getdoc(model) or ""
        part["description"] = told.partition("\n\n")[0]
        part["required"] = list(part["properties"])  # all are written, defaults too
        for name, words in _ARGUMENT.findall(told):
            field = part["properties"][name]
            field["description"] = " ".join(words.split())
            for needless in ("title", "default"):
                field.pop(needless, None)
    made["title"] = f"{CARD}, schema version {SCHEMA}"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def write(
    folder: Path, card: Card, onnx: bytes, keras_model: Any, texts: Mapping[str, str] | None = None
) -> Path:
    """Write a bundle.

    Args:
        folder: where; must not exist.
        card: what to say of it; files and seal are filled in here.
        onnx: the ONNX network.
        keras_model: the Keras model.
        texts: further files, for people, by name.

    Returns:
        The folder.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    with whole_folder(folder) as partial:
        (partial / ONNX).write_bytes(onnx)
        keras_model.save(partial / KERAS)
        for name, text in (texts or {}).items():
            (partial / name).write_text(text, "utf-8")
        files = {
            name: _facts((partial / name).read_bytes()) for name in (ONNX, KERAS, *(texts or {}))
        }
        listed = card.model_copy(update={"files": files}).model_dump_json(indent=2)
        (partial / CARD).write_bytes(_sealed(listed.encode()))
    return folder


def read(folder: str | os.PathLike[str]) -> tuple[Card, bytes]:
    """Open a bundle after checking every byte of it.

    Args:
        folder: a bundle, or a run's folder with a bundle in `model/`.

    Returns:
        The card, and the ONNX network's bytes.

    Raises:
        BundleError: there is none, a file is missing or changed, or a newer version wrote it.
    """
    path = find(folder)
    card_path = path / CARD
    text = _bytes_of(card_path)
    if len(_SEAL.findall(text)) != 1 or _sealed(text) != text:
        raise BundleError(
            f"{card_path} was changed after it was written (its seal does not fit); train again or "
            "take an intact copy"
        )
    try:
        card = Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(
            f"{card_path} is not one that this version reads ({where}: {first['msg']}); a newer "
            "pawprint may have written it: update pawprint"
        ) from None
    if (card.schema_version, card.decoding) != (SCHEMA, DECODING_VERSION):
        newer = card.schema_version > SCHEMA or card.decoding > DECODING_VERSION
        made_by = card.versions.get("pawprint", "another version")
        raise BundleError(
            f"{card_path} has form {card.schema_version} and decoding {card.decoding}, this "
            f"pawprint knows {SCHEMA} and {DECODING_VERSION}; "
            + ("update pawprint" if newer else f"train again, or use {made_by}")
        )
    if not {ONNX, KERAS} <= set(card.files):
        raise BundleError(f"{card_path} does not list {ONNX} and {KERAS}; take an intact copy")
    contents: dict[str, bytes] = {}
    for name, facts in card.files.items():
        contents[name] = _bytes_of(path / name)
        if _facts(contents[name]) != facts:
            raise BundleError(
                f"{path / name} was changed after it was written (size or SHA-256 differs from "
                f"{CARD}); train again or take an intact copy"
            )
    return card, contents[ONNX]


def find(folder: str | os.PathLike[str]) -> Path:
    """The bundle's folder, given it or its run's folder.

    >>> find("starter").parts[-3:]
    ('pawprint', 'starter', 'bundle')

    Args:
        folder: either; or `starter` for the bundle that comes with pawprint, unless one here is
            called so.

    Raises:
        BundleError: there is no bundle at either.
    """
    given = Path(folder)
    places = [given, given / "model"]
    if os.fspath(folder) == starter.NAME:
        places.append(starter.BUNDLE)
    for path in places:
        try:
            if (path / CARD).is_file():
                return path
        except OSError as error:
            raise BundleError(f"{path} cannot be read ({error.strerror})") from None
    what = "has no pawprint.json" if given.is_dir() else "is not a folder"
    raise BundleError(
        f"{given} {what}; expected a bundle or a run, such as runs/NAME that pawprint train wrote"
    )


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Fill a folder under a temporary name beside its own, and rename it once it is whole.

    >>> with tempfile.TemporaryDirectory() as place:
    ...     with whole_folder(Path(place) / "out") as partial:
    ...         _ = (partial / "note.txt").write_text("done")
    ...     (Path(place) / "out" / "note.txt").read_text()
    'done'

    Args:
        folder: the final name; must not exist, unless as an empty folder.

    Returns:
        A context; its folder is removed again when an exception leaves it.

    Raises:
        OutputError: the folder exists, or the place cannot be written.
    """
    partial = _partial_beside(folder)
    try:
        yield partial
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o777 & ~mask)  # mkdtemp's folders are for their owner alone
        check_free(folder)
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(
            f"{folder} could not be written ({error.strerror or error}); nothing was left there"
        ) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check_writable(folder: Path) -> None:
    """Fail now rather than after the work: try what `whole_folder` will do.

    Raises:
        OutputError: the folder exists, or the place cannot be written.
    """
    partial = _partial_beside(folder)
    try:
        partial.rename(folder) if folder.exists() else partial.rmdir()
    except OSError as error:  # an empty folder that may not be replaced: a mount, the current one
        partial.rmdir()
        raise OutputError(
            f"{folder} exists and cannot be replaced ({error.strerror}); name one inside it"
        ) from None


def _partial_beside(folder: Path) -> Path:
    check_free(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}-", dir=folder.parent))
    except OSError as error:
        raise OutputError(
            f"{folder.parent} cannot be written ({error.strerror}); choose another place with --out"
        ) from None


def check_free(folder: Path) -> None:
    """Make sure that nothing would be replaced.

    Raises:
        OutputError: the folder exists and is not empty, or is a file.
    """
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise OutputError(f"{folder} cannot be looked at ({error.strerror})") from None
    if taken:
        raise OutputError(
            f"{folder} exists already and is not replaced; name another with --out, or remove it"
        )


def _facts(data: bytes) -> FileFacts:
    return FileFacts(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _sealed(text: bytes) -> bytes:
    """The text with the seal that it should have: every other byte counts."""
    zeros = _SEAL.sub(rb"\g<1>" + b"0" * 64 + rb"\g<3>", text)
    seal = hashlib.sha256(zeros).hexdigest().encode()
    return _SEAL.sub(rb"\g<1>" + seal + rb"\g<3>", text)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path} is missing; take a whole copy of the bundle") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror})") from None
