"""JPEG as a base codec: sequential, 4:2:0, by Pillow's libjpeg-turbo. A .dsn file holds it recompressed, by JPEG XL.

A progressive file would be smaller by itself, and larger in that form: it has more to say of how it was written.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import threading
from collections.abc import Iterator

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from ...errors import Corrupt, MissingComponent, SettingError
from ...metadata import EXIF_IN_JPEG, Dpi
from ...planes import pixels_of
from .. import Adopted, Kept
from ..lossless import jxl

UInt8Array = NDArray[np.uint8]
MAX_SCANS = 64  # Pillow writes 1, or 10 progressive; each is a walk over the whole picture, for 12 bytes
MAX_MARKERS = 80  # of a recompressed file; Pillow writes 7 or 10
_START_OF_SCAN, _END = 0xDA, 0xD9
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)  # but restarts, which coded data holds
_ONE_AT_A_TIME = threading.Lock()


def encode(colour: UInt8Array, quality: int, effort: int, threads: int, tune: str = "psnr") -> bytes:
    """(H, W, 1 or 3) to a JPEG file. There is nothing that more effort would buy, nor a choice of tune."""
    image = Image.fromarray(colour[..., 0] if colour.shape[2] == 1 else colour)
    buffer = io.BytesIO()
    with _room_for(2 * colour.size):
        image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


@contextlib.contextmanager
def _room_for(size_bytes: int) -> Iterator[None]:
    """The whole file has to fit into a buffer of Pillow's, and noise can outgrow its guess.

    Pillow has one setting for it, of the whole process: other threads' pictures wait, and all find it as it was.
    """
    with _ONE_AT_A_TIME:
        before = ImageFile.MAXBLOCK
        ImageFile.MAXBLOCK = max(before, size_bytes)
        try:
            yield
        finally:
            ImageFile.MAXBLOCK = before


def decode(payload: bytes, shape: tuple[int, int, int]) -> UInt8Array:
    """A JPEG file to exactly ``shape`` (H, W, 1 or 3); first its own size is compared, and its scans are counted.

    Not by Image.open: that has a limit of its own, and takes a second picture behind the first for a film.
    """
    _check(payload, shape)
    with JpegImageFile(io.BytesIO(payload)) as image:
        image.load()
    mode = "L" if shape[2] == 1 else "RGB"
    return pixels_of(image if image.mode == mode else image.convert(mode))


def _check(payload: bytes, shape: tuple[int, int, int]) -> None:
    """One frame, baseline or progressive with 8 bits a sample, of this shape and as many components; and not too many scans of it.

    Pillow takes the size from the last frame header, libjpeg from the first. Source: ITU-T T.81, Annex B.

    Raises:
        Corrupt: anything else.
    """
    frames, scans, at = [], 0, 2  # behind SOI
    while match := _MARKER.search(payload, at):
        marker, at = match[1][0], match.end()
        if marker == _END:
            break
        length = int.from_bytes(payload[at : at + 2], "big")
        if marker in _FRAMES:
            frames.append((marker, payload[at + 2 : at + 8].ljust(6, b"\0")))
        scans += marker == _START_OF_SCAN
        if marker < 0xC0 or marker == 0xD8 or length < 2 or (scans and not frames):
            raise Corrupt("impossible markers", field="jpeg")
        at += length
    if len(frames) != 1 or frames[0][0] > 0xC2 or frames[0][1][:1] != b"\x08":
        raise Corrupt("not one frame of 8 bits, baseline or progressive", field="jpeg")
    if frames[0][1][5] != shape[2]:
        raise Corrupt(f"{frames[0][1][5]} components where {shape[2]} are due", field="jpeg")
    said = int.from_bytes(frames[0][1][1:3], "big"), int.from_bytes(frames[0][1][3:5], "big")
    if said != shape[:2]:
        raise Corrupt(f"the payload says {said}, the header {shape[:2]}", field="jpeg")
    if scans > MAX_SCANS:
        raise Corrupt(f"{scans} scans, at most {MAX_SCANS} are allowed", field="jpeg")


# --- what else a file carries: segments behind the first, which is JFIF's

_XMP, _ICC = b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_ROOM = 65_533  # bytes of a segment


def enclose(file: bytes, shape: tuple[int, int, int], kept: Kept) -> tuple[bytes, dict[str, str]]:
    """The file with segments of EXIF, XMP and ICC, and dots per inch in its first. There is no alpha in JPEG.

    Source: CIPA DC-008 (EXIF); the XMP specification, part 3; ICC.1, annex B.4.
    """
    left_out = {"alpha": "JPEG has none"} if kept.alpha is not None else {}
    at = 2
    while file[at : at + 2] == b"\xff\xe0":
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
    segments = b""
    for name, marker, content in (
        ("exif", b"\xff\xe1", EXIF_IN_JPEG + kept.exif),
        ("xmp", b"\xff\xe1", _XMP + kept.xmp),
    ):
        if not getattr(kept, name):
            continue
        if len(content) > _ROOM:
            left_out[name] = f"its {len(content)} bytes are more than a segment of JPEG holds"
        else:
            segments += _segment(marker, content)
    size = _ROOM - len(_ICC) - 2
    parts = [kept.icc[start : start + size] for start in range(0, len(kept.icc), size)]
    if len(parts) > 255:
        left_out["icc"] = f"its {len(kept.icc)} bytes are more than the segments of JPEG hold"
    else:
        for number, part in enumerate(parts, 1):
            segments += _segment(b"\xff\xe2", _ICC + bytes([number, len(parts)]) + part)
    if kept.dpi:
        file = _with_density(file, kept.dpi)
    return file[:at] + segments + file[at:], left_out


def _with_density(file: bytes, dpi: Dpi) -> bytes:
    """A file of libjpeg's with whole dots per inch in its JFIF segment. Source: ITU-T T.871, 10.1."""
    density = [min(max(round(side), 1), 65535) for side in dpi]
    return file[:13] + struct.pack(">BHH", 1, *density) + file[18:]


