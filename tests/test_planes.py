"""Pictures in and out, against Pillow and NumPy."""

from __future__ import annotations

import contextlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from dsncodec.errors import LossWarning, SettingError
from dsncodec.planes import Picture, crop_padded, to_pillow, to_pixels, to_planes
from dsncodec.reading import read_picture

from .conftest import CHANNELS, MODES, UInt8Array, noise, picture

pixels_hwc = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def all_colours() -> UInt8Array:
    """The corners of the cube and a grid inside it."""
    steps = np.linspace(0, 255, 18).round().astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), -1).reshape(18 * 18, 18, 3)


def test_ycbcr_is_pillows() -> None:
    colours = all_colours()
    theirs = np.asarray(Image.fromarray(colours).convert("YCbCr")).astype(float)
    ours = to_planes(colours).transpose(1, 2, 0) * 255
    assert np.abs(ours - theirs).max() <= 1


def test_rgb_comes_back() -> None:
    colours = all_colours()
    back = to_pixels(to_planes(colours))
    assert np.abs(back.astype(int) - colours).max() <= 1


@given(pixels_hwc)
def test_any_rgb_comes_back(pixels: UInt8Array) -> None:
    assert np.abs(to_pixels(to_planes(pixels)).astype(int) - pixels).max() <= 1


def test_grey_comes_back_exactly() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    planes = to_planes(grey)
    assert planes.shape == (1, 16, 16) and planes.dtype == np.float32
    np.testing.assert_array_equal(to_pixels(planes), grey)


def test_grey_colours_are_neutral_both_ways() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    planes = to_planes(grey)
    np.testing.assert_allclose(planes[1:], 128 / 255, atol=1e-6)
    planes[1:] = np.float32(128 / 255)
    np.testing.assert_array_equal(to_pixels(planes), grey)


def test_pixels_are_clipped_and_rounded_half_up() -> None:
    planes = np.array([[[-1.0, 2.0, 0.5, 1.4999 / 255]]], np.float32)
    assert to_pixels(planes).ravel().tolist() == [0, 255, 128, 1]


# --- windows


@given(
    pixels=hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))),
    data=st.data(),
)
def test_crop_padded_is_numpy_pad(pixels: UInt8Array, data: st.DataObject) -> None:
    rows, columns = pixels.shape[:2]
    padded = np.pad(pixels, ((0, 10), (0, 10), (0, 0)), "edge")
    y0, x0 = data.draw(st.integers(0, rows + 4)), data.draw(st.integers(0, columns + 4))
    y1, x1 = data.draw(st.integers(y0 + 1, rows + 10)), data.draw(st.integers(x0 + 1, columns + 10))
    window = crop_padded(pixels, slice(y0, y1), slice(x0, x1))
    np.testing.assert_array_equal(window, padded[y0:y1, x0:x1])


# --- what is read


@pytest.mark.parametrize("mode", MODES)
def test_our_modes_are_kept(mode: str) -> None:
    image = picture(mode, 7, 5)
    read = read_picture(image)
    assert (read.mode, read.size, read.pixels.shape) == (mode, (7, 5), (5, 7, CHANNELS[mode]))
    again = to_pillow(read)
    assert again.mode == mode and again.tobytes() == image.tobytes()


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [
        ("1", "L"),
        ("P", "RGB"),
        ("La", "LA"),
        ("PA", "RGBA"),
        ("RGBa", "RGBA"),
        ("RGBX", "RGB"),
        ("CMYK", "RGB"),
        ("YCbCr", "RGB"),
        ("HSV", "RGB"),
    ],
)
def test_other_modes_are_converted_as_pillow_does(mode: str, becomes: str) -> None:
    source = picture("RGBA", 6, 4)
    if mode == "La":
        image = source.convert("LA").convert("La")
    elif mode == "RGBa":
        image = source.convert("RGBa")
    elif mode == "PA":
        image = source.convert("RGB").convert("P").convert("PA")
    else:
        image = source.convert("RGB").convert(mode)
    with pytest.warns(LossWarning, match="guess") if mode == "CMYK" else contextlib.nullcontext():
        read = read_picture(image)
    assert read.mode == becomes
    assert to_pillow(read).tobytes() == image.convert(becomes).tobytes()


