"""Networks trained on feature distances: shapes and tiles, the two tasks, and what export makes of them."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dsncodec
from dsncodec.errors import MissingComponent, SettingError
from dsncodec.metrics import psnr_db
from dsncodec.networks import registry
from dsncodec.networks.image_to_image import run
from dsncodec.networks.inference import Network

from .conftest import picture

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")
pytest.importorskip("safetensors", reason="safetensors is not installed (extra [train])")

from dsncodec.train import tasks
from dsncodec.train.export import pretrained
from dsncodec.train.export.onnx import export, load_nets
from dsncodec.train.losses.perceptual import (
    FeatureDistance,
    FeatureLossSettings,
    grid_loss,
    perceptual_loss,
)
from dsncodec.train.nets import loss_networks
from dsncodec.train.nets.perceptual import PerceptualConfig, PerceptualNet
from dsncodec.train.nets.sampling import SamplingConfig
from dsncodec.train.tasks import perceptual_decoder
from dsncodec.train.tasks.perceptual_decoder import LookDataSettings, LookLossSettings, LookRecipe, LookTask
from dsncodec.train.tasks.perceptual_sr import PerceptualRecipe, PerceptualTask
from dsncodec.train.tasks.sampling import rgb, ycbcr
from dsncodec.train.tasks.super_resolution import PairDataSettings
from dsncodec.train.trainer import OptimSettings, Trainer

from . import fake_loss_networks

RECIPES = Path(tasks.__file__).parent.parent / "recipes"
TINY = PerceptualConfig(scale=4, width=8, fine=8, blocks=1)
OPTIM = OptimSettings(steps=6, bf16=False, lr=2e-3, threads=1)
torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for seed, size in enumerate([(64, 48), (56, 72), (50, 41)]):
        picture("RGB", *size, seed).save(path / f"{seed}.png")
    return path


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of loss networks with weights of no meaning."""
    return str(fake_loss_networks.write(tmp_path_factory.mktemp("loss_networks")))


def restless(config: PerceptualConfig, seed: int = 0) -> PerceptualNet:
    """A network all of whose weights matter, as after training."""
    torch.manual_seed(seed)
    net = PerceptualNet(config)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(0, 0.5 / max(1, weight[0].numel()) ** 0.5)
    return net.eval()


# --- the network


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_shapes_and_a_fresh_network(scale: int) -> None:
    net = PerceptualNet(replace(TINY, scale=scale))
    x = torch.rand(2, 3, 5, 7)
    bilinear = torch.nn.functional.interpolate(x, scale_factor=scale, mode="bilinear")
    assert net(x).shape == (2, 3, 5 * scale, 7 * scale)
    assert (net(x) - bilinear).abs().max() < 0.1


@pytest.mark.parametrize("scale", [0, 1, 3, 6])
def test_impossible_scales(scale: int) -> None:
    with pytest.raises(SettingError, match=f"power of 2, not {scale}"):
        PerceptualNet(replace(TINY, scale=scale))


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("corner", [0, -1])
def test_the_radius_holds(scale: int, corner: int) -> None:
    net = restless(replace(TINY, scale=scale))
    middle = net.radius + 2
    x = torch.rand(1, 3, 2 * middle + 1, 2 * middle + 1, requires_grad=True)
    row = range(middle * scale, (middle + 1) * scale)[corner]
    (slope,) = torch.autograd.grad(net(x)[0, :, row, row].sum(), x)
    reach = (slope.abs().sum((0, 1)).nonzero() - middle).abs().max().item()
    assert net.radius - 1 <= reach + 1 <= net.radius + 1


# --- the distance


def test_feature_distance(judges: str) -> None:
    distance = FeatureDistance(judges)
    a, b = torch.rand(1, 3, 40, 40), torch.rand(1, 3, 40, 40)
    found = distance.of_layers(a, b)
    assert set(found) == set(FeatureLossSettings().layers)
    assert all(value == 0 for value in distance.of_layers(b, b).values())
    settings = FeatureLossSettings(pixel_weight=0, grid_weight=0, feature_weight=2)
    total = perceptual_loss(a, b, 4, settings, lambda: distance)
    assert total.item() == pytest.approx(2 * np.mean([value.item() for value in found.values()]), rel=1e-4)
    net = loss_networks.load("squeezenet", judges, ["fire5"])
    ours, theirs = (net(x)["fire5"] for x in (a, b))
    by_hand = (ours - theirs).square().sum() / theirs.square().sum()
    assert found["squeezenet.fire5"].item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_grids_are_seen_and_textures_are_not() -> None:
    wanted = torch.rand(1, 3, 48, 48)
    grid = torch.zeros(1, 3, 48, 48)
    grid[..., ::3, ::3] = 0.09
    by_hand = ((0.08**2) + 8 * 0.01**2) / 9  # the pattern without its mean
    assert grid_loss(wanted + grid, wanted, 3).item() == pytest.approx(by_hand, rel=1e-3)
    noise = 0.028 * torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))  # as strong
    assert grid_loss(wanted + noise, wanted, 3) < by_hand / 30
    assert grid_loss(wanted + 0.1, wanted, 3) < 1e-9
    assert grid_loss(wanted[..., :3, :3] + grid[..., :3, :3], wanted[..., :3, :3], 3) > 0  # one period


