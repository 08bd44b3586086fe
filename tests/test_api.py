"""encode, decode, read_info and verify, as a caller sees them."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import dsncodec
from dsncodec import carriers, container
from dsncodec.errors import (
    CodestreamError,
    Corrupt,
    DsnError,
    LimitExceeded,
    NotADsnFile,
    SettingError,
    Truncated,
    UnsupportedVersion,
)
from dsncodec.methods import rate_control
from dsncodec.methods.dsn.bitstream import point_of_quality
from dsncodec.metrics import psnr_db
from dsncodec.networks import registry
from dsncodec.reading import ImageLike

from .conftest import (
    METHODS,
    MODES,
    UInt8Array,
    carrier,
    header_bytes,
    noise,
    packed_1,
    picture,
    with_fixed_checksums,
)

PHOTO = picture("RGB", 60, 44)
PARAMETERS_AT = (
    9  # of a picture below 128 pixels each way: behind 4 + 1 + 1 + 1 + 1 bytes, and their own length
)
MODEL_ID_AT = PARAMETERS_AT + 3  # scale, levels, chroma levels, id
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)
SECTIONS = {"dsn": ["PARM", "LUMA", "CHRO"], "restored": ["PARM", "BASE"]}  # of a colour picture


def quick(image: ImageLike = PHOTO, **settings: Any) -> bytes:
    """Encoded with one thread and the two fastest backends, or the fastest way of the base codec."""
    return dsncodec.encode(image, **{"effort": 0, "threads": 1, **settings})


def array(image: Image.Image) -> UInt8Array:
    return np.asarray(image)


# --- there and back


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (33, 1), (25, 14)], ids=str)
def test_every_mode_and_odd_size(mode: str, size: tuple[int, int], scale: int) -> None:
    image = picture(mode, *size)
    data = quick(image, scale=scale, levels=100)
    decoded = dsncodec.decode(data, threads=1)
    assert (decoded.mode, decoded.size) == (mode, size)
    info = dsncodec.read_info(data)
    assert (info.scale, info.levels, info.size, info.mode) == (scale, 100, size, mode)
    if mode.endswith("A"):
        np.testing.assert_array_equal(array(decoded)[..., -1], array(image)[..., -1])
    small = dsncodec.decode(data, preview=True)
    assert (small.mode, small.size) == (mode, (-(-size[0] // scale), -(-size[1] // scale)))


@EVERY_METHOD
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (33, 1), (25, 14), (300, 5)], ids=str)
def test_every_method_mode_and_size(mode: str, size: tuple[int, int], method: str) -> None:
    image = picture(mode, *size)
    data = quick(image, method=method)
    decoded = dsncodec.decode(data, threads=1)
    assert (decoded.mode, decoded.size) == (mode, size)
    info = dsncodec.read_info(data)
    assert (info.method, info.size, info.mode) == (method, size, mode)
    if mode.endswith("A"):
        np.testing.assert_array_equal(array(decoded)[..., -1], array(image)[..., -1])
    small = dsncodec.decode(data, preview=True)
    assert (small.mode, small.size) == (mode, tuple(-(-side // info.scale) for side in size))


def test_the_method_follows_from_the_settings() -> None:
    def chosen(**settings: Any) -> str:
        return dsncodec.read_info(quick(picture("L", 9, 8), **settings)).method

    assert chosen() == chosen(quality=30) == chosen(base="avif") == chosen(base="jpeg") == "restored"
    assert (
        chosen(scale=2) == chosen(levels=64) == chosen(entropy_coder="lzma2") == chosen(method="dsn") == "dsn"
    )
    assert chosen(base="jpeg", scale=2) == "restored"


def test_names_of_the_last_release() -> None:
    """They still work, and say what they are called now, at the line that used them."""
    image = picture("L", 9, 8)

    def chosen(**settings: Any) -> str:
        with pytest.warns(DeprecationWarning, match="backend is now called base") as caught:
            data = dsncodec.encode(image, effort=0, threads=1, **settings)
        assert caught[0].filename == __file__
        return dsncodec.read_info(data).method

    for both in ("jxl", "j2k"):
        assert chosen(backend=both) == chosen(backend=both, base_quality=30) == "restored"
        assert chosen(backend=both, method="dsn") == chosen(backend=both, chroma_levels=16) == "dsn"
    for name, method in (("lzma2", "dsn"), ("jpeg", "restored")):
        assert chosen(backend=name) == method
    data = dsncodec.encode(image, "dsn", effort=0)
    with pytest.warns(DeprecationWarning, match="reduce is now called preview") as caught:
        small = dsncodec.decode(data, **{"reduce": True})
    assert caught[0].filename == __file__
    assert small.tobytes() == dsncodec.decode(data, preview=True).tobytes()
    with pytest.warns(DeprecationWarning, match="look is now called decoder"):
        assert dsncodec.decode(data, **{"look": "faithful"}).tobytes() == dsncodec.decode(data).tobytes()
    with pytest.raises(TypeError, match="unexpected keyword argument 'shrink'"):
        dsncodec.decode(data, shrink=True)


def test_numpy_numbers_are_numbers() -> None:
    data = quick(scale=np.int64(3), levels=np.uint8(64), threads=np.int32(1), effort=np.int64(0))
    assert data == quick(scale=3, levels=64)
    assert quick(quality=np.int64(50)) == quick(quality=50)
    assert len(quick(target_bpp=np.float32(4))) <= 60 * 44 / 2


@pytest.mark.parametrize("backend", ["auto", "lzma2", "7z", "j2k", "jxl", "jpegls", "webp"])
def test_every_backend(backend: str) -> None:
    data = quick(entropy_coder=backend, scale=3, levels=64, effort=9)
    used = dsncodec.read_info(data).backends
    assert set(used) == {"LUMA", "CHRO"}
    assert backend == "auto" or set(used.values()) == {backend}
    expected = dsncodec.decode(quick(scale=3, levels=64, effort=9))
    assert dsncodec.decode(data).tobytes() == expected.tobytes()  # backends are lossless


def test_it_looks_like_the_picture() -> None:
    for scale in (2, 3, 4):
        decoded = dsncodec.decode(quick(scale=scale, levels=256))
        assert psnr_db(array(PHOTO), array(decoded)) > 15  # even untrained


@EVERY_METHOD
def test_same_bytes_twice(method: str) -> None:
    once, again, two_threads = (quick(method=method, quality=60, threads=threads) for threads in (1, 1, 2))
    assert once == again == two_threads


@EVERY_METHOD
def test_every_kind_of_image(method: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    PHOTO.save(path)
    expected = quick(PHOTO, method=method)
    images: list[ImageLike] = [array(PHOTO), path, str(path), io.BytesIO(path.read_bytes())]
    for image in images:
        assert quick(image, method=method) == expected


@EVERY_METHOD
@settings(max_examples=15)
@given(
    width=st.integers(1, 20),
    height=st.integers(1, 20),
    mode=st.sampled_from(MODES),
    quality=st.integers(0, 100),
)
def test_any_size_and_quality(method: str, width: int, height: int, mode: str, quality: int) -> None:
    decoded = dsncodec.decode(quick(picture(mode, width, height), method=method, quality=quality))
    assert (decoded.mode, decoded.size) == (mode, (width, height))


def test_grey_in_colour_stays_grey() -> None:
    grey = picture("L", 40, 30).convert("RGB")
    for quality in (0, 50, 100):
        decoded = array(dsncodec.decode(quick(grey, method="dsn", quality=quality))).astype(int)
        assert np.ptp(decoded, axis=2).max() <= 2


# --- settings


def test_explicit_settings() -> None:
    assert dsncodec.read_info(quick(levels=32)).scale == 3
    info = dsncodec.read_info(quick(scale=4))
    assert (info.scale, info.levels, info.chroma_levels) == (4, 256, 256)
    info = dsncodec.read_info(quick(scale=2, levels=40, chroma_levels=20))
    assert (info.scale, info.levels, info.chroma_levels) == (2, 40, 20)
    assert dsncodec.read_info(quick(picture("L", 9, 9), levels=40)).chroma_levels is None


@pytest.mark.parametrize("quality", [0, 75, 100])
def test_quality_is_a_row_of_the_table(quality: int) -> None:
    info = dsncodec.read_info(quick(method="dsn", quality=quality))
    point = point_of_quality(quality)
    assert (info.scale, info.levels, info.chroma_levels) == (
        point.scale,
        point.levels,
        point.chroma_levels,
    )
    if quality == rate_control.DEFAULT_QUALITY:
        assert quick(method="dsn") == quick(method="dsn", quality=quality)


@EVERY_METHOD
def test_target_bytes(method: str) -> None:
    smallest, largest = (len(quick(method=method, quality=quality)) for quality in (0, 100))
    for target in (smallest, (2 * smallest + largest) // 3, largest - 1, 10 * largest):
        assert len(quick(method=method, target_bytes=target)) <= target
    assert len(quick(method=method, target_bytes=10 * largest)) >= largest
    with pytest.raises(SettingError) as caught:
        quick(method=method, target_bytes=smallest - 1)
    assert re.search(rf"\b{smallest} bytes", str(caught.value))


@EVERY_METHOD
def test_target_bpp(method: str) -> None:
    smallest = len(quick(method=method, quality=0))
    bpp = 8 * (smallest + 40) / (60 * 44)
    assert dsncodec.read_info(quick(method=method, target_bpp=bpp)).bpp <= bpp
    with pytest.raises(SettingError, match=f"{smallest} bytes"):
        quick(method=method, target_bpp=0.001)


@EVERY_METHOD
def test_target_psnr(method: str) -> None:
    # of a base codec that is named: else quality 100 is without loss, and no target is out of reach
    tune = {"tune": "psnr", "base": "avif"} if method == "restored" else {}

    def reached(data: bytes) -> float:
        return psnr_db(array(PHOTO), array(dsncodec.decode(data)))

    low, high = (reached(quick(method=method, **tune, quality=quality)) for quality in (0, 100))
    for target in (low - 1, (low + high) / 2, high - 0.01):
        assert reached(quick(method=method, **tune, target_psnr_db=target)) >= target
    assert quick(method=method, **tune, target_psnr_db=1) == quick(method=method, **tune, quality=0)
    with pytest.raises(SettingError, match=r"the best of this picture is \d+\.\d+ dB"):
        quick(method=method, **tune, target_psnr_db=high + 60)


@pytest.mark.parametrize(
    "asked",
    [
        {"quality": -1},
        {"quality": 101},
        {"quality": 75.0},
        {"quality": True},
        {"quality": "75"},
        {"target_bytes": 0},
        {"target_bytes": -5},
        {"target_bytes": float("nan")},
        {"target_bytes": True},
        {"target_bpp": float("nan")},
        {"target_bpp": float("inf")},
        {"target_bpp": 1e308},
        {"target_bytes": 10**400},
        {"target_bpp": -1},
        {"target_bpp": "1"},
        {"target_psnr_db": float("nan")},
        {"target_psnr_db": 0},
        {"target_psnr_db": False},
        {"target_bpp": 1.0, "target_psnr_db": 30.0},
        {"quality": 5, "target_bytes": 500},
        {"quality": 5, "scale": 3},
        {"target_bytes": 500, "levels": 16},
        {"scale": 0},
        {"scale": 5},
        {"scale": 2.0},
        {"scale": "3"},
        {"levels": 1},
        {"levels": 257},
        {"levels": True},
        {"chroma_levels": 1},
        {"chroma_levels": 16.0},
        {"effort": -1},
        {"effort": 10},
        {"effort": True},
        {"effort": 5.0},
        {"entropy_coder": "zip"},
        {"method": "jpeg"},
        {"threads": 0},
        {"threads": "all"},
        {"method": "dsn", "base": "avif"},
        {"method": "restored", "entropy_coder": "webp"},
        {"method": "restored", "scale": 3},
        {"method": "restored", "levels": 64},
        {"method": "restored", "chroma_levels": 64},
        {"base": "avif", "scale": 3},
        {"method": "jpeg", "scale": 2},
        {"icc_profile": "text"},
        {"exif": 7},
        {"xmp": 7},
    ],
    ids=str,
)
def test_impossible_settings(asked: dict[str, Any]) -> None:
    with pytest.raises(SettingError) as caught:
        quick(**asked)
    assert any(name.removeprefix("chroma_") in str(caught.value) for name in asked), caught.value


# --- regions and the low-resolution layer


@EVERY_METHOD
@settings(max_examples=15)
@given(data=st.data())
def test_a_region_is_a_crop(method: str, data: st.DataObject) -> None:
    x0, y0 = data.draw(st.integers(0, 59)), data.draw(st.integers(0, 43))
    region = (x0, y0, data.draw(st.integers(x0 + 1, 60)), data.draw(st.integers(y0 + 1, 44)))
    coded = quick(picture("RGBA", 60, 44), method=method)
    full = dsncodec.decode(coded, threads=1)
    assert dsncodec.decode(coded, region=region, threads=1).tobytes() == full.crop(region).tobytes()


@pytest.mark.parametrize(
    "region",
    [
        (0, 0, 0, 10),
        (5, 5, 5, 6),
        (6, 5, 5, 6),
        (-1, 0, 5, 5),
        (0, 0, 61, 44),
        (0, 0, 60, 45),
        (0, 0, 5),
        (0, 0, 5, 5, 5),
        "abcd",
        7,
        (0, 0, None, 5),
        (0, 0, float("nan"), 5),
        (0, 0, 5, float("inf")),
        (0.5, 0, 5, 5),
        ("0", "0", "5", "5"),
    ],
    ids=str,
)
def test_impossible_regions(region: object) -> None:
    with pytest.raises(SettingError, match="region"):
        dsncodec.decode(quick(), region=region)  # type: ignore[arg-type]


def test_a_region_of_numpy_integers() -> None:
    box = np.array([3, 4, 30, 20])
    data = quick()
    assert (
        dsncodec.decode(data, region=tuple(box)).tobytes()
        == dsncodec.decode(data, region=(3, 4, 30, 20)).tobytes()
    )


def test_region_or_reduce() -> None:
    with pytest.raises(SettingError, match="not both"):
        dsncodec.decode(quick(), preview=True, region=(0, 0, 5, 5))


def test_reduce_looks_like_a_small_picture() -> None:
    for mode in MODES:
        image = picture(mode, 60, 42)
        small = dsncodec.decode(quick(image, scale=3, levels=256), preview=True)
        box = image.resize(small.size, Image.Resampling.BOX)
        assert psnr_db(array(small), array(box)) > 17


# --- metadata


def with_metadata() -> Image.Image:
    image = picture("RGB", 12, 9)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: kept, never applied
    image.info |= {"icc_profile": b"a profile", "exif": exif.tobytes(), "xmp": b"<x:xmpmeta/>"}
    return image


@EVERY_METHOD
def test_metadata_is_kept(method: str) -> None:
    data = quick(with_metadata(), method=method)
    decoded = dsncodec.decode(data)
    assert decoded.info == with_metadata().info
    assert decoded.size == (12, 9) and decoded.getexif()[0x0112] == 6
    assert dsncodec.decode(data, preview=True).info == decoded.info
    assert {"iccp", "exif", "xmp "} <= set(dsncodec.read_info(data).sections)


@pytest.mark.parametrize("effort", [0, 2])
def test_effort_holds_for_every_section(effort: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    encode = carriers.encode

    def noted(symbols: UInt8Array, levels: int, backend: str, effort: int) -> bytes:
        asked.append(effort)
        return encode(symbols, levels, backend, effort)

    monkeypatch.setattr(carriers, "encode", noted)
    quick(picture("RGBA", 12, 9), method="dsn", effort=effort)
    assert asked == [effort] * 3


@EVERY_METHOD
def test_metadata_is_left_out(method: str) -> None:
    data = quick(with_metadata(), method=method, icc_profile=b"", exif=b"", xmp=b"")
    assert dsncodec.decode(data).info == {}
    assert list(dsncodec.read_info(data).sections) == SECTIONS[method]


@EVERY_METHOD
def test_metadata_is_replaced(method: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a title"
    data = quick(with_metadata(), method=method, icc_profile=b"other", exif=exif, xmp=b"<other/>")
    assert dsncodec.decode(data).info == {
        "icc_profile": b"other",
        "exif": exif.tobytes(),
        "xmp": b"<other/>",
    }
    only_one = dsncodec.decode(quick(with_metadata(), method=method, xmp=b"<other/>")).info
    assert only_one == with_metadata().info | {"xmp": b"<other/>"}


# --- sources


def pipe_of(data: bytes) -> io.BufferedReader:
    """A stream that cannot seek. A pipe holds 64 KiB, more than our tiny files have."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as sink:
        sink.write(data)
    return os.fdopen(reading, "rb")


