"""A base codec's picture and what is known of it: the half of the method "restored" that runs no network.

Sections: ``PARM`` (below), ``BASE`` (the base codec's own file, or the whole picture without loss), and beside a base codec
with alpha ``ALPH`` (the plane itself through an entropy backend, lossless). Of a file that was kept, ``rest``: what that had
beside the base codec's picture.
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
from .. import Facts, Window
from ..sections import OneSize, alpha_backend, check_alpha, decode_alpha, pooled, required
from .half_size import doubled, half_shape

UInt8Array = NDArray[np.uint8]

SCALES = (1, 2)
REST = "rest"
TAGS = frozenset({"PARM", "BASE", "ALPH", REST})
# what ``extract`` takes out unless told otherwise
MAIN_PART = "picture"
UNIT_STRENGTH = 64  # the strength at which the network's correction is added as it is
GAIN_STEP_DB = 0.02
PSNR_STEP_DB = 0.25
NO_MODEL = b""
ID_BYTES = 4  # of a network's id; files of container version 1 had 8
_PARM = struct.Struct("<BBBBB")
# the same with a weight for each of several corrections: scale, _WEIGHED and perhaps _OF_PSNR, quality, psnr, gain, id; then
# the weights
_WEIGHED = 0x80
# the gain is one of PSNR
_OF_PSNR = 0x40
_WEIGHED_PARM = struct.Struct("<BBBB4s")
MOST_WEIGHTS = 16
_LOSSLESS = b""  # the whole section, where BASE is a picture without loss
UNIT_WEIGHT = 32  # the weight with which a correction is added as it is
GAIN_STEP_POINTS = 0.05
# Quality and PSNR of a base codec's picture that was coded elsewhere
NOT_KNOWN = (0, 0.0)


@dataclass(frozen=True)
class Parameters:
    """What the PARM section says.

    ``quality`` is the base codec's, and ``psnr_db`` how near its picture is to the original, over all
    samples: both tell the network what to expect. ``strength`` is how much of the network's correction is
    added, in 64ths, and 0 means that no network is run; ``gain_db`` is what it wins over the base codec's picture, at
    full size, as measured over all of it. ``model_id`` is how the network's id begins, or empty. With ``scale`` 2 the
    base codec has the picture at half its size.

    A network with several corrections has ``weights`` in the place of a strength: of each correction, in 32nds, -128..127.
    Of one for the eye ``gain_points`` is what it wins of SSIMULACRA 2, and ``gain_db`` says nothing; of others it is None.

    ``lossless``: BASE is the whole picture, and the rest says nothing.
    """

    quality: int
    psnr_db: float
    strength: int
    gain_db: float
    model_id: bytes
    scale: int = 1
    weights: tuple[int, ...] = ()
    gain_points: float | None = None
    lossless: bool = False

    @property
    def runs_network(self) -> bool:
        """Whether a network's correction is added."""
        return self.strength != 0 or any(self.weights)

    @property
    def shares(self) -> NDArray[np.float32]:
        """How much is added of each correction."""
        if self.weights:
            return np.array(self.weights, np.float32) / np.float32(UNIT_WEIGHT)
        return np.array([self.strength / UNIT_STRENGTH], np.float32)

    @property
    def rmse(self) -> float:
        """The root of the mean squared error of the base codec's picture, on a scale of 0..1."""
        return float(10 ** (-self.psnr_db / 20))

    def rounded(self) -> Parameters:
        """What a reader gets."""
        return Parameters.unpack(self.pack())

    def pack(self) -> bytes:
        """5 bytes, and the first 4 of the network's id where one is run, 8 and the weights of a network that has several, none of
        a picture without loss; see docs/format.md."""
        if self.lossless:
            return _LOSSLESS
        if self.gain_points is None:
            unit, won = _OF_PSNR, self.gain_db / GAIN_STEP_DB
        else:
            unit, won = 0, self.gain_points / GAIN_STEP_POINTS
        psnr, gain = (min(255, max(0, round(steps))) for steps in (self.psnr_db / PSNR_STEP_DB, won))
        if self.weights:
            first = _WEIGHED | unit | self.scale
            head = _WEIGHED_PARM.pack(first, self.quality, psnr, gain, self.model_id[:ID_BYTES])
            return head + struct.pack(f"<{len(self.weights)}b", *self.weights)
        return _PARM.pack(self.scale, self.quality, psnr, self.strength, gain) + self.model_id[:ID_BYTES]

    @classmethod
    def unpack(cls, payload: bytes) -> Parameters:
        """Raises Corrupt unless these are bytes that mean something."""
        if payload == _LOSSLESS:
            return LOSSLESS
        if payload and payload[0] & _WEIGHED:
            return cls._unpack_weighed(payload)
        model_id = payload[_PARM.size :]
        if len(payload) < _PARM.size or len(model_id) not in (0, ID_BYTES, 8):
            raise Corrupt(f"impossible length, {len(payload)} bytes", field="PARM")
        scale, quality, psnr, strength, gain = _PARM.unpack_from(payload)
        if scale not in SCALES or quality > 100 or (strength and not any(model_id)):
            raise Corrupt(f"impossible scale {scale}, quality {quality} or model", field="PARM")
        return cls(quality, psnr * PSNR_STEP_DB, strength, gain * GAIN_STEP_DB, model_id, scale)

    @classmethod
    def _unpack_weighed(cls, payload: bytes) -> Parameters:
        """The form with weights."""
        count = len(payload) - _WEIGHED_PARM.size
        if not 1 <= count <= MOST_WEIGHTS:
            raise Corrupt(f"impossible length, {len(payload)} bytes", field="PARM")
        first, quality, psnr, gain, model_id = _WEIGHED_PARM.unpack_from(payload)
        scale, of_psnr = first & ~(_WEIGHED | _OF_PSNR), bool(first & _OF_PSNR)
        if scale not in SCALES or quality > 100 or not any(model_id):
            raise Corrupt(f"impossible scale {scale}, quality {quality} or model", field="PARM")
        weights = struct.unpack_from(f"<{count}b", payload, _WEIGHED_PARM.size)
        return cls(
            quality,
            psnr * PSNR_STEP_DB,
            0,
            gain * GAIN_STEP_DB if of_psnr else 0.0,
            model_id,
            scale,
            weights,
            None if of_psnr else gain * GAIN_STEP_POINTS,
        )


