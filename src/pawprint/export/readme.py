"""What goes beside an exported file for those who are to use it: how to load it and predict."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2

from pawprint.export import wording
from pawprint.export.stated import NOVELTY, Stated, why_never_unknown

if TYPE_CHECKING:
    from pawprint.export.export import Exported

PACKAGES = {
    "onnx": "onnxruntime pillow",
    "litert": "ai-edge-litert pillow",
    "openvino": "openvino pillow",
    "savedmodel": "tensorflow pillow",
    "keras": "keras tensorflow pillow",
    "h5": "keras tensorflow pillow",
}

# By format what npm installs, as it was tried, and where a browser finds what is imported.
IN_A_BROWSER = {
    "onnx": (
        "onnxruntime-web@1.30.0",
        {"onnxruntime-web": "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs"},
    ),
    "litert": (
        "@litertjs/core@2.5.3",
        {
            "@litertjs/core": "./node_modules/@litertjs/core/dist/index.js",
            "@litertjs/wasm-utils": "./node_modules/@litertjs/wasm-utils/dist/index.js",
        },
    ),
}
PIXELS = "pixels.js"


def files(about: Stated, exported: Exported, *, knows: bool, start: str = "") -> dict[str, str]:
    """Write them.

    Args:
        about: what the file says of itself.
        exported: the export.
        knows: whether the model that it was made of says "unknown".
        start: the command that starts a server on its folder, where it is laid out for one.

    Returns:
        By name: `README.md` and, where there is JavaScript in it, `pixels.js`.
    """
    file = exported.file.relative_to(exported.folder).as_posix()
    # Not in a server's layout, where the file lies in a folder of its own.
    browser = "/" not in file and about.format in IN_A_BROWSER
    npm, imports = IN_A_BROWSER[about.format] if browser else ("", {})
    readme = _template("README.md.j2").render(
        title=", ".join(about.classes[:3]) + (" ..." if len(about.classes) > 3 else ""),
        about=about,
        exported=exported,
        file=file,
        size=about.preprocessing.size,
        labels=len(about.classes),
        classes=", ".join(about.classes),
        unknown_above=about.unknown_above,
        novelty=NOVELTY in about.outputs,
        never_unknown=knows and why_never_unknown(about.format, about.precision),
        packages=PACKAGES[about.format],
        python=snippet(about, file, "py"),
        javascript=snippet(about, file, "js") if browser else "",
        start=start,
        npm=npm,
        imports=json.dumps({"imports": imports}, indent=2),
        tried="\n".join(f"- {line}" for line in wording.told(exported)),
    )
    return {"README.md": readme} | ({PIXELS: pixels()} if browser else {})


def pixels() -> str:
    """The module that makes of a photo, in a browser, what Python makes of it."""
    return resources.files("pawprint.export").joinpath("snippets", PIXELS).read_text("utf-8")


def snippet(about: Stated, file: str, language: str) -> str:
    """The lines that load an exported file and predict.

    Args:
        about: what the file says of itself.
        file: its path.
        language: `py`, or `js`.

    Returns:
        The lines; `photo.jpg` is what they predict.
    """
    facts: dict[str, Any] = {
        "file": file,
        "size": about.preprocessing.size,
        "policy": about.preprocessing.policy,
        "threshold": about.threshold,
        "labels": len(about.classes),
        "novelty": NOVELTY in about.outputs,
        "unknown_above": about.unknown_above,
    }
    return _template(f"{about.format}.{language}.j2").render(facts).strip()


@lru_cache
def _template(name: str) -> jinja2.Template:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("pawprint.export", "snippets"),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    ).get_template(name)
