"""The encoder's half of ``texture``: units whose noise gives a fitted picture about the contrast of its original.

What is lessened, by Adam on random squares: the squared error over that of the fitted picture, and a weight times how far apart the
logarithms of local energies are, in three octaves of Y, Cb and Cr, over that of the fitted picture. No network takes part, so
that encoding needs no weights but these; docs/decisions/0021-visual-fit.md compares it with features of VGG-16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...planes import TO_YCBCR
from .bitstream import Nets, Synthesis, synthesis_conv, synthesis_mlp
from .texture import SEEN, UNITS, Texture, noise

FloatArray = NDArray[np.float32]
Int8Array = NDArray[np.int8]
UInt8Array = NDArray[np.uint8]

# How many, how they move, and on what
COUNT, STEPS, RATE, CROP = 8, 100, 1e-2, 128
SMALLEST = 32  # pixels of a side
FEWEST = 25  # steps that make sense
FIRST_DEVIATION = 0.3
# Of the energies: octaves, squares of 2 x 2 cells of so many pixels, what is no contrast (under a level of 8 bits), chroma beside luma
OCTAVES, CELL, LEAST_ENERGY = 3, 8, 1e-5
STATISTICS, CHROMA = 0.6, 0.3
# Where the fitted picture's energies are right already, they are no measure
LEAST_APART = 1e-4
_MOST = 2**10  # of a rounded weight


def fitted(
    colour: UInt8Array, nets: Nets, grids: Sequence[Int8Array], seed: int, steps: int = STEPS
) -> Texture | None:
    """Units for a picture (H, W, 1 or 3) whose symbols and weights are final; None where it is too small, or none of them helps."""
    rows, columns = colour.shape[:2]
    if min(rows, columns) < SMALLEST:
        return None
    rng = np.random.default_rng(0)
    picture = _Picture(colour, nets, grids, seed)
    weights = [
        rng.normal(0, FIRST_DEVIATION, (COUNT, SEEN)).astype(np.float32),
        np.zeros((COUNT, 1), np.float32),
        np.zeros((3, COUNT), np.float32),
    ]
    first = [np.zeros_like(part) for part in weights]
    second = [np.zeros_like(part) for part in weights]
    for step in range(steps):
        at = _place(rng, rows), _place(rng, columns)
        gradients = picture.crop(at).gradients(*weights)
        rate = RATE * (1 - step / steps) * (1 - 0.999 ** (step + 1)) ** 0.5 / (1 - 0.9 ** (step + 1))
        for part, g, m, v in zip(weights, gradients, first, second):
            m += np.float32(0.1) * (g - m)
            v += np.float32(0.001) * (g * g - v)
            part -= np.float32(rate) * m / (np.sqrt(v) + np.float32(1e-8))
    sees, offsets, gives = (
        np.clip(np.rint(part * 2.0**unit), -_MOST, _MOST).astype(np.int32)
        for part, unit in zip(weights, UNITS)
    )
    used = gives.any(0)
    if not used.any():
        return None
    return Texture(sees[used], offsets[used, 0], np.ascontiguousarray(gives[:, used]), seed)


def _place(rng: np.random.Generator, length: int) -> slice:
    side = min(CROP, length // CELL * CELL)
    start = int(rng.integers(0, length - side + 1))
    return slice(start, start + side)


@dataclass(frozen=True)
class _Picture:
    """A fitted picture beside its original."""

    colour: UInt8Array
    nets: Nets
    grids: Sequence[Int8Array]
    seed: int

    def crop(self, at: tuple[slice, slice]) -> _Crop:
        """A part of it; beyond its edges the picture is taken to go on as at them."""
        synthesis = Synthesis(self.nets, self.colour.shape[:2], self.colour.shape[2])
        planes = synthesis.planes(lambda k, rows, columns: self.grids[k][rows, columns], 0, *at)
        base = _filtered(synthesis_mlp(planes, self.nets), self.nets.kernel)
        wanted = self.colour[at].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        return _Crop(np.concatenate([noise(self.seed, at), planes]), base, wanted, self.nets.kernel)


class _Crop:
    """What units see in it (10, rows, columns), the samples before they add (3, rows, columns), and the original's (1 or 3, rows,
    columns)."""

    def __init__(self, seen: FloatArray, base: FloatArray, wanted: FloatArray, kernel: FloatArray) -> None:
        self.seen, self.base, self.wanted, self.kernel = seen.reshape(SEEN, -1), base, wanted, kernel
        grey = len(wanted) == 1
        # of the clipped samples: what is shown; and of that: what is compared
        self.shows = np.full((1, 3), 1 / 3, np.float32) if grey else np.eye(3, dtype=np.float32)
        self.turns = np.ones((1, 1), np.float32) if grey else TO_YCBCR
        shown = np.tensordot(self.shows, np.clip(base, 0, 1), 1)
        self.error = max(float(np.square(shown - wanted).mean()), 1e-9)
        self.energies = [_logarithms(_energy(band)) for band in _bands(np.tensordot(self.turns, wanted, 1))]
        self.apart = []
        for band, target in zip(_bands(np.tensordot(self.turns, shown, 1)), self.energies):
            apart = float(np.square(_logarithms(_energy(band)) - target).sum())
            self.apart.append(max(apart, LEAST_APART * float(np.square(target).sum()), 1e-9))

    def gradients(self, sees: FloatArray, offsets: FloatArray, gives: FloatArray) -> list[FloatArray]:
        """Of what is lessened, by the three lists of weights."""
        before = sees @ self.seen + offsets
        units = np.maximum(before, 0)
        given = (gives @ units).reshape(self.base.shape)
        samples = self.base + _filtered(given, self.kernel)
        back = self._back(np.clip(samples, 0, 1)) * ((samples > 0) & (samples < 1))
        to_given = _filtered_back(back, self.kernel).reshape(3, -1)
        to_units = (gives.T @ to_given) * (before > 0)
        return [to_units @ self.seen.T, to_units.sum(1, keepdims=True), to_given @ units.T]

    def _back(self, samples: FloatArray) -> FloatArray:
        """The gradient by the clipped samples."""
        shown = np.tensordot(self.shows, samples, 1)
        to_shown = (shown - self.wanted) * np.float32(2 / (self.wanted.size * self.error))
        to_bands = []
        for band, target, apart in zip(_bands(np.tensordot(self.turns, shown, 1)), self.energies, self.apart):
            energy = _energy(band)
            weights = _chroma(len(band))
            more = _logarithms(energy) - target
            scale = np.float32(STATISTICS * 2 / (OCTAVES * apart))
            to_energy = scale * more * weights / (energy + np.float32(LEAST_ENERGY))
            to_bands.append(2 * band * _spread(to_energy))
        to_shown += np.tensordot(self.turns.T, _bands_back(to_bands), 1)
        return np.tensordot(self.shows.T, to_shown, 1)


# --- octaves and their local energies; a crop goes on at its other side, so that each filter is its own adjoint


def _bands(y: FloatArray) -> list[FloatArray]:
    """What each octave's filter takes away."""
    found = []
    for octave in range(OCTAVES):
        low = _lowered(y, 2**octave)
        found.append(y - low)
        y = low
    return found


