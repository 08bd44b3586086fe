"""What the kernels of the fit are made of: products of small matrices with long rows.

Rows are as long as the widest vector unit likes; small sides are multiples of 4, so that sixteen products at a time
stay in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ....kernels.elementary import jit


@jit
def dense(w: Any, b: Any, x: Any, out: Any, n: int) -> None:
    """out[:, :n] = w @ x[:, :n] + b; both sides of w are multiples of 4."""
    for j in range(0, w.shape[0], 4):
        for p in range(n):
            out[j, p] = b[j]
            out[j + 1, p] = b[j + 1]
            out[j + 2, p] = b[j + 2]
            out[j + 3, p] = b[j + 3]
    dense_add(w, x, out, n)


# The unrolled products read as a matrix: one row a line
# fmt: off
@jit
def dense_add(w: Any, x: Any, out: Any, n: int) -> None:
    """out[:, :n] += w @ x[:, :n], eight columns of w at a time, and four where four are left."""
    columns = w.shape[1]
    for j in range(0, w.shape[0], 4):
        for i in range(0, columns - 7, 8):
            a0, a1, a2, a3, a4, a5, a6, a7 = w[j, i], w[j, i + 1], w[j, i + 2], w[j, i + 3], w[j, i + 4], w[j, i + 5], w[j, i + 6], w[j, i + 7]
            b0, b1, b2, b3, b4, b5, b6, b7 = w[j + 1, i], w[j + 1, i + 1], w[j + 1, i + 2], w[j + 1, i + 3], w[j + 1, i + 4], w[j + 1, i + 5], w[j + 1, i + 6], w[j + 1, i + 7]
            c0, c1, c2, c3, c4, c5, c6, c7 = w[j + 2, i], w[j + 2, i + 1], w[j + 2, i + 2], w[j + 2, i + 3], w[j + 2, i + 4], w[j + 2, i + 5], w[j + 2, i + 6], w[j + 2, i + 7]
            d0, d1, d2, d3, d4, d5, d6, d7 = w[j + 3, i], w[j + 3, i + 1], w[j + 3, i + 2], w[j + 3, i + 3], w[j + 3, i + 4], w[j + 3, i + 5], w[j + 3, i + 6], w[j + 3, i + 7]
            for p in range(n):
                x0, x1, x2, x3, x4, x5, x6, x7 = x[i, p], x[i + 1, p], x[i + 2, p], x[i + 3, p], x[i + 4, p], x[i + 5, p], x[i + 6, p], x[i + 7, p]
                out[j, p] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3 + a4 * x4 + a5 * x5 + a6 * x6 + a7 * x7
                out[j + 1, p] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3 + b4 * x4 + b5 * x5 + b6 * x6 + b7 * x7
                out[j + 2, p] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3 + c4 * x4 + c5 * x5 + c6 * x6 + c7 * x7
                out[j + 3, p] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3 + d4 * x4 + d5 * x5 + d6 * x6 + d7 * x7
        if columns & 4:
            i = columns - 4
            a0, a1, a2, a3 = w[j, i], w[j, i + 1], w[j, i + 2], w[j, i + 3]
            b0, b1, b2, b3 = w[j + 1, i], w[j + 1, i + 1], w[j + 1, i + 2], w[j + 1, i + 3]
            c0, c1, c2, c3 = w[j + 2, i], w[j + 2, i + 1], w[j + 2, i + 2], w[j + 2, i + 3]
            d0, d1, d2, d3 = w[j + 3, i], w[j + 3, i + 1], w[j + 3, i + 2], w[j + 3, i + 3]
            for p in range(n):
                x0, x1, x2, x3 = x[i, p], x[i + 1, p], x[i + 2, p], x[i + 3, p]
                out[j, p] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                out[j + 1, p] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                out[j + 2, p] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                out[j + 3, p] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


@jit
def dense_relu(w: Any, x: Any, out: Any, n: int) -> None:
    """out[:, :n] = max(0, w @ x[:, :n]); w has eight columns."""
    zero = np.float32(0)
    for j in range(0, w.shape[0], 4):
        a0, a1, a2, a3, a4, a5, a6, a7 = w[j, 0], w[j, 1], w[j, 2], w[j, 3], w[j, 4], w[j, 5], w[j, 6], w[j, 7]
        b0, b1, b2, b3, b4, b5, b6, b7 = w[j + 1, 0], w[j + 1, 1], w[j + 1, 2], w[j + 1, 3], w[j + 1, 4], w[j + 1, 5], w[j + 1, 6], w[j + 1, 7]
        c0, c1, c2, c3, c4, c5, c6, c7 = w[j + 2, 0], w[j + 2, 1], w[j + 2, 2], w[j + 2, 3], w[j + 2, 4], w[j + 2, 5], w[j + 2, 6], w[j + 2, 7]
        d0, d1, d2, d3, d4, d5, d6, d7 = w[j + 3, 0], w[j + 3, 1], w[j + 3, 2], w[j + 3, 3], w[j + 3, 4], w[j + 3, 5], w[j + 3, 6], w[j + 3, 7]
        for p in range(n):
            x0, x1, x2, x3, x4, x5, x6, x7 = x[0, p], x[1, p], x[2, p], x[3, p], x[4, p], x[5, p], x[6, p], x[7, p]
            out[j, p] = max(a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3 + a4 * x4 + a5 * x5 + a6 * x6 + a7 * x7, zero)
            out[j + 1, p] = max(b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3 + b4 * x4 + b5 * x5 + b6 * x6 + b7 * x7, zero)
            out[j + 2, p] = max(c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3 + c4 * x4 + c5 * x5 + c6 * x6 + c7 * x7, zero)
            out[j + 3, p] = max(d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3 + d4 * x4 + d5 * x5 + d6 * x6 + d7 * x7, zero)
# fmt: on


@jit
def dense_where(w: Any, x: Any, gate: Any, out: Any, n: int) -> None:
    """out[:, :n] = w @ x[:, :n] where ``gate`` is above 0, else 0; w has four columns."""
    zero = np.float32(0)
    for j in range(0, w.shape[0], 4):
        a0, a1, a2, a3 = w[j, 0], w[j, 1], w[j, 2], w[j, 3]
        b0, b1, b2, b3 = w[j + 1, 0], w[j + 1, 1], w[j + 1, 2], w[j + 1, 3]
        c0, c1, c2, c3 = w[j + 2, 0], w[j + 2, 1], w[j + 2, 2], w[j + 2, 3]
        d0, d1, d2, d3 = w[j + 3, 0], w[j + 3, 1], w[j + 3, 2], w[j + 3, 3]
        for p in range(n):
            x0, x1, x2, x3 = x[0, p], x[1, p], x[2, p], x[3, p]
            a, b = a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3, b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
            c, d = c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3, d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
            out[j, p] = a if gate[j, p] > zero else zero
            out[j + 1, p] = b if gate[j + 1, p] > zero else zero
            out[j + 2, p] = c if gate[j + 2, p] > zero else zero
            out[j + 3, p] = d if gate[j + 3, p] > zero else zero


@jit
def outer_add(d: Any, x: Any, out: Any, n: int) -> None:
    """out += d[:, :n] @ x[:, :n].T: the gradient of a matrix."""
    zero = np.float32(0)
    for j in range(0, out.shape[0], 4):
        for i in range(0, out.shape[1], 4):
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zero
            s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = zero
            for p in range(n):
                d0, d1, d2, d3 = d[j, p], d[j + 1, p], d[j + 2, p], d[j + 3, p]
                x0, x1, x2, x3 = x[i, p], x[i + 1, p], x[i + 2, p], x[i + 3, p]
                s00 += d0 * x0
                s01 += d0 * x1
                s02 += d0 * x2
                s03 += d0 * x3
                s10 += d1 * x0
                s11 += d1 * x1
                s12 += d1 * x2
                s13 += d1 * x3
                s20 += d2 * x0
                s21 += d2 * x1
                s22 += d2 * x2
                s23 += d2 * x3
                s30 += d3 * x0
                s31 += d3 * x1
                s32 += d3 * x2
                s33 += d3 * x3
            out[j, i] += s00
            out[j, i + 1] += s01
            out[j, i + 2] += s02
            out[j, i + 3] += s03
            out[j + 1, i] += s10
            out[j + 1, i + 1] += s11
            out[j + 1, i + 2] += s12
            out[j + 1, i + 3] += s13
            out[j + 2, i] += s20
            out[j + 2, i + 1] += s21
            out[j + 2, i + 2] += s22
            out[j + 2, i + 3] += s23
            out[j + 3, i] += s30
            out[j + 3, i + 1] += s31
            out[j + 3, i + 2] += s32
            out[j + 3, i + 3] += s33


@jit
def sums_add(d: Any, out: Any, n: int) -> None:
    """out += the sums of the rows of d[:, :n]: the gradient of a bias."""
    for j in range(out.shape[0]):
        s = np.float32(0)
        for p in range(n):
            s += d[j, p]
        out[j] += s
