"""Seven grids of symbols, and a small network from them to colours: all that a reader of the method "latentgrid" needs.

Sections: ``PARM`` (below), ``NETW`` (how the weights differ from a published init, entropy coded), ``LATS`` (the symbols,
band by band, by ``entropy_model``), perhaps ``txtr`` (for readers that want texture, see ``texture``), and with alpha ``ALPH`` (the plane itself through an entropy backend,
lossless). docs/format.md, section 9, is normative.
"""

from __future__ import annotations

import functools
import math
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ... import budget, kernels
from ...container import Header, varint
from ...entropy import adaptive_coder
from ...errors import Corrupt, SettingError, UnsupportedVersion
from ...networks import registry
from ...processes import each, thread_count
from .. import FIDELITY, Facts
from ..sections import OneSize, alpha_backend, check_alpha, decode_alpha, pooled, required
from . import texture
from .entropy_model import GRIDS, Context, Int8Array, decode_band, encode_band
from .texture import Texture

FloatArray = NDArray[np.float32]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
UInt8Array = NDArray[np.uint8]
Window = tuple[slice, slice]
Shape = tuple[int, int]
Number = TypeVar("Number", bound=np.generic)

TAGS = frozenset({"PARM", "NETW", "LATS", "ALPH", texture.TAG})
# what ``extract`` takes out unless told otherwise: nothing
MAIN_PART = ""
LISTS = 6  # of weights
UNITS = (12, 12, 16, 16, 16, 16)  # the weights of a list are integers, in units of 2^-these
CONTEXT_WEIGHTS, BIASES, TAPS, MATRICES, OFFSETS, KERNEL = range(LISTS)
MAX_CONTEXT_WEIGHT, MAX_BIAS, WEIGHT_LIMIT = 2**16, 2**20, 2**24
MIN_WIDTH, MAX_WIDTH, WIDTH_STEP = 8, 64, 8
# The id of the init without a file
ZERO_INIT = bytes(4)
ZERO_INIT_TAPS = (-3 * 512, 29 * 512, 111 * 512, -9 * 512)
BAND = 512  # rows of the finest grid that are coded together
THUMBNAIL, THUMBNAIL_LEVEL = 8, 3  # the planes of the grid of 1/8 of the size are what a preview shows
TILE = (64, 1024)  # rows and columns of pixels that are made at a time; of narrow windows, longer ones
_PARM = struct.Struct("<B4s3B")


@dataclass(frozen=True)
class Parameters:
    """What the PARM section says: the ``width`` of the synthesis, the first 4 bytes of the id of the ``init``, and for
    each list of weights the exponent e of its differences, which are in units of 2^-e, at most 15."""

    width: int
    init: bytes
    exponents: tuple[int, ...]

    def pack(self) -> bytes:
        """8 bytes; see docs/format.md."""
        pairs = zip(self.exponents[::2], self.exponents[1::2])
        return _PARM.pack(self.width, self.init, *(low | high << 4 for low, high in pairs))

    @classmethod
    def unpack(cls, payload: bytes) -> Parameters:
        """Raises Corrupt unless these are bytes that mean something, within the limits."""
        if len(payload) != _PARM.size:
            raise Corrupt(f"{len(payload)} bytes where {_PARM.size} are due", field="PARM")
        width, init, *pairs = _PARM.unpack(payload)
        exponents = [part for pair in pairs for part in (pair & 15, pair >> 4)]
        if not MIN_WIDTH <= width <= MAX_WIDTH or width % WIDTH_STEP:
            raise Corrupt(f"impossible width {width}", field="PARM")
        if any(exponent > unit for exponent, unit in zip(exponents, UNITS)):
            raise Corrupt(f"impossible exponents {exponents}", field="PARM")
        return cls(width, init, tuple(exponents))


def matrices(width: int) -> tuple[tuple[int, ...], ...]:
    """How many weights each matrix of each list has."""
    return (256, 256, 32), (112, 16, 2), (24,), (7 * width, 3 * width, 21), (width, 3), (81,)


