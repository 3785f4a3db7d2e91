"""Which photos a folder or a list names, one after the other, on any file system."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pyarrow import parquet

from pawprint.data.layout import IGNORED_NAMES, PHOTO_SUFFIXES, SPLIT_NAMES
from pawprint.data.wording import os_reason, shown
from pawprint.errors import SourceError
from pawprint.parts.addresses import has_key, is_address
from pawprint.parts.listing import Input
from pawprint.parts.places import Place, place

LISTS = (".txt", ".csv", ".jsonl", ".parquet")
_DEEPEST = 64  # folders within folders; deeper ones go round in circles
_ROWS = 4096  # of a Parquet list that are in memory at once
_BYTES = 2**20  # of any list, likewise

_Parts = tuple[str, ...]
_Label = Callable[[_Parts], tuple[str | None, str | None]]


def inputs_of(source: Place, *, labelled: bool = False) -> Iterator[Input]:
    """List a folder or read a list, without holding all of it: only the names in one folder.

    Args:
        source: a folder, searched through in order of names; or a list: `.txt` (a path a line),
            `.csv` or `.jsonl` (with `path`, maybe `label` and `split`), or `.parquet` with such
            columns. Paths are relative to the list, or addresses.
        labelled: say of a folder's photos which class folder, and which split, they are in.

    Returns:
        What is to be answered for; folders that cannot be read and names that cannot be written
        down too, with their errors.

    Raises:
        SourceError: there is no such source, or it cannot be read.
    """
    try:
        if is_list(source):
            yield from _listed(source, os.path.splitext(source.path)[1].lower())
            return
        kind = source.kind()
        if kind == "folder":
            yield from _below(source, _labels(source) if labelled else lambda parts: (None, None))
            return
    except OSError as error:
        raise SourceError(f"{source} cannot be read ({os_reason(error)})") from error
    if kind == "file":
        raise SourceError(
            f"{source} is neither a folder nor a list; expected a folder, or a list that ends in "
            f"{', '.join(LISTS)} (unpack an archive first)"
        )
    raise SourceError(f"{source} is not there")


def is_list(source: Place) -> bool:
    """Whether a source is a list, and not a folder.

    Raises:
        OSError: nobody can say.
    """
    return os.path.splitext(source.path)[1].lower() in LISTS and source.kind() == "file"


def opener(source: Place, *, listed: bool) -> Callable[[str], Place]:
    """What finds the photos of a source by the paths that its inputs have.

    Args:
        source: a folder, or a list, whether or not it is still there.
        listed: which of the two.
    """
    if listed:
        source = source.parent

    def find(path: str) -> Place:
        if is_address(path):
            return place(path)
        if source.is_local:
            return Place(os.path.join(source.path, path))
        return source / path

    return find


def _below(top: Place, label_of: _Label) -> Iterator[Input]:
    """The photos in a folder and in all folders in it."""
    todo: list[tuple[_Parts, frozenset[tuple[int, int]]]] = [((), frozenset())]
    while todo:
        parts, above = todo.pop()
        folder = _inner(top, parts)
        try:
            identity = _identity(folder)
            entries = folder.entries()
        except OSError as error:
            if not parts:
                raise
            reason = f"it is a folder that cannot be read ({os_reason(error)})"
            yield _writable(Input("/".join(parts), error=reason))
            continue
        if identity in above:
            continue  # a link back to a folder that it is in
        inner = [(*parts, name) for name, is_folder in entries if is_folder and not _junk(name)]
        for name, is_folder in entries:
            if not is_folder and not _junk(name) and _is_photo(name):
                label, split = label_of((*parts, name))
                yield _writable(Input("/".join((*parts, name)), label, split))
        if len(parts) < _DEEPEST:
            todo += [(name, above | {identity}) for name in reversed(inner)]
        else:
            deep = f"it is over {_DEEPEST} folders deep"
            yield from (_writable(Input("/".join(name), error=deep)) for name in inner)


def _inner(top: Place, parts: _Parts) -> Place:
    return top / "/".join(parts) if parts else top


def _identity(folder: Place) -> tuple[int, int]:
    """What a folder is, however it was reached; of stores without links nothing."""
    if not folder.is_local:
        return (0, hash(folder.path))
    status = os.stat(folder.local)
    return (status.st_dev, status.st_ino)


def _junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED_NAMES


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES


def _writable(one: Input) -> Input:
    """An input whose names are text; names that are none are faults."""
    try:
        "".join(filter(None, (one.path, one.label))).encode()
    except UnicodeEncodeError:
        reason = one.error or "its name is not UTF-8; rename it"
        return Input(shown(one.path), error=reason)
    return one


def _labels(top: Place) -> _Label:
    """Which class and split a photo's folders give it, as `data/layout.py` has it."""
    base: _Parts = ()
    while True:
        entries = _inner(top, base).entries()
        names = [name for name, is_folder in entries if is_folder and not _junk(name)]
        splits = {name: SPLIT_NAMES[name.lower()] for name in names if name.lower() in SPLIT_NAMES}
        asked = names if len(names) == 1 else splits
        nested = [name for name in asked if _has_folders(_inner(top, (*base, name)))]
        if "train" in splits.values() and len(splits) > 1:
            inside = [splits[name] for name in nested if name in splits]
            if len(splits) == len(names) or ("train" in inside and len(inside) > 1):
                break
        splits = {}
        if len(names) != 1 or not nested:
            break
        base = (*base, *names)

    def label_of(parts: _Parts) -> tuple[str | None, str | None]:
        inner = parts[len(base) :] if parts[: len(base)] == base else ()
        if splits:
            known = len(inner) > 2 and inner[0] in splits
            return (inner[1], splits[inner[0]]) if known else (None, None)
        return (inner[0] if len(inner) > 1 else None, None)

    return label_of


