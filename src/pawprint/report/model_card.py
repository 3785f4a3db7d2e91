"""The model card: what a bundle is, in Markdown, with the metadata that model hubs read.

Sources:
    M. Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import jinja2

from pawprint.bundle import Card
from pawprint.data.wording import shown
from pawprint.evaluation.calibration import Calibration
from pawprint.evaluation.metrics import Figures
from pawprint.pages.words import number, percent, percents

NAME = "MODEL_CARD.md"


def model_card(card: Card, figures: Figures, calibration: Calibration, folds: int = 0) -> str:
    """Write the card of a bundle.

    Args:
        card: what its `pawprint.json` says.
        figures: on the photos that judged it.
        calibration: of its probabilities.
        folds: in how many folds these were judged; 0 for none.

    Returns:
        Markdown, beginning with a block of YAML.
    """
    recipe: dict[str, Any] = card.training["recipe"]
    by_class = Counter[str]()
    for counts in card.training["photos"].values():
        by_class.update(counts)
    return _template().render(
        name=card.training["source"],
        card=card,
        figures=figures,
        calibration=calibration,
        folds=folds,
        recipe=recipe,
        measured=_measured(figures),
        created=card.created.partition("T")[0],
        size=card.preprocessing.size,
        policy=card.preprocessing.policy,
        photos=by_class.total(),
        by_class=by_class,
    )


def _measured(figures: Figures) -> list[tuple[str, str, float]]:
    """The metrics that hubs know by name."""
    f1 = [row.f1 for row in figures.classes if row.f1 is not None]
    found = [
        ("accuracy", "Accuracy", figures.accuracy),
        ("f1", "F1 (macro)", sum(f1) / len(f1) if f1 else None),
        ("roc_auc", "ROC AUC", figures.roc_auc),
    ]
    return [(kind, title, value) for kind, title, value in found if value is not None]


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pawprint.report", "."),
        lstrip_blocks=True,
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "json": lambda text: json.dumps(shown(text), ensure_ascii=False),
        "md": _plain,
        "number": number,
        "percent": percent,
        "percents": percents,
    }
    return environment.get_template("model_card.md.j2")


def _plain(text: str) -> str:
    """A name as text that Markdown takes as it is.

    >>> _plain("cat_1|*x*")
    'cat\\\\_1\\\\|\\\\*x\\\\*'
    """
    return re.sub(r"([\\\\`*_{}\[\]<>()#+!|~&-])", r"\\\1", shown(text))
