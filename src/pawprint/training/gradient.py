"""A stage of gradient descent: what is above the cut trains in Keras on what the prefix gives."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.split import TRAIN, VALIDATION
from pawprint.errors import RecipeError
from pawprint.model import network
from pawprint.model.backbones import Backbone
from pawprint.model.framework import feed, load_keras
from pawprint.model.network import Network
from pawprint.model.prefix import Prefix
from pawprint.model.suffix import cut_below, first_trained, set_trained
from pawprint.progress import Advance, Progress
from pawprint.training.batches import Handed, row_shapes, steps
from pawprint.training.checkpoint import Arrays, Checkpoints, Kept, Progressed
from pawprint.training.feeds import Feeds, Photos
from pawprint.training.recipe import MIRROR, GradientStage, Stage, View
from pawprint.training.rollback import Standing
from pawprint.training.time_limit import TimeLimit
from pawprint.training.views import Part

_TINY = 1e-7  # as Keras clips probabilities before it takes their logarithm
_FALL = 1e-4  # what the loss must fall by to leave a plateau, as in Keras' ReduceLROnPlateau

Reporter = Callable[[dict[str, float]], None]


class Diverged(RecipeError):
    """The network has become numbers no more."""


@dataclass(frozen=True)
class Material:
    """What a stage works with.

    Args:
        network: what is trained, in place.
        views: the photos' features.
        sides: the photos, by side.
        classes: how many.
        seed: of everything drawn at random.
        checkpoints: where it is kept after each epoch; None keeps nothing.
        progress: where to show how it goes.
        mirror: whether answers are means over a photo and its mirror image.
        limit: when the training is to end, where that was asked for.
    """

    network: Network
    views: Feeds
    sides: Mapping[str, Photos]
    classes: int
    seed: int
    checkpoints: Checkpoints | None
    progress: Progress
    mirror: bool = False
    limit: TimeLimit | None = None

    @property
    def judged_views(self) -> tuple[View, ...]:
        """The views of a photo that an answer is a mean over."""
        return (0, MIRROR) if self.mirror else (0,)


class GradientFit:
    """One stage of gradient descent, from compiling to its last epoch.

    Args:
        stage: what trains, and how.
        material: on what.
        so_far: how far the training has come; it is kept up to date.
        before: what stood before the stage, to be kept with each epoch.
    """

    def __init__(
        self,
        stage: GradientStage,
        material: Material,
        so_far: Progressed,
        before: Standing | None = None,
    ) -> None:
        self._stage, self._material, self._so_far = stage, material, so_far
        self._before = before
        self._prefix, self._exact = stage_prefixes(
            stage, material.views, material.network.backbone, pools=material.network.pools
        )
        self._steps = steps(stage, material.sides[TRAIN])
        self._model = compiled_model(stage, material.network, material.classes, self._steps)
        self._best: Arrays = []
        self._warm_up = 0.0  # seconds that the epoch spent before its first batch was done

    def run(self, kept: Kept | None, report: Reporter) -> None:
        """Train, from the checkpoint's epoch on where there is one; report each epoch's row.

        Raises:
            Diverged: not every weight and every answer is a number.
        """
        self._bring_features()
        so_far, stage = self._so_far, self._stage
        if kept is not None and kept.progressed.epoch:
            assign(self._model.optimizer.variables, kept.optimizer)
            self._best = kept.best
        else:
            so_far.rate = stage.rate
        for epoch in range(so_far.epoch + 1, stage.epochs + 1):
            if so_far.stopped:
                break
            row = self._run_epoch(epoch)
            self._keep()
            self._tell(row)
            report(row)
            if self._late(row):
                break
        if stage.best_weights and self._best:
            assign(self._material.network.variables, self._best)
        self._expect_numbers()

    def _late(self, row: dict[str, float]) -> bool:
        """Whether another epoch like this one would not end in time."""
        limit, epoch = self._material.limit, int(row["epoch"])
        more = epoch < self._stage.epochs and not self._so_far.stopped
        if limit is None or not more or limit.left > row["seconds"] - self._warm_up:
            return False
        limit.left_out.append(
            f"stage {self._so_far.stage} ended after {epoch} of {self._stage.epochs} epochs, which "
            "took longer than reckoned"
        )
        return True

    def predict(self, side: str) -> NDArray[np.float64]:
        """Probabilities of one side's photos by the network as it is, float64, (n, classes)."""
        material, given = self._material, []
        for view in material.judged_views:
            chunks = material.views.chunks(material.sides[side], self._exact, view)
            given.append(np.vstack([network.probabilities(self._model, some) for some in chunks]))
        return np.asarray(np.mean(given, axis=0))

    def _bring_features(self) -> None:
        material, views = self._material, self._material.views
        for side, photos in material.sides.items():
            if side == TRAIN:
                views.prepare(self._stage, photos, self._prefix, material.seed)
                continue
            for view in material.judged_views:
                views.need(photos.reads, self._exact, view)

    def _expect_numbers(self) -> None:
        """Refuse a network that has diverged."""
        so_far, weights = self._so_far, values_of(self._material.network.variables)
        loss = so_far.best_loss if self._best else _judging_loss(so_far.history[-1])
        if not math.isfinite(loss) or not all(np.isfinite(values).all() for values in weights):
            raise Diverged(
                f"stage {so_far.stage} diverged in epoch {so_far.epoch}: its weights are no "
                f"numbers any more, and nothing was written. Lower stage.{so_far.stage}.rate, now "
                f"{self._stage.rate:g}, as to a tenth"
            )

    def _run_epoch(self, epoch: int) -> dict[str, float]:
        """Train and judge; the epoch's row of the history."""
        so_far, stage = self._so_far, self._stage
        start = time.perf_counter()
        if stage.schedule != "cosine":
            self._model.optimizer.learning_rate = so_far.rate
        what = f"Stage {so_far.stage}, epoch {epoch} of {stage.epochs}"
        with self._material.progress.step(what, self._steps) as advance:
            loss, accuracy = self._train_epoch(epoch, advance)
        row = {
            "stage": so_far.stage,
            "epoch": epoch,
            "loss": loss,
            "accuracy": accuracy,
            **self._validate(),
            "rate": float(np.asarray(self._model.optimizer.learning_rate)),
            "seconds": round(time.perf_counter() - start, 3),
        }
        so_far.epoch = epoch
        so_far.history.append(row)
        self._decide(row)
        return row

    def _validate(self) -> dict[str, float]:
        """Loss and accuracy on the validation photos, where there are some."""
        if VALIDATION not in self._material.sides:
            return {}
        labels, given = self._material.sides[VALIDATION].labels, self.predict(VALIDATION)
        own = np.clip(given[np.arange(len(labels)), labels], _TINY, 1 - _TINY)
        right = float((given.argmax(axis=1) == labels).mean())
        return {"val_loss": float(-np.log(own).mean()), "val_accuracy": right}

    def _train_epoch(self, epoch: int, advance: Advance) -> tuple[float, float]:
        """One pass over the photos; the mean loss, without penalties, and the accuracy."""
        material = self._material
        batches = Handed(
            material.views.batches(
                self._stage,
                material.sides[TRAIN],
                self._prefix,
                material.classes,
                (material.seed, self._so_far.stage, epoch),
            )
        )

        shapes = row_shapes(self._prefix, material.classes)
        start = time.perf_counter()

        def tell(batch: int, logs: dict[str, float]) -> None:
            if batch == 0:
                self._warm_up = time.perf_counter() - start
            advance(1, f"loss {logs['entropy']:.3f}, {logs['accuracy']:.1%} right")

        ticks = load_keras().callbacks.LambdaCallback(on_train_batch_end=tell)
        with batches:
            log = self._model.fit(
                feed(iter(batches), shapes),
                steps_per_epoch=self._steps,
                shuffle=False,
                callbacks=[ticks],
                verbose=0,
            ).history
        return float(log["entropy"][0]), float(log["accuracy"][0])

    def _decide(self, row: dict[str, float]) -> None:
        """Best weights, a lower rate, an early end: all by the validation loss."""
        so_far, stage, epoch = self._so_far, self._stage, int(row["epoch"])
        if "val_loss" not in row:  # a recipe with folds has no stage that would ask for it
            so_far.stopped = not math.isfinite(row["loss"])
            return
        if row["val_loss"] < so_far.best_loss:
            so_far.best_loss, so_far.best_epoch = row["val_loss"], epoch
            if stage.best_weights:
                self._best = values_of(self._material.network.variables)
        if stage.schedule == "plateau":
            if row["val_loss"] < so_far.plateau - _FALL:
                so_far.plateau, so_far.plateau_since = row["val_loss"], epoch
            elif epoch - so_far.plateau_since >= stage.reduce_patience:
                so_far.rate, so_far.plateau_since = so_far.rate * stage.reduce_factor, epoch
        so_far.stopped = bool(stage.patience) and epoch - so_far.best_epoch >= stage.patience
        # Nothing good comes after that.
        so_far.stopped |= not (math.isfinite(row["loss"]) and math.isfinite(row["val_loss"]))

    def _tell(self, row: dict[str, float]) -> None:
        so_far, stage = self._so_far, self._stage
        # Only the first epoch traces the model, before its first batch.
        left = (stage.epochs - so_far.epoch) * (row["seconds"] - self._warm_up)
        end = "stopped early" if so_far.stopped else f"{_clock(left)} left in this stage"
        judged = ""
        if "val_loss" in row:
            judged = f"validation loss {row['val_loss']:.4f}, {row['val_accuracy']:.2%} right; "
        self._material.progress.log(
            f"stage {so_far.stage}, epoch {so_far.epoch} of {stage.epochs}: "
            f"loss {row['loss']:.4f}, {row['accuracy']:.2%} right; {judged}"
            f"{_clock(row['seconds'])}" + (f", {end}" if so_far.epoch < stage.epochs else "")
        )

    def _keep(self) -> None:
        if self._material.checkpoints is None:
            return
        self._material.checkpoints.save(
            Kept(
                replace(self._so_far),
                values_of(self._material.network.variables),
                values_of(self._model.optimizer.variables),
                self._best,
                *((self._before.network, [self._before.given]) if self._before else ()),
            )
        )


