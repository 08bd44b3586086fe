"""The one door for what callers give: bytes, a path, a file; a .dsn file for ``decode``, a picture of any kind for ``encode``.

Pillow's plugins meet the bytes here and nowhere else. Whatever they make of them, there is a picture or an OSError; and what a
picture has that .dsn files have no place for is named in a LossWarning.
"""

from __future__ import annotations

import errno
import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from . import colour_profiles
from .errors import SettingError, reason, warn
from .metadata import exif_of_tags, gathered
from .planes import CHANNELS, STRIP, Picture, UInt8Array, pixels_of

Source = bytes | bytearray | memoryview | UInt8Array | str | os.PathLike[str] | BinaryIO
ImageLike = Image.Image | Source

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
_HEAD = 2**16  # bytes that are searched for what Pillow does not tell
# Pillow opens them by what they are not: drawings without a size, and files that stand for a program which reads them
_NO_PICTURES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"})
_MORE_SUFFIXES = frozenset({".jfif", ".jpe", ".apng", ".mpo"})
# Files that need a package beside Pillow -> that package
PLUGINS = {
    ".heic": "pillow-heif",
    ".heics": "pillow-heif",
    ".heif": "pillow-heif",
    ".heifs": "pillow-heif",
    ".hif": "pillow-heif",
    ".jxl": "pillow-jxl-plugin",
}
# Files of cameras before they are developed
RAW_SUFFIXES = frozenset(
    [
        ".3fr",
        ".arw",
        ".cr2",
        ".cr3",
        ".crw",
        ".dcr",
        ".dng",
        ".erf",
        ".gpr",
        ".iiq",
        ".kdc",
        ".mef",
        ".mos",
        ".mrw",
        ".nef",
        ".nrw",
        ".orf",
        ".pef",
        ".raf",
        ".raw",
        ".rw2",
        ".rwl",
        ".sr2",
        ".srf",
        ".srw",
        ".x3f",
    ]
)
_RAW = "a camera's raw file: develop it to .tif or .png first"
# what they begin with that are no TIFF: Fujifilm, Sigma, Minolta, Olympus, Panasonic, Canon before 2004
_RAW_STARTS = (
    b"FUJIFILMCCD-RAW",
    b"FOVb",
    b"\0MRM",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"II\x1a\0\0\0HEAPCCDR",
)
# brands of ISOBMFF, ISO/IEC 23008-12, table B.1
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
_JXL_STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
# of JPEG 2000: where a codestream begins, and the box that says its colours are YCbCr
_SIZ, _SYCC = b"\xff\x4f\xff\x51", b"colr\1\0\0\0\0\0\x12"
_DNG_VERSION, _SUB_IFDS, _SUBFILE_TYPE = 0xC612, 0x014A, 0x00FE


