"""Header and sections <-> bytes, and bytes that are neither."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsncodec import container
from dsncodec.container import MAGIC, TAGS, Header, Section
from dsncodec.errors import (
    CodestreamError,
    Corrupt,
    DsnWarning,
    LimitExceeded,
    NotADsnFile,
    Truncated,
    UnsupportedVersion,
)

from .conftest import header_bytes, packed_1, with_fixed_checksums

KNOWN = frozenset({"PARM", "LUMA", "exif"})
HEADER = Header("dsn", "RGB", 640, 480)
SECTIONS = [("PARM", b"12345"), ("LUMA", bytes(20)), ("exif", b"")]
EXAMPLE, EXAMPLE_1 = container.pack(HEADER, SECTIONS), packed_1(HEADER, SECTIONS)
BOTH = pytest.mark.parametrize("example", [EXAMPLE, EXAMPLE_1], ids=["version 2", "version 1"])
HEADER_1 = 26  # bytes

headers = st.builds(
    Header,
    st.just("dsn"),
    st.sampled_from(["L", "LA", "RGB", "RGBA"]),
    st.integers(1, container.MAX_SIDE),
    st.integers(1, container.MAX_SIDE),
)


def parse(
    data: bytes, known: frozenset[str] = KNOWN, max_pixels: int | None = container.MAX_PIXELS
) -> tuple[Header, dict[str, bytes]]:
    """The whole way of a reader: header, section table, checked payloads."""
    stream = io.BytesIO(data)
    header = container.read_header(stream, max_pixels)
    sections = container.read_sections(stream, header, len(data), known)
    return header, dict(container.iter_payloads(stream, sections))


def changed(at: int, new: bytes, data: bytes = EXAMPLE) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def test_example_byte_by_byte() -> None:
    fixed = bytes.fromhex(
        "8e44534e"
        "02"
        "13"  # magic, version, method dsn and mode RGB
        "8005"
        "e003"  # 640, 480
        "05"
        "3132333435"  # parameters
        "02"  # sections
        "01"
        "14"
        + zlib.crc32(bytes(20)).to_bytes(4, "little").hex()  # LUMA, 20 bytes, checksum
        + "81"
        "00"
        "00000000"  # exif
    )
    assert fixed + zlib.crc32(fixed).to_bytes(4, "little") + bytes(20) == EXAMPLE
    assert header_bytes(EXAMPLE) == len(fixed) + 4


def test_version_1_byte_by_byte() -> None:
    fixed = bytes.fromhex(
        "8e44534e0d0a1a0a"  # magic
        "01"
        "00"
        "01"
        "03"  # version, flags, method dsn, mode RGB
        "80020000"
        "e0010000"  # 640, 480
        "0300"  # sections
    )
    assert EXAMPLE_1[: len(fixed)] == fixed
    assert EXAMPLE_1[len(fixed) : HEADER_1] == zlib.crc32(fixed).to_bytes(4, "little")
    section = EXAMPLE_1[HEADER_1 : HEADER_1 + 17]
    assert section == b"PARM\x05\0\0\0" + zlib.crc32(b"PARM12345").to_bytes(4, "little") + b"12345"


@given(
    header=headers,
    parameters=st.binary(max_size=255),
    payloads=st.dictionaries(st.sampled_from(sorted(TAGS.values())), st.binary(max_size=200)),
)
def test_any_header_and_sections_survive(
    header: Header, parameters: bytes, payloads: dict[str, bytes]
) -> None:
    sections = [("PARM", parameters), *payloads.items()]
    for pack in (container.pack, packed_1):
        read, found = parse(pack(header, sections), frozenset(payloads) | {"PARM"}, max_pixels=None)
        assert read == header
        assert list(found.items()) == sections


def test_header_properties() -> None:
    table = {"L": (1, False), "LA": (1, True), "RGB": (3, False), "RGBA": (3, True)}
    for mode, expected in table.items():
        header = Header("dsn", mode, 1, 1)
        assert (header.colour_planes, header.has_alpha) == expected


def test_section_table_tells_where_payloads_lie() -> None:
    places = {
        EXAMPLE: Section("PARM", 11, 5, zlib.crc32(b"12345")),
        EXAMPLE_1: Section("PARM", HEADER_1 + 12, 5, zlib.crc32(b"PARM12345"), zlib.crc32(b"PARM")),
    }
    for example, place in places.items():
        stream = io.BytesIO(example)
        header = container.read_header(stream)
        sections = container.read_sections(stream, header, len(example), KNOWN)
        assert sections["PARM"] == place
        assert list(sections) == ["PARM", "LUMA", "exif"]


# --- hostile bytes


@BOTH
def test_every_truncation(example: bytes) -> None:
    for length in range(len(example)):
        with pytest.raises(NotADsnFile if length == 0 else Truncated) as caught:
            parse(example[:length])
        assert caught.value.offset is not None and caught.value.field is not None


@BOTH
def test_every_one_byte_change(example: bytes) -> None:
    """Each is noticed; in version 1 a changed tag may turn an optional section into one that is skipped."""
    for at in range(len(example)):
        for flip in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            data = changed(at, bytes([example[at] ^ flip]), example)
            try:
                _, found = parse(data)
            except (CodestreamError, LimitExceeded):
                continue
            assert example is EXAMPLE_1 and len(found) < 3, f"byte {at} ^ {flip} went unnoticed"


@given(junk=st.binary(max_size=60))
def test_junk(junk: bytes) -> None:
    for data in (
        junk,
        MAGIC + junk,
        EXAMPLE_1[:HEADER_1] + junk,
        with_fixed_checksums(EXAMPLE_1[:8] + junk),
        EXAMPLE[:6] + junk,
        with_fixed_checksums(EXAMPLE[:6] + junk),
    ):
        with pytest.raises((CodestreamError, LimitExceeded)):
            parse(data)


@pytest.mark.parametrize("start", [b"", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_not_our_magic(start: bytes) -> None:
    with pytest.raises(NotADsnFile):
        parse(start)


def test_newer_version_is_named_whatever_else_it_holds() -> None:
    with pytest.raises(UnsupportedVersion, match="version 3"):
        parse(changed(4, b"\x03"))  # its checksum may lie elsewhere by then
    with pytest.raises(UnsupportedVersion, match="version 2"):
        parse(changed(8, b"\x02", EXAMPLE_1))


def test_a_transfer_as_text_is_named() -> None:
    for old, new in ((b"\r\n", b"\n"), (b"\n", b"\r\n"), (b"\x1a", b"")):
        with pytest.raises(Corrupt, match="transfer"):
            parse(EXAMPLE_1.replace(old, new))


@pytest.mark.parametrize(
    ("at", "new", "error", "field"),
    [
        (5, b"\x03", UnsupportedVersion, "method"),
        (5, b"\xf3", UnsupportedVersion, "method"),
        (5, b"\x10", UnsupportedVersion, "mode"),
        (5, b"\x15", UnsupportedVersion, "mode"),
        (6, b"\x80\x00", Corrupt, "size"),  # 0, and written longer than it need be
        (6, b"\xff\xff\xff\xff\xff", Corrupt, "size"),
        (10, b"\x81\x02", Corrupt, "PARM"),
        (16, b"\x41", Corrupt, "sections"),
        (17, b"\x02", UnsupportedVersion, "CHRO"),
        (17, b"\x63", UnsupportedVersion, "C099"),
        (18, b"\x15", Truncated, "LUMA"),
    ],
)
def test_a_field_that_breaks_a_rule(at: int, new: bytes, error: type[CodestreamError], field: str) -> None:
    with pytest.raises(error) as caught:
        parse(with_fixed_checksums(changed(at, new)))
    assert caught.value.field == field


@pytest.mark.parametrize("size", [0, 2**31, 2**35 - 1])
def test_an_impossible_size(size: int) -> None:
    for header in (Header("dsn", "L", size, 1), Header("dsn", "L", 1, size)):
        with pytest.raises(Corrupt, match="impossible size"):
            parse(container.pack(header, [("PARM", b"")]), max_pixels=None)


@pytest.mark.parametrize(
    ("at", "new", "error", "field"),
    [
        (9, b"\x01", UnsupportedVersion, "flags"),
        (10, b"\x63", UnsupportedVersion, "method"),
        (11, b"\x00", UnsupportedVersion, "mode"),
        (11, b"\x05", UnsupportedVersion, "mode"),
        (12, bytes(4), Corrupt, "size"),
        (16, bytes(4), Corrupt, "size"),
        (12, b"\xff\xff\xff\xff", Corrupt, "size"),
        (20, b"\x41\x00", Corrupt, "sections"),
        (HEADER_1, b"\x00\xff\x00\xff", Corrupt, "section header"),
        (HEADER_1 + 4, b"\xff\xff\xff\xff", Truncated, "PARM"),
        (HEADER_1 + 4, struct.pack("<I", len(EXAMPLE_1) - HEADER_1 - 11), Truncated, "PARM"),
    ],
)
def test_a_field_of_version_1_that_breaks_a_rule(
    at: int, new: bytes, error: type[CodestreamError], field: str
) -> None:
    with pytest.raises(error) as caught:
        parse(with_fixed_checksums(changed(at, new, EXAMPLE_1)))
    assert caught.value.field == field


def test_checksums() -> None:
    with pytest.raises(Corrupt, match="checksum") as caught:
        parse(changed(12, b"?"))
    assert caught.value.field == "header"
    at = header_bytes(EXAMPLE)
    with pytest.raises(Corrupt, match="checksum") as caught:
        parse(changed(at + 3, b"?"))
    assert (caught.value.field, caught.value.offset) == ("LUMA", at)


def test_checksums_of_version_1() -> None:
    with pytest.raises(Corrupt, match="checksum") as caught:
        parse(changed(13, b"\x03", EXAMPLE_1))
    assert caught.value.field == "header"
    with pytest.raises(Corrupt, match="checksum") as caught:
        parse(changed(HEADER_1 + 14, b"?", EXAMPLE_1))
    assert (caught.value.field, caught.value.offset) == ("PARM", HEADER_1 + 12)


def test_the_checksum_covers_the_tag() -> None:
    data = packed_1(Header("dsn", "L", 1, 1), [("PARM", b"x")])
    with pytest.raises(Corrupt, match="checksum"):
        parse(data.replace(b"PARM", b"LUMA"))


def test_unknown_sections() -> None:
    header = Header("dsn", "L", 1, 1)
    data = container.pack(header, [("PARM", b"x"), ("exif", b"hello"), ("LUMA", b"y")])
    optional = with_fixed_checksums(data.replace(b"\x81\x05", b"\xc8\x05"))
    assert parse(optional)[1] == {"PARM": b"x", "o200": b"hello", "LUMA": b"y"}
    with pytest.raises(Corrupt, match="checksum"):  # what we do not know is checked all the same
        parse(optional.replace(b"hello", b"hallo"))
    with pytest.raises(UnsupportedVersion, match="critical") as caught:
        parse(with_fixed_checksums(data.replace(b"\x81\x05", b"\x30\x05")))
    assert caught.value.field == "C048"


def test_unknown_sections_of_version_1() -> None:
    header = Header("dsn", "L", 1, 1)
    optional = packed_1(header, [("PARM", b"x"), ("note", b"hello"), ("LUMA", b"y")])
    assert parse(optional)[1] == {"PARM": b"x", "note": b"hello", "LUMA": b"y"}
    with pytest.raises(Corrupt, match="checksum"):
        parse(optional.replace(b"note", b"nota"))
    with pytest.raises(UnsupportedVersion, match="critical") as caught:
        parse(packed_1(header, [("PARM", b"x"), ("Note", b"hello")]))
    assert caught.value.field == "Note"


def test_duplicate_section() -> None:
    header = Header("dsn", "L", 1, 1)
    for data in (
        container.pack(header, [("PARM", b"x"), ("LUMA", b"x"), ("LUMA", b"x")]),
        packed_1(header, [("PARM", b"x"), ("PARM", b"x")]),
    ):
        with pytest.raises(Corrupt, match="twice"):
            parse(data)


@BOTH
def test_trailing_bytes(example: bytes) -> None:
    with pytest.warns(DsnWarning, match="^8 bytes that follow the last section are ignored$"):
        found = parse(example + b"\0 behind")
    assert found == parse(example)


@BOTH
def test_max_pixels(example: bytes) -> None:
    assert parse(example, max_pixels=640 * 480)
    with pytest.raises(LimitExceeded, match="640 x 480") as caught:
        parse(example, max_pixels=640 * 480 - 1)
    assert (caught.value.asked, caught.value.limit) == (640 * 480, 640 * 480 - 1)
    huge = container.pack(Header("dsn", "L", container.MAX_SIDE, container.MAX_SIDE), [("PARM", b"")])
    with pytest.raises(LimitExceeded):
        parse(huge)
    assert parse(huge, max_pixels=None)[0].width == container.MAX_SIDE
