"""encode: from a picture to a codestream."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from . import carriers, methods
from .errors import SettingError
from .files import check_out, write_out
from .metadata import METADATA, Dpi, bare_exif, checked_dpi
from .methods import Job, OnProgress, Progress
from .methods.rate_control import Target
from .options import Options, deprecated, options_of_call
from .planes import Picture, filled
from .reading import ImageLike, opened, read_picture
from .validation import positive, whole


@dataclass(frozen=True)
class Metadata:
    """The metadata of a file: blocks as bytes, empty: none; and dots per inch, across and down."""

    icc_profile: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    dpi: Dpi | None = None


def encode(
    image: ImageLike,
    method: str | Options | None = None,
    *,
    quality: int | None = None,
    target_bytes: int | None = None,
    target_bpp: float | None = None,
    target_psnr_db: float | None = None,
    target_ssimulacra2: float | None = None,
    effort: int = methods.DEFAULT_EFFORT,
    metadata: Metadata | None = None,
    threads: int | None = None,
    progress: OnProgress | None = None,
    out: str | os.PathLike[str] | BinaryIO | None = None,
    **settings: Any,
) -> bytes:
    """Code a picture.

    Args:
        image: Pillow image, path, binary file, uint8 array (H, W[, 1..4]), or the bytes of a picture's file.
        method: options, ``Restored``, ``DeepSampling``, ``LatentGrid``, ``CocoNet`` or ``Best``; or a method by name:
            "restored", "dsn", "latentgrid", "coconet" or "best". Default: the method that ``settings`` are of, else "restored".
        quality: 0..100, default 75. Bytes and quality rise with it. Of "restored" tuned for the eye, the default, it aims at that
            SSIMULACRA 2 on photographs; else its numbers are about those of JPEG; 100 is without loss. Of "coconet":
            0.02 to 2 bits per pixel in equal ratios; default 0.3 bits per pixel. Of "latentgrid": lambda, in equal ratios.
        target_bytes, target_bpp: the best file that is not larger; bpp counts the whole file.
        target_psnr_db: the smallest file that reaches this PSNR, over R, G and B (or grey).
        target_ssimulacra2: the smallest file found that reaches this SSIMULACRA 2, below 100, in about four encodes; sides of at
            least 8 pixels. Not of "coconet".
        effort: 0..9, how long the encoder works for the picture: speed of the base codec, from 4 on half the size too at low
            rates, from 8 on all base codecs and the larger network (tune "psnr": from 6 on); of "dsn" steps of refinement of the latent (none
            below 4), coders that "auto" tries, and how hard they work; of "latentgrid" the seconds of the fit, 1 to 180.
        metadata: in the place of the image's own; ``Metadata()``: none.
        threads: of the networks; default: the CPUs this process may use.
        progress: called now and then by methods that fit, see ``Progress``; a last time with ``done`` 1, or with ``interrupted``
            where Ctrl-C has ended a fit of latent grids early: then the file is the best so far, and may be short of
            ``target_psnr_db``.
        out: a path or a binary file that gets the codestream, too, whole or not at all: a path is written beside its place and
            renamed, and replaces what is there; to a file it is written when it is done, from where the file stands.
        settings: fields of the method's options, by name. And Pillow's ``icc_profile``, ``exif``, ``xmp``, ``dpi``: each in the
            place of the image's own, ``b""`` leaves it out; XMP may be text.
    Returns:
        The codestream, a whole .dsn file.
    Raises:
        SettingError: an impossible setting, more than one target, or a target out of reach.
        MissingComponent: torch, which "coconet" needs, or numba, which "latentgrid" needs, is not installed.
        OSError: a path, file or bytes that cannot be read as a picture, whatever is wrong with them; ``out`` cannot be written.
    Warns:
        LossWarning: what of the picture the file does not have: frames behind the first, bits beyond 8, kinds of metadata that
            have no place.
        FitWarning: a fit of "coconet" ran away, and went on from the best weights it had, more slowly. No file of it is worse than
            one of the picture's mean colour. Or a budget of seconds of "latentgrid" was too short for a picture of more than a
            megapixel: the file is larger than AVIF's.
    """
    effort = whole("effort", effort, 0, 9)
    own = {name: settings.pop(name, None) for name in METADATA.values()}
    if (report := settings.pop("report", None)) is not None:
        deprecated("report", "progress", stacklevel=2)
        progress = floats_to(report)
    options = options_of_call(method, settings, effort, stacklevel=2)
    target = Target.of(quality, target_bytes, target_bpp, target_psnr_db, target_ssimulacra2, options.fixed())
    coder = methods.coder(options)
    if out is not None:
        check_out(out)
    source = b""
    if options.keep:
        source = _whole_file(image)
        if metadata is not None or any(value is not None for value in own.values()):
            raise SettingError("keep brings the file back byte for byte: its metadata stays as it is")
        picture = carriers.picture_of(source)
    else:
        picture = _with_metadata(read_picture(image), metadata, own)
    if not options.is_lossless(target.quality):
        picture = replace(picture, pixels=filled(picture.pixels))
    data = coder.encode(Job(picture, target, effort, threads, progress, source), options)
    if out is not None:
        write_out(out, data)
    return data


def _whole_file(image: ImageLike) -> bytes:
    """The bytes of a path, a binary file from where it stands, or bytes.

    Raises:
        SettingError: it is a picture already, and no file.
    """
    if isinstance(image, Image.Image) or (isinstance(image, np.ndarray) and image.ndim != 1):
        raise SettingError(f"keep takes a path, a binary file or bytes, not {type(image).__name__}")
    with opened(image) as stream:
        return stream.read()


def floats_to(report: Callable[..., None]) -> OnProgress:
    """A ``report`` of 0.2, which takes two floats or three, for what calls ``progress``."""

    def tell(progress: Progress) -> None:
        bpp = () if progress.bpp is None else (progress.bpp,)
        report(progress.done, progress.mse, *bpp)

    return tell


def _with_metadata(picture: Picture, metadata: Metadata | None, own: Mapping[str, Any]) -> Picture:
    """The picture with other metadata: all of it, or some by name.

    Raises:
        SettingError: it is not bytes.
    """
    given: dict[str, Any] = {} if metadata is None else asdict(metadata)
    given |= {name: value for name, value in own.items() if value is not None}
    for name, value in given.items():
        if name == "dpi":
            given[name] = _checked_dpi(value) if value else None
            continue
        if isinstance(value, Image.Exif):
            given[name] = value = value.tobytes()
        if isinstance(value, str) and name == "xmp":
            given[name] = value = value.encode("utf-8")
        if not isinstance(value, bytes):
            raise SettingError(f"{name} must be bytes, not {type(value).__name__}")
        if name == "exif":
            given[name] = bare_exif(value)
    return replace(picture, **given)


def _checked_dpi(value: Any) -> Dpi | None:
    try:
        across, down = (positive("dpi", float(side)) for side in value)
    except (TypeError, ValueError) as exc:
        raise SettingError(f"dpi must be two positive numbers, not {value!r}") from exc
    return checked_dpi((across, down))
