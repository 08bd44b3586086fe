"""How far two pictures are apart, and how far two codecs are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .errors import SettingError

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
Plane = NDArray[np.uint8] | NDArray[np.float32]
Curve = Sequence[tuple[float, float]] | FloatArray  # (bpp, psnr_db) of each setting, in any order

# Wang et al. 2004, section III.B: K1, K2, and a Gaussian of 11 taps with sigma 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_TAPS = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
_TAPS /= _TAPS.sum()
_EDGE = len(_TAPS) - 1  # rows and columns without a whole window
_STRIP = 32  # rows at a time: the working set stays in the cache
# Wang et al. 2003, section 3.2: exponents from the finest scale to the coarsest
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def bpp(size_bytes: int, width: int, height: int) -> float:
    """Bits per pixel of a whole file.

    >>> bpp(1000, 100, 80)
    1.0
    """
    return 8 * size_bytes / (width * height)


# --- two pictures


def psnr_db(reference: UInt8Array, other: UInt8Array, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB over all samples of two arrays of one shape; inf when equal.

    Rows are taken in strips, so that a picture of 100 megapixels needs no float copy of itself.

    >>> round(psnr_db(np.zeros((4, 4), np.uint8), np.full((4, 4), 5, np.uint8)), 3)
    34.151
    """
    return psnr_of(mean_squared_error(reference, other), peak)


def psnr_of(mse: float, peak: float = 255.0) -> float:
    """PSNR in dB of a mean squared error; inf of 0.

    >>> psnr_of(255.0**2 / 1000)
    30.0
    """
    return math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)


