"""Broken .dsn files as someone who knows the format makes them: parts cut, swapped, repeated, spliced, and lied about,
and every checksum right afterwards. Only the standard library, and no code of the package: what writes a lie must
not share the reader's ideas.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

MAGIC = b"\x8eDSN"
MAGIC_1 = MAGIC + b"\r\n\x1a\n"
CODES = {
    "LUMA": 1,
    "CHRO": 2,
    "BASE": 3,
    "ALPH": 4,
    "NETW": 5,
    "LATS": 6,
    "iccp": 128,
    "exif": 129,
    "xmp ": 130,
    "dpi ": 131,
    "rest": 132,
    "txtr": 133,
}  # of version 2
SIZES = (
    0,
    1,
    2,
    3,
    5,
    7,
    8,
    15,
    16,
    17,
    63,
    64,
    255,
    256,
    4095,
    4096,
    13_377,
    65_535,
    65_536,
    2**24,
    2**31 - 1,
    2**32 - 1,
)
BACKENDS = (0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 255)


@dataclass(frozen=True)
class Part:
    """A section; ``said`` is the length that the file gives for it, None for the true one."""

    tag: str
    payload: bytes
    said: int | None = None


@dataclass(frozen=True)
class File:
    """A codestream taken apart; ``count`` is the number of sections it claims, None for the true one.

    ``parts`` begins with the parameters, in both versions.
    """

    version: int
    method: int
    mode: int
    width: int
    height: int
    parts: tuple[Part, ...]
    count: int | None = None
    flags: int = 0

    def __bytes__(self) -> bytes:
        return _bytes_1(self) if self.version == 1 else _bytes_2(self)

    def with_part(self, at: int, part: Part) -> File:
        """The same file with another section in one place."""
        return replace(self, parts=(*self.parts[:at], part, *self.parts[at + 1 :]))


def _bytes_1(file: File) -> bytes:
    count = len(file.parts) if file.count is None else file.count
    fixed = struct.pack(
        "<8sBBBBIIH",
        MAGIC_1,
        1,
        file.flags & 255,
        file.method & 255,
        file.mode & 255,
        file.width & 0xFFFFFFFF,
        file.height & 0xFFFFFFFF,
        count & 0xFFFF,
    )
    out = [fixed, struct.pack("<I", zlib.crc32(fixed))]
    for part in file.parts:
        tag = part.tag.encode("latin-1")
        said = len(part.payload) if part.said is None else part.said & 0xFFFFFFFF
        out += [struct.pack("<4sII", tag, said, zlib.crc32(tag + part.payload)), part.payload]
    return b"".join(out)


def _bytes_2(file: File) -> bytes:
    parameters, rest = file.parts[0], file.parts[1:]
    said = len(parameters.payload) if parameters.said is None else parameters.said
    count = len(rest) if file.count is None else file.count
    out = [
        MAGIC,
        bytes([2, (16 * file.method + file.mode) & 255]),
        varint(file.width),
        varint(file.height),
        varint(said),
        parameters.payload,
        bytes([count & 255]),
    ]
    for part in rest:
        code = CODES.get(part.tag, sum(part.tag.encode("latin-1")) & 255)
        said = len(part.payload) if part.said is None else part.said
        out += [bytes([code]), varint(said), struct.pack("<I", zlib.crc32(part.payload))]
    fixed = b"".join(out)
    return b"".join([fixed, struct.pack("<I", zlib.crc32(fixed)), *(part.payload for part in rest)])


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def taken_apart(data: bytes) -> File:
    """The parts of a whole file of either version."""
    return _parts_1(data) if data[:8] == MAGIC_1 else _parts_2(data)


def _parts_1(data: bytes) -> File:
    _, _, flags, method, mode, width, height, count = struct.unpack_from("<8sBBBBIIH", data)
    parts, at = [], 26
    for _ in range(count):
        tag, length, _ = struct.unpack_from("<4sII", data, at)
        parts.append(Part(tag.decode("latin-1"), data[at + 12 : at + 12 + length]))
        at += 12 + length
    return File(1, method, mode, width, height, tuple(parts), flags=flags)


def _parts_2(data: bytes) -> File:
    at = 6

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            at += 1
            value |= (data[at - 1] & 0x7F) << shift
            if data[at - 1] < 0x80:
                return value
            shift += 7

    width, height, length = number(), number(), number()
    parameters = Part("PARM", data[at : at + length])
    at += length + 1
    names = {code: tag for tag, code in CODES.items()}
    table = []
    for _ in range(data[at - 1]):
        at += 1
        table.append((names[data[at - 1]], number()))
        at += 4
    at += 4
    parts = [parameters]
    for tag, length in table:
        parts.append(Part(tag, data[at : at + length]))
        at += length
    return File(2, data[5] >> 4, data[5] & 15, width, height, tuple(parts))


def with_right_checksums(data: bytes) -> bytes:
    """The same bytes with every CRC-32 of the container made right, as far as its lengths make sense."""
    fixed = bytearray(data)
    if data[:8] == MAGIC_1 and len(data) >= 26:
        struct.pack_into("<I", fixed, 22, zlib.crc32(fixed[:22]))
        at = 26
        while at + 12 <= len(fixed):
            (length,) = struct.unpack_from("<I", fixed, at + 4)
            payload = fixed[at + 12 : at + 12 + length]
            struct.pack_into("<I", fixed, at + 8, zlib.crc32(payload, zlib.crc32(fixed[at : at + 4])))
            at += 12 + length
        return bytes(fixed)
    try:
        spans, at = _table_2(data)
    except IndexError:
        return data
    for place, start, stop in spans:
        struct.pack_into("<I", fixed, place, zlib.crc32(data[start:stop]))
    if at + 4 <= len(fixed):
        struct.pack_into("<I", fixed, at, zlib.crc32(fixed[:at]))
    return bytes(fixed)


def _table_2(data: bytes) -> tuple[list[tuple[int, int, int]], int]:
    """(place of the checksum, start, stop) of each payload, and where the header's own checksum is."""
    at = 6

    def number() -> int:
        nonlocal at
        value = 0
        for shift in range(0, 35, 7):
            at += 1
            value |= (data[at - 1] & 0x7F) << shift
            if data[at - 1] < 0x80:
                break
        return value

    number(), number()
    parameters = number()
    at += parameters + 1
    rows = []
    for _ in range(data[at - 1]):
        at += 1
        length = number()
        rows.append((at, length))
        at += 4
    spans, start = [], at + 4
    for place, length in rows:
        if place + 4 <= len(data):
            spans.append((place, start, start + length))
        start += length
    return spans, at


