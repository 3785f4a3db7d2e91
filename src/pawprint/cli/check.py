"""`pawprint check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pawprint.doctor.findings import Checkup, Finding

FAILED = 3  # the exit code where something was found that --fail-on names
_SHOWN = 3  # findings of a kind


def check(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Photos, in any of the forms that train takes.")
    ],
    html: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads this at run time
        typer.Option(metavar="FILE", help="Write a page with thumbnails of all that was found."),
    ] = None,
    quarantine: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Write a list of what is better left out, to read, change and give to train "
            "--exclude.",
        ),
    ] = None,
    fail_on: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="KINDS",
            help="End with exit code 3 if any of these was found, such as leak,unreadable; or "
            "error, warning, note for all as bad as that.",
        ),
    ] = None,
    exclude: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Leave out the photos of a list."),
    ] = None,
    group_by: Annotated[
        str,
        typer.Option(metavar="KEY", help="As of train: groups on several given sides are leaks."),
    ] = "",
    near: Annotated[
        bool, typer.Option("--near/--exact", help="Look for near copies, or for the same bytes.")
    ] = True,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep what is seen for the next time.")
    ] = True,
    every: Annotated[
        bool, typer.Option("--all", help="List every finding, not a few of each kind.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at every photo and tell what is wrong: damage, copies, leaks, odd classes.

    Nothing is changed.
    """
    from pawprint.doctor.check import check as run_check
    from pawprint.doctor.findings import kinds_of
    from pawprint.progress import Terminal

    failing = kinds_of(fail_on.split(",")) if fail_on else frozenset[str]()
    found = run_check(
        source,
        exclude=exclude,
        group_by=group_by,
        near=near,
        html=html,
        quarantine=quarantine,
        offline=offline,
        cache=cache,
        progress=Terminal(),
    )
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    else:
        typer.echo(_table(found, every))
        for path in (html, quarantine):
            if path is not None:
                typer.echo(f"wrote        {path}")
    if reasons := [f"{n:,} {kind}" for kind, n in found.counts().items() if kind in failing]:
        typer.echo(f"pawprint: found {', '.join(reasons)} (--fail-on)", err=True)
        raise typer.Exit(FAILED)


def _table(found: Checkup, every: bool) -> str:
    from pawprint.data.wording import shown
    from pawprint.doctor.findings import KINDS

    classes = [f"{shown(label)} {sum(by.values()):,}" for label, by in found.photos.items()]
    more = f" and {len(classes) - 8:,} more classes" if len(classes) > 8 else ""
    lines = [f"photos       {found.count:,} ({', '.join(classes[:8])}{more})"]
    counted = found.counts()
    if not counted:
        lines.append("found        nothing that is wrong with them")
    for kind, count in counted.items():
        about = KINDS[kind]
        lines += [
            "",
            f"{about.level:<8} {kind}: {count:,} {about.title}",
            f"         {about.advice}",
        ]
        lines += _few([one for one in found.findings if one.kind == kind], every)
    lines += ["", f"time         {found.seconds:.1f} s"]
    return "\n".join(lines)


def _few(findings: Sequence[Finding], every: bool) -> list[str]:
    """Some findings of a kind, or all, and how many more there are."""
    shown = findings if every else findings[:_SHOWN]
    lines = [f"           {_line(finding)}" for finding in shown]
    if rest := sum(finding.count for finding in findings[len(shown) :]):
        lines.append(f"           and {rest:,} more (--all, --html FILE or --json has them)")
    return lines


def _line(finding: Finding) -> str:
    from pawprint.data.wording import shown

    paths = [shown(path) for path in finding.paths[:4]]
    if more := len(finding.paths) - len(paths):
        paths.append(f"{more:,} more")
    told = [part for part in (" = ".join(paths), shown(finding.detail)) if part]
    return ": ".join(told)
