"""Texture that a reader may ask for: units that see the planes of the synthesis and pseudo-random ones, and what they add.

At low rates a fit leaves plateaus where grass, stone or fur was, for no bits are spent on it. A few units, fitted so that the picture
has about the original's contrast in each octave and place, put texture back: not the original's, but one like it. It costs
PSNR, so it belongs to the decoder "perceptual". Section ``txtr``; docs/format.md, section 9, is normative.

Sources: random inputs for the synthesis of an overfitted codec after Balle et al., "Good, cheap, and fast: overfitted image
compression with Wasserstein distortion", 2024; the statistics that are compared here are band energies, no network's features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...entropy import adaptive_coder
from ...errors import Corrupt

FloatArray = NDArray[np.float32]
Int32Array = NDArray[np.int32]
Window = tuple[slice, slice]

TAG = "txtr"
PLANES = 3  # of noise: white, and the same of cells of 2 x 2 and 4 x 4 pixels
SEEN = PLANES + 7  # with those of the grids
MAX_UNITS = 16
# The weights of a list are integers, in units of 2^-these: what units see, their offsets, what they give to g
UNITS = (4, 4, 7)


@dataclass(frozen=True, eq=False)
class Texture:
    """Integers: ``sees`` (U, 10), ``offsets`` (U,) and ``gives`` (3, U); and the seed of the noise, which a file's symbols give."""

    sees: Int32Array
    offsets: Int32Array
    gives: Int32Array
    seed: int

    def pack(self) -> bytes:
        """The section's payload."""
        lists = (self.sees, self.offsets, self.gives)
        return bytes([len(self.offsets)]) + adaptive_coder.encode(part.ravel() for part in lists)

    @classmethod
    def unpack(cls, payload: bytes, seed: int) -> Texture:
        """Raises Corrupt unless these are bytes that mean something, within the limits."""
        units = payload[0] if payload else 0
        if not 1 <= units <= MAX_UNITS:
            raise Corrupt(f"impossible number of units {units}", field=TAG)
        try:
            sees, offsets, gives = adaptive_coder.decode(payload[1:], [SEEN * units, units, 3 * units])
        except Corrupt as exc:
            raise Corrupt(str(exc), field=TAG) from exc
        return cls(sees.reshape(units, SEEN), offsets, gives.reshape(3, units), seed)

    def added(self, planes: FloatArray, window: Window) -> FloatArray:
        """What the units add to g, (3, rows, columns), sums in an order that is the same for every window.

        Args:
            planes: of the grids, (7, rows, columns), of this window of the picture.
        """
        seen = [*noise(self.seed, window), *planes]
        sees, offsets, gives = (
            part.astype(np.float32) * np.float32(2.0**-unit)
            for part, unit in zip((self.sees, self.offsets, self.gives), UNITS)
        )
        out = np.zeros((3, *planes.shape[1:]), np.float32)
        unit, product = np.empty_like(out[0]), np.empty_like(out[0])
        for row, offset, shares in zip(sees, offsets, gives.T):
            unit[:] = offset
            for weight, plane in zip(row, seen):
                unit += np.multiply(plane, weight, out=product)
            np.fmax(unit, 0, out=unit)
            for share, into in zip(shares, out):
                into += np.multiply(unit, share, out=product)
        return out


def noise(seed: int, window: Window) -> FloatArray:
    """A window of the three planes, (3, rows, columns): sums of four bytes of a hash of each cell, of mean 0 and deviation 1.15."""
    rows, columns = window
    y, x = (
        np.arange(rows.start, rows.stop, dtype=np.uint32),
        np.arange(columns.start, columns.stop, dtype=np.uint32),
    )
    out = np.empty((PLANES, len(y), len(x)), np.float32)
    for k, plane in enumerate(out):
        cells = _hashed(np.unique(y >> k)[:, None], np.unique(x >> k)[None], k, seed)
        drawn = sum((cells >> shift & 255).astype(np.int32) for shift in (0, 8, 16, 24))
        down, across = (y >> k) - (y[0] >> k), (x >> k) - (x[0] >> k)
        values: FloatArray = np.asarray(drawn - 510, np.float32) / np.float32(128)
        plane[:] = values[down][:, across]
    return out


def _hashed(y: NDArray[np.uint32], x: NDArray[np.uint32], k: int, seed: int) -> NDArray[np.uint32]:
    """32 bits of each cell (y, x) of a plane."""
    start = np.uint32((0xC2B2AE3D * k + seed) & 0xFFFFFFFF)
    a = x * np.uint32(0x9E3779B1) + y * np.uint32(0x85EBCA77) + start
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        a ^= a >> np.uint32(shift)
        a *= np.uint32(factor)
    return a ^ a >> np.uint32(16)
