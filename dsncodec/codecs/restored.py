"""A standard codec under a network: base codec -> file, and file -> base codec -> restoration network.

The network was trained for one base codec at all its qualities. The encoder decodes what it wrote, and
stores how much of the network's correction brings the picture nearest to the original: none, if none does.

Source: Cai et al., "Deep Sampling Networks", 2017, section 4.4 codes the low-resolution layer with a
standard codec; here that codec is lossy, as in Guleryuz et al., "Sandwiched image compression", 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .. import backends, weights
from ..container import Header
from ..inference import Tile, Window, common, moved, network, thread_count, tiles
from ..metrics import psnr_db
from ..planes import TO_YCBCR, crop_padded
from . import DEFAULT_EFFORT
from .base import NO_MODEL, UNIT_STRENGTH, Layer, Parameters
from .sections import encode_alpha

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

TILE = 256  # pixels of a side, a multiple of every network's unit
BEST_FROM_EFFORT = 6  # the larger network
LEAST_GAIN_DB = 0.01  # below, running a network is not worth a reader's time
LUMA = TO_YCBCR[0]


class Encoder:
    """One picture on its way into files. A point is a quality of the base codec, 0..100 on its own scale."""

    def __init__(
        self, header: Header, pixels: UInt8Array, threads: int | None, effort: int = DEFAULT_EFFORT
    ) -> None:
        self.header, self.threads, self.effort = header, thread_count(threads), effort
        self.colour = np.ascontiguousarray(pixels[..., : header.colour_planes])
        self.alpha = pixels[..., -1] if header.has_alpha else None
        self._payloads: dict[tuple[int, str], bytes] = {}
        self._parameters: dict[tuple[int, str], Parameters] = {}

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
        base = self._base(backend)
        payload = self._payload(point, base)
        sections = [("PARM", self._chosen(point, base).pack()), ("BASE", payload)]
        if self.alpha is not None:
            sections.append(("ALPH", self._alpha_payload))
        return sections

    def reconstruct(self, point: int, backend: str = "auto") -> UInt8Array:
        """The colour planes a reader of this quality gets, (H, W, 1 or 3)."""
        base = self._base(backend)
        decoded = backends.decode_base(self._payload(point, base), self.colour.shape)
        layer = Layer(self.header, self._chosen(point, base), base, decoded, None)
        return _restored(layer, None, self.threads)

    def _base(self, backend: str) -> str:
        if backend != "auto":
            return backend
        fitting = [
            name
            for name, row in backends.BASE_CODECS.items()
            if row.holds(self.colour) and backends.has_base(name)
        ]
        return fitting[0] if fitting else "jpeg"  # which says what it holds

    def _payload(self, quality: int, base: str) -> bytes:
        if (quality, base) not in self._payloads:
            coded = backends.encode_base(self.colour, quality, base, self.effort, self.threads)
            self._payloads[quality, base] = coded
        return self._payloads[quality, base]

    @cached_property
    def _alpha_payload(self) -> bytes:
        assert self.alpha is not None
        return encode_alpha(self.alpha, self.effort)

    def _chosen(self, quality: int, base: str) -> Parameters:
        """How much of the network's correction serves this picture best."""
        if (quality, base) not in self._parameters:
            self._parameters[quality, base] = self._choose(quality, base)
        return self._parameters[quality, base]

    def _choose(self, quality: int, base: str) -> Parameters:
        decoded = backends.decode_base(self._payload(quality, base), self.colour.shape)
        psnr = min(psnr_db(self.colour, decoded), 99.0)  # it may be lossless
        plain = Parameters(quality, psnr, 0, 0.0, NO_MODEL).rounded()
        model = weights.restoration(base, best=self.effort >= BEST_FROM_EFFORT)
        if model is None:
            return plain
        restorer = Restorer(model, decoded, plain, self.threads)
        everything = list(restorer.tiles((slice(0, self.header.height), slice(0, self.header.width))))
        along, length, error, samples = 0.0, 0.0, 0.0, 0  # of the correction and of the base codec's error
        for tile in everything:  # a part of them says nothing of the others: it may be worse there
            correction = restorer.correction(tile)
            wanted = self.colour[tile.inner].astype(np.float32) - decoded[tile.inner]  # both end at the edges
            along += float(np.vdot(correction, wanted))
            length += float(np.vdot(correction, correction))
            error += float(np.vdot(wanted, wanted))
            samples += wanted.size
        strength = min(255, round(UNIT_STRENGTH * along / length)) if along > 0 else 0
        share = strength / UNIT_STRENGTH
        left = error - 2 * share * along + share**2 * length + samples / 12  # what rounding adds
        if strength == 0 or not left < error:
            return plain
        gain_db = 10 * math.log10(error / left)
        if gain_db < LEAST_GAIN_DB:
            return plain
        chosen = replace(plain, strength=strength, gain_db=gain_db, model_id=model.wire_id).rounded()
        if len(everything) == 1:  # too few samples for the estimate above: look at what a reader gets
            restored = _restored(Layer(self.header, chosen, base, decoded, None), None, self.threads)
            if psnr_db(self.colour, restored) <= psnr_db(self.colour, decoded):
                return plain
        return chosen


@dataclass(frozen=True)
class Restorer:
    """A base codec's picture under its network."""

    model: weights.Restoration
    decoded: UInt8Array  # (H, W, 1 or 3)
    parameters: Parameters  # as a reader has them
    threads: int

    def tiles(self, window: Window) -> Iterator[Tile]:
        """Tiles that cover a window, in whole units of the network; the last ones may reach beyond the picture."""
        unit, (rows, columns) = self.model.unit, self.decoded.shape[:2]
        bounds = -(-rows // unit) * unit, -(-columns // unit) * unit
        y, x = (slice(side.start // unit * unit, -(-side.stop // unit) * unit) for side in window)
        return tiles((y, x), bounds, TILE, self.model.halo)

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
    model = weights.restoration_of_wire_id(parameters.model_id, layer.base)
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
