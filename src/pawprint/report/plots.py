"""Plots of a run, drawn by matplotlib from plain data and written whole or not at all.

What colours tell is also told by line style or text.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pawprint.errors import OutputError
from pawprint.evaluation.metrics import Figures
from pawprint.report.style import (
    BLUE,
    DPI,
    GREY,
    INK,
    ORANGE,
    PALE,
    laid_out,
    short_names,
    style,
    subplots,
)

_MOST_CELLS_WITH_TEXT = 15
_MOST_TICKS = 50


def confusion_matrix(figures: Figures) -> Figure:
    """Draw which class was taken for which, in counts and in shares of the true class.

    Args:
        figures: of k classes; its confusion has k rows of true and k columns of predicted classes.

    Returns:
        a figure with one axes; cells carry text up to 15 classes.

    Raises:
        ValueError: the confusion is not k by k.

    >>> from pawprint.evaluation.metrics import figures
    >>> two = figures(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), ["cat", "dog"])
    >>> confusion_matrix(two).axes[0].get_title(loc="left").splitlines()[0]
    'Accuracy 100.0 %'
    """
    counts = np.array(figures.confusion, dtype=np.int64)
    k = len(figures.classes)
    if counts.shape != (k, k):
        raise ValueError(f"expected a confusion of shape ({k}, {k}), got {counts.shape}")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.ma.masked_array(counts / np.maximum(totals, 1), np.repeat(totals == 0, k, axis=1))
    low, high = figures.accuracy_interval
    names = short_names([one.label for one in figures.classes])
    side = min(3.6 + 0.62 * min(k, 8) + 0.2 * max(k - 8, 0), 12.0)
    beside = 0.05 * max(max(map(len, names)) - 6, 0)
    with style():
        figure, (axes,) = subplots(side + beside, side + 0.7 * beside * _steep(names))
        many = k > _MOST_TICKS
        edge: Any = {} if many else {"edgecolor": "white", "linewidth": 1.0}
        # One path per cell is heavy in the SVG of very many classes.
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1.15, rasterized=many, **edge)
        axes.set(xlim=(0, k), ylim=(k, 0), aspect="equal", facecolor="#F4F4F4")
        axes.spines[:].set_visible(False)
        _label_classes(axes, names)
        if k <= _MOST_CELLS_WITH_TEXT:
            _write_cells(axes, counts, shares)
        axes.set_title(
            f"Accuracy {figures.accuracy:.1%}".replace("%", " %")
            + f"\n{100 * figures.confidence:g} % interval {100 * low:.1f} to {100 * high:.1f} %, "
            + ("1 photo" if figures.count == 1 else f"{figures.count:,} photos")
        )
        return laid_out(figure)


def training_curves(history: Sequence[Mapping[str, Any]], undone: Collection[int] = ()) -> Figure:
    """Draw accuracy and loss over the epochs of all stages.

    Args:
        history: a row per epoch, in order, with "stage", "epoch", "loss", "accuracy", "val_loss"
            and "val_accuracy"; a figure that is missing or None leaves a gap.
        undone: numbers of the stages that are not in the model.

    Returns:
        a figure with two axes, accuracy and loss; a vertical line parts the stages, and those
        undone stand on grey.

    Raises:
        ValueError: there are no rows.

    >>> rows = [{"stage": 1, "epoch": 1, "loss": 0.7, "accuracy": 0.5}]
    >>> [axes.get_title(loc="left") for axes in training_curves(rows).axes]
    ['Accuracy', 'Loss']
    """
    if not history:
        raise ValueError("no epochs to draw: history has shape (0,)")
    stages = [row.get("stage", 1) for row in history]
    starts = [i for i, stage in enumerate(stages) if i == 0 or stage != stages[i - 1]]
    epochs = np.arange(1, len(history) + 1)
    marker = "o" if len(history) <= 30 else ""
    with style():
        figure, panels = subplots(9.0, 3.8, columns=2)
        for axes, key in zip(panels, ("accuracy", "loss"), strict=True):
            for name, column, line in (("training", key, "-"), ("validation", f"val_{key}", "--")):
                values, colour = _column(history, column), BLUE if line == "-" else ORANGE
                if not np.isnan(values).all():
                    axes.plot(epochs, values, line, color=colour, marker=marker, ms=3.5, label=name)
            if len(starts) > 1:
                _mark_stages(axes, starts, stages, undone)
            axes.set_title(key.capitalize(), pad=6 if len(starts) == 1 else 18)
            axes.set(xlabel="epoch", xlim=(0.5, len(history) + 0.5))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.grid(axis="y")
            if axes.lines:
                axes.legend(loc="lower right" if key == "accuracy" else "upper right")
        panels[0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        return laid_out(figure)


def strength_curve(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw how the strength of the logistic head was chosen.

    Args:
        rows: a row per strength tried, in any order, with "strength" (above 0), "log_loss",
            "accuracy" and "chosen".

    Returns:
        a figure with two axes, log loss and accuracy, over the strength on a log scale.

    Raises:
        ValueError: there are no rows, or a strength is not above 0.

    >>> rows = [{"strength": c, "log_loss": 0.3, "accuracy": 0.9, "chosen": c == 1} for c in (1, 2)]
    >>> len(strength_curve(rows).axes)
    2
    """
    strengths = _column(rows, "strength")
    if not rows or not np.all(strengths > 0):
        raise ValueError(f"expected strengths above 0, got {strengths.tolist()}")
    rows = [rows[i] for i in np.argsort(strengths, kind="stable")]
    strengths = np.sort(strengths)
    with style():
        figure, panels = subplots(9.0, 3.6, columns=2)
        for axes, key, title, unit in (
            (panels[0], "log_loss", "Log loss: lower is better", ""),
            (panels[1], "accuracy", "Accuracy: higher is better", " %"),
        ):
            values = _column(rows, key) * (100 if unit else 1)
            axes.plot(strengths, values, "o-", color=BLUE, markersize=4)
            for row, strength, value in zip(rows, strengths, values, strict=True):
                if row.get("chosen"):
                    axes.axvline(strength, color=ORANGE, linewidth=0.8, linestyle=(0, (4, 3)))
                    axes.plot([strength], [value], "D", color=ORANGE, markersize=8)
                    axes.set_title(f"chosen: {strength:g}", loc="right", color=ORANGE, fontsize=9)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            axes.xaxis.set_minor_formatter(FuncFormatter(lambda _x, _: ""))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _, unit=unit: f"{y:g}{unit}"))
            axes.set(title=title, xlabel="strength C (right: less regularised)")
            axes.grid(axis="y")
        return laid_out(figure)


