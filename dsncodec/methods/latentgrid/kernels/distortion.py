"""Squared error of what upsampling and synthesis make of latent grids, and its gradients, by symbols and by weights.

Arrays are laid out as in ``latents``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....kernels.elementary import jit
from .latents import CHUNK, LANES, LEFT
from .matmul import dense, dense_add, dense_relu, dense_where, outer_add, sums_add

FloatArray = NDArray[np.float32]


class SynthesisNet(NamedTuple):
    """The layers from planes to colours: ``p`` (C, 8), P and its biases; ``q`` (4, C) and ``qb`` (4,), ``s`` (4, 8), padded
    with zeros; ``k`` (3, 3, 3, 3); the transposed matrices."""

    p: FloatArray
    q: FloatArray
    qb: FloatArray
    s: FloatArray
    k: FloatArray
    pt: FloatArray
    qt: FloatArray
    st: FloatArray


class SynthesisGradients(NamedTuple):
    """Gradients by the synthesis, shaped as ``SynthesisNet``."""

    p: FloatArray
    q: FloatArray
    qb: FloatArray
    s: FloatArray
    k: FloatArray


# --- upsampling


@jit
def upsample2x(x: Any, taps: Any, out: Any, rows: int, columns: int) -> None:
    """A plane at twice its size, (rows, columns) of ``out``: rows of x combined, then columns.

    Args:
        x: (h, w), out: at least (2h, 2w), less one where rows or columns are odd.
    """
    h, w = x.shape
    line = np.empty(w + 4, np.float32)
    a0, a1, a2, a3 = taps[0], taps[1], taps[2], taps[3]
    for y in range(rows):
        _combine(x, y, h, w, taps, line)
        for i in range(columns >> 1):
            out[y, 2 * i] = a0 * line[i] + a1 * line[i + 1] + a2 * line[i + 2] + a3 * line[i + 3]
            out[y, 2 * i + 1] = a3 * line[i + 1] + a2 * line[i + 2] + a1 * line[i + 3] + a0 * line[i + 4]
        if columns & 1:
            i = columns >> 1
            out[y, 2 * i] = a0 * line[i] + a1 * line[i + 1] + a2 * line[i + 2] + a3 * line[i + 3]


@jit
def _combine(x: Any, y: int, h: int, w: int, taps: Any, line: Any) -> None:
    """The row of x that lies at row y of the upsampled plane, with two columns repeated on either side."""
    i = y >> 1
    if y & 1:
        r0, r1, r2, r3 = min(i + 2, h - 1), min(i + 1, h - 1), i, max(i - 1, 0)
    else:
        r0, r1, r2, r3 = max(i - 2, 0), max(i - 1, 0), i, min(i + 1, h - 1)
    a0, a1, a2, a3 = taps[0], taps[1], taps[2], taps[3]
    for j in range(w):
        line[j + 2] = a0 * x[r0, j] + a1 * x[r1, j] + a2 * x[r2, j] + a3 * x[r3, j]
    line[0] = line[2]
    line[1] = line[2]
    line[w + 2] = line[w + 1]
    line[w + 3] = line[w + 1]


@jit
def upsample2x_back(x: Any, taps: Any, d: Any, rows: int, columns: int, dx: Any, dtaps: Any) -> None:
    """The gradient of ``upsample2x``: dx is set, dtaps is added to; d is the gradient by ``out``."""
    h, w = x.shape
    line = np.empty(w + 4, np.float32)
    back = np.empty(w + 4, np.float32)
    even = np.zeros(w + 8, np.float32)  # gradients by t[2i] and t[2i + 1] at i + 4
    odd = np.zeros(w + 8, np.float32)
    a0, a1, a2, a3 = taps[0], taps[1], taps[2], taps[3]
    zero = np.float32(0)
    for y in range(h):
        for j in range(w):
            dx[y, j] = zero
    for y in range(rows):
        _combine(x, y, h, w, taps, line)
        half = columns >> 1
        for i in range(half):
            even[i + 4] = d[y, 2 * i]
            odd[i + 4] = d[y, 2 * i + 1]
        if columns & 1:
            even[half + 4] = d[y, 2 * half]
            odd[half + 4] = zero
        s0 = s1 = s2 = s3 = zero
        for i in range(w):
            t, u = even[i + 4], odd[i + 4]
            s0 += t * line[i] + u * line[i + 4]
            s1 += t * line[i + 1] + u * line[i + 3]
            s2 += t * line[i + 2] + u * line[i + 2]
            s3 += t * line[i + 3] + u * line[i + 1]
        for j in range(w + 4):  # line[j] goes into t[2(j - k)] with a_k, into t[2(j - 4 + k) + 1] with a_k
            back[j] = a0 * even[j + 4] + a1 * even[j + 3] + a2 * even[j + 2] + a3 * even[j + 1]
            back[j] += a0 * odd[j] + a1 * odd[j + 1] + a2 * odd[j + 2] + a3 * odd[j + 3]
        back[2] += back[0] + back[1]
        back[w + 1] += back[w + 2] + back[w + 3]
        i = y >> 1
        if y & 1:
            r0, r1, r2, r3 = min(i + 2, h - 1), min(i + 1, h - 1), i, max(i - 1, 0)
        else:
            r0, r1, r2, r3 = max(i - 2, 0), max(i - 1, 0), i, min(i + 1, h - 1)
        for j in range(w):
            t = back[j + 2]
            s0 += t * x[r0, j]
            s1 += t * x[r1, j]
            s2 += t * x[r2, j]
            s3 += t * x[r3, j]
        for j in range(w):
            dx[r0, j] += a0 * back[j + 2]
        for j in range(w):
            dx[r1, j] += a1 * back[j + 2]
        for j in range(w):
            dx[r2, j] += a2 * back[j + 2]
        for j in range(w):
            dx[r3, j] += a3 * back[j + 2]
        dtaps[0] += s0
        dtaps[1] += s1
        dtaps[2] += s2
        dtaps[3] += s3


# --- synthesis


@jit
def _load(v: Any, y: int, x0: int, n: int, x: Any) -> None:
    """The first seven of x's eight rows; the last is of ones, for the biases."""
    for i in range(7):
        line = v[i, y, x0 : x0 + n]
        for p in range(n):
            x[i, p] = line[p]


