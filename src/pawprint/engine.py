"""The inference engine: a compiled network that many threads call at once.

OpenVINO on the CPU, one photo a call and one stream a core, which measured fastest (RESULTS.md).
It reads ONNX and knows nothing of photos, Keras or bundles. OpenVINO's model converter, which it
imports where it can, reports each import to Google Analytics, unasked; it is left out here.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pawprint.errors import PawprintError
from pawprint.parallel import cores

Precision = Literal["float32", "bfloat16"]

_FIRST_CALL = threading.Lock()

_CONVERTER = "openvino.tools.ovc"


def import_openvino() -> Any:
    """Import OpenVINO without its converter, which is also a quarter of the time that takes."""
    hide = "openvino" not in sys.modules and _CONVERTER not in sys.modules
    if hide:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if hide:
            del sys.modules[_CONVERTER]
    return openvino


def available() -> bool:
    """Whether the engine can be imported."""
    try:
        import_openvino()
    except ImportError:
        return False
    return True


def version() -> str:
    """The engine's version."""
    return str(import_openvino().__version__).partition("-")[0]


def fastest_precision() -> Precision:
    """bfloat16 where the processor computes in it, else float32."""
    offers = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bfloat16" if "BF16" in offers else "float32"


class Network:
    """An ONNX network, compiled for this machine's processor.

    Args:
        onnx: the network's bytes; one input, uint8 of shape (n, size, size, 3).
        outputs: which outputs to compute; the rest is not compiled.
        more: further ones to compute, where the network has them.
        precision: float32 for answers, bfloat16 for features.
        streams: how many photos at once, each on one thread; by default one a core.

    Attributes:
        offers: the names of all outputs that it could compute.
        names: of those that it computes, in order.
    """

    def __init__(
        self,
        onnx: bytes,
        outputs: Sequence[str],
        *,
        more: Sequence[str] = (),
        precision: Precision = "float32",
        streams: int | None = None,
    ) -> None:
        try:
            openvino = import_openvino()
        except ImportError as error:
            raise PawprintError(
                f"OpenVINO cannot be imported ({error}); install it with pip install openvino"
            ) from None
        model = openvino.Core().read_model(onnx)
        self.offers = frozenset(name for output in model.outputs for name in output.names)
        self.names = (*outputs, *(name for name in more if name in self.offers))
        wanted = [model.output(name) for name in self.names]
        model = openvino.Model(wanted, model.get_parameters(), "pawprint")
        model.reshape([1, *list(model.input(0).partial_shape)[1:]])
        self._compiled = openvino.Core().compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
                **_threads(streams or cores()),
            },
        )
        self._requests = threading.local()
        # OpenVINO's Python binding sets itself up in its first call, and two threads that make it
        # at the same time wait for each other for ever.
        with _FIRST_CALL:
            self(np.zeros(self.photo_shape(), np.uint8))

    def shape(self, output: int = 0) -> tuple[int, ...]:
        """The shape of one photo's output, without the leading 1."""
        return tuple(self._compiled.outputs[output].shape)[1:]

    def photo_shape(self) -> tuple[int, ...]:
        """The shape of the photo that it takes."""
        return tuple(self._compiled.input(0).shape)[1:]

    def __call__(self, photo: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Compute the outputs for one photo; any thread may call.

        Args:
            photo: uint8, shape (size, size, 3).

        Returns:
            An array for each output, float32, the thread's to use until its next call.
        """
        request: Any = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        results = request.infer([photo[np.newaxis]], share_inputs=True, share_outputs=True)
        return [results[index][0] for index in range(len(self._compiled.outputs))]


def _threads(streams: int) -> dict[str, Any]:
    """One thread a stream; on a part of the cores, on no cores in particular.

    Left to itself OpenVINO gives a single stream all cores, and pins streams to the first ones: so
    would every other process on the machine.
    """
    asked: dict[str, Any] = {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams}
    return asked if streams >= cores() else {**asked, "ENABLE_CPU_PINNING": False}
