"""A standard codec under a network: base codec -> file, and file -> base codec -> restoration network.

The network was trained for one base codec at all its qualities. The encoder decodes what it wrote, and
stores how much of the network's correction brings the picture nearest to the original: none, if none does.
At low rates the base codec may carry the picture at half its size (scale 2).

Source: Cai et al., "Deep Sampling Networks", 2017, section 4.4 codes the low-resolution layer with a
standard codec; here that codec is lossy, as in Guleryuz et al., "Sandwiched image compression", 2021.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from .. import backends, weights
from ..container import Header
from ..inference import Tile, Window, common, moved, network, thread_count, tiles
from ..metrics import psnr_db
from ..planes import TO_YCBCR, crop_padded
from . import DEFAULT_EFFORT
from .base import NO_MODEL, UNIT_STRENGTH, Layer, Parameters
from .halves import doubled, half_shape, halved
from .sections import encode_alpha

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

TILE = 256  # pixels of a side, a multiple of every network's unit
LEAST_GAIN_DB = 0.01  # below, running a network is not worth a reader's time
LUMA = TO_YCBCR[0]

# What effort buys
HALF_FROM_EFFORT = 4  # half the size is tried too, at low qualities
BEST_FROM_EFFORT = (
    6  # the larger network, and all of its correction looked at, where a sample says enough below
)
OTHERS_FROM_EFFORT = 8  # all base codecs are tried

# Half the size: it never won above this quality of the base codec on the tuning pictures, and what it needs for
# the same bytes lay this much higher
HALF_UP_TO_QUALITY = 26
HALF_QUALITY_HIGHER = (8, 30)
LEAST_SIDE_OF_HALF = 32

# The sample of the correction, of which the strength is made: blocks of this side, in equal numbers from where the
# base codec erred least to where it erred most
SAMPLE_BLOCK = 96
SAMPLE_SHARE = 1 / 12  # of all blocks, and at least as many as there are ranks
SAMPLE_RANKS = 4
LEAST_SAMPLED_PIXELS = 160_000  # a smaller picture is looked at whole
ODD_BLOCK = 0.5  # a block that wants less of the correction than this, or thrice as much: the whole picture is looked at


@dataclass(frozen=True)
class Way:
    """What carries a picture: a base codec, at full size (scale 1) or at half of it (2)."""

    base: str
    scale: int


@dataclass(frozen=True)
class Coded:
    """A picture as a file would hold it; ``mse`` is of what a reader gets, over all colour samples."""

    payload: bytes
    parameters: Parameters
    mse: float


class Encoder:
    """One picture on its way into files. A point is a quality of the base codec, 0..100 on its own scale, at full
    size, or at half of it if ``scale`` is 2. With ``scale`` None, whatever serves a reader better with no more bytes
    may take its place: half the size, or another base codec.
    """

    def __init__(
        self,
        header: Header,
        pixels: UInt8Array,
        threads: int | None,
        effort: int = DEFAULT_EFFORT,
        scale: int | None = None,
    ) -> None:
        self.header, self.threads, self.effort, self.scale = header, thread_count(threads), effort, scale
        self.colour = np.ascontiguousarray(pixels[..., : header.colour_planes])
        self.alpha = pixels[..., -1] if header.has_alpha else None
        self._payloads: dict[tuple[Way, int], bytes] = {}
        self._coded: dict[tuple[Way, int], Coded] = {}

    @property
    def points(self) -> list[int]:
        """The base codec's own qualities."""
        return list(range(101))

    def point_of_quality(self, quality: int, backend: str = "auto") -> int:
        """The base codec's own quality for one of ours."""
        return backends.BASE_CODECS[self._base(backend)].own_quality(quality)

    def between(self, low: int, high: int) -> list[int]:
        """There is nothing between two neighbouring qualities."""
        return []

    def sections(self, point: int, backend: str) -> list[tuple[str, bytes]]:
        """The coded picture as (tag, payload).

        Args:
            backend: the base codec, or "auto": the first that holds the picture.
        """
        _, best = self._best(point, backend)
        sections = [("PARM", best.parameters.pack()), ("BASE", best.payload)]
        if self.alpha is not None:
            sections.append(("ALPH", self._alpha_payload))
        return sections

    def reconstruct(self, point: int, backend: str = "auto") -> UInt8Array:
        """The colour planes a reader of this quality gets, (H, W, 1 or 3)."""
        way, best = self._best(point, backend)
        return self._shown(way, best.parameters, self._decoded(way, best.payload))

    def _base(self, backend: str) -> str:
        return backend if backend != "auto" else self._bases[0]

    @cached_property
    def _bases(self) -> list[str]:
        """The base codecs that hold the picture."""
        fitting = [
            name
            for name, row in backends.BASE_CODECS.items()
            if row.holds(self.colour) and backends.has_base(name)
        ]
        return fitting or ["jxl"]  # which says what it holds

    @cached_property
    def _half(self) -> UInt8Array:
        return halved(self.colour)

    @cached_property
    def _alpha_payload(self) -> bytes:
        assert self.alpha is not None
        return encode_alpha(self.alpha, self.effort)

    def _best(self, point: int, backend: str) -> tuple[Way, Coded]:
        """The base codec at this quality, or what takes its place: no larger, and nearer to the original."""
        way = Way(self._base(backend), self.scale or 1)
        best = self._code(way, point)
        limit = len(best.payload)
        for other, qualities in self._others(way, point, backend):
            fitting = bisect.bisect(
                qualities, limit, key=partial(self._size, other)
            )  # sizes rise with quality
            if fitting:
                candidate = self._code(other, qualities[fitting - 1])
                if candidate.mse < best.mse:
                    way, best = other, candidate
        return way, best

    def _others(self, way: Way, point: int, backend: str) -> Iterator[tuple[Way, Sequence[int]]]:
        """What else is worth a try at this effort, and the qualities among which it would be."""
        if self.scale is not None:
            return
        half = Way(way.base, 2)
        if (
            self.effort >= HALF_FROM_EFFORT
            and point <= HALF_UP_TO_QUALITY
            and min(self.colour.shape[:2]) >= LEAST_SIDE_OF_HALF
            and self._model(half) is not None
        ):
            low, high = (point + more for more in HALF_QUALITY_HIGHER)
            yield half, [q for q in backends.BASE_CODECS[way.base].qualities if low <= q <= high]
        if self.effort >= OTHERS_FROM_EFFORT and backend == "auto":
            for base in self._bases[1:]:
                yield Way(base, 1), backends.BASE_CODECS[base].qualities

    def _model(self, way: Way) -> weights.Restoration | None:
        return weights.restoration(way.base, self.effort >= BEST_FROM_EFFORT, way.scale)

    def _payload(self, way: Way, quality: int) -> bytes:
        if (way, quality) not in self._payloads:
            colour = self.colour if way.scale == 1 else self._half
            coded = backends.encode_base(colour, quality, way.base, self.effort, self.threads)
            self._payloads[way, quality] = coded
        return self._payloads[way, quality]

    def _size(self, way: Way, quality: int) -> int:
        return len(self._payload(way, quality))

    def _decoded(self, way: Way, payload: bytes) -> UInt8Array:
        """The base picture at full size."""
        shape = self.colour.shape
        if way.scale == 1:
            return backends.decode_base(payload, shape)
        return doubled(backends.decode_base(payload, half_shape(shape)), shape)

    def _shown(self, way: Way, parameters: Parameters, decoded: UInt8Array) -> UInt8Array:
        layer = Layer(self.header, parameters, way.base, decoded, decoded, None)
        return _restored(layer, None, self.threads)

    def _code(self, way: Way, quality: int) -> Coded:
        if (way, quality) not in self._coded:
            self._coded[way, quality] = self._chosen(way, quality, self._payload(way, quality))
        return self._coded[way, quality]

    def _chosen(self, way: Way, quality: int, payload: bytes) -> Coded:
        """With how much of the network's correction serves this picture best."""
        decoded = self._decoded(way, payload)
        psnr = min(psnr_db(self.colour, decoded), 99.0)  # it may be lossless
        error = 255**2 / 10 ** (psnr / 10)
        parameters = Parameters(quality, psnr, 0, 0.0, NO_MODEL, way.scale).rounded()
        plain = Coded(payload, parameters, error)
        model = self._model(way)
        if model is None:
            return plain
        restorer = Restorer(model, decoded, parameters, self.threads)
        seen, whole = self._looked_at(restorer)
        strength = min(255, round(UNIT_STRENGTH * seen.along / seen.length)) if seen.along > 0 else 0
        share = strength / UNIT_STRENGTH
        left = 1 - (2 * share * seen.along - share**2 * seen.length) / max(seen.error, 1e-9)
        mse = error * max(left, 0.0) + 1 / 12  # what rounding adds
        if strength == 0 or not mse < error:
            return plain
        gain_db = 10 * math.log10(error / mse)
        if gain_db < LEAST_GAIN_DB:
            return plain
        parameters = replace(parameters, strength=strength, gain_db=gain_db, model_id=model.wire_id).rounded()
        if (
            whole and decoded.size <= 3 * TILE**2
        ):  # too few samples for the estimate: look at what a reader gets
            mse = 255**2 / 10 ** (psnr_db(self.colour, self._shown(way, parameters, decoded)) / 10)
            if mse >= error:
                return plain
        return Coded(payload, parameters, mse)

    def _looked_at(self, restorer: Restorer) -> tuple[Products, bool]:
        """What the correction would do, and whether all of it was looked at."""
        everything = (slice(0, self.header.height), slice(0, self.header.width))
        if self.effort < BEST_FROM_EFFORT and self.header.height * self.header.width >= LEAST_SAMPLED_PIXELS:
            sample = [self._products(restorer, tile) for tile in self._sample(restorer)]
            wants = [part.along / part.length if part.length else 0.0 for part in sample]
            if min(wants) >= ODD_BLOCK and max(wants) <= 3:
                return sum(sample, Products()), False
        return sum((self._products(restorer, tile) for tile in restorer.tiles(everything)), Products()), True

    def _sample(self, restorer: Restorer) -> list[Tile]:
        """Blocks of the picture, from all ranks of the base codec's error."""
        blocks = list(restorer.blocks(SAMPLE_BLOCK))
        errors = [float(np.square(self._wanted(restorer, tile)).sum()) for tile in blocks]
        ranked = [blocks[i] for i in np.argsort(errors, kind="stable")]
        count = max(SAMPLE_RANKS, round(SAMPLE_SHARE * len(blocks)))
        return [ranked[(2 * i + 1) * len(ranked) // (2 * count)] for i in range(count)]

    def _wanted(self, restorer: Restorer, tile: Tile) -> FloatArray:
        wanted: FloatArray = self.colour[tile.inner].astype(np.float32)
        wanted -= restorer.decoded[tile.inner]  # both end at the picture's edges
        return wanted

    def _products(self, restorer: Restorer, tile: Tile) -> Products:
        correction, wanted = restorer.correction(tile), self._wanted(restorer, tile)
        pairs = ((correction, wanted), (correction, correction), (wanted, wanted))
        return Products(*(float(np.vdot(a, b)) for a, b in pairs))


@dataclass(frozen=True)
class Products:
    """Sums over samples: of the correction times what is wanted, of the correction's square, and of the wanted's."""

    along: float = 0.0
    length: float = 0.0
    error: float = 0.0

    def __add__(self, other: Products) -> Products:
        return Products(self.along + other.along, self.length + other.length, self.error + other.error)


@dataclass(frozen=True)
class Restorer:
    """A base codec's picture under its network."""

    model: weights.Restoration
    decoded: UInt8Array  # (H, W, 1 or 3), at full size
    parameters: Parameters  # as a reader has them
    threads: int

    def tiles(self, window: Window) -> Iterator[Tile]:
        """Tiles that cover a window, in whole units of the network; the last ones may reach beyond the picture."""
        unit, (rows, columns) = self.model.unit, self.decoded.shape[:2]
        bounds = -(-rows // unit) * unit, -(-columns // unit) * unit
        y, x = (slice(side.start // unit * unit, -(-side.stop // unit) * unit) for side in window)
        return tiles((y, x), bounds, TILE, self.model.halo)

    def blocks(self, side: int) -> Iterator[Tile]:
        """Whole blocks of a side in pixels, as many as there are."""
        rows, columns = (length // side * side for length in self.decoded.shape[:2])
        unit = self.model.unit
        bounds = tuple(-(-length // unit) * unit for length in self.decoded.shape[:2])
        return tiles((slice(0, rows), slice(0, columns)), (bounds[0], bounds[1]), side, self.model.halo)

    def correction(self, tile: Tile) -> FloatArray:
        """What the network would add in a tile, (rows, columns, 1 or 3), in grey levels, cut at the picture's edges."""
        colour = crop_padded(self.decoded, *tile.outer)
        if colour.shape[2] == 1:
            colour = colour.repeat(3, 2)
        x = np.ascontiguousarray(colour.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
        net = network(weights.checked_restoration(self.model), self.threads)
        known = self.parameters.quality / 100, self.parameters.rmse
        quality, rmse = (np.full((1, 1, 1), value, np.float32) for value in known)
        added = (net(x, quality, rmse) - x)[:, *tile.crop] * np.float32(255)
        if self.decoded.shape[2] == 1:
            added = np.tensordot(LUMA, added, 1)[None]
        rows, columns = (side.stop - side.start for side in self._inside(tile))
        return np.ascontiguousarray(added[:, :rows, :columns].transpose(1, 2, 0))

    def _inside(self, tile: Tile) -> Window:
        y, x = tile.inner
        rows, columns = self.decoded.shape[:2]
        return slice(y.start, min(y.stop, rows)), slice(x.start, min(x.stop, columns))


def _restored(layer: Layer, region: Window | None, threads: int) -> UInt8Array:
    """A region of the colour planes after the network, (rows, columns, 1 or 3)."""
    window = region or (slice(0, layer.header.height), slice(0, layer.header.width))
    parameters = layer.parameters
    if parameters.strength == 0:
        return layer.colour[window]
    model = weights.restoration_of_wire_id(parameters.model_id, layer.base, parameters.scale)
    restorer = Restorer(model, layer.colour, parameters, threads)
    share = np.float32(parameters.strength / UNIT_STRENGTH)
    out = np.empty(
        (window[0].stop - window[0].start, window[1].stop - window[1].start, layer.colour.shape[2]), np.uint8
    )
    for tile in restorer.tiles(window):
        part = common(tile.inner, window)
        correction = restorer.correction(tile)[moved(part, tile.inner)]
        values = layer.colour[part] + share * correction
        out[moved(part, window)] = np.clip(values + np.float32(0.5), 0, 255).astype(np.uint8)
    return out


def decode(layer: Layer, region: Window | None, threads: int | None) -> UInt8Array:
    """The base codec's picture to pixels, (rows, columns, channels) uint8 with alpha last.

    Args:
        region: rows and columns of the full picture; None is all of it.
    Raises:
        UnsupportedVersion: the network is not in this release.
        Corrupt: the network is not for this base codec.
    """
    window = region or (slice(0, layer.header.height), slice(0, layer.header.width))
    return layer.with_alpha(_restored(layer, window, thread_count(threads)), window)
