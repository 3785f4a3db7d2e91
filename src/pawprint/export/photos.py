"""The photos that an export is tried on, and those that set its ranges."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pawprint.data.images import Pixels, Preprocessing
from pawprint.data.sources import open_source
from pawprint.data.wording import shown
from pawprint.errors import PawprintError, PhotoError, SourceError
from pawprint.parallel import map_chunks
from pawprint.progress import SILENT, Progress
from pawprint.report.originals import originals
from pawprint.report.run_files import RunFiles

HELD_OUT = ("validation", "test")
_CHUNK = 16  # photos a thread reads at once


@dataclass(frozen=True)
class Photos:
    """Photos of a source, which is opened only to read them.

    Args:
        place: the source, as `open_source` takes it.
        what: they are, in words.
        paths: of the photos in the source.
        hashes: of each the SHA-256, or nothing where none is known.
        labels: the class of each, as a number; None where it is none of the model's.
    """

    place: str
    what: str
    paths: tuple[str, ...]
    hashes: tuple[str | None, ...]
    labels: tuple[int | None, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def at_most(self, count: int) -> Photos:
        """As many of them, spread evenly."""
        if len(self) <= count:
            return self
        return self.part([place * len(self) // count for place in range(count)])

    def part(self, places: Sequence[int]) -> Photos:
        """Those at some places."""
        return replace(
            self,
            paths=tuple(self.paths[place] for place in places),
            hashes=tuple(self.hashes[place] for place in places),
            labels=tuple(self.labels[place] for place in places),
        )

    @property
    def known_hashes(self) -> dict[str, str]:
        """By path the SHA-256, of those where it is known."""
        both = zip(self.paths, self.hashes, strict=True)
        return {path: sha for path, sha in both if sha is not None}


def held_out(run: RunFiles, most: int) -> Photos:
    """The photos that judged a run's model.

    Args:
        run: the run.
        most: so many of them, spread evenly.
    """
    rows = [answer for answer in run.answers if answer.split in HELD_OUT]
    what = f"held out of {shown(run.folder.name)}"
    if not rows:  # judged in folds, and then trained on all
        rows, what = list(run.answers), f"that {shown(run.folder.name)} was trained on"
    labels = tuple(run.record.classes.index(row.label) for row in rows)
    return _of_run(run, what, [row.path for row in rows], labels).at_most(most)


def trained_on(run: RunFiles, most: int) -> Photos:
    """The photos that a run's model was trained on; as of `held_out`."""
    held = {answer.path for answer in run.answers if answer.split in HELD_OUT}
    paths = [path for path in run.hashes if path not in held]
    what = f"that {shown(run.folder.name)} was trained on"
    return _of_run(run, what, paths, (None,) * len(paths)).at_most(most)


def _of_run(
    run: RunFiles, what: str, paths: Sequence[str], labels: tuple[int | None, ...]
) -> Photos:
    hashes = tuple(run.hashes[path] for path in paths)
    return Photos(run.record.place, what, tuple(paths), hashes, labels)


def of_source(place: str, classes: Sequence[str], most: int, progress: Progress = SILENT) -> Photos:
    """Photos that somebody names.

    Args:
        place: as `open_source` takes it.
        classes: the model's. Photos of other classes, or of none, are used without their label.
        most: so many of them, spread evenly.
        progress: is told what is out of the ordinary.

    Raises:
        SourceError: there are none.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    with open_source(place, progress=progress) as source:
        paths = tuple(source.relative(photo.path) for photo in source.photos)
        labels = tuple(numbers.get(photo.label) for photo in source.photos)
    what = f"of {shown(os.path.basename(os.path.abspath(place)))}"
    return Photos(place, what, paths, (None,) * len(paths), labels).at_most(most)


def pixels(
    photos: Photos, preprocessing: Preprocessing, progress: Progress, option: str
) -> tuple[Photos, list[Pixels]]:
    """Decode photos, and leave out those that cannot be read any more.

    Args:
        photos: which.
        preprocessing: how.
        progress: is told what is out of the ordinary.
        option: of the command line, that names other photos.

    Returns:
        Those that could be read, and of each uint8 (size, size, 3).

    Raises:
        SourceError: none could, or their source is gone.
    """

    def decode(places: Sequence[int]) -> list[tuple[int, Pixels | PhotoError]]:
        found: list[tuple[int, Pixels | PhotoError]] = []
        for place in places:
            path = photos.paths[place]
            try:
                found.append((place, preprocessing.from_bytes(read(path), path)))
            except PhotoError as error:
                found.append((place, error))
        return found

    try:
        source = open_source(photos.place, offline=True, progress=progress)
    except PawprintError as error:
        why = str(error) if photos.place else "it names no source"
        raise SourceError(
            f"the photos {photos.what} are not to be had: {why}; name others with {option} SOURCE"
        ) from error
    with source, originals(source, photos.known_hashes) as read:
        parts = map_chunks(decode, range(len(photos)), size=_CHUNK)
        decoded = [one for part in parts for one in part]
    good = {place: found for place, found in decoded if not isinstance(found, PhotoError)}
    if not good:
        why = next((str(found) for _, found in decoded), "there are none")
        raise SourceError(
            f"no photo {photos.what} can be read ({why}); name others with {option} SOURCE"
        )
    found = photos.part(list(good))
    if missing := len(photos) - len(found):
        lost = f"{missing:,} more are gone, changed or unreadable"
        progress.say(f"{len(found):,} photos {photos.what} are used; {lost}")
        found = replace(found, what=f"{photos.what} ({lost})")
    return found, list(good.values())