@jit
def synthesis_mlp(v: Any, net: Any, rows: Any, g: Any) -> None:
    """Rows of the seven planes to g = Q max(0, P v + p) + S v + q, (3, rows + 2, columns): behind a border of one row
    above and LEFT columns, which repeats the edge.

    Args:
        v: (7, rows, columns + LANES).
        net: ``SynthesisNet``; rows: ``Rows``.
    """
    p_, q_, qb, s_ = net.p, net.q, net.qb, net.s
    first, last, width = rows
    x = np.ones((8, CHUNK), np.float32)
    h = np.empty((p_.shape[0], CHUNK), np.float32)
    o = np.empty((4, CHUNK), np.float32)
    height = v.shape[1]
    for y in range(first, last):
        for x0 in range(0, width, CHUNK):
            n = (min(CHUNK, width - x0) + LANES - 1) // LANES * LANES
            _load(v, y, x0, n, x)
            dense_relu(p_, x, h, n)
            dense(q_, qb, h, o, n)
            dense_add(s_, x, o, n)
            for j in range(3):
                line = g[j, y + 1, LEFT + x0 : LEFT + x0 + n]
                for p in range(n):
                    line[p] = o[j, p]
        for j in range(3):
            g[j, y + 1, LEFT - 1] = g[j, y + 1, LEFT]
            g[j, y + 1, LEFT + width] = g[j, y + 1, LEFT + width - 1]
            if y == 0:
                g[j, 0, LEFT - 1 : LEFT + width + 1] = g[j, 1, LEFT - 1 : LEFT + width + 1]
            if y == height - 1:
                g[j, height + 1, LEFT - 1 : LEFT + width + 1] = g[j, height, LEFT - 1 : LEFT + width + 1]


@jit
def squared_error(g: Any, k: Any, target: Any, rows: Any, scale: float, d: Any, dk: Any) -> float:
    """The squared error of rows of colours g + K * g, clipped to 0..1, summed. Its gradient times ``scale``, as if nothing
    were clipped on the way back, goes to d, (3, rows + 2, columns + 2 LEFT), and that of K is added to dk.

    Args:
        g: as ``synthesis_mlp`` leaves it.
        target: (3, rows, columns); rows: ``Rows``.
    """
    first, last, width = rows
    total = 0.0
    zero, one, two = np.float32(0), np.float32(1), np.float32(2 * scale)
    line = np.empty(width, np.float32)
    for y in range(first, last):
        for o in range(3):
            for p in range(width):
                line[p] = g[o, y + 1, LEFT + p]
            for r in range(3):
                a0, a1, a2 = k[o, 0, r, 0], k[o, 0, r, 1], k[o, 0, r, 2]
                b0, b1, b2 = k[o, 1, r, 0], k[o, 1, r, 1], k[o, 1, r, 2]
                c0, c1, c2 = k[o, 2, r, 0], k[o, 2, r, 1], k[o, 2, r, 2]
                for p in range(width):
                    line[p] += (
                        a0 * g[0, y + r, LEFT - 1 + p]
                        + a1 * g[0, y + r, LEFT + p]
                        + a2 * g[0, y + r, LEFT + 1 + p]
                        + b0 * g[1, y + r, LEFT - 1 + p]
                        + b1 * g[1, y + r, LEFT + p]
                        + b2 * g[1, y + r, LEFT + 1 + p]
                        + c0 * g[2, y + r, LEFT - 1 + p]
                        + c1 * g[2, y + r, LEFT + p]
                        + c2 * g[2, y + r, LEFT + 1 + p]
                    )
            s = zero
            for p in range(width):
                e = min(max(line[p], zero), one) - target[o, y, p]
                s += e * e
                d[o, y + 1, LEFT + p] = two * e
            total += float(s)
            for i in range(3):
                for r in range(3):
                    s0 = s1 = s2 = zero
                    for p in range(width):
                        e = d[o, y + 1, LEFT + p]
                        s0 += e * g[i, y + r, LEFT - 1 + p]
                        s1 += e * g[i, y + r, LEFT + p]
                        s2 += e * g[i, y + r, LEFT + 1 + p]
                    dk[o, i, r, 0] += s0
                    dk[o, i, r, 1] += s1
                    dk[o, i, r, 2] += s2
    return total