# --- inside the payloads


def with_right_checksums_7z(archive: bytes) -> bytes:
    """A 7z archive whose two header checksums are right again."""
    if len(archive) < 32:
        return archive
    offset, length = struct.unpack_from("<QQ", archive, 12)
    header = archive[32 + offset : 32 + offset + length] if offset + length < len(archive) else b""
    start = archive[12:28] + struct.pack("<I", zlib.crc32(header))
    return archive[:8] + struct.pack("<I", zlib.crc32(start)) + start + archive[32:]


def _repaired(part: Part) -> Part:
    if part.payload[1:7] == b"7z\xbc\xaf\x27\x1c":
        return replace(part, payload=part.payload[:1] + with_right_checksums_7z(part.payload[1:]))
    return part


def _one(file: File, rng: random.Random, first: int = 0) -> tuple[int, Part]:
    at = rng.randrange(min(first, len(file.parts) - 1), len(file.parts))
    return at, file.parts[at]


def _payload(file: File, rng: random.Random, change: Callable[[bytearray], None]) -> File:
    """One section but the parameters, changed behind its first byte."""
    at, part = _one(file, rng, 1)
    data = bytearray(part.payload)
    if len(data) > 1:
        change(data)
    return file.with_part(at, _repaired(replace(part, payload=bytes(data))))


# --- the mutations: a file, a generator of random numbers, and files to take parts from -> a file


