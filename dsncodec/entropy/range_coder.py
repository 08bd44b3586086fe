"""A range coder for symbols whose cumulative counts are tables: (cumulative counts, symbols) <-> bytes.

It knows nothing of what the symbols are, or of who made the tables: a symbol is an interval lower .. upper of ``TOTAL``
counts. All arithmetic is on integers below 2^57, so that every machine reads the same. docs/format.md, section 9, is
normative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import Corrupt

Int64Array = NDArray[np.int64]

TOTAL_BITS = 24
TOTAL = 1 << TOTAL_BITS  # counts, of all symbols together
BITS = 56  # of the numbers that the coder carries
BYTES = BITS // 8
FULL = (1 << BITS) - 1
TOP = 1 << (BITS - 8)  # the range is never below this between two symbols


class RangeEncoder:
    """Intervals to bytes; ``low`` .. ``low + range`` is what is left of the whole."""

    def __init__(self) -> None:
        self.low, self.range = 0, FULL
        self.out = bytearray()

    def encode(self, lower: Int64Array, upper: Int64Array) -> None:
        """Code symbols, by the intervals (n,) of counts that are theirs: 0 <= lower < upper <= TOTAL."""
        low, span, out = self.low, self.range, self.out
        for first, end in zip(lower.tolist(), upper.tolist()):
            unit = span >> TOTAL_BITS
            low += unit * first
            span = unit * (end - first)
            if low > FULL:
                low &= FULL
                _carry(out)
            while span < TOP:
                out.append(low >> (BITS - 8))
                low, span = (low << 8) & FULL, span << 8
        self.low, self.range = low, span

    def finish(self) -> bytes:
        """The shortest bytes that name a number of the interval; zeros at the end are understood."""
        return bytes(finished(self.out, self.low, self.range))


def finished(out: bytearray, low: int, span: int) -> bytearray:
    """The end of ``RangeEncoder.finish``, for the bytes so far and the interval that is left."""
    for zeros in range(BITS, -1, -8):
        value = (low + (1 << zeros) - 1) >> zeros << zeros
        if value < low + span:
            break
    if value > FULL:
        _carry(out)
        value &= FULL
    return (out + value.to_bytes(BYTES, "big")).rstrip(b"\0")


def _carry(out: bytearray) -> None:
    at = len(out) - 1
    while out[at] == 0xFF:
        out[at] = 0
        at -= 1
    out[at] += 1


class RangeDecoder:
    """Bytes to symbols. Beyond the end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, BYTES
        self.range = FULL
        self.code = int.from_bytes(data[:BYTES].ljust(BYTES, b"\0"), "big")

    def decode(
        self, lower: Sequence[int], upper: Sequence[int], search: Callable[[int, int], tuple[int, int]]
    ) -> None:
        """Read as many symbols as there are guesses.

        Args:
            lower, upper: of each symbol, the interval it is likely to have.
            search: called with the place of a symbol that has another one, and a count that is in it; gives the
                interval, and keeps the symbol.
        Raises:
            Corrupt: no encoder made these bytes.
        """
        code, span, at, data, size = self.code, self.range, self.at, self.data, len(self.data)
        for place, (first, end) in enumerate(zip(lower, upper)):
            unit = span >> TOTAL_BITS
            below = unit * first
            if not below <= code < unit * end:
                count = code // unit
                if count >= TOTAL:
                    raise Corrupt("bytes that no encoder makes")
                first, end = search(place, count)
                below = unit * first
            code -= below
            span = unit * (end - first)
            while span < TOP:
                code = code << 8 | (data[at] if at < size else 0)
                at += 1
                span <<= 8
        self.code, self.range, self.at = code, span, at

    def finish(self) -> None:
        """Raises Corrupt if bytes are left over, or the last one is a zero."""
        check_end(self.data, self.at)


def check_end(data: bytes, at: int) -> None:
    """The end of ``RangeDecoder.finish``, for a decoder that has taken ``at`` bytes."""
    if at < len(data) or data.endswith(b"\0"):
        raise Corrupt("bytes are left over behind the symbols")
