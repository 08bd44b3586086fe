"""Header and sections <-> bytes. docs/format.md is normative; this module follows it.

Version 2, which is written; a varint has 7 bits a byte, low ones first, and the high bit says that more follow::

    4s magic | B version | B 16 * method + mode | varint width | varint height
    varint length of the parameters | parameters
    B section count | for each: B code, varint length, I CRC-32 of the payload
    I CRC-32 of all before it
    payloads, one behind the other

Version 1, which is still read::

    header    8s magic | B version | B flags | B method | B mode | I width | I height
              H section count | I CRC-32 of the 22 bytes before it              (26 bytes)
    section   4s tag | I length | I CRC-32 of tag and payload | payload         (12 bytes + payload)

All numbers are little-endian. A critical section, whose tag begins with a capital letter and whose code is
below 128, must be known to a reader, or it refuses the file. Others may be skipped.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from .errors import Corrupt, DsnWarning, LimitExceeded, NotADsnFile, Truncated, UnsupportedVersion, warn

MAGIC = b"\x8eDSN"
VERSION = 2
MAX_PIXELS = 178_956_970  # where Pillow, too, stops calling a picture a picture
MAX_SIDE = 2**31 - 1
MAX_SECTIONS = 64
MAX_PARAMETERS = 255
PARAMETERS = "PARM"  # the tag of the first section, which version 2 has in its header

# Codes of the sections in version 2: never reuse or renumber one
TAGS = {
    1: "LUMA",
    2: "CHRO",
    3: "BASE",
    4: "ALPH",
    5: "NETW",
    6: "LATS",
    128: "iccp",
    129: "exif",
    130: "xmp ",
    131: "dpi ",
    132: "rest",
    133: "txtr",
}
METHODS = {1: "dsn", 2: "restored", 3: "coconet", 4: "latentgrid"}
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

_MAGIC_1 = b"\x8eDSN\r\n\x1a\n"
_HEADER_1 = struct.Struct("<8sBBBBIIH")
_SECTION_1 = struct.Struct("<4sII")
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class Header:
    """The fixed part of a codestream. ``width`` and ``height`` are in pixels."""

    method: str
    mode: str
    width: int
    height: int
    table: tuple[Section, ...] | None = field(default=None, compare=False)  # None: it is not read yet
    count: int = field(default=0, compare=False)  # of sections, where the table is not read yet

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
    """One section's place in the file: ``offset`` and ``length`` are of its payload, in bytes.

    ``crc`` is that of the payload, begun from ``seed``.
    """

    tag: str
    offset: int
    length: int
    crc: int
    seed: int = 0


def _key(table: dict[int, str], value: str) -> int:
    return next(key for key, name in table.items() if name == value)


def pack(header: Header, sections: list[tuple[str, bytes]]) -> bytes:
    """Build a codestream of version 2.

    Args:
        sections: (tag, payload) in the order they shall have; the first are the parameters.
    """
    (first, parameters), rest = sections[0], sections[1:]
    assert first == PARAMETERS and len(parameters) <= MAX_PARAMETERS
    parts = [
        MAGIC,
        bytes([VERSION, 16 * _key(METHODS, header.method) + _key(MODES, header.mode)]),
        varint(header.width),
        varint(header.height),
        varint(len(parameters)),
        parameters,
        bytes([len(rest)]),
    ]
    for tag, payload in rest:
        parts += [bytes([_key(TAGS, tag)]), varint(len(payload)), _CRC.pack(zlib.crc32(payload))]
    fixed = b"".join(parts)
    return b"".join([fixed, _CRC.pack(zlib.crc32(fixed)), *(payload for _, payload in rest)])


def varint(value: int) -> bytes:
    """A number as docs/format.md, section 1, has it: 7 bits a byte, the low ones first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


class _Reader:
    """Takes the fields of a header one by one, and remembers their bytes for the checksum."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.taken = b""

    def take(self, count: int, what: str) -> bytes:
        data = _read(self.stream, count, len(self.taken), what)
        self.taken += data
        return data

    def byte(self, what: str) -> int:
        return self.take(1, what)[0]

    def varint(self, what: str) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte(what)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    break
                return value
        raise Corrupt("a number is longer than it need be", offset=len(self.taken), field=what)

    def checksum(self) -> None:
        """Compare what was taken so far with the CRC-32 that follows."""
        expected = zlib.crc32(self.taken)
        if self.take(_CRC.size, "header") != _CRC.pack(expected):
            raise Corrupt(
                "the header's checksum does not match", offset=len(self.taken) - _CRC.size, field="header"
            )


def read_header(stream: BinaryIO, max_pixels: int | None = MAX_PIXELS) -> Header:
    """Read and check what stands before the sections, at the stream's position; it is the codestream's start.

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
    reader = _Reader(stream)
    reader.taken = start
    version = reader.byte("version")
    if version in _MAGIC_1[len(MAGIC) :]:
        header = _read_header_1(reader)
    elif version == VERSION:
        header = _read_header_2(reader)
    else:
        raise UnsupportedVersion(
            f"the file has version {version}, this release reads versions 1 and {VERSION}",
            offset=len(MAGIC),
            field="version",
        )
    pixels = header.width * header.height
    if max_pixels is not None and pixels > max_pixels:
        raise LimitExceeded(
            f"the picture has {header.width} x {header.height} = {pixels} pixels, "
            f"the limit is {max_pixels}; raise max_pixels if you trust the file",
            asked=pixels,
            limit=max_pixels,
        )
    return header


