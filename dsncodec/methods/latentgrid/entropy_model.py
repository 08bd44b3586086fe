"""The probability model of latent grids: what a symbol's neighbours say of it, and the coding of one band of rows.

A band is a list of grids, (rows, columns) int8 each, finest first; each next one has half the rows and columns, rounded
up. Sixteen neighbours that are decoded before a cell go through a small network of integers, which gives a location and
a scale; those name the row of a table. docs/format.md, section 9, is normative.

Cells are coded in waves, t = x + 3 y: the neighbours of all cells of a wave lie in earlier ones, so that a wave is one
product of matrices. The sums stay below 2^53 and are exact in float64, in any order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import budget, kernels
from ...entropy import range_coder
from ...entropy.range_coder import TOTAL
from ...errors import Corrupt

Float64Array = NDArray[np.float64]
Int8Array = NDArray[np.int8]
Int64Array = NDArray[np.int64]

GRIDS = 7
INPUTS = UNITS = 16
LARGEST = 127  # of a symbol's magnitude
SCALES = 96
REACH = 2048  # entries of a table
# 2^32 times e^(-1 / (16 b)), for b = 0.02 * 2^(s / 8)
RATIOS = (188707693, 244584679, 310256049, 385867793, 471297971, 566166053, 669856227, 781551376)
_MOST = float(1 << 20)  # of a unit's output
_TICK = 256  # waves between two looks at the clock
_CHUNK = 1 << 15  # cells whose contexts are in memory together
# (rows, columns) from a cell to its first contexts
NEIGHBOURS = (
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
)
_SAME = len(NEIGHBOURS)


@lru_cache(maxsize=1)
def tables() -> Int64Array:
    """The tails of the distributions, (SCALES, REACH), in counts: of a bell with scale s, all from d 16ths of a symbol
    beyond its middle on.

    >>> tables()[40, [0, 1, 16, 2047]].tolist()
    [8388608, 7608137, 1758347, 0]
    """
    ratios = list(RATIOS)
    while len(ratios) < SCALES:
        ratios.append(math.isqrt(ratios[-8] << 32))
    found = np.empty((REACH, SCALES), np.uint64)
    found[0] = 1 << 31
    ratio = np.array(ratios, np.uint64)
    for at in range(1, REACH):
        found[at] = (found[at - 1] * ratio) >> np.uint64(32)
    return np.ascontiguousarray((found >> np.uint64(8)).T.astype(np.int64))


@lru_cache(maxsize=SCALES)
def _row(scale: int) -> list[int]:
    return tables()[scale].tolist()


def _counts(v: Int64Array, m: Int64Array, s: Int64Array) -> Int64Array:
    """The counts below symbols ``v`` for locations ``m`` and scale indices ``s``."""
    d = 16 * v - 8 - m
    tail = tables()[s, np.minimum(np.abs(d), REACH - 1)]
    below = np.where(d <= 0, tail, TOTAL - tail)
    found = (v + LARGEST) + ((below * (TOTAL - 2 * LARGEST - 1)) >> range_coder.TOTAL_BITS)
    found[v <= -LARGEST] = 0
    found[v > LARGEST] = TOTAL
    return found


class ContextNet(NamedTuple):
    """The network of one grid as the kernels take it: w1 and w2 (16, 16), transposed, w3 (2, 16), biases b1 and b2 (16,) and
    b3 (2,)."""

    w1: Float64Array
    b1: Float64Array
    w2: Float64Array
    b2: Float64Array
    w3: Float64Array
    b3: Float64Array


class GridStack(NamedTuple):
    """A grid with 3 zeros above it and at its left, and 2 at its right; the next coarser one with a zero all round; and the
    one after it."""

    cells: Int8Array
    parents: Int8Array
    grandparents: Int8Array


@dataclass(frozen=True, eq=False)
class Context:
    """The network's integers, exact in float64: ``w1`` and ``w2`` (16, 16), ``w3`` (2, 16), ``b1`` (7, 16), ``b2`` (16,),
    ``b3`` (2,)."""

    w1: Float64Array
    w2: Float64Array
    w3: Float64Array
    b1: Float64Array
    b2: Float64Array
    b3: Float64Array

    @classmethod
    def of(cls, weights: NDArray[np.integer], biases: NDArray[np.integer]) -> Context:
        """From the first two lists of weights, as docs/format.md has them."""
        w1, w2, w3 = np.split(weights.astype(np.float64), (256, 512))
        b1, b2, b3 = np.split(biases.astype(np.float64), (112, 128))
        return cls(w1.reshape(16, 16), w2.reshape(16, 16), w3.reshape(2, 16), b1.reshape(7, 16), b2, b3)

    def distributions(self, grid: int, found: Float64Array) -> tuple[Int64Array, Int64Array]:
        """Locations, in 16ths of a symbol, and scale indices, (n,) each, from contexts (16, n)."""
        h = self.w1 @ found
        h += self.b1[grid][:, None]
        np.clip(h, 0, _MOST, out=h)
        more = self.w2 @ h
        more += self._b2
        more *= 2.0**-12
        np.floor(more, out=more)
        np.clip(more, 0, _MOST, out=more)
        h += more
        out = self.w3 @ h
        out += self._b3
        out *= self._unit
        np.floor(out, out=out)
        whole = out.astype(np.int64)
        return np.clip(whole[0], -2032, 2032), np.clip(whole[1], 0, SCALES - 1)

    @cached_property
    def _b2(self) -> Float64Array:
        return (self.b2 * 4096 + 2048)[:, None]

    @cached_property
    def _b3(self) -> Float64Array:
        return (self.b3 * 4096 + [2.0**19, 2.0**20])[:, None]

    @cached_property
    def _unit(self) -> Float64Array:
        return np.array([[2.0**-20], [2.0**-21]])

    def of_grid(self, grid: int) -> ContextNet:
        """What the kernels take."""
        w1, w2 = self._transposed
        return ContextNet(w1, np.ascontiguousarray(self.b1[grid]), w2, self.b2, self.w3, self.b3)

    @cached_property
    def _transposed(self) -> tuple[Float64Array, Float64Array]:
        return np.ascontiguousarray(self.w1.T), np.ascontiguousarray(self.w2.T)


# --- contexts


def _parents(grids: Sequence[Int8Array], grid: int, shape: tuple[int, int]) -> tuple[Int8Array, Int8Array]:
    """The next coarser grid with a zero all round, and the one after it; zeros where there is none."""
    rows, columns = shape
    up = np.zeros(((rows + 1) // 2 + 2, (columns + 1) // 2 + 2), np.int8)
    if grid + 1 < len(grids):
        up[1:-1, 1:-1] = grids[grid + 1]
    if grid + 2 < len(grids):
        return up, np.ascontiguousarray(grids[grid + 2])
    return up, np.zeros(((rows + 3) // 4, (columns + 3) // 4), np.int8)


def _inherited(up: Int8Array, upper: Int8Array, rows: slice, columns: int) -> Iterator[Int8Array]:
    """The last four contexts of some rows of cells, (rows, columns) each."""
    y, x = np.arange(rows.start, rows.stop), np.arange(columns)
    v, u = (y >> 1) + 1, (x >> 1) + 1
    yield up[v[:, None], u]
    yield up[v[:, None], u + np.where(x & 1, 1, -1)]
    yield up[(v + np.where(y & 1, 1, -1))[:, None], u]
    yield upper[(y >> 2)[:, None], x >> 2]


def _framed(cells: Int8Array) -> Int8Array:
    """A grid with 3 zeros above it and at its left, and 2 at its right."""
    return np.pad(cells, ((3, 0), (3, 2)))


def _intervals(grids: Sequence[Int8Array], grid: int, context: Context) -> tuple[Int64Array, Int64Array]:
    """The intervals of a grid's symbols in the order in which they are coded."""
    cells = grids[grid]
    rows, columns = cells.shape
    up, upper = _parents(grids, grid, (rows, columns))
    framed = _framed(cells)
    if (reading := kernels.load(kernels.READING)) is not None:
        lower, above = reading.intervals(GridStack(framed, up, upper), context.of_grid(grid), tables())
        return lower, above
    both = np.empty((2, rows, columns), np.int64)
    step = max(1, _CHUNK // columns)
    for top in range(0, rows, step):
        part = slice(top, min(top + step, rows))
        found = np.empty((INPUTS, part.stop - part.start, columns))
        for at, (down, across) in enumerate(NEIGHBOURS):
            found[at] = framed[
                part.start + 3 + down : part.stop + 3 + down, 3 + across : 3 + across + columns
            ]
        for at, plane in enumerate(_inherited(up, upper, part, columns)):
            found[_SAME + at] = plane
        m, s = context.distributions(grid, found.reshape(INPUTS, -1))
        v = cells[part].ravel().astype(np.int64)
        for more in (0, 1):
            both[more, part] = _counts(v + more, m, s).reshape(-1, columns)
    y, x = np.mgrid[:rows, :columns].reshape(2, -1)
    order = np.argsort((x + 3 * y) * rows + y)
    lower, above = both.reshape(2, -1)[:, order]
    return lower, above


# --- a band of rows


def encode_band(grids: Sequence[Int8Array], context: Context) -> bytes:
    """The symbols of a band, finest grid first, to bytes."""
    reading = kernels.load(kernels.READING)
    encoder = range_coder.RangeEncoder()
    for grid in reversed(range(len(grids))):
        lower, above = _intervals(grids, grid, context)
        if reading is None:
            encoder.encode(lower, above)
            continue
        out = np.empty(len(encoder.out) + 3 * len(lower), np.uint8)
        out[: len(encoder.out)] = np.frombuffer(bytes(encoder.out), np.uint8)
        state = np.array([encoder.low, encoder.range, len(encoder.out)], np.int64)
        reading.write(lower, above, out, state)
        encoder.low, encoder.range = int(state[0]), int(state[1])
        encoder.out = bytearray(out[: state[2]].tobytes())
    return encoder.finish()


def band_bits(grids: Sequence[Int8Array], context: Context) -> float:
    """What the symbols of a band cost by the tables, in bits: a fraction of a byte less than ``encode_band`` takes."""
    bits = 0.0
    for grid in range(len(grids)):
        lower, above = _intervals(grids, grid, context)
        bits += len(lower) * range_coder.TOTAL_BITS - float(np.log2(above - lower).sum())
    return bits


def decode_band(
    data: bytes,
    shapes: Sequence[tuple[int, int]],
    context: Context,
    finest: int = 0,
    waves: int | None = None,
) -> list[Int8Array]:
    """The symbols again, one array for each shape (rows, columns), finest first.

    Args:
        finest: the number of the last grid that is decoded; what would come behind it has no cells, and what is left of
            the bytes is not looked at.
        waves: of that grid, at most: cell (y, x) is in wave x + 3 y. Its other cells are zeros.
    Raises:
        Corrupt: no encoder made these bytes, or some are left over.
    """
    reading = kernels.load(kernels.READING)
    grids = [np.empty((0, 0), np.int8)] * len(shapes)
    counts = [columns + 3 * (rows - 1) for rows, columns in shapes]
    whole = finest == 0 and (waves is None or waves >= counts[0])
    if waves is not None:
        counts[finest] = min(waves, counts[finest])
    if reading is None:
        decoder = range_coder.RangeDecoder(data)
        for grid in reversed(range(finest, len(shapes))):
            grids[grid] = _decode_grid(decoder, grids, grid, shapes[grid], context, counts[grid])
        if whole:
            decoder.finish()
        return grids
    numbers = np.frombuffer(bytearray(data), np.uint8)
    start = range_coder.RangeDecoder(data)
    state = np.array([start.code, start.range, start.at], np.int64)
    for grid in reversed(range(finest, len(shapes))):
        budget.tick()
        rows, columns = shapes[grid]
        framed = np.zeros((rows + 3, columns + 5), np.int8)
        stack = GridStack(framed, *_parents(grids, grid, shapes[grid]))
        if not reading.read(numbers, state, stack, context.of_grid(grid), tables(), counts[grid]):
            raise Corrupt("bytes that no encoder makes")
        grids[grid] = np.ascontiguousarray(framed[3:, 3:-2])
    if whole:
        range_coder.check_end(data, int(state[2]))
    return grids


def _skewed(found: Int8Array, rows: int, columns: int) -> Int8Array:
    """A view (rows, columns) of the cells in ``found`` (waves, rows), where cell (y, x) is at (x + 3 y, y)."""
    wave, row = found.strides
    return np.lib.stride_tricks.as_strided(found, (rows, columns), (3 * wave + row, wave))


def _decode_grid(
    decoder: range_coder.RangeDecoder,
    grids: Sequence[Int8Array],
    grid: int,
    shape: tuple[int, int],
    context: Context,
    wanted: int,
) -> Int8Array:
    """One grid, wave by wave, as many as are wanted. What is at (y, x) lies at (t + 9, y + 3) of an array, t = x + 3 y, and zeros around it: the
    contexts of a wave are slices."""
    rows, columns = shape
    waves = columns + 3 * (rows - 1)
    cells = np.zeros((waves + 9, rows + 3), np.int8)
    inherited = np.zeros((INPUTS - _SAME, waves, rows), np.int8)
    up, upper = _parents(grids, grid, shape)
    for at, plane in enumerate(_inherited(up, upper, slice(0, rows), columns)):
        _skewed(inherited[at], rows, columns)[:] = plane
    back = [(9 + 3 * down + across, 3 + down) for down, across in NEIGHBOURS]
    room = np.empty((INPUTS, min(rows, (columns + 2) // 3)))
    for t in range(wanted):
        first, end = max(0, (t - columns + 3) // 3), min(rows - 1, t // 3) + 1
        count = end - first
        if not t % _TICK:
            budget.tick()
        if count <= 0:
            continue
        found = room[:, :count]
        for at, (wave, row) in enumerate(back):
            found[at] = cells[t + wave, first + row : end + row]
        found[_SAME:] = inherited[:, t, first:end]
        m, s = context.distributions(grid, found)
        likely = np.clip((m + 8) >> 4, -LARGEST, LARGEST)
        symbols = likely.tolist()
        _read_wave(decoder, _counts(likely, m, s), _counts(likely + 1, m, s), m, s, symbols)
        cells[t + 9, first + 3 : end + 3] = symbols
    return np.ascontiguousarray(_skewed(cells[9:, 3:], rows, columns))


def _read_wave(
    decoder: range_coder.RangeDecoder,
    lower: Int64Array,
    above: Int64Array,
    m: Int64Array,
    s: Int64Array,
    symbols: list[int],
) -> None:
    """Read a wave's symbols over the likely ones that ``symbols`` has."""

    def search(place: int, count: int) -> tuple[int, int]:
        middle, row = int(m[place]), _row(int(s[place]))
        low, high = -LARGEST, LARGEST
        below, beyond = 0, TOTAL
        while low < high:
            v = (low + high + 1) >> 1
            at = _count(v, middle, row)
            if at <= count:
                low, below = v, at
            else:
                high, beyond = v - 1, at
        symbols[place] = low
        return below, beyond

    decoder.decode(lower.tolist(), above.tolist(), search)


def _count(v: int, m: int, row: list[int]) -> int:
    """``_counts`` of one symbol that is not the least."""
    d = 16 * v - 8 - m
    below = row[min(-d, REACH - 1)] if d <= 0 else TOTAL - row[min(d, REACH - 1)]
    return v + LARGEST + (below * (TOTAL - 2 * LARGEST - 1) >> range_coder.TOTAL_BITS)
