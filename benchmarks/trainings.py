"""(whole trainings on both sides, and what they say of themselves; nothing to run)"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
from common import PAWPRINT, say, shared
from processes import Measured, measure

WEIGHTS = "keras/models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
LIMIT = 6 * 3600  # seconds for one process

Row = dict[str, Any]


def pawprint(
    source: Path,
    recipe: str,
    run: Path,
    *,
    changes: Sequence[str] = (),
    options: Sequence[str] = (),
) -> dict[str, Any]:
    """One whole `pawprint train` with an empty cache of its own.

    Args:
        source: the photos.
        recipe: its name, or a file.
        run: the folder to make; the cache is made beside it.
        changes: values of the recipe, as `--set` takes them.
        options: further options of the command.
    """
    command: list[str | Path] = [PAWPRINT, "train", source, "--recipe", recipe, "--out", run]
    for change in changes:
        command += ["--set", change]
    found = measure([*command, *options], cache=run.with_name(f"{run.name}-cache"), limit=LIMIT)
    say(f"pawprint, {recipe}: {found.seconds:.1f} s")
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    record = json.loads((run / "run.json").read_text("utf-8"))
    return {
        **figures(found),
        "judged": {
            side: {key: metrics[side][key] for key in ("accuracy", "accuracy_interval", "count")}
            for side in ("validation", "test")
            if side in metrics
        },
        "stages": by_stage(metrics["history"]),
        "parts": record["seconds"],
        "notes": record.get("notes", []),
        "outcomes": [_outcome(one) for one in metrics.get("stages", [])],
    }


def keras(script: str | Path, arguments: Sequence[str | Path]) -> tuple[dict[str, Any], list[str]]:
    """One whole process of plain Keras: what its last line says in JSON, and all its lines."""
    command: list[str | Path] = [common.PYTHON, script, *arguments, "--weights", shared(WEIGHTS)]
    found = measure(command, limit=LIMIT)
    say(f"Keras, {Path(script).name}: {found.seconds:.1f} s")
    return {"process": figures(found), **json.loads(found.lines[-1])}, found.lines


def _outcome(told: Row) -> str:
    """What became of a stage, in words."""
    from pawprint.training.rollback import Outcome  # large: after what is measured

    return f"stage {told['stage']} {Outcome.from_dict(told).in_words()}"


def by_stage(history: Sequence[Row]) -> list[list[Row]]:
    """A run's epochs, a list for each stage, in their order."""
    stages: dict[Any, list[Row]] = {}
    for row in history:
        stages.setdefault(row["stage"], []).append(row)
    return list(stages.values())


def figures(found: Measured) -> dict[str, Any]:
    """What a process took, rounded."""
    return {
        "seconds": round(found.seconds, 2),
        "cpu_seconds": round(found.cpu, 2),
        "peak_mb": round(found.peak_mb),
    }


def share(right: float, count: int) -> str:
    """An accuracy with its 95 % Wilson interval."""
    from pawprint.evaluation.intervals import wilson_interval  # large: after what is measured

    low, high = wilson_interval(round(right * count), count)
    return f"{right:.2%} ({low:.2%} to {high:.2%})"