@EVERY_METHOD
def test_every_kind_of_source(method: str, tmp_path: Path) -> None:
    data = quick(method=method)
    path = tmp_path / "photo.dsn"
    path.write_bytes(data)
    behind = io.BytesIO(b"something else" + data)
    behind.seek(len(b"something else"))
    openers: list[Callable[[], object]] = [
        lambda: data,
        lambda: bytearray(data),
        lambda: memoryview(data),
        lambda: path,
        lambda: str(path),
        lambda: io.BytesIO(data),
        lambda: path.open("rb"),
        lambda: pipe_of(data),
        lambda: behind,
    ]
    expected, info = dsncodec.decode(data).tobytes(), dsncodec.read_info(data)

    def closing(action: Callable[..., object], open_source: Callable[[], object]) -> object:
        source = open_source()
        try:
            return action(source)
        finally:
            if isinstance(source, io.BufferedReader):
                source.close()

    for open_source in openers[:-1]:
        assert closing(lambda s: dsncodec.decode(s).tobytes(), open_source) == expected
        assert closing(dsncodec.read_info, open_source) == info
        assert closing(dsncodec.verify, open_source) is None
    assert dsncodec.decode(behind).tobytes() == expected


@EVERY_METHOD
@pytest.mark.parametrize("start", [0, 7])
def test_a_file_is_left_where_it_was(start: int, method: str) -> None:
    data = quick(method=method)
    file = io.BytesIO(bytes(start) + data)
    file.seek(start)
    info = dsncodec.read_info(file)
    dsncodec.verify(file)
    assert dsncodec.decode(file).size == info.size
    assert file.tell() == start
    broken = io.BytesIO(data[:-1])
    with pytest.raises(Truncated):
        dsncodec.decode(broken)
    assert broken.tell() == 0


