"""The distortion of a fit for the eye: what SSIMULACRA 2 lacks to 100, masked errors in bands, and a squared error of luma and
chroma.

SSIMULACRA 2 alone leaves ragged edges, and colours that nobody looks at from near: the others hold them, see
docs/decisions/0021-visual-fit.md. On the scale of the squared error of samples in 0..1, as lmbda is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from .kernels import shown
from .kernels.bands import BandErrors
from .kernels.ssimulacra2_gradient import Rows, Scratch, Ssimulacra2, alone

FloatArray = NDArray[np.float32]

# Of a point that the score lacks, and of the errors in bands
POINT, BANDS = 1.6e-5, 1.5e-4
# Of the mean squared errors of Y, Cb and Cr (those of JPEG, in 0..1); that of RGB is about 1, 1.09 and 0.83
SQUARED = np.array([0.75, 1.6, 1.25])
_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_FORM = (_YCC.T @ np.diag(SQUARED) @ _YCC).astype(np.float32)
# An area is smooth where luma deviates by less, within so many pixels each way
SMOOTH, SMOOTH_RADIUS = 6 / 255, 4
# Probes of the curvature: how many, how far they go, and over how many of their blocks their answers are averaged
PROBES, FAR, AROUND = 4, np.float32(0.01), 4
# Symbols that move together bend the distortion more than each on its own: by how much a curvature counts more; and the
# least one, as a part of the picture's mean
TOGETHER, LEAST_CURVATURE = 2.5, 0.15

# Pixels of a picture that is judged whole, at most; of a slab of a larger one, about; and its rows at least
MOST_WHOLE, SLAB, LEAST_ROWS = 2**22, 2**20, 256


class Distortion:
    """Of pictures beside one original.

    Args:
        original: (3, H, W) float32, sRGB in [0, 1].
        rows: how work on rows is shared, see ``Ssimulacra2``.
        scratch: of others of this size or less, which take turns with it.
    """

    def __init__(
        self, original: FloatArray, rows: Rows | None = None, scratch: Scratch | None = None
    ) -> None:
        self.original = original
        scratch = scratch or Scratch()
        self.seen = Ssimulacra2(original, rows, scratch)
        self.bands = BandErrors(self.seen.light, rows, scratch)
        self._rows = rows or alone

    def lacks(self, picture: FloatArray) -> float:
        """What a picture's SSIMULACRA 2 lacks to 100, about."""
        return self.seen.value(picture)

    def value(self, picture: FloatArray) -> float:
        """Of a picture (3, H, W) in [0, 1]."""
        value = POINT * self.seen.value(picture) + self._squared(picture)
        return value + BANDS * self.bands.value(self.seen.light)

    def value_and_gradient(self, picture: FloatArray, out: FloatArray) -> float:
        """The same, and its gradient by the picture, which is set."""
        in_bands = 0.0

        def also(light: FloatArray, by_light: FloatArray, slope: float) -> None:
            nonlocal in_bands
            in_bands = self.bands.value_and_gradient(light, by_light, BANDS / (POINT * slope))

        value = POINT * self.seen.value_and_gradient(picture, out, also)
        value += BANDS * in_bands + self._squared(picture)
        scale = np.float32(1 / picture[0].size)

        def part(first: int, last: int) -> None:
            shown.squared_back(picture, self.original, _FORM, np.float32(POINT), scale, first, last, out)

        self._rows(part, picture.shape[1])
        return value

    def smooth(self) -> NDArray[np.bool_]:
        """Where the original is smooth, (H, W)."""
        luma = np.tensordot(_YCC[0].astype(np.float32), self.original, 1)
        mean, square = luma, luma * luma
        for axis in (0, 1):
            mean, square = (_averaged(plane, SMOOTH_RADIUS, axis) for plane in (mean, square))
        found: NDArray[np.bool_] = square - mean**2 < SMOOTH**2
        return found

    def _squared(self, picture: FloatArray) -> float:
        """The share of the squared error."""

        def part(first: int, last: int) -> float:
            return float(shown.squared(picture, self.original, _FORM, first, last))

        return sum(self._rows(part, picture.shape[1])) / picture[0].size

    def second_order(self, picture: FloatArray, block: int, wanted: FloatArray, weight: FloatArray) -> None:
        """The distortion near a picture as a sum of weighted squares: weight (x - wanted)^2 of each sample, both set.

        The curvature is Hutchinson's estimate for grey patterns of such blocks: gradients beside random ones, averaged
        around each sample.

        Args:
            picture: (3, H, W) in [0, 1]; so are wanted and weight.
            block: the side in pixels of what is going to be changed.
        """
        rows, columns = picture.shape[1:]
        gradient, there = np.empty_like(picture), np.empty_like(picture)
        self.value_and_gradient(picture, gradient)
        rng = np.random.default_rng(0)
        weight.fill(0)
        for _ in range(PROBES):
            signs = rng.integers(0, 2, (-(-rows // block), -(-columns // block))).astype(np.float32) * 2 - 1
            probe = signs.repeat(block, 0).repeat(block, 1)[:rows, :columns]
            self.value_and_gradient(picture + FAR * probe, there)
            weight += probe * (there - gradient)
        weight *= np.float32(TOGETHER / (2 * FAR * PROBES))
        for axis in (0, 1):
            for plane in weight:  # one by one: a large picture's sums take more than the picture
                plane[:] = _averaged(plane, AROUND * block, axis)
        np.maximum(weight, LEAST_CURVATURE * weight.mean((1, 2), keepdims=True), out=weight)
        # a picture whose curvature is none, or less
        np.maximum(weight, np.float32(1e-3 / picture.size), out=weight)
        np.subtract(picture, gradient / (2 * weight), out=wanted)


class Slabs:
    """The distortion of a large picture: the mean over slabs of rows, each of them judged alone, in memory for one; arguments and
    methods as ``Distortion`` has them."""

    def __init__(self, original: FloatArray, rows: Rows | None = None) -> None:
        height, width = original.shape[1:]
        tall = slab_rows(height, width)
        self._original, self._scratch = original, Scratch()
        self._slabs: list[tuple[slice, Distortion]] = []
        for first in range(0, height, tall):
            part = slice(first, min(first + tall, height))
            slab = Distortion(self._cut("original", original, part), rows, self._scratch)
            self._slabs.append((part, slab))

    def value(self, picture: FloatArray) -> float:
        """Of a picture (3, H, W) in [0, 1]."""
        return self._mean(lambda part, slab: slab.value(self._cut("picture", picture, part)))

    def lacks(self, picture: FloatArray) -> float:
        """What a picture's SSIMULACRA 2 lacks to 100, about."""
        return self._mean(lambda part, slab: slab.lacks(self._cut("picture", picture, part)))

    def value_and_gradient(self, picture: FloatArray, out: FloatArray) -> float:
        """The same, and its gradient by the picture, which is set."""

        def of(part: slice, slab: Distortion) -> float:
            shown = self._cut("picture", picture, part)
            gradient = self._scratch.plane("gradient", shown.shape)
            value = slab.value_and_gradient(shown, gradient)
            np.multiply(gradient, np.float32(self._share(part)), out=out[:, part])
            return value

        return self._mean(of)

    def smooth(self) -> NDArray[np.bool_]:
        """Where the original is smooth, (H, W)."""
        return np.concatenate([slab.smooth() for _, slab in self._turns()])

    def second_order(self, picture: FloatArray, block: int, wanted: FloatArray, weight: FloatArray) -> None:
        """The distortion near a picture as a sum of weighted squares."""
        for part, slab in self._turns():
            there = wanted[:, part], weight[:, part]
            slab.second_order(self._cut("picture", picture, part), block, *there)
            there[1][:] *= np.float32(self._share(part))

    def _turns(self) -> Iterator[tuple[slice, Distortion]]:
        """The slabs, each with its rows of the original for as long as it has its turn."""
        for part, slab in self._slabs:
            slab.original = self._cut("original", self._original, part)
            yield part, slab

    def _share(self, part: slice) -> float:
        return (part.stop - part.start) / self._original.shape[1]

    def _mean(self, of: Callable[[slice, Distortion], float]) -> float:
        return sum(self._share(part) * of(part, slab) for part, slab in self._turns())

    def _cut(self, name: str, picture: FloatArray, part: slice) -> FloatArray:
        """Rows of a picture, laid together: kernels are slow on others."""
        cut = self._scratch.plane(name, (3, part.stop - part.start, picture.shape[2]))
        np.copyto(cut, picture[:, part])
        return cut


def slab_rows(height: int, width: int) -> int:
    """Of the slabs that a picture is judged in, a multiple of 8; all rows, if it is not large."""
    if height * width <= MOST_WHOLE:
        return height
    return min(-(-max(SLAB // width, LEAST_ROWS) // 8) * 8, height)


def distortion_of(original: FloatArray, rows: Rows | None = None) -> Distortion | Slabs:
    """Of a picture (3, H, W), large or small."""
    whole = slab_rows(*original.shape[1:]) == original.shape[1]
    return Distortion(original, rows) if whole else Slabs(original, rows)


def planes_of(image: NDArray[np.uint8]) -> FloatArray:
    """(H, W, 1 or 3) to (3, H, W) in [0, 1]."""
    colour = image if image.shape[2] == 3 else np.repeat(image, 3, 2)
    return np.ascontiguousarray(colour.transpose(2, 0, 1), np.float32) / np.float32(255)


def _averaged(plane: FloatArray, radius: int, axis: int) -> FloatArray:
    """Means over 2 radius + 1 places along an axis, fewer at its ends."""
    length = plane.shape[axis]
    sums = np.cumsum(plane, axis, dtype=np.float64)
    sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis)
    at = np.arange(length)
    low, high = np.maximum(at - radius, 0), np.minimum(at + radius + 1, length)
    counts = (high - low).reshape((length, 1) if axis == 0 else (1, length))
    means: FloatArray = ((sums.take(high, axis) - sums.take(low, axis)) / counts).astype(np.float32)
    return means
