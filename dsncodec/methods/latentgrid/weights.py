"""The weights of a file of method "latentgrid" as one vector of floats, with a view for each matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .entropy_model import GRIDS

FloatArray = NDArray[np.float32]

BICUBIC = (-3 / 128, 29 / 128, 111 / 128, -9 / 128)
# Of the taps that double a plane: what they sum to, where smaller pictures are compared
LEAST_GAIN = 0.25


def lists(width: int) -> tuple[tuple[tuple[str, tuple[int, ...]], ...], ...]:
    """Names and shapes of the matrices, in the six lists of the file; ``width`` is that of the synthesis."""
    return (
        (("w1", (16, 16)), ("w2", (16, 16)), ("w3", (2, 16))),
        (("b1", (GRIDS, 16)), ("b2", (16,)), ("b3", (2,))),
        (("taps", (GRIDS - 1, 4)),),
        (("p", (width, GRIDS)), ("q", (3, width)), ("s", (3, GRIDS))),
        (("pb", (width,)), ("qb", (3,))),
        (("k", (3, 3, 3, 3)),),
    )


@dataclass(frozen=True)
class Weights:
    """A vector ``flat`` and its parts; docs/format.md, section 9, says what they are."""

    width: int
    flat: FloatArray

    @classmethod
    def zeros(cls, width: int) -> Weights:
        count = sum(int(np.prod(shape)) for group in lists(width) for _, shape in group)
        return cls(width, np.zeros(count, np.float32))

    @cached_property
    def parts(self) -> dict[str, FloatArray]:
        """Views of the vector by name."""
        found, at = {}, 0
        for group in lists(self.width):
            for name, shape in group:
                count = int(np.prod(shape))
                found[name] = self.flat[at : at + count].reshape(shape)
                at += count
        return found

    @cached_property
    def groups(self) -> list[slice]:
        """Where each list lies in the vector."""
        found, at = [], 0
        for group in lists(self.width):
            count = sum(int(np.prod(shape)) for _, shape in group)
            found.append(slice(at, at + count))
            at += count
        return found

    def copy(self) -> Weights:
        return Weights(self.width, self.flat.copy())

    def for_half_size(self) -> Weights:
        """Of a picture of half the size: what these do with grid k + 1, they do with grid k. The coarsest grid shows nothing there."""
        found = self.copy()
        for mine, theirs in zip(self._by_grid(), found._by_grid()):
            theirs[:-1] = mine[1:]
        for name in ("p", "s"):
            found.parts[name] *= self._last_gain
            found.parts[name][:, -1] = 0
        return found

    def of_half_size(self, half: Weights) -> Weights:
        """The other way round: those of ``half``, and these of what it has not, the finest grid."""
        found = half.copy()
        for mine, theirs, into in zip(self._by_grid(), half._by_grid(), found._by_grid()):
            into[0], into[1:] = mine[0], theirs[:-1]
        for name in ("p", "s"):
            found.parts[name][:, 1:] /= self._last_gain
        return found

    @property
    def _last_gain(self) -> float:
        """Of the doubling to the picture's size, of flat planes; along rows and columns."""
        return float(np.square(max(self.parts["taps"][0].sum(), LEAST_GAIN)))

    def _by_grid(self) -> list[FloatArray]:
        """Views with a row for each grid, finest first."""
        parts = self.parts
        return [parts["taps"], parts["b1"], parts["p"].T, parts["s"].T]


def random_weights(
    width: int, seed: int, mean_colour: tuple[float, float, float] = (0.5, 0.5, 0.5)
) -> Weights:
    """Where a fit without a published start begins: bicubic doubling, small random layers, a wide law of symbols."""
    rng = np.random.default_rng(seed)
    weights = Weights.zeros(width)
    parts = weights.parts
    parts["w1"][:] = rng.normal(0, 0.25, (16, 16))
    parts["w2"][:] = rng.normal(0, 0.2, (16, 16))
    parts["w3"][1] = 0.02
    parts["b3"][:] = (0, 4.0)
    parts["taps"][:] = BICUBIC
    parts["p"][:] = rng.normal(0, 0.35, (width, GRIDS))
    parts["q"][:] = rng.normal(0, 0.05 / np.sqrt(width / 16), (3, width))
    parts["s"][:] = rng.normal(0, 0.03, (3, GRIDS)) + 0.05
    parts["qb"][:] = mean_colour
    return weights
