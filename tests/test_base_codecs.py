"""Base codecs: what they write comes back, and what others wrote is refused before it is decoded."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFile
from PIL.AvifImagePlugin import AvifImageFile

import dsncodec
from dsncodec import carriers
from dsncodec.carriers import BACKENDS, BASE_CODECS, decode_base, encode_base
from dsncodec.carriers.lossless import jxl
from dsncodec.carriers.lossy import avif
from dsncodec.carriers.lossy import jxl as jxl_lossy
from dsncodec.errors import (
    CodestreamError,
    Corrupt,
    DsnError,
    MissingComponent,
    SettingError,
    UnsupportedVersion,
)
from dsncodec.metrics import psnr_db
from dsncodec.networks import registry

from .conftest import UInt8Array, noise, picture
from .restored import EVERY_BASE, array, own_file, photo

SHAPES = [
    (*size, planes) for planes in (1, 3) for size in [(1, 1), (1, 17), (17, 2), (35, 33)]
]  # the last: some pixels


def pixels_of(shape: tuple[int, int, int]) -> UInt8Array:
    return np.asarray(picture("L" if shape[2] == 1 else "RGB", shape[1], shape[0])).reshape(shape)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tagged(base: str, payload: bytes) -> bytes:
    return bytes([BASE_CODECS[base].wire_id]) + payload


def test_wire_ids_are_the_published_ones() -> None:
    known = {"avif": (16, 20, 23), "jpeg": (17, 21, None), "jxl": (18, None, None), "j2k": (19, 22, None)}
    numbers = {name: (row.wire_id, row.short_id, row.deep_short_id) for name, row in BASE_CODECS.items()}
    assert numbers == known
    taken = [row.wire_id for row in BACKENDS.values()]
    taken += [number for row in numbers.values() for number in row if number is not None]
    assert len(set(taken)) == len(taken)


def test_four_bytes_name_a_network() -> None:
    assert len({row.wire_id[:4] for row in registry.restorations()}) == len(registry.restorations())


@pytest.mark.parametrize("base", [name for name, row in BASE_CODECS.items() if row.short_id is not None])
@pytest.mark.parametrize("quality", [1, 40, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_short_form_is_the_codecs_file_byte_for_byte(
    base: str, quality: int, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    colour = pixels_of(shape)
    file = carriers.load_base(base).encode(colour, quality, 5, 1)
    payload = encode_base(colour, quality, base, 5, 1)
    assert len(payload) <= len(file) + 1
    if shape == SHAPES[-1]:
        assert payload[0] == BASE_CODECS[base].short_id and len(payload) < len(file)
    assert carriers.base_file(payload, shape) == file
    assert carriers.base_file(bytes([BASE_CODECS[base].wire_id]) + file, shape) == file
    monkeypatch.setattr(carriers.load_base(base), "restore_container", lambda short, shape: file + b"?")
    whole = encode_base(colour, quality, base, 5, 1)  # a library of another age: the file as it is
    assert whole == bytes([BASE_CODECS[base].wire_id]) + file
    monkeypatch.undo()
    np.testing.assert_array_equal(decode_base(whole, shape), decode_base(payload, shape))


def test_without_libjxl_a_jpeg_is_held_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = pixels_of((33, 29, 3))
    payload = encode_base(colour, 50, "jpeg", 5, 1)
    monkeypatch.setattr(imagecodecs.JPEGXL, "available", False)
    assert encode_base(colour, 50, "jpeg", 5, 1)[1:3] == b"\xff\xd8"
    with pytest.raises(MissingComponent, match="libjxl"):
        decode_base(payload, colour.shape)


@pytest.mark.parametrize("base", [name for name, row in BASE_CODECS.items() if row.short_id is not None])
def test_a_short_form_of_another_size(base: str) -> None:
    payload = encode_base(pixels_of((33, 29, 3)), 50, base, 5, 1)
    for shape in ((33, 30, 3), (29, 33, 3)):
        with pytest.raises(Corrupt):
            decode_base(payload, shape)


@pytest.mark.parametrize("base", [name for name, row in BASE_CODECS.items() if row.short_id is not None])
@given(junk=st.binary(max_size=80), cut=st.integers(0, 400))
def test_junk_as_a_short_form(base: str, junk: bytes, cut: int) -> None:
    payload = encode_base(pixels_of((8, 9, 3)), 50, base, 0, 1)
    for data in (payload[:1] + junk, payload[:cut] + junk):
        if data[:1] == payload[:1] and data != payload:
            with contextlib.suppress(CodestreamError):
                decode_base(data, (8, 9, 3))


@EVERY_BASE
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_comes_back(base: str, shape: tuple[int, int, int]) -> None:
    colour = pixels_of(shape)
    for quality in (0, 50, 100):
        payload = encode_base(colour, quality, base, 0, 1)
        assert carriers.base_name(payload) == base
        decoded = decode_base(payload, shape)
        assert decoded.shape == shape and decoded.dtype == np.uint8 and decoded.flags.c_contiguous
    assert psnr_db(colour, decoded) > (40 if shape[2] == 1 else 18)  # chroma may be halved


@EVERY_BASE
@pytest.mark.parametrize(
    "other", [(29, 32, 3), (28, 33, 3), (33, 29, 3), (1, 1, 3), (29, 34, 1), (290, 330, 3)]
)
def test_another_size_is_refused_before_it_is_decoded(
    base: str, other: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = encode_base(pixels_of((29, 33, 3)), 50, base, 0, 1)
    for kind in (ImageFile.ImageFile, AvifImageFile):
        monkeypatch.setattr(kind, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(Corrupt, match="the payload says") as caught:
        decode_base(payload, other)
    assert caught.value.field == base


def test_an_avif_frame_of_another_size_than_the_one_shown() -> None:
    """Whatever the file says to a reader, libavif makes room for the coded frame."""
    large = tagged("avif", avif.encode(np.zeros((512, 512, 3), np.uint8), 10, 0, 1))
    at = large.index(b"ispe") + 8
    forged = large[:at] + struct.pack(">II", 17, 13) + large[at + 8 :]
    with Image.open(io.BytesIO(forged[1:])) as image:
        assert image.size == (17, 13)
    for shape in ((13, 17, 3), (512, 512, 3)):
        with pytest.raises(Corrupt, match="the payload says"):
            decode_base(forged, shape)


def test_only_one_still_picture_is_an_avif_payload() -> None:
    still, second = picture("RGB", 16, 16), picture("RGB", 16, 16, seed=1)
    film = saved(still, "AVIF", save_all=True, append_images=[second])
    with_alpha = saved(picture("RGBA", 16, 16), "AVIF")
    for payload in (film, with_alpha):
        with pytest.raises(Corrupt):
            decode_base(tagged("avif", payload), (16, 16, 3))
    plain = saved(still, "AVIF")
    assert decode_base(tagged("avif", plain), (16, 16, 3)).shape == (16, 16, 3)
    for change in (
        plain + struct.pack(">I4s", 8, b"moov"),
        plain + struct.pack(">I4s", 0, b"free"),
        plain.replace(b"av01Color", b"gridColor"),
        plain.replace(b"iloc", b"ilok"),
    ):
        with pytest.raises(Corrupt):
            decode_base(tagged("avif", change), (16, 16, 3))


@EVERY_BASE
def test_every_truncation_is_refused(base: str) -> None:
    payload = encode_base(pixels_of((13, 17, 3)), 50, base, 0, 1)
    for length in range(len(payload)):
        with pytest.raises(CodestreamError):
            decode_base(payload[:length], (13, 17, 3))


@EVERY_BASE
@pytest.mark.parametrize(
    "junk", [b"\0" * 200, b"\xff" * 50, bytes(noise(1, 500)), saved(Image.new("L", (17, 13)), "PNG")]
)
def test_junk_is_refused(base: str, junk: bytes) -> None:
    for payload in (junk, encode_base(pixels_of((13, 17, 3)), 50, base, 0, 1)[1:90] + junk):
        try:
            decoded = decode_base(tagged(base, payload), (13, 17, 3))
        except CodestreamError:
            continue
        assert base == "jxl" and payload != junk  # behind whole headers, any bits are a picture
        assert decoded.shape == (13, 17, 3)


def refused(base: str, payload: bytes, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> str:
    """The reason, and that the library was not asked."""
    for name in ("jpegxl_decode", "jpeg2k_decode"):
        monkeypatch.setattr(imagecodecs, name, lambda *args, **options: pytest.fail("decoded"))
    with pytest.raises(Corrupt) as caught:
        decode_base(tagged(base, payload), shape)
    assert caught.value.field == base
    return str(caught.value)


def jxl_of(pixels: UInt8Array, **options: Any) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(pixels, **{"distance": 3, "usecontainer": False, **options}))


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        ((16, 24, 4), {}),
        ((16, 24, 2), {}),
        ((5, 16, 24, 3), {}),
        ((16, 24, 3), {"lossless": True}),
        ((16, 24), {"lossless": True}),
        ((16, 24, 3), {"usecontainer": True}),
        ((5, 16, 24), {"photometric": "gray"}),
        ((16, 24, 5), {}),
    ],
    ids=str,
)
def test_only_one_plain_picture_is_a_jxl_payload(
    pixels: tuple[int, ...], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alpha, further channels and frames, profiles of other kinds of picture: none of them is decoded."""
    other = jxl_of(np.random.default_rng(2).integers(0, 256, pixels, np.uint8), **options)
    for planes in (1, 3):
        refused("jxl", other, (16, 24, planes), monkeypatch)


