"""Latent grids, fitted to each picture for a number of steps, so that other work on the machine changes no file."""

from __future__ import annotations

from functools import partial

import numpy as np

import dsncodec

from ...networks import registry
from ...options import LatentGrid
from . import Codec, UInt8Array, require

STEPS = (300, 1500)
QUALITIES = {"visual": (10, 30, 45, 55, 65, 75, 85), "psnr": (10, 25, 40, 50, 60, 70, 80)}


def codecs() -> list[Codec]:
    """Both tunes at each budget. They take minutes a picture, and run on request only."""
    return [
        Codec(
            key=f"latentgrid-{steps}" if tune == "visual" else f"latentgrid-{tune}-{steps}",
            label=f"latent grids, {steps} steps"
            if tune == "visual"
            else f"latent grids, tune={tune}, {steps} steps",
            detail=f"tune={tune}, {steps} steps of a fit, one thread",
            kind="ours",
            version=_version(tune),
            settings=QUALITIES[tune],
            step=1,
            encode=partial(_encode, tune, steps),
            decode=_decode,
            default=False,
        )
        for tune in ("visual", "psnr")
        for steps in STEPS
    ]


def _version(tune: str) -> str:
    rows = [row for row in registry.inits() if row.default]
    own = [row for row in rows if row.tune == tune] or rows
    names = ", ".join(row.wire_id.hex()[:6] for row in own)
    numba = require("numba").__version__
    return f"dsncodec {dsncodec.__version__}, inits {names}, numba {numba}, numpy {np.__version__}"


def _encode(tune: str, steps: int, picture: UInt8Array, quality: float) -> bytes:
    return dsncodec.encode(picture, LatentGrid(steps=steps, tune=tune), quality=int(quality), threads=1)


def _decode(data: bytes) -> UInt8Array:
    return np.asarray(dsncodec.decode(data, threads=1).convert("RGB"))
