"""Keras, imported late and quietly, so that what needs no training never waits for it."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

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
        with _quiet_stderr(), _uncollected():
            import keras
    except ImportError as error:
        raise MissingExtra("training", error.name or error, "train") from None
    return keras


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: imports make many objects, and all of them stay."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextlib.contextmanager
def numbered_anew() -> Iterator[None]:
    """Let Keras number layers without a name as in a new process.

    It counts on over all networks of a process, so the same layer would have another name each
    time; and recipes, cuts and cached features go by the names.
    """
    load_keras()
    from keras.src.backend.common import global_state

    counted = global_state.get_global_attribute("object_name_uids")
    global_state.set_global_attribute("object_name_uids", None)
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", counted)


def has_gpu() -> bool:
    """Whether Keras' backend sees a GPU."""
    return bool(load_keras().distribution.list_devices("gpu"))


def feed(batches: Iterator[tuple[NDArray[Any], ...]], shapes: Sequence[tuple[int, ...]]) -> Any:
    """What `fit` is to read batches from.

    Args:
        batches: each a tuple of float32 arrays.
        shapes: of one row of each array.

    Returns:
        The iterator itself, or for TensorFlow a dataset of it. `fit` would make one as well, with a
        thread that tunes it and that TensorFlow, at the end, waits for: seconds in every epoch.
    """
    if load_keras().backend.backend() != "tensorflow":
        return batches
    import tensorflow

    options = tensorflow.data.Options()
    options.autotune.enabled = False
    rows = tuple(tensorflow.TensorSpec((None, *shape), "float32") for shape in shapes)
    dataset = tensorflow.data.Dataset.from_generator(lambda: batches, output_signature=rows)
    return dataset.prefetch(1).with_options(options)


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
