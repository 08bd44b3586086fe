"""AVIF by Pillow's libavif: what Pillow does by default, and libaom's tunes in 4:4:4."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import PIL
from PIL import features

from ...errors import MissingComponent
from . import Codec, UInt8Array, opened, saved

QUALITIES = (4, 10, 16, 22, 30, 38, 47, 57, 68)
ANCHOR = "avif-pillow"
_FULL_COLOUR = "4:4:4"
_WAYS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (  # key, label, detail, what Pillow is told
    (ANCHOR, "AVIF of Pillow", "Pillow's defaults: 4:2:0, speed 6, libavif's own tune", {}),
    *(
        (
            key,
            label,
            f"{_FULL_COLOUR}, tune={tune}, speed {speed}",
            {"speed": speed, "advanced": {"tune": tune}},
        )
        for key, label, tune, speed in (
            ("avif-iq444", "AVIF tune=iq", "iq", 6),
            ("avif", "AVIF tune=psnr", "psnr", 6),
            ("avif-ssimulacra2", "AVIF tune=ssimulacra2", "ssimulacra2", 6),
            ("avif-speed3", "AVIF tune=psnr speed 3", "psnr", 3),
        )
    ),
)


def version() -> str:
    """What shapes the bytes."""
    return f"Pillow {PIL.__version__}, libavif {features.version_module('avif')}"


def codecs() -> list[Codec]:
    """One encoder in several ways: those that this libaom knows, iq from 3.12 on."""
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
        if _knows(options)
    ]


def _knows(options: dict[str, Any]) -> bool:
    try:
        _encode(options, np.zeros((8, 8, 3), np.uint8), QUALITIES[0])
    except ValueError:
        return False
    return True


def _encode(options: dict[str, Any], picture: UInt8Array, quality: float) -> bytes:
    full = {"subsampling": _FULL_COLOUR} if options else {}
    return saved(picture, "AVIF", quality=int(quality), max_threads=1, **full, **options)