def counts(width: int) -> list[int]:
    """How many weights each list has."""
    return [sum(sides) for sides in matrices(width)]


def split(values: NDArray[Number], number: int, width: int) -> list[NDArray[Number]]:
    """The matrices of a list, as views."""
    return np.split(values, np.cumsum(matrices(width)[number])[:-1])


def pack_weights(differences: Sequence[NDArray[np.integer]]) -> bytes:
    """Six lists of integers to the payload of NETW: each matrix has statistics of its own."""
    width = len(differences[OFFSETS]) - 3
    return adaptive_coder.encode(
        part.astype(np.int32) for number, d in enumerate(differences) for part in split(d, number, width)
    )


def unpack_weights(payload: bytes, width: int) -> list[Int32Array]:
    """The six lists again.

    Raises:
        Corrupt: bytes are left over.
    """
    sides = matrices(width)
    try:
        parts = iter(adaptive_coder.decode(payload, [count for one in sides for count in one]))
    except Corrupt as exc:
        raise Corrupt(str(exc), field="NETW") from exc
    return [np.concatenate([next(parts) for _ in one]) for one in sides]


def grid_shapes(shape: Shape) -> list[Shape]:
    """(rows, columns) of the grids of a picture, or of a band of its rows, finest first."""
    found = [shape]
    while len(found) < GRIDS:
        rows, columns = found[-1]
        found.append((-(-rows // 2), -(-columns // 2)))
    return found


def band_rows(shape: Shape, band: int) -> list[slice]:
    """The rows of each grid that a band has."""
    return [
        slice(BAND * band >> k, min(rows, BAND * (band + 1) >> k))
        for k, (rows, _) in enumerate(grid_shapes(shape))
    ]


def bands(grids: Sequence[Int8Array]) -> Iterator[list[Int8Array]]:
    """The grids of a picture, band by band."""
    shape = grids[0].shape[0], grids[0].shape[1]
    for band in range(-(-shape[0] // BAND)):
        yield [grid[rows] for grid, rows in zip(grids, band_rows(shape, band))]


# --- weights


@dataclass(frozen=True, eq=False)
class Nets:
    """The weights of a file, as integers: six lists, (n,) int64 each, in the order of docs/format.md."""

    width: int
    lists: tuple[Int64Array, ...]

    @cached_property
    def context(self) -> Context:
        """The probability model."""
        return Context.of(self.lists[CONTEXT_WEIGHTS], self.lists[BIASES])

    @cached_property
    def taps(self) -> FloatArray:
        """(6, 4): row k doubles the planes of level k + 1."""
        return self._floats(TAPS).reshape(GRIDS - 1, 4)

    @cached_property
    def matrices(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """P (C, 7), Q (3, C) and S (3, 7)."""
        p, q, s = np.split(self._floats(MATRICES), (7 * self.width, 10 * self.width))
        return p.reshape(-1, GRIDS), q.reshape(3, -1), s.reshape(3, GRIDS)

    @cached_property
    def offsets(self) -> tuple[FloatArray, FloatArray]:
        """p (C,) and q (3,)."""
        p, q = np.split(self._floats(OFFSETS), (self.width,))
        return p, q

    @cached_property
    def kernel(self) -> FloatArray:
        """K (3, 3, 3, 3): output plane, input plane, row, column."""
        return self._floats(KERNEL).reshape(3, 3, 3, 3)

    def _floats(self, number: int) -> FloatArray:
        return self.lists[number].astype(np.float32) * np.float32(2.0 ** -UNITS[number])


def zero_init(width: int) -> tuple[Int64Array, ...]:
    """The weights of the init without a file: all zero, but for the taps."""
    found = tuple(np.zeros(count, np.int64) for count in counts(width))
    found[TAPS][:] = ZERO_INIT_TAPS * (GRIDS - 1)
    return found


def init_lists(parameters: Parameters) -> tuple[Int64Array, ...]:
    """The weights of the init that a file names.

    Raises:
        UnsupportedVersion: this release does not have it.
        Corrupt: it is not of this width.
        MissingComponent: its file is absent or was changed.
    """
    if parameters.init == ZERO_INIT:
        return zero_init(parameters.width)
    return _published(_init_row(parameters))


def _init_row(parameters: Parameters) -> registry.Init:
    row = registry.init_of_wire_id(parameters.init)
    if row.width != parameters.width:
        raise Corrupt(f"init {row.name} is not of width {parameters.width}", field="PARM")
    return row


@functools.lru_cache(maxsize=16)
def _published(row: registry.Init) -> tuple[Int64Array, ...]:
    numbers = np.fromfile(registry.checked_file(row), "<i4").astype(np.int64)
    sides = counts(row.width)
    assert len(numbers) == sum(sides)
    return tuple(np.split(numbers, np.cumsum(sides)[:-1]))


def nets_of(parameters: Parameters, differences: Iterable[NDArray[np.integer]]) -> Nets:
    """The weights that an init and six lists of differences give.

    Raises:
        Corrupt: one is beyond its limit; or see ``init_lists``.
    """
    found = []
    for number, (init, d) in enumerate(zip(init_lists(parameters), differences)):
        sums = init + d.astype(np.int64).ravel() * 2 ** (UNITS[number] - parameters.exponents[number])
        limit = {CONTEXT_WEIGHTS: MAX_CONTEXT_WEIGHT, BIASES: MAX_BIAS}.get(number, WEIGHT_LIMIT - 1)
        if np.abs(sums).max() > limit:
            raise Corrupt(f"a weight of list {number} is beyond {limit}", field="NETW")
        found.append(sums)
    return Nets(parameters.width, tuple(found))


# --- from planes to colours, in an order of sums that is the same for every window


def upsample2x(padded: FloatArray, taps: FloatArray, top: int, left: int, size: Shape) -> FloatArray:
    """Planes (n, rows, columns) at twice the resolution, (n, *size).

    Args:
        padded: from 2 before the first coarse row and column that is doubled on.
        top, left: 1 if the first fine row or column is an odd one.
    """
    if (reading := kernels.load(kernels.READING)) is not None:
        out = np.empty((len(padded), *size), np.float32)
        reading.upsample2x(padded, taps, top, left, out)
        return out
    return _upsample_axis(_upsample_axis(padded, taps, top, size[0], 1), taps, left, size[1], 2)


def _upsample_axis(x: FloatArray, taps: FloatArray, odd: int, size: int, axis: int) -> FloatArray:
    """Doubled along one axis."""
    count = (size - 1 + odd) // 2 + 1
    parts = [x[(slice(None),) * axis + (slice(at, at + count),)] for at in range(5)]
    shape = list(x.shape)
    shape[axis] = 2 * count
    out = np.empty(shape, np.float32)
    for phase, (order, used) in enumerate(((taps, parts[:4]), (taps[::-1], parts[1:]))):
        total = order[0] * used[0]
        for tap, part in zip(order[1:], used[1:]):
            total += tap * part
        out[(slice(None),) * axis + (slice(phase, None, 2),)] = total
    return out[(slice(None),) * axis + (slice(odd, odd + size),)]


def synthesis_mlp(planes: FloatArray, nets: Nets) -> FloatArray:
    """(7, rows, columns) to three planes before the last filter."""
    (p, q, s), (bias, offset) = nets.matrices, nets.offsets
    v = np.ascontiguousarray(planes).reshape(GRIDS, -1)
    out = np.empty((3, v.shape[1]), np.float32)
    if (reading := kernels.load(kernels.READING)) is not None:
        reading.synthesis_mlp(v, p, bias, q, s, offset, out)
        return out.reshape(3, *planes.shape[1:])
    step = 1 << 14
    room, h = np.empty(step, np.float32), np.empty(step, np.float32)
    for start in range(0, v.shape[1], step):
        part, g = v[:, start : start + step], out[:, start : start + step]
        product, unit = room[: part.shape[1]], h[: part.shape[1]]
        for row, b, into in zip(s, offset, g):
            _summed(row, b, part, into, product)
        for c in range(nets.width):
            _summed(p[c], bias[c], part, unit, product)
            np.fmax(unit, 0, out=unit)
            for weight, into in zip(q[:, c], g):
                into += np.multiply(unit, weight, out=product)
    return out.reshape(3, *planes.shape[1:])


def _summed(row: FloatArray, bias: np.float32, v: FloatArray, out: FloatArray, room: FloatArray) -> None:
    out[:] = bias
    for weight, plane in zip(row, v):
        out += np.multiply(plane, weight, out=room)


def synthesis_conv(g: FloatArray, k: FloatArray) -> FloatArray:
    """The last filter: (3, rows + 2, columns + 2) to (3, rows, columns)."""
    rows, columns = g.shape[1] - 2, g.shape[2] - 2
    out = np.empty((3, rows, columns), np.float32)
    if (reading := kernels.load(kernels.READING)) is not None:
        reading.synthesis_conv(g, k, out)
        return out
    for into, weights_of, centre in zip(out, k, g):
        into[:] = centre[1:-1, 1:-1]
        for matrix, plane in zip(weights_of, g):
            for r, row in enumerate(matrix):
                for c, weight in enumerate(row):
                    into += weight * plane[r : r + rows, c : c + columns]
    return out


# The rows of a grid: called with its number and two slices, gives that part of its symbols
Symbols = Callable[[int, slice, slice], Int8Array]


@dataclass(frozen=True)
class Synthesis:
    """The way from symbols to pixels, for a picture of (rows, columns) and 1 or 3 colour planes; at full size with a
    ``texture``, if there is one."""

    nets: Nets
    shape: Shape
    colour_planes: int
    texture: Texture | None = None

    def pixels(
        self, symbols: Symbols, window: Window | None = None, level: int = 0, threads: int = 1
    ) -> UInt8Array:
        """A window of the picture at the size of a grid, (rows, columns, 1 or 3): at a level above 0 without the finer
        grids."""
        shape = grid_shapes(self.shape)[level]
        y, x = window or (slice(0, shape[0]), slice(0, shape[1]))
        out = np.empty((y.stop - y.start, x.stop - x.start, self.colour_planes), np.uint8)

        def draw(tile: Window) -> None:
            budget.tick()
            rows, columns = tile
            into = (
                slice(rows.start - y.start, rows.stop - y.start),
                slice(columns.start - x.start, columns.stop - x.start),
            )
            with np.errstate(over="ignore", invalid="ignore"):  # weights that no writer chooses
                out[into] = self._tile(symbols, rows, columns, level)

        each(draw, list(_tiles(y, x)), threads)
        return out

    def _tile(self, symbols: Symbols, rows: slice, columns: slice, level: int) -> UInt8Array:
        shape = grid_shapes(self.shape)[level]
        inner = tuple(
            slice(max(part.start - 1, 0), min(part.stop + 1, side))
            for part, side in zip((rows, columns), shape)
        )
        found = self.planes(symbols, level, *inner)
        planes = np.zeros((GRIDS, *found.shape[1:]), np.float32)
        planes[level:] = found
        g = synthesis_mlp(planes, self.nets)
        if self.texture is not None and level == 0:
            g += self.texture.added(planes, (inner[0], inner[1]))
        rgb = synthesis_conv(_padded(g, (rows, columns), inner, 1, 1), self.nets.kernel)
        if self.colour_planes == 1:
            rgb = ((rgb[0] + rgb[1] + rgb[2]) / np.float32(3))[None]
        rgb *= np.float32(255)
        rgb += np.float32(0.5)
        rgb = np.fmin(np.fmax(rgb, 0, out=rgb), 255, out=rgb)  # and what is no number is 0
        return rgb.astype(np.uint8).transpose(1, 2, 0)

    def planes(self, symbols: Symbols, level: int, rows: slice, columns: slice) -> FloatArray:
        """The planes of a level, (7 - level, rows, columns): the grid's own first."""
        own = symbols(level, rows, columns).astype(np.float32)[None]
        if level == GRIDS - 1:
            return own
        # the coarse rows and columns that are doubled, and those that this needs, inside of the grid
        coarse = [slice(part.start >> 1, (part.stop - 1 >> 1) + 1) for part in (rows, columns)]
        sides = grid_shapes(self.shape)[level + 1]
        inner = [slice(max(part.start - 2, 0), min(part.stop + 2, side)) for part, side in zip(coarse, sides)]
        found = self.planes(symbols, level + 1, *inner)
        padded = _padded(found, coarse, inner, 2, 2)
        more = upsample2x(padded, self.nets.taps[level], rows.start & 1, columns.start & 1, own.shape[1:])
        return np.concatenate([own, more])


def _padded(
    planes: FloatArray, wanted: Sequence[slice], there: Sequence[slice], before: int, behind: int
) -> FloatArray:
    """Planes of the part that is ``there``, with as many rows and columns around the one ``wanted``: the edges repeated
    where the picture ends."""
    around = [
        (before - (part.start - inner.start), behind - (inner.stop - part.stop))
        for part, inner in zip(wanted, there)
    ]
    return np.ascontiguousarray(np.pad(planes, ((0, 0), *around), "edge"))


def _tiles(y: slice, x: slice) -> Iterator[Window]:
    """Tiles of a window, about as many pixels each whatever its shape: a tile costs some milliseconds by itself."""
    area = TILE[0] * TILE[1]
    down = max(TILE[0], area // max(x.stop - x.start, 1))
    across = max(TILE[1], area // max(y.stop - y.start, 1))
    for top in range(y.start, y.stop, down):
        for left in range(x.start, x.stop, across):
            yield slice(top, min(top + down, y.stop)), slice(left, min(left + across, x.stop))


def reconstruct(header: Header, nets: Nets, grids: Sequence[Int8Array], threads: int = 1) -> UInt8Array:
    """The colour planes that a reader of these symbols gets, (H, W, 1 or 3)."""
    synthesis = Synthesis(nets, (header.height, header.width), header.colour_planes)
    return synthesis.pixels(lambda grid, rows, columns: grids[grid][rows, columns], threads=threads)


# --- sections


def pack_sections(
    header: Header,
    parameters: Parameters,
    differences: Sequence[NDArray[np.integer]],
    grids: Sequence[Int8Array],
) -> list[tuple[str, bytes]]:
    """The sections of a picture without alpha, as (tag, payload).

    Args:
        differences: six lists of integers, magnitudes below 2^15, in units of 2^-exponent.
        grids: finest first, (rows, columns) int8 each, -127..127.
    """
    context = nets_of(parameters, differences).context
    payloads = [encode_band(band, context) for band in bands(grids)]
    lats = b"".join(varint(len(payload)) + payload for payload in payloads)
    return [("PARM", parameters.pack()), ("NETW", pack_weights(differences)), ("LATS", lats)]


def _split(payload: bytes, count: int) -> list[bytes]:
    """The bytes of each band.

    Raises:
        Corrupt: there are not so many bands, or bytes are left over.
    """
    found, at = [], 0
    for _ in range(count):
        length, shift = 0, 0
        while True:
            if at == len(payload) or shift > 28:
                raise Corrupt("the length of a band is cut or too long", field="LATS")
            byte = payload[at]
            length |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        if byte == 0 and shift > 7:
            raise Corrupt("the length of a band is longer than it need be", field="LATS")
        if length > len(payload) - at:
            raise Corrupt(f"a band of {length} bytes where {len(payload) - at} are left", field="LATS")
        found.append(payload[at : at + length])
        at += length
    if at < len(payload):
        raise Corrupt(f"{len(payload) - at} bytes follow the last band", field="LATS")
    return found


class Part(NamedTuple):
    """Of a band: its grids from the coarsest to this one, and of this one the first ``waves``."""

    finest: int
    waves: int


@dataclass(frozen=True, eq=False)
class Parsed(OneSize):
    """A file's weights, the bytes of its bands, which are decoded when they are needed, and its alpha, (H, W) or None."""

    header: Header
    parameters: Parameters
    nets: Nets
    coded: list[bytes]
    alpha: UInt8Array | None
    texture: Texture | None = None
    _decoded: dict[int, tuple[Part, list[Int8Array]]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    # the picture is the synthesis's, at full size
    needs_network = True

    @property
    def shape(self) -> Shape:
        """(rows, columns) of the picture."""
        return self.header.height, self.header.width

    def preview(self) -> UInt8Array:
        """At 1/8 of the file's size, (ceil(H / 8), ceil(W / 8), channels): the grids of that size and coarser ones."""
        colour = self._colour(None, THUMBNAIL_LEVEL, 1)
        if self.alpha is None:
            return colour
        return np.concatenate([colour, pooled(self.alpha, THUMBNAIL)[..., None]], -1)

    def pixels(self, window: Window | None, threads: int | None = 1, decoder: str = FIDELITY) -> UInt8Array:
        """As ``ParsedFile``: the synthesis of the window's symbols, with the decoder "perceptual" and texture.

        Raises:
            Corrupt: a band that it needs is broken.
            SettingError: the file has no texture.
        """
        if decoder != FIDELITY and self.texture is None:
            raise SettingError(
                f"this file has no texture for decoder {decoder!r}: encoders store one where it is fitted for the eye at a low rate"
            )
        colour = self._colour(window, 0, thread_count(threads), None if decoder == FIDELITY else self.texture)
        if self.alpha is None:
            return colour
        return np.concatenate([colour, self.alpha[window or ...][..., None]], -1)

    def grids(self, threads: int = 1) -> list[Int8Array]:
        """All symbols, finest grid first."""
        self._decode(self._needed((slice(0, self.shape[0]), slice(0, self.shape[1])), 0), threads)
        return [
            np.concatenate([self._decoded[b][1][k] for b in range(len(self.coded))]) for k in range(GRIDS)
        ]

    def _colour(
        self, window: Window | None, level: int, threads: int, shown: Texture | None = None
    ) -> UInt8Array:
        rows, columns = grid_shapes(self.shape)[level]
        self._decode(self._needed(window or (slice(0, rows), slice(0, columns)), level), threads)
        synthesis = Synthesis(self.nets, self.shape, self.header.colour_planes, shown)
        return synthesis.pixels(self._symbols, window, level, threads)

    def _needed(self, window: Window, level: int) -> dict[int, Part]:
        """What a window of the picture at a level needs of each band: all, of one as wide as the picture, as others below it
        often follow."""
        spans = [(part.start - 1, part.stop + 1) for part in window]
        last, needed = len(self.coded) - 1, dict[int, Part]()
        for k, sides in enumerate(grid_shapes(self.shape)[level:], level):
            spans = [(max(first, 0), min(end, side)) for (first, end), side in zip(spans, sides)]
            (top, bottom), (_, right) = spans
            step = BAND >> k
            for band in range(min(top // step, last), min((bottom - 1) // step, last) + 1):
                if band not in needed:
                    rows = bottom - band * step
                    needed[band] = Part(k, right + 3 * ((rows if band == last else min(rows, step)) - 1))
            spans = [((first >> 1) - 2, (end - 1 >> 1) + 3) for first, end in spans]
        if window[1].stop - window[1].start == grid_shapes(self.shape)[level][1]:
            return dict.fromkeys(needed, Part(level, self._all_waves))
        return needed

    def _decode(self, needed: Mapping[int, Part], threads: int) -> None:
        """Have these parts of bands."""
        with self._lock:
            missing = {}
            for band, part in needed.items():
                had = self._decoded[band][0] if band in self._decoded else Part(GRIDS, 0)
                if part.finest < had.finest:
                    missing[band] = part
                elif part.finest == had.finest and part.waves > had.waves:
                    # for the second time: more may follow
                    missing[band] = part._replace(waves=self._all_waves)
            if missing and kernels.load(kernels.READING) is None:
                steps = sum(
                    self._all_waves >> k for part in missing.values() for k in range(part.finest, GRIDS)
                )
                budget.slowly("a picture so long and narrow", steps, math.prod(self.shape))
            each(lambda band: self._decode_band(band, missing[band]), list(missing), threads)

    @property
    def _all_waves(self) -> int:
        """Of the finest grid of a band, at least."""
        rows, columns = self.shape
        return columns + 3 * min(BAND, rows)

    def _decode_band(self, band: int, part: Part) -> None:
        budget.tick()
        rows, columns = self.shape
        shapes = grid_shapes((min(BAND, rows - BAND * band), columns))
        try:
            self._decoded[band] = part, decode_band(self.coded[band], shapes, self.nets.context, *part)
        except Corrupt as exc:
            raise Corrupt(f"band {band}: {exc}", field="LATS") from exc

    def _symbols(self, grid: int, rows: slice, columns: slice) -> Int8Array:
        """A part of a grid, of bands that are decoded."""
        step = BAND >> grid
        last = len(self.coded) - 1
        parts = []
        for band in range(min(rows.start // step, last), min((rows.stop - 1) // step, last) + 1):
            start = band * step
            found = self._decoded[band][1][grid]
            parts.append(found[max(rows.start - start, 0) : rows.stop - start, columns])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def parse(header: Header, sections: dict[str, bytes]) -> Parsed:
    """Sections to the weights and the bands' bytes.

    Raises:
        CodestreamError: a section is missing, or does not hold what the header promises.
    """
    parameters = _parameters_of(sections)
    coded = _bands_of(header, sections)
    differences = unpack_weights(required(sections, "NETW"), parameters.width)
    nets = nets_of(parameters, differences)
    return Parsed(header, parameters, nets, coded, decode_alpha(header, sections), texture_of(sections))


def texture_of(sections: dict[str, bytes]) -> Texture | None:
    """The units that a reader may ask for, where a file has them. The symbols' checksum is the seed of what they see.

    Raises:
        Corrupt: the section means nothing.
    """
    if texture.TAG not in sections:
        return None
    return Texture.unpack(sections[texture.TAG], zlib.crc32(required(sections, "LATS")))


def _parameters_of(sections: dict[str, bytes]) -> Parameters:
    """Raises CodestreamError: the section is missing or means nothing, or this release has no such init."""
    parameters = Parameters.unpack(required(sections, "PARM"))
    if parameters.init != ZERO_INIT:
        _init_row(parameters)
    return parameters


def _bands_of(header: Header, sections: dict[str, bytes]) -> list[bytes]:
    return _split(required(sections, "LATS"), -(-header.height // BAND))


def validate(header: Header, sections: dict[str, bytes]) -> None:
    """All that can be checked without decoding.

    Raises:
        CodestreamError: a section is missing, or names what this release does not have.
    """
    _parameters_of(sections)
    required(sections, "NETW")
    _bands_of(header, sections)
    texture_of(sections)
    check_alpha(header, sections)


def describe(header: Header, parameters: bytes, first_bytes: dict[str, bytes]) -> Facts:
    """The fields of ``ImageInfo`` that are this method's.

    Args:
        parameters: the PARM section.
        first_bytes: the first byte of each other section that the method knows.
    """
    found = Parameters.unpack(parameters)
    name, init_id = "zero init", ""
    if found.init != ZERO_INIT:
        init_id = found.init.hex()
        try:
            name = f"init {registry.init_of_wire_id(found.init).name}"
        except UnsupportedVersion:
            name = "init unknown"
    return {
        "scale": THUMBNAIL,
        "levels": None,
        "chroma_levels": None,
        "backends": alpha_backend(first_bytes),
        "model_id": init_id,
        "model": f"{name}, width {found.width}" + (", texture" if texture.TAG in first_bytes else ""),
    }


def summary(facts: Mapping[str, object]) -> str:
    """The settings in a few words."""
    return "grids of symbols, fitted to the picture"
