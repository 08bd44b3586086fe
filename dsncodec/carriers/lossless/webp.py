"""Lossless WebP: small, and slow to write (method 6, quality 100)."""

from __future__ import annotations

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ...errors import Corrupt, SettingError

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
