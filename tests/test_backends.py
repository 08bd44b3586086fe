"""One contract for every row of BACKENDS, and what only outside decoders can tell."""

from __future__ import annotations

import io
import lzma
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import py7zr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from dsncodec import carriers
from dsncodec.carriers import BACKENDS, Backend, UInt8Array, backend_name, decode, encode
from dsncodec.carriers.lossless import jxl, sevenzip
from dsncodec.errors import CodestreamError, Corrupt, MissingComponent, SettingError, UnsupportedVersion

from .conftest import PATTERNS, flat, gradient, noise

SHAPES = [(1, 1, 1), (1, 1, 17), (1, 33, 1), (2, 1, 1), (2, 7, 5), (1, 40, 31)]
LEVELS = [2, 3, 16, 17, 255, 256]
EVERY = pytest.mark.parametrize("name", BACKENDS)
IMAGECODECS_NAMES = {"j2k": "jpeg2k", "jxl": "jpegxl", "jpegls": "jpegls", "webp": "webp"}


def symbols_of(kind: str, shape: tuple[int, int, int], levels: int) -> UInt8Array:
    return PATTERNS[kind](shape[0] * shape[1], shape[2], levels).reshape(shape)


def bare(name: str, plane: UInt8Array, levels: int = 256) -> bytes:
    """The backend's own bytes, without the byte that names it."""
    return encode(plane[None], levels, name, 5)[1:]


def tagged(name: str, payload: bytes) -> bytes:
    return bytes([BACKENDS[name].wire_id]) + payload


def survives_or_is_refused(payload: bytes, shape: tuple[int, int, int], levels: int = 256) -> None:
    try:
        symbols = decode(payload, shape, levels)
    except CodestreamError:
        return
    assert symbols.shape == shape and symbols.dtype == np.uint8 and symbols.max() < levels


# --- what goes in comes out


def test_wire_ids_are_the_published_ones() -> None:
    assert {name: row.wire_id for name, row in BACKENDS.items()} == {
        "lzma2": 1,
        "7z": 2,
        "j2k": 3,
        "jxl": 4,
        "jpegls": 5,
        "webp": 6,
    }


@EVERY
@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_patterns_survive(name: str, kind: str, shape: tuple[int, int, int]) -> None:
    for levels in [2, 256] if name == "7z" else LEVELS:
        symbols = symbols_of(kind, shape, levels)
        payload = encode(symbols, levels, name, 5)
        assert backend_name(payload) == name
        np.testing.assert_array_equal(decode(payload, shape, levels), symbols)


@EVERY
@settings(max_examples=15)
@given(data=st.data())
def test_any_symbols_survive(name: str, data: st.DataObject) -> None:
    levels = data.draw(st.integers(2, 256))
    shape = data.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=12))
    symbols = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, levels - 1)))
    effort = data.draw(st.integers(0, 9))
    decoded = decode(encode(symbols, levels, name, effort), symbols.shape, levels)
    np.testing.assert_array_equal(decoded, symbols)


@EVERY
def test_same_bytes_twice(name: str) -> None:
    symbols = symbols_of("noise", (2, 9, 11), 16)
    assert encode(symbols, 16, name, 7) == encode(symbols, 16, name, 7)


def test_a_7z_archive_does_not_tell_when_it_was_written() -> None:
    with py7zr.SevenZipFile(io.BytesIO(bare("7z", noise(3, 4)))) as archive:
        (member,) = archive.list()
        assert archive.test() is not False
    assert str(member.creationtime).startswith("1980-01-01 00:00:00")


@pytest.mark.parametrize("effort", [0, 2, 6, 9])
@pytest.mark.parametrize("kind", PATTERNS)
def test_auto_keeps_the_smallest(kind: str, effort: int) -> None:
    symbols = symbols_of(kind, (1, 21, 30), 32)
    chosen = encode(symbols, 32, "auto", effort)
    tried = [name for name, row in BACKENDS.items() if row.try_from_effort <= effort]
    assert len(chosen) == min(len(encode(symbols, 32, name, effort)) for name in tried)
    np.testing.assert_array_equal(decode(chosen, symbols.shape, 32), symbols)


