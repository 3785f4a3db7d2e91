"""A network as OpenVINO's own files: `model.xml` and, beside it, `model.bin`."""

from __future__ import annotations

import re
from pathlib import Path

from pawprint.engine import import_openvino
from pawprint.export.stated import OUTPUT, Stated


def write(onnx_bytes: bytes, path: Path, about: Stated) -> None:
    """Write a network for OpenVINO.

    Args:
        onnx_bytes: the network, float32 or quantised.
        path: of the .xml; the .bin goes beside it.
        about: what the export says of itself; goes into the model's runtime information, under
            `pawprint`, and its labels where OpenVINO's own tools look for them.
    """
    openvino = import_openvino()
    # What OpenVINO's converter does after reading; without it the text is three times as long.
    from openvino._offline_transformations import apply_moc_transformations

    model = openvino.Core().read_model(onnx_bytes)
    if about.precision == "int8":
        apply_moc_transformations(model, False)
        for step in model.get_ordered_ops():  # whose names were a tenth of the text
            if step.get_type_name() not in ("Parameter", "Result"):
                for output in step.outputs():
                    output.set_names(output.names & {OUTPUT})
    model.set_rt_info(about.model_dump_json(), ["pawprint"])
    model.set_rt_info("Classification", ["model_info", "model_type"])
    labels = [re.sub(r"\s+", "_", label) for label in about.classes]  # a space parts them
    if len(set(labels)) == len(labels):
        model.set_rt_info(" ".join(labels), ["model_info", "labels"])
    openvino.save_model(model, path, compress_to_fp16=about.precision == "float16")
    text = path.read_text("utf-8")
    path.write_text(re.sub(r">\s+<", "><", text), "utf-8")
