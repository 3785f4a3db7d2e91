"""`pawprint samples`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def samples(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to; must be empty or not exist.")
    ],
    photos: Annotated[int, typer.Option(min=2, help="How many to draw.")] = 400,
    seed: Annotated[int, typer.Option(help="Another seed draws other faces.")] = 0,
    faults: Annotated[
        bool, typer.Option("--faults", help="Plant damaged files, wrong labels and copies.")
    ] = False,
) -> None:
    """Draw cat and dog faces, to try pawprint without photos of one's own."""
    from pawprint.data.samples import write_samples

    planted = write_samples(folder, photos, seed=seed, faults=faults)
    typer.echo(f"{photos} photos drawn in {folder}")
    for plant in planted:
        typer.echo(f"  planted: {plant.path} ({plant.fault})")