def _segment(marker: bytes, content: bytes) -> bytes:
    return marker + struct.pack(">H", 2 + len(content)) + content


# --- the short form: u16 bytes of jbrd | jbrd | u16 bytes before it | JPEG XL codestream

_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "
_LENGTH = struct.Struct("<H")


def strip_container(file: bytes, shape: tuple[int, int, int]) -> bytes:
    """The same coefficients coded again by JPEG XL, with what it takes to write the JPEG file from them.

    Raises:
        Corrupt: libjxl puts it into other boxes than those that ``restore_container`` writes.
        MissingComponent: imagecodecs is built without libjxl.
    """
    _needs_libjxl()
    coded = bytes(imagecodecs.jpegxl_encode_jpeg(file, numthreads=1))
    at, boxes = len(_SIGNATURE), []
    while at < len(coded):
        size, kind = struct.unpack_from(">I4s", coded, at)
        boxes.append((kind, coded[at + 8 : at + size if size else None]))
        at += size or len(coded)
    if [kind for kind, _ in boxes] != [b"jxlp", b"jbrd", b"jxlp"] or len(boxes[1][1]) > 0xFFFF:
        raise Corrupt("unknown boxes", field="jpeg")
    (_, first), (_, recipe), (_, last) = boxes
    head = _LENGTH.pack(len(recipe)) + recipe + _LENGTH.pack(len(first) - 4)
    return head + first[4:] + last[4:]  # without their numbers