def flip_bytes(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """One to eight bytes of a payload."""

    def change(data: bytearray) -> None:
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            data[rng.randrange(1, len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))

    return _payload(file, rng, change)


def flip_bit(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """One bit of a payload."""

    def change(data: bytearray) -> None:
        data[rng.randrange(1, len(data))] ^= 1 << rng.randrange(8)

    return _payload(file, rng, change)


def write_number(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """A number of two, four or eight bytes inside a payload, in either order, as sizes and lengths are."""

    def change(data: bytearray) -> None:
        at, value = rng.randrange(1, len(data)), rng.choice(SIZES)
        packed = value.to_bytes(8, "little")[: rng.choice((2, 4, 8))]
        packed = packed if rng.random() < 0.5 else packed[::-1]
        data[at : at + len(packed)] = packed[: len(data) - at]

    return _payload(file, rng, change)


def cut_payload(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """A payload that ends too soon; the container says so."""
    at, part = _one(file, rng)
    return file.with_part(at, replace(part, payload=part.payload[: rng.randrange(len(part.payload) + 1)]))


def move_bytes(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """A piece of a payload taken out, repeated, or put elsewhere."""

    def change(data: bytearray) -> None:
        start = rng.randrange(1, len(data))
        piece = data[start : start + rng.choice((1, 2, 4, 12, 40))]
        if rng.random() < 0.5:
            del data[start : start + len(piece)]
        if rng.random() < 0.7:
            at = rng.randrange(1, len(data) + 1)
            data[at:at] = piece * rng.choice((1, 1, 2, 100))

    return _payload(file, rng, change)


def drop_part(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """A section less."""
    at = rng.randrange(1, len(file.parts))
    return replace(file, parts=file.parts[:at] + file.parts[at + 1 :])


def repeat_part(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """A section twice, or under another tag, or seventy times."""
    at, part = _one(file, rng, 1)
    tag = rng.choice((part.tag, "BASE", "LUMA", "CHRO", "ALPH", "exif", "Zzzz", "zzzz"))
    copies = rng.choice((1, 1, 1, 70))
    return replace(file, parts=(*file.parts[:at], *[replace(part, tag=tag)] * copies, *file.parts[at:]))


def shuffle_parts(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """Sections in another order: a reader takes any."""
    parts = list(file.parts[1:])
    rng.shuffle(parts)
    return replace(file, parts=(file.parts[0], *parts))


def swap_payloads(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """Two sections with each other's payload."""
    (a, one), (b, other) = _one(file, rng), _one(file, rng)
    file = file.with_part(a, replace(one, payload=other.payload))
    return file.with_part(b, replace(other, payload=one.payload))


def splice(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """A payload of another file, with or without the byte that names its coder; or one half of each."""
    at, part = _one(file, rng, 1)
    payload = _one(rng.choice(others), rng, 1)[1].payload
    kind = rng.randrange(3)
    if kind == 1:
        payload = part.payload[:1] + payload[1:]
    elif kind == 2:
        cut = rng.randrange(len(part.payload) + 1)
        payload = part.payload[:cut] + payload[cut:]
    return file.with_part(at, _repaired(replace(part, payload=payload)))


def cross(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """One file's header over another's sections, or its parameters over them."""
    other = rng.choice(others)
    if rng.random() < 0.5:
        return replace(file, parts=other.parts)
    return replace(file, parts=(file.parts[0], *other.parts[1:]))


def lie_size(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """Another width or height, or both turned round."""
    kind = rng.randrange(4)
    if kind == 0:
        return replace(file, width=file.height, height=file.width)
    near = rng.random() < 0.5
    side = (
        max(0, (file.width if kind == 1 else file.height) + rng.choice((-2, -1, 1, 2)))
        if near
        else rng.choice(SIZES)
    )
    return replace(file, width=side) if kind == 1 else replace(file, height=side)


def lie_kind(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """Another mode, method, version, or flags."""
    kind = rng.randrange(4)
    if kind == 0:
        return replace(file, mode=rng.randrange(6))
    if kind == 1:
        return replace(file, method=rng.randrange(4))
    if kind == 2:
        return replace(file, version=3 - file.version)
    return replace(file, flags=1 << rng.randrange(8))


def lie_length(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """A section whose length is not what the container says."""
    at, part = _one(file, rng)
    near = max(0, len(part.payload) + rng.choice((-13, -1, 1, 4, 12)))
    return file.with_part(at, replace(part, said=rng.choice((near, near, rng.choice(SIZES)))))


def lie_count(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """Another number of sections than there are."""
    count = rng.choice((0, 1, len(file.parts) - 1, len(file.parts) + 1, 64, 65, 255, 65_535))
    return replace(file, count=count)


def lie_parameters(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """Scale, levels, quality, strength, or the network's id; or another file's parameters."""
    part = file.parts[0]
    data = bytearray(part.payload)
    if rng.random() < 0.2:
        data = bytearray(rng.choice(others).parts[0].payload)
    elif data:
        data[rng.randrange(min(len(data), 5))] = rng.choice(
            (0, 1, 2, 3, 4, 16, 17, 64, 100, 101, 255, rng.randrange(256))
        )
    return file.with_part(0, replace(part, payload=bytes(data)))


def lie_backend(file: File, rng: random.Random, others: Sequence[File]) -> File:
    """A payload under the number of another coder."""
    at, part = _one(file, rng, 1)
    return file.with_part(at, replace(part, payload=bytes([rng.choice(BACKENDS)]) + part.payload[1:]))


MUTATIONS = (
    flip_bytes,
    flip_bytes,
    flip_bytes,
    flip_bit,
    flip_bit,
    write_number,
    write_number,
    write_number,
    cut_payload,
    move_bytes,
    move_bytes,
    drop_part,
    repeat_part,
    shuffle_parts,
    swap_payloads,
    splice,
    splice,
    cross,
    lie_size,
    lie_size,
    lie_kind,
    lie_length,
    lie_count,
    lie_parameters,
    lie_parameters,
    lie_backend,
)


def mutated(files: Sequence[File], seed: int, of: int | None = None) -> tuple[str, bytes]:
    """Some file, one to three mutations later: the same for the same files and seed, on any machine.

    Args:
        of: the file to begin with; by default any.
    Returns:
        What was done, and the bytes.
    """
    rng = random.Random(seed)
    start = rng.randrange(len(files)) if of is None else of
    file, done = files[start], [f"file {start}"]
    for _ in range(rng.choice((1, 1, 2, 3))):
        mutation = rng.choice(MUTATIONS)
        if len(file.parts) > 1:
            file = mutation(file, rng, files)
            done.append(mutation.__name__)
    data = bytes(file)
    if rng.random() < 0.03:
        data = with_right_checksums(data[: rng.randrange(len(data))])
        done.append("cut_file")
    return ", ".join(done), data
