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
from pawprint.review.suspects import Suspects

_SIDE = 720  # of a photo as it is shown, in pixels


class Session:
    """What was said of a run's suspects so far, and more to be said, from any thread.

    The file of corrections is read again before each change, so what else is done to it stays. It
    has the corrections that the run was trained with, too: each of its rows is on a label of the
    source, and each verdict on a label as it was in training.

    Args:
        suspects: of the run.
        source: their photos, open.
        location: how to call these on a command line.
        file: of corrections; where it is there already, the review goes on with what it says.

    Raises:
        SourceError: the file is there and is no table of corrections.
        OutputError: the run's own corrections cannot be written to it.
    """

    def __init__(self, suspects: Suspects, source: Source, location: str, file: Path) -> None:
        self.suspects = suspects
        self.file = file
        self._source = source
        self._location = location
        self._photos = {source.relative(photo.path): photo for photo in source.photos}
        self._names = [self._name(suspect.path) for suspect in suspects.ranked]
        self._lock = threading.Lock()
        self._applied = {self._name(row.path): row for row in suspects.applied}
        self._decided: set[str] = set()  # here; a row that stays as it was does not tell
        self._said = self._read()
        if self._applied:
            corrections.write(self.file, self._said.values())

    @property
    def command(self) -> str:
        """How to train as the run was, with the corrections."""
        try:
            options = shlex.split(self.suspects.command)[3:]  # after pawprint train SOURCE
        except ValueError:  # no line that pawprint wrote
            options = []
        if "--corrections" in options:
            old = options.index("--corrections")
            del options[old : old + 2]
        words = ("pawprint", "train", self._location, *options, "--corrections", str(self.file))
        return shlex.join(words)

    def counts(self) -> Counter[Verdict]:
        """How many verdicts of each kind are in the file."""
        with self._lock:
            return Counter(row.verdict for row in self._said.values())

    def state(self) -> dict[str, Any]:
        """All that the page shows but the photos, as plain values."""
        with self._lock:
            rows = [self._row(number) for number in range(len(self._names))]
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
        return thumbnail(self._judged(number)[1], self._names[number], _SIDE)

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
        name = self._names[number]
        if verdict is None:
            row = self._applied.get(name)
        else:
            row = self._correction(number, verdict, label)
        with self._lock:
            said = self._read()
            if row is None:
                said.pop(name, None)
            else:
                said[name] = row
            corrections.write(self.file, said.values())
            self._said = said
            if verdict is None:
                self._decided.discard(name)
            else:
                self._decided.add(name)

    def _read(self) -> dict[str, Correction]:
        """What the file says, and of other photos the run's own corrections."""
        rows = corrections.read(self.file) if os.path.lexists(self.file) else []
        return self._applied | {self._name(row.path): row for row in rows}

    def _name(self, path: str) -> str:
        """What a photo is called here, though the source may have been called otherwise."""
        parts = path.replace(os.sep, "/").split("/")
        names = (path, *("/".join(parts[start:]) for start in range(len(parts))))
        return next((name for name in names if name in self._photos), path)

    def _row(self, number: int) -> dict[str, Any]:
        row = asdict(self.suspects.ranked[number])
        del row["path"], row["sha256"]
        verdict, label = self._verdict(number)
        return {"name": shown(self._names[number]), **row, "verdict": verdict, "label": label}

    def _verdict(self, number: int) -> tuple[Verdict | None, str]:
        """What was said of a suspect since the training, and the label where it is relabelled."""
        name, given = self._names[number], self.suspects.ranked[number].given
        row = self._said.get(name)
        if row is None or (row == self._applied.get(name) and name not in self._decided):
            return None, ""
        if row.verdict is Verdict.EXCLUDE:
            return Verdict.EXCLUDE, ""
        right = row.label or row.given
        return (Verdict.KEEP, "") if right == given else (Verdict.RELABEL, right)

    def _correction(self, number: int, verdict: Verdict, label: str) -> Correction:
        """A verdict on a label as it was in training, as one on the source's."""
        own, suspect = self._judged(number)[0].label, self.suspects.ranked[number]
        right = label or suspect.given
        if verdict is not Verdict.EXCLUDE:
            verdict = Verdict.KEEP if right == own else Verdict.RELABEL
        told = right if verdict is Verdict.RELABEL else ""
        return Correction(self._names[number], own, verdict, told, suspect.sha256)

    def _judged(self, number: int) -> tuple[SourcePhoto, bytes]:
        """The photo that was judged and its bytes, or why they are not to be had."""
        suspect, name, where = self.suspects.ranked[number], self._names[number], self._source.name
        photo = self._photos.get(name)
        if photo is None:
            raise PhotoError(
                name, f"it is not among the photos of {where}: moved or renamed, maybe"
            )
        applied = self._applied.get(name)
        label = applied.label if applied and applied.given == photo.label else ""
        if (label or photo.label) != suspect.given:
            raise PhotoError(
                name,
                f"it is labelled {photo.label} in {where}, and was {suspect.given} in training",
            )
        data = self._source.read(photo)
        if hashlib.sha256(data).hexdigest() != suspect.sha256:
            raise PhotoError(name, "the file has changed since the training")
        return photo, data
