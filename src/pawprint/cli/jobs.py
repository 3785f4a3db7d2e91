"""What `predict --out` and `embed` share: engine, progress, summary. No verb of its own."""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from pawprint.errors import PawprintError

if TYPE_CHECKING:
    from pawprint.scale.beginning import Computes
    from pawprint.scale.engines import Engine
    from pawprint.scale.job import Finished


SOME_UNREADABLE = 3


class EngineName(enum.StrEnum):
    """Who computes."""

    local = "local"
    ray = "ray"


EngineOption = Annotated[
    EngineName,
    typer.Option(help="Who computes: this process, or a Ray cluster (pip install '.[scale]')."),
]
AddressOption = Annotated[
    Optional[str],  # noqa: UP045 - typer reads this at run time
    typer.Option(
        metavar="HOST:PORT",
        help="Of the Ray cluster.  [default: RAY_ADDRESS, or one on this machine alone]",
    ),
]
ActorCpusOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        min=1, max=1024, help="With Ray: CPUs for each actor and its network.  [default: 1]"
    ),
]
PartSizeOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, max=1_000_000, help="Photos a part of the results.  [default: 1024]"),
]


@dataclass(frozen=True)
class Chosen:
    """How a job is to be done, as options say."""

    engine: EngineName
    address: str | None
    actor_cpus: int | None
    part_size: int | None

    def check(self) -> None:
        """Refuse options of another engine than the one that was asked for."""
        if self.engine is EngineName.local and (self.address or self.actor_cpus):
            option = "--address" if self.address else "--actor-cpus"
            raise PawprintError(f"{option} is for --engine ray; give both or neither")

    def make_engine(self) -> Engine:
        """The engine."""
        if self.engine is EngineName.ray:
            from pawprint.scale.ray_engine import RayEngine

            return RayEngine(self.address, cpus=self.actor_cpus or 1)
        from pawprint.scale.engines import LocalEngine

        return LocalEngine()


def run(computes: Computes, source: str, out: str, chosen: Chosen) -> None:
    """Run a job and say what came of it; the exit code is 3 where photos could not be read."""
    from pawprint.parts.places import place
    from pawprint.progress import Terminal
    from pawprint.scale.job import run_job

    progress = Terminal()
    try:
        finished = run_job(
            computes,
            place(source),
            place(out),
            chosen.make_engine(),
            part_size=chosen.part_size,
            progress=progress,
        )
    except KeyboardInterrupt:
        progress.say("what is computed is kept; the same command goes on from there")
        raise
    typer.echo(_summary(finished))
    if errors := finished.manifest["errors"]:
        print(
            f"{errors:,} of {finished.manifest['rows']:,} could not be read (exit code "
            f"{SOME_UNREADABLE}); the column `error` says why",
            file=sys.stderr,
        )
        raise typer.Exit(SOME_UNREADABLE)


def _summary(finished: Finished) -> str:
    """What came out and where it is."""
    manifest = finished.manifest
    rows, computed = manifest["rows"], finished.computed
    there = f", {rows - computed:,} were there" if computed < rows else ""
    labels = sorted(manifest["labels"].items(), key=lambda one: (-one[1], one[0]))
    listed = ", ".join(f"{label} {count:,}" for label, count in labels[:8])
    more = f" and {len(labels) - 8:,} more labels" if len(labels) > 8 else ""
    unreachable = manifest["unreachable"]
    tries = f", {unreachable:,} could not be reached: the same command tries these again"
    again = tries if unreachable else ""
    rate = f" ({computed / finished.seconds:,.0f} photos/s)" if computed else ""
    lines = [
        f"photos       {rows:,}: {computed:,} computed now{there}",
        f"labels       {listed or 'none'}{more}",
        f"errors       {manifest['errors']:,}{again}",
        f"engine       {manifest['engine']}",
        f"time         {finished.seconds:.1f} s{rate}",
        f"results      {finished.place / 'parts'} ({len(manifest['parts']):,} Parquet files)",
    ]
    return "\n".join(lines)