@jit
def synthesis_back(v: Any, d: Any, net: Any, rows: Any, grads: Any, sample: Any) -> None:
    """From the gradient by colours to those by planes, in the place of v, and, of the sampled rows, by weights, which are
    added to.

    Args:
        d: as ``squared_error`` leaves it, zeros around the picture.
        net: ``SynthesisNet``; grads: ``SynthesisGradients``, all but K's.
        rows: ``Rows``; sample: ``RowSample``.
    """
    p_, k, pt, qt, st = net.p, net.k, net.pt, net.qt, net.st
    dp, dq, dqb, ds, _ = grads
    first, last, width = rows
    every, turn = sample
    c = p_.shape[0]
    x = np.ones((8, CHUNK), np.float32)
    h = np.empty((c, CHUNK), np.float32)
    dh = np.empty((c, CHUNK), np.float32)
    o = np.zeros((4, CHUNK), np.float32)
    dx = np.empty((8, CHUNK), np.float32)
    kernel = np.empty((3, 3, 3, 3), np.float32)
    zero = np.float32(0)
    height = v.shape[1]
    for y in range(first, last):
        # row Y = y + 1 - r of colour j sees this row through K[j, i, r]; what lies beyond an edge is the edge's own row
        for j in range(3):
            for i in range(3):
                for t in range(3):
                    for r in range(3):
                        kernel[j, i, r, t] = k[j, i, r, t]
                    if y == 0:
                        kernel[j, i, 1, t] += k[j, i, 0, t]
                    if y == height - 1:
                        kernel[j, i, 1, t] += k[j, i, 2, t]
        for x0 in range(0, width, CHUNK):
            real = min(CHUNK, width - x0)
            n = (real + LANES - 1) // LANES * LANES
            at = LEFT + x0
            for i in range(3):
                line = d[i, y + 1, at : at + n]
                for p in range(n):
                    o[i, p] = line[p]
            for r in range(3):
                if not 0 <= y + 1 - r < height:
                    continue
                row = y + 2 - r
                d0, d1, d2 = (
                    d[0, row, at - 1 : at + n + 1],
                    d[1, row, at - 1 : at + n + 1],
                    d[2, row, at - 1 : at + n + 1],
                )
                for i in range(3):
                    a0, a1, a2 = kernel[0, i, r, 0], kernel[0, i, r, 1], kernel[0, i, r, 2]
                    b0, b1, b2 = kernel[1, i, r, 0], kernel[1, i, r, 1], kernel[1, i, r, 2]
                    c0, c1, c2 = kernel[2, i, r, 0], kernel[2, i, r, 1], kernel[2, i, r, 2]
                    for p in range(n):
                        o[i, p] += (
                            a0 * d0[p + 2]
                            + a1 * d0[p + 1]
                            + a2 * d0[p]
                            + b0 * d1[p + 2]
                            + b1 * d1[p + 1]
                            + b2 * d1[p]
                            + c0 * d2[p + 2]
                            + c1 * d2[p + 1]
                            + c2 * d2[p]
                        )
                    for j in range(3):
                        if x0 == 0:
                            o[i, 0] += kernel[j, i, r, 0] * d[j, row, LEFT]
                        if x0 + real == width:
                            o[i, real - 1] += kernel[j, i, r, 2] * d[j, row, LEFT + width - 1]
            for i in range(3):
                for p in range(real, n):
                    o[i, p] = zero
            _load(v, y, x0, n, x)
            dense_relu(p_, x, h, n)
            dense_where(qt, o, h, dh, n)
            if y % every == turn:
                outer_add(o, h, dq, n)
                sums_add(o, dqb, n)
                outer_add(o, x, ds, n)
                outer_add(dh, x, dp, n)
            for j in range(8):
                for p in range(n):
                    dx[j, p] = zero
            dense_add(pt, dh, dx, n)
            dense_add(st, o, dx, n)
            for i in range(7):
                line = v[i, y, x0 : x0 + n]
                for p in range(n):
                    line[p] = dx[i, p]
