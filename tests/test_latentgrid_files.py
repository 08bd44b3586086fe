"""Files of latent grids: written from symbols and weights, read whole, in parts and small, by NumPy and by numba."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import container, kernels
from dsncodec.cli import main
from dsncodec.container import Header
from dsncodec.entropy import adaptive_coder
from dsncodec.errors import Corrupt, DsnError, MissingComponent, SettingError, UnsupportedVersion
from dsncodec.methods.latentgrid import bitstream as grids
from dsncodec.methods.latentgrid.bitstream import (
    ZERO_INIT,
    Nets,
    Parameters,
    counts,
    grid_shapes,
    nets_of,
    parse,
)
from dsncodec.methods.sections import encode_alpha, read_structure
from dsncodec.networks import registry

from .conftest import MODES, UInt8Array, picture, with_fixed_checksums
from .fuzz import campaigns

SIZES = [(1, 1), (1, 17), (17, 1), (33, 21), (64, 65), (9, 513), (5, 1200), (1100, 6)]
Lists = list[np.ndarray[Any, np.dtype[np.int64]]]


@pytest.fixture(params=["0", "1"], ids=["NumPy", "numba"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DSNCODEC_NUMBA", request.param)
    if request.param == "1" and not kernels.available():
        pytest.skip("numba is not installed (extra [fit])")
    yield request.param


def differences(width: int, seed: int = 0) -> Lists:
    """Of a net that makes something of every plane; exponents are 8."""
    rng = np.random.default_rng(seed)
    spread = (20, 40, 1, 12, 12, 6)
    found = [np.rint(rng.normal(0, sigma, n)).astype(np.int64) for sigma, n in zip(spread, counts(width))]
    found[grids.BIASES][-1] = 40 * 32
    found[grids.OFFSETS][-3:] += 128
    return found


def symbols(width: int, height: int, seed: int = 0, scale: float = 1.0) -> list[grids.Int8Array]:
    rng = np.random.default_rng(seed)
    return [
        np.clip(np.rint(rng.laplace(0, scale, shape)), -127, 127).astype(np.int8)
        for shape in grid_shapes((height, width))
    ]


def parameters_of(width: int, init: bytes = ZERO_INIT) -> Parameters:
    return Parameters(width, init, (8,) * 6)


def sections_of(header: Header, width: int = 16, init: bytes = ZERO_INIT) -> list[tuple[str, bytes]]:
    made = grids.pack_sections(
        header, parameters_of(width, init), differences(width), symbols(header.width, header.height)
    )
    if header.has_alpha:
        alpha = np.asarray(picture("L", header.width, header.height))
        made.append(("ALPH", encode_alpha(alpha, 0)))
    return made


def file_of(mode: str, width: int, height: int, channels: int = 16) -> bytes:
    header = Header("latentgrid", mode, width, height)
    return container.pack(header, sections_of(header, channels))


def pixels_of(data: bytes, **options: Any) -> UInt8Array:
    return np.asarray(dsncodec.decode(data, threads=1, **options))


# --- there and back


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_symbols_and_pixels_survive(size: tuple[int, int], mode: str, path: str) -> None:
    header = Header("latentgrid", mode, *size)
    data = container.pack(header, sections_of(header))
    dsncodec.verify(data)
    layer = parse(header, dict(sections_of(header)))
    for one, other in zip(layer.grids(), symbols(*size), strict=True):
        np.testing.assert_array_equal(one, other)
    nets = nets_of(parameters_of(16), differences(16))
    made = grids.reconstruct(header, nets, symbols(*size), threads=2)
    shown = pixels_of(data).reshape(size[1], size[0], -1)
    np.testing.assert_array_equal(shown[..., : header.colour_planes], made)
    if header.has_alpha:
        np.testing.assert_array_equal(shown[..., -1], picture("L", *size))


@pytest.mark.parametrize("mode", ["LA", "RGB"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("width", [8, 64])
def test_numba_does_what_numpy_does(
    width: int, size: tuple[int, int], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernels.available():
        pytest.skip("numba is not installed (extra [fit])")
    found = []
    for way in "01":
        monkeypatch.setenv("DSNCODEC_NUMBA", way)
        data = file_of(mode, *size, width)
        found.append((data, pixels_of(data).astype(int), pixels_of(data, preview=True).astype(int)))
    assert found[0][0] == found[1][0]
    for at in (1, 2):
        assert np.abs(found[0][at] - found[1][at]).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGBA"])
@pytest.mark.parametrize("size", [(70, 90), (20, 1100), (1030, 30)], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_region_is_that_of_the_picture(size: tuple[int, int], mode: str, threads: int, path: str) -> None:
    data, rng = file_of(mode, *size, 8), np.random.default_rng(3)
    whole = pixels_of(data)
    # NumPy takes a second for each
    boxes = [(0, 0, 1, 1), (size[0] - 1, size[1] - 1, *size), (0, 0, *size)] if path == "1" else []
    for _ in range(12 if path == "1" else 2):
        x0, x1 = sorted(rng.choice(size[0] + 1, 2, replace=False).tolist())
        y0, y1 = sorted(rng.choice(size[1] + 1, 2, replace=False).tolist())
        boxes.append((x0, y0, x1, y1))
    for x0, y0, x1, y1 in boxes:
        part = np.asarray(dsncodec.decode(data, region=(x0, y0, x1, y1), threads=threads))
        np.testing.assert_array_equal(part, whole[y0:y1, x0:x1])
    bands = list(dsncodec.decode_rows(data, threads=threads))
    np.testing.assert_array_equal(np.concatenate(bands).reshape(whole.shape), whole)


def test_a_region_decodes_the_bands_that_it_needs() -> None:
    header = Header("latentgrid", "L", 8, 5000)
    layer = parse(header, dict(sections_of(header, 8)))
    layer.pixels((slice(1700, 1720), slice(0, 8)))
    assert sorted(layer._decoded) == [2, 3]
    layer.pixels((slice(2100, 2110), slice(0, 8)))
    assert sorted(layer._decoded) == [2, 3, 4]
    layer.pixels((slice(4999, 5000), slice(0, 8)))
    assert sorted(layer._decoded) == [2, 3, 4, 9]
    broken = replace(
        layer, coded=[*layer.coded[:5], layer.coded[5] + b"left over", *layer.coded[6:]], _decoded={}
    )
    broken.pixels((slice(1700, 1720), slice(0, 8)))
    with pytest.raises(Corrupt, match="band 5") as caught:
        broken.pixels((slice(2600, 3072), slice(0, 8)))
    assert caught.value.field == "LATS"


def test_a_region_decodes_of_a_band_what_it_needs() -> None:
    """Beside it the coarse grids alone, and of the finest one no wave beyond its corner; for a second look, all of it."""
    header = Header("latentgrid", "L", 300, 1600)
    sections = dict(sections_of(header, 8))
    layer, whole = parse(header, sections), parse(header, sections).pixels(None)

    def look(rows: slice, columns: slice) -> dict[int, tuple[int, int]]:
        np.testing.assert_array_equal(layer.pixels((rows, columns)), whole[rows, columns])
        return {band: tuple(part) for band, (part, _) in sorted(layer._decoded.items())}

    assert look(slice(600, 700), slice(20, 60)) == {0: (5, 6 + 3 * 15), 1: (0, 61 + 3 * (701 - 512 - 1))}
    found = look(slice(600, 720), slice(20, 60))
    assert found[0][0] == 5 and found[1] == (0, 300 + 3 * 512)
    # of the third band what its coarse grids say
    assert look(slice(900, 1000), slice(0, 200))[2][0] > 0
    # rows of the whole width: others will follow
    assert {look(slice(900, 1000), slice(0, 300))[band][0] for band in range(1, 3)} == {0}
    layer.preview()
    assert {part.finest for part, _ in layer._decoded.values()} == {0, 3}
    np.testing.assert_array_equal(layer.pixels(None), whole)


@pytest.mark.parametrize("mode", MODES)
def test_the_small_picture(mode: str, path: str) -> None:
    """At 1/8 of the size, and the mean of the picture where only the coarse grids say anything."""
    header = Header("latentgrid", mode, 203, 77)
    lists = [np.zeros(count, np.int64) for count in counts(8)]
    lists[grids.MATRICES][80:] = [0, 0, 0, 1, 2, 3, 5] * 3  # S
    lists[grids.OFFSETS][-3:] = 128
    shown = symbols(203, 77, scale=2.0)
    for grid in shown[:3]:
        grid[:] = 0
    made = grids.pack_sections(header, parameters_of(8), lists, shown)
    if header.has_alpha:
        made.append(("ALPH", encode_alpha(np.full((77, 203), 9, np.uint8), 0)))
    data = container.pack(header, made)
    small = pixels_of(data, preview=True)
    assert small.shape[:2] == (10, 26)
    large = pixels_of(data).reshape(77, 203, -1)[:72, :200].reshape(9, 8, 25, 8, -1).mean((1, 3))
    assert np.abs(large - small.reshape(10, 26, -1)[:9, :25]).mean() < 2


def test_taps_that_double_keep_a_ramp() -> None:
    """The plain ones, between the edges."""
    ramp = np.tile(np.arange(20, dtype=np.float32), (20, 1))[None]
    taps = Nets(8, grids.zero_init(8)).taps[0]
    out = grids.upsample2x(np.pad(ramp, ((0, 0), (2, 2), (2, 2)), "edge"), taps, 0, 0, (40, 40))
    wanted = np.arange(40) / 2 - 0.25
    np.testing.assert_allclose(out[0, 20, 8:-8], wanted[8:-8], atol=0.1)
    assert taps.sum() == 1


# --- what a file says of itself


def test_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = file_of("RGBA", 20, 10)
    info = dsncodec.read_info(data)
    assert (info.method, info.size, info.mode, info.model, info.model_id) == (
        "latentgrid",
        (20, 10),
        "RGBA",
        "zero init, width 16",
        "",
    )
    assert set(info.backends) == {"ALPH"} and list(info.sections) == ["PARM", "NETW", "LATS", "ALPH"]
    source = tmp_path / "a.dsn"
    source.write_bytes(data)
    assert main(["info", str(source)]) == 0
    assert "latentgrid, grids of symbols" in capsys.readouterr().out
    assert main(["extract", str(source)]) == 1
    assert "no plane that another program reads" in capsys.readouterr().err
    assert main(["extract", str(source), "--plane", "network"]) == 1
    assert main(["extract", str(source), "--plane", "alpha", "-o", str(tmp_path / "a.png")]) == 0


def test_pillow_opens_it() -> None:
    dsncodec.register_pillow()
    data = file_of("RGB", 40, 30)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (40, 30)
        np.testing.assert_array_equal(np.asarray(image), pixels_of(data))
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, (5, 4))
        assert image.size == (5, 4)
        image.load()


def test_settings_of_other_methods() -> None:
    data = file_of("L", 4, 4)
    with pytest.raises(SettingError):
        dsncodec.decode(data, size=(8, 8))
    with pytest.raises(SettingError):
        dsncodec.decode(data, decoder="perceptual")


# --- inits


def test_weights_are_told_from_an_init(init: registry.Init) -> None:
    assert (init.name, init.width, init.lmbda) == ("x", 16, 0.01)
    parameters = parameters_of(16, init.wire_id[:4])
    nets, plain = nets_of(parameters, differences(16)), nets_of(parameters_of(16), differences(16))
    assert (nets.offsets[1] == plain.offsets[1] + 0.5).all()
    assert (nets.taps[0] - plain.taps[0]).tolist() == [0.25 - tap / 128 for tap in (-3, 29, 111, -9)]
    np.testing.assert_array_equal(nets.lists[0], plain.lists[0])
    header = Header("latentgrid", "L", 9, 9)
    data = container.pack(header, sections_of(header, 16, init.wire_id[:4]))
    info = dsncodec.read_info(data)
    assert (info.model, info.model_id) == ("init x, width 16", init.wire_id[:4].hex())
    dsncodec.verify(data)
    assert pixels_of(data).shape == (9, 9)


def test_an_init_of_another_width(init: registry.Init) -> None:
    header = Header("latentgrid", "L", 9, 9)
    sections = dict(sections_of(header)) | {"PARM": parameters_of(24, init.wire_id[:4]).pack()}
    for action in (grids.validate, parse):
        with pytest.raises(Corrupt, match="not of width 24"):
            action(header, sections)


def test_an_init_that_is_not_there_or_changed(init: registry.Init) -> None:
    header = Header("latentgrid", "L", 9, 9)
    sections = dict(sections_of(header)) | {"PARM": parameters_of(16, b"abcd").pack()}
    for action in (grids.validate, parse):
        with pytest.raises(UnsupportedVersion, match="61626364") as caught:
            action(header, sections)
        assert caught.value.field == "init"
    assert grids.describe(header, sections["PARM"], {})["model"] == "init unknown, width 16"
    file = registry.folder() / init.file
    file.write_bytes(file.read_bytes() + b"\0")
    registry._checked.cache_clear()
    with pytest.raises(MissingComponent, match="not the published one"):
        nets_of(parameters_of(16, init.wire_id[:4]), differences(16))


# --- limits


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(8),
        b"\x08" + bytes(6),
        b"\x08" + bytes(8),
        b"\x09" + bytes(7),
        b"\x48" + bytes(7),
        b"\x08" + bytes(4) + b"\x0d" + bytes(2),
        b"\x08" + bytes(4) + b"\xd0" + bytes(2),
    ],
)
def test_impossible_parameters(payload: bytes) -> None:
    with pytest.raises(Corrupt) as caught:
        Parameters.unpack(payload)
    assert caught.value.field == "PARM"


def test_parameters_byte_by_byte() -> None:
    packed = Parameters(64, b"abcd", (1, 12, 3, 4, 5, 15)).pack()
    assert packed == b"\x40abcd\xc1\x43\xf5"
    assert Parameters.unpack(packed) == Parameters(64, b"abcd", (1, 12, 3, 4, 5, 15))


def test_each_matrix_has_statistics_of_its_own() -> None:
    lists = differences(24)
    payload = grids.pack_weights(lists)
    for before, after in zip(lists, grids.unpack_weights(payload, 24)):
        np.testing.assert_array_equal(after, before)
    alone = len(adaptive_coder.encode([lists[0][256:512]]))
    lists[0][256:512] = 0
    assert len(payload) - len(grids.pack_weights(lists)) > alone - 5
    with pytest.raises(Corrupt, match="left over") as caught:
        grids.unpack_weights(payload + b"abcdef", 24)
    assert caught.value.field == "NETW"


@pytest.mark.parametrize(
    ("number", "limit"),
    [(0, 2**16), (1, 2**20), (2, 2**24 - 1), (3, 2**24 - 1), (4, 2**24 - 1), (5, 2**24 - 1)],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_limits_of_weights(number: int, limit: int, sign: int) -> None:
    parameters = Parameters(8, ZERO_INIT, (0, 4, 6, 6, 6, 6))
    unit = 2 ** (grids.UNITS[number] - parameters.exponents[number])
    lists = [np.zeros(count, np.int64) for count in counts(8)]
    start = int(grids.zero_init(8)[number][-1])
    for most in (limit - sign * start) // unit, (limit - sign * start) // unit + 1:
        lists[number][-1] = sign * most
        if abs(start + sign * most * unit) <= limit:
            nets_of(parameters, lists)
        else:
            with pytest.raises(Corrupt, match=f"list {number}") as caught:
                nets_of(parameters, lists)
            assert caught.value.field == "NETW"


def test_weights_beyond_float_are_a_picture(path: str) -> None:
    header = Header("latentgrid", "RGB", 40, 70)
    lists = [np.zeros(count, np.int64) for count in counts(8)]
    for number in (2, 3, 4, 5):
        lists[number][:] = np.where(np.arange(len(lists[number])) % 3, 255, -255)
    parameters = Parameters(8, ZERO_INIT, (8, 8, 0, 0, 0, 0))
    made = grids.pack_sections(header, parameters, lists, [g * 0 + 127 for g in symbols(40, 70)])
    assert pixels_of(container.pack(header, made)).shape == (70, 40, 3)


def with_lats(change: Sequence[bytes] | bytes) -> dict[str, bytes]:
    """The sections of a picture of 3 bands, with other bytes for them."""
    header = Header("latentgrid", "L", 3, 1100)
    payload = change if isinstance(change, bytes) else b"".join(container.varint(len(b)) + b for b in change)
    return dict(sections_of(header, 8)) | {"LATS": payload}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0",
        b"\0\0",
        b"\0\0\0\0",
        b"\0\0\x80",
        b"\0\0\x80\0",
        b"\0\0\5abcd",
        b"\xff" * 5,
        b"\xff\xff\xff\xff\xff\x01\0\0",
        b"\0\0\1ab",
    ],
)
def test_impossible_lengths_of_bands(payload: bytes) -> None:
    header = Header("latentgrid", "L", 3, 1100)
    for action in (grids.validate, parse):
        with pytest.raises(Corrupt) as caught:
            action(header, with_lats(payload))
        assert caught.value.field == "LATS"


@pytest.mark.parametrize("tag", ["PARM", "NETW", "LATS", "ALPH"])
def test_a_section_that_is_missing(tag: str) -> None:
    header = Header("latentgrid", "LA", 5, 4)
    sections = {name: payload for name, payload in sections_of(header) if name != tag}
    for action in (grids.validate, parse):
        with pytest.raises(Corrupt) as caught:
            action(header, sections)
        assert caught.value.field == tag


def test_weights_with_bytes_left_over() -> None:
    header = Header("latentgrid", "L", 5, 4)
    sections = dict(sections_of(header))
    sections["NETW"] += b"abcdef"
    with pytest.raises(Corrupt) as caught:
        parse(header, sections)
    assert caught.value.field == "NETW"


def test_a_large_picture_of_few_bytes_allocates_little() -> None:
    """What is not asked for is not decoded: a corner of 2^31 - 1 rows, but for the lengths of the bands."""
    rows = 2**24
    header = Header("latentgrid", "L", 1, rows)
    empty = grids.pack_weights([np.zeros(count, np.int32) for count in counts(8)])
    lats = bytes(-(-rows // grids.BAND))
    data = container.pack(header, [("PARM", parameters_of(8).pack()), ("NETW", empty), ("LATS", lats)])
    began = time.perf_counter()
    dsncodec.verify(data)
    assert pixels_of(data, region=(0, rows - 5, 1, rows)).shape == (5, 1)
    assert time.perf_counter() - began < 5


# --- hostile bytes


@pytest.mark.parametrize("mode", ["L", "RGBA"])
@pytest.mark.filterwarnings("ignore:.*follow the last section:dsncodec.errors.DsnWarning")
def test_every_truncation_and_change(mode: str, path: str) -> None:
    data = campaigns.small_file("latentgrid", "plain", mode, 5, 4)
    began = time.perf_counter()
    for length in range(0, len(data), 3):
        with pytest.raises(DsnError):
            dsncodec.decode(with_fixed_checksums(data[:length]), threads=1)
    for at in range(8, len(data)):
        changed = with_fixed_checksums(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            image = dsncodec.decode(changed, threads=1, max_pixels=2**16)
        except DsnError:
            continue
        assert image.size == dsncodec.read_info(changed).size
    assert time.perf_counter() - began < 120


def test_the_checksums_of_sections_are_compared() -> None:
    data = bytearray(file_of("L", 5, 4))
    stream = io.BytesIO(data)
    _, sections, _ = read_structure(stream, None)
    data[sections["LATS"].offset] ^= 1
    with pytest.raises(Corrupt):
        dsncodec.verify(bytes(data))
