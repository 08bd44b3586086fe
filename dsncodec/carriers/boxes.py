"""Boxes of the ISO base media file format, which AVIF, JPEG XL and JPEG 2000 share: u32 size | 4s kind | content."""

from __future__ import annotations

import struct

from ..errors import Corrupt, SettingError
from . import Adopted


def box(kind: bytes, content: bytes) -> bytes:
    """One box, of less than 4 GiB.

    >>> box(b"free", b"ab")
    b'\\x00\\x00\\x00\\nfreeab'
    """
    return struct.pack(">I4s", 8 + len(content), kind) + content


def listed(data: bytes, field: str) -> list[tuple[bytes, bytes]]:
    """(kind, content) of boxes that lie one behind the other, with sizes of 32 bits.

    Raises:
        Corrupt: a box that does not fit. ``field`` names the part of the file.
    """
    found = []
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise Corrupt("half a box", field=field)
        size, kind = struct.unpack_from(">I4s", data, at)
        if not 8 <= size <= len(data) - at:
            raise Corrupt(f"impossible box {kind!r}", field=field)
        found.append((kind, data[at + 8 : at + size]))
        at += size
    return found


def codestream_in_boxes(file: bytes, kind: bytes, what: str) -> Adopted:
    """The content of the one box of a kind.

    Raises:
        SettingError: there is none, or there are several; or what lies in boxes is broken.
    """
    found, at = [], 0
    while at + 8 <= len(file):
        size, name = struct.unpack_from(">I4s", file, at)
        stop = at + size if size else len(file)
        if size == 1 or stop < at + 8 or stop > len(file):
            break
        if name == kind:
            found.append((at + 8, stop))
        at = stop
    if at != len(file) or len(found) != 1:
        raise SettingError(f"this {what} file cannot be kept as it is: its codestream is not in one box")
    (start, stop) = found[0]
    return Adopted(file[start:stop], ((start, 0, stop - start),))
