"""Stages of gradient descent do what plain Keras does with the same settings."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pawprint.data.augment import Flip, Rotation
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.errors import RecipeError, SourceError
from pawprint.model import backbones, network
from pawprint.model.backbones import Backbone
from pawprint.model.framework import load_keras
from pawprint.model.head_layers import AveragePool, BatchNorm, Dense, Dropout, Flatten, HeadLayer
from pawprint.training import stages
from pawprint.training.batches import Side, epoch_batches
from pawprint.training.checkpoint import Checkpoints, Progressed
from pawprint.training.gradient import GradientFit, Material
from pawprint.training.recipe import DataPart, GradientStage, LogisticStage, Recipe, Stage

RECIPE = Recipe(
    name="gradient",
    data=DataPart(size=64, seed=5),
    augment=(Flip(mode="horizontal"), Rotation(factor=0.1)),
    stage=(LogisticStage(),),
)
PLAIN: tuple[HeadLayer, ...] = (AveragePool(),)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return backbones.build("starter", size=64, weights="random")


@pytest.fixture(scope="module")
def two(few: Path, scene: Any) -> Any:
    """Two classes, looked at once, so that the prefix is compiled once."""
    return scene(few, RECIPE)


@pytest.fixture
def material(
    backbone: Backbone, two: Any, tmp_path: Path, listener: Any
) -> Callable[..., Material]:
    def make(
        head: Sequence[HeadLayer] = PLAIN,
        look: Any = two,
        built: Backbone = backbone,
        sides: dict[str, Side] | None = None,
    ) -> Material:
        load_keras().utils.set_random_seed(3)
        classes = len(look.dataset.classes)
        return Material(
            network=network.build(built, head, classes),
            views=look.views,
            sides=sides or look.sides,
            classes=classes,
            seed=RECIPE.data.seed,
            checkpoints=Checkpoints(tmp_path / "run", RECIPE, built.digest, look.dataset),
            progress=listener,
        )

    return make


def head_stage(**values: Any) -> GradientStage:
    return GradientStage(train="head", **{"epochs": 2, "batch_size": 7, **values})


def log_loss(given: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    own = np.clip(given[np.arange(len(labels)), labels], 1e-7, 1 - 1e-7)
    return float(-np.log(own).mean())


def uneven(sides: dict[str, Side]) -> dict[str, Side]:
    """The same, with few training photos of the second class."""
    side = sides[TRAIN]
    rows = [*np.flatnonzero(side.labels == 0), *np.flatnonzero(side.labels == 1)[:5]]
    return {**sides, TRAIN: Side([side.reads[row] for row in rows], side.labels[rows])}


def by_plain_keras(stage: GradientStage, made: Material, optimizer: Any) -> Any:
    """Train another network of the same weights on the same batches, in a loop of its own."""
    keras = load_keras()
    views, built = made.views, made.network.backbone
    prefix = views.prefix(built, built.last, pooled=True)
    model = network.upper_model(made.network, built.last)
    kind = keras.losses.BinaryCrossentropy if made.classes == 2 else (
        keras.losses.CategoricalCrossentropy
    )  # fmt: skip
    model.compile(optimizer, kind(label_smoothing=stage.label_smoothing))
    for epoch in range(1, stage.epochs + 1):
        moment = (made.seed, 1, epoch)
        for features, truth, *weights in epoch_batches(
            stage, made.sides[TRAIN], views, prefix, made.classes, moment
        ):
            model.train_on_batch(features, truth, *weights)
    return made.network.top.get_weights()


@pytest.mark.parametrize(
    ("values", "optimizer"),
    [
        ({}, lambda o: o.Adam(1e-3)),
        ({"optimizer": "adamw", "weight_decay": 0.1, "rate": 0.01}, lambda o: o.AdamW(0.01, 0.1)),
        ({"optimizer": "rmsprop", "rate": 1e-4}, lambda o: o.RMSprop(1e-4)),
        ({"optimizer": "sgd", "rate": 0.1, "label_smoothing": 0.2}, lambda o: o.SGD(0.1)),
        ({"views": 2, "batch_size": 64}, lambda o: o.Adam(1e-3)),
        ({"views": "fresh", "batch_size": 32}, lambda o: o.Adam(1e-3)),
    ],
)
def test_a_stage_ends_with_the_weights_of_plain_keras(
    material: Callable[..., Material], two: Any, values: dict[str, Any], optimizer: Any
) -> None:
    stage, sides = head_stage(**values), uneven(two.sides)
    ours, theirs = material(sides=sides), material(sides=sides)
    assert np.array_equal(ours.network.top.get_weights()[0], theirs.network.top.get_weights()[0])
    start = ours.network.top.get_weights()[0]
    stages.fit([stage], ours)
    expected = by_plain_keras(stage, theirs, optimizer(load_keras().optimizers))
    assert np.abs(expected[0] - start).max() > 1e-5
    for found, wanted in zip(ours.network.top.get_weights(), expected, strict=True):
        assert np.abs(found - wanted).max() <= 1e-6


def test_classes_weigh_alike_unless_the_stage_says_not(
    material: Callable[..., Material], two: Any
) -> None:
    found = []
    for weigh in (True, False):
        made = material(sides=uneven(two.sides))
        stages.fit([head_stage(class_weights=weigh)], made)
        found.append(made.network.top.get_weights()[0])
    assert not np.array_equal(*found)


def test_cosine_climbs_to_its_peak_and_falls_to_nothing(material: Callable[..., Material]) -> None:
    stage = head_stage(schedule="cosine", rate=0.01, warm_up=1, epochs=5)
    rates = [row["rate"] for row in stages.fit([stage], material()).history]
    expected = [0.005 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(5)]
    assert rates == pytest.approx(expected, abs=1e-7)
    stage = head_stage(schedule="cosine", rate=0.01, epochs=2)
    rates = [row["rate"] for row in stages.fit([stage], material()).history]
    assert rates == pytest.approx([0.005, 0], abs=1e-7)


def planted(stage: GradientStage, made: Material, losses: Sequence[float]) -> Progressed:
    """A stage that found these validation losses; notes the rate after each."""
    so_far = Progressed(stage=1, rate=stage.rate)
    fitted = GradientFit(stage, made, so_far)
    so_far.choice = []
    for epoch, loss in enumerate(losses, 1):
        if so_far.stopped:
            break
        so_far.epoch = epoch
        fitted._decide({"epoch": float(epoch), "loss": 1.0, "val_loss": loss})
        so_far.choice.append({"rate": so_far.rate})
    return so_far


def by_keras_callbacks(
    losses: Sequence[float], factor: float, reduce_patience: int, patience: int
) -> list[float]:
    """The rates after each epoch, until Keras' own callbacks stop."""
    keras = load_keras()
    plateau = keras.callbacks.ReduceLROnPlateau(
        factor=factor, patience=reduce_patience, min_delta=1e-4
    )
    stop = keras.callbacks.EarlyStopping(patience=patience)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = 1.0
    model.stop_training = False
    rates: list[float] = []
    for callback in (plateau, stop):
        callback.set_model(model)
        callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        for callback in (plateau, stop):
            callback.on_epoch_end(epoch, {"val_loss": loss})
        rates.append(float(model.optimizer.learning_rate))
        if model.stop_training:
            break
    return rates