def test_lab_is_converted() -> None:
    white = Image.new("LAB", (2, 2), (255, 128, 128))
    assert read_picture(white).mode == "RGB" and read_picture(white).pixels.min() > 250


def test_palette_with_transparency() -> None:
    image = picture("RGB", 8, 8).quantize(4)
    image.info["transparency"] = 0
    read = read_picture(image)
    assert read.mode == "RGBA"
    np.testing.assert_array_equal(read.pixels[..., 3] == 0, np.asarray(image) == 0)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [((4, 5), "L"), ((4, 5, 1), "L"), ((4, 5, 2), "LA"), ((4, 5, 3), "RGB"), ((4, 5, 4), "RGBA")],
)
def test_arrays(shape: tuple[int, ...], mode: str) -> None:
    array = noise(4, 5 * (shape[2] if len(shape) > 2 else 1)).reshape(shape)
    read = read_picture(array)
    assert (read.mode, read.size) == (mode, (5, 4))
    np.testing.assert_array_equal(read.pixels.reshape(shape), array)
    turned = read_picture(np.ascontiguousarray(array.swapaxes(0, 1)).swapaxes(0, 1))
    np.testing.assert_array_equal(turned.pixels, read.pixels)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5), np.float32),
        np.zeros((4, 5), np.uint16),
        np.zeros((4, 5), bool),
        np.zeros((4, 5, 5), np.uint8),
        np.zeros((2, 4, 5, 3), np.uint8),
        np.zeros((0, 5), np.uint8),
        np.zeros((5, 0, 3), np.uint8),
        np.zeros((4, 5, 0), np.uint8),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_impossible_arrays(array: UInt8Array) -> None:
    with pytest.raises(SettingError, match=r"array must be uint8|is empty"):
        read_picture(array)


def test_empty_pillow_image() -> None:
    with pytest.raises(SettingError, match="0 x 3"):
        read_picture(Image.new("RGB", (0, 3)))


@pytest.mark.parametrize("thing", [None, 7, [[1, 2]]])
def test_not_a_picture(thing: object) -> None:
    with pytest.raises(SettingError, match="Pillow image"):
        read_picture(thing)  # type: ignore[arg-type]


def test_paths_and_files(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture("RGB", 7, 5).save(path)
    expected = read_picture(picture("RGB", 7, 5)).pixels
    with open(path, "rb") as stream:
        data = path.read_bytes()
        for source in (
            path,
            str(path),
            BytesIO(data),
            stream,
            data,
            bytearray(data),
            np.frombuffer(data, np.uint8),
        ):
            np.testing.assert_array_equal(read_picture(source).pixels, expected)
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "absent.png")
    with pytest.raises(OSError):
        read_picture(tmp_path)
    with pytest.raises(OSError):
        read_picture(BytesIO(b"no picture"))
    with pytest.raises(OSError, match="not a picture"):
        read_picture(b"no picture")


def test_metadata_is_read_and_given_back() -> None:
    image = picture("RGB", 4, 4)
    image.info |= {"icc_profile": b"profile", "exif": b"Exif\0\0data", "xmp": "<x/>"}
    read = read_picture(image)
    assert (read.icc_profile, read.exif, read.xmp) == (b"profile", b"Exif\0\0data", b"<x/>")
    info = to_pillow(read).info
    assert info == {"icc_profile": b"profile", "exif": b"Exif\0\0data", "xmp": b"<x/>"}
    assert to_pillow(Picture(read.pixels, "RGB")).info == {}


def test_a_profile_of_inks_is_not_kept_for_rgb() -> None:
    image = Image.new("CMYK", (2, 2))
    image.info |= {"icc_profile": b"inks", "exif": b"kept"}
    with pytest.warns(LossWarning, match="profile cannot be used"):
        read = read_picture(image)
    assert (read.icc_profile, read.exif) == (b"", b"kept")
    assert image.info["icc_profile"] == b"inks"  # the caller's image is left alone
