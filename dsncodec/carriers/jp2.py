"""Symbols to a .jp2 file through glymur, which needs the system's OpenJPEG."""

from __future__ import annotations

import tempfile
from pathlib import Path

import glymur
import numpy as np
from numpy.typing import NDArray

from ..errors import MissingComponent

_OLDEST = (2, 4)  # glymur writes with no older OpenJPEG


def to_jp2(symbols: NDArray[np.uint8]) -> bytes:
    """Reversible 5/3 wavelet and no rate limit: lossless. glymur takes paths only.

    Raises:
        MissingComponent: there is no OpenJPEG for glymur to load.
    """
    if glymur.version.openjpeg_version_tuple < _OLDEST:
        raise MissingComponent(
            "glymur finds no OpenJPEG library: pip install dsncodec[jp2] and, on Debian, "
            "apt install libopenjp2-7"
        )
    resolutions = max(1, min(6, min(symbols.shape).bit_length()))  # each must have a pixel
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.jp2"
        data = np.ascontiguousarray(symbols)
        glymur.Jp2k(path, data=data, irreversible=False, numres=resolutions)
        return path.read_bytes()
