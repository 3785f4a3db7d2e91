"""`pawprint backbones`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Optional

import typer


def backbones(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads this at run time
        typer.Argument(metavar="[NAME]...", help="Only these.  [default: all]"),
    ] = None,
    size: Annotated[
        int, typer.Option(min=32, max=1024, help="Of the input that is timed, in pixels.")
    ] = 224,
    timed: Annotated[bool, typer.Option("--time/--no-time", help="Measure forward times.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a network.")
    ] = False,
) -> None:
    """List the networks that a classifier can start from, and what each costs on this machine.

    Each is built with random weights, which takes minutes for all of them. Forward times are for a
    photo of --size pixels: float32, one photo a call, on one core.
    """
    from pawprint.model.applications import spelled
    from pawprint.model.measure import costs

    width = max(map(len, names or spelled()))
    found = costs(names, size=size, timed=timed)
    if not as_json:
        typer.echo(
            f"{'backbone':<{width}}  made for  cuts  parameters  ONNX file  "
            f"{f'forward at {size} px':>17}  weights"
        )
    for cost in found:
        if as_json:
            typer.echo(json.dumps(asdict(cost)))
            continue
        forward = "-" if cost.forward_ms is None else f"{cost.forward_ms:.1f} ms"
        here = "here" if cost.weights_here else "not here"
        typer.echo(
            f"{cost.backbone:<{width}}  {cost.default_size:>5} px  {cost.cuts:>4}  "
            f"{cost.parameters:>10,}  {cost.file_bytes / 1e6:>6.1f} MB  {forward:>17}  {here}"
        )
