"""JPEG 2000, reversible 5/3, as a raw codestream (OpenJPEG)."""

from __future__ import annotations

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ...errors import Corrupt

UInt8Array = NDArray[np.uint8]
# COD: 12 bytes, no precincts or markers, progression by layer, one layer, one component at a time
_COD_START = b"\xff\x52\x00\x0c\x00\x00\x00\x01\x00"


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
            symbols,
            level=0,
            reversible=True,
            codecformat="j2k",
            bitspersample=bits,
            resolutions=resolutions,
            numthreads=1,
        )
    )


def decode(payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array:
    """Only a codestream such as ``encode`` writes reaches OpenJPEG; see ``_check``."""
    _check(payload, shape)
    return np.asarray(imagecodecs.jpeg2k_decode(payload, numthreads=1)).astype(np.uint8, copy=False)


def deep_picture(file: bytes) -> NDArray[np.generic]:
    """Anybody's picture of more than 8 bits a sample, (H, W[, C]) uint16, which Pillow would bring to 8 with errors up to the
    whole range. Raises whatever OpenJPEG does."""
    return np.asarray(imagecodecs.jpeg2k_decode(file, numthreads=1))


def _check(payload: bytes, shape: tuple[int, int]) -> None:
    """All that steers how much OpenJPEG allocates and how long it works.

    SIZ: our size, no offset, one tile, one component of at most 8 bits. COD: no precincts of its own (of 2 x 2
    samples, 144 bytes would cost gigabytes), one layer, blocks of 64 x 64, reversible. Then QCD, comments, and
    one tile-part that reaches to the end.
    Source: ITU-T T.800, Annex A.
    """
    if size_of(payload, 1) != shape:
        raise Corrupt(f"the payload says {size_of(payload, 1)}, the header {shape}", field="j2k")
    coding = payload[45:59]
    if coding[:9] != _COD_START or coding[9] > 32 or coding[10:] != b"\x04\x04\x00\x01":
        raise Corrupt("coded otherwise than this library does it", field="j2k")
    at = 59
    while payload[at : at + 2] in (b"\xff\x5c", b"\xff\x64"):  # QCD, COM
        at += 2 + max(2, int.from_bytes(payload[at + 2 : at + 4], "big"))
    length = int.from_bytes(payload[at + 6 : at + 10], "big")
    parts = (payload[at : at + 6], payload[at + 10 : at + 14], payload[-2:])
    whole = length in (0, len(payload) - 2 - at)
    if parts != (b"\xff\x90\x00\x0a\x00\x00", b"\x00\x01\xff\x93", b"\xff\xd9") or not whole:
        raise Corrupt("the payload is not one tile-part", field="j2k")


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
