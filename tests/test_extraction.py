"""What is taken out of a file keeps what the file holds: colours, alpha, ICC, EXIF with its orientation, and XMP."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

import dsncodec
from dsncodec.carriers import BASE_CODECS
from dsncodec.carriers.lossy.avif import is_deep
from dsncodec.cli import main
from dsncodec.errors import DsnError, SettingError

from .conftest import MODES, UInt8Array, header_bytes, with_fixed_checksums
from .pictures import photograph

RGB_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>five</x:xmpmeta>"
ALL = ("alpha", "icc", "exif", "xmp")
# What each kind of file cannot carry
CANNOT = {"avif": set[str](), "jpeg": {"alpha"}, "jxl": {"alpha", "icc"}, "j2k": {"alpha"}}


def grey_icc() -> bytes:
    """A profile of grey, gamma 2.2: the header, a white point and a curve. Source: ICC.1, 7 and 8.3."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563) + b"\0\0"
    tags = [(b"wtpt", white), (b"kTRC", curve)]
    at = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += struct.pack(">4sII", name, at + len(content), len(data))
        content += data
    head = struct.pack(
        ">I4sI4s4s4s12s4s",
        at + len(content),
        b"\0\0\0\0",
        0x02100000,
        b"mntr",
        b"GRAY",
        b"XYZ ",
        bytes(12),
        b"acsp",
    )
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + content


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010F] = "camera"
    return tags.tobytes()


def pixels(mode: str) -> UInt8Array:
    """A whole photograph, (H, W, channels); its alpha is another one's luma."""
    colour = photograph("chelsea.png")
    alpha = np.asarray(Image.fromarray(photograph("coffee.png")).convert("L").resize(colour.shape[1::-1]))
    planes = [colour if mode.startswith("RGB") else colour[..., 1]]
    return np.dstack([*planes, alpha] if mode.endswith("A") else planes)


# how far Pillow's picture of 10 bits a sample is from the nearest one of 8
TEN_BITS = 3
DEEP = [("avif-visual", mode) for mode in ("RGB", "RGBA")]


@pytest.fixture(
    scope="module", params=[*((base, mode) for base in BASE_CODECS for mode in MODES), *DEEP], ids="-".join
)
def held(request: pytest.FixtureRequest) -> tuple[str, str, bytes, bytes]:
    """Base codec, mode, a file with all metadata, and its profile."""
    name, mode = request.param
    base, _, tune = name.partition("-")
    icc = RGB_ICC if mode.startswith("RGB") else grey_icc()
    data = dsncodec.encode(
        pixels(mode),
        "restored",
        base=base,
        tune=tune or "psnr",
        effort=3,
        quality=60,
        icc_profile=icc,
        exif=exif(6),
        xmp=XMP,
        threads=1,
    )
    return base, mode, data, icc


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, data[at + 8 : at + size]))
        at += size
    return found


def colour_of(data: bytes) -> UInt8Array:
    """What the network begins with: the base codec's colours."""
    found = np.asarray(dsncodec.decode(data, preview=True))
    planes = 3 if found.ndim == 3 and found.shape[2] > 2 else 1
    return found.reshape(*found.shape[:2], -1)[..., :planes]


def far(a: UInt8Array, b: UInt8Array) -> int:
    return int(np.abs(a.astype(int) - b).max())


def is_deep_file(data: bytes) -> bool:
    """Whether the base codec's file has 10 bits a sample."""
    info = dsncodec.read_info(data)
    return info.backends["BASE"] == "avif" and is_deep(dsncodec.extract(data, bare=True).data)


def test_what_a_file_holds_comes_out(held: tuple[str, str, bytes, bytes]) -> None:
    base, mode, data, icc = held
    found = dsncodec.extract(data)
    has = set(ALL) if mode.endswith("A") else set(ALL) - {"alpha"}
    assert set(found.left_out) == has & CANNOT[base]
    assert all(found.left_out.values())
    assert (found.part, found.backend) == ("picture", base)
    expected = colour_of(data)
    if base == "jxl":
        _check_jxl(found.data, expected)
        return
    with Image.open(io.BytesIO(found.data)) as image:
        image.load()
        assert image.format == {"avif": "AVIF", "jpeg": "JPEG", "j2k": "JPEG2000"}[base]
        shown = np.asarray(image.convert("RGBA"))
        assert far(shown[..., : expected.shape[2]], expected) <= (TEN_BITS if is_deep_file(data) else 0)
        if base == "j2k":
            _check_jp2(found.data, icc)
            return
        assert image.info["icc_profile"] == icc
        assert image.info["xmp"] == XMP
        assert (image.getexif()[0x0112], image.getexif()[0x010F]) == (6, "camera")
        if mode.endswith("A") and base == "avif":
            assert np.array_equal(shown[..., 3], pixels(mode)[..., -1])


