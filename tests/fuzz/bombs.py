"""Small files that ask for much: memory, time, or a picture of another size than their header's.

Each is built here byte by byte around what the package itself writes; checksums are right.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import py7zr
from PIL import Image

import dsncodec
from dsncodec.methods.latentgrid import bitstream as grids
from dsncodec.options import CARRIERS

from .mutations import File, Part, taken_apart, with_right_checksums_7z

SIDE = 13_377  # squared just below the default limit, 178 956 970 pixels
GIB = 2**30


def _grey(width: int, height: int) -> Image.Image:
    return Image.new("L", (width, height), 128)


def _file(backend: str, width: int = 12, height: int = 10, mode: str = "L", method: str = "dsn") -> File:
    settings: dict[str, Any] = {"scale": 2} if method == "dsn" else {"base_quality": 50}
    settings[CARRIERS[method]] = backend
    image = _grey(width, height).convert(mode)
    return taken_apart(dsncodec.encode(image, method, effort=0, threads=1, **settings))


def _with(file: File, payload: bytes, width: int | None = None, height: int | None = None) -> bytes:
    """The file with another first payload, and perhaps another size."""
    file = file.with_part(1, replace(file.parts[1], payload=payload))
    return bytes(replace(file, width=width or file.width, height=height or file.height))


def bombs() -> Iterator[tuple[str, bytes]]:
    """(what it is, the file)."""
    for kind in (
        _container,
        _lzma2,
        _sevenzip,
        _j2k,
        _jxl,
        _jpegls,
        _webp,
        _avif,
        _recompressed,
        _lossy,
        _jpeg,
        _latentgrid,
    ):
        for name, data in kind():
            yield f"{kind.__name__[1:]}: {name}", data


# --- the container


def _container() -> Iterator[tuple[str, bytes]]:
    file = _file("jpegls")
    yield "2^31 - 1 pixels each way", bytes(replace(file, width=2**31 - 1, height=2**31 - 1))
    yield "as many pixels as the limit allows", bytes(replace(file, width=SIDE, height=SIDE))
    yield "one row of them", bytes(replace(file, width=SIDE * SIDE, height=1))
    yield "a section of 4 GiB", bytes(file.with_part(1, replace(file.parts[1], said=2**32 - 1)))
    many = tuple(Part(f"{chr(97 + n // 26)}{chr(97 + n % 26)}zz", b"") for n in range(62))
    yield "64 sections", bytes(replace(file, parts=(*file.parts, *many)))
    yield "65 535 sections", bytes(replace(file, count=65_535))
    yield "metadata of 32 MiB", bytes(replace(file, parts=(*file.parts, Part("iccp", bytes(2**25)))))


# --- LZMA2, bare and in 7z


def _lzma2_zeros(total: int) -> bytes:
    """Raw LZMA2 that inflates to zeros: one chunk of 2 MiB over and over, each with its state anew."""
    import lzma

    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**21}]
    chunk = lzma.compress(bytes(2**21), lzma.FORMAT_RAW, filters=filters)[:-1]
    assert chunk[0] & 0xE0 == 0xE0  # resets dictionary, properties and state
    return chunk * -(-total // 2**21) + b"\0"


def _lzma2() -> Iterator[tuple[str, bytes]]:
    file = _file("lzma2")
    bomb = b"\x01" + _lzma2_zeros(4 * GIB)
    yield "4 GiB where 30 symbols are due", _with(file, bomb)
    yield "4 GiB where 45 million symbols are due", _with(file, bomb, SIDE, SIDE)
    yield "45 million symbols said, 30 there", bytes(replace(file, width=SIDE, height=SIDE))
    yield (
        "a match beyond the start",
        _with(file, b"\x01\xe0\x00\x1d\x00\x05\x5d" + bytes(6) + b"\xff" * 8 + b"\0"),
    )


def _archive(member: bytes) -> bytes:
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", filters=[{"id": py7zr.FILTER_LZMA2, "preset": 0}]) as archive:
        archive.set_encoded_header_mode(False)
        archive.writestr(member, "layer.pgm")
    return buffer.getvalue()


def _number_7z(value: int) -> bytes:
    buffer = io.BytesIO()
    py7zr.archiveinfo.write_uint64(buffer, value)
    return buffer.getvalue()


def _sevenzip() -> Iterator[tuple[str, bytes]]:
    file = _file("7z")
    archive = file.parts[1].payload[1:]
    at = archive.index(b"\x21\x21\x01") + 3
    huge = with_right_checksums_7z(archive[:at] + b"\x28" + archive[at + 1 :])
    yield "a dictionary of 4 GiB", _with(file, b"\x02" + huge)
    (offset,) = struct.unpack_from("<Q", archive, 12)
    header, stream = archive[32 + offset :], _lzma2_zeros(4 * GIB)
    sizes = header.index(b"\x09") + 1  # of packed streams
    unpacked = header.index(b"\x0c") + 1
    member = len(b"P5\n6 5\n255\n") + 30
    assert header[sizes] < 0x80 and header[unpacked] == member
    for name, said in (("said so", 4 * GIB), ("said to be 41 bytes", member), ("said to be 2^62", 2**62)):
        lying = header[:sizes] + _number_7z(len(stream)) + header[sizes + 1 : unpacked]
        lying += _number_7z(said) + header[unpacked + 1 :]
        start = struct.pack("<QQI", len(stream), len(lying), 0)
        bomb = with_right_checksums_7z(archive[:8] + bytes(4) + start + stream + lying)
        yield f"4 GiB, {name}", _with(file, b"\x02" + bomb)
    yield (
        "a header of 2^63 bytes",
        _with(file, b"\x02" + archive[:12] + struct.pack("<QQ", 0, 2**63) + archive[28:]),
    )
    inflated = _archive(b"P5\n6 5\n255\n" + bytes(2**25))
    yield "32 MiB where 30 symbols are due", _with(file, b"\x02" + inflated)


# --- JPEG 2000, JPEG-LS


def _j2k() -> Iterator[tuple[str, bytes]]:
    file = _file("j2k")
    payload = file.parts[1].payload[1:]

    def sized(columns: int, rows: int, tile: tuple[int, int] | None = None, more: bytes = payload) -> bytes:
        tile = tile or (columns, rows)
        return b"\x03" + more[:8] + struct.pack(">II8xII", columns, rows, *tile) + more[32:]

    half = -(-SIDE // 2)
    cod = payload.index(b"\xff\x52")
    resolutions = payload[cod + 9] + 1
    yield "60 000 x 60 000 in a small file", _with(file, sized(60_000, 60_000))
    yield "2^32 - 1 each way", _with(file, sized(2**32 - 1, 2**32 - 1))
    yield "45 million symbols said by both, 30 there", _with(file, sized(half, half), SIDE, SIDE)
    yield "tiles of one sample", _with(file, sized(half, half, (1, 1)), SIDE, SIDE)
    for exponent in (0, 1):
        precincts = payload[: cod + 2] + struct.pack(">HB", 12 + resolutions, 1) + payload[cod + 5 : cod + 14]
        precincts += bytes([0x11 * exponent]) * resolutions + payload[cod + 14 :]
        for side in (500, half):
            name = f"precincts of {2**exponent} x {2**exponent} in {side} x {side}"
            said = min(2 * side, SIDE)
            yield name, _with(file, sized(side, side, more=precincts), said, said)
    layers = payload[: cod + 6] + b"\xff\xff" + payload[cod + 8 :]
    yield "65 535 layers", _with(file, sized(half, half, more=layers), SIDE, SIDE)
    blocks = payload[: cod + 10] + b"\0\0" + payload[cod + 12 :]
    yield "blocks of 4 x 4", _with(file, sized(half, half, more=blocks), SIDE, SIDE)
    yield "16 384 components", _with(file, b"\x03" + payload[:40] + b"\x40\0" + payload[42:])


def _jpegls() -> Iterator[tuple[str, bytes]]:
    file = _file("jpegls")
    payload = file.parts[1].payload

    def sized(columns: int, rows: int) -> bytes:
        return payload[:8] + struct.pack(">HH", rows, columns) + payload[12:]

    half = -(-SIDE // 2)
    yield "65 535 x 65 535 in a small file", _with(file, sized(65_535, 65_535))
    yield "45 million symbols said by both, 30 there", _with(file, sized(half, half), SIDE, SIDE)
    yield "no end", _with(file, payload[:-2])
    yield (
        "the size in a later segment",
        _with(file, payload[:3] + b"\xff\xf8\x00\x06\x04\x04" + bytes(2) + payload[3:]),
    )
    nearly = payload.index(b"\xff\xda") + 7
    yield "near lossless", _with(file, payload[:nearly] + b"\x7f" + payload[nearly + 1 :])


# --- JPEG XL


class Bits:
    """Bits to bytes, the lowest first."""

    def __init__(self) -> None:
        self.value = self.count = 0

    def put(self, *fields: tuple[int, int]) -> Bits:
        """Each field: how many bits, and the number they hold."""
        for count, value in fields:
            self.value |= value << self.count
            self.count += count
        return self

    def bytes(self) -> bytes:
        """Filled up with zeros."""
        return self.value.to_bytes(-(-self.count // 8), "little")


def _jxl_head(side: int, more: tuple[tuple[int, int], ...] = ()) -> bytes:
    size = Bits().put((1, 0), (2, 3), (30, side - 1), (3, 1))  # a square
    plain = ((6, 0b100000), (3, 0), (2, 0), (2, 1), (2, 1), (1, 0), (2, 2), (4, 11), (2, 1), (2, 0), (1, 1))
    return b"\xff\x0a" + size.put(*(more or plain)).bytes()


def _jxl_frame(kind: int, side: int | None, last: int, data: bytes) -> bytes:
    """A modular frame; with a side, of that size; the data as the only entry of its table of contents."""
    bits = Bits().put((1, 0), (2, kind), (1, 1), (2, 0), (3, 0), (2, 1))
    if kind == 0:
        bits.put((2, 0))
    bits.put((1, int(side is not None)))
    if side is not None:
        if kind == 0:
            bits.put((2, 0), (8, 0), (2, 0), (8, 0))
        bits.put((2, 3), (30, side - 18_688), (2, 3), (30, side - 18_688))
    if kind == 0:
        bits.put((2, 0), *(((2, 0),) if side is not None else ()), (1, last))
        if not last:
            bits.put((2, 1), (1, 0))
    else:
        bits.put((3, 1))
    bits.put((2, 0), (1, 0), (5, 0), (2, 0), (1, 0))
    return bits.bytes() + Bits().put((2, 0), (10, len(data))).bytes() + data


def _jxl() -> Iterator[tuple[str, bytes]]:
    file = _file("jxl", 16, 16)
    payload = file.parts[1].payload[1:]
    half = -(-SIDE // 2)
    assert payload[:3] == b"\xff\x0a\x41"  # 8 x 8
    body = payload[10:]
    for name, side, said in (("2^30", 2**30, 16), ("6 689", half, SIDE)):
        yield f"{name} each way", _with(file, b"\x04" + _jxl_head(side) + body, said, said)
    flat = _jxl_frame(0, None, 0, body[4:])
    for count in (10, 100_000):
        yield f"{count} frames", _with(file, b"\x04" + _jxl_head(8) + flat * count + body)
        yield (
            f"{count} frames of 45 million symbols",
            _with(file, b"\x04" + _jxl_head(half) + flat * count + body, SIDE, SIDE),
        )
    for kind, name in ((0, "a frame"), (2, "a frame for reference")):
        for side in (20_000, 2**30):
            frame = _jxl_frame(kind, side, 0, body[4:])
            yield (
                f"{name}, {side} each way, around a small picture",
                _with(file, b"\x04" + _jxl_head(8) + frame + body),
            )
    extras = ((1, 0), (1, 0), (1, 0), (2, 0), (1, 1), (2, 3), (12, 4095))
    yield "4 096 extra channels", _with(file, b"\x04" + _jxl_head(half, extras) + bytes(20_000), SIDE, SIDE)
    boxes = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl \0\0\0\0jxlc"
    yield "in boxes", _with(file, b"\x04" + boxes + payload)


# --- WebP


def _webp() -> Iterator[tuple[str, bytes]]:
    file = _file("webp")
    payload = file.parts[1].payload[1:]
    half = -(-SIDE // 2)

    def sized(side: int) -> bytes:
        bits = int.from_bytes(payload[21:25], "little") >> 28 << 28 | (side - 1) << 14 | (side - 1)
        return b"\x06" + payload[:21] + bits.to_bytes(4, "little") + payload[25:]

    yield "16 384 x 16 384 in a small file", _with(file, sized(16_384))
    yield "45 million symbols said by both, 30 there", _with(file, sized(half), SIDE, SIDE)
    canvas = b"VP8X" + struct.pack("<II", 10, 0x10) + (2**24 - 1).to_bytes(3, "little") * 2
    yield "a canvas of 2^24 each way", _with(file, b"\x06" + payload[:12] + canvas + payload[12:])
    yield "a chunk of 4 GiB", _with(file, b"\x06" + payload[:16] + b"\xff\xff\xff\xff" + payload[20:])


# --- AVIF, JPEG


def _whole(base: str, side: int) -> bytes:
    """A flat grey picture as a whole file of the base codec."""
    buffer = io.BytesIO()
    if base == "avif":
        _grey(side, side).convert("RGB").save(buffer, "AVIF", quality=50, speed=10, subsampling="4:0:0")
    else:
        _grey(side, side).save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


def _avif_of(avif: bytes, coded: bytes) -> bytes:
    """The file around other coded bytes, which must lie at its end."""
    old = struct.pack(">I", len(avif) - avif.rindex(b"mdat") - 4)
    at = avif.rindex(b"mdat") + 4
    head = avif[: at - 8] + struct.pack(">I", 8 + len(coded)) + b"mdat"
    place = head.index(struct.pack(">I", at) + old, head.index(b"iloc"))
    return head[: place + 4] + struct.pack(">I", len(coded)) + head[place + 8 :] + coded


def _avif() -> Iterator[tuple[str, bytes]]:
    file = _file("avif", 16, 16, method="restored")
    for name, side in (("16", 16), ("4 096", 4096)):
        avif = _whole("avif", side)
        coded = avif[avif.rindex(b"mdat") + 4 :]
        frame = 2 + 2 + coded[3]  # behind the delimiter and the sequence header
        assert coded[:3] == b"\x12\x00\x0a" and coded[frame] == 0x32
        film = _avif_of(avif, coded[:frame] + coded[frame:] * 2000)
        yield f"2 000 frames of {name} each way", _with(file, b"\x10" + film, side, side)
        at = avif.index(b"ispe") + 8
        for said in (side // 2, side * 2, SIDE):
            lying = avif[:at] + struct.pack(">II", said, said) + avif[at + 8 :]
            yield (
                f"{said} shown, {name} coded, {name} in the header",
                _with(file, b"\x10" + lying, side, side),
            )
            yield (
                f"{said} shown, {name} coded, {said} in the header",
                _with(file, b"\x10" + lying, said, said),
            )
        short = coded[:frame] + coded[frame:] * 2000
        yield f"2 000 frames of {name} each way, short form", _with(file, b"\x14" + short, side, side)
        for said in (side // 2, SIDE):
            yield f"{name} coded, {said} in the header, short form", _with(file, b"\x14" + coded, said, said)
    endless = coded[:2] + b"\x32" + b"\xff" * 7 + b"\x7f"
    yield "an OBU of 2^56 bytes", _with(file, b"\x10" + _avif_of(avif, endless), 4096, 4096)
    avif = _whole("avif", 16)
    for old, new in ((b"av01", b"grid"), (b"meta", b"moov"), (b"av1C", b"irot"), (b"pixi", b"clap")):
        yield f"{new.decode()} for {old.decode()}", _with(file, b"\x10" + avif.replace(old, new))


def _jpeg_segments(data: bytes) -> list[tuple[int, bytes]]:
    """(marker, the segment with what follows it up to the next) behind SOI."""
    found, at = [], 2
    while data[at + 1] != 0xD9:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xDA:
            while data[end] != 0xFF or data[end + 1] == 0:
                end += 1
        found.append((data[at + 1], data[at:end]))
        at = end
    return found


def _recompressed() -> Iterator[tuple[str, bytes]]:
    """A JPEG file's short form: u16 length of jbrd, jbrd, u16 bytes before it, codestream."""
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 256, (64, 64, 3), np.uint8))
    file = taken_apart(dsncodec.encode(noise, base="jpeg", base_quality=50, effort=0, threads=1))
    payload = file.parts[1].payload
    assert payload[0] == 21
    (length,) = struct.unpack_from("<H", payload, 1)
    recipe, rest = payload[3 : 3 + length], payload[3 + length :]

    def joined(recipe: bytes, rest: bytes) -> bytes:
        return b"\x15" + struct.pack("<H", len(recipe)) + recipe + rest

    markers = Bits().put((1, 0), *[(6, 0x1A)] * 16_000, (6, 0x19)).bytes()
    yield "16 000 scans", _with(file, joined(markers + recipe, rest))
    application = Bits().put((1, 0), *[(6, 0x20)] * 16_000, (6, 0x19)).bytes()
    yield "16 000 application segments", _with(file, joined(application + recipe, rest))
    tail = Bits().put((1, 0), *[(6, 0x20)] * 70, (6, 0x19), *[(16, 65_535)] * 200).bytes()
    yield "70 segments of 64 KiB, not there", _with(file, joined(tail, rest))
    yield "said to be as large as the limit allows", _with(file, payload, SIDE, SIDE)
    head, body = rest[:2], rest[2:]
    (before,) = struct.unpack("<H", head)
    size = Bits().put((1, 0), (2, 3), (30, SIDE - 1), (3, 1))
    plain = ((6, 0b100000), (3, 0), (1, 1), (2, 0), (1, 1))
    large = b"\xff\x0a" + size.put(*plain).bytes() + body[before:]
    yield "as large as that, 64 there", _with(file, joined(recipe, head + large), SIDE, SIDE)
    for many in (2, 10_000):
        yield f"{many} codestreams", _with(file, joined(recipe, head + body[:before] + body[before:] * many))
    yield "a recipe of 64 KiB", _with(file, joined(recipe + bytes(65_000), rest))


