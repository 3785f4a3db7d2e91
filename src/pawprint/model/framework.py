"""Keras, imported late and quietly, so that what needs no training never waits for it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

from pawprint.errors import MissingExtra


def load_keras() -> Any:
    """Import Keras, on TensorFlow unless the environment names another backend.

    Returns:
        The `keras` module.

    Raises:
        MissingExtra: Keras or its backend is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it remarks on a second training
    try:
        with _quiet_stderr():
            import keras
    except ImportError as error:
        raise MissingExtra("training", error.name or error, "train") from None
    return keras


def has_gpu() -> bool:
    """Whether Keras' backend sees a GPU."""
    return bool(load_keras().distribution.list_devices("gpu"))


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what TensorFlow's libraries print at import before logging is set up."""
    if "keras" in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
