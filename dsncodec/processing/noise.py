"""How strong the noise of a picture is, and a trained network that takes it out."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..networks import registry
from ..networks.image_to_image import run
from ..planes import TO_YCBCR

UInt8Array = NDArray[np.uint8]

LEAST_SIGMA = 0.5  # grey levels: less is rounding
TRAINED_FOR = (1.0, 75.0)  # what the network is told, in grey levels
# Squares that the flattest are found among: their side, which part of them are the flattest, and what their deviation is to be multiplied
# by for white noise, as these are those where it came out weakest
SQUARE, FLATTEST, WEAKEST = 8, 0.01, 1.12
# So much stronger than white noise what a camera has smoothed may be: a picture that is texture all over looks the same
MOST_SMOOTHED, ALWAYS = 3.0, 2.0
# Samples at the ends of the range: noise is cut off there
ENDS = (3, 252)
NETWORK = "photo"


def sigma_of(pixels: UInt8Array) -> float:
    """The standard deviation of white noise in a picture (H, W, planes), in grey levels; 0 where it is too small to tell.

    Details fill few of the directions that a small patch can vary in; noise fills all alike. So the smallest eigenvalues
    of the patches' covariance are the noise's variance: the largest are left out until the others' mean is no more than their
    median. Source: Chen, Zhu and Heng, "An efficient statistical method for image noise level estimation", 2015.
    """
    height, width, planes = pixels.shape
    side = 3 if planes == 3 else 5
    if min(height, width) < side:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (side, side), (0, 1))
    thin = max(1, math.isqrt(windows.shape[0] * windows.shape[1] // 2**16))
    patches = windows[::thin, ::thin].reshape(-1, planes * side * side).astype(np.float64)
    if len(patches) < 2 * patches.shape[1]:
        return 0.0
    values = np.linalg.eigvalsh(np.cov(patches.T))
    kept = next(n for n in range(len(values), 0, -1) if values[:n].mean() <= np.median(values[:n]))
    return float(np.sqrt(max(values[:kept].mean(), 0)))


def strength_of(pixels: UInt8Array) -> float:
    """The standard deviation of the noise in a picture (H, W, planes), in grey levels, smoothed noise too.

    A camera's own processing takes away just what ``sigma_of`` measures, noise that differs from pixel to pixel: of smoothed noise of
    15 it finds 3. In the flattest squares there is little but noise. Where a picture has no flat ones, that is too much; so what is
    found there counts up to three times of what ``sigma_of`` finds, and two grey levels.
    """
    white = sigma_of(pixels)
    rows, columns = (side // SQUARE for side in pixels.shape[:2])
    if not rows * columns:
        return white
    squares = pixels[: rows * SQUARE, : columns * SQUARE].reshape(rows, SQUARE, columns, SQUARE, -1)
    thin = max(1, math.isqrt(rows * columns // 2**14))
    squares = squares[::thin, :, ::thin].transpose(0, 2, 4, 1, 3).reshape(-1, pixels.shape[2], SQUARE**2)
    within = (squares >= ENDS[0]).all((1, 2)) & (squares <= ENDS[1]).all((1, 2))
    if not within.any():
        return white
    values = squares[within].astype(np.float32)
    slopes = np.mgrid[:SQUARE, :SQUARE].reshape(2, -1).astype(np.float32)
    slopes -= slopes.mean(1, keepdims=True)
    slopes /= np.linalg.norm(slopes, axis=1, keepdims=True)
    values -= values.mean(-1, keepdims=True)
    values -= (values @ slopes.T) @ slopes
    deviations = np.sqrt(np.square(values).sum(-1) / (SQUARE**2 - 3)).mean(1)
    found = WEAKEST * float(np.quantile(deviations, FLATTEST))
    # of a single plane texture fills as many directions as noise does
    return (
        min(found, white) if pixels.shape[2] == 1 else max(white, min(found, MOST_SMOOTHED * white + ALWAYS))
    )


def denoised(
    colour: UInt8Array, sigma: float | None, threads: int, report: Callable[[float], None] | None = None
) -> UInt8Array:
    """A picture (H, W, 1 or 3) without its noise, by a trained network; as it is where none is found.

    Args:
        sigma: of the noise, in grey levels; default: what ``strength_of`` says.
        report: as ``image_to_image.run`` has it.
    """
    row = registry.image_network("denoise", NETWORK)
    strength = strength_of(colour) if sigma is None else sigma
    if strength < LEAST_SIGMA:
        return colour
    told = np.full((1, 1, 1), np.clip(strength, *TRAINED_FOR) / 255, np.float32)
    made = run(row, colour, threads, report, (told,))
    if colour.shape[2] == 3:
        return made
    grey: UInt8Array = np.rint(made @ TO_YCBCR[0]).astype(np.uint8)[..., None]
    return grey