def mean_squared_error(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """Over all samples of two arrays of one shape; of 8-bit ones in whole numbers, exactly. Rows are taken in strips.

    >>> mean_squared_error(np.zeros((4, 4), np.uint8), np.full((4, 4), 5, np.uint8))
    25.0
    """
    _check_shapes(reference, other)
    whole = reference.dtype == other.dtype == np.uint8
    wide, sums = (np.int32, np.int64) if whole else (np.float64, np.float64)
    total = 0.0
    for top in range(0, len(reference), 256):
        apart = reference[top : top + 256].astype(wide) - other[top : top + 256]
        total += float(np.square(apart).sum(dtype=sums))
    return total / reference.size


def luma(picture: UInt8Array) -> UInt8Array:
    """What PSNR-Y and SSIM-Y are measured on: full-range BT.601, rounded to 8 bits.

    The same integers as Pillow's mode L. A grey picture is its own luma.

    Args:
        picture: (H, W, 3) in the order red, green, blue, or (H, W).
    Returns:
        (H, W), dtype uint8.
    Raises:
        SettingError: another shape.

    >>> luma(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)).tolist()
    [[76, 150, 29, 9]]
    """
    if picture.ndim == 2:
        return picture
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise SettingError(f"luma is of pictures (H, W, 3) or (H, W), not {picture.shape}")
    grey = np.empty(picture.shape[:2], np.uint8)
    for top in range(0, len(picture), 256):
        red, green, blue = np.moveaxis(picture[top : top + 256].astype(np.uint32), 2, 0)
        # 0.299, 0.587 and 0.114 in units of 2^-16
        grey[top : top + 256] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    return grey


def ssim(reference: UInt8Array, other: UInt8Array) -> float:
    """Structural similarity; 1 when equal, and the mean over the channels of a colour picture.

    Every position where the window of 11 x 11 fits counts once; covariances are those of the
    window's population. Rows are taken in strips, as for PSNR.

    Args:
        reference, other: (H, W) or (H, W, channels), dtype uint8, both sides at least 11.
    Raises:
        SettingError: shapes that differ or are too small, or another dtype.
    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity",
        2004, without the reduction to 256 pixels that the authors' script does first.

    >>> checks = np.indices((16, 16)).sum(0).astype(np.uint8) % 2 * 100
    >>> round(ssim(checks, checks + np.uint8(100)), 4), ssim(checks, 100 - checks) < -0.9
    (0.6001, True)
    """
    _check_pictures(reference, other, smallest=len(_TAPS))
    return float(np.mean([_similarities(a, b)[0] for a, b in _plane_pairs(reference, other)]))


def ms_ssim(reference: UInt8Array, other: UInt8Array) -> float:
    """Multi-scale structural similarity; 1 when equal, and the mean over the channels' scores.

    Five scales, each half the one before. A side of odd length repeats its last row or column before
    it is halved, as the authors' script does; pytorch-msssim, and so CompressAI, puts black around it
    instead, which moves a small picture's score by about 0.01 unless its sides are multiples of 16.
    A negative mean counts as 0.

    Args:
        reference, other: (H, W) or (H, W, channels), dtype uint8, both sides at least 161, so that the
            window fits into the coarsest scale.
    Raises:
        SettingError: shapes that differ or are too small, or another dtype.
    Source: Wang et al., "Multi-scale structural similarity for image quality assessment", 2003,
        equation 7.

    >>> ramp = np.add.outer(np.arange(176), np.arange(176)).astype(np.uint8)
    >>> ms_ssim(ramp, ramp), round(ms_ssim(ramp, 255 - ramp), 6)
    (1.0, 0.0)
    """
    _check_pictures(reference, other, smallest=_EDGE * 2 ** (len(_SCALE_WEIGHTS) - 1) + 1)
    return float(np.mean([_ms_ssim_of_planes(a, b) for a, b in _plane_pairs(reference, other)]))


def _check_shapes(reference: UInt8Array, other: UInt8Array) -> None:
    if reference.shape != other.shape:
        raise SettingError(f"shapes differ: {reference.shape} and {other.shape}")


def _check_pictures(reference: UInt8Array, other: UInt8Array, smallest: int) -> None:
    _check_shapes(reference, other)
    if reference.dtype != np.uint8 or other.dtype != np.uint8:
        raise SettingError(f"pictures must be uint8, not {reference.dtype} and {other.dtype}")
    if reference.ndim not in (2, 3):
        raise SettingError(f"a picture is (H, W) or (H, W, channels), not {reference.shape}")
    if min(reference.shape[:2]) < smallest:
        raise SettingError(f"both sides must be at least {smallest} pixels: {reference.shape}")


def _plane_pairs(reference: UInt8Array, other: UInt8Array) -> list[tuple[Plane, Plane]]:
    """The pictures' channels, two by two."""
    planes_a, planes_b = (p.reshape(*p.shape[:2], -1).transpose(2, 0, 1) for p in (reference, other))
    return list(zip(planes_a, planes_b, strict=True))


def _blurred(planes: FloatArray) -> FloatArray:
    """Gaussian means wherever the window fits: (..., h, w) to (..., h - 10, w - 10)."""
    centre = len(_TAPS) // 2
    for _ in range(2):  # along the columns, turn, along the rows, turn back
        rows = planes.shape[-2] - _EDGE
        means = _TAPS[centre] * planes[..., centre : centre + rows, :]
        for i in range(centre):
            pair = planes[..., i : i + rows, :] + planes[..., _EDGE - i : _EDGE - i + rows, :]
            pair *= _TAPS[i]
            means += pair
        planes = means.swapaxes(-1, -2)
    return planes


def _similarities(reference: Plane, other: Plane) -> tuple[float, float]:
    """The means over all windows of SSIM and of its contrast-structure factor alone."""
    similarity = structure = 0.0
    for top in range(0, len(reference) - _EDGE, _STRIP):
        a, b = (p[top : top + _STRIP + _EDGE].astype(np.float64) for p in (reference, other))
        mean_a, mean_b, square, product = _blurred(np.stack([a, b, a * a + b * b, a * b]))
        means_square, means_product = mean_a**2 + mean_b**2, mean_a * mean_b
        factor = (2 * (product - means_product) + _C2) / (square - means_square + _C2)
        structure += float(factor.sum())
        factor *= (2 * means_product + _C1) / (means_square + _C1)
        similarity += float(factor.sum())
    windows = (reference.shape[0] - _EDGE) * (reference.shape[1] - _EDGE)
    return similarity / windows, structure / windows


def _halved(plane: Plane) -> NDArray[np.float32]:
    """Means of 2 x 2 pixels. Exact: four halvings of 8 bits need 16."""
    rows, columns = plane.shape
    even = np.pad(plane, ((0, rows % 2), (0, columns % 2)), mode="edge")
    pairs: NDArray[np.float32] = np.add(even[::2], even[1::2], dtype=np.float32)
    means: NDArray[np.float32] = np.add(pairs[:, ::2], pairs[:, 1::2], dtype=np.float32)
    means /= 4
    return means


def _ms_ssim_of_planes(reference: Plane, other: Plane) -> float:
    score = 1.0
    for weight in _SCALE_WEIGHTS[:-1]:
        score *= max(0.0, _similarities(reference, other)[1]) ** weight
        reference, other = _halved(reference), _halved(other)
    return score * max(0.0, _similarities(reference, other)[0]) ** _SCALE_WEIGHTS[-1]


# --- two pictures, as a person sees them

# libjxl, tools/ssimulacra2.cc: of X, Y and B - Y, of six scales, of the mean and the 4-norm, of the maps of lost similarity,
# of edges that were not there, and of edges that are gone
SSIMULACRA2_WEIGHTS = np.zeros((3, 6, 2, 3))
for _place, _weights in {
    (0, 0): (0, 0.0007376606707406586, 0, 0, 0.0007793481682867309, 0),
    (0, 1): (0, 0.0004371155730107379, 0, 1.1041726426657346, 0.00066284834129271, 0.00015231632783718752),
    (0, 2): (0, 0.0016406437456599754, 0, 1.8422455520539298, 11.441172603757666, 0),
    (0, 3): (0.0007989109436015163, 0.000176816438078653, 0, 1.8787594979546387, 10.94906990605142, 0),
    (0, 4): (
        0.0007289346991508072,
        0.9677937080626833,
        0,
        0.00014003424285435884,
        0.9981766977854967,
        0.00031949755934435053,
    ),
    (0, 5): (0.0004550992113792063, 0, 0, 0.0013648766163243398, 0, 0),
    (1, 0): (0, 0, 0, 7.466890328078848, 0, 17.445833984131262),
    (1, 1): (0.0006235601634041466, 0, 0, 6.683678146179332, 0.00037724407979611296, 1.027889937768264),
    (1, 2): (225.20515300849274, 0, 0, 19.213238186143016, 0.0011401524586618361, 0.001237755635509985),
    (1, 3): (176.39317598450694, 0, 0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408),
    (1, 4): (0, 0, 0, 34.77906344483772, 44.835625328877896, 0),
    (1, 5): (0, 0, 0, 0, 0, 0),
    (2, 0): (0, 0.0008680556573291698, 0, 0, 0, 0),
    (2, 1): (0, 0.0005313191874358747, 0, 0.00016533814161379112, 0, 0),
    (2, 2): (0, 0, 0, 0.0004179171803251336, 0.0017290828234722833, 0),
    (2, 3): (0.0020827005846636437, 0, 0, 8.826982764996862, 23.19243343998926, 0),
    (2, 4): (
        95.1080498811086,
        0.9863978034400682,
        0.9834382792465353,
        0.0012286405048278493,
        171.2667255897307,
        0.9807858872435379,
    ),
    (2, 5): (0, 0, 0, 0.0005130064588990679, 0, 0.00010854057858411537),
}.items():
    SSIMULACRA2_WEIGHTS[_place] = np.reshape(_weights, (2, 3))
# of the quotient of variances
SSIMULACRA2_CONSTANT = 0.0009
# sigma 1.5 over 9 taps, from the middle outwards
SSIMULACRA2_TAPS = np.exp(-0.5 * (np.arange(5) / 1.5) ** 2)
SSIMULACRA2_TAPS /= SSIMULACRA2_TAPS[0] + 2 * SSIMULACRA2_TAPS[1:].sum()
# libjxl, lib/jxl/cms/opsin_params.h: linear red, green and blue to what long, middle and short cones see
OPSIN = np.array(
    [
        [0.30, 0.622, 0.078],
        [0.23, 0.692, 0.078],
        [0.24342268924547819, 0.20476744424496821, 0.5518098665095536],
    ]
)
OPSIN_BIAS = 0.0037930732552754493
# pixels of a side
SSIMULACRA2_SMALLEST = 8


def ssimulacra2(reference: UInt8Array, image: UInt8Array) -> float:
    """SSIMULACRA 2.1: 100 when equal, 90 visually lossless, 70 high, 50 medium, 30 low quality; can be negative.

    Both pictures are taken as sRGB, to linear light, halved five times there, and each scale compared in XYB, in float32.
    Six scales always, the last of few pixels where the picture is small. At the borders, the Gaussian sees the picture
    mirrored. libjxl's own program puts zeros around it, a strong edge that hides errors: computed so, JPEG of quality 20 to 90
    scores 6 to 0.3 points more on 320 x 480, 3 to 0.2 on 960 x 1280; and below 113 pixels it leaves scales out, and reads
    the weights of others. Scores of this function compare with those of vapoursynth-vszip.

    Machine code where numba is installed, NumPy otherwise.

    Args:
        reference, image: (H, W, 3) or (H, W), dtype uint8, both sides at least 8. They are not exchangeable.
    Raises:
        SettingError: shapes that differ or are too small, or another dtype.
    Source: Sneyers, libjxl, tools/ssimulacra2.cc (2023); with the borders and the 9 taps of vapoursynth-vszip 23.

    >>> ramp = np.repeat(np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)[..., None], 3, 2)
    >>> ssimulacra2(ramp, ramp), ssimulacra2(ramp, ramp // 8 * 8) < 90
    (100.0, True)
    """
    return Ssimulacra2(reference)(image)


class Ssimulacra2:
    """``ssimulacra2`` of several pictures against one reference, whose own side is computed once: 16 bytes a pixel are kept.

    Args, Raises: as ``ssimulacra2``.
    """

    def __init__(self, reference: UInt8Array) -> None:
        _check_pictures(reference, reference, smallest=SSIMULACRA2_SMALLEST)
        if reference.shape[2:] not in ((), (3,)):
            raise SettingError(f"SSIMULACRA 2 is of pictures (H, W, 3) or (H, W), not {reference.shape}")
        self._reference = reference
        self._scales = list(_xyb_scales(reference))

    def __call__(self, image: UInt8Array) -> float:
        """The score of a picture of the reference's shape."""
        _check_pictures(self._reference, image, smallest=SSIMULACRA2_SMALLEST)
        return ssimulacra2_score(float((SSIMULACRA2_WEIGHTS * self._visible_errors(image)).sum()))

    def _visible_errors(self, image: UInt8Array) -> FloatArray:
        """Norms of errors, laid out as SSIMULACRA2_WEIGHTS."""
        machine_code = kernels.load(kernels.SEEING)
        sums = _error_sums if machine_code is None else machine_code.sums
        taps, constant = SSIMULACRA2_TAPS.astype(np.float32), np.float32(SSIMULACRA2_CONSTANT)
        norms = np.empty(SSIMULACRA2_WEIGHTS.shape)
        for scale, (ours, theirs) in enumerate(zip(self._scales, _xyb_scales(image))):
            rows, columns = ours[0].shape
            down, across = _mirrored(rows, len(taps) - 1), _mirrored(columns, len(taps) - 1)
            for channel, (a, b) in enumerate(zip(ours, theirs)):
                mean, fourth = sums(a, b, taps, down, across, constant) / (rows * columns)
                norms[channel, scale] = mean, fourth**0.25
        return norms


def ssimulacra2_score(errors: float) -> float:
    """The score of a weighted sum of errors: at most 100, which small errors reach."""
    x = 0.9562382616834844 * errors
    x = 2.326765642916932 * x - 0.020884521182843837 * x**2 + 6.248496625763138e-05 * x**3
    return 100 - 10 * max(x, 0.0) ** 0.6276336467831387


def _xyb_scales(picture: UInt8Array) -> Iterator[tuple[Float32Array, Float32Array, Float32Array]]:
    """X, Y and B - Y of a picture at each of the six scales."""
    light = _linear(picture)
    for scale in range(SSIMULACRA2_WEIGHTS.shape[1]):
        if scale:
            light = _halved_light(light)
        yield _xyb(light)


def _linear(picture: UInt8Array) -> Float32Array:
    """sRGB (H, W, 3) or (H, W) to linear light in 0..1, (3, H, W)."""
    value = np.arange(256) / 255
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)
    light = np.empty((3, *picture.shape[:2]), np.float32)
    for channel in range(3):
        light[channel] = table[picture if picture.ndim == 2 else picture[..., channel]]
    return light


