"""Pictures of other formats, in and out: what Pillow is asked to do, and what it must keep."""

from __future__ import annotations

import argparse
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, PngImagePlugin

from .. import metrics
from ..errors import SettingError, reason, warn
from ..files import write
from ..metadata import (
    METADATA,
    NAMES,
    ORIENTATION,
    RESOLUTION,
    Gathered,
    checked_dpi,
    gathered,
    is_exif,
    says_resolution,
    tags_of_picture,
    with_resolution,
)
from ..planes import squeezed, visible, with_original
from ..reading import loaded, read_picture
from .common import DSN, Job

UInt8Array = NDArray[np.uint8]

_NO_PLACE = "files of this kind have no place for it, or Pillow writes none"
_XMP_TAG = 700  # of TIFF
# tags that a file need not have: orientation where the pixels or a header say it, and places of parts that Pillow moves
_MOVED = {ORIENTATION, 0x8769, 0x8825} | RESOLUTION
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
    return opened_picture(job.read())


def opened_picture(source: bytes | str) -> Image.Image:
    """The whole picture of a path or of a file's bytes. Raises OSError, as ``open_picture``."""
    with _quiet():
        return loaded(source)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings, of large pictures and odd metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module="PIL")
        yield


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
    """The picture as a file, with its metadata as files of the kind have it. A block that cannot be written costs itself, with a
    LossWarning, and never the picture.

    Raises:
        OSError: the format cannot hold the picture.
    """
    name = format_of(suffix)
    said = {**image.info, "dpi": checked_dpi(image.info.get("dpi"))}
    blocks = {key: said[key] for key in METADATA.values() if said.get(key)}
    left_out: dict[str, str] = {}
    if "exif" in blocks and not is_exif(blocks["exif"]):
        left_out["exif"] = "the block is not one of EXIF"
        del blocks["exif"]
    info, image.info = image.info, {}  # or Pillow would write from it what was left out
    try:
        try:
            data = _saved(image, name, blocks)
        except Exception:
            if not blocks:
                raise
            data, failed = _without_what_fails(image, name, blocks)
            left_out |= failed
    finally:
        image.info = info
    for key, why in (left_out | _not_there(data, blocks.keys() - left_out.keys(), info)).items():
        warn(f"{NAMES[key]} is left out: {why}")
    return data


def tell_left_out(metadata: Iterable[str]) -> None:
    """Say of each kind that files of a format do not have it."""
    for key in metadata:
        warn(f"{NAMES[key]} is left out: {_NO_PLACE}")


def _without_what_fails(
    image: Image.Image, name: str, blocks: dict[str, Any]
) -> tuple[bytes, dict[str, str]]:
    """The file with those blocks that can be written, and why the others cannot."""
    data, taken, left_out = _saved(image, name, {}), dict[str, Any](), dict[str, str]()
    for key, block in blocks.items():
        try:
            data = _saved(image, name, {**taken, key: block})
            taken[key] = block
        except Exception as exc:  # whatever Pillow finds wrong with a stranger's metadata
            left_out[key] = reason(exc)
    return data, left_out


def _not_there(data: bytes, keys: Iterable[str], info: Mapping[Any, Any]) -> dict[str, str]:
    """Which blocks a reader of the file does not find."""
    try:
        with _quiet(), Image.open(io.BytesIO(data)) as back:
            found = gathered(back)
    except Exception:  # Pillow writes some kinds of files that it does not read
        found = Gathered()
    missing = {key: _NO_PLACE for key in sorted(keys) if not getattr(found, key)}
    if "dpi" in missing and (found.exif and says_resolution(found.exif)):
        del missing["dpi"]
    if "exif" in keys and "exif" not in missing and (lost := _lost_tags(info["exif"], found.exif)):
        names = ", ".join(ExifTags.TAGS.get(tag, f"{tag:#06x}") for tag in lost[:5])
        missing["exif"] = f"not all of it: the file has no {names}"
    return missing


def _lost_tags(given: bytes, found: bytes) -> list[int]:
    """Tags of an EXIF block that another one lacks; none of a block that is broken: it is there as it is."""
    try:
        with _quiet():
            return sorted(set(tags_of_picture(given)) - set(tags_of_picture(found)) - _MOVED)
    except Exception:  # whatever Pillow makes of it
        return []


def _saved(image: Image.Image, name: str, blocks: dict[str, Any]) -> bytes:
    """The picture by Pillow's plugin, the blocks in its dialect."""
    options: dict[str, Any] = {**_OPTIONS.get(name, {}), **blocks}
    if name == "PNG" and "xmp" in options:
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode("utf-8"))
        options["pnginfo"] = text
    if name == "JPEG" and "dpi" in options:
        options["dpi"] = tuple(min(max(round(side), 1), 65535) for side in options["dpi"])
    if name in ("WEBP", "AVIF") and "dpi" in options and "exif" not in options:
        options["exif"] = with_resolution(options["dpi"])
    if name == "TIFF":
        tags = tags_of_picture(options.pop("exif", b""))
        if "xmp" in options:
            tags[_XMP_TAG] = options.pop("xmp")
        options["tiffinfo"] = tags
    buffer = io.BytesIO()
    with _quiet():
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
