"""Real latent <-> integer symbols: the inference side of Q-BReLU, in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...validation import whole

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

NEUTRAL = 128 / 255  # the value of a grey pixel's Cb and Cr, as in JPEG


def check_levels(levels: int, name: str = "levels") -> int:
    """``levels`` as an int; SettingError unless it is a whole number in 2..256."""
    return whole(name, levels, 2, 256)


def quantise(latent: FloatArray, levels: int) -> UInt8Array:
    """Round a bounded latent to symbols: the inference side of Q-BReLU.

    Args:
        latent: shape (C, h, w), nominal range [0, 1]; values outside are clipped.
        levels: alphabet size, 2..256.
    Returns:
        Symbols, shape (C, h, w), dtype uint8, each in 0..levels-1.
    Raises:
        SettingError: levels outside 2..256.
    Source: Cai et al. 2017, Eq. 2. We round half up, where numpy.round would round half to even.

    >>> quantise(np.array([[[-0.2, 0.5, 1.7]]], np.float32), levels=6).tolist()
    [[[0, 3, 5]]]
    """
    check_levels(levels)
    return np.floor(np.clip(latent, 0, 1) * (levels - 1) + 0.5).astype(np.uint8)


def dequantise(symbols: UInt8Array, levels: int) -> FloatArray:
    """Symbols back to the latent's values in [0, 1], float32, same shape.

    >>> dequantise(np.array([[[0, 3, 5]]], np.uint8), levels=6).tolist()
    [[[0.0, 0.6000000238418579, 1.0]]]
    """
    check_levels(levels)
    return symbols.astype(np.float32) / np.float32(levels - 1)


def chroma_shift(levels: int) -> float:
    """What is added to chroma before ``quantise`` so that a grey pixel falls exactly on a level.

    Without it an even number of levels has no symbol for neutral, and grey pictures turn tinted.

    >>> grey = np.full((1, 1, 1), NEUTRAL + chroma_shift(6), np.float32)
    >>> quantise(grey, 6).item(), round(dequantise(quantise(grey, 6), 6).item() - grey.item(), 6)
    (3, 0.0)
    """
    return (levels // 2) / (levels - 1) - NEUTRAL


def quantise_chroma(latent: FloatArray, levels: int) -> UInt8Array:
    """``quantise``, with neutral on a level."""
    return quantise(latent + np.float32(chroma_shift(levels)), levels)


def dequantise_chroma(symbols: UInt8Array, levels: int) -> FloatArray:
    """``dequantise``, undoing the shift."""
    return dequantise(symbols, levels) - np.float32(chroma_shift(levels))
