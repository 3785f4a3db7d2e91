"""Pretrained networks with named cut points, and where their weights come from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pawprint.errors import RecipeError, WeightsError
from pawprint.model.framework import load_keras

ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)  # the widths that have ImageNet weights
_SIZES_WITH_WEIGHTS = (96, 128, 160, 192, 224)

# From scratch the running statistics of a small training must keep up with it; Keras' 0.999 is
# made for a million steps.
_MOMENTUM_FROM_SCRATCH = 0.9


@dataclass(frozen=True)
class Backbone:
    """A network without its top.

    Args:
        name: as `keras.applications` calls it.
        size: height and width of its input, in pixels.
        network: the Keras model; scaled pixels (n, size, size, 3) to a map (n, h, w, channels).
        scale: what raw 0-255 pixels are multiplied with,
        offset: and what is then added.
        digest: SHA-256 over its weights.
    """

    name: str
    size: int
    network: Any
    scale: float
    offset: float
    digest: str

    @property
    def cuts(self) -> tuple[str, ...]:
        """The names of the layers that the network can be cut after."""
        return tuple(layer.name for layer in self.network.layers[1:])

    @property
    def last(self) -> str:
        """The name of the last layer."""
        return str(self.network.layers[-1].name)


def build(
    name: str = "MobileNetV2",
    *,
    size: int = 224,
    alpha: float = 1.0,
    weights: str | Path = "imagenet",
    offline: bool = False,
    seed: int = 0,
) -> Backbone:
    """Build a backbone with its weights.

    Args:
        name: `MobileNetV2`.
        size: height and width of the input, in pixels; at least 32.
        alpha: width multiplier.
        weights: `imagenet`, `random`, or a weights file (`.h5`, no top).
        offline: never download.
        seed: of random weights.

    Returns:
        The backbone.

    Raises:
        RecipeError: an unknown name or width.
        WeightsError: the weights are not to be had, or do not fit.
    """
    if name != "MobileNetV2":
        raise RecipeError(f"there is no backbone {name!r} here; known: MobileNetV2")
    keras = load_keras()
    found = None if weights == "random" else _find_weights(weights, size, alpha, offline)
    keras.utils.set_random_seed(seed)

    def make(source: str | None) -> Any:
        with warnings.catch_warnings():  # Keras remarks on sizes that have no file of their own
            warnings.simplefilter("ignore", UserWarning)
            return keras.applications.MobileNetV2(
                input_shape=(size, size, 3), alpha=alpha, include_top=False, weights=source
            )

    if found is None and weights != "random":
        try:
            with contextlib.redirect_stdout(sys.stderr):  # where Keras shows the download
                network = make("imagenet")
        except Exception as error:  # urllib, ssl, HTTP, a proxy's page in place of the file ...
            print(file=sys.stderr)  # ends Keras' line
            raise _unavailable(size, alpha, f"the download failed ({error})") from None
    else:
        network = make(None)
        if found is not None:
            _load(network, found)
    if weights == "random":
        _calibrate(network, size, seed)
    return Backbone(name, size, network, 1 / 127.5, -1.0, weights_digest([network]))


def _calibrate(network: Any, size: int, seed: int) -> None:
    """Set a random network's running statistics, without which its output fades to nothing."""
    keras = load_keras()
    norms = [la for la in network.layers if isinstance(la, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    # Blotches of all scales, as photos have: plain noise would average out on the way up.
    random, noise = np.random.default_rng(seed), np.zeros((16, size, size, 3), np.float32)
    for cells in (2, 4, 8, 16):
        side = -(-size // cells)
        coarse = random.standard_normal((16, cells, cells, 3), np.float32)
        noise += coarse.repeat(side, axis=1).repeat(side, axis=2)[:, :size, :size]
    network(np.clip(noise / 3, -1, 1), training=True)
    for layer in norms:
        layer.momentum = _MOMENTUM_FROM_SCRATCH


def weights_digest(layers: Sequence[Any]) -> str:
    """SHA-256 over the weights of Keras layers, in their order."""
    digest = hashlib.sha256()
    for layer in layers:
        for values in layer.get_weights():
            digest.update(str(values.shape).encode())
            digest.update(values.tobytes())
    return digest.hexdigest()


def _find_weights(weights: str | Path, size: int, alpha: float, offline: bool) -> Path | None:
    """The file to load, or None where Keras should download it."""
    if weights != "imagenet":
        if not Path(weights).is_file():
            raise WeightsError(f"{weights}: there is no such weights file; give one with --weights")
        return Path(weights)
    if alpha not in ALPHAS:
        raise RecipeError(
            f"MobileNetV2 has no ImageNet weights at alpha {alpha}; it has them at "
            f"{', '.join(map(str, ALPHAS))}"
        )
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / _file_name(size, alpha)
    if path.is_file():
        return path
    if offline:
        raise _unavailable(size, alpha, f"{path} is not there, and downloading is off")
    return None


def _file_name(size: int, alpha: float) -> str:
    rows = size if size in _SIZES_WITH_WEIGHTS else 224
    return f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{rows}_no_top.h5"


def _load(network: Any, path: Path) -> None:
    try:
        network.load_weights(str(path))
    except Exception as error:  # h5py and Keras raise many kinds for a file that does not fit
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise WeightsError(
            f"{path}: these weights do not fit {network.name} without its top ({line}); expected "
            "the whole file that Keras offers for this network, width and size"
        ) from None


def _unavailable(size: int, alpha: float, why: str) -> WeightsError:
    return WeightsError(
        f"the ImageNet weights of MobileNetV2 are not to be had: {why}. Three ways out: connect to "
        f"the internet and run again; give the file with --weights FILE; or put "
        f"{_file_name(size, alpha)} into a folder's models/ and set KERAS_HOME to that folder"
    )