@pytest.mark.parametrize(("name", "max_side"), [("webp", 16_382), ("jpegls", 65_535), ("jxl", 2**18)])
def test_auto_passes_over_a_backend_that_cannot_hold_the_shape(name: str, max_side: int) -> None:
    longest, longer = flat(1, max_side)[None], flat(1, max_side + 1)[None]
    np.testing.assert_array_equal(decode(encode(longest, 256, name, 0), longest.shape, 256), longest)
    with pytest.raises(SettingError, match=str(max_side)):
        encode(longer, 256, name, 0)
    np.testing.assert_array_equal(decode(encode(longer, 256, "auto", 5), longer.shape, 256), longer)


# --- refusals


@pytest.mark.parametrize("number", [0, 7, 255])
def test_unknown_backend_number(number: int) -> None:
    with pytest.raises(UnsupportedVersion, match=str(number)):
        decode(bytes([number, 1, 2, 3]), (1, 1, 1), 256)


def test_empty_section() -> None:
    with pytest.raises(Corrupt, match="empty"):
        decode(b"", (1, 1, 1), 256)


def test_unknown_backend_name_lists_the_known() -> None:
    with pytest.raises(SettingError, match="auto, lzma2, 7z, j2k"):
        carriers.load("zip")


def test_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "absent", Backend(99, "dsncodec_no_such_package", ".x", 10))
    with pytest.raises(MissingComponent, match="pip install dsncodec_no_such_package"):
        carriers.load("absent")


@EVERY
def test_symbols_outside_the_alphabet_are_refused(name: str) -> None:
    payload = encode(np.full((1, 3, 3), 9, np.uint8), 16, name, 5)
    with pytest.raises(CodestreamError):
        decode(payload, (1, 3, 3), 8)


@EVERY
@pytest.mark.parametrize("kind", ["flat", "noise"])
def test_every_truncation(name: str, kind: str) -> None:
    payload = encode(symbols_of(kind, (1, 6, 5), 256), 256, name, 5)
    for length in range(len(payload)):
        survives_or_is_refused(payload[:length], (1, 6, 5))


@EVERY
@pytest.mark.parametrize("kind", ["flat", "noise"])
def test_every_one_byte_change(name: str, kind: str) -> None:
    payload = encode(symbols_of(kind, (1, 6, 5), 16), 16, name, 5)
    for at in range(1, len(payload)):
        for flip in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            changed = bytearray(payload)
            changed[at] ^= flip
            survives_or_is_refused(bytes(changed), (1, 6, 5), 16)


@EVERY
@given(junk=st.binary(max_size=80))
def test_junk(name: str, junk: bytes) -> None:
    survives_or_is_refused(tagged(name, junk), (1, 3, 4))
    survives_or_is_refused(tagged(name, bare(name, flat(3, 4))[:20] + junk), (1, 3, 4))


# --- payloads of another size than the header promises


@EVERY
@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 8, 7), (1, 7, 8), (1, 64, 1), (1, 9, 8), (2, 8, 8)])
def test_another_size_is_refused_before_decoding(
    name: str, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = encode(noise(8, 8)[None], 256, name, 5)
    if name == "lzma2" and shape == (1, 64, 1):
        pytest.skip("raw LZMA2 knows how many symbols there are, not how many in a row")
    if name in IMAGECODECS_NAMES:

        def never(*args: object, **kwargs: object) -> None:
            raise AssertionError("decoded a payload of the wrong size")

        monkeypatch.setattr(imagecodecs, IMAGECODECS_NAMES[name] + "_decode", never)
    with pytest.raises(CodestreamError) as caught:
        decode(payload, shape, 256)
    assert not isinstance(caught.value.__cause__, AssertionError)


def peak_bytes(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@EVERY
def test_a_large_payload_is_not_inflated_for_a_small_shape(name: str) -> None:
    payload = encode(flat(1000, 1000)[None], 256, name, 0)

    def refused() -> None:
        with pytest.raises(CodestreamError):
            decode(payload, (1, 4, 4), 256)

    refused()  # imports are not what is measured
    assert peak_bytes(refused) < 300_000


def test_lzma2_bomb() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 4096}]
    bomb = lzma.compress(bytes(64 * 2**20), lzma.FORMAT_RAW, filters=filters)
    assert len(bomb) < 2**17

    def refused() -> None:
        with pytest.raises(Corrupt, match="exactly 16 bytes"):
            decode(tagged("lzma2", bomb), (1, 4, 4), 256)

    assert peak_bytes(refused) < 1_000_000


