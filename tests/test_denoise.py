"""denoise by a trained network: the network, the noise that it is trained on, its export, the function and the verb."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dsncodec
from dsncodec.cli import main
from dsncodec.errors import SettingError
from dsncodec.metrics import psnr_db
from dsncodec.networks import image_to_image, registry
from dsncodec.processing import noise

from . import pictures
from .conftest import MODES, picture


def grainy(rgb: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    noisy = rgb + np.random.default_rng(seed).normal(0, sigma, rgb.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


# --- the function


@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png"])
@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_photographs_lose_their_noise(name: str, sigma: float) -> None:
    clean = np.ascontiguousarray(pictures.photograph(name)[60:260, 60:330])
    noisy = grainy(clean, sigma)
    told = list[float]()
    made = np.asarray(dsncodec.denoise(noisy, threads=1, progress=lambda now: told.append(now.done)))
    assert psnr_db(clean, made) > psnr_db(clean, noisy) + {10: 3, 25: 6, 50: 9}[sigma]
    # brightness and colours of parts are the clean picture's, where noise that was cut off at black had lifted them, too
    parts = [array.astype(float).reshape(4, 50, 3, 90, 3).mean((1, 3)) for array in (clean, made, noisy)]
    moved, lifted = (np.abs(parts[0] - other).max() for other in parts[1:])
    assert moved < 2 + sigma / 10 and moved < lifted + 1
    assert told[-1] == 1


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("sigma", [6, 20])
def test_smoothed_noise_is_measured(sigma: float, mode: str) -> None:
    """As a camera leaves it: neighbours have it in common, and colours."""
    clean = np.asarray(Image.fromarray(pictures.photograph("coffee.png")).convert(mode), np.float32)
    clean = clean.reshape(*clean.shape[:2], -1)
    rng = np.random.default_rng(0)
    own, common = (
        rng.standard_normal((clean.shape[0] + 1, clean.shape[1] + 1, planes))
        for planes in (clean.shape[2], 1)
    )
    noise_ = np.sqrt(0.5) * (own + common)
    noise_ = (noise_[1:, 1:] + noise_[:-1, 1:] + noise_[1:, :-1] + noise_[:-1, :-1]) / 2
    smoothed = np.clip(np.rint(clean + sigma * noise_), 0, 255).astype(np.uint8)
    white = np.clip(np.rint(clean + rng.normal(0, sigma, clean.shape)), 0, 255).astype(np.uint8)
    assert noise.strength_of(white) == pytest.approx(sigma, rel=0.15)
    assert 0.4 * sigma < noise.strength_of(smoothed) < 1.2 * sigma
    if mode == "RGB":
        assert noise.strength_of(smoothed) > 1.3 * noise.sigma_of(smoothed)


def test_texture_of_a_grey_picture_is_not_taken_for_noise() -> None:
    """In a single plane it fills as many directions: of this one ``sigma_of`` says 5.8."""
    grey = np.asarray(Image.fromarray(pictures.photograph("coffee.png")).convert("L"))[..., None]
    assert noise.sigma_of(grey) > 4 and noise.strength_of(grey) < 2.5


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 300, 1), (8, 8, 3), (40, 9, 1)], ids=str)
@pytest.mark.parametrize("level", [0, 99, 255])
def test_no_noise_is_found_where_none_is(shape: tuple[int, int, int], level: int) -> None:
    assert noise.strength_of(np.full(shape, level, np.uint8)) == 0


def test_texture_all_over_is_not_taken_for_much_noise() -> None:
    """Some 2 % of squares are flatter than the rest at best."""
    rows, columns = np.mgrid[:256, :256]
    weave = 128 + 40 * np.sin(rows / 1.3) * np.sin(columns / 1.7) + 20 * np.sin((rows + 2 * columns) / 2.3)
    assert noise.strength_of(np.rint(weave).astype(np.uint8)[..., None]) < 3


def test_what_is_told_counts() -> None:
    clean = np.ascontiguousarray(pictures.photograph("coffee.png")[:160, :160])
    noisy = grainy(clean, 20)
    rough = [
        np.abs(
            np.diff(np.asarray(dsncodec.denoise(noisy, sigma=sigma, threads=1)).astype(int), axis=0)
        ).mean()
        for sigma in (5, 20, 60)
    ]
    assert rough == sorted(rough, reverse=True)
    best = psnr_db(clean, np.asarray(dsncodec.denoise(noisy, threads=1)))
    assert best > psnr_db(clean, np.asarray(dsncodec.denoise(noisy, sigma=5, threads=1)))


@pytest.mark.parametrize("level", [0, 7, 128, 255])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_flat_picture_stays(mode: str, level: int) -> None:
    """Without noise as it is; with some, flat again."""
    flat = Image.new(mode, (60, 50), (level,) * len(mode) if mode == "RGB" else level)
    assert dsncodec.denoise(flat, threads=1).tobytes() == flat.tobytes()
    made = np.asarray(dsncodec.denoise(flat, sigma=20, threads=1)).astype(int)
    # near black the noise that is told would have been cut off: less is there than is seen
    assert np.abs(made - level).max() <= (7 if level == 7 else 5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (33, 20)])
def test_modes_and_sizes(mode: str, size: tuple[int, int]) -> None:
    shot = picture(mode, *size)
    shot.info.update(icc_profile=b"profile", exif=b"Exif\0\0")
    made = dsncodec.denoise(shot, sigma=12, threads=1)
    assert (made.size, made.mode, made.info["exif"]) == (size, mode, b"Exif\0\0")
    if mode.endswith("A"):
        assert made.getchannel("A").tobytes() == shot.getchannel("A").tobytes()


def test_tiles_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    shot = np.asarray(picture("RGB", 150, 131))
    whole = np.asarray(dsncodec.denoise(shot, sigma=25, threads=1)).astype(int)
    monkeypatch.setattr(image_to_image, "TILE", 32)
    monkeypatch.setattr(image_to_image, "LARGEST_TILE", 32)
    tiled = np.asarray(dsncodec.denoise(shot, sigma=25, threads=1))
    assert np.abs(whole - tiled).max() <= 1  # rounding


def test_grey_is_given_as_three_equal_planes() -> None:
    clean = pictures.photograph("chelsea.png")[:120, :120, 1]
    noisy = grainy(clean, 20)
    made = np.asarray(dsncodec.denoise(Image.fromarray(noisy), threads=1))
    assert psnr_db(clean, made) > psnr_db(clean, noisy) + 4


def test_a_budget_asks_for_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a call without a method did in 0.2."""
    pytest.importorskip("torch")
    shot = picture("RGB", 12, 9)
    fitted = dsncodec.denoise(shot, steps=2, threads=1)
    assert fitted.tobytes() == dsncodec.denoise(shot, steps=2, method="blind_spot", threads=1).tobytes()
    assert fitted.tobytes() != dsncodec.denoise(shot, sigma=9, threads=1).tobytes()


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "network", "steps": 3},
        {"method": "network", "seconds": 3},
        {"method": "median"},
        {"sigma": 0},
        {"sigma": -3},
        {"sigma": float("nan")},
        {"threads": 0},
    ],
    ids=str,
)
def test_impossible_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        dsncodec.denoise(picture("RGB", 8, 8), **settings)


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noisy = grainy(np.ascontiguousarray(pictures.photograph("coffee.png")[:90, :120]), 15)
    Image.fromarray(noisy).save(tmp_path / "a.png")
    assert main(["denoise", str(tmp_path / "a.png"), "--threads", "1"]) == 0
    assert f"noise of {noise.strength_of(noisy):.1f} grey levels" in capsys.readouterr().out
    with Image.open(tmp_path / "a-denoised.png") as made:
        assert np.asarray(made).tobytes() == np.asarray(dsncodec.denoise(noisy, threads=1)).tobytes()
    told = ["--sigma", "40", "--method", "network", "-o", str(tmp_path / "b.png")]
    assert main(["denoise", str(tmp_path / "a.png"), *told]) == 0
    assert (tmp_path / "b.png").read_bytes() != (tmp_path / "a-denoised.png").read_bytes()
    asked = ["denoise", str(tmp_path / "a.png"), "--method", "network", "--steps", "3"]
    assert main([*asked, "-o", str(tmp_path / "c.png")]) != 0
    assert "steps" in capsys.readouterr().err


