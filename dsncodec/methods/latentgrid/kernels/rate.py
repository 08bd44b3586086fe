"""Bits of the symbols of latent grids by the context network, and their gradients, by symbols and by weights.

Arrays are laid out as in ``latents``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....kernels.elementary import exp2, inline, jit, log2
from ..entropy_model import NEIGHBOURS
from .latents import CHUNK, LANES, LEFT, LOG2_E
from .matmul import dense, dense_add, outer_add, sums_add

FloatArray = NDArray[np.float32]

# 1 / b of the Laplace distribution, at 0 octaves
INVERSE_SCALE = np.float32(50)
MAX_OCTAVES = np.float32(11.875)
SPATIAL = np.array(NEIGHBOURS)


# Rows first..last-1 of a grid whose bits are counted: the grid and its columns; the grid's band, as ``_context_rows`` has it;
# how many rows each of them stands for
RATE_TASK = np.dtype(
    [
        ("grid", np.int64),
        ("first", np.int64),
        ("last", np.int64),
        ("width", np.int64),
        ("band", np.int64, (5,)),
        ("weight", np.float64),
    ]
)


class ContextNet(NamedTuple):
    """The context network: w1 and w2 (16, 16), w3 (4, 16): location, octaves of the scale, and two rows of zeros; biases b1
    (grids, 16), b2 (16,) and b3 (4,); the transposed matrices."""

    w1: FloatArray
    b1: FloatArray
    w2: FloatArray
    b2: FloatArray
    w3: FloatArray
    b3: FloatArray
    w1t: FloatArray
    w2t: FloatArray
    w3t: FloatArray


class ContextGradients(NamedTuple):
    """Gradients by the context network, shaped as ``ContextNet``."""

    w1: FloatArray
    b1: FloatArray
    w2: FloatArray
    b2: FloatArray
    w3: FloatArray
    b3: FloatArray


@jit
def _read_contexts(symbols: Any, rows: Any, x0: int, n: int, x: Any) -> None:
    """Sixteen rows of n contexts of the cells from column x0 on; ``rows`` as ``context_rows`` has it."""
    q, q1, q2 = symbols
    c = LEFT + x0
    for i in range(12):
        shift = c + SPATIAL[i, 1]
        line = q[rows[i], shift : shift + n]
        for p in range(n):
            x[i, p] = line[p]
    c1, half = LEFT + (x0 >> 1), n >> 1
    own = q1[rows[12], c1 - 1 : c1 + half + 1]
    beside = q1[rows[13], c1 : c1 + half]
    for h in range(half):
        x[12, 2 * h] = own[h + 1]
        x[12, 2 * h + 1] = own[h + 1]
        x[13, 2 * h] = own[h]
        x[13, 2 * h + 1] = own[h + 2]
        x[14, 2 * h] = beside[h]
        x[14, 2 * h + 1] = beside[h]
    c2 = LEFT + (x0 >> 2)
    above = q2[rows[14], c2 : c2 + (n >> 2)]
    for h in range(n >> 2):
        value = above[h]
        x[15, 4 * h] = value
        x[15, 4 * h + 1] = value
        x[15, 4 * h + 2] = value
        x[15, 4 * h + 3] = value


@jit
def context_rows(y: int, band: Any, rows: Any) -> None:
    """Which array rows the contexts of row y lie in; 0 is the row of zeros.

    Args:
        band: first row of the grid's band, of the next grid's, its end, and of the one after, its end.
    """
    top, top1, end1, top2, end2 = band[0], band[1], band[2], band[3], band[4]
    for i in range(12):
        at = y + SPATIAL[i, 0]
        rows[i] = at + 1 if at >= top else 0
    py = y >> 1
    beside = py + 1 if y & 1 else py - 1
    rows[12] = py + 1 if top1 <= py < end1 else 0
    rows[13] = beside + 1 if top1 <= beside < end1 else 0
    rows[14] = (y >> 2) + 1 if top2 <= y >> 2 < end2 else 0


@jit
def _write_gradients(grads: Any, rows: Any, x0: int, n: int, d: Any) -> None:
    """Adds gradients by context to those by symbol."""
    g, g1, g2 = grads
    c = LEFT + x0
    for i in range(12):
        shift = c + SPATIAL[i, 1]
        line = g[rows[i], shift : shift + n]
        for p in range(n):
            line[p] += d[i, p]
    c1, half = LEFT + (x0 >> 1), n >> 1
    own = g1[rows[12], c1 - 1 : c1 + half + 1]
    beside = g1[rows[13], c1 : c1 + half]
    for h in range(half):
        own[h + 1] += d[12, 2 * h] + d[12, 2 * h + 1]
    for h in range(half):
        own[h] += d[13, 2 * h]
    for h in range(half):
        own[h + 2] += d[13, 2 * h + 1]
    for h in range(half):
        beside[h] += d[14, 2 * h] + d[14, 2 * h + 1]
    c2 = LEFT + (x0 >> 2)
    above = g2[rows[14], c2 : c2 + (n >> 2)]
    for h in range(n >> 2):
        above[h] += (d[15, 4 * h] + d[15, 4 * h + 1]) + (d[15, 4 * h + 2] + d[15, 4 * h + 3])


@inline
def laplace_bits(z: Any, octaves: Any) -> Any:
    """Bits of a symbol at distance z from the location, and their derivatives by z and by the octaves of the scale."""
    half, one, zero = np.float32(0.5), np.float32(1), np.float32(0)
    kept = min(max(octaves, zero), MAX_OCTAVES)
    inverse = exp2(-kept) * INVERSE_SCALE
    a = abs(z)
    near = half - a  # how far inside of the symbol the location lies
    e = exp2(-inverse * LOG2_E)  # over a whole symbol
    e1 = exp2(-abs(near) * inverse * LOG2_E)
    e2 = e / e1  # of the further edge, where the symbol is near
    p_near = one - half * (e1 + e2)
    outside = one - e
    beyond = -near * inverse
    scaled = inverse / p_near
    by_a_near = half * (e1 - e2) * scaled
    by_octaves_near = half * (e1 * near + e2 * (a + half)) * scaled
    by_octaves_far = e * inverse / outside - beyond
    # both are found, and one is chosen: branches would keep the loop from being vectorised
    p = p_near if near > zero else half * outside
    bits = (zero if near > zero else beyond * LOG2_E) - log2(max(p, np.float32(1e-30)))
    by_a = by_a_near if near > zero else inverse
    by_octaves = by_octaves_near if near > zero else by_octaves_far
    by_z = (by_a if z > zero else -by_a) * LOG2_E
    return bits, by_z, by_octaves if kept == octaves else zero


@jit
def _laplace_rows(laplace: Any, n: int) -> None:
    """``laplace_bits`` of n columns: rows distances and octaves to rows bits and both derivatives."""
    for p in range(n):
        bits, by_z, by_octaves = laplace_bits(laplace[0, p], laplace[1, p])
        laplace[2, p] = bits
        laplace[3, p] = by_z
        laplace[4, p] = by_octaves


@jit
def rate(symbols: Any, net: Any, tasks: Any, grads: Any, net_grads: Any, sample: Any, backward: bool) -> Any:
    """Bits of each task; with ``backward`` gradients are added to ``grads`` and, of the sampled rows, to ``net_grads``.

    Args:
        symbols, grads: a padded array for each grid, and two more of zeros behind the coarsest.
        net: ``ContextNet``; net_grads: ``ContextGradients``; sample: ``RowSample``.
        tasks: (n,) of ``RATE_TASK``.
    """
    w1, w2, b2, w3, b3 = net.w1, net.w2, net.b2, net.w3, net.b3
    dw1, dw2, db2, dw3, db3 = net_grads.w1, net_grads.w2, net_grads.b2, net_grads.w3, net_grads.b3
    every, turn = sample
    x = np.zeros((16, CHUNK), np.float32)
    h1 = np.empty((16, CHUNK), np.float32)
    a2 = np.empty((16, CHUNK), np.float32)
    h2 = np.empty((16, CHUNK), np.float32)
    o = np.empty((4, CHUNK), np.float32)
    laplace = np.empty((5, CHUNK), np.float32)
    d = np.empty((16, CHUNK), np.float32)
    e = np.empty((16, CHUNK), np.float32)
    rows = np.zeros(15, np.int64)
    zero = np.float32(0)
    bits = np.empty(len(tasks), np.float64)
    for i in range(len(tasks)):
        task = tasks[i]
        k, band = task.grid, task.band
        stack = symbols[k], symbols[k + 1], symbols[k + 2]
        grad_stack = grads[k], grads[k + 1], grads[k + 2]
        q, g, b1, db1 = symbols[k], grads[k], net.b1[k], net_grads.b1[k]
        total = 0.0
        for y in range(task.first, task.last):
            learning = y % every == turn
            context_rows(y, band, rows)
            for x0 in range(0, task.width, CHUNK):
                real = min(CHUNK, task.width - x0)
                n = (real + LANES - 1) // LANES * LANES
                _read_contexts(stack, rows, x0, n, x)
                dense(w1, b1, x, h1, n)
                for j in range(16):
                    for p in range(n):
                        h1[j, p] = max(h1[j, p], zero)
                dense(w2, b2, h1, a2, n)
                for j in range(16):
                    for p in range(n):
                        h2[j, p] = h1[j, p] + max(a2[j, p], zero)
                dense(w3, b3, h2, o, n)
                c = LEFT + x0
                line, by_symbols = q[y + 1, c : c + n], g[y + 1, c : c + n]
                for p in range(n):
                    laplace[0, p] = line[p] - o[0, p]
                    laplace[1, p] = o[1, p]
                _laplace_rows(laplace, n)
                for p in range(real, n):
                    laplace[2, p] = laplace[3, p] = laplace[4, p] = zero
                found = zero
                for p in range(n):
                    found += laplace[2, p]
                total += float(found)
                if not backward:
                    continue
                for p in range(n):
                    by_symbols[p] += laplace[3, p]
                    o[0, p] = -laplace[3, p]
                    o[1, p] = laplace[4, p]
                    o[2, p] = zero
                    o[3, p] = zero
                if learning:
                    outer_add(o, h2, dw3, n)
                    sums_add(o, db3, n)
                for j in range(16):
                    for p in range(n):
                        d[j, p] = zero
                dense_add(net.w3t, o, d, n)  # by h2
                for j in range(16):
                    for p in range(n):
                        e[j, p] = d[j, p] if a2[j, p] > zero else zero
                if learning:
                    outer_add(e, h1, dw2, n)
                    sums_add(e, db2, n)
                dense_add(net.w2t, e, d, n)  # by h1
                for j in range(16):
                    for p in range(n):
                        d[j, p] = d[j, p] if h1[j, p] > zero else zero
                        e[j, p] = zero
                if learning:
                    outer_add(d, x, dw1, n)
                    sums_add(d, db1, n)
                dense_add(net.w1t, d, e, n)  # by contexts
                _write_gradients(grad_stack, rows, x0, n, e)
        bits[i] = total
    return bits