def _read_header_2(reader: _Reader) -> Header:
    kinds = reader.byte("method")
    width, height = reader.varint("size"), reader.varint("size")
    length = reader.varint(PARAMETERS)
    if length > MAX_PARAMETERS:
        raise Corrupt(f"{length} bytes, at most {MAX_PARAMETERS} are allowed", field=PARAMETERS)
    at = len(reader.taken)
    parameters = reader.take(length, PARAMETERS)
    count = reader.byte("sections")
    if count > MAX_SECTIONS:
        raise Corrupt(f"{count} sections, at most {MAX_SECTIONS} are allowed", field="sections")
    rows = []
    for _ in range(count):
        code, length = reader.byte("section table"), reader.varint("section table")
        rows.append((code, length, _CRC.unpack(reader.take(_CRC.size, "section table"))[0]))
    reader.checksum()
    table = [Section(PARAMETERS, at, len(parameters), zlib.crc32(parameters))]
    offset = len(reader.taken)
    for code, length, crc in rows:
        tag = TAGS.get(code) or ("C" if code < 128 else "o") + f"{code:03d}"
        table.append(Section(tag, offset, length, crc))
        offset += length
    header = _checked(kinds >> 4, kinds & 15, width, height)
    return replace(header, table=tuple(table))


def _read_header_1(reader: _Reader) -> Header:
    rest = reader.take(_HEADER_1.size - len(reader.taken), "header")
    start, version, flags, method, mode, width, height, sections = _HEADER_1.unpack(
        reader.taken[: -len(rest)] + rest
    )
    if start != _MAGIC_1:
        raise Corrupt("the magic bytes are changed, as by a transfer of text", offset=4, field="magic")
    if version != 1:
        raise UnsupportedVersion(
            f"the file has version {version}, this release reads versions 1 and {VERSION}",
            offset=8,
            field="version",
        )
    reader.checksum()
    if flags:
        raise UnsupportedVersion(f"unknown flags {flags:#04x}", offset=9, field="flags")
    if sections > MAX_SECTIONS:
        raise Corrupt(f"{sections} sections, at most {MAX_SECTIONS} are allowed", offset=20, field="sections")
    return replace(_checked(method, mode, width, height), count=sections)


def _checked(method: int, mode: int, width: int, height: int) -> Header:
    if method not in METHODS:
        raise UnsupportedVersion(f"unknown coding method {method}", field="method")
    if mode not in MODES:
        raise UnsupportedVersion(f"unknown mode {mode}", field="mode")
    if not 1 <= width <= MAX_SIDE or not 1 <= height <= MAX_SIDE:
        raise Corrupt(f"impossible size {width} x {height}", field="size")
    return Header(METHODS[method], MODES[mode], width, height)


def read_sections(
    stream: BinaryIO, header: Header, size_bytes: int, known: frozenset[str]
) -> dict[str, Section]:
    """Where the sections are; payloads are skipped, not read.

    Args:
        stream: positioned just after the header.
        size_bytes: length of the whole codestream; no section may reach beyond it.
        known: tags the caller understands; any other critical one is refused.
    Returns:
        tag -> place, in file order, unknown optional sections too.
    Warns:
        DsnWarning: bytes follow the last section, as some programs that send or store files leave them there.
    """
    table = header.table if header.table is not None else _table_1(stream, header.count, size_bytes)
    found: dict[str, Section] = {}
    end = stream.tell()
    for section in table:
        tag, offset = section.tag, section.offset
        if section.length > size_bytes - offset:
            raise Truncated(
                f"the section needs {section.length} bytes, {max(0, size_bytes - offset)} are left",
                offset=offset,
                field=tag,
            )
        if tag in found:
            raise Corrupt("the section appears twice", offset=offset, field=tag)
        if tag not in known and tag[0].isupper():
            raise UnsupportedVersion("unknown critical section", offset=offset, field=tag)
        found[tag] = section
        end = max(end, offset + section.length)
    if end != size_bytes:
        warn(f"{size_bytes - end} bytes that follow the last section are ignored", DsnWarning)
    return found


def _table_1(stream: BinaryIO, count: int, size_bytes: int) -> Iterator[Section]:
    """The sections of version 1, each behind the payload of the one before."""
    offset = stream.tell()
    for _ in range(count):
        name, length, crc = _SECTION_1.unpack(_read(stream, _SECTION_1.size, offset, "section header"))
        offset += _SECTION_1.size
        if not all(32 <= byte < 127 for byte in name):
            raise Corrupt(f"impossible section tag {name!r}", offset=offset, field="section header")
        yield Section(name.decode("ascii"), offset, length, crc, zlib.crc32(name))
        offset += length
        stream.seek(offset)


def _read(stream: BinaryIO, count: int, offset: int, field: str) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise Truncated(
            f"the file ends after {offset + len(data)} bytes, {offset + count} are needed",
            offset=offset,
            field=field,
        )
    return data


def read_payload(stream: BinaryIO, section: Section) -> bytes:
    """Read one section's payload and check its CRC-32."""
    stream.seek(section.offset)
    payload = _read(stream, section.length, section.offset, section.tag)
    if zlib.crc32(payload, section.seed) != section.crc:
        raise Corrupt("the checksum does not match", offset=section.offset, field=section.tag)
    return payload


def iter_payloads(stream: BinaryIO, sections: dict[str, Section]) -> Iterator[tuple[str, bytes]]:
    """All payloads in file order, each checked."""
    for tag, section in sections.items():
        yield tag, read_payload(stream, section)
