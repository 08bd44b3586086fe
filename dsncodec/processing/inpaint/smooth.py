"""Smooth surfaces over missing pixels: what thin holes are filled with, and what mends seams.

Linear systems of one unknown a pixel are solved by conjugate gradients, with the diagonal as preconditioner.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .areas import BoolArray

FloatArray = NDArray[np.float32]

# Rounds in which second differences are weighed anew, and the grey levels below which one counts as none
ROUNDS = 3
SOFT = 4.0
# Conjugate gradients end when the residual has fallen so far, or after so many steps
TOLERANCE = 1e-3
STEPS = 200
# Sweeps at each size of a membrane; one of more unknown pixels is left at that
SWEEPS = 6
MOST_SOLVED = 2**19
# what second differences reach
SECOND = (
    (0, 1),
    (0, -1),
    (1, 0),
    (-1, 0),
    (0, 2),
    (0, -2),
    (2, 0),
    (-2, 0),
    (1, 1),
    (-1, -1),
    (1, -1),
    (-1, 1),
)
FOUR = ((0, 1), (0, -1), (1, 0), (-1, 0))


def membrane(pixels: FloatArray, missing: BoolArray) -> FloatArray:
    """``pixels`` (H, W, C) with the ``missing`` ones (H, W) near the mean of their neighbours; coarse to fine.

    Where all are missing, 0.
    """
    if not missing.any() or missing.size == 1:
        return np.where(missing[..., None], np.float32(0), pixels)
    small = membrane(*halved(pixels, missing))
    filled = np.where(
        missing[..., None],
        small.repeat(2, 0).repeat(2, 1)[: missing.shape[0], : missing.shape[1]],
        pixels,
    )
    rows, columns = np.nonzero(missing)
    up, down = np.maximum(rows - 1, 0), np.minimum(rows + 1, missing.shape[0] - 1)
    left, right = np.maximum(columns - 1, 0), np.minimum(columns + 1, missing.shape[1] - 1)
    for _ in range(SWEEPS):
        near = filled[up, columns] + filled[down, columns] + filled[rows, left] + filled[rows, right]
        filled[rows, columns] = near / 4
    return filled


def harmonic(pixels: FloatArray, missing: BoolArray) -> FloatArray:
    """``pixels`` (H, W, C) with the ``missing`` ones (H, W) the mean of their neighbours: within the range of the known."""
    if not missing.any():
        return pixels
    if np.count_nonzero(missing) > MOST_SOLVED:
        return membrane(pixels, missing)
    flat = np.zeros((1, 1, 1), np.float32)
    level = np.broadcast_to(flat, pixels.shape)
    return with_gradients(membrane(pixels, missing), missing, level, level, STEPS)


def halved(pixels: FloatArray, missing: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Half the size: means over what is known of each 2 x 2 pixels; missing where nothing is."""
    height, width, planes = pixels.shape
    more = (0, height % 2), (0, width % 2)
    known = np.pad((~missing).astype(np.float32), more)
    values = np.pad(pixels * ~missing[..., None], (*more, (0, 0)))
    rows, columns = known.shape[0] // 2, known.shape[1] // 2
    count = known.reshape(rows, 2, columns, 2).sum((1, 3))
    total = values.reshape(rows, 2, columns, 2, planes).sum((1, 3), dtype=np.float32)
    return total / np.maximum(count, 1)[..., None], count == 0


def plate(pixels: FloatArray, missing: BoolArray, outside: BoolArray) -> FloatArray:
    """``pixels`` (H, W, C) with the ``missing`` ones (H, W) on a surface whose second differences are small.

    Small in the sum of their absolute values, in the rows, the columns and across, by iteratively reweighted least squares:
    an edge that meets the hole goes on as an edge, where the sum of squares, as of biharmonic surfaces, blurs it. Pixels
    of ``outside`` are neither known nor sought.

    Source: the energy of a thin plate; weights after Holland and Welsch, "Robust regression using iteratively reweighted
    least-squares", 1977.
    """
    surface = membrane(pixels, missing | outside)
    whole = _terms(~outside)
    surface = _bent(surface, missing, whole)
    for _ in range(ROUNDS):
        bends = _second_differences(surface)
        weights = [
            (term * SOFT / np.sqrt((bend**2).mean(-1) + SOFT**2)).astype(np.float32)
            for term, bend in zip(whole, bends)
        ]
        surface = _bent(surface, missing, weights)
    return surface


