"""The DSN method: planes -> sections of bytes, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsncodec import carriers, container, methods
from dsncodec.container import Header
from dsncodec.errors import Corrupt, SettingError, UnsupportedVersion
from dsncodec.methods.coconet import bitstream as coordinates
from dsncodec.methods.coconet import encoder as coconet
from dsncodec.methods.dsn import bitstream as layer
from dsncodec.methods.dsn import codec as dsn
from dsncodec.methods.dsn.bitstream import Parameters, Parsed, Point, latent_shapes, parse
from dsncodec.methods.dsn.codec import Encoder
from dsncodec.methods.latentgrid import bitstream as grids
from dsncodec.methods.latentgrid import encoder as latentgrid
from dsncodec.methods.restored import bitstream as base
from dsncodec.methods.restored import codec as restored
from dsncodec.networks import registry
from dsncodec.options import CocoNet, DeepSampling, LatentGrid, Restored, options_of
from dsncodec.reading import read_picture

from .conftest import CHANNELS, MODES, UInt8Array, picture

SCALES = (2, 3, 4)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiles so small that a tiny picture has many."""
    monkeypatch.setattr(dsn, "TILE", 24)
    yield


def encoder_of(mode: str, width: int, height: int, threads: int = 1, coder: str = "lzma2") -> Encoder:
    pixels = read_picture(picture(mode, width, height)).pixels
    return Encoder(Header("dsn", mode, width, height), pixels, threads, entropy_coder=coder)


def layer_of(encoder: Encoder, point: Point) -> Parsed:
    return parse(encoder.header, dict(encoder.sections(point)))


def whole(encoder: Encoder, point: Point) -> UInt8Array:
    return dsn.decode(layer_of(encoder, point), None, 1)


# --- the method table


def test_methods_agree_with_the_wire() -> None:
    assert set(methods.METHODS) == set(container.METHODS.values())
    assert container.METHODS == {1: "dsn", 2: "restored", 3: "coconet", 4: "latentgrid"}
    assert container.MODES == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    assert methods.coder(DeepSampling()) is dsn and methods.coder(Restored()) is restored
    assert methods.coder(CocoNet()) is coconet and methods.parser("coconet") is coordinates
    assert methods.coder(LatentGrid()) is latentgrid and methods.parser("latentgrid") is grids
    assert methods.parser("dsn") is layer and methods.parser("restored") is base


def test_unknown_method() -> None:
    with pytest.raises(SettingError, match="one of restored, dsn, latentgrid, coconet, best"):
        options_of("jpeg", {})


# --- parameters and shapes


def test_parameters_byte_by_byte() -> None:
    packed = Parameters(Point(3, 256, 16), b"abcdefgh").pack()
    assert packed == b"\x03\xff\x0fabcdefgh"
    assert Parameters.unpack(packed) == Parameters(Point(3, 256, 16), b"abcdefgh")


@given(
    point=st.builds(Point, st.integers(1, 16), st.integers(2, 256), st.integers(2, 256)),
    model_id=st.binary(min_size=8, max_size=8),
)
def test_any_parameters_survive(point: Point, model_id: bytes) -> None:
    parameters = Parameters(point, model_id)
    assert Parameters.unpack(parameters.pack()) == parameters


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x03\xff\x0fabcdefg",
        b"\x03\xff\x0fabcdefghi",
        b"\0\xff\x0fabcdefgh",
        b"\x11\xff\x0fabcdefgh",
        b"\x03\0\x0fabcdefgh",
        b"\x03\xff\0abcdefgh",
    ],
)
def test_impossible_parameters(payload: bytes) -> None:
    with pytest.raises(Corrupt) as caught:
        Parameters.unpack(payload)
    assert caught.value.field == "PARM"


@given(width=st.integers(1, 999), height=st.integers(1, 999), scale=st.integers(2, 4))
def test_latent_shapes_cover_the_picture(width: int, height: int, scale: int) -> None:
    grey, none = latent_shapes(Header("dsn", "LA", width, height), scale)
    assert none == (0, 0, 0)
    luma, chroma = latent_shapes(Header("dsn", "RGBA", width, height), scale)
    assert luma[1:] == (2 * chroma[1], 2 * chroma[2]) and (luma[0], chroma[0]) == (1, 2)
    for shape, step in ((grey, scale), (chroma, 2 * scale)):
        for count, side in zip(shape[1:], (height, width)):
            assert (count - 1) * step < side <= count * step


