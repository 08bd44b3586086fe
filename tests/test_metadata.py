"""Metadata on its way through: every dialect that files have it in, blocks too long or broken, and what has no place."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

import dsncodec
from dsncodec import metadata
from dsncodec.cli.pictures import to_bytes
from dsncodec.errors import LossWarning, heard
from dsncodec.reading import loaded

from .conftest import picture

ORIENTATION, MAKE, EXIF_IFD, GPS_IFD, MAKER_NOTE = 0x0112, 0x010F, 0x8769, 0x8825, 0x927C
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>five</x:xmpmeta>"
WRITTEN = (".jpg", ".png", ".webp", ".avif", ".tif")


def tags(turned: int = 6) -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION], made[MAKE] = turned, "camera"
    made[EXIF_IFD] = {0x829A: (1, 125), 0x9003: "2020:01:01 00:00:00", MAKER_NOTE: b"maker's own" * 9}
    made[GPS_IFD] = {1: "N", 2: (1.0, 2.0, 3.0)}
    return made


EXIF = tags().tobytes()


def saved(format: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture("RGB", 12, 9).save(out, format, **options)
    return out.getvalue()


def png(text: dict[str, str | bytes], **options: object) -> bytes:
    info = PngImagePlugin.PngInfo()
    for at, (name, value) in enumerate(text.items()):
        info.add_text(name, value, zip=at % 2 == 0)
    return saved("PNG", pnginfo=info, **options)


def raw_profile(kind: str, block: bytes) -> str:
    """As ImageMagick writes it: 36 bytes a line."""
    digits = block.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\n{kind}\n{len(block):8}\n{lines}\n"


def tiff() -> bytes:
    held = Image.Exif()
    held.load(EXIF)
    held[700] = XMP
    return saved("TIFF", tiffinfo=held, icc_profile=ICC, dpi=(300, 300))


ALL = {"exif": EXIF, "xmp": XMP, "icc_profile": ICC}


def webp_with(block: bytes) -> bytes:
    """A WebP file whose EXIF chunk has this very block, as some programs write it."""
    data = saved("WEBP", **ALL)
    chunk = b"EXIF" + struct.pack("<I", len(EXIF) - 6) + EXIF[6:]
    assert data.count(chunk) == 1 and len(EXIF) % 2 == len(block) % 2 == 0
    data = data.replace(chunk, b"EXIF" + struct.pack("<I", len(block)) + block)
    return b"RIFF" + struct.pack("<I", len(data) - 8) + data[8:]


SOURCES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: saved("JPEG", dpi=(300, 300), **ALL),
    "WEBP": lambda: saved("WEBP", **ALL),
    "WEBP, EXIF with JPEG's prefix": lambda: webp_with(EXIF),
    "AVIF": lambda: saved("AVIF", **ALL),
    "PNG": lambda: png({"XML:com.adobe.xmp": XMP}, exif=EXIF, icc_profile=ICC, dpi=(300, 300)),
    "PNG, raw profiles": lambda: png(
        {
            "Raw profile type exif": raw_profile("exif", EXIF),
            "Raw profile type xmp": raw_profile("xmp", XMP),
            "Raw profile type icc": raw_profile("icc", ICC),
        }
    ),
    "PNG, raw APP1": lambda: png(
        {
            "Raw profile type APP1": raw_profile("generic profile", EXIF),
            "Raw profile type xmp": raw_profile("xmp", XMP),
        },
        icc_profile=ICC,
    ),
    "TIFF": tiff,
}


def coded(source: bytes | Image.Image, **settings: object) -> bytes:
    return dsncodec.encode(source, "dsn", effort=0, threads=1, **settings)  # type: ignore[arg-type]


def written(image: Image.Image, suffix: str) -> tuple[Image.Image, list[str]]:
    """A file as ``dsncodec decode`` writes it, opened again, and what was said."""
    with heard() as said:
        data = to_bytes(image, suffix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of broken EXIF
        back = Image.open(io.BytesIO(data))
        back.load()
        back.getexif()
    return back, said


def upright(image: Image.Image) -> tuple[int, int]:
    """The size that a person sees; Pillow turns TIFF files by itself."""
    image.load()
    turned = image.getexif().get(ORIENTATION, 1)
    return image.size[::-1] if turned > 4 else image.size


# --- dialects


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("kind", SOURCES)
def test_every_dialect_reaches_every_format(kind: str, suffix: str) -> None:
    with heard() as said:
        data = coded(SOURCES[kind]())
    assert said == []
    decoded = dsncodec.decode(data)
    back, said = written(decoded, suffix)
    assert said == [] or ("dpi" in decoded.info and suffix in (".webp", ".avif") and "inch" in said[0])
    assert upright(decoded) == upright(back) == (9, 12)
    found = back.getexif()
    assert found[MAKE] == "camera"
    assert found.get_ifd(EXIF_IFD)[MAKER_NOTE] == b"maker's own" * 9
    assert found.get_ifd(GPS_IFD) == {1: "N", 2: (1.0, 2.0, 3.0)}
    assert metadata.as_bytes(back.info["xmp"]) == XMP
    assert back.info["icc_profile"] == ICC


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind != "TIFF"])
def test_a_dsn_file_has_one_form_of_exif(kind: str) -> None:
    data = coded(SOURCES[kind]())
    assert EXIF_IN_JPEG not in data and data.count(b"MM\0*") + data.count(b"II*\0") == 1
    assert dsncodec.decode(data).info["exif"].startswith(b"Exif\0\0")


EXIF_IN_JPEG = b"Exif\0\0"


@pytest.mark.parametrize(
    "given", [EXIF, EXIF[6:], EXIF_IN_JPEG + EXIF, tags()], ids=["prefix", "bare", "twice", "Exif"]
)
def test_exif_may_be_given_in_any_form(given: bytes | Image.Exif) -> None:
    data = coded(picture("RGB", 12, 9), exif=given)
    assert dsncodec.decode(data).info["exif"] == EXIF
    assert data == coded(picture("RGB", 12, 9), exif=EXIF)


@pytest.mark.parametrize("base", ["avif", "jpeg", "jxl", "j2k"])
@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_extract_has_the_orientation_of_every_dialect(kind: str, base: str) -> None:
    data = dsncodec.encode(SOURCES[kind](), base=base, tune="psnr", effort=0, threads=1)
    found = dsncodec.extract(data)
    assert found.data.count(EXIF[6:]) == 1
    if base in ("avif", "jpeg"):
        assert Image.open(io.BytesIO(found.data)).getexif()[ORIENTATION] == 6


def test_files_of_before_hold_exif_as_it_was_given() -> None:
    """A section with JPEG's prefix is as good."""
    now = dsncodec.decode(coded(picture("RGB", 12, 9), exif=EXIF))
    then = metadata.from_wire("exif", EXIF)
    assert now.info["exif"] == then == metadata.from_wire("exif", EXIF[6:])


