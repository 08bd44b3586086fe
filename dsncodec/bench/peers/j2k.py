"""JPEG 2000 by Pillow's OpenJPEG: irreversible 9/7 wavelet, multiple component transform, one quality layer."""

from __future__ import annotations

import PIL
from PIL import features

from ...errors import MissingComponent
from . import Codec, UInt8Array, opened, saved

RATIOS = (240, 160, 110, 75, 50, 33, 22, 14, 9)


def version() -> str:
    """What shapes the bytes."""
    return f"Pillow {PIL.__version__}, OpenJPEG {features.version_codec('jpg_2000')}"


def codecs() -> list[Codec]:
    """One setting is one compression ratio, 24 bits over bpp."""
    if not features.check_codec("jpg_2000"):
        raise MissingComponent("Pillow is built without OpenJPEG")
    return [
        Codec(
            key="j2k",
            label="JPEG 2000",
            detail="irreversible 9/7, mct=1, by ratio, raw codestream",
            kind="peer",
            version=version(),
            settings=RATIOS,
            step=0.05,
            encode=_encode,
            decode=opened,
        )
    ]


def _encode(picture: UInt8Array, ratio: float) -> bytes:
    return saved(
        picture,
        "JPEG2000",
        irreversible=True,
        mct=1,
        quality_mode="rates",
        quality_layers=[ratio],
        no_jp2=True,
        # a codeblock is at most 64 x 64, and a resolution must not be smaller than one pixel
        num_resolutions=max(1, min(6, min(picture.shape[:2]).bit_length())),
    )
