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
    """(rows, columns) from the SizeHeader of a bare codestream."""
    return read_size(Bits(payload))


class Bits:
    """What follows the signature of a bare codestream, bit by bit, from the lowest of each byte up."""

    def __init__(self, payload: bytes) -> None:
        if payload[:2] != b"\xff\x0a" or len(payload) < 12:
            raise Corrupt("not a bare JPEG XL codestream", field="jxl")
        self.payload, self.at = payload, 16

    def take(self, count: int) -> int:
        """The next bits as a number."""
        stop = self.at + count
        if stop > 8 * len(self.payload):
            raise Corrupt("the codestream ends too soon", field="jxl")
        whole = int.from_bytes(self.payload[self.at // 8 : -(-stop // 8)], "little")
        value = whole >> self.at % 8 & ((1 << count) - 1)
        self.at = stop
        return value

    def one_of(self, *widths: int) -> tuple[int, int]:
        """Two bits that choose a width, and a number of that width."""
        chosen = self.take(2)
        return chosen, self.take(widths[chosen])

    def align(self) -> None:
        """On to the next whole byte."""
        self.at = -(-self.at // 8) * 8


def read_size(bits: Bits) -> tuple[int, int]:
    """(rows, columns) of a SizeHeader (ISO/IEC 18181-1, D.2)."""
    small = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if small else bits.one_of(9, 13, 18, 30)[1] + 1

    rows = side()
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        return rows, rows * numerator // denominator
    return rows, side()
