"""The honest twins of DSN: average pooling -> the same symbols, backends and file -> bicubic or Lanczos.

Their files are .dsn files like any other; only the two resamplers differ from ours. A learned pair that
does not beat them on the same kind of payload has no reason to exist.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import dsncodec

from ... import carriers, container, reading
from ...container import Header
from ...methods import DEFAULT_EFFORT
from ...methods.dsn.bitstream import Parameters, Point, latent_shapes, parse, point_of_quality
from ...methods.dsn.quantise import dequantise, dequantise_chroma, quantise, quantise_chroma
from ...methods.sections import read_structure
from ...networks import registry
from ...planes import crop_padded, to_pixels, to_planes
from . import Codec, UInt8Array
from .dsn import QUALITIES

FloatArray = NDArray[np.float32]
KERNELS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def codecs() -> list[Codec]:
    """One setting is the scale and levels that this quality of DSN has."""
    return [
        Codec(
            key=f"twin-{name}",
            label=f"Twin, {name}",
            detail=f"average pooling, DSN's symbols and backends, {name} enlargement",
            kind="twin",
            version=f"dsncodec {dsncodec.__version__}",
            settings=QUALITIES,
            step=1,
            encode=_encode,
            decode=partial(_decode, kernel),
        )
        for name, kernel in KERNELS.items()
    ]


def _encode(picture: UInt8Array, quality: float) -> bytes:
    point: Point = point_of_quality(int(quality))
    header = Header("dsn", "RGB", picture.shape[1], picture.shape[0])
    (_, rows, columns), (_, chroma_rows, chroma_columns) = latent_shapes(header, point.scale)
    padded = crop_padded(picture, slice(0, rows * point.scale), slice(0, columns * point.scale))
    planes = to_planes(padded)
    luma = quantise(_pooled(planes[:1], rows, columns), point.levels)
    chroma = quantise_chroma(_pooled(planes[1:], chroma_rows, chroma_columns), point.chroma_levels)
    return container.pack(
        header,
        [
            ("PARM", Parameters(point, registry.for_scale(point.scale).wire_id).pack()),
            ("LUMA", carriers.encode(luma, point.levels, "auto", DEFAULT_EFFORT)),
            ("CHRO", carriers.encode(chroma, point.chroma_levels, "auto", DEFAULT_EFFORT)),
        ],
    )


def _pooled(planes: FloatArray, rows: int, columns: int) -> FloatArray:
    """(C, H, W) to (C, rows, columns), the mean of each block."""
    count, height, width = planes.shape
    blocks = planes.reshape(count, rows, height // rows, columns, width // columns)
    return np.asarray(blocks.mean((2, 4)), np.float32)


def _decode(kernel: Image.Resampling, data: bytes) -> UInt8Array:
    with reading.opened(data) as stream:
        header, sections, _ = read_structure(stream, None)
        layer = parse(header, dict(container.iter_payloads(stream, sections)))
    point: Point = layer.parameters.point
    size = (layer.luma.shape[2] * point.scale, layer.luma.shape[1] * point.scale)
    small = [dequantise(layer.luma, point.levels)[0], *dequantise_chroma(layer.chroma, point.chroma_levels)]
    planes = np.stack([np.asarray(Image.fromarray(plane).resize(size, kernel)) for plane in small])
    return to_pixels(planes)[: header.height, : header.width]
