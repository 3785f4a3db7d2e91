"""Logs of every epoch for TensorBoard, which can be watched while training goes on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pawprint.errors import MissingExtra
from pawprint.training.checkpoint import LOGS


def load_writer() -> Any:
    """TensorBoard's class that writes logs.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """
    try:
        from tensorboard.summary import Writer
    except ImportError:
        raise MissingExtra("--tensorboard", "tensorboard", "tensorboard") from None
    return Writer


class Board:
    """Writes each epoch's figures as TensorBoard scalars; a context manager.

    Args:
        folder: where `tensorboard/` is made; None logs nothing.
        history: the rows of epochs before an interruption. They are logged anew: what the
            interrupted process logged may lack the last one, or have one more.
    """

    def __init__(self, folder: Path | None, history: Sequence[dict[str, float]] = ()) -> None:
        self.folder = folder and folder / LOGS
        self._writer: Any = None
        self._step = 0
        if self.folder is None:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self._writer = load_writer()(str(self.folder))
        for row in history:
            self.log(row)

    def log(self, row: dict[str, float]) -> None:
        """Log one epoch: a scalar for each figure, one step an epoch over all stages."""
        if self._writer is None:
            return
        self._step += 1
        for name, value in row.items():
            if name not in ("stage", "epoch"):
                self._writer.add_scalar(f"stage_{row['stage']:.0f}/{name}", value, self._step)
        self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