def archive_of(member: bytes) -> bytes:
    buffer = io.BytesIO()
    filters = [{"id": py7zr.FILTER_LZMA2, "preset": 0}]
    with py7zr.SevenZipFile(buffer, "w", filters=filters) as archive:
        archive.set_encoded_header_mode(False)
        archive.writestr(member, sevenzip.MEMBER)
    return buffer.getvalue()


def with_unpacked_size(archive: bytes, old: int, new: int) -> bytes:
    """The archive with another unpacked size in its header, and both checksums made right again."""
    (offset,) = struct.unpack_from("<Q", archive, 12)
    header = archive[32 + offset :]
    coded = {value: py7zr_number(value) for value in (old, new)}
    assert header.count(b"\x0c" + coded[old]) == 1
    header = header.replace(b"\x0c" + coded[old], b"\x0c" + coded[new])
    start = struct.pack("<QQI", offset, len(header), zlib.crc32(header))
    checksum = zlib.crc32(start).to_bytes(4, "little")
    return archive[:8] + checksum + start + archive[32 : 32 + offset] + header


def py7zr_number(value: int) -> bytes:
    buffer = io.BytesIO()
    py7zr.archiveinfo.write_uint64(buffer, value)
    return buffer.getvalue()


def test_7z_bomb() -> None:
    prefix = b"P5\n4 4\n255\n"
    member = prefix + bytes(64 * 2**20)
    bomb = archive_of(member)
    lying = with_unpacked_size(bomb, len(member), len(prefix) + 16)

    def refused() -> None:
        for payload in (bomb, lying):
            with pytest.raises(Corrupt):
                decode(tagged("7z", payload), (1, 4, 4), 256)

    assert peak_bytes(refused) < 1_000_000


def test_a_lying_archive_of_the_right_size_is_refused() -> None:
    small = archive_of(b"P5\n4 4\n255\n" + bytes(16))
    assert not decode(tagged("7z", small), (1, 4, 4), 256).any()
    for member in (b"P5\n2 8\n255\n" + bytes(16), b"P5\n4 4\n254\n" + bytes(16), bytes(27)):
        with pytest.raises(Corrupt):
            decode(tagged("7z", archive_of(member)), (1, 4, 4), 256)
    with pytest.raises(Corrupt):
        decode(tagged("7z", with_unpacked_size(small, 27, 26)), (1, 3, 5), 256)


def replaced(payload: bytes, at: int, new: bytes) -> bytes:
    return payload[:at] + new + payload[at + len(new) :]


@pytest.mark.parametrize("really", [(8, 8), (3, 200), (1000, 1000)])
@pytest.mark.parametrize("said", [(4, 4), (1, 1), (200, 300)])
def test_lying_sizes(really: tuple[int, int], said: tuple[int, int]) -> None:
    """The payload's own header agrees with ours, and what follows does not."""
    rows, columns = said
    frame = gradient(*really)
    j2k = replaced(bare("j2k", frame), 8, struct.pack(">II", columns, rows))
    one_tile = replaced(j2k, 24, struct.pack(">II", columns, rows))
    jls = replaced(bare("jpegls", frame), 7, struct.pack(">HH", rows, columns))
    webp = bare("webp", frame)
    bits = int.from_bytes(webp[21:25], "little") >> 28 << 28 | (rows - 1) << 14 | (columns - 1)
    webp = replaced(webp, 21, bits.to_bytes(4, "little"))
    for name, payload in [("j2k", j2k), ("j2k", one_tile), ("jpegls", jls), ("webp", webp)]:
        survives_or_is_refused(tagged(name, payload), (1, *said))


def test_lying_sizes_of_jxl() -> None:
    """Both sides are multiples of 8 and their ratio is not in the table: 14 bits hold the size."""
    wide, tall = (bare("jxl", noise(*size)) for size in ((16, 40), (40, 16)))
    first, other = (int.from_bytes(p[2:4], "little") for p in (wide, tall))
    mixed = (first & ~0x3FFF) | (other & 0x3FFF)
    lying = replaced(wide, 2, mixed.to_bytes(2, "little"))
    assert jxl.size_of(lying) == (40, 16)
    survives_or_is_refused(tagged("jxl", lying), (1, 40, 16))
    with pytest.raises(Corrupt):
        decode(tagged("jxl", lying), (1, 16, 40), 256)


