"""Enlarging a picture by Up-SNet, whether Down-SNet made it or not; and holding any enlarged picture to the small one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..methods.dsn.bitstream import Point
from ..methods.dsn.codec import Decoder
from ..methods.dsn.colours import chroma_latent, luma_latent, shown_luma
from ..methods.dsn.quantise import quantise, quantise_chroma
from ..networks import registry
from ..planes import to_planes

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

LEVELS = 256  # of the latent that a picture is taken for
FEWEST = 12  # levels of a layer that is told from a picture of few greys: of quality 0
STEPS = 2  # of holding: a third gains less than 0.1 dB, and loses as much where another filter had shrunk the picture
REACH = 5  # small pixels that a step's two bicubic filters look at to each side, or one more
STRIP_PIXELS = 2**20  # of the large picture, about, that are floats at one time
ROWS = 2**10  # of the large picture that are decoded at a time
MISSED = 8.0  # pixels due at values that a layer cannot show: so many, and none found, is no chance (e^-8)
MAX_SPREAD = 1.05 / 255  # of chroma that was one value before it was rounded to RGB: half a level each way


def enlarged(
    small: UInt8Array, scale: int, threads: int, report: Callable[[float], None] | None = None
) -> UInt8Array:
    """A picture's colour enlarged by Up-SNet.

    A layer is given to the decoder as what it is. Any other picture is taken to be a larger one shrunk bicubically: it is
    decoded as the layer that has its colours, and then ``held``.

    Args:
        small: (h, w, 1 or 3).
        report: called now and then with the part of the work that is done.
    Returns:
        (scale*h, scale*w, 1 or 3).
    """
    model = registry.for_scale(scale)
    height, width = small.shape[:2]
    padded = small
    if small.shape[2] == 3:  # to whole pairs of pixels: a chroma symbol covers 2 x 2
        padded = np.pad(small, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    planes = to_planes(padded)
    luma = quantise(luma_latent(planes[:1], model.layer_map), LEVELS)
    chroma = np.empty((0, 0, 0), np.uint8)
    if small.shape[2] == 3:
        pooled = _pairs(planes[1:]).mean((2, 4))
        chroma = quantise_chroma(chroma_latent(pooled, model.layer_map), LEVELS)
        if _is_grey(small):
            chroma = np.full(chroma.shape, LEVELS // 2, np.uint8)
    decoder = Decoder(model, Point(scale, LEVELS, LEVELS), luma, chroma, threads)
    large = np.empty((height * scale, width * scale, small.shape[2]), np.uint8)
    for top in range(0, len(large), ROWS):
        rows = slice(top, min(top + ROWS, len(large)))
        large[rows] = decoder.pixels((rows, slice(0, width * scale)))
        if report is not None:
            report(rows.stop / len(large))
    return large if is_layer(small, model.layer_map) else held(large, small, threads)


def is_layer(small: UInt8Array, colours: registry.LayerMap | None) -> bool:
    """Whether a picture is, pixel for pixel, a layer as it is shown.

    A layer's chroma is the same in every 2 x 2 pixels, before it is rounded to RGB. A layer without colour has no more greys
    than symbols, and even 256 of them leave a few greys out. Where a picture is too plain to tell, it is not a layer.
    """
    if small.shape[2] == 1 or _is_grey(small):
        return _lacks_values(small[..., 0], colours)
    height, width = (side // 2 * 2 for side in small.shape[:2])
    whole = small[:height, :width]
    pairs = _pairs(to_planes(whole)[1:])
    unclipped = ((whole > 0) & (whole < 255)).all(-1).reshape(height // 2, 2, width // 2, 2).all((1, 3))
    spread = np.ptp(pairs, (2, 4))[:, unclipped]
    means = pairs.mean((2, 4))[:, unclipped]
    return bool(spread.size and spread.max() <= MAX_SPREAD and np.ptp(means, 1).max() > 4 * MAX_SPREAD)


def _lacks_values(grey: UInt8Array, colours: registry.LayerMap | None) -> bool:
    """Whether just those greys are absent that no symbol of some alphabet is shown as, though those around them are there."""
    counts = np.bincount(grey.ravel(), minlength=256)
    present = np.flatnonzero(counts)
    for levels in range(LEVELS, FEWEST - 1, -1):
        shown = np.unique(np.floor(shown_luma(levels, colours) * 255 + 0.5).astype(int))
        if np.isin(present, shown).all():
            due = (np.diff(shown) - 1) * np.minimum(counts[shown[:-1]], counts[shown[1:]])
            if due.sum() >= MISSED:
                return True
    return False


def held(large: UInt8Array, small: UInt8Array, threads: int) -> UInt8Array:
    """An enlarged picture, changed by as little as makes it shrink bicubically to the small one, almost.

    What is added is the small picture's difference from the shrunk one, enlarged bicubically (Irani and Peleg 1991), twice.
    As the picture that was shrunk has no such difference, this comes closer to it, whatever made ``large``.

    Args:
        large: (s*h, s*w, C), small: (h, w, C).
    """
    scale, out = len(large) // len(small), np.empty_like(large)
    rows = max(1, STRIP_PIXELS // (large.shape[1] * scale))

    def strip(top: int) -> None:
        around = slice(max(0, top - REACH * STEPS), min(len(small), top + rows + REACH * STEPS))
        inner = slice(top * scale, min(len(small), top + rows) * scale)
        first = around.start * scale
        for plane in range(large.shape[2]):
            wanted = small[around, :, plane].astype(np.float32)
            values = large[first : around.stop * scale, :, plane].astype(np.float32)
            for _ in range(STEPS):
                values += _resized(wanted - _resized(values, wanted.shape), values.shape)
            values = values[inner.start - first : inner.stop - first]
            out[inner, :, plane] = np.clip(values + np.float32(0.5), 0, 255)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(strip, range(0, len(small), rows)))
    return out


def _resized(plane: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    image = Image.fromarray(plane).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def _pairs(planes: FloatArray) -> FloatArray:
    """(C, h, w) as (C, h/2, 2, w/2, 2)."""
    return planes.reshape(len(planes), planes.shape[1] // 2, 2, planes.shape[2] // 2, 2)


def _is_grey(pixels: UInt8Array) -> bool:
    return bool((pixels == pixels[..., :1]).all())
