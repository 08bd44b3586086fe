"""The tables of perceptual losses, from end to end on two tiny pictures and loss networks of no meaning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("safetensors", reason="safetensors is not installed (extra [train])")
pytest.importorskip("skimage", reason="scikit-image is not installed (extra [bench])")

from bench import features, look, results
from bench.__main__ import main
from bench.tables.perceptual_sr import pattern

from . import fake_loss_networks
from .conftest import picture

torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image set of two tiny pictures; results go to the folder ``results`` beside it."""
    for module in (results, look):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    (tmp_path / "test" / "set5").mkdir(parents=True)
    for seed in range(2):
        picture("RGB", 50, 41, seed).save(tmp_path / "test" / "set5" / f"{seed}.png")
    return tmp_path


@pytest.fixture
def judges(data: Path) -> Path:
    (data / "loss_network").mkdir()
    fake_loss_networks.write_judges(data / "loss_network")
    return fake_loss_networks.write(data / "loss_network")


def test_super_resolution(data: Path, judges: Path) -> None:
    assert main(["table", "perceptual-sr", "--data", str(data), "--sets", "Set5"]) == 0
    assert "| Set5 (2) |" in (data / "results" / "perceptual-sr-x4.md").read_text()
    raw = (data / "results" / "perceptual-sr-x8.csv").read_text().splitlines()
    assert len(raw) == 1 + 2 * 3
    assert raw[0] == "set,image,way,psnr_y_db,ssim_y,lpips_alex,dists,pattern"


def test_a_pattern_is_what_repeats_with_the_scale() -> None:
    original = np.full((64, 96, 3), 100, np.uint8)
    board = original.copy()
    board[::4, ::4] += 16
    assert pattern(original, original, 4) == 0
    # one pixel of sixteen, 16 levels up
    assert pattern(original, board, 4) == pytest.approx(16 * (1 / 16 * 15 / 16) ** 0.5)
    noise = original + np.random.default_rng(0).integers(0, 16, original.shape, np.uint8)
    assert pattern(original, noise, 4) < 1
    assert pattern(original[:8, :8], board[:8, :8], 4) > 0


def test_looks(data: Path, judges: Path) -> None:
    given = ["--scales", "3", "--efforts", "0", "--set", "Set5", "--loss-networks", str(judges)]
    assert main(["look", "--data", str(data), *given]) == 0
    assert "| effort 0 |" in (data / "results" / "look-x3.md").read_text()
    raw = [line.split(",") for line in (data / "results" / "look-x3.csv").read_text().splitlines()]
    assert len(raw) == 1 + 2 * 2
    sizes = {(row[1], row[3]) for row in raw[1:]}
    assert len(sizes) == 2  # one file a picture, whatever the look


def test_pictures_side_by_side(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = np.asarray(picture("RGB", 75, 50))
    monkeypatch.setattr(look.skimage.data, "astronaut", lambda: sample)
    monkeypatch.setattr(look, "SHOWN", {"astronaut": (slice(0, 40), slice(10, 60))})
    assert main(["look", "--data", str(data), "--pictures"]) == 0
    for name in ("look-astronaut.png", "perceptual-sr-astronaut.png"):
        with Image.open(data / "results" / name) as image:
            assert min(image.size) > 100


def test_missing_loss_networks_are_named(data: Path) -> None:
    for command in (["table", "perceptual-sr"], ["look"]):
        with pytest.raises(SystemExit, match="--loss-networks FOLDER"):
            main([*command, "--data", str(data)])
    assert not (data / "results").exists()


def test_equal_pictures_are_not_apart(data: Path, judges: Path) -> None:
    class Given:
        data, loss_networks = "", str(judges)

    pixels = np.asarray(picture("RGB", 40, 40))
    found = features.measure(Given())(pixels, {"same": pixels})  # type: ignore[arg-type]
    assert set(found["same"].values()) == {0.0}
