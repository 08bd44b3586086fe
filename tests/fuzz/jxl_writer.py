"""JPEG XL codestreams written bit by bit: legal ones, and as dear to decode as a few bytes can make them.

No encoder writes such files, and no mutation finds them. Source: ISO/IEC 18181-1, annexes C, D, F, G, H and K.3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

SIDES = ((8, 0), (11, 256), (14, 2304), (30, 18688))
LENGTHS = ((10, 0), (14, 1024), (22, 17408), (30, 4211712))
COUNTS = 10  # contexts of a dictionary of patches
GROUP = 256


class Writer:
    """Bits, from the lowest of each byte up."""

    def __init__(self) -> None:
        self.bits: list[int] = []

    def put(self, count: int, value: int) -> None:
        assert 0 <= value < 1 << count or count == value == 0
        self.bits += [value >> at & 1 for at in range(count)]

    def choose(self, kinds: Sequence[tuple[int, int]], value: int) -> None:
        """A number of one of four (width, offset)."""
        kind = next(at for at, (width, least) in enumerate(kinds) if 0 <= value - least < 1 << width)
        self.put(2, kind)
        self.put(kinds[kind][0], value - kinds[kind][1])

    def align(self) -> None:
        self.bits += [0] * (-len(self.bits) % 8)

    def done(self) -> bytes:
        self.align()
        return sum(bit << at for at, bit in enumerate(self.bits)).to_bytes(len(self.bits) // 8, "little")


def var(out: Writer, width: int, value: int) -> None:
    """A length of 0..2^16, ``width`` 4."""
    out.put(1, value > 0)
    if value:
        count = value.bit_length() - 1
        out.put(width, count)
        out.put(count, value - (1 << count))


def codes(out: Writer, contexts: Sequence[tuple[int, int]]) -> None:
    """Prefix codes of one symbol, which cost no bit: of each context (symbol, raw bits behind it).

    With raw bits n, the symbol is n + 1 and a number is 2^n .. 2^(n+1) - 1; without, the number is the symbol.
    """
    kinds = sorted(set(contexts))
    out.put(1, 0)  # no copies
    if len(contexts) > 1:
        width = max(len(kinds) - 1, 0).bit_length()
        assert width <= 3
        out.put(1, 1)
        out.put(2, width)
        for one in contexts:
            out.put(width, kinds.index(one))
    out.put(1, 1)  # prefix codes
    for _, raw in kinds:
        out.put(4, 0 if raw else 15)
    sizes = [raw + 2 if raw else symbol + 1 for symbol, raw in kinds]
    for size in sizes:
        var(out, 4, size - 1)
    for (symbol, raw), size in zip(kinds, sizes):
        if size > 1:
            out.put(2, 1)
            out.put(2, 0)
            out.put((size - 1).bit_length(), raw + 1 if raw else symbol)


def patches(out: Writer, sources: int, count: int, width: int, height: int) -> None:
    """A dictionary that shows the top left corner of the frame before, sources x count times in one place."""
    numbers = [(0, 0)] * COUNTS
    numbers[0], numbers[2], numbers[5], numbers[7] = (sources, 0), (width - 1, 0), (2, 0), (count - 1, 0)
    assert width == height
    codes(out, numbers)


def tree(out: Writer, depth: int) -> None:
    """A tree of decisions that each pixel goes all the way down: is its row beyond one that no picture has?"""
    if not depth:
        codes(out, [(0, 0)] * 6)
        return
    raw = 20
    # thresholds have raw bits; an inner node and a leaf take turns, by a code of one bit
    out.put(1, 0)
    out.put(1, 1)
    out.put(2, 2)
    for kind in (0, 1, 2, 2, 2, 2):
        out.put(2, kind)
    out.put(1, 1)
    for split in (0, 15, 15):
        out.put(4, split)
    for size in (raw + 2, 4, 1):
        var(out, 4, size - 1)
    out.put(2, 1)
    out.put(2, 0)
    out.put((raw + 1).bit_length(), raw + 1)
    out.put(2, 1)
    out.put(2, 1)
    out.put(2, 0)
    out.put(2, 3)  # 0: a leaf; 3: the row decides
    for at in range(depth):
        out.put(1, 1)
        out.put(raw, 2 * (depth - at) + (1 << 18))
        out.put(1, 0)
    out.put(1, 0)


def flat(out: Writer, depth: int) -> None:
    """What a frame of zeros says before its groups."""
    out.put(1, 1)  # usual factors
    out.put(1, 1)  # a tree for all groups
    tree(out, depth)
    codes(out, [(0, 0)] * (depth + 1))
    group(out)


def group(out: Writer) -> None:
    """What a group of zeros says."""
    out.put(1, 1)  # the tree of all
    out.put(1, 1)  # usual weights
    out.put(2, 0)  # no transforms


def codestream(
    rows: int,
    columns: int,
    *,
    reference: tuple[int, int] | None = None,
    shown: tuple[int, int, int, int] | None = None,
    depth: int = 0,
) -> bytes:
    """A black grey picture; with a frame of patches before it, and a dictionary (sources, count, width, height) of them."""
    out = Writer()
    out.put(16, 0x0AFF)
    out.put(1, 0)
    size = ((9, 1), (13, 1), (18, 1), (30, 1))
    out.choose(size, rows)
    out.put(3, 0)
    out.choose(size, columns)
    for count, value in (
        (6, 0b100000),
        (3, 0),
        (2, 0),
        (2, 1),
        (2, 1),
        (1, 0),
        (2, 2),
        (4, 11),
        (2, 1),
        (2, 0),
        (1, 1),
    ):
        out.put(count, value)
    if reference is not None:
        _frame(out, *reference, regular=False, shown=None, depth=0)
    _frame(out, rows, columns, regular=True, shown=shown, depth=depth)
    return out.done()


def with_reference(lossy: bytes, at: int, rows: int, columns: int, depth: int) -> bytes:
    """A lossy codestream in colour, with a black frame for reference before its frame, which begins at byte ``at``."""
    out = Writer()
    _frame(out, rows, columns, regular=False, shown=None, depth=depth, in_xyb=True)
    return lossy[:at] + out.done() + lossy[at:]


def _frame(
    out: Writer,
    rows: int,
    columns: int,
    *,
    regular: bool,
    shown: tuple[int, int, int, int] | None,
    depth: int,
    in_xyb: bool = False,
) -> None:
    out.align()
    out.put(1, 0)
    out.put(2, 0 if regular else 2)
    out.put(1, 1)
    if shown is None:
        out.put(2, 0)
    else:
        out.put(2, 1)
        out.put(4, 1)
    out.put(2 if in_xyb else 3, 0)
    out.put(2, 1)  # groups of 256 x 256
    if regular:
        out.put(6, 0b100000)  # one pass, the picture's size, replaces all, the last
    else:
        out.put(1, 1)
        out.choose(SIDES, columns)
        out.choose(SIDES, rows)
        out.put(3, 0b100)
    out.put(2, 0)
    out.put(1, 0)
    out.put(7, 0)
    parts = _parts(rows, columns, shown, depth)
    out.put(1, 0)
    out.align()
    for part in parts:
        out.choose(LENGTHS, len(part))
    out.align()
    for part in parts:
        for byte in part:
            out.put(8, byte)


def _parts(rows: int, columns: int, shown: tuple[int, int, int, int] | None, depth: int) -> Iterable[bytes]:
    head = Writer()
    if shown is not None:
        patches(head, *shown)
    flat(head, depth)
    groups, coarse = (-(-rows // side) * -(-columns // side) for side in (GROUP, 8 * GROUP))
    if groups == 1:
        return [head.done()]
    one = Writer()
    group(one)
    return [head.done(), *[b""] * (coarse + 1), *[one.done()] * groups]
