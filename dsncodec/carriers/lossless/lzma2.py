"""Raw LZMA2, the coder inside 7-Zip, without its container: standard library, deterministic, bounded."""

from __future__ import annotations

import lzma

import numpy as np
from numpy.typing import NDArray

from ...errors import Corrupt

UInt8Array = NDArray[np.uint8]


def filters(size: int) -> list[dict[str, int]]:
    """The reader chooses the dictionary, never the file: no larger than the data itself."""
    return [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": max(4096, min(size, 2**26))}]


def encode(symbols: UInt8Array, levels: int, effort: int) -> bytes:
    """One byte per symbol, row by row, through LZMA2 at preset 9."""
    return lzma.compress(symbols.tobytes(), lzma.FORMAT_RAW, filters=filters(symbols.size))


def decode(payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array:
    """At most shape[0] * shape[1] bytes are ever inflated."""
    return inflate(payload, shape)


def inflate(payload: bytes, shape: tuple[int, int]) -> UInt8Array:
    """Raw LZMA2 to an array of exactly ``shape``; Corrupt when it holds more or less."""
    size = shape[0] * shape[1]
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters(size))
    data = decoder.decompress(payload, max_length=size)
    if len(data) == size and not decoder.eof:  # the end marker may still be unread
        data += decoder.decompress(b"", max_length=1)
    if len(data) != size or not decoder.eof or decoder.unused_data:
        raise Corrupt(f"the data does not inflate to exactly {size} bytes", field="lzma2")
    return np.frombuffer(data, np.uint8).reshape(shape)
