"""Restoration for the eye: AVIF with tune=iq as training data, networks with several corrections, and their training."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsncodec.errors import SettingError
from dsncodec.metrics import psnr_db, ssimulacra2
from dsncodec.networks.inference import Network

from . import pictures

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")

from dsncodec.train.data import coded_pairs
from dsncodec.train.data.coded_pairs import CodedPairs, coded_for_training
from dsncodec.train.data.images import PackedImages
from dsncodec.train.export.onnx import export, load_nets
from dsncodec.train.nets.restoration import RestorationConfig, RestorationNet
from dsncodec.train.tasks import visual
from dsncodec.train.tasks.visual import VisualDataSettings, VisualLossSettings, VisualRecipe, VisualTask
from dsncodec.train.trainer import OptimSettings, Trainer

from . import fake_loss_networks

TINY = RestorationConfig(block=2, width=8, blocks=1, hypotheses=3)
torch.set_num_threads(1)


def restless(config: RestorationConfig) -> RestorationNet:
    """A network all of whose weights matter, as after training."""
    torch.manual_seed(2)
    net = RestorationNet(config)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(0, 0.3 / max(1, weight[0].numel()) ** 0.5)
    return net.eval()


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of photographs."""
    path = tmp_path_factory.mktemp("pictures")
    for name, left in (("coffee.png", 100), ("astronaut.png", 180)):
        part = pictures.photograph(name)[60:200, left : left + 151]
        Image.fromarray(part).save(path / f"{left}.png")
    return path


def tiny(folder: Path, cache: Path, **data: object) -> VisualRecipe:
    settings = {
        "train": (str(folder),),
        "held_out": (str(folder),),
        "cache": str(cache),
        "crops": 5,
        "crop": 112,
        "patch": 96,
        "speeds": (9,),
        "codecs": ("avif-iq10", "avif-iq8"),
        "judged": (30.0, 70.0),
        "batch": 2,
        "micro_batch": 1,
        "coding_threads": 1,
    } | data
    return VisualRecipe(
        name="tiny",
        model=TINY,
        data=VisualDataSettings(**settings),  # type: ignore[arg-type]
        optim=OptimSettings(steps=4, bf16=False, lr=2e-3),
    )


# --- training data


@pytest.mark.parametrize("codec", coded_pairs.TRAINING_CODECS)
def test_pictures_tuned_for_the_eye(codec: str) -> None:
    rgb = np.ascontiguousarray(pictures.photograph("coffee.png")[:200, :301])
    sizes, scores = [], []
    for quality in (20, 50, 90):
        size, got = coded_for_training(rgb, codec, quality, 9)
        assert got.shape == rgb.shape and got.dtype == np.uint16
        eight = np.round(got / 257).astype(np.uint8)
        # colours are the picture's: neither channels nor ranges are mixed up
        assert np.abs(eight.astype(int).mean((0, 1)) - rgb.mean((0, 1))).max() < 3
        sizes.append(size)
        scores.append(ssimulacra2(rgb, eight))
    assert sizes == sorted(sizes) and scores == sorted(scores)
    assert scores[-1] > (40 if codec.endswith("-half") else 80)
    steps = np.unique(got)
    assert (len(steps) > 256) == (codec == "avif-iq10")


def test_coding_goes_on_where_it_was(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    originals = PackedImages.read([folder])
    quality = np.array([[30, 60], [50, 80], [70, 20]], np.float32)
    seen: list[tuple[str, int, int]] = []

    def counted(rgb: np.ndarray, codec: str, quality: int, speed: int) -> tuple[int, np.ndarray]:
        if len(seen) == 3:
            raise RuntimeError("the power is off")
        seen.append((codec, quality, speed))
        return quality, (rgb ^ 1).astype(np.uint16) * 257

    monkeypatch.setattr(coded_pairs, "coded_for_training", counted)
    settings = (tmp_path / "cache", originals, ("avif-iq10", "avif-iq8"), quality, (9, 8), 1)
    with pytest.raises(RuntimeError, match="power"):
        CodedPairs.code_in(*settings)
    first, seen[:] = list(seen), []
    pairs = CodedPairs.code_in(*settings)
    assert len(seen) == 3 and not set(first) & set(seen)
    np.testing.assert_array_equal(pairs.size_bytes, quality)
    np.testing.assert_allclose(pairs.mse, 1)
    seen[:] = []
    again = CodedPairs.code_in(*settings)
    assert not seen
    np.testing.assert_array_equal(again.picture(1, 1), (originals[1] ^ 1).astype(np.uint16) * 257)
    other = PackedImages(255 - originals.pixels, originals.sizes)
    for changed in (
        (settings[0], other, *settings[2:]),
        (*settings[:4], (9, 7), 1),
        (*settings[:3], quality[:2], *settings[4:]),
    ):
        with pytest.raises(SettingError, match="other pictures"):
            CodedPairs.code_in(*changed)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="one of avif-iq8, avif-iq10"):
        CodedPairs.code_in(tmp_path / "new", originals, ("gif",), quality, (9,), 1)


