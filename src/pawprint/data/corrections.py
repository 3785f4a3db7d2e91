"""Corrections of labels: a table that `pawprint review` writes and `train --corrections` reads.

```
path,given,verdict,label,sha256
cat/1.jpg,cat,relabel,dog,5feceb66…
cat/2.jpg,cat,exclude,,6b86b273…
cat/3.jpg,cat,keep,,d4735e3a…
```

A path is as seen from the source's folder, or in its archive. `given` and `sha256`, which may be
empty, tell which label and which bytes were looked at: what has changed since is not corrected.
"""

from __future__ import annotations

import contextlib
import csv
import difflib
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from pathlib import Path

from pawprint.data.cache import written
from pawprint.data.sources import Source, SourcePhoto
from pawprint.data.wording import os_reason, shown
from pawprint.errors import PhotoError, SourceError
from pawprint.progress import SILENT, Progress

APPLIED = "applied.csv"  # in a run's folder: the corrections that it was trained with

_MAX_BYTES = 256 * 2**20
_MAX_HEADER = 2**16  # characters
_NEEDED = ("path", "given", "verdict", "label")
_EXPECTED = f"expected a table under a line {','.join(_NEEDED)}, as `pawprint review` writes it"
_SHOWN = 8  # classes in a message


class Verdict(StrEnum):
    """What is to become of a photo.

    >>> Verdict("relabel").name
    'RELABEL'
    """

    KEEP = "keep"
    RELABEL = "relabel"
    EXCLUDE = "exclude"


@dataclass(frozen=True, slots=True)
class Correction:
    """A row of the table.

    Args:
        path: the photo's, as seen from the source's folder or as it is told.
        given: the label that the source gives it.
        verdict: what was said of it.
        label: the right one, where the verdict is to relabel it.
        sha256: of the bytes that were looked at, in hexadecimal; empty where that is not known.
    """

    path: str
    given: str
    verdict: Verdict
    label: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """How many photos of a source were relabelled, excluded and kept as they are."""

    relabelled: int
    excluded: int
    kept: int


_COLUMNS = tuple(field.name for field in fields(Correction))


