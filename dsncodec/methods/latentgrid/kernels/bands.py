"""Errors of a picture in bands of frequency, masked by what the original has there, and their gradient.

A simplified Butteraugli: differences of linear light, as the cones of an eye answer that has adapted to the original, in four bands
an octave wide; each squared error is weighed by a mask of the original's activity, and the largest errors count most (a 5-norm
over pixels). Linear but for the masks, without Butteraugli's lines of pixels (Malta), its asymmetry and its second scale. Weights
were fitted to Butteraugli's own maps of errors: docs/decisions/0021-visual-fit.md. All loops work on rows, so that threads may
share them.

Source: the model of cones, masks and bands is that of Butteraugli as libjxl 0.7 has it (lib/jxl/butteraugli).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....kernels.elementary import jit
from .ssimulacra2_gradient import Float32Array, Rows, Scratch, across_nine, alone, halve, halve_back, plane

FloatArray = NDArray[np.float64]

# Cones: mixtures of linear RGB of 80 cd/m2, what they answer in the dark, and how they saturate
CONES = np.array(
    [
        [0.29956550340058319, 0.63373087833825936, 0.077705617820981968],
        [0.22158691104574774, 0.69391388044116142, 0.0987313588422],
        [0.02, 0.02, 0.20480129041026129],
    ]
)
DARK = np.array([1.7557483643287353, 1.7557483643287353, 12.226454707163354])
LIGHT, STEEP, BENT, BELOW = 80.0, 19.245013259874995, 9.9710635769299145, 23.16046239805755
# B is seen beside so much of Y in the lowest band
YELLOW = 0.362267051518
# Masks: (1 + much / (slope activity + offset))^2 / 17.8^2 of the three upper bands, and of the lowest
UPPER, LOWEST = (2.5485944793, 0.451936922203, 0.829591754942), (0.505054525019, 3.87449418804, 0.20025578522)
ACCEPTED = 17.8
# Activity: of Y in the two finest bands; its root bends at BIAS
ROOT, BIAS = 6.19424080439, 12.61050594197
# Weights of squared errors: X and Y of the two finest bands, X, Y and B of the third and of the lowest
FINEST, FINE = np.array([3.4, 0.36]), np.array([2430.0, 307.0])
MIDDLE, LOW = np.array([12000.0, 590.0, 490.0]), np.array([37900.0, 214.0, 4270.0])
# Of the Gaussian of each scale, sigma 1.5
TAPS = np.exp(-(np.arange(5) ** 2) / (2 * 1.5**2))
TAPS /= TAPS[0] + 2 * TAPS[1:].sum()
SCALES = 3
# Of errors below, a mean is nothing
NOTHING = 1e-30


@jit
def _answer(light: Any, original: Any, cones: Any, gains: Any, out: Any, first: int, last: int) -> None:
    """Rows of X, Y and B: what the cones make of a difference of linear light."""
    a0, a1, a2 = cones[0, 0], cones[0, 1], cones[0, 2]
    b0, b1, b2 = cones[1, 0], cones[1, 1], cones[1, 2]
    c0, c1, c2 = cones[2, 0], cones[2, 1], cones[2, 2]
    for y in range(first, last):
        r, g, b = light[0, y], light[1, y], light[2, y]
        s, t, u = original[0, y], original[1, y], original[2, y]
        colour, blue = gains[0, y], gains[1, y]
        out_x, out_y, out_b = out[0, y], out[1, y], out[2, y]
        for x in range(len(r)):
            dr, dg, db = r[x] - s[x], g[x] - t[x], b[x] - u[x]
            long, middle = a0 * dr + a1 * dg + a2 * db, b0 * dr + b1 * dg + b2 * db
            out_x[x] = (long - middle) * colour[x]
            out_y[x] = (long + middle) * colour[x]
            out_b[x] = (c0 * dr + c1 * dg + c2 * db) * blue[x]


@jit
def _answer_back(by: Any, cones: Any, gains: Any, scale: Any, by_light: Any, first: int, last: int) -> None:
    """Adds scale times the gradient by X, Y and B to rows of that by linear light."""
    for y in range(first, last):
        by_x, by_y, by_b = by[0, y], by[1, y], by[2, y]
        colour, blue = gains[0, y], gains[1, y]
        for c in range(3):
            a, b, d = cones[0, c] * scale, cones[1, c] * scale, cones[2, c] * scale
            out = by_light[c, y]
            for x in range(len(out)):
                bright = (by_y[x] + by_x[x]) * a + (by_y[x] - by_x[x]) * b
                out[x] += bright * colour[x] + by_b[x] * d * blue[x]


@jit
def _blur(planes: Any, taps: Any, down: Any, across: Any, out: Any, first: int, last: int) -> None:
    """Rows of as many planes as ``out`` has, through the Gaussian. Borders are mirrored, the last pixel twice: so it is its own adjoint."""
    columns = planes.shape[2]
    t0, t1, t2, t3, t4 = taps[0], taps[1], taps[2], taps[3], taps[4]
    line = np.empty(columns + 72, np.float32)
    for q in range(len(out)):
        for y in range(first, last):
            r0, r1, r2 = planes[q, down[y]], planes[q, down[y + 1]], planes[q, down[y + 2]]
            r3, r4, r5 = planes[q, down[y + 3]], planes[q, down[y + 4]], planes[q, down[y + 5]]
            r6, r7, r8 = planes[q, down[y + 6]], planes[q, down[y + 7]], planes[q, down[y + 8]]
            middle = line[4:]
            for x in range(columns):
                middle[x] = (
                    t0 * r4[x]
                    + t1 * (r3[x] + r5[x])
                    + t2 * (r2[x] + r6[x])
                    + t3 * (r1[x] + r7[x])
                    + t4 * (r0[x] + r8[x])
                )
            for x in range(4):
                line[x] = line[4 + across[x]]
                line[columns + 4 + x] = line[4 + across[columns + 4 + x]]
            across_nine(line, taps, out[q, y], columns)


@jit
def _add(planes: Any, other: Any, sign: Any, first: int, last: int) -> None:
    """Rows of planes and, with a sign, those of as many others."""
    for q in range(len(other)):
        for y in range(first, last):
            a, b = planes[q, y], other[q, y]
            for x in range(len(a)):
                a[x] += sign * b[x]


@jit
def _sum_errors(bands: Any, masks: Any, weights: Any, powers: Any, first: int, last: int) -> float:
    """The sum of fifth powers of errors over rows of the coarsest scale, four pixels high; their cubes go to ``powers``.

    ``bands``: X and Y of the finest, X and Y of the next, X, Y and B of the third and of the lowest. ``masks``: of each."""
    finest, fine, middle, lowest = bands
    finest_mask, fine_mask, middle_mask, lowest_mask = masks
    w_finest, w_fine, w_middle, w_low = weights
    yellow = np.float32(YELLOW)
    columns, halves, quarters = finest.shape[2], fine.shape[2], middle.shape[2]
    coarse = np.empty(2 * quarters + 64, np.float32)
    half = np.empty(2 * halves + 64, np.float32)
    total = 0.0
    for row in range(first, last):
        for x in range(quarters):
            m0, m1, m2 = middle[0, row, x], middle[1, row, x], middle[2, row, x]
            l0, l1 = lowest[0, row, x], lowest[1, row, x]
            l2 = lowest[2, row, x] - yellow * l1
            error = middle_mask[row, x] * (
                w_middle[0] * m0 * m0 + w_middle[1] * m1 * m1 + w_middle[2] * m2 * m2
            )
            error += lowest_mask[row, x] * (w_low[0] * l0 * l0 + w_low[1] * l1 * l1 + w_low[2] * l2 * l2)
            coarse[2 * x] = error
            coarse[2 * x + 1] = error
        for y1 in range(2 * row, min(2 * row + 2, fine.shape[1])):
            a, b, mask = fine[0, y1], fine[1, y1], fine_mask[y1]
            for x in range(halves):
                error = coarse[x] + mask[x] * (w_fine[0] * a[x] * a[x] + w_fine[1] * b[x] * b[x])
                half[2 * x] = error
                half[2 * x + 1] = error
            for y in range(2 * y1, min(2 * y1 + 2, finest.shape[1])):
                c, d, over, out = finest[0, y], finest[1, y], finest_mask[y], powers[y]
                fifth = np.float32(0)
                for x in range(columns):
                    error = half[x] + over[x] * (w_finest[0] * c[x] * c[x] + w_finest[1] * d[x] * d[x])
                    cube = error * np.sqrt(error)
                    out[x] = cube
                    fifth += cube * error
                total += float(fifth)
    return total


@jit
def _sum_powers(powers: Any, coarse: Any, first: int, last: int) -> None:
    """Rows of sums over 2 x 2 pixels, fewer at the ends."""
    rows, columns = powers.shape
    for y in range(first, last):
        out = coarse[y]
        for x in range(len(out)):
            out[x] = np.float32(0)
        for inner in range(2 * y, min(2 * y + 2, rows)):
            line = powers[inner]
            for x in range(columns):
                out[x >> 1] += line[x]


@jit
def _slopes(band: Any, mask: Any, weights: Any, powers: Any, against: Any, first: int, last: int) -> None:
    """Rows of a band become the gradient by it, and rows of ``against`` that with the other sign."""
    for q in range(len(weights)):
        twice = np.float32(2) * weights[q]
        for y in range(first, last):
            line, over, cube, out = band[q, y], mask[y], powers[y], against[q, y]
            for x in range(len(line)):
                slope = twice * over[x] * cube[x] * line[x]
                line[x] = slope
                out[x] = -slope


@jit
def _slopes_of_lowest(
    lowest: Any, mask: Any, weights: Any, powers: Any, out: Any, first: int, last: int
) -> None:
    """Adds the gradient by the lowest band to rows of ``out``."""
    two, yellow = np.float32(2), np.float32(YELLOW)
    for y in range(first, last):
        for x in range(mask.shape[1]):
            common = two * mask[y, x] * powers[y, x]
            blue = common * weights[2] * (lowest[2, y, x] - yellow * lowest[1, y, x])
            out[0, y, x] += common * weights[0] * lowest[0, y, x]
            out[1, y, x] += common * weights[1] * lowest[1, y, x] - yellow * blue
            out[2, y, x] += blue


@dataclass(frozen=True)
class _Scale:
    """Planes of one size: answers of the cones, then the band that is left of them, X, Y and B; what the Gaussian makes of them, of X
    and Y alone but on the coarsest scale; room for as much; cubes of errors. And which row, and which column, each place of a
    padded side reads."""

    answers: Float32Array
    blurred: Float32Array
    room: Float32Array
    powers: Float32Array
    down: NDArray[np.int64]
    across: NDArray[np.int64]

    @property
    def rows(self) -> int:
        return self.powers.shape[0]


class BandErrors:
    """Errors of pictures beside one original: about 1 where they are barely seen, 0 if there are none.

    It keeps some 26 bytes for a pixel, and 42 in ``scratch``.

    Args:
        original: (3, H, W) float32, linear light in [0, 1].
        rows: how work on rows is shared, see ``Rows``; default: it is not.
        scratch: where its planes lie; default: its own.
    """

    def __init__(
        self, original: Float32Array, rows: Rows | None = None, scratch: Scratch | None = None
    ) -> None:
        self._rows, self._scratch = rows or alone, scratch or Scratch()
        self._taps, self._cones = TAPS.astype(np.float32), CONES.astype(np.float32)
        self._weights = tuple(part.astype(np.float32) for part in (FINEST, FINE, MIDDLE, LOW))
        self._original = _apart(original)
        self._scales = []
        sides = original.shape[1:]
        for number in range(SCALES):
            self._scales.append(self._scale((sides[0], sides[1]), 2 if number < SCALES - 1 else 3))
            sides = tuple(-(-side // 2) for side in sides)
        self._adapt()

    def _scale(self, sides: tuple[int, int], blurred: int) -> _Scale:
        number = len(self._scales)

        def room(name: str, *shape: int) -> Float32Array:
            return self._scratch.plane(f"bands {number} {name}", shape)

        down, across = (np.pad(np.arange(side), 4, "symmetric") for side in sides)
        return _Scale(
            room("answers", 3, *sides),
            room("blurred", blurred, *sides),
            room("room", blurred, *sides),
            room("powers", *sides),
            down,
            across,
        )

    def _adapt(self) -> None:
        """Gains and masks, from the original."""
        finest = self._scales[0]
        light = plane(self._original.shape)
        self._on(finest, _blur, self._original, self._taps, finest.down, finest.across, light)
        cones, dark = self._cones, DARK.astype(np.float32)
        adapted = np.tensordot(cones * np.float32(LIGHT), light, 1) + dark[:, None, None]
        slopes = np.float32(STEEP) / (adapted + np.float32(BENT))
        self._gains = _apart(np.stack([slopes[1], slopes[2]]) * np.float32(LIGHT))
        answers = np.float32(STEEP) * np.log(adapted[1] + np.float32(BENT)) - np.float32(BELOW)
        # fine detail does not change what the eye has adapted to: it is answered as strongly as the whole light
        steeper = np.square(answers / adapted[1] / slopes[1])
        finest.answers[:] = 0
        mixed = np.tensordot(cones[1] * np.float32(LIGHT), self._original, 1) + dark[1]
        finest.answers[1] = 2 * mixed * answers / adapted[1]
        self._split()
        fine = self._scales[1]
        sides = steeper.shape
        active = np.abs(finest.answers[1] + _doubled(fine.answers[1], sides))
        activity = np.sqrt(np.float32(ROOT) * active + np.float32(BIAS)) - np.float32(BIAS**0.5)
        halved = _halved(activity)[None]
        self._on(fine, _blur, halved, self._taps, fine.down, fine.across, fine.blurred[:1])
        calm = _least_around(fine.blurred[0])
        upper, lowest = _mask(calm, UPPER), _mask(calm, LOWEST)
        masks = _doubled(upper, sides) * steeper, upper, _halved(upper), _halved(lowest)
        self._masks = tuple(_apart(mask) for mask in masks)

    def _on(self, scale: _Scale, kernel: Callable[..., Any], *args: Any) -> Sequence[Any]:
        """A kernel over all rows of a scale; what its parts give."""
        return self._rows(lambda first, last: kernel(*args, first, last), scale.rows)

    def _answers(self, light: Float32Array) -> None:
        """Linear light to bands."""
        finest = self._scales[0]
        self._on(finest, _answer, light, self._original, self._cones, self._gains, finest.answers)
        self._split()

    def _split(self) -> None:
        """The finest answers to bands, in their place; the lowest one is the coarsest scale's ``blurred``."""
        for number, scale in enumerate(self._scales):
            self._on(scale, _blur, scale.answers, self._taps, scale.down, scale.across, scale.blurred)
            if number + 1 < SCALES:
                coarser = self._scales[number + 1]
                self._on(coarser, halve, scale.blurred, coarser.answers)
                self._on(coarser, halve, scale.answers[2:], coarser.answers[2:])
            self._on(scale, _add, scale.answers, scale.blurred, np.float32(-1))

    def _sum(self, light: Float32Array) -> float:
        """The mean fifth power."""
        self._answers(light)
        finest, fine, middle = self._scales
        bands = finest.answers, fine.answers, middle.answers, middle.blurred
        sums = self._on(middle, _sum_errors, bands, self._masks, self._weights, finest.powers)
        return float(sum(sums)) / finest.powers.size

    def value(self, light: Float32Array) -> float:
        """Of a picture's linear light (3, H, W)."""
        return float(self._sum(light) ** 0.2)

    def value_and_gradient(self, light: Float32Array, by_light: Float32Array, scale: float) -> float:
        """The same; scale times its gradient by light is added to ``by_light``."""
        mean = self._sum(light)
        if mean < NOTHING:
            return float(mean**0.2)
        finest, fine, middle = self._scales
        self._on(fine, _sum_powers, finest.powers, fine.powers)
        self._on(middle, _sum_powers, fine.powers, middle.powers)
        for number in reversed(range(SCALES)):
            of, mask, weights = self._scales[number], self._masks[number], self._weights[number]
            self._on(of, _slopes, of.answers, mask, weights, of.powers, of.room)
            if number == SCALES - 1:
                self._on(
                    of, _slopes_of_lowest, of.blurred, self._masks[3], self._weights[3], of.powers, of.room
                )
            else:
                of.answers[2:] = 0
                coarser = self._scales[number + 1].answers
                self._on(of, halve_back, coarser, of.room)
                self._on(of, halve_back, coarser[2:], of.answers[2:])
            self._on(of, _blur, of.room, self._taps, of.down, of.across, of.blurred)
            self._on(of, _add, of.answers, of.blurred, np.float32(1))
        # of the mean's fifth root, by a squared error: half a cube
        per_cube = 0.5 * scale * mean**-0.8 / finest.powers.size
        self._on(
            finest, _answer_back, finest.answers, self._cones, self._gains, np.float32(per_cube), by_light
        )
        return float(mean**0.2)


