"""TensorBoard's logs are the history, each epoch once, also of a training that was killed.

What else that training comes to is here as well: killing it takes long, and is done once a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pawprint.model.framework import load_keras
from pawprint.training.tensorboard import Board

ROWS = [
    {"stage": 1.0, "epoch": 1.0, "loss": 0.7, "val_loss": 0.6, "rate": 1e-3},
    {"stage": 1.0, "epoch": 2.0, "loss": 0.5, "val_loss": 0.5, "rate": 1e-3},
    {"stage": 2.0, "epoch": 1.0, "loss": 0.4, "val_loss": 0.6, "rate": 1e-5},
]


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar in a folder of logs: step and value."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    found = {
        tag: [(event.step, float(event.tensor_proto.float_val[0])) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }
    return found | {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def expected(history: list[dict[str, float]]) -> dict[str, list[tuple[int, Any]]]:
    found: dict[str, list[tuple[int, Any]]] = {}
    for step, row in enumerate(history, 1):
        for name, value in row.items():
            if name not in ("stage", "epoch"):
                tag = f"stage_{row['stage']:.0f}/{name}"
                found.setdefault(tag, []).append((step, pytest.approx(value)))
    return found


def test_every_figure_of_every_epoch_is_logged(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        for row in ROWS:
            board.log(row)
            assert logged(tmp_path / "tensorboard") == expected(ROWS[: ROWS.index(row) + 1])


def test_going_on_logs_what_was_before_anew(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        for row in ROWS:  # the last one was logged and then lost
            board.log(row)
    with Board(tmp_path, ROWS[:2]) as board:
        board.log({**ROWS[2], "loss": 0.3})
    found = expected([*ROWS[:2], {**ROWS[2], "loss": 0.3}])
    assert logged(tmp_path / "tensorboard") == found


def test_without_a_folder_nothing_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Board(None) as board:
        board.log(ROWS[0])
    assert board.folder is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("which", ["resumed", "whole"])
def test_a_runs_logs_are_its_history(killed: Any, which: str) -> None:
    run = getattr(killed, which)
    assert logged(run.path / "tensorboard") == expected(run.history)
    assert len(run.history) >= 5


def weights_of(run: Path) -> list[NDArray[Any]]:
    return list(load_keras().models.load_model(run / "model" / "model.keras").get_weights())


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def test_killed_in_every_stage_and_between_it_ends_as_if_never_interrupted(killed: Any) -> None:
    for stage, epoch in ((1, 1), (1, 3), (2, 2), (3, 1)):
        assert f'"progressed": {{"stage": {stage}, "epoch": {epoch},' in killed.about.pop(0)
    resumed, whole = killed.resumed, killed.whole
    assert not any("anew" in said for said in killed.listener.said)
    assert "Stage 2, epoch 2 of 4" not in killed.listener.steps
    assert [path.name for path in resumed.path.parent.iterdir()] == ["killed"]

    assert without_seconds(resumed.history) == without_seconds(whole.history)
    assert resumed.record["notes"] == whole.record["notes"]
    assert resumed.outcomes == whole.outcomes
    assert [found.stage for found in whole.outcomes] == [2, 3]
    assert whole.record["undone"] == [3]
    for name in ("model/model.onnx", "predictions.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()
    found, meant = weights_of(resumed.path), weights_of(whole.path)
    assert len(found) == len(meant) > 100
    assert all(np.array_equal(*pair) for pair in zip(found, meant, strict=True))