def _second_differences(u: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Along rows and columns, at the middle pixel, and across, at the upper left one; 0 where they do not fit in."""
    rows, columns, across = np.zeros_like(u), np.zeros_like(u), np.zeros_like(u)
    rows[:, 1:-1] = u[:, :-2] - 2 * u[:, 1:-1] + u[:, 2:]
    columns[1:-1] = u[:-2] - 2 * u[1:-1] + u[2:]
    across[:-1, :-1] = u[:-1, :-1] - u[:-1, 1:] - u[1:, :-1] + u[1:, 1:]
    return rows, columns, across


def _terms(seen: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights of the second differences: of those whose pixels are all ``seen``; the one across stands for two."""
    rows, columns, across = (np.zeros(seen.shape, np.float32) for _ in range(3))
    rows[:, 1:-1] = seen[:, :-2] & seen[:, 1:-1] & seen[:, 2:]
    columns[1:-1] = seen[:-2] & seen[1:-1] & seen[2:]
    across[:-1, :-1] = seen[:-1, :-1] & seen[:-1, 1:] & seen[1:, :-1] & seen[1:, 1:]
    return rows, columns, 2 * across


def _bent(surface: FloatArray, missing: BoolArray, weights: Sequence[FloatArray]) -> FloatArray:
    """The surface whose missing pixels make the weighted sum of squared second differences least."""
    rows, columns, across = (np.pad(weight, 2) for weight in weights)

    def at(weight: FloatArray, dy: int, dx: int) -> FloatArray:
        return weight[2 + dy : weight.shape[0] - 2 + dy, 2 + dx : weight.shape[1] - 2 + dx]

    # the four squares of pixels that a pixel is in, by its place there
    first, second = at(across, 0, 0), at(across, 0, -1)
    third, fourth = at(across, -1, 0), at(across, -1, -1)
    right, left, mid_row = at(rows, 0, 1), at(rows, 0, -1), at(rows, 0, 0)
    below, above, mid_column = at(columns, 1, 0), at(columns, -1, 0), at(columns, 0, 0)
    diagonal = right + left + 4 * mid_row + below + above + 4 * mid_column + first + second + third + fourth
    stencil = (
        -2 * (mid_row + right) - first - third,
        -2 * (mid_row + left) - second - fourth,
        -2 * (mid_column + below) - first - second,
        -2 * (mid_column + above) - third - fourth,
        right,
        left,
        below,
        above,
        first,
        fourth,
        second,
        third,
    )
    framed = np.pad(surface, ((2, 2), (2, 2), (0, 0)))
    ys, xs = np.nonzero(missing)
    chosen = [weight[ys, xs][:, None] for weight in stencil]
    main = diagonal[ys, xs][:, None]
    residual = -main * surface[ys, xs]
    for weight, (dy, dx) in zip(chosen, SECOND):
        residual -= weight * framed[ys + 2 + dy, xs + 2 + dx]
    surface = surface.copy()
    surface[ys, xs] += solved(missing, SECOND, chosen, main, residual, STEPS)
    return surface


def with_gradients(
    pixels: FloatArray, missing: BoolArray, down: FloatArray, right: FloatArray, steps: int
) -> FloatArray:
    """``pixels`` (H, W, C) with the ``missing`` ones (H, W) changed so that differences are the wanted ones.

    Args:
        pixels: where missing, a beginning.
        down, right: (H, W, C): what the next pixel below, and to the right, is to be more.
        steps: of conjugate gradients, at most.
    Source: Perez, Gangnet and Blake, "Poisson image editing", 2003.
    """
    ys, xs = np.nonzero(missing)
    framed = np.pad(pixels, ((1, 1), (1, 1), (0, 0)))
    inside = np.pad(np.ones(missing.shape, np.float32), 1)
    downs, rights = (np.pad(wanted, ((1, 1), (1, 1), (0, 0))) for wanted in (down, right))
    rises = rights[ys + 1, xs + 1], -rights[ys + 1, xs], downs[ys + 1, xs + 1], -downs[ys, xs + 1]
    weights = [-inside[ys + 1 + dy, xs + 1 + dx][:, None] for dy, dx in FOUR]
    main = -np.sum(weights, 0)
    own = framed[ys + 1, xs + 1]
    residual = np.zeros_like(own)
    for weight, rise, (dy, dx) in zip(weights, rises, FOUR):
        residual -= weight * (framed[ys + 1 + dy, xs + 1 + dx] - own - rise)
    changed = pixels.copy()
    changed[ys, xs] += solved(missing, FOUR, weights, main, residual, steps)
    return changed


def solved(
    missing: BoolArray,
    offsets: Sequence[tuple[int, int]],
    weights: Sequence[FloatArray],
    diagonal: FloatArray,
    residual: FloatArray,
    steps: int,
) -> FloatArray:
    """x of A x = ``residual``, where a row of A is a missing pixel's: ``diagonal`` and ``weights`` of its neighbours.

    Args:
        missing: (H, W): the n unknown pixels.
        offsets: (dy, dx) of the neighbours, at most 2; those that are not missing count as 0.
        weights: of each offset, (n, 1). A is symmetric and not negative.
        diagonal: (n, 1), not negative; where it is 0, nothing binds the pixel, and it stays.
        residual: (n, C).
    Returns:
        (n, C); each plane is a system of its own.
    """
    ys, xs = np.nonzero(missing)
    count, planes = residual.shape
    places = np.full((missing.shape[0] + 4, missing.shape[1] + 4), count, np.int32)
    places[ys + 2, xs + 2] = np.arange(count)
    neighbours = [places[ys + 2 + dy, xs + 2 + dx] for dy, dx in offsets]
    found = np.zeros((count, planes), np.float32)
    # its last row is what is known: no change there
    way = np.zeros((count + 1, planes), np.float32)
    inverse = np.asarray(1 / np.where(diagonal > 0, diagonal, 1), np.float32)
    step: FloatArray = inverse * residual
    way[:count] = step
    size = _dot(residual, step)
    enough = TOLERANCE**2 * size
    for _ in range(steps):
        if (size <= enough).all():
            break
        image: FloatArray = diagonal * way[:count]
        for weight, neighbour in zip(weights, neighbours):
            image += weight * way[neighbour]
        length = _quotient(size, _dot(way[:count], image))
        found += length * way[:count]
        residual = residual - length * image
        step = inverse * residual
        last, size = size, _dot(residual, step)
        way[:count] = step + _quotient(size, last) * way[:count]
    return found


def _dot(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of each plane."""
    return np.asarray(np.einsum("ij,ij->j", one, other, dtype=np.float64))


def _quotient(one: NDArray[np.float64], other: NDArray[np.float64]) -> FloatArray:
    """0 where a plane is solved already."""
    return np.divide(one, other, out=np.zeros_like(one), where=other > 0).astype(np.float32)
