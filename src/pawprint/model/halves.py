"""float16 as float32, by shifting bits: several times as fast as NumPy's own conversion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_INFINITE = 0x7C00  # the bits of infinity; what is not a number lies above
_SIGN_AND_MAGNITUDE = np.int32(-0x70000001)  # without the copies of the sign between them
_REBIASED = np.float32(2.0**112)  # the exponents' biases, 127 and 15, lie 112 apart


def finite(halves: NDArray[np.float16]) -> bool:
    """Whether every value is finite.

    >>> finite(np.array([1, -65504], "float16")), finite(np.array([-np.inf], "float16"))
    (True, False)

    Args:
        halves: float16, any shape.
    """
    return not halves.size or int((halves.view(np.uint16) & 0x7FFF).max()) < _INFINITE


def to_float32(halves: NDArray[np.float16]) -> NDArray[np.float32]:
    """The same values, exactly, as float32.

    >>> to_float32(np.array([0.5, -3, 6e-8], "float16"))
    array([ 5.0000000e-01, -3.0000000e+00,  5.9604645e-08], dtype=float32)

    Args:
        halves: float16, any shape, finite: others come out as large numbers.
    """
    bits = np.left_shift(halves.view(np.int16), 13, dtype=np.int32)
    np.bitwise_and(bits, _SIGN_AND_MAGNITUDE, out=bits)
    values = bits.view(np.float32)
    np.multiply(values, _REBIASED, out=values)
    return values
