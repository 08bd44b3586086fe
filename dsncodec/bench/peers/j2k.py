"""JPEG 2000 by Pillow's OpenJPEG: irreversible 9/7 wavelet, multiple component transform, one quality layer."""

from __future__ import annotations

from functools import partial

import PIL
from PIL import features

from ...errors import MissingComponent
from . import Codec, UInt8Array, opened, saved

RATIOS = (240, 160, 110, 75, 50, 33, 22, 14, 9)
DECIBELS = tuple(round(20 + 0.3 * quality, 1) for quality in (4, 12, 20, 28, 36, 44, 52, 60, 68))


def version() -> str:
    """What shapes the bytes."""
    return f"Pillow {PIL.__version__}, OpenJPEG {features.version_codec('jpg_2000')}"


def codecs() -> list[Codec]:
    """One encoder, by compression ratio (24 bits over bpp) and by PSNR: a mean over pictures differs."""
    if not features.check_codec("jpg_2000"):
        raise MissingComponent("Pillow is built without OpenJPEG")
    ways = (
        ("j2k", "JPEG 2000", "by ratio", RATIOS, 0.05, "rates"),
        ("j2k-psnr", "JPEG 2000 by PSNR", "by PSNR", DECIBELS, 0.05, "dB"),
    )
    return [
        Codec(
            key=key,
            label=label,
            detail=f"irreversible 9/7, mct=1, {how}, raw codestream",
            kind="peer",
            version=version(),
            settings=settings,
            step=step,
            encode=partial(_encode, mode),
            decode=opened,
        )
        for key, label, how, settings, step, mode in ways
    ]


def _encode(mode: str, picture: UInt8Array, asked: float) -> bytes:
    return saved(
        picture,
        "JPEG2000",
        irreversible=True,
        mct=1,
        quality_mode=mode,
        quality_layers=[asked],
        no_jp2=True,
        # a codeblock is at most 64 x 64, and a resolution must not be smaller than one pixel
        num_resolutions=max(1, min(6, min(picture.shape[:2]).bit_length())),
    )
