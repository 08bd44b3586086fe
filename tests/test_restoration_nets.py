"""Restoration networks: shapes, tiles, training on coded pairs, and their ONNX file."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dsncodec.carriers import BASE_CODECS, load_base
from dsncodec.errors import SettingError
from dsncodec.methods.restored.half_size import doubled, halved
from dsncodec.metrics import psnr_db
from dsncodec.networks.inference import Network, tiles

from .conftest import picture

torch = pytest.importorskip("torch", reason="torch is not installed (extra [train])")
pytest.importorskip("onnx", reason="onnx is not installed (extra [train])")

from dsncodec.train import tasks
from dsncodec.train.data.coded_pairs import CodedPairs, spread_qualities
from dsncodec.train.data.images import PackedImages
from dsncodec.train.export.onnx import export, load_nets
from dsncodec.train.nets.restoration import RestorationConfig, RestorationNet
from dsncodec.train.tasks import restoration
from dsncodec.train.tasks.restoration import CodedDataSettings, RestorationRecipe, RestorationTask
from dsncodec.train.tasks.visual import VisualRecipe
from dsncodec.train.trainer import OptimSettings, Trainer

RECIPES = Path(tasks.__file__).parent.parent / "recipes"
TINY = RestorationConfig(block=2, width=8, blocks=1)
torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


def restless(config: RestorationConfig, seed: int = 0) -> RestorationNet:
    """A network all of whose weights matter, as after training."""
    torch.manual_seed(seed)
    net = RestorationNet(config)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(0, 0.3 / max(1, weight[0].numel()) ** 0.5)
    return net.eval()


def number(value: float) -> torch.Tensor:
    return torch.full((1, 1, 1, 1), value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for seed, size in enumerate([(64, 48), (56, 72), (50, 41)]):
        picture("RGB", *size, seed).save(path / f"{seed}.png")
    return path


def tiny(folder: Path, **data: object) -> RestorationRecipe:
    settings = {
        "codec": "jpeg",
        "train": (str(folder),),
        "held_out": (str(folder),),
        "passes": 2,
        "patch": 16,
        "judged": (20.0, 80.0),
    } | data
    return RestorationRecipe(
        name="tiny",
        model=TINY,
        data=CodedDataSettings(**settings),  # type: ignore[arg-type]
        optim=OptimSettings(steps=8, bf16=False, lr=2e-3),
    )


# --- the network


@pytest.mark.parametrize("block", [1, 2, 4])
def test_shapes_and_a_fresh_network(block: int) -> None:
    net = RestorationNet(RestorationConfig(block=block, width=8, blocks=2))
    shot = torch.rand(2, 3, 4 * block, 6 * block)
    out = net(shot, torch.full((2, 1, 1, 1), 0.5), torch.full((2, 1, 1, 1), 0.02))
    assert out.shape == shot.shape
    assert (out - shot).abs().max() < 0.01  # at first it changes next to nothing


def test_the_residual_is_in_units_of_the_rmse() -> None:
    """What lies in the picture, and the RMSE, twice as large: so is the residual, but for what FiLM knows."""
    net = restless(TINY)
    with torch.no_grad():
        for linear in [*net.scales, *net.shifts]:
            linear.weight.zero_()
        detail = torch.randn(1, 3, 16, 16) * 0.01
        detail -= torch.nn.functional.avg_pool2d(detail, 16).expand_as(detail)
        small = net(0.5 + detail, number(0.5), number(0.01)) - (0.5 + detail)
        net.head.weight[:, -3:] = 0  # the local mean is not scaled
        small = net(0.5 + detail, number(0.5), number(0.01)) - (0.5 + detail)
        large = net(0.5 + 2 * detail, number(0.5), number(0.02)) - (0.5 + 2 * detail)
    torch.testing.assert_close(large, 2 * small, atol=1e-6, rtol=1e-4)


def test_each_sample_has_its_own_numbers() -> None:
    net = restless(TINY)
    shots = torch.rand(2, 3, 16, 16)
    quality, rmse = torch.tensor([0.2, 0.9]).view(2, 1, 1, 1), torch.tensor([0.03, 0.005]).view(2, 1, 1, 1)
    with torch.no_grad():
        both = net(shots, quality, rmse)
        for i in range(2):
            one = net(shots[i : i + 1], quality[i : i + 1], rmse[i : i + 1])
            torch.testing.assert_close(both[i : i + 1], one, atol=1e-6, rtol=1e-5)
        other = net(shots[:1], quality[1:], rmse[:1])
    assert (both[:1] - other).abs().max() > 1e-6


@pytest.mark.parametrize(("width", "blocks"), [(8, 1), (8, 3), (12, 1), (16, 2)])
def test_a_larger_network_starts_where_a_smaller_one_ended(width: int, blocks: int) -> None:
    small, large = restless(TINY), restless(RestorationConfig(block=2, width=width, blocks=blocks), 1)
    large.load_from(small.state_dict())
    shot = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        expected = small(shot, number(0.4), number(0.02))
        torch.testing.assert_close(large(shot, number(0.4), number(0.02)), expected)
    large(shot, number(0.4), number(0.02)).square().mean().backward()
    assert all(w.grad is not None and w.grad.any() for n, w in large.named_parameters() if "second" in n)


@pytest.mark.parametrize("config", [TINY, RestorationConfig(block=2, width=8, blocks=3)], ids=str)
def test_the_radius_is_what_a_tile_needs(config: RestorationConfig) -> None:
    net = restless(config).double()
    shot = torch.rand(1, 3, 96, 80).double()
    with torch.no_grad():
        whole = net(shot, number(0.4).double(), number(0.02).double())

        def tiled(halo: int) -> torch.Tensor:
            out = torch.empty_like(whole)
            for tile in tiles((slice(0, 96), slice(0, 80)), (96, 80), 32, halo):
                part = net(shot[(..., *tile.outer)], number(0.4).double(), number(0.02).double())
                out[(..., *tile.inner)] = part[(..., *tile.crop)]
            return out

        torch.testing.assert_close(tiled(net.radius), whole, atol=1e-12, rtol=0)
        assert (tiled(net.radius - config.block) - whole).abs().max() > 1e-11


# --- coded pairs


def test_pairs(folder: Path, tmp_path: Path) -> None:
    originals = PackedImages.read([folder])
    quality = spread_qualities(np.random.default_rng(1), 2, len(originals), (20, 90))
    assert (quality[0] <= 55).all() and (quality[1] >= 55).all() and (quality == quality.round()).all()
    pairs = CodedPairs.code(originals, "jpeg", quality)
    for k in range(2):
        for i in range(len(originals)):
            base, shape = load_base("jpeg"), originals[i].shape
            data = base.encode(np.ascontiguousarray(originals[i]), int(quality[k, i]), 5, 1)
            np.testing.assert_array_equal(pairs.picture(k, i), base.decode(data, shape))
            assert pairs.size_bytes[k, i] == len(data)
            assert pairs.bpp[k, i] == pytest.approx(8 * len(data) / originals[i][..., 0].size)
            mse = 255**2 / 10 ** (psnr_db(originals[i], pairs.picture(k, i)) / 10)
            assert pairs.mse[k, i] == pytest.approx(mse, rel=1e-4)
    pairs.save(tmp_path / "pairs.npz")
    again = CodedPairs.read(tmp_path / "pairs.npz", originals)
    np.testing.assert_array_equal(again.coded, pairs.coded)
    np.testing.assert_array_equal(again.mse, pairs.mse)
    with pytest.raises(SettingError, match="other pictures"):
        CodedPairs.read(tmp_path / "pairs.npz", PackedImages.read([folder], limit=2))
    with pytest.raises(SettingError, match="one of auto, avif"):
        CodedPairs.code(originals, "gif", quality)


def test_patches_of_both_show_one_place(folder: Path) -> None:
    originals = PackedImages.read([folder])
    coded_pixels = np.stack([255 - originals.pixels, originals.pixels // 2])
    nothing = np.zeros((2, len(originals)), np.float32)
    pairs = CodedPairs(originals, coded_pixels, nothing, nothing.astype(np.int64), nothing)
    seen, wanted, k, drawn = pairs.patches(np.random.default_rng(0), 40, 16, 8)
    assert seen.shape == wanted.shape == (40, 16, 16, 3) and set(k) == {0, 1} and set(drawn) == {0, 1, 2}
    for a, b, which in zip(seen, wanted, k):
        np.testing.assert_array_equal(a, 255 - b if which == 0 else b // 2)


def test_patches_keep_the_grid(folder: Path) -> None:
    originals = PackedImages.read([folder])
    _, rows = originals.places(np.random.default_rng(0), 50, 16, 8)
    drawn, _ = originals.places(np.random.default_rng(0), 50, 16, 8)
    corner = rows.min((1, 2)) - originals.offsets[drawn]
    width = originals.sizes[drawn, 1]
    assert not (corner // width % 8).any() and not (corner % width % 8).any()


def test_pairs_at_half_the_size_and_at_several_efforts(folder: Path) -> None:
    originals = PackedImages.read([folder])
    quality = np.full((3, len(originals)), 40, np.float32)
    pairs = CodedPairs.code(originals, "avif", quality, scale=2, efforts=(5, 0))
    for k, effort in enumerate((5, 0, 5)):
        for i in range(len(originals)):
            small = halved(np.ascontiguousarray(originals[i]))
            file = load_base("avif").encode(small, 40, effort, 1)
            assert pairs.size_bytes[k, i] == len(file)
            expected = doubled(load_base("avif").decode(file, small.shape), originals[i].shape)
            np.testing.assert_array_equal(pairs.picture(k, i), expected)
    with pytest.raises(SettingError, match="one of"):
        CodedPairs.code(originals, "gif", quality)


# --- the task


def test_shipped_recipes() -> None:
    found = sorted(RECIPES.glob("restore-*.toml"))
    assert found
    for path in found:
        recipe = tasks.read(path).recipe
        by_other_task = isinstance(recipe, VisualRecipe)
        named = {"visual", "perceptual", "weighed"} & set(path.stem.split("-"))
        assert by_other_task == bool(named) and recipe.name == path.stem
        if isinstance(recipe, VisualRecipe):
            assert recipe.tune == {"weighed": "psnr"}.get(tune := named.pop(), tune)
        assert isinstance(recipe, (RestorationRecipe, VisualRecipe))
        assert recipe.data.codec in BASE_CODECS and recipe.data.codec == path.stem.split("-")[1]
        assert by_other_task or recipe.data.scale == (2 if "-half-" in path.stem else 1)
        assert not any("test" in source or "tune" in source for source in recipe.data.train)
        net = RestorationNet(recipe.model)
        weights = sum(w.numel() for n, w in net.named_parameters() if w.dim() == 4)
        assert weights / recipe.model.block**2 <= {"fast": 20_000, "best": 100_000}[path.stem.split("-")[-1]]


def test_the_loss() -> None:
    wanted = torch.rand(2, 3, 8, 8)
    rmse = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    assert restoration.relative_squared_error(wanted + rmse, wanted, rmse).item() == pytest.approx(
        1, rel=1e-4
    )
    told = restoration.known_rmse(np.array([0.0, 25.0, 100.0], np.float32)).flatten()
    torch.testing.assert_close(told, torch.tensor([restoration.LEAST_RMSE, 5 / 255, 10 / 255]))


def test_a_few_steps_lower_the_loss(tmp_path: Path) -> None:
    """Stripes through a coarse JPEG: ringing that a small network soon learns to remove."""
    stripes = np.tile(np.arange(64) // 3 % 2 * 200, (64, 1)).astype(np.uint8)
    (tmp_path / "data").mkdir()
    from PIL import Image

    Image.fromarray(stripes).save(tmp_path / "data" / "stripes.png")
    recipe = tiny(tmp_path / "data", qualities=(20.0, 30.0), cache=str(tmp_path / "cache" / "pairs.npz"))
    recipe = replace(recipe, optim=OptimSettings(steps=200, bf16=False, lr=1e-2))
    trainer = Trainer(RestorationTask(recipe), tmp_path / "run", "cpu")
    before = [trainer.train_step() for _ in range(200)]
    assert np.mean(before[-5:]) < 0.7 * np.mean(before[:5]), before[::20]
    row = trainer.task.evaluate(trainer.averaged(), "cpu")
    assert set(row) == {"gain_db", "least_gain_db", "gain_db_q20", "gain_db_q80"}
    assert row["gain_db_q20"] > 0.3
    again = RestorationTask(recipe)  # from the cache
    np.testing.assert_array_equal(again.pairs.coded, trainer.task.pairs.coded)  # type: ignore[attr-defined]


def test_wrong_settings(folder: Path) -> None:
    with pytest.raises(SettingError, match="multiple of 2"):
        RestorationTask(tiny(folder, patch=15))


def test_run_and_resume(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(RestorationTask(tiny(folder)), tmp_path, "cpu")
    trainer.run()
    assert (
        (tmp_path / "log.csv")
        .read_text()
        .startswith("step,seconds,core_h,loss,gain_db,least_gain_db,gain_db_q20")
    )
    assert Trainer(RestorationTask(tiny(folder)), tmp_path, "cpu").step == 8


# --- the ONNX file


def test_onnx_computes_what_torch_does(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(RestorationTask(tiny(folder)), tmp_path / "run", "cpu")
    trainer.ema = restless(TINY).state_dict()
    trainer.save()
    row = tomllib.loads(export(trainer.checkpoint, tmp_path / "models"))["restorer"][0]
    assert (row["name"], row["codec"], row["radius"]) == ("tiny", "jpeg", RestorationNet(TINY).radius)
    assert row["config"] == {"block": 2, "width": 8, "blocks": 1, "hypotheses": 1}
    nets, _ = load_nets(trainer.checkpoint)
    net = Network(tmp_path / "models" / row["files"]["restore"]["name"], 1)
    for rows, columns in ((2, 4), (18, 30), (40, 16)):
        shot = np.random.default_rng(rows).random((3, rows, columns), np.float32)
        numbers = [np.full((1, 1, 1), value, np.float32) for value in (0.3, 0.02)]
        with torch.no_grad():
            expected = nets(torch.from_numpy(shot)[None], number(0.3), number(0.02))[0].numpy()
        result = net(shot, *numbers)
        assert result.shape == shot.shape
        assert np.abs(result - expected).max() < 1e-5
    again = export(trainer.checkpoint, tmp_path / "models")
    assert tomllib.loads(again)["restorer"][0] == row
    assert len(tomllib.loads((tmp_path / "models" / "manifest.toml").read_text())["restorer"]) == 1
