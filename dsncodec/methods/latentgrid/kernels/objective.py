"""The loss of a file of method "latentgrid" and its gradient: one pass over the picture, forward and backward.

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

from ....kernels.elementary import exp2, inline, jit, log2
from .matmul import dense, dense_add, dense_relu, dense_where, outer_add, sums_add

FloatArray = NDArray[np.float32]
Arrays = tuple[FloatArray, ...]

LEFT = 8  # columns of zeros before a grid
CHUNK = 768  # cells of a row that are worked on at a time: shorter ones spend as much on what comes before the loops
LANES = 16  # a chunk's length is a multiple, and rows are that much longer
# 1 / b of the Laplace distribution, at 0 octaves
INVERSE_SCALE = np.float32(50)
MAX_OCTAVES = np.float32(11.875)
_LOG2_E = np.float32(1.4426950408889634)
_SPATIAL = np.array(
    [
        (0, -1),
        (0, -2),
        (0, -3),
        (-1, -2),
        (-1, -1),
        (-1, 0),
        (-1, 1),
        (-1, 2),
        (-2, -1),
        (-2, 0),
        (-2, 1),
        (-3, 0),
    ]
)


class Rows(NamedTuple):
    """Rows ``first``..``last`` - 1 of the picture, and its columns."""

    first: int
    last: int
    width: int


class RowSample(NamedTuple):
    """The rows that gradients by matrices are taken from: one in ``every``, those with y % every == offset."""

    every: int
    offset: int


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


class LatentState(NamedTuple):
    """One array for each grid: its latents, (rows, columns); its symbols, padded; the derivative of symbols by latents; and
    Adam's means of the gradient and of its square."""

    latents: Arrays
    symbols: Arrays
    slopes: Arrays
    means: Arrays
    squares: Arrays


class AdamStep(NamedTuple):
    """Size of a step, what gradients of bits count beside those of squared error, 1 / (1 - beta^t) and beta of both means."""

    size: float
    rate_scale: float
    inverse1: float
    inverse2: float
    beta1: float
    beta2: float


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


def row_length(width: int) -> int:
    """Columns of the array of a grid that is so wide."""
    return LEFT + -(-width // LANES) * LANES + LANES


# --- latents to symbols


@inline
def _soft_rounded(x: Any, sharpness: Any, scale: Any) -> Any:
    """(value, derivative): floor(x) + 1/2 + tanh(s r) / (2 tanh(s / 2)), r = x - floor(x) - 1/2."""
    whole = np.floor(x)
    r = x - whole - np.float32(0.5)
    e = exp2(r * sharpness * np.float32(2) * _LOG2_E)
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
    size, scale = np.float32(adam.size), np.float32(adam.rate_scale)
    i1, i2 = np.float32(adam.inverse1), np.float32(adam.inverse2)
    one, tiny, limit = np.float32(1), np.float32(1e-12), np.float32(127)
    for k in range(len(state.latents)):
        y, slope, mean, square = state.latents[k], state.slopes[k], state.means[k], state.squares[k]
        rate, error = grad_rate[k], grad_error[k]
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


# --- the context network


@jit
def _read_contexts(symbols: Any, rows: Any, x0: int, n: int, x: Any) -> None:
    """Sixteen rows of n contexts of the cells from column x0 on; ``rows`` as ``_context_rows`` has it."""
    q, q1, q2 = symbols
    c = LEFT + x0
    for i in range(12):
        shift = c + _SPATIAL[i, 1]
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
def _context_rows(y: int, band: Any, rows: Any) -> None:
    """Which array rows the contexts of row y lie in; 0 is the row of zeros.

    Args:
        band: first row of the grid's band, of the next grid's, its end, and of the one after, its end.
    """
    top, top1, end1, top2, end2 = band[0], band[1], band[2], band[3], band[4]
    for i in range(12):
        at = y + _SPATIAL[i, 0]
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
        shift = c + _SPATIAL[i, 1]
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
    e = exp2(-inverse * _LOG2_E)  # over a whole symbol
    e1 = exp2(-abs(near) * inverse * _LOG2_E)
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
    bits = (zero if near > zero else beyond * _LOG2_E) - log2(max(p, np.float32(1e-30)))
    by_a = by_a_near if near > zero else inverse
    by_octaves = by_octaves_near if near > zero else by_octaves_far
    by_z = (by_a if z > zero else -by_a) * _LOG2_E
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
    context_rows = np.zeros(15, np.int64)
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
            _context_rows(y, band, context_rows)
            for x0 in range(0, task.width, CHUNK):
                real = min(CHUNK, task.width - x0)
                n = (real + LANES - 1) // LANES * LANES
                _read_contexts(stack, context_rows, x0, n, x)
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
                _write_gradients(grad_stack, context_rows, x0, n, e)
        bits[i] = total
    return bits


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
