"""What a Keras network's description may name: stock parts that are known here, nothing else.

A description is JSON that tells Keras which classes to look up and call. So it is read before Keras
sees it, and everything in it that is not on the lists below is refused by name. What is left is
also put into the words of the Keras of today, where older versions had others. Imports no Keras.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pawprint.errors import BundleError
from pawprint.importer.older import (
    CONTAINERS,
    OPERATIONS,
    as_keras,
    input_of,
    number_of,
    renumber,
    rescaling,
)

# What acts in training only.
TRAINING_ONLY = frozenset(
    {
        *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
        *("RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomShear"),
        *("RandomTranslation", "RandomZoom", "SpatialDropout2D", "StochasticDepth"),
    }
)
LAYERS = frozenset(
    {
        *("Activation", "Add", "Average", "AveragePooling2D", "BatchNormalization", "Concatenate"),
        *("Conv2D", "Cropping2D", "Dense", "DepthwiseConv2D", "ELU", "Flatten"),
        *("GlobalAveragePooling2D", "GlobalMaxPooling2D", "InputLayer", "LayerNormalization"),
        *("LayerScale", "LeakyReLU", "MaxPooling2D", "Maximum", "Minimum", "Multiply"),
        *("Normalization", "ReLU", "Rescaling", "Reshape", "SeparableConv2D", "Softmax"),
        *("Subtract", "ZeroPadding2D"),
        *TRAINING_ONLY,
    }
)
ACTIVATIONS = frozenset(
    {
        *("elu", "gelu", "hard_sigmoid", "hard_silu", "linear", "relu", "relu6", "sigmoid"),
        *("silu", "softmax", "softplus", "tanh"),
    }
)
_SAME_AS = {"swish": "silu", "hard_swish": "hard_silu"}
_PLAIN = frozenset(  # of names and numbers alone
    {
        *("DTypePolicy", "Policy"),
        *("Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity"),
        *("LecunNormal", "LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform"),
        *("TruncatedNormal", "VarianceScaling", "Zeros"),
        *("L1", "L1L2", "L2", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"),
    }
)
_LAYER_MODULES = frozenset(
    {
        *("keras", "keras.layers", "keras.models", "keras.src.models.functional"),
        *("keras.src.models.sequential", "keras.src.engine.functional"),
        *("keras.src.engine.sequential", "keras.src.applications.convnext"),
    }
)
_ELSEWHERE = ("keras.src.applications.convnext",)
_OPERATION_MODULES = frozenset({"keras.src.ops.numpy", "keras.ops"})
_PLAIN_MODULES = frozenset(
    {
        "keras",
        "keras.initializers",
        "keras.regularizers",
        "keras.constraints",
        "keras.dtype_policies",
    }
    | {"keras.mixed_precision", "builtins"}
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEPTH = 200
# Of a layer, what Keras is told; how the network was trained is not.
_KEYS = (
    *("module", "class_name", "config", "registered_name", "name", "build_config"),
    *("inbound_nodes", "shared_object_id"),
)


@dataclass
class Stock:
    """A description that only names what is stock.

    Args:
        description: to be given to Keras.
        notes: what was put into other words, where that matters.
    """

    description: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def cleaned(description: Any, size: int | None = None) -> Stock:
    """Check a network's description, and put it into the words of the Keras of today.

    >>> net = {"name": "net", "trainable": False, "layers": []}
    >>> cleaned({"class_name": "Sequential", "config": net, "compile_config": {}}).description
    {'class_name': 'Sequential', 'config': {'name': 'net', 'layers': []}}

    Args:
        description: what JSON gave.
        size: height and width of photos, where the network leaves them open.

    Returns:
        The same network.

    Raises:
        BundleError: it is no description, or names what is not stock; with the layer's name.
    """
    if not isinstance(description, dict) or description.get("class_name") not in CONTAINERS:
        what = description.get("class_name") if isinstance(description, dict) else description
        raise BundleError(
            f"it describes {_shown(what)}, not a Functional or Sequential network; a network of a "
            "class of one's own cannot be imported: build it of stock layers and save it again"
        )
    cleaner = _Cleaner(size)
    found = cleaner.layer(description, 0)
    return Stock(found, list(dict.fromkeys(cleaner.notes)))


class _Cleaner:
    def __init__(self, size: int | None) -> None:
        self._size = size
        self.notes: list[str] = []

    def layer(self, node: dict[str, Any], depth: int) -> dict[str, Any]:
        """A network, layer or operation."""
        kind, config = node.get("class_name"), node.get("config")
        config = {} if config is None else config
        if not isinstance(config, dict):
            raise BundleError(f"{_shown(kind)} has settings that are no settings")
        name = config.get("name", node.get("name"))
        self._expect_stock(node, kind, name)
        given = {key: node[key] for key in _KEYS if key in node}
        config = dict(config)
        if "module" in given:
            given["module"], given["registered_name"] = _home(kind, given["module"])
        if (found := rescaling(given, kind, config, name)) is not None:
            given, config = found, found["config"]
        elif kind in CONTAINERS:
            config["layers"] = self._layers(config, kind, name, depth)
            given["class_name"] = "Functional" if kind == "Model" else kind
            renumber(config)
            # Each layer says for itself whether it trains; where a network says so as well, Keras 3
            # would read HDF5's weights in another order than Keras 2 wrote them in.
            config.pop("trainable", None)
            for ends in ("input_layers", "output_layers"):
                # Keras 3 takes a list of one for a network that is called with a list.
                if isinstance(config.get(ends), list) and len(config[ends]) == 1:
                    config[ends] = config[ends][0]
        else:
            self._settings(kind, config, name)
        given["config"] = {
            key: value if key == "layers" else self._value(value, key, name, depth + 1)
            for key, value in config.items()
        }
        for key in ("inbound_nodes", "build_config"):
            if key in given:
                given[key] = self._value(given[key], key, name, depth + 1)
        return given

    def _expect_stock(self, node: dict[str, Any], kind: Any, name: Any) -> None:
        module, registered = as_keras(node.get("module")), node.get("registered_name")
        told = f"layer {_shown(name)} is a {_shown(kind, quote=False)}"
        if not isinstance(kind, str):
            raise BundleError(f"{told}, which is none")
        if kind in ("Lambda", "__lambda__"):
            raise BundleError(
                f"{told}, which carries Python code; that is not run. Build the network without it "
                "and save it again"
            )
        number = number_of(node) is not None
        if kind == "TFOpLambda" and number:
            return  # nothing of it is kept
        if kind in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"):
            raise BundleError(
                f"{told}, an operation of TensorFlow inside the network, which is not taken over; "
                "leave it out and state what it does with --scaling, or use a stock layer"
            )
        # Of Keras 3's own HDF5, which tells no modules, those with a number.
        of_operations = module in _OPERATION_MODULES or (module is None and number)
        operation = of_operations and kind in OPERATIONS
        stock = module is None or module in _LAYER_MODULES
        if not operation and not (stock and (kind in LAYERS or kind in CONTAINERS)):
            where = f" of {_shown(module, quote=False)}" if module and not stock else ""
            raise BundleError(
                f"{told}{where}, which is no stock layer that can be taken over; those that can: "
                f"{', '.join(sorted(LAYERS))}"
            )
        if registered not in (None, kind):
            raise BundleError(
                f"{told}, registered as {_shown(registered)}: a class of one's own, which is not "
                "run. Build the network of stock layers and save it again"
            )

    def _layers(
        self, config: dict[str, Any], kind: str, name: Any, depth: int
    ) -> list[dict[str, Any]]:
        given = config.get("layers")
        if depth > _DEPTH or not isinstance(given, list):
            raise BundleError(f"network {_shown(name)} has no list of layers")
        layers: list[dict[str, Any]] = []
        if kind == "Sequential" and given and isinstance(given[0], dict):
            given = [*input_of(given[0]), *given]
        for layer in given:
            if not isinstance(layer, dict):
                raise BundleError(f"network {_shown(name)} has {_shown(layer)} among its layers")
            layers.append(self.layer(layer, depth + 1))
        return layers

    def _settings(self, kind: Any, config: dict[str, Any], name: Any) -> None:
        """Put a layer's settings into today's words, in place."""
        if kind == "InputLayer":
            shape = config.pop("batch_input_shape", None) or config.get("batch_shape")
            if not isinstance(shape, list) or not shape:
                raise BundleError(f"input {_shown(name)} does not say its shape")
            config["batch_shape"] = [None, *self._sized(shape[1:])]
        else:
            config.pop("batch_input_shape", None)
        if kind in TRAINING_ONLY:
            config.pop("rng_type", None)
        if kind == "DepthwiseConv2D" and config.pop("groups", 1) != 1:
            raise BundleError(f"layer {_shown(name)} has groups, which a DepthwiseConv2D has not")
        if kind == "BatchNormalization" and isinstance(config.get("axis"), list):
            config["axis"] = (config["axis"] or [-1])[0]
        if config.get("quantization_config") or config.get("quantization_mode"):
            raise BundleError(f"layer {_shown(name)} is quantized; save it as float32")
        config.pop("quantization_config", None)
        if "dtype" in config:
            self._note_precision(config["dtype"])
            config["dtype"] = "float32"

    def _sized(self, shape: list[Any]) -> list[Any]:
        """A photo's shape, with the stated size where it is open."""
        if len(shape) == 3 and shape[2] == 3 and self._size is not None:
            return [self._size if side is None else side for side in shape[:2]] + [3]
        return shape

    def _note_precision(self, dtype: Any) -> None:
        if isinstance(dtype, dict):
            dtype = dtype.get("config")
            dtype = dtype.get("name") if isinstance(dtype, dict) else dtype
        if dtype not in ("float32", "uint8", None):
            self.notes.append(f"computed in float32, where the file says {_shown(dtype, False)}")

    def _value(self, value: Any, key: str, name: Any, depth: int) -> Any:
        """Anything within the settings of a layer."""
        if depth > _DEPTH:
            raise BundleError(f"layer {_shown(name)} has settings too deep to be read")
        if isinstance(value, list):
            return [self._value(one, "", name, depth + 1) for one in value]
        if isinstance(value, dict):
            if "class_name" not in value:
                return {k: self._value(v, k, name, depth + 1) for k, v in value.items()}
            return self._object(value, key, name, depth)
        if isinstance(value, str):
            return self._word(value, key, name)
        return value

    def _word(self, value: str, key: str, name: Any) -> str:
        if key.endswith("activation"):
            value = _SAME_AS.get(value, value)
            if value not in ACTIVATIONS:
                raise BundleError(
                    f"layer {_shown(name)} has the activation {_shown(value)}, which is none that "
                    f"can be taken over; those that can: {', '.join(sorted(ACTIVATIONS))}"
                )
        names = key.endswith(("_initializer", "_regularizer", "_constraint"))
        if names and not _NAME.fullmatch(value):
            raise BundleError(f"layer {_shown(name)} has {_shown(value)} as its {key}")
        return value

    def _object(self, value: dict[str, Any], key: str, name: Any, depth: int) -> Any:
        kind, module = value["class_name"], as_keras(value.get("module"))
        config = value.get("config")
        if kind == "__keras_tensor__":
            return {"class_name": kind, "config": self._value(config, "", name, depth + 1)}
        if key.endswith("activation"):
            builtin = kind == "function" and module == "builtins" and isinstance(config, str)
            if builtin and value.get("registered_name") in (None, "function", config):
                return self._word(str(config), key, name)
            if kind in LAYERS:
                raise BundleError(
                    f"layer {_shown(name)} has a {kind} as its activation; put it into the network "
                    "as a layer of its own and save it again"
                )
        plain = isinstance(config, dict | type(None)) and not _has_objects(config)
        known = kind in _PLAIN and (module is None or module in _PLAIN_MODULES)
        if not (plain and known and value.get("registered_name") in (None, kind)):
            where = f"{module}." if isinstance(module, str) else ""
            kind = config if kind == "function" else kind
            raise BundleError(
                f"layer {_shown(name)} names {_shown(f'{where}{kind}')}"
                f"{f' as its {key}' if key else ''}, which is nothing stock; build the network of "
                "stock layers and save it again"
            )
        return {**value, "module": module} if "module" in value else value


def _home(kind: Any, module: Any) -> tuple[Any, str | None]:
    """The module that the Keras of today looks in for what is stock, and the name there."""
    if kind in ("Functional", "Model"):
        return "keras.src.models.functional", "Functional"
    if kind == "Sequential":
        return "keras", None
    if module in _OPERATION_MODULES:
        return module, str(kind)
    return (module, None) if module in _ELSEWHERE else ("keras.layers", None)


def _has_objects(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_has_objects, value))
    return isinstance(value, dict) and (
        "class_name" in value or any(map(_has_objects, value.values()))
    )


def _shown(value: Any, quote: bool = True) -> str:
    """Something out of the file, as it can stand in a message."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "?" for c in text)[:80]
    return repr(text) if quote and isinstance(value, str) else text