def sequences() -> list[list[float]]:
    random = np.random.default_rng(0)
    return [
        [1.0, 0.9, 0.8, 0.7, 0.6],
        [0.5] * 9,
        [1.0, 1.1, 0.9, 0.95, 0.96, 0.97, 0.89999, 0.5, 0.6, 0.7, 0.8, 0.9],
        [1 - 4e-5 * step for step in range(12)],  # falls, by too little to count each time
        *(random.uniform(0.3, 0.4, 15).round(2).tolist() for _ in range(6)),
        *((0.3 + random.uniform(0, 4e-4, 15)).tolist() for _ in range(6)),
    ]


@pytest.mark.parametrize(("reduce_patience", "patience"), [(1, 9), (2, 4), (3, 2)])
def test_plateau_and_patience_decide_as_keras_callbacks_do(
    material: Callable[..., Material], reduce_patience: int, patience: int
) -> None:
    made = material()
    stage = head_stage(
        schedule="plateau",
        rate=1.0,
        reduce_factor=0.5,
        reduce_patience=reduce_patience,
        patience=patience,
    )
    for losses in sequences():
        expected = by_keras_callbacks(losses, 0.5, reduce_patience, patience)
        found = [row["rate"] for row in planted(stage, made, losses).choice]
        assert found == expected, losses