def test_sixteen_bits_are_no_jxl_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    refused("jxl", jxl_of(np.zeros((16, 24, 3), np.uint16)), (16, 24, 3), monkeypatch)


def text(columns: int, rows: int) -> UInt8Array:
    """The same letters again and again: libjxl stores each once, in a frame before that of the picture."""
    image = Image.new("RGB", (columns, rows), "white")
    for y in range(4, rows, 16):
        ImageDraw.Draw(image).text((5, y), "all work and no play makes a dull picture " * 3, fill="black")
    return array(image)


def written(payload: bytes, at: int, width: int, value: int) -> bytes:
    """Bits of a codestream, from the lowest of each byte up, replaced by a number."""
    bits = int.from_bytes(payload, "little")
    return (bits & ~(((1 << width) - 1) << at) | value << at).to_bytes(len(payload), "little")


def test_frames_of_a_jxl_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in front of the picture is no larger than it, is not shown, and is only one frame."""
    shape = (160, 300, 3)
    payload = encode_base(text(300, 160), 60, "jxl", 5, 1)[1:]
    assert decode_base(tagged("jxl", payload), shape).shape == shape
    bits = jxl.Bits(payload)
    jxl.read_size(bits)
    frame = -(-(bits.at + 2) // 8) * 8
    bits.at = frame
    # not all by default, reference-only, modular, no flags, not enlarged, groups of 512, a size of its own
    assert [bits.take(n) for n in (1, 2, 1, 2, 2, 2, 1)] == [0, 2, 1, 0, 0, 2, 1]
    columns, _ = bits.one_of(8, 11, 14, 30)
    huge = written(payload, frame + 11, 32, 3 | 2**29 << 2)
    assert columns < 3 and "a frame that" in refused("jxl", huge, shape, monkeypatch)
    for at, width, value in ((1, 2, 0), (1, 2, 1), (1, 2, 3), (3, 1, 0), (4, 2, 3)):
        refused("jxl", written(payload, frame + at, width, value), shape, monkeypatch)
    # the same frame twice
    bits = jxl.Bits(payload)
    bits.at = frame
    assert jxl_lossy._frame(bits, *shape[:2], patched=False) == 2
    first = payload[frame // 8 : bits.at // 8]
    twice = payload[: frame // 8] + first + payload[frame // 8 :]
    assert "more than one frame before" in refused("jxl", twice, shape, monkeypatch)


def test_a_lying_size_of_a_jxl_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = jxl_of(np.zeros((16, 24, 3), np.uint8))
    lying = written(payload, 16, 6, 31 << 1 | 1)  # eighths of the height, less 1; the width is 3/2 of it
    assert "the payload says (256, 384, 3)" in refused("jxl", lying, (16, 24, 3), monkeypatch)


def test_large_and_thin_pictures_by_jxl() -> None:
    """Beyond 2048 pixels libjxl writes the parts of a frame in another order."""
    for shape in ((9, 2100, 3), (2500, 3, 1)):
        colour = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
        for effort in (0, 5):
            assert decode_base(encode_base(colour, 100, "jxl", effort, 1), shape).shape == shape


def segment(payload: bytes, marker: bytes) -> int:
    """Where a marker segment of a JPEG 2000 codestream begins."""
    return payload.index(marker, 2)


@pytest.mark.parametrize(
    ("marker", "at", "new"),
    [
        (b"\xff\x51", 16, struct.pack(">I", 1)),  # an offset
        (b"\xff\x51", 22, struct.pack(">II", 16, 16)),  # tiles of 16 x 16
        (b"\xff\x51", 40, b"\x0f"),  # 16 bits
        (b"\xff\x51", 41, b"\2"),  # every second column
        (b"\xff\x51", 38, b"\0\4"),  # four components
        (b"\xff\x52", 4, b"\1"),  # precincts of its own
        (b"\xff\x52", 6, b"\xff\xff"),  # 65535 layers
        (b"\xff\x52", 9, b"\x20"),  # 32 decompositions
        (b"\xff\x52", 10, b"\0\0"),  # blocks of 4 x 4
        (b"\xff\x52", 12, b"\1"),  # another way to code blocks
        (b"\xff\x52", 13, b"\1"),  # 5/3
        (b"\xff\x64", 0, b"\xff\x52"),  # a second COD, where the comment is
        (b"\xff\x64", 0, b"\xff\x5f"),  # a change of progression
        (b"\xff\x90", 4, b"\0\1"),  # the second tile
        (b"\xff\x90", 6, struct.pack(">I", 20)),  # a part of a tile
        (b"\xff\x90", 11, b"\2"),  # of two
        (b"\xff\x93", 0, b"\xff\x52"),  # a segment in the tile's header
    ],
    ids=repr,
)
def test_headers_of_a_j2k_payload(
    marker: bytes, at: int, new: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever could ask for more room than the picture needs is refused before OpenJPEG sees it."""
    payload = encode_base(pixels_of((29, 33, 3)), 50, "j2k", 0, 1)[1:]
    start = segment(payload, marker) + at
    refused("j2k", payload[:start] + new + payload[start + len(new) :], (29, 33, 3), monkeypatch)