def test_statistics_prefer_a_texture_of_the_kind_to_none(judges: str) -> None:
    wanted, another = (0.4 + 0.2 * torch.rand(1, 3, 48, 48) for _ in range(2))
    distance, flat = FeatureDistance(judges), torch.full_like(wanted, 0.5)
    settings = FeatureLossSettings(pixel_weight=0, grid_weight=0, feature_weight=0, statistics_weight=1)

    def far(made: torch.Tensor) -> float:
        return perceptual_loss(made, wanted, 4, settings, lambda: distance).item()

    assert far(wanted) == 0
    assert far(another) < 0.5 * far(flat)


def test_missing_loss_networks_and_layers(tmp_path: Path, judges: str) -> None:
    with pytest.raises(MissingComponent, match="loss_networks"):
        FeatureDistance(tmp_path)
    with pytest.raises(SettingError, match="relu9_9"):
        FeatureDistance(judges, ["vgg19.relu9_9"])


# --- super-resolution


def super_resolution(folder: Path, judges: str, **loss: float) -> PerceptualRecipe:
    data = PairDataSettings(train=(str(folder),), held_out=(str(folder),), patch=8, batch=2, micro_batch=2)
    settings = FeatureLossSettings(loss_networks=judges, **loss)  # type: ignore[arg-type]
    return PerceptualRecipe(name="perceptual-x4", model=TINY, data=data, loss=settings, optim=OPTIM)