LOSSLESS = Parameters(100, 99.0, 0, 0.0, NO_MODEL, lossless=True)


@dataclass(frozen=True)
class Parsed(OneSize):
    """The base codec's picture ``decoded``, (ceil(H / scale), ceil(W / scale), 1 or 3), of 8 bits or 10; what the network is
    given, ``colour`` (H, W, 1 or 3), the same at full size; and alpha (H, W) or None."""

    header: Header
    parameters: Parameters
    base: str
    decoded: carriers.Colour
    colour: carriers.Colour
    alpha: UInt8Array | None

    def preview(self) -> UInt8Array:
        """What any reader of the extracted file sees, (ceil(H / scale), ceil(W / scale), channels)."""
        small = carriers.eight_bits(self.decoded)
        if self.alpha is None:
            return small
        alpha = self.alpha if self.parameters.scale == 1 else pooled(self.alpha, self.parameters.scale)
        return np.concatenate([small, alpha[..., None]], -1)

    @property
    def needs_network(self) -> bool:
        """Whether a network runs, or the base codec has the picture at half its size."""
        return self.parameters.runs_network or self.parameters.scale != 1

    def pixels(self, window: Window | None, threads: int | None, decoder: str) -> UInt8Array:
        """As ``ParsedFile``: the base codec's picture after the network."""
        # loads the inference runtime
        from . import codec as restored

        return restored.decode(self, window, threads, decoder)

    def with_alpha(self, colour: UInt8Array, window: tuple[slice, slice]) -> UInt8Array:
        """Colour of a window with the alpha of that window behind it, if there is any."""
        if self.alpha is None:
            return colour
        return np.concatenate([colour, self.alpha[window][..., None]], -1)


def base_shape(header: Header, scale: int) -> tuple[int, int, int]:
    """(rows, columns, 1 or 3) of the base codec's picture."""
    full = (header.height, header.width, header.colour_planes)
    return full if scale == 1 else half_shape(full)


