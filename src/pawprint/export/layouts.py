"""Folders as servers expect them: a version in a folder of its number, and what configures it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pawprint.export.stated import INPUT, OUTPUT, Stated

LABELS = "labels.txt"
_MOST_AT_ONCE = 32  # photos a server puts together


@dataclass(frozen=True)
class Layout:
    """What a server expects.

    Args:
        name: as it is asked for.
        places: by format that it serves, the one taken by default first, where the file goes in the
            model's folder.
        start: the command that starts it there, with `{name}` for what it calls the model.
        configure: writes what it is configured by.
    """

    name: str
    places: dict[str, str]
    start: str
    configure: Callable[[Path, Stated], None] = lambda folder, about: None

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that it serves, the one that is taken by default first."""
        return tuple(self.places)

    def start_of(self, name: str) -> str:
        """The command that starts it.

        Args:
            name: of the model's folder.
        """
        return self.start.format(name=shlex.quote(name))


def _configure_triton(folder: Path, about: Stated) -> None:
    """Write Triton's `config.pbtxt`; without a name in it, the folder's is the model's."""
    backend = {"onnx": "onnxruntime", "openvino": "openvino"}[about.format]
    kinds = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}

    def tensor(name: str, facts: dict[str, object], more: str = "") -> str:
        shape = facts["shape"]
        assert isinstance(shape, list)
        sizes = ", ".join(map(str, shape[1:]))
        kind = kinds[str(facts["dtype"])]
        return f'  {{ name: "{name}", data_type: {kind}, dims: [ {sizes} ]{more} }}'

    labelled = f', label_filename: "{LABELS}"'
    outputs = [
        tensor(each, facts, labelled if each == OUTPUT else "")
        for each, facts in about.outputs.items()
    ]
    lines = [
        f'backend: "{backend}"',
        f"max_batch_size: {_MOST_AT_ONCE}",
        "dynamic_batching { }",
        "input [",
        tensor(INPUT, about.inputs[INPUT]),
        "]",
        "output [",
        ",\n".join(outputs),
        "]",
    ]
    (folder / "config.pbtxt").write_text("\n".join(lines) + "\n", "utf-8")


LAYOUTS = {
    found.name: found
    for found in (
        Layout(
            "tf-serving",
            {"savedmodel": "1"},
            'tensorflow_model_server --model_name={name} --model_base_path="$PWD" '
            "--rest_api_port=8501",
        ),
        Layout(
            "triton",
            {"onnx": "1/model.onnx", "openvino": "1/model.xml"},
            'tritonserver --model-repository="$(dirname "$PWD")" --model-control-mode=explicit '
            "--load-model={name}",
            _configure_triton,
        ),
        Layout(
            "openvino-model-server",
            {"openvino": "1/model.xml", "onnx": "1/model.onnx"},
            'ovms --model_name {name} --model_path "$PWD" --rest_port 8000',
        ),
    )
}
