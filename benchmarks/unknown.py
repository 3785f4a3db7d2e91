"""Strangers told from pets: photos of flowers, drawn pictures and noise, by a classifier of pets.

A classifier is trained on cats and dogs; its limit is set on its held-out photos, of which it may
refuse 1 %. Beside its novelty stand two other scores on the same embeddings: the rest outside 128
principal components without square roots, and Mahalanobis' distance. The photos of pets_fullsize
are pets of other sizes, which no training has to do with.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import common
import trainings
from common import say, shared

Scores = Callable[[NDArray[np.float32]], NDArray[np.float64]]


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--recipe", default="quick", help="(default quick)")
    chosen = parser.parse_args()
    table, results = common.Table(), dict[str, Any]()
    with common.workplace() as place:
        archive, run = shared("data/cats_vs_dogs_16k.zip"), place / "run"
        trainings.pawprint(archive, chosen.recipe, run)
        pets = {side: embeddings(run, archive, _paths(run, side)) for side in ("train", "held out")}
        others = {
            "flowers": embeddings(run, shared("data/flowers_500.zip")),
            "drawn": _drawn(run),
            "noise": _noise(run),
            "pets of other sizes": embeddings(run, shared("data/pets_fullsize.zip")),
        }
        for name, score in _scores(run, pets["train"]).items():
            results[name] = _table(name, score, pets["held out"], others, table)
    common.finish("unknown", table, {"recipe": chosen.recipe, **results})


def embeddings(run: Path, source: Path, only: set[str] | None = None) -> NDArray[np.float32]:
    """What a bundle's answering layer sees of photos and, in the last column, their novelty."""
    from pawprint.data.sources import open_source

    with open_source(source) as opened:
        photos = [photo for photo in opened.photos if only is None or photo.path in only]
        reads = [(photo.path, partial(opened.read, photo)) for photo in photos]
        return _embedded(run, reads)


def _embedded(run: Path, reads: Sequence[tuple[str, Callable[[], bytes]]]) -> NDArray[np.float32]:
    from pawprint import bundle
    from pawprint.engine import Network
    from pawprint.errors import PhotoError
    from pawprint.parallel import map_chunks

    card, onnx = bundle.read(run)
    network = Network(onnx, ["embedding", "novelty"])

    def work(some: Any) -> list[NDArray[np.float32]]:
        rows = []
        for name, read in some:
            try:
                pixels = card.preprocessing.from_bytes(read(), name)
            except PhotoError as error:
                say(str(error))
                continue
            rows.append(np.concatenate(network(pixels)))
        return rows

    return np.stack([row for rows in map_chunks(work, reads, size=16) for row in rows])


def _paths(run: Path, side: str) -> set[str]:
    split = {"train": "train", "held out": "validation"}[side]
    with (run / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return {row["path"] for row in csv.DictReader(file) if row["split"] == split}


def _drawn(run: Path) -> NDArray[np.float32]:
    from pawprint.testing import drawn_photos

    with tempfile.TemporaryDirectory() as folder:
        return embeddings(run, drawn_photos(Path(folder, "drawn"), 400))


def _noise(run: Path) -> NDArray[np.float32]:
    """Even, Gaussian, grey and coarse noise, 100 of each."""
    import io

    from PIL import Image

    random = np.random.default_rng(0)
    made = []
    for number in range(400):
        kind, shape = number % 4, (224, 224, 3)
        pixels: NDArray[Any] = random.integers(0, 256, shape)
        if kind == 1:
            pixels = np.clip(random.normal(128, 50, shape), 0, 255)
        elif kind == 2:
            pixels = np.repeat(pixels[:, :, :1], 3, axis=2)
        elif kind == 3:
            pixels = np.kron(pixels[:14, :14], np.ones((16, 16, 1)))
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
        made.append((f"noise {number}", buffer.getvalue))
    return _embedded(run, made)


def _scores(run: Path, train: NDArray[np.float32]) -> dict[str, Scores]:
    plain = train[:, :-1].astype(np.float64)
    mean = plain.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(plain.T))

    def rest(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        centred = rows[:, :-1] - mean
        within = centred @ vectors[:, -128:]
        return np.asarray(np.sqrt(np.square(centred).sum(axis=1) - np.square(within).sum(axis=1)))

    def mahalanobis(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        whitened = (rows[:, :-1] - mean) @ vectors / np.sqrt(values + 1e-6 * values.max())
        return np.asarray(np.square(whitened).sum(axis=1))

    return {
        "novelty": lambda rows: rows[:, -1].astype(np.float64),
        "rest, no roots": rest,
        "Mahalanobis": mahalanobis,
    }


def _table(
    name: str,
    score: Scores,
    held_out: NDArray[np.float32],
    others: dict[str, NDArray[np.float32]],
    table: common.Table,
) -> dict[str, Any]:
    from sklearn.metrics import roc_auc_score

    from pawprint.evaluation.intervals import wilson_interval

    ours = name == "novelty"
    pets = score(held_out)
    limit = 1.0 if ours else float(np.quantile(pets, 0.99))
    found: dict[str, Any] = {"held_out": len(pets), "refused": float((pets > limit).mean())}
    table.add(f"{name}: pets refused", f"{found['refused']:.2%} of {len(pets):,}")
    for kind, rows in others.items():
        scores = score(rows)
        truth = np.repeat([0, 1], [len(pets), len(scores)])
        area = float(roc_auc_score(truth, np.concatenate([pets, scores])))
        refused = int((scores > limit).sum())
        low, high = wilson_interval(refused, len(scores))
        found[kind] = {"auroc": area, "refused": refused, "photos": len(scores)}
        told = f"{refused / len(scores):.1%} of {len(scores)} ({low:.1%} to {high:.1%})"
        if kind.startswith("pets"):
            table.add(f"{name}: {kind} refused", told)
            continue
        least = 0.92 if kind == "flowers" else 0.95
        met = refused >= least * len(scores) if ours else None
        table.add(f"{name}: {kind} refused", told, f">= {least:.0%}" if ours else "", met)
        if kind == "flowers":
            table.add(
                f"{name}: AUROC against flowers",
                f"{area:.4f}",
                ">= 0.996" if ours else "",
                area >= 0.996 if ours else None,
            )
    return found


if __name__ == "__main__":
    main()
