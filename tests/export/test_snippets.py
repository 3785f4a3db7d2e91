"""The lines of each export's README, run where there is nothing but its runtime."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import pawprint
from pawprint.export.export import Exported
from pawprint.export.readme import PACKAGES

FIXTURES = Path(__file__).parents[1] / "fixtures"
_TOLERANCE = {"float32": 1e-3, "float16": 0.1, "int8": 0.1}


@pytest.mark.parametrize(
    ("format", "precision"),
    [
        ("onnx", "float32"),
        ("onnx", "float16"),
        ("onnx", "int8"),
        ("litert", "float32"),
        ("openvino", "float32"),
        ("openvino", "int8"),
        ("savedmodel", "float32"),
        ("keras", "float32"),
        ("h5", "float32"),
    ],
)
def test_the_readme_s_lines_answer_as_the_model_does(
    format: str,
    precision: str,
    export: Callable[..., Exported],
    only: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    exported = export(format, precision)
    text = (exported.folder / "README.md").read_text("utf-8")
    (lines,) = re.findall("```python\n(.*?)```", text, re.DOTALL)
    bundle = "bundle-1-three" if format == "h5" else "bundle-1"
    answers = pawprint.load(FIXTURES / bundle / "model")
    packages = re.findall("^`pip install (.+)`", text, re.MULTILINE)
    assert packages == [PACKAGES[format]]
    command = only(*packages[0].split())
    # One photo where TensorFlow takes seconds to load.
    for photo in ("turned.jpg", "small.png", "clear.png")[
        : 1 if "tensorflow" in packages[0] else 2
    ]:
        shutil.copy(FIXTURES / bundle / photo, exported.folder / "photo.jpg")
        ran = subprocess.run(
            command,
            input="import sys\n"
            "assert not {'pawprint', 'pydantic'} & set(sys.modules)\n"
            "try:\n    import pawprint\n"
            "except ImportError:\n    pass\n"
            "else:\n    raise AssertionError('pawprint is there')\n" + lines,
            cwd=exported.folder,
            capture_output=True,
            text=True,
            timeout=240,
        )
        (exported.folder / "photo.jpg").unlink()
        assert ran.returncode == 0, ran.stderr
        label, probability = ran.stdout.split()[-2:]
        meant = answers.predict(FIXTURES / bundle / photo)
        threshold, by_class = answers.card.threshold, meant.probabilities
        best = max(by_class, key=lambda name: by_class[name])
        if len(by_class) == 2:
            best = answers.classes[by_class[answers.classes[1]] >= threshold]
        assert label == (best if format == "h5" or precision == "int8" else meant.label)
        assert float(probability) == pytest.approx(by_class[best], abs=_TOLERANCE[precision])


@pytest.mark.parametrize("policy", ["squash", "crop", "pad"])
def test_the_lines_make_of_a_photo_what_the_model_saw(policy: str, tmp_path: Path) -> None:
    """All sizes and proportions: the rounding of each must be the same."""
    import numpy as np
    from PIL import Image

    from pawprint.data.images import Preprocessing
    from pawprint.export.readme import snippet
    from pawprint.export.stated import stated

    card = pawprint.load(FIXTURES / "bundle-1" / "model").card
    card = card.model_copy(update={"preprocessing": Preprocessing(size=64, policy=policy)})
    about = stated(card, "onnx", "float32")
    lines = snippet(about, "model.onnx", "py").splitlines()
    begun, ended = (
        next(n for n, line in enumerate(lines) if line.startswith(start))
        for start in ("photo = Image.open", "model = ")
    )
    code = "\n".join(lines[begun:ended]).replace('"photo.jpg"', "path")
    path = tmp_path / "photo.jpg"
    for width, height in ((64, 64), (65, 64), (400, 37), (37, 401), (63, 50), (1000, 701)):
        noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(noise).save(path)
        found: dict[str, object] = {}
        exec("import numpy as np\nfrom PIL import Image, ImageOps\n" + code, {"path": path}, found)
        meant = card.preprocessing.from_bytes(path.read_bytes(), "photo")
        assert np.array_equal(found["pixels"], meant[None])  # type: ignore[arg-type]
