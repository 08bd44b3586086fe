"""SSIMULACRA 2 of pictures beside one original, and its gradient by the picture.

A picture goes from sRGB to linear light, is halved there, and each scale is compared in XYB: as ``metrics.ssimulacra2``
does it, without the errors of weights below LEAST_WEIGHT. Those are all of the last scale, and of the first one all but Y:
they cost most of the time and move a score by 0.05. All loops work on rows, so that threads may share them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .... import metrics
from ....kernels.elementary import exp2, inline, jit, log2

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]
# (work on rows first..last-1 of so many, the number of rows): the sums of what it gives
Rows = Callable[[Callable[[int, int], Any], int], Sequence[Any]]
# (linear light, the gradient by it, the slope that this is multiplied by afterwards)
Also = Callable[[Float32Array, Float32Array, float], None]

LEAST_WEIGHT = 0.01
RADIUS = len(metrics.SSIMULACRA2_TAPS) - 1
# Of a mean fourth power: below, an error counts as this
LEAST_FOURTH = 1e-28
# Of the weighted sum of errors: below, the distortion is proportional to it. It is a score of 97
LEAST_ERRORS = 0.07
# Numbers between two planes: loops over rows that nearly touch would round differently
BETWEEN = 64


class Reference(NamedTuple):
    """A channel of the original at one scale: itself, its local mean, its local variance + the metric's constant."""

    x: Any
    mean: Any
    variance: Any


class Shown(NamedTuple):
    """The same channel of the picture; and of what it differs from the original by, what the Gaussian makes of that, of its
    square, and of its product with the original; all (H, W). ``slope`` is room for the gradient.

    With the difference in the place of the picture, equal pictures have no error, to the last bit."""

    y: Any
    mean: Any
    square: Any
    product: Any
    slope: Any


class Prices(NamedTuple):
    """By how much the distortion grows with each error: a pixel's of the three maps, and their cubes'."""

    similarity: Any
    similarity3: Any
    more: Any
    more3: Any
    less: Any
    less3: Any


# --- sRGB, linear light, XYB


@jit
def _lighten(picture: Any, light: Any, first: int, last: int) -> None:
    """Rows of sRGB (3, H, W) to linear light."""
    for c in range(3):
        for y in range(first, last):
            line, out = picture[c, y], light[c, y]
            for x in range(len(line)):
                out[x] = _linear(line[x])


@inline
def _linear(v: Any) -> Any:
    u = (max(v, np.float32(0.04)) + np.float32(0.055)) * np.float32(1 / 1.055)
    curve = exp2(np.float32(2.4) * log2(u))
    return curve if v > np.float32(0.04045) else v * np.float32(1 / 12.92)


@inline
def _linear_slope(v: Any, light: Any) -> Any:
    u = max(v, np.float32(0.04)) + np.float32(0.055)
    return np.float32(2.4) * light / u if v > np.float32(0.04045) else np.float32(1 / 12.92)


@jit
def halve(fine: Any, coarse: Any, first: int, last: int) -> None:
    """Rows of means of 2 x 2 pixels; an odd side repeats its last row or column."""
    rows, columns = fine.shape[1], fine.shape[2]
    quarter = np.float32(0.25)
    for c in range(len(fine)):
        for y in range(first, last):
            a, b, out = fine[c, 2 * y], fine[c, min(2 * y + 1, rows - 1)], coarse[c, y]
            for x in range(columns >> 1):
                out[x] = ((a[2 * x] + a[2 * x + 1]) + (b[2 * x] + b[2 * x + 1])) * quarter
            if columns & 1:
                out[columns >> 1] = (a[columns - 1] + b[columns - 1]) * np.float32(0.5)


