"""JPEG XL, lossless, as a bare codestream (no boxes)."""

from __future__ import annotations

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..errors import Corrupt, SettingError

UInt8Array = NDArray[np.uint8]
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
MAX_SIDE, MAX_SYMBOLS = 2**18, 2**28  # of level 5; the library puts what is larger into boxes


def encode(symbols: UInt8Array, levels: int, effort: int) -> bytes:
    """Effort 7 of the library; from our effort 8 on also its 9, which wins at few levels."""
    if max(symbols.shape) > MAX_SIDE or symbols.size > MAX_SYMBOLS:
        raise SettingError(f"jxl holds at most {MAX_SIDE} symbols each way and {MAX_SYMBOLS} in all")
    tries = [7] if effort < 8 else [7, 9]
    coded = [
        imagecodecs.jpegxl_encode(symbols, lossless=True, effort=e, usecontainer=False, numthreads=1)
        for e in ([3] if effort < 4 else tries)
    ]
    return bytes(min(coded, key=len))


def decode(payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array:
    """The size in the codestream's own header is compared with ``shape`` first.

    An array that is there already makes the library refuse further channels and frames, undecoded.
    """
    if size_of(payload) != shape:
        raise Corrupt(f"the payload says {size_of(payload)}, the header {shape}", field="jxl")
    return np.asarray(imagecodecs.jpegxl_decode(payload, numthreads=1, out=np.empty(shape, np.uint8)))


def size_of(payload: bytes) -> tuple[int, int]:
    """(rows, columns) from the SizeHeader of a JPEG XL codestream (ISO/IEC 18181-1, D.2)."""
    if payload[:2] != b"\xff\x0a" or len(payload) < 12:
        raise Corrupt("not a bare JPEG XL codestream", field="jxl")
    bits = int.from_bytes(payload[2:12], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    small = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    rows = side()
    ratio = take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        return rows, rows * numerator // denominator
    return rows, side()
