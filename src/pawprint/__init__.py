"""Turn a folder of photos into an image classifier you can trust, on an ordinary computer.

```python
import pawprint

pawprint.check("photos/").counts()       # what is wrong with photos/cat/*.jpg, photos/dog/*.jpg
run = pawprint.train("photos/")
classifier = pawprint.load(run.path)
classifier.predict("new.jpg").label
```
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pawprint.errors import PawprintError

if TYPE_CHECKING:
    from pawprint.classifier import Classifier, Prediction
    from pawprint.doctor.check import check
    from pawprint.doctor.findings import Checkup, Finding
    from pawprint.evaluation.evaluate import Evaluation, evaluate
    from pawprint.evaluation.metrics import Figures
    from pawprint.export.export import export_model
    from pawprint.importer.importing import import_keras
    from pawprint.training.from_features import train_on_features
    from pawprint.training.run import Run, train

    __version__: str

__all__ = [
    "Checkup",
    "Classifier",
    "Evaluation",
    "Figures",
    "Finding",
    "PawprintError",
    "Prediction",
    "Run",
    "check",
    "evaluate",
    "export_model",
    "import_keras",
    "load",
    "train",
    "train_on_features",
]

# Brought in when first asked for: `import pawprint` stays light, and only training needs Keras.
_HOMES = {
    "Checkup": "pawprint.doctor.findings",
    "Classifier": "pawprint.classifier",
    "Evaluation": "pawprint.evaluation.evaluate",
    "Figures": "pawprint.evaluation.metrics",
    "Finding": "pawprint.doctor.findings",
    "Prediction": "pawprint.classifier",
    "Run": "pawprint.training.run",
    "check": "pawprint.doctor.check",
    "evaluate": "pawprint.evaluation.evaluate",
    "export_model": "pawprint.export.export",
    "import_keras": "pawprint.importer.importing",
    "train": "pawprint.training.run",
    "train_on_features": "pawprint.training.from_features",
}


def load(path: str | os.PathLike[str] | None = None) -> Classifier:
    """Open a trained classifier.

    >>> load().classes
    ('cat', 'dog')
    >>> load("no/such/run")
    Traceback (most recent call last):
    ...
    pawprint.errors.BundleError: no/such/run is not a folder; expected a bundle or a run, ...

    Args:
        path: a run's folder, or a bundle; by default the starter, which comes with pawprint.

    Returns:
        The classifier.

    Raises:
        BundleError: there is none, or any byte of it was changed.
    """
    from pawprint.classifier import Classifier

    return Classifier() if path is None else Classifier(path)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata  # slow to import, and seldom asked for

        return metadata.version("pawprint")
    if name not in _HOMES:
        raise AttributeError(f"module 'pawprint' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
