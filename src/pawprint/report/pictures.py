"""Which photos are worth looking at, and their small pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pawprint.data.thumbnails import thumbnail
from pawprint.data.wording import shown
from pawprint.errors import PhotoError
from pawprint.pages import data_uri
from pawprint.pages.thumbnails import SIDE, Small, thumbnails
from pawprint.pages.words import percent
from pawprint.parallel import map_chunks
from pawprint.progress import SILENT, Progress
from pawprint.report.contents import Gallery, Tile
from pawprint.report.originals import Read
from pawprint.report.run_files import Answer, Suspects

MOST = 24  # photos of a kind
_CHUNK = 4  # photos a thread looks at

Explain = Callable[[bytes, str, str], bytes | None]


def confident_mistakes(answers: Iterable[Answer], classes: Sequence[str]) -> list[Answer]:
    """The wrong answers, that of the highest probability first.

    >>> some = (Answer("1.jpg", "", "cat", "dog", (1 - p, p)) for p in (0.1, 0.6, 0.9))
    >>> [found.probabilities[1] for found in confident_mistakes(some, ["cat", "dog"])]
    [0.9, 0.6, 0.1]
    """

    def place(answer: Answer) -> tuple[float, str]:
        return -answer.probabilities[classes.index(answer.predicted)], answer.path

    return sorted((a for a in answers if a.predicted != a.label), key=place)


def least_certain(answers: Iterable[Answer]) -> list[Answer]:
    """All answers, that of the smallest margin between its two most probable classes first.

    >>> sure, unsure = (Answer("1.jpg", "", "cat", "dog", (1 - p, p)) for p in (0.9, 0.6))
    >>> [max(found.probabilities) for found in least_certain([sure, unsure])]
    [0.6, 0.9]
    """
    return sorted(answers, key=lambda answer: (_margin(answer), answer.path))


def _margin(answer: Answer) -> float:
    second, first = sorted(answer.probabilities)[-2:]
    return first - second


@dataclass(frozen=True)
class Pictures:
    """Makes galleries of photos that are worth looking at.

    Args:
        read: gives a photo's bytes by its path, from any thread, or raises PhotoError.
        explain: given a photo's bytes and name and the class that was answered, a JPEG of it with
            what that answer rests on; None where that is not known.
        progress: where to show how it goes.
    """

    read: Read
    explain: Explain | None = None
    progress: Progress = SILENT

    def of_answers(self, answers: Sequence[Answer], classes: Sequence[str]) -> list[Gallery]:
        """The most confident mistakes and the least certain answers.

        Args:
            answers: a row a photo that judged.
            classes: of the probabilities, in their order.
        """
        mistakes, uncertain = confident_mistakes(answers, classes), least_certain(answers)
        heat = " Beside it, what the answer rests on." if self.explain else ""
        found = [
            Gallery(
                "mistakes",
                "Most confident mistakes",
                f"The wrong answers that were given with the highest probability. A wrong label, "
                f"or something that the photos trained on do not show?{heat}",
                len(mistakes),
                self._tiles(mistakes[:MOST], classes, _wrong),
            ),
            Gallery(
                "uncertain",
                "Least certain photos",
                "Where the two most probable classes lie closest together: more photos like these "
                f"would teach the model most.{heat}",
                len(uncertain),
                self._tiles(uncertain[:MOST], classes, _close),
            ),
        ]
        return [gallery for gallery in found if gallery.tiles]

    def of_suspects(self, suspects: Suspects) -> list[Gallery]:
        """Photos whose labels may be wrong; none, where there are none."""
        chosen = suspects.ranked[:MOST]
        if not chosen:
            return []
        small = self._small([suspect.path for suspect in chosen])
        tiles = tuple(
            Tile(
                name=_name(suspect.path),
                heading=f"{shown(suspect.given)} \N{RIGHTWARDS ARROW} {shown(suspect.suggested)}?",
                detail=f"labelled {shown(suspect.given)}, which has "
                f"{percent(suspect.given_probability)}; {shown(suspect.suggested)} has "
                f"{percent(suspect.suggested_probability)}",
                photo=small[suspect.path],
            )
            for suspect in chosen
        )
        advice = (
            "Photos whose given label is much less probable than another, by "
            f"{suspects.judged_by}. Expect about {suspects.expected:,} of all "
            f"{suspects.photos:,} labels to be wrong. Look at them, and correct those that are "
            "wrong: they mislead the training and the figures."
        )
        return [Gallery("suspects", "Labels that may be wrong", advice, suspects.count, tiles)]

    def _tiles(
        self,
        answers: Sequence[Answer],
        classes: Sequence[str],
        words: Callable[[Answer, Sequence[str]], tuple[str, str]],
    ) -> tuple[Tile, ...]:
        small = self._small([answer.path for answer in answers])

        def tiles(some: Sequence[Answer]) -> list[Tile]:
            made = []
            for answer in some:
                photo, (heading, detail) = small[answer.path], words(answer, classes)
                heat = self._heat(answer.path, answer.predicted) if photo.address else None
                made.append(Tile(_name(answer.path), heading, detail, photo, heat))
            return made

        found: list[Tile] = []
        with self.progress.step("Looking at photos", len(answers)) as advance:
            for some in map_chunks(tiles, answers, size=_CHUNK):
                found += some
                advance(len(some))
        return tuple(found)

    def _small(self, paths: Sequence[str]) -> dict[str, Small]:
        return thumbnails(dict.fromkeys(paths), self.read)

    def _heat(self, path: str, label: str) -> Small | None:
        if self.explain is None:
            return None
        try:
            seen = self.explain(self.read(path), path, label)
            return Small(data_uri.jpeg(thumbnail(seen, path, SIDE))) if seen else None
        except PhotoError as error:
            return Small(reason=error.reason)


def _wrong(answer: Answer, classes: Sequence[str]) -> tuple[str, str]:
    given = answer.probabilities[classes.index(answer.predicted)]
    return f"{shown(answer.predicted)} {percent(given)}", f"labelled {shown(answer.label)}"


def _close(answer: Answer, classes: Sequence[str]) -> tuple[str, str]:
    order = sorted(range(len(classes)), key=lambda place: -answer.probabilities[place])[:2]
    heading = ", ".join(f"{shown(classes[n])} {percent(answer.probabilities[n])}" for n in order)
    right = "rightly" if answer.predicted == answer.label else f"as {shown(answer.predicted)}"
    return heading, f"labelled {shown(answer.label)}, answered {right}"


def _name(path: str) -> str:
    """The last two parts of a path, which tell most."""
    return shown("/".join(path.replace("\\", "/").split("/")[-2:]))
