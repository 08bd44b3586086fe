"""The method restored: base codecs, the encoder's choice, and networks as a reader runs them.

What a network is worth is measured in the bench. Here a smoother that anybody can compute stands in for one, and the
published networks, whichever they are, must do in tiles and regions what their files say.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFile
from PIL.AvifImagePlugin import AvifImageFile

import dsncodec
from dsncodec import carriers, container
from dsncodec.carriers import BACKENDS, BASE_CODECS, decode_base, encode_base
from dsncodec.carriers.lossless import jxl
from dsncodec.carriers.lossy import avif
from dsncodec.carriers.lossy import jxl as jxl_lossy
from dsncodec.container import Header
from dsncodec.errors import (
    CodestreamError,
    Corrupt,
    DsnError,
    MissingComponent,
    SettingError,
    UnsupportedVersion,
)
from dsncodec.methods.restored import codec as restored
from dsncodec.methods.restored.bitstream import NO_MODEL, UNIT_STRENGTH, Parameters, Parsed, base_shape, parse
from dsncodec.methods.restored.half_size import doubled, halved
from dsncodec.methods.sections import read_structure
from dsncodec.metrics import psnr_db
from dsncodec.networks import registry
from dsncodec.networks.inference import Tile
from dsncodec.networks.registry import Restoration
from dsncodec.planes import read_picture

from .conftest import MODES, UInt8Array, noise, packed_1, picture
from .test_doors import loaded_after

EVERY_BASE = pytest.mark.parametrize("base", BASE_CODECS)
# those of several corrections: test_restored_visual.py
EVERY_NETWORK = pytest.mark.parametrize(
    "row", [row for row in registry.restorations() if row.hypotheses == 1], ids=lambda row: str(row.name)
)
SHAPES = [
    (*size, planes) for planes in (1, 3) for size in [(1, 1), (1, 17), (17, 2), (35, 33)]
]  # the last: some pixels


def pixels_of(shape: tuple[int, int, int]) -> UInt8Array:
    return np.asarray(picture("L" if shape[2] == 1 else "RGB", shape[1], shape[0])).reshape(shape)


def photo(columns: int, rows: int) -> Image.Image:
    with Image.open(Path(__file__).parent / "photos" / "astronaut.webp") as image:
        return image.convert("RGB").crop((150, 20, 150 + columns, 20 + rows))


def array(image: Image.Image) -> UInt8Array:
    return np.asarray(image)


def squared_error(a: UInt8Array, b: UInt8Array) -> float:
    return float(np.square(a.astype(float) - b).mean())


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tagged(base: str, payload: bytes) -> bytes:
    return bytes([BASE_CODECS[base].wire_id]) + payload


def sections_of(data: bytes) -> tuple[Header, dict[str, bytes]]:
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    return header, dict(container.iter_payloads(stream, sections))


# --- base codecs


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
    assert jxl_lossy._frame(bits, *shape[:2]) == 2
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
        return dsncodec.read_info(dsncodec.encode(image, effort=0, quality=0)).backends["BASE"]

    assert used(Image.new("L", (2**15, 1))) == "avif"
    assert used(Image.new("L", (2**15 + 1, 1))) == "jpeg"
    assert used(Image.new("L", (65_501, 1))) == "jxl"
    with pytest.raises(SettingError, match=r"jxl holds at most 262144 .*use method dsn"):
        used(Image.new("L", (2**18 + 1, 1)))
    wide = replace(BASE_CODECS["avif"], max_pixels=100)
    assert wide.holds(np.zeros((10, 10, 3), np.uint8)) and not wide.holds(np.zeros((10, 11, 1), np.uint8))


# --- the encoder's choice


def smoothed(x: np.ndarray, quality: np.ndarray, rmse: np.ndarray) -> np.ndarray:
    """In a network's place: the mean of 3 x 3 pixels."""
    assert quality.shape == rmse.shape == (1, 1, 1) and x.dtype == quality.dtype == rmse.dtype == np.float32
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), "edge")
    rows, columns = x.shape[1:]
    parts = [padded[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return np.mean(parts, 0, dtype=np.float32)


def row_of(base: str, size: str = "fast", name: str = "smoother", scale: int = 1) -> Restoration:
    return Restoration(name, name.encode(), base, size, 4, 4, f"{name}.onnx", "", scale=scale)


Use = Callable[..., list[str]]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Put rows in the place of the published networks; gives the files that will be run, as they are run."""

    def put(*rows: Restoration) -> list[str]:
        run: list[str] = []

        def network(path: Path, threads: int) -> Callable[..., np.ndarray]:
            run.append(path.name)
            return smoothed

        monkeypatch.setattr(registry, "restorations", lambda: rows)
        monkeypatch.setattr(registry, "checked_file", lambda row: Path(row.file))
        monkeypatch.setattr(restored, "network", network)
        return run

    return put


def line_art(columns: int, rows: int) -> Image.Image:
    image = Image.new("RGB", (columns, rows), "white")
    draw = ImageDraw.Draw(image)
    for i in range(0, columns, 13):
        draw.line((i, 0, columns - i, rows), fill=(i % 256, 0, 90))
        draw.ellipse((i, i // 2, i + 30, i // 2 + 20), outline="black")
    return image


def ramp(columns: int, rows: int) -> Image.Image:
    """Smooth, so that smoothing takes a codec's blocks away and nothing else."""
    y, x = np.mgrid[:rows, :columns]
    planes = [128 + 100 * np.sin(x / 40 + k) * np.cos(y / 35) for k in range(3)]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8))