# --- too long, or broken

LONG = 70_000
BROKEN = {
    "no TIFF": b"Exif\0\0nothing of the kind",
    "empty": b"Exif\0\0",
    "ends early": EXIF[:40],
    "points behind its end": b"Exif\0\0II*\0\xff\xff\0\0",
    "many tags": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(40),
    "odd kinds": b"Exif\0\0II*\0\x08\0\0\0\x01\0"
    + struct.pack("<HHII", ORIENTATION, 2, 4, 0x41414141)
    + bytes(4),
    "orientation 99": tags(99).tobytes(),
    "too long": EXIF + bytes(LONG),
}


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_exif_costs_itself_and_never_the_picture(kind: str, suffix: str) -> None:
    block = BROKEN[kind]
    decoded = dsncodec.decode(coded(picture("RGB", 12, 9), exif=block, xmp=XMP, icc_profile=ICC))
    assert metadata.bare_exif(decoded.info["exif"]) == metadata.bare_exif(block)
    back, said = written(decoded, suffix)
    assert sorted(back.size) == [9, 12]
    assert metadata.as_bytes(back.info["xmp"]) == XMP and back.info["icc_profile"] == ICC
    kept = back.info.get("exif") or any(tag in back.getexif() for tag in (MAKE, ORIENTATION))
    assert kept or any("EXIF is left out" in line for line in said), said


