"""What an exported file says of itself: all that is needed to ask it and to read its answer.

The same JSON goes into every format, under `pawprint` where the format has a place for such.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pawprint.bundle import Card
from pawprint.data.images import VERSION as DECODING_VERSION
from pawprint.data.images import Preprocessing

Precision = Literal["float32", "float16", "int8"]

INPUT, OUTPUT, NOVELTY = "image", "probabilities", "novelty"


class Stated(BaseModel):
    """What an exported file says of itself.

    Args:
        format: its own.
        precision: of its weights; with `int8`, of what it computes as well.
        classes: names, in the order of the probabilities.
        preprocessing: how a photo becomes the input.
        decoding: the version of the code that does so here.
        steps: the same in words.
        inputs: by name.
        outputs: by name.
        threshold: with two classes, the probability of the second from which it is the answer.
        unknown_above: the novelty above which a photo is of no class; None where it cannot tell.
        temperature: what logits are divided by, inside,
        mirror: and whether the mean with the photo's mirror image is given, inside.
        model: the seal of the bundle that it was made of.
        pawprint: the version that made it.
    """

    model_config = ConfigDict(frozen=True)

    format: str
    precision: Precision = "float32"
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    decoding: int = DECODING_VERSION
    steps: tuple[str, ...]
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    threshold: float
    unknown_above: float | None
    temperature: float
    mirror: bool
    model: str
    pawprint: str


def stated(card: Card, format: str, precision: Precision) -> Stated:
    """Say what will hold of an export of a bundle.

    Args:
        card: the bundle's.
        format: the export's.
        precision: of the export.
    """
    size, classes = card.preprocessing.size, len(card.classes)
    outputs: dict[str, Any] = {OUTPUT: {"dtype": "float32", "shape": ["n", classes]}}
    knows = card.unknown is not None and why_never_unknown(format, precision) is None
    if knows:
        outputs[NOVELTY] = {"dtype": "float32", "shape": ["n", 1]}
    return Stated(
        format=format,
        precision=precision,
        classes=card.classes,
        preprocessing=card.preprocessing,
        steps=steps(card.preprocessing),
        inputs={INPUT: {"dtype": "uint8", "shape": ["n", size, size, 3], "colours": "RGB"}},
        outputs=outputs,
        threshold=card.threshold,
        unknown_above=card.unknown.threshold if card.unknown and knows else None,
        temperature=card.temperature,
        mirror=card.mirror,
        model=card.seal,
        pawprint=metadata.version("pawprint"),
    )


def why_never_unknown(format: str, precision: Precision) -> str | None:
    """Why an export cannot say "unknown", in words; None where it can.

    >>> why_never_unknown("onnx", "float16")
    """
    if precision == "int8":
        return "a novelty is a small difference of large numbers, for which 8 bits are too few"
    if format == "h5":
        return "Keras' old format has layers only, and a novelty takes more"
    return None


def steps(preprocessing: Preprocessing) -> tuple[str, ...]:
    """How a photo becomes the input, in words.

    >>> steps(Preprocessing(size=128))[-1]
    'hand over the values 0 to 255 as they are: scaling is inside'
    """
    side = preprocessing.size
    fit = {
        "squash": f"resize to {side} x {side}, each side on its own",
        "crop": f"cut the longer side to the middle square, resize that to {side} x {side}",
        "pad": f"resize the longer side to {side}, fill up to {side} x {side} with grey 127",
    }[preprocessing.policy]
    return (
        f"decode; a JPEG far larger than {2 * side} x {2 * side} may be decoded at a half, a "
        "quarter or an eighth of its size, as in training",
        "turn it upright by its EXIF orientation",
        "to RGB, 8 bits; transparency on white; of an animation the first picture",
        f"{fit}; bilinear with antialiasing (Pillow's BILINEAR)",
        "hand over the values 0 to 255 as they are: scaling is inside",
    )
