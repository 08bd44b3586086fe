"""AVIF files written bit by bit: legal ones, and as dear to decode as a few bytes can make them.

What a tile's bytes mean does not matter to an arithmetic decoder: any are a picture, with all tools that the headers allow.
Source: AV1 specification, 5.5 (sequence header), 5.9 (frame header) and 5.11.1 (tiles); ISO/IEC 14496-12, 8.11, and 23008-12, 6.5.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

SEQUENCE, FRAME, METADATA, PADDING = 1, 6, 5, 15


@dataclass(frozen=True)
class Work:
    """What the headers ask for, and what the tiles hold."""

    content: bytes = b"\x80"
    tiles: int = 0  # the logarithm of how many each way, at most
    screen: bool = False  # palettes
    copies: bool = False  # of blocks, within the picture; without filters
    superres: int = 0  # 1..8: the picture is that many eighths wider, and one more
    filters: bool = True  # of edges of blocks, of directions, and restoration
    restored: int = 1  # 1: a filter for each unit, 3: Wiener's, 2: self-guided
    large: bool = False  # blocks of 128 x 128
    grain: bool = False
    matrices: bool = False
    segments: bool = False
    levels: bool = False  # of quantisation, anew in each block
    quantiser: int = 20
    deep: bool = False
    before: Sequence[tuple[int, bytes]] = ()  # OBUs before the frame: (kind, content)


class Bits:
    """Bits from the highest of each byte down."""

    def __init__(self) -> None:
        self.value, self.count = 1, 0

    def put(self, count: int, value: int) -> None:
        assert 0 <= value < 1 << count or count == value == 0
        self.value = self.value << count | value
        self.count += count

    def align(self) -> None:
        self.put(-self.count % 8, 0)

    def bytes(self) -> bytes:
        """With a one, and zeros, at the end."""
        self.put(1, 1)
        self.align()
        return self.value.to_bytes(self.count // 8 + 1, "big")[1:]


def obu(kind: int, content: bytes) -> bytes:
    length, size = b"", len(content)
    while size >= 128:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([kind << 3 | 2]) + length + bytes([size]) + content


def coded(rows: int, columns: int, colour: bool, work: Work) -> bytes:
    """A sequence header, and one frame."""
    others = b"".join(obu(*one) for one in work.before)
    return (
        obu(SEQUENCE, _sequence(rows, columns, colour, work))
        + others
        + obu(FRAME, _frame(rows, columns, colour, work))
    )


def _sequence(rows: int, columns: int, colour: bool, work: Work) -> bytes:
    bits = Bits()
    bits.put(3, int(colour))
    bits.put(2, 3)  # a still picture, with a short header
    bits.put(5, 31)  # of any level
    for _ in range(2):
        bits.put(4, 15)
    bits.put(16, columns - 1)
    bits.put(16, rows - 1)
    bits.put(1, work.large)
    bits.put(2, 3)  # predictions by filters
    bits.put(1, work.superres > 0)
    bits.put(2, 3)  # filters of directions, restoration
    bits.put(1, work.deep)
    if not colour:
        bits.put(1, 1)
    bits.put(1, 0)  # of unknown colours
    bits.put(1, 1)  # of full range
    if colour:
        bits.put(1, 0)  # one quantiser for both
    bits.put(1, work.grain)
    return bits.bytes()


def _frame(rows: int, columns: int, colour: bool, work: Work) -> bytes:
    bits = Bits()
    bits.put(1, 0)  # probabilities adapt
    bits.put(1, work.screen or work.copies)
    if work.screen or work.copies:
        bits.put(1, 1)
    if work.superres:
        bits.put(1, 1)
        bits.put(3, work.superres - 1)
    bits.put(1, 0)  # shown at its size
    if (work.screen or work.copies) and not work.superres:
        bits.put(1, work.copies)
    parts = 8 + work.superres
    narrow = max(1, (8 * columns + parts // 2) // parts)
    tiles = _tiles(bits, rows, narrow, work)
    bits.put(8, work.quantiser)
    bits.put(1, 0)
    if colour:
        bits.put(2, 0)
    bits.put(1, work.matrices)
    if work.matrices:
        bits.put(4, 1)
        bits.put(4, 1)
    bits.put(1, work.segments)
    if work.segments:
        for at in range(8):
            for feature in range(8):
                bits.put(1, feature == 0)
                if feature == 0:
                    bits.put(9, at)
    bits.put(1, work.levels)
    if work.levels:
        bits.put(2, 0)
        if not work.copies:
            bits.put(1, 1)
            bits.put(3, 1)  # of four filters
    if not work.copies:
        _filters(bits, colour, work)
    bits.put(1, 1)  # each block chooses its transforms
    bits.put(1, 0)  # of all kinds
    if work.grain:
        _grain(bits, colour)
    bits.align()
    head = bits.value.to_bytes(bits.count // 8 + 1, "big")[1:]
    if tiles == 1:
        return head + work.content
    one = struct.pack("<I", len(work.content) - 1) + work.content
    return head + b"\0" + one * (tiles - 1) + work.content


def _tiles(bits: Bits, rows: int, columns: int, work: Work) -> int:
    """Says how the picture is cut, as often as allowed; gives the number of tiles."""
    side = 7 if work.large else 6
    across, down = -(-columns // (1 << side)), -(-rows // (1 << side))

    def log2(least: int, target: int) -> int:
        return next(count for count in range(32) if least << count >= target)

    bits.put(1, 1)
    least = log2(4096 >> side, across)
    in_all = max(least, log2(4096 * 2304 >> 2 * side, across * down))
    found = []
    for minimum, length in ((least, across), (None, down)):
        start = minimum if minimum is not None else max(in_all - found[0], 0)
        most = log2(1, min(length, 64))
        chosen = max(start, min(most, work.tiles))
        bits.put(chosen - start, (1 << chosen - start) - 1)
        if chosen < most:
            bits.put(1, 0)
        found.append(chosen)
    if any(found):
        bits.put(sum(found), 0)
        bits.put(2, 3)
    counts = []
    for chosen, length in zip(found, (across, down)):
        each = -(-length // (1 << chosen))
        counts.append(-(-length // each))
    return counts[0] * counts[1]


def _filters(bits: Bits, colour: bool, work: Work) -> None:
    strength = 63 if work.filters else 0
    bits.put(6, strength)
    bits.put(6, strength)
    if colour and strength:
        bits.put(6, strength)
        bits.put(6, strength)
    bits.put(3, 0)
    bits.put(1, 0)
    bits.put(2, 3)
    bits.put(2, 3 if work.filters else 0)
    for _ in range(8 if work.filters else 1):
        for _ in range(1 + colour):
            bits.put(6, 63 if work.filters else 0)
    kind = work.restored if work.filters else 0
    for _ in range(1 + 2 * colour):
        bits.put(2, kind)
    if kind:
        bits.put(1, 0)


def _grain(bits: Bits, colour: bool) -> None:
    bits.put(1, 1)
    bits.put(16, 1)
    points = [(at * 18, 255) for at in range(14)]

    def curve(some: Sequence[tuple[int, int]]) -> None:
        bits.put(4, len(some))
        for point in some:
            for value in point:
                bits.put(8, value)

    curve(points)
    if colour:
        bits.put(1, 0)
        curve(points[:10])
        curve(points[:10])
    bits.put(2, 0)
    bits.put(2, 3)
    for count in (24, 25, 25)[: 1 + 2 * colour]:
        for _ in range(count):
            bits.put(8, 129)
    bits.put(4, 0)
    if colour:
        for _ in range(2):
            bits.put(16, 128 << 8 | 192)
            bits.put(9, 256)
    bits.put(2, 2)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


@dataclass(frozen=True)
class Boxes:
    """What stands around a picture beside what must: properties, those of other items, other boxes in the box of items and
    before it, a size that is not the picture's."""

    properties: Sequence[bytes] = ()
    owners: int = 1
    meta: bytes = b""
    before: bytes = b""
    size: tuple[int, int] | None = None


