"""One coded plane of a .dsn file, the base codec's picture, or the network fitted to it, as a file of its own."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import backends, container
from ..api import Source, opened, read_structure
from ..codecs import base, coordinates, layer
from ..container import Header
from ..errors import SettingError
from .common import load

_TAGS = {"luma": "LUMA", "chroma": "CHRO", "alpha": "ALPH", "picture": "BASE", "network": "NETW"}
_OF_METHOD = {"dsn": "luma", "restored": "picture", "coconet": "network"}


@dataclass(frozen=True)
class CodedPlane:
    """A section's symbols as they are coded."""

    name: str
    backend: str
    payload: bytes
    shape: tuple[int, int, int]
    levels: int

    @property
    def extension(self) -> str:
        """The suffix that the payload deserves as a file."""
        return backends.BACKENDS[self.backend].extension

    @property
    def own_bytes(self) -> bytes:
        """The payload as its backend wrote it."""
        return self.payload[1:]

    def symbols(self) -> NDArray[np.uint8]:
        """The symbols, (rows, columns); two planes of chroma lie one below the other."""
        decoded = backends.decode(self.payload, self.shape, self.levels)
        return decoded.reshape(-1, self.shape[-1])


@dataclass(frozen=True)
class CodedPicture:
    """A base codec's whole picture."""

    name: str
    backend: str
    payload: bytes
    shape: tuple[int, int, int]
    levels: int = 256

    @property
    def extension(self) -> str:
        """The suffix that the payload deserves as a file."""
        return backends.BASE_CODECS[self.backend].extension

    @property
    def own_bytes(self) -> bytes:
        """The file as the base codec wrote it."""
        return backends.base_file(self.payload, self.shape)

    def symbols(self) -> NDArray[np.uint8]:
        """The pixels, (rows, columns) or (rows, columns, 3)."""
        colour = backends.decode_base(self.payload, self.shape)
        return colour[..., 0] if self.shape[2] == 1 else colour


@dataclass(frozen=True)
class CodedNetwork:
    """A network that was fitted to the picture."""

    name: str
    network: coordinates.Network
    shape: tuple[int, int, int]
    levels: int = 256
    backend = "onnx"
    extension = ".onnx"

    @property
    def own_bytes(self) -> bytes:
        """The network as an ONNX file."""
        data: bytes = load("onnx_network").to_onnx(self.network)
        return data

    def symbols(self) -> NDArray[np.uint8]:
        """The pixels of the picture, (rows, columns) or (rows, columns, 3)."""
        colour = self.network.pixels((self.shape[1], self.shape[0]))
        return colour[..., 0] if self.shape[2] == 1 else colour


def read_plane(
    source: Source, name: str | None, max_pixels: int = container.MAX_PIXELS
) -> CodedPlane | CodedPicture | CodedNetwork:
    """Find "luma", "chroma", "alpha", "picture" or "network" in a file; nothing is decoded.

    Args:
        name: None for what the method has: "luma", "picture" or "network".
    Raises:
        CodestreamError: the file is broken.
        LimitExceeded: the picture is larger than ``max_pixels``.
        SettingError: the file has no such plane.
    """
    with opened(source) as stream:
        header, sections, _ = read_structure(stream, max_pixels)
        payloads = dict(container.iter_payloads(stream, sections))
    if name is None:
        if header.method not in _OF_METHOD:
            raise SettingError(f"a file of method {header.method} has no plane that another program reads")
        name = _OF_METHOD[header.method]
    if _TAGS[name] not in payloads or (name == "network" and header.method != "coconet"):
        what = name if name in ("picture", "network") else f"{name} plane"
        raise SettingError(f"the file is {header.mode}, method {header.method}: it has no {what}")
    payload = payloads[_TAGS[name]]
    if name == "picture":
        scale = base.Parameters.unpack(payloads.get("PARM", b"")).scale
        shape = base.base_shape(header, scale)
        return CodedPicture(name, backends.base_name(payload), payload, shape)
    if name == "network":
        network = coordinates.read_layer(header, payloads).network
        return CodedNetwork(name, network, (header.height, header.width, header.colour_planes))
    shape, levels = _shape_and_levels(header, payloads, name)
    return CodedPlane(name, backends.backend_name(payload), payload, shape, levels)


def _shape_and_levels(
    header: Header, payloads: dict[str, bytes], name: str
) -> tuple[tuple[int, int, int], int]:
    if name == "alpha":
        return (1, header.height, header.width), 256
    point = layer.Parameters.unpack(payloads.get("PARM", b"")).point
    luma, chroma = layer.latent_shapes(header, point.scale)
    return (luma, point.levels) if name == "luma" else (chroma, point.chroma_levels)


def stretched(symbols: NDArray[np.uint8], levels: int) -> NDArray[np.uint8]:
    """0..levels-1 to 0..255, rounded half up.

    >>> stretched(np.array([0, 1, 2, 3], np.uint8), 4).tolist()
    [0, 85, 170, 255]
    """
    table: NDArray[np.uint8] = np.floor(np.arange(levels) * (255 / (levels - 1)) + 0.5).astype(np.uint8)
    return table[symbols]


def to_png(symbols: NDArray[np.uint8]) -> bytes:
    """The symbols as a grey picture."""
    buffer = io.BytesIO()
    Image.fromarray(symbols).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