def test_a_j2k_payload_of_other_components_or_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    grey, colour = (encode_base(pixels_of((29, 33, planes)), 50, "j2k", 0, 1)[1:] for planes in (1, 3))
    boxed, reversible = (saved(photo(40, 50), "JPEG2000", no_jp2=plain) for plain in (False, True))
    tiles = saved(photo(40, 50), "JPEG2000", no_jp2=True, irreversible=True, mct=1, tile_size=(32, 32))
    for payload, shape in (
        (grey, (29, 33, 3)),
        (colour, (29, 33, 1)),
        (boxed, (50, 40, 3)),
        (reversible, (50, 40, 3)),
        (tiles, (50, 40, 3)),
    ):
        refused("j2k", payload, shape, monkeypatch)


@pytest.mark.parametrize("base", ["jxl", "j2k"])
@pytest.mark.parametrize("planes", [1, 3])
def test_every_quality_comes_back(base: str, planes: int) -> None:
    colour = pixels_of((19, 23, planes))
    for quality in range(101):
        assert decode_base(encode_base(colour, quality, base, 5, 1), colour.shape).shape == colour.shape


@pytest.mark.parametrize("base", ["jxl", "j2k"])
def test_every_effort_comes_back(base: str) -> None:
    colour = array(photo(70, 50))
    sizes = [len(encode_base(colour, 50, base, effort, 1)) for effort in range(10)]
    for effort in range(10):
        assert decode_base(encode_base(colour, 50, base, effort, 1), colour.shape).shape == colour.shape
    assert sizes[5:] == sizes[5:6] * 5


