"""Two methods, one file: the standard codec under its network, and a fit of latent grids; the better one is kept."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np

from .. import container, kernels
from ..errors import SettingError
from ..metrics import psnr_db
from ..options import Best, LatentGrid, Restored
from . import FIDELITY, Job, parser, rate_control
from .latentgrid import encoder as latentgrid
from .restored import codec as restored
from .sections import read_structure


def encode(job: Job, options: Best) -> bytes:
    """The better of two codestreams.

    With bytes given, whichever is nearer to the picture; else the smaller one, where the fit is no further from the picture
    than the other, or than the PSNR given. A fit that does not reach its target leaves the first.

    Raises:
        SettingError: the target is out of reach.
    """
    job = replace(job, effort=9)
    data = restored.encode(job, Restored(base_quality=options.base_quality, tune="psnr"))
    width, height = job.picture.size
    if not kernels.available() or width * height > latentgrid.MAX_FIT_PIXELS:
        return data
    # the two are compared by PSNR
    settings = LatentGrid(seconds=options.seconds, steps=options.steps, tune="psnr")
    encoder = latentgrid.encoder_of(job, settings)
    reached = psnr_db(encoder.colour, _shown(data, job))
    if not math.isfinite(reached):
        return data
    target = job.target
    limited = target.bytes_for(width * height) is not None
    if not limited:
        target = rate_control.Target(psnr_db=target.psnr_db or reached)
    try:
        point = encoder.point_for_target(target, job.metadata)
        sections = encoder.sections(point)
    # out of the fit's reach
    except SettingError:
        return data
    fitted = container.pack(job.header(settings.method), sections + job.metadata)
    found = psnr_db(encoder.colour, encoder.reconstruct(point))
    if limited:
        return fitted if found > reached else data
    assert target.psnr_db is not None
    return min(data, fitted, key=len) if found >= target.psnr_db else data


def _shown(data: bytes, job: Job) -> np.ndarray:
    """The colours a reader gets, (H, W, 1 or 3)."""
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    parsed = parser(header.method).parse(header, dict(container.iter_payloads(stream, sections)))
    return parsed.pixels(None, job.threads, FIDELITY)[..., : header.colour_planes]
