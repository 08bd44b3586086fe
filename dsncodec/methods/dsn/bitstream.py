"""The low-resolution layer of a DSN file: its parameters, its symbols, and itself as a picture.

The half of the method "dsn" that runs no network: a header, a thumbnail or a layer costs no inference runtime.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ... import carriers
from ...container import Header
from ...errors import Corrupt, UnsupportedVersion
from ...networks import registry
from ...planes import to_pixels
from ...validation import whole
from .. import Facts, Window
from ..sections import OneSize, decode_alpha, pooled, required
from .colours import shown_chroma, shown_luma
from .quantise import check_levels

UInt8Array = NDArray[np.uint8]

STRIP = 64  # rows of the layer that are floats at one time, an even number
TAGS = frozenset({"PARM", "LUMA", "CHRO", "ALPH"})
# what ``extract`` takes out unless told otherwise
MAIN_PART = "luma"
_PARM = struct.Struct("<BBB8s")


@dataclass(frozen=True)
class Point:
    """An operating point: what fixes rate and quality. Chroma has its own alphabet."""

    scale: int
    levels: int
    chroma_levels: int


def table() -> list[Point]:
    """The operating points of rising quality, as published with the models."""
    return [Point(*row[:3]) for row in registry.quality_table()]


def point_of_quality(quality: int) -> Point:
    """The operating point of quality 0..100: the one whose SSIMULACRA 2 on photographs is nearest to that; the cheapest at 0.

    Raises:
        SettingError: not a whole number in 0..100.
    """
    wanted, scores = whole("quality", quality, 0, 100), [row[3] for row in registry.quality_table()]
    scores[0] = 0.0
    return table()[min(range(len(scores)), key=lambda i: abs(scores[i] - wanted))]


def explicit_point(scale: int | None, levels: int | None, chroma_levels: int | None) -> Point:
    """The operating point of explicit settings: scale 3 and 256 levels unless told otherwise."""
    scale, levels = 3 if scale is None else scale, 256 if levels is None else levels
    chroma_levels = levels if chroma_levels is None else chroma_levels
    return Point(
        registry.for_scale(scale).scale,
        check_levels(levels),
        check_levels(chroma_levels, "chroma_levels"),
    )


def between(low: Point, high: Point) -> list[Point]:
    """The points strictly between two of one scale, luma levels one by one, chroma in proportion."""
    steps = high.levels - low.levels
    return [
        Point(
            low.scale,
            low.levels + i,
            low.chroma_levels + (high.chroma_levels - low.chroma_levels) * i // steps,
        )
        for i in range(1, steps)
    ]


@dataclass(frozen=True)
class Parameters:
    """What the PARM section says."""

    point: Point
    model_id: bytes

    def pack(self) -> bytes:
        """11 bytes, see docs/format.md."""
        p = self.point
        return _PARM.pack(p.scale, p.levels - 1, p.chroma_levels - 1, self.model_id)

    @classmethod
    def unpack(cls, payload: bytes) -> Parameters:
        """Raises Corrupt unless these are 11 bytes that mean something."""
        if len(payload) != _PARM.size:
            raise Corrupt(f"{len(payload)} bytes where {_PARM.size} are due", field="PARM")
        scale, levels, chroma_levels, model_id = _PARM.unpack(payload)
        if not 1 <= scale <= 16 or levels < 1 or chroma_levels < 1:
            raise Corrupt(f"impossible scale {scale} or levels {levels + 1}", field="PARM")
        return cls(Point(scale, levels + 1, chroma_levels + 1), model_id)


def latent_shapes(header: Header, scale: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Shapes of the luma and chroma symbols, (1, h, w) and (2, h', w').

    Planes are edge-padded to a multiple of the chroma scale (of the scale, for grey).
    """
    if header.colour_planes == 1:
        return (1, -(-header.height // scale), -(-header.width // scale)), (0, 0, 0)
    rows, columns = -(-header.height // (2 * scale)), -(-header.width // (2 * scale))
    return (1, 2 * rows, 2 * columns), (2, rows, columns)


def planes_of(header: Header) -> list[str]:
    """The sections of symbols that a file of this header must have."""
    tags = ["LUMA"]
    if header.colour_planes == 3:
        tags.append("CHRO")
    if header.has_alpha:
        tags.append("ALPH")
    return tags


@dataclass(frozen=True)
class Parsed(OneSize):
    """The decoded symbols of a file: luma (1, h, w), chroma (2, h', w') or empty, alpha (H, W) or None."""

    header: Header
    parameters: Parameters
    luma: UInt8Array
    chroma: UInt8Array
    alpha: UInt8Array | None

    # the picture is Up-SNet's
    needs_network = True

    def preview(self) -> UInt8Array:
        """The layer itself, (ceil(H/s), ceil(W/s), channels) uint8: what a thumbnail shows.

        Its colours are the picture's: see ``colours``. Those of an unknown model are shown as they are.
        """
        point = self.parameters.point
        colours = registry.layer_map_of(self.parameters.model_id, point.scale)
        luma = shown_luma(point.levels, colours)
        if (self.chroma == point.chroma_levels // 2).all():
            colours = None  # a picture without colour, as the decoder sees it
        rows, columns = (-(-side // point.scale) for side in (self.header.height, self.header.width))
        pixels = np.empty((rows, columns, self.header.colour_planes), np.uint8)
        for top in range(0, rows, STRIP):  # floats of one strip at a time
            planes = luma[self.luma[:, top : top + STRIP]]
            if len(self.chroma):
                part = self.chroma[:, top // 2 : (top + STRIP) // 2]
                chroma = shown_chroma(part, point.chroma_levels, colours, top // 2, self.chroma.shape[1])
                planes = np.concatenate([planes, chroma.repeat(2, 1).repeat(2, 2)])
            pixels[top : top + STRIP] = to_pixels(planes[:, : rows - top, :columns])
        if self.alpha is None:
            return pixels
        return np.concatenate([pixels, pooled(self.alpha, point.scale)[..., None]], -1)

    def pixels(self, window: Window | None, threads: int | None, decoder: str) -> UInt8Array:
        """As ``ParsedFile``: Up-SNet's picture."""
        # loads the inference runtime
        from . import codec as dsn

        return dsn.decode(self, window, threads, decoder)


def parse(header: Header, sections: dict[str, bytes]) -> Parsed:
    """Sections to symbols.

    Raises:
        CodestreamError: a section is missing, or does not hold what the header promises.
    """
    parameters = Parameters.unpack(required(sections, "PARM"))
    point = parameters.point
    luma_shape, chroma_shape = latent_shapes(header, point.scale)
    luma = carriers.decode(required(sections, "LUMA"), luma_shape, point.levels)
    chroma = np.empty(chroma_shape, np.uint8)
    if "CHRO" in planes_of(header):
        chroma = carriers.decode(required(sections, "CHRO"), chroma_shape, point.chroma_levels)
    return Parsed(header, parameters, luma, chroma, decode_alpha(header, sections))


def validate(header: Header, sections: dict[str, bytes]) -> None:
    """All that can be checked without decoding.

    Raises:
        CodestreamError: a section is missing, or names what this release does not have.
    """
    parameters = Parameters.unpack(required(sections, "PARM"))
    registry.for_wire_id(parameters.model_id, parameters.point.scale)
    for tag in planes_of(header):
        carriers.backend_name(required(sections, tag))


def describe(header: Header, parameters: bytes, first_bytes: dict[str, bytes]) -> Facts:
    """The fields of ``ImageInfo`` that are this method's.

    Args:
        parameters: the PARM section.
        first_bytes: the first byte of each other section that the method knows.
    """
    found = Parameters.unpack(parameters)
    try:
        model = registry.for_wire_id(found.model_id).name
    except UnsupportedVersion:
        model = "unknown"
    return {
        "scale": found.point.scale,
        "levels": found.point.levels,
        "chroma_levels": found.point.chroma_levels if header.colour_planes == 3 else None,
        "backends": {tag: carriers.backend_name(first) for tag, first in first_bytes.items()},
        "model": model,
        "model_id": found.model_id.hex(),
    }


def summary(facts: Mapping[str, object]) -> str:
    """The settings in a few words."""
    chroma = f" (chroma {facts['chroma_levels']})" if facts["chroma_levels"] else ""
    return f"scale {facts['scale']}, {facts['levels']} levels{chroma}"
