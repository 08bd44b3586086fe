"""What colours the latents of method "dsn" stand for, and which latents a picture's colours have.

A latent is whatever Up-SNet restores best from: grey may be a violet one, and white a light grey one. Where a layer is shown as
a picture, its colours are mapped by what the model makes of flat colours (``registry.LayerMap``), in double precision: any
reader sees the same pixels. NumPy alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...networks.registry import LayerMap
from .quantise import NEUTRAL, chroma_shift, quantise_chroma

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
UInt8Array = NDArray[np.uint8]

POWERS = (
    (1, 0),
    (0, 1),
    (2, 0),
    (1, 1),
    (0, 2),
    (3, 0),
    (2, 1),
    (1, 2),
    (0, 3),
)  # of Cb and Cr, in the cubic
_ROUNDS = 16  # of the iteration that inverts the cubic: what is left is far below half a level
_FAR = 0.25  # how far outside [0, 1] that iteration may look


def monomials(latent: NDArray[np.floating], neutral: tuple[float, ...]) -> DoubleArray:
    """The terms of the cubic, (9, ...), of chroma latents (2, ...)."""
    x, y = (np.asarray(plane, np.float64) - grey for plane, grey in zip(latent, neutral, strict=True))
    return np.stack([x**i * y**j for i, j in POWERS])


def shown_luma(levels: int, colours: LayerMap | None) -> DoubleArray:
    """What each luma symbol of an alphabet is shown as: (levels,), in [0, 1]."""
    latent = np.arange(levels) / (levels - 1)
    return latent if colours is None else np.interp(latent, colours.luma, _greys(colours))


def shown_chroma(
    symbols: UInt8Array, levels: int, colours: LayerMap | None, top: int = 0, height: int | None = None
) -> DoubleArray:
    """Cb and Cr that chroma symbols are shown as, in [0, 1]; the symbols of grey are exactly neutral, but at the edges.

    Args:
        symbols: (2, h, w), whole rows of a plane.
        top, height: which row of the plane the first is, and how many it has; default: these are all.
    """
    latent = symbols / (levels - 1) - chroma_shift(levels)
    if colours is None:
        return np.where(symbols == levels // 2, NEUTRAL, latent)
    shown = _cubic(latent, colours)
    shown[:, (symbols == grey_symbols(levels, colours)).all(0)] = NEUTRAL
    shown += _edges(latent, colours, top, height)
    return np.clip(shown, 0, 1)


def grey_symbols(levels: int, colours: LayerMap) -> UInt8Array:
    """The chroma symbols, (2, 1, 1), of a grey pixel in a picture that is not grey all over."""
    return quantise_chroma(np.array(colours.neutral, np.float32)[:, None, None], levels)


def luma_latent(luma: FloatArray, colours: LayerMap | None) -> FloatArray:
    """The latent that is shown as this luma: the inverse of ``shown_luma``, before rounding."""
    if colours is None:
        return luma
    return np.interp(luma, _greys(colours), colours.luma).astype(np.float32)


def chroma_latent(chroma: FloatArray, colours: LayerMap | None) -> FloatArray:
    """The latent that is shown as these Cb and Cr, (2, h, w): the inverse of ``shown_chroma``, before rounding."""
    if colours is None:
        return chroma
    back = np.linalg.inv([colours.cb[:2], colours.cr[:2]])
    neutral = np.array(colours.neutral)[:, None, None]
    latent = neutral + np.tensordot(back, chroma - NEUTRAL, 1)
    for _ in range(_ROUNDS):
        shown = _cubic(latent, colours) + _edges(latent, colours)
        latent = np.clip(latent + np.tensordot(back, chroma - shown, 1), -_FAR, 1 + _FAR)
    return latent.astype(np.float32)


def _greys(colours: LayerMap) -> DoubleArray:
    return np.linspace(0, 1, len(colours.luma))


def _cubic(latent: NDArray[np.floating], colours: LayerMap) -> DoubleArray:
    terms = monomials(latent, colours.neutral)
    return NEUTRAL + np.tensordot(np.array([colours.cb, colours.cr]), terms, 1)


def edge_terms(latent: NDArray[np.floating], neutral: tuple[float, ...]) -> DoubleArray:
    """The terms of what is added at an edge, (3, ...), of chroma latents (2, ...)."""
    x, y = (np.asarray(plane, np.float64) - grey for plane, grey in zip(latent, neutral, strict=True))
    return np.stack([np.ones_like(x), x, y])


def _edges(
    latent: NDArray[np.floating], colours: LayerMap, top: int = 0, height: int | None = None
) -> DoubleArray:
    """What is added at the outermost two columns and rows; in a corner, for both of its edges."""
    rows, columns = latent.shape[1:]
    height = rows if height is None else height
    added = np.zeros(latent.shape)
    edges = (np.array(edge).reshape(2, 3) for edge in colours.edges)
    for edge in range(4):  # left, right, top, bottom
        for distance in range(2):
            weight = next(edges)
            if edge < 2:
                place = distance if edge == 0 else columns - 1 - distance
                window = slice(None), slice(None), slice(max(place, 0), max(place + 1, 0))
            else:
                place = (distance if edge == 2 else height - 1 - distance) - top
                window = slice(None), slice(max(place, 0), max(place + 1, 0)), slice(None)
            added[window] += np.tensordot(weight, edge_terms(latent[window], colours.neutral), 1)
    return added