@jit
def halve_back(by_coarse: Any, by_fine: Any, first: int, last: int) -> None:
    """Adds to rows of ``by_fine`` what ``by_coarse`` says of them."""
    rows, columns = by_fine.shape[1], by_fine.shape[2]
    for c in range(len(by_fine)):
        for y in range(first, last):
            share = np.float32(0.5) if y == rows - 1 and rows & 1 else np.float32(0.25)
            line, out = by_coarse[c, y >> 1], by_fine[c, y]
            for x in range(columns >> 1):
                value = line[x] * share
                out[2 * x] += value
                out[2 * x + 1] += value
            if columns & 1:
                out[columns - 1] += line[columns >> 1] * share * np.float32(2)


@inline
def _cone(a: Any, b: Any, c: Any, r: Any, g: Any, blue: Any) -> Any:
    mixed = a * r + b * g + c * blue + np.float32(metrics.OPSIN_BIAS)
    return exp2(log2(max(mixed, np.float32(1e-9))) * np.float32(1 / 3))


@jit
def _see(light: Any, opsin: Any, planes: Any, wanted: int, first: int, last: int) -> None:
    """Rows of linear light to X, Y and B - Y: ``planes``, of which those of the bits of ``wanted`` are set."""
    a0, a1, a2 = opsin[0, 0], opsin[0, 1], opsin[0, 2]
    b0, b1, b2 = opsin[1, 0], opsin[1, 1], opsin[1, 2]
    c0, c1, c2 = opsin[2, 0], opsin[2, 1], opsin[2, 2]
    base = np.float32(np.cbrt(metrics.OPSIN_BIAS))
    half = np.float32(0.5)
    for y in range(first, last):
        r, g, b = light[0, y], light[1, y], light[2, y]
        out_x, out_y, out_b = planes[0][y], planes[1][y], planes[2][y]
        for x in range(len(r)):
            long = _cone(a0, a1, a2, r[x], g[x], b[x])
            middle = _cone(b0, b1, b2, r[x], g[x], b[x])
            out_y[x] = (long + middle) * half + np.float32(0.01) - base
        if wanted & 1:
            for x in range(len(r)):
                long = _cone(a0, a1, a2, r[x], g[x], b[x])
                out_x[x] = (long - out_y[x] + np.float32(0.01) - base) * np.float32(14) + np.float32(0.42)
        if wanted & 4:
            for x in range(len(r)):
                short = _cone(c0, c1, c2, r[x], g[x], b[x])
                out_b[x] = short - base - out_y[x] + np.float32(0.56)


@jit
def _see_back(light: Any, opsin: Any, by: Any, wanted: int, by_light: Any, first: int, last: int) -> None:
    """Sets rows of the gradient by light from those by X, Y and B - Y, of which those of the bits of ``wanted`` count."""
    a0, a1, a2 = opsin[0, 0], opsin[0, 1], opsin[0, 2]
    b0, b1, b2 = opsin[1, 0], opsin[1, 1], opsin[1, 2]
    c0, c1, c2 = opsin[2, 0], opsin[2, 1], opsin[2, 2]
    half, third, seven = np.float32(0.5), np.float32(1 / 3), np.float32(7)
    columns = light.shape[2]
    colour, blue = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    for y in range(first, last):
        r, g, b = light[0, y], light[1, y], light[2, y]
        out0, out1, out2 = by_light[0, y], by_light[1, y], by_light[2, y]
        if wanted & 1:
            line = by[0][y]
            for x in range(columns):
                colour[x] = line[x] * seven
        if wanted & 4:
            line = by[2][y]
            for x in range(columns):
                blue[x] = line[x]
        by_y = by[1][y]
        for x in range(columns):
            long = _cone(a0, a1, a2, r[x], g[x], b[x])
            middle = _cone(b0, b1, b2, r[x], g[x], b[x])
            both = (by_y[x] - blue[x]) * half
            d0 = (both + colour[x]) * third / (long * long)
            d1 = (both - colour[x]) * third / (middle * middle)
            out0[x] = a0 * d0 + b0 * d1
            out1[x] = a1 * d0 + b1 * d1
            out2[x] = a2 * d0 + b2 * d1
        if wanted & 4:
            for x in range(columns):
                short = _cone(c0, c1, c2, r[x], g[x], b[x])
                d2 = blue[x] * third / (short * short)
                out0[x] += c0 * d2
                out1[x] += c1 * d2
                out2[x] += c2 * d2


