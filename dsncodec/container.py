"""Header and sections <-> bytes. docs/format.md is normative; this module follows it.

::

    header    8s magic | B version | B flags | B method | B mode | I width | I height
              H section count | I CRC-32 of the 22 bytes before it              (26 bytes)
    section   4s tag | I length | I CRC-32 of tag and payload | payload         (12 bytes + payload)

All numbers are little-endian. A tag whose first letter is a capital is critical: a reader that does
not know it must refuse the file. Others may be skipped.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .errors import Corrupt, LimitExceeded, NotADsnFile, Truncated, UnsupportedVersion

MAGIC = b"\x8eDSN\r\n\x1a\n"
VERSION = 1
MAX_PIXELS = 178_956_970  # where Pillow, too, stops calling a picture a picture
MAX_SIDE = 2**31 - 1
MAX_SECTIONS = 64

METHODS = {1: "dsn", 2: "restored"}
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

_HEADER = struct.Struct("<8sBBBBIIH")
_CRC = struct.Struct("<I")
_SECTION = struct.Struct("<4sII")
HEADER_BYTES = _HEADER.size + _CRC.size


@dataclass(frozen=True)
class Header:
    """The fixed part of a codestream. ``width`` and ``height`` are in pixels."""

    method: str
    mode: str
    width: int
    height: int
    sections: int = 0

    @property
    def has_alpha(self) -> bool:
        """Whether the picture has an alpha plane."""
        return self.mode.endswith("A")

    @property
    def colour_planes(self) -> int:
        """1 for grey, 3 for colour; alpha is not counted."""
        return 3 if self.mode.startswith("RGB") else 1


@dataclass(frozen=True)
class Section:
    """One section's place in the file: ``offset`` and ``length`` are of its payload, in bytes."""

    tag: str
    offset: int
    length: int
    crc: int


def _key(table: dict[int, str], value: str) -> int:
    return next(key for key, name in table.items() if name == value)


def pack(header: Header, sections: list[tuple[str, bytes]]) -> bytes:
    """Build a codestream. ``sections`` are (tag, payload) in the order they shall have."""
    fixed = _HEADER.pack(
        MAGIC, VERSION, 0, _key(METHODS, header.method), _key(MODES, header.mode),
        header.width, header.height, len(sections),
    )  # fmt: skip
    parts = [fixed, _CRC.pack(zlib.crc32(fixed))]
    for tag, payload in sections:
        name = tag.encode("ascii")
        parts += [_SECTION.pack(name, len(payload), zlib.crc32(payload, zlib.crc32(name))), payload]
    return b"".join(parts)


def _read(stream: BinaryIO, count: int, offset: int, field: str) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise Truncated(
            f"the file ends after {offset + len(data)} bytes, {offset + count} are needed",
            offset=offset, field=field,
        )  # fmt: skip
    return data


def read_header(stream: BinaryIO, max_pixels: int | None = MAX_PIXELS) -> Header:
    """Read and check the 26 bytes at the stream's position.

    Raises:
        NotADsnFile, Truncated, UnsupportedVersion, Corrupt: see errors.py.
        LimitExceeded: width x height is more than ``max_pixels`` (None: no limit).
    """
    start = stream.read(len(MAGIC))
    if start != MAGIC:
        if start and MAGIC.startswith(start):
            raise Truncated("the file ends inside the magic bytes", offset=len(start), field="magic")
        what = "is empty" if not start else "does not start with the .dsn magic bytes"
        raise NotADsnFile(f"the file {what}", offset=0, field="magic")
    fixed = start + _read(stream, _HEADER.size - len(MAGIC), len(MAGIC), "header")
    (crc,) = _CRC.unpack(_read(stream, _CRC.size, _HEADER.size, "header"))
    _, version, flags, method, mode, width, height, sections = _HEADER.unpack(fixed)
    if version != VERSION:
        raise UnsupportedVersion(
            f"the file has version {version}, this release reads version {VERSION}",
            offset=8, field="version",
        )  # fmt: skip
    if zlib.crc32(fixed) != crc:
        raise Corrupt("the header's checksum does not match", offset=_HEADER.size, field="header")
    if flags:
        raise UnsupportedVersion(f"unknown flags {flags:#04x}", offset=9, field="flags")
    if method not in METHODS:
        raise UnsupportedVersion(f"unknown coding method {method}", offset=10, field="method")
    if mode not in MODES:
        raise UnsupportedVersion(f"unknown mode {mode}", offset=11, field="mode")
    if not 1 <= width <= MAX_SIDE or not 1 <= height <= MAX_SIDE:
        raise Corrupt(f"impossible size {width} x {height}", offset=12, field="size")
    if sections > MAX_SECTIONS:
        raise Corrupt(f"{sections} sections, at most {MAX_SECTIONS} are allowed", offset=20, field="sections")
    if max_pixels is not None and width * height > max_pixels:
        raise LimitExceeded(
            f"the picture has {width} x {height} = {width * height} pixels, "
            f"the limit is {max_pixels}; raise max_pixels if you trust the file",
            asked=width * height, limit=max_pixels,
        )  # fmt: skip
    return Header(METHODS[method], MODES[mode], width, height, sections)


def read_sections(
    stream: BinaryIO, header: Header, size_bytes: int, known: frozenset[str]
) -> dict[str, Section]:
    """Read the section headers that follow the header; payloads are skipped, not read.

    Args:
        stream: positioned just after the header.
        size_bytes: length of the whole codestream; no section may reach beyond it.
        known: tags the caller understands; any other critical one is refused.
    Returns:
        tag -> place, in file order, unknown optional sections too.
    """
    found: dict[str, Section] = {}
    offset = HEADER_BYTES
    for _ in range(header.sections):
        name, length, crc = _SECTION.unpack(_read(stream, _SECTION.size, offset, "section header"))
        offset += _SECTION.size
        if not all(32 <= byte < 127 for byte in name):
            raise Corrupt(f"impossible section tag {name!r}", offset=offset, field="section header")
        tag = name.decode("ascii")
        if length > size_bytes - offset:
            raise Truncated(
                f"the section needs {length} bytes, {max(0, size_bytes - offset)} are left",
                offset=offset, field=tag,
            )  # fmt: skip
        if tag in found:
            raise Corrupt("the section appears twice", offset=offset, field=tag)
        if tag not in known and tag[0].isupper():
            raise UnsupportedVersion("unknown critical section", offset=offset, field=tag)
        found[tag] = Section(tag, offset, length, crc)
        offset += length
        stream.seek(offset)
    if offset != size_bytes:
        raise Corrupt(f"{size_bytes - offset} bytes follow the last section", offset=offset)
    return found


def read_payload(stream: BinaryIO, section: Section) -> bytes:
    """Read one section's payload and check its CRC-32."""
    stream.seek(section.offset)
    payload = _read(stream, section.length, section.offset, section.tag)
    if zlib.crc32(payload, zlib.crc32(section.tag.encode("ascii"))) != section.crc:
        raise Corrupt("the checksum does not match", offset=section.offset, field=section.tag)
    return payload


def iter_payloads(stream: BinaryIO, sections: dict[str, Section]) -> Iterator[tuple[str, bytes]]:
    """All payloads in file order, each checked."""
    for tag, section in sections.items():
        yield tag, read_payload(stream, section)