# --- there and back


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (33, 1), (25, 14)], ids=str)
def test_every_mode_and_odd_size(mode: str, size: tuple[int, int], scale: int) -> None:
    encoder = encoder_of(mode, *size)
    point = Point(scale, 64, 32)
    decoded = whole(encoder, point)
    assert decoded.shape == (size[1], size[0], CHANNELS[mode]) and decoded.dtype == np.uint8
    if encoder.alpha is not None:
        np.testing.assert_array_equal(decoded[..., -1], encoder.alpha)
    colour = decoded[..., : encoder.header.colour_planes]
    np.testing.assert_array_equal(colour, encoder.reconstruct(point))


@pytest.mark.parametrize("mode", MODES)
def test_sections(mode: str) -> None:
    encoder = encoder_of(mode, 9, 8, coder="jpegls")
    expected = {
        "L": ["PARM", "LUMA"],
        "LA": ["PARM", "LUMA", "ALPH"],
        "RGB": ["PARM", "LUMA", "CHRO"],
        "RGBA": ["PARM", "LUMA", "CHRO", "ALPH"],
    }
    assert [tag for tag, _ in encoder.sections(Point(2, 16, 16))] == expected[mode]


@pytest.mark.parametrize("scale", SCALES)
def test_symbols_of_one_and_two_threads_are_the_same(scale: int) -> None:
    point = Point(scale, 256, 256)
    for one, two in zip(
        encoder_of("RGB", 50, 41, 1).symbols(point), encoder_of("RGB", 50, 41, 2).symbols(point)
    ):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_latents_and_pixels_do_not_depend_on_tiles(
    mode: str, scale: int, request: pytest.FixtureRequest
) -> None:
    encoder = encoder_of(mode, 61, 47)
    point = Point(scale, 32, 32)
    latents, pixels = encoder.latents(scale), whole(encoder, point)
    layer = layer_of(encoder, point)
    request.getfixturevalue("small_tiles")
    for untiled, tiled in zip(latents, encoder_of(mode, 61, 47).latents(scale)):
        np.testing.assert_allclose(tiled, untiled, atol=1e-6)
    assert np.abs(dsn.decode(layer, None, 1).astype(int) - pixels).max() <= 1  # a value may lie on an edge


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_region_is_a_crop(mode: str, scale: int) -> None:
    width, height = 83, 57
    layer = layer_of(encoder_of(mode, width, height), Point(scale, 32, 32))
    full = dsn.decode(layer, None, 1)

    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        y1 = data.draw(st.integers(y0 + 1, height))
        x1 = data.draw(st.integers(x0 + 1, width))
        region = dsn.decode(layer, (slice(y0, y1), slice(x0, x1)), 1)
        np.testing.assert_array_equal(region, full[y0:y1, x0:x1])

    check()


@pytest.mark.parametrize("levels", [2, 3, 16, 255, 256])
def test_the_layer_as_a_picture(levels: int) -> None:
    """Grey: the symbols stretched to 0..255, as greys that the model maps to them; of no known model, as they are. Alpha is
    averaged."""
    encoder = encoder_of("LA", 10, 7)
    layer = layer_of(encoder, Point(3, levels, levels))
    shown = layer.preview()
    assert shown.shape == (3, 4, 2)
    colours = registry.for_scale(3).layer_map
    assert colours is not None
    greys = np.interp(layer.luma[0] / (levels - 1), colours.luma, np.linspace(0, 255, len(colours.luma)))
    np.testing.assert_allclose(shown[..., 0], greys, atol=0.51)
    plain = replace(layer, parameters=replace(layer.parameters, model_id=b"no model")).preview()
    np.testing.assert_allclose(plain[..., 0], layer.luma[0] * (255 / (levels - 1)), atol=0.51)
    assert encoder.alpha is not None
    np.testing.assert_allclose(shown[0, 0, 1], encoder.alpha[:3, :3].mean(), atol=0.51)
    np.testing.assert_allclose(shown[2, 3, 1], encoder.alpha[6, 9], atol=0.51)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [1, *SCALES])
