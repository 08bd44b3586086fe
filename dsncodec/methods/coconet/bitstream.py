"""A network from a pixel's place to its colour, in NumPy: all that a reader of the method "coconet" needs.

Sections: ``PARM`` (below), ``NETW`` (the quantised weights, entropy coded), and with alpha ``ALPH`` (the plane
itself through an entropy backend, lossless). docs/format.md, section 6, is normative.

Source: Bricman and Ionescu, "CocoNet", 2018 (variant "paper"); sine layers as in Sitzmann et al., "Implicit neural
representations with periodic activation functions", 2020, and as a codec in Dupont et al., "COIN", 2021.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ... import budget
from ...container import Header
from ...entropy import adaptive_coder
from ...errors import Corrupt, SettingError
from ...processes import each, thread_count
from .. import Facts
from ..sections import alpha_backend, check_alpha, decode_alpha, pooled, required

FloatArray = NDArray[np.float32]
Int32Array = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]
Window = tuple[slice, slice]

TAGS = frozenset({"PARM", "NETW", "ALPH"})
# what ``extract`` takes out unless told otherwise
MAIN_PART = "network"
VARIANTS = {1: "paper", 2: "sine"}  # numbers on the wire: never reuse or renumber one
MAX_LAYERS, MAX_WIDTH, MAX_OCTAVES = 16, 512, 12
MAX_WEIGHTS = 2**20
MAX_WORK = 2**42  # products of weights and pixels, and neurons and pixels as so many products each
NEURON_WORK = 32
# Beyond them a sine takes 20 times as long as within, and a product of numbers that are nearly zero 180 times
MOST_ARGUMENT, LEAST_ACTIVATION = np.float32(2**16), np.float32(1e-30)
THUMBNAIL = 8  # the picture at 1/8 of its size is what a preview shows
TILE = (
    64  # pixels of a side that are evaluated at a time, always whole, so that any region has the same pixels
)
LONG = 2**16  # pixels of a side, from where on a picture narrower than a tile has tiles of another shape
_PARM = struct.Struct("<BBHB")


@dataclass(frozen=True)
class Shape:
    """What fixes the number of weights: ``layers`` hidden ones of ``width`` each, and of "sine" the ``octaves`` of
    the sines and cosines of the coordinates."""

    variant: str
    layers: int
    width: int
    octaves: int = 0

    @property
    def inputs(self) -> int:
        """Numbers that say where a pixel is."""
        return 6 if self.variant == "paper" else 2 + 4 * self.octaves

    def matrices(self, planes: int) -> list[tuple[int, int]]:
        """(rows, columns) of the layers' weights, first to last; the last gives the colour ``planes``."""
        sides = [self.inputs, *[self.width] * self.layers, planes]
        return list(zip(sides[1:], sides))

    def weights(self, planes: int) -> int:
        """Weights and biases, all together."""
        return sum(rows * (columns + 1) for rows, columns in self.matrices(planes))

    def work(self, planes: int) -> int:
        """Operations for each pixel: products of weights, and functions of neurons as ``NEURON_WORK`` of them."""
        return self.weights(planes) + NEURON_WORK * (self.layers * self.width + self.inputs)


def shape_for(variant: str, layers: int, width: int, size: tuple[int, int]) -> Shape:
    """The network that a picture of a size (width, height) gets: of "sine", the finest wave of its octaves is 16 pixels
    long."""
    octaves = min(max(round(math.log2(max(size))) - 2, 0), MAX_OCTAVES) if variant == "sine" else 0
    return Shape(variant, layers, width, octaves)


