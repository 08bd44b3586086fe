"""Lossy codecs that restoration networks learn from: a picture to the codec's own file, and back."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import load_base

UInt8Array = NDArray[np.uint8]


def base(name: str, rgb: UInt8Array, quality: float) -> bytes:
    """As the base codec of that name writes it by default; quality is the codec's own."""
    return load_base(name).encode(rgb, round(quality), 5, 1)  # effort 5, the default; one thread


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
CODERS: dict[str, Callable[[UInt8Array, float], bytes]] = {
    "avif": partial(base, "avif"), "jpeg": partial(base, "jpeg"), "j2k": j2k, "jxl": jxl,
}  # fmt: skip
