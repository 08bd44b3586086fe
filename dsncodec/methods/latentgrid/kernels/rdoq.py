"""RDOQ: rounded symbols moved by one, one after the other, wherever the loss falls. The change of the loss is exact: the
bits of all symbols that have this one as a context, and the squared error of all pixels that it reaches.

Arrays are laid out as in ``latents``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....kernels.elementary import jit
from .latents import LEFT
from .rate import SPATIAL, context_rows, laplace_bits

FloatArray = NDArray[np.float32]
Int64Array = NDArray[np.int64]

# Cells that upsampling adds to the reach of a cell, before and behind
GROWTH = (3, 4)
_DOWN, _ACROSS = SPATIAL[:, 0].copy(), SPATIAL[:, 1].copy()
# (rows, columns) from the first of a cell's four children to the cells of their grid that see it
_CHILDREN = np.array(
    [(0, 0), (0, 1), (1, 0), (1, 1), (0, -1), (1, -1), (0, 2), (1, 2), (-1, 0), (-1, 1), (2, 0), (2, 1)]
)
_SEEING = 1 + len(_DOWN) + len(_CHILDREN) + 16
_LARGEST = np.float32(127)


class Grid(NamedTuple):
    """Symbols of a grid, padded, and the bits of each, (rows, columns); ``bias`` (16,) of the context network's first layer;
    ``band`` as ``rate.context_rows`` has it, and the band's last row + 1."""

    symbols: FloatArray
    bits: FloatArray
    bias: FloatArray
    band: Int64Array
    end: int


class GridStack(NamedTuple):
    """A grid, the next two coarser ones, which may be grids of zeros, and the two finer ones: these are not looked at
    where there are none."""

    grid: Grid
    parent: Grid
    grandparent: Grid
    child: Grid
    grandchild: Grid


class ContextNet(NamedTuple):
    """The context network but for the first biases: w1 and w2 (16, 16), transposed; b2 (16,), w3 (2, 16), b3 (2,)."""

    w1: FloatArray
    w2: FloatArray
    b2: FloatArray
    w3: FloatArray
    b3: FloatArray


class Picture(NamedTuple):
    """The planes (7, rows, columns); the output of the synthesis' MLP, ``mixed``, with a border; the colours before they are
    clipped, those wanted, and what each of their squared errors counts, (3, rows, columns), which is 1 where ``weight`` has
    no rows; the layers: taps (6, 4), P transposed, p, Q, q, S, K."""

    planes: FloatArray
    mixed: FloatArray
    colours: FloatArray
    target: FloatArray
    weight: FloatArray
    taps: FloatArray
    p: FloatArray
    pb: FloatArray
    q: FloatArray
    qb: FloatArray
    s: FloatArray
    k: FloatArray


class Costs(NamedTuple):
    """What a bit, and squared error, count in the loss."""

    bit: float
    error: float


class Region(NamedTuple):
    """Rows y0..y1 and columns x0..x1 of the picture that a cell reaches, and its response along each side."""

    y0: int
    y1: int
    x0: int
    x1: int
    down: FloatArray
    across: FloatArray


class Change(NamedTuple):
    """What a move of a symbol makes of the picture: what is added to ``mixed``, from two rows and columns before the region
    on, and the new colours, from one row and column before it on."""

    mixed: FloatArray
    colours: FloatArray


