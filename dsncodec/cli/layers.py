"""One coded plane of a .dsn file as a file of its own."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import backends, container
from ..api import Source, opened, read_structure
from ..codecs import layer
from ..errors import SettingError

_TAGS = {"luma": "LUMA", "chroma": "CHRO", "alpha": "ALPH"}


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


def read_plane(source: Source, name: str) -> CodedPlane:
    """Find "luma", "chroma" or "alpha" in a file; nothing is decoded.

    Raises:
        CodestreamError: the file is broken.
        SettingError: the picture has no such plane.
    """
    with opened(source) as stream:
        header, sections, _ = read_structure(stream, container.MAX_PIXELS)
        payloads = dict(container.iter_payloads(stream, sections))
    if _TAGS[name] not in payloads:
        raise SettingError(f"the picture is {header.mode}: it has no {name} plane")
    parameters = layer.Parameters.unpack(payloads.get("PARM", b""))
    luma, chroma = layer.latent_shapes(header, parameters.point.scale)
    shape, levels = {
        "luma": (luma, parameters.point.levels),
        "chroma": (chroma, parameters.point.chroma_levels),
        "alpha": ((1, header.height, header.width), 256),
    }[name]
    payload = payloads[_TAGS[name]]
    return CodedPlane(name, backends.backend_name(payload), payload, shape, levels)


def stretched(symbols: NDArray[np.uint8], levels: int) -> NDArray[np.uint8]:
    """0..levels-1 to 0..255, rounded half up.

    >>> stretched(np.array([0, 1, 2, 3], np.uint8), 4).tolist()
    [0, 85, 170, 255]
    """
    scaled: NDArray[np.uint8] = np.floor(symbols * (255 / (levels - 1)) + 0.5).astype(np.uint8)
    return scaled


def to_png(symbols: NDArray[np.uint8]) -> bytes:
    """The symbols as a grey picture."""
    buffer = io.BytesIO()
    Image.fromarray(symbols).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