def test_the_layer_does_not_depend_on_strips(mode: str, scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    header = Header("dsn", mode, 21, 35)
    shapes = (*latent_shapes(header, scale), (35, 21))
    luma, chroma, alpha = (np.random.default_rng(1).integers(0, 8, s, np.uint8) for s in shapes)
    model_id = bytes(8) if scale == 1 else registry.for_scale(scale).wire_id
    layer = Parsed(
        header, Parameters(Point(scale, 8, 8), model_id), luma, chroma, alpha if header.has_alpha else None
    )
    whole = layer.preview()
    monkeypatch.setattr("dsncodec.methods.dsn.bitstream.STRIP", 4)
    np.testing.assert_array_equal(layer.preview(), whole)


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
def test_grey_pixels_stay_neutral(levels: int) -> None:
    grey = np.repeat(read_picture(picture("L", 40, 30)).pixels, 3, 2)
    for scale in SCALES:
        encoder = Encoder(Header("dsn", "RGB", 40, 30), grey, 1)
        point = Point(scale, 64, levels)
        for pixels in (whole(encoder, point), layer_of(encoder, point).preview()):
            assert pixels.shape[2] == 3 and np.ptp(pixels, axis=2).max() == 0


# --- refinement


def test_the_rate_gradient_is_the_slope_of_the_rate() -> None:
    latent = np.random.default_rng(3).random((1, 6, 5))

    def bits(plane: np.ndarray) -> float:
        error = plane[0, 1:, 1:] - plane[0, 1:, :-1] - plane[0, :-1, 1:] + plane[0, :-1, :-1]
        return float(np.log2(1 + np.abs(error) * (dsn.RATE_LEVELS - 1)).sum())

    gradient = dsn._rate_gradient(latent)
    for row in range(6):
        for column in range(5):
            step = np.zeros_like(latent)
            step[0, row, column] = 1e-6
            slope = (bits(latent + step) - bits(latent - step)) / 2e-6
            assert abs(slope - gradient[0, row, column]) < 1e-4 * max(1, abs(slope))


@pytest.mark.parametrize("scale", SCALES)
def test_effort_brings_the_decoded_picture_nearer(scale: int) -> None:
    pixels = read_picture(picture("L", 60, 48)).pixels
    header, point = Header("dsn", "L", 60, 48), Point(scale, 256, 256)
    errors = []
    for effort in (0, 6, 9):
        decoded = Encoder(header, pixels, 1, effort).reconstruct(point).astype(float)
        errors.append(np.square(decoded - pixels).mean())
    assert errors[0] > errors[1] > errors[2]


def test_refinement_does_not_depend_on_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = read_picture(picture("L", 80, 70)).pixels
    header, point = Header("dsn", "L", 80, 70), Point(3, 256, 256)
    whole_frame = Encoder(header, pixels, 1, 6).symbols(point)[0].astype(int)
    monkeypatch.setattr(dsn, "TILE", 24)
    tiled = Encoder(header, pixels, 1, 6).symbols(point)[0].astype(int)
    apart = np.abs(tiled - whole_frame)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.01  # a last bit may tip a rounding


# --- what a file may not say


def sections_of(mode: str = "RGBA") -> tuple[Header, dict[str, bytes]]:
    encoder = encoder_of(mode, 9, 8)
    return encoder.header, dict(encoder.sections(Point(3, 16, 16)))


@pytest.mark.parametrize("tag", ["PARM", "LUMA", "CHRO", "ALPH"])
def test_a_missing_section_is_named(tag: str) -> None:
    header, sections = sections_of()
    del sections[tag]
    with pytest.raises(Corrupt, match="missing") as caught:
        parse(header, sections)
    assert caught.value.field == tag


def test_a_layer_of_another_size_is_refused() -> None:
    header, sections = sections_of()
    for other in (Header("dsn", "RGBA", 9, 80), Header("dsn", "RGBA", 13, 8)):
        with pytest.raises(Corrupt):
            parse(other, sections)
    sections["CHRO"] = carriers.encode(np.zeros((2, 1, 1), np.uint8), 16, "lzma2", 0)
    with pytest.raises(Corrupt):
        parse(header, sections)


def test_unknown_model_and_model_of_another_scale() -> None:
    header, sections = sections_of()
    unknown = {**sections, "PARM": Parameters(Point(3, 16, 16), b"unknown!").pack()}
    layer = parse(header, unknown)
    assert layer.preview().shape == (3, 3, 4)
    with pytest.raises(UnsupportedVersion, match=b"unknown!".hex()):
        dsn.decode(layer, None, 1)
    other = {**sections, "PARM": Parameters(Point(3, 16, 16), registry.for_scale(2).wire_id).pack()}
    with pytest.raises(Corrupt, match="not for scale 3"):
        dsn.decode(parse(header, other), None, 1)
