"""`pawprint embed`."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from pawprint.cli.jobs import (
    ActorCpusOption,
    AddressOption,
    Chosen,
    EngineName,
    EngineOption,
    PartSizeOption,
    run,
)


class PrecisionName(enum.StrEnum):
    """How finely features are computed."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def embed(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder of class folders, or a list (.txt, .csv, .jsonl, .parquet) of paths and "
            "labels; also at an address such as s3://bucket/photos.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="The folder of results.")],
    recipe: Annotated[
        str,
        typer.Option("--recipe", "-r", help="Compute what training by this recipe needs."),
    ] = "quick",
    changes: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads this at run time
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A value in place of the recipe's; may be repeated."
        ),
    ] = None,
    backbone: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="The network.  [default: the recipe's]"),
    ] = None,
    weights: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Its weights.  [default: the recipe's]"),
    ] = None,
    precision: Annotated[
        PrecisionName,
        typer.Option(help="bfloat16 is faster on processors that have it, and less exact."),
    ] = PrecisionName.float32,
    offline: Annotated[bool, typer.Option("--offline", help="Download no weights.")] = False,
    engine: EngineOption = EngineName.local,
    address: AddressOption = None,
    actor_cpus: ActorCpusOption = None,
    part_size: PartSizeOption = None,
) -> None:
    """Compute features of any number of photos once, as Parquet files, to train on with --features.

    What is interrupted goes on with the same command. Photos that cannot be read have their reason
    in the column `error`; the exit code is then 3.
    """
    from pawprint.training import recipe_changes
    from pawprint.training.recipe_files import parse_change
    from pawprint.training.to_features import FeaturesOf

    chosen = Chosen(engine, address, actor_cpus, part_size)
    chosen.check()
    changed = dict(map(parse_change, changes or []))
    given = recipe_changes.said(changed, backbone=backbone, weights=weights)
    computes = FeaturesOf(recipe, changes=given, precision=precision.value, offline=offline)
    run(computes, source, out, chosen)