def _halved_light(light: Float32Array) -> Float32Array:
    """Means of 2 x 2 pixels; an odd side repeats its last row or column."""
    rows, columns = light.shape[1:]
    even = np.pad(light, ((0, 0), (0, rows % 2), (0, columns % 2)), mode="edge")
    halved = (even[:, ::2, ::2] + even[:, ::2, 1::2]) + (even[:, 1::2, ::2] + even[:, 1::2, 1::2])
    halved *= np.float32(0.25)
    return np.ascontiguousarray(halved)


def _xyb(light: Float32Array) -> tuple[Float32Array, Float32Array, Float32Array]:
    """X, Y and B - Y, each brought to about 0..1."""
    matrix, bias = OPSIN.astype(np.float32), np.float32(OPSIN_BIAS)
    cones = []
    for row in matrix:
        mixed = row[0] * light[0]
        mixed += row[1] * light[1]
        mixed += row[2] * light[2]
        mixed += bias
        cones.append(np.cbrt(mixed, out=mixed))
        mixed -= np.cbrt(bias)
    x, y = cones[0] - cones[1], cones[0] + cones[1]
    x *= np.float32(7)
    x += np.float32(0.42)
    y *= np.float32(0.5)
    blue = cones[2] - y
    blue += np.float32(0.55)
    y += np.float32(0.01)
    return x, y, blue