def _apart(values: Float32Array) -> Float32Array:
    """The same numbers, with room behind them, see ``plane``."""
    copied = plane(values.shape)
    np.copyto(copied, values)
    return copied


def _doubled(coarse: Float32Array, sides: Sequence[int]) -> Float32Array:
    return coarse.repeat(2, 0).repeat(2, 1)[: sides[0], : sides[1]]


def _halved(fine: Float32Array) -> Float32Array:
    """Means of 2 x 2, (H, W); an odd side repeats its last."""
    even = np.pad(fine, [(0, side % 2) for side in fine.shape], "edge")
    means: Float32Array = (
        (even[::2, ::2] + even[1::2, ::2]) + (even[::2, 1::2] + even[1::2, 1::2])
    ) * np.float32(0.25)
    return means


def _least_around(activity: Float32Array) -> Float32Array:
    """A mean of the three least of 3 x 3 places around, as edges mask nothing beside them."""
    rows, columns = activity.shape
    around = np.pad(activity, 1, "edge")
    nine = np.stack([around[y : y + rows, x : x + columns] for y in range(3) for x in range(3)])
    least = np.partition(nine, 2, 0)[:3]
    least.sort(0)
    calm: Float32Array = np.tensordot(np.array([0.45, 0.3, 0.25], np.float32), least, 1)
    return calm


def _mask(activity: Float32Array, curve: tuple[float, float, float]) -> Float32Array:
    much, slope, offset = (np.float32(value) for value in curve)
    mask: Float32Array = np.square(
        (np.float32(1) + much / (slope * activity + offset)) / np.float32(ACCEPTED)
    )
    return mask
