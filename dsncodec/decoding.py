"""decode, decode_rows, read_info, verify: from a codestream to a picture, or to what it says of itself."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import budget, container, methods
from .budget import Allowance
from .container import MAX_PIXELS, Header, Section
from .errors import Corrupt, LimitExceeded, SettingError
from .metadata import METADATA, from_wire
from .methods import Facts, ParsedFile
from .methods.sections import NO_SIZE, read_structure
from .metrics import bpp
from .options import deprecated
from .planes import Picture, to_pillow
from .reading import Source, opened
from .validation import positive, whole

UInt8Array = NDArray[np.uint8]

BAND_PIXELS = 2**23  # what decode_rows gives at a time, about
BAND_UNIT = 256  # rows: its bands are multiples, as tiles are


@dataclass(frozen=True)
class ImageInfo:
    """What a file says of itself; see ``read_info``. Sizes are in pixels or bytes.

    ``levels`` and ``chroma_levels`` are of method "dsn", the last four fields of "restored": the base
    codec's quality and PSNR, how much of the network's correction is added, or of the first of several (without
    a network 0, and ``model`` is empty), and the PSNR that it wins over the base codec's picture, as measured
    over the whole picture; of files tuned for the eye ``gain_ssimulacra2`` stands in its place. ``lossless``:
    the picture is what was given, pixel by pixel; ``kept``: the file that was given is inside, byte by byte,
    and what is said of its quality is an estimate.
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
    gain_ssimulacra2: float | None = None
    lossless: bool = False
    kept: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), as Pillow has it."""
        return self.width, self.height


@overload
def decode(
    source: Source,
    *,
    preview: bool = ...,
    region: tuple[int, int, int, int] | None = ...,
    size: tuple[int, int] | None = ...,
    decoder: str = ...,
    as_array: Literal[False] = ...,
    max_pixels: int | None = ...,
    max_seconds: float | None = ...,
    threads: int | None = ...,
    **old_names: Any,
) -> Image.Image: ...


@overload
def decode(
    source: Source,
    *,
    preview: bool = ...,
    region: tuple[int, int, int, int] | None = ...,
    size: tuple[int, int] | None = ...,
    decoder: str = ...,
    as_array: Literal[True],
    max_pixels: int | None = ...,
    max_seconds: float | None = ...,
    threads: int | None = ...,
    **old_names: Any,
) -> UInt8Array: ...


def decode(
    source: Source,
    *,
    preview: bool = False,
    region: tuple[int, int, int, int] | None = None,
    size: tuple[int, int] | None = None,
    decoder: str = methods.FIDELITY,
    as_array: bool = False,
    max_pixels: int | None = MAX_PIXELS,
    max_seconds: float | None = None,
    threads: int | None = None,
    **old_names: Any,
) -> Image.Image | UInt8Array:
    """Decode a codestream.

    Args:
        source: bytes (or a uint8 array of them), path or binary file.
        preview: show what needs no network. Of "restored": the base codec's picture, at half the size in files of scale 2. Of
            "dsn": the low-resolution layer, 1/scale of the size. Of "coconet" and "latentgrid": 1/8 of the size.
        region: (x0, y0, x1, y1) in pixels: exactly that crop of the full picture, at the cost of a crop.
        size: (width, height) at which a picture of "coconet" is drawn; ``region`` is then of that.
        decoder: "fidelity": as near to the original, pixel by pixel, as the file allows; or, of method "dsn",
            of method "restored" with an AVIF inside, and of files of method "latentgrid" that have texture, "perceptual": what
            looks most like it. The same file is shown by another network, sharper and with texture that is partly invented, at
            up to 1 dB less PSNR: for looking at, not for measuring.
        as_array: give a uint8 array, (H, W) or (H, W, 2..4), which ``encode`` takes back, in the place of a Pillow image: pixels
            alone, without metadata.
        max_pixels: refuse larger pictures, and decoders that need more than 14 bytes of memory for each of so many pixels,
            before anything is allocated; None: no limit.
        max_seconds: end a decode that takes longer, between two tiles, bands or layers: what a library does with one layer
            is not interrupted. See docs/threat-model.md for how long that can be. None: no limit.
        threads: that work on the picture; at most, and by default, the CPUs this process may use.
        old_names: ``reduce`` and ``look``, as ``preview`` and ``decoder`` were called before 0.3.
    Returns:
        A Pillow image of mode L, LA, RGB or RGBA; metadata in ``info``. Or an array.
    Raises:
        CodestreamError: the bytes are not a valid file.
        LimitExceeded: the picture is larger than ``max_pixels``, or than the memory there is (its ``limit`` is 0), or takes
            longer than ``max_seconds``.
        SettingError: an impossible region, size or thread count, or a size or decoder that this file's method does
            not have.
        OSError: the path cannot be read.
    """
    preview, decoder = _of_old_names("decode", old_names, preview, decoder)
    if region is None and size is None and not preview:
        rows = decode_rows(
            source, decoder=decoder, max_pixels=max_pixels, max_seconds=max_seconds, threads=threads
        )
        return rows.array() if as_array else rows.image()
    allowance = _allowance(max_pixels, max_seconds, threads)
    with opened(source) as stream:
        header, sections, _ = read_structure(stream, max_pixels)
        methods.check_decoder(header.method, decoder)
        if preview and decoder != methods.FIDELITY:
            raise SettingError("give decoder or preview, not both: the layer is shown by no network")
        drawn = (header.width, header.height) if size is None else _checked_size(size, preview, max_pixels)
        payloads = dict(container.iter_payloads(stream, sections))
    with _in_memory(header), budget.spending(allowance):
        parsed = methods.parser(header.method).parse(header, payloads)
        if size is not None:
            parsed = parsed.at_size(*drawn)
        window = _window(region, drawn, preview)
        if preview or (decoder == methods.FIDELITY and not parsed.needs_network):
            pixels = parsed.preview()[window or ...]
        else:
            pixels = parsed.pixels(window, threads, decoder)
        if as_array:
            return np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return to_pillow(Picture(pixels, header.mode, **metadata(payloads)))


def _allowance(max_pixels: int | None, max_seconds: float | None, threads: int | None) -> Allowance:
    """What a caller allows.

    Raises:
        SettingError: an impossible time or thread count.
    """
    if threads is not None:
        whole("threads", threads, 1)
    return Allowance(max_pixels, None if max_seconds is None else positive("max_seconds", max_seconds))


def _of_old_names(function: str, given: dict[str, Any], preview: bool, decoder: str) -> tuple[bool, str]:
    """``preview`` and ``decoder``, perhaps by the names they had before 0.3.

    Raises:
        TypeError: another keyword.
    """
    if unknown := given.keys() - {"reduce", "look"}:
        raise TypeError(f"{function}() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    if "reduce" in given:
        deprecated("reduce", "preview", stacklevel=3)
        preview = given["reduce"]
    if "look" in given:
        deprecated("look", "decoder", stacklevel=3)
        decoder = methods.FIDELITY if given["look"] == "faithful" else given["look"]
    return preview, decoder


@contextmanager
def _in_memory(header: Header) -> Iterator[None]:
    """Raises LimitExceeded where memory ends."""
    try:
        yield
    except MemoryError as exc:
        raise LimitExceeded(
            f"{header.width} x {header.height} pixels are more than memory holds",
            asked=header.width * header.height,
            limit=0,
        ) from exc


class Rows:
    """A picture that comes in bands of rows, from top to bottom: iterate over it once.

    A band is (rows, width, channels) uint8, 1 to 4 channels by ``mode``: L, LA, RGB or RGBA. All but the last have
    ``band`` rows. ``metadata`` is as in Pillow's ``info``. To another process hand the file: rows of method "latentgrid" cannot
    be pickled, and those of others take their symbols along. What ``read_info`` gives, and every error, can.
    """

    def __init__(
        self,
        parsed: ParsedFile,
        threads: int | None,
        metadata: dict[str, Any],
        decoder: str = methods.FIDELITY,
        allowance: Allowance | None = None,
    ) -> None:
        header = parsed.header
        self.width, self.height, self.mode = header.width, header.height, header.mode
        self.metadata = metadata
        self.band = BAND_UNIT * max(1, BAND_PIXELS // self.width // BAND_UNIT)
        self._parsed, self._threads, self._decoder = parsed, threads, decoder
        self._allowance = allowance or Allowance()

    def __iter__(self) -> Iterator[UInt8Array]:
        parsed = self._parsed
        with _in_memory(parsed.header), budget.spending(self._allowance):
            shown_as_is = self._decoder == methods.FIDELITY and not parsed.needs_network
            final = parsed.preview() if shown_as_is else None
        for top in range(0, self.height, self.band):
            window = slice(top, min(top + self.band, self.height)), slice(0, self.width)
            if final is None:
                with _in_memory(parsed.header), budget.spending(self._allowance):
                    band = parsed.pixels(window, self._threads, self._decoder)
            yield band if final is None else final[window]

    def array(self) -> UInt8Array:
        """All of it, (H, W) or (H, W, 2..4) uint8."""
        channels = len(self.mode)
        with _in_memory(self._parsed.header):
            pixels = np.empty((self.height, self.width, channels), np.uint8)
            for top, band in zip(range(0, self.height, self.band), self):
                pixels[top : top + len(band)] = band
        return pixels[..., 0] if channels == 1 else pixels

    def image(self) -> Image.Image:
        """All of it."""
        with _in_memory(self._parsed.header):
            image = Image.new(self.mode, (self.width, self.height))
            for top, band in zip(range(0, self.height, self.band), self):
                image.paste(to_pillow(Picture(band, self.mode)), (0, top))
        image.info.update(self.metadata)
        return image


def decode_rows(
    source: Source,
    *,
    decoder: str = methods.FIDELITY,
    max_pixels: int | None = MAX_PIXELS,
    max_seconds: float | None = None,
    threads: int | None = None,
    **old_names: Any,
) -> Rows:
    """Decode a codestream band by band: the picture of ``decode``, never whole in memory.

    What the method needs as a whole is: the symbols of the layer, or the base codec's picture. Of "latentgrid", symbols
    are decoded as bands need them.

    Args, Raises: as ``decode``; a model that is not in this release is found with the first band. ``max_seconds`` are
    of decoding, and not of what is done with the bands meanwhile.
    """
    _, decoder = _of_old_names("decode_rows", old_names, False, decoder)
    allowance = _allowance(max_pixels, max_seconds, threads)
    with opened(source) as stream:
        header, sections, _ = read_structure(stream, max_pixels)
        methods.check_decoder(header.method, decoder)
        payloads = dict(container.iter_payloads(stream, sections))
    kept = metadata(payloads)
    with _in_memory(header), budget.spending(allowance):
        parsed = methods.parser(header.method).parse(header, payloads)
    return Rows(parsed, threads, kept, decoder, allowance)


def metadata(payloads: dict[str, bytes]) -> dict[str, Any]:
    """The metadata among a file's payloads, by the names and in the forms that Pillow has in ``info``."""
    found = {name: from_wire(name, payloads[tag]) for tag, name in METADATA.items() if tag in payloads}
    return {name: value for name, value in found.items() if value is not None}