def stage_part(stage: Stage, backbone: Backbone, *, pools: bool) -> Part:
    """What makes the features that a stage trains on.

    Args:
        stage: which layers train.
        backbone: whose layers.
        pools: whether the head begins with average pooling.
    """
    cut = cut_below(backbone, first_trained(backbone, stage.train))
    return Part(cut, pools and cut == backbone.last)


def stage_prefixes(
    stage: Stage, views: Feeds, backbone: Backbone, *, pools: bool
) -> tuple[Prefix, Prefix]:
    """What makes a stage's features, compiled: of photos that train, and of those that judge.

    Args:
        stage: which layers train.
        views: compiles them.
        backbone: whose layers.
        pools: whether the head begins with average pooling.
    """
    part = stage_part(stage, backbone, pools=pools)
    fast = views.prefix(backbone, part.cut, pooled=part.pooled)
    return fast, views.prefix(backbone, part.cut, pooled=part.pooled, exact=True)


def compiled_model(stage: GradientStage, whole: Network, classes: int, steps: int) -> Any:
    """The Keras model of what is above a stage's cut, ready to train.

    Args:
        stage: which layers train, and how.
        whole: the network, whose weights it shares and whose other layers are frozen.
        classes: how many.
        steps: batches an epoch.
    """
    first = first_trained(whole.backbone, stage.train)
    set_trained(whole.backbone, first)
    model = network.upper_model(
        whole, cut_below(whole.backbone, first), batch_norm_moves=stage.batch_norm == "moving"
    )
    trained = [*whole.backbone.network.layers[first:], *whole.head]
    expected = sum(len(layer.trainable_variables) for layer in trained)
    assert len(model.trainable_variables) == expected, (len(model.trainable_variables), expected)
    loss, entropy = _losses(stage, classes)
    model.compile(_optimizer(stage, steps), loss, metrics=["accuracy", entropy])
    model.optimizer.build(model.trainable_variables)
    _build_metrics(model)
    return model