# --- the network and its training

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")

from dsncodec.train.export import onnx as export
from dsncodec.train.nets.denoising import DenoisingConfig, DenoisingNet
from dsncodec.train.tasks import denoising, read
from dsncodec.train.tasks.denoising import DenoisingRecipe, DenoisingTask, NoiseDataSettings
from dsncodec.train.trainer import OptimSettings, Trainer

TINY = DenoisingConfig(width=4, blocks=1)
torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other
RECIPES = Path(export.__file__).parent.parent / "recipes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for seed, size in enumerate([(64, 48), (56, 72)]):
        picture("RGB", *size, seed).save(path / f"{seed}.png")
    return path


def tiny(folder: Path, **data: Any) -> DenoisingRecipe:
    settings = {"train": (str(folder),), "held_out": (str(folder),), "patch": 24, "batch": 8} | data
    return DenoisingRecipe(
        name="denoise-tiny",
        model=TINY,
        data=NoiseDataSettings(**settings),
        optim=OptimSettings(steps=60, bf16=False, lr=4e-3),
    )


def test_shapes_and_reach() -> None:
    net, shot, sigma = DenoisingNet(TINY), torch.rand(1, 3, 64, 48), torch.full((1, 1, 1, 1), 0.1)
    with torch.no_grad():
        out = net(shot, sigma)
        assert out.shape == shot.shape and out.isfinite().all()
        changed = shot.clone()
        changed[..., 0, 0] = 1 - changed[..., 0, 0]
        moved = (net(changed, sigma) - out).abs().amax((0, 1))
    reach = net.radius + 1
    assert moved[0, 0] > 1e-3 and moved[reach:].max() < 1e-6 and moved[:, reach:].max() < 1e-6