@dataclass(frozen=True)
class Parameters:
    """What the PARM section says: the shape, and steps of quantisation as codes, one for each layer's weights and
    the last for all biases."""

    shape: Shape
    steps: tuple[int, ...]

    def pack(self) -> bytes:
        """7 bytes and one for each hidden layer; see docs/format.md."""
        s = self.shape
        variant = next(number for number, name in VARIANTS.items() if name == s.variant)
        return _PARM.pack(variant, s.layers, s.width, s.octaves) + bytes(self.steps)

    @classmethod
    def unpack(cls, payload: bytes) -> Parameters:
        """Raises Corrupt unless these are bytes that mean something, within the limits."""
        if len(payload) < _PARM.size:
            raise Corrupt(f"{len(payload)} bytes, at least {_PARM.size} are due", field="PARM")
        variant, layers, width, octaves = _PARM.unpack_from(payload)
        if variant not in VARIANTS:
            raise Corrupt(f"unknown variant {variant}", field="PARM")
        most_octaves = MAX_OCTAVES if VARIANTS[variant] == "sine" else 0
        if not (1 <= layers <= MAX_LAYERS and 1 <= width <= MAX_WIDTH and octaves <= most_octaves):
            raise Corrupt(f"impossible network, {layers} layers of {width}, {octaves} octaves", field="PARM")
        shape = Shape(VARIANTS[variant], layers, width, octaves)
        if shape.weights(3) > MAX_WEIGHTS:
            raise Corrupt(f"{shape.weights(3)} weights, at most {MAX_WEIGHTS} are allowed", field="PARM")
        steps = tuple(payload[_PARM.size :])
        if len(steps) != layers + 2:
            raise Corrupt(f"{len(steps)} steps where {layers + 2} are due", field="PARM")
        return cls(shape, steps)


