"""Files of other kinds that are kept: they come back byte for byte, whatever is in them, or are refused with words."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import dsncodec
from dsncodec import Restored, carriers, container
from dsncodec.cli import main
from dsncodec.errors import CodestreamError, Corrupt, SettingError
from dsncodec.methods.restored import rest, unseen
from dsncodec.networks import registry

from .conftest import picture
from .restored import Use, packed, photo, row_of, sections_of

KEEP = Restored(keep=True)
ICC = bytes(range(256)) * 300  # more than one segment holds
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, "a maker"
    return tags.tobytes()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def with_segments(file: bytes, *segments: bytes) -> bytes:
    """A JPEG file with more behind its start."""
    return file[:2] + b"".join(segments) + file[2:]


PHOTO = photo(93, 61)
JPEGS: dict[str, Callable[[], bytes]] = {
    **{
        f"{subsampling} {'progressive' if progressive else 'baseline'}": lambda s=subsampling, p=progressive: (
            saved(PHOTO, subsampling=s, progressive=p, quality=80)
        )
        for subsampling in ("4:4:4", "4:2:2", "4:2:0")
        for progressive in (False, True)
    },
    "grey": lambda: saved(PHOTO.convert("L"), quality=60),
    "one pixel": lambda: saved(picture("RGB", 1, 1)),
    "R, G and B": lambda: saved(PHOTO, keep_rgb=True),
    "restart markers": lambda: saved(PHOTO, restart_marker_blocks=3),
    "optimised": lambda: saved(PHOTO, optimize=True, quality=97),
    "quality 1": lambda: saved(PHOTO, quality=1),
    "EXIF": lambda: saved(PHOTO, exif=exif(6)),
    "EXIF, XMP, ICC, a comment": lambda: saved(
        PHOTO, exif=exif(), xmp=XMP, icc_profile=ICC, comment="a comment"
    ),
    "EXIF twice": lambda: with_segments(saved(PHOTO, exif=exif(3)), segment(0xE1, exif(8))),
    "makers' notes": lambda: with_segments(
        saved(PHOTO), segment(0xE2, b"FPXR\0" + bytes(500)), segment(0xED, b"IPTC")
    ),
    "fill bytes before a marker": lambda: saved(PHOTO)[:2] + b"\xff\xff" + saved(PHOTO)[2:],
    "a film behind the end": lambda: saved(PHOTO, exif=exif()) + np.random.default_rng(0).bytes(3000),
    "a picture behind the end": lambda: saved(PHOTO) + saved(PHOTO.resize((31, 20))),
}


@pytest.mark.weights
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_comes_back_byte_for_byte(kind: str) -> None:
    original = JPEGS[kind]()
    data = dsncodec.encode(original, KEEP)
    dsncodec.verify(data)
    found = dsncodec.extract(data)
    assert found.data == original and found.suffix == ".jpg" and not found.left_out
    info = dsncodec.read_info(data)
    assert info.kept and info.backends["BASE"] == "jpeg" and not info.lossless
    with Image.open(io.BytesIO(original)) as image:
        shown = dsncodec.decode(data)
        assert shown.size == image.size and shown.mode == ("L" if image.mode == "L" else "RGB")
        assert shown.getexif().get(0x0112) == image.getexif().get(0x0112)
        assert shown.info.get("icc_profile") == image.info.get("icc_profile")
        # without a network, what any program shows
        plain = np.asarray(image.convert(shown.mode)).astype(int)
    preview = dsncodec.decode(data, preview=True)
    assert np.abs(np.asarray(preview) - plain).max() <= 0


@pytest.mark.weights
def test_jpegs_become_smaller(tmp_path: Path) -> None:
    original = saved(photo(300, 260), quality=85, exif=exif())
    data = dsncodec.encode(original, KEEP)
    assert len(data) < 0.9 * len(original)
    path = tmp_path / "a.jpg"
    path.write_bytes(original)
    with path.open("rb") as file:
        assert (
            dsncodec.encode(path, KEEP)
            == dsncodec.encode(str(path), keep=True)
            == data
            == dsncodec.encode(file, KEEP)
        )


@pytest.mark.parametrize("channels", ["L", "RGB", "RGBA"])
def test_an_avif_comes_back_byte_for_byte(channels: str) -> None:
    for options in (
        {},
        {"subsampling": "4:4:4", "quality": 30},
        {"exif": exif(6), "icc_profile": ICC[:900], "xmp": XMP},
    ):
        original = saved(picture(channels, 47, 38), "AVIF", **options)
        data = dsncodec.encode(original, KEEP)
        found = dsncodec.extract(data)
        assert found.data == original and found.suffix == ".avif"
        with Image.open(io.BytesIO(original)) as image:
            shown = dsncodec.decode(data)
            assert shown.mode == image.mode and dsncodec.read_info(data).strength == 0
            np.testing.assert_array_equal(np.asarray(shown), np.asarray(image))
            assert shown.getexif().get(0x0112) == image.getexif().get(0x0112)


def test_alpha_of_an_avif_is_in_the_file_once() -> None:
    """A soft edge that was coded with loss takes many times its bytes without."""
    y, x = np.mgrid[:96, :128]
    image = photo(128, 96)
    image.putalpha(
        Image.fromarray((255 * np.exp(-(((x - 64) / 40) ** 2) - ((y - 48) / 30) ** 2)).astype(np.uint8))
    )
    original = saved(image, "AVIF", quality=60)
    data = dsncodec.encode(original, KEEP)
    info = dsncodec.read_info(data)
    assert info.backends == {"BASE": "avif", "ALPH": "avif"} and len(data) < len(original) + 600
    assert dsncodec.extract(data).data == original
    alpha = dsncodec.extract(data, "alpha")
    with Image.open(io.BytesIO(original)) as shown, Image.open(io.BytesIO(alpha.data)) as plane:
        assert alpha.suffix == ".avif" and plane.size == (128, 96)
        np.testing.assert_array_equal(np.asarray(dsncodec.decode(data)), np.asarray(shown))
        np.testing.assert_array_equal(np.asarray(plane.convert("L")), np.asarray(shown)[..., 3])
    preview = dsncodec.decode(data, preview=True)
    np.testing.assert_array_equal(np.asarray(preview), np.asarray(dsncodec.decode(data)))
    dsncodec.verify(data)
    # where it is a grid, or anything else than one plane, it is coded again
    assert carriers.adopt_alpha(original.replace(b"auxl", b"auxm"), 96, 128) is None


def test_alpha_that_is_avif_is_guarded_as_a_picture_is() -> None:
    """Another size, a form that is no AVIF, and broken bytes are refused."""
    header, sections = sections_of(kept_with_alpha())
    assert carriers.is_avif(sections["ALPH"])
    larger = carriers.load_base("avif").encode(np.zeros((48, 64, 1), np.uint8), 50, 0, 1)
    jpeg = carriers.load_base("jpeg").encode(np.zeros((40, 64, 1), np.uint8), 50, 0, 1)
    for payload in (b"", b"\x10", b"\x10" + larger, b"\x11" + jpeg, sections["ALPH"][:-4]):
        data = container.pack(header, list((sections | {"ALPH": payload}).items()))
        with pytest.raises(CodestreamError):
            dsncodec.decode(data)
        with pytest.raises(CodestreamError):
            dsncodec.extract(data, "alpha", format="png")


@given(at=st.integers(0, 1500), value=st.integers(1, 255))
def test_broken_alpha_is_refused_or_shown(at: int, value: int) -> None:
    header, sections = sections_of(kept_with_alpha())
    payload = bytearray(sections["ALPH"])
    payload[at % len(payload)] ^= value
    data = container.pack(header, list((sections | {"ALPH": bytes(payload)}).items()))
    with contextlib.suppress(CodestreamError):
        assert dsncodec.decode(data).size == (64, 40)


@functools.cache
def kept_with_alpha() -> bytes:
    return dsncodec.encode(saved(picture("RGBA", 64, 40), "AVIF", quality=30), KEEP)


def test_jpeg_2000_and_jpeg_xl_come_back_byte_for_byte() -> None:
    """As our own base codecs write them; in boxes, too."""
    colour = np.asarray(photo(70, 50))
    jpeg_2000 = {"irreversible": True, "mct": 1, "quality_mode": "dB", "quality_layers": [36]}
    files = {
        ".jp2": saved(photo(70, 50), "JPEG2000", **jpeg_2000),
        ".j2k": saved(photo(70, 50), "JPEG2000", no_jp2=True, **jpeg_2000),
        ".jxl": carriers.load_base("jxl").encode(colour, 80, 5, 1),
    }
    boxed = carriers.load_base("jxl").enclose(
        files[".jxl"], colour.shape, carriers.Kept(exif=exif(), xmp=XMP)
    )[0]
    for suffix, original in [*files.items(), (".jxl", boxed)]:
        data = dsncodec.encode(original, KEEP)
        found = dsncodec.extract(data)
        assert found.data == original and found.suffix == suffix
        assert dsncodec.decode(data).size == (70, 50)
    assert dsncodec.decode(data).info["xmp"] == XMP


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (lambda: saved(PHOTO, "PNG"), "only JPEG, AVIF, JPEG XL and JPEG 2000 files can be kept"),
        (lambda: saved(PHOTO, "WEBP"), "only JPEG, AVIF"),
        (lambda: PHOTO, "keep takes a path, a binary file or bytes, not Image"),
        (lambda: np.zeros((3, 3), np.uint8), "keep takes a path, a binary file or bytes, not ndarray"),
        (lambda: saved(PHOTO, "JPEG2000", mct=1), "this j2k file cannot be kept as it is"),
        (lambda: saved(PHOTO.convert("CMYK")), r"recompresses 1 or 3 components, and it has 4 \(CMYK\)"),
        (
            lambda: saved(PHOTO, "AVIF", save_all=True, append_images=[PHOTO]),
            "cannot be kept as it is: a film|kept",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_with_words(file: Callable[[], object], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        dsncodec.encode(file(), KEEP)  # type: ignore[arg-type]


def test_an_avif_of_several_parts_is_called_so() -> None:
    """Cameras and encoders of large pictures write grids of tiles."""
    file = saved(PHOTO, "AVIF")
    assert file.count(b"av01") == 1
    for kind, says in (
        (b"grid", "put together from several"),
        (b"iovl", "from several"),
        (b"hvc1", "another form"),
    ):
        with pytest.raises(SettingError, match=says):
            carriers.load_base("avif").adopt(file.replace(b"av01", kind))


@given(cut=st.integers(0, 900), at=st.integers(0, 900), value=st.integers(0, 255))
def test_broken_files_are_errors_or_come_back(cut: int, at: int, value: int) -> None:
    original = bytearray(saved(photo(24, 16), exif=exif(), quality=50))
    original[at % len(original)] = value
    broken = bytes(original[: len(original) - cut % len(original)])
    try:
        data = dsncodec.encode(broken, KEEP)
    except (dsncodec.DsnError, OSError, SyntaxError):
        return
    assert dsncodec.extract(data).data == broken


def test_metadata_cannot_be_changed_of_what_comes_back() -> None:
    with pytest.raises(SettingError, match="its metadata stays as it is"):
        dsncodec.encode(saved(PHOTO), KEEP, exif=b"")
    with pytest.raises(SettingError, match="its metadata stays as it is"):
        dsncodec.encode(saved(PHOTO), KEEP, metadata=dsncodec.Metadata())


def test_extract_bare_has_the_coded_picture_alone() -> None:
    original = saved(PHOTO, exif=exif(), comment="so")
    bare = dsncodec.extract(dsncodec.encode(original, KEEP), bare=True).data
    assert len(bare) < len(original)
    with Image.open(io.BytesIO(bare)) as image, Image.open(io.BytesIO(original)) as whole:
        assert "exif" not in image.info and image.tobytes() == whole.tobytes()


# --- section rest


@given(
    base=st.binary(min_size=1, max_size=40),
    gaps=st.lists(st.binary(max_size=9), min_size=1, max_size=6),
    kept=st.lists(st.binary(min_size=1, max_size=20), max_size=3),
    data=st.data(),
)
def test_any_original_comes_back(
    base: bytes, gaps: list[bytes], kept: list[bytes], data: st.DataObject
) -> None:
    """Slices of the base file in order, and anything in between."""
    places = sorted(
        data.draw(st.lists(st.integers(0, len(base)), min_size=2 * len(gaps), max_size=2 * len(gaps)))
    )
    original, spans = b"", []
    for gap, start, stop in zip(gaps, places[::2], places[1::2]):
        original += gap + data.draw(st.sampled_from([b"", *kept]))
        spans.append((len(original), start, stop - start))
        original += base[start:stop]
    section = rest.pack(original, base, spans, kept)
    assert rest.unpack(section, base, kept) == original


def test_every_byte_of_a_broken_section_counts_or_is_refused() -> None:
    base, kept = b"a base codec's file", [b"profile", b"exif"]
    section = rest.pack(
        b"start" + base[:9] + b"exif" + base[9:] + b"end", base, ((5, 0, 9), (18, 9, 10)), kept
    )
    for at in range(len(section)):
        for value in range(0, 256, 5):
            broken = section[:at] + bytes([value]) + section[at + 1 :]
            try:
                found = rest.unpack(broken, base, kept)
            except Corrupt:
                continue
            assert len(found) <= len(base) + 11 + len(section)
    for end in range(len(section)):
        with pytest.raises(Corrupt):
            rest.unpack(section[:end], base, kept)


def test_a_section_does_not_inflate_without_bounds() -> None:
    bomb = dsncodec.container.varint(rest.MOST_INFLATED + 1) + b"\1" + bytes(50)
    with pytest.raises(Corrupt, match="at most 67108864 are inflated"):
        rest.unpack(bomb, b"", [])
    many = bytes([13, 0, 4]) + bytes([0, 9, 0]) * 4
    with pytest.raises(Corrupt, match="a piece of what is not there"):
        rest.unpack(many, b"123456789", [])


def test_a_broken_rest_does_not_hide_the_picture() -> None:
    header, sections = sections_of(dsncodec.encode(saved(PHOTO, comment="so"), KEEP))
    data = packed(header, sections | {"rest": b"\0\7"})
    assert dsncodec.decode(data).size == PHOTO.size
    with pytest.raises(Corrupt):
        dsncodec.extract(data)


# --- how it is shown


def test_quality_is_read_from_the_tables() -> None:
    for quality in (5, 20, 50, 75, 90, 96, 100):
        assert unseen.look(saved(PHOTO, quality=quality)).quality == quality


def test_what_is_seen_of_a_jpeg() -> None:
    luma_psnr = [unseen.look(saved(PHOTO, quality=quality)).luma_psnr_db for quality in (10, 40, 70, 95)]
    assert luma_psnr == sorted(luma_psnr)
    shares = [unseen.look(saved(PHOTO, subsampling=s)).chroma_share for s in ("4:4:4", "4:2:2", "4:2:0")]
    assert shares == [1, 0.5, 0.25]
    assert unseen.look(saved(PHOTO.convert("L"))).chroma_share == 1


@pytest.mark.weights
def test_a_poor_jpeg_is_shown_nearer_to_the_original_that_nobody_had() -> None:
    image = photo(300, 260)
    for quality, least_db in ((20, 0.5), (50, 0.3), (80, 0.1)):
        data = dsncodec.encode(saved(image, quality=quality), KEEP)
        plain, shown = (dsncodec.decode(data, preview=preview) for preview in (True, False))
        gain = dsncodec.metrics.psnr_db(np.asarray(image), np.asarray(shown)) - dsncodec.metrics.psnr_db(
            np.asarray(image), np.asarray(plain)
        )
        assert gain > least_db
    assert 0 < unseen.strength_of(unseen.look(saved(image, quality=100))) < 32


def test_without_a_network_it_is_shown_as_it_is(use: Use) -> None:
    use(row_of("avif"))
    info = dsncodec.read_info(dsncodec.encode(saved(PHOTO, quality=20), KEEP))
    assert info.strength == 0 and info.model == "" and registry.restoration("jpeg", False) is None


# --- the command


@pytest.mark.weights
def test_the_command_keeps_and_gives_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in" / "more").mkdir(parents=True)
    originals = {"in/a.jpg": saved(PHOTO, exif=exif()), "in/more/b.jpeg": saved(PHOTO.convert("L")) + b"tail"}
    for name, data in originals.items():
        (tmp_path / name).write_bytes(data)
    assert main(["encode", str(tmp_path / "in/a.jpg"), "--keep-jpeg"]) == 0
    assert "the original file" in capsys.readouterr().out
    assert main(["extract", str(tmp_path / "in/a.dsn"), "-o", str(tmp_path / "back.jpg")]) == 0
    assert (tmp_path / "back.jpg").read_bytes() == originals["in/a.jpg"]
    (tmp_path / "in/a.dsn").unlink()
    (tmp_path / "in/c.png").write_bytes(saved(PHOTO, "PNG"))
    assert main(["batch", str(tmp_path / "in"), str(tmp_path / "out"), "--keep-jpeg", "-j", "1"]) == 1
    rows = [json.loads(line) for line in (tmp_path / "out/manifest.jsonl").read_text().splitlines()]
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert "only JPEG, AVIF, JPEG XL and JPEG 2000 files can be kept" in rows[1]["error"]
    for name, data in originals.items():
        stem = Path(name).relative_to("in").with_suffix(".dsn")
        assert dsncodec.extract(tmp_path / "out" / stem).data == data
