"""What a .dsn file carries as a file of another kind: the base codec's picture, one coded plane, or the fitted network."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from . import carriers, container, extras, methods
from .carriers import Kept
from .container import Header
from .decoding import metadata
from .errors import SettingError
from .metadata import bare_exif
from .methods.coconet import bitstream as coordinates
from .methods.dsn import bitstream as layer
from .methods.restored import bitstream as base
from .methods.restored import rest as originals
from .methods.sections import decode_alpha, pooled, read_structure
from .reading import Source, opened

PARTS = ("auto", "picture", "luma", "chroma", "alpha", "network")
SUFFIXES = {  # format -> suffix
    **{
        name: row.extension
        for table in (carriers.BACKENDS, carriers.BASE_CODECS)
        for name, row in table.items()
    },
    "onnx": ".onnx",
    "png": ".png",
    "jp2": ".jp2",
}

_TAGS = {"luma": "LUMA", "chroma": "CHRO", "alpha": "ALPH", "picture": "BASE", "network": "NETW"}


@dataclass(frozen=True)
class Extracted:
    """A file that was in a .dsn file.

    ``data`` is the file; ``format`` its kind, "avif", "png" or another of SUFFIXES, and ``suffix`` what its name ends
    with; ``part`` what it is of the picture, and ``backend`` who coded that. ``width`` and ``height`` are in pixels or
    symbols, which have ``levels`` values. ``left_out``: "alpha", "icc", "exif", "xmp" or "dpi" that the .dsn file has and this
    kind of file cannot carry -> why not.
    """

    data: bytes
    part: str
    format: str
    suffix: str
    backend: str
    width: int
    height: int
    levels: int
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __bytes__(self) -> bytes:
        return self.data


def extract(
    source: Source,
    part: str = "auto",
    *,
    format: str = "own",
    bare: bool = False,
    stretch: bool = False,
    max_pixels: int = container.MAX_PIXELS,
) -> Extracted:
    """Take a part out of a .dsn file as a file that other programs read. Its network is not run.

    Args:
        source: bytes, path or binary file.
        part: "picture", the base codec's file (method "restored"); "luma", "chroma" or "alpha", a plane as it is coded;
            "network", as an ONNX file (method "coconet", needs torch); "auto": what the method has, the first of these.
        format: "own": of the codec inside. The coded picture is its own, byte by byte; the ICC, EXIF and XMP of the .dsn
            file are put beside it, EXIF's orientation where readers look for it, alpha and dots per inch, as far as files of
            this kind carry them: AVIF all but these last, JPEG all but alpha, JPEG XL EXIF and XMP, JPEG 2000 ICC, EXIF and XMP,
            as a .jp2 file. With none of them there, the file is what the codec wrote. A file that was kept comes back byte by
            byte as it was given. A codec's name asks for its kind of file; "png":
            pixels, or symbols as grey; "jp2": the same, lossless (needs glymur), or JPEG 2000 in boxes.
        bare: nothing but the codec's own bytes, or the symbols.
        stretch: of "png" and "jp2": spread the symbols over 0..255.
        max_pixels: refuse larger pictures before anything is allocated.
    Raises:
        CodestreamError: the bytes are not a valid file.
        LimitExceeded: the picture is larger than ``max_pixels``.
        SettingError: an unknown part or format, or one that this file does not have.
        MissingComponent: a package that the part or format needs is not installed.
    """
    if part not in PARTS:
        raise SettingError(f"unknown part {part!r}; one of {', '.join(PARTS)}")
    if format != "own" and format not in SUFFIXES:
        raise SettingError(f"unknown format {format!r}; one of own, {', '.join(SUFFIXES)}")
    if stretch and format not in ("png", "jp2"):
        raise SettingError("stretch changes the symbols: it needs format png or jp2")
    coded = read_plane(source, None if part == "auto" else part, max_pixels)
    kept = Kept() if bare else coded.kept
    own = format in ("own", coded.format) or (format == "jp2" and coded.boxed == ".jp2" and not stretch)
    if own and isinstance(coded, CodedPicture):
        data, format, left_out = _enclosed(coded, format, kept)
    elif own:
        data, format, left_out = coded.own_bytes, coded.format, {}
    elif format not in ("png", "jp2"):
        raise SettingError(
            f"{coded.name} is coded by {coded.backend}: take it out as {coded.extension}, .png or .jp2, not "
            f"{SUFFIXES[format]}"
        )
    else:
        symbols = coded.symbols()
        if stretch:
            symbols = stretched(symbols, coded.levels)
        if format == "png":
            data, left_out = to_png(symbols, kept)
        else:
            data = extras.load("dsncodec.carriers.jp2").to_jp2(symbols)
            left_out = dict.fromkeys(kept.names, "pixels are written as .jp2 without it")
    rows, columns = coded.size
    return Extracted(
        data, coded.name, format, SUFFIXES[format], coded.backend, columns, rows, coded.levels, left_out
    )


def _enclosed(coded: CodedPicture, format: str, kept: Kept) -> tuple[bytes, str, Mapping[str, str]]:
    """A base codec's file with what it can carry, its format, and what is left out; in boxes of its own only where
    there is something to put into them, or where they were asked for."""
    boxed = coded.boxed
    if boxed and format == coded.format:  # asked for by the name that says: no boxes
        return (
            coded.own_bytes,
            format,
            dict.fromkeys(kept.names, f"a {coded.extension} file has no place for it"),
        )
    if coded.original is not None and kept is coded.kept:
        return (
            coded.original,
            "jp2" if boxed and not coded.original.startswith(b"\xff\x4f") else coded.format,
            {},
        )
    in_boxes = bool(boxed) and format == "jp2"
    if not kept.names and not in_boxes:
        return coded.own_bytes, coded.format, {}
    data, left_out = coded.enclosed(kept)
    carries = set(kept.names) > set(left_out)
    if not carries and format != "jp2":
        data = coded.own_bytes
    return data, "jp2" if boxed and (carries or format == "jp2") else coded.format, left_out


@dataclass(frozen=True)
class CodedPlane:
    """A section's symbols as they are coded."""

    name: str
    backend: str
    payload: bytes
    shape: tuple[int, int, int]
    levels: int
    boxed = ""
    kept = Kept()  # nothing: symbols are no picture that a profile or an orientation would be of

    @property
    def format(self) -> str:
        """The payload's kind of file."""
        return self.backend

    @property
    def extension(self) -> str:
        """The suffix that the payload deserves as a file."""
        return carriers.BACKENDS[self.backend].extension

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns, as a file shows them."""
        return self.shape[0] * self.shape[1], self.shape[2]

    @property
    def own_bytes(self) -> bytes:
        """The payload as its backend wrote it."""
        return self.payload[1:]

    def symbols(self) -> NDArray[np.uint8]:
        """The symbols, (rows, columns); two planes of chroma lie one below the other."""
        decoded = carriers.decode(self.payload, self.shape, self.levels)
        return decoded.reshape(-1, self.shape[-1])


@dataclass(frozen=True)
class CodedPicture:
    """A base codec's whole picture, and what the .dsn file has beside it. ``original``: the file that was kept."""

    name: str
    backend: str
    payload: bytes
    shape: tuple[int, int, int]
    kept: Kept
    original: bytes | None = None
    levels: int = 256

    @property
    def boxed(self) -> str:
        """The suffix of the payload in boxes, where bare files of its kind have none."""
        return carriers.BASE_CODECS[self.backend].enclosed

    @property
    def format(self) -> str:
        """The payload's kind of file."""
        return self.backend

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[:2]

    @property
    def extension(self) -> str:
        """The suffix that the payload deserves as a file."""
        return carriers.BASE_CODECS[self.backend].extension

    @property
    def own_bytes(self) -> bytes:
        """The file as the base codec wrote it."""
        return carriers.base_file(self.payload, self.shape)

    def symbols(self) -> NDArray[np.uint8]:
        """The pixels, (rows, columns) or (rows, columns, 3), of 8 bits."""
        colour = carriers.eight_bits(carriers.decode_base(self.payload, self.shape))
        return colour[..., 0] if self.shape[2] == 1 else colour

    def enclosed(self, kept: Kept) -> tuple[bytes, dict[str, str]]:
        """The file with what its kind can carry of the rest; and what it cannot, and why."""
        return carriers.enclosed_base(self.payload, self.shape, kept)


