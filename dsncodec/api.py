"""encode, decode, read_info: the whole path on one screen."""

from __future__ import annotations

import io
import math
import operator
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import backends, codecs, container, kernels, rate
from .checks import positive, whole
from .codecs.layer import explicit_point
from .container import MAX_PIXELS, Header, Section
from .errors import Corrupt, LimitExceeded, SettingError
from .metrics import bpp, psnr_db
from .planes import ImageLike, Picture, read_picture, to_pillow

UInt8Array = NDArray[np.uint8]
Source = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO

BAND_PIXELS = 2**23  # what decode_rows gives at a time, about
BAND_UNIT = 256  # rows: its bands are multiples, as tiles are
_METADATA = {"iccp": "icc_profile", "exif": "exif", "xmp ": "xmp"}  # section tag -> Picture field


@dataclass(frozen=True)
class ImageInfo:
    """What a file says of itself; see ``read_info``. Sizes are in pixels or bytes.

    ``levels`` and ``chroma_levels`` are of method "dsn", the last four fields of "restored": the base
    codec's quality and PSNR, how much of the network's correction is added (0: no network), and the
    PSNR that it wins over the base codec's picture, as measured over the whole picture.
    """

    width: int
    height: int
    mode: str
    method: str
    scale: int
    levels: int | None
    chroma_levels: int | None
    backends: dict[str, str]
    model: str
    model_id: str
    sections: dict[str, int]
    size_bytes: int
    bpp: float
    base_quality: int | None = None
    base_psnr_db: float | None = None
    strength: float | None = None
    gain_db: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), as Pillow has it."""
        return self.width, self.height


def encode(
    image: ImageLike,
    method: str | None = None,
    *,
    quality: int | None = None,
    target_bytes: int | None = None,
    target_bpp: float | None = None,
    target_psnr_db: float | None = None,
    scale: int | None = None,
    levels: int | None = None,
    chroma_levels: int | None = None,
    base_quality: int | None = None,
    backend: str = "auto",
    effort: int = codecs.DEFAULT_EFFORT,
    seconds: float | None = None,
    steps: int | None = None,
    variant: str | None = None,
    layers: int | None = None,
    width: int | None = None,
    report: Callable[..., None] | None = None,
    interrupted: Callable[[], None] | None = None,
    preview: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | Image.Exif | None = None,
    xmp: bytes | None = None,
    threads: int | None = None,
) -> bytes:
    """Code a picture.

    Args:
        image: Pillow image, path, binary file, or uint8 array (H, W[, 1..4]).
        method: "restored": a standard codec, and a network that restores what it lost; "dsn": deep sampling
            around a lossless coder; "latentgrid": grids of symbols and small networks fitted to this picture (needs
            numba), the fewest bytes of all; "coconet": one network fitted to this picture (needs torch). Default: "dsn"
            if scale 2..4, levels, chroma_levels or a backend that is of "dsn" alone is given, else "restored"; or
            "latentgrid" where effort is 9 and it serves better.
        quality: 0..100, default 75. Bytes and PSNR rise with it; its numbers are about those of JPEG. Of "coconet":
            0.02 to 2 bits per pixel in equal ratios; default 0.3 bits per pixel. Of "latentgrid": the price of a bit.
        target_bytes, target_bpp: the best file that is not larger; bpp counts the whole file.
        target_psnr_db: the smallest file of the quality table that reaches this PSNR, over R, G and B (or grey).
        scale, levels, chroma_levels: of "dsn", the operating point itself: 2..4, 2..256 and 2..256; with any of
            them given, the others default to 3, 256, and the levels of luma. ``scale`` of "restored": 1, or 2 for
            the base codec at half the size; default: from effort 4 on 2 at low rates, where it serves better.
        base_quality: 0..100, the base codec's own quality, in the place of ``quality``; at full size, unless
            scale is 2.
        backend: of "restored", the base codec, "avif", "jpeg", "jxl" or "j2k", or "auto": avif, for sides beyond
            32768 jpeg, beyond 65500 jxl; of "dsn", who carries the symbols, "lzma2", "7z", "j2k", "jxl",
            "jpegls" or "webp", or "auto": the smallest of those tried.
        effort: 0..9, how long the encoder works for the picture: speed of the base codec, from 4 on half the size
            too at low rates, from 6 on the larger network, from 8 on all base codecs; or steps of refinement of
            the latent (none below 4), backends that "auto" tries, and how hard they work; or seconds of the fit of
            "latentgrid", 1 to 180. At 9 with no method, scale or backend given and numba there, such a fit follows:
            to the quality of the file found or to the bytes given, and the better file is kept. Any reader decodes
            all of them.
        seconds, steps: of "coconet", "latentgrid" and effort 9, the budget of the fit, whichever ends first; default:
            60 seconds, or by effort; of variant "paper" its 3000 epochs, some seven minutes of a core for 256 x 256 pixels.
        variant: of "coconet", "sine" (default) or "paper", see docs/coconet.md.
        layers, width: of "coconet", the hidden layers (default 5) and their neurons (default: what the bytes asked
            for allow).
        report: of "coconet", called after each step with the part of the budget spent and the mean squared error; of
            "latentgrid" and effort 9, now and then, with the bits per pixel after these, and a last time with 1, unless
            the fit ended early or missed its target.
        interrupted: of "latentgrid" and effort 9, called where Ctrl-C has ended the fit early: then the file is the best
            so far, and may be short of ``target_psnr_db``.
        preview: of "coconet", a .gif, .png or .webp file that shows the picture as it grows; it is overwritten.
        checkpoint: of "coconet", a file that is written every few seconds and when the fit is interrupted. If it is
            there already, the fit goes on from it.
        icc_profile, exif, xmp: metadata instead of the image's own; ``b""`` leaves it out.
        threads: of the networks; default: the CPUs this process may use.
    Returns:
        The codestream, a whole .dsn file.
    Raises:
        SettingError: an impossible setting, more than one target, or a target out of reach.
        MissingComponent: torch, which "coconet" needs, or numba, which "latentgrid" needs, is not installed.
        OSError: a path that cannot be read as a picture.
    Warns:
        FitWarning: a fit of "coconet" ran away, and went on from the best weights it had, more slowly. No file of it is worse than
            one of the picture's mean colour.
    """
    effort = whole("effort", effort, 0, 9)
    of_dsn = any(value is not None for value in (levels, chroma_levels))
    may_fit = method is None and effort == 9 and scale is None and backend == "auto" and not of_dsn
    if method is None:
        method = _method(backend, of_dsn or scale not in (None, 1))
    coder = codecs.load(method)
    if of_dsn and method != "dsn":
        raise SettingError(f"levels and chroma_levels are settings of method dsn, not {method}")
    fitted = {
        "seconds": seconds,
        "steps": steps,
        "variant": variant,
        "layers": layers,
        "width": width,
        "report": report,
        "interrupted": interrupted,
        "preview": preview,
        "checkpoint": checkpoint,
    }
    carried = _settings_of_fit("latentgrid" if may_fit else method, fitted)
    fit = carried if may_fit else None
    if method == "restored":
        carried = {"scale": _base_scale(scale, base_quality)}
        scale = None
    elif method in _FIT_SETTINGS and (scale is not None or backend != "auto"):
        raise SettingError(f"scale and backend are settings of the methods dsn and restored, not {method}")
    if width is not None and any(v is not None for v in (quality, target_bytes, target_bpp, target_psnr_db)):
        raise SettingError("give width or a quality or target, not both")
    if base_quality is not None and method != "restored":
        raise SettingError(f"base_quality is a setting of method restored, not {method}")
    if backend != "auto":
        (backends.load if method == "dsn" else backends.load_base)(backend)
    target = _one_target(
        quality, target_bytes, target_bpp, target_psnr_db, (scale, levels, chroma_levels), base_quality
    )
    picture = read_picture(image)
    picture = _with_metadata(picture, icc_profile, exif, xmp)
    header = Header(method, picture.mode, *picture.size)
    encoder = coder.Encoder(header, picture.pixels, threads, effort, **carried)
    extra = [(tag, getattr(picture, name)) for tag, name in _METADATA.items() if getattr(picture, name)]
    if method in _FIT_SETTINGS:
        target = encoder.aimed(target, extra)
    data = rate.encode_to_target(
        encoder,
        target,
        backend,
        lambda point: container.pack(header, encoder.sections(point, backend) + extra),
    )
    return data if fit is None else _or_fitted(data, picture, extra, target, threads, fit)


_FIT_SETTINGS = {  # method -> the settings that it takes
    "coconet": ("seconds", "steps", "variant", "layers", "width", "report", "preview", "checkpoint"),
    "latentgrid": ("seconds", "steps", "report", "interrupted"),
}


def _settings_of_fit(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that are this method's.

    Raises:
        SettingError: one that is not has a value.
    """
    names = _FIT_SETTINGS.get(method, ())
    if wrong := [name for name, value in given.items() if value is not None and name not in names]:
        takers = [taker for taker, taken in _FIT_SETTINGS.items() if set(wrong) <= set(taken)]
        of = f"method {takers[0]}" if len(takers) == 1 else f"the methods {' and '.join(takers)}"
        raise SettingError(f"{' and '.join(wrong)}: of {of}, not {method}")
    return {name: given[name] for name in names}


