"""`pawprint compare`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pawprint.training.compare import Compared


def compare(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Photos, in any of the forms that train takes.")
    ],
    more: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads this at run time
        typer.Argument(metavar="[NAME]...", help="Further backbones: --backbone A B C."),
    ] = None,
    backbone: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="NAME",
            help="A backbone (pawprint backbones lists them), or several with commas between; may "
            "be repeated.",
        ),
    ] = None,
    changes: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A value in place of the recipe's, such as data.size=160; may be repeated.",
        ),
    ] = None,
    weights: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="As of train; random needs no download."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", "-o", help="A folder to keep the runs in.  [default: none is kept]"),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Download nothing: neither weights nor photos.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a backbone.")
    ] = False,
) -> None:
    """Train a head on each of several backbones, and table accuracy against time.

    Each is the recipe quick (pretrained features, a logistic head) on the same split, such as
    pawprint compare photos/ --backbone MobileNetV2 ResNet50V2. A backbone whose weights are not to
    be had is told in its row; the exit code is then 4.
    """
    from pawprint.errors import RecipeError, WeightsError
    from pawprint.progress import Terminal
    from pawprint.training.compare import compare as run_comparison
    from pawprint.training.recipe_files import parse_change

    given = [name for word in [*(backbone or []), *(more or [])] for name in word.split(",")]
    names = [name.strip() for name in given if name.strip()]
    if not names:
        raise RecipeError(
            "no backbone to compare; name some, such as --backbone MobileNetV2 ResNet50V2"
        )
    rows = run_comparison(
        source,
        names,
        changes=dict(map(parse_change, changes or [])),
        weights=weights,
        out=out,
        offline=offline,
        progress=Terminal(),
    )
    if not as_json:
        typer.echo(_line(max(map(len, names)), "backbone", *_COLUMNS))
    missing = 0
    for row in rows:
        missing += row.error is not None
        typer.echo(json.dumps(asdict(row)) if as_json else _row(max(map(len, names)), row))
    if missing:
        raise typer.Exit(WeightsError.exit_code)


_COLUMNS = ("right", "95% interval", "features", "head", "forward", "ONNX file")


def _row(width: int, row: Compared) -> str:
    if row.error is not None:
        return f"{row.backbone:<{width}}  {row.error}"
    return _line(
        width,
        row.backbone,
        f"{row.accuracy:.2%}",
        f"{row.low:.2%} to {row.high:.2%}",
        f"{row.features_ms:.1f} ms",
        f"{row.training_s:.1f} s",
        f"{row.forward_ms:.1f} ms",
        f"{row.file_bytes / 1e6:.1f} MB",
    )


def _line(width: int, name: str, *cells: str) -> str:
    widths = (7, 17, 9, 8, 9, 9)
    return "  ".join(
        [f"{name:<{width}}", *(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))]
    )