def test_bad_sources(tmp_path: Path) -> None:
    for action in (dsncodec.decode, dsncodec.read_info, dsncodec.verify):
        with pytest.raises(NotADsnFile, match="empty"):
            action(b"")
        with pytest.raises(NotADsnFile):
            action(b"\x89PNG\r\n\x1a\n" + bytes(50))
        with pytest.raises(FileNotFoundError):
            action(tmp_path / "absent.dsn")
        with pytest.raises(IsADirectoryError):
            action(tmp_path)
        with pytest.raises(SettingError, match="expected bytes"):
            action(7)  # type: ignore[arg-type]


# --- what a file says of itself


def test_read_info() -> None:
    data = quick(picture("RGBA", 30, 20), scale=2, levels=64, chroma_levels=32, entropy_coder="jpegls")
    info = dsncodec.read_info(data)
    model = registry.for_scale(2)
    assert (info.width, info.height, info.mode, info.method) == (30, 20, "RGBA", "dsn")
    assert (info.scale, info.levels, info.chroma_levels) == (2, 64, 32)
    assert (info.model, info.model_id) == (model.name, model.wire_id.hex())
    assert {tag: info.backends[tag] for tag in ("LUMA", "CHRO")} == {
        "LUMA": "jpegls",
        "CHRO": "jpegls",
    }
    assert list(info.sections) == ["PARM", "LUMA", "CHRO", "ALPH"]
    payloads = sum(n for tag, n in info.sections.items() if tag != "PARM")
    assert info.size_bytes == len(data) == header_bytes(data) + payloads
    assert info.bpp == 8 * len(data) / 600


