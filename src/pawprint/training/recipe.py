"""A recipe: everything that decides a training. What it may say, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pawprint import starter
from pawprint.data.augment import Augmentation
from pawprint.data.images import Preprocessing
from pawprint.model import applications
from pawprint.model.head_layers import AveragePool, Dropout, Flatten, HeadLayer


class Misfit(ValueError):
    """Parts that do not go together, though each may be right by itself.

    Args:
        faults: each a place within the field that is looked at, and what is wrong there.
    """

    def __init__(self, faults: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__("; ".join(message for _, message in faults))
        self.faults = tuple(faults)


View = int | Literal["mirror"]  # of a photo: 0 as it is, 1 and up augmented, or this:
MIRROR: Literal["mirror"] = "mirror"  # with left and right exchanged

_LAYERS = "^(last:[1-9][0-9]{0,5}|from:[A-Za-z0-9_.]{1,100})$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataPart(Preprocessing):
    """How photos are prepared and split.

    Args:
        validation: the part of each class to hold out, where the source gives no validation photos.
        test: the part of the validation photos to keep for a last test, where it gives none.
        folds: where the source gives no validation photos and has few, hold none out: judge each
            by a network that has not seen it, in so many folds, and train on all; 0 never.
        folds_below: how many photos are not few any more.
        seed: of the split and of everything else drawn at random.
        duplicates: what is kept on one side of a split: `near`: copies that were re-encoded,
            resized, mirrored, cropped a little, too; `exact`: only the same bytes.
        leaks: copies across given splits: `drop` those that would train; `keep` all.
        group_by: what makes photos a group that is kept on one side, as of `open_source`.
    """

    validation: float = Field(default=0.2, gt=0, lt=1)
    test: float = Field(default=0.0, ge=0, lt=1)
    folds: int = Field(default=0, ge=0, le=100)
    folds_below: int = Field(default=500, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    duplicates: Literal["near", "exact"] = "near"
    leaks: Literal["drop", "keep"] = "drop"
    group_by: str = ""

    @field_validator("folds")
    @classmethod
    def _folds(cls, value: int, others: ValidationInfo) -> int:
        if value == 1:
            raise ValueError("must be 0 or at least 2")
        if value and others.data.get("test"):
            raise ValueError("must be 0 with a data.test, which is drawn from held-out photos")
        return value

    @property
    def preprocessing(self) -> Preprocessing:
        """The part that a bundle needs as well."""
        return Preprocessing(size=self.size, policy=self.policy)


class BackbonePart(_Part):
    """Which network to start from.

    Args:
        name: of the network.
        weights: `imagenet`; `starter` for the network of that name; `random`; or a file's path.
        alpha: the network's width, where it has several.
    """

    name: applications.Name = "MobileNetV2"
    weights: str = Field(default="imagenet", min_length=1)
    alpha: float = Field(default=1.0, gt=0, le=2)

    @model_validator(mode="before")
    @classmethod
    def _known_for(cls, values: Any) -> Any:
        """The starter without weights is the one with its own."""
        if isinstance(values, dict) and values.get("name") == starter.NAME:
            return {"weights": starter.NAME, **values}
        return values

    @field_validator("weights")
    @classmethod
    def _its_own(cls, value: str, others: ValidationInfo) -> str:
        name = others.data.get("name")
        if name == starter.NAME and value == "imagenet":
            raise ValueError('must be "starter", "random" or a file with name = "starter"')
        if name not in (starter.NAME, None) and value == starter.NAME:
            raise ValueError(f'must be "imagenet", "random" or a file with name = "{name}"')
        return value

    @field_validator("alpha")
    @classmethod
    def _has_weights(cls, value: float, others: ValidationInfo) -> float:
        if name := others.data.get("name"):  # missing where it has a fault
            alphas = applications.find(name).alphas
            if value != 1.0 and len(alphas) == 1:
                raise ValueError(f"must be 1.0, the only width of {name}")
            if others.data.get("weights") == "imagenet" and value not in alphas:
                known = ", ".join(map(str, alphas))
                raise ValueError(f'must be one of {known} with weights = "imagenet"')
        return value


class LogisticStage(_Part):
    """Train the head by logistic regression on frozen features, its strength chosen by itself.

    Args:
        train: the head.
        fit: how.
        views: 1: each photo as it is; `mirrored`: and its mirror image.
    """

    train: Literal["head"] = "head"
    fit: Literal["logistic"] = "logistic"
    views: Literal[1, "mirrored"] = 1

    @property
    def least_photos(self) -> int:
        """The first stage is for any number of photos."""
        return 0

    @property
    def cached_views(self) -> tuple[View, ...]:
        """The views that are computed once."""
        return (0, MIRROR) if self.views == "mirrored" else (0,)


class GradientStage(_Part):
    """Train the head, or the head and the top of the backbone, by gradient descent in Keras.

    Args:
        train: `head`; `last:N` for the last N layers of the backbone as well; `from:LAYER` for
            those from a layer on, by its name or its number in Keras' `layers`; `all`.
        epochs: how often each photo is seen, at most.
        batch_size: photos a step.
        optimizer: of Keras, with its defaults but for what stands here.
        weight_decay: of `adamw`.
        rate: the learning rate; with `cosine` its peak.
        schedule: `constant`; `cosine`: climbing over `warm_up` epochs, then falling to zero;
            `plateau`: multiplied by `reduce_factor` whenever the validation loss has not fallen
            for `reduce_patience` epochs.
        warm_up: epochs, or a part of one.
        reduce_factor: see `schedule`.
        reduce_patience: see `schedule`.
        views: 1: each photo as it is; `mirrored`: and its mirror image; N: and N - 1 augmented
            copies, made once; `fresh`: augmented anew every epoch.
        label_smoothing: how much of the truth is spread over all classes.
        class_weights: weigh classes where their numbers differ much.
        patience: stop when the validation loss has not fallen for so many epochs; 0 never stops.
        best_weights: go back to the epoch with the lowest validation loss at the end.
        least_photos: leave the stage out where there are fewer photos in all.
        roll_back: undo the stage where the network is not better than before it: no more
            validation photos are right or, where as many are, the log loss is not lower. The first
            stage always stays.
        batch_norm: `still` keeps the backbone's batch normalisation at the statistics it came
            with; `moving` lets it follow the photos, for training from nothing.
    """

    train: Literal["head", "all"] | Annotated[str, Field(pattern=_LAYERS)]
    fit: Literal["gradient"] = "gradient"
    epochs: int = Field(default=3, ge=1, le=10_000)
    batch_size: int = Field(default=32, ge=1, le=65536)
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    rate: float = Field(default=1e-3, gt=0, le=1)
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    warm_up: float = Field(default=0.0, ge=0)
    reduce_factor: float = Field(default=0.1, gt=0, lt=1)
    reduce_patience: int = Field(default=2, ge=1)
    views: Annotated[int, Field(ge=1, le=64)] | Literal["mirrored", "fresh"] = 1
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: bool = True
    patience: int = Field(default=0, ge=0)
    best_weights: bool = False
    least_photos: int = Field(default=0, ge=0)
    roll_back: bool = True
    batch_norm: Literal["still", "moving"] = "still"

    @property
    def cached_views(self) -> tuple[View, ...]:
        """The views that are computed once; none where each epoch has its own."""
        if self.views == "mirrored":
            return (0, MIRROR)
        return () if self.views == "fresh" else tuple(range(self.views))

    # Each of these looks at fields above its own, which are missing where they have faults.

    @field_validator("weight_decay")
    @classmethod
    def _decays(cls, value: float, others: ValidationInfo) -> float:
        if value and others.data.get("optimizer", "adamw") != "adamw":
            raise ValueError('is for optimizer = "adamw"')
        return value

    @field_validator("warm_up")
    @classmethod
    def _warms_up(cls, value: float, others: ValidationInfo) -> float:
        epochs = others.data.get("epochs")
        if value and others.data.get("schedule", "cosine") != "cosine":
            raise ValueError('is for schedule = "cosine"')
        if epochs is not None and value >= epochs:
            raise ValueError(f"must be less than the stage's {epochs} epochs")
        return value

    @field_validator("reduce_factor", "reduce_patience")
    @classmethod
    def _reduces(cls, value: float, others: ValidationInfo) -> float:
        default = cls.model_fields[str(others.field_name)].default
        if value != default and others.data.get("schedule", "plateau") != "plateau":
            raise ValueError('is for schedule = "plateau"')
        return value

    @field_validator("batch_norm")
    @classmethod
    def _moves(cls, value: str, others: ValidationInfo) -> str:
        if value == "moving" and others.data.get("train") == "head":
            raise ValueError('"moving" is for stages that train layers of the backbone')
        return value


def _fit_of(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get("fit", "gradient")
    return getattr(value, "fit", None)


Stage = Annotated[
    Annotated[LogisticStage, Tag("logistic")] | Annotated[GradientStage, Tag("gradient")],
    Discriminator(
        _fit_of,
        custom_error_type="fit",
        custom_error_message='fit must be "gradient" or "logistic"',
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
        mirror: answer with the mean over a photo and its mirror image, at twice the time.
        refuse: the part of photos like those trained on that may be called unknown, so that most
            others are; 0 answers every photo.
        decision: with two classes, how a probability becomes an answer, as of `decision.parse`.
        keras_h5: also save the whole Keras model in the run's folder, under this name.
    """

    name: str = Field(min_length=1)
    description: str = ""
    mirror: bool = False
    refuse: float = Field(default=0.01, ge=0, le=0.5)
    decision: str = Field(default="default", min_length=1)
    keras_h5: str = Field(default="", pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]*\.h5)?$")
    data: DataPart = DataPart()
    backbone: BackbonePart = BackbonePart()
    head: tuple[HeadLayer, ...] = (AveragePool(),)
    augment: tuple[Augmentation, ...] = ()
    stage: tuple[Stage, ...]

    @field_validator("head")
    @classmethod
    def _one_vector(cls, value: tuple[HeadLayer, ...]) -> tuple[HeadLayer, ...]:
        makers = [isinstance(layer, AveragePool | Flatten) for layer in value]
        if not makers or not makers[0]:
            raise Misfit([((0,), "must be average_pool or flatten: the first makes a vector")])
        if twice := [number for number, makes in enumerate(makers) if makes and number]:
            told = "must not be average_pool or flatten again: there is one vector already"
            raise Misfit([((number,), told) for number in twice])
        return value

    @field_validator("stage")
    @classmethod
    def _stages_fit(cls, value: tuple[Stage, ...], others: ValidationInfo) -> tuple[Stage, ...]:
        if not value:
            raise Misfit([((), "must be there at least once, as [[stage]]")])
        faults: list[tuple[tuple[str | int, ...], str]] = []
        for number, stage in enumerate(value):
            if not number and stage.least_photos:
                faults.append(((number, "least_photos"), "is for stages after the first"))
            if isinstance(stage, LogisticStage):
                if number:
                    faults.append(((number, "fit"), '"logistic" is for the first stage'))
                elif not _is_linear(others.data.get("head", (AveragePool(),))):
                    needed = "a head of average_pool, and dropout at most"
                    faults.append(((number, "fit"), f'"logistic" needs {needed}'))
            elif stage.views not in (1, "mirrored") and others.data.get("augment") == ():
                faults.append(((number, "views"), "must be 1 without any [[augment]]"))
            if getattr(others.data.get("data"), "folds", 0):
                faults += [((number, key), _HELD_OUT) for key in _needing_held_out(stage)]
        if faults:
            raise Misfit(faults)
        return value

    def for_photos(self, count: int) -> tuple[Recipe, list[str]]:
        """The recipe without the stages that are for more photos, and these in sentences.

        >>> stages = (LogisticStage(), GradientStage(train="last:9", least_photos=1000))
        >>> Recipe(name="mine", stage=stages).for_photos(200)[1]
        ['stage 2 was left out: it is for 1,000 photos and more, and there are 200']
        """
        told = [
            f"stage {number} was left out: it is for {stage.least_photos:,} photos and more, and "
            f"there are {count:,}"
            for number, stage in enumerate(self.stage, 1)
            if stage.least_photos > count
        ]
        stages = tuple(stage for stage in self.stage if stage.least_photos <= count)
        return (self.model_copy(update={"stage": stages}) if told else self), told

    @property
    def augments(self) -> bool:
        """Whether some stage sees augmented photos."""
        stages = [stage for stage in self.stage if isinstance(stage, GradientStage)]
        drawn = any(stage.views not in (1, "mirrored") for stage in stages)
        return bool(self.augment) and drawn

    @property
    def linear_head(self) -> bool:
        """Whether the head is one linear layer on averaged channels."""
        return _is_linear(self.head)


_HELD_OUT = "needs held-out photos, which data.folds does without; set data.folds to 0"


def _needing_held_out(stage: Stage) -> list[str]:
    """The keys of a stage that something is decided by after each epoch, on held-out photos."""
    if isinstance(stage, LogisticStage):
        return []
    needing = {
        "patience": bool(stage.patience),
        "best_weights": stage.best_weights,
        "schedule": stage.schedule == "plateau",
    }
    return [key for key, needs in needing.items() if needs]


def _is_linear(head: tuple[HeadLayer, ...]) -> bool:
    return isinstance(head[0], AveragePool) and all(
        isinstance(layer, Dropout) for layer in head[1:]
    )
