"""One review: its suspects, their photos, and what was said of them, kept in a file at once."""

from __future__ import annotations

import hashlib
import os
import shlex
import threading
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pawprint.data import corrections
from pawprint.data.corrections import Correction, Verdict
from pawprint.data.sources import Source, SourcePhoto
from pawprint.data.thumbnails import thumbnail
from pawprint.data.wording import shown
from pawprint.errors import PhotoError
from pawprint.report.run_files import Suspect
from pawprint.review.suspects import Suspects

_SIDE = 720  # of a photo as it is shown, in pixels


class Session:
    """What was said of a run's suspects so far, and more to be said, from any thread.

    The file of corrections is read again before each change, so what else is done to it stays.

    Args:
        suspects: of the run.
        source: their photos, open.
        location: how to call these on a command line.
        file: of corrections; where it is there already, the review goes on with what it says.

    Raises:
        SourceError: the file is there and is no table of corrections.
    """

    def __init__(self, suspects: Suspects, source: Source, location: str, file: Path) -> None:
        self.suspects = suspects
        self.file = file
        self._source = source
        self._location = location
        self._names = {photo.path: source.relative(photo.path) for photo in source.photos}
        self._by_name = {self._names[photo.path]: photo for photo in source.photos}
        self._found = [self._find(suspect) for suspect in suspects.ranked]
        self._lock = threading.Lock()
        self._said = self._read()

    @property
    def command(self) -> str:
        """How to train with the corrections."""
        words = ("pawprint", "train", self._location, "--corrections", str(self.file))
        return shlex.join(words)

    def counts(self) -> Counter[Verdict]:
        """How many verdicts of each kind are in the file."""
        with self._lock:
            return Counter(row.verdict for row in self._said.values())

    def state(self) -> dict[str, Any]:
        """All that the page shows but the photos, as plain values."""
        with self._lock:
            rows = [self._row(number) for number in range(len(self._found))]
        return {
            "source": self.suspects.source,
            "classes": self.suspects.classes,
            "judged_by": self.suspects.judged_by,
            "photos": self.suspects.photos,
            "expected": self.suspects.expected,
            "file": shown(str(self.file)),
            "command": self.command,
            "suspects": rows,
        }

    def photo(self, number: int) -> bytes:
        """A suspect's photo as a JPEG that fits a screen.

        Raises:
            PhotoError: it is gone, cannot be read, or is no longer what was judged.
        """
        return thumbnail(self._bytes(number), self._name(number), _SIDE)

    def decide(self, number: int, verdict: Verdict | None, label: str = "") -> None:
        """Write down a verdict.

        Args:
            number: of the suspect, from 0.
            verdict: on it; None takes back what was said.
            label: the right one, where it is to be relabelled.

        Raises:
            PhotoError: the photo cannot be seen, and so not be judged.
            OutputError: the file cannot be written.
            SourceError: it was made something else meanwhile.
        """
        if verdict is not None:
            self._bytes(number)
        suspect, name = self.suspects.ranked[number], self._name(number)
        with self._lock:
            said = self._read()
            if verdict is None:
                said.pop(name, None)
            else:
                said[name] = Correction(name, suspect.given, verdict, label, suspect.sha256)
            corrections.write(self.file, said.values())
            self._said = said

    def _read(self) -> dict[str, Correction]:
        """What the file says, by the names that photos have here."""
        rows = corrections.read(self.file) if os.path.lexists(self.file) else []
        return {self._names.get(row.path, row.path): row for row in rows}

    def _find(self, suspect: Suspect) -> SourcePhoto | None:
        """A suspect's photo, though the source may have been called otherwise in training."""
        parts = suspect.path.replace(os.sep, "/").split("/")
        names = (suspect.path, *("/".join(parts[start:]) for start in range(len(parts))))
        return next((self._by_name[name] for name in names if name in self._by_name), None)

    def _name(self, number: int) -> str:
        photo = self._found[number]
        return self.suspects.ranked[number].path if photo is None else self._names[photo.path]

    def _row(self, number: int) -> dict[str, Any]:
        name, said = self._name(number), self._said.get(self._name(number))
        row = asdict(self.suspects.ranked[number])
        del row["path"], row["sha256"]
        verdict = {"verdict": said and said.verdict, "label": said.label if said else ""}
        return {"name": shown(name), **row, **verdict}

    def _bytes(self, number: int) -> bytes:
        """The bytes that were judged, or why they are not to be had."""
        photo, suspect, name = self._found[number], self.suspects.ranked[number], self._name(number)
        where = self._source.name
        if photo is None:
            raise PhotoError(
                name, f"it is not among the photos of {where}: moved or renamed, maybe"
            )
        if photo.label != suspect.given:
            raise PhotoError(
                name,
                f"it is labelled {photo.label} in {where}, and was {suspect.given} in training",
            )
        data = self._source.read(photo)
        if hashlib.sha256(data).hexdigest() != suspect.sha256:
            raise PhotoError(name, "the file has changed since the training")
        return data
