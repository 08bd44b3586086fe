"""The loops of the fit against the same formulas in torch, in double precision: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

pytest.importorskip("numba", reason="numba is not installed (extra [fit])")

import numba

from dsncodec.kernels import elementary
from dsncodec.methods.latentgrid.bitstream import band_rows
from dsncodec.methods.latentgrid.kernels.latents import LEFT
from dsncodec.methods.latentgrid.objective import RDObjective
from dsncodec.methods.latentgrid.weights import GRIDS, Weights, random_weights

Tensor = torch.Tensor
SIZES = [(37, 53), (1, 1), (1, 17), (70, 131), (16, 300), (1100, 6)]  # (rows, columns)
TRADE = 0.01

# (row, column) of the neighbours in the grid itself, in the order of docs/format.md
NEAR = [(0, -1), (0, -2), (0, -3), *((-1, x) for x in range(-2, 3)), (-2, -1), (-2, 0), (-2, 1), (-3, 0)]


# --- docs/format.md, section 9, with what is rounded there left smooth


def at(grid: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Symbols at these places, zero outside of the grid."""
    inside = (rows >= 0) & (rows < grid.shape[0]) & (columns >= 0) & (columns < grid.shape[1])
    found = grid[rows.clamp(0, grid.shape[0] - 1), columns.clamp(0, grid.shape[1] - 1)]
    return found * inside