# --- bytes, paths and files -----------------------------------------------------------------------


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """A seekable binary stream over bytes, a path or a file. A pipe is read to its end first.

    A file that can seek is read from where it stands, or from its beginning if it stands at its end; and left where it was.

    Raises:
        SettingError: none of these, or a file of text.
        OSError: the path cannot be read.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 1:
            raise SettingError(
                f"bytes in an array must be uint8 of one dimension, not {source.dtype} {source.shape}"
            )
        source = source.tobytes()
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        try:
            file = open(source, "rb")  # noqa: SIM115
        except ValueError as exc:  # a NUL in the name
            raise OSError(errno.EINVAL, f"no path: {exc}") from exc
        with file, opened(file) as stream:  # the path may be that of a pipe
            yield stream
    elif hasattr(source, "read"):
        seekable = getattr(source, "seekable", None)
        if seekable is None or not seekable():
            yield _held(source)
            return
        if isinstance(source.read(0), str):
            raise SettingError("the file is one of text: open it with mode 'rb'")
        start = source.tell()
        try:
            whole = source if start == 0 else _held(source)
            if start and not whole.seek(0, os.SEEK_END):
                source.seek(0)
                whole = source
            whole.seek(0)
            yield whole
        finally:
            source.seek(start)
    else:
        raise SettingError(f"expected bytes, a path or a binary file, not {type(source).__name__}")


def _held(source: BinaryIO) -> BinaryIO:
    """All the rest of a file, in memory."""
    parts: list[bytes] = []
    while part := source.read():  # an unbuffered pipe gives less than there is
        if not isinstance(part, (bytes, bytearray, memoryview)):
            raise SettingError("the file is one of text: open it with mode 'rb'")
        parts.append(bytes(part))
    return io.BytesIO(b"".join(parts))


# --- pictures -------------------------------------------------------------------------------------


def suffixes() -> frozenset[str]:
    """The suffixes of the pictures that Pillow opens, with the plugins that are installed."""
    _load_plugins()
    Image.init()
    formats = set(Image.OPEN) - _NO_PICTURES
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in formats}
    return frozenset(known | _MORE_SUFFIXES) - {".dsn"}


def read_picture(image: ImageLike) -> Picture:
    """Bring any supported image into one form.

    Args:
        image: Pillow image; bytes, path or binary file that Pillow can read; or uint8 array of shape
            (H, W), (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB, (H, W, 4) RGBA; of one dimension: a file's bytes.
    Raises:
        SettingError: a mode or an array that has no 8-bit form; an empty picture.
        OSError: the path cannot be read, or Pillow does not know the format, or the picture is broken.
    Warns:
        LossWarning: what of the picture is left behind.
    """
    if isinstance(image, np.ndarray) and (image.ndim != 1 or image.dtype != np.uint8):
        return _from_array(image)
    if isinstance(image, Image.Image):
        return _from_pillow(image)
    if not isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray)) and not hasattr(
        image, "read"
    ):
        raise SettingError(
            f"image must be a Pillow image, bytes, a path, a binary file or a uint8 array, "
            f"not {type(image).__name__}"
        )
    return _from_pillow(loaded(image), name_of(image))


def name_of(source: Any) -> str:
    """What a warning calls it: a file's name, or nothing."""
    return os.path.basename(os.fsdecode(source)) if isinstance(source, (str, os.PathLike)) else ""


def loaded(source: Source) -> Image.Image:
    """A whole picture in memory, its file closed.

    Raises:
        OSError: missing, or not a picture, or a broken one, whatever Pillow called it.
    Warns:
        LossWarning: frames, precision and colours that are left behind.
    """
    with opened(source) as stream:
        head = stream.read(_HEAD)
        stream.seek(0)
        image, lost = _loaded(source, stream, head)
    for what in lost:
        warn(what, about=name_of(source))
    return image


def _loaded(source: Source, stream: BinaryIO, head: bytes) -> tuple[Image.Image, list[str]]:
    """The picture, and what of it is left behind."""
    with _pillow_errors(source, head):
        image: Image.Image = _identified(stream)
        _refuse_raw(image, head)
        lost = [*_frames(image), *_precision(image, head)]
        if image.format == "JPEG2000" and lost and image.mode in ("RGB", "RGBA") and _SYCC not in head:
            image = _deep_jpeg_2000(image, stream, (head[head.find(_SIZ) + 42] & 0x7F) + 1)
        image.load()
        lost += _colours(image, head)
        if image.format == "TIFF" and (exif := exif_of_tags(image)):
            image.info["exif"] = exif
        if isinstance(image, ImageFile.ImageFile):
            image.fp = None  # what is in memory must not seek in a file that is closed
    return image, lost


def _deep_jpeg_2000(image: Image.Image, stream: BinaryIO, bits: int) -> Image.Image:
    """Colours of more than 8 bits without Pillow, whose way to 8 bits is wrong at places by the whole range."""
    stream.seek(0)
    from .carriers.lossless import j2k  # which loads OpenJPEG

    samples = j2k.deep_picture(stream.read())
    if (
        samples.shape[:2] != image.size[::-1]
        or samples.ndim != 3
        or samples.shape[2] != len(image.getbands())
    ):
        raise OSError("a JPEG 2000 file of components of several sizes")
    shown = Image.fromarray(_scaled(samples, 2**bits - 1))
    shown.info, shown.format = image.info, image.format
    return shown


def _scaled(values: NDArray[Any], most: int) -> UInt8Array:
    """Whole numbers from 0 to ``most`` as 0 to 255, rounded; others are clipped."""
    scaled = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), STRIP):
        strip = np.clip(values[top : top + STRIP], 0, most).astype(np.uint32)
        scaled[top : top + STRIP] = (2 * 255 * strip + most) // (2 * most)
    return scaled