def _checked_size(size: tuple[int, int], preview: bool, max_pixels: int | None) -> tuple[int, int]:
    """(width, height) that a picture is to be drawn at."""
    if preview:
        raise SettingError(NO_SIZE)
    try:
        width, height = size
    except (TypeError, ValueError) as exc:
        raise SettingError(f"size must be two whole numbers, not {size!r}") from exc
    drawn = whole("size", width, 1, container.MAX_SIDE), whole("size", height, 1, container.MAX_SIDE)
    if max_pixels is not None and drawn[0] * drawn[1] > max_pixels:
        raise LimitExceeded(
            f"size {drawn} is {drawn[0] * drawn[1]} pixels, the limit is {max_pixels}; raise max_pixels if you mean it",
            asked=drawn[0] * drawn[1],
            limit=max_pixels,
        )
    return drawn


def _window(
    region: tuple[int, int, int, int] | None, size: tuple[int, int], preview: bool
) -> tuple[slice, slice] | None:
    if region is None:
        return None
    if preview:
        raise SettingError("give region or preview, not both")
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
        facts = read_facts(stream, header, sections, parameters)
    return ImageInfo(
        width=header.width,
        height=header.height,
        mode=header.mode,
        method=header.method,
        **facts,
        sections={tag: section.length for tag, section in sections.items()},
        size_bytes=size_bytes,
        bpp=bpp(size_bytes, header.width, header.height),
    )


def read_facts(stream: BinaryIO, header: Header, sections: dict[str, Section], parameters: bytes) -> Facts:
    """What the method says of a file, from its PARM section and the first byte of its other sections. Raises CodestreamError."""
    parser, first_bytes = methods.parser(header.method), {}
    for tag in [tag for tag in sections if tag in parser.TAGS and tag != "PARM"]:
        stream.seek(sections[tag].offset)
        first_bytes[tag] = stream.read(min(1, sections[tag].length))
    return parser.describe(header, parameters, first_bytes)


def is_dsn(source: Source) -> bool:
    """Whether bytes, a path or a file begin as a .dsn file does, whatever comes then; a file is left where it stands.

    Raises:
        OSError: the path cannot be read.
    """
    with opened(source) as stream:
        return stream.read(len(container.MAGIC)) == container.MAGIC


def verify(source: Source) -> None:
    """Check every byte of a file that can be checked without decoding: structure and all checksums.

    Raises:
        CodestreamError: the first thing that is wrong.
    """
    with opened(source) as stream:
        header, sections, _ = read_structure(stream, None)
        methods.parser(header.method).validate(header, dict(container.iter_payloads(stream, sections)))
