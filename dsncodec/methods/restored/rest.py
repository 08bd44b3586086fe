"""What a file that is kept has beside its picture: section ``rest``, from which and from what else is in the .dsn file the
original comes back byte for byte.

The section is a varint, the length of the rest, a byte that says how that is packed, and the packed bytes. The rest is a varint,
a number of pieces; for each three varints: where in the source to begin, how many bytes to copy from there, how many literal bytes
follow; then all literal bytes. The source is the base codec's file, then ICC profile, EXIF and XMP as their sections have them, then
the file of alpha where that is coded by a base codec.
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence

import numpy as np

from ... import carriers
from ...carriers.lossless import lzma2
from ...container import Header, varint
from ...errors import Corrupt
from .bitstream import REST, base_shape

# the sections behind the base codec's file in the source
SOURCES = ("iccp", "exif", "xmp ")
_AS_IT_IS, _LZMA2 = 0, 1
MOST_INFLATED = 2**26
_OF_ICC = 65_519  # bytes of a profile in a segment of JPEG that is full


def pack(
    original: bytes, base_file: bytes, spans: Sequence[tuple[int, int, int]], kept: Sequence[bytes]
) -> bytes:
    """The section of an original.

    Args:
        spans: (where in the original, where in the base codec's file, how many bytes) of what is equal in both, in order.
        kept: the payloads of the other sections of the source.
    """
    source = b"".join([base_file, *kept])
    known = [(at, at_source, length) for at, at_source, length in spans if length]
    known += _copies(original, known, source, len(base_file), kept)
    pieces: list[tuple[int, int, int]] = []
    literals: list[bytes] = []
    at = 0
    for start, at_source, length in [*sorted(known), (len(original), 0, 0)]:
        if start > at or not pieces:
            literals.append(original[at:start])
            pieces.append((*pieces.pop()[:2], start - at) if pieces else (0, 0, start - at))
        pieces.append((at_source, length, 0))
        at = start + length
    rest = varint(len(pieces)) + b"".join(varint(number) for piece in pieces for number in piece)
    rest += b"".join(literals)
    packed = lzma.compress(rest, lzma.FORMAT_RAW, filters=lzma2.filters(len(rest)))
    if len(packed) < len(rest) <= MOST_INFLATED:
        return varint(len(rest)) + bytes([_LZMA2]) + packed
    return varint(len(rest)) + bytes([_AS_IT_IS]) + rest


def _copies(
    original: bytes, known: Sequence[tuple[int, int, int]], source: bytes, begin: int, kept: Sequence[bytes]
) -> list[tuple[int, int, int]]:
    """Where the original has what other sections have, outside of what is known."""
    taken = list(known)
    found: list[tuple[int, int, int]] = []

    def look(content: bytes, at_source: int) -> bool:
        at = original.find(content)
        while at >= 0:
            if all(at + len(content) <= start or start + length <= at for start, _, length in taken):
                found.append((at, at_source, len(content)))
                taken.append(found[-1])
                return True
            at = original.find(content, at + 1)
        return False

    for content in kept:
        if content and not look(content, begin) and len(content) > _OF_ICC:
            for start in range(0, len(content), _OF_ICC):
                look(content[start : start + _OF_ICC], begin + start)
        begin += len(content)
    return found


def unpack(section: bytes, base_file: bytes, kept: Sequence[bytes]) -> bytes:
    """The original.

    Raises:
        Corrupt: the section is none that ``pack`` writes.
    """
    source = b"".join([base_file, *kept])
    length, at = _number(section, 0)
    how, packed = section[at : at + 1], section[at + 1 :]
    if how == bytes([_LZMA2]):
        if length > MOST_INFLATED:
            raise Corrupt(f"{length} bytes, at most {MOST_INFLATED} are inflated", field=REST)
        try:
            rest = lzma2.inflate(packed, (1, length)).tobytes()
        except lzma.LZMAError as exc:
            raise Corrupt(f"the rest does not inflate: {exc}", field=REST) from exc
    else:
        rest = packed
    if how not in (bytes([_AS_IT_IS]), bytes([_LZMA2])) or len(rest) != length:
        raise Corrupt(f"not {length} bytes, or packed in an unknown way", field=REST)
    count, at = _number(rest, 0)
    if 3 * count > len(rest):
        raise Corrupt(f"{count} pieces", field=REST)
    numbers = []
    for _ in range(3 * count):
        number, at = _number(rest, at)
        numbers.append(number)
    parts, room = [], len(source) + len(rest)
    for start, copied, literal in np.reshape(numbers, (-1, 3)).tolist():
        parts += [source[start : start + copied], rest[at : at + literal]]
        at += literal
        room -= copied + literal
        if start + copied > len(source) or at > len(rest) or room < 0:
            raise Corrupt("a piece of what is not there, or more than there is", field=REST)
    if at != len(rest):
        raise Corrupt(f"{len(rest) - at} bytes are left over", field=REST)
    return b"".join(parts)


def original(header: Header, payloads: Mapping[str, bytes]) -> bytes:
    """The file that was kept, from all sections of one that keeps it.

    Raises:
        CodestreamError: they are broken.
    """
    base_file = carriers.base_file(payloads["BASE"], base_shape(header, 1))
    kept = [payloads[tag] for tag in SOURCES if tag in payloads]
    if header.has_alpha and carriers.is_avif(payloads.get("ALPH", b"")):
        kept.append(carriers.base_file(payloads["ALPH"], (header.height, header.width, 1)))
    return unpack(payloads[REST], base_file, kept)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise Corrupt("a number without an end", field=REST)