class ExactPicture(CodedPicture):
    """A whole picture without loss, (rows, columns, 1 to 4), alpha among its channels."""

    boxed = ""

    @property
    def extension(self) -> str:
        """The suffix that the payload deserves as a file."""
        return carriers.LOSSLESS[self.backend].extension

    @property
    def own_bytes(self) -> bytes:
        """The file as the codec wrote it."""
        return carriers.lossless_file(self.payload, self.shape, None)[0]

    def symbols(self) -> NDArray[np.uint8]:
        """The pixels, (rows, columns[, 2 to 4])."""
        pixels = carriers.decode_lossless(self.payload, self.shape)
        return pixels[..., 0] if self.shape[2] == 1 else pixels

    def enclosed(self, kept: Kept) -> tuple[bytes, dict[str, str]]:
        """See ``CodedPicture``."""
        return carriers.lossless_file(self.payload, self.shape, kept)


@dataclass(frozen=True)
class CodedNetwork:
    """A network that was fitted to the picture."""

    name: str
    network: coordinates.Network
    shape: tuple[int, int, int]
    levels: int = 256
    backend = format = "onnx"
    extension = ".onnx"
    boxed = ""
    kept = Kept()

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the picture."""
        return self.shape[:2]

    @property
    def own_bytes(self) -> bytes:
        """The network as an ONNX file."""
        data: bytes = extras.load("dsncodec.methods.coconet.onnx_export").to_onnx(self.network)
        return data

    def symbols(self) -> NDArray[np.uint8]:
        """The pixels of the picture, (rows, columns) or (rows, columns, 3)."""
        colour = self.network.pixels((self.shape[1], self.shape[0]))
        return colour[..., 0] if self.shape[2] == 1 else colour


def read_plane(
    source: Source, name: str | None, max_pixels: int = container.MAX_PIXELS
) -> CodedPlane | CodedPicture | CodedNetwork:
    """Find "luma", "chroma", "alpha", "picture" or "network" in a file; nothing is decoded.

    Args:
        name: None for what the method has: "luma", "picture" or "network".
    Raises:
        CodestreamError: the file is broken.
        LimitExceeded: the picture is larger than ``max_pixels``.
        SettingError: the file has no such plane.
    """
    with opened(source) as stream:
        header, sections, _ = read_structure(stream, max_pixels)
        payloads = dict(container.iter_payloads(stream, sections))
    main = methods.parser(header.method).MAIN_PART
    if name is None:
        if not main:
            raise SettingError(f"a file of method {header.method} has no plane that another program reads")
        name = main
    if _TAGS[name] not in payloads or (name == "network" and main != "network"):
        what = name if name in ("picture", "network") else f"{name} plane"
        raise SettingError(f"the file is {header.mode}, method {header.method}: it has no {what}")
    payload = payloads[_TAGS[name]]
    if name == "picture":
        scale = base.Parameters.unpack(payloads.get("PARM", b"")).scale
        beside = _kept(header, payloads, scale)
        if (codec := carriers.lossless_name(payload)) is not None:
            shape = header.height, header.width, len(header.mode)
            return ExactPicture(name, codec, payload, shape, replace(beside, alpha=None))
        shape = base.base_shape(header, scale)
        original = originals.original(header, payloads) if base.REST in payloads else None
        return CodedPicture(name, carriers.base_name(payload), payload, shape, beside, original)
    if name == "network":
        network = coordinates.parse(header, payloads).network
        return CodedNetwork(name, network, (header.height, header.width, header.colour_planes))
    if name == "alpha" and carriers.is_avif(payload):
        shape = header.height, header.width, 1
        return CodedPicture(name, carriers.base_name(payload), payload, shape, Kept())
    shape, levels = _shape_and_levels(header, payloads, name)
    return CodedPlane(name, carriers.backend_name(payload), payload, shape, levels)


def _kept(header: Header, payloads: dict[str, bytes], scale: int) -> Kept:
    """What the file has beside the base codec's picture; alpha is decoded when it is wanted, and shrunk as the picture is."""
    found = metadata(payloads)

    def alpha() -> NDArray[np.uint8]:
        plane = decode_alpha(header, payloads)
        assert plane is not None
        return plane if scale == 1 else pooled(plane, scale)

    return Kept(
        found.get("icc_profile", b""),
        bare_exif(found.get("exif", b"")),
        found.get("xmp", b""),
        found.get("dpi"),
        alpha if header.has_alpha else None,
    )


