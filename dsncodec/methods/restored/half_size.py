"""Half the size for the base codec, and full size again for the network: scale 2 of the method "restored"."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UInt8Array = NDArray[np.uint8]

_TAPS = (-9, 111, 29, -3)  # in 128ths: cubic convolution (Keys, 1981; a = -1/2) a quarter of a pixel off
_ROWS = 256  # that are doubled at a time


def half_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(H, W, C) of the picture at half the size: its sides are rounded up."""
    return -(-shape[0] // 2), -(-shape[1] // 2), shape[2]


def halved(colour: UInt8Array) -> UInt8Array:
    """(H, W, 1 or 3) at half the size, by Pillow's Lanczos filter; odd sides repeat their last row or column."""
    odd = [(0, side % 2) for side in colour.shape[:2]]
    even = np.pad(colour, [*odd, (0, 0)], "edge")
    rows, columns, channels = half_shape(colour.shape)
    image = Image.fromarray(even[..., 0] if channels == 1 else even)
    small = np.asarray(image.resize((columns, rows), Image.Resampling.LANCZOS))
    return np.ascontiguousarray(small.reshape(rows, columns, channels))


def doubled(small: UInt8Array, shape: tuple[int, int, int]) -> UInt8Array:
    """The top left ``shape`` (H, W, C) of a picture at twice the size, in whole numbers: the same everywhere.

    Rows, then columns; beyond the edges, the last pixel repeats. Rounded once, half up.
    """
    out = np.empty((2 * small.shape[0], 2 * small.shape[1], small.shape[2]), np.uint8)
    padded = np.pad(small, [(2, 2), (2, 2), (0, 0)], "edge")
    for top in range(0, small.shape[0], _ROWS):
        part = padded[top : top + _ROWS + 4].astype(np.int32)
        tall = _doubled(part)
        wide = _doubled(tall.transpose(1, 0, 2)).transpose(1, 0, 2)
        out[2 * top : 2 * top + len(wide)] = np.clip((wide + (1 << 13)) >> 14, 0, 255)
    return out[: shape[0], : shape[1]]


def _doubled(lines: NDArray[np.int32]) -> NDArray[np.int32]:
    """Twice as many lines, less the two at either end, times 128."""
    a, b, c, d = _TAPS
    count = len(lines) - 4
    at = [lines[i : i + count] for i in range(5)]
    out = np.empty((2 * count, *lines.shape[1:]), np.int32)
    out[0::2] = d * at[0] + c * at[1] + b * at[2] + a * at[3]
    out[1::2] = a * at[1] + b * at[2] + c * at[3] + d * at[4]
    return out
