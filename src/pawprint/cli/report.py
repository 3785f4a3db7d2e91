"""`pawprint report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pawprint.progress import Progress
    from pawprint.report.pictures import Explain


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    source: Annotated[
        Optional[str],  # noqa: UP045 - typer reads this at run time
        typer.Option(
            metavar="SOURCE", help="Where the photos are now.  [default: where they were]"
        ),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out", "-o", metavar="FILE", help="The page; replaced.  [default: RUN/report.html]"
        ),
    ] = None,
) -> None:
    """Write a run's page again: one HTML file with figures, mistakes and how to do it again.

    It needs nothing else and has photos in it: send it only to those who may see them.
    """
    from pawprint.progress import Terminal
    from pawprint.report.run_files import read_run
    from pawprint.report.write import write_report

    read_run(run)  # know now that it is one
    progress = Terminal()
    explain = _explain(run, progress)
    typer.echo(write_report(run, source=source, out=out, explain=explain, progress=progress))


def _explain(run: Path, progress: Progress) -> Explain | None:
    """What draws the heat-maps of the page; without the run's model, there are none."""
    from pawprint.classifier import Classifier
    from pawprint.errors import PawprintError
    from pawprint.report.heatmaps import explaining

    try:
        return explaining(Classifier(run))
    except PawprintError as error:
        if run.is_dir():  # else there is no page either
            progress.say(f"the page is without heat-maps: {error}")
        return None
