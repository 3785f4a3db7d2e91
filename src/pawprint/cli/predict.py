"""`pawprint predict`."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from pawprint.cli.jobs import (
    SOME_UNREADABLE,
    ActorCpusOption,
    AddressOption,
    Chosen,
    EngineName,
    EngineOption,
    PartSizeOption,
    run,
)
from pawprint.errors import PawprintError

if TYPE_CHECKING:
    from pawprint.classifier import Classifier, Prediction

    Row = tuple[Prediction, Path | None]  # and the file that shows what the answer rests on


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] PATH...",
            help="A run or a bundle, or else the starter answers: cat or dog. Then photos, folders "
            "(searched through), patterns, or - for a list on standard input.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a photo.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    explain: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads this at run time
        typer.Option(
            metavar="OUT",
            help="Write what each answer rests on into a new folder: the photo, glowing where it "
            "speaks for the answer.",
        ),
    ] = None,
    out: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Write Parquet files into a folder instead, of any number of photos: of one "
            "SOURCE, a folder or a list (.txt, .csv, .jsonl, .parquet), also at an address such as "
            "s3://bucket/photos. What is interrupted goes on with the same command.",
        ),
    ] = None,
    engine: EngineOption = EngineName.local,
    address: AddressOption = None,
    actor_cpus: ActorCpusOption = None,
    part_size: PartSizeOption = None,
) -> None:
    """Say what is on each photo.

    Without MODEL the starter is asked, which comes with pawprint and knows cats and dogs.

    A photo that is too unlike those trained on is `unknown`. The exit code is 0 when every photo
    could be read and 3 when some could not; those have their reason in the output.
    """
    from pawprint import load
    from pawprint.data.paths import find_photos
    from pawprint.progress import SILENT, Progress, Terminal

    if as_json and as_csv:
        raise PawprintError("--json and --csv were both given; choose one")
    chosen = Chosen(engine, address, actor_cpus, part_size)
    chosen.check()
    if out is not None:
        if as_json or as_csv or explain is not None:
            raise PawprintError("--out writes Parquet files, without --json, --csv or --explain")
        _to_parts(paths, out, chosen)
        return
    if engine is not EngineName.local or part_size is not None:
        raise PawprintError("--engine and --part-size need --out DIR")
    model, photos = _told_apart(paths)
    classifier = load(model)
    if model is None:
        known = " or ".join(classifier.classes)
        print(f"no model was named, so the starter answers: {known}", file=sys.stderr)
    answers = _counted(_answers(classifier, find_photos(photos, sys.stdin), explain))
    progress: Progress = SILENT if sys.stdout.isatty() else Terminal()  # rows are seen come
    with progress.step("Predicting", None):
        if as_json:
            _print_json(answers, explained=explain is not None)
        elif as_csv:
            _print_csv(answers, classifier.classes, explained=explain is not None)
        else:
            _print_table(answers, classifier.classes)
    if explain is not None:
        print(_drawn(answers, explain), file=sys.stderr)
    if answers.unreadable:
        print(
            f"{answers.unreadable} of {answers.total} could not be read (exit code "
            f"{SOME_UNREADABLE})",
            file=sys.stderr,
        )
        raise typer.Exit(SOME_UNREADABLE)


def _to_parts(paths: list[str], out: str, chosen: Chosen) -> None:
    """Write predictions of a source as Parquet files."""
    from pawprint import starter
    from pawprint.scale.predicting import Predictions

    if len(paths) > 2:
        raise PawprintError(
            f"with --out expected [MODEL] and one SOURCE, got {len(paths)}; list them in a file"
        )
    model = paths[0] if len(paths) == 2 else _told_apart(paths)[0]
    if model is None:
        print("no model was named, so the starter answers", file=sys.stderr)
    run(Predictions(model or starter.BUNDLE), paths[-1], out, chosen)


def _told_apart(paths: list[str]) -> tuple[str | None, list[str]]:
    """The model, if the first path is one or was meant to be, and the photos."""
    from pawprint import bundle
    from pawprint.errors import BundleError

    first, *others = paths
    try:
        bundle.find(first)
    except BundleError:
        if others and _like_a_model(first):
            raise
        return None, paths
    if not others:
        raise PawprintError(f"{first} is a model; name photos after it")
    return first, others


def _like_a_model(path: str) -> bool:
    """Whether nobody would write this for photos."""
    import glob

    from pawprint.classifier import read_file
    from pawprint.data.images import open_photo
    from pawprint.data.layout import PHOTO_SUFFIXES
    from pawprint.data.paths import find_photos
    from pawprint.errors import PhotoError

    if os.path.isdir(path):
        unfinished = os.path.isfile(os.path.join(path, "recipe.toml"))
        return unfinished or next(find_photos([path], ())) == path
    if path == "-" or Path(path).suffix.lower() in PHOTO_SUFFIXES:
        return False
    if not os.path.lexists(path) and glob.has_magic(path):
        return False
    try:
        open_photo(read_file(path), path, near=1)
    except PhotoError:
        return True
    return False


def _answers(classifier: Classifier, paths: Iterable[str], explain: Path | None) -> Iterator[Row]:
    if explain is None:
        return ((answer, None) for answer in classifier.predict_many(paths))
    from pawprint.report.heatmaps import write_heatmaps

    return write_heatmaps(classifier, paths, explain)


class _counted:  # noqa: N801 - reads as a function
    """Rows as they come, counting those without an answer."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.total = self.unreadable = 0

    def __iter__(self) -> Iterator[Row]:
        for answer, drawing in self._rows:
            self.total += 1
            self.unreadable += answer.error is not None
            yield answer, drawing


def _drawn(answers: _counted, folder: Path) -> str:
    count = answers.total - answers.unreadable
    maps = f"{count:,} heat-map{'s' * (count != 1)}"
    return f"{maps} in {folder}: what glows speaks for the answer"


def _print_json(rows: Iterable[Row], *, explained: bool) -> None:
    for answer, drawing in rows:
        more = {"explained": drawing and os.fspath(drawing)} if explained else {}
        print(json.dumps(asdict(answer) | more))


def _print_csv(rows: Iterable[Row], classes: tuple[str, ...], *, explained: bool) -> None:
    writer = csv.writer(sys.stdout)
    head = ["path", "label", "probability", "novelty", "error", *["explained"] * explained]
    # A class may be called as a column is.
    writer.writerow([*head, *(f"p({label})" if label in head else label for label in classes)])
    for answer, drawing in rows:
        told = [answer.path, answer.label, answer.probability, answer.novelty, answer.error]
        given = [answer.probabilities.get(label) for label in classes]
        row = [*told, *[drawing] * explained, *given]
        writer.writerow(["" if value is None else value for value in row])


def _print_table(rows: Iterable[Row], classes: tuple[str, ...]) -> None:
    from pawprint.classifier import UNKNOWN

    width = max(map(len, ("label", UNKNOWN, *classes)))
    print(f"{'label':<{width}}  probability  photo")
    for answer, _ in rows:
        if answer.error is not None:
            print(f"{'-':<{width}}  {'-':>11}  {answer.path}: {answer.error}")
        elif answer.probability is None:
            why = f"unlike the photos trained on (novelty {answer.novelty:.2f})"
            print(f"{answer.label:<{width}}  {'-':>11}  {answer.path}: {why}")
        else:
            print(f"{answer.label:<{width}}  {answer.probability:>11.4f}  {answer.path}")