PICTURES: dict[str, Callable[[int, int], Image.Image]] = {
    "ramp": ramp,
    "synthetic": lambda columns, rows: picture("RGB", columns, rows),
    "noise": lambda columns, rows: Image.fromarray(np.stack([noise(rows, columns)] * 3, -1)),
    "flat": lambda columns, rows: Image.new("RGB", (columns, rows), (90, 120, 40)),
    "line art": line_art,
    "photo": photo,
}


def never_worse(image: Image.Image, **settings: Any) -> dsncodec.ImageInfo:
    data = dsncodec.encode(image, "restored", tune="psnr", threads=1, **settings)
    wanted, info = array(image), dsncodec.read_info(data)
    shown = array(dsncodec.decode(data, preview=True))
    base = squared_error(shown if info.scale == 1 else doubled(shown, wanted.shape), wanted)
    reached = squared_error(array(dsncodec.decode(data, threads=1)), wanted)
    assert reached <= base
    assert info.gain_db is not None and (info.gain_db > 0) == (info.strength != 0)
    if base:
        assert info.base_psnr_db == pytest.approx(10 * np.log10(255**2 / base), abs=0.126)
    return info


@EVERY_BASE
@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("size", [(61, 43), (300, 270)], ids=str)
def test_never_worse_than_the_base_codec(base: str, kind: str, size: tuple[int, int], use: Use) -> None:
    use(row_of(base))
    for quality in (8, 45, 90):
        info = never_worse(PICTURES[kind](*size), base=base, quality=quality, effort=4)
        if kind == "ramp" and quality == 8 and base == "jpeg":
            assert info.strength and info.strength > 0.5  # there is something to win


@pytest.mark.weights
@EVERY_BASE
@pytest.mark.parametrize("kind", PICTURES)
def test_the_published_networks_are_never_worse_either(base: str, kind: str) -> None:
    for quality in (10, 50, 90):
        never_worse(PICTURES[kind](150, 110), base=base, quality=quality)
        never_worse(PICTURES[kind](150, 110).convert("L"), base=base, quality=quality, effort=2)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(120, 90), (330, 300)], ids=str)
def test_the_gain_is_the_one_that_is_reached(mode: str, size: tuple[int, int], use: Use) -> None:
    use(row_of("jpeg"))
    image = ramp(*size).convert(mode)
    data = dsncodec.encode(image, base="jpeg", quality=8)
    base, reached = (psnr_db(array(image), array(dsncodec.decode(data, preview=r))) for r in (True, False))
    info = dsncodec.read_info(data)
    assert info.gain_db is not None and info.gain_db > 0.3
    assert reached - base == pytest.approx(info.gain_db, abs=0.05)


def test_no_other_strength_is_better(use: Use) -> None:
    use(row_of("jpeg"))
    image = ramp(200, 180)
    data = dsncodec.encode(image, base="jpeg", quality=8)
    header, sections = sections_of(data)
    chosen = Parameters.unpack(sections["PARM"])

    def error(strength: int) -> float:
        parameters = replace(chosen, strength=strength).pack()
        coded = container.pack(header, [("PARM", parameters), ("BASE", sections["BASE"])])
        return squared_error(array(dsncodec.decode(coded)), array(image))

    assert error(chosen.strength) <= 1.005 * min(error(chosen.strength + step) for step in range(-24, 25, 4))


# --- half the size