@jit
def _lighten_back(
    picture: Any, light: Any, by_light: Any, scale: Any, out: Any, first: int, last: int
) -> None:
    """Sets rows of the gradient by sRGB: ``scale`` times that by light."""
    for c in range(3):
        for y in range(first, last):
            value, linear, slope, by = picture[c, y], light[c, y], by_light[c, y], out[c, y]
            for x in range(len(value)):
                by[x] = scale * slope[x] * _linear_slope(value[x], linear[x])


# --- one channel at one scale


@inline
def _nine(t0: Any, t1: Any, t2: Any, t3: Any, t4: Any, v: Any, x: Any) -> Any:
    """The Gaussian at a place of a padded line."""
    return (
        t0 * v[x + 4]
        + t1 * (v[x + 3] + v[x + 5])
        + t2 * (v[x + 2] + v[x + 6])
        + t3 * (v[x + 1] + v[x + 7])
        + t4 * (v[x] + v[x + 8])
    )


@jit
def across_nine(line: Any, taps: Any, out: Any, n: int) -> None:
    """n places of a padded line, blurred."""
    t0, t1, t2, t3, t4 = taps[0], taps[1], taps[2], taps[3], taps[4]
    for x in range(n):
        out[x] = _nine(t0, t1, t2, t3, t4, line, x)


@jit
def _down(ring: Any, q: int, at: Any, taps: Any, out: Any, n: int) -> None:
    """n places of nine lines of a ring, blurred; ``at`` says where in the ring each of the lines lies."""
    t0, t1, t2, t3, t4 = taps[0], taps[1], taps[2], taps[3], taps[4]
    r0, r1, r2 = ring[at[0], q], ring[at[1], q], ring[at[2], q]
    r3, r4, r5 = ring[at[3], q], ring[at[4], q], ring[at[5], q]
    r6, r7, r8 = ring[at[6], q], ring[at[7], q], ring[at[8], q]
    for x in range(n):
        out[x] = (
            t0 * r4[x]
            + t1 * (r3[x] + r5[x])
            + t2 * (r2[x] + r6[x])
            + t3 * (r1[x] + r7[x])
            + t4 * (r0[x] + r8[x])
        )


@jit
def _pad(line: Any, across: Any, out: Any) -> None:
    """A line between its mirror images; what each place reads is in ``across``."""
    columns = len(line)
    for x in range(columns):
        out[x + 4] = line[x]
    for x in range(4):
        out[x] = line[across[x]]
        out[columns + 4 + x] = line[across[columns + 4 + x]]


@jit
def _blur_rows(seen: Any, shown: Any, taps: Any, down: Any, across: Any, first: int, last: int) -> None:
    """Sets rows of ``mean``, ``square`` and ``product`` of a channel."""
    rows, columns = shown.y.shape
    padded = np.empty((3, columns + 72), np.float32)
    line = np.empty((2, columns + 72), np.float32)
    ring = np.empty((9, 3, columns + 64), np.float32)
    at = np.empty(9, np.int64)
    # a row of the picture lies in slot row % 9: nine rows, as any that are needed together are less than nine apart
    low, high = rows, 0
    for j in range(first, last + 8):
        low, high = min(low, down[j]), max(high, down[j] + 1)
    ready = low
    for y in range(first, last):
        needed = 0
        for k in range(9):
            needed = max(needed, down[y + k] + 1)
            at[k] = down[y + k] % 9
        while ready < needed:
            _pad(shown.y[ready], across, line[0])
            _pad(seen.x[ready], across, line[1])
            for x in range(columns + 8):
                u = line[1, x]
                v = line[0, x] - u
                padded[0, x] = v
                padded[1, x] = v * v
                padded[2, x] = v * u
            slot = ready % 9
            for q in range(3):
                across_nine(padded[q], taps, ring[slot, q], columns)
            ready += 1
        _down(ring, 0, at, taps, shown.mean[y], columns)
        _down(ring, 1, at, taps, shown.square[y], columns)
        _down(ring, 2, at, taps, shown.product[y], columns)