def _lossy() -> Iterator[tuple[str, bytes]]:
    """Base codecs JPEG XL and JPEG 2000, by what the lossless ones are tried with."""
    file = _file("jxl", 16, 16, "RGB", "restored")
    payload = file.parts[1].payload
    default = ((1, 1), (1, 1))
    for name, said, inside in (("2^30 in a small file", 16, 2**30), ("6 689 there, 13 377 said", SIDE, 6689)):
        yield f"jxl: {name}", _with(file, b"\x12" + _jxl_head(inside, default) + payload[4:], said, said)
    frame = _jxl_frame(0, None, 0, payload[8:])
    for side in (16, SIDE):
        film = _jxl_head(side, default) + frame * 10_000 + payload[4:]
        yield f"jxl: 10 000 frames of {side} each way", _with(file, b"\x12" + film, side, side)
    around = _jxl_head(16, default) + _jxl_frame(2, 2**30, 0, payload[8:]) + payload[4:]
    yield "jxl: a frame of 2^30 for reference", _with(file, b"\x12" + around)
    file = _file("j2k", 16, 16, "RGB", "restored")
    payload = file.parts[1].payload[1:]
    cod = payload.index(b"\xff\x52")
    sized = payload[:8] + struct.pack(">II8xII", SIDE, SIDE, SIDE, SIDE) + payload[32:]
    yield (
        "j2k: 60 000 x 60 000 in a small file",
        _with(file, b"\x13" + payload[:8] + struct.pack(">II", 60_000, 60_000) + payload[16:]),
    )
    yield (
        "j2k: as large as the limit allows, said by both, 16 there",
        _with(file, b"\x13" + sized, SIDE, SIDE),
    )
    resolutions = payload[cod + 9] + 1
    precincts = struct.pack(">HB", 12 + resolutions, 1) + sized[cod + 5 : cod + 14] + b"\x11" * resolutions
    yield (
        "j2k: precincts of 2 x 2",
        _with(file, b"\x13" + sized[: cod + 2] + precincts + sized[cod + 14 :], SIDE, SIDE),
    )
    layers = sized[: cod + 6] + b"\xff\xff" + sized[cod + 8 :]
    yield "j2k: 65 535 layers", _with(file, b"\x13" + layers, SIDE, SIDE)


