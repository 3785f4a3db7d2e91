"""`pawprint predict`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pawprint.errors import PawprintError

if TYPE_CHECKING:
    from pawprint.classifier import Prediction

SOME_UNREADABLE = 3


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run or a bundle.")],
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Photos, folders (searched through), patterns, or - for a list on standard input.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a photo.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Say what is on each photo.

    The exit code is 0 when every photo could be read and 3 when some could not; those have their
    reason in the output.
    """
    from pawprint.classifier import Classifier
    from pawprint.data.paths import find_photos
    from pawprint.progress import SILENT, Progress, Terminal

    if as_json and as_csv:
        raise PawprintError("--json and --csv were both given; choose one")
    classifier = Classifier(model)
    paths = find_photos(photos, sys.stdin)
    answers = _counted(classifier.predict_many(paths))
    progress: Progress = SILENT if sys.stdout.isatty() else Terminal()  # rows are seen come
    with progress.step("Predicting", None):
        if as_json:
            _print_json(answers)
        elif as_csv:
            _print_csv(answers, classifier.classes)
        else:
            _print_table(answers, classifier.classes)
    if answers.unreadable:
        print(
            f"{answers.unreadable} of {answers.total} could not be read (exit code "
            f"{SOME_UNREADABLE})",
            file=sys.stderr,
        )
        raise typer.Exit(SOME_UNREADABLE)


class _counted:  # noqa: N801 - reads as a function
    """Predictions as they come, counting those without an answer."""

    def __init__(self, predictions: Iterable[Prediction]) -> None:
        self._predictions = predictions
        self.total = self.unreadable = 0

    def __iter__(self) -> Iterator[Prediction]:
        for prediction in self._predictions:
            self.total += 1
            self.unreadable += prediction.error is not None
            yield prediction


def _print_json(answers: Iterable[Prediction]) -> None:
    for answer in answers:
        print(json.dumps(asdict(answer)))


def _print_csv(answers: Iterable[Prediction], classes: tuple[str, ...]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(["path", "label", "probability", "error", *classes])
    for answer in answers:
        given = [answer.probabilities.get(label, "") for label in classes]
        row = [answer.path, answer.label, answer.probability, answer.error]
        writer.writerow(["" if value is None else value for value in [*row, *given]])


def _print_table(answers: Iterable[Prediction], classes: tuple[str, ...]) -> None:
    width = max(len("label"), *map(len, classes))
    print(f"{'label':<{width}}  probability  photo")
    for answer in answers:
        if answer.error is not None:
            print(f"{'-':<{width}}  {'-':>11}  {answer.path}: {answer.error}")
        else:
            print(f"{answer.label:<{width}}  {answer.probability:>11.4f}  {answer.path}")
