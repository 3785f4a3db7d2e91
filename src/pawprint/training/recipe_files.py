"""Recipes as TOML files: found, read, changed by options, and written out again."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pawprint.errors import OutputError, RecipeError
from pawprint.model import backbones
from pawprint.training import recipe_changes
from pawprint.training.recipe import Recipe
from pawprint.training.recipe_faults import Fault, faults_of, nearest, shown
from pawprint.training.toml_lines import Place, find_lines, line_of, toml_value


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
        return Path(name).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        near = nearest(name, names())
        raise RecipeError(
            f"{name}: no recipe of that name and no file that can be read "
            f"({getattr(error, 'strerror', None) or 'not UTF-8 text'}); "
            + (f"did you mean {near!r}? " if near else "")
            + f"recipes: {', '.join(names())}"
        ) from None


def copy(name: str, path: Path) -> None:
    """Write a recipe's text to a new file, to be changed there.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     copy("quick", Path(folder) / "mine.toml")
    ...     load(Path(folder) / "mine.toml") == load("quick")
    True

    Args:
        name: as of `text_of`.
        path: of the file; its folder must exist.

    Raises:
        RecipeError: there is no such recipe.
        OutputError: the file exists already, or cannot be written.
    """
    text = text_of(name)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it, such as {path / 'mine.toml'}")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} is not a folder; make it first, or name another place")
    try:
        with tempfile.TemporaryDirectory(prefix=".pawprint-", dir=path.parent) as folder:
            part = Path(folder) / "recipe.toml"
            part.write_text(text, "utf-8")
            _rename_to_new(part, path)
    except FileExistsError:
        raise OutputError(f"{path} exists and is left as it is; name another file") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})") from None


def _rename_to_new(part: Path, path: Path) -> None:
    try:
        path.hardlink_to(part)  # a rename would replace a file made meanwhile
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError from None
        part.rename(path)


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
    return _Written(text_of(os.fspath(recipe)), os.fspath(recipe), changes or {}).recipe()


def validate(recipe: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe as `load` does, and look whether its backbone has the layers it names.

    >>> validate("quick").stage[0].train
    'head'

    Args:
        recipe: as of `load`.
        changes: as of `load`.

    Returns:
        The recipe.

    Raises:
        RecipeError: as of `load`, or a stage names layers that the backbone has not.
        MissingExtra: it names some, and Keras is not installed.
    """
    return validate_text(text_of(os.fspath(recipe)), os.fspath(recipe), changes)


def validate_text(text: str, name: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """As `validate`, of a recipe that is no file of this machine.

    Args:
        text: TOML.
        name: what errors call it, such as its address.
        changes: as of `load`.

    Returns:
        The recipe.

    Raises:
        RecipeError: as of `validate`.
        MissingExtra: as of `validate`.
    """
    written = _Written(text, name, changes or {})
    made = written.recipe()
    if faults := _check_against_backbone(made):
        raise written.error(faults)
    return made


def parse_change(text: str) -> tuple[str, Any]:
    """Read a change as it is typed: a place, an equals sign, and a value in TOML or plain text.

    >>> parse_change("stage.1.epochs=5"), parse_change("data.policy=crop")
    (('stage.1.epochs', 5), ('data.policy', 'crop'))

    Args:
        text: such as `stage.1.epochs=5`.

    Returns:
        The place and the value, for the `changes` of `load`.

    Raises:
        RecipeError: there is no equals sign, or nothing before it.
    """
    place, equals, typed = text.partition("=")
    place, typed = place.strip(), typed.strip()
    if not place or not equals:
        raise RecipeError(f"{text!r} is no change; expected PLACE=VALUE, such as stage.1.epochs=5")
    try:
        parsed = tomllib.loads(f"value = {typed}")
    except (ValueError, RecursionError):
        return place, typed
    value = parsed.pop("value")
    is_plain = isinstance(value, bool | int | float | str | list | dict)
    return place, value if is_plain and not parsed else typed


class _Written:
    """A recipe's text with the changes to it: what it says, and where."""

    def __init__(self, text: str, name: str, changes: Mapping[str, Any]) -> None:
        self._name = name
        try:
            self._values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{name} is not TOML: {error}") from None
        except (ValueError, RecursionError):  # a number too long, brackets too deep for Python
            raise RecipeError(f"{name} has a number or brackets too long to be read") from None
        self._lines = find_lines(text)
        self._changed: dict[Place, str] = {}
        self._misplaced: list[str] = []
        for place, went in recipe_changes.apply(self._values, changes):
            told = f"with {place}={toml_value(changes[place])}"
            if isinstance(went, Fault):
                self._misplaced.append(f"{told}: {went.message}")
            else:  # which replaces what changes before it put into the same table
                kept = {at: by for at, by in self._changed.items() if at[: len(went)] != went}
                self._changed = {**kept, went: told}

    def recipe(self) -> Recipe:
        try:
            made = Recipe.model_validate(_frozen(self._values), strict=True)
        except ValidationError as error:
            raise self.error(faults_of(error)) from None
        if self._misplaced:
            raise self.error([])
        return made

    def error(self, faults: Sequence[Fault]) -> RecipeError:
        """The error that lists some faults after those of the changes' places."""
        ordered = sorted(faults, key=lambda fault: line_of(self._lines, fault.place))
        return RecipeError(self._name, [*self._misplaced, *map(self._told, ordered)])

    def _told(self, fault: Fault) -> str:
        place = shown(fault.place)
        said = f"{place}: {fault.message}" if place else fault.message
        for length in range(len(fault.place), 0, -1):
            if told := self._changed.get(fault.place[:length]):
                return f"{told}: {fault.message if length == len(fault.place) else said}"
        return f"line {line_of(self._lines, fault.place)}: {said}"


def _frozen(value: Any) -> Any:
    """With tuples for lists, as a recipe has them; pydantic is strict about it."""
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return {key: _frozen(held) for key, held in value.items()} if isinstance(value, dict) else value


def _check_against_backbone(recipe: Recipe) -> list[Fault]:
    """Which stages name layers that the backbone has not."""
    named = [(n, s.train) for n, s in enumerate(recipe.stage) if s.train not in ("head", "all")]
    if not named:
        return []
    from pawprint.model.suffix import first_trained

    # The size changes no layer, the width may: where it makes channels agree, blocks are added up.
    part = recipe.backbone
    backbone = backbones.build(part.name, size=32, alpha=part.alpha, weights="random")
    faults = []
    for number, train in named:
        try:
            first_trained(backbone, train)
        except RecipeError as error:
            told = str(error).removeprefix(f'train = "{train}": ')
            faults.append(Fault(("stage", number, "train"), told))
    return faults


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
            lines.append(f"{key} = {toml_value(value)}")
    for header, part in tables:
        values = part.model_dump(exclude_none=True).items()
        lines += ["", header, *(f"{key} = {toml_value(value)}" for key, value in values)]
    return "\n".join(lines) + "\n"
