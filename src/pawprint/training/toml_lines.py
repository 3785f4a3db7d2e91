"""What `tomllib` leaves out: the lines that values stand on, and writing values."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

Place = tuple[str | int, ...]  # of a value among parsed ones: ("stage", 0, "epochs")

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # up to two quotes may stand before the closing ones
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
    r"|\#[^\n]*"
    r"|[\n\[\]{}=.,]"
    r"|[^\s\[\]{}=.,\"'\#]+",
    re.DOTALL,
)
_QUOTES = ('"', "'")


def find_lines(text: str) -> dict[Place, int]:
    """Find the line of every table and value in a TOML text.

    >>> lines = find_lines('[data]\\nsize = 96\\n[[stage]]\\nepochs = 3\\n')
    >>> lines["data", "size"], lines["stage", 0], lines["stage", 0, "epochs"]
    (2, 3, 4)

    Args:
        text: that `tomllib` can read.

    Returns:
        Lines, counted from 1, by place: the key's for values, the header's for tables.
    """
    return _Reader(text).read()


def line_of(lines: Mapping[Place, int], place: Place) -> int:
    """The line of a place, or of the nearest table around it that is written out.

    >>> line_of(find_lines("name = 'm'\\n[data]\\n"), ("data", "size"))
    2

    Args:
        lines: as `find_lines` gives them.
        place: of a value or table, which may be missing.

    Returns:
        The line, counted from 1.
    """
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def toml_value(value: object) -> str:
    """Write a value as TOML, on one line.

    >>> toml_value({"layer": "flip", "on": True, "range": (0, 0.5)})
    '{layer = "flip", on = true, range = [0, 0.5]}'

    Args:
        value: a bool, number, list, tuple or dict; anything else is written as text.

    Returns:
        TOML.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        pairs = (f"{toml_key(str(key))} = {toml_value(held)}" for key, held in value.items())
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(key: str) -> str:
    """Write a key as TOML, in quotes only where it needs them.

    >>> toml_key("rate"), toml_key("a b")
    ('rate', '"a b"')
    """
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else toml_value(key)


class _Reader:
    """Walks over the tokens of a text, noting the line of each place it meets."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, int]] = []
        line, end = 1, 0
        for found in _TOKEN.finditer(text):
            line += text.count("\n", end, found.start())
            if not found[0].startswith("#"):
                self._tokens.append((found[0], line))
            line, end = line + found[0].count("\n"), found.end()
        self._next = 0
        self._lines: dict[Place, int] = {(): 1}
        self._counts: dict[Place, int] = {}  # how many tables an array of tables has so far

    def read(self) -> dict[Place, int]:
        table: Place = ()
        while self._skip("\n"):
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _peek(self) -> str:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1][0]

    def _skip(self, tokens: str) -> bool:
        """Pass over some tokens; whether anything comes after them."""
        while self._peek() and self._peek() in tokens:
            self._next += 1
        return bool(self._peek())

    def _header(self) -> Place:
        self._take()
        several = self._peek() == "["
        if several:
            self._take()
        keys, line = self._key()
        if several:
            array = (*self._note((), keys[:-1], line), keys[-1])
            self._lines.setdefault(array, line)
            self._counts[array] = self._counts.get(array, 0) + 1
            place: Place = (*array, self._counts[array] - 1)
        else:
            place = self._note((), keys, line)
        self._lines[place] = line
        self._skip("]")
        return place

    def _pair(self, table: Place) -> None:
        keys, line = self._key()
        place = self._note(table, keys, line)
        self._skip("=")
        self._value(place)

    def _key(self) -> tuple[list[str], int]:
        """The parts of a key, dotted or not, and its line."""
        keys, line = [], self._tokens[self._next][1]
        while self._peek() not in ("", "=", "]"):
            token = self._take()
            if token != ".":
                keys.append(_unquoted(token))
        return keys, line

    def _note(self, place: Place, keys: list[str], line: int) -> Place:
        """Note places down from a table; in an array of tables its last one is meant."""
        for key in keys:
            place = (*place, key)
            self._lines.setdefault(place, line)
            if place in self._counts:
                place = (*place, self._counts[place] - 1)
        return place

    def _value(self, place: Place) -> None:
        if self._peek() == "[":
            self._take()
            number = 0
            while self._skip("\n,") and self._peek() != "]":
                self._lines[(*place, number)] = self._tokens[self._next][1]
                self._value((*place, number))
                number += 1
            self._take()
        elif self._peek() == "{":
            self._take()
            while self._skip("\n,") and self._peek() != "}":
                self._pair(place)
            self._take()
        else:
            while self._peek() not in ("", "\n", ",", "]", "}"):
                self._take()


def _unquoted(key: str) -> str:
    if not key.startswith(_QUOTES):
        return key
    return next(iter(tomllib.loads(f"{key} = 0")))