def _identified(stream: BinaryIO) -> ImageFile.ImageFile:
    try:
        return Image.open(stream)
    except UnidentifiedImageError:
        if not _load_plugins():
            raise
        stream.seek(0)
        return Image.open(stream)


def _load_plugins() -> bool:
    """Let Pillow know the plugins that are installed; whether there are any."""
    found = False
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        found = True
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401

        found = True
    return found


@contextmanager
def _pillow_errors(source: Any = None, head: bytes = b"") -> Iterator[None]:
    """Everything that Pillow may raise over bytes as an OSError."""
    try:
        yield
    except UnidentifiedImageError as exc:
        raise OSError(_unidentified(os.path.splitext(name_of(source))[1].lower(), head)) from exc
    except MemoryError as exc:
        raise OSError(errno.ENOMEM, "the picture is larger than memory") from exc
    except (OSError, SettingError):
        raise
    except Exception as exc:  # hostile bytes bring out every kind of exception in Pillow
        raise OSError(f"the picture cannot be read: {reason(exc)}") from exc


def _unidentified(suffix: str, head: bytes) -> str:
    """Why Pillow does not know a file, by its first bytes or its name, and what would help."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand == b"crx " or head.startswith(_RAW_STARTS) or suffix in RAW_SUFFIXES:
        return _RAW
    if brand in _HEIC_BRANDS and suffix not in PLUGINS:
        suffix = ".heic"
    elif head.startswith(_JXL_STARTS):
        suffix = ".jxl"
    needed = f"; {suffix} files need a plugin: pip install {PLUGINS[suffix]}" if suffix in PLUGINS else ""
    return f"not a picture in any format that Pillow reads{needed}"


def _refuse_raw(image: Image.Image, head: bytes) -> None:
    """Raises OSError: what Pillow would read of a camera's raw file is the small preview in it."""
    tags = getattr(image, "tag_v2", {})
    reduced = _SUB_IFDS in tags and tags.get(_SUBFILE_TYPE) == 1
    if image.format == "TIFF" and (_DNG_VERSION in tags or reduced or head[8:10] == b"CR"):
        raise OSError(f"{_RAW}; Pillow reads only the preview in it")


def _frames(image: Image.Image) -> list[str]:
    try:
        count = getattr(image, "n_frames", 1)
    except Exception:  # counting reads on, perhaps beyond the end
        count = 1
    if count < 2 or image.format == "PSD":  # whose layers are in the one picture
        return []
    if image.format == "MPO":
        return [f"{count - 1} more pictures in the file are left out: previews, depth or a gain map"]
    return [f"{'frame 2 is' if count == 2 else f'frames 2 to {count} are'} left out"]


def _precision(image: Image.Image, head: bytes) -> list[str]:
    """Bits that Pillow cuts off without a word; of a picture that is not loaded yet. Grey of 16 bits it keeps."""
    bits = 8
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        for tile in getattr(image, "tile", []):
            args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
            if any(isinstance(part, str) and (";16" in part or ";12" in part) for part in args):
                bits = 16
            elif tile[0] in ("ppm", "ppm_plain") and isinstance(args[-1], int) and args[-1] > 255:
                bits = int(args[-1]).bit_length()
        at = head.find(b"av1C") if image.format == "AVIF" else -1
        if 0 <= at < len(head) - 7:  # AV1 in ISOBMFF, 2.3.3: high_bitdepth, twelve_bit
            bits = {0: 8, 0x40: 10, 0x60: 12}.get(head[at + 6] & 0x60, 8)
        at = head.find(_SIZ) if image.format == "JPEG2000" else -1
        if 0 <= at < len(head) - 43:  # SIZ of ISO/IEC 15444-1, A.5.1: Ssiz of the first component
            bits = (head[at + 42] & 0x7F) + 1
        bits = max(
            bits, image.info.get("bit_depth", 8) if isinstance(image.info.get("bit_depth"), int) else 8
        )
    return [f"{bits} bits a sample are rounded to 8"] if bits > 8 else []


