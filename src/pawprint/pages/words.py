"""Numbers and sentences as people read them."""

from __future__ import annotations

import re

from pawprint.data.wording import shown

NONE = "-"  # where there is no number


def counted(count: int, noun: str) -> str:
    """Say how many there are of something.

    >>> counted(0, "error"), counted(1, "class"), counted(1200, "class")
    ('no errors', '1 class', '1,200 classes')
    """
    if count == 1:
        return f"1 {noun}"
    several = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {several}" if count else f"no {several}"


def raised(text: str) -> str:
    """Begin with a capital.

    >>> raised("dog or cat")
    'Dog or cat'
    """
    return text[:1].upper() + text[1:]


def told(text: str) -> str:
    """Give a sentence as it can stand on a page: whole, but for a very long name in it.

    >>> told("two" + chr(10) + "lines")
    'two\\\\nlines'
    """
    return re.sub("[^ \N{NO-BREAK SPACE}]+", lambda word: shown(word[0]), text)


def percent(share: float | None) -> str:
    """Give a share in percent; only what is whole is called 100.

    >>> percent(0.97987), percent(1.0), percent(0.99999), percent(None)
    ('97.99\\xa0%', '100\\xa0%', '99.99\\xa0%', '-')
    """
    return NONE if share is None else f"{_hundredths(share)}\N{NO-BREAK SPACE}%"


def percents(ends: tuple[float, float] | None) -> str:
    """Give an interval of shares in percent.

    >>> percents((0.97438, 0.98426)), percents(None)
    ('97.44 to 98.43\\xa0%', '')
    """
    return "" if ends is None else f"{_hundredths(ends[0])} to {percent(ends[1])}"


def number(value: float | None) -> str:
    """Give a figure that is no share.

    >>> number(0.91149), number(None)
    ('0.9115', '-')
    """
    return NONE if value is None else f"{value:.4f}"


def interval(ends: tuple[float, float] | None) -> str:
    """Give an interval of such figures.

    >>> interval((0.88, 0.93001))
    '0.8800 to 0.9300'
    """
    return "" if ends is None else " to ".join(map(number, ends))


def _hundredths(share: float) -> str:
    if share == 1:
        return "100"
    return f"{min(100 * share, 99.99) if share < 1 else 100 * share:.2f}"