def test_noise_is_as_strong_as_it_is_said(folder: Path) -> None:
    rng = np.random.default_rng(3)
    white = rng.standard_normal((64, 80, 3), np.float32)
    rgb = np.asarray(picture("RGB", 80, 64))
    for share in (0.0, 0.5, 1.0):
        assert denoising.of_signal(rgb, white, share).std() == pytest.approx(1, abs=0.08)
        smooth = denoising.smoothed(white, np.array([share, 0.5]))
        assert smooth.shape == white.shape and smooth.std() == pytest.approx(1, abs=0.05)
    # brighter places have more of the one, neighbours and planes have in common of the other
    bright = denoising.of_signal(np.where(np.arange(80)[None, :, None] < 40, 20, 220) + 0 * rgb, white, 1.0)
    assert bright[:, 40:].std() > 2 * bright[:, :40].std()
    smooth = denoising.smoothed(white, np.array([1.0, 1.0]))
    assert np.corrcoef(smooth[:, 1:, 0].ravel(), smooth[:, :-1, 0].ravel())[0, 1] > 0.5
    assert np.corrcoef(smooth[..., 0].ravel(), smooth[..., 1].ravel())[0, 1] > 0.9


def test_samples(folder: Path) -> None:
    task = DenoisingTask(tiny(folder, grey=0.5, sigmas=(20.0, 30.0)))
    rng = np.random.default_rng(0)
    greys = 0
    for _ in range(6):
        noisy, original, sigma = task.batch(rng)
        assert noisy.shape == original.shape == (8, 24, 24, 3) and noisy.dtype == torch.uint8
        assert sigma.shape == (8, 1, 1, 1)
        found = (noisy.float() - original.float()).flatten(1).std(1) / 255
        # clipped at the ends of the range, and told with a little doubt
        assert (found < 1.4 * sigma.flatten()).all() and (found > 0.3 * sigma.flatten()).all()
        alike = (original == original[..., :1]).flatten(1).all(1)
        assert (noisy == noisy[..., :1]).flatten(1).all(1)[alike].all()
        greys += int(alike.sum())
    assert 8 < greys < 40


def test_training_lowers_the_error(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(DenoisingTask(tiny(folder)), tmp_path / "run", "cpu")
    before = trainer.task.evaluate(trainer.averaged(), "cpu")
    trainer.run(log_every=1e9)
    after = trainer.task.evaluate(trainer.averaged(), "cpu")
    assert set(after) == {"psnr_db_10", "psnr_db_25", "psnr_db_50"}
    assert after["psnr_db_50"] > before["psnr_db_50"] + 0.5


@pytest.fixture
def published(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DenoisingNet]:
    """A network "photo" of random weights, and the one behind it."""
    trainer = Trainer(DenoisingTask(tiny(folder)), tmp_path / "run", "cpu")
    trainer.ema = {name: value + 0.05 * torch.randn_like(value) for name, value in trainer.ema.items()}
    trainer.save()
    row = tomllib.loads(export.export(trainer.checkpoint, tmp_path / "models", "denoise-photo"))["network"][0]
    assert (row["kind"], row["variant"], row["scale"], row["unit"]) == ("denoise", "photo", 1, 2)
    assert row["radius"] == trainer.nets.radius
    monkeypatch.setattr(registry, "folder", lambda: tmp_path / "models")
    registry.image_networks.cache_clear()
    yield trainer.averaged()
    registry.image_networks.cache_clear()


def test_what_was_exported_is_what_was_trained(published: DenoisingNet) -> None:
    shot = np.asarray(picture("RGB", 37, 22))
    made = np.asarray(dsncodec.denoise(shot, sigma=20, threads=1))
    expected = denoising.restored(published, shot, 20, "cpu")
    assert np.abs(made.astype(int) - expected).max() <= 1


def test_recipes() -> None:
    task = read(RECIPES / "denoise-photo.toml")
    assert isinstance(task, DenoisingTask) and task.recipe.model == DenoisingConfig()
    with pytest.raises(SettingError, match="multiple"):
        DenoisingTask(tiny(Path("."), patch=25))
    with pytest.raises(SettingError, match="rise"):
        DenoisingTask(tiny(Path("."), sigmas=(30.0, 20.0)))


def test_the_strength_is_bounded() -> None:
    """Beyond what the network was trained for it is told the end of that."""
    shot = np.asarray(picture("RGB", 20, 20))
    most = [np.asarray(noise.denoised(shot, sigma, 1)).tobytes() for sigma in (75, 400)]
    assert most[0] == most[1]