# --- several corrections


def test_the_first_correction_is_the_default() -> None:
    net, shot = restless(TINY), torch.rand(2, 3, 16, 24)
    known = numbers(0.3, 0.8), numbers(0.02, 0.01)
    with torch.no_grad():
        corrections = net.corrections(shot, *known)
        assert corrections.shape == (2, 3, 3, 16, 24)
        torch.testing.assert_close(net(shot, *known), shot + corrections[:, 0])
        weights = torch.tensor([[1.0, 0, 0], [0.5, -2, 1]])
        made = net(shot, *known, weights)
        torch.testing.assert_close(made[0], shot[0] + corrections[0, 0])
        torch.testing.assert_close(made[1], shot[1] + (weights[1].view(3, 1, 1, 1) * corrections[1]).sum(0))


def test_several_corrections_start_from_a_network_of_one() -> None:
    one = restless(replace(TINY, hypotheses=1))
    several = RestorationNet(TINY)
    several.load_from(one.state_dict())
    shot = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(
            several(shot, numbers(0.3), numbers(0.02)), one(shot, numbers(0.3), numbers(0.02))
        )


def test_the_weights_are_found_again() -> None:
    torch.manual_seed(0)
    rmse, planted = numbers(0.02, 0.005), torch.tensor([[0.9, 0.4, -1.5], [1.2, 0.0, 0.6]])
    corrections = rmse.unsqueeze(1) * torch.randn(2, 3, 3, 20, 24)
    error = torch.einsum("nkchw,nk->nchw", corrections, planted)
    found = visual.solved_weights(corrections, error, rmse)
    torch.testing.assert_close(found, planted, atol=5e-3, rtol=0)
    rounded = visual.rounded_weights(found)
    assert (rounded - planted).abs().max() <= 0.5 * visual.WEIGHT_STEP + 5e-3
    assert visual.rounded_weights(torch.tensor([99.0, -99.0])).tolist() == [127 / 32, -4]
    # corrections of nothing leave the first alone
    nothing = visual.solved_weights(0 * corrections, error, rmse)
    torch.testing.assert_close(nothing, torch.tensor([[1.0, 0, 0]] * 2))


def test_the_slope_goes_through_the_solution() -> None:
    """A correction that the wanted error is not made of grows towards it: what weights of the default would not show."""
    torch.manual_seed(0)
    corrections = (0.02 * torch.randn(1, 2, 3, 8, 8)).requires_grad_()
    error = 0.02 * torch.randn(1, 3, 8, 8)

    def left(given: torch.Tensor) -> torch.Tensor:
        weights = visual.solved_weights(given, error, numbers(0.02))
        return (error - torch.einsum("nkchw,nk->nchw", given, weights)).square().sum() / 0.02**2

    left(corrections).backward()
    assert corrections.grad is not None
    step = 1e-4 * corrections.grad / corrections.grad.norm()
    with torch.no_grad():
        rise = (left(corrections + step) - left(corrections - step)).item() / 2
    assert rise == pytest.approx(1e-4 * corrections.grad.norm().item(), rel=0.05)


# --- the task


def test_training_and_resuming(folder: Path, tmp_path: Path) -> None:
    recipe = tiny(folder, tmp_path / "cache")
    trainer = Trainer(VisualTask(recipe), tmp_path / "run", "cpu")
    trainer.run()
    header, row = (tmp_path / "run" / "log.csv").read_text().splitlines()
    columns = dict(zip(header.split(","), row.split(",")))
    assert {"gain_db", "gain_ssimulacra2", "least_gain_ssimulacra2", "worse", "gain_ssimulacra2_q70"} <= set(
        columns
    )
    assert (tmp_path / "cache-held-out").is_dir()
    again = Trainer(VisualTask(recipe), tmp_path / "run", "cpu")
    assert again.step == 4
    np.testing.assert_array_equal(again.task.pairs.coded, trainer.task.pairs.coded)  # type: ignore[attr-defined]


@pytest.mark.parametrize("hypotheses", [1, 3])
def test_a_few_steps_lower_the_loss(folder: Path, tmp_path: Path, hypotheses: int) -> None:
    recipe = tiny(folder, tmp_path / "cache", crops=1, held_out=(), qualities=(20.0, 21.0))
    recipe = replace(
        recipe, model=replace(TINY, hypotheses=hypotheses), optim=OptimSettings(steps=60, bf16=False, lr=1e-2)
    )
    trainer = Trainer(VisualTask(recipe), tmp_path / "run", "cpu")
    losses = [trainer.train_step() for _ in range(60)]
    assert np.mean(losses[:3]) > 0.9 * (recipe.loss.squared + recipe.loss.ssimulacra2)
    assert np.mean(losses[-10:]) < 0.97 * np.mean(losses[:3]), losses[::10]