@EVERY_METHOD
def test_verify_notices_every_one_byte_change(method: str) -> None:
    data = quick(picture("LA", 5, 4), method=method)
    dsncodec.verify(data)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x55
        with pytest.raises(DsnError):
            dsncodec.verify(bytes(changed))


@EVERY_METHOD
def test_max_pixels(method: str) -> None:
    data = quick(method=method)
    assert dsncodec.decode(data, max_pixels=60 * 44).size == (60, 44)
    for action in (dsncodec.decode, dsncodec.read_info):
        with pytest.raises(LimitExceeded, match="60 x 44") as caught:
            action(data, max_pixels=60 * 44 - 1)
        assert (caught.value.asked, caught.value.limit) == (60 * 44, 60 * 44 - 1)


def test_unknown_model_is_named_and_the_thumbnail_still_shows() -> None:
    data = quick(method="dsn")
    known = dsncodec.decode(data, preview=True)
    changed = with_fixed_checksums(data[:MODEL_ID_AT] + b"\xab" * 8 + data[MODEL_ID_AT + 8 :])
    for action in (dsncodec.decode, dsncodec.verify):
        with pytest.raises(UnsupportedVersion, match="ab" * 8):
            action(changed)
    shown = dsncodec.decode(
        changed, preview=True
    )  # in the latent's own colours: nothing says which they stand for
    assert (shown.mode, shown.size) == (known.mode, known.size)
    info = dsncodec.read_info(changed)
    assert (info.model, info.model_id) == ("unknown", "ab" * 8)