def write(path: Path, corrections: Iterable[Correction]) -> None:
    """Write a table of corrections, whole or not at all; one that is there is replaced.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Path(folder, "corrections.csv")
    ...     write(table, [Correction("cat/1.jpg", "cat", Verdict.RELABEL, "dog")])
    ...     read(table)[0].label
    'dog'

    Args:
        path: the file.
        corrections: its rows.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows(map(astuple, corrections))
    with written(path) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def read(path: Path) -> list[Correction]:
    """Read a table of corrections.

    Args:
        path: the file; its columns may have any order.

    Returns:
        Its rows; of a photo that is told of twice, the first.

    Raises:
        SourceError: it cannot be read, or has a fault, told with its line.
    """
    found: dict[str, tuple[int, Correction]] = {}
    for line, cells in _rows(path, _text(path)):
        try:
            correction = _parsed(cells)
        except ValueError as error:
            raise SourceError(f"{path}, line {line:,}: {error}") from None
        first, same = found.setdefault(correction.path, (line, correction))
        if same != correction:
            raise SourceError(
                f"{path}, line {line:,}: {shown(correction.path)} is in line {first:,} too, with "
                "another verdict; keep one"
            )
    return [correction for _, correction in found.values()]


def apply(source: Source, file: Path, progress: Progress = SILENT) -> Applied:
    """Correct the labels of a source, and take the excluded photos out of it.

    Args:
        source: the photos; a photo that was excluded before is passed over.
        file: a table of corrections.
        progress: where to show how far the photos are compared with those that were looked at.

    Returns:
        How many photos were relabelled, excluded and kept.

    Raises:
        SourceError: the table cannot be read, or was made for other photos, labels or classes, or
            would leave no photo of a class.
    """
    pairs = _paired(source, file)
    for photo, row in pairs:
        if row.given != photo.label:
            raise SourceError(
                f"{file}: {shown(row.path)} is labelled {shown(photo.label)} in {source.name}, and "
                f"{shown(row.given)} when it was reviewed; review it again, or take its line out"
            )
        if row.verdict is Verdict.RELABEL and row.label not in source.classes:
            raise SourceError(
                f"{file}: {shown(row.path)} is to be labelled {shown(row.label)}, which is no "
                f"class of {source.name}; {_expected(row.label, source.classes)}"
            )
    excluded = {photo.path for photo, row in pairs if row.verdict is Verdict.EXCLUDE}
    labels = {photo.path: row.label for photo, row in pairs if row.verdict is Verdict.RELABEL}
    _check_classes(source, file, excluded, labels)
    _check_bytes(source, file, pairs, progress)
    source.relabel(labels)
    if excluded:
        source.leave_out(excluded, f"excluded in {file}")
    counts = Counter(row.verdict for _, row in pairs)
    return Applied(counts[Verdict.RELABEL], counts[Verdict.EXCLUDE], counts[Verdict.KEEP])


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SourceError(f"{path} has over {_MAX_BYTES:,} bytes and cannot be corrections")
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise SourceError(
            f"the corrections {path} cannot be read ({os_reason(error)}); {_EXPECTED}"
        ) from error
    if "\0" in text:
        raise SourceError(f"{path} is no text; {_EXPECTED}")
    return text


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows that are not empty, each with the number of its first line."""
    first = text.partition("\n")[0][:_MAX_HEADER]
    for delimiter in ",;\t":
        names = next(csv.reader([first], delimiter=delimiter), [])
        header = [name.strip().lower() for name in names]
        if set(_NEEDED) <= set(header):
            break
    else:
        begins = f"begins with '{shown(first.strip()[:80])}'" if first.strip() else "is empty"
        raise SourceError(f"{path} {begins}; {_EXPECTED}")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if line > 1 and any(cells):
                if len(cells) != len(header):
                    raise SourceError(
                        f"{path}, line {line:,}: {len(cells)} cells, and the first line names "
                        f"{len(header)}"
                    )
                yield line, dict(zip(header, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise SourceError(f"{path}, line {line:,}: no CSV ({error})") from None


def _parsed(cells: Mapping[str, str]) -> Correction:
    """A row of text as a correction; its fault as a ValueError."""
    said = cells["verdict"].strip().lower()
    if said not in set(Verdict):
        raise ValueError(f"the verdict '{shown(said[:80])}'; expected {', '.join(Verdict)}")
    verdict = Verdict(said)
    path, given, label = cells["path"], cells["given"], cells["label"]
    if not path or not given:
        raise ValueError(f"no {'label that was given' if path else 'path'}")
    if verdict is Verdict.RELABEL and label in ("", given):
        raise ValueError(f"relabel needs another label than {shown(given)}, in the column label")
    if verdict is not Verdict.RELABEL and label:
        raise ValueError(f"{verdict} takes no label, and {shown(label)} is one; only relabel does")
    return Correction(path, given, verdict, label, cells.get("sha256", "").strip().lower())


def _paired(source: Source, file: Path) -> list[tuple[SourcePhoto, Correction]]:
    """The corrections, each with its photo."""
    by_name = {photo.path: photo for photo in source.photos}
    # A name that could mean two photos means the one seen from the folder.
    by_name |= {source.relative(photo.path): photo for photo in source.photos}
    out = [skip.path for skip in source.skipped if skip.kind == "excluded"]
    gone = {name for path in out for name in (path, source.relative(path))}
    rows = [row for row in read(file) if row.path in by_name or row.path not in gone]
    if unmet := [row.path for row in rows if row.path not in by_name]:
        like = next((source.relative(photo.path) for photo in source.photos), "cat/1.jpg")
        raise SourceError(
            f"{len(unmet):,} of {len(rows):,} photo(s) in {file} are not among the photos of "
            f"{source.name}, such as {shown(unmet[0])}; expected paths like {shown(like)}: is it a "
            "list of another dataset?"
        )
    found: dict[str, tuple[SourcePhoto, Correction]] = {}
    for row in rows:
        photo = by_name[row.path]
        _, same = found.setdefault(photo.path, (photo, row))
        if (same.verdict, same.label) != (row.verdict, row.label):
            raise SourceError(
                f"{file}: {shown(same.path)} and {shown(row.path)} are one photo with two "
                "verdicts; keep one"
            )
    return list(found.values())


def _expected(label: str, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(label, classes, 1)
    meant = f" (did you mean {shown(near[0])}?)" if near else ""
    more = f" or one of {len(classes) - _SHOWN:,} more" if len(classes) > _SHOWN else ""
    return f"expected {', '.join(map(shown, classes[:_SHOWN]))}{more}{meant}"


def _check_classes(
    source: Source, file: Path, excluded: set[str], labels: Mapping[str, str]
) -> None:
    """Refuse to lose a class."""
    stay = (photo for photo in source.photos if photo.path not in excluded)
    left = {labels.get(photo.path, photo.label) for photo in stay}
    if lost := [label for label in source.classes if label not in left]:
        raise SourceError(
            f"{file} would leave no photo of {shown(lost[0])} in {source.name}; keep some, or take "
            "the class itself out of the photos"
        )


def _check_bytes(
    source: Source,
    file: Path,
    pairs: Sequence[tuple[SourcePhoto, Correction]],
    progress: Progress,
) -> None:
    """Refuse to correct a photo that is not the one that was looked at."""
    seen = [one for one in pairs if one[1].sha256 and one[1].verdict is not Verdict.KEEP]
    with progress.step("Checking corrections", len(seen)) as advance:
        for photo, row in seen:
            with contextlib.suppress(PhotoError):  # training leaves it out, and says why
                if hashlib.sha256(source.read(photo)).hexdigest() != row.sha256:
                    raise SourceError(
                        f"{file}: {shown(row.path)} has changed since it was reviewed; review it "
                        "again, or take its line out"
                    )
            advance(1)
