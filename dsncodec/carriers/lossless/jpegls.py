"""JPEG-LS, lossless: nearly as small as JPEG XL at a hundredth of its encoding time."""

from __future__ import annotations

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ...errors import Corrupt, SettingError

UInt8Array = NDArray[np.uint8]
MAX_SIDE = 65535


def encode(symbols: UInt8Array, levels: int, effort: int) -> bytes:
    """Near-lossless parameter 0; one 8-bit component."""
    if max(symbols.shape) > MAX_SIDE:
        raise SettingError(f"jpegls holds at most {MAX_SIDE} symbols each way")
    room = bytearray(2 * symbols.size + 1024)  # noise grows, and the library's own guess is too small
    coded = bytes(imagecodecs.jpegls_encode(symbols, out=room))
    return coded[:2] + coded[coded.index(b"\xff\xf7") :]  # without the 44 bytes of SPIFF header


def decode(payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array:
    """The frame header (SOF55) with our size and one component, and the header of one lossless scan (SOS)."""
    frame = payload[2:13]
    if payload[:2] != b"\xff\xd8" or frame[:4] != b"\xff\xf7\x00\x0b":
        raise Corrupt("not a JPEG-LS stream as this library writes it", field="jpegls")
    if payload[-2:] != b"\xff\xd9":  # without it CharLS counts zeros past the end, for seconds
        raise Corrupt("the end marker is missing", field="jpegls")
    size = (int.from_bytes(frame[5:7], "big"), int.from_bytes(frame[7:9], "big"))
    if frame[4] != 8 or frame[9] != 1 or size != shape:
        raise Corrupt(f"the payload says {size}, the header {shape}", field="jpegls")
    if payload[15:25] != b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00":
        raise Corrupt("not one lossless scan", field="jpegls")
    return np.asarray(imagecodecs.jpegls_decode(payload))