@pytest.mark.parametrize("name", ["xmp", "icc_profile", "exif"])
@pytest.mark.parametrize("suffix", WRITTEN)
def test_long_blocks_cost_themselves_and_never_the_picture(name: str, suffix: str) -> None:
    """70 KB are more than a segment of JPEG holds; a profile has several."""
    blocks = {"xmp": XMP + b" " * LONG, "exif": EXIF + bytes(LONG), "icc_profile": ICC + bytes(LONG)}
    decoded = dsncodec.decode(coded(picture("RGB", 12, 9), **{**ALL, name: blocks[name]}))
    back, said = written(decoded, suffix)
    assert back.size in ((12, 9), (9, 12))
    assert metadata.as_bytes(back.info.get("xmp", b"")) or name == "xmp"
    lost = {"xmp": "XMP", "exif": "EXIF", "icc_profile": "ICC"}[name]
    whole = {
        "xmp": back.info.get("xmp"),
        "exif": MAKE in back.getexif(),
        "icc_profile": back.info.get("icc_profile"),
    }
    assert bool(whole[name]) != any(lost in line for line in said), said


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_xmp_that_is_no_text_costs_itself(suffix: str) -> None:
    decoded = dsncodec.decode(coded(picture("RGB", 12, 9), xmp=b"\xff\xfe not UTF-8", exif=EXIF))
    back, said = written(decoded, suffix)
    assert back.getexif()[MAKE] == "camera"
    assert ("xmp" in back.info) != any("XMP is left out" in line for line in said)


@pytest.mark.parametrize("suffix", WRITTEN)
def test_tags_of_how_another_file_held_its_pixels_break_no_file(suffix: str) -> None:
    """Some cameras write the size, the strips and the bits of their own file into EXIF."""
    held = tags()
    held.update(
        {
            256: 4128,
            257: 2322,
            258: (8, 8, 8),
            259: 6,
            262: 6,
            273: 9999,
            277: 3,
            278: 2322,
            279: 12345,
            284: 1,
        }
    )
    held.update({322: 64, 323: 64, 513: 777, 514: 5000, 530: (2, 2), 531: 1})
    decoded = dsncodec.decode(coded(picture("RGB", 12, 9), exif=held))
    back, said = written(decoded, suffix)
    assert said == []
    assert upright(back) == (9, 12) and back.getexif()[MAKE] == "camera"
    colours = np.asarray(ImageOps.exif_transpose(back).convert("RGB")).astype(int)
    expected = np.asarray(ImageOps.exif_transpose(decoded)).astype(int)
    assert np.abs(colours - expected).mean() < 12


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".ico", ".jp2", ".pdf", ".ppm", ".tga"])
def test_formats_without_metadata_say_what_they_leave_out(suffix: str) -> None:
    decoded = dsncodec.decode(coded(picture("RGB", 12, 9), **ALL))
    with heard() as said:
        assert to_bytes(decoded, suffix)
    assert {line.partition(" is left out")[0] for line in said} == {"EXIF", "XMP", "the ICC profile"}
    assert set(decoded.info) == {"exif", "xmp", "icc_profile"}


# --- dots per inch


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("dpi", [(300, 300), (600, 300), (96.5, 96.5)])
def test_dots_per_inch_come_along(dpi: tuple[float, float], suffix: str) -> None:
    data = coded(saved("PNG", dpi=dpi))
    decoded = dsncodec.decode(data)
    assert decoded.info["dpi"] == pytest.approx(dpi, abs=0.02)
    back, said = written(decoded, suffix)
    assert said == []
    if suffix in (".webp", ".avif"):
        assert float(back.getexif()[0x011A]) == pytest.approx(dpi[0], abs=0.02)
    else:
        assert [float(side) for side in back.info["dpi"]] == pytest.approx(dpi, abs=0.6)
    for base in ("jpeg", "avif"):
        found = dsncodec.extract(dsncodec.encode(decoded, base=base, tune="psnr", effort=0, threads=1))
        assert ("dpi" in Image.open(io.BytesIO(found.data)).info) == (base == "jpeg")
        assert ("dpi" in found.left_out) == (base == "avif")


