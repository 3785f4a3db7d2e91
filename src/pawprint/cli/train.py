"""`pawprint train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pawprint.evaluation.metrics import Figures
    from pawprint.training.run import Run

_SHOWN = 5


def train(
    source: Annotated[
        Optional[str],  # noqa: UP045 - typer reads this at run time
        typer.Argument(
            metavar="[SOURCE]",
            help="A folder of class folders, a zip or tar of one, an https address of such an "
            "archive, a .csv or .jsonl of path and label, a dataset's name (pawprint datasets "
            "list), or tfds:NAME.",
        ),
    ] = None,
    features: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="DIR",
            help="Train on what pawprint embed wrote instead of on photos: any number, also more "
            "than fits into memory.",
        ),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads this at run time
        typer.Option("--out", "-o", help="The run's folder.  [default: runs/SOURCE-TIME]"),
    ] = None,
    recipe: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--recipe",
            "-r",
            help="A recipe's name, or a TOML file.  [default: quick; with --features the one that "
            "was embedded with]",
        ),
    ] = None,
    changes: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A value in place of the recipe's, such as stage.1.epochs=5; may be repeated.",
        ),
    ] = None,
    backbone: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME",
            help="The network to start from, such as ResNet50V2 or MobileNetV2-0.35 (pawprint "
            "backbones lists them).  [default: the recipe's]",
        ),
    ] = None,
    weights: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="A file with the backbone's pretrained weights (.h5, no top); or imagenet, or "
            "random.  [default: the recipe's]",
        ),
    ] = None,
    validation: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            help="The part of each class to hold out, however few photos there are.  "
            "[default: the recipe's, 0.2, or folds where photos are few]"
        ),
    ] = None,
    group_by: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="KEY",
            help="Keep photos that belong together on one side of the split: folder (those in one "
            "folder below their class's), folder:2, or a table's column.",
        ),
    ] = None,
    exclude: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Leave out the photos of a list, as check --quarantine writes it.",
        ),
    ] = None,
    corrections: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Correct labels and leave photos out first, as review wrote it; one that lies in "
            "a run is compared with that run.",
        ),
    ] = None,
    decision: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="RULE",
            help="With two classes, how a probability becomes an answer: default, accuracy, "
            "f1:CLASS, precision:CLASS=0.99, recall:CLASS=0.95, or cost:A>B=5,B>A=1.  "
            "[default: the recipe's]",
        ),
    ] = None,
    seed: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Of the split and all else drawn at random.  [default: the recipe's, 0]"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop if any photo cannot be read.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Download nothing: neither weights nor photos.")
    ] = False,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep features for the next training.")
    ] = True,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on after the last epoch that an interruption left."),
    ] = False,
    time_limit: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="TIME",
            help="End within this time, such as 60s or 5m, and say what was left out to keep it.",
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log every epoch for TensorBoard.")
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report",
            help="Draw plots/ and report.html; without, the run is there some seconds earlier, "
            "and pawprint report draws the page when it is wanted.",
        ),
    ] = True,
) -> None:
    """Train a classifier on a folder or archive of photos, and write the run to a folder."""
    from pawprint.progress import Terminal
    from pawprint.training.recipe_files import parse_change
    from pawprint.training.run import train as run_training
    from pawprint.training.time_limit import seconds

    changed = dict(map(parse_change, changes or []))
    if decision is not None:
        changed["decision"] = decision
    if features is not None:
        from pawprint.training.from_features import train_on_features

        _expect_none_but_features(
            SOURCE=source,
            **{
                "--group-by": group_by,
                "--exclude": exclude,
                "--corrections": corrections,
                "--strict": strict,
                "--resume": resume,
                "--time-limit": time_limit,
                "--tensorboard": tensorboard,
                "--no-cache": not cache,
            },
        )
        run = train_on_features(
            features,
            recipe=recipe,
            changes=changed,
            out=out,
            backbone=backbone,
            weights=weights,
            seed=seed,
            validation=validation,
            offline=offline,
            report=report,
            progress=Terminal(),
        )
        typer.echo(_summary(run))
        return
    if source is None:
        raise typer.BadParameter("missing SOURCE, the photos to train on, or --features DIR")
    run = run_training(
        source,
        recipe=recipe or "quick",
        changes=changed,
        out=out,
        backbone=backbone,
        weights=weights,
        seed=seed,
        validation=validation,
        group_by=group_by,
        exclude=exclude,
        corrections=corrections,
        strict=strict,
        offline=offline,
        cache=cache,
        resume=resume,
        tensorboard=tensorboard,
        time_limit=None if time_limit is None else seconds(time_limit),
        report=report,
        progress=Terminal(),
    )
    typer.echo(_summary(run))


def _expect_none_but_features(**given: object) -> None:
    """Refuse what is for photos, where features are given."""
    from pawprint.errors import PawprintError

    if named := [name for name, value in given.items() if value]:
        raise PawprintError(f"{', '.join(named)} is for photos, and --features has none; leave out")


def _summary(run: Run) -> str:
    """What came out, where it is and what to type next."""
    photos, classes = run.record["photos"], run.record["classes"]
    total = {label: sum(side[label] for side in photos.values()) for label in classes}
    counts = {side: sum(by_class.values()) for side, by_class in photos.items()}
    listed = ", ".join(f"{label} {total[label]:,}" for label in classes[:8])
    more = f" and {len(classes) - 8} more classes" if len(classes) > 8 else ""
    folds = run.record["folds"]
    uses = [f"{count:,} to {_USE[side]}" for side, count in counts.items() if count]
    if folds:
        uses[0] += f", judged in {folds} folds"
    sides = " + ".join(uses)
    lines = [
        f"photos       {sum(counts.values()):,} ({listed}{more}): {sides}",
        f"left out     {run.record['left_out']:,}"
        + (" (see left_out.csv)" if run.record["left_out"] else ""),
        *(f"             {fault.path}: {fault.reason}" for fault in run.faults[:_SHOWN]),
    ]
    rest = run.record["left_out"] - sum(fault.count for fault in run.faults[:_SHOWN])
    if rest and run.faults:
        lines.append(f"             and {rest:,} more")
    lines += _findings(run)
    lines += _stages(run)
    lines.append(_figures("validation", run.figures, folds))
    if run.test_figures is not None:
        lines.append(_figures("test", run.test_figures))
    lines += _trust(run)
    lines += [f"note         {note}" for note in run.record["notes"]]
    if limited := run.record["time_limit"]:
        told = "; ".join(limited["left_out"]) or "nothing was left out"
        lines.append(f"time limit   {limited['seconds']:g} s: {told}")
    tried = run.record["bundle"]
    same = tried["photos"] - tried["labels_differing"]
    report = run.path / "report.html"
    there = report.is_file()
    lines += [
        f"model        answers as measured on {same} of {tried['photos']} photos tried",
        f"time         {run.record['seconds']['total']:.1f} s"
        + (" since it was resumed" if run.record["resumed_after_epochs"] else ""),
        f"run          {run.path}",
        *([f"report       {report}"] if there else []),
        "",
        "next",
        *([] if there else [f"  pawprint report {_quoted(run.path)}"]),
        *([f"  pawprint review {_quoted(run.path)}"] if run.record["suspects"] else []),
        f"  pawprint predict {_quoted(run.path)} PHOTO...",
        f"  pawprint evaluate {_quoted(run.path)} OTHER_PHOTOS",
    ]
    return "\n".join(lines)


def _figures(name: str, found: Figures, folds: int = 0) -> str:
    low, high = found.accuracy_interval
    unseen = ", each judged by a network that had not seen it" if folds else ""
    told = f"{folds} folds; " if folds else ""
    return (
        f"{name:<12} {found.accuracy:.2%} right on {found.count:,} photos{unseen} "
        f"({told}{found.confidence:.0%} interval {low:.2%} to {high:.2%})"
    )


def _trust(run: Run) -> list[str]:
    """What corrections did, which labels look wrong, and when a photo is unknown."""
    from pawprint.evaluation.paired import Comparison, in_words

    lines = []
    if before := run.record["before"]:
        told = in_words(Comparison.from_dict(before["comparison"]))
        lines.append(f"corrected    {before['run']} on the same photos: {told}")
    if suspects := run.record["suspects"]:
        lines.append(f"labels       {suspects:,} may be wrong (see pawprint review)")
    if unknown := run.record["unknown"]:
        lines.append(
            f"unknown      is said of photos unlike these; of {unknown['photos']:,} like these it "
            f"was said of {unknown['refused']:,}"
        )
    return lines


def _findings(run: Run) -> list[str]:
    """How many findings there are that may do harm, and where they are told."""
    from pawprint.doctor.findings import KINDS, Level

    told = [
        f"{count:,} {KINDS[kind].name}"
        for kind, count in run.record["findings"].items()
        if KINDS[kind].level is not Level.NOTE
    ]
    return [f"found        {', '.join(told)} (see findings.json, or pawprint check)"] * bool(told)


def _stages(run: Run) -> list[str]:
    """Where each stage that had epochs ended and how long it took; whether a later one stands."""
    told: list[tuple[int, str]] = []
    for stage in sorted({row["stage"] for row in run.history}):
        rows = [row for row in run.history if row["stage"] == stage]
        kept, seconds = rows[-1], sum(row["seconds"] for row in rows)
        if stage in run.record["restored"]:
            kept = min(rows, key=lambda row: row["val_loss"])
        judged = ""
        if "val_loss" in kept:  # not where all photos train
            judged = f"validation {kept['val_accuracy']:.2%} right, loss {kept['val_loss']:.4f}; "
        which = "" if kept is rows[-1] else f", back to epoch {kept['epoch']}"
        line = f"{len(rows)} epoch(s), {seconds:.0f} s{which}: {judged}training loss"
        told.append((int(stage), f"{line} {kept['loss']:.4f}"))
    told += [(found.stage, found.in_words()) for found in run.outcomes]
    told.sort(key=lambda one: one[0])
    return [f"{f'stage {stage}':<12} {line}" for stage, line in told]


_USE = {"train": "train on", "validation": "validate", "test": "test"}


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
