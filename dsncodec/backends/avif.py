"""AVIF as a base codec: lossy, by Pillow's libavif, 4:4:4 tuned for PSNR; grey as 4:0:0."""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from PIL.AvifImagePlugin import AvifImageFile

from ..errors import Corrupt, MissingComponent
from ..planes import pixels_of
from . import written_by

UInt8Array = NDArray[np.uint8]

if not features.check_module("avif"):
    raise MissingComponent("Pillow is built without libavif: install a wheel of Pillow 11.3 or later")

SPEEDS = (10, 9, 8, 7, 6, 6, 6, 5, 3, 2)  # libavif's, of effort 0..9
# Without row-mt, which libaom turns on at two threads, the bytes are the same at any number of them
_ADVANCED = {"tune": "psnr", "row-mt": "0"}
_ILOC = struct.Struct(">IBBHHHHII")  # version 0, sizes 4, 4, 0, one item of one extent
_SEQUENCE_HEADER = 1  # the kind of OBU
_FRAMES = (3, 6)  # a frame's header, with or without its tiles


def encode(colour: UInt8Array, quality: int, effort: int, threads: int) -> bytes:
    """(H, W, 1 or 3) to an AVIF file. More than one thread helps from 1024 x 1024 on, where there are tiles."""
    grey = colour.shape[2] == 1
    image = Image.fromarray(colour[..., 0]).convert("RGB") if grey else Image.fromarray(colour)
    buffer = io.BytesIO()
    image.save(
        buffer,
        "AVIF",
        quality=quality,
        speed=SPEEDS[effort],
        subsampling="4:0:0" if grey else "4:4:4",
        max_threads=threads,
        advanced=_ADVANCED,
    )
    with written_by(f"libavif {features.version_module('avif')}", instead="jpeg"):
        size_of(buffer.getvalue())
    return buffer.getvalue()


def decode(payload: bytes, shape: tuple[int, int, int]) -> UInt8Array:
    """An AVIF file to exactly ``shape`` (H, W, 1 or 3); its own sizes are compared before it is decoded.

    There are two: the one that a reader shows, and that of the coded frame, which libavif would scale.
    Not by Image.open, which has a limit of its own.
    """
    if size_of(payload) != shape[:2]:
        raise Corrupt(f"the payload says {size_of(payload)}, the header {shape[:2]}", field="avif")
    with AvifImageFile(io.BytesIO(payload)) as image:
        if image.size != (shape[1], shape[0]):
            raise Corrupt(f"the payload says {image.size}, the header {shape[1], shape[0]}", field="avif")
        image.load()
    vars(image).pop("_decoder", None)  # and with it libavif's own copies of the picture
    colour = image if image.mode == "RGB" else image.convert("RGB")
    return np.ascontiguousarray(pixels_of(colour)[..., : shape[2]])


def shorten(file: bytes, shape: tuple[int, int, int]) -> bytes:
    """What lies in the boxes: the coded picture. What they say besides, ``lengthen`` knows."""
    return file[len(_around(b"", shape)) :]


def lengthen(short: bytes, shape: tuple[int, int, int]) -> bytes:
    """The file that libavif makes of a coded picture (H, W, 1 or 3)."""
    return _around(short, shape) + short