@jit
def _sum_errors(seen: Any, shown: Any, constant: Any, edges: bool, first: int, last: int) -> Any:
    """(6,): sums over rows of the three maps (lost similarity, edges more, edges less), and of their fourth powers."""
    one, two, zero = np.float32(1), np.float32(2), np.float32(0)
    total = np.zeros(6)
    for row in range(first, last):
        a, means, variances = seen.x[row], seen.mean[row], seen.variance[row]
        b, steps, squares, products = shown.y[row], shown.mean[row], shown.square[row], shown.product[row]
        f0 = f1 = zero
        for x in range(len(a)):
            step = steps[x]
            spread = squares[x] - step * step
            # twice the covariance + constant, and both variances + constant
            above = two * (variances[x] + products[x] - means[x] * step) - constant
            error = max((spread + step * step * above) / (above + spread), zero)
            f0 += error
            error *= error
            f1 += error * error
        total[0] += float(f0)
        total[3] += float(f1)
        if edges:
            f2 = f3 = f4 = f5 = zero
            for x in range(len(a)):
                edge = (one + abs(b[x] - (means[x] + steps[x]))) / (one + abs(a[x] - means[x])) - one
                more, less = max(edge, zero), max(-edge, zero)
                f2 += more
                f4 += less
                more *= more
                less *= less
                f3 += more * more
                f5 += less * less
            total[1] += float(f2)
            total[2] += float(f4)
            total[4] += float(f3)
            total[5] += float(f5)
    return total


@jit
def _slopes_of_row(
    seen: Any, shown: Any, prices: Any, constant: Any, edges: bool, row: int, out: Any, own: Any
) -> None:
    """The gradient of a row's errors by mean, square and product, to out (3, W), and by the picture itself, to ``own``."""
    one, two, zero = np.float32(1), np.float32(2), np.float32(0)
    a, means, variances = seen.x[row], seen.mean[row], seen.variance[row]
    b, steps, squares, products = shown.y[row], shown.mean[row], shown.square[row], shown.product[row]
    by_mean, by_square, by_product = out[0], out[1], out[2]
    once, cube = prices.similarity, prices.similarity3
    for x in range(len(a)):
        m, step = means[x], steps[x]
        square = step * step
        spread = squares[x] - square
        above = two * (variances[x] + products[x] - m * step) - constant
        inverse = one / (above + spread)
        error = max((spread + square * above) * inverse, zero)
        g = (once + cube * error * error * error) * inverse if error > zero else zero
        by_spread, by_above = g * (one - error), g * (square - error)
        by_square[x] = by_spread
        by_product[x] = two * by_above
        by_mean[x] = two * (step * (g * above - by_spread) - m * by_above)
    if not edges:
        return
    more_once, more_cube, less_once, less_cube = prices.more, prices.more3, prices.less, prices.less3
    for x in range(len(a)):
        away = b[x] - (means[x] + steps[x])
        inverse = one / (one + abs(a[x] - means[x]))
        edge = (one + abs(away)) * inverse - one
        more, less = max(edge, zero), max(-edge, zero)
        g = more_once + more_cube * more * more * more if edge > zero else zero
        g -= less_once + less_cube * less * less * less if edge < zero else zero
        g *= inverse if away > zero else -inverse
        own[x] = g if away != zero else zero
        by_mean[x] -= own[x]


