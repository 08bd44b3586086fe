"""encode, decode, read_info: the whole path on one screen."""

from __future__ import annotations

import io
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import Image

from . import backends, codecs, container, rate, weights
from .checks import positive, whole
from .codecs import layer as low_resolution
from .codecs.layer import Parameters
from .container import MAX_PIXELS, Header, Section
from .errors import Corrupt, SettingError, UnsupportedVersion
from .metrics import bpp
from .planes import ImageLike, Picture, read_picture, to_pillow

Source = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO

_METADATA = {"iccp": "icc_profile", "exif": "exif", "xmp ": "xmp"}  # section tag -> Picture field
_KNOWN = low_resolution.TAGS | frozenset(_METADATA)


@dataclass(frozen=True)
class ImageInfo:
    """What a file says of itself; see ``read_info``. Sizes are in pixels or bytes."""

    width: int
    height: int
    mode: str
    method: str
    scale: int
    levels: int
    chroma_levels: int | None
    backends: dict[str, str]
    model: str
    model_id: str
    sections: dict[str, int]
    size_bytes: int
    bpp: float

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), as Pillow has it."""
        return self.width, self.height


def encode(
    image: ImageLike,
    method: str = "dsn",
    *,
    quality: int | None = None,
    target_bytes: int | None = None,
    target_bpp: float | None = None,
    target_psnr_db: float | None = None,
    scale: int | None = None,
    levels: int | None = None,
    chroma_levels: int | None = None,
    backend: str = "auto",
    effort: int = codecs.DEFAULT_EFFORT,
    icc_profile: bytes | None = None,
    exif: bytes | Image.Exif | None = None,
    xmp: bytes | None = None,
    threads: int | None = None,
) -> bytes:
    """Code a picture.

    Args:
        image: Pillow image, path, binary file, or uint8 array (H, W[, 1..4]).
        method: coding method; see ``dsncodec.codecs.METHODS``.
        quality: 0..100, default 75. Bytes and PSNR rise with it.
        target_bytes, target_bpp: the best file that is not larger; bpp counts the whole file.
        target_psnr_db: the smallest file of the quality table that reaches this PSNR, over R, G and B (or grey).
        scale, levels, chroma_levels: the operating point itself: 2..4, 2..256 and 2..256;
            with any of them given, the others default to 3, 256, and the levels of luma.
        backend: who carries the symbols, or "auto": the smallest of those tried.
        effort: 0..9, how long the encoder works for the picture: steps of refinement of the latent (none
            below 4), backends that "auto" tries, and how hard they work. Any reader decodes all of them.
        icc_profile, exif, xmp: metadata instead of the image's own; ``b""`` leaves it out.
        threads: of the networks; default: the CPUs this process may use.
    Returns:
        The codestream, a whole .dsn file.
    Raises:
        SettingError: an impossible setting, more than one target, or a target out of reach.
        OSError: a path that cannot be read as a picture.
    """
    effort = whole("effort", effort, 0, 9)
    if backend != "auto":
        backends.load(backend)
    coder = codecs.load(method)
    target = _one_target(quality, target_bytes, target_bpp, target_psnr_db, (scale, levels, chroma_levels))
    picture = read_picture(image)
    picture = _with_metadata(picture, icc_profile, exif, xmp)
    header = Header(method, picture.mode, *picture.size)
    encoder = coder.Encoder(header, picture.pixels, threads, effort)
    extra = [(tag, getattr(picture, name)) for tag, name in _METADATA.items() if getattr(picture, name)]
    return rate.encode_to_target(
        encoder,
        target,
        lambda point: container.pack(header, encoder.sections(point, backend) + extra),
    )


def _one_target(
    quality: int | None,
    target_bytes: int | None,
    target_bpp: float | None,
    target_psnr_db: float | None,
    point: tuple[int | None, int | None, int | None],
) -> rate.Target:
    asked = {
        "quality": quality, "target_bytes": target_bytes, "target_bpp": target_bpp,
        "target_psnr_db": target_psnr_db, "scale/levels": next((v for v in point if v is not None), None),
    }  # fmt: skip
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise SettingError(f"give one of {', '.join(asked)}, not {' and '.join(given)}")
    if target_bytes is not None:
        return rate.Target(max_bytes=int(positive("target_bytes", target_bytes)))
    if target_bpp is not None:
        return rate.Target(max_bpp=positive("target_bpp", target_bpp))
    if target_psnr_db is not None:
        return rate.Target(psnr_db=positive("target_psnr_db", target_psnr_db))
    if asked["scale/levels"] is not None:
        return rate.Target(point=rate.explicit_point(*point))
    if quality is not None:
        rate.point_of_quality(quality)
    return rate.Target(quality=quality)


def _with_metadata(
    picture: Picture, icc_profile: bytes | None, exif: bytes | Image.Exif | None, xmp: bytes | None
) -> Picture:
    if isinstance(exif, Image.Exif):
        exif = exif.tobytes()
    given: dict[str, Any] = {"icc_profile": icc_profile, "exif": exif, "xmp": xmp}
    for name, value in given.items():
        if value is not None and not isinstance(value, bytes):
            raise SettingError(f"{name} must be bytes, not {type(value).__name__}")
    return replace(picture, **{name: value for name, value in given.items() if value is not None})


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """A seekable binary stream over bytes, a path or a file. A pipe is read to its end first.

    A file that can seek is read from where it stands, and left there.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file, opened(file) as stream:  # the path may be that of a pipe
            yield stream
    elif hasattr(source, "read"):
        seekable = getattr(source, "seekable", None)
        if seekable is None or not seekable():
            yield io.BytesIO(source.read())
            return
        start = source.tell()
        try:
            yield source if start == 0 else io.BytesIO(source.read())
        finally:
            source.seek(start)
    else:
        raise SettingError(f"expected bytes, a path or a binary file, not {type(source).__name__}")


