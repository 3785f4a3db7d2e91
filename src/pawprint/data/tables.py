"""Tables of photos: a .csv or .jsonl file with a path and a label, and maybe a split, a line.

```
path,label,split
photos/1.jpg,cat,train
```

Paths are relative to the table's folder. Columns may have other usual names and any order, and
further columns do not matter.
"""

from __future__ import annotations

import csv
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pawprint.data.archives import NO_FILE, Limits
from pawprint.data.layout import SPLIT_NAMES, Found, Skipped, SourcePhoto, check_splits
from pawprint.data.wording import os_reason, shown
from pawprint.errors import SourceError

SUFFIXES = (".csv", ".jsonl")
_NAMES = {
    "path": ("path", "file", "filename", "file_name", "filepath", "image", "image_path"),
    "label": ("label", "class", "class_name", "category"),
    "split": ("split", "subset"),
}
_SPLITS = SPLIT_NAMES | {"training": "train", "testing": "test"}
_MAX_FAULTS = 10
_MAX_LINE = 2**20
_EXPECTED = "expected a path and a label a line, under a line `path,label` or `path,label,split`"

_Row = tuple[int, dict[str, Any]]


@dataclass
class _Faults:
    """What is wrong with a table, line by line."""

    table: str
    found: list[str] = field(default_factory=list)

    def add(self, line: int, what: str) -> None:
        self.found.append(f"line {line:,}: {what}")

    def check(self) -> None:
        if not self.found:
            return
        count = len(self.found)
        listed = "; ".join(self.found[:_MAX_FAULTS])
        more = f"; and {count - _MAX_FAULTS:,} more" if count > _MAX_FAULTS else ""
        many = "a fault" if count == 1 else f"{count:,} faults"
        raise SourceError(f"{shown(self.table)} has {many}: {listed}{more}; {_EXPECTED}")


def read_table(table: str, limits: Limits, group_by: str = "") -> Found:
    """Read which photos a table names, each with its class, split and group.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.jpg", "b.jpg"):
    ...         size = pathlib.Path(folder, name).write_bytes(b"a photo")
    ...     table = pathlib.Path(folder, "pets.csv")
    ...     size = table.write_text("file,class\\na.jpg,cat\\nb.jpg,dog\\n")
    ...     photos, skipped = read_table(str(table), Limits())
    >>> [photo.label for photo in photos], skipped
    (['cat', 'dog'], [])

    Args:
        table: a .csv or .jsonl file, in UTF-8.
        limits: `members` caps its lines.
        group_by: a column; photos with the same value there are a group.

    Returns:
        The photos that are there, and those that are not.

    Raises:
        SourceError: the table cannot be read or has faults, all of them told, or names no photos
            of two classes.
    """
    faults = _Faults(table)
    named: dict[str, tuple[int, SourcePhoto]] = {}
    skipped: list[Skipped] = []
    for line, row in _rows(table, limits, faults):
        photo = _photo(table, line, row, faults, group_by.strip().lower())
        if photo is None:
            continue
        place = os.path.normpath(photo.path)
        first, same = named.setdefault(place, (line, photo))
        if first == line:
            continue
        for what in ("label", "split", "group"):
            one, other = getattr(same, what), getattr(photo, what)
            if one != other:
                words = f"{what} {shown(str(other))}, and in line {first:,} {shown(str(one))}"
                faults.add(line, f"{shown(photo.path)} has {words}; keep one")
        if (same.label, same.split, same.group) == (photo.label, photo.split, photo.group):
            skipped.append(Skipped(photo.path, f"in line {line:,} as in line {first:,}"))
    _check_given(named.values(), faults)
    faults.check()
    photos = []
    for line, photo in named.values():
        if reason := _absent(photo.path):
            skipped.append(Skipped(photo.path, f"{reason} (line {line:,})"))
        else:
            photos.append(photo)
    return _checked(table, photos, skipped)


