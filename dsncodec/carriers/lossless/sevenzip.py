"""A real .7z archive with one LZMA2 member, as the paper used it (Cai et al. 2017, section 4.4).

py7zr writes it. Reading is ours: py7zr inflates a whole block before it compares sizes, so the archive's
plain header is parsed here, strictly, and the LZMA2 stream is inflated with a bound. The format is
described in 7-Zip's own documentation (7zFormat.txt).
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from ...errors import Corrupt, MissingComponent
from .lzma2 import inflate

UInt8Array = NDArray[np.uint8]
MEMBER = "layer.pgm"
MAGIC = b"7z\xbc\xaf\x27\x1c"
_TIME = (
    b"\x14\x0a\x01\x00"  # a property, kLastWriteTime, of 10 bytes: all defined, not elsewhere; then 8 bytes
)
_1980 = 119_600_064_000_000_000  # in steps of 100 ns since 1601
_LZMA2 = 0x21  # its id, to py7zr and to Python's lzma
_FILTERS = [{"id": _LZMA2, "preset": 9}]


def encode(symbols: UInt8Array, levels: int, effort: int) -> bytes:
    """The symbols as a binary PGM picture inside an archive; the same bytes whenever it is written.

    Raises:
        MissingComponent: py7zr, which nothing but this needs, is not installed.
    """
    try:
        import py7zr
    except ImportError as exc:
        raise MissingComponent("writing 7z needs the package py7zr: pip install py7zr") from exc
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", filters=_FILTERS) as archive:
        archive.set_encoded_header_mode(False)
        archive.writestr(_pgm_header(symbols.shape, levels) + symbols.tobytes(), MEMBER)
    return _undated(buffer.getvalue())


def _undated(archive: bytes) -> bytes:
    """The archive with 1980-01-01 as its member's time of writing."""
    (offset,) = struct.unpack_from("<Q", archive, 12)
    header = archive[32 + offset :]
    at = header.rfind(_TIME)
    if at < 0:
        return archive
    header = header[: at + len(_TIME)] + struct.pack("<Q", _1980) + header[at + len(_TIME) + 8 :]
    start = struct.pack("<QQI", offset, len(header), zlib.crc32(header))
    return archive[:8] + struct.pack("<I", zlib.crc32(start)) + start + archive[32 : 32 + offset] + header


def _pgm_header(shape: tuple[int, ...], levels: int) -> bytes:
    return b"P5\n%d %d\n%d\n" % (shape[1], shape[0], levels - 1)


def decode(payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array:
    """One member, LZMA2, plain header, exactly the PGM that ``encode`` writes."""
    prefix = _pgm_header(shape, levels)
    size = len(prefix) + shape[0] * shape[1]
    if len(payload) < 32 or payload[:6] != MAGIC:
        raise Corrupt("not a 7z archive", field="7z")
    start = payload[12:32]
    offset, length, header_crc = struct.unpack("<QQI", start)
    if zlib.crc32(start) != int.from_bytes(payload[8:12], "little"):
        raise Corrupt("the start header's checksum does not match", field="7z")
    if 32 + offset + length != len(payload):
        raise Corrupt("the archive's length is not what its header says", field="7z")
    header = payload[32 + offset :]
    if zlib.crc32(header) != header_crc:
        raise Corrupt("the header's checksum does not match", field="7z")
    packed, unpacked = _one_lzma2_stream(header)
    if packed > offset or unpacked != size:
        raise Corrupt(f"the archive holds {unpacked} bytes, {size} are needed", field="7z")
    data = inflate(payload[32 : 32 + packed], (1, size))[0]
    if data[: len(prefix)].tobytes() != prefix:
        raise Corrupt("the member is not the expected PGM picture", field="7z")
    return data[len(prefix) :].reshape(shape)


def _one_lzma2_stream(header: bytes) -> tuple[int, int]:
    """(packed, unpacked) size in bytes of an archive with one folder of one LZMA2 coder."""
    at = 0

    def expect(*values: int) -> None:
        nonlocal at
        if header[at : at + len(values)] != bytes(values):
            raise Corrupt("the archive is not one plain LZMA2 member", offset=at, field="7z header")
        at += len(values)

    def number() -> int:
        """7-Zip's variable-length integer: leading ones of the first byte count the extra bytes."""
        nonlocal at
        first, value, mask = header[at], 0, 0x80
        at += 1
        for shift in range(0, 64, 8):
            if not first & mask:
                return value | (first & (mask - 1)) << shift
            value |= header[at] << shift
            at += 1
            mask >>= 1
        return value

    try:
        expect(0x01, 0x04)  # Header, MainStreamsInfo
        expect(0x06, 0x00, 0x01, 0x09)  # PackInfo at 0, one stream, sizes
        packed = number()
        if header[at] == 0x0A:  # checksums of packed streams, all defined
            at += 6
        expect(0x00)
        expect(0x07, 0x0B, 0x01, 0x00, 0x01)  # UnpackInfo: one folder, here, of one coder
        expect(0x21, 0x21, 0x01)  # with properties, id 21: LZMA2, one byte of properties
        at += 1  # the dictionary size it asks for: we choose our own
        expect(0x0C)
        unpacked = number()
    except IndexError:
        raise Corrupt("the archive's header ends too soon", field="7z header") from None
    return packed, unpacked
