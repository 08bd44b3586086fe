"""What a JPEG picture lost, without the original: from its quantisation tables, and from how many coefficients they left.

A coefficient is taken for Laplacian, whose width follows from how often it is not zero. Source: Ichigaya et al., "A method
of estimating coding PSNR using quantized DCT coefficients", IEEE TCSVT 16, 2006. Straight lines from there to PSNR over R, G
and B, and to the strength of the network, are fitted on the tuning pictures (python -m bench kept --fit).
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

FloatArray = NDArray[np.float64]

# Luma's table of ITU-T T.81, annex K, row by row; libjpeg's quality 50
_ANNEX_K = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float64,
)
_PERCENTS = np.array([5000 // q if q < 50 else 200 - 2 * q for q in range(1, 101)])
_SUMS = np.clip((_ANNEX_K.ravel() * _PERCENTS[:, None] + 50) // 100, 1, 255).sum(1)
_MOST_BLOCKS = 2**14  # that are looked at, in rows spread over the picture
_DCT = np.sqrt(2 / 8) * np.cos(np.pi * (2 * np.arange(8) + 1) * np.arange(8)[:, None] / 16)
_DCT[0] /= np.sqrt(2)
# Of a constant, and of the features; python -m bench kept --fit
PSNR_DB = (31.841, -2.772, -2.984, 0.560, 1.298)
# Three quarters of what least squares asks for: 94 % of the gain, and a quarter of the pictures that lose
STRENGTH = (1.484, -0.1125, -0.1532, -0.0094, -0.1198)
_RGB = [*b"RGB"]  # the names of components that are R, G and B
_LEAST_SHARE = 1e-4  # of coefficients that are not zero: of fewer nobody can tell


@dataclass(frozen=True)
class Seen:
    """What a JPEG file shows of its losses: ``quality`` 0..100 on libjpeg's scale, by the sum of luma's steps; the PSNR of luma
    that its coefficients let expect, ``luma_psnr_db``; bits of the file per pixel, ``bpp``; and the share of chroma samples
    that are kept, 1, 1/2 or 1/4."""

    quality: int
    luma_psnr_db: float
    bpp: float
    chroma_share: float

    @property
    def features(self) -> FloatArray:
        """What PSNR and strength are straight lines of, (5,)."""
        steps, share = np.log2(105 - self.quality), np.log2(self.chroma_share)
        return np.array([1, steps, np.log2(max(self.bpp, 0.01)), self.luma_psnr_db, share])


def psnr_db_of(seen: Seen) -> float:
    """The PSNR over R, G and B that is to be expected, in dB."""
    return float(np.clip(seen.features @ PSNR_DB, 15, 60))


def strength_of(seen: Seen) -> int:
    """How much of the network's correction is to be added, in 64ths."""
    return round(64 * float(np.clip(seen.features @ STRENGTH, 0, 1)))


def quality_of(steps: FloatArray) -> int:
    """libjpeg's quality 1..100 whose table of luma has the nearest sum."""
    return 1 + int(np.argmin(np.abs(_SUMS - steps.sum())))


def look(file: bytes) -> Seen:
    """What a JPEG file shows; Pillow has read it before."""
    with JpegImageFile(io.BytesIO(file)) as image:
        tables = [
            np.array(table, np.float64).reshape(8, 8) for _, table in sorted(image.quantization.items())
        ]
        layers = image.layer
        of_colours = image.info.get("adobe_transform") == 0 or [layer[0] for layer in layers] == _RGB
        if image.mode == "RGB" and not of_colours:
            image.draft("YCbCr", None)
        luma = np.asarray(image)
    if luma.ndim == 3:
        luma = luma[..., 0]
    steps = tables[0]
    share = 1.0
    if len(layers) == 3:
        share = layers[1][1] * layers[1][2] / (layers[0][1] * layers[0][2])
    error = _expected_error(_coefficients(luma), steps)
    psnr_db = float(10 * np.log10(255**2 / max(error, 1e-3)))
    return Seen(quality_of(steps), psnr_db, 8 * len(file) / luma.size, share)


def _coefficients(luma: NDArray[np.uint8]) -> FloatArray:
    """(blocks, 8, 8) of whole blocks of a plane, in rows spread over it."""
    rows, columns = (side // 8 for side in luma.shape)
    if not rows or not columns:
        luma = np.pad(luma, [(0, max(0, 8 - side)) for side in luma.shape], "edge")
        rows, columns = (side // 8 for side in luma.shape)
    wanted = max(1, min(rows, _MOST_BLOCKS // columns))
    chosen = np.unique(np.linspace(0, rows - 1, wanted).astype(int))
    blocks = luma[: 8 * rows, : 8 * columns].reshape(rows, 8, columns, 8)[chosen]
    levels = blocks.swapaxes(1, 2).reshape(-1, 8, 8).astype(np.float64) - 128
    return np.asarray(_DCT @ levels @ _DCT.T)


def _expected_error(coefficients: FloatArray, steps: FloatArray) -> float:
    """The mean squared error of luma that quantisation by these steps leaves."""
    share = np.mean(np.abs(coefficients) > steps / 2, 0)
    share[0, 0] = 1  # the mean of a block is not Laplacian
    half = steps / 2
    width = -np.log(np.clip(share, _LEAST_SHARE, 1 - 1e-6)) / half  # of the Laplacian, lambda
    zero = 2 / width**2 - np.exp(-width * half) * (half**2 + 2 * half / width + 2 / width**2)
    u = width * half
    # of e in -half .. half with density e^(-width e), the mean of e^2
    others = (half**2 + 2 / width**2) - 2 * half / width / np.tanh(np.maximum(u, 1e-9))
    others = np.where(u < 1e-2, half**2 / 3, others)
    zero = np.where(u < 1e-2, half**2 / 3 * u, zero)
    return float((zero + share * others).mean())
