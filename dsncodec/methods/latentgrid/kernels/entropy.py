"""Entropy coding of latent grids, and their upsampling and synthesis: the same as in ``entropy_model`` and ``bitstream``,
number by number. Reached through ``kernels.load`` only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....kernels.compile import compiled

Array = NDArray[Any]


# --- the entropy model


@compiled
def _contexts(grids: Any, y: int, x: int, found: Array) -> bool:
    """Sets the 16 contexts of a cell; whether any of them is not zero. ``grids`` is an ``entropy_model.GridStack``."""
    cells, up, upper = grids
    a, b = y + 3, x + 3
    found[0], found[1], found[2] = cells[a, b - 1], cells[a, b - 2], cells[a, b - 3]
    for at in range(5):
        found[3 + at] = cells[a - 1, b - 2 + at]
    for at in range(3):
        found[8 + at] = cells[a - 2, b - 1 + at]
    found[11] = cells[a - 3, b]
    v, u = (y >> 1) + 1, (x >> 1) + 1
    found[12] = up[v, u]
    found[13] = up[v, u + (1 if x & 1 else -1)]
    found[14] = up[v + (1 if y & 1 else -1), u]
    found[15] = upper[y >> 2, x >> 2]
    some = False
    for at in range(16):
        some |= found[at] != 0
    return some


@compiled
def _distribution(found: Array, net: Any, h1: Array, h2: Array) -> tuple[int, int]:
    """Location and scale index from contexts; ``net`` is an ``entropy_model.ContextNet``. All sums are whole numbers below
    2^53."""
    w1, b1, w2, b2, w3, b3 = net
    most = 1048576.0
    for j in range(16):
        h1[j] = b1[j]
    for i in range(16):
        value = found[i]
        if value != 0:
            for j in range(16):
                h1[j] += w1[i, j] * value
    for j in range(16):
        h1[j] = min(max(h1[j], 0.0), most)
        h2[j] = b2[j] * 4096.0 + 2048.0
    for i in range(16):
        value = h1[i]
        if value != 0:
            for j in range(16):
                h2[j] += w2[i, j] * value
    first, second = b3[0] * 4096.0 + 524288.0, b3[1] * 4096.0 + 1048576.0
    for j in range(16):
        value = h1[j] + min(max(np.floor(h2[j] / 4096.0), 0.0), most)
        first += w3[0, j] * value
        second += w3[1, j] * value
    m = min(max(np.floor(first / 1048576.0), -2032.0), 2032.0)
    s = min(max(np.floor(second / 2097152.0), 0.0), 95.0)
    return int(m), int(s)


@compiled
def _cumulative(v: int, m: int, row: Array) -> int:
    """The counts below symbol v."""
    if v <= -127:
        return 0
    if v >= 128:
        return 16777216
    d = 16 * v - 8 - m
    below = row[min(-d, 2047)] if d <= 0 else 16777216 - row[min(d, 2047)]
    return (v + 127) + ((below * 16776961) >> 24)


@compiled
def intervals(grids: Any, net: Any, tables: Array) -> tuple[Array, Array]:
    """The intervals of a grid's symbols in the order in which they are coded; arguments as ``read`` has them."""
    cells = grids.cells
    rows, columns = cells.shape[0] - 3, cells.shape[1] - 5
    lower, above = np.empty(rows * columns, np.int64), np.empty(rows * columns, np.int64)
    found, h1, h2 = np.zeros(16), np.empty(16), np.empty(16)
    flat_m, flat_s = _distribution(found, net, h1, h2)
    at = 0
    for t in range(columns + 3 * (rows - 1)):
        for y in range(max(0, (t - columns + 3) // 3), min(rows - 1, t // 3) + 1):
            x = t - 3 * y
            if _contexts(grids, y, x, found):
                m, s = _distribution(found, net, h1, h2)
            else:
                m, s = flat_m, flat_s
            v = int(cells[y + 3, x + 3])
            lower[at], above[at] = _cumulative(v, m, tables[s]), _cumulative(v + 1, m, tables[s])
            at += 1
    return lower, above


@compiled
def write(lower: Array, above: Array, out: Array, state: Array) -> None:
    """``range_coder.RangeEncoder.encode``. ``state`` is low, range, and how many bytes of ``out`` are written."""
    low, span, at = state[0], state[1], state[2]
    for place in range(len(lower)):
        unit = span >> 24
        low += unit * lower[place]
        span = unit * (above[place] - lower[place])
        if low >= 72057594037927936:
            low -= 72057594037927936
            back = at - 1
            while out[back] == 255:
                out[back] = 0
                back -= 1
            out[back] += 1
        while span < 281474976710656:
            out[at] = low >> 48
            at += 1
            low, span = (low & 281474976710655) << 8, span << 8
    state[0], state[1], state[2] = low, span, at


@compiled
def read(data: Array, state: Array, grids: Any, net: Any, tables: Array, waves: int) -> bool:
    """Fill the cells of so many first waves of a grid; False where no encoder made the bytes.

    Args:
        state: code, range, and how many bytes are taken.
        grids: ``entropy_model.GridStack``; net: ``entropy_model.ContextNet``.
    """
    cells = grids.cells
    code, span, taken = state[0], state[1], state[2]
    rows, columns = cells.shape[0] - 3, cells.shape[1] - 5
    found, h1, h2 = np.zeros(16), np.empty(16), np.empty(16)
    flat_m, flat_s = _distribution(found, net, h1, h2)
    for t in range(waves):
        for y in range(max(0, (t - columns + 3) // 3), min(rows - 1, t // 3) + 1):
            x = t - 3 * y
            if _contexts(grids, y, x, found):
                m, s = _distribution(found, net, h1, h2)
            else:
                m, s = flat_m, flat_s
            row = tables[s]
            unit = span >> 24
            v = min(max((m + 8) >> 4, -127), 127)
            first, end = _cumulative(v, m, row), _cumulative(v + 1, m, row)
            if not (unit * first <= code and code < unit * end):
                count = code // unit
                if count >= 16777216:
                    return False
                low, high = -127, 127
                while low < high:
                    v = (low + high + 1) >> 1
                    if _cumulative(v, m, row) <= count:
                        low = v
                    else:
                        high = v - 1
                v = low
                first, end = _cumulative(v, m, row), _cumulative(v + 1, m, row)
            cells[y + 3, x + 3] = v
            code -= unit * first
            span = unit * (end - first)
            while span < 281474976710656:
                code <<= 8
                if taken < len(data):
                    code |= np.int64(data[taken])
                taken += 1
                span <<= 8
    state[0], state[1], state[2] = code, span, taken
    return True


# --- from planes to colours


@compiled
def upsample2x(padded: Array, taps: Array, top: int, left: int, out: Array) -> None:
    """See bitstream.upsample2x; ``top`` and ``left`` are 1 if the first row and column are odd ones."""
    planes, rows, columns = out.shape
    across = padded.shape[2]
    a0, a1, a2, a3 = taps[0], taps[1], taps[2], taps[3]
    down = np.empty(across, np.float32)
    for n in range(planes):
        for y in range(rows):
            i = (y + top) >> 1
            if (y + top) & 1:
                one, two, three, four = padded[n, i + 1], padded[n, i + 2], padded[n, i + 3], padded[n, i + 4]
                for x in range(across):
                    down[x] = a3 * one[x] + a2 * two[x] + a1 * three[x] + a0 * four[x]
            else:
                one, two, three, four = padded[n, i], padded[n, i + 1], padded[n, i + 2], padded[n, i + 3]
                for x in range(across):
                    down[x] = a0 * one[x] + a1 * two[x] + a2 * three[x] + a3 * four[x]
            into = out[n, y]
            for x in range(columns):
                i = (x + left) >> 1
                if (x + left) & 1:
                    into[x] = a3 * down[i + 1] + a2 * down[i + 2] + a1 * down[i + 3] + a0 * down[i + 4]
                else:
                    into[x] = a0 * down[i] + a1 * down[i + 1] + a2 * down[i + 2] + a3 * down[i + 3]


@compiled
def synthesis_mlp(v: Array, p: Array, bias: Array, q: Array, s: Array, offset: Array, out: Array) -> None:
    """See bitstream.synthesis_mlp: (7, n) to (3, n), some hundred pixels at a time."""
    width, pixels = p.shape[0], v.shape[1]
    zero = np.float32(0)
    for start in range(0, pixels, 256):
        n = min(256, pixels - start)
        v0, v1, v2, v3 = (
            v[0, start : start + n],
            v[1, start : start + n],
            v[2, start : start + n],
            v[3, start : start + n],
        )
        v4, v5, v6 = v[4, start : start + n], v[5, start : start + n], v[6, start : start + n]
        g0, g1, g2 = out[0, start : start + n], out[1, start : start + n], out[2, start : start + n]
        for r in range(3):
            g = out[r, start : start + n]
            s0, s1, s2, s3, s4, s5, s6, b = (
                s[r, 0],
                s[r, 1],
                s[r, 2],
                s[r, 3],
                s[r, 4],
                s[r, 5],
                s[r, 6],
                offset[r],
            )
            for x in range(n):
                g[x] = (
                    b
                    + s0 * v0[x]
                    + s1 * v1[x]
                    + s2 * v2[x]
                    + s3 * v3[x]
                    + s4 * v4[x]
                    + s5 * v5[x]
                    + s6 * v6[x]
                )
        for c in range(width):
            p0, p1, p2, p3, p4, p5, p6, b = (
                p[c, 0],
                p[c, 1],
                p[c, 2],
                p[c, 3],
                p[c, 4],
                p[c, 5],
                p[c, 6],
                bias[c],
            )
            q0, q1, q2 = q[0, c], q[1, c], q[2, c]
            for x in range(n):
                h = (
                    b
                    + p0 * v0[x]
                    + p1 * v1[x]
                    + p2 * v2[x]
                    + p3 * v3[x]
                    + p4 * v4[x]
                    + p5 * v5[x]
                    + p6 * v6[x]
                )
                h = h if h > zero else zero
                g0[x] += q0 * h
                g1[x] += q1 * h
                g2[x] += q2 * h


@compiled
def synthesis_conv(g: Array, k: Array, out: Array) -> None:
    """See bitstream.synthesis_conv: (3, rows + 2, columns + 2) to (3, rows, columns)."""
    _, rows, columns = out.shape
    for o in range(3):
        for y in range(rows):
            into = out[o, y]
            centre = g[o, y + 1]
            for x in range(columns):
                into[x] = centre[x + 1]
            for i in range(3):
                for r in range(3):
                    line = g[i, y + r]
                    k0, k1, k2 = k[o, i, r, 0], k[o, i, r, 1], k[o, i, r, 2]
                    for x in range(columns):
                        into[x] = into[x] + k0 * line[x] + k1 * line[x + 1] + k2 * line[x + 2]
