"""AVIF as a base codec: lossy, 4:4:4, grey as 4:0:0.

Tuned for PSNR: 8 bits by Pillow's libavif. Tuned for the eye: tune=iq, colour in 10 bits by the libavif of imagecodecs, whose
own tune that is from 1.4 on; grey, and colour where there is an older one, in 8 bits by Pillow's.
"""

from __future__ import annotations

import functools
import io
import re
import struct

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from PIL.AvifImagePlugin import AvifImageFile

from ...errors import Corrupt, MissingComponent, SettingError
from ...planes import pixels_of
from .. import Adopted, Kept, checked_output
from ..boxes import box, listed

UInt8Array = NDArray[np.uint8]
UInt16Array = NDArray[np.uint16]

if not features.check_module("avif"):
    raise MissingComponent("Pillow is built without libavif: install a wheel of Pillow 11.3 or later")

# libavif's, of effort 0..9. For squared error a larger network comes with effort 6; for the eye there is one network, and each
# speed pays by itself
SPEEDS = {"psnr": (10, 9, 8, 7, 6, 6, 6, 5, 3, 2), "visual": (10, 9, 9, 8, 7, 6, 5, 4, 3, 2)}
# Without row-mt, which libaom turns on at two threads, the bytes are the same at any number of them
_ROW_MT = {"row-mt": "0"}
# What is tried in turn: libaom before 3.12 does not know iq
_TUNES = {"psnr": ("psnr",), "visual": ("iq", "ssim")}
# Imagecodecs has no such switch; with two threads or more libaom always takes row-mt, and the bytes are the same
_LEAST_THREADS_OF_DEEP = 2
_DEEP = 10
_TUNED_FROM = (1, 4)
_TEN_BITS = ((np.arange(256) * 1023 + 127) // 255).astype(np.uint16)
_ILOC = struct.Struct(">IBBHHHHII")  # version 0, sizes 4, 4, 0, one item of one extent
_OF_ONE_PICTURE = {b"hdlr", b"pitm", b"iloc", b"iinf", b"iprp"}
_SEQUENCE_HEADER = 1  # the kind of OBU
_FRAMES = (3, 6)  # a frame's header, with or without its tiles


def encode(colour: UInt8Array, quality: int, effort: int, threads: int, tune: str = "psnr") -> bytes:
    """(H, W, 1 or 3) to an AVIF file. More than one thread helps from 1024 x 1024 on, where there are tiles.

    Args:
        tune: "psnr", or "visual".
    """
    deep = tune == "visual" and colour.shape[2] == 3 and _has_deep()
    file = (_encode_deep if deep else _encode)(colour, quality, effort, threads, tune)
    with checked_output(f"libavif {features.version_module('avif')}", instead="jpeg"):
        size_of(file)
    return file


def _encode(colour: UInt8Array, quality: int, effort: int, threads: int, tune: str) -> bytes:
    """8 bits a sample, by Pillow."""
    grey = colour.shape[2] == 1
    image = Image.fromarray(colour[..., 0]).convert("RGB") if grey else Image.fromarray(colour)
    for name in _TUNES[tune]:
        buffer = io.BytesIO()
        try:
            image.save(
                buffer,
                "AVIF",
                quality=quality,
                speed=SPEEDS[tune][effort],
                subsampling="4:0:0" if grey else "4:4:4",
                max_threads=threads,
                advanced={"tune": name, **_ROW_MT},
            )
        except ValueError:
            if name == _TUNES[tune][-1]:
                raise
            continue
        break
    return buffer.getvalue()


def _encode_deep(colour: UInt8Array, quality: int, effort: int, threads: int, tune: str) -> bytes:
    """10 bits a sample, by imagecodecs; the colours are said to be those that Pillow says."""
    file = imagecodecs.avif_encode(
        _ten_bits(colour),
        level=quality,
        speed=SPEEDS[tune][effort],
        bitspersample=_DEEP,
        pixelformat="444",
        codec="aom",
        primaries=1,
        transfer=13,
        matrix=6,
        numthreads=max(_LEAST_THREADS_OF_DEEP, threads),
    )
    return bytes(file)


def _ten_bits(values: UInt8Array) -> UInt16Array:
    """0..255 spread over 0..1023."""
    return _TEN_BITS[values]


@functools.cache
def _has_deep() -> bool:
    """Whether the libavif of imagecodecs is tuned for the eye by itself."""
    if not imagecodecs.AVIF.available:
        return False
    found = re.search(r"(\d+)\.(\d+)", imagecodecs.avif_version())
    return found is not None and (int(found[1]), int(found[2])) >= _TUNED_FROM


def decode(payload: bytes, shape: tuple[int, int, int]) -> UInt8Array | UInt16Array:
    """An AVIF file to exactly ``shape`` (H, W, 1 or 3), uint8, or uint16 in 0..1023 of a file of 10 bits; its own sizes are
    compared before it is decoded.

    There are two: the one that a reader shows, and that of the coded frame, which libavif would scale.
    Not by Image.open, which has a limit of its own.

    Raises:
        MissingComponent: a file of 10 bits, and imagecodecs is built without libavif.
    """
    if size_of(payload) != shape[:2]:
        raise Corrupt(f"the payload says {size_of(payload)}, the header {shape[:2]}", field="avif")
    with AvifImageFile(io.BytesIO(payload)) as image:
        if image.size != (shape[1], shape[0]):
            raise Corrupt(f"the payload says {image.size}, the header {shape[1], shape[0]}", field="avif")
        if is_deep(payload):
            return _decode_deep(payload, shape)
        image.load()
    vars(image).pop("_decoder", None)  # and with it libavif's own copies of the picture
    colour = image if image.mode == "RGB" else image.convert("RGB")
    return np.ascontiguousarray(pixels_of(colour)[..., : shape[2]])


def _decode_deep(payload: bytes, shape: tuple[int, int, int]) -> UInt16Array:
    """Colour of 10 bits."""
    if not imagecodecs.AVIF.available:
        raise MissingComponent("imagecodecs is built without libavif, which AVIF of 10 bits needs")
    colour: UInt16Array = imagecodecs.avif_decode(payload, numthreads=1)
    if colour.shape != shape or colour.dtype != np.uint16:
        raise Corrupt(f"{colour.dtype} {colour.shape}, not colour of {_DEEP} bits", field="avif")
    return colour


def is_deep(file: bytes) -> bool:
    """Whether a file that ``size_of`` accepts has more than 8 bits a sample.

    Raises:
        Corrupt: it has 12.
    """
    meta = _boxes(_boxes(file)[b"meta"][4:])
    where = _ILOC.unpack(meta[b"iloc"])
    return _depth_of(file[where[7] : where[7] + where[8]]) == _DEEP


def strip_container(file: bytes, shape: tuple[int, int, int]) -> bytes:
    """What lies in the boxes: the coded picture. What they say besides, ``restore_container`` knows."""
    return file[len(_around(b"", shape)) :]


def restore_container(short: bytes, shape: tuple[int, int, int]) -> bytes:
    """The file that libavif makes of a coded picture (H, W, 1 or 3)."""
    return _around(short, shape) + short


def _around(coded: bytes, shape: tuple[int, int, int]) -> bytes:
    """The 275 (grey: 269) bytes before the coded picture. Source: ISO/IEC 14496-12, 23008-12 and 23000-22."""
    rows, columns, channels = shape
    grey = channels == 1
    depth = _depth_of(coded) if coded else 8
    kind = box(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaf" + (b"" if grey else b"MA1A"))
    handler = box(b"hdlr", bytes(8) + b"pict" + bytes(13))
    primary = box(b"pitm", bytes(4) + struct.pack(">H", 1))
    item = box(b"infe", bytes([2, 0, 0, 0, 0, 1, 0, 0]) + b"av01Color\0")
    items = box(b"iinf", bytes(4) + struct.pack(">H", 1) + item)
    level = (
        int.from_bytes(coded[4:6], "big") >> 6 & 0x1F
    )  # behind 12 00 0a 09, after 5 bits of the sequence header
    profile = 0 if grey else 1
    properties = [
        box(b"ispe", struct.pack(">III", 0, columns, rows)),
        box(b"pixi", struct.pack(">IB", 0, channels) + bytes([depth]) * channels),
        box(
            b"av1C",
            bytes([0x81, profile << 5 | level, (0x1C if grey else 0) | (0x40 if depth == _DEEP else 0), 0]),
        ),
        box(b"colr", b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)),
    ]
    links = box(b"ipma", bytes([0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 4, 1, 2, 0x83, 4]))
    known = box(b"iprp", box(b"ipco", b"".join(properties)) + links)
    where_bytes = 8 + _ILOC.size
    before = len(kind) + 12 + len(handler) + len(primary) + where_bytes + len(items) + len(known) + 8
    where = box(b"iloc", _ILOC.pack(0, 0x44, 0, 1, 1, 0, 1, before, len(coded)))
    meta = box(b"meta", bytes(4) + handler + primary + where + items + known)
    return kind + meta + struct.pack(">I4s", 8 + len(coded), b"mdat")


# What an orientation of EXIF is in AVIF: quarter turns against the clock, and then the axis of a mirror
_TURNS = {2: (None, 1), 3: (2, None), 4: (None, 0), 5: (1, 0), 6: (3, None), 7: (3, 0), 8: (1, None)}
_ESSENTIAL = 0x80
_ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
# as the first files said it
_OLD_ALPHA = b"urn:mpeg:hevc:2015:auxid:1\0"


def enclose(file: bytes, shape: tuple[int, int, int], kept: Kept) -> tuple[bytes, dict[str, str]]:
    """The file with items of EXIF and XMP, an ICC profile, and alpha as a second coded picture, lossless.

    EXIF's orientation also becomes a property of the picture: readers of AVIF go by that alone.
    Source: ISO/IEC 14496-12, 8.11; 23008-12, 6.5 (properties) and A.2.1 (EXIF); 23000-22 (alpha).
    """
    size_of(file)  # raises unless the boxes are those that this module knows
    meta = _boxes(_boxes(file)[b"meta"][4:])
    properties, links = _properties(meta[b"iprp"])
    left_out: dict[str, str] = {}

    def added(kind: bytes, content: bytes, essential: bool = False) -> int:
        properties.append(box(kind, content))
        return len(properties) | (_ESSENTIAL if essential else 0)

    if kept.icc:
        links.append(added(b"colr", b"prof" + kept.icc))
    turns, mirror = _TURNS.get(kept.orientation, (None, None))
    turned = []
    if turns is not None:
        turned.append(added(b"irot", bytes([turns]), essential=True))
    if mirror is not None:
        turned.append(added(b"imir", bytes([mirror]), essential=True))
    where = _ILOC.unpack(meta[b"iloc"])
    # item -> what iinf says of it, its bytes, and how it speaks of the first
    items = [(meta[b"iinf"][6:], file[where[7] : where[7] + where[8]], b"")]
    coding = [(links + turned)]

    def item(said: bytes, content: bytes, about: bytes) -> None:
        number = len(items) + 1
        items.append((box(b"infe", struct.pack(">IHH", 2 << 24, number, 0) + said), content, about))

    if kept.alpha is not None:
        depth = _DEEP if is_deep(file) else 8
        found = _lossless(kept.alpha(), depth)
        if found is None:
            left_out["alpha"] = f"libavif {features.version_module('avif')} does not code it without loss"
        else:
            coded, av1c = found
            sizes = [at + 1 for at, one in enumerate(properties) if one[4:8] == b"ispe"]
            about = [added(b"pixi", bytes(4) + bytes([1, depth])), added(b"av1C", av1c, essential=True)]
            coding.append([*sizes[:1], *about, added(b"auxC", bytes(4) + _ALPHA), *turned])
            item(b"av01Alpha\0", coded, b"auxl")
    if kept.exif:
        item(b"ExifExif\0", bytes(4) + kept.exif, b"cdsc")
    if kept.xmp:
        item(b"mimeXMP\0application/rdf+xml\0", kept.xmp, b"cdsc")
    return _with_items(file, meta, properties, coding, items), left_out


def _properties(iprp: bytes) -> tuple[list[bytes], list[int]]:
    """The properties' boxes, and the numbers of those that the one picture has."""
    known = _boxes(iprp)
    links = known[b"ipma"]
    if links[:10] != bytes([0, 0, 0, 0, 0, 0, 0, 1, 0, 1]) or len(links) != 11 + links[10]:
        raise Corrupt("not the properties of one picture", field="avif")
    return [box(*one) for one in listed(known[b"ipco"], "avif")], list(links[11:])


def _lossless(alpha: UInt8Array, depth: int) -> tuple[bytes, bytes] | None:
    """A coded picture of one plane and its av1C; None if it does not come back. Readers want the colours' own ``depth``, 8 or 10."""
    if depth == 8:
        buffer = io.BytesIO()
        Image.fromarray(alpha).convert("RGB").save(
            buffer, "AVIF", quality=100, speed=6, subsampling="4:0:0", max_threads=1, advanced=_ROW_MT
        )
        file = buffer.getvalue()
        same = np.array_equal(decode(file, (*alpha.shape, 1))[..., 0], alpha)
    else:
        # quality 100 of one plane is without loss
        deep = _ten_bits(alpha)
        file = bytes(
            imagecodecs.avif_encode(
                deep, level=100, speed=6, bitspersample=_DEEP, pixelformat="400", codec="aom", numthreads=1
            )
        )
        size_of(file)
        same = np.array_equal(
            np.asarray(imagecodecs.avif_decode(file, numthreads=1)).reshape(deep.shape), deep
        )
    if not same:
        return None
    meta = _boxes(_boxes(file)[b"meta"][4:])
    where = _ILOC.unpack(meta[b"iloc"])
    properties, _ = _properties(meta[b"iprp"])
    av1c = next(one[8:] for one in properties if one[4:8] == b"av1C")
    return file[where[7] : where[7] + where[8]], av1c


def _with_items(
    file: bytes,
    meta: dict[bytes, bytes],
    properties: list[bytes],
    coding: list[list[int]],
    items: list[tuple[bytes, bytes, bytes]],
) -> bytes:
    """The file anew: ``coding`` has the properties of pictures; of each item, what it is, its bytes, and its kind of
    reference to the first."""
    infos = box(b"iinf", bytes(4) + struct.pack(">H", len(items)) + b"".join(info for info, _, _ in items))
    references = b"".join(
        box(about, struct.pack(">HHH", number, 1, 1))
        for number, (_, _, about) in enumerate(items, 1)
        if about
    )
    links = b"".join(struct.pack(">HB", at, len(one)) + bytes(one) for at, one in enumerate(coding, 1))
    known = box(
        b"iprp",
        box(b"ipco", b"".join(properties)) + box(b"ipma", bytes(4) + struct.pack(">I", len(coding)) + links),
    )
    before = [box(b"ftyp", _boxes(file)[b"ftyp"])]
    others = [box(b"hdlr", meta[b"hdlr"]), box(b"pitm", meta[b"pitm"]), infos]
    others += [box(b"iref", bytes(4) + references)] if references else []
    others.append(known)
    at = len(before[0]) + 12 + sum(map(len, others)) + 16 + 14 * len(items) + 8
    places = b""
    for number, (_, content, _) in enumerate(items, 1):
        places += struct.pack(">HHHII", number, 0, 1, at, len(content))
        at += len(content)
    places = box(b"iloc", bytes(4) + struct.pack(">BBH", 0x44, 0, len(items)) + places)
    body = box(b"meta", bytes(4) + b"".join([*others[:2], places, *others[2:]]))
    return before[0] + body + box(b"mdat", b"".join(content for _, content, _ in items))


def size_of(payload: bytes) -> tuple[int, int]:
    """(rows, columns) of the coded frame of an AVIF file that is one still picture and nothing else.

    No film, grid, alpha or thumbnail: each would be a frame whose size nobody has looked at. No references, nor properties of
    other items: libavif looks for each among all.
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
        if meta.keys() != _OF_ONE_PICTURE:
            raise Corrupt("boxes that one still picture does not need", field="avif")
        _properties(meta[b"iprp"])
        frames = _sequences(payload[where[7] : where[7] + where[8]])
    except (KeyError, IndexError, struct.error) as exc:
        raise Corrupt("not an AVIF file as this codec writes it", field="avif") from exc
    if len(frames) != 1:
        raise Corrupt(f"{len(frames)} sizes of the coded frame", field="avif")
    rows, columns, _ = frames.pop()
    return rows, columns


def _boxes(data: bytes) -> dict[bytes, bytes]:
    """The contents of boxes that lie one behind the other, each kind once, with sizes of 32 bits."""
    found: dict[bytes, bytes] = {}
    for kind, content in listed(data, "avif"):
        if kind in found:
            raise Corrupt(f"impossible box {kind!r}", field="avif")
        found[kind] = content
    return found


def _depth_of(coded: bytes) -> int:
    """Bits a sample of a coded picture, 8 or 10."""
    return max(depth for _, _, depth in _sequences(coded))


def _sequences(coded: bytes) -> set[tuple[int, int, int]]:
    """(rows, columns, bits a sample) of all sequence headers; under this kind of header, frames have just that size.

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
            found.add(_sequence(coded[at : at + length]))
        frames += kind in _FRAMES
        at += length
    if frames != 1:
        raise Corrupt(f"{frames} frames", field="avif")
    return found


def _sequence(header: bytes) -> tuple[int, int, int]:
    """Rows, columns and bits a sample that a sequence header says. Source: AV1 specification, 5.5.1 and 5.5.2."""
    bits, left = int.from_bytes(header[:8].ljust(8, b"\0"), "big"), 64

    def take(count: int) -> int:
        nonlocal left
        left -= count
        return bits >> left & ((1 << count) - 1)

    profile = take(3)
    # still_picture, reduced_still_picture_header
    if (take(1), take(1)) != (1, 1):
        raise Corrupt("the sequence header is not that of a still picture", field="avif")
    # the level
    take(5)
    width_bits, height_bits = take(4) + 1, take(4) + 1
    columns, rows = take(width_bits) + 1, take(height_bits) + 1
    # tools: superblocks, two of intra prediction, super-resolution, cdef, restoration
    take(6)
    deep = take(1)
    if deep and profile > 1 and take(1):
        raise Corrupt("12 bits a sample", field="avif")
    return rows, columns, _DEEP if deep else 8


# --- files as others write them


def adopt(file: bytes) -> Adopted:
    """The coded picture of an AVIF file in boxes of one picture, with the properties that say how it is decoded.

    Its alpha, turns and metadata are left out; Pillow tells them as alpha and EXIF.
    Source: ISO/IEC 14496-12, 8.11; 23008-12, 6.

    Raises:
        SettingError: a film, a grid, a crop, or boxes that no writer known here makes.
    """
    try:
        meta = _meta_of_picture(file)
        number = int.from_bytes(meta[b"pitm"][4:6], "big")
        chosen = _chosen_properties(meta, number)
        if any(kind == b"clap" for kind, _ in chosen):
            raise Corrupt("its picture is cropped", field="avif")
        return _adopted_item(file, meta, number, chosen)
    except (Corrupt, KeyError, IndexError, struct.error) as exc:
        raise SettingError(f"this AVIF file cannot be kept as it is: {exc}") from exc


def adopt_alpha(file: bytes) -> Adopted | None:
    """As ``adopt``, of the one alpha plane that goes with the picture: a grey picture of its own. None: there is no such."""
    try:
        meta = _meta_of_picture(file)
        primary = meta[b"pitm"][4:6]
        for link, content in listed(meta[b"iref"][4:], "avif"):
            number = int.from_bytes(content[:2], "big")
            if link == b"auxl" and content[2:] == b"\0\1" + primary:
                chosen = _chosen_properties(meta, number)
                if any(name == b"auxC" and said[4:] in (_ALPHA, _OLD_ALPHA) for name, said in chosen):
                    return _adopted_item(file, meta, number, chosen)
    except (Corrupt, KeyError, IndexError, struct.error):
        pass
    return None


def _meta_of_picture(file: bytes) -> dict[bytes, bytes]:
    """The boxes in ``meta`` of a file whose primary item is a picture coded as one.

    Raises:
        Corrupt, KeyError, IndexError, struct.error: it is none.
    """
    boxes = _boxes(file)
    meta = _boxes(boxes[b"meta"][4:])
    if b"moov" in boxes:
        raise Corrupt("a film", field="avif")
    number = int.from_bytes(meta[b"pitm"][4:6], "big")
    kind = _kind_of_item(meta[b"iinf"], number) if not meta[b"pitm"][0] else b""
    if kind in (b"grid", b"iovl"):
        raise Corrupt("a picture put together from several", field="avif")
    if kind != b"av01":
        raise Corrupt("a picture of another form", field="avif")
    return meta


def _chosen_properties(meta: dict[bytes, bytes], number: int) -> list[tuple[bytes, bytes]]:
    """What is said of an item, as (kind, content)."""
    known = _boxes(meta[b"iprp"])
    ipco = listed(known[b"ipco"], "avif")
    return [ipco[at - 1] for at in _properties_of_item(known[b"ipma"], number) if at]


def _adopted_item(
    file: bytes, meta: dict[bytes, bytes], number: int, properties: list[tuple[bytes, bytes]]
) -> Adopted:
    """An item as a file of one picture, with those of its properties that say how it is decoded."""
    start, length = _place_of_item(meta[b"iloc"], number)
    coded = file[start : start + length]
    said = [one for one in properties if one[0] in _DECODING and (one[0] != b"colr" or one[1][:4] == b"nclx")]
    before = _around_picture(said, len(coded))
    return Adopted(before + coded, ((start, len(before), len(coded)),))


_DECODING = (b"ispe", b"pixi", b"av1C", b"colr")


def _kind_of_item(iinf: bytes, number: int) -> bytes:
    """What an item is, by its entry of version 2."""
    start = 6 if iinf[0] == 0 else 8
    for _, content in listed(iinf[start:], "avif"):
        if content[0] == 2 and int.from_bytes(content[4:6], "big") == number:
            return content[8:12]
    raise Corrupt("no such item", field="avif")


def _place_of_item(iloc: bytes, number: int) -> tuple[int, int]:
    """Where the one extent of an item is in the file."""
    version, sizes, more = iloc[0], iloc[4] >> 4, iloc[4] & 15
    base_size = iloc[5] >> 4
    if version > 1 or sizes not in (4, 8) or more not in (4, 8) or (version == 1 and iloc[5] & 15):
        raise Corrupt("places of another form", field="avif")
    count, at = int.from_bytes(iloc[6:8], "big"), 8

    def take(size: int) -> int:
        nonlocal at
        at += size
        if at > len(iloc):
            raise Corrupt("half a place", field="avif")
        return int.from_bytes(iloc[at - size : at], "big")

    for _ in range(count):
        item = take(2)
        method = take(2) if version == 1 else 0
        take(2)
        base, extents = take(base_size), take(2)
        places = [(take(sizes), take(more)) for _ in range(extents)]
        if item == number:
            if method & 15 or len(places) != 1:
                raise Corrupt("a picture in several pieces", field="avif")
            return base + places[0][0], places[0][1]
    raise Corrupt("a picture without a place", field="avif")


def _properties_of_item(ipma: bytes, number: int) -> list[int]:
    """The numbers of an item's properties, from 1."""
    if ipma[0] or ipma[3] & 1:
        raise Corrupt("properties of another form", field="avif")
    at = 8
    for _ in range(int.from_bytes(ipma[4:8], "big")):
        item, count = int.from_bytes(ipma[at : at + 2], "big"), ipma[at + 2]
        if item == number:
            return [one & 0x7F for one in ipma[at + 3 : at + 3 + count]]
        at += 3 + count
    raise Corrupt("a picture without properties", field="avif")


def _around_picture(properties: list[tuple[bytes, bytes]], length: int) -> bytes:
    """All of an AVIF file but its coded picture, which is the last in it."""
    kind = box(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaf")
    handler = box(b"hdlr", bytes(8) + b"pict" + bytes(13))
    item = box(b"infe", bytes([2, 0, 0, 0, 0, 1, 0, 0]) + b"av01Color\0")
    items = box(b"iinf", bytes(4) + struct.pack(">H", 1) + item)
    links = bytes(at + (_ESSENTIAL if name == b"av1C" else 0) for at, (name, _) in enumerate(properties, 1))
    known = box(
        b"iprp",
        box(b"ipco", b"".join(box(*one) for one in properties))
        + box(b"ipma", struct.pack(">IIHB", 0, 1, 1, len(links)) + links),
    )
    primary = box(b"pitm", bytes(4) + struct.pack(">H", 1))
    before = len(kind) + 12 + len(handler) + len(primary) + 8 + _ILOC.size + len(items) + len(known) + 8
    where = box(b"iloc", _ILOC.pack(0, 0x44, 0, 1, 1, 0, 1, before, length))
    meta = box(b"meta", bytes(4) + handler + primary + where + items + known)
    return kind + meta + struct.pack(">I4s", 8 + length, b"mdat")