def _check_jxl(data: bytes, expected: UInt8Array) -> None:
    found = boxes(data)
    content = dict(found)
    assert content[b"Exif"] == bytes(4) + exif(6)[6:]
    assert content[b"xml "] == XMP
    stored = np.asarray(imagecodecs.jpegxl_decode(data, keeporientation=True)).reshape(expected.shape)
    assert np.array_equal(stored, expected)
    # by default it is turned by the codestream's own header; dithering goes by the place on the screen
    turned = np.asarray(imagecodecs.jpegxl_decode(data)).astype(int)
    upright = np.rot90(expected, -1).squeeze().astype(int)
    assert turned.shape == upright.shape and int(np.abs(turned - upright).max()) <= 1


def _check_jp2(data: bytes, icc: bytes) -> None:
    found = boxes(data)
    uuids = {content[:16]: content[16:] for kind, content in found if kind == b"uuid"}
    assert uuids[b"JpgTiffExif->JP2"] == exif(6).removeprefix(b"Exif\0\0")
    assert XMP in uuids.values()
    header = dict(boxes(dict(found)[b"jp2h"]))
    assert header[b"colr"] == b"\2\0\0" + icc


def test_a_jp2_by_another_reader(tmp_path: Path) -> None:
    glymur = pytest.importorskip("glymur")
    data = dsncodec.encode(
        pixels("RGB"), base="j2k", effort=0, icc_profile=RGB_ICC, exif=exif(8), xmp=XMP, threads=1
    )
    path = tmp_path / "a.jp2"
    path.write_bytes(dsncodec.extract(data).data)
    ids = {box.box_id: box for box in glymur.Jp2k(path).box}
    assert ids["uuid"] is not None
    colour = next(box for box in ids["jp2h"].box if box.box_id == "colr")
    assert (colour.method, len(colour.icc_profile)) == (2, len(RGB_ICC))
    told = [box.data for box in glymur.Jp2k(path).box if box.box_id == "uuid"]
    assert any(isinstance(one, dict) and one["Orientation"] == 8 for one in told)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_avif(orientation: int) -> None:
    """Readers turn an AVIF by its own properties, which Pillow says as EXIF; with no EXIF at all, too."""
    data = dsncodec.encode(pixels("RGBA"), effort=0, exif=exif(orientation), threads=1)
    for kept in (data, dsncodec.encode(pixels("RGBA"), effort=0, exif=_only(orientation), threads=1)):
        with Image.open(io.BytesIO(dsncodec.extract(kept).data)) as image:
            assert image.getexif().get(0x0112, 1) == orientation
            upright = ImageOps.exif_transpose(image)
    expected = ImageOps.exif_transpose(_with(dsncodec.decode(data, preview=True), orientation))
    assert far(np.asarray(upright), np.asarray(expected)) <= TEN_BITS


