"""How far two pictures are apart, and how far two codecs are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def bpp(size_bytes: int, width: int, height: int) -> float:
    """Bits per pixel of a whole file.

    >>> bpp(1000, 100, 80)
    1.0
    """
    return 8 * size_bytes / (width * height)


def psnr_db(reference: NDArray[np.uint8], other: NDArray[np.uint8], peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB over all samples of two arrays of one shape; inf when equal.

    Rows are taken in strips, so that a picture of 100 megapixels needs no float copy of itself.

    >>> round(psnr_db(np.zeros((4, 4), np.uint8), np.full((4, 4), 5, np.uint8)), 3)
    34.151
    """
    if reference.shape != other.shape:
        raise ValueError(f"shapes differ: {reference.shape} and {other.shape}")
    total = 0.0
    for top in range(0, len(reference), 256):
        a, b = reference[top : top + 256], other[top : top + 256]
        total += float(np.square(a.astype(np.float64) - b).sum())
    mse = total / reference.size
    return math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)