def restore_container(short: bytes, shape: tuple[int, int, int]) -> bytes:
    """The JPEG file again, byte for byte.

    The size in the codestream's own header is compared with ``shape`` first.
    """
    _needs_libjxl()
    (length,) = _LENGTH.unpack_from(short, 0)
    recipe = short[2 : 2 + length]
    (before,) = _LENGTH.unpack_from(short, 2 + length)
    codestream = short[4 + length :]
    if jxl.size_of(codestream) != shape[:2]:
        raise Corrupt(f"the payload says {jxl.size_of(codestream)}, the header {shape[:2]}", field="jpeg")
    jxl.check_recompressed(codestream)
    _check_recipe(recipe)
    boxes = [
        (b"jxlp", struct.pack(">I", 0) + codestream[:before]),
        (b"jbrd", recipe),
        (b"jxlp", struct.pack(">I", 1 << 31 | 1) + codestream[before:]),
    ]
    parts = [struct.pack(">I4s", 8 + len(content), kind) + content for kind, content in boxes]
    return bytes(imagecodecs.jpegxl_decode_jpeg(_SIGNATURE + b"".join(parts), numthreads=1))


def _check_recipe(recipe: bytes) -> None:
    """The order of markers, with which jbrd begins: libjxl would write 16 384 scans of the whole picture.

    Source: ISO/IEC 18181-2, Annex A: one bit, then 6 for each marker up to EOI.

    Raises:
        Corrupt: more markers than a JPEG file of so many scans has.
    """
    bits = int.from_bytes(recipe[:64], "little") >> 1
    markers = [0xC0 + (bits >> 6 * at & 63) for at in range(MAX_MARKERS)]
    if _END not in markers:
        raise Corrupt(f"more than {MAX_MARKERS} markers", field="jpeg")


def _needs_libjxl() -> None:
    if not imagecodecs.JPEGXL.available:
        raise MissingComponent(
            "imagecodecs is built without libjxl: install a wheel of imagecodecs from PyPI"
        )


# --- files as others write them: segments that say nothing of the coded picture are cut out


def adopt(file: bytes) -> Adopted:
    """A JPEG file without its metadata, its thumbnails, its comments, and what is behind its end.

    Segments of JFIF and Adobe stay: they say what the components mean.

    Raises:
        SettingError: not a JPEG file that ``decode`` reads, or one of four components.
    """
    keep: list[tuple[int, int]] = [(0, 2)]
    at = 2
    try:
        while True:
            start = at
            while file[at] == 0xFF:
                at += 1
            marker, length = file[at], int.from_bytes(file[at + 1 : at + 3], "big")
            if at == start or length < 2:
                raise Corrupt("impossible markers", field="jpeg")
            if marker == _START_OF_SCAN:
                break
            stop = at + 1 + length
            if marker in _FRAMES and file[at + 8] == 4:
                raise SettingError(
                    "this JPEG file cannot be kept as it is: JPEG XL recompresses 1 or 3 components, and it has 4 (CMYK): "
                    "encode it without keep"
                )
            content = file[at + 3 : at + 10]
            beside = marker == _COMMENT or (
                marker in _APPLICATIONS and not content.startswith(_MEANINGFUL.get(marker, _NOTHING))
            )
            if not beside:
                keep.append((start, stop))
            at = stop
    except IndexError as exc:
        raise SettingError("the JPEG file ends before its picture") from exc
    except Corrupt as exc:
        raise SettingError(f"the JPEG file cannot be kept: {exc}") from exc
    keep.append((start, _end(file, start)))
    base = b"".join(file[a:b] for a, b in keep)
    spans, inside = [], 0
    for a, b in keep:
        spans.append((a, inside, b - a))
        inside += b - a
    return Adopted(base, tuple(spans))


_COMMENT, _APPLICATIONS = 0xFE, range(0xE0, 0xF0)
_MEANINGFUL, _NOTHING = {0xE0: b"JFIF\0", 0xEE: b"Adobe"}, b"\0" * 10


def _end(file: bytes, at: int) -> int:
    """Behind EOI; of a file that has none, its end."""
    while match := _MARKER.search(file, at):
        at = match.end()
        if match[1][0] == _END:
            return at
        at += int.from_bytes(file[at : at + 2], "big")
    return len(file)
