"""What the README promises, on real photos, where the image sets lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec.metrics import bpp, psnr_db

PHOTO = Path(__file__).parent / "photos" / "astronaut.webp"
DATA = Path(__file__).parent.parent.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the image sets are not beside the checkout")


def rgb(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def check_monotone(pixels: np.ndarray) -> None:
    sizes, scores = [], []
    for quality in range(0, 101, 5):
        data = dsncodec.encode(pixels, quality=quality)
        sizes.append(len(data))
        scores.append(psnr_db(pixels, np.asarray(dsncodec.decode(data))))
    assert sizes == sorted(sizes)
    assert scores == sorted(scores)
    assert scores[-1] > scores[0] + 3


def test_the_photo_that_ships_comes_back_better_than_jpeg_at_low_rates(tmp_path: Path) -> None:
    pixels = rgb(PHOTO)
    data = dsncodec.encode(pixels, target_bpp=0.2)
    assert bpp(len(data), 512, 512) <= 0.2
    ours = psnr_db(pixels, np.asarray(dsncodec.decode(data)))
    path = tmp_path / "photo.jpg"
    for quality in range(40, 0, -1):
        Image.fromarray(pixels).save(path, quality=quality, optimize=True, progressive=True)
        if path.stat().st_size <= len(data):
            break
    assert ours > psnr_db(pixels, rgb(path)) + 0.5


@needs_data
@pytest.mark.parametrize("number", [0, 19, 38, 57])
def test_quality_is_monotone_on_tuning_pictures(number: int) -> None:
    check_monotone(rgb(sorted((DATA / "tune" / "div2k256").glob("*.webp"))[number]))


@needs_data
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_learned_sampling_beats_bicubic_on_every_picture_of_set5(scale: int) -> None:
    for path in sorted((DATA / "test" / "set5").glob("*.webp")):
        with Image.open(path) as image:
            luma = image.convert("L")
        luma = luma.crop((0, 0, luma.width // scale * scale, luma.height // scale * scale))
        small = luma.resize((luma.width // scale, luma.height // scale), Image.Resampling.BICUBIC)
        bicubic = small.resize(luma.size, Image.Resampling.BICUBIC)
        ours = dsncodec.decode(dsncodec.encode(luma, scale=scale, levels=256, entropy_coder="jpegls"))
        pixels = np.asarray(luma)
        assert psnr_db(pixels, np.asarray(ours)) > psnr_db(pixels, np.asarray(bicubic)) + 0.5


@needs_data
def test_a_region_of_a_large_photo_is_the_crop_of_the_whole() -> None:
    pixels = rgb(sorted((DATA / "test" / "urban100").glob("*.webp"))[0])
    data = dsncodec.encode(pixels, scale=4, levels=64)
    whole = np.asarray(dsncodec.decode(data))
    for x, y in ((0, 0), (301, 259), (pixels.shape[1] - 256, pixels.shape[0] - 256)):
        crop = np.asarray(dsncodec.decode(data, region=(x, y, x + 256, y + 256)))
        assert (crop == whole[y : y + 256, x : x + 256]).all()
