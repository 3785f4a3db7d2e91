"""Train the starter's network from nothing on what the teacher said of the views.

    python starter/distil.py WORK

It learns the teacher's probability of a dog and, so that its features are good for more than cats
and dogs, what the pretrained network sees in each place, in the middle and at its end. Every epoch
is kept: started again, it goes on after the last whole one. The result is WORK/starter.weights.h5,
and a row an epoch in WORK/history.csv.

Sources:
    G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a neural network", 2015.
    A. Romero et al., "FitNets: hints for thin deep nets", ICLR 2015.
    L. Beyer et al., "Knowledge distillation: a good teacher is patient and consistent", CVPR 2022.
    H. Touvron et al., "Fixing the train-test resolution discrepancy", NeurIPS 2019.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from pawprint.data.images import Preprocessing
from pawprint.model import starter_network
from pawprint.parallel import map_chunks
from views import COMPONENTS, STUDENT_SIZE, photos_of

# Epochs at sizes in pixels: small ones cost less, and teach nearly as much.
SCHEDULE = "96x24,112x18,128x4"
# Then on photos as they are: what is on crops is larger than what will be seen.
FINISH = "128x5"
BATCH, WEIGHT_DECAY = 64, 0.05
RATE, WARM_UP, FINISH_RATE = 1e-3, 1, 3e-4
TEMPERATURE = 2.0
LOSS_WEIGHTS = {"logit": 2.0, "last": 1.0, "middle": 0.5, "embedding": 1.0}
PLAIN, FINISH_PLAIN = 1 / 3, 0.8  # of the photos of an epoch are seen as they are
_TAP = "block_5_relu"  # as many places as the teacher's middle
_JITTER = 6  # pixels that a crop has less than the view, at most
_LIGHT = 0.1

Batch = tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]


class Views:
    """What the teacher said, and batches of it.

    Args:
        work: with views/.
    """

    def __init__(self, work: Path) -> None:
        folders = sorted(f for f in (work / "views").iterdir() if f.name.isdigit())
        names = ("pixels", "logits", *COMPONENTS)
        self._kept = {
            name: [np.load(folder / f"{name}.npy", mmap_mode="r") for folder in folders]
            for name in names
        }
        self._views, self._photos = len(folders), len(self._kept["logits"][0])
        some = np.asarray(self._kept["last"][0][::20], np.float32)
        self.embedding_scale = float(1 / some.mean(axis=(1, 2)).std())

    def __len__(self) -> int:
        return self._photos

    def epoch(self, number: int, size: int, plain: float) -> Iterator[Batch]:
        """The batches of an epoch, one view of every photo, drawn by the epoch's number alone.

        Args:
            number: of the epoch.
            size: of the photos, in pixels.
            plain: the part of them that is seen as it is.
        """
        random = np.random.default_rng([1, number])
        order = random.permutation(len(self))[: len(self) // BATCH * BATCH]
        views = random.integers(1, self._views, size=len(self))
        views[random.random(len(self)) < plain] = 0
        seeds = random.integers(2**32, size=len(self) // BATCH)

        def batch(numbers: Any) -> Batch:
            (step,) = numbers
            rows = order[step * BATCH : (step + 1) * BATCH]
            return self._batch(rows, views[rows], size, np.random.default_rng(seeds[step]))

        return map_chunks(batch, range(len(seeds)), size=1, workers=1)

    def _batch(self, rows: Any, views: Any, size: int, random: np.random.Generator) -> Batch:
        photos, maps, logits = [], {name: list[Any]() for name in COMPONENTS}, []
        for row, view in zip(rows, views, strict=True):
            turn = slice(None, None, -1 if random.random() < 0.5 else 1)
            photos.append(_cropped(self._kept["pixels"][view][row][:, turn], size, random))
            logits.append(self._kept["logits"][view][row])
            for name, found in maps.items():
                side = size // (16 if name == "last" else 8)
                found.append(_fitted(self._kept[name][view][row][:, turn], side))
        pixels = np.stack(photos).astype(np.float32)
        pixels *= random.uniform(1 - _LIGHT, 1 + _LIGHT, (len(rows), 1, 1, 3)).astype(np.float32)
        soft = 1 / (1 + np.exp(-np.array(logits, np.float32) / TEMPERATURE))
        targets = {name: np.stack(found) for name, found in maps.items()}
        embedding = targets["last"].mean(axis=(1, 2)) * np.float32(self.embedding_scale)
        return pixels, {"logit": soft[:, np.newaxis], "embedding": embedding, **targets}


def _cropped(photo: NDArray[np.uint8], size: int, random: np.random.Generator) -> Any:
    """Nearly all of a view at another size, so that places stay where they are."""
    side = STUDENT_SIZE - int(random.integers(_JITTER + 1))
    top, left = random.integers(STUDENT_SIZE - side + 1, size=2)
    part = np.ascontiguousarray(photo[top : top + side, left : left + side])
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA)


def _fitted(maps: NDArray[np.float16], side: int) -> NDArray[np.float32]:
    """Maps of another number of places."""
    values = np.ascontiguousarray(maps, np.float32)
    if len(values) == side:
        return values
    return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR))


def student(embedding_scale: float) -> Any:
    """The network with the layers that only training needs, compiled."""
    network = starter_network.build(None)
    taps = keras.Model(network.input, [network.get_layer(_TAP).output, network.output], name="taps")
    photo = keras.Input((None, None, 3))
    scaled = keras.layers.Rescaling(starter_network.SCALE, starter_network.OFFSET)(photo)
    middle, last = taps(scaled)
    # Centred: all are positive, and Adam's steps along their mean would drown what is learned.
    pooled = _centred(keras.layers.GlobalAveragePooling2D()(last))
    logit = keras.layers.Dense(1)(pooled)
    seen = _seen("last", _centred(last))
    embedding = keras.layers.GlobalAveragePooling2D()(seen)
    outputs = {
        "logit": keras.layers.Rescaling(1 / TEMPERATURE, name="logit")(logit),
        "embedding": keras.layers.Rescaling(embedding_scale, name="embedding")(embedding),
        "middle": _seen("middle", _centred(middle)),
        "last": seen,
    }
    model = keras.Model(photo, outputs)
    optimizer = keras.optimizers.AdamW(RATE, weight_decay=WEIGHT_DECAY)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    losses = {name: keras.losses.MeanSquaredError() for name in LOSS_WEIGHTS}
    losses["logit"] = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizer, losses, loss_weights=LOSS_WEIGHTS)
    return model


def _centred(values: Any) -> Any:
    return keras.layers.BatchNormalization(momentum=0.97, scale=False, center=False)(values)


def _seen(name: str, maps: Any) -> Any:
    return keras.layers.Conv2D(COMPONENTS[name], 1, kernel_initializer="zeros", name=name)(maps)


def sizes_of(schedule: str) -> list[int]:
    """The size of each epoch, in pixels.

    >>> sizes_of("96x2,128x1")
    [96, 96, 128]
    """
    parts = (part.split("x") for part in schedule.split(","))
    return [int(size) for size, epochs in parts for _ in range(int(epochs))]


@dataclass(frozen=True)
class Phase:
    """Some epochs with a learning rate that goes to nothing.

    Args:
        sizes: of the photos in each epoch, in pixels.
        rate: the highest.
        warm_up: epochs that it rises.
        plain: the part of the photos that is seen as it is.
    """

    sizes: list[int]
    rate: float
    warm_up: int
    plain: float


def rate_at(epoch: float, epochs: int, peak: float, warm_up: int) -> float:
    """The learning rate: up over the first epochs, then down along a cosine to nothing.

    >>> [round(rate_at(epoch, 50, 1.0, 2), 3) for epoch in (0, 2, 26, 50)]
    [0.005, 1.0, 0.5, 0.0]
    """
    if epoch < warm_up:
        return peak * (epoch + 0.01) / (warm_up + 0.01)
    return peak * 0.5 * (1 + math.cos(math.pi * (epoch - warm_up) / (epochs - warm_up)))


def main() -> None:
    """Train, going on where an earlier training was interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="with teacher/ and views/")
    parser.add_argument(
        "--schedule", type=sizes_of, default=SCHEDULE, help=f"pixels x epochs (default {SCHEDULE})"
    )
    parser.add_argument(
        "--finish", type=sizes_of, default=FINISH, help=f"then on plain photos (default {FINISH})"
    )
    given = parser.parse_args()
    work = given.work
    phases = (
        Phase(given.schedule, RATE, WARM_UP, PLAIN),
        Phase(given.finish, FINISH_RATE, 0, FINISH_PLAIN),
    )
    plan = [(phase, number) for phase in phases for number in range(len(phase.sizes))]
    keras.utils.set_random_seed(0)
    views, (watched, labels) = Views(work), _validation(work)
    model, done = _begun(work, views)
    for epoch, (phase, number) in list(enumerate(plan))[done:]:
        row = _train_epoch(model, views, epoch, phase, number)
        said = model.predict(watched, batch_size=50, verbose=0)["logit"][:, 0]
        row["validation_accuracy"] = round(float(((said > 0) == labels).mean()), 4)
        print(f"\r{row}", flush=True)
        _keep(work, model, row)
    _save(model, work / "starter.weights.h5")