def _or_fitted(
    data: bytes,
    picture: Picture,
    extra: list[tuple[str, bytes]],
    target: rate.Target,
    threads: int | None,
    settings: dict[str, Any],
) -> bytes:
    """What effort 9 gives: a file of method "restored", or one of latent grids. With bytes given, whichever is nearer to
    the picture; else the smaller one, where the fit is no further from it than the other, or than the PSNR given."""
    width, height = picture.size
    coder = codecs.load("latentgrid")
    if not kernels.available() or width * height > coder.MAX_FIT_PIXELS:
        return data
    header = Header("latentgrid", picture.mode, width, height)
    encoder = coder.Encoder(header, picture.pixels, threads, 9, **settings)
    shown = np.asarray(decode(data, max_pixels=None, threads=threads)).reshape(height, width, -1)
    reached = psnr_db(encoder.colour, shown[..., : header.colour_planes])
    if not math.isfinite(reached):
        return data
    aimed = target
    if target.max_bytes is None and target.max_bpp is None:
        aimed = rate.Target(psnr_db=target.psnr_db or reached)
    try:
        point = encoder.aimed(aimed, extra).point
        fitted = container.pack(header, encoder.sections(point) + extra)
    except SettingError:  # out of the fit's reach
        return data
    found = psnr_db(encoder.colour, encoder.reconstruct(point))
    if aimed.psnr_db is None:
        return fitted if found > reached else data
    return min(data, fitted, key=len) if found >= aimed.psnr_db else data


