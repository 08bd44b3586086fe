"""JPEG XL codestreams written bit by bit: legal ones, and as dear to decode as a few bytes can make them.

No encoder writes such files, and no mutation finds them. Source: ISO/IEC 18181-1, annexes C, D, F, G, H and K.3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SIZES = ((9, 1), (13, 1), (18, 1), (30, 1))
SIDES = ((8, 0), (11, 256), (14, 2304), (30, 18688))
LENGTHS = ((10, 0), (14, 1024), (22, 17408), (30, 4211712))
COUNTS_OF_TRANSFORMS = ((0, 0), (0, 1), (4, 2), (8, 18))
CHANNELS = ((3, 0), (6, 8), (10, 72), (13, 1096))
ROW, WEIGHTED_ERROR = 2, 15  # properties that decide
WEIGHTED = 6  # a predictor
SQUEEZE: tuple[int, ...] = ()  # a transform
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


def tree(out: Writer, depth: int, decides: int = ROW, value: int = 0) -> None:
    """A tree of decisions that each pixel goes all the way down: is its row, or another property, beyond what there is?
    At its end every pixel has the same value."""
    if not depth:
        codes(out, [(0, 0)] * 3 + [(2 * value, 0)] + [(0, 0)] * 2)
        return
    raw = 20
    # thresholds have raw bits; an inner node and a leaf take turns, by a code of one bit
    out.put(1, 0)
    out.put(1, 1)
    out.put(2, 2)
    kinds = (0, 1, 2, 3 if value else 2, 2, 2)
    for kind in kinds:
        out.put(2, kind)
    out.put(1, 1)
    sizes = (raw + 2, decides + 2, 1, 2 * value + 1)[: max(kinds) + 1]
    for at in range(len(sizes)):
        out.put(4, 15 if at else 0)
    for size in sizes:
        var(out, 4, size - 1)
    out.put(2, 1)
    out.put(2, 0)
    out.put((raw + 1).bit_length(), raw + 1)
    out.put(2, 1)
    out.put(2, 1)
    width = (decides + 1).bit_length()
    out.put(width, 0)  # a leaf
    out.put(width, 1 + decides)
    if value:
        out.put(4, 1)
        out.put((2 * value).bit_length(), 2 * value)
    for at in range(depth):
        out.put(1, 1)
        out.put(raw, 2 * (depth - at) + (1 << 18))
        out.put(1, 0)
    out.put(1, 0)


@dataclass(frozen=True)
class Work:
    """What a frame of zeros does for each sample: decisions of a property, in one tree or one for each group, and transforms,
    of the whole and of each group: (first channel, rotation), or (first channel, channels, colours, deltas) of a palette, or SQUEEZE.
    """

    depth: int = 0
    decides: int = ROW
    value: int = 0
    own: bool = False
    transforms: tuple[tuple[int, ...], ...] = ()
    of_groups: tuple[tuple[int, ...], ...] = ()


def flat(out: Writer, work: Work) -> None:
    """What a frame of zeros says before its groups."""
    out.put(1, 1)  # usual factors
    out.put(1, not work.own)  # a tree for all groups
    if not work.own:
        _coding(out, work)
    group(out, work, work.transforms)


def _coding(out: Writer, work: Work) -> None:
    tree(out, work.depth, work.decides, work.value)
    codes(out, [(0, 0)] * (work.depth + 1))


def group(out: Writer, work: Work, transforms: tuple[tuple[int, ...], ...]) -> None:
    """What a group of zeros says."""
    out.put(1, not work.own)  # the tree of all
    out.put(1, 1)  # usual weights
    out.choose(COUNTS_OF_TRANSFORMS, len(transforms))
    for one in transforms:
        if one == SQUEEZE:
            out.put(2, 2)
            out.put(2, 0)  # as usual
            continue
        out.put(2, len(one) > 2)
        out.choose(CHANNELS, one[0])
        if len(one) == 2:
            out.choose(((0, 6), (2, 0), (4, 2), (6, 10)), one[1])
        else:
            out.choose(((0, 1), (0, 3), (0, 4), (13, 1)), one[1])
            out.choose(((8, 0), (10, 256), (12, 1280), (16, 5376)), one[2])
            out.choose(((0, 0), (8, 1), (10, 257), (16, 1281)), one[3])
            out.put(4, WEIGHTED)
    if work.own:
        _coding(out, work)


def _begun(rows: int, columns: int) -> Writer:
    """A codestream's signature and size."""
    out = Writer()
    out.put(16, 0x0AFF)
    out.put(1, 0)
    out.choose(SIZES, rows)
    out.put(3, 0)
    out.choose(SIZES, columns)
    return out