@pytest.mark.parametrize("base", ["jxl", "j2k"])
def test_what_could_not_be_read_back_is_not_written(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(payload: bytes, components: int = 3) -> tuple[int, ...]:
        raise Corrupt("headers of another age")

    monkeypatch.setattr(f"dsncodec.carriers.lossy.{base}.{'shape_of' if base == 'jxl' else '_check'}", refuse)
    with pytest.raises(DsnError, match=r"headers of another age.*use base='avif'"):
        dsncodec.encode(picture("RGB", 20, 10), base=base, tune="psnr")


def test_they_write_what_the_networks_have_learnt_from() -> None:
    """The same packets as in the files that any program makes with these settings."""
    colour = array(photo(96, 80))
    for quality, distance in ((5, 53 / 3000 * 25 - 23 / 4 + 25), (30, 6.4), (90, 1.0)):
        known = imagecodecs.jpegxl_encode(colour, distance=distance, effort=7, usecontainer=False)
        assert encode_base(colour, quality, "jxl", 5, 1)[1:] == known
    options = {"irreversible": True, "mct": 1, "quality_mode": "dB", "quality_layers": [35.0]}
    boxed = saved(Image.fromarray(colour), "JPEG2000", **options)
    assert boxed.endswith(carriers.load_base("j2k").encode(colour, 50, 5, 1))


def test_a_codec_of_another_release() -> None:
    with pytest.raises(UnsupportedVersion, match="unknown base codec 99"):
        decode_base(b"\x63junk", (1, 1, 3))
    with pytest.raises(Corrupt, match="empty"):
        decode_base(b"", (1, 1, 3))
    with pytest.raises(SettingError, match=r"'zip'; one of auto, avif, jpeg, jxl, j2k"):
        carriers.load_base("zip")


@EVERY_BASE
def test_bytes_do_not_depend_on_threads(base: str) -> None:
    colour = array(photo(340, 340))
    once, again, two = (encode_base(colour, 60, base, 5, threads) for threads in (1, 1, 2))
    assert once == again == two


@EVERY_BASE
def test_bytes_and_psnr_rise_with_quality(base: str) -> None:
    colour = array(photo(160, 120))
    payloads = [encode_base(colour, quality, base, 2, 1) for quality in range(0, 101, 10)]
    psnr = [psnr_db(colour, decode_base(payload, colour.shape)) for payload in payloads]
    assert all(len(a) < len(b) for a, b in zip(payloads, payloads[1:]))
    assert all(a < b for a, b in zip(psnr, psnr[1:]))


@EVERY_BASE
def test_every_quality_of_the_row_writes_another_file(base: str) -> None:
    colour = array(photo(48, 40) if base != "j2k" else photo(300, 260))  # by PSNR: a small one has few steps
    row = BASE_CODECS[base]
    files = {quality: encode_base(colour, quality, base, 0, 1) for quality in range(101)}
    different, by_chance = len(set(files.values())), 2 if base == "j2k" else 0
    assert len({files[quality] for quality in row.qualities}) == different >= len(row.qualities) - by_chance
    chosen = [row.own_quality(quality) for quality in range(101)]
    assert chosen == sorted(chosen) and set(chosen) <= set(row.qualities)
    assert (chosen[0], chosen[-1]) == (row.qualities[0], row.qualities[-1]) and chosen[-1] == 100


@EVERY_BASE
def test_noise_is_not_too_much(base: str) -> None:
    colour = np.random.default_rng(5).integers(0, 256, (200, 300, 3), np.uint8)
    for quality in (90, 100):
        assert decode_base(encode_base(colour, quality, base, 0, 1), colour.shape).shape == colour.shape


OTHERS: dict[str, Callable[[bytes], UInt8Array]] = {
    "avif": imagecodecs.avif_decode,
    "jpeg": imagecodecs.jpeg8_decode,
    "jxl": imagecodecs.jpegxl_decode,
    "j2k": imagecodecs.jpeg2k_decode,
}


@EVERY_BASE
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_payload_is_an_ordinary_file(base: str, mode: str) -> None:
    """Other programs see in it what is shown without a network."""
    data = dsncodec.encode(picture(mode, 37, 26), base=base, tune="psnr", quality=60, effort=0)
    own = own_file(data)
    shown = array(dsncodec.decode(data, preview=True))
    if base != "jxl":  # which Pillow does not know
        with Image.open(io.BytesIO(own)) as image:
            assert (image.format, image.size) == ("JPEG2000" if base == "j2k" else base.upper(), (37, 26))
            np.testing.assert_array_equal(array(image.convert(mode)), shown)
    opened = OTHERS[base](own)
    np.testing.assert_array_equal(opened[..., 0] if mode == "L" and opened.ndim == 3 else opened, shown)


@EVERY_BASE
def test_grey_in_colour_stays_neutral(base: str) -> None:
    grey = array(picture("L", 40, 30).convert("RGB"))
    for quality in (5, 50, 95):
        decoded = decode_base(encode_base(grey, quality, base, 0, 1), grey.shape).astype(int)
        assert np.ptp(decoded, axis=2).max() <= 2


@EVERY_BASE
def test_pillows_own_limit_does_not_count(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours is met in the header; theirs would be a warning, or refuse what a caller has allowed."""
    payload = encode_base(pixels_of((29, 33, 3)), 50, base, 0, 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode_base(payload, (29, 33, 3)).shape == (29, 33, 3)


@EVERY_BASE
def test_the_largest_side(base: str) -> None:
    longest = BASE_CODECS[base].max_side
    for shape in ((1, longest, 3), (longest, 1, 1)):
        flat = np.full(shape, 90, np.uint8)
        assert decode_base(encode_base(flat, 0, base, 0, 1), shape).shape == shape
    with pytest.raises(SettingError, match=rf"{base} holds at most {longest} pixels each way.*method dsn"):
        dsncodec.encode(Image.new("L", (longest + 1, 1)), base=base, effort=0)


def test_auto_takes_the_first_that_holds_the_picture() -> None:
    def used(image: Image.Image) -> str:
        data = dsncodec.encode(image, "restored", effort=0, base_quality=0)
        return dsncodec.read_info(data).backends["BASE"]

    assert used(Image.new("L", (2**15, 1))) == "avif"
    assert used(Image.new("L", (2**15 + 1, 1))) == "jpeg"
    assert used(Image.new("L", (65_501, 1))) == "jxl"
    with pytest.raises(SettingError, match=r"jxl holds at most 262144 .*use method dsn"):
        used(Image.new("L", (2**18 + 1, 1)))
    wide = replace(BASE_CODECS["avif"], max_pixels=100)
    assert wide.holds(np.zeros((10, 10, 3), np.uint8)) and not wide.holds(np.zeros((10, 11, 1), np.uint8))
