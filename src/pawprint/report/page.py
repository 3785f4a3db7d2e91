"""The contents of a report as one HTML page that needs nothing else and runs nothing."""

from __future__ import annotations

from dataclasses import dataclass

from pawprint.data.layout import SPLITS
from pawprint.evaluation.metrics import Figures
from pawprint.evaluation.paired import in_words
from pawprint.pages.template import template
from pawprint.pages.words import interval, number, percent, percents
from pawprint.report.contents import Report
from pawprint.report.drawings import TABLED, confused, in_short

_FOLDED = 30  # classes from which tables are folded away
_PAIRS = 15  # of classes that are taken for one another


@dataclass(frozen=True)
class _Row:
    """A figure on every side: its value and its interval, as people read them."""

    name: str
    about: str
    cells: tuple[tuple[str, str], ...]


def page(report: Report) -> str:
    """Render the page.

    >>> import numpy as np
    >>> from pawprint.evaluation.metrics import figures
    >>> from pawprint.report.contents import Judged
    >>> two = figures(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), ["cat", "dog"])
    >>> text = page(Report("pawprint evaluate", "pets", (), {"validation": Judged(two)}))
    >>> "<h1>pets</h1>" in text
    True

    Args:
        report: what it shows.

    Returns:
        HTML. A half of a surrogate pair may be in it, where a name has one.
    """
    main = report.main.figures
    return template("pawprint.report", "page.html.j2").render(
        calibration=report.main.calibration,
        compared=in_words(report.before.comparison) if report.before else "",
        confused=confused(main)[:_PAIRS],
        decision=report.main.decision,
        expected=_expected(main),
        folded=_FOLDED,
        folds=report.main.folds,
        in_short=in_short(main),
        main=main,
        report=report,
        rows=_rows(report),
        sections=_sections(report),
        shares=_shares(main),
        sides=_sides(report),
        tabled=TABLED,
    )


def _sections(report: Report) -> list[tuple[str, str]]:
    """The name and the heading of each section that the page has, in its order."""
    data = report.photos or report.findings or report.left_out_count or report.corrections
    again = report.command or report.recipe or report.fingerprint
    sections = [
        ("before", "Compared with the run before", report.before),
        ("figures", "Figures", True),
        ("confusion", "What is taken for what", confused(report.main.figures)),
        ("calibration", "Calibration", report.main.calibration),
        ("unknown", "Saying “I do not know”", report.unknown),
        *((gallery.name, gallery.title, gallery.tiles) for gallery in report.galleries),
        ("data", "Photos", data),
        ("stages", "Training", report.stages or _plotted(report, "stages")),
        ("time", "Time", report.seconds),
        ("again", "Doing it again", again),
    ]
    return [(name, title) for name, title, there in sections if there]


def _plotted(report: Report, section: str) -> bool:
    return any(plot.section == section for plot in report.plots)


def _sides(report: Report) -> list[str]:
    """The sides that any class has photos on, those of a split in their order."""
    sides = dict.fromkeys(side for counts in report.photos.values() for side in counts)
    return sorted(sides, key=lambda side: SPLITS.index(side) if side in SPLITS else len(SPLITS))


def _expected(figures: Figures) -> str:
    """The interval as a count, which most people grasp better."""
    low, high = (round(1000 * end) for end in figures.accuracy_interval)
    return f"{low:,} to {high:,}" if low < high else f"{low:,}"


def _rows(report: Report) -> list[_Row]:
    """The table of figures; of those that no side has, there is no row."""
    sides = [judged.figures for judged in report.judged.values()]
    rows = [
        _Row(
            "Accuracy",
            "share of all photos that are answered rightly",
            tuple((percent(f.accuracy), percents(f.accuracy_interval)) for f in sides),
        ),
        _Row(
            "Balanced accuracy",
            "mean over the classes of the share that is found",
            tuple(
                (percent(f.balanced_accuracy), percents(f.balanced_accuracy_interval))
                for f in sides
            ),
        ),
        _Row(
            "ROC-AUC",
            "how often a photo of a class ranks above one of another; 0.5 is chance",
            tuple((number(f.roc_auc), interval(f.roc_auc_interval)) for f in sides),
        ),
        _Row(
            "Average precision",
            "mean precision over all thresholds",
            tuple(
                (number(f.average_precision), interval(f.average_precision_interval)) for f in sides
            ),
        ),
        _Row(
            "Log loss",
            "what wrong and unsure probabilities cost; lower is better",
            tuple((number(f.log_loss), "") for f in sides),
        ),
        _Row("Photos", "that judged", tuple((f"{f.count:,}", "") for f in sides)),
    ]
    return [row for row in rows if any(value != number(None) for value, _ in row.cells)]


def _shares(figures: Figures) -> list[list[float]]:
    """The confusion in shares of the true class, 0 to 1."""
    return [[count / max(1, sum(row)) for count in row] for row in figures.confusion]