def _rows(table: str, limits: Limits, faults: _Faults) -> Iterator[_Row]:
    try:
        with open(table, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = _lines(table, file, limits)
            if table.lower().endswith(".csv"):
                yield from _csv_rows(table, lines, faults)
            else:
                yield from _json_rows(lines, faults)
    except OSError as error:
        raise SourceError(f"{shown(table)} cannot be read ({os_reason(error)})") from error


def _lines(table: str, file: Any, limits: Limits) -> Iterator[str]:
    count = 0
    while text := file.readline(_MAX_LINE):
        count += 1
        if count > limits.members:
            raise SourceError(f"{shown(table)} has more than {limits.members:,} lines, the cap")
        if len(text) == _MAX_LINE:
            raise SourceError(f"{shown(table)}: line {count:,} is too long; {_EXPECTED}")
        if "\0" in text:
            raise SourceError(
                f"{shown(table)}: line {count:,} is no text in UTF-8; save the table as UTF-8"
            )
        yield text


def _csv_rows(table: str, lines: Iterator[str], faults: _Faults) -> Iterator[_Row]:
    first = next(lines, "")
    for delimiter in ",;\t":
        header = [
            name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])
        ]
        if all(set(header) & set(_NAMES[what]) for what in ("path", "label")):
            break
    else:
        found = f"begins with '{shown(first.strip()[:80])}'" if first.strip() else "is empty"
        names = "; ".join(f"{what}: {', '.join(_NAMES[what])}" for what in ("path", "label"))
        raise SourceError(f"{shown(table)} {found}; its first line must name the columns ({names})")
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        line = reader.line_num + 2
        try:
            cells = next(reader, None)
        except csv.Error as error:
            faults.add(line, f"no CSV ({error})")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            faults.add(line, f"{len(cells)} cells, and the first line names {len(header)}")
            continue
        yield line, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}


def _json_rows(lines: Iterator[str], faults: _Faults) -> Iterator[_Row]:
    for line, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            faults.add(line, f"no JSON ({str(error)[:80]})")
            continue
        if not isinstance(row, dict):
            faults.add(line, 'no object like {"path": "1.jpg", "label": "cat"}')
            continue
        yield line, {name.strip().lower(): value for name, value in row.items()}


def _photo(
    table: str, line: int, row: Mapping[str, Any], faults: _Faults, group_by: str
) -> SourcePhoto | None:
    """One row's photo; None where it has a fault, which is noted."""
    before = len(faults.found)
    values: dict[str, str] = {}
    for what, names in _NAMES.items():
        given = [name for name in names if name in row]
        if len(given) > 1:
            faults.add(line, f"{' and '.join(given)} both give the {what}; keep one")
        value = row[given[0]] if given else None
        if isinstance(value, int) and not isinstance(value, bool) and what == "label":
            value = str(value)
        if value is None and what == "split":
            value = ""
        if not isinstance(value, str) or (not value and what != "split"):
            faults.add(line, f"no {what}" if value in (None, "") else f"the {what} is no text")
            continue
        values[what] = value
    if len(faults.found) > before:
        return None
    split = values["split"].lower()
    if split and split not in _SPLITS:
        faults.add(line, f"split {shown(values['split'])}; expected train, validation or test")
    if any("\udc80" <= c <= "\udcff" for c in values["label"]):
        faults.add(line, "the label is not UTF-8; save the table as UTF-8")
    if "://" in values["path"]:
        faults.add(line, f"{shown(values['path'])} is an address; only files on disk are read")
    if "\0" in values["path"]:
        faults.add(line, "the path has a NUL in it")
    if group_by and group_by not in row:
        faults.add(line, f"no {shown(group_by)} to group by; it has {shown(', '.join(row))}")
    if len(faults.found) > before:
        return None
    path = os.path.join(os.path.dirname(table), values["path"])
    group = row.get(group_by)
    group = None if group in (None, "") else str(group)
    return SourcePhoto(path, values["label"], _SPLITS.get(split), group)


def _check_given(named: Iterable[tuple[int, SourcePhoto]], faults: _Faults) -> None:
    """Note the first line without a split where others have one."""
    lines: dict[bool, int] = {}
    for line, photo in named:
        lines.setdefault(photo.split is None, line)
    if len(lines) == 2:
        faults.add(lines[True], f"no split, and line {lines[False]:,} has one; give all or none")


def _absent(path: str) -> str:
    """Why a photo cannot be one; nothing when it is a file."""
    try:
        return "" if stat.S_ISREG(os.stat(path).st_mode) else NO_FILE
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ValueError) as error:
        return f"cannot be read ({os_reason(error) if isinstance(error, OSError) else error})"


def _checked(table: str, photos: list[SourcePhoto], skipped: list[Skipped]) -> Found:
    """Refuse what cannot be a dataset; splits of which only one is there are none."""
    splits = {photo.split for photo in photos}
    if splits == {"train"}:
        photos = [replace(photo, split=None) for photo in photos]
    elif photos and not splits & {"train", None}:
        raise SourceError(f"{shown(table)} has photos with a split, and none of them is train")
    classes = check_splits(table, photos, "give both the same classes")
    known = classes.get(None) or classes.get("train") or set()
    if len(known) > 1:
        return photos, skipped
    also = "; ".join(f"{shown(item.path)}: {item.reason}" for item in skipped[:2])
    also = also and f" ({len(skipped):,} not used: {also})"
    one = f"photos of one class, '{shown(min(known))}'" if known else "no photos"
    raise SourceError(f"{shown(table)} names {one} that can be used; two are needed{also}")
