"""Pictures of other formats, in and out: what Pillow is asked to do, and what it must keep."""

from __future__ import annotations

import argparse
import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from .. import metrics
from ..errors import SettingError
from ..files import write
from ..planes import loaded, read_picture, squeezed, visible, with_original
from .common import DSN, Job

UInt8Array = NDArray[np.uint8]

_XMP_TAG = 700  # of TIFF
_OPTIONS: dict[str, dict[str, Any]] = {  # the loss shall stay ours: let the format add little
    "AVIF": {"quality": 90},
    "JPEG": {"quality": 95},
    "WEBP": {"lossless": True},
}


def open_picture(job: Job) -> Image.Image:
    """The whole picture in memory.

    Raises:
        OSError: missing, or not a picture, or a broken one, whatever Pillow called it.
    """
    source = job.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module="PIL")  # of odd metadata
        return loaded(io.BytesIO(source) if isinstance(source, bytes) else source)


def format_of(suffix: str) -> str:
    """Pillow's name of the format that files of this suffix have.

    Raises:
        SettingError: Pillow writes no such files, or only ``encode`` does.
    """
    if suffix in DSN:
        raise SettingError(
            "this verb writes pictures, and .dsn files are written by dsncodec encode; try .png"
        )
    name = Image.registered_extensions().get(suffix)
    if name is None or name not in Image.SAVE:
        what = suffix or "a file without suffix"
        raise SettingError(f"a picture cannot be written as {what}; try .png, .jpg or .webp")
    return name


def written(args: argparse.Namespace, job: Job, image: Image.Image) -> dict[str, Any]:
    """A verb's picture at the job's target; returns the report."""
    write(str(job.target), to_bytes(image, args.suffix), args.force)
    return {"width": image.width, "height": image.height, "mode": image.mode}


def to_bytes(image: Image.Image, suffix: str) -> bytes:
    """The picture as a file, with its ICC, EXIF and XMP where the format takes them."""
    name = format_of(suffix)
    kept = {key: image.info[key] for key in ("icc_profile", "exif", "xmp") if image.info.get(key)}
    options: dict[str, Any] = {**_OPTIONS.get(name, {}), **kept}
    if "xmp" in options and name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", options["xmp"].decode("utf-8", "replace"))
        options["pnginfo"] = text
    if name == "TIFF":
        tags = Image.Exif()
        tags.load(options.pop("exif", b""))
        if "xmp" in options:
            tags[_XMP_TAG] = options["xmp"]
        options["tiffinfo"] = tags
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def psnr_db(original: Image.Image, decoded: Image.Image) -> float:
    """PSNR over R, G and B, or grey, where alpha is not 0."""
    ours, theirs, seen = _colours(original, decoded)
    return metrics.psnr_db(ours, theirs) if seen is None else metrics.psnr_db(ours[seen], theirs[seen])


def ssimulacra2(original: Image.Image, decoded: Image.Image) -> float:
    """SSIMULACRA 2 of the colours, or grey; where alpha is 0 they count as equal."""
    ours, theirs, seen = _colours(original, decoded)
    return metrics.ssimulacra2(squeezed(ours), squeezed(with_original(ours, theirs, seen)))


def _colours(
    original: Image.Image, decoded: Image.Image
) -> tuple[UInt8Array, UInt8Array, NDArray[np.bool_] | None]:
    """Both without alpha, (H, W, 1 or 3), and where they show."""
    planes = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3}[decoded.mode]
    theirs = np.asarray(decoded).reshape(decoded.height, decoded.width, -1)[..., :planes]
    pixels = read_picture(original).pixels
    return pixels[..., :planes], theirs, visible(pixels)
