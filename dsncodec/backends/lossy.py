"""Base codecs: a picture to an ordinary lossy file of its own format, and back."""

from __future__ import annotations

import io
from collections.abc import Callable

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

UInt8Array = NDArray[np.uint8]


def avif(rgb: UInt8Array, quality: float) -> bytes:
    """Speed 6, 4:4:4, tuned for PSNR; quality as libavif counts it."""
    options = {"subsampling": "4:4:4", "speed": 6, "advanced": {"tune": "psnr"}, "max_threads": 1}
    return _saved(rgb, "AVIF", quality=round(quality), **options)


def jpeg(rgb: UInt8Array, quality: float) -> bytes:
    """Optimised, progressive, 4:2:0; quality as libjpeg counts it."""
    options = {"optimize": True, "progressive": True, "subsampling": "4:2:0"}
    return _saved(rgb, "JPEG", quality=round(quality), **options)


def j2k(rgb: UInt8Array, quality: float) -> bytes:
    """Irreversible 9/7, for a PSNR of 20 + 0.3 * quality dB."""
    layers = [20 + 0.3 * quality]
    options = {"irreversible": True, "mct": 1, "quality_mode": "dB", "quality_layers": layers}
    return _saved(rgb, "JPEG2000", **options)


def jxl(rgb: UInt8Array, quality: float) -> bytes:
    """Effort 7 at the distance that libjxl's own tools give a quality."""
    far = 53 / 3000 * quality**2 - 23 / 20 * quality + 25  # below 30
    distance = 0.1 + (100 - quality) * 0.09 if quality >= 30 else far
    return bytes(imagecodecs.jpegxl_encode(rgb, distance=distance, effort=7, numthreads=1))


def _saved(rgb: UInt8Array, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes) -> UInt8Array:
    """Any of the four, as (H, W, 3)."""
    if data[:2] == b"\xff\x0a" or data[4:8] == b"JXL ":
        rgb: UInt8Array = imagecodecs.jpegxl_decode(data, numthreads=1)
        return rgb
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


# Each takes (H, W, 3) and a quality of 0..100 that grows with bytes and PSNR
CODERS: dict[str, Callable[[UInt8Array, float], bytes]] = {"avif": avif, "jpeg": jpeg, "j2k": j2k, "jxl": jxl}