def training_plots(
    choice: Sequence[Mapping[str, Any]],
    history: Sequence[Mapping[str, Any]],
    undone: Collection[int],
) -> dict[str, Figure]:
    """Draw what there is to see of how a training went.

    >>> sorted(training_plots((), [{"stage": 1, "epoch": 1, "loss": 0.7, "accuracy": 0.5}], ()))
    ['training_curves']

    Args:
        choice: as of `strength_curve`; empty where no strength was chosen.
        history: as of `training_curves`; empty where there were no epochs.
        undone: as of `training_curves`.

    Returns:
        By name, the plots.
    """
    drawn = {}
    if choice:
        drawn["head_strength"] = strength_curve(choice)
    if history:
        drawn["training_curves"] = training_curves(history, undone)
    return drawn


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG, the same figure giving the same bytes.

    Args:
        figure: one drawn by this module.
        folder: where to write; made if it is missing.
        name: of the files, without an ending.

    Returns:
        the paths of the PNG and of the SVG.

    Raises:
        OutputError: the files cannot be written; nothing half-written is left.

    >>> import tempfile
    >>> drawn = training_curves([{"stage": 1, "epoch": 1, "loss": 0.7, "accuracy": 0.5}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save(drawn, Path(folder), "curves")]
    ['curves.png', 'curves.svg']
    """
    # What matplotlib writes of itself: its version in the one, the date in the other.
    metadata: dict[str, dict[str, None]] = {"png": {"Software": None}, "svg": {"Date": None}}
    pairs = [
        (folder / f".{name}.{ending}.{os.getpid()}.part", folder / f"{name}.{ending}")
        for ending in metadata
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with style():
            for (part, _), (ending, fields) in zip(pairs, metadata.items(), strict=True):
                figure.savefig(part, format=ending, dpi=DPI, metadata=fields, facecolor="white")
        for part, path in pairs:
            os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write the plot {folder / name}: {error}") from error
    finally:
        for part, _ in pairs:
            with suppress(OSError):
                part.unlink()
    return [path for _, path in pairs]


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> npt.NDArray[np.float64]:
    values = [row.get(key) for row in rows]
    numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _steep(names: Sequence[str]) -> bool:
    return len(names) > 4 or max(map(len, names)) > 36 // len(names)


def _label_classes(axes: Axes, names: Sequence[str]) -> None:
    k = len(names)
    shown = range(0, k, ceil(k / _MOST_TICKS))
    size = 9 if k <= 10 else 8 if k <= 24 else 6
    labels, places = [names[i] for i in shown], [i + 0.5 for i in shown]
    angle, end = (45, "right") if _steep(names) else (0, "center")
    axes.set_xticks(places, labels, fontsize=size, rotation=angle, ha=end, rotation_mode="anchor")
    axes.set_yticks(places, labels, fontsize=size)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class", color=GREY)
    axes.set_ylabel("true class", color=GREY)


def _write_cells(axes: Axes, counts: npt.NDArray[np.int64], shares: Any) -> None:
    k = len(counts)
    size = 12 if k <= 3 else 9 if k <= 8 else 7
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        if np.ma.is_masked(share):
            continue
        text = f"{count:,}\n{100 * share:.0f} %" if count else "0"
        # White where it stands out more than ink does.
        colour = "white" if share > 0.65 else INK if count else "#B0B0B0"
        look: Any = {"ha": "center", "va": "center", "fontsize": size, "color": colour}
        axes.text(column + 0.5, row + 0.5, text, **look)


def _mark_stages(
    axes: Axes, starts: Sequence[int], stages: Sequence[float], undone: Collection[float]
) -> None:
    for start, end in zip(starts, [*starts[1:], len(stages)], strict=True):
        if start:
            axes.axvline(start + 0.5, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
        name = f"stage {stages[start]:g}"  # JSON's numbers may come as floats
        if stages[start] in undone:
            axes.axvspan(start + 0.5, end + 0.5, color=PALE, alpha=0.5, zorder=0, linewidth=0)
            name += ", undone"
        # A narrower stage has no room for its name.
        if (end - start) / len(stages) > 0.012 * len(name) + 0.036:
            look: Any = {"textcoords": "offset points", "color": GREY, "size": 8}
            foot, above = (start + 0.5, 1.0), axes.get_xaxis_transform()
            axes.annotate(name, foot, (3, 3), xycoords=above, **look)
