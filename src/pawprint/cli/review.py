"""`pawprint review`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pawprint.data.sources import Source
    from pawprint.review.server import Server
    from pawprint.review.session import Session


def review(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run, as train wrote it.")],
    out: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads this at run time
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The file of corrections; one that is there is gone on with.  "
            "[default: RUN/corrections.csv]",
        ),
    ] = None,
    source: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="SOURCE", help="Where the photos are now.  [default: as the run says]"
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="To serve the page on; 0 is any free one.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
) -> None:
    """Look at the photos whose labels a run doubts, one by one in the browser.

    What is said of each is saved at once as a correction, for train --corrections. The photos are
    not changed, and nobody else can open the page.
    """
    from pawprint.review import suspects
    from pawprint.review.server import Server
    from pawprint.review.session import Session

    found = suspects.read(run)
    if not found.ranked:
        typer.echo(f"{run} doubts none of the {found.photos:,} labels it judged")
        return
    location = source or found.location
    with _open(location, run) as opened:
        session = Session(found, opened, location, out or run / "corrections.csv")
        with Server(session, port) as server:
            _serve(server, session, browser)
    typer.echo(_summary(session))


def _open(location: str, run: Path) -> Source:
    from pawprint.data.sources import open_source
    from pawprint.errors import SourceError
    from pawprint.progress import Terminal

    if not location:
        raise SourceError(f"{run} does not say where its photos are; say it with --source SOURCE")
    try:
        return open_source(location, progress=Terminal())
    except SourceError as error:
        raise SourceError(f"{error}; or say where the photos are now with --source") from error


def _serve(server: Server, session: Session, browser: bool) -> None:
    """Show the page until Ctrl-C."""
    import webbrowser

    before = sum(session.counts().values())
    try:
        typer.echo(f"suspects     {len(session.suspects.ranked):,} (worst first)")
        typer.echo(f"corrections  {session.file}" + f" ({before:,} there already)" * bool(before))
        typer.echo(f"page         {server.address}")
        typer.echo("Ctrl-C ends the review; every verdict is saved at once")
        if browser and _has_screen():
            webbrowser.open(server.address)
        server.serve()
    except KeyboardInterrupt:
        typer.echo("")


def _has_screen() -> bool:
    """Whether a browser would be a window, and not take over the terminal."""
    named = any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
    return named or sys.platform in ("darwin", "win32")


def _summary(session: Session) -> str:
    """What was said, and what to type next."""
    from pawprint.data.corrections import Verdict

    counts = session.counts()
    words = {Verdict.KEEP: "kept", Verdict.RELABEL: "relabelled", Verdict.EXCLUDE: "excluded"}
    told = ", ".join(f"{counts[verdict]:,} {word}" for verdict, word in words.items())
    if not counts:
        return f"verdicts     none in {session.file}"
    lines = [f"verdicts     {counts.total():,} in {session.file} ({told})", "", "next"]
    return "\n".join([*lines, f"  {session.command}"])
