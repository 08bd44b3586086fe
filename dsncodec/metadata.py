"""Metadata, and the dialects in which kinds of files have it.

A .dsn file has one form of each (docs/format.md, section 1): an ICC profile as it is; EXIF as a TIFF structure, without the six
bytes that JPEG has before it; an XMP packet as it is; dots per inch as two numbers. Elsewhere a profile is a block, a text of
hexadecimal digits, or eight chromaticities and an exponent; EXIF has those six bytes or lacks them, or lies among a TIFF file's
tags. ``gathered`` looks in all of these places, and names what it finds and cannot take along.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image

from . import colour_profiles

# Tag of a section -> the name in Pillow's ``info``, and of the field of Picture
METADATA = {"iccp": "icc_profile", "exif": "exif", "xmp ": "xmp", "dpi ": "dpi"}
NAMES = {
    "icc_profile": "the ICC profile",
    "exif": "EXIF",
    "xmp": "XMP",
    "dpi": "the resolution in dots per inch",
}
EXIF_IN_JPEG = b"Exif\0\0"
ORIENTATION = 0x0112
_X_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x0128

Dpi = tuple[float, float]

_TIFF_HEADS = (b"II*\0", b"MM\0*")
_ASSUMED_DPI = 72  # what programs take where a file says nothing
# Tags of a TIFF file that are of the picture: baseline texts, EXIF, GPS, Windows' texts, printers' hints
_OF_PICTURES = frozenset(
    {
        0x010D,
        0x010E,
        0x010F,
        0x0110,
        ORIENTATION,
        0x0131,
        0x0132,
        0x013B,
        0x013C,
        0x8298,
        0x8769,
        0x8825,
        0xC4A5,
    }
) | frozenset(range(0x9C9B, 0x9CA0))
# Tags that say how a file holds its pixels: in the EXIF of another file they speak of that one
_OF_CODING = frozenset(
    {*range(254, 269), 273, *range(277, 282), 284, *range(286, 294), 297, 301, *range(317, 326), 330}
) | frozenset({*range(332, 348), *range(512, 522), *range(529, 533)})
RESOLUTION = frozenset({_X_RESOLUTION, _X_RESOLUTION + 1, _RESOLUTION_UNIT})
_ELSEWHERE = frozenset({700, 33723, 34377, 34675})  # XMP, IPTC, Photoshop's, ICC
_IFDS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_INTEROP = 0xA005
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
# APP segments of JPEG that Pillow has read, or that are of the coding
_READ_SEGMENTS = (
    b"JFIF\0",
    b"JFXX\0",
    b"Exif\0",
    _XMP_IN_JPEG,
    b"ICC_PROFILE\0",
    b"MPF\0",
    b"Adobe",
    b"Photoshop",
)
_IPTC = 1028  # of Photoshop's resources


@dataclass
class Gathered:
    """The metadata of a picture, EXIF as a .dsn file has it; and the names of what cannot be taken along."""

    icc_profile: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    dpi: Dpi | None = None
    left_out: list[str] = field(default_factory=list)


def to_wire(name: str, value: Any) -> bytes:
    """A section's payload; ``name`` is that in Pillow's ``info``. Empty: nothing to write."""
    if name == "exif":
        return bare_exif(value)
    if name == "dpi":
        return _packed_dpi(value) if value else b""
    return bytes(value)


def from_wire(name: str, payload: bytes) -> Any:
    """What Pillow's ``info`` has for a section's payload; None: nothing that could be read."""
    if name == "exif":
        return with_prefix(payload)
    return _unpacked_dpi(payload) if name == "dpi" else payload


def bare_exif(block: bytes) -> bytes:
    """EXIF as a TIFF structure. What is none stays as it is.

    >>> bare_exif(b"Exif\\0\\0II*\\0..."), bare_exif(b"Exif\\0\\0?")
    (b'II*\\x00...', b'Exif\\x00\\x00?')
    """
    inner = block
    while inner.startswith(EXIF_IN_JPEG):
        inner = inner[len(EXIF_IN_JPEG) :]
    return inner if inner.startswith(_TIFF_HEADS) else block


def is_exif(block: bytes) -> bool:
    """Whether a block begins as EXIF does, with prefix or without."""
    return bare_exif(block).startswith(_TIFF_HEADS)


def with_prefix(block: bytes) -> bytes:
    """EXIF as JPEG has it, and Pillow's ``info``. What is no TIFF structure stays as it is."""
    return EXIF_IN_JPEG + bare_exif(block) if is_exif(block) else block


