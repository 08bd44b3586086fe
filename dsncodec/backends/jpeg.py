"""JPEG as a base codec: optimised and progressive, 4:2:0, by Pillow's libjpeg-turbo."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from ..errors import Corrupt

UInt8Array = NDArray[np.uint8]


def encode(colour: UInt8Array, quality: int, effort: int, threads: int) -> bytes:
    """(H, W, 1 or 3) to a JPEG file. There is nothing that more effort would buy."""
    # the whole file has to fit into Pillow's buffer, and noise can outgrow its guess
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, 2 * colour.size)
    image = Image.fromarray(colour[..., 0] if colour.shape[2] == 1 else colour)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return buffer.getvalue()


def decode(payload: bytes, shape: tuple[int, int, int]) -> UInt8Array:
    """A JPEG file to exactly ``shape`` (H, W, 1 or 3); its own size is compared before it is decoded.

    Not by Image.open: that has a limit of its own, and takes a second picture behind the first for a film.
    """
    with JpegImageFile(io.BytesIO(payload)) as image:
        if image.size != (shape[1], shape[0]):
            raise Corrupt(f"the payload says {image.size}, the header {shape[1], shape[0]}", field="jpeg")
        pixels = np.asarray(image.convert("L" if shape[2] == 1 else "RGB"))
    return np.ascontiguousarray(pixels.reshape(shape))
