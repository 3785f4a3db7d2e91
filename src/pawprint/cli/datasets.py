"""`pawprint datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(
    help="List the datasets known by name, or download one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_() -> None:
    """List the datasets known by name, and where they are."""
    from pawprint.data.catalogue import CATALOGUE

    width = max(map(len, CATALOGUE))
    for named in CATALOGUE.values():
        size = f"{named.size / 1e6:,.1f} MB"
        typer.echo(f"{named.name:<{width}}  {named.photos:>6,} photos  {size:>9}  {named.about}")
        here = named.here()
        typer.echo(f"{'':<{width}}  {here or 'not downloaded'}")


@app.command()
def fetch(
    dataset: Annotated[
        str, typer.Argument(metavar="NAME|URL", help="A dataset's name, or an archive's address.")
    ],
    to: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads this at run time
        typer.Option(metavar="FILE", help="Also copy it to a file, which must not exist."),
    ] = None,
) -> None:
    """Download a dataset, or go on where it was broken off."""
    from pawprint.data import cache, catalogue, download
    from pawprint.progress import Terminal

    progress = Terminal()
    if to is not None:
        cache.check_free(to)
    if download.is_address(dataset):
        path = download.fetch(dataset, download.downloads_folder(), progress=progress)
    else:
        path = catalogue.find(dataset).fetch(progress=progress)
    typer.echo(path)
    if to is not None:
        cache.copy_out(path, to, progress)
        typer.echo(to)
