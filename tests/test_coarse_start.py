"""Fits of few steps begin with smaller pictures, whose grids are the picture's own but the finest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage import data as photographs

import dsncodec
from dsncodec import LatentGrid
from dsncodec.container import Header

from .conftest import UInt8Array, picture

pytest.importorskip("numba", reason="numba is not installed (extra [fit])")

from dsncodec.methods.latentgrid import encoder as latentgrid
from dsncodec.methods.latentgrid.objective import RDObjective
from dsncodec.methods.latentgrid.weights import Weights, random_weights

LMBDA = 2e-3


def rgb(width: int, height: int) -> UInt8Array:
    return np.asarray(picture("RGB", width, height))


def random_net(seed: int = 0) -> Weights:
    weights = random_weights(32, seed)
    weights.flat[:] += np.random.default_rng(seed).normal(0, 0.1, weights.flat.size).astype(np.float32)
    return weights


def fit_of(image: UInt8Array, **options: Any) -> Any:
    return latentgrid.fitter().Fit(image, *latentgrid.init_for(LMBDA, "psnr"), 1, **options)


def loss_of(job: Any) -> float:
    found = job.objective.loss(job.weights)
    return float(found.distortion + LMBDA * found.bits / job.objective.pixels)


def test_weights_go_to_half_the_size_and_back() -> None:
    weights = random_net()
    half = weights.for_half_size()
    assert not half.parts["p"][:, -1].any() and not half.parts["s"][:, -1].any()
    assert np.allclose(weights.of_half_size(half).flat, weights.flat, rtol=1e-6)
    learnt = half.copy()
    learnt.flat[:] += 1
    back = weights.of_half_size(learnt)
    assert np.array_equal(back.parts["taps"][0], weights.parts["taps"][0])
    assert np.array_equal(back.parts["p"][:, 0], weights.parts["p"][:, 0])
    assert np.array_equal(back.parts["b1"][1:], weights.parts["b1"][1:] + 1)
    assert np.array_equal(back.parts["k"], weights.parts["k"] + 1)


def test_a_smooth_picture_looks_the_same_at_both_sizes() -> None:
    """The published inits halve what they double: half the size must not show it twice as strong, nor the picture half."""
    weights = fit_of(rgb(16, 16)).weights
    assert weights.parts["taps"][0].sum() < 0.8
    whole, half = RDObjective(np.zeros((128, 128, 3), np.uint8)), RDObjective(np.zeros((64, 64, 3), np.uint8))
    y, x = np.mgrid[:2, :2]
    half.latents[5][:] = 2 + y - x
    whole.latents[6][:] = 2 + y - x
    shown = []
    for objective, net in ((whole, weights), (half, weights.for_half_size())):
        objective.round_latents()
        objective.loss(net)
        shown.append(objective.mixed[:, 1:-1, 8 : 8 + objective.width])
    means = shown[0].reshape(3, 64, 2, 64, 2).mean((2, 4))
    assert np.abs(means - shown[1])[:, 8:-8, 8:-8].max() < 0.02 < np.ptp(means)


@pytest.mark.parametrize("size", [(64, 48), (51, 37), (2, 1)], ids=str)
def test_the_grids_of_half_the_size_are_the_pictures_own(size: tuple[int, int]) -> None:
    """The same symbols take the same bits, and their planes are those that are doubled last."""
    width, height = size
    weights = random_net()
    whole = RDObjective(rgb(width, height))
    half = RDObjective(rgb(-(-width // 2), -(-height // 2)))
    rng = np.random.default_rng(2)
    for coarse, fine in zip(half.latents, whole.latents[1:]):
        assert coarse.shape == fine.shape
        coarse[:] = fine[:] = rng.integers(-3, 4, coarse.shape)
    half.latents[-1][:] = 0
    for objective in (whole, half):
        objective.round_latents()
    whole.upsample(weights)
    half.upsample(weights.for_half_size())
    for k in range(6):
        mine = whole.planes[k + 1][1]
        assert np.allclose(half.finest[k, :, : mine.shape[1]], mine, atol=1e-5)
    # bits of grids 1..6 are those of grids 0..5: what a grid of zeros takes is taken away
    whole.latents[0][:] = 0
    whole.round_latents()
    shares = []
    for objective, net, dead in ((whole, weights, 0), (half, weights.for_half_size(), 6)):
        net.parts["w3"][:], net.parts["b3"][:] = 0, (0, 4.0)
        net.parts["w1"][:] = 0
        cells = objective.latents[dead].size
        nothing = RDObjective(np.zeros((1, cells, 3), np.uint8))
        nothing.round_latents()
        of_zeros = nothing.rate(net, None) / sum(grid.size for grid in nothing.latents)
        shares.append(objective.rate(net, None) - cells * of_zeros)
    assert shares[0] == pytest.approx(shares[1], rel=1e-4)


def test_few_steps_begin_coarse_and_many_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, image = latentgrid.fitter(), rgb(160, 140)
    seen = list[tuple[float, int]]()
    ordinary = fit.Fit.run

    def noted(job: Any, target: Any, budget: Any, *args: Any, **options: Any) -> None:
        seen.append((target.lmbda, budget.steps))
        ordinary(job, target, budget, *args, **options)

    monkeypatch.setattr(fit.Fit, "run", noted)
    job = fit_of(image)
    job.run(fit.RateTarget(LMBDA), fit.Budget(None, 100))
    # the picture begins, and half of its size; a quarter would be too small
    assert seen == [(LMBDA, 100), (LMBDA / 4, 40)], seen
    assert job.steps == 100 - 10
    seen.clear()
    job.run(fit.RateTarget(LMBDA), fit.Budget(None, 100))  # goes on: it has latents
    assert len(seen) == 1 and job.steps == 100
    seen.clear()
    fit_of(image).run(fit.RateTarget(LMBDA), fit.Budget(None, fit.FEW_STEPS))
    fit_of(image, latents=[np.zeros_like(grid) for grid in job.objective.latents]).run(
        fit.RateTarget(LMBDA), fit.Budget(None, 20)
    )
    assert len(seen) == 2


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_whole_picture_always_has_steps(steps: int) -> None:
    fit = latentgrid.fitter()
    job = fit_of(rgb(160, 140))
    job.run(fit.RateTarget(LMBDA), fit.Budget(None, steps))
    assert job.steps >= max(steps // 2, 1)


@pytest.mark.parametrize("visual", [False, True])
def test_it_is_worth_it(visual: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a photograph, with 40 steps."""
    fit, image = latentgrid.fitter(), photographs.astronaut()[:256, 120:440]
    found = []
    for begins in (True, False):
        monkeypatch.setattr(fit, "COARSE_STEPS", (40, 60) if begins else ())
        job = fit_of(image, visual=visual)
        job.run(fit.RateTarget(LMBDA), fit.Budget(None, 40))
        found.append(loss_of(job))
    assert found[0] < 0.93 * found[1]