def contexts(grids: list[Tensor], k: int) -> Tensor:
    """(16, n): what the context network sees of each cell of grid k."""
    y, x = torch.meshgrid(*map(torch.arange, grids[k].shape), indexing="ij")
    found = [at(grids[k], y + dy, x + dx) for dy, dx in NEAR]
    none = torch.zeros(grids[k].shape, dtype=torch.double)
    if k + 1 < GRIDS:
        above, beside = y // 2 + 2 * (y % 2) - 1, x // 2 + 2 * (x % 2) - 1
        found += [at(grids[k + 1], *place) for place in ((y // 2, x // 2), (y // 2, beside), (above, x // 2))]
    else:
        found += [none] * 3
    found.append(at(grids[k + 2], y // 4, x // 4) if k + 2 < GRIDS else none)
    return torch.stack(found).reshape(16, -1)


def bits_of(grids: list[Tensor], n: dict[str, Tensor]) -> Tensor:
    """What the symbols of a band take: each the mass of a Laplace law over an interval of length 1."""
    total = torch.zeros((), dtype=torch.double)
    for k, grid in enumerate(grids):
        h = functional.relu(n["w1"] @ contexts(grids, k) + n["b1"][k][:, None])
        h = h + functional.relu(n["w2"] @ h + n["b2"][:, None])
        mean, octaves = n["w3"] @ h + n["b3"][:, None]
        scale = 0.02 * 2 ** octaves.clamp(0, 11.875)
        away = (grid.reshape(-1) - mean).abs()
        within = 1 - (torch.exp(-(0.5 - away).clamp_min(0) / scale) + torch.exp(-(0.5 + away) / scale)) / 2
        outside = (away - 0.5) / scale / np.log(2) - torch.log2((1 - torch.exp(-1 / scale)) / 2)
        total = total + torch.where(away < 0.5, -torch.log2(within.clamp_min(1e-300)), outside).sum()
    return total


def doubled(plane: Tensor, taps: Tensor, rows: int, columns: int) -> Tensor:
    def along(x: Tensor, size: int) -> Tensor:
        padded, count = torch.cat([x[:1], x[:1], x, x[-1:], x[-1:]]), len(x)
        even = sum(taps[i] * padded[i : i + count] for i in range(4))
        odd = sum(taps[3 - i] * padded[i + 1 : i + 1 + count] for i in range(4))
        return torch.stack([even, odd], 1).reshape(2 * count, -1)[:size]

    return along(along(plane, rows).T, columns).T


def colours_of(grids: list[Tensor], n: dict[str, Tensor]) -> Tensor:
    """(3, rows, columns)."""
    planes: list[Tensor] = []
    for k in reversed(range(GRIDS)):
        planes = [grids[k], *(doubled(plane, n["taps"][k], *grids[k].shape) for plane in planes)]
    v = torch.stack(planes).reshape(GRIDS, -1)
    mixed = n["q"] @ functional.relu(n["p"] @ v + n["pb"][:, None]) + n["s"] @ v + n["qb"][:, None]
    g = mixed.reshape(1, 3, *grids[0].shape)
    return (g + functional.conv2d(functional.pad(g, (1, 1, 1, 1), mode="replicate"), n["k"]))[0]


# --- the fit's loops beside it


def cells(padded: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """A grid without the zeros around it."""
    return padded[1:, LEFT : LEFT + columns]


def assert_near(ours: NDArray[np.float32], theirs: Tensor | None, what: str) -> None:
    assert theirs is not None
    wanted = theirs.numpy()
    assert np.abs(ours - wanted).max() <= 1e-4 * np.abs(wanted).max() + 1e-9, what


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gradients(size: tuple[int, int], threads: int) -> None:
    rng = np.random.default_rng(1)
    objective = RDObjective(rng.integers(0, 256, (*size, 3), np.uint8), threads, parts=threads)
    for latents in objective.latents:
        latents[:] = rng.normal(0, 2, latents.shape)
    weights = random_weights(32, 0)
    weights.flat[:] += rng.normal(0, 0.05, weights.flat.size)
    weights.parts["b3"][1] = 6
    objective.soft_round(0.3, 0.2, 5)
    loss, gradient = objective.gradients(weights, TRADE)

    grids = [
        torch.tensor(cells(symbols, shape[1]).astype(np.float64), requires_grad=True)
        for symbols, shape in zip(objective.symbols, objective.shapes)
    ]
    n = {
        name: torch.tensor(part.astype(np.float64), requires_grad=True)
        for name, part in weights.parts.items()
    }
    bands = [band_rows(size, band) for band in range(-(-size[0] // 512))]
    bits = sum(bits_of([grid[rows] for grid, rows in zip(grids, band)], n) for band in bands)
    assert isinstance(bits, Tensor)
    rgb = colours_of(grids, n)
    # what is beyond black and white counts as those, and is drawn back as if it did not
    clipped = rgb + (rgb.clamp(0, 1) - rgb).detach()
    squared = (clipped - torch.tensor(objective.target.astype(np.float64))).square().sum()
    pixels = size[0] * size[1]
    (squared / (3 * pixels) + TRADE * bits / pixels).backward()

    assert loss.squared == pytest.approx(squared.item(), rel=1e-5)
    assert loss.bits == pytest.approx(bits.item(), rel=1e-5)
    for name, part in gradient.parts.items():
        assert_near(part, n[name].grad, name)
    for k, grid in enumerate(grids):
        grad_rate = cells(objective.grad_rate[k].sum(0), size[1] if k == 0 else objective.shapes[k][1])
        assert_near(grad_rate * np.float32(TRADE / pixels) + objective.planes[k][k], grid.grad, f"grid {k}")
    objective.close()


def test_parts_change_nothing_but_the_order_of_sums() -> None:
    rng = np.random.default_rng(2)
    target = rng.integers(0, 256, (45, 61, 1), np.uint8)
    found = []
    for threads in (1, 2, 3):
        objective = RDObjective(target, threads, parts=threads)
        for latents in objective.latents:
            latents[:] = np.random.default_rng(3).normal(0, 2, latents.shape)
        objective.round_latents()
        weights = random_weights(8, 1)
        loss, gradient = objective.gradients(weights, TRADE)
        assert objective.loss(weights).bits == pytest.approx(loss.bits, rel=1e-6)
        found.append((loss, gradient, [grid.copy() for grid in objective.grids()]))
        objective.close()
    for loss, gradient, grids in found[1:]:
        assert loss.bits == pytest.approx(found[0][0].bits, rel=1e-6)
        assert loss.squared == pytest.approx(found[0][0].squared, rel=1e-6)
        np.testing.assert_allclose(gradient.flat, found[0][1].flat, rtol=1e-3, atol=1e-6)
        for one, other in zip(grids, found[0][2]):
            np.testing.assert_array_equal(one, other)


def test_gradients_from_every_fourth_row_are_right_on_average() -> None:
    rng = np.random.default_rng(7)
    objective = RDObjective(rng.integers(0, 256, (193, 171, 3), np.uint8), 2, parts=2)
    for latents in objective.latents:
        latents[:] = rng.normal(0, 2, latents.shape)
    objective.soft_round(0.3, 0.2, 5)
    weights = random_weights(8, 1)
    _, whole = objective.gradients(weights, TRADE)
    parts = [objective.gradients(weights, TRADE, turn)[1].flat for turn in range(8, 12)]
    np.testing.assert_allclose(np.mean(parts, 0), whole.flat, rtol=1e-3, atol=1e-6)
    assert np.abs(parts[0] - whole.flat).max() > 1e-4
    objective.close()


def test_rounded_latents_are_whole_and_within_the_format() -> None:
    objective = RDObjective(np.random.default_rng(4).integers(0, 256, (9, 14, 3), np.uint8), 1)
    objective.soft_round(0.3, 0.2, 1)
    objective.gradients(random_weights(8, 0), TRADE)
    objective.step(TRADE, 100.3)
    objective.gradients(random_weights(8, 1), TRADE)
    objective.step(TRADE, 100.3)
    objective.round_latents()
    for symbols, latents, grid in zip(objective.symbols, objective.latents, objective.grids()):
        np.testing.assert_array_equal(cells(symbols, latents.shape[1]), grid)
        assert np.abs(grid - latents).max() <= 0.5
    assert max(np.abs(grid.astype(int)).max() for grid in objective.grids()) == 127


def test_small_arrays_lie_apart() -> None:
    """Or how a loop rounds would depend on where they happen to lie."""
    objective = RDObjective(np.zeros((1, 17, 3), np.uint8), 1)
    planes = [plane for planes in objective.planes for plane in planes]
    arrays = [
        *objective.latents,
        *objective.slopes,
        *objective.means,
        *objective.squares,
        *objective.symbols,
        *planes,
    ]
    ends = sorted((array.ctypes.data, array.ctypes.data + array.nbytes) for array in arrays)
    assert min(after[0] - before[1] for before, after in zip(ends, ends[1:])) >= 4 * 64


def test_weights_are_views_of_one_vector() -> None:
    weights = Weights.zeros(16)
    assert weights.groups[-1].stop == weights.flat.size
    for part in weights.parts.values():
        assert part.base is not None
        part += 1
    assert (weights.flat == 1).all()


# --- powers of two


def over(formula: Callable[[Any], Any]) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """One of the formulas, over a whole array."""

    @numba.njit
    def loop(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = formula(x[i])

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.empty_like(x)
        loop(x, out)
        return out

    return run


def test_exp2() -> None:
    x = np.linspace(-126, 126, 200_001, dtype=np.float32)
    wanted = np.exp2(x.astype(np.float64))
    assert (np.abs(over(elementary.exp2)(x) / wanted - 1)).max() < 3e-7
    beyond = over(elementary.exp2)(np.array([-1e9, 1e9], np.float32))
    np.testing.assert_allclose(beyond, [2.0**-126, 2.0**126], rtol=1e-6)


def test_log2() -> None:
    x = np.geomspace(1e-37, 1e37, 200_001).astype(np.float32)
    wanted = np.log2(x.astype(np.float64))
    apart = np.abs(over(elementary.log2)(x) - wanted)
    assert (apart / np.maximum(np.abs(wanted), 1)).max() < 1e-6


# --- symbols moved one by one


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [*SIZES, (130, 24)], ids=str)
def test_no_move_of_a_symbol_that_is_left_helps(size: tuple[int, int], threads: int) -> None:
    rng = np.random.default_rng(5)
    weights = random_weights(8, 2)
    weights.flat[:] += rng.normal(0, 0.05, weights.flat.size)
    objective = RDObjective(rng.integers(0, 256, (*size, 3), np.uint8), threads, parts=threads)
    for latents in objective.latents:
        latents[:] = rng.normal(0, 1, latents.shape)
    objective.round_latents()

    def total() -> float:
        loss = objective.loss(weights)
        return loss.squared / (3 * objective.pixels) + TRADE * loss.bits / objective.pixels

    before = total()
    moved = objective.rdoq(weights, TRADE)
    assert moved > 0
    assert total() < before
    while objective.rdoq(weights, TRADE):
        assert total() < before
        before = total()
    best = total()
    for k in range(4):
        rows, columns = objective.shapes[k]
        for _ in range(6):
            y, x = rng.integers(rows) + 1, rng.integers(columns) + LEFT
            for more in (1, -1):
                objective.symbols[k][y, x] += more
                assert total() > best - 1e-6 * abs(best)
                objective.symbols[k][y, x] -= more
    kept = [grid.copy() for grid in objective.grids()]
    objective.round_latents()
    for grid, other in zip(objective.grids(), kept):
        np.testing.assert_array_equal(grid, other)
    objective.close()