def codestream(
    rows: int,
    columns: int,
    *,
    reference: tuple[int, int] | None = None,
    shown: tuple[int, int, int, int] | None = None,
    work: Work = Work(),
    channels: int = 1,
) -> bytes:
    """A black picture of 1 or 4 channels; with a frame of patches before it, and a dictionary (sources, count, width, height) of them."""
    out = _begun(rows, columns)
    grey = ((2, 0), (1, 0), (2, 0), (2, 1), (2, 1), (1, 0), (2, 2), (4, 11), (2, 1))
    colours = ((2, 1), (1, 1), (1, 0), (1, 1))  # and alpha
    for count, value in ((6, 0b100000), *(grey if channels == 1 else colours), (2, 0), (1, 1)):
        out.put(count, value)
    if reference is not None:
        _frame(out, *reference, regular=False, shown=None, work=work, alpha=channels == 4)
    _frame(out, rows, columns, regular=True, shown=shown, work=work, alpha=channels == 4)
    return out.done()


def with_reference(lossy: bytes, at: int, rows: int, columns: int, work: Work) -> bytes:
    """A lossy codestream in colour, with a black frame for reference before its frame, which begins at byte ``at``."""
    out = Writer()
    _frame(out, rows, columns, regular=False, shown=None, work=work, in_xyb=True)
    return lossy[:at] + out.done() + lossy[at:]


def blocks(rows: int, columns: int, work: Work, tables: bool = False) -> bytes:
    """A lossy picture in colour, of blocks of 8 x 8 without coefficients; with 17 tables of quantisation of its own."""
    out = _begun(rows, columns)
    out.put(2, 3)  # plain, and so are its colours
    out.align()
    out.put(1, 1)  # a plain frame
    groups, coarse = (-(-rows // side) * -(-columns // side) for side in (GROUP, 8 * GROUP))
    assert coarse == 1
    head, low, high, rest = Writer(), Writer(), Writer(), Writer()
    head.put(1, 1)  # usual factors of the lowest frequencies
    head.put(2, 0)
    head.put(11, 0)
    head.put(2, 0)
    head.put(2, 3)  # usual contexts, colours from luma
    head.put(1, not work.own)
    if not work.own:
        _coding(head, work)
    low.put(2, 0)
    group(low, work, work.transforms)  # the lowest frequencies
    count = -(-rows // 8) * -(-columns // 8)
    low.put((count - 1).bit_length(), count - 1)
    group(low, work, work.transforms)  # kinds of blocks, steps, edges
    high.put(1, not tables)
    for _ in range(17 * tables):
        high.put(3, 7)
        high.put(16, 0x3C00)  # one, in halves
        group(high, work, work.transforms)
    high.put((groups - 1).bit_length(), 0)
    high.put(2, 2)  # coefficients in their usual order
    codes(high, [(0, 0)] * (15 * 495))
    parts = [head, low, high, rest]
    if groups == 1:
        whole = Writer()
        for part in parts:
            whole.bits += part.bits
        contents = [whole.done()]
    else:
        contents = [part.done() for part in parts[:3]] + [b""] * groups
    out.put(1, 0)
    out.align()
    for content in contents:
        out.choose(LENGTHS, len(content))
    out.align()
    return out.done() + b"".join(contents)


def _frame(
    out: Writer,
    rows: int,
    columns: int,
    *,
    regular: bool,
    shown: tuple[int, int, int, int] | None,
    work: Work = Work(),
    in_xyb: bool = False,
    alpha: bool = False,
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
    out.put(2 * alpha, 0)
    out.put(2, 1)  # groups of 256 x 256
    if regular:
        out.put(5 + 2 * alpha, 0)  # one pass, the picture's size, replaces all
        out.put(1, 1)  # the last
    else:
        out.put(1, 1)
        out.choose(SIDES, columns)
        out.choose(SIDES, rows)
        out.put(3, 0b100)
    out.put(2, 0)
    out.put(1, 0)
    out.put(7, 0)
    parts = _parts(rows, columns, shown, work)
    out.put(1, 0)
    out.align()
    for part in parts:
        out.choose(LENGTHS, len(part))
    out.align()
    for part in parts:
        for byte in part:
            out.put(8, byte)


def _parts(rows: int, columns: int, shown: tuple[int, int, int, int] | None, work: Work) -> Iterable[bytes]:
    head = Writer()
    if shown is not None:
        patches(head, *shown)
    flat(head, work)
    groups, coarse = (-(-rows // side) * -(-columns // side) for side in (GROUP, 8 * GROUP))
    if groups == 1:
        return [head.done()]
    one = Writer()
    group(one, work, work.of_groups)
    return [head.done(), *[b""] * (coarse + 1), *[one.done()] * groups]