def read_structure(stream: BinaryIO, max_pixels: int | None) -> tuple[Header, dict[str, Section], int]:
    """Header, places of the sections, and length in bytes of a codestream; no payload is read."""
    stream.seek(0, os.SEEK_END)
    size_bytes = stream.tell()  # seek itself returns None in some file-like objects
    stream.seek(0)
    header = container.read_header(stream, max_pixels)
    return header, container.read_sections(stream, header, size_bytes, _KNOWN), size_bytes


def decode(
    source: Source,
    *,
    reduce: bool = False,
    region: tuple[int, int, int, int] | None = None,
    max_pixels: int | None = MAX_PIXELS,
    threads: int | None = None,
) -> Image.Image:
    """Decode a codestream.

    Args:
        source: bytes, path or binary file.
        reduce: give the low-resolution layer, 1/scale of the size; no network is run.
        region: (x0, y0, x1, y1) in pixels: exactly that crop of the full picture, at the cost of a crop.
        max_pixels: refuse larger pictures before anything is allocated; None: no limit.
        threads: of the networks; default: the CPUs this process may use.
    Returns:
        A Pillow image of mode L, LA, RGB or RGBA; metadata in ``info``.
    Raises:
        CodestreamError: the bytes are not a valid file.
        LimitExceeded: the picture is larger than ``max_pixels``.
        SettingError: an impossible region.
        OSError: the path cannot be read.
    """
    with opened(source) as stream:
        header, sections, _ = read_structure(stream, max_pixels)
        window = _window(region, header, reduce)
        payloads = dict(container.iter_payloads(stream, sections))
    coded = low_resolution.read_layer(header, payloads)
    pixels = coded.picture() if reduce else codecs.load(header.method).decode(coded, window, threads)
    return to_pillow(Picture(pixels, header.mode, **metadata(payloads)))


def metadata(payloads: dict[str, bytes]) -> dict[str, bytes]:
    """The ICC, EXIF and XMP among a file's payloads, by the names Pillow uses in ``info``."""
    return {name: payloads[tag] for tag, name in _METADATA.items() if tag in payloads}


def _window(
    region: tuple[int, int, int, int] | None, header: Header, reduce: bool
) -> tuple[slice, slice] | None:
    if region is None:
        return None
    if reduce:
        raise SettingError("give region or reduce, not both")
    try:
        x0, y0, x1, y1 = map(operator.index, region)
    except (TypeError, ValueError) as exc:
        raise SettingError(f"region must be four whole numbers, not {region!r}") from exc
    if not (0 <= x0 < x1 <= header.width and 0 <= y0 < y1 <= header.height):
        raise SettingError(
            f"region {region} is empty or reaches outside the picture, {header.width} x {header.height}"
        )
    return slice(y0, y1), slice(x0, x1)


def read_info(source: Source, *, max_pixels: int | None = None) -> ImageInfo:
    """What a file says of itself: its size, settings and sections. No pixel is decoded.

    Raises:
        CodestreamError: the bytes are not a valid file, as far as the headers show.
    """
    with opened(source) as stream:
        header, sections, size_bytes = read_structure(stream, max_pixels)
        if "PARM" not in sections:
            raise Corrupt("the section is missing", field="PARM")
        parameters = Parameters.unpack(container.read_payload(stream, sections["PARM"]))
        used: dict[str, str] = {}
        for tag in ("LUMA", "CHRO", "ALPH"):
            if tag in sections:
                stream.seek(sections[tag].offset)
                used[tag] = backends.backend_name(stream.read(min(1, sections[tag].length)))
    try:
        model = weights.for_wire_id(parameters.model_id).name
    except UnsupportedVersion:
        model = "unknown"
    colour = header.colour_planes == 3
    return ImageInfo(
        width=header.width, height=header.height, mode=header.mode, method=header.method,
        scale=parameters.point.scale, levels=parameters.point.levels,
        chroma_levels=parameters.point.chroma_levels if colour else None,
        backends=used, model=model, model_id=parameters.model_id.hex(),
        sections={tag: section.length for tag, section in sections.items()},
        size_bytes=size_bytes, bpp=bpp(size_bytes, header.width, header.height),
    )  # fmt: skip


def verify(source: Source) -> None:
    """Check every byte of a file that can be checked without decoding: structure and all checksums.

    Raises:
        CodestreamError: the first thing that is wrong.
    """
    with opened(source) as stream:
        header, sections, _ = read_structure(stream, None)
        payloads = dict(container.iter_payloads(stream, sections))
        parameters = Parameters.unpack(payloads.get("PARM", b""))
        weights.for_wire_id(parameters.model_id, parameters.point.scale)
        for tag in low_resolution.planes_of(header):
            backends.backend_name(payloads.get(tag, b""))