@EVERY_BASE
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (37, 26), (64, 33)])
def test_half_the_size(mode: str, size: tuple[int, int], base: str, use: Use) -> None:
    use(row_of(base, scale=2))
    image = picture(mode, *size)
    data = dsncodec.encode(image, "restored", tune="psnr", scale=2, base=base, base_quality=60, effort=0)
    dsncodec.verify(data)
    info, whole = dsncodec.read_info(data), dsncodec.decode(data)
    assert (info.scale, info.base_quality) == (2, 60)
    assert (whole.mode, whole.size) == (mode, size)
    small = dsncodec.decode(data, preview=True)
    assert (small.mode, small.size) == (mode, (-(-size[0] // 2), -(-size[1] // 2)))
    if mode.endswith("A"):
        assert whole.getchannel("A").tobytes() == image.getchannel("A").tobytes()
    if min(size) > 20:
        region = (3, 5, 20, 19)
        assert dsncodec.decode(data, region=region).tobytes() == whole.crop(region).tobytes()


def test_half_the_size_without_a_network_is_the_doubled_picture(use: Use) -> None:
    use()
    image = picture("RGB", 37, 26)
    data = dsncodec.encode(image, "restored", tune="psnr", scale=2, quality=80, effort=0)
    assert dsncodec.read_info(data).strength == 0
    small = array(dsncodec.decode(data, preview=True))
    np.testing.assert_array_equal(array(dsncodec.decode(data)), doubled(small, (26, 37, 3)))
    with Image.open(io.BytesIO(own_file(data))) as own:
        np.testing.assert_array_equal(array(own), small)


def test_half_the_size_reaches_targets() -> None:
    image = ramp(200, 150)
    data = dsncodec.encode(image, "restored", tune="psnr", scale=2, target_bytes=900, effort=0)
    assert dsncodec.read_info(data).scale == 2 and len(data) <= 900
    data = dsncodec.encode(image, "restored", tune="psnr", scale=2, target_psnr_db=32, effort=0)
    assert dsncodec.read_info(data).scale == 2
    assert psnr_db(array(image), array(dsncodec.decode(data))) >= 32


@pytest.mark.parametrize("scale", [0, 3, 1.5, "2"])
def test_other_scales_are_refused(scale: Any) -> None:
    with pytest.raises(SettingError, match="scale"):
        dsncodec.encode(picture("L", 5, 5), "restored", tune="psnr", scale=scale)


def test_at_low_rates_half_the_size_takes_its_place_where_it_serves_better(use: Use) -> None:
    """Smooth pictures need no more pixels; line art does, and high rates do."""
    use(row_of("avif", name="half", scale=2), row_of("avif"))
    for image, quality, scale in (
        (ramp(300, 200), 4, 2),
        (line_art(300, 200), 12, 1),
        (ramp(300, 200), 70, 1),
    ):
        data = dsncodec.encode(image, "restored", tune="psnr", quality=quality, threads=1)
        full = dsncodec.encode(image, "restored", tune="psnr", quality=quality, scale=1, threads=1)
        assert dsncodec.read_info(data).scale == scale
        assert dsncodec.read_info(full).scale == 1
        assert len(data) <= len(full)
        reached, plain = (squared_error(array(dsncodec.decode(one)), array(image)) for one in (data, full))
        assert reached <= plain
    quick = dsncodec.encode(ramp(300, 200), "restored", tune="psnr", quality=4, effort=3)
    assert dsncodec.read_info(quick).scale == 1
    own = dsncodec.encode(ramp(300, 200), "restored", tune="psnr", base_quality=4)
    assert dsncodec.read_info(own).scale == 1


def test_a_network_of_another_scale(use: Use) -> None:
    row = row_of("jpeg", scale=2)
    use(row)
    header, sections = parts("jpeg")
    data = packed(header, {**sections, "PARM": Parameters(40, 31.25, 64, 0.5, row.wire_id).pack()})
    for action in (dsncodec.decode, dsncodec.verify):
        with pytest.raises(Corrupt, match="scale 1"):
            action(data)


def test_at_the_highest_efforts_another_base_codec_may_win(use: Use) -> None:
    """It is told in the file, and is no larger."""
    use(row_of("avif"), row_of("jpeg", name="other"))
    image = picture("RGB", 90, 70)
    data = dsncodec.encode(image, "restored", tune="psnr", quality=97, effort=8)
    avif_only = dsncodec.encode(image, "restored", tune="psnr", quality=97, effort=8, base="avif")
    assert dsncodec.read_info(avif_only).backends["BASE"] == "avif"
    assert len(data) <= len(avif_only)
    reached, plain = (squared_error(array(dsncodec.decode(one)), array(image)) for one in (data, avif_only))
    assert reached <= plain


# --- a sample of the correction


def test_the_network_runs_once_over_a_picture_that_memory_holds(use: Use) -> None:
    run = use(row_of("jpeg"))
    image = ramp(700, 500)
    for effort in (0, 5, 6):
        run.clear()
        info = never_worse(image, base="jpeg", quality=8, effort=effort)
        assert len(run) == 6 + 6 and info.strength  # and once in the reader


def test_of_a_larger_picture_a_sample_is_enough_to_find_the_strength(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = use(row_of("jpeg"))
    image = ramp(700, 500)
    exact = never_worse(image, base="jpeg", quality=8)
    monkeypatch.setattr(restored, "MOST_KEPT_PIXELS", 700 * 500 - 1)
    run.clear()
    sampled = never_worse(image, base="jpeg", quality=8)
    assert len(run) == 4 + 6 + 6  # the sample, what a reader gets, and a reader
    assert sampled.strength == pytest.approx(exact.strength, rel=0.15)
    assert sampled.gain_db == pytest.approx(exact.gain_db, abs=0.05)


def test_where_a_sample_misleads_the_whole_picture_has_the_say(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of it ramp, which wants the correction; a part that no sample has seen is noise, which does not."""
    use(row_of("jpeg"))
    pixels = array(ramp(700, 500)).copy()
    pixels[:, 350:] = np.stack([noise(500, 350)] * 3, -1)
    image = Image.fromarray(pixels)
    exact = never_worse(image, base="jpeg", quality=60)
    monkeypatch.setattr(restored, "MOST_KEPT_PIXELS", 0)
    sample = restored.Encoder._sample

    def of_the_left(encoder: restored.Encoder, restorer: restored.Restorer) -> list[Tile]:
        blocks = list(restorer.blocks(restored.SAMPLE_BLOCK))
        return [tile for tile in blocks if tile.inner[1].stop <= 350] or sample(encoder, restorer)

    monkeypatch.setattr(restored.Encoder, "_sample", of_the_left)
    assert never_worse(image, base="jpeg", quality=60).strength == exact.strength


def test_the_largest_payload_that_fits() -> None:
    """In fewer tries than by halves, where sizes rise evenly."""

    class Sizes(restored.Encoder):
        def __init__(self, sizes: list[int]) -> None:
            self.sizes, self.asked = sizes, set[int]()

        def _size(self, way: restored.Way, quality: int) -> int:
            self.asked.add(quality)
            return self.sizes[quality]

    way, rng = restored.Way("avif", 2), np.random.default_rng(0)
    tries = []
    for _ in range(300):
        count = int(rng.integers(1, 40))
        steps = rng.uniform(0.0, rng.choice([0.02, 0.15, 0.6]), count)
        coder = Sizes([int(size) for size in 500 * np.exp(steps.cumsum())])
        limit = int(rng.integers(400, 6000))
        found = coder._largest_within(way, range(count), limit)
        fitting = [size for size in coder.sizes if size <= limit]
        tries.append(len(coder.asked))
        if not fitting:
            assert found is None
            continue
        assert found is not None
        assert fitting[-1] / restored.NEAR_ENOUGH <= coder.sizes[found] <= limit
    assert np.mean(tries) < 4.5


@pytest.mark.weights
def test_ranks_of_the_sample_cover_the_picture(use: Use) -> None:
    use(row_of("avif"))
    rng = np.random.default_rng(0)
    pixels = np.clip(128 + rng.normal(0, 1, (480, 960, 3)) * np.linspace(0, 60, 960)[:, None], 0, 255).astype(
        np.uint8
    )
    encoder = restored.Encoder(Header("restored", "RGB", 960, 480), pixels, 1, 5)
    flat = np.full_like(pixels, 128)
    restorer = restored.Restorer(row_of("avif"), flat, Parameters(50, 20.0, 0, 0.0, NO_MODEL), 1)
    columns = sorted(tile.inner[1].start for tile in encoder._sample(restorer))
    assert len(columns) == restored.SAMPLE_RANKS
    assert columns[0] < 240 and columns[-1] > 720


@EVERY_BASE
def test_nothing_is_run_where_there_is_nothing_to_win(base: str, use: Use) -> None:
    run = use(row_of(base))
    data = dsncodec.encode(PICTURES["noise"](40, 30), base=base, quality=90)
    assert run
    run.clear()
    info = dsncodec.read_info(data)
    assert (info.strength, info.gain_db, info.model, info.model_id) == (0, 0, "", "")
    assert len(sections_of(data)[1]["PARM"]) == 5
    assert dsncodec.decode(data).tobytes() == dsncodec.decode(data, preview=True).tobytes()
    assert not run


@EVERY_BASE
@pytest.mark.parametrize("mode", MODES)
def test_a_picture_without_a_network_loads_no_runtime(base: str, mode: str, use: Use, tmp_path: Path) -> None:
    use()
    path = tmp_path / "a.dsn"
    path.write_bytes(dsncodec.encode(picture(mode, 20, 15), "restored", tune="psnr", base=base, effort=0))
    assert dsncodec.read_info(path).strength == 0
    code = "import sys, dsncodec; dsncodec.decode(sys.argv[1], region=(3, 2, 17, 9))"
    assert not loaded_after(code, str(path)) & {"onnxruntime", "torch"}


def test_effort_chooses_the_network(use: Use) -> None:
    run = use(row_of("jpeg", "fast", "fast one"), row_of("jpeg", "best", "best one"))
    for effort in range(10):
        dsncodec.encode(ramp(40, 30), base="jpeg", quality=8, effort=effort)
        best = effort >= restored.BEST_FROM_EFFORT
        assert set(run) == {"best one.onnx" if best else "fast one.onnx"}
        run.clear()
    run = use(row_of("jpeg", "best", "best one"))
    dsncodec.encode(ramp(40, 30), base="jpeg", quality=8, effort=0)
    assert set(run) == {"best one.onnx"}
    run = use(replace(row_of("jpeg"), default=False), row_of("avif"))
    assert dsncodec.read_info(dsncodec.encode(ramp(40, 30), base="jpeg", quality=8)).strength == 0
    assert not run


@pytest.mark.parametrize("effort", [0, 4, 9])
def test_every_tile_counts(effort: int, use: Use) -> None:
    """Smooth in the first and the last tile, and what smoothing ruins in between."""
    use(row_of("jpeg"))
    mixed = array(ramp(256 * 5, 40)).copy()
    mixed[:, 256:1024] = noise(40, 768)[..., None]
    info = never_worse(Image.fromarray(mixed), base="jpeg", quality=60, effort=effort)
    assert info.strength is not None and info.strength < 0.2


def test_effort_buys_bytes() -> None:
    """The same quality in fewer bytes: libavif's slower speeds."""
    assert list(avif.SPEEDS) == sorted(avif.SPEEDS, reverse=True) and len(avif.SPEEDS) == 10
    colour = array(photo(256, 200))
    fast, slow = (encode_base(colour, 60, "avif", effort, 1) for effort in (0, 5))
    fast_db, slow_db = (psnr_db(colour, decode_base(coded, colour.shape)) for coded in (fast, slow))
    assert len(slow) < 0.98 * len(fast) and slow_db > fast_db - 0.1


@EVERY_BASE
def test_targets_count_the_restored_picture(base: str, use: Use) -> None:
    use(row_of(base))
    image = photo(120, 90) if base == "jxl" else ramp(120, 90)  # whose PSNR by libjxl does not always rise

    def reached(data: bytes, reduce: bool = False) -> float:
        return psnr_db(array(image), array(dsncodec.decode(data, preview=reduce)))

    def coded(**target: Any) -> bytes:
        return dsncodec.encode(image, base=base, tune="psnr", effort=4, **target)

    target_db = reached(coded(quality=30))
    found = coded(target_psnr_db=target_db)
    assert reached(found) >= target_db
    quality = dsncodec.read_info(found).base_quality
    assert quality is not None and quality <= BASE_CODECS[base].own_quality(30)
    assert quality == 0 or reached(coded(base_quality=quality - 1)) < target_db
    smallest = len(coded(quality=0))
    for target_bytes in (smallest, smallest + 200, 10**6):
        data = coded(target_bytes=target_bytes)
        assert len(data) <= target_bytes
    assert dsncodec.read_info(data).base_quality == 100
    assert dsncodec.read_info(coded(target_bpp=1.5)).bpp <= 1.5


# --- the published networks, as their files say


def forced(row: Restoration, image: Image.Image, strength: int = 80, quality: int = 40) -> bytes:
    """A file whose encoder has found this strength best, whatever that does to the picture."""
    read = read_picture(image)
    header = Header("restored", read.mode, image.width, image.height)
    colour = np.ascontiguousarray(read.pixels[..., : header.colour_planes])
    sections = [
        ("PARM", Parameters(quality, 31.25, strength, 0.5, row.wire_id, row.scale).pack()),
        ("BASE", encode_base(halved(colour) if row.scale == 2 else colour, quality, row.base, 2, 1)),
    ]
    if header.has_alpha:
        alpha = np.ascontiguousarray(read.pixels[None, ..., -1])
        sections.append(("ALPH", carriers.encode(alpha, 256, "lzma2", 0)))
    return container.pack(header, sections)


def own_file(data: bytes) -> bytes:
    """The base codec's file."""
    header, sections = sections_of(data)
    scale = Parameters.unpack(sections["PARM"]).scale
    return carriers.base_file(sections["BASE"], base_shape(header, scale))


def by_hand(data: bytes, run: Callable[[dict[int, np.ndarray]], np.ndarray], unit: int) -> UInt8Array:
    """The picture by docs/format.md, without the package's inference: the whole padded frame at once."""
    header, sections = sections_of(data)
    scale, quality, psnr, strength, _, _ = struct.unpack("<BBBBB4s", sections["PARM"])
    own = own_file(data)
    if own[:2] == b"\xff\x0a":
        opened = imagecodecs.jpegxl_decode(own)
    else:
        with Image.open(io.BytesIO(own)) as image:
            opened = array(image.convert("L" if header.colour_planes == 1 else "RGB"))
    shown = opened.reshape(*opened.shape[:2], -1)
    if scale == 2:
        shown = doubled(shown, (header.height, header.width, header.colour_planes))
    shown = shown.astype(np.float32)
    more = [(0, -side % unit) for side in shown.shape[:2]]
    colour = np.pad(shown, [*more, (0, 0)], "edge")
    x = np.repeat(colour, 3 // colour.shape[2], 2).transpose(2, 0, 1)[None] / np.float32(255)
    scalars = [np.full((1, 1, 1, 1), value, np.float32) for value in (quality / 100, 10 ** (-psnr / 80))]
    y = run({0: x, 1: scalars[0], 2: scalars[1]})
    correction = ((y - x)[0] * 255).transpose(1, 2, 0)
    if header.colour_planes == 1:
        correction = correction @ np.array([[0.299], [0.587], [0.114]], np.float32)
    values = shown + strength / 64 * correction[: header.height, : header.width]
    return np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)


@pytest.mark.weights
@EVERY_NETWORK
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_decode_is_what_the_file_says_in_numpy(row: Restoration, mode: str) -> None:
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    graph = ReferenceEvaluator(str(registry.checked_file(row)))
    data = forced(row, picture(mode, 23, 17), strength=255)
    expected = by_hand(
        data, lambda given: graph.run(None, dict(zip(graph.input_names, given.values())))[0], row.unit
    )
    found = array(dsncodec.decode(data, threads=1)).reshape(expected.shape)
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.weights
@EVERY_NETWORK
@pytest.mark.parametrize(
    ("mode", "size"), [("L", (301, 270)), ("RGB", (263, 257)), ("RGB", (1, 1)), ("L", (3, 520))]
)
def test_tiles_are_the_whole_frame(row: Restoration, mode: str, size: tuple[int, int]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(registry.checked_file(row)))
    names = [node.name for node in session.get_inputs()]
    image = photo(*size).convert(mode)
    data = forced(row, image, strength=255)
    expected = by_hand(data, lambda given: session.run(None, dict(zip(names, given.values())))[0], row.unit)
    found = array(dsncodec.decode(data)).reshape(expected.shape).astype(int)
    apart = np.abs(found - expected)
    assert apart.max() <= 1 and (apart > 0).mean() <= 0.001


@pytest.mark.weights
@EVERY_NETWORK
def test_the_halo_is_wide_enough(row: Restoration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Corrections themselves, which would show what rounding hides."""
    assert restored.TILE % row.unit == row.halo % row.unit == 0
    colour = array(photo(150, 131))
    restorer = restored.Restorer(row, colour, Parameters(40, 31.25, 64, 0.0, row.wire_id), 1)

    def correction() -> np.ndarray:
        out = np.full(colour.shape, np.nan, np.float32)
        for tile in restorer.tiles((slice(0, 131), slice(0, 150))):
            out[tile.inner] = restorer.corrections(tile)[0]
        return out

    whole = correction()
    monkeypatch.setattr(restored, "TILE", 8 * row.unit)
    np.testing.assert_allclose(correction(), whole, atol=2e-3)


@pytest.mark.weights
@EVERY_NETWORK
@pytest.mark.parametrize("mode", ["LA", "RGB"])
def test_a_region_is_a_crop_at_awkward_places(
    row: Restoration, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restored, "TILE", 64)
    data = forced(row, photo(151, 133).convert(mode), strength=200)
    full = dsncodec.decode(data, threads=1)
    for region in (
        (0, 0, 1, 1),
        (150, 132, 151, 133),
        (63, 63, 65, 65),
        (64, 64, 128, 128),
        (1, 3, 150, 130),
        (0, 131, 151, 133),
        (127, 0, 129, 133),
        (5, 7, 6, 8),
        (0, 0, 151, 133),
    ):
        assert dsncodec.decode(data, region=region, threads=1).tobytes() == full.crop(region).tobytes()


@pytest.mark.weights
@EVERY_NETWORK
@pytest.mark.parametrize("mode", MODES)
def test_grey_stays_one_plane_and_alpha_is_exact(row: Restoration, mode: str) -> None:
    image = picture(mode, 37, 22)
    data = forced(row, image)
    decoded, shown = dsncodec.decode(data), dsncodec.decode(data, preview=True)
    assert decoded.mode == shown.mode == mode
    if mode.endswith("A"):
        for answer in (decoded, shown) if row.scale == 1 else (decoded,):
            assert answer.getchannel("A").tobytes() == image.getchannel("A").tobytes()
        window = dsncodec.decode(data, region=(5, 4, 20, 19))
        assert window.getchannel("A").tobytes() == image.getchannel("A").crop((5, 4, 20, 19)).tobytes()


@pytest.mark.weights
@EVERY_NETWORK
def test_threads_change_no_pixel_beyond_rounding(row: Restoration) -> None:
    data = forced(row, photo(120, 90))
    one, two = (array(dsncodec.decode(data, threads=threads)).astype(int) for threads in (1, 2))
    assert np.abs(one - two).max() <= 1


@pytest.mark.weights
@EVERY_NETWORK
def test_what_a_file_says_of_itself(row: Restoration) -> None:
    data = forced(row, picture("RGBA", 20, 10), strength=80, quality=40)
    info = dsncodec.read_info(data)
    assert (info.method, info.scale, info.levels, info.chroma_levels) == ("restored", row.scale, None, None)
    assert (info.base_quality, info.base_psnr_db, info.strength, info.gain_db) == (40, 31.25, 1.25, 0.5)
    assert (info.model, info.model_id) == (row.name, row.wire_id[:4].hex())
    assert info.backends == {"BASE": row.base, "ALPH": "lzma2"}
    assert list(info.sections) == ["PARM", "BASE", "ALPH"]
    dsncodec.verify(data)


# --- what a file may not say


def parts(base: str = "jpeg", mode: str = "RGBA") -> tuple[Header, dict[str, bytes]]:
    return sections_of(
        dsncodec.encode(picture(mode, 9, 8), "restored", tune="psnr", base=base, quality=40, effort=0)
    )


def packed(header: Header, sections: dict[str, bytes]) -> bytes:
    return container.pack(header, list(sections.items()))


PARM = Parameters(40, 31.25, 64, 0.5, b"abcd").pack()
PARM_1 = PARM + b"efgh"  # as container version 1 has it


def test_parameters_survive() -> None:
    assert len(PARM) == 9
    assert Parameters.unpack(PARM) == Parameters(40, 31.25, 64, 0.5, b"abcd")
    assert Parameters.unpack(PARM_1) == Parameters(40, 31.25, 64, 0.5, b"abcdefgh")
    assert Parameters(40, 31.25, 64, 0.5, b"abcdefgh").pack() == PARM
    extremes = Parameters(100, 1e9, 255, 1e9, b"\xff" * 8).rounded()
    assert (extremes.psnr_db, extremes.gain_db) == (63.75, 255 * 0.02)
    assert Parameters(0, -3.0, 0, -3.0, NO_MODEL).rounded() == Parameters(0, 0.0, 0, 0.0, NO_MODEL)
    assert UNIT_STRENGTH == 64


@pytest.mark.parametrize(
    "parameters",
    [
        b"",
        PARM[:-1],
        PARM + b"\0",
        b"\0" + PARM[1:],
        b"\3" + PARM[1:],
        PARM[:1] + b"\x65" + PARM[2:],
        PARM[:1] + b"\xff" + PARM[2:],
        PARM[:-4] + bytes(4),
        PARM[:-4],
        PARM_1[:-8] + bytes(8),
    ],
    ids=repr,
)
def test_impossible_parameters(parameters: bytes) -> None:
    header, sections = parts()
    data = packed(header, {**sections, "PARM": parameters})
    for action in (
        dsncodec.decode,
        dsncodec.read_info,
        dsncodec.verify,
        lambda d: dsncodec.decode(d, preview=True),
    ):
        with pytest.raises(Corrupt) as caught:
            action(data)
        assert caught.value.field == "PARM"


@pytest.mark.parametrize("tag", ["PARM", "BASE", "ALPH"])
def test_a_missing_section_is_named(tag: str) -> None:
    header, sections = parts()
    del sections[tag]
    for action in (dsncodec.decode, dsncodec.verify):
        with pytest.raises(Corrupt, match="missing") as caught:
            action(packed_1(header, list(sections.items())))
        assert caught.value.field == tag


def test_sections_of_the_other_method_are_refused() -> None:
    header, sections = parts()
    with pytest.raises(UnsupportedVersion, match="critical"):
        dsncodec.verify(packed(header, {**sections, "LUMA": sections["ALPH"]}))


def test_an_unknown_network_is_named_and_the_base_picture_still_shows() -> None:
    header, sections = parts()
    expected = dsncodec.decode(packed(header, sections), preview=True).tobytes()
    data = packed(header, {**sections, "PARM": PARM})
    for action in (dsncodec.decode, dsncodec.verify):
        with pytest.raises(UnsupportedVersion, match=b"abcd".hex()) as caught:
            action(data)
        assert caught.value.field == "model"
    assert dsncodec.decode(data, preview=True).tobytes() == expected
    info = dsncodec.read_info(data)
    assert (info.model, info.model_id) == ("unknown", b"abcd".hex())


def test_a_network_of_another_base_codec(use: Use) -> None:
    row = row_of("avif")
    use(row)
    header, sections = parts("jpeg")
    data = packed(header, {**sections, "PARM": Parameters(40, 31.25, 64, 0.5, row.wire_id).pack()})
    for action in (dsncodec.decode, dsncodec.verify):
        with pytest.raises(Corrupt, match="network smoother is not for base codec jpeg"):
            action(data)
    assert dsncodec.decode(data, preview=True).size == (9, 8)


def test_unknown_codecs_in_a_file() -> None:
    header, sections = parts()
    for tag in ("BASE", "ALPH"):
        data = packed(header, {**sections, tag: b"\x63" + sections[tag][1:]})
        for action in (dsncodec.decode, dsncodec.verify, dsncodec.read_info):
            with pytest.raises(UnsupportedVersion, match="99"):
                action(data)


@EVERY_BASE
def test_a_layer_of_another_size_is_refused(base: str) -> None:
    _, sections = parts(base)
    for other in (Header("restored", "RGBA", 9, 80), Header("restored", "RGB", 8, 9)):
        with pytest.raises(Corrupt):
            parse(other, sections)
    grey_header = Header("restored", "L", 9, 8)  # colour where grey is due
    if base in ("jxl", "j2k"):
        with pytest.raises(Corrupt):
            parse(grey_header, sections)
    else:  # one plane of it
        grey = parse(grey_header, sections)
        assert isinstance(grey, Parsed) and grey.preview().shape == (8, 9, 1)


# --- settings


@pytest.mark.parametrize("setting", [{"levels": 64}, {"chroma_levels": 16}])
def test_settings_of_the_other_method_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(SettingError, match="levels: of method dsn, not restored"):
        dsncodec.encode(picture("L", 5, 5), "restored", tune="psnr", **setting)


def test_unknown_backends_are_told_what_there_is() -> None:
    with pytest.raises(SettingError, match=r"one of auto, avif, jpeg, jxl, j2k$"):
        dsncodec.encode(picture("L", 5, 5), "restored", tune="psnr", base="webp")
    with pytest.raises(SettingError, match=r"entropy_coder 'zip'; one of auto, lzma2, .*webp"):
        dsncodec.encode(picture("L", 5, 5), entropy_coder="zip")


def test_effort_holds_for_the_base_codec_and_alpha(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for name, at in (("encode", 3), ("encode_base", 3)):
        original = getattr(carriers, name)
        monkeypatch.setattr(carriers, name, lambda *a, f=original, at=at: (asked.append(a[at]), f(*a))[1])
    dsncodec.encode(picture("RGBA", 12, 9), "restored", tune="psnr", effort=2)
    assert asked == [2, 2]


def test_without_avif_in_pillow_a_jpeg_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    load = carriers.load_base

    def absent(name: str) -> object:
        if name == "avif":
            raise MissingComponent("Pillow is built without libavif")
        return load(name)

    monkeypatch.setattr(carriers, "load_base", absent)
    assert dsncodec.read_info(dsncodec.encode(picture("RGB", 20, 10))).backends["BASE"] == "jpeg"
    with pytest.raises(MissingComponent, match="libavif"):
        dsncodec.encode(picture("RGB", 20, 10), base="avif")


def test_an_avif_that_could_not_be_read_back_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(payload: bytes) -> tuple[int, int]:
        raise Corrupt("boxes of another age")

    monkeypatch.setattr("dsncodec.carriers.lossy.avif.size_of", refuse)
    with pytest.raises(DsnError, match=r"boxes of another age\): use base='jpeg'"):
        dsncodec.encode(picture("RGB", 20, 10))
