"""Restoration by networks that are fitted to one picture: denoise, inpaint, upsample; and their verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import dsncodec
from dsncodec.cli import main
from dsncodec.errors import SettingError
from dsncodec.methods.coconet import fit as coconet
from dsncodec.methods.coconet.bitstream import Shape
from dsncodec.metrics import psnr_db
from dsncodec.processing import blind_spot, coordinate_network, noise, zero_shot_sr

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
    found = coordinate_network.denoised(
        SMALL, both, coconet.Budget(steps=5000), copies=2, report=lambda part, _: told.append(part)
    )
    assert len(told) < 2500
    for one, want, before in zip(found, (clean, clean[::-1]), both):
        assert psnr_db(want, one) > psnr_db(want, before) + 5


def test_surroundings_remove_noise_and_the_fit_ends_by_itself() -> None:
    clean = smooth()
    told: list[float] = []
    both = np.stack([noisy(clean), noisy(clean[::-1], seed=1)])
    found = blind_spot.denoised(
        both, coconet.Budget(steps=2000), copies=2, report=lambda part, _: told.append(part)
    )
    assert len(told) < 1000
    for one, want, before in zip(found, (clean, clean[::-1]), both):
        assert psnr_db(want, one) > psnr_db(want, before) + 5


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("sigma", [4, 25])
def test_noise_is_measured(sigma: float, planes: int) -> None:
    found = noise.sigma_of(noisy(smooth(96)[..., :planes], sigma))
    assert abs(found - sigma) < 0.15 * sigma


def test_noise_of_pictures_that_cannot_show_any() -> None:
    for size in ((1, 1), (2, 40), (6, 6)):
        assert noise.sigma_of(np.full((*size, 3), 9, np.uint8)) == 0
    assert noise.sigma_of(np.full((40, 40, 1), 9, np.uint8)) == 0


def test_more_noise_asked_for_makes_smoother() -> None:
    image = noisy(smooth())
    rough = [
        np.abs(
            np.diff(np.asarray(dsncodec.denoise(image, sigma=sigma, steps=60, threads=1)).astype(int), axis=0)
        ).mean()
        for sigma in (2, 40)
    ]
    assert rough[1] < 0.7 * rough[0]


def test_a_pixel_is_not_asked_what_its_own_colour_is() -> None:
    """The guess stays the same when only the pixel itself changes: here with one that is far away."""
    one = noisy(smooth())
    other = one.copy()
    other[3, 4], other[15, 20] = one[15, 20], one[3, 4]
    assert np.any(one != other)
    guesses = []
    for pixels in (one, other):
        blind = blind_spot.BlindSpot(pixels[None], np.array([20], np.float32), 1, seed=0)
        guesses.append(blind.guesses(blind.networks.layers, torch.tensor([3 * 24 + 4])))
    for first, second in zip(*guesses):
        torch.testing.assert_close(first, second, rtol=0, atol=1e-5)


def test_what_is_held_out_does_not_teach() -> None:
    """Where a network must not look, any colour may stand."""
    clean = smooth(12)
    seen = torch.ones(1, 1, 144)
    seen[..., 50:60] = 0
    results = []
    for value in (0, 255):
        pixels = clean.reshape(-1, 3).copy()
        pixels[50:60] = value
        fit = coconet.fit_to(SMALL, pixels.reshape(12, 12, 3), coordinate_network.restoring("sine"))
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


# --- inpaint


def test_a_hole_is_filled_and_the_rest_stays() -> None:
    clean = smooth()
    missing = np.zeros((24, 24), bool)
    missing[8:13, 10:16] = True
    broken = clean.copy()
    broken[missing] = 255
    found = coordinate_network.completed(SMALL, broken, missing, coconet.Budget(steps=300))
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
        np.asarray(dsncodec.inpaint(image, mask, **FAST))
        for mask in (missing, grey, grey.convert("1"), grey.convert("RGB"), missing.astype(np.uint8))
    ]
    for one in found:
        np.testing.assert_array_equal(one, found[0])
    np.testing.assert_array_equal(found[0][~missing], np.asarray(image)[~missing])
    np.testing.assert_array_equal(found[0][..., 3], np.asarray(image)[..., 3])
    nothing = dsncodec.inpaint(image, np.zeros((7, 9), bool), **FAST)
    np.testing.assert_array_equal(np.asarray(nothing), np.asarray(image))


def test_impossible_masks() -> None:
    image = picture("RGB", 9, 7)
    with pytest.raises(SettingError, match="7 x 9"):
        dsncodec.inpaint(image, np.zeros((9, 7), bool), **FAST)
    with pytest.raises(SettingError, match="whole picture"):
        dsncodec.inpaint(image, np.ones((7, 9), bool), **FAST)
    with pytest.raises(SettingError, match="whole picture"):
        dsncodec.inpaint(picture("L", 1, 1), np.ones((1, 1), bool), **FAST)


# --- upsample


@pytest.mark.parametrize("mode", ["L", "RGBA"])
@pytest.mark.parametrize("method", ["zero_shot", "paper"])
@pytest.mark.parametrize("size", [(5, 3), (1, 1)], ids=str)
def test_sizes(size: tuple[int, int], method: str, mode: str) -> None:
    for scale in (4, 5):
        large = dsncodec.upsample(picture(mode, *size), scale, model="coconet", method=method, **FAST)
        assert (large.mode, large.size) == (mode, (size[0] * scale, size[1] * scale))


def test_a_flat_picture_stays_flat() -> None:
    flat = Image.new("RGB", (20, 16), (9, 200, 77))
    for found in (
        dsncodec.upsample(flat, 2, model="coconet", steps=20, threads=1),
        dsncodec.denoise(flat, steps=20, threads=1),
    ):
        assert np.abs(np.asarray(found).astype(int) - (9, 200, 77)).max() <= 1


def test_a_smooth_picture_is_enlarged_to_what_it_was() -> None:
    clean = smooth(48)
    small = clean.reshape(24, 2, 24, 2, 3).mean((1, 3)).round().astype(np.uint8)
    found = coordinate_network.enlarged(Shape("sine", 2, 24, 1), small, 2, coconet.Budget(steps=400))
    assert psnr_db(clean, found) > psnr_db(clean, small.repeat(2, 0).repeat(2, 1)) + 3


def edges(side: int) -> UInt8Array:
    """Discs with sharp rims, the same at every size."""
    y, x = np.mgrid[:side, :side] / side
    rings = np.sin(20 * np.hypot(y - 0.4, x - 0.6)) > 0
    return np.stack([60 + 150 * rings, 200 - 120 * rings, 30 + 90 * rings], -1).astype(np.uint8)


@pytest.mark.parametrize("scale", [2, 3])
def test_edges_are_enlarged_better_than_by_bicubic(scale: int) -> None:
    clean = Image.fromarray(edges(96 * 2)).resize((96, 96), Image.Resampling.BOX)
    small = clean.resize((96 // scale, 96 // scale), Image.Resampling.BICUBIC)
    found = dsncodec.upsample(small, scale, model="coconet", steps=150, threads=1)
    assert found.size == clean.size
    bicubic = np.asarray(small.resize(clean.size, Image.Resampling.BICUBIC))
    assert psnr_db(np.asarray(clean), np.asarray(found)) > psnr_db(np.asarray(clean), bicubic) + 0.5


def test_what_was_enlarged_shrinks_to_what_it_came_from() -> None:
    small = edges(24)
    found = Image.fromarray(zero_shot_sr.enlarged(small, 3, coconet.Budget(steps=20)))
    again = np.asarray(found.resize((24, 24), Image.Resampling.BICUBIC))
    assert psnr_db(small, again) > 35
    same = zero_shot_sr.enlarged(small, 1, coconet.Budget(steps=1))
    np.testing.assert_array_equal(same, small)


def test_quarters_are_the_same_problem_in_every_position() -> None:
    """Mirrored and transposed pictures ask the same questions, of the quarters that lie there then."""
    small = edges(6).astype(np.float32) / 255
    asked = {(y, x, at): told for at, (y, x, told) in enumerate(zero_shot_sr.corners(small))}
    mirrored = {(y, x, at): told for at, (y, x, told) in enumerate(zero_shot_sr.corners(small[:, ::-1]))}
    for (y, x, at), told in asked.items():
        other = mirrored[y, 1 - x, at ^ (1 if at & 4 else 2)].reshape(-1, 6, 6)[:, :, ::-1]
        np.testing.assert_array_equal(told.reshape(-1, 6, 6), other)


# --- settings


@pytest.mark.parametrize("setting", [{"seconds": 0}, {"steps": 0}, {"method": "x"}, {"threads": 0}], ids=str)
def test_impossible_settings(setting: dict[str, Any]) -> None:
    image = picture("RGB", 4, 4)
    for call in (
        lambda: dsncodec.denoise(image, **setting),
        lambda: dsncodec.inpaint(image, np.zeros((4, 4), bool), **setting),
        lambda: dsncodec.upsample(image, 2, model="coconet", **setting),
    ):
        with pytest.raises(SettingError):
            call()


@pytest.mark.parametrize("more", [{"sigma": 0}, {"sigma": -1}, {"sigma": 5, "method": "paper"}], ids=str)
def test_impossible_noise(more: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="sigma"):
        dsncodec.denoise(picture("RGB", 4, 4), **more, **FAST)


def test_settings_of_upsample() -> None:
    for more in ({"model": "coconet", "scale": 17}, {"model": "x"}, {"seconds": 3}, {"method": "paper"}):
        with pytest.raises(SettingError):
            dsncodec.upsample(picture("RGB", 4, 4), **more)  # type: ignore[arg-type]


# --- verbs


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_the_command_hands_the_noise_on(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    Image.fromarray(noisy(smooth(24), 20)).save(photo)
    fast = ["--steps", "30", "--threads", "1", "--force", "--quiet"]
    for sigma in (2.0, 40.0):
        assert main(["denoise", str(photo), "--sigma", f"{sigma}", *fast]) == 0
        want = np.asarray(dsncodec.denoise(str(photo), sigma=sigma, steps=30, threads=1))
        with Image.open(tmp_path / "a-denoised.png") as image:
            np.testing.assert_array_equal(np.asarray(image), want)


def test_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, mask = tmp_path / "a.png", tmp_path / "mask.png"
    picture("RGB", 12, 9).save(photo)
    Image.fromarray(np.eye(9, 12, dtype=np.uint8) * 255).save(mask)
    fast = ["--steps", "2", "--threads", "1"]
    assert main(["denoise", str(photo), "--sigma", "9", *fast]) == 0
    assert main(["inpaint", str(photo), "--mask", str(mask), *fast]) == 0
    assert main(["upsample", str(photo), "--scale", "5", "--model", "coconet", *fast]) == 0
    assert main(["encode", str(photo), "--method", "coconet", "--width", "6", *fast]) == 0
    assert "sine, 5 x 6" in capsys.readouterr().out
    assert main(["decode", str(tmp_path / "a.dsn"), "--size", "24x18", "-o", str(tmp_path / "b.png")]) == 0
    assert main(["info", str(tmp_path / "a.dsn")]) == 0
    sizes = {path.name: size_of(path) for path in tmp_path.glob("*.png")}
    assert sizes == {
        "a.png": (12, 9),
        "mask.png": (12, 9),
        "a-denoised.png": (12, 9),
        "a-inpainted.png": (12, 9),
        "a-up5.png": (60, 45),
        "b.png": (24, 18),
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["denoise", "--seconds", "0"],
        ["denoise", "--steps", "0"],
        ["denoise", "--sigma", "0"],
        ["inpaint"],
        ["upsample", "--steps", "3"],
        ["upsample", "--model", "coconet", "--scale", "0"],
        ["encode", "--steps", "3"],
        ["encode", "--method", "coconet", "--width", "5", "-q", "5"],
        ["decode", "--size", "0x5"],
    ],
    ids=str,
)
def test_bad_usage(arguments: list[str], tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    picture("RGB", 12, 9).save(photo)
    verb, *more = arguments
    assert main([verb, str(photo), *more]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_mask_of_another_size_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, size in (("a.png", (12, 9)), ("mask.png", (9, 12))):
        picture("L", *size).save(tmp_path / name)
    code = main(["inpaint", str(tmp_path / "a.png"), "--mask", str(tmp_path / "mask.png"), "--steps", "1"])
    assert code == 1
    assert "mask is 9 x 12" in capsys.readouterr().err
