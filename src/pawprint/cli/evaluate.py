"""`pawprint evaluate`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pawprint.evaluation.evaluate import Evaluation


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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a trained classifier on labelled photos."""
    from pawprint.evaluation.evaluate import evaluate as run_evaluation
    from pawprint.progress import Terminal

    found = run_evaluation(model, source, split=split, progress=Terminal())
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    else:
        typer.echo(_table(found))


def _table(found: Evaluation) -> str:
    figures = found.figures
    low, high = figures.accuracy_interval
    width = max(len("class"), *(len(row.label) for row in figures.classes))
    lines = [
        f"accuracy  {figures.accuracy:.2%} right on {figures.count:,} photos "
        f"({figures.confidence:.0%} interval {low:.2%} to {high:.2%})",
        f"ROC-AUC   {_number(figures.roc_auc)}",
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


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
