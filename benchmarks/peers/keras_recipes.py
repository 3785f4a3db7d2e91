"""A recipe as a practitioner writes it in plain Keras.

keras_recipes.py TRAIN VALIDATION NAME --weights FILE [--epochs E1,E2]

TRAIN and VALIDATION hold class folders of two classes; NAME is two-stage, small-dense, rmsprop-128
or tutorial-160. Prints one line of JSON: for each stage its seconds from the start of `fit` to its
end, how many weights it trains, its accuracy on validation and a row for each epoch.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import tensorflow as tf
from keras import layers
from keras.callbacks import EarlyStopping, ReduceLROnPlateau
from keras.optimizers import Adam, RMSprop


@dataclass
class Stage:
    """One `fit`; `unfreeze_from` is a place in the base's layers, None for a frozen base."""

    optimizer: Any
    epochs: int
    unfreeze_from: int | None = None
    callbacks: tuple[Any, ...] = ()


def recipe(name: str) -> tuple[int, list[Any], list[Any], list[Stage]]:
    """Its size in pixels, its augmentation, the layers of its head and its stages."""
    pool, flip = layers.GlobalAveragePooling2D(), layers.RandomFlip("horizontal")
    if name == "two-stage":
        augmentation = [flip, layers.RandomRotation(10 / 360), layers.RandomZoom(0.1)]
        stages = [Stage(Adam(1e-3), 3), Stage(Adam(1e-5), 3, -100)]
        return 224, augmentation, [pool, layers.Dropout(0.2)], stages
    if name == "rmsprop-128":
        return 128, [], [pool], [Stage(RMSprop(1e-4), 8), Stage(RMSprop(1e-4), 5, 100)]
    if name == "tutorial-160":
        augmentation = [flip, layers.RandomRotation(0.2)]
        stages = [Stage(Adam(1e-3), 10), Stage(RMSprop(1e-4), 10, 100)]
        return 160, augmentation, [pool, layers.Dropout(0.2)], stages
    augmentation = [
        layers.RandomRotation(0.05),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomShear(0.1, 0.1),
        layers.RandomZoom(0.1),
    ]
    head = [
        layers.Flatten(),
        layers.Dense(512, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3)),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
    ]
    watching = (
        EarlyStopping(patience=4, restore_best_weights=True),
        ReduceLROnPlateau(factor=0.2, patience=2),
    )
    return 224, augmentation, head, [Stage(Adam(1e-4), 10, None, watching)]


class Rows(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """A row for each epoch, whose seconds include its validation."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._last = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.perf_counter()
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        row = {key: round(float((logs or {})[key]), 6) for key in names}
        self.rows.append({"epoch": epoch + 1, "seconds": round(now - self._last, 3), **row})
        self._last = now


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train")
    parser.add_argument("validation")
    parser.add_argument("name", choices=["two-stage", "small-dense", "rmsprop-128", "tutorial-160"])
    parser.add_argument("--weights", required=True)
    parser.add_argument("--epochs", type=lambda text: [int(one) for one in text.split(",")])
    chosen = parser.parse_args()

    keras.utils.set_random_seed(1)
    size, augmentation, head, stages = recipe(chosen.name)
    if chosen.epochs and len(chosen.epochs) != len(stages):
        parser.error(f"--epochs: {chosen.name} has {len(stages)} stage(s), and so as many numbers")
    train, validation, test = photos(chosen.train, chosen.validation, chosen.name, size)
    if chosen.name == "small-dense":  # augmented copies join the originals
        augment = keras.Sequential(augmentation)
        copies = train.map(lambda x, y: (augment(x, training=True), y), tf.data.AUTOTUNE)
        train, augmentation = train.concatenate(copies), []
    told: dict[str, Any] = {"recipe": chosen.name, "validation_photos": len(validation.file_paths)}
    train = train.prefetch(tf.data.AUTOTUNE)
    validation = validation.prefetch(tf.data.AUTOTUNE)

    base = keras.applications.MobileNetV2(
        include_top=False, weights=chosen.weights, input_shape=(size, size, 3)
    )
    inputs = x = keras.Input((size, size, 3))
    for layer in [*augmentation, layers.Rescaling(1 / 127.5, -1)]:
        x = layer(x)
    x = base(x, training=False)
    for layer in [*head, layers.Dense(1, activation="sigmoid")]:
        x = layer(x)
    model = keras.Model(inputs, x)

    told["stages"] = []
    for number, stage in enumerate(stages):
        if chosen.epochs:
            stage.epochs = chosen.epochs[number]
        base.trainable = stage.unfreeze_from is not None
        if stage.unfreeze_from is not None:
            for layer in base.layers[: stage.unfreeze_from]:
                layer.trainable = False
        told["stages"].append(fit(model, stage, train, validation))
    told["seconds"] = round(sum(stage["seconds"] for stage in told["stages"]), 3)
    if test is not None:
        told["test_photos"] = len(test.file_paths)
        told["test_accuracy"] = model.evaluate(test, verbose=0)[1]
    print(json.dumps(told), flush=True)


def photos(train: str, validation: str, name: str, size: int) -> tuple[Any, Any, Any]:
    """Batches to train on, to validate and, for tutorial-160, to test: a fifth of the latter."""
    batch = 128 if name == "rmsprop-128" else 32
    common = {"image_size": (size, size), "batch_size": batch, "label_mode": "binary"}
    read = keras.utils.image_dataset_from_directory
    first = read(train, seed=1, verbose=False, **common)
    if name != "tutorial-160":
        return first, read(validation, shuffle=False, verbose=False, **common), None
    # Not take and skip on shuffled batches: these are shuffled anew every time, and would mix.
    parts = read(validation, validation_split=0.2, subset="both", seed=1, verbose=False, **common)
    return first, *parts


def fit(model: Any, stage: Stage, train: Any, validation: Any) -> dict[str, Any]:
    """One stage; its accuracy is that of the weights it ends with."""
    model.compile(stage.optimizer, "binary_crossentropy", metrics=["accuracy"])
    weights, rows = len(model.trainable_weights), Rows()
    start = time.perf_counter()
    model.fit(
        train,
        validation_data=validation,
        epochs=stage.epochs,
        callbacks=[*stage.callbacks, rows],
        verbose=0,
    )
    seconds = round(time.perf_counter() - start, 3)
    restored = any(isinstance(one, EarlyStopping) for one in stage.callbacks)
    last = min(rows.rows, key=lambda row: row["val_loss"]) if restored else rows.rows[-1]
    return {
        "seconds": seconds,
        "trained_weights": weights,
        "accuracy": last["val_accuracy"],
        "history": rows.rows,
    }


if __name__ == "__main__":
    main()
