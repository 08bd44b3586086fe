"""The synthesis' last filter for distortions that look at the whole picture: colours first, and the way back once their
gradient is known. For the squared error both are one loop, ``distortion.squared_error``.

Arrays are laid out as in ``latents``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ....kernels.elementary import jit
from .latents import LEFT


@jit
def _residual(g: Any, k: Any, o: int, y: int, width: int, line: Any) -> None:
    """A row of one colour, g + K * g, before it is clipped."""
    for p in range(width):
        line[p] = g[o, y + 1, LEFT + p]
    for r in range(3):
        for i in range(3):
            a0, a1, a2 = k[o, i, r, 0], k[o, i, r, 1], k[o, i, r, 2]
            source = g[i, y + r, LEFT - 1 : LEFT + width + 1]
            for p in range(width):
                line[p] += a0 * source[p] + a1 * source[p + 1] + a2 * source[p + 2]


@jit
def show(g: Any, k: Any, target: Any, rows: Any, out: Any) -> float:
    """Rows of g to colours, clipped to 0..1, (3, rows, columns); their squared error is given back, summed."""
    first, last, width = rows
    total = 0.0
    zero, one = np.float32(0), np.float32(1)
    line = np.empty(width, np.float32)
    for y in range(first, last):
        for o in range(3):
            _residual(g, k, o, y, width, line)
            shown, wanted = out[o, y], target[o, y]
            s = zero
            for p in range(width):
                shown[p] = min(max(line[p], zero), one)
                e = shown[p] - wanted[p]
                s += e * e
            total += float(s)
    return total


@jit
def colour_equations(v: Any, net: Any, g: Any, target: Any, y: int, a: Any, b: Any) -> None:
    """Adds the normal equations of a row's colours to a, the lower half of (C + 8, C + 8), and b (C + 8, 3): what max(0, P v + p), v and
    one, weighed anew, would best add to g where its colours differ from the target's.

    Args:
        v, net, g: as ``distortion.synthesis_mlp`` has them.
    """
    c, width = net.p.shape[0], target.shape[2]
    zero, one = np.float32(0), np.float32(1)
    missing = np.empty((3, width), np.float32)
    found = np.ones(c + 8)
    for o in range(3):
        _residual(g, net.k, o, y, width, missing[o])
        for p in range(width):
            missing[o, p] = target[o, y, p] - min(max(missing[o, p], zero), one)
    for p in range(width):
        for i in range(7):
            found[c + i] = v[i, y, p]
        for j in range(c):
            value = np.float64(net.p[j, 7])
            for i in range(7):
                value += net.p[j, i] * found[c + i]
            found[j] = max(value, 0.0)
        for i in range(c + 8):
            value = found[i]
            if value != 0:
                for j in range(i + 1):
                    a[i, j] += value * found[j]
                for o in range(3):
                    b[i, o] += value * missing[o, p]


@jit
def show_back(g: Any, by: Any, colours: Any, rows: Any, d: Any, dk: Any) -> None:
    """The gradient by colours (3, rows, columns) to d, laid out as ``colours`` of ``distortion`` does, and that of K to dk, which is
    added to: as if nothing were clipped, but where a step would lead further out. A distortion that looks at a pixel's
    neighbours asks for darker than black, and would do so at every step."""
    first, last, width = rows
    zero, one = np.float32(0), np.float32(1)
    for y in range(first, last):
        for o in range(3):
            out = d[o, y + 1, LEFT : LEFT + width]
            line, found = by[o, y], colours[o, y]
            for p in range(width):
                e = line[p]
                outwards = (found[p] <= zero and e > zero) or (found[p] >= one and e < zero)
                line[p] = zero if outwards else e
                out[p] = line[p]
            for i in range(3):
                for r in range(3):
                    source = g[i, y + r, LEFT - 1 : LEFT + width + 1]
                    s0 = s1 = s2 = zero
                    for p in range(width):
                        e = line[p]
                        s0 += e * source[p]
                        s1 += e * source[p + 1]
                        s2 += e * source[p + 2]
                    dk[o, i, r, 0] += s0
                    dk[o, i, r, 1] += s1
                    dk[o, i, r, 2] += s2


@jit
def squared(picture: Any, original: Any, form: Any, first: int, last: int) -> float:
    """The sum of e^T form e over rows of pictures (3, H, W), e the difference of a pixel's colours; form is (3, 3), symmetric."""
    total = 0.0
    q00, q11, q22, q01, q02, q12 = form[0, 0], form[1, 1], form[2, 2], form[0, 1], form[0, 2], form[1, 2]
    two = np.float32(2)
    for y in range(first, last):
        a0, a1, a2 = picture[0, y], picture[1, y], picture[2, y]
        b0, b1, b2 = original[0, y], original[1, y], original[2, y]
        s = np.float32(0)
        for x in range(len(a0)):
            d0, d1, d2 = a0[x] - b0[x], a1[x] - b1[x], a2[x] - b2[x]
            s += (q00 * d0 * d0 + q11 * d1 * d1 + q22 * d2 * d2) + two * (
                q01 * d0 * d1 + q02 * d0 * d2 + q12 * d1 * d2
            )
        total += float(s)
    return total


@jit
def squared_back(
    picture: Any, original: Any, form: Any, kept: Any, scale: Any, first: int, last: int, out: Any
) -> None:
    """Rows of ``out`` become kept times themselves, and scale times the gradient of ``squared`` more."""
    q00, q11, q22, q01, q02, q12 = form[0, 0], form[1, 1], form[2, 2], form[0, 1], form[0, 2], form[1, 2]
    twice = np.float32(2) * scale
    for y in range(first, last):
        a0, a1, a2 = picture[0, y], picture[1, y], picture[2, y]
        b0, b1, b2 = original[0, y], original[1, y], original[2, y]
        g0, g1, g2 = out[0, y], out[1, y], out[2, y]
        for x in range(len(a0)):
            d0, d1, d2 = a0[x] - b0[x], a1[x] - b1[x], a2[x] - b2[x]
            g0[x] = kept * g0[x] + twice * (q00 * d0 + q01 * d1 + q02 * d2)
            g1[x] = kept * g1[x] + twice * (q01 * d0 + q11 * d1 + q12 * d2)
            g2[x] = kept * g2[x] + twice * (q02 * d0 + q12 * d1 + q22 * d2)