def orientation(exif: bytes) -> int:
    """How the picture is to be turned, 1..8, by its EXIF; 1: not at all."""
    found = tags_of(exif).get(ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def with_resolution(dpi: Dpi) -> bytes:
    """An EXIF block that says nothing but dots per inch, for kinds of files that have no other place for them."""
    tags = Image.Exif()
    tags[_X_RESOLUTION], tags[_X_RESOLUTION + 1], tags[_RESOLUTION_UNIT] = dpi[0], dpi[1], 2
    return tags.tobytes()


def says_resolution(exif: bytes) -> bool:
    """Whether an EXIF block says dots per inch, or per centimetre."""
    return _X_RESOLUTION in tags_of(exif)


def tags_of_picture(exif: bytes) -> Image.Exif:
    """The tags of an EXIF block but for those that say how some file holds its pixels.

    Raises:
        Exception: whatever Pillow makes of a broken block.
    """
    tags = Image.Exif()
    tags.load(exif)
    for tag in _OF_CODING & set(tags):
        del tags[tag]
    return tags


def tags_of(exif: bytes) -> Image.Exif:
    """The tags of an EXIF block; none of what cannot be read."""
    tags = Image.Exif()
    try:
        tags.load(exif)
    except Exception:  # hostile bytes bring out every kind of exception in Pillow
        return Image.Exif()
    return tags


def checked_dpi(value: Any) -> Dpi | None:
    """Dots per inch across and down, of anything that Pillow's ``info`` may have; None where that says nothing.

    >>> checked_dpi((300, 300.0)), checked_dpi((72, 72)), checked_dpi((0, 5)), checked_dpi("high")
    ((300.0, 300.0), None, None, None)
    """
    try:
        across, down = (round(float(side), 2) for side in value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    if not all(math.isfinite(side) and 0.01 <= side < 1e6 for side in (across, down)):
        return None
    return None if max(abs(across - _ASSUMED_DPI), abs(down - _ASSUMED_DPI)) < 0.05 else (across, down)


def _packed_dpi(dpi: Dpi) -> bytes:
    across, down = (min(round(100 * side), 2**32 - 1) for side in dpi)
    return struct.pack("<I", across) + (struct.pack("<I", down) if down != across else b"")


def _unpacked_dpi(payload: bytes) -> Dpi | None:
    if len(payload) not in (4, 8):
        return None
    sides = struct.unpack(f"<{len(payload) // 4}I", payload)
    return (sides[0] / 100, sides[-1] / 100) if all(sides) else None


# --- what files have ------------------------------------------------------------------------------


def gathered(image: Image.Image) -> Gathered:
    """All metadata of a picture, loaded, wherever its kind of file has it."""
    info = image.info
    found = Gathered(dpi=checked_dpi(info.get("dpi")))
    raw = dict(_raw_profiles(info))
    in_segment = raw.pop("app1", b"")
    found.icc_profile = as_bytes(info.get("icc_profile")) or raw.pop("icc", b"") or raw.pop("icm", b"")
    exif = as_bytes(info.get("exif")) or raw.pop("exif", b"")
    if not exif and in_segment.startswith(EXIF_IN_JPEG):
        exif = in_segment
    if not exif and image.format == "TIFF":
        exif = exif_of_tags(image)
    found.exif = bare_exif(exif)
    found.xmp = as_bytes(info.get("xmp")) or as_bytes(info.get("XML:com.adobe.xmp")) or raw.pop("xmp", b"")
    if not found.xmp and in_segment.startswith(_XMP_IN_JPEG):
        found.xmp = in_segment.removeprefix(_XMP_IN_JPEG)
    if not found.icc_profile:
        found.icc_profile = _described_colours(image, found)
    found.left_out += _others(image, raw)
    return found


def as_bytes(value: Any) -> bytes:
    """Text as UTF-8, bytes as they are; nothing of anything else."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return bytes(value) if isinstance(value, (bytes, bytearray)) else b""


def _raw_profiles(info: Mapping[Any, Any]) -> Iterator[tuple[str, bytes]]:
    """Blocks that PNG files have as text: a name, the number of bytes, and these in hexadecimal digits."""
    for key, value in info.items():
        if not (isinstance(key, str) and key.startswith("Raw profile type ")):
            continue
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        match = re.match(r"\n[^\n]*\n\s*\d+\n([\s0-9a-fA-F]*)$", text)
        try:
            content = bytes.fromhex("".join(match[1].split())) if match else b""
        except ValueError:
            content = b""
        yield key.removeprefix("Raw profile type ").lower(), content


def exif_of_tags(image: Image.Image) -> bytes:
    """The EXIF of a TIFF file, loaded, whose own tags lie among those of the picture; b"": none, or it cannot be read.
    Orientation is not there any more: Pillow has turned the pixels."""
    try:
        tags, kept = image.getexif(), Image.Exif()
        for tag in sorted(_OF_PICTURES & set(tags)):
            kept[tag] = dict(tags.get_ifd(tag)) if tag in _IFDS else tags[tag]
        exif_ifd = kept.get(ExifTags.IFD.Exif)
        if exif_ifd and isinstance(exif_ifd.get(_INTEROP), int):
            exif_ifd[_INTEROP] = dict(tags.get_ifd(_INTEROP))
        return kept.tobytes() if len(kept) else b""
    except Exception:  # broken tags bring out every kind of exception in Pillow
        return b""


def _described_colours(image: Image.Image, found: Gathered) -> bytes:
    """A profile of the colours that a PNG file describes by numbers; b"": they are those of sRGB, or nothing is said."""
    gamma, corners = image.info.get("gamma"), image.info.get("chromaticity")
    if image.format != "PNG" or "srgb" in image.info or not (gamma or corners):
        return b""
    try:
        return colour_profiles.described(gamma, corners, grey=image.mode in ("1", "L", "LA", "I;16", "I"))
    except (ArithmeticError, ValueError, TypeError):
        found.left_out.append("colours (gAMA, cHRM) that make no profile")
        return b""


def _others(image: Image.Image, raw: Mapping[str, bytes]) -> list[str]:
    """The names of what there is besides."""
    info, names = image.info, []
    resources = info.get("photoshop")
    tags = getattr(image, "tag_v2", {})
    if (isinstance(resources, dict) and _IPTC in resources) or "iptc" in raw or 33723 in tags:
        names.append("IPTC")
    if (isinstance(resources, dict) and set(resources) - {_IPTC}) or "8bim" in raw or 34377 in tags:
        names.append("Photoshop's resources")
    if info.get("comment") and image.format != "JPEG2000":  # whose comment is its encoder's name
        names.append("a comment")
    texts = [
        name for name in getattr(image, "text", {}) if not name.startswith(("Raw profile", "XML:com.adobe"))
    ]
    if texts:
        shown = ", ".join(texts[:4]) + (", ..." if len(texts) > 4 else "")
        names.append(f"text ({shown})")
    if unknown := sorted(set(tags) - _OF_PICTURES - _OF_CODING - _ELSEWHERE - RESOLUTION):
        names.append(f"TIFF tags {', '.join(map(str, unknown[:5]))}" + (", ..." if len(unknown) > 5 else ""))
    for marker, content in getattr(image, "applist", []):
        if isinstance(content, bytes) and marker.startswith("APP") and not content.startswith(_READ_SEGMENTS):
            name = re.match(rb"[ -~]{0,40}", content)
            label = name[0].decode("ascii").rsplit("/", 1)[-1] or name[0].decode("ascii") if name else ""
            names.append(f"{marker} {label}".strip())
    return list(dict.fromkeys(names))
