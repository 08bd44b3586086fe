"""A binary range coder whose probabilities are counted as it goes: lists of signed integers <-> bytes.

For a few thousand numbers that look like draws from one bell: a network's quantised weights. All arithmetic is on
integers, so that every machine reads the same numbers. docs/format.md, section 7, is normative.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import Corrupt, SettingError

Int32Array = NDArray[np.int32]

MAX_BITS = 15  # of a magnitude
_FULL = 0xFFFFFFFF
_TOP = 1 << 24
_EVEN = 1 << 15  # a probability of one half, in 65536ths
_LEAST = 64  # a probability stays this far from 0 and from 1
_HALVE_AT = 1024  # bits that a context remembers
MOST_UNWRITTEN = 4096  # zero bytes at the end that a file leaves out
_ADAPTIVE = 2  # bits of a magnitude below its highest that have contexts
_LOWER = MAX_BITS  # where their contexts begin, behind those of the length
_CONTEXTS = _LOWER + (MAX_BITS + 1 << _ADAPTIVE)


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
    data = writer.finish()
    if len(data) + MOST_UNWRITTEN < len(writer.out):
        raise SettingError(f"integers whose last {MOST_UNWRITTEN} bytes are zeros")
    return data


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
        counts: how many integers each list has; memory and time are bounded by their sum and by the bytes.
    Raises:
        Corrupt: bytes are left over, or the last one is a zero; or the integers go on far behind the last byte.
    """
    reader = _Reader(data)
    found = [reader.integers(count) for count in counts]
    if reader.at < len(data) or data.endswith(b"\0"):
        raise Corrupt("bytes are left over behind the integers")
    return found


class _Reader:
    """Bytes to integers. Beyond the end there are zeros, as many as a writer may have left out."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data + bytes(MOST_UNWRITTEN), 4
        self.range = _FULL
        self.code = int.from_bytes(self.data[:4], "big")

    def integers(self, count: int) -> Int32Array:
        """A list. One loop without calls: there may be a million of integers, of thirty bits each."""
        data, at, span, code = self.data, self.at, self.range, self.code
        found = np.zeros(count, np.int32)
        # of each context, the ones and the bits that were seen
        ones, seen = [0] * _CONTEXTS, [0] * _CONTEXTS
        try:
            for number in range(count):
                length = magnitude = 0
                left = -1
                # steps: the length in unary, then the lower bits, then the sign
                while True:
                    if left < 0:
                        place = length
                    elif left and magnitude < 1 << _ADAPTIVE:
                        place = _LOWER + (length << _ADAPTIVE) + magnitude
                    else:
                        place = -1
                    if place < 0:
                        bound = (span >> 16) * _EVEN
                    else:
                        total, hits = seen[place], ones[place]
                        chance = ((2 * hits + 1) << 15) // (total + 1)
                        chance = _LEAST if chance < _LEAST else min(chance, 65536 - _LEAST)
                        bound = (span >> 16) * chance
                    if code < bound:
                        bit, span = 1, bound
                    else:
                        bit, code, span = 0, code - bound, span - bound
                    while span < _TOP:
                        code, span = (code << 8 | data[at]) & _FULL, span << 8
                        at += 1
                    if place >= 0:
                        total += 1
                        hits += bit
                        if total == _HALVE_AT:
                            total, hits = total >> 1, hits >> 1
                        seen[place], ones[place] = total, hits
                    if left < 0:
                        length += bit
                        if bit and length < MAX_BITS:
                            continue
                        if not length:
                            break
                        left, magnitude = length - 1, 1
                    elif left:
                        magnitude = 2 * magnitude + bit
                        left -= 1
                    else:
                        found[number] = -magnitude if bit else magnitude
                        break
        except IndexError:
            raise Corrupt("the integers go on behind the last byte") from None
        self.at, self.range, self.code = at, span, code
        return found
