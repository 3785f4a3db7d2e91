"""The Open Inference Protocol, version 2: one input of pixels, as JSON or as binary tensors.

https://github.com/kserve/open-inference-protocol, with the binary extension that Triton's clients
use: raw little-endian bytes behind the JSON, whose length a header gives.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawprint.bundle import Card
from pawprint.export.stated import INPUT, NOVELTY, OUTPUT
from pawprint.serve.refusals import Refusal

VERSION = "1"
JSON_LENGTH = "Inference-Header-Content-Length"
MAX_JSON = 4 * 2**20  # bytes: longer lists of numbers hold the event loop up

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Asked:
    """What an inference request asks.

    Args:
        pixels: uint8, shape (n, size, size, 3).
        outputs: names, in the order of the answer, and whether each is wanted as bytes.
        id: to be repeated in the answer, or None.
    """

    pixels: Pixels
    outputs: dict[str, bool]
    id: str | None


def metadata(name: str, card: Card) -> dict[str, Any]:
    """What a model takes and gives."""
    size = card.preprocessing.size
    outputs = [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(card.classes)]}]
    if card.unknown is not None:
        outputs.append({"name": NOVELTY, "datatype": "FP32", "shape": [-1, 1]})
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "pawprint",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, size, size, 3]}],
        "outputs": outputs,
    }


def parse(body: bytes, json_length: str | None, card: Card, most: int) -> Asked:
    """Read an inference request.

    Args:
        body: of the request.
        json_length: the header that says how much of it is JSON; None where all is.
        card: the model's.
        most: photos in a request.

    Raises:
        Refusal: it is not such a request, or not for this model's input.
    """
    length = len(body)
    if json_length is not None:
        if not (json_length.isascii() and json_length.isdecimal() and len(json_length) < 19):
            raise _bad(f"the header {JSON_LENGTH} is no number of bytes")
        length = min(int(json_length), length)
    if length > MAX_JSON:
        raise Refusal(
            "body_too_large",
            f"the JSON has more than {MAX_JSON:,} bytes; send pixels as a binary tensor, or fewer",
        )
    try:
        said = json.loads(body[:length])
    except (ValueError, RecursionError):
        raise _bad("the body is not JSON, or not as much of it as its header says") from None
    if not isinstance(said, dict):
        raise _bad("the body is no JSON object")
    id = said.get("id")
    if id is not None and not isinstance(id, str):
        raise _bad("the id is no text")
    pixels = _pixels(said.get("inputs"), body[length:], card.preprocessing.size, most)
    return Asked(pixels, _outputs(said, card), id)


def _pixels(inputs: Any, binary: bytes, size: int, most: int) -> Pixels:
    expected = f'expected one input "{INPUT}", UINT8, shape [n, {size}, {size}, 3]'
    if not (isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict)):
        raise _bad(expected)
    given = inputs[0]
    shape: Any = given.get("shape")
    if (given.get("name"), given.get("datatype")) != (INPUT, "UINT8") or not _is_shape(shape):
        raise _bad(expected)
    photos, *rest = shape
    if rest != [size, size, 3] or photos < 1:
        raise _bad(expected)
    if photos > most:
        raise Refusal("too_many_files", f"the input has more than {most} photos; send fewer")
    if "data" in given:
        values = _listed(given["data"])
    else:
        values = np.frombuffer(binary, np.uint8)
        stated = _parameters(given).get("binary_data_size")
        if stated is not None and stated != len(binary):
            raise _bad(f"the input says another number of bytes than came: {len(binary):,}")
    if values.size != math.prod(shape):
        raise _bad(f"{values.size:,} values came, and the shape needs {math.prod(shape):,}")
    return values.reshape(shape)


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) == 4
        and all(type(n) is int and 0 <= n < 2**31 for n in shape)
    )


def _listed(data: Any) -> Pixels:
    """Numbers in lists, flat or nested."""
    while isinstance(data, list) and set(map(type, data)) == {list}:
        data = list(itertools.chain.from_iterable(data))
    if not isinstance(data, list) or not set(map(type, data)) <= {int}:
        raise _bad("the data are no list of whole numbers")
    try:
        return np.frombuffer(bytes(data), np.uint8)
    except ValueError:
        raise _bad("the data are not whole numbers from 0 to 255") from None


def _outputs(said: dict[str, Any], card: Card) -> dict[str, bool]:
    """Names of outputs, and whether each is wanted as bytes."""
    there = [OUTPUT, *([NOVELTY] if card.unknown else [])]
    every = _parameters(said).get("binary_data_output") is True
    asked = said.get("outputs")
    if asked is None:
        return dict.fromkeys(there, every)
    if not (isinstance(asked, list) and all(isinstance(one, dict) for one in asked)):
        raise _bad("the outputs are no list of objects")
    if any(one.get("name") not in there for one in asked):
        raise _bad(f"one of the outputs is not there; expected of {', '.join(there)}")
    return {
        one["name"]: _parameters(one).get("binary_data", every) is True for one in asked
    } or dict.fromkeys(there, every)


def _parameters(of: dict[str, Any]) -> dict[str, Any]:
    found = of.get("parameters", {})
    if not isinstance(found, dict):
        raise _bad("the parameters are no object")
    return found


def answer(
    name: str, asked: Asked, tensors: dict[str, NDArray[np.float32]]
) -> tuple[dict[str, Any], bytes]:
    """Make the answer to an inference request.

    Args:
        name: of the model.
        asked: the request.
        tensors: by output.

    Returns:
        The JSON, and the bytes that go behind it.
    """
    outputs: list[dict[str, Any]] = []
    binary = b""
    for output, as_bytes in asked.outputs.items():
        values = tensors[output]
        told: dict[str, Any] = {"name": output, "datatype": "FP32", "shape": list(values.shape)}
        if as_bytes:
            data = values.astype("<f4").tobytes()
            told["parameters"] = {"binary_data_size": len(data)}
            binary += data
        else:
            told["data"] = [float(value) for value in values.reshape(-1)]
        outputs.append(told)
    said = {"model_name": name, "model_version": VERSION, "outputs": outputs}
    return ({"id": asked.id, **said} if asked.id is not None else said), binary


def _bad(message: str) -> Refusal:
    return Refusal("bad_tensor", message)
