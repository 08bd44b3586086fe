"""How far two pictures are apart, and how far two codecs are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import SettingError

FloatArray = NDArray[np.float64]
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
    _check_shapes(reference, other)
    total = 0.0
    for top in range(0, len(reference), 256):
        a, b = reference[top : top + 256], other[top : top + 256]
        total += float(np.square(a.astype(np.float64) - b).sum())
    mse = total / reference.size
    return math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)


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
    "bd_rate": Metric(bd_rate, unit="%", higher_is_better=False, needs="curves"),
    "bd_psnr": Metric(bd_psnr, unit="dB", higher_is_better=True, needs="curves"),
}