def _method(backend: str, of_dsn: bool) -> str:
    """The method that the settings are of. JPEG XL and JPEG 2000 carry symbols, or are base codecs: the latter
    where nothing else speaks of deep sampling.

    Raises:
        SettingError: no method has this backend.
    """
    if backend not in ("auto", *backends.BASE_CODECS, *backends.BACKENDS):
        names = f"auto, {', '.join(backends.BASE_CODECS)} (restored), {', '.join(backends.BACKENDS)} (dsn)"
        raise SettingError(f"unknown backend {backend!r}; one of {names}")
    return "dsn" if of_dsn or backend not in ("auto", *backends.BASE_CODECS) else "restored"


def _base_scale(scale: int | None, base_quality: int | None) -> int | None:
    """What of the picture the base codec gets; None: as the encoder sees fit.

    Raises:
        SettingError: neither all of it nor half.
    """
    if scale is None:
        return None if base_quality is None else 1
    return whole("scale", scale, 1, 2)


def _one_target(
    quality: int | None,
    target_bytes: int | None,
    target_bpp: float | None,
    target_psnr_db: float | None,
    point: tuple[int | None, int | None, int | None],
    base_quality: int | None,
) -> rate.Target:
    asked = {
        "quality": quality, "target_bytes": target_bytes, "target_bpp": target_bpp,
        "target_psnr_db": target_psnr_db, "scale/levels": next((v for v in point if v is not None), None),
        "base_quality": base_quality,
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
    if base_quality is not None:
        return rate.Target(point=whole("base_quality", base_quality, 0, 100))
    if asked["scale/levels"] is not None:
        return rate.Target(point=explicit_point(*point))
    if quality is not None:
        whole("quality", quality, 0, 100)
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
    known = codecs.load_layer(header.method).TAGS | frozenset(_METADATA)
    return header, container.read_sections(stream, header, size_bytes, known), size_bytes


def decode(
    source: Source,
    *,
    reduce: bool = False,
    region: tuple[int, int, int, int] | None = None,
    size: tuple[int, int] | None = None,
    look: str = codecs.FAITHFUL,
    max_pixels: int | None = MAX_PIXELS,
    threads: int | None = None,
) -> Image.Image:
    """Decode a codestream.

    Args:
        source: bytes, path or binary file.
        reduce: give the low-resolution layer, 1/scale of the size; of "restored", the base codec's picture at full
            size. No network is run. Of "coconet" and "latentgrid", the picture at 1/8 of its size.
        region: (x0, y0, x1, y1) in pixels: exactly that crop of the full picture, at the cost of a crop.
        size: (width, height) at which a picture of "coconet" is drawn; ``region`` is then of that.
        look: "faithful": as near to the original, pixel by pixel, as the file allows; or, of method "dsn",
            "perceptual": what looks most like it. The same file is shown by another network, sharper and with texture
            that is partly invented, at up to 1 dB less PSNR: for looking at, not for measuring.
        max_pixels: refuse larger pictures before anything is allocated; None: no limit.
        threads: of the networks; default: the CPUs this process may use.
    Returns:
        A Pillow image of mode L, LA, RGB or RGBA; metadata in ``info``.
    Raises:
        CodestreamError: the bytes are not a valid file.
        LimitExceeded: the picture is larger than ``max_pixels``, or than the memory there is (its ``limit`` is 0).
        SettingError: an impossible region, size or thread count, or a size or look that this file's method does
            not have.
        OSError: the path cannot be read.
    """
    if region is None and size is None and not reduce:
        return decode_rows(source, look=look, max_pixels=max_pixels, threads=threads).image()
    if threads is not None:
        whole("threads", threads, 1)
    with opened(source) as stream:
        header, sections, _ = read_structure(stream, max_pixels)
        options = _look_options(look, header, reduce)
        drawn = _drawn_size(size, header, reduce, max_pixels)
        window = _window(region, drawn, reduce)
        payloads = dict(container.iter_payloads(stream, sections))
    with _in_memory(header):
        coded = codecs.load_layer(header.method).read_layer(header, payloads)
        if size is not None:
            coded = replace(coded, size=drawn)
        if reduce or coded.is_final:
            pixels = coded.picture()[window or ...]
        else:
            pixels = codecs.load(header.method).decode(coded, window, threads, **options)
        return to_pillow(Picture(pixels, header.mode, **metadata(payloads)))


@contextmanager
def _in_memory(header: Header) -> Iterator[None]:
    """Raises LimitExceeded where memory ends."""
    try:
        yield
    except MemoryError as exc:
        raise LimitExceeded(
            f"{header.width} x {header.height} pixels are more than memory holds",
            asked=header.width * header.height, limit=0,
        ) from exc  # fmt: skip


class Rows:
    """A picture that comes in bands of rows, from top to bottom: iterate over it once.

    A band is (rows, width, channels) uint8, 1 to 4 channels by ``mode``: L, LA, RGB or RGBA. All but the last have
    ``band`` rows. ``metadata`` is as in Pillow's ``info``. To another process hand the file: rows of method "latentgrid" cannot
    be pickled, and those of others take their symbols along. What ``read_info`` gives, and every error, can.
    """

    def __init__(
        self, coded: Any, threads: int | None, metadata: dict[str, bytes], options: dict[str, str] = {}
    ) -> None:
        self.width, self.height, self.mode = coded.header.width, coded.header.height, coded.header.mode
        self.metadata = metadata
        self.band = BAND_UNIT * max(1, BAND_PIXELS // self.width // BAND_UNIT)
        self._coded, self._threads, self._options = coded, threads, options

    def __iter__(self) -> Iterator[UInt8Array]:
        coded = self._coded
        with _in_memory(coded.header):
            final = coded.picture() if coded.is_final else None
        for top in range(0, self.height, self.band):
            window = slice(top, min(top + self.band, self.height)), slice(0, self.width)
            if final is None:
                with _in_memory(coded.header):
                    coder = codecs.load(coded.header.method)
                    band = coder.decode(coded, window, self._threads, **self._options)
            yield band if final is None else final[window]

    def image(self) -> Image.Image:
        """All of it."""
        with _in_memory(self._coded.header):
            image = Image.new(self.mode, (self.width, self.height))
            for top, band in zip(range(0, self.height, self.band), self):
                image.paste(to_pillow(Picture(band, self.mode)), (0, top))
        image.info.update(self.metadata)
        return image


def decode_rows(
    source: Source,
    *,
    look: str = codecs.FAITHFUL,
    max_pixels: int | None = MAX_PIXELS,
    threads: int | None = None,
) -> Rows:
    """Decode a codestream band by band: the picture of ``decode``, never whole in memory.

    What the method needs as a whole is: the symbols of the layer, or the base codec's picture. Of "latentgrid", symbols
    are decoded as bands need them.

    Args, Raises: as ``decode``; a model that is not in this release is found with the first band.
    """
    if threads is not None:
        whole("threads", threads, 1)
    with opened(source) as stream:
        header, sections, _ = read_structure(stream, max_pixels)
        options = _look_options(look, header)
        payloads = dict(container.iter_payloads(stream, sections))
    kept = metadata(payloads)
    with _in_memory(header):
        coded = codecs.load_layer(header.method).read_layer(header, payloads)
    return Rows(coded, threads, kept, options)


def _look_options(look: str, header: Header, reduce: bool = False) -> dict[str, str]:
    """What a coder's ``decode`` is told of the look: nothing of the one that all have."""
    codecs.check_look(header.method, look)
    if look == codecs.FAITHFUL:
        return {}
    if reduce:
        raise SettingError("give look or reduce, not both: the layer is shown by no network")
    return {"look": look}


def metadata(payloads: dict[str, bytes]) -> dict[str, bytes]:
    """The ICC, EXIF and XMP among a file's payloads, by the names Pillow uses in ``info``."""
    return {name: payloads[tag] for tag, name in _METADATA.items() if tag in payloads}


def _drawn_size(
    size: tuple[int, int] | None, header: Header, reduce: bool, max_pixels: int | None
) -> tuple[int, int]:
    """(width, height) of the full picture that is asked for."""
    if size is None:
        return header.width, header.height
    if header.method != "coconet" or reduce:
        raise SettingError("a size can be given for files of method coconet only, and not beside reduce")
    try:
        width, height = size
    except (TypeError, ValueError) as exc:
        raise SettingError(f"size must be two whole numbers, not {size!r}") from exc
    drawn = whole("size", width, 1, container.MAX_SIDE), whole("size", height, 1, container.MAX_SIDE)
    if max_pixels is not None and drawn[0] * drawn[1] > max_pixels:
        raise LimitExceeded(
            f"size {drawn} is {drawn[0] * drawn[1]} pixels, the limit is {max_pixels}; raise max_pixels if you mean it",
            asked=drawn[0] * drawn[1], limit=max_pixels,
        )  # fmt: skip
    return drawn


def _window(
    region: tuple[int, int, int, int] | None, size: tuple[int, int], reduce: bool
) -> tuple[slice, slice] | None:
    if region is None:
        return None
    if reduce:
        raise SettingError("give region or reduce, not both")
    try:
        x0, y0, x1, y1 = map(operator.index, region)
    except (TypeError, ValueError) as exc:
        raise SettingError(f"region must be four whole numbers, not {region!r}") from exc
    if not (0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]):
        raise SettingError(f"region {region} is empty or reaches outside the picture, {size[0]} x {size[1]}")
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
        parameters = container.read_payload(stream, sections["PARM"])
        layer = codecs.load_layer(header.method)
        first_bytes = {}
        for tag in [tag for tag in sections if tag in layer.TAGS and tag != "PARM"]:
            stream.seek(sections[tag].offset)
            first_bytes[tag] = stream.read(min(1, sections[tag].length))
    return ImageInfo(
        width=header.width, height=header.height, mode=header.mode, method=header.method,
        **layer.facts(header, parameters, first_bytes),
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
        codecs.load_layer(header.method).check(header, dict(container.iter_payloads(stream, sections)))
