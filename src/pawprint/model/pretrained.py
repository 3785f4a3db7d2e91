"""Pretrained weights: which file they are, where it lies, and what to do where it does not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint import starter
from pawprint.errors import RecipeError, WeightsError
from pawprint.model import applications
from pawprint.model.framework import load_keras


def imagenet_path(name: str, size: int, alpha: float) -> Path:
    """Where Keras keeps a network's ImageNet weights, whether they are there or not.

    Args:
        name: of the network.
        size: of its input, in pixels.
        alpha: its width.
    """
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return home / "models" / applications.find(name).weights_file(size, alpha)


def find_weights(
    weights: str | Path, name: str, size: int, alpha: float, *, offline: bool
) -> Path | None:
    """The file to load, or None where Keras should download it.

    Args:
        weights: `imagenet`, or a file.
        name: of the network.
        size: of its input, in pixels.
        alpha: its width.
        offline: whether downloading is off.

    Raises:
        RecipeError: there are no ImageNet weights at this width, or of this network.
        WeightsError: there is no such file.
    """
    if weights != "imagenet":
        if not Path(weights).is_file():
            raise WeightsError(f"{weights}: there is no such weights file; give one with --weights")
        return Path(weights)
    known = applications.find(name)
    if name == starter.NAME:
        raise RecipeError('the starter has no ImageNet weights; its own are weights = "starter"')
    if alpha not in known.alphas:
        raise RecipeError(
            f"{name} has no ImageNet weights at alpha {alpha}; it has them at "
            f"{', '.join(map(str, known.alphas))}"
        )
    path = imagenet_path(name, size, alpha)
    if path.is_file():
        return path
    if offline:
        raise unavailable(name, size, alpha, f"{path} is not there, and downloading is off")
    return None


def starter_weights() -> list[NDArray[np.float32]]:
    """The starter's own weights, in Keras' order."""
    whole = load_keras().models.load_model(starter.BUNDLE / "model.keras", compile=False)
    weights: list[NDArray[np.float32]] = whole.get_layer(starter.NAME).get_weights()
    return weights


def load_weights(network: Any, path: Path) -> None:
    """Give a Keras network the weights of a file.

    Raises:
        WeightsError: they do not fit.
    """
    try:
        network.load_weights(str(path))
    except Exception as error:  # h5py and Keras raise many kinds for a file that does not fit
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise WeightsError(
            f"{path}: these weights do not fit {network.name} without its top ({line}); expected "
            "the whole file that Keras offers for this network, width and size"
        ) from None


def unavailable(name: str, size: int, alpha: float, why: str) -> WeightsError:
    """The error for ImageNet weights that are not to be had, with the ways out.

    Args:
        name: of the network.
        size: of its input, in pixels.
        alpha: its width.
        why: they are not to be had.
    """
    return WeightsError(
        f"the ImageNet weights of {name} are not to be had: {why}. Four ways out: start from the "
        "network that pawprint brings, with --backbone starter; connect to the internet and run "
        f"again; give the file with --weights FILE; or put "
        f"{imagenet_path(name, size, alpha).name} into a folder's models/ and set KERAS_HOME to "
        "that folder"
    )
