"""What all figures share: colours, fonts, layout, and names that any font can show.

Nothing here touches pyplot: a figure belongs to its caller and goes when the caller drops it.
Colours are those of M. Okabe and K. Ito, "Color universal design" (2008), told apart by readers
with any colour vision.
"""

import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
INK, GREY, PALE = "#333333", "#8A8A8A", "#E6E6E6"
DPI = 120

_LONGEST_NAME = 24

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 9,
    "grid.color": PALE,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    # Text, not outlines: it can be searched, and the reader's fonts draw what ours lack.
    "svg.fonttype": "none",
    "svg.hashsalt": "pawprint",
    "text.color": INK,
    # A class may well be named "$5 vs $10".
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
}
# For scripts that matplotlib's own font lacks, where installed.
_MORE = ("Noto Sans CJK SC", "Microsoft YaHei", "Malgun Gothic", "Hiragino Sans")


@contextmanager
def style() -> Iterator[None]:
    """Draw, or write to a file, with our settings; matplotlib's own are left as they were.

    >>> before = matplotlib.rcParams["font.size"]
    >>> with style():
    ...     matplotlib.rcParams["font.size"]
    9.0
    >>> matplotlib.rcParams["font.size"] == before
    True
    """
    with warnings.catch_warnings(), matplotlib.rc_context({**_STYLE, "font.family": _fonts()}):
        # Drawn as a box in the PNG; whole in the SVG, where the reader's fonts may have it.
        warnings.filterwarnings("ignore", r"Glyph .* missing|Matplotlib currently does not support")
        yield


def subplots(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Make an empty figure; to be called, and drawn into, within `style`.

    >>> figure, axes = subplots(4, 2, columns=2)
    >>> len(axes)
    2

    Args:
        width: of the figure, in inches.
        height: of the figure, in inches.
        columns: axes beside one another.

    Returns:
        The figure and its axes.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(width, height), layout=layout)
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def laid_out(figure: Figure) -> Figure:
    """Give everything in a finished figure its place, for good.

    >>> figure, _ = subplots(4, 2)
    >>> laid_out(figure) is figure
    True
    """
    # Once for both files: it costs as much as drawing, and a second pass would shift the first.
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
    return figure


def short_names(names: Sequence[str]) -> list[str]:
    """Names as a figure can show them: legal, told apart and of at most 24 characters.

    >>> short_names(["cat", "a breed with a name that has no end"])
    ['cat', 'a breed with… has no end']

    Args:
        names: any text, as of folders; one that no font here has gets its number put before.
    """
    shown = []
    for number, name in enumerate(map(str, names), start=1):
        clean = legal(name)
        if clean != name or not _drawable().issuperset(map(ord, clean)):
            # Boxes look all alike in the PNG.
            clean = f"{number}: {clean}"
        if len(clean) > _LONGEST_NAME:
            # Names of one kind often differ at the end only.
            half = _LONGEST_NAME // 2
            clean = f"{clean[:half]}…{clean[1 - half :]}"
        shown.append(clean)
    return shown


def legal(text: str) -> str:
    """Text with what SVG cannot hold replaced by a mark.

    >>> legal("two" + chr(10) + "lines")
    'two�lines'
    """
    # Control characters and halves of surrogate pairs are legal in file names, not in XML.
    bad = {c for c in text if unicodedata.category(c) in {"Cc", "Cn", "Cs", "Zl", "Zp"}}
    return "".join("�" if c in bad else c for c in text)


@lru_cache(maxsize=1)
def _fonts() -> list[str]:
    # Naming a font that is not installed would make matplotlib complain in the log.
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(font for font in _MORE if font in installed)]


@lru_cache(maxsize=1)
def _drawable() -> frozenset[int]:
    paths = map(font_manager.findfont, _fonts())
    return frozenset().union(*(font_manager.get_font(path).get_charmap() for path in paths))
