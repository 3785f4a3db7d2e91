"""The engine: many threads at once, from the very first call."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pawprint import bundle
from pawprint.engine import Network
from pawprint.training.run import Run

FIRST_CALLS_AT_ONCE = """
import sys, threading
import numpy as np
from pawprint import bundle
from pawprint.engine import Network

network = Network(bundle.read(sys.argv[1])[1], ["probabilities"])
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(16)

def call():
    barrier.wait()
    network(np.zeros((64, 64, 3), np.uint8))

threads = [threading.Thread(target=call, daemon=True) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(20)
    if thread.is_alive():
        import os
        os._exit(9)
"""


@pytest.mark.parametrize("attempt", range(4))
def test_first_calls_from_many_threads_at_once_all_return(run: Run, attempt: int) -> None:
    # Two threads in OpenVINO's first call wait for each other, in about every second process.
    command = [sys.executable, "-c", FIRST_CALLS_AT_ONCE, str(run.model)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


@pytest.fixture(scope="module")
def onnx(run: Run) -> bytes:
    return bundle.read(run.model)[1]


def test_threads_get_each_their_own_answers(onnx: bytes) -> None:
    network = Network(onnx, ["embedding"])
    photos = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), np.uint8)
    alone = [network(photo)[0].copy() for photo in photos]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda photo: network(photo)[0].copy(), photos))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_outputs_come_in_the_order_asked_for(onnx: bytes) -> None:
    photo = np.full((64, 64, 3), 99, np.uint8)
    names = ["probabilities", "embedding"]
    forward, backward = Network(onnx, names), Network(onnx, names[::-1])
    probabilities, embedding = (values.copy() for values in forward(photo))
    assert probabilities.shape == forward.shape(0) == (2,)
    assert embedding.shape == forward.shape(1) == (512,)
    again = backward(photo)
    assert np.allclose(again[0], embedding, atol=1e-6)
    assert np.allclose(again[1], probabilities, atol=1e-6)


def test_the_number_of_streams_does_not_change_answers(onnx: bytes) -> None:
    photo = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    one, two = (Network(onnx, ["probabilities"], streams=n)(photo)[0].copy() for n in (1, 2))
    assert np.allclose(one, two, atol=1e-6)


def test_a_network_is_read_from_bytes_alone(onnx: bytes, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"\S"):
        Network(onnx[: len(onnx) // 2], ["probabilities"])
