"""JPEG by Pillow's libjpeg-turbo: optimised Huffman tables, progressive."""

from __future__ import annotations

from functools import partial

import PIL
from PIL import ImageFile, features

from . import Codec, UInt8Array, opened, saved

QUALITIES = (5, 10, 17, 27, 40, 55, 70, 82, 90)


def version() -> str:
    """What shapes the bytes."""
    return f"Pillow {PIL.__version__}, libjpeg-turbo {features.version_feature('libjpeg_turbo')}"


def codecs() -> list[Codec]:
    """Chroma halved in both directions, as most encoders do by default, and in full."""
    return [
        Codec(
            key=key,
            label=label,
            detail=f"optimised, progressive, {subsampling}",
            kind="peer",
            version=version(),
            settings=QUALITIES,
            step=1,
            encode=partial(_encode, subsampling),
            decode=opened,
        )
        for key, label, subsampling in (("jpeg", "JPEG", "4:2:0"), ("jpeg-444", "JPEG 4:4:4", "4:4:4"))
    ]


def _encode(subsampling: str, picture: UInt8Array, quality: float) -> bytes:
    # optimised tables need the whole file in Pillow's buffer, and noise in 4:4:4 can outgrow its guess
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, 2 * picture.size)
    return saved(
        picture, "JPEG", quality=int(quality), optimize=True, progressive=True, subsampling=subsampling
    )
