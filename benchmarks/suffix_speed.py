"""A training step on the layers above a cut: ours against plain Keras', and the engine's forward.

For each cut of MobileNetV2: Keras' own layers with batch normalisation at rest, the same with it
folded into the convolutions (what pawprint trains), in turns on the same made-up features, AdamW
and 64 photos a step; and the same layers forward in the inference engine, one photo a call on
every core. The aim is a step of three times that forward.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import common

CUTS = ("block_5_add", "block_9_add", "block_12_add", "block_15_add")
BATCH = 64


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="steps of each in turns")
    parser.add_argument("--size", type=int, default=224, help="pixels (default 224)")
    parser.add_argument("--cut", action="append", help="one cut; may be repeated")
    chosen = parser.parse_args()
    table = common.Table("aim")
    results: dict[str, Any] = {"size": chosen.size, "batch": BATCH, "cuts": {}}
    with common.workplace():
        for cut in chosen.cut or CUTS:
            found = _measure(cut, chosen.size, chosen.rounds)
            results["cuts"][cut] = found
            _add(table, cut, found)
    common.finish("suffix_speed", table, results)


def _measure(cut: str, size: int, rounds: int) -> dict[str, float]:
    from pawprint.model import backbones, network
    from pawprint.model.framework import load_keras
    from pawprint.model.head_layers import AveragePool
    from pawprint.model.suffix import suffix_model

    keras = load_keras()
    backbone = backbones.build(size=size)
    whole = network.build(backbone, [AveragePool()], 2)
    shape = backbone.output(cut).shape[1:]
    features = keras.Input(shape)
    # Its batch normalisation is in inference mode, as `base(x, training=False)` has it.
    plain = keras.Model(
        features, whole.top(whole.head[0](suffix_model(backbone, cut)(features, training=False)))
    )
    ours = network.upper_model(whole, cut)
    random = np.random.default_rng(0)
    photos = np.abs(random.standard_normal((BATCH, *shape), np.float32))
    truth = random.integers(0, 2, (BATCH, 1)).astype(np.float32)
    for model in (plain, ours):
        model.compile(keras.optimizers.AdamW(1e-5), "binary_crossentropy")
    forward = _forward(backbone, cut, photos[0])
    sides: dict[str, Callable[[], Any]] = {
        "keras": lambda: plain.train_on_batch(photos, truth),
        "ours": lambda: ours.train_on_batch(photos, truth),
        "forward": forward,
    }
    took: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 2):
        for name, work in sides.items():
            start = time.perf_counter()
            work()
            if number >= 2:  # the first trace and warm up
                took[name].append((time.perf_counter() - start) / BATCH * 1e3)
    common.say(f"{cut}: " + ", ".join(f"{n} {statistics.median(t):.2f}" for n, t in took.items()))
    return {name: statistics.median(times) for name, times in took.items()}


def _forward(backbone: Any, cut: str, photo: Any) -> Callable[[], None]:
    """The layers above a cut, compiled, over a batch of photos on every core."""
    import openvino
    from onnx import TensorProto, helper

    from pawprint.model.layer_graph import steps_up_to
    from pawprint.model.onnx_graph import Graph
    from pawprint.parallel import cores

    graph = Graph(f"above {cut}")
    height, width, channels = photo.shape
    given = helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, height, width, channels])
    graph._inputs.append(given)
    names = {id(backbone.output(cut)): graph.add("Transpose", ["maps"], "first", perm=[0, 3, 1, 2])}
    below = {step.name for step in steps_up_to(backbone.steps, cut)}
    for step in backbone.steps:
        if step.name not in below:
            inputs = [names[id(tensor)] for tensor in step.tensors]
            names[id(step.output)] = graph.layer(step.operation, *inputs)
    pool = graph.add("GlobalAveragePool", [names[id(backbone.output(backbone.last))]], "pooled")
    graph.output(pool, [1, int(backbone.output(backbone.last).shape[-1]), 1, 1])
    core = openvino.Core()
    hints = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": cores()}
    compiled = core.compile_model(core.read_model(graph.to_bytes()), "CPU", hints)
    compiled([photo[np.newaxis]])  # the binding's first call, by one thread alone

    def work(count: int) -> None:
        request = compiled.create_infer_request()
        for _ in range(count):
            request.infer([photo[np.newaxis]])

    def batch() -> None:
        threads = [threading.Thread(target=work, args=(BATCH // cores(),)) for _ in range(cores())]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return batch


def _add(table: common.Table, cut: str, found: dict[str, float]) -> None:
    ratio = found["ours"] / found["forward"]
    table.add(f"{cut}, Keras' own layers, a step", f"{found['keras']:.2f} ms a photo")
    table.add(f"{cut}, folded, a step", f"{found['ours']:.2f} ms a photo")
    table.add(f"{cut}, Keras / folded", f"{found['keras'] / found['ours']:.2f} x")
    table.add(f"{cut}, forward in the engine", f"{found['forward']:.2f} ms a photo")
    table.add(f"{cut}, step / forward", f"{ratio:.2f}", "3", ratio <= 3)


if __name__ == "__main__":
    main()
