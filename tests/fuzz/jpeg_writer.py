"""JPEG files written bit by bit: legal ones, and as dear to decode as a few bytes can make them.

Each scan is a walk over all blocks, and a run of 32767 empty ones is two bytes.
Source: ITU-T T.81, annexes B (markers), F (sequential) and G (progressive).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

BASELINE, PROGRESSIVE, ARITHMETIC = 0xC0, 0xC2, 0xC9
LONGEST_RUN = 14  # the logarithm
LAST = 63


@dataclass(frozen=True)
class Work:
    """What a file says beside its picture: how each component is sampled (columns, rows), scans, tables anew before each of them,
    blocks between restarts, segments of applications and how long they are, bytes of ones before a marker, the number of lines
    behind the first scan."""

    sampled: tuple[tuple[int, int], ...] = ((1, 1),)
    scans: int = 64
    tables: int = 0
    restarts: int = 0
    segments: int = 0
    segment_bytes: int = 0
    fill: int = 0
    lines: bool = False
    frame: int = PROGRESSIVE
    bits: int = 8


def segment(marker: int, content: bytes, fill: int = 0) -> bytes:
    return b"\xff" * fill + bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


def jpeg(rows: int, columns: int, work: Work) -> bytes:
    """A grey picture of one colour, or in three components; scans behind the first refine nothing, block by block."""
    count = len(work.sampled)
    frame = struct.pack(">BHHB", work.bits, rows, columns, count)
    frame += b"".join(bytes([at + 1, h << 4 | v, 0]) for at, (h, v) in enumerate(work.sampled))
    run = bytes([LONGEST_RUN << 4])
    # a code of one symbol of one bit each: no difference; and so many blocks that have nothing, or the end of one
    progressive = work.frame == PROGRESSIVE
    tables = b"".join(
        segment(0xC4, bytes([kind, 1]) + bytes(15) + symbol)
        for kind, symbol in ((0, b"\0"), (0x10, run if progressive else b"\0"))
    )
    parts = [b"\xff\xd8", segment(0xDB, b"\0" + b"\1" * 64), segment(work.frame, frame), tables]
    parts += [segment(0xE5, bytes(work.segment_bytes), work.fill)] * work.segments
    if work.restarts:
        parts.append(segment(0xDD, struct.pack(">H", work.restarts)))
    every = b"".join(bytes([at + 1, 0]) for at in range(count))
    blocks = sum(h * v for h, v in work.sampled) * _units(rows, columns, work)
    zeros = blocks if progressive else 2 * blocks
    parts.append(_scan(every, 0, 0 if progressive else LAST, 0, bytes(-(-zeros // 8))))
    if work.lines:
        parts.append(segment(0xDC, struct.pack(">H", rows)))
    # a bit that says a run, and the bits of how long it is: at its longest
    length = -(-blocks // ((2 << LONGEST_RUN) - 1)) * (LONGEST_RUN + 1)
    runs = ("0" + "1" * LONGEST_RUN) * (length // (LONGEST_RUN + 1))
    data = (
        int(runs.ljust(-(-length // 8) * 8, "1"), 2)
        .to_bytes(-(-length // 8), "big")
        .replace(b"\xff", b"\xff\0")
    )
    for number in range(work.scans - 1):
        parts.append(tables * work.tables)
        parts.append(_scan(bytes([number % count + 1, 0]), 1, LAST, 0x10, data))
    return b"".join(parts) + b"\xff\xd9"


def _units(rows: int, columns: int, work: Work) -> int:
    wide, high = (8 * max(one[axis] for one in work.sampled) for axis in (0, 1))
    return -(-rows // high) * -(-columns // wide)


def _scan(components: bytes, first: int, last: int, bits: int, data: bytes) -> bytes:
    return segment(0xDA, bytes([len(components) // 2]) + components + bytes([first, last, bits])) + data
