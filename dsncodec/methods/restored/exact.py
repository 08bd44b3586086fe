"""Pictures without loss: asked for, or smaller than what a base codec makes of a flat one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ... import carriers, container
from ...container import Header
from ...errors import SettingError
from ...planes import STRIP, filled
from .. import Job, rate_control
from .bitstream import LOSSLESS

UInt8Array = NDArray[np.uint8]

# Of pixels that equal their left neighbour. Photographs of the tuning and test sets have 0.38 or less, 0.04 in the middle
FLAT_SHARE = 0.4
# Bits a sample from which on a photograph may be smaller without loss, and how large it is at least
PHOTO_BITS = 2.0
PHOTO_PIXELS = 2**14
# The last percents, which cost seconds: where they may decide, and from this effort on where they do not
NEARLY = 1.4
THOROUGH_FROM_EFFORT = 5


def is_flat(pixels: UInt8Array) -> bool:
    """Whether a picture (H, W, channels) is drawn or written, not photographed, by the pixels that repeat."""
    strips = (pixels[top : top + STRIP] for top in range(0, len(pixels), STRIP))
    same = sum(int((strip[:, 1:] == strip[:, :-1]).all(-1).sum()) for strip in strips)
    return same >= FLAT_SHARE * pixels.shape[0] * (pixels.shape[1] - 1)


def encode(job: Job, header: Header) -> bytes:
    """The codestream without loss, colours under alpha 0 and all.

    Raises:
        SettingError: no lossless codec holds so large a picture.
    """
    pixels = job.picture.pixels
    thorough = job.effort > THOROUGH_FROM_EFFORT or (job.effort == THOROUGH_FROM_EFFORT and is_flat(pixels))
    return _packed(job, header, carriers.encode_lossless(pixels, thorough))


def _packed(job: Job, header: Header, payload: bytes) -> bytes:
    return container.pack(header, [("PARM", LOSSLESS.pack()), ("BASE", payload), *job.metadata])


def alternative(job: Job, header: Header) -> rate_control.Exact:
    """The codestream without loss of all that shows, for rate control to take where it is the better one."""
    pixels = filled(job.picture.pixels, black=True)
    flat = is_flat(pixels)

    def coded(thorough: bool) -> bytes:
        return _packed(job, header, carriers.encode_lossless(pixels, thorough))

    def within(limit: int) -> bytes | None:
        large = pixels.shape[0] * pixels.shape[1] >= PHOTO_PIXELS
        if not flat and not (large and 8 * limit >= PHOTO_BITS * pixels.size):
            return None
        try:
            data = coded(thorough=False)
            better = flat and limit * NEARLY >= len(data) and job.effort >= THOROUGH_FROM_EFFORT
            data = min(data, coded(thorough=True), key=len) if better else data
        except SettingError:
            return None
        return data if len(data) <= limit else None

    return rate_control.Exact(within, lambda: coded(thorough=job.effort >= THOROUGH_FROM_EFFORT and flat))