def test_what_every_program_assumes_is_not_written() -> None:
    assert len(coded(saved("PNG", dpi=(72, 72)))) == len(coded(saved("PNG")))
    assert "dpi" not in dsncodec.decode(coded(saved("JPEG", dpi=(72, 72)))).info


@pytest.mark.parametrize("payload", [b"", b"1", bytes(3), bytes(4), bytes(5), bytes(8), bytes(9)])
def test_a_broken_section_of_dots_per_inch_is_none(payload: bytes) -> None:
    assert metadata.from_wire("dpi", payload) is None


@pytest.mark.parametrize("dpi", [7, (1,), (0, 300), (1, 2, 3), ("a", "b")])
def test_impossible_dots_per_inch(dpi: object) -> None:
    with pytest.raises(dsncodec.SettingError, match="dpi"):
        coded(picture("RGB", 12, 9), dpi=dpi)


# --- what cannot come along is named


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    plain = saved("JPEG")
    parts = [struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content for marker, content in segments]
    return plain[:2] + b"".join(parts) + plain[2:]


def iptc() -> bytes:
    return b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", 8) + b"\x1c\x02\x50\0\x03Ann"


DROPPED: dict[str, tuple[Callable[[], bytes], str]] = {
    "comment": (lambda: saved("JPEG", comment=b"taken by Ann"), "a comment"),
    "comment of GIF": (lambda: saved("GIF", comment=b"taken by Ann"), "a comment"),
    "IPTC": (lambda: jpeg_with((0xED, iptc())), "IPTC"),
    "another segment": (lambda: jpeg_with((0xEB, b"JP\0\1 jumb")), "APP11 JP"),
    "text": (lambda: png({"Author": "Ann", "Title": "Blue"}), "text (Author, Title)"),
    "IPTC in a raw profile": (
        lambda: png({"Raw profile type iptc": raw_profile("iptc", b"\x1c\x02\x50\0\x03Ann")}),
        "IPTC",
    ),
}


@pytest.mark.parametrize("kind", DROPPED)
def test_what_has_no_place_is_named(kind: str) -> None:
    made, named = DROPPED[kind]
    with pytest.warns(LossWarning, match=f"left out: .*{named}".replace("(", r"\(").replace(")", r"\)")):
        coded(made())


def test_a_file_with_nothing_to_lose_says_nothing() -> None:
    for made in SOURCES.values():
        coded(made())  # warnings are errors in these tests


# --- real cameras

# size, bits, colour and channels of the JPEG file, and where its chroma samples lay
HOW_IT_WAS_HELD = {256, 257, 258, 262, 277, 531}

PHOTOS = Path(__file__).parent.parent.parent / "shared" / "data" / "photos"


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs are not beside the checkout")
@pytest.mark.parametrize("suffix", WRITTEN)
def test_the_metadata_of_cameras_comes_along(suffix: str) -> None:
    """17 makers, with their notes: every tag of EXIF, the profile, and how the picture is to be turned."""
    paths = sorted(PHOTOS.glob("*.jpg"))
    assert len(paths) > 10
    for path in paths:
        original = loaded(path)
        small = original.resize((original.width // 32, original.height // 32))
        small.info = dict(original.info)
        small.info.pop("photoshop", None)
        with heard():
            decoded = dsncodec.decode(coded(small))
        back, said = written(decoded, suffix)
        where = f"{path.name} {suffix}: {said}"
        assert upright(back) == upright(small), where
        assert back.info.get("icc_profile") == original.info.get("icc_profile"), where
        before, after = original.getexif(), back.getexif()
        for ifd in (EXIF_IFD, GPS_IFD):
            lost = set(before.get_ifd(ifd)) - set(after.get_ifd(ifd))
            assert not lost or any("EXIF" in line for line in said), f"{where} {lost}"
        lost = set(before) - set(after) - {ORIENTATION} - HOW_IT_WAS_HELD
        assert not lost or any("EXIF" in line for line in said), f"{where} {lost}"
        if suffix in (".jpg", ".png", ".webp"):
            assert metadata.bare_exif(back.info["exif"]) == metadata.bare_exif(original.info["exif"]), where