def test_a_scale_the_model_is_not_for() -> None:
    data = bytearray(quick(picture("L", 6, 6), scale=2))
    data[PARAMETERS_AT] = 3
    with pytest.raises(CodestreamError):
        dsncodec.decode(with_fixed_checksums(bytes(data)))


@EVERY_METHOD
def test_no_sections_at_all(method: str) -> None:
    header = container.Header(method, "RGB", 60, 44)
    for header_only in (packed_1(header, []), container.pack(header, [("PARM", b"")])):
        for action in (dsncodec.decode, dsncodec.read_info, dsncodec.verify):
            with pytest.raises(Corrupt):
                action(header_only)


@pytest.mark.parametrize(
    ("method", "backend"),
    [("dsn", name) for name in ("auto", *carriers.BACKENDS)]
    + [("restored", name) for name in carriers.BASE_CODECS],
)
def test_noise_at_the_highest_quality(method: str, backend: str) -> None:
    image = Image.fromarray(noise(40, 40))
    data = quick(image, method=method, **carrier(method, backend), quality=100, effort=9)
    assert dsncodec.decode(data).size == (40, 40)


# --- habits that people bring along


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", MODES)
def test_pixels_as_an_array(mode: str, method: str) -> None:
    data = quick(picture(mode, 300, 270), method=method)
    image = dsncodec.decode(data)
    pixels = dsncodec.decode(data, as_array=True)
    assert (pixels.dtype, pixels.shape) == (np.uint8, np.asarray(image).shape)
    np.testing.assert_array_equal(pixels, np.asarray(image))
    np.testing.assert_array_equal(dsncodec.decode_rows(data).array(), pixels)
    box = (3, 5, 40, 31)
    np.testing.assert_array_equal(
        dsncodec.decode(data, region=box, as_array=True), np.asarray(image.crop(box))
    )
    preview = dsncodec.decode(data, preview=True, as_array=True)
    np.testing.assert_array_equal(preview, np.asarray(dsncodec.decode(data, preview=True)))
    assert dsncodec.read_info(quick(pixels, method=method)).mode == mode