def parse(header: Header, sections: dict[str, bytes]) -> Parsed:
    """Sections to the base codec's picture.

    Raises:
        CodestreamError: a section is missing, or does not hold what the header promises.
    """
    parameters, payload = _both(sections)
    if (name := carriers.lossless_name(payload)) is not None:
        pixels = carriers.decode_lossless(payload, (header.height, header.width, len(header.mode)))
        exact = np.ascontiguousarray(pixels[..., : header.colour_planes])
        plane = pixels[..., -1] if header.has_alpha else None
        return Parsed(header, parameters, name, exact, exact, plane)
    alpha = decode_alpha(header, sections)
    decoded = carriers.decode_base(payload, base_shape(header, parameters.scale))
    colour = decoded
    if parameters.scale != 1:
        colour = doubled(carriers.eight_bits(decoded), base_shape(header, 1))
    return Parsed(header, parameters, carriers.base_name(payload), decoded, colour, alpha)


def _both(sections: dict[str, bytes]) -> tuple[Parameters, bytes]:
    """PARM and BASE.

    Raises:
        Corrupt: one is missing, or only one of them is of a picture without loss.
    """
    parameters, payload = Parameters.unpack(required(sections, "PARM")), required(sections, "BASE")
    if parameters.lossless != (carriers.lossless_name(payload) is not None):
        raise Corrupt("either this or BASE is of a picture without loss, not both", field="PARM")
    return parameters, payload


def validate(header: Header, sections: dict[str, bytes]) -> None:
    """All that can be checked without decoding.

    Raises:
        CodestreamError: a section is missing, or names what this release does not have.
    """
    parameters, payload = _both(sections)
    if parameters.lossless:
        return
    base = carriers.base_name(payload)
    if parameters.runs_network:
        check_weights(
            parameters, registry.restoration_of_wire_id(parameters.model_id, base, parameters.scale)
        )
    check_alpha(header, sections)


def check_weights(parameters: Parameters, model: registry.Restoration) -> None:
    """Raises Corrupt unless there is a weight for each of the network's corrections."""
    if len(parameters.weights) != (model.hypotheses if model.hypotheses > 1 else 0):
        raise Corrupt(f"{len(parameters.weights)} weights for network {model.name}", field="PARM")


def describe(header: Header, parameters: bytes, first_bytes: dict[str, bytes]) -> Facts:
    """The fields of ``ImageInfo`` that are this method's.

    Args:
        parameters: the PARM section.
        first_bytes: the first byte of each other section that the method knows.
    """
    found, first = Parameters.unpack(parameters), first_bytes.get("BASE", b"")
    if (found.lossless or first) and found.lossless != (carriers.lossless_name(first) is not None):
        raise Corrupt("either this or BASE is of a picture without loss, not both", field="PARM")
    used = {}
    if "BASE" in first_bytes:
        first = first_bytes["BASE"]
        used["BASE"] = carriers.lossless_name(first) or carriers.base_name(first)
    known = not found.lossless and (found.quality, found.psnr_db) != NOT_KNOWN
    points = found.gain_points
    try:
        model = registry.restoration_of_wire_id(found.model_id).name if found.runs_network else ""
    except UnsupportedVersion:
        model = "unknown"
    return {
        "scale": found.scale,
        "levels": None,
        "chroma_levels": None,
        "backends": used | alpha_backend(first_bytes),
        "model": model,
        "model_id": found.model_id.hex() if found.runs_network else "",
        "base_quality": found.quality if known else None,
        "base_psnr_db": found.psnr_db if known else None,
        "strength": float(found.shares[0]),
        "gain_db": None if points is not None or not known else round(found.gain_db, 2),
        "gain_ssimulacra2": None if points is None else round(points, 2),
        "lossless": found.lossless,
        "kept": REST in first_bytes,
    }


def summary(facts: Mapping[str, object]) -> str:
    """The settings in a few words."""
    if facts["lossless"]:
        return "lossless"
    if facts["kept"]:
        network = f"shown at strength {facts['strength']:.2f}" if facts["model"] else "shown as it is"
        return f"the original file, {network}"
    half = " at half the size" if facts["scale"] == 2 else ""
    gain = (
        f"+{facts['gain_db']:.2f} dB"
        if facts["gain_db"] is not None
        else f"+{facts['gain_ssimulacra2']:.2f} SSIMULACRA 2"
    )
    if not facts["model"]:
        return f"base quality {facts['base_quality']}{half}, no network"
    several = any(row.name == facts["model"] and row.hypotheses > 1 for row in registry.restorations())
    how = "weighed" if several else f"at strength {facts['strength']:.2f}"
    return f"base quality {facts['base_quality']}{half}, network {how}, {gain}"
