"""AVIF by Pillow's libavif: 4:4:4 tuned for PSNR at speed 6 and 3, and what Pillow does by default."""

from __future__ import annotations

from functools import partial
from typing import Any

import PIL
from PIL import features

from ...errors import MissingComponent
from . import Codec, UInt8Array, opened, saved

QUALITIES = (4, 10, 22, 34, 46, 58, 70, 82)
_TUNED = {"subsampling": "4:4:4", "advanced": {"tune": "psnr"}}
_WAYS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("avif", "AVIF speed 6", "4:4:4, tune=psnr, speed 6", {"speed": 6, **_TUNED}),
    ("avif-speed3", "AVIF speed 3", "4:4:4, tune=psnr, speed 3", {"speed": 3, **_TUNED}),
    ("avif-default", "AVIF default", "Pillow's defaults: 4:2:0, speed 6, libavif's own tune", {}),
)


def version() -> str:
    """What shapes the bytes."""
    return f"Pillow {PIL.__version__}, libavif {features.version_module('avif')}"


def codecs() -> list[Codec]:
    """Three ways, one encoder."""
    if not features.check_module("avif"):
        raise MissingComponent("Pillow is built without libavif")
    return [
        Codec(
            key=key,
            label=label,
            detail=detail,
            kind="peer",
            version=version(),
            settings=QUALITIES,
            step=1,
            encode=partial(_encode, options),
            decode=opened,
        )
        for key, label, detail, options in _WAYS
    ]


def _encode(options: dict[str, Any], picture: UInt8Array, quality: float) -> bytes:
    return saved(picture, "AVIF", quality=int(quality), max_threads=1, **options)
