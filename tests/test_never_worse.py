"""No file of method "restored" shows a picture less well than the codec inside alone, and what it says it won is what a
reader gets: whole pictures of 0.2 megapixels and more, whose blocks differ, at all base codecs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec import carriers
from dsncodec.carriers import BASE_CODECS
from dsncodec.methods.restored import codec as restored
from dsncodec.methods.restored.bitstream import GAIN_STEP_DB
from dsncodec.methods.restored.half_size import doubled
from dsncodec.methods.restored.similarity import Similarity
from dsncodec.metrics import luma, psnr_db, ssim

from .conftest import UInt8Array, noise, picture
from .pictures import flat, photograph, scene, signs, text_page

SSIM_LOSS = 0.0005

weighty = pytest.mark.weights


def grey_of(colour: UInt8Array) -> UInt8Array:
    return luma(colour if colour.shape[2] == 3 else colour[..., 0])


def best_plain(colour: UInt8Array, base: str, effort: int, limit: int) -> UInt8Array | None:
    """The best picture that the codec alone has at full size, in no more bytes than ``limit``."""
    qualities = BASE_CODECS[base].qualities
    files: dict[int, bytes] = {}

    def fits(quality: int) -> bool:
        files[quality] = carriers.encode_base(colour, quality, base, effort, 1)
        return len(files[quality]) <= limit

    low, high = -1, len(qualities)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(qualities[middle]) else (low, middle)
    shown = [carriers.decode_base(file, colour.shape) for file in files.values() if len(file) <= limit]
    return max(shown, key=partial(psnr_db, colour), default=None)


def judged(pixels: UInt8Array, least_db: float = 0.0, **settings: Any) -> dsncodec.ImageInfo:
    """Code and decode a picture, and compare what a reader gets with what the codec alone gives, and with ``least_db``."""
    data = dsncodec.encode(pixels, "restored", tune="psnr", threads=1, **settings)
    info = dsncodec.read_info(data)
    planes = 3 if info.mode.startswith("RGB") else 1
    colour = np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], -1)[..., :planes])

    def opened(reduce: bool) -> UInt8Array:
        shown = np.asarray(dsncodec.decode(data, preview=reduce, threads=1))
        return np.ascontiguousarray(shown.reshape(*shown.shape[:2], -1)[..., :planes])

    shown, base = opened(False), opened(True)
    if info.lossless:
        np.testing.assert_array_equal(shown, colour)
        return info
    if info.scale == 2:
        base = doubled(base, colour.shape)
    if info.mode.endswith("A"):  # what alpha hides does not count
        seen = pixels[..., -1] > 0
        reached, of_base = (psnr_db(colour[seen][None], of[seen][None]) for of in (shown, base))
    else:
        reached, of_base = psnr_db(colour, shown), psnr_db(colour, base)
    assert reached >= max(of_base, least_db)
    gain = 0.0 if math.isinf(of_base) else reached - of_base
    told = min(gain, 255 * GAIN_STEP_DB)
    assert info.gain_db == pytest.approx(told, abs=GAIN_STEP_DB / 2 + 0.01)
    assert (info.gain_db == 0) == (info.model == "")
    plain: UInt8Array | None = base
    if info.scale == 2 and settings.get("scale") is None:
        effort = settings.get("effort", 5)
        plain = best_plain(colour, info.backends["BASE"], effort, info.sections["BASE"])
    if plain is not None:
        assert reached >= psnr_db(colour, plain)
        if min(colour.shape[:2]) >= 11:
            least = ssim(grey_of(colour), grey_of(plain)) - SSIM_LOSS
            assert ssim(grey_of(colour), grey_of(shown)) >= least
    return info


SIGNS = {  # where four blocks say something else than the whole picture
    "PSNR": partial(signs, seed=1, part=5, contrast=100, dots=1),
    "SSIM": partial(signs, seed=0, part=3),
    "weak": partial(signs, seed=1, part=8),
}


@weighty
@pytest.mark.parametrize(
    ("kind", "quality"), [("PSNR", 2), ("PSNR", 7), ("SSIM", 3), ("SSIM", 10), ("weak", 10)]
)
@pytest.mark.parametrize("effort", [4, 5])
def test_where_blocks_differ(kind: str, quality: int, effort: int) -> None:
    judged(SIGNS[kind](), quality=quality, effort=effort)


@weighty
@pytest.mark.parametrize(
    ("make", "quality", "effort"),
    [
        (partial(scene, seed=3), 5, 4),
        (partial(scene, seed=4), 16, 5),
        (partial(scene, seed=5), 95, 5),
        (text_page, 12, 4),
        (text_page, 75, 5),
        (partial(photograph, "coffee.png"), 24, 5),
        (partial(photograph, "rocket.jpg"), 9, 4),
        (partial(photograph, "rocket.jpg"), 50, 5),
        (partial(photograph, "astronaut.png"), 5, 5),
        (partial(photograph, "astronaut.png"), 20, 7),
        (partial(photograph, "ihc.png"), 16, 4),
    ],
)
def test_photographs_scenes_and_text(make: Callable[[], UInt8Array], quality: int, effort: int) -> None:
    judged(make(), quality=quality, effort=effort)


@weighty
@pytest.mark.parametrize("base", [name for name in BASE_CODECS if name != "avif"])
@pytest.mark.parametrize(
    ("make", "quality"),
    [
        (SIGNS["PSNR"], 5),
        (SIGNS["SSIM"], 12),
        (partial(photograph, "rocket.jpg"), 8),
        (partial(scene, seed=6), 60),
        (text_page, 95),
    ],
)
def test_the_other_base_codecs(base: str, make: Callable[[], UInt8Array], quality: int) -> None:
    judged(make(), base=base, quality=quality, effort=5)


@weighty
@pytest.mark.parametrize("base", BASE_CODECS)
def test_grey_alpha_flat_and_tiny(base: str) -> None:
    coffee = photograph("coffee.png")
    alpha = np.broadcast_to(np.arange(coffee.shape[1], dtype=np.uint8)[None, :, None], (*coffee.shape[:2], 1))
    judged(luma(SIGNS["PSNR"]()), base=base, quality=5, effort=4)
    judged(np.concatenate([coffee, alpha], 2), base=base, quality=10, effort=4)
    judged(flat("skin", 640, 400), base=base, quality=10, effort=4)
    judged(noise(420, 520), base=base, quality=30, effort=4)
    if base == "jpeg":
        judged(np.tile(SIGNS["weak"]()[-70:], (1, 4, 1)), base=base, quality=50, effort=4)
    for size in ((1, 1), (1, 17), (9, 40), (33, 33)):
        for mode in ("L", "RGBA"):
            judged(np.asarray(picture(mode, *size)), base=base, quality=8, effort=4)


@weighty
def test_targets() -> None:
    """What was asked for is reached, as a reader has it, and the file is as good as any other."""
    pixels = np.ascontiguousarray(SIGNS["SSIM"]()[:, :280])
    info = judged(pixels, target_bytes=1600, effort=4)
    assert info.size_bytes <= 1600
    info = judged(pixels, target_bpp=0.12, effort=5)
    assert info.bpp <= 0.12
    judged(pixels, target_psnr_db=32.5, effort=4, least_db=32.5)


@weighty
def test_half_the_size_by_hand() -> None:
    """Beside its own base picture, doubled."""
    for kind in ("PSNR", "SSIM"):
        assert judged(SIGNS[kind](), scale=2, quality=20, effort=4).scale == 2


@weighty
def test_other_base_codecs_at_high_effort() -> None:
    """Where another base codec takes the first one's place, neither PSNR nor SSIM falls, and bytes do not rise."""
    pixels = np.ascontiguousarray(SIGNS["SSIM"]()[:, :420])
    first = dsncodec.encode(pixels, "restored", tune="psnr", base="avif", quality=10, effort=8, scale=1)
    any_base = dsncodec.encode(pixels, "restored", tune="psnr", quality=10, effort=8)
    assert dsncodec.read_info(any_base).sections["BASE"] <= dsncodec.read_info(first).sections["BASE"]
    plain = np.asarray(dsncodec.decode(first, preview=True))
    shown = np.asarray(dsncodec.decode(any_base))
    assert psnr_db(pixels, shown) >= psnr_db(pixels, np.asarray(dsncodec.decode(first)))
    assert ssim(luma(pixels), luma(shown)) >= ssim(luma(pixels), luma(plain)) - SSIM_LOSS


