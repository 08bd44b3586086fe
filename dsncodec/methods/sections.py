"""What coding methods share: where sections lie and that some must be there, the alpha plane, and one size."""

from __future__ import annotations

import os
from typing import BinaryIO, Never

import numpy as np
from numpy.typing import NDArray

from .. import carriers, container
from ..container import Header, Section
from ..errors import Corrupt, SettingError
from ..metadata import METADATA
from ..planes import crop_padded
from . import parser

UInt8Array = NDArray[np.uint8]

NO_SIZE = "a size can be given for files of method coconet only, and not beside preview"


def read_structure(stream: BinaryIO, max_pixels: int | None) -> tuple[Header, dict[str, Section], int]:
    """Header, places of the sections, and length in bytes of a codestream; no payload is read."""
    stream.seek(0, os.SEEK_END)
    size_bytes = stream.tell()  # seek itself returns None in some file-like objects
    stream.seek(0)
    header = container.read_header(stream, max_pixels)
    known = parser(header.method).TAGS | frozenset(METADATA)
    return header, container.read_sections(stream, header, size_bytes, known), size_bytes


def required(sections: dict[str, bytes], tag: str) -> bytes:
    """A section's payload.

    Raises:
        Corrupt: it is not there.
    """
    if tag not in sections:
        raise Corrupt("the section is missing", field=tag)
    return sections[tag]


class OneSize:
    """A parsed file whose pixels are of one size."""

    def at_size(self, width: int, height: int) -> Never:
        """Raises SettingError, always."""
        raise SettingError(NO_SIZE)


def encode_alpha(alpha: UInt8Array, effort: int) -> bytes:
    """The plane (H, W), lossless, by the smallest backend, whatever that of the colours is: not each one holds
    so large a plane."""
    return carriers.encode(np.ascontiguousarray(alpha)[None], 256, "auto", effort)


def decode_alpha(header: Header, sections: dict[str, bytes]) -> UInt8Array | None:
    """The plane (H, W), or None where the mode has none. Of an AVIF that was kept it is as that coded it.

    Raises:
        CodestreamError: the section is missing or broken.
    """
    if not header.has_alpha:
        return None
    payload = required(sections, "ALPH")
    if carriers.is_avif(payload):
        plane = carriers.decode_base(payload, (header.height, header.width, 1))
        return np.ascontiguousarray(carriers.eight_bits(plane)[..., 0])
    return carriers.decode(payload, (1, header.height, header.width), 256)[0]


def check_alpha(header: Header, sections: dict[str, bytes]) -> None:
    """All of the alpha section that can be checked without decoding.

    Raises:
        CodestreamError: it is missing, or names a backend that this release does not have.
    """
    if header.has_alpha:
        payload = required(sections, "ALPH")
        if not carriers.is_avif(payload):
            carriers.backend_name(payload)


def alpha_backend(first_bytes: dict[str, bytes]) -> dict[str, str]:
    """The backend of the alpha section, if there is one, as ``describe`` has it."""
    if "ALPH" not in first_bytes:
        return {}
    first = first_bytes["ALPH"]
    return {"ALPH": "avif" if carriers.is_avif(first) else carriers.backend_name(first)}


def pooled(alpha: UInt8Array, scale: int) -> UInt8Array:
    """The mean of each scale x scale block, the last pixel repeated beyond the edges."""
    rows, columns = (-(-side // scale) for side in alpha.shape)
    padded = crop_padded(alpha[..., None], slice(0, rows * scale), slice(0, columns * scale))
    blocks = padded.reshape(rows, scale, columns, scale)
    return (blocks.mean((1, 3), dtype=np.float32) + 0.5).astype(np.uint8)
