"""Fits of large pictures: judged slab by slab, weights rounded on squares, gradients of whole bands; and that none of it shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dsncodec
from dsncodec import LatentGrid

from .conftest import UInt8Array, picture

pytest.importorskip("numba", reason="numba is not installed (extra [fit])")

from dsncodec.methods.latentgrid import encoder as latentgrid
from dsncodec.methods.latentgrid import visual
from dsncodec.methods.latentgrid.kernels.ssimulacra2_gradient import Scratch, Ssimulacra2
from dsncodec.methods.latentgrid.objective import RDObjective
from dsncodec.methods.latentgrid.weights import Weights, random_weights

LMBDA = 2e-3


@pytest.fixture
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 48 x 60 pixels were many."""
    monkeypatch.setattr(visual, "MOST_WHOLE", 1000)
    monkeypatch.setattr(visual, "SLAB", 1152)
    monkeypatch.setattr(visual, "LEAST_ROWS", 16)


def rgb(width: int, height: int) -> UInt8Array:
    return np.asarray(picture("RGB", width, height))


def noisy(original: Any) -> Any:
    rng = np.random.default_rng(3)
    return np.clip(original + rng.normal(0, 0.03, original.shape), 0.05, 0.95).astype(np.float32)


def test_slabs_are_judged_one_by_one(small_slabs: None) -> None:
    original = visual.planes_of(rgb(48, 60))
    shown = noisy(original)
    assert visual.slab_rows(60, 48) == 24
    found = visual.distortion_of(original)
    assert isinstance(found, visual.Slabs)
    parts = [slice(0, 24), slice(24, 48), slice(48, 60)]
    alone = [np.ascontiguousarray(original[:, part]) for part in parts]
    values = [visual.Distortion(a).value(np.ascontiguousarray(shown[:, p])) for a, p in zip(alone, parts)]
    assert found.value(shown) == pytest.approx(np.average(values, weights=[24, 24, 12]), rel=1e-6)
    lacks = [Ssimulacra2(a).value(np.ascontiguousarray(shown[:, p])) for a, p in zip(alone, parts)]
    assert found.lacks(shown) == pytest.approx(np.average(lacks, weights=[24, 24, 12]), rel=1e-6)
    smooth = [visual.Distortion(a).smooth() for a in alone]
    assert np.array_equal(found.smooth(), np.concatenate(smooth))


def test_the_gradient_of_slabs(small_slabs: None) -> None:
    original = np.float32(0.2) + np.float32(0.6) * visual.planes_of(rgb(48, 60))
    shown = noisy(original)
    found, gradient = visual.distortion_of(original), np.empty_like(shown)
    assert found.value_and_gradient(shown, gradient) == pytest.approx(found.value(shown), rel=1e-6)
    direction, step = gradient / np.abs(gradient).max(), np.float32(2e-3)
    there, back = (found.value(shown + sign * step * direction) for sign in (1, -1))
    expected = float((gradient.astype(np.float64) * direction).sum())
    assert (there - back) / (2 * float(step)) == pytest.approx(expected, rel=0.02)


def test_the_second_order_of_slabs(small_slabs: None) -> None:
    original = visual.planes_of(rgb(48, 60))
    shown = noisy(original)
    found = visual.distortion_of(original)
    wanted, weight = np.empty_like(shown), np.empty_like(shown)
    found.second_order(shown, 2, wanted, weight)
    gradient = np.empty_like(shown)
    found.value_and_gradient(shown, gradient)
    assert (weight > 0).all()
    # the slope of the squares is that of the distortion
    assert np.allclose(2 * weight * (shown - wanted), gradient, atol=2e-3 * np.abs(gradient).max())


def test_objects_may_share_planes() -> None:
    """The larger one first, and the other way round: each says what it would alone."""
    pictures = [visual.planes_of(rgb(*size)) for size in ((40, 33), (32, 48), (40, 20))]
    shown = [noisy(original) for original in pictures]
    scratch = Scratch()
    together = [visual.Distortion(original, None, scratch) for original in pictures]
    for _ in range(2):
        for original, other, one in zip(pictures, shown, together):
            expected, found = np.empty_like(other), np.empty_like(other)
            value = visual.Distortion(original).value_and_gradient(other, expected)
            assert one.value_and_gradient(other, found) == value
            assert np.array_equal(found, expected)


