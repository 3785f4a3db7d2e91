"""Runs written by hand, as a training writes them, with whatever a test wants of them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pawprint.data.sources import Source, open_source

CLASSES = ["cat", "dog"]
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0L9 9"/></svg>'
RECIPE = """name = "tiny"

[[stage]]
train = "head"
fit = "logistic"

[[stage]]
train = "last:100"
"""
COMPARISON = {
    "count": 40,
    "right_before": 34,
    "right_after": 36,
    "only_before": 1,
    "only_after": 3,
    "interval": [-0.05, 0.15],
    "confidence": 0.95,
    "p_value": 0.625,
    "log_loss_before": 0.4,
    "log_loss_after": 0.3,
}


def figures(classes: list[str], each: int = 20, wrong: int = 2) -> dict[str, Any]:
    """Of each class as many photos, as many of them wrong: taken for the next class."""
    count, right = each * len(classes), 1 - wrong / each
    interval = [right - 0.1, right + 0.05]
    confusion = [[0] * len(classes) for _ in classes]
    for true in range(len(classes)):
        confusion[true][true] = each - wrong
        confusion[true][(true + 1) % len(classes)] = wrong
    return {
        "count": count,
        "accuracy": right,
        "accuracy_interval": interval,
        "balanced_accuracy": right,
        "balanced_accuracy_interval": interval,
        "confidence": 0.95,
        "classes": [
            {
                "label": label,
                "count": each,
                **dict.fromkeys(("precision", "recall", "f1"), right),
                **{f"{name}_interval": interval for name in ("precision", "recall", "f1")},
            }
            for label in classes
        ],
        "confusion": confusion,
        "roc_auc": 0.95,
        "roc_auc_interval": None,
        "average_precision": 0.9,
        "average_precision_interval": None,
        "log_loss": 0.3,
    }


def everything() -> dict[str, dict[str, Any]]:
    """What only some runs say, by file."""
    reliability = {"ece": 0.08, "brier": 0.1, "log_loss": 0.3, "bins": []}
    return {
        "run.json": {
            "command": "pawprint train 'my photos' --recipe tiny",
            "unknown": {"refuses": 0.01, "photos": 400, "refused": 6, "right": 380},
            "corrections": {"file": "corrections.csv", "relabelled": 3, "excluded": 1},
            "before": {"run": "runs/older", "comparison": COMPARISON},
            "notes": ["Stage 2 overfits: use fewer epochs."],
        },
        "metrics.json": {
            "calibration": {
                "temperature": 1.25,
                "before": reliability,
                "after": {**reliability, "ece": 0.3125},
            },
            "decision": {"rule": "recall:dog=0.95", "threshold": 0.375},
        },
    }


def _json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values), "utf-8", errors="surrogateescape")


def _csv(path: Path, rows: list[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows(rows)


def write_run(
    folder: Path,
    source: Source,
    place: Path | str,
    *,
    classes: list[str] = CLASSES,
    more: dict[str, dict[str, Any]] | None = None,
) -> Path:
    """A run's folder; every fifth answer is wrong, and the first of these the surest."""
    more = more or {}
    (folder / "plots").mkdir(parents=True)
    for name in ("confusion_matrix", "roc_curve", "training_curves", "head_strength"):
        (folder / "plots" / f"{name}.svg").write_bytes(SVG)
    usable = [photo for photo in source.photos if "extra" not in photo.path]
    manifest, answers = [["path", "label", "split", "sha256"]], []
    for number, photo in enumerate(usable):
        digest = hashlib.sha256(source.read(photo)).hexdigest()
        label = classes[number % len(classes)]
        manifest.append([photo.path, label, "validation", digest])
        wrong, sure = number % 5 == 0, 0.99 - number / 100
        place_of = (number + wrong) % len(classes)
        given = [(1 - sure) / (len(classes) - 1)] * len(classes)
        given[place_of] = sure
        answers.append([photo.path, "validation", label, classes[place_of], *given])
    _csv(folder / "manifest.csv", manifest)
    header = ["path", "split", "label", "predicted", *classes]
    _csv(folder / "predictions.csv", [header, *answers])
    _csv(folder / "left_out.csv", [["path", "reason"], ["cat/empty.jpg", "the file is empty"]])
    (folder / "recipe.toml").write_text(RECIPE, "utf-8")
    record = {
        "source": "pets",
        "from": str(place),
        "recipe": "tiny",
        "classes": classes,
        "photos": {"train": dict.fromkeys(classes, 80), "validation": dict.fromkeys(classes, 20)},
        "left_out": 1,
        "findings": {"near-duplicate": 2},
        "fingerprint": "f" * 64,
        "created": "2026-11-21T21:45:33+00:00",
        "versions": {"pawprint": "0.1.0"},
        "notes": [],
        "seconds": {"training": 3.0, "total": 4.5},
    }
    _json(folder / "run.json", record | more.get("run.json", {}))
    history = [
        {"stage": 2, "epoch": n, "loss": 0.5, "accuracy": 0.8, "val_loss": 0.4, "val_accuracy": 0.9}
        for n in (1, 2)
    ]
    measured = figures(classes) | more.get("metrics.json", {})
    head = [{"strength": 1.0, "log_loss": 0.3, "accuracy": 0.9, "chosen": True}]
    stages = [{"stage": 2, "undone": True, "comparison": COMPARISON}]
    _json(
        folder / "metrics.json",
        {"validation": measured, "head": head, "stages": stages, "history": history},
    )
    suspects = {"judged_by": "5 folds", "photos": 200, "count": 0, "expected": 0, "suspects": []}
    _json(folder / "suspects.json", suspects | more.get("suspects.json", {}))
    return folder


@pytest.fixture
def source(photos: Path) -> Iterator[Source]:
    """The drawn photos."""
    with open_source(photos) as source:
        yield source


@pytest.fixture
def make_run(tmp_path: Path, photos: Path, source: Source) -> Callable[..., Path]:
    """Write a run on the drawn photos; what is given goes beside or in place of the usual."""

    def make(name: str = "run", **options: Any) -> Path:
        options.setdefault("place", photos)
        return write_run(tmp_path / name, source, **options)

    return make


@pytest.fixture
def full_run(make_run: Callable[..., Path], source: Source) -> Path:
    """A run with all that a run can say."""
    path = next(photo.path for photo in source.photos if "extra" not in photo.path)
    suspect = {
        "path": path,
        "given": "cat",
        "suggested": "dog",
        "given_probability": 0.01,
        "suggested_probability": 0.98,
        "split": "train",
        "sha256": "",
    }
    suspects = {"count": 7, "expected": 5, "suspects": [suspect]}
    return make_run("full", more={**everything(), "suspects.json": suspects})
