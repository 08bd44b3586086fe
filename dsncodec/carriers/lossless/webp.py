"""Lossless WebP: small, and slow to write (method 6, quality 100): symbols, and whole pictures of 1 to 4 channels."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ...errors import Corrupt, SettingError
from .. import Kept

UInt8Array = NDArray[np.uint8]
MAX_SIDE = 16382  # WebP itself could hold 16383, imagecodecs refuses it


def encode(symbols: UInt8Array, levels: int, effort: int) -> bytes:
    """Grey is three equal channels to WebP, which costs it nothing."""
    if max(symbols.shape) > MAX_SIDE:
        raise SettingError(f"webp holds at most {MAX_SIDE} symbols each way")
    rgb = np.repeat(symbols[..., None], 3, axis=2)
    level = 100 if effort >= 9 else 75
    return bytes(imagecodecs.webp_encode(rgb, lossless=True, method=6, level=level, numthreads=1))


def decode(payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array:
    """Only the simple lossless layout (RIFF, one VP8L chunk) is read; its 14-bit sides come first."""
    if payload[:4] != b"RIFF" or payload[8:16] != b"WEBPVP8L" or payload[20:21] != b"\x2f":
        raise Corrupt("not a simple lossless WebP file", field="webp")
    bits = int.from_bytes(payload[21:25], "little")
    size = ((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    if size != shape:
        raise Corrupt(f"the payload says {size}, the header {shape}", field="webp")
    pixels = np.asarray(imagecodecs.webp_decode(payload))
    grey = np.ascontiguousarray(pixels[..., 0])
    if not (np.array_equal(grey, pixels[..., 1]) and np.array_equal(grey, pixels[..., 2])):
        raise Corrupt("the picture is not grey", field="webp")
    return grey


# --- whole pictures: what follows the five bytes with which a VP8L bitstream begins, its size and whether it has alpha

_LEAD = 5
_LARGE = 2**20  # pixels; above, quality 100 takes a minute and more
_FAST, _SLOW = (75, 3), (100, 6)  # quality and method of libwebp


def encode_picture(pixels: UInt8Array, thorough: bool) -> bytes:
    """(H, W, 1 to 4), alpha last, to what its size does not tell of a VP8L bitstream.

    Raises:
        SettingError: the picture is too large, or libwebp has changed a pixel.
    """
    rows, columns, channels = pixels.shape
    if max(rows, columns) > MAX_SIDE:
        raise SettingError(f"webp holds at most {MAX_SIDE} pixels each way")
    colour, alpha = np.split(pixels, [3 if channels > 2 else 1], 2)
    if colour.shape[2] == 1:
        colour = colour.repeat(3, 2)
    whole = np.ascontiguousarray(np.concatenate([colour, alpha], 2))
    found: list[bytes] = []
    for level, method in (_FAST, _SLOW) if thorough and rows * columns <= _LARGE else (_FAST,):
        file = bytes(imagecodecs.webp_encode(whole, lossless=True, method=method, level=level, numthreads=1))
        if file[12:16] == b"VP8L":
            short = file[20 + _LEAD : 20 + int.from_bytes(file[16:20], "little")]
            if np.array_equal(decode_picture(short, pixels.shape), pixels):
                found.append(short)
    if not found:
        raise SettingError("libwebp does not code this picture without loss")
    return min(found, key=len)


def decode_picture(payload: bytes, shape: tuple[int, int, int]) -> UInt8Array:
    """To exactly ``shape`` (H, W, 1 to 4), which is all that is said of its size."""
    rows, columns, channels = shape
    if max(rows, columns) > MAX_SIDE:
        raise Corrupt(f"webp holds at most {MAX_SIDE} pixels each way", field="webp")
    pixels = np.asarray(imagecodecs.webp_decode(picture_file(payload, shape)))
    if pixels.shape != (rows, columns, 4 if channels in (2, 4) else 3):
        raise Corrupt(f"the payload holds {pixels.shape}", field="webp")
    if channels > 2:
        return pixels
    if not (pixels[..., :1] == pixels[..., 1:3]).all():
        raise Corrupt("the picture is not grey", field="webp")
    return np.ascontiguousarray(pixels[..., [0, 3] if channels == 2 else [0]])


def picture_file(payload: bytes, shape: tuple[int, int, int]) -> bytes:
    """A WebP file. Source: RFC 9649, sections 2.6 and 3.4."""
    return _riff(_vp8l(payload, shape))


def enclose_picture(payload: bytes, shape: tuple[int, int, int], kept: Kept) -> tuple[bytes, dict[str, str]]:
    """A WebP file with chunks of ICC, EXIF and XMP. Source: RFC 9649, section 2.7."""
    rows, columns, channels = shape
    flags = (
        0x20 * bool(kept.icc) | 0x10 * (channels in (2, 4)) | 0x08 * bool(kept.exif) | 0x04 * bool(kept.xmp)
    )
    sides = b"".join((side - 1).to_bytes(3, "little") for side in (columns, rows))
    parts = [_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides)]
    parts += [_chunk(b"ICCP", kept.icc)] if kept.icc else []
    parts.append(_vp8l(payload, shape))
    parts += [_chunk(b"EXIF", kept.exif)] if kept.exif else []
    parts += [_chunk(b"XMP ", kept.xmp)] if kept.xmp else []
    return _riff(b"".join(parts)), {}


def _vp8l(payload: bytes, shape: tuple[int, int, int]) -> bytes:
    rows, columns, channels = shape
    lead = columns - 1 | rows - 1 << 14 | (channels in (2, 4)) << 28
    return _chunk(b"VP8L", b"\x2f" + struct.pack("<I", lead) + payload)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks
