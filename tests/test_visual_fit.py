"""Fits for the eye: their distortion, RDOQ by its second order, and files of all kinds of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import LatentGrid, SettingError
from dsncodec.container import Header
from dsncodec.metrics import ssimulacra2

from .conftest import UInt8Array, picture

pytest.importorskip("numba", reason="numba is not installed (extra [fit])")

from dsncodec.methods.latentgrid import encoder as latentgrid
from dsncodec.methods.latentgrid import visual
from dsncodec.methods.latentgrid.kernels.latents import LEFT
from dsncodec.methods.latentgrid.objective import RDObjective
from dsncodec.methods.latentgrid.weights import Weights, random_weights

LAMBDA = 2e-3


def rgb(width: int, height: int) -> UInt8Array:
    return np.asarray(picture("RGB", width, height))


def shown(data: bytes) -> UInt8Array:
    return np.asarray(dsncodec.decode(data))


def begun(steps: int = 60, threads: int = 1) -> Any:
    """A fit of a small picture on its way, its symbols rounded."""
    fit = latentgrid.fitter()
    job = fit.Fit(rgb(56, 48), *latentgrid.init_for(LAMBDA, "visual"), threads, visual=True)
    job.objective.rdoq, kept = lambda *_: 0, job.objective.rdoq
    job.run(fit.RateTarget(LAMBDA), fit.Budget(None, steps))
    job.objective.rdoq = kept
    return job


def test_coarse_grids_go_first_where_it_is_smooth() -> None:
    """There the finest grids begin later, one after the other; beside it, and in a fit for squared error, all move at once."""
    fit = latentgrid.fitter()
    image = rgb(56, 48).copy()
    image[:, :32] = 120
    image[:, 28:32, 1] += 3  # less than what is seen as contrast
    rng = np.random.default_rng(0)
    image[:, 32:] = rng.integers(0, 256, (48, 24, 3), np.uint8)
    for visual_fit in (True, False):
        job = fit.Fit(image, *latentgrid.init_for(LAMBDA, "visual"), 2, visual=visual_fit)
        kept = job.objective.step
        seen = list[list[tuple[bool, bool]]]()

        def step(*arguments: float, held: int, paces: Sequence[float]) -> None:
            kept(*arguments, held=held, paces=paces)
            sides = [
                (grid[:, : 20 >> k], grid[:, (32 >> k) + 1 :]) for k, grid in enumerate(job.objective.latents)
            ]
            seen.append([(bool(soft.any()), bool(rough.any())) for soft, rough in sides[:4]])

        job.objective.step = step
        job.run(fit.RateTarget(LAMBDA), fit.Budget(None, 40))
        job.close()
        assert all(rough for _, rough in seen[0])
        assert [soft for soft, _ in seen[0]] == ([False] * 3 + [True] if visual_fit else [True] * 4)
        assert all(soft for soft, _ in seen[-1])
        firsts = [next(at for at, grids in enumerate(seen) if grids[k][0]) for k in range(4)]
        assert firsts == sorted(firsts, reverse=True)


def test_a_smooth_picture_has_no_plateaus() -> None:
    """A soft hill stays soft: steps between neighbours are about those of the original."""
    y, x = np.mgrid[:64, :64] / 63.0
    hill = np.rint(90 + 90 * np.sin(2.5 * x + 0.5) * np.sin(3 * y + 0.2))
    image = np.repeat(hill.astype(np.uint8)[..., None], 3, 2)
    found = shown(dsncodec.encode(image, LatentGrid(steps=150), quality=55, threads=1))
    error = found[..., 1] - hill
    assert np.mean(np.diff(error, axis=1) ** 2) < 0.85  # with all grids at once 1.2


def test_the_gradient_of_the_distortion() -> None:
    original, other = visual.planes_of(rgb(40, 33)), visual.planes_of(rgb(40, 33)[:, ::-1])
    near = np.float32(0.2) + np.float32(0.6) * (np.float32(0.8) * original + np.float32(0.2) * other)
    distortion, gradient = visual.Distortion(original), np.empty_like(near)
    value = distortion.value_and_gradient(near, gradient)
    assert value == pytest.approx(distortion.value(near), rel=1e-6) and value > 0
    direction, step = gradient / np.abs(gradient).max(), np.float32(2e-3)
    there, back = (distortion.value(near + sign * step * direction) for sign in (1, -1))
    expected = float((gradient.astype(np.float64) * direction).sum())
    assert (there - back) / (2 * float(step)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_gradient_reaches_the_weights(threads: int) -> None:
    rng = np.random.default_rng(1)
    objective = RDObjective(rgb(40, 33), threads, visual=True, parts=threads)
    for latents in objective.latents:
        latents[:] = rng.normal(0, 1, latents.shape)
    weights = random_weights(32, 0, (0.5, 0.5, 0.5))
    objective.soft_round(0.3, 0.1, 5)
    gradient = objective.gradients(weights, 0)[1].flat
    objective.close()
    direction = gradient / np.abs(gradient).max()
    objective = RDObjective(rgb(40, 33), 1, objective.latents, visual=True)
    objective.soft_round(0.3, 0.1, 5)
    found, step = [], np.float32(1e-4)
    for sign in (1, -1):
        moved = weights.copy()
        moved.flat[:] += sign * step * direction
        found.append(objective.loss(moved).distortion)
    expected = float((gradient.astype(np.float64) * direction).sum())
    # what is clipped has a gradient all the same
    assert (found[0] - found[1]) / (2 * float(step)) == pytest.approx(expected, rel=0.25)


def test_no_gradient_leads_out_of_black_and_white() -> None:
    """Distortions that look at neighbours ask for darker than black: a colour there has a gradient inwards, or none."""
    objective = RDObjective(rgb(40, 33), 1, visual=True)
    weights = random_weights(32, 0, (0.5, 0.5, 0.5))
    rng = np.random.default_rng(1)
    for latents in objective.latents:
        latents[:] = rng.normal(0, 4, latents.shape)
    objective.soft_round(0.3, 0.1, 5)
    objective.upsample(weights)
    objective.synthesise(weights, Weights.zeros(32))
    shown = objective.shown
    by = objective.grad_rgb[:, 1:-1, LEFT : LEFT + shown.shape[2]]
    black, white = shown == 0, shown == 1
    assert black.sum() > 20 and white.sum() > 20
    assert (by[black] <= 0).all() and (by[black] < 0).any() and (by[black] == 0).any()
    assert (by[white] >= 0).all() and (by[white] > 0).any() and (by[white] == 0).any()


def test_the_second_order_foresees_a_move() -> None:
    job = begun()
    objective, rng = job.objective, np.random.default_rng(2)
    objective.loss(job.weights)
    now, before = objective.shown.copy(), objective.distortion
    wanted, weight = np.empty_like(now), np.empty_like(now)
    for k in (0, 2):
        objective.visual.second_order(now, 2**k, wanted, weight)
        real, foreseen = [], []
        for _ in range(30):
            cell = 1 + rng.integers(objective.shapes[k][0]), LEFT + rng.integers(objective.shapes[k][1])
            move = rng.choice([-1, 1])
            objective.symbols[k][cell] += move
            real.append(objective.loss(job.weights).distortion - before)
            foreseen.append((weight * ((objective.shown - wanted) ** 2 - (now - wanted) ** 2)).sum())
            objective.symbols[k][cell] -= move
        # on purpose, it fears more than there is
        assert np.corrcoef(real, foreseen)[0, 1] > 0.6
        assert np.mean(foreseen) > np.mean(real)


def test_rdoq_makes_nothing_worse() -> None:
    job = begun()
    before = job.objective.loss(job.weights)
    job.objective.rdoq(job.weights, LAMBDA)
    after, price = job.objective.loss(job.weights), LAMBDA / job.objective.pixels
    assert after.distortion + price * after.bits <= before.distortion + price * before.bits


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("size", [(1, 1), (17, 1), (5, 40)], ids=str)
def test_any_picture(mode: str, size: tuple[int, int]) -> None:
    image = picture(mode, *size)
    data = dsncodec.encode(image, LatentGrid(steps=12), quality=60, threads=1)
    assert dsncodec.decode(data).size == size and dsncodec.decode(data).mode == mode


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_picture(level: int) -> None:
    image = Image.new("RGB", (40, 30), (level,) * 3)
    data = dsncodec.encode(image, LatentGrid(steps=150), quality=75, threads=1)
    assert len(data) < 300
    assert np.abs(shown(data).astype(int) - level).max() <= 12


def test_the_eye_is_served_better() -> None:
    image, options = rgb(96, 80), {"steps": 250}
    for_eye = dsncodec.encode(image, LatentGrid(**options), target_bytes=1500, threads=1)
    for_psnr = dsncodec.encode(image, LatentGrid(**options, tune="psnr"), target_bytes=1500, threads=1)
    assert ssimulacra2(image, shown(for_eye)) > ssimulacra2(image, shown(for_psnr))


@pytest.mark.parametrize("tune", ["visual", "psnr"])
def test_a_score_is_reached(tune: str) -> None:
    image = rgb(64, 56)
    header = Header("latentgrid", "RGB", 64, 56)
    encoder = latentgrid.Encoder(header, image, 1, LatentGrid(steps=300, tune=tune))
    point = encoder.point_for_level("ssimulacra2", 50)
    encoder.sections(point)
    assert ssimulacra2(image, encoder.reconstruct(point)) >= 50
    hard = latentgrid.Encoder(header, image, 1, LatentGrid(steps=20, tune=tune))
    with pytest.raises(SettingError, match="points of SSIMULACRA 2, not 99"):
        hard.sections(hard.point_for_level("ssimulacra2", 99))


def test_a_tune_is_one_of_two() -> None:
    with pytest.raises(SettingError, match="tune must be one of visual, psnr, not 'eye'"):
        LatentGrid(tune="eye")
