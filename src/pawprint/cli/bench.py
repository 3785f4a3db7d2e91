"""`pawprint bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pawprint.export.bench import Speed


def bench(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL",
            help="Runs and bundles, each with its exports; or the folders of exports.",
        ),
    ],
    seconds: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=60,
            help="To spend on each for one photo at a time, and again for batches.",
        ),
    ] = 5.0,
    batch: Annotated[
        int, typer.Option(min=1, max=1024, help="Photos at once for the throughput.")
    ] = 32,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object each.")] = False,
) -> None:
    """Time a trained classifier and its exports on this machine, each in its own runtime.

    Decoding is excluded. All take turns, in processes of their own, so that whatever else the
    machine does falls on all alike. An export that cannot be run is told in its row.
    """
    from pawprint.export.bench import measure, subjects
    from pawprint.progress import Terminal

    progress = Terminal()
    these = subjects(models, progress=progress)
    speeds = measure(these, seconds=seconds, batch=batch, progress=progress)
    if as_json:
        for speed in speeds:
            typer.echo(json.dumps(speed.to_dict()))
    else:
        typer.echo(_table(speeds, batch))


_WORDS = ("format", "precision")
_FIGURES = ("MB", "load s", "p50 ms", "p90 ms", "p99 ms", "calls", "photos/s", "memory MB")


def _table(speeds: list[Speed], batch: int) -> str:
    from pawprint.export.bench import ROUNDS
    from pawprint.parallel import cores

    rows = [(*_WORDS, *_FIGURES, "runtime", "folder"), *map(_row, speeds)]
    measured = [row for row in rows if len(row) > len(_WORDS) + 1]
    widths = [max(map(len, column)) for column in zip(*measured, strict=True)]
    for place in range(len(_WORDS)):
        widths[place] = max(len(row[place]) for row in rows)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if name in _FIGURES else cell.ljust(width)
            for name, cell, width in zip(rows[0], row[:-1], widths, strict=False)
        ]
        lines.append("  ".join([*cells, row[-1]]))
    many = cores()
    return "\n".join(
        [
            *lines,
            "",
            f"load: to the first answer; p50, p90, p99: of the calls, in {ROUNDS} rounds, one "
            f"photo each, decoding excluded; photos/s: {batch:,} at once; "
            f"{many} core{'s' * (many != 1)}",
        ]
    )


def _row(speed: Speed) -> tuple[str, ...]:
    """What is said of one; of what could not be measured, a shorter one."""
    words = (speed.format or "?", speed.precision or "?")
    if speed.error is not None:
        return (*words, f"{speed.folder}: {speed.error}")
    notes = ["made of another model"] * speed.other_model
    notes += ["each answer of two photos, the mirror image too"] * speed.mirror
    sizes = [None if speed.bytes is None else speed.bytes / 1e6, speed.load_seconds]
    figures = [*sizes, speed.p50_ms, speed.p90_ms, speed.p99_ms]
    memory = "-" if speed.memory_mb is None else f"{speed.memory_mb:,.0f}"
    return (
        *words,
        *("-" if value is None else f"{value:,.2f}" for value in figures),
        f"{speed.calls:,}",
        f"{speed.photos_per_second:,.1f}",
        memory,
        speed.runtime or "-",
        speed.folder + (f" ({'; '.join(notes)})" if notes else ""),
    )
