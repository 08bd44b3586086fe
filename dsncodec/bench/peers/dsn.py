"""This library's coding methods, through its public API."""

from __future__ import annotations

from functools import partial

import numpy as np

import dsncodec

from ...methods import DEFAULT_EFFORT
from ...methods.restored.codec import BEST_FROM_EFFORT
from ...networks import registry
from ...options import DeepSampling, Restored
from . import Codec, UInt8Array, avif, j2k, jpeg, jxl

QUALITIES = (0, 6, 18, 24, 41, 47, 59, 76, 100)  # of deep sampling: nine points of its table
_WAYS = (
    ("dsn", "DSN", "default effort: the latent is refined on each picture", DEFAULT_EFFORT),
    ("dsn-fast", "DSN effort 3", "effort 3: the networks alone", 3),
    ("dsn-best", "DSN effort 9", "effort 9: the longest refinement", 9),
)
_AVIF_QUALITIES = (5, 12, 23, 49, 75, 88, 93, 97)  # on our scale: libavif's own 4, 10, 22, 34 ... 82
_RESTORED = (  # base codec, effort, key, label, detail, qualities; of AVIF on our scale, else the codec's own
    ("avif", 5, "restored-avif", "dsncodec AVIF", "AVIF speed 6 under the fast networks", _AVIF_QUALITIES),
    (
        "avif",
        6,
        "restored-avif-best",
        "dsncodec AVIF best",
        "AVIF speed 6 under the best network",
        _AVIF_QUALITIES,
    ),
    (
        "avif",
        8,
        "restored-avif-speed3",
        "dsncodec AVIF speed 3",
        "AVIF speed 3 under the best network",
        _AVIF_QUALITIES,
    ),
    ("jpeg", 5, "restored-jpeg", "dsncodec JPEG", "JPEG under the fast network", jpeg.QUALITIES),
    (
        "jxl",
        5,
        "restored-jxl",
        "dsncodec JPEG XL",
        "JPEG XL effort 7 under the fast network",
        (0, 10, 20, 40, 59, 72, 81, 88, 93),
    ),
    (
        "j2k",
        5,
        "restored-j2k",
        "dsncodec JPEG 2000 by PSNR",
        "JPEG 2000 9/7, mct=1, under the fast network",
        (4, 12, 20, 28, 36, 44, 52, 60, 68),
    ),
)


def codecs() -> list[Codec]:
    """The methods "restored" and "dsn". One setting is one quality; the longest efforts run on request only."""
    models = ", ".join(
        f"x{scale} {registry.for_scale(scale).wire_id.hex()[:6]}" for scale in registry.scales()
    )
    sampled = [
        Codec(
            key=key,
            label=label,
            detail=detail,
            kind="ours",
            version=f"dsncodec {dsncodec.__version__}, models {models}",
            settings=QUALITIES,
            step=1,
            encode=partial(_encode, effort),
            decode=_decode,
            default=effort < 9,
        )
        for key, label, detail, effort in _WAYS
    ]
    restored = [
        Codec(
            key=key,
            label=label,
            detail=detail,
            kind="ours",
            version=_restored_version(base, effort),
            settings=qualities,
            step=1,
            encode=partial(_restored, base, effort),
            decode=_decode,
        )
        for base, effort, key, label, detail, qualities in _RESTORED
        if registry.restoration(base, effort >= BEST_FROM_EFFORT)
    ]
    return restored + sampled


def _restored_version(base: str, effort: int) -> str:
    best = effort >= BEST_FROM_EFFORT
    networks = [row.wire_id.hex()[:6] for scale in (1, 2) if (row := registry.restoration(base, best, scale))]
    inside = {"avif": avif, "jpeg": jpeg, "jxl": jxl, "j2k": j2k}[base].version()
    return f"dsncodec {dsncodec.__version__}, networks {', '.join(networks)}, {inside}"


def _encode(effort: int, picture: UInt8Array, quality: float) -> bytes:
    return dsncodec.encode(picture, DeepSampling(), quality=int(quality), effort=effort, threads=1)


def _restored(base: str, effort: int, picture: UInt8Array, quality: float) -> bytes:
    ours, own = (int(quality), None) if base == "avif" else (None, int(quality))
    return dsncodec.encode(
        picture, Restored(base=base, base_quality=own), quality=ours, effort=effort, threads=1
    )


def _decode(data: bytes) -> UInt8Array:
    return np.asarray(dsncodec.decode(data, threads=1).convert("RGB"))