@jit
def _bits_of(grid: Any, parent: Any, grandparent: Any, y: int, x: int, net: Any, scratch: Any) -> Any:
    """The bits of one symbol; ``scratch`` are arrays (15,) of integers and (2, 16)."""
    rows, h = scratch
    zero = np.float32(0)
    context_rows(y, grid.band, rows)
    q, q1, q2 = grid.symbols, parent.symbols, grandparent.symbols
    c, c1 = LEFT + x, LEFT + (x >> 1)
    for j in range(16):
        h[0, j] = grid.bias[j]
        h[1, j] = net.b2[j]
    for i in range(16):
        if i < 12:
            value = q[rows[i], c + _ACROSS[i]]
        elif i == 12:
            value = q1[rows[12], c1]
        elif i == 13:
            value = q1[rows[12], c1 + (1 if x & 1 else -1)]
        elif i == 14:
            value = q1[rows[13], c1]
        else:
            value = q2[rows[14], LEFT + (x >> 2)]
        if value != zero:
            for j in range(16):
                h[0, j] += net.w1[i, j] * value
    for i in range(16):
        value = max(h[0, i], zero)
        h[0, i] = value
        if value != zero:
            for j in range(16):
                h[1, j] += net.w2[i, j] * value
    middle, octaves = net.b3[0], net.b3[1]
    for j in range(16):
        value = h[0, j] + max(h[1, j], zero)
        middle += net.w3[0, j] * value
        octaves += net.w3[1, j] * value
    return laplace_bits(q[y + 1, c] - middle, octaves)[0]


@jit
def count_bits(grids: Any, net: Any, first: int, last: int) -> None:
    """Sets the bits of rows first..last-1 of a ``GridStack``'s grid."""
    scratch = np.zeros(15, np.int64), np.empty((2, 16), np.float32)
    bits = grids.grid.bits
    for y in range(first, last):
        for x in range(bits.shape[1]):
            bits[y, x] = _bits_of(grids.grid, grids.parent, grids.grandparent, y, x, net, scratch)


@jit
def synthesis_conv(picture: Any, first: int, last: int) -> None:
    """Sets the colours of rows first..last-1: the convolution behind the MLP."""
    c, g, k = picture.colours, picture.mixed, picture.k
    columns = c.shape[2]
    for o in range(3):
        for y in range(first, last):
            for x in range(columns):
                c[o, y, x] = g[o, y + 1, LEFT + x]
            for i in range(3):
                for r in range(3):
                    k0, k1, k2 = k[o, i, r, 0], k[o, i, r, 1], k[o, i, r, 2]
                    for x in range(columns):
                        at = LEFT + x
                        c[o, y, x] += (
                            k0 * g[i, y + r, at - 1] + k1 * g[i, y + r, at] + k2 * g[i, y + r, at + 1]
                        )


@jit
def _response(at: int, k: int, sides: Any, taps: Any, out: Any, scratch: Any) -> tuple[int, int]:
    """What a one at a place of a line of grid k is in a line of the picture: ``out``, and its first and last place."""
    first, last = at, at
    out[0] = np.float32(1)
    for level in range(k - 1, -1, -1):
        for i in range(last - first + 1):
            scratch[i] = out[i]
        low, high = max(2 * first - GROWTH[0], 0), min(2 * last + GROWTH[1], sides[level] - 1)
        for j in range(low, high + 1):
            total = np.float32(0)
            for t in range(4):
                source = (j >> 1) + (2 - t if j & 1 else t - 2)
                source = min(max(source, 0), sides[level + 1] - 1)
                if first <= source <= last:
                    total += taps[level, t] * scratch[source - first]
            out[j - low] = total
        first, last = low, high
    return first, last