def _around(coded: bytes, shape: tuple[int, int, int]) -> bytes:
    """The 275 (grey: 269) bytes before the coded picture. Source: ISO/IEC 14496-12, 23008-12 and 23000-22."""
    rows, columns, channels = shape
    grey = channels == 1
    kind = _box(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaf" + (b"" if grey else b"MA1A"))
    handler = _box(b"hdlr", bytes(8) + b"pict" + bytes(13))
    primary = _box(b"pitm", bytes(4) + struct.pack(">H", 1))
    item = _box(b"infe", bytes([2, 0, 0, 0, 0, 1, 0, 0]) + b"av01Color\0")
    items = _box(b"iinf", bytes(4) + struct.pack(">H", 1) + item)
    level = (
        int.from_bytes(coded[4:6], "big") >> 6 & 0x1F
    )  # behind 12 00 0a 09, after 5 bits of the sequence header
    profile = 0 if grey else 1
    properties = [
        _box(b"ispe", struct.pack(">III", 0, columns, rows)),
        _box(b"pixi", struct.pack(">IB", 0, channels) + b"\x08" * channels),
        _box(b"av1C", bytes([0x81, profile << 5 | level, 0x1C if grey else 0, 0])),
        _box(b"colr", b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)),
    ]
    links = _box(b"ipma", bytes([0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 4, 1, 2, 0x83, 4]))
    known = _box(b"iprp", _box(b"ipco", b"".join(properties)) + links)
    where_bytes = 8 + _ILOC.size
    before = len(kind) + 12 + len(handler) + len(primary) + where_bytes + len(items) + len(known) + 8
    where = _box(b"iloc", _ILOC.pack(0, 0x44, 0, 1, 1, 0, 1, before, len(coded)))
    meta = _box(b"meta", bytes(4) + handler + primary + where + items + known)
    return kind + meta + struct.pack(">I4s", 8 + len(coded), b"mdat")


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def size_of(payload: bytes) -> tuple[int, int]:
    """(rows, columns) of the coded frame of an AVIF file that is one still picture and nothing else.

    No film, grid, alpha or thumbnail: each would be a frame whose size nobody has looked at.
    Source: ISO/IEC 14496-12, 8.11 (the boxes); AV1 specification, 5.3 and 5.5 (the sequence header).
    """
    try:
        boxes = _boxes(payload)
        meta = _boxes(boxes[b"meta"][4:])
        where = _ILOC.unpack(meta[b"iloc"])
        items, item = struct.unpack_from(">H", meta[b"iinf"], 4), _boxes(meta[b"iinf"][6:])
        plain = items == (1,) and item[b"infe"][8:12] == b"av01" and b"moov" not in boxes
        if not plain or (where[:4], where[5:7]) != ((0, 0x44, 0, 1), (0, 1)):
            raise Corrupt("not a single still picture", field="avif")
        sizes = _frame_sizes(payload[where[7] : where[7] + where[8]])
    except (KeyError, IndexError, struct.error) as exc:
        raise Corrupt("not an AVIF file as this codec writes it", field="avif") from exc
    if len(sizes) != 1:
        raise Corrupt(f"{len(sizes)} sizes of the coded frame", field="avif")
    return sizes.pop()


def _boxes(data: bytes) -> dict[bytes, bytes]:
    """The contents of boxes that lie one behind the other, each kind once, with sizes of 32 bits."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if not 8 <= size <= len(data) - at or kind in found:
            raise Corrupt(f"impossible box {kind!r}", field="avif")
        found[kind] = data[at + 8 : at + size]
        at += size
    return found


def _frame_sizes(coded: bytes) -> set[tuple[int, int]]:
    """(rows, columns) of all sequence headers; under this kind of header, frames have just that size.

    There is one frame: a flat one of any size takes 300 bytes, and libavif would decode each of a thousand.
    """
    found, frames = set(), 0
    at = 0
    while at < len(coded):
        if coded[at] & 0x87 != 0x02:  # a length, and no extension
            raise Corrupt("impossible OBU header", field="avif")
        kind, length = coded[at] >> 3, 0
        for shift in range(0, 56, 7):  # leb128, of at most 8 bytes
            at += 1
            length |= (coded[at] & 0x7F) << shift
            if coded[at] < 0x80:
                break
        at += 1
        if kind == _SEQUENCE_HEADER:
            found.add(_frame_size(coded[at : at + length]))
        frames += kind in _FRAMES
        at += length
    if frames != 1:
        raise Corrupt(f"{frames} frames", field="avif")
    return found


def _frame_size(header: bytes) -> tuple[int, int]:
    bits, left = int.from_bytes(header[:8].ljust(8, b"\0"), "big"), 64

    def take(count: int) -> int:
        nonlocal left
        left -= count
        return bits >> left & ((1 << count) - 1)

    take(3)  # the profile
    if (take(1), take(1)) != (1, 1):  # still_picture, reduced_still_picture_header
        raise Corrupt("the sequence header is not that of a still picture", field="avif")
    take(5)  # the level
    width_bits, height_bits = take(4) + 1, take(4) + 1
    columns = take(width_bits) + 1
    return take(height_bits) + 1, columns