def test_what_it_does_to_whole_pictures(folder: Path, tmp_path: Path) -> None:
    """The judge's gains are those of the pictures themselves; the odd side is restored to its end."""
    recipe = tiny(folder, tmp_path / "cache")
    task, net = VisualTask(recipe), restless(TINY)
    with torch.no_grad():
        # gentle, as trained networks are
        for layer in (net.tail, *net.others):
            layer.weight *= 0.05
            layer.bias *= 0
    gains_db, gains = task.gains(net, "cpu")
    assert task.held_out is not None
    for k, i in np.ndindex(gains.shape):
        original, made = task.held_out.originals[i], task.restored(net, k, i, "cpu")
        assert made.shape == original.shape == (140, 151, 3)
        before = 255**2 / task.held_out.mse[k, i]
        assert gains_db[k, i] == pytest.approx(psnr_db(original, made) - 10 * np.log10(before), abs=1e-3)
        assert gains[k, i] == pytest.approx(ssimulacra2(original, made) - task.plain_scores[k, i], abs=1e-6)
    # the weights are solved for: no picture is far from where it was
    assert gains_db.min() > -0.1


def test_wrong_settings(folder: Path, tmp_path: Path) -> None:
    for wrong in (95, 90):
        with pytest.raises(SettingError, match="multiple of 2 and at least 96"):
            VisualTask(tiny(folder, tmp_path, patch=wrong))
    with pytest.raises(SettingError, match="name a folder"):
        VisualTask(replace(tiny(folder, tmp_path), data=VisualDataSettings(cache="")))


def test_squared_error_alone(folder: Path, tmp_path: Path) -> None:
    recipe = replace(tiny(folder, tmp_path / "cache"), loss=VisualLossSettings(squared=1.0, ssimulacra2=0.0))
    task = VisualTask(recipe)
    fresh = RestorationNet(replace(TINY, hypotheses=1))
    loss = task.loss(fresh, task.batch(np.random.default_rng(0)), 0.0)
    # of patches over that of their whole pictures
    assert 0.2 < loss.item() < 3


def test_a_pattern_of_the_networks_blocks_costs(folder: Path, tmp_path: Path) -> None:
    """A checkerboard that the last layer adds; the same change without a pattern costs nothing more."""
    settings = VisualLossSettings(squared=0.0, ssimulacra2=0.0, grid=10.0)
    task = VisualTask(replace(tiny(folder, tmp_path / "cache"), loss=settings))
    net, batch = RestorationNet(replace(TINY, hypotheses=1)), task.batch(np.random.default_rng(0))
    block = net.config.block
    added = {
        "none": torch.zeros(block**2),
        "alike": torch.full((block**2,), 0.5),
        "board": torch.zeros(block**2),
    }
    added["board"][0] = 0.5
    losses = {}
    for name, values in added.items():
        with torch.no_grad():
            net.tail.bias.copy_(values.repeat(len(net.tail.bias) // block**2))
        losses[name] = task.loss(net, batch, 0.0).item()
    assert losses["alike"] == pytest.approx(losses["none"], rel=1e-3, abs=1e-3)
    assert losses["board"] > 2 * losses["none"]


def test_features_hold_back_in_some_steps(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "networks").mkdir()
    fake_loss_networks.write(tmp_path / "networks")
    settings = VisualLossSettings(
        squared=0.0, ssimulacra2=0.0, features=0.5, features_every=3, loss_networks=str(tmp_path / "networks")
    )
    task = VisualTask(replace(tiny(folder, tmp_path / "cache"), loss=settings))
    net, batch = RestorationNet(TINY), task.batch(np.random.default_rng(0))
    found = torch.stack([task.loss(net, batch, 0.0) for _ in range(24)])
    assert 2 <= (found > 0).sum() <= 16
    # it does next to nothing yet
    torch.testing.assert_close(found.max(), torch.tensor(1.5), rtol=0.1, atol=0)
    found.sum().backward()
    assert net.tail.weight.grad is not None and net.tail.weight.grad.any()


# --- the ONNX file


def test_onnx_computes_what_torch_does(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(VisualTask(tiny(folder, tmp_path / "cache")), tmp_path / "run", "cpu")
    trainer.ema = restless(TINY).state_dict()
    (tmp_path / "run").mkdir()
    trainer.save()
    row = tomllib.loads(export(trainer.checkpoint, tmp_path / "models"))["restorer"][0]
    assert (row["codec"], row["tune"], row["scale"], row["config"]["hypotheses"]) == ("avif", "visual", 1, 3)
    nets, _ = load_nets(trainer.checkpoint)
    net = Network(tmp_path / "models" / row["files"]["restore"]["name"], 1)
    shot, weights = (
        np.random.default_rng(1).random((3, 18, 30), np.float32),
        np.array([1.25, -0.5, 2], np.float32),
    )
    known = [np.full((1, 1, 1), value, np.float32) for value in (0.3, 0.02)]
    with torch.no_grad():
        expected = nets(
            torch.from_numpy(shot)[None], numbers(0.3), numbers(0.02), torch.from_numpy(weights)[None]
        )[0].numpy()
    corrections = net(shot, *known).reshape(3, *shot.shape)
    assert np.abs(shot + np.tensordot(weights, corrections, 1) - expected).max() < 1e-5
