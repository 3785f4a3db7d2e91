"""Whether the bundle's two files answer alike: model.onnx in two engines, model.keras in Keras.

The photos are prepared once, by pawprint. model.onnx runs in OpenVINO through pawprint's Classifier
and in ONNX Runtime; model.keras is opened by plain `keras.models.load_model`. Compared is the
probability of every class, as pawprint would give it from each one's output.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
from common import members, say, shared, workplace
from predict import PHOTOS, train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pawprint import Classifier

MOST = 1e-3


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--model", type=Path, help="a run; by default one is trained first")
    parser.add_argument(
        "--train-photos", type=int, default=16_000, help="that it is trained on (default 16000)"
    )
    parser.add_argument("--photos", type=int, default=400, help="to compare on (default 400)")
    chosen = parser.parse_args()
    with workplace() as place:
        run = chosen.model or train(place, chosen.train_photos)
        names = members(shared(PHOTOS), chosen.photos)
        given, threshold = _probabilities(run, names)
    _report(len(names), given, threshold)


def _probabilities(
    run: Path, names: list[str]
) -> tuple[dict[str, NDArray[np.float64]], float | None]:
    """Shape (photos, classes) from each engine, and the threshold where there are two classes."""
    import zipfile

    import numpy as np

    from pawprint import Classifier

    classifier = Classifier(run)
    with zipfile.ZipFile(shared(PHOTOS)) as archive:
        prepare = classifier.card.preprocessing.from_bytes
        pixels = np.stack([prepare(archive.read(name), name) for name in names])
    given = {"OpenVINO": np.stack([classifier.probabilities(photo) for photo in pixels])}
    say("OpenVINO has answered")
    given["ONNX Runtime"] = _tempered(_by_onnxruntime(classifier, pixels), classifier)
    say("ONNX Runtime has answered")
    given["Keras"] = _tempered(_by_keras(classifier, pixels), classifier)
    return given, classifier.card.threshold if len(classifier.classes) == 2 else None


def _by_onnxruntime(classifier: Classifier, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(
        classifier.path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    parts = [
        session.run(["probabilities"], {"image": pixels[start : start + 32]})[0]
        for start in range(0, len(pixels), 32)
    ]
    return np.concatenate(parts).astype(np.float64)


def _by_keras(classifier: Classifier, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    import keras
    import numpy as np

    model = keras.models.load_model(classifier.path / "model.keras")
    given = np.asarray(model.predict(pixels.astype(np.float32), verbose=0), dtype=np.float64)
    return np.hstack([1 - given, given]) if given.shape[1] == 1 else given  # the second class's


def _tempered(given: NDArray[np.float64], classifier: Classifier) -> NDArray[np.float64]:
    """What the Classifier does to the network's output, by the bundle's card."""
    import numpy as np

    if classifier.card.temperature != 1.0:
        given = np.clip(given, 1e-12, 1.0) ** (1.0 / classifier.card.temperature)
    return np.asarray(given / given.sum(axis=1, keepdims=True))


def _report(count: int, given: dict[str, NDArray[np.float64]], threshold: float | None) -> None:
    import numpy as np

    table = common.Table()
    results: dict[str, Any] = {"photos": count}
    table.add("photos", str(count))
    for one, other in combinations(given, 2):
        pair = f"{one} and {other}"
        apart = np.abs(given[one] - given[other])
        labels = [
            answers.argmax(axis=1) if threshold is None else answers[:, 1] >= threshold
            for answers in (given[one], given[other])
        ]
        largest, mean = float(apart.max()), float(apart.mean())
        differing = int((labels[0] != labels[1]).sum())
        table.add(f"{pair}, largest", f"{largest:.2e}", f"<= {MOST:.0e}", largest <= MOST)
        table.add(f"{pair}, mean", f"{mean:.2e}")
        table.add(f"{pair}, labels that differ", str(differing), "none", differing == 0)
        results[pair] = {"largest": largest, "mean": mean, "labels_differing": differing}
    common.finish("agreement", table, results)


if __name__ == "__main__":
    main()