@jit
def _delta_distortion(picture: Any, k: int, region: Any, delta: Any, change: Any) -> float:
    """How much the squared error rises if plane k has delta * down * across more in a region; sets ``change``."""
    y0, y1, x0, x1, down, across = region
    more, new = change
    v, g, c, target, weight, _, p, pb, q, qb, s, kernel = picture
    weighted = weight.shape[1] > 0
    rows, columns = target.shape[1], target.shape[2]
    zero, one = np.float32(0), np.float32(1)
    ny, nx = y1 - y0 + 1, x1 - x0 + 1
    for j in range(3):
        for x in range(nx + 4):
            more[j, 0, x] = more[j, 1, x] = more[j, ny + 2, x] = more[j, ny + 3, x] = zero
        for y in range(2, ny + 2):
            more[j, y, 0] = more[j, y, 1] = more[j, y, nx + 2] = more[j, y, nx + 3] = zero
    u = np.empty(7, np.float32)
    for y in range(ny):
        scaled = delta * down[y]
        for x in range(nx):
            for i in range(7):
                u[i] = v[i, y0 + y, x0 + x]
            u[k] += scaled * across[x]
            u0, u1, u2, u3, u4, u5, u6 = u[0], u[1], u[2], u[3], u[4], u[5], u[6]
            a0, a1, a2 = qb[0], qb[1], qb[2]
            for j in range(len(pb)):
                h = (
                    pb[j]
                    + p[0, j] * u0
                    + p[1, j] * u1
                    + p[2, j] * u2
                    + p[3, j] * u3
                    + p[4, j] * u4
                    + p[5, j] * u5
                    + p[6, j] * u6
                )
                h = max(h, zero)
                a0 += q[0, j] * h
                a1 += q[1, j] * h
                a2 += q[2, j] * h
            for i in range(7):
                a0 += s[0, i] * u[i]
                a1 += s[1, i] * u[i]
                a2 += s[2, i] * u[i]
            at = LEFT + x0 + x
            more[0, y + 2, x + 2] = a0 - g[0, y0 + y + 1, at]
            more[1, y + 2, x + 2] = a1 - g[1, y0 + y + 1, at]
            more[2, y + 2, x + 2] = a2 - g[2, y0 + y + 1, at]
    for j in range(3):  # beyond an edge of the picture lies the edge
        for y in range(2, ny + 2):
            if x0 == 0:
                more[j, y, 1] = more[j, y, 2]
            if x1 == columns - 1:
                more[j, y, nx + 2] = more[j, y, nx + 1]
        for x in range(nx + 4):
            if y0 == 0:
                more[j, 1, x] = more[j, 2, x]
            if y1 == rows - 1:
                more[j, ny + 2, x] = more[j, ny + 1, x]
    total = 0.0
    low, high = (0 if x0 > 0 else 1), (nx + 2 if x1 < columns - 1 else nx + 1)
    for o in range(3):
        for y in range(max(y0 - 1, 0), min(y1 + 1, rows - 1) + 1):
            b = y - y0 + 1
            for a in range(low, high):
                new[o, b, a] = c[o, y, x0 - 1 + a] + more[o, b + 1, a + 1]
            for i in range(3):
                for r in range(3):
                    k0, k1, k2 = kernel[o, i, r, 0], kernel[o, i, r, 1], kernel[o, i, r, 2]
                    for a in range(low, high):
                        new[o, b, a] += (
                            k0 * more[i, b + r, a] + k1 * more[i, b + r, a + 1] + k2 * more[i, b + r, a + 2]
                        )
            found = zero
            if weighted:
                for a in range(low, high):
                    x = x0 - 1 + a
                    before = min(max(c[o, y, x], zero), one) - target[o, y, x]
                    after = min(max(new[o, b, a], zero), one) - target[o, y, x]
                    found += weight[o, y, x] * (after * after - before * before)
            else:
                for a in range(low, high):
                    x = x0 - 1 + a
                    before = min(max(c[o, y, x], zero), one) - target[o, y, x]
                    after = min(max(new[o, b, a], zero), one) - target[o, y, x]
                    found += after * after - before * before
            total += float(found)
    return total


@jit
def _commit(picture: Any, k: int, region: Any, delta: Any, change: Any) -> None:
    """Applies a change that ``_delta_distortion`` has set."""
    y0, y1, x0, x1, down, across = region
    more, new = change
    rows, columns = picture.target.shape[1], picture.target.shape[2]
    for y in range(y0, y1 + 1):
        for x in range(x0, x1 + 1):
            picture.planes[k, y, x] += delta * down[y - y0] * across[x - x0]
            for j in range(3):
                picture.mixed[j, y + 1, LEFT + x] += more[j, y - y0 + 2, x - x0 + 2]
    for j in range(3):
        for y in range(max(y0 - 1, 0), min(y1 + 1, rows - 1) + 1):
            for x in range(max(x0 - 1, 0), min(x1 + 1, columns - 1) + 1):
                picture.colours[j, y, x] = new[j, y - y0 + 1, x - x0 + 1]


