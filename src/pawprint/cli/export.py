"""`pawprint export`."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pawprint.export.export import Exported
    from pawprint.export.stated import Precision


class Format(enum.StrEnum):
    """What can be asked for."""

    onnx = "onnx"
    litert = "litert"
    openvino = "openvino"
    savedmodel = "savedmodel"
    keras = "keras"
    h5 = "h5"


class Layout(enum.StrEnum):
    """Servers whose folders can be asked for."""

    tf_serving = "tf-serving"
    triton = "triton"
    openvino_model_server = "openvino-model-server"


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run or a bundle.")],
    format: Annotated[
        Optional[Format],  # noqa: UP045 - typer reads this at run time
        typer.Option("--format", "-f", help="The format; of a layout, there is a usual one."),
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Half the size.")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="A quarter of the size, computed in 8 bits.")
    ] = False,
    layout: Annotated[
        Optional[Layout],  # noqa: UP045
        typer.Option(help="Write the folder that a server expects."),
    ] = None,
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror/--no-mirror",
            help="Of a model that answers by the mean with the mirror image: whether to; without "
            "takes half the time.",
        ),
    ] = True,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out", "-o", metavar="DIR", help="The folder.  [default: RUN/exports/FORMAT]"
        ),
    ] = None,
    verify: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="SOURCE",
            help="Photos to try it on.  [default: those that were held out of the run]",
        ),
    ] = None,
    calibrate: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="SOURCE",
            help="Photos that int8 takes its ranges from.  [default: those of the training]",
        ),
    ] = None,
    photos: Annotated[int, typer.Option(min=1, help="How many photos to try it on.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a trained classifier in another format, tried on photos before it is handed over.

    The file takes photos as they are, 0 to 255, and gives the model's probabilities. It is opened
    in its own runtime and must answer as the model does, or nothing is written.
    """
    from pawprint.errors import PawprintError
    from pawprint.export.export import export_model
    from pawprint.export.layouts import LAYOUTS
    from pawprint.progress import Terminal

    if fp16 and int8:
        raise PawprintError("--fp16 and --int8 are two precisions; give one of them")
    if format is None and layout is None:
        raise PawprintError(f"name a --format: {', '.join(Format)}; or a --layout")
    wanted = format or LAYOUTS[str(layout)].formats[0]
    precision: Precision = "float16" if fp16 else "int8" if int8 else "float32"
    found = export_model(
        model,
        str(wanted),
        precision=precision,
        out=out,
        verify_on=verify,
        calibrate_on=calibrate,
        layout=layout and str(layout),
        mirror=mirror,
        most=photos,
        progress=Terminal(),
    )
    typer.echo(
        json.dumps({"folder": str(found.folder), **found.to_dict()}) if as_json else _table(found)
    )


def _table(found: Exported) -> str:
    from pawprint.export.wording import table

    size = f"{found.file} ({found.format}, {found.precision}, {found.bytes / 1e6:.2f} MB)"
    rows = [*table(found), ("export", size), ("how to", f"{found.folder / 'README.md'}")]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)
