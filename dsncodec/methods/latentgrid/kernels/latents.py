"""Latents of method "latentgrid" to symbols, and their steps; and how grids lie in arrays, for ``rate`` and ``distortion`` too.

A grid lies in an array with a row of zeros above it and LEFT columns of zeros before it, so that contexts are rows that
are shifted, and nothing asks where the picture ends. Work is cut by rows; each thread sums gradients in arrays of its
own. Every kernel is checked against torch in double precision by the tests.

Arrays that belong together travel in named tuples, which a kernel takes apart in its first lines.

What a loop over a row reads and writes is cut out of its array first: an index that is a sum may be negative, for all
that the compiler knows, and loops with such indices gather and scatter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....kernels.elementary import exp2, inline, jit

FloatArray = NDArray[np.float32]
Arrays = tuple[FloatArray, ...]

LEFT = 8  # columns of zeros before a grid
CHUNK = 768  # cells of a row that are worked on at a time: shorter ones spend as much on what comes before the loops
LANES = 16  # a chunk's length is a multiple, and rows are that much longer
LOG2_E = np.float32(1.4426950408889634)


class Rows(NamedTuple):
    """Rows ``first``..``last`` - 1 of the picture, and its columns."""

    first: int
    last: int
    width: int


class RowSample(NamedTuple):
    """The rows that gradients by matrices are taken from: one in ``every``, those with y % every == offset."""

    every: int
    offset: int


class LatentState(NamedTuple):
    """One array for each grid: its latents, (rows, columns); its symbols, padded; the derivative of symbols by latents; and
    Adam's means of the gradient and of its square."""

    latents: Arrays
    symbols: Arrays
    slopes: Arrays
    means: Arrays
    squares: Arrays


class AdamStep(NamedTuple):
    """Sizes of a step, one for each grid, what gradients of bits count beside those of squared error, 1 / (1 - beta^t) and beta of both means."""

    sizes: Any
    rate_scale: float
    inverse1: float
    inverse2: float
    beta1: float
    beta2: float


def row_length(width: int) -> int:
    """Columns of the array of a grid that is so wide."""
    return LEFT + -(-width // LANES) * LANES + LANES


@inline
def _soft_rounded(x: Any, sharpness: Any, scale: Any) -> Any:
    """(value, derivative): floor(x) + 1/2 + tanh(s r) / (2 tanh(s / 2)), r = x - floor(x) - 1/2."""
    whole = np.floor(x)
    r = x - whole - np.float32(0.5)
    e = exp2(r * sharpness * np.float32(2) * LOG2_E)
    t = (e - np.float32(1)) / (e + np.float32(1))
    return whole + np.float32(0.5) + t * scale, (np.float32(1) - t * t) * sharpness * scale


@inline
def _hash(x: Any) -> Any:
    """A number of 32 bits from a counter (Murmur3's last steps)."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x85EBCA6B))
    x = np.uint32(x ^ (x >> np.uint32(13)))
    x = np.uint32(x * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


@jit
def soft_round(state: Any, shares: Any, temperature: float, noise: float, seed: int) -> None:
    """Rows of latents y to soft symbols: q = round(round(y) + noise), both softly; slopes are dq/dy.

    Args:
        state: ``LatentState``.
        shares: (grids, 2), first row and last + 1 of each grid.
        noise: standard deviation; nearly normal, the sum of four bytes.
    """
    sharpness = np.float32(1 / temperature)
    scale = np.float32(0.5 / np.tanh(0.5 / temperature))
    unit = np.float32(noise / np.sqrt(4 * (256.0**2 - 1) / 12))
    for k in range(len(state.latents)):
        y, q, slope = state.latents[k], state.symbols[k], state.slopes[k]
        seed_of_grid = (seed * 8 + k) & 0x7FFFFFFF
        columns = y.shape[1]
        for row in range(shares[k, 0], shares[k, 1]):
            start = _hash(np.uint32(seed_of_grid + row * 7919))
            for x in range(columns):
                h = _hash(np.uint32(start + np.uint32(x) * np.uint32(2654435769)))
                bytes_ = (h & np.uint32(255)) + ((h >> np.uint32(8)) & np.uint32(255))
                bytes_ += ((h >> np.uint32(16)) & np.uint32(255)) + (h >> np.uint32(24))
                value, slope1 = _soft_rounded(y[row, x], sharpness, scale)
                value += (np.float32(np.int32(bytes_)) - np.float32(510)) * unit
                value, slope2 = _soft_rounded(value, sharpness, scale)
                q[row + 1, LEFT + x] = value
                slope[row, x] = slope1 * slope2


@jit
def round_latents(state: Any, shares: Any) -> None:
    """Rows of latents to symbols, rounded; arguments as ``soft_round`` has them."""
    for k in range(len(state.latents)):
        y, q = state.latents[k], state.symbols[k]
        for row in range(shares[k, 0], shares[k, 1]):
            for x in range(y.shape[1]):
                q[row + 1, LEFT + x] = np.floor(y[row, x] + np.float32(0.5))


@jit
def step(state: Any, grad_rate: Any, grad_error: Any, shares: Any, adam: Any) -> None:
    """One step of Adam on rows of latents.

    Args:
        state: ``LatentState``; shares: as ``soft_round`` has them; adam: ``AdamStep``.
        grad_rate: of each grid (threads, rows, columns), gradients of bits by symbol, laid out as grids are.
        grad_error: of each grid the gradient of the squared error by symbol, (rows, columns).
    """
    b1, b2 = np.float32(adam.beta1), np.float32(adam.beta2)
    scale = np.float32(adam.rate_scale)
    i1, i2 = np.float32(adam.inverse1), np.float32(adam.inverse2)
    one, tiny, limit = np.float32(1), np.float32(1e-12), np.float32(127)
    for k in range(len(state.latents)):
        y, slope, mean, square = state.latents[k], state.slopes[k], state.means[k], state.squares[k]
        rate, error, size = grad_rate[k], grad_error[k], adam.sizes[k]
        threads = rate.shape[0]
        for row in range(shares[k, 0], shares[k, 1]):
            for x in range(y.shape[1]):
                bits = rate[0, row + 1, LEFT + x]
                if threads > 1:
                    bits += rate[1, row + 1, LEFT + x]
                for other in range(2, threads):
                    bits += rate[other, row + 1, LEFT + x]
                g = (bits * scale + error[row, x]) * slope[row, x]
                m = b1 * mean[row, x] + (one - b1) * g
                v = b2 * square[row, x] + (one - b2) * g * g
                mean[row, x] = m
                square[row, x] = v
                moved = y[row, x] - size * m * i1 / (np.sqrt(v * i2) + tiny)
                y[row, x] = min(max(moved, -limit), limit)
