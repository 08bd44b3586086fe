"""Base codecs as restoration networks learn from them: a picture to the codec's own file, and back."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import BASE_CODECS, load_base

UInt8Array = NDArray[np.uint8]


def base(name: str, rgb: UInt8Array, quality: float) -> bytes:
    """As the base codec of that name writes it by default; quality is the codec's own."""
    return load_base(name).encode(rgb, round(quality), 5, 1)  # effort 5, the default; one thread


def decoded(data: bytes) -> UInt8Array:
    """What any of them wrote, as (H, W, 3)."""
    if data[:2] == b"\xff\x0a":
        rgb: UInt8Array = imagecodecs.jpegxl_decode(data, numthreads=1)
        return rgb
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


# Each takes (H, W, 3) and a quality of 0..100 that grows with bytes and PSNR
CODERS: dict[str, Callable[[UInt8Array, float], bytes]] = {name: partial(base, name) for name in BASE_CODECS}
