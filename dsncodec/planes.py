"""A picture as one uint8 array, and the colour planes of a tile of it.

A picture stays one uint8 array (H, W, channels) on both sides. Float planes exist only for the tile
at hand, so that memory does not grow with the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .metadata import METADATA, Dpi, from_wire, to_wire

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint8] | NDArray[np.uint16])

STRIP = 256  # rows
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}

# Full-range BT.601, as in JPEG (ITU-T T.871, section 7), for values in [0, 1]
TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]],
    np.float32,
)
_NEUTRAL = np.array([0, 128 / 255, 128 / 255], np.float32)


@dataclass(frozen=True)
class Picture:
    """A picture: ``pixels`` (H, W, channels) uint8, its mode, and its metadata, EXIF as a TIFF structure."""

    pixels: UInt8Array
    mode: str
    icc_profile: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    dpi: Dpi | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, in Pillow's order."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def colour(self) -> UInt8Array:
        """(H, W, 1 or 3): all but alpha, a view."""
        return self.pixels[..., : CHANNELS[self.mode] - self.mode.endswith("A")]

    def metadata_sections(self) -> list[tuple[str, bytes]]:
        """The sections of the metadata that there is, as (tag, payload)."""
        return [
            (tag, to_wire(name, getattr(self, name))) for tag, name in METADATA.items() if getattr(self, name)
        ]


def pixels_of(image: Image.Image) -> UInt8Array:
    """A Pillow image of one of our modes as (H, W, channels), strip by strip: NumPy would hold it twice meanwhile."""
    pixels = np.empty((image.height, image.width, CHANNELS[image.mode]), np.uint8)
    for top in range(0, image.height, STRIP):
        below = min(top + STRIP, image.height)
        strip = np.asarray(image.crop((0, top, image.width, below)))
        pixels[top:below] = strip.reshape(below - top, image.width, -1)
    return pixels


def to_pillow(picture: Picture) -> Image.Image:
    """The picture as a Pillow image, metadata in ``info``."""
    pixels = picture.pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    for tag, payload in picture.metadata_sections():
        image.info[METADATA[tag]] = from_wire(METADATA[tag], payload)
    return image


def crop_padded(pixels: Pixels, y: slice, x: slice) -> Pixels:
    """A window that may reach beyond the right and the bottom edge; the last pixel repeats there."""
    height, width = pixels.shape[:2]
    if y.stop <= height and x.stop <= width:
        return pixels[y, x]
    rows = np.minimum(np.arange(y.start, y.stop), height - 1)
    columns = np.minimum(np.arange(x.start, x.stop), width - 1)
    return pixels[rows[:, None], columns]


def squeezed(colour: UInt8Array) -> UInt8Array:
    """(H, W, 3) as it is, grey (H, W, 1) as (H, W)."""
    return np.ascontiguousarray(colour[..., 0] if colour.shape[2] == 1 else colour)


def to_planes(pixels: UInt8Array) -> FloatArray:
    """(H, W, 1 or 3) uint8 to planes (C, H, W) float32 in [0, 1]: Y, or Y Cb Cr as in JPEG."""
    scaled = pixels.astype(np.float32) / np.float32(255)
    if pixels.shape[2] == 3:
        scaled = scaled @ TO_YCBCR.T + _NEUTRAL
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def to_pixels(planes: NDArray[np.floating]) -> UInt8Array:
    """Planes (1 or 3, H, W) in [0, 1] back to (H, W, 1 or 3) uint8, rounded half up and clipped."""
    if len(planes) == 1:
        values = planes[0][..., None]
    else:
        neutral = planes.dtype.type(128 / 255)
        y, cb, cr = planes[0], planes[1] - neutral, planes[2] - neutral
        # the inverse of TO_YCBCR, ITU-T T.871
        values = np.stack([y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb], -1)
    return np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)


# --- colours under alpha 0, which nobody sees


def filled(pixels: UInt8Array, black: bool = False) -> UInt8Array:
    """The same picture (H, W, channels) with one colour wherever alpha is 0: the mean of what shows, or black.

    >>> filled(np.array([[[9, 255], [200, 0]]], np.uint8)).tolist()
    [[[9, 255], [9, 0]]]
    """
    if pixels.shape[2] not in (2, 4):
        return pixels
    hidden = pixels[..., -1] == 0
    if not hidden.any():
        return pixels
    count, out = int((~hidden).sum()), pixels.copy()
    for channel in range(pixels.shape[2] - 1):
        # in whole numbers: the same everywhere
        total = int(pixels[..., channel].sum(where=~hidden, dtype=np.int64))
        out[..., channel][hidden] = 0 if black or not count else (2 * total + count) // (2 * count)
    return out


def visible(pixels: UInt8Array) -> NDArray[np.bool_] | None:
    """Where alpha, the last of 2 or 4 channels, is not 0, (H, W); None where that is everywhere, or nowhere."""
    if pixels.shape[2] not in (2, 4):
        return None
    seen = np.asarray(pixels[..., -1] != 0)
    return None if seen.all() or not seen.any() else seen


def with_original(original: UInt8Array, shown: UInt8Array, seen: NDArray[np.bool_] | None) -> UInt8Array:
    """A picture with the original's colours where none is seen, to be judged as a whole."""
    return shown if seen is None else np.where(seen[..., None], shown, original)
