"""Training the suffix in several processes: what a step takes, what exchanging gradients costs.

What recipe best fine-tunes, on made-up features, in fresh processes; of each figure the fastest
step of all rounds, as a disturbed one is only slower. One process with every thread and with one
(Keras' fit, as pawprint trains); two processes of one thread at once with half a batch each, first
without, then with an exchange of gradients in every step (TensorFlow's
MultiWorkerMirroredStrategy around Keras' own training step; `fit` itself fails under it, Keras
issue 20585); and the exchange alone, through loopback. From that it is reckoned what N machines
and a network would give: two processes on one machine share its cores, and show only what they
spend on one another.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import common

MACHINES = (2, 4, 8)
NETWORKS = {"1 Gb/s": 1e9, "10 Gb/s": 1e10}  # bits a second
PHOTOS = (16_000, 1_000_000)
CLASSES = 2
_WARM, _BATCHES = 3, 4
_PIXELS = 64  # photos whose features are timed, in each of a few passes

Times = dict[str, Any]


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of every figure (default 3)")
    parser.add_argument("--steps", type=int, default=12, help="timed in each (default 12)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)  # this script, as one of the processes
    chosen = parser.parse_args()
    if chosen.worker:
        _work(**json.loads(chosen.worker))
        return
    with common.workplace() as place:
        rounds = [_round(place, chosen.steps, number) for number in range(chosen.rounds)]
    found = {
        name: {
            # Of times the least, of differences the largest.
            key: (max if name == "check" else min)(one[name][key] for one in rounds)
            for key in rounds[0][name]
        }
        for name in rounds[0]
    }
    reckoned = _reckon(found)
    results = {"measured": found, "reckoned": reckoned, "rounds": rounds}
    common.finish("suffix_processes", _table(found, reckoned), results)


def _round(place: Path, steps: int, number: int) -> dict[str, Times]:
    """Everything once, each in processes of its own; times in seconds."""
    kept = [place / f"weights-{name}.npy" for name in ("one", "first", "second")]
    (features,) = _run([{"kind": "features"}])
    (every,) = _run([{"kind": "fit", "steps": steps, "shares": [1, *MACHINES], "keep": kept[0]}])
    (one,) = _run([{"kind": "fit", "steps": steps, "shares": [1], "threads": 1}])
    half = {"kind": "fit", "steps": steps, "shares": [2], "threads": 1}
    alone = _run([half, half])
    shared = {"kind": "exchange", "steps": steps, "threads": 1}
    pair = _run([shared | {"rank": rank, "keep": kept[1 + rank]} for rank in (0, 1)])
    norm = np.linalg.norm
    (begun, single), (_, first), (_, second) = (np.load(file) for file in kept)
    found = {
        "features": features,
        "every thread": every,
        "one thread": one,
        "side by side": _slower(alone),
        "exchanging": _slower(pair),
        "check": {
            "pair apart": float(np.abs(first - second).max()),
            "from one process": float(norm(first - single) / norm(single - begun)),
        },
    }
    common.say(
        f"round {number + 1}: a step of one process {every['1']:.3f} s, of one thread "
        f"{one['1']:.3f}; of two side by side {found['side by side']['2']:.3f}, exchanging "
        f"{found['exchanging']['step']:.3f}"
    )
    return found


def _slower(workers: list[Times]) -> Times:
    """Of two workers' times the longer: the step is done when both are."""
    return {key: max(one[key] for one in workers) for key in workers[0]}


def _run(tasks: list[dict[str, Any]]) -> list[Times]:
    """Run a worker for each task, let them begin at once when all are ready, read their figures."""
    hosts = [f"localhost:{port}" for port in _free_ports(len(tasks))]
    workers = []
    for task in tasks:
        surroundings = dict(os.environ)
        if task["kind"] == "exchange":
            own = {"type": "worker", "index": task["rank"]}
            surroundings["TF_CONFIG"] = json.dumps({"cluster": {"worker": hosts}, "task": own})
        command = [common.PYTHON, __file__, "--worker", json.dumps(task, default=str)]
        pipe = subprocess.PIPE
        workers.append(
            subprocess.Popen(command, env=surroundings, text=True, stdin=pipe, stdout=pipe)
        )
    try:
        lines = [_line(worker) for worker in workers]
        assert lines == ["ready"] * len(workers), lines
        for worker in workers:
            assert worker.stdin
            worker.stdin.write("go\n")
            worker.stdin.flush()
        return [json.loads(_line(worker)) for worker in workers]
    finally:
        for worker in workers:
            if worker.poll() is None and worker.stdin:
                worker.stdin.close()
        for worker in workers:
            try:
                worker.wait(30)
            except subprocess.TimeoutExpired:  # it waits for one that failed
                worker.kill()


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout
    line = worker.stdout.readline().strip()
    if not line:
        raise SystemExit("a worker failed; what it said stands above")
    return line


