"""JPEG 2000 codestreams written bit by bit: legal ones, and as dear to decode as a few bytes can make them.

A code block of 64 x 64 samples may say 88 passes over them and have no byte for any: an arithmetic decoder goes on with ones.
Source: ITU-T T.800, annexes A (segments), B.10 (packet headers) and D (passes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 64
PLANES = 30  # the most that OpenJPEG decodes


@dataclass(frozen=True)
class Work:
    """What is said of every code block: passes, bytes that they have; how often wavelets halve the picture; and what the guards
    refuse: other orders, layers, styles of coding, precincts, segments, parts of the tile."""

    passes: int = 3 * PLANES - 2
    content: bytes = b""
    levels: int = 0
    planes: int = PLANES
    lossy: bool = False
    order: int = 0
    layers: int = 1
    block: int = 4  # the logarithm of a code block's side, less 2
    style: int = 0
    precincts: bytes = b""
    markers: int = 0  # before and behind packets
    segments: tuple[bytes, ...] = ()  # of the main header
    of_tile: tuple[bytes, ...] = ()
    parts: int = 1
    tile: int = 2**31 - 1  # its side


class Bits:
    """Bits from the highest of each byte down; behind a byte of ones the next has seven."""

    def __init__(self) -> None:
        self.done = bytearray()
        self.byte, self.left = 0, 8

    def put(self, count: int, value: int) -> None:
        for at in reversed(range(count)):
            self.left -= 1
            self.byte |= (value >> at & 1) << self.left
            if not self.left:
                self.done.append(self.byte)
                self.left = 7 if self.byte == 0xFF else 8
                self.byte = 0

    def bytes(self) -> bytes:
        if self.left < 8:
            self.done.append(self.byte)
            if self.byte == 0xFF:
                self.done.append(0)
        return bytes(self.done)


def new_nodes(rows: int, columns: int) -> Iterator[list[int]]:
    """Of each leaf of a tag tree of zeros, in turn: how many nodes of its path are seen for the first time."""
    seen: set[tuple[int, int, int]] = set()
    depth = max(rows - 1, columns - 1).bit_length()
    for y in range(rows):
        for x in range(columns):
            path = {(level, y >> level, x >> level) for level in range(depth + 1)}
            yield [1] * len(path - seen)
            seen |= path


def _blocks(bits: Bits, bands: list[tuple[int, int]], work: Work) -> bytes:
    count = 0
    for blocks in bands:
        for ones in new_nodes(*blocks):
            for _ in range(2):  # included, and no plane of zeros
                bits.put(len(ones), (1 << len(ones)) - 1)
            _passes(bits, work.passes)
            extra = max(0, len(work.content).bit_length() - (3 + work.passes.bit_length() - 1))
            bits.put(extra + 1, (1 << extra + 1) - 2)
            bits.put(3 + extra + work.passes.bit_length() - 1, len(work.content))
            count += 1
    return bits.bytes() + work.content * count


def _passes(bits: Bits, count: int) -> None:
    """Source: T.800, table B.4."""
    if count <= 2:
        bits.put(count, (0, 2)[count - 1])
    elif count <= 5:
        bits.put(4, 0b1100 + count - 3)
    elif count <= 36:
        bits.put(9, 0b1111 << 5 | count - 6)
    else:
        bits.put(16, 0b111111111 << 7 | count - 37)


def codestream(rows: int, columns: int, components: int, work: Work) -> bytes:
    """One tile, one layer, whole precincts, as the guards want it."""
    sides = min(columns, work.tile), min(rows, work.tile)
    size = struct.pack(">H8IH", 0, columns, rows, 0, 0, *sides, 0, 0, components) + b"\7\1\1" * components
    mixed = work.lossy and components == 3
    scope = work.markers | bool(work.precincts)
    coding = struct.pack(
        ">BBHBBBBBB",
        scope,
        work.order,
        work.layers,
        mixed,
        work.levels,
        work.block,
        work.block,
        work.style,
        not work.lossy,
    )
    guard = min(7, work.planes)
    exponent = work.planes + 1 - guard
    bands = 3 * work.levels + 1
    steps = struct.pack(">H", exponent << 11) if work.lossy else bytes([exponent << 3])
    quantised = bytes([guard << 5 | 2 * work.lossy]) + steps * bands
    body = b""
    for level in range(work.levels + 1):
        for _ in range(components):
            body += _resolution(rows, columns, level, work)
    head = (
        b"\xff\x4f" + segment(0x51, size) + segment(0x52, coding + work.precincts) + segment(0x5C, quantised)
    )
    head += b"".join(work.segments)
    before = b"".join(work.of_tile) + b"\xff\x93"
    for part in range(work.parts):
        content = before + body if part == 0 else b"\xff\x93"
        head += segment(0x90, struct.pack(">HIBB", 0, 12 + len(content), part, work.parts)) + content
    return head + b"\xff\xd9"


def segment(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", 2 + len(content)) + content


def _resolution(rows: int, columns: int, level: int, work: Work) -> bytes:
    """The packet of one resolution of a component: its lowest band, or three that are higher. Source: T.800, B.5."""
    shift = work.levels - max(level - 1, 0)

    def sides(high_rows: bool, high_columns: bool) -> tuple[int, int]:
        half = 1 << shift >> 1
        return tuple(
            -(-(side - half * high) >> shift) for side, high in ((rows, high_rows), (columns, high_columns))
        )

    kinds = [(False, False)] if level == 0 else [(False, True), (True, False), (True, True)]
    bands = [sides(*kind) for kind in kinds]
    bits = Bits()
    bits.put(1, 1)
    return _blocks(bits, [(-(-y // BLOCK), -(-x // BLOCK)) for y, x in bands if y > 0 and x > 0], work)