@pytest.mark.parametrize("more", [(20, 200, 200), (200, 200, 3)], ids=["frames", "channels"])
def test_jxl_holds_one_frame_of_one_channel(more: tuple[int, ...]) -> None:
    """Refused before the library sees them: a frame of one colour costs a few bytes."""
    pixels = np.zeros(more, np.uint8)
    options = {"photometric": "gray"} if more[0] == 20 else {}
    payload = imagecodecs.jpegxl_encode(pixels, lossless=True, usecontainer=False, effort=3, **options)
    assert jxl.size_of(payload) == (200, 200)
    with pytest.raises(Corrupt, match="not a plain picture of 8 bits and 1 channels"):
        decode(tagged("jxl", payload), (1, 200, 200), 256)


def test_webp_is_grey() -> None:
    colour = np.stack([noise(9, 7), noise(9, 7), flat(9, 7)], -1)
    with pytest.raises(Corrupt, match="not grey"):
        decode(tagged("webp", imagecodecs.webp_encode(colour, lossless=True)), (1, 9, 7), 256)


@pytest.mark.parametrize(
    "size",
    [(1, 1), (8, 8), (8, 16), (10, 12), (255, 256), (257, 1), (1, 9000), (1, 2**18)],
    ids=str,
)
def test_jxl_size_header(size: tuple[int, int]) -> None:
    assert jxl.size_of(bare("jxl", flat(*size))) == size


# --- independent decoders


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (32, 31)], ids=str)
@pytest.mark.parametrize("levels", [2, 16, 100, 256])
def test_pillow_reads_j2k(size: tuple[int, int], levels: int) -> None:
    plane = noise(*size, levels)
    payload = bare("j2k", plane, levels)
    depth = payload[42] + 1
    with Image.open(io.BytesIO(payload)) as image:
        read = np.asarray(image)
    np.testing.assert_array_equal(read >> (8 - depth), plane)  # Pillow shifts up to 8 bits


def test_glymur_reads_j2k(tmp_path: Path) -> None:
    glymur = pytest.importorskip("glymur")
    if glymur.version.openjpeg_version < "2":
        pytest.skip("glymur finds no OpenJPEG library (Debian: libopenjp2-7)")
    plane = noise(20, 13)
    path = tmp_path / "layer.j2k"
    path.write_bytes(bare("j2k", plane))
    np.testing.assert_array_equal(glymur.Jp2k(path)[:], plane)


@pytest.mark.parametrize("levels", [16, 256])
def test_py7zr_and_pillow_read_7z(levels: int, tmp_path: Path) -> None:
    plane = noise(11, 6, levels)
    with py7zr.SevenZipFile(io.BytesIO(bare("7z", plane, levels))) as archive:
        assert archive.getnames() == [sevenzip.MEMBER]
        assert archive.test() is not False
        archive.extractall(tmp_path)
    pgm = (tmp_path / sevenzip.MEMBER).read_bytes()
    assert pgm == b"P5\n6 11\n%d\n" % (levels - 1) + plane.tobytes()
    with Image.open(tmp_path / sevenzip.MEMBER) as image:
        np.testing.assert_allclose(np.asarray(image), plane * (255 / (levels - 1)), atol=0.51)


def test_imagecodecs_and_pillow_read_the_others() -> None:
    plane = noise(11, 6)
    np.testing.assert_array_equal(imagecodecs.jpegxl_decode(bare("jxl", plane)), plane)
    np.testing.assert_array_equal(imagecodecs.jpegls_decode(bare("jpegls", plane)), plane)
    with Image.open(io.BytesIO(bare("webp", plane))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB"))[..., 1], plane)


def test_lzma_of_the_standard_library_reads_lzma2() -> None:
    plane = noise(11, 6)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 4096}]
    data = lzma.decompress(bare("lzma2", plane), lzma.FORMAT_RAW, filters=filters)
    assert data == plane.tobytes()
