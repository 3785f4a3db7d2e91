"""Where a run comes from: what was typed, which corrections, and the run before."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pawprint.data import corrections
from pawprint.data.corrections import Applied
from pawprint.data.dataset import Dataset
from pawprint.data.sources import Source
from pawprint.progress import Progress
from pawprint.report.compare_runs import Pairs
from pawprint.report.run_files import RunFiles, read_run
from pawprint.training import recipe_files
from pawprint.training.answers import Answered
from pawprint.training.recipe import Recipe
from pawprint.training.recipe_files import parse_change
from pawprint.training.toml_lines import toml_value

Typed = str | os.PathLike[str]


@dataclass(frozen=True)
class Corrected:
    """Labels that were corrected before the training.

    Args:
        file: with the corrections.
        content: of the file, as it was applied.
        applied: how many of each kind.
        before: the run that was reviewed: the one that the file lies in, if it does.
    """

    file: Path
    content: bytes
    applied: Applied
    before: RunFiles | None

    @classmethod
    def apply(cls, source: Source, file: Path, progress: Progress) -> Corrected:
        """Correct a source's labels.

        Raises:
            SourceError: as `corrections.apply` does.
            RunError: the run that was reviewed cannot be read.
        """
        applied, folder = corrections.apply(source, file, progress), file.resolve().parent
        before = read_run(folder) if (folder / "run.json").is_file() else None
        return cls(file, file.read_bytes(), applied, before)

    @property
    def changed(self) -> bool:
        """Whether any label is another now, or any photo was left out."""
        return bool(self.applied.relabelled or self.applied.excluded)

    def to_dict(self) -> dict[str, Any]:
        """What `run.json` says of it."""
        return {
            "file": os.path.abspath(self.file),
            "relabelled": self.applied.relabelled,
            "excluded": self.applied.excluded,
        }


@dataclass(frozen=True)
class Origin:
    """Where a run comes from.

    Args:
        source: as it was typed.
        command: a line that does the same again.
        corrected: the labels that were corrected first, if any.
    """

    source: str
    command: str
    corrected: Corrected | None = None

    @property
    def place(self) -> str:
        """The source, found again from any folder: a path whole, a name or address as it is."""
        return os.path.abspath(self.source) if os.path.exists(self.source) else self.source


def command(
    source: Typed,
    recipe: Typed,
    changed: Mapping[str, Any],
    exclude: Typed | None,
    corrected: Typed | None,
    time_limit: float | None = None,
) -> str:
    """The command line that does the same training again.

    >>> command("my photos", "quick", {"data.seed": 1}, None, None)
    "pawprint train 'my photos' --recipe quick --set data.seed=1"

    Args:
        source: as it was typed.
        recipe: its name, or a file.
        changed: values in place of the recipe's.
        exclude: a list of photos that were left out, if any.
        corrected: a table of corrections, if any.
        time_limit: in seconds, if any.
    """
    words = ["pawprint", "train", os.fspath(source), "--recipe", os.fspath(recipe)]
    words += _set(changed)
    for option, file in (("--exclude", exclude), ("--corrections", corrected)):
        words += [] if file is None else [option, os.fspath(file)]
    words += [] if time_limit is None else ["--time-limit", f"{time_limit:g}s"]
    return shlex.join(words)


def command_on_features(features: str, recipe: Typed | None, changed: Mapping[str, Any]) -> str:
    """The command line that trains on features again.

    >>> command_on_features("my features", None, {"data.seed": 1})
    "pawprint train --features 'my features' --set data.seed=1"

    Args:
        features: their folder, or its address without keys.
        recipe: its name, or a file; None for the one that was embedded with.
        changed: values in place of the recipe's.
    """
    words = ["pawprint", "train", "--features", features]
    words += [] if recipe is None else ["--recipe", os.fspath(recipe)]
    return shlex.join([*words, *_set(changed)])


def _set(changed: Mapping[str, Any]) -> list[str]:
    return [word for key, value in changed.items() for word in ("--set", f"{key}={_typed(value)}")]


def _typed(value: Any) -> str:
    """A value as it is typed: text as it is, unless that would be read as something else."""
    plain = isinstance(value, str) and parse_change(f"x={value}")[1] == value
    return value if plain else toml_value(value)


def before(
    origin: Origin, recipe: Recipe, dataset: Dataset, judged: Answered
) -> dict[str, Any] | None:
    """How the run before its corrections answered the same photos, by the labels as they are now.

    Args:
        origin: of the new run.
        recipe: that it was trained by.
        dataset: its photos.
        judged: what it answers to those that judge.

    Returns:
        What `run.json` says of it; None where there is no such run, nothing was corrected, the
        recipe was another, or they have no photo or not all classes in common.
    """
    corrected = origin.corrected
    if corrected is None or corrected.before is None or not corrected.changed:
        return None
    old = corrected.before
    if old.record.classes != dataset.classes or old.recipe != recipe_files.to_toml(recipe):
        return None
    hashes = [dataset.photos[row].sha256 for row in judged.rows]
    pairs = Pairs.of(old, hashes)
    if not pairs.places:
        return None
    new = judged.probabilities[pairs.places], judged.predicted[pairs.places]
    found = pairs.compare(judged.truth[pairs.places], *new)
    return {"run": old.folder.name, "comparison": found.to_dict()}
