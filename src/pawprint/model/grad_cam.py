"""Grad-CAM: how much each place speaks for a class, for heads that do not pool."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.images import Pixels
from pawprint.errors import PawprintError
from pawprint.model.framework import load_keras
from pawprint.model.layer_graph import cut_points, steps_of


class GradCam:
    """Heat-maps of a Keras model, by the gradient of a class's logit (Selvaraju et al., 2017).

    Each channel of the last map counts at each place by the gradient there (Draelos and Carin, "Use
    HiResCAM instead of Grad-CAM", 2020). Its mean over places, as at first proposed, is the same
    where the head pools; a dense head weighs each place on its own, and there the mean points
    anywhere. Negative values are kept, and the scale is that of the logit: for a head that pools
    this is the very map in `model.onnx`.

    Args:
        model: from raw pixels to probabilities, as `network.whole_model` makes it; the layer that
            answers is dense.

    Raises:
        PawprintError: Keras runs on another backend than TensorFlow, whose gradients these are; or
            another layer answers, as in an imported network.
    """

    def __init__(self, model: Any) -> None:
        keras = load_keras()
        if (backend := keras.backend.backend()) != "tensorflow":
            raise PawprintError(
                f"Grad-CAM needs TensorFlow's gradients and Keras runs on {backend}; unset "
                "KERAS_BACKEND"
            )
        steps = steps_of(model)
        if type(steps[-1].operation).__name__ != "Dense":
            raise PawprintError(
                "heat-maps need a network that averages its last map or ends with a dense layer; "
                f"this one ends with a {type(steps[-1].operation).__name__}"
            )
        features = steps[cut_points(steps)[-1]].output
        (embedding,) = steps[-1].tensors
        self._lower = keras.Model(model.input, features)
        self._upper = keras.Model(features, embedding)
        kernel = steps[-1].operation.get_weights()[0]
        # Two classes are one logit for the second class; its negative speaks for the first.
        self._kernel = np.hstack([-kernel, kernel]) if kernel.shape[1] == 1 else kernel

    def __call__(self, pixels: Pixels, label: int) -> NDArray[np.float32]:
        """How much each place of a photo speaks for a class.

        Args:
            pixels: raw RGB, uint8, shape (size, size, 3).
            label: the class's number.

        Returns:
            float32, shape (h, w) of the network's last map; negative where a place speaks against
            the class.
        """
        import tensorflow

        photo = pixels[np.newaxis].astype(np.float32)
        features = tensorflow.constant(self._lower.predict_on_batch(photo))
        with tensorflow.GradientTape() as tape:
            tape.watch(features)
            logit = tensorflow.linalg.matvec(self._upper(features), self._kernel[:, label])
        speaks = np.asarray(tape.gradient(logit, features) * features)[0].sum(axis=-1)
        return np.asarray(speaks * speaks.size, np.float32)
