"""Down-SNet and Up-SNet as resamplers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec.errors import SettingError
from dsncodec.metrics import psnr_db

from .conftest import MODES, picture
from .pictures import photograph

SCALES = (2, 3, 4)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (25, 14)], ids=str)
def test_sizes_and_modes(mode: str, size: tuple[int, int], scale: int) -> None:
    image = picture(mode, *size)
    image.info |= {"icc_profile": b"profile", "exif": b"Exif\0\0", "xmp": b"<x/>"}
    small = dsncodec.downsample(image, scale, threads=1)
    assert (small.mode, small.size) == (mode, (-(-size[0] // scale), -(-size[1] // scale)))
    large = dsncodec.upsample(image, scale, threads=1)
    assert (large.mode, large.size) == (mode, (size[0] * scale, size[1] * scale))
    assert small.info == large.info == image.info


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", MODES)
def test_downsample_is_the_layer_of_a_file(mode: str, scale: int) -> None:
    image = picture(mode, 26, 19)
    data = dsncodec.encode(image, scale=scale, levels=256, effort=0)
    layer = dsncodec.decode(data, preview=True)
    assert dsncodec.downsample(image, scale).tobytes() == layer.tobytes()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("scale", SCALES)
def test_upsample_undoes_downsample_as_the_codec_does(scale: int, mode: str) -> None:
    image = Image.fromarray(photograph("coffee.png")[:240, :360]).convert(mode)
    data = dsncodec.encode(image, scale=scale, levels=256, effort=0)
    restored = dsncodec.upsample(dsncodec.downsample(image, scale), scale)
    original = np.asarray(image)
    decoded = psnr_db(original, np.asarray(dsncodec.decode(data)))
    # what is shown has 8 bits, as the symbols have
    assert psnr_db(original, np.asarray(restored)) > decoded - (0.1 if mode == "L" else 0.3)


@pytest.mark.parametrize("scale", SCALES)
def test_colours_are_about_right(scale: int) -> None:
    image = picture("RGB", 20, 15)
    large = dsncodec.upsample(image, scale)
    bicubic = image.resize(large.size, Image.Resampling.BICUBIC)
    assert psnr_db(np.asarray(large), np.asarray(bicubic)) > 20


def test_alpha_is_enlarged_bicubically() -> None:
    image = picture("RGBA", 9, 7)
    large = dsncodec.upsample(image, 2)
    expected = image.getchannel("A").resize((18, 14), Image.Resampling.BICUBIC)
    assert large.getchannel("A").tobytes() == expected.tobytes()


def test_impossible_settings() -> None:
    image = picture("L", 4, 4)
    for action in (dsncodec.downsample, dsncodec.upsample):
        with pytest.raises(SettingError, match="2, 3, 4"):
            action(image, 5)
        with pytest.raises(SettingError, match="threads"):
            action(image, 2, threads=0)
    with pytest.raises(SettingError, match="'nearest'"):
        dsncodec.upsample(image, model="nearest")
