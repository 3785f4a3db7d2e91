"""What a network's description may name."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from pawprint.errors import BundleError
from pawprint.importer import layers, stock
from pawprint.model import onnx_activations, onnx_layers


def described(**dense: Any) -> dict[str, Any]:
    """A network of one dense layer, with some of its settings changed."""
    photo = {"batch_shape": [None, 64, 64, 3], "dtype": "float32", "name": "photo"}
    config = {"name": "answer", "units": 2, "activation": "softmax", **dense}
    return {
        "class_name": "Sequential",
        "module": "keras",
        "registered_name": None,
        "config": {
            "name": "net",
            "layers": [
                {"class_name": "InputLayer", "module": "keras.layers", "config": photo},
                {"class_name": "Dense", "module": "keras.layers", "config": config},
            ],
        },
    }


def with_layer(**layer: Any) -> dict[str, Any]:
    """A network with one more layer."""
    network = described()
    network["config"]["layers"].append({"config": {"name": "odd"}, **layer})
    return network


def test_what_is_stock_stays_as_it_is() -> None:
    network = described(kernel_initializer={"class_name": "Zeros", "config": {}})
    for layer in network["config"]["layers"]:
        layer["registered_name"] = None
    assert stock.cleaned(copy.deepcopy(network)).description == network


FUNCTION = {
    "class_name": "function",
    "config": "system",
    "module": "os",
    "registered_name": "system",
}


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (with_layer(class_name="Lambda", module="keras.layers"), "'odd' is a Lambda"),
        (with_layer(class_name="Popen", module="subprocess"), "'odd' is a Popen of subprocess"),
        (with_layer(class_name="Dense", module="mine.layers"), "'odd' is a Dense of mine.layers"),
        (
            with_layer(class_name="Dense", registered_name="mine>Dense"),
            "registered as 'mine>Dense'",
        ),
        (with_layer(class_name="TFSMLayer", module="keras.layers"), "'odd' is a TFSMLayer"),
        (with_layer(class_name="TFOpLambda"), "'odd' is a TFOpLambda"),
        (with_layer(class_name="Function", module="keras"), "'odd' is a Function"),
        (with_layer(class_name=["Dense"]), "which is none"),
        (with_layer(class_name="Dense", config=[1]), "no settings"),
        (described(activation=FUNCTION), "'answer' names 'os.system' as its activation"),
        (described(activation={**FUNCTION, "module": "builtins"}), "activation 'system'"),
        (described(activation="mine>act"), "activation 'mine>act'"),
        (described(kernel_initializer="os:system"), "'os:system' as its kernel_initializer"),
        (described(kernel_regularizer={"class_name": "Mine", "config": {}}), "names 'Mine'"),
        (described(anything=[{"deep": FUNCTION}]), "'answer' names 'os.system'"),
        (described(units={"class_name": "__lambda__", "config": {"value": "x"}}), "__lambda__"),
        (described(quantization_config={"class_name": "Int8"}), "is quantized"),
        (
            described(bias_initializer={"class_name": "Zeros", "config": {"seed": FUNCTION}}),
            "Zeros",
        ),
        ({"class_name": "Mine", "config": {}}, "'Mine', not a Functional or Sequential"),
        ({"class_name": "Sequential", "config": {"name": "net"}}, "no list of layers"),
        ({"class_name": "Sequential", "config": {"layers": ["Dense"]}}, "'Dense' among its layers"),
        (["Sequential"], "not a Functional"),
    ],
)
def test_what_is_not_stock_is_refused_by_name(network: Any, told: str) -> None:
    with pytest.raises(BundleError) as error:
        stock.cleaned(network)
    assert told in str(error.value)


def test_a_description_within_itself_for_ever_is_refused() -> None:
    value: Any = 0
    for _ in range(500):
        value = [value]
    with pytest.raises(BundleError, match="too deep"):
        stock.cleaned(described(units=value))


def test_what_hides_beside_the_settings_is_left_out() -> None:
    network = with_layer(class_name="Dense", compile_config={"loss": FUNCTION}, more=FUNCTION)
    assert "system" not in json.dumps(stock.cleaned(network).description)


def test_words_of_keras_2_become_those_of_today() -> None:
    depthwise = {"name": "odd", "groups": 1, "activation": "swish"}
    network = with_layer(class_name="DepthwiseConv2D", config=depthwise)
    norm = {"class_name": "BatchNormalization", "config": {"name": "norm", "axis": [3]}}
    first = {"class_name": "Conv2D", "config": {"name": "c", "batch_input_shape": [8, 64, 64, 3]}}
    network["config"]["layers"] = [first, network["config"]["layers"][-1], norm]
    found = stock.cleaned(network).description["config"]["layers"]
    assert [layer["class_name"] for layer in found][:2] == ["InputLayer", "Conv2D"]
    assert found[0]["config"]["batch_shape"] == [None, 64, 64, 3]
    assert "batch_input_shape" not in found[1]["config"]
    assert found[2]["config"] == {"name": "odd", "activation": "silu"}
    assert found[3]["config"]["axis"] == 3


def test_networks_within_one_are_called_as_keras_3_numbers_them() -> None:
    def layer(kind: str, name: str, *below: str) -> dict[str, Any]:
        config: dict[str, Any] = {"name": name, "trainable": False}
        config |= {"layers": []} if kind in ("Functional", "Sequential") else {}
        calls = [[[one, 1, 0, {}] for one in below]] * bool(below)
        return {"class_name": kind, "config": config, "name": name, "inbound_nodes": calls}

    photo = layer("InputLayer", "photo")
    photo["config"]["batch_input_shape"] = [None, 64, 64, 3]
    layers = [photo, layer("Functional", "body", "photo"), layer("Sequential", "head", "body")]
    ends = {"input_layers": [["photo", 0, 0]], "output_layers": [["head", 1, 0]]}
    config = {"name": "net", "trainable": False, "layers": [*layers, layer("ReLU", "r", "head")]}
    found = stock.cleaned({"class_name": "Model", "config": config | ends}).description
    assert found["class_name"] == "Functional"
    assert found["config"]["output_layers"] == ["head", 0, 0]
    places = [one["inbound_nodes"][0][0][1] for one in found["config"]["layers"][1:]]
    assert places == [1, 0, 0]
    # What a network says of training would hide what its layers say.
    told = ["trainable" in one["config"] for one in found["config"]["layers"]]
    assert told == [True, False, False, True]
    assert "trainable" not in found["config"]


def test_an_open_size_is_filled_in() -> None:
    network = described()
    network["config"]["layers"][0]["config"]["batch_shape"] = [None, None, None, 3]
    found = stock.cleaned(network, 96).description["config"]["layers"][0]["config"]
    assert found["batch_shape"] == [None, 96, 96, 3]


@pytest.mark.parametrize(
    ("function", "number", "scale", "offset"),
    [("math.truediv", 127.5, 1 / 127.5, 0.0), ("math.subtract", 1.0, 1.0, -1.0)],
)
def test_arithmetic_of_tensorflow_becomes_a_rescaling(
    function: str, number: float, scale: float, offset: float
) -> None:
    call = [["photo", 0, 0, {"y": number, "name": None}]]
    for calls in ([call], call):  # as functional networks have it, and as some versions wrote it
        network = with_layer(
            class_name="TFOpLambda",
            config={"name": "odd", "function": function},
            inbound_nodes=calls,
        )
        found = stock.cleaned(network).description["config"]["layers"][-1]
        assert found["class_name"] == "Rescaling"
        assert (found["config"]["scale"], found["config"]["offset"]) == (scale, offset)
        assert found["inbound_nodes"] == [[["photo", 0, 0, {}]]]


def test_other_operations_of_tensorflow_are_refused() -> None:
    network = with_layer(
        class_name="TFOpLambda",
        config={"name": "odd", "function": "io.write_file"},
        inbound_nodes=[[["photo", 0, 0, {"y": 1.0}]]],
    )
    with pytest.raises(BundleError, match=r"io\.write_file"):
        stock.cleaned(network)


def test_half_precision_is_told() -> None:
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    assert stock.cleaned(described(dtype=policy)).notes == [
        "computed in float32, where the file says mixed_float16"
    ]


def test_all_that_is_stock_can_be_translated() -> None:
    known = set(onnx_layers._LAYERS) | set(layers._LAYERS) | {"InputLayer"}
    assert not stock.LAYERS - known - stock.TRAINING_ONLY
    assert not stock.ACTIVATIONS - {"linear"} - set(onnx_activations._ACTIVATIONS)