def _free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    held = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _work(kind: str, threads: int = 0, **task: Any) -> None:
    """Be a worker: get ready, wait for the word, print figures as one line."""
    from pawprint.model.framework import load_keras

    load_keras()  # first, for it imports TensorFlow quietly
    import tensorflow

    if threads:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    kinds: dict[str, Any] = {"features": _features, "fit": _fit, "exchange": _exchange}
    print(json.dumps(kinds[kind](**task)), flush=True)


def _wait_for_go() -> None:
    print("ready", flush=True)
    assert input() == "go"


def _recipe() -> tuple[Any, Any]:
    """Recipe best, and its stage that trains the suffix."""
    from pawprint.training import recipe_files

    recipe = recipe_files.load("best")
    return recipe, recipe.stage[-1]


def _backbone(recipe: Any) -> Any:
    from pawprint.model import backbones

    chosen = recipe.backbone
    return backbones.build(chosen.name, size=recipe.data.size, weights=chosen.weights)


def _suffix() -> tuple[Any, int]:
    """The model that best's stage trains, compiled, and its batch size."""
    from pawprint.model import network
    from pawprint.training.gradient import compiled_model

    recipe, stage = _recipe()
    whole = network.build(_backbone(recipe), recipe.head, CLASSES)
    return compiled_model(stage, whole, CLASSES, steps=400), stage.batch_size


def _fed(model: Any, batch: int, rows: slice) -> Any:
    """Some rows of batches of made-up features, the same ones in every process, without end."""
    from pawprint.model.framework import feed

    shape = model.input_shape[1:]
    random = np.random.default_rng(0)
    made = [
        (
            np.abs(random.standard_normal((batch, *shape), np.float32)).astype(np.float16)[rows],
            random.integers(0, 2, (batch, 1)).astype(np.float32)[rows],
            np.ones(batch, np.float32)[rows],
        )
        for _ in range(_BATCHES)
    ]

    def batches() -> Iterator[tuple[NDArray[Any], ...]]:
        while True:
            for features, truth, weights in made:
                yield features.astype(np.float32), truth, weights

    return feed(batches(), [shape, (1,), ()])