def test_training_and_export(
    folder: Path, judges: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(PerceptualTask(super_resolution(folder, judges)), tmp_path / "run", "cpu")
    trainer.run()
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert "vgg19.relu2_2" in log[0] and "luma_psnr_db" in log[0]
    row = export(trainer.checkpoint, tmp_path / "models")
    (told,) = tomllib.loads(row)["network"]
    assert (told["kind"], told["variant"], told["scale"], told["unit"]) == ("perceptual", "x4", 4, 1)
    net = load_nets(trainer.checkpoint)[0]
    assert told["radius"] == net.radius
    monkeypatch.setattr(registry, "folder", lambda: tmp_path / "models")
    for cached in (registry.image_networks, registry._checked):
        cached.cache_clear()
    colour = np.asarray(picture("RGB", 90, 70))  # larger than a tile
    try:
        made = run(registry.image_network("perceptual", "x4"), colour, 1)
    finally:
        for cached in (registry.image_networks, registry._checked):
            cached.cache_clear()
    with torch.no_grad():
        expected = net(torch.from_numpy(colour.copy()).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
    rounded = (expected.clamp(0, 1) * 255).round().numpy().astype(int)
    assert np.abs(made.astype(int) - rounded).max() <= 1


def test_pixels_alone_need_no_loss_network(folder: Path, tmp_path: Path) -> None:
    recipe = super_resolution(folder, str(tmp_path / "nowhere"), feature_weight=0.0, grid_weight=0.0)
    task = PerceptualTask(recipe)
    trainer = Trainer(task, tmp_path, "cpu")
    trainer.train_step()
    assert set(task.evaluate(trainer.averaged(), "cpu")) == {"luma_psnr_db"}


def test_a_larger_scale_starts_from_a_smaller_one(folder: Path, judges: str) -> None:
    task = PerceptualTask(super_resolution(folder, judges))
    theirs = restless(replace(TINY, scale=2))
    net = task.networks()
    task.load_from(net, theirs.state_dict())
    assert torch.equal(net.head.weight, theirs.head.weight)
    assert torch.equal(net.tail.weight, theirs.tail.weight)


# --- looks


def test_published_networks_are_read_back() -> None:
    nets = pretrained.sampling_nets(SamplingConfig(scale=3))
    latent = np.random.default_rng(0).random((1, 9, 7), np.float32)
    with torch.no_grad():
        ours = nets.up(torch.from_numpy(latent)[None])[0].numpy()
    theirs = Network(registry.checked_path(registry.for_scale(3), "up"), 1)(latent)
    assert np.abs(ours - theirs).max() < 1e-5
    with pytest.raises(SettingError, match="dsn-x3 are not of this shape"):
        pretrained.sampling_nets(SamplingConfig(scale=3, width=8))


def test_rgb_undoes_ycbcr() -> None:
    pixels = torch.from_numpy(np.asarray(picture("RGB", 9, 7)).copy())[None]
    assert torch.allclose(rgb(ycbcr(pixels)).permute(0, 2, 3, 1) * 255, pixels.float(), atol=0.01)


def look_recipe(folder: Path, judges: str, **data: int) -> LookRecipe:
    pictures = LookDataSettings(
        train=(str(folder),), held_out=(str(folder),), **{"patch": 24, "batch": 2, "micro_batch": 2} | data
    )  # type: ignore[arg-type]
    loss = LookLossSettings(loss_networks=judges, levels=(256, 32), level_share=(0.5, 0.5))
    return LookRecipe(
        name="dsn-x3-soft",
        model=SamplingConfig(scale=3),
        data=pictures,
        loss=loss,
        optim=replace(OPTIM, steps=2),
    )


def test_a_look_is_trained_alone_and_exported(
    folder: Path, judges: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perceptual_decoder, "JUDGED_PICTURES", 1)
    trainer = Trainer(LookTask(look_recipe(folder, judges)), tmp_path / "run", "cpu")
    trainer.run()
    before, after = pretrained.sampling_nets(SamplingConfig(scale=3)).state_dict(), trainer.nets.state_dict()
    for name, value in after.items():
        assert torch.equal(value, before[name]) == (not name.startswith("up.")), name
    (told,) = tomllib.loads(export(trainer.checkpoint, tmp_path / "models"))["look"]
    assert (told["look"], told["of"]) == ("soft", registry.for_scale(3).wire_id.hex())
    assert [path.name for path in (tmp_path / "models").glob("*.onnx")] == ["dsn-x3-soft-up.onnx"]
    assert tomllib.loads((tmp_path / "models" / "manifest.toml").read_text("utf-8"))["look"] == [told]


def test_a_look_of_other_networks_is_not_exported(folder: Path, judges: str, tmp_path: Path) -> None:
    trainer = Trainer(LookTask(look_recipe(folder, judges)), tmp_path, "cpu")
    trainer.ema["down.shrink.weight"] += 1
    trainer.save()
    with pytest.raises(SettingError, match="other networks than those of dsn-x3"):
        export(trainer.checkpoint, tmp_path / "models")


def test_what_a_look_is_trained_on_is_what_a_reader_gets() -> None:
    image = picture("RGB", 48, 36)
    nets = pretrained.sampling_nets(SamplingConfig(scale=3))
    pair = (torch.from_numpy(part)[None] for part in perceptual_decoder.latents(np.asarray(image), 3, 0))
    with torch.no_grad():
        shown = (
            perceptual_decoder.decoded(nets, *pair, torch.full((1, 1, 1, 1), 64.0))[0]
            .permute(1, 2, 0)
            .numpy()
        )
    file = dsncodec.encode(image, scale=3, levels=64, effort=0, threads=1)
    assert (
        psnr_db(np.asarray(dsncodec.decode(file)), np.clip(shown * 255 + 0.5, 0, 255).astype(np.uint8)) > 45
    )


def test_a_patch_that_does_not_fit(folder: Path, judges: str) -> None:
    with pytest.raises(SettingError, match="multiple of 6, not 25"):
        LookTask(look_recipe(folder, judges, patch=25))


@pytest.mark.parametrize("name", [f"dsn-x{s}-perceptual" for s in (2, 3, 4)])
def test_recipes_of_looks(name: str) -> None:
    recipe = tasks.read(RECIPES / f"{name}.toml").recipe
    assert isinstance(recipe, LookRecipe) and recipe.name == name
    assert f"dsn-x{recipe.model.scale}-perceptual" == name


@pytest.mark.parametrize("name", [f"{kind}-x{s}" for kind in ("pixel", "perceptual") for s in (4, 8)])
def test_recipes_of_super_resolution(name: str) -> None:
    recipe = tasks.read(RECIPES / f"{name}.toml").recipe
    assert isinstance(recipe, PerceptualRecipe) and recipe.name == name
    assert name == f"{'perceptual' if recipe.loss.feature_weight else 'pixel'}-x{recipe.model.scale}"
