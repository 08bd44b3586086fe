"""Two methods, one file: the standard codec under its network, and a fit of latent grids; the better one is kept."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .. import container, kernels
from ..errors import SettingError
from ..metrics import SSIMULACRA2_SMALLEST, psnr_db, ssimulacra2
from ..options import Best, LatentGrid, Restored
from ..planes import squeezed
from . import FIDELITY, Job, Progress, parser, rate_control
from .latentgrid import encoder as latentgrid
from .restored import codec as restored
from .sections import read_structure


def encode(job: Job, options: Best) -> bytes:
    """The better of two codestreams.

    With bytes given, whichever is nearer to the picture; else the smaller one, where the fit is no further from the picture
    than the other, or than the PSNR or the score given. A fit that does not reach its target leaves the first. Nearness is
    SSIMULACRA 2 with tune "visual" and sides of at least 8 pixels, else PSNR.

    Raises:
        SettingError: the target is out of reach.
    """
    job = replace(job, effort=9)
    data = restored.encode(job, Restored(base_quality=options.base_quality, tune=options.tune))
    width, height = job.picture.size
    if not kernels.available() or width * height > latentgrid.MAX_FIT_PIXELS:
        return data
    settings = LatentGrid(seconds=options.seconds, steps=options.steps, tune=options.tune)
    encoder = latentgrid.encoder_of(job, settings)
    measure, level = _judge(job.target, options.tune, min(width, height))
    shown = _shown(data, job)
    reached = measure(encoder.colour, shown)
    if not math.isfinite(reached):
        return data
    target = job.target
    limited = target.bytes_for(width * height) is not None
    if not limited:
        wanted = getattr(target, level) or reached
        scored = level == "ssimulacra2"
        target = rate_control.Target(ssimulacra2=wanted) if scored else rate_control.Target(psnr_db=wanted)
    try:
        point = encoder.point_for_target(target, job.metadata)
        sections = encoder.sections(point)
    # out of the fit's reach
    except SettingError:
        if job.progress is not None:
            error = np.mean(np.square(shown.astype(np.float32) - encoder.colour)) / 255**2
            job.progress(Progress(1.0, float(error), 8 * len(data) / (width * height)))
        return data
    fitted = container.pack(job.header(settings.method), sections + job.metadata)
    found = measure(encoder.colour, encoder.reconstruct(point))
    if limited:
        return fitted if found > reached else data
    return min(data, fitted, key=len) if found >= getattr(target, level) else data


def _judge(
    target: rate_control.Target, tune: str, side: int
) -> tuple[Callable[[np.ndarray, np.ndarray], float], str]:
    """How near a picture is to the original, and the target's name for that. A PSNR or a score that is asked for decides itself."""
    scored = target.psnr_db is None and tune == "visual" and side >= SSIMULACRA2_SMALLEST
    if target.ssimulacra2 is not None or scored:
        return lambda original, shown: ssimulacra2(squeezed(original), squeezed(shown)), "ssimulacra2"
    return psnr_db, "psnr_db"


def _shown(data: bytes, job: Job) -> np.ndarray:
    """The colours a reader gets, (H, W, 1 or 3)."""
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    parsed = parser(header.method).parse(header, dict(container.iter_payloads(stream, sections)))
    return parsed.pixels(None, job.threads, FIDELITY)[..., : header.colour_planes]