def _shape_and_levels(
    header: Header, payloads: dict[str, bytes], name: str
) -> tuple[tuple[int, int, int], int]:
    if name == "alpha":
        return (1, header.height, header.width), 256
    point = layer.Parameters.unpack(payloads.get("PARM", b"")).point
    luma, chroma = layer.latent_shapes(header, point.scale)
    return (luma, point.levels) if name == "luma" else (chroma, point.chroma_levels)


def stretched(symbols: NDArray[np.uint8], levels: int) -> NDArray[np.uint8]:
    """0..levels-1 to 0..255, rounded half up.

    >>> stretched(np.array([0, 1, 2, 3], np.uint8), 4).tolist()
    [0, 85, 170, 255]
    """
    table: NDArray[np.uint8] = np.floor(np.arange(levels) * (255 / (levels - 1)) + 0.5).astype(np.uint8)
    return table[symbols]


def to_png(symbols: NDArray[np.uint8], kept: Kept) -> tuple[bytes, dict[str, str]]:
    """The pixels, (rows, columns[, 3]), or symbols as a grey picture, and what is kept beside them; and what is not."""
    left_out: dict[str, str] = {}
    if kept.alpha is not None:
        symbols = np.dstack([symbols, kept.alpha()])
    said: dict[str, Any] = {}
    if kept.icc:
        said["icc_profile"] = kept.icc
    if kept.exif:
        said["exif"] = kept.exif
    if kept.dpi:
        said["dpi"] = kept.dpi
    if kept.xmp:
        try:
            text = kept.xmp.decode("utf-8")
        except UnicodeDecodeError:
            left_out["xmp"] = "PNG has text in UTF-8, which it is not"
        else:
            said["pnginfo"] = PngImagePlugin.PngInfo()
            said["pnginfo"].add_itxt("XML:com.adobe.xmp", text)
    buffer = io.BytesIO()
    Image.fromarray(symbols).save(buffer, "PNG", optimize=True, **said)
    return buffer.getvalue(), left_out