def _mirrored(length: int, radius: int) -> NDArray[np.int64]:
    """What each place of a side reads that is padded with its mirror image, the border itself but once."""
    return np.pad(np.arange(length), radius, mode="reflect" if length > 1 else "edge")


def _error_sums(
    a: Float32Array,
    b: Float32Array,
    taps: Float32Array,
    down: NDArray[np.int64],
    across: NDArray[np.int64],
    constant: np.float32,
) -> FloatArray:
    """As ``kernels.seeing.sums``, by NumPy; rows in strips."""
    one, two, radius = np.float32(1), np.float32(2), len(taps) - 1
    found = np.zeros((2, 3))
    for top in range(0, len(a), _STRIP):
        strip_a, strip_b = a[top : top + _STRIP], b[top : top + _STRIP]
        rows = down[top : top + len(strip_a) + 2 * radius]
        u, v = a[rows][:, across], b[rows][:, across]
        m1, m2, s11, s22, s12 = _taken(np.stack([u, v, u * u, v * v, u * v]), taps)
        step = m1 - m2
        above = two * (s12 - m1 * m2) + constant
        below = (s11 - m1 * m1) + (s22 - m2 * m2) + constant
        edge = (one + np.abs(strip_b - m2)) / (one + np.abs(strip_a - m1)) - one
        for i, error in enumerate((one - (one - step * step) * above / below, edge, -edge)):
            np.maximum(error, 0, out=error)
            found[0, i] += error.sum(dtype=np.float64)
            error *= error
            error *= error
            found[1, i] += error.sum(dtype=np.float64)
    return found


