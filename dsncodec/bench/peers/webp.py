"""WebP by Pillow's libwebp: lossy, method 6."""

from __future__ import annotations

import PIL
from PIL import features

from ...errors import MissingComponent
from . import Codec, UInt8Array, opened, saved

QUALITIES = (0, 4, 12, 24, 40, 56, 70, 80, 88)


def codecs() -> list[Codec]:
    """Method 6 is the slowest and best."""
    if not features.check_module("webp"):
        raise MissingComponent("Pillow is built without libwebp")
    return [
        Codec(
            key="webp",
            label="WebP",
            detail="lossy, method 6",
            kind="peer",
            version=f"Pillow {PIL.__version__}, libwebp {features.version_module('webp')}",
            settings=QUALITIES,
            step=1,
            encode=_encode,
            decode=opened,
        )
    ]


def _encode(picture: UInt8Array, quality: float) -> bytes:
    return saved(picture, "WEBP", quality=int(quality), method=6)
