"""Pictures, rows and files for the tests of base codecs and of the method restored."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import dsncodec
from dsncodec import carriers, container
from dsncodec.carriers import BASE_CODECS
from dsncodec.container import Header
from dsncodec.methods.restored.bitstream import Parameters, base_shape
from dsncodec.methods.sections import read_structure
from dsncodec.networks.registry import Restoration

from .conftest import UInt8Array, picture

EVERY_BASE = pytest.mark.parametrize("base", BASE_CODECS)


def photo(columns: int, rows: int) -> Image.Image:
    with Image.open(Path(__file__).parent / "photos" / "astronaut.webp") as image:
        return image.convert("RGB").crop((150, 20, 150 + columns, 20 + rows))


def array(image: Image.Image) -> UInt8Array:
    return np.asarray(image)


def squared_error(a: UInt8Array, b: UInt8Array) -> float:
    return float(np.square(a.astype(float) - b).mean())


def sections_of(data: bytes) -> tuple[Header, dict[str, bytes]]:
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    return header, dict(container.iter_payloads(stream, sections))


def smoothed(x: np.ndarray, quality: np.ndarray, rmse: np.ndarray) -> np.ndarray:
    """In a network's place: the mean of 3 x 3 pixels."""
    assert quality.shape == rmse.shape == (1, 1, 1) and x.dtype == quality.dtype == rmse.dtype == np.float32
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), "edge")
    rows, columns = x.shape[1:]
    parts = [padded[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return np.mean(parts, 0, dtype=np.float32)


def row_of(
    base: str, size: str = "fast", name: str = "smoother", scale: int = 1, tune: str = "psnr"
) -> Restoration:
    return Restoration(name, name.encode(), base, size, 4, 4, f"{name}.onnx", "", scale=scale, tune=tune)


Use = Callable[..., list[str]]


def line_art(columns: int, rows: int) -> Image.Image:
    image = Image.new("RGB", (columns, rows), "white")
    draw = ImageDraw.Draw(image)
    for i in range(0, columns, 13):
        draw.line((i, 0, columns - i, rows), fill=(i % 256, 0, 90))
        draw.ellipse((i, i // 2, i + 30, i // 2 + 20), outline="black")
    return image


def ramp(columns: int, rows: int) -> Image.Image:
    """Smooth, so that smoothing takes a codec's blocks away and nothing else."""
    y, x = np.mgrid[:rows, :columns]
    planes = [128 + 100 * np.sin(x / 40 + k) * np.cos(y / 35) for k in range(3)]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8))


def own_file(data: bytes) -> bytes:
    """The base codec's file."""
    header, sections = sections_of(data)
    scale = Parameters.unpack(sections["PARM"]).scale
    return carriers.base_file(sections["BASE"], base_shape(header, scale))


def parts(base: str = "jpeg", mode: str = "RGBA") -> tuple[Header, dict[str, bytes]]:
    return sections_of(
        dsncodec.encode(picture(mode, 9, 8), "restored", tune="psnr", base=base, quality=40, effort=0)
    )


def packed(header: Header, sections: dict[str, bytes]) -> bytes:
    return container.pack(header, list(sections.items()))
