"""The layers between the backbone and the answer: what a recipe may put there, as Keras layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pawprint.model.framework import load_keras


class _Layer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AveragePool(_Layer):
    """Average each channel of the backbone's map over all places."""

    layer: Literal["average_pool"] = "average_pool"

    def build(self, name: str) -> Any:
        """The Keras layer, under a name of its own."""
        return load_keras().layers.GlobalAveragePooling2D(name=name)


class Flatten(_Layer):
    """Take the backbone's map as one long vector, place by place."""

    layer: Literal["flatten"] = "flatten"

    def build(self, name: str) -> Any:
        """The Keras layer, under a name of its own."""
        return load_keras().layers.Flatten(name=name)


class Dense(_Layer):
    """A fully connected layer.

    Args:
        units: its outputs.
        activation: what is done to them.
        l2: how much of the squared kernel is added to the loss.
    """

    layer: Literal["dense"] = "dense"
    units: int = Field(ge=1, le=65536)
    activation: Literal["relu", "linear"] = "relu"
    l2: float = Field(default=0.0, ge=0, le=1)

    def build(self, name: str) -> Any:
        """The Keras layer, under a name of its own."""
        keras = load_keras()
        penalty = keras.regularizers.L2(self.l2) if self.l2 else None
        return keras.layers.Dense(
            self.units, activation=self.activation, kernel_regularizer=penalty, name=name
        )


class BatchNorm(_Layer):
    """Normalise each feature over the batch while training, by running statistics afterwards."""

    layer: Literal["batch_norm"] = "batch_norm"

    def build(self, name: str) -> Any:
        """The Keras layer, under a name of its own."""
        return load_keras().layers.BatchNormalization(name=name)


class Dropout(_Layer):
    """While training, set some features to zero.

    Args:
        rate: the part of them.
    """

    layer: Literal["dropout"] = "dropout"
    rate: float = Field(gt=0, lt=1)

    def build(self, name: str) -> Any:
        """The Keras layer, under a name of its own."""
        return load_keras().layers.Dropout(self.rate, name=name)


HeadLayer = Annotated[
    AveragePool | Flatten | Dense | BatchNorm | Dropout, Field(discriminator="layer")
]


def build_head(layers: Sequence[HeadLayer], classes: int) -> list[Any]:
    """Make the Keras layers of a head, and the one that answers on top of them.

    Args:
        layers: what the recipe puts below.
        classes: how many; two give one sigmoid unit, more a softmax.

    Returns:
        Keras layers, not built yet; the last is named `head`.
    """
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    top = load_keras().layers.Dense(units, activation=activation, name="head")
    # Keras would count on over all networks of a process, and the names are in the bundle.
    below = [layer.build(f"head_{n}_{layer.layer}") for n, layer in enumerate(layers, 1)]
    return [*below, top]