def test_parts_of_whole_bands_have_the_same_gradients() -> None:
    """Where bands can be shared evenly, each part has bands of its own."""
    image = np.random.default_rng(0).integers(0, 256, (3000, 9, 3), np.uint8)
    weights, found = random_weights(32, 0), []
    for parts, threads in ((1, 1), (4, 1), (4, 2), (5, 2)):
        objective = RDObjective(image, threads, parts=parts)
        assert objective.grad_rate[0].shape[0] == (5 if parts == 5 else 1)
        rng = np.random.default_rng(1)
        for latents in objective.latents:
            latents[:] = rng.normal(0, 2, latents.shape)
        objective.round_latents()
        bits = objective.rate(weights, Weights.zeros(32))
        objective.close()
        found.append((bits, [by.sum(0)[1:] for by in objective.grad_rate]))  # above them lies no row
    for bits, by_symbols in found[1:]:
        assert bits == pytest.approx(found[0][0], rel=1e-6)
        for one, other in zip(by_symbols, found[0][1]):
            assert np.allclose(one, other, rtol=1e-4, atol=1e-4)
    assert all(np.array_equal(one, other) for one, other in zip(found[1][1], found[2][1]))


def test_squares_stand_for_a_large_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = latentgrid.fitter()
    monkeypatch.setattr(fit, "SQUARE", 64)
    job = fit.Fit(rgb(200, 300), *latentgrid.init_for(LMBDA, "psnr"), 1)
    job.run(fit.RateTarget(LMBDA), fit.Budget(None, 30))
    standing, whole = job._standing_for(), job.objective
    assert (standing.height, standing.width) == (128, 64)
    # the first and the last that are of whole cells
    assert np.array_equal(standing.target[:, :64], whole.target[:, :64, :64])
    assert np.array_equal(standing.target[:, 64:], whole.target[:, 192:256, 128:192])
    for k, (mine, theirs) in enumerate(zip(standing.grids(), whole.grids())):
        rows, y, x = 64 >> k, 192 >> k, 128 >> k
        assert np.array_equal(mine[:rows], theirs[:rows, :rows])
        assert np.array_equal(mine[rows:], theirs[y : y + rows, x : x + rows])
    fitted = job.finished()
    assert sum(map(len, fitted.differences)) > 0


@pytest.mark.parametrize("size", [(40, 200), (100, 100), (40, 3000)], ids=str)
def test_a_small_or_narrow_picture_stands_for_itself(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = latentgrid.fitter()
    monkeypatch.setattr(fit, "SQUARE", 64)
    job = fit.Fit(rgb(*size), *latentgrid.init_for(LMBDA, "psnr"), 1)
    assert job._standing_for() is job.objective


@pytest.mark.parametrize("tune", ["psnr", "visual"])
def test_a_file_of_slabs_and_squares(tune: str, small_slabs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As good as one that was fitted whole, with the same steps."""
    image = rgb(192, 200)
    monkeypatch.setattr(latentgrid.fitter(), "SQUARE", 64)
    options = LatentGrid(steps=60, tune=tune)
    in_parts = dsncodec.encode(image, options, quality=60, threads=2)
    again = dsncodec.encode(image, options, quality=60, threads=1)
    assert in_parts == again
    monkeypatch.undo()
    whole = dsncodec.encode(image, options, quality=60, threads=1)

    def error(data: bytes) -> float:
        shown = np.asarray(dsncodec.decode(data))
        if tune == "visual":
            return float(latentgrid.fitter().visual_distortion(image, shown))
        return float(np.mean((shown.astype(float) - image) ** 2))

    slack = 0 if tune == "visual" else 1
    assert len(in_parts) < 1.2 * len(whole) and error(in_parts) < 1.3 * error(whole) + slack


def test_rdoq_waits_for_time() -> None:
    """Its preparations alone would take the share of a large picture's short budget."""
    fit = latentgrid.fitter()
    job = fit.Fit(rgb(40, 40), *latentgrid.init_for(LMBDA, "psnr"), 1)
    job.seconds_per_step = 1.0
    assert job._has_time_for_rdoq(fit.RDOQ_STEPS + 1) and not job._has_time_for_rdoq(fit.RDOQ_STEPS - 1)


def test_too_few_seconds_for_a_large_picture_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture("RGB", 80, 60)
    monkeypatch.setattr(latentgrid, "BREAK_EVEN_STEPS", 10**6)
    # small, and by steps: who asks for those knows
    dsncodec.encode(image, LatentGrid(seconds=0.2), threads=1)
    monkeypatch.setattr(latentgrid, "LARGE_PIXELS", 80 * 60)
    dsncodec.encode(image, LatentGrid(steps=3), threads=1)
    with pytest.warns(dsncodec.FitWarning, match=r"0\.2 s were \d+ steps for 0\.0 megapixels.*some \d+0 s"):
        dsncodec.encode(image, LatentGrid(seconds=0.2), threads=1)
