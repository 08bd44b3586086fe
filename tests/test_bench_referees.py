"""LPIPS and DISTS with random weights, which need no folder: what holds of any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
from dsncodec.bench.perceptual import Dists, Lpips
from dsncodec.bench.referees import REFEREES, Panel
from dsncodec.errors import MissingComponent, SettingError

from . import fake_loss_networks
from .conftest import picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as --loss-networks wants it."""
    return fake_loss_networks.write_judges(tmp_path_factory.mktemp("loss_network"))


@pytest.mark.parametrize("name", ["lpips", "dists"])
def test_equal_pictures_are_not_apart_and_noise_drives_them_so(name: str, folder: Path) -> None:
    reference = np.asarray(picture("RGB", 67, 50))
    panel = Panel([name], folder)
    assert panel.names == [name] and not panel.missing
    score = REFEREES[name].make(str(folder))(reference)
    noise = np.random.default_rng(0).normal(size=reference.shape)
    apart = [
        score(np.clip(reference + sigma * noise, 0, 255).round().astype(np.uint8)) for sigma in (0, 4, 16, 48)
    ]
    assert apart[0] == pytest.approx(0, abs=1e-5)
    assert apart == sorted(apart) and apart[1] > 1e-5


def test_the_smallest_pictures_have_a_score(folder: Path) -> None:
    for name in ("lpips", "dists"):
        side = REFEREES[name].smallest
        pixels = np.asarray(picture("RGB", side, side))
        assert REFEREES[name].make(str(folder))(pixels)(pixels) == pytest.approx(0, abs=1e-5)


def test_dists_is_the_formula_of_its_paper(folder: Path) -> None:
    """Of the picture itself, the first of six stages, by NumPy."""
    judge = Dists(folder)
    judge.alpha, judge.beta = (
        [w if i == 0 else 0 * w for i, w in enumerate(of)] for of in (judge.alpha, judge.beta)
    )
    a, b = (np.asarray(picture("RGB", 40, 30, seed=seed)) for seed in (1, 2))
    x, y = (p.reshape(-1, 3) / 255 for p in (a, b))
    both = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
    texture = (2 * x.mean(0) * y.mean(0) + 1e-6) / (x.mean(0) ** 2 + y.mean(0) ** 2 + 1e-6)
    structure = (2 * both + 1e-6) / (x.var(0) + y.var(0) + 1e-6)
    alpha, beta = (of[0].numpy() for of in (judge.alpha, judge.beta))
    assert judge.of(a)(b) == pytest.approx(1 - (alpha * texture + beta * structure).sum(), abs=1e-5)


def test_weights_that_are_absent_or_others_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingComponent, match="alexnet_fp16"):
        Lpips(tmp_path)
    (tmp_path / "alexnet_fp16.safetensors").write_bytes((folder / "vgg16_fp16.safetensors").read_bytes())
    (tmp_path / "lpips_linear_fp32.safetensors").write_bytes(
        (folder / "lpips_linear_fp32.safetensors").read_bytes()
    )
    with pytest.raises(SettingError, match="AlexNet"):
        Lpips(tmp_path)
    (tmp_path / "lpips_linear_fp32.safetensors").write_bytes(b"no weights")
    with pytest.raises(SettingError, match="cannot be read"):
        Lpips(tmp_path)
    assert "cannot be read" in Panel(["lpips"], tmp_path).missing["lpips"]
