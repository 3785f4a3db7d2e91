"""What is wrong with a recipe's values: every fault, its place, and the name that was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pawprint.data.augment import Augmentation
from pawprint.model.head_layers import HeadLayer
from pawprint.training.recipe import (
    BackbonePart,
    DataPart,
    GradientStage,
    LogisticStage,
    Misfit,
    Recipe,
)
from pawprint.training.toml_lines import Place, toml_key, toml_value

_MOST_SHOWN = 60


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Args:
        place: where, counted from 0: ("stage", 0, "epochs").
        message: what.
    """

    place: Place
    message: str


@dataclass(frozen=True)
class Parts:
    """Parts of a recipe that there may be several of, of several kinds.

    Args:
        one: what one of them is called.
        key: what tells their kinds apart.
        kinds: what each kind may say.
    """

    one: str
    key: str
    kinds: Mapping[str, type[BaseModel]]

    def keys(self, kind: str | None = None) -> tuple[str, ...]:
        """What can stand in a part of a kind, or in one of any kind."""
        models = [self.kinds[kind]] if kind is not None else self.kinds.values()
        return tuple(dict.fromkeys(key for model in models for key in model.model_fields))


def _by_layer(union: Any) -> dict[str, type[BaseModel]]:
    return {kind.model_fields["layer"].default: kind for kind in get_args(get_args(union)[0])}


TABLES: Mapping[str, type[BaseModel]] = {"data": DataPart, "backbone": BackbonePart}
LISTS: Mapping[str, Parts] = {
    "head": Parts("head layer", "layer", _by_layer(HeadLayer)),
    "augment": Parts("augmentation", "layer", _by_layer(Augmentation)),
    "stage": Parts("stage", "fit", {"gradient": GradientStage, "logistic": LogisticStage}),
}


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that a word is most like, if it is like any.

    >>> nearest("Adm", ["sgd", "adam"])
    'adam'
    """
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_lower, 1)
    return by_lower[found[0]] if found else None


def shown(place: Place) -> str:
    """A place as users write it, counted from 1.

    >>> shown(("stage", 0, "epochs"))
    'stage.1.epochs'
    """
    return ".".join(str(k + 1) if isinstance(k, int) else toml_key(k) for k in place)


def faults_of(error: ValidationError) -> list[Fault]:
    """Everything that pydantic found, in plain words.

    >>> try:
    ...     Recipe.model_validate({"name": "m", "stage": ({"train": "head", "epochs": 0},)})
    ... except ValidationError as error:
    ...     faults_of(error)
    [Fault(place=('stage', 0, 'epochs'), message='must be at least 1 (found 0)')]

    Args:
        error: from a `Recipe`.

    Returns:
        The faults, one for each place.
    """
    found: dict[Place, list[Mapping[str, Any]]] = {}
    for fault in error.errors(include_url=False):
        found.setdefault(_place(fault), []).append(fault)
    return [fault for place, several in found.items() for fault in _explained(place, several)]


def _place(fault: Mapping[str, Any]) -> Place:
    """Where a fault is, without what pydantic adds: the kinds of parts, and of a value's types."""
    place: Place = fault["loc"]
    if place[:1] and place[0] in LISTS and len(place) > 1:
        if fault["type"] in ("fit", "union_tag_invalid") and isinstance(fault["input"], dict):
            return (*place[:2], LISTS[str(place[0])].key)
        return (*place[:2], *place[3:4])
    return place[:2]


def _explained(place: Place, several: list[Mapping[str, Any]]) -> Iterable[Fault]:
    fault = several[0]
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, Misfit):
        yield from (Fault((*place[:1], *where), message) for where, message in cause.faults)
    elif fault["type"] == "missing":
        yield Fault(place[:-1], f"{place[-1]} is missing")
    elif fault["type"] == "union_tag_not_found":
        parts = LISTS[str(place[0])]
        yield Fault(place, f"{parts.key} is missing; expected {_either(parts.kinds)}")
    elif fault["type"] == "extra_forbidden":
        yield Fault(place, _unknown_key(fault["loc"]))
    else:
        yield Fault(place, _misplaced(place, several))


def _unknown_key(loc: Place) -> str:
    known, where = list(Recipe.model_fields), ""
    if loc[0] in LISTS and len(loc) > 2:
        parts, kind = LISTS[str(loc[0])], str(loc[2])
        known, where = list(parts.keys(kind)), f" for {parts.key} = {toml_value(kind)}"
    elif loc[0] in TABLES:
        known = list(TABLES[str(loc[0])].model_fields)
    near = nearest(str(loc[-1]), known)
    guess = f", did you mean {near!r}?" if near else f"; known: {', '.join(known)}"
    return f"unknown key{where}{guess}"


def _misplaced(place: Place, several: list[Mapping[str, Any]]) -> str:
    """What a value must be, the value, and which one was probably meant."""
    value = several[0]["input"]
    if several[0]["type"] in ("fit", "union_tag_invalid") and isinstance(value, dict):
        parts = LISTS[str(place[0])]
        value, choices = value[parts.key], list(parts.kinds)
        told = [f"must be {_either(choices)}"]
    else:
        choices = [choice for fault in several for choice in _choices(fault)]
        told = [_told(fault) for fault in several]
    wanted = " or ".join([told[0], *(one.removeprefix("must be ") for one in told[1:])])
    text = toml_value(value)
    text = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
    near = nearest(value, choices) if isinstance(value, str) else None
    return f"{wanted} (found {text})" + (f", did you mean {toml_value(near)}?" if near else "")


def _told(fault: Mapping[str, Any]) -> str:
    """What a value must be, in one sentence."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "literal_error":
        return f"must be {_either(_choices(fault))}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "tuple_type" and fault["loc"][0] in LISTS and len(fault["loc"]) == 1:
        return f"must be written as [[{fault['loc'][0]}]], once for each"
    if kind == "string_pattern_mismatch":
        return _PATTERNS[str(_place(fault)[-1])]
    return _WORDS.get(kind, str(fault["msg"])).format(**context)


def _choices(fault: Mapping[str, Any]) -> list[str]:
    """The values to choose from, where that is what a fault is about."""
    expected = fault["ctx"]["expected"] if fault["type"] == "literal_error" else ""
    return re.findall("'([^']*)'", expected)


_TABLE, _NUMBER, _WHOLE = "must be a table", "must be a number", "must be a whole number"
_WORDS = {
    "greater_than": "must be more than {gt:.12g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "less_than": "must be less than {lt:.12g}",
    "less_than_equal": "must be at most {le:.12g}",
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "string_unicode": "must be text in UTF-8",
    "string_too_short": "must not be empty",
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "fit": _TABLE,
}
_PATTERNS = {
    "keras_h5": "must be a file's name that ends in .h5",
    "train": 'must be "last:N" (N at least 1) or "from:LAYER"',
}


def _either(choices: Iterable[str]) -> str:
    *others, last = map(toml_value, choices)
    return f"{', '.join(others)} or {last}" if others else last