def test_is_dsn(tmp_path: Path) -> None:
    data = quick(picture("RGB", 9, 9))
    old = Path(__file__).parent / "golden" / "0.1.0-rgb-x3-64-jxl.dsn"
    path = tmp_path / "a.dsn"
    path.write_bytes(data)
    for source in (data, data[:4], bytearray(data), np.frombuffer(data, np.uint8), path, str(path), old):
        assert dsncodec.is_dsn(source)
    stream = io.BytesIO(b"before" + data)
    stream.seek(6)
    assert dsncodec.is_dsn(stream) and stream.tell() == 6
    for source in (b"", data[:3], b"\x89PNG\r\n", Path(__file__)):
        assert not dsncodec.is_dsn(source)
    with pytest.raises(FileNotFoundError):
        dsncodec.is_dsn(tmp_path / "absent")


def test_versions_name_what_takes_part() -> None:
    found = dsncodec.versions()
    assert found["dsncodec"] == dsncodec.__version__ and found["codestream"] == "1, 2"
    assert {"python", "system", "numpy", "pillow", "onnxruntime", "imagecodecs", "libavif"} <= set(found)
    assert all(isinstance(version, str) and version for version in found.values())


def test_xmp_may_be_text() -> None:
    data = quick(picture("RGB", 9, 9), xmp="<x>\xe9</x>")
    assert dsncodec.decode(data).info["xmp"] == "<x>\xe9</x>".encode()