def _taken(padded: Float32Array, taps: Float32Array) -> Float32Array:
    """A symmetric filter, first along the rows, then along the columns: (..., h + 2R, w + 2R) to (..., h, w)."""
    radius = len(taps) - 1
    for axis in (-1, -2):
        length = padded.shape[axis] - 2 * radius
        moved = np.moveaxis(padded, axis, 0)
        means = taps[0] * moved[radius : radius + length]
        for k in range(1, radius + 1):
            means += taps[k] * (
                moved[radius - k : radius - k + length] + moved[radius + k : radius + k + length]
            )
        padded = np.moveaxis(means, 0, axis)
    return padded


# --- two codecs


def bd_rate(anchor: Curve, test: Curve, method: str = "pchip") -> float:
    """Bjontegaard's mean difference in rate at equal PSNR, in percent: negative is better.

    Each curve becomes ln(bpp) as a function of PSNR; the difference is averaged over the PSNR that both
    reach. A point is left out when another of its curve costs no more and gives no less.
    The rate may be in any unit, and the quality any that grows as pictures get better.

    Args:
        anchor, test: (bpp, psnr_db) of each setting, in any order; two that count are the least.
        method: "pchip", as the video groups' common test conditions, or "akima".
    Raises:
        SettingError: no common range, too few points, values that are not finite, rates that are not
            positive, or another method.
    Source: Bjontegaard, VCEG-M33, 2001, with the interpolation of JCTVC-E137.

    >>> anchor = [(0.1, 28), (0.2, 30.5), (0.4, 33), (0.8, 36)]
    >>> round(bd_rate(anchor, [(0.9 * rate, psnr) for rate, psnr in anchor]), 9)
    -10.0
    """
    (anchor_log_rate, anchor_psnr), (test_log_rate, test_psnr) = _front(anchor), _front(test)
    gain = _mean_gap(anchor_psnr, anchor_log_rate, test_psnr, test_log_rate, method)
    return 100 * math.expm1(gain)