def test_the_reduced_rate_is_the_one_used(material: Callable[..., Material]) -> None:
    stage = head_stage(
        schedule="plateau",
        optimizer="sgd",
        rate=1.0,
        reduce_patience=1,
        reduce_factor=0.1,
        epochs=9,
    )
    history = stages.fit([stage], material()).history
    losses = [row["val_loss"] for row in history]
    after = [stage.rate, *(row["rate"] for row in planted(stage, material(), losses).choice)]
    assert [row["rate"] for row in history] == pytest.approx(after[:-1])
    assert history[-1]["rate"] < 0.5


def test_patience_stops_and_best_weights_go_back(material: Callable[..., Material]) -> None:
    made = material(head=(AveragePool(), Dense(units=8), BatchNorm(), Dropout(rate=0.5)))
    stage = head_stage(rate=0.1, epochs=40, patience=2, best_weights=True)
    fitted = stages.fit([stage], made)
    losses = [row["val_loss"] for row in fitted.history]
    assert len(losses) < 40
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    labels = made.sides[VALIDATION].labels
    assert log_loss(fitted.predict(VALIDATION), labels) == pytest.approx(min(losses), abs=1e-6)
    assert fitted.restored == (1,)


@pytest.mark.parametrize("head", [PLAIN, (Flatten(), Dense(units=4, l2=0.1), Dropout(rate=0.5))])
def test_the_last_row_is_the_model_as_it_is_judged(
    material: Callable[..., Material], head: Sequence[HeadLayer]
) -> None:
    made = material(head=head)
    fitted = stages.fit([head_stage()], made)
    labels, given = made.sides[VALIDATION].labels, fitted.predict(VALIDATION)
    last = fitted.history[-1]
    assert last["val_loss"] == pytest.approx(log_loss(given, labels), abs=1e-7)
    assert last["val_accuracy"] == (given.argmax(axis=1) == labels).mean()
    assert fitted.restored == ()
    whole = network.whole_model(made.network)
    pixels = np.stack([made.views.pixels(read) for read in made.sides[VALIDATION].reads])
    assert np.abs(network.probabilities(whole, pixels) - given).max() <= 5e-3  # float16 features


def test_the_loss_told_is_the_plain_one(material: Callable[..., Material], listener: Any) -> None:
    """Without penalty, smoothing or weights, so that it can be held against the validation loss."""
    made = material(head=(AveragePool(), Dense(units=4, l2=1.0)))
    stage = head_stage(rate=1e-9, optimizer="sgd", label_smoothing=0.5, epochs=1)
    fitted = stages.fit([stage], made)
    (row,) = fitted.history
    views, built = made.views, made.network.backbone
    train = made.sides[TRAIN]
    store = views.store(views.prefix(built, built.last, pooled=True))
    features = store.take([read.sha256 for read in train.reads])
    model = network.upper_model(made.network, built.last)
    given = network.probabilities(model, features)
    assert row["loss"] == pytest.approx(log_loss(given, train.labels), abs=1e-4)
    assert row["accuracy"] == pytest.approx((given.argmax(axis=1) == train.labels).mean())
    assert len(listener.notes) == listener.steps["Stage 1, epoch 1 of 1"] == 5
    assert listener.notes[-1].startswith(f"loss {row['loss']:.3f}, {row['accuracy']:.1%} right")
    (line,) = listener.lines
    assert line.startswith(f"stage 1, epoch 1 of 1: loss {row['loss']:.4f}")
    assert f"validation loss {row['val_loss']:.4f}" in line


def test_three_classes_are_learned(
    material: Callable[..., Material], tinted: Path, scene: Any
) -> None:
    made = material(look=scene(tinted, RECIPE))
    fitted = stages.fit([head_stage(epochs=6, rate=0.01)], made)
    assert fitted.predict(VALIDATION).shape == (len(made.sides[VALIDATION].reads), 3)
    losses = [row["loss"] for row in fitted.history]
    assert losses[-1] < losses[0] < 3
    assert fitted.history[-1]["val_accuracy"] >= 0.5  # as far as random weights go