@jit
def rdoq_symbols(
    k: int, grids: Any, net: Any, picture: Any, heights: Any, widths: Any, first: int, last: int, costs: Any
) -> int:
    """RDOQ of rows first..last-1 of grid k; gives how many symbols were moved.

    Args:
        grids: ``GridStack`` of grid k; net: ``ContextNet``; picture: ``Picture``; costs: ``Costs``.
        heights, widths: of all grids.
    """
    grid, parent, grandparent, child, grandchild = grids
    scratch = np.zeros(15, np.int64), np.empty((2, 16), np.float32)
    reach = (1 + GROWTH[0] + GROWTH[1]) << k
    down, across, line = np.empty((3, reach), np.float32)
    both = np.zeros((2, 3, reach + 4, reach + 4), np.float32)
    change = Change(both[0], both[1])
    seeing = np.empty((_SEEING, 3), np.int64)  # grid 0, 1 or 2 (this, child, grandchild), row, column
    then = np.empty(_SEEING, np.float32)
    q, moved = grid.symbols, 0
    for y in range(first, last):
        y0, y1 = _response(y, k, heights, picture.taps, down, line)
        for x in range(widths[k]):
            n = 0
            for i in range(-1, 12):  # itself first
                b, a = (y, x) if i < 0 else (y - _DOWN[i], x - _ACROSS[i])
                if b < grid.end and 0 <= a < widths[k]:
                    seeing[n, 0], seeing[n, 1], seeing[n, 2] = 0, b, a
                    n += 1
            if k >= 1:
                for i in range(12):
                    b, a = 2 * y + _CHILDREN[i, 0], 2 * x + _CHILDREN[i, 1]
                    if child.band[0] <= b < child.end and 0 <= a < widths[k - 1]:
                        seeing[n, 0], seeing[n, 1], seeing[n, 2] = 1, b, a
                        n += 1
            if k >= 2:
                for i in range(16):
                    b, a = 4 * y + (i >> 2), 4 * x + (i & 3)
                    if b < grandchild.end and a < widths[k - 2]:
                        seeing[n, 0], seeing[n, 1], seeing[n, 2] = 2, b, a
                        n += 1
            x0, x1 = _response(x, k, widths, picture.taps, across, line)
            region = Region(y0, y1, x0, x1, down, across)
            old = q[y + 1, LEFT + x]
            for delta in (np.float32(1), np.float32(-1)):
                if abs(old + delta) > _LARGEST:
                    continue
                q[y + 1, LEFT + x] = old + delta
                more_bits = np.float32(0)
                for i in range(n):
                    b, a = seeing[i, 1], seeing[i, 2]
                    if seeing[i, 0] == 0:
                        then[i] = _bits_of(grid, parent, grandparent, b, a, net, scratch)
                        more_bits += then[i] - grid.bits[b, a]
                    elif seeing[i, 0] == 1:
                        then[i] = _bits_of(child, grid, parent, b, a, net, scratch)
                        more_bits += then[i] - child.bits[b, a]
                    else:
                        then[i] = _bits_of(grandchild, child, grid, b, a, net, scratch)
                        more_bits += then[i] - grandchild.bits[b, a]
                more_error = _delta_distortion(picture, k, region, delta, change)
                if costs.bit * more_bits + costs.error * more_error >= 0:
                    q[y + 1, LEFT + x] = old
                    continue
                moved += 1
                for i in range(n):
                    b, a = seeing[i, 1], seeing[i, 2]
                    if seeing[i, 0] == 0:
                        grid.bits[b, a] = then[i]
                    elif seeing[i, 0] == 1:
                        child.bits[b, a] = then[i]
                    else:
                        grandchild.bits[b, a] = then[i]
                _commit(picture, k, region, delta, change)
                break
    return moved