@weighty
def test_a_picture_larger_than_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample finds the strength, and the whole picture has the say."""
    monkeypatch.setattr(restored, "MOST_KEPT_PIXELS", 100_000)
    judged(SIGNS["PSNR"](), quality=7, effort=4)
    judged(SIGNS["SSIM"](), quality=3, effort=5)
    judged(photograph("rocket.jpg"), quality=50, effort=6)
    judged(np.ascontiguousarray(scene(seed=7, width=1600)[300:370]), quality=50, effort=4)  # no block fits


def test_a_quick_ssim_is_ssim() -> None:
    for colour in (
        scene(),
        noise(401, 503)[..., None],
        text_page(),
        picture_of((40, 33, 3)),
        picture_of((11, 300, 1)),
    ):
        reference = Similarity(colour)
        for quality in (5, 60):
            coded = carriers.encode_base(colour, quality, "jpeg", 5, 1)
            other = carriers.decode_base(coded, colour.shape)
            assert reference(other) == pytest.approx(ssim(grey_of(colour), grey_of(other)), abs=0.00002)
        assert reference(colour) == pytest.approx(1, abs=1e-5)
    for shape in ((10, 40, 3), (1, 1, 1)):
        assert Similarity(picture_of(shape))(255 - picture_of(shape)) == 1


def picture_of(shape: tuple[int, int, int]) -> UInt8Array:
    mode = "L" if shape[2] == 1 else "RGB"
    image: Image.Image = picture(mode, shape[1], shape[0])
    return np.asarray(image).reshape(shape)
