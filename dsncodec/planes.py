"""Image in: Pillow, path or NumPy -> one uint8 array; and the colour planes of a tile of it.

A picture stays one uint8 array (H, W, channels) on both sides. Float planes exist only for the tile
at hand, so that memory does not grow with the picture.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .errors import SettingError

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint8] | NDArray[np.uint16])
ImageLike = Image.Image | UInt8Array | bytes | str | os.PathLike[str] | BinaryIO

STRIP = 256  # rows
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_CONVERT = {  # what Pillow turns into one of ours without losing what the picture shows
    "1": "L",
    "P": "RGB",
    "La": "LA",
    "PA": "RGBA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "HSV": "RGB",
}

# Full-range BT.601, as in JPEG (ITU-T T.871, section 7), for values in [0, 1]
TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]],
    np.float32,
)
_NEUTRAL = np.array([0, 128 / 255, 128 / 255], np.float32)

# Tag of a section -> the name in Pillow's ``info``, and of the field of Picture
METADATA = {"iccp": "icc_profile", "exif": "exif", "xmp ": "xmp"}


@dataclass(frozen=True)
class Picture:
    """A decoded picture: ``pixels`` (H, W, channels) uint8, its mode, and its metadata."""

    pixels: UInt8Array
    mode: str
    icc_profile: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, in Pillow's order."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def metadata_sections(self) -> list[tuple[str, bytes]]:
        """The sections of the metadata that there is, as (tag, payload)."""
        return [(tag, getattr(self, name)) for tag, name in METADATA.items() if getattr(self, name)]


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8")
    return bytes(value) if isinstance(value, (bytes, bytearray)) else b""


def read_picture(image: ImageLike) -> Picture:
    """Bring any supported image into one form.

    Args:
        image: Pillow image; path, binary file or bytes that Pillow can read; or uint8 array of shape
            (H, W), (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGBA.
    Raises:
        SettingError: a mode or an array that has no 8-bit form; an empty picture.
        OSError: the path cannot be read, or Pillow does not know the format.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, Image.Image):
        return _from_pillow(image)
    if isinstance(image, bytes):
        image = io.BytesIO(image)
    if not isinstance(image, (str, os.PathLike)) and not hasattr(image, "read"):
        raise SettingError(
            f"image must be a Pillow image, a path, a binary file or a uint8 array, "
            f"not {type(image).__name__}"
        )
    with Image.open(image) as opened:
        return _from_pillow(opened)


def loaded(source: str | os.PathLike[str] | BinaryIO) -> Image.Image:
    """A whole picture in memory, its file closed.

    Raises:
        OSError: missing, or not a picture, or a broken one, whatever Pillow called it.
    """
    try:
        with Image.open(source) as image:
            image.load()
    except UnidentifiedImageError as exc:
        raise OSError("not a picture in any format that Pillow reads") from exc
    except OSError:
        raise
    except Exception as exc:  # hostile bytes bring out every kind of exception in Pillow
        raise OSError(f"the picture cannot be read: {exc}") from exc
    return image


def _from_array(array: NDArray[Any]) -> Picture:
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4):
        raise SettingError(
            "an array must be uint8 of shape (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4), "
            f"not {array.dtype} {array.shape}; scale other types to 0..255 first"
        )
    if not pixels.size:
        raise SettingError(f"the picture is empty: shape {array.shape}")
    mode = {count: name for name, count in CHANNELS.items()}[pixels.shape[2]]
    return Picture(np.ascontiguousarray(pixels), mode)


def _from_pillow(image: Image.Image) -> Picture:
    if image.mode.startswith(("I", "F")):
        raise SettingError(
            f"mode {image.mode} has more than 8 bits a sample, which .dsn cannot keep; "
            "scale it to 8 bits and convert it to L first"
        )
    target = _target_mode(image)
    if image.mode != target:
        converted = image.convert(target)
        converted.info = image.info
        if image.mode in ("CMYK", "LAB"):  # the profile describes inks, not our RGB
            converted.info = {k: v for k, v in image.info.items() if k != "icc_profile"}
        image = converted
    if 0 in image.size:
        raise SettingError(f"the picture is empty: {image.width} x {image.height}")
    return Picture(
        pixels_of(image),
        image.mode,
        _bytes(image.info.get("icc_profile")),
        _bytes(image.info.get("exif")),
        _bytes(image.info.get("xmp")),
    )


def pixels_of(image: Image.Image) -> UInt8Array:
    """A Pillow image of one of our modes as (H, W, channels), strip by strip: NumPy would hold it twice meanwhile."""
    pixels = np.empty((image.height, image.width, CHANNELS[image.mode]), np.uint8)
    for top in range(0, image.height, STRIP):
        below = min(top + STRIP, image.height)
        strip = np.asarray(image.crop((0, top, image.width, below)))
        pixels[top:below] = strip.reshape(below - top, image.width, -1)
    return pixels


def _target_mode(image: Image.Image) -> str:
    """The mode of ours that keeps what the picture shows, transparency included."""
    if image.mode in ("1", "L", "P", "RGB") and image.has_transparency_data:
        return "LA" if image.mode in ("1", "L") else "RGBA"
    if image.mode in CHANNELS:
        return image.mode
    if image.mode not in _CONVERT:
        raise SettingError(f"mode {image.mode} is not supported; convert it to RGB first")
    return _CONVERT[image.mode]


def to_pillow(picture: Picture) -> Image.Image:
    """The picture as a Pillow image, metadata in ``info``."""
    pixels = picture.pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    for name in ("icc_profile", "exif", "xmp"):
        if value := getattr(picture, name):
            image.info[name] = value
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
