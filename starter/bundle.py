"""Write the starter's bundle: the trained network with the head that it learned with.

    python starter/bundle.py WORK OUT

WORK/run gives preprocessing, novelty and its limit, as for anybody's photos. Its head is not taken:
it was fitted on photos that the network knows by heart, and is right on fewer others than the one
that learned from the teacher. The temperature is fitted anew, on the photos that were watched.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from onnx import numpy_helper

from pawprint import bundle
from pawprint.bundle import Card
from pawprint.data.images import Preprocessing
from pawprint.engine import Network as Engine
from pawprint.evaluation.calibration import calibrate
from pawprint.evaluation.metrics import figures
from pawprint.model import backbones
from pawprint.model.head_layers import AveragePool
from pawprint.model.network import Network, build, to_onnx, whole_model
from pawprint.model.novelty import Novelty
from photos import VALIDATION
from views import photos_of

CARD = "MODEL_CARD.md"
MOST = 4_000_000  # bytes


def main() -> None:
    """Write it, and make sure that it is small."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="with run/, student.keras, starter.weights.h5")
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    card, run_onnx = bundle.read(given.work / "run")
    network = _network(given.work, card.preprocessing.size)
    answering = to_onnx(network, card.classes, _novelty(run_onnx))
    card = _judged(card, answering, given.work / "run")
    text = Path(__file__).with_name(CARD).read_text("utf-8")
    bundle.write(given.out, card, answering, whole_model(network), {CARD: text})
    size = sum(path.stat().st_size for path in given.out.iterdir())
    print(f"{size:,} bytes of at most {MOST:,}")
    if size > MOST:
        raise SystemExit(f"{given.out} is too large to be carried by pawprint")


def _network(work: Path, size: int) -> Network:
    """The trained network with its own head."""
    student = keras.models.load_model(work / "student.keras")
    dense = next(la for la in student.layers if isinstance(la, keras.layers.Dense))
    centred = dense.input._keras_history.operation  # batch normalisation without gamma and beta
    mean, variance = centred.get_weights()
    kernel, bias = dense.get_weights()
    kernel = kernel / np.sqrt(variance + centred.epsilon)[:, np.newaxis]
    backbone = backbones.build("starter", size=size, weights=work / "starter.weights.h5")
    network = build(backbone, (AveragePool(),), 2)
    network.top.set_weights([kernel, bias - mean @ kernel])
    return network


def _novelty(network: bytes) -> Novelty:
    """The novelty that a bundle's network computes."""
    constants = {
        constant.name: numpy_helper.to_array(constant)
        for constant in onnx.load_from_string(network).graph.initializer
    }
    (limit,) = (float(value) for name, value in constants.items() if name.startswith("number "))
    return Novelty(constants["novelty/mean"], constants["novelty/components"], limit)


def _judged(card: Card, network: bytes, run: Path) -> Card:
    """The card with this head's temperature, and its figures on the photos that were watched."""
    engine, prepare = Engine(network, ["probabilities"]), Preprocessing(**dict(card.preprocessing))
    photos = photos_of(run, VALIDATION)
    truth = np.array([photo.label for photo in photos])
    given = np.array([_asked(engine, prepare, photo.path) for photo in photos], np.float64)
    calibration, calibrated = calibrate(truth, given)
    found = figures(truth, calibrated, card.classes)
    return card.model_copy(
        update={
            "temperature": calibration.temperature,
            "metrics": {
                "validation_photos": found.count,
                "folds": 0,
                "accuracy": found.accuracy,
                "accuracy_interval": list(found.accuracy_interval),
            },
            "training": {**card.training, "head": "learned with the network, by starter/distil.py"},
        }
    )


def _asked(engine: Engine, prepare: Preprocessing, path: Path) -> Any:
    return engine(prepare.from_bytes(path.read_bytes(), str(path)))[0].copy()


if __name__ == "__main__":
    main()
