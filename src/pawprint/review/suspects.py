"""The labels that a training doubts, and of what photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pawprint.data import corrections
from pawprint.data.corrections import Correction
from pawprint.report import run_files
from pawprint.report.run_files import read_suspects


@dataclass(frozen=True)
class Suspects(run_files.Suspects):
    """All that a run doubts, and of what.

    Args:
        run: its folder.
        source: the short name of its photos.
        location: where they are, as `open_source` takes it; empty where the run does not say.
        classes: their classes.
        command: the line that trained it; empty where the run does not say.
        applied: the corrections of labels that it was trained with.
    """

    run: Path
    source: str
    location: str
    classes: tuple[str, ...]
    command: str
    applied: tuple[Correction, ...]


def read(run: Path) -> Suspects:
    """Read which labels a run doubts.

    Args:
        run: its folder.

    Returns:
        The suspects; there may be none.

    Raises:
        RunError: it is no run, or one of its files is missing, damaged or of another version.
        SourceError: the corrections that it was trained with cannot be read.
    """
    record, found = read_suspects(run)
    applied = run / corrections.APPLIED
    return Suspects(
        **vars(found),
        run=run,
        source=record.source,
        location=record.place,
        classes=record.classes,
        command=record.command,
        applied=tuple(corrections.read(applied)) if applied.exists() else (),
    )
