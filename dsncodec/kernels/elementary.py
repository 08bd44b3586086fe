"""What fused loops over rows are made of: compilers' settings, and powers and logarithms that vectorise."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .compile import compiled

# Sums may be taken in any order, and there are no NaNs to keep
FAST = {"contract", "reassoc", "nnan", "ninf", "nsz", "arcp"}


def jit(function: Any) -> Any:
    """A kernel of the fit."""
    return compiled(function, fastmath=FAST, error_model="numpy")


def inline(function: Any) -> Any:
    """A formula that becomes part of the loop which uses it: a call would keep the loop from being vectorised."""
    return numba.njit(nogil=True, fastmath=FAST, error_model="numpy", forceinline=True)(function)


@intrinsic  # type: ignore[untyped-decorator]
def _bits_of(context: Any, x: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), code


@intrinsic  # type: ignore[untyped-decorator]
def _float_of(context: Any, x: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), code


@inline
def exp2(x: Any) -> Any:
    """2 to the power of x, float32, x from -126 to 126 (clipped); relative error below 2e-7.

    A polynomial of the part behind the point, by least squares of the relative error.
    """
    x = min(max(x, np.float32(-126)), np.float32(126))
    whole = np.int32(np.floor(x))
    f = x - np.float32(whole)
    p = np.float32(1.8775767e-3)
    p = p * f + np.float32(8.9893397e-3)
    p = p * f + np.float32(5.5826318e-2)
    p = p * f + np.float32(2.4015361e-1)
    p = p * f + np.float32(6.9315308e-1)
    p = p * f + np.float32(9.9999994e-1)
    return p * _float_of(np.int32((whole + np.int32(127)) << np.int32(23)))


@inline
def log2(x: Any) -> Any:
    """The logarithm to base 2 of a positive float32; absolute error below 1e-6 near 1."""
    bits = _bits_of(x)
    exponent = ((bits - np.int32(0x3F3504F3)) >> np.int32(23)) << np.int32(23)  # mantissa 0.707 .. 1.414
    m = _float_of(np.int32(bits - exponent))
    t = (m - np.float32(1)) / (m + np.float32(1))  # log m = 2 artanh t
    u = t * t
    series = np.float32(0.4121) * u + np.float32(0.57708)
    series = series * u + np.float32(0.9617967)
    series = series * u + np.float32(2.8853901)
    return np.float32(exponent >> np.int32(23)) + t * series