def _build_metrics(model: Any) -> None:
    """Make the metrics' variables now: made in the first step, they have it traced twice."""
    answer = np.zeros((1, *model.output_shape[1:]), np.float32)
    model.compute_metrics(None, answer, answer)
    model.reset_metrics()


def _optimizer(stage: GradientStage, steps: int) -> Any:
    optimizers = load_keras().optimizers
    rate: Any = stage.rate
    if stage.schedule == "cosine":
        warm_up = round(stage.warm_up * steps)
        rate = optimizers.schedules.CosineDecay(
            0.0 if warm_up else stage.rate,
            max(1, stage.epochs * steps - warm_up),
            warmup_target=stage.rate if warm_up else None,
            warmup_steps=warm_up,
        )
    if stage.optimizer == "adamw":
        return optimizers.AdamW(rate, weight_decay=stage.weight_decay)
    kinds = {"adam": optimizers.Adam, "rmsprop": optimizers.RMSprop, "sgd": optimizers.SGD}
    return kinds[stage.optimizer](rate)


def _judging_loss(row: dict[str, float]) -> float:
    """An epoch's validation loss; without validation photos that of training."""
    return row.get("val_loss", row["loss"])


def _losses(stage: GradientStage, classes: int) -> tuple[Any, Any]:
    """What is minimised, and the plain cross-entropy, which validation can be compared with."""
    keras = load_keras()
    kind = "BinaryCrossentropy" if classes == 2 else "CategoricalCrossentropy"
    loss = getattr(keras.losses, kind)(label_smoothing=stage.label_smoothing)
    return loss, getattr(keras.metrics, kind)(name="entropy")


def values_of(variables: Sequence[Any]) -> Arrays:
    """The values that variables have now."""
    return [np.array(variable) for variable in variables]


def assign(variables: Sequence[Any], values: Arrays) -> None:
    """Put kept values into variables, one for one."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _clock(seconds: float) -> str:
    """Seconds as people read them.

    >>> _clock(7.4), _clock(75)
    ('7 s', '1 min 15 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