@jit
def _back_rows(
    seen: Any,
    shown: Any,
    prices: Any,
    constant: Any,
    edges: bool,
    taps: Any,
    down: Any,
    across: Any,
    first: int,
    last: int,
) -> None:
    """Sets rows of ``slope``: the gradient of a channel's errors by the picture.

    The Gaussian's own gradient is the Gaussian again, as wide as the mirror images, which are then folded back.
    """
    rows, columns = shown.y.shape
    ring = np.zeros((9, 3, columns + 64), np.float32)
    own = np.zeros((9, columns + 64), np.float32)
    at = np.empty(9, np.int64)
    line = np.zeros((3, columns + 80), np.float32)
    wide = np.empty((3, columns + 72), np.float32)
    two, zero = np.float32(2), np.float32(0)
    for y in range(first, last):
        out = shown.slope[y]
        for x in range(columns):
            out[x] = zero
    done = -1
    for j in range(rows + 8):
        y = down[j]
        if not first <= y < last:
            continue
        # row y reads its slopes from rows j - 8 .. j; those outside of the picture have none
        for row in range(max(j - 8, done + 1), j + 1):
            slot = row % 9
            if row < rows:
                _slopes_of_row(seen, shown, prices, constant, edges, row, ring[slot], own[slot])
            else:
                for q in range(3):
                    for x in range(columns):
                        ring[slot, q, x] = zero
        done = j
        for k in range(9):
            at[k] = (j + 1 + k) % 9
        for q in range(3):
            _down(ring, q, at, taps, line[q, 8:], columns)
            across_nine(line[q], taps, wide[q], columns + 8)
            for x in range(4):
                _fold(wide[q], across, x, columns)
        out, u, v = shown.slope[y], seen.x[y], shown.y[y]
        w0, w1, w2 = wide[0, 4:], wide[1, 4:], wide[2, 4:]
        for x in range(columns):
            out[x] += w0[x] + two * (v[x] - u[x]) * w1[x] + u[x] * w2[x]
        if edges and j == y + 4:
            straight = own[y % 9]
            for x in range(columns):
                out[x] += straight[x]


@inline
def _fold(wide: Any, across: Any, x: Any, columns: Any) -> None:
    """What mirror images hold, to the places that they are of."""
    wide[4 + across[x]] += wide[x]
    wide[4 + across[columns + 4 + x]] += wide[columns + 4 + x]


# --- the whole


@dataclass(frozen=True)
class _Channel:
    """One of X, Y and B - Y at one scale, with the weights of its errors, (2 norms, 3 maps)."""

    seen: Reference
    shown: Shown
    weights: FloatArray

    @property
    def edges(self) -> bool:
        """Whether the maps of edges count."""
        return bool(self.weights[:, 1:].any())


