"""`pawprint import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pawprint.importer.importing import Imported


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A whole network of stock Keras layers, .keras or .h5; or a Keras export of "
            "Teachable Machine, folder or zip.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The bundle; must not exist.")
    ],
    classes: Annotated[
        Optional[str],  # noqa: UP045 - typer reads this at run time
        typer.Option(metavar="A,B,...", help="The classes, in the order of the outputs."),
    ] = None,
    size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            metavar="PIXELS", help="Height and width of photos, where the network takes any."
        ),
    ] = None,
    scaling: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME",
            help="What is done to pixels before the network: -1..1, 0..1, caffe, torch, or 0..255 "
            "where the network does it itself.",
        ),
    ] = None,
    policy: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME",
            help="How photos were made square: squash, crop or pad.  [default: squash; crop of an "
            "export]",
        ),
    ] = None,
    outputs: Annotated[
        str, typer.Option(metavar="NAME", help="What the network gives: probabilities or logits.")
    ] = "probabilities",
    verify: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="SOURCE",
            help="Labelled photos, to measure the accuracy: whether what is said here is so.",
        ),
    ] = None,
) -> None:
    """Bring in a classifier made elsewhere with Keras.

    The file is opened in a process of its own, with limits, and the bundle is held against it
    before it is handed over.
    """
    from pawprint.importer.importing import import_keras
    from pawprint.progress import Terminal

    found = import_keras(
        file,
        out,
        classes=None if classes is None else [name.strip() for name in classes.split(",")],
        size=size,
        scaling=scaling,
        policy=policy,
        outputs=outputs,
        verify=verify,
        progress=Terminal(),
    )
    typer.echo(_summary(found))


def _summary(found: Imported) -> str:
    card, agreed = found.card, found.agreement
    side, photos = card.preprocessing.size, agreed.drawn + agreed.photos
    lines = [
        f"bundle     {found.path}",
        f"network    {card.training['layers']:,} layers, {card.training['weights']:,} weights, "
        f"saved by Keras {card.training['written_by_keras']}",
        f"classes    {', '.join(card.classes)}",
        f"photos     {side} x {side} px ({card.preprocessing.policy}), scaled to "
        f"{card.training['scaling']}",
        f"agreement  the same answers as the original on {photos:,} pictures ({agreed.photos:,} "
        f"of them photos); largest difference {agreed.largest_difference:.1e}",
    ]
    if agreed.accuracy_interval is not None:
        low, high = agreed.accuracy_interval
        lines.append(
            f"accuracy   {agreed.accuracy:.2%} right on {agreed.photos:,} photos (95% interval "
            f"{low:.2%} to {high:.2%}): whether classes and scaling are as stated"
        )
    else:
        lines.append(
            "accuracy   not measured: only --verify SOURCE, with labelled photos, tells whether "
            "classes and scaling are as stated"
        )
    lines.append(f"opened     with limits: {', '.join(found.guards) or 'time alone'}")
    lines += [f"note       {note}" for note in found.notes]
    return "\n".join([*lines, "", "next", f"  pawprint predict {found.path} PHOTO"])
