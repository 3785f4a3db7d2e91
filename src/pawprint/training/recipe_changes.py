"""Changes to a recipe's values, by their places: `stage.1.epochs`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from pawprint import starter
from pawprint.model import applications, starter_network
from pawprint.training.recipe import Recipe
from pawprint.training.recipe_faults import LISTS, TABLES, Fault, nearest
from pawprint.training.toml_lines import Place


def said(
    changes: Mapping[str, Any] | None,
    *,
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    validation: float | None = None,
    group_by: str | None = None,
) -> dict[str, Any]:
    """What a caller said in place of what the recipe says, by its place; as of `run.train`."""
    name, alpha = (None, None) if backbone is None else applications.parse(backbone)
    given = {
        "backbone.name": name,
        "backbone.weights": None if weights is None else os.fspath(weights),
        "data.seed": seed,
        "data.validation": validation,
        "data.group_by": group_by,
    }
    width = {} if alpha is None else {"backbone.alpha": alpha}  # may be changed by itself
    said = {place: value for place, value in given.items() if value is not None}
    made = {**width, **(changes or {}), **said}
    if name == starter.NAME:  # has weights of its own, and is made for small photos
        made.setdefault("backbone.weights", name)
        made.setdefault("data.size", starter_network.SIZE)
    if "data.validation" in made:  # who says how many to hold out wants some held out
        made.setdefault("data.folds", 0)
    return made


def apply(values: dict[str, Any], changes: Mapping[str, Any]) -> list[tuple[str, Place | Fault]]:
    """Put values in place of a recipe's.

    >>> values = {"stage": [{"epochs": 3}]}
    >>> apply(values, {"stage.1.epochs": 5})
    [('stage.1.epochs', ('stage', 0, 'epochs'))]
    >>> values
    {'stage': [{'epochs': 5}]}

    Args:
        values: of the recipe, as parsed; changed here.
        changes: new values by place, counted from 1.

    Returns:
        For each change where it went, or what is wrong with its place.
    """
    return [(place, _apply(values, place, value)) for place, value in changes.items()]


def _apply(values: dict[str, Any], written: str, value: Any) -> Place | Fault:
    value = os.fspath(value) if isinstance(value, os.PathLike) else deepcopy(value)
    root, *rest = written.split(".")
    if root in LISTS and rest:
        return _apply_to_part(values, written, value)
    if root in TABLES and len(rest) == 1 and rest[0] in TABLES[root].model_fields:
        table = values.setdefault(root, {})
        if isinstance(table, dict):  # else a fault that is told where it stands
            table[rest[0]] = value
    elif root in Recipe.model_fields and not rest:
        values[root] = value
    else:
        return _unknown(values, written)
    return (root, *rest)


def _apply_to_part(values: dict[str, Any], written: str, value: Any) -> Place | Fault:
    """Change one of several stages, head layers or augmentations, or a value in it."""
    root, number, *key = written.split(".")
    parts = LISTS[root]
    known = len(key) < 2 and set(key) <= set(parts.keys())
    if not known or not re.fullmatch("[0-9]{1,9}", number):
        return _unknown(values, written)
    several = _several(values, root)
    if not 1 <= int(number) <= len(several):
        last = f", the last is {root}.{len(several)}" if several else ""
        there = f"the recipe has {len(several) or 'none'}{last}"
        return Fault((), f"there is no {parts.one} {number}: {there}")
    index = int(number) - 1
    if not key:
        several[index] = value
    elif isinstance(several[index], dict):
        several[index][key[0]] = value
    values[root] = several
    return (root, index, *key)


def _several(values: dict[str, Any], root: str) -> list[Any]:
    """The stages, head layers or augmentations that a recipe has, or has by default."""
    if root in values:
        return list(values[root]) if isinstance(values[root], list | tuple) else []
    default = Recipe.model_fields[root].default
    return [part.model_dump() for part in default] if isinstance(default, tuple) else []


def _unknown(values: dict[str, Any], written: str) -> Fault:
    places, key = list(_places(values)), written.split(".")[-1]
    alike = [place for place in places if place.split(".")[-1] == key]
    near = nearest(written, alike) or next(iter(alike), None) or nearest(written, places)
    guess = f", did you mean {near!r}?" if near else "; places are such as stage.1.epochs"
    return Fault((), f"there is no such place{guess}")


def _places(values: dict[str, Any]) -> Iterator[str]:
    """Every place that can be changed."""
    for root in Recipe.model_fields:
        if root in TABLES:
            yield from (f"{root}.{key}" for key in TABLES[root].model_fields)
        elif root in LISTS:
            for number in range(1, len(_several(values, root)) + 1):
                yield from (f"{root}.{number}.{key}" for key in LISTS[root].keys())  # noqa: SIM118
        else:
            yield root