def bd_psnr(anchor: Curve, test: Curve, method: str = "pchip") -> float:
    """Bjontegaard's mean difference in PSNR at equal rate, in dB: positive is better.

    As `bd_rate` with the axes exchanged: PSNR as a function of ln(bpp), averaged over the common rates.

    >>> anchor = [(0.1, 28), (0.2, 30.5), (0.4, 33), (0.8, 36)]
    >>> round(bd_psnr(anchor, [(rate, psnr + 0.5) for rate, psnr in anchor]), 9)
    0.5
    """
    (anchor_log_rate, anchor_psnr), (test_log_rate, test_psnr) = _front(anchor), _front(test)
    return _mean_gap(anchor_log_rate, anchor_psnr, test_log_rate, test_psnr, method)


def quality_at(curve: Curve, rate: float) -> float | None:
    """What a codec reaches at a rate: between its settings by PCHIP on ln(rate); None outside of them.

    Args:
        curve: (bpp, psnr_db) of each setting, as for ``bd_rate``.
    Raises:
        SettingError: as ``bd_rate``.

    >>> curve = [(0.1, 28), (0.2, 30.5), (0.4, 33), (0.8, 36)]
    >>> quality_at(curve, 0.2), quality_at(curve, 0.9)
    (30.5, None)
    """
    x, y = _front(curve)
    wanted = math.log(rate)
    if not x[0] <= wanted <= x[-1]:
        return None
    piece = min(int(np.searchsorted(x, wanted, "right")) - 1, len(x) - 2)
    step, rise = x[piece + 1] - x[piece], y[piece + 1] - y[piece]
    left, right = step * _pchip_slopes(x, y)[piece : piece + 2]
    t = (wanted - x[piece]) / step
    return float(y[piece] + t * (left + t * (3 * rise - 2 * left - right + t * (left + right - 2 * rise))))


def _front(curve: Curve) -> tuple[FloatArray, FloatArray]:
    """ln(rate) and PSNR of the points that no other one beats; both increase strictly."""
    points = np.asarray(curve, np.float64).reshape(-1, 2)
    if not np.isfinite(points).all() or (points[:, 0] <= 0).any():
        raise SettingError("a curve needs finite values and rates above 0")
    log_rate, psnr = np.log(points[:, 0]), points[:, 1]
    front: list[tuple[float, float]] = []
    for i in np.lexsort((-psnr, log_rate)):  # the cheapest first, and the best of those
        if not front or psnr[i] > front[-1][1]:
            front.append((log_rate[i], psnr[i]))
    if len(front) < 2:
        raise SettingError("a curve needs at least two points, the dearer one the better")
    log_rates, psnrs = np.array(front).T
    return log_rates, psnrs


def _mean_gap(
    anchor_x: FloatArray, anchor_y: FloatArray, test_x: FloatArray, test_y: FloatArray, method: str
) -> float:
    """The mean of test minus anchor over the x that both curves cover."""
    if method not in _SLOPES:
        raise SettingError(f"method is one of {', '.join(_SLOPES)}, not {method!r}")
    low, high = max(anchor_x[0], test_x[0]), min(anchor_x[-1], test_x[-1])
    if not low < high:
        raise SettingError(
            "the curves have no range in common: "
            f"{anchor_x[0]:.4g} to {anchor_x[-1]:.4g} and {test_x[0]:.4g} to {test_x[-1]:.4g}"
        )
    slopes = _SLOPES[method]
    test_area = _area(test_x, test_y, slopes(test_x, test_y), low, high)
    anchor_area = _area(anchor_x, anchor_y, slopes(anchor_x, anchor_y), low, high)
    return float((test_area - anchor_area) / (high - low))


