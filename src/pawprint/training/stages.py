"""Fitting a stage on features: the head by logistic regression, or every layer by Keras."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.data.dataset import Dataset
from pawprint.data.split import TRAIN, VALIDATION
from pawprint.evaluation.metrics import Figures, figures
from pawprint.model import head
from pawprint.model.backbones import Backbone
from pawprint.model.feature_store import FeatureStore
from pawprint.model.framework import load_keras
from pawprint.model.head import Head
from pawprint.model.network import keras_classifier, keras_probabilities
from pawprint.progress import SILENT, Advance, Progress
from pawprint.training.recipe import HeadStage, WholeStage

_PREDICT = 32  # photos a batch when only predicting


Stores = Mapping[str, FeatureStore]  # by side


@dataclass(frozen=True)
class Fitted:
    """What a stage gives.

    Args:
        head: the top layer; what is below it was trained in place, or not at all.
        history: a row an epoch: stage, epoch, loss, accuracy, val_loss, val_accuracy.
        predict: a store and content hashes of photos in it to probabilities (n, classes).
    """

    head: Head
    history: list[dict[str, float]]
    predict: Callable[[FeatureStore, Sequence[str]], NDArray[np.float64]]


def fit(
    stage: HeadStage | WholeStage,
    dataset: Dataset,
    stores: Stores,
    backbone: Backbone,
    *,
    seed: int,
    progress: Progress = SILENT,
) -> Fitted:
    """Train what the stage says on the training photos.

    Args:
        stage: what trains, and how.
        dataset: the photos, split.
        stores: for each side, the features of its photos, from the stage's prefix.
        backbone: the network; its weights change where the stage trains them.
        seed: of everything drawn at random.
        progress: where to show how it goes.

    Returns:
        The head and what it predicts.
    """
    if isinstance(stage, HeadStage):
        with progress.step("Fitting the head", None):
            return _fit_head(dataset, stores[TRAIN], seed)
    return _fit_whole(stage, dataset, stores, backbone, seed, progress)


@dataclass(frozen=True)
class Judged:
    """How a fitted stage does on one side of the dataset.

    Args:
        rows: the numbers of the photos, n of them.
        truth: int, shape (n,), their classes.
        probabilities: float64, shape (n, classes).
        figures: what follows from these.
    """

    rows: list[int]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    figures: Figures


def judge(dataset: Dataset, side: str, store: FeatureStore, fitted: Fitted) -> Judged:
    """Predict the photos of one side and compare with their labels."""
    rows = dataset.rows(side)
    number = {label: index for index, label in enumerate(dataset.classes)}
    truth = np.array([number[dataset.photos[row].label] for row in rows], dtype=np.int64)
    probabilities = fitted.predict(store, [dataset.photos[row].sha256 for row in rows])
    return Judged(rows, truth, probabilities, figures(truth, probabilities, dataset.classes))


def _side(dataset: Dataset, side: str, seed: int) -> tuple[list[str], NDArray[np.int64]]:
    """Content hashes and class numbers of one side, each class spread evenly."""
    photos = [dataset.photos[row] for row in dataset.rows(side)]
    number = {label: index for index, label in enumerate(dataset.classes)}
    labels = np.array([number[photo.label] for photo in photos], dtype=np.int64)
    order = head.spread(labels, seed)
    return [photos[row].sha256 for row in order], labels[order]


def _fit_head(dataset: Dataset, store: FeatureStore, seed: int) -> Fitted:
    hashes, labels = _side(dataset, TRAIN, seed)
    fitted = head.fit(store.take(hashes), labels, seed=seed)

    def predict(store: FeatureStore, asked: Sequence[str]) -> NDArray[np.float64]:
        return fitted.probabilities(store.take(asked))

    return Fitted(fitted, [], predict)


def _fit_whole(
    stage: WholeStage,
    dataset: Dataset,
    stores: Stores,
    backbone: Backbone,
    seed: int,
    progress: Progress,
) -> Fitted:
    keras = load_keras()
    keras.utils.set_random_seed(seed)
    classes = len(dataset.classes)
    model = keras_classifier(backbone, classes)
    hashes, labels = _side(dataset, TRAIN, seed)
    judged, truth = _side(dataset, VALIDATION, seed)
    batches = _batches(hashes, labels, stores[TRAIN], stage, seed)
    judge_batches = _batches(judged, truth, stores[VALIDATION], stage, None)
    loss = "binary_crossentropy" if classes == 2 else "sparse_categorical_crossentropy"
    model.compile(_adam(stage, len(batches)), loss, metrics=["accuracy"])
    with progress.step("Training all layers", stage.epochs * len(batches)) as advance:
        log = model.fit(
            batches,
            validation_data=judge_batches,
            epochs=stage.epochs,
            class_weight=_class_weights(labels),
            callbacks=[_ticks(advance)],
            verbose=0,
        ).history
    history = [
        {"stage": 1.0, "epoch": epoch + 1.0, **{name: float(log[name][epoch]) for name in log}}
        for epoch in range(stage.epochs)
    ]

    def predict(store: FeatureStore, asked: Sequence[str]) -> NDArray[np.float64]:
        parts = [asked[i : i + _PREDICT] for i in range(0, len(asked), _PREDICT)]
        return np.vstack([keras_probabilities(model, store.take(p, "uint8")) for p in parts])

    kernel, bias = model.get_layer("head").get_weights()
    return Fitted(Head(kernel, bias), history, predict)


def _ticks(advance: Advance) -> Any:
    keras = load_keras()
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: advance(1))


def _adam(stage: WholeStage, steps: int) -> Any:
    """Adam whose rate climbs for one epoch and then falls to zero along a cosine."""
    keras = load_keras()
    warm_up = steps if stage.epochs > 1 else 0
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warm_up else stage.rate,
        max(1, stage.epochs * steps - warm_up),
        warmup_target=stage.rate if warm_up else None,
        warmup_steps=warm_up,
    )
    return keras.optimizers.Adam(rate)


def _class_weights(labels: NDArray[np.int64]) -> dict[int, float] | None:
    if not head.uneven(labels):
        return None
    counts = np.bincount(labels)
    return {index: len(labels) / (len(counts) * count) for index, count in enumerate(counts)}


def _batches(
    hashes: Sequence[str],
    labels: NDArray[np.int64],
    store: FeatureStore,
    stage: WholeStage,
    seed: int | None,
) -> Any:
    """Batches of raw pixels from the store: shuffled and mirrored with a seed, plain without."""
    keras = load_keras()
    random = np.random.default_rng(seed)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc, name-defined]
        order = np.arange(len(hashes))

        def __len__(self) -> int:
            return -(-len(hashes) // stage.batch_size)

        def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            rows = self.order[index * stage.batch_size : (index + 1) * stage.batch_size]
            pixels = store.take([hashes[row] for row in rows])
            if seed is not None and stage.mirror:
                turned = random.random(len(rows)) < 0.5
                pixels[turned] = pixels[turned, :, ::-1]
            return pixels, labels[rows]

        def on_epoch_end(self) -> None:
            if seed is not None:
                random.shuffle(self.order)

    return Batches()
