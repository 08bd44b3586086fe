"""JPEG XL by imagecodecs' libjxl: effort 7, bare codestream."""

from __future__ import annotations

import imagecodecs
import numpy as np

from . import Codec, UInt8Array

DISTANCES = (22, 15, 10, 6.5, 4.4, 3, 2, 1.4, 1)


def version() -> str:
    """What shapes the bytes."""
    return f"imagecodecs {imagecodecs.__version__}, {imagecodecs.jpegxl_version()}"


def codecs() -> list[Codec]:
    """One setting is one Butteraugli distance."""
    return [
        Codec(
            key="jxl",
            label="JPEG XL",
            detail="effort 7, bare codestream",
            kind="peer",
            version=version(),
            settings=DISTANCES,
            step=0.01,
            encode=_encode,
            decode=_decode,
        )
    ]


def _encode(picture: UInt8Array, distance: float) -> bytes:
    data = imagecodecs.jpegxl_encode(picture, distance=distance, effort=7, usecontainer=False, numthreads=1)
    return bytes(data)


def _decode(data: bytes) -> UInt8Array:
    return np.asarray(imagecodecs.jpegxl_decode(data, numthreads=1))