def _begun(work: Path, views: Views) -> tuple[Any, int]:
    """The model, and how many epochs it has seen."""
    kept = work / "student.keras"
    if not kept.exists():
        return student(views.embedding_scale), 0
    model = keras.models.load_model(kept)
    return model, int(model.optimizer.iterations) // (len(views) // BATCH)


def _keep(work: Path, model: Any, row: dict[str, float]) -> None:
    partial, history = work / "student.part.keras", work / "history.csv"
    model.save(partial)
    os.replace(partial, work / "student.keras")
    new = row["epoch"] == 1
    with history.open("w" if new else "a", newline="") as rows:
        writer = csv.DictWriter(rows, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def _save(model: Any, path: Path) -> None:
    network = starter_network.build(None)
    for layer in network.layers:
        layer.set_weights(model.get_layer("taps").get_layer(layer.name).get_weights())
    network.save_weights(path)


def _train_epoch(
    model: Any, views: Views, epoch: int, phase: Phase, number: int
) -> dict[str, float]:
    began, size, steps = time.monotonic(), phase.sizes[number], len(views) // BATCH
    sums = Counter[str]()
    for step, (pixels, targets) in enumerate(views.epoch(epoch, size, phase.plain)):
        at = number + step / steps
        model.optimizer.learning_rate = rate_at(at, len(phase.sizes), phase.rate, phase.warm_up)
        model.reset_metrics()
        sums.update(model.train_on_batch(pixels, targets, return_dict=True))
        if step % 10 == 9:
            print(f"\repoch {epoch + 1}, step {step + 1} of {steps}", end="")
    losses = {name: round(float(value) / steps, 4) for name, value in sums.items()}
    seconds = round(time.monotonic() - began, 1)
    return {"epoch": epoch + 1, "size": size, "seconds": seconds, **losses}


def _validation(work: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    photos, prepare = photos_of(work / "teacher", "validation"), Preprocessing(size=STUDENT_SIZE)
    pixels = [prepare.from_bytes(one.path.read_bytes(), str(one.path)) for one in photos]
    return np.stack(pixels), np.array([one.label == 1 for one in photos])


if __name__ == "__main__":
    main()
