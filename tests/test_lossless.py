"""Pictures without loss, asked for or smaller; flat graphics; colours that nobody sees."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import dsncodec
from dsncodec import Restored, carriers
from dsncodec.carriers import LOSSLESS, Kept
from dsncodec.cli import main
from dsncodec.errors import Corrupt, SettingError
from dsncodec.methods.restored import exact
from dsncodec.metrics import psnr_db
from dsncodec.planes import filled, visible, with_original

from .conftest import MODES, UInt8Array, noise, picture
from .restored import array, packed, photo, sections_of

EVERY_CODEC = pytest.mark.parametrize("codec", LOSSLESS)
EVERY_MODE = pytest.mark.parametrize("mode", MODES)
SHAPES = ((1, 1), (1, 17), (37, 23), (300, 270))


def pixels_of(image: Image.Image) -> UInt8Array:
    return array(image).reshape(image.height, image.width, -1)


def kinds(mode: str, rows: int, columns: int) -> list[UInt8Array]:
    """Noise, one colour, and blocks of few."""
    channels, rng = len(mode), np.random.default_rng(0)
    blocks = rng.integers(0, 4, (-(-rows // 8), -(-columns // 8), channels), np.uint8) * 80
    return [
        rng.integers(0, 256, (rows, columns, channels), np.uint8),
        np.full((rows, columns, channels), 90, np.uint8),
        np.ascontiguousarray(blocks.repeat(8, 0).repeat(8, 1)[:rows, :columns]),
    ]


@EVERY_CODEC
@EVERY_MODE
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_codec_gives_every_pixel_back(codec: str, mode: str, shape: tuple[int, int]) -> None:
    module = carriers.load_lossless(codec)
    for pixels in kinds(mode, *shape):
        payload = bytes([LOSSLESS[codec].wire_id]) + module.encode_picture(pixels, shape[0] < 100)
        np.testing.assert_array_equal(carriers.decode_lossless(payload, pixels.shape), pixels)


@EVERY_MODE
@pytest.mark.parametrize(
    "settings", [{"lossless": True}, {"quality": 100}, {"quality": 100, "tune": "psnr"}], ids=str
)
def test_a_file_without_loss(mode: str, settings: dict[str, Any]) -> None:
    image = picture(mode, 61, 45)
    image.info["exif"] = b"Exif\0\0II*\0\x08\0\0\0\0\0"
    data = dsncodec.encode(image, **settings)
    dsncodec.verify(data)
    info = dsncodec.read_info(data)
    assert (
        info.lossless
        and info.strength == 0
        and info.base_quality is info.base_psnr_db is info.gain_db is None
    )
    assert "ALPH" not in info.sections and info.sections["PARM"] == 0
    shown = dsncodec.decode(data)
    assert (
        shown.mode == mode and shown.tobytes() == image.tobytes() and shown.info["exif"] == image.info["exif"]
    )
    assert dsncodec.decode(data, region=(3, 5, 40, 31)).tobytes() == image.crop((3, 5, 40, 31)).tobytes()
    assert dsncodec.decode(data, preview=True).tobytes() == image.tobytes()


def test_a_codec_or_a_point_that_is_named_is_used() -> None:
    image = picture("RGB", 60, 50)
    for settings in ({"base": "jpeg", "quality": 100}, {"base_quality": 100}, {"scale": 1, "quality": 100}):
        assert not dsncodec.read_info(dsncodec.encode(image, "restored", **settings)).lossless
    with pytest.raises(SettingError, match="give one of quality"):
        dsncodec.encode(image, Restored(lossless=True), quality=30)


@EVERY_CODEC
@EVERY_MODE
def test_extract_gives_a_file_that_others_read(
    codec: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carriers, "LOSSLESS", {codec: LOSSLESS[codec]})
    image = picture(mode, 40, 31)
    exif = Image.Exif()
    exif[0x0112] = 6
    settings = {"exif": exif.tobytes(), "xmp": b"<x/>", "icc_profile": bytes(200)}
    data = dsncodec.encode(image, lossless=True, **settings)
    for bare in (True, False):
        found = dsncodec.extract(data, bare=bare)
        assert (found.format, found.suffix, found.backend) == (codec, LOSSLESS[codec].extension, codec)
        if codec == "webp":
            assert not found.left_out
            with Image.open(io.BytesIO(found.data)) as webp:
                assert webp.convert(mode).tobytes() == image.tobytes()
                assert ("exif" in webp.info) != bare and webp.getexif().get(0x0112) == (None if bare else 6)
        else:
            assert set(found.left_out) == (set() if bare else {"icc"})
            shown = carriers.load_lossless("jxl").__dict__["imagecodecs"].jpegxl_decode(found.data)
            turned = array(image) if bare else np.rot90(array(image), -1)
            np.testing.assert_array_equal(shown, turned)
    png = dsncodec.extract(data, format="png").data
    with Image.open(io.BytesIO(png)) as opened:
        assert opened.tobytes() == image.tobytes() and opened.mode == mode


@EVERY_CODEC
def test_another_size_or_other_channels_are_refused(codec: str) -> None:
    module = carriers.load_lossless(codec)
    pixels = pixels_of(picture("RGB", 30, 20))
    payload = bytes([LOSSLESS[codec].wire_id]) + module.encode_picture(pixels, False)
    for shape in ((20, 30, 1), (20, 30, 2), (20, 31, 3), (10, 30, 3), (40000, 40000, 3)):
        with pytest.raises(Corrupt):
            decoded = carriers.decode_lossless(payload, shape)
            # a bitstream that says nothing of its size: what it holds is not that picture
            assert decoded.shape == shape and not np.array_equal(decoded[:20, :30], pixels)
            raise Corrupt("another picture")


def test_parameters_and_picture_say_the_same() -> None:
    header, exact_sections = sections_of(dsncodec.encode(photo(30, 20), lossless=True))
    _, lossy = sections_of(dsncodec.encode(photo(30, 20), base_quality=40))
    for mixed in (
        {"PARM": exact_sections["PARM"], "BASE": lossy["BASE"]},
        {"PARM": lossy["PARM"], "BASE": exact_sections["BASE"]},
    ):
        data = packed(header, mixed)
        for door in (dsncodec.decode, dsncodec.verify):
            with pytest.raises(Corrupt, match="picture without loss"):
                door(data)


@EVERY_CODEC
def test_broken_payloads_are_errors(codec: str) -> None:
    pixels = pixels_of(picture("RGBA", 12, 9))
    payload = bytes([LOSSLESS[codec].wire_id]) + carriers.load_lossless(codec).encode_picture(pixels, False)
    for at in range(1, len(payload), 3):
        for broken in (payload[:at], payload[:at] + bytes([payload[at] ^ 0x55]) + payload[at + 1 :]):
            try:
                assert carriers.decode_lossless(broken, pixels.shape).shape == pixels.shape
            except dsncodec.CodestreamError:
                continue


# --- flat graphics


def text(columns: int, rows: int) -> Image.Image:
    image = Image.new("RGB", (columns, rows), "white")
    draw = ImageDraw.Draw(image)
    for top in range(4, rows, 18):
        draw.text(
            (5, top),
            "all that is written stays as it was",
            fill=(20, 30, 90),
            font=ImageFont.load_default(12),
        )
    return image


def plot(columns: int, rows: int) -> Image.Image:
    image = Image.new("RGB", (columns, rows), (250, 250, 245))
    draw = ImageDraw.Draw(image)
    for i in range(7):
        draw.rectangle(
            (10 + 28 * i, rows - 20 - 13 * i, 30 + 28 * i, rows - 20), fill=(40 * i, 120, 250 - 30 * i)
        )
    draw.line([(x, rows / 2 + rows / 3 * np.sin(x / 17)) for x in range(columns)], fill="red", width=3)
    return image


def lines(columns: int, rows: int) -> Image.Image:
    image = Image.new("L", (columns, rows), 255)
    draw = ImageDraw.Draw(image)
    for i in range(0, columns, 17):
        draw.line((i, 0, columns - i, rows), fill=0)
    return image


def sprite(columns: int, rows: int) -> Image.Image:
    """With alpha, and edges on no grid."""
    image = Image.new("RGBA", (columns, rows))
    ImageDraw.Draw(image).ellipse(
        (9, 7, columns - 30, rows - 12), fill=(200, 80, 30, 255), outline=(0, 0, 0, 255)
    )
    return image


FLAT: dict[str, Callable[[int, int], Image.Image]] = {
    "text": text,
    "plot": plot,
    "lines": lines,
    "sprite": sprite,
}
EVERY_FLAT = pytest.mark.parametrize("kind", FLAT)


def shown_db(image: Image.Image, data: bytes) -> float:
    """PSNR where the picture shows."""
    ours, theirs = pixels_of(image), pixels_of(dsncodec.decode(data))
    seen, colours = visible(ours), ours.shape[2] - (ours.shape[2] in (2, 4))
    ours, theirs = ours[..., :colours], theirs[..., :colours]
    return psnr_db(ours, theirs) if seen is None else psnr_db(ours[seen], theirs[seen])


@EVERY_FLAT
def test_flat_graphics_are_no_larger_than_png_and_webp(kind: str) -> None:
    image = FLAT[kind](220, 130)
    assert exact.is_flat(pixels_of(image))
    files = []
    for name, options in (
        ("PNG", {"optimize": True}),
        ("WEBP", {"lossless": True, "quality": 100, "method": 6}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, name, **options)
        files.append(len(buffer.getvalue()))
    for settings in ({}, {"quality": 95}, {"lossless": True}):
        data = dsncodec.encode(image, **settings)
        assert len(data) <= min(files), (settings, files)
        assert np.isinf(shown_db(image, data)) or not settings


@EVERY_FLAT
@pytest.mark.parametrize("tune", ["visual", "psnr"])
def test_quality_never_gives_more_bytes_and_less_quality(kind: str, tune: str) -> None:
    image = FLAT[kind](150, 90)
    files = [dsncodec.encode(image, quality=quality, tune=tune) for quality in range(0, 101, 10)]
    judged = []
    for data in files:
        ours, theirs = (pixels_of(one.convert("RGB")) for one in (image, dsncodec.decode(data)))
        theirs = with_original(ours, theirs, visible(pixels_of(image)))
        scored = dsncodec.metrics.ssimulacra2(ours, theirs) if tune == "visual" else psnr_db(ours, theirs)
        judged.append(scored)
    for at, (data, score) in enumerate(zip(files, judged)):
        for low, low_score in zip(files[:at], judged[:at]):
            assert not (len(low) < len(data) and low_score > score + 1e-6)


@EVERY_FLAT
def test_targets_of_flat_graphics_find_the_file_without_loss(kind: str) -> None:
    image = FLAT[kind](150, 90)
    size = len(dsncodec.encode(image, quality=99))
    data = dsncodec.encode(image, target_bytes=size)
    assert np.isinf(shown_db(image, data)) and len(data) <= size
    assert np.isinf(shown_db(image, dsncodec.encode(image, target_psnr_db=99)))
    assert np.isinf(shown_db(image, dsncodec.encode(image, target_ssimulacra2=99.9)))


def test_below_that_the_best_file_that_fits_is_found() -> None:
    """As good as the best of all qualities, but for 0.05 dB."""
    image = text(150, 90)
    settings = {"base": "avif", "tune": "psnr", "effort": 3}
    every = [
        dsncodec.encode(image, "restored", base_quality=quality, **settings)
        for quality in carriers.BASE_CODECS["avif"].qualities
    ]
    limit = sorted(map(len, every))[len(every) // 3]
    best = max(shown_db(image, data) for data in every if len(data) <= limit)
    assert shown_db(image, dsncodec.encode(image, target_bytes=limit, **settings)) >= best - 0.05
    wanted = best - 0.5
    least = min(len(data) for data in every if shown_db(image, data) >= wanted)
    assert len(dsncodec.encode(image, target_psnr_db=wanted, **settings)) <= 1.01 * least


def test_photographs_are_coded_as_before() -> None:
    image = photo(160, 140)
    assert not exact.is_flat(pixels_of(image)) and not exact.is_flat(noise(30, 40)[..., None])
    assert not dsncodec.read_info(dsncodec.encode(image, quality=80)).lossless
    everything = dsncodec.encode(image, target_bytes=10**6)
    assert dsncodec.read_info(everything).lossless
    assert dsncodec.read_info(dsncodec.encode(image, target_psnr_db=90)).lossless


# --- colours under alpha 0


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("method", ["restored", "dsn"])
def test_colours_that_nobody_sees_cost_nothing(mode: str, method: str) -> None:
    """Whatever lies under alpha 0, the file is the same."""
    image = pixels_of(photo(96, 80).convert(mode)).copy()
    image[..., -1] = 0
    image[20:60, 30:70, -1] = 255
    files = set()
    for seed in range(3):
        hidden = np.random.default_rng(seed).integers(0, 256, image.shape, np.uint8)
        hidden[..., -1] = image[..., -1]
        files.add(dsncodec.encode(np.where(image[..., -1:] == 0, hidden, image), method, effort=2))
    assert len(files) == 1
    (data,) = files
    assert len(data) < 0.6 * len(dsncodec.encode(np.ascontiguousarray(image[..., :-1]), method, effort=2))
    assert np.array_equal(pixels_of(dsncodec.decode(data))[..., -1], image[..., -1])


def test_a_target_is_reached_where_the_picture_shows() -> None:
    image = pixels_of(photo(96, 80).convert("RGBA")).copy()
    image[:, 48:, 3] = 0
    data = dsncodec.encode(image, target_psnr_db=35, tune="psnr", base="avif")
    assert 35 <= shown_db(Image.fromarray(image), data) < 36.5


def test_what_is_asked_for_without_loss_keeps_what_nobody_sees() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 4), np.uint8)
    image[..., 3] = 0
    shown = dsncodec.decode(dsncodec.encode(image, lossless=True))
    np.testing.assert_array_equal(np.asarray(shown), image)


@pytest.mark.parametrize("mode", MODES)
def test_filling_changes_nothing_that_shows(mode: str) -> None:
    pixels = pixels_of(picture(mode, 31, 22)).copy()
    if mode.endswith("A"):
        pixels[5:9, :, -1] = 0
    for black in (False, True):
        out = filled(pixels, black)
        shows = pixels[..., -1] != 0 if mode.endswith("A") else np.ones(pixels.shape[:2], bool)
        np.testing.assert_array_equal(out[shows], pixels[shows])
        if mode.endswith("A"):
            assert len(np.unique(out[~shows], axis=0)) == 1
            np.testing.assert_array_equal(out[..., -1], pixels[..., -1])
    nothing = np.zeros((4, 5, 4), np.uint8) + np.array([9, 8, 7, 0], np.uint8)
    assert not filled(nothing).any() and visible(nothing) is None


def test_the_command_says_lossless(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.png"
    picture("RGBA", 40, 30).save(path)
    assert main(["encode", str(path), "--lossless"]) == 0
    assert "lossless" in capsys.readouterr().out
    assert dsncodec.read_info(tmp_path / "a.dsn").lossless
    assert Kept().names == ()