@dataclass(frozen=True)
class _Scale:
    """A picture's size, its linear light, the gradient by that, and the channels that count there."""

    light: Float32Array
    by_light: Float32Array
    channels: dict[int, _Channel]
    # which row, and which column, each place of a padded side reads
    down: NDArray[np.int64]
    across: NDArray[np.int64]

    @property
    def wanted(self) -> int:
        """The channels as bits."""
        return sum(1 << channel for channel in self.channels)

    def planes(
        self, of: Callable[[_Channel], Float32Array]
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        """A plane of each channel; where one does not count, another's, which nobody looks at. Y always counts."""
        x, y, b = (of(self.channels.get(channel, self.channels[1])) for channel in range(3))
        return x, y, b


class Ssimulacra2:
    """SSIMULACRA 2 of pictures beside one original, and its gradient.

    The distortion is what a score lacks to 100: 10 at a score of 90, 50 at one of 50. Below LEAST_ERRORS it is
    proportional to the sum of errors, as its slope would have no bound. All in float32, but for sums. It keeps
    some 24 bytes for a pixel, and 62 in ``scratch``.

    Args:
        original: (3, H, W) float32, sRGB in [0, 1], sides of at least 1.
        rows: how work on rows is shared, see ``Rows``; default: it is not.
        scratch: where its planes lie; default: its own.
    """

    def __init__(
        self, original: Float32Array, rows: Rows | None = None, scratch: Scratch | None = None
    ) -> None:
        self._rows, self._scratch = rows or alone, scratch or Scratch()
        self._taps = metrics.SSIMULACRA2_TAPS.astype(np.float32)
        self._opsin = metrics.OPSIN.astype(np.float32)
        self._constant = np.float32(metrics.SSIMULACRA2_CONSTANT)
        self._scales: list[_Scale] = []
        sides = original.shape[1:]
        for weights in _WEIGHTS:
            self._scales.append(self._scale((sides[0], sides[1]), weights))
            sides = tuple(-(-side // 2) for side in sides)
        self._show(original)
        for scale in self._scales:
            for channel in scale.channels.values():
                seen, shown = channel.seen, channel.shown
                # beside nothing, a picture is its own difference
                self._blur(scale, channel)
                np.copyto(seen.x, shown.y)
                np.copyto(seen.mean, shown.mean)
                np.copyto(seen.variance, (shown.square - np.square(shown.mean)) + self._constant)

    def _scale(self, sides: tuple[int, int], weights: FloatArray) -> _Scale:
        number = len(self._scales)

        def room(name: str, shape: tuple[int, ...]) -> Float32Array:
            return self._scratch.plane(f"scale {number} {name}", shape)

        channels = {
            channel: _Channel(
                Reference(*(plane(sides) for _ in Reference._fields)),
                Shown(*(room(f"{name} {channel}", sides) for name in Shown._fields)),
                weights[channel],
            )
            for channel in range(3)
            if channel == 1 or weights[channel].any()
        }
        down, across = (np.pad(np.arange(side), RADIUS, "reflect" if side > 1 else "edge") for side in sides)
        return _Scale(room("light", (3, *sides)), room("by light", (3, *sides)), channels, down, across)

    def value(self, picture: Float32Array) -> float:
        """100 less the score of a picture (3, H, W) in [0, 1], about."""
        self._show(picture)
        return distortion(self._errors()[0])[0]

    @property
    def light(self) -> Float32Array:
        """The linear light (3, H, W) of the picture that was compared last; of the original, if none was."""
        return self._scales[0].light

    def value_and_gradient(self, picture: Float32Array, out: Float32Array, also: Also | None = None) -> float:
        """The same, and its gradient by the picture, which is set, (3, H, W).

        Args:
            also: called with the linear light, the gradient by it before it is multiplied by the slope of the score, which it may
                add to, and that slope.
        """
        self._show(picture)
        errors, prices = self._errors()
        value, slope = distortion(errors)
        for number in reversed(range(len(self._scales))):
            self._back(number, prices[number])
        finest = self._scales[0]
        if also is not None:
            also(finest.light, finest.by_light, slope)
        self._share(finest, _lighten_back, picture, finest.light, finest.by_light, np.float32(slope), out)
        return value

    def _show(self, picture: Float32Array) -> None:
        """A picture to X, Y and B - Y of all scales."""
        for number, scale in enumerate(self._scales):
            if number == 0:
                self._share(scale, _lighten, picture, scale.light)
            else:
                self._share(scale, halve, self._scales[number - 1].light, scale.light)
            self._share(scale, _see, scale.light, self._opsin, scale.planes(_shown), scale.wanted)

    def _blur(self, scale: _Scale, channel: _Channel) -> None:
        self._share(scale, _blur_rows, channel.seen, channel.shown, self._taps, scale.down, scale.across)

    def _errors(self) -> tuple[float, list[dict[int, Prices]]]:
        """The weighted sum of errors; and by how much it grows with those of a pixel, for each scale and channel."""
        total = 0.0
        prices: list[dict[int, Prices]] = []
        for scale in self._scales:
            pixels = scale.light.shape[1] * scale.light.shape[2]
            prices.append({})
            for number, channel in scale.channels.items():
                self._blur(scale, channel)
                sums = sum(
                    self._share(
                        scale, _sum_errors, channel.seen, channel.shown, self._constant, channel.edges
                    )
                )
                once, fourth = (sums / pixels).reshape(2, 3)
                fourth = np.maximum(fourth, LEAST_FOURTH)
                total += float(channel.weights[0] @ once + channel.weights[1] @ fourth**0.25)
                steps = channel.weights / pixels
                steps[1] *= fourth**-0.75
                prices[-1][number] = Prices(*steps.T.astype(np.float32).ravel())
        return total, prices

    def _back(self, number: int, prices: dict[int, Prices]) -> None:
        """Sets a scale's gradient by light; the next one's is there."""
        scale = self._scales[number]
        for at, channel in scale.channels.items():
            self._share(
                scale,
                _back_rows,
                channel.seen,
                channel.shown,
                prices[at],
                self._constant,
                channel.edges,
                self._taps,
                scale.down,
                scale.across,
            )
        self._share(
            scale, _see_back, scale.light, self._opsin, scale.planes(_slope), scale.wanted, scale.by_light
        )
        if number + 1 < len(self._scales):
            self._share(scale, halve_back, self._scales[number + 1].by_light, scale.by_light)

    def _share(self, scale: _Scale, kernel: Callable[..., Any], *args: Any) -> Sequence[Any]:
        """A kernel over all rows of a scale; what its parts give."""
        return self._rows(lambda first, last: kernel(*args, first, last), scale.light.shape[1])


def distortion(errors: float) -> tuple[float, float]:
    """What a score lacks to 100 with such a sum of errors, and its slope."""
    if errors < LEAST_ERRORS:
        value = 100 - metrics.ssimulacra2_score(LEAST_ERRORS)
        return value * errors / LEAST_ERRORS, value / LEAST_ERRORS
    value, step = metrics.ssimulacra2_score(errors), 1e-4 * errors
    less, more = (metrics.ssimulacra2_score(errors + sign * step) for sign in (-1, 1))
    return 100 - value, (less - more) / (2 * step)


def _shown(channel: _Channel) -> Float32Array:
    plane: Float32Array = channel.shown.y
    return plane


def _slope(channel: _Channel) -> Float32Array:
    plane: Float32Array = channel.shown.slope
    return plane


def alone(work: Callable[[int, int], Any], count: int) -> Sequence[Any]:
    """Rows that nobody shares."""
    return [work(0, count)]


def plane(shape: tuple[int, ...]) -> Float32Array:
    """Zeros, with BETWEEN numbers behind them."""
    size = int(np.prod(shape))
    return np.zeros(size + BETWEEN, np.float32)[:size].reshape(shape)


class Scratch:
    """Planes by name, with BETWEEN numbers behind them, for objects that take turns: what one leaves there lasts until the next one
    is at work. The largest that a name has had is kept."""

    def __init__(self) -> None:
        self._numbers: dict[str, Float32Array] = {}

    def plane(self, name: str, shape: tuple[int, ...]) -> Float32Array:
        """Of any content."""
        size = int(np.prod(shape))
        if name not in self._numbers or len(self._numbers[name]) < size + BETWEEN:
            self._numbers[name] = np.zeros(size + BETWEEN, np.float32)
        return self._numbers[name][:size].reshape(shape)


def _kept_weights() -> list[FloatArray]:
    """Of each scale that counts, (3, 2, 3): SSIMULACRA2_WEIGHTS but for the small ones."""
    weights = metrics.SSIMULACRA2_WEIGHTS.transpose(1, 0, 2, 3)
    kept = np.where(weights < LEAST_WEIGHT, 0, weights)
    return [of for of in kept if of.any()]


_WEIGHTS = _kept_weights()
