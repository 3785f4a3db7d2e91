"""`pawprint evaluate`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pawprint.classifier import Classifier
    from pawprint.data.sources import Source
    from pawprint.evaluation.evaluate import Evaluation
    from pawprint.progress import Progress


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run or a bundle.")],
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Labelled photos, in any of the forms that train takes."
        ),
    ],
    split: Annotated[
        Optional[str],  # noqa: UP045 - typer reads this at run time
        typer.Option(
            help="Which part of a source with given splits: train, validation or test.  "
            "[default: test, or else validation]"
        ),
    ] = None,
    report: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--report",
            metavar="OUT",
            help="Also write a page to a file: figures, curves, mistakes with heat-maps.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a trained classifier on labelled photos."""
    from pawprint.classifier import Classifier
    from pawprint.data.sources import open_source
    from pawprint.evaluation.evaluate import evaluate_source
    from pawprint.progress import Terminal

    progress, classifier = Terminal(), Classifier(model)
    if report is not None:
        _expect_report(report)
    with open_source(source, progress=progress) as opened:
        found = evaluate_source(classifier, opened, split=split, progress=progress)
        if report is not None:
            _write_report(report, found, opened, classifier, model, source, progress)
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    else:
        typer.echo(_table(found))


def _expect_report(path: Path) -> None:
    """Fail before the work where a page cannot be made."""
    from pawprint.errors import MissingExtra

    try:
        from pawprint.report.write import checked
    except ImportError as error:
        raise MissingExtra("a report", error.name, "train") from None
    checked(path)


def _write_report(
    path: Path,
    found: Evaluation,
    opened: Source,
    classifier: Classifier,
    model: str,
    source: str,
    progress: Progress,
) -> None:
    from pawprint.report.heatmaps import explaining
    from pawprint.report.write import write_evaluation

    command = shlex.join(["pawprint", "evaluate", model, source, "--report", str(path)])
    write_evaluation(
        found,
        opened,
        path,
        model=model,
        command=command,
        explain=explaining(classifier),
        progress=progress,
    )
    typer.echo(f"report    {path}", err=True)


def _table(found: Evaluation) -> str:
    figures = found.figures
    low, high = figures.accuracy_interval
    width = max(len("class"), *(len(row.label) for row in figures.classes))
    lines = [
        f"accuracy  {figures.accuracy:.2%} right on {figures.count:,} photos "
        f"({figures.confidence:.0%} interval {low:.2%} to {high:.2%})",
        f"balanced  {figures.balanced_accuracy:.2%} right of each class, on average",
        f"ROC-AUC   {_number(figures.roc_auc)}",
        f"ECE       {found.calibration.after.ece:.4f} (Brier {found.calibration.after.brier:.4f}, "
        f"log loss {found.calibration.after.log_loss:.4f})",
        *([] if found.refused is None else [f"unknown   {_refused(found)}"]),
        "",
        f"{'class':<{width}}  photos  precision  recall      F1",
        *(
            f"{row.label:<{width}}  {row.count:>6,}  {_number(row.precision):>9}  "
            f"{_number(row.recall):>6}  {_number(row.f1):>6}"
            for row in figures.classes
        ),
    ]
    if found.faults:
        count = sum(fault.count for fault in found.faults)
        lines += ["", f"{count:,} file(s) were left out:"]
        lines += [f"  {fault.path}: {fault.reason}" for fault in found.faults[:5]]
        if rest := count - sum(fault.count for fault in found.faults[:5]):
            lines.append(f"  and {rest:,} more (--json lists all)")
    return "\n".join(lines)


def _refused(found: Evaluation) -> str:
    count = found.figures.count
    return f"would be said of {found.refused:,} of them ({(found.refused or 0) / count:.2%})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
