"""PPCN's super-resolution network: bicubic inside, tiles, training on shrunk pairs, its ONNX file, and `upsample`."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsncodec.errors import SettingError
from dsncodec.networks import image_to_image, registry
from dsncodec.networks.inference import Network, tiles

from .conftest import picture

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")

from dsncodec.train import tasks
from dsncodec.train.data.images import PackedImages
from dsncodec.train.export.onnx import export, load_nets
from dsncodec.train.nets.ppcn import SuperResolution, SuperResolutionConfig, bicubic_filters, enlarged
from dsncodec.train.tasks import super_resolution
from dsncodec.train.tasks.super_resolution import (
    PairDataSettings,
    PixelAndSsimSettings,
    ShrunkPairs,
    SuperResolutionRecipe,
    SuperResolutionTask,
    shrunk,
)
from dsncodec.train.trainer import OptimSettings, Trainer, planes

RECIPES = Path(tasks.__file__).parent.parent / "recipes"
TINY = SuperResolutionConfig(width=4, groups=1, modules=1)
torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


def restless(config: SuperResolutionConfig, seed: int = 0) -> SuperResolution:
    """A network all of whose weights matter, as after training."""
    torch.manual_seed(seed)
    net = SuperResolution(config)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(0, 0.5 / max(1, weight[0].numel()) ** 0.5)
    return net.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for seed, size in enumerate([(64, 50), (57, 72), (44, 41)]):
        picture("RGB", *size, seed).save(path / f"{seed}.png")
    return path


def tiny(folder: Path, **data: object) -> SuperResolutionRecipe:
    settings = {"train": (str(folder),), "held_out": (str(folder),), "patch": 8, "batch": 4} | data
    return SuperResolutionRecipe(
        name="ppcn-x4",
        model=TINY,
        data=PairDataSettings(**settings),  # type: ignore[arg-type]
        optim=OptimSettings(steps=6, bf16=False, lr=2e-3),
    )


# --- the network


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_bicubic_is_that_of_pillow(scale: int) -> None:
    plane = np.random.default_rng(0).random((9, 12), np.float32)
    size = (12 * scale, 9 * scale)
    expected = np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
    large = enlarged(torch.from_numpy(plane)[None, None], bicubic_filters(scale))[0, 0].numpy()
    assert large.shape == expected.shape
    inside = (
        slice(2 * scale, -2 * scale),
    ) * 2  # at its edges Pillow leaves taps out, where we repeat pixels
    np.testing.assert_allclose(large[inside], expected[inside], atol=1e-6)
    assert np.abs(large - expected).max() < 0.1
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(
            enlarged(torch.from_numpy(plane)[None, None], bicubic_filters(scale))[0, 0],
            torch.from_numpy(large),
        )


def test_layers_of_the_figure() -> None:
    net = SuperResolution(SuperResolutionConfig())
    found = sorted((tuple(w.shape[:2]), w.shape[2]) for n, w in net.named_parameters() if w.dim() == 4)
    modules = [((64, 32), 3), ((32, 64), 3)] * 4
    others = [((32, 3), 3), ((64, 32), 3), ((32, 64), 3), *[((32, 32), 3)] * 4, ((48, 32), 3)]
    assert found == sorted([*modules, *others])
    assert (net.scale, net.unit, net.radius) == (4, 1, 17)


def test_without_its_residual_it_is_bicubic() -> None:
    small = torch.rand(2, 3, 7, 9)
    net = restless(TINY)
    with torch.no_grad():
        assert (net(small) - enlarged(small, net.bicubic)).abs().max() > 0.01
        net.tail.weight.zero_()
        net.tail.bias.zero_()  # type: ignore[union-attr]
        out = net(small)
    assert out.shape == (2, 3, 28, 36)
    torch.testing.assert_close(out, enlarged(small, net.bicubic), atol=0, rtol=0)


def test_brightness_only_adds() -> None:
    net, small = restless(TINY), torch.rand(1, 3, 9, 8) / 2
    with torch.no_grad():
        torch.testing.assert_close(net(small + 0.3), net(small) + 0.3, atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", [TINY, SuperResolutionConfig(width=4)], ids=str)
def test_the_radius_is_what_a_tile_needs(config: SuperResolutionConfig) -> None:
    net = restless(config).double()
    shot = torch.rand(1, 3, 57, 64).double()
    with torch.no_grad():
        whole = net(shot)

        def tiled(halo: int) -> torch.Tensor:
            out = torch.empty_like(whole)
            for tile in tiles((slice(0, 57), slice(0, 64)), (57, 64), 20, halo):
                part = net(shot[(..., *tile.outer)])
                out[(..., *image_to_image.scaled(tile.inner, 4))] = part[
                    (..., *image_to_image.scaled(tile.crop, 4))
                ]
            return out

        torch.testing.assert_close(tiled(net.radius), whole, atol=1e-12, rtol=0)
        assert (tiled(net.radius - 1) - whole).abs().max() > 1e-12


# --- pairs


def test_shrinking_is_bicubic_and_antialiased() -> None:
    flat = np.full((8, 12, 3), 77, np.uint8)
    assert (shrunk(flat, 4) == 77).all() and shrunk(flat, 4).shape == (2, 3, 3)
    checks = np.indices((16, 16)).sum(0)[..., None].repeat(3, 2).astype(np.uint8) % 2 * 200
    inside = shrunk(checks, 4)[1:-1, 1:-1]
    assert np.abs(inside.astype(int) - 100).max() <= 2  # nothing of the checks is left


def test_pairs_are_cropped_and_show_one_place(folder: Path) -> None:
    pairs = ShrunkPairs.read((folder,), 4)
    assert [pairs.large[i].shape[:2] for i in range(len(pairs))] == [(48, 64), (72, 56), (40, 44)]
    for i in range(len(pairs)):
        np.testing.assert_array_equal(pairs.small[i], shrunk(pairs.large[i], 4))
    small, large = pairs.patches(np.random.default_rng(0), 30, 8)
    assert small.shape == (30, 8, 8, 3) and large.shape == (30, 32, 32, 3)
    for a, b in zip(small, large):  # turned alike: away from the patch's edges it is the same again
        np.testing.assert_array_equal(a[2:-2, 2:-2], shrunk(np.ascontiguousarray(b), 4)[2:-2, 2:-2])
    assert len({a.tobytes() for a in small}) > 20


# --- the task


def test_shipped_recipe() -> None:
    recipe = tasks.read(RECIPES / "ppcn-x4.toml").recipe
    assert isinstance(recipe, SuperResolutionRecipe) and recipe.name == "ppcn-x4"
    assert recipe.model == SuperResolutionConfig() and recipe.data.batch % recipe.data.micro_batch == 0
    assert not any("test" in source or "tune" in source for source in recipe.data.train)


def test_the_loss(folder: Path) -> None:
    task = SuperResolutionTask(tiny(folder))
    net, batch = SuperResolution(TINY), task.batch(np.random.default_rng(0))
    both = task.loss(net, batch, 0.5).item()
    made, wanted = (net(planes(batch[0])), planes(batch[1]))
    mae = 255 * (made - wanted).abs().mean().item()
    assert both == pytest.approx(mae + 25 * super_resolution.ssim_loss(made, wanted).item(), rel=1e-4)
    task.recipe = replace(task.recipe, loss=PixelAndSsimSettings(ssim_weight=0.0, l2_from=0.8))
    assert task.loss(net, batch, 0.5).item() == pytest.approx(mae, rel=1e-4)
    squared = (made - wanted).square().mean().item()
    assert task.loss(net, batch, 0.8).item() == pytest.approx(255 * squared / 0.04, rel=1e-4)


def test_a_few_steps_lower_the_loss_and_go_on(folder: Path, tmp_path: Path) -> None:
    recipe = replace(tiny(folder), optim=OptimSettings(steps=60, bf16=False, lr=1e-2))
    trainer = Trainer(SuperResolutionTask(recipe), tmp_path / "run", "cpu")
    before = trainer.task.evaluate(trainer.averaged(), "cpu")["luma_psnr_db"]
    trainer.run()
    assert (tmp_path / "run" / "log.csv").read_text().startswith("step,seconds,core_h,loss,luma_psnr_db")
    assert trainer.task.evaluate(trainer.averaged(), "cpu")["luma_psnr_db"] > before + 0.05
    assert Trainer(SuperResolutionTask(recipe), tmp_path / "run", "cpu").step == 60
    assert SuperResolutionTask(tiny(folder, held_out=())).evaluate(trainer.averaged(), "cpu") == {}  # type: ignore[arg-type]


def test_wrong_settings(folder: Path) -> None:
    with pytest.raises(SettingError, match="at least 3"):
        SuperResolutionTask(tiny(folder, patch=2))
    with pytest.raises(SettingError, match="as large as a patch"):
        SuperResolutionTask(tiny(folder, patch=19)).batch(np.random.default_rng(0))


# --- the ONNX file


def test_onnx_computes_what_torch_does_tile_by_tile(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(SuperResolutionTask(tiny(folder)), tmp_path / "run", "cpu")
    trainer.ema = restless(TINY).state_dict()
    trainer.save()
    row = tomllib.loads(export(trainer.checkpoint, tmp_path / "models"))["network"][0]
    assert (row["kind"], row["variant"], row["scale"], row["unit"]) == ("ppcn", "x4", 4, 1)
    assert (row["radius"], row["config"]) == (
        SuperResolution(TINY).radius,
        {"width": 4, "groups": 1, "modules": 1},
    )
    nets, _ = load_nets(trainer.checkpoint)
    net = Network(tmp_path / "models" / row["files"]["net"]["name"], 1)
    for rows, columns in ((1, 1), (5, 3), (18, 30)):
        shot = np.random.default_rng(rows).random((3, rows, columns), np.float32)
        with torch.no_grad():
            expected = nets(torch.from_numpy(shot)[None])[0].numpy()
        assert np.abs(net(shot) - expected).max() < 1e-5

    monkeypatch.setattr(registry, "folder", lambda: tmp_path / "models")
    registry.image_networks.cache_clear()
    try:
        network = registry.image_network("ppcn", "x4")
        colour = np.array(picture("RGB", 61, 45))
        whole = image_to_image.run(network, colour, 1)
        monkeypatch.setattr(image_to_image, "TILE", 64)
        monkeypatch.setattr(image_to_image, "LARGEST_TILE", 64)
        tiled = image_to_image.run(network, colour, 1)
    finally:
        registry.image_networks.cache_clear()
    assert whole.shape == (180, 244, 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    with torch.no_grad():
        expected = nets(planes(torch.from_numpy(colour)[None]))[0].clamp(0, 1) * 255
    assert np.abs(expected.permute(1, 2, 0).numpy() - whole).max() < 0.51


def test_the_packed_pictures_are_read_too(folder: Path, tmp_path: Path) -> None:
    PackedImages.read([folder]).save(tmp_path / "all.npz")
    a, b = ShrunkPairs.read((folder,), 4), ShrunkPairs.read((tmp_path / "all.npz",), 4)
    np.testing.assert_array_equal(a.small.pixels, b.small.pixels)
