"""What SSIMULACRA 2 sums over a plane: three maps of errors, and their fourth powers.

Every operation is one of float32, in the order in which ``dsncodec.metrics`` does it with NumPy, so that both come to the
same maps; only the sums, which are double, may differ in their last bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compile import compiled

QUANTITIES = 5  # both planes, their squares, their product


def _sums(a: Any, b: Any, taps: Any, down: Any, across: Any, constant: Any) -> Any:
    """The sums over both planes (H, W) float32: (2, 3), of the maps and of their fourth powers.

    Args:
        taps: the Gaussian from its middle outwards, (R + 1,).
        down, across: which row, and which column, each tap of a padded side reads, (H + 2R,) and (W + 2R,).
        constant: of the similarity's quotient, float32.
    """
    rows, columns = a.shape
    radius = len(taps) - 1
    size = 2 * radius + 1
    padded = np.empty((QUANTITIES, columns + 2 * radius), np.float32)
    # the last rows, blurred across
    ring = np.empty((size, QUANTITIES, columns), np.float32)
    row_of = np.empty(size, np.int64)
    mean = np.empty((QUANTITIES, columns), np.float32)
    # of each column: [map, power]
    total = np.zeros((6, columns))
    one, two, zero = np.float32(1), np.float32(2), np.float32(0)
    for row in range(rows + radius):
        if row < rows:
            for x in range(columns + 2 * radius):
                u, v = a[row, across[x]], b[row, across[x]]
                padded[0, x] = u
                padded[1, x] = v
                padded[2, x] = u * u
                padded[3, x] = v * v
                padded[4, x] = u * v
            slot = row % size
            for q in range(QUANTITIES):
                line, out = padded[q], ring[slot, q]
                for x in range(columns):
                    out[x] = taps[0] * line[x + radius]
                for k in range(1, radius + 1):
                    for x in range(columns):
                        out[x] += taps[k] * (line[x + radius - k] + line[x + radius + k])
        y = row - radius
        if y < 0:
            continue
        for k in range(size):
            row_of[k] = down[y + k] % size
        for q in range(QUANTITIES):
            out = mean[q]
            line = ring[row_of[radius], q]
            for x in range(columns):
                out[x] = taps[0] * line[x]
            for k in range(1, radius + 1):
                above, below = ring[row_of[radius - k], q], ring[row_of[radius + k], q]
                for x in range(columns):
                    out[x] += taps[k] * (above[x] + below[x])
        for x in range(columns):
            m1, m2 = mean[0, x], mean[1, x]
            step = m1 - m2
            above_line = two * (mean[4, x] - m1 * m2) + constant
            below_line = (mean[2, x] - m1 * m1) + (mean[3, x] - m2 * m2) + constant
            error = max(one - (one - step * step) * above_line / below_line, zero)
            edge = (one + abs(b[y, x] - m2)) / (one + abs(a[y, x] - m1)) - one
            more, less = max(edge, zero), max(-edge, zero)
            total[0, x] += error
            total[1, x] += more
            total[2, x] += less
            error *= error
            more *= more
            less *= less
            total[3, x] += error * error
            total[4, x] += more * more
            total[5, x] += less * less
    found = np.empty((2, 3))
    for i in range(6):
        found[i // 3, i % 3] = total[i].sum()
    return found


sums = compiled(_sums, error_model="numpy")