def _jpeg() -> Iterator[tuple[str, bytes]]:
    file = _file("jpeg", 16, 16, method="restored")
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 256, (64, 64), np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG", quality=50, progressive=True)
    segments = _jpeg_segments(buffer.getvalue())
    tables = b"".join(data for marker, data in segments if marker == 0xDB)
    codes = {data[4] >> 4: data for marker, data in segments if marker == 0xC4}
    (sof,) = (data for marker, data in segments if marker == 0xC2)
    first = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x01\x00"
    more = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00\x00"
    for side in (64, 2000, SIDE):
        for scans in (1, 10_000):
            head = tables + sof[:5] + struct.pack(">HH", side, side) + sof[9:] + codes[0] + codes[1]
            data = b"\xff\xd8" + head + first + more * scans + b"\xff\xd9"
            yield f"{scans + 1} scans of {side} x {side}", _with(file, b"\x11" + data, side, side)
    jpeg = _whole("jpeg", 16)
    at = jpeg.index(b"\xff\xc0") + 5
    for name, said in (("in a small file", 16), ("said by both, 256 there", SIDE)):
        lying = jpeg[:at] + struct.pack(">HH", *(2 * [65_500 if said == 16 else said])) + jpeg[at + 4 :]
        yield f"as many pixels as there can be, {name}", _with(file, b"\x11" + lying, said, said)
    buffer = io.BytesIO()
    _grey(16, 16).convert("RGB").save(buffer, "JPEG", quality=50)
    colour = buffer.getvalue()
    size = colour.index(b"\xff\xc0") + 5
    lying = colour[:size] + struct.pack(">HH", SIDE, SIDE) + colour[size + 4 :]
    yield "the same in colour", _with(_file("jpeg", 16, 16, "RGB", "restored"), b"\x11" + lying, SIDE, SIDE)
    second = (
        jpeg[:2] + jpeg[at - 5 : at] + struct.pack(">HH", 65_500, 65_500) + jpeg[at + 4 : at + 8] + jpeg[2:]
    )
    yield "two sizes", _with(file, b"\x11" + second)
    yield (
        "height 0, said later",
        _with(file, b"\x11" + jpeg[:at] + b"\0\0" + jpeg[at + 2 : -2] + b"\xff\xdc\0\x04\xff\xdc\xff\xd9"),
    )
    hidden = jpeg[: at - 5] + b"\xff\x01\x00\x40" + more * 6 + jpeg[at - 5 :]
    yield "scans behind a marker without a length", _with(file, b"\x11" + hidden)
    yield (
        "a frame inside a comment",
        _with(file, b"\x11" + jpeg[:2] + b"\xff\xfe\x00\x0d" + jpeg[at - 5 : at + 6] + jpeg[2:]),
    )


def _latentgrid() -> Iterator[tuple[str, bytes]]:
    """Bands of no bytes are symbols, too: as many as the size says."""
    lists = [np.zeros(count, np.int32) for count in grids.counts(8)]
    parts = {
        "PARM": grids.Parameters(8, grids.ZERO_INIT, (0,) * 6).pack(),
        "NETW": grids.pack_weights(lists),
        "LATS": bytes(-(-SIDE // grids.BAND)),
    }
    file = File(2, 4, 1, SIDE, SIDE, tuple(Part(tag, payload) for tag, payload in parts.items()))
    yield "as many symbols as the limit allows, of no bytes", bytes(file)
    yield "fewer bands than rows need", bytes(replace(file, height=SIDE + 2 * grids.BAND, width=1))
    long = Part("LATS", b"\xff\xff\xff\xff\x0f" * 27)
    yield "bands of 4 GiB", bytes(file.with_part(2, long))
