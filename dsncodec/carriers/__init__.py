"""Carriers: entropy backends, which code symbols without loss, and base codecs, which code a picture. One module per backend; ``load`` imports it only when it is used.

Entropy backends are lossless: symbols <-> payload. Their modules have two functions::

    encode(symbols: UInt8Array, levels: int, effort: int) -> bytes
    decode(payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array

``symbols`` is 2-D, (rows, columns), each in 0..levels-1: planes of one section lie below each other.
``decode`` returns exactly ``shape``, or raises CodestreamError; it checks the payload's own idea of its
size against ``shape`` before it allocates anything, and never lets a library's exception through.

Base codecs are lossy: colour <-> payload, which is the codec's own file. Their modules have::

    encode(colour: UInt8Array, quality: int, effort: int, threads: int, tune: str = "psnr") -> bytes
    decode(payload: bytes, shape: tuple[int, int, int]) -> UInt8Array | UInt16Array

``colour`` is (H, W, 1 or 3); ``quality`` 0..100 is the codec's own scale, bytes and PSNR rise with it. ``tune`` is "psnr" or
"visual", where the codec has a choice.
The bytes do not depend on ``threads``. ``decode`` keeps the same promises as that of an entropy backend; uint16 is in 0..1023,
of a file of 10 bits a sample.

A base codec with a short form has two functions more, inverse to each other; ``short`` is what a .dsn file holds
in the place of the file::

    strip_container(file: bytes, shape: tuple[int, int, int]) -> bytes
    restore_container(short: bytes, shape: tuple[int, int, int]) -> bytes

One that writes files of 10 bits says of a file whether it is one, for their short form has a number of its own::

    is_deep(file: bytes) -> bool

What takes a base codec's file out of a .dsn file gives it the rest of that file to carry::

    enclose(file: bytes, shape: tuple[int, int, int], kept: Kept) -> tuple[bytes, dict[str, str]]

The coded colours stay as they are, byte by byte. The second result says what the codec's kind of file cannot carry, and
why.

A file that somebody else wrote is parted into its picture and the rest::

    adopt(file: bytes) -> Adopted

Whole pictures without loss, alpha among their channels, are coded by modules of LOSSLESS: pixels (H, W, 1 to 4) <-> payload.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .. import budget
from ..errors import Corrupt, DsnError, MissingComponent, SettingError, UnsupportedVersion, heard
from ..metadata import Dpi, orientation, says_resolution
from ..planes import Picture
from ..reading import read_picture

UInt8Array = NDArray[np.uint8]
# what base codecs decode to: 8 bits a sample, or 10
Colour = NDArray[np.uint8] | NDArray[np.uint16]


class BackendModule(Protocol):
    """What every module of the table offers."""

    def encode(self, symbols: UInt8Array, levels: int, effort: int) -> bytes: ...

    def decode(self, payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array: ...


@dataclass(frozen=True)
class Backend:
    """A row: the number on the wire, the module, and what the payload is as a file of its own."""

    wire_id: int
    module: str
    extension: str
    try_from_effort: int


# The wire id is in every file ever written: never reuse or renumber one.
BACKENDS = {
    "lzma2": Backend(1, "dsncodec.carriers.lossless.lzma2", ".lzma2", 0),
    "7z": Backend(2, "dsncodec.carriers.lossless.sevenzip", ".7z", 10),
    "j2k": Backend(3, "dsncodec.carriers.lossless.j2k", ".j2k", 6),
    "jxl": Backend(4, "dsncodec.carriers.lossless.jxl", ".jxl", 2),
    "jpegls": Backend(5, "dsncodec.carriers.lossless.jpegls", ".jls", 0),
    "webp": Backend(6, "dsncodec.carriers.lossless.webp", ".webp", 9),
}


class BaseCodecModule(Protocol):
    """What every module of BASE_CODECS offers."""

    def encode(
        self, colour: UInt8Array, quality: int, effort: int, threads: int, tune: str = "psnr"
    ) -> bytes: ...

    def decode(self, payload: bytes, shape: tuple[int, int, int]) -> Colour: ...

    def enclose(
        self, file: bytes, shape: tuple[int, int, int], kept: Kept
    ) -> tuple[bytes, dict[str, str]]: ...


@dataclass(frozen=True)
class Kept:
    """What a picture has beside its colours, EXIF as a TIFF structure; ``alpha`` gives it, (H, W), of the base codec's size."""

    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    dpi: Dpi | None = None
    alpha: Callable[[], UInt8Array] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts that are not empty."""
        return tuple(name for name in ("alpha", "icc", "exif", "xmp", "dpi") if getattr(self, name))

    @property
    def orientation(self) -> int:
        """How the picture is to be turned, 1..8, by its EXIF; 1: not at all."""
        return orientation(self.exif)


@dataclass(frozen=True)
class Adopted:
    """A file as others write it: ``file``, its picture alone, as this codec's ``decode`` reads it; and which bytes are the same in both, as
    (where in the original, where in ``file``, how many)."""

    file: bytes
    spans: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class BaseCodec:
    """A row: the numbers on the wire of the codec's own file and of its short form, the module, the suffix of the
    codec's file, and the largest picture it holds, in pixels each way and in all. ``enclosed`` is the suffix of a file that
    carries more than colours, where it is another; ``has_density``: whether it says dots per inch; ``deep_short_id`` is the number of the short form of files of 10 bits.

    ``scale`` joins (quality, the codec's own quality) by straight lines. Quality is JPEG's, whose numbers
    people know: one quality is about one PSNR, whatever the codec. ``qualities`` are those of the codec's own
    that write different files: to a network, two names of one file would be two pictures.
    """

    wire_id: int
    short_id: int | None
    module: str
    extension: str
    max_side: int
    max_pixels: int
    scale: tuple[tuple[int, int], ...]
    qualities: tuple[int, ...]
    enclosed: str = ""
    deep_short_id: int | None = None
    visual_scale: tuple[tuple[int, int], ...] = ()
    has_density: bool = False

    def own_quality(self, quality: int, tune: str = "psnr") -> int:
        """The codec's own quality for one of ours, 0..100, on the scale of a tune."""
        known, own = zip(*(self.visual_scale if tune == "visual" else self.scale))
        wanted = round(float(np.interp(quality, known, own)))
        return next(one for one in self.qualities if one >= wanted)

    def holds(self, colour: UInt8Array) -> bool:
        """Whether a picture (H, W, 1 or 3) is small enough."""
        rows, columns = colour.shape[:2]
        return max(rows, columns) <= self.max_side and rows * columns <= self.max_pixels


# The wire id is in every file ever written: never reuse or renumber one. The limits are libavif's, libjpeg's, and those
# of JPEG XL's level 5, which hold for JPEG 2000 too. The scales are where mean PSNR meets that of JPEG over the
# tuning pictures.
# fmt: off
_AS_JPEG = (
    (0, 0), (10, 8), (17, 17), (27, 25), (40, 31), (55, 36), (70, 43), (82, 51), (90, 61), (95, 74), (100, 100),
)
_JXL_AS_JPEG = (
    (0, 0), (10, 11), (17, 19), (27, 30), (40, 50), (55, 62), (70, 73), (82, 82), (90, 89), (95, 93), (100, 100),
)
_J2K_AS_JPEG = (
    (0, 0), (10, 20), (17, 25), (27, 30), (40, 34), (55, 38), (70, 42), (82, 48), (90, 55), (95, 62), (100, 100),
)
# The scales on which quality is about the SSIMULACRA 2 of photographs: medians over the tuning pictures of what a reader gets
# (python -m bench visual --part scale)
_VISUAL_AVIF = (
    (0, 0), (10, 16), (20, 20), (30, 25), (40, 32), (50, 38), (60, 45), (70, 53), (80, 65), (85, 74), (90, 84), (95, 93), (100, 100),
)
_VISUAL_JPEG = (
    (0, 0), (10, 10), (20, 12), (30, 16), (40, 19), (50, 25), (60, 34), (70, 53), (80, 79), (85, 88), (90, 95), (100, 100),
)
_VISUAL_JXL = (
    (0, 0), (10, 12), (20, 15), (30, 18), (40, 23), (50, 33), (60, 51), (70, 68), (80, 82), (85, 88), (90, 94), (95, 98), (100, 100),
)
_VISUAL_J2K = (
    (0, 0), (10, 27), (20, 30), (30, 33), (40, 37), (50, 41), (60, 46), (70, 52), (80, 60), (85, 68), (90, 78), (100, 100),
)
# fmt: on
# The highest quality of each of libavif's 64 quantisers
_OF_AVIF = tuple(100 - max(0, -((50 - 100 * quantiser) // 63)) for quantiser in range(63, -1, -1))
BASE_CODECS = {
    "avif": BaseCodec(
        16,
        20,
        "dsncodec.carriers.lossy.avif",
        ".avif",
        2**15,
        2**28,
        _AS_JPEG,
        _OF_AVIF,
        deep_short_id=23,
        visual_scale=_VISUAL_AVIF,
    ),
    "jpeg": BaseCodec(
        17,
        21,
        "dsncodec.carriers.lossy.jpeg",
        ".jpg",
        65_500,
        65_500**2,
        ((0, 0), (100, 100)),
        tuple(range(1, 101)),
        visual_scale=_VISUAL_JPEG,
        has_density=True,
    ),
    "jxl": BaseCodec(
        18,
        None,
        "dsncodec.carriers.lossy.jxl",
        ".jxl",
        2**18,
        2**28,
        _JXL_AS_JPEG,
        tuple(range(101)),
        visual_scale=_VISUAL_JXL,
    ),
    "j2k": BaseCodec(
        19,
        22,
        "dsncodec.carriers.lossy.j2k",
        ".j2k",
        2**18,
        2**28,
        _J2K_AS_JPEG,
        tuple(range(101)),
        enclosed=".jp2",
        visual_scale=_VISUAL_J2K,
    ),
}


class LosslessModule(Protocol):
    """What every module of LOSSLESS offers."""

    def encode_picture(self, pixels: UInt8Array, thorough: bool) -> bytes:
        """Raises SettingError: it cannot hold the picture. ``thorough``: seconds for the last percents."""

    def decode_picture(self, payload: bytes, shape: tuple[int, int, int]) -> UInt8Array:
        """Raises Corrupt, or whatever a library raises."""

    def picture_file(self, payload: bytes, shape: tuple[int, int, int]) -> bytes:
        """A file that other programs read."""

    def enclose_picture(
        self, payload: bytes, shape: tuple[int, int, int], kept: Kept
    ) -> tuple[bytes, dict[str, str]]:
        """The same with what its kind can carry of the rest, and what it cannot, and why."""


@dataclass(frozen=True)
class Lossless:
    """A row: the number on the wire, from the same range as those of base codecs; the module; the suffix of a file."""

    wire_id: int
    module: str
    extension: str


# Never reuse or renumber one
LOSSLESS = {
    "jxl": Lossless(24, "dsncodec.carriers.lossless.jxl", ".jxl"),
    "webp": Lossless(25, "dsncodec.carriers.lossless.webp", ".webp"),
}


def load(name: str) -> BackendModule:
    """Import an entropy backend's module.

    Raises:
        SettingError: no such backend.
        MissingComponent: a package it needs is not installed.
    """
    if name not in BACKENDS:
        raise SettingError(f"unknown entropy_coder {name!r}; one of {', '.join(['auto', *BACKENDS])}")
    try:
        module: BackendModule = importlib.import_module(BACKENDS[name].module)
    except ImportError as exc:
        raise MissingComponent(
            f"backend {name} needs the package {exc.name}: pip install {exc.name}"
        ) from exc
    return module


def encode(symbols: UInt8Array, levels: int, backend: str, effort: int) -> bytes:
    """One section's payload: a byte that names the backend, then the backend's own bytes.

    Args:
        symbols: (C, h, w), each in 0..levels-1.
        backend: a name of BACKENDS, or "auto": those worth trying at this effort, the smallest wins.
        effort: 0..9.
    """
    stacked = symbols.reshape(-1, symbols.shape[-1])
    if backend != "auto":
        return bytes([BACKENDS[backend].wire_id]) + load(backend).encode(stacked, levels, effort)
    tried = []
    for name, row in BACKENDS.items():
        if effort >= row.try_from_effort:
            try:
                tried.append(bytes([row.wire_id]) + load(name).encode(stacked, levels, effort))
            except SettingError:  # this one cannot hold this shape; another can
                continue
    return min(tried, key=len)


def backend_name(payload: bytes) -> str:
    """The name of the backend that wrote a section's payload."""
    return _name_in(BACKENDS, payload, "backend")


def _name_in(table: Mapping[str, Backend | BaseCodec], payload: bytes, what: str) -> str:
    """The row that a payload's first byte names."""
    if not payload:
        raise Corrupt("the section is empty", field=what)
    for name, row in table.items():
        if payload[0] in (row.wire_id, getattr(row, "short_id", None), getattr(row, "deep_short_id", None)):
            return name
    raise UnsupportedVersion(f"unknown {what} {payload[0]}", field=what)


@contextlib.contextmanager
def _as_corrupt(name: str) -> Iterator[None]:
    """Whatever a library raises over hostile bytes, as Corrupt."""
    try:
        yield
    except (DsnError, MemoryError):
        raise
    except Exception as exc:
        raise Corrupt(f"the {name} payload cannot be decoded: {exc}", field=name) from exc


def decode(payload: bytes, shape: tuple[int, int, int], levels: int) -> UInt8Array:
    """A section's payload back to symbols of exactly ``shape`` (C, h, w).

    Raises:
        CodestreamError: whatever is wrong with the bytes.
    """
    name = backend_name(payload)
    module = load(name)
    budget.tick()
    planes, rows, columns = shape
    with _as_corrupt(name):
        symbols = module.decode(payload[1:], (planes * rows, columns), levels)
    if symbols.shape != (planes * rows, columns) or symbols.dtype != np.uint8:
        raise Corrupt(f"the {name} payload holds {symbols.dtype} {symbols.shape}", field=name)
    if symbols.size and int(symbols.max()) >= levels:
        raise Corrupt(f"a symbol is outside 0..{levels - 1}", field=name)
    return symbols.reshape(shape)


# --- base codecs


def load_base(name: str) -> BaseCodecModule:
    """Import a base codec's module.

    Raises:
        SettingError: no such base codec.
        MissingComponent: a package it needs is not installed.
    """
    if name not in BASE_CODECS:
        known = ", ".join(["auto", *BASE_CODECS])
        raise SettingError(f"unknown base codec {name!r}; one of {known}")
    module: BaseCodecModule = importlib.import_module(BASE_CODECS[name].module)
    return module


def has_base(name: str) -> bool:
    """Whether a base codec can be used here: not every build of Pillow has each."""
    try:
        load_base(name)
    except MissingComponent:
        return False
    return True


@contextlib.contextmanager
def checked_output(library: str, instead: str) -> Iterator[None]:
    """A base codec's look at the file it has just written: what its decoder would refuse is no file to give away.

    Raises:
        DsnError: the library is of another age.
    """
    try:
        yield
    except Corrupt as exc:
        raise DsnError(
            f"{library} writes files that decode would refuse ({exc}): use base={instead!r}"
        ) from exc


def encode_base(
    colour: UInt8Array, quality: int, base: str, effort: int, threads: int, tune: str = "psnr"
) -> bytes:
    """The payload of a base codec: a byte that names it and its form, then its own file or that file's short form.

    Args:
        colour: (H, W, 1 or 3).
        quality: 0..100, on the codec's own scale.
        base: a name of BASE_CODECS.
        tune: "psnr" or "visual".
    Raises:
        SettingError: the picture is larger than the codec holds.
    """
    if not BASE_CODECS[base].holds(colour):
        row = BASE_CODECS[base]
        raise SettingError(
            f"{base} holds at most {row.max_side} pixels each way and {row.max_pixels} in all: use method dsn"
        )
    row, module = BASE_CODECS[base], load_base(base)
    file = module.encode(colour, quality, effort, threads, tune)
    if row.short_id is not None:
        short = _stripped(module, file, colour.shape)
        if short is not None and len(short) < len(file):
            if row.deep_short_id is not None and cast(Any, module).is_deep(file):
                return bytes([row.deep_short_id]) + short
            return bytes([row.short_id]) + short
    return bytes([row.wire_id]) + file


def picture_of(file: bytes) -> Picture:
    """The picture and the metadata of a file that can be kept.

    Raises:
        SettingError: it is of another kind.
        OSError: it is broken.
    """
    if kind_of(file) == "jxl":
        module: Any = load_base("jxl")
        picture: Picture = module.picture_of(file)
        return picture
    with heard():  # what .dsn files have no place for is kept with the file
        return read_picture(file)


def adopt(file: bytes, shape: tuple[int, int, int]) -> tuple[bytes, Adopted]:
    """The payload of a file that was coded elsewhere, whose picture is (H, W, 1 or 3), and how it was parted.

    Raises:
        SettingError: of no kind that can be kept, or not as ``decode_base`` would read it.
    """
    name = kind_of(file)
    adopted: Adopted = cast(Any, load_base(name)).adopt(file)
    return _payload_of(name, adopted, shape), adopted


def adopt_alpha(file: bytes, rows: int, columns: int) -> tuple[bytes, Adopted] | None:
    """As ``adopt``, of the alpha plane that an AVIF file has beside its picture; None where there is no such."""
    if kind_of(file) != "avif":
        return None
    adopted: Adopted | None = cast(Any, load_base("avif")).adopt_alpha(file)
    return None if adopted is None else (_payload_of("avif", adopted, (rows, columns, 1)), adopted)


def is_avif(payload: bytes) -> bool:
    """Whether a payload is one of AVIF, in any form."""
    row = BASE_CODECS["avif"]
    return bool(payload) and payload[0] in (row.wire_id, row.short_id, row.deep_short_id)


def _payload_of(name: str, adopted: Adopted, shape: tuple[int, int, int]) -> bytes:
    """The smallest payload that holds such a file."""
    row, module = BASE_CODECS[name], cast(Any, load_base(name))
    payload = bytes([row.wire_id]) + adopted.file
    short = _stripped(module, adopted.file, shape) if row.short_id is not None else None
    if row.short_id is not None and short is not None and len(short) < len(adopted.file):
        number = row.short_id
        if row.deep_short_id is not None and module.is_deep(adopted.file):
            number = row.deep_short_id
        payload = bytes([number]) + short
    return payload


_STARTS = {
    "jpeg": (b"\xff\xd8\xff",),
    "jxl": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "j2k": (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"),
}


def kind_of(file: bytes) -> str:
    """The base codec whose kind of file this is, by how it begins.

    Raises:
        SettingError: it is of another kind.
    """
    for name, starts in _STARTS.items():
        if file.startswith(starts):
            return name
    if file[4:8] == b"ftyp" and file[8:12] in (b"avif", b"avis", b"mif1", b"miaf"):
        return "avif"
    raise SettingError("only JPEG, AVIF, JPEG XL and JPEG 2000 files can be kept as they are")


def _stripped(module: Any, file: bytes, shape: tuple[int, ...]) -> bytes | None:
    """The short form of a base codec's file; None if that file would not come back byte for byte."""
    try:
        short: bytes = module.strip_container(file, shape)
        return short if module.restore_container(short, shape) == file else None
    # whatever a library has against a file that was coded elsewhere
    except Exception:
        return None


def base_file(payload: bytes, shape: tuple[int, int, int]) -> bytes:
    """The file inside a base codec's payload, as the codec wrote it.

    Raises:
        CodestreamError: whatever is wrong with the bytes of its short form; those of a whole file are not looked at.
    """
    name = base_name(payload)
    if payload[0] == BASE_CODECS[name].wire_id:
        return payload[1:]
    module: Any = load_base(name)
    with _as_corrupt(name):
        file: bytes = module.restore_container(payload[1:], shape)
    return file


def enclosed_base(payload: bytes, shape: tuple[int, int, int], kept: Kept) -> tuple[bytes, dict[str, str]]:
    """The file inside a base codec's payload, with what its kind can carry of the rest; and what it cannot, and why.

    Raises:
        CodestreamError: whatever is wrong with the bytes, as far as they are looked at.
    """
    name = base_name(payload)
    module = load_base(name)
    file = base_file(payload, shape)
    with _as_corrupt(name):
        data, left_out = module.enclose(file, shape, kept)
    if kept.dpi and not BASE_CODECS[name].has_density and not says_resolution(kept.exif):
        left_out["dpi"] = "files of this kind have no place for dots per inch"
    return data, left_out


def base_name(payload: bytes) -> str:
    """The name of the base codec that wrote a payload."""
    return _name_in(BASE_CODECS, payload, "base codec")


_ROWS_AT_A_TIME = 64


def eight_bits(colour: Colour) -> UInt8Array:
    """Colour of 10 bits rounded to 8, half up; of 8 bits as it is.

    >>> eight_bits(np.array([0, 1, 2, 3, 1023], np.uint16)).tolist()
    [0, 0, 0, 1, 255]
    """
    if colour.dtype == np.uint8:
        return cast(UInt8Array, colour)
    out = np.empty(colour.shape, np.uint8)
    # a part at a time: sums take four bytes a sample
    for top in range(0, len(colour), _ROWS_AT_A_TIME):
        part = slice(top, top + _ROWS_AT_A_TIME)
        out[part] = (colour[part].astype(np.uint32) * 255 + 511) // 1023
    return out


def decode_base(payload: bytes, shape: tuple[int, int, int]) -> Colour:
    """A base codec's payload back to colour of exactly ``shape`` (H, W, 1 or 3): uint8, or uint16 in 0..1023 where the codec has
    10 bits.

    Raises:
        CodestreamError: whatever is wrong with the bytes.
    """
    name = base_name(payload)
    module = load_base(name)
    budget.tick()
    file = base_file(payload, shape)
    with _as_corrupt(name):
        colour = module.decode(file, shape)
    row = BASE_CODECS[name]
    fits = {row.short_id: (np.uint8,), row.deep_short_id: (np.uint16,)}.get(payload[0], (np.uint8, np.uint16))
    if colour.shape != shape or colour.dtype not in fits:
        raise Corrupt(f"the {name} payload holds {colour.dtype} {colour.shape}", field=name)
    return colour


# --- whole pictures without loss


def encode_lossless(pixels: UInt8Array, thorough: bool) -> bytes:
    """The smallest payload of a whole picture, (H, W, 1 to 4), alpha last: a byte that names the codec, then its own.

    Raises:
        SettingError: no codec holds it.
    """
    found: list[bytes] = []
    for name, row in LOSSLESS.items():
        try:
            found.append(bytes([row.wire_id]) + load_lossless(name).encode_picture(pixels, thorough))
        except SettingError:
            continue
    if not found:
        rows, columns = pixels.shape[:2]
        raise SettingError(f"no lossless codec holds {columns} x {rows} pixels")
    return min(found, key=len)


def load_lossless(name: str) -> LosslessModule:
    """Import a module of LOSSLESS."""
    module: Any = importlib.import_module(LOSSLESS[name].module)
    return cast(LosslessModule, module)


def lossless_name(payload: bytes) -> str | None:
    """The name of the lossless codec that wrote a payload of section BASE; None: it is a base codec's."""
    return next((name for name, row in LOSSLESS.items() if payload[:1] == bytes([row.wire_id])), None)


def decode_lossless(payload: bytes, shape: tuple[int, int, int]) -> UInt8Array:
    """A payload back to pixels of exactly ``shape`` (H, W, 1 to 4).

    Raises:
        CodestreamError: whatever is wrong with the bytes.
    """
    name = lossless_name(payload) or base_name(payload)
    with _as_corrupt(name):
        pixels = load_lossless(name).decode_picture(payload[1:], shape)
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise Corrupt(f"the {name} payload holds {pixels.dtype} {pixels.shape}", field=name)
    return pixels


def lossless_file(
    payload: bytes, shape: tuple[int, int, int], kept: Kept | None
) -> tuple[bytes, dict[str, str]]:
    """The file inside a payload, (H, W, 1 to 4), with what its kind can carry of the rest; and what it cannot, and why.

    Raises:
        CodestreamError: whatever is wrong with the bytes, as far as they are looked at.
    """
    name = lossless_name(payload) or base_name(payload)
    module = load_lossless(name)
    with _as_corrupt(name):
        if kept is None:
            return module.picture_file(payload[1:], shape), {}
        return module.enclose_picture(payload[1:], shape, kept)
