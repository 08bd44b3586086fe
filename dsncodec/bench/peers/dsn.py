"""This library's coding methods, through its public API."""

from __future__ import annotations

from functools import partial

import numpy as np

import dsncodec

from ... import weights
from ...codecs import DEFAULT_EFFORT
from . import Codec, UInt8Array

QUALITIES = (0, 6, 18, 24, 41, 47, 59, 76, 100)
_WAYS = (
    ("dsn", "DSN", "default effort: the latent is refined on each picture", DEFAULT_EFFORT),
    ("dsn-fast", "DSN effort 3", "effort 3: the networks alone", 3),
    ("dsn-best", "DSN effort 9", "effort 9: the longest refinement", 9),
)


def codecs() -> list[Codec]:
    """One setting is one quality; the longest effort runs on request only."""
    models = ", ".join(f"x{scale} {weights.for_scale(scale).wire_id.hex()[:6]}" for scale in weights.scales())
    return [
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


def _encode(effort: int, picture: UInt8Array, quality: float) -> bytes:
    return dsncodec.encode(picture, method="dsn", quality=int(quality), effort=effort, threads=1)


def _decode(data: bytes) -> UInt8Array:
    return np.asarray(dsncodec.decode(data, threads=1).convert("RGB"))
