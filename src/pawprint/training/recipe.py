"""A recipe: everything that decides a training, as one TOML file, validated whole."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pawprint.data.images import Preprocessing
from pawprint.errors import RecipeError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataPart(Preprocessing):
    """How photos are prepared and split.

    Args:
        validation: the part of each class to hold out.
        seed: of the split and of everything else drawn at random.
    """

    validation: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @property
    def preprocessing(self) -> Preprocessing:
        """The part that a bundle needs as well."""
        return Preprocessing(size=self.size, policy=self.policy)


class BackbonePart(_Part):
    """Which network to start from.

    Args:
        name: of the network.
        alpha: its width.
        weights: `imagenet`, `random`, or a file's path.
    """

    name: Literal["MobileNetV2"] = "MobileNetV2"
    alpha: float = Field(default=1.0, gt=0, le=2)
    weights: str = "imagenet"


class HeadStage(_Part):
    """Train the head alone: logistic regression on frozen features."""

    train: Literal["head"]


class WholeStage(_Part):
    """Train every layer with Adam.

    Args:
        rate: its peak learning rate; it falls to zero along a cosine.
        epochs: how often each photo is seen.
        batch_size: photos a step.
        mirror: show each photo mirrored half of the time.
    """

    train: Literal["all"]
    rate: float = Field(default=1e-3, gt=0, le=1)
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=32, ge=1)
    mirror: bool = True


Stage = Annotated[HeadStage | WholeStage, Field(discriminator="train")]


class Recipe(_Part):
    """Everything that decides a training.

    >>> load("quick").backbone.name
    'MobileNetV2'
    """

    name: str
    description: str = ""
    data: DataPart = DataPart()
    backbone: BackbonePart = BackbonePart()
    stage: tuple[Stage] = Field(description="one for now; a list, as recipes will have several")

    def to_toml(self) -> str:
        """The recipe as it is used, every default written out."""
        lines = [f"name = {_toml(self.name)}", f"description = {_toml(self.description)}"]
        tables = [("[data]", self.data), ("[backbone]", self.backbone)]
        for header, part in [*tables, *(("[[stage]]", stage) for stage in self.stage)]:
            values = part.model_dump().items()
            lines += ["", header, *(f"{key} = {_toml(value)}" for key, value in values)]
        return "\n".join(lines) + "\n"


def names() -> tuple[str, ...]:
    """The recipes that come with pawprint."""
    folder = resources.files("pawprint.training") / "recipes"
    return tuple(
        sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
    )


def load(recipe: str | os.PathLike[str]) -> Recipe:
    """Read a recipe by name or from a TOML file.

    Args:
        recipe: the name of one that comes with pawprint, or a file's path.

    Returns:
        The recipe.

    Raises:
        RecipeError: no such recipe, no TOML, or faults in it; all of them are listed.
    """
    name = os.fspath(recipe)
    if name in names():
        text = (resources.files("pawprint.training") / "recipes" / f"{name}.toml").read_text(
            "utf-8"
        )
    else:
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            near = difflib.get_close_matches(name, names(), 1)
            raise RecipeError(
                f"{name}: no recipe of that name and no file that can be read "
                f"({getattr(error, 'strerror', None) or 'not UTF-8 text'}); "
                + (f"did you mean {near[0]!r}? " if near else "")
                + f"recipes: {', '.join(names())}"
            ) from None
    try:
        return parse(tomllib.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name} is not TOML: {error}") from None


def parse(values: dict[str, Any], name: str) -> Recipe:
    """Validate a recipe's values; `name` is what errors call it.

    Raises:
        RecipeError: with every fault.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(_fault(dict(fault)) for fault in error.errors())
        raise RecipeError(f"{name}: {faults}") from None


def _fault(fault: dict[str, Any]) -> str:
    # The stage's number and kind stand in the path; for one stage no user wrote them.
    path = list(fault["loc"][:1] + fault["loc"][3:] if fault["loc"][0] == "stage" else fault["loc"])
    where = ".".join(path)
    if fault["type"] != "extra_forbidden":
        return f"{where}: {fault['msg']} (found {fault['input']!r})"
    near = difflib.get_close_matches(path[-1], _known(path[:-1], fault["loc"]), 1)
    return f"{where}: unknown key" + (f", did you mean {near[0]!r}?" if near else "")


def _known(table: list[str], where: tuple[Any, ...]) -> list[str]:
    kinds: dict[str, type[BaseModel]] = {
        "": Recipe,
        "data": DataPart,
        "backbone": BackbonePart,
        "stage": WholeStage if "all" in where else HeadStage,
    }
    return list(kinds.get(".".join(table), Recipe).model_fields)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