def _fit(steps: int, shares: list[int], keep: str | None = None) -> Times:
    """Keras' fit: seconds a step, for the recipe's batch and parts of it, by their share."""
    from pawprint.model.framework import load_keras

    model, batch = _suffix()
    begun = _weights(model)
    ends: list[float] = []
    ticks = load_keras().callbacks.LambdaCallback(
        on_train_batch_end=lambda number, logs: ends.append(time.perf_counter())
    )

    def run(share: int, count: int) -> float:
        ends.clear()
        fed = _fed(model, batch, slice(batch // share))
        model.fit(fed, steps_per_epoch=count, shuffle=False, callbacks=[ticks], verbose=0)
        return float(np.diff(ends).min())

    run(shares[0], _WARM)
    _wait_for_go()
    found = {}
    for share in shares:
        found[str(share)] = run(share, steps)
        if keep and share == 1:
            np.save(keep, [begun, _weights(model)])
    return found


def _exchange(rank: int, steps: int, keep: str) -> Times:
    """One of two processes that average their gradients in every step."""
    import tensorflow as tf

    how = tf.distribute.experimental.CommunicationImplementation.RING
    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        communication_options=tf.distribute.experimental.CommunicationOptions(implementation=how)
    )
    with strategy.scope():
        model, batch = _suffix()
    half, begun = batch // 2, _weights(model)
    step = tf.function(lambda rows: strategy.run(model.train_step, args=(rows,)))

    def run(count: int) -> float:
        fed = _fed(model, batch, slice(rank * half, (rank + 1) * half))
        rows = iter(strategy.distribute_datasets_from_function(lambda context: fed))
        return _fastest(lambda: step(next(rows)), count)

    run(_WARM)
    _wait_for_go()
    found = {"step": run(steps)}
    np.save(keep, [begun, _weights(model)])
    gradients = [tf.random.normal(variable.shape) for variable in model.trainable_variables]
    total = tf.distribute.ReduceOp.SUM

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow comes late
    def exchanged() -> Any:
        return strategy.run(
            lambda: tf.distribute.get_replica_context().all_reduce(total, gradients)
        )

    for _ in range(_WARM):
        exchanged()
    found["exchange"] = _fastest(exchanged, steps)
    return found | {"bytes": 4 * sum(int(np.prod(one.shape)) for one in gradients)}


def _fastest(work: Callable[[], Any], count: int) -> float:
    """The fewest seconds of something done again and again."""
    took = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


def _weights(model: Any) -> NDArray[np.float32]:
    """All weights that train, in one row."""
    return np.concatenate([np.asarray(one.numpy()).ravel() for one in model.trainable_variables])


def _features() -> Times:
    """Seconds a photo for what is below the cut, in the engine on every core, without decoding."""
    from pawprint.model.prefix import compile_prefix
    from pawprint.model.suffix import cut_below, first_trained
    from pawprint.parallel import map_chunks

    recipe, stage = _recipe()
    backbone = _backbone(recipe)
    prefix = compile_prefix(backbone, cut_below(backbone, first_trained(backbone, stage.train)))
    size = recipe.data.size
    photos = list(np.random.default_rng(0).integers(0, 256, (_PIXELS, size, size, 3), np.uint8))

    def work() -> None:
        for _ in map_chunks(lambda chunk: prefix(list(chunk)), photos, size=8):
            pass

    work()
    _wait_for_go()
    return {"photo": _fastest(work, 3) / _PIXELS}


def _reckon(found: dict[str, Times]) -> dict[str, Any]:
    """Speed-ups of N machines like this one, and how long the stage is at all."""
    recipe, stage = _recipe()
    step, moved = found["every thread"]["1"], found["exchanging"]["bytes"]
    loopback = 8 * moved / found["exchanging"]["exchange"]  # both send and get all of it, once
    networks = NETWORKS | {"loopback": loopback}
    same, each, needed = {}, {}, {}
    for machines in MACHINES:
        # In a ring every machine sends this much (and as much comes to it).
        bits = 8 * moved * 2 * (machines - 1) / machines
        part = found["every thread"][str(machines)]
        same[machines] = {name: step / (part + bits / rate) for name, rate in networks.items()}
        each[machines] = {
            name: machines * step / (step + bits / rate) for name, rate in networks.items()
        }
        spare = {"1": step - part, f"{0.8 * machines:.1f}": step / (0.8 * machines) - part}
        needed[machines] = {aim: bits / left if left > 0 else None for aim, left in spare.items()}
    held = recipe.data.validation
    stages = {}
    for photos in PHOTOS:
        trained = round(photos * (1 - held))
        seconds = stage.epochs * -(-trained // stage.batch_size) * step
        features = found["features"]["photo"] * (trained + photos * held * (1 + recipe.mirror))
        stages[photos] = {"stage": seconds, "features": features}
    return {
        "loopback bits/s": loopback,
        "same batch": same,
        "batch each": each,
        "bits/s for": needed,
        "seconds": stages,
    }


def _table(found: dict[str, Times], reckoned: dict[str, Any]) -> common.Table:
    _, stage = _recipe()
    table, batch = common.Table(""), stage.batch_size
    every, pair = found["every thread"], found["exchanging"]
    for name, seconds in (
        ("one process, every thread", every["1"]),
        ("one process, one thread", found["one thread"]["1"]),
        ("two processes side by side, half a batch each, no exchange", found["side by side"]["2"]),
        ("two processes that exchange", pair["step"]),
    ):
        table.add(name, f"{seconds * 1e3:.0f} ms a step, {batch / seconds:.0f} photos/s")
    for share in MACHINES:
        part = every[str(share)]
        table.add(f"every thread, batches of {batch // share}", f"{part * 1e3:.0f} ms a step")
    check = found["check"]
    table.add("weights of the two apart, at most", f"{check['pair apart']:.1e}", "0")
    table.add("and from one process', of how far they moved", f"{check['from one process']:.2%}")
    table.add("gradients", f"{pair['bytes'] / 1e6:.2f} MB a step")
    table.add(
        "their exchange alone, through loopback",
        f"{pair['exchange'] * 1e3:.0f} ms, {reckoned['loopback bits/s'] / 1e9:.1f} Gb/s",
    )
    _add_reckoned(table, reckoned, batch)
    return table


def _add_reckoned(table: common.Table, reckoned: dict[str, Any], batch: int) -> None:
    for machines in MACHINES:
        for what, key in (("in all", "same batch"), ("each", "batch each")):
            ups = ", ".join(f"{up:.2f} at {name}" for name, up in reckoned[key][machines].items())
            table.add(f"{machines} machines, {batch} photos {what}: reckoned speed-up", ups)
        needed = ", ".join(
            f"{rate / 1e9:.2f} Gb/s for {aim}" if rate else f"no network gives {aim}"
            for aim, rate in reckoned["bits/s for"][machines].items()
        )
        table.add(f"{machines} machines, {batch} photos in all: network for a speed-up", needed)
    for photos, times in reckoned["seconds"].items():
        minutes, share = times["stage"] / 60, times["stage"] / (times["stage"] + times["features"])
        table.add(
            f"{photos:,} photos: the stage's steps on one machine",
            f"{minutes:.1f} min; features {times['features'] / 60:.1f} min; {share:.0%} of both",
        )


if __name__ == "__main__":
    main()