def _has_folders(folder: Place) -> bool:
    return any(is_folder and not _junk(name) for name, is_folder in folder.entries())


def digest_of_list(source: Place) -> str:
    """SHA-256 of a list's bytes, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    found = hashlib.sha256()
    with source.filesystem.open_input_stream(source.path) as stream:
        while some := stream.read(_BYTES):
            found.update(some)
    return found.hexdigest()


def _listed(source: Place, suffix: str) -> Iterator[Input]:
    """The lines of a list."""
    if suffix == ".parquet":
        yield from _of_rows(source, enumerate(_rows_of_parquet(source), 1))
        return
    with source.filesystem.open_input_stream(source.path) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", newline="" if suffix == ".csv" else None)
        rows = {".txt": _rows_of_text, ".csv": _rows_of_csv, ".jsonl": _rows_of_json}[suffix](text)
        try:
            yield from _of_rows(source, rows)
        except (ValueError, RecursionError, csv.Error) as error:
            advice = "; expected UTF-8" if isinstance(error, UnicodeError) else ""
            raise SourceError(
                f"{source} is no list that can be read ({shown(str(error)[:120])}){advice}"
            ) from None


_Rows = Iterator[tuple[int, Any]]  # each with the number of its line


def _rows_of_text(text: io.TextIOWrapper) -> _Rows:
    for number, line in enumerate(text, 1):
        if line.strip():
            yield number, {"path": line.rstrip("\n")}


def _rows_of_csv(text: io.TextIOWrapper) -> _Rows:
    reader = csv.DictReader(text)
    for row in reader:
        yield reader.line_num, row  # the last, of a row of several


def _rows_of_json(text: io.TextIOWrapper) -> _Rows:
    for number, line in enumerate(text, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number:,} is no JSON: {error.msg}") from None


def _rows_of_parquet(source: Place) -> Iterator[Any]:
    try:
        file = parquet.ParquetFile(source.reading())
    except ValueError as error:  # ArrowInvalid
        raise SourceError(f"{source} is no Parquet file ({shown(str(error)[:120])})") from None
    columns = [name for name in ("path", "label", "split") if name in file.schema_arrow.names]
    for batch in file.iter_batches(_ROWS, columns=columns):
        yield from batch.to_pylist()


def _of_rows(source: Place, rows: _Rows) -> Iterator[Input]:
    for number, row in rows:
        path = row.get("path") if isinstance(row, Mapping) else None
        if not isinstance(path, str) or not path:
            raise SourceError(
                f"{source} has no path in line {number:,}; expected a column (of .jsonl: a key) "
                "`path`, and maybe `label` and `split`"
            )
        if has_key(path):
            raise SourceError(
                f"{source} has a key in the address in line {number:,}, which would stand in all "
                "results; give keys by the environment variables of the store"
            )
        label, split = _text(row.get("label")), _text(row.get("split"))
        if split is not None and split.strip().lower() not in SPLIT_NAMES:
            raise SourceError(
                f"{source} has the split {shown(split)} in line {number:,}; expected train, "
                "validation or test"
            )
        given = Input(path, label, split and SPLIT_NAMES[split.strip().lower()])
        yield _writable(given)


def _text(value: object) -> str | None:
    """A value of a list as text; None where there is none. The number 0 is one."""
    return None if value is None else str(value).strip() or None