def step_of(code: int) -> float:
    """The step that a byte means: (8 + code mod 8) / 8 * 2^(floor(code / 8) - 24), exact in float32.

    >>> step_of(192), step_of(196)
    (1.0, 1.5)
    """
    return (8 + code % 8) * 2.0 ** (code // 8 - 27)


def code_of(step: float) -> int:
    """The byte whose step is nearest, on a scale of ratios."""
    return min(range(256), key=lambda code: abs(np.log2(step_of(code) / step)))


@dataclass(frozen=True)
class Network:
    """A network with the weights that a file holds.

    ``weights`` are one matrix (rows, columns) a layer, ``biases`` one vector; ``aspect`` is the picture's
    (width, height), which the coordinates depend on.
    """

    shape: Shape
    weights: list[FloatArray]
    biases: list[FloatArray]
    aspect: tuple[int, int]

    def colours(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Colours in 0..1, not clipped, (planes, n), at places in 0..1 of the picture's sides, (n,) each."""
        inside = np.tanh if self.shape.variant == "paper" else np.sin
        h = coordinates(self.shape, x, y, self.aspect)
        for matrix, bias in zip(self.weights[:-1], self.biases[:-1]):
            h = matrix @ h
            h += bias[:, None]
            np.clip(h, -MOST_ARGUMENT, MOST_ARGUMENT, out=h)
            inside(h, out=h)
            h[np.abs(h) < LEAST_ACTIVATION] = 0
        h = self.weights[-1] @ h
        h += self.biases[-1][:, None]
        if self.shape.variant == "paper":
            return np.float32(0.5) * np.tanh(h * np.float32(0.5)) + np.float32(0.5)  # the logistic function
        return h + np.float32(0.5)

    def pixels(self, size: tuple[int, int], window: Window | None = None, threads: int = 1) -> UInt8Array:
        """A window of the picture drawn at a size (width, height), (rows, columns, planes)."""
        y, x = window or (slice(0, size[1]), slice(0, size[0]))
        out = np.empty((y.stop - y.start, x.stop - x.start, len(self.biases[-1])), np.uint8)

        sides = tile_sides(size)

        def draw(corner: tuple[int, int]) -> None:
            budget.tick()
            top, left = corner
            tile = self._tile(top, left, size)
            rows = slice(max(top, y.start), min(top + sides[0], y.stop))
            columns = slice(max(left, x.start), min(left + sides[1], x.stop))
            out[
                rows.start - y.start : rows.stop - y.start, columns.start - x.start : columns.stop - x.start
            ] = tile[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]

        each(draw, list(_corners(y, x, sides)), threads)
        return out

    def _tile(self, top: int, left: int, size: tuple[int, int]) -> UInt8Array:
        """A whole tile, also where it lies beyond the picture."""
        down, across = tile_sides(size)
        rows, columns = np.mgrid[top : top + down, left : left + across].reshape(2, -1)
        colours = self.colours(*places(rows, columns, size))
        values = np.clip(colours * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
        return values.reshape(-1, down, across).transpose(1, 2, 0)


def tile_sides(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the tiles of a picture (width, height): as many pixels as ``TILE`` squared, and hardly more than
    the picture has across where it is a long thread.

    >>> tile_sides((500, 300)), tile_sides((3, 100)), tile_sides((3, 10**6))
    ((64, 64), (64, 64), (1024, 4))
    """
    width, height = size
    if max(size) < LONG or min(size) >= TILE:
        return TILE, TILE
    narrow = 1 << (min(size) - 1).bit_length()
    long = TILE * TILE // narrow
    return (long, narrow) if width < height else (narrow, long)


def _corners(y: slice, x: slice, sides: tuple[int, int]) -> Iterator[tuple[int, int]]:
    down, across = sides
    for top in range(y.start // down * down, y.stop, down):
        for left in range(x.start // across * across, x.stop, across):
            yield top, left


def places(
    rows: NDArray[np.int64], columns: NDArray[np.int64], size: tuple[int, int]
) -> tuple[FloatArray, FloatArray]:
    """Where the centres of pixels lie, x and y in 0..1 of a picture of this size (width, height)."""
    x, y = (
        ((index + 0.5) / side).astype(np.float32) for index, side in ((columns, size[0]), (rows, size[1]))
    )
    return x, y


def coordinates(shape: Shape, x: FloatArray, y: FloatArray, aspect: tuple[int, int]) -> FloatArray:
    """What a network is told of places x and y in 0..1, (inputs, n) float32.

    "paper": x and y from the top left corner, x and y from the bottom right one, the distance from the centre in
    half diagonals, the angle about it in turns; all in 0..1. "sine": x and y from -1 to 1 along the longer side, then
    sines and cosines of them times pi, 2 pi, 4 pi and so on.
    """
    width, height = aspect
    if shape.variant == "paper":
        across, down = (x - np.float32(0.5)) * width, (y - np.float32(0.5)) * height
        radius = np.hypot(across, down) / np.float32(np.hypot(width, height) / 2)
        angle = np.arctan2(down, across) / np.float32(2 * np.pi) + np.float32(0.5)
        rows = [x, y, 1 - x, 1 - y, radius, angle]
        return np.stack(rows).astype(np.float32)
    longer = max(width, height)
    both = np.stack(
        [(2 * x - 1) * np.float32(width / longer), (2 * y - 1) * np.float32(height / longer)]
    ).astype(np.float32)
    waves = [both * np.float32(np.pi * 2**octave) for octave in range(shape.octaves)]
    return np.concatenate([both, *(part for wave in waves for part in (np.sin(wave), np.cos(wave)))])


def network(parameters: Parameters, integers: list[Int32Array], header: Header) -> Network:
    """The network of quantised weights.

    Args:
        integers: one matrix a layer, then all biases as one vector.
    """
    matrices = parameters.shape.matrices(header.colour_planes)
    scales = [np.float32(step_of(code)) for code in parameters.steps]
    weights = [
        numbers.reshape(sides).astype(np.float32) * scale
        for numbers, sides, scale in zip(integers, matrices, scales)
    ]
    ends = np.cumsum([rows for rows, _ in matrices])[:-1]
    biases = np.split(integers[-1].astype(np.float32) * scales[-1], ends)
    return Network(parameters.shape, weights, biases, (header.width, header.height))


@dataclass(frozen=True)
class Parsed:
    """A file's network and its alpha, (H, W) or None; ``size`` (width, height) is what it is drawn at."""

    header: Header
    parameters: Parameters
    network: Network
    alpha: UInt8Array | None
    size: tuple[int, int]

    # the picture is the fitted network's at full size
    needs_network = True

    def at_size(self, width: int, height: int) -> Parsed:
        """The network, drawn at another size in pixels."""
        return replace(self, size=(width, height))

    def pixels(self, window: Window | None, threads: int | None, decoder: str) -> UInt8Array:
        """As ``ParsedFile``: the network's picture at ``size``."""
        return decode(self, window, threads)

    def preview(self) -> UInt8Array:
        """At 1/8 of the file's size, (ceil(H / 8), ceil(W / 8), channels)."""
        header = self.header
        small = -(-header.width // THUMBNAIL), -(-header.height // THUMBNAIL)
        colour = self.network.pixels(small)
        if self.alpha is None:
            return colour
        return np.concatenate([colour, pooled(self.alpha, THUMBNAIL)[..., None]], -1)

    @cached_property
    def drawn_alpha(self) -> UInt8Array | None:
        """The plane at ``size``: enlarged or shrunk by Pillow's bicubic filter."""
        if self.alpha is None or self.size == (self.header.width, self.header.height):
            return self.alpha
        image = Image.fromarray(np.ascontiguousarray(self.alpha))
        return np.asarray(image.resize(self.size, Image.Resampling.BICUBIC))


def parse(header: Header, sections: dict[str, bytes]) -> Parsed:
    """Sections to the network.

    Raises:
        CodestreamError: a section is missing, or does not hold what the header promises.
    """
    parameters = _checked_parameters(header, required(sections, "PARM"))
    payload = required(sections, "NETW")
    matrices = parameters.shape.matrices(header.colour_planes)
    counts = [*(rows * columns for rows, columns in matrices), sum(rows for rows, _ in matrices)]
    try:
        integers = adaptive_coder.decode(payload, counts)
    except Corrupt as exc:
        raise Corrupt(str(exc), field="NETW") from exc
    size = header.width, header.height
    return Parsed(
        header, parameters, network(parameters, integers, header), decode_alpha(header, sections), size
    )


def _checked_parameters(header: Header, payload: bytes) -> Parameters:
    parameters = Parameters.unpack(payload)
    work = parameters.shape.work(header.colour_planes) * header.width * header.height
    if work > MAX_WORK:
        raise Corrupt(f"{work} operations on pixels, at most {MAX_WORK} are allowed", field="PARM")
    return parameters


def validate(header: Header, sections: dict[str, bytes]) -> None:
    """All that can be checked without decoding.

    Raises:
        CodestreamError: a section is missing, or names what this release does not have.
    """
    _checked_parameters(header, required(sections, "PARM"))
    required(sections, "NETW")
    check_alpha(header, sections)


def describe(header: Header, parameters: bytes, first_bytes: dict[str, bytes]) -> Facts:
    """The fields of ``ImageInfo`` that are this method's.

    Args:
        parameters: the PARM section.
        first_bytes: the first byte of each other section that the method knows.
    """
    shape = _checked_parameters(header, parameters).shape
    octaves = f", {shape.octaves} octaves" if shape.octaves else ""
    return {
        "scale": THUMBNAIL,
        "levels": None,
        "chroma_levels": None,
        "backends": alpha_backend(first_bytes),
        "model_id": "",
        "model": f"{shape.variant}, {shape.layers} x {shape.width}{octaves}",
    }


def decode(layer: Parsed, region: Window | None, threads: int | None) -> UInt8Array:
    """The network to pixels, (rows, columns, channels) uint8 with alpha last.

    Args:
        region: rows and columns of the picture at the layer's ``size``; None is all of it.
    """
    window = region or (slice(0, layer.size[1]), slice(0, layer.size[0]))
    colour = layer.network.pixels(layer.size, window, thread_count(threads))
    if layer.drawn_alpha is None:
        return colour
    return np.concatenate([colour, layer.drawn_alpha[window][..., None]], -1)


def check_shape(shape: Shape, planes: int, pixels: int) -> Shape:
    """The shape, if a file may hold it.

    Raises:
        SettingError: it may not; the message says the limits.
    """
    fitting = 1 <= shape.layers <= MAX_LAYERS and 1 <= shape.width <= MAX_WIDTH
    if not fitting or shape.weights(3) > MAX_WEIGHTS or shape.work(planes) * pixels > MAX_WORK:
        raise SettingError(
            f"{shape.layers} layers of {shape.width}: a network has 1 to {MAX_LAYERS} layers of 1 to {MAX_WIDTH}, "
            f"at most {MAX_WEIGHTS} weights, and at most {MAX_WORK} operations: for each pixel its weights and {NEURON_WORK} a neuron"
        )
    return shape


def summary(facts: Mapping[str, object]) -> str:
    """The settings in a few words."""
    return "a network fitted to the picture"
