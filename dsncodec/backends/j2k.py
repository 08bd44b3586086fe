"""JPEG 2000, reversible 5/3, as a raw codestream (OpenJPEG)."""

from __future__ import annotations

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..errors import Corrupt

UInt8Array = NDArray[np.uint8]


def encode(symbols: UInt8Array, levels: int, effort: int) -> bytes:
    """As many bits per sample as ``levels`` needs, and no more."""
    bits = max(1, (levels - 1).bit_length())
    try:
        return _encode(symbols, bits)
    except imagecodecs.Jpeg2kError:  # OpenJPEG runs out of room over noise of 1 bit a sample
        return _encode(symbols, 8)


def _encode(symbols: UInt8Array, bits: int) -> bytes:
    # OpenJPEG wants every resolution to have a pixel
    resolutions = max(1, min(6, min(symbols.shape).bit_length()))
    return bytes(
        imagecodecs.jpeg2k_encode(
            symbols, level=0, reversible=True, codecformat="j2k", bitspersample=bits,
            resolutions=resolutions, numthreads=1,
        )
    )  # fmt: skip


def decode(payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array:
    """The SIZ segment must say: our size, no offset, one tile, one component of at most 8 bits."""
    if size_of(payload, 1) != shape:
        raise Corrupt(f"the payload says {size_of(payload, 1)}, the header {shape}", field="j2k")
    return np.asarray(imagecodecs.jpeg2k_decode(payload, numthreads=1)).astype(np.uint8, copy=False)


def size_of(payload: bytes, components: int) -> tuple[int, int]:
    """(rows, columns) from the SIZ segment of a codestream (ISO/IEC 15444-1, A.5.1).

    Raises:
        Corrupt: it has an offset, more than one tile, other components, or any of them is halved or of more than
            8 bits.
    """
    if payload[:4] != b"\xff\x4f\xff\x51" or len(payload) < 42 + 3 * components:
        raise Corrupt("not a JPEG 2000 codestream", field="j2k")
    fields = [int.from_bytes(payload[i : i + 4], "big") for i in range(8, 40, 4)]
    columns, rows, x0, y0, tile_columns, tile_rows, tile_x0, tile_y0 = fields
    if x0 or y0 or tile_x0 or tile_y0 or tile_rows < rows or tile_columns < columns:
        raise Corrupt("the payload has an offset, or more than one tile", field="j2k")
    said = [payload[i : i + 3] for i in range(42, 42 + 3 * components, 3)]
    if int.from_bytes(payload[40:42], "big") != components or any(
        depth > 7 or steps != b"\1\1" for depth, steps in ((one[0], one[1:]) for one in said)
    ):
        raise Corrupt(f"the payload says other components than {components} of 8 bits", field="j2k")
    return rows, columns
