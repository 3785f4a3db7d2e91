"""Recipes as TOML files: found, read, changed by options, and written out again."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pawprint.errors import RecipeError
from pawprint.training.recipe import Recipe


def names() -> tuple[str, ...]:
    """The recipes that come with pawprint."""
    folder = resources.files("pawprint.training") / "recipes"
    return tuple(
        sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
    )


def text_of(name: str) -> str:
    """The text of a recipe, by its name or from a file.

    Raises:
        RecipeError: there is none.
    """
    if name in names():
        return (resources.files("pawprint.training") / "recipes" / f"{name}.toml").read_text(
            "utf-8"
        )
    try:
        return Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        near = difflib.get_close_matches(name, names(), 1)
        raise RecipeError(
            f"{name}: no recipe of that name and no file that can be read "
            f"({getattr(error, 'strerror', None) or 'not UTF-8 text'}); "
            + (f"did you mean {near[0]!r}? " if near else "")
            + f"recipes: {', '.join(names())}"
        ) from None


def load(recipe: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe by name or from a TOML file.

    >>> load("quick", {"data.size": 160}).data.size
    160

    Args:
        recipe: the name of one that comes with pawprint, or a file's path.
        changes: values to put in place of the recipe's, by their place: `data.size`,
            `stage.1.epochs` (the first stage is 1).

    Returns:
        The recipe.

    Raises:
        RecipeError: no such recipe, no TOML, or faults in it; all of them are listed.
    """
    name = os.fspath(recipe)
    text = text_of(name)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name} is not TOML: {error}") from None
    for place, value in (changes or {}).items():
        _set(values, place, value)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise RecipeError(f"{name}: {faults}") from None


def _set(values: dict[str, Any], place: str, value: Any) -> None:
    *path, last = place.split(".")
    table: Any = values
    for key in path:
        table = table[int(key) - 1] if isinstance(table, list) else table.setdefault(key, {})
    table[last] = value


def to_toml(recipe: Recipe) -> str:
    """A recipe as it is used, every default written out.

    >>> to_toml(load("quick")).splitlines()[0]
    'name = "quick"'
    """
    lines: list[str] = []
    tables: list[tuple[str, BaseModel]] = []
    for key in Recipe.model_fields:
        value = getattr(recipe, key)
        if isinstance(value, BaseModel):
            tables.append((f"[{key}]", value))
        elif isinstance(value, tuple):
            tables += [(f"[[{key}]]", part) for part in value]
        else:
            lines.append(f"{key} = {_toml(value)}")
    for header, part in tables:
        values = part.model_dump(exclude_none=True).items()
        lines += ["", header, *(f"{key} = {_toml(value)}" for key, value in values)]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