def _only(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def _with(image: Image.Image, orientation: int) -> Image.Image:
    image.getexif()[0x0112] = orientation
    return image


@pytest.mark.parametrize("base", BASE_CODECS)
def test_without_more_it_is_what_the_codec_wrote(base: str) -> None:
    """Byte for byte; so it is with everything, if nothing else is wanted."""
    plain = dsncodec.encode(pixels("RGB"), base=base, effort=3, quality=60, threads=1)
    shown = pixels("RGBA").copy()
    shown[..., 3] |= 1
    full = dsncodec.encode(
        shown,
        base=base,
        effort=3,
        quality=60,
        threads=1,
        icc_profile=RGB_ICC,
        exif=exif(3),
        xmp=XMP,
    )
    found = dsncodec.extract(plain)
    assert found.suffix == BASE_CODECS[base].extension and not found.left_out
    assert found.data == dsncodec.extract(full, bare=True).data
    assert bytes(found) == found.data


def test_alpha_that_cannot_be_carried_changes_no_file() -> None:
    for base in ("jpeg", "jxl", "j2k"):
        data = dsncodec.encode(pixels("RGBA"), base=base, effort=0, quality=60, threads=1)
        found = dsncodec.extract(data)
        assert set(found.left_out) == {"alpha"}
        assert (found.data, found.suffix) == (
            dsncodec.extract(data, bare=True).data,
            BASE_CODECS[base].extension,
        )


@pytest.mark.parametrize("size", [(1, 1), (1, 17), (33, 2)], ids=str)
def test_the_smallest_pictures(size: tuple[int, int]) -> None:
    image = np.full((*size, 4), 77, np.uint8)
    for base in BASE_CODECS:
        data = dsncodec.encode(
            image, base=base, effort=0, exif=exif(5), xmp=XMP, icc_profile=RGB_ICC, threads=1
        )
        found = dsncodec.extract(data)
        assert set(found.left_out) == CANNOT[base]
        if base != "jxl":
            with Image.open(io.BytesIO(found.data)) as opened:
                assert opened.size == size[::-1]
                shown = np.asarray(opened.convert("RGBA"))
            assert np.array_equal(shown[..., :3], colour_of(data))
            assert base != "avif" or (shown[..., 3] == 77).all()


def test_half_the_size() -> None:
    """Alpha is shrunk as the picture is."""
    data = dsncodec.encode(pixels("RGBA"), "restored", scale=2, quality=40, effort=0, exif=exif(8), threads=1)
    found = dsncodec.extract(data)
    with Image.open(io.BytesIO(found.data)) as image:
        assert far(np.asarray(image), np.asarray(dsncodec.decode(data, preview=True))) <= TEN_BITS
        assert image.size == ((pixels("RGBA").shape[1] + 1) // 2, (pixels("RGBA").shape[0] + 1) // 2)


@pytest.mark.parametrize("mode", MODES)
def test_as_png(mode: str) -> None:
    icc = RGB_ICC if mode.startswith("RGB") else grey_icc()
    data = dsncodec.encode(pixels(mode), effort=0, icc_profile=icc, exif=exif(7), xmp=XMP, threads=1)
    found = dsncodec.extract(data, format="png")
    assert (found.suffix, dict(found.left_out)) == (".png", {})
    with Image.open(io.BytesIO(found.data)) as image:
        assert image.mode == mode
        assert far(np.asarray(image), np.asarray(dsncodec.decode(data, preview=True))) <= TEN_BITS
        assert (image.info["icc_profile"], image.getexif()[0x0112]) == (icc, 7)
        assert image.info["xmp"] == XMP


def test_what_does_not_fit_is_named() -> None:
    long = b"<x/>".ljust(70_000)
    image = pixels("RGB")
    jpeg = dsncodec.extract(dsncodec.encode(image, base="jpeg", xmp=long, exif=exif(6), threads=1))
    assert set(jpeg.left_out) == {"xmp"}
    with Image.open(io.BytesIO(jpeg.data)) as opened:
        assert opened.getexif()[0x0112] == 6
    large = RGB_ICC + bytes(200_000)  # in several segments
    jpeg = dsncodec.extract(dsncodec.encode(image, base="jpeg", icc_profile=large, threads=1))
    with Image.open(io.BytesIO(jpeg.data)) as opened:
        assert opened.info["icc_profile"] == large
    table = RGB_ICC.replace(b"rTRC", b"A2B0")
    j2k = dsncodec.extract(dsncodec.encode(image, base="j2k", icc_profile=table, xmp=XMP, threads=1))
    assert (set(j2k.left_out), j2k.suffix) == ({"icc"}, ".jp2")


def test_a_codestream_or_boxes(tmp_path: Path) -> None:
    data = dsncodec.encode(pixels("RGB"), base="j2k", effort=0, exif=exif(6), threads=1)
    bare = dsncodec.extract(data, format="j2k")
    assert (set(bare.left_out), bare.data[:4]) == ({"exif"}, b"\xff\x4f\xff\x51")
    boxed = dsncodec.extract(data, format="jp2")
    assert boxed.data.endswith(bare.data) and not boxed.left_out
    assert dsncodec.extract(data).data == boxed.data
    plain = dsncodec.encode(pixels("RGB"), base="j2k", effort=0, threads=1)
    assert dsncodec.extract(plain, format="jp2").data.endswith(dsncodec.extract(plain).data)


def test_what_is_refused() -> None:
    data = dsncodec.encode(pixels("RGB"), effort=0, threads=1)
    for wrong in (
        {"part": "luma"},
        {"part": "hair"},
        {"format": "gif"},
        {"format": "webp"},
        {"stretch": True},
    ):
        with pytest.raises(SettingError):
            dsncodec.extract(data, **wrong)  # type: ignore[arg-type]
    with pytest.raises(DsnError):
        dsncodec.extract(b"not ours")
    with pytest.raises(DsnError):
        dsncodec.extract(data, max_pixels=100)


def test_the_command_says_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.dsn"
    source.write_bytes(
        dsncodec.encode(pixels("RGBA"), base="jxl", effort=0, icc_profile=RGB_ICC, xmp=XMP, threads=1)
    )
    assert main(["extract", str(source)]) == 0
    err = capsys.readouterr().err
    assert [line.split(" is left out: ")[0] for line in err.splitlines()] == [
        f"dsncodec: {source}: alpha",
        f"dsncodec: {source}: icc",
    ]
    assert dict(boxes((tmp_path / "a-layer.jxl").read_bytes()))[b"xml "] == XMP
    assert main(["extract", str(source), "--json", "--force"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["left_out"]) == {"alpha", "icc"} and report["format"] == "jxl"
    assert main(["extract", str(source), "--bare", "--force"]) == 0
    assert capsys.readouterr().err == ""
    assert (tmp_path / "a-layer.jxl").read_bytes() == dsncodec.extract(source, bare=True).data


@pytest.mark.parametrize("base", BASE_CODECS)
def test_hostile_payloads(base: str) -> None:
    """Whatever lies in the sections, with all checksums right: a file, or a DsnError."""
    image = pixels("RGBA")[:40, :56]
    data = dsncodec.encode(image, base=base, effort=0, exif=exif(6), icc_profile=RGB_ICC, xmp=XMP, threads=1)
    rng = np.random.default_rng(3)
    begin, refused = header_bytes(data), 0
    for _ in range(150):
        changed = bytearray(data)
        for at in rng.integers(begin, len(data), rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        try:
            found = dsncodec.extract(with_fixed_checksums(bytes(changed)))
        except DsnError:
            refused += 1
        else:
            assert found.data
    assert refused < 150