def _bands_back(gradients: list[FloatArray]) -> FloatArray:
    """By the picture, of gradients by its bands."""
    total = np.zeros_like(gradients[0])
    for octave in reversed(range(OCTAVES)):
        total = gradients[octave] + _lowered(total - gradients[octave], 2**octave)
    return total


def _lowered(y: FloatArray, step: int) -> FloatArray:
    for axis in (1, 2):
        y = (2 * y + np.roll(y, step, axis) + np.roll(y, -step, axis)) * np.float32(0.25)
    return y


def _energy(band: FloatArray) -> FloatArray:
    """Mean squares over 2 x 2 cells, a cell apart: (n, rows / CELL - 1, columns / CELL - 1)."""
    n, rows, columns = band.shape
    cells = np.square(band).reshape(n, rows // CELL, CELL, columns // CELL, CELL).mean((2, 4))
    found: FloatArray = (cells[:, 1:, 1:] + cells[:, 1:, :-1] + cells[:, :-1, 1:] + cells[:, :-1, :-1]) / 4
    return found


def _spread(energy: FloatArray) -> FloatArray:
    """The adjoint of ``_energy``'s means."""
    cells = np.zeros((len(energy), energy.shape[1] + 1, energy.shape[2] + 1), np.float32)
    for part in (cells[:, 1:, 1:], cells[:, 1:, :-1], cells[:, :-1, 1:], cells[:, :-1, :-1]):
        part += energy / np.float32(4 * CELL**2)
    return cells.repeat(CELL, 1).repeat(CELL, 2)


def _chroma(count: int) -> FloatArray:
    return np.array([1, CHROMA, CHROMA][:count], np.float32)[:, None, None]


def _logarithms(energy: FloatArray) -> FloatArray:
    """0 where there is no contrast."""
    found: FloatArray = _chroma(len(energy)) * np.log1p(energy / np.float32(LEAST_ENERGY))
    return found


# --- the synthesis's last filter


def _filtered(g: FloatArray, kernel: FloatArray) -> FloatArray:
    """``synthesis_conv`` with edges repeated."""
    return synthesis_conv(np.pad(g, ((0, 0), (1, 1), (1, 1)), "edge"), kernel)


def _filtered_back(back: FloatArray, kernel: FloatArray) -> FloatArray:
    """Its adjoint, but for the edges."""
    return synthesis_conv(
        np.pad(back, ((0, 0), (1, 1), (1, 1))),
        np.ascontiguousarray(kernel.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]),
    )