def _area(x: FloatArray, y: FloatArray, slopes: FloatArray, low: float, high: float) -> float:
    """The integral from low to high of the cubic pieces with these values and slopes; exact."""
    step, rise = np.diff(x), np.diff(y)
    left, right = step * slopes[:-1], step * slopes[1:]
    # On a piece, with t from 0 to 1: y + left t + square t^2 + cube t^3
    square, cube = 3 * rise - 2 * left - right, left + right - 2 * rise

    def antiderivative(t: FloatArray) -> FloatArray:
        return t * (y[:-1] + t * (left / 2 + t * (square / 3 + t * cube / 4)))

    start, end = (np.clip((bound - x[:-1]) / step, 0, 1) for bound in (low, high))
    return float(np.sum(step * (antiderivative(end) - antiderivative(start))))


def _pchip_slopes(x: FloatArray, y: FloatArray) -> FloatArray:
    """Slopes at the points of an increasing curve that keep the cubic pieces increasing.

    Source: Fritsch and Butland 1984, equation 5; at the ends three points, as Moler's pchiptx.
    """
    step = np.diff(x)
    chord = np.diff(y) / step
    if len(chord) == 1:
        return np.repeat(chord, 2)
    slopes = np.empty_like(x)
    before, after = step[:-1] + 2 * step[1:], 2 * step[:-1] + step[1:]
    slopes[1:-1] = (before + after) / (before / chord[:-1] + after / chord[1:])
    for end, a, b in ((0, 0, 1), (-1, -1, -2)):
        slope = ((2 * step[a] + step[b]) * chord[a] - step[a] * chord[b]) / (step[a] + step[b])
        slopes[end] = max(0.0, slope)
    return slopes


def _akima_slopes(x: FloatArray, y: FloatArray) -> FloatArray:
    """Slopes at the points that lean to the side where the curve bends less.

    Source: Akima 1970. Two chords are added by extrapolation at each end.
    """
    chord = np.diff(y) / np.diff(x)
    if len(chord) == 1:
        return np.repeat(chord, 2)
    first, last = chord[0] - chord[1], chord[-1] - chord[-2]
    chord = np.concatenate(
        [[chord[0] + 2 * first, chord[0] + first], chord, [chord[-1] + last, chord[-1] + 2 * last]]
    )
    bend = np.abs(np.diff(chord))
    before, after = bend[:-2], bend[2:]
    total = before + after
    bent = total > 1e-9 * total.max()  # elsewhere the chords on either side weigh the same
    weight = np.full_like(x, 0.5)
    weight[bent] = before[bent] / total[bent]
    return np.asarray((1 - weight) * chord[1:-2] + weight * chord[2:-1])


_SLOPES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "pchip": _pchip_slopes,
    "akima": _akima_slopes,
}


# --- the table


@dataclass(frozen=True)
class Metric:
    """One row: what computes the metric, and what a report has to know about it."""

    function: Callable[..., float]
    unit: str  # empty for a ratio
    higher_is_better: bool
    # (size_bytes, width, height) | reference and other | luma of both | anchor and test curves
    needs: Literal["size", "pictures", "luma", "curves"]


METRICS = {
    "bpp": Metric(bpp, unit="bit/pixel", higher_is_better=False, needs="size"),
    "psnr_db": Metric(psnr_db, unit="dB", higher_is_better=True, needs="pictures"),
    "psnr_y_db": Metric(psnr_db, unit="dB", higher_is_better=True, needs="luma"),
    "ssim": Metric(ssim, unit="", higher_is_better=True, needs="pictures"),
    "ssim_y": Metric(ssim, unit="", higher_is_better=True, needs="luma"),
    "ms_ssim": Metric(ms_ssim, unit="", higher_is_better=True, needs="pictures"),
    "ssimulacra2": Metric(ssimulacra2, unit="", higher_is_better=True, needs="pictures"),
    "bd_rate": Metric(bd_rate, unit="%", higher_is_better=False, needs="curves"),
    "bd_psnr": Metric(bd_psnr, unit="dB", higher_is_better=True, needs="curves"),
}
