"""A recipe: everything that decides a training. What it may say, and what it means."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator
from pydantic import model_validator as whole

from pawprint.data.augment import Augmentation
from pawprint.data.images import Preprocessing
from pawprint.model.head_layers import AveragePool, Dropout, Flatten, HeadLayer

_TRAIN = re.compile(r"head|all|last:[1-9][0-9]*|from:[A-Za-z0-9_.]+")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataPart(Preprocessing):
    """How photos are prepared and split.

    Args:
        validation: the part of each class to hold out, where the source gives no validation photos.
        test: the part of the validation photos to keep for a last test, where it gives none.
        seed: of the split and of everything else drawn at random.
    """

    validation: float = Field(default=0.2, gt=0, lt=1)
    test: float = Field(default=0.0, ge=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @property
    def preprocessing(self) -> Preprocessing:
        """The part that a bundle needs as well."""
        return Preprocessing(size=self.size, policy=self.policy)


class BackbonePart(_Part):
    """Which network to start from.

    Args:
        name: of the network.
        alpha: its width.
        weights: `imagenet`, `random`, or a file's path.
    """

    name: Literal["MobileNetV2"] = "MobileNetV2"
    alpha: float = Field(default=1.0, gt=0, le=2)
    weights: str = "imagenet"


class LogisticStage(_Part):
    """Train the head by logistic regression on frozen features, its strength chosen by itself."""

    train: Literal["head"] = "head"
    fit: Literal["logistic"] = "logistic"


class GradientStage(_Part):
    """Train the head, or the head and the top of the backbone, by gradient descent in Keras.

    Args:
        train: `head`; `last:N` for the last N layers of the backbone as well; `from:LAYER` for
            those from a layer on, by its name or its number in Keras' `layers`; `all`.
        optimizer: of Keras, with its defaults but for what stands here.
        rate: the learning rate; with `cosine` its peak.
        schedule: `constant`; `cosine`: climbing over `warm_up` epochs, then falling to zero;
            `plateau`: multiplied by `reduce_factor` whenever the validation loss has not fallen
            for `reduce_patience` epochs.
        warm_up: epochs, or a part of one.
        reduce_factor: see `schedule`.
        reduce_patience: see `schedule`.
        weight_decay: of `adamw`.
        epochs: how often each photo is seen, at most.
        batch_size: photos a step.
        views: 1: each photo as it is; N: and N - 1 augmented copies, made once; `fresh`: augmented
            anew every epoch.
        label_smoothing: how much of the truth is spread over all classes.
        class_weights: weigh classes where their numbers differ much.
        patience: stop when the validation loss has not fallen for so many epochs; 0 never stops.
        best_weights: go back to the epoch with the lowest validation loss at the end.
        batch_norm: `still` keeps the backbone's batch normalisation at the statistics it came
            with; `moving` lets it follow the photos, for training from nothing.
    """

    train: str
    fit: Literal["gradient"] = "gradient"
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    rate: float = Field(default=1e-3, gt=0, le=1)
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    warm_up: float = Field(default=0.0, ge=0)
    reduce_factor: float = Field(default=0.1, gt=0, lt=1)
    reduce_patience: int = Field(default=2, ge=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    epochs: int = Field(default=3, ge=1, le=10_000)
    batch_size: int = Field(default=32, ge=1, le=65536)
    views: Annotated[int, Field(ge=1, le=64)] | Literal["fresh"] = 1
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: bool = True
    patience: int = Field(default=0, ge=0)
    best_weights: bool = False
    batch_norm: Literal["still", "moving"] = "still"

    @field_validator("train")
    @classmethod
    def _known_layers(cls, value: str) -> str:
        if not _TRAIN.fullmatch(value):
            raise ValueError("expected head, all, last:N (N at least 1) or from:LAYER")
        return value

    @whole(mode="after")
    def _all_has_effect(self) -> Self:
        if self.warm_up and self.schedule != "cosine":
            raise ValueError('warm_up is for schedule = "cosine"')
        if self.warm_up >= self.epochs:
            raise ValueError(f"warm_up must be shorter than the stage's {self.epochs} epochs")
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError('weight_decay is for optimizer = "adamw"')
        return self


def _fit_of(value: Any) -> str:
    return str(value.get("fit", "gradient") if isinstance(value, dict) else value.fit)


Stage = Annotated[
    Annotated[LogisticStage, Tag("logistic")] | Annotated[GradientStage, Tag("gradient")],
    Discriminator(
        _fit_of,
        custom_error_type="fit",
        custom_error_message="fit: expected 'logistic' or 'gradient'",
    ),
]


class Recipe(_Part):
    """Everything that decides a training.

    >>> Recipe(name="mine", stage=(LogisticStage(),)).backbone.name
    'MobileNetV2'

    Args:
        name: of the recipe.
        description: one line.
        data: how photos are prepared and split.
        backbone: which network to start from.
        head: the layers between the backbone and the answering layer; first what makes a vector of
            its map: `average_pool` or `flatten`.
        augment: what may happen to a photo in an augmented view, all of it together.
        stage: what is trained, one after the other.
        keras_h5: also save the whole Keras model in the run's folder, under this name.
    """

    name: str = Field(min_length=1)
    description: str = ""
    keras_h5: str = Field(default="", pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]*\.h5)?$")
    data: DataPart = DataPart()
    backbone: BackbonePart = BackbonePart()
    head: tuple[HeadLayer, ...] = (AveragePool(),)
    augment: tuple[Augmentation, ...] = ()
    stage: tuple[Stage, ...] = Field(min_length=1)

    @field_validator("head")
    @classmethod
    def _one_vector(cls, value: tuple[HeadLayer, ...]) -> tuple[HeadLayer, ...]:
        makers = [isinstance(layer, AveragePool | Flatten) for layer in value]
        if not makers or not makers[0] or sum(makers) != 1:
            raise ValueError(
                "expected average_pool or flatten first and nowhere else: it makes a vector of "
                "the backbone's map"
            )
        return value

    @whole(mode="after")
    def _parts_fit(self) -> Self:
        for number, stage in enumerate(self.stage, 1):
            if isinstance(stage, LogisticStage):
                if number > 1:
                    raise ValueError(f'stage.{number}: fit = "logistic" is for the first stage')
                if not self.linear_head:
                    raise ValueError(
                        f'stage.{number}: fit = "logistic" needs a head of average_pool alone'
                    )
            elif stage.views != 1 and not self.augment:
                raise ValueError(
                    f"stage.{number}: views = {stage.views!r} needs at least one [[augment]]"
                )
        return self

    @property
    def linear_head(self) -> bool:
        """Whether the head is one linear layer on averaged channels."""
        return isinstance(self.head[0], AveragePool) and all(
            isinstance(layer, Dropout) for layer in self.head[1:]
        )