def test_a_stage_goes_on_from_the_one_before(
    few: Path, scene: Any, tmp_path: Path, listener: Any
) -> None:
    built, look = backbones.build("starter", size=64, weights="random"), scene(few, RECIPE)
    load_keras().utils.set_random_seed(3)
    made = Material(
        network.build(built, PLAIN, 2),
        look.views,
        look.sides,
        2,
        RECIPE.data.seed,
        Checkpoints(tmp_path / "run", RECIPE, built.digest, look.dataset),
        listener,
    )
    before = built.network.get_layer("top_conv").get_weights()[0]
    below = built.network.get_layer("block_9_project_norm").get_weights()
    stays = {"roll_back": False, "epochs": 1}
    tiny = {"optimizer": "sgd", "rate": 1e-9, **stays}
    plan: list[Stage] = [
        LogisticStage(),
        GradientStage(train="last:3", **tiny),
        GradientStage(train="from:block_9_project_conv", rate=1e-2, **stays),
        GradientStage(train="head", **tiny),
    ]
    fitted = stages.fit(plan, made)
    assert [row["stage"] for row in fitted.history] == [2, 3, 4]
    assert [row["epoch"] for row in fitted.history] == [1, 1, 1]
    assert sum(row["chosen"] for row in fitted.choice) == 1
    second, third, fourth = fitted.history
    labels = made.sides[VALIDATION].labels
    # What the second stage found is what the logistic one had left, a tiny step apart.
    assert second["val_loss"] != third["val_loss"]
    # The last one sees the third's weights, through a prefix that was compiled anew.
    assert fourth["val_loss"] == pytest.approx(third["val_loss"], abs=5e-3)
    assert log_loss(fitted.predict(VALIDATION), labels) == pytest.approx(fourth["val_loss"])
    assert not np.array_equal(built.network.get_layer("top_conv").get_weights()[0], before)
    changed = built.network.get_layer("block_9_project_norm").get_weights()
    assert [np.array_equal(*pair) for pair in zip(changed, below, strict=True)] == [
        False,
        False,
        True,
        True,
    ]


def test_gradient_goes_on_from_the_logistic_head(material: Callable[..., Material]) -> None:
    alone = material()
    logistic = stages.fit([LogisticStage()], alone)
    expected = log_loss(logistic.predict(VALIDATION), alone.sides[VALIDATION].labels)
    tiny = head_stage(optimizer="sgd", rate=1e-9, epochs=1)
    (row,) = stages.fit([LogisticStage(), tiny], material()).history
    assert row["val_loss"] == pytest.approx(expected, abs=1e-4)


DEEP = (AveragePool(), *(Dense(units=512) for _ in range(4)))


def test_a_network_that_diverges_is_refused_with_what_to_do(
    material: Callable[..., Material],
) -> None:
    made = material(head=DEEP)
    stage = head_stage(optimizer="sgd", rate=1.0, epochs=50)
    with pytest.raises(RecipeError, match=r"stage 1 diverged in epoch \d+:.*stage\.1\.rate, now 1"):
        stages.fit([stage], made)


def test_best_weights_go_back_to_before_it_diverged(material: Callable[..., Material]) -> None:
    made = material(head=DEEP)
    stage = head_stage(optimizer="sgd", rate=1.0, epochs=50, best_weights=True)
    fitted = stages.fit([stage], made)
    losses = [row["val_loss"] for row in fitted.history]
    assert np.isnan(losses).tolist() == [*(False for _ in losses[1:]), True]  # it ended there
    found = log_loss(fitted.predict(VALIDATION), made.sides[VALIDATION].labels)
    assert found == pytest.approx(min(losses[:-1]), rel=1e-5)
    assert fitted.restored == (1,)


def test_a_photo_that_goes_away_meanwhile_is_named_and_what_was_done_kept(
    few: Path, scene: Any, material: Callable[..., Material], tmp_path: Path
) -> None:
    look = scene(Path(shutil.copytree(few, tmp_path / "photos")), RECIPE)
    lost = Path(look.sides[TRAIN].reads[3].photo.path)

    def report(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            lost.unlink()

    made = material(look=look)
    with pytest.raises(SourceError, match=rf"{lost.name} could be read when.*--resume"):
        stages.fit([head_stage(views="fresh", epochs=4)], made, report=report)
    kept = made.checkpoints.load()
    assert kept is not None
    assert kept.progressed.epoch == 2
