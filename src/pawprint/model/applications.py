"""The networks that are known by name, and how a name carries a width.

They are those of `keras.applications`, and the starter, which pawprint brings with its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pawprint import starter
from pawprint.errors import RecipeError

Name = Literal[
    "starter",
    "MobileNetV2",
    "MobileNetV3Small",
    "MobileNetV3Large",
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "ConvNeXtTiny",
    "ResNet50V2",
    "DenseNet121",
    "NASNetMobile",
]


@dataclass(frozen=True)
class Application:
    """What cannot be asked of Keras without a download.

    Args:
        module: the module of `keras.applications` whose `preprocess_input` scales its pixels; none
            for the starter.
        file: the name under which Keras keeps its ImageNet weights without top; `{alpha}` is the
            width, `{size}` the input size.
        alphas: the widths that have ImageNet weights.
        sizes: the input sizes that have a file of their own; the last one's is for all others.
    """

    module: str
    file: str
    alphas: tuple[float, ...] = (1.0,)
    sizes: tuple[int, ...] = (224,)

    def weights_file(self, size: int, alpha: float) -> str:
        """The file's name for an input size and a width."""
        rows = size if size in self.sizes else self.sizes[-1]
        return self.file.format(alpha=float(alpha), size=rows)


# The files' names stand in the builders' calls of `get_file` in Keras 3.15; a test lets Keras ask
# for each of them and compares.
APPLICATIONS: Mapping[str, Application] = {
    starter.NAME: Application("", ""),
    "MobileNetV2": Application(
        "mobilenet_v2",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size}_no_top.h5",
        alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
        sizes=(96, 128, 160, 192, 224),
    ),
    "MobileNetV3Small": Application(
        "mobilenet_v3",
        "weights_mobilenet_v3_small_224_{alpha}_float_no_top_v2.h5",
        alphas=(0.75, 1.0),
    ),
    "MobileNetV3Large": Application(
        "mobilenet_v3",
        "weights_mobilenet_v3_large_224_{alpha}_float_no_top_v2.h5",
        alphas=(0.75, 1.0),
    ),
    "EfficientNetV2B0": Application("efficientnet_v2", "efficientnetv2-b0_notop.h5"),
    "EfficientNetV2B1": Application("efficientnet_v2", "efficientnetv2-b1_notop.h5"),
    "EfficientNetV2B2": Application("efficientnet_v2", "efficientnetv2-b2_notop.h5"),
    "EfficientNetV2B3": Application("efficientnet_v2", "efficientnetv2-b3_notop.h5"),
    "ConvNeXtTiny": Application("convnext", "convnext_tiny_notop.h5"),
    "ResNet50V2": Application(
        "resnet_v2", "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
    ),
    "DenseNet121": Application(
        "densenet", "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"
    ),
    "NASNetMobile": Application("nasnet", "nasnet_mobile_no_top.h5"),
}


def find(name: str) -> Application:
    """Look up a network by its name.

    >>> find("ResNet50V2").module
    'resnet_v2'

    Raises:
        RecipeError: there is none.
    """
    if name not in APPLICATIONS:
        raise RecipeError(
            f"there is no backbone {name!r} here; known: {', '.join(APPLICATIONS)}, and with a "
            "width such as MobileNetV2-0.35 (pawprint backbones lists all)"
        )
    return APPLICATIONS[name]


def parse(spelled: str) -> tuple[str, float]:
    """Read a network's name as it is typed, which may carry a width.

    >>> parse("MobileNetV2-0.35"), parse("ResNet50V2")
    (('MobileNetV2', 0.35), ('ResNet50V2', 1.0))

    Args:
        spelled: such as `MobileNetV2-0.35`; without a width the full one is meant.

    Returns:
        The name and the width.

    Raises:
        RecipeError: there is no such network, or it has no widths.
    """
    name, dash, width = spelled.partition("-")
    known = find(name)
    if not dash:
        return name, 1.0
    try:
        alpha = float(width)
    except ValueError:
        alpha = 0.0
    if alpha not in known.alphas:
        raise RecipeError(
            f"there is no backbone {spelled!r} here; {name} is to be had as "
            f"{', '.join(spell(name, each) for each in known.alphas)}"
        )
    return name, alpha


def spell(name: str, alpha: float) -> str:
    """Write a network's name with its width, unless that is the full one.

    >>> spell("MobileNetV2", 0.35), spell("MobileNetV2", 1.0)
    ('MobileNetV2-0.35', 'MobileNetV2')
    """
    return name if alpha == 1.0 else f"{name}-{alpha:g}"


def spelled() -> tuple[str, ...]:
    """Every network, at each width that has pretrained weights.

    >>> spelled()[:4]
    ('starter', 'MobileNetV2-0.35', 'MobileNetV2-0.5', 'MobileNetV2-0.75')
    """
    return tuple(
        spell(name, alpha) for name, known in APPLICATIONS.items() for alpha in known.alphas
    )
