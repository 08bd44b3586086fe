"""The distortion for the eye against the same formulas in torch, in double precision, and against the metric."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("numba", reason="numba is not installed (extra [fit])")

from dsncodec import metrics
from dsncodec.methods.latentgrid.kernels import bands
from dsncodec.methods.latentgrid.kernels.bands import BandErrors
from dsncodec.methods.latentgrid.kernels.ssimulacra2_gradient import LEAST_WEIGHT, Ssimulacra2, distortion

FloatArray = NDArray[np.float32]
SIZES = [(37, 53), (1, 1), (1, 17), (2, 2), (16, 61), (70, 131), (9, 8)]  # (rows, columns)


def pair(size: tuple[int, int], noise: float = 0.1) -> tuple[FloatArray, FloatArray]:
    """A picture and another one near it, (3, H, W) in [0, 1]; some of both are black or white."""
    rng = np.random.default_rng(3)
    original = rng.normal(0.5, 0.2, (3, *size)) + np.linspace(-0.4, 0.4, size[1])
    other = original + rng.normal(0, noise, original.shape)
    return (np.clip(original, 0, 1).astype(np.float32), np.clip(other, 0, 1).astype(np.float32))


def by_torch(original: FloatArray, picture: FloatArray) -> tuple[float, NDArray[np.float64]]:
    """The weighted sum of errors and its gradient, in double precision."""
    torch = pytest.importorskip("torch")

    def linear(v):
        return torch.where(v > 0.04045, ((v.clamp(min=0.04) + 0.055) / 1.055) ** 2.4, v / 12.92)

    def halved(light):
        return torch.nn.functional.avg_pool2d(light[None], 2, ceil_mode=True, count_include_pad=False)[0]

    def xyb(light):
        mixed = torch.einsum("ij,jhw->ihw", torch.from_numpy(metrics.OPSIN), light) + metrics.OPSIN_BIAS
        long, middle, short = mixed ** (1 / 3) - metrics.OPSIN_BIAS ** (1 / 3)
        y = (long + middle) / 2
        return torch.stack([(long - middle) * 7 + 0.42, y + 0.01, short - y + 0.55])

    def blurred(x):
        taps = [float(metrics.SSIMULACRA2_TAPS[abs(k)]) for k in range(-4, 5)]
        for axis in (1, 2):
            length = x.shape[axis]
            places = torch.from_numpy(np.pad(np.arange(length), 4, "reflect" if length > 1 else "edge"))
            padded = x.index_select(axis, places)
            x = sum(tap * padded.narrow(axis, k, length) for k, tap in enumerate(taps))
        return x

    a = torch.from_numpy(original.astype(np.float64))
    b = torch.from_numpy(picture.astype(np.float64)).requires_grad_(True)
    light_a, light_b, total = linear(a), linear(b), torch.zeros((), dtype=torch.double)
    for scale in range(6):
        if scale:
            light_a, light_b = halved(light_a), halved(light_b)
        x, y = xyb(light_a), xyb(light_b)
        m1, m2, s11, s22, s12 = (blurred(z) for z in (x, y, x * x, y * y, x * y))
        quotient = (2 * (s12 - m1 * m2) + 0.0009) / ((s11 - m1 * m1) + (s22 - m2 * m2) + 0.0009)
        edge = (1 + (y - m2).abs()) / (1 + (x - m1).abs()) - 1
        for i, error in enumerate((1 - (1 - (m1 - m2) ** 2) * quotient, edge, -edge)):
            error = error.clamp(min=0)
            for channel in range(3):
                mean, fourth = metrics.SSIMULACRA2_WEIGHTS[channel, scale, :, i]
                if mean >= LEAST_WEIGHT:
                    total = total + mean * error[channel].mean()
                if fourth >= LEAST_WEIGHT:
                    total = total + fourth * (error[channel] ** 4).mean().clamp(min=1e-28) ** 0.25
    total.backward()
    assert b.grad is not None
    return total.item(), b.grad.numpy()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_ssimulacra2_and_its_gradient(size: tuple[int, int]) -> None:
    original, picture = pair(size)
    seen, gradient = Ssimulacra2(original), np.empty_like(picture)
    value = seen.value_and_gradient(picture, gradient)
    errors, wanted = by_torch(original, picture)
    expected, slope = distortion(errors)
    assert value == pytest.approx(expected, rel=1e-4)
    assert seen.value(picture) == value
    assert np.abs(gradient - slope * wanted).max() <= 3e-4 * np.abs(slope * wanted).max()


def test_rows_may_be_shared() -> None:
    original, picture = pair((67, 45))
    whole, parts = np.empty_like(picture), np.empty_like(picture)
    value = Ssimulacra2(original).value_and_gradient(picture, whole)

    def rows(work, count):
        cuts = [0, count // 5, count // 5, count // 2, count]
        return [work(first, last) for first, last in zip(cuts, cuts[1:])]

    assert Ssimulacra2(original, rows).value_and_gradient(picture, parts) == pytest.approx(value, rel=1e-6)
    assert np.abs(whole - parts).max() <= 1e-5 * np.abs(whole).max()


def test_differences_of_values_are_the_gradient() -> None:
    # away from black and white, where sRGB's curve bends
    original, picture = (np.float32(0.2) + np.float32(0.6) * x for x in pair((48, 40), 0.05))
    seen, gradient = Ssimulacra2(original), np.empty_like(picture)
    seen.value_and_gradient(picture, gradient)
    direction = gradient / np.abs(gradient).max()
    step = np.float32(2e-3)
    there, back = (seen.value(picture + sign * step * direction) for sign in (1, -1))
    expected = float((gradient.astype(np.float64) * direction).sum())
    assert (there - back) / (2 * float(step)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_and_equal_pictures_have_a_gradient(level: float) -> None:
    flat, gradient = np.full((3, 20, 33), level, np.float32), np.empty((3, 20, 33), np.float32)
    seen = Ssimulacra2(flat)
    assert 0 <= seen.value_and_gradient(flat, gradient) < 0.1
    assert np.isfinite(gradient).all()
    other = np.full_like(flat, abs(level - 0.1))
    assert seen.value_and_gradient(other, gradient) > 0
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("noise", [4, 12, 40])
def test_the_value_is_the_metrics(noise: int) -> None:
    rng = np.random.default_rng(5)
    base = np.kron(rng.integers(30, 220, (13, 17, 3)), np.ones((8, 8, 1), np.int64))
    a = (base + rng.integers(-9, 10, base.shape)).astype(np.uint8)
    b = np.clip(a + rng.integers(-noise, noise + 1, a.shape), 0, 255).astype(np.uint8)
    planes = [np.ascontiguousarray(x.transpose(2, 0, 1), np.float32) / np.float32(255) for x in (a, b)]
    assert 100 - Ssimulacra2(planes[0]).value(planes[1]) == pytest.approx(metrics.ssimulacra2(a, b), abs=0.1)


# --- errors in bands


def bands_by_torch(
    of: BandErrors, original: FloatArray, light: FloatArray
) -> tuple[float, NDArray[np.float64]]:
    """The errors and their gradient in double precision, under the gains and masks of ``of``."""
    torch = pytest.importorskip("torch")
    gains, masks = (
        torch.from_numpy(of._gains).double(),
        [torch.from_numpy(mask).double() for mask in of._masks],
    )
    x = torch.from_numpy(light.astype(np.float64)).requires_grad_(True)
    cones = torch.einsum(
        "ij,jhw->ihw", torch.from_numpy(bands.CONES), x - torch.from_numpy(original).double()
    )
    long, middle, short = cones
    answers = torch.stack([(long - middle) * gains[0], (long + middle) * gains[0], short * gains[1]])

    def blurred(planes):
        taps = [float(bands.TAPS[abs(k)]) for k in range(-4, 5)]
        for axis in (1, 2):
            length = planes.shape[axis]
            padded = planes.index_select(axis, torch.from_numpy(np.pad(np.arange(length), 4, "symmetric")))
            planes = sum(tap * padded.narrow(axis, k, length) for k, tap in enumerate(taps))
        return planes

    def halved(planes):
        return torch.nn.functional.avg_pool2d(planes[None], 2, ceil_mode=True, count_include_pad=False)[0]

    def weighed(band, weights, mask, scale):
        error = (torch.from_numpy(weights)[:, None, None] * band**2).sum(0) * mask
        return error.repeat_interleave(scale, 0).repeat_interleave(scale, 1)[
            : light.shape[1], : light.shape[2]
        ]

    total = 0
    for number, weights in enumerate((bands.FINEST, bands.FINE)):
        smooth = blurred(answers[:2])
        total = total + weighed(answers[:2] - smooth, weights, masks[number], 2**number)
        answers = halved(torch.cat([smooth, answers[2:]]))
    low = blurred(answers)
    total = total + weighed(answers - low, bands.MIDDLE, masks[2], 4)
    blue = low[2] - bands.YELLOW * low[1]
    total = total + weighed(torch.stack([low[0], low[1], blue]), bands.LOW, masks[3], 4)
    value = (total**2.5).mean() ** 0.2
    value.backward()
    assert x.grad is not None
    return value.item(), x.grad.numpy()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_errors_in_bands_and_their_gradient(size: tuple[int, int]) -> None:
    original, light = pair(size)
    errors, gradient = BandErrors(original), np.ones_like(light)
    value = errors.value_and_gradient(light, gradient, 3.0)
    expected, wanted = bands_by_torch(errors, original, light)
    assert value == pytest.approx(expected, rel=1e-4)
    assert errors.value(light) == value
    assert np.abs(gradient - 1 - 3 * wanted).max() <= 1e-3 * np.abs(3 * wanted).max()


def test_rows_of_bands_may_be_shared() -> None:
    original, light = pair((67, 45))
    whole, parts = np.zeros_like(light), np.zeros_like(light)
    value = BandErrors(original).value_and_gradient(light, whole, 1.0)

    def rows(work, count):
        cuts = [0, count // 5, count // 5, count // 2, count]
        return [work(first, last) for first, last in zip(cuts, cuts[1:])]

    assert BandErrors(original, rows).value_and_gradient(light, parts, 1.0) == pytest.approx(value, rel=1e-6)
    assert np.abs(whole - parts).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_equal_pictures_have_no_errors_in_bands(level: float) -> None:
    flat, gradient = np.full((3, 20, 33), level, np.float32), np.zeros((3, 20, 33), np.float32)
    errors = BandErrors(flat)
    assert errors.value_and_gradient(flat, gradient, 1.0) == 0
    assert not gradient.any()
    assert errors.value_and_gradient(np.full_like(flat, abs(level - 0.1)), gradient, 1.0) > 0
    assert np.isfinite(gradient).all()


def test_activity_masks_errors_and_large_ones_count_most() -> None:
    rng = np.random.default_rng(1)
    calm = np.full((3, 64, 64), 0.3, np.float32)
    busy = np.clip(calm + rng.normal(0, 0.15, (1, 64, 64)), 0, 1).astype(np.float32)
    noise = rng.normal(0, 0.01, calm.shape).astype(np.float32)
    assert BandErrors(busy).value(busy + noise) < 0.7 * BandErrors(calm).value(calm + noise)
    # the same squared error in a sixteenth of the picture
    spot = np.zeros_like(noise)
    spot[:, 16:32, 16:32] = 4 * noise[:, 16:32, 16:32]
    assert BandErrors(calm).value(calm + spot) > 1.5 * BandErrors(calm).value(calm + noise)
