"""The labels that a training doubts, as a run's folder tells of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pawprint.data.wording import os_reason
from pawprint.errors import RunError

_RUN, _SUSPECTS = "run.json", "suspects.json"
_A_RUN = "expected a run, such as runs/NAME that pawprint train wrote"


@dataclass(frozen=True, slots=True)
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

    path: str
    sha256: str
    split: str
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float


@dataclass(frozen=True, slots=True)
class Suspects:
    """All that a run doubts, and of what.

    Args:
        run: its folder.
        source: the short name of its photos.
        location: where they are, as `open_source` takes it; empty where the run does not say.
        classes: their classes.
        judged_by: the model, in words.
        photos: how many were judged.
        ranked: the suspects, worst first.
    """

    run: Path
    source: str
    location: str
    classes: tuple[str, ...]
    judged_by: str
    photos: int
    ranked: tuple[Suspect, ...]


def read(run: Path) -> Suspects:
    """Read which labels a run doubts.

    Args:
        run: its folder.

    Returns:
        The suspects; there may be none.

    Raises:
        RunError: it is no run, or one of its files is missing, damaged or of another version.
    """
    if not run.is_dir():
        raise RunError(f"{run} is not a folder; {_A_RUN}")
    record = _values(run / _RUN, _A_RUN)
    found = _values(
        run / _SUSPECTS,
        "a training that judges labels writes it: train again, or take a whole copy of the run",
    )
    try:
        classes = tuple(map(_text, record["classes"]))
        return Suspects(
            run=run,
            source=_text(record["source"]),
            location=_text(record.get("from", "")),
            classes=classes,
            judged_by=_text(found["judged_by"]),
            photos=int(found["photos"]),
            ranked=tuple(_suspect(row, classes) for row in found["suspects"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise RunError(
            f"{run / _RUN} and {_SUSPECTS} are not as this pawprint writes them ({why}); train "
            "again, or take an intact copy of the run"
        ) from None


def _values(path: Path, expected: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes().decode("utf-8", "surrogateescape"))
    except FileNotFoundError:
        raise RunError(f"{path.parent} has no {path.name}; {expected}") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read ({os_reason(error)})") from None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise RunError(f"{path} is damaged: it is no JSON object; take an intact copy")
    return values


def _suspect(row: dict[str, Any], classes: tuple[str, ...]) -> Suspect:
    suspect = Suspect(
        path=_text(row["path"]),
        sha256=_text(row["sha256"]),
        split=_text(row["split"]),
        given=_text(row["given"]),
        suggested=_text(row["suggested"]),
        given_probability=_probability(row["given_probability"]),
        suggested_probability=_probability(row["suggested_probability"]),
    )
    if not {suspect.given, suspect.suggested} <= set(classes):
        raise ValueError("a suspect is of no class of the run")
    return suspect


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:80]} is no text")
    return value


def _probability(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{str(value)[:80]} is no probability")
    return float(value)
