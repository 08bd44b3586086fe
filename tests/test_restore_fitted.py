"""Restoration by networks that are fitted to one picture: denoise, complete, upsample; and their verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import dsncodec
from dsncodec.cli import main
from dsncodec.codecs.coordinates import Shape
from dsncodec.errors import SettingError
from dsncodec.metrics import psnr_db
from dsncodec.train import coconet, fitted

from .conftest import MODES, UInt8Array, picture

FAST: dict[str, Any] = {"steps": 3, "threads": 1}
SMALL = Shape("sine", 2, 16, 2)


def smooth(side: int = 24) -> UInt8Array:
    y, x = np.mgrid[:side, :side] / side
    planes = [120 + 80 * np.sin(4 * x + 2 * y), 128 + 90 * np.cos(5 * y), 100 + 100 * x * y]
    return np.stack(planes, -1).astype(np.uint8)


def noisy(clean: UInt8Array, sigma: float = 20, seed: int = 0) -> UInt8Array:
    grain = np.random.default_rng(seed).normal(0, sigma, clean.shape)
    return np.clip(clean + grain + 0.5, 0, 255).astype(np.uint8)


# --- denoise


def test_noise_goes_and_the_fit_ends_by_itself() -> None:
    clean = smooth()
    told: list[float] = []
    both = np.stack([noisy(clean), noisy(clean[::-1], seed=1)])
    found = fitted.denoised(
        SMALL, both, coconet.Budget(steps=5000), copies=2, report=lambda part, _: told.append(part)
    )
    assert len(told) < 2500
    for one, want, before in zip(found, (clean, clean[::-1]), both):
        assert psnr_db(want, one) > psnr_db(want, before) + 5


def test_what_is_held_out_does_not_teach() -> None:
    """Where a network must not look, any colour may stand."""
    clean = smooth(12)
    seen = torch.ones(1, 1, 144)
    seen[..., 50:60] = 0
    results = []
    for value in (0, 255):
        pixels = clean.reshape(-1, 3).copy()
        pixels[50:60] = value
        fit = coconet.fit_to(SMALL, pixels.reshape(12, 12, 3), fitted.restoring("sine"))
        fit.seen = seen
        fit.run(coconet.Clock(coconet.Budget(steps=5)))
        results.append([layer.detach() for layer in fit.layers])
    for one, other in zip(*results):
        assert torch.equal(one, other)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (13, 9)], ids=str)
def test_denoise_keeps_mode_size_metadata_and_alpha(size: tuple[int, int], mode: str) -> None:
    image = picture(mode, *size)
    image.info["exif"] = b"Exif\0\0"
    back = dsncodec.denoise(image, **FAST)
    assert (back.mode, back.size, back.info["exif"]) == (mode, size, b"Exif\0\0")
    if mode.endswith("A"):
        np.testing.assert_array_equal(back.getchannel("A"), image.getchannel("A"))


# --- complete


def test_a_hole_is_filled_and_the_rest_stays() -> None:
    clean = smooth()
    missing = np.zeros((24, 24), bool)
    missing[8:13, 10:16] = True
    broken = clean.copy()
    broken[missing] = 255
    found = fitted.completed(SMALL, broken, missing, coconet.Budget(steps=300))
    np.testing.assert_array_equal(found[~missing], clean[~missing])
    middle = broken[~missing].mean(0).astype(np.uint8)
    apart, flat = (np.abs(guess.astype(int) - clean[missing]).mean() for guess in (found[missing], middle))
    assert apart < 0.6 * flat


def test_masks_of_every_kind() -> None:
    image = picture("RGBA", 9, 7)
    missing = np.zeros((7, 9), bool)
    missing[2:4, 3:6] = True
    grey = Image.fromarray(missing.astype(np.uint8) * 255)
    found = [
        np.asarray(dsncodec.complete(image, mask, **FAST))
        for mask in (missing, grey, grey.convert("1"), grey.convert("RGB"), missing.astype(np.uint8))
    ]
    for one in found:
        np.testing.assert_array_equal(one, found[0])
    np.testing.assert_array_equal(found[0][~missing], np.asarray(image)[~missing])
    np.testing.assert_array_equal(found[0][..., 3], np.asarray(image)[..., 3])
    nothing = dsncodec.complete(image, np.zeros((7, 9), bool), **FAST)
    np.testing.assert_array_equal(np.asarray(nothing), np.asarray(image))


def test_impossible_masks() -> None:
    image = picture("RGB", 9, 7)
    with pytest.raises(SettingError, match="7 x 9"):
        dsncodec.complete(image, np.zeros((9, 7), bool), **FAST)
    with pytest.raises(SettingError, match="whole picture"):
        dsncodec.complete(image, np.ones((7, 9), bool), **FAST)
    with pytest.raises(SettingError, match="whole picture"):
        dsncodec.complete(picture("L", 1, 1), np.ones((1, 1), bool), **FAST)


# --- upsample


@pytest.mark.parametrize("mode", ["L", "RGBA"])
@pytest.mark.parametrize("variant", ["sine", "paper"])
def test_sizes(variant: str, mode: str) -> None:
    large = dsncodec.upsample(picture(mode, 5, 3), 4, model="coconet", variant=variant, **FAST)
    assert (large.mode, large.size) == (mode, (20, 12))


def test_a_smooth_picture_is_enlarged_to_what_it_was() -> None:
    clean = smooth(48)
    small = clean.reshape(24, 2, 24, 2, 3).mean((1, 3)).round().astype(np.uint8)
    found = fitted.enlarged(Shape("sine", 2, 24, 1), small, 2, coconet.Budget(steps=400))
    assert psnr_db(clean, found) > psnr_db(clean, small.repeat(2, 0).repeat(2, 1)) + 3


# --- settings


@pytest.mark.parametrize("setting", [{"seconds": 0}, {"steps": 0}, {"variant": "x"}, {"threads": 0}], ids=str)
def test_impossible_settings(setting: dict[str, Any]) -> None:
    image = picture("RGB", 4, 4)
    for call in (
        lambda: dsncodec.denoise(image, **setting),
        lambda: dsncodec.complete(image, np.zeros((4, 4), bool), **setting),
        lambda: dsncodec.upsample(image, 2, model="coconet", **setting),
    ):
        with pytest.raises(SettingError):
            call()


def test_settings_of_upsample() -> None:
    for more in ({"model": "coconet", "scale": 17}, {"model": "x"}, {"seconds": 3}):
        with pytest.raises(SettingError):
            dsncodec.upsample(picture("RGB", 4, 4), **more)  # type: ignore[arg-type]


# --- verbs


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, mask = tmp_path / "a.png", tmp_path / "mask.png"
    picture("RGB", 12, 9).save(photo)
    Image.fromarray(np.eye(9, 12, dtype=np.uint8) * 255).save(mask)
    fast = ["--steps", "2", "--threads", "1"]
    assert main(["denoise", str(photo), *fast]) == 0
    assert main(["complete", str(photo), "--mask", str(mask), *fast]) == 0
    assert main(["upsample", str(photo), "--scale", "5", "--model", "coconet", *fast]) == 0
    assert main(["encode", str(photo), "--method", "coconet", "--width", "6", *fast]) == 0
    assert "sine, 4 x 6" in capsys.readouterr().out
    assert main(["decode", str(tmp_path / "a.dsn"), "--size", "24x18", "-o", str(tmp_path / "b.png")]) == 0
    assert main(["info", str(tmp_path / "a.dsn")]) == 0
    sizes = {path.name: size_of(path) for path in tmp_path.glob("*.png")}
    assert sizes == {
        "a.png": (12, 9), "mask.png": (12, 9), "a-denoised.png": (12, 9), "a-completed.png": (12, 9),
        "a-up5.png": (60, 45), "b.png": (24, 18),
    }  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["denoise", "--seconds", "0"], ["denoise", "--steps", "0"], ["complete"], ["upsample", "--steps", "3"],
        ["upsample", "--model", "coconet", "--scale", "0"], ["encode", "--steps", "3"],
        ["encode", "--method", "coconet", "--width", "5", "-q", "5"], ["decode", "--size", "0x5"],
    ],
    ids=str,
)  # fmt: skip
def test_bad_usage(arguments: list[str], tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    picture("RGB", 12, 9).save(photo)
    verb, *more = arguments
    assert main([verb, str(photo), *more]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_mask_of_another_size_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, size in (("a.png", (12, 9)), ("mask.png", (9, 12))):
        picture("L", *size).save(tmp_path / name)
    code = main(["complete", str(tmp_path / "a.png"), "--mask", str(tmp_path / "mask.png"), "--steps", "1"])
    assert code == 1
    assert "mask is 9 x 12" in capsys.readouterr().err
