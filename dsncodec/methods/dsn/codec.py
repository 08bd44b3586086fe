"""Deep sampling: Down-SNet -> Q-BReLU -> backend, and backend -> Up-SNet.

Source: Cai et al., "Deep Sampling Networks", 2017, section 4.4; colour, tiles and container are ours.

Sections: ``PARM`` (scale, levels, chroma levels, model id), ``LUMA`` and, for colour, ``CHRO`` (symbols
through a backend), and with alpha ``ALPH`` (the plane itself through a backend, lossless).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ... import carriers, container
from ...container import Header
from ...metrics import mean_squared_error
from ...networks import registry
from ...networks.inference import Window, common, grown, moved, network, scaled, tiles
from ...options import DeepSampling
from ...planes import crop_padded, to_pixels, to_planes, visible
from ...processes import thread_count
from .. import DEFAULT_EFFORT, FIDELITY, Job, rate_control
from ..sections import encode_alpha
from .bitstream import (
    Parameters,
    Parsed,
    Point,
    between,
    explicit_point,
    latent_shapes,
    point_of_quality,
    table,
)
from .quantise import check_levels, dequantise, dequantise_chroma, quantise, quantise_chroma

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

TILE = 256  # image pixels, about: large enough to waste little on halos, small enough for the cache
UP_HALO = 4  # latent pixels: four 3x3 convolutions
CHROMA_UP_HALO = 3  # chroma latent pixels: three 3x3 convolutions
DOWN_HALO = 3  # image pixels: three 3x3 convolutions
CHROMA_DOWN_HALO = 2  # chroma latent pixels: two 3x3 convolutions
GRADIENT_HALO = 8  # latent pixels: Up-SNet forward and back

# Refinement of the luma latent; what each setting gained is in docs/decisions/0007-refinement.md
REFINE_STEPS = (0, 0, 0, 0, 3, 4, 6, 8, 12, 20)  # of effort 0..9
REFINE_STEP_SIZE = 0.018  # of the first of n steps, times n ** -0.5
RATE_WEIGHT = 1.35e-4  # squared error a bit is worth, per pixel of the picture
RATE_LEVELS = 64  # the alphabet the bits are counted for
ADAM_MEAN, ADAM_SQUARE = 0.8, 0.95


def _all(shape: tuple[int, ...]) -> Window:
    return slice(0, shape[-2]), slice(0, shape[-1])


class Encoder:
    """One picture on its way into files: each scale's latents are computed once, whatever is tried."""

    def __init__(
        self,
        header: Header,
        pixels: UInt8Array,
        threads: int | None,
        effort: int = DEFAULT_EFFORT,
        entropy_coder: str = "auto",
    ) -> None:
        self.header, self.threads, self.effort = header, thread_count(threads), effort
        self.entropy_coder = entropy_coder
        self.colour = pixels[..., : header.colour_planes]
        self.alpha = pixels[..., -1] if header.has_alpha else None
        self.seen, self.uneven = visible(pixels), False
        self._latents: dict[int, tuple[FloatArray, FloatArray]] = {}

    def latents(self, scale: int) -> tuple[FloatArray, FloatArray]:
        """The real-valued luma and chroma latents, before Q-BReLU."""
        if scale not in self._latents:
            model = registry.for_scale(scale)
            luma_shape, chroma_shape = latent_shapes(self.header, scale)
            luma, chroma = np.empty(luma_shape, np.float32), np.zeros(chroma_shape, np.float32)
            down = network(registry.checked_path(model, "down"), self.threads)
            halo = -(-DOWN_HALO // scale)
            for tile in tiles(_all(luma_shape), luma_shape[1:], TILE // scale, halo):
                window = to_planes(crop_padded(self.colour, *scaled(tile.outer, scale)))
                luma[:, *tile.inner] = down(window[:1])[:, *tile.crop]
            if REFINE_STEPS[self.effort]:
                luma = self._refined(model, luma)
            if len(chroma) and not self._is_grey:  # whose chroma symbols are known
                down = network(registry.checked_path(model, "chroma_down"), self.threads)
                size = TILE // scale
                for tile in tiles(_all(chroma_shape), chroma_shape[1:], size, CHROMA_DOWN_HALO):
                    window = to_planes(crop_padded(self.colour, *scaled(tile.outer, 2 * scale)))
                    chroma[:, *tile.inner] = down(window[1:])[:, *tile.crop]
            self._latents[scale] = luma, chroma
        return self._latents[scale]

    def _refined(self, model: registry.Model, latent: FloatArray) -> FloatArray:
        """Move a luma latent towards what Up-SNet restores best, by descent on this very picture.

        The loss is half the squared error plus RATE_WEIGHT times a smooth stand-in for the bits of a
        predictive coder (as in training). Adam with a falling step; docs/decisions/0007-refinement.md.
        """
        steps, scale = REFINE_STEPS[self.effort], model.scale
        gradient_of = network(registry.checked_path(model, "up_gradient"), self.threads)
        mean, square = np.zeros_like(latent), np.zeros_like(latent)
        for step in range(steps):
            gradient = RATE_WEIGHT * _rate_gradient(latent)
            for tile in tiles(_all(latent.shape), latent.shape[1:], TILE // scale, GRADIENT_HALO):
                wanted = to_planes(crop_padded(self.colour, *scaled(tile.outer, scale)))[:1]
                found = gradient_of(latent[:, *tile.outer], wanted)
                gradient[:, *tile.inner] += found[:, *tile.crop]
            mean += (1 - ADAM_MEAN) * (gradient - mean)
            square += (1 - ADAM_SQUARE) * (gradient**2 - square)
            size = REFINE_STEP_SIZE * steps**-0.5 * (1 - step / steps) / (1 - ADAM_MEAN ** (step + 1))
            scale_of = np.sqrt(square / (1 - ADAM_SQUARE ** (step + 1))) + 1e-8
            latent = np.clip(latent - size * mean / scale_of, 0, 1).astype(np.float32)
        return latent

    @cached_property
    def points(self) -> list[Point]:
        """The operating points of rising quality, as published with the models."""
        return table()

    def point_of_quality(self, quality: int) -> Point:
        """The operating point of quality 0..100."""
        return point_of_quality(quality)

    def between(self, low: Point, high: Point) -> list[Point]:
        """The points strictly between two neighbours of one scale."""
        return between(low, high) if low.scale == high.scale else []

    def symbols(self, point: Point) -> tuple[UInt8Array, UInt8Array]:
        """Luma (1, h, w) and chroma (2, h', w') symbols of an operating point."""
        check_levels(point.levels)
        check_levels(point.chroma_levels)
        luma, chroma = self.latents(point.scale)
        if self._is_grey:  # exactly neutral: the network alone is only nearly so
            neutral = np.full(chroma.shape, point.chroma_levels // 2, np.uint8)
            return quantise(luma, point.levels), neutral
        return quantise(luma, point.levels), quantise_chroma(chroma, point.chroma_levels)

    @cached_property
    def _is_grey(self) -> bool:
        strips = (self.colour[top : top + TILE] for top in range(0, len(self.colour), TILE))
        return all(bool((strip == strip[..., :1]).all()) for strip in strips)

    def sections(self, point: Point) -> list[tuple[str, bytes]]:
        """The coded picture as (tag, payload), low-resolution layer first."""
        coder, effort = self.entropy_coder, self.effort
        model = registry.for_scale(point.scale)
        luma, chroma = self.symbols(point)
        sections = [
            ("PARM", Parameters(point, model.wire_id).pack()),
            ("LUMA", carriers.encode(luma, point.levels, coder, effort)),
        ]
        if len(chroma):
            sections.append(("CHRO", carriers.encode(chroma, point.chroma_levels, coder, effort)))
        if self.alpha is not None:
            sections.append(("ALPH", self._alpha_payload))
        return sections

    @cached_property
    def _alpha_payload(self) -> bytes:
        assert self.alpha is not None
        return encode_alpha(self.alpha, self.effort)

    def size(self, point: Point) -> int:
        """Bytes of all sections."""
        return sum(len(payload) for _, payload in self.sections(point))

    def distance(self, point: Point) -> float:
        """The mean squared error."""
        return mean_squared_error(self.colour, self.reconstruct(point))

    def reconstruct(self, point: Point) -> UInt8Array:
        """The colour planes a reader of this operating point gets, (H, W, 1 or 3)."""
        luma, chroma = self.symbols(point)
        model = registry.for_scale(point.scale)
        everything = slice(0, self.header.height), slice(0, self.header.width)
        return Decoder(model, point, luma, chroma, self.threads).pixels(everything)


def _rate_gradient(latent: FloatArray) -> FloatArray:
    """The gradient of sum log2(1 + |prediction error| * (levels - 1)), predicted by the plane through
    three neighbours: left + above - above left."""
    plane, gradient = latent[0], np.zeros_like(latent)
    error = plane[1:, 1:] - plane[1:, :-1] - plane[:-1, 1:] + plane[:-1, :-1]
    slope = np.sign(error) / (1 / (RATE_LEVELS - 1) + np.abs(error)) / np.float32(np.log(2))
    gradient[0, 1:, 1:] += slope
    gradient[0, 1:, :-1] -= slope
    gradient[0, :-1, 1:] -= slope
    gradient[0, :-1, :-1] += slope
    return gradient


@dataclass(frozen=True)
class Decoder:
    """Symbols on their way to pixels. ``decoder`` chooses the Up-SNet; colour follows the luma that it makes."""

    model: registry.Model
    point: Point
    luma: UInt8Array
    chroma: UInt8Array
    threads: int
    decoder: str = FIDELITY

    def pixels(self, region: Window) -> UInt8Array:
        """A region of the picture's colour planes, (rows, columns, 1 or 3) uint8.

        Luma goes first, as 16-bit fixed point; then each chroma tile reads the luma around it. Where
        all chroma symbols of the file are neutral, there is no colour, and no network to add any.
        """
        scale = self.point.scale
        if (self.chroma == self.point.chroma_levels // 2).all():  # or there are none
            units = _units(region, scale)
            luma = self._luma(units)[:, *moved(region, scaled(units, scale))]
            grey = np.empty((*luma.shape[1:], 3 if len(self.chroma) else 1), np.uint8)
            for tile in tiles(_all(luma.shape), luma.shape[1:], TILE, 0):
                grey[tile.inner] = to_pixels(_to_float(luma[:, *tile.inner]))
            return grey
        step = 2 * scale
        units = _units(region, step)
        bounds = self.chroma.shape[1:]
        around = grown(units, CHROMA_UP_HALO, bounds)
        luma = self._luma(scaled(around, 2))  # of the window `around`
        net = network(registry.checked_path(self.model, "chroma_up"), self.threads)
        rows, columns = (part.stop - part.start for part in region)
        out = np.empty((rows, columns, 3), np.uint8)
        for tile in tiles(units, bounds, TILE // scale, CHROMA_UP_HALO):
            guide = _to_float(luma[:, *scaled(moved(tile.outer, around), step)])
            latent = dequantise_chroma(self.chroma[:, *tile.outer], self.point.chroma_levels)
            decoded = net(latent, guide)
            crop = scaled(tile.crop, step)
            pixels = to_pixels(np.concatenate([guide[:, *crop], decoded[:, *crop]]))
            inner = scaled(tile.inner, step)
            wanted = common(inner, region)
            out[moved(wanted, region)] = pixels[moved(wanted, inner)]
        return out

    def _luma(self, units: Window) -> NDArray[np.uint16]:
        """Decoded luma of a window of latent pixels, as (1, s*rows, s*columns) fractions of 65535."""
        scale = self.point.scale
        if self.decoder == FIDELITY:
            path = registry.checked_path(self.model, "up")
        else:
            path = registry.checked_file(registry.look_of(self.model, self.decoder))
        net = network(path, self.threads)
        rows, columns = (part.stop - part.start for part in scaled(units, scale))
        luma = np.empty((1, rows, columns), np.uint16)
        for tile in tiles(units, self.luma.shape[1:], TILE // scale, UP_HALO):
            decoded = net(dequantise(self.luma[:, *tile.outer], self.point.levels))
            part = decoded[:, *scaled(tile.crop, scale)]
            luma[:, *scaled(moved(tile.inner, units), scale)] = np.clip(part, 0, 1) * 65535 + 0.5
        return luma


def _to_float(luma: NDArray[np.uint16]) -> FloatArray:
    return luma.astype(np.float32) / np.float32(65535)


def _units(region: Window, size: int) -> Window:
    """The blocks of size x size pixels that a region touches."""
    y, x = region
    return slice(y.start // size, -(-y.stop // size)), slice(x.start // size, -(-x.stop // size))


def decode(layer: Parsed, region: Window | None, threads: int | None, decoder: str = FIDELITY) -> UInt8Array:
    """Symbols to pixels, (rows, columns, channels) uint8 with alpha last.

    Args:
        region: rows and columns of the full picture; None is all of it.
        decoder: one of ``codecs.DECODERS``.
    Raises:
        SettingError: this file's model has no such decoder.
        UnsupportedVersion: the model is not in this release.
        Corrupt: the model is not of this scale.
    """
    header, parameters = layer.header, layer.parameters
    window = region or (slice(0, header.height), slice(0, header.width))
    model = registry.for_wire_id(parameters.model_id, parameters.point.scale)
    pixels = Decoder(
        model, parameters.point, layer.luma, layer.chroma, thread_count(threads), decoder
    ).pixels(window)
    if layer.alpha is None:
        return pixels
    return np.concatenate([pixels, layer.alpha[window][..., None]], -1)


def encode(job: Job, options: DeepSampling) -> bytes:
    """A whole codestream, see ``dsncodec.encode``.

    Raises:
        SettingError: the target is out of reach.
    """
    header = job.header(options.method)
    encoder = Encoder(header, job.picture.pixels, job.threads, job.effort, options.entropy_coder)

    def pack(point: Point) -> bytes:
        return container.pack(header, encoder.sections(point) + job.metadata)

    if options.fixed():
        return pack(explicit_point(options.scale, options.levels, options.chroma_levels))
    return rate_control.search(encoder, job.target, pack)
