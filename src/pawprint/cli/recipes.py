"""`pawprint recipes`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pawprint.training.recipe import Recipe

app = typer.Typer(
    help="List, show, copy and check recipes.", no_args_is_help=True, rich_markup_mode=None
)

_Recipe = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A recipe's name, or a file.")]


@app.command("list")
def list_all() -> None:
    """List the recipes that come with pawprint."""
    from pawprint.training import recipe_files

    names = recipe_files.names()
    width = max(map(len, names))
    for name in names:
        typer.echo(f"{name:<{width}}  {recipe_files.load(name).description}")


@app.command()
def show(recipe: _Recipe) -> None:
    """Print a recipe with its comments."""
    from pawprint.training import recipe_files

    typer.echo(recipe_files.text_of(recipe), nl=False)


@app.command()
def copy(
    name: _Recipe,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
) -> None:
    """Copy a recipe to a new file, to be changed there."""
    import shlex

    from pawprint.training import recipe_files

    recipe_files.copy(name, file)
    is_name = str(file) in recipe_files.names()  # which --recipe would look for first
    quoted = shlex.quote(f"./{file}" if is_name or str(file).startswith("-") else str(file))
    typer.echo(
        f"{file} is a copy of {name}; change it, then\n"
        f"  pawprint recipes validate {quoted}\n"
        f"  pawprint train SOURCE --recipe {quoted}"
    )


@app.command()
def validate(recipe: _Recipe) -> None:
    """Look for faults in a recipe, and tell all of them.

    The exit code is 0 when there are none and 1 when there are some.
    """
    from pawprint.errors import MissingExtra
    from pawprint.training import recipe_files

    try:
        typer.echo(f"{recipe}: ok: {_stages(recipe_files.validate(recipe))}")
    except MissingExtra as error:
        said = _stages(recipe_files.load(recipe))
        typer.echo(f"{recipe}: ok: {said}; not looked up in the network: {error}")


def _stages(recipe: Recipe) -> str:
    told = []
    for stage in recipe.stage:
        if stage.fit == "logistic":
            told.append("head by logistic regression")
        else:
            told.append(f"{stage.train} for {stage.epochs} epoch{'s' * (stage.epochs > 1)}")
    return f"{len(told)} stage{'s' * (len(told) > 1)}: {', then '.join(told)}"
