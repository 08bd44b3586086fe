"""A binary range coder whose probabilities are counted as it goes: lists of signed integers <-> bytes.

For a few thousand numbers that look like draws from one bell: a network's quantised weights. All arithmetic is on
integers, so that every machine reads the same numbers. docs/format.md, section 7, is normative.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import Corrupt

Int32Array = NDArray[np.int32]

MAX_BITS = 15  # of a magnitude
_FULL = 0xFFFFFFFF
_TOP = 1 << 24
_EVEN = 1 << 15  # a probability of one half, in 65536ths
_LEAST = 64  # a probability stays this far from 0 and from 1
_HALVE_AT = 1024  # bits that a context remembers
_ADAPTIVE = 2  # bits of a magnitude below its highest that have contexts


class _Context:
    """How often a bit was 0 and 1 in one place."""

    __slots__ = ("ones", "seen")

    def __init__(self) -> None:
        self.ones, self.seen = 0, 0

    def probability(self) -> int:
        """Of a 1, in 65536ths: (ones + 1/2) / (seen + 1), as Krichevsky and Trofimov have it."""
        return min(max(((2 * self.ones + 1) << 15) // (self.seen + 1), _LEAST), 65536 - _LEAST)

    def count(self, bit: int) -> None:
        self.ones, self.seen = self.ones + bit, self.seen + 1
        if self.seen == _HALVE_AT:
            self.ones, self.seen = self.ones >> 1, self.seen >> 1


class _Writer:
    """Bits to bytes; ``low`` .. ``low + range`` is what is left of the interval, 32 bits at a time."""

    def __init__(self) -> None:
        self.low, self.range = 0, _FULL
        self.out = bytearray()

    def bit(self, bit: int, probability: int) -> None:
        bound = (self.range >> 16) * probability
        if bit:
            self.range = bound
        else:
            self.low += bound
            self.range -= bound
        if self.low > _FULL:
            self._carry()
        while self.range < _TOP:
            self.out.append(self.low >> 24)
            self.low, self.range = (self.low << 8) & _FULL, self.range << 8

    def _carry(self) -> None:
        self.low &= _FULL
        at = len(self.out) - 1
        while self.out[at] == 0xFF:
            self.out[at] = 0
            at -= 1
        self.out[at] += 1

    def finish(self) -> bytes:
        """The shortest bytes that name a number of the interval; zeros at the end are understood."""
        for zeros in (32, 24, 16, 8, 0):
            value = (self.low + (1 << zeros) - 1) >> zeros << zeros
            if value < self.low + self.range:
                break
        if value > _FULL:
            self.low = value
            self._carry()
            value &= _FULL
        return bytes(self.out + value.to_bytes(4, "big")).rstrip(b"\0")


class _Reader:
    """Bytes to bits. Beyond the end there are zeros."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 4
        self.range = _FULL
        self.code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def bit(self, probability: int) -> int:
        bound = (self.range >> 16) * probability
        bit = int(self.code < bound)
        if bit:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        while self.range < _TOP:
            byte = self.data[self.at] if self.at < len(self.data) else 0
            self.at += 1
            self.code, self.range = (self.code << 8 | byte) & _FULL, self.range << 8
        return bit


class _Contexts:
    """The adaptive probabilities of one list: of the number of bits, and of the two bits below the highest."""

    def __init__(self) -> None:
        self.length = [_Context() for _ in range(MAX_BITS)]
        self.lower: dict[tuple[int, int], _Context] = {}

    def below(self, length: int, prefix: int) -> _Context:
        """For a bit below the highest: by the magnitude's length and the bits above it."""
        return self.lower.setdefault((length, prefix), _Context())


def encode(lists: Iterable[Int32Array]) -> bytes:
    """Code lists of integers, each with statistics of its own.

    Args:
        lists: each of any shape, taken row by row; magnitudes below 2**15.
    """
    writer = _Writer()
    for numbers in lists:
        contexts = _Contexts()
        for number in numbers.ravel().tolist():
            _write(writer, contexts, number)
    return writer.finish()


def _write(writer: _Writer, contexts: _Contexts, number: int) -> None:
    magnitude = abs(number)
    length = magnitude.bit_length()
    assert length <= MAX_BITS
    for at in range(min(length + 1, MAX_BITS)):
        more, context = int(at < length), contexts.length[at]
        writer.bit(more, context.probability())
        context.count(more)
    prefix = 1
    for shift in range(length - 2, -1, -1):
        bit = magnitude >> shift & 1
        if prefix < 1 << _ADAPTIVE:
            context = contexts.below(length, prefix)
            writer.bit(bit, context.probability())
            context.count(bit)
        else:
            writer.bit(bit, _EVEN)
        prefix = 2 * prefix + bit
    if length:
        writer.bit(int(number < 0), _EVEN)


def decode(data: bytes, counts: Sequence[int]) -> list[Int32Array]:
    """The lists again, as (count,) each.

    Args:
        counts: how many integers each list has; memory and time are bounded by their sum.
    Raises:
        Corrupt: bytes are left over, or the last one is a zero.
    """
    reader = _Reader(data)
    found = []
    for count in counts:
        contexts = _Contexts()
        found.append(np.array([_read(reader, contexts) for _ in range(count)], np.int32))
    if reader.at < len(data) or data.endswith(b"\0"):
        raise Corrupt("bytes are left over behind the integers")
    return found


def _read(reader: _Reader, contexts: _Contexts) -> int:
    length = 0
    while length < MAX_BITS:
        context = contexts.length[length]
        more = reader.bit(context.probability())
        context.count(more)
        if not more:
            break
        length += 1
    if not length:
        return 0
    magnitude = 1
    for _ in range(length - 1):
        if magnitude < 1 << _ADAPTIVE:
            context = contexts.below(length, magnitude)
            bit = reader.bit(context.probability())
            context.count(bit)
        else:
            bit = reader.bit(_EVEN)
        magnitude = 2 * magnitude + bit
    return -magnitude if reader.bit(_EVEN) else magnitude
