"""Exports of the kept bundles, which have all that an export must carry."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pawprint.export.export import Exported, export_model

FIXTURES = Path(__file__).parents[1] / "fixtures"

Export = Callable[..., Exported]


@pytest.fixture(scope="session")
def kept() -> Path:
    """Two classes, a mirror image, a temperature, a threshold, a crop, and "unknown"."""
    return FIXTURES / "bundle-1" / "model"


@pytest.fixture(scope="session")
def kept_of_three() -> Path:
    """Three classes, no mirror image, padding."""
    return FIXTURES / "bundle-1-three" / "model"


@pytest.fixture(scope="session")
def export(
    kept: Path, kept_of_three: Path, tinted: Path, tmp_path_factory: pytest.TempPathFactory
) -> Export:
    """Export a kept bundle, once for each way of asking; not to be changed."""
    done: dict[tuple[str, str], Exported] = {}

    def export_once(format: str, precision: str = "float32") -> Exported:
        if (format, precision) not in done:
            model = kept_of_three if format == "h5" else kept
            done[format, precision] = export_model(
                model,
                format,
                precision=precision,  # type: ignore[arg-type]
                out=tmp_path_factory.mktemp("exports") / f"{format}-{precision}",
                verify_on=tinted,
                calibrate_on=tinted if precision == "int8" else None,
                layout="tf-serving" if format == "savedmodel" else None,
            )
        return done[format, precision]

    return export_once


@pytest.fixture(scope="session")
def only(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """The command of a Python that has some packages, with what they need, and no others."""

    def command(*packages: str) -> list[str]:
        folder = tmp_path_factory.mktemp("only")
        for name in _needed(packages):
            found = metadata.distribution(name)
            for top in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
                link, source = folder / top, Path(str(found.locate_file(top)))
                if source.exists() and not link.exists():
                    link.symlink_to(source)
        # Without `site` there is nothing but what is named here.
        start = f"import sys; sys.path.append({str(folder)!r}); exec(sys.stdin.read())"
        return [sys.executable, "-I", "-S", "-c", start]

    return command


def _needed(packages: tuple[str, ...]) -> set[str]:
    """The packages, and all that they ask for."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for text in metadata.distribution(name).requires or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                waiting.append(wanted.name)
    return found
