"""The tutorials' recipes from end to end on drawn photos, and what each must leave behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pawprint
from pawprint.classifier import at_temperature
from pawprint.model import backbones
from pawprint.model.framework import load_keras
from pawprint.training.run import Run

SMALL = {"data.size": 64, "backbone.alpha": 0.35, "backbone.weights": "random"}
STAGES = {"two-stage": 2, "rmsprop-128": 2, "small-dense": 1, "tutorial-160": 2}


@pytest.fixture(scope="module")
def divided(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos in `train/` and `validation/`."""
    folder = tmp_path_factory.mktemp("divided")
    for number, path in enumerate(sorted(few.glob("*/*.jpg"))):
        side = "validation" if number % 4 == 0 else "train"
        (folder / side / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / side / path.parent.name)
    return folder


@pytest.fixture(scope="module")
def made(
    few: Path, divided: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Run]:
    """Train a recipe once."""
    runs: dict[str, Run] = {}
    place = tmp_path_factory.mktemp("tutorials")

    def train(name: str) -> Run:
        if name not in runs:
            stages = range(1, STAGES[name] + 1)
            epochs = {f"stage.{stage}.epochs": 2 for stage in stages}
            # What such a network learns in two epochs is luck, and every stage is looked at.
            epochs |= {f"stage.{stage}.roll_back": False for stage in stages}
            source = divided if name in ("small-dense", "tutorial-160") else few
            runs[name] = pawprint.train(
                source, recipe=name, changes=SMALL | epochs, out=place / name
            )
        return runs[name]

    return train


@pytest.mark.parametrize("name", STAGES)
def test_a_tutorials_recipe_leaves_a_whole_run(name: str, made: Callable[[str], Run]) -> None:
    run = made(name)
    stages = range(1, STAGES[name] + 1)
    assert [(row["stage"], row["epoch"]) for row in run.history] == [
        (stage, epoch) for stage in stages for epoch in (1, 2)
    ]
    assert np.isfinite([list(row.values()) for row in run.history]).all()
    bundle = run.record["bundle"]
    assert bundle["largest_difference_to_keras"] <= 1e-4
    assert bundle["labels_differing"] == 0
    metrics = json.loads((run.path / "metrics.json").read_text())
    assert metrics["history"] == run.history
    if run.record["restored"] == []:
        assert run.history[-1]["val_accuracy"] == pytest.approx(run.figures.accuracy)
        plain = metrics["validation"]["calibration"]["before"]
        assert run.history[-1]["val_loss"] == pytest.approx(plain["log_loss"], abs=1e-6)
    plots = {path.stem for path in (run.path / "plots").iterdir()}
    augmented = {"augmentations"} if name != "rmsprop-128" else set()
    curves = {"roc_curve", "precision_recall_curve", "reliability", "training_curves"}
    assert plots == {"confusion_matrix", "samples"} | curves | augmented
    assert not run.path.with_name(f"{name}.unfinished").exists()
    answer = run.classifier().predict(np.zeros((80, 80, 3), np.uint8))
    assert sum(answer.probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("two-stage", (1e-3, 1e-5)),
        ("rmsprop-128", (1e-4, 1e-4)),
        ("tutorial-160", (1e-3, 1e-4)),
    ],
)
def test_the_stages_have_the_tutorials_rates(
    name: str, rates: tuple[float, ...], made: Callable[[str], Run]
) -> None:
    found = [row["rate"] for row in made(name).history]
    assert found == pytest.approx([rates[0]] * 2 + [rates[1]] * 2)


def test_only_the_layers_of_the_stages_were_trained(made: Callable[[str], Run]) -> None:
    """And batch normalisation kept the statistics that the network came with."""
    start = backbones.build(size=64, alpha=0.35, weights="random").network.layers
    firsts = {"two-stage": 54, "rmsprop-128": 100, "small-dense": 154, "tutorial-160": 100}
    for name, first in firsts.items():
        model = load_keras().models.load_model(made(name).model / "model.keras")
        (network,) = (layer for layer in model.layers if layer.name.startswith("mobilenet"))
        for place, (before, after) in enumerate(zip(start, network.layers, strict=True)):
            for variable, found in zip(before.weights, after.weights, strict=True):
                still = place < first or variable.path.split("/")[-1].startswith("moving_")
                same = np.array_equal(np.array(variable), np.array(found))
                assert same is still, (name, variable.path)


def test_the_test_set_of_tutorial_160_is_taken_from_the_validation_photos(
    made: Callable[[str], Run],
) -> None:
    run = made("tutorial-160")
    photos = run.record["photos"]
    for label in (
        "cat",
        "dog",
    ):  # 20 photos, of which a quarter judges, of these a fifth at the end
        held, last = photos["validation"][label], photos["test"][label]
        assert photos["train"][label] + held + last == 20
        assert 1 <= last < held
    assert run.test_figures is not None
    assert run.test_figures.count == sum(photos["test"].values())


STOCK = """
import sys
sys.modules["pawprint"] = None  # it cannot be imported
import keras
import numpy as np
np.save(sys.argv[3], keras.models.load_model(sys.argv[1]).predict(np.load(sys.argv[2]), verbose=0))
"""


def test_stock_keras_opens_the_h5_file_and_predicts_the_same_from_raw_pixels(
    made: Callable[[str], Run], few: Path, tmp_path: Path
) -> None:
    run = made("two-stage")
    classifier = run.classifier()
    paths = sorted(few.glob("*/*.jpg"))[::5]
    preprocessing = classifier.card.preprocessing
    pixels = [preprocessing.from_bytes(path.read_bytes(), path.name) for path in paths]
    np.save(tmp_path / "in.npy", np.stack(pixels))  # uint8, 0 to 255
    expected = [answer.probabilities["dog"] for answer in classifier.predict(paths)]
    files = (run.path / "cats_dogs_finetuned.h5", tmp_path / "in.npy", tmp_path / "out.npy")
    subprocess.run([sys.executable, "-c", STOCK, *files], check=True, timeout=400)
    found = np.load(tmp_path / "out.npy")
    assert found.shape == (len(paths), 1)
    both = at_temperature(np.hstack([1 - found, found]), classifier.card.temperature)
    assert np.abs(both[:, 1] - expected).max() <= 1e-4
    assert np.std(expected) > 1e-4