def avif(rows: int, columns: int, colour: bool, work: Work, boxes: Boxes = Boxes()) -> bytes:
    """A file of one item."""
    picture = coded(rows, columns, colour, work)
    said = boxes.size or (rows, columns)
    flags = (0 if colour else 0x1C) | work.deep << 6
    properties = [
        box(b"ispe", struct.pack(">III", 0, said[1], said[0])),
        box(
            b"pixi", bytes([0, 0, 0, 0, 1 + 2 * colour]) + bytes([10 if work.deep else 8]) * (1 + 2 * colour)
        ),
        box(b"av1C", bytes([0x81, colour << 5 | 31, flags, 0])),
        *boxes.properties,
    ]
    numbers = [0x80 | at for at in range(1, min(len(properties), 120) + 1)]  # all of them essential
    links = struct.pack(">IIHB", 0, boxes.owners, 1, len(numbers)) + bytes(numbers)
    links += b"".join(struct.pack(">HB", at, 0) for at in range(2, boxes.owners + 1))
    head = box(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaf") + boxes.before
    inner = [
        box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
        box(b"pitm", bytes(4) + b"\0\1"),
        box(b"iinf", bytes(4) + b"\0\1" + box(b"infe", b"\2\0\0\0\0\1\0\0av01Color\0")),
        box(b"iprp", box(b"ipco", b"".join(properties)) + box(b"ipma", links)),
        boxes.meta,
    ]
    at = len(head) + 12 + sum(map(len, inner)) + 8 + 22 + 8
    where = box(b"iloc", struct.pack(">IBBHHHHII", 0, 0x44, 0, 1, 1, 0, 1, at, len(picture)))
    return head + box(b"meta", bytes(4) + b"".join(inner) + where) + box(b"mdat", picture)
