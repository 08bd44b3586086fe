"""Whole files, broken in every place: an image or a DsnError, and nothing else.

Checksums catch an accident, so that most of the code behind them is only reached when they are made
right again after the change, as someone with bad intentions would.
"""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dsncodec
from dsncodec.backends import BACKENDS, BASE_CODECS
from dsncodec.errors import DsnError

from .conftest import header_bytes, picture, with_fixed_checksums, with_network

METHODS = {"dsn": BACKENDS, "restored": BASE_CODECS}
ALL = [(method, backend) for method, table in METHODS.items() for backend in table]
EVERY = pytest.mark.parametrize(("method", "backend"), ALL)
MODES = pytest.mark.parametrize("mode", ["L", "RGBA"])


@functools.cache
def small_file(mode: str, method: str, backend: str) -> bytes:
    image = picture(mode, 6, 5)
    image.info |= {"exif": b"Exif\0\0"}
    settings = {"scale": 2, "levels": 200} if method == "dsn" else {"quality": 30}
    data = dsncodec.encode(image, method, **settings, backend=backend, threads=1)
    return with_network(data, 64) if method == "restored" else data


def decodes_or_is_refused(data: bytes, reduce: bool = True) -> None:
    """A picture of the size the header now promises, or a DsnError."""
    try:
        info = dsncodec.read_info(data)
        image = dsncodec.decode(data, reduce=reduce, threads=1)
    except DsnError:
        return
    step = info.scale if reduce else 1
    assert (image.mode, image.size) == (info.mode, (-(-info.width // step), -(-info.height // step)))


@EVERY
@MODES
def test_every_truncation(mode: str, method: str, backend: str) -> None:
    """Each promise of the header is broken, so none decodes, whether or not the checksums are right."""
    data = small_file(mode, method, backend)
    assert dsncodec.decode(data).size == (6, 5)
    for length in range(len(data)):
        for cut in (data[:length], with_fixed_checksums(data[:length])):
            for action in (dsncodec.decode, dsncodec.read_info, dsncodec.verify):
                with pytest.raises(DsnError):
                    action(cut)


@EVERY
@MODES
def test_every_one_byte_change(mode: str, method: str, backend: str) -> None:
    data = small_file(mode, method, backend)
    for at in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            decodes_or_is_refused(changed)


@EVERY
@MODES
def test_every_one_byte_change_behind_right_checksums(mode: str, method: str, backend: str) -> None:
    data = small_file(mode, method, backend)
    for at in range(8, len(data)):
        for flip in (0x01, 0x04, 0x10, 0x80, 0xFF):
            changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            decodes_or_is_refused(with_fixed_checksums(changed))


@MODES
@pytest.mark.parametrize(("method", "backend"), [("dsn", "jpegls"), *ALL[len(BACKENDS) :]])
def test_header_and_parameters_through_the_networks(mode: str, method: str, backend: str) -> None:
    """All 255 other values of the bytes that decide what is run."""
    data = small_file(mode, method, backend)
    for at in range(8, header_bytes(data)):
        for value in range(256):
            changed = data[:at] + bytes([value]) + data[at + 1 :]
            decodes_or_is_refused(with_fixed_checksums(changed), reduce=False)


@EVERY
@MODES
def test_changed_symbols_through_the_networks(mode: str, method: str, backend: str) -> None:
    data = small_file(mode, method, backend)
    for at in range(header_bytes(data), len(data), 5):
        changed = data[:at] + bytes([data[at] ^ 0x2A]) + data[at + 1 :]
        decodes_or_is_refused(with_fixed_checksums(changed), reduce=False)


@given(data=st.data())
def test_several_changes(data: st.DataObject) -> None:
    mode, (method, backend) = data.draw(st.sampled_from(["L", "RGBA"])), data.draw(st.sampled_from(ALL))
    changed = bytearray(small_file(mode, method, backend))
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(8, len(changed) - 1))] = data.draw(st.integers(0, 255))
    decodes_or_is_refused(with_fixed_checksums(bytes(changed)))


@given(junk=st.binary(max_size=200))
def test_junk(junk: bytes) -> None:
    for data in (
        junk,
        b"\x8eDSN\r\n\x1a\n" + junk,
        with_fixed_checksums(b"\x8eDSN\r\n\x1a\n\x01\0\x01\x01" + junk),
        with_fixed_checksums(b"\x8eDSN\r\n\x1a\n\x01\0\x02\x03" + junk),
    ):
        with pytest.raises(DsnError):
            dsncodec.decode(data)


@pytest.mark.parametrize(("method", "backend"), [("dsn", "lzma2"), *ALL[len(BACKENDS) :]])
def test_two_files_in_one(method: str, backend: str) -> None:
    for mode in ("L", "RGBA"):
        data = small_file(mode, method, backend)
        with pytest.raises(DsnError):
            dsncodec.decode(data + data)
        with pytest.raises(DsnError):
            dsncodec.decode(data + b"\0")
