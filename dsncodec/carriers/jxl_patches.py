"""The patches of a JPEG XL frame, read before a library is asked to show them.

A frame may repeat pieces of the frame before it, and its dictionary of them costs next to no bytes: 19 can ask for each of
thousands of copies of the whole picture. So the dictionary is read here, by the entropy coder of the standard, as far as it is
short; what it asks for is compared with the picture.

Source: ISO/IEC 18181-1, annexes C (entropy coding) and K.3.1 (patches).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ..errors import Corrupt

MAX_AREA = 8  # of all patches together, in pictures
ROW_COST, PATCH_COST = 16, 64  # pixels that each row of a patch counts for, and each patch, beside its own
MIN_ROOM = 2**12  # pixels of patches that a picture of any size may have

_CONTEXTS = 10
_NUMBER, _FRAME, _SIZE, _SOURCE, _PLACE, _MODE, _OFFSET, _COUNT, _, _CLAMP = range(_CONTEXTS)
_MULTIPLY, _WITH_ALPHA = 3, 4  # kinds of blending; from the second on they need an alpha channel
_STATE_BITS, _PREFIX_BITS = 12, 15
_FINAL_STATE = 0x13 << 16
_CODE_ORDER = (1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15)
# Two fixed codes, (how many bits, what they are): of the lengths of code lengths, and of the logarithms of counts
_LENGTH_CODE = {(2, 0): 0, (2, 1): 4, (2, 2): 3, (3, 3): 2, (4, 7): 1, (4, 15): 5}
_LOG_CODE = {
    **{(3, 0): 10, (3, 2): 7, (3, 4): 6, (3, 5): 8, (3, 6): 9},
    **{(4, 3): 3, (4, 7): 5, (4, 9): 4, (4, 11): 1, (4, 15): 2},
    **{(5, 17): 0, (6, 33): 11, (7, 1): 12, (7, 65): 13},
}
_REPEAT = _STATE_BITS + 1
_MOST_SYMBOLS = 2**10  # of a prefix code, by runs that cost nothing; libjxl has some 300


class Bits(Protocol):
    """Numbers of so many bits, from the lowest of each byte up."""

    def take(self, count: int) -> int: ...


def check(bits: Bits, rows: int, columns: int, alpha: bool = False) -> None:
    """Read a dictionary, with which a frame of this size begins, of colours alone or with ``alpha``.

    Raises:
        Corrupt: it asks for more work than the picture is, or cannot be read.
    """
    numbers = Numbers(bits, _CONTEXTS)
    left = MAX_AREA * rows * columns + MIN_ROOM
    for _ in range(numbers.next(_NUMBER)):
        numbers.next(_FRAME)
        for _ in range(2):
            numbers.next(_SOURCE)
        width, height = numbers.next(_SIZE) + 1, numbers.next(_SIZE) + 1
        count = numbers.next(_COUNT) + 1
        left -= count * ((width + ROW_COST) * height + PATCH_COST)
        if left < 0:
            raise Corrupt("patches of more pixels than the picture has", field="jxl")
        for at in range(count):
            for _ in range(2):
                numbers.next(_OFFSET if at else _PLACE)
            for _ in range(1 + alpha):
                mode = numbers.next(_MODE)
                if mode >= _WITH_ALPHA:
                    raise Corrupt("patches that are blended by alpha", field="jxl")
                if mode == _MULTIPLY:
                    numbers.next(_CLAMP)
    numbers.finish()


@dataclass(frozen=True)
class _Config:
    """How a token and some bits make a number."""

    split: int
    high: int
    low: int

    def value(self, token: int, bits: Bits) -> int:
        if token < 1 << self.split:
            return token
        known = self.high + self.low
        count = self.split - known + (token - (1 << self.split) >> known)
        if count > 31:
            raise _broken()
        rest = token & ((1 << self.low) - 1)
        head = 1 << self.high | token >> self.low & ((1 << self.high) - 1)
        return (head << count | bits.take(count)) << self.low | rest


class _Prefix:
    """A code of whole bits; of one symbol it has none."""

    def __init__(self, lengths: Mapping[int, int]) -> None:
        """Of the lengths of symbols that have one."""
        used = sorted((length, symbol) for symbol, length in lengths.items())
        self.only = used[0][1] if len(used) == 1 else 0 if not used else None
        self.codes: dict[tuple[int, int], int] = {}
        code = before = 0
        for length, symbol in used:
            code <<= length - before
            self.codes[length, code] = symbol
            code, before = code + 1, length

    def next(self, bits: Bits) -> int:
        if self.only is not None:
            return self.only
        code = 0
        for length in range(1, _PREFIX_BITS + 1):
            code = code << 1 | bits.take(1)
            if (length, code) in self.codes:
                return self.codes[length, code]
        raise _broken()


class _Alias:
    """The table of a range code: by the low 12 bits of the state, a symbol, its count, and what is added."""

    def __init__(self, counts: list[int], log_alphabet: int) -> None:
        total, size = 1 << _STATE_BITS, 1 << log_alphabet
        step = total >> log_alphabet
        counts = counts + [0] * (size - len(counts))
        if len(counts) > size:
            raise _broken()
        self.step, self.counts = step, counts
        if total in counts:
            self.right, self.added, self.cuts = (
                [counts.index(total)] * size,
                [step * at for at in range(size)],
                [0] * size,
            )
            return
        self.right, self.added, cuts = list(range(size)), [0] * size, list(counts)
        under = [at for at in range(size) if cuts[at] < step]
        over = [at for at in range(size) if cuts[at] > step]
        while over:
            full, empty = over.pop(), under.pop()
            cuts[full] -= step - cuts[empty]
            self.right[empty], self.added[empty] = full, cuts[full]
            if cuts[full] != step:
                (under if cuts[full] < step else over).append(full)
        self.cuts = [0 if cut == step else cut for cut in cuts]
        for at in range(size):
            if cuts[at] != step:
                self.added[at] -= cuts[at]

    def look(self, value: int) -> tuple[int, int, int]:
        """(symbol, its count, offset)."""
        at, place = divmod(value, self.step)
        symbol, offset = (at, 0) if place < self.cuts[at] else (self.right[at], self.added[at])
        return symbol, self.counts[symbol], offset + place


class Numbers:
    """Entropy-coded numbers, each in one of some contexts."""

    def __init__(self, bits: Bits, contexts: int, nested: bool = False) -> None:
        self.bits = bits
        self.copies: tuple[int, int, _Config] | None = None
        if bits.take(1):
            if nested and contexts <= 2:
                raise _broken()
            first = (224, 512, 4096, None)[bits.take(2)]
            first = 8 + bits.take(15) if first is None else first
            chosen = bits.take(2)
            least = (3, 4)[chosen] if chosen < 2 else (5 + bits.take(2) if chosen == 2 else 9 + bits.take(8))
            self.copies = first, least, _config(bits, 8)
            contexts += 1
        self.map = _context_map(bits, contexts) if contexts > 1 else [0]
        kinds = max(self.map) + 1
        if bits.take(1):
            configs = [_config(bits, _PREFIX_BITS) for _ in range(kinds)]
            sizes = [_var16(bits) + 1 for _ in range(kinds)]
            self.codes: list[_Prefix] | list[_Alias] = [_prefix(bits, size) for size in sizes]
        else:
            log_alphabet = 5 + bits.take(2)
            configs = [_config(bits, log_alphabet) for _ in range(kinds)]
            self.codes = [_Alias(_counts(bits), log_alphabet) for _ in range(kinds)]
        self.configs = configs
        self.state: int | None = None  # of a range coder, which begins with the first number
        self.seen: list[int] = []
        self.left = self.distance = 0

    def _token(self, kind: int) -> int:
        code = self.codes[kind]
        if isinstance(code, _Prefix):
            return code.next(self.bits)
        if self.state is None:
            self.state = self.bits.take(32)
        symbol, count, offset = code.look(self.state & 4095)
        self.state = count * (self.state >> _STATE_BITS) + offset
        if self.state < 1 << 16:
            self.state = self.state << 16 | self.bits.take(16)
        return symbol

    def next(self, context: int) -> int:
        """The next number."""
        if not self.left:
            kind = self.map[context]
            token = self._token(kind)
            if self.copies is None:
                return self.configs[kind].value(token, self.bits)
            first, least, lengths = self.copies
            if token < first:
                self.seen.append(self.configs[kind].value(token, self.bits))
                return self.seen[-1]
            self.left = least + lengths.value(token - first, self.bits)
            kind = self.map[-1]
            self.distance = 1 + self.configs[kind].value(self._token(kind), self.bits)
            self.distance = min(self.distance, len(self.seen))
        self.left -= 1
        self.seen.append(self.seen[-self.distance] if self.distance else 0)
        return self.seen[-1]

    def finish(self) -> None:
        """Raises Corrupt unless a range coder ends where one begins."""
        if self.state not in (None, _FINAL_STATE):
            raise _broken()


def _broken() -> Corrupt:
    return Corrupt("numbers that cannot be read", field="jxl")


def _config(bits: Bits, log_alphabet: int) -> _Config:
    split = bits.take(log_alphabet.bit_length())
    high = low = 0
    if split != log_alphabet:
        high = bits.take(split.bit_length())
        if high <= split:
            low = bits.take((split - high).bit_length())
    if high + low > split or split > log_alphabet:
        raise _broken()
    return _Config(split, high, low)


def _context_map(bits: Bits, contexts: int) -> list[int]:
    if bits.take(1):
        width = bits.take(2)
        return [bits.take(width) for _ in range(contexts)]
    moved = bits.take(1)
    numbers = Numbers(bits, 1, nested=contexts <= 2)
    found = [numbers.next(0) for _ in range(contexts)]
    numbers.finish()
    if max(found) > 255:
        raise _broken()
    if moved:
        front = list(range(256))
        for at, place in enumerate(found):
            found[at] = front[place]
            front.insert(0, front.pop(place))
    return found


def _var8(bits: Bits) -> int:
    return _var(bits, 3)


def _var16(bits: Bits) -> int:
    return _var(bits, 4)


def _var(bits: Bits, width: int) -> int:
    if not bits.take(1):
        return 0
    count = bits.take(width)
    return 1 << count | bits.take(count)


def _prefix(bits: Bits, size: int) -> _Prefix:
    """A code over an alphabet, as Brotli has it."""
    if size == 1:
        return _Prefix({})
    kind = bits.take(2)
    if kind == 1:
        return _simple_prefix(bits, size)
    lengths_of: dict[int, int] = {}
    space = 32
    for at in _CODE_ORDER[kind:]:
        if space <= 0:
            break
        if length := _coded(bits, _LENGTH_CODE):
            lengths_of[at] = length
            space -= 32 >> length
    if len(lengths_of) != 1 and space:
        raise _broken()
    return _Prefix(_lengths(bits, _Prefix(lengths_of), size))


def _coded(bits: Bits, code: dict[tuple[int, int], int]) -> int:
    """The next value of a fixed code."""
    found = count = 0
    while (count, found) not in code:
        found |= bits.take(1) << count
        count += 1
    return code[count, found]


def _simple_prefix(bits: Bits, size: int) -> _Prefix:
    width = (size - 1).bit_length()
    symbols = [bits.take(width) for _ in range(bits.take(2) + 1)]
    if max(symbols) >= size or len(set(symbols)) != len(symbols):
        raise _broken()
    shape = {1: (1,), 2: (1, 1), 3: (1, 2, 2), 4: (2, 2, 2, 2)}[len(symbols)]
    if len(symbols) == 4 and bits.take(1):
        shape = (1, 2, 3, 3)
    return _Prefix(dict(zip(symbols, shape)))


def _lengths(bits: Bits, code: _Prefix, size: int) -> dict[int, int]:
    """The lengths of a code, run by run."""
    found: dict[int, int] = {}
    space, at, last, repeated, times = 1 << _PREFIX_BITS, 0, 8, 0, 0
    while at < size and space > 0:
        length = code.next(bits)
        if length < 16:
            times = 0
            if length:
                found[at] = length
                last, space = length, space - (1 << _PREFIX_BITS >> length)
            at += 1
            continue
        new = last if length == 16 else 0
        if new != repeated:
            times, repeated = 0, new
        before, extra = times, length - 14
        times = (times - 2 << extra if times else 0) + bits.take(extra) + 3
        run = times - before
        if repeated:
            space -= run << _PREFIX_BITS - repeated
            if space < 0 or len(found) + run > _MOST_SYMBOLS:
                raise _broken()
            found.update(dict.fromkeys(range(at, at + run), repeated))
        at += run
    if space or at > size:
        raise _broken()
    return found


def _counts(bits: Bits) -> list[int]:
    """The counts of symbols, of 4096, of a range code."""
    total = 1 << _STATE_BITS
    if bits.take(1):
        symbols = [_var8(bits) for _ in range(bits.take(1) + 1)]
        found = [0] * (max(symbols) + 1)
        found[symbols[0]] = total if len(symbols) == 1 else bits.take(_STATE_BITS)
        if len(symbols) == 2:
            if symbols[0] == symbols[1]:
                raise _broken()
            found[symbols[1]] = total - found[symbols[0]]
        return found
    if bits.take(1):
        size = _var8(bits) + 1
        return [total // size + (at < total % size) for at in range(size)]
    log = 0
    while log < 3 and bits.take(1):
        log += 1
    shift = (bits.take(log) | 1 << log) - 1
    size = _var8(bits) + 3
    logs: list[int] = []
    runs: dict[int, int] = {}
    while len(logs) < size:
        log = _coded(bits, _LOG_CODE)
        logs.append(log)
        if log == _REPEAT:
            more = _var8(bits)
            runs[len(logs) - 1] = more + 4
            logs += [-1] * (more + 3)
    plain = [-1 if log == _REPEAT else log for log in logs[:size]]
    if len(logs) > size or max(plain) < 0:
        raise _broken()
    rest = plain.index(max(plain))
    found, same, previous = [0] * size, 0, 0
    for at, log in enumerate(logs):
        if at in runs:
            same, previous = runs[at], found[at - 1] if at else 0
        if same:
            found[at], same = previous, same - 1
        elif at != rest and log > 0:
            precise = max(0, min(log - 1, shift - (_STATE_BITS - log + 1 >> 1)))
            found[at] = (1 << log - 1) + (bits.take(precise) << log - 1 - precise)
    found[rest] = total - sum(found)
    if found[rest] <= 0:
        raise _broken()
    return found