@pytest.mark.parametrize("visual, most", [(False, 0.93), (True, 0.99)])
def test_few_steps_have_a_schedule_of_their_own(visual: bool, most: float) -> None:
    """Less noise, weights that move less, a shorter memory: on a photograph, with 40 steps. A pilot fit has that of many."""
    fit, image = latentgrid.fitter(), photographs.astronaut()[:256, 120:440]
    found = []
    for pilot in (False, True):
        job = fit_of(image, visual=visual)
        job.run(fit.RateTarget(LMBDA), fit.Budget(None, 40), pilot=pilot)
        found.append(loss_of(job))
    assert found[0] < most * found[1]
    many = fit.Schedule()
    assert many.of_few(fit.FEW_STEPS) == many == many.of_few(10**6)
    fewest = many.of_few(1)
    assert fewest == many.of_few(fit.FEWEST_STEPS)
    assert fewest.noise == pytest.approx(fit.FEWEST_NOISE) and fewest.memory == pytest.approx(
        fit.FEWEST_MEMORY
    )
    between = many.of_few(160)
    assert fewest.noise < between.noise < many.noise and fewest.weights < between.weights < many.weights


def test_an_interrupt_meanwhile_gives_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, reports = latentgrid.fitter(), list[float]()
    ordinary = RDObjective.step

    def press(objective: RDObjective, *args: Any, **options: Any) -> None:
        if objective.width == 80:
            raise KeyboardInterrupt
        ordinary(objective, *args, **options)

    monkeypatch.setattr(fit.RDObjective, "step", press)
    data = dsncodec.encode(
        rgb(160, 140), LatentGrid(steps=50, tune="psnr"), threads=1, progress=lambda p: reports.append(p.done)
    )
    assert dsncodec.decode(data).size == (160, 140)
    assert all(done < 1 for done in reports)


def test_progress_tells_of_it() -> None:
    fit, reports = latentgrid.fitter(), list[tuple[float, ...]]()
    job = fit_of(rgb(200, 160))
    job.run(fit.RateTarget(LMBDA), fit.Budget(None, 60), lambda *numbers: reports.append(numbers))
    spent = [done for done, _, _ in reports]
    assert spent == sorted(spent) and 0 < spent[0] < 0.2 and all(bpp > 0 for _, _, bpp in reports)


# --- the colours at its end


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (70, 90)], ids=str)
def test_solved_colours_leave_no_slope(size: tuple[int, int]) -> None:
    """The squared error has next to none by the layer that makes colours; other layers stay as they are."""
    image, weights = rgb(*size), fit_of(rgb(16, 16)).weights
    weights.parts["k"][:] = 0
    objective = RDObjective(image)
    rng = np.random.default_rng(5)
    for latents in objective.latents:
        latents[:] = rng.normal(0, 0.4, latents.shape)
    objective.round_latents()

    def slope(of: Weights) -> tuple[float, float]:
        gradient = Weights.zeros(of.width)
        objective.upsample(of)
        error = objective.synthesise(of, gradient)
        return error, max(float(np.abs(gradient.parts[name]).max()) for name in ("q", "s", "qb"))

    before, steep = slope(weights)
    objective.upsample(weights)
    objective.synthesise(weights, None)
    solved = objective.solved_colours(weights)
    after, flat = slope(solved)
    assert after < before and flat < steep / 10
    changed = {name for name in weights.parts if not np.array_equal(weights.parts[name], solved.parts[name])}
    assert changed == {"q", "s", "qb"}


@pytest.mark.parametrize("visual", [False, True])
def test_few_steps_leave_large_areas_their_colours(visual: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.ascontiguousarray(photographs.chelsea()[:256, :384])
    fit, errors, losses = latentgrid.fitter(), [], []
    for shares in ((), fit.SOLVED_SHARES):
        monkeypatch.setattr(fit, "SOLVED_SHARES", shares)
        job = fit_of(image, visual=visual)
        job.run(fit.RateTarget(LMBDA), fit.Budget(None, 12))
        fitted = job.finished()
        packed = latentgrid.nets_of(fitted.parameters, fitted.differences)
        shown = latentgrid.reconstruct(Header("latentgrid", "RGB", 384, 256), packed, fitted.grids)
        off = (shown.astype(float) - image).reshape(8, 32, 12, 32, 3).mean((1, 3))
        errors.append(float(np.sqrt(np.square(off).mean())))
        losses.append(loss_of(job))
    assert errors[1] < errors[0] and losses[1] < losses[0]
