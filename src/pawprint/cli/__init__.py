"""The command line: one thin file a verb; errors become a line and an exit code."""

from __future__ import annotations

import errno
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Annotated

import typer

from pawprint.cli import (
    backbones,
    bench,
    cache,
    check,
    compare,
    datasets,
    embed,
    evaluate,
    export,
    importing,
    predict,
    recipes,
    report,
    review,
    samples,
    serve,
    train,
)
from pawprint.errors import PawprintError, RecipeError

INTERRUPTED = 130  # what a shell expects after Ctrl-C

app = typer.Typer(
    name="pawprint",
    help="Turn a folder of photos into an image classifier you can trust.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("check")(check.check)
app.command("train")(train.train)
app.command("review")(review.review)
app.command("predict")(predict.predict)
app.command("embed")(embed.embed)
app.command("serve")(serve.serve)
app.command("evaluate")(evaluate.evaluate)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.command("bench")(bench.bench)
app.command("import")(importing.import_)
app.command("backbones")(backbones.backbones)
app.command("samples")(samples.samples)
app.add_typer(datasets.app, name="datasets")
app.add_typer(cache.app, name="cache")
app.add_typer(recipes.app, name="recipes")


def _version(wanted: bool) -> None:
    if wanted:
        from pawprint import __version__

        typer.echo(f"pawprint {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere on the line.")
    ] = False,
) -> None:
    """Turn a folder of photos into an image classifier you can trust."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: without the program's name; by default the process's.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    debug = "--debug" in options
    if debug:
        given.remove("--debug")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # File names need not be text, nor what a terminal can show.
            can_all = (stream.encoding or "").lower().startswith("utf")
            stream.reconfigure(errors="surrogateescape" if can_all else "backslashreplace")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # end in order, as on Ctrl-C
    try:
        code = app(given, prog_name="pawprint", standalone_mode=False)
    except typer.Exit as end:
        code = end.exit_code
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        code = 0  # typer's 1 for `| head`, which has seen enough
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if debug:
            raise
        code = _explain(error)
    if code == INTERRUPTED:  # typer, too, turns Ctrl-C into this
        kept = (
            "; no run was written. What was finished is kept: the same command with --resume goes "
            "on after the last finished epoch, if there was one"
        )
        _fail("interrupted" + kept * (given[:1] == ["train"]))
    sys.exit(code or 0)


def _explain(error: Exception) -> int:
    """Say what went wrong, in one line but for a recipe's faults, and give the exit code."""
    if isinstance(error, RecipeError) and len(error.faults) > 1:
        _fail(error.heading)
        for fault in error.faults:
            print(f"  {_on_one_line(fault)}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, PawprintError):
        _fail(str(error))
        return error.exit_code
    if type(error).__name__ == "Abort":
        _fail("stopped")
        return 1
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(str(error))
        return 2
    if hasattr(error, "format_message"):  # how the command line was typed
        _fail(f"{error.format_message()} (pawprint --help shows the commands)")
        return int(getattr(error, "exit_code", 2))
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _fail(f"the disk is full{f' ({error.filename})' if error.filename else ''}; make room")
        return 1
    _fail(f"unexpected {type(error).__name__}: {error}; run again with --debug to see where")
    return 1


def _fail(message: str) -> None:
    print(f"pawprint: error: {_on_one_line(message)}", file=sys.stderr)


def _on_one_line(message: str) -> str:
    return " ".join(message.split())
