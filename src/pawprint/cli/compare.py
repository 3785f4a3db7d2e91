"""`pawprint compare`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pawprint.report.compare_runs import ComparedRun
    from pawprint.training.compare import Compared


def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SOURCE",
            help="A run; or with --backbone photos, in any of the forms that train takes.",
        ),
    ],
    more: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads this at run time
        typer.Argument(
            metavar="[RUN|NAME]...", help="Further runs, or further backbones: --backbone A B C."
        ),
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
        bool, typer.Option("--json", help="Print one JSON object a run or a backbone.")
    ] = False,
) -> None:
    """Compare runs photo by photo, or backbones on the same photos.

    Runs, as in pawprint compare RUN RUN..., are held against the first one on the photos that
    judged both, with McNemar's exact test.

    With --backbone a head is trained on each of several backbones, and accuracy is tabled against
    time. Each is the recipe quick (pretrained features, a logistic head) on the same split, such as
    pawprint compare photos/ --backbone MobileNetV2 ResNet50V2. A backbone whose weights are not to
    be had is told in its row; the exit code is then 4.
    """
    if backbone is None:
        _compare_runs([first, *(more or [])], as_json)
        return
    from pawprint.errors import RecipeError, WeightsError
    from pawprint.progress import Terminal
    from pawprint.training.compare import compare as run_comparison
    from pawprint.training.recipe_files import parse_change

    given = [name for word in [*backbone, *(more or [])] for name in word.split(",")]
    names = [name.strip() for name in given if name.strip()]
    if not names:
        raise RecipeError(
            "no backbone to compare; name some, such as --backbone MobileNetV2 ResNet50V2"
        )
    rows = run_comparison(
        first,
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


def _compare_runs(folders: list[str], as_json: bool) -> None:
    from pawprint.errors import RecipeError
    from pawprint.report.compare_runs import compare_runs

    if len(folders) < 2:
        raise RecipeError(
            "nothing to compare with; name further runs, or backbones for photos, such as "
            "--backbone MobileNetV2 ResNet50V2"
        )
    rows = compare_runs(folders)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(asdict(row)))
        return
    width = max(len("run"), *(len(row.run) for row in rows))
    recipes = max(len("recipe"), *(len(row.recipe) for row in rows))
    typer.echo(
        f"{'run':<{width}}  {'recipe':<{recipes}}  {'right':>7}  {'95% interval':>17}  "
        f"{'photos':>7}  {'time':>8}  against the first, on the same photos"
    )
    for number, row in enumerate(rows):
        typer.echo(
            f"{row.run:<{width}}  {row.recipe:<{recipes}}  {row.accuracy:>7.2%}  "
            f"{f'{row.low:.2%} to {row.high:.2%}':>17}  {row.photos:>7,}  "
            f"{f'{row.seconds:.1f} s':>8}  {_against(row) if number else ''}".rstrip()
        )


def _against(row: ComparedRun) -> str:
    """How a run differs from the first one, in words."""
    found = row.against_first
    if found is None:
        return "no photo judged both"
    points = 100 * (found.right_after - found.right_before) / found.count
    low, high = (100 * end for end in found.interval)
    return (
        f"{points:+.2f} points ({low:+.2f} to {high:+.2f}) on {found.count:,}; better on "
        f"{found.only_after:,}, worse on {found.only_before:,}; p = {found.p_value:.2g}"
    )


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
