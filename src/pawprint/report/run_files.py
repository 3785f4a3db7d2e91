"""The files of a run's folder, read and checked."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, InstanceOf, TypeAdapter, ValidationError

from pawprint.data.wording import os_reason, shown
from pawprint.errors import RunError
from pawprint.evaluation.metrics import Figures
from pawprint.evaluation.paired import Comparison
from pawprint.report.contents import Before, Judged, Unknown

_DOUBTS = ("run.json", "suspects.json")
_NEEDED = (
    *_DOUBTS,
    "metrics.json",
    "predictions.csv",
    "manifest.csv",
    "left_out.csv",
    "recipe.toml",
)
_ANSWER = ["path", "split", "label", "predicted"]

Kind = TypeVar("Kind")
Text = InstanceOf[str]  # of files, whose names need not be UTF-8
Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Corrections:
    """A list of corrected labels, and how many photos it changed."""

    file: Text
    relabelled: int
    excluded: int


@dataclass(frozen=True)
class Record:
    """What `run.json` says; `place` is what was typed as the source."""

    source: str
    recipe: str
    classes: tuple[str, ...]
    photos: dict[str, dict[str, int]]
    left_out: int
    findings: dict[str, int]
    fingerprint: str
    created: str
    versions: dict[str, str]
    notes: tuple[Text, ...]
    seconds: dict[str, float]
    restored: tuple[int, ...] = ()
    place: Annotated[Text, Field(validation_alias="from")] = ""
    command: Text = ""
    unknown: Unknown | None = None
    corrections: Corrections | None = None
    before: Before | None = None


@dataclass(frozen=True)
class Tried:
    """A strength that was tried for the logistic head."""

    strength: float
    log_loss: float
    accuracy: float
    chosen: bool


@dataclass(frozen=True)
class Outcome:
    """What became of a stage after the first; without a comparison it diverged."""

    stage: int
    undone: bool
    comparison: Comparison | None


def _apart(values: Any) -> Any:
    """The figures of a side, which lie beside all else that the file says of it."""
    return {**values, "figures": values} if isinstance(values, dict) else values


Side = Annotated[Judged, BeforeValidator(_apart)]


@dataclass(frozen=True)
class Metrics:
    """What `metrics.json` says."""

    validation: Side
    test: Side | None = None
    head: tuple[Tried, ...] = ()
    stages: tuple[Outcome, ...] = ()
    history: tuple[dict[str, float | None], ...] = ()

    @property
    def sides(self) -> dict[str, Judged]:
        """By side, those that there are."""
        both = {"validation": self.validation, "test": self.test}
        return {side: found for side, found in both.items() if found is not None}


@dataclass(frozen=True)
class Answer:
    """What was predicted of a photo.

    Args:
        path: the photo, as the manifest calls it.
        split: its side or fold.
        label: the class that it was given.
        predicted: the class that was answered.
        probabilities: of the classes, in their order.
        novelty: how unlike the photos that were trained on it is, where that was measured.
    """

    path: str
    split: str
    label: str
    predicted: str
    probabilities: tuple[float, ...]
    novelty: float | None = None


@dataclass(frozen=True)
class Suspect:
    """A photo whose label may be wrong.

    Args:
        path: of the photo, as the run's manifest has it.
        sha256: of its bytes, in hexadecimal.
        split: the side it was on.
        given: its label.
        suggested: the class that it looks like.
        given_probability: of the one,
        suggested_probability: and of the other, as a model sees it that was not trained on it.
    """

    path: Text
    sha256: str
    split: str
    given: str
    suggested: str
    given_probability: Probability
    suggested_probability: Probability


@dataclass(frozen=True)
class Suspects:
    """What `suspects.json` says.

    Args:
        judged_by: the model, in words.
        photos: how many were judged.
        count: how many are suspect.
        expected: about how many labels are wrong.
        ranked: the suspects, worst first; of very many, the worst.
    """

    judged_by: str
    photos: int
    count: int
    expected: int
    ranked: Annotated[tuple[Suspect, ...], Field(validation_alias="suspects")]


@dataclass(frozen=True)
class RunFiles:
    """All that a run's folder tells.

    Args:
        folder: of the run.
        record: what it is.
        metrics: how it went.
        answers: a row a photo that judged.
        hashes: by path, the SHA-256 of every photo.
        left_out: files that were not used, and why.
        recipe: its text.
        suspects: labels that look wrong.
        plots: by name, SVGs; none where the training was to draw none.
    """

    folder: Path
    record: Record
    metrics: Metrics
    answers: tuple[Answer, ...]
    hashes: Mapping[str, str]
    left_out: tuple[tuple[str, str], ...]
    recipe: str
    suspects: Suspects
    plots: Mapping[str, bytes]

    @property
    def stages(self) -> list[dict[str, Any]]:
        """The stages of the recipe."""
        stages: list[dict[str, Any]] = tomllib.loads(self.recipe).get("stage", [])
        return stages

    @property
    def judging(self) -> list[Answer]:
        """The answers that the run's figures are of."""
        return [answer for answer in self.answers if answer.split != "test"]

    def numbers(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Classes as numbers: int, one each."""
        number = {label: place for place, label in enumerate(self.record.classes)}
        return np.array([number[label] for label in labels], dtype=np.int64)


def read_run(folder: Path) -> RunFiles:
    """Read a run's folder.

    Args:
        folder: as `pawprint train` wrote it.

    Returns:
        What its files say.

    Raises:
        RunError: it is no run, a file is missing, or one does not say what it should.
    """
    _check(folder, _NEEDED)
    record, suspects = read_suspects(folder)
    metrics = _json(folder / "metrics.json", Metrics)
    for found in metrics.sides.values():
        if not _fits(found.figures, record.classes):
            _malformed(folder / "metrics.json", "its classes are not those of run.json")
    answers = tuple(_answers(folder / "predictions.csv", record.classes))
    hashes = {row[0]: row[1] for row in _rows(folder / "manifest.csv", ["path", "sha256"])}
    if not all(answer.path in hashes for answer in answers):
        _malformed(folder / "predictions.csv", "it has photos that manifest.csv has not")
    return RunFiles(
        folder,
        record,
        metrics,
        answers,
        hashes,
        tuple((row[0], row[1]) for row in _rows(folder / "left_out.csv", ["path", "reason"])),
        _recipe(folder / "recipe.toml"),
        suspects,
        {path.stem: _bytes(path) for path in sorted((folder / "plots").glob("*.svg"))},
    )


def read_suspects(folder: Path) -> tuple[Record, Suspects]:
    """Read which labels a run doubts, and of what; nothing else of it needs to be there.

    Args:
        folder: as `pawprint train` wrote it.

    Raises:
        RunError: as of `read_run`.
    """
    _check(folder, _DOUBTS)
    record = _json(folder / "run.json", Record)
    suspects = _json(folder / "suspects.json", Suspects)
    labels = {label for row in suspects.ranked for label in (row.given, row.suggested)}
    if not labels <= set(record.classes):
        _malformed(folder / "suspects.json", "its classes are not those of run.json")
    return record, suspects


def _check(folder: Path, needed: Iterable[str]) -> None:
    missing = [name for name in needed if not (folder / name).is_file()]
    if "run.json" in missing:
        what = "has no run.json" if folder.is_dir() else "is not a folder"
        raise RunError(
            f"{shown(str(folder))} {what}; expected a run, such as runs/NAME that pawprint train "
            "wrote"
        )
    if missing:
        raise RunError(
            f"{shown(str(folder))} is not a whole run: {', '.join(missing)} missing; take a whole "
            "copy of it, or train again"
        )


def _fits(figures: Figures, classes: tuple[str, ...]) -> bool:
    return (
        figures.count > 0
        and tuple(one.label for one in figures.classes) == classes
        and [len(row) for row in figures.confusion] == [len(classes)] * len(classes)
    )


def _json(path: Path, kind: type[Kind]) -> Kind:
    """A JSON file as a dataclass."""
    try:
        values = json.loads(_text(path), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        _malformed(path, f"it is no JSON: {error}", error)
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        _malformed(path, f"{where}: {first['msg']}", error)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _answers(path: Path, classes: tuple[str, ...]) -> Iterator[Answer]:
    text = io.StringIO(_text(path), newline="")
    try:
        header, *rows = csv.reader(text, strict=True)
    except (csv.Error, ValueError) as error:
        _malformed(path, f"it is no CSV with a header: {error}", error)
    # A class, too, may be called so.
    has_novelty = len(header) > len(_ANSWER) + len(classes)
    told = [*_ANSWER, *["novelty"] * has_novelty]
    if header != [*told, *classes]:
        _malformed(path, f"its header is not {','.join(_ANSWER)} and the classes of run.json")
    for number, row in enumerate(rows, 2):
        try:
            given = list(map(float, row[len(told) :]))
            novelty = float(row[4]) if has_novelty and row[4:5] != [""] else None
        except (ValueError, IndexError) as error:
            _malformed(path, f"line {number:,}: {error}", error)
        known = len(row) == len(header) and {row[2], row[3]} <= set(classes)
        if not known or not all(map(isfinite, given)):
            _malformed(path, f"line {number:,} is not {len(header)} fields of classes and numbers")
        yield Answer(row[0], row[1], row[2], row[3], tuple(given), novelty)


def _rows(path: Path, fields: list[str]) -> Iterator[list[str]]:
    """Some fields of every row of a CSV file."""
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        if not set(fields) <= set(reader.fieldnames or ()):
            _malformed(path, f"its header has not {','.join(fields)}")
        for row in reader:
            values = [row[field] for field in fields]
            if None in values:
                _malformed(path, f"line {reader.line_num:,} has too few fields")
            yield values
    except csv.Error as error:
        _malformed(path, f"it is no CSV: {error}", error)


def _recipe(path: Path) -> str:
    text = _text(path)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        _malformed(path, f"it is no TOML: {error}", error)
    return text


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8", "surrogateescape")  # names of files need not be text


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(
            f"{shown(str(path))} cannot be read ({os_reason(error)}); make it readable, or take "
            "a whole copy of the run"
        ) from error


def _malformed(path: Path, what: str, error: Exception | None = None) -> NoReturn:
    raise RunError(
        f"{shown(str(path))} is not what pawprint train writes ({what}); take an intact copy of "
        "the run or, if an older pawprint made it, train again"
    ) from error
