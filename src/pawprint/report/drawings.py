"""The plots of a run for its page, each with what it shows in numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pawprint.data.wording import shown
from pawprint.evaluation.calibration import Calibration
from pawprint.evaluation.metrics import Figures
from pawprint.pages import data_uri
from pawprint.pages.words import counted, interval, number, percent, percents
from pawprint.report.contents import Plot
from pawprint.report.run_files import Metrics, Tried

TABLED = 12  # classes up to which a table of confusion is better than a plot


def drawings(plots: Mapping[str, bytes], metrics: Metrics) -> tuple[Plot, ...]:
    """Choose the plots to show.

    Args:
        plots: by name, SVGs.
        metrics: what they are drawn from.

    Returns:
        Those that there are, and that tell more than the page's tables, in the page's order.
    """
    found, calibration = metrics.validation.figures, metrics.validation.calibration
    told: tuple[tuple[str, str, str, Callable[[], str]], ...] = (
        ("confusion_matrix", "confusion", "Confusion matrix", lambda: _confusion(found)),
        ("roc_curve", "figures", "ROC curve", lambda: _roc(found)),
        (
            "precision_recall_curve",
            "figures",
            "Precision against recall",
            lambda: _precision_recall(found),
        ),
        ("reliability", "calibration", "Reliability", lambda: _reliability(calibration)),
        ("training_curves", "stages", "Epoch by epoch", lambda: _history(metrics.history)),
        ("head_strength", "stages", "Strength of the head", lambda: _strength(metrics.head)),
    )
    return tuple(
        Plot(section, title, data_uri.svg(plots[name]), f"{title}: {alt()}")
        for name, section, title, alt in told
        if name in plots and not (section == "confusion" and len(found.classes) <= TABLED)
    )


def confused(figures: Figures) -> list[tuple[str, str, int, float]]:
    """The pairs of classes that are taken for one another, the most frequent first.

    >>> import numpy as np
    >>> from pawprint.evaluation.metrics import figures
    >>> second = np.array([0.1, 0.9, 0.9, 0.8])
    >>> given = np.stack([1 - second, second], axis=1)
    >>> confused(figures(np.array([0, 0, 1, 1]), given, ["cat", "dog"]))
    [('cat', 'dog', 1, 0.5)]

    Returns:
        Rows of the true class, the one answered, how many photos, and their share of the true one.
    """
    names = [one.label for one in figures.classes]
    pairs = [
        (names[true], names[answered], count, count / sum(row))
        for true, row in enumerate(figures.confusion)
        for answered, count in enumerate(row)
        if count and true != answered
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], -pair[3]))


def _confusion(figures: Figures) -> str:
    right = sum(row[place] for place, row in enumerate(figures.confusion))
    said = f"{right:,} of {figures.count:,} photos lie on the diagonal and are right"
    for true, answered, count, _ in confused(figures)[:1]:
        said += f"; most often, {counted(count, 'photo')} of {shown(true)} is taken for "
        said += shown(answered)
    return said


def _roc(figures: Figures) -> str:
    within = interval(figures.roc_auc_interval)
    return f"the area under it is {number(figures.roc_auc)}{f' ({within})' if within else ''}"


def _precision_recall(figures: Figures) -> str:
    within = interval(figures.average_precision_interval)
    said = f"the average precision is {number(figures.average_precision)}"
    return f"{said}{f' ({within})' if within else ''}"


def _reliability(calibration: Calibration | None) -> str:
    if calibration is None:
        return "how often answers of each probability are right"
    before, after = calibration.before, calibration.after
    return (
        f"probabilities are off by {percent(before.ece)} on average before calibration and by "
        f"{percent(after.ece)} after it"
    )


def _history(history: Sequence[Mapping[str, float | None]]) -> str:
    first, last = (row.get("accuracy") for row in (history[0], history[-1]))
    said = f"{counted(len(history), 'epoch')}; training accuracy from {percent(first)} to "
    said += percent(last)
    judged = [row["val_accuracy"] for row in history if row.get("val_accuracy") is not None]
    if judged:
        said += f", validation accuracy from {percent(judged[0])} to {percent(judged[-1])}"
    return said


def _strength(tried: Sequence[Tried]) -> str:
    chosen = next(row for row in tried if row.chosen)
    worst = max(row.log_loss for row in tried)
    return (
        f"of {len(tried)} strengths, {chosen.strength:g} was chosen, with the log loss "
        f"{number(chosen.log_loss)}; the worst had {number(worst)}"
    )


def in_short(figures: Figures) -> str:
    """How right, in a sentence, as for the page's description."""
    return (
        f"{percent(figures.accuracy)} right on {counted(figures.count, 'photo')} "
        f"({100 * figures.confidence:g} % interval {percents(figures.accuracy_interval)})"
    )
