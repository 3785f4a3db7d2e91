"""What the user gives: a Keras file, or an export of Teachable Machine as a folder or a zip."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pawprint.data.wording import os_reason, shown
from pawprint.errors import BundleError
from pawprint.importer.look import DAMAGED, MOST_BYTES

NETWORK, LABELS = "keras_model.h5", "labels.txt"
_MOST_LABELS = 2**20
_LABEL = re.compile(r"\s*(\d+)\s+(.*\S)\s*")
_PIECE = 2**20


@dataclass(frozen=True)
class Given:
    """A copy of what was given.

    Args:
        name: of the file, as the user knows it.
        copy: the copied network.
        sha256: of the copied network.
        labels: the classes that an export of Teachable Machine tells; None for a plain file.
    """

    name: str
    copy: Path
    sha256: str
    labels: tuple[str, ...] | None = None


def take(path: Path, copy: Path) -> Given:
    """Copy a network out of what the user gives; that itself is only read.

    Args:
        path: a `.keras` or `.h5` file, or a folder or zip with `keras_model.h5` and `labels.txt`.
        copy: where to.

    Returns:
        What there is.

    Raises:
        BundleError: there is no such thing, or it is too large.
    """
    told = shown(str(path))
    try:
        if path.is_dir():
            network, labels = path / NETWORK, path / LABELS
            if not network.is_file() or not labels.is_file():
                raise BundleError(
                    f"{told} is a folder without {NETWORK} and {LABELS}; expected a .keras or .h5 "
                    "file, or an export of Teachable Machine (as Keras)"
                )
            with network.open("rb") as file, labels.open("rb") as text:
                digest = _copy(file, copy, told)
                return Given(path.name or "export", copy, digest, _labels(text, told))
        if not stat.S_ISREG(path.stat().st_mode):
            raise BundleError(f"{told} is a pipe or device; expected a .keras or .h5 file")
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04" and (found := _in_zip(path, copy, told)) is not None:
                return found
            file.seek(0)
            return Given(path.name, copy, _copy(file, copy, told))
    except FileNotFoundError:
        raise BundleError(
            f"{told} does not exist; give a .keras or .h5 file, or an export of Teachable Machine"
        ) from None
    except (OSError, ValueError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "no name of a file"
        raise BundleError(f"{told} cannot be read ({reason})") from None


def _in_zip(path: Path, copy: Path, told: str) -> Given | None:
    """The network of a zipped export; None where the zip is something else, such as a .keras."""
    try:
        with zipfile.ZipFile(path) as archive:
            by_name: dict[str, list[str]] = {}
            for name in archive.namelist():
                by_name.setdefault(name.rpartition("/")[2], []).append(name)
            if NETWORK not in by_name or LABELS not in by_name:
                return None
            if len(by_name[NETWORK]) > 1 or len(by_name[LABELS]) > 1:
                raise BundleError(f"{told} has several networks; unpack it and give one folder")
            with archive.open(by_name[NETWORK][0]) as file:
                digest = _copy(file, copy, told)
            with archive.open(by_name[LABELS][0]) as text:
                return Given(path.name, copy, digest, _labels(text, told))
    except DAMAGED as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise BundleError(f"{told} is damaged ({why}); take an intact copy") from None


def _copy(file: IO[bytes], copy: Path, told: str) -> str:
    digest, total = hashlib.sha256(), 0
    if not isinstance(file, zipfile.ZipExtFile):
        total = os.fstat(file.fileno()).st_size  # told now rather than after the copying
    if total <= MOST_BYTES:
        total = 0
        with copy.open("wb") as out:
            while total <= MOST_BYTES and (piece := file.read(_PIECE)):
                total += len(piece)
                digest.update(piece)
                out.write(piece)
    if total > MOST_BYTES:
        raise BundleError(
            f"{told} has more than {MOST_BYTES:,} bytes, which no image classifier needs; it is "
            "not opened"
        )
    return digest.hexdigest()


def _labels(file: IO[bytes], told: str) -> tuple[str, ...]:
    """The classes of an export: a line for each, its number and its name."""
    try:
        lines = file.read(_MOST_LABELS).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BundleError(f"{LABELS} in {told} is no text; take an intact copy") from None
    found = []
    for number, line in enumerate(line for line in lines if line.strip()):
        match = _LABEL.fullmatch(line)
        if match is None or int(match[1]) != number:
            raise BundleError(
                f"{LABELS} in {told} has {shown(line)!r} as line {number + 1}; expected "
                f"'{number} NAME'"
            )
        found.append(match[2])
    return tuple(found)
