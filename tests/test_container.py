"""Header and sections <-> bytes, and bytes that are neither."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsncodec import container
from dsncodec.container import HEADER_BYTES, MAGIC, Header, Section
from dsncodec.errors import (
    CodestreamError,
    Corrupt,
    LimitExceeded,
    NotADsnFile,
    Truncated,
    UnsupportedVersion,
)

from .conftest import with_fixed_checksums

KNOWN = frozenset({"PARM", "LUMA", "exif"})
EXAMPLE = container.pack(
    Header("dsn", "RGB", 640, 480), [("PARM", b"12345"), ("LUMA", bytes(20)), ("exif", b"")]
)

tags = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=4)
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
    expected = (
        "8e44534e0d0a1a0a"  # magic
        "01" "00" "01" "03"  # version, flags, method dsn, mode RGB
        "80020000" "e0010000"  # 640, 480
        "0300"  # sections
    )  # fmt: skip
    fixed = bytes.fromhex(expected)
    assert len(fixed) == HEADER_BYTES - 4 == 22
    assert EXAMPLE[: len(fixed)] == fixed
    assert EXAMPLE[len(fixed) : HEADER_BYTES] == zlib.crc32(fixed).to_bytes(4, "little")
    section = EXAMPLE[HEADER_BYTES : HEADER_BYTES + 17]
    assert section == b"PARM\x05\0\0\0" + zlib.crc32(b"PARM12345").to_bytes(4, "little") + b"12345"


@given(header=headers, payloads=st.dictionaries(tags, st.binary(max_size=40), max_size=6))
def test_any_header_and_sections_survive(header: Header, payloads: dict[str, bytes]) -> None:
    data = container.pack(header, list(payloads.items()))
    read, found = parse(data, frozenset(payloads), max_pixels=None)
    assert (read.method, read.mode, read.width, read.height) == (
        header.method, header.mode, header.width, header.height,
    )  # fmt: skip
    assert read.sections == len(payloads)
    assert list(found.items()) == list(payloads.items())


def test_header_properties() -> None:
    table = {"L": (1, False), "LA": (1, True), "RGB": (3, False), "RGBA": (3, True)}
    for mode, expected in table.items():
        header = Header("dsn", mode, 1, 1)
        assert (header.colour_planes, header.has_alpha) == expected


def test_section_table_tells_where_payloads_lie() -> None:
    stream = io.BytesIO(EXAMPLE)
    header = container.read_header(stream)
    sections = container.read_sections(stream, header, len(EXAMPLE), KNOWN)
    assert sections["PARM"] == Section("PARM", HEADER_BYTES + 12, 5, zlib.crc32(b"PARM12345"))
    assert list(sections) == ["PARM", "LUMA", "exif"]


# --- hostile bytes


def test_every_truncation() -> None:
    for length in range(len(EXAMPLE)):
        with pytest.raises(NotADsnFile if length == 0 else Truncated) as caught:
            parse(EXAMPLE[:length])
        assert caught.value.offset is not None and caught.value.field is not None


def test_every_one_byte_change() -> None:
    """Each is noticed; a changed tag may turn an optional section into one that is skipped."""
    for at in range(len(EXAMPLE)):
        for flip in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            data = changed(at, bytes([EXAMPLE[at] ^ flip]))
            try:
                _, found = parse(data)
            except (CodestreamError, LimitExceeded):
                continue
            assert len(found) < 3, f"byte {at} ^ {flip} went unnoticed"


@given(junk=st.binary(max_size=60))
def test_junk(junk: bytes) -> None:
    for data in (
        junk,
        MAGIC + junk,
        EXAMPLE[:HEADER_BYTES] + junk,
        with_fixed_checksums(MAGIC + junk),
    ):
        with pytest.raises((CodestreamError, LimitExceeded)):
            parse(data)


@pytest.mark.parametrize("start", [b"", b"\x89PNG\r\n\x1a\n" + bytes(40), b"\x8eDSN\n\x1a\n" + bytes(40)])
def test_not_our_magic(start: bytes) -> None:
    with pytest.raises(NotADsnFile):
        parse(start)


def test_newer_version_is_named_whatever_else_it_holds() -> None:
    with pytest.raises(UnsupportedVersion, match="version 2"):
        parse(changed(8, b"\x02"))  # its checksum may lie elsewhere by then


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
        (HEADER_BYTES, b"\x00\xff\x00\xff", Corrupt, "section header"),
        (HEADER_BYTES + 4, b"\xff\xff\xff\xff", Truncated, "PARM"),
        (HEADER_BYTES + 4, struct.pack("<I", len(EXAMPLE) - HEADER_BYTES - 11), Truncated, "PARM"),
    ],
)
def test_a_field_that_breaks_a_rule(at: int, new: bytes, error: type[CodestreamError], field: str) -> None:
    with pytest.raises(error) as caught:
        parse(with_fixed_checksums(changed(at, new)))
    assert caught.value.field == field


def test_checksums() -> None:
    with pytest.raises(Corrupt, match="checksum") as caught:
        parse(changed(13, b"\x03"))
    assert caught.value.field == "header"
    with pytest.raises(Corrupt, match="checksum") as caught:
        parse(changed(HEADER_BYTES + 14, b"?"))
    assert (caught.value.field, caught.value.offset) == ("PARM", HEADER_BYTES + 12)


def test_the_checksum_covers_the_tag() -> None:
    data = container.pack(Header("dsn", "L", 1, 1), [("PARM", b"x")])
    with pytest.raises(Corrupt, match="checksum"):
        parse(data.replace(b"PARM", b"LUMA"))


def test_unknown_sections() -> None:
    header = Header("dsn", "L", 1, 1)
    optional = container.pack(header, [("PARM", b"x"), ("note", b"hello"), ("LUMA", b"y")])
    assert parse(optional)[1] == {"PARM": b"x", "note": b"hello", "LUMA": b"y"}
    broken = optional.replace(b"note", b"nota")
    with pytest.raises(Corrupt, match="checksum"):  # what we do not know is checked all the same
        parse(broken)
    critical = container.pack(header, [("PARM", b"x"), ("Note", b"hello")])
    with pytest.raises(UnsupportedVersion, match="critical") as caught:
        parse(critical)
    assert caught.value.field == "Note"


def test_duplicate_section() -> None:
    data = container.pack(Header("dsn", "L", 1, 1), [("PARM", b"x"), ("PARM", b"x")])
    with pytest.raises(Corrupt, match="twice"):
        parse(data)


def test_trailing_bytes() -> None:
    with pytest.raises(Corrupt, match="1 bytes follow"):
        parse(EXAMPLE + b"\0")


def test_max_pixels() -> None:
    assert parse(EXAMPLE, max_pixels=640 * 480)
    with pytest.raises(LimitExceeded, match="640 x 480") as caught:
        parse(EXAMPLE, max_pixels=640 * 480 - 1)
    assert (caught.value.asked, caught.value.limit) == (640 * 480, 640 * 480 - 1)
    huge = container.pack(Header("dsn", "L", container.MAX_SIDE, container.MAX_SIDE), [])
    with pytest.raises(LimitExceeded):
        parse(huge)
    assert parse(huge, max_pixels=None)[0].width == container.MAX_SIDE
