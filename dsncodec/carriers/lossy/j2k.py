"""JPEG 2000 as a base codec: lossy (irreversible 9/7), as a raw codestream, by Pillow's OpenJPEG."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from ... import budget
from ...errors import Corrupt, MissingComponent
from .. import Adopted, Kept, checked_output
from ..boxes import box, codestream_in_boxes
from ..lossless.j2k import size_of

UInt8Array = NDArray[np.uint8]

if not features.check_codec("jpg_2000"):
    raise MissingComponent("Pillow is built without OpenJPEG: install a wheel of Pillow")

# Of the main header, what no picture changes: COD without its component transform; the steps of five decompositions
# of 8 bits (QCD); and the name of the program (COM)
_COD_REST = bytes.fromhex("0504040000")
_STEPS = bytes.fromhex(
    "ff5c0023 42 7720 76f0 76f0 76c0 6f00 6f00 6ee0 6750 6750 6768 5005 5005 5047 57d3 57d3 5762"
)
_COMMENT = b"\xff\x64\0\x25\0\1Created by OpenJPEG version 2.5.4"
_END = b"\xff\xd9"
BYTES_A_PIXEL = {1: 6, 3: 16}  # of memory, by components: OpenJPEG has four for each sample, in two places
_MAIN_HEADER = 2  # where the segments begin, behind the start of the codestream
_SIZ, _COD, _QCD, _COM, _SOT = (bytes([0xFF, kind]) for kind in (0x51, 0x52, 0x5C, 0x64, 0x90))


def encode(colour: UInt8Array, quality: int, effort: int, threads: int, tune: str = "psnr") -> bytes:
    """(H, W, 1 or 3) to a codestream of one layer, for 20 + 0.3 * quality dB. More effort would buy nothing, and there is one tune."""
    grey = colour.shape[2] == 1
    buffer = io.BytesIO()
    Image.fromarray(colour[..., 0] if grey else colour).save(
        buffer,
        "JPEG2000",
        irreversible=True,
        mct=0 if grey else 1,
        quality_mode="dB",
        quality_layers=[20 + 0.3 * quality],
        no_jp2=True,
        # OpenJPEG wants every resolution to have a pixel
        num_resolutions=max(1, min(6, min(colour.shape[:2]).bit_length())),
    )
    with checked_output(f"OpenJPEG {features.version_codec('jpg_2000')}", instead="avif"):
        _check(buffer.getvalue(), colour.shape[2])
    return buffer.getvalue()


def decode(payload: bytes, shape: tuple[int, int, int]) -> UInt8Array:
    """A codestream to exactly ``shape`` (H, W, 1 or 3); its headers are read before it is decoded."""
    if size_of(payload, shape[2]) != shape[:2]:
        raise Corrupt(f"the payload says {size_of(payload, shape[2])}, the header {shape[:2]}", field="j2k")
    _check(payload, shape[2])
    budget.room("JPEG 2000", BYTES_A_PIXEL[shape[2]] * shape[0] * shape[1])
    return np.asarray(imagecodecs.jpeg2k_decode(payload, numthreads=1)).reshape(shape)


def strip_container(file: bytes, shape: tuple[int, int, int]) -> bytes:
    """The packets of the one tile-part. What stands around them, ``restore_container`` knows."""
    return file[len(_before(b"", shape)) : -len(_END)]


def restore_container(short: bytes, shape: tuple[int, int, int]) -> bytes:
    """The codestream that OpenJPEG makes of a picture (H, W, 1 or 3) of at least 32 pixels each way."""
    return _before(short, shape) + short + _END


def _before(packets: bytes, shape: tuple[int, int, int]) -> bytes:
    """The 155 (grey: 149) bytes before the packets. Source: ISO/IEC 15444-1, annex A."""
    rows, columns, components = shape
    size = struct.pack(">2sHH8I", _SIZ, 38 + 3 * components, 0, columns, rows, 0, 0, columns, rows, 0, 0)
    size += struct.pack(">H", components) + b"\7\1\1" * components
    coding = _COD + struct.pack(">H5B", 12, 0, 0, 0, 1, components == 3) + _COD_REST
    tile = _SOT + struct.pack(">HHIBB", 10, 0, 14 + len(packets), 0, 1)
    return b"\xff\x4f" + size + coding + _STEPS + _COMMENT + tile + b"\xff\x93"


# --- what else a file carries: boxes around the codestream

_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
_SRGB, _GREY = 16, 17  # enumerated colour spaces
_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def enclose(file: bytes, shape: tuple[int, int, int], kept: Kept) -> tuple[bytes, dict[str, str]]:
    """A JP2 file around the codestream, with a profile, EXIF and XMP. Its alpha would be a component, coded with colours.

    Source: ISO/IEC 15444-1, annex I; the XMP specification, part 3.
    """
    left_out = {"alpha": "JPEG 2000 codes it together with the colours"} if kept.alpha is not None else {}
    rows, columns, components = shape
    colour = struct.pack(">BBBI", 1, 0, 0, _GREY if components == 1 else _SRGB)
    if kept.icc:
        if _is_restricted(kept.icc, components):
            colour = bytes([2, 0, 0]) + kept.icc
        else:
            left_out["icc"] = (
                "JP2 takes profiles of one curve for grey, or of a matrix for colours, and no others"
            )
    header = box(b"ihdr", struct.pack(">IIH4B", rows, columns, components, 7, 7, 0, 0)) + box(b"colr", colour)
    parts = [_SIGNATURE, box(b"jp2h", header)]
    if kept.exif:
        parts.append(box(b"uuid", _EXIF + kept.exif))
    if kept.xmp:
        parts.append(box(b"uuid", _XMP + kept.xmp))
    return b"".join([*parts, box(b"jp2c", file)]), left_out


def _is_restricted(icc: bytes, components: int) -> bool:
    """Whether a profile is one that JP2 allows: kTRC of grey; or TRC and XYZ of R, G and B, and no table."""
    count = int.from_bytes(icc[128:132], "big")
    tags = {icc[at : at + 4] for at in range(132, min(132 + 12 * count, len(icc)), 12)}
    if components == 1:
        return icc[16:20] == b"GRAY" and b"kTRC" in tags
    matrix = {one + kind for one in (b"r", b"g", b"b") for kind in (b"TRC", b"XYZ")}
    return icc[16:20] == b"RGB " and matrix <= tags and b"A2B0" not in tags


def _check(payload: bytes, components: int) -> None:
    """One layer, whole precincts, blocks of 64 x 64, and one tile in one piece, to the last byte.

    Small precincts and many layers would be room that no header of ours has promised.
    Source: ISO/IEC 15444-1, annex A.
    """
    size_of(payload, components)
    kinds: list[bytes] = []
    at = _MAIN_HEADER
    while len(kinds) < 5:
        kind, length = payload[at : at + 2], int.from_bytes(payload[at + 2 : at + 4], "big")
        kinds.append(kind)
        if kind == _COD:
            style, levels, rest = payload[at + 4 : at + 9], payload[at + 9], payload[at + 10 : at + 14]
            mixed = components == 3  # R, G and B
            if style != bytes([0, 0, 0, 1, mixed]) or levels > 5 or rest != b"\4\4\0\0" or length != 12:
                raise Corrupt("not coded as this codec does", field="j2k")
        if kind == _SOT:
            break
        at += 2 + length
    tile = payload[at : at + 14]
    whole = len(payload) - 2 - at
    known = [kind for kind in kinds if kind != _COM] == [_SIZ, _COD, _QCD, _SOT]
    start = b"\xff\x90\0\x0a\0\0" + whole.to_bytes(4, "big") + b"\0\1\xff\x93"
    if not known or tile != start or payload[-2:] != b"\xff\xd9":
        raise Corrupt("not one tile in one piece, or not to its end", field="j2k")


# --- files as others write them


def adopt(file: bytes) -> Adopted:
    """The codestream in a JP2 file, or the file that is one.

    Raises:
        SettingError: no codestream in one piece, with boxes of 32 bits.
    """
    if file[:2] == b"\xff\x4f":
        return Adopted(file, ((0, 0, len(file)),))
    return codestream_in_boxes(file, b"jp2c", "JPEG 2000")
