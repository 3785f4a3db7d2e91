"""Photos side by side: a few of each class, or one beside what augmentation makes of it."""

import textwrap
from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure

from pawprint.data.images import Pixels
from pawprint.report.style import DPI, legal, short_names, style

# In inches.
_SIDE, _BETWEEN, _ABOVE, _MARGIN = 1.6, 0.2, 0.3, 0.15  # of a photo and around it
_LETTER, _LINE = 0.09, 0.2  # of the title
_NARROWEST = 3.6


def photo_grid(
    pictures: Sequence[Pixels], titles: Sequence[str], *, columns: int, title: str
) -> Figure:
    """Draw photos in rows, each with a title above it.

    >>> grey = np.full((32, 32, 3), 128, np.uint8)
    >>> drawn = photo_grid([grey] * 3, ["cat", "cat", "dog"], columns=2, title="Some photos")
    >>> [axes.get_title(loc="left") for axes in drawn.axes]
    ['cat', 'cat', 'dog']

    Args:
        pictures: n photos, uint8, each of shape (height, width, 3).
        titles: n texts, as names of classes; shortened where they are long.
        columns: photos in a row.
        title: of the whole.

    Returns:
        A figure with one axes for each photo.

    Raises:
        ValueError: no photos, not as many titles, no columns, or a photo of another shape or dtype.
    """
    if not pictures or len(titles) != len(pictures) or columns < 1:
        raise ValueError(
            "expected photos, a title for each and at least one column, got "
            f"{len(pictures)} photos, {len(titles)} titles and {columns} columns"
        )
    for number, picture in enumerate(pictures):
        if picture.dtype != np.uint8 or picture.shape[2:] != (3,) or not picture.size:
            raise ValueError(
                "expected uint8 photos of shape (height, width, 3), got "
                f"{picture.dtype} {picture.shape} as photo {number}"
            )
    columns = min(columns, len(pictures))
    kinds = list(dict.fromkeys(titles))
    shown = dict(zip(kinds, short_names(kinds), strict=True))
    width = max(_MARGIN + columns * (_SIDE + _BETWEEN), _NARROWEST)
    lines = textwrap.wrap(legal(title), int((width - 2 * _MARGIN) / _LETTER))
    top = _MARGIN + _LINE * len(lines)
    height = top + ceil(len(pictures) / columns) * (_ABOVE + _SIDE) + _MARGIN
    with style():
        # Letters are measured as they will be written.
        figure = Figure(figsize=(width, height), dpi=DPI)
        place = (_MARGIN / width, 1 - _MARGIN / height)
        texts = [(figure.text(*place, "\n".join(lines), va="top"), 11, width - 2 * _MARGIN)]
        for number, (picture, name) in enumerate(zip(pictures, titles, strict=True)):
            row, column = divmod(number, columns)
            left = _MARGIN + column * (_SIDE + _BETWEEN)
            bottom = height - top - (row + 1) * (_ABOVE + _SIDE)
            box = (left / width, bottom / height, _SIDE / width, _SIDE / height)
            axes = figure.add_axes(box, anchor="NW")
            axes.imshow(picture)
            axes.set_axis_off()
            texts.append((axes.set_title(shown[name]), 8, _SIDE))
        for text, size, room in texts:
            text.set_fontsize(size)
            # Some letters are three times as wide as others.
            wide = text.get_window_extent().width / figure.dpi
            text.set_fontsize(size * room / max(wide, room))
        figure.draw_without_rendering()
        return figure