def _colours(image: Image.Image, head: bytes) -> list[str]:
    """Put a profile into ``info`` that says what the file says by code points; gives what no profile can."""
    at, kind = 0, ""
    if image.format == "PNG":
        at, kind = head[: max(0, head.find(b"IDAT"))].find(b"\0\0\0\4cICP") + 4, "BB"
    elif image.format in ("AVIF", "HEIF") and not image.info.get("icc_profile"):
        at, kind = head.find(b"colrnclx") + 4, ">HH"
    if at < 4 or len(head) < at + 8:
        return []
    primaries, transfer = struct.unpack_from(kind, head, at + 4)
    grey = image.mode in ("1", "L", "LA", "I;16", "I")
    profile, lost = colour_profiles.of_codes(primaries, transfer, grey)
    if not lost and image.format == "PNG":  # which stands above the other chunks
        for name in ("gamma", "chromaticity", "icc_profile"):
            image.info.pop(name, None)
    if profile:
        image.info["icc_profile"] = profile
    return [f"{lost} is left out"] if lost else []


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


def _from_pillow(image: Image.Image, name: str = "") -> Picture:
    if 0 in image.size:
        raise SettingError(f"the picture is empty: {image.width} x {image.height}")
    lost = _precision(image, b"")
    with _pillow_errors():
        image.load()
        kept = gathered(image)
        left_out = kept.left_out
        shown, icc = image, kept.icc_profile
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            shown, words = _eight_bits(image)
            lost.append(words)
        if shown.mode in ("CMYK", "LAB"):
            shown, guessed = _from_inks(shown, icc)
            icc = b""
            lost += guessed
        target = _target_mode(shown)
        if shown.mode != target:
            shown = shown.convert(target)
        pixels = pixels_of(shown)
    for what in [*lost, *([f"left out: {', '.join(left_out)}"] if left_out else [])]:
        warn(what, about=name)
    return Picture(pixels, shown.mode, icc, kept.exif, kept.xmp, kept.dpi)


def _eight_bits(image: Image.Image) -> tuple[Image.Image, str]:
    """A picture of wider numbers as one of L, and what that did to it.

    Raises:
        SettingError: numbers of no known range that do not fit.
    """
    values = np.asarray(image)
    # what Pillow calls I in files of these kinds is 16 bits
    if image.mode.startswith("I;") or image.format in ("PNG", "PPM"):
        return Image.fromarray(_scaled(values, 65535)), "16 bits a sample are rounded to 8"
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255) or (image.mode == "F" and 0 < high <= 1):
        raise SettingError(
            f"mode {image.mode} with values from {low:g} to {high:g}: a .dsn file has 8 bits a sample; scale them to 0..255 first"
        )
    return Image.fromarray(
        np.round(values).astype(np.uint8)
    ), f"mode {image.mode} is rounded to 8 bits a sample"


def _from_inks(image: Image.Image, icc: bytes) -> tuple[Image.Image, list[str]]:
    """CMYK and Lab in sRGB, by the profile if there is one."""
    if icc and image.mode == "CMYK":
        try:
            profile, ours = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
            shown = ImageCms.profileToProfile(
                image,
                profile,
                ours,
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            assert shown is not None
            return shown, []
        except (ImageCms.PyCMSError, OSError, ValueError):
            return image.convert("RGB"), ["the CMYK profile cannot be used: the colours are a guess"]
    words = ["CMYK without a profile: its colours are a guess"] if image.mode == "CMYK" else []
    return image.convert("RGB"), words


def _target_mode(image: Image.Image) -> str:
    """The mode of ours that keeps what the picture shows, transparency included."""
    if image.mode in ("1", "L", "P", "RGB") and image.has_transparency_data:
        return "LA" if image.mode in ("1", "L") else "RGBA"
    if image.mode in CHANNELS:
        return image.mode
    if image.mode not in _CONVERT:
        raise SettingError(f"mode {image.mode} is not supported; convert it to RGB first")
    return _CONVERT[image.mode]
